//! Totals: what every unit has, exact the instant a visit is stored.
//!
//! Invariant: what a unit has = `totals` + what of `tally_inbox` charges it, both read in one snapshot, and equals a
//! recount of the visits. The nation has no rows of its own: it is the sum over its states.
//!
//! Who may do what: `totals.read` at the unit reads its figures and those of the units under it; `totals.check` recounts.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod check;
mod queries;
mod rules;
mod wire;

pub use check::differences_of;

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::get_totals)
        .service(api::list_children)
        .service(api::check_totals);
}
