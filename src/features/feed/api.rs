use std::time::Instant;

use actix_web::{get, web};

use super::follow::Reading;
use super::places::Followers;
use super::wire::{FeedQuery, FeedView, From};
use crate::access::Follower;
use crate::journal::tail::Woken;
use crate::platform::body::Query;
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::reply::Reply;

/// What happened
///
/// Every change at your units, in order within each state, at least once and none missed. Ask again with `next_cursor`; with
/// `wait`, an answer that would be empty comes when there is something, or empty when the time is over.
#[utoipa::path(
    operation_id = "get_feed", tag = "feed", security(("bearer" = ["feed.read"]), ("service" = ["feed.read"])),
    params(FeedQuery),
    responses(
        (status = 200, description = "Entries after the cursor; none is no end. Services get ids, units and counts.", body = FeedView),
        (status = 400, description = "Not a cursor of this feed.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "None of your grants follows what happens.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`under` does not exist or lies outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "The journal no longer goes on from this cursor: read everything anew, then start from now.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "This account waits four times already, or asks too often.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/feed")]
pub async fn get_feed(
    follower: Follower,
    query: Query<FeedQuery>,
    db: web::Data<Db>,
    followers: web::Data<Followers>,
) -> Result<Reply, ApiError> {
    let (limit, wait) = (query.0.limit()?, query.0.wait()?);
    let FeedQuery {
        cursor, from, under, ..
    } = query.0;
    let late = Instant::now() + wait;
    let mut caller = follower.caller;
    let starts_now = cursor.is_none() && from == Some(From::Now);
    let mut reading = Reading::begin(
        &db,
        &followers.tail,
        &caller,
        under,
        cursor.as_deref(),
        from,
        limit,
    )
    .await?;
    let place = if wait.is_zero() {
        None
    } else {
        Some(followers.enter(&caller)?)
    };
    let mut first = true;
    loop {
        let found = reading.look(&caller).await?;
        // Whoever starts from now wants his cursor first.
        let enough = !found.items.is_empty() || found.more || place.is_none() || starts_now;
        if enough || reading.wait(&found.lengths, late, first).await? != Woken::Grown {
            return Reply::ok(&FeedView {
                items: found.items.into_iter().map(|(item, _)| item).collect(),
                next_cursor: reading.cursor(),
                more: found.more,
            });
        }
        first = false;
        caller = follower.ticket.caller().await?;
    }
}
