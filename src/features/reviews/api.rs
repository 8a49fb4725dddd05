use actix_web::{delete, get, post, web};
use serde::Deserialize;

use super::judge::{Judged, Opinion, judge};
use super::queries::{QueueCursor, list_queue, list_reviews};
use super::wire::{
    ItemSent, QueueFilter, QueueItemView, ReviewHistoryView, ReviewItemView, ReviewSent, ReviewStatus,
    ReviewView, ReviewsSent, ReviewsView,
};
use crate::access::Caller;
use crate::access::actions::{ReviewWrite, VisitRead};
use crate::access::policy::{permit, scope};
use crate::access::refusals::Refusals;
use crate::features::visits::{Review, Sight, VisitView, find_visit, reply};
use crate::journal::Record;
use crate::platform::body::{Json, MAX_BATCH, Path, Query, parse};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::{UnitId, VisitId};
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;
use crate::platform::validate::{FieldErrors, Validate};

const QUEUE: &str = "review-queue";

/// Visits that wait for a verdict
///
/// Most doubtful first, then oldest, flagged or not. Your own visits and those uploaded from your phone are left to
/// others. Pages stay whole while verdicts are given.
#[utoipa::path(
    operation_id = "list_review_queue", tag = "reviews", security(("bearer" = ["visit.read"])),
    params(("id" = i32, Path, example = 2), QueueFilter),
    responses(
        (status = 200, description = "Visits of booths that lie under the unit today.", body = Page<QueueItemView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but not its visits.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/review-queue")]
pub async fn list_review_queue(
    caller: Caller,
    id: Path<UnitId>,
    filter: Query<QueueFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let mut errors = FieldErrors::default();
    filter.validate(&mut errors);
    if !errors.0.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let paging = Paging {
        limit: filter.limit.clone(),
        cursor: filter.cursor.clone(),
    };
    let limit = paging.limit()?;
    let after: Option<QueueCursor> = paging.after(QUEUE)?;
    let (rows, sight) = db
        .read(async |tx| {
            let permit = permit::<VisitRead>(tx, &caller, *id).await?;
            let (today, own) = (caller.today(), caller.worker_id());
            let rows = list_queue(tx, db.keys(), &permit, today, own, &filter, after, limit + 1).await?;
            let sight = Sight::of(tx, &caller, rows.iter().map(|row| row.visit.booth_id)).await?;
            Ok((rows, sight))
        })
        .await?;
    Reply::ok(&Page::new(
        QUEUE,
        rows,
        limit,
        |row| (-row.doubt, row.visit.visited_on, row.visit.id),
        |row| QueueItemView::shown(row, &sight),
    ))
}

/// Judge a visit
///
/// `verified`: it was made as told. `rejected`: it was not, and leaves every figure but `rejected`. `correction_wanted`: it
/// counts, but its author shall mend it. A verdict takes the place of the one before; all are kept. A correction lets it
/// fall.
#[utoipa::path(
    operation_id = "review_visit", tag = "reviews", security(("bearer" = ["review.write"])),
    params(
        ("id" = uuid::Uuid, Path, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33"),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = ReviewSent,
    responses(
        (status = 200, description = "The verdict counts; the totals are moved.", body = VisitView),
        (status = 403, description = "You may see it, but not judge it; or it is your own.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such visit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was voided, or is no longer the version that you judged.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The reason is missing or not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/visits/{id}/review")]
pub async fn review_visit(
    caller: Caller,
    id: Path<VisitId>,
    body: Json<ReviewSent>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let opinion = Opinion {
        visit_id: *id,
        verdict: body.value.verdict.as_review(),
        reason: body.value.reason,
        version: body.value.version,
    };
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    db.write_once(&actor, body.idempotency, async move |tx| {
        let (judged, record) = judge_one(tx, &keys, &caller, &opinion).await?;
        let answer = reply(tx, &caller, judged.visit).await?;
        Ok((answer, record))
    })
    .await
}

/// Take a verdict back
///
/// The visit waits for review again and counts as it did before; the verdict stays on record.
#[utoipa::path(
    operation_id = "undo_review", tag = "reviews", security(("bearer" = ["review.write"])),
    params(("id" = uuid::Uuid, Path, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33")),
    responses(
        (status = 200, description = "No verdict counts, now or before.", body = VisitView),
        (status = 403, description = "You may see it, but not judge it; or it is your own.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such visit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was voided.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[delete("/v1/visits/{id}/review")]
pub async fn undo_review(caller: Caller, id: Path<VisitId>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let opinion = Opinion {
        visit_id: *id,
        verdict: Review::Unreviewed,
        reason: None,
        version: None,
    };
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    db.write(&actor, async move |tx| {
        let (judged, record) = judge_one(tx, &keys, &caller, &opinion).await?;
        Ok((reply(tx, &caller, judged.visit).await?, record))
    })
    .await
}

/// Every verdict on a visit
#[utoipa::path(
    operation_id = "list_visit_reviews", tag = "reviews", security(("bearer" = ["visit.read", "visit.read_own"])),
    params(("id" = uuid::Uuid, Path, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33")),
    responses(
        (status = 200, description = "Oldest first, with reasons; its author sees them too.", body = ReviewHistoryView),
        (status = 404, description = "No such visit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/visits/{id}/reviews")]
pub async fn list_visit_reviews(
    caller: Caller,
    id: Path<VisitId>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (visit, rows) = db
        .read(async |tx| {
            let visit = find_visit(tx, db.keys(), &caller, *id).await?;
            let rows = list_reviews(tx, &visit).await?;
            Ok((visit, rows))
        })
        .await?;
    Reply::ok(&ReviewHistoryView {
        review: Review::find(&visit.review).unwrap_or(Review::Unreviewed),
        items: rows.into_iter().map(ReviewView::from).collect(),
    })
}

/// Judge up to 500 visits
///
/// Each verdict is answered by itself, in the order sent. Safe to send again: what already counts is `unchanged`.
#[utoipa::path(
    operation_id = "review_visits", tag = "reviews", security(("bearer" = ["review.write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer.")),
    request_body = ReviewsSent,
    responses(
        (status = 200, description = "One answer for each verdict. What is `stored` or `unchanged` counts.", body = ReviewsView),
        (status = 403, description = "You may judge visits nowhere.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not a list of 1 to 500 verdicts.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/reviews")]
pub async fn review_visits(
    caller: Caller,
    body: Json<ReviewsSent, MAX_BATCH>,
    db: web::Data<Db>,
    refusals: web::Data<Refusals>,
) -> Result<Reply, ApiError> {
    scope::<ReviewWrite>(&caller)?;
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    let raw = body.value.reviews;
    db.write_once(&actor, body.idempotency, async move |tx| {
        let mut opinions = Vec::with_capacity(raw.len());
        let mut slots = Vec::with_capacity(raw.len());
        for raw in &raw {
            match read_item(raw.get()) {
                Ok(opinion) => {
                    slots.push((Some(opinion.visit_id), None));
                    opinions.push(opinion);
                }
                Err(error) => slots.push((visit_of(raw.get()), Some(error))),
            }
        }
        let (answers, record) = judge(tx, &keys, &caller, &opinions).await?;
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            refusals.note(caller.actor(), "POST /v1/reviews", error);
        }
        let mut answers = answers.into_iter();
        let results = slots.into_iter().enumerate().map(|(index, (visit_id, unread))| {
            let answer = match unread {
                Some(error) => Err(error),
                None => answers.next().unwrap_or_else(|| Err(ApiError::not_found())),
            };
            item(index, visit_id, answer)
        });
        let view = ReviewsView {
            results: results.collect(),
        };
        Ok((Reply::ok(&view)?, record))
    })
    .await
}

async fn judge_one(
    tx: &mut Tx,
    keys: &DataKeys,
    caller: &Caller,
    opinion: &Opinion,
) -> Result<(Judged, Record), ApiError> {
    let (mut answers, record) = judge(tx, keys, caller, std::slice::from_ref(opinion)).await?;
    let judged = answers
        .pop()
        .ok_or_else(|| ApiError::internal("an opinion got no answer"))?;
    Ok((judged?, record))
}

fn read_item(raw: &str) -> Result<Opinion, ApiError> {
    let item: ItemSent = parse(raw.as_bytes())?;
    let mut errors = FieldErrors::default();
    item.validate(&mut errors);
    if !errors.0.is_empty() {
        return Err(ApiError::fields(errors));
    }
    Ok(Opinion {
        visit_id: item.visit_id,
        verdict: item.verdict.as_review(),
        reason: item.reason,
        version: item.version,
    })
}

/// The visit of an item that cannot be read as a verdict, if at least that can be read.
fn visit_of(raw: &str) -> Option<VisitId> {
    #[derive(Deserialize)]
    struct Named {
        visit_id: VisitId,
    }
    serde_json::from_str::<Named>(raw)
        .ok()
        .map(|named| named.visit_id)
}

fn item(index: usize, visit_id: Option<VisitId>, answer: Result<Judged, ApiError>) -> ReviewItemView {
    let status = match &answer {
        Ok(judged) if judged.changed => ReviewStatus::Stored,
        Ok(_) => ReviewStatus::Unchanged,
        Err(_) => ReviewStatus::Refused,
    };
    let (version, problem) = match answer {
        Ok(judged) => (Some(judged.visit.version), None),
        Err(error) => (None, Some(error.problem())),
    };
    ReviewItemView {
        index,
        visit_id,
        status,
        version,
        problem,
    }
}
