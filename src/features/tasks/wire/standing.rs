use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::super::queries::units::{ReportRow, StandingRow, VerdictRow};
use super::{Evidence, MAX_REASON, TaskView, check_text, words};
use crate::platform::ids::{TaskId, TaskReportId, UnitId, WorkerId};
use crate::platform::page::Paging;
use crate::platform::validate::{FieldErrors, Validate};

/// Most characters in a note.
const MAX_NOTE: usize = 500;
/// Most characters in the reference of a photo.
const MAX_PHOTO: usize = 200;

words! {
    /// How a unit stands to a task.
    Status as TaskStatus {
        /// It has not answered.
        Open "open",
        Accepted "accepted",
        InProgress "in_progress",
        /// Reported done, not yet judged.
        Done "done",
        Verified "verified",
        /// Returned with a reason; to be reported again.
        Returned "returned",
    }
}
words! {
    /// What a unit can report.
    Reported as TaskReported { Accepted "accepted", InProgress "in_progress", Done "done" }
}
words! {
    /// What the level above says.
    Verdict as TaskVerdict { Verified "verified", Returned "returned" }
}

/// What a unit reports of a task. The phone makes the id; sending the same again is safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskReportSent {
    /// Made by the phone (UUID; version 7 preferred).
    #[schema(value_type = uuid::Uuid, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd55")]
    pub id: TaskReportId,
    #[schema(value_type = i32, example = 1)]
    pub task_id: TaskId,
    /// The unit that the task is for.
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    /// By the phone's clock, right or wrong.
    #[schema(example = "2026-11-23T11:05:00+05:30")]
    pub reported_at: DateTime<Utc>,
    #[schema(inline)]
    pub status: Reported,
    /// Per cent done.
    #[serde(default)]
    #[schema(example = json!(null), minimum = 0, maximum = 100)]
    pub progress: Option<i16>,
    /// Evidence: a count.
    #[serde(default)]
    #[schema(example = 11, minimum = 0, maximum = 10_000_000)]
    pub count: Option<i32>,
    /// Evidence: a note about the work; no names or numbers of citizens.
    #[serde(default)]
    #[schema(example = "Eleven members, minutes signed", max_length = 500)]
    pub note: Option<String>,
    /// Evidence: where the photo is kept. Photos themselves are not taken here.
    #[serde(default)]
    #[schema(example = json!(null), max_length = 200)]
    pub photo: Option<String>,
}

impl Validate for TaskReportSent {
    fn validate(&self, errors: &mut FieldErrors) {
        if let Some(progress) = self.progress {
            errors.range("/progress", progress, 0, 100);
        }
        if let Some(count) = self.count {
            errors.range("/count", count, 0, 10_000_000);
        }
        if let Some(note) = &self.note {
            check_text(errors, "/note", note, 1, MAX_NOTE);
        }
        errors.optional_text("/photo", self.photo.as_deref(), 1, MAX_PHOTO);
        use chrono::Datelike;
        errors.range("/reported_at", self.reported_at.year(), 1900, 2200);
    }
}

impl TaskReportSent {
    /// The evidence that it lacks.
    pub fn lacks(&self, wanted: &str) -> Option<(&'static str, &'static str)> {
        if self.status != Reported::Done {
            return None;
        }
        match Evidence::find(wanted) {
            Some(Evidence::Note) if self.note.is_none() => {
                Some(("/note", "the task wants a note as evidence"))
            }
            Some(Evidence::Count) if self.count.is_none() => {
                Some(("/count", "the task wants a count as evidence"))
            }
            Some(Evidence::Photo) if self.photo.is_none() => {
                Some(("/photo", "the task wants the reference of a photo as evidence"))
            }
            _ => None,
        }
    }
}

/// A report as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TaskReportView {
    #[schema(value_type = uuid::Uuid, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd55")]
    pub id: TaskReportId,
    #[schema(value_type = i32, example = 1)]
    pub task_id: TaskId,
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    #[schema(value_type = i32, example = 3)]
    pub worker_id: WorkerId,
    pub reported_at: DateTime<Utc>,
    pub received_at: DateTime<Utc>,
    #[schema(example = "done")]
    pub status: String,
    pub progress: Option<i16>,
    pub count: Option<i32>,
    pub note: Option<String>,
    pub photo: Option<String>,
}

impl From<ReportRow> for TaskReportView {
    fn from(row: ReportRow) -> Self {
        Self {
            id: row.id,
            task_id: row.task_id,
            unit_id: row.unit_id,
            worker_id: row.worker_id,
            reported_at: row.reported_at,
            received_at: row.received_at,
            status: row.status,
            progress: row.progress,
            count: row.count,
            note: row.note,
            photo: row.photo,
        }
    }
}

/// How a unit stands to a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TaskStandingView {
    #[schema(value_type = i32, example = 1)]
    pub task_id: TaskId,
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    #[schema(example = "S1-B1")]
    pub code: String,
    #[schema(example = "Unit S1-B1")]
    pub name: String,
    /// `open`, `accepted`, `in_progress`, `done`, `verified` or `returned`.
    #[schema(example = "open")]
    pub status: String,
    #[schema(example = "2027-06-30")]
    pub due_on: NaiveDate,
    /// Past its due day and not done.
    #[schema(example = false)]
    pub overdue: bool,
    /// The report that holds.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub report_id: Option<TaskReportId>,
    #[schema(value_type = Option<i32>)]
    pub reported_by: Option<WorkerId>,
    pub progress: Option<i16>,
    /// What was said with the verdict.
    pub reason: Option<String>,
    #[schema(value_type = Option<i32>)]
    pub judged_by: Option<WorkerId>,
    pub judged_at: Option<DateTime<Utc>>,
}

impl TaskStandingView {
    /// As it is on a day.
    pub fn new(row: StandingRow, today: NaiveDate) -> Self {
        let done = row.status == Status::Done.as_str() || row.status == Status::Verified.as_str();
        Self {
            task_id: row.task_id,
            unit_id: row.receiver_id,
            code: row.code,
            name: row.name,
            overdue: !done && !row.cancelled && row.due_on < today,
            status: row.status,
            due_on: row.due_on,
            report_id: row.report_id,
            reported_by: row.reported_by,
            progress: row.progress,
            reason: row.reason,
            judged_by: row.judged_by,
            judged_at: row.judged_at,
        }
    }
}

/// A report that was stored, and how its unit stands now.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct TaskReportedView {
    pub report: TaskReportView,
    pub standing: TaskStandingView,
}

/// The verdict of the level above.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskVerdictSent {
    /// The report that was judged: `report_id` of the standing.
    #[schema(value_type = uuid::Uuid, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd56")]
    pub report_id: TaskReportId,
    #[schema(inline)]
    pub verdict: Verdict,
    /// Required when it is returned; no phone or identity numbers.
    #[serde(default)]
    #[schema(example = "Seen on the spot", min_length = 1, max_length = 500)]
    pub reason: Option<String>,
}

impl Validate for TaskVerdictSent {
    fn validate(&self, errors: &mut FieldErrors) {
        match &self.reason {
            Some(reason) => check_text(errors, "/reason", reason, 1, MAX_REASON),
            None if self.verdict == Verdict::Returned => {
                errors.add("/reason", "missing", "say what is to be mended");
            }
            None => {}
        }
    }
}

/// A verdict as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TaskVerdictView {
    #[schema(value_type = uuid::Uuid)]
    pub report_id: TaskReportId,
    #[schema(example = "verified")]
    pub verdict: String,
    pub reason: Option<String>,
    #[schema(value_type = i32, example = 1)]
    pub judged_by: WorkerId,
    pub judged_at: DateTime<Utc>,
}

impl From<VerdictRow> for TaskVerdictView {
    fn from(row: VerdictRow) -> Self {
        Self {
            report_id: row.report_id,
            verdict: row.verdict,
            reason: row.reason,
            judged_by: row.judged_by,
            judged_at: row.judged_at,
        }
    }
}

/// How a unit stands to a task, and how it came to that.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct TaskHistoryView {
    pub standing: TaskStandingView,
    /// The latest 100, by when they were made.
    pub reports: Vec<TaskReportView>,
    /// The latest 100.
    pub verdicts: Vec<TaskVerdictView>,
    /// The tasks by which the unit breaks it down.
    #[schema(value_type = Vec<i32>, example = json!([]))]
    pub parts: Vec<TaskId>,
}

/// A task of a unit and how the unit stands to it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct UnitTaskView {
    pub task: TaskView,
    pub standing: TaskStandingView,
}

/// Which units of a task.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct StandingFilter {
    /// Only units under this one.
    #[param(value_type = Option<i32>, example = 2)]
    pub under: Option<UnitId>,
    /// Only units in the seats of this target set.
    pub target_set: Option<i32>,
    /// Only those that stand so.
    #[param(inline)]
    pub status: Option<Status>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl StandingFilter {
    /// Which page.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit.clone(),
            cursor: self.cursor.clone(),
        }
    }
}

/// Which tasks of a unit.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UnitTaskFilter {
    /// Only those to which the unit stands so.
    #[param(inline)]
    pub status: Option<Status>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl UnitTaskFilter {
    /// Which page.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit.clone(),
            cursor: self.cursor.clone(),
        }
    }
}
