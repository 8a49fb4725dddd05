//! Target seats: versioned sets of constituencies that the leadership works on, written by hand or made by a rule over
//! an election's results, grouped into clusters with a person in charge.
//!
//! Invariants: a version never changes; the next one begins on the same day or later, so that the members on any day are
//! those of the newest version that had begun. A rule is evaluated once, when the version is made: a correction of the
//! results makes no other set until somebody makes a version anew. Members lie under the unit that set them.
//!
//! Who may: `target_set.write` at the unit that sets it; `target_set.read` sees the sets of his units, of what lies
//! under them and of what lies above them, and of each the members in his scope alone.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod queries;
mod rules;
mod wire;

pub use api::members_today;

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::list_target_sets)
        .service(api::create_target_set)
        .service(api::get_target_set)
        .service(api::read::list_members)
        .service(api::read::list_versions)
        .service(api::read::list_changes)
        .service(api::create_version);
}
