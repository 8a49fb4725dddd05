//! The job that enforces deadlines: in the server every hour, one server at a time, and by `sampark retain`.
//!
//! Every step is a transaction of at most [`STEP`] rows with its journal entry; interrupted anywhere, the next run goes on
//! where it stopped. What is over is told by the clock that is handed in.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::queries::{CampaignDays, campaigns, erase_workers, nation, take_turn};
use crate::features::contacts;
use crate::features::draws;
use crate::features::visits::{self, Fading};
use crate::journal::{Actor, Digest, Entry, Record};
use crate::platform::background::Background;
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Tx};
use crate::platform::error::ApiError;
use crate::platform::wall::RETENTION;

/// Rows that a step looks at.
const STEP: i64 = 500;
/// How long the server waits between two runs.
const PAUSE: Duration = Duration::from_secs(3600);

/// What a run did: rows looked at, by task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    pub visits: usize,
    pub back_checks: usize,
    pub contacts: usize,
    pub workers: usize,
}

/// Starts letting go, for a server: at once, and then every hour.
#[must_use]
pub fn start_retaining(db: &Db, clock: &Clock) -> Background {
    let (db, clock) = (db.clone(), clock.clone());
    Background::every(PAUSE, async move || match retain(&db, &clock).await {
        Ok(done) if done == Retained::default() => {}
        Ok(done) => tracing::info!(?done, "what was over was let go"),
        Err(error) => tracing::error!(%error, "what is over could not be let go; trying again in an hour"),
    })
}

/// Enforces every deadline that has passed.
///
/// # Errors
/// What the database says; what was done before stays done.
pub async fn retain(db: &Db, clock: &Clock) -> Result<Retained, ApiError> {
    let db = &db.as_program(&RETENTION);
    let mut done = Retained::default();
    let list = db.read(async |tx| Ok(campaigns(tx).await?)).await?;
    for campaign in list {
        for task in Fading::ALL {
            done.visits = done.visits.saturating_add(fade(db, clock, task, campaign).await?);
        }
        let faded = fade_back_checks(db, clock, campaign).await?;
        done.back_checks = done.back_checks.saturating_add(faded);
    }
    done.contacts = steps(db, clock, Step::Contacts).await?;
    done.workers = steps(db, clock, Step::Workers).await?;
    Ok(done)
}

async fn fade(db: &Db, clock: &Clock, task: Fading, campaign: CampaignDays) -> Result<usize, ApiError> {
    let mut looked_at = 0_usize;
    loop {
        let now = clock.now();
        let received_by = now - task.life(campaign.retention_days);
        let keys = db.keys().clone();
        let step = async move |tx: &mut Tx| {
            if !take_turn(tx).await? {
                return Ok((0, Record::nothing()));
            }
            visits::fade_next(tx, &keys, task, campaign.id, received_by, STEP).await
        };
        match db.write_long(&Actor::program(now), step).await? {
            0 => return Ok(looked_at),
            n => looked_at = looked_at.saturating_add(n),
        }
    }
}

/// What back-checks were told goes with the content of the visits.
async fn fade_back_checks(db: &Db, clock: &Clock, campaign: CampaignDays) -> Result<usize, ApiError> {
    let mut touched = 0_usize;
    loop {
        let now = clock.now();
        let received_by = now - Fading::Content.life(campaign.retention_days);
        let step = async move |tx: &mut Tx| {
            if !take_turn(tx).await? {
                return Ok((0, Record::nothing()));
            }
            draws::fade_next(tx, campaign.id, received_by, STEP).await
        };
        match db.write_long(&Actor::program(now), step).await? {
            0 => return Ok(touched),
            n => touched = touched.saturating_add(n),
        }
    }
}

#[derive(Clone, Copy)]
enum Step {
    Contacts,
    Workers,
}

async fn steps(db: &Db, clock: &Clock, step: Step) -> Result<usize, ApiError> {
    let mut touched = 0_usize;
    loop {
        let (now, today) = (clock.now(), clock.today());
        let work = async move |tx: &mut Tx| {
            if !take_turn(tx).await? {
                return Ok((0, Record::nothing()));
            }
            match step {
                Step::Contacts => {
                    let ended = contacts::end_overdue(tx, today, now, STEP).await?;
                    let destroyed = contacts::destroy_due(tx, today, now, STEP).await?;
                    let touched = ended.len().saturating_add(destroyed.len());
                    let mut record = contacts::program_record("contact.expire", &ended);
                    record
                        .entries
                        .extend(contacts::program_record("contact.destroy", &destroyed).entries);
                    Ok((touched, record))
                }
                Step::Workers => erase_next(tx, now).await,
            }
        };
        match db.write_long(&Actor::program(now), work).await? {
            0 => return Ok(touched),
            n => touched = touched.saturating_add(n),
        }
    }
}

async fn erase_next(tx: &mut Tx, now: DateTime<Utc>) -> Result<(usize, Record), ApiError> {
    let year: TimeDelta = contacts::YEAR;
    let erased = erase_workers(tx, now - year, now, STEP).await?;
    if erased.is_empty() {
        return Ok((0, Record::nothing()));
    }
    let nation_id = nation(tx)
        .await?
        .ok_or_else(|| ApiError::internal("there are workers and no nation"))?;
    let ids: Vec<i32> = erased.iter().map(|id| id.0).collect();
    let entry = Entry::new(nation_id, nation_id, "worker.erase", "worker", Digest::of(&ids)).of_ids(ids);
    Ok((erased.len(), entry.into()))
}
