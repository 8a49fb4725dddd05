use actix_web::{get, patch, post, web};

use super::queries::{
    PravasRow, find_pravas, insert_pravas, insert_stops, list_pravas as load_pravas, list_stops, lock_pravas,
    places_under, stops_outside, store_pravas,
};
use super::wire::view::{PravasFilter, PravasPlanView, PravasView, StopView};
use super::wire::{NewPravas, NewStop, PravasPatch, check_days};
use crate::access::actions::{PravasRead, PravasWrite, WorkerRead};
use crate::access::policy::{permit, permit_field, scope, scope_within};
use crate::access::{Caller, Permit};
use crate::features::target_sets::members_today;
use crate::features::tasks::is_active_worker;
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::{PravasId, UnitId, WorkerId};
use crate::platform::page::Page;
use crate::platform::reply::{IfMatch, Reply};
use crate::platform::validate::FieldErrors;

pub mod coverage;
pub mod reviews;
pub mod stops;

const LIST: &str = "pravas";
/// Most stops shown with a tour.
const SHOWN: i64 = 500;
/// Most stops named that other days of a tour would leave outside, on either side.
const NAMED: i64 = 5;

/// Tours
///
/// Those planned in your scope, and those with a seat or a stop there.
#[utoipa::path(
    operation_id = "list_pravas", tag = "pravas", security(("bearer" = ["pravas.read"])),
    params(PravasFilter),
    responses(
        (status = 200, description = "By id.", body = Page<PravasView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "None of your grants reads tours.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`under` is no unit of yours.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/pravas")]
pub async fn list_pravas(
    caller: Caller,
    filter: Query<PravasFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let limit = filter.paging().limit()?;
    let after = filter.paging().after(LIST)?;
    let rows = db
        .read(async |tx| {
            let scope = scope_within::<PravasRead>(tx, &caller, filter.under).await?;
            Ok(load_pravas(tx, &scope, caller.today(), filter.leader_id, after, limit + 1).await?)
        })
        .await?;
    Reply::ok(&Page::new(LIST, rows, limit, |row| row.id, PravasView::from))
}

/// Plan a tour
///
/// A leader, the seats that he is given (or those of a target set), and stops, which can be added later.
#[utoipa::path(
    operation_id = "create_pravas", tag = "pravas", security(("bearer" = ["pravas.write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer.")),
    request_body(content = NewPravas, example = json!({"unit_id": 2, "leader_id": 1, "title": "Pravas in the seats to win",
        "starts_on": "2026-11-23", "ends_on": "2026-11-30", "seats": [9],
        "stops": [{"unit_id": 14, "day": "2026-11-24", "purpose": "Meet the booth committee"}]})),
    responses(
        (status = 201, description = "Planned; `Location` and `ETag` are given.", body = PravasPlanView),
        (status = 403, description = "You may see the unit, but not plan tours there.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or a unit, target set or worker is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/pravas")]
pub async fn create_pravas(
    caller: Caller,
    body: Json<NewPravas>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let new = body.value;
    let actor = *caller.actor();
    db.write_once(&actor, body.idempotency, async move |tx| {
        let permit = permit_field::<PravasWrite>(tx, &caller, new.unit_id, "/unit_id").await?;
        check_leader(tx, &caller, new.leader_id).await?;
        let seats = seats_of(tx, &caller, &permit, &new).await?;
        check_places(tx, &caller, &permit, &new.stops).await?;
        let id = insert_pravas(tx, &permit, &new, &seats).await?;
        insert_stops(tx, &permit, id, &new.stops).await?;
        let view = plan(tx, &caller, id).await?;
        let reply = Reply::created(&view, format!("/v1/pravas/{id}"))?.with_version(view.pravas.version);
        Ok((reply, record(&permit, &view.pravas, &view)))
    })
    .await
}

/// One tour with its stops
#[utoipa::path(
    operation_id = "get_pravas", tag = "pravas", security(("bearer" = ["pravas.read"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 200, description = "The tour, and of its seats and stops those in your scope; `ETag` is the version of the tour itself.", body = PravasPlanView),
        (status = 404, description = "No such tour, or none of yours.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/pravas/{id}")]
pub async fn get_pravas(caller: Caller, id: Path<PravasId>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let view = db.read(async |tx| plan(tx, &caller, *id).await).await?;
    // What is behind the hyphen changes with the stops, so that no cache shows an old plan.
    let whole = Digest::of(&view).0;
    let rest: String = whole.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Ok(Reply::ok(&view)?.with_tag(&format!("{}-{rest}", view.pravas.version)))
}

/// Change or cancel a tour
#[utoipa::path(
    operation_id = "update_pravas", tag = "pravas", security(("bearer" = ["pravas.write"])),
    params(
        ("id" = i32, Path, example = 1),
        ("If-Match" = String, Header, description = "The ETag of what you read.", example = "\"1\""),
    ),
    request_body(content = PravasPatch, example = json!({"ends_on": "2026-12-02"})),
    responses(
        (status = 200, description = "As it is now. A change that changes nothing makes no new version.", body = PravasPlanView),
        (status = 403, description = "You may see it, but not change it.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such tour, or none of yours.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was cancelled.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or a stop would lie outside its days.", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[patch("/v1/pravas/{id}")]
pub async fn update_pravas(
    caller: Caller,
    id: Path<PravasId>,
    if_match: IfMatch,
    body: Json<PravasPatch>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, patch) = (*id, body.value);
    let actor = *caller.actor();
    let view = db
        .write(&actor, async move |tx| {
            let (current, permit) = to_change(tx, &caller, id).await?;
            if_match.check(current.version)?;
            let mut changed = PravasRow {
                title: patch.title.clone().unwrap_or_else(|| current.title.clone()),
                starts_on: patch.starts_on.unwrap_or(current.starts_on),
                ends_on: patch.ends_on.unwrap_or(current.ends_on),
                ..current.clone()
            };
            if let Some(reason) = &patch.cancel_reason {
                changed.cancel_reason = Some(reason.clone());
                changed.cancelled_at = Some(permit.actor().at);
            }
            if changed == current {
                return Ok((plan(tx, &caller, id).await?, Record::nothing()));
            }
            if (changed.starts_on, changed.ends_on) != (current.starts_on, current.ends_on) {
                check_new_days(tx, &permit, &changed).await?;
            }
            store_pravas(tx, &permit, &changed).await?;
            let view = plan(tx, &caller, id).await?;
            let record = record(&permit, &view.pravas, &view);
            Ok((view, record))
        })
        .await?;
    Ok(Reply::ok(&view)?.with_version(view.pravas.version))
}

/// Other days of a tour hold all of its stops, those that its planner does not see among them.
async fn check_new_days(
    tx: &mut Tx,
    permit: &Permit<PravasWrite>,
    changed: &PravasRow,
) -> Result<(), ApiError> {
    let days = (changed.starts_on, changed.ends_on);
    let mut errors = FieldErrors::default();
    check_days(&mut errors, days.0, days.1);
    if errors.0.is_empty() {
        let (early, late) = stops_outside(tx, permit, changed.id, days, NAMED).await?;
        for (pointer, stops) in [("/starts_on", early), ("/ends_on", late)] {
            if stops.is_empty() {
                continue;
            }
            let named: Vec<String> = stops
                .iter()
                .map(|stop| format!("stop {} on {}", stop.id, stop.day))
                .collect();
            errors.add(
                pointer,
                "stop_outside",
                format!(
                    "would leave outside: {}; move or cancel them first",
                    named.join(", ")
                ),
            );
        }
    }
    if errors.0.is_empty() {
        Ok(())
    } else {
        Err(ApiError::fields(errors))
    }
}

/// The tour with the stops that the caller may see.
async fn plan(tx: &mut Tx, caller: &Caller, id: PravasId) -> Result<PravasPlanView, ApiError> {
    let row = visible(tx, caller, id).await?;
    let scope = scope::<PravasRead>(caller)?;
    let stops = list_stops(tx, &scope, caller.today(), id, SHOWN).await?;
    Ok(PravasPlanView {
        pravas: row.into(),
        stops: stops.into_iter().map(StopView::from).collect(),
    })
}

/// The tour if the caller may see it; who may read no tour at all sees none.
async fn visible(tx: &mut Tx, caller: &Caller, id: PravasId) -> Result<PravasRow, ApiError> {
    let scope = scope::<PravasRead>(caller).map_err(|_| ApiError::not_found())?;
    find_pravas(tx, &scope, caller.today(), id)
        .await?
        .ok_or_else(ApiError::not_found)
}

/// A tour that stands, held, and leave to change it: it may have been planned above all that the caller can read, which is
/// then no secret any more.
async fn to_change(
    tx: &mut Tx,
    caller: &Caller,
    id: PravasId,
) -> Result<(PravasRow, Permit<PravasWrite>), ApiError> {
    lock_pravas(tx, id).await?;
    let row = visible(tx, caller, id).await?;
    let permit = permit::<PravasWrite>(tx, caller, row.unit_id)
        .await
        .map_err(|error| {
            if error.code() == Code::NotFound {
                ApiError::new(Code::Forbidden, "none of your grants allows pravas.write here")
            } else {
                error
            }
        })?;
    if row.cancelled_at.is_some() {
        return Err(ApiError::new(Code::Conflict, "the tour was cancelled"));
    }
    Ok((row, permit))
}

async fn check_leader(tx: &mut Tx, caller: &Caller, leader_id: WorkerId) -> Result<(), ApiError> {
    let known = match scope::<WorkerRead>(caller) {
        Ok(scope) => is_active_worker(tx, &scope, caller.today(), leader_id).await?,
        Err(_) => false,
    };
    if known {
        return Ok(());
    }
    Err(ApiError::field(
        "/leader_id",
        "unknown_worker",
        "there is no such active worker, or he lies outside your grants",
    ))
}

/// The constituencies that are given: named, or those of the target set under the unit.
async fn seats_of(
    tx: &mut Tx,
    caller: &Caller,
    permit: &Permit<PravasWrite>,
    new: &NewPravas,
) -> Result<Vec<UnitId>, ApiError> {
    let named = match new.target_set {
        Some(id) => members_today(tx, caller, id).await?,
        None => new.seats.clone(),
    };
    let places = places_under(tx, permit, caller.today(), &named).await?;
    let seats: Vec<UnitId> = places
        .into_iter()
        .filter(|place| place.level.ends_with("_constituency"))
        .map(|place| place.id)
        .collect();
    if new.target_set.is_some() && seats.is_empty() {
        let detail = "none of its seats lies under the unit today";
        return Err(ApiError::field("/target_set", "no_seats", detail));
    }
    let mut errors = FieldErrors::default();
    for (n, seat) in new.seats.iter().enumerate() {
        if !seats.contains(seat) {
            errors.add(
                format!("/seats/{n}"),
                "unknown_unit",
                "there is no such constituency under the unit",
            );
        }
    }
    if errors.0.is_empty() {
        Ok(seats)
    } else {
        Err(ApiError::fields(errors))
    }
}

/// Stops lie under the unit that plans the tour.
async fn check_places(
    tx: &mut Tx,
    caller: &Caller,
    permit: &Permit<PravasWrite>,
    stops: &[NewStop],
) -> Result<(), ApiError> {
    let ids: Vec<UnitId> = stops.iter().map(|stop| stop.unit_id).collect();
    let places = places_under(tx, permit, caller.today(), &ids).await?;
    let mut errors = FieldErrors::default();
    for (n, id) in ids.iter().enumerate() {
        if !places.iter().any(|place| place.id == *id) {
            errors.add(
                format!("/stops/{n}/unit_id"),
                "unknown_unit",
                "there is no such unit under the one that plans the tour",
            );
        }
    }
    if errors.0.is_empty() {
        Ok(())
    } else {
        Err(ApiError::fields(errors))
    }
}

fn record<T: serde::Serialize>(permit: &Permit<PravasWrite>, pravas: &PravasView, written: &T) -> Record {
    let (state_id, unit_id) = (permit.state_id(), permit.unit_id());
    Entry::new(state_id, unit_id, "pravas.write", "pravas", Digest::of(written))
        .of_ids([pravas.id.0])
        .into()
}
