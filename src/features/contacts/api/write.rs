//! Recording, correcting, withdrawing, erasing.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, patch, post, put, web};

use super::{read_record, readable, record};
use crate::access::Caller;
use crate::access::actions::{ContactCorrect, ContactCorrectOwn, ContactWrite};
use crate::access::policy::{permit, permit_field};
use crate::access::{Permit, actions::Action};
use crate::features::campaigns::load_facts;
use crate::features::contacts::queries::{
    Contact, correct_phone, end_contact, find_contact, insert_contact, lock_contact,
};
use crate::features::contacts::rules::{YEAR, is_same, keep_until};
use crate::features::contacts::wire::{ContactPatch, ContactSent, ContactStatus, ContactView};
use crate::features::households::find_booths;
use crate::journal::Record;
use crate::platform::body::{Json, Path};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::ContactId;
use crate::platform::reply::{IfMatch, Reply};

/// Record a contact
///
/// With the consent that it is kept by. The phone makes the id; sending the same again is safe.
#[utoipa::path(
    operation_id = "put_contact", tag = "contacts", security(("bearer" = ["contact.write"])),
    params(("id" = uuid::Uuid, Path, description = "Made by the phone; version 7 preferred.", example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd44")),
    request_body = ContactSent,
    responses(
        (status = 201, description = "Stored.", body = ContactView),
        (status = 200, description = "The same was stored before.", body = ContactView),
        (status = 403, description = "You may see the booth, but not record contacts there.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another contact has, or had, this id.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid; unknown campaign or household; or the booth is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[put("/v1/contacts/{id}")]
pub async fn put_contact(
    caller: Caller,
    id: Path<ContactId>,
    body: Json<ContactSent>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, sent) = (*id, body.value);
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    db.write(&actor, async move |tx| {
        let permit = permit_field::<ContactWrite>(tx, &caller, sent.booth_id, "/booth_id").await?;
        if permit.level() != "booth" {
            return Err(ApiError::field("/booth_id", "not_a_booth", "must be a booth"));
        }
        let until = check_place(tx, &caller, &permit, &sent).await?;
        let new = insert_contact(tx, &keys, &permit, id, &sent, until).await?;
        let stored = lock_contact(tx, &keys, permit.state_id(), id).await?;
        let taken = || ApiError::new(Code::Conflict, "this id cannot be used; make another one");
        let Some((_, view)) = stored else {
            return Err(taken());
        };
        if new {
            let reply = Reply::with_status(StatusCode::CREATED, &view)?.with_version(view.version);
            return Ok((reply, record(&keys, &permit, "contact.write", &view)));
        }
        // What was another's, or has ended since, is told to nobody who did not see it before.
        if view.recorded_by != caller.worker_id() || !is_same(&view, &sent) {
            return Err(taken());
        }
        let reply = Reply::with_status(StatusCode::OK, &view)?.with_version(view.version);
        Ok((reply, Record::nothing()))
    })
    .await
}

/// The household must stand in the booth and the campaign run there; returns the day until which the contact is kept.
async fn check_place(
    tx: &mut Tx,
    caller: &Caller,
    permit: &Permit<ContactWrite>,
    sent: &ContactSent,
) -> Result<chrono::NaiveDate, ApiError> {
    let door = (permit.state_id(), sent.household_id);
    if find_booths(tx, &[door]).await?.get(&door) != Some(&sent.booth_id) {
        return Err(unknown(Code::UnknownHousehold, "/household_id"));
    }
    let campaign = load_facts(tx, &[sent.campaign_id]).await?.pop();
    let campaign = campaign
        .filter(|campaign| permit.lineage().contains(&campaign.unit_id))
        .ok_or_else(|| unknown(Code::UnknownCampaign, "/campaign_id"))?;
    keep_until(sent.keep_until, caller.today(), campaign.retention_days)
}

fn unknown(code: Code, pointer: &str) -> ApiError {
    ApiError::new(code, code.title()).with_field(pointer, code.as_str(), code.help())
}

/// Correct a contact
///
/// Who recorded it corrects it; `contact.correct` allows it for all contacts under the unit.
#[utoipa::path(
    operation_id = "correct_contact", tag = "contacts", security(("bearer" = ["contact.correct", "contact.correct_own"])),
    params(
        ("id" = uuid::Uuid, Path, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd44"),
        ("If-Match" = String, Header, description = "The ETag of what you read.", example = "\"1\""),
    ),
    request_body = ContactPatch,
    responses(
        (status = 200, description = "The new version. A change that changes nothing makes none.", body = ContactView),
        (status = 403, description = "You may see it, but not correct it.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such contact, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has ended.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[patch("/v1/contacts/{id}")]
pub async fn correct_contact(
    caller: Caller,
    id: Path<ContactId>,
    if_match: IfMatch,
    body: Json<ContactPatch>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, phone) = (*id, body.value.phone);
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    let view = db
        .write(&actor, async move |tx| {
            let (state_id, contact) = find_locked(tx, &keys, &caller, id).await?;
            let leave = Leave::ask(tx, &caller, &contact).await?;
            if contact.status != ContactStatus::Live {
                return Err(ApiError::new(Code::Conflict, "the contact has ended"));
            }
            if_match.check(contact.version)?;
            if contact.phone.as_ref() == Some(&phone) {
                return Ok((contact.clone(), read_record(&[(state_id, contact)])));
            }
            let record = match leave {
                Leave::Own(permit) => {
                    correct_phone(tx, &keys, &permit, id, &phone).await?;
                    let changed = after(tx, &keys, &permit, id).await?;
                    (
                        changed.clone(),
                        record(&keys, &permit, "contact.correct", &changed),
                    )
                }
                Leave::All(permit) => {
                    correct_phone(tx, &keys, &permit, id, &phone).await?;
                    let changed = after(tx, &keys, &permit, id).await?;
                    (
                        changed.clone(),
                        record(&keys, &permit, "contact.correct", &changed),
                    )
                }
            };
            Ok(record)
        })
        .await?;
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// Withdraw a consent
///
/// The number is shown to nobody from now on, and destroyed when the year is over for which it must be kept. Sending it
/// again changes nothing.
#[utoipa::path(
    operation_id = "withdraw_consent", tag = "contacts", security(("bearer" = ["contact.correct", "contact.correct_own"])),
    params(("id" = uuid::Uuid, Path, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd44")),
    responses(
        (status = 200, description = "Withdrawn, now or before; `destroy_on` says when the number goes.", body = ContactView),
        (status = 403, description = "You may see it, but not end it.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such contact, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/contacts/{id}/withdrawal")]
pub async fn withdraw_consent(
    caller: Caller,
    id: Path<ContactId>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let view = end(&db, caller, *id, "withdrawn", "contact.withdraw").await?;
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// Erase a contact
///
/// As a withdrawal: shown to nobody from now on, destroyed when the year is over. Sending it again changes nothing.
#[utoipa::path(
    operation_id = "erase_contact", tag = "contacts", security(("bearer" = ["contact.correct", "contact.correct_own"])),
    params(("id" = uuid::Uuid, Path, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd44")),
    responses(
        (status = 204, description = "Erasure is asked for, now or before."),
        (status = 403, description = "You may see it, but not end it.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such contact, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[delete("/v1/contacts/{id}")]
pub async fn erase_contact(
    caller: Caller,
    id: Path<ContactId>,
    db: web::Data<Db>,
) -> Result<HttpResponse, ApiError> {
    end(&db, caller, *id, "erasure_requested", "contact.erase").await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn end(
    db: &Db,
    caller: Caller,
    id: ContactId,
    why: &'static str,
    action: &'static str,
) -> Result<ContactView, ApiError> {
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    db.write(&actor, async move |tx| {
        let (_, contact) = find_locked(tx, &keys, &caller, id).await?;
        let leave = Leave::ask(tx, &caller, &contact).await?;
        let ended = match contact.status {
            ContactStatus::Live => false,
            ContactStatus::Withdrawn | ContactStatus::Expired => why == "withdrawn",
            ContactStatus::ErasureRequested | ContactStatus::Destroyed => true,
        };
        if ended {
            return Ok((contact, Record::nothing()));
        }
        let destroy_on = caller.today() + YEAR;
        match leave {
            Leave::Own(permit) => {
                end_contact(tx, &permit, id, why, destroy_on).await?;
                let changed = after(tx, &keys, &permit, id).await?;
                Ok((changed.clone(), record(&keys, &permit, action, &changed)))
            }
            Leave::All(permit) => {
                end_contact(tx, &permit, id, why, destroy_on).await?;
                let changed = after(tx, &keys, &permit, id).await?;
                Ok((changed.clone(), record(&keys, &permit, action, &changed)))
            }
        }
    })
    .await
}

/// The contact if the caller may see it, locked.
async fn find_locked(
    tx: &mut Tx,
    keys: &DataKeys,
    caller: &Caller,
    id: ContactId,
) -> Result<Contact, ApiError> {
    let visible = readable(caller).ok_or_else(ApiError::not_found)?;
    let (state_id, _) = find_contact(tx, keys, id, &visible)
        .await?
        .ok_or_else(ApiError::not_found)?;
    lock_contact(tx, keys, state_id, id)
        .await?
        .ok_or_else(ApiError::not_found)
}

async fn after<A>(
    tx: &mut Tx,
    keys: &DataKeys,
    permit: &Permit<A>,
    id: ContactId,
) -> Result<ContactView, ApiError> {
    let changed = lock_contact(tx, keys, permit.state_id(), id).await?;
    changed
        .map(|(_, view)| view)
        .ok_or_else(|| ApiError::internal("a locked contact vanished"))
}

/// By which leave a contact is changed.
enum Leave {
    Own(Permit<ContactCorrectOwn>),
    All(Permit<ContactCorrect>),
}

impl Leave {
    /// What has been shown is not hidden again: a missing leave is 403.
    async fn ask(tx: &mut Tx, caller: &Caller, contact: &ContactView) -> Result<Self, ApiError> {
        let leave = if contact.recorded_by == caller.worker_id()
            && caller.may(ContactCorrectOwn::ACTION)
            && !caller.may(ContactCorrect::ACTION)
        {
            permit(tx, caller, contact.booth_id).await.map(Self::Own)
        } else {
            permit(tx, caller, contact.booth_id).await.map(Self::All)
        };
        leave.map_err(|error| {
            if error.code() == Code::NotFound {
                ApiError::new(Code::Forbidden, "none of your grants allows this here")
            } else {
                error
            }
        })
    }
}
