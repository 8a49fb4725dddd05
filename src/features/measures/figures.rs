//! The figures of many units, each from where it is kept, in a few statements for all of them.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::queries::{ChildRow, Visited, signed_figures, visit_figures};
use super::rules::last_week;
use crate::access::Permit;
use crate::features::cadre::{CadreAsk, CadreCounts, cadre_counts};
use crate::features::draws::{self, audited_of_units};
use crate::features::indicators::{Figures, Indicator, Source};
use crate::features::pravas::stops_of_units;
use crate::features::tasks::figures_of_units;
use crate::platform::db::Tx;
use crate::platform::error::ApiError;
use crate::platform::ids::UnitId;

/// What is asked of units.
#[derive(Clone, Copy, Debug)]
pub struct FiguresAsk<'a> {
    pub indicators: &'a [&'static Indicator],
    pub visited: Visited,
    pub today: NaiveDate,
    /// The day that is compared with; `None`: figures of before are not read and stay zero.
    pub before: Option<NaiveDate>,
}

/// A unit's figures now and before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pair {
    pub now: Figures,
    pub before: Figures,
    /// Whether the cadre was counted then; of booths one by one it is not kept.
    pub cadre_before: bool,
}

impl Pair {
    /// Adds those of another unit. The cadre of both was counted then if that of each was; where there are no booths, now or
    /// then, there is nothing to be counted.
    pub fn add(&mut self, other: &Self) {
        self.cadre_before = match (self.has_booths(), other.has_booths()) {
            (false, _) => other.cadre_before,
            (true, false) => self.cadre_before,
            (true, true) => self.cadre_before && other.cadre_before,
        };
        self.now += other.now;
        self.before += other.before;
    }

    const fn has_booths(&self) -> bool {
        self.now.booths > 0 || self.before.booths > 0
    }
}

fn set_cadre(figures: &mut Figures, counts: &CadreCounts) {
    figures.booths = counts.booths;
    figures.doors = counts.doors;
    figures.workers = counts.workers;
    figures.posts = counts.posts;
    figures.held = counts.held;
    figures.confirmed = counts.confirmed;
    figures.committees = counts.committees;
    figures.complete = counts.complete;
}

/// The figures of units of one level under the permit's unit.
///
/// # Errors
/// What the database says.
pub async fn figures_of<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    units: &[&ChildRow],
    ask: &FiguresAsk<'_>,
) -> Result<BTreeMap<UnitId, Pair>, ApiError> {
    let mut pairs: BTreeMap<UnitId, Pair> = units.iter().map(|unit| (unit.id, Pair::default())).collect();
    let from = |source| ask.indicators.iter().any(|indicator| indicator.source == source);
    if from(Source::Visits) {
        for row in visit_figures(tx, permit, units, ask.visited, ask.before).await? {
            let pair = pairs.entry(row.unit_id).or_default();
            pair.now.visits = row.visits;
            pair.now.met = row.met;
            pair.now.doors_reached = row.doors_reached;
            pair.now.flagged = row.flagged;
            pair.now.verified = row.verified;
            pair.now.rejected = row.rejected;
            pair.before.visits = row.visits_before;
            pair.before.met = row.met_before;
            pair.before.doors_reached = row.doors_reached_before;
            pair.before.flagged = row.flagged_before;
            pair.before.verified = row.verified_before;
            pair.before.rejected = row.rejected_before;
        }
    }
    if ask.indicators.iter().any(|indicator| indicator.needs_cadre) {
        add_cadre(tx, permit, units, ask, &mut pairs).await?;
    }
    if from(Source::SignOffs) {
        let weeks = (last_week(ask.today), ask.before.map(last_week));
        for row in signed_figures(tx, permit, units, ask.today, weeks).await? {
            let pair = pairs.entry(row.unit_id).or_default();
            pair.now.mandals = row.mandals;
            pair.now.signed = row.signed;
            pair.before.mandals = row.mandals;
            pair.before.signed = row.signed_before;
        }
    }
    if from(Source::Audits) {
        add_audits(tx, permit, ask, &mut pairs).await?;
    }
    if from(Source::Tasks) {
        let ids: Vec<UnitId> = pairs.keys().copied().collect();
        for (id, figures) in figures_of_units(tx, permit, ask.today, &ids).await? {
            let now = &mut pairs.entry(id).or_default().now;
            now.tasks_assigned = figures.assigned;
            now.tasks_done = figures.work.done;
            now.tasks_overdue = figures.overdue;
        }
    }
    if from(Source::Tours) {
        add_tours(tx, permit, ask, &mut pairs).await?;
    }
    Ok(pairs)
}

/// Audits of draws whose days lie in the period; those of before ended by then.
async fn add_audits<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    ask: &FiguresAsk<'_>,
    pairs: &mut BTreeMap<UnitId, Pair>,
) -> Result<(), ApiError> {
    let ids: Vec<UnitId> = pairs.keys().copied().collect();
    let mut span = draws::Span {
        campaign_id: ask.visited.campaign_id,
        from: ask.visited.from,
        to: ask.visited.to,
    };
    for is_now in [true, false] {
        if !is_now {
            let Some(before) = ask.before else { break };
            span.to = Some(earlier(ask.visited.to, before));
        }
        for (id, audited) in audited_of_units(tx, permit, &ids, span).await? {
            let pair = pairs.entry(id).or_default();
            let figures = if is_now { &mut pair.now } else { &mut pair.before };
            figures.checked = audited.checked;
            figures.mismatched = audited.mismatched;
            figures.audit_frame = audited.frame;
            figures.audit_refuted = audited.refuted;
        }
    }
    Ok(())
}

/// Stops up to today, and up to the day that is compared with.
async fn add_tours<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    ask: &FiguresAsk<'_>,
    pairs: &mut BTreeMap<UnitId, Pair>,
) -> Result<(), ApiError> {
    let ids: Vec<UnitId> = pairs.keys().copied().collect();
    for (is_now, last) in [(true, Some(ask.today)), (false, ask.before)] {
        let Some(last) = last else { break };
        let last = earlier(ask.visited.to, last);
        for (id, stops) in stops_of_units(tx, permit, &ids, ask.visited.from, Some(last)).await? {
            let pair = pairs.entry(id).or_default();
            let figures = if is_now { &mut pair.now } else { &mut pair.before };
            figures.stops_planned = stops.planned;
            figures.stops_made = stops.made;
        }
    }
    Ok(())
}

fn earlier(day: Option<NaiveDate>, other: NaiveDate) -> NaiveDate {
    day.map_or(other, |day| day.min(other))
}

async fn add_cadre<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    units: &[&ChildRow],
    ask: &FiguresAsk<'_>,
    pairs: &mut BTreeMap<UnitId, Pair>,
) -> Result<(), ApiError> {
    // The units may be of two levels: booths are counted one by one, all others by their places.
    let (booths, others): (Vec<&ChildRow>, Vec<&ChildRow>) =
        units.iter().partition(|unit| unit.level == "booth");
    for (level, part) in [("booth", booths), ("above", others)] {
        if part.is_empty() {
            continue;
        }
        let ids: Vec<UnitId> = part.iter().map(|unit| unit.id).collect();
        let mut of = CadreAsk {
            units: &ids,
            level,
            campaign_id: ask.visited.campaign_id,
            today: ask.today,
            on: ask.today,
        };
        for row in cadre_counts(tx, permit, &of).await? {
            let pair = pairs.entry(row.unit_id).or_default();
            set_cadre(&mut pair.now, &row.counts);
            // What visits are divided by, where nothing older is known.
            (pair.before.booths, pair.before.doors) = (row.counts.booths, row.counts.doors);
        }
        let Some(before) = ask.before else { continue };
        of.on = before;
        for row in cadre_counts(tx, permit, &of).await? {
            if row.counts.booths > 0 {
                let pair = pairs.entry(row.unit_id).or_default();
                set_cadre(&mut pair.before, &row.counts);
                pair.cadre_before = true;
            }
        }
    }
    Ok(())
}
