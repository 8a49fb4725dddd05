//! PATCH and void: a new version; the old one is kept and the totals move.

use actix_web::{patch, post, web};
use serde_json::Value;

use super::read::find;
use crate::access::actions::{VisitCorrect, VisitCorrectOwn, VisitVoid};
use crate::access::policy::{Ask, permit, permits_on_days};
use crate::access::{Caller, Permit};
use crate::features::campaigns::{CampaignFacts, load_facts};
use crate::features::signoffs::is_signed;
use crate::features::units::{Hold, hold_lineages};
use crate::features::visits::commitment::digest_of;
use crate::features::visits::doors::{Change, move_counts};
use crate::features::visits::queries::{
    DoorstepRow, VisitRow, booth_location, doorsteps, lock_visit, replace_visit,
};
use crate::features::visits::rules::{self, flags};
use crate::features::visits::sight::Sight;
use crate::features::visits::voids::{next_version, void_visits};
use crate::features::visits::wire::{Flag, Outcome, Review, VisitPatch, VisitSent, VisitView, VoidSent};
use crate::journal::{Entry, Record};
use crate::platform::body::{Json, Path};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::VisitId;
use crate::platform::reply::{IfMatch, Reply};

/// Correct a visit
///
/// The author corrects his own; `visit.correct` allows it for all visits under the unit. A verdict on the visit falls: it
/// waits for review again. Its author cannot correct a visit that was rejected, nor one of a week that is signed.
#[utoipa::path(
    operation_id = "correct_visit", tag = "visits", security(("bearer" = ["visit.correct", "visit.correct_own"])),
    params(
        ("id" = uuid::Uuid, Path, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33"),
        ("If-Match" = String, Header, description = "The ETag of what you read.", example = "\"1\""),
    ),
    request_body = VisitPatch,
    responses(
        (status = 200, description = "The new version. A change that changes nothing makes none.", body = VisitView),
        (status = 403, description = "You may see it, but not correct it.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such visit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was voided; or it is your own, and was rejected or its week is signed.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[patch("/v1/visits/{id}")]
pub async fn correct_visit(
    caller: Caller,
    id: Path<VisitId>,
    if_match: IfMatch,
    body: Json<VisitPatch>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, patch) = (*id, body.value);
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    db.write(&actor, async move |tx| {
        let old = find_locked(tx, &keys, &caller, id).await?;
        let (row, record) = match own_permit(tx, &caller, &old).await? {
            Some(permit) => correct(tx, &keys, &caller, &permit, old, patch.clone(), &if_match).await?,
            None => {
                let permit = seen(permit::<VisitCorrect>(tx, &caller, old.booth_id).await)?;
                correct(tx, &keys, &caller, &permit, old, patch.clone(), &if_match).await?
            }
        };
        Ok((reply(tx, &caller, row).await?, record))
    })
    .await
}

/// Void a visit
///
/// It stays on record and leaves every figure but `voided`. Sending it again changes nothing.
#[utoipa::path(
    operation_id = "void_visit", tag = "visits", security(("bearer" = ["visit.void"])),
    params(
        ("id" = uuid::Uuid, Path, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33"),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = VoidSent,
    responses(
        (status = 200, description = "Voided, now or before.", body = VisitView),
        (status = 403, description = "You may see it, but not void it.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such visit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is your own, and its week is signed.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The reason is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/visits/{id}/void")]
pub async fn void_visit(
    caller: Caller,
    id: Path<VisitId>,
    body: Json<VoidSent>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, reason) = (*id, body.value.reason);
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    db.write_once(&actor, body.idempotency, async move |tx| {
        let old = find_locked(tx, &keys, &caller, id).await?;
        let permit = seen(permit::<VisitVoid>(tx, &caller, old.booth_id).await)?;
        if old.voided_at.is_some() {
            return Ok((reply(tx, &caller, old).await?, Record::nothing()));
        }
        check_open(tx, &caller, &old).await?;
        let (new, record) = void_visits(tx, &permit, vec![old], &reason).await?;
        let new = new.into_iter().next().ok_or_else(ApiError::not_found)?;
        Ok((reply(tx, &caller, new).await?, record))
    })
    .await
}

/// A visit as an answer to the caller.
///
/// # Errors
/// What the database says.
pub async fn reply(tx: &mut Tx, caller: &Caller, row: VisitRow) -> Result<Reply, ApiError> {
    let view = Sight::of(tx, caller, [row.booth_id]).await?.show(row);
    Ok(Reply::ok(&view)?.with_tag(&view.tag()))
}

/// The visit if the caller may see it, locked, with the lineages of its state held still.
async fn find_locked(
    tx: &mut Tx,
    keys: &DataKeys,
    caller: &Caller,
    id: VisitId,
) -> Result<VisitRow, ApiError> {
    let found = find(tx, keys, caller, id).await?;
    hold_lineages(tx, &[found.state_id], Hold::Shared).await?;
    Ok(lock_visit(tx, keys, (found.state_id, found.id)).await?)
}

/// Leave to correct one's own visit, where it could still be recorded.
async fn own_permit(
    tx: &mut Tx,
    caller: &Caller,
    row: &VisitRow,
) -> Result<Option<Permit<VisitCorrectOwn>>, ApiError> {
    if row.worker_id != caller.worker_id() {
        return Ok(None);
    }
    let ask = Ask {
        actor: *caller.actor(),
        booth_id: row.booth_id,
        day: row.visited_on,
        at: row.visited_at,
        strong: caller.strength().is_strong(),
    };
    let mut permits = permits_on_days(tx, &[ask], caller.today()).await?;
    Ok(permits.pop().flatten().map(|dated| dated.permit))
}

/// What has been shown is not hidden again: a missing leave is 403.
fn seen<A>(permit: Result<Permit<A>, ApiError>) -> Result<Permit<A>, ApiError> {
    permit.map_err(|error| {
        if error.code() == Code::NotFound {
            ApiError::new(Code::Forbidden, "none of your grants allows this here")
        } else {
            error
        }
    })
}

/// A signed week is closed to the authors of its visits.
async fn check_open(tx: &mut Tx, caller: &Caller, row: &VisitRow) -> Result<(), ApiError> {
    if row.worker_id == caller.worker_id() && is_signed(tx, row.booth_id, row.visited_on).await? {
        return Err(ApiError::new(
            Code::WeekSigned,
            "the week of your visit is signed; who answers for the mandal can still change it",
        ));
    }
    Ok(())
}

async fn correct<A>(
    tx: &mut Tx,
    keys: &DataKeys,
    caller: &Caller,
    permit: &Permit<A>,
    old: VisitRow,
    patch: VisitPatch,
    if_match: &IfMatch,
) -> Result<(VisitRow, Record), ApiError> {
    if old.voided_at.is_some() {
        return Err(ApiError::new(Code::AlreadyVoided, "the visit was voided"));
    }
    if_match.check(old.version)?;
    if !rules::may_correct(&old, caller.worker_id()) {
        return Err(ApiError::new(
            Code::VisitRejected,
            "your visit was rejected; only who reviews it can bring it back",
        ));
    }
    check_open(tx, caller, &old).await?;
    let before = VisitSent::from(&old);
    let mut sent = rules::corrected(&before, patch);
    if sent == before {
        return Ok((old, Record::nothing()));
    }
    let campaign = load_facts(tx, &[old.campaign_id]).await?.pop();
    let campaign = campaign.ok_or_else(|| ApiError::internal("a stored visit has no campaign"))?;
    let age = caller.actor().at - old.received_at;
    rules::check_age(&before, &mut sent, age, &campaign)?;
    let question_version = rules::check(&sent, &campaign).map_err(ApiError::fields)?;
    let flags = flags_after(tx, &campaign, &old, (&before, &sent)).await?;
    let mut new = next_version(&old, caller.worker_id(), caller.actor().at)?;
    new.household_id = sent.household_id;
    new.outcome = sent.outcome.as_str().to_owned();
    new.channel = sent.channel.as_str().to_owned();
    new.people_met = sent.people_met;
    new.support = sent.support;
    new.issues = serde_json::to_value(&sent.issues).map_err(ApiError::internal)?;
    new.answers = Value::Object(sent.answers);
    new.question_version = question_version;
    new.note = sent.note;
    new.lat = sent.location.map(|position| position.lat);
    new.lon = sent.location.map(|position| position.lon);
    new.accuracy_m = sent.location.and_then(|position| position.accuracy_m);
    new.mock = sent.location.and_then(|position| position.mock);
    new.duration_s = sent.duration_s;
    new.flags = serde_json::to_value(&flags).map_err(ApiError::internal)?;
    // A verdict speaks of the version that was judged.
    new.review = Review::Unreviewed.as_str().to_owned();
    let record = replace(tx, keys, permit, &old, &new).await?;
    Ok((new, record))
}

/// The door that a visit names, which must be one of its booth.
async fn door_of(tx: &mut Tx, row: &VisitRow, sent: &VisitSent) -> Result<Option<DoorstepRow>, ApiError> {
    let Some(household_id) = sent.household_id else {
        return Ok(None);
    };
    let asked = (row.state_id, row.booth_id, household_id, row.campaign_id);
    match doorsteps(tx, &[asked]).await?.pop() {
        Some(door) => Ok(Some(door)),
        None => Err(
            ApiError::new(Code::UnknownHousehold, Code::UnknownHousehold.title()).with_field(
                "/household_id",
                "unknown_household",
                Code::UnknownHousehold.help(),
            ),
        ),
    }
}

/// The flags of a corrected visit: those it had, and what its new content brings that its old content did not.
async fn flags_after(
    tx: &mut Tx,
    campaign: &CampaignFacts,
    old: &VisitRow,
    (before, after): (&VisitSent, &VisitSent),
) -> Result<Vec<Flag>, ApiError> {
    let door = door_of(tx, old, after).await?;
    let same_door = before.household_id == after.household_id;
    let door_before = if same_door {
        door
    } else {
        door_of(tx, old, before).await?
    };
    let booth = booth_location(tx, old).await?;
    let at = |door: Option<DoorstepRow>| door.and_then(|door| door.location());
    let brought_before = flags::of_content(before, &campaign.bounds, booth, at(door_before));
    let mut brought = flags::of_content(after, &campaign.bounds, booth, at(door));
    brought.retain(|flag| brought_before.iter().all(|known| known.code != flag.code));
    // The door's contacts are those before this write: they hold this visit if it was one of them.
    let newly_met = after.outcome == Outcome::Met && !(before.outcome == Outcome::Met && same_door);
    if let Some(met) = door.and_then(|door| door.contacts()).filter(|_| newly_met) {
        brought.extend(flags::of_repeat(old.visited_on, met, &campaign.bounds));
    }
    let held: Vec<Flag> = serde_json::from_value(old.flags.clone()).map_err(ApiError::internal)?;
    Ok(flags::with_added(held, brought))
}

async fn replace<A>(
    tx: &mut Tx,
    keys: &DataKeys,
    permit: &Permit<A>,
    old: &VisitRow,
    new: &VisitRow,
) -> Result<Record, ApiError> {
    replace_visit(tx, keys, permit, new).await?;
    let change = Change {
        old: old.clone(),
        new: new.clone(),
    };
    let tallies = move_counts(tx, &[change]).await?;
    let digest = digest_of([new]).ok_or_else(|| ApiError::internal("a new version has no salts"))?;
    let entry = Entry::new(new.state_id, new.booth_id, "visit.correct", "visit", digest)
        .of_uuids([new.id.0])
        .made_versions([new.version]);
    Ok(Record {
        entries: vec![entry],
        tallies,
    })
}
