use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::queries::{ChildRow, TargetRow};
use super::rules::parts_of;
use crate::features::indicators::find;
use crate::features::units::Level;
use crate::platform::ids::{CampaignId, UnitId, WorkerId};
use crate::platform::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::platform::validate::{FieldErrors, Validate};

pub mod report;
pub mod snapshots;

/// A target to set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTarget {
    /// An indicator of the catalogue.
    #[schema(example = "doors_reached_share")]
    pub indicator: String,
    /// For units of this level at and under the unit.
    #[schema(example = "mandal")]
    pub level: Level,
    /// Only for the figures of this campaign; left out: for all.
    #[serde(default)]
    #[schema(value_type = Option<i32>, example = json!(null))]
    pub campaign_id: Option<CampaignId>,
    /// In the indicator's unit; null: from that day on there is none.
    #[schema(example = 60.0)]
    pub value: Option<f64>,
    #[schema(example = "2026-11-23")]
    pub valid_from: NaiveDate,
    #[schema(example = "As the executive decided", min_length = 1, max_length = 500)]
    pub reason: String,
}

impl Validate for NewTarget {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.text("/reason", &self.reason, 1, 500);
        errors.day("/valid_from", self.valid_from);
        match find(&self.indicator) {
            None => errors.add(
                "/indicator",
                "unknown_indicator",
                "is not in the catalogue (GET /v1/indicators)",
            ),
            Some(indicator) => {
                if !indicator.levels.contains(&self.level.as_str()) {
                    errors.add(
                        "/level",
                        "wrong_level",
                        format!("must be one of {}", indicator.levels.join(", ")),
                    );
                }
                if let Some(value) = self.value {
                    errors.range("/value", value, 0.0, indicator.measure.most());
                }
            }
        }
    }
}

/// A target.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TargetView {
    #[schema(example = 1)]
    pub id: i32,
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    #[schema(example = "doors_reached_share")]
    pub indicator: String,
    #[schema(example = "mandal")]
    pub level: String,
    #[schema(value_type = Option<i32>, example = json!(null))]
    pub campaign_id: Option<CampaignId>,
    #[schema(example = 60.0)]
    pub value: Option<f64>,
    #[schema(example = "2026-11-23")]
    pub valid_from: NaiveDate,
    #[schema(example = "As the executive decided")]
    pub reason: String,
    #[schema(value_type = Option<i32>, example = 1)]
    pub set_by: Option<WorkerId>,
    #[schema(example = "2026-11-23T12:00:00Z")]
    pub set_at: DateTime<Utc>,
}

impl From<TargetRow> for TargetView {
    fn from(row: TargetRow) -> Self {
        Self {
            id: row.id,
            unit_id: row.unit_id,
            indicator: row.indicator,
            level: row.level,
            campaign_id: row.campaign_id,
            value: row.value,
            valid_from: row.valid_from,
            reason: row.reason,
            set_by: row.set_by,
            set_at: row.set_at,
        }
    }
}

/// Which shortfalls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams, utoipa::ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
#[schema(as = ShortfallsAsked)]
pub struct Asked {
    /// Units of this level at or under the unit are ranked.
    #[param(inline, example = "mandal")]
    #[schema(example = "mandal")]
    pub level: Level,
    /// The figures of this campaign, with its targets and its rule of committees; of all of them if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<i32>)]
    #[schema(value_type = Option<i32>, example = json!(null))]
    pub campaign: Option<CampaignId>,
    /// Only the constituencies of this target set, as it is today: of states, the sum over theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub target_set: Option<i32>,
    /// One indicator; all that have a target if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub indicator: Option<String>,
    /// First day of the visits; since ever if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub from: Option<NaiveDate>,
    /// Last day of the visits; until now if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub to: Option<NaiveDate>,
    /// The trend is the change since so many days ago: 1 to 90, 7 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub days: Option<i64>,
    /// The level of the three units that weigh most in each: below a state `parliamentary_constituency` (if not given),
    /// `assembly_constituency` or `mandal`; below a district `mandal`; below a parliamentary constituency
    /// `assembly_constituency`; below all others `booth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    #[schema(example = json!(null))]
    pub weigh_by: Option<Level>,
    /// Units ranked for each indicator, the worst first: 1 to 500, 50 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub limit: Option<i64>,
}

impl Asked {
    /// How many days back the trend looks.
    pub fn days_back(&self) -> i64 {
        self.days.unwrap_or(7)
    }

    /// How many units are shown for each indicator.
    pub fn shown(&self) -> usize {
        let limit = self.limit.unwrap_or(i64::from(DEFAULT_LIMIT));
        usize::try_from(limit).unwrap_or_default()
    }

    /// The level of what weighs; `None` if there is none below.
    pub fn weighed(&self) -> Option<&'static str> {
        let parts = parts_of(self.level.as_str());
        match self.weigh_by {
            None => parts.first().copied(),
            Some(level) => parts.iter().copied().find(|part| *part == level.as_str()),
        }
    }
}

impl Validate for Asked {
    fn validate(&self, errors: &mut FieldErrors) {
        for (pointer, day) in [("/from", self.from), ("/to", self.to)] {
            if let Some(day) = day {
                errors.day(pointer, day);
            }
        }
        if self.from.zip(self.to).is_some_and(|(from, to)| from > to) {
            errors.add("/to", "before_from", "must not be before `from`");
        }
        errors.range("/days", self.days_back(), 1, 90);
        errors.range("/limit", self.limit.unwrap_or(1), 1, i64::from(MAX_LIMIT));
        if self.level == Level::Nation {
            errors.add("/level", "wrong_level", "there is one nation: it is not ranked");
        }
        if self.weigh_by.is_some() && self.weighed().is_none() {
            let allowed = parts_of(self.level.as_str()).join(", ");
            errors.add("/weigh_by", "wrong_level", format!("must be one of: {allowed}"));
        }
        if let Some(id) = &self.indicator
            && find(id).is_none()
        {
            errors.add(
                "/indicator",
                "unknown_indicator",
                "is not in the catalogue (GET /v1/indicators)",
            );
        }
        let by_seats = [
            Level::State,
            Level::ParliamentaryConstituency,
            Level::AssemblyConstituency,
            Level::Booth,
        ];
        if self.target_set.is_some() && !by_seats.contains(&self.level) {
            errors.add(
                "/level",
                "wrong_level",
                "with a target set, states, constituencies or booths are ranked: districts and mandals cut across seats",
            );
        }
    }
}

/// A unit that is ranked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RankedUnit {
    #[schema(value_type = i32, example = 6)]
    pub id: UnitId,
    #[schema(example = "S1-M1")]
    pub code: String,
    #[schema(example = "mandal")]
    pub level: String,
    #[schema(example = "Unit S1-M1")]
    pub name: String,
}

impl From<&ChildRow> for RankedUnit {
    fn from(row: &ChildRow) -> Self {
        Self {
            id: row.id,
            code: row.code.clone(),
            level: row.level.clone(),
            name: row.name.clone(),
        }
    }
}
