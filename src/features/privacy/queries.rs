pub mod erasures;

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::RunQueryDsl;

use crate::access::Caller;
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, UnitId, WorkerId};
use crate::platform::statement::statement;

#[derive(diesel::QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
}

/// The nation, at which the program journals what it does for everyone.
pub async fn nation(tx: &mut Tx) -> QueryResult<Option<UnitId>> {
    let row: Option<IdRow> = statement("SELECT id FROM units WHERE level = 'nation'")
        .get_result(tx)
        .await
        .optional()?;
    Ok(row.map(|row| row.id))
}

#[derive(diesel::QueryableByName)]
struct TurnRow {
    #[diesel(sql_type = Bool)]
    taken: bool,
}

/// Whether this transaction may do a step of retention: one at a time, over all servers.
pub async fn take_turn(tx: &mut Tx) -> QueryResult<bool> {
    let row: TurnRow =
        statement("SELECT pg_try_advisory_xact_lock(hashtextextended('sampark retention', 0)) AS taken")
            .get_result(tx)
            .await?;
    Ok(row.taken)
}

/// A campaign and how long its visits keep what they tell.
#[derive(Clone, Copy, Debug, diesel::QueryableByName)]
pub struct CampaignDays {
    #[diesel(sql_type = Integer)]
    pub id: CampaignId,
    #[diesel(sql_type = Integer)]
    pub retention_days: i32,
}

/// Every campaign.
pub async fn campaigns(tx: &mut Tx) -> QueryResult<Vec<CampaignDays>> {
    statement("SELECT id, retention_days FROM campaigns ORDER BY id")
        .load(tx)
        .await
}

#[derive(diesel::QueryableByName)]
struct WorkerRow {
    #[diesel(sql_type = Integer)]
    id: WorkerId,
}

/// Destroys what is held of the next workers who asked for it by an instant: number, name, origin, the names of their
/// phones, their second factors. Their visits stay, by a number that is nobody's name any more.
pub async fn erase_workers(
    tx: &mut Tx,
    requested_by: DateTime<Utc>,
    now: DateTime<Utc>,
    limit: i64,
) -> QueryResult<Vec<WorkerId>> {
    let rows: Vec<WorkerRow> = statement(
        "WITH due AS (
             SELECT id FROM workers WHERE erasure_requested_at <= $1 AND erased_at IS NULL ORDER BY id LIMIT $2 FOR UPDATE
         ), d AS (UPDATE devices SET name = NULL, platform = NULL, app_version = NULL
                  WHERE worker_id IN (SELECT id FROM due)
         ), f AS (DELETE FROM second_factors WHERE worker_id IN (SELECT id FROM due)
         ), c AS (DELETE FROM otp_challenges WHERE worker_id IN (SELECT id FROM due))
         UPDATE workers w SET phone_sealed = NULL, phone_index = NULL, name = '(erased)', origin_party = NULL,
             origin_joined_on = NULL, erased_at = $3, version = version + 1, updated_at = $4
         WHERE w.id IN (SELECT id FROM due) RETURNING w.id",
    )
    .bind::<Timestamptz, _>(requested_by)
    .bind::<BigInt, _>(limit)
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(now)
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

#[derive(diesel::QueryableByName)]
struct VersionRow {
    #[diesel(sql_type = Integer)]
    version: i32,
}

/// The versions of data keys that something was sealed by: the second and third byte of what is sealed.
pub async fn versions_in_use(tx: &mut Tx) -> QueryResult<Vec<u16>> {
    let rows: Vec<VersionRow> = statement(
        "SELECT DISTINCT get_byte(s.sealed, 1) * 256 + get_byte(s.sealed, 2) AS version FROM (
             SELECT phone_sealed AS sealed FROM workers UNION ALL SELECT phone_sealed FROM contacts
             UNION ALL SELECT note_sealed FROM visits UNION ALL SELECT text_sealed FROM flag_answers UNION ALL SELECT sealed FROM webhook_secrets
             UNION ALL SELECT (content ->> 'note_sealed')::bytea FROM visit_versions
             UNION ALL SELECT body FROM idempotency_keys WHERE length(body) > 2 AND get_byte(body, 0) = 1) s
         WHERE s.sealed IS NOT NULL",
    )
    .load(tx)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| u16::try_from(row.version).ok())
        .collect())
}

/// What is held of a worker beside his row.
#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct HeldRow {
    #[diesel(sql_type = BigInt)]
    pub visits: i64,
    #[diesel(sql_type = BigInt)]
    pub contacts: i64,
    #[diesel(sql_type = BigInt)]
    pub journal_entries: i64,
    #[diesel(sql_type = BigInt)]
    pub devices: i64,
    #[diesel(sql_type = BigInt)]
    pub sessions: i64,
    #[diesel(sql_type = Bool)]
    pub second_factor: bool,
}

/// What is held of the caller.
pub async fn held_of(tx: &mut Tx, caller: &Caller) -> QueryResult<HeldRow> {
    statement(
        "SELECT (SELECT count(*) FROM visits WHERE worker_id = w.id) AS visits,
                (SELECT count(*) FROM contacts WHERE recorded_by = w.id) AS contacts,
                (SELECT count(*) FROM journal WHERE actor_id = w.id)
                    + (SELECT count(*) FROM journal_inbox WHERE actor_id = w.id) AS journal_entries,
                (SELECT count(*) FROM devices WHERE worker_id = w.id) AS devices,
                (SELECT count(*) FROM sessions WHERE worker_id = w.id AND revoked_at IS NULL) AS sessions,
                EXISTS (SELECT 1 FROM second_factors WHERE worker_id = w.id) AS second_factor
         FROM workers w WHERE w.id = $1",
    )
    .bind::<Integer, _>(caller.worker_id())
    .get_result(tx)
    .await
}

/// Stores the caller's name and language under the next version.
pub async fn correct_own(
    tx: &mut Tx,
    caller: &Caller,
    name: Option<&str>,
    language: Option<&str>,
) -> QueryResult<()> {
    statement(
        "UPDATE workers SET name = coalesce($1, name), language = coalesce($2, language), version = version + 1,
             updated_at = $3 WHERE id = $4",
    )
    .bind::<Nullable<Text>, _>(name)
    .bind::<Nullable<Text>, _>(language)
    .bind::<Timestamptz, _>(caller.actor().at)
    .bind::<Integer, _>(caller.worker_id())
    .execute(tx)
    .await
    .map(|_| ())
}

/// Shuts the caller out: he is inactive, his sessions end, and his number and name are shown to nobody from now on.
pub async fn restrict(tx: &mut Tx, caller: &Caller) -> QueryResult<()> {
    let at = caller.actor().at;
    statement(
        "UPDATE workers SET active = false, erasure_requested_at = $1, version = version + 1, updated_at = $2 WHERE id = $3",
    )
    .bind::<Timestamptz, _>(at)
    .bind::<Timestamptz, _>(at)
    .bind::<Integer, _>(caller.worker_id())
    .execute(tx)
    .await?;
    statement(
        "UPDATE sessions SET revoked_at = $1, revoked_why = 'erasure' WHERE worker_id = $2 AND revoked_at IS NULL",
    )
    .bind::<Timestamptz, _>(at)
    .bind::<Integer, _>(caller.worker_id())
    .execute(tx)
    .await
    .map(|_| ())
}

/// The state of a unit.
pub async fn state_of(tx: &mut Tx, unit_id: UnitId) -> QueryResult<UnitId> {
    let row: IdRow = statement("SELECT state_id AS id FROM units WHERE id = $1")
        .bind::<Integer, _>(unit_id)
        .get_result(tx)
        .await?;
    Ok(row.id)
}
