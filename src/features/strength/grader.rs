//! The background task that grades, every night and when asked, a state at a time and in it a thousand booths at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;

use super::queries::grading::{
    GRADING_TURN, GradedUnit, NewGrade, RunRow, begin, booth_scores, finish, go_on, next_run, store,
    units_after,
};
use super::queries::{RuleRow, find_rule, rules_of};
use super::rules::{grade, mean, score};
use super::wire::GradeRule;
use crate::access::actions::StrengthGrade;
use crate::access::policy::{Permit, program_permit};
use crate::features::indicators::{Indicator, find};
use crate::features::measures::{ChildRow, FiguresAsk, Ranks, Visited, figures_of, look_up};
use crate::journal::{Actor, Digest, Entry, Record};
use crate::platform::background::Background;
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Tx};
use crate::platform::error::ApiError;
use crate::platform::ids::UnitId;
use crate::platform::turns::take_turn;
use crate::platform::wall::GRADER;

/// Booths graded in one transaction.
const STEP: i64 = 1_000;
/// More mandals than any state has.
const ALL: i64 = 1_000_000;
/// How often an idle task looks whether a day has begun, or somebody asked.
const PAUSE: Duration = Duration::from_secs(30);

/// Starts grading, for a server. Any number of servers may: one at a time takes its turn.
#[must_use]
pub fn start_grading(db: &Db, clock: &Clock) -> Background {
    let (db, clock) = (db.clone(), clock.clone());
    Background::every(PAUSE, async move || {
        if let Err(error) = grade_all(&db, &clock).await {
            tracing::warn!(%error, "booths could not be graded; trying again");
        }
    })
}

/// Grades every state that was not graded today, or for which it was asked. How many booths and mandals were graded.
///
/// # Errors
/// What the database says; what was graded before stays graded, and the next call goes on there.
pub async fn grade_all(db: &Db, clock: &Clock) -> Result<usize, ApiError> {
    let db = &db.as_program(&GRADER);
    let mut graded = 0_usize;
    while let Some(step) = grade_step(db, clock).await? {
        graded = graded.saturating_add(step);
    }
    Ok(graded)
}

/// One step; `None` when there is nothing to grade, or another process does it.
async fn grade_step(db: &Db, clock: &Clock) -> Result<Option<usize>, ApiError> {
    let (actor, today) = (Actor::program(clock.now()), clock.today());
    db.write_long(&actor, async move |tx| {
        if !take_turn(tx, GRADING_TURN).await? {
            return Ok((None, Record::nothing()));
        }
        let Some(run) = next_run(tx, today).await? else {
            return Ok((None, Record::nothing()));
        };
        let permit = program_permit::<StrengthGrade>(tx, actor, run.state_id, run.day).await?;
        let rule = if run.begins() {
            let newest = RunRule::newest(tx, run.state_id).await?;
            begin(tx, &permit, (newest.unit_id, newest.version)).await?;
            newest
        } else {
            RunRule::of(tx, &run).await?
        };
        let booths = units_after(tx, &permit, "booth", run.day, run.after_id, STEP).await?;
        if let Some(last) = booths.last() {
            let last = last.unit.id;
            grade_booths(tx, &permit, &run, &rule, &booths).await?;
            go_on(tx, &permit, last).await?;
            return Ok((Some(booths.len()), Record::nothing()));
        }
        let mandals = grade_mandals(tx, &permit, &run, &rule).await?;
        let counts = finish(tx, &permit, actor.at).await?;
        let counts: Vec<_> = counts
            .into_iter()
            .map(|row| (row.level, row.grade, row.units))
            .collect();
        let digest = Digest::of(&(run.day, rule.version, counts));
        let entry =
            Entry::new(run.state_id, run.state_id, "strength.grade", "unit", digest).of_ids([run.state_id.0]);
        Ok((Some(mandals), entry.into()))
    })
    .await
}

/// The rule by which a state is graded, from the first booth to the last mandal, and whose it is.
struct RunRule {
    unit_id: Option<UnitId>,
    version: i32,
    rule: GradeRule,
}

impl RunRule {
    /// The one that counts now.
    async fn newest(tx: &mut Tx, state_id: UnitId) -> Result<Self, ApiError> {
        let rows = rules_of(tx, state_id).await?;
        Ok(rows
            .into_iter()
            .find(|row| row.counts)
            .map_or_else(Self::own, Self::from))
    }

    /// The one with which a grading under way began, whatever was made since: one grading by two rules compares nothing.
    async fn of(tx: &mut Tx, run: &RunRow) -> Result<Self, ApiError> {
        let Some(unit_id) = run.rule_unit_id else {
            return Ok(Self::own());
        };
        let row = find_rule(tx, unit_id, run.rule_version.unwrap_or_default()).await?;
        row.map(Self::from)
            .ok_or_else(|| ApiError::internal("the rule of a grading is gone"))
    }

    /// The one that the program comes with.
    fn own() -> Self {
        Self {
            unit_id: None,
            version: 0,
            rule: GradeRule::default(),
        }
    }
}

impl From<RuleRow> for RunRule {
    fn from(row: RuleRow) -> Self {
        Self {
            unit_id: Some(row.unit_id),
            version: row.version,
            rule: row.rule.0,
        }
    }
}

async fn grade_booths(
    tx: &mut Tx,
    permit: &Permit<StrengthGrade>,
    run: &RunRow,
    current: &RunRule,
    booths: &[GradedUnit],
) -> Result<(), ApiError> {
    let rows: Vec<&ChildRow> = booths.iter().map(|booth| &booth.unit).collect();
    let indicators: Vec<&'static Indicator> = current
        .rule
        .parts
        .iter()
        .filter_map(|part| find(&part.indicator))
        .collect();
    let back = TimeDelta::days(current.rule.days.saturating_sub(1));
    let ask = FiguresAsk {
        indicators: &indicators,
        visited: Visited {
            campaign_id: None,
            from: run.day.checked_sub_signed(back),
            to: Some(run.day),
        },
        today: run.day,
        before: None,
    };
    let ranks = Ranks::of(&rows);
    look_up(tx).await?;
    let figures = figures_of(tx, permit, ranks, &ask).await?;
    let grades: Vec<NewGrade<'_>> = booths
        .iter()
        .map(|unit| {
            let now = figures
                .get(&unit.unit.id)
                .map(|pair| pair.now)
                .unwrap_or_default();
            let score = score(&current.rule, &now);
            NewGrade {
                unit,
                score,
                grade: grade(&current.rule, score),
            }
        })
        .collect();
    Ok(store(tx, permit, &grades).await?)
}

async fn grade_mandals(
    tx: &mut Tx,
    permit: &Permit<StrengthGrade>,
    run: &RunRow,
    current: &RunRule,
) -> Result<usize, ApiError> {
    let mut scores: BTreeMap<UnitId, Vec<f64>> = BTreeMap::new();
    for (mandal_id, score) in booth_scores(tx, permit).await? {
        scores.entry(mandal_id).or_default().push(score);
    }
    let mandals = units_after(tx, permit, "mandal", run.day, UnitId(0), ALL).await?;
    // A mandal without booths has nothing to be graded by.
    let grades: Vec<NewGrade<'_>> = mandals
        .iter()
        .filter_map(|unit| {
            let score = mean(scores.get(&unit.unit.id)?);
            Some(NewGrade {
                unit,
                score,
                grade: grade(&current.rule, score),
            })
        })
        .collect();
    store(tx, permit, &grades).await?;
    Ok(grades.len())
}
