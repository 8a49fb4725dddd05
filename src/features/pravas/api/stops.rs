//! Stops: planned, changed, reported.

use actix_web::http::StatusCode;
use actix_web::{get, patch, post, web};

use super::{check_places, to_change};
use crate::access::actions::{PravasRead, PravasReport};
use crate::access::policy::permit;
use crate::access::{Caller, Permit};
use crate::features::pravas::queries::reports::{
    find_report, insert_report, list_reports, note_tasks, settle_stop, tasks_of_stop,
};
use crate::features::pravas::queries::{StopRow, find_stop, insert_stops, store_stop};
use crate::features::pravas::wire::view::{StopHistoryView, StopReportView, StopView};
use crate::features::pravas::wire::{NewStop, StopPatch, StopReportSent, check_day};
use crate::features::tasks::{UnitTask, set_tasks};
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Json, Path};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::{PravasId, StopId};
use crate::platform::reply::{IfMatch, Reply};
use crate::platform::validate::FieldErrors;

/// Most reports shown of a stop.
const HISTORY: i64 = 100;

/// Plan a stop
#[utoipa::path(
    operation_id = "create_pravas_stop", tag = "pravas", security(("bearer" = ["pravas.write"])),
    params(
        ("id" = i32, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = NewStop,
    responses(
        (status = 201, description = "Planned; `Location` and `ETag` are given.", body = StopView),
        (status = 403, description = "You may see the tour, but not change it.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such tour, or none of yours.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The tour was cancelled.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, not a day of the tour, or no unit under the one that plans it.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/pravas/{id}/stops")]
pub async fn create_stop(
    caller: Caller,
    id: Path<PravasId>,
    body: Json<NewStop>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, new) = (*id, body.value);
    let actor = *caller.actor();
    db.write_once(&actor, body.idempotency, async move |tx| {
        let (tour, permit) = to_change(tx, &caller, id).await?;
        let mut errors = FieldErrors::default();
        check_day(&mut errors, "/day", new.day, tour.starts_on, tour.ends_on);
        if !errors.0.is_empty() {
            return Err(ApiError::fields(errors));
        }
        let stops = std::slice::from_ref(&new);
        check_places(tx, &caller, &permit, stops).await.map_err(|error| {
            if error.code() == Code::Invalid {
                let detail = "there is no such unit under the one that plans the tour";
                ApiError::field("/unit_id", "unknown_unit", detail)
            } else {
                error
            }
        })?;
        let made = insert_stops(tx, &permit, id, stops).await?;
        let stop = made
            .into_iter()
            .next()
            .ok_or_else(|| ApiError::internal("a stop was not stored"))?;
        let view = StopView::from(stop);
        let path = format!("/v1/pravas/{id}/stops/{}", view.id);
        let reply = Reply::created(&view, path)?.with_version(view.version);
        let entry = Entry::new(
            permit.state_id(),
            permit.unit_id(),
            "pravas.write",
            "pravas_stop",
            Digest::of(&view),
        );
        Ok((reply, entry.at_units([view.unit_id]).of_ids([view.id.0]).into()))
    })
    .await
}

/// One stop with what was reported of it
#[utoipa::path(
    operation_id = "get_pravas_stop", tag = "pravas", security(("bearer" = ["pravas.read"])),
    params(("id" = i32, Path, example = 1), ("stop_id" = i32, Path, example = 1)),
    responses(
        (status = 200, description = "The stop; `ETag` is the version of its plan.", body = StopHistoryView),
        (status = 403, description = "You may see its unit, but no tours there.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such stop, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/pravas/{id}/stops/{stop_id}")]
pub async fn get_stop(
    caller: Caller,
    path: Path<(PravasId, StopId)>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let path = *path;
    let view = db
        .read(async |tx| {
            let stop = find_stop(tx, path, false)
                .await?
                .ok_or_else(ApiError::not_found)?;
            let permit = permit::<PravasRead>(tx, &caller, stop.unit_id).await?;
            history(tx, &permit, stop).await
        })
        .await?;
    let held = view.stop.report_id.map(|id| id.to_string()).unwrap_or_default();
    Ok(Reply::ok(&view)?.with_tag(&format!("{}-{held}", view.stop.version)))
}

async fn history<A>(tx: &mut Tx, permit: &Permit<A>, stop: StopRow) -> Result<StopHistoryView, ApiError> {
    let reports = list_reports(tx, permit, stop.id, HISTORY).await?;
    Ok(StopHistoryView {
        tasks: tasks_of_stop(tx, permit, stop.id).await?,
        reports: reports.into_iter().map(StopReportView::from).collect(),
        stop: stop.into(),
    })
}

/// Change the plan of a stop
#[utoipa::path(
    operation_id = "update_pravas_stop", tag = "pravas", security(("bearer" = ["pravas.write"])),
    params(
        ("id" = i32, Path, example = 1),
        ("stop_id" = i32, Path, example = 1),
        ("If-Match" = String, Header, description = "The ETag of what you read.", example = "\"1\""),
    ),
    request_body(content = StopPatch, example = json!({"purpose": "Meet the booth committee and the mandal"})),
    responses(
        (status = 200, description = "As it is now. A change that changes nothing makes no new version.", body = StopView),
        (status = 403, description = "You may see it, but not change it.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such stop, or none of yours.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The tour was cancelled, or the stop was reported and would be moved to a day to come.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or not a day of the tour.", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[patch("/v1/pravas/{id}/stops/{stop_id}")]
pub async fn update_stop(
    caller: Caller,
    path: Path<(PravasId, StopId)>,
    if_match: IfMatch,
    body: Json<StopPatch>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (path, patch) = (*path, body.value);
    let actor = *caller.actor();
    let view = db
        .write(&actor, async move |tx| {
            let (tour, permit) = to_change(tx, &caller, path.0).await?;
            let current = find_stop(tx, path, true).await?.ok_or_else(ApiError::not_found)?;
            if_match.check(current.version)?;
            let changed = StopRow {
                day: patch.day.unwrap_or(current.day),
                purpose: patch.purpose.clone().unwrap_or_else(|| current.purpose.clone()),
                cancelled: patch.cancelled.unwrap_or(current.cancelled),
                ..current.clone()
            };
            if changed == current {
                return Ok((StopView::from(current), Record::nothing()));
            }
            let put_back = current.cancelled && !changed.cancelled;
            if changed.day != current.day || put_back {
                let mut errors = FieldErrors::default();
                check_day(&mut errors, "/day", changed.day, tour.starts_on, tour.ends_on);
                if !errors.0.is_empty() {
                    return Err(ApiError::fields(errors));
                }
            }
            if changed.day != current.day && changed.day > caller.today() && current.report_id.is_some() {
                return Err(reported());
            }
            let view = StopView::from(store_stop(tx, &permit, &changed).await?);
            let entry = Entry::new(
                permit.state_id(),
                permit.unit_id(),
                "pravas.write",
                "pravas_stop",
                Digest::of(&view),
            );
            let entry = entry.at_units([view.unit_id]).of_ids([view.id.0]);
            Ok((view, entry.into()))
        })
        .await?;
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// Report of a stop
///
/// Whether it was held, how many came, what was seen of the place and the organisation (never names or numbers of citizens),
/// and the tasks that it raises, which are set in the same write. Made offline, sent when there is a network: the same
/// report under the same id is answered 200. Of a stop's reports the latest holds.
#[utoipa::path(
    operation_id = "record_stop_report", tag = "pravas", security(("bearer" = ["pravas.report"])),
    params(("id" = i32, Path, example = 1), ("stop_id" = i32, Path, example = 1)),
    request_body(content = StopReportSent, example = json!({"id": "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd77",
        "reported_at": "2026-11-23T11:05:00+05:30", "held": true, "attendance": 45, "observations": "Committee of seven; the road floods",
        "issues": ["road"], "tasks": [{"unit_id": 14, "title": "Complete the committee", "due_on": "2026-12-31"}]})),
    responses(
        (status = 201, description = "Stored, and its tasks set.", body = StopHistoryView),
        (status = 200, description = "The same report was stored before; the stop as it is now.", body = StopHistoryView),
        (status = 403, description = "You may see the stop's unit, but not report there, or not set a task that it raises.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such stop, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another report has this id, or the stop's day is still to come.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/pravas/{id}/stops/{stop_id}/reports")]
pub async fn record_stop_report(
    caller: Caller,
    path: Path<(PravasId, StopId)>,
    body: Json<StopReportSent>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (path, sent) = (*path, body.value);
    let actor = *caller.actor();
    db.write(&actor, async move |tx| {
        let stop = find_stop(tx, path, true).await?.ok_or_else(ApiError::not_found)?;
        let permit = permit::<PravasReport>(tx, &caller, stop.unit_id).await?;
        let digest = Digest::of(&sent);
        if let Some(stored) = find_report(tx, &permit, sent.id).await? {
            let is_same = stored.sent_digest == digest.0 && stored.worker_id == caller.worker_id();
            if !is_same || stored.stop_id != stop.id {
                return Err(taken());
            }
            let view = history(tx, &permit, stop).await?;
            return Ok((Reply::ok(&view)?, Record::nothing()));
        }
        if stop.day > caller.today() {
            return Err(ApiError::new(Code::Conflict, "the stop's day is still to come"));
        }
        insert_report(tx, &permit, (caller.worker_id(), stop.id), &sent, &digest)
            .await?
            .ok_or_else(taken)?;
        settle_stop(tx, &permit, stop.id).await?;
        let raised: Vec<UnitTask<'_>> = sent
            .tasks
            .iter()
            .enumerate()
            .map(|(n, task)| task.of_unit(format!("/tasks/{n}")))
            .collect();
        let (tasks, mut entries) = set_tasks(tx, &caller, &raised).await?;
        note_tasks(tx, &permit, stop.id, &tasks).await?;
        let (state_id, unit_id) = (permit.state_id(), permit.unit_id());
        let entry = Entry::new(state_id, unit_id, "pravas.report", "pravas_report", digest);
        entries.push(entry.of_ids([stop.id.0]).of_uuids([sent.id.0]));
        let stop = find_stop(tx, path, false)
            .await?
            .ok_or_else(ApiError::not_found)?;
        let view = history(tx, &permit, stop).await?;
        let record = Record {
            entries,
            ..Record::default()
        };
        Ok((Reply::with_status(StatusCode::CREATED, &view)?, record))
    })
    .await
}

/// What was reported of a stop was seen on a day that has come.
fn reported() -> ApiError {
    ApiError::new(
        Code::Conflict,
        "the stop was reported: its day cannot be one to come",
    )
    .with_field("/day", "reported", "must not be after today")
}

fn taken() -> ApiError {
    ApiError::new(Code::Conflict, "another report has this id; make another one")
}
