//! The report of shortfalls.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::{Asked, RankedUnit};
use crate::features::indicators::IndicatorView;
use crate::platform::ids::{CampaignId, UnitId};

/// Where the rows behind a number are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TraceView {
    #[schema(example = "/v1/visits?under=6&outcome=met")]
    pub numerator: String,
    /// Null for a plain count.
    #[schema(example = "/v1/visits?under=6")]
    pub denominator: Option<String>,
}

/// A part of a unit that weighs in its shortfall.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeavyPart {
    pub unit: RankedUnit,
    /// How many (visits, doors, posts, …) it lacks for the unit's target.
    #[schema(example = 60.0)]
    pub missing: f64,
    pub trace: TraceView,
}

/// A unit and how far it falls short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ShortfallItem {
    /// From 1, the worst first.
    #[schema(example = 1)]
    pub rank: usize,
    pub unit: RankedUnit,
    #[schema(example = 60.0)]
    pub target: f64,
    /// The unit that set the target; null: it is the campaign's own.
    #[schema(value_type = Option<i32>, example = 2)]
    pub target_of_unit: Option<UnitId>,
    #[schema(value_type = Option<i32>, example = json!(null))]
    pub target_of_campaign: Option<CampaignId>,
    /// Null where there is nothing to divide by; such units are ranked last.
    #[schema(example = 40.0)]
    pub actual: Option<f64>,
    /// Positive where it falls short, negative where it exceeds the target.
    #[schema(example = 20.0)]
    pub shortfall: Option<f64>,
    /// The same in visits, doors, posts, ….
    #[schema(example = 60.0)]
    pub missing: Option<f64>,
    /// `actual` less what it was on the day that is compared with; null where that is not known.
    #[schema(example = 5.0)]
    pub trend: Option<f64>,
    #[schema(example = 120)]
    pub numerator: i64,
    #[schema(example = 300)]
    pub denominator: Option<i64>,
    pub trace: TraceView,
    /// The three parts that weigh most.
    pub heaviest: Vec<HeavyPart>,
}

/// An indicator and who falls short of its targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ShortfallGroup {
    pub indicator: IndicatorView,
    /// Units that have a target.
    #[schema(example = 2)]
    pub units: usize,
    /// The worst of them.
    pub items: Vec<ShortfallItem>,
}

/// Who falls short, by indicator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ShortfallReport {
    pub unit: RankedUnit,
    pub asked: Asked,
    #[schema(example = "2026-11-23")]
    pub as_of: NaiveDate,
    /// The day that trends compare with.
    #[schema(example = "2026-11-16")]
    pub compared_with: NaiveDate,
    /// In the order of the catalogue; those that have a target.
    pub indicators: Vec<ShortfallGroup>,
}
