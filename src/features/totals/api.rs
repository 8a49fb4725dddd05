use actix_web::{get, web};

use super::check;
use super::queries::{self, ChildCursor, ChildrenAsk, Period};
use super::rules::{self, SortBy};
use super::wire::{
    CheckQuery, CheckView, ChildView, ChildrenQuery, Hierarchy, PostedView, SeriesView, TotalsQuery,
    TotalsView,
};
use crate::access::actions::{TotalsCheck, TotalsRead};
use crate::access::policy::permit;
use crate::access::{Caller, Reader};
use crate::features::target_sets::members_today;
use crate::platform::body::{Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::UnitId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;
use crate::platform::validate::{FieldErrors, Validate};
use crate::platform::wall::RECOUNT;

const CHILDREN: &str = "totals_children";

/// What a unit has
///
/// Exact the instant a visit is stored, at every level.
#[utoipa::path(
    operation_id = "get_totals", tag = "totals", security(("bearer" = ["totals.read"]), ("service" = ["totals.read"])),
    params(("id" = i32, Path, example = 2), TotalsQuery),
    responses(
        (status = 200, description = "The figures; `ETag` names their content.", body = TotalsView),
        (status = 304, description = "The same as in If-None-Match."),
        (status = 403, description = "You may see the unit, but not its totals.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The period is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/totals")]
pub async fn get_totals(
    Reader(caller): Reader,
    id: Path<UnitId>,
    query: Query<TotalsQuery>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let query = valid(query.0)?;
    let period = Period {
        campaign_id: query.campaign_id,
        from: query.from,
        to: query.to,
    };
    let hierarchy = query.hierarchy.unwrap_or_default();
    let view = db
        .read(async |tx| {
            let permit = permit::<TotalsRead>(tx, &caller, *id).await?;
            let unit = queries::find_unit(tx, &permit).await?;
            let roots = match seats(tx, &caller, query.target_set).await? {
                None => queries::roots(tx, &permit).await?,
                Some(seats) => queries::roots_of_seats(tx, &permit, caller.today(), &seats).await?,
            };
            let mut rows = queries::figures(tx, &permit, &roots, period).await?;
            if hierarchy == Hierarchy::Current && permit.level() != "nation" {
                rows.extend(queries::moved_figures(tx, &permit, caller.today(), period).await?);
            }
            let series = query.interval.map(|interval| rules::series(&rows, interval));
            let series = series
                .unwrap_or_default()
                .into_iter()
                .map(|(from, counters)| SeriesView {
                    from,
                    counters: counters.into(),
                });
            Ok(TotalsView {
                unit: unit.into(),
                from: query.from,
                to: query.to,
                hierarchy,
                posted: PostedView {
                    unposted_entries: queries::unposted_entries(tx, &roots).await?,
                },
                totals: rules::sum(&rows).into(),
                series: series.collect(),
            })
        })
        .await?;
    let mut view = view;
    if caller.is_service() {
        view.hide_small_cells();
    }
    Ok(Reply::ok(&view)?.with_content_tag())
}

/// What each unit under a unit has
///
/// The units that lie under it today, each with its own figures and coverage.
#[utoipa::path(
    operation_id = "list_totals_children", tag = "totals", security(("bearer" = ["totals.read"]), ("service" = ["totals.read"])),
    params(("id" = i32, Path, example = 2), ChildrenQuery),
    responses(
        (status = 200, description = "The units in the order asked for.", body = Page<ChildView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The level, the order or the period is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/totals/children")]
pub async fn list_children(
    Reader(caller): Reader,
    id: Path<UnitId>,
    query: Query<ChildrenQuery>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let query = valid(query.0)?;
    let sort = SortBy::parse(query.sort.as_deref())?;
    let paging = Paging {
        limit: query.limit,
        cursor: query.cursor,
    };
    let limit = paging.limit()?;
    let after: Option<ChildCursor> = paging.after(CHILDREN)?;
    let mut ask = ChildrenAsk {
        level: query.level,
        seats: None,
        period: Period {
            campaign_id: query.campaign_id,
            from: query.from,
            to: query.to,
        },
        sort,
        today: caller.today(),
        after,
        limit: limit + 1,
    };
    let rows = db
        .read_long(async |tx| {
            let permit = permit::<TotalsRead>(tx, &caller, *id).await?;
            ask.seats = seats(tx, &caller, query.target_set).await?;
            Ok(queries::children(tx, &permit, &ask).await?)
        })
        .await?;
    let key = |row: &queries::ChildRow| (row.sort_number, row.sort_text.clone(), row.unit.id);
    let hide = caller.is_service();
    Reply::ok(&Page::new(CHILDREN, rows, limit, key, |row| {
        let mut view = ChildView::from(row);
        if hide {
            view.totals.hide_small_cells();
        }
        view
    }))
}

/// Recount a unit's figures
///
/// Counts the visits themselves and compares with the ledgers, both in one snapshot.
#[utoipa::path(
    operation_id = "check_totals", tag = "totals", security(("bearer" = ["totals.check"])),
    params(("id" = i32, Path, example = 2), CheckQuery),
    responses(
        (status = 200, description = "Both, and where they differ.", body = CheckView),
        (status = 403, description = "You may see the unit, but not recount it.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The period is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/totals/check")]
pub async fn check_totals(
    caller: Caller,
    id: Path<UnitId>,
    query: Query<CheckQuery>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let query = valid(query.0)?;
    let period = Period {
        campaign_id: query.campaign_id,
        from: query.from,
        to: query.to,
    };
    // A unit's figures count what its booths did while they were its own, wherever they lie by now.
    let view = db
        .reaching(&RECOUNT)
        .read_long(async |tx| {
            let permit = permit::<TotalsCheck>(tx, &caller, *id).await?;
            let unit = queries::find_unit(tx, &permit).await?;
            let (live, recount) = check::both(tx, &permit, period).await?;
            let differences = rules::differences(&live, &recount);
            Ok(CheckView {
                unit: unit.into(),
                equal: differences.is_empty(),
                live: rules::sum(&live).into(),
                recount: rules::sum(&recount).into(),
                differences,
            })
        })
        .await?;
    Reply::ok(&view)
}

/// The constituencies of the target set that the figures are narrowed to.
async fn seats(
    tx: &mut Tx,
    caller: &Caller,
    target_set: Option<i32>,
) -> Result<Option<Vec<UnitId>>, ApiError> {
    let Some(id) = target_set else {
        return Ok(None);
    };
    members_today(tx, caller, id).await.map(Some)
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
