//! What visits are judged by: the worker's others of the day, the door, and the lock that keeps a worker's visits apart.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::QueryResult;
use diesel::sql_types::{
    Array, BigInt, Bool, Date, Double, Float, Integer, Jsonb, Nullable, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;

use super::{VisitKey, VisitRow};
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, HouseholdId, UnitId, WorkerId};
use crate::platform::location::Location;
use crate::platform::statement::statement;

/// Class of the advisory locks, one a worker, under which visits are judged by his others: two of his phones that upload
/// at the same moment are taken one after the other.
const WORKER_LOCK: i32 = 0x5341_0021;

/// Holds these workers' trails until the transaction ends, in the order of their ids. A statement of its own, so that the
/// next one sees what the last holder committed.
pub async fn hold_trails(tx: &mut Tx, workers: &BTreeSet<WorkerId>) -> QueryResult<()> {
    statement(
        "SELECT count(pg_advisory_xact_lock($1, w))
         FROM (SELECT w FROM unnest($2::int[]) AS w ORDER BY w) AS workers",
    )
    .bind::<Integer, _>(WORKER_LOCK)
    .bind::<Array<Integer>, _>(workers.iter().copied().collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(|_| ())
}

/// A worker's day in a state.
pub type TrailKey = (UnitId, WorkerId, NaiveDate);

/// The visits of a worker's day that count, column by column.
#[derive(Debug, diesel::QueryableByName)]
pub struct TrailRow {
    #[diesel(sql_type = BigInt)]
    pub n: i64,
    #[diesel(sql_type = Array<Timestamptz>)]
    pub visited_at: Vec<DateTime<Utc>>,
    #[diesel(sql_type = Array<Nullable<Double>>)]
    pub lat: Vec<Option<f64>>,
    #[diesel(sql_type = Array<Nullable<Double>>)]
    pub lon: Vec<Option<f64>>,
    #[diesel(sql_type = Array<Nullable<Float>>)]
    pub accuracy_m: Vec<Option<f32>>,
    #[diesel(sql_type = Array<Nullable<SqlUuid>>)]
    pub household_id: Vec<Option<HouseholdId>>,
    #[diesel(sql_type = Array<Bool>)]
    pub at_door: Vec<bool>,
}

// IS NOT DISTINCT FROM keeps the planner from an index on the state: while it has no statistics of a table, as on the first
// day and after a restore, it takes a state for a small part of it, and read all its visits to find twenty.
const TRAILS: &str = "
    SELECT k.n, t.* FROM unnest($1::int[], $2::int[], $3::date[]) WITH ORDINALITY AS k (state_id, worker_id, day, n)
    CROSS JOIN LATERAL (
        SELECT array_agg(v.visited_at) AS visited_at, array_agg(v.lat) AS lat, array_agg(v.lon) AS lon,
               array_agg(v.accuracy_m) AS accuracy_m, array_agg(v.household_id) AS household_id,
               array_agg(v.channel = 'door') AS at_door
        FROM (SELECT visited_at, lat, lon, accuracy_m, household_id, channel FROM visits
              WHERE worker_id = k.worker_id AND visited_on = k.day AND state_id IS NOT DISTINCT FROM k.state_id AND voided_at IS NULL
              ORDER BY visited_at LIMIT $4) AS v
    ) AS t
    WHERE t.visited_at IS NOT NULL";

/// The first `longest` visits of each of these days; days without any are left out. `n` counts the keys from 1.
pub async fn trails(mut tx: &Tx, keys: &[TrailKey], longest: i64) -> QueryResult<Vec<TrailRow>> {
    statement(TRAILS)
        .bind::<Array<Integer>, _>(keys.iter().map(|key| key.0).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(keys.iter().map(|key| key.1).collect::<Vec<_>>())
        .bind::<Array<Date>, _>(keys.iter().map(|key| key.2).collect::<Vec<_>>())
        .bind::<BigInt, _>(longest)
        .load(&mut tx)
        .await
}

/// A door in a campaign, as asked for.
pub type DoorAsk = (UnitId, UnitId, HouseholdId, CampaignId);

/// A door that exists.
#[derive(Clone, Copy, Debug, diesel::QueryableByName)]
pub struct DoorstepRow {
    #[diesel(sql_type = Integer)]
    pub booth_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    pub household_id: HouseholdId,
    #[diesel(sql_type = Integer)]
    pub campaign_id: CampaignId,
    #[diesel(sql_type = Nullable<Double>)]
    lat: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    lon: Option<f64>,
    #[diesel(sql_type = Nullable<Date>)]
    first_contact_on: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    last_contact_on: Option<NaiveDate>,
}

impl DoorstepRow {
    /// Where it is, if that is known.
    pub fn location(&self) -> Option<Location> {
        Location::from_columns(self.lat, self.lon)
    }

    /// The days of its first and latest live contact in the campaign.
    pub fn contacts(&self) -> Option<(NaiveDate, NaiveDate)> {
        self.first_contact_on.zip(self.last_contact_on)
    }
}

/// Which of these (state, booth, household, campaign) exist, where those doors are and when they were met.
pub async fn doorsteps(mut tx: &Tx, asked: &[DoorAsk]) -> QueryResult<Vec<DoorstepRow>> {
    statement(
        "SELECT h.booth_id, h.id AS household_id, k.campaign_id, h.lat, h.lon, d.first_contact_on, d.last_contact_on
         FROM unnest($1::int[], $2::int[], $3::uuid[], $4::int[]) AS k (state_id, booth_id, id, campaign_id)
         JOIN households h ON h.state_id = k.state_id AND h.id = k.id AND h.booth_id = k.booth_id
         LEFT JOIN doors d ON d.state_id = k.state_id AND d.campaign_id = k.campaign_id AND d.household_id = k.id",
    )
    .bind::<Array<Integer>, _>(asked.iter().map(|ask| ask.0).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(asked.iter().map(|ask| ask.1).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(asked.iter().map(|ask| ask.2).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(asked.iter().map(|ask| ask.3).collect::<Vec<_>>())
    .load(&mut tx)
    .await
}

/// Writes the flags of visits that this transaction has stored.
pub async fn set_flags(tx: &mut Tx, rows: &[&VisitRow]) -> QueryResult<()> {
    let keys: Vec<VisitKey> = rows.iter().map(|row| (row.state_id, row.id)).collect();
    statement(
        "UPDATE visits v SET flags = k.flags FROM unnest($1::int[], $2::uuid[], $3::jsonb[]) AS k (state_id, id, flags)
         WHERE v.state_id = k.state_id AND v.id = k.id",
    )
    .bind::<Array<Integer>, _>(keys.iter().map(|key| key.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.1).collect::<Vec<_>>())
    .bind::<Array<Jsonb>, _>(rows.iter().map(|row| &row.flags).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(|_| ())
}

#[derive(diesel::QueryableByName)]
struct PointRow {
    #[diesel(sql_type = Nullable<Double>)]
    lat: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    lon: Option<f64>,
}

/// Where the booth of a visit is, if that is known.
pub async fn booth_location(tx: &mut Tx, visit: &VisitRow) -> QueryResult<Option<Location>> {
    let row: PointRow = statement("SELECT lat, lon FROM units WHERE id = $1")
        .bind::<Integer, _>(visit.booth_id)
        .get_result(tx)
        .await?;
    Ok(Location::from_columns(row.lat, row.lon))
}
