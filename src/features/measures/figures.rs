//! The figures of many units, each from where it is kept, in a few statements for all of them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::queries::{ChildRow, Visited, signed_figures, visit_figures};
use super::rules::last_week;
use crate::access::Permit;
use crate::features::cadre::{CadreAsk, CadreCounts, cadre_counts};
use crate::features::draws::{self, audited_of_units};
use crate::features::indicators::{Figures, Indicator, Source};
use crate::features::pravas::stops_of_units;
use crate::features::tasks::{closed_on, figures_of_units};
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
    /// Whether how it stood to its tasks was kept then; of booths it is not.
    pub tasks_before: bool,
}

impl Pair {
    /// Adds those of another unit. What both had then is known if it is of each; where there is nothing to be counted, neither
    /// booths nor tasks, nothing is missing.
    pub fn add(&mut self, other: &Self) {
        let both = |has: fn(&Self) -> bool, known: fn(&Self) -> bool| match (has(self), has(other)) {
            (false, _) => known(other),
            (true, false) => known(self),
            (true, true) => known(self) && known(other),
        };
        let cadre_before = both(Self::has_booths, |pair| pair.cadre_before);
        let tasks_before = both(Self::has_tasks, |pair| pair.tasks_before);
        (self.cadre_before, self.tasks_before) = (cadre_before, tasks_before);
        self.now += other.now;
        self.before += other.before;
    }

    const fn has_booths(&self) -> bool {
        self.now.booths > 0 || self.before.booths > 0
    }

    const fn has_tasks(&self) -> bool {
        self.now.tasks_assigned > 0 || self.before.tasks_assigned > 0
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

/// What units are made of, by the source that is read of them.
pub type Parts<'a> = BTreeMap<Source, Vec<&'a ChildRow>>;

/// Of whom figures are read.
#[derive(Clone, Copy, Debug)]
pub struct Ranks<'a> {
    /// Units of one level, of which every source is read.
    pub units: &'a [&'a ChildRow],
    /// Their parts, in the same statements: figures of before are not read of these.
    pub parts: &'a Parts<'a>,
}

impl<'a> Ranks<'a> {
    /// Units without parts.
    pub fn of(units: &'a [&'a ChildRow]) -> Self {
        const NONE: &Parts<'_> = &BTreeMap::new();
        Self { units, parts: NONE }
    }

    fn parts(&self, source: Source) -> &'a [&'a ChildRow] {
        self.parts.get(&source).map(Vec::as_slice).unwrap_or_default()
    }

    /// The units, and the parts of which this source is read.
    fn all(&self, source: Source) -> Vec<&'a ChildRow> {
        self.units.iter().chain(self.parts(source)).copied().collect()
    }

    /// The day that is compared with, if there is anything to compare.
    fn before(&self, ask: &FiguresAsk<'_>) -> Option<NaiveDate> {
        ask.before.filter(|_| !self.units.is_empty())
    }
}

/// The sources that are read for an indicator.
pub fn sources_of(indicator: &Indicator) -> impl Iterator<Item = Source> {
    let cadre = indicator.needs_cadre && indicator.source != Source::Cadre;
    std::iter::once(indicator.source).chain(cadre.then_some(Source::Cadre))
}

/// The figures of units under the permit's, and of their parts; after [`look_up`](super::queries::look_up).
///
/// # Errors
/// What the database says.
pub async fn figures_of<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    ranks: Ranks<'_>,
    ask: &FiguresAsk<'_>,
) -> Result<BTreeMap<UnitId, Pair>, ApiError> {
    let parts = ranks.parts.values().flatten();
    let all = ranks.units.iter().chain(parts);
    let mut pairs: BTreeMap<UnitId, Pair> = all.map(|unit| (unit.id, Pair::default())).collect();
    let read: BTreeSet<Source> = ask.indicators.iter().copied().flat_map(sources_of).collect();
    let from = |source| read.contains(&source) && !(ranks.units.is_empty() && ranks.parts(source).is_empty());
    if from(Source::Visits) {
        add_visits(tx, permit, ranks.units, ask.before, ask, &mut pairs).await?;
        add_visits(tx, permit, ranks.parts(Source::Visits), None, ask, &mut pairs).await?;
    }
    if from(Source::Cadre) {
        add_cadre(tx, permit, ranks, ask, &mut pairs).await?;
    }
    if from(Source::SignOffs) {
        let weeks = (last_week(ask.today), ask.before.map(last_week));
        let all = ranks.all(Source::SignOffs);
        for row in signed_figures(tx, permit, &all, ask.today, weeks).await? {
            let pair = pairs.entry(row.unit_id).or_default();
            pair.now.mandals = row.mandals;
            pair.now.signed = row.signed;
            pair.before.mandals = row.mandals;
            pair.before.signed = row.signed_before;
        }
    }
    if from(Source::Audits) {
        add_audits(tx, permit, ranks, ask, &mut pairs).await?;
    }
    if from(Source::Tasks) {
        add_tasks(tx, permit, ranks, ask, &mut pairs).await?;
    }
    if from(Source::Tours) {
        add_tours(tx, permit, ranks, ask, &mut pairs).await?;
    }
    Ok(pairs)
}

fn ids_of(units: &[&ChildRow]) -> Vec<UnitId> {
    units.iter().map(|unit| unit.id).collect()
}

async fn add_visits<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    units: &[&ChildRow],
    before: Option<NaiveDate>,
    ask: &FiguresAsk<'_>,
    pairs: &mut BTreeMap<UnitId, Pair>,
) -> Result<(), ApiError> {
    if units.is_empty() {
        return Ok(());
    }
    for row in visit_figures(tx, permit, units, ask.visited, before).await? {
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
    Ok(())
}

/// Audits of draws whose days lie in the period; those of before ended by then.
async fn add_audits<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    ranks: Ranks<'_>,
    ask: &FiguresAsk<'_>,
    pairs: &mut BTreeMap<UnitId, Pair>,
) -> Result<(), ApiError> {
    let mut span = draws::Span {
        campaign_id: ask.visited.campaign_id,
        from: ask.visited.from,
        to: ask.visited.to,
    };
    for (id, audited) in audited_of_units(tx, permit, &ids_of(&ranks.all(Source::Audits)), span).await? {
        set_audits(&mut pairs.entry(id).or_default().now, &audited);
    }
    let Some(before) = ranks.before(ask) else {
        return Ok(());
    };
    span.to = Some(earlier(ask.visited.to, before));
    for (id, audited) in audited_of_units(tx, permit, &ids_of(ranks.units), span).await? {
        set_audits(&mut pairs.entry(id).or_default().before, &audited);
    }
    Ok(())
}

fn set_audits(figures: &mut Figures, audited: &draws::Audited) {
    figures.checked = audited.checked;
    figures.mismatched = audited.mismatched;
    figures.audit_frame = audited.frame;
    figures.audit_refuted = audited.refuted;
}

/// How they stand to their tasks, and how they stood when the day that is compared with was over.
async fn add_tasks<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    ranks: Ranks<'_>,
    ask: &FiguresAsk<'_>,
    pairs: &mut BTreeMap<UnitId, Pair>,
) -> Result<(), ApiError> {
    for (id, figures) in figures_of_units(tx, permit, ask.today, &ids_of(&ranks.all(Source::Tasks))).await? {
        let now = &mut pairs.entry(id).or_default().now;
        now.tasks_assigned = figures.assigned;
        now.tasks_done = figures.work.done;
        now.tasks_overdue = figures.overdue;
    }
    let Some(before) = ranks.before(ask) else {
        return Ok(());
    };
    for row in closed_on(tx, permit, &ids_of(ranks.units), before).await? {
        let pair = pairs.entry(row.unit_id).or_default();
        pair.before.tasks_assigned = row.assigned;
        pair.before.tasks_done = row.done;
        pair.before.tasks_overdue = row.overdue;
        pair.tasks_before = true;
    }
    Ok(())
}

/// Stops up to today, and up to the day that is compared with.
async fn add_tours<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    ranks: Ranks<'_>,
    ask: &FiguresAsk<'_>,
    pairs: &mut BTreeMap<UnitId, Pair>,
) -> Result<(), ApiError> {
    let (from, to) = (ask.visited.from, ask.visited.to);
    let last = Some(earlier(to, ask.today));
    for (id, stops) in stops_of_units(tx, permit, &ids_of(&ranks.all(Source::Tours)), from, last).await? {
        let figures = &mut pairs.entry(id).or_default().now;
        (figures.stops_planned, figures.stops_made) = (stops.planned, stops.made);
    }
    let Some(before) = ranks.before(ask) else {
        return Ok(());
    };
    let last = Some(earlier(to, before));
    for (id, stops) in stops_of_units(tx, permit, &ids_of(ranks.units), from, last).await? {
        let figures = &mut pairs.entry(id).or_default().before;
        (figures.stops_planned, figures.stops_made) = (stops.planned, stops.made);
    }
    Ok(())
}

fn earlier(day: Option<NaiveDate>, other: NaiveDate) -> NaiveDate {
    day.map_or(other, |day| day.min(other))
}

async fn add_cadre<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    ranks: Ranks<'_>,
    ask: &FiguresAsk<'_>,
    pairs: &mut BTreeMap<UnitId, Pair>,
) -> Result<(), ApiError> {
    // The units may be of several levels: booths are counted one by one, all others by their places.
    for level in ["booth", "above"] {
        let of_level = |unit: &&ChildRow| (unit.level == "booth") == (level == "booth");
        let all: Vec<&ChildRow> = ranks.all(Source::Cadre).into_iter().filter(of_level).collect();
        let ranked: Vec<&ChildRow> = ranks.units.iter().copied().filter(of_level).collect();
        let (all, ranked) = (ids_of(&all), ids_of(&ranked));
        if all.is_empty() {
            continue;
        }
        let of = CadreAsk {
            units: &all,
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
        let Some(before) = ask.before.filter(|_| !ranked.is_empty()) else {
            continue;
        };
        let of = CadreAsk {
            units: &ranked,
            on: before,
            ..of
        };
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
