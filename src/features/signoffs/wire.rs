use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::queries::{CountRow, MandalRow, SignoffRow};
use super::rules::{monday_of, sunday_after, week_of};
use crate::platform::ids::{SignoffId, UnitId, WorkerId};
use crate::platform::personal::holds_personal_number;
use crate::platform::validate::{FieldErrors, Validate};

/// Most characters in a reason.
const MAX_REASON: usize = 500;

fn check_week(errors: &mut FieldErrors, week: &str) {
    if monday_of(week).is_none() {
        errors.add(
            "/week",
            "bad_week",
            "must be an ISO week from 1900 to 2200, such as 2026-W47",
        );
    }
}

/// A week to be signed.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WeekSent {
    /// An ISO week that is over: Monday to Sunday in the operating time zone.
    #[schema(example = "2026-W47")]
    pub week: String,
}

impl Validate for WeekSent {
    fn validate(&self, errors: &mut FieldErrors) {
        check_week(errors, &self.week);
    }
}

/// Why a week is reopened.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReopenSent {
    /// 1 to 500 characters; no phone or identity numbers.
    #[schema(example = "Two booths had not uploaded", min_length = 1, max_length = 500)]
    pub reason: String,
}

impl Validate for ReopenSent {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.text("/reason", &self.reason, 1, MAX_REASON);
        if holds_personal_number(&self.reason) {
            errors.add(
                "/reason",
                "personal_number",
                "must not hold a phone or identity number; leave it out",
            );
        }
    }
}

/// Which week, and which of the mandals.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WeekFilter {
    /// An ISO week; the last one that is over if not given.
    #[param(example = "2026-W47")]
    pub week: Option<String>,
    /// Only mandals that have signed, or only those that have not.
    pub signed: Option<bool>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl Validate for WeekFilter {
    fn validate(&self, errors: &mut FieldErrors) {
        if let Some(week) = &self.week {
            check_week(errors, week);
        }
    }
}

/// A mandal's signature under a week.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct SignoffView {
    #[schema(value_type = i32, example = 1)]
    pub id: SignoffId,
    #[schema(value_type = i32, example = 6)]
    pub mandal_id: UnitId,
    #[schema(example = "2026-W47")]
    pub week: String,
    /// First day of the week.
    pub from: NaiveDate,
    /// Last day of the week.
    pub to: NaiveDate,
    #[schema(value_type = i32, example = 7)]
    pub signed_by: WorkerId,
    pub signed_at: DateTime<Utc>,
    /// Whether it holds: it was not reopened.
    #[schema(example = true)]
    pub holds: bool,
    #[schema(value_type = Option<i32>)]
    pub reopened_by: Option<WorkerId>,
    pub reopened_at: Option<DateTime<Utc>>,
    pub reopen_reason: Option<String>,
}

impl From<SignoffRow> for SignoffView {
    fn from(row: SignoffRow) -> Self {
        Self {
            id: row.id,
            mandal_id: row.mandal_id,
            week: week_of(row.week_start),
            from: row.week_start,
            to: sunday_after(row.week_start),
            signed_by: row.signed_by,
            signed_at: row.signed_at,
            holds: row.reopened_at.is_none(),
            reopened_by: row.reopened_by,
            reopened_at: row.reopened_at,
            reopen_reason: row.reopen_reason,
        }
    }
}

/// A mandal and whether it signed the week.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MandalView {
    #[schema(value_type = i32, example = 6)]
    pub mandal_id: UnitId,
    #[schema(example = "S24-M012")]
    pub code: String,
    #[schema(example = "Mandal 12")]
    pub name: String,
    pub signed: bool,
    /// Every signature under the week, oldest first: those that were reopened, and the one that holds.
    pub sign_offs: Vec<SignoffView>,
}

impl MandalView {
    /// With those of these signatures that are its own.
    pub fn new(row: MandalRow, all: &[SignoffRow]) -> Self {
        let own = all.iter().filter(|signoff| signoff.mandal_id == row.mandal_id);
        Self {
            mandal_id: row.mandal_id,
            code: row.code,
            name: row.name,
            signed: row.signed,
            sign_offs: own.cloned().map(SignoffView::from).collect(),
        }
    }
}

/// How many of the mandals under a unit signed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SignOffChildView)]
pub struct ChildView {
    #[schema(value_type = i32, example = 4)]
    pub unit_id: UnitId,
    #[schema(example = "district")]
    pub level: String,
    #[schema(example = "Lucknow")]
    pub name: String,
    #[schema(example = 20)]
    pub mandals: i64,
    #[schema(example = 17)]
    pub signed: i64,
}

/// A week under a unit.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WeekView {
    #[schema(example = "2026-W47")]
    pub week: String,
    /// Mandals under the unit, whatever the filter.
    #[schema(example = 20)]
    pub mandals: i64,
    /// Those of them that signed.
    #[schema(example = 17)]
    pub signed: i64,
    /// The same for each unit straight below that holds mandals, or is one.
    pub children: Vec<ChildView>,
    pub items: Vec<MandalView>,
    /// Pass it as `cursor` to get the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// The counts of a unit and of those straight below it.
pub fn counts(rows: Vec<CountRow>) -> (i64, i64, Vec<ChildView>) {
    let mandals = rows.iter().map(|row| row.mandals).sum();
    let signed = rows.iter().map(|row| row.signed).sum();
    let children = rows.into_iter().filter_map(|row| {
        Some(ChildView {
            unit_id: row.unit_id?,
            level: row.level?,
            name: row.name?,
            mandals: row.mandals,
            signed: row.signed,
        })
    });
    (mandals, signed, children.collect())
}
