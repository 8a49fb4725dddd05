use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::super::counting::Counted;
use super::super::queries::counts::ChildRow;
use super::super::rules::Figures;
use crate::features::units::Level;
use crate::platform::ids::{TaskId, UnitId};
use crate::platform::page::Paging;
use crate::platform::validate::{FieldErrors, Validate};

/// What is counted.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CountFilter {
    /// Only the seats of this target set that lie under the unit.
    pub target_set: Option<i32>,
    /// Only this task.
    #[param(value_type = Option<i32>)]
    pub task_id: Option<TaskId>,
    /// Only tasks due on this day or later.
    pub due_from: Option<NaiveDate>,
    /// Only tasks due on this day or before.
    pub due_to: Option<NaiveDate>,
    /// Of the children: only units of this level; without it those straight below. Elsewhere: only tasks that are for units
    /// of this level.
    #[param(inline)]
    pub level: Option<Level>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl CountFilter {
    /// Which page.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit.clone(),
            cursor: self.cursor.clone(),
        }
    }

    /// Where the same is counted at another unit, task by task.
    fn link(&self, unit_id: UnitId) -> String {
        let mut link = format!("/v1/units/{unit_id}/task-counts");
        let mut sign = '?';
        for (name, value) in [
            ("target_set", self.target_set.map(|id| id.to_string())),
            ("task_id", self.task_id.map(|id| id.to_string())),
            ("due_from", self.due_from.map(|day| day.to_string())),
            ("due_to", self.due_to.map(|day| day.to_string())),
        ] {
            if let Some(value) = value {
                link.push_str(&format!("{sign}{name}={value}"));
                sign = '&';
            }
        }
        link
    }
}

impl Validate for CountFilter {
    fn validate(&self, errors: &mut FieldErrors) {
        for (pointer, day) in [("/due_from", self.due_from), ("/due_to", self.due_to)] {
            if let Some(day) = day {
                errors.day(pointer, day);
            }
        }
    }
}

/// How many units stand how. `assigned` = `open` + `accepted` + `returned` + `done`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TaskFigures {
    /// Units that have a task, summed over the tasks.
    #[schema(example = 5)]
    pub assigned: i64,
    /// Not answered.
    #[schema(example = 4)]
    pub open: i64,
    /// Accepted, or under way.
    #[schema(example = 0)]
    pub accepted: i64,
    /// Returned, and not reported since.
    #[schema(example = 0)]
    pub returned: i64,
    /// Reported done and not returned, verified ones included.
    #[schema(example = 1)]
    pub done: i64,
    /// Of these, verified.
    #[schema(example = 0)]
    pub verified: i64,
    /// Past the due day and not done.
    #[schema(example = 0)]
    pub overdue: i64,
}

impl From<Figures> for TaskFigures {
    fn from(figures: Figures) -> Self {
        let Figures {
            assigned,
            work,
            overdue,
        } = figures;
        Self {
            assigned,
            open: assigned - work.accepted - work.returned - work.done,
            accepted: work.accepted,
            returned: work.returned,
            done: work.done,
            verified: work.verified,
            overdue,
        }
    }
}

/// A task with its figures.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct TaskCountView {
    #[schema(value_type = i32, example = 1)]
    pub task_id: TaskId,
    #[schema(example = "Form a committee in every booth")]
    pub title: String,
    /// The unit that set it.
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    #[schema(example = "booth")]
    pub level: String,
    #[schema(example = "2027-06-30")]
    pub due_on: NaiveDate,
    pub figures: TaskFigures,
    /// The units behind the figures, each as it stands; `status=` picks those behind one.
    #[schema(example = "/v1/tasks/1/units?under=2")]
    pub trace: String,
}

impl TaskCountView {
    /// A task as it is counted at a unit.
    pub fn new(counted: Counted, unit_id: UnitId, filter: &CountFilter) -> Self {
        let set = filter.target_set.map(|id| format!("&target_set={id}"));
        Self {
            trace: format!(
                "/v1/tasks/{}/units?under={unit_id}{}",
                counted.task.id,
                set.unwrap_or_default()
            ),
            task_id: counted.task.id,
            title: counted.task.title,
            unit_id: counted.task.unit_id,
            level: counted.task.level,
            due_on: counted.task.due_on,
            figures: counted.figures.into(),
        }
    }
}

/// The tasks of the units under a unit.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct TaskCountsView {
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    /// The day as of which it is counted.
    #[schema(example = "2026-11-23")]
    pub on: NaiveDate,
    /// How many tasks there are.
    #[schema(example = 1)]
    pub tasks: i64,
    /// Over all of them, whatever the page.
    pub figures: TaskFigures,
    /// Each of them, by id.
    pub items: Vec<TaskCountView>,
    /// Pass it as `cursor` to get the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// A unit with the figures of the tasks at and under it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct TaskChildView {
    #[schema(value_type = i32, example = 4)]
    pub unit_id: UnitId,
    #[schema(example = "S1-D1")]
    pub code: String,
    #[schema(example = "district")]
    pub level: String,
    #[schema(example = "Unit S1-D1")]
    pub name: String,
    pub figures: TaskFigures,
    /// The same figures task by task.
    #[schema(example = "/v1/units/4/task-counts")]
    pub trace: String,
}

impl TaskChildView {
    /// A unit with its figures.
    pub fn new(row: ChildRow, figures: Figures, filter: &CountFilter) -> Self {
        Self {
            trace: filter.link(row.id),
            unit_id: row.id,
            code: row.code,
            level: row.level,
            name: row.name,
            figures: figures.into(),
        }
    }
}
