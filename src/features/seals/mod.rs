//! Seals: the journal made readable, and proofs that nothing in it was changed.
//!
//! Invariants: an entry is shown to whoever may read the journal at one of its units, whole, since a part of a leaf
//! proves nothing, and it holds numbers only, never content; a head, once signed, never changes; every proof can be
//! checked with what is answered and docs/seals.md alone.
//!
//! Who may do what: `journal.read` shows the entries under the unit, and the heads and consistency proofs of its state;
//! whoever sees a visit may have its receipt; the public keys are everybody's.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod queries;
mod rules;
pub mod verify;
mod wire;

pub use api::receipt::receipts_of;
pub use rules::HeadFile;
pub use wire::ReceiptView;

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::list_entries)
        .service(api::list_heads)
        .service(api::list_latest_heads)
        .service(api::prove_inclusion)
        .service(api::prove_consistency)
        .service(api::receipt::get_receipt)
        .service(api::get_seal_keys);
}
