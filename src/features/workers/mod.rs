//! Workers (karyakartas) and the roles they hold.
//!
//! Who may do what: a worker is seen by himself and by whoever holds `worker.read` at his home unit or at a unit of one
//! of his live grants; a reader sees of the grants those that lie in his scope. He is changed with `worker.write` at his
//! home unit, by somebody who could give every role that he holds (else a coordinator could take over an
//! administrator's number). Roles are given and ended with `grant.write` at the unit, and only by who holds all their
//! actions there himself.
//!
//! Invariants: a phone number belongs to one worker; only its last four digits are shown, except to its owner and to
//! those who manage him; a grant is never erased, and all that ever changes of it is when it ends, so that the past can be
//! told; a post is handed over in one piece; one role is held at one unit once a day; whoever's number is changed is told so
//! on the phones that he had; there is always a national administrator once there was one.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod import;
mod queries;
mod rules;
mod wire;

pub use api::{check_admin_remains, permit_to_help};
pub use import::{ImportError, Importer, import_roster};
pub use queries::notices::{Notice, note, notices_since};
pub use queries::sealing::{reseal_phones, seal_waiting};
pub use queries::{load_own as load_worker, lock_worker, new_phones, phone_index};
pub use rules::{is_phone, is_post};
pub use wire::is_language;
pub use wire::{GrantView, ImportView, Origin, WorkerView};

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::list_workers)
        .service(api::create_worker)
        .service(api::get_worker)
        .service(api::update_worker)
        .service(api::grants::create_grant)
        .service(api::grants::end_grant)
        .service(api::grants::hand_over_grant)
        .service(api::import::import_workers);
}
