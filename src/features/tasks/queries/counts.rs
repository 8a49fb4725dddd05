//! What counting tasks at units needs: who they concern, how many units lie where, what is charged, and what has moved.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Date, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::super::rules::{Audience, Root};
use crate::access::Permit;
use crate::features::units::Level;
use crate::journal::WorkCounters;
use crate::platform::db::Tx;
use crate::platform::ids::{TaskId, UnitId};
use crate::platform::statement::statement;

/// A task that stands and may concern units under the one that is asked about.
#[derive(Clone, Debug, QueryableByName)]
pub struct ConcernRow {
    #[diesel(sql_type = Integer)]
    pub id: TaskId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Text)]
    pub level: String,
    #[diesel(sql_type = Text)]
    pub title: String,
    #[diesel(sql_type = Date)]
    pub due_on: NaiveDate,
    #[diesel(sql_type = Nullable<Array<Integer>>)]
    pub seats: Option<Vec<UnitId>>,
    #[diesel(sql_type = Text)]
    pub setter_level: String,
    #[diesel(sql_type = Array<Integer>)]
    pub setter_lineage: Vec<UnitId>,
}

impl ConcernRow {
    /// For whom it is.
    pub fn audience(&self) -> Audience {
        Audience {
            setter: self.unit_id,
            setter_level: Level::find(&self.setter_level).unwrap_or(Level::Booth),
            setter_lineage: self.setter_lineage.iter().copied().collect(),
            seats: self.seats.as_ref().map(|seats| seats.iter().copied().collect()),
        }
    }
}

/// Which tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Which {
    pub task_id: Option<TaskId>,
    pub due_from: Option<NaiveDate>,
    pub due_to: Option<NaiveDate>,
}

// At a state or the nation, every task set there, below or above; elsewhere those set by a unit in the lineage of anything
// under the unit, which is whoever shares a booth with it.
const CONCERNS: &str = "
    WITH f AS NOT MATERIALIZED (
        SELECT $1::int AS unit_id, $2::int AS state_id, $3::text AS level, $4::date AS today, $5::int AS task_id,
               $6::date AS due_from, $7::date AS due_to
    ), near AS MATERIALIZED (
        SELECT DISTINCT a.id FROM f, lineages l, unnest(l.unit_ids) AS a (id)
        WHERE f.level NOT IN ('nation', 'state') AND l.unit_ids @> ARRAY[f.unit_id]
          AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
    )
    SELECT k.id, k.unit_id, k.level, k.title, k.due_on, k.seats, u.level AS setter_level, l.unit_ids AS setter_lineage
    FROM f CROSS JOIN tasks k JOIN units u ON u.id = k.unit_id
    JOIN lineages l ON l.unit_id = k.unit_id AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
    WHERE k.cancelled_at IS NULL AND k.set_on <= f.today
      AND (f.level = 'nation' OR (f.level = 'state' AND (k.state_id = f.state_id OR u.level = 'nation'))
           OR k.unit_id IN (SELECT id FROM near))
      AND k.id = coalesce(f.task_id, k.id)
      AND k.due_on BETWEEN coalesce(f.due_from, k.due_on) AND coalesce(f.due_to, k.due_on)
    ORDER BY k.id";

/// The tasks that stand, were set by this day and may concern units under the permit's, by id.
pub async fn concerned_tasks<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    today: NaiveDate,
    which: Which,
) -> QueryResult<Vec<ConcernRow>> {
    statement(CONCERNS)
        .bind::<Integer, _>(permit.unit_id())
        .bind::<Integer, _>(permit.state_id())
        .bind::<Text, _>(permit.level())
        .bind::<Date, _>(today)
        .bind::<Nullable<Integer>, _>(which.task_id)
        .bind::<Nullable<Date>, _>(which.due_from)
        .bind::<Nullable<Date>, _>(which.due_to)
        .load(tx)
        .await
}

#[derive(QueryableByName)]
struct RootRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = Text)]
    level: String,
    #[diesel(sql_type = Array<Integer>)]
    unit_ids: Vec<UnitId>,
}

impl From<RootRow> for Root {
    fn from(row: RootRow) -> Self {
        Self {
            id: row.id,
            state_id: row.state_id,
            level: Level::find(&row.level).unwrap_or(Level::Booth),
            lineage: row.unit_ids.into_iter().collect(),
        }
    }
}

/// Those of these units that lie under the permit's today, each with its lineage; without units: every state under it, or
/// itself where it lies in one.
pub async fn load_roots<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    today: NaiveDate,
    units: Option<&[UnitId]>,
) -> QueryResult<Vec<Root>> {
    let own = [permit.unit_id()];
    let units = if units.is_none() && permit.level() != "nation" {
        Some(&own[..])
    } else {
        units
    };
    let rows: Vec<RootRow> = statement(
        "WITH f AS NOT MATERIALIZED (SELECT $1::date AS today, $2::int AS under, $3::int[] AS units)
         SELECT u.id, u.state_id, u.level, l.unit_ids
         FROM f CROSS JOIN units u JOIN lineages l ON l.unit_id = u.id
         WHERE u.id = ANY (coalesce(f.units, ARRAY(SELECT s.id FROM units s WHERE s.level = 'state')))
           AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today) AND f.under = ANY (l.unit_ids)
         ORDER BY u.id",
    )
    .bind::<Date, _>(today)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Nullable<Array<Integer>>, _>(units)
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(Root::from).collect())
}

/// The lineages of seats that tasks name, for the program's own reckoning.
pub async fn lineages_of_seats(
    tx: &mut Tx,
    today: NaiveDate,
    seats: &[UnitId],
) -> QueryResult<BTreeMap<UnitId, BTreeSet<UnitId>>> {
    let rows: Vec<RootRow> = statement(
        "SELECT u.id, u.state_id, u.level, l.unit_ids
         FROM (SELECT $1::date AS today) f CROSS JOIN units u JOIN lineages l ON l.unit_id = u.id
              AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
         WHERE u.id = ANY ($2)",
    )
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(seats)
    .load(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, row.unit_ids.into_iter().collect()))
        .collect())
}

#[derive(QueryableByName)]
struct LevelRow {
    #[diesel(sql_type = Integer)]
    unit_id: UnitId,
    #[diesel(sql_type = Text)]
    level: String,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// How many units of each level lie under these units on a day, themselves included.
pub async fn count_levels(
    tx: &mut Tx,
    day: NaiveDate,
    units: &[UnitId],
) -> QueryResult<BTreeMap<(UnitId, String), i64>> {
    let rows: Vec<LevelRow> = statement(
        "SELECT unit_id, level, sum(change)::bigint AS n FROM level_counts
         WHERE unit_id = ANY ($1) AND day <= $2 GROUP BY unit_id, level",
    )
    .bind::<Array<Integer>, _>(units)
    .bind::<Date, _>(day)
    .load(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ((row.unit_id, row.level), row.n))
        .collect())
}

/// A number for a unit and a task.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct CrossRow {
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub task_id: TaskId,
    #[diesel(sql_type = BigInt)]
    pub n: i64,
}

const CROSSING: &str = "
    WITH f AS NOT MATERIALIZED (SELECT $1::date AS today, $2::int[] AS roots, $3::int[] AS tasks),
         r AS MATERIALIZED (SELECT unnest(f.roots) AS unit_id FROM f)
    SELECT r.unit_id, k.id AS task_id, count(*) AS n
    FROM f CROSS JOIN r
    JOIN lineages l ON l.unit_ids @> ARRAY[r.unit_id] AND l.valid_from <= f.today
                   AND (l.valid_to IS NULL OR l.valid_to > f.today)
    JOIN units x ON x.id = l.unit_id
    CROSS JOIN LATERAL unnest(l.unit_ids) AS a (id)
    JOIN tasks k ON k.unit_id = a.id AND k.level = x.level AND k.id = ANY (f.tasks)
                AND (k.seats IS NULL OR l.unit_ids && k.seats)
    GROUP BY r.unit_id, k.id";

/// How many units under each of these roots each of these tasks is for, counted one by one.
pub async fn count_crossing(
    tx: &mut Tx,
    today: NaiveDate,
    roots: &[UnitId],
    tasks: &[TaskId],
) -> QueryResult<Vec<CrossRow>> {
    statement(CROSSING)
        .bind::<Date, _>(today)
        .bind::<Array<Integer>, _>(roots)
        .bind::<Array<Integer>, _>(tasks)
        .load(tx)
        .await
}

/// How many units stand how, for a unit and a task.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct WorkRow {
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub task_id: TaskId,
    #[diesel(embed)]
    pub work: WorkCounters,
}

const CHARGED: &str = "
    WITH r AS MATERIALIZED (SELECT * FROM unnest($1::int[], $2::int[]) AS r (state_id, unit_id))
    SELECT x.unit_id, x.task_id, sum(x.accepted)::bigint AS accepted, sum(x.done)::bigint AS done,
           sum(x.verified)::bigint AS verified, sum(x.returned)::bigint AS returned
    FROM (
        SELECT r.unit_id, t.task_id, t.accepted, t.done, t.verified, t.returned
        FROM r JOIN task_totals t ON t.state_id = r.state_id AND t.unit_id = r.unit_id
        UNION ALL
        SELECT r.unit_id, i.task_id, i.accepted, i.done, i.verified, i.returned
        FROM r JOIN task_tally_inbox i ON i.state_id = r.state_id AND r.unit_id = ANY (i.unit_ids)
    ) x GROUP BY x.unit_id, x.task_id";

/// What is charged to these roots, posted or not: by the lineages of the days on which the tasks were set.
pub async fn charged(tx: &mut Tx, roots: &[Root]) -> QueryResult<Vec<WorkRow>> {
    statement(CHARGED)
        .bind::<Array<Integer>, _>(roots.iter().map(|root| root.state_id).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(roots.iter().map(|root| root.id).collect::<Vec<_>>())
        .load(tx)
        .await
}

const CHARGED_SUMS: &str = "
    WITH f AS NOT MATERIALIZED (SELECT $1::int[] AS states, $2::int[] AS roots, $3::int[] AS tasks, $4::int[] AS like_tasks),
         k AS MATERIALIZED (SELECT k.* FROM f, unnest(f.tasks, f.like_tasks) AS k (task_id, like_id))
    SELECT x.unit_id, k.like_id AS task_id, sum(x.accepted)::bigint AS accepted, sum(x.done)::bigint AS done,
           sum(x.verified)::bigint AS verified, sum(x.returned)::bigint AS returned
    FROM (
        SELECT t.unit_id, t.task_id, t.accepted, t.done, t.verified, t.returned
        FROM f JOIN task_totals t ON t.state_id = ANY (f.states) AND t.unit_id = ANY (f.roots)
        UNION ALL
        SELECT u.id, i.task_id, i.accepted, i.done, i.verified, i.returned
        FROM f JOIN task_tally_inbox i ON i.state_id = ANY (f.states) CROSS JOIN unnest(i.unit_ids) AS u (id)
        WHERE u.id = ANY (f.roots)
    ) x JOIN k ON k.task_id = x.task_id GROUP BY x.unit_id, k.like_id";

/// What is charged to these roots, posted or not, of some tasks; each task counts as the one that it is like.
pub async fn charged_sums(
    tx: &mut Tx,
    roots: &[Root],
    like: &BTreeMap<TaskId, TaskId>,
) -> QueryResult<Vec<WorkRow>> {
    let states: BTreeSet<UnitId> = roots.iter().map(|root| root.state_id).collect();
    statement(CHARGED_SUMS)
        .planned_anew()
        .bind::<Array<Integer>, _>(states.into_iter().collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(roots.iter().map(|root| root.id).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(like.keys().copied().collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(like.values().copied().collect::<Vec<_>>())
        .load(tx)
        .await
}

// Only units whose lineage has ever changed can stand elsewhere today than they were charged.
const MOVED: &str = "
    WITH f AS NOT MATERIALIZED (
        SELECT $1::date AS today, $2::int[] AS states, $3::int[] AS roots, $4::int[] AS tasks
    ), moved AS MATERIALIZED (
        SELECT DISTINCT e.unit_id, e.state_id FROM f, lineages e
        WHERE e.valid_to IS NOT NULL AND e.state_id = ANY (f.states)
    ), standings AS MATERIALIZED (
        SELECT k.id AS task_id, s.status,
               CASE WHEN k.unit_id = ANY (c.unit_ids) AND (k.seats IS NULL OR c.unit_ids && k.seats)
                    THEN c.unit_ids ELSE '{}' END AS now,
               CASE WHEN k.unit_id = ANY (b.unit_ids) AND (k.seats IS NULL OR b.unit_ids && k.seats)
                    THEN b.unit_ids ELSE '{}' END AS then
        FROM f CROSS JOIN moved m
        JOIN task_units s ON s.state_id = m.state_id AND s.unit_id = m.unit_id AND s.task_id = ANY (f.tasks)
        JOIN tasks k ON k.id = s.task_id
        JOIN lineages c ON c.unit_id = m.unit_id AND c.valid_from <= f.today AND (c.valid_to IS NULL OR c.valid_to > f.today)
        JOIN lineages b ON b.unit_id = m.unit_id AND b.valid_from <= k.set_on
                       AND (b.valid_to IS NULL OR b.valid_to > k.set_on)
    )
    SELECT d.id AS unit_id, s.task_id,
           sum(d.sign * (s.status IN ('accepted', 'in_progress'))::int)::bigint AS accepted,
           sum(d.sign * (s.status IN ('done', 'verified'))::int)::bigint AS done,
           sum(d.sign * (s.status = 'verified')::int)::bigint AS verified,
           sum(d.sign * (s.status = 'returned')::int)::bigint AS returned
    FROM f CROSS JOIN standings s
    CROSS JOIN LATERAL (SELECT unnest(s.now) AS id, 1 AS sign UNION ALL SELECT unnest(s.then), -1) AS d
    WHERE s.now <> s.then AND d.id = ANY (f.roots)
    GROUP BY d.id, s.task_id";

/// What these roots have more or less today than is charged to them, by what moved since these tasks were set.
pub async fn moved_since(
    tx: &mut Tx,
    today: NaiveDate,
    roots: &[Root],
    tasks: &[TaskId],
) -> QueryResult<Vec<WorkRow>> {
    let states: BTreeSet<UnitId> = roots.iter().map(|root| root.state_id).collect();
    statement(MOVED)
        .bind::<Date, _>(today)
        .bind::<Array<Integer>, _>(states.into_iter().collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(roots.iter().map(|root| root.id).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(tasks)
        .load(tx)
        .await
}

#[derive(Clone, Debug, QueryableByName)]
pub struct ChildRow {
    #[diesel(sql_type = Integer)]
    pub id: UnitId,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub level: String,
    #[diesel(sql_type = Text)]
    pub name: String,
}

const CHILDREN: &str = "
    WITH f AS NOT MATERIALIZED (SELECT $1::int AS unit_id, $2::text AS level, $3::date AS today, $4::int[] AS seats),
         every AS NOT MATERIALIZED (
             SELECT u.* FROM f, lineages l JOIN units u ON u.id = l.unit_id
             WHERE f.level IS NOT NULL AND l.unit_ids @> ARRAY[f.unit_id] AND u.level = f.level AND u.id <> f.unit_id
               AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
             UNION
             SELECT u.* FROM f, placements p JOIN units u ON u.id = p.unit_id
             WHERE f.level IS NULL AND p.parent_id = f.unit_id
               AND p.valid_from <= f.today AND (p.valid_to IS NULL OR p.valid_to > f.today)
         )
    SELECT e.id, e.code, e.level, e.name FROM f, every e
    WHERE e.id > coalesce($5, 0) AND (f.seats IS NULL OR EXISTS (
        SELECT 1 FROM lineages l WHERE l.unit_id = e.id AND l.unit_ids && f.seats
           AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)))
    ORDER BY e.id LIMIT $6";

/// The units of a level under the permit's (without a level: straight below it), by id.
pub async fn list_children<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    today: NaiveDate,
    (level, seats): (Option<Level>, Option<&[UnitId]>),
    after: Option<UnitId>,
    limit: i64,
) -> QueryResult<Vec<ChildRow>> {
    statement(CHILDREN)
        .bind::<Integer, _>(permit.unit_id())
        .bind::<Nullable<Text>, _>(level.map(Level::as_str))
        .bind::<Date, _>(today)
        .bind::<Nullable<Array<Integer>>, _>(seats)
        .bind::<Nullable<Integer>, _>(after)
        .bind::<BigInt, _>(limit)
        .load(tx)
        .await
}
