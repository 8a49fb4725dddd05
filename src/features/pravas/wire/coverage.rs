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

/// Which stops.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct StopFilter {
    /// Only stops of this leader.
    #[param(value_type = Option<i32>)]
    pub leader_id: Option<WorkerId>,
    /// Only stops in the seats of this target set.
    pub target_set: Option<i32>,
    /// Only stops on this day or later.
    pub from: Option<NaiveDate>,
    /// Only stops on this day or before.
    pub to: Option<NaiveDate>,
    /// Only stops that were held as reported, or only those that were not; both and those without a report if not given.
    pub held: Option<bool>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl StopFilter {
    /// What it has in common with the figures.
    pub fn covered(&self) -> CoverageFilter {
        CoverageFilter {
            leader_id: self.leader_id,
            target_set: self.target_set,
            from: self.from,
            to: self.to,
            visited: None,
            limit: self.limit.clone(),
            cursor: self.cursor.clone(),
        }
    }
}

/// Where the stops behind figures are read.
fn stops_link(unit_id: UnitId, filter: &CoverageFilter, leader_id: Option<WorkerId>) -> String {
    let mut link = format!("/v1/units/{unit_id}/pravas/stops");
    let mut sign = '?';
    for (name, value) in [
        ("leader_id", leader_id.map(|id| id.to_string())),
        ("target_set", filter.target_set.map(|id| id.to_string())),
        ("from", filter.from.map(|day| day.to_string())),
        ("to", filter.to.map(|day| day.to_string())),
    ] {
        if let Some(value) = value {
            link.push_str(&format!("{sign}{name}={value}"));
            sign = '&';
        }
    }
    link
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
    /// The stops behind the figures.
    #[schema(example = "/v1/units/9/pravas/stops")]
    pub trace: String,
}

impl SeatCoverageView {
    /// As it was asked for.
    pub fn new(row: SeatRow, filter: &CoverageFilter) -> Self {
        Self {
            trace: stops_link(row.id, filter, filter.leader_id),
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
    /// The stops behind the figures.
    #[schema(example = "/v1/units/2/pravas/stops?leader_id=1")]
    pub trace: String,
}

impl LeaderCoverageView {
    /// What he covered under a unit, as it was asked for.
    pub fn new(row: LeaderRow, unit_id: UnitId, filter: &CoverageFilter) -> Self {
        Self {
            trace: stops_link(unit_id, filter, Some(row.leader_id)),
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
