//! The background task that finds which units an indicator lets meet a task, a thousand units at a time.
//!
//! It is told in steps and as of when (`measured_at`), since no figure says at which of its changes it reached a value: an
//! indicator divides what different writers count.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::NaiveDate;

use super::figures::{FiguresAsk, Ranks, figures_of};
use super::queries::meeting::{MeasuredUnit, states_of, units_after};
use super::queries::{ChildRow, TargetRow, Visited, campaign_targets, look_up, targets_for};
use super::rules::{CampaignTargets, resolve};
use crate::access::actions::TaskWrite;
use crate::access::policy::{Permit, program_permit};
use crate::features::indicators::{Indicator, find};
use crate::features::tasks::{MeasuredTask, Settled, next_measured, note_measured, settle_met};
use crate::features::units::{Hold, hold_lineages};
use crate::journal::{Actor, Digest, Entry, Record};
use crate::platform::background::Background;
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Tx};
use crate::platform::error::ApiError;
use crate::platform::ids::{TaskId, UnitId};
use crate::platform::wall::MEETER;

/// Units measured in one transaction.
const STEP: i64 = 1_000;
/// How long after one round the next begins.
const PAUSE: Duration = Duration::from_secs(300);

/// Starts measuring, for a server. Any number of servers may: what is met is met once.
#[must_use]
pub fn start_measuring(db: &Db, clock: &Clock) -> Background {
    let (db, clock) = (db.clone(), clock.clone());
    Background::every(PAUSE, async move || {
        if let Err(error) = meet_all(&db, &clock).await {
            tracing::warn!(%error, "tasks could not be measured; trying again");
        }
    })
}

/// Measures the units of every task that is met by an indicator. How many came to meet theirs, or to meet it no longer.
///
/// # Errors
/// What the database says; what was measured before stays so.
pub async fn meet_all(db: &Db, clock: &Clock) -> Result<usize, ApiError> {
    let db = &db.as_program(&MEETER);
    let (mut changed, mut after) = (0_usize, TaskId(0));
    while let Some(task) = db.read(async |tx| Ok(next_measured(tx, after).await?)).await? {
        after = task.id;
        changed = changed.saturating_add(meet(db, clock, &task).await?);
    }
    Ok(changed)
}

async fn meet(db: &Db, clock: &Clock, task: &MeasuredTask) -> Result<usize, ApiError> {
    let states = db.read(async |tx| Ok(states_of(tx, task.unit_id).await?)).await?;
    let mut changed = 0_usize;
    for state_id in states {
        let mut after = UnitId(0);
        while let Some((last, n)) = step(db, clock, task, state_id, after).await? {
            after = last;
            changed = changed.saturating_add(n);
        }
    }
    let (actor, today, task) = (Actor::program(clock.now()), clock.today(), task.clone());
    db.write(&actor, async move |tx| {
        let permit = program_permit::<TaskWrite>(tx, actor, task.unit_id, today).await?;
        note_measured(tx, &permit, task.id).await?;
        Ok(((), Record::nothing()))
    })
    .await?;
    Ok(changed)
}

/// Measures the next units of a state: the last of them, and how many changed; `None` at the end.
async fn step(
    db: &Db,
    clock: &Clock,
    task: &MeasuredTask,
    state_id: UnitId,
    after: UnitId,
) -> Result<Option<(UnitId, usize)>, ApiError> {
    let (actor, today, task) = (Actor::program(clock.now()), clock.today(), task.clone());
    db.write_long(&actor, async move |tx| {
        hold_lineages(tx, &[state_id], Hold::Shared).await?;
        let units = units_after(tx, task.id, today, (state_id, after), STEP).await?;
        let (Some(last), Some(indicator)) = (units.last(), find(&task.indicator)) else {
            return Ok((None, Record::nothing()));
        };
        let last = last.unit.id;
        let permit = program_permit::<TaskWrite>(tx, actor, task.unit_id, today).await?;
        let reached = reached(tx, &permit, &task, indicator, &units, today).await?;
        let pick = |wanted: bool| -> Vec<UnitId> {
            let differs = units.iter().filter(|unit| unit.met != wanted);
            differs
                .map(|unit| unit.unit.id)
                .filter(|id| reached.contains(id) == wanted)
                .collect()
        };
        let (met, unmet) = (pick(true), pick(false));
        let Settled { met, unmet } = settle_met(tx, &permit, task.id, &met, &unmet).await?;
        let changed = met.len().saturating_add(unmet.len());
        if changed == 0 {
            return Ok((Some((last, 0)), Record::nothing()));
        }
        let digest = Digest::of(&(task.id, &met, &unmet));
        let entry = Entry::new(state_id, state_id, "task.measure", "task", digest).of_ids([task.id.0]);
        Ok((Some((last, changed)), entry.into()))
    })
    .await
}

/// Those of these units whose indicator reaches what is asked of them.
async fn reached(
    tx: &mut Tx,
    permit: &Permit<TaskWrite>,
    task: &MeasuredTask,
    indicator: &'static Indicator,
    units: &[MeasuredUnit],
    today: NaiveDate,
) -> Result<BTreeSet<UnitId>, ApiError> {
    let indicators = [indicator];
    let ask = FiguresAsk {
        indicators: &indicators,
        visited: Visited {
            campaign_id: task.campaign_id,
            ..Visited::default()
        },
        today,
        before: None,
    };
    let rows: Vec<&ChildRow> = units.iter().map(|unit| &unit.unit).collect();
    let ranks = Ranks::of(&rows);
    look_up(tx).await?;
    let figures = figures_of(tx, permit, ranks, &ask).await?;
    let wanted = Wanted::read(tx, permit, task, &rows, today).await?;
    let reached = rows.iter().filter(|unit| {
        let value = figures.get(&unit.id).and_then(|pair| indicator.value(&pair.now));
        let target = wanted.of(indicator, unit);
        // A value is a quotient: its last places are not to cost a unit the target that it just reaches.
        matches!((target, value), (Some(target), Some(value)) if indicator.shortfall(target, value) <= 1e-9)
    });
    Ok(reached.map(|unit| unit.id).collect())
}

/// What is to be reached.
enum Wanted {
    /// The same by all.
    Value(f64),
    /// Each unit's own target.
    Targets(Vec<TargetRow>, Option<CampaignTargets>),
}

impl Wanted {
    async fn read(
        tx: &mut Tx,
        permit: &Permit<TaskWrite>,
        task: &MeasuredTask,
        units: &[&ChildRow],
        today: NaiveDate,
    ) -> Result<Self, ApiError> {
        if let Some(value) = task.value {
            return Ok(Self::Value(value));
        }
        let above: BTreeSet<UnitId> = units
            .iter()
            .flat_map(|unit| unit.unit_ids.iter().copied())
            .collect();
        let above: Vec<UnitId> = above.into_iter().collect();
        let targets = targets_for(tx, permit, &above, &task.level, today, task.campaign_id).await?;
        let campaign = match task.campaign_id {
            None => None,
            Some(id) => campaign_targets(tx, permit, today, id)
                .await?
                .map(|targets| CampaignTargets { id, targets }),
        };
        Ok(Self::Targets(targets, campaign))
    }

    /// `None` where nothing is asked of the unit: it has nothing to reach.
    fn of(&self, indicator: &Indicator, unit: &ChildRow) -> Option<f64> {
        match self {
            Self::Value(value) => Some(*value),
            Self::Targets(targets, campaign) => {
                resolve(indicator.id, &unit.unit_ids, targets, campaign.as_ref()).map(|(value, _)| value)
            }
        }
    }
}
