use std::collections::BTreeMap;

use aws_lc_rs::digest;
use chrono::TimeDelta;
use serde::Serialize;

/// Most booths that are given to a phone: five mandals.
pub const MAX_BOOTHS: usize = 500;
/// Most units, with those between the worker's grants and his booths.
pub const MAX_UNITS: usize = 1_000;
/// Days back for which a phone holds its worker's visits.
pub const VISIT_DAYS: TimeDelta = TimeDelta::days(60);
/// How old a cursor may be.
pub const CURSOR_LIFE: TimeDelta = TimeDelta::days(90);
/// Days for which an ended campaign is still given: visits of its last days may wait on the phone.
pub const CAMPAIGN_DAYS: TimeDelta = TimeDelta::days(60);
/// Items in a page unless the phone asks for another bound.
pub const LIMIT: usize = 1_000;
/// Most items in a page.
pub const MAX_LIMIT: usize = 2_000;
/// A campaign with its questions, or a task with its units, weighs as much as so many other items.
pub const CAMPAIGN_WEIGHT: usize = 50;
/// Days for which a task that is done is still given after its due day.
pub const TASK_DAYS: TimeDelta = TimeDelta::days(60);

/// What is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Grants,
    Units,
    Campaigns,
    Households,
    Visits,
    Tasks,
}

/// The hash of what is held of a kind: every item's value, XORed, so that their order does not matter and one item can be
/// taken out or put in without the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash(pub u64);

impl Hash {
    /// Puts an item in, or takes it out.
    pub const fn toggle(&mut self, value: u64) {
        self.0 ^= value;
    }

    /// 16 hexadecimal digits.
    #[must_use]
    pub fn to_text(self) -> String {
        format!("{:016x}", self.0)
    }

    /// The hash written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        plain
            .then(|| u64::from_str_radix(text, 16).ok())
            .flatten()
            .map(Self)
    }
}

/// An item's value: the first 8 bytes of SHA-256 over `<id>:<rev>`, big-endian. The statements of `queries.rs` say the
/// same in SQL.
pub fn item_value(id: impl std::fmt::Display, rev: &str) -> u64 {
    first_bytes(format!("{id}:{rev}").as_bytes())
}

/// The `rev` of what has no version that covers all that is shown of it: 8 hexadecimal digits over its JSON.
pub fn content_rev<T: Serialize>(content: &T) -> String {
    let value = first_bytes(&serde_json::to_vec(content).unwrap_or_default());
    format!("{:08x}", short(value))
}

fn first_bytes(bytes: &[u8]) -> u64 {
    let sum = digest::digest(&digest::SHA256, bytes);
    sum.as_ref()
        .iter()
        .take(8)
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The half of a value that a cursor keeps.
pub fn short(value: u64) -> u32 {
    u32::try_from(value >> 32).unwrap_or_default()
}

/// What differs between what a phone holds and what it should hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub gone: Vec<i32>,
    pub changed: Vec<i32>,
}

/// Compares by key.
pub fn difference<V: PartialEq>(held: &BTreeMap<i32, V>, wanted: &BTreeMap<i32, V>) -> Difference {
    Difference {
        gone: held
            .keys()
            .filter(|key| !wanted.contains_key(key))
            .copied()
            .collect(),
        changed: wanted
            .iter()
            .filter(|(key, value)| held.get(key) != Some(value))
            .map(|(key, _)| *key)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of docs/sync.md.
    #[test]
    fn a_hash_is_as_the_guide_says() {
        let first = item_value("01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33", "1");
        let second = item_value(14, "2");
        assert_eq!(format!("{first:016x}"), "2ba9ce7aef51a35d");
        assert_eq!(format!("{second:016x}"), "9118e8694b33973f");
        let mut hash = Hash::default();
        assert_eq!(hash.to_text(), "0000000000000000");
        hash.toggle(first);
        hash.toggle(second);
        assert_eq!(hash.to_text(), "bab12613a4623462");
        assert_eq!(Hash::parse(&hash.to_text()), Some(hash));
        hash.toggle(first);
        assert_eq!(hash.0, second);
    }

    #[test]
    fn only_sixteen_small_hexadecimal_digits_are_a_hash() {
        for text in [
            "",
            "0",
            "+000000000000000",
            "000000000000000g",
            "000000000000000A",
            "00000000000000000",
        ] {
            assert_eq!(Hash::parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_gone_and_what_changed_makes_the_one_the_other(
            held: BTreeMap<i32, u8>, wanted: BTreeMap<i32, u8>,
        ) {
            let found = difference(&held, &wanted);
            let mut made = held;
            for key in found.gone {
                proptest::prop_assert!(made.remove(&key).is_some());
            }
            for key in found.changed {
                proptest::prop_assert!(made.insert(key, wanted[&key]) != Some(wanted[&key]));
            }
            proptest::prop_assert_eq!(made, wanted);
        }
    }
}
