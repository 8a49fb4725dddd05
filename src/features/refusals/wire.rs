use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::queries::RefusalRow;
use crate::platform::ids::{DeviceId, UnitId, WorkerId};

/// What was refused to somebody within an hour, counted.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RefusalView {
    /// The beginning of the hour.
    pub hour: DateTime<Utc>,
    /// Who asked; null for a service.
    #[schema(value_type = Option<i32>, example = 7)]
    pub worker_id: Option<WorkerId>,
    /// The `client_id` of the service that asked; null for a worker.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub client_id: Option<DeviceId>,
    /// The worker's home, or the unit that answers for the service.
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    /// What was asked for, without ids.
    #[schema(example = "GET /v1/visits/{id}")]
    pub operation: String,
    /// Code of the answer's problem.
    #[schema(example = "not_found")]
    pub code: String,
    #[schema(example = 3)]
    pub count: i64,
    /// The first ten units that were asked about, whether they exist or not.
    #[schema(value_type = Vec<i32>)]
    pub asked_unit_ids: Vec<UnitId>,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

impl From<RefusalRow> for RefusalView {
    fn from(row: RefusalRow) -> Self {
        Self {
            hour: row.hour,
            worker_id: row.worker_id,
            client_id: row.client_id,
            unit_id: row.unit_id,
            operation: row.operation,
            code: row.code,
            count: row.count,
            asked_unit_ids: row.unit_ids,
            first_at: row.first_at,
            last_at: row.last_at,
        }
    }
}

/// Which refusals.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RefusalFilter {
    /// Only those to workers at home under this unit, and to its services.
    #[param(value_type = Option<i32>)]
    pub under: Option<UnitId>,
    #[param(value_type = Option<i32>)]
    pub worker_id: Option<WorkerId>,
    /// Hours that begin at this instant or later.
    pub from: Option<DateTime<Utc>>,
    /// Hours that begin before this instant.
    pub to: Option<DateTime<Utc>>,
    /// 1 to 500, 50 if not given.
    #[param(value_type = Option<u16>)]
    pub limit: Option<String>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}
