mod bounds;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, Serialize};

pub use bounds::FlagBounds;

use super::queries::CampaignRow;
use super::rules::check_questions;
use crate::platform::ids::{CampaignId, UnitId};
use crate::platform::page::Paging;
use crate::platform::validate::{FieldErrors, Validate};

/// Most questions in a campaign.
pub const MAX_QUESTIONS: usize = 50;
/// Most options of a question.
pub const MAX_OPTIONS: usize = 50;
/// Most issue codes of a campaign.
const MAX_ISSUES: usize = 100;
/// Most targets of a campaign.
const MAX_TARGETS: usize = 30;
/// Most languages in which something is labelled.
const MAX_LANGUAGES: usize = 30;
/// The largest target: more than all electors of India.
const MAX_TARGET: i64 = 10_000_000_000;

/// Texts by BCP 47 language tag.
pub type Labels = BTreeMap<String, String>;

/// What kind of answer a question wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "choice")]
pub enum QuestionType {
    /// `true` or `false`.
    Bool,
    /// One of the options.
    Choice,
    /// An array of options, each at most once.
    MultiChoice,
    /// A whole number from `min` to `max`; 1 to 5 where they are not given.
    Scale,
    /// A whole number from `min` to `max`, as far as they are given.
    Integer,
    /// At most 500 characters, without phone or identity numbers.
    Text,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The name of its answer: lower-case letters, digits and `_`, a letter first; at most 40.
    #[schema(example = "need", pattern = "^[a-z][a-z0-9_]{0,39}$")]
    pub key: String,
    #[serde(rename = "type")]
    pub kind: QuestionType,
    /// What can be chosen; for `choice` and `multi_choice` alone.
    #[serde(default)]
    #[schema(example = json!(["road", "water"]), max_items = 50)]
    pub options: Vec<String>,
    /// What the options are called, by option and language.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, BTreeMap<String, String>>, example = json!({"road": {"hi": "सड़क"}}))]
    pub option_labels: BTreeMap<String, Labels>,
    /// Whether a visit whose outcome is `met` must answer it.
    #[serde(default)]
    #[schema(example = false)]
    pub required: bool,
    /// The question itself, by language.
    #[schema(value_type = BTreeMap<String, String>, example = json!({"en": "What is needed most?", "hi": "सबसे ज़रूरी क्या है?"}))]
    pub labels: Labels,
    /// Least number; for `scale` and `integer` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub min: Option<i32>,
    /// Largest number; for `scale` and `integer` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub max: Option<i32>,
}

/// A matter that people raise at the door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    /// As in `issues` of a visit: lower-case letters, digits and `_`, a letter first; at most 40.
    #[schema(example = "water", pattern = "^[a-z][a-z0-9_]{0,39}$")]
    pub code: String,
    /// What it is called, by language.
    #[schema(value_type = BTreeMap<String, String>, example = json!({"en": "Water", "hi": "पानी"}))]
    pub labels: Labels,
}

/// A new campaign.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCampaign {
    /// 1 to 200 characters.
    #[schema(example = "Sampark Abhiyan", min_length = 1, max_length = 200)]
    pub name: String,
    /// It runs in this unit and all below it, for ever.
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    /// First day.
    #[schema(example = "2026-11-01")]
    pub starts_on: NaiveDate,
    /// Last day; null or left out: open.
    #[serde(default)]
    #[schema(example = "2026-12-31")]
    pub ends_on: Option<NaiveDate>,
    #[serde(default)]
    #[schema(max_items = 50)]
    pub questions: Vec<Question>,
    #[serde(default)]
    #[schema(max_items = 100)]
    pub issues: Vec<Issue>,
    /// Whether visits may carry a support score; off unless asked for, for privacy.
    #[serde(default)]
    #[schema(example = false)]
    pub collect_support: bool,
    /// After so many days a visit loses its note, answers, issues and coordinates, and a contact its number.
    #[serde(default = "three_years")]
    #[schema(example = 1095, minimum = 365, maximum = 3650)]
    pub retention_days: i32,
    /// What is to be reached, by indicator as in the totals.
    #[serde(default)]
    #[schema(example = json!({"doors_reached": 50000}))]
    pub targets: BTreeMap<String, i64>,
    #[serde(default)]
    pub bounds: FlagBounds,
}

const fn three_years() -> i32 {
    1095
}

/// A year at least, for which the Rules of 2025 (8(3)) want it kept.
fn check_retention(days: i32, errors: &mut FieldErrors) {
    errors.range("/retention_days", days, 365, 3650);
}

impl Validate for NewCampaign {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.text("/name", &self.name, 1, 200);
        check_period(self.starts_on, self.ends_on, errors);
        check_questions(&self.questions, errors);
        check_issues(&self.issues, errors);
        check_targets(&self.targets, errors);
        check_retention(self.retention_days, errors);
        self.bounds.check(errors);
    }
}

/// A change: the fields named are replaced whole. The unit stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CampaignPatch {
    #[serde(deserialize_with = "given")]
    #[schema(example = "Sampark Abhiyan 2026", min_length = 1, max_length = 200)]
    pub name: Option<String>,
    #[serde(deserialize_with = "given")]
    pub starts_on: Option<NaiveDate>,
    /// Null: open.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<NaiveDate>, example = "2027-01-31")]
    pub ends_on: Option<Option<NaiveDate>>,
    /// Other questions than before become a new question version.
    #[serde(deserialize_with = "given")]
    #[schema(max_items = 50)]
    pub questions: Option<Vec<Question>>,
    #[serde(deserialize_with = "given")]
    #[schema(max_items = 100)]
    pub issues: Option<Vec<Issue>>,
    #[serde(deserialize_with = "given")]
    pub collect_support: Option<bool>,
    #[serde(deserialize_with = "given")]
    #[schema(minimum = 365, maximum = 3650)]
    pub retention_days: Option<i32>,
    #[serde(deserialize_with = "given")]
    pub targets: Option<BTreeMap<String, i64>>,
    /// Replaced whole: what is left out has its default again.
    #[serde(deserialize_with = "given")]
    pub bounds: Option<FlagBounds>,
}

/// Tells "null" from "not there": what may not be null is then refused, what may be is emptied.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Validate for CampaignPatch {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.optional_text("/name", self.name.as_deref(), 1, 200);
        if let Some(day) = self.starts_on {
            errors.day("/starts_on", day);
        }
        if let Some(Some(day)) = self.ends_on {
            errors.day("/ends_on", day);
        }
        if let Some(questions) = &self.questions {
            check_questions(questions, errors);
        }
        if let Some(issues) = &self.issues {
            check_issues(issues, errors);
        }
        if let Some(days) = self.retention_days {
            check_retention(days, errors);
        }
        if let Some(targets) = &self.targets {
            check_targets(targets, errors);
        }
        if let Some(bounds) = &self.bounds {
            bounds.check(errors);
        }
    }
}

/// A campaign.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct CampaignView {
    #[schema(value_type = i32, example = 1)]
    pub id: CampaignId,
    #[schema(example = "Sampark Abhiyan")]
    pub name: String,
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    #[schema(example = "2026-11-01")]
    pub starts_on: NaiveDate,
    /// Null: open.
    #[schema(example = "2026-12-31")]
    pub ends_on: Option<NaiveDate>,
    /// The version of the questions shown here.
    #[schema(example = 1)]
    pub question_version: i32,
    pub questions: Vec<Question>,
    pub issues: Vec<Issue>,
    #[schema(example = false)]
    pub collect_support: bool,
    #[schema(example = 1095)]
    pub retention_days: i32,
    #[schema(example = json!({"doors_reached": 50000}))]
    pub targets: BTreeMap<String, i64>,
    /// The bounds as they hold, defaults filled in.
    pub bounds: FlagBounds,
    /// Counts the changes; the ETag.
    #[schema(example = 1)]
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl From<CampaignRow> for CampaignView {
    fn from(row: CampaignRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            unit_id: row.unit_id,
            starts_on: row.starts_on,
            ends_on: row.ends_on,
            question_version: row.question_version,
            questions: row.questions.0,
            issues: row.issues.0,
            collect_support: row.collect_support,
            retention_days: row.retention_days,
            targets: row.targets.0,
            bounds: row.bounds.0,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Which campaigns.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CampaignFilter {
    /// Only those that run on this day.
    #[serde(default)]
    #[param(example = "2026-11-23")]
    pub on: Option<NaiveDate>,
    #[serde(flatten)]
    #[param(ignore)]
    pub paging: Paging,
}

/// Which version of a campaign's questions.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CampaignQuery {
    /// Shows the questions as they were in this version; the current ones if not given.
    #[serde(default)]
    #[param(example = 1, minimum = 1)]
    pub question_version: Option<i32>,
}

/// A period that ends no sooner than it starts.
pub fn check_period(starts_on: NaiveDate, ends_on: Option<NaiveDate>, errors: &mut FieldErrors) {
    errors.day("/starts_on", starts_on);
    if let Some(ends_on) = ends_on {
        errors.day("/ends_on", ends_on);
        if ends_on < starts_on {
            errors.add("/ends_on", "before_start", "must not be before starts_on");
        }
    }
}

/// Whether a word can name an answer, an issue or an indicator: `^[a-z][a-z0-9_]{0,39}$`.
pub fn is_code(word: &str) -> bool {
    word.len() <= 40
        && word.starts_with(|c: char| c.is_ascii_lowercase())
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

pub const CODE_RULE: &str = "must be 1 to 40 lower-case letters, digits and _, a letter first";

/// Labels: at least one, each under a language tag.
pub fn check_labels(pointer: &str, labels: &Labels, errors: &mut FieldErrors) {
    if labels.is_empty() || labels.len() > MAX_LANGUAGES {
        errors.add(
            pointer,
            "bad_length",
            format!("must hold 1 to {MAX_LANGUAGES} languages"),
        );
        return;
    }
    for (language, text) in labels {
        let pointer = format!("{pointer}/{}", super::rules::escape(language));
        if !is_language(language) {
            errors.add(
                &pointer,
                "bad_language",
                "must be a BCP 47 tag such as hi or en-IN",
            );
        }
        errors.text(&pointer, text, 1, 300);
    }
}

fn is_language(tag: &str) -> bool {
    (2..=35).contains(&tag.len())
        && tag
            .split('-')
            .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn check_issues(issues: &[Issue], errors: &mut FieldErrors) {
    if issues.len() > MAX_ISSUES {
        errors.add("/issues", "too_many", format!("at most {MAX_ISSUES} issue codes"));
        return;
    }
    let mut seen = std::collections::BTreeSet::new();
    for (n, issue) in issues.iter().enumerate() {
        let pointer = format!("/issues/{n}");
        if !is_code(&issue.code) {
            errors.add(format!("{pointer}/code"), "bad_code", CODE_RULE);
        } else if !seen.insert(&issue.code) {
            errors.add(
                format!("{pointer}/code"),
                "duplicate",
                "another issue has this code",
            );
        }
        check_labels(&format!("{pointer}/labels"), &issue.labels, errors);
    }
}

fn check_targets(targets: &BTreeMap<String, i64>, errors: &mut FieldErrors) {
    if targets.len() > MAX_TARGETS {
        errors.add("/targets", "too_many", format!("at most {MAX_TARGETS} targets"));
        return;
    }
    for (indicator, target) in targets {
        let pointer = format!("/targets/{}", super::rules::escape(indicator));
        if !is_code(indicator) {
            errors.add(&pointer, "bad_code", CODE_RULE);
        }
        errors.range(&pointer, *target, 0, MAX_TARGET);
    }
}
