use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::queries::{BulkVoidRow, PlanRow};
use super::rules::{Status, take_back_until};
use crate::platform::error::ApiError;
use crate::platform::ids::{BulkVoidId, CampaignId, DeviceId, UnitId, WorkerId};
use crate::platform::personal::holds_personal_number;
use crate::platform::validate::{FieldErrors, Validate};

/// Most characters in a reason.
const MAX_REASON: usize = 500;

fn check_reason(errors: &mut FieldErrors, reason: &str) {
    errors.text("/reason", reason, 1, MAX_REASON);
    if holds_personal_number(reason) {
        errors.add(
            "/reason",
            "personal_number",
            "a reason must not hold a phone or identity number",
        );
    }
}

/// Which visits to void, and why. They must fit everything that is given: at least a worker, a device, or both days.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkVoidSent {
    /// Visits of this worker.
    #[serde(default)]
    #[schema(value_type = Option<i32>, example = 1)]
    pub worker_id: Option<WorkerId>,
    /// Visits recorded on this phone.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>, example = json!(null))]
    pub device_id: Option<DeviceId>,
    /// Of the phone's visits, those of the one upload received at this instant, as visits show it.
    #[serde(default)]
    #[schema(example = json!(null))]
    pub received_at: Option<DateTime<Utc>>,
    /// First day that they count on.
    #[serde(default)]
    #[schema(example = json!(null))]
    pub from: Option<NaiveDate>,
    /// Last day that they count on.
    #[serde(default)]
    #[schema(example = json!(null))]
    pub to: Option<NaiveDate>,
    /// Visits of this campaign.
    #[serde(default)]
    #[schema(value_type = Option<i32>, example = json!(null))]
    pub campaign_id: Option<CampaignId>,
    /// Why, as their authors will read it: 1 to 500 characters.
    #[schema(
        example = "Entered at home, as the worker says himself",
        min_length = 1,
        max_length = 500
    )]
    pub reason: String,
}

impl Validate for BulkVoidSent {
    fn validate(&self, errors: &mut FieldErrors) {
        check_reason(errors, &self.reason);
        for (pointer, day) in [("/from", self.from), ("/to", self.to)] {
            if let Some(day) = day {
                errors.day(pointer, day);
            }
        }
        if self.from.zip(self.to).is_some_and(|(from, to)| from > to) {
            errors.add("/to", "before_from", "must not be before `from`");
        }
        if self.received_at.is_some() && self.device_id.is_none() {
            errors.add(
                "/device_id",
                "missing_field",
                "an upload is told by the phone and the instant",
            );
        }
        let period = self.from.is_some() && self.to.is_some();
        if self.worker_id.is_none() && self.device_id.is_none() && !period {
            errors.add(
                "",
                "too_wide",
                "name a worker, a device, or both days of a period",
            );
        }
    }
}

/// Whether it is done.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct BulkVoidQuery {
    /// True: says what would be voided, and does nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What an order would do.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BulkVoidPlan {
    /// Visits that would be voided.
    #[schema(example = 412)]
    pub visits: i64,
    /// Doors that would leave `doors_reached`: those without another contact that counts.
    #[schema(example = 231)]
    pub doors: i64,
    /// Visits that fit, but are your own and of a week that is signed: they would stay.
    #[schema(example = 0)]
    pub closed: i64,
}

impl From<PlanRow> for BulkVoidPlan {
    fn from(row: PlanRow) -> Self {
        Self {
            visits: row.visits,
            doors: row.doors,
            closed: row.closed,
        }
    }
}

/// Why an order is taken back.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeBackSent {
    /// 1 to 500 characters.
    #[schema(
        example = "It was the other phone of the same name",
        min_length = 1,
        max_length = 500
    )]
    pub reason: String,
}

impl Validate for TakeBackSent {
    fn validate(&self, errors: &mut FieldErrors) {
        check_reason(errors, &self.reason);
    }
}

/// An order to void many visits, and how far it has come.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BulkVoidView {
    #[schema(value_type = i32, example = 1)]
    pub id: BulkVoidId,
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    #[schema(value_type = Option<i32>)]
    pub worker_id: Option<WorkerId>,
    #[schema(value_type = Option<uuid::Uuid>)]
    pub device_id: Option<DeviceId>,
    pub received_at: Option<DateTime<Utc>>,
    pub from: Option<NaiveDate>,
    pub to: Option<NaiveDate>,
    #[schema(value_type = Option<i32>)]
    pub campaign_id: Option<CampaignId>,
    pub reason: String,
    pub status: Status,
    /// Visits on its list, which is fixed.
    #[schema(example = 412)]
    pub visits: i32,
    /// Doors that were to leave `doors_reached`, when it was ordered.
    #[schema(example = 231)]
    pub doors: i32,
    /// Visits voided so far.
    #[schema(example = 200)]
    pub voided: i32,
    /// Visits passed over so far: voided by somebody else meanwhile, or closed to you by a sign-off meanwhile.
    #[schema(example = 0)]
    pub passed_over: i32,
    /// Visits brought back so far.
    #[schema(example = 0)]
    pub brought_back: i32,
    /// Visits that stay voided though it is taken back, since somebody has changed them since.
    #[schema(example = 0)]
    pub left_voided: i32,
    #[schema(value_type = i32, example = 7)]
    pub ordered_by: WorkerId,
    pub ordered_at: DateTime<Utc>,
    /// When the last visit was dealt with, or it was cancelled.
    pub ended_at: Option<DateTime<Utc>>,
    #[schema(value_type = Option<i32>)]
    pub cancelled_by: Option<WorkerId>,
    /// Until when it can be taken back; null while it runs and once it is taken back.
    pub take_back_until: Option<DateTime<Utc>>,
    #[schema(value_type = Option<i32>)]
    pub taken_back_by: Option<WorkerId>,
    pub taken_back_at: Option<DateTime<Utc>>,
    pub take_back_reason: Option<String>,
    /// Counts its changes; the ETag.
    #[schema(example = 3)]
    pub version: i32,
}

impl TryFrom<BulkVoidRow> for BulkVoidView {
    type Error = ApiError;

    fn try_from(row: BulkVoidRow) -> Result<Self, ApiError> {
        let status = row.status()?;
        let ended = matches!(status, Status::Done | Status::Cancelled);
        Ok(Self {
            id: row.id,
            unit_id: row.unit_id,
            worker_id: row.worker_id,
            device_id: row.device_id,
            received_at: row.received_at,
            from: row.first_day,
            to: row.last_day,
            campaign_id: row.campaign_id,
            reason: row.reason,
            status,
            visits: row.visits,
            doors: row.doors,
            voided: row.voided,
            passed_over: row.passed_over,
            brought_back: row.brought_back,
            left_voided: row.left_voided,
            ordered_by: row.ordered_by,
            ordered_at: row.ordered_at,
            ended_at: row.ended_at,
            cancelled_by: row.cancelled_by,
            take_back_until: row.ended_at.filter(|_| ended).map(take_back_until),
            taken_back_by: row.taken_back_by,
            taken_back_at: row.taken_back_at,
            take_back_reason: row.take_back_reason,
            version: row.version,
        })
    }
}
