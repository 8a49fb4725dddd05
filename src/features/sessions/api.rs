use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, get, post, web};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::queries::{self, RefreshRow, RosterRow};
use super::rules;
use super::sender::Sender;
use super::wire::{
    CodeRequest, CodeSentView, DeviceView, DevicesView, MeView, OtpGrant, TokenRequest, TokenView,
};
use crate::access::actions::ActionName;
use crate::access::tokens::LIFE;
use crate::access::{Access, Caller};
use crate::features::workers::load_worker;
use crate::journal::{Actor, Digest, Entry, Record};
use crate::platform::body::{Json, Path};
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::{DeviceId, SessionId, WorkerId};
use crate::platform::reply::Reply;

/// Ask for a one-time code
///
/// The answer is the same for a number that nobody has.
#[utoipa::path(
    operation_id = "request_code", tag = "auth", security(()),
    request_body = CodeRequest,
    responses(
        (status = 202, description = "If the number is on the roster and was not sent too many, a code is on its way.", body = CodeSentView),
        (status = 422, description = "Not a phone number.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/auth/otp")]
pub async fn request_code(
    body: Json<CodeRequest>,
    db: web::Data<Db>,
    clock: web::Data<Clock>,
    access: web::Data<Access>,
    sender: web::Data<Sender>,
) -> Result<Reply, ApiError> {
    let even = tokio::time::sleep(rules::EVEN_TIME);
    let phone = body.value.phone;
    let now = clock.now();
    let code = rules::new_code()?;
    let challenge = Uuid::new_v4();
    let hash = rules::code_hash(access.keys().code_key(), challenge, &code);
    let asked = phone.clone();
    let send = db
        .write(&Actor::program(now), async move |tx| {
            let Some(worker) = queries::lock_by_phone(tx, &asked).await? else {
                return Ok((false, Record::nothing()));
            };
            let sent = queries::codes_sent(tx, &worker, now - TimeDelta::days(1)).await?;
            if !rules::may_send(&sent, now) {
                return Ok((false, Record::nothing()));
            }
            queries::replace_code(tx, &worker, challenge, &hash, now, now + rules::CODE_LIFE).await?;
            Ok((true, entry(&worker, "session.send_code", challenge).into()))
        })
        .await?;
    if send {
        sender.send(phone, code, now);
    }
    // Only a known number is written about, which takes a while longer.
    even.await;
    let view = CodeSentView {
        expires_in: rules::CODE_LIFE.num_seconds(),
        retry_after: rules::CODE_GAP.num_seconds(),
    };
    Reply::with_status(StatusCode::ACCEPTED, &view)
}

/// Sign in, or refresh
///
/// `grant_type` `otp` signs in with a one-time code, `refresh_token` gets new tokens. A refresh whose reply was lost may be
/// sent again; an older refresh token ends the session.
#[utoipa::path(
    operation_id = "issue_token", tag = "auth", security(()),
    request_body = TokenRequest,
    responses(
        (status = 200, description = "Tokens; keep the newest refresh token.", body = TokenView),
        (status = 400, description = "Another grant type.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The code or the refresh token is not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing or not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/auth/token")]
pub async fn issue_token(
    body: Json<TokenRequest>,
    db: web::Data<Db>,
    clock: web::Data<Clock>,
    access: web::Data<Access>,
) -> Result<Reply, ApiError> {
    let even = tokio::time::sleep(rules::EVEN_TIME);
    let request = body.value;
    let now = clock.now();
    let begun = match request.grant_type.as_str() {
        "otp" => {
            let grant = request.otp().map_err(ApiError::fields)?;
            let begun = sign_in(&db, &access, grant, now).await;
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
        _ => {
            return Err(ApiError::new(
                Code::UnsupportedGrantType,
                "grant_type must be otp or refresh_token",
            ));
        }
    };
    let (worker_id, session_id, refresh_token) = begun;
    let today = clock.day_of(now);
    let worker = db
        .read(async |tx| Ok(load_worker(tx, worker_id, today).await?))
        .await?;
    Reply::ok(&TokenView {
        access_token: access.keys().sign(worker_id, session_id, now)?,
        token_type: "Bearer",
        expires_in: LIFE.num_seconds(),
        refresh_token,
        worker: worker.ok_or_else(|| ApiError::internal("a worker vanished while he signed in"))?,
    })
}

type Begun = (WorkerId, SessionId, String);

async fn sign_in(db: &Db, access: &Access, grant: OtpGrant, now: DateTime<Utc>) -> Result<Begun, ApiError> {
    let wrong = || ApiError::new(Code::InvalidCode, "the code is wrong, used up or too old");
    let actor = Actor::program(now);
    let phone = grant.phone.clone();
    // The try is committed before the code is compared: fifty tries at once are five.
    let tried = db
        .write(&actor, async move |tx| {
            let Some(worker) = queries::lock_by_phone(tx, &phone).await? else {
                return Ok((None, Record::nothing()));
            };
            let Some(challenge) = queries::count_try(tx, &worker, rules::TRIES, now).await? else {
                return Ok((None, Record::nothing()));
            };
            let record = entry(&worker, "session.try_code", challenge.id).into();
            Ok((Some((worker, challenge)), record))
        })
        .await?;
    let id = tried.as_ref().map_or(Uuid::nil(), |(_, challenge)| challenge.id);
    let hash = rules::code_hash(access.keys().code_key(), id, &grant.code);
    let (worker, challenge) = tried.ok_or_else(wrong)?;
    if !rules::same(&hash, &challenge.code_hash) {
        return Err(wrong());
    }
    let token = rules::new_refresh_token()?;
    let kept = rules::token_hash(&token);
    let actor = Actor {
        worker_id: Some(worker.id),
        device_id: Some(grant.device.id),
        at: now,
    };
    let (session_id, ended) = db
        .write(&actor, async move |tx| {
            if !queries::use_code(tx, challenge.id, now).await? {
                return Err(wrong());
            }
            let ends = now + rules::SESSION_LIFE;
            let (session_id, ended) = queries::begin_session(tx, &worker, &grant.device, now, ends).await?;
            let expires_at = idle_until(tx, worker.id, now).await?;
            queries::keep_token(tx, session_id, kept, None, now, expires_at).await?;
            let record = entry(&worker, "session.begin", session_id.0).into();
            Ok(((session_id, ended), record))
        })
        .await?;
    if ended {
        // Forgetting is for everyone; thousands who sign in of a morning should not make the others be looked up anew.
        access.forget();
    }
    Ok((worker.id, session_id, token))
}

async fn idle_until(tx: &mut Tx, worker_id: WorkerId, now: DateTime<Utc>) -> Result<DateTime<Utc>, ApiError> {
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
    let next = rules::new_refresh_token()?;
    let kept = rules::token_hash(&next);
    let done: Option<(RefreshRow, bool)> = db
        .write(&Actor::program(now), async move |tx| {
            let Some(row) = queries::lock_token(tx, hash, now).await? else {
                return Ok((None, Record::nothing()));
            };
            let worker = queries::find_active(tx, row.worker_id).await?;
            let (true, Some(worker)) = (row.live, worker) else {
                return Ok((None, Record::nothing()));
            };
            if row.used && row.successor_used {
                // Two hold tokens of this family, and one of them did not get his from us.
                queries::end_session(tx, row.session_id, "token_reuse", now).await?;
                let record = entry(&worker, "session.end_for_reuse", row.session_id.0).into();
                return Ok((Some((row, false)), record));
            }
            queries::use_token(tx, hash, &row, now).await?;
            let expires_at = idle_until(tx, row.worker_id, now).await?;
            queries::keep_token(tx, row.session_id, kept, Some(hash), now, expires_at).await?;
            let record = entry(&worker, "session.refresh", row.session_id.0).into();
            Ok((Some((row, true)), record))
        })
        .await?;
    match done {
        Some((row, true)) => Ok((row.worker_id, row.session_id, next)),
        Some((_, false)) => {
            access.forget();
            Err(invalid())
        }
        None => Err(invalid()),
    }
}

/// What was done to a session or code, by its number; never what it was.
fn entry(worker: &RosterRow, action: &'static str, subject: Uuid) -> Entry {
    Entry {
        state_id: worker.state_id,
        unit_id: worker.unit_id,
        action,
        subject: "session",
        subject_ids: vec![worker.id.0],
        subject_uuids: vec![subject],
        digest: Digest::of(&(worker.id, action, subject)),
    }
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
    let actor = *caller.actor();
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
    access.forget();
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
    let (actor, id) = (*caller.actor(), *id);
    db.write(&actor, async move |tx| {
        let worker = queries::find_active(tx, caller.worker_id()).await?;
        let ended = queries::end_own_device(tx, &caller, id).await?;
        match worker {
            Some(worker) if ended => Ok(((), entry(&worker, "session.revoke_device", id.0).into())),
            _ => Err(ApiError::not_found()),
        }
    })
    .await?;
    access.forget();
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
    let worker = db
        .read(async |tx| Ok(load_worker(tx, caller.worker_id(), today).await?))
        .await?;
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
    Reply::ok(&MeView {
        grants,
        actions: actions.collect(),
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
