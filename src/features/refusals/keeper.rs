//! The background task that writes down what was refused.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::queries;
use crate::access::refusals::Refusals;
use crate::journal::{Actor, Record};
use crate::platform::clock::Clock;
use crate::platform::db::Db;
use crate::platform::error::ApiError;
use crate::platform::wall::REFUSALS;

/// How long refusals gather.
const PAUSE: Duration = Duration::from_secs(1);
/// How long they are kept.
const KEPT: TimeDelta = TimeDelta::days(400);
/// Rows let go at a time.
const STEP: i64 = 1_000;

/// The background task of a server. Any number of servers may run one.
#[derive(Debug)]
pub struct Keeper {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Starts writing.
    #[must_use]
    pub fn start(db: &Db, clock: &Clock, refusals: &Refusals) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self {
            stop: Some(stop),
            task: tokio::task::spawn_local(run(db.clone(), clock.clone(), refusals.clone(), stopped)),
        }
    }

    /// Writes what waits and ends.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = self.task.await;
    }
}

async fn run(db: Db, clock: Clock, refusals: Refusals, mut stopped: oneshot::Receiver<()>) {
    loop {
        let stop = tokio::select! {
            _ = &mut stopped => true,
            () = tokio::time::sleep(PAUSE) => false,
        };
        if let Err(error) = write_waiting(&db, &clock, &refusals).await {
            tracing::warn!(%error, "refusals could not be written; trying again");
        }
        if stop {
            return;
        }
    }
}

/// Writes what waits, and lets go of what is too old.
///
/// # Errors
/// What the database says; what was not written waits on.
pub async fn write_waiting(db: &Db, clock: &Clock, refusals: &Refusals) -> Result<(), ApiError> {
    let counts = refusals.take();
    if counts.is_empty() {
        return Ok(());
    }
    let (now, kept) = (clock.now(), counts.clone());
    let written = db
        .as_program(&REFUSALS)
        .write(&Actor::program(now), async move |tx| {
            queries::add(tx, &counts).await?;
            queries::let_go(tx, now - KEPT, STEP).await?;
            Ok(((), Record::nothing()))
        })
        .await;
    if written.is_err() {
        refusals.put_back(kept);
    }
    written
}
