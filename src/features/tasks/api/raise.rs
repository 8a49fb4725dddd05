//! Tasks set as part of another write, each for one unit: all in as many statements as one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::super::queries::{active_workers, insert_unit_tasks};
use super::super::rules::may_be_for;
use super::super::wire::{TaskView, UnitTask};
use super::{UNKNOWN_WORKER, entry};
use crate::access::actions::{TaskWrite, WorkerRead};
use crate::access::policy::{permit_field, permits, scope};
use crate::access::{Caller, Permit};
use crate::features::units::Level;
use crate::journal;
use crate::platform::db::Tx;
use crate::platform::error::ApiError;
use crate::platform::ids::{TaskId, UnitId, WorkerId};
use crate::platform::validate::FieldErrors;

/// Sets these tasks in the caller's name: their ids in the order given, and an entry for each.
///
/// # Errors
/// 403, or 422 that names the fields.
pub async fn set_tasks(
    tx: &mut Tx,
    caller: &Caller,
    tasks: &[UnitTask<'_>],
) -> Result<(Vec<TaskId>, Vec<journal::Entry>), ApiError> {
    if tasks.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let permits = permits_for(tx, caller, tasks).await?;
    let mut new: Vec<(&Permit<TaskWrite>, &UnitTask<'_>)> = Vec::with_capacity(tasks.len());
    for task in tasks {
        let permit = permits
            .get(&task.unit_id)
            .ok_or_else(|| ApiError::internal("a task without leave to set it"))?;
        new.push((permit, task));
    }
    check(tx, caller, &new).await?;
    let rows = insert_unit_tasks(tx, caller.actor(), caller.today(), &new).await?;
    let views: Vec<TaskView> = rows.into_iter().map(TaskView::from).collect();
    let entries = new
        .iter()
        .zip(&views)
        .map(|((permit, _), view)| entry(permit, view));
    Ok((views.iter().map(|view| view.id).collect(), entries.collect()))
}

/// Leave to set a task at each of the units.
async fn permits_for(
    tx: &mut Tx,
    caller: &Caller,
    tasks: &[UnitTask<'_>],
) -> Result<BTreeMap<UnitId, Permit<TaskWrite>>, ApiError> {
    let units: Vec<UnitId> = tasks.iter().map(|task| task.unit_id).collect();
    let mut found: BTreeMap<UnitId, Permit<TaskWrite>> = permits(tx, caller, &units)
        .await?
        .into_iter()
        .map(|permit| (permit.unit_id(), permit))
        .collect();
    for task in tasks {
        if let Entry::Vacant(lacking) = found.entry(task.unit_id) {
            // Asked for by itself, it says why it is not given.
            let permit = permit_field(tx, caller, task.unit_id, &format!("{}/unit_id", task.at)).await?;
            lacking.insert(permit);
        }
    }
    Ok(found)
}

async fn check(
    tx: &mut Tx,
    caller: &Caller,
    new: &[(&Permit<TaskWrite>, &UnitTask<'_>)],
) -> Result<(), ApiError> {
    let owners: Vec<WorkerId> = new.iter().filter_map(|(_, task)| task.owner_id).collect();
    let known = match scope::<WorkerRead>(caller) {
        Ok(scope) if !owners.is_empty() => active_workers(tx, &scope, caller.today(), &owners).await?,
        _ => Vec::new(),
    };
    let mut errors = FieldErrors::default();
    for (permit, task) in new {
        let at = |name: &str| format!("{}/{name}", task.at);
        if !Level::find(permit.level()).is_some_and(|level| may_be_for(level, level)) {
            let detail = format!("there are no tasks for a {}", permit.level());
            errors.add(at("unit_id"), "wrong_level", detail);
        }
        if task.due_on < caller.today() {
            errors.add(at("due_on"), "past", "must not be before today");
        }
        if task.owner_id.is_some_and(|owner| !known.contains(&owner)) {
            errors.add(at("owner_id"), "unknown_worker", UNKNOWN_WORKER);
        }
    }
    if errors.0.is_empty() {
        Ok(())
    } else {
        Err(ApiError::fields(errors))
    }
}
