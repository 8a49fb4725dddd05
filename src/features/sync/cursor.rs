//! The cursor: what a phone holds, by the server's reckoning, in a few bytes an item.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::rules::{CURSOR_LIFE, Hash};
use crate::platform::error::{ApiError, Code};
use crate::platform::ids::WorkerId;
use crate::platform::page::{decode_bytes, encode_bytes};

/// What is held of each container of many items (a booth's households, a day's visits): the short hash of them all, or
/// nothing.
pub type Containers = BTreeMap<i32, Option<u32>>;

/// A container that is being sent over several pages, and the last item sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    Booth(i32, Uuid),
    Day(i32, Uuid),
}

/// What a phone holds after it has applied an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The number of each state's journal up to which changes of households were given.
    pub positions: BTreeMap<i32, i64>,
    pub grants: BTreeMap<i32, u32>,
    pub units: BTreeMap<i32, u32>,
    pub campaigns: BTreeMap<i32, u32>,
    pub tasks: BTreeMap<i32, u32>,
    /// Of every booth in scope.
    pub booths: Containers,
    /// Of every day with a visit, by its number since the beginning of the era.
    pub days: Containers,
    pub partial: Option<Partial>,
    /// By kind, in the order of `rules::Kind`, if nothing was left to send.
    pub hashes: Option<[Hash; 6]>,
}

const FORM: u8 = 2;
const COMPLETE: u8 = 1;
const PARTIAL_BOOTH: u8 = 2;
const PARTIAL_DAY: u8 = 4;

/// Cursors of one worker are of no use to another who takes over his phone.
fn list(worker_id: WorkerId) -> String {
    format!("sync of {worker_id}")
}

impl Known {
    /// As a cursor that was made at this instant.
    pub fn to_cursor(&self, worker_id: WorkerId, at: DateTime<Utc>) -> String {
        encode_bytes(&list(worker_id), &self.to_bytes(at.timestamp()))
    }

    /// Out of a cursor.
    ///
    /// # Errors
    /// 400 if it is none of this worker's, 410 if it is older than [`CURSOR_LIFE`].
    pub fn from_cursor(cursor: &str, worker_id: WorkerId, now: DateTime<Utc>) -> Result<Self, ApiError> {
        let bytes = decode_bytes(&list(worker_id), cursor)?;
        let (known, at) = Self::from_bytes(&bytes)
            .ok_or_else(|| ApiError::new(Code::BadCursor, "the cursor is of another version"))?;
        if now.timestamp().saturating_sub(at) > CURSOR_LIFE.num_seconds() {
            return Err(ApiError::new(
                Code::CursorTooOld,
                format!("the cursor is older than {} days", CURSOR_LIFE.num_days()),
            ));
        }
        Ok(known)
    }

    fn to_bytes(&self, at: i64) -> Vec<u8> {
        let mut out = Writer(vec![FORM]);
        let partial = match self.partial {
            None => 0,
            Some(Partial::Booth(..)) => PARTIAL_BOOTH,
            Some(Partial::Day(..)) => PARTIAL_DAY,
        };
        out.0
            .push(partial | if self.hashes.is_some() { COMPLETE } else { 0 });
        out.number(at);
        for hash in self.hashes.iter().flatten() {
            out.0.extend_from_slice(&hash.0.to_be_bytes());
        }
        if let Some(Partial::Booth(key, after) | Partial::Day(key, after)) = self.partial {
            out.number(i64::from(key));
            out.0.extend_from_slice(after.as_bytes());
        }
        out.number(i64::try_from(self.positions.len()).unwrap_or(i64::MAX));
        for (state, number) in &self.positions {
            out.number(i64::from(*state));
            out.number(*number);
        }
        for items in [&self.grants, &self.units, &self.campaigns, &self.tasks] {
            out.containers(items.iter().map(|(key, value)| (*key, Some(*value))), items.len());
        }
        for containers in [&self.booths, &self.days] {
            out.containers(
                containers.iter().map(|(key, value)| (*key, *value)),
                containers.len(),
            );
        }
        out.0
    }

    fn from_bytes(bytes: &[u8]) -> Option<(Self, i64)> {
        let mut input = Reader(bytes);
        if input.byte()? != FORM {
            return None;
        }
        let flags = input.byte()?;
        let at = input.number()?;
        let mut known = Self::default();
        if flags & COMPLETE != 0 {
            let mut hashes = [Hash::default(); 6];
            for hash in &mut hashes {
                *hash = Hash(u64::from_be_bytes(input.take()?));
            }
            known.hashes = Some(hashes);
        }
        if flags & (PARTIAL_BOOTH | PARTIAL_DAY) != 0 {
            let key = i32::try_from(input.number()?).ok()?;
            let after = Uuid::from_bytes(input.take()?);
            known.partial = Some(if flags & PARTIAL_BOOTH == 0 {
                Partial::Day(key, after)
            } else {
                Partial::Booth(key, after)
            });
        }
        for _ in 0..input.number()? {
            let state = i32::try_from(input.number()?).ok()?;
            known.positions.insert(state, input.number()?);
        }
        for items in [
            &mut known.grants,
            &mut known.units,
            &mut known.campaigns,
            &mut known.tasks,
        ] {
            for (key, value) in input.containers()? {
                items.insert(key, value?);
            }
        }
        known.booths = input.containers()?;
        known.days = input.containers()?;
        input.0.is_empty().then_some((known, at))
    }
}

struct Writer(Vec<u8>);

impl Writer {
    /// LEB128: seven bits a byte, the lowest first.
    fn number(&mut self, number: i64) {
        let mut rest = number.cast_unsigned();
        loop {
            let low = u8::try_from(rest & 0x7f).unwrap_or_default();
            rest >>= 7;
            if rest == 0 {
                self.0.push(low);
                return;
            }
            self.0.push(low | 0x80);
        }
    }

    /// Ascending keys as distances; the lowest bit tells whether a value follows.
    fn containers(&mut self, items: impl Iterator<Item = (i32, Option<u32>)>, count: usize) {
        self.number(i64::try_from(count).unwrap_or(i64::MAX));
        let mut before = 0;
        for (key, value) in items {
            let distance = i64::from(key).wrapping_sub(before);
            self.number(distance << 1 | i64::from(value.is_some()));
            if let Some(value) = value {
                self.0.extend_from_slice(&value.to_be_bytes());
            }
            before = i64::from(key);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn number(&mut self) -> Option<i64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return i64::try_from(number).ok();
            }
        }
        None
    }

    fn containers(&mut self) -> Option<Containers> {
        let mut containers = Containers::new();
        let mut before = 0_i64;
        for _ in 0..self.number()? {
            let number = self.number()?;
            before = before.checked_add(number >> 1)?;
            let value = if number & 1 == 0 {
                None
            } else {
                Some(u32::from_be_bytes(self.take()?))
            };
            containers.insert(i32::try_from(before).ok()?, value);
        }
        Some(containers)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known() -> impl Strategy<Value = Known> {
        use proptest::collection::btree_map;
        let items = || btree_map(0..i32::MAX, any::<u32>(), 0..20);
        let containers = || btree_map(0..i32::MAX, any::<Option<u32>>(), 0..20);
        let partial = prop_oneof![
            Just(None),
            (0..i32::MAX, any::<u128>()).prop_map(|(key, id)| Some(Partial::Booth(key, Uuid::from_u128(id)))),
            (0..i32::MAX, any::<u128>()).prop_map(|(key, id)| Some(Partial::Day(key, Uuid::from_u128(id)))),
        ];
        let hashes = proptest::option::of(any::<[u64; 6]>().prop_map(|hashes| hashes.map(Hash)));
        let positions = btree_map(0..i32::MAX, 0..i64::MAX, 0..3);
        (
            positions,
            items(),
            items(),
            items(),
            items(),
            containers(),
            containers(),
            partial,
            hashes,
        )
            .prop_map(
                |(positions, grants, units, campaigns, tasks, booths, days, partial, hashes)| Known {
                    positions,
                    grants,
                    units,
                    campaigns,
                    tasks,
                    booths,
                    days,
                    partial,
                    hashes,
                },
            )
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_whole(known in known(), at in 0..4_000_000_000_i64) {
            prop_assert_eq!(Known::from_bytes(&known.to_bytes(at)), Some((known, at)));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Known::from_bytes(&bytes);
            let _ = Known::from_bytes(&[&[FORM][..], &bytes].concat());
        }
    }

    #[test]
    fn a_cursor_is_its_workers_alone_and_works_for_ninety_days() {
        let at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let known = Known::default();
        let cursor = known.to_cursor(WorkerId(7), at);
        let code =
            |worker, now| Known::from_cursor(&cursor, WorkerId(worker), now).map_err(|error| error.code());
        assert_eq!(code(7, at + CURSOR_LIFE), Ok(known));
        assert_eq!(
            code(7, at + CURSOR_LIFE + chrono::TimeDelta::seconds(1)),
            Err(Code::CursorTooOld)
        );
        assert_eq!(code(8, at), Err(Code::BadCursor));
    }
}
