//! GET: lists, one visit, its versions.

use actix_web::{get, web};

use super::change::reply;
use super::{check_units, may_read_none, readable};
use crate::access::Caller;
use crate::features::visits::queries::{
    VisitCursor, VisitKey, VisitRow, find_visible, find_visits, list_versions as load_versions,
    list_visits as load_visits, visible_visits,
};
use crate::features::visits::sight::{Sight, show_all};
use crate::features::visits::wire::{VersionView, VersionsView, VisitFilter, VisitView};
use crate::platform::body::{Path, Query};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::VisitId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;
use crate::platform::validate::{FieldErrors, Validate};

const LIST: &str = "visits";

/// Visits that you may see
#[utoipa::path(
    operation_id = "list_visits", tag = "visits", security(("bearer" = ["visit.read", "visit.read_own"])),
    params(VisitFilter),
    responses(
        (status = 200, description = "Newest day first.", body = Page<VisitView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "A unit in the filter does not exist or lies outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/visits")]
pub async fn list_visits(
    caller: Caller,
    filter: Query<VisitFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let paging = Paging {
        limit: filter.limit.clone(),
        cursor: filter.cursor.clone(),
    };
    let mut errors = FieldErrors::default();
    filter.validate(&mut errors);
    if filter.format.is_some() {
        errors.add("/format", "unknown_field", "only for /v1/visits/export");
    }
    if !errors.0.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let limit = paging.limit()?;
    let after: Option<VisitCursor> = paging.after(LIST)?;
    let visible = readable(&caller).ok_or_else(|| may_read_none(&caller))?;
    let (rows, sight) = db
        .read(async |tx| {
            check_units(tx, &caller, [filter.under, filter.booth_id]).await?;
            let rows = load_visits(tx, db.keys(), &visible, &filter, None, after, limit + 1).await?;
            let sight = Sight::of(tx, &caller, rows.iter().map(|row| row.booth_id)).await?;
            Ok((rows, sight))
        })
        .await?;
    Reply::ok(&Page::new(
        LIST,
        rows,
        limit,
        |row| (row.visited_on, row.id),
        |row| sight.show(row),
    ))
}

/// One visit
#[utoipa::path(
    operation_id = "get_visit", tag = "visits", security(("bearer" = ["visit.read", "visit.read_own"])),
    params(("id" = uuid::Uuid, Path, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33")),
    responses(
        (status = 200, description = "The version that counts now; `ETag` is its number, with its verdict and when a flag was answered, if there are.", body = VisitView),
        (status = 304, description = "Unchanged since the version in If-None-Match."),
        (status = 404, description = "No such visit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/visits/{id}")]
pub async fn get_visit(caller: Caller, id: Path<VisitId>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    db.read(async |tx| {
        let row = find(tx, db.keys(), &caller, *id).await?;
        reply(tx, &caller, row).await
    })
    .await
}

/// Every version of a visit
#[utoipa::path(
    operation_id = "list_visit_versions", tag = "visits", security(("bearer" = ["visit.read", "visit.read_own"])),
    params(("id" = uuid::Uuid, Path, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33")),
    responses(
        (status = 200, description = "Oldest first; nothing is ever overwritten.", body = VersionsView),
        (status = 404, description = "No such visit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/visits/{id}/versions")]
pub async fn list_versions(caller: Caller, id: Path<VisitId>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let (rows, sight) = db
        .read(async |tx| {
            let visit = find(tx, db.keys(), &caller, *id).await?;
            let sight = Sight::of(tx, &caller, [visit.booth_id]).await?;
            Ok((load_versions(tx, db.keys(), &visit).await?, sight))
        })
        .await?;
    let items = rows
        .into_iter()
        .map(|row| VersionView::shown(row, &sight))
        .collect();
    Reply::ok(&VersionsView { items })
}

/// The visit if the caller may see it.
///
/// # Errors
/// 404 if not.
pub async fn find(tx: &mut Tx, keys: &DataKeys, caller: &Caller, id: VisitId) -> Result<VisitRow, ApiError> {
    let visible = readable(caller).ok_or_else(ApiError::not_found)?;
    find_visible(tx, keys, id, &visible)
        .await?
        .ok_or_else(ApiError::not_found)
}

/// Those of these visits that the caller may see, as he reads them.
///
/// # Errors
/// What the database says.
pub async fn read_visits(
    tx: &mut Tx,
    data_keys: &DataKeys,
    caller: &Caller,
    keys: &[VisitKey],
) -> Result<Vec<(VisitKey, VisitView)>, ApiError> {
    let Some(visible) = readable(caller) else {
        return Ok(Vec::new());
    };
    let rows = find_visits(tx, data_keys, keys).await?;
    let rows = visible_visits(tx, &visible, rows).await?;
    let keys: Vec<VisitKey> = rows.iter().map(|row| (row.state_id, row.id)).collect();
    let views = show_all(tx, caller, rows).await?;
    Ok(keys.into_iter().zip(views).collect())
}
