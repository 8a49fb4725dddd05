//! Following: reading from a cursor on, and waiting for more without holding anything.

use std::time::{Duration, Instant};

use super::items::{KINDS_FOR_SERVICES, items};
use super::wire::{FeedItem, From};
use crate::access::actions::FeedRead;
use crate::access::policy::scope_within;
use crate::access::{Caller, Scope};
use crate::journal::read::{Cursor, Wanted, cursor_at_end, entries_after};
use crate::journal::tail::{Tail, Woken};
use crate::platform::db::Db;
use crate::platform::error::ApiError;
use crate::platform::ids::UnitId;
use crate::platform::wall::FEED;

/// How often whoever follows is asked for again: his token may have run out, his grants may have ended.
pub const CHECK: Duration = Duration::from_secs(2);
/// How long after a look that found nothing of his the next one may come.
const PAUSE: Duration = Duration::from_secs(1);

/// What a cursor belongs to.
fn list(under: Option<UnitId>) -> String {
    under.map_or_else(|| "feed".to_owned(), |under| format!("feed under {under}"))
}

/// A reader and how far he is.
#[derive(Debug)]
pub struct Reading {
    db: Db,
    tail: Tail,
    under: Option<UnitId>,
    limit: usize,
    cursor: Cursor,
    /// When he last looked and found nothing, though the journal had grown.
    in_vain: Option<Instant>,
}

/// What a look found.
#[derive(Debug)]
pub struct Found {
    /// Each with the cursor behind it.
    pub items: Vec<(FeedItem, Cursor)>,
    pub more: bool,
    /// The journals to wait for, and how long they were.
    pub lengths: Vec<(UnitId, i64)>,
}

impl Reading {
    /// A reader who begins as he asked.
    ///
    /// # Errors
    /// 400 if the cursor is none of this feed, 403 or 404 if he may not follow here.
    pub async fn begin(
        db: &Db,
        tail: &Tail,
        caller: &Caller,
        under: Option<UnitId>,
        cursor: Option<&str>,
        from: Option<From>,
        limit: usize,
    ) -> Result<Self, ApiError> {
        let given = cursor
            .map(|cursor| Cursor::decode(&list(under), cursor))
            .transpose()?;
        let cursor = db
            .read(async |tx| {
                let scope: Scope<FeedRead> = scope_within(tx, caller, under).await?;
                Ok(match (given, from.unwrap_or_default()) {
                    (Some(cursor), _) => cursor,
                    (None, From::Beginning) => Cursor::beginning(),
                    (None, From::Now) => cursor_at_end(tx, scope.roots()).await?,
                })
            })
            .await?;
        Ok(Self {
            db: db.clone(),
            tail: tail.clone(),
            under,
            limit,
            cursor,
            in_vain: None,
        })
    }

    /// Looks once, and goes on behind what was found.
    ///
    /// # Errors
    /// 403 or 404 if he may not follow here any more, 410 if the journal no longer goes on from his cursor.
    pub async fn look(&mut self, caller: &Caller) -> Result<Found, ApiError> {
        let (under, limit, cursor) = (self.under, self.limit, &self.cursor);
        // A stream outlives its request, and its caller's grants may change meanwhile.
        let db = self.db.within(caller.wall()).reaching(&FEED);
        let (entries, items) = db
            .read(async |tx| {
                let scope: Scope<FeedRead> = scope_within(tx, caller, under).await?;
                let kinds: Vec<String> = if caller.is_service() {
                    KINDS_FOR_SERVICES.map(str::to_owned).into()
                } else {
                    Vec::new()
                };
                let wanted = Wanted {
                    subjects: &kinds,
                    ..Wanted::all(scope.roots(), caller.today())
                };
                let mut found = entries_after(tx, &wanted, cursor, limit).await?;
                let entries = std::mem::take(&mut found.entries);
                let items = items(tx, db.keys(), scope.roots(), caller.today(), caller, entries).await?;
                Ok((found, items))
            })
            .await?;
        let mut behind = self.cursor.clone();
        let last = items.len();
        let items: Vec<(FeedItem, Cursor)> = (1..)
            .zip(items)
            .map(|(n, item)| {
                behind.advance(item.state_id, item.number);
                // Behind the last one lies also what is not his.
                let cursor = if n == last { &entries.next } else { &behind };
                (item, cursor.clone())
            })
            .collect();
        self.in_vain = items.is_empty().then(Instant::now);
        self.cursor = entries.next;
        let lengths = entries.heads.iter().map(|head| (head.state_id, head.size));
        Ok(Found {
            items,
            more: entries.more,
            lengths: lengths.collect(),
        })
    }

    /// Waits until one of the journals has grown; not sooner than a second after a look that found nothing of his, so that
    /// what happens elsewhere does not keep him looking.
    ///
    /// # Errors
    /// 503 when the database cannot be had.
    pub async fn wait(
        &self,
        lengths: &[(UnitId, i64)],
        late: Instant,
        first: bool,
    ) -> Result<Woken, ApiError> {
        let woken = self.tail.wait(lengths, late).await?;
        if woken == Woken::Grown
            && !first
            && let Some(rest) = self.in_vain.and_then(|at| PAUSE.checked_sub(at.elapsed()))
        {
            let left = late.saturating_duration_since(Instant::now());
            if self.tail.pause(rest.min(left)).await == Woken::Closing {
                return Ok(Woken::Closing);
            }
        }
        Ok(woken)
    }

    /// Where he goes on.
    #[must_use]
    pub fn cursor(&self) -> String {
        self.cursor.encode(&list(self.under))
    }

    /// A cursor of his feed, as it is given out.
    #[must_use]
    pub fn encode(&self, cursor: &Cursor) -> String {
        cursor.encode(&list(self.under))
    }
}
