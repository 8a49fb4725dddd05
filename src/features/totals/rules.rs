//! Summing days into periods, and comparing a recount with the ledger.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate, TimeDelta};

use super::queries::DayRow;
use super::wire::{DifferenceView, Interval};
use crate::journal::Counters;
use crate::platform::error::ApiError;
use crate::platform::ids::CampaignId;

/// Differences shown at most.
const SHOWN: usize = 100;

/// The order of a list of children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortBy {
    pub column: &'static str,
    pub descending: bool,
}

/// What children can be sorted by.
const SORTS: [&str; 6] = ["code", "visits", "met", "people_met", "doors_reached", "coverage"];

impl SortBy {
    /// Reads `visits` or `-visits`; by code if nothing is said.
    ///
    /// # Errors
    /// 422 for anything else; codes are sorted upwards alone.
    pub fn parse(text: Option<&str>) -> Result<Self, ApiError> {
        let text = text.unwrap_or("code");
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        match SORTS.iter().find(|known| **known == name) {
            Some(column) if !(descending && *column == "code") => Ok(Self { column, descending }),
            _ => Err(ApiError::field(
                "/sort",
                "unknown_value",
                format!(
                    "must be one of {}; - before a figure sorts the largest first",
                    SORTS.join(", ")
                ),
            )),
        }
    }
}

/// The first day of the period that a day falls in.
pub fn period_of(day: NaiveDate, interval: Interval) -> NaiveDate {
    match interval {
        Interval::Day => day,
        Interval::Week => {
            let since_monday = i64::from(day.weekday().num_days_from_monday());
            day.checked_sub_signed(TimeDelta::days(since_monday))
                .unwrap_or(day)
        }
        Interval::Month => day.with_day(1).unwrap_or(day),
    }
}

/// The sum of all rows.
pub fn sum(rows: &[DayRow]) -> Counters {
    let mut sum = Counters::default();
    for row in rows {
        sum += row.counters;
    }
    sum
}

/// The rows by period, in order of time; periods with nothing in them are left out.
pub fn series(rows: &[DayRow], interval: Interval) -> Vec<(NaiveDate, Counters)> {
    let mut periods: BTreeMap<NaiveDate, Counters> = BTreeMap::new();
    for row in rows {
        *periods.entry(period_of(row.day, interval)).or_default() += row.counters;
    }
    periods.retain(|_, counters| !counters.is_zero());
    periods.into_iter().collect()
}

/// How much of the doors was reached; `None` where it is not known how many there are.
pub fn coverage(doors_reached: i64, doors: Option<i32>) -> Option<f64> {
    let reached = f64::from(i32::try_from(doors_reached).ok()?);
    doors
        .filter(|doors| *doors > 0)
        .map(|doors| reached / f64::from(doors))
}

/// The figures that differ, by campaign and day.
pub fn differences(live: &[DayRow], recount: &[DayRow]) -> Vec<DifferenceView> {
    let mut pairs: BTreeMap<(CampaignId, NaiveDate), (Counters, Counters)> = BTreeMap::new();
    for row in live {
        pairs.entry((row.campaign_id, row.day)).or_default().0 += row.counters;
    }
    for row in recount {
        pairs.entry((row.campaign_id, row.day)).or_default().1 += row.counters;
    }
    let all = pairs
        .into_iter()
        .flat_map(|((campaign_id, day), (live, recount))| {
            let figures = live.named().into_iter().zip(recount.named());
            figures.filter(|((_, live), (_, recount))| live != recount).map(
                move |((figure, live), (_, recount))| DifferenceView {
                    campaign_id,
                    day,
                    figure: figure.to_owned(),
                    live,
                    recount,
                },
            )
        });
    all.take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(day: &str, visits: i64) -> DayRow {
        DayRow {
            campaign_id: CampaignId(1),
            day: day.parse().unwrap(),
            counters: Counters {
                visits,
                ..Counters::default()
            },
        }
    }

    #[test]
    fn days_are_summed_into_weeks_from_monday_and_months() {
        // 2026-11-23 is a Monday.
        let rows = [row("2026-11-22", 1), row("2026-11-23", 2), row("2026-12-01", 4)];
        let visits = |interval| -> Vec<(String, i64)> {
            series(&rows, interval)
                .into_iter()
                .map(|(day, c)| (day.to_string(), c.visits))
                .collect()
        };
        let expect = |pairs: &[(&str, i64)]| -> Vec<(String, i64)> {
            pairs.iter().map(|(day, n)| ((*day).to_owned(), *n)).collect()
        };
        assert_eq!(
            visits(Interval::Week),
            expect(&[("2026-11-16", 1), ("2026-11-23", 2), ("2026-11-30", 4)])
        );
        assert_eq!(
            visits(Interval::Month),
            expect(&[("2026-11-01", 3), ("2026-12-01", 4)])
        );
        assert_eq!(sum(&rows).visits, 7);
    }

    #[test]
    fn a_figure_that_differs_is_named() {
        let differences = differences(
            &[row("2026-11-22", 1)],
            &[row("2026-11-22", 2), row("2026-11-23", 1)],
        );
        assert_eq!(differences.len(), 2);
        assert_eq!((differences[0].live, differences[0].recount), (1, 2));
    }

    #[test]
    fn coverage_needs_doors() {
        assert_eq!(coverage(25, Some(100)), Some(0.25));
        assert_eq!(coverage(25, Some(0)), None);
        assert_eq!(coverage(25, None), None);
    }
}
