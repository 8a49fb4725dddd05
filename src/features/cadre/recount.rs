//! The background task that counts what changed, and sums the changes up.

use std::time::Duration;

use chrono::TimeDelta;

use super::queries::counts::{fold_tallies, recount_step};
use crate::journal::{Actor, Record};
use crate::platform::background::Background;
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

/// Starts counting, for a server.
#[must_use]
pub fn start_recounting(db: &Db, clock: &Clock) -> Background {
    let (db, clock) = (db.clone(), clock.clone());
    Background::every(PAUSE, async move || {
        if let Err(error) = recount_all(&db, &clock).await {
            tracing::warn!(%error, "the cadre could not be counted; trying again");
        }
    })
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
