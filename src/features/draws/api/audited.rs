use actix_web::{get, web};

use crate::access::Caller;
use crate::access::actions::DrawRead;
use crate::access::policy::permit;
use crate::features::draws::queries::{Span, audited, children, unit_of};
use crate::features::draws::wire::{AuditedChildrenQuery, AuditedQuery, AuditedView};
use crate::platform::body::{Path, Query};
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::UnitId;
use crate::platform::page::Page;
use crate::platform::reply::Reply;
use crate::platform::validate::{FieldErrors, Validate};

const CHILDREN: &str = "audited_children";

/// Reported and audited, side by side
///
/// What the unit reported, what random draws found of it, and how much would stand if all had been checked.
#[utoipa::path(
    operation_id = "get_audited_totals", tag = "draws", security(("bearer" = ["draw.read"])),
    params(("id" = i32, Path, example = 2), AuditedQuery),
    responses(
        (status = 200, description = "The figures; `ETag` names their content.", body = AuditedView),
        (status = 304, description = "The same as in If-None-Match."),
        (status = 403, description = "You may see the unit, but not its draws.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The period is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/audited-totals")]
pub async fn get_audited_totals(
    caller: Caller,
    id: Path<UnitId>,
    query: Query<AuditedQuery>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let query = valid(query.0)?;
    let span = Span {
        campaign_id: query.campaign_id,
        from: query.from,
        to: query.to,
    };
    let row = db
        .read(async |tx| {
            let permit = permit::<DrawRead>(tx, &caller, *id).await?;
            let unit = unit_of(tx, &permit).await?;
            Ok(audited(tx, vec![unit], span).await?.pop())
        })
        .await?;
    let row = row.ok_or_else(ApiError::not_found)?;
    Ok(Reply::ok(&AuditedView::from(row))?.with_content_tag())
}

/// The same for each unit under a unit
#[utoipa::path(
    operation_id = "list_audited_children", tag = "draws", security(("bearer" = ["draw.read"])),
    params(("id" = i32, Path, example = 2), AuditedChildrenQuery),
    responses(
        (status = 200, description = "The units that lie under it today, by id.", body = Page<AuditedView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but not its draws.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The level or the period is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/audited-totals/children")]
pub async fn list_audited_children(
    caller: Caller,
    id: Path<UnitId>,
    query: Query<AuditedChildrenQuery>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let query = valid(query.0)?;
    let limit = query.paging().limit()?;
    let after: Option<UnitId> = query.paging().after(CHILDREN)?;
    let span = Span {
        campaign_id: query.campaign_id,
        from: query.from,
        to: query.to,
    };
    let rows = db
        .read_long(async |tx| {
            let permit = permit::<DrawRead>(tx, &caller, *id).await?;
            let level = query.level.as_deref();
            let units = children(tx, &permit, level, caller.today(), after, limit + 1).await?;
            Ok(audited(tx, units, span).await?)
        })
        .await?;
    Reply::ok(&Page::new(
        CHILDREN,
        rows,
        limit,
        |row| row.unit.id,
        AuditedView::from,
    ))
}

fn valid<T: Validate>(query: T) -> Result<T, ApiError> {
    let mut errors = FieldErrors::default();
    query.validate(&mut errors);
    if errors.0.is_empty() {
        Ok(query)
    } else {
        Err(ApiError::fields(errors))
    }
}
