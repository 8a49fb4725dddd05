//! Tasks themselves; `units` holds how units stand to them, `counts` how many.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Date, Double, Integer, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::RunQueryDsl;

use super::wire::{Evidence, NewTask, UnitTask};
use crate::access::actions::{TaskRead, TaskWrite, WorkerRead};
use crate::access::{Permit, Scope};
use crate::journal::Actor;
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, TaskId, UnitId, WorkerId};
use crate::platform::statement::statement;

pub mod closings;
pub mod counts;
pub mod measured;
pub mod units;

/// The columns of a task.
macro_rules! task_columns {
    ($table:literal) => {
        concat!(
            $table,
            ".id, ",
            $table,
            ".state_id, ",
            $table,
            ".unit_id, ",
            $table,
            ".level, ",
            $table,
            ".target_set_id, ",
            $table,
            ".seats, ",
            $table,
            ".title, ",
            $table,
            ".instructions, ",
            $table,
            ".evidence, ",
            $table,
            ".set_on, ",
            $table,
            ".due_on, ",
            $table,
            ".part_of, ",
            $table,
            ".owner_id, ",
            $table,
            ".version, ",
            $table,
            ".created_by, ",
            $table,
            ".created_at, ",
            $table,
            ".changed_by, ",
            $table,
            ".changed_at, ",
            $table,
            ".change_reason, ",
            $table,
            ".cancelled_at, ",
            "(SELECT m.indicator FROM task_measures m WHERE m.task_id = ",
            $table,
            ".id) AS indicator, ",
            "(SELECT m.value FROM task_measures m WHERE m.task_id = ",
            $table,
            ".id) AS measure_value, ",
            "(SELECT m.campaign_id FROM task_measures m WHERE m.task_id = ",
            $table,
            ".id) AS measure_campaign_id, ",
            "(SELECT m.measured_at FROM task_measures m WHERE m.task_id = ",
            $table,
            ".id) AS measured_at"
        )
    };
}
pub(super) use task_columns;

/// A row of `tasks`.
#[derive(Clone, Debug, PartialEq, diesel::QueryableByName)]
pub struct TaskRow {
    #[diesel(sql_type = Integer)]
    pub id: TaskId,
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Text)]
    pub level: String,
    #[diesel(sql_type = Nullable<Integer>)]
    pub target_set_id: Option<i32>,
    #[diesel(sql_type = Nullable<Array<Integer>>)]
    pub seats: Option<Vec<UnitId>>,
    #[diesel(sql_type = Text)]
    pub title: String,
    #[diesel(sql_type = Text)]
    pub instructions: String,
    #[diesel(sql_type = Text)]
    pub evidence: String,
    #[diesel(sql_type = Date)]
    pub set_on: NaiveDate,
    #[diesel(sql_type = Date)]
    pub due_on: NaiveDate,
    #[diesel(sql_type = Nullable<Integer>)]
    pub part_of: Option<TaskId>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub owner_id: Option<WorkerId>,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Nullable<Integer>)]
    pub created_by: Option<WorkerId>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub changed_by: Option<WorkerId>,
    #[diesel(sql_type = Timestamptz)]
    pub changed_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    pub change_reason: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub cancelled_at: Option<DateTime<Utc>>,
    /// What meets it; `None`: units report it.
    #[diesel(sql_type = Nullable<Text>)]
    pub indicator: Option<String>,
    #[diesel(sql_type = Nullable<Double>)]
    pub measure_value: Option<f64>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub measure_campaign_id: Option<CampaignId>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub measured_at: Option<DateTime<Utc>>,
}

// A task is seen by whoever reads at the unit that set it, above that, or below it.
macro_rules! visible {
    () => {
        concat!(
            "WITH asked AS MATERIALIZED (SELECT $1::int[] AS roots, $2::date AS today),
              above AS MATERIALIZED (
                  SELECT unnest(l.unit_ids) AS id FROM asked a JOIN lineages l ON l.unit_id = ANY (a.roots)
                      AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)),
              visible AS NOT MATERIALIZED (
                  SELECT ",
            task_columns!("k"),
            ", l.unit_ids AS lineage
                  FROM asked a, tasks k JOIN lineages l ON l.unit_id = k.unit_id
                  WHERE l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
                    AND (l.unit_ids && a.roots OR k.unit_id IN (SELECT id FROM above)))"
        )
    };
}

/// Which tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listed {
    /// Set by this unit or one under it.
    pub under: Option<UnitId>,
    /// Set for this target set.
    pub target_set: Option<i32>,
    /// Parts of this task.
    pub part_of: Option<TaskId>,
    pub cancelled: Option<bool>,
}

/// Visible tasks by id.
pub async fn list_tasks(
    tx: &mut Tx,
    scope: &Scope<TaskRead>,
    today: NaiveDate,
    asked: Listed,
    after: Option<TaskId>,
    limit: i64,
) -> QueryResult<Vec<TaskRow>> {
    statement(concat!(
        visible!(),
        " SELECT ",
        task_columns!("v"),
        " FROM visible v, (SELECT $3::int AS under, $4::int AS part_of, $5::bool AS cancelled, $6::int AS after,
                                 $7::int AS target_set) p
          WHERE v.id > coalesce(p.after, 0) AND (p.under IS NULL OR p.under = ANY (v.lineage))
            AND (p.part_of IS NULL OR v.part_of = p.part_of)
            AND (p.cancelled IS NULL OR (v.cancelled_at IS NOT NULL) = p.cancelled)
            AND (p.target_set IS NULL OR v.target_set_id = p.target_set)
          ORDER BY v.id LIMIT $8"
    ))
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Date, _>(today)
    .bind::<Nullable<Integer>, _>(asked.under)
    .bind::<Nullable<Integer>, _>(asked.part_of)
    .bind::<Nullable<Bool>, _>(asked.cancelled)
    .bind::<Nullable<Integer>, _>(after)
    .bind::<Nullable<Integer>, _>(asked.target_set)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// Those of these tasks that are visible.
pub async fn find_tasks(
    tx: &mut Tx,
    scope: &Scope<TaskRead>,
    today: NaiveDate,
    ids: &[TaskId],
) -> QueryResult<Vec<TaskRow>> {
    statement(concat!(
        visible!(),
        " SELECT ",
        task_columns!("v"),
        " FROM visible v WHERE v.id = ANY ($3)"
    ))
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(ids)
    .load(tx)
    .await
}

/// A task for a unit whose leave to report, or to see, has been asked for already.
pub async fn find_task_for<A>(tx: &mut Tx, _permit: &Permit<A>, id: TaskId) -> QueryResult<Option<TaskRow>> {
    statement(concat!(
        "SELECT ",
        task_columns!("k"),
        " FROM tasks k WHERE k.id = $1"
    ))
    .bind::<Integer, _>(id)
    .get_result(tx)
    .await
    .optional()
}

/// Holds a task until the transaction ends, so that it is changed once at a time.
pub async fn lock_task(tx: &mut Tx, id: TaskId) -> QueryResult<()> {
    statement("SELECT id FROM tasks WHERE id = $1 FOR UPDATE")
        .bind::<Integer, _>(id)
        .execute(tx)
        .await
        .map(|_| ())
}

/// Sets a task.
pub async fn insert_task(
    tx: &mut Tx,
    permit: &Permit<TaskWrite>,
    today: NaiveDate,
    new: &NewTask,
    seats: Option<&[UnitId]>,
) -> QueryResult<TaskRow> {
    statement(concat!(
        "WITH k AS (
             INSERT INTO tasks (state_id, unit_id, level, target_set_id, seats, title, instructions, evidence, set_on, due_on,
                                part_of, owner_id, created_by, created_at, changed_by, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
             RETURNING *)
         SELECT ",
        task_columns!("k"),
        " FROM k"
    ))
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Text, _>(new.level.as_str())
    .bind::<Nullable<Integer>, _>(new.target_set)
    .bind::<Nullable<Array<Integer>>, _>(seats)
    .bind::<Text, _>(&new.title)
    .bind::<Text, _>(&new.instructions)
    .bind::<Text, _>(new.evidence.as_str())
    .bind::<Date, _>(today)
    .bind::<Date, _>(new.due_on)
    .bind::<Nullable<Integer>, _>(new.part_of)
    .bind::<Nullable<Integer>, _>(new.owner_id)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .get_result(tx)
    .await
}

/// Sets tasks of single units, in the order given.
pub async fn insert_unit_tasks(
    tx: &mut Tx,
    actor: &Actor,
    today: NaiveDate,
    new: &[(&Permit<TaskWrite>, &UnitTask<'_>)],
) -> QueryResult<Vec<TaskRow>> {
    macro_rules! column {
        (|$permit:pat_param, $task:pat_param| $value:expr) => {
            new.iter()
                .map(|($permit, $task)| $value)
                .collect::<Vec<_>>()
        };
    }
    statement(concat!(
        "WITH f AS NOT MATERIALIZED (SELECT $1::date AS today, $2::int AS worker_id, $3::timestamptz AS at, $4::text AS evidence),
         k AS (
             INSERT INTO tasks (state_id, unit_id, level, title, instructions, evidence, set_on, due_on, owner_id, created_by,
                                created_at, changed_by, changed_at)
             SELECT i.state_id, i.unit_id, i.level, i.title, i.instructions, f.evidence, f.today, i.due_on, i.owner_id,
                    f.worker_id, f.at, f.worker_id, f.at
             FROM f, unnest($5::int[], $6::int[], $7::text[], $8::text[], $9::text[], $10::date[], $11::int[]) WITH ORDINALITY
                 AS i (state_id, unit_id, level, title, instructions, due_on, owner_id, n)
             ORDER BY i.n RETURNING *)
         SELECT ",
        task_columns!("k"),
        " FROM k ORDER BY k.id"
    ))
    .bind::<Date, _>(today)
    .bind::<Nullable<Integer>, _>(actor.worker_id)
    .bind::<Timestamptz, _>(actor.at)
    .bind::<Text, _>(Evidence::None.as_str())
    .bind::<Array<Integer>, _>(column!(|permit, _| permit.state_id()))
    .bind::<Array<Integer>, _>(column!(|permit, _| permit.unit_id()))
    .bind::<Array<Text>, _>(column!(|permit, _| permit.level()))
    .bind::<Array<Text>, _>(column!(|_, task| task.title))
    .bind::<Array<Text>, _>(column!(|_, task| task.instructions))
    .bind::<Array<Date>, _>(column!(|_, task| task.due_on))
    .bind::<Array<Nullable<Integer>>, _>(column!(|_, task| task.owner_id))
    .load(tx)
    .await
}

/// Makes a new version of a task and keeps the one before.
pub async fn store_version(
    tx: &mut Tx,
    permit: &Permit<TaskWrite>,
    changed: &TaskRow,
) -> QueryResult<TaskRow> {
    statement(concat!(
        "WITH kept AS (
             INSERT INTO task_versions (task_id, version, title, instructions, due_on, changed_by, changed_at, change_reason)
             SELECT id, version, title, instructions, due_on, changed_by, changed_at, change_reason
             FROM tasks WHERE id = $1 AND unit_id = $2
         ), k AS (
             UPDATE tasks SET title = $3, instructions = $4, due_on = $5, cancelled_at = $6, version = version + 1,
                              changed_by = $7, changed_at = $8, change_reason = $9
             WHERE id = $10 AND unit_id = $11 RETURNING *
         )
         SELECT ",
        task_columns!("k"),
        " FROM k"
    ))
    .bind::<Integer, _>(changed.id)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Text, _>(&changed.title)
    .bind::<Text, _>(&changed.instructions)
    .bind::<Date, _>(changed.due_on)
    .bind::<Nullable<Timestamptz>, _>(changed.cancelled_at)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Nullable<Text>, _>(changed.change_reason.as_ref())
    .bind::<Integer, _>(changed.id)
    .bind::<Integer, _>(permit.unit_id())
    .get_result(tx)
    .await
}

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct VersionRow {
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Text)]
    pub title: String,
    #[diesel(sql_type = Text)]
    pub instructions: String,
    #[diesel(sql_type = Date)]
    pub due_on: NaiveDate,
    #[diesel(sql_type = Nullable<Integer>)]
    pub changed_by: Option<WorkerId>,
    #[diesel(sql_type = Timestamptz)]
    pub changed_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    pub change_reason: Option<String>,
    #[diesel(sql_type = Bool)]
    pub cancelled: bool,
}

/// Versions of a visible task, the newest first.
pub async fn list_versions(
    tx: &mut Tx,
    _scope: &Scope<TaskRead>,
    id: TaskId,
    before: Option<i32>,
    limit: i64,
) -> QueryResult<Vec<VersionRow>> {
    statement(
        "SELECT v.* FROM (
             SELECT version, title, instructions, due_on, changed_by, changed_at, change_reason,
                    cancelled_at IS NOT NULL AS cancelled FROM tasks WHERE id = $1
             UNION ALL
             SELECT version, title, instructions, due_on, changed_by, changed_at, change_reason, false
             FROM task_versions WHERE task_id = $2) v
         WHERE v.version < coalesce($3, 2147483647) ORDER BY v.version DESC LIMIT $4",
    )
    .bind::<Integer, _>(id)
    .bind::<Integer, _>(id)
    .bind::<Nullable<Integer>, _>(before)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct SeatRow {
    #[diesel(sql_type = Integer)]
    pub id: UnitId,
    #[diesel(sql_type = Text)]
    pub level: String,
}

/// Those of these seats that lie under the unit today.
pub async fn seats_under(
    tx: &mut Tx,
    permit: &Permit<TaskWrite>,
    today: NaiveDate,
    seats: &[UnitId],
) -> QueryResult<Vec<SeatRow>> {
    statement(
        "SELECT u.id, u.level FROM units u JOIN lineages l ON l.unit_id = u.id
         JOIN (SELECT $1::date AS today, $2::int AS unit_id) a
              ON l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today) AND a.unit_id = ANY (l.unit_ids)
         WHERE u.id = ANY ($3) ORDER BY u.id",
    )
    .bind::<Date, _>(today)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Array<Integer>, _>(seats)
    .load(tx)
    .await
}

#[derive(diesel::QueryableByName)]
struct WorkerRow {
    #[diesel(sql_type = Integer)]
    id: WorkerId,
}

/// Those of these workers who are active and in the scope.
pub async fn active_workers(
    tx: &mut Tx,
    scope: &Scope<WorkerRead>,
    today: NaiveDate,
    ids: &[WorkerId],
) -> QueryResult<Vec<WorkerId>> {
    let rows: Vec<WorkerRow> = statement(
        "SELECT w.id FROM workers w JOIN lineages l ON l.unit_id = w.unit_id
         JOIN (SELECT $1::date AS today, $2::int[] AS roots) a
              ON l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today) AND l.unit_ids && a.roots
         WHERE w.active AND w.id = ANY ($3)",
    )
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Array<Integer>, _>(ids)
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Whether there is such an active worker in the scope.
pub async fn is_active_worker(
    tx: &mut Tx,
    scope: &Scope<WorkerRead>,
    today: NaiveDate,
    id: WorkerId,
) -> QueryResult<bool> {
    Ok(!active_workers(tx, scope, today, &[id]).await?.is_empty())
}
