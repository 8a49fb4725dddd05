use actix_web::{get, post, web};

use super::queries::measured::{insert_measure, is_campaign_here};
use super::queries::units::find_standing;
use super::queries::{
    Listed, SeatRow, TaskRow, find_tasks, insert_task, is_active_worker, list_tasks as load_tasks,
    seats_under,
};
use super::rules::may_be_for;
use super::wire::{NewTask, TaskFilter, TaskView};
use crate::access::actions::{TaskRead, TaskWrite, WorkerRead};
use crate::access::policy::{permit, permit_field, scope};
use crate::access::{Caller, Permit, Scope};
use crate::features::target_sets::members_today;
use crate::features::units::{Level, may_lie_under};
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::{TaskId, UnitId};
use crate::platform::page::Page;
use crate::platform::reply::Reply;

pub mod change;
pub mod counts;
pub mod raise;
pub mod report;
pub mod units;

const LIST: &str = "tasks";
const UNKNOWN_WORKER: &str = "there is no such active worker, or he lies outside your grants";

/// Tasks
///
/// Those set at your units, under them and above them.
#[utoipa::path(
    operation_id = "list_tasks", tag = "tasks", security(("bearer" = ["task.read"])),
    params(TaskFilter),
    responses(
        (status = 200, description = "By id.", body = Page<TaskView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "None of your grants reads tasks.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`under` is no unit of yours.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The target set is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/tasks")]
pub async fn list_tasks(
    caller: Caller,
    filter: Query<TaskFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let limit = filter.paging().limit()?;
    let after = filter.paging().after(LIST)?;
    let scope = scope::<TaskRead>(&caller)?;
    let asked = Listed {
        under: filter.under,
        target_set: filter.target_set,
        part_of: filter.part_of,
        cancelled: filter.cancelled,
    };
    let rows = db
        .read(async |tx| {
            if let Some(under) = filter.under {
                permit::<TaskRead>(tx, &caller, under).await?;
            }
            if let Some(set) = filter.target_set {
                members_today(tx, &caller, set).await?;
            }
            Ok(load_tasks(tx, &scope, caller.today(), asked, after, limit + 1).await?)
        })
        .await?;
    Reply::ok(&Page::new(LIST, rows, limit, |row| row.id, TaskView::from))
}

/// Set a task
///
/// For every unit of a level under a unit, or in the seats of a target set: one row, however many units it is for. Which
/// they are follows from where units lie on each day. Their phones hear of it at their next sync. With `by` `measure` nobody
/// reports it: units have it done as long as an indicator reaches its value, which the program measures every few minutes.
#[utoipa::path(
    operation_id = "create_task", tag = "tasks", security(("bearer" = ["task.write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer.")),
    request_body(content = NewTask, example = json!({"unit_id": 2, "level": "booth", "title": "Form a committee in every booth",
        "instructions": "Eleven members, three of them women.", "due_on": "2027-06-30", "evidence": "count"})),
    responses(
        (status = 201, description = "Set; `Location` and `ETag` are given.", body = TaskView),
        (status = 403, description = "You may see the unit, but not set tasks there.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or a unit, target set, task or worker is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/tasks")]
pub async fn create_task(caller: Caller, body: Json<NewTask>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let new = body.value;
    let actor = *caller.actor();
    db.write_once(&actor, body.idempotency, async move |tx| {
        let (view, entry) = set_task(tx, &caller, &new).await?;
        let reply = Reply::created(&view, format!("/v1/tasks/{}", view.id))?.with_version(view.version);
        Ok((reply, entry.into()))
    })
    .await
}

/// One task
#[utoipa::path(
    operation_id = "get_task", tag = "tasks", security(("bearer" = ["task.read"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 200, description = "The task; `ETag` is its version.", body = TaskView),
        (status = 304, description = "The same as in If-None-Match."),
        (status = 404, description = "No such task, or none of yours.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/tasks/{id}")]
pub async fn get_task(caller: Caller, id: Path<TaskId>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let row = db.read(async |tx| visible(tx, &caller, *id).await).await?;
    let view = TaskView::from(row);
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// Those of these tasks that are visible in the scope, as they are read.
///
/// # Errors
/// What the database says.
pub async fn read_tasks(
    tx: &mut Tx,
    scope: &Scope<TaskRead>,
    today: chrono::NaiveDate,
    ids: &[TaskId],
) -> Result<Vec<TaskView>, ApiError> {
    let rows = find_tasks(tx, scope, today, ids).await?;
    Ok(rows.into_iter().map(TaskView::from).collect())
}

/// Sets a task in the caller's name.
async fn set_task(tx: &mut Tx, caller: &Caller, new: &NewTask) -> Result<(TaskView, Entry), ApiError> {
    let permit = permit_field::<TaskWrite>(tx, caller, new.unit_id, "/unit_id").await?;
    let setter = Level::find(permit.level()).ok_or_else(|| ApiError::internal("a unit of no level"))?;
    if !may_be_for(new.level, setter) {
        let detail = format!("a {} sets no tasks for units of this level", permit.level());
        return Err(ApiError::field("/level", "not_under", detail));
    }
    if new.due_on < caller.today() {
        let detail = "must not be before today";
        return Err(ApiError::field("/due_on", "past", detail));
    }
    check_whole(tx, caller, &permit, new).await?;
    check_owner(tx, caller, &permit, new).await?;
    if let Some(campaign_id) = new.measure.as_ref().and_then(|measure| measure.campaign_id)
        && !is_campaign_here(tx, &permit, caller.today(), campaign_id).await?
    {
        let detail = "there is no such campaign here";
        return Err(ApiError::field(
            "/measure/campaign_id",
            "unknown_campaign",
            detail,
        ));
    }
    let seats = match new.target_set {
        Some(id) => Some(seats_of(tx, caller, &permit, new.level, id).await?),
        None => None,
    };
    let mut row = insert_task(tx, &permit, caller.today(), new, seats.as_deref()).await?;
    if let Some(measure) = &new.measure {
        insert_measure(tx, &permit, row.id, measure).await?;
        row.indicator = Some(measure.indicator.clone());
        row.measure_value = measure.value;
        row.measure_campaign_id = measure.campaign_id;
    }
    let view = TaskView::from(row);
    let entry = entry(&permit, &view);
    Ok((view, entry))
}

/// A part is for what the unit was asked itself, and due no later.
async fn check_whole(
    tx: &mut Tx,
    caller: &Caller,
    permit: &Permit<TaskWrite>,
    new: &NewTask,
) -> Result<(), ApiError> {
    let Some(id) = new.part_of else {
        return Ok(());
    };
    let asked = find_standing(tx, permit, caller.today(), id).await?;
    match asked {
        Some(whole) if whole.cancelled => Err(ApiError::field("/part_of", "cancelled", "it was cancelled")),
        Some(whole) if whole.due_on < new.due_on => Err(ApiError::field(
            "/due_on",
            "after_whole",
            format!("the task that it is part of is due on {}", whole.due_on),
        )),
        Some(_) => Ok(()),
        None => Err(ApiError::field(
            "/part_of",
            "unknown_task",
            "there is no such task for this unit",
        )),
    }
}

async fn check_owner(
    tx: &mut Tx,
    caller: &Caller,
    permit: &Permit<TaskWrite>,
    new: &NewTask,
) -> Result<(), ApiError> {
    let Some(owner) = new.owner_id else {
        return Ok(());
    };
    let pointer = "/owner_id";
    if new.level.as_str() != permit.level() {
        return Err(ApiError::field(
            pointer,
            "several_units",
            "only a task of one unit has an owner",
        ));
    }
    let known = match scope::<WorkerRead>(caller) {
        Ok(scope) => is_active_worker(tx, &scope, caller.today(), owner).await?,
        Err(_) => false,
    };
    if known {
        Ok(())
    } else {
        Err(ApiError::field(pointer, "unknown_worker", UNKNOWN_WORKER))
    }
}

async fn seats_of(
    tx: &mut Tx,
    caller: &Caller,
    permit: &Permit<TaskWrite>,
    level: Level,
    target_set: i32,
) -> Result<Vec<UnitId>, ApiError> {
    let members = members_today(tx, caller, target_set).await?;
    let seats: Vec<SeatRow> = seats_under(tx, permit, caller.today(), &members).await?;
    let Some(seat_level) = seats.first().and_then(|seat| Level::find(&seat.level)) else {
        return Err(ApiError::field(
            "/target_set",
            "no_seats",
            "none of its seats lies under the unit today",
        ));
    };
    if level != seat_level && !may_lie_under(level, seat_level) {
        return Err(ApiError::field(
            "/level",
            "not_in_seats",
            "units of this level do not lie in seats",
        ));
    }
    Ok(seats.into_iter().map(|seat| seat.id).collect())
}

/// The task if the caller may see it; who may read no task at all sees none.
async fn visible(tx: &mut Tx, caller: &Caller, id: TaskId) -> Result<TaskRow, ApiError> {
    let scope = scope::<TaskRead>(caller).map_err(|_| ApiError::not_found())?;
    let found = find_tasks(tx, &scope, caller.today(), &[id]).await?;
    found.into_iter().next().ok_or_else(ApiError::not_found)
}

/// Leave to change a task that the caller has been shown: its unit may lie above all that he can read, and is then no
/// secret any more.
async fn permit_change(tx: &mut Tx, caller: &Caller, unit_id: UnitId) -> Result<Permit<TaskWrite>, ApiError> {
    permit(tx, caller, unit_id).await.map_err(|error| {
        if error.code() == Code::NotFound {
            ApiError::new(Code::Forbidden, "none of your grants allows task.write here")
        } else {
            error
        }
    })
}

fn entry(permit: &Permit<TaskWrite>, view: &TaskView) -> Entry {
    let (state_id, unit_id) = (permit.state_id(), permit.unit_id());
    Entry::new(state_id, unit_id, "task.write", "task", Digest::of(view)).of_ids([view.id.0])
}

fn record(permit: &Permit<TaskWrite>, view: &TaskView) -> Record {
    entry(permit, view).into()
}
