//! What units report, and what the level above says to it.

use actix_web::http::StatusCode;
use actix_web::{post, web};
use chrono::NaiveDate;

use crate::access::actions::{Action, TaskReport, TaskVerify};
use crate::access::policy::{Ask, permit, permit_field, permits_on_days};
use crate::access::{Caller, Permit};
use crate::features::tasks::queries::find_task_for;
use crate::features::tasks::queries::units::{
    ReportRow, StandingRow, begin_standing, charged_units, find_report, find_standing, insert_report,
    insert_verdict, lock_standing, replace_standing,
};
use crate::features::tasks::rules::counters_of;
use crate::features::tasks::wire::standing::{
    Status, TaskReportSent, TaskReportView, TaskReportedView, TaskStandingView, TaskVerdictSent,
};
use crate::features::units::{Hold, hold_lineages};
use crate::journal::work::append as append_work;
use crate::journal::{Digest, Entry, Record, WorkTally};
use crate::platform::body::{Json, Path};
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::{TaskId, UnitId};
use crate::platform::reply::Reply;

/// Report of a task
///
/// That a unit accepts it, is at it, or has done it, with the evidence that the task wants. Made offline, sent when there is
/// a network: the same report under the same id is answered 200. It is stored however late it comes; of a unit's reports
/// the latest holds, by when it was made.
#[utoipa::path(
    operation_id = "record_task_report", tag = "tasks", security(("bearer" = ["task.report"])),
    request_body = TaskReportSent,
    responses(
        (status = 201, description = "Stored, and counted at every level.", body = TaskReportedView),
        (status = 200, description = "The same report was stored before; `standing` is how the unit stands now.", body = TaskReportedView),
        (status = 403, description = "You may see the unit, but not report for it.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another report has this id.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, evidence is missing, the unit has no such task, or was yours neither on that day nor today.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/task-reports")]
pub async fn record_report(
    caller: Caller,
    body: Json<TaskReportSent>,
    clock: web::Data<Clock>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let sent = body.value;
    let actor = *caller.actor();
    let day = clock.day_of(sent.reported_at).min(caller.today());
    db.write(&actor, async move |tx| {
        let permit = permit_report(tx, &caller, &sent, day).await?;
        hold_lineages(tx, &[permit.state_id()], Hold::Shared).await?;
        let digest = Digest::of(&sent);
        if let Some(stored) = find_report(tx, &permit, sent.id).await? {
            return again(tx, &caller, &permit, &digest, stored).await;
        }
        let standing = asked(tx, &caller, &permit, &sent, day).await?;
        let Some(report) = insert_report(tx, &permit, caller.worker_id(), &sent, &digest).await? else {
            // Sent twice at once.
            let stored = find_report(tx, &permit, sent.id)
                .await?
                .ok_or_else(|| ApiError::unavailable("the report was stored just now", "gone"))?;
            return again(tx, &caller, &permit, &digest, stored).await;
        };
        settle(tx, &permit, &report).await?;
        let entry = Entry::new(
            permit.state_id(),
            permit.unit_id(),
            "task.report",
            "task_report",
            digest,
        );
        let entry = entry.of_ids([report.task_id.0]).of_uuids([report.id.0]);
        let reply = answer(tx, &caller, &permit, report, standing, StatusCode::CREATED).await?;
        Ok((reply, entry.into()))
    })
    .await
}

/// Leave to report for the unit, by a grant of the day of the report or of today.
async fn permit_report(
    tx: &mut Tx,
    caller: &Caller,
    sent: &TaskReportSent,
    day: NaiveDate,
) -> Result<Permit<TaskReport>, ApiError> {
    let ask = Ask {
        actor: *caller.actor(),
        booth_id: sent.unit_id,
        day,
        at: sent.reported_at,
        strong: caller.strength().is_strong(),
    };
    let granted = permits_on_days::<TaskReport>(tx, &[ask], caller.today()).await?;
    match granted.into_iter().flatten().next() {
        Some(dated) => Ok(dated.permit),
        None => permit_field(tx, caller, sent.unit_id, "/unit_id").await,
    }
}

/// How the unit stands, if it has the task today or had it on the day of the report; and whether the evidence is there.
async fn asked(
    tx: &mut Tx,
    caller: &Caller,
    permit: &Permit<TaskReport>,
    sent: &TaskReportSent,
    day: NaiveDate,
) -> Result<StandingRow, ApiError> {
    let unknown = || ApiError::field("/task_id", "unknown_task", "there is no such task for this unit");
    let task = find_task_for(tx, permit, sent.task_id)
        .await?
        .ok_or_else(unknown)?;
    let mut standing = find_standing(tx, permit, caller.today(), task.id).await?;
    if standing.is_none() {
        standing = find_standing(tx, permit, day.max(task.set_on), task.id).await?;
    }
    let standing = standing.ok_or_else(unknown)?;
    if task.indicator.is_some() {
        let detail = "an indicator meets this task, not a report";
        return Err(ApiError::field("/task_id", "measured", detail));
    }
    match sent.lacks(&task.evidence) {
        Some((pointer, detail)) => Err(ApiError::field(pointer, "missing_evidence", detail)),
        None => Ok(standing),
    }
}

/// Lets the report hold if it is the latest, and counts it.
async fn settle(tx: &mut Tx, permit: &Permit<TaskReport>, report: &ReportRow) -> Result<(), ApiError> {
    let mut held = lock_standing(tx, permit, report.task_id).await?;
    if held.is_none() {
        if begin_standing(tx, permit, report).await? {
            return tally(tx, permit, report.task_id, None, &report.status).await;
        }
        held = lock_standing(tx, permit, report.task_id).await?;
    }
    let Some(held) = held else {
        return Err(ApiError::unavailable("another report came just now", "gone"));
    };
    let is_later = (report.counted_at, report.id) > (held.counted_at, held.report_id);
    if held.status == Status::Verified.as_str() || !is_later {
        return Ok(());
    }
    replace_standing(tx, permit, report).await?;
    tally(tx, permit, report.task_id, Some(&held.status), &report.status).await
}

/// Counts that a unit stands otherwise than before.
async fn tally<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    task_id: TaskId,
    before: Option<&str>,
    after: &str,
) -> Result<(), ApiError> {
    let unit_ids = charged_units(tx, permit, task_id).await?;
    let counters = counters_of(Some(after)) - counters_of(before);
    let tally = WorkTally {
        state_id: permit.state_id(),
        task_id,
        unit_id: permit.unit_id(),
        unit_ids,
        counters,
    };
    Ok(append_work(tx, &[tally]).await?)
}

/// A report that came before: the same gets its answer, another under its id a conflict.
async fn again(
    tx: &mut Tx,
    caller: &Caller,
    permit: &Permit<TaskReport>,
    digest: &Digest,
    stored: ReportRow,
) -> Result<(Reply, Record), ApiError> {
    if stored.sent_digest != digest.0 || stored.worker_id != caller.worker_id() {
        return Err(ApiError::new(
            Code::Conflict,
            "another report has this id; make another one",
        ));
    }
    let mut standing = find_standing(tx, permit, caller.today(), stored.task_id).await?;
    if standing.is_none() {
        let set_on = find_task_for(tx, permit, stored.task_id)
            .await?
            .map(|task| task.set_on);
        let day = set_on.unwrap_or_else(|| caller.today());
        standing = find_standing(tx, permit, day, stored.task_id).await?;
    }
    let standing = standing.ok_or_else(ApiError::not_found)?;
    let reply = answer(tx, caller, permit, stored, standing, StatusCode::OK).await?;
    Ok((reply, Record::nothing()))
}

/// The report, and how the unit stands after it.
async fn answer(
    tx: &mut Tx,
    caller: &Caller,
    permit: &Permit<TaskReport>,
    report: ReportRow,
    standing: StandingRow,
    status: StatusCode,
) -> Result<Reply, ApiError> {
    let standing = find_standing(tx, permit, caller.today(), report.task_id)
        .await?
        .unwrap_or(standing);
    Reply::with_status(
        status,
        &TaskReportedView {
            report: TaskReportView::from(report),
            standing: TaskStandingView::new(standing, caller.today()),
        },
    )
}

/// Verify what a unit reported, or return it
///
/// By whoever may verify *above* the unit, and never by who reported. A verified report holds until it is returned; a
/// returned one until the unit reports again.
#[utoipa::path(
    operation_id = "give_task_verdict", tag = "tasks", security(("bearer" = ["task.verify"])),
    params(
        ("id" = i32, Path, example = 1),
        ("unit_id" = i32, Path, example = 14),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = TaskVerdictSent,
    responses(
        (status = 200, description = "How the unit stands now.", body = TaskStandingView),
        (status = 403, description = "You may see the unit, but not judge it: not from above it, or the report is your own.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The unit has no such task today, or lies outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The report is not the one that holds, or does not say that it is done.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid; a reason is missing.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/tasks/{id}/units/{unit_id}/verdict")]
pub async fn give_verdict(
    caller: Caller,
    path: Path<(TaskId, UnitId)>,
    body: Json<TaskVerdictSent>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (task_id, unit_id) = *path;
    let sent = body.value;
    let actor = *caller.actor();
    db.write_once(&actor, body.idempotency, async move |tx| {
        let permit = permit::<TaskVerify>(tx, &caller, unit_id).await?;
        hold_lineages(tx, &[permit.state_id()], Hold::Shared).await?;
        let today = caller.today();
        let found = find_standing(tx, &permit, today, task_id).await?;
        let standing = found.ok_or_else(ApiError::not_found)?;
        if standing.measured {
            return Err(conflict(
                "an indicator meets this task: there is nothing to verify",
            ));
        }
        let held = lock_standing(tx, &permit, task_id).await?;
        let held = held.ok_or_else(|| conflict("the unit has not reported"))?;
        check_judge(&caller, &permit, held.reported_by == caller.worker_id())?;
        if held.report_id != sent.report_id {
            return Err(conflict("the unit has reported again; read that first"));
        }
        if counters_of(Some(&held.status)).accepted > 0 {
            return Err(conflict("the report does not say that it is done"));
        }
        let is_same = held.status == sent.verdict.as_str() && standing.reason == sent.reason;
        if is_same {
            let view = TaskStandingView::new(standing, today);
            return Ok((Reply::ok(&view)?, Record::nothing()));
        }
        insert_verdict(tx, &permit, caller.worker_id(), task_id, &sent).await?;
        tally(tx, &permit, task_id, Some(&held.status), sent.verdict.as_str()).await?;
        let standing = find_standing(tx, &permit, today, task_id)
            .await?
            .ok_or_else(ApiError::not_found)?;
        let view = TaskStandingView::new(standing, today);
        let digest = Digest::of(&view);
        let entry = Entry::new(permit.state_id(), unit_id, "task.verify", "task_report", digest);
        let entry = entry.of_ids([task_id.0]).of_uuids([sent.report_id.0]);
        Ok((Reply::ok(&view)?, entry.into()))
    })
    .await
}

fn conflict(detail: &str) -> ApiError {
    ApiError::new(Code::Conflict, detail)
}

/// Judging is for the level above, and for somebody else.
fn check_judge(caller: &Caller, permit: &Permit<TaskVerify>, is_own: bool) -> Result<(), ApiError> {
    let own = permit.unit_id();
    let above: Vec<UnitId> = permit.lineage().iter().copied().filter(|id| *id != own).collect();
    if !caller.may_at(TaskVerify::ACTION, &above) {
        return Err(ApiError::new(
            Code::Forbidden,
            "only the level above the unit verifies what it reports",
        ));
    }
    if is_own {
        return Err(ApiError::new(Code::Forbidden, "nobody verifies his own report"));
    }
    Ok(())
}
