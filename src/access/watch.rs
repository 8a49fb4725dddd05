//! The watch over what is taken away: one small query a second and process tells whose sessions to read again, so that
//! a request needs no query to know whether its session still lives.
//!
//! The rows are written by triggers in the transaction of the change. A poll asks for what its last snapshot did not
//! show (`pg_visible_in_snapshot`), so that a transaction which began early and committed late is not missed, as it
//! would be by counting ids. No notification is relied on, so none can be lost. When the polls fail, nothing
//! remembered is believed for longer than [`super::caller::BELIEVED`].

use std::time::{Duration, Instant};

use diesel::QueryResult;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel_async::RunQueryDsl;

use super::caller::Access;
use super::keyring::RELOAD;
use crate::platform::background::{Background, Stopped};
use crate::platform::db::{Db, Mode, Tx};
use crate::platform::error::ApiError;
use crate::platform::ids::WorkerId;
use crate::platform::statement::statement;

/// How often the database is asked.
pub const POLL: Duration = Duration::from_secs(1);
/// Polls between two prunings of old rows.
const PRUNE_EVERY: u32 = 600;
/// Rows pruned at once.
const PRUNE: i64 = 50_000;

/// The background task. It also looks at the signing keys and the data keys again, every [`RELOAD`].
#[derive(Debug)]
pub struct Watch(Background);

impl Watch {
    /// Starts watching for this process.
    #[must_use]
    pub fn start(access: &Access) -> Self {
        let db = access.db().clone();
        let runtime = db.runtime().clone();
        Self(Background::run_on(&runtime, |stopped| {
            run(db, access.clone(), stopped)
        }))
    }

    /// Ends it.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

async fn run(db: Db, access: Access, mut stopped: Stopped) {
    let mut snapshot: Option<String> = None;
    let mut polls = 0_u32;
    let mut reloaded = Instant::now();
    loop {
        let asked_at = Instant::now();
        match changes_since(&db, snapshot.as_deref()).await {
            Ok((now, changed)) => {
                match (&snapshot, changed) {
                    // What was read before the first snapshot may be older than it.
                    (None, _) | (_, Changed::Everyone) => access.forget(),
                    (Some(_), Changed::Workers(workers)) => access.forget_workers(&workers),
                }
                snapshot = Some(now);
                access.confirm(asked_at);
            }
            Err(error) => {
                tracing::warn!(%error, "changes of grants and sessions could not be read; asking again")
            }
        }
        if reloaded.elapsed() >= RELOAD {
            reloaded = Instant::now();
            if let Err(error) = access.reload_keys().await {
                tracing::error!(%error, "the signing keys could not be read again; those at hand stay");
            }
            if let Err(error) = db.keys().reload() {
                tracing::error!(%error, "the data keys could not be read again; those at hand stay");
            }
        }
        // A server that is restarted often prunes too: it begins with it.
        if polls.is_multiple_of(PRUNE_EVERY)
            && let Err(error) = prune(&db).await
        {
            tracing::warn!(%error, "old rows of access_changes could not be pruned");
        }
        polls = polls.wrapping_add(1);
        if stopped.within(POLL).await {
            break;
        }
    }
}

enum Changed {
    Workers(Vec<WorkerId>),
    Everyone,
}

#[derive(diesel::QueryableByName)]
struct ChangeRow {
    #[diesel(sql_type = Nullable<Integer>)]
    worker_id: Option<WorkerId>,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    snapshot: String,
}

/// Who changed since a snapshot, and the snapshot of now.
async fn changes_since(db: &Db, snapshot: Option<&str>) -> Result<(String, Changed), ApiError> {
    let rows = db.read(async |tx| Ok(load_changes(tx, snapshot).await?)).await?;
    let now = rows
        .as_slice()
        .first()
        .map(|row| row.snapshot.clone())
        .ok_or_else(|| ApiError::internal("the database gives no snapshot"))?;
    let changes: Vec<_> = rows.iter().filter(|row| row.kind == "change").collect();
    let workers: Option<Vec<WorkerId>> = changes.iter().map(|row| row.worker_id).collect();
    Ok((now, workers.map_or(Changed::Everyone, Changed::Workers)))
}

async fn load_changes(tx: &mut Tx, snapshot: Option<&str>) -> QueryResult<Vec<ChangeRow>> {
    statement(
        "WITH last AS (SELECT coalesce($1::pg_snapshot, pg_current_snapshot()) AS seen)
         SELECT NULL::int AS worker_id, 'now' AS kind, pg_current_snapshot()::text AS snapshot
         UNION ALL
         (SELECT DISTINCT c.worker_id, 'change', pg_current_snapshot()::text FROM access_changes c, last
          WHERE c.xid >= pg_snapshot_xmin(last.seen) AND NOT pg_visible_in_snapshot(c.xid, last.seen))",
    )
    .bind::<Nullable<Text>, _>(snapshot)
    .load(tx)
    .await
}

/// Drops rows an hour old: every process that polls has read them, and one that did not poll for so long reads all
/// sessions again anyway.
async fn prune(db: &Db) -> Result<(), ApiError> {
    let mut transaction = db.begin(Mode::Write).await?;
    let old = statement(
        "DELETE FROM access_changes WHERE id IN (
             SELECT id FROM access_changes WHERE at < clock_timestamp() - interval '1 hour' ORDER BY id LIMIT $1)",
    )
    .bind::<BigInt, _>(PRUNE);
    transaction.run(async |tx| Ok(old.execute(tx).await?)).await?;
    transaction.commit().await
}
