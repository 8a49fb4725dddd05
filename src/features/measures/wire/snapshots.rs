//! Snapshots of reports, and what has changed since.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::report::ShortfallReport;
use super::{Asked, RankedUnit};
use crate::features::measures::queries::snapshots::SnapshotRow;
use crate::platform::ids::{UnitId, WorkerId};
use crate::platform::validate::{FieldErrors, Validate};

/// A review to freeze.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSnapshot {
    #[schema(example = "Review of November", min_length = 1, max_length = 200)]
    pub name: String,
    pub asked: Asked,
}

impl Validate for NewSnapshot {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.text("/name", &self.name, 1, 200);
        let mut inner = FieldErrors::default();
        self.asked.validate(&mut inner);
        for error in inner.0 {
            errors.add(format!("/asked{}", error.pointer), &error.code, error.detail);
        }
    }
}

/// A snapshot, without its figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SnapshotHead {
    #[schema(example = 1)]
    pub id: i32,
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    #[schema(example = "Review of November")]
    pub name: String,
    #[schema(example = "2026-11-23")]
    pub taken_on: NaiveDate,
    #[schema(value_type = Option<i32>, example = 1)]
    pub taken_by: Option<WorkerId>,
    #[schema(example = "2026-11-23T12:00:00Z")]
    pub taken_at: DateTime<Utc>,
    /// SHA-256 of the report's JSON, as the journal holds it.
    #[schema(example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub sha256: String,
}

impl From<&SnapshotRow> for SnapshotHead {
    fn from(row: &SnapshotRow) -> Self {
        Self {
            id: row.id,
            unit_id: row.unit_id,
            name: row.name.clone(),
            taken_on: row.taken_on,
            taken_by: row.taken_by,
            taken_at: row.taken_at,
            sha256: row.digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// A snapshot: the report as it was shown.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SnapshotView {
    pub snapshot: SnapshotHead,
    pub report: ShortfallReport,
}

/// A unit then and now.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ComparedUnit {
    pub unit: RankedUnit,
    #[schema(example = "contact_rate")]
    pub indicator: String,
    #[schema(example = 40.0)]
    pub then: Option<f64>,
    /// Null where it cannot be told, or the unit is no longer among those that are asked for.
    #[schema(example = 45.0)]
    pub now: Option<f64>,
    #[schema(example = 5.0)]
    pub change: Option<f64>,
    #[schema(example = 20.0)]
    pub shortfall_then: Option<f64>,
    #[schema(example = 15.0)]
    pub shortfall_now: Option<f64>,
    #[schema(example = 1)]
    pub rank_then: usize,
    #[schema(example = 2)]
    pub rank_now: Option<usize>,
}

/// A snapshot beside the same report of today.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ComparisonView {
    pub snapshot: SnapshotHead,
    #[schema(example = "2026-11-23")]
    pub as_of: NaiveDate,
    /// The units of the snapshot, in its order.
    pub items: Vec<ComparedUnit>,
}
