//! The background task that keeps how units stood to their tasks when a day was over, so that reports tell a trend.
//!
//! A day is closed as soon as the next has begun, a state at a time: the tasks, trees and due days of that day, and how units
//! stood when it was looked at. What is reported late, or corrected, is in the figures of the day on which it came: a closed
//! day does not move.

use std::time::Duration;

use chrono::{Days, TimeDelta};

use super::counting::figures_of_units;
use super::queries::closings::{CLOSING_TURN, close, let_go, next_open, units_above_booths};
use crate::access::actions::TaskRead;
use crate::access::policy::program_permit;
use crate::journal::{Actor, Record};
use crate::platform::background::Background;
use crate::platform::clock::Clock;
use crate::platform::db::Db;
use crate::platform::error::ApiError;
use crate::platform::turns::take_turn;
use crate::platform::wall::CLOSER;

/// How often an idle task looks whether a day has begun.
const PAUSE: Duration = Duration::from_secs(30);
/// For so long closed days are kept; trends look back 90 at most.
const KEPT: TimeDelta = TimeDelta::days(100);

/// Starts closing days, for a server. Any number of servers may: a day of a state is closed once.
#[must_use]
pub fn start_closing(db: &Db, clock: &Clock) -> Background {
    let (db, clock) = (db.clone(), clock.clone());
    Background::every(PAUSE, async move || {
        if let Err(error) = close_days(&db, &clock).await {
            tracing::warn!(%error, "how tasks stood yesterday could not be kept; trying again");
        }
    })
}

/// Closes yesterday in every state in which it is not. How many states that were. What is kept is derived, so it leaves no
/// entries.
///
/// # Errors
/// What the database says; what was closed before stays closed.
pub async fn close_days(db: &Db, clock: &Clock) -> Result<usize, ApiError> {
    let db = &db.as_program(&CLOSER);
    let mut closed = 0_usize;
    while close_next(db, clock).await? {
        closed = closed.saturating_add(1);
    }
    Ok(closed)
}

/// Closes yesterday in one state; whether there was one.
async fn close_next(db: &Db, clock: &Clock) -> Result<bool, ApiError> {
    let actor = Actor::program(clock.now());
    let Some(day) = clock.today().checked_sub_days(Days::new(1)) else {
        return Ok(false);
    };
    db.write_long(&actor, async move |tx| {
        if !take_turn(tx, CLOSING_TURN).await? {
            return Ok((false, Record::nothing()));
        }
        let Some(state_id) = next_open(tx, day).await? else {
            return Ok((false, Record::nothing()));
        };
        let permit = program_permit::<TaskRead>(tx, actor, state_id, day).await?;
        let units = units_above_booths(tx, &permit).await?;
        let figures = figures_of_units(tx, &permit, day, &units).await?;
        close(tx, &permit, day, &figures).await?;
        let_go(tx, &permit, day - KEPT).await?;
        Ok((true, Record::nothing()))
    })
    .await
}
