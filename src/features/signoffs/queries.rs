//! Every statement about sign-offs.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use crate::access::Permit;
use crate::access::actions::{SignoffRead, SignoffReopen, SignoffWrite};
use crate::platform::db::Tx;
use crate::platform::ids::{SignoffId, UnitId, WorkerId};
use crate::platform::statement::statement;

/// A row of `sign_offs`.
#[derive(Clone, Debug, QueryableByName)]
pub struct SignoffRow {
    #[diesel(sql_type = Integer)]
    pub id: SignoffId,
    #[diesel(sql_type = Integer)]
    pub mandal_id: UnitId,
    #[diesel(sql_type = Date)]
    pub week_start: NaiveDate,
    #[diesel(sql_type = Integer)]
    pub signed_by: WorkerId,
    #[diesel(sql_type = Timestamptz)]
    pub signed_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub reopened_by: Option<WorkerId>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub reopened_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub reopen_reason: Option<String>,
}

#[derive(QueryableByName)]
struct SignedRow {
    #[diesel(sql_type = Bool)]
    signed: bool,
}

/// Whether the week of a day is signed for the mandal in which a booth lay on that day.
///
/// # Errors
/// What the database says.
pub async fn is_signed(tx: &mut Tx, booth_id: UnitId, day: NaiveDate) -> QueryResult<bool> {
    let row: SignedRow = statement(
        "WITH v AS (SELECT $1::int AS booth_id, $2::date AS day)
         SELECT EXISTS (
             SELECT 1 FROM v
             JOIN lineages l ON l.unit_id = v.booth_id AND l.valid_from <= v.day AND (l.valid_to IS NULL OR l.valid_to > v.day)
             JOIN sign_offs s ON s.mandal_id = ANY (l.unit_ids)
                 AND s.week_start = v.day - (extract(isodow FROM v.day)::integer - 1)
             WHERE s.reopened_at IS NULL) AS signed",
    )
    .bind::<Integer, _>(booth_id)
    .bind::<Date, _>(day)
    .get_result(tx)
    .await?;
    Ok(row.signed)
}

/// Which of these booths and days are of a signed week, as [`is_signed`] asks for one.
///
/// # Errors
/// What the database says.
pub async fn signed_places(
    tx: &mut Tx,
    places: &[(UnitId, NaiveDate)],
) -> QueryResult<BTreeSet<(UnitId, NaiveDate)>> {
    #[derive(QueryableByName)]
    struct PlaceRow {
        #[diesel(sql_type = Integer)]
        booth_id: UnitId,
        #[diesel(sql_type = Date)]
        day: NaiveDate,
    }
    let rows: Vec<PlaceRow> = statement(
        "SELECT DISTINCT v.booth_id, v.day FROM unnest($1::int[], $2::date[]) AS v (booth_id, day)
         JOIN lineages l ON l.unit_id = v.booth_id AND l.valid_from <= v.day AND (l.valid_to IS NULL OR l.valid_to > v.day)
         JOIN sign_offs s ON s.mandal_id = ANY (l.unit_ids)
             AND s.week_start = v.day - (extract(isodow FROM v.day)::integer - 1)
         WHERE s.reopened_at IS NULL",
    )
    .bind::<Array<Integer>, _>(places.iter().map(|place| place.0).collect::<Vec<_>>())
    .bind::<Array<Date>, _>(places.iter().map(|place| place.1).collect::<Vec<_>>())
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.booth_id, row.day)).collect())
}

/// Signs a week; `None` if it is signed.
pub async fn insert_signoff(
    tx: &mut Tx,
    permit: &Permit<SignoffWrite>,
    week_start: NaiveDate,
    signed_by: WorkerId,
) -> QueryResult<Option<SignoffRow>> {
    statement(
        "INSERT INTO sign_offs (state_id, mandal_id, week_start, signed_by, signed_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (mandal_id, week_start) WHERE reopened_at IS NULL DO NOTHING RETURNING *",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Date, _>(week_start)
    .bind::<Integer, _>(signed_by)
    .bind::<Timestamptz, _>(permit.actor().at)
    .get_result(tx)
    .await
    .optional()
}

/// Reopens a signed week; `None` if it was reopened before.
pub async fn reopen(
    tx: &mut Tx,
    permit: &Permit<SignoffReopen>,
    id: SignoffId,
    reopened_by: WorkerId,
    reason: &str,
) -> QueryResult<Option<SignoffRow>> {
    statement(
        "UPDATE sign_offs SET reopened_by = $1, reopened_at = $2, reopen_reason = $3
         WHERE id = $4 AND mandal_id = $5 AND reopened_at IS NULL RETURNING *",
    )
    .bind::<Integer, _>(reopened_by)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Text, _>(reason)
    .bind::<Integer, _>(id)
    .bind::<Integer, _>(permit.unit_id())
    .get_result(tx)
    .await
    .optional()
}

/// A sign-off; whether the caller may see it, its mandal decides.
pub async fn find_signoff(tx: &mut Tx, id: SignoffId) -> QueryResult<Option<SignoffRow>> {
    statement("SELECT * FROM sign_offs WHERE id = $1")
        .bind::<Integer, _>(id)
        .get_result(tx)
        .await
        .optional()
}

/// A mandal in a week.
#[derive(Clone, Debug, QueryableByName)]
pub struct MandalRow {
    #[diesel(sql_type = Integer)]
    pub mandal_id: UnitId,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Bool)]
    pub signed: bool,
}

/// What a list of mandals asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub week_start: NaiveDate,
    pub today: NaiveDate,
    pub signed: Option<bool>,
}

/// The state to which the mandals under a unit are bound, unless that is the nation.
fn state_of<A>(permit: &Permit<A>) -> Option<UnitId> {
    (permit.level() != "nation").then(|| permit.state_id())
}

/// The mandals that lie under a unit today, and whether they signed.
pub async fn list_mandals(
    tx: &mut Tx,
    permit: &Permit<SignoffRead>,
    asked: Asked,
    after: Option<UnitId>,
    limit: i64,
) -> QueryResult<Vec<MandalRow>> {
    statement(
        "WITH f AS NOT MATERIALIZED (SELECT $1::int AS under, $2::int AS state_id, $3::date AS today, $4::date AS week_start)
         SELECT m.* FROM (
             SELECT u.id AS mandal_id, u.code, u.name, EXISTS (
                        SELECT 1 FROM sign_offs s WHERE s.mandal_id = u.id AND s.week_start = f.week_start
                          AND s.reopened_at IS NULL) AS signed
             FROM f, units u
             JOIN lineages l ON l.unit_id = u.id
             WHERE u.level = 'mandal' AND (f.state_id IS NULL OR u.state_id = f.state_id) AND f.under = ANY (l.unit_ids)
               AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)) AS m
         WHERE m.signed = coalesce($5::bool, m.signed) AND m.mandal_id > coalesce($6::int, 0)
         ORDER BY m.mandal_id LIMIT $7",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Nullable<Integer>, _>(state_of(permit))
    .bind::<Date, _>(asked.today)
    .bind::<Date, _>(asked.week_start)
    .bind::<Nullable<Bool>, _>(asked.signed)
    .bind::<Nullable<Integer>, _>(after)
    .bind::<BigInt, _>(limit)
    .planned_anew()
    .load(tx)
    .await
}

/// How many mandals signed under a unit straight below the one asked about; without a unit: that one itself.
#[derive(Clone, Debug, QueryableByName)]
pub struct CountRow {
    #[diesel(sql_type = Nullable<Integer>)]
    pub unit_id: Option<UnitId>,
    #[diesel(sql_type = Nullable<Text>)]
    pub level: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = BigInt)]
    pub mandals: i64,
    #[diesel(sql_type = BigInt)]
    pub signed: i64,
}

/// How many of the mandals under a unit signed, by the units straight below it.
pub async fn count_signed(
    tx: &mut Tx,
    permit: &Permit<SignoffRead>,
    asked: Asked,
) -> QueryResult<Vec<CountRow>> {
    statement(
        "WITH f AS NOT MATERIALIZED (SELECT $1::int AS under, $2::int AS state_id, $3::date AS today, $4::date AS week_start)
         SELECT c.id AS unit_id, c.level, c.name, count(*) AS mandals, count(s.id) AS signed
         FROM f CROSS JOIN units u
         JOIN lineages l ON l.unit_id = u.id
         LEFT JOIN placements p ON p.parent_id = f.under AND p.tree = 'organisation' AND p.unit_id = ANY (l.unit_ids)
             AND p.valid_from <= f.today AND (p.valid_to IS NULL OR p.valid_to > f.today)
         LEFT JOIN units c ON c.id = p.unit_id
         LEFT JOIN sign_offs s ON s.mandal_id = u.id AND s.week_start = f.week_start AND s.reopened_at IS NULL
         WHERE u.level = 'mandal' AND (f.state_id IS NULL OR u.state_id = f.state_id) AND f.under = ANY (l.unit_ids)
           AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
         GROUP BY c.id ORDER BY c.id",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Nullable<Integer>, _>(state_of(permit))
    .bind::<Date, _>(asked.today)
    .bind::<Date, _>(asked.week_start)
    .planned_anew()
    .load(tx)
    .await
}

/// Every signature of these mandals, which the caller may see, under a week; oldest first.
pub async fn list_signoffs(
    tx: &mut Tx,
    mandals: &[UnitId],
    week_start: NaiveDate,
) -> QueryResult<Vec<SignoffRow>> {
    statement("SELECT * FROM sign_offs WHERE mandal_id = ANY ($1) AND week_start = $2 ORDER BY mandal_id, id")
        .bind::<Array<Integer>, _>(mandals)
        .bind::<Date, _>(week_start)
        .load(tx)
        .await
}
