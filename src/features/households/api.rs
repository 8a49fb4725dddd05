use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, get, put, web};

use super::queries::{
    insert_household, list_households as load_households, lock_household, update_household,
};
use super::rules::{from_afar, is_same};
use super::wire::{HouseholdSent, HouseholdView};
use crate::access::actions::{Action, HouseholdRead, HouseholdWrite};
use crate::access::fields::PrivateField;
use crate::access::policy::{permit, permit_field};
use crate::access::{Caller, Permit};
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::{HouseholdId, UnitId};
use crate::platform::page::{Page, Paging};
use crate::platform::reply::{IfMatch, Reply};

const BOOTH: &str = "booth";

/// Households of a booth
#[utoipa::path(
    operation_id = "list_households", tag = "households", security(("bearer" = ["household.read"])),
    params(("id" = i32, Path, description = "The booth.", example = 14), Paging),
    responses(
        (status = 200, description = "By id. From above the mandal, locations have three decimals.", body = Page<HouseholdView>),
        (status = 403, description = "You may see the booth, but not its households.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such booth, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/booths/{id}/households")]
pub async fn list_households(
    caller: Caller,
    booth_id: Path<UnitId>,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let list = format!("households of {}", *booth_id);
    let limit = paging.0.limit()?;
    let after: Option<HouseholdId> = paging.0.after(&list)?;
    let (rows, near) = db
        .read(async |tx| {
            let permit = permit::<HouseholdRead>(tx, &caller, *booth_id).await?;
            if permit.level() != BOOTH {
                return Err(ApiError::not_found());
            }
            let rows = load_households(tx, &permit, after, limit).await?;
            Ok((rows, works_near(&caller, &permit)))
        })
        .await?;
    Reply::ok(&Page::new(
        &list,
        rows,
        limit,
        |row| row.id,
        |row| {
            if near { row.into() } else { from_afar(row.into()) }
        },
    ))
}

/// Write a household
///
/// The phone makes the id; sending the same again is safe. It replaces the household whole.
#[utoipa::path(
    operation_id = "put_household", tag = "households", security(("bearer" = ["household.write"])),
    params(
        ("id" = uuid::Uuid, Path, description = "Made by the phone; version 7 preferred.", example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33"),
        ("If-Match" = Option<String>, Header, description = "If sent, the version that is replaced."),
    ),
    request_body = HouseholdSent,
    responses(
        (status = 201, description = "Stored.", body = HouseholdView),
        (status = 200, description = "Changed, or the same as before; `ETag` is the version.", body = HouseholdView),
        (status = 403, description = "You may see the booth, but not write its households.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The id belongs to a household of another booth.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "If-Match names another version.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or the booth is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[put("/v1/households/{id}")]
pub async fn put_household(
    caller: Caller,
    id: Path<HouseholdId>,
    if_match: IfMatch,
    request: HttpRequest,
    body: Json<HouseholdSent>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, sent) = (*id, body.value);
    let if_match = request
        .headers()
        .contains_key(header::IF_MATCH)
        .then_some(if_match);
    let actor = *caller.actor();
    db.write(&actor, async move |tx| {
        let permit = permit_field::<HouseholdWrite>(tx, &caller, sent.booth_id, "/booth_id").await?;
        if permit.level() != BOOTH {
            return Err(ApiError::field("/booth_id", "not_a_booth", "must be a booth"));
        }
        let (status, view, changed) = match insert_household(tx, &permit, id, &sent).await? {
            Some(row) => {
                check_version(if_match.as_ref(), 0)?;
                (StatusCode::CREATED, HouseholdView::from(row), true)
            }
            None => {
                // What the second wall hides lies outside all grants of his.
                let stored = lock_household(tx, &permit, id)
                    .await?
                    .map(HouseholdView::from)
                    .ok_or_else(taken_elsewhere)?;
                check_booth(tx, &caller, &stored, sent.booth_id).await?;
                check_version(if_match.as_ref(), stored.version)?;
                if is_same(&stored, &sent) {
                    (StatusCode::OK, stored, false)
                } else {
                    let row = update_household(tx, &permit, id, &sent).await?;
                    (StatusCode::OK, HouseholdView::from(row), true)
                }
            }
        };
        let record = if changed {
            record(&permit, &view)
        } else {
            Record::nothing()
        };
        let reply = Reply::with_status(status, &view)?.with_version(view.version);
        Ok((reply, record))
    })
    .await
}

/// Makes a household in the program's own name; nothing if the id is taken.
///
/// # Errors
/// What the database says.
pub async fn add_household(
    tx: &mut Tx,
    permit: &Permit<HouseholdWrite>,
    id: HouseholdId,
    sent: &HouseholdSent,
) -> Result<Vec<Entry>, ApiError> {
    let row = insert_household(tx, permit, id, sent).await?;
    Ok(row
        .map(|row| record(permit, &HouseholdView::from(row)).entries)
        .unwrap_or_default())
}

fn check_version(if_match: Option<&IfMatch>, version: i32) -> Result<(), ApiError> {
    if_match.map_or(Ok(()), |if_match| if_match.check(version))
}

/// 409 if the id is taken in another booth; which one is told only to who may see its households.
async fn check_booth(
    tx: &mut Tx,
    caller: &Caller,
    stored: &HouseholdView,
    booth_id: UnitId,
) -> Result<(), ApiError> {
    if stored.booth_id == booth_id {
        return Ok(());
    }
    match permit::<HouseholdRead>(tx, caller, stored.booth_id).await {
        Ok(_) => {
            let detail = format!(
                "this household belongs to booth {} for ever; use a new id for another booth",
                stored.booth_id
            );
            Err(ApiError::new(Code::Conflict, detail))
        }
        Err(hidden) if hidden.code().status() < 500 => Err(taken_elsewhere()),
        Err(fault) => Err(fault),
    }
}

fn taken_elsewhere() -> ApiError {
    ApiError::new(Code::Conflict, "this id cannot be used; make another one")
}

/// Whether one of the caller's grants that let him read here brings him to the doors.
fn works_near(caller: &Caller, permit: &Permit<HouseholdRead>) -> bool {
    caller.grants().any(|grant| {
        grant.role.may(HouseholdRead::ACTION)
            && PrivateField::HouseholdPlace.is_shown_to(grant.role)
            && permit.lineage().contains(&grant.unit_id)
    })
}

fn record(permit: &Permit<HouseholdWrite>, view: &HouseholdView) -> Record {
    let (state_id, unit_id) = (permit.state_id(), permit.unit_id());
    Entry::new(
        state_id,
        unit_id,
        "household.write",
        "household",
        Digest::of(view),
    )
    .of_uuids([view.id.0])
    .into()
}
