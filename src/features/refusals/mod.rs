//! Refusals: who was told that he may not, or that there is no such thing.
//!
//! Invariants: a row is a count for who, what, why and one hour, never a request, and holds no content; it survives the
//! rollback of what was refused, because it is written by a task of its own a second later ([`start_keeping`]); it is kept for 400
//! days.
//!
//! Who may do what: `journal.read` over a worker's home unit (of a service: the unit that answers for it) reads what was
//! refused to him.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod keeper;
mod queries;
mod wire;

pub use keeper::{start_keeping, write_waiting};

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(api::list_refusals);
}
