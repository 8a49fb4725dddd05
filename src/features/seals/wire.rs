use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::queries::EntryRow;
use super::rules::sentence;
use crate::journal::Digest;
use crate::journal::head::HeadView;
use crate::platform::ids::{UnitId, VisitId, WorkerId};
use crate::platform::validate::{FieldErrors, Validate};

/// Which entries of the journal.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JournalFilter {
    /// Whose journal: a state, or the nation for what belongs to no state. If not given: the state of your grants, or the nation's own for who holds a grant there.
    #[param(value_type = Option<i32>)]
    pub state_id: Option<UnitId>,
    /// A unit: entries of units that lie under it today.
    #[param(value_type = Option<i32>)]
    pub under: Option<UnitId>,
    /// What was done: `visit.record`.
    pub action: Option<String>,
    /// Who did it.
    #[param(value_type = Option<i32>)]
    pub actor_id: Option<WorkerId>,
    /// What kind of thing it was done to: `visit`.
    pub subject: Option<String>,
    /// Which: a number or, for visits and households, a UUID.
    pub subject_id: Option<String>,
    /// From this instant on.
    pub from: Option<DateTime<Utc>>,
    /// Up to this instant, itself apart.
    pub to: Option<DateTime<Utc>>,
    /// 1 to 500, 50 if not given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, example = 50)]
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

/// A subject by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectId {
    Number(i32),
    Uuid(Uuid),
}

impl SubjectId {
    /// Read from a filter.
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.parse().map(Self::Number);
        number.or_else(|_| text.parse().map(Self::Uuid)).ok()
    }
}

impl Validate for JournalFilter {
    fn validate(&self, errors: &mut FieldErrors) {
        use chrono::Datelike;
        for (pointer, at) in [("/from", self.from), ("/to", self.to)] {
            if let Some(at) = at {
                errors.range(pointer, at.year(), 1900, 2200);
            }
        }
        if self.from.zip(self.to).is_some_and(|(from, to)| from > to) {
            errors.add("/to", "before_from", "must not be before `from`");
        }
        errors.optional_text("/action", self.action.as_deref(), 1, 60);
        errors.optional_text("/subject", self.subject.as_deref(), 1, 60);
        if self
            .subject_id
            .as_deref()
            .is_some_and(|id| SubjectId::parse(id).is_none())
        {
            errors.add("/subject_id", "bad_id", "must be a number or a UUID");
        }
    }
}

/// An entry of the journal: what one write did. Holds numbers and a digest, never content.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EntryView {
    #[schema(value_type = i32, example = 2)]
    pub state_id: UnitId,
    /// Its place in the state's journal, from 1.
    #[schema(example = 42)]
    pub number: i64,
    /// By the server's clock.
    pub at: DateTime<Utc>,
    #[schema(example = "visit.record")]
    pub action: String,
    /// The entry in words.
    #[schema(example = "Worker 17 recorded 3 visits at School East (S1-B1).")]
    pub sentence: String,
    /// The worker who did it; null for the program itself.
    #[schema(value_type = Option<i32>, example = 17)]
    pub actor_id: Option<WorkerId>,
    pub device_id: Option<Uuid>,
    /// Where: the one unit, or the state if there are several.
    #[schema(value_type = i32, example = 14)]
    pub unit_id: UnitId,
    /// Every unit that it touched.
    #[schema(value_type = Vec<i32>)]
    pub unit_ids: Vec<UnitId>,
    #[schema(example = "visit")]
    pub subject: String,
    pub subject_ids: Vec<i32>,
    pub subject_uuids: Vec<Uuid>,
    /// The version made of each of `subject_uuids`; empty: the first of each, or they have none.
    pub subject_versions: Vec<i32>,
    /// SHA-256 that commits to what was written, in base64.
    pub digest: String,
    /// Its leaf in the tree (RFC 6962), in base64.
    pub leaf_hash: String,
    /// The canonical form that was hashed (docs/seals.md).
    #[schema(example = 2)]
    pub form: i16,
}

impl From<EntryRow> for EntryView {
    fn from(row: EntryRow) -> Self {
        let leaf = row.leaf;
        let count = leaf.subject_ids.len().max(leaf.subject_uuids.len());
        let unit = row.unit_code.as_deref().zip(row.unit_name.as_deref());
        Self {
            sentence: sentence(
                &leaf.action,
                (&leaf.subject, if leaf.subject == "grant" { 1 } else { count }),
                leaf.actor_id.map(|id| id.0),
                unit,
                leaf.unit_ids.len(),
            ),
            state_id: leaf.state_id,
            number: leaf.number,
            at: leaf.at,
            action: leaf.action,
            actor_id: leaf.actor_id,
            device_id: leaf.device_id.map(|id| id.0),
            unit_id: leaf.unit_id,
            unit_ids: leaf.unit_ids,
            subject: leaf.subject,
            subject_ids: leaf.subject_ids,
            subject_uuids: leaf.subject_uuids,
            subject_versions: leaf.subject_versions,
            digest: STANDARD.encode(leaf.digest),
            leaf_hash: STANDARD.encode(leaf.leaf_hash),
            form: leaf.form,
        }
    }
}

/// Which heads.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HeadFilter {
    /// Whose: a state, or the nation. If not given: the state of your grants, or the nation's own for who holds a grant there.
    #[param(value_type = Option<i32>)]
    pub state_id: Option<UnitId>,
    /// 1 to 500, 50 if not given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, example = 50)]
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

/// The newest head of each state.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LatestHeadsView {
    pub items: Vec<HeadView>,
}

/// Which entry, in which tree.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InclusionQuery {
    #[param(value_type = i32, example = 2)]
    pub state_id: UnitId,
    /// The entry.
    #[param(example = 1, minimum = 1)]
    pub number: i64,
    /// Size of the tree, such as that of a signed head.
    #[param(example = 1, minimum = 1)]
    pub size: i64,
}

/// Which two trees.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConsistencyQuery {
    #[param(value_type = i32, example = 2)]
    pub state_id: UnitId,
    /// Size of the older tree.
    #[param(example = 1, minimum = 1)]
    pub first: i64,
    /// Size of the newer one.
    #[param(example = 1, minimum = 1)]
    pub second: i64,
}

/// Proof that an entry is in the tree of a size (RFC 9162, section 2.1.3).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct InclusionView {
    #[schema(value_type = i32, example = 2)]
    pub state_id: UnitId,
    #[schema(example = 1)]
    pub number: i64,
    #[schema(example = 1)]
    pub size: i64,
    /// In base64, as all hashes here.
    pub leaf_hash: String,
    /// The root that the proof leads to; compare it with that of a signed head of this size.
    pub root: String,
    /// From the leaf up.
    pub hashes: Vec<String>,
}

/// Proof that a tree begins with an older one (RFC 9162, section 2.1.4).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ConsistencyView {
    #[schema(value_type = i32, example = 2)]
    pub state_id: UnitId,
    #[schema(example = 1)]
    pub first: i64,
    #[schema(example = 1)]
    pub second: i64,
    pub first_root: String,
    pub second_root: String,
    pub hashes: Vec<String>,
}

/// Hashes in base64.
pub fn encoded(hashes: &[Digest]) -> Vec<String> {
    hashes.iter().map(|hash| STANDARD.encode(hash.0)).collect()
}

/// The version of a visit that an entry made, and the commitment to it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CommitmentView {
    #[schema(value_type = uuid::Uuid)]
    pub visit_id: VisitId,
    #[schema(example = 1)]
    pub version: i32,
    /// SHA-256 over the hashes of its parts, in base64.
    pub commitment: String,
}

/// That a visit is in the sealed journal. `head` is null, and `hashes` empty, until the next head is signed (a minute at
/// most): ask again then.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ReceiptView {
    #[schema(value_type = uuid::Uuid)]
    pub visit_id: VisitId,
    #[schema(example = 1)]
    pub version: i32,
    #[schema(value_type = i32, example = 2)]
    pub state_id: UnitId,
    /// The entry; null until it is numbered (a moment).
    pub number: Option<i64>,
    /// The entry's canonical form, in base64: SHA-256 of a zero byte and this is the leaf's hash.
    pub leaf: Option<String>,
    /// All that the entry made: its digest is SHA-256 over these, each as 16 bytes of id, 4 of version, 32 of commitment.
    /// Not in the receipts that a phone is given with its sync.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commitments: Vec<CommitmentView>,
    /// From the leaf up to the head's root.
    pub hashes: Vec<String>,
    pub head: Option<HeadView>,
}
