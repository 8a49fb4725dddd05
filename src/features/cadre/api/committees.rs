use std::collections::BTreeMap;

use actix_web::{get, web};

use super::super::queries::counts::{CadreAsk, CadreCounts, cadre_counts, find_unit, units_at};
use super::super::queries::vacancies::{VacancyAsk, VacancyRow, vacancies};
use super::super::wire::{
    CommitteeQuery, CommitteesFilter, CommitteesView, VacancyFilter, VacancyView, VacantPostView,
};
use crate::access::Caller;
use crate::access::actions::PostRead;
use crate::access::policy::permit;
use crate::platform::body::{Path, Query};
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::UnitId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;

const CHILDREN: &str = "committees";
const VACANCIES: &str = "vacancies";

/// Committees at and under a unit
///
/// How many booths have their committees whole, how many on paper alone, and how many posts are vacant. Exact the instant
/// a post is given, ended or confirmed.
#[utoipa::path(
    operation_id = "get_committees", tag = "cadre", security(("bearer" = ["post.read"])),
    params(("id" = i32, Path, example = 2), CommitteeQuery),
    responses(
        (status = 200, description = "The counts; `ETag` names their content.", body = CommitteesView),
        (status = 304, description = "The same as in If-None-Match."),
        (status = 403, description = "You may see the unit, but not its posts.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/committees")]
pub async fn get_committees(
    caller: Caller,
    id: Path<UnitId>,
    query: Query<CommitteeQuery>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let view = db
        .read_long(async |tx| {
            let permit = permit::<PostRead>(tx, &caller, *id).await?;
            let unit = find_unit(tx, &permit).await?;
            let ask = CadreAsk {
                units: &[unit.id],
                level: permit.level(),
                campaign_id: query.0.campaign,
                today: caller.today(),
                on: caller.today(),
            };
            let rows = cadre_counts(tx, &permit, &ask).await?;
            let counts = rows.first().map(|row| row.counts).unwrap_or_default();
            Ok(CommitteesView::new(unit, counts))
        })
        .await?;
    Ok(Reply::ok(&view)?.with_content_tag())
}

/// Committees of the units under a unit
#[utoipa::path(
    operation_id = "list_committees", tag = "cadre", security(("bearer" = ["post.read"])),
    params(("id" = i32, Path, example = 2), CommitteesFilter),
    responses(
        (status = 200, description = "Units of the level that lie under the unit today, by id.", body = Page<CommitteesView>),
        (status = 403, description = "You may see the unit, but not its posts.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The level is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/committees/children")]
pub async fn list_committees(
    caller: Caller,
    id: Path<UnitId>,
    filter: Query<CommitteesFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let paging = Paging {
        limit: filter.limit,
        cursor: filter.cursor,
    };
    let limit = paging.limit()?;
    let after = paging.after(CHILDREN)?;
    let level = filter.level.as_str();
    let (rows, mut counts) = db
        .read_long(async |tx| {
            let permit = permit::<PostRead>(tx, &caller, *id).await?;
            let rows = units_at(tx, &permit, level, caller.today(), after, limit).await?;
            let ids: Vec<UnitId> = rows.iter().map(|row| row.id).collect();
            let ask = CadreAsk {
                units: &ids,
                level,
                campaign_id: filter.campaign,
                today: caller.today(),
                on: caller.today(),
            };
            let counts = cadre_counts(tx, &permit, &ask).await?;
            let counts: BTreeMap<UnitId, CadreCounts> =
                counts.into_iter().map(|row| (row.unit_id, row.counts)).collect();
            Ok((rows, counts))
        })
        .await?;
    Reply::ok(&Page::new(
        CHILDREN,
        rows,
        limit,
        |row| row.id,
        |row| {
            let own = counts.remove(&row.id).unwrap_or_default();
            CommitteesView::new(row, own)
        },
    ))
}

/// Vacancies under a unit
///
/// Booths in whose committees posts are vacant, by id, each with its posts. A page looks at a bounded number of booths, so
/// it may hold fewer than `limit`; there are no more when `next_cursor` is null.
#[utoipa::path(
    operation_id = "list_vacancies", tag = "cadre", security(("bearer" = ["post.read"])),
    params(("id" = i32, Path, example = 2), VacancyFilter),
    responses(
        (status = 200, description = "By booth.", body = Page<VacancyView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but not its posts.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/vacancies")]
pub async fn list_vacancies(
    caller: Caller,
    id: Path<UnitId>,
    filter: Query<VacancyFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let paging = Paging {
        limit: filter.limit,
        cursor: filter.cursor,
    };
    let ask = VacancyAsk {
        campaign_id: filter.campaign,
        unconfirmed: filter.unconfirmed.unwrap_or(false),
        today: caller.today(),
        after: paging.after(VACANCIES)?,
        limit: paging.limit()?,
    };
    let rows = db
        .read_long(async |tx| {
            let permit = permit::<PostRead>(tx, &caller, *id).await?;
            Ok(vacancies(tx, &permit, &ask).await?)
        })
        .await?;
    let (items, next) = page_of(rows, &ask);
    Reply::ok(&Page::with_next(VACANCIES, items, next))
}

/// The booths that were looked at, those that want nothing left out; and the last one, if there are others after it.
fn page_of(rows: Vec<VacancyRow>, ask: &VacancyAsk) -> (Vec<VacancyView>, Option<UnitId>) {
    let mut booths: BTreeMap<UnitId, VacancyView> = BTreeMap::new();
    for row in rows {
        let booth = booths.entry(row.booth_id).or_insert_with(|| VacancyView {
            booth_id: row.booth_id,
            code: row.code,
            name: row.name,
            posts: Vec::new(),
        });
        let wants = row.held < row.wanted || (ask.unconfirmed && row.confirmed < row.wanted);
        if let (Some(post), true) = (row.post, wants) {
            booth.posts.push(VacantPostView {
                post,
                wanted: row.wanted,
                held: row.held,
                confirmed: row.confirmed,
            });
        }
    }
    let limit = usize::try_from(ask.limit).unwrap_or(usize::MAX);
    let more = booths.len() > limit;
    let looked_at: Vec<VacancyView> = booths.into_values().take(limit).collect();
    let next = looked_at.last().filter(|_| more).map(|last| last.booth_id);
    let items = looked_at.into_iter().filter(|booth| !booth.posts.is_empty());
    (items.collect(), next)
}
