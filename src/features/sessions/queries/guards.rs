//! Guards against guessing, and second factors.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::RosterRow;
use crate::access::actions::WorkerWrite;
use crate::access::{Caller, Permit};
use crate::platform::db::Tx;
use crate::platform::ids::{DeviceId, SessionId, WorkerId};
use crate::platform::statement::statement;

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct FlagRow {
    #[diesel(sql_type = Bool)]
    flag: bool,
}

/// A worker's second factor.
#[derive(Debug, QueryableByName)]
pub struct FactorRow {
    #[diesel(sql_type = Nullable<Binary>)]
    pub sealed: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub pending: Option<Vec<u8>>,
    #[diesel(sql_type = BigInt)]
    pub last_step: i64,
}

/// Counts a try of any kind before it is judged; false if the account is locked. The try that makes it `most` in a row
/// is still judged, and locks the account unless it succeeds.
pub async fn count_failure(
    tx: &mut Tx,
    worker: &RosterRow,
    most: i32,
    now: DateTime<Utc>,
    locked_until: DateTime<Utc>,
) -> QueryResult<bool> {
    let rows = statement(
        "INSERT INTO sign_in_guards AS g (worker_id, failures) VALUES ($1, 1)
         ON CONFLICT (worker_id) DO UPDATE SET
             failures = CASE WHEN g.locked_until IS NULL THEN g.failures + 1 ELSE 1 END,
             locked_until = CASE WHEN g.locked_until IS NULL AND g.failures + 1 >= $2 THEN $3 END
         WHERE g.locked_until IS NULL OR g.locked_until <= $4",
    )
    .bind::<Integer, _>(worker.id)
    .bind::<Integer, _>(most)
    .bind::<Timestamptz, _>(locked_until)
    .bind::<Timestamptz, _>(now)
    .execute(tx)
    .await?;
    Ok(rows == 1)
}

/// He has proved himself: nothing is counted against him any more.
pub async fn forget_failures(tx: &mut Tx, worker_id: WorkerId) -> QueryResult<()> {
    statement("DELETE FROM sign_in_guards WHERE worker_id = $1")
        .bind::<Integer, _>(worker_id)
        .execute(tx)
        .await
        .map(|_| ())
}

/// The same by somebody who manages him; false if nothing was counted.
pub async fn unlock(tx: &mut Tx, _permit: &Permit<WorkerWrite>, worker_id: WorkerId) -> QueryResult<bool> {
    statement("DELETE FROM sign_in_guards WHERE worker_id = $1")
        .bind::<Integer, _>(worker_id)
        .execute(tx)
        .await
        .map(|rows| rows == 1)
}

/// Counts a wrong code; returns how many the day has seen.
pub async fn count_wrong(tx: &mut Tx, day: NaiveDate) -> QueryResult<i64> {
    let row: CountRow = statement(
        "INSERT INTO sign_in_days AS d (day, wrong) VALUES ($1, 1)
         ON CONFLICT (day) DO UPDATE SET wrong = d.wrong + 1 RETURNING wrong::bigint AS count",
    )
    .bind::<Date, _>(day)
    .get_result(tx)
    .await?;
    Ok(row.count)
}

/// How many wrong codes the day has seen.
pub async fn wrong_today(tx: &mut Tx, day: NaiveDate) -> QueryResult<i64> {
    let row: CountRow =
        statement("SELECT coalesce((SELECT wrong FROM sign_in_days WHERE day = $1), 0)::bigint AS count")
            .bind::<Date, _>(day)
            .get_result(tx)
            .await?;
    Ok(row.count)
}

/// Whether this many codes or more were sent since an instant, by message and over everyone.
pub async fn sent_as_many(tx: &mut Tx, most: i64, since: DateTime<Utc>) -> QueryResult<bool> {
    let row: FlagRow = statement(
        "SELECT count(*) >= $1 AS flag FROM (
             SELECT 1 FROM otp_challenges WHERE kind = 'sent' AND created_at > $2 LIMIT $3) AS c",
    )
    .bind::<BigInt, _>(most)
    .bind::<Timestamptz, _>(since)
    .bind::<BigInt, _>(most)
    .get_result(tx)
    .await?;
    Ok(row.flag)
}

/// His second factor, locked.
pub async fn lock_factor(tx: &mut Tx, worker_id: WorkerId) -> QueryResult<Option<FactorRow>> {
    statement("SELECT sealed, pending, last_step FROM second_factors WHERE worker_id = $1 FOR UPDATE")
        .bind::<Integer, _>(worker_id)
        .get_result(tx)
        .await
        .optional()
}

/// Whether he has one that works.
pub async fn has_factor(tx: &mut Tx, worker_id: WorkerId) -> QueryResult<bool> {
    let row: FlagRow = statement(
        "SELECT EXISTS (SELECT 1 FROM second_factors WHERE worker_id = $1 AND sealed IS NOT NULL) AS flag",
    )
    .bind::<Integer, _>(worker_id)
    .get_result(tx)
    .await?;
    Ok(row.flag)
}

/// Keeps a new secret until it is confirmed; the one that works goes on working.
pub async fn keep_pending(tx: &mut Tx, caller: &Caller, pending: &[u8]) -> QueryResult<()> {
    statement(
        "INSERT INTO second_factors (worker_id, pending, created_at) VALUES ($1, $2, $3)
         ON CONFLICT (worker_id) DO UPDATE SET pending = excluded.pending, created_at = excluded.created_at",
    )
    .bind::<Integer, _>(caller.worker_id())
    .bind::<Binary, _>(pending)
    .bind::<Timestamptz, _>(caller.actor().at)
    .execute(tx)
    .await
    .map(|_| ())
}

/// The new secret works from now on.
pub async fn confirm_pending(tx: &mut Tx, caller: &Caller, step: i64) -> QueryResult<()> {
    statement(
        "UPDATE second_factors SET sealed = pending, pending = NULL, last_step = $1, confirmed_at = $2 WHERE worker_id = $3",
    )
    .bind::<BigInt, _>(step)
    .bind::<Timestamptz, _>(caller.actor().at)
    .bind::<Integer, _>(caller.worker_id())
    .execute(tx)
    .await
    .map(|_| ())
}

/// Keeps the secret that works sealed under another key.
pub async fn keep_resealed(tx: &mut Tx, worker_id: WorkerId, sealed: &[u8]) -> QueryResult<()> {
    statement("UPDATE second_factors SET sealed = $1 WHERE worker_id = $2")
        .bind::<Binary, _>(sealed)
        .bind::<Integer, _>(worker_id)
        .execute(tx)
        .await
        .map(|_| ())
}

/// A second factor among all.
#[derive(Debug, QueryableByName)]
pub struct KeptFactor {
    #[diesel(sql_type = Integer)]
    pub worker_id: WorkerId,
    #[diesel(sql_type = Nullable<Binary>)]
    pub sealed: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub pending: Option<Vec<u8>>,
}

/// The next second factors by worker, locked.
pub async fn lock_factors(tx: &mut Tx, after: WorkerId, limit: i64) -> QueryResult<Vec<KeptFactor>> {
    statement(
        "SELECT worker_id, sealed, pending FROM second_factors WHERE worker_id > $1
         ORDER BY worker_id LIMIT $2 FOR UPDATE",
    )
    .bind::<Integer, _>(after)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// Keeps these second factors as they are sealed now.
pub async fn keep_factors(tx: &mut Tx, factors: &[KeptFactor]) -> QueryResult<()> {
    statement(
        "UPDATE second_factors f SET sealed = n.sealed, pending = n.pending
         FROM unnest($1::int[], $2::bytea[], $3::bytea[]) AS n (worker_id, sealed, pending)
         WHERE f.worker_id = n.worker_id",
    )
    .bind::<Array<Integer>, _>(factors.iter().map(|factor| factor.worker_id).collect::<Vec<_>>())
    .bind::<Array<Nullable<Binary>>, _>(factors.iter().map(|factor| &factor.sealed).collect::<Vec<_>>())
    .bind::<Array<Nullable<Binary>>, _>(factors.iter().map(|factor| &factor.pending).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(|_| ())
}

/// Uses a time step up.
pub async fn use_step(tx: &mut Tx, worker_id: WorkerId, step: i64) -> QueryResult<bool> {
    statement("UPDATE second_factors SET last_step = $1 WHERE worker_id = $2 AND last_step < $3")
        .bind::<BigInt, _>(step)
        .bind::<Integer, _>(worker_id)
        .bind::<BigInt, _>(step)
        .execute(tx)
        .await
        .map(|rows| rows == 1)
}

/// Takes his second factor away; false if he had none.
pub async fn remove_factor(
    tx: &mut Tx,
    _permit: &Permit<WorkerWrite>,
    worker_id: WorkerId,
) -> QueryResult<bool> {
    statement("DELETE FROM second_factors WHERE worker_id = $1")
        .bind::<Integer, _>(worker_id)
        .execute(tx)
        .await
        .map(|rows| rows == 1)
}

/// How a session's worker has proved himself.
pub async fn set_strength(tx: &mut Tx, session_id: SessionId, strength: &str) -> QueryResult<()> {
    statement("UPDATE sessions SET strength = $1 WHERE id = $2")
        .bind::<Text, _>(strength)
        .bind::<SqlUuid, _>(session_id)
        .execute(tx)
        .await
        .map(|_| ())
}

/// Whether he has signed in on this device before.
pub async fn knows_device(tx: &mut Tx, worker: &RosterRow, device_id: DeviceId) -> QueryResult<bool> {
    let row: FlagRow =
        statement("SELECT EXISTS (SELECT 1 FROM devices WHERE worker_id = $1 AND id = $2) AS flag")
            .bind::<Integer, _>(worker.id)
            .bind::<SqlUuid, _>(device_id)
            .get_result(tx)
            .await?;
    Ok(row.flag)
}

/// Ends everything that is open for a worker; returns how many sessions that were.
pub async fn end_all(tx: &mut Tx, worker_id: WorkerId, why: &str, now: DateTime<Utc>) -> QueryResult<usize> {
    statement(
        "UPDATE sessions SET revoked_at = $1, revoked_why = $2 WHERE worker_id = $3 AND revoked_at IS NULL",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Text, _>(why)
    .bind::<Integer, _>(worker_id)
    .execute(tx)
    .await
}
