use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

use super::super::wire::{hindi, is_language};
use super::{fits_level, has_prefix, is_phone, overlap};
use crate::access::Role;
use crate::access::actions::ActionName;
use crate::platform::csv::{CellError, Row};
use crate::platform::ids::{UnitId, WorkerId};
use crate::platform::validate::FieldErrors;

/// The columns of a roster.
pub const COLUMNS: [&str; 6] = ["phone", "name", "unit_code", "role", "language", "valid_from"];
/// Those that must be there.
pub const REQUIRED: [&str; 3] = ["phone", "name", "unit_code"];

/// A row, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRow {
    pub line: u64,
    pub phone: String,
    pub name: String,
    pub unit_code: String,
    pub role: Option<Role>,
    pub language: Option<String>,
    pub valid_from: Option<NaiveDate>,
}

/// A unit at which the importer manages workers.
#[derive(Clone, Debug)]
pub struct UnitFact {
    pub id: UnitId,
    pub level: String,
    pub lineage: Vec<UnitId>,
}

/// A worker who is on a roster already.
#[derive(Clone, Debug)]
pub struct KnownWorker {
    pub id: WorkerId,
    pub unit_id: UnitId,
    pub state_id: UnitId,
    pub name: String,
    pub language: String,
    /// Whether the importer manages his home unit.
    pub managed: bool,
    /// Those that were not ended.
    pub grants: Vec<HeldGrant>,
}

/// A role that he holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HeldGrant {
    pub role: Role,
    pub unit_id: UnitId,
    pub valid_from: NaiveDate,
    pub valid_to: Option<NaiveDate>,
    /// Of the unit, today.
    pub lineage: Vec<UnitId>,
}

/// What the rows are checked against.
#[derive(Debug)]
pub struct Facts {
    /// By code.
    pub units: HashMap<String, UnitFact>,
    /// By phone.
    pub workers: HashMap<String, KnownWorker>,
    pub today: NaiveDate,
}

/// What an import will do.
#[derive(Debug, Default, Serialize)]
pub struct Plan {
    pub workers: Vec<PlannedWorker>,
    pub changes: Vec<PlannedChange>,
    pub grants: Vec<PlannedGrant>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty() && self.changes.is_empty() && self.grants.is_empty()
    }
}

/// Somebody to put on the roster.
#[derive(Debug, Serialize)]
pub struct PlannedWorker {
    pub phone: String,
    pub name: String,
    pub language: String,
    pub unit_id: UnitId,
}

/// Somebody to rename, or to speak to in another language.
#[derive(Debug, Serialize)]
pub struct PlannedChange {
    pub id: WorkerId,
    pub unit_id: UnitId,
    pub state_id: UnitId,
    pub name: String,
    pub language: String,
}

/// A role to give.
#[derive(Debug, Serialize)]
pub struct PlannedGrant {
    pub phone: String,
    pub role: Role,
    pub unit_id: UnitId,
    pub valid_from: NaiveDate,
}

/// Understands the cells; what cannot be goes to `errors` and its row is left out.
pub fn read_rows(table: Vec<Row>, prefixes: &[String], errors: &mut Vec<CellError>) -> Vec<ImportRow> {
    table
        .into_iter()
        .filter_map(|row| read_row(row, prefixes, errors))
        .collect()
}

fn read_row(row: Row, prefixes: &[String], errors: &mut Vec<CellError>) -> Option<ImportRow> {
    let line = row.line;
    let [phone, name, unit_code, role, language, valid_from]: [String; 6] = row.cells.try_into().ok()?;
    let before = errors.len();
    let mut refuse = |column: &str, code, reason: String| {
        errors.push(CellError::new(line, column, code, reason));
    };
    if !is_phone(&phone) {
        refuse(
            "phone",
            "bad_phone",
            "must be an E.164 number such as +919812345678".to_owned(),
        );
    } else if !has_prefix(&phone, prefixes) {
        refuse(
            "phone",
            "prefix_not_allowed",
            format!("must begin with {}", prefixes.join(" or ")),
        );
    }
    let mut text = FieldErrors::default();
    text.text("", &name, 1, 200);
    for error in text.0 {
        refuse("name", "bad_text", error.detail);
    }
    let found_role = Role::find(&role);
    if !role.is_empty() && found_role.is_none_or(|role| role == Role::Service) {
        refuse(
            "role",
            "unknown_role",
            "must be the name of a role for people, or empty".to_owned(),
        );
    }
    if !language.is_empty() && !is_language(&language) {
        refuse(
            "language",
            "bad_language",
            "must be a BCP 47 tag such as hi, or empty".to_owned(),
        );
    }
    let day = valid_from.parse::<NaiveDate>().ok();
    if !valid_from.is_empty() && day.is_none_or(|day| !(1900..=2200).contains(&day.year())) {
        refuse(
            "valid_from",
            "bad_day",
            "must be a day such as 2026-11-23, or empty for today".to_owned(),
        );
    }
    (errors.len() == before).then(|| ImportRow {
        line,
        phone,
        name,
        unit_code,
        role: found_role,
        language: (!language.is_empty()).then_some(language),
        valid_from: day,
    })
}

/// Decides what is to be done. `may` answers for the importer at a unit with a lineage.
pub fn make_plan(
    rows: &[ImportRow],
    facts: &Facts,
    may: &dyn Fn(ActionName, &[UnitId]) -> bool,
    errors: &mut Vec<CellError>,
) -> Plan {
    let mut plan = Plan::default();
    let mut first: BTreeMap<&str, &ImportRow> = BTreeMap::new();
    let mut given = BTreeSet::new();
    for row in rows {
        let Some(unit) = facts.units.get(&row.unit_code) else {
            let reason = "there is no such unit, or you do not manage its workers";
            errors.push(CellError::new(row.line, "unit_code", "unknown_unit", reason));
            continue;
        };
        let known = facts.workers.get(&row.phone);
        match first.get(row.phone.as_str()) {
            Some(before) => check_same_person(before, row, errors),
            None => {
                first.insert(&row.phone, row);
                plan_worker(row, unit, known, may, facts.today, &mut plan, errors);
            }
        }
        let Some(role) = row.role else { continue };
        check_role(row, role, unit, may, errors);
        let valid_from = row.valid_from.unwrap_or(facts.today);
        let held = known.is_some_and(|known| {
            known.grants.iter().any(|held| {
                held.role == role
                    && held.unit_id == unit.id
                    && overlap((held.valid_from, held.valid_to), (valid_from, None))
            })
        });
        if !held && given.insert((row.phone.as_str(), role, unit.id)) {
            plan.grants.push(PlannedGrant {
                phone: row.phone.clone(),
                role,
                unit_id: unit.id,
                valid_from,
            });
        }
    }
    plan
}

fn check_same_person(before: &ImportRow, row: &ImportRow, errors: &mut Vec<CellError>) {
    let mut differs = |column: &str| {
        let reason = format!("line {} says otherwise for this phone", before.line);
        errors.push(CellError::new(row.line, column, "contradiction", reason));
    };
    if before.name != row.name {
        differs("name");
    }
    if before.language != row.language {
        differs("language");
    }
}

fn plan_worker(
    row: &ImportRow,
    unit: &UnitFact,
    known: Option<&KnownWorker>,
    may: &dyn Fn(ActionName, &[UnitId]) -> bool,
    today: NaiveDate,
    plan: &mut Plan,
    errors: &mut Vec<CellError>,
) {
    let Some(known) = known else {
        plan.workers.push(PlannedWorker {
            phone: row.phone.clone(),
            name: row.name.clone(),
            language: row.language.clone().unwrap_or_else(hindi),
            unit_id: unit.id,
        });
        return;
    };
    if !known.managed {
        let reason = "this phone number cannot be used";
        errors.push(CellError::new(row.line, "phone", "phone_taken", reason));
        return;
    }
    let language = row.language.as_ref().unwrap_or(&known.language);
    if known.name == row.name && known.language == *language {
        return;
    }
    let could_give = known
        .grants
        .iter()
        .filter(|held| held.valid_to.is_none_or(|last| today <= last))
        .all(|held| may_give(may, held.role, &held.lineage));
    if !could_give {
        let reason = "he holds a role that you could not give, so you cannot change him";
        errors.push(CellError::new(row.line, "name", "forbidden", reason));
        return;
    }
    plan.changes.push(PlannedChange {
        id: known.id,
        unit_id: known.unit_id,
        state_id: known.state_id,
        name: row.name.clone(),
        language: language.clone(),
    });
}

fn may_give(may: &dyn Fn(ActionName, &[UnitId]) -> bool, role: Role, lineage: &[UnitId]) -> bool {
    may(ActionName::GrantWrite, lineage) && role.actions().all(|action| may(action, lineage))
}

fn check_role(
    row: &ImportRow,
    role: Role,
    unit: &UnitFact,
    may: &dyn Fn(ActionName, &[UnitId]) -> bool,
    errors: &mut Vec<CellError>,
) {
    if !fits_level(role, &unit.level) {
        let reason = format!(
            "{} is held at: {}; {} is a {}",
            role.as_str(),
            role.levels().join(", "),
            row.unit_code,
            unit.level
        );
        errors.push(CellError::new(row.line, "role", "wrong_level", reason));
    } else if !may_give(may, role, &unit.lineage) {
        let reason = "you do not hold all that this role may do there";
        errors.push(CellError::new(row.line, "role", "forbidden", reason));
    }
}
