//! Tasks that an indicator meets, and the units that meet them.

use chrono::NaiveDate;
use diesel::sql_types::{Array, Bool, Date, Double, Integer, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use crate::access::Permit;
use crate::access::actions::TaskWrite;
use crate::features::tasks::wire::NewTaskMeasure;
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, TaskId, UnitId};
use crate::platform::statement::statement;

/// A task that stands and is met by an indicator.
#[derive(Clone, Debug, QueryableByName)]
pub struct MeasuredTask {
    #[diesel(sql_type = Integer)]
    pub id: TaskId,
    /// The unit that set it.
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    /// For units of this level.
    #[diesel(sql_type = Text)]
    pub level: String,
    #[diesel(sql_type = Text)]
    pub indicator: String,
    /// What is to be reached; `None`: each unit's own target.
    #[diesel(sql_type = Nullable<Double>)]
    pub value: Option<f64>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub campaign_id: Option<CampaignId>,
}

/// The next task by id that stands and is met by an indicator; for the program's own reckoning.
///
/// # Errors
/// What the database says.
pub async fn next_measured(tx: &mut Tx, after: TaskId) -> QueryResult<Option<MeasuredTask>> {
    statement(
        "SELECT k.id, k.unit_id, k.level, m.indicator, m.value, m.campaign_id
         FROM task_measures m JOIN tasks k ON k.id = m.task_id
         WHERE k.cancelled_at IS NULL AND m.task_id > $1 ORDER BY m.task_id LIMIT 1",
    )
    .bind::<Integer, _>(after)
    .get_result(tx)
    .await
    .optional()
}

/// Notes which indicator meets a task that was set in the same write.
pub async fn insert_measure(
    tx: &mut Tx,
    _permit: &Permit<TaskWrite>,
    id: TaskId,
    measure: &NewTaskMeasure,
) -> QueryResult<()> {
    statement("INSERT INTO task_measures (task_id, indicator, value, campaign_id) VALUES ($1, $2, $3, $4)")
        .bind::<Integer, _>(id)
        .bind::<Text, _>(&measure.indicator)
        .bind::<Nullable<Double>, _>(measure.value)
        .bind::<Nullable<Integer>, _>(measure.campaign_id)
        .execute(tx)
        .await
        .map(|_| ())
}

/// Notes that all units of a task were measured.
///
/// # Errors
/// What the database says.
pub async fn note_measured(tx: &mut Tx, permit: &Permit<TaskWrite>, id: TaskId) -> QueryResult<()> {
    statement("UPDATE task_measures SET measured_at = $1 WHERE task_id = $2")
        .bind::<Timestamptz, _>(permit.actor().at)
        .bind::<Integer, _>(id)
        .execute(tx)
        .await
        .map(|_| ())
}

/// A unit that met a task, or no longer does, and the units that are charged with that.
#[derive(Clone, Debug, QueryableByName)]
pub struct ChargedRow {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    /// As those of a report: its lineage on the day on which the task was set, without the nation; none if the task was not
    /// for it then.
    #[diesel(sql_type = Array<Integer>)]
    pub unit_ids: Vec<UnitId>,
}

macro_rules! charged {
    ($changed:literal) => {
        concat!(
            "WITH f AS NOT MATERIALIZED (SELECT $1::int AS task_id, $2::timestamptz AS at, $3::int[] AS units),
                  changed AS (",
            $changed,
            ")
             SELECT c.state_id, c.unit_id, ARRAY(
                 SELECT a.id FROM tasks k
                 JOIN lineages l ON l.unit_id = c.unit_id AND l.valid_from <= k.set_on
                      AND (l.valid_to IS NULL OR l.valid_to > k.set_on)
                 CROSS JOIN LATERAL unnest(l.unit_ids) AS a (id) JOIN units u ON u.id = a.id AND u.level <> 'nation'
                 WHERE k.id = f.task_id AND k.unit_id = ANY (l.unit_ids) AND (k.seats IS NULL OR l.unit_ids && k.seats)
                 ORDER BY a.id) AS unit_ids
             FROM f, changed c ORDER BY c.unit_id"
        )
    };
}

/// Lets these units meet the task; those that did not before.
pub async fn begin_met(
    tx: &mut Tx,
    permit: &Permit<TaskWrite>,
    id: TaskId,
    units: &[UnitId],
) -> QueryResult<Vec<ChargedRow>> {
    statement(charged!(
        "INSERT INTO task_units (state_id, unit_id, task_id, status, counted_at, judged_at)
         SELECT u.state_id, u.id, f.task_id, 'verified', f.at, f.at FROM f JOIN units u ON u.id = ANY (f.units)
         ON CONFLICT (state_id, unit_id, task_id) DO NOTHING RETURNING state_id, unit_id"
    ))
    .bind::<Integer, _>(id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Array<Integer>, _>(units)
    .load(tx)
    .await
}

/// Lets these units meet the task no longer; those that did.
pub async fn end_met(
    tx: &mut Tx,
    permit: &Permit<TaskWrite>,
    id: TaskId,
    units: &[UnitId],
) -> QueryResult<Vec<ChargedRow>> {
    statement(charged!(
        "DELETE FROM task_units s USING f WHERE s.task_id = f.task_id AND s.unit_id = ANY (f.units) AND s.report_id IS NULL
         RETURNING s.state_id, s.unit_id"
    ))
    .bind::<Integer, _>(id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Array<Integer>, _>(units)
    .load(tx)
    .await
}

#[derive(QueryableByName)]
struct FoundRow {
    #[diesel(sql_type = Bool)]
    found: bool,
}

/// Whether a campaign runs at the permit's unit, above it or below it.
pub async fn is_campaign_here(
    tx: &mut Tx,
    permit: &Permit<TaskWrite>,
    today: NaiveDate,
    id: CampaignId,
) -> QueryResult<bool> {
    let row: FoundRow = statement(
        "SELECT count(*) > 0 AS found FROM (SELECT $1::int AS unit_id, $2::int[] AS lineage, $3::date AS today) a,
                campaigns c JOIN lineages l ON l.unit_id = c.unit_id
         WHERE c.id = $4 AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
           AND (c.unit_id = ANY (a.lineage) OR a.unit_id = ANY (l.unit_ids))",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Array<Integer>, _>(permit.lineage())
    .bind::<Date, _>(today)
    .bind::<Integer, _>(id)
    .get_result(tx)
    .await?;
    Ok(row.found)
}
