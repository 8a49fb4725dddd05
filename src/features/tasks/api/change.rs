//! Changing and cancelling a task, and what it was before.

use actix_web::{get, patch, web};

use super::{permit_change, record, visible};
use crate::access::Caller;
use crate::access::actions::TaskRead;
use crate::access::policy::scope;
use crate::features::tasks::queries::{
    TaskRow, find_task_for, list_versions as load_versions, lock_task, store_version,
};
use crate::features::tasks::wire::{TaskPatch, TaskVersionView, TaskView};
use crate::journal::Record;
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::TaskId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::{IfMatch, Reply};

/// Change, extend or cancel a task
///
/// Says why. The version before is kept. A cancelled task is in no count; the tasks by which units broke it down are theirs
/// to cancel.
#[utoipa::path(
    operation_id = "update_task", tag = "tasks", security(("bearer" = ["task.write"])),
    params(
        ("id" = i32, Path, example = 1),
        ("If-Match" = String, Header, description = "The ETag of what you read.", example = "\"1\""),
    ),
    request_body(content = TaskPatch, example = json!({"due_on": "2027-07-15", "reason": "Monsoon"})),
    responses(
        (status = 200, description = "As it is now. A change that changes nothing makes no new version.", body = TaskView),
        (status = 403, description = "You may see it, but not change it.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such task, or none of yours.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was cancelled.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[patch("/v1/tasks/{id}")]
pub async fn update_task(
    caller: Caller,
    id: Path<TaskId>,
    if_match: IfMatch,
    body: Json<TaskPatch>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, patch) = (*id, body.value);
    let actor = *caller.actor();
    let view = db
        .write(&actor, async move |tx| {
            lock_task(tx, id).await?;
            let current = visible(tx, &caller, id).await?;
            let permit = permit_change(tx, &caller, current.unit_id).await?;
            if_match.check(current.version)?;
            if current.cancelled_at.is_some() {
                return Err(ApiError::new(Code::Conflict, "the task was cancelled"));
            }
            let mut changed = apply(&current, &patch);
            if patch.cancelled == Some(true) {
                changed.cancelled_at = Some(permit.actor().at);
            }
            if changed == current {
                return Ok((TaskView::from(current), Record::nothing()));
            }
            if changed.due_on != current.due_on {
                let whole = match current.part_of {
                    Some(whole) => find_task_for(tx, &permit, whole).await?,
                    None => None,
                };
                check_due(&changed, caller.today(), whole.as_ref())?;
            }
            changed.change_reason = Some(patch.reason.clone());
            let view = TaskView::from(store_version(tx, &permit, &changed).await?);
            let record = record(&permit, &view);
            Ok((view, record))
        })
        .await?;
    Ok(Reply::ok(&view)?.with_version(view.version))
}

fn apply(current: &TaskRow, patch: &TaskPatch) -> TaskRow {
    TaskRow {
        title: patch.title.clone().unwrap_or_else(|| current.title.clone()),
        instructions: patch
            .instructions
            .clone()
            .unwrap_or_else(|| current.instructions.clone()),
        due_on: patch.due_on.unwrap_or(current.due_on),
        ..current.clone()
    }
}

fn check_due(changed: &TaskRow, today: chrono::NaiveDate, whole: Option<&TaskRow>) -> Result<(), ApiError> {
    if changed.due_on < today {
        return Err(ApiError::field("/due_on", "past", "must not be before today"));
    }
    match whole {
        Some(whole) if whole.due_on < changed.due_on => Err(ApiError::field(
            "/due_on",
            "after_whole",
            format!("the task that it is part of is due on {}", whole.due_on),
        )),
        _ => Ok(()),
    }
}

/// Versions of a task
#[utoipa::path(
    operation_id = "list_task_versions", tag = "tasks", security(("bearer" = ["task.read"])),
    params(("id" = i32, Path, example = 1), Paging),
    responses(
        (status = 200, description = "The newest first: what it was, who changed it and why.", body = Page<TaskVersionView>),
        (status = 404, description = "No such task, or none of yours.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/tasks/{id}/versions")]
pub async fn list_versions(
    caller: Caller,
    id: Path<TaskId>,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let list = format!("versions of task {}", *id);
    let limit = paging.0.limit()?;
    let before = paging.0.after(&list)?;
    let rows = db
        .read(async |tx| {
            let task = visible(tx, &caller, *id).await?;
            let scope = scope::<TaskRead>(&caller)?;
            Ok(load_versions(tx, &scope, task.id, before, limit + 1).await?)
        })
        .await?;
    Reply::ok(&Page::new(
        &list,
        rows,
        limit,
        |row| row.version,
        TaskVersionView::from,
    ))
}
