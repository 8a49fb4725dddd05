use std::collections::BTreeMap;

use actix_web::{get, patch, post, web};

use super::queries::notices::{Notice, end_codes, note};
use super::queries::{
    Wanted, all_grants, find_by_phone, find_worker, insert_worker, list_workers as load_workers, lock_worker,
    national_admins_without, update_worker as store_worker,
};
use super::rules::{apply, check_prefix, is_live, is_phone};
use super::wire::{NewWorker, WorkerFilter, WorkerPatch, WorkerView};
use crate::access::actions::{GrantWrite, WorkerRead, WorkerWrite};
use crate::access::policy::{check_may_give, permit, permit_field, scope, scope_within};
use crate::access::{Access, Caller, Permit, Role};
use crate::features::units::states_of;
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Json, Path, Query};
use crate::platform::config::Config;
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, OnConstraint, Problem};
use crate::platform::ids::{DeviceId, GrantId, UnitId, WorkerId};
use crate::platform::page::{Page, Paging};
use crate::platform::reply::{IfMatch, Reply};
use crate::platform::validate::FieldErrors;

pub mod grants;
pub mod import;

const LIST: &str = "workers";

/// Workers of your units
#[utoipa::path(
    operation_id = "list_workers", tag = "workers", security(("bearer" = ["worker.read"])),
    params(WorkerFilter, Paging),
    responses(
        (status = 200, description = "By id. Without `under` you are among them yourself. That you read whole numbers is journalled.", body = Page<WorkerView>),
        (status = 403, description = "None of your grants reads workers.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`under` is no unit of yours.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/workers")]
pub async fn list_workers(
    caller: Caller,
    filter: Query<WorkerFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let Query(filter) = filter;
    let mut errors = FieldErrors::default();
    let (under, active) = filter.read(&mut errors);
    if !errors.0.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let limit = filter.paging.limit()?;
    let wanted = Wanted {
        himself: under.is_none(),
        role: filter.role,
        active,
        name: filter.q,
        after: filter.paging.after(LIST)?,
    };
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    let page = db
        .write(&actor, async move |tx| {
            let scope = scope_within::<WorkerRead>(tx, &caller, under).await?;
            let rows = load_workers(tx, &keys, &caller, &scope, &wanted, limit).await?;
            let page = Page::new(LIST, rows, limit, |row| row.id, WorkerView::from);
            let record = read_record(tx, &caller, &page.items).await?;
            Ok((page, record))
        })
        .await?;
    Reply::ok(&page)
}

/// Put a worker on the roster
#[utoipa::path(
    operation_id = "create_worker", tag = "workers", security(("bearer" = ["worker.write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer.")),
    request_body = NewWorker,
    responses(
        (status = 201, description = "Put on the roster, without any role yet; `Location` and `ETag` are set.", body = WorkerView),
        (status = 403, description = "You may read the unit, but not manage its workers.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The phone number cannot be used. `worker_id` says who has it, if you may see him.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or the unit is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/workers")]
pub async fn create_worker(
    caller: Caller,
    body: Json<NewWorker>,
    db: web::Data<Db>,
    config: web::Data<Config>,
) -> Result<Reply, ApiError> {
    let new = body.value;
    check_prefix(&new.phone, &config.phone_prefixes)?;
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    db.write_once(&actor, body.idempotency, async move |tx| {
        let permit = permit_field::<WorkerWrite>(tx, &caller, new.unit_id, "/unit_id").await?;
        check_phone_free(tx, &keys, &caller, &new.phone).await?;
        let id = insert_worker(tx, &keys, &permit, &new)
            .await
            .on_constraint("workers_phone_key", phone_taken)?;
        let view = find_visible(tx, &keys, &caller, id).await?;
        let reply = Reply::created(&view, format!("/v1/workers/{id}"))?.with_version(view.version);
        Ok((reply, record(&keys, &permit, "worker.write", &view)))
    })
    .await
}

/// One worker
#[utoipa::path(
    operation_id = "get_worker", tag = "workers", security(("bearer" = ["worker.read"])),
    params(("id" = i32, Path, example = 12)),
    responses(
        (status = 200, description = "The worker; everybody may read himself. `ETag` is the version. That you read another's whole number is journalled.", body = WorkerView),
        (status = 304, description = "Unchanged since the version in If-None-Match."),
        (status = 404, description = "No such worker, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/workers/{id}")]
pub async fn get_worker(caller: Caller, id: Path<WorkerId>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let (id, actor, keys) = (*id, *caller.actor(), db.keys().clone());
    let view = db
        .write(&actor, async move |tx| {
            let view = find_visible(tx, &keys, &caller, id).await?;
            let record = read_record(tx, &caller, std::slice::from_ref(&view)).await?;
            Ok((view, record))
        })
        .await?;
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// That other people's whole numbers were read: an entry a state, at their home units.
async fn read_record(tx: &mut Tx, caller: &Caller, shown: &[WorkerView]) -> Result<Record, ApiError> {
    let others = shown.iter().filter(|view| view.id != caller.worker_id());
    let whole: Vec<&WorkerView> = others.filter(|view| is_phone(&view.phone)).collect();
    if whole.is_empty() {
        return Ok(Record::nothing());
    }
    let homes: Vec<UnitId> = whole.iter().map(|view| view.unit_id).collect();
    let state_of = states_of(tx, &homes).await?;
    let mut states: BTreeMap<UnitId, Vec<&WorkerView>> = BTreeMap::new();
    for view in whole {
        if let Some(state_id) = state_of.get(&view.unit_id) {
            states.entry(*state_id).or_default().push(view);
        }
    }
    let entries = states.into_iter().map(|(state_id, views)| {
        let ids: Vec<i32> = views.iter().map(|view| view.id.0).collect();
        Entry::new(state_id, state_id, "worker.read", "worker", Digest::of(&ids))
            .at_units(views.iter().map(|view| view.unit_id))
            .of_ids(ids)
    });
    Ok(Record {
        entries: entries.collect(),
        tallies: Vec::new(),
    })
}

/// Change a worker
///
/// Another phone number ends the codes that were sent to the old one. His phones stay signed in and are told of it
/// (`notices` in `GET /v1/me`): if it was not his wish, he still can say so.
#[utoipa::path(
    operation_id = "update_worker", tag = "workers", security(("bearer" = ["worker.write"])),
    params(
        ("id" = i32, Path, example = 12),
        ("If-Match" = String, Header, description = "The ETag of what you read.", example = "\"1\""),
    ),
    request_body = WorkerPatch,
    responses(
        (status = 200, description = "As he is now. A change that changes nothing makes no new version.", body = WorkerView),
        (status = 403, description = "You may see him, but not change him: he stands on another roster, or holds a role that you could not give.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such worker, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The phone number cannot be used, or he is the last national administrator.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed in the meantime.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[patch("/v1/workers/{id}")]
pub async fn update_worker(
    caller: Caller,
    id: Path<WorkerId>,
    if_match: IfMatch,
    body: Json<WorkerPatch>,
    db: web::Data<Db>,
    config: web::Data<Config>,
    access: web::Data<Access>,
) -> Result<Reply, ApiError> {
    let (id, patch) = (*id, body.value);
    if let Some(phone) = &patch.phone {
        check_prefix(phone, &config.phone_prefixes)?;
    }
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    let view = db
        .write(&actor, async move |tx| {
            lock_worker(tx, id).await?;
            let current = find_visible(tx, &keys, &caller, id).await?;
            let permit = permit_change(tx, &caller, &current).await?;
            if current.erasure_requested {
                return Err(ApiError::new(
                    Code::Conflict,
                    "he asked for erasure; nothing of him is changed any more",
                ));
            }
            if_match.check(current.version)?;
            let changed = apply(&current, patch.clone());
            if changed == current {
                return Ok((current, Record::nothing()));
            }
            if changed.unit_id != current.unit_id {
                permit_field::<WorkerWrite>(tx, &caller, changed.unit_id, "/unit_id").await?;
            }
            let phone = (changed.phone != current.phone).then_some(changed.phone.as_str());
            if phone.is_some() {
                check_phone_free(tx, &keys, &caller, &changed.phone).await?;
            }
            if current.active && !changed.active {
                check_admin_remains(tx, &caller, &current, None).await?;
            }
            store_worker(tx, &keys, &permit, &changed, phone)
                .await
                .on_constraint("workers_phone_key", phone_taken)?;
            let mut action = "worker.write";
            if changed.phone != current.phone {
                action = "worker.change_phone";
                end_codes(tx, &permit, id).await?;
                note(tx, id, Notice::PhoneChanged, device_of(&caller, id), actor.at).await?;
            }
            let view = find_visible(tx, &keys, &caller, id).await?;
            let record = record(&keys, &permit, action, &view);
            Ok((view, record))
        })
        .await?;
    access.forget();
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// The phone in his hand, if it is himself who calls.
fn device_of(caller: &Caller, id: WorkerId) -> Option<DeviceId> {
    caller.actor().device_id.filter(|_| caller.worker_id() == id)
}

/// The worker if the caller may see him. Who may read no worker at all sees himself.
async fn find_visible(
    tx: &mut Tx,
    keys: &DataKeys,
    caller: &Caller,
    id: WorkerId,
) -> Result<WorkerView, ApiError> {
    let scope = scope::<WorkerRead>(caller).ok();
    find_worker(tx, keys, caller, scope.as_ref(), id)
        .await?
        .ok_or_else(ApiError::not_found)
}

/// Leave to change a worker who has been shown: `worker.write` at his home unit, and power over every role that he
/// holds. Else a coordinator could give an administrator another phone number and sign in as him.
async fn permit_change(
    tx: &mut Tx,
    caller: &Caller,
    worker: &WorkerView,
) -> Result<Permit<WorkerWrite>, ApiError> {
    let forbidden = |detail: &str| ApiError::new(Code::Forbidden, detail);
    let home = permit::<WorkerWrite>(tx, caller, worker.unit_id)
        .await
        .map_err(|error| {
            if error.code() == Code::NotFound {
                forbidden("none of your grants allows worker.write at his home unit")
            } else {
                error
            }
        })?;
    if worker.id == caller.worker_id() {
        return Ok(home);
    }
    for grant in all_grants(tx, worker).await? {
        if !is_live(&grant, caller.today()) {
            continue;
        }
        let mut given = permit::<GrantWrite>(tx, caller, grant.unit_id)
            .await
            .and_then(|permit| check_may_give(caller, &permit, grant.role));
        if matches!(&given, Err(error) if error.code().status() < 500) {
            given = Err(forbidden("he holds a role that you could not give"));
        }
        given?;
    }
    Ok(home)
}

/// Leave to help a worker sign in, for whoever may change him; nobody helps himself, which would take the place of what
/// he lacks.
///
/// # Errors
/// 404 if he is not to be seen, 403 if he may not be changed or is the caller.
pub async fn permit_to_help(
    tx: &mut Tx,
    keys: &DataKeys,
    caller: &Caller,
    id: WorkerId,
) -> Result<(Permit<WorkerWrite>, WorkerView), ApiError> {
    lock_worker(tx, id).await?;
    let worker = find_visible(tx, keys, caller, id).await?;
    let permit = permit_change(tx, caller, &worker).await?;
    if worker.id == caller.worker_id() {
        return Err(ApiError::new(Code::Forbidden, "ask whoever manages you"));
    }
    Ok((permit, worker))
}

/// 409 if the number is another's. Who may not see the other is told nothing about him.
async fn check_phone_free(
    tx: &mut Tx,
    keys: &DataKeys,
    caller: &Caller,
    phone: &str,
) -> Result<(), ApiError> {
    let Some(owner) = find_by_phone(tx, keys, phone).await? else {
        return Ok(());
    };
    let error = phone_taken();
    match find_visible(tx, keys, caller, owner).await {
        Ok(owner) => Err(error.with_member("worker_id", owner.id.0.into())),
        Err(hidden) if hidden.code() == Code::NotFound => Err(error),
        Err(fault) => Err(fault),
    }
}

fn phone_taken() -> ApiError {
    ApiError::new(Code::Conflict, "this phone number cannot be used")
}

/// 409 if nobody would be left to administer the nation, today or once the dated grants have ended. `grant_id`: only this
/// grant goes, else the whole worker.
///
/// # Errors
/// That, or what the database says.
pub async fn check_admin_remains(
    tx: &mut Tx,
    caller: &Caller,
    worker: &WorkerView,
    grant_id: Option<GrantId>,
) -> Result<(), ApiError> {
    let mut going = all_grants(tx, worker).await?;
    going.retain(|grant| {
        grant.role == Role::NationalAdmin
            && is_live(grant, caller.today())
            && grant_id.is_none_or(|id| id == grant.id)
    });
    if going.is_empty() {
        return Ok(());
    }
    let whole = grant_id.is_none().then_some(worker.id);
    let left = national_admins_without(tx, whole, grant_id, caller.today()).await?;
    let lasting_goes = going.iter().any(|grant| grant.valid_to.is_none());
    if left.today > 0 && (left.lasting > 0 || !lasting_goes) {
        Ok(())
    } else {
        Err(ApiError::new(
            Code::Conflict,
            "this is the last national administrator; make another one first",
        ))
    }
}

fn record<A>(keys: &DataKeys, permit: &Permit<A>, action: &'static str, view: &WorkerView) -> Record {
    let (state_id, unit_id) = (permit.state_id(), permit.unit_id());
    Entry::new(state_id, unit_id, action, "worker", Digest::keyed(keys, view))
        .of_ids([view.id.0])
        .into()
}
