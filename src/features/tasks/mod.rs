//! Tasks: what a unit wants of every unit of a level under it, or under the seats of a target set, by a day; what those
//! units report of it, and what the level above says to that.
//!
//! Invariants:
//! * Setting a task costs one row, however many units it is for. It is for the units of its level that have the unit that
//!   set it (and one of its seats, if it is narrowed to a target set) in their lineage *today*: who moves away is rid of
//!   it, who moves in has it. The seats are those of the day on which it was set.
//! * A report is made by a phone under its own id, never changed, and stored whenever it comes: late, twice, out of order,
//!   for a task that was cancelled meanwhile. Of a unit's reports the latest holds, by when it was made; once it is
//!   verified it holds until it is returned.
//! * A task that is met by an indicator takes no reports: units have it verified as long as the indicator reaches its value,
//!   as `measures` finds every few minutes (`measured_at`).
//! * Every report and verdict is kept, and leaves an entry in the journal at its unit.
//! * Counts at every unit equal a recount of how its units stand, the instant a report is stored (`counting`). They are
//!   charged along the lineages of the day on which the task was set, by way of an inbox as visits are, so that units that
//!   report in the same evening do not queue for the row of their state; what moved since is corrected when they are read.
//! * When a day is over, how the units above the booth stood to their tasks is kept (`closing`): the trend of reports. It
//!   never moves.
//!
//! Who may do what: `task.write` at the unit that sets it; `task.report` at the unit that reports, on the day of the report
//! or today; `task.verify` *above* the unit, and never of one's own report; `task.read` sees the tasks set at, under and
//! above one's units, and of each the units in one's scope.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod closing;
mod counting;
mod measured;
mod queries;
mod rules;
mod wire;

pub use api::raise::set_tasks;
pub use api::read_tasks;
pub use api::units::tasks_of_units;
pub use closing::{close_days, start_closing};
pub use counting::figures_of_units;
pub use measured::{Settled, settle_met};
pub use queries::closings::closed_on;
pub use queries::is_active_worker;
pub use queries::measured::{MeasuredTask, next_measured, note_measured};
pub use rules::Figures;
pub use wire::standing::TaskStandingView;
pub use wire::{TaskView, UnitTask};

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::list_tasks)
        .service(api::create_task)
        .service(api::get_task)
        .service(api::change::update_task)
        .service(api::change::list_versions)
        .service(api::units::list_units)
        .service(api::units::get_standing)
        .service(api::units::list_tasks_of_unit)
        .service(api::report::record_report)
        .service(api::report::give_verdict)
        .service(api::counts::get_counts)
        .service(api::counts::list_counts_of_children)
        .service(api::counts::list_overdue);
}
