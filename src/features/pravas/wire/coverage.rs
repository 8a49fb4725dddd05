use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::super::queries::coverage::{LeaderRow, MissingRow, SeatRow};
use crate::platform::ids::{PravasId, StopId, UnitId, WorkerId};
use crate::platform::page::Paging;
use crate::platform::validate::{FieldErrors, Validate};

/// What is covered, by whom and when.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CoverageFilter {
    /// Only tours of this leader.
    #[param(value_type = Option<i32>)]
    pub leader_id: Option<WorkerId>,
    /// Only the seats of this target set, and stops there.
    pub target_set: Option<i32>,
    /// Only tours, and stops, on this day or later.
    pub from: Option<NaiveDate>,
    /// Only tours, and stops, on this day or before.
    pub to: Option<NaiveDate>,
    /// Of seats: only those where no stop was made, or only those where one was.
    pub visited: Option<bool>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl CoverageFilter {
    /// Which page.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit.clone(),
            cursor: self.cursor.clone(),
        }
    }
}

impl Validate for CoverageFilter {
    fn validate(&self, errors: &mut FieldErrors) {
        for (pointer, day) in [("/from", self.from), ("/to", self.to)] {
            if let Some(day) = day {
                errors.day(pointer, day);
            }
        }
    }
}

/// A constituency that was given to leaders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SeatCoverageView {
    #[schema(value_type = i32, example = 9)]
    pub unit_id: UnitId,
    #[schema(example = "S1-PC1")]
    pub code: String,
    #[schema(example = "Unit S1-PC1")]
    pub name: String,
    /// How many leaders were given it.
    #[schema(example = 1)]
    pub leaders: i64,
    #[schema(example = 2)]
    pub stops_planned: i64,
    /// Held, as reported.
    #[schema(example = 1)]
    pub stops_made: i64,
    #[schema(example = "2026-11-23")]
    pub last_made_on: Option<NaiveDate>,
    /// False: given to somebody and never visited.
    #[schema(example = true)]
    pub visited: bool,
}

impl From<SeatRow> for SeatCoverageView {
    fn from(row: SeatRow) -> Self {
        Self {
            unit_id: row.id,
            code: row.code,
            name: row.name,
            leaders: row.leaders,
            stops_planned: row.planned,
            stops_made: row.made,
            last_made_on: row.last_made_on,
            visited: row.made > 0,
        }
    }
}

/// A leader and what he has covered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LeaderCoverageView {
    #[schema(value_type = i32, example = 1)]
    pub leader_id: WorkerId,
    /// Seats that he was given.
    #[schema(example = 1)]
    pub seats: i64,
    /// Those of them in which he made a stop.
    #[schema(example = 1)]
    pub seats_visited: i64,
    #[schema(example = 2)]
    pub stops_planned: i64,
    #[schema(example = 1)]
    pub stops_made: i64,
    /// Stops before today without a report.
    #[schema(example = 0)]
    pub reports_missing: i64,
}

impl From<LeaderRow> for LeaderCoverageView {
    fn from(row: LeaderRow) -> Self {
        Self {
            leader_id: row.leader_id,
            seats: row.seats,
            seats_visited: row.seats_visited,
            stops_planned: row.planned,
            stops_made: row.made,
            reports_missing: row.missing,
        }
    }
}

/// A stop whose report is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct MissingReportView {
    #[schema(value_type = i32, example = 1)]
    pub stop_id: StopId,
    #[schema(value_type = i32, example = 1)]
    pub pravas_id: PravasId,
    #[schema(value_type = i32, example = 1)]
    pub leader_id: WorkerId,
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    #[schema(example = "2026-11-23")]
    pub day: NaiveDate,
    /// True: its day is past. False: it is due today.
    #[schema(example = false)]
    pub missing: bool,
}

impl MissingReportView {
    /// As it is on a day.
    pub fn new(row: &MissingRow, today: NaiveDate) -> Self {
        Self {
            stop_id: row.id,
            pravas_id: row.pravas_id,
            leader_id: row.leader_id,
            unit_id: row.unit_id,
            day: row.day,
            missing: row.day < today,
        }
    }
}
