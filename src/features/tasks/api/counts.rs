//! How many: assigned, done, verified and overdue, at any unit; and which are overdue.

use actix_web::{get, web};
use chrono::NaiveDate;

use crate::access::Caller;
use crate::access::actions::TaskRead;
use crate::access::policy::{permit, scope_under};
use crate::features::target_sets::members_today;
use crate::features::tasks::counting::{Counted, count, count_each};
use crate::features::tasks::queries::counts::{Which, list_children};
use crate::features::tasks::queries::units::{StandingRow, Wanted, list_standings};
use crate::features::tasks::rules::Figures;
use crate::features::tasks::wire::counts::{CountFilter, TaskChildView, TaskCountView, TaskCountsView};
use crate::features::tasks::wire::standing::{Status, TaskStandingView};
use crate::platform::body::{Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::{TaskId, UnitId};
use crate::platform::page::Page;
use crate::platform::reply::Reply;
use crate::platform::validate::{FieldErrors, Validate};

const TASKS: &str = "task counts";
const CHILDREN: &str = "task counts of children";
const OVERDUE: &str = "overdue tasks";

/// Ways to stand that are late once the day is past.
const UNDONE: [&str; 4] = [
    Status::Open.as_str(),
    Status::Accepted.as_str(),
    Status::InProgress.as_str(),
    Status::Returned.as_str(),
];

/// The tasks of the units under a unit, counted
///
/// The unit itself included. Exact the instant a report is stored, at every level: by where units lie today.
#[utoipa::path(
    operation_id = "get_task_counts", tag = "tasks", security(("bearer" = ["task.read"])),
    params(("id" = i32, Path, example = 2), CountFilter),
    responses(
        (status = 200, description = "Over all tasks, and task by task.", body = TaskCountsView),
        (status = 304, description = "The same as in If-None-Match."),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but not its tasks.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/task-counts")]
pub async fn get_counts(
    caller: Caller,
    id: Path<UnitId>,
    filter: Query<CountFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = valid(filter.0)?;
    let limit = filter.paging().limit()?;
    let after: Option<TaskId> = filter.paging().after(TASKS)?;
    let on = caller.today();
    let counted = db
        .read(async |tx| {
            let permit = permit::<TaskRead>(tx, &caller, *id).await?;
            let seats = seats(tx, &caller, &filter).await?;
            count(tx, &permit, on, which(&filter), seats.as_deref()).await
        })
        .await?;
    let counted = of_level(counted, &filter);
    let mut sum = Figures::default();
    counted.iter().for_each(|counted| sum += counted.figures);
    let tasks = i64::try_from(counted.len()).unwrap_or(i64::MAX);
    let rest: Vec<Counted> = counted
        .into_iter()
        .filter(|counted| after.is_none_or(|after| counted.task.id > after))
        .collect();
    let view = |counted| TaskCountView::new(counted, *id, &filter);
    let page = Page::new(TASKS, rest, limit, |counted| counted.task.id, view);
    let view = TaskCountsView {
        unit_id: *id,
        on,
        tasks,
        figures: sum.into(),
        items: page.items,
        next_cursor: page.next_cursor,
    };
    Ok(Reply::ok(&view)?.with_content_tag())
}

/// The same for each unit under a unit
#[utoipa::path(
    operation_id = "list_task_counts_of_children", tag = "tasks", security(("bearer" = ["task.read"])),
    params(("id" = i32, Path, example = 2), CountFilter),
    responses(
        (status = 200, description = "The units straight below, or those of `level`, by id, each with the figures of all its tasks.", body = Page<TaskChildView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but not its tasks.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/task-counts/children")]
pub async fn list_counts_of_children(
    caller: Caller,
    id: Path<UnitId>,
    filter: Query<CountFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = valid(filter.0)?;
    let limit = filter.paging().limit()?;
    let after: Option<UnitId> = filter.paging().after(CHILDREN)?;
    let today = caller.today();
    let (rows, figures) = db
        .read_long(async |tx| {
            let permit = permit::<TaskRead>(tx, &caller, *id).await?;
            let seats = seats(tx, &caller, &filter).await?;
            let asked = (filter.level, seats.as_deref());
            let rows = list_children(tx, &permit, today, asked, after, limit + 1).await?;
            let ids: Vec<UnitId> = rows.iter().map(|row| row.id).collect();
            let figures = count_each(tx, &permit, today, which(&filter), &ids).await?;
            Ok((rows, figures))
        })
        .await?;
    Reply::ok(&Page::new(
        CHILDREN,
        rows,
        limit,
        |row| row.id,
        |row| {
            let figures = figures.get(&row.id).copied().unwrap_or_default();
            TaskChildView::new(row, figures, &filter)
        },
    ))
}

/// What is overdue under a unit
///
/// Each unit that has not done a task by its due day, the longest overdue first.
#[utoipa::path(
    operation_id = "list_overdue_tasks", tag = "tasks", security(("bearer" = ["task.read"])),
    params(("id" = i32, Path, example = 2), CountFilter),
    responses(
        (status = 200, description = "By due day, task and unit.", body = Page<TaskStandingView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but not its tasks.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/overdue-tasks")]
pub async fn list_overdue(
    caller: Caller,
    id: Path<UnitId>,
    filter: Query<CountFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = valid(filter.0)?;
    let limit = filter.paging().limit()?;
    let after: Option<Place> = filter.paging().after(OVERDUE)?;
    let today = caller.today();
    let rows = db
        .read_long(async |tx| {
            let permit = permit::<TaskRead>(tx, &caller, *id).await?;
            let seats = seats(tx, &caller, &filter).await?;
            let counted = count(tx, &permit, today, which(&filter), seats.as_deref()).await?;
            let counted = of_level(counted, &filter);
            overdue(tx, &caller, *id, (after, limit + 1), seats.as_deref(), counted).await
        })
        .await?;
    let key = |row: &StandingRow| (row.due_on, row.task_id, row.receiver_id);
    let view = |row| TaskStandingView::new(row, today);
    Reply::ok(&Page::new(OVERDUE, rows, limit, key, view))
}

/// Where the list of the overdue goes on from.
type Place = (NaiveDate, TaskId, UnitId);

/// The counts say which tasks are overdue at all, so only those are looked through, one after the other.
async fn overdue(
    tx: &mut Tx,
    caller: &Caller,
    under: UnitId,
    (after, limit): (Option<Place>, i64),
    seats: Option<&[UnitId]>,
    counted: Vec<Counted>,
) -> Result<Vec<StandingRow>, ApiError> {
    let scope = scope_under::<TaskRead>(tx, caller, under).await?;
    let mut late: Vec<(NaiveDate, TaskId)> = counted
        .into_iter()
        .filter(|counted| counted.figures.overdue > 0)
        .map(|counted| (counted.task.due_on, counted.task.id))
        .collect();
    late.sort_unstable();
    let mut rows: Vec<StandingRow> = Vec::new();
    for (due_on, task_id) in late {
        let room = limit.saturating_sub(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        if room <= 0 {
            break;
        }
        let start = match after {
            Some((day, task, _)) if (due_on, task_id) < (day, task) => continue,
            Some((day, task, unit)) if (due_on, task_id) == (day, task) => Some(unit),
            _ => None,
        };
        let wanted = Wanted {
            task_id,
            statuses: &UNDONE,
            seats,
        };
        rows.extend(list_standings(tx, &scope, caller.today(), wanted, start, room).await?);
    }
    Ok(rows)
}

fn which(filter: &CountFilter) -> Which {
    Which {
        task_id: filter.task_id,
        due_from: filter.due_from,
        due_to: filter.due_to,
    }
}

/// `level` here says for which units the tasks are.
fn of_level(counted: Vec<Counted>, filter: &CountFilter) -> Vec<Counted> {
    let wanted = |counted: &Counted| {
        filter
            .level
            .is_none_or(|level| counted.task.level == level.as_str())
    };
    counted.into_iter().filter(wanted).collect()
}

/// The constituencies of the target set that the figures are narrowed to.
async fn seats(tx: &mut Tx, caller: &Caller, filter: &CountFilter) -> Result<Option<Vec<UnitId>>, ApiError> {
    let Some(id) = filter.target_set else {
        return Ok(None);
    };
    members_today(tx, caller, id).await.map(Some)
}

fn valid(filter: CountFilter) -> Result<CountFilter, ApiError> {
    let mut errors = FieldErrors::default();
    filter.validate(&mut errors);
    if errors.0.is_empty() {
        Ok(filter)
    } else {
        Err(ApiError::fields(errors))
    }
}
