use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use super::queries::WorkerRow;
use super::rules::{is_phone, is_post, mask_phone};
use crate::access::Role;
use crate::platform::ids::{GrantId, UnitId, WorkerId};
use crate::platform::page::Paging;
use crate::platform::validate::{FieldErrors, Validate};

/// Where an entrant came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The party he came from.
    #[schema(example = "Example Party", min_length = 1, max_length = 200)]
    pub party: String,
    /// The day he joined.
    #[serde(default)]
    #[schema(example = "2024-03-01")]
    pub joined_on: Option<NaiveDate>,
}

impl Origin {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.text("/origin/party", &self.party, 1, 200);
        if let Some(day) = self.joined_on {
            errors.day("/origin/joined_on", day);
        }
    }
}

/// A new worker.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWorker {
    /// 1 to 200 characters.
    #[schema(example = "Asha Devi", min_length = 1, max_length = 200)]
    pub name: String,
    /// E.164; he signs in with it.
    #[schema(example = "+919812345678")]
    pub phone: String,
    /// The unit on whose roster he stands.
    #[schema(value_type = i32, example = 8)]
    pub unit_id: UnitId,
    /// BCP 47 tag of the language for messages.
    #[serde(default = "hindi")]
    #[schema(example = "hi")]
    pub language: String,
    #[serde(default = "yes")]
    #[schema(example = true)]
    pub active: bool,
    #[serde(default)]
    pub origin: Option<Origin>,
}

pub fn hindi() -> String {
    "hi".to_owned()
}

const fn yes() -> bool {
    true
}

impl Validate for NewWorker {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.text("/name", &self.name, 1, 200);
        check_phone(&self.phone, errors);
        check_language(&self.language, errors);
        if let Some(origin) = &self.origin {
            origin.validate(errors);
        }
    }
}

fn check_phone(phone: &str, errors: &mut FieldErrors) {
    if !is_phone(phone) {
        errors.add(
            "/phone",
            "bad_phone",
            "must be an E.164 number such as +919812345678",
        );
    }
}

fn check_language(tag: &str, errors: &mut FieldErrors) {
    if !is_language(tag) {
        errors.add(
            "/language",
            "bad_language",
            "must be a BCP 47 tag such as hi or en-IN",
        );
    }
}

/// Whether a text looks like a BCP 47 tag.
pub fn is_language(tag: &str) -> bool {
    (2..=35).contains(&tag.len())
        && tag
            .split('-')
            .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// A change: the fields named are replaced.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerPatch {
    #[serde(deserialize_with = "given")]
    #[schema(example = "Asha Devi", min_length = 1, max_length = 200)]
    pub name: Option<String>,
    #[serde(deserialize_with = "given")]
    #[schema(example = "+919812345679")]
    pub phone: Option<String>,
    /// Another home unit, one that you manage as well.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = i32, example = 8)]
    pub unit_id: Option<UnitId>,
    #[serde(deserialize_with = "given")]
    #[schema(example = "en")]
    pub language: Option<String>,
    /// False: he can no longer sign in, and his tokens are void within seconds.
    #[serde(deserialize_with = "given")]
    #[schema(example = true)]
    pub active: Option<bool>,
    /// Null: no entrant.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Origin>)]
    pub origin: Option<Option<Origin>>,
}

/// Tells "null" from "not there": what may not be null is then refused, what may be is emptied.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Validate for WorkerPatch {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.optional_text("/name", self.name.as_deref(), 1, 200);
        if let Some(phone) = &self.phone {
            check_phone(phone, errors);
        }
        if let Some(language) = &self.language {
            check_language(language, errors);
        }
        if let Some(Some(origin)) = &self.origin {
            origin.validate(errors);
        }
    }
}

/// A role to give.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// Must fit the unit's level; you must hold all its actions there yourself.
    pub role: Role,
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    /// First day on which it holds.
    #[schema(example = "2026-11-23")]
    pub valid_from: NaiveDate,
    /// Last day on which it holds; null or left out: until ended.
    #[serde(default)]
    #[schema(example = json!(null))]
    pub valid_to: Option<NaiveDate>,
    /// The office that goes with it (`president`, `secretary`): small letters, digits and `_`, at most 40. Left out: the
    /// role itself is the post.
    #[serde(default)]
    #[schema(example = json!(null), max_length = 40)]
    pub post: Option<String>,
}

impl Validate for NewGrant {
    fn validate(&self, errors: &mut FieldErrors) {
        if self.post.as_deref().is_some_and(|post| !is_post(post)) {
            errors.add(
                "/post",
                "bad_post",
                "must be small letters, digits and _, at most 40, a letter first",
            );
        }
        errors.day("/valid_from", self.valid_from);
        if let Some(valid_to) = self.valid_to {
            errors.day("/valid_to", valid_to);
            if valid_to < self.valid_from {
                errors.add("/valid_to", "before_start", "must not be before valid_from");
            }
        }
    }
}

/// Who takes over a post, and from when.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    /// An active worker whom you may see.
    #[schema(value_type = i32, example = 12)]
    pub to_worker_id: WorkerId,
    /// The first day of the new holder: today or later, and a day of the grant.
    #[schema(example = "2026-11-23")]
    pub from: NaiveDate,
}

impl Validate for Handover {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.day("/from", self.from);
    }
}

/// A post handed over.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HandoverView {
    /// The grant that was, with its end.
    pub ended: GrantView,
    /// The one that follows it: same role, same unit, same last day.
    pub given: GrantView,
}

/// A role held at a unit from a day to a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GrantView {
    #[schema(value_type = i32, example = 3)]
    pub id: GrantId,
    pub role: Role,
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    #[schema(example = "2026-11-23")]
    pub valid_from: NaiveDate,
    /// Last day; null: until ended.
    #[schema(example = json!(null))]
    pub valid_to: Option<NaiveDate>,
    /// When it was taken away; it then holds no more, whatever its days.
    #[schema(example = json!(null))]
    pub ended_at: Option<DateTime<Utc>>,
    /// The office that goes with it; null: the role itself is the post.
    #[serde(default)]
    #[schema(example = json!(null))]
    pub post: Option<String>,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct WorkerView {
    #[schema(value_type = i32, example = 12)]
    pub id: WorkerId,
    /// His home unit.
    #[schema(value_type = i32, example = 8)]
    pub unit_id: UnitId,
    #[schema(example = "Asha Devi")]
    pub name: String,
    /// Whole for himself and for those who manage him; else six stars and the last four digits.
    #[schema(example = "******5678")]
    pub phone: String,
    #[schema(example = "hi")]
    pub language: String,
    #[schema(example = true)]
    pub active: bool,
    /// He asked for erasure: his name and number are shown to nobody, and destroyed a year later.
    #[schema(example = false)]
    pub erasure_requested: bool,
    pub origin: Option<Origin>,
    /// Of the roles that he holds or held, those at units in your scope; all for himself.
    pub grants: Vec<GrantView>,
    /// Counts the changes, those of his grants too; the ETag.
    #[schema(example = 1)]
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl WorkerView {
    /// The row with its number, opened; `None` if he has none any more.
    #[must_use]
    pub fn of(row: WorkerRow, phone: Option<&str>) -> Self {
        let restricted = row.erasure_requested_at.is_some();
        let phone = phone.filter(|_| !restricted).unwrap_or_default();
        Self {
            id: row.id,
            unit_id: row.unit_id,
            name: if restricted {
                "(erased)".to_owned()
            } else {
                row.name
            },
            phone: if row.phone_shown && !restricted {
                phone.to_owned()
            } else {
                mask_phone(phone)
            },
            language: row.language,
            active: row.active,
            erasure_requested: restricted,
            origin: row.origin_party.filter(|_| !restricted).map(|party| Origin {
                party,
                joined_on: row.origin_joined_on,
            }),
            grants: row.grants.0,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Which workers.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WorkerFilter {
    /// A unit: workers whose home or a live grant of whom lies under it today.
    #[serde(default)]
    #[param(example = "8")]
    pub under: Option<String>,
    /// Who holds this role today.
    #[serde(default)]
    pub role: Option<Role>,
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    pub active: Option<String>,
    /// Part of the name, in any case; 1 to 100 characters.
    #[serde(default)]
    pub q: Option<String>,
    #[serde(flatten)]
    #[param(ignore)]
    pub paging: Paging,
}

impl WorkerFilter {
    /// `under` and `active`, understood.
    pub fn read(&self, errors: &mut FieldErrors) -> (Option<UnitId>, Option<bool>) {
        errors.optional_text("/q", self.q.as_deref(), 1, 100);
        let under = self.under.as_deref().map(str::parse::<UnitId>);
        if matches!(under, Some(Err(_))) {
            errors.add("/under", "wrong_type", "must be the id of a unit");
        }
        let active = self.active.as_deref().map(str::parse::<bool>);
        if matches!(active, Some(Err(_))) {
            errors.add("/active", "wrong_type", "must be true or false");
        }
        (under.and_then(Result::ok), active.and_then(Result::ok))
    }
}

/// How an import is run.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ImportQuery {
    /// Only check the file and say what would be done.
    #[serde(default)]
    #[param(example = false)]
    pub dry_run: bool,
}

/// What an import did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ImportView {
    /// Rows read.
    #[schema(example = 1)]
    pub rows: usize,
    /// Workers put on the roster.
    #[schema(example = 1)]
    pub workers_created: usize,
    /// Workers whose name or language changed.
    #[schema(example = 0)]
    pub workers_updated: usize,
    /// Roles given.
    #[schema(example = 1)]
    pub grants_created: usize,
    /// Whether nothing was written because it was only a check.
    #[schema(example = false)]
    pub dry_run: bool,
}
