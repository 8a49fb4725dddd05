//! What a worker's phones are told about his account.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::QueryResult;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use crate::access::actions::WorkerWrite;
use crate::access::{Caller, Permit};
use crate::platform::db::Tx;
use crate::platform::ids::{DeviceId, SessionId, WorkerId};
use crate::platform::statement::statement;

/// How long a notice is kept.
const KEPT: TimeDelta = TimeDelta::days(30);
/// Most that a phone is told at once, the newest first.
const MOST: i64 = 20;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// He signed in, or somebody as him, on a phone that is new to him.
    NewDevice,
    /// His number was changed.
    PhoneChanged,
}

impl Notice {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NewDevice => "new_device",
            Self::PhoneChanged => "phone_changed",
        }
    }
}

/// One as kept, with the name of the phone that it came from.
#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct NoticeRow {
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub device_id: Option<DeviceId>,
    #[diesel(sql_type = Nullable<Text>)]
    pub device_name: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
}

/// Keeps a notice for the worker, and drops those of his that are too old.
///
/// # Errors
/// What the database says.
pub async fn note(
    tx: &mut Tx,
    worker_id: WorkerId,
    notice: Notice,
    device_id: Option<DeviceId>,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    statement("DELETE FROM notices WHERE worker_id = $1 AND created_at < $2")
        .bind::<Integer, _>(worker_id)
        .bind::<Timestamptz, _>(now - KEPT)
        .execute(tx)
        .await?;
    statement("INSERT INTO notices (worker_id, kind, device_id, created_at) VALUES ($1, $2, $3, $4)")
        .bind::<Integer, _>(worker_id)
        .bind::<Text, _>(notice.as_str())
        .bind::<Nullable<SqlUuid>, _>(device_id)
        .bind::<Timestamptz, _>(now)
        .execute(tx)
        .await
        .map(|_| ())
}

/// What the caller's phone is to be told: what came from another phone since this one was signed in, the newest first.
///
/// # Errors
/// What the database says.
pub async fn notices_since(
    tx: &mut Tx,
    caller: &Caller,
    session_id: SessionId,
) -> QueryResult<Vec<NoticeRow>> {
    statement(
        "SELECT n.kind, n.device_id, d.name AS device_name, n.created_at
         FROM sessions s JOIN notices n ON n.worker_id = s.worker_id AND n.created_at >= s.created_at
         LEFT JOIN devices d ON d.worker_id = n.worker_id AND d.id = n.device_id
         WHERE s.id = $1 AND s.worker_id = $2 AND n.device_id IS DISTINCT FROM s.device_id AND n.created_at > $3
         ORDER BY n.id DESC LIMIT $4",
    )
    .bind::<SqlUuid, _>(session_id)
    .bind::<Integer, _>(caller.worker_id())
    .bind::<Timestamptz, _>(caller.actor().at - KEPT)
    .bind::<BigInt, _>(MOST)
    .load(tx)
    .await
}

/// Ends the codes under way of a worker whose number was changed: they were sent to the old one.
pub async fn end_codes(tx: &mut Tx, permit: &Permit<WorkerWrite>, worker_id: WorkerId) -> QueryResult<usize> {
    statement(
        "UPDATE otp_challenges SET used_at = $1 WHERE worker_id = $2 AND kind = 'sent' AND used_at IS NULL",
    )
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Integer, _>(worker_id)
    .execute(tx)
    .await
}
