use serde::{Deserialize, Serialize};

use super::catalogue::{Direction, Indicator, Measure, Source};

/// An indicator of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IndicatorView {
    #[schema(example = "doors_reached_share")]
    pub id: String,
    #[schema(example = "Doors reached")]
    pub name: String,
    /// In words, by the names that the figures have in totals and committees.
    #[schema(example = "100 x doors_reached / doors of the booths, where they are known")]
    pub formula: String,
    #[schema(inline)]
    pub unit: Measure,
    #[schema(inline)]
    pub direction: Direction,
    /// Levels at which it is measured.
    #[schema(example = json!(["state", "mandal", "booth"]))]
    pub levels: Vec<String>,
    #[schema(inline)]
    pub source: Source,
}

impl From<&Indicator> for IndicatorView {
    fn from(indicator: &Indicator) -> Self {
        Self {
            id: indicator.id.to_owned(),
            name: indicator.name.to_owned(),
            formula: indicator.formula.to_owned(),
            unit: indicator.measure,
            direction: indicator.direction,
            levels: indicator.levels.iter().map(|level| (*level).to_owned()).collect(),
            source: indicator.source,
        }
    }
}

/// The catalogue.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CatalogueView {
    pub items: Vec<IndicatorView>,
}
