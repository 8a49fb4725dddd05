//! Indicators: the one catalogue of what is measured, each defined once.
//!
//! An indicator is a numerator and a denominator over figures that are kept for every unit anyway (`catalogue`): the ledgers
//! of visits, the counts of the cadre, sign-offs, audits, tasks, tours. Whoever reports by it (`measures`), grades by it
//! (`strength`) or sets tasks that it meets (`tasks`) names it by its id; its formula stands here and nowhere else.
//!
//! Invariants: an id is never used for something else; a formula names the figures as totals, committees, audits, counts of
//! tasks and tours name them; every figure has a trace to the rows behind it.
//!
//! Who may do what: `shortfall.read` anywhere reads the catalogue.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod catalogue;
mod wire;

pub use catalogue::{CATALOGUE, Direction, Figures, Indicator, Measure, Source, Trace, find, number};
pub use wire::IndicatorView;

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(api::list_indicators);
}
