//! Coverage by seat and by leader, and the reports that are due.

use actix_web::{get, web};
use chrono::NaiveDate;

use crate::access::Caller;
use crate::access::actions::PravasRead;
use crate::access::policy::permit;
use crate::features::pravas::queries::coverage::{
    Asked, list_leaders as load_leaders, list_missing, list_seats as load_seats,
};
use crate::features::pravas::queries::list_stops_under;
use crate::features::pravas::wire::coverage::{
    CoverageFilter, LeaderCoverageView, MissingReportView, SeatCoverageView, StopFilter,
};
use crate::features::pravas::wire::view::StopView;
use crate::features::target_sets::members_today;
use crate::platform::body::{Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::{StopId, UnitId};
use crate::platform::page::Page;
use crate::platform::reply::Reply;
use crate::platform::validate::{FieldErrors, Validate};

const SEATS: &str = "pravas seats";
const LEADERS: &str = "pravas leaders";
const MISSING: &str = "pravas missing reports";
const STOPS: &str = "pravas stops";

/// Which seats were given to leaders, and which of them were visited
///
/// `visited=false`: given to somebody and never visited.
#[utoipa::path(
    operation_id = "list_pravas_seats", tag = "pravas", security(("bearer" = ["pravas.read"])),
    params(("id" = i32, Path, example = 2), CoverageFilter),
    responses(
        (status = 200, description = "The constituencies under the unit, by id, with the stops that lie in each.", body = Page<SeatCoverageView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but no tours there.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/pravas/seats")]
pub async fn list_seats(
    caller: Caller,
    id: Path<UnitId>,
    filter: Query<CoverageFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = valid(filter.0)?;
    let limit = filter.paging().limit()?;
    let after = filter.paging().after(SEATS)?;
    let rows = db
        .read(async |tx| {
            let permit = permit::<PravasRead>(tx, &caller, *id).await?;
            let asked = asked(tx, &caller, &filter).await?;
            Ok(load_seats(tx, &permit, &asked, filter.visited, after, limit + 1).await?)
        })
        .await?;
    Reply::ok(&Page::new(
        SEATS,
        rows,
        limit,
        |row| row.id,
        |row| SeatCoverageView::new(row, &filter),
    ))
}

/// What each leader was given and has covered
#[utoipa::path(
    operation_id = "list_pravas_leaders", tag = "pravas", security(("bearer" = ["pravas.read"])),
    params(("id" = i32, Path, example = 2), CoverageFilter),
    responses(
        (status = 200, description = "The leaders with a seat or a stop under the unit, by id.", body = Page<LeaderCoverageView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but no tours there.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/pravas/leaders")]
pub async fn list_leaders(
    caller: Caller,
    id: Path<UnitId>,
    filter: Query<CoverageFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = valid(filter.0)?;
    let limit = filter.paging().limit()?;
    let after = filter.paging().after(LEADERS)?;
    let rows = db
        .read(async |tx| {
            let permit = permit::<PravasRead>(tx, &caller, *id).await?;
            let asked = asked(tx, &caller, &filter).await?;
            Ok(load_leaders(tx, &permit, &asked, after, limit + 1).await?)
        })
        .await?;
    Reply::ok(&Page::new(
        LEADERS,
        rows,
        limit,
        |row| row.leader_id,
        |row| LeaderCoverageView::new(row, *id, &filter),
    ))
}

/// Stops whose report is due or missing
#[utoipa::path(
    operation_id = "list_missing_stop_reports", tag = "pravas", security(("bearer" = ["pravas.read"])),
    params(("id" = i32, Path, example = 2), CoverageFilter),
    responses(
        (status = 200, description = "Stops up to today without a report, the oldest first.", body = Page<MissingReportView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but no tours there.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/pravas/missing-reports")]
pub async fn list_missing_reports(
    caller: Caller,
    id: Path<UnitId>,
    filter: Query<CoverageFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = valid(filter.0)?;
    let limit = filter.paging().limit()?;
    let after: Option<(NaiveDate, StopId)> = filter.paging().after(MISSING)?;
    let rows = db
        .read(async |tx| {
            let permit = permit::<PravasRead>(tx, &caller, *id).await?;
            let asked = asked(tx, &caller, &filter).await?;
            Ok(list_missing(tx, &permit, &asked, after, limit + 1).await?)
        })
        .await?;
    let today = caller.today();
    Reply::ok(&Page::new(
        MISSING,
        rows,
        limit,
        |row| (row.day, row.id),
        |row| MissingReportView::new(&row, today),
    ))
}

/// The stops under a unit
///
/// Of tours that stand, wherever they were planned: a stop lies where its unit lay on its day. The rows behind the figures
/// of seats, leaders and indicators.
#[utoipa::path(
    operation_id = "list_unit_stops", tag = "pravas", security(("bearer" = ["pravas.read"])),
    params(("id" = i32, Path, example = 2), StopFilter),
    responses(
        (status = 200, description = "By day.", body = Page<StopView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but no tours there.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/pravas/stops")]
pub async fn list_unit_stops(
    caller: Caller,
    id: Path<UnitId>,
    filter: Query<StopFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let held = filter.0.held;
    let filter = valid(filter.0.covered())?;
    let limit = filter.paging().limit()?;
    let after: Option<(NaiveDate, StopId)> = filter.paging().after(STOPS)?;
    let rows = db
        .read(async |tx| {
            let permit = permit::<PravasRead>(tx, &caller, *id).await?;
            let asked = asked(tx, &caller, &filter).await?;
            Ok(list_stops_under(tx, &permit, &asked, held, after, limit + 1).await?)
        })
        .await?;
    Reply::ok(&Page::new(
        STOPS,
        rows,
        limit,
        |row| (row.day, row.id),
        StopView::from,
    ))
}

async fn asked(tx: &mut Tx, caller: &Caller, filter: &CoverageFilter) -> Result<Asked, ApiError> {
    let seats = match filter.target_set {
        Some(id) => Some(members_today(tx, caller, id).await?),
        None => None,
    };
    Ok(Asked {
        today: caller.today(),
        leader_id: filter.leader_id,
        from: filter.from,
        to: filter.to,
        seats,
    })
}

fn valid(filter: CoverageFilter) -> Result<CoverageFilter, ApiError> {
    let mut errors = FieldErrors::default();
    filter.validate(&mut errors);
    if errors.0.is_empty() {
        Ok(filter)
    } else {
        Err(ApiError::fields(errors))
    }
}
