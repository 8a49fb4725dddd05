//! The indicators, each with its one formula, and how a value lies among its peers'.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::queries::{BackChecks, Checked, CountsRow};
use crate::platform::ids::UnitId;

/// Most booths that are asked about at once.
pub const MAX_BOOTHS: usize = 2_000;
/// Most days.
pub const MAX_DAYS: TimeDelta = TimeDelta::days(92);
/// How far back visits surely hold what indicators are made of: no campaign keeps it for less.
pub const OLDEST: TimeDelta = TimeDelta::days(365);
/// Fewer visits than this give no value.
pub const LEAST_SAMPLE: i64 = 20;
/// Fewer peers than this have no spread.
pub const LEAST_PEERS: usize = 5;
/// What makes a deviation in terms of the median absolute deviation comparable with one in terms of the standard deviation,
/// where values are normal (B. Iglewicz and D. C. Hoaglin, How to Detect and Handle Outliers, 1993, who call what lies
/// beyond 3.5 an outlier).
const NORMAL: f64 = 0.6745;

/// An indicator. Another one is another line in [`INDICATORS`] and the columns that it needs.
struct Indicator {
    name: &'static str,
    /// The value, and how many visits it comes from.
    of: fn(&CountsRow, Checked) -> (Option<f64>, i64),
    /// The least deviation that a score is reckoned with: where all peers have the same value, a trifle is no outlier.
    least_deviation: f64,
}

/// A hundredth, for shares; two seconds, for durations.
const SHARE: f64 = 0.01;
const SECONDS: f64 = 2.0;

const INDICATORS: [Indicator; 7] = [
    Indicator {
        name: "contact_rate",
        of: |counts, _| share(counts.contacts, counts.visits),
        least_deviation: SHARE,
    },
    Indicator {
        name: "median_duration_s",
        of: |counts, _| (counts.median_duration_s, counts.timed),
        least_deviation: SECONDS,
    },
    Indicator {
        name: "outside_hours",
        of: |counts, _| share(counts.outside_hours, counts.visits),
        least_deviation: SHARE,
    },
    Indicator {
        name: "no_gps",
        of: |counts, _| share(counts.no_gps, counts.at_door),
        least_deviation: SHARE,
    },
    Indicator {
        name: "repeated_answers",
        of: |counts, _| share(counts.commonest, counts.answered),
        least_deviation: SHARE,
    },
    Indicator {
        name: "flag_rate",
        of: |counts, _| share(counts.flagged, counts.visits),
        least_deviation: SHARE,
    },
    Indicator {
        name: "mismatch_rate",
        of: |_, checked| share(checked.mismatched, checked.compared),
        least_deviation: SHARE,
    },
];

fn share(part: i64, whole: i64) -> (Option<f64>, i64) {
    let number = |n: i64| f64::from(i32::try_from(n).unwrap_or(i32::MAX));
    let value = (whole > 0).then(|| number(part) / number(whole));
    (value, whole)
}

/// An indicator of somebody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    pub value: Option<f64>,
    pub sample: i64,
    pub spread: Option<Spread>,
    pub robust_z: Option<f64>,
}

/// How the peers' values lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub peers: usize,
    pub first_quartile: f64,
    pub median: f64,
    pub third_quartile: f64,
    /// The median of the absolute deviations from the median.
    pub mad: f64,
}

/// Where somebody stands in the list: how unlike he is, below zero so that everything ascends, in thousandths; the mandal,
/// and his number.
pub type Place = (i64, UnitId, i32);

/// A worker or booth with all indicators.
#[derive(Clone, Debug)]
pub struct Subject {
    pub counts: CountsRow,
    pub figures: BTreeMap<&'static str, Figure>,
}

impl Subject {
    /// The largest score, either way.
    #[must_use]
    pub fn unlike(&self) -> Option<f64> {
        let scores = self.figures.values().filter_map(|figure| figure.robust_z);
        scores.map(f64::abs).max_by(f64::total_cmp)
    }

    /// The most unlike first, those that cannot be told last.
    #[must_use]
    pub fn place(&self) -> Place {
        let unlike = self.unlike().map_or(1, |z| thousandths(z).saturating_neg());
        (unlike, self.counts.mandal_id, self.counts.subject_id)
    }
}

/// A score in thousandths, so that a cursor comes back exactly; a million and more are the same.
fn thousandths(z: f64) -> i64 {
    let text = format!("{:.0}", (z * 1000.0).clamp(0.0, 1e9));
    text.parse().unwrap_or(0)
}

/// Everybody's indicators, each beside those of his mandal, in the order of the list.
pub fn subjects(rows: Vec<CountsRow>, checks: &BackChecks) -> Vec<Subject> {
    let mut mandals: BTreeMap<UnitId, Vec<CountsRow>> = BTreeMap::new();
    for row in rows {
        mandals.entry(row.mandal_id).or_default().push(row);
    }
    let mut subjects: Vec<Subject> = mandals
        .into_values()
        .flat_map(|peers| compare(peers, checks))
        .collect();
    subjects.sort_by_key(Subject::place);
    subjects
}

/// The indicators of those who are each other's peers.
fn compare(peers: Vec<CountsRow>, checks: &BackChecks) -> Vec<Subject> {
    let mut figures: Vec<BTreeMap<&'static str, Figure>> = vec![BTreeMap::new(); peers.len()];
    for indicator in &INDICATORS {
        let values: Vec<(Option<f64>, i64)> = peers
            .iter()
            .map(|peer| {
                let key = (peer.mandal_id, peer.subject_id);
                let checked = checks.get(&key).copied().unwrap_or_default();
                let (value, sample) = (indicator.of)(peer, checked);
                (value.filter(|_| sample >= LEAST_SAMPLE), sample)
            })
            .collect();
        let spread = spread(values.iter().filter_map(|(value, _)| *value).collect());
        for (held, (value, sample)) in figures.iter_mut().zip(values) {
            let figure = Figure {
                value,
                sample,
                spread,
                robust_z: value
                    .zip(spread)
                    .map(|(value, spread)| score(value, &spread, indicator.least_deviation)),
            };
            held.insert(indicator.name, figure);
        }
    }
    let subjects = peers.into_iter().zip(figures);
    subjects
        .map(|(counts, figures)| Subject { counts, figures })
        .collect()
}

/// The modified z-score, to three decimals.
fn score(value: f64, spread: &Spread, least_deviation: f64) -> f64 {
    let z = NORMAL * (value - spread.median) / spread.mad.max(least_deviation);
    (z * 1000.0).round() / 1000.0
}

fn spread(mut values: Vec<f64>) -> Option<Spread> {
    if values.len() < LEAST_PEERS {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let median = quartile(&values, 2)?;
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
    deviations.sort_by(f64::total_cmp);
    Some(Spread {
        peers: values.len(),
        first_quartile: quartile(&values, 1)?,
        median,
        third_quartile: quartile(&values, 3)?,
        mad: quartile(&deviations, 2)?,
    })
}

/// The quartile of sorted values, between two neighbours by line (R. J. Hyndman and Y. Fan, 1996, type 7, as PostgreSQL's
/// `percentile_cont`).
fn quartile(sorted: &[f64], quarters: usize) -> Option<f64> {
    let place = sorted.len().checked_sub(1)?.saturating_mul(quarters);
    let low = *sorted.get(place / 4)?;
    let high = sorted.get(place / 4 + 1).copied().unwrap_or(low);
    let rest = u8::try_from(place % 4).map_or(0.0, f64::from) / 4.0;
    Some(rest.mul_add(high - low, low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours_by_line() {
        let values = [1.0, 2.0, 3.0, 4.0];
        let all: Vec<f64> = (1..=3).filter_map(|n| quartile(&values, n)).collect();
        assert_eq!(all, [1.75, 2.5, 3.25]);
        assert_eq!(quartile(&[5.0], 3), Some(5.0));
        assert_eq!(quartile(&[], 2), None);
    }

    #[test]
    fn four_peers_have_no_spread_and_five_have() {
        assert_eq!(spread(vec![1.0; 4]), None);
        let five = spread(vec![100.0, 2.0, 3.0, 4.0, 1.0]).unwrap();
        assert_eq!((five.median, five.mad, five.peers), (3.0, 1.0, 5));
    }

    #[test]
    fn one_far_from_his_peers_stands_out_and_a_trifle_does_not() {
        let five = spread(vec![1.0, 2.0, 3.0, 4.0, 100.0]).unwrap();
        assert_eq!(score(100.0, &five, 0.01), 65.427);
        assert_eq!(score(2.0, &five, 0.01), -0.675);
        let same = spread(vec![0.5; 5]).unwrap();
        assert_eq!(score(0.5, &same, SHARE), 0.0);
        assert_eq!(score(0.504, &same, SHARE), 0.27);
    }
}
