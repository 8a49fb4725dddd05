//! Codes on their way.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Binary, SmallInt, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::platform::db::Tx;
use crate::platform::statement::statement;

/// A message.
#[derive(Debug, QueryableByName)]
pub struct OutboxRow {
    #[diesel(sql_type = SqlUuid)]
    pub challenge_id: Uuid,
    #[diesel(sql_type = Binary)]
    pub sealed: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub expires_at: DateTime<Utc>,
    #[diesel(sql_type = SmallInt)]
    pub attempts: i16,
}

/// Puts a message in.
pub async fn put(
    tx: &mut Tx,
    challenge_id: Uuid,
    sealed: &[u8],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> QueryResult<()> {
    statement(
        "INSERT INTO otp_outbox (challenge_id, sealed, created_at, expires_at, next_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind::<SqlUuid, _>(challenge_id)
    .bind::<Binary, _>(sealed)
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(expires_at)
    .bind::<Timestamptz, _>(now)
    .execute(tx)
    .await
    .map(|_| ())
}

/// Takes what is due, for as long as the lease lasts.
pub async fn claim(
    tx: &mut Tx,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
    most: i64,
) -> QueryResult<Vec<OutboxRow>> {
    statement(
        "UPDATE otp_outbox SET attempts = attempts + 1, next_at = $1
         WHERE challenge_id IN (SELECT challenge_id FROM otp_outbox WHERE next_at <= $2
                                ORDER BY next_at LIMIT $3 FOR UPDATE SKIP LOCKED)
         RETURNING challenge_id, sealed, created_at, expires_at, attempts",
    )
    .bind::<Timestamptz, _>(lease_until)
    .bind::<Timestamptz, _>(now)
    .bind::<BigInt, _>(most)
    .load(tx)
    .await
}

/// Lets a message be tried again then.
pub async fn postpone(tx: &mut Tx, challenge_id: Uuid, at: DateTime<Utc>) -> QueryResult<()> {
    statement("UPDATE otp_outbox SET next_at = $1 WHERE challenge_id = $2")
        .bind::<Timestamptz, _>(at)
        .bind::<SqlUuid, _>(challenge_id)
        .execute(tx)
        .await
        .map(|_| ())
}

/// Takes a message out.
pub async fn remove(tx: &mut Tx, challenge_id: Uuid) -> QueryResult<()> {
    statement("DELETE FROM otp_outbox WHERE challenge_id = $1")
        .bind::<SqlUuid, _>(challenge_id)
        .execute(tx)
        .await
        .map(|_| ())
}

/// Drops messages whose code no longer works.
pub async fn drop_expired(tx: &mut Tx, now: DateTime<Utc>) -> QueryResult<()> {
    statement("DELETE FROM otp_outbox WHERE expires_at <= $1")
        .bind::<Timestamptz, _>(now)
        .execute(tx)
        .await
        .map(|_| ())
}
