//! The first answer to a POST that carried an Idempotency-Key, kept in the transaction of its effect.
//!
//! Answers hold phones and notes: they are sealed, and the digest of the request that they answer is keyed.

use std::ops::AsyncFn;

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, SmallInt, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::RunQueryDsl;

use super::write::Record;
use crate::platform::data_keys::{DataKeys, Place, version_of};
use crate::platform::db::Tx;
use crate::platform::error::{ApiError, Code};
use crate::platform::idempotency::IdempotencyKey;
use crate::platform::ids::WorkerId;
use crate::platform::reply::Reply;
use crate::platform::statement::statement;
use crate::platform::turns::take_turn;

#[derive(diesel::QueryableByName)]
struct AnswerRow {
    #[diesel(sql_type = Binary)]
    request_digest: Vec<u8>,
    #[diesel(sql_type = SmallInt)]
    status: i16,
    #[diesel(sql_type = Nullable<Text>)]
    location: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    etag: Option<String>,
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
}

/// The first answer under the key, or this one, kept.
pub async fn answer_once(
    tx: &mut Tx,
    keys: &DataKeys,
    worker_id: WorkerId,
    key: &IdempotencyKey,
    at: DateTime<Utc>,
    work: &impl AsyncFn(&mut Tx) -> Result<(Reply, Record), ApiError>,
) -> Result<(Reply, Record), ApiError> {
    if let Some(reply) = first_answer(tx, keys, worker_id, key).await? {
        return Ok((reply, Record::nothing()));
    }
    let (reply, record) = work(tx).await?;
    keep_answer(tx, keys, worker_id, key, &reply, at).await?;
    Ok((reply, record))
}

/// A request may hold a phone: its plain digest could be tried against every number there is.
fn keyed(keys: &DataKeys, key: &IdempotencyKey) -> Vec<u8> {
    keys.index("idempotency_keys.request_digest", &key.request_digest)
        .to_vec()
}

fn answer_place(worker_id: WorkerId, key: &str) -> Place {
    Place::new("idempotency_keys", "body", format!("{worker_id}/{key}"))
}

/// What was kept before answers were sealed is JSON, or nothing.
fn open_answer(keys: &DataKeys, worker_id: WorkerId, key: &str, kept: Vec<u8>) -> Result<Vec<u8>, ApiError> {
    match version_of(&kept) {
        Some(_) => keys
            .open_sealed(&answer_place(worker_id, key), &kept)
            .map_err(ApiError::internal),
        None => Ok(kept),
    }
}

async fn first_answer(
    tx: &mut Tx,
    keys: &DataKeys,
    worker_id: WorkerId,
    key: &IdempotencyKey,
) -> Result<Option<Reply>, ApiError> {
    if !take_turn(tx, lock_number(worker_id, &key.key)).await? {
        let error = ApiError::new(
            Code::RequestInFlight,
            "a request with this Idempotency-Key is under way",
        );
        return Err(error.with_retry_after(1));
    }
    let row: Option<AnswerRow> = statement(
        "SELECT request_digest, status, location, etag, body FROM idempotency_keys WHERE actor_id = $1 AND key = $2",
    )
    .bind::<Integer, _>(worker_id)
    .bind::<Text, _>(&key.key)
    .get_result(tx)
    .await
    .optional()?;
    let Some(row) = row else { return Ok(None) };
    // Those of before digests were keyed are gone within a week.
    if row.request_digest != keyed(keys, key) && row.request_digest != key.request_digest {
        return Err(ApiError::new(
            Code::IdempotencyMismatch,
            "the Idempotency-Key was used for another request",
        ));
    }
    let status = u16::try_from(row.status).map_err(ApiError::internal)?;
    Ok(Some(Reply {
        status,
        body: open_answer(keys, worker_id, &key.key, row.body)?,
        etag: row.etag,
        location: row.location,
        replayed: true,
    }))
}

async fn keep_answer(
    tx: &mut Tx,
    keys: &DataKeys,
    worker_id: WorkerId,
    key: &IdempotencyKey,
    reply: &Reply,
    at: DateTime<Utc>,
) -> Result<(), ApiError> {
    let body = keys
        .seal(&answer_place(worker_id, &key.key), &reply.body)
        .map_err(ApiError::internal)?;
    statement(
        "INSERT INTO idempotency_keys (actor_id, key, request_digest, status, location, etag, body, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind::<Integer, _>(worker_id)
    .bind::<Text, _>(&key.key)
    .bind::<Binary, _>(keyed(keys, key))
    .bind::<SmallInt, _>(i16::try_from(reply.status).map_err(ApiError::internal)?)
    .bind::<Nullable<Text>, _>(reply.location.as_deref())
    .bind::<Nullable<Text>, _>(reply.etag.as_deref())
    .bind::<Binary, _>(body)
    .bind::<Timestamptz, _>(at)
    .execute(tx)
    .await?;
    Ok(())
}

/// The advisory lock of a key: the first 64 bits of its hash.
fn lock_number(worker_id: WorkerId, key: &str) -> i64 {
    let sum = digest::digest(&digest::SHA256, format!("{worker_id} {key}").as_bytes());
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(sum.as_ref()) {
        *to = *from;
    }
    i64::from_be_bytes(bytes)
}

/// The name of a kept answer: whose key, and the key.
pub type AnswerName = (WorkerId, String);

#[derive(diesel::QueryableByName)]
struct KeptRow {
    #[diesel(sql_type = Integer)]
    actor_id: WorkerId,
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
}

/// Seals anew, under the active key, what of the next answers an older key sealed, or none. Returns the last name that
/// was looked at; `None` at the end.
///
/// # Errors
/// What the database says, or an answer that cannot be opened.
pub async fn reseal_answers(
    tx: &mut Tx,
    keys: &DataKeys,
    after: Option<AnswerName>,
    limit: i64,
) -> QueryResult<Option<AnswerName>> {
    let (worker_id, key) = after.unwrap_or((WorkerId(0), String::new()));
    let rows: Vec<KeptRow> = statement(
        "SELECT actor_id, key, body FROM idempotency_keys WHERE (actor_id, key) > ($1, $2)
         ORDER BY actor_id, key LIMIT $3 FOR UPDATE",
    )
    .bind::<Integer, _>(worker_id)
    .bind::<Text, _>(key)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await?;
    let mut changed = Vec::new();
    for row in &rows {
        let place = answer_place(row.actor_id, &row.key);
        let sealed = match version_of(&row.body) {
            Some(_) => keys.reseal(&place, &row.body)?,
            None => Some(keys.seal(&place, &row.body)?),
        };
        changed.extend(sealed.map(|sealed| (row, sealed)));
    }
    statement(
        "UPDATE idempotency_keys k SET body = n.body
         FROM unnest($1::int[], $2::text[], $3::bytea[]) AS n (actor_id, key, body)
         WHERE k.actor_id = n.actor_id AND k.key = n.key",
    )
    .bind::<Array<Integer>, _>(changed.iter().map(|(row, _)| row.actor_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(changed.iter().map(|(row, _)| &row.key).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(changed.iter().map(|(_, sealed)| sealed).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(rows.into_iter().next_back().map(|row| (row.actor_id, row.key)))
}
