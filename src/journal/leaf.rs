//! The canonical form of an entry, which its leaf in the tree is the hash of.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::commitment::{Canonical, Field};
use super::entry::{Actor, Digest, Entry};
use crate::platform::ids::UnitId;

/// The form in which entries are written now.
pub const FORM: i16 = 2;
/// The same where the digest is over rows ([`super::rows`]).
pub const FORM_OVER_ROWS: i16 = 3;

/// An entry as it is hashed: written now, or read back.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    /// 1: before entries named all their units and the versions they made; 2: since; 3: the same, with a digest over rows.
    pub form: i16,
    pub state_id: i32,
    pub unit_id: i32,
    pub unit_ids: &'a [i32],
    pub actor_id: Option<i32>,
    pub device_id: Option<Uuid>,
    pub action: &'a str,
    pub subject: &'a str,
    pub subject_ids: &'a [i32],
    pub subject_uuids: &'a [Uuid],
    pub subject_versions: &'a [i32],
    pub digest: &'a [u8],
    pub at: DateTime<Utc>,
}

impl Leaf<'_> {
    /// The number of the form in one byte, then every field in order, each with its length before it (32 bits,
    /// big-endian), an absent one as the length 2^32 - 1. The entry's number is not in it: it is the leaf's place in
    /// the tree. `None` for a form that there is not.
    #[must_use]
    pub fn canonical(&self) -> Option<Vec<u8>> {
        let mut fields = Canonical::default().field(&self.state_id).field(&self.unit_id);
        if self.form >= 2 {
            fields = fields.field(&self.unit_ids);
        }
        fields = fields
            .field(&self.actor_id)
            .field(&self.device_id)
            .field(&self.action)
            .field(&self.subject)
            .field(&self.subject_ids)
            .field(&self.subject_uuids);
        if self.form >= 2 {
            fields = fields.field(&self.subject_versions);
        }
        fields = fields.field(&self.digest).field(&self.at);
        let form = u8::try_from(self.form)
            .ok()
            .filter(|form| (1..=3).contains(form))?;
        Some([&[form], fields.as_bytes()].concat())
    }

    /// RFC 6962, section 2.1: the hash of a leaf is SHA-256 of a zero byte and the leaf.
    #[must_use]
    pub fn hash(&self) -> Option<Digest> {
        let canonical = self.canonical()?;
        Some(Digest::of_bytes(&[&[0], canonical.as_slice()].concat()))
    }
}

impl Entry {
    /// The leaf hash of the entry, written by an actor.
    #[must_use]
    pub fn leaf_hash(&self, actor: &Actor) -> Digest {
        let unit_ids: Vec<i32> = self.unit_ids.iter().map(|UnitId(id)| *id).collect();
        let leaf = Leaf {
            form: self.form(),
            state_id: self.state_id.0,
            unit_id: self.unit_id.0,
            unit_ids: &unit_ids,
            actor_id: actor.worker_id.map(|id| id.0),
            device_id: actor.device_id.map(|id| id.0),
            action: self.action,
            subject: self.subject,
            subject_ids: &self.subject_ids,
            subject_uuids: &self.subject_uuids,
            subject_versions: &self.subject_versions,
            digest: &self.digest.0,
            at: actor.at,
        };
        // Never absent: the form is one that there is.
        leaf.hash().unwrap_or(Digest([0; 32]))
    }
}

impl Field for &str {
    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.as_bytes());
        true
    }
}

impl Field for &[u8] {
    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self);
        true
    }
}

impl Field for &[i32] {
    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.extend(self.iter().flat_map(|id| id.to_be_bytes()));
        true
    }
}

impl Field for &[Uuid] {
    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.extend(self.iter().flat_map(|id| id.into_bytes()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::ids::{DeviceId, WorkerId};

    fn entry() -> Entry {
        Entry::new(
            UnitId(1),
            UnitId(2),
            "visit.record",
            "visit",
            Digest::of_bytes(b"content"),
        )
        .of_uuids([Uuid::nil()])
    }

    #[test]
    fn every_field_changes_the_leaf_hash() {
        let actor = Actor {
            worker_id: Some(WorkerId(7)),
            device_id: None,
            at: DateTime::UNIX_EPOCH,
        };
        let mut hashes = vec![
            entry().leaf_hash(&actor),
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
        let changes: [fn(&mut Entry); 9] = [
            |e| e.state_id = UnitId(3),
            |e| e.unit_id = UnitId(3),
            |e| e.unit_ids = vec![UnitId(2), UnitId(3)],
            |e| e.action = "visit.void",
            |e| e.subject = "unit",
            |e| e.subject_ids = vec![1],
            |e| e.subject_uuids = vec![],
            |e| e.subject_versions = vec![2],
            |e| e.digest = Digest::of_bytes(b"other"),
        ];
        for change in changes {
            let mut changed = entry();
            change(&mut changed);
            hashes.push(changed.leaf_hash(&actor));
        }
        let distinct: std::collections::HashSet<[u8; 32]> = hashes.iter().map(|hash| hash.0).collect();
        assert_eq!(distinct.len(), hashes.len());
    }

    #[test]
    fn a_form_that_there_is_not_has_no_hash() {
        let leaf = |form| Leaf {
            form,
            state_id: 1,
            unit_id: 1,
            unit_ids: &[],
            actor_id: None,
            device_id: None,
            action: "",
            subject: "",
            subject_ids: &[],
            subject_uuids: &[],
            subject_versions: &[],
            digest: &[],
            at: DateTime::UNIX_EPOCH,
        };
        assert_eq!(leaf(0).hash(), None);
        assert_eq!(leaf(4).hash(), None);
        assert_ne!(leaf(1).hash(), leaf(2).hash());
        assert_ne!(leaf(2).hash(), leaf(3).hash());
    }
}
