use actix_web::{get, web};

use super::super::queries::{
    SeatAsk, SeatFilter, SeatRow, SeatSort, find_party_id, find_seat, list_candidates, list_seats as load,
};
use super::super::wire::{CandidateView, SeatDetailView, SeatPage, SeatQuery, SeatUnitView, SeatView};
use super::election;
use crate::access::actions::ElectionRead;
use crate::access::policy::{permit, scope_within};
use crate::access::{Reader, Scope};
use crate::platform::body::{Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::UnitId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;
use crate::platform::validate::{FieldErrors, Validate};

const LIST: &str = "seats";

/// Seats of an election
///
/// Of a party, "lost by under 5,000" has two meanings, and each has its name: `deficit_below=5000` is what the party itself
/// lacked to the winner; `margin_below=5000` is what the winner had over the runner-up, whoever they were.
#[utoipa::path(
    operation_id = "list_seats", tag = "elections", security(("bearer" = ["election.read"]), ("service" = ["election.read"])),
    params(("code" = String, Path, example = "LS2014"), SeatQuery),
    responses(
        (status = 200, description = "The seats under your units that match, in the order asked for.", body = SeatPage),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "None of your grants reads elections.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such election, or `under` is no unit of yours.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid, or no party has this name.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/elections/{code}/seats")]
pub async fn list_seats(
    Reader(caller): Reader,
    code: Path<String>,
    query: Query<SeatQuery>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let query = query.0;
    let mut errors = FieldErrors::default();
    query.validate(&mut errors);
    let (sort, descending) = read_sort(&query, &mut errors);
    if !errors.0.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let paging = Paging {
        limit: query.limit.clone(),
        cursor: query.cursor.clone(),
    };
    let limit = paging.limit()?;
    let after = paging.after(LIST)?;
    let rows = db
        .read(async |tx| {
            let election = election(tx, &caller, &code).await?;
            let scope = scope_within::<ElectionRead>(tx, &caller, query.under).await?;
            let party_id = match &query.party {
                None => None,
                Some(name) => Some(party(tx, &scope, name).await?),
            };
            let ask = SeatAsk {
                filter: SeatFilter {
                    election_id: election.id,
                    party_id,
                    won: query.won,
                    deficit_below: query.deficit_below,
                    margin_below: query.margin_below,
                    level: query.level.clone(),
                },
                sort,
                descending,
                after: after.clone(),
                limit,
            };
            Ok(load(tx, &scope, caller.today(), &ask).await?)
        })
        .await?;
    let count = rows.first().map_or(0, |row| row.matching);
    let key = |row: &SeatRow| (row.sort_number, row.sort_text.clone());
    let page = Page::new(LIST, rows, limit, key, |row| SeatView::new(&code, row));
    Reply::ok(&SeatPage {
        items: page.items,
        next_cursor: page.next_cursor,
        count,
    })
}

fn read_sort(query: &SeatQuery, errors: &mut FieldErrors) -> (SeatSort, bool) {
    let (sort, descending) = match query.sort.as_deref() {
        None | Some("code") => (SeatSort::Code, false),
        Some("margin") => (SeatSort::Margin, false),
        Some("-margin") => (SeatSort::Margin, true),
        Some("deficit") => (SeatSort::Deficit, false),
        Some("-deficit") => (SeatSort::Deficit, true),
        Some(_) => {
            errors.add(
                "/sort",
                "unknown_value",
                "must be one of code, margin, -margin, deficit, -deficit",
            );
            (SeatSort::Code, false)
        }
    };
    if sort == SeatSort::Deficit && query.party.is_none() {
        errors.add("/sort", "needs_party", "say of which `party`");
    }
    (sort, descending)
}

async fn party(tx: &mut Tx, scope: &Scope<ElectionRead>, name: &str) -> Result<i32, ApiError> {
    find_party_id(tx, scope, name).await?.ok_or_else(|| {
        ApiError::field(
            "/party",
            "unknown_party",
            "no party is called so; GET /v1/parties?q= finds parts of names",
        )
    })
}

/// One seat, with every candidate
#[utoipa::path(
    operation_id = "get_seat", tag = "elections", security(("bearer" = ["election.read"]), ("service" = ["election.read"])),
    params(("code" = String, Path, example = "LS2014"), ("unit_id" = i32, Path, example = 9)),
    responses(
        (status = 200, description = "Its results; `ETag` names their content.", body = SeatDetailView),
        (status = 304, description = "The same as in If-None-Match."),
        (status = 403, description = "You may see the unit, but not its results.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such election or unit, no results of it, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/elections/{code}/seats/{unit_id}")]
pub async fn get_seat(
    Reader(caller): Reader,
    path: Path<(String, UnitId)>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (code, unit_id) = path.0;
    let view = db
        .read(async |tx| {
            let permit = permit::<ElectionRead>(tx, &caller, unit_id).await?;
            let election = election(tx, &caller, &code).await?;
            let head = find_seat(tx, &permit, election.id)
                .await?
                .ok_or_else(ApiError::not_found)?;
            let candidates = list_candidates(tx, &permit, election.id).await?;
            Ok(SeatDetailView {
                unit: SeatUnitView {
                    id: unit_id,
                    code: head.code,
                    level: head.level,
                    name: head.name,
                    state_id: permit.state_id(),
                },
                votes: head.votes,
                candidates: candidates.into_iter().map(CandidateView::from).collect(),
                imported_at: head.imported_at,
            })
        })
        .await?;
    Ok(Reply::ok(&view)?.with_content_tag())
}
