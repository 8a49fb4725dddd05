//! Seals: the head of each state's tree, signed. Whoever keeps a head can later be shown that nothing before it changed.
//!
//! The poster signs a state's head when it has moved and its last signature is a minute old ([`PERIOD`]), and when it
//! stops. What is signed is the text of [`SignedHead::text`], by Ed25519 (RFC 8032) with a key of its own
//! ([`super::keys`]).

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::entry::Digest;
use super::keys::{SealKey, SealKeys};
use super::merkle::Frontier;
use crate::platform::db::{Db, Mode, Tx};
use crate::platform::error::ApiError;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;

/// How old a state's last signature is, at least, before the next.
pub const PERIOD: TimeDelta = TimeDelta::seconds(60);

/// A row of `signed_heads`.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct SignedHead {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = BigInt)]
    pub size: i64,
    #[diesel(sql_type = Binary)]
    pub root: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    pub signed_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub kid: String,
    #[diesel(sql_type = Binary)]
    pub signature: Vec<u8>,
}

impl SignedHead {
    /// What is signed: four lines, each ended by a newline. The log's name, the size, the root in base64, the time.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "sampark/{}\n{}\n{}\n{}\n",
            self.state_id,
            self.size,
            STANDARD.encode(&self.root),
            self.signed_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        )
    }

    /// Whether one of these keys signed it.
    #[must_use]
    pub fn is_signed_by(&self, keys: &[SealKey]) -> bool {
        keys.iter()
            .find(|key| key.kid == self.kid)
            .is_some_and(|key| key.verifies(self.text().as_bytes(), &self.signature))
    }
}

#[derive(diesel::QueryableByName)]
struct DueRow {
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = BigInt)]
    tree_size: i64,
    #[diesel(sql_type = Binary)]
    frontier: Vec<u8>,
}

const DUE: &str = "
    SELECT h.state_id, h.tree_size, h.frontier FROM journal_heads h
    LEFT JOIN LATERAL (
        SELECT size, signed_at FROM signed_heads s WHERE s.state_id = h.state_id ORDER BY size DESC LIMIT 1
    ) s ON true
    WHERE h.tree_size > coalesce(s.size, 0) AND ($1 OR s.signed_at IS NULL OR s.signed_at <= $2)
    ORDER BY h.state_id";

/// Signs the heads that are due, or (`all`) all that moved since they were signed. Returns how many.
///
/// # Errors
/// If the key cannot be had, or what the database says.
pub async fn sign_heads(db: &Db, keys: &SealKeys, now: DateTime<Utc>, all: bool) -> Result<usize, ApiError> {
    let due: Vec<DueRow> = db
        .read(async |tx| {
            let due = statement(DUE)
                .bind::<Bool, _>(all)
                .bind::<Timestamptz, _>(now - PERIOD)
                .load(tx)
                .await?;
            Ok(due)
        })
        .await?;
    if due.is_empty() {
        return Ok(0);
    }
    let keys = keys.loaded(now).map_err(ApiError::internal)?;
    let mut heads = Vec::with_capacity(due.len());
    for row in &due {
        // A frontier that was tampered with is not signed; the poster says so when it extends the tree.
        let Some(frontier) = u64::try_from(row.tree_size)
            .ok()
            .and_then(|size| Frontier::from_bytes(size, &row.frontier))
        else {
            continue;
        };
        heads.push(keys.sign(row.state_id, row.tree_size, frontier.root(), now));
    }
    let mut transaction = db.begin(Mode::Write).await?;
    transaction
        .run(async |tx| {
            for head in &heads {
                store(tx, head).await?;
            }
            Ok(())
        })
        .await?;
    transaction.commit().await?;
    Ok(due.len())
}

async fn store(tx: &mut Tx, head: &SignedHead) -> QueryResult<()> {
    // Another process may have signed the same size: the first one stands.
    statement(
        "INSERT INTO signed_heads (state_id, size, root, signed_at, kid, signature) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (state_id, size) DO NOTHING",
    )
    .bind::<Integer, _>(head.state_id)
    .bind::<BigInt, _>(head.size)
    .bind::<Binary, _>(&head.root)
    .bind::<Timestamptz, _>(head.signed_at)
    .bind::<Text, _>(&head.kid)
    .bind::<Binary, _>(&head.signature)
    .execute(tx)
    .await
    .map(|_| ())
}

/// The first signed head of a state that covers this many entries.
///
/// # Errors
/// What the database says.
pub async fn head_covering(tx: &mut Tx, state_id: UnitId, number: i64) -> QueryResult<Option<SignedHead>> {
    statement("SELECT * FROM signed_heads WHERE state_id = $1 AND size >= $2 ORDER BY size LIMIT 1")
        .bind::<Integer, _>(state_id)
        .bind::<BigInt, _>(number)
        .get_result(tx)
        .await
        .optional()
}

#[derive(diesel::QueryableByName)]
struct CoveringRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(embed)]
    head: SignedHead,
}

/// The same for several numbers of a state; those that no head covers are left out.
///
/// # Errors
/// What the database says.
pub async fn heads_covering(
    tx: &mut Tx,
    state_id: UnitId,
    numbers: &[i64],
) -> QueryResult<HashMap<i64, SignedHead>> {
    let rows: Vec<CoveringRow> = statement(
        "SELECT n.number, s.* FROM unnest($1::bigint[]) AS n (number) CROSS JOIN LATERAL (
             SELECT * FROM signed_heads s WHERE s.state_id = $2 AND s.size >= n.number ORDER BY s.size LIMIT 1) s",
    )
    .bind::<Array<BigInt>, _>(numbers)
    .bind::<Integer, _>(state_id)
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.number, row.head)).collect())
}

/// The newest signed head of every state that has one.
///
/// # Errors
/// What the database says.
pub async fn latest_heads(tx: &mut Tx) -> QueryResult<Vec<SignedHead>> {
    statement(
        "SELECT s.* FROM journal_heads h CROSS JOIN LATERAL (
             SELECT * FROM signed_heads s WHERE s.state_id = h.state_id ORDER BY size DESC LIMIT 1) s
         ORDER BY s.state_id",
    )
    .load(tx)
    .await
}

/// Signed heads of a state, newest first, those below a size.
///
/// # Errors
/// What the database says.
pub async fn list_heads(
    tx: &mut Tx,
    state_id: UnitId,
    below: Option<i64>,
    limit: i64,
) -> QueryResult<Vec<SignedHead>> {
    statement("SELECT * FROM signed_heads WHERE state_id = $1 AND size < $2 ORDER BY size DESC LIMIT $3")
        .bind::<Integer, _>(state_id)
        .bind::<BigInt, _>(below.unwrap_or(i64::MAX))
        .bind::<BigInt, _>(limit)
        .load(tx)
        .await
}

/// The root as a digest; `None` if it is no SHA-256.
#[must_use]
pub fn root_of(head: &SignedHead) -> Option<Digest> {
    head.root.as_slice().try_into().ok().map(Digest)
}

/// Signed heads of a state over more entries than `after` and no more than `to`, in order.
///
/// # Errors
/// What the database says.
pub async fn heads_between(
    tx: &mut Tx,
    state_id: UnitId,
    after: i64,
    to: i64,
) -> QueryResult<Vec<SignedHead>> {
    statement("SELECT * FROM signed_heads WHERE state_id = $1 AND size > $2 AND size <= $3 ORDER BY size")
        .bind::<Integer, _>(state_id)
        .bind::<BigInt, _>(after)
        .bind::<BigInt, _>(to)
        .load(tx)
        .await
}
