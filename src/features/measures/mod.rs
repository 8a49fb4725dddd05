//! Measures: targets for the indicators of the catalogue, who falls short by how much, and which tasks are met by them.
//!
//! Indicators are made of figures that are kept for every unit (`figures`), so a report costs the units that it ranks and
//! never a visit. A target is set by a unit for the units of a level at and under it, from a day on; of several the nearest above
//! counts, one for the campaign before one for all, the newest last; where nobody set one, the campaign's own `targets`.
//!
//! Invariants: every number has a `trace` to the rows behind it; a target is never changed, a later one follows it; a
//! snapshot keeps a report to the byte, whatever is corrected later, and its digest stands in the journal; a task that is met by
//! an indicator is met by exactly the units that reached the value when it was measured last (`meeter`).
//!
//! Who may do what: `shortfall.read` at a unit ranks the units under it and reads its targets and snapshots; `target.write`
//! there sets targets; `shortfall.freeze` freezes a review. Every write is journalled: `target.set`, `shortfall.freeze`, and `task.measure` for what the program found met.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod csv;
mod figures;
mod meeter;
mod queries;
mod report;
mod rules;
mod trace;
mod wire;

pub use figures::{FiguresAsk, Pair, Ranks, figures_of};
pub use meeter::{meet_all, start_measuring};
pub use queries::{ChildRow, Visited, look_up};

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::targets::list_targets)
        .service(api::targets::set_target)
        .service(api::shortfalls::list_shortfalls)
        .service(api::snapshots::list_snapshots)
        .service(api::snapshots::take_snapshot)
        .service(api::snapshots::get_snapshot)
        .service(api::snapshots::compare_snapshot);
}
