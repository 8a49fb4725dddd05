//! What is done for a group of visits inside its transaction: asking, judging, storing, answering.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::NaiveDate;
use diesel::QueryResult;

use super::{Answers, Recorded};
use crate::access::actions::VisitRecord;
use crate::access::policy::{Ask, DatedPermit, permits_on_days};
use crate::features::campaigns::CampaignFacts;
use crate::features::visits::commitment::digest_of;
use crate::features::visits::doors::{Lineages, charged};
use crate::features::visits::queries::{self, BoothRow, DoorAsk, DoorstepRow, VisitKey, VisitRow};
use crate::features::visits::rules::{self, Times};
use crate::features::visits::wire::{Review, VisitSent};
use crate::journal::commitment::Salts;
use crate::journal::{Actor, Counters, Digest, Entry, Tally};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::error::{ApiError, Code};
use crate::platform::ids::{CampaignId, HouseholdId, UnitId};
use crate::platform::location::Location;

/// One visit of a group with what can be told without the database.
pub struct Item {
    pub job: usize,
    pub actor: Actor,
    pub strong: bool,
    pub sent: VisitSent,
    pub digest: Digest,
    pub times: Times,
}

/// A visit that may be stored.
pub struct Prospect {
    pub item: usize,
    pub row: VisitRow,
    pub lineage: Vec<UnitId>,
    pub campaign: Arc<CampaignFacts>,
    pub held_on_day: bool,
    pub booth: Option<Location>,
    pub door: Option<DoorstepRow>,
}

/// The doors of a group.
pub type Doorsteps = HashMap<(UnitId, HouseholdId, CampaignId), DoorstepRow>;

pub async fn permits(
    tx: &Tx,
    items: &[Item],
    campaigns: &HashMap<CampaignId, Arc<CampaignFacts>>,
    today: NaiveDate,
) -> QueryResult<Vec<Option<DatedPermit<VisitRecord>>>> {
    let asks: Vec<Ask> = items
        .iter()
        .map(|item| Ask {
            actor: item.actor,
            booth_id: item.sent.booth_id,
            day: campaigns
                .get(&item.sent.campaign_id)
                .map_or(item.times.received_day, |campaign| {
                    rules::day_of(&item.times, campaign)
                }),
            at: item.times.visited_at,
            strong: item.strong,
        })
        .collect();
    permits_on_days(tx, &asks, today).await
}

pub async fn doorsteps(
    tx: &Tx,
    items: &[Item],
    booths: &HashMap<UnitId, BoothRow>,
) -> QueryResult<Doorsteps> {
    let mut asked: Vec<DoorAsk> = items
        .iter()
        .filter_map(|item| {
            let (sent, booth) = (&item.sent, booths.get(&item.sent.booth_id)?);
            Some((booth.state_id, booth.id, sent.household_id?, sent.campaign_id))
        })
        .collect();
    asked.sort_unstable();
    asked.dedup();
    if asked.is_empty() {
        return Ok(Doorsteps::new());
    }
    let found = queries::doorsteps(tx, &asked).await?;
    let found = found
        .into_iter()
        .map(|door| ((door.booth_id, door.household_id, door.campaign_id), door));
    Ok(found.collect())
}

/// Whether a visit may be stored, and as what.
pub fn judge(
    at: usize,
    item: &Item,
    permit: Option<DatedPermit<VisitRecord>>,
    campaign: Option<&Arc<CampaignFacts>>,
    doors: &Doorsteps,
) -> Result<Prospect, ApiError> {
    let sent = &item.sent;
    let permit = permit.ok_or_else(|| refuse(Code::OutsideScope, "/booth_id"))?;
    let place = &permit.permit;
    // Visits are made in booths: one at a mandal would stand in no ledger.
    if place.level() != "booth" {
        return Err(refuse(Code::OutsideScope, "/booth_id"));
    }
    let campaign = campaign
        .filter(|campaign| place.lineage().contains(&campaign.unit_id))
        .ok_or_else(|| refuse(Code::UnknownCampaign, "/campaign_id"))?;
    let question_version = rules::check(sent, campaign).map_err(ApiError::fields)?;
    let door = match sent.household_id {
        None => None,
        Some(household_id) => Some(
            doors
                .get(&(sent.booth_id, household_id, sent.campaign_id))
                .copied()
                .ok_or_else(|| refuse(Code::UnknownHousehold, "/household_id"))?,
        ),
    };
    let Some(worker_id) = item.actor.worker_id else {
        return Err(refuse(Code::OutsideScope, "/booth_id"));
    };
    let json = |value: serde_json::Result<serde_json::Value>| value.map_err(ApiError::internal);
    let row = VisitRow {
        state_id: place.state_id(),
        id: sent.id,
        booth_id: sent.booth_id,
        campaign_id: sent.campaign_id,
        worker_id,
        device_id: item.actor.device_id,
        household_id: sent.household_id,
        visited_at: sent.visited_at,
        visited_on: rules::day_of(&item.times, campaign),
        received_at: item.times.received_at,
        outcome: sent.outcome.as_str().to_owned(),
        channel: sent.channel.as_str().to_owned(),
        people_met: sent.people_met,
        support: sent.support,
        issues: json(serde_json::to_value(&sent.issues))?,
        answers: serde_json::Value::Object(sent.answers.clone()),
        question_version,
        note: sent.note.clone(),
        lat: sent.location.map(|position| position.lat),
        lon: sent.location.map(|position| position.lon),
        accuracy_m: sent.location.and_then(|position| position.accuracy_m),
        mock: sent.location.and_then(|position| position.mock),
        duration_s: sent.duration_s,
        // Raised when the whole group is known.
        flags: serde_json::Value::Array(Vec::new()),
        review: Review::Unreviewed.as_str().to_owned(),
        version: 1,
        sent_digest: item.digest.0.to_vec(),
        changed_by: worker_id,
        changed_at: item.times.received_at,
        voided_at: None,
        void_reason: None,
        salts: Some(Salts::random()?.to_bytes()),
        late: None,
        flag_answers: None,
    };
    Ok(Prospect {
        item: at,
        row,
        lineage: place.lineage().to_vec(),
        campaign: campaign.clone(),
        held_on_day: permit.held_on_day,
        booth: permit.location,
        door,
    })
}

fn refuse(code: Code, pointer: &str) -> ApiError {
    ApiError::new(code, code.title()).with_field(pointer, code.as_str(), code.help())
}

/// Stores the prospects whose ids are free, the first of each id; tells for each whether it was stored.
pub async fn insert(tx: &mut Tx, keys: &DataKeys, prospects: &[Prospect]) -> QueryResult<Vec<bool>> {
    let mut first: BTreeMap<VisitKey, usize> = BTreeMap::new();
    for (at, prospect) in prospects.iter().enumerate() {
        first
            .entry((prospect.row.state_id, prospect.row.id))
            .or_insert(at);
    }
    let mut stored = vec![false; prospects.len()];
    if first.is_empty() {
        return Ok(stored);
    }
    let rows: Vec<&VisitRow> = first
        .values()
        .filter_map(|at| Some(&prospects.get(*at)?.row))
        .collect();
    for key in queries::insert_visits(tx, keys, &rows).await? {
        if let Some(slot) = first.get(&key).and_then(|at| stored.get_mut(*at)) {
            *slot = true;
        }
    }
    Ok(stored)
}

/// Answers what was not stored: a resend of what is stored is told so even where it would be refused today, since the
/// phone only asks what became of it.
pub async fn settle(
    tx: &mut Tx,
    keys: &DataKeys,
    items: &[Item],
    booths: &HashMap<UnitId, BoothRow>,
    answers: Vec<Option<Result<Recorded, ApiError>>>,
) -> Result<Answers, ApiError> {
    let open = |answer: &Option<Result<Recorded, ApiError>>| !matches!(answer, Some(Ok(_)));
    let key_of = |item: &Item| Some((booths.get(&item.sent.booth_id)?.state_id, item.sent.id));
    let names: BTreeSet<VisitKey> = items
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| open(answer))
        .filter_map(|(item, _)| key_of(item))
        .collect();
    let mut stored: HashMap<VisitKey, VisitRow> = HashMap::new();
    if !names.is_empty() {
        for row in queries::find_visits(tx, keys, &names.into_iter().collect::<Vec<_>>()).await? {
            stored.insert((row.state_id, row.id), row);
        }
    }
    let settled = items.iter().zip(answers).map(|(item, answer)| {
        let known = key_of(item).and_then(|key| stored.get(&key));
        match (answer, known) {
            (Some(Ok(recorded)), _) => Ok(recorded),
            (_, Some(row)) if same(item, row) => {
                // The first answer again, which could not know yet whether it would be late, nor what would be said to it.
                let row = VisitRow {
                    late: None,
                    flag_answers: None,
                    ..row.clone()
                };
                Ok(Recorded::Duplicate(row))
            }
            (Some(Err(error)), _) => Err(error),
            (None, Some(row)) => Ok(Recorded::Conflict(row.clone())),
            (None, None) => Err(ApiError::internal("a visit was neither stored nor found")),
        }
    });
    Ok(settled.collect())
}

fn same(item: &Item, row: &VisitRow) -> bool {
    Some(row.worker_id) == item.actor.worker_id
        && (row.sent_digest == item.digest.0 || row.sent_digest == rules::plain_digest_of(&item.sent).0)
}

pub fn add_visits(tallies: &mut Vec<Tally>, rows: &[&VisitRow], lineages: &Lineages, nation_id: UnitId) {
    let mut sums: BTreeMap<(UnitId, CampaignId, NaiveDate), (UnitId, Counters)> = BTreeMap::new();
    for row in rows {
        let key = (row.booth_id, row.campaign_id, row.visited_on);
        sums.entry(key).or_insert((row.state_id, Counters::default())).1 += rules::counters(row);
    }
    for tally in &mut *tallies {
        let key = (tally.booth_id, tally.campaign_id, tally.day);
        if let Some((_, counters)) = sums.remove(&key) {
            tally.counters += counters;
        }
    }
    for ((booth_id, campaign_id, day), (state_id, counters)) in sums {
        let lineage = lineages.get(&(booth_id, day)).map_or(&[][..], Vec::as_slice);
        tallies.push(Tally {
            state_id,
            booth_id,
            campaign_id,
            day,
            unit_ids: charged(lineage, nation_id),
            counters,
        });
    }
}

/// One entry for what a request stored in a state, at its booths.
pub fn entries(items: &[Item], new: &[&Prospect]) -> Vec<(Actor, Entry)> {
    let mut groups: BTreeMap<(usize, UnitId), Vec<&Prospect>> = BTreeMap::new();
    for prospect in new {
        let job = items.get(prospect.item).map_or(0, |item| item.job);
        groups
            .entry((job, prospect.row.state_id))
            .or_default()
            .push(prospect);
    }
    let entries = groups.into_iter().filter_map(|((_, state_id), prospects)| {
        let first = prospects.first()?;
        let actor = items.get(first.item)?.actor;
        let digest = digest_of(prospects.iter().map(|prospect| &prospect.row))?;
        let entry = Entry::new(state_id, state_id, "visit.record", "visit", digest)
            .at_units(prospects.iter().map(|prospect| prospect.row.booth_id))
            .of_uuids(prospects.iter().map(|prospect| prospect.row.id.0));
        Some((actor, entry))
    });
    entries.collect()
}
