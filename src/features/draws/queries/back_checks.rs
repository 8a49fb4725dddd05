use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use crate::features::draws::wire::CheckOutcome;
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, DeviceId, HouseholdId, UnitId, WorkerId};
use crate::platform::statement::statement;

/// A row of `back_checks`.
#[derive(Clone, Debug, QueryableByName)]
pub struct BackCheckRow {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Integer)]
    pub draw_id: i32,
    #[diesel(sql_type = Integer)]
    pub number: i32,
    #[diesel(sql_type = Integer)]
    pub booth_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub verifier_id: WorkerId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub device_id: Option<DeviceId>,
    #[diesel(sql_type = Timestamptz)]
    pub checked_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub received_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub outcome: String,
    #[diesel(sql_type = Jsonb)]
    pub observed: Value,
    #[diesel(sql_type = Nullable<Double>)]
    pub lat: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub lon: Option<f64>,
    #[diesel(sql_type = Text)]
    pub finding: String,
    #[diesel(sql_type = Jsonb)]
    pub evidence: Value,
    #[diesel(sql_type = Bool)]
    pub late: bool,
    #[diesel(sql_type = Binary)]
    pub sent_digest: Vec<u8>,
    #[diesel(sql_type = Binary)]
    pub salts: Vec<u8>,
}

impl BackCheckRow {
    /// What came of it.
    #[must_use]
    pub fn outcome(&self) -> CheckOutcome {
        CheckOutcome::find(&self.outcome).unwrap_or(CheckOutcome::Refused)
    }
}

/// A visit that a verifier is to check, without what it says.
#[derive(Clone, Debug, QueryableByName)]
pub struct TaskRow {
    #[diesel(sql_type = Integer)]
    pub draw_id: i32,
    #[diesel(sql_type = Integer)]
    pub number: i32,
    #[diesel(sql_type = Integer)]
    pub campaign_id: CampaignId,
    #[diesel(sql_type = Integer)]
    pub booth_id: UnitId,
    #[diesel(sql_type = Text)]
    pub booth_name: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub household_id: Option<HouseholdId>,
    #[diesel(sql_type = Nullable<Text>)]
    pub label: Option<String>,
    #[diesel(sql_type = Nullable<Double>)]
    pub door_lat: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub door_lon: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub near_lat: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub near_lon: Option<f64>,
    #[diesel(sql_type = Jsonb)]
    pub compare: Value,
    #[diesel(sql_type = Integer)]
    pub question_version: i32,
    #[diesel(sql_type = Timestamptz)]
    pub assigned_at: DateTime<Utc>,
}

/// What a worker has to check, in draws that are open.
pub async fn list_tasks(
    tx: &mut Tx,
    verifier_id: WorkerId,
    (draw_id, number): (i32, i32),
    limit: i64,
) -> QueryResult<Vec<TaskRow>> {
    statement(
        "SELECT i.draw_id, i.number, d.campaign_id, f.booth_id, u.name AS booth_name, f.household_id, h.label,
                h.lat AS door_lat, h.lon AS door_lon, CASE WHEN f.household_id IS NULL THEN v.lat END AS near_lat,
                CASE WHEN f.household_id IS NULL THEN v.lon END AS near_lon, d.compare, v.question_version, i.assigned_at
         FROM draw_items i JOIN draws d ON d.id = i.draw_id
         JOIN draw_frames f ON f.draw_id = i.draw_id AND f.place = i.place
         JOIN units u ON u.id = f.booth_id
         JOIN visits v ON v.state_id = d.state_id AND v.id = f.visit_id
         LEFT JOIN households h ON h.state_id = d.state_id AND h.id = f.household_id
         WHERE i.verifier_id = $1 AND d.closed_at IS NULL AND (i.draw_id, i.number) > ($2, $3)
           AND NOT EXISTS (SELECT 1 FROM back_checks c WHERE c.draw_id = i.draw_id AND c.number = i.number)
         ORDER BY i.draw_id, i.number LIMIT $4",
    )
    .bind::<Integer, _>(verifier_id)
    .bind::<Integer, _>(draw_id)
    .bind::<Integer, _>(number)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// The back-check with this id in a state.
pub async fn find_back_check(tx: &mut Tx, state_id: UnitId, id: Uuid) -> QueryResult<Option<BackCheckRow>> {
    statement("SELECT * FROM back_checks WHERE state_id = $1 AND id = $2")
        .bind::<Integer, _>(state_id)
        .bind::<SqlUuid, _>(id)
        .get_result(tx)
        .await
        .optional()
}

/// The back-checks with these ids, for the program's own verification.
///
/// # Errors
/// What the database says.
pub async fn back_checks_of(tx: &mut Tx, state_id: UnitId, ids: &[Uuid]) -> QueryResult<Vec<BackCheckRow>> {
    statement("SELECT * FROM back_checks WHERE state_id = $1 AND id = ANY ($2)")
        .bind::<Integer, _>(state_id)
        .bind::<Array<SqlUuid>, _>(ids)
        .load(tx)
        .await
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// The ids of a state's back-checks after one.
///
/// # Errors
/// What the database says.
pub async fn back_check_ids(
    tx: &mut Tx,
    state_id: UnitId,
    after: Uuid,
    limit: i64,
) -> QueryResult<Vec<Uuid>> {
    let rows: Vec<IdRow> =
        statement("SELECT id FROM back_checks WHERE state_id = $1 AND id > $2 ORDER BY id LIMIT $3")
            .bind::<Integer, _>(state_id)
            .bind::<SqlUuid, _>(after)
            .bind::<BigInt, _>(limit)
            .load(tx)
            .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// The back-check of a drawn visit.
pub async fn find_of_item(tx: &mut Tx, (draw_id, number): (i32, i32)) -> QueryResult<Option<BackCheckRow>> {
    statement("SELECT * FROM back_checks WHERE draw_id = $1 AND number = $2")
        .bind::<Integer, _>(draw_id)
        .bind::<Integer, _>(number)
        .get_result(tx)
        .await
        .optional()
}

/// Stores a back-check; false if its id is taken, or its visit was checked: whoever is writing that is waited for.
pub async fn insert_back_check(tx: &mut Tx, row: &BackCheckRow) -> QueryResult<bool> {
    statement(
        "INSERT INTO back_checks (state_id, id, draw_id, number, booth_id, verifier_id, device_id, checked_at, received_at,
                                  outcome, observed, lat, lon, finding, evidence, late, sent_digest, salts)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
         ON CONFLICT DO NOTHING",
    )
    .bind::<Integer, _>(row.state_id)
    .bind::<SqlUuid, _>(row.id)
    .bind::<Integer, _>(row.draw_id)
    .bind::<Integer, _>(row.number)
    .bind::<Integer, _>(row.booth_id)
    .bind::<Integer, _>(row.verifier_id)
    .bind::<Nullable<SqlUuid>, _>(row.device_id)
    .bind::<Timestamptz, _>(row.checked_at)
    .bind::<Timestamptz, _>(row.received_at)
    .bind::<Text, _>(&row.outcome)
    .bind::<Jsonb, _>(&row.observed)
    .bind::<Nullable<Double>, _>(row.lat)
    .bind::<Nullable<Double>, _>(row.lon)
    .bind::<Text, _>(&row.finding)
    .bind::<Jsonb, _>(&row.evidence)
    .bind::<Bool, _>(row.late)
    .bind::<Binary, _>(&row.sent_digest)
    .bind::<Binary, _>(&row.salts)
    .execute(tx)
    .await
    .map(|stored| stored > 0)
}

/// The back-checks of a draw that the caller may see, by number.
pub async fn list_back_checks(
    tx: &mut Tx,
    draw_id: i32,
    after: i32,
    limit: i64,
) -> QueryResult<Vec<BackCheckRow>> {
    statement("SELECT * FROM back_checks WHERE draw_id = $1 AND number > $2 ORDER BY number LIMIT $3")
        .bind::<Integer, _>(draw_id)
        .bind::<Integer, _>(after)
        .bind::<BigInt, _>(limit)
        .load(tx)
        .await
}

/// Back-checks of a campaign, received by an instant, that still hold what they were told; locked.
pub async fn fading(
    tx: &mut Tx,
    campaign_id: CampaignId,
    received_by: DateTime<Utc>,
    limit: i64,
) -> QueryResult<Vec<BackCheckRow>> {
    statement(
        "SELECT c.* FROM back_checks c JOIN draws d ON d.id = c.draw_id
         WHERE d.campaign_id = $1 AND c.received_at <= $2 AND (c.observed <> '{}' OR c.lat IS NOT NULL)
         ORDER BY c.state_id, c.id LIMIT $3 FOR UPDATE OF c",
    )
    .bind::<Integer, _>(campaign_id)
    .bind::<Timestamptz, _>(received_by)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// Takes from back-checks what they were told and where, and keeps the salts that are left.
pub async fn fade(tx: &mut Tx, rows: &[BackCheckRow]) -> QueryResult<()> {
    statement(
        "UPDATE back_checks c SET observed = '{}', lat = NULL, lon = NULL, salts = k.salts
         FROM unnest($1::int[], $2::uuid[], $3::bytea[]) AS k (state_id, id, salts)
         WHERE c.state_id = k.state_id AND c.id = k.id",
    )
    .bind::<Array<Integer>, _>(rows.iter().map(|row| row.state_id).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(rows.iter().map(|row| row.id).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(rows.iter().map(|row| &row.salts).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(|_| ())
}
