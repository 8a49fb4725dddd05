use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::queries::{TaskRow, VersionRow};
use crate::features::indicators::find;
use crate::features::units::Level;
use crate::platform::ids::{CampaignId, TaskId, UnitId, WorkerId};
use crate::platform::page::Paging;
use crate::platform::personal::holds_personal_number;
use crate::platform::validate::{FieldErrors, Validate};

pub mod counts;
pub mod standing;

/// Most characters in a title.
const MAX_TITLE: usize = 200;
/// Most characters in instructions.
const MAX_INSTRUCTIONS: usize = 2000;
/// Most characters in a reason.
const MAX_REASON: usize = 500;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident as $schema:ident { $($(#[$variant_doc:meta])* $variant:ident $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[schema(as = $schema)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// The word, as in requests and in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $word),+ } }
        }
    };
}
pub(super) use words;

words! {
    /// What a report of a task done must carry.
    Evidence as TaskEvidence { None "none", Note "note", Count "count", Photo "photo" }
}
impl Evidence {
    /// The one with this word.
    pub fn find(word: &str) -> Option<Self> {
        [Self::None, Self::Note, Self::Count, Self::Photo]
            .into_iter()
            .find(|known| known.as_str() == word)
    }
}

words! {
    /// How a task is met.
    By as TaskBy {
        /// The unit reports it.
        Report "report",
        /// It is met by itself as long as an indicator reaches its target.
        Measure "measure",
    }
}

/// 422 for a text that holds what must not be kept of citizens.
pub(super) fn check_text(errors: &mut FieldErrors, pointer: &str, text: &str, least: usize, most: usize) {
    errors.text(pointer, text, least, most);
    if holds_personal_number(text) {
        errors.add(
            pointer,
            "personal_number",
            "must not hold a phone or identity number; leave it out",
        );
    }
}

/// The indicator that meets a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTaskMeasure {
    /// An indicator of the catalogue (`GET /v1/indicators`) that is measured at the task's level.
    #[schema(example = "full_committees_share")]
    pub indicator: String,
    /// What it is to reach, in its unit; left out: each unit's own target for it.
    #[serde(default)]
    #[schema(example = 100.0)]
    pub value: Option<f64>,
    /// Only by the figures of this campaign; left out: of all.
    #[serde(default)]
    #[schema(value_type = Option<i32>, example = json!(null))]
    pub campaign_id: Option<CampaignId>,
}

/// A task to be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// The unit that sets it.
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    /// For the units of this level under it; its own level: for that one unit.
    pub level: Level,
    /// 1 to 200 characters.
    #[schema(example = "Form a committee in every booth", min_length = 1, max_length = 200)]
    pub title: String,
    /// At most 2,000 characters; no phone or identity numbers.
    #[serde(default)]
    #[schema(example = "Eleven members, three of them women.", max_length = 2000)]
    pub instructions: String,
    /// The last day on which it is not overdue.
    #[schema(example = "2027-06-30")]
    pub due_on: NaiveDate,
    #[serde(default = "no_evidence")]
    pub evidence: Evidence,
    /// By report of the unit, or by `measure`.
    #[serde(default = "by_report")]
    pub by: By,
    /// With `by` `measure`: the indicator that meets it, whatever anybody reports.
    #[serde(default)]
    #[schema(example = json!(null))]
    pub measure: Option<NewTaskMeasure>,
    /// Only for units in the seats of this target set, as they are today.
    #[serde(default)]
    #[schema(example = json!(null))]
    pub target_set: Option<i32>,
    /// The task that the unit breaks down for its own levels by this one.
    #[serde(default)]
    #[schema(value_type = Option<i32>, example = json!(null))]
    pub part_of: Option<TaskId>,
    /// The worker who answers for it; only for a task of one unit.
    #[serde(default)]
    #[schema(value_type = Option<i32>, example = json!(null))]
    pub owner_id: Option<WorkerId>,
}

const fn no_evidence() -> Evidence {
    Evidence::None
}

const fn by_report() -> By {
    By::Report
}

/// A task for one unit alone, reported by it without evidence, that stands in the body of another write.
#[derive(Clone, Debug)]
pub struct UnitTask<'a> {
    /// Where it stands there.
    pub at: String,
    pub unit_id: UnitId,
    pub title: &'a str,
    pub instructions: &'a str,
    pub due_on: NaiveDate,
    pub owner_id: Option<WorkerId>,
}

impl UnitTask<'_> {
    /// Checks what can be told from it alone.
    pub fn check(&self, errors: &mut FieldErrors) {
        let at = |name: &str| format!("{}/{name}", self.at);
        check_text(errors, &at("title"), self.title, 1, MAX_TITLE);
        check_text(
            errors,
            &at("instructions"),
            self.instructions,
            0,
            MAX_INSTRUCTIONS,
        );
        errors.day(&at("due_on"), self.due_on);
    }
}

impl Validate for NewTask {
    fn validate(&self, errors: &mut FieldErrors) {
        check_text(errors, "/title", &self.title, 1, MAX_TITLE);
        check_text(errors, "/instructions", &self.instructions, 0, MAX_INSTRUCTIONS);
        errors.day("/due_on", self.due_on);
        match (&self.measure, self.by) {
            (None, By::Report) => {}
            (None, By::Measure) => errors.add("/measure", "missing", "say which indicator meets it"),
            (Some(_), By::Report) => errors.add("/measure", "contradiction", "only with `by` `measure`"),
            (Some(measure), By::Measure) => self.check_measure(measure, errors),
        }
    }
}

impl NewTask {
    fn check_measure(&self, measure: &NewTaskMeasure, errors: &mut FieldErrors) {
        if self.evidence != Evidence::None {
            errors.add(
                "/evidence",
                "contradiction",
                "an indicator needs none: what it is made of is its evidence",
            );
        }
        let Some(indicator) = find(&measure.indicator) else {
            let detail = "is not in the catalogue (GET /v1/indicators)";
            return errors.add("/measure/indicator", "unknown_indicator", detail);
        };
        if !indicator.levels.contains(&self.level.as_str()) {
            errors.add(
                "/level",
                "wrong_level",
                format!("must be one of {}", indicator.levels.join(", ")),
            );
        }
        if let Some(value) = measure.value {
            errors.range("/measure/value", value, 0.0, indicator.measure.most());
        }
    }
}

/// What is to change of a task. What is left out stays.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TaskPatch {
    #[schema(example = "Form a committee in every booth", min_length = 1, max_length = 200)]
    pub title: Option<String>,
    #[schema(example = "Eleven members, four of them women.", max_length = 2000)]
    pub instructions: Option<String>,
    /// Another due day.
    #[schema(example = "2027-07-15")]
    pub due_on: Option<NaiveDate>,
    /// `true` ends it: it is in no count from then on, and is never changed again.
    #[schema(example = json!(null))]
    pub cancelled: Option<bool>,
    /// Why: 1 to 500 characters; no phone or identity numbers.
    #[schema(example = "Monsoon", min_length = 1, max_length = 500)]
    pub reason: String,
}

impl Validate for TaskPatch {
    fn validate(&self, errors: &mut FieldErrors) {
        if let Some(title) = &self.title {
            check_text(errors, "/title", title, 1, MAX_TITLE);
        }
        if let Some(instructions) = &self.instructions {
            check_text(errors, "/instructions", instructions, 0, MAX_INSTRUCTIONS);
        }
        if let Some(due_on) = self.due_on {
            errors.day("/due_on", due_on);
        }
        if self.cancelled == Some(false) {
            errors.add(
                "/cancelled",
                "not_undone",
                "a cancelled task stays cancelled; set another",
            );
        }
        check_text(errors, "/reason", &self.reason, 1, MAX_REASON);
    }
}

/// Which tasks.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TaskFilter {
    /// Only tasks that this unit or one under it has set.
    #[param(value_type = Option<i32>, example = 2)]
    pub under: Option<UnitId>,
    /// Only those that were set for this target set.
    pub target_set: Option<i32>,
    /// Only those that break down this task.
    #[param(value_type = Option<i32>)]
    pub part_of: Option<TaskId>,
    /// Only cancelled ones, or only those that stand; both if not given.
    pub cancelled: Option<bool>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl TaskFilter {
    /// Which page.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit.clone(),
            cursor: self.cursor.clone(),
        }
    }
}

/// The indicator that meets a task, and when its units were measured.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TaskMeasureView {
    #[schema(example = "full_committees_share")]
    pub indicator: String,
    /// Null: each unit's own target.
    #[schema(example = 100.0)]
    pub value: Option<f64>,
    #[schema(value_type = Option<i32>, example = json!(null))]
    pub campaign_id: Option<CampaignId>,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TaskView {
    #[schema(value_type = i32, example = 1)]
    pub id: TaskId,
    /// The unit that set it.
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    /// The level of the units that it is for.
    #[schema(example = "booth")]
    pub level: String,
    #[schema(example = "Form a committee in every booth")]
    pub title: String,
    pub instructions: String,
    #[schema(example = "2026-11-23")]
    pub set_on: NaiveDate,
    #[schema(example = "2027-06-30")]
    pub due_on: NaiveDate,
    /// What a report of it done must carry: `none`, `note`, `count` or `photo`.
    #[schema(example = "none")]
    pub evidence: String,
    /// How it is met: `report` or `measure`.
    #[schema(example = "report")]
    pub by: &'static str,
    /// The indicator that meets it; null: units report it.
    #[schema(example = json!(null))]
    pub measure: Option<TaskMeasureView>,
    /// When all its units were measured last; null: not yet, or they report it.
    pub measured_at: Option<DateTime<Utc>>,
    /// The target set that narrows it.
    #[schema(example = json!(null))]
    pub target_set: Option<i32>,
    /// The seats of that set, as they were on the day on which it was set; null if it is not narrowed.
    #[schema(value_type = Option<Vec<i32>>, example = json!(null))]
    pub seats: Option<Vec<UnitId>>,
    #[schema(value_type = Option<i32>, example = json!(null))]
    pub part_of: Option<TaskId>,
    #[schema(value_type = Option<i32>, example = json!(null))]
    pub owner_id: Option<WorkerId>,
    pub cancelled_at: Option<DateTime<Utc>>,
    /// Counts the changes; the ETag.
    #[schema(example = 1)]
    pub version: i32,
    #[schema(value_type = Option<i32>, example = 1)]
    pub created_by: Option<WorkerId>,
    pub created_at: DateTime<Utc>,
    /// Who made this version, when and why.
    #[schema(value_type = Option<i32>, example = 1)]
    pub changed_by: Option<WorkerId>,
    pub changed_at: DateTime<Utc>,
    pub change_reason: Option<String>,
}

impl From<TaskRow> for TaskView {
    fn from(row: TaskRow) -> Self {
        Self {
            id: row.id,
            unit_id: row.unit_id,
            level: row.level,
            title: row.title,
            instructions: row.instructions,
            set_on: row.set_on,
            due_on: row.due_on,
            evidence: row.evidence,
            by: match &row.indicator {
                Some(_) => By::Measure.as_str(),
                None => By::Report.as_str(),
            },
            measure: row.indicator.map(|indicator| TaskMeasureView {
                indicator,
                value: row.measure_value,
                campaign_id: row.measure_campaign_id,
            }),
            measured_at: row.measured_at,
            target_set: row.target_set_id,
            seats: row.seats,
            part_of: row.part_of,
            owner_id: row.owner_id,
            cancelled_at: row.cancelled_at,
            version: row.version,
            created_by: row.created_by,
            created_at: row.created_at,
            changed_by: row.changed_by,
            changed_at: row.changed_at,
            change_reason: row.change_reason,
        }
    }
}

/// What of a task has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TaskVersionView {
    #[schema(example = 1)]
    pub version: i32,
    #[schema(example = "Form a committee in every booth")]
    pub title: String,
    pub instructions: String,
    #[schema(example = "2027-06-30")]
    pub due_on: NaiveDate,
    #[schema(value_type = Option<i32>, example = 1)]
    pub changed_by: Option<WorkerId>,
    pub changed_at: DateTime<Utc>,
    /// Null for the first.
    pub change_reason: Option<String>,
    /// Whether this version cancelled it.
    #[schema(example = false)]
    pub cancelled: bool,
}

impl From<VersionRow> for TaskVersionView {
    fn from(row: VersionRow) -> Self {
        Self {
            version: row.version,
            title: row.title,
            instructions: row.instructions,
            due_on: row.due_on,
            changed_by: row.changed_by,
            changed_at: row.changed_at,
            change_reason: row.change_reason,
            cancelled: row.cancelled,
        }
    }
}
