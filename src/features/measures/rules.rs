//! Which target counts for a unit, the order of shortfalls, what weighs most, and what has changed since a snapshot.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::queries::TargetRow;
use crate::features::indicators::{Figures, Indicator, number};
use crate::platform::ids::{CampaignId, UnitId};

/// Levels from the nearest to the farthest above: of targets set at several units above one, that of the first counts.
const NEAREST: [&str; 8] = [
    "booth",
    "shakti_kendra",
    "mandal",
    "assembly_constituency",
    "district",
    "parliamentary_constituency",
    "state",
    "nation",
];

/// The rank of a level in that order.
fn distance(level: &str) -> usize {
    NEAREST
        .iter()
        .position(|known| *known == level)
        .unwrap_or(NEAREST.len())
}

/// Who set the target that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    Unit(UnitId),
    Campaign(CampaignId),
}

/// A campaign's own targets.
#[derive(Clone, Debug)]
pub struct CampaignTargets {
    pub id: CampaignId,
    pub targets: BTreeMap<String, i64>,
}

/// The target for an indicator that counts for a unit with this lineage: the nearest above, that of the campaign before that
/// for all, the newest last; else the campaign's own. One without a value says that there is none.
#[must_use]
pub fn resolve(
    indicator: &str,
    lineage: &[UnitId],
    targets: &[TargetRow],
    campaign: Option<&CampaignTargets>,
) -> Option<(f64, SetBy)> {
    let ours = targets
        .iter()
        .filter(|target| target.indicator == indicator && lineage.contains(&target.unit_id));
    let nearest = ours.min_by_key(|target| {
        (
            distance(&target.unit_level),
            target.campaign_id.is_none(),
            std::cmp::Reverse((target.valid_from, target.id)),
        )
    });
    match nearest {
        Some(target) => target.value.map(|value| (value, SetBy::Unit(target.unit_id))),
        None => {
            let campaign = campaign?;
            let value = campaign.targets.get(indicator)?;
            Some((number(*value), SetBy::Campaign(campaign.id)))
        }
    }
}

/// A unit that weighs, and by how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weight {
    pub unit_id: UnitId,
    pub missing: f64,
}

/// The three that lack most.
#[must_use]
pub fn heaviest(indicator: &Indicator, target: f64, parts: &[(UnitId, Figures)]) -> Vec<Weight> {
    // A count's target is for the whole: of its parts, each weighs what it has.
    let target = if indicator.denominator.is_none() {
        0.0
    } else {
        target
    };
    let mut weights: Vec<Weight> = parts
        .iter()
        .map(|(unit_id, figures)| Weight {
            unit_id: *unit_id,
            missing: indicator.missing(target, figures),
        })
        .filter(|weight| weight.missing > 0.0)
        .collect();
    weights.sort_by(|a, b| b.missing.total_cmp(&a.missing).then(a.unit_id.cmp(&b.unit_id)));
    weights.truncate(3);
    weights
}

/// Sorts by shortfall, the largest first; what cannot be told last.
pub fn rank<T>(items: &mut [T], key: impl Fn(&T) -> (Option<f64>, UnitId)) {
    items.sort_by(|a, b| {
        let ((a, a_id), (b, b_id)) = (key(a), key(b));
        let order = match (a, b) {
            (Some(a), Some(b)) => b.total_cmp(&a),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => std::cmp::Ordering::Equal,
        };
        order.then(a_id.cmp(&b_id))
    });
}

/// Four decimals: enough to rank by, and the same on every machine.
#[must_use]
pub fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// The Monday of the last week that is over on a day.
#[must_use]
pub fn last_week(day: NaiveDate) -> NaiveDate {
    use chrono::{Datelike, TimeDelta};
    let since_monday = i64::from(day.weekday().num_days_from_monday());
    day.checked_sub_signed(TimeDelta::days(since_monday + 7))
        .unwrap_or(day)
}

/// Levels by whose units a shortfall of a level can be explained; the first is taken if none is asked for.
#[must_use]
pub const fn parts_of(level: &str) -> &'static [&'static str] {
    match level.as_bytes() {
        b"state" => &["parliamentary_constituency", "assembly_constituency", "mandal"],
        b"district" => &["mandal"],
        b"parliamentary_constituency" => &["assembly_constituency"],
        b"mandal" | b"shakti_kendra" | b"assembly_constituency" => &["booth"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(
        id: i32,
        unit: i32,
        level: &str,
        campaign: Option<i32>,
        value: Option<f64>,
        from: &str,
    ) -> TargetRow {
        TargetRow {
            id,
            unit_id: UnitId(unit),
            unit_level: level.to_owned(),
            campaign_id: campaign.map(CampaignId),
            level: "booth".to_owned(),
            indicator: "contact_rate".to_owned(),
            value,
            valid_from: from.parse().unwrap(),
            reason: "Why".to_owned(),
            set_by: None,
            set_at: "2026-11-23T00:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn the_nearest_target_above_counts_then_the_campaigns_then_the_newest() {
        let lineage = [1, 2, 5, 9].map(UnitId);
        let campaign = CampaignTargets {
            id: CampaignId(7),
            targets: [("contact_rate".to_owned(), 11)].into(),
        };
        let found = |targets: &[TargetRow]| resolve("contact_rate", &lineage, targets, Some(&campaign));
        assert_eq!(found(&[]), Some((11.0, SetBy::Campaign(CampaignId(7)))));
        let nation = target(1, 1, "nation", None, Some(20.0), "2026-01-01");
        let state = target(2, 2, "state", None, Some(30.0), "2026-01-01");
        let of_campaign = target(3, 2, "state", Some(7), Some(40.0), "2025-01-01");
        let newer = target(4, 2, "state", Some(7), Some(50.0), "2026-01-01");
        let elsewhere = target(5, 3, "mandal", None, Some(60.0), "2026-01-01");
        let state_of = |value| Some((value, SetBy::Unit(UnitId(2))));
        assert_eq!(
            found(&[nation.clone(), elsewhere]),
            Some((20.0, SetBy::Unit(UnitId(1))))
        );
        assert_eq!(found(&[nation.clone(), state.clone()]), state_of(30.0));
        assert_eq!(found(&[state.clone(), of_campaign.clone()]), state_of(40.0));
        assert_eq!(found(&[state, of_campaign, newer]), state_of(50.0));
        let ended = target(6, 2, "state", None, None, "2026-02-01");
        assert_eq!(found(&[nation, ended]), None);
    }

    #[test]
    fn what_lacks_most_weighs_most_and_what_lacks_nothing_nothing() {
        let indicator = crate::features::indicators::find("contact_rate").unwrap();
        let part = |id: i32, visits, met| {
            let figures = Figures {
                visits,
                met,
                ..Figures::default()
            };
            (UnitId(id), figures)
        };
        let parts = [
            part(1, 10, 0),
            part(2, 1000, 400),
            part(3, 10, 9),
            part(4, 100, 40),
            part(5, 4, 0),
        ];
        let found = heaviest(indicator, 50.0, &parts);
        let ids: Vec<i32> = found.iter().map(|weight| weight.unit_id.0).collect();
        assert_eq!(ids, [2, 4, 1]);
    }

    #[test]
    fn the_last_week_that_is_over_ends_before_the_day() {
        let week = |day: &str| last_week(day.parse().unwrap()).to_string();
        assert_eq!(week("2026-11-23"), "2026-11-16");
        assert_eq!(week("2026-11-22"), "2026-11-09");
    }

    #[test]
    fn the_largest_shortfall_comes_first_and_the_unknown_last() {
        let mut items = vec![(None, 1), (Some(1.0), 2), (Some(3.0), 4), (Some(3.0), 3)];
        rank(&mut items, |(value, id)| (*value, UnitId(*id)));
        assert_eq!(items.iter().map(|item| item.1).collect::<Vec<_>>(), [3, 4, 2, 1]);
    }
}
