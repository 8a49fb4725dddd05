use actix_web::{get, post, web};

use super::queries::{
    BulkVoidRow, PlanRow, cancel, find_order, insert_order, list_orders, lock_order, plan, take_back,
};
use super::rules::{MOST, check_cancel, check_take_back};
use super::wire::{BulkVoidPlan, BulkVoidQuery, BulkVoidSent, BulkVoidView, TakeBackSent};
use crate::access::actions::{VisitRead, VisitVoid};
use crate::access::policy::permit;
use crate::access::{Caller, Permit};
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::{BulkVoidId, UnitId};
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;

const LIST: &str = "bulk-voids";

/// Orders to void many visits
///
/// Those given at the unit and at units under it, newest first.
#[utoipa::path(
    operation_id = "list_bulk_voids", tag = "bulk-voids", security(("bearer" = ["visit.read"])),
    params(("id" = i32, Path, example = 2), Paging),
    responses(
        (status = 200, description = "With how far each has come.", body = Page<BulkVoidView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but not its visits.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`limit` is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/bulk-voids")]
pub async fn list_bulk_voids(
    caller: Caller,
    id: Path<UnitId>,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let limit = paging.0.limit()?;
    let before: Option<BulkVoidId> = paging.0.after(LIST)?;
    let rows = db
        .read(async |tx| {
            let permit = permit::<VisitRead>(tx, &caller, *id).await?;
            Ok(list_orders(tx, &permit, caller.today(), before, limit).await?)
        })
        .await?;
    let page = Page::new(LIST, rows, limit, |row| row.id, BulkVoidView::try_from);
    let items = page.items.into_iter().collect::<Result<Vec<_>, _>>()?;
    Reply::ok(&Page {
        items,
        next_cursor: page.next_cursor,
    })
}

/// Void many visits
///
/// All visits that count, fit what is given and are of booths under the unit today: of a worker, a phone, one upload of a
/// phone, or a period. The list is fixed now, and gone through in steps of 200 visits with totals exact after each; ask
/// how far it has come. With `dry_run=true` nothing is done: you are told how many visits and doors would leave the
/// totals. Your own visits of a week that is signed are not on the list.
#[utoipa::path(
    operation_id = "start_bulk_void", tag = "bulk-voids", security(("bearer" = ["visit.void"])),
    params(
        ("id" = i32, Path, example = 2), BulkVoidQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = BulkVoidSent,
    responses(
        (status = 200, description = "With `dry_run=true`: what would be done.", body = BulkVoidPlan),
        (status = 201, description = "It is under way.", body = BulkVoidView),
        (status = 403, description = "You may see the unit, but not void visits there.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, no visit fits, or more than 100,000 do.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/units/{id}/bulk-voids")]
pub async fn start_bulk_void(
    caller: Caller,
    id: Path<UnitId>,
    query: Query<BulkVoidQuery>,
    body: Json<BulkVoidSent>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, actor, today) = (*id, *caller.actor(), caller.today());
    let sent = body.value;
    if query.0.dry_run {
        let found = db
            .read_long(async |tx| {
                let permit = permit::<VisitVoid>(tx, &caller, id).await?;
                Ok(plan(tx, &permit, &sent, today).await?)
            })
            .await?;
        check_size(found)?;
        return Reply::ok(&BulkVoidPlan::from(found));
    }
    db.write_long_once(&actor, body.idempotency, async move |tx| {
        let permit = permit::<VisitVoid>(tx, &caller, id).await?;
        let found = plan(tx, &permit, &sent, today).await?;
        check_size(found)?;
        if found.visits == 0 {
            return Err(ApiError::field(
                "",
                "nothing_found",
                "no visit that counts fits what is given",
            ));
        }
        let row = insert_order(tx, &permit, &sent, found, (caller.worker_id(), today)).await?;
        let path = format!("/v1/bulk-voids/{}", row.id);
        let (view, record) = written(&permit, row, "bulk_void.start")?;
        let version = view.version;
        Ok((Reply::created(&view, path)?.with_version(version), record))
    })
    .await
}

/// One order to void many visits, and how far it has come
#[utoipa::path(
    operation_id = "get_bulk_void", tag = "bulk-voids", security(("bearer" = ["visit.read"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 200, description = "As it stands.", body = BulkVoidView),
        (status = 403, description = "You may see the unit, but not its visits.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such order, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/bulk-voids/{id}")]
pub async fn get_bulk_void(
    caller: Caller,
    id: Path<BulkVoidId>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let row = db
        .read(async |tx| {
            let row = find(tx, *id).await?;
            let _: Permit<VisitRead> = permit(tx, &caller, row.unit_id).await?;
            Ok(row)
        })
        .await?;
    reply(&BulkVoidView::try_from(row)?)
}

/// Stop voiding
///
/// After the step under way. What was voided stays voided; take the order back to bring it back.
#[utoipa::path(
    operation_id = "cancel_bulk_void", tag = "bulk-voids", security(("bearer" = ["visit.void"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 200, description = "Stopped.", body = BulkVoidView),
        (status = 403, description = "You may see the unit, but not void visits there.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such order, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is not running.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/bulk-voids/{id}/cancel")]
pub async fn cancel_bulk_void(
    caller: Caller,
    id: Path<BulkVoidId>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, actor) = (*id, *caller.actor());
    let view = db
        .write(&actor, async move |tx| {
            let (permit, order) = hold(tx, &caller, id).await?;
            check_cancel(order.status()?)?;
            let row = cancel(tx, &permit, id, caller.worker_id()).await?;
            written(&permit, row, "bulk_void.cancel")
        })
        .await?;
    reply(&view)
}

/// Take an order back
///
/// Within 30 days of its end. Just those visits count again that it voided and nobody has changed since, in steps like
/// those that voided them, each with the verdict that it had.
#[utoipa::path(
    operation_id = "take_back_bulk_void", tag = "bulk-voids", security(("bearer" = ["visit.void"])),
    params(
        ("id" = i32, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = TakeBackSent,
    responses(
        (status = 200, description = "It is under way.", body = BulkVoidView),
        (status = 403, description = "You may see the unit, but not void visits there.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such order, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It still runs, was taken back before, or ended more than 30 days ago.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The reason is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/bulk-voids/{id}/take-back")]
pub async fn take_back_bulk_void(
    caller: Caller,
    id: Path<BulkVoidId>,
    body: Json<TakeBackSent>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, actor, reason) = (*id, *caller.actor(), body.value.reason);
    db.write_once(&actor, body.idempotency, async move |tx| {
        let (permit, order) = hold(tx, &caller, id).await?;
        check_take_back(order.status()?, order.ended_at, actor.at)?;
        let row = take_back(tx, &permit, id, caller.worker_id(), &reason).await?;
        let (view, record) = written(&permit, row, "bulk_void.take_back")?;
        Ok((reply(&view)?, record))
    })
    .await
}

async fn find(tx: &mut Tx, id: BulkVoidId) -> Result<BulkVoidRow, ApiError> {
    find_order(tx, id).await?.ok_or_else(ApiError::not_found)
}

/// The order, held against its next step, by leave to void at its unit.
async fn hold(
    tx: &mut Tx,
    caller: &Caller,
    id: BulkVoidId,
) -> Result<(Permit<VisitVoid>, BulkVoidRow), ApiError> {
    let unit_id = find(tx, id).await?.unit_id;
    let permit = permit::<VisitVoid>(tx, caller, unit_id).await?;
    let order = lock_order(tx, &permit, id).await?;
    Ok((permit, order.ok_or_else(ApiError::not_found)?))
}

fn check_size(found: PlanRow) -> Result<(), ApiError> {
    if found.visits.saturating_add(found.closed) > MOST {
        return Err(ApiError::field(
            "",
            "too_many",
            format!("more than {MOST} visits fit; narrow it, by days for example"),
        ));
    }
    Ok(())
}

fn reply(view: &BulkVoidView) -> Result<Reply, ApiError> {
    Ok(Reply::ok(view)?.with_version(view.version))
}

fn written(
    permit: &Permit<VisitVoid>,
    row: BulkVoidRow,
    action: &'static str,
) -> Result<(BulkVoidView, Record), ApiError> {
    let view = BulkVoidView::try_from(row)?;
    let digest = Digest::of(&view);
    let entry =
        Entry::new(permit.state_id(), permit.unit_id(), action, "bulk_void", digest).of_ids([view.id.0]);
    Ok((view, entry.into()))
}
