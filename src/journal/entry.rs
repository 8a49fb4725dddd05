//! What one write did.

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{
    Array, BigInt, Binary, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use uuid::Uuid;

use super::leaf::{FORM, FORM_OVER_ROWS};
use crate::platform::data_keys::DataKeys;
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

    /// Of a value that holds a phone, by its JSON: keyed, since a plain digest could be tried against every number.
    pub fn keyed<T: Serialize + ?Sized>(keys: &DataKeys, value: &T) -> Self {
        Self(keys.index("journal.digest", &serde_json::to_vec(value).unwrap_or_default()))
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
    /// Where it happened: the one unit, or the state if there are several.
    pub unit_id: UnitId,
    /// Every unit it happened at: their lineages decide who may read it.
    pub unit_ids: Vec<UnitId>,
    /// `visit.record`, `unit.import`, …
    pub action: &'static str,
    /// `visit`, `unit`, …
    pub subject: &'static str,
    pub subject_ids: Vec<i32>,
    pub subject_uuids: Vec<Uuid>,
    /// The version made of each of `subject_uuids`; empty: the first of each, or they have none.
    pub subject_versions: Vec<i32>,
    pub digest: Digest,
    /// Whether the digest is over the versions of rows that the write made ([`super::rows`]).
    pub over_rows: bool,
}

impl Entry {
    /// Of something done at one unit, to what [`Entry::of_ids`] and [`Entry::of_uuids`] name.
    #[must_use]
    pub fn new(
        state_id: UnitId,
        unit_id: UnitId,
        action: &'static str,
        subject: &'static str,
        digest: Digest,
    ) -> Self {
        Self {
            state_id,
            unit_id,
            unit_ids: vec![unit_id],
            action,
            subject,
            subject_ids: Vec::new(),
            subject_uuids: Vec::new(),
            subject_versions: Vec::new(),
            digest,
            over_rows: false,
        }
    }

    /// The form of its leaf.
    #[must_use]
    pub const fn form(&self) -> i16 {
        if self.over_rows { FORM_OVER_ROWS } else { FORM }
    }

    /// Done at several units: then its one unit is the state.
    #[must_use]
    pub fn at_units(mut self, units: impl IntoIterator<Item = UnitId>) -> Self {
        self.unit_ids = units.into_iter().collect();
        self.unit_ids.sort_unstable();
        self.unit_ids.dedup();
        self.unit_id = match self.unit_ids.as_slice() {
            [only] => *only,
            _ => self.state_id,
        };
        self
    }

    /// Done to these, of those that we number.
    #[must_use]
    pub fn of_ids(mut self, ids: impl IntoIterator<Item = i32>) -> Self {
        self.subject_ids = ids.into_iter().collect();
        self
    }

    /// Done to these, of those that the phone names.
    #[must_use]
    pub fn of_uuids(mut self, ids: impl IntoIterator<Item = Uuid>) -> Self {
        self.subject_uuids = ids.into_iter().collect();
        self
    }

    /// The version made of each of its uuids, where that is not the first.
    #[must_use]
    pub fn made_versions(mut self, versions: impl IntoIterator<Item = i32>) -> Self {
        self.subject_versions = versions.into_iter().collect();
        self
    }
}

// Arrays of arrays cannot be unnested row by row, so the units and subjects of all entries travel flat with a count
// for each.
const APPEND: &str = "
    WITH input AS (
        SELECT *, sum(units) OVER up_to AS units_up_to, sum(ids) OVER up_to AS ids_up_to,
               sum(uuids) OVER up_to AS uuids_up_to, sum(versions) OVER up_to AS versions_up_to
        FROM unnest($1::int[], $2::int[], $3::int[], $4::uuid[], $5::text[], $6::text[], $7::bytea[],
                    $8::timestamptz[], $9::bytea[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
                    $14::smallint[])
             WITH ORDINALITY AS t (state_id, unit_id, actor_id, device_id, action, subject, digest, at, leaf_hash,
                                   units, ids, uuids, versions, form, n)
        WINDOW up_to AS (ORDER BY n)
    ), flat AS (
        SELECT $15::int[] AS units, $16::int[] AS ids, $17::uuid[] AS uuids, $18::int[] AS versions
    )
    INSERT INTO journal_inbox (state_id, unit_id, unit_ids, actor_id, device_id, action, subject, subject_ids,
                               subject_uuids, subject_versions, digest, at, leaf_hash, form)
    SELECT i.state_id, i.unit_id, f.units[i.units_up_to - i.units + 1 : i.units_up_to], i.actor_id, i.device_id,
           i.action, i.subject, f.ids[i.ids_up_to - i.ids + 1 : i.ids_up_to],
           f.uuids[i.uuids_up_to - i.uuids + 1 : i.uuids_up_to],
           f.versions[i.versions_up_to - i.versions + 1 : i.versions_up_to], i.digest, i.at, i.leaf_hash, i.form
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
    macro_rules! column {
        (|$actor:pat_param, $entry:pat_param| $value:expr) => {
            entries
                .iter()
                .map(|($actor, $entry)| $value)
                .collect::<Vec<_>>()
        };
    }
    macro_rules! flat {
        ($field:ident) => {
            entries
                .iter()
                .flat_map(|(_, entry)| entry.$field.iter().copied())
                .collect::<Vec<_>>()
        };
    }
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    statement(APPEND)
        .bind::<Array<Integer>, _>(column!(|_, entry| entry.state_id))
        .bind::<Array<Integer>, _>(column!(|_, entry| entry.unit_id))
        .bind::<Array<Nullable<Integer>>, _>(column!(|actor, _| actor.worker_id))
        .bind::<Array<Nullable<SqlUuid>>, _>(column!(|actor, _| actor.device_id))
        .bind::<Array<Text>, _>(column!(|_, entry| entry.action))
        .bind::<Array<Text>, _>(column!(|_, entry| entry.subject))
        .bind::<Array<Binary>, _>(column!(|_, entry| entry.digest.0.to_vec()))
        .bind::<Array<Timestamptz>, _>(column!(|actor, _| actor.at))
        .bind::<Array<Binary>, _>(column!(|actor, entry| entry.leaf_hash(actor).0.to_vec()))
        .bind::<Array<BigInt>, _>(column!(|_, entry| count(entry.unit_ids.len())))
        .bind::<Array<BigInt>, _>(column!(|_, entry| count(entry.subject_ids.len())))
        .bind::<Array<BigInt>, _>(column!(|_, entry| count(entry.subject_uuids.len())))
        .bind::<Array<BigInt>, _>(column!(|_, entry| count(entry.subject_versions.len())))
        .bind::<Array<SmallInt>, _>(column!(|_, entry| entry.form()))
        .bind::<Array<Integer>, _>(flat!(unit_ids))
        .bind::<Array<Integer>, _>(flat!(subject_ids))
        .bind::<Array<SqlUuid>, _>(flat!(subject_uuids))
        .bind::<Array<Integer>, _>(flat!(subject_versions))
        .execute(tx)
        .await
        .map(|_| ())
}
