//! The background task that delivers: any number of processes may run one; each webhook is in one's hand at a time.

use std::rc::Rc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::outgoing::{Failure, Outgoing, TIMEOUT};
use super::queries::{self, BatchRow, ClaimedRow};
use super::rules;
use crate::features::feed::{KINDS_FOR_SERVICES, items_for_programs};
use crate::journal::read::{Cursor, Wanted, cursor_at_end, entries_after};
use crate::journal::{Actor, Digest, Entry, Record};
use crate::platform::clock::Clock;
use crate::platform::config::Config;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code};
use crate::platform::telemetry::Metrics;
use crate::platform::wall::DELIVERER;

/// Webhooks delivered to at once.
const AT_ONCE: usize = 16;
/// Entries of one batch at most.
const ENTRIES: usize = 100;
/// How long a webhook belongs to the process that claimed it; longer than a try takes.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// How often it is looked for what is due.
const SWEEP: Duration = Duration::from_millis(500);
/// What the cursors of webhooks belong to.
pub const LIST: &str = "webhooks";

/// Says at start what is not fit for real use.
pub fn warn(config: &Config) {
    if config.webhooks_allow_loopback {
        tracing::warn!(
            "webhooks may reach this machine itself: unset SAMPARK_WEBHOOKS_ALLOW_LOOPBACK outside tests"
        );
    }
}

/// The background task, on a thread of its own: the HTTP client stays on one.
#[derive(Debug)]
pub struct Deliverer {
    stop: Option<oneshot::Sender<()>>,
    done: oneshot::Receiver<()>,
}

struct Parts {
    db: Db,
    clock: Clock,
    metrics: Metrics,
    allow_loopback: bool,
}

impl Deliverer {
    /// Starts delivering.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(config: &Config, db: &Db, clock: &Clock, metrics: &Metrics) -> std::io::Result<Self> {
        let parts = Parts {
            db: db.as_program(&DELIVERER),
            clock: clock.clone(),
            metrics: metrics.clone(),
            allow_loopback: config.webhooks_allow_loopback,
        };
        let (stop, stopped) = oneshot::channel();
        let (ended, done) = oneshot::channel();
        std::thread::Builder::new()
            .name("webhooks".to_owned())
            .spawn(move || {
                actix_web::rt::System::new().block_on(run(parts, stopped));
                let _ = ended.send(());
            })?;
        Ok(Self {
            stop: Some(stop),
            done,
        })
    }

    /// Ends it, after what is under way.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = self.done.await;
    }
}

async fn run(parts: Parts, mut stopped: oneshot::Receiver<()>) {
    let outgoing = Rc::new(Outgoing::new(parts.allow_loopback));
    let parts = Rc::new(parts);
    let mut running = JoinSet::new();
    loop {
        let free = i64::try_from(AT_ONCE.saturating_sub(running.len())).unwrap_or(0);
        match parts.claim(free).await {
            Ok(claimed) => {
                for row in claimed {
                    let (parts, outgoing) = (parts.clone(), outgoing.clone());
                    running.spawn_local(async move {
                        let id = row.id;
                        if let Err(error) = parts.attend(&outgoing, row).await {
                            tracing::warn!(webhook = %id, %error, "a webhook could not be attended to; trying again");
                        }
                    });
                }
            }
            Err(error) => tracing::warn!(%error, "webhooks cannot be read; trying again"),
        }
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            Some(_) = running.join_next(), if !running.is_empty() => {}
            () = tokio::time::sleep(SWEEP) => {}
        }
    }
    let _ = tokio::time::timeout(TIMEOUT, async { while running.join_next().await.is_some() {} }).await;
}

impl Parts {
    async fn claim(&self, free: i64) -> Result<Vec<ClaimedRow>, ApiError> {
        if free == 0 {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        self.db
            .write(&Actor::program(now), async move |tx| {
                let rows = queries::claim(tx, now, now + LEASE, free, Uuid::new_v4()).await?;
                Ok((rows, Record::nothing()))
            })
            .await
    }

    /// Delivers the next batch, making it from the feed if none waits.
    async fn attend(&self, outgoing: &Outgoing, claimed: ClaimedRow) -> Result<(), ApiError> {
        let (now, today, keys) = (self.clock.now(), self.clock.today(), self.db.keys().clone());
        let actor = Actor::program(now);
        let row = claimed.clone();
        let batch = self
            .db
            .write(&actor, async move |tx| {
                if let Some(batch) = queries::first_batch(tx, row.id).await? {
                    return Ok((Some(batch), Record::nothing()));
                }
                let made = make_batch(tx, &row, now, today, &keys).await?;
                if made.0.is_none() {
                    queries::release(tx, &row, now, row.failing_since, None).await?;
                }
                Ok(made)
            })
            .await?;
        let Some(batch) = batch else { return Ok(()) };
        let keys = self.db.keys().clone();
        let id = claimed.id;
        let secrets = self
            .db
            .read(async move |tx| {
                let rows = queries::secrets(tx, id).await?;
                let opened = rows.iter().map(|row| {
                    let place = queries::secret_place(row.id);
                    keys.open_sealed(&place, &row.sealed).map_err(ApiError::internal)
                });
                opened.collect::<Result<Vec<_>, _>>()
            })
            .await?;
        let outcome = outgoing
            .send(&claimed.url, &secrets, &batch, self.clock.now())
            .await;
        self.settle(claimed, batch, outcome.err()).await
    }

    /// Takes a batch out, says when it is tried next, or lays it among the dead letters.
    async fn settle(
        &self,
        claimed: ClaimedRow,
        batch: BatchRow,
        failure: Option<Failure>,
    ) -> Result<(), ApiError> {
        let now = self.clock.now();
        let dead = failure.is_some() && batch.attempts.saturating_add(1) >= rules::TRIES;
        let result = match &failure {
            None => "delivered",
            Some(_) if dead => "dead",
            Some(_) => "failed",
        };
        self.db
            .write(&Actor::program(now), async move |tx| {
                let Some(Failure { why, gone }) = &failure else {
                    queries::remove_batch(tx, batch.id).await?;
                    queries::release(tx, &claimed, now, None, None).await?;
                    return Ok(((), Record::nothing()));
                };
                let since = claimed.failing_since.unwrap_or(now);
                let attempts = batch.attempts.saturating_add(1);
                let next_at = if dead { now } else { now + rules::retry_pause(attempts) };
                let note = if *gone {
                    Some("it answered 410: whoever received there is gone".to_owned())
                } else {
                    (now - since >= rules::FAILING).then(|| format!("it has failed for days; at last: {why}"))
                };
                tracing::warn!(webhook = %claimed.id, attempts, why, dead, "a webhook could not be delivered to");
                queries::note_failure(tx, batch.id, why, dead.then_some(now)).await?;
                queries::release(tx, &claimed, next_at, Some(since), note.as_deref()).await?;
                let mut record = Record::nothing();
                if dead {
                    record.entries.push(entry(&claimed, "webhook.dead_letter", &batch.message_id));
                }
                if let Some(note) = &note {
                    record.entries.push(entry(&claimed, "webhook.pause", note));
                }
                Ok(((), record))
            })
            .await?;
        self.metrics.webhooks.with_label_values(&[result]).inc();
        Ok(())
    }
}

fn entry<T: serde::Serialize + ?Sized>(claimed: &ClaimedRow, action: &'static str, what: &T) -> Entry {
    Entry::new(
        claimed.state_id,
        claimed.unit_id,
        action,
        "webhook",
        Digest::of(what),
    )
    .of_ids([claimed.id.0])
}

/// What the feed tells after the webhook's cursor, stored with the cursor behind it.
async fn make_batch(
    tx: &mut Tx,
    claimed: &ClaimedRow,
    now: DateTime<Utc>,
    today: chrono::NaiveDate,
    keys: &crate::platform::data_keys::DataKeys,
) -> Result<(Option<BatchRow>, Record), ApiError> {
    let roots = [claimed.unit_id];
    let kinds: Vec<String> = if claimed.kinds.is_empty() {
        KINDS_FOR_SERVICES.map(str::to_owned).into()
    } else {
        claimed.kinds.clone()
    };
    let wanted = Wanted {
        subjects: &kinds,
        actions: &claimed.actions,
        ..Wanted::all(&roots, today)
    };
    let cursor = Cursor::decode(LIST, &claimed.cursor)?;
    let found = match entries_after(tx, &wanted, &cursor, ENTRIES).await {
        Err(error) if error.code() == Code::CursorTooOld => {
            let end = cursor_at_end(tx, &roots).await?.encode(LIST);
            let why = "the journal no longer goes on from where it was: read everything anew, then resume";
            queries::advance(tx, claimed, &end, claimed.total, Some(why)).await?;
            return Ok((None, entry(claimed, "webhook.pause", why).into()));
        }
        found => found?,
    };
    // More is looked for at once.
    let looked_at = if found.more { 0 } else { claimed.total };
    if !queries::advance(tx, claimed, &found.next.encode(LIST), looked_at, None).await?
        || found.entries.is_empty()
    {
        return Ok((None, Record::nothing()));
    }
    let items = items_for_programs(tx, keys, &roots, today, found.entries).await?;
    let count = i32::try_from(items.len()).unwrap_or(i32::MAX);
    let body =
        json!({"type": "feed.entries", "timestamp": now, "data": {"webhook_id": claimed.id, "items": items}});
    let batch = queries::insert_batch(tx, claimed.id, &body.to_string(), count, now).await?;
    Ok((Some(batch), Record::nothing()))
}
