use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::super::queries::reports::ReportRow;
use super::super::queries::reviews::{FindingRow, ReviewRow};
use super::super::queries::{PravasRow, StopRow};
use crate::platform::ids::{PravasId, StopId, StopReportId, TaskId, UnitId, WorkerId};
use crate::platform::page::Paging;

/// Which tours.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PravasFilter {
    /// Only those planned at this unit or under it, or with a seat or stop there.
    #[param(value_type = Option<i32>, example = 2)]
    pub under: Option<UnitId>,
    #[param(value_type = Option<i32>)]
    pub leader_id: Option<WorkerId>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl PravasFilter {
    /// Which page.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit.clone(),
            cursor: self.cursor.clone(),
        }
    }
}

/// A tour.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PravasView {
    #[schema(value_type = i32, example = 1)]
    pub id: PravasId,
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    #[schema(value_type = i32, example = 1)]
    pub leader_id: WorkerId,
    #[schema(example = "Pravas in the seats to win")]
    pub title: String,
    #[schema(example = "2026-11-23")]
    pub starts_on: NaiveDate,
    #[schema(example = "2026-11-30")]
    pub ends_on: NaiveDate,
    #[schema(example = json!(null))]
    pub target_set: Option<i32>,
    /// Those of its seats that lie in your scope.
    #[schema(value_type = Vec<i32>, example = json!([9]))]
    pub seats: Vec<UnitId>,
    /// Counts the changes of the tour itself; the ETag.
    #[schema(example = 1)]
    pub version: i32,
    #[schema(value_type = Option<i32>, example = 1)]
    pub created_by: Option<WorkerId>,
    pub created_at: DateTime<Utc>,
    pub changed_at: DateTime<Utc>,
    pub cancelled_at: Option<DateTime<Utc>>,
    pub cancel_reason: Option<String>,
}

impl From<PravasRow> for PravasView {
    fn from(row: PravasRow) -> Self {
        Self {
            id: row.id,
            unit_id: row.unit_id,
            leader_id: row.leader_id,
            title: row.title,
            starts_on: row.starts_on,
            ends_on: row.ends_on,
            target_set: row.target_set_id,
            seats: row.seats,
            version: row.version,
            created_by: row.created_by,
            created_at: row.created_at,
            changed_at: row.changed_at,
            cancelled_at: row.cancelled_at,
            cancel_reason: row.cancel_reason,
        }
    }
}

/// A tour with its stops.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PravasPlanView {
    pub pravas: PravasView,
    /// Those in your scope, by day; the first 500.
    pub stops: Vec<StopView>,
}

/// A stop of a tour.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct StopView {
    #[schema(value_type = i32, example = 1)]
    pub id: StopId,
    #[schema(value_type = i32, example = 1)]
    pub pravas_id: PravasId,
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    #[schema(example = "2026-11-24")]
    pub day: NaiveDate,
    #[schema(example = "Meet the booth committee")]
    pub purpose: String,
    /// Counts the changes of the plan; the ETag.
    #[schema(example = 1)]
    pub version: i32,
    #[schema(example = false)]
    pub cancelled: bool,
    /// Whether it was held, by the report that holds; null while there is none.
    #[schema(example = json!(null))]
    pub held: Option<bool>,
    /// The report that holds.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub report_id: Option<StopReportId>,
}

impl From<StopRow> for StopView {
    fn from(row: StopRow) -> Self {
        Self {
            id: row.id,
            pravas_id: row.pravas_id,
            unit_id: row.unit_id,
            day: row.day,
            purpose: row.purpose,
            version: row.version,
            cancelled: row.cancelled,
            held: row.held,
            report_id: row.report_id,
        }
    }
}

/// A stop with all that was reported of it.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct StopHistoryView {
    pub stop: StopView,
    /// The latest 100, the one that holds first.
    pub reports: Vec<StopReportView>,
    /// Tasks that were raised there.
    #[schema(value_type = Vec<i32>, example = json!([]))]
    pub tasks: Vec<TaskId>,
}

/// A report as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct StopReportView {
    #[schema(value_type = uuid::Uuid, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd77")]
    pub id: StopReportId,
    #[schema(value_type = i32, example = 1)]
    pub stop_id: StopId,
    #[schema(value_type = i32, example = 1)]
    pub worker_id: WorkerId,
    pub reported_at: DateTime<Utc>,
    pub received_at: DateTime<Utc>,
    #[schema(example = true)]
    pub held: bool,
    pub attendance: Option<i32>,
    pub observations: Option<String>,
    #[schema(example = json!(["road"]))]
    pub issues: Vec<String>,
}

impl From<ReportRow> for StopReportView {
    fn from(row: ReportRow) -> Self {
        Self {
            id: row.id,
            stop_id: row.stop_id,
            worker_id: row.worker_id,
            reported_at: row.reported_at,
            received_at: row.received_at,
            held: row.held,
            attendance: row.attendance,
            observations: row.observations,
            issues: row.issues,
        }
    }
}

/// A finding and its task.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FindingView {
    #[schema(example = 1)]
    pub number: i16,
    #[schema(example = "Committees exist on paper")]
    pub finding: String,
    #[schema(value_type = i32, example = 2)]
    pub task_id: TaskId,
    /// Who answers for it.
    #[schema(value_type = Option<i32>, example = 1)]
    pub owner_id: Option<WorkerId>,
}

/// A review with its findings.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = PravasReviewView)]
pub struct ReviewView {
    #[schema(example = 1)]
    pub id: i32,
    #[schema(value_type = i32, example = 1)]
    pub pravas_id: PravasId,
    #[schema(example = "2026-11-23")]
    pub held_on: NaiveDate,
    pub summary: String,
    #[schema(value_type = i32, example = 1)]
    pub written_by: WorkerId,
    pub written_at: DateTime<Utc>,
    pub findings: Vec<FindingView>,
}

impl ReviewView {
    /// With those of these findings that are its own.
    pub fn new(row: ReviewRow, all: &[FindingRow]) -> Self {
        let own = all.iter().filter(|finding| finding.review_id == row.id);
        let findings = own.map(|finding| FindingView {
            number: finding.number,
            finding: finding.finding.clone(),
            task_id: finding.task_id,
            owner_id: finding.owner_id,
        });
        Self {
            id: row.id,
            pravas_id: row.pravas_id,
            held_on: row.held_on,
            summary: row.summary,
            written_by: row.written_by,
            written_at: row.written_at,
            findings: findings.collect(),
        }
    }
}
