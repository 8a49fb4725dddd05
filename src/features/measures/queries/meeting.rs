//! The units of tasks that are met by an indicator, step by step; for the program's own reckoning.

use chrono::NaiveDate;
use diesel::sql_types::{BigInt, Bool, Date, Integer};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::ChildRow;
use crate::platform::db::Tx;
use crate::platform::ids::{TaskId, UnitId};
use crate::platform::statement::statement;

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
}

/// The states in which units under a unit lie: its own, or all for the nation.
pub async fn states_of(tx: &mut Tx, unit_id: UnitId) -> QueryResult<Vec<UnitId>> {
    let rows: Vec<IdRow> = statement(
        "SELECT s.id FROM units u JOIN units s ON s.level = 'state' AND (u.level = 'nation' OR s.id = u.state_id)
         WHERE u.id = $1 ORDER BY s.id",
    )
    .bind::<Integer, _>(unit_id)
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// A unit that has the task, and whether it meets it so far.
#[derive(Clone, Debug, QueryableByName)]
pub struct MeasuredUnit {
    #[diesel(embed)]
    pub unit: ChildRow,
    #[diesel(sql_type = Bool)]
    pub met: bool,
}

/// The next units of a state that have the task today, by id.
pub async fn units_after(
    tx: &mut Tx,
    task_id: TaskId,
    today: NaiveDate,
    (state_id, after): (UnitId, UnitId),
    limit: i64,
) -> QueryResult<Vec<MeasuredUnit>> {
    statement(
        "SELECT u.id, u.state_id, u.code, u.level, u.name, l.unit_ids, s.task_id IS NOT NULL AS met
         FROM (SELECT $1::int AS task_id, $2::date AS today) a JOIN tasks k ON k.id = a.task_id AND k.cancelled_at IS NULL
         JOIN units u ON u.level = k.level
         JOIN lineages l ON l.unit_id = u.id AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
              AND k.unit_id = ANY (l.unit_ids) AND (k.seats IS NULL OR l.unit_ids && k.seats)
         LEFT JOIN task_units s ON s.state_id = u.state_id AND s.unit_id = u.id AND s.task_id = k.id
         WHERE u.state_id = $3 AND u.id > $4 ORDER BY u.id LIMIT $5",
    )
    .bind::<Integer, _>(task_id)
    .bind::<Date, _>(today)
    .bind::<Integer, _>(state_id)
    .bind::<Integer, _>(after)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}
