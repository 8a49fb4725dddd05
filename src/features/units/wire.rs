use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, Serialize};

use super::queries::{UnitRow, UpperRow};
use super::rules::{Level, Tree, is_code};
use crate::platform::ids::UnitId;
use crate::platform::location::Location;
use crate::platform::page::Paging;
use crate::platform::validate::{FieldErrors, Validate};

/// Most electors or doors that one unit can have.
pub const MAX_COUNT: i32 = 2_000_000_000;

/// The unit straight above in each tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parents {
    #[schema(value_type = Option<i32>, example = 6)]
    pub organisation: Option<UnitId>,
    #[schema(value_type = Option<i32>, example = 11)]
    pub electorate: Option<UnitId>,
}

impl Parents {
    /// The parent in a tree.
    #[must_use]
    pub const fn of(&self, tree: Tree) -> Option<UnitId> {
        match tree {
            Tree::Organisation => self.organisation,
            Tree::Electorate => self.electorate,
        }
    }
}

/// A unit.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct UnitView {
    #[schema(value_type = i32, example = 14)]
    pub id: UnitId,
    #[schema(example = "S1-B1")]
    pub code: String,
    #[schema(example = "booth")]
    pub level: String,
    #[schema(example = "Primary School, Rampur")]
    pub name: String,
    #[schema(example = "प्राथमिक विद्यालय, रामपुर")]
    pub name_local: Option<String>,
    /// The state it lies in; itself for a state and for the nation.
    #[schema(value_type = i32, example = 2)]
    pub state_id: UnitId,
    /// As they stand today.
    pub parents: Parents,
    #[schema(example = 900)]
    pub electors: Option<i32>,
    /// Doors to be visited: the denominator of coverage.
    #[schema(example = 100)]
    pub doors: Option<i32>,
    pub location: Option<Location>,
    #[schema(example = 1)]
    pub version: i32,
}

impl From<UnitRow> for UnitView {
    fn from(row: UnitRow) -> Self {
        Self {
            id: row.id,
            code: row.code,
            level: row.level,
            name: row.name,
            name_local: row.name_local,
            state_id: row.state_id,
            parents: Parents {
                organisation: row.organisation,
                electorate: row.electorate,
            },
            electors: row.electors,
            doors: row.doors,
            location: Location::from_columns(row.lat, row.lon),
            version: row.version,
        }
    }
}

/// Which of your units.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UnitFilter {
    /// Units of this level.
    #[serde(default)]
    #[param(example = "booth")]
    pub level: Option<Level>,
    /// The id of a unit: it and those that lie under it today, in either tree.
    #[serde(default)]
    #[param(value_type = Option<i32>, example = 6)]
    pub under: Option<String>,
    /// The unit with just this code.
    #[serde(default)]
    pub code: Option<String>,
    /// Part of the name, the local name or the code, in any case; 1 to 100 characters.
    #[serde(default)]
    pub q: Option<String>,
    #[serde(flatten)]
    #[param(ignore)]
    pub paging: Paging,
}

impl UnitFilter {
    /// `under`, understood.
    pub fn read(&self, errors: &mut FieldErrors) -> Option<UnitId> {
        errors.optional_text("/q", self.q.as_deref(), 1, 100);
        errors.optional_text("/code", self.code.as_deref(), 1, 64);
        let under = self.under.as_deref().map(str::parse::<UnitId>);
        if matches!(under, Some(Err(_))) {
            errors.add("/under", "wrong_type", "must be the id of a unit");
        }
        under.and_then(Result::ok)
    }
}

/// A new unit.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({
    "code": "S1-B9", "level": "booth", "name": "Primary School, Rampur", "name_local": "प्राथमिक विद्यालय, रामपुर",
    "parents": {"organisation": 6, "electorate": 11}, "electors": 900, "doors": 100
}))]
#[serde(deny_unknown_fields)]
pub struct NewUnit {
    /// Unique in the whole installation: 1 to 64 letters, digits and `._/-`.
    #[schema(example = "S1-B9", max_length = 64)]
    pub code: String,
    /// Fixed for its life.
    #[schema(example = "booth")]
    pub level: Level,
    #[schema(example = "Primary School, Rampur", min_length = 1, max_length = 300)]
    pub name: String,
    #[serde(default)]
    #[schema(example = "प्राथमिक विद्यालय, रामपुर", min_length = 1, max_length = 300)]
    pub name_local: Option<String>,
    /// At least one; both in the same state. They hold since ever.
    pub parents: Parents,
    #[serde(default)]
    #[schema(example = 900, minimum = 0)]
    pub electors: Option<i32>,
    #[serde(default)]
    #[schema(example = 100, minimum = 0)]
    pub doors: Option<i32>,
    #[serde(default)]
    pub location: Option<Location>,
}

impl Validate for NewUnit {
    fn validate(&self, errors: &mut FieldErrors) {
        if !is_code(&self.code) {
            errors.add(
                "/code",
                "bad_code",
                "must be 1 to 64 letters, digits and ._/-, the first a letter or digit",
            );
        }
        check_name("/name", Some(&self.name), errors);
        check_name("/name_local", self.name_local.as_deref(), errors);
        check_count("/electors", self.electors, errors);
        check_count("/doors", self.doors, errors);
        if let Some(location) = &self.location {
            location.check("/location", errors);
        }
        if self.level == Level::Nation {
            errors.add(
                "/level",
                "one_nation",
                "there is one nation; it comes with the first import",
            );
        } else if self.parents == Parents::default() {
            errors.add(
                "/parents",
                "missing_field",
                "a unit stands in at least one of the two trees",
            );
        }
    }
}

/// Names are stored on one line.
fn check_name(pointer: &str, name: Option<&str>, errors: &mut FieldErrors) {
    let Some(name) = name else { return };
    if name.contains(['\n', '\t']) {
        errors.add(
            pointer,
            "control_character",
            "must not contain line breaks or tabs",
        );
    } else {
        errors.text(pointer, name, 1, 300);
    }
}

fn check_count(pointer: &str, count: Option<i32>, errors: &mut FieldErrors) {
    if let Some(count) = count {
        errors.range(pointer, count, 0, MAX_COUNT);
    }
}

/// A change: the fields named are replaced.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UnitPatch {
    #[serde(deserialize_with = "given")]
    #[schema(example = "Primary School, Rampur (East)", min_length = 1, max_length = 300)]
    pub name: Option<String>,
    /// Null: unknown.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = json!(null))]
    pub name_local: Option<Option<String>>,
    /// Null: unknown.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<i32>, example = 912, minimum = 0)]
    pub electors: Option<Option<i32>>,
    /// Null: unknown.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<i32>, example = 104, minimum = 0)]
    pub doors: Option<Option<i32>>,
    /// Null: unknown.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Location>)]
    pub location: Option<Option<Location>>,
}

/// Tells "null" from "not there": what may not be null is then refused, what may be is emptied.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Validate for UnitPatch {
    fn validate(&self, errors: &mut FieldErrors) {
        check_name("/name", self.name.as_deref(), errors);
        check_name(
            "/name_local",
            self.name_local.as_ref().and_then(Option::as_deref),
            errors,
        );
        check_count("/electors", self.electors.flatten(), errors);
        check_count("/doors", self.doors.flatten(), errors);
        if let Some(location) = self.location.flatten() {
            location.check("/location", errors);
        }
    }
}

impl UnitPatch {
    /// The row as it is to be.
    #[must_use]
    pub fn apply(self, row: UnitRow) -> UnitRow {
        let location = match self.location {
            Some(location) => location,
            None => Location::from_columns(row.lat, row.lon),
        };
        UnitRow {
            name: self.name.unwrap_or(row.name),
            name_local: self.name_local.unwrap_or(row.name_local),
            electors: self.electors.unwrap_or(row.electors),
            doors: self.doors.unwrap_or(row.doors),
            lat: location.map(|location| location.lat),
            lon: location.map(|location| location.lon),
            ..row
        }
    }
}

/// A place in a tree from a day on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlacement {
    pub tree: Tree,
    /// The unit to stand straight under; in the same state.
    #[schema(value_type = i32, example = 7)]
    pub parent_id: UnitId,
    /// First day; past, today or to come. Whatever was planned for later days gives way.
    #[schema(example = "2026-11-23")]
    pub valid_from: NaiveDate,
}

impl Validate for NewPlacement {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.day("/valid_from", self.valid_from);
    }
}

/// Where a unit stands in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PlacementView {
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    pub tree: Tree,
    #[schema(value_type = i32, example = 7)]
    pub parent_id: UnitId,
    /// First day; 0001-01-01: since ever.
    #[schema(example = "2026-11-23")]
    pub valid_from: NaiveDate,
}

/// The day that is asked about.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LineageQuery {
    /// Today if not given.
    #[serde(default)]
    #[param(example = "2026-11-23")]
    pub on: Option<NaiveDate>,
}

/// A unit that stands above another, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct UpperView {
    #[schema(value_type = i32, example = 2)]
    pub id: UnitId,
    #[schema(example = "S1")]
    pub code: String,
    #[schema(example = "state")]
    pub level: String,
    #[schema(example = "Unit S1")]
    pub name: String,
    pub name_local: Option<String>,
}

impl From<UpperRow> for UpperView {
    fn from(row: UpperRow) -> Self {
        Self {
            id: row.id,
            code: row.code,
            level: row.level,
            name: row.name,
            name_local: row.name_local,
        }
    }
}

/// A unit and all above it in both trees on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LineageView {
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    #[schema(example = "2026-11-23")]
    pub on: NaiveDate,
    /// From the nation down to the unit itself.
    pub units: Vec<UpperView>,
}

/// How to import.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UnitImportQuery {
    /// Only check the file and say what would be done.
    #[serde(default)]
    #[param(example = false)]
    pub dry_run: bool,
}

/// What an import did, or would do. A unit that was changed and moved is counted under both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UnitImportView {
    /// Rows read.
    #[schema(example = 1)]
    pub rows: i64,
    #[schema(example = 1)]
    pub created: i64,
    /// Names, figures or places on the map that changed.
    #[schema(example = 0)]
    pub updated: i64,
    /// Units under another parent than before, or under one for the first time.
    #[schema(example = 0)]
    pub moved: i64,
    #[schema(example = 0)]
    pub unchanged: i64,
    #[schema(example = false)]
    pub dry_run: bool,
}
