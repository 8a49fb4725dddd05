//! Who was given what and was where: by seat, by leader, by unit.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use crate::access::Permit;
use crate::access::actions::PravasRead;
use crate::platform::db::Tx;
use crate::platform::ids::{PravasId, StopId, UnitId, WorkerId};
use crate::platform::statement::statement;

/// What is asked of the figures.
#[derive(Clone, Debug)]
pub struct Asked {
    pub today: NaiveDate,
    pub leader_id: Option<WorkerId>,
    pub from: Option<NaiveDate>,
    pub to: Option<NaiveDate>,
    /// Only these seats.
    pub seats: Option<Vec<UnitId>>,
}

// Live tours; the seats of them that lie under the unit; and live stops that do, each with the units above it on its day.
macro_rules! ground {
    () => {
        "WITH f AS NOT MATERIALIZED (
              SELECT $1::int AS under, $2::date AS today, $3::int AS leader_id, $4::date AS first, $5::date AS last,
                     $6::int[] AS seats
          ), tours AS MATERIALIZED (
              SELECT p.id, p.leader_id FROM f CROSS JOIN pravas p
              WHERE p.cancelled_at IS NULL AND p.leader_id = coalesce(f.leader_id, p.leader_id)
                AND p.starts_on <= coalesce(f.last, p.starts_on) AND p.ends_on >= coalesce(f.first, p.ends_on)
          ), given AS MATERIALIZED (
              SELECT s.unit_id, p.leader_id FROM f CROSS JOIN tours p JOIN pravas_seats s ON s.pravas_id = p.id
              JOIN lineages l ON l.unit_id = s.unit_id AND f.under = ANY (l.unit_ids)
                   AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
              WHERE f.seats IS NULL OR s.unit_id = ANY (f.seats)
          ), stops AS MATERIALIZED (
              SELECT t.id, t.day, coalesce(t.held, false) AS made, t.report_id IS NULL AND t.day < f.today AS missing,
                     p.leader_id, l.unit_ids
              FROM f CROSS JOIN tours p JOIN pravas_stops t ON t.pravas_id = p.id AND t.cancelled_at IS NULL
              JOIN lineages l ON l.unit_id = t.unit_id AND f.under = ANY (l.unit_ids)
                   AND l.valid_from <= t.day AND (l.valid_to IS NULL OR l.valid_to > t.day)
              WHERE t.day BETWEEN coalesce(f.first, t.day) AND coalesce(f.last, t.day)
                AND (f.seats IS NULL OR l.unit_ids && f.seats)
          )"
    };
}

#[derive(Clone, Debug, QueryableByName)]
pub struct SeatRow {
    #[diesel(sql_type = Integer)]
    pub id: UnitId,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = BigInt)]
    pub leaders: i64,
    #[diesel(sql_type = BigInt)]
    pub planned: i64,
    #[diesel(sql_type = BigInt)]
    pub made: i64,
    #[diesel(sql_type = Nullable<Date>)]
    pub last_made_on: Option<NaiveDate>,
}

/// The seats under the unit that were given to somebody, by id, with the stops in each.
pub async fn list_seats(
    tx: &mut Tx,
    permit: &Permit<PravasRead>,
    asked: &Asked,
    visited: Option<bool>,
    after: Option<UnitId>,
    limit: i64,
) -> QueryResult<Vec<SeatRow>> {
    statement(concat!(
        ground!(),
        " SELECT x.* FROM (
              SELECT u.id, u.code, u.name, g.leaders, count(t.id) AS planned, count(t.id) FILTER (WHERE t.made) AS made,
                     max(t.day) FILTER (WHERE t.made) AS last_made_on
              FROM (SELECT unit_id, count(DISTINCT leader_id) AS leaders FROM given GROUP BY unit_id) g
              JOIN units u ON u.id = g.unit_id LEFT JOIN stops t ON u.id = ANY (t.unit_ids)
              GROUP BY u.id, g.leaders) x
          WHERE (x.made > 0) = coalesce($7, x.made > 0) AND x.id > coalesce($8, 0) ORDER BY x.id LIMIT $9"
    ))
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Date, _>(asked.today)
    .bind::<Nullable<Integer>, _>(asked.leader_id)
    .bind::<Nullable<Date>, _>(asked.from)
    .bind::<Nullable<Date>, _>(asked.to)
    .bind::<Nullable<Array<Integer>>, _>(asked.seats.as_deref())
    .bind::<Nullable<Bool>, _>(visited)
    .bind::<Nullable<Integer>, _>(after)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

#[derive(Clone, Debug, QueryableByName)]
pub struct LeaderRow {
    #[diesel(sql_type = Integer)]
    pub leader_id: WorkerId,
    #[diesel(sql_type = BigInt)]
    pub seats: i64,
    #[diesel(sql_type = BigInt)]
    pub seats_visited: i64,
    #[diesel(sql_type = BigInt)]
    pub planned: i64,
    #[diesel(sql_type = BigInt)]
    pub made: i64,
    #[diesel(sql_type = BigInt)]
    pub missing: i64,
}

/// The leaders with a seat or a stop under the unit, by id.
pub async fn list_leaders(
    tx: &mut Tx,
    permit: &Permit<PravasRead>,
    asked: &Asked,
    after: Option<WorkerId>,
    limit: i64,
) -> QueryResult<Vec<LeaderRow>> {
    statement(concat!(
        ground!(),
        " SELECT w.leader_id, coalesce(g.seats, 0) AS seats, coalesce(g.seats_visited, 0) AS seats_visited,
                 coalesce(t.planned, 0) AS planned, coalesce(t.made, 0) AS made, coalesce(t.missing, 0) AS missing
          FROM (SELECT leader_id FROM given UNION SELECT leader_id FROM stops) w
          LEFT JOIN (
              SELECT d.leader_id, count(*) AS seats,
                     count(*) FILTER (WHERE EXISTS (
                         SELECT 1 FROM stops t WHERE t.made AND t.leader_id = d.leader_id AND d.unit_id = ANY (t.unit_ids)
                     )) AS seats_visited
              FROM (SELECT DISTINCT leader_id, unit_id FROM given) d GROUP BY d.leader_id) g ON g.leader_id = w.leader_id
          LEFT JOIN (
              SELECT leader_id, count(*) AS planned, count(*) FILTER (WHERE made) AS made,
                     count(*) FILTER (WHERE missing) AS missing
              FROM stops GROUP BY leader_id) t ON t.leader_id = w.leader_id
          WHERE w.leader_id > coalesce($7, 0) ORDER BY w.leader_id LIMIT $8"
    ))
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Date, _>(asked.today)
    .bind::<Nullable<Integer>, _>(asked.leader_id)
    .bind::<Nullable<Date>, _>(asked.from)
    .bind::<Nullable<Date>, _>(asked.to)
    .bind::<Nullable<Array<Integer>>, _>(asked.seats.as_deref())
    .bind::<Nullable<Integer>, _>(after)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

#[derive(Clone, Debug, QueryableByName)]
pub struct MissingRow {
    #[diesel(sql_type = Integer)]
    pub id: StopId,
    #[diesel(sql_type = Integer)]
    pub pravas_id: PravasId,
    #[diesel(sql_type = Integer)]
    pub leader_id: WorkerId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Date)]
    pub day: NaiveDate,
}

/// The stops under the unit up to today without a report, by day.
pub async fn list_missing(
    tx: &mut Tx,
    permit: &Permit<PravasRead>,
    asked: &Asked,
    after: Option<(NaiveDate, StopId)>,
    limit: i64,
) -> QueryResult<Vec<MissingRow>> {
    statement(
        "WITH f AS NOT MATERIALIZED (
             SELECT $1::int AS under, $2::date AS today, $3::int AS leader_id, $4::date AS first, $5::date AS last,
                    $6::int[] AS seats, coalesce($7::date, '-infinity') AS after_day, coalesce($8::int, 0) AS after_id)
         SELECT t.id, t.pravas_id, p.leader_id, t.unit_id, t.day
         FROM f CROSS JOIN pravas_stops t JOIN pravas p ON p.id = t.pravas_id AND p.cancelled_at IS NULL
         JOIN lineages l ON l.unit_id = t.unit_id AND f.under = ANY (l.unit_ids)
              AND l.valid_from <= t.day AND (l.valid_to IS NULL OR l.valid_to > t.day)
         WHERE t.report_id IS NULL AND t.cancelled_at IS NULL AND t.day <= f.today
           AND p.leader_id = coalesce(f.leader_id, p.leader_id)
           AND t.day BETWEEN coalesce(f.first, t.day) AND coalesce(f.last, t.day)
           AND (f.seats IS NULL OR l.unit_ids && f.seats) AND (t.day, t.id) > (f.after_day, f.after_id)
         ORDER BY t.day, t.id LIMIT $9",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Date, _>(asked.today)
    .bind::<Nullable<Integer>, _>(asked.leader_id)
    .bind::<Nullable<Date>, _>(asked.from)
    .bind::<Nullable<Date>, _>(asked.to)
    .bind::<Nullable<Array<Integer>>, _>(asked.seats.as_deref())
    .bind::<Nullable<Date>, _>(after.map(|after| after.0))
    .bind::<Nullable<Integer>, _>(after.map(|after| after.1))
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// Stops that lay under a unit on their days, by live tours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, QueryableByName)]
pub struct StopFigures {
    #[diesel(sql_type = BigInt)]
    pub planned: i64,
    /// Held, as reported.
    #[diesel(sql_type = BigInt)]
    pub made: i64,
}

#[derive(QueryableByName)]
struct UnitRow {
    #[diesel(sql_type = Integer)]
    unit_id: UnitId,
    #[diesel(embed)]
    figures: StopFigures,
}

/// So many units are few.
const FEW: usize = 100;

/// Of lineages, those that hold one of the units are found by their index: what is asked is where stops lay on their days,
/// whatever the units lie under today.
const STOPS_OF_FEW: &str = "
    WITH f AS NOT MATERIALIZED (SELECT $1::date AS first, $2::date AS last, $3::int[] AS units)
    SELECT a.id AS unit_id, count(*) AS planned, count(*) FILTER (WHERE t.held) AS made
    FROM f CROSS JOIN pravas_stops t JOIN pravas p ON p.id = t.pravas_id AND p.cancelled_at IS NULL
    JOIN lineages l ON l.unit_id = t.unit_id AND l.unit_ids && f.units
         AND l.valid_from <= t.day AND (l.valid_to IS NULL OR l.valid_to > t.day)
    CROSS JOIN LATERAL unnest(l.unit_ids) AS a (id)
    WHERE t.cancelled_at IS NULL AND t.day BETWEEN coalesce(f.first, t.day) AND coalesce(f.last, t.day)
      AND a.id = ANY (f.units)
    GROUP BY a.id";

/// Of many units nearly every lineage holds one: each stop is asked where it lay.
const STOPS_OF_MANY: &str = "
    WITH f AS NOT MATERIALIZED (SELECT $1::date AS first, $2::date AS last, $3::int[] AS units),
         held AS MATERIALIZED (
             SELECT t.unit_id, t.day, count(*) AS planned, count(*) FILTER (WHERE t.held) AS made
             FROM f CROSS JOIN pravas_stops t JOIN pravas p ON p.id = t.pravas_id AND p.cancelled_at IS NULL
             WHERE t.cancelled_at IS NULL AND (f.first IS NULL OR t.day >= f.first) AND (f.last IS NULL OR t.day <= f.last)
             GROUP BY t.unit_id, t.day)
    SELECT a.id AS unit_id, sum(t.planned)::bigint AS planned, sum(t.made)::bigint AS made
    FROM f CROSS JOIN held t
    CROSS JOIN LATERAL (
        SELECT l.unit_ids FROM lineages l WHERE l.unit_id = t.unit_id
           AND l.valid_from <= t.day AND (l.valid_to IS NULL OR l.valid_to > t.day) OFFSET 0) l
    CROSS JOIN LATERAL unnest(l.unit_ids) AS a (id)
    WHERE a.id = ANY (f.units)
    GROUP BY a.id";

/// The stops of these days at each of these units under the permit's.
///
/// # Errors
/// What the database says.
pub async fn stops_of_units<A>(
    tx: &mut Tx,
    _permit: &Permit<A>,
    units: &[UnitId],
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
) -> QueryResult<BTreeMap<UnitId, StopFigures>> {
    let rows: Vec<UnitRow> = statement(if units.len() > FEW {
        STOPS_OF_MANY
    } else {
        STOPS_OF_FEW
    })
    .planned_anew()
    .bind::<Nullable<Date>, _>(from)
    .bind::<Nullable<Date>, _>(to)
    .bind::<Array<Integer>, _>(units)
    .load(tx)
    .await?;
    let mut figures: BTreeMap<UnitId, StopFigures> =
        units.iter().map(|id| (*id, StopFigures::default())).collect();
    figures.extend(rows.into_iter().map(|row| (row.unit_id, row.figures)));
    Ok(figures)
}
