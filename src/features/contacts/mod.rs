//! Contacts: a citizen's phone at a household, kept only with his consent.
//!
//! Invariants: no contact without a consent (what for, which notice, in which language, when, to whom); the number is
//! sealed, found by a keyed index, and shown to nobody once the consent is withdrawn, erasure is asked for or the
//! deadline has passed; a year later it is destroyed (Rules of 2025, 8(3)); the row stays as a tombstone, so that a late
//! resend does not bring the number back. Each reading is journalled before the answer is given.
//!
//! Who may do what: `contact.write` records in booths; everyone sees and corrects those that he recorded himself;
//! `contact.read` sees all under the unit, `contact.correct` corrects and ends them; `contact.audit` sees who read which,
//! without the numbers.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod queries;
mod rules;
mod wire;

pub use api::program_record;
pub use queries::retention::{TouchedRow, destroy_due, end_overdue, reseal_phones};
pub use rules::YEAR;

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::write::put_contact)
        .service(api::read::list_contacts)
        .service(api::read::find_contacts)
        .service(api::read::get_contact)
        .service(api::write::correct_contact)
        .service(api::write::withdraw_consent)
        .service(api::write::erase_contact)
        .service(api::read::list_contact_reads);
}
