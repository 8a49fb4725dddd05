//! Which units have a task and how they stand to it; which tasks a unit has.

use actix_web::{get, web};
use chrono::NaiveDate;

use super::visible;
use crate::access::actions::TaskRead;
use crate::access::policy::{permit, scope_within};
use crate::access::{Caller, Scope};
use crate::features::target_sets::members_today;
use crate::features::tasks::queries::units::{
    Wanted, find_standing, list_for_phone, list_parts, list_reports, list_standings,
    list_tasks_of_unit as load_tasks_of_unit, list_verdicts,
};
use crate::features::tasks::wire::TaskView;
use crate::features::tasks::wire::standing::{
    StandingFilter, Status, TaskHistoryView, TaskReportView, TaskStandingView, TaskVerdictView,
    UnitTaskFilter, UnitTaskView,
};
use crate::platform::body::{Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::{TaskId, UnitId};
use crate::platform::page::Page;
use crate::platform::reply::Reply;

/// Every way in which a unit can stand.
const ANY: [&str; 6] = [
    Status::Open.as_str(),
    Status::Accepted.as_str(),
    Status::InProgress.as_str(),
    Status::Done.as_str(),
    Status::Verified.as_str(),
    Status::Returned.as_str(),
];
/// Most reports and verdicts shown of a unit's history.
const HISTORY: i64 = 100;

/// The tasks that stand of these units in scope, with how those units stand: what is not done, and what is due on a day or
/// later.
///
/// # Errors
/// What the database says.
pub async fn tasks_of_units<A>(
    tx: &mut Tx,
    scope: &Scope<A>,
    today: NaiveDate,
    due_from: NaiveDate,
    units: &[UnitId],
) -> Result<Vec<(TaskView, Vec<TaskStandingView>)>, ApiError> {
    let mut tasks: Vec<(TaskView, Vec<TaskStandingView>)> = Vec::new();
    for row in list_for_phone(tx, scope, today, due_from, units).await? {
        let standing = TaskStandingView::new(row.standing, today);
        match tasks.last_mut() {
            Some((task, standings)) if task.id == standing.task_id => standings.push(standing),
            _ => tasks.push((row.task.into(), vec![standing])),
        }
    }
    Ok(tasks)
}

/// The units that have a task
///
/// Today, in your scope, each with how it stands.
#[utoipa::path(
    operation_id = "list_task_units", tag = "tasks", security(("bearer" = ["task.read"])),
    params(("id" = i32, Path, example = 1), StandingFilter),
    responses(
        (status = 200, description = "By unit.", body = Page<TaskStandingView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such task or unit, or none of yours.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The target set is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/tasks/{id}/units")]
pub async fn list_units(
    caller: Caller,
    id: Path<TaskId>,
    filter: Query<StandingFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let list = format!("units of task {}", *id);
    let limit = filter.paging().limit()?;
    let after = filter.paging().after(&list)?;
    let today = caller.today();
    let one = filter.status.map(|status| [status.as_str()]);
    let rows = db
        .read_long(async |tx| {
            let task = visible(tx, &caller, *id).await?;
            let scope = scope_within::<TaskRead>(tx, &caller, filter.under).await?;
            let seats = match filter.target_set {
                Some(set) => Some(members_today(tx, &caller, set).await?),
                None => None,
            };
            let wanted = Wanted {
                task_id: task.id,
                statuses: one.as_ref().map_or(&ANY[..], |one| &one[..]),
                seats: seats.as_deref(),
            };
            Ok(list_standings(tx, &scope, today, wanted, after, limit + 1).await?)
        })
        .await?;
    let view = |row| TaskStandingView::new(row, today);
    Reply::ok(&Page::new(&list, rows, limit, |row| row.receiver_id, view))
}

/// How a unit stands to a task
///
/// With what it reported and what was said to that.
#[utoipa::path(
    operation_id = "get_task_standing", tag = "tasks", security(("bearer" = ["task.read"])),
    params(("id" = i32, Path, example = 1), ("unit_id" = i32, Path, example = 14)),
    responses(
        (status = 200, description = "How it stands and how it came to that.", body = TaskHistoryView),
        (status = 403, description = "You may see the unit, but not its tasks.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The unit has no such task today, or lies outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/tasks/{id}/units/{unit_id}")]
pub async fn get_standing(
    caller: Caller,
    path: Path<(TaskId, UnitId)>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (task_id, unit_id) = *path;
    let today = caller.today();
    let view = db
        .read(async |tx| {
            let permit = permit::<TaskRead>(tx, &caller, unit_id).await?;
            let standing = find_standing(tx, &permit, today, task_id)
                .await?
                .ok_or_else(ApiError::not_found)?;
            let reports = list_reports(tx, &permit, task_id, HISTORY).await?;
            let verdicts = list_verdicts(tx, &permit, task_id, HISTORY).await?;
            Ok(TaskHistoryView {
                standing: TaskStandingView::new(standing, today),
                reports: reports.into_iter().map(TaskReportView::from).collect(),
                verdicts: verdicts.into_iter().map(TaskVerdictView::from).collect(),
                parts: list_parts(tx, &permit, task_id).await?,
            })
        })
        .await?;
    Ok(Reply::ok(&view)?.with_content_tag())
}

/// The tasks of a unit
///
/// That it has itself today, and that were not cancelled; those of the units under it are counted by
/// `/v1/units/{id}/task-counts`.
#[utoipa::path(
    operation_id = "list_unit_tasks", tag = "tasks", security(("bearer" = ["task.read"])),
    params(("id" = i32, Path, example = 14), UnitTaskFilter),
    responses(
        (status = 200, description = "By task.", body = Page<UnitTaskView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but not its tasks.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/tasks")]
pub async fn list_tasks_of_unit(
    caller: Caller,
    id: Path<UnitId>,
    filter: Query<UnitTaskFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let list = format!("tasks of unit {}", *id);
    let limit = filter.paging().limit()?;
    let after = filter.paging().after(&list)?;
    let today = caller.today();
    let status = filter.status.map(Status::as_str);
    let rows = db
        .read(async |tx| {
            let permit = permit::<TaskRead>(tx, &caller, *id).await?;
            Ok(load_tasks_of_unit(tx, &permit, today, status, after, limit + 1).await?)
        })
        .await?;
    Reply::ok(&Page::new(
        &list,
        rows,
        limit,
        |row| row.task.id,
        |row| UnitTaskView {
            task: TaskView::from(row.task),
            standing: TaskStandingView::new(row.standing, today),
        },
    ))
}
