//! What lives behind a token: a worker's session with his grants, or a service's secret with its actions.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::RunQueryDsl;

use super::actions::ActionName;
use super::policy::Grant;
use super::roles::Role;
use crate::platform::db::Tx;
use crate::platform::ids::{DeviceId, GrantId, SessionId, UnitId, WorkerId};
use crate::platform::statement::statement;

/// How the worker of a session has proved himself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// By a code that was sent by message.
    Code,
    /// By a code that whoever manages him read out; he may set up a second factor.
    ReadOut,
    /// By a second factor.
    Totp,
    /// From the command line of the server.
    Program,
}

impl Strength {
    fn find(name: &str) -> Self {
        match name {
            "read_out" => Self::ReadOut,
            "totp" => Self::Totp,
            "program" => Self::Program,
            _ => Self::Code,
        }
    }

    /// As in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::ReadOut => "read_out",
            Self::Totp => "totp",
            Self::Program => "program",
        }
    }

    /// Whether roles that coordinate hold in it.
    #[must_use]
    pub const fn is_strong(self) -> bool {
        matches!(self, Self::Totp | Self::Program)
    }
}

/// A session with its worker and all his grants, past and future ones too.
#[derive(Clone, Debug)]
pub struct LiveSession {
    pub worker_id: WorkerId,
    pub device_id: DeviceId,
    pub expires_at: DateTime<Utc>,
    pub strength: Strength,
    /// The worker's language, a BCP 47 tag.
    pub language: String,
    pub grants: Vec<Grant>,
    /// What a service may do; empty for a worker, whose roles say it.
    pub actions: Vec<ActionName>,
}

#[derive(diesel::QueryableByName)]
struct SessionRow {
    #[diesel(sql_type = Integer)]
    worker_id: WorkerId,
    #[diesel(sql_type = SqlUuid)]
    device_id: DeviceId,
    #[diesel(sql_type = Timestamptz)]
    expires_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    strength: String,
    #[diesel(sql_type = Text)]
    language: String,
}

#[derive(diesel::QueryableByName)]
struct GrantRow {
    #[diesel(sql_type = Integer)]
    id: GrantId,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Integer)]
    unit_id: UnitId,
    #[diesel(sql_type = Date)]
    valid_from: NaiveDate,
    #[diesel(sql_type = Nullable<Date>)]
    valid_to: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ended_at: Option<DateTime<Utc>>,
}

/// The session if it is live and its worker active.
///
/// # Errors
/// What the database says.
pub async fn live_session(
    tx: &mut Tx,
    session_id: SessionId,
    worker_id: WorkerId,
    now: DateTime<Utc>,
) -> QueryResult<Option<LiveSession>> {
    let row: Option<SessionRow> = statement(
        "SELECT s.worker_id, s.device_id, s.expires_at, s.strength, w.language
         FROM sessions s JOIN workers w ON w.id = s.worker_id
         WHERE s.id = $1 AND s.worker_id = $2 AND s.revoked_at IS NULL AND s.expires_at > $3 AND w.active",
    )
    .bind::<SqlUuid, _>(session_id)
    .bind::<Integer, _>(worker_id)
    .bind::<Timestamptz, _>(now)
    .get_result(tx)
    .await
    .optional()?;
    let Some(row) = row else { return Ok(None) };
    let grants: Vec<GrantRow> = statement(
        "SELECT id, role, unit_id, valid_from, valid_to, ended_at FROM grants WHERE worker_id = $1 ORDER BY id",
    )
    .bind::<Integer, _>(worker_id)
    .load(tx)
    .await?;
    let grants = grants.into_iter().filter_map(|row| {
        Some(Grant {
            id: row.id,
            role: Role::find(&row.role)?,
            unit_id: row.unit_id,
            valid_from: row.valid_from,
            valid_to: row.valid_to,
            ended_at: row.ended_at,
        })
    });
    Ok(Some(LiveSession {
        worker_id: row.worker_id,
        device_id: row.device_id,
        expires_at: row.expires_at,
        strength: Strength::find(&row.strength),
        language: row.language,
        grants: grants.collect(),
        actions: Vec::new(),
    }))
}

#[derive(diesel::QueryableByName)]
struct ServiceRow {
    #[diesel(sql_type = Array<Text>)]
    actions: Vec<String>,
    #[diesel(sql_type = Array<Integer>)]
    unit_ids: Vec<UnitId>,
}

/// The service whose secret this is, if both are live, in the shape of a session: a grant of the role `service` at each
/// of its units. It is no worker, which the number 0 says that no worker has.
///
/// # Errors
/// What the database says.
pub async fn live_service(
    tx: &mut Tx,
    secret_id: SessionId,
    client_id: uuid::Uuid,
) -> QueryResult<Option<LiveSession>> {
    let row: Option<ServiceRow> = statement(
        "SELECT s.actions, s.unit_ids FROM services s JOIN service_secrets k ON k.service_id = s.id
         WHERE k.id = $1 AND s.client_id = $2 AND k.revoked_at IS NULL AND s.active",
    )
    .bind::<SqlUuid, _>(secret_id)
    .bind::<SqlUuid, _>(client_id)
    .get_result(tx)
    .await
    .optional()?;
    Ok(row.map(|row| LiveSession {
        worker_id: WorkerId(0),
        device_id: DeviceId(client_id),
        expires_at: DateTime::<Utc>::MAX_UTC,
        strength: Strength::Program,
        language: "en".to_owned(),
        grants: row
            .unit_ids
            .into_iter()
            .map(|unit_id| Grant {
                id: GrantId(0),
                role: Role::Service,
                unit_id,
                valid_from: NaiveDate::MIN,
                valid_to: None,
                ended_at: None,
            })
            .collect(),
        actions: ActionName::ALL
            .iter()
            .copied()
            .filter(|action| {
                action.is_for_services() && row.actions.iter().any(|name| name == action.as_str())
            })
            .collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strength_is_read_as_it_was_written_and_an_unknown_one_is_the_weakest() {
        for (strength, is_strong) in [
            (Strength::Code, false),
            (Strength::ReadOut, false),
            (Strength::Totp, true),
            (Strength::Program, true),
        ] {
            assert_eq!(Strength::find(strength.as_str()), strength);
            assert_eq!(strength.is_strong(), is_strong);
        }
        assert_eq!(Strength::find("else"), Strength::Code);
    }
}
