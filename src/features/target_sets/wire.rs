use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::queries::{MemberRow, SetRow, VersionRow};
use crate::platform::ids::{UnitId, WorkerId};
use crate::platform::page::Paging;
use crate::platform::validate::{FieldErrors, Validate};

/// Levels of which sets are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeatLevel {
    ParliamentaryConstituency,
    AssemblyConstituency,
}

impl SeatLevel {
    /// As in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ParliamentaryConstituency => "parliamentary_constituency",
            Self::AssemblyConstituency => "assembly_constituency",
        }
    }
}

/// Chooses seats by an election's results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TargetSetRule)]
pub struct Rule {
    /// The election's code.
    #[schema(example = "LS2014")]
    pub election: String,
    /// The party, by any of its names: seats where it stood.
    #[schema(example = "Example Party")]
    pub party: String,
    /// Seats that it won, or lost; both if left out.
    #[serde(default)]
    #[schema(example = false)]
    pub won: Option<bool>,
    /// Seats that it lost by fewer votes than this: the winner's less its own.
    #[serde(default)]
    #[schema(example = 5000)]
    pub deficit_below: Option<i32>,
    /// Seats where the winner had fewer votes than this more than the runner-up, whoever they were.
    #[serde(default)]
    #[schema(example = json!(null))]
    pub margin_below: Option<i32>,
}

/// A group of members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TargetSetCluster)]
pub struct Cluster {
    #[schema(example = "North", min_length = 1, max_length = 100)]
    pub name: String,
    /// The worker in charge.
    #[serde(default)]
    #[schema(value_type = Option<i32>, example = json!(null))]
    pub in_charge: Option<WorkerId>,
}

/// A constituency of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TargetSetMember)]
pub struct Member {
    #[schema(value_type = i32, example = 9)]
    pub unit_id: UnitId,
    /// The name of one of `clusters`.
    #[serde(default)]
    #[schema(example = "North")]
    pub cluster: Option<String>,
}

/// Who belongs to a version, from which day and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTargetSetVersion)]
pub struct NewVersion {
    /// The first day on which it is the set.
    #[schema(example = "2026-11-24")]
    pub valid_from: NaiveDate,
    #[schema(example = "Lost narrowly last time", min_length = 1, max_length = 500)]
    pub reason: String,
    /// Chosen by hand. With a rule: only puts seats that the rule chooses into clusters.
    #[serde(default)]
    #[schema(max_items = 1000)]
    pub members: Vec<Member>,
    /// Or chosen by a rule, once, now.
    #[serde(default)]
    pub rule: Option<Rule>,
    #[serde(default)]
    #[schema(max_items = 200)]
    pub clusters: Vec<Cluster>,
}

impl Validate for NewVersion {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.day("/valid_from", self.valid_from);
        errors.text("/reason", &self.reason, 1, 500);
        if self.rule.is_none() && self.members.is_empty() {
            errors.add("/members", "missing", "name members, or give a rule");
        }
        if self.members.len() > 1000 {
            errors.add("/members", "too_many", "at most 1000");
        }
        if self.clusters.len() > 200 {
            errors.add("/clusters", "too_many", "at most 200");
        }
        if let Some(rule) = &self.rule {
            check_rule(rule, errors);
        }
        let mut names = BTreeSet::new();
        for (n, cluster) in self.clusters.iter().enumerate() {
            errors.text(&format!("/clusters/{n}/name"), &cluster.name, 1, 100);
            if !names.insert(cluster.name.as_str()) {
                errors.add(
                    format!("/clusters/{n}/name"),
                    "duplicate",
                    "another cluster is called so",
                );
            }
        }
        let mut units = BTreeSet::new();
        for (n, member) in self.members.iter().enumerate() {
            if !units.insert(member.unit_id) {
                errors.add(
                    format!("/members/{n}/unit_id"),
                    "duplicate",
                    "stands here already",
                );
            }
            if let Some(cluster) = &member.cluster
                && !names.contains(cluster.as_str())
            {
                errors.add(
                    format!("/members/{n}/cluster"),
                    "unknown_cluster",
                    "must be the name of one of `clusters`",
                );
            }
        }
    }
}

fn check_rule(rule: &Rule, errors: &mut FieldErrors) {
    errors.text("/rule/election", &rule.election, 1, 40);
    errors.text("/rule/party", &rule.party, 1, 200);
    for (pointer, votes) in [
        ("/rule/deficit_below", rule.deficit_below),
        ("/rule/margin_below", rule.margin_below),
    ] {
        if let Some(votes) = votes {
            errors.range(pointer, votes, 1, i32::MAX);
        }
    }
    if rule.won == Some(true) && rule.deficit_below.is_some() {
        errors.add(
            "/rule/deficit_below",
            "contradiction",
            "a seat that was won has no deficit",
        );
    }
}

/// A new set with its first version.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTargetSet {
    #[schema(example = "Seats to win", min_length = 1, max_length = 200)]
    pub name: String,
    /// The unit that sets it.
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    #[schema(inline)]
    pub level: SeatLevel,
    #[schema(example = json!({"valid_from": "2026-11-24", "reason": "Lost narrowly last time",
        "members": [{"unit_id": 9, "cluster": "North"}], "clusters": [{"name": "North"}]}))]
    pub version: NewVersion,
}

impl Validate for NewTargetSet {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.text("/name", &self.name, 1, 200);
        let mut inner = FieldErrors::default();
        self.version.validate(&mut inner);
        for error in inner.0 {
            errors.add(format!("/version{}", error.pointer), &error.code, error.detail);
        }
    }
}

/// Which sets.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SetFilter {
    /// Only sets of this unit and of those under it.
    #[param(value_type = Option<i32>, example = 2)]
    pub under: Option<UnitId>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl SetFilter {
    /// Which page.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit.clone(),
            cursor: self.cursor.clone(),
        }
    }
}

/// A set as it is today: its newest version that has begun, or the first one while none has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TargetSetView {
    #[schema(example = 1)]
    pub id: i32,
    #[schema(example = "Seats to win")]
    pub name: String,
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    #[schema(example = "parliamentary_constituency")]
    pub level: String,
    /// Its newest version; the ETag.
    #[schema(example = 1)]
    pub version: i32,
    /// The version that holds today; null while none has begun.
    pub current: Option<VersionView>,
    #[schema(example = "2026-11-23T12:00:00Z")]
    pub created_at: DateTime<Utc>,
}

/// A version of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = TargetSetVersionView)]
pub struct VersionView {
    #[schema(example = 1)]
    pub version: i32,
    #[schema(example = "2026-11-24")]
    pub valid_from: NaiveDate,
    #[schema(example = "Lost narrowly last time")]
    pub reason: String,
    /// The rule that chose the members; null: chosen by hand.
    pub rule: Option<Rule>,
    /// How many constituencies it has, in and out of your scope.
    #[schema(example = 1)]
    pub member_count: i32,
    #[schema(value_type = Option<i32>, example = 1)]
    pub made_by: Option<WorkerId>,
    #[schema(example = "2026-11-23T12:00:00Z")]
    pub made_at: DateTime<Utc>,
}

impl From<VersionRow> for VersionView {
    fn from(row: VersionRow) -> Self {
        Self {
            version: row.version,
            valid_from: row.valid_from,
            reason: row.reason,
            rule: row.rule.map(|rule| rule.0),
            member_count: row.member_count,
            made_by: row.made_by,
            made_at: row.made_at,
        }
    }
}

impl TargetSetView {
    /// From its row and the version that holds today.
    pub fn new(row: SetRow, current: Option<VersionRow>) -> Self {
        Self {
            id: row.id,
            name: row.name,
            unit_id: row.unit_id,
            level: row.level,
            version: row.version,
            current: current.map(VersionView::from),
            created_at: row.created_at,
        }
    }
}

/// Which members.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct MemberFilter {
    /// Those on this day; today if neither is given.
    #[param(example = "2026-11-24")]
    pub on: Option<NaiveDate>,
    /// Those of this version.
    pub version: Option<i32>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl Validate for MemberFilter {
    fn validate(&self, errors: &mut FieldErrors) {
        if let Some(on) = self.on {
            errors.day("/on", on);
        }
        if self.on.is_some() && self.version.is_some() {
            errors.add("/version", "contradiction", "give `on` or `version`, not both");
        }
    }
}

/// A constituency of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = TargetSetMemberView)]
pub struct MemberView {
    #[schema(value_type = i32, example = 9)]
    pub unit_id: UnitId,
    #[schema(example = "S1-PC1")]
    pub code: String,
    #[schema(example = "Unit S1-PC1")]
    pub name: String,
    #[schema(value_type = i32, example = 2)]
    pub state_id: UnitId,
    #[schema(example = "North")]
    pub cluster: Option<String>,
    /// The worker in charge of the cluster.
    #[schema(value_type = Option<i32>, example = 1)]
    pub in_charge: Option<WorkerId>,
}

impl From<MemberRow> for MemberView {
    fn from(row: MemberRow) -> Self {
        Self {
            unit_id: row.unit_id,
            code: row.code,
            name: row.name,
            state_id: row.state_id,
            cluster: row.cluster,
            in_charge: row.in_charge,
        }
    }
}

/// Between which versions.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ChangeFilter {
    /// The version before; the one before `to` if not given.
    pub from: Option<i32>,
    /// The version after; the newest if not given.
    pub to: Option<i32>,
}

/// What differs between two versions, as far as it lies in your scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = TargetSetChangesView)]
pub struct ChangesView {
    /// 0: from nothing.
    #[schema(example = 0)]
    pub from: i32,
    #[schema(example = 1)]
    pub to: i32,
    /// Why the later one was made.
    #[schema(example = "Lost narrowly last time")]
    pub reason: String,
    pub added: Vec<MemberView>,
    pub removed: Vec<MemberView>,
    /// Members of both whose cluster is another, as they are in the later one.
    pub regrouped: Vec<MemberView>,
}
