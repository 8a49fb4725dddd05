//! The background task that counts what changed, and sums the changes up.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::queries::counts::{fold_tallies, recount_step};
use crate::journal::{Actor, Record};
use crate::platform::clock::Clock;
use crate::platform::db::Db;
use crate::platform::error::ApiError;
use crate::platform::wall::CADRE;

/// Units counted in one transaction at most, so that a long backlog (an import, a new rule) is counted in bounded steps.
const STEP: i64 = 2_000;
/// How long an idle task waits before it looks again; readers meanwhile count for themselves what changed.
const PAUSE: Duration = Duration::from_secs(2);
/// For so many days changes are told apart; trends look no further back.
pub const TOLD_APART: TimeDelta = TimeDelta::days(100);

/// The background task of a server. Any number of servers may run one.
#[derive(Debug)]
pub struct Recounter {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Recounter {
    /// Starts counting.
    #[must_use]
    pub fn start(db: &Db, clock: &Clock) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (db, clock) = (db.clone(), clock.clone());
        Self {
            stop: Some(stop),
            task: tokio::task::spawn_local(run(db, clock, stopped)),
        }
    }

    /// Ends it after the step under way.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = self.task.await;
    }
}

async fn run(db: Db, clock: Clock, mut stopped: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            done = recount_all(&db, &clock) => {
                if let Err(error) = done {
                    tracing::warn!(%error, "the cadre could not be counted; trying again");
                }
            }
        }
        tokio::select! {
            _ = &mut stopped => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Counts everything that changed; how many units that were. What is counted is derived, so it leaves no entries: the
/// journal holds what it is derived from.
///
/// # Errors
/// What the database says; what was counted before stays counted.
pub async fn recount_all(db: &Db, clock: &Clock) -> Result<i64, ApiError> {
    let db = &db.as_program(&CADRE);
    let mut counted = 0_i64;
    loop {
        let (actor, today) = (Actor::program(clock.now()), clock.today());
        let step = db
            .write_long(&actor, async move |tx| {
                Ok((recount_step(tx, today, STEP).await?, Record::nothing()))
            })
            .await?;
        if step == 0 {
            break;
        }
        counted = counted.saturating_add(step);
    }
    if counted > 0 {
        let (actor, since) = (Actor::program(clock.now()), clock.today() - TOLD_APART);
        db.write_long(&actor, async move |tx| {
            Ok((fold_tallies(tx, since).await?, Record::nothing()))
        })
        .await?;
    }
    Ok(counted)
}
