//! Where the rows behind a number are read.

use chrono::NaiveDate;

use super::rules::last_week;
use super::wire::Asked;
use crate::features::indicators::Trace;
use crate::platform::ids::UnitId;

/// A parameter of a link; left out where it has no value.
type Parameter = (&'static str, Option<String>);

/// Links to the rows of a unit, for the period, the campaign and the seats that the report was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Tracer<'a> {
    pub asked: &'a Asked,
    pub today: NaiveDate,
    pub unit_id: UnitId,
    /// Whether its figures are those of its seats in the target set.
    pub is_sum: bool,
}

impl Tracer<'_> {
    /// The link for one kind of rows.
    pub fn link(&self, trace: Trace) -> String {
        let campaign = ("campaign", self.asked.campaign.map(|id| id.to_string()));
        match trace {
            // Of what is flagged the queue shows what nobody has judged; the rest is found by its flags.
            Trace::Visits | Trace::Flagged => self.visits(None),
            Trace::Contacts => self.visits(Some(("outcome", "met"))),
            Trace::Verified => self.visits(Some(("review", "verified"))),
            Trace::Rejected => self.visits(Some(("review", "rejected"))),
            Trace::Booths => link("/v1/units", &[fixed("level", "booth"), self.under()]),
            Trace::Workers => link("/v1/workers", &[self.under(), fixed("active", "true")]),
            Trace::Committees => self.of_unit("committees/children", &[fixed("level", "booth"), campaign]),
            Trace::Vacancies => self.of_unit("vacancies", &[campaign]),
            Trace::Unconfirmed => self.of_unit("vacancies", &[fixed("unconfirmed", "true"), campaign]),
            Trace::SignOffs => {
                let week = last_week(self.today).format("%G-W%V").to_string();
                self.of_unit("sign-offs", &[fixed("week", &week)])
            }
            Trace::Audits => self.of_unit("audited-totals", &self.period()),
            Trace::Tasks => self.of_unit("task-counts", &[self.set()]),
            Trace::OverdueTasks => self.of_unit("overdue-tasks", &[self.set()]),
            Trace::StopsMade => self.stops(Some("true")),
            Trace::Stops => self.stops(None),
        }
    }

    /// Visits are listed by where they lie, not by sets of seats: for a sum of seats the totals of the set lead on.
    fn visits(&self, only: Option<(&'static str, &str)>) -> String {
        if self.is_sum {
            let [campaign, from, to] = self.period();
            return self.of_unit("totals", &[campaign, from, to, self.set()]);
        }
        let mut parameters = vec![self.under()];
        parameters.extend(only.map(|(name, value)| fixed(name, value)));
        parameters.extend(self.period());
        link("/v1/visits", &parameters)
    }

    fn stops(&self, held: Option<&str>) -> String {
        let last = self.asked.to.map_or(self.today, |day| day.min(self.today));
        let [_, from, _] = self.period();
        self.of_unit(
            "pravas/stops",
            &[
                ("held", held.map(str::to_owned)),
                from,
                fixed("to", &last.to_string()),
                self.set(),
            ],
        )
    }

    fn of_unit(&self, what: &str, parameters: &[Parameter]) -> String {
        link(&format!("/v1/units/{}/{what}", self.unit_id), parameters)
    }

    fn under(&self) -> Parameter {
        fixed("under", &self.unit_id.to_string())
    }

    fn set(&self) -> Parameter {
        ("target_set", self.asked.target_set.map(|id| id.to_string()))
    }

    fn period(&self) -> [Parameter; 3] {
        [
            ("campaign_id", self.asked.campaign.map(|id| id.to_string())),
            ("from", self.asked.from.map(|day| day.to_string())),
            ("to", self.asked.to.map(|day| day.to_string())),
        ]
    }
}

fn fixed(name: &'static str, value: &str) -> Parameter {
    (name, Some(value.to_owned()))
}

/// A path with the parameters that are given.
fn link(path: &str, parameters: &[Parameter]) -> String {
    let mut link = path.to_owned();
    let given = parameters
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    for (n, (name, value)) in given.enumerate() {
        let sign = if n == 0 { '?' } else { '&' };
        link.push_str(&format!("{sign}{name}={value}"));
    }
    link
}
