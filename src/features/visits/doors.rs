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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    last_on: NaiveDate,
    count: i32,
}

const ADD: &str = "
    INSERT INTO doors AS d (state_id, campaign_id, household_id, first_contact_on, first_contact_visit_id, contacts,
                            last_contact_on)
    SELECT * FROM unnest($1::int[], $2::int[], $3::uuid[], $4::date[], $5::uuid[], $6::int[], $7::date[])
         AS t (state_id, campaign_id, household_id, first_contact_on, first_contact_visit_id, contacts, last_contact_on)
    ORDER BY state_id, campaign_id, household_id
    ON CONFLICT (state_id, campaign_id, household_id) DO UPDATE SET
        contacts = d.contacts + excluded.contacts,
        previous_contact_on = d.first_contact_on,
        last_contact_on = greatest(d.last_contact_on, excluded.last_contact_on),
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
                contacts.last_on = contacts.last_on.max(row.visited_on);
                contacts.count += 1;
            })
            .or_insert(Contacts {
                booth_id: row.booth_id,
                first: this,
                last_on: row.visited_on,
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
        .bind::<Array<Date>, _>(doors.values().map(|door| door.last_on).collect::<Vec<_>>())
        .load(tx)
        .await?;
    let shifts = rows.into_iter().filter_map(|row| {
        let key = key_of(&row);
        let booth_id = doors.get(&key)?.booth_id;
        Some(shift(&row, booth_id))
    });
    Ok(shifts.filter(|shift| shift.before != shift.after).collect())
}

// The locks come in a statement of their own, in the order of the keys, so that the count sees what the last holder
// committed.
const LOCK: &str = "
    INSERT INTO doors (state_id, campaign_id, household_id, contacts)
    SELECT *, 0 FROM unnest($1::int[], $2::int[], $3::uuid[]) AS t (state_id, campaign_id, household_id)
    ORDER BY state_id, campaign_id, household_id
    ON CONFLICT (state_id, campaign_id, household_id) DO UPDATE SET previous_contact_on = doors.first_contact_on";

const RECOUNT: &str = "
    WITH k AS MATERIALIZED (
        SELECT * FROM unnest($1::int[], $2::int[], $3::uuid[], $4::int[]) AS t (state_id, campaign_id, household_id, booth_id)
    ), live AS (
        SELECT k.state_id, k.campaign_id, k.household_id, count(v.id)::int AS contacts, min(v.visited_on) AS first_on,
               max(v.visited_on) AS last_on,
               (array_agg(v.id ORDER BY v.visited_on, v.id))[1] AS first_id
        FROM k LEFT JOIN visits v
            ON v.state_id = k.state_id AND v.booth_id = k.booth_id AND v.campaign_id = k.campaign_id
           AND v.household_id = k.household_id AND v.outcome = 'met' AND v.voided_at IS NULL AND v.review <> 'rejected'
        GROUP BY k.state_id, k.campaign_id, k.household_id
    )
    UPDATE doors d SET contacts = live.contacts, first_contact_on = live.first_on, first_contact_visit_id = live.first_id,
        last_contact_on = live.last_on
    FROM live
    WHERE d.state_id = live.state_id AND d.campaign_id = live.campaign_id AND d.household_id = live.household_id
    RETURNING d.state_id, d.campaign_id, d.household_id, d.previous_contact_on AS before, d.first_contact_on AS after";

/// Counts the contacts of doors anew after corrections, verdicts or voids; the visits' new versions are already written.
async fn recount(tx: &mut Tx, doors: &BTreeMap<DoorKey, UnitId>) -> QueryResult<Vec<Shift>> {
    if doors.is_empty() {
        return Ok(Vec::new());
    }
    let states: Vec<UnitId> = doors.keys().map(|key| key.state_id).collect();
    let campaigns: Vec<CampaignId> = doors.keys().map(|key| key.campaign_id).collect();
    let households: Vec<HouseholdId> = doors.keys().map(|key| key.household_id).collect();
    statement(LOCK)
        .bind::<Array<Integer>, _>(&states)
        .bind::<Array<Integer>, _>(&campaigns)
        .bind::<Array<SqlUuid>, _>(&households)
        .execute(tx)
        .await?;
    let rows: Vec<DoorRow> = statement(RECOUNT)
        .bind::<Array<Integer>, _>(&states)
        .bind::<Array<Integer>, _>(&campaigns)
        .bind::<Array<SqlUuid>, _>(&households)
        .bind::<Array<Integer>, _>(doors.values().copied().collect::<Vec<_>>())
        .load(tx)
        .await?;
    let shifts = rows
        .iter()
        .filter_map(|row| Some(shift(row, *doors.get(&key_of(row))?)));
    Ok(shifts.collect())
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

/// A visit before and after a change.
#[derive(Clone, Debug)]
pub struct Change {
    pub old: VisitRow,
    pub new: VisitRow,
}

impl Change {
    /// The doors whose contacts it changes.
    fn doors(&self) -> BTreeMap<DoorKey, UnitId> {
        let (old, new) = (&self.old, &self.new);
        let same = old.visited_on == new.visited_on
            && is_live_contact(old) == is_live_contact(new)
            && old.household_id == new.household_id;
        let touched = [old, new].into_iter().filter(|row| !same && is_live_contact(row));
        touched
            .filter_map(|row| Some((DoorKey::of(row)?, row.booth_id)))
            .collect()
    }
}

/// What changes, already written, change in the counts.
pub async fn move_counts(tx: &mut Tx, changes: &[Change]) -> QueryResult<Vec<Tally>> {
    let doors: BTreeMap<DoorKey, UnitId> = changes.iter().flat_map(Change::doors).collect();
    let shifts = recount(tx, &doors).await?;
    let mut sums: BTreeMap<(UnitId, CampaignId, NaiveDate), (UnitId, Counters)> = BTreeMap::new();
    for Change { old, new } in changes {
        for (row, change) in [(old, -counters(old)), (new, counters(new))] {
            let key = (row.booth_id, row.campaign_id, row.visited_on);
            sums.entry(key).or_insert((row.state_id, Counters::default())).1 += change;
        }
    }
    let touched: BTreeSet<UnitId> = sums.keys().map(|key| key.0).collect();
    let touched: Vec<UnitId> = touched.into_iter().collect();
    let Some(nation_id) = booths(tx, &touched).await?.pop().map(|booth| booth.nation_id) else {
        return Ok(Vec::new());
    };
    let places: BTreeSet<(UnitId, NaiveDate)> = sums.keys().map(|key| (key.0, key.2)).collect();
    let places: Vec<_> = places.into_iter().collect();
    let found = lineages_on(tx, &places).await?;
    let mut lineages: Lineages = places.into_iter().zip(found).collect();
    let mut tallies = tallies(tx, &shifts, &mut lineages, nation_id).await?;
    let counted = sums
        .into_iter()
        .map(|((booth_id, campaign_id, day), (state_id, counters))| {
            let lineage = lineages.get(&(booth_id, day)).map_or(&[][..], Vec::as_slice);
            Tally {
                state_id,
                booth_id,
                campaign_id,
                day,
                unit_ids: charged(lineage, nation_id),
                counters,
            }
        });
    tallies.extend(counted);
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
