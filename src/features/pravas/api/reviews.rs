//! Reviews of tours and their findings.

use actix_web::{get, post, web};

use super::to_change;
use crate::access::Caller;
use crate::access::actions::PravasRead;
use crate::access::policy::permit;
use crate::features::pravas::queries::reviews::{insert_review, list_findings, list_reviews as load_reviews};
use crate::features::pravas::wire::NewReview;
use crate::features::pravas::wire::view::ReviewView;
use crate::features::tasks::{UnitTask, set_tasks};
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::PravasId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;

/// Reviews of a tour
///
/// For whoever reads at the unit that planned it.
#[utoipa::path(
    operation_id = "list_pravas_reviews", tag = "pravas", security(("bearer" = ["pravas.read"])),
    params(("id" = i32, Path, example = 1), Paging),
    responses(
        (status = 200, description = "By id, with their findings.", body = Page<ReviewView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such tour, or it was planned outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/pravas/{id}/reviews")]
pub async fn list_reviews(
    caller: Caller,
    id: Path<PravasId>,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let list = format!("reviews of pravas {}", *id);
    let limit = paging.0.limit()?;
    let after = paging.0.after(&list)?;
    let (rows, findings) = db
        .read(async |tx| {
            let tour = super::visible(tx, &caller, *id).await?;
            let permit = permit::<PravasRead>(tx, &caller, tour.unit_id).await?;
            let rows = load_reviews(tx, &permit, tour.id, after, limit + 1).await?;
            let ids: Vec<i32> = rows.iter().map(|row| row.id).collect();
            let findings = list_findings(tx, &permit, &ids).await?;
            Ok((rows, findings))
        })
        .await?;
    let view = |row| ReviewView::new(row, &findings);
    Reply::ok(&Page::new(&list, rows, limit, |row| row.id, view))
}

/// Write down a review
///
/// Each finding becomes a task with an owner, set in the same write; so it needs `task.write` at the units of the tasks.
#[utoipa::path(
    operation_id = "create_pravas_review", tag = "pravas", security(("bearer" = ["pravas.write"])),
    params(
        ("id" = i32, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body(content = NewReview, example = json!({"held_on": "2026-11-23", "summary": "Three of five booths visited",
        "findings": [{"finding": "Committees exist on paper",
                      "task": {"unit_id": 14, "title": "Complete the committee", "due_on": "2026-12-31", "owner_id": 1}}]})),
    responses(
        (status = 201, description = "Written down, and its tasks set.", body = ReviewView),
        (status = 403, description = "You may see the tour, but not review it, or not set a task.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such tour, or none of yours.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The tour was cancelled.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid; a finding without an owner; a day to come.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/pravas/{id}/reviews")]
pub async fn create_review(
    caller: Caller,
    id: Path<PravasId>,
    body: Json<NewReview>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, new) = (*id, body.value);
    let actor = *caller.actor();
    db.write_once(&actor, body.idempotency, async move |tx| {
        let (_, permit) = to_change(tx, &caller, id).await?;
        if new.held_on > caller.today() {
            return Err(ApiError::field("/held_on", "to_come", "must not be after today"));
        }
        let raised: Vec<UnitTask<'_>> = new
            .findings
            .iter()
            .enumerate()
            .map(|(n, finding)| finding.task.of_unit(format!("/findings/{n}/task")))
            .collect();
        let (tasks, mut entries) = set_tasks(tx, &caller, &raised).await?;
        let row = insert_review(tx, &permit, (caller.worker_id(), id), &new, &tasks).await?;
        let findings = list_findings(tx, &permit, &[row.id]).await?;
        let view = ReviewView::new(row, &findings);
        let (state_id, unit_id) = (permit.state_id(), permit.unit_id());
        let entry = Entry::new(
            state_id,
            unit_id,
            "pravas.review",
            "pravas_review",
            Digest::of(&view),
        );
        entries.push(entry.of_ids([view.id]));
        let record = Record {
            entries,
            ..Record::default()
        };
        Ok((Reply::created(&view, format!("/v1/pravas/{id}/reviews"))?, record))
    })
    .await
}
