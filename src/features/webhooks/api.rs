use actix_web::{HttpResponse, delete, get, patch, post, web};
use uuid::Uuid;

use super::deliverer::LIST as CURSOR;
use super::queries::{self, SecretRow, WebhookRow, WebhookToStore};
use super::rules;
use super::wire::{
    DeadLetterView, NewWebhook, NewWebhookView, ReplayView, WebhookPatch, WebhookSecretView, WebhookView,
};
use crate::access::actions::{ActionName, WebhookRead, WebhookWrite};
use crate::access::policy::{check_holds, permit, permit_field, scope};
use crate::access::{Caller, Permit};
use crate::journal::read::cursor_at_end;
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Json, Path, Query};
use crate::platform::config::Config;
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::WebhookId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::{IfMatch, Reply};

const LIST: &str = "webhooks";

/// Webhooks of your units
#[utoipa::path(
    operation_id = "list_webhooks", tag = "webhooks", security(("bearer" = ["webhook.read"])),
    params(Paging),
    responses(
        (status = 200, description = "By id.", body = Page<WebhookView>),
        (status = 403, description = "None of your grants reads webhooks.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/webhooks")]
pub async fn list_webhooks(
    caller: Caller,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let limit = paging.0.limit()?;
    let after = paging.0.after(LIST)?;
    let rows = db
        .read(async |tx| {
            let scope = scope::<WebhookRead>(&caller)?;
            Ok(queries::list_webhooks(tx, &scope, caller.today(), after, limit).await?)
        })
        .await?;
    Reply::ok(&Page::new(LIST, rows, limit, |row| row.id, WebhookView::from))
}

/// Register a webhook
///
/// It is told what happens from now on. The answer holds its secret, which is not shown again.
#[utoipa::path(
    operation_id = "create_webhook", tag = "webhooks", security(("bearer" = ["webhook.write"])),
    request_body = NewWebhook,
    responses(
        (status = 201, description = "Registered.", body = NewWebhookView),
        (status = 403, description = "You may see the unit, but not do this there.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or the unit is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/webhooks")]
pub async fn create_webhook(
    caller: Caller,
    body: Json<NewWebhook>,
    db: web::Data<Db>,
    config: web::Data<Config>,
) -> Result<Reply, ApiError> {
    let (new, actor, keys) = (body.value, *caller.actor(), db.keys().clone());
    let allow_loopback = config.webhooks_allow_loopback;
    db.write_once(&actor, body.idempotency, async move |tx| {
        let permit = permit_field::<WebhookWrite>(tx, &caller, new.unit_id, "/unit_id").await?;
        check_holds(&caller, &permit, &[ActionName::FeedRead])?;
        rules::check_url(&new.url, allow_loopback)?;
        let store = WebhookToStore {
            url: new.url.clone(),
            kinds: new.kinds.clone(),
            actions: new.actions.clone(),
            paused: false,
        };
        let cursor = cursor_at_end(tx, &[permit.unit_id()]).await?.encode(CURSOR);
        let row = queries::insert_webhook(tx, &permit, &store, &cursor).await?;
        let secret = make_secret(tx, &permit, row.id, &keys).await?;
        let webhook = WebhookView::from(row);
        let record = record(&permit, "webhook.write", &webhook);
        let (version, location) = (webhook.version, format!("/v1/webhooks/{}", webhook.id));
        let reply = Reply::created(&NewWebhookView { webhook, secret }, location)?;
        Ok((reply.with_version(version), record))
    })
    .await
}

/// One webhook
#[utoipa::path(
    operation_id = "get_webhook", tag = "webhooks", security(("bearer" = ["webhook.read"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 200, description = "The webhook. `ETag` is the version.", body = WebhookView),
        (status = 404, description = "No such webhook, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/webhooks/{id}")]
pub async fn get_webhook(caller: Caller, id: Path<WebhookId>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let row = db
        .read(async |tx| Ok(find::<WebhookRead>(tx, &caller, *id, false).await?.1))
        .await?;
    let version = row.version;
    Ok(Reply::ok(&WebhookView::from(row))?.with_version(version))
}

/// Change, pause or resume a webhook
#[utoipa::path(
    operation_id = "update_webhook", tag = "webhooks", security(("bearer" = ["webhook.write"])),
    params(
        ("id" = i32, Path, example = 1),
        ("If-Match" = String, Header, description = "The ETag of what you read.", example = "\"1\""),
    ),
    request_body = WebhookPatch,
    responses(
        (status = 200, description = "As it is now.", body = WebhookView),
        (status = 404, description = "No such webhook, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed in the meantime.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[patch("/v1/webhooks/{id}")]
pub async fn update_webhook(
    caller: Caller,
    id: Path<WebhookId>,
    if_match: IfMatch,
    body: Json<WebhookPatch>,
    db: web::Data<Db>,
    config: web::Data<Config>,
) -> Result<Reply, ApiError> {
    let (actor, id, patch) = (*caller.actor(), *id, body.value);
    let allow_loopback = config.webhooks_allow_loopback;
    let view = db
        .write(&actor, async move |tx| {
            let (permit, current) = find::<WebhookWrite>(tx, &caller, id, true).await?;
            if_match.check(current.version)?;
            let url = patch.url.as_ref().unwrap_or(&current.url);
            rules::check_url(url, allow_loopback)?;
            let changed = WebhookToStore {
                url: url.clone(),
                kinds: patch.kinds.as_ref().unwrap_or(&current.kinds).clone(),
                actions: patch.actions.as_ref().unwrap_or(&current.actions).clone(),
                paused: patch.paused.unwrap_or(current.paused),
            };
            let view = WebhookView::from(queries::update_webhook(tx, &permit, id, &changed).await?);
            let record = record(&permit, "webhook.write", &view);
            Ok((view, record))
        })
        .await?;
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// Delete a webhook
///
/// What waits for it and its dead letters go with it.
#[utoipa::path(
    operation_id = "delete_webhook", tag = "webhooks", security(("bearer" = ["webhook.write"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 204, description = "It is no more."),
        (status = 404, description = "No such webhook, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[delete("/v1/webhooks/{id}")]
pub async fn delete_webhook(
    caller: Caller,
    id: Path<WebhookId>,
    db: web::Data<Db>,
) -> Result<HttpResponse, ApiError> {
    let (actor, id) = (*caller.actor(), *id);
    db.write(&actor, async move |tx| {
        let (permit, row) = find::<WebhookWrite>(tx, &caller, id, true).await?;
        queries::delete_webhook(tx, &permit, id).await?;
        Ok(((), record(&permit, "webhook.delete", &WebhookView::from(row))))
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Make another secret
///
/// It signs beside the newest of those before, which lets the receiver change over without a gap; older ones end.
#[utoipa::path(
    operation_id = "create_webhook_secret", tag = "webhooks", security(("bearer" = ["webhook.write"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 201, description = "The secret, shown this once.", body = WebhookSecretView),
        (status = 404, description = "No such webhook, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/webhooks/{id}/secrets")]
pub async fn create_secret(
    caller: Caller,
    id: Path<WebhookId>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (actor, id, keys) = (*caller.actor(), *id, db.keys().clone());
    let secret = db
        .write(&actor, async move |tx| {
            let (permit, row) = find::<WebhookWrite>(tx, &caller, id, true).await?;
            let secret = make_secret(tx, &permit, id, &keys).await?;
            Ok((
                secret,
                record(&permit, "webhook.make_secret", &WebhookView::from(row)),
            ))
        })
        .await?;
    Reply::created(&WebhookSecretView { secret }, format!("/v1/webhooks/{id}"))
}

/// What could not be delivered
#[utoipa::path(
    operation_id = "list_dead_letters", tag = "webhooks", security(("bearer" = ["webhook.read"])),
    params(("id" = i32, Path, example = 1), Paging),
    responses(
        (status = 200, description = "In their order.", body = Page<DeadLetterView>),
        (status = 404, description = "No such webhook, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/webhooks/{id}/dead-letters")]
pub async fn list_dead_letters(
    caller: Caller,
    id: Path<WebhookId>,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let list = format!("dead letters of {}", *id);
    let limit = paging.0.limit()?;
    let after = paging.0.after(&list)?.unwrap_or(0);
    let rows = db
        .read(async |tx| {
            let (permit, _) = find::<WebhookRead>(tx, &caller, *id, false).await?;
            Ok(queries::list_dead(tx, &permit, *id, after, limit).await?)
        })
        .await?;
    Reply::ok(&Page::new(&list, rows, limit, |row| row.id, DeadLetterView::from))
}

/// Send the dead letters again
///
/// All of them, in their order and under their `webhook-id`, before what came later and still waits.
#[utoipa::path(
    operation_id = "replay_dead_letters", tag = "webhooks", security(("bearer" = ["webhook.write"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 200, description = "They are on their way.", body = ReplayView),
        (status = 404, description = "No such webhook, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/webhooks/{id}/dead-letters/replay")]
pub async fn replay_dead_letters(
    caller: Caller,
    id: Path<WebhookId>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (actor, id) = (*caller.actor(), *id);
    let replayed = db
        .write(&actor, async move |tx| {
            let (permit, row) = find::<WebhookWrite>(tx, &caller, id, true).await?;
            let replayed = queries::replay(tx, &permit, id).await?;
            Ok((
                replayed,
                record(&permit, "webhook.replay", &WebhookView::from(row)),
            ))
        })
        .await?;
    Reply::ok(&ReplayView { replayed })
}

/// A webhook with leave to do `A` to it. What may not be done is as if it did not exist: whoever sees the unit need not
/// know of its webhooks.
async fn find<A: crate::access::actions::Action>(
    tx: &mut Tx,
    caller: &Caller,
    id: WebhookId,
    lock: bool,
) -> Result<(Permit<A>, WebhookRow), ApiError> {
    let home = queries::home_of(tx, id, lock)
        .await?
        .ok_or_else(ApiError::not_found)?;
    let permit = permit::<A>(tx, caller, home).await.map_err(|error| {
        if error.code() == Code::Forbidden {
            ApiError::not_found()
        } else {
            error
        }
    })?;
    let row = queries::find_webhook(tx, &permit, id).await?;
    Ok((permit, row.ok_or_else(ApiError::not_found)?))
}

/// Makes and keeps a secret; returns it as it is shown.
async fn make_secret(
    tx: &mut Tx,
    permit: &Permit<WebhookWrite>,
    webhook_id: WebhookId,
    keys: &DataKeys,
) -> Result<String, ApiError> {
    let (id, secret) = (Uuid::new_v4(), rules::new_secret()?);
    let sealed = keys
        .seal(&queries::secret_place(id), &secret)
        .map_err(ApiError::internal)?;
    let row = SecretRow { id, sealed };
    queries::insert_secret(tx, permit, webhook_id, &row, rules::LIVE_SECRETS - 1).await?;
    Ok(rules::show_secret(&secret))
}

fn record<A>(permit: &Permit<A>, action: &'static str, view: &WebhookView) -> Record {
    Entry::new(
        permit.state_id(),
        permit.unit_id(),
        action,
        "webhook",
        Digest::of(view),
    )
    .of_ids([view.id.0])
    .into()
}
