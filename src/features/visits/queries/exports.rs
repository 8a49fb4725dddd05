//! Exports that were made: who, of what, how many.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Date, Integer, Jsonb, Nullable, Timestamptz};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use crate::access::Scope;
use crate::access::actions::JournalRead;
use crate::journal::Actor;
use crate::platform::db::Tx;
use crate::platform::ids::{ExportId, UnitId, WorkerId};
use crate::platform::statement::statement;

/// A row of `visit_exports`.
#[derive(Clone, Debug, QueryableByName)]
pub struct ExportRow {
    #[diesel(sql_type = Integer)]
    pub id: ExportId,
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = Array<Integer>)]
    pub unit_ids: Vec<UnitId>,
    #[diesel(sql_type = Jsonb)]
    pub filter: Value,
    #[diesel(sql_type = Nullable<Integer>)]
    pub exported_by: Option<WorkerId>,
    #[diesel(sql_type = Timestamptz)]
    pub started_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub ended_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub visits: Option<i64>,
}

/// Notes that an export of what lies under these units, which the caller may export, begins. It belongs to their state, or
/// to the nation if they lie in several.
pub async fn begin_export(
    tx: &mut Tx,
    actor: &Actor,
    units: Vec<UnitId>,
    filter: Value,
) -> QueryResult<ExportRow> {
    statement(
        "INSERT INTO visit_exports (state_id, unit_ids, filter, exported_by, started_at)
         SELECT CASE WHEN min(u.state_id) = max(u.state_id) THEN min(u.state_id)
                     ELSE (SELECT id FROM units WHERE level = 'nation') END, $1, $2, $3, $4
         FROM units u WHERE u.id = ANY ($5) RETURNING *",
    )
    .bind::<Array<Integer>, _>(&units)
    .bind::<Jsonb, _>(filter)
    .bind::<Nullable<Integer>, _>(actor.worker_id)
    .bind::<Timestamptz, _>(actor.at)
    .bind::<Array<Integer>, _>(&units)
    .get_result(tx)
    .await
}

/// Notes that an export was given to its end.
pub async fn end_export(tx: &mut Tx, id: ExportId, visits: i64, at: DateTime<Utc>) -> QueryResult<ExportRow> {
    statement("UPDATE visit_exports SET visits = $1, ended_at = $2 WHERE id = $3 RETURNING *")
        .bind::<BigInt, _>(visits)
        .bind::<Timestamptz, _>(at)
        .bind::<Integer, _>(id)
        .get_result(tx)
        .await
}

/// Exports of what lies in scope today, newest first; one more than `limit` shows that there is a next page.
pub async fn list_exports(
    tx: &mut Tx,
    scope: &Scope<JournalRead>,
    today: NaiveDate,
    before: Option<ExportId>,
    limit: i64,
) -> QueryResult<Vec<ExportRow>> {
    statement(
        "SELECT e.* FROM visit_exports e WHERE e.id < coalesce($1, 2147483647) AND EXISTS (
             SELECT 1 FROM lineages l WHERE l.unit_id = ANY (e.unit_ids) AND l.unit_ids && $2
               AND l.valid_from <= $3 AND (l.valid_to IS NULL OR l.valid_to > $4))
         ORDER BY e.id DESC LIMIT $5",
    )
    .bind::<Nullable<Integer>, _>(before)
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<BigInt, _>(limit.saturating_add(1))
    .load(tx)
    .await
}
