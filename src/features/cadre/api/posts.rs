use actix_web::{get, post, web};

use super::super::queries::{
    self, confirm, is_seen, list_worker_posts as load_worker_posts, lock_own_post, session_began,
};
use super::super::rules::check_confirmation;
use super::super::wire::{PostFilter, PostView};
use super::valid;
use crate::access::Caller;
use crate::access::actions::PostRead;
use crate::access::policy::{permit, scope};
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Path, Query};
use crate::platform::clock::Clock;
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::{GrantId, UnitId, WorkerId};
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;

/// Posts of a worker
///
/// Every post that he holds, held or will hold at units of yours, the newest first.
#[utoipa::path(
    operation_id = "list_worker_posts", tag = "cadre", security(("bearer" = ["post.read"])),
    params(("id" = i32, Path, description = "The worker.", example = 12), Paging),
    responses(
        (status = 200, description = "The newest first.", body = Page<PostView>),
        (status = 404, description = "No such worker, or none of yours.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/workers/{id}/posts")]
pub async fn list_worker_posts(
    caller: Caller,
    id: Path<WorkerId>,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let list = format!("posts of worker {}", *id);
    let limit = paging.0.limit()?;
    let before = paging.0.after(&list)?;
    let rows = db
        .read(async |tx| {
            let scope = scope::<PostRead>(&caller).ok();
            let seen = match &scope {
                _ if *id == caller.worker_id() => true,
                Some(scope) => is_seen(tx, scope, caller.today(), *id).await?,
                None => false,
            };
            if !seen {
                return Err(ApiError::not_found());
            }
            Ok(load_worker_posts(tx, &caller, scope.as_ref(), *id, before, limit).await?)
        })
        .await?;
    Reply::ok(&Page::new(&list, rows, limit, |row| row.id, PostView::from))
}

/// Posts at a unit
///
/// Of the unit itself, not of those below it: who holds, held or will hold each, the newest first.
#[utoipa::path(
    operation_id = "list_unit_posts", tag = "cadre", security(("bearer" = ["post.read"])),
    params(("id" = i32, Path, example = 14), PostFilter),
    responses(
        (status = 200, description = "The newest first.", body = Page<PostView>),
        (status = 403, description = "You may see the unit, but not its posts.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/posts")]
pub async fn list_unit_posts(
    caller: Caller,
    id: Path<UnitId>,
    filter: Query<PostFilter>,
    db: web::Data<Db>,
    clock: web::Data<Clock>,
) -> Result<Reply, ApiError> {
    let filter = valid(filter.0)?;
    let list = format!("posts at unit {}", *id);
    let paging = Paging {
        limit: filter.limit.clone(),
        cursor: filter.cursor.clone(),
    };
    let limit = paging.limit()?;
    let before = paging.after(&list)?;
    let next_day = filter.on.and_then(|on| on.succ_opt());
    let day_ends = next_day.map(|day| clock.start_of(day));
    let rows = db
        .read(async |tx| {
            let permit = permit::<PostRead>(tx, &caller, *id).await?;
            Ok(
                queries::list_unit_posts(tx, &permit, caller.today(), &filter, day_ends, before, limit)
                    .await?,
            )
        })
        .await?;
    Reply::ok(&Page::new(&list, rows, limit, |row| row.id, PostView::from))
}

/// Your own posts
#[utoipa::path(
    operation_id = "list_my_posts", tag = "cadre", security(("bearer" = [])),
    params(Paging),
    responses(
        (status = 200, description = "The newest first; `confirmed_at` is null where you have not confirmed it.", body = Page<PostView>),
        (status = 401, description = "Not signed in.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/me/posts")]
pub async fn list_my_posts(
    caller: Caller,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    const LIST: &str = "own posts";
    let limit = paging.0.limit()?;
    let before = paging.0.after(LIST)?;
    let rows = db
        .read(async |tx| Ok(load_worker_posts(tx, &caller, None, caller.worker_id(), before, limit).await?))
        .await?;
    Reply::ok(&Page::new(LIST, rows, limit, |row| row.id, PostView::from))
}

/// Confirm a post of your own
///
/// Only then does it count in its committee. It is confirmed in a session that began with a code sent to your own number,
/// on the first day of the post or later; sending it again changes nothing.
#[utoipa::path(
    operation_id = "confirm_post", tag = "cadre", security(("bearer" = [])),
    params(("id" = i32, Path, description = "The post: the grant's id.", example = 1)),
    responses(
        (status = 200, description = "Confirmed, now or before.", body = PostView),
        (status = 401, description = "Not signed in.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "This session did not begin with a code sent to your number since the post began.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No post of yours.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "You do not hold it today.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/me/posts/{id}/confirmation")]
pub async fn confirm_post(
    caller: Caller,
    id: Path<GrantId>,
    db: web::Data<Db>,
    clock: web::Data<Clock>,
) -> Result<Reply, ApiError> {
    let (id, actor) = (*id, *caller.actor());
    let row = db
        .write(&actor, async move |tx| {
            let post = lock_own_post(tx, &caller, id)
                .await?
                .ok_or_else(ApiError::not_found)?;
            let record = if post.confirmed_at.is_some() {
                Record::nothing()
            } else {
                let began_on = clock.day_of(session_began(tx, &caller).await?);
                check_confirmation(&post, caller.strength(), began_on, caller.today())?;
                confirm(tx, &caller, &post).await?;
                let digest = Digest::of(&(id, caller.worker_id(), actor.at));
                Entry::new(post.state_id, post.unit_id, "post.confirm", "grant", digest)
                    .of_ids([caller.worker_id().0, id.0])
                    .into()
            };
            let before = Some(GrantId(id.0.saturating_add(1)));
            let rows = load_worker_posts(tx, &caller, None, caller.worker_id(), before, 0).await?;
            let row = rows.into_iter().next().ok_or_else(ApiError::not_found)?;
            Ok((row, record))
        })
        .await?;
    Reply::ok(&PostView::from(row))
}
