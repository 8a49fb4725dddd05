//! Rules, and reading grades; grading has a room of its own.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Date, Double, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::wire::{GradeRule, NewGradeRule};
use crate::access::Permit;
use crate::access::actions::{StrengthGrade, StrengthRead, StrengthRule};
use crate::platform::db::Tx;
use crate::platform::ids::{UnitId, WorkerId};
use crate::platform::statement::statement;
use crate::platform::stored::Stored;

pub mod grading;

/// A version of a rule.
#[derive(Clone, Debug, QueryableByName)]
pub struct RuleRow {
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Jsonb)]
    pub rule: Stored<GradeRule>,
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = Nullable<Integer>)]
    pub made_by: Option<WorkerId>,
    #[diesel(sql_type = Timestamptz)]
    pub made_at: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    pub counts: bool,
}

/// The rules of a state and of the nation; which of them counts in the state.
pub async fn rules_of(tx: &mut Tx, state_id: UnitId) -> QueryResult<Vec<RuleRow>> {
    statement(
        "SELECT r.unit_id, r.version, r.rule, r.reason, r.made_by, r.made_at,
                row_number() OVER (ORDER BY r.unit_id = a.state_id DESC, r.version DESC) = 1 AS counts
         FROM (SELECT $1::int AS state_id) a
         JOIN strength_rules r ON r.unit_id IN (a.state_id, (SELECT id FROM units WHERE level = 'nation'))
         ORDER BY r.unit_id = a.state_id DESC, r.version DESC LIMIT 1000",
    )
    .bind::<Integer, _>(state_id)
    .load(tx)
    .await
}

/// One version of a unit's rule.
pub async fn find_rule(tx: &mut Tx, unit_id: UnitId, version: i32) -> QueryResult<Option<RuleRow>> {
    statement(
        "SELECT unit_id, version, rule, reason, made_by, made_at, true AS counts FROM strength_rules
         WHERE unit_id = $1 AND version = $2",
    )
    .bind::<Integer, _>(unit_id)
    .bind::<Integer, _>(version)
    .get_result(tx)
    .await
    .optional()
}

/// Stores the next version of a unit's rule. The unit is held, so that two are numbered one after the other.
pub async fn insert_rule(
    tx: &mut Tx,
    permit: &Permit<StrengthRule>,
    new: &NewGradeRule,
) -> QueryResult<RuleRow> {
    statement("SELECT id FROM units WHERE id = $1 FOR NO KEY UPDATE")
        .bind::<Integer, _>(permit.unit_id())
        .execute(tx)
        .await?;
    statement(
        "INSERT INTO strength_rules (unit_id, version, rule, reason, made_by, made_at)
         SELECT n.unit_id, 1 + coalesce((SELECT max(version) FROM strength_rules r WHERE r.unit_id = n.unit_id), 0),
                $1, $2, $3, $4
         FROM (SELECT $5::int AS unit_id) n
         RETURNING unit_id, version, rule, reason, made_by, made_at, true AS counts",
    )
    .bind::<Jsonb, _>(serde_json::to_value(&new.rule).unwrap_or_default())
    .bind::<Text, _>(&new.reason)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Integer, _>(permit.unit_id())
    .get_result(tx)
    .await
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
}

/// Has the permit's state, or every state that stands today, graded from the start.
pub async fn request(
    tx: &mut Tx,
    permit: &Permit<StrengthGrade>,
    today: NaiveDate,
) -> QueryResult<Vec<UnitId>> {
    let rows: Vec<IdRow> = statement(
        "INSERT INTO grading_runs AS r (state_id, day, after_id)
         SELECT s.id, a.today, 0 FROM (SELECT $1::date AS today, $2::int AS unit_id) a
         JOIN units u ON u.id = a.unit_id
         JOIN units s ON s.level = 'state' AND (u.level = 'nation' OR s.id = u.id)
         JOIN lineages l ON l.unit_id = s.id AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
         ORDER BY s.id
         ON CONFLICT (state_id) DO UPDATE SET day = excluded.day, after_id = 0, finished_at = NULL
         RETURNING state_id AS id",
    )
    .bind::<Date, _>(today)
    .bind::<Integer, _>(permit.unit_id())
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// What a report covers.
#[derive(Clone, Copy, Debug)]
pub struct StrengthAsk<'a> {
    /// By units of this level.
    pub level: &'a str,
    pub seats: Option<&'a [UnitId]>,
    pub since: NaiveDate,
}

/// Grades of one kind under a unit.
#[derive(Clone, Debug, QueryableByName)]
pub struct StrengthRow {
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    /// `booth` or `mandal`.
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = BigInt)]
    pub a: i64,
    #[diesel(sql_type = BigInt)]
    pub b: i64,
    #[diesel(sql_type = BigInt)]
    pub c: i64,
    #[diesel(sql_type = BigInt)]
    pub d: i64,
    #[diesel(sql_type = BigInt)]
    pub rose: i64,
    #[diesel(sql_type = BigInt)]
    pub fell: i64,
    #[diesel(sql_type = Date)]
    pub finished_day: NaiveDate,
}

// Of what lies under the unit: known by the columns of what lay above a booth or mandal when it was graded, and of single
// ones by their own. Mandals cut across seats: one belongs to those in which it has a booth.
macro_rules! within {
    ($rows:literal) => {
        within!($rows, "")
    };
    ($rows:literal, $own:literal) => {
        concat!(
            "(a.unit_level = 'nation' OR a.unit_id IN (",
            $own,
            $rows,
            ".state_id, ",
            $rows,
            ".district_id, ",
            $rows,
            ".mandal_id, ",
            $rows,
            ".pc_id, ",
            $rows,
            ".ac_id)
              OR (",
            $rows,
            ".level = 'mandal' AND a.unit_level IN ('parliamentary_constituency', 'assembly_constituency')
                  AND ",
            $rows,
            ".mandal_id IN (SELECT mandal_id FROM seated_in_unit)))
             AND (a.seats IS NULL OR ",
            $rows,
            ".pc_id = ANY (a.seats) OR ",
            $rows,
            ".ac_id = ANY (a.seats)
                  OR (",
            $rows,
            ".level = 'mandal' AND ",
            $rows,
            ".mandal_id IN (SELECT mandal_id FROM seated)))"
        )
    };
}

// The grade on a day is the one before the first change since; mostly that is the last change, which stands with the grade.
// Who had none then has neither risen nor fallen.
macro_rules! asked {
    () => {
        "WITH a AS NOT MATERIALIZED (
             SELECT $1::int AS unit_id, $2::text AS unit_level, $3::int[] AS seats, $4::date AS since, $5::int[] AS states),
         seated AS MATERIALIZED (
             SELECT DISTINCT t.mandal_id FROM a JOIN strength_tallies t ON t.state_id = ANY (a.states) AND t.level = 'booth'
                 AND (t.pc_id = ANY (a.seats) OR t.ac_id = ANY (a.seats))),
         seated_in_unit AS MATERIALIZED (
             SELECT DISTINCT t.mandal_id FROM a JOIN strength_tallies t ON t.state_id = ANY (a.states) AND t.level = 'booth'
                 AND a.unit_id IN (t.pc_id, t.ac_id)),
         moved AS NOT MATERIALIZED (
             SELECT s.*, f.grade AS from_grade, s.grade AS to_grade
             FROM a JOIN strengths s ON s.state_id = ANY (a.states) AND s.changed_on > a.since
             CROSS JOIN LATERAL (
                 SELECT CASE WHEN s.settled_on IS NULL OR s.settled_on <= a.since THEN s.previous ELSE (
                     SELECT c.previous FROM grade_changes c WHERE c.unit_id = s.unit_id AND c.graded_on > a.since
                     ORDER BY c.graded_on LIMIT 1) END AS grade OFFSET 0) f
             WHERE f.grade <> s.grade)"
    };
}

// The unit of the level asked for above a row.
macro_rules! group_of {
    ($rows:literal) => {
        concat!(
            "CASE p.level WHEN 'state' THEN ",
            $rows,
            ".state_id WHEN 'district' THEN ",
            $rows,
            ".district_id WHEN 'mandal' THEN ",
            $rows,
            ".mandal_id WHEN 'parliamentary_constituency' THEN ",
            $rows,
            ".pc_id ELSE ",
            $rows,
            ".ac_id END"
        )
    };
}

const REPORT: &str = concat!(
    asked!(),
    ", p AS NOT MATERIALIZED (SELECT $6::text AS level),
     counted AS (
         SELECT ",
    group_of!("t"),
    " AS id, t.level AS kind, t.grade, t.units, 0 AS rose, 0 AS fell
         FROM a, p, strength_tallies t WHERE t.state_id = ANY (a.states) AND ",
    within!("t"),
    " UNION ALL
         SELECT s.unit_id, s.level, s.grade, 1, 0, 0 FROM a, p, strengths s WHERE p.level = 'booth' AND s.unit_id = a.unit_id
         UNION ALL
         SELECT x.id, x.kind, '', 0, count(*) FILTER (WHERE x.rose)::int, count(*) FILTER (WHERE NOT x.rose)::int
         FROM (
             SELECT CASE p.level WHEN 'booth' THEN m.unit_id ELSE ",
    group_of!("m"),
    " END AS id, m.level AS kind, m.to_grade < m.from_grade AS rose
             FROM a, p, moved m WHERE ",
    within!("m", "m.unit_id, "),
    ") x GROUP BY x.id, x.kind),
     summed AS MATERIALIZED (
         SELECT c.id, c.kind,
                coalesce(sum(c.units) FILTER (WHERE c.grade = 'A'), 0)::bigint AS a,
                coalesce(sum(c.units) FILTER (WHERE c.grade = 'B'), 0)::bigint AS b,
                coalesce(sum(c.units) FILTER (WHERE c.grade = 'C'), 0)::bigint AS c,
                coalesce(sum(c.units) FILTER (WHERE c.grade = 'D'), 0)::bigint AS d,
                sum(c.rose)::bigint AS rose, sum(c.fell)::bigint AS fell
         FROM counted c GROUP BY c.id, c.kind)
     SELECT u.id AS unit_id, u.code, u.name, s.kind, s.a, s.b, s.c, s.d, s.rose, s.fell, g.finished_day
     FROM summed s JOIN units u ON u.id = s.id JOIN grading_runs g ON g.state_id = u.state_id ORDER BY u.id"
);

/// The grades under the permit's unit, by units of a level.
pub async fn strength(
    tx: &mut Tx,
    permit: &Permit<StrengthRead>,
    ask: StrengthAsk<'_>,
) -> QueryResult<Vec<StrengthRow>> {
    let states = states_of(tx, permit).await?;
    statement(REPORT)
        .planned_anew()
        .bind::<Integer, _>(permit.unit_id())
        .bind::<Text, _>(permit.level())
        .bind::<Nullable<Array<Integer>>, _>(ask.seats)
        .bind::<Date, _>(ask.since)
        .bind::<Array<Integer>, _>(&states)
        .bind::<Text, _>(ask.level)
        .load(tx)
        .await
}

/// A booth or mandal whose grade is another.
#[derive(Clone, Debug, QueryableByName)]
pub struct ChangeRow {
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub level: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub from_grade: String,
    #[diesel(sql_type = Text)]
    pub to_grade: String,
    #[diesel(sql_type = Date)]
    pub graded_on: NaiveDate,
}

/// The booths and mandals under the permit's unit that rose or fell, by unit.
pub async fn changes(
    tx: &mut Tx,
    permit: &Permit<StrengthRead>,
    ask: StrengthAsk<'_>,
    rose: Option<bool>,
    after: Option<UnitId>,
    limit: i64,
) -> QueryResult<Vec<ChangeRow>> {
    let states = states_of(tx, permit).await?;
    statement(concat!(
        asked!(),
        " SELECT m.unit_id, u.code, m.level, u.name, m.from_grade, m.to_grade, m.changed_on AS graded_on
          FROM a, moved m JOIN units u ON u.id = m.unit_id
          WHERE ",
        within!("m", "m.unit_id, "),
        " AND (m.to_grade < m.from_grade) = coalesce($6, m.to_grade < m.from_grade) AND m.unit_id > coalesce($7, 0)
          ORDER BY m.unit_id LIMIT $8"
    ))
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Text, _>(permit.level())
    .bind::<Nullable<Array<Integer>>, _>(ask.seats)
    .bind::<Date, _>(ask.since)
    .bind::<Array<Integer>, _>(&states)
    .bind::<Nullable<Bool>, _>(rose)
    .bind::<Nullable<Integer>, _>(after)
    .bind::<BigInt, _>(limit + 1)
    .planned_anew()
    .load(tx)
    .await
}

/// A grade from a day on.
#[derive(Clone, Debug, QueryableByName)]
pub struct HistoryRow {
    #[diesel(sql_type = Date)]
    pub graded_on: NaiveDate,
    #[diesel(sql_type = Nullable<Text>)]
    pub grade: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub previous: Option<String>,
    #[diesel(sql_type = Nullable<Double>)]
    pub score: Option<f64>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub rule_unit_id: Option<UnitId>,
    #[diesel(sql_type = Integer)]
    pub rule_version: i32,
}

/// The grades of the permit's unit, the newest first.
pub async fn history(
    tx: &mut Tx,
    permit: &Permit<StrengthRead>,
    before: Option<NaiveDate>,
    limit: i64,
) -> QueryResult<Vec<HistoryRow>> {
    statement(
        "SELECT graded_on, grade, previous, score, rule_unit_id, rule_version FROM grade_changes
         WHERE unit_id = $1 AND graded_on < coalesce($2, 'infinity'::date) ORDER BY graded_on DESC LIMIT $3",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Nullable<Date>, _>(before)
    .bind::<BigInt, _>(limit + 1)
    .load(tx)
    .await
}

async fn states_of<A>(tx: &mut Tx, permit: &Permit<A>) -> QueryResult<Vec<UnitId>> {
    if permit.level() != "nation" {
        return Ok(vec![permit.state_id()]);
    }
    let rows: Vec<IdRow> = statement("SELECT id FROM units WHERE level = 'state' ORDER BY id")
        .load(tx)
        .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
