//! Statements about codes, devices, sessions and refresh tokens. Those of a signed-in worker take his [`Caller`].

use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, Binary, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::rules::CodeKind;
use super::wire::DeviceSent;
use crate::access::{Caller, Role, Strength};
use crate::features::workers::{Notice, new_phones, note, phone_index};
use crate::journal::Digest;
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::ids::{DeviceId, SessionId, UnitId, WorkerId};
use crate::platform::statement::statement;

pub mod guards;
pub mod outbox;

/// An active worker, with where he stands on the roster.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct RosterRow {
    #[diesel(sql_type = Integer)]
    pub id: WorkerId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
}

#[derive(QueryableByName)]
struct TimeRow {
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}

/// A code that a try is judged by.
#[derive(Debug, QueryableByName)]
pub struct ChallengeRow {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Binary)]
    pub code_hash: Vec<u8>,
    /// The device that asked for it, where it said so.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub device_id: Option<DeviceId>,
}

/// A refresh token with its session.
#[derive(Debug, QueryableByName)]
pub struct RefreshRow {
    #[diesel(sql_type = SqlUuid)]
    pub session_id: SessionId,
    #[diesel(sql_type = SqlUuid)]
    pub device_id: DeviceId,
    #[diesel(sql_type = Integer)]
    pub worker_id: WorkerId,
    #[diesel(sql_type = Bool)]
    pub live: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub used_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Bool)]
    pub successor_used: bool,
}

/// A phone.
#[derive(Debug, QueryableByName)]
pub struct DeviceRow {
    #[diesel(sql_type = SqlUuid)]
    pub id: DeviceId,
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub platform: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub app_version: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub last_seen_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct RoleRow {
    #[diesel(sql_type = Text)]
    role: String,
}

/// The active worker with this number, locked, so that two requests for a code wait for each other.
pub async fn lock_by_phone(tx: &mut Tx, keys: &DataKeys, phone: &str) -> QueryResult<Option<RosterRow>> {
    statement(
        "SELECT w.id, w.unit_id, u.state_id FROM workers w JOIN units u ON u.id = w.unit_id
         WHERE w.phone_index = $1 AND w.active FOR NO KEY UPDATE OF w",
    )
    .bind::<Binary, _>(phone_index(keys, phone))
    .get_result(tx)
    .await
    .optional()
}

/// An active worker by his number.
pub async fn find_active(tx: &mut Tx, id: WorkerId) -> QueryResult<Option<RosterRow>> {
    statement(
        "SELECT w.id, w.unit_id, u.state_id FROM workers w JOIN units u ON u.id = w.unit_id WHERE w.id = $1 AND w.active",
    )
    .bind::<Integer, _>(id)
    .get_result(tx)
    .await
    .optional()
}

/// When he was sent codes since an instant.
pub async fn codes_sent(
    tx: &mut Tx,
    worker: &RosterRow,
    since: DateTime<Utc>,
) -> QueryResult<Vec<DateTime<Utc>>> {
    let rows: Vec<TimeRow> =
        statement("SELECT created_at AS at FROM otp_challenges WHERE worker_id = $1 AND created_at > $2 AND kind = 'sent'")
            .bind::<Integer, _>(worker.id)
            .bind::<Timestamptz, _>(since)
            .load(tx)
            .await?;
    Ok(rows.into_iter().map(|row| row.at).collect())
}

/// The language of his messages.
pub async fn language_of(tx: &mut Tx, worker: &RosterRow) -> QueryResult<String> {
    #[derive(QueryableByName)]
    struct LanguageRow {
        #[diesel(sql_type = Text)]
        language: String,
    }
    let row: LanguageRow = statement("SELECT language FROM workers WHERE id = $1")
        .bind::<Integer, _>(worker.id)
        .get_result(tx)
        .await?;
    Ok(row.language)
}

/// A code to keep.
#[derive(Debug)]
pub struct NewCode {
    pub id: Uuid,
    pub hash: Vec<u8>,
    pub kind: CodeKind,
    pub device_id: Option<DeviceId>,
    pub given_by: Option<WorkerId>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// Ends his older codes of the kind and keeps a new one.
pub async fn replace_code(tx: &mut Tx, worker_id: WorkerId, new: &NewCode) -> QueryResult<()> {
    statement(
        "UPDATE otp_challenges SET used_at = $1 WHERE worker_id = $2 AND kind = $3 AND used_at IS NULL",
    )
    .bind::<Timestamptz, _>(new.created_at)
    .bind::<Integer, _>(worker_id)
    .bind::<Text, _>(new.kind.as_str())
    .execute(tx)
    .await?;
    statement(
        "INSERT INTO otp_challenges (id, worker_id, code_hash, kind, device_id, given_by, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind::<SqlUuid, _>(new.id)
    .bind::<Integer, _>(worker_id)
    .bind::<Binary, _>(&new.hash)
    .bind::<Text, _>(new.kind.as_str())
    .bind::<Nullable<SqlUuid>, _>(new.device_id)
    .bind::<Nullable<Integer>, _>(new.given_by)
    .bind::<Timestamptz, _>(new.created_at)
    .bind::<Timestamptz, _>(new.expires_at)
    .execute(tx)
    .await
    .map(|_| ())
}

/// Counts a try at his live code of a kind, if one is left. Commit before comparing.
pub async fn count_try(
    tx: &mut Tx,
    worker: &RosterRow,
    kind: CodeKind,
    most: i16,
    now: DateTime<Utc>,
) -> QueryResult<Option<ChallengeRow>> {
    statement(
        "UPDATE otp_challenges SET tries = tries + 1
         WHERE worker_id = $1 AND kind = $2 AND used_at IS NULL AND expires_at > $3 AND tries < $4
         RETURNING id, code_hash, device_id",
    )
    .bind::<Integer, _>(worker.id)
    .bind::<Text, _>(kind.as_str())
    .bind::<Timestamptz, _>(now)
    .bind::<SmallInt, _>(most)
    .get_result(tx)
    .await
    .optional()
}

/// Uses a code up; false if it was used in the meantime.
pub async fn use_code(tx: &mut Tx, id: Uuid, now: DateTime<Utc>) -> QueryResult<bool> {
    statement("UPDATE otp_challenges SET used_at = $1 WHERE id = $2 AND used_at IS NULL")
        .bind::<Timestamptz, _>(now)
        .bind::<SqlUuid, _>(id)
        .execute(tx)
        .await
        .map(|rows| rows == 1)
}

/// The roles that he holds or will hold.
pub async fn roles_of(tx: &mut Tx, worker_id: WorkerId) -> QueryResult<Vec<Role>> {
    let rows: Vec<RoleRow> =
        statement("SELECT DISTINCT role FROM grants WHERE worker_id = $1 AND ended_at IS NULL")
            .bind::<Integer, _>(worker_id)
            .load(tx)
            .await?;
    Ok(rows.iter().filter_map(|row| Role::find(&row.role)).collect())
}

/// Begins a session on a device; what was open there is ended. Returns its id and whether something was open.
pub async fn begin_session(
    tx: &mut Tx,
    worker: &RosterRow,
    device: &DeviceSent,
    strength: Strength,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> QueryResult<(SessionId, bool)> {
    if is_new_beside_others(tx, worker.id, device.id).await? {
        note(tx, worker.id, Notice::NewDevice, Some(device.id), now).await?;
    }
    statement(
        "INSERT INTO devices (id, worker_id, name, platform, app_version, created_at, last_seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (worker_id, id) DO UPDATE SET name = excluded.name, platform = excluded.platform,
             app_version = excluded.app_version, last_seen_at = excluded.last_seen_at",
    )
    .bind::<SqlUuid, _>(device.id)
    .bind::<Integer, _>(worker.id)
    .bind::<Nullable<Text>, _>(device.name.as_ref())
    .bind::<Nullable<Text>, _>(device.platform.as_ref())
    .bind::<Nullable<Text>, _>(device.app_version.as_ref())
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(now)
    .execute(tx)
    .await?;
    let ended = end_on_device(tx, worker.id, device.id, "signed_in_again", now).await?;
    let id = SessionId(Uuid::new_v4());
    statement(
        "INSERT INTO sessions (id, worker_id, device_id, strength, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Integer, _>(worker.id)
    .bind::<SqlUuid, _>(device.id)
    .bind::<Text, _>(strength.as_str())
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(expires_at)
    .execute(tx)
    .await?;
    Ok((id, ended > 0))
}

/// Whether he never signed in on this phone, but did on another.
async fn is_new_beside_others(tx: &mut Tx, worker_id: WorkerId, device_id: DeviceId) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct NewRow {
        #[diesel(sql_type = Bool)]
        is_new: bool,
    }
    let row: NewRow = statement(
        "SELECT count(*) > 0 AND NOT coalesce(bool_or(id = $1), false) AS is_new FROM devices WHERE worker_id = $2",
    )
    .bind::<SqlUuid, _>(device_id)
    .bind::<Integer, _>(worker_id)
    .get_result(tx)
    .await?;
    Ok(row.is_new)
}

/// Ends what is open on a device; returns how many sessions that were.
async fn end_on_device(
    tx: &mut Tx,
    worker_id: WorkerId,
    device_id: DeviceId,
    why: &str,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    statement(
        "UPDATE sessions SET revoked_at = $1, revoked_why = $2
         WHERE worker_id = $3 AND device_id = $4 AND revoked_at IS NULL",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Text, _>(why)
    .bind::<Integer, _>(worker_id)
    .bind::<SqlUuid, _>(device_id)
    .execute(tx)
    .await
}

/// Ends a device of the caller's; false if nothing was open there.
pub async fn end_own_device(tx: &mut Tx, caller: &Caller, device_id: DeviceId) -> QueryResult<bool> {
    let now = caller.actor().at;
    end_on_device(tx, caller.worker_id(), device_id, "device_revoked", now)
        .await
        .map(|ended| ended > 0)
}

/// Ends a session.
pub async fn end_session(tx: &mut Tx, id: SessionId, why: &str, now: DateTime<Utc>) -> QueryResult<bool> {
    statement("UPDATE sessions SET revoked_at = $1, revoked_why = $2 WHERE id = $3 AND revoked_at IS NULL")
        .bind::<Timestamptz, _>(now)
        .bind::<Text, _>(why)
        .bind::<SqlUuid, _>(id)
        .execute(tx)
        .await
        .map(|rows| rows == 1)
}

/// Keeps a refresh token.
pub async fn keep_token(
    tx: &mut Tx,
    session_id: SessionId,
    hash: Digest,
    parent: Option<Digest>,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> QueryResult<()> {
    statement(
        "INSERT INTO refresh_tokens (hash, session_id, parent_hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind::<Binary, _>(hash.0.as_slice())
    .bind::<SqlUuid, _>(session_id)
    .bind::<Nullable<Binary>, _>(parent.map(|parent| parent.0.to_vec()))
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(expires_at)
    .execute(tx)
    .await
    .map(|_| ())
}

/// A refresh token, its session locked, so that refreshes of one session come one after the other.
pub async fn lock_token(tx: &mut Tx, hash: Digest, now: DateTime<Utc>) -> QueryResult<Option<RefreshRow>> {
    // The lock is a statement of its own: what follows then sees what its last holder committed.
    statement(
        "SELECT 1 FROM sessions WHERE id = (SELECT session_id FROM refresh_tokens WHERE hash = $1) FOR NO KEY UPDATE",
    )
    .bind::<Binary, _>(hash.0.as_slice())
    .execute(tx)
    .await?;
    statement(
        "SELECT t.session_id, s.device_id, s.worker_id, t.used_at,
                s.revoked_at IS NULL AND s.expires_at > $1 AND t.expires_at > $2 AND w.active AS live,
                EXISTS (SELECT 1 FROM refresh_tokens n WHERE n.parent_hash = t.hash AND n.used_at IS NOT NULL) AS successor_used
         FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id JOIN workers w ON w.id = s.worker_id
         WHERE t.hash = $3",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(now)
    .bind::<Binary, _>(hash.0.as_slice())
    .get_result(tx)
    .await
    .optional()
}

/// Whether this token was made and not used.
pub async fn is_unused(tx: &mut Tx, hash: Digest) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct FlagRow {
        #[diesel(sql_type = Bool)]
        flag: bool,
    }
    let row: FlagRow =
        statement("SELECT EXISTS (SELECT 1 FROM refresh_tokens WHERE hash = $1 AND used_at IS NULL) AS flag")
            .bind::<Binary, _>(hash.0.as_slice())
            .get_result(tx)
            .await?;
    Ok(row.flag)
}

/// Marks a token used and drops the successors that nobody used: their reply was lost.
pub async fn use_token(
    tx: &mut Tx,
    hash: Digest,
    session: &RefreshRow,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    statement("DELETE FROM refresh_tokens WHERE parent_hash = $1")
        .bind::<Binary, _>(hash.0.as_slice())
        .execute(tx)
        .await?;
    statement("UPDATE refresh_tokens SET used_at = $1 WHERE hash = $2")
        .bind::<Timestamptz, _>(now)
        .bind::<Binary, _>(hash.0.as_slice())
        .execute(tx)
        .await?;
    statement("UPDATE devices SET last_seen_at = $1 WHERE worker_id = $2 AND id = $3")
        .bind::<Timestamptz, _>(now)
        .bind::<Integer, _>(session.worker_id)
        .bind::<SqlUuid, _>(session.device_id)
        .execute(tx)
        .await
        .map(|_| ())
}

/// The caller's phones on which he is signed in.
pub async fn own_devices(tx: &mut Tx, caller: &Caller) -> QueryResult<Vec<DeviceRow>> {
    statement(
        "SELECT d.id, d.name, d.platform, d.app_version, d.created_at, d.last_seen_at FROM devices d
         WHERE d.worker_id = $1 AND EXISTS (
             SELECT 1 FROM sessions s WHERE s.worker_id = d.worker_id AND s.device_id = d.id
               AND s.revoked_at IS NULL AND s.expires_at > $2)
         ORDER BY d.last_seen_at DESC, d.id",
    )
    .bind::<Integer, _>(caller.worker_id())
    .bind::<Timestamptz, _>(caller.actor().at)
    .load(tx)
    .await
}

/// The units of these grants, for [`super::admin`].
pub async fn nation(tx: &mut Tx) -> QueryResult<Option<UnitId>> {
    #[derive(QueryableByName)]
    struct IdRow {
        #[diesel(sql_type = Integer)]
        id: UnitId,
    }
    let row: Option<IdRow> = statement("SELECT id FROM units WHERE level = 'nation'")
        .get_result(tx)
        .await
        .optional()?;
    Ok(row.map(|row| row.id))
}

/// Puts somebody on the roster of the nation, or finds him, and makes him national administrator. Returns his number and
/// whether anything changed. Only the program itself does this, at its command line.
pub async fn make_admin(
    tx: &mut Tx,
    keys: &DataKeys,
    nation_id: UnitId,
    phone: &str,
    name: &str,
    now: DateTime<Utc>,
    today: chrono::NaiveDate,
) -> QueryResult<(WorkerId, bool)> {
    #[derive(QueryableByName)]
    struct MadeRow {
        #[diesel(sql_type = Integer)]
        id: WorkerId,
        #[diesel(sql_type = Bool)]
        made: bool,
    }
    let Some((id, sealed, index)) = new_phones(tx, keys, &[phone]).await?.into_iter().next() else {
        return Err(diesel::result::Error::NotFound);
    };
    let worker: MadeRow = statement(
        "WITH made AS (
             INSERT INTO workers (id, unit_id, name, phone_sealed, phone_index, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (phone_index) DO NOTHING RETURNING id)
         SELECT id, true AS made FROM made
         UNION ALL SELECT id, false FROM workers WHERE phone_index = $8 LIMIT 1",
    )
    .bind::<Integer, _>(id)
    .bind::<Integer, _>(nation_id)
    .bind::<Text, _>(name)
    .bind::<Binary, _>(sealed)
    .bind::<Binary, _>(&index)
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(now)
    .bind::<Binary, _>(&index)
    .get_result(tx)
    .await?;
    let granted = statement(
        "INSERT INTO grants (worker_id, role, unit_id, valid_from, created_at)
         SELECT $1, 'national_admin', $2, $3, $4
         WHERE NOT EXISTS (SELECT 1 FROM grants WHERE worker_id = $5 AND role = 'national_admin' AND unit_id = $6
                           AND ended_at IS NULL AND valid_to IS NULL)",
    )
    .bind::<Integer, _>(worker.id)
    .bind::<Integer, _>(nation_id)
    .bind::<diesel::sql_types::Date, _>(today)
    .bind::<Timestamptz, _>(now)
    .bind::<Integer, _>(worker.id)
    .bind::<Integer, _>(nation_id)
    .execute(tx)
    .await?;
    let woken = statement(
        "UPDATE workers SET active = true
         WHERE id = ANY ($1) AND NOT active AND erasure_requested_at IS NULL",
    )
    .bind::<Array<Integer>, _>(vec![worker.id])
    .execute(tx)
    .await?;
    Ok((worker.id, worker.made || granted > 0 || woken > 0))
}
