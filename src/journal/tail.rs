//! Waiting until the journal grows, whichever process posts.
//!
//! This process's own poster wakes whoever waits at once. What others post is seen by a look at the sizes of the journals,
//! one for all who wait in this process and none when nobody does. Who waits holds no connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::QueryResult;
use diesel::sql_types::{BigInt, Integer};
use diesel_async::RunQueryDsl;
use tokio::sync::{Mutex, watch};

use crate::platform::db::{Db, Tx};
use crate::platform::error::ApiError;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;

/// How often the sizes are looked at while somebody waits.
pub const LOOK: Duration = Duration::from_millis(500);

/// The end of every journal, for all who follow in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tail(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    seen: Mutex<Option<Seen>>,
    closing: watch::Sender<bool>,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    postings: u64,
    sizes: Arc<BTreeMap<UnitId, i64>>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// A journal has grown.
    Grown,
    /// Nothing happened in time.
    Late,
    /// The process is about to end.
    Closing,
}

#[derive(diesel::QueryableByName)]
struct SizeRow {
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = BigInt)]
    size: i64,
}

impl Tail {
    /// Looks at this database.
    #[must_use]
    pub fn new(db: &Db) -> Self {
        Self(Arc::new(Inner {
            db: db.clone(),
            seen: Mutex::new(None),
            closing: watch::Sender::new(false),
        }))
    }

    /// Ends every wait, now and from now on.
    pub fn close(&self) {
        self.0.closing.send_replace(true);
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        *self.0.closing.borrow()
    }

    /// Waits until one of these journals is longer than given, at most until `late`.
    ///
    /// # Errors
    /// 503 when the database cannot be had.
    pub async fn wait(&self, lengths: &[(UnitId, i64)], late: Instant) -> Result<Woken, ApiError> {
        let mut postings = self.0.db.postings();
        let mut closing = self.0.closing.subscribe();
        loop {
            let now = *postings.borrow_and_update();
            let sizes = self.sizes(now).await?;
            let grown = |(state, length): &(UnitId, i64)| sizes.get(state).is_some_and(|size| size > length);
            if lengths.iter().any(grown) {
                return Ok(Woken::Grown);
            }
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return Ok(Woken::Closing),
                () = tokio::time::sleep_until(late.into()) => return Ok(Woken::Late),
                changed = postings.changed() => if changed.is_err() { return Ok(Woken::Closing) },
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Waits for a while, less if the process is about to end.
    pub async fn pause(&self, pause: Duration) -> Woken {
        let mut closing = self.0.closing.subscribe();
        tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => Woken::Closing,
            () = tokio::time::sleep(pause) => Woken::Late,
        }
    }

    /// The sizes as of this posting and of [`LOOK`] ago at most. Whoever asks first looks for all.
    async fn sizes(&self, postings: u64) -> Result<Arc<BTreeMap<UnitId, i64>>, ApiError> {
        let mut seen = self.0.seen.lock().await;
        if let Some(seen) = seen.as_ref()
            && seen.postings >= postings
            && seen.at.elapsed() < LOOK
        {
            return Ok(seen.sizes.clone());
        }
        let at = Instant::now();
        let rows = self.0.db.read(async |tx| Ok(load_sizes(tx).await?)).await?;
        let sizes: Arc<BTreeMap<_, _>> =
            Arc::new(rows.into_iter().map(|row| (row.state_id, row.size)).collect());
        *seen = Some(Seen {
            at,
            postings,
            sizes: sizes.clone(),
        });
        Ok(sizes)
    }
}

async fn load_sizes(tx: &mut Tx) -> QueryResult<Vec<SizeRow>> {
    statement("SELECT state_id, size FROM journal_heads")
        .load(tx)
        .await
}
