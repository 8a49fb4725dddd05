use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::queries::HouseholdRow;
use crate::platform::ids::{HouseholdId, UnitId};
use crate::platform::location::Location;
use crate::platform::personal::holds_personal_number;
use crate::platform::validate::{FieldErrors, Validate};

/// A household as the phone sends it, whole: what is left out is unknown.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HouseholdSent {
    /// The booth it belongs to, for ever.
    #[schema(value_type = i32, example = 14)]
    pub booth_id: UnitId,
    /// House number or the like, 1 to 100 characters; no names, no phone numbers.
    #[schema(example = "12-A", min_length = 1, max_length = 100)]
    pub label: String,
    /// How many electors live there.
    #[serde(default)]
    #[schema(example = 4, minimum = 0, maximum = 1000)]
    pub electors: Option<i32>,
    #[serde(default)]
    pub location: Option<Location>,
}

impl Validate for HouseholdSent {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.text("/label", &self.label, 1, 100);
        if holds_personal_number(&self.label) {
            errors.add(
                "/label",
                "personal_number",
                "a label must not hold a phone or identity number; use the house number",
            );
        }
        if let Some(electors) = self.electors {
            errors.range("/electors", electors, 0, 1000);
        }
        if let Some(location) = &self.location {
            location.check("/location", errors);
        }
    }
}

/// A household.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct HouseholdView {
    #[schema(value_type = uuid::Uuid, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33")]
    pub id: HouseholdId,
    #[schema(value_type = i32, example = 14)]
    pub booth_id: UnitId,
    #[schema(example = "12-A")]
    pub label: String,
    #[schema(example = 4)]
    pub electors: Option<i32>,
    pub location: Option<Location>,
    /// Counts the changes; the ETag.
    #[schema(example = 1)]
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl From<HouseholdRow> for HouseholdView {
    fn from(row: HouseholdRow) -> Self {
        Self {
            id: row.id,
            booth_id: row.booth_id,
            label: row.label,
            electors: row.electors,
            location: Location::from_columns(row.lat, row.lon),
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
