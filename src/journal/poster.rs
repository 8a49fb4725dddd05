//! The poster: numbers journal entries and carries tallies into the totals, one state at a time, each state in one
//! transaction under an advisory lock, so that any number of processes may run one. It extends the state's tree in the
//! same transaction, and signs the heads of the trees that moved.
//!
//! It runs every [`INTERVAL`] while there is work, is woken by this process's writes, and looks for other processes'
//! leftovers every [`SWEEP`]. On errors it backs off. If it stands still, readers of totals stay right and only get
//! slower; readiness and a metric say so.

use std::time::Duration;

use diesel::QueryResult;
use diesel::sql_types::{BigInt, Bool, Integer};
use diesel_async::RunQueryDsl;

use super::keys::SealKeys;
use super::{seal, tree};
use crate::platform::background::{Background, Stopped};
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Mode, Tx};
use crate::platform::error::ApiError;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;
use crate::platform::telemetry::Metrics;
use crate::platform::wall::POSTER;
use crate::{counter_additions, counter_columns, counter_sums};

/// How long entries gather before they are posted.
pub const INTERVAL: Duration = Duration::from_millis(200);
/// How often an idle poster looks for what other processes left.
pub const SWEEP: Duration = Duration::from_secs(2);
/// The longest wait after errors.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// Entries and tallies taken in one transaction at most, so that a long backlog is posted in bounded steps.
const STEP: i64 = 20_000;
/// Class of the advisory locks under which a state is posted.
pub const POSTER_LOCK: i32 = 0x5341_0001;

const STATES_WITH_WORK: &str = "
    SELECT state_id FROM journal_inbox UNION SELECT state_id FROM tally_inbox UNION SELECT state_id FROM task_tally_inbox
    UNION SELECT state_id FROM journal_heads WHERE tree_size < size
    ORDER BY state_id";

const LOCK: &str = "SELECT pg_try_advisory_xact_lock($1, $2) AS taken";

const NUMBER_ENTRIES: &str = "
    WITH taken AS (
        DELETE FROM journal_inbox WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM journal_inbox WHERE state_id = $1 ORDER BY id LIMIT $2))
        RETURNING *
    ), amount AS (
        SELECT count(*) AS n FROM taken
    ), head AS (
        INSERT INTO journal_heads AS h (state_id, size)
        SELECT $3, n FROM amount WHERE n > 0
        ON CONFLICT (state_id) DO UPDATE SET size = h.size + excluded.size
        RETURNING size
    ), numbered AS (
        INSERT INTO journal (state_id, number, unit_id, unit_ids, actor_id, device_id, action, subject, subject_ids,
                             subject_uuids, subject_versions, digest, at, leaf_hash, form)
        SELECT taken.state_id, head.size - amount.n + row_number() OVER (ORDER BY taken.id), unit_id, unit_ids,
               actor_id, device_id, action, subject, subject_ids, subject_uuids, subject_versions, digest, at,
               leaf_hash, form
        FROM taken, head, amount
    )
    SELECT n FROM amount";

const ADD_TALLIES: &str = concat!(
    "
    WITH taken AS (
        DELETE FROM tally_inbox WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM tally_inbox WHERE state_id = $1 LIMIT $2))
        RETURNING *
    ), summed AS (
        SELECT unit_id, campaign_id, day, ",
    counter_sums!(),
    "
        FROM taken, unnest(taken.unit_ids) AS u (unit_id)
        GROUP BY unit_id, campaign_id, day
    ), added AS (
        INSERT INTO totals AS t (state_id, unit_id, campaign_id, day, ",
    counter_columns!(),
    ")
        SELECT $3, unit_id, campaign_id, day, ",
    counter_columns!(),
    "
        FROM summed ORDER BY unit_id, campaign_id, day
        ON CONFLICT (state_id, unit_id, campaign_id, day) DO UPDATE SET ",
    counter_additions!(),
    "
    ), added_to_date AS (
        INSERT INTO totals_to_date AS t (state_id, unit_id, campaign_id, ",
    counter_columns!(),
    ")
        SELECT $3, unit_id, campaign_id, ",
    counter_sums!(),
    "
        FROM summed GROUP BY unit_id, campaign_id ORDER BY unit_id, campaign_id
        ON CONFLICT (state_id, unit_id, campaign_id) DO UPDATE SET ",
    counter_additions!(),
    "
    )
    SELECT count(*) AS n FROM taken"
);

const ADD_WORK: &str = "
    WITH taken AS (
        DELETE FROM task_tally_inbox WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM task_tally_inbox WHERE state_id = $1 LIMIT $2))
        RETURNING *
    ), added AS (
        INSERT INTO task_totals AS t (state_id, unit_id, task_id, accepted, done, verified, returned)
        SELECT $3, u.unit_id, task_id, sum(accepted), sum(done), sum(verified), sum(returned)
        FROM taken, unnest(taken.unit_ids) AS u (unit_id)
        GROUP BY u.unit_id, task_id ORDER BY u.unit_id, task_id
        ON CONFLICT (state_id, unit_id, task_id) DO UPDATE SET
            accepted = t.accepted + excluded.accepted, done = t.done + excluded.done,
            verified = t.verified + excluded.verified, returned = t.returned + excluded.returned
    )
    SELECT count(*) AS n FROM taken";

#[derive(diesel::QueryableByName)]
struct StateRow {
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
}

#[derive(diesel::QueryableByName)]
struct LockRow {
    #[diesel(sql_type = Bool)]
    taken: bool,
}

#[derive(diesel::QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// The background task.
#[derive(Debug)]
pub struct Poster(Background);

impl Poster {
    /// Starts posting.
    #[must_use]
    pub fn start(db: &Db, clock: &Clock, metrics: &Metrics, seals: &SealKeys) -> Self {
        let desk = Desk {
            db: db.as_program(&POSTER),
            clock: clock.clone(),
            metrics: metrics.clone(),
            seals: seals.clone(),
        };
        Self(Background::run_on(db.runtime(), |stopped| run(desk, stopped)))
    }

    /// Posts what there is and ends.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

struct Desk {
    db: Db,
    clock: Clock,
    metrics: Metrics,
    seals: SealKeys,
}

impl Desk {
    /// A seal that cannot be made never holds up the posting.
    async fn seal(&self, all: bool) {
        if let Err(error) = seal::sign_heads(&self.db, &self.seals, self.clock.now(), all).await {
            error.log();
            tracing::warn!("tree heads could not be signed; trying again");
        }
    }
}

async fn run(desk: Desk, mut stopped: Stopped) {
    let Desk {
        db, clock, metrics, ..
    } = &desk;
    let mut backoff = INTERVAL;
    loop {
        let (pause, wakeable) = match post_all(db).await {
            Ok(posted) => {
                desk.seal(false).await;
                backoff = INTERVAL;
                metrics.posted_at.set(clock.now().timestamp());
                metrics.unposted.set(0);
                if posted > 0 {
                    (INTERVAL, false)
                } else {
                    (SWEEP, true)
                }
            }
            Err(error) => {
                tracing::warn!(%error, "posting failed; trying again");
                backoff = backoff.saturating_mul(2).min(MAX_BACKOFF);
                (backoff, false)
            }
        };
        tokio::select! {
            () = stopped.heard() => break,
            () = tokio::time::sleep(pause) => {}
            () = db.wait_for_write(), if wakeable => {
                // Let the writes of the next moment gather, so that they are posted together.
                tokio::select! {
                    () = stopped.heard() => break,
                    () = tokio::time::sleep(INTERVAL) => {}
                }
            }
        }
    }
    if let Err(error) = post_all(db).await {
        tracing::warn!(%error, "the last posting failed; the next start goes on with it");
    }
    desk.seal(true).await;
}

/// Posts every state that has work; returns how many entries and tallies were posted.
///
/// # Errors
/// What the database says; what was posted before stays posted.
pub async fn post_all(db: &Db) -> Result<i64, ApiError> {
    let mut transaction = db.begin(Mode::Read).await?;
    let states: Vec<StateRow> = transaction
        .run(async |tx| Ok(statement(STATES_WITH_WORK).load(tx).await?))
        .await?;
    transaction.commit().await?;
    let mut posted = 0;
    for state in states {
        loop {
            let step = post_state(db, state.state_id).await?;
            posted += step;
            if step < STEP {
                break;
            }
        }
    }
    Ok(posted)
}

/// Posts one state; returns how many entries and tallies were posted, 0 if another process is at it.
///
/// # Errors
/// What the database says; nothing is posted then.
pub async fn post_state(db: &Db, state_id: UnitId) -> Result<i64, ApiError> {
    let mut transaction = db.begin(Mode::LongWrite).await?;
    let posted = transaction
        .run(async |tx| Ok(post_in(tx, state_id).await?))
        .await?;
    transaction.commit().await?;
    if posted > 0 {
        db.tell_posting();
    }
    Ok(posted)
}

async fn post_in(tx: &mut Tx, state_id: UnitId) -> QueryResult<i64> {
    let lock: LockRow = statement(LOCK)
        .bind::<Integer, _>(POSTER_LOCK)
        .bind::<Integer, _>(state_id)
        .get_result(tx)
        .await?;
    if !lock.taken {
        return Ok(0);
    }
    let mut posted = 0;
    for text in [NUMBER_ENTRIES, ADD_TALLIES, ADD_WORK] {
        let row: CountRow = statement(text)
            .bind::<Integer, _>(state_id)
            .bind::<BigInt, _>(STEP)
            .bind::<Integer, _>(state_id)
            .get_result(tx)
            .await?;
        posted += row.n;
    }
    tree::extend(tx, state_id, STEP).await?;
    Ok(posted)
}
