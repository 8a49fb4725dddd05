use actix_web::{HttpResponse, delete, get, post, web};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::queries::{self, RefreshRow, RosterRow};
use super::rules;
use super::wire::{DeviceView, DevicesView, MeView, NoticeView, ServiceTokenView, TokenRequest, TokenView};
use crate::access::actions::ActionName;
use crate::access::tokens::{LIFE, SERVICE_LIFE};
use crate::access::{Access, Caller};
use crate::features::services;
use crate::features::workers::{load_worker, notices_since};
use crate::journal::{Actor, Digest, Entry, Record};
use crate::platform::body::{Json, Path};
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::{DeviceId, SessionId, WorkerId};
use crate::platform::reply::Reply;
use crate::platform::telemetry::Metrics;
use crate::platform::wall::SIGN_IN;

pub mod codes;
pub mod help;
pub mod second_factor;

/// Sign in, or refresh
///
/// `grant_type` `otp` signs in with a one-time code, `totp` with the password of an app on a phone that was signed in
/// before, `refresh_token` gets new tokens. Roles that coordinate hold only in a session that began with `totp`, alone or
/// beside the code. A service asks with `client_credentials` and gets no refresh token, nor a `worker`. A refresh whose reply was lost may be
/// sent again; an older refresh token ends the session.
#[utoipa::path(
    operation_id = "issue_token", tag = "auth", security(()),
    request_body = TokenRequest,
    responses(
        (status = 200, description = "Tokens; keep the newest refresh token.", body = TokenView),
        (status = 400, description = "Another grant type.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The code or the refresh token is not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing or not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Sign-in by message is suspended for today.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/auth/token")]
pub async fn issue_token(
    body: Json<TokenRequest>,
    db: web::Data<Db>,
    clock: web::Data<Clock>,
    access: web::Data<Access>,
    metrics: web::Data<Metrics>,
) -> Result<Reply, ApiError> {
    let even = tokio::time::sleep(rules::EVEN_TIME);
    let db = db.as_program(&SIGN_IN);
    let request = body.value;
    let now = clock.now();
    let begun = match request.grant_type.as_str() {
        kind @ ("otp" | "totp") => {
            let grant = if kind == "otp" {
                request.otp()
            } else {
                request.totp()
            };
            let grant = grant.map_err(ApiError::fields)?;
            let desk = codes::Desk {
                db: &db,
                access: &access,
                metrics: &metrics,
            };
            let begun = desk.sign_in(grant, now).await;
            if begun.is_err() {
                // A try at a known number's code is written down, which takes a while longer.
                even.await;
            }
            begun?
        }
        "refresh_token" => {
            let token = request.refresh_token.ok_or_else(|| {
                ApiError::field(
                    "/refresh_token",
                    "missing_field",
                    "is needed for grant_type refresh_token",
                )
            })?;
            refresh(&db, &access, &token, now).await?
        }
        "client_credentials" => {
            let (client_id, secret) = request.client().map_err(ApiError::fields)?;
            let (client_id, secret_id) = services::sign_in(&db, &client_id, secret, now).await?;
            return Reply::ok(&ServiceTokenView {
                access_token: access.keys().sign_service(client_id, secret_id, now)?,
                token_type: "Bearer",
                expires_in: SERVICE_LIFE.num_seconds(),
            });
        }
        _ => {
            return Err(ApiError::new(
                Code::UnsupportedGrantType,
                "grant_type must be otp, totp, refresh_token or client_credentials",
            ));
        }
    };
    let (worker_id, session_id, refresh_token) = begun;
    let today = clock.day_of(now);
    let worker = db
        .read(async |tx| Ok(load_worker(tx, db.keys(), worker_id, today).await?))
        .await?;
    Reply::ok(&TokenView {
        access_token: access.keys().sign(worker_id, session_id, now)?,
        token_type: "Bearer",
        expires_in: LIFE.num_seconds(),
        refresh_token,
        worker: worker.ok_or_else(|| ApiError::internal("a worker vanished while he signed in"))?,
    })
}

pub(super) type Begun = (WorkerId, SessionId, String);

/// Until when a refresh token of his works unused.
pub(super) async fn idle_until(
    tx: &mut Tx,
    worker_id: WorkerId,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, ApiError> {
    let roles = queries::roles_of(tx, worker_id).await?;
    Ok(now + rules::idle_life(&roles))
}

async fn refresh(db: &Db, access: &Access, token: &str, now: DateTime<Utc>) -> Result<Begun, ApiError> {
    let invalid = || {
        ApiError::new(
            Code::InvalidRefreshToken,
            "the refresh token is not valid; sign in again",
        )
    };
    let hash = rules::token_hash(token);
    let keys = access.keys().code_keys(now);
    let done: Option<(RefreshRow, Option<String>)> = db
        .write(&Actor::program(now), async move |tx| {
            let Some(row) = queries::lock_token(tx, hash, now).await? else {
                return Ok((None, Record::nothing()));
            };
            let worker = queries::find_active(tx, row.worker_id).await?;
            let (true, Some(worker)) = (row.live, worker) else {
                return Ok((None, Record::nothing()));
            };
            let just_used = row.used_at.filter(|at| now - *at < rules::SAME_USE);
            if row.successor_used && just_used.is_some() {
                // A copy of the request that was on its way for longer than what followed it. It gets nothing.
                return Ok((None, Record::nothing()));
            }
            if row.used_at.is_some() && row.successor_used {
                // Two hold tokens of this family, and one of them did not get his from us.
                queries::end_session(tx, row.session_id, "token_reuse", now).await?;
                let record = entry(&worker, "session.end_for_reuse", row.session_id.0).into();
                return Ok((Some((row, None)), record));
            }
            if let Some(used_at) = just_used {
                // Another key may have been the one that writes when it was used.
                for key in keys.all() {
                    let next = rules::successor_of(key, hash, used_at);
                    if queries::is_unused(tx, rules::token_hash(&next)).await? {
                        return Ok((Some((row, Some(next))), Record::nothing()));
                    }
                }
            }
            let next = rules::successor_of(keys.writes(), hash, now);
            queries::use_token(tx, hash, &row, now).await?;
            let expires_at = idle_until(tx, row.worker_id, now).await?;
            let kept = rules::token_hash(&next);
            queries::keep_token(tx, row.session_id, kept, Some(hash), now, expires_at).await?;
            let record = entry(&worker, "session.refresh", row.session_id.0).into();
            Ok((Some((row, Some(next))), record))
        })
        .await?;
    match done {
        Some((row, Some(next))) => Ok((row.worker_id, row.session_id, next)),
        Some((row, None)) => {
            access.forget_workers(&[row.worker_id]);
            Err(invalid())
        }
        None => Err(invalid()),
    }
}

/// What was done to a session or code, by its number; never what it was.
pub(super) fn entry(worker: &RosterRow, action: &'static str, subject: Uuid) -> Entry {
    let digest = Digest::of(&(worker.id, action, subject));
    Entry::new(worker.state_id, worker.unit_id, action, "session", digest)
        .of_ids([worker.id.0])
        .of_uuids([subject])
}

/// Sign out
#[utoipa::path(
    operation_id = "log_out", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 204, description = "The session has ended; its tokens are void."),
        (status = 401, description = "It had ended already.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/auth/logout")]
pub async fn log_out(
    caller: Caller,
    db: web::Data<Db>,
    access: web::Data<Access>,
) -> Result<HttpResponse, ApiError> {
    let (actor, actor_id) = (*caller.actor(), caller.worker_id());
    db.write(&actor, async move |tx| {
        let ended = queries::end_session(tx, caller.session_id(), "logout", actor.at).await?;
        let worker = queries::find_active(tx, caller.worker_id()).await?;
        let record = match worker {
            Some(worker) if ended => entry(&worker, "session.end", caller.session_id().0).into(),
            _ => Record::nothing(),
        };
        Ok(((), record))
    })
    .await?;
    access.forget_workers(&[actor_id]);
    Ok(HttpResponse::NoContent().finish())
}

/// Phones on which you are signed in
#[utoipa::path(
    operation_id = "list_devices", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 200, description = "The last seen first.", body = DevicesView),
        (status = 401, description = "Not signed in.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/auth/devices")]
pub async fn list_devices(caller: Caller, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let rows = db
        .read(async |tx| Ok(queries::own_devices(tx, &caller).await?))
        .await?;
    let items = rows.into_iter().map(|row| DeviceView {
        current: Some(row.id) == caller.actor().device_id,
        id: row.id,
        name: row.name,
        platform: row.platform,
        app_version: row.app_version,
        created_at: row.created_at,
        last_seen_at: row.last_seen_at,
    });
    Reply::ok(&DevicesView {
        items: items.collect(),
    })
}

/// Sign out a phone of yours
#[utoipa::path(
    operation_id = "revoke_device", tag = "auth", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, example = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff")),
    responses(
        (status = 204, description = "Its tokens are void."),
        (status = 404, description = "You are not signed in on such a phone.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[delete("/v1/auth/devices/{id}")]
pub async fn revoke_device(
    caller: Caller,
    id: Path<DeviceId>,
    db: web::Data<Db>,
    access: web::Data<Access>,
) -> Result<HttpResponse, ApiError> {
    let (actor, actor_id, id) = (*caller.actor(), caller.worker_id(), *id);
    db.write(&actor, async move |tx| {
        let worker = queries::find_active(tx, caller.worker_id()).await?;
        let ended = queries::end_own_device(tx, &caller, id).await?;
        match worker {
            Some(worker) if ended => Ok(((), entry(&worker, "session.revoke_device", id.0).into())),
            _ => Err(ApiError::not_found()),
        }
    })
    .await?;
    access.forget_workers(&[actor_id]);
    Ok(HttpResponse::NoContent().finish())
}

/// Sign out everywhere
#[utoipa::path(
    operation_id = "log_out_everywhere", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 204, description = "Every session of yours has ended, this one too."),
        (status = 401, description = "Not signed in.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[delete("/v1/auth/devices")]
pub async fn log_out_everywhere(
    caller: Caller,
    db: web::Data<Db>,
    access: web::Data<Access>,
) -> Result<HttpResponse, ApiError> {
    let (actor, actor_id) = (*caller.actor(), caller.worker_id());
    db.write(&actor, async move |tx| {
        let ended = queries::guards::end_all(tx, actor_id, "logout_everywhere", actor.at).await?;
        let worker = queries::find_active(tx, actor_id).await?;
        let record = match worker {
            Some(worker) if ended > 0 => entry(&worker, "session.end_all", caller.session_id().0).into(),
            _ => Record::nothing(),
        };
        Ok(((), record))
    })
    .await?;
    access.forget_workers(&[actor_id]);
    Ok(HttpResponse::NoContent().finish())
}

/// Who you are and what you may do
#[utoipa::path(
    operation_id = "get_me", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 200, description = "You, your grants that hold today, and the actions that they allow.", body = MeView),
        (status = 401, description = "Not signed in.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/me")]
pub async fn get_me(caller: Caller, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let today = caller.today();
    let (worker, notices) = db
        .read(async |tx| {
            let worker = load_worker(tx, db.keys(), caller.worker_id(), today).await?;
            Ok((worker, notices_since(tx, &caller, caller.session_id()).await?))
        })
        .await?;
    let notices = notices.into_iter().map(|row| NoticeView {
        kind: row.kind,
        device_id: row.device_id,
        device_name: row.device_name,
        at: row.created_at,
    });
    let worker = worker.ok_or_else(|| ApiError::internal("a caller is not on the roster"))?;
    let held: Vec<_> = caller.grants().map(|grant| grant.id).collect();
    let grants = worker
        .grants
        .iter()
        .filter(|grant| held.contains(&grant.id))
        .cloned()
        .collect();
    let actions = ActionName::ALL
        .iter()
        .filter(|action| caller.may(**action))
        .map(|action| action.as_str());
    let needs = caller.held().any(|grant| grant.role.needs_second_factor());
    Reply::ok(&MeView {
        grants,
        second_factor: match (needs, caller.strength().is_strong()) {
            (false, _) => "not_needed",
            (true, false) => "needed",
            (true, true) => "done",
        },
        actions: actions.collect(),
        notices: notices.collect(),
        worker,
    })
}

/// Keys that verify access tokens
#[utoipa::path(
    operation_id = "get_keys", tag = "auth", security(()),
    responses((status = 200, description = "A JWK set (RFC 7517).", body = serde_json::Value)),
)]
#[get("/.well-known/jwks.json")]
pub async fn get_keys(access: web::Data<Access>) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&access.keys().jwks())?.with_content_tag())
}
