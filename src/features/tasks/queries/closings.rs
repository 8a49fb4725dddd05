//! How tasks stood when a day was over.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Date, Integer, Timestamptz};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::super::rules::Figures;
use crate::access::Permit;
use crate::access::actions::TaskRead;
use crate::platform::db::Tx;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;

/// The turn in which days are closed.
pub const CLOSING_TURN: i64 = 0x5341_0009;

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
}

/// A state of which a day was not closed yet.
pub async fn next_open(tx: &mut Tx, day: NaiveDate) -> QueryResult<Option<UnitId>> {
    let row: Option<IdRow> = statement(
        "SELECT s.id FROM units s WHERE s.level = 'state' AND NOT EXISTS (
             SELECT FROM task_closings c WHERE c.state_id = s.id AND c.day = $1 AND c.unit_id = s.id)
         ORDER BY s.id LIMIT 1",
    )
    .bind::<Date, _>(day)
    .get_result(tx)
    .await
    .optional()?;
    Ok(row.map(|row| row.id))
}

/// The units above the booth of the permit's state, the state itself among them.
pub async fn units_above_booths(tx: &mut Tx, permit: &Permit<TaskRead>) -> QueryResult<Vec<UnitId>> {
    let rows: Vec<IdRow> =
        statement("SELECT id FROM units WHERE state_id = $1 AND level <> 'booth' ORDER BY id")
            .bind::<Integer, _>(permit.state_id())
            .load(tx)
            .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Closes a day of the permit's state with these figures.
pub async fn close(
    tx: &mut Tx,
    permit: &Permit<TaskRead>,
    day: NaiveDate,
    figures: &BTreeMap<UnitId, Figures>,
) -> QueryResult<()> {
    let state_id = permit.state_id();
    let told: Vec<(UnitId, &Figures)> = figures
        .iter()
        .map(|(id, figures)| (*id, figures))
        .filter(|(id, figures)| *id == state_id || figures.assigned > 0)
        .collect();
    let column = |f: fn(&Figures) -> i64| told.iter().map(|(_, figures)| f(figures)).collect::<Vec<i64>>();
    statement(
        "INSERT INTO task_closings (state_id, day, unit_id, assigned, done, overdue, closed_at)
         SELECT $1, $2, t.unit_id, t.assigned, t.done, t.overdue, $3
         FROM unnest($4::int[], $5::bigint[], $6::bigint[], $7::bigint[]) AS t (unit_id, assigned, done, overdue)",
    )
    .bind::<Integer, _>(state_id)
    .bind::<Date, _>(day)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Array<Integer>, _>(told.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(column(|figures| figures.assigned))
    .bind::<Array<BigInt>, _>(column(|figures| figures.work.done))
    .bind::<Array<BigInt>, _>(column(|figures| figures.overdue))
    .execute(tx)
    .await
    .map(|_| ())
}

/// Lets go of the days before this one, of the permit's state.
pub async fn let_go(tx: &mut Tx, permit: &Permit<TaskRead>, before: NaiveDate) -> QueryResult<()> {
    statement("DELETE FROM task_closings WHERE state_id = $1 AND day < $2")
        .bind::<Integer, _>(permit.state_id())
        .bind::<Date, _>(before)
        .execute(tx)
        .await
        .map(|_| ())
}

/// How a unit stood to its tasks when a day was over.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct ClosedRow {
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = BigInt)]
    pub assigned: i64,
    #[diesel(sql_type = BigInt)]
    pub done: i64,
    #[diesel(sql_type = BigInt)]
    pub overdue: i64,
}

/// Those of these units above the booth whose states were closed that day.
///
/// # Errors
/// What the database says.
pub async fn closed_on<A>(
    tx: &mut Tx,
    _permit: &Permit<A>,
    units: &[UnitId],
    day: NaiveDate,
) -> QueryResult<Vec<ClosedRow>> {
    statement(
        "SELECT u.id AS unit_id, coalesce(c.assigned, 0) AS assigned, coalesce(c.done, 0) AS done,
                coalesce(c.overdue, 0) AS overdue
         FROM (SELECT $1::date AS day) a CROSS JOIN units u
         JOIN task_closings s ON s.state_id = u.state_id AND s.day = a.day AND s.unit_id = u.state_id
         LEFT JOIN task_closings c ON c.state_id = u.state_id AND c.day = a.day AND c.unit_id = u.id
         WHERE u.id = ANY ($2) AND u.level <> 'booth'",
    )
    .bind::<Date, _>(day)
    .bind::<Array<Integer>, _>(units)
    .load(tx)
    .await
}
