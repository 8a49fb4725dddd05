//! Pravas: leaders' tours. A tour has a leader, seats that he was given, stops on its days, a report of each stop, and
//! reviews whose findings are tasks with owners.
//!
//! Invariants:
//! * Seats and stops lie under the unit that planned the tour. Seats taken from a target set are those of the day on which
//!   the tour was planned.
//! * A stop counts for every unit in the lineage of its unit on its day; it is *made* when the report that holds says that
//!   it was held. Reports are made by phones under their own ids and never changed; of a stop's reports the latest holds.
//! * What is raised at a stop or found at a review is a real task (`tasks`), set in the same write.
//! * Cancelled tours and stops are in no figure.
//! * Observations are about places and the organisation: what looks like a phone or identity number is refused, and nobody
//!   is to write citizens' names.
//!
//! Who may do what: `pravas.write` at the unit that plans it plans, changes and reviews tours; `pravas.report` at the unit of
//! the stop reports, so a leader needs a grant where he goes; raising tasks needs `task.write` at their units. `pravas.read`
//! sees the tours planned in his scope, or with a seat or stop there, and of them the seats and stops in his scope.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod queries;
mod wire;

pub use queries::coverage::{StopFigures, stops_of_units};

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::list_pravas)
        .service(api::create_pravas)
        .service(api::get_pravas)
        .service(api::update_pravas)
        .service(api::stops::create_stop)
        .service(api::stops::get_stop)
        .service(api::stops::update_stop)
        .service(api::stops::record_stop_report)
        .service(api::reviews::list_reviews)
        .service(api::reviews::create_review)
        .service(api::coverage::list_seats)
        .service(api::coverage::list_leaders)
        .service(api::coverage::list_missing_reports)
        .service(api::coverage::list_unit_stops);
}
