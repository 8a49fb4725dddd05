use actix_web::{get, web};

use super::queries::{Ask, back_checks, counts, places};
use super::rules::{MAX_BOOTHS, Place, Subject, subjects};
use super::wire::{By, IndicatorsQuery, PeerView};
use crate::access::Caller;
use crate::access::actions::AuditIndicatorRead;
use crate::access::policy::permit;
use crate::features::campaigns::{FlagBounds, load_facts};
use crate::platform::body::{Path, Query};
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::UnitId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;

/// Which workers are unlike their peers
///
/// Every worker with a visit in the campaign and period in a booth that lies under the unit today, each indicator beside
/// the spread of the same mandal's workers (as far as the mandal lies under the unit); the most unlike first. A worker of
/// two mandals is listed in each.
#[utoipa::path(
    operation_id = "list_worker_indicators", tag = "auditing", security(("bearer" = ["audit_indicator.read"])),
    params(("id" = i32, Path, example = 6), IndicatorsQuery),
    responses(
        (status = 200, description = "The most unlike first; those that cannot be told last.", body = Page<PeerView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but not its indicators.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The period is not valid, or the unit has more than 2,000 booths.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/worker-indicators")]
pub async fn list_worker_indicators(
    caller: Caller,
    id: Path<UnitId>,
    query: Query<IndicatorsQuery>,
    db: web::Data<Db>,
    clock: web::Data<Clock>,
) -> Result<Reply, ApiError> {
    list(By::Worker, &caller, *id, query.0, &db, &clock).await
}

/// Which booths are unlike their peers
///
/// The same for every booth with a visit, beside the booths of the same mandal.
#[utoipa::path(
    operation_id = "list_booth_indicators", tag = "auditing", security(("bearer" = ["audit_indicator.read"])),
    params(("id" = i32, Path, example = 6), IndicatorsQuery),
    responses(
        (status = 200, description = "The most unlike first; those that cannot be told last.", body = Page<PeerView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but not its indicators.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The period is not valid, or the unit has more than 2,000 booths.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/booth-indicators")]
pub async fn list_booth_indicators(
    caller: Caller,
    id: Path<UnitId>,
    query: Query<IndicatorsQuery>,
    db: web::Data<Db>,
    clock: web::Data<Clock>,
) -> Result<Reply, ApiError> {
    list(By::Booth, &caller, *id, query.0, &db, &clock).await
}

async fn list(
    by: By,
    caller: &Caller,
    unit_id: UnitId,
    query: IndicatorsQuery,
    db: &Db,
    clock: &Clock,
) -> Result<Reply, ApiError> {
    query.check(caller.today())?;
    let paging = Paging {
        limit: query.limit.clone(),
        cursor: query.cursor.clone(),
    };
    let limit = paging.limit()?;
    let after: Option<Place> = paging.after(by.list())?;
    let found = db
        .read_long(async |tx| read(tx, by, caller, unit_id, &query, clock.zone_name()).await)
        .await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let page: Vec<Subject> = found
        .into_iter()
        .filter(|subject| after.is_none_or(|after| subject.place() > after))
        .take(wanted)
        .collect();
    Reply::ok(&Page::new(by.list(), page, limit, Subject::place, |subject| {
        PeerView::new(subject, by)
    }))
}

/// Everybody under the unit, in the order of the list.
async fn read(
    tx: &mut Tx,
    by: By,
    caller: &Caller,
    unit_id: UnitId,
    query: &IndicatorsQuery,
    zone: &'static str,
) -> Result<Vec<Subject>, ApiError> {
    let permit = permit::<AuditIndicatorRead>(tx, caller, unit_id).await?;
    let places = places(tx, &permit, caller.today(), MAX_BOOTHS)
        .await?
        .ok_or_else(|| {
            ApiError::field(
                "/id",
                "too_many_booths",
                format!("more than {MAX_BOOTHS} booths lie under this unit: ask for each district or mandal"),
            )
        })?;
    let campaign = load_facts(tx, &[query.campaign_id]).await?.pop();
    let own = campaign.and_then(|campaign| campaign.bounds.outside_hours);
    let usual = own.or(FlagBounds::default().outside_hours);
    let ask = Ask {
        by,
        campaign_id: query.campaign_id,
        from: query.from,
        to: query.to,
        zone,
        hours: usual.map_or((0, 24), |hours| (hours.from, hours.to)),
    };
    let rows = counts(tx, &places, &ask).await?;
    let checks = back_checks(tx, &permit, &places, &ask).await?;
    Ok(subjects(rows, &checks))
}
