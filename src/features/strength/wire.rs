use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::queries::{ChangeRow, HistoryRow, RuleRow};
use crate::features::indicators::find;
use crate::features::units::Level;
use crate::platform::ids::{UnitId, WorkerId};
use crate::platform::validate::{FieldErrors, Validate};

/// An indicator in a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GradePart {
    /// Of the catalogue, measured at booths.
    #[schema(example = "doors_reached_share")]
    pub indicator: String,
    #[schema(example = 40.0)]
    pub weight: f64,
    /// The value that earns the whole weight; of what is better lower, the most that still earns it.
    #[schema(example = 60.0)]
    pub full: f64,
}

/// The least scores of the grades; below the last it is D.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GradeBounds {
    #[schema(example = 75.0)]
    pub a: f64,
    #[schema(example = 50.0)]
    pub b: f64,
    #[schema(example = 25.0)]
    pub c: f64,
}

/// How booths are graded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GradeRule {
    /// The visits of so many days back count.
    #[schema(example = 90, minimum = 1, maximum = 3650)]
    pub days: i64,
    #[schema(max_items = 20)]
    pub parts: Vec<GradePart>,
    pub grades: GradeBounds,
}

impl Default for GradeRule {
    /// Version 0: the rule that counts while nobody has made one.
    fn default() -> Self {
        let part = |indicator: &str, weight, full| GradePart {
            indicator: indicator.to_owned(),
            weight,
            full,
        };
        Self {
            days: 90,
            parts: vec![
                part("doors_reached_share", 40.0, 60.0),
                part("contact_rate", 20.0, 50.0),
                part("posts_confirmed_share", 40.0, 100.0),
            ],
            grades: GradeBounds {
                a: 75.0,
                b: 50.0,
                c: 25.0,
            },
        }
    }
}

/// A rule to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGradeRule {
    pub rule: GradeRule,
    #[schema(example = "As the executive decided", min_length = 1, max_length = 500)]
    pub reason: String,
}

impl Validate for NewGradeRule {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.text("/reason", &self.reason, 1, 500);
        errors.range("/rule/days", self.rule.days, 1, 3650);
        if self.rule.parts.is_empty() || self.rule.parts.len() > 20 {
            errors.add("/rule/parts", "bad_length", "must be 1 to 20 indicators");
        }
        let mut seen = BTreeSet::new();
        for (n, part) in self.rule.parts.iter().enumerate() {
            let at = |name: &str| format!("/rule/parts/{n}/{name}");
            match find(&part.indicator) {
                Some(indicator) if indicator.levels.contains(&"booth") => {}
                _ => errors.add(
                    at("indicator"),
                    "unknown_indicator",
                    "is not in the catalogue, or not measured at booths (GET /v1/indicators)",
                ),
            }
            if !seen.insert(part.indicator.as_str()) {
                errors.add(at("indicator"), "duplicate", "stands here already");
            }
            errors.range(&at("weight"), part.weight, 0.001, 1000.0);
            errors.range(&at("full"), part.full, 0.001, 1e9);
        }
        let GradeBounds { a, b, c } = self.rule.grades;
        for (name, bound) in [("a", a), ("b", b), ("c", c)] {
            errors.range(&format!("/rule/grades/{name}"), bound, 0.0, 100.0);
        }
        if !(a > b && b > c) {
            errors.add("/rule/grades", "bad_order", "must fall from a to c");
        }
    }
}

/// A version of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct GradeRuleView {
    /// The state or the nation; null: the rule that the program comes with.
    #[schema(value_type = Option<i32>, example = 2)]
    pub unit_id: Option<UnitId>,
    #[schema(example = 1)]
    pub version: i32,
    pub rule: GradeRule,
    #[schema(example = "As the executive decided")]
    pub reason: String,
    #[schema(value_type = Option<i32>, example = 1)]
    pub made_by: Option<WorkerId>,
    #[schema(example = "2026-11-23T12:00:00Z")]
    pub made_at: Option<DateTime<Utc>>,
    /// Whether booths here are graded by it.
    #[schema(example = true)]
    pub counts: bool,
}

impl From<RuleRow> for GradeRuleView {
    fn from(row: RuleRow) -> Self {
        Self {
            unit_id: Some(row.unit_id),
            version: row.version,
            rule: row.rule.0,
            reason: row.reason,
            made_by: row.made_by,
            made_at: Some(row.made_at),
            counts: row.counts,
        }
    }
}

/// The rules that concern a unit.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct GradeRulesView {
    /// Those of the unit's state and of the nation, the newest first, at most 500 of each.
    pub items: Vec<GradeRuleView>,
}

/// By what strength is told.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct StrengthQuery {
    /// Ranked by units of this level, at or wholly under the unit: `state` (of the nation, if not given), `district`,
    /// `mandal`, `parliamentary_constituency` or `assembly_constituency`. Of other units, if not given, the unit itself.
    #[param(inline)]
    pub level: Option<Level>,
    /// Only booths in the constituencies of this target set, as it is today, and mandals that have such a booth.
    pub target_set: Option<i32>,
    /// Who rose and fell since the end of this day; 30 days ago if not given.
    #[param(example = "2026-11-01")]
    pub since: Option<NaiveDate>,
}

impl Validate for StrengthQuery {
    fn validate(&self, errors: &mut FieldErrors) {
        if let Some(since) = self.since {
            errors.day("/since", since);
        }
    }
}

/// Grades of the units of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct GradeCounts {
    #[schema(example = 3)]
    pub graded: i64,
    #[schema(example = 1)]
    pub a: i64,
    #[schema(example = 1)]
    pub b: i64,
    #[schema(example = 0)]
    pub c: i64,
    #[schema(example = 1)]
    pub d: i64,
    /// Whose grade is better than on the day that is compared with.
    #[schema(example = 2)]
    pub rose: i64,
    #[schema(example = 1)]
    pub fell: i64,
}

/// How strong a unit has become.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct StrengthItem {
    /// From 1: who gained most.
    #[schema(example = 1)]
    pub rank: usize,
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    #[schema(example = "S1")]
    pub code: String,
    #[schema(example = "Unit S1")]
    pub name: String,
    pub booths: GradeCounts,
    /// Null by constituencies, since mandals cut across them, and of a booth.
    pub mandals: Option<GradeCounts>,
    /// Booths that rose less those that fell, of a hundred: what is ranked by.
    #[schema(example = 33.3333)]
    pub gain: f64,
    /// Where the booths and mandals that rose and fell are listed.
    #[schema(example = "/v1/units/2/strength/changes?since=2026-11-01")]
    pub trace: String,
}

/// Who has grown stronger.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct StrengthView {
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    #[schema(example = "2026-11-01")]
    pub since: NaiveDate,
    /// The day of the oldest grading among those that are shown; null: nothing has been graded yet.
    #[schema(example = "2026-11-23")]
    pub graded_on: Option<NaiveDate>,
    pub items: Vec<StrengthItem>,
}

/// Which changes.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ChangeFilter {
    /// Only constituencies of this target set, as in the report.
    pub target_set: Option<i32>,
    /// Since the end of this day; 30 days ago if not given.
    #[param(example = "2026-11-01")]
    pub since: Option<NaiveDate>,
    /// `true`: who rose; `false`: who fell; both if not given.
    pub rose: Option<bool>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl Validate for ChangeFilter {
    fn validate(&self, errors: &mut FieldErrors) {
        if let Some(since) = self.since {
            errors.day("/since", since);
        }
    }
}

/// A booth or mandal whose grade is another.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct GradeChangeView {
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    #[schema(example = "S1-B1")]
    pub code: String,
    #[schema(example = "booth")]
    pub level: String,
    #[schema(example = "Unit S1-B1")]
    pub name: String,
    /// On the day that is compared with.
    #[schema(example = "C")]
    pub from: String,
    /// Now.
    #[schema(example = "B")]
    pub to: String,
    #[schema(example = true)]
    pub rose: bool,
    /// When it last changed.
    #[schema(example = "2026-11-23")]
    pub graded_on: NaiveDate,
}

impl From<ChangeRow> for GradeChangeView {
    fn from(row: ChangeRow) -> Self {
        Self {
            rose: row.to_grade < row.from_grade,
            unit_id: row.unit_id,
            code: row.code,
            level: row.level,
            name: row.name,
            from: row.from_grade,
            to: row.to_grade,
            graded_on: row.graded_on,
        }
    }
}

/// A grade from a day on.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct GradeView {
    #[schema(example = "2026-11-23")]
    pub graded_on: NaiveDate,
    /// Null: it has none any more, as a mandal without booths.
    #[schema(example = "B")]
    pub grade: Option<String>,
    /// Null: it had none.
    #[schema(example = "C")]
    pub previous: Option<String>,
    /// 0 to 100; null without a grade.
    #[schema(example = 60.0)]
    pub score: Option<f64>,
    #[schema(value_type = Option<i32>, example = 2)]
    pub rule_unit_id: Option<UnitId>,
    #[schema(example = 1)]
    pub rule_version: i32,
}

impl From<HistoryRow> for GradeView {
    fn from(row: HistoryRow) -> Self {
        Self {
            graded_on: row.graded_on,
            grade: row.grade,
            previous: row.previous,
            score: row.score.map(|score| (score * 10_000.0).round() / 10_000.0),
            rule_unit_id: row.rule_unit_id,
            rule_version: row.rule_version,
        }
    }
}

/// A grading that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct GradingView {
    /// States that are graded now.
    #[schema(value_type = Vec<i32>, example = json!([2]))]
    pub states: Vec<UnitId>,
}
