use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::RunQueryDsl;

use super::wire::HouseholdSent;
use crate::access::Permit;
use crate::access::actions::{HouseholdRead, HouseholdWrite};
use crate::platform::db::Tx;
use crate::platform::ids::{HouseholdId, UnitId};
use crate::platform::statement::statement;

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct HouseholdRow {
    #[diesel(sql_type = SqlUuid)]
    pub id: HouseholdId,
    #[diesel(sql_type = Integer)]
    pub booth_id: UnitId,
    #[diesel(sql_type = Text)]
    pub label: String,
    #[diesel(sql_type = Nullable<Integer>)]
    pub electors: Option<i32>,
    #[diesel(sql_type = Nullable<Double>)]
    pub lat: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub lon: Option<f64>,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}

/// A page of the permit's booth, by id; one more than `limit` shows that there is a next page.
pub async fn list_households(
    tx: &mut Tx,
    permit: &Permit<HouseholdRead>,
    after: Option<HouseholdId>,
    limit: i64,
) -> QueryResult<Vec<HouseholdRow>> {
    statement(
        "SELECT id, booth_id, label, electors, lat, lon, version, created_at, updated_at FROM households
         WHERE booth_id = $1 AND ($2::uuid IS NULL OR id > $3) ORDER BY id LIMIT $4",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(limit.saturating_add(1))
    .load(tx)
    .await
}

/// Stores a new household in the permit's booth; `None` if the id is taken in its state.
pub async fn insert_household(
    tx: &mut Tx,
    permit: &Permit<HouseholdWrite>,
    id: HouseholdId,
    sent: &HouseholdSent,
) -> QueryResult<Option<HouseholdRow>> {
    let at = permit.actor().at;
    statement(
        "INSERT INTO households (state_id, id, booth_id, label, electors, lat, lon, created_by, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (state_id, id) DO NOTHING
         RETURNING id, booth_id, label, electors, lat, lon, version, created_at, updated_at",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<SqlUuid, _>(id)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Text, _>(&sent.label)
    .bind::<Nullable<Integer>, _>(sent.electors)
    .bind::<Nullable<Double>, _>(sent.location.map(|at| at.lat))
    .bind::<Nullable<Double>, _>(sent.location.map(|at| at.lon))
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(at)
    .bind::<Timestamptz, _>(at)
    .get_result(tx)
    .await
    .optional()
}

/// The household with this id in the permit's state, held for a change. It may lie in another booth, which the caller
/// need not see: compare before showing anything.
pub async fn lock_household(
    tx: &mut Tx,
    permit: &Permit<HouseholdWrite>,
    id: HouseholdId,
) -> QueryResult<Option<HouseholdRow>> {
    statement(
        "SELECT id, booth_id, label, electors, lat, lon, version, created_at, updated_at FROM households
         WHERE state_id = $1 AND id = $2 FOR UPDATE",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<SqlUuid, _>(id)
    .get_result(tx)
    .await
    .optional()
}

/// Stores a changed household of the permit's booth under the next version.
pub async fn update_household(
    tx: &mut Tx,
    permit: &Permit<HouseholdWrite>,
    id: HouseholdId,
    sent: &HouseholdSent,
) -> QueryResult<HouseholdRow> {
    statement(
        "UPDATE households SET label = $1, electors = $2, lat = $3, lon = $4, version = version + 1, updated_at = $5
         WHERE state_id = $6 AND id = $7 AND booth_id = $8
         RETURNING id, booth_id, label, electors, lat, lon, version, created_at, updated_at",
    )
    .bind::<Text, _>(&sent.label)
    .bind::<Nullable<Integer>, _>(sent.electors)
    .bind::<Nullable<Double>, _>(sent.location.map(|at| at.lat))
    .bind::<Nullable<Double>, _>(sent.location.map(|at| at.lon))
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Integer, _>(permit.state_id())
    .bind::<SqlUuid, _>(id)
    .bind::<Integer, _>(permit.unit_id())
    .get_result(tx)
    .await
}

#[derive(diesel::QueryableByName)]
struct BoothRow {
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    id: HouseholdId,
    #[diesel(sql_type = Integer)]
    booth_id: UnitId,
}

/// In which booth each of these households (by state and id) is; those that do not exist are left out. For the program's
/// own checks: whoever uses it tells a caller nothing about a booth that is not his.
///
/// # Errors
/// What the database says.
pub async fn find_booths(
    tx: &mut Tx,
    households: &[(UnitId, HouseholdId)],
) -> QueryResult<HashMap<(UnitId, HouseholdId), UnitId>> {
    let rows: Vec<BoothRow> = statement(
        "SELECT h.state_id, h.id, h.booth_id FROM unnest($1::int[], $2::uuid[]) AS asked (state_id, id)
         JOIN households h ON h.state_id = asked.state_id AND h.id = asked.id",
    )
    .bind::<Array<Integer>, _>(
        households
            .iter()
            .map(|(state_id, _)| *state_id)
            .collect::<Vec<_>>(),
    )
    .bind::<Array<SqlUuid>, _>(households.iter().map(|(_, id)| *id).collect::<Vec<_>>())
    .load(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ((row.state_id, row.id), row.booth_id))
        .collect())
}
