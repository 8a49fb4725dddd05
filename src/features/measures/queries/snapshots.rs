//! Reports that were frozen.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{BigInt, Binary, Date, Integer, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use crate::access::Permit;
use crate::access::actions::{ShortfallFreeze, ShortfallRead};
use crate::platform::db::Tx;
use crate::platform::ids::{UnitId, WorkerId};
use crate::platform::statement::statement;

/// A frozen report.
#[derive(Clone, Debug, QueryableByName)]
pub struct SnapshotRow {
    #[diesel(sql_type = Integer)]
    pub id: i32,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Date)]
    pub taken_on: NaiveDate,
    #[diesel(sql_type = Text)]
    pub report: String,
    #[diesel(sql_type = Binary)]
    pub digest: Vec<u8>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub taken_by: Option<WorkerId>,
    #[diesel(sql_type = Timestamptz)]
    pub taken_at: DateTime<Utc>,
}

/// Snapshots of the permit's unit, the newest first, without their reports.
pub async fn list_snapshots(
    tx: &mut Tx,
    permit: &Permit<ShortfallRead>,
    before: Option<i32>,
    limit: i64,
) -> QueryResult<Vec<SnapshotRow>> {
    statement(
        "SELECT id, unit_id, name, taken_on, '' AS report, digest, taken_by, taken_at FROM shortfall_snapshots
         WHERE unit_id = $1 AND id < coalesce($2, 2147483647) ORDER BY id DESC LIMIT $3",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Nullable<Integer>, _>(before)
    .bind::<BigInt, _>(limit + 1)
    .load(tx)
    .await
}

/// A snapshot; whether the caller may see it, its unit decides.
pub async fn find_snapshot(tx: &mut Tx, id: i32) -> QueryResult<Option<SnapshotRow>> {
    statement(
        "SELECT id, unit_id, name, taken_on, report, digest, taken_by, taken_at FROM shortfall_snapshots WHERE id = $1",
    )
    .bind::<Integer, _>(id)
    .get_result(tx)
    .await
    .optional()
}

/// A report to keep.
#[derive(Clone, Copy, Debug)]
pub struct Frozen<'a> {
    pub name: &'a str,
    pub taken_on: NaiveDate,
    pub asked: &'a str,
    pub report: &'a str,
    pub digest: &'a [u8],
}

/// Keeps a report of the permit's unit.
pub async fn insert_snapshot(
    tx: &mut Tx,
    permit: &Permit<ShortfallFreeze>,
    frozen: Frozen<'_>,
) -> QueryResult<SnapshotRow> {
    statement(
        "INSERT INTO shortfall_snapshots (state_id, unit_id, name, taken_on, asked, report, digest, taken_by, taken_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         RETURNING id, unit_id, name, taken_on, report, digest, taken_by, taken_at",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Text, _>(frozen.name)
    .bind::<Date, _>(frozen.taken_on)
    .bind::<Text, _>(frozen.asked)
    .bind::<Text, _>(frozen.report)
    .bind::<Binary, _>(frozen.digest)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .get_result(tx)
    .await
}
