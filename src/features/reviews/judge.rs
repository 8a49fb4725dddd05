//! Judging visits: one or many, the same way.

use std::collections::{BTreeMap, BTreeSet};

use super::queries::{ReviewRow, devices_of, insert_reviews, latest_reviews};
use crate::access::Caller;
use crate::access::actions::ReviewWrite;
use crate::access::policy::{permits, refusal};
use crate::access::{Permit, actions::Action};
use crate::features::units::{Hold, hold_lineages};
use crate::features::visits::{
    Change, Review, VisitKey, VisitRow, find_many_visible, lock_visits, move_counts, readable, set_reviews,
};
use crate::journal::commitment::{Canonical, Salts, digest_of_versions};
use crate::journal::{Digest, Entry, Record};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::error::{ApiError, Code};
use crate::platform::ids::{DeviceId, UnitId, VisitId, WorkerId};

/// What a caller says of a visit; `Unreviewed` takes back what was said.
#[derive(Clone, Debug)]
pub struct Opinion {
    pub visit_id: VisitId,
    pub verdict: Review,
    pub reason: Option<String>,
    /// The version that he judged, if he says so.
    pub version: Option<i32>,
}

/// A visit as it stands after a verdict, and whether the verdict changed anything.
#[derive(Clone, Debug)]
pub struct Judged {
    pub visit: VisitRow,
    pub changed: bool,
}

/// The answers, in the order of the opinions.
pub type Answers = Vec<Result<Judged, ApiError>>;

/// What is known when a visit is judged.
struct Bench {
    permits: BTreeMap<UnitId, Permit<ReviewWrite>>,
    devices: Vec<DeviceId>,
    latest: BTreeMap<VisitKey, ReviewRow>,
    reviewer_id: WorkerId,
}

/// Judges visits, each by itself: what cannot be done to one leaves the others alone. Visits and counts change in this
/// transaction.
///
/// # Errors
/// What the database says; what is wrong with an opinion is its own answer.
pub async fn judge(
    tx: &mut Tx,
    keys: &DataKeys,
    caller: &Caller,
    opinions: &[Opinion],
) -> Result<(Answers, Record), ApiError> {
    let visits = lock(tx, keys, caller, opinions).await?;
    let booths: BTreeSet<UnitId> = visits.values().map(|visit| visit.booth_id).collect();
    let booths: Vec<UnitId> = booths.into_iter().collect();
    let names: Vec<VisitKey> = visits.values().map(|visit| (visit.state_id, visit.id)).collect();
    let held = permits::<ReviewWrite>(tx, caller, &booths).await?;
    let bench = Bench {
        permits: held
            .into_iter()
            .map(|permit| (permit.unit_id(), permit))
            .collect(),
        devices: devices_of(tx, caller.worker_id()).await?,
        latest: latest_reviews(tx, &names)
            .await?
            .into_iter()
            .map(|review| ((review.state_id, review.visit_id), review))
            .collect(),
        reviewer_id: caller.worker_id(),
    };
    let mut answers = Answers::with_capacity(opinions.len());
    let mut changes: BTreeMap<VisitKey, (Change, ReviewRow)> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for opinion in opinions {
        let answer = match visits.get(&opinion.visit_id) {
            None => Err(ApiError::not_found()),
            Some(_) if !seen.insert(opinion.visit_id) => Err(ApiError::field(
                "/visit_id",
                "duplicate",
                "each visit at most once in a request",
            )),
            Some(visit) => bench.admit(caller, visit, opinion),
        };
        if let (Ok(judged), Some(old)) = (&answer, visits.get(&opinion.visit_id))
            && judged.changed
        {
            let change = Change {
                old: old.clone(),
                new: judged.visit.clone(),
            };
            let review = review_of(caller, old, opinion);
            changes.insert((old.state_id, old.id), (change, review));
        }
        answers.push(answer);
    }
    let record = write(tx, changes.into_values().collect()).await?;
    Ok((answers, record))
}

/// The visits that the caller may see, locked, with the lineages of their states held still.
async fn lock(
    tx: &mut Tx,
    data_keys: &DataKeys,
    caller: &Caller,
    opinions: &[Opinion],
) -> Result<BTreeMap<VisitId, VisitRow>, ApiError> {
    let visible = readable(caller).ok_or_else(|| refusal(caller, ReviewWrite::ACTION))?;
    let ids: Vec<VisitId> = opinions.iter().map(|opinion| opinion.visit_id).collect();
    let found = find_many_visible(tx, data_keys, &ids, &visible).await?;
    let keys: Vec<VisitKey> = found.iter().map(|visit| (visit.state_id, visit.id)).collect();
    let states: BTreeSet<UnitId> = keys.iter().map(|key| key.0).collect();
    hold_lineages(tx, &states.into_iter().collect::<Vec<_>>(), Hold::Shared).await?;
    let locked = lock_visits(tx, data_keys, &keys).await?;
    Ok(locked.into_iter().map(|visit| (visit.id, visit)).collect())
}

impl Bench {
    /// The visit as it will stand, or why it will not.
    fn admit(&self, caller: &Caller, visit: &VisitRow, opinion: &Opinion) -> Result<Judged, ApiError> {
        if !self.permits.contains_key(&visit.booth_id) {
            let error = refusal(caller, ReviewWrite::ACTION);
            return Err(error);
        }
        let from_his_phone = visit.device_id.is_some_and(|id| self.devices.contains(&id));
        if visit.worker_id == self.reviewer_id || from_his_phone {
            return Err(ApiError::new(
                Code::OwnVisit,
                "this visit is yours or came from your phone",
            ));
        }
        if visit.voided_at.is_some() {
            return Err(ApiError::new(Code::AlreadyVoided, "the visit was voided"));
        }
        if opinion.version.is_some_and(|version| version != visit.version) {
            return Err(ApiError::new(
                Code::VisitChanged,
                format!("version {} counts now", visit.version),
            ));
        }
        let mut judged = Judged {
            visit: visit.clone(),
            changed: !self.stands(visit, opinion),
        };
        judged.visit.review = opinion.verdict.as_str().to_owned();
        Ok(judged)
    }

    /// Whether just this was said before and still counts: a resend, which changes nothing.
    fn stands(&self, visit: &VisitRow, opinion: &Opinion) -> bool {
        visit.review == opinion.verdict.as_str()
            && (opinion.verdict == Review::Unreviewed
                || self
                    .latest
                    .get(&(visit.state_id, visit.id))
                    .is_some_and(|latest| {
                        latest.reviewer_id == self.reviewer_id && latest.reason == opinion.reason
                    }))
    }
}

fn review_of(caller: &Caller, visit: &VisitRow, opinion: &Opinion) -> ReviewRow {
    ReviewRow {
        state_id: visit.state_id,
        visit_id: visit.id,
        number: 0,
        visit_version: visit.version,
        verdict: opinion.verdict.as_str().to_owned(),
        reason: opinion.reason.clone(),
        reviewer_id: caller.worker_id(),
        reviewed_at: caller.actor().at,
        salts: Vec::new(),
    }
}

/// Writes what was judged: the verdicts, the visits, and what changes in the counts.
async fn write(tx: &mut Tx, judged: Vec<(Change, ReviewRow)>) -> Result<Record, ApiError> {
    if judged.is_empty() {
        return Ok(Record::nothing());
    }
    let (changes, mut reviews): (Vec<Change>, Vec<ReviewRow>) = judged.into_iter().unzip();
    for review in &mut reviews {
        review.salts = Salts::random()?.to_bytes();
    }
    let stored = insert_reviews(tx, &reviews).await?;
    set_reviews(tx, &changes.iter().map(|change| &change.new).collect::<Vec<_>>()).await?;
    let tallies = move_counts(tx, &changes).await?;
    Ok(Record {
        entries: entries(&changes, &stored)?,
        tallies,
    })
}

/// One entry a state and kind of verdict; both lists are in the order of their keys.
fn entries(changes: &[Change], stored: &[ReviewRow]) -> Result<Vec<Entry>, ApiError> {
    let mut groups: BTreeMap<(UnitId, &'static str), Vec<(UnitId, &ReviewRow)>> = BTreeMap::new();
    for (change, review) in changes.iter().zip(stored) {
        let undone = review.verdict == Review::Unreviewed.as_str();
        let action = if undone { "review.undo" } else { "review.write" };
        groups
            .entry((review.state_id, action))
            .or_default()
            .push((change.new.booth_id, review));
    }
    let entries = groups.into_iter().map(|((state_id, action), reviews)| {
        let digest = digest_of_reviews(reviews.iter().map(|(_, review)| *review))
            .ok_or_else(|| ApiError::internal("a verdict has no salts"))?;
        Ok(Entry::new(state_id, state_id, action, "review", digest)
            .at_units(reviews.iter().map(|(booth_id, _)| *booth_id))
            .of_uuids(reviews.iter().map(|(_, review)| review.visit_id.0))
            .made_versions(reviews.iter().map(|(_, review)| review.number)))
    });
    entries.collect()
}

/// The digest of an entry that gave these verdicts: of each the visit, its number and the commitment to it, whose parts
/// are the facts and the reason. `None` if one of them has no salts.
#[must_use]
pub fn digest_of_reviews<'a>(reviews: impl IntoIterator<Item = &'a ReviewRow>) -> Option<Digest> {
    let versions: Option<Vec<_>> = reviews
        .into_iter()
        .map(|review| {
            let facts = Canonical::default()
                .field(&review.state_id.0)
                .field(&review.visit_id.0)
                .field(&review.number)
                .field(&review.visit_version)
                .field(&review.verdict)
                .field(&review.reviewer_id.0)
                .field(&review.reviewed_at);
            let reason = Canonical::default().field(&review.reason);
            let commitment = Salts::from_bytes(&review.salts)?.commit(&[facts, reason])?;
            Some((review.visit_id.0, review.number, commitment))
        })
        .collect();
    versions.map(digest_of_versions)
}
