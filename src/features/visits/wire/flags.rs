//! Flags as they are shown: with a reason in the reader's language, and what the author says to them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Flag;
use crate::features::visits::queries::FlagAnswer;
use crate::features::visits::rules::reasons::reason;
use crate::platform::personal::holds_personal_number;
use crate::platform::validate::{FieldErrors, Validate};

/// Most characters in an answer.
const MAX_ANSWER: usize = 500;

/// What the author of a visit says to one of its flags.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = FlagAnswerSent)]
#[serde(deny_unknown_fields)]
pub struct AnswerSent {
    /// 1 to 500 characters; no names, no phone numbers.
    #[schema(
        example = "Five families live around one courtyard",
        min_length = 1,
        max_length = 500
    )]
    pub text: String,
}

impl Validate for AnswerSent {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.text("/text", &self.text, 1, MAX_ANSWER);
        if holds_personal_number(&self.text) {
            errors.add(
                "/text",
                "personal_number",
                "an answer must not hold a phone or identity number; leave it out",
            );
        }
    }
}

/// The latest that the author says to a flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = FlagAnswerView)]
pub struct AnswerView {
    /// Null where notes are not for you, or once its time was over.
    #[schema(example = "Five families live around one courtyard")]
    pub text: Option<String>,
    pub answered_at: DateTime<Utc>,
}

/// A machine's doubt about a visit, explained. It never blocks and never uncounts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FlagView {
    /// docs/auditing.md names all of them.
    #[schema(example = "too_short")]
    pub code: String,
    /// What was measured, in the unit of the bound; null if it is a plain yes.
    #[schema(example = 9.0)]
    pub measured: Option<f64>,
    /// The bound that it passed.
    #[schema(example = 15.0)]
    pub bound: Option<f64>,
    /// Why, in your language where there is a text in it, else in Hindi.
    #[serde(default)]
    #[schema(example = "The contact took 9 s. Expected: at least 15.")]
    pub reason: String,
    /// What the author says to it.
    #[serde(default)]
    pub answer: Option<AnswerView>,
}

/// The flags of a visit as they are stored, explained in this language, each with the answer to it.
#[must_use]
pub fn flag_views(flags: &Value, answers: &[FlagAnswer], language: &str) -> Vec<FlagView> {
    let Value::Array(flags) = flags else {
        return Vec::new();
    };
    let flags = flags
        .iter()
        .filter_map(|flag| serde_json::from_value::<Flag>(flag.clone()).ok());
    let views = flags.map(|flag| FlagView {
        reason: reason(&flag, language),
        answer: answers
            .iter()
            .find(|answer| answer.code == flag.code)
            .map(|answer| AnswerView {
                text: answer.text.clone(),
                answered_at: answer.answered_at,
            }),
        code: flag.code,
        measured: flag.measured,
        bound: flag.bound,
    });
    views.collect()
}
