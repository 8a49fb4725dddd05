use actix_web::{get, post, web};

use super::super::queries::{campaign_targets, insert_target, list_targets as load_targets};
use super::super::wire::{NewTarget, TargetView};
use crate::access::Caller;
use crate::access::actions::{ShortfallRead, TargetWrite};
use crate::access::policy::permit;
use crate::journal::{Digest, Entry};
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::UnitId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;

/// Targets that reach a unit
///
/// Those set at the unit and at every unit above it, the newest first, past ones among them.
#[utoipa::path(
    operation_id = "list_targets", tag = "measures", security(("bearer" = ["shortfall.read"])),
    params(("id" = i32, Path, example = 2), Paging),
    responses(
        (status = 200, description = "The newest first.", body = Page<TargetView>),
        (status = 403, description = "You may see the unit, but not its targets.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/targets")]
pub async fn list_targets(
    caller: Caller,
    id: Path<UnitId>,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let list = format!("targets of {}", *id);
    let limit = paging.0.limit()?;
    let before = paging.0.after(&list)?;
    let rows = db
        .read(async |tx| {
            let permit = permit::<ShortfallRead>(tx, &caller, *id).await?;
            Ok(load_targets(tx, &permit, before, limit).await?)
        })
        .await?;
    Reply::ok(&Page::new(&list, rows, limit, |row| row.id, TargetView::from))
}

/// Set a target
///
/// For the units of a level at and under the unit, from a day on, until a later one. Where units further down set their
/// own, theirs counts.
#[utoipa::path(
    operation_id = "set_target", tag = "measures", security(("bearer" = ["target.write"])),
    params(
        ("id" = i32, Path, example = 2),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body(content = NewTarget, example = json!({"indicator": "doors_reached_share", "level": "mandal", "value": 60.0,
        "valid_from": "2026-11-23", "reason": "As the executive decided"})),
    responses(
        (status = 201, description = "Set.", body = TargetView),
        (status = 403, description = "You may see the unit, but not set targets there.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or the campaign does not run there.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/units/{id}/targets")]
pub async fn set_target(
    caller: Caller,
    id: Path<UnitId>,
    body: Json<NewTarget>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, new) = (*id, body.value);
    let actor = *caller.actor();
    db.write_once(&actor, body.idempotency, async move |tx| {
        let permit = permit::<TargetWrite>(tx, &caller, id).await?;
        if let Some(campaign_id) = new.campaign_id
            && campaign_targets(tx, &permit, caller.today(), campaign_id)
                .await?
                .is_none()
        {
            let detail = "there is no such campaign here";
            return Err(ApiError::field("/campaign_id", "unknown_campaign", detail));
        }
        let view = TargetView::from(insert_target(tx, &permit, &new).await?);
        let (state_id, unit_id) = (permit.state_id(), permit.unit_id());
        let entry =
            Entry::new(state_id, unit_id, "target.set", "target", Digest::of(&view)).of_ids([view.id]);
        let reply = Reply::created(&view, format!("/v1/units/{id}/targets"))?;
        Ok((reply, entry.into()))
    })
    .await
}
