//! What whoever manages a worker does when he cannot sign in, or should not.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, post, web};
use uuid::Uuid;

use super::codes::new_code;
use crate::access::actions::WorkerWrite;
use crate::access::{Access, Caller, Permit};
use crate::features::sessions::queries::{self, guards};
use crate::features::sessions::rules::{self, CodeKind};
use crate::features::sessions::wire::ReadOutCodeView;
use crate::features::workers::permit_to_help;
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::Path;
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::WorkerId;
use crate::platform::reply::Reply;

/// Read out a code to a worker
///
/// For who has no message to wait for, or has to set up a second factor. Tell it to nobody but him, whom you know by his voice.
#[utoipa::path(
    operation_id = "read_out_code", tag = "workers", security(("bearer" = ["worker.write"])),
    params(("id" = i32, Path, example = 12)),
    responses(
        (status = 201, description = "Eight digits that sign him in once, on any phone; an older one no longer does.", body = ReadOutCodeView),
        (status = 403, description = "You may see him, but not manage him, or he is yourself.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such worker, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "He is not active.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/workers/{id}/sign-in-code")]
pub async fn read_out_code(
    caller: Caller,
    id: Path<WorkerId>,
    db: web::Data<Db>,
    access: web::Data<Access>,
) -> Result<Reply, ApiError> {
    let (actor, id, keys) = (*caller.actor(), *id, db.keys().clone());
    let code = rules::new_read_out_code()?;
    let new = new_code(&access, CodeKind::ReadOut, None, actor.worker_id, &code, actor.at);
    db.write(&actor, async move |tx| {
        let (permit, worker) = permit_to_help(tx, &keys, &caller, id).await?;
        if !worker.active {
            return Err(ApiError::new(Code::Conflict, "he is not active"));
        }
        queries::replace_code(tx, id, &new).await?;
        Ok(((), record(&permit, "session.read_out_code", id, new.id)))
    })
    .await?;
    let view = ReadOutCodeView {
        code,
        expires_in: rules::READ_OUT_LIFE.num_seconds(),
    };
    Reply::with_status(StatusCode::CREATED, &view)
}

/// Unlock a worker
///
/// After twenty failed sign-ins in a row, which stop an account for a day.
#[utoipa::path(
    operation_id = "unlock_worker", tag = "workers", security(("bearer" = ["worker.write"])),
    params(("id" = i32, Path, example = 12)),
    responses(
        (status = 204, description = "Nothing is counted against him any more."),
        (status = 403, description = "You may see him, but not manage him, or he is yourself.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such worker, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/workers/{id}/unlock")]
pub async fn unlock_worker(
    caller: Caller,
    id: Path<WorkerId>,
    db: web::Data<Db>,
) -> Result<HttpResponse, ApiError> {
    let (actor, id, keys) = (*caller.actor(), *id, db.keys().clone());
    db.write(&actor, async move |tx| {
        let (permit, _) = permit_to_help(tx, &keys, &caller, id).await?;
        let record = if guards::unlock(tx, &permit, id).await? {
            record(&permit, "session.unlock", id, Uuid::nil())
        } else {
            Record::nothing()
        };
        Ok(((), record))
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Take away a lost second factor
///
/// His sessions end. He signs in with a code that you read out, and sets up another.
#[utoipa::path(
    operation_id = "reset_second_factor", tag = "workers", security(("bearer" = ["worker.write"])),
    params(("id" = i32, Path, example = 12)),
    responses(
        (status = 204, description = "He has none."),
        (status = 403, description = "You may see him, but not manage him, or he is yourself.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such worker, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[delete("/v1/workers/{id}/second-factor")]
pub async fn reset_second_factor(
    caller: Caller,
    id: Path<WorkerId>,
    db: web::Data<Db>,
    access: web::Data<Access>,
) -> Result<HttpResponse, ApiError> {
    let (actor, id, keys) = (*caller.actor(), *id, db.keys().clone());
    db.write(&actor, async move |tx| {
        let (permit, _) = permit_to_help(tx, &keys, &caller, id).await?;
        let had = guards::remove_factor(tx, &permit, id).await?;
        let ended = guards::end_all(tx, id, "second_factor_reset", actor.at).await?;
        let record = if had || ended > 0 {
            record(&permit, "session.reset_factor", id, Uuid::nil())
        } else {
            Record::nothing()
        };
        Ok(((), record))
    })
    .await?;
    access.forget_workers(&[id]);
    Ok(HttpResponse::NoContent().finish())
}

/// Sign a worker out everywhere
///
/// When his phone is lost. What it has not uploaded can still be uploaded once he has signed in again.
#[utoipa::path(
    operation_id = "end_worker_sessions", tag = "workers", security(("bearer" = ["worker.write"])),
    params(("id" = i32, Path, example = 12)),
    responses(
        (status = 204, description = "None of his sessions is open."),
        (status = 403, description = "You may see him, but not manage him, or he is yourself.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such worker, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[delete("/v1/workers/{id}/sessions")]
pub async fn end_worker_sessions(
    caller: Caller,
    id: Path<WorkerId>,
    db: web::Data<Db>,
    access: web::Data<Access>,
) -> Result<HttpResponse, ApiError> {
    let (actor, id, keys) = (*caller.actor(), *id, db.keys().clone());
    db.write(&actor, async move |tx| {
        let (permit, _) = permit_to_help(tx, &keys, &caller, id).await?;
        let record = if guards::end_all(tx, id, "ended_by_coordinator", actor.at).await? > 0 {
            record(&permit, "session.end_for_worker", id, Uuid::nil())
        } else {
            Record::nothing()
        };
        Ok(((), record))
    })
    .await?;
    access.forget_workers(&[id]);
    Ok(HttpResponse::NoContent().finish())
}

fn record(permit: &Permit<WorkerWrite>, action: &'static str, id: WorkerId, subject: Uuid) -> Record {
    let digest = Digest::of(&(id, action, subject));
    Entry::new(permit.state_id(), permit.unit_id(), action, "worker", digest)
        .of_ids([id.0])
        .of_uuids((!subject.is_nil()).then_some(subject))
        .into()
}
