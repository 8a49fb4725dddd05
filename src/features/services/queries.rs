use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::access::actions::{ServiceRead, ServiceWrite};
use crate::access::{Permit, Scope};
use crate::platform::db::Tx;
use crate::platform::ids::{ServiceId, UnitId};
use crate::platform::statement::statement;

/// A service.
#[derive(Clone, Debug, QueryableByName)]
pub struct ServiceRow {
    #[diesel(sql_type = Integer)]
    pub id: ServiceId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub contact: String,
    #[diesel(sql_type = SqlUuid)]
    pub client_id: Uuid,
    #[diesel(sql_type = Array<Text>)]
    pub actions: Vec<String>,
    #[diesel(sql_type = Array<Integer>)]
    pub unit_ids: Vec<UnitId>,
    #[diesel(sql_type = Bool)]
    pub active: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_used_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}

/// A live secret.
#[derive(Clone, Debug, QueryableByName)]
pub struct SecretRow {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub hash: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_used_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
}

/// What whoever asks for a token is measured by.
#[derive(Clone, Debug, QueryableByName)]
pub struct ClientRow {
    #[diesel(sql_type = Integer)]
    pub id: ServiceId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
}

/// The services in scope, by id; one more than `limit` shows that there is a next page.
pub async fn list_services(
    tx: &mut Tx,
    scope: &Scope<ServiceRead>,
    today: NaiveDate,
    after: Option<ServiceId>,
    limit: i64,
) -> QueryResult<Vec<ServiceRow>> {
    statement(
        "SELECT s.* FROM services s WHERE s.id > $1 AND EXISTS (
             SELECT 1 FROM lineages l WHERE l.unit_id = s.unit_id AND l.valid_from <= $2
                AND (l.valid_to IS NULL OR l.valid_to > $3) AND l.unit_ids && $4)
         ORDER BY s.id LIMIT $5",
    )
    .bind::<Integer, _>(after.unwrap_or(ServiceId(0)))
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<BigInt, _>(limit.saturating_add(1))
    .load(tx)
    .await
}

/// The unit that answers for a service, to ask for leave there; locked if it is to be changed.
pub async fn home_of(tx: &mut Tx, id: ServiceId, lock: bool) -> QueryResult<Option<UnitId>> {
    #[derive(QueryableByName)]
    struct HomeRow {
        #[diesel(sql_type = Integer)]
        unit_id: UnitId,
    }
    let row: Option<HomeRow> = if lock {
        statement("SELECT unit_id FROM services WHERE id = $1 FOR NO KEY UPDATE")
    } else {
        statement("SELECT unit_id FROM services WHERE id = $1")
    }
    .bind::<Integer, _>(id)
    .get_result(tx)
    .await
    .optional()?;
    Ok(row.map(|row| row.unit_id))
}

/// A service of the permit's unit.
pub async fn find_service<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    id: ServiceId,
) -> QueryResult<Option<ServiceRow>> {
    statement("SELECT * FROM services WHERE id = $1 AND unit_id = $2")
        .bind::<Integer, _>(id)
        .bind::<Integer, _>(permit.unit_id())
        .get_result(tx)
        .await
        .optional()
}

/// Its live secrets, the oldest first.
pub async fn live_secrets(tx: &mut Tx, id: ServiceId) -> QueryResult<Vec<SecretRow>> {
    statement(
        "SELECT id, hash, last_used_at, created_at FROM service_secrets WHERE service_id = $1 AND revoked_at IS NULL
         ORDER BY created_at, id",
    )
    .bind::<Integer, _>(id)
    .load(tx)
    .await
}

/// A service to store.
#[derive(Clone, Debug)]
pub struct ServiceToStore {
    pub name: String,
    pub contact: String,
    pub client_id: Uuid,
    pub actions: Vec<&'static str>,
    pub unit_ids: Vec<UnitId>,
    pub active: bool,
}

/// Registers a service at the permit's unit.
pub async fn insert_service(
    tx: &mut Tx,
    permit: &Permit<ServiceWrite>,
    new: &ServiceToStore,
) -> QueryResult<ServiceRow> {
    let at = permit.actor().at;
    statement(
        "INSERT INTO services (unit_id, name, contact, client_id, actions, unit_ids, active, created_by, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING *",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Text, _>(&new.name)
    .bind::<Text, _>(&new.contact)
    .bind::<SqlUuid, _>(new.client_id)
    .bind::<Array<Text>, _>(&new.actions)
    .bind::<Array<Integer>, _>(&new.unit_ids)
    .bind::<Bool, _>(new.active)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(at)
    .bind::<Timestamptz, _>(at)
    .get_result(tx)
    .await
}

/// Stores a changed service of the permit's unit under the next version.
pub async fn update_service(
    tx: &mut Tx,
    permit: &Permit<ServiceWrite>,
    id: ServiceId,
    changed: &ServiceToStore,
) -> QueryResult<ServiceRow> {
    statement(
        "UPDATE services SET name = $1, contact = $2, actions = $3, unit_ids = $4, active = $5, version = version + 1,
             updated_at = $6
         WHERE id = $7 AND unit_id = $8 RETURNING *",
    )
    .bind::<Text, _>(&changed.name)
    .bind::<Text, _>(&changed.contact)
    .bind::<Array<Text>, _>(&changed.actions)
    .bind::<Array<Integer>, _>(&changed.unit_ids)
    .bind::<Bool, _>(changed.active)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Integer, _>(id)
    .bind::<Integer, _>(permit.unit_id())
    .get_result(tx)
    .await
}

/// Keeps a new secret.
pub async fn insert_secret(
    tx: &mut Tx,
    permit: &Permit<ServiceWrite>,
    service: &ServiceRow,
    id: Uuid,
    hash: &str,
) -> QueryResult<()> {
    statement("INSERT INTO service_secrets (id, service_id, hash, created_at) VALUES ($1, $2, $3, $4)")
        .bind::<SqlUuid, _>(id)
        .bind::<Integer, _>(service.id)
        .bind::<Text, _>(hash)
        .bind::<Timestamptz, _>(permit.actor().at)
        .execute(tx)
        .await
        .map(|_| ())
}

/// Ends a secret; false if it was not live.
pub async fn revoke_secret(
    tx: &mut Tx,
    permit: &Permit<ServiceWrite>,
    service: &ServiceRow,
    id: Uuid,
) -> QueryResult<bool> {
    statement(
        "UPDATE service_secrets SET revoked_at = $1 WHERE id = $2 AND service_id = $3 AND revoked_at IS NULL",
    )
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<SqlUuid, _>(id)
    .bind::<Integer, _>(service.id)
    .execute(tx)
    .await
    .map(|rows| rows == 1)
}

/// Counts a try of a client before it is judged; `None` if there is no such client, or it is not active or locked.
pub async fn count_try(
    tx: &mut Tx,
    client_id: Uuid,
    most: i32,
    now: DateTime<Utc>,
    locked_until: DateTime<Utc>,
) -> QueryResult<Option<ClientRow>> {
    statement(
        "UPDATE services s SET
             failures = CASE WHEN s.locked_until IS NULL THEN s.failures + 1 ELSE 1 END,
             locked_until = CASE WHEN s.locked_until IS NULL AND s.failures + 1 >= $1 THEN $2 END
         FROM units u
         WHERE s.client_id = $3 AND s.active AND (s.locked_until IS NULL OR s.locked_until <= $4) AND u.id = s.unit_id
         RETURNING s.id, s.unit_id, u.state_id",
    )
    .bind::<Integer, _>(most)
    .bind::<Timestamptz, _>(locked_until)
    .bind::<SqlUuid, _>(client_id)
    .bind::<Timestamptz, _>(now)
    .get_result(tx)
    .await
    .optional()
}

/// The client has proved itself by this secret.
pub async fn mark_used(tx: &mut Tx, id: ServiceId, secret_id: Uuid, now: DateTime<Utc>) -> QueryResult<()> {
    statement("UPDATE service_secrets SET last_used_at = $1 WHERE id = $2")
        .bind::<Timestamptz, _>(now)
        .bind::<SqlUuid, _>(secret_id)
        .execute(tx)
        .await?;
    statement("UPDATE services SET failures = 0, locked_until = NULL, last_used_at = $1 WHERE id = $2")
        .bind::<Timestamptz, _>(now)
        .bind::<Integer, _>(id)
        .execute(tx)
        .await
        .map(|_| ())
}
