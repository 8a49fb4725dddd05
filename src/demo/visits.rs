//! The demo's households and visits.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, Integer};
use diesel_async::RunQueryDsl;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{DAYS, HOUSEHOLDS, Logger, bar};
use crate::access::policy::program_permit;
use crate::features::households::{HouseholdSent, add_household};
use crate::features::visits::{Recorder, VisitSent};
use crate::journal::{Actor, Record};
use crate::platform::clock::Clock;
use crate::platform::db::Db;
use crate::platform::error::ApiError;
use crate::platform::ids::{CampaignId, DeviceId, HouseholdId, UnitId, WorkerId};
use crate::platform::statement::statement;

/// Visits in all.
const VISITS: usize = 20_000;
/// How many a worker uploads at a time.
const BATCH: usize = 100;

type Doors = BTreeMap<UnitId, Vec<HouseholdId>>;

/// Makes them, through the recorder as if phones had sent them.
pub async fn make(
    db: &Db,
    clock: &Clock,
    campaign_id: CampaignId,
    random: &mut StdRng,
) -> Result<(), ApiError> {
    let loggers = loggers(db).await?;
    let doors = households(db, clock, &loggers, random).await?;
    let recorder = Recorder::start(db, clock);
    let progress = bar("visits", u64::try_from(VISITS).unwrap_or(0));
    let mut left = VISITS;
    while left > 0 {
        for logger in &loggers {
            let size = left.min(BATCH);
            if size == 0 {
                break;
            }
            let device = DeviceId(Uuid::from_u128(u128::from(logger.worker_id.0.unsigned_abs())));
            let received_at = uploaded_at(clock, random);
            let visits = (0..size).map(|_| visit(logger, &doors, campaign_id, received_at, random));
            let visits = visits.collect::<Result<Vec<VisitSent>, ApiError>>()?;
            let actor = Actor {
                worker_id: Some(logger.worker_id),
                device_id: Some(device),
                at: received_at,
            };
            for answer in recorder.record(&actor, true, visits).await? {
                answer?;
            }
            left -= size;
            progress.inc(u64::try_from(size).unwrap_or(0));
        }
    }
    progress.finish();
    Ok(())
}

/// Booth and mandal workers with their booths.
async fn loggers(db: &Db) -> Result<Vec<Logger>, ApiError> {
    #[derive(QueryableByName)]
    struct LoggerRow {
        #[diesel(sql_type = Integer)]
        worker_id: WorkerId,
        #[diesel(sql_type = Array<Integer>)]
        booths: Vec<UnitId>,
    }
    let rows: Vec<LoggerRow> = db
        .read(async |tx| {
            Ok(statement(
                "SELECT g.worker_id, array_agg(l.unit_id ORDER BY l.unit_id) AS booths FROM grants g
                 JOIN lineages l ON g.unit_id = ANY (l.unit_ids)
                 JOIN units b ON b.id = l.unit_id AND b.level = 'booth'
                 WHERE g.role IN ('booth_worker', 'mandal_worker') GROUP BY g.worker_id ORDER BY g.worker_id",
            )
            .load(tx)
            .await?)
        })
        .await?;
    let loggers = rows.into_iter().map(|row| Logger {
        worker_id: row.worker_id,
        booths: row.booths,
    });
    Ok(loggers.collect())
}

async fn households(
    db: &Db,
    clock: &Clock,
    loggers: &[Logger],
    random: &mut StdRng,
) -> Result<Doors, ApiError> {
    let mut doors = Doors::new();
    let booths: std::collections::BTreeSet<UnitId> = loggers
        .iter()
        .flat_map(|logger| logger.booths.iter().copied())
        .collect();
    let progress = bar("households", u64::try_from(booths.len()).unwrap_or(0));
    let (actor, today) = (Actor::program(clock.now()), clock.today());
    for booth_id in booths {
        let made: Vec<(HouseholdId, HouseholdSent)> = (0..HOUSEHOLDS)
            .map(|n| {
                let sent = json!({"booth_id": booth_id, "label": format!("{}-{}", n / 4 + 1, n % 4 + 1),
                                  "electors": random.random_range(1..8)});
                let id = HouseholdId(Uuid::from_u128(random.random()));
                Ok((id, serde_json::from_value(sent).map_err(ApiError::internal)?))
            })
            .collect::<Result<_, ApiError>>()?;
        doors.insert(booth_id, made.iter().map(|(id, _)| *id).collect());
        db.write(&actor, async move |tx| {
            let permit = program_permit(tx, actor, booth_id, today).await?;
            let mut record = Record::nothing();
            for (id, sent) in &made {
                record
                    .entries
                    .extend(add_household(tx, &permit, *id, sent).await?);
            }
            Ok(((), record))
        })
        .await?;
        progress.inc(1);
    }
    progress.finish();
    Ok(doors)
}

/// Some evening of the last two weeks.
fn uploaded_at(clock: &Clock, random: &mut StdRng) -> DateTime<Utc> {
    let now = clock.now();
    let back = TimeDelta::days(random.random_range(0..DAYS)) + TimeDelta::minutes(random.random_range(0..60));
    now.checked_sub_signed(back).unwrap_or(now)
}

fn visit(
    logger: &Logger,
    doors: &Doors,
    campaign_id: CampaignId,
    received_at: DateTime<Utc>,
    random: &mut StdRng,
) -> Result<VisitSent, ApiError> {
    let booth_id = logger
        .booths
        .get(random.random_range(0..logger.booths.len().max(1)))
        .copied();
    let booth_id = booth_id.ok_or_else(|| ApiError::internal("a worker of the demo has no booth"))?;
    let doors = doors.get(&booth_id).map_or(&[][..], Vec::as_slice);
    let household = doors.get(random.random_range(0..doors.len().max(1)));
    let met = random.random_bool(0.6);
    let outcome = if met {
        "met"
    } else {
        *[
            "not_home",
            "not_home",
            "refused",
            "locked",
            "moved",
            "inaccessible",
        ]
        .choose(random)
        .unwrap_or(&"locked")
    };
    let need = *["road", "water", "school", "power"]
        .choose(random)
        .unwrap_or(&"road");
    let answers = if met {
        json!({"heard": random.random_bool(0.7), "need": need, "trust": random.random_range(1..=5)})
    } else {
        json!({})
    };
    let visited_at = received_at - TimeDelta::minutes(random.random_range(5..240));
    let visit: Value = json!({
        "id": Uuid::from_u128(random.random()), "campaign_id": campaign_id, "booth_id": booth_id,
        "household_id": household, "visited_at": visited_at, "outcome": outcome,
        "people_met": if met { random.random_range(1..4) } else { 0 }, "answers": answers,
        "issues": if met && random.random_bool(0.3) { json!(["water"]) } else { json!([]) },
        "duration_s": random.random_range(20..600),
    });
    serde_json::from_value(visit).map_err(ApiError::internal)
}
