//! Reviews and what they found.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Date, Integer, Nullable, SmallInt, Text, Timestamptz};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::super::wire::NewReview;
use crate::access::Permit;
use crate::access::actions::PravasWrite;
use crate::platform::db::Tx;
use crate::platform::ids::{PravasId, TaskId, WorkerId};
use crate::platform::statement::statement;

#[derive(Clone, Debug, QueryableByName)]
pub struct ReviewRow {
    #[diesel(sql_type = Integer)]
    pub id: i32,
    #[diesel(sql_type = Integer)]
    pub pravas_id: PravasId,
    #[diesel(sql_type = Date)]
    pub held_on: NaiveDate,
    #[diesel(sql_type = Text)]
    pub summary: String,
    #[diesel(sql_type = Integer)]
    pub written_by: WorkerId,
    #[diesel(sql_type = Timestamptz)]
    pub written_at: DateTime<Utc>,
}

/// Writes down a review, with a task for each of its findings.
pub async fn insert_review(
    tx: &mut Tx,
    permit: &Permit<PravasWrite>,
    (worker_id, pravas_id): (WorkerId, PravasId),
    new: &NewReview,
    tasks: &[TaskId],
) -> QueryResult<ReviewRow> {
    let review: ReviewRow = statement(
        "INSERT INTO pravas_reviews (pravas_id, held_on, summary, written_by, written_at)
         VALUES ($1, $2, $3, $4, $5) RETURNING id, pravas_id, held_on, summary, written_by, written_at",
    )
    .bind::<Integer, _>(pravas_id)
    .bind::<Date, _>(new.held_on)
    .bind::<Text, _>(&new.summary)
    .bind::<Integer, _>(worker_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .get_result(tx)
    .await?;
    // By itself: findings stand behind the wall where their review does, which a statement of both would not see.
    statement(
        "INSERT INTO pravas_findings (review_id, number, finding, task_id)
         SELECT $1, i.n, i.finding, i.task_id FROM unnest($2::text[], $3::int[]) WITH ORDINALITY AS i (finding, task_id, n)",
    )
    .bind::<Integer, _>(review.id)
    .bind::<Array<Text>, _>(
        new.findings
            .iter()
            .map(|finding| finding.finding.as_str())
            .collect::<Vec<_>>(),
    )
    .bind::<Array<Integer>, _>(tasks)
    .execute(tx)
    .await?;
    Ok(review)
}

/// Reviews of a tour, by id.
pub async fn list_reviews<A>(
    tx: &mut Tx,
    _permit: &Permit<A>,
    pravas_id: PravasId,
    after: Option<i32>,
    limit: i64,
) -> QueryResult<Vec<ReviewRow>> {
    statement(
        "SELECT id, pravas_id, held_on, summary, written_by, written_at FROM pravas_reviews
         WHERE pravas_id = $1 AND id > coalesce($2, 0) ORDER BY id LIMIT $3",
    )
    .bind::<Integer, _>(pravas_id)
    .bind::<Nullable<Integer>, _>(after)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

#[derive(Clone, Debug, QueryableByName)]
pub struct FindingRow {
    #[diesel(sql_type = Integer)]
    pub review_id: i32,
    #[diesel(sql_type = SmallInt)]
    pub number: i16,
    #[diesel(sql_type = Text)]
    pub finding: String,
    #[diesel(sql_type = Integer)]
    pub task_id: TaskId,
    #[diesel(sql_type = Nullable<Integer>)]
    pub owner_id: Option<WorkerId>,
}

/// The findings of these reviews.
pub async fn list_findings<A>(
    tx: &mut Tx,
    _permit: &Permit<A>,
    reviews: &[i32],
) -> QueryResult<Vec<FindingRow>> {
    statement(
        "SELECT f.review_id, f.number, f.finding, f.task_id, k.owner_id FROM pravas_findings f
         JOIN tasks k ON k.id = f.task_id WHERE f.review_id = ANY ($1) ORDER BY f.review_id, f.number",
    )
    .bind::<Array<Integer>, _>(reviews)
    .load(tx)
    .await
}
