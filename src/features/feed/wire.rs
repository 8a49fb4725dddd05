use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::features::campaigns::CampaignView;
use crate::features::tasks::TaskView;
use crate::features::units::UnitView;
use crate::features::visits::VisitView;
use crate::platform::error::ApiError;
use crate::platform::ids::{DeviceId, UnitId, WorkerId};
use crate::platform::page::Paging;

/// The longest wait, in seconds.
const MAX_WAIT: u64 = 30;

/// Where a feed without a cursor begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// With the first entry of every journal.
    #[default]
    Beginning,
    /// Behind what is posted now.
    Now,
}

/// Which entries.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct FeedQuery {
    /// Where to go on: `next_cursor` of the answer before. A cursor belongs to its `under`.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Without a cursor: with the first entry, or behind what is posted now.
    #[serde(default)]
    #[param(inline, example = "beginning")]
    pub from: Option<From>,
    /// Only this unit and all below it; otherwise all units of your grants.
    #[serde(default)]
    #[param(value_type = Option<i32>, example = 2)]
    pub under: Option<UnitId>,
    /// How many entries at most: 1 to 500, 50 if not given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, example = 50)]
    #[serde(default)]
    pub limit: Option<String>,
    /// How many seconds to wait for an entry if there is none: 0 to 30, 0 if not given.
    #[param(value_type = Option<u16>, minimum = 0, maximum = 30, example = 0)]
    #[serde(default)]
    pub wait: Option<String>,
}

impl FeedQuery {
    /// How many entries.
    ///
    /// # Errors
    /// 422 if it is not a number from 1 to 500.
    pub fn limit(&self) -> Result<usize, ApiError> {
        let paging = Paging {
            limit: self.limit.clone(),
            cursor: None,
        };
        usize::try_from(paging.limit()?).map_err(ApiError::internal)
    }

    /// How long to wait.
    ///
    /// # Errors
    /// 422 if it is not a number from 0 to 30.
    pub fn wait(&self) -> Result<std::time::Duration, ApiError> {
        let seconds = self.wait.as_deref().map_or(Ok(0), str::parse::<u64>);
        match seconds {
            Ok(seconds) if seconds <= MAX_WAIT => Ok(std::time::Duration::from_secs(seconds)),
            _ => Err(ApiError::field(
                "/wait",
                "out_of_range",
                format!("must be a whole number of seconds from 0 to {MAX_WAIT}"),
            )),
        }
    }
}

/// Which entries to stream.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct StreamQuery {
    /// Where to go on, if no `Last-Event-ID` is sent.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Without either: with the first entry, or behind what is posted now.
    #[serde(default)]
    #[param(inline, example = "beginning")]
    pub from: Option<From>,
    /// Only this unit and all below it; otherwise all units of your grants.
    #[serde(default)]
    #[param(value_type = Option<i32>, example = 2)]
    pub under: Option<UnitId>,
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ActorView {
    #[schema(value_type = Option<i32>, example = 7)]
    pub worker_id: Option<WorkerId>,
    #[schema(value_type = Option<uuid::Uuid>)]
    pub device_id: Option<DeviceId>,
}

/// The id of a subject: a number for what the server numbers, a UUID for what the phone names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum SubjectId {
    Number(i32),
    Uuid(Uuid),
}

/// How a subject stands now, which may be later than the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is there; `value` is as you read it, or null if its content is not for you or too much for a feed.
    Current,
    /// A visit that was taken back: it is in no figure.
    Voided,
    /// It is there no more.
    Deleted,
    /// It lies outside your units now: forget it, and all that lies under it.
    OutOfScope,
    /// Of a kind that the feed does not show: read it with its own operation.
    Changed,
}

/// What a subject is now.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum SubjectValue {
    Visit(Box<VisitView>),
    Unit(Box<UnitView>),
    Campaign(Box<CampaignView>),
    Task(Box<TaskView>),
}

/// One thing that the entry is about.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct SubjectView {
    pub id: SubjectId,
    pub standing: Standing,
    /// The booth of a visit or household.
    #[schema(value_type = Option<i32>, example = 14)]
    pub unit_id: Option<UnitId>,
    /// Of a unit: the next day on which it will hang elsewhere. No entry comes on that day; read it again then.
    #[schema(example = json!(null))]
    pub changes_on: Option<NaiveDate>,
    pub value: Option<SubjectValue>,
}

/// An entry of the journal, as the caller may see it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct FeedItem {
    /// The state whose journal it stands in; the nation for what belongs to no state.
    #[schema(value_type = i32, example = 2)]
    pub state_id: UnitId,
    /// Its place in that journal. With `state_id` it names the entry for ever: use both to notice one that comes twice.
    #[schema(example = 17)]
    pub number: i64,
    /// By the server's clock; entries are ordered by `number`, not by this.
    pub at: DateTime<Utc>,
    #[schema(example = "visit.record")]
    pub action: String,
    /// What kind of thing it was done to.
    #[schema(example = "visit")]
    pub kind: String,
    /// Where, of your units.
    #[schema(value_type = Vec<i32>, example = json!([14]))]
    pub unit_ids: Vec<UnitId>,
    /// Null for services, and for what the program did itself.
    pub actor: Option<ActorView>,
    /// How many subjects there are that you may know of.
    #[schema(example = 1)]
    pub count: usize,
    /// In the order of the entry; of a grant first the worker, then the grant.
    pub subjects: Vec<SubjectView>,
}

/// Entries after a cursor.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct FeedView {
    pub items: Vec<FeedItem>,
    /// Where to go on. Keep it once you have dealt with the items; it advances even when there are none.
    pub next_cursor: String,
    /// Whether there is more already: ask again at once.
    pub more: bool,
}
