//! The steps: in the server as long as there is an order, by any number of processes, one process an order at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::queries::{BulkVoidRow, Came, ItemRow, claim, due, next_items, note_step, put_off};
use super::rules::{STEP, Status};
use crate::access::Permit;
use crate::access::actions::VisitVoid;
use crate::access::policy::program_permit;
use crate::features::signoffs::signed_places;
use crate::features::units::{Hold, hold_lineages};
use crate::features::visits::{VisitKey, VisitRow, lock_visits, restore_visits, void_visits};
use crate::journal::{Actor, Record};
use crate::platform::background::Background;
use crate::platform::clock::Clock;
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{Db, Tx};
use crate::platform::error::ApiError;
use crate::platform::ids::UnitId;
use crate::platform::wall::UNDOING;

/// How long the task waits when there is nothing to do.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an order waits whose step failed.
const PUT_OFF: TimeDelta = TimeDelta::seconds(10);

/// Starts voiding what was ordered, for a server. What an earlier server left goes on; a step under way is finished.
#[must_use]
pub fn start_undoing(db: &Db, clock: &Clock) -> Background {
    let (db, clock) = (db.clone(), clock.clone());
    Background::run(async move |mut stopped| {
        loop {
            let stepped = take_step(&db, &clock).await.unwrap_or_else(|error| {
                tracing::error!(%error, "visits could not be voided in bulk; trying again");
                false
            });
            let pause = if stepped { Duration::ZERO } else { PAUSE };
            if stopped.within(pause).await {
                return;
            }
        }
    })
}

/// Takes the next step of the order that has waited longest and that no other process has in hand; false if there is none.
///
/// # Errors
/// What the database says; the step is then as if it had not been begun, and the order is put off.
pub async fn take_step(db: &Db, clock: &Clock) -> Result<bool, ApiError> {
    let (now, today) = (clock.now(), clock.today());
    let db = &db.as_program(&UNDOING);
    for order in db.read(async |tx| Ok(due(tx, now).await?)).await? {
        let (id, actor, keys) = (order.id, order.actor(now), db.keys().clone());
        let step = async move |tx: &mut Tx| {
            let Some(order) = claim(tx, &order).await? else {
                return Ok((false, Record::nothing()));
            };
            let permit = program_permit::<VisitVoid>(tx, actor, order.unit_id, today).await?;
            Ok((true, step_of(tx, &keys, &permit, &order, now).await?))
        };
        match db.write(&actor, step).await {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) => {
                let put_off =
                    async move |tx: &mut Tx| Ok((put_off(tx, id, now + PUT_OFF).await?, Record::nothing()));
                db.write(&Actor::program(now), put_off).await?;
                return Err(error);
            }
        }
    }
    Ok(false)
}

async fn step_of(
    tx: &mut Tx,
    keys: &DataKeys,
    permit: &Permit<VisitVoid>,
    order: &BulkVoidRow,
    now: DateTime<Utc>,
) -> Result<Record, ApiError> {
    let status = order.status()?;
    let items = next_items(tx, order).await?;
    let names: Vec<VisitKey> = items.iter().map(|item| (item.state_id, item.visit_id)).collect();
    let states: BTreeSet<UnitId> = names.iter().map(|name| name.0).collect();
    hold_lineages(tx, &states.into_iter().collect::<Vec<_>>(), Hold::Shared).await?;
    let visits = lock_visits(tx, keys, &names).await?;
    let (changed, record, looked_at) = if status == Status::Running {
        let visits = to_void(tx, order, visits).await?;
        let (changed, record) = void_visits(tx, permit, visits, &order.reason).await?;
        (changed, record, items.len())
    } else {
        let voided = items.iter().filter(|item| item.voided_version.is_some()).count();
        let (changed, record) = restore_visits(tx, permit, to_restore(&items, visits)).await?;
        (changed, record, voided)
    };
    let full = i64::try_from(items.len()).is_ok_and(|n| n == STEP);
    let came = Came {
        through: names.last().copied().filter(|_| full),
        left: looked_at.saturating_sub(changed.len()),
        made: changed
            .iter()
            .map(|visit| ((visit.state_id, visit.id), visit.version))
            .collect(),
    };
    note_step(tx, order, status, &came, now).await?;
    Ok(record)
}

/// Those that count and are not closed to who ordered it.
async fn to_void(
    tx: &mut Tx,
    order: &BulkVoidRow,
    mut visits: Vec<VisitRow>,
) -> Result<Vec<VisitRow>, ApiError> {
    visits.retain(|visit| visit.voided_at.is_none());
    let own = visits.iter().filter(|visit| visit.worker_id == order.ordered_by);
    let places: BTreeSet<_> = own.map(|visit| (visit.booth_id, visit.visited_on)).collect();
    if !places.is_empty() {
        let signed = signed_places(tx, &places.into_iter().collect::<Vec<_>>()).await?;
        visits.retain(|visit| {
            visit.worker_id != order.ordered_by || !signed.contains(&(visit.booth_id, visit.visited_on))
        });
    }
    Ok(visits)
}

/// Those that stand as the order left them.
fn to_restore(items: &[ItemRow], mut visits: Vec<VisitRow>) -> Vec<VisitRow> {
    let versions: BTreeMap<VisitKey, i32> = items
        .iter()
        .filter_map(|item| Some(((item.state_id, item.visit_id), item.voided_version?)))
        .collect();
    visits.retain(|visit| {
        visit.voided_at.is_some() && versions.get(&(visit.state_id, visit.id)) == Some(&visit.version)
    });
    visits
}
