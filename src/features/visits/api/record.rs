//! POST: one visit, or a batch. Both go through the recorder.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::StatusCode;
use actix_web::{post, web};
use serde::Deserialize;

use super::readable;
use crate::access::Caller;
use crate::access::actions::VisitRecord;
use crate::access::policy::permit;
use crate::access::refusals::Refusals;
use crate::features::visits::queries::{VisitRow, visible_visits};
use crate::features::visits::recorder::{Recorded, Recorder};
use crate::features::visits::sight::{Sight, show_all};
use crate::features::visits::wire::{
    BatchSent, BatchView, ItemStatus, ItemView, VisitSent, VisitView, flag_views,
};
use crate::platform::body::{Json, MAX_BATCH, parse};
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::{UnitId, VisitId};
use crate::platform::reply::Reply;
use crate::platform::telemetry::Metrics;

/// Record a visit
///
/// Safe to send again: the same visit under the same id is answered 200 with what is stored.
#[utoipa::path(
    operation_id = "record_visit", tag = "visits", security(("bearer" = ["visit.record"])),
    request_body = VisitSent,
    responses(
        (status = 201, description = "Stored, and counted in every total above.", body = VisitView),
        (status = 200, description = "The same visit was stored before; this is how it stands now.", body = VisitView),
        (status = 403, description = "You may see the booth, but not record visits there.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another visit has this id; `stored` holds it, if you may see it.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid; unknown campaign or household; or a booth that was yours neither on that day nor today.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not stored; send it again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/visits")]
pub async fn record_visit(
    caller: Caller,
    body: Json<VisitSent>,
    recorder: web::Data<Recorder>,
    db: web::Data<Db>,
    metrics: web::Data<Metrics>,
) -> Result<Reply, ApiError> {
    let booth_id = body.value.booth_id;
    let mut answers = recorder
        .record(caller.actor(), caller.strength().is_strong(), vec![body.value])
        .await?;
    explain(&db, &caller, &[booth_id], &mut answers).await?;
    let answer = answers
        .pop()
        .ok_or_else(|| ApiError::internal("the recorder gave no answer"))?;
    metrics
        .visits
        .with_label_values(&[status_of(&answer).as_str()])
        .inc();
    match answer? {
        Recorded::Created(row) => {
            let view = Sight::of_author(&caller).show(row);
            Ok(Reply::created(&view, format!("/v1/visits/{}", view.id))?.with_tag(&view.tag()))
        }
        Recorded::Duplicate(row) => {
            let view = Sight::of_author(&caller).show(row);
            Ok(Reply::with_status(StatusCode::OK, &view)?.with_tag(&view.tag()))
        }
        Recorded::Conflict(row) => {
            let shown = shown(&db, &caller, vec![row]).await?;
            Err(conflict(shown.into_iter().next()))
        }
    }
}

/// Record up to 500 visits
///
/// Each visit is answered by itself, in the order sent; a bad one never holds up the others. Safe to send again.
#[utoipa::path(
    operation_id = "record_visits", tag = "visits", security(("bearer" = ["visit.record"])),
    request_body = BatchSent,
    responses(
        (status = 200, description = "One answer for each visit. What is `created` or `duplicate` is stored.", body = BatchView),
        (status = 413, description = "More than 1 MiB after decompression.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not a list of 1 to 500 visits.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nothing is known to be stored; send it again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/visits/batch")]
pub async fn record_batch(
    caller: Caller,
    body: Json<BatchSent, MAX_BATCH>,
    recorder: web::Data<Recorder>,
    db: web::Data<Db>,
    metrics: web::Data<Metrics>,
    refusals: web::Data<Refusals>,
) -> Result<Reply, ApiError> {
    let mut visits = Vec::with_capacity(body.value.visits.len());
    let mut slots = Vec::with_capacity(body.value.visits.len());
    for raw in &body.value.visits {
        match parse::<VisitSent>(raw.get().as_bytes()) {
            Ok(visit) => {
                slots.push((Some(visit.id), None));
                visits.push(visit);
            }
            Err(error) => slots.push((id_of(raw.get()), Some(error))),
        }
    }
    let booths: Vec<UnitId> = visits.iter().map(|visit: &VisitSent| visit.booth_id).collect();
    let mut answers = if visits.is_empty() {
        Vec::new()
    } else {
        recorder
            .record(caller.actor(), caller.strength().is_strong(), visits)
            .await?
    };
    explain(&db, &caller, &booths, &mut answers).await?;
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        refusals.note(caller.actor(), "POST /v1/visits/batch", error);
    }
    let foreign = answers.iter().filter_map(|answer| match answer {
        Ok(Recorded::Conflict(row)) => Some(row.clone()),
        _ => None,
    });
    let shown = shown(&db, &caller, foreign.collect()).await?;
    let mut answers = answers.into_iter();
    let results: Vec<ItemView> = slots
        .into_iter()
        .enumerate()
        .map(|(index, (id, unread))| {
            let answer = match unread {
                Some(error) => Err(error),
                None => answers
                    .next()
                    .unwrap_or_else(|| Err(ApiError::internal("the recorder gave no answer"))),
            };
            item(index, id, answer, &shown, caller.language())
        })
        .collect();
    for result in &results {
        metrics.visits.with_label_values(&[result.status.as_str()]).inc();
    }
    Reply::ok(&BatchView { results })
}

fn item(
    index: usize,
    id: Option<VisitId>,
    answer: Result<Recorded, ApiError>,
    shown: &[VisitView],
    language: &str,
) -> ItemView {
    let status = status_of(&answer);
    let (row, error) = match answer {
        Ok(Recorded::Created(row) | Recorded::Duplicate(row)) => (Some(row), None),
        Ok(Recorded::Conflict(row)) => {
            let stored = shown
                .iter()
                .find(|view| view.id == row.id && view.booth_id == row.booth_id);
            (None, Some(conflict(stored.cloned())))
        }
        Err(error) => (None, Some(error)),
    };
    if let Some(error) = &error {
        error.log();
    }
    ItemView {
        index,
        id,
        status,
        version: row.as_ref().map(|row| row.version),
        flags: row
            .map(|row| flag_views(&row.flags, &[], language))
            .unwrap_or_default(),
        problem: error.map(|error| error.problem()),
    }
}

const fn status_of(answer: &Result<Recorded, ApiError>) -> ItemStatus {
    match answer {
        Ok(Recorded::Created(_)) => ItemStatus::Created,
        Ok(Recorded::Duplicate(_)) => ItemStatus::Duplicate,
        Ok(Recorded::Conflict(_)) => ItemStatus::Conflict,
        Err(_) => ItemStatus::Rejected,
    }
}

/// Who may see a booth but not record there is told so; for who may not see it, it does not exist. Looked up only where
/// something was refused, each booth once.
async fn explain(
    db: &Db,
    caller: &Caller,
    booths: &[UnitId],
    answers: &mut [Result<Recorded, ApiError>],
) -> Result<(), ApiError> {
    let outside = |answer: &Result<Recorded, ApiError>| matches!(answer, Err(error) if error.code() == Code::OutsideScope);
    let asked: BTreeSet<UnitId> = answers
        .iter()
        .zip(booths)
        .filter(|(answer, _)| outside(answer))
        .map(|(_, booth)| *booth)
        .collect();
    if asked.is_empty() {
        return Ok(());
    }
    let refused = db
        .read(async |tx| {
            let mut refused = BTreeMap::new();
            for booth in &asked {
                if let Err(error) = permit::<VisitRecord>(tx, caller, *booth).await
                    && error.code().status() == 403
                {
                    refused.insert(*booth, error.code());
                }
            }
            Ok(refused)
        })
        .await?;
    for (answer, booth) in answers.iter_mut().zip(booths) {
        if let Err(error) = answer
            && error.code() == Code::OutsideScope
        {
            let detail = "you may see this booth, but not record visits there in this session";
            let told = match refused.get(booth) {
                Some(code) => ApiError::new(*code, detail),
                None => std::mem::replace(error, ApiError::not_found()),
            };
            *error = told.for_unit(*booth);
        }
    }
    Ok(())
}

/// Those of the stored visits that the caller may see.
async fn shown(db: &Db, caller: &Caller, rows: Vec<VisitRow>) -> Result<Vec<VisitView>, ApiError> {
    let visible = readable(caller);
    let (Some(visible), false) = (visible, rows.is_empty()) else {
        return Ok(Vec::new());
    };
    db.read(async |tx| {
        let rows = visible_visits(tx, &visible, rows).await?;
        Ok(show_all(tx, caller, rows).await?)
    })
    .await
}

fn conflict(stored: Option<VisitView>) -> ApiError {
    let error = ApiError::new(Code::VisitConflict, "another visit is stored under this id");
    match stored.map(serde_json::to_value) {
        Some(Ok(stored)) => error.with_member("stored", stored),
        _ => error,
    }
}

/// The id of an item that cannot be read as a visit, if at least that can be read.
fn id_of(raw: &str) -> Option<VisitId> {
    #[derive(Deserialize)]
    struct Named {
        id: VisitId,
    }
    serde_json::from_str::<Named>(raw).ok().map(|named| named.id)
}
