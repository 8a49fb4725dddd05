//! Voiding visits and bringing them back, one or many, the same way: a new version each, totals moved, one entry a state.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::commitment::digest_of;
use super::doors::{Change, move_counts};
use super::queries::VisitRow;
use super::queries::changes::set_voided;
use crate::access::Permit;
use crate::access::actions::VisitVoid;
use crate::journal::commitment::Salts;
use crate::journal::{Entry, Record};
use crate::platform::db::Tx;
use crate::platform::error::ApiError;
use crate::platform::ids::{UnitId, WorkerId};

/// Takes locked visits that count out of every figure but `voided`; the lineages of their states are held still.
///
/// # Errors
/// What the database says.
pub async fn void_visits(
    tx: &mut Tx,
    permit: &Permit<VisitVoid>,
    visits: Vec<VisitRow>,
    reason: &str,
) -> Result<(Vec<VisitRow>, Record), ApiError> {
    let at = permit.actor().at;
    let standing = Standing {
        voided_at: Some(at),
        reason: Some(reason),
        action: "visit.void",
    };
    set_standing(tx, permit, visits, &standing).await
}

/// Lets locked visits that were voided count again, with the verdict that they had.
///
/// # Errors
/// What the database says.
pub async fn restore_visits(
    tx: &mut Tx,
    permit: &Permit<VisitVoid>,
    visits: Vec<VisitRow>,
) -> Result<(Vec<VisitRow>, Record), ApiError> {
    let standing = Standing {
        voided_at: None,
        reason: None,
        action: "visit.restore",
    };
    set_standing(tx, permit, visits, &standing).await
}

struct Standing<'a> {
    voided_at: Option<DateTime<Utc>>,
    reason: Option<&'a str>,
    action: &'static str,
}

async fn set_standing(
    tx: &mut Tx,
    permit: &Permit<VisitVoid>,
    visits: Vec<VisitRow>,
    standing: &Standing<'_>,
) -> Result<(Vec<VisitRow>, Record), ApiError> {
    if visits.is_empty() {
        return Ok((visits, Record::nothing()));
    }
    let actor = permit.actor();
    let by = actor
        .worker_id
        .ok_or_else(|| ApiError::internal("visits are voided by people"))?;
    let mut changes = Vec::with_capacity(visits.len());
    for old in visits {
        let mut new = next_version(&old, by, actor.at)?;
        new.voided_at = standing.voided_at;
        new.void_reason = standing.reason.map(str::to_owned);
        changes.push(Change { old, new });
    }
    let rows: Vec<VisitRow> = changes.iter().map(|change| change.new.clone()).collect();
    set_voided(tx, permit, &rows).await?;
    let tallies = move_counts(tx, &changes).await?;
    let entries = entries(&rows, standing.action)?;
    Ok((rows, Record { entries, tallies }))
}

/// The next version of a visit, with nothing changed yet.
///
/// # Errors
/// If the system has no random source.
pub fn next_version(old: &VisitRow, changed_by: WorkerId, at: DateTime<Utc>) -> Result<VisitRow, ApiError> {
    Ok(VisitRow {
        version: old.version.saturating_add(1),
        changed_by,
        changed_at: at,
        salts: Some(Salts::random()?.to_bytes()),
        ..old.clone()
    })
}

/// One entry a state, at the booths of its visits.
fn entries(rows: &[VisitRow], action: &'static str) -> Result<Vec<Entry>, ApiError> {
    let mut states: BTreeMap<UnitId, Vec<&VisitRow>> = BTreeMap::new();
    for row in rows {
        states.entry(row.state_id).or_default().push(row);
    }
    let entries = states.into_iter().map(|(state_id, rows)| {
        let digest = digest_of(rows.iter().copied())
            .ok_or_else(|| ApiError::internal("a new version has no salts"))?;
        Ok(Entry::new(state_id, state_id, action, "visit", digest)
            .at_units(rows.iter().map(|row| row.booth_id))
            .of_uuids(rows.iter().map(|row| row.id.0))
            .made_versions(rows.iter().map(|row| row.version)))
    });
    entries.collect()
}
