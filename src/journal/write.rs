//! The only way to write: a transaction that cannot end without the record of what was done.

use std::ops::AsyncFn;

use aws_lc_rs::digest;
use diesel::sql_types::{BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::RunQueryDsl;

use super::entry::{self, Actor, Entry};
use super::tally::{self, Tally};
use crate::platform::db::{Db, Mode, Transaction, Tx};
use crate::platform::error::{ApiError, Code, Transient};
use crate::platform::idempotency::IdempotencyKey;
use crate::platform::ids::WorkerId;
use crate::platform::reply::Reply;
use crate::platform::statement::statement;

/// How often a transaction is run when it meets a deadlock or a serialization failure.
const TRIES: u32 = 3;

/// What a write did: its journal entry and the changes to the counts. Returned by the work of every write.
#[derive(Debug, Default)]
pub struct Record {
    /// None only if nothing was changed.
    pub entries: Vec<Entry>,
    pub tallies: Vec<Tally>,
}

impl Record {
    /// For work that found nothing to change.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }
}

impl From<Entry> for Record {
    fn from(entry: Entry) -> Self {
        Self {
            entries: vec![entry],
            tallies: Vec::new(),
        }
    }
}

impl Db {
    /// Begins, runs `work`, appends its record and commits. Runs as a task of its own, so that a client's reset never
    /// cancels it midway. Deadlocks and serialization failures run the work again, three times at most.
    ///
    /// # Errors
    /// What `work` answers (everything is then rolled back), or 503 when the database cannot be had.
    pub async fn write<T: 'static>(
        &self,
        actor: &Actor,
        work: impl AsyncFn(&mut Tx) -> Result<(T, Record), ApiError> + 'static,
    ) -> Result<T, ApiError> {
        self.write_in(Mode::Write, actor, work).await
    }

    /// The same for imports, which may take minutes.
    ///
    /// # Errors
    /// As [`Db::write`].
    pub async fn write_long<T: 'static>(
        &self,
        actor: &Actor,
        work: impl AsyncFn(&mut Tx) -> Result<(T, Record), ApiError> + 'static,
    ) -> Result<T, ApiError> {
        self.write_in(Mode::LongWrite, actor, work).await
    }

    /// The same for a POST: with an Idempotency-Key, the answer is kept in the transaction of its effect, and a resend
    /// gets it again.
    ///
    /// # Errors
    /// As [`Db::write`]; 409 while the same key is still being answered, 422 if it was used for another request.
    pub async fn write_once(
        &self,
        actor: &Actor,
        key: Option<IdempotencyKey>,
        work: impl AsyncFn(&mut Tx) -> Result<(Reply, Record), ApiError> + 'static,
    ) -> Result<Reply, ApiError> {
        let (Some(key), Some(worker_id)) = (key, actor.worker_id) else {
            return self.write(actor, work).await;
        };
        let at = actor.at;
        self.write(actor, async move |tx| {
            answer_once(tx, worker_id, &key, at, &work).await
        })
        .await
    }

    /// The same in a transaction that was begun on staged tables ([`Db::begin_staged`]). Those are gone when it fails,
    /// so it is run once.
    ///
    /// # Errors
    /// As [`Db::write_once`].
    pub async fn write_staged(
        &self,
        transaction: Transaction,
        actor: &Actor,
        key: Option<IdempotencyKey>,
        work: impl AsyncFn(&mut Tx) -> Result<(Reply, Record), ApiError> + 'static,
    ) -> Result<Reply, ApiError> {
        let (db, actor) = (self.clone(), *actor);
        let request_id = crate::platform::error::REQUEST_ID
            .try_with(Clone::clone)
            .unwrap_or_default();
        let task = async move {
            match (key, actor.worker_id) {
                (Some(key), Some(worker_id)) => {
                    let work = async |tx: &mut Tx| answer_once(tx, worker_id, &key, actor.at, &work).await;
                    attempt_in(transaction, &db, &actor, &work).await
                }
                _ => attempt_in(transaction, &db, &actor, &work).await,
            }
        };
        let task = crate::platform::error::REQUEST_ID.scope(request_id, task);
        tokio::task::spawn_local(task).await.map_err(ApiError::internal)?
    }

    async fn write_in<T: 'static>(
        &self,
        mode: Mode,
        actor: &Actor,
        work: impl AsyncFn(&mut Tx) -> Result<(T, Record), ApiError> + 'static,
    ) -> Result<T, ApiError> {
        let db = self.clone();
        let actor = *actor;
        let request_id = crate::platform::error::REQUEST_ID
            .try_with(Clone::clone)
            .unwrap_or_default();
        let task = async move {
            let mut tries = TRIES;
            loop {
                match attempt(&db, mode, &actor, &work).await {
                    Err(error) if error.transient() == Some(Transient::Retry) && tries > 1 => tries -= 1,
                    done => return done,
                }
            }
        };
        let task = crate::platform::error::REQUEST_ID.scope(request_id, task);
        tokio::task::spawn_local(task).await.map_err(ApiError::internal)?
    }
}

async fn attempt<T>(
    db: &Db,
    mode: Mode,
    actor: &Actor,
    work: &impl AsyncFn(&mut Tx) -> Result<(T, Record), ApiError>,
) -> Result<T, ApiError> {
    attempt_in(db.begin(mode).await?, db, actor, work).await
}

async fn attempt_in<T>(
    mut transaction: Transaction,
    db: &Db,
    actor: &Actor,
    work: &impl AsyncFn(&mut Tx) -> Result<(T, Record), ApiError>,
) -> Result<T, ApiError> {
    let done = async {
        let (value, record) = work(transaction.tx()).await?;
        let entries: Vec<_> = record.entries.into_iter().map(|entry| (*actor, entry)).collect();
        append(transaction.tx(), &entries, &record.tallies).await?;
        Ok(value)
    };
    match done.await {
        Ok(value) => {
            transaction.commit().await?;
            db.tell_write();
            Ok(value)
        }
        Err(error) => {
            transaction.rollback().await;
            Err(error)
        }
    }
}

/// Appends entries and tallies to their inboxes: for `Db::write`, and for the recorder, which writes for many actors
/// in one transaction.
///
/// # Errors
/// What the database says.
pub async fn append(tx: &mut Tx, entries: &[(Actor, Entry)], tallies: &[Tally]) -> QueryResult<()> {
    entry::append(tx, entries).await?;
    tally::append(tx, tallies).await
}

#[derive(diesel::QueryableByName)]
struct LockRow {
    #[diesel(sql_type = Bool)]
    taken: bool,
}

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
async fn answer_once(
    tx: &mut Tx,
    worker_id: WorkerId,
    key: &IdempotencyKey,
    at: chrono::DateTime<chrono::Utc>,
    work: &impl AsyncFn(&mut Tx) -> Result<(Reply, Record), ApiError>,
) -> Result<(Reply, Record), ApiError> {
    if let Some(reply) = first_answer(tx, worker_id, key).await? {
        return Ok((reply, Record::nothing()));
    }
    let (reply, record) = work(tx).await?;
    keep_answer(tx, worker_id, key, &reply, at).await?;
    Ok((reply, record))
}

async fn first_answer(
    tx: &mut Tx,
    worker_id: WorkerId,
    key: &IdempotencyKey,
) -> Result<Option<Reply>, ApiError> {
    let lock: LockRow = statement("SELECT pg_try_advisory_xact_lock($1) AS taken")
        .bind::<BigInt, _>(lock_number(worker_id, &key.key))
        .get_result(tx)
        .await?;
    if !lock.taken {
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
    if row.request_digest != key.request_digest {
        return Err(ApiError::new(
            Code::IdempotencyMismatch,
            "the Idempotency-Key was used for another request",
        ));
    }
    let status = u16::try_from(row.status).map_err(ApiError::internal)?;
    Ok(Some(Reply {
        status,
        body: row.body,
        etag: row.etag,
        location: row.location,
        replayed: true,
    }))
}

async fn keep_answer(
    tx: &mut Tx,
    worker_id: WorkerId,
    key: &IdempotencyKey,
    reply: &Reply,
    at: chrono::DateTime<chrono::Utc>,
) -> Result<(), ApiError> {
    statement(
        "INSERT INTO idempotency_keys (actor_id, key, request_digest, status, location, etag, body, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind::<Integer, _>(worker_id)
    .bind::<Text, _>(&key.key)
    .bind::<Binary, _>(key.request_digest.to_vec())
    .bind::<SmallInt, _>(i16::try_from(reply.status).map_err(ApiError::internal)?)
    .bind::<Nullable<Text>, _>(reply.location.as_deref())
    .bind::<Nullable<Text>, _>(reply.etag.as_deref())
    .bind::<Binary, _>(reply.body.as_slice())
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
