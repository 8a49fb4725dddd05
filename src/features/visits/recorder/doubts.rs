//! Raising the flags of a group of visits: what they are judged by is read once for the whole group, then each is judged
//! in the order of arrival, so that a later one sees those before it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::NaiveDate;
use diesel::QueryResult;

use super::group::{Item, Prospect};
use crate::features::campaigns::CampaignFacts;
use crate::features::visits::doors::DoorKey;
use crate::features::visits::queries::{self, BoothRow, TrailKey, TrailRow, VisitRow};
use crate::features::visits::rules::day_of;
use crate::features::visits::rules::flags::{self, Facts};
use crate::features::visits::rules::is_live_contact;
use crate::features::visits::rules::trail::{LONGEST, Stop, Trail};
use crate::features::visits::wire::Flag;
use crate::platform::db::Tx;
use crate::platform::error::ApiError;
use crate::platform::ids::{CampaignId, UnitId, WorkerId};
use crate::platform::location::Location;

/// The trails of a group's workers and days.
pub type Trails = HashMap<TrailKey, Trail>;

/// What the group is judged by.
#[derive(Clone, Debug, Default)]
pub struct Background {
    trails: Trails,
    contacts: HashMap<DoorKey, (NaiveDate, NaiveDate)>,
}

fn key_of(row: &VisitRow) -> TrailKey {
    (row.state_id, row.worker_id, row.visited_on)
}

/// Holds the trails of the workers whose campaigns follow them.
pub async fn hold(
    tx: &mut Tx,
    items: &[Item],
    campaigns: &HashMap<CampaignId, Arc<CampaignFacts>>,
) -> QueryResult<()> {
    let follows = |item: &&Item| {
        campaigns
            .get(&item.sent.campaign_id)
            .is_some_and(|campaign| campaign.bounds.follow_trails())
    };
    let workers: BTreeSet<WorkerId> = items
        .iter()
        .filter(follows)
        .filter_map(|item| item.actor.worker_id)
        .collect();
    if workers.is_empty() {
        return Ok(());
    }
    queries::hold_trails(tx, &workers).await
}

/// Reads the trails that are held; those of campaigns that follow none are not looked for.
pub async fn trails(
    tx: &Tx,
    items: &[Item],
    campaigns: &HashMap<CampaignId, Arc<CampaignFacts>>,
    booths: &HashMap<UnitId, BoothRow>,
) -> QueryResult<Trails> {
    let key = |item: &Item| -> Option<TrailKey> {
        let campaign = campaigns.get(&item.sent.campaign_id)?;
        let booth = booths.get(&item.sent.booth_id)?;
        let day = day_of(&item.times, campaign);
        let followed = campaign.bounds.follow_trails();
        followed.then_some((booth.state_id, item.actor.worker_id?, day))
    };
    let keys: BTreeSet<TrailKey> = items.iter().filter_map(key).collect();
    let keys: Vec<TrailKey> = keys.into_iter().collect();
    let mut trails = Trails::new();
    if keys.is_empty() {
        return Ok(trails);
    }
    let longest = i64::try_from(LONGEST).unwrap_or(i64::MAX);
    for row in queries::trails(tx, &keys, longest).await? {
        let at = usize::try_from(row.n).ok().and_then(|n| n.checked_sub(1));
        if let Some(key) = at.and_then(|at| keys.get(at)) {
            trails.insert(*key, trail_of(row));
        }
    }
    Ok(trails)
}

impl Background {
    /// The trails, and when the doors were met.
    pub fn of(trails: Trails, prospects: &[Prospect]) -> Self {
        let mut contacts = HashMap::new();
        for prospect in prospects {
            let met = prospect.door.and_then(|door| door.contacts());
            if let (Some(key), Some(met)) = (DoorKey::of(&prospect.row), met) {
                contacts.insert(key, met);
            }
        }
        Self { trails, contacts }
    }

    /// Judges those of the visits that are `counted`, in their order; tells which flags are other than they were.
    pub fn raise(
        mut self,
        items: &[Item],
        prospects: &mut [Prospect],
        counted: impl Fn(usize) -> bool,
    ) -> Result<Vec<usize>, ApiError> {
        let mut changed = Vec::new();
        for (at, prospect) in prospects.iter_mut().enumerate() {
            let Some(item) = items.get(prospect.item).filter(|_| counted(at)) else {
                continue;
            };
            let found = serde_json::to_value(self.judge(item, prospect)).map_err(ApiError::internal)?;
            if prospect.row.flags != found {
                prospect.row.flags = found;
                changed.push(at);
            }
        }
        Ok(changed)
    }

    fn judge(&mut self, item: &Item, prospect: &Prospect) -> Vec<Flag> {
        let (row, bounds) = (&prospect.row, &prospect.campaign.bounds);
        let facts = Facts {
            times: &item.times,
            campaign: &prospect.campaign,
            held_on_day: prospect.held_on_day,
            booth: prospect.booth,
            door: prospect.door.and_then(|door| door.location()),
        };
        let mut flags = flags::of_visit(&item.sent, &facts);
        if let Some(key) = DoorKey::of(row).filter(|_| is_live_contact(row)) {
            let on = row.visited_on;
            let met = self.contacts.get(&key).copied();
            flags.extend(met.and_then(|met| flags::of_repeat(on, met, bounds)));
            let (first, last) = met.unwrap_or((on, on));
            self.contacts.insert(key, (first.min(on), last.max(on)));
        }
        let stop = Stop::of(&item.sent);
        let trail = self.trails.entry(key_of(row)).or_default();
        flags.extend(trail.judge(&stop, bounds));
        trail.stops.push(stop);
        flags
    }
}

fn trail_of(row: TrailRow) -> Trail {
    let TrailRow {
        visited_at,
        lat,
        lon,
        accuracy_m,
        household_id,
        at_door,
        ..
    } = row;
    let places = lat.into_iter().zip(lon);
    let rest = accuracy_m.into_iter().zip(household_id).zip(at_door);
    let stops = visited_at.into_iter().zip(places).zip(rest);
    let stops = stops.map(|((at, (lat, lon)), ((accuracy_m, household_id), at_door))| Stop {
        at,
        place: Location::from_columns(lat, lon),
        accuracy_m,
        household_id,
        at_door,
    });
    Trail {
        stops: stops.collect(),
    }
}

/// Judges anew where some of the visits were stored before: those no longer stand before the others.
pub async fn raise_again(
    tx: &mut Tx,
    background: Background,
    items: &[Item],
    prospects: &mut [Prospect],
    stored: &[bool],
) -> Result<(), ApiError> {
    let counted = |at: usize| stored.get(at).copied().unwrap_or(false);
    let changed = background.raise(items, prospects, counted)?;
    let rows: Vec<&VisitRow> = changed
        .into_iter()
        .filter_map(|at| Some(&prospects.get(at)?.row))
        .collect();
    if !rows.is_empty() {
        queries::set_flags(tx, &rows).await?;
    }
    Ok(())
}
