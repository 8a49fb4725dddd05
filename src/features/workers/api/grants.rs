use actix_web::{HttpResponse, delete, post, web};

use super::super::queries::{
    all_grants, end_grant as store_end, insert_grant, lock_worker, store_handed_over,
};
use super::super::rules::{check_level, check_overlap, hand_over};
use super::super::wire::{GrantView, Handover, HandoverView, NewGrant, WorkerView};
use super::{check_admin_remains, find_visible};
use crate::access::actions::GrantWrite;
use crate::access::policy::{check_may_give, permit, permit_field};
use crate::access::{Access, Caller, Permit};
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Json, Path};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::{GrantId, WorkerId};
use crate::platform::reply::Reply;

/// Give a role
#[utoipa::path(
    operation_id = "create_grant", tag = "workers", security(("bearer" = ["grant.write"])),
    params(
        ("id" = i32, Path, description = "The worker.", example = 12),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = NewGrant,
    responses(
        (status = 201, description = "Given; it is felt within seconds. `Location` is the worker.", body = GrantView),
        (status = 403, description = "You may not give roles there, or do not hold all that this role may.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such worker, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "He holds the role there on some of these days already.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, the unit is not yours to see, or the role does not fit its level.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/workers/{id}/grants")]
pub async fn create_grant(
    caller: Caller,
    id: Path<WorkerId>,
    body: Json<NewGrant>,
    db: web::Data<Db>,
    access: web::Data<Access>,
) -> Result<Reply, ApiError> {
    let (id, new) = (*id, body.value);
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    let reply = db
        .write_once(&actor, body.idempotency, async move |tx| {
            lock_worker(tx, id).await?;
            let worker = find_visible(tx, &keys, &caller, id).await?;
            let permit = permit_field::<GrantWrite>(tx, &caller, new.unit_id, "/unit_id").await?;
            check_level(new.role, permit.level())?;
            check_may_give(&caller, &permit, new.role)?;
            let held = all_grants(tx, &worker).await?;
            check_overlap(&held, new.role, new.unit_id, (new.valid_from, new.valid_to))?;
            let grant = insert_grant(tx, &permit, id, &new).await?;
            let reply = Reply::created(&grant, format!("/v1/workers/{id}"))?;
            Ok((reply, entry(&permit, "grant.write", id, &grant).into()))
        })
        .await?;
    access.forget();
    Ok(reply)
}

/// End a grant
///
/// It holds no more from this moment, and is kept, since it tells which booths were his before.
#[utoipa::path(
    operation_id = "end_grant", tag = "workers", security(("bearer" = ["grant.write"])),
    params(("id" = i32, Path, description = "The worker.", example = 12), ("grant_id" = i32, Path, example = 3)),
    responses(
        (status = 204, description = "Ended, now or before; it is felt within seconds."),
        (status = 403, description = "You may not take roles there, or do not hold all that this role may.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such worker or grant, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "He is the last national administrator.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[delete("/v1/workers/{id}/grants/{grant_id}")]
pub async fn end_grant(
    caller: Caller,
    path: Path<(WorkerId, GrantId)>,
    db: web::Data<Db>,
    access: web::Data<Access>,
) -> Result<HttpResponse, ApiError> {
    let (id, grant_id) = *path;
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    db.write(&actor, async move |tx| {
        lock_worker(tx, id).await?;
        let worker = find_visible(tx, &keys, &caller, id).await?;
        let grants = all_grants(tx, &worker).await?;
        let grant = grants
            .into_iter()
            .find(|grant| grant.id == grant_id)
            .ok_or_else(ApiError::not_found)?;
        let permit = permit::<GrantWrite>(tx, &caller, grant.unit_id).await?;
        check_may_give(&caller, &permit, grant.role)?;
        if grant.ended_at.is_some() {
            return Ok(((), Record::nothing()));
        }
        check_admin_remains(tx, &caller, &worker, Some(grant_id)).await?;
        store_end(tx, &permit, id, grant_id).await?;
        let ended = GrantView {
            ended_at: Some(permit.actor().at),
            ..grant
        };
        Ok(((), entry(&permit, "grant.write", id, &ended).into()))
    })
    .await?;
    access.forget();
    Ok(HttpResponse::NoContent().finish())
}

/// Hand over a post
///
/// One call ends the grant and gives its role at its unit to another worker, from one day, for as long as it would have
/// held: no day without a holder, none with two. From today on it is felt at once; from a later day, on that day.
#[utoipa::path(
    operation_id = "hand_over_grant", tag = "workers", security(("bearer" = ["grant.write"])),
    params(
        ("id" = i32, Path, description = "The worker who holds it.", example = 12),
        ("grant_id" = i32, Path, example = 3),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = Handover,
    responses(
        (status = 201, description = "Handed over. `Location` is the new holder.", body = HandoverView),
        (status = 403, description = "You may not give roles there, or do not hold all that this role may.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such worker or grant, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The grant has ended, or the other holds the role there on some of these days already.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, the other is not yours to see, is inactive or the holder himself, or it is no day of the grant to come.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/workers/{id}/grants/{grant_id}/handover")]
pub async fn hand_over_grant(
    caller: Caller,
    path: Path<(WorkerId, GrantId)>,
    body: Json<Handover>,
    db: web::Data<Db>,
    access: web::Data<Access>,
) -> Result<Reply, ApiError> {
    let ((id, grant_id), wanted) = (*path, body.value);
    let to = wanted.to_worker_id;
    let actor = *caller.actor();
    let keys = db.keys().clone();
    let reply = db
        .write_once(&actor, body.idempotency, async move |tx| {
            // In order of id: two handovers the other way round wait for each other.
            lock_worker(tx, id.min(to)).await?;
            lock_worker(tx, id.max(to)).await?;
            let worker = find_visible(tx, &keys, &caller, id).await?;
            let grants = all_grants(tx, &worker).await?;
            let grant = grants
                .into_iter()
                .find(|grant| grant.id == grant_id)
                .ok_or_else(ApiError::not_found)?;
            let permit = permit::<GrantWrite>(tx, &caller, grant.unit_id).await?;
            check_may_give(&caller, &permit, grant.role)?;
            let successor = find_successor(tx, &keys, &caller, id, to).await?;
            let (ended, new) = hand_over(&grant, wanted.from, actor.at, caller.today())?;
            let held = all_grants(tx, &successor).await?;
            check_overlap(&held, new.role, new.unit_id, (new.valid_from, new.valid_to))?;
            store_handed_over(tx, &permit, id, &ended).await?;
            let given = insert_grant(tx, &permit, to, &new).await?;
            let entries = vec![
                entry(&permit, "grant.hand_over", id, &ended),
                entry(&permit, "grant.hand_over", to, &given),
            ];
            let reply = Reply::created(&HandoverView { ended, given }, format!("/v1/workers/{to}"))?;
            let record = Record {
                entries,
                tallies: Vec::new(),
            };
            Ok((reply, record))
        })
        .await?;
    access.forget();
    Ok(reply)
}

/// Who takes over: somebody else, whom the caller may see, and who can do the work.
async fn find_successor(
    tx: &mut Tx,
    keys: &DataKeys,
    caller: &Caller,
    holder: WorkerId,
    id: WorkerId,
) -> Result<WorkerView, ApiError> {
    let refuse = |code, detail| Err(ApiError::field("/to_worker_id", code, detail));
    let successor = match find_visible(tx, keys, caller, id).await {
        Err(error) if error.code() == Code::NotFound => {
            return refuse(
                "unknown_worker",
                "there is no such worker, or he is not yours to see",
            );
        }
        found => found?,
    };
    if id == holder {
        refuse("same_worker", "he holds it already")
    } else if !successor.active {
        refuse("inactive", "he is inactive")
    } else {
        Ok(successor)
    }
}

fn entry(permit: &Permit<GrantWrite>, action: &'static str, worker_id: WorkerId, grant: &GrantView) -> Entry {
    let (state_id, unit_id) = (permit.state_id(), permit.unit_id());
    Entry::new(state_id, unit_id, action, "grant", Digest::of(grant)).of_ids([worker_id.0, grant.id.0])
}
