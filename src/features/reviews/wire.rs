use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::queries::{QueueRow, ReviewRow};
use crate::features::visits::{Outcome, Review, Sight, VisitView};
use crate::platform::error::Problem;
use crate::platform::ids::{CampaignId, VisitId, WorkerId};
use crate::platform::personal::holds_personal_number;
use crate::platform::validate::{FieldErrors, Validate};

/// Most verdicts in a request.
pub const MAX_REVIEWS: usize = 500;
/// Most characters in a reason.
const MAX_REASON: usize = 500;

/// What a coordinator says of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was made as told.
    Verified,
    /// It was not: it leaves every figure but `rejected`.
    Rejected,
    /// It counts, but its author shall mend it.
    CorrectionWanted,
}

impl Verdict {
    /// The same as it stands on the visit.
    #[must_use]
    pub const fn as_review(self) -> Review {
        match self {
            Self::Verified => Review::Verified,
            Self::Rejected => Review::Rejected,
            Self::CorrectionWanted => Review::CorrectionWanted,
        }
    }
}

/// A verdict.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewSent {
    #[schema(example = "rejected")]
    pub verdict: Verdict,
    /// Why, as the author will read it: 1 to 500 characters. Required unless the visit is verified.
    #[serde(default)]
    #[schema(
        example = "Nobody of this house remembers a visit",
        min_length = 1,
        max_length = 500
    )]
    pub reason: Option<String>,
    /// The version that you judged; if another counts by now, nothing is done. Not given: whichever counts.
    #[serde(default)]
    #[schema(example = json!(null), minimum = 1)]
    pub version: Option<i32>,
}

impl Validate for ReviewSent {
    fn validate(&self, errors: &mut FieldErrors) {
        check_reason(errors, self.verdict, self.reason.as_deref());
    }
}

fn check_reason(errors: &mut FieldErrors, verdict: Verdict, reason: Option<&str>) {
    match reason {
        None if verdict == Verdict::Verified => {}
        None => errors.add(
            "/reason",
            "missing_field",
            "say why: the author has to know what to mend",
        ),
        Some(reason) => {
            errors.text("/reason", reason, 1, MAX_REASON);
            if holds_personal_number(reason) {
                errors.add(
                    "/reason",
                    "personal_number",
                    "a reason must not hold a phone or identity number",
                );
            }
        }
    }
}

/// A verdict on one of many visits.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemSent {
    #[schema(value_type = uuid::Uuid, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33")]
    pub visit_id: VisitId,
    #[schema(example = "verified")]
    pub verdict: Verdict,
    /// As for one visit.
    #[serde(default)]
    #[schema(example = json!(null), min_length = 1, max_length = 500)]
    pub reason: Option<String>,
    /// As for one visit.
    #[serde(default)]
    #[schema(example = json!(null), minimum = 1)]
    pub version: Option<i32>,
}

impl Validate for ItemSent {
    fn validate(&self, errors: &mut FieldErrors) {
        check_reason(errors, self.verdict, self.reason.as_deref());
    }
}

/// Up to 500 verdicts, each answered by itself.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewsSent {
    /// 1 to 500 verdicts, each on another visit.
    #[schema(value_type = Vec<ItemSent>, min_items = 1, max_items = 500)]
    pub reviews: Vec<Box<RawValue>>,
}

impl Validate for ReviewsSent {
    fn validate(&self, errors: &mut FieldErrors) {
        if self.reviews.is_empty() || self.reviews.len() > MAX_REVIEWS {
            errors.add(
                "/reviews",
                "bad_length",
                format!("must hold 1 to {MAX_REVIEWS} verdicts"),
            );
        }
    }
}

/// What became of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewStatus {
    /// It counts now.
    Stored,
    /// You had given the same before and it still counts.
    Unchanged,
    /// Nothing was done; `problem` says why.
    Refused,
}

/// The answer to one of many verdicts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ReviewItemView {
    /// Its place in the request, from 0.
    #[schema(example = 0)]
    pub index: usize,
    /// The visit; null if it could not be read.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub visit_id: Option<VisitId>,
    pub status: ReviewStatus,
    /// The version that was judged, if one was.
    #[schema(example = 1)]
    pub version: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// The answers, one for each verdict in the order sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ReviewsView {
    pub results: Vec<ReviewItemView>,
}

/// A verdict as given.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ReviewView {
    /// Place among the verdicts on the visit, from 1.
    #[schema(example = 1)]
    pub number: i32,
    /// `unreviewed`: the one before was taken back.
    pub verdict: Review,
    pub reason: Option<String>,
    /// The version of the visit that was judged.
    #[schema(example = 1)]
    pub visit_version: i32,
    #[schema(value_type = i32, example = 7)]
    pub reviewer_id: WorkerId,
    pub reviewed_at: DateTime<Utc>,
}

impl From<ReviewRow> for ReviewView {
    fn from(row: ReviewRow) -> Self {
        Self {
            number: row.number,
            verdict: Review::find(&row.verdict).unwrap_or(Review::Unreviewed),
            reason: row.reason,
            visit_version: row.visit_version,
            reviewer_id: row.reviewer_id,
            reviewed_at: row.reviewed_at,
        }
    }
}

/// Every verdict on a visit, oldest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ReviewHistoryView {
    /// What counts now: a correction lets a verdict fall without a line here.
    pub review: Review,
    pub items: Vec<ReviewView>,
}

/// A visit that waits for a verdict.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct QueueItemView {
    /// The sum of the weights of its flags, from 0.
    #[schema(example = 3)]
    pub doubt: i32,
    pub visit: VisitView,
}

impl QueueItemView {
    /// As the reader sees it.
    pub fn shown(row: QueueRow, sight: &Sight) -> Self {
        Self {
            doubt: row.doubt,
            visit: sight.show(row.visit),
        }
    }
}

/// Which of the visits that wait.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct QueueFilter {
    #[param(value_type = Option<i32>)]
    pub campaign_id: Option<CampaignId>,
    #[param(value_type = Option<i32>)]
    pub worker_id: Option<WorkerId>,
    /// Code of a flag.
    pub flag: Option<String>,
    pub outcome: Option<Outcome>,
    /// First day.
    pub from: Option<NaiveDate>,
    /// Last day.
    pub to: Option<NaiveDate>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl Validate for QueueFilter {
    fn validate(&self, errors: &mut FieldErrors) {
        for (pointer, day) in [("/from", self.from), ("/to", self.to)] {
            if let Some(day) = day {
                errors.day(pointer, day);
            }
        }
        if self.from.zip(self.to).is_some_and(|(from, to)| from > to) {
            errors.add("/to", "before_from", "must not be before `from`");
        }
        errors.optional_text("/flag", self.flag.as_deref(), 1, 40);
    }
}
