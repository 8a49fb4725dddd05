//! The only way to write: a transaction that cannot end without the record of what was done.

use std::ops::AsyncFn;

use diesel::QueryResult;

use super::answers::answer_once;
use super::entry::{self, Actor, Entry};
use super::rows;
use super::tally::{self, Tally};
use crate::platform::db::{Db, Mode, Transaction, Tx};
use crate::platform::error::{ApiError, Transient};
use crate::platform::idempotency::IdempotencyKey;
use crate::platform::reply::Reply;

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
        self.once_in(Mode::Write, actor, key, work).await
    }

    /// The same for a POST whose work may take minutes.
    ///
    /// # Errors
    /// As [`Db::write_once`].
    pub async fn write_long_once(
        &self,
        actor: &Actor,
        key: Option<IdempotencyKey>,
        work: impl AsyncFn(&mut Tx) -> Result<(Reply, Record), ApiError> + 'static,
    ) -> Result<Reply, ApiError> {
        self.once_in(Mode::LongWrite, actor, key, work).await
    }

    async fn once_in(
        &self,
        mode: Mode,
        actor: &Actor,
        key: Option<IdempotencyKey>,
        work: impl AsyncFn(&mut Tx) -> Result<(Reply, Record), ApiError> + 'static,
    ) -> Result<Reply, ApiError> {
        let (Some(key), Some(worker_id)) = (key, actor.worker_id) else {
            return self.write_in(mode, actor, work).await;
        };
        let at = actor.at;
        let keys = self.keys().clone();
        self.write_in(mode, actor, async move |tx| {
            answer_once(tx, &keys, worker_id, &key, at, &work).await
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
        let (db, actor) = (self.for_caller(), *actor);
        let request_id = crate::platform::error::REQUEST_ID
            .try_with(Clone::clone)
            .unwrap_or_default();
        let task = async move {
            match (key, actor.worker_id) {
                (Some(key), Some(worker_id)) => {
                    let work = async |tx: &mut Tx| {
                        answer_once(tx, db.keys(), worker_id, &key, actor.at, &work).await
                    };
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
        let db = self.for_caller();
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
    let done = transaction.run(async |tx| {
        let (value, record) = work(tx).await?;
        let mut entries = record.entries;
        rows::bind(tx, actor, &mut entries).await?;
        let entries: Vec<_> = entries.into_iter().map(|entry| (*actor, entry)).collect();
        append(tx, &entries, &record.tallies).await?;
        Ok(value)
    });
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
