use actix_web::{HttpResponse, get, patch, post, web};

use super::queries::{correct_own, held_of, restrict, state_of};
use super::wire::{ErasureSent, MyDataPatch, MyDataView};
use crate::access::{Access, Caller};
use crate::features::workers::{WorkerView, check_admin_remains, load_worker, lock_worker};
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::Json;
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::reply::{IfMatch, Reply};

/// What is held of you
#[utoipa::path(
    operation_id = "get_my_data", tag = "privacy", security(("bearer" = [])),
    responses(
        (status = 200, description = "Your row whole, and how much there is of the rest. `ETag` is the version of your row.", body = MyDataView),
        (status = 304, description = "Unchanged since the version in If-None-Match."),
        (status = 401, description = "Not signed in.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/me/data")]
pub async fn get_my_data(caller: Caller, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let (worker, held) = db
        .read(async |tx| {
            let worker = own(tx, db.keys(), &caller).await?;
            Ok((worker, held_of(tx, &caller).await?))
        })
        .await?;
    let version = worker.version;
    let view = MyDataView {
        worker,
        visits: held.visits,
        contacts: held.contacts,
        journal_entries: held.journal_entries,
        devices: held.devices,
        sessions: held.sessions,
        second_factor: held.second_factor,
        as_of: caller.actor().at,
    };
    Ok(Reply::ok(&view)?.with_version(version))
}

/// Correct what is held of you
#[utoipa::path(
    operation_id = "correct_my_data", tag = "privacy", security(("bearer" = [])),
    params(("If-Match" = String, Header, description = "The ETag of what you read.", example = "\"1\"")),
    request_body = MyDataPatch,
    responses(
        (status = 200, description = "Your row as it is now. A change that changes nothing makes no new version.", body = WorkerView),
        (status = 412, description = "Changed in the meantime.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[patch("/v1/me/data")]
pub async fn correct_my_data(
    caller: Caller,
    if_match: IfMatch,
    body: Json<MyDataPatch>,
    db: web::Data<Db>,
    access: web::Data<Access>,
) -> Result<Reply, ApiError> {
    let (worker_id, patch) = (caller.worker_id(), body.value);
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    let view = db
        .write(&actor, async move |tx| {
            lock_worker(tx, caller.worker_id()).await?;
            let current = own(tx, &keys, &caller).await?;
            if_match.check(current.version)?;
            let same = patch.name.as_ref().is_none_or(|name| *name == current.name)
                && patch
                    .language
                    .as_ref()
                    .is_none_or(|language| *language == current.language);
            if same {
                return Ok((current, Record::nothing()));
            }
            correct_own(tx, &caller, patch.name.as_deref(), patch.language.as_deref()).await?;
            let view = own(tx, &keys, &caller).await?;
            let record = record(tx, &keys, "worker.correct_own", &view).await?;
            Ok((view, record))
        })
        .await?;
    // His session remembers his language.
    access.forget_workers(&[worker_id]);
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// Have yourself erased
///
/// You are signed out everywhere and cannot sign in again; your number and name are shown to nobody from now on. They are
/// destroyed a year later, for which they must be kept (Rules of 2025, 8(3)). What you recorded stays, without your name.
#[utoipa::path(
    operation_id = "erase_me", tag = "privacy", security(("bearer" = [])),
    request_body = ErasureSent,
    responses(
        (status = 204, description = "You are shut out; this cannot be taken back."),
        (status = 409, description = "Not your number, or you are the last national administrator.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/me/erasure")]
pub async fn erase_me(
    caller: Caller,
    body: Json<ErasureSent>,
    db: web::Data<Db>,
    access: web::Data<Access>,
) -> Result<HttpResponse, ApiError> {
    let (worker_id, phone) = (caller.worker_id(), body.value.phone);
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    db.write(&actor, async move |tx| {
        lock_worker(tx, caller.worker_id()).await?;
        let current = own(tx, &keys, &caller).await?;
        if current.phone != phone {
            return Err(ApiError::new(Code::Conflict, "this is not your number"));
        }
        check_admin_remains(tx, &caller, &current, None).await?;
        restrict(tx, &caller).await?;
        let record = record(tx, &keys, "worker.request_erasure", &current).await?;
        Ok(((), record))
    })
    .await?;
    access.forget_workers(&[worker_id]);
    Ok(HttpResponse::NoContent().finish())
}

async fn own(tx: &mut Tx, keys: &DataKeys, caller: &Caller) -> Result<WorkerView, ApiError> {
    load_worker(tx, keys, caller.worker_id(), caller.today())
        .await?
        .ok_or_else(|| ApiError::internal("a caller is not on the roster"))
}

async fn record(
    tx: &mut Tx,
    keys: &DataKeys,
    action: &'static str,
    worker: &WorkerView,
) -> Result<Record, ApiError> {
    let state_id = state_of(tx, worker.unit_id).await?;
    let entry = Entry::new(
        state_id,
        worker.unit_id,
        action,
        "worker",
        Digest::keyed(keys, worker),
    );
    Ok(entry.of_ids([worker.id.0]).into())
}
