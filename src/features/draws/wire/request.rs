use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::features::draws::rules::plan::{Basis, MOST, Plan, Risks};
use crate::features::visits::Outcome;
use crate::platform::ids::{CampaignId, UnitId};
use crate::platform::page::Paging;
use crate::platform::personal::holds_personal_number;
use crate::platform::validate::{FieldErrors, Validate};

/// Most characters in a reason.
const MAX_REASON: usize = 500;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident as $schema:ident { $($(#[$variant_doc:meta])* $variant:ident $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        #[schema(as = $schema)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $word)] #[schema(rename = $word)] $variant),+ }
    };
}

/// Words that stand in columns of the database as well.
macro_rules! stored_words {
    ($(#[$doc:meta])* $name:ident as $schema:ident { $($(#[$variant_doc:meta])* $variant:ident $word:literal),+ $(,)? }) => {
        words! { $(#[$doc])* $name as $schema { $($(#[$variant_doc])* $variant $word),+ } }

        impl $name {
            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $word),+ } }

            /// The one with this word.
            #[must_use]
            pub fn find(word: &str) -> Option<Self> {
                [$(Self::$variant),+].into_iter().find(|known| known.as_str() == word)
            }
        }
    };
}

stored_words! {
    /// What gets its share of the draw.
    Strata as DrawStrata {
        /// The unit as a whole.
        None "none",
        /// Each booth.
        Booth "booth",
        /// Each worker.
        Worker "worker",
    }
}
stored_words! {
    /// How a drawn visit counts in the verdict that was never checked, or of which nothing could be found out.
    Unconfirmed as DrawUnconfirmed {
        /// As refuted: what was not confirmed is not accepted.
        Mismatch "mismatch",
        /// Not at all; fewer mismatches then reject.
        LeftOut "left_out",
    }
}
stored_words! {
    /// What came of a back-check.
    CheckOutcome as BackCheckOutcome {
        /// Somebody of the household could be asked.
        Found "found",
        /// There is no such door.
        NotFound "not_found",
        /// Nobody would say anything.
        Refused "refused",
        /// Those who were visited live there no more.
        Moved "moved",
    }
}
stored_words! {
    /// What follows for the visit.
    Finding as BackCheckFinding { Match "match", Mismatch "mismatch", Unconfirmed "unconfirmed" }
}
words! {
    /// What a field shows.
    ShownAs as BackCheckResult {
        Match "match",
        Mismatch "mismatch",
        /// The back-check does not say.
        NotAsked "not_asked",
        /// The visit does not say.
        NotRecorded "not_recorded",
    }
}
words! {
    /// How outcomes are compared.
    OutcomeRule as DrawOutcomeRule {
        /// Whether somebody was met.
        Contact "contact",
        /// The outcome itself.
        Exact "exact",
        /// Not at all.
        Ignored "ignored",
    }
}
words! {
    /// How the answers to a question are compared.
    RuleKind as DrawRuleKind {
        /// They have to be the same.
        Exact "exact",
        /// They may be `within` of each other; numbers alone.
        Tolerance "tolerance",
        /// Not at all.
        Ignored "ignored",
    }
}

/// How the answers to one question are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DrawAnswerRule)]
pub struct AnswerRule {
    pub rule: RuleKind,
    /// How far apart two numbers may be; for `tolerance` alone.
    #[serde(default)]
    #[schema(example = json!(null), minimum = 1, maximum = 1_000_000)]
    pub within: Option<i32>,
}

/// How back-checks are compared with visits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DrawCompare)]
pub struct Compare {
    /// `contact` if not given.
    #[serde(default = "contact")]
    #[schema(example = "contact")]
    pub outcome: OutcomeRule,
    /// How many days the remembered day may be off; 7 if not given, null: not compared.
    #[serde(default = "a_week")]
    #[schema(example = 7, minimum = 0, maximum = 366)]
    pub day_within: Option<i32>,
    /// How far the number of people met may be off; null, or not given: not compared.
    #[serde(default)]
    #[schema(example = json!(null), minimum = 0, maximum = 1000)]
    pub people_met_within: Option<i32>,
    /// By question key. A question that is not named: texts are ignored, all else is exact.
    #[serde(default)]
    #[schema(example = json!({"need": {"rule": "ignored"}}))]
    pub answers: BTreeMap<String, AnswerRule>,
}

const fn contact() -> OutcomeRule {
    OutcomeRule::Contact
}

#[expect(clippy::unnecessary_wraps, reason = "the type of the field")]
const fn a_week() -> Option<i32> {
    Some(7)
}

impl Default for Compare {
    fn default() -> Self {
        Self {
            outcome: contact(),
            day_within: a_week(),
            people_met_within: None,
            answers: BTreeMap::new(),
        }
    }
}

impl Compare {
    fn check(&self, errors: &mut FieldErrors) {
        if let Some(days) = self.day_within {
            errors.range("/compare/day_within", days, 0, 366);
        }
        if let Some(people) = self.people_met_within {
            errors.range("/compare/people_met_within", people, 0, 1000);
        }
        if self.answers.len() > 200 {
            errors.add("/compare/answers", "too_many", "at most 200 questions");
        }
        for (key, rule) in &self.answers {
            let pointer = format!(
                "/compare/answers/{}/within",
                key.replace('~', "~0").replace('/', "~1")
            );
            match (rule.rule, rule.within) {
                (RuleKind::Tolerance, None) => errors.add(pointer, "missing_field", "say within how much"),
                (RuleKind::Tolerance, Some(within)) => errors.range(&pointer, within, 1, 1_000_000),
                (_, Some(_)) => errors.add(pointer, "contradiction", "for `tolerance` alone; leave it out"),
                (_, None) => {}
            }
        }
    }
}

/// How many are drawn and how many mismatches reject: either `size` and `decision_number`, or two rates with their risks
/// (lot quality assurance), from which both follow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DrawPlan {
    /// So many visits.
    #[serde(default)]
    #[schema(example = json!(null), minimum = 1, maximum = 500)]
    pub size: Option<i32>,
    /// So many mismatches reject, fewer accept.
    #[serde(default)]
    #[schema(example = json!(null), minimum = 1, maximum = 500)]
    pub decision_number: Option<i32>,
    /// An error rate that should be accepted.
    #[serde(default)]
    #[schema(example = 0.05, minimum = 0.001, maximum = 0.499)]
    pub acceptable: Option<f64>,
    /// An error rate that should be rejected.
    #[serde(default)]
    #[schema(example = 0.2, minimum = 0.002, maximum = 0.5)]
    pub unacceptable: Option<f64>,
    /// The chance of rejecting what is acceptable, at most.
    #[serde(default)]
    #[schema(example = 0.1, minimum = 0.001, maximum = 0.5)]
    pub producer_risk: Option<f64>,
    /// The chance of accepting what is unacceptable, at most.
    #[serde(default)]
    #[schema(example = 0.1, minimum = 0.001, maximum = 0.5)]
    pub consumer_risk: Option<f64>,
}

impl DrawPlan {
    /// What it asks for; `None` if it is neither the one nor the other.
    #[must_use]
    pub fn basis(&self) -> Option<Basis> {
        let rates = self.acceptable.zip(self.unacceptable);
        let risks = self.producer_risk.zip(self.consumer_risk);
        let any_rate = self
            .acceptable
            .or(self.unacceptable)
            .or(self.producer_risk)
            .or(self.consumer_risk);
        match (self.size, self.decision_number, rates.zip(risks)) {
            (Some(size), Some(decision_number), None) if any_rate.is_none() => Some(Basis::Given(Plan {
                size,
                decision_number,
            })),
            (None, None, Some(((acceptable, unacceptable), (producer, consumer)))) => {
                Some(Basis::Risks(Risks {
                    acceptable,
                    unacceptable,
                    producer,
                    consumer,
                }))
            }
            _ => None,
        }
    }

    fn check(&self, errors: &mut FieldErrors) {
        match self.basis() {
            None => errors.add(
                "/plan",
                "contradiction",
                "give `size` and `decision_number`, or `acceptable`, `unacceptable`, `producer_risk` and `consumer_risk`",
            ),
            Some(Basis::Given(plan)) => {
                errors.range("/plan/size", plan.size, 1, MOST);
                errors.range("/plan/decision_number", plan.decision_number, 1, plan.size.max(1));
            }
            Some(Basis::Risks(risks)) => {
                errors.range("/plan/acceptable", risks.acceptable, 0.001, 0.499);
                errors.range("/plan/unacceptable", risks.unacceptable, 0.002, 0.5);
                errors.range("/plan/producer_risk", risks.producer, 0.001, 0.5);
                errors.range("/plan/consumer_risk", risks.consumer, 0.001, 0.5);
                if risks.acceptable >= risks.unacceptable {
                    errors.add("/plan/unacceptable", "out_of_range", "must be above `acceptable`");
                }
            }
        }
    }
}

/// A request to draw.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDraw {
    /// The unit whose visits are audited, as it lay on the day of each; not the nation.
    #[schema(value_type = i32, example = 6)]
    pub unit_id: UnitId,
    #[schema(value_type = i32, example = 1)]
    pub campaign_id: CampaignId,
    /// First day of the visits.
    #[schema(example = "2026-11-22")]
    pub from: NaiveDate,
    /// Last day of the visits; not after today.
    #[schema(example = "2026-11-23")]
    pub to: NaiveDate,
    /// Only visits with one of these outcomes; every visit if empty or not given.
    #[serde(default)]
    #[schema(example = json!([]), max_items = 6)]
    pub outcomes: Vec<Outcome>,
    /// `booth` if not given.
    #[serde(default = "booth")]
    #[schema(example = "booth")]
    pub strata: Strata,
    pub plan: DrawPlan,
    /// `mismatch` if not given.
    #[serde(default = "mismatch")]
    #[schema(example = "mismatch")]
    pub unconfirmed: Unconfirmed,
    /// The usual rules if not given.
    #[serde(default)]
    pub compare: Option<Compare>,
}

const fn booth() -> Strata {
    Strata::Booth
}

const fn mismatch() -> Unconfirmed {
    Unconfirmed::Mismatch
}

impl Validate for NewDraw {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.day("/from", self.from);
        errors.day("/to", self.to);
        if self.from > self.to {
            errors.add("/to", "before_from", "must not be before `from`");
        }
        if self.outcomes.len() > Outcome::ALL.len() {
            errors.add("/outcomes", "too_many", "each outcome once");
        }
        self.plan.check(errors);
        if let Some(compare) = &self.compare {
            compare.check(errors);
        }
    }
}

/// What the household told the verifier, in the terms of a visit. What was not asked is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BackCheckObserved)]
pub struct Observed {
    /// As what the visit should have been recorded: `met` if somebody came and spoke with them.
    #[serde(default)]
    #[schema(example = "met")]
    pub outcome: Option<Outcome>,
    /// The day that they remember.
    #[serde(default)]
    #[schema(example = "2026-11-21")]
    pub visited_on: Option<NaiveDate>,
    /// How many people were spoken to.
    #[serde(default)]
    #[schema(example = json!(null), minimum = 0, maximum = 1000)]
    pub people_met: Option<i32>,
    /// Answers by question key, as they answer today.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"heard": true}))]
    pub answers: Map<String, Value>,
}

impl Observed {
    /// What can be told without knowing the campaign.
    pub fn check(&self, errors: &mut FieldErrors) {
        if let Some(day) = self.visited_on {
            errors.day("/observed/visited_on", day);
        }
        if let Some(people) = self.people_met {
            errors.range("/observed/people_met", people, 0, 1000);
        }
        if self.answers.len() > 100 {
            errors.add("/observed/answers", "too_many", "at most 100 answers");
        }
    }
}

/// A draw to be closed.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DrawClosing)]
pub struct CloseSent {
    /// Why it is closed before all were checked: 1 to 500 characters. Not needed when all were.
    #[serde(default)]
    #[schema(example = "The verifier fell ill", min_length = 1, max_length = 500)]
    pub reason: Option<String>,
}

impl Validate for CloseSent {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.optional_text("/reason", self.reason.as_deref(), 1, MAX_REASON);
        if self.reason.as_deref().is_some_and(holds_personal_number) {
            errors.add(
                "/reason",
                "personal_number",
                "must not hold a phone or identity number; leave it out",
            );
        }
    }
}

words! {
    /// How far a draw has come.
    Status as DrawStatus {
        /// Requested; no head seals the request yet.
        Pending "pending",
        /// Drawn, and being checked.
        Open "open",
        /// Ended with a verdict.
        Closed "closed",
    }
}

impl Status {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// Which draws.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DrawFilter {
    /// Only draws of this unit and of those under it.
    #[param(value_type = Option<i32>, example = 2)]
    pub under: Option<UnitId>,
    #[param(value_type = Option<i32>, example = 1)]
    pub campaign_id: Option<CampaignId>,
    /// `pending`, `open` or `closed`.
    #[param(inline)]
    pub status: Option<Status>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl DrawFilter {
    /// Which page.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit.clone(),
            cursor: self.cursor.clone(),
        }
    }
}
