//! The import of a roster, for HTTP and for the command line: all or nothing, every bad row named.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde_json::json;

use super::queries::import::{
    add_grants, add_workers, change_workers, count_grant_changes, find_units, find_workers, lock_phones,
};
use super::rules::import::{COLUMNS, Facts, Plan, REQUIRED, make_plan, read_rows};
use super::wire::ImportView;
use crate::access::actions::{ActionName, WorkerWrite};
use crate::access::policy::{program_scope, scope};
use crate::access::{Caller, Scope};
use crate::journal::{Actor, Digest, Entry, Record};
use crate::platform::csv::{CellError, read_table};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::error::{ApiError, Code, OnConstraint};
use crate::platform::ids::{UnitId, WorkerId};

/// Most rows of a file.
const MAX_ROWS: usize = 100_000;
/// Most errors that an answer lists.
const MAX_ERRORS: usize = 1000;

/// On whose authority a file is imported.
#[derive(Clone, Debug)]
pub struct Importer {
    scope: Scope<WorkerWrite>,
    caller: Option<Caller>,
    today: NaiveDate,
}

impl Importer {
    /// A worker, within his grants.
    ///
    /// # Errors
    /// 403 if he may manage no workers at all.
    pub fn caller(caller: Caller) -> Result<Self, ApiError> {
        Ok(Self {
            scope: scope(&caller)?,
            today: caller.today(),
            caller: Some(caller),
        })
    }

    /// The program itself, from its command line: everywhere.
    #[must_use]
    pub fn program(actor: Actor, nation: UnitId, today: NaiveDate) -> Self {
        Self {
            scope: program_scope(actor, Some(nation)),
            caller: None,
            today,
        }
    }

    fn may(&self, action: ActionName, lineage: &[UnitId]) -> bool {
        self.caller
            .as_ref()
            .is_none_or(|caller| caller.may_at(action, lineage))
    }
}

/// Why nothing was imported.
#[derive(Debug)]
pub enum ImportError {
    /// The file has these errors, by line.
    Rows(Vec<CellError>),
    /// Anything else.
    Other(ApiError),
}

impl From<ApiError> for ImportError {
    fn from(error: ApiError) -> Self {
        Self::Other(error)
    }
}

impl From<diesel::result::Error> for ImportError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Other(error.into())
    }
}

impl From<ImportError> for ApiError {
    fn from(error: ImportError) -> Self {
        let rows = match error {
            ImportError::Other(error) => return error,
            ImportError::Rows(rows) => rows,
        };
        let errors: Vec<_> = rows
            .iter()
            .take(MAX_ERRORS)
            .map(|row| {
                json!({
                    "pointer": format!("/{}/{}", row.line, row.column), "code": row.code, "detail": row.reason,
                    "line": row.line, "column": row.column, "reason": row.reason,
                })
            })
            .collect();
        Self::new(
            Code::ImportRejected,
            format!("{} errors; nothing was imported", rows.len()),
        )
        .with_member("error_count", rows.len().into())
        .with_member("errors", errors.into())
    }
}

/// Imports a roster: columns `phone,name,unit_code,role,language,valid_from`. A number that is not on the roster yet is
/// put on it at the unit; one that is gets the row's name and language; the role, if any, is given at the unit unless it
/// is held there already, so that the same file twice changes nothing.
///
/// # Errors
/// Every bad row, or what the database says; the transaction must then be rolled back.
pub async fn import_roster(
    tx: &mut Tx,
    keys: &DataKeys,
    importer: &Importer,
    prefixes: &[String],
    file: &[u8],
    dry_run: bool,
) -> Result<(ImportView, Record), ImportError> {
    let table = read_table(file, &COLUMNS, &REQUIRED, MAX_ROWS).map_err(ImportError::Rows)?;
    let mut errors = Vec::new();
    let rows = read_rows(table, prefixes, &mut errors);
    let phones: Vec<&str> = rows.iter().map(|row| row.phone.as_str()).collect();
    let codes: Vec<&str> = rows.iter().map(|row| row.unit_code.as_str()).collect();
    lock_phones(tx, keys, &importer.scope, &phones).await?;
    let facts = Facts {
        units: find_units(tx, &importer.scope, &codes, importer.today).await?,
        workers: find_workers(tx, keys, &importer.scope, &phones, importer.today).await?,
        today: importer.today,
    };
    let may = |action: ActionName, lineage: &[UnitId]| importer.may(action, lineage);
    let plan = make_plan(&rows, &facts, &may, &mut errors);
    if !errors.is_empty() {
        errors.sort_by_key(|error| error.line);
        return Err(ImportError::Rows(errors));
    }
    let view = ImportView {
        rows: rows.len(),
        workers_created: plan.workers.len(),
        workers_updated: plan.changes.len(),
        grants_created: plan.grants.len(),
        dry_run,
    };
    if dry_run || plan.is_empty() {
        return Ok((view, Record::nothing()));
    }
    Ok((view, store(tx, keys, importer, &plan).await?))
}

async fn store(tx: &mut Tx, keys: &DataKeys, importer: &Importer, plan: &Plan) -> Result<Record, ApiError> {
    let scope = &importer.scope;
    let taken = || {
        ApiError::new(
            Code::Conflict,
            "the roster was changed meanwhile; send the file again",
        )
    };
    let added = add_workers(tx, keys, scope, &plan.workers)
        .await
        .on_constraint("workers_phone_key", taken)?;
    change_workers(tx, scope, &plan.changes).await?;
    let given = add_grants(tx, keys, scope, &plan.grants).await?;
    let new: BTreeSet<WorkerId> = added.iter().map(|row| row.worker_id).collect();
    let counted: BTreeSet<WorkerId> = given
        .iter()
        .map(|row| row.worker_id)
        .filter(|id| !new.contains(id))
        .collect();
    count_grant_changes(tx, scope, &counted.into_iter().collect::<Vec<_>>()).await?;
    let changed = plan
        .changes
        .iter()
        .map(|change| (change.state_id, change.unit_id, change.id));
    let touched = added
        .iter()
        .chain(&given)
        .map(|row| (row.state_id, row.unit_id, row.worker_id))
        .chain(changed);
    Ok(record(touched, Digest::keyed(keys, plan)))
}

/// One entry a state: at the unit if the file is of one unit there, else at the state.
fn record(touched: impl Iterator<Item = (UnitId, UnitId, WorkerId)>, digest: Digest) -> Record {
    let mut states: BTreeMap<UnitId, (BTreeSet<UnitId>, BTreeSet<WorkerId>)> = BTreeMap::new();
    for (state_id, unit_id, worker_id) in touched {
        let (units, workers) = states.entry(state_id).or_default();
        units.insert(unit_id);
        workers.insert(worker_id);
    }
    let entries = states.into_iter().map(|(state_id, (units, workers))| {
        Entry::new(state_id, state_id, "worker.import", "worker", digest)
            .at_units(units)
            .of_ids(workers.iter().map(|id| id.0))
    });
    Record {
        entries: entries.collect(),
        tallies: Vec::new(),
    }
}
