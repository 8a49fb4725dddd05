use actix_web::{get, web};

use super::super::queries::{list_members as load_members, list_versions as load_versions, versions_on};
use super::super::rules::compare;
use super::super::wire::{ChangeFilter, ChangesView, MemberFilter, MemberView, VersionView};
use super::visible;
use crate::access::Caller;
use crate::access::actions::TargetSetRead;
use crate::access::policy::scope;
use crate::platform::body::{Path, Query};
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::UnitId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;
use crate::platform::validate::{FieldErrors, Validate};

/// Members of a version are compared whole.
const ALL: i64 = 1_000_000;

/// Members of a target set on a day
#[utoipa::path(
    operation_id = "list_target_set_members", tag = "target sets", security(("bearer" = ["target_set.read"])),
    params(("id" = i32, Path, example = 1), MemberFilter),
    responses(
        (status = 200, description = "By unit, those in your scope; none on a day before the first version.", body = Page<MemberView>),
        (status = 404, description = "No such set or version, or none of yours.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/target-sets/{id}/members")]
pub async fn list_members(
    caller: Caller,
    id: Path<i32>,
    filter: Query<MemberFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let mut errors = FieldErrors::default();
    filter.validate(&mut errors);
    if !errors.0.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let list = format!("members of target set {}", *id);
    let paging = Paging {
        limit: filter.limit,
        cursor: filter.cursor,
    };
    let limit = paging.limit()?;
    // A version may begin between two pages: the cursor keeps the one that the first page showed.
    let after: Option<(i32, UnitId)> = paging.after(&list)?;
    let (version, rows) = db
        .read(async |tx| {
            let set = visible(tx, &caller, *id).await?;
            let scope = scope::<TargetSetRead>(&caller)?;
            let day = filter.on.unwrap_or_else(|| caller.today());
            let version = match (after, filter.version) {
                (Some((version, _)), _) => version,
                (None, Some(version)) if (1..=set.version).contains(&version) => version,
                (None, Some(_)) => return Err(ApiError::not_found()),
                (None, None) => versions_on(tx, &scope, &[set.id], day)
                    .await?
                    .first()
                    .map_or(0, |row| row.version),
            };
            let after = after.map(|(_, unit_id)| unit_id);
            let rows = load_members(tx, &scope, caller.today(), (set.id, version), after, limit).await?;
            Ok((version, rows))
        })
        .await?;
    Reply::ok(&Page::new(
        &list,
        rows,
        limit,
        |row| (version, row.unit_id),
        MemberView::from,
    ))
}

/// Versions of a target set
#[utoipa::path(
    operation_id = "list_target_set_versions", tag = "target sets", security(("bearer" = ["target_set.read"])),
    params(("id" = i32, Path, example = 1), Paging),
    responses(
        (status = 200, description = "The newest first.", body = Page<VersionView>),
        (status = 404, description = "No such set, or none of yours.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/target-sets/{id}/versions")]
pub async fn list_versions(
    caller: Caller,
    id: Path<i32>,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let list = format!("versions of target set {}", *id);
    let limit = paging.0.limit()?;
    let before = paging.0.after(&list)?;
    let rows = db
        .read(async |tx| {
            let set = visible(tx, &caller, *id).await?;
            let scope = scope::<TargetSetRead>(&caller)?;
            Ok(load_versions(tx, &scope, set.id, before, limit).await?)
        })
        .await?;
    Reply::ok(&Page::new(
        &list,
        rows,
        limit,
        |row| row.version,
        VersionView::from,
    ))
}

/// What differs between two versions
#[utoipa::path(
    operation_id = "list_target_set_changes", tag = "target sets", security(("bearer" = ["target_set.read"])),
    params(("id" = i32, Path, example = 1), ChangeFilter),
    responses(
        (status = 200, description = "Members added, removed and moved to another cluster, in your scope.", body = ChangesView),
        (status = 404, description = "No such set or version, or none of yours.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/target-sets/{id}/changes")]
pub async fn list_changes(
    caller: Caller,
    id: Path<i32>,
    filter: Query<ChangeFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let view = db
        .read(async |tx| {
            let set = visible(tx, &caller, *id).await?;
            let scope = scope::<TargetSetRead>(&caller)?;
            let to = filter.to.unwrap_or(set.version);
            let from = filter.from.unwrap_or(to.saturating_sub(1));
            if !(1..=set.version).contains(&to) || !(0..=set.version).contains(&from) {
                return Err(ApiError::not_found());
            }
            let head = load_versions(tx, &scope, set.id, Some(to.saturating_add(1)), 1).await?;
            let today = caller.today();
            let before = load_members(tx, &scope, today, (set.id, from), None, ALL).await?;
            let after = load_members(tx, &scope, today, (set.id, to), None, ALL).await?;
            let changes = compare(before, after);
            let views = |rows: Vec<_>| rows.into_iter().map(MemberView::from).collect();
            Ok(ChangesView {
                from,
                to,
                reason: head.into_iter().next().map(|row| row.reason).unwrap_or_default(),
                added: views(changes.added),
                removed: views(changes.removed),
                regrouped: views(changes.regrouped),
            })
        })
        .await?;
    Ok(Reply::ok(&view)?.with_content_tag())
}
