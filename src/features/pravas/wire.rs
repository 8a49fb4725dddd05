use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::features::tasks::UnitTask;
use crate::platform::ids::{StopReportId, UnitId, WorkerId};
use crate::platform::personal::holds_personal_number;
use crate::platform::validate::{FieldErrors, Validate};

pub mod coverage;
pub mod view;

/// Most seats of a tour.
const MAX_SEATS: usize = 500;
/// Most stops sent with a plan.
const MAX_STOPS: usize = 200;
/// Most tasks raised by one report, most findings of one review.
const MAX_TASKS: usize = 50;

fn check_text(errors: &mut FieldErrors, pointer: &str, text: &str, least: usize, most: usize) {
    errors.text(pointer, text, least, most);
    if holds_personal_number(text) {
        errors.add(
            pointer,
            "personal_number",
            "must not hold a phone or identity number; leave it out",
        );
    }
}

/// A stop to be planned.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewStop {
    /// Where: any unit under the one that plans the tour.
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    /// A day of the tour.
    #[schema(example = "2026-11-24")]
    pub day: NaiveDate,
    /// 1 to 500 characters.
    #[schema(example = "Meet the booth committee", min_length = 1, max_length = 500)]
    pub purpose: String,
}

impl Validate for NewStop {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.day("/day", self.day);
        check_text(errors, "/purpose", &self.purpose, 1, 500);
    }
}

/// A tour to be planned.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPravas {
    /// The unit that plans it.
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    /// The worker who goes.
    #[schema(value_type = i32, example = 1)]
    pub leader_id: WorkerId,
    #[schema(example = "Pravas in the seats to win", min_length = 1, max_length = 200)]
    pub title: String,
    #[schema(example = "2026-11-23")]
    pub starts_on: NaiveDate,
    /// At most a year later.
    #[schema(example = "2026-11-30")]
    pub ends_on: NaiveDate,
    /// The constituencies that he is given.
    #[serde(default)]
    #[schema(value_type = Vec<i32>, example = json!([9]), max_items = 500)]
    pub seats: Vec<UnitId>,
    /// Or those of a target set, as they are today.
    #[serde(default)]
    #[schema(example = json!(null))]
    pub target_set: Option<i32>,
    #[serde(default)]
    #[schema(max_items = 200)]
    pub stops: Vec<NewStop>,
}

impl Validate for NewPravas {
    fn validate(&self, errors: &mut FieldErrors) {
        check_text(errors, "/title", &self.title, 1, 200);
        check_days(errors, self.starts_on, self.ends_on);
        if self.seats.len() > MAX_SEATS {
            errors.add("/seats", "too_many", format!("at most {MAX_SEATS}"));
        }
        if !self.seats.is_empty() && self.target_set.is_some() {
            errors.add(
                "/target_set",
                "contradiction",
                "give `seats` or `target_set`, not both",
            );
        }
        let mut seen = BTreeSet::new();
        for (n, seat) in self.seats.iter().enumerate() {
            if !seen.insert(seat) {
                errors.add(format!("/seats/{n}"), "duplicate", "stands here already");
            }
        }
        if self.stops.len() > MAX_STOPS {
            errors.add(
                "/stops",
                "too_many",
                format!("at most {MAX_STOPS}; plan the others after it"),
            );
        }
        for (n, stop) in self.stops.iter().enumerate() {
            nested(errors, &format!("/stops/{n}"), stop);
            check_day(
                errors,
                &format!("/stops/{n}/day"),
                stop.day,
                self.starts_on,
                self.ends_on,
            );
        }
    }
}

fn nested(errors: &mut FieldErrors, at: &str, part: &impl Validate) {
    let mut inner = FieldErrors::default();
    part.validate(&mut inner);
    for error in inner.0 {
        errors.add(format!("{at}{}", error.pointer), &error.code, error.detail);
    }
}

/// Checks the days of a tour.
pub fn check_days(errors: &mut FieldErrors, starts_on: NaiveDate, ends_on: NaiveDate) {
    errors.day("/starts_on", starts_on);
    errors.day("/ends_on", ends_on);
    if ends_on < starts_on {
        errors.add("/ends_on", "before_start", "must not be before `starts_on`");
    } else if (ends_on - starts_on).num_days() > 366 {
        errors.add("/ends_on", "too_long", "a tour lasts a year at most");
    }
}

/// Checks that a stop lies on a day of its tour.
pub fn check_day(
    errors: &mut FieldErrors,
    at: &str,
    day: NaiveDate,
    starts_on: NaiveDate,
    ends_on: NaiveDate,
) {
    if day < starts_on || day > ends_on {
        errors.add(
            at,
            "outside_tour",
            format!("must be from {starts_on} to {ends_on}"),
        );
    }
}

/// What is to change of a tour. What is left out stays.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PravasPatch {
    #[schema(example = "Pravas in the seats to win", min_length = 1, max_length = 200)]
    pub title: Option<String>,
    #[schema(example = "2026-11-23")]
    pub starts_on: Option<NaiveDate>,
    #[schema(example = "2026-12-02")]
    pub ends_on: Option<NaiveDate>,
    /// A reason ends the tour: it is in no figure from then on, and is never changed again.
    #[schema(example = json!(null), min_length = 1, max_length = 500)]
    pub cancel_reason: Option<String>,
}

impl Validate for PravasPatch {
    fn validate(&self, errors: &mut FieldErrors) {
        if let Some(title) = &self.title {
            check_text(errors, "/title", title, 1, 200);
        }
        if let Some(reason) = &self.cancel_reason {
            check_text(errors, "/cancel_reason", reason, 1, 500);
        }
    }
}

/// What is to change of a stop. What is left out stays.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StopPatch {
    /// Another day of the tour.
    #[schema(example = "2026-11-24")]
    pub day: Option<NaiveDate>,
    #[schema(
        example = "Meet the booth committee and the mandal",
        min_length = 1,
        max_length = 500
    )]
    pub purpose: Option<String>,
    /// `true` takes it out of the plan, `false` back in.
    #[schema(example = json!(null))]
    pub cancelled: Option<bool>,
}

impl Validate for StopPatch {
    fn validate(&self, errors: &mut FieldErrors) {
        if let Some(purpose) = &self.purpose {
            check_text(errors, "/purpose", purpose, 1, 500);
        }
    }
}

/// A task for one unit.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RaisedTask {
    /// For this unit.
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    #[schema(example = "Complete the committee", min_length = 1, max_length = 200)]
    pub title: String,
    #[serde(default)]
    #[schema(example = "", max_length = 2000)]
    pub instructions: String,
    #[schema(example = "2026-12-31")]
    pub due_on: NaiveDate,
    /// The worker who answers for it; a finding's task must have one.
    #[serde(default)]
    #[schema(value_type = Option<i32>, example = json!(null))]
    pub owner_id: Option<WorkerId>,
}

impl RaisedTask {
    /// As a task of that unit alone; `at` is where it stands in the body.
    pub fn of_unit(&self, at: String) -> UnitTask<'_> {
        UnitTask {
            at,
            unit_id: self.unit_id,
            title: &self.title,
            instructions: &self.instructions,
            due_on: self.due_on,
            owner_id: self.owner_id,
        }
    }

    fn check(&self, errors: &mut FieldErrors, at: &str) {
        self.of_unit(at.to_owned()).check(errors);
    }
}

/// What came of a stop. The phone makes the id; sending the same again is safe.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopReportSent {
    /// Made by the phone (UUID; version 7 preferred).
    #[schema(value_type = uuid::Uuid, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd77")]
    pub id: StopReportId,
    /// By the phone's clock, right or wrong.
    #[schema(example = "2026-11-23T11:05:00+05:30")]
    pub reported_at: DateTime<Utc>,
    /// Whether it was held.
    #[schema(example = true)]
    pub held: bool,
    #[serde(default)]
    #[schema(example = 45, minimum = 0, maximum = 10_000_000)]
    pub attendance: Option<i32>,
    /// Of the place and the organisation; no names or numbers of citizens.
    #[serde(default)]
    #[schema(example = "Committee of seven; the road floods", max_length = 2000)]
    pub observations: Option<String>,
    /// Short words for what was raised: at most 20.
    #[serde(default)]
    #[schema(example = json!(["road"]), max_items = 20)]
    pub issues: Vec<String>,
    /// Tasks that it raises, each for one unit; needs `task.write` there.
    #[serde(default)]
    #[schema(max_items = 50)]
    pub tasks: Vec<RaisedTask>,
}

impl Validate for StopReportSent {
    fn validate(&self, errors: &mut FieldErrors) {
        use chrono::Datelike;
        errors.range("/reported_at", self.reported_at.year(), 1900, 2200);
        if let Some(attendance) = self.attendance {
            errors.range("/attendance", attendance, 0, 10_000_000);
        }
        if let Some(observations) = &self.observations {
            check_text(errors, "/observations", observations, 1, 2000);
        }
        if self.issues.len() > 20 {
            errors.add("/issues", "too_many", "at most 20");
        }
        for (n, issue) in self.issues.iter().enumerate() {
            check_text(errors, &format!("/issues/{n}"), issue, 1, 50);
        }
        if self.tasks.len() > MAX_TASKS {
            errors.add("/tasks", "too_many", format!("at most {MAX_TASKS}"));
        }
        for (n, task) in self.tasks.iter().enumerate() {
            task.check(errors, &format!("/tasks/{n}"));
        }
    }
}

/// What a review found, and the task that mends it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFinding {
    #[schema(example = "Committees exist on paper", min_length = 1, max_length = 1000)]
    pub finding: String,
    pub task: RaisedTask,
}

/// A meeting at which a tour was reviewed.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReview {
    /// The day of the meeting: today or before.
    #[schema(example = "2026-11-23")]
    pub held_on: NaiveDate,
    #[serde(default)]
    #[schema(example = "Three of five booths visited", max_length = 2000)]
    pub summary: String,
    /// Each with its task, and the task with its owner.
    #[serde(default)]
    #[schema(max_items = 50)]
    pub findings: Vec<NewFinding>,
}

impl Validate for NewReview {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.day("/held_on", self.held_on);
        check_text(errors, "/summary", &self.summary, 0, 2000);
        if self.findings.len() > MAX_TASKS {
            errors.add("/findings", "too_many", format!("at most {MAX_TASKS}"));
        }
        for (n, finding) in self.findings.iter().enumerate() {
            let at = format!("/findings/{n}");
            check_text(errors, &format!("{at}/finding"), &finding.finding, 1, 1000);
            finding.task.check(errors, &format!("{at}/task"));
            if finding.task.owner_id.is_none() {
                errors.add(format!("{at}/task/owner_id"), "missing", "say who answers for it");
            }
        }
    }
}
