use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::queries::counts::{CadreCounts, UnitRow};
use super::queries::entrants::EntrantRow;
use super::queries::{PostRow, RuleRow};
use crate::features::units::Level;
use crate::features::workers::is_post;
use crate::platform::ids::{CampaignId, GrantId, UnitId, WorkerId};
use crate::platform::page::Paging;
use crate::platform::validate::{FieldErrors, Validate};

/// A post with its holder, past, present or to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PostView {
    /// The grant.
    #[schema(value_type = i32, example = 3)]
    pub id: GrantId,
    /// The office, or the role where no office was named.
    #[schema(example = "president")]
    pub post: String,
    #[schema(example = "booth_worker")]
    pub role: String,
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    #[schema(value_type = i32, example = 12)]
    pub worker_id: WorkerId,
    /// Null where he has nothing to do with your units any more.
    #[schema(example = "Asha Devi")]
    pub worker_name: Option<String>,
    #[schema(example = "2026-11-01")]
    pub valid_from: NaiveDate,
    /// Last day; null: until ended.
    #[schema(example = json!(null))]
    pub valid_to: Option<NaiveDate>,
    #[schema(example = json!(null))]
    pub ended_at: Option<DateTime<Utc>>,
    /// Whether he holds it today.
    #[schema(example = true)]
    pub holds: bool,
    /// When he confirmed it from his own phone; null: he has not.
    #[schema(example = json!(null))]
    pub confirmed_at: Option<DateTime<Utc>>,
}

impl From<PostRow> for PostView {
    fn from(row: PostRow) -> Self {
        Self {
            id: row.id,
            post: row.post,
            role: row.role,
            unit_id: row.unit_id,
            worker_id: row.worker_id,
            worker_name: row.worker_name,
            valid_from: row.valid_from,
            valid_to: row.valid_to,
            ended_at: row.ended_at,
            holds: row.holds,
            confirmed_at: row.confirmed_at,
        }
    }
}

/// Which posts of a unit.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PostFilter {
    /// This post alone.
    #[param(example = "president")]
    pub post: Option<String>,
    /// Those that somebody held on this day.
    #[param(example = "2026-11-01")]
    pub on: Option<NaiveDate>,
    /// Those that are held today, or are not.
    pub held: Option<bool>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl Validate for PostFilter {
    fn validate(&self, errors: &mut FieldErrors) {
        if self.post.as_deref().is_some_and(|post| !is_post(post)) {
            errors.add("/post", "bad_post", "is no name of a post");
        }
        if let Some(on) = self.on {
            errors.day("/on", on);
        }
    }
}

/// How many of a post.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CommitteePost)]
pub struct PostCount {
    /// An office that grants name, or a role.
    #[schema(example = "president")]
    pub post: String,
    #[schema(example = 1, minimum = 1, maximum = 100)]
    pub count: i32,
}

/// What a booth's committee must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCommitteeRule {
    /// The campaign that wants it so; left out: the rule that stands.
    #[serde(default)]
    #[schema(value_type = Option<i32>, example = json!(null))]
    pub campaign_id: Option<CampaignId>,
    /// Empty: no committee is wanted.
    #[schema(max_items = 30)]
    pub posts: Vec<PostCount>,
    #[schema(example = "As the executive decided", min_length = 1, max_length = 500)]
    pub reason: String,
}

impl Validate for NewCommitteeRule {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.text("/reason", &self.reason, 1, 500);
        if self.posts.len() > 30 {
            errors.add("/posts", "too_many", "at most 30");
        }
        let mut seen = BTreeSet::new();
        for (n, post) in self.posts.iter().enumerate() {
            if !is_post(&post.post) {
                errors.add(
                    format!("/posts/{n}/post"),
                    "bad_post",
                    "must be small letters, digits and _, at most 40, a letter first",
                );
            } else if !seen.insert(post.post.as_str()) {
                errors.add(format!("/posts/{n}/post"), "duplicate", "stands here already");
            }
            errors.range(&format!("/posts/{n}/count"), post.count, 1, 100);
        }
    }
}

/// A version of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CommitteeRuleView {
    /// The state, or the nation.
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    /// Null: the rule that stands.
    #[schema(value_type = Option<i32>, example = json!(null))]
    pub campaign_id: Option<CampaignId>,
    #[schema(example = 1)]
    pub version: i32,
    pub posts: Vec<PostCount>,
    #[schema(example = "As the executive decided")]
    pub reason: String,
    #[schema(value_type = Option<i32>, example = 1)]
    pub made_by: Option<WorkerId>,
    #[schema(example = "2026-11-23T12:00:00Z")]
    pub made_at: DateTime<Utc>,
    /// Whether it is the one by which committees here are counted.
    #[schema(example = true)]
    pub counts: bool,
}

impl From<RuleRow> for CommitteeRuleView {
    fn from(row: RuleRow) -> Self {
        Self {
            unit_id: row.unit_id,
            campaign_id: (row.campaign_id.0 != 0).then_some(row.campaign_id),
            version: row.version,
            posts: row.posts.0,
            reason: row.reason,
            made_by: row.made_by,
            made_at: row.made_at,
            counts: row.counts,
        }
    }
}

/// A unit, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = NamedUnit)]
pub struct UnitName {
    #[schema(value_type = i32, example = 6)]
    pub id: UnitId,
    #[schema(example = "S1-M1")]
    pub code: String,
    #[schema(example = "mandal")]
    pub level: String,
    #[schema(example = "Unit S1-M1")]
    pub name: String,
}

impl From<UnitRow> for UnitName {
    fn from(row: UnitRow) -> Self {
        Self {
            id: row.id,
            code: row.code,
            level: row.level,
            name: row.name,
        }
    }
}

/// Committees at and under a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CommitteesView {
    pub unit: UnitName,
    #[schema(example = 3)]
    pub booths: i64,
    /// Active workers on the rosters.
    #[schema(example = 12)]
    pub active_workers: i64,
    /// Booths for which the rule wants a committee.
    #[schema(example = 3)]
    pub committees: i64,
    /// Those all of whose posts are held and confirmed by their holders.
    #[schema(example = 1)]
    pub complete: i64,
    /// Those all of whose posts are held, but not all confirmed: committees on paper.
    #[schema(example = 1)]
    pub on_paper: i64,
    /// Posts that the rule wants.
    #[schema(example = 15)]
    pub posts: i64,
    #[schema(example = 12)]
    pub filled: i64,
    #[schema(example = 8)]
    pub confirmed: i64,
    /// Posts that nobody holds.
    #[schema(example = 3)]
    pub vacant: i64,
}

impl CommitteesView {
    /// From the unit and its counts.
    pub fn new(unit: UnitRow, counts: CadreCounts) -> Self {
        Self {
            unit: unit.into(),
            booths: counts.booths,
            active_workers: counts.workers,
            committees: counts.committees,
            complete: counts.complete,
            on_paper: counts.named.saturating_sub(counts.complete),
            posts: counts.posts,
            filled: counts.held,
            confirmed: counts.confirmed,
            vacant: counts.posts.saturating_sub(counts.held),
        }
    }
}

/// By which rule committees are counted.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CommitteeQuery {
    /// By this campaign's rule; where it has none, and if not given, by the rule that stands.
    #[param(value_type = Option<i32>, example = 1)]
    pub campaign: Option<CampaignId>,
}

/// Committees of which units.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CommitteesFilter {
    /// Units of this level under the unit.
    #[param(inline, example = "mandal")]
    pub level: Level,
    /// By this campaign's rule; where it has none, and if not given, by the rule that stands.
    #[param(value_type = Option<i32>)]
    pub campaign: Option<CampaignId>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

/// Which vacancies.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct VacancyFilter {
    /// By this campaign's rule; where it has none, and if not given, by the rule that stands.
    #[param(value_type = Option<i32>)]
    pub campaign: Option<CampaignId>,
    /// Also booths whose posts are all held, but not all confirmed.
    pub unconfirmed: Option<bool>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

/// A post that a committee wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = VacantPost)]
pub struct VacantPostView {
    #[schema(example = "president")]
    pub post: String,
    #[schema(example = 1)]
    pub wanted: i32,
    #[schema(example = 0)]
    pub held: i32,
    #[schema(example = 0)]
    pub confirmed: i32,
}

/// A booth whose committee wants something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct VacancyView {
    #[schema(value_type = i32, example = 14)]
    pub booth_id: UnitId,
    #[schema(example = "S1-B1")]
    pub code: String,
    #[schema(example = "Unit S1-B1")]
    pub name: String,
    /// The posts that are not held by as many as are wanted, or not confirmed by them.
    pub posts: Vec<VacantPostView>,
}

/// Which entrants.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EntrantFilter {
    /// From this party, by the name that is shown.
    #[param(example = "Example Party")]
    pub party: Option<String>,
    /// Those who hold a post today, or (false) none.
    pub with_post: Option<bool>,
    /// Who joined on this day or later.
    pub joined_from: Option<NaiveDate>,
    /// Who joined on this day or before.
    pub joined_to: Option<NaiveDate>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl Validate for EntrantFilter {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.optional_text("/party", self.party.as_deref(), 1, 200);
        for (pointer, day) in [("/joined_from", self.joined_from), ("/joined_to", self.joined_to)] {
            if let Some(day) = day {
                errors.day(pointer, day);
            }
        }
    }
}

impl EntrantFilter {
    /// Which page.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit.clone(),
            cursor: self.cursor.clone(),
        }
    }
}

/// A worker who came from another party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EntrantView {
    #[schema(value_type = i32, example = 12)]
    pub worker_id: WorkerId,
    #[schema(example = "Asha Devi")]
    pub name: String,
    /// His home unit.
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    #[schema(example = "Example Party")]
    pub party: String,
    #[schema(example = "2026-03-01")]
    pub joined_on: Option<NaiveDate>,
    /// Posts that he holds today, anywhere.
    #[schema(example = 0)]
    pub posts: i64,
    /// How many of them he has confirmed.
    #[schema(example = 0)]
    pub confirmed: i64,
}

impl From<EntrantRow> for EntrantView {
    fn from(row: EntrantRow) -> Self {
        Self {
            worker_id: row.worker_id,
            name: row.name,
            unit_id: row.unit_id,
            party: row.party,
            joined_on: row.joined_on,
            posts: row.posts,
            confirmed: row.confirmed,
        }
    }
}

/// Entrants of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct EntrantCounts {
    #[schema(example = 4)]
    pub entrants: i64,
    /// Those who hold a post today.
    #[schema(example = 3)]
    pub holding: i64,
    /// Those who have confirmed one.
    #[schema(example = 1)]
    pub confirmed: i64,
    /// Those without responsibility.
    #[schema(example = 1)]
    pub without_post: i64,
    /// Of all, how many hold a post; null where there are none.
    #[schema(example = 0.75)]
    pub share_holding: Option<f64>,
}

/// Entrants from one party, or of one span.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct EntrantGroup {
    /// The party; or how long ago they joined: `under_6_months`, `6_to_12_months`, `1_to_2_years`, `over_2_years`,
    /// `unknown`.
    #[schema(example = "Example Party")]
    pub name: String,
    pub counts: EntrantCounts,
}

/// Entrants of a unit straight below.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct EntrantUnit {
    /// Null: on the unit's own roster.
    #[schema(value_type = Option<i32>, example = 6)]
    pub unit_id: Option<UnitId>,
    #[schema(example = "Unit S1-M1")]
    pub name: Option<String>,
    pub counts: EntrantCounts,
}

/// What has become of entrants at and under a unit.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct EntrantsView {
    pub total: EntrantCounts,
    pub by_party: Vec<EntrantGroup>,
    pub by_time: Vec<EntrantGroup>,
    /// By the units straight below in the organisation.
    pub children: Vec<EntrantUnit>,
}
