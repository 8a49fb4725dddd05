//! The catalogue: every indicator, defined once.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What is kept of a unit, that indicators are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    pub visits: i64,
    pub met: i64,
    pub doors_reached: i64,
    pub flagged: i64,
    pub verified: i64,
    pub rejected: i64,
    pub booths: i64,
    pub doors: i64,
    pub workers: i64,
    pub posts: i64,
    pub held: i64,
    pub confirmed: i64,
    pub committees: i64,
    pub complete: i64,
    pub mandals: i64,
    pub signed: i64,
    /// Back-checks that found something out, and how many of them refuted the visit.
    pub checked: i64,
    pub mismatched: i64,
    /// Visits that the draws behind these checks could have drawn, and how many of them the checks would refute.
    pub audit_frame: f64,
    pub audit_refuted: f64,
    /// Units that have a task, summed over the tasks.
    pub tasks_assigned: i64,
    pub tasks_done: i64,
    pub tasks_overdue: i64,
    pub stops_planned: i64,
    pub stops_made: i64,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.visits += other.visits;
        self.met += other.met;
        self.doors_reached += other.doors_reached;
        self.flagged += other.flagged;
        self.verified += other.verified;
        self.rejected += other.rejected;
        self.booths += other.booths;
        self.doors += other.doors;
        self.workers += other.workers;
        self.posts += other.posts;
        self.held += other.held;
        self.confirmed += other.confirmed;
        self.committees += other.committees;
        self.complete += other.complete;
        self.mandals += other.mandals;
        self.signed += other.signed;
        self.checked += other.checked;
        self.mismatched += other.mismatched;
        self.audit_frame += other.audit_frame;
        self.audit_refuted += other.audit_refuted;
        self.tasks_assigned += other.tasks_assigned;
        self.tasks_done += other.tasks_done;
        self.tasks_overdue += other.tasks_overdue;
        self.stops_planned += other.stops_planned;
        self.stops_made += other.stops_made;
    }
}

/// Whether more of it is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    HigherIsBetter,
    LowerIsBetter,
}

/// In what it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Of a hundred.
    Percent,
    /// For each booth.
    PerBooth,
    /// How many.
    Count,
}

impl Measure {
    /// The most that can be asked for.
    #[must_use]
    pub const fn most(self) -> f64 {
        match self {
            Self::Percent => 100.0,
            Self::PerBooth | Self::Count => 1e9,
        }
    }
}

/// Where its figures come from, which says where they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Visits,
    Cadre,
    SignOffs,
    Audits,
    Tasks,
    Tours,
}

/// Rows behind a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    Visits,
    Contacts,
    Flagged,
    Verified,
    Rejected,
    Booths,
    Workers,
    Committees,
    Vacancies,
    Unconfirmed,
    SignOffs,
    Audits,
    Tasks,
    OverdueTasks,
    StopsMade,
    Stops,
}

/// What a numerator and a denominator are estimated to be of the whole.
pub type Estimate = fn(&Figures) -> (f64, f64);

/// One indicator.
#[derive(Clone, Copy, Debug)]
pub struct Indicator {
    pub id: &'static str,
    pub name: &'static str,
    /// In words, with the names that the figures have elsewhere.
    pub formula: &'static str,
    pub measure: Measure,
    pub direction: Direction,
    pub source: Source,
    /// Also sources that its denominator needs.
    pub needs_cadre: bool,
    pub levels: &'static [&'static str],
    pub numerator: fn(&Figures) -> i64,
    /// `None` for a plain count.
    pub denominator: Option<fn(&Figures) -> i64>,
    /// Where samples stand for more than themselves: what the numerator and the denominator are estimated to be of the whole;
    /// the value is the quotient of these.
    pub estimated: Option<Estimate>,
    pub traces: (Trace, Option<Trace>),
}

const EVERY: &[&str] = &[
    "state",
    "parliamentary_constituency",
    "assembly_constituency",
    "district",
    "mandal",
    "shakti_kendra",
    "booth",
];
const WITH_MANDALS: &[&str] = &["state", "district", "mandal"];

use Direction::{HigherIsBetter, LowerIsBetter};
use Measure::{Count, PerBooth, Percent};

/// Every indicator. The order is that of reports.
pub const CATALOGUE: &[Indicator] = &[
    Indicator {
        id: "visits_per_booth",
        name: "Visits per booth",
        formula: "visits / booths",
        measure: PerBooth,
        direction: HigherIsBetter,
        source: Source::Visits,
        needs_cadre: true,
        levels: EVERY,
        numerator: |f| f.visits,
        denominator: Some(|f| f.booths),
        estimated: None,
        traces: (Trace::Visits, Some(Trace::Booths)),
    },
    Indicator {
        id: "doors_reached_share",
        name: "Doors reached",
        formula: "100 x doors_reached / doors of the booths, where they are known",
        measure: Percent,
        direction: HigherIsBetter,
        source: Source::Visits,
        needs_cadre: true,
        levels: EVERY,
        numerator: |f| f.doors_reached,
        denominator: Some(|f| f.doors),
        estimated: None,
        traces: (Trace::Contacts, Some(Trace::Booths)),
    },
    Indicator {
        id: "contact_rate",
        name: "Contact rate",
        formula: "100 x met / visits",
        measure: Percent,
        direction: HigherIsBetter,
        source: Source::Visits,
        needs_cadre: false,
        levels: EVERY,
        numerator: |f| f.met,
        denominator: Some(|f| f.visits),
        estimated: None,
        traces: (Trace::Contacts, Some(Trace::Visits)),
    },
    Indicator {
        id: "verified_share",
        name: "Visits verified",
        formula: "100 x verified / visits",
        measure: Percent,
        direction: HigherIsBetter,
        source: Source::Visits,
        needs_cadre: false,
        levels: EVERY,
        numerator: |f| f.verified,
        denominator: Some(|f| f.visits),
        estimated: None,
        traces: (Trace::Verified, Some(Trace::Visits)),
    },
    Indicator {
        id: "flagged_share",
        name: "Visits flagged",
        formula: "100 x flagged / visits",
        measure: Percent,
        direction: LowerIsBetter,
        source: Source::Visits,
        needs_cadre: false,
        levels: EVERY,
        numerator: |f| f.flagged,
        denominator: Some(|f| f.visits),
        estimated: None,
        traces: (Trace::Flagged, Some(Trace::Visits)),
    },
    Indicator {
        id: "rejected_share",
        name: "Visits rejected",
        formula: "100 x rejected / (visits + rejected)",
        measure: Percent,
        direction: LowerIsBetter,
        source: Source::Visits,
        needs_cadre: false,
        levels: EVERY,
        numerator: |f| f.rejected,
        denominator: Some(|f| f.visits + f.rejected),
        estimated: None,
        traces: (Trace::Rejected, Some(Trace::Visits)),
    },
    Indicator {
        id: "full_committees_share",
        name: "Booths with a full committee",
        formula: "100 x booths all of whose posts are held and confirmed / booths for which the rule wants a committee",
        measure: Percent,
        direction: HigherIsBetter,
        source: Source::Cadre,
        needs_cadre: true,
        levels: EVERY,
        numerator: |f| f.complete,
        denominator: Some(|f| f.committees),
        estimated: None,
        traces: (Trace::Committees, Some(Trace::Committees)),
    },
    Indicator {
        id: "posts_vacant",
        name: "Posts vacant",
        formula: "posts that the rule of the committees wants and nobody holds",
        measure: Count,
        direction: LowerIsBetter,
        source: Source::Cadre,
        needs_cadre: true,
        levels: EVERY,
        numerator: |f| f.posts - f.held,
        denominator: None,
        estimated: None,
        traces: (Trace::Vacancies, None),
    },
    Indicator {
        id: "posts_confirmed_share",
        name: "Posts confirmed",
        formula: "100 x posts that their holders confirmed / posts that the rule of the committees wants",
        measure: Percent,
        direction: HigherIsBetter,
        source: Source::Cadre,
        needs_cadre: true,
        levels: EVERY,
        numerator: |f| f.confirmed,
        denominator: Some(|f| f.posts),
        estimated: None,
        traces: (Trace::Unconfirmed, Some(Trace::Committees)),
    },
    Indicator {
        id: "active_workers_per_booth",
        name: "Active workers per booth",
        formula: "active workers on the rosters of the unit and of those below / booths",
        measure: PerBooth,
        direction: HigherIsBetter,
        source: Source::Cadre,
        needs_cadre: true,
        levels: EVERY,
        numerator: |f| f.workers,
        denominator: Some(|f| f.booths),
        estimated: None,
        traces: (Trace::Workers, Some(Trace::Booths)),
    },
    Indicator {
        id: "sign_offs_share",
        name: "Weeks signed off",
        formula: "100 x mandals that signed the last week that is over / mandals",
        measure: Percent,
        direction: HigherIsBetter,
        source: Source::SignOffs,
        needs_cadre: false,
        levels: WITH_MANDALS,
        numerator: |f| f.signed,
        denominator: Some(|f| f.mandals),
        estimated: None,
        traces: (Trace::SignOffs, Some(Trace::SignOffs)),
    },
    Indicator {
        id: "audited_error_rate",
        name: "Audited error rate",
        formula: "100 x mismatched / checked of back-checks that found something out, each draw weighed by the visits that it could have drawn",
        measure: Percent,
        direction: LowerIsBetter,
        source: Source::Audits,
        needs_cadre: false,
        levels: EVERY,
        numerator: |f| f.mismatched,
        denominator: Some(|f| f.checked),
        estimated: Some(|f| (f.audit_refuted, f.audit_frame)),
        traces: (Trace::Audits, Some(Trace::Audits)),
    },
    Indicator {
        id: "tasks_done_share",
        name: "Tasks done",
        formula: "100 x done / assigned, over all tasks that stand and all units at and under the unit that have them",
        measure: Percent,
        direction: HigherIsBetter,
        source: Source::Tasks,
        needs_cadre: false,
        levels: EVERY,
        numerator: |f| f.tasks_done,
        denominator: Some(|f| f.tasks_assigned),
        estimated: None,
        traces: (Trace::Tasks, Some(Trace::Tasks)),
    },
    Indicator {
        id: "tasks_overdue",
        name: "Tasks overdue",
        formula: "units at and under the unit that have not done a task by its due day, summed over the tasks",
        measure: Count,
        direction: LowerIsBetter,
        source: Source::Tasks,
        needs_cadre: false,
        levels: EVERY,
        numerator: |f| f.tasks_overdue,
        denominator: None,
        estimated: None,
        traces: (Trace::OverdueTasks, None),
    },
    Indicator {
        id: "stops_made",
        name: "Stops made",
        formula: "stops of leaders' tours up to today that were held, as reported",
        measure: Count,
        direction: HigherIsBetter,
        source: Source::Tours,
        needs_cadre: false,
        levels: EVERY,
        numerator: |f| f.stops_made,
        denominator: None,
        estimated: None,
        traces: (Trace::StopsMade, None),
    },
    Indicator {
        id: "stops_made_share",
        name: "Planned stops made",
        formula: "100 x stops held, as reported / stops planned up to today",
        measure: Percent,
        direction: HigherIsBetter,
        source: Source::Tours,
        needs_cadre: false,
        levels: EVERY,
        numerator: |f| f.stops_made,
        denominator: Some(|f| f.stops_planned),
        estimated: None,
        traces: (Trace::StopsMade, Some(Trace::Stops)),
    },
];

/// The indicator of this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Indicator> {
    CATALOGUE.iter().find(|indicator| indicator.id == id)
}

/// A count as a number to reckon with; counts are far below where a double loses whole numbers.
#[must_use]
pub fn number(count: i64) -> f64 {
    // In two halves, since no conversion of a whole i64 is without loss.
    let high = i32::try_from(count.div_euclid(1 << 24)).unwrap_or(i32::MAX);
    let low = i32::try_from(count.rem_euclid(1 << 24)).unwrap_or_default();
    f64::from(high) * f64::from(1 << 24) + f64::from(low)
}

impl Indicator {
    /// What a unit of its measure is made of: 100 for percent.
    #[must_use]
    pub const fn scale(&self) -> f64 {
        match self.measure {
            Measure::Percent => 100.0,
            Measure::PerBooth | Measure::Count => 1.0,
        }
    }

    /// Its value; `None` where there is nothing to divide by.
    #[must_use]
    pub fn value(&self, figures: &Figures) -> Option<f64> {
        let (numerator, denominator) = self.parts(figures);
        match denominator {
            None => Some(numerator),
            Some(denominator) => (denominator > 0.0).then(|| self.scale() * numerator / denominator),
        }
    }

    /// What is divided by what.
    fn parts(&self, figures: &Figures) -> (f64, Option<f64>) {
        if let Some(estimated) = self.estimated {
            let (numerator, denominator) = estimated(figures);
            return (numerator, Some(denominator));
        }
        let denominator = self.denominator.map(|denominator| number(denominator(figures)));
        (number((self.numerator)(figures)), denominator)
    }

    /// How far a value falls short of a target: positive where it does, negative where it exceeds it.
    #[must_use]
    pub fn shortfall(&self, target: f64, value: f64) -> f64 {
        match self.direction {
            Direction::HigherIsBetter => target - value,
            Direction::LowerIsBetter => value - target,
        }
    }

    /// How many (visits, doors, committees, …) are missing for the target, or are too many: what a unit weighs.
    #[must_use]
    pub fn missing(&self, target: f64, figures: &Figures) -> f64 {
        let (numerator, denominator) = self.parts(figures);
        let wanted = match denominator {
            None => target,
            Some(denominator) => target * denominator / self.scale(),
        };
        self.shortfall(wanted, numerator)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_indicator_is_defined_once_and_whole() {
        let ids: BTreeSet<_> = CATALOGUE.iter().map(|indicator| indicator.id).collect();
        assert_eq!(ids.len(), CATALOGUE.len());
        for indicator in CATALOGUE {
            assert!(
                !indicator.formula.is_empty() && !indicator.levels.is_empty(),
                "{}",
                indicator.id
            );
            assert_eq!(
                indicator.denominator.is_none(),
                indicator.measure == Measure::Count,
                "{}",
                indicator.id
            );
            assert_eq!(
                indicator.denominator.is_some(),
                indicator.traces.1.is_some(),
                "{}",
                indicator.id
            );
        }
    }

    #[test]
    fn a_value_needs_something_to_divide_by() {
        let figures = Figures {
            visits: 40,
            met: 10,
            posts: 9,
            held: 4,
            ..Figures::default()
        };
        let value = |id: &str| find(id).unwrap().value(&figures);
        assert_eq!(value("contact_rate"), Some(25.0));
        assert_eq!(value("posts_vacant"), Some(5.0));
        assert_eq!(value("doors_reached_share"), None);
    }

    #[test]
    fn falling_short_is_positive_whichever_way_is_better() {
        let (contact, vacant) = (find("contact_rate").unwrap(), find("posts_vacant").unwrap());
        let figures = Figures {
            visits: 40,
            met: 10,
            posts: 9,
            held: 4,
            ..Figures::default()
        };
        assert!((contact.shortfall(50.0, 25.0) - 25.0).abs() < 1e-9);
        assert!((contact.missing(50.0, &figures) - 10.0).abs() < 1e-9);
        assert!((vacant.shortfall(2.0, 5.0) - 3.0).abs() < 1e-9);
        assert!((vacant.missing(2.0, &figures) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn a_rate_of_samples_is_told_by_what_they_stand_for() {
        let audited = find("audited_error_rate").unwrap();
        // 1 of 10 checks of 900 visits, 5 of 10 of 100.
        let figures = Figures {
            checked: 20,
            mismatched: 6,
            audit_frame: 1000.0,
            audit_refuted: 90.0 + 50.0,
            ..Figures::default()
        };
        assert!((audited.value(&figures).unwrap() - 14.0).abs() < 1e-9);
        // 4 % of a thousand are too many, in visits.
        assert!((audited.missing(10.0, &figures) - 40.0).abs() < 1e-9);
        assert_eq!(audited.value(&Figures::default()), None);
    }

    #[test]
    fn counts_are_reckoned_with_exactly() {
        for count in [0, 1, -1, 16_777_215, 16_777_216, 970_000_000, -5_000_000_000] {
            assert_eq!(format!("{}", number(count)), count.to_string());
        }
    }
}
