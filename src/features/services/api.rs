use actix_web::{HttpResponse, delete, get, patch, post, web};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::queries::{self, ServiceRow, ServiceToStore};
use super::rules;
use super::wire::{NewSecretView, NewService, RegisteredView, ServicePatch, ServiceView};
use crate::access::actions::{ActionName, ServiceRead, ServiceWrite};
use crate::access::policy::{check_holds, permit, permit_field, scope};
use crate::access::{Access, Caller, Permit};
use crate::journal::{Actor, Digest, Entry, Record};
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::{ServiceId, SessionId, UnitId};
use crate::platform::page::{Page, Paging};
use crate::platform::reply::{IfMatch, Reply};

const LIST: &str = "services";

/// Services of your units
#[utoipa::path(
    operation_id = "list_services", tag = "services", security(("bearer" = ["service.read"])),
    params(Paging),
    responses(
        (status = 200, description = "By id.", body = Page<ServiceView>),
        (status = 403, description = "None of your grants reads services.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/services")]
pub async fn list_services(
    caller: Caller,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let limit = paging.0.limit()?;
    let after = paging.0.after(LIST)?;
    let views = db
        .read(async |tx| {
            let scope = scope::<ServiceRead>(&caller)?;
            let rows = queries::list_services(tx, &scope, caller.today(), after, limit).await?;
            let mut views = Vec::new();
            for row in rows {
                let secrets = queries::live_secrets(tx, row.id).await?;
                views.push(ServiceView::new(row, secrets));
            }
            Ok(views)
        })
        .await?;
    Reply::ok(&Page::new(LIST, views, limit, |view| view.id, |view| view))
}

/// Register a service
///
/// It may do no more than you may, where you may. The answer holds its secret, which is not shown again.
#[utoipa::path(
    operation_id = "create_service", tag = "services", security(("bearer" = ["service.write"])),
    request_body = NewService,
    responses(
        (status = 201, description = "Registered.", body = RegisteredView),
        (status = 403, description = "You may see a unit, but not give this there.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or a unit is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/services")]
pub async fn create_service(
    caller: Caller,
    body: Json<NewService>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let new = body.value;
    let actions = rules::actions_of(&new.actions)?;
    let secret = rules::new_secret()?;
    let hash = rules::hash_secret(secret.clone()).await?;
    let (actor, client_id, secret_id) = (*caller.actor(), Uuid::new_v4(), Uuid::new_v4());
    let service = db
        .write(&actor, async move |tx| {
            let permit = permit_field::<ServiceWrite>(tx, &caller, new.unit_id, "/unit_id").await?;
            check_units(tx, &caller, &new.unit_ids, &actions).await?;
            let store = ServiceToStore {
                name: new.name.clone(),
                contact: new.contact.clone(),
                client_id,
                actions: actions.iter().map(|action| action.as_str()).collect(),
                unit_ids: new.unit_ids.clone(),
                active: true,
            };
            let row = queries::insert_service(tx, &permit, &store).await?;
            queries::insert_secret(tx, &permit, &row, secret_id, &hash).await?;
            let view = view_of(tx, row).await?;
            let record = record(&permit, "service.write", &view);
            Ok((view, record))
        })
        .await?;
    let (version, location) = (service.version, format!("/v1/services/{}", service.id));
    let view = RegisteredView {
        service,
        secret: NewSecretView {
            id: secret_id,
            client_id,
            client_secret: secret,
        },
    };
    Ok(Reply::created(&view, location)?.with_version(version))
}

/// One service
#[utoipa::path(
    operation_id = "get_service", tag = "services", security(("bearer" = ["service.read"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 200, description = "The service. `ETag` is the version.", body = ServiceView),
        (status = 404, description = "No such service, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/services/{id}")]
pub async fn get_service(caller: Caller, id: Path<ServiceId>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let view = db
        .read(async |tx| {
            let home = queries::home_of(tx, *id, false)
                .await?
                .ok_or_else(ApiError::not_found)?;
            // What may not be read is as if it did not exist: whoever sees the unit need not know of its services.
            let permit = permit::<ServiceRead>(tx, &caller, home).await.map_err(hidden)?;
            let row = queries::find_service(tx, &permit, *id).await?;
            view_of(tx, row.ok_or_else(ApiError::not_found)?).await
        })
        .await?;
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// Change a service
#[utoipa::path(
    operation_id = "update_service", tag = "services", security(("bearer" = ["service.write"])),
    params(
        ("id" = i32, Path, example = 1),
        ("If-Match" = String, Header, description = "The ETag of what you read.", example = "\"1\""),
    ),
    request_body = ServicePatch,
    responses(
        (status = 200, description = "As it is now.", body = ServiceView),
        (status = 403, description = "You may not give this there.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such service, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed in the meantime.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[patch("/v1/services/{id}")]
pub async fn update_service(
    caller: Caller,
    id: Path<ServiceId>,
    if_match: IfMatch,
    body: Json<ServicePatch>,
    db: web::Data<Db>,
    access: web::Data<Access>,
) -> Result<Reply, ApiError> {
    let (actor, id, patch) = (*caller.actor(), *id, body.value);
    let view = db
        .write(&actor, async move |tx| {
            let (permit, current) = lock_service(tx, &caller, id).await?;
            if_match.check(current.version)?;
            let names = patch.actions.as_ref().unwrap_or(&current.actions);
            let actions = rules::actions_of(names)?;
            let unit_ids = patch.unit_ids.as_ref().unwrap_or(&current.unit_ids);
            if patch.actions.is_some() || patch.unit_ids.is_some() || patch.active == Some(true) {
                check_units(tx, &caller, unit_ids, &actions).await?;
            }
            let changed = ServiceToStore {
                name: patch.name.clone().unwrap_or_else(|| current.name.clone()),
                contact: patch.contact.clone().unwrap_or_else(|| current.contact.clone()),
                client_id: current.client_id,
                actions: actions.iter().map(|action| action.as_str()).collect(),
                unit_ids: unit_ids.clone(),
                active: patch.active.unwrap_or(current.active),
            };
            let row = queries::update_service(tx, &permit, id, &changed).await?;
            let view = view_of(tx, row).await?;
            let record = record(&permit, "service.write", &view);
            Ok((view, record))
        })
        .await?;
    access.forget();
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// Make another secret
///
/// Two may be live: make the second, let the service use it, end the first.
#[utoipa::path(
    operation_id = "create_service_secret", tag = "services", security(("bearer" = ["service.write"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 201, description = "The secret, shown this once.", body = NewSecretView),
        (status = 403, description = "It may do what you may not, or where you may not.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such service, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Two are live: end one first.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/services/{id}/secrets")]
pub async fn create_secret(
    caller: Caller,
    id: Path<ServiceId>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (actor, id) = (*caller.actor(), *id);
    let secret = rules::new_secret()?;
    let hash = rules::hash_secret(secret.clone()).await?;
    let secret_id = Uuid::new_v4();
    let client_id = db
        .write(&actor, async move |tx| {
            let (permit, row) = lock_service(tx, &caller, id).await?;
            check_holds_all(tx, &caller, &row).await?;
            if queries::live_secrets(tx, id).await?.len() >= rules::LIVE_SECRETS {
                return Err(ApiError::new(
                    Code::Conflict,
                    "two secrets are live: end one first",
                ));
            }
            queries::insert_secret(tx, &permit, &row, secret_id, &hash).await?;
            let client_id = row.client_id;
            let record = record(&permit, "service.make_secret", &view_of(tx, row).await?);
            Ok((client_id, record))
        })
        .await?;
    let view = NewSecretView {
        id: secret_id,
        client_id,
        client_secret: secret,
    };
    Reply::created(&view, format!("/v1/services/{id}"))
}

/// End a secret
///
/// The tokens that it got end with it.
#[utoipa::path(
    operation_id = "revoke_service_secret", tag = "services", security(("bearer" = ["service.write"])),
    params(
        ("id" = i32, Path, example = 1),
        ("secret_id" = uuid::Uuid, Path, example = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"),
    ),
    responses(
        (status = 204, description = "It no longer works."),
        (status = 404, description = "No such live secret, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[delete("/v1/services/{id}/secrets/{secret_id}")]
pub async fn revoke_secret(
    caller: Caller,
    path: Path<(ServiceId, Uuid)>,
    db: web::Data<Db>,
    access: web::Data<Access>,
) -> Result<HttpResponse, ApiError> {
    let (actor, (id, secret_id)) = (*caller.actor(), *path);
    db.write(&actor, async move |tx| {
        let (permit, row) = lock_service(tx, &caller, id).await?;
        if !queries::revoke_secret(tx, &permit, &row, secret_id).await? {
            return Err(ApiError::not_found());
        }
        let record = record(&permit, "service.end_secret", &view_of(tx, row).await?);
        Ok(((), record))
    })
    .await?;
    access.forget();
    Ok(HttpResponse::NoContent().finish())
}

/// Judges a client that asks for a token; returns its client id and the secret's id, which is the token's session.
///
/// # Errors
/// 401 alike for whatever is wrong.
pub async fn sign_in(
    db: &Db,
    client_id: &str,
    secret: String,
    now: DateTime<Utc>,
) -> Result<(Uuid, SessionId), ApiError> {
    let client_id = Uuid::parse_str(client_id).unwrap_or_default();
    let actor = Actor::program(now);
    let tried = db
        .write(&actor, async move |tx| {
            let client = queries::count_try(tx, client_id, rules::FAILURES, now, now + rules::LOCK).await?;
            let Some(client) = client else {
                return Ok((None, Record::nothing()));
            };
            let secrets = queries::live_secrets(tx, client.id).await?;
            Ok((Some((client, secrets)), Record::nothing()))
        })
        .await?;
    let secrets = tried
        .as_ref()
        .map(|(_, secrets)| secrets.as_slice())
        .unwrap_or_default();
    let hashes = secrets.iter().map(|secret| secret.hash.clone()).collect();
    let found = rules::find_match(secret, hashes).await?;
    let (Some((client, secrets)), Some(found)) = (tried, found) else {
        return Err(rules::invalid_client());
    };
    let secret_id = secrets
        .get(found)
        .map(|secret| secret.id)
        .ok_or_else(rules::invalid_client)?;
    db.write(&actor, async move |tx| {
        queries::mark_used(tx, client.id, secret_id, now).await?;
        let digest = Digest::of(&(client.id, secret_id));
        let entry = Entry::new(
            client.state_id,
            client.unit_id,
            "service.sign_in",
            "service",
            digest,
        )
        .of_ids([client.id.0])
        .of_uuids([secret_id]);
        Ok(((), entry.into()))
    })
    .await?;
    Ok((client_id, SessionId(secret_id)))
}

fn hidden(error: ApiError) -> ApiError {
    if error.code() == Code::Forbidden {
        ApiError::not_found()
    } else {
        error
    }
}

/// A service held for a change, with leave to change it.
async fn lock_service(
    tx: &mut Tx,
    caller: &Caller,
    id: ServiceId,
) -> Result<(Permit<ServiceWrite>, ServiceRow), ApiError> {
    let home = queries::home_of(tx, id, true)
        .await?
        .ok_or_else(ApiError::not_found)?;
    let permit = permit::<ServiceWrite>(tx, caller, home).await.map_err(hidden)?;
    let row = queries::find_service(tx, &permit, id).await?;
    Ok((permit, row.ok_or_else(ApiError::not_found)?))
}

/// Leave to give these actions at each of these units: only what the caller holds there himself.
async fn check_units(
    tx: &mut Tx,
    caller: &Caller,
    unit_ids: &[UnitId],
    actions: &[ActionName],
) -> Result<(), ApiError> {
    for (n, unit_id) in unit_ids.iter().enumerate() {
        let permit = permit_field::<ServiceWrite>(tx, caller, *unit_id, &format!("/unit_ids/{n}")).await?;
        check_holds(caller, &permit, actions)?;
    }
    Ok(())
}

/// Whoever has a secret can do all that the service may: he must hold all of it himself.
async fn check_holds_all(tx: &mut Tx, caller: &Caller, service: &ServiceRow) -> Result<(), ApiError> {
    let actions = rules::actions_of(&service.actions)?;
    match check_units(tx, caller, &service.unit_ids, &actions).await {
        // He named no unit: what is wrong is not a field of his.
        Err(error) if error.code().status() < 500 => Err(ApiError::new(
            Code::Forbidden,
            "this service may do what you may not: whoever may do all of it makes its secrets",
        )),
        done => done,
    }
}

async fn view_of(tx: &mut Tx, row: ServiceRow) -> Result<ServiceView, ApiError> {
    let secrets = queries::live_secrets(tx, row.id).await?;
    Ok(ServiceView::new(row, secrets))
}

fn record<A>(permit: &Permit<A>, action: &'static str, view: &ServiceView) -> Record {
    let (state_id, unit_id) = (permit.state_id(), permit.unit_id());
    Entry::new(state_id, unit_id, action, "service", Digest::of(view))
        .of_ids([view.id.0])
        .into()
}
