//! Builds the report of shortfalls: who is ranked, by which targets, with which figures, and what weighs in each.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, TimeDelta};

use super::figures::{FiguresAsk, Pair, Parts, Ranks, figures_of, sources_of};
use super::queries::{
    ChildRow, Narrowed, TargetRow, Visited, campaign_targets, children_of, find_unit, look_up, targets_for,
};
use super::rules::{CampaignTargets, SetBy, heaviest, rank, resolve, rounded};
use super::trace::Tracer;
use super::wire::report::{HeavyPart, ShortfallGroup, ShortfallItem, ShortfallReport, TraceView};
use super::wire::{Asked, RankedUnit};
use crate::access::actions::ShortfallRead;
use crate::access::{Caller, Permit};
use crate::features::indicators::{CATALOGUE, Figures, Indicator, Source};
use crate::features::target_sets::members_today;
use crate::platform::db::Tx;
use crate::platform::error::ApiError;
use crate::platform::ids::UnitId;

/// Constituencies, of which target sets are made.
const SEATS: [&str; 2] = ["parliamentary_constituency", "assembly_constituency"];

/// What was read for a report.
#[derive(Default)]
struct Figured {
    /// Of the children, and of their parts where they are known.
    pairs: BTreeMap<UnitId, Pair>,
    /// The parts of all children; `None`: to be read of those that are shown.
    parts: Option<Vec<ChildRow>>,
}

/// What the parts of a report share.
struct Desk<'a> {
    asked: &'a Asked,
    today: NaiveDate,
    before: NaiveDate,
    limit: usize,
    seats: Option<Vec<UnitId>>,
    campaign: Option<CampaignTargets>,
}

/// The report for what was asked, about the permit's unit as it is today.
///
/// # Errors
/// 422 for a campaign or a target set that is not the caller's to see; what the database says.
pub async fn build(
    tx: &mut Tx,
    caller: &Caller,
    permit: &Permit<ShortfallRead>,
    asked: &Asked,
) -> Result<ShortfallReport, ApiError> {
    look_up(tx).await?;
    let desk = Desk::new(tx, caller, permit, asked).await?;
    let unit = find_unit(tx, permit, desk.today).await?;
    let narrowed = Narrowed {
        seats: desk.seats.as_deref().filter(|_| !desk.sums_seats()),
        under: None,
    };
    let children = children_of(tx, permit, asked.level.as_str(), desk.today, narrowed).await?;
    let targets = desk.targets(tx, permit, &children).await?;
    let indicators = desk.indicators(&children, &targets);
    let mut figured = desk.figures(tx, permit, &children, &indicators).await?;
    let mut groups: Vec<ShortfallGroup> = indicators
        .iter()
        .map(|indicator| desk.group(indicator, &children, &targets, &figured.pairs))
        .collect();
    desk.explain(tx, permit, &indicators, &mut figured, &mut groups)
        .await?;
    Ok(ShortfallReport {
        unit: RankedUnit::from(&unit),
        asked: asked.clone(),
        as_of: desk.today,
        compared_with: desk.before,
        indicators: groups,
    })
}

impl<'a> Desk<'a> {
    async fn new(
        tx: &mut Tx,
        caller: &Caller,
        permit: &Permit<ShortfallRead>,
        asked: &'a Asked,
    ) -> Result<Self, ApiError> {
        let today = caller.today();
        let back = TimeDelta::days(asked.days_back());
        let seats = match asked.target_set {
            Some(id) => Some(members_today(tx, caller, id).await?),
            None => None,
        };
        let campaign = match asked.campaign {
            None => None,
            Some(id) => {
                let targets = campaign_targets(tx, permit, today, id).await?;
                let targets = targets.ok_or_else(|| {
                    ApiError::field("/campaign", "unknown_campaign", "there is no such campaign here")
                })?;
                Some(CampaignTargets { id, targets })
            }
        };
        Ok(Self {
            asked,
            today,
            before: today.checked_sub_signed(back).unwrap_or(today),
            limit: asked.shown(),
            seats,
            campaign,
        })
    }

    /// Whether a unit's figures are those of its seats in the target set: a state has no rows of such a set.
    fn sums_seats(&self) -> bool {
        self.seats.is_some() && self.asked.level.as_str() == "state"
    }

    async fn targets(
        &self,
        tx: &mut Tx,
        permit: &Permit<ShortfallRead>,
        children: &[ChildRow],
    ) -> Result<Vec<TargetRow>, ApiError> {
        let above: BTreeSet<UnitId> = children
            .iter()
            .flat_map(|child| child.unit_ids.iter().copied())
            .collect();
        let above: Vec<UnitId> = above.into_iter().collect();
        let campaign = self.asked.campaign;
        let level = self.asked.level.as_str();
        Ok(targets_for(tx, permit, &above, level, self.today, campaign).await?)
    }

    fn target_of(
        &self,
        indicator: &Indicator,
        child: &ChildRow,
        targets: &[TargetRow],
    ) -> Option<(f64, SetBy)> {
        resolve(indicator.id, &child.unit_ids, targets, self.campaign.as_ref())
    }

    /// Indicators that are asked for, are measured at the level, and have a target for one of the units.
    fn indicators(&self, children: &[ChildRow], targets: &[TargetRow]) -> Vec<&'static Indicator> {
        let level = self.asked.level.as_str();
        let wanted = self.asked.indicator.as_deref();
        CATALOGUE
            .iter()
            .filter(|indicator| {
                wanted.is_none_or(|id| id == indicator.id) && indicator.levels.contains(&level)
            })
            .filter(|indicator| {
                children
                    .iter()
                    .any(|child| self.target_of(indicator, child, targets).is_some())
            })
            .collect()
    }

    fn ask<'b>(&self, indicators: &'b [&'static Indicator]) -> FiguresAsk<'b> {
        FiguresAsk {
            indicators,
            visited: Visited {
                campaign_id: self.asked.campaign,
                from: self.asked.from,
                to: self.asked.to,
            },
            today: self.today,
            before: Some(self.before),
        }
    }

    /// The figures of the children; with them those of their parts where most children will be shown for one indicator or
    /// another, or are sums of their parts: one reading costs less than two.
    async fn figures(
        &self,
        tx: &mut Tx,
        permit: &Permit<ShortfallRead>,
        children: &[ChildRow],
        indicators: &[&'static Indicator],
    ) -> Result<Figured, ApiError> {
        if indicators.is_empty() {
            return Ok(Figured::default());
        }
        let ask = self.ask(indicators);
        if self.sums_seats() {
            let seats = self.seats_under(tx, permit).await?;
            let units: Vec<&ChildRow> = seats.iter().collect();
            let mut pairs = figures_of(tx, permit, Ranks::of(&units), &ask).await?;
            let mut sums: BTreeMap<UnitId, Pair> = BTreeMap::new();
            for seat in &seats {
                if let Some(pair) = pairs.get(&seat.id) {
                    sums.entry(seat.state_id).or_default().add(pair);
                }
            }
            pairs.extend(sums);
            return Ok(Figured {
                pairs,
                parts: Some(seats),
            });
        }
        let parts = match self.asked.weighed() {
            Some(level) if children.len() <= self.limit.saturating_mul(2) => {
                let narrowed = Narrowed {
                    seats: self.seats.as_deref(),
                    under: None,
                };
                Some(children_of(tx, permit, level, self.today, narrowed).await?)
            }
            _ => None,
        };
        let units: Vec<&ChildRow> = children.iter().collect();
        let rows: Vec<&ChildRow> = parts.iter().flatten().collect();
        let sources = indicators.iter().copied().flat_map(sources_of);
        let by_source: Parts<'_> = sources.map(|source| (source, rows.clone())).collect();
        let ranks = Ranks {
            units: &units,
            parts: &by_source,
        };
        let pairs = figures_of(tx, permit, ranks, &ask).await?;
        Ok(Figured { pairs, parts })
    }

    /// The constituencies of the target set that lie under the permit's unit.
    async fn seats_under(
        &self,
        tx: &mut Tx,
        permit: &Permit<ShortfallRead>,
    ) -> Result<Vec<ChildRow>, ApiError> {
        let seats = self.seats.as_deref().unwrap_or_default();
        let narrowed = Narrowed {
            seats: Some(seats),
            under: None,
        };
        let mut rows = Vec::new();
        for level in SEATS {
            rows.extend(children_of(tx, permit, level, self.today, narrowed).await?);
        }
        // An assembly constituency under a member is no member itself.
        rows.retain(|row| seats.contains(&row.id));
        Ok(rows)
    }

    fn group(
        &self,
        indicator: &Indicator,
        children: &[ChildRow],
        targets: &[TargetRow],
        figures: &BTreeMap<UnitId, Pair>,
    ) -> ShortfallGroup {
        let mut items: Vec<ShortfallItem> = children
            .iter()
            .filter_map(|child| {
                let (target, set_by) = self.target_of(indicator, child, targets)?;
                let pair = figures.get(&child.id).copied().unwrap_or_default();
                Some(self.item(indicator, child, (target, set_by), &pair))
            })
            .collect();
        rank(&mut items, |item| (item.shortfall, item.unit.id));
        for (n, item) in items.iter_mut().enumerate() {
            item.rank = n.saturating_add(1);
        }
        let units = items.len();
        items.truncate(self.limit);
        ShortfallGroup {
            indicator: indicator.into(),
            units,
            items,
        }
    }

    fn item(
        &self,
        indicator: &Indicator,
        child: &ChildRow,
        (target, set_by): (f64, SetBy),
        pair: &Pair,
    ) -> ShortfallItem {
        let actual = indicator.value(&pair.now);
        let known = match indicator.source {
            Source::Cadre => pair.cadre_before,
            Source::Tasks => pair.tasks_before,
            Source::Visits | Source::SignOffs | Source::Audits | Source::Tours => true,
        };
        let before = indicator.value(&pair.before).filter(|_| known);
        ShortfallItem {
            rank: 0,
            unit: child.into(),
            target,
            target_of_unit: match set_by {
                SetBy::Unit(id) => Some(id),
                SetBy::Campaign(_) => None,
            },
            target_of_campaign: match set_by {
                SetBy::Unit(_) => None,
                SetBy::Campaign(id) => Some(id),
            },
            actual: actual.map(rounded),
            shortfall: actual.map(|actual| rounded(indicator.shortfall(target, actual))),
            missing: actual.map(|_| rounded(indicator.missing(target, &pair.now))),
            trend: actual
                .zip(before)
                .map(|(actual, before)| rounded(actual - before)),
            numerator: (indicator.numerator)(&pair.now),
            denominator: indicator.denominator.map(|denominator| denominator(&pair.now)),
            trace: self.trace(indicator, child.id),
            heaviest: Vec::new(),
        }
    }

    fn trace(&self, indicator: &Indicator, unit_id: UnitId) -> TraceView {
        let seats = self.seats.as_deref().unwrap_or_default();
        let tracer = Tracer {
            asked: self.asked,
            today: self.today,
            unit_id,
            is_sum: self.sums_seats() && !seats.contains(&unit_id),
        };
        TraceView {
            numerator: tracer.link(indicator.traces.0),
            denominator: indicator.traces.1.map(|trace| tracer.link(trace)),
        }
    }

    /// Adds the parts that weigh most in each unit that is shown.
    async fn explain(
        &self,
        tx: &mut Tx,
        permit: &Permit<ShortfallRead>,
        indicators: &[&'static Indicator],
        figured: &mut Figured,
        groups: &mut [ShortfallGroup],
    ) -> Result<(), ApiError> {
        let Some(level) = self.asked.weighed() else {
            return Ok(());
        };
        // Of a part only the sources are read by whose indicators its unit is shown.
        let mut shown: BTreeMap<UnitId, BTreeSet<Source>> = BTreeMap::new();
        for (indicator, group) in indicators.iter().zip(&*groups) {
            for item in &group.items {
                shown
                    .entry(item.unit.id)
                    .or_default()
                    .extend(sources_of(indicator));
            }
        }
        if shown.is_empty() {
            return Ok(());
        }
        let parts = match figured.parts.take() {
            Some(parts) => parts,
            None => {
                let under: Vec<UnitId> = shown.keys().copied().collect();
                let narrowed = Narrowed {
                    seats: self.seats.as_deref(),
                    under: Some(&under),
                };
                let parts = children_of(tx, permit, level, self.today, narrowed).await?;
                let mut by_source: Parts<'_> = BTreeMap::new();
                for part in &parts {
                    let above = part.unit_ids.iter().filter_map(|id| shown.get(id));
                    for source in above.flatten().collect::<BTreeSet<_>>() {
                        by_source.entry(*source).or_default().push(part);
                    }
                }
                let ranks = Ranks {
                    units: &[],
                    parts: &by_source,
                };
                let pairs = figures_of(tx, permit, ranks, &self.ask(indicators)).await?;
                figured.pairs.extend(pairs);
                parts
            }
        };
        let mut within: BTreeMap<UnitId, Vec<(UnitId, Figures)>> = BTreeMap::new();
        for part in &parts {
            let now = figured
                .pairs
                .get(&part.id)
                .map(|pair| pair.now)
                .unwrap_or_default();
            for id in part.unit_ids.iter().filter(|id| shown.contains_key(id)) {
                within.entry(*id).or_default().push((part.id, now));
            }
        }
        let named: BTreeMap<UnitId, &ChildRow> = parts.iter().map(|part| (part.id, part)).collect();
        for (indicator, group) in indicators.iter().zip(groups) {
            for item in &mut group.items {
                let parts = within.get(&item.unit.id).map(Vec::as_slice).unwrap_or_default();
                let weights = heaviest(indicator, item.target, parts);
                item.heaviest = weights
                    .into_iter()
                    .filter_map(|weight| {
                        Some(HeavyPart {
                            unit: RankedUnit::from(*named.get(&weight.unit_id)?),
                            missing: rounded(weight.missing),
                            trace: self.trace(indicator, weight.unit_id),
                        })
                    })
                    .collect();
            }
        }
        Ok(())
    }
}
