use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::queries::{ChildRow, UnitRow};
use super::rules::coverage;
use crate::journal::Counters;
use crate::platform::ids::{CampaignId, UnitId};
use crate::platform::validate::{FieldErrors, Validate};

/// How a series is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    Day,
    /// From Monday (ISO 8601).
    Week,
    Month,
}

/// By which trees visits are summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hierarchy {
    /// As they were on the day of each visit: the past never changes.
    #[default]
    Dated,
    /// As they are today: the figures of the booths that lie under the unit now.
    Current,
}

/// Which figures.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TotalsQuery {
    /// One campaign; all of them if not given.
    #[param(value_type = Option<i32>, example = 1)]
    pub campaign_id: Option<CampaignId>,
    /// First day of the visits; since ever if not given.
    #[param(example = "2026-11-01")]
    pub from: Option<NaiveDate>,
    /// Last day of the visits; for ever if not given.
    #[param(example = "2026-11-30")]
    pub to: Option<NaiveDate>,
    /// `day`, `week` or `month`: adds a series.
    #[param(inline)]
    pub interval: Option<Interval>,
    /// `dated` (the default) or `current`.
    #[param(inline)]
    pub hierarchy: Option<Hierarchy>,
    /// Only the constituencies of this target set that lie under the unit, as the set is today.
    #[param(example = 1)]
    pub target_set: Option<i32>,
}

/// Which figures of the units under one.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ChildrenQuery {
    /// Units of this level under the unit; those straight under it if not given.
    #[param(example = "booth")]
    pub level: Option<String>,
    /// Only units that are constituencies of this target set, as it is today, or lie under one.
    #[param(example = 1)]
    pub target_set: Option<i32>,
    /// One of `code`, `visits`, `met`, `people_met`, `doors_reached`, `coverage`; with `-` before it the largest first.
    #[param(example = "-visits")]
    pub sort: Option<String>,
    /// One campaign; all of them if not given.
    #[param(value_type = Option<i32>, example = 1)]
    pub campaign_id: Option<CampaignId>,
    /// First day of the visits; since ever if not given.
    pub from: Option<NaiveDate>,
    /// Last day of the visits; for ever if not given.
    pub to: Option<NaiveDate>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

/// Which figures are recounted.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CheckQuery {
    /// One campaign; all of them if not given.
    #[param(value_type = Option<i32>, example = 1)]
    pub campaign_id: Option<CampaignId>,
    /// First day of the visits; since ever if not given.
    pub from: Option<NaiveDate>,
    /// Last day of the visits; for ever if not given.
    pub to: Option<NaiveDate>,
}

fn check_period(from: Option<NaiveDate>, to: Option<NaiveDate>, errors: &mut FieldErrors) {
    for (pointer, day) in [("/from", from), ("/to", to)] {
        if let Some(day) = day {
            errors.day(pointer, day);
        }
    }
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        errors.add("/to", "before_from", "must not be before `from`");
    }
}

impl Validate for TotalsQuery {
    fn validate(&self, errors: &mut FieldErrors) {
        check_period(self.from, self.to, errors);
        if self.target_set.is_some() && self.hierarchy == Some(Hierarchy::Current) {
            errors.add(
                "/target_set",
                "contradiction",
                "seats are summed as they were on the day of each visit; leave `hierarchy` out",
            );
        }
    }
}

impl Validate for ChildrenQuery {
    fn validate(&self, errors: &mut FieldErrors) {
        check_period(self.from, self.to, errors);
        if let Some(level) = &self.level
            && !LEVELS.contains(&level.as_str())
        {
            errors.add(
                "/level",
                "unknown_value",
                format!("must be one of {}", LEVELS.join(", ")),
            );
        }
    }
}

impl Validate for CheckQuery {
    fn validate(&self, errors: &mut FieldErrors) {
        check_period(self.from, self.to, errors);
    }
}

/// Levels below the nation.
const LEVELS: [&str; 7] = [
    "state",
    "district",
    "mandal",
    "shakti_kendra",
    "booth",
    "parliamentary_constituency",
    "assembly_constituency",
];

/// How often each support score was recorded. A service sees `null` where it is one to four, and in every part of a
/// series in one part of which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SupportView {
    #[serde(rename = "1")]
    pub one: Option<i64>,
    #[serde(rename = "2")]
    pub two: Option<i64>,
    #[serde(rename = "3")]
    pub three: Option<i64>,
    #[serde(rename = "4")]
    pub four: Option<i64>,
    #[serde(rename = "5")]
    pub five: Option<i64>,
}

/// The figures. Voided visits are in none but `voided`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CountersView {
    pub visits: i64,
    pub met: i64,
    pub not_home: i64,
    pub refused: i64,
    pub moved: i64,
    pub locked: i64,
    pub inaccessible: i64,
    pub people_met: i64,
    /// Households with a contact, each counted once a campaign, on the day of its earliest contact.
    pub doors_reached: i64,
    pub support: SupportView,
    pub flagged: i64,
    pub verified: i64,
    pub rejected: i64,
    /// Visits taken back.
    pub voided: i64,
}

impl SupportView {
    fn cells(&mut self) -> [&mut Option<i64>; 5] {
        [
            &mut self.one,
            &mut self.two,
            &mut self.three,
            &mut self.four,
            &mut self.five,
        ]
    }
}

/// Whether a cell is so small that it speaks of single people.
fn is_small(cell: Option<i64>) -> bool {
    cell.is_some_and(|count| (1..5).contains(&count))
}

impl CountersView {
    /// Without cells so small that they speak of single people, for other programs.
    pub fn hide_small_cells(&mut self) {
        for cell in self.support.cells() {
            if is_small(*cell) {
                *cell = None;
            }
        }
    }
}

impl TotalsView {
    /// The same for the figures and their series. A score that is small in one part of the series is hidden in all of
    /// them: the whole less the other parts would tell it.
    pub fn hide_small_cells(&mut self) {
        let mut small = [false; 5];
        for span in &mut self.series {
            for (small, cell) in small.iter_mut().zip(span.counters.support.cells()) {
                *small |= is_small(*cell);
            }
        }
        for span in &mut self.series {
            for (small, cell) in small.iter().zip(span.counters.support.cells()) {
                if *small {
                    *cell = None;
                }
            }
        }
        self.totals.hide_small_cells();
    }
}

impl From<Counters> for CountersView {
    fn from(counters: Counters) -> Self {
        Self {
            visits: counters.visits,
            met: counters.met,
            not_home: counters.not_home,
            refused: counters.refused,
            moved: counters.moved,
            locked: counters.locked,
            inaccessible: counters.inaccessible,
            people_met: counters.people_met,
            doors_reached: counters.doors_reached,
            support: SupportView {
                one: Some(counters.support_1),
                two: Some(counters.support_2),
                three: Some(counters.support_3),
                four: Some(counters.support_4),
                five: Some(counters.support_5),
            },
            flagged: counters.flagged,
            verified: counters.verified,
            rejected: counters.rejected,
            voided: counters.voided,
        }
    }
}

/// The unit that the figures are of.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct TotalsUnitView {
    #[schema(value_type = i32, example = 2)]
    pub id: UnitId,
    #[schema(example = "S24")]
    pub code: String,
    #[schema(example = "state")]
    pub level: String,
    #[schema(example = "Uttar Pradesh")]
    pub name: String,
    pub name_local: Option<String>,
    pub electors: Option<i32>,
    pub doors: Option<i32>,
}

impl From<UnitRow> for TotalsUnitView {
    fn from(row: UnitRow) -> Self {
        Self {
            id: row.id,
            code: row.code,
            level: row.level,
            name: row.name,
            name_local: row.name_local,
            electors: row.electors,
            doors: row.doors,
        }
    }
}

/// How far the ledgers are behind. The figures are exact all the same: they hold what is not yet posted.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct PostedView {
    /// Journal entries of the unit's states not yet numbered.
    pub unposted_entries: i64,
}

/// The figures of a part of the period.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct SeriesView {
    /// First day of the day, week or month.
    pub from: NaiveDate,
    #[serde(flatten)]
    pub counters: CountersView,
}

/// What a unit has.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct TotalsView {
    pub unit: TotalsUnitView,
    /// As asked; null: since ever.
    pub from: Option<NaiveDate>,
    /// As asked; null: for ever.
    pub to: Option<NaiveDate>,
    #[schema(inline)]
    pub hierarchy: Hierarchy,
    pub posted: PostedView,
    pub totals: CountersView,
    /// In order of time, if an interval was asked for; days, weeks or months with nothing in them are left out.
    pub series: Vec<SeriesView>,
}

/// What a unit under it has.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ChildView {
    pub unit: TotalsUnitView,
    pub totals: CountersView,
    /// `doors_reached` / `doors`; null where the doors are unknown.
    #[schema(example = 0.25)]
    pub coverage: Option<f64>,
}

impl From<ChildRow> for ChildView {
    fn from(row: ChildRow) -> Self {
        Self {
            coverage: coverage(row.counters.doors_reached, row.unit.doors),
            unit: row.unit.into(),
            totals: row.counters.into(),
        }
    }
}

/// A figure that differs between the ledger and the recount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DifferenceView {
    #[schema(value_type = i32)]
    pub campaign_id: CampaignId,
    pub day: NaiveDate,
    #[schema(example = "visits")]
    pub figure: String,
    pub live: i64,
    pub recount: i64,
}

/// The recount of a unit's figures from its visits, beside what the ledgers say, in one snapshot.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CheckView {
    pub unit: TotalsUnitView,
    /// Whether every figure of every campaign and day is the same.
    pub equal: bool,
    pub live: CountersView,
    pub recount: CountersView,
    /// The first 100 figures that differ; none, unless we are wrong.
    pub differences: Vec<DifferenceView>,
}
