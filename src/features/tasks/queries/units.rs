//! How units stand to tasks, what they reported, and what was said to it.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Date, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::super::wire::standing::{TaskReportSent, TaskVerdictSent};
use super::{TaskRow, task_columns};
use crate::access::actions::{TaskRead, TaskReport, TaskVerify};
use crate::access::{Permit, Scope};
use crate::journal::Digest;
use crate::platform::db::Tx;
use crate::platform::ids::{TaskId, TaskReportId, UnitId, WorkerId};
use crate::platform::statement::statement;

/// A unit that has a task, and how it stands to it.
#[derive(Clone, Debug, QueryableByName)]
pub struct StandingRow {
    #[diesel(sql_type = Integer)]
    pub task_id: TaskId,
    /// The unit that has it, beside the `unit_id` that set it.
    #[diesel(sql_type = Integer)]
    pub receiver_id: UnitId,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Date)]
    pub due_on: NaiveDate,
    #[diesel(sql_type = Bool)]
    pub cancelled: bool,
    /// Whether an indicator meets it, not a report.
    #[diesel(sql_type = Bool)]
    pub measured: bool,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub report_id: Option<TaskReportId>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub reported_by: Option<WorkerId>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub progress: Option<i16>,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub judged_by: Option<WorkerId>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub judged_at: Option<DateTime<Utc>>,
}

macro_rules! standing_columns {
    () => {
        "k.id AS task_id, x.id AS receiver_id, x.code, x.name, k.due_on, k.cancelled_at IS NOT NULL AS cancelled,
         EXISTS (SELECT 1 FROM task_measures m WHERE m.task_id = k.id) AS measured, coalesce(s.status, 'open') AS status, s.report_id, s.reported_by, s.progress, s.reason, s.judged_by, s.judged_at"
    };
}

// Whether the task `k` is for the unit whose lineage `l` is.
macro_rules! is_for {
    () => {
        "k.unit_id = ANY (l.unit_ids) AND (k.seats IS NULL OR l.unit_ids && k.seats)"
    };
}

/// Which units of a task.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub task_id: TaskId,
    pub statuses: &'a [&'a str],
    /// Only those in these seats.
    pub seats: Option<&'a [UnitId]>,
}

/// The units in scope that have a task today and stand to it in one of these ways, by id.
pub async fn list_standings(
    tx: &mut Tx,
    scope: &Scope<TaskRead>,
    today: NaiveDate,
    wanted: Wanted<'_>,
    after: Option<UnitId>,
    limit: i64,
) -> QueryResult<Vec<StandingRow>> {
    statement(concat!(
        "WITH f AS NOT MATERIALIZED (SELECT $1::int[] AS roots, $2::date AS today, $3::int AS task_id, $4::text[] AS statuses,
                                            $5::int[] AS seats)
         SELECT ",
        standing_columns!(),
        " FROM f JOIN tasks k ON k.id = f.task_id
          JOIN units x ON x.level = k.level
          JOIN lineages l ON l.unit_id = x.id AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
                         AND l.unit_ids && f.roots AND (f.seats IS NULL OR l.unit_ids && f.seats) AND ",
        is_for!(),
        " LEFT JOIN task_units s ON s.state_id = x.state_id AND s.unit_id = x.id AND s.task_id = k.id
          WHERE x.id > coalesce($6, 0) AND coalesce(s.status, 'open') = ANY (f.statuses)
          ORDER BY x.id LIMIT $7"
    ))
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Date, _>(today)
    .bind::<Integer, _>(wanted.task_id)
    .bind::<Array<Text>, _>(wanted.statuses)
    .bind::<Nullable<Array<Integer>>, _>(wanted.seats)
    .bind::<Nullable<Integer>, _>(after)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// How the unit stands to the task on a day; `None` if the task is not for it.
pub async fn find_standing<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    day: NaiveDate,
    task_id: TaskId,
) -> QueryResult<Option<StandingRow>> {
    statement(concat!(
        "WITH f AS NOT MATERIALIZED (SELECT $1::date AS day)
         SELECT ",
        standing_columns!(),
        " FROM f CROSS JOIN tasks k JOIN units x ON x.level = k.level
          JOIN lineages l ON l.unit_id = x.id AND l.valid_from <= f.day AND (l.valid_to IS NULL OR l.valid_to > f.day)
                         AND ",
        is_for!(),
        " LEFT JOIN task_units s ON s.state_id = x.state_id AND s.unit_id = x.id AND s.task_id = k.id
          WHERE x.id = $2 AND k.id = $3"
    ))
    .bind::<Date, _>(day)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(task_id)
    .get_result(tx)
    .await
    .optional()
}

/// A task that stands and is for a unit, with how the unit stands to it.
#[derive(Clone, Debug, QueryableByName)]
pub struct UnitTaskRow {
    #[diesel(embed)]
    pub task: TaskRow,
    #[diesel(embed)]
    pub standing: StandingRow,
}

/// The tasks of the unit today that are not cancelled, by id.
pub async fn list_tasks_of_unit(
    tx: &mut Tx,
    permit: &Permit<TaskRead>,
    today: NaiveDate,
    status: Option<&str>,
    after: Option<TaskId>,
    limit: i64,
) -> QueryResult<Vec<UnitTaskRow>> {
    statement(concat!(
        "WITH f AS NOT MATERIALIZED (SELECT $1::date AS today, $2::text AS status)
         SELECT ",
        task_columns!("k"),
        ", ",
        standing_columns!(),
        " FROM f CROSS JOIN units x
          JOIN lineages l ON l.unit_id = x.id AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
          JOIN tasks k ON k.level = x.level AND k.cancelled_at IS NULL AND ",
        is_for!(),
        " LEFT JOIN task_units s ON s.state_id = x.state_id AND s.unit_id = x.id AND s.task_id = k.id
          WHERE x.id = $3 AND k.id > coalesce($4, 0) AND coalesce(s.status, 'open') = coalesce(f.status, s.status, 'open')
          ORDER BY k.id LIMIT $5"
    ))
    .bind::<Date, _>(today)
    .bind::<Nullable<Text>, _>(status)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Nullable<Integer>, _>(after)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// The tasks that stand of these units in scope, for what a phone keeps: those that are not done, and those that are due on
/// this day or later. By task and unit.
pub async fn list_for_phone<A>(
    tx: &mut Tx,
    _scope: &Scope<A>,
    today: NaiveDate,
    due_from: NaiveDate,
    units: &[UnitId],
) -> QueryResult<Vec<UnitTaskRow>> {
    statement(concat!(
        "WITH f AS NOT MATERIALIZED (SELECT $1::date AS today, $2::date AS due_from)
         SELECT ",
        task_columns!("k"),
        ", ",
        standing_columns!(),
        " FROM f CROSS JOIN units x
          JOIN lineages l ON l.unit_id = x.id AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
          CROSS JOIN LATERAL unnest(l.unit_ids) AS a (id)
          JOIN tasks k ON k.unit_id = a.id AND k.level = x.level AND k.cancelled_at IS NULL
               AND (k.seats IS NULL OR l.unit_ids && k.seats)
          LEFT JOIN task_units s ON s.state_id = x.state_id AND s.unit_id = x.id AND s.task_id = k.id
          WHERE x.id = ANY ($3) AND (k.due_on >= f.due_from OR coalesce(s.status, 'open') NOT IN ('done', 'verified'))
          ORDER BY k.id, x.id"
    ))
    .bind::<Date, _>(today)
    .bind::<Date, _>(due_from)
    .bind::<Array<Integer>, _>(units)
    .load(tx)
    .await
}

#[derive(Clone, Debug, QueryableByName)]
pub struct ReportRow {
    #[diesel(sql_type = SqlUuid)]
    pub id: TaskReportId,
    #[diesel(sql_type = Integer)]
    pub task_id: TaskId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub worker_id: WorkerId,
    #[diesel(sql_type = Timestamptz)]
    pub reported_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub received_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub counted_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub progress: Option<i16>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub count: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    pub note: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub photo: Option<String>,
    #[diesel(sql_type = Binary)]
    pub sent_digest: Vec<u8>,
}

macro_rules! report_columns {
    () => {
        "id, task_id, unit_id, worker_id, reported_at, received_at, counted_at, status, progress, count, note, photo,
         sent_digest"
    };
}

/// Stores a report; `None` if its id is taken.
pub async fn insert_report(
    tx: &mut Tx,
    permit: &Permit<TaskReport>,
    worker_id: WorkerId,
    sent: &TaskReportSent,
    digest: &Digest,
) -> QueryResult<Option<ReportRow>> {
    let at = permit.actor().at;
    statement(concat!(
        "INSERT INTO task_reports (state_id, id, task_id, unit_id, worker_id, reported_at, received_at, counted_at, status,
                                   progress, count, note, photo, sent_digest)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (state_id, id) DO NOTHING RETURNING ",
        report_columns!()
    ))
    .bind::<Integer, _>(permit.state_id())
    .bind::<SqlUuid, _>(sent.id)
    .bind::<Integer, _>(sent.task_id)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(worker_id)
    .bind::<Timestamptz, _>(sent.reported_at)
    .bind::<Timestamptz, _>(at)
    .bind::<Timestamptz, _>(sent.reported_at.min(at))
    .bind::<Text, _>(sent.status.as_str())
    .bind::<Nullable<SmallInt>, _>(sent.progress)
    .bind::<Nullable<Integer>, _>(sent.count)
    .bind::<Nullable<Text>, _>(sent.note.as_ref())
    .bind::<Nullable<Text>, _>(sent.photo.as_ref())
    .bind::<Binary, _>(digest.0.to_vec())
    .get_result(tx)
    .await
    .optional()
}

/// The report with this id in the permit's state.
pub async fn find_report<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    id: TaskReportId,
) -> QueryResult<Option<ReportRow>> {
    statement(concat!(
        "SELECT ",
        report_columns!(),
        " FROM task_reports WHERE state_id = $1 AND id = $2"
    ))
    .bind::<Integer, _>(permit.state_id())
    .bind::<SqlUuid, _>(id)
    .get_result(tx)
    .await
    .optional()
}

/// How the unit stands, held until the transaction ends.
#[derive(Clone, Debug, QueryableByName)]
pub struct HeldRow {
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = SqlUuid)]
    pub report_id: TaskReportId,
    #[diesel(sql_type = Integer)]
    pub reported_by: WorkerId,
    #[diesel(sql_type = Timestamptz)]
    pub counted_at: DateTime<Utc>,
}

/// Holds how the unit stands to a task; `None` if it has not answered yet.
pub async fn lock_standing<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    task_id: TaskId,
) -> QueryResult<Option<HeldRow>> {
    statement(
        "SELECT status, report_id, reported_by, counted_at FROM task_units
         WHERE state_id = $1 AND unit_id = $2 AND task_id = $3 FOR UPDATE",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(task_id)
    .get_result(tx)
    .await
    .optional()
}

/// Lets the unit's first report hold; false if another came first.
pub async fn begin_standing(
    tx: &mut Tx,
    permit: &Permit<TaskReport>,
    report: &ReportRow,
) -> QueryResult<bool> {
    let begun = statement(
        "INSERT INTO task_units (state_id, unit_id, task_id, status, report_id, reported_by, counted_at, progress)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (state_id, unit_id, task_id) DO NOTHING",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(report.task_id)
    .bind::<Text, _>(&report.status)
    .bind::<SqlUuid, _>(report.id)
    .bind::<Integer, _>(report.worker_id)
    .bind::<Timestamptz, _>(report.counted_at)
    .bind::<Nullable<SmallInt>, _>(report.progress)
    .execute(tx)
    .await?;
    Ok(begun == 1)
}

/// Lets another report hold in the place of the one that did.
pub async fn replace_standing(
    tx: &mut Tx,
    permit: &Permit<TaskReport>,
    report: &ReportRow,
) -> QueryResult<()> {
    statement(
        "UPDATE task_units SET status = $1, report_id = $2, reported_by = $3, counted_at = $4, progress = $5, reason = NULL,
                judged_by = NULL, judged_at = NULL
         WHERE state_id = $6 AND unit_id = $7 AND task_id = $8",
    )
    .bind::<Text, _>(&report.status)
    .bind::<SqlUuid, _>(report.id)
    .bind::<Integer, _>(report.worker_id)
    .bind::<Timestamptz, _>(report.counted_at)
    .bind::<Nullable<SmallInt>, _>(report.progress)
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(report.task_id)
    .execute(tx)
    .await
    .map(|_| ())
}

/// Stores a verdict on the report that holds.
pub async fn insert_verdict(
    tx: &mut Tx,
    permit: &Permit<TaskVerify>,
    worker_id: WorkerId,
    task_id: TaskId,
    sent: &TaskVerdictSent,
) -> QueryResult<()> {
    statement(
        "WITH v AS (
             INSERT INTO task_verdicts (state_id, task_id, unit_id, report_id, verdict, reason, judged_by, judged_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *)
         UPDATE task_units s SET status = v.verdict, reason = v.reason, judged_by = v.judged_by, judged_at = v.judged_at
         FROM v WHERE s.state_id = v.state_id AND s.unit_id = v.unit_id AND s.task_id = v.task_id",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(task_id)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<SqlUuid, _>(sent.report_id)
    .bind::<Text, _>(sent.verdict.as_str())
    .bind::<Nullable<Text>, _>(sent.reason.as_ref())
    .bind::<Integer, _>(worker_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .execute(tx)
    .await
    .map(|_| ())
}

#[derive(Clone, Debug, QueryableByName)]
pub struct VerdictRow {
    #[diesel(sql_type = SqlUuid)]
    pub report_id: TaskReportId,
    #[diesel(sql_type = Text)]
    pub verdict: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    #[diesel(sql_type = Integer)]
    pub judged_by: WorkerId,
    #[diesel(sql_type = Timestamptz)]
    pub judged_at: DateTime<Utc>,
}

/// The latest reports of the unit for a task.
pub async fn list_reports(
    tx: &mut Tx,
    permit: &Permit<TaskRead>,
    task_id: TaskId,
    limit: i64,
) -> QueryResult<Vec<ReportRow>> {
    statement(concat!(
        "SELECT ",
        report_columns!(),
        " FROM task_reports WHERE unit_id = $1 AND task_id = $2 ORDER BY counted_at DESC, id DESC LIMIT $3"
    ))
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(task_id)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// The latest verdicts on them.
pub async fn list_verdicts(
    tx: &mut Tx,
    permit: &Permit<TaskRead>,
    task_id: TaskId,
    limit: i64,
) -> QueryResult<Vec<VerdictRow>> {
    statement(
        "SELECT report_id, verdict, reason, judged_by, judged_at FROM task_verdicts
         WHERE unit_id = $1 AND task_id = $2 ORDER BY id DESC LIMIT $3",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(task_id)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: TaskId,
}

/// The tasks by which the unit breaks down another.
pub async fn list_parts(tx: &mut Tx, permit: &Permit<TaskRead>, task_id: TaskId) -> QueryResult<Vec<TaskId>> {
    let rows: Vec<IdRow> =
        statement("SELECT id FROM tasks WHERE part_of = $1 AND unit_id = $2 AND cancelled_at IS NULL ORDER BY id LIMIT 500")
            .bind::<Integer, _>(task_id)
            .bind::<Integer, _>(permit.unit_id())
            .load(tx)
            .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

#[derive(QueryableByName)]
struct LineageRow {
    #[diesel(sql_type = Array<Integer>)]
    unit_ids: Vec<UnitId>,
}

/// The units to be charged with how the unit stands: its lineage on the day on which the task was set, without the nation;
/// none if the task was not for it then. The lineages of the state must be held.
pub async fn charged_units<A>(tx: &mut Tx, permit: &Permit<A>, task_id: TaskId) -> QueryResult<Vec<UnitId>> {
    let rows: Vec<LineageRow> = statement(concat!(
        "SELECT ARRAY(SELECT a.id FROM unnest(l.unit_ids) AS a (id) JOIN units u ON u.id = a.id AND u.level <> 'nation'
                      ORDER BY a.id) AS unit_ids
         FROM tasks k JOIN lineages l ON l.valid_from <= k.set_on AND (l.valid_to IS NULL OR l.valid_to > k.set_on)
         WHERE l.unit_id = $1 AND k.id = $2 AND ",
        is_for!()
    ))
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(task_id)
    .load(tx)
    .await?;
    Ok(rows
        .into_iter()
        .next()
        .map(|row| row.unit_ids)
        .unwrap_or_default())
}
