//! From journal entries to what their reader may know of them today.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use uuid::Uuid;

use super::queries::{self, ThingStanding, UnitStanding};
use super::wire::{ActorView, FeedItem, Standing, SubjectId, SubjectValue, SubjectView};
use crate::access::Caller;
use crate::access::policy::scope;
use crate::features::campaigns::read_campaigns;
use crate::features::tasks::read_tasks;
use crate::features::units::read_units;
use crate::features::visits::read_visits;
use crate::journal::read::PostedEntry;
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::error::ApiError;
use crate::platform::ids::{CampaignId, TaskId, UnitId, VisitId};

/// The kinds that other programs are told of: what holds no people's data.
pub const KINDS_FOR_SERVICES: [&str; 4] = ["campaign", "household", "unit", "visit"];
/// The kinds whose subjects are visits: an answer to a flag is told as the visit with its flags.
const OF_VISITS: [&str; 2] = ["visit", "flag_answer"];
/// An entry of more subjects than this (an import's) tells them without their values.
const VALUES: usize = 500;

type Key = (UnitId, Uuid);

/// What is known of the subjects of some entries.
#[derive(Default)]
struct Known {
    units: BTreeMap<UnitId, UnitStanding>,
    visits: BTreeMap<Key, ThingStanding>,
    households: BTreeMap<Key, ThingStanding>,
    visit_values: BTreeMap<Key, SubjectValue>,
    unit_values: BTreeMap<i32, SubjectValue>,
    campaign_values: BTreeMap<i32, SubjectValue>,
    task_values: BTreeMap<i32, SubjectValue>,
}

/// The entries as this caller, whose scope has these roots, may see them. Services are told no value that holds people's
/// data, nor who did it.
///
/// # Errors
/// What the database says.
pub async fn items(
    tx: &mut Tx,
    keys: &DataKeys,
    roots: &[UnitId],
    today: NaiveDate,
    caller: &Caller,
    entries: Vec<PostedEntry>,
) -> Result<Vec<FeedItem>, ApiError> {
    let known = look_up(tx, keys, roots, today, Some(caller), &entries).await?;
    let for_people = !caller.is_service();
    let items = entries.into_iter().map(|entry| known.item(entry, for_people));
    Ok(items.collect())
}

/// The entries as a program may see them that is told of these roots: ids, units and counts, no values.
///
/// # Errors
/// What the database says.
pub async fn items_for_programs(
    tx: &mut Tx,
    keys: &DataKeys,
    roots: &[UnitId],
    today: NaiveDate,
    entries: Vec<PostedEntry>,
) -> Result<Vec<FeedItem>, ApiError> {
    let known = look_up(tx, keys, roots, today, None, &entries).await?;
    Ok(entries
        .into_iter()
        .map(|entry| known.item(entry, false))
        .collect())
}

/// The uuids of the entries of some kinds.
fn keys(entries: &[PostedEntry], kinds: &[&str], most: usize) -> Vec<Key> {
    let of_kind = entries
        .iter()
        .filter(|entry| kinds.contains(&entry.subject.as_str()) && entry.subject_uuids.len() <= most);
    let keys: BTreeSet<Key> = of_kind
        .flat_map(|entry| entry.subject_uuids.iter().map(|id| (entry.state_id, *id)))
        .collect();
    keys.into_iter().collect()
}

/// The numbers of the entries of a kind.
fn numbers(entries: &[PostedEntry], kind: &str, most: usize) -> Vec<i32> {
    let of_kind = entries
        .iter()
        .filter(|entry| entry.subject == kind && entry.subject_ids.len() <= most);
    let ids: BTreeSet<i32> = of_kind
        .flat_map(|entry| entry.subject_ids.iter().copied())
        .collect();
    ids.into_iter().collect()
}

/// Values are read for a caller alone.
async fn look_up(
    tx: &mut Tx,
    data_keys: &DataKeys,
    roots: &[UnitId],
    today: NaiveDate,
    caller: Option<&Caller>,
    entries: &[PostedEntry],
) -> Result<Known, ApiError> {
    let mut known = Known::default();
    let visits = keys(entries, &OF_VISITS, usize::MAX);
    for row in queries::visit_standings(tx, &visits).await? {
        known.visits.insert((row.state_id, row.id), row);
    }
    let households = keys(entries, &["household"], usize::MAX);
    for row in queries::household_standings(tx, &households).await? {
        known.households.insert((row.state_id, row.id), row);
    }
    let mut units: BTreeSet<UnitId> = entries
        .iter()
        .flat_map(|entry| entry.unit_ids.iter().copied())
        .collect();
    units.extend(numbers(entries, "unit", usize::MAX).into_iter().map(UnitId));
    units.extend(known.visits.values().map(|visit| visit.booth_id));
    units.extend(known.households.values().map(|household| household.booth_id));
    let units: Vec<UnitId> = units.into_iter().collect();
    for row in queries::unit_standings(tx, roots, today, &units).await? {
        known.units.insert(row.id, row);
    }
    if let Some(caller) = caller {
        known.read_values(tx, data_keys, caller, entries).await?;
    }
    Ok(known)
}

impl Known {
    async fn read_values(
        &mut self,
        tx: &mut Tx,
        data_keys: &DataKeys,
        caller: &Caller,
        entries: &[PostedEntry],
    ) -> Result<(), ApiError> {
        let visits = keys(entries, &OF_VISITS, VALUES);
        if !caller.is_service() && !visits.is_empty() {
            let visits: Vec<_> = visits
                .into_iter()
                .map(|(state, id)| (state, VisitId(id)))
                .collect();
            for ((state, id), view) in read_visits(tx, data_keys, caller, &visits).await? {
                let value = SubjectValue::Visit(Box::new(view));
                self.visit_values.insert((state, id.0), value);
            }
        }
        let units = numbers(entries, "unit", VALUES);
        if !units.is_empty()
            && let Ok(scope) = scope(caller)
        {
            let units: Vec<_> = units.into_iter().map(UnitId).collect();
            for view in read_units(tx, &scope, caller.today(), &units).await? {
                self.unit_values
                    .insert(view.id.0, SubjectValue::Unit(Box::new(view)));
            }
        }
        let campaigns = numbers(entries, "campaign", VALUES);
        if !campaigns.is_empty()
            && let Ok(scope) = scope(caller)
        {
            let campaigns: Vec<_> = campaigns.into_iter().map(CampaignId).collect();
            for view in read_campaigns(tx, &scope, caller.today(), &campaigns).await? {
                self.campaign_values
                    .insert(view.id.0, SubjectValue::Campaign(Box::new(view)));
            }
        }
        let tasks = numbers(entries, "task", VALUES);
        if !caller.is_service()
            && !tasks.is_empty()
            && let Ok(scope) = scope(caller)
        {
            let tasks: Vec<_> = tasks.into_iter().map(TaskId).collect();
            for view in read_tasks(tx, &scope, caller.today(), &tasks).await? {
                self.task_values
                    .insert(view.id.0, SubjectValue::Task(Box::new(view)));
            }
        }
        Ok(())
    }

    fn item(&self, entry: PostedEntry, for_people: bool) -> FeedItem {
        let mut subjects: Vec<SubjectView> = Vec::new();
        let kind = entry.subject.as_str();
        subjects.extend(entry.subject_ids.iter().filter_map(|id| match kind {
            "unit" => self.unit(*id),
            "campaign" => Some(spread(*id, &self.campaign_values)),
            "task" => Some(spread(*id, &self.task_values)),
            _ => Some(changed(SubjectId::Number(*id))),
        }));
        subjects.extend(entry.subject_uuids.iter().filter_map(|id| match kind {
            "visit" | "flag_answer" => self.thing(&self.visits, &self.visit_values, (entry.state_id, *id)),
            "household" => self.thing(&self.households, &BTreeMap::new(), (entry.state_id, *id)),
            _ => Some(changed(SubjectId::Uuid(*id))),
        }));
        let actor = ActorView {
            worker_id: entry.actor_id,
            device_id: entry.device_id,
        };
        let is_mine = |unit: &UnitId| ["campaign", "task"].contains(&kind) || self.units.contains_key(unit);
        FeedItem {
            state_id: entry.state_id,
            number: entry.number,
            at: entry.at,
            unit_ids: entry.unit_ids.iter().copied().filter(is_mine).collect(),
            actor: (for_people && actor.worker_id.is_some()).then_some(actor),
            count: subjects.len(),
            subjects,
            action: entry.action,
            kind: entry.subject,
        }
    }

    /// A unit; `None` if it never lay under the roots.
    fn unit(&self, id: i32) -> Option<SubjectView> {
        let known = self.units.get(&UnitId(id))?;
        let standing = if known.here {
            Standing::Current
        } else {
            Standing::OutOfScope
        };
        Some(SubjectView {
            standing,
            changes_on: known.changes_on,
            value: self.unit_values.get(&id).filter(|_| known.here).cloned(),
            ..changed(SubjectId::Number(id))
        })
    }

    /// A visit or a household; `None` if its booth never lay under the roots.
    fn thing(
        &self,
        standings: &BTreeMap<Key, ThingStanding>,
        values: &BTreeMap<Key, SubjectValue>,
        key: Key,
    ) -> Option<SubjectView> {
        let bare = changed(SubjectId::Uuid(key.1));
        let Some(known) = standings.get(&key) else {
            return Some(SubjectView {
                standing: Standing::Deleted,
                ..bare
            });
        };
        let booth = self.units.get(&known.booth_id)?;
        let standing = match (booth.here, known.voided) {
            (false, _) => Standing::OutOfScope,
            (true, true) => Standing::Voided,
            (true, false) => Standing::Current,
        };
        let value = values.get(&key).filter(|_| standing == Standing::Current);
        Some(SubjectView {
            standing,
            unit_id: Some(known.booth_id),
            value: value.cloned(),
            ..bare
        })
    }
}

/// What holds under the unit that it belongs to: a campaign, a task.
fn spread(id: i32, values: &BTreeMap<i32, SubjectValue>) -> SubjectView {
    SubjectView {
        standing: Standing::Current,
        value: values.get(&id).cloned(),
        ..changed(SubjectId::Number(id))
    }
}

const fn changed(id: SubjectId) -> SubjectView {
    SubjectView {
        id,
        standing: Standing::Changed,
        unit_id: None,
        changes_on: None,
        value: None,
    }
}
