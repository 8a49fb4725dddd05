//! Tours and their stops; what was reported of them, reviews and figures have rooms of their own.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::wire::{NewPravas, NewStop};
use crate::access::actions::{PravasRead, PravasWrite};
use crate::access::{Permit, Scope};
use crate::platform::db::Tx;
use crate::platform::ids::{PravasId, StopId, StopReportId, UnitId, WorkerId};
use crate::platform::statement::statement;

pub mod coverage;
pub mod reports;
pub mod reviews;

#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct PravasRow {
    #[diesel(sql_type = Integer)]
    pub id: PravasId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub leader_id: WorkerId,
    #[diesel(sql_type = Text)]
    pub title: String,
    #[diesel(sql_type = Date)]
    pub starts_on: NaiveDate,
    #[diesel(sql_type = Date)]
    pub ends_on: NaiveDate,
    #[diesel(sql_type = Nullable<Integer>)]
    pub target_set_id: Option<i32>,
    /// Those in the scope.
    #[diesel(sql_type = Array<Integer>)]
    pub seats: Vec<UnitId>,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Nullable<Integer>)]
    pub created_by: Option<WorkerId>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub changed_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub cancelled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub cancel_reason: Option<String>,
}

// A tour is seen where it was planned and wherever it goes; of its seats, those in scope.
macro_rules! visible {
    () => {
        "WITH f AS NOT MATERIALIZED (SELECT $1::int[] AS roots, $2::date AS today),
              visible AS NOT MATERIALIZED (
                  SELECT p.id, p.unit_id, p.leader_id, p.title, p.starts_on, p.ends_on, p.target_set_id, p.version,
                         p.created_by, p.created_at, p.changed_at, p.cancelled_at, p.cancel_reason,
                         ARRAY(SELECT s.unit_id FROM pravas_seats s JOIN lineages l ON l.unit_id = s.unit_id
                               WHERE s.pravas_id = p.id AND l.unit_ids && f.roots
                                 AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
                               ORDER BY s.unit_id) AS seats
                  FROM f CROSS JOIN pravas p
                  WHERE EXISTS (
                      SELECT 1 FROM lineages l WHERE l.unit_ids && f.roots
                         AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
                         AND l.unit_id IN (
                             SELECT p.unit_id
                             UNION ALL SELECT s.unit_id FROM pravas_seats s WHERE s.pravas_id = p.id
                             UNION ALL SELECT t.unit_id FROM pravas_stops t WHERE t.pravas_id = p.id)))"
    };
}

/// Visible tours by id.
pub async fn list_pravas(
    tx: &mut Tx,
    scope: &Scope<PravasRead>,
    today: NaiveDate,
    leader_id: Option<WorkerId>,
    after: Option<PravasId>,
    limit: i64,
) -> QueryResult<Vec<PravasRow>> {
    statement(concat!(
        visible!(),
        " SELECT * FROM visible WHERE leader_id = coalesce($3, leader_id) AND id > coalesce($4, 0) ORDER BY id LIMIT $5"
    ))
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Date, _>(today)
    .bind::<Nullable<Integer>, _>(leader_id)
    .bind::<Nullable<Integer>, _>(after)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// One visible tour.
pub async fn find_pravas(
    tx: &mut Tx,
    scope: &Scope<PravasRead>,
    today: NaiveDate,
    id: PravasId,
) -> QueryResult<Option<PravasRow>> {
    statement(concat!(visible!(), " SELECT * FROM visible WHERE id = $3"))
        .bind::<Array<Integer>, _>(scope.roots())
        .bind::<Date, _>(today)
        .bind::<Integer, _>(id)
        .get_result(tx)
        .await
        .optional()
}

/// Holds a tour until the transaction ends.
pub async fn lock_pravas(tx: &mut Tx, id: PravasId) -> QueryResult<()> {
    statement("SELECT id FROM pravas WHERE id = $1 FOR UPDATE")
        .bind::<Integer, _>(id)
        .execute(tx)
        .await
        .map(|_| ())
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: i32,
}

/// Plans a tour, without its stops.
pub async fn insert_pravas(
    tx: &mut Tx,
    permit: &Permit<PravasWrite>,
    new: &NewPravas,
    seats: &[UnitId],
) -> QueryResult<PravasId> {
    let row: IdRow = statement(
        "WITH p AS (
             INSERT INTO pravas (state_id, unit_id, leader_id, title, starts_on, ends_on, target_set_id, created_by,
                                 created_at, changed_by, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id
         ), s AS (
             INSERT INTO pravas_seats (pravas_id, unit_id) SELECT p.id, u FROM p, unnest($12::int[]) AS u
         )
         SELECT id FROM p",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(new.leader_id)
    .bind::<Text, _>(&new.title)
    .bind::<Date, _>(new.starts_on)
    .bind::<Date, _>(new.ends_on)
    .bind::<Nullable<Integer>, _>(new.target_set)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Array<Integer>, _>(seats)
    .get_result(tx)
    .await?;
    Ok(PravasId(row.id))
}

/// Stores what was changed of a tour.
pub async fn store_pravas(tx: &mut Tx, permit: &Permit<PravasWrite>, changed: &PravasRow) -> QueryResult<()> {
    statement(
        "UPDATE pravas SET title = $1, starts_on = $2, ends_on = $3, cancelled_at = $4, cancel_reason = $5,
                version = version + 1, changed_by = $6, changed_at = $7
         WHERE id = $8 AND unit_id = $9",
    )
    .bind::<Text, _>(&changed.title)
    .bind::<Date, _>(changed.starts_on)
    .bind::<Date, _>(changed.ends_on)
    .bind::<Nullable<Timestamptz>, _>(changed.cancelled_at)
    .bind::<Nullable<Text>, _>(changed.cancel_reason.as_ref())
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Integer, _>(changed.id)
    .bind::<Integer, _>(permit.unit_id())
    .execute(tx)
    .await
    .map(|_| ())
}

/// A unit that a tour may go to.
#[derive(Clone, Debug, QueryableByName)]
pub struct PlaceRow {
    #[diesel(sql_type = Integer)]
    pub id: UnitId,
    #[diesel(sql_type = Text)]
    pub level: String,
}

/// Those of these units that lie under the permit's today.
pub async fn places_under(
    tx: &mut Tx,
    permit: &Permit<PravasWrite>,
    today: NaiveDate,
    ids: &[UnitId],
) -> QueryResult<Vec<PlaceRow>> {
    statement(
        "SELECT u.id, u.level FROM (SELECT $1::date AS today, $2::int AS under) f
         CROSS JOIN units u JOIN lineages l ON l.unit_id = u.id AND l.valid_from <= f.today
              AND (l.valid_to IS NULL OR l.valid_to > f.today) AND f.under = ANY (l.unit_ids)
         WHERE u.id = ANY ($3) ORDER BY u.id",
    )
    .bind::<Date, _>(today)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Array<Integer>, _>(ids)
    .load(tx)
    .await
}

#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct StopRow {
    #[diesel(sql_type = Integer)]
    pub id: StopId,
    #[diesel(sql_type = Integer)]
    pub pravas_id: PravasId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Date)]
    pub day: NaiveDate,
    #[diesel(sql_type = Text)]
    pub purpose: String,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Bool)]
    pub cancelled: bool,
    #[diesel(sql_type = Nullable<Bool>)]
    pub held: Option<bool>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub report_id: Option<StopReportId>,
}

macro_rules! stop_columns {
    () => {
        "t.id, t.pravas_id, t.unit_id, t.day, t.purpose, t.version, t.cancelled_at IS NOT NULL AS cancelled, t.held,
         t.report_id"
    };
}

/// Plans stops, in the order given.
pub async fn insert_stops(
    tx: &mut Tx,
    permit: &Permit<PravasWrite>,
    pravas_id: PravasId,
    stops: &[NewStop],
) -> QueryResult<Vec<StopRow>> {
    statement(concat!(
        "WITH f AS (SELECT $1::int AS pravas_id, $2::int AS worker_id, $3::timestamptz AS at), t AS (
             INSERT INTO pravas_stops (pravas_id, state_id, unit_id, day, purpose, changed_by, changed_at)
             SELECT f.pravas_id, u.state_id, u.id, s.day, s.purpose, f.worker_id, f.at
             FROM f CROSS JOIN unnest($4::int[], $5::date[], $6::text[]) WITH ORDINALITY AS s (unit_id, day, purpose, n)
             JOIN units u ON u.id = s.unit_id ORDER BY s.n RETURNING *
         )
         SELECT ",
        stop_columns!(),
        " FROM t ORDER BY t.id"
    ))
    .bind::<Integer, _>(pravas_id)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Array<Integer>, _>(stops.iter().map(|stop| stop.unit_id).collect::<Vec<_>>())
    .bind::<Array<Date>, _>(stops.iter().map(|stop| stop.day).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(stops.iter().map(|stop| stop.purpose.as_str()).collect::<Vec<_>>())
    .load(tx)
    .await
}

/// Stops of a visible tour that lie in the scope, by day.
pub async fn list_stops(
    tx: &mut Tx,
    scope: &Scope<PravasRead>,
    today: NaiveDate,
    pravas_id: PravasId,
    limit: i64,
) -> QueryResult<Vec<StopRow>> {
    statement(concat!(
        "WITH f AS NOT MATERIALIZED (SELECT $1::int[] AS roots, $2::date AS today)
         SELECT ",
        stop_columns!(),
        " FROM f CROSS JOIN pravas_stops t JOIN lineages l ON l.unit_id = t.unit_id AND l.unit_ids && f.roots
              AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
          WHERE t.pravas_id = $3 ORDER BY t.day, t.id LIMIT $4"
    ))
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Date, _>(today)
    .bind::<Integer, _>(pravas_id)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// The first stops that stand before the first of these days, and those after the last, of a tour that the permit's unit
/// planned, whoever may see them.
pub async fn stops_outside(
    tx: &mut Tx,
    permit: &Permit<PravasWrite>,
    pravas_id: PravasId,
    (first, last): (NaiveDate, NaiveDate),
    limit: i64,
) -> QueryResult<(Vec<StopRow>, Vec<StopRow>)> {
    let early = statement(concat!(
        "SELECT ",
        stop_columns!(),
        " FROM pravas_stops t JOIN pravas p ON p.id = t.pravas_id AND p.unit_id = $1
          WHERE t.pravas_id = $2 AND t.cancelled_at IS NULL AND t.day < $3 ORDER BY t.day, t.id LIMIT $4"
    ))
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(pravas_id)
    .bind::<Date, _>(first)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await?;
    let late = statement(concat!(
        "SELECT ",
        stop_columns!(),
        " FROM pravas_stops t JOIN pravas p ON p.id = t.pravas_id AND p.unit_id = $1
          WHERE t.pravas_id = $2 AND t.cancelled_at IS NULL AND t.day > $3 ORDER BY t.day, t.id LIMIT $4"
    ))
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(pravas_id)
    .bind::<Date, _>(last)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await?;
    Ok((early, late))
}

/// The stops under the unit on their days, of tours that stand, by day; only those that were held, or not, if asked.
pub async fn list_stops_under(
    tx: &mut Tx,
    permit: &Permit<PravasRead>,
    asked: &coverage::Asked,
    held: Option<bool>,
    after: Option<(NaiveDate, StopId)>,
    limit: i64,
) -> QueryResult<Vec<StopRow>> {
    statement(concat!(
        "WITH f AS NOT MATERIALIZED (
             SELECT $1::int AS under, $2::int AS leader_id, $3::date AS first, $4::date AS last, $5::int[] AS seats,
                    $6::bool AS held, coalesce($7::date, '-infinity') AS after_day, coalesce($8::int, 0) AS after_id)
         SELECT ",
        stop_columns!(),
        " FROM f CROSS JOIN pravas_stops t JOIN pravas p ON p.id = t.pravas_id AND p.cancelled_at IS NULL
          JOIN lineages l ON l.unit_id = t.unit_id AND f.under = ANY (l.unit_ids)
               AND l.valid_from <= t.day AND (l.valid_to IS NULL OR l.valid_to > t.day)
          WHERE t.cancelled_at IS NULL AND p.leader_id = coalesce(f.leader_id, p.leader_id)
            AND t.day BETWEEN coalesce(f.first, t.day) AND coalesce(f.last, t.day)
            AND (f.seats IS NULL OR l.unit_ids && f.seats) AND (f.held IS NULL OR t.held = f.held)
            AND (t.day, t.id) > (f.after_day, f.after_id)
          ORDER BY t.day, t.id LIMIT $9"
    ))
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Nullable<Integer>, _>(asked.leader_id)
    .bind::<Nullable<Date>, _>(asked.from)
    .bind::<Nullable<Date>, _>(asked.to)
    .bind::<Nullable<Array<Integer>>, _>(asked.seats.as_deref())
    .bind::<Nullable<Bool>, _>(held)
    .bind::<Nullable<Date>, _>(after.map(|after| after.0))
    .bind::<Nullable<Integer>, _>(after.map(|after| after.1))
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// A stop, held until the transaction ends if it is to be changed; whether the caller may see it, its unit decides.
pub async fn find_stop(
    tx: &mut Tx,
    (pravas_id, id): (PravasId, StopId),
    hold: bool,
) -> QueryResult<Option<StopRow>> {
    let text = if hold {
        concat!(
            "SELECT ",
            stop_columns!(),
            " FROM pravas_stops t WHERE t.pravas_id = $1 AND t.id = $2 FOR UPDATE"
        )
    } else {
        concat!(
            "SELECT ",
            stop_columns!(),
            " FROM pravas_stops t WHERE t.pravas_id = $1 AND t.id = $2"
        )
    };
    statement(text)
        .bind::<Integer, _>(pravas_id)
        .bind::<Integer, _>(id)
        .get_result(tx)
        .await
        .optional()
}

/// Stores what was changed of a stop's plan.
pub async fn store_stop(
    tx: &mut Tx,
    permit: &Permit<PravasWrite>,
    changed: &StopRow,
) -> QueryResult<StopRow> {
    statement(concat!(
        "WITH f AS (SELECT $1::bool AS cancelled, $2::timestamptz AS at), t AS (
             UPDATE pravas_stops SET day = $3, purpose = $4, version = version + 1, changed_by = $5, changed_at = f.at,
                    cancelled_at = CASE WHEN f.cancelled THEN coalesce(cancelled_at, f.at) END
             FROM f WHERE id = $6 RETURNING pravas_stops.*
         )
         SELECT ",
        stop_columns!(),
        " FROM t"
    ))
    .bind::<Bool, _>(changed.cancelled)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Date, _>(changed.day)
    .bind::<Text, _>(&changed.purpose)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Integer, _>(changed.id)
    .get_result(tx)
    .await
}
