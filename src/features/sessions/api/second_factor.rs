//! A second factor: set up, confirmed.

use actix_web::{HttpResponse, post, web};

use super::codes::{Desk, count_failure};
use super::entry;
use crate::access::{Access, Caller, Strength};
use crate::features::sessions::queries::{self, guards};
use crate::features::sessions::rules;
use crate::features::sessions::wire::{FactorConfirmation, FactorView};
use crate::journal::Record;
use crate::platform::body::Json;
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::reply::Reply;
use crate::platform::telemetry::Metrics;

/// Set up a second factor
///
/// In a session that began with a code which was read out, or with the second factor that is to be replaced: a stolen
/// number is never enough. The one in use goes on working until the new one is confirmed.
#[utoipa::path(
    operation_id = "create_second_factor", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 200, description = "The secret for a one-time password app (RFC 6238); it is not shown again.", body = FactorView),
        (status = 403, description = "This session began with a code by message.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/auth/second-factor")]
pub async fn create_second_factor(
    caller: Caller,
    db: web::Data<Db>,
    access: web::Data<Access>,
) -> Result<Reply, ApiError> {
    if caller.strength() == Strength::Code {
        return Err(ApiError::new(
            Code::SecondFactorRequired,
            "ask whoever manages you for a code that is read out, and sign in with it",
        ));
    }
    let actor = *caller.actor();
    let secret = rules::new_factor_secret()?;
    let pending = rules::seal_factor(&access.keys().code_keys(actor.at), caller.worker_id(), &secret)?;
    let (secret, uri) = rules::factor_uri(caller.worker_id(), &secret);
    db.write(&actor, async move |tx| {
        let worker = queries::find_active(tx, caller.worker_id()).await?;
        let worker = worker.ok_or_else(ApiError::not_found)?;
        guards::keep_pending(tx, &caller, &pending).await?;
        let record = entry(&worker, "session.set_up_factor", caller.session_id().0).into();
        Ok(((), record))
    })
    .await?;
    Reply::ok(&FactorView { secret, uri })
}

/// Confirm a second factor
///
/// With the first password of the app. This session has a second factor from then on.
#[utoipa::path(
    operation_id = "confirm_second_factor", tag = "auth", security(("bearer" = [])),
    request_body = FactorConfirmation,
    responses(
        (status = 204, description = "It works."),
        (status = 401, description = "Not signed in, or not the password of the newest secret.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "None was set up.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not six digits.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/auth/second-factor/confirm")]
pub async fn confirm_second_factor(
    caller: Caller,
    body: Json<FactorConfirmation>,
    db: web::Data<Db>,
    access: web::Data<Access>,
    metrics: web::Data<Metrics>,
) -> Result<HttpResponse, ApiError> {
    let actor = *caller.actor();
    let (worker_id, today) = (caller.worker_id(), caller.today());
    let judged = caller.clone();
    let pending = db
        .write(&actor, async move |tx| {
            let worker = queries::find_active(tx, worker_id)
                .await?
                .ok_or_else(ApiError::not_found)?;
            let pending = guards::lock_factor(tx, worker_id)
                .await?
                .and_then(|factor| factor.pending);
            let pending =
                pending.ok_or_else(|| ApiError::new(Code::Conflict, "no second factor was set up"))?;
            if !count_failure(tx, &worker, actor.at).await? {
                return Err(ApiError::new(Code::InvalidCode, "the account is locked"));
            }
            Ok((
                pending,
                entry(&worker, "session.try_factor", judged.session_id().0).into(),
            ))
        })
        .await?;
    let keys = access.keys().code_keys(actor.at);
    let Some(step) = rules::check_factor(&keys, worker_id, &pending, 0, &body.value.totp, actor.at)? else {
        let desk = Desk {
            db: &db,
            access: &access,
            metrics: &metrics,
        };
        return Err(desk.refuse(actor.at, today).await?);
    };
    db.write(&actor, async move |tx| {
        let worker = queries::find_active(tx, worker_id)
            .await?
            .ok_or_else(ApiError::not_found)?;
        // Of two that were set up at once, the one that was confirmed is the one that works.
        let another = || ApiError::new(Code::Conflict, "another second factor was set up meanwhile");
        let current = guards::lock_factor(tx, worker_id)
            .await?
            .and_then(|factor| factor.pending)
            .ok_or_else(another)?;
        if !rules::same_factor(&keys, worker_id, &current, &pending)? {
            return Err(another());
        }
        guards::confirm_pending(tx, &caller, step).await?;
        if let Some(sealed) = rules::reseal_factor(&keys, worker_id, &current)? {
            guards::keep_resealed(tx, worker_id, &sealed).await?;
        }
        guards::forget_failures(tx, worker_id).await?;
        guards::set_strength(tx, caller.session_id(), Strength::Totp.as_str()).await?;
        let record: Record = entry(&worker, "session.confirm_factor", caller.session_id().0).into();
        Ok(((), record))
    })
    .await?;
    access.forget_workers(&[worker_id]);
    Ok(HttpResponse::NoContent().finish())
}
