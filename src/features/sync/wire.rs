use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::queries::{HouseholdRow, UnitRow, UpperRow, VisitRow};
use super::rules::{Hash, Kind, LIMIT, MAX_LIMIT, content_rev};
use crate::access::Role;
use crate::access::policy::Grant;
use crate::features::campaigns::{CampaignView, Issue, Question};
use crate::features::households::blur;
use crate::features::seals::ReceiptView;
use crate::features::tasks::{TaskStandingView, TaskView};
use crate::features::visits::{FlagAnswer, FlagView, flag_views};
use crate::platform::ids::{
    CampaignId, GrantId, HouseholdId, TaskId, TaskReportId, UnitId, VisitId, WorkerId,
};
use crate::platform::location::Location;
use crate::platform::validate::{FieldErrors, Validate};

/// Receipts in an answer at most.
const MAX_RECEIPTS: usize = 100;

/// What the phone has.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SyncSent {
    /// `cursor` of the last answer that was stored; null or left out: start afresh.
    #[schema(example = json!(null))]
    pub cursor: Option<String>,
    /// The hashes of what the phone holds, once it has applied an answer whose `has_more` was false. What differs is sent
    /// anew.
    pub held: Held,
    /// Items in a page: 1 to 2,000, 1,000 if not given.
    #[schema(example = 1000, minimum = 1, maximum = 2000)]
    pub limit: Option<usize>,
    /// The worker's own visits for which the phone wants the journal's word, at most 100: those for which it has none yet.
    #[schema(value_type = Vec<uuid::Uuid>, example = json!([]), max_items = 100)]
    pub receipts: Vec<VisitId>,
}

/// A hash for each kind: 16 hexadecimal digits. What is left out is not compared.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Held {
    #[schema(example = "0000000000000000", pattern = "^[0-9a-f]{16}$")]
    pub grants: Option<String>,
    #[schema(example = "0000000000000000", pattern = "^[0-9a-f]{16}$")]
    pub units: Option<String>,
    #[schema(example = "0000000000000000", pattern = "^[0-9a-f]{16}$")]
    pub campaigns: Option<String>,
    #[schema(example = "0000000000000000", pattern = "^[0-9a-f]{16}$")]
    pub households: Option<String>,
    #[schema(example = "0000000000000000", pattern = "^[0-9a-f]{16}$")]
    pub visits: Option<String>,
    #[schema(example = "0000000000000000", pattern = "^[0-9a-f]{16}$")]
    pub tasks: Option<String>,
}

impl Held {
    /// Each kind with its hash.
    pub fn by_kind(&self) -> [(Kind, &'static str, Option<&str>); 6] {
        [
            (Kind::Grants, "/held/grants", self.grants.as_deref()),
            (Kind::Units, "/held/units", self.units.as_deref()),
            (Kind::Campaigns, "/held/campaigns", self.campaigns.as_deref()),
            (Kind::Households, "/held/households", self.households.as_deref()),
            (Kind::Visits, "/held/visits", self.visits.as_deref()),
            (Kind::Tasks, "/held/tasks", self.tasks.as_deref()),
        ]
    }
}

impl From<[Hash; 6]> for Held {
    fn from(hashes: [Hash; 6]) -> Self {
        let [grants, units, campaigns, households, visits, tasks] = hashes.map(|hash| Some(hash.to_text()));
        Self {
            grants,
            units,
            campaigns,
            households,
            visits,
            tasks,
        }
    }
}

impl SyncSent {
    /// The page's bound.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT)
    }
}

impl Validate for SyncSent {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.range("/limit", self.limit(), 1, MAX_LIMIT);
        if self.receipts.len() > MAX_RECEIPTS {
            let detail = format!("must name at most {MAX_RECEIPTS} visits");
            errors.add("/receipts", "bad_length", detail);
        }
        for (_, pointer, text) in self.held.by_kind() {
            if text.is_some_and(|text| Hash::parse(text).is_none()) {
                errors.add(
                    pointer,
                    "bad_hash",
                    "must be 16 hexadecimal digits, small letters",
                );
            }
        }
    }
}

/// One page. Apply it in the order of its members, in one transaction with the storing of `cursor`.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct SyncView {
    /// Send it next time.
    pub cursor: String,
    /// Whether to ask for another page at once.
    #[schema(example = false)]
    pub has_more: bool,
    /// By the server's clock; what the phone's differs by is what it should correct its times by.
    pub server_time: DateTime<Utc>,
    /// Forget all that came by sync before (never what waits to be sent).
    #[schema(example = true)]
    pub fresh: bool,
    /// Forget these kinds whole: what was held of them is not what it should be. They come anew.
    #[schema(example = json!([]))]
    pub reset: Vec<Kind>,
    pub booths: BoothsView,
    pub gone: GoneView,
    pub replaced: ReplacedView,
    pub grants: Vec<SyncGrant>,
    pub units: Vec<SyncUnit>,
    pub campaigns: Vec<SyncCampaign>,
    pub households: Vec<SyncHousehold>,
    pub visits: Vec<SyncVisit>,
    /// The receipts that were asked for, of those of the worker's own visits that are stored; to be asked for again while
    /// `head` is null.
    pub receipts: Vec<ReceiptView>,
    pub tasks: Vec<SyncTask>,
    /// What the phone's hashes must be now; null while there is more.
    pub hashes: Option<Held>,
}

/// Booths that came and went, be it by a grant or by a move.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct BoothsView {
    #[schema(value_type = Vec<i32>, example = json!([14]))]
    pub gained: Vec<i32>,
    /// Forget their households.
    #[schema(value_type = Vec<i32>, example = json!([]))]
    pub lost: Vec<i32>,
}

/// Ids of what is there no more, or not for this phone.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct GoneView {
    #[schema(example = json!([]))]
    pub grants: Vec<i32>,
    #[schema(example = json!([]))]
    pub units: Vec<i32>,
    #[schema(example = json!([]))]
    pub campaigns: Vec<i32>,
    #[schema(example = json!([]))]
    pub tasks: Vec<i32>,
}

/// What is sent whole: forget what is held of it first.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct ReplacedView {
    /// The households of these booths.
    #[schema(example = json!([]))]
    pub booths: Vec<i32>,
    /// The visits of these days (`visited_on`).
    #[schema(example = json!([]))]
    pub days: Vec<NaiveDate>,
}

/// A role that the worker holds today.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SyncGrant {
    #[schema(value_type = i32, example = 3)]
    pub id: GrantId,
    /// Another whenever anything of this differs.
    #[schema(example = "5f1c09ab")]
    pub rev: String,
    pub role: Role,
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    #[schema(example = "2026-11-23")]
    pub valid_from: NaiveDate,
    /// Last day; null: until ended.
    #[schema(example = json!(null))]
    pub valid_to: Option<NaiveDate>,
}

impl From<&Grant> for SyncGrant {
    fn from(grant: &Grant) -> Self {
        let mut view = Self {
            id: grant.id,
            rev: String::new(),
            role: grant.role,
            unit_id: grant.unit_id,
            valid_from: grant.valid_from,
            valid_to: grant.valid_to,
        };
        view.rev = content_rev(&view);
        view
    }
}

/// A unit under the worker's grants, or above them.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SyncUnit {
    #[schema(value_type = i32, example = 14)]
    pub id: UnitId,
    /// Another whenever anything of this differs.
    #[schema(example = "5f1c09ab")]
    pub rev: String,
    /// Whether it lies under a grant; of what lies above, only the name is told.
    #[schema(example = true)]
    pub within: bool,
    #[schema(example = "S1-B1")]
    pub code: String,
    #[schema(example = "booth")]
    pub level: String,
    #[schema(example = "Primary School, Rampur")]
    pub name: String,
    pub name_local: Option<String>,
    #[schema(value_type = i32, example = 2)]
    pub state_id: UnitId,
    /// The unit straight above in each tree today.
    pub parents: SyncParents,
    /// It and all above it in both trees today; empty for what lies above.
    #[schema(value_type = Vec<i32>, example = json!([1, 2, 4, 6, 9, 11, 14]))]
    pub lineage: Vec<UnitId>,
    #[schema(example = 900)]
    pub electors: Option<i32>,
    #[schema(example = 100)]
    pub doors: Option<i32>,
    pub location: Option<Location>,
    /// Null for what lies above.
    #[schema(example = 1)]
    pub version: Option<i32>,
}

/// The unit straight above in each tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SyncParents {
    #[schema(value_type = Option<i32>, example = 6)]
    pub organisation: Option<UnitId>,
    #[schema(value_type = Option<i32>, example = 11)]
    pub electorate: Option<UnitId>,
}

impl From<UnitRow> for SyncUnit {
    fn from(row: UnitRow) -> Self {
        let mut view = Self {
            id: row.id,
            rev: String::new(),
            within: true,
            code: row.code,
            level: row.level,
            name: row.name,
            name_local: row.name_local,
            state_id: row.state_id,
            parents: SyncParents {
                organisation: row.organisation,
                electorate: row.electorate,
            },
            lineage: row.lineage,
            electors: row.electors,
            doors: row.doors,
            location: Location::from_columns(row.lat, row.lon),
            version: Some(row.version),
        };
        view.rev = content_rev(&view);
        view
    }
}

impl From<UpperRow> for SyncUnit {
    fn from(row: UpperRow) -> Self {
        let mut view = Self {
            id: row.id,
            rev: String::new(),
            within: false,
            code: row.code,
            level: row.level,
            name: row.name,
            name_local: row.name_local,
            state_id: row.state_id,
            parents: SyncParents::default(),
            lineage: Vec::new(),
            electors: None,
            doors: None,
            location: None,
            version: None,
        };
        view.rev = content_rev(&view);
        view
    }
}

/// A campaign that runs in a booth of the worker's.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SyncCampaign {
    #[schema(value_type = i32, example = 1)]
    pub id: CampaignId,
    /// Its version.
    #[schema(example = "1")]
    pub rev: String,
    #[schema(example = "Sampark Abhiyan")]
    pub name: String,
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    #[schema(example = "2026-11-01")]
    pub starts_on: NaiveDate,
    /// Null: open.
    #[schema(example = "2026-12-31")]
    pub ends_on: Option<NaiveDate>,
    /// Send it with each visit that is asked under these questions.
    #[schema(example = 1)]
    pub question_version: i32,
    pub questions: Vec<Question>,
    pub issues: Vec<Issue>,
    #[schema(example = false)]
    pub collect_support: bool,
    #[schema(example = json!({"doors_reached": 50000}))]
    pub targets: BTreeMap<String, i64>,
    #[schema(example = 1)]
    pub version: i32,
}

impl From<CampaignView> for SyncCampaign {
    fn from(view: CampaignView) -> Self {
        Self {
            id: view.id,
            rev: campaign_rev(view.version),
            name: view.name,
            unit_id: view.unit_id,
            starts_on: view.starts_on,
            ends_on: view.ends_on,
            question_version: view.question_version,
            questions: view.questions,
            issues: view.issues,
            collect_support: view.collect_support,
            targets: view.targets,
            version: view.version,
        }
    }
}

/// A task of units of the worker's, and how they stand to it.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SyncTask {
    #[schema(value_type = i32, example = 1)]
    pub id: TaskId,
    /// Another whenever anything of this differs.
    #[schema(example = "5f1c09ab")]
    pub rev: String,
    /// The unit that set it.
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    #[schema(example = "Form a committee in every booth")]
    pub title: String,
    pub instructions: String,
    #[schema(example = "2027-06-30")]
    pub due_on: NaiveDate,
    /// What a report of it done must carry: `none`, `note`, `count` or `photo`.
    #[schema(example = "none")]
    pub evidence: String,
    #[schema(value_type = Option<i32>)]
    pub part_of: Option<TaskId>,
    #[schema(value_type = Option<i32>)]
    pub owner_id: Option<WorkerId>,
    /// Those of his units that have it.
    pub units: Vec<SyncTaskUnit>,
}

/// How a unit stands to a task.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SyncTaskUnit {
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    /// `open`, `accepted`, `in_progress`, `done`, `verified` or `returned`.
    #[schema(example = "open")]
    pub status: String,
    /// The report that holds.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub report_id: Option<TaskReportId>,
    /// What the level above said.
    pub reason: Option<String>,
}

impl SyncTask {
    /// With the units in scope.
    pub fn new(task: TaskView, standings: Vec<TaskStandingView>) -> Self {
        let units = standings.into_iter().map(|standing| SyncTaskUnit {
            unit_id: standing.unit_id,
            status: standing.status,
            report_id: standing.report_id,
            reason: standing.reason,
        });
        let mut view = Self {
            id: task.id,
            rev: String::new(),
            unit_id: task.unit_id,
            title: task.title,
            instructions: task.instructions,
            due_on: task.due_on,
            evidence: task.evidence,
            part_of: task.part_of,
            owner_id: task.owner_id,
            units: units.collect(),
        };
        view.rev = content_rev(&view);
        view
    }
}

/// The `rev` of a campaign.
pub fn campaign_rev(version: i32) -> String {
    version.to_string()
}

/// A household of a booth of the worker's.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SyncHousehold {
    #[schema(value_type = uuid::Uuid, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33")]
    pub id: HouseholdId,
    /// Its version, with `~` where the location is blurred.
    #[schema(example = "1")]
    pub rev: String,
    #[schema(value_type = i32, example = 14)]
    pub booth_id: UnitId,
    #[schema(example = "12-A")]
    pub label: String,
    #[schema(example = 4)]
    pub electors: Option<i32>,
    /// To three decimals for roles above the mandal.
    pub location: Option<Location>,
    /// For `If-Match`.
    #[schema(example = 1)]
    pub version: i32,
}

impl SyncHousehold {
    /// As seen from near or afar.
    pub fn new(row: HouseholdRow, from_afar: bool) -> Self {
        let location = Location::from_columns(row.lat, row.lon);
        Self {
            id: row.id,
            rev: format!("{}{}", row.version, if from_afar { "~" } else { "" }),
            booth_id: row.booth_id,
            label: row.label,
            electors: row.electors,
            location: if from_afar { location.map(blur) } else { location },
            version: row.version,
        }
    }
}

/// What became of a visit that the worker made: enough to show him his day; the whole of it is at `/v1/visits/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SyncVisit {
    #[schema(value_type = uuid::Uuid, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33")]
    pub id: VisitId,
    /// Another whenever anything of this differs.
    #[schema(example = "5f1c09ab")]
    pub rev: String,
    #[schema(value_type = i32, example = 14)]
    pub booth_id: UnitId,
    #[schema(value_type = i32, example = 1)]
    pub campaign_id: CampaignId,
    #[schema(value_type = Option<uuid::Uuid>)]
    pub household_id: Option<HouseholdId>,
    pub visited_at: DateTime<Utc>,
    /// The day it counts on.
    #[schema(example = "2026-11-23")]
    pub visited_on: NaiveDate,
    #[schema(example = "met")]
    pub outcome: String,
    pub flags: Vec<FlagView>,
    /// `unreviewed`, `verified`, `rejected` or `correction_wanted`.
    #[schema(example = "unreviewed")]
    pub review: String,
    /// Why, as the coordinator told the author.
    pub review_reason: Option<String>,
    #[schema(example = false)]
    pub voided: bool,
    pub void_reason: Option<String>,
    /// It came when its week was signed; that stays so.
    #[schema(example = false)]
    pub late: bool,
    /// Higher than what the phone made: somebody else changed it.
    #[schema(example = 1)]
    pub version: i32,
}

impl SyncVisit {
    /// For its author, whose language this is.
    pub fn new(row: VisitRow, answers: &[FlagAnswer], language: &str) -> Self {
        Self {
            id: row.id,
            rev: row.rev,
            booth_id: row.booth_id,
            campaign_id: row.campaign_id,
            household_id: row.household_id,
            visited_at: row.visited_at,
            visited_on: row.visited_on,
            outcome: row.outcome,
            flags: flag_views(&row.flags, answers, language),
            review: row.review,
            review_reason: row.review_reason,
            voided: row.voided,
            void_reason: row.void_reason,
            late: row.late,
            version: row.version,
        }
    }
}
