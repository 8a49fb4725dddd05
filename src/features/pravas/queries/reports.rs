//! What was reported of stops, and the tasks that it raised.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::super::wire::StopReportSent;
use crate::access::Permit;
use crate::access::actions::PravasReport;
use crate::journal::Digest;
use crate::platform::db::Tx;
use crate::platform::ids::{StopId, StopReportId, TaskId, WorkerId};
use crate::platform::statement::statement;

#[derive(Clone, Debug, QueryableByName)]
pub struct ReportRow {
    #[diesel(sql_type = SqlUuid)]
    pub id: StopReportId,
    #[diesel(sql_type = Integer)]
    pub stop_id: StopId,
    #[diesel(sql_type = Integer)]
    pub worker_id: WorkerId,
    #[diesel(sql_type = Timestamptz)]
    pub reported_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub received_at: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    pub held: bool,
    #[diesel(sql_type = Nullable<Integer>)]
    pub attendance: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    pub observations: Option<String>,
    #[diesel(sql_type = Array<Text>)]
    pub issues: Vec<String>,
    #[diesel(sql_type = Binary)]
    pub sent_digest: Vec<u8>,
}

macro_rules! report_columns {
    () => {
        "id, stop_id, worker_id, reported_at, received_at, held, attendance, observations, issues, sent_digest"
    };
}

/// Stores a report; `None` if its id is taken.
pub async fn insert_report(
    tx: &mut Tx,
    permit: &Permit<PravasReport>,
    (worker_id, stop_id): (WorkerId, StopId),
    sent: &StopReportSent,
    digest: &Digest,
) -> QueryResult<Option<ReportRow>> {
    let at = permit.actor().at;
    statement(concat!(
        "INSERT INTO pravas_reports (state_id, id, stop_id, worker_id, reported_at, received_at, counted_at, held, attendance,
                                     observations, issues, sent_digest)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (state_id, id) DO NOTHING RETURNING ",
        report_columns!()
    ))
    .bind::<Integer, _>(permit.state_id())
    .bind::<SqlUuid, _>(sent.id)
    .bind::<Integer, _>(stop_id)
    .bind::<Integer, _>(worker_id)
    .bind::<Timestamptz, _>(sent.reported_at)
    .bind::<Timestamptz, _>(at)
    .bind::<Timestamptz, _>(sent.reported_at.min(at))
    .bind::<Bool, _>(sent.held)
    .bind::<Nullable<Integer>, _>(sent.attendance)
    .bind::<Nullable<Text>, _>(sent.observations.as_ref())
    .bind::<Array<Text>, _>(&sent.issues)
    .bind::<Binary, _>(digest.0.to_vec())
    .get_result(tx)
    .await
    .optional()
}

/// The report with this id in the permit's state.
pub async fn find_report(
    tx: &mut Tx,
    permit: &Permit<PravasReport>,
    id: StopReportId,
) -> QueryResult<Option<ReportRow>> {
    statement(concat!(
        "SELECT ",
        report_columns!(),
        " FROM pravas_reports WHERE state_id = $1 AND id = $2"
    ))
    .bind::<Integer, _>(permit.state_id())
    .bind::<SqlUuid, _>(id)
    .get_result(tx)
    .await
    .optional()
}

/// Lets the latest of a stop's reports hold.
pub async fn settle_stop(tx: &mut Tx, permit: &Permit<PravasReport>, id: StopId) -> QueryResult<()> {
    statement(
        "UPDATE pravas_stops t SET report_id = r.id, held = r.held
         FROM (SELECT id, held, stop_id FROM pravas_reports WHERE stop_id = $1 ORDER BY counted_at DESC, id DESC LIMIT 1) r
         WHERE t.id = r.stop_id AND t.unit_id = $2",
    )
    .bind::<Integer, _>(id)
    .bind::<Integer, _>(permit.unit_id())
    .execute(tx)
    .await
    .map(|_| ())
}

/// The latest reports of a stop, the one that holds first.
pub async fn list_reports<A>(
    tx: &mut Tx,
    _permit: &Permit<A>,
    id: StopId,
    limit: i64,
) -> QueryResult<Vec<ReportRow>> {
    statement(concat!(
        "SELECT ",
        report_columns!(),
        " FROM pravas_reports WHERE stop_id = $1 ORDER BY counted_at DESC, id DESC LIMIT $2"
    ))
    .bind::<Integer, _>(id)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// Notes that tasks were raised at a stop.
pub async fn note_tasks(
    tx: &mut Tx,
    _permit: &Permit<PravasReport>,
    id: StopId,
    tasks: &[TaskId],
) -> QueryResult<()> {
    statement("INSERT INTO pravas_stop_tasks (stop_id, task_id) SELECT $1, unnest($2::int[])")
        .bind::<Integer, _>(id)
        .bind::<Array<Integer>, _>(tasks)
        .execute(tx)
        .await
        .map(|_| ())
}

#[derive(QueryableByName)]
struct TaskRow {
    #[diesel(sql_type = Integer)]
    task_id: TaskId,
}

/// The tasks that were raised at a stop.
pub async fn tasks_of_stop<A>(tx: &mut Tx, _permit: &Permit<A>, id: StopId) -> QueryResult<Vec<TaskId>> {
    let rows: Vec<TaskRow> =
        statement("SELECT task_id FROM pravas_stop_tasks WHERE stop_id = $1 ORDER BY task_id")
            .bind::<Integer, _>(id)
            .load(tx)
            .await?;
    Ok(rows.into_iter().map(|row| row.task_id).collect())
}
