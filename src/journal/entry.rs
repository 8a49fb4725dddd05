//! What one write did.

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use uuid::Uuid;

use crate::platform::db::Tx;
use crate::platform::ids::{DeviceId, UnitId, WorkerId};
use crate::platform::statement::statement;

/// Who writes, from which device, and when by the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `None`: the program itself, from its command line.
    pub worker_id: Option<WorkerId>,
    pub device_id: Option<DeviceId>,
    pub at: DateTime<Utc>,
}

impl Actor {
    /// The program itself.
    #[must_use]
    pub const fn program(at: DateTime<Utc>) -> Self {
        Self {
            worker_id: None,
            device_id: None,
            at,
        }
    }
}

/// SHA-256 over what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of some bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(out)
    }

    /// Of a value, by its JSON.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        Self::of_bytes(&serde_json::to_vec(value).unwrap_or_default())
    }
}

/// One entry of the journal: what a whole write did, be it one visit or a batch of 500. Holds ids and a digest, never
/// content.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The state whose journal it belongs to; the nation for what belongs to no state.
    pub state_id: UnitId,
    /// Where it happened: decides who may read it.
    pub unit_id: UnitId,
    /// `visit.record`, `unit.import`, …
    pub action: &'static str,
    /// `visit`, `unit`, …
    pub subject: &'static str,
    pub subject_ids: Vec<i32>,
    pub subject_uuids: Vec<Uuid>,
    pub digest: Digest,
}

impl Entry {
    /// The canonical form: version 1, then every field in order, each with its length before it (32 bits, big-endian),
    /// an absent one as the length 2^32 - 1. The number is not in it: it is the leaf's place in the tree.
    fn canonical(&self, actor: &Actor) -> Vec<u8> {
        let mut out = vec![1];
        push(&mut out, &self.state_id.0.to_be_bytes());
        push(&mut out, &self.unit_id.0.to_be_bytes());
        push_optional(&mut out, actor.worker_id.map(|id| id.0.to_be_bytes()));
        push_optional(&mut out, actor.device_id.map(|id| id.0.into_bytes()));
        push(&mut out, self.action.as_bytes());
        push(&mut out, self.subject.as_bytes());
        let ids: Vec<u8> = self.subject_ids.iter().flat_map(|id| id.to_be_bytes()).collect();
        push(&mut out, &ids);
        let uuids: Vec<u8> = self.subject_uuids.iter().flat_map(|id| id.into_bytes()).collect();
        push(&mut out, &uuids);
        push(&mut out, &self.digest.0);
        push(&mut out, &actor.at.timestamp_micros().to_be_bytes());
        out
    }

    /// RFC 6962, section 2.1: the hash of a leaf is SHA-256 of a zero byte and the leaf.
    #[must_use]
    pub fn leaf_hash(&self, actor: &Actor) -> Digest {
        let mut leaf = vec![0];
        leaf.extend_from_slice(&self.canonical(actor));
        Digest::of_bytes(&leaf)
    }
}

fn push(out: &mut Vec<u8>, field: &[u8]) {
    out.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(field);
}

fn push_optional<const N: usize>(out: &mut Vec<u8>, field: Option<[u8; N]>) {
    match field {
        Some(field) => push(out, &field),
        None => out.extend_from_slice(&u32::MAX.to_be_bytes()),
    }
}

// Arrays of arrays cannot be unnested row by row, so the subjects of all entries travel flat with a count for each.
const APPEND: &str = "
    WITH input AS (
        SELECT *, sum(ids) OVER (ORDER BY n) - ids AS ids_before, sum(uuids) OVER (ORDER BY n) - uuids AS uuids_before
        FROM unnest($1::int[], $2::int[], $3::int[], $4::uuid[], $5::text[], $6::text[], $7::bytea[],
                    $8::timestamptz[], $9::bytea[], $10::bigint[], $11::bigint[])
             WITH ORDINALITY AS t (state_id, unit_id, actor_id, device_id, action, subject, digest, at, leaf_hash,
                                   ids, uuids, n)
    ), flat AS (SELECT $12::int[] AS ids, $13::uuid[] AS uuids)
    INSERT INTO journal_inbox (state_id, unit_id, actor_id, device_id, action, subject, subject_ids, subject_uuids,
                               digest, at, leaf_hash)
    SELECT i.state_id, i.unit_id, i.actor_id, i.device_id, i.action, i.subject,
           f.ids[i.ids_before + 1 : i.ids_before + i.ids], f.uuids[i.uuids_before + 1 : i.uuids_before + i.uuids],
           i.digest, i.at, i.leaf_hash
    FROM input i, flat f
    ORDER BY i.n";

/// Appends entries to the inbox, in one statement.
///
/// # Errors
/// What the database says.
pub async fn append(tx: &mut Tx, entries: &[(Actor, Entry)]) -> QueryResult<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let list = |f: fn(&Entry) -> UnitId| entries.iter().map(|(_, entry)| f(entry)).collect::<Vec<_>>();
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    statement(APPEND)
        .bind::<Array<Integer>, _>(list(|entry| entry.state_id))
        .bind::<Array<Integer>, _>(list(|entry| entry.unit_id))
        .bind::<Array<Nullable<Integer>>, _>(
            entries
                .iter()
                .map(|(actor, _)| actor.worker_id)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<SqlUuid>>, _>(
            entries
                .iter()
                .map(|(actor, _)| actor.device_id)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(entries.iter().map(|(_, entry)| entry.action).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(entries.iter().map(|(_, entry)| entry.subject).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(
            entries
                .iter()
                .map(|(_, entry)| entry.digest.0.to_vec())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Timestamptz>, _>(entries.iter().map(|(actor, _)| actor.at).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(
            entries
                .iter()
                .map(|(actor, entry)| entry.leaf_hash(actor).0.to_vec())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<BigInt>, _>(
            entries
                .iter()
                .map(|(_, e)| count(e.subject_ids.len()))
                .collect::<Vec<_>>(),
        )
        .bind::<Array<BigInt>, _>(
            entries
                .iter()
                .map(|(_, e)| count(e.subject_uuids.len()))
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Integer>, _>(
            entries
                .iter()
                .flat_map(|(_, entry)| entry.subject_ids.iter().copied())
                .collect::<Vec<i32>>(),
        )
        .bind::<Array<SqlUuid>, _>(
            entries
                .iter()
                .flat_map(|(_, entry)| entry.subject_uuids.iter().copied())
                .collect::<Vec<Uuid>>(),
        )
        .execute(tx)
        .await
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            state_id: UnitId(1),
            unit_id: UnitId(2),
            action: "visit.record",
            subject: "visit",
            subject_ids: vec![],
            subject_uuids: vec![Uuid::nil()],
            digest: Digest::of_bytes(b"content"),
        }
    }

    #[test]
    fn every_field_changes_the_leaf_hash() {
        let actor = Actor {
            worker_id: Some(WorkerId(7)),
            device_id: None,
            at: DateTime::UNIX_EPOCH,
        };
        let hash = entry().leaf_hash(&actor);
        let mut others = vec![
            entry().leaf_hash(&Actor {
                worker_id: None,
                ..actor
            }),
            entry().leaf_hash(&Actor {
                device_id: Some(DeviceId(Uuid::nil())),
                ..actor
            }),
            entry().leaf_hash(&Actor {
                at: DateTime::from_timestamp_micros(1).unwrap(),
                ..actor
            }),
        ];
        let changes: [fn(&mut Entry); 7] = [
            |e| e.state_id = UnitId(3),
            |e| e.unit_id = UnitId(3),
            |e| e.action = "visit.void",
            |e| e.subject = "unit",
            |e| e.subject_ids = vec![1],
            |e| e.subject_uuids = vec![],
            |e| e.digest = Digest::of_bytes(b"other"),
        ];
        for change in changes {
            let mut changed = entry();
            change(&mut changed);
            others.push(changed.leaf_hash(&actor));
        }
        assert!(others.iter().all(|other| *other != hash));
    }
}
