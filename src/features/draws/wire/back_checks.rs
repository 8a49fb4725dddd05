use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::request::{CheckOutcome, Compare, Finding, Observed, OutcomeRule, RuleKind, ShownAs};
use crate::features::draws::queries::{BackCheckRow, TaskRow};
use crate::features::draws::rules::plan::MOST;
use crate::platform::ids::{CampaignId, HouseholdId, UnitId, WorkerId};
use crate::platform::location::Location;
use crate::platform::validate::{FieldErrors, Validate};

/// Most verifiers among whom visits are spread.
const MAX_VERIFIERS: usize = 100;

/// One visit for one verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DrawAssignedItem)]
pub struct AssignedItemView {
    /// The number of the drawn visit.
    #[schema(example = 1)]
    pub number: i32,
    #[schema(value_type = i32, example = 7)]
    pub verifier_id: WorkerId,
}

/// Who checks what: named one by one, or spread by rule.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DrawAssignments)]
pub struct AssignSent {
    /// Named one by one; all or nothing.
    #[serde(default)]
    #[schema(max_items = 500, example = json!([]))]
    pub assignments: Vec<AssignedItemView>,
    /// What nobody has yet is spread among these, each visit to who has fewest of the draw of those who may check it. An empty
    /// list: among all who may and hold a grant at the draw's unit or at the visit's mandal.
    #[serde(default)]
    #[schema(value_type = Option<Vec<i32>>, max_items = 100, example = json!([]))]
    pub spread_among: Option<Vec<WorkerId>>,
}

impl Validate for AssignSent {
    fn validate(&self, errors: &mut FieldErrors) {
        if self.assignments.is_empty() && self.spread_among.is_none() {
            errors.add(
                "/assignments",
                "missing_field",
                "name visits, or give `spread_among`",
            );
        }
        let most = usize::try_from(MOST).unwrap_or_default();
        if self.assignments.len() > most {
            errors.add("/assignments", "too_many", format!("at most {most}"));
        }
        let mut numbers: Vec<i32> = self.assignments.iter().map(|one| one.number).collect();
        numbers.sort_unstable();
        if numbers.windows(2).any(|two| two.first() == two.last()) {
            errors.add("/assignments", "duplicate", "each visit once");
        }
        if self
            .spread_among
            .as_ref()
            .is_some_and(|list| list.len() > MAX_VERIFIERS)
        {
            errors.add("/spread_among", "too_many", format!("at most {MAX_VERIFIERS}"));
        }
    }
}

/// What was assigned now.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DrawAssignedView)]
pub struct AssignedView {
    pub assigned: Vec<AssignedItemView>,
    /// Numbers of drawn visits that nobody has: none of those who were asked for may check them.
    #[schema(example = json!([]))]
    pub unassigned: Vec<i32>,
}

/// The door where a visit is to be checked.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = BackCheckDoorView)]
pub struct DoorView {
    #[schema(value_type = uuid::Uuid)]
    pub id: HouseholdId,
    #[schema(example = "12-A")]
    pub label: Option<String>,
    pub location: Option<Location>,
}

/// What to ask there: the fields that are compared.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = BackCheckAskView)]
pub struct AskView {
    #[schema(example = true)]
    pub outcome: bool,
    #[schema(example = true)]
    pub visited_on: bool,
    #[schema(example = false)]
    pub people_met: bool,
    /// Keys of the campaign's questions.
    #[schema(example = json!(["heard", "need"]))]
    pub answers: Vec<String>,
    /// The version of the questions.
    #[schema(example = 1)]
    pub question_version: i32,
}

/// A visit to be checked, without who made it, when, or what it says.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = BackCheckTaskView)]
pub struct TaskView {
    #[schema(example = 1)]
    pub draw_id: i32,
    #[schema(example = 1)]
    pub number: i32,
    #[schema(value_type = i32, example = 1)]
    pub campaign_id: CampaignId,
    #[schema(value_type = i32, example = 14)]
    pub booth_id: UnitId,
    #[schema(example = "School East")]
    pub booth_name: String,
    /// Null where the visit named no door.
    pub household: Option<DoorView>,
    /// Where the visit was made; only where it named no door, and while that is kept.
    pub near: Option<Location>,
    pub ask: AskView,
    pub assigned_at: DateTime<Utc>,
}

impl From<TaskRow> for TaskView {
    fn from(row: TaskRow) -> Self {
        let rules: Compare = serde_json::from_value(row.compare).unwrap_or_default();
        let asked = rules
            .answers
            .iter()
            .filter(|(_, rule)| rule.rule != RuleKind::Ignored);
        Self {
            draw_id: row.draw_id,
            number: row.number,
            campaign_id: row.campaign_id,
            booth_id: row.booth_id,
            booth_name: row.booth_name,
            household: row.household_id.map(|id| DoorView {
                id,
                label: row.label,
                location: Location::from_columns(row.door_lat, row.door_lon),
            }),
            near: Location::from_columns(row.near_lat, row.near_lon),
            ask: AskView {
                outcome: rules.outcome != OutcomeRule::Ignored,
                visited_on: rules.day_within.is_some(),
                people_met: rules.people_met_within.is_some(),
                answers: asked.map(|(key, _)| key.clone()).collect(),
                question_version: row.question_version,
            },
            assigned_at: row.assigned_at,
        }
    }
}

/// What a verifier found. The phone makes the id; sending the same again is safe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackCheckSent {
    /// Made by the phone (UUID; version 7 preferred).
    #[schema(example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd55")]
    pub id: Uuid,
    #[schema(example = 1)]
    pub draw_id: i32,
    /// Which of the visits that you were given.
    #[schema(example = 1)]
    pub number: i32,
    /// By the phone's clock, right or wrong.
    #[schema(example = "2026-11-23T11:05:00+05:30")]
    pub checked_at: DateTime<Utc>,
    #[schema(example = "found")]
    pub outcome: CheckOutcome,
    /// For `found` alone.
    #[serde(default)]
    pub observed: Option<Observed>,
    /// Where the phone was; three decimals are kept.
    #[serde(default)]
    pub location: Option<Location>,
}

impl Validate for BackCheckSent {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.day("/checked_at", self.checked_at.date_naive());
        match (&self.observed, self.outcome) {
            (Some(observed), CheckOutcome::Found) => observed.check(errors),
            (None, CheckOutcome::Found) => {
                errors.add("/observed", "missing_field", "say what you were told");
            }
            (Some(_), _) => errors.add("/observed", "contradiction", "for `found` alone; leave it out"),
            (None, _) => {}
        }
        if let Some(location) = &self.location {
            location.check("/location", errors);
        }
    }
}

/// That a back-check is stored. It does not say whether it agrees with the visit.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = BackCheckReceiptView)]
pub struct ReceiptView {
    pub id: Uuid,
    #[schema(example = 1)]
    pub draw_id: i32,
    #[schema(example = 1)]
    pub number: i32,
    pub outcome: CheckOutcome,
    pub received_at: DateTime<Utc>,
    /// Whether the draw was closed before it came: it is kept, but counts nowhere.
    #[schema(example = false)]
    pub late: bool,
}

impl From<&BackCheckRow> for ReceiptView {
    fn from(row: &BackCheckRow) -> Self {
        Self {
            id: row.id,
            draw_id: row.draw_id,
            number: row.number,
            outcome: row.outcome(),
            received_at: row.received_at,
            late: row.late,
        }
    }
}

/// How one field compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = BackCheckEvidence)]
pub struct Evidence {
    /// `outcome`, `visited_on`, `people_met`, or `answers/` and the question.
    #[schema(example = "answers/heard")]
    pub field: String,
    /// `exact`, `contact`, or `within` so much.
    #[schema(example = "exact")]
    pub rule: String,
    pub result: ShownAs,
}

/// A back-check with what follows from it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct BackCheckView {
    pub id: Uuid,
    #[schema(example = 1)]
    pub number: i32,
    #[schema(value_type = i32, example = 14)]
    pub booth_id: UnitId,
    #[schema(value_type = i32, example = 7)]
    pub verifier_id: WorkerId,
    pub checked_at: DateTime<Utc>,
    pub received_at: DateTime<Utc>,
    pub outcome: CheckOutcome,
    /// What the household said; empty once the campaign's content is let go.
    #[schema(value_type = Object)]
    pub observed: Value,
    pub location: Option<Location>,
    pub finding: Finding,
    pub evidence: Vec<Evidence>,
    #[schema(example = false)]
    pub late: bool,
}

impl From<BackCheckRow> for BackCheckView {
    fn from(row: BackCheckRow) -> Self {
        Self {
            outcome: row.outcome(),
            finding: Finding::find(&row.finding).unwrap_or(Finding::Unconfirmed),
            evidence: serde_json::from_value(row.evidence).unwrap_or_default(),
            id: row.id,
            number: row.number,
            booth_id: row.booth_id,
            verifier_id: row.verifier_id,
            checked_at: row.checked_at,
            received_at: row.received_at,
            observed: row.observed,
            location: Location::from_columns(row.lat, row.lon),
            late: row.late,
        }
    }
}
