use actix_web::{post, web};

use super::cursor::Known;
use super::now::Now;
use super::round::Round;
use super::wire::{SyncSent, SyncView};
use crate::access::Caller;
use crate::access::actions::SyncRead;
use crate::access::policy::scope;
use crate::features::seals::receipts_of;
use crate::features::visits::{Visible, find_many_visible};
use crate::platform::body::Json;
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::reply::Reply;

/// What a phone needs, or what changed since
///
/// Changes nothing and may be sent again at any time: with the same cursor it answers what differs now from what the phone
/// had then. docs/sync.md tells how a phone uses it.
#[utoipa::path(
    operation_id = "sync", tag = "sync", security(("bearer" = ["sync.read"])),
    request_body = SyncSent,
    responses(
        (status = 200, description = "A page; ask again with its cursor while `has_more`.", body = SyncView),
        (status = 400, description = "Not a cursor of this worker's: start afresh without one.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "None of your grants works in the field.", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "The cursor is older than 90 days: start afresh without one.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or your grants reach too many booths for a phone (`scope_too_wide`).", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/sync")]
pub async fn sync(caller: Caller, body: Json<SyncSent>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let sent = body.value;
    let scope = scope::<SyncRead>(&caller)?;
    let (worker_id, at) = (caller.worker_id(), caller.actor().at);
    let known = sent
        .cursor
        .as_deref()
        .map(|cursor| Known::from_cursor(cursor, worker_id, at))
        .transpose()?;
    let page: SyncView = db
        .read(async |tx| {
            let now = Now::read(tx, &caller, &scope).await?;
            let mut round = Round::new(known, now, sent.limit(), caller.language());
            round.compare(&sent.held);
            round.fill(tx, db.keys(), &scope).await?;
            round.page.cursor = round.known.to_cursor(worker_id, at);
            round.page.server_time = at;
            if !sent.receipts.is_empty() {
                let own = Visible {
                    roots: Vec::new(),
                    own: Some(worker_id),
                    today: caller.today(),
                };
                let visits = find_many_visible(tx, db.keys(), &sent.receipts, &own).await?;
                round.page.receipts = receipts_of(tx, &visits.iter().collect::<Vec<_>>()).await?;
            }
            Ok(round.page)
        })
        .await?;
    Reply::ok(&page)
}
