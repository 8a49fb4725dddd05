//! How many units have which tasks and how they stand to them, at any unit, exact at once.
//!
//! How many units a task is for follows from the units that lie under the one that set it today; those are counted by level
//! (`level_counts`), so that it costs no look at the units themselves. How they stand is what is charged to the unit
//! (`task_totals`, and what is not yet posted of it) along the lineages of the day on which the task was set, corrected by
//! the units that moved since. Only where units of the two trees cross (a district's tasks in a constituency) are units
//! looked at one by one.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::queries::counts::{self, ConcernRow, Which};
use super::rules::{Audience, Figures, Reach, Root, reach};
use crate::access::Permit;
use crate::journal::WorkCounters;
use crate::platform::db::Tx;
use crate::platform::error::ApiError;
use crate::platform::ids::{TaskId, UnitId};

/// A task and its figures.
#[derive(Clone, Debug)]
pub struct Counted {
    pub task: ConcernRow,
    pub figures: Figures,
}

/// The tasks that units under the permit's have, narrowed to some seats if any are given; by id.
///
/// # Errors
/// What the database says.
pub async fn count<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    today: NaiveDate,
    which: Which,
    seats: Option<&[UnitId]>,
) -> Result<Vec<Counted>, ApiError> {
    // A unit within a seat is all its own; another has what its seats have.
    let seats = seats.filter(|seats| !permit.lineage().iter().any(|id| seats.contains(id)));
    let roots = counts::load_roots(tx, permit, today, seats).await?;
    let tasks = counts::concerned_tasks(tx, permit, today, which).await?;
    let mut sums: BTreeMap<TaskId, Figures> = BTreeMap::new();
    for ((_, task), figures) in figures_at(tx, today, &roots, &tasks).await? {
        *sums.entry(task).or_default() += figures;
    }
    let counted = tasks.into_iter().filter_map(|task| {
        let figures = sums.get(&task.id).copied()?;
        Some(Counted { task, figures })
    });
    Ok(counted.collect())
}

/// The figures of all tasks that stand, summed, at each of these units under the permit's.
///
/// # Errors
/// What the database says.
pub async fn figures_of_units<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    today: NaiveDate,
    units: &[UnitId],
) -> Result<BTreeMap<UnitId, Figures>, ApiError> {
    count_each(tx, permit, today, Which::default(), units).await
}

/// The same for some of the tasks.
///
/// # Errors
/// What the database says.
pub async fn count_each<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    today: NaiveDate,
    which: Which,
    units: &[UnitId],
) -> Result<BTreeMap<UnitId, Figures>, ApiError> {
    let mut sums: BTreeMap<UnitId, Figures> = units.iter().map(|id| (*id, Figures::default())).collect();
    let roots = counts::load_roots(tx, permit, today, Some(units)).await?;
    let tasks = counts::concerned_tasks(tx, permit, today, which).await?;
    let alike = Alike::of(&tasks, today);
    let mut work: BTreeMap<(UnitId, TaskId), WorkCounters> = BTreeMap::new();
    for row in counts::charged_sums(tx, &roots, &alike.like).await? {
        work.insert((row.unit_id, row.task_id), row.work);
    }
    let ids: Vec<TaskId> = alike.like.keys().copied().collect();
    for row in counts::moved_since(tx, today, &roots, &ids).await? {
        if let Some(like) = alike.like.get(&row.task_id) {
            *work.entry((row.unit_id, *like)).or_default() += row.work;
        }
    }
    for (key, assigned) in assigned_at(tx, today, &roots, &alike.firsts).await? {
        let work = work.get(&key).copied().unwrap_or_default();
        let (tasks, is_past) = alike.counts.get(&key.1).copied().unwrap_or_default();
        *sums.entry(key.0).or_default() += Figures::new(assigned.saturating_mul(tasks), work, is_past);
    }
    Ok(sums)
}

/// Tasks of one audience, all past their day or none, counted as one: for as many units is each of them.
#[derive(Debug, Default)]
struct Alike {
    /// The first of each kind.
    firsts: Vec<ConcernRow>,
    /// Every task, and the first of its kind.
    like: BTreeMap<TaskId, TaskId>,
    /// How many there are of each kind, and whether their day is past, by the first.
    counts: BTreeMap<TaskId, (i64, bool)>,
}

impl Alike {
    fn of(tasks: &[ConcernRow], today: NaiveDate) -> Self {
        let mut alike = Self::default();
        let mut kinds = BTreeMap::new();
        for task in tasks {
            let is_past = task.due_on < today;
            let kind = (task.unit_id, task.level.as_str(), &task.seats, is_past);
            let first = *kinds.entry(kind).or_insert(task.id);
            if first == task.id {
                alike.firsts.push(task.clone());
            }
            alike.like.insert(task.id, first);
            alike.counts.entry(first).or_insert((0, is_past)).0 += 1;
        }
        alike
    }
}

/// The figures of each task at each root that has it.
async fn figures_at(
    tx: &mut Tx,
    today: NaiveDate,
    roots: &[Root],
    tasks: &[ConcernRow],
) -> Result<BTreeMap<(UnitId, TaskId), Figures>, ApiError> {
    let assigned = assigned_at(tx, today, roots, tasks).await?;
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    let mut work: BTreeMap<(UnitId, TaskId), WorkCounters> = BTreeMap::new();
    for row in counts::charged(tx, roots).await? {
        work.insert((row.unit_id, row.task_id), row.work);
    }
    for row in counts::moved_since(tx, today, roots, &ids).await? {
        *work.entry((row.unit_id, row.task_id)).or_default() += row.work;
    }
    let past: BTreeMap<TaskId, bool> = tasks.iter().map(|task| (task.id, task.due_on < today)).collect();
    let figures = assigned.into_iter().map(|(key, assigned)| {
        let work = work.get(&key).copied().unwrap_or_default();
        let is_past = past.get(&key.1).copied().unwrap_or_default();
        (key, Figures::new(assigned, work, is_past))
    });
    Ok(figures.collect())
}

/// For how many units under each root each task is, where there are any.
async fn assigned_at(
    tx: &mut Tx,
    today: NaiveDate,
    roots: &[Root],
    tasks: &[ConcernRow],
) -> Result<BTreeMap<(UnitId, TaskId), i64>, ApiError> {
    let audiences: Vec<(&ConcernRow, Audience)> = tasks.iter().map(|task| (task, task.audience())).collect();
    let seats: BTreeSet<UnitId> = tasks
        .iter()
        .flat_map(|task| task.seats.iter().flatten().copied())
        .collect();
    let seats: Vec<UnitId> = seats.into_iter().collect();
    let seat_lineages = counts::lineages_of_seats(tx, today, &seats).await?;
    let mut under: BTreeMap<(UnitId, TaskId), (Vec<UnitId>, &str)> = BTreeMap::new();
    let mut crossing: BTreeSet<(UnitId, TaskId)> = BTreeSet::new();
    for root in roots {
        for (task, audience) in &audiences {
            match reach(root, audience, &seat_lineages) {
                Reach::Nothing => {}
                Reach::Under(units) => {
                    under.insert((root.id, task.id), (units, task.level.as_str()));
                }
                Reach::Crossing => {
                    crossing.insert((root.id, task.id));
                }
            }
        }
    }
    let units: BTreeSet<UnitId> = under
        .values()
        .flat_map(|(units, _)| units.iter().copied())
        .collect();
    let units: Vec<UnitId> = units.into_iter().collect();
    let levels = counts::count_levels(tx, today, &units).await?;
    let mut assigned: BTreeMap<(UnitId, TaskId), i64> = under
        .into_iter()
        .map(|(key, (units, level))| {
            let each = units
                .into_iter()
                .map(|unit| levels.get(&(unit, level.to_owned())));
            (key, each.flatten().sum())
        })
        .collect();
    if !crossing.is_empty() {
        let roots: BTreeSet<UnitId> = crossing.iter().map(|(root, _)| *root).collect();
        let ids: BTreeSet<TaskId> = crossing.iter().map(|(_, task)| *task).collect();
        let (roots, ids): (Vec<_>, Vec<_>) = (roots.into_iter().collect(), ids.into_iter().collect());
        for row in counts::count_crossing(tx, today, &roots, &ids).await? {
            let key = (row.unit_id, row.task_id);
            if crossing.contains(&key) {
                assigned.insert(key, row.n);
            }
        }
    }
    assigned.retain(|_, n| *n > 0);
    Ok(assigned)
}
