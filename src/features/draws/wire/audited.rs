use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::features::draws::queries::AuditedRow;
use crate::features::draws::rules::rate::{Rate, combined};
use crate::platform::ids::{CampaignId, UnitId};
use crate::platform::page::Paging;
use crate::platform::validate::{FieldErrors, Validate};

/// A share with its 95 % interval (Wilson).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = ErrorRateView)]
pub struct RateView {
    #[schema(example = 0.0625)]
    pub rate: f64,
    #[schema(example = 0.017)]
    pub low: f64,
    #[schema(example = 0.202)]
    pub high: f64,
    /// On how many checks of a plain sample the interval stands: of several draws, fewer than were made.
    #[schema(example = 32.0)]
    pub effective_checks: f64,
}

impl From<Rate> for RateView {
    fn from(rate: Rate) -> Self {
        Self {
            rate: rate.rate,
            low: rate.low,
            high: rate.high,
            effective_checks: rate.effective,
        }
    }
}

/// How many visits would stand if all had been checked, with the bounds of the interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = AuditedVisitsView)]
pub struct EstimateView {
    #[schema(example = 937.5)]
    pub estimate: f64,
    #[schema(example = 798.0)]
    pub low: f64,
    #[schema(example = 983.0)]
    pub high: f64,
}

/// What a unit reported, and what audits say of it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct AuditedView {
    #[schema(value_type = i32, example = 6)]
    pub unit_id: UnitId,
    #[schema(example = "S24-M012")]
    pub code: String,
    #[schema(example = "mandal")]
    pub level: String,
    #[schema(example = "Mandal 12")]
    pub name: String,
    /// As in the totals.
    #[schema(example = 1000)]
    pub reported_visits: i64,
    /// Draws that could have drawn a visit of the unit.
    #[schema(example = 1)]
    pub draws: i64,
    /// Visits of the unit that could be drawn, by all draws together.
    #[schema(example = 250)]
    pub frame_visits: i64,
    /// Visits of the unit that were drawn.
    #[schema(example = 32)]
    pub drawn: i64,
    /// Of those, confirmed or refuted.
    #[schema(example = 32)]
    pub checked: i64,
    #[schema(example = 2)]
    pub mismatched: i64,
    /// Checked, but nothing could be found out.
    #[schema(example = 0)]
    pub unconfirmed: i64,
    /// Not checked, or not in time.
    #[schema(example = 0)]
    pub unfinished: i64,
    /// Null where nothing was confirmed or refuted.
    pub error_rate: Option<RateView>,
    /// Reported visits less the share of mismatches.
    pub audited_visits: Option<EstimateView>,
}

impl From<AuditedRow> for AuditedView {
    fn from(row: AuditedRow) -> Self {
        let sum = |of: fn(&crate::features::draws::queries::GroupRow) -> i32| -> i64 {
            row.groups.iter().map(|group| i64::from(of(group))).sum()
        };
        let groups: Vec<_> = row
            .groups
            .iter()
            .map(crate::features::draws::queries::GroupRow::group)
            .collect();
        let rate = combined(&groups);
        // Exact up to 2^53; no unit has that many.
        let reported = i32::try_from(row.reported).map_or(f64::from(i32::MAX), f64::from);
        Self {
            unit_id: row.unit.id,
            code: row.unit.code.clone(),
            level: row.unit.level.clone(),
            name: row.unit.name.clone(),
            reported_visits: row.reported,
            draws: i64::try_from(row.groups.len()).unwrap_or(i64::MAX),
            frame_visits: sum(|group| group.frame),
            drawn: sum(|group| group.drawn),
            checked: sum(|group| group.matched + group.mismatched),
            mismatched: sum(|group| group.mismatched),
            unconfirmed: sum(|group| group.unconfirmed),
            unfinished: sum(|group| group.drawn - group.matched - group.mismatched - group.unconfirmed),
            error_rate: rate.map(RateView::from),
            audited_visits: rate.map(|rate| EstimateView {
                estimate: reported * (1.0 - rate.rate),
                low: reported * (1.0 - rate.high),
                high: reported * (1.0 - rate.low),
            }),
        }
    }
}

/// Which visits and draws.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditedQuery {
    /// One campaign; all of them if not given.
    #[param(value_type = Option<i32>, example = 1)]
    pub campaign_id: Option<CampaignId>,
    /// First day of the visits; draws whose days begin earlier are left out.
    #[param(example = "2026-11-01")]
    pub from: Option<NaiveDate>,
    /// Last day of the visits; draws whose days end later are left out.
    #[param(example = "2026-11-30")]
    pub to: Option<NaiveDate>,
}

/// The same for the units under one.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditedChildrenQuery {
    /// Units of this level under the unit; those straight under it if not given.
    #[param(example = "booth")]
    pub level: Option<String>,
    /// One campaign; all of them if not given.
    #[param(value_type = Option<i32>, example = 1)]
    pub campaign_id: Option<CampaignId>,
    /// First day of the visits; draws whose days begin earlier are left out.
    pub from: Option<NaiveDate>,
    /// Last day of the visits; draws whose days end later are left out.
    pub to: Option<NaiveDate>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

const LEVELS: [&str; 7] = [
    "state",
    "district",
    "mandal",
    "shakti_kendra",
    "booth",
    "parliamentary_constituency",
    "assembly_constituency",
];

impl AuditedChildrenQuery {
    /// Which page.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit.clone(),
            cursor: self.cursor.clone(),
        }
    }
}

fn check_period(from: Option<NaiveDate>, to: Option<NaiveDate>, errors: &mut FieldErrors) {
    for (pointer, day) in [("/from", from), ("/to", to)] {
        if let Some(day) = day {
            errors.day(pointer, day);
        }
    }
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        errors.add("/to", "before_from", "must not be before `from`");
    }
}

impl Validate for AuditedQuery {
    fn validate(&self, errors: &mut FieldErrors) {
        check_period(self.from, self.to, errors);
    }
}

impl Validate for AuditedChildrenQuery {
    fn validate(&self, errors: &mut FieldErrors) {
        check_period(self.from, self.to, errors);
        if let Some(level) = &self.level
            && !LEVELS.contains(&level.as_str())
        {
            errors.add(
                "/level",
                "unknown_value",
                format!("must be one of {}", LEVELS.join(", ")),
            );
        }
    }
}
