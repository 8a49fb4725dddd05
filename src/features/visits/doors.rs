//! Doors reached: each household counts once a campaign, on the day of its earliest live contact. Every write that adds
//! or takes away a contact comes through here, locks the doors in the order of their keys, and gets back from which
//! day to which the count moved.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Date, Integer, Nullable, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::queries::{VisitRow, booths};
use super::rules::{counters, is_live_contact};
use crate::journal::{Counters, Tally};
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, HouseholdId, UnitId, VisitId};
use crate::platform::statement::statement;

/// A door in a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DoorKey {
    pub state_id: UnitId,
    pub campaign_id: CampaignId,
    pub household_id: HouseholdId,
}

impl DoorKey {
    /// The door of a visit, if it has one.
    pub fn of(row: &VisitRow) -> Option<Self> {
        Some(Self {
            state_id: row.state_id,
            campaign_id: row.campaign_id,
            household_id: row.household_id?,
        })
    }
}

/// The day on which a door counts, before and after a write.
#[derive(Clone, Copy, Debug)]
pub struct Shift {
    pub key: DoorKey,
    pub booth_id: UnitId,
    pub before: Option<NaiveDate>,
    pub after: Option<NaiveDate>,
}

#[derive(diesel::QueryableByName)]
struct DoorRow {
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = Integer)]
    campaign_id: CampaignId,
    #[diesel(sql_type = SqlUuid)]
    household_id: HouseholdId,
    #[diesel(sql_type = Nullable<Date>)]
    before: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    after: Option<NaiveDate>,
}

struct Contacts {
    booth_id: UnitId,
    first: (NaiveDate, VisitId),
    count: i32,
}

const ADD: &str = "
    INSERT INTO doors AS d (state_id, campaign_id, household_id, first_contact_on, first_contact_visit_id, contacts)
    SELECT * FROM unnest($1::int[], $2::int[], $3::uuid[], $4::date[], $5::uuid[], $6::int[])
         AS t (state_id, campaign_id, household_id, first_contact_on, first_contact_visit_id, contacts)
    ORDER BY state_id, campaign_id, household_id
    ON CONFLICT (state_id, campaign_id, household_id) DO UPDATE SET
        contacts = d.contacts + excluded.contacts,
        previous_contact_on = d.first_contact_on,
        first_contact_on = least(d.first_contact_on, excluded.first_contact_on),
        first_contact_visit_id = CASE
            WHEN d.first_contact_on IS NULL OR (excluded.first_contact_on, excluded.first_contact_visit_id)
                 < (d.first_contact_on, d.first_contact_visit_id)
            THEN excluded.first_contact_visit_id ELSE d.first_contact_visit_id END
    RETURNING state_id, campaign_id, household_id, previous_contact_on AS before, first_contact_on AS after";

/// Adds the contacts among visits that were stored now.
pub async fn add_contacts(tx: &mut Tx, rows: &[&VisitRow]) -> QueryResult<Vec<Shift>> {
    let mut doors: BTreeMap<DoorKey, Contacts> = BTreeMap::new();
    for row in rows.iter().filter(|row| is_live_contact(row)) {
        let Some(key) = DoorKey::of(row) else { continue };
        let this = (row.visited_on, row.id);
        doors
            .entry(key)
            .and_modify(|contacts| {
                contacts.first = contacts.first.min(this);
                contacts.count += 1;
            })
            .or_insert(Contacts {
                booth_id: row.booth_id,
                first: this,
                count: 1,
            });
    }
    if doors.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<DoorRow> = statement(ADD)
        .bind::<Array<Integer>, _>(doors.keys().map(|key| key.state_id).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(doors.keys().map(|key| key.campaign_id).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(doors.keys().map(|key| key.household_id).collect::<Vec<_>>())
        .bind::<Array<Date>, _>(doors.values().map(|door| door.first.0).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(doors.values().map(|door| door.first.1).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(doors.values().map(|door| door.count).collect::<Vec<_>>())
        .load(tx)
        .await?;
    let shifts = rows.into_iter().filter_map(|row| {
        let key = key_of(&row);
        let booth_id = doors.get(&key)?.booth_id;
        Some(shift(&row, booth_id))
    });
    Ok(shifts.filter(|shift| shift.before != shift.after).collect())
}

/// Counts the contacts of a door anew after a correction or a void; the visit's new version is already written.
async fn recount(tx: &mut Tx, key: DoorKey, booth_id: UnitId) -> QueryResult<Shift> {
    // The lock comes in a statement of its own, so that the count sees what the last holder committed.
    statement(
        "INSERT INTO doors (state_id, campaign_id, household_id, contacts) VALUES ($1, $2, $3, 0)
         ON CONFLICT (state_id, campaign_id, household_id) DO UPDATE SET previous_contact_on = doors.first_contact_on",
    )
    .bind::<Integer, _>(key.state_id)
    .bind::<Integer, _>(key.campaign_id)
    .bind::<SqlUuid, _>(key.household_id)
    .execute(tx)
    .await?;
    let row: DoorRow = statement(
        "WITH live AS (
             SELECT id, visited_on FROM visits
             WHERE state_id = $1 AND booth_id = $2 AND campaign_id = $3 AND household_id = $4
               AND outcome = 'met' AND voided_at IS NULL
         ), first AS (SELECT id, visited_on FROM live ORDER BY visited_on, id LIMIT 1)
         UPDATE doors SET contacts = (SELECT count(*) FROM live),
             first_contact_on = (SELECT visited_on FROM first), first_contact_visit_id = (SELECT id FROM first)
         WHERE state_id = $5 AND campaign_id = $6 AND household_id = $7
         RETURNING state_id, campaign_id, household_id, previous_contact_on AS before, first_contact_on AS after",
    )
    .bind::<Integer, _>(key.state_id)
    .bind::<Integer, _>(booth_id)
    .bind::<Integer, _>(key.campaign_id)
    .bind::<SqlUuid, _>(key.household_id)
    .bind::<Integer, _>(key.state_id)
    .bind::<Integer, _>(key.campaign_id)
    .bind::<SqlUuid, _>(key.household_id)
    .get_result(tx)
    .await?;
    Ok(shift(&row, booth_id))
}

const fn key_of(row: &DoorRow) -> DoorKey {
    DoorKey {
        state_id: row.state_id,
        campaign_id: row.campaign_id,
        household_id: row.household_id,
    }
}

const fn shift(row: &DoorRow, booth_id: UnitId) -> Shift {
    Shift {
        key: key_of(row),
        booth_id,
        before: row.before,
        after: row.after,
    }
}

#[derive(diesel::QueryableByName)]
struct LineageRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
    #[diesel(sql_type = Array<Integer>)]
    unit_ids: Vec<UnitId>,
}

/// Lineages of booths on days.
pub type Lineages = BTreeMap<(UnitId, NaiveDate), Vec<UnitId>>;

/// The tallies of moved counts: one less on the day before, one more on the day after. Lineages that are not `known` (the
/// day a count leaves is seldom one of the visits at hand) are read.
pub async fn tallies(
    tx: &mut Tx,
    shifts: &[Shift],
    known: &mut Lineages,
    nation_id: UnitId,
) -> QueryResult<Vec<Tally>> {
    let mut changes: BTreeMap<(UnitId, CampaignId, NaiveDate), (UnitId, i64)> = BTreeMap::new();
    for shift in shifts {
        for (day, by) in [(shift.before, -1), (shift.after, 1)] {
            if let Some(day) = day {
                let key = (shift.booth_id, shift.key.campaign_id, day);
                changes.entry(key).or_insert((shift.key.state_id, 0)).1 += by;
            }
        }
    }
    changes.retain(|_, (_, by)| *by != 0);
    let places = changes.keys().map(|(booth_id, _, day)| (*booth_id, *day));
    let unknown: Vec<_> = places.filter(|place| !known.contains_key(place)).collect();
    if !unknown.is_empty() {
        let lineages = lineages_on(tx, &unknown).await?;
        known.extend(unknown.into_iter().zip(lineages));
    }
    let tallies = changes
        .into_iter()
        .map(|((booth_id, campaign_id, day), (state_id, by))| {
            let lineage = known.get(&(booth_id, day)).map_or(&[][..], Vec::as_slice);
            Tally {
                state_id,
                booth_id,
                campaign_id,
                day,
                unit_ids: charged(lineage, nation_id),
                counters: Counters {
                    doors_reached: by,
                    ..Counters::default()
                },
            }
        });
    Ok(tallies.collect())
}

/// What a new version, already written, changes in the counts.
pub async fn move_counts(tx: &mut Tx, old: &VisitRow, new: &VisitRow) -> QueryResult<Vec<Tally>> {
    let Some(booth) = booths(tx, &[new.booth_id]).await?.pop() else {
        return Ok(Vec::new());
    };
    let touched: BTreeSet<DoorKey> = [old, new]
        .into_iter()
        .filter(|row| is_live_contact(row))
        .filter_map(DoorKey::of)
        .collect();
    let same = old.visited_on == new.visited_on
        && is_live_contact(old) == is_live_contact(new)
        && old.household_id == new.household_id;
    let mut shifts = Vec::new();
    for key in touched.into_iter().filter(|_| !same) {
        shifts.push(recount(tx, key, new.booth_id).await?);
    }
    let place = (new.booth_id, new.visited_on);
    let mut lineages: Lineages = [place]
        .into_iter()
        .zip(lineages_on(tx, &[place]).await?)
        .collect();
    let mut tallies = tallies(tx, &shifts, &mut lineages, booth.nation_id).await?;
    let mut change = -counters(old);
    change += counters(new);
    tallies.push(Tally {
        state_id: new.state_id,
        booth_id: new.booth_id,
        campaign_id: new.campaign_id,
        day: new.visited_on,
        unit_ids: charged(
            lineages.get(&place).map_or(&[][..], Vec::as_slice),
            booth.nation_id,
        ),
        counters: change,
    });
    Ok(tallies)
}

/// The units that a tally charges: the lineage without the nation, which is the sum over its states.
pub fn charged(lineage: &[UnitId], nation_id: UnitId) -> Vec<UnitId> {
    lineage.iter().copied().filter(|id| *id != nation_id).collect()
}

/// The lineages of booths on days, in the order asked; empty for what does not exist.
async fn lineages_on(tx: &mut Tx, asked: &[(UnitId, NaiveDate)]) -> QueryResult<Vec<Vec<UnitId>>> {
    let rows: Vec<LineageRow> = statement(
        "SELECT a.n, l.unit_ids FROM unnest($1::int[], $2::date[]) WITH ORDINALITY AS a (unit_id, day, n)
         JOIN lineages l ON l.unit_id = a.unit_id AND l.valid_from <= a.day
                        AND (l.valid_to IS NULL OR l.valid_to > a.day)",
    )
    .bind::<Array<Integer>, _>(asked.iter().map(|(unit, _)| *unit).collect::<Vec<_>>())
    .bind::<Array<Date>, _>(asked.iter().map(|(_, day)| *day).collect::<Vec<_>>())
    .load(tx)
    .await?;
    let mut lineages = vec![Vec::new(); asked.len()];
    for row in rows {
        let slot = usize::try_from(row.n)
            .ok()
            .and_then(|n| lineages.get_mut(n.checked_sub(1)?));
        if let Some(slot) = slot {
            *slot = row.unit_ids;
        }
    }
    Ok(lineages)
}
