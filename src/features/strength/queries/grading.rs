//! Grading in steps: which state comes next, its booths and mandals, and what is stored of them. What is found waits in
//! `grades_under_way`, where no reader looks, until the grading is done.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Date, Double, Integer, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use crate::access::Permit;
use crate::access::actions::StrengthGrade;
use crate::features::measures::ChildRow;
use crate::platform::db::Tx;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;

/// The turn in which grades are made.
pub const GRADING_TURN: i64 = 0x5341_0008;

/// A grading under way.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct RunRow {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = Date)]
    pub day: NaiveDate,
    #[diesel(sql_type = Integer)]
    pub after_id: UnitId,
    /// The rule with which it began: that of this unit, …
    #[diesel(sql_type = Nullable<Integer>)]
    pub rule_unit_id: Option<UnitId>,
    /// … in this version. Of one that has not begun, what the grading before had.
    #[diesel(sql_type = Nullable<Integer>)]
    pub rule_version: Option<i32>,
}

impl RunRow {
    /// Whether nothing has been graded in it yet.
    #[must_use]
    pub const fn begins(&self) -> bool {
        self.after_id.0 == 0
    }
}

/// The grading to go on with, or to begin: of states not graded today yet, and of those for which it was asked. A state
/// that stands nowhere on the day is passed over, or it would hold up those behind it.
pub async fn next_run(tx: &mut Tx, today: NaiveDate) -> QueryResult<Option<RunRow>> {
    statement(
        "INSERT INTO grading_runs AS r (state_id, day, after_id)
         SELECT s.id, a.today, 0 FROM (SELECT $1::date AS today) a, units s LEFT JOIN grading_runs g ON g.state_id = s.id
         CROSS JOIN LATERAL (
             SELECT CASE WHEN g.finished_at IS NULL AND g.after_id > 0 THEN g.day ELSE a.today END AS day) d
         WHERE s.level = 'state' AND (g.state_id IS NULL OR g.day < a.today OR g.finished_at IS NULL)
           AND EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = s.id AND l.valid_from <= d.day
                           AND (l.valid_to IS NULL OR l.valid_to > d.day))
         ORDER BY g.finished_at IS NULL AND g.state_id IS NOT NULL DESC, s.id LIMIT 1
         ON CONFLICT (state_id) DO UPDATE SET
             after_id = CASE WHEN r.finished_at IS NULL THEN r.after_id ELSE 0 END,
             day = CASE WHEN r.finished_at IS NULL AND r.after_id > 0 THEN r.day ELSE excluded.day END,
             finished_at = NULL
         RETURNING state_id, day, after_id, rule_unit_id, rule_version",
    )
    .bind::<Date, _>(today)
    .get_result(tx)
    .await
    .optional()
}

/// Begins the grading of the permit's state by a rule, which it keeps to its end; what an earlier one left is dropped.
pub async fn begin(
    tx: &mut Tx,
    permit: &Permit<StrengthGrade>,
    (rule_unit_id, rule_version): (Option<UnitId>, i32),
) -> QueryResult<()> {
    statement("DELETE FROM grades_under_way WHERE state_id = $1")
        .bind::<Integer, _>(permit.state_id())
        .execute(tx)
        .await?;
    statement("UPDATE grading_runs SET rule_unit_id = $1, rule_version = $2 WHERE state_id = $3")
        .bind::<Nullable<Integer>, _>(rule_unit_id)
        .bind::<Integer, _>(rule_version)
        .bind::<Integer, _>(permit.state_id())
        .execute(tx)
        .await
        .map(|_| ())
}

/// A booth or mandal to grade, with what lies above it.
#[derive(Clone, Debug, QueryableByName)]
pub struct GradedUnit {
    #[diesel(embed)]
    pub unit: ChildRow,
    #[diesel(sql_type = Nullable<Integer>)]
    pub district_id: Option<UnitId>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub mandal_id: Option<UnitId>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub pc_id: Option<UnitId>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub ac_id: Option<UnitId>,
}

/// The next units of a level in the permit's state, by id.
pub async fn units_after(
    tx: &mut Tx,
    permit: &Permit<StrengthGrade>,
    level: &str,
    day: NaiveDate,
    after: UnitId,
    limit: i64,
) -> QueryResult<Vec<GradedUnit>> {
    statement(
        "SELECT u.id, u.state_id, u.code, u.level, u.name, l.unit_ids, x.district_id, x.mandal_id, x.pc_id, x.ac_id
         FROM (SELECT $1::date AS day) a, units u
         JOIN lineages l ON l.unit_id = u.id
         CROSS JOIN LATERAL (
             SELECT max(v.id) FILTER (WHERE v.level = 'district') AS district_id,
                    max(v.id) FILTER (WHERE v.level = 'mandal') AS mandal_id,
                    max(v.id) FILTER (WHERE v.level = 'parliamentary_constituency') AS pc_id,
                    max(v.id) FILTER (WHERE v.level = 'assembly_constituency') AS ac_id
             FROM units v WHERE v.id = ANY (l.unit_ids)) x
         WHERE u.level = $2 AND u.state_id = $3 AND u.id > $4
           AND l.valid_from <= a.day AND (l.valid_to IS NULL OR l.valid_to > a.day)
         ORDER BY u.id LIMIT $5",
    )
    .bind::<Date, _>(day)
    .bind::<Text, _>(level)
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(after)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

#[derive(Clone, Copy, Debug, QueryableByName)]
struct ScoreRow {
    #[diesel(sql_type = Integer)]
    mandal_id: UnitId,
    #[diesel(sql_type = Double)]
    score: f64,
}

/// The scores of the booths of the state's mandals, by the grading under way.
pub async fn booth_scores(tx: &mut Tx, permit: &Permit<StrengthGrade>) -> QueryResult<Vec<(UnitId, f64)>> {
    let rows: Vec<ScoreRow> = statement(
        "SELECT mandal_id, score FROM grades_under_way
         WHERE state_id = $1 AND level = 'booth' AND mandal_id IS NOT NULL ORDER BY unit_id",
    )
    .bind::<Integer, _>(permit.state_id())
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.mandal_id, row.score)).collect())
}

/// A grade to store.
#[derive(Clone, Copy, Debug)]
pub struct NewGrade<'a> {
    pub unit: &'a GradedUnit,
    pub score: f64,
    pub grade: &'static str,
}

/// Stores grades of the grading under way.
pub async fn store(tx: &mut Tx, _permit: &Permit<StrengthGrade>, grades: &[NewGrade<'_>]) -> QueryResult<()> {
    macro_rules! column {
        (|$grade:ident| $value:expr) => {
            grades.iter().map(|$grade| $value).collect::<Vec<_>>()
        };
    }
    statement(
        "INSERT INTO grades_under_way (unit_id, state_id, level, district_id, mandal_id, pc_id, ac_id, grade, score)
         SELECT * FROM unnest($1::int[], $2::int[], $3::text[], $4::int[], $5::int[], $6::int[], $7::int[], $8::text[],
                              $9::float8[])",
    )
    .bind::<Array<Integer>, _>(column!(|grade| grade.unit.unit.id))
    .bind::<Array<Integer>, _>(column!(|grade| grade.unit.unit.state_id))
    .bind::<Array<Text>, _>(column!(|grade| grade.unit.unit.level.as_str()))
    .bind::<Array<Nullable<Integer>>, _>(column!(|grade| grade.unit.district_id))
    .bind::<Array<Nullable<Integer>>, _>(column!(|grade| grade.unit.mandal_id))
    .bind::<Array<Nullable<Integer>>, _>(column!(|grade| grade.unit.pc_id))
    .bind::<Array<Nullable<Integer>>, _>(column!(|grade| grade.unit.ac_id))
    .bind::<Array<Text>, _>(column!(|grade| grade.grade))
    .bind::<Array<Double>, _>(column!(|grade| grade.score))
    .execute(tx)
    .await
    .map(|_| ())
}

/// Notes how far the grading has come.
pub async fn go_on(tx: &mut Tx, permit: &Permit<StrengthGrade>, after: UnitId) -> QueryResult<()> {
    statement("UPDATE grading_runs SET after_id = $1 WHERE state_id = $2")
        .bind::<Integer, _>(after)
        .bind::<Integer, _>(permit.state_id())
        .execute(tx)
        .await
        .map(|_| ())
}

/// How many booths and mandals have which grade, by kind and grade.
#[derive(Clone, Debug, QueryableByName)]
pub struct GradeCountRow {
    #[diesel(sql_type = Text)]
    pub level: String,
    #[diesel(sql_type = Text)]
    pub grade: String,
    #[diesel(sql_type = BigInt)]
    pub units: i64,
}

/// What changes by the grading, the loss of a grade among it. What was graded before on the same day is replaced; its grade
/// of the day before stays what is compared with.
const CHANGES: &str = "
    WITH r AS NOT MATERIALIZED (SELECT * FROM grading_runs WHERE state_id = $1),
         n AS NOT MATERIALIZED (SELECT g.unit_id, g.grade, g.score FROM r JOIN grades_under_way g ON g.state_id = r.state_id),
         s AS NOT MATERIALIZED (SELECT o.unit_id, o.grade FROM r JOIN strengths o ON o.state_id = r.state_id)
    INSERT INTO grade_changes AS c (state_id, unit_id, graded_on, grade, previous, score, rule_unit_id, rule_version)
    SELECT r.state_id, x.unit_id, r.day, x.grade, x.previous, x.score, r.rule_unit_id, r.rule_version
    FROM r, (SELECT unit_id, n.grade, s.grade AS previous, n.score FROM n FULL JOIN s USING (unit_id)) x
    WHERE x.grade IS DISTINCT FROM x.previous
    ON CONFLICT (unit_id, graded_on) DO UPDATE SET grade = excluded.grade, score = excluded.score,
        rule_unit_id = excluded.rule_unit_id, rule_version = excluded.rule_version";

/// What a later grading of the same day took back is no change.
const TAKEN_BACK: &str = "
    DELETE FROM grade_changes c USING grading_runs r
    WHERE r.state_id = $1 AND c.state_id = r.state_id AND c.graded_on = r.day AND c.grade IS NOT DISTINCT FROM c.previous";

const GRADES: &str = "
    INSERT INTO strengths AS s (unit_id, state_id, level, district_id, mandal_id, pc_id, ac_id, grade, score,
                                rule_unit_id, rule_version, graded_on)
    SELECT n.unit_id, n.state_id, n.level, n.district_id, n.mandal_id, n.pc_id, n.ac_id, n.grade, n.score,
           r.rule_unit_id, r.rule_version, r.day
    FROM grading_runs r JOIN grades_under_way n ON n.state_id = r.state_id WHERE r.state_id = $1
    ON CONFLICT (unit_id) DO UPDATE SET
        district_id = excluded.district_id, mandal_id = excluded.mandal_id, pc_id = excluded.pc_id, ac_id = excluded.ac_id,
        grade = excluded.grade, score = excluded.score, rule_unit_id = excluded.rule_unit_id,
        rule_version = excluded.rule_version, graded_on = excluded.graded_on
    WHERE (s.district_id, s.mandal_id, s.pc_id, s.ac_id, s.grade, s.score, s.rule_unit_id, s.rule_version)
        IS DISTINCT FROM (excluded.district_id, excluded.mandal_id, excluded.pc_id, excluded.ac_id, excluded.grade,
                          excluded.score, excluded.rule_unit_id, excluded.rule_version)";

/// What stands with a grade of its last changes: of units whose grade changed, or whose change was taken back.
const LAST_CHANGES: &str = "
    WITH r AS NOT MATERIALIZED (SELECT * FROM grading_runs WHERE state_id = $1),
         touched AS MATERIALIZED (
             SELECT c.unit_id FROM r JOIN grade_changes c ON c.state_id = r.state_id AND c.graded_on = r.day
             UNION
             SELECT s.unit_id FROM r JOIN strengths s ON s.state_id = r.state_id AND s.changed_on = r.day)
    UPDATE strengths s SET changed_on = l.graded_on, previous = l.previous, settled_on = (
        SELECT max(c.graded_on) FROM grade_changes c WHERE c.unit_id = s.unit_id AND c.graded_on < l.graded_on)
    FROM touched t CROSS JOIN LATERAL (
        SELECT c.graded_on, c.previous FROM grade_changes c WHERE c.unit_id = t.unit_id ORDER BY c.graded_on DESC LIMIT 1) l
    WHERE s.unit_id = t.unit_id";

/// A mandal without booths, and what stands no more, has no grade.
const LOST: &str = "
    DELETE FROM strengths s WHERE s.state_id = $1
        AND NOT EXISTS (SELECT 1 FROM grades_under_way n WHERE n.state_id = s.state_id AND n.unit_id = s.unit_id)";

const TALLIES: &str = "
    INSERT INTO strength_tallies (state_id, level, district_id, mandal_id, pc_id, ac_id, grade, units)
    SELECT state_id, level, district_id, mandal_id, pc_id, ac_id, grade, count(*) FROM strengths
    WHERE state_id = $1 GROUP BY state_id, level, district_id, mandal_id, pc_id, ac_id, grade";

/// Ends the grading of the permit's state: its grades take the place of those before, all at once, and are counted.
pub async fn finish(
    tx: &mut Tx,
    permit: &Permit<StrengthGrade>,
    at: DateTime<Utc>,
) -> QueryResult<Vec<GradeCountRow>> {
    let state_id = permit.state_id();
    for step in [
        CHANGES,
        TAKEN_BACK,
        GRADES,
        LAST_CHANGES,
        LOST,
        "DELETE FROM strength_tallies WHERE state_id = $1",
        TALLIES,
        "DELETE FROM grades_under_way WHERE state_id = $1",
    ] {
        statement(step).bind::<Integer, _>(state_id).execute(tx).await?;
    }
    statement("UPDATE grading_runs SET finished_at = $1, finished_day = day WHERE state_id = $2")
        .bind::<Timestamptz, _>(at)
        .bind::<Integer, _>(state_id)
        .execute(tx)
        .await?;
    statement(
        "SELECT level, grade, sum(units)::bigint AS units FROM strength_tallies WHERE state_id = $1
         GROUP BY level, grade ORDER BY level, grade",
    )
    .bind::<Integer, _>(state_id)
    .load(tx)
    .await
}
