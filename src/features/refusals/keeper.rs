//! The background task that writes down what was refused.

use std::time::Duration;

use chrono::TimeDelta;

use super::queries;
use crate::access::refusals::Refusals;
use crate::journal::{Actor, Record};
use crate::platform::background::Background;
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

/// Starts writing, for a server. Any number of servers may. What waits when it is stopped is written.
#[must_use]
pub fn start_keeping(db: &Db, clock: &Clock, refusals: &Refusals) -> Background {
    let (db, clock, refusals) = (db.clone(), clock.clone(), refusals.clone());
    Background::run(async move |mut stopped| {
        loop {
            let stop = stopped.within(PAUSE).await;
            if let Err(error) = write_waiting(&db, &clock, &refusals).await {
                tracing::warn!(%error, "refusals could not be written; trying again");
            }
            if stop {
                return;
            }
        }
    })
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
