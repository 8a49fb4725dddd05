//! Entries as they stand in the journal.

use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{
    Array, BigInt, Binary, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::entry::Digest;
use super::leaf::Leaf;
use crate::platform::db::Tx;
use crate::platform::ids::{DeviceId, UnitId, WorkerId};
use crate::platform::statement::statement;

/// A row of `journal`.
#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct StoredEntry {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = BigInt)]
    pub number: i64,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Array<Integer>)]
    pub unit_ids: Vec<UnitId>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub actor_id: Option<WorkerId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub device_id: Option<DeviceId>,
    #[diesel(sql_type = Text)]
    pub action: String,
    #[diesel(sql_type = Text)]
    pub subject: String,
    #[diesel(sql_type = Array<Integer>)]
    pub subject_ids: Vec<i32>,
    #[diesel(sql_type = Array<SqlUuid>)]
    pub subject_uuids: Vec<Uuid>,
    #[diesel(sql_type = Array<Integer>)]
    pub subject_versions: Vec<i32>,
    #[diesel(sql_type = Binary)]
    pub digest: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = Binary)]
    pub leaf_hash: Vec<u8>,
    #[diesel(sql_type = SmallInt)]
    pub form: i16,
}

impl StoredEntry {
    /// The canonical form; `None` if its form is none that there is.
    #[must_use]
    pub fn canonical(&self) -> Option<Vec<u8>> {
        self.with_leaf(|leaf| leaf.canonical())
    }

    /// The leaf hash that its fields have, whatever is stored.
    #[must_use]
    pub fn computed_hash(&self) -> Option<Digest> {
        self.with_leaf(|leaf| leaf.hash())
    }

    /// The leaf hash that is stored; `None` if it is no SHA-256.
    #[must_use]
    pub fn stored_hash(&self) -> Option<Digest> {
        self.leaf_hash.as_slice().try_into().ok().map(Digest)
    }

    fn with_leaf<T>(&self, work: impl FnOnce(&Leaf<'_>) -> T) -> T {
        let unit_ids: Vec<i32> = self.unit_ids.iter().map(|id| id.0).collect();
        work(&Leaf {
            form: self.form,
            state_id: self.state_id.0,
            unit_id: self.unit_id.0,
            unit_ids: &unit_ids,
            actor_id: self.actor_id.map(|id| id.0),
            device_id: self.device_id.map(|id| id.0),
            action: &self.action,
            subject: &self.subject,
            subject_ids: &self.subject_ids,
            subject_uuids: &self.subject_uuids,
            subject_versions: &self.subject_versions,
            digest: &self.digest,
            at: self.at,
        })
    }

    /// The versions of visits that it made, if it made any: by recording, or by naming them.
    #[must_use]
    pub fn made_versions(&self) -> Vec<(Uuid, i32)> {
        if self.subject != "visit" || self.form < 2 {
            return Vec::new();
        }
        if self.action == "visit.record" {
            return self.subject_uuids.iter().map(|id| (*id, 1)).collect();
        }
        self.named_versions()
    }

    /// The versions that it names.
    #[must_use]
    pub fn named_versions(&self) -> Vec<(Uuid, i32)> {
        let versions = self.subject_versions.iter().copied();
        self.subject_uuids.iter().copied().zip(versions).collect()
    }
}

/// Entries of a state after a number, in order.
///
/// # Errors
/// What the database says.
pub async fn entries_after(
    tx: &mut Tx,
    state_id: UnitId,
    number: i64,
    limit: i64,
) -> QueryResult<Vec<StoredEntry>> {
    statement("SELECT * FROM journal WHERE state_id = $1 AND number > $2 ORDER BY number LIMIT $3")
        .bind::<Integer, _>(state_id)
        .bind::<BigInt, _>(number)
        .bind::<BigInt, _>(limit)
        .load(tx)
        .await
}

/// Entries by who wrote them and when: how a version of a visit finds the one that made it.
///
/// # Errors
/// What the database says.
pub async fn entries_by(
    tx: &mut Tx,
    state_id: UnitId,
    written: &[(WorkerId, DateTime<Utc>)],
) -> QueryResult<Vec<StoredEntry>> {
    statement(
        "SELECT j.* FROM (SELECT DISTINCT * FROM unnest($1::int[], $2::timestamptz[])) AS k (actor_id, at)
         JOIN journal j ON j.state_id = $3 AND j.actor_id = k.actor_id AND j.at = k.at
         WHERE j.subject = 'visit' ORDER BY j.number",
    )
    .bind::<Array<Integer>, _>(written.iter().map(|(actor, _)| *actor).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(written.iter().map(|(_, at)| *at).collect::<Vec<_>>())
    .bind::<Integer, _>(state_id)
    .load(tx)
    .await
}
