//! How the subjects of entries stand to a scope today. Roots are those of a `Scope`, or of a webhook's unit.

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::sql_types::{Array, Bool, Date, Integer, Nullable, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::platform::db::Tx;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;

#[derive(Clone, Copy, Debug, diesel::QueryableByName)]
pub struct UnitStanding {
    #[diesel(sql_type = Integer)]
    pub id: UnitId,
    /// Whether it lies under a root today.
    #[diesel(sql_type = Bool)]
    pub here: bool,
    /// The next day on which its lineage changes.
    #[diesel(sql_type = Nullable<Date>)]
    pub changes_on: Option<NaiveDate>,
}

/// Those of these units that lie under the roots, did or will.
pub async fn unit_standings(
    tx: &mut Tx,
    roots: &[UnitId],
    today: NaiveDate,
    ids: &[UnitId],
) -> QueryResult<Vec<UnitStanding>> {
    statement(
        "WITH f AS (SELECT $1::int[] AS roots, $2::date AS today)
         SELECT l.unit_id AS id,
                bool_or(l.unit_ids && f.roots AND l.valid_from <= f.today
                        AND (l.valid_to IS NULL OR l.valid_to > f.today)) AS here,
                min(l.valid_from) FILTER (WHERE l.valid_from > f.today) AS changes_on
         FROM f, lineages l WHERE l.unit_id = ANY ($3)
         GROUP BY l.unit_id HAVING bool_or(l.unit_ids && f.roots)",
    )
    .bind::<Array<Integer>, _>(roots)
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(ids)
    .load(tx)
    .await
}

#[derive(Clone, Copy, Debug, diesel::QueryableByName)]
pub struct ThingStanding {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Integer)]
    pub booth_id: UnitId,
    #[diesel(sql_type = Bool)]
    pub voided: bool,
}

/// The booths of these visits, and which were taken back.
pub async fn visit_standings(tx: &mut Tx, keys: &[(UnitId, Uuid)]) -> QueryResult<Vec<ThingStanding>> {
    statement(
        "SELECT v.state_id, v.id, v.booth_id, v.voided_at IS NOT NULL AS voided
         FROM unnest($1::int[], $2::uuid[]) AS k (state_id, id)
         JOIN visits v ON v.state_id = k.state_id AND v.id = k.id",
    )
    .bind::<Array<Integer>, _>(keys.iter().map(|key| key.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.1).collect::<Vec<_>>())
    .load(tx)
    .await
}

/// The booths of these households.
pub async fn household_standings(tx: &mut Tx, keys: &[(UnitId, Uuid)]) -> QueryResult<Vec<ThingStanding>> {
    statement(
        "SELECT h.state_id, h.id, h.booth_id, false AS voided
         FROM unnest($1::int[], $2::uuid[]) AS k (state_id, id)
         JOIN households h ON h.state_id = k.state_id AND h.id = k.id",
    )
    .bind::<Array<Integer>, _>(keys.iter().map(|key| key.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.1).collect::<Vec<_>>())
    .load(tx)
    .await
}
