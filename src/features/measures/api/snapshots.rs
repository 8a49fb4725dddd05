use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, get, post, web};

use super::super::queries::snapshots::{
    Frozen, SnapshotRow, find_snapshot, insert_snapshot, list_snapshots as load_snapshots,
};
use super::super::report::build;
use super::super::rules::rounded;
use super::super::wire::report::{ShortfallItem, ShortfallReport};
use super::super::wire::snapshots::{ComparedUnit, ComparisonView, NewSnapshot, SnapshotHead, SnapshotView};
use super::answer;
use crate::access::actions::{ShortfallFreeze, ShortfallRead};
use crate::access::policy::permit;
use crate::access::{Caller, Permit};
use crate::journal::{Digest, Entry};
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::UnitId;
use crate::platform::page::{MAX_LIMIT, Page, Paging};
use crate::platform::reply::Reply;

/// Frozen reviews of a unit
#[utoipa::path(
    operation_id = "list_shortfall_snapshots", tag = "measures", security(("bearer" = ["shortfall.read"])),
    params(("id" = i32, Path, example = 2), Paging),
    responses(
        (status = 200, description = "The newest first, without their figures.", body = Page<SnapshotHead>),
        (status = 403, description = "You may see the unit, but not its shortfalls.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/shortfalls/snapshots")]
pub async fn list_snapshots(
    caller: Caller,
    id: Path<UnitId>,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let list = format!("snapshots of {}", *id);
    let limit = paging.0.limit()?;
    let before = paging.0.after(&list)?;
    let rows = db
        .read(async |tx| {
            let permit = permit::<ShortfallRead>(tx, &caller, *id).await?;
            Ok(load_snapshots(tx, &permit, before, limit).await?)
        })
        .await?;
    Reply::ok(&Page::new(
        &list,
        rows,
        limit,
        |row| row.id,
        |row| SnapshotHead::from(&row),
    ))
}

/// Freeze a review
///
/// The report of this moment is kept to the byte, whatever is corrected later.
#[utoipa::path(
    operation_id = "take_shortfall_snapshot", tag = "measures", security(("bearer" = ["shortfall.freeze"])),
    params(
        ("id" = i32, Path, example = 2),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body(content = NewSnapshot, example = json!({"name": "Review of November", "asked": {"level": "mandal", "days": 7}})),
    responses(
        (status = 201, description = "Frozen; `Location` is set.", body = SnapshotView),
        (status = 403, description = "You may see the unit, but not freeze its reviews.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or a campaign or target set is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/units/{id}/shortfalls/snapshots")]
pub async fn take_snapshot(
    caller: Caller,
    id: Path<UnitId>,
    body: Json<NewSnapshot>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, new) = (*id, body.value);
    // Read in one snapshot of the database, which a write is not.
    let report = db
        .read_long(async |tx| {
            permit::<ShortfallFreeze>(tx, &caller, id).await?;
            let permit = permit::<ShortfallRead>(tx, &caller, id).await?;
            build(tx, &caller, &permit, &new.asked).await
        })
        .await?;
    let text = serde_json::to_string(&report).map_err(ApiError::internal)?;
    let asked = serde_json::to_string(&new.asked).map_err(ApiError::internal)?;
    let actor = *caller.actor();
    db.write_once(&actor, body.idempotency, async move |tx| {
        let permit = permit::<ShortfallFreeze>(tx, &caller, id).await?;
        let digest = Digest::of_bytes(text.as_bytes());
        let frozen = Frozen {
            name: &new.name,
            taken_on: report.as_of,
            asked: &asked,
            report: &text,
            digest: &digest.0,
        };
        let row = insert_snapshot(tx, &permit, frozen).await?;
        let (state_id, unit_id) = (permit.state_id(), permit.unit_id());
        let entry = Entry::new(
            state_id,
            unit_id,
            "shortfall.freeze",
            "shortfall_snapshot",
            digest,
        )
        .of_ids([row.id]);
        let location = format!("/v1/shortfall-snapshots/{}", row.id);
        Ok((Reply::created(&view_of(&row)?, location)?, entry.into()))
    })
    .await
}

/// A frozen review
///
/// The report as it was shown. CSV with `Accept: text/csv`.
#[utoipa::path(
    operation_id = "get_shortfall_snapshot", tag = "measures", security(("bearer" = ["shortfall.read"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 200, description = "The same for ever; so is its `ETag`.", body = SnapshotView),
        (status = 304, description = "The same as in If-None-Match."),
        (status = 404, description = "No such snapshot, or none of yours.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/shortfall-snapshots/{id}")]
pub async fn get_snapshot(
    caller: Caller,
    id: Path<i32>,
    request: HttpRequest,
    db: web::Data<Db>,
) -> Result<HttpResponse, ApiError> {
    let row = db.read(async |tx| Ok(visible(tx, &caller, *id).await?.1)).await?;
    let view = view_of(&row)?;
    let json = Reply::ok(&view)?.with_content_tag();
    answer(&request, &view.report, json, "snapshot")
}

/// A frozen review beside today
///
/// The same report asked for today, unit by unit beside the frozen one.
#[utoipa::path(
    operation_id = "compare_shortfall_snapshot", tag = "measures", security(("bearer" = ["shortfall.read"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 200, description = "The units of the snapshot, in its order.", body = ComparisonView),
        (status = 404, description = "No such snapshot, or none of yours.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A campaign or target set of the snapshot is no longer yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/shortfall-snapshots/{id}/comparison")]
pub async fn compare_snapshot(caller: Caller, id: Path<i32>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let (row, then, now) = db
        .read_long(async |tx| {
            let (permit, row) = visible(tx, &caller, *id).await?;
            let then = report_of(&row)?;
            let mut asked = then.asked.clone();
            // Whoever was shown then may have a better rank now.
            asked.limit = Some(i64::from(MAX_LIMIT));
            let now = build(tx, &caller, &permit, &asked).await?;
            Ok((row, then, now))
        })
        .await?;
    let view = ComparisonView {
        snapshot: SnapshotHead::from(&row),
        as_of: now.as_of,
        items: compared(&then, &now),
    };
    Ok(Reply::ok(&view)?.with_content_tag())
}

fn compared(then: &ShortfallReport, now: &ShortfallReport) -> Vec<ComparedUnit> {
    let today: BTreeMap<(&str, UnitId), &ShortfallItem> = now
        .indicators
        .iter()
        .flat_map(|group| {
            group
                .items
                .iter()
                .map(|item| ((group.indicator.id.as_str(), item.unit.id), item))
        })
        .collect();
    let items = then.indicators.iter().flat_map(|group| {
        let today = &today;
        group.items.iter().map(move |item| {
            let now = today.get(&(group.indicator.id.as_str(), item.unit.id));
            let value = now.and_then(|now| now.actual);
            ComparedUnit {
                unit: item.unit.clone(),
                indicator: group.indicator.id.clone(),
                then: item.actual,
                now: value,
                change: value.zip(item.actual).map(|(now, then)| rounded(now - then)),
                shortfall_then: item.shortfall,
                shortfall_now: now.and_then(|now| now.shortfall),
                rank_then: item.rank,
                rank_now: now.map(|now| now.rank),
            }
        })
    });
    items.collect()
}

/// The snapshot if the caller reads the shortfalls of its unit.
async fn visible(
    tx: &mut Tx,
    caller: &Caller,
    id: i32,
) -> Result<(Permit<ShortfallRead>, SnapshotRow), ApiError> {
    let row = find_snapshot(tx, id).await?.ok_or_else(ApiError::not_found)?;
    let permit = permit::<ShortfallRead>(tx, caller, row.unit_id)
        .await
        .map_err(|error| {
            if error.code().status() < 500 {
                ApiError::not_found()
            } else {
                error
            }
        })?;
    Ok((permit, row))
}

fn report_of(row: &SnapshotRow) -> Result<ShortfallReport, ApiError> {
    serde_json::from_str(&row.report).map_err(ApiError::internal)
}

fn view_of(row: &SnapshotRow) -> Result<SnapshotView, ApiError> {
    Ok(SnapshotView {
        snapshot: SnapshotHead::from(row),
        report: report_of(row)?,
    })
}
