//! Salted commitments: the journal proves content without holding it, and content can be erased without breaking a seal.
//!
//! A version of a row is committed part by part, so that one part can go and the others stay provable:
//!
//! * a part's *canonical bytes* are its fields in order ([`Canonical`]), as they read back from the row;
//! * a part's *hash* is SHA-256(salt || canonical bytes), with 16 bytes of salt of its own, so that a part with few
//!   possible contents (support: five) cannot be guessed from its hash;
//! * the version's *commitment* is SHA-256 over its part hashes in order;
//! * the entry's digest is SHA-256 over (id, version, commitment) of each subject in order ([`digest_of_versions`]).
//!
//! A row keeps 16 random bytes, its *seed*; the salt of part `i` is the first half of SHA-256(seed || i). To erase a
//! part ([`Salts::erase`]), the seed goes and the row keeps the salts of the parts that stay and the bare hash of the
//! one that went: nobody can tell any more what it was, and the commitment can still be computed.

use aws_lc_rs::rand;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::entry::Digest;
use crate::platform::error::ApiError;

/// Bytes of a seed and of a salt.
const SALT: usize = 16;
/// PostgreSQL counts time from 2000-01-01, in microseconds; this many after 1970-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const TAG_SALT: u8 = 0;
const TAG_ERASED: u8 = 1;

/// The canonical bytes of a part: each field with its length before it (32 bits, big-endian), an absent one as the
/// length 2^32 - 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canonical(Vec<u8>);

impl Canonical {
    /// Adds a field.
    #[must_use]
    pub fn field(mut self, field: &impl Field) -> Self {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        let present = field.write(&mut self.0);
        let length = self.0.len().saturating_sub(start + 4);
        let length = if present {
            u32::try_from(length).unwrap_or(u32::MAX)
        } else {
            u32::MAX
        };
        for (to, from) in self.0.iter_mut().skip(start).zip(length.to_be_bytes()) {
            *to = from;
        }
        self
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A field that has canonical bytes: the same before it is stored and after it is read back.
pub trait Field {
    /// Writes the bytes; false if there is nothing.
    fn write(&self, out: &mut Vec<u8>) -> bool;
}

impl<T: Field> Field for Option<T> {
    fn write(&self, out: &mut Vec<u8>) -> bool {
        self.as_ref().is_some_and(|value| value.write(out))
    }
}

macro_rules! big_endian {
    ($($kind:ty),+) => { $(
        impl Field for $kind {
            fn write(&self, out: &mut Vec<u8>) -> bool {
                out.extend_from_slice(&self.to_be_bytes());
                true
            }
        }
    )+ };
}
big_endian!(i16, i32, i64);

impl Field for bool {
    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.push(u8::from(*self));
        true
    }
}

impl Field for f64 {
    /// IEEE 754, big-endian; a row read back from `visit_versions` has no negative zero.
    fn write(&self, out: &mut Vec<u8>) -> bool {
        let value = if *self == 0.0 { 0.0 } else { *self };
        out.extend_from_slice(&value.to_bits().to_be_bytes());
        true
    }
}

impl Field for f32 {
    fn write(&self, out: &mut Vec<u8>) -> bool {
        let value = if *self == 0.0 { 0.0 } else { *self };
        out.extend_from_slice(&value.to_bits().to_be_bytes());
        true
    }
}

impl Field for Uuid {
    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.as_bytes());
        true
    }
}

impl Field for String {
    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.as_bytes());
        true
    }
}

impl Field for Vec<u8> {
    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self);
        true
    }
}

impl Field for DateTime<Utc> {
    /// Microseconds since 1970, cut off as they are when stored: towards 2000-01-01.
    fn write(&self, out: &mut Vec<u8>) -> bool {
        let epoch = DateTime::from_timestamp_micros(EPOCH_MICROS).unwrap_or_default();
        let micros = self
            .signed_duration_since(epoch)
            .num_microseconds()
            .unwrap_or(i64::MAX);
        micros.saturating_add(EPOCH_MICROS).write(out)
    }
}

impl Field for NaiveDate {
    /// Days since 0000-12-31.
    fn write(&self, out: &mut Vec<u8>) -> bool {
        self.num_days_from_ce().write(out)
    }
}

impl Field for Value {
    /// JSON without spaces, keys in byte order, and numbers as `jsonb` keeps them: by value, not by spelling.
    fn write(&self, out: &mut Vec<u8>) -> bool {
        write_json(self, out);
        true
    }
}

fn write_json(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write_json(item, out);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| key.as_bytes());
            out.push(b'{');
            for (n, (key, item)) in fields.into_iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write_json(&Value::String(key.clone()), out);
                out.push(b':');
                write_json(item, out);
            }
            out.push(b'}');
        }
        Value::Number(number) => match (number.is_f64(), number.as_f64()) {
            // `{}` writes the shortest digits that read back the same, without an exponent: 600 for 600.0.
            (true, Some(0.0)) => out.push(b'0'),
            (true, Some(float)) => out.extend_from_slice(format!("{float}").as_bytes()),
            _ => out.extend_from_slice(number.to_string().as_bytes()),
        },
        // Words and texts have one spelling each in serde_json.
        plain => out.extend_from_slice(plain.to_string().as_bytes()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Salt {
    Kept([u8; SALT]),
    /// The hash of the part that was erased.
    Erased([u8; 32]),
}

/// What a version's commitment is salted with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salts(Stored);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stored {
    Seed([u8; SALT]),
    Parts(Vec<Salt>),
}

impl Salts {
    /// A new seed from the system's random source.
    ///
    /// # Errors
    /// If there is none.
    pub fn random() -> Result<Self, ApiError> {
        let mut seed = [0; SALT];
        rand::fill(&mut seed).map_err(|_| ApiError::internal("the system has no random source"))?;
        Ok(Self(Stored::Seed(seed)))
    }

    /// As kept in a row.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Stored::Seed(seed) => seed.to_vec(),
            Stored::Parts(parts) => parts
                .iter()
                .flat_map(|part| match part {
                    Salt::Kept(salt) => [&[TAG_SALT][..], salt].concat(),
                    Salt::Erased(hash) => [&[TAG_ERASED][..], hash].concat(),
                })
                .collect(),
        }
    }

    /// Read back from a row; `None` if the bytes are no salts.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if let Ok(seed) = bytes.try_into() {
            return Some(Self(Stored::Seed(seed)));
        }
        let mut parts = Vec::new();
        let mut rest = bytes;
        while let Some((tag, after)) = rest.split_first() {
            rest = match *tag {
                TAG_SALT => {
                    let (salt, after) = after.split_first_chunk()?;
                    parts.push(Salt::Kept(*salt));
                    after
                }
                TAG_ERASED => {
                    let (hash, after) = after.split_first_chunk()?;
                    parts.push(Salt::Erased(*hash));
                    after
                }
                _ => return None,
            };
        }
        Some(Self(Stored::Parts(parts)))
    }

    /// Whether a part was erased.
    #[must_use]
    pub fn is_erased(&self, part: usize) -> bool {
        matches!(&self.0, Stored::Parts(parts) if matches!(parts.get(part), Some(Salt::Erased(_))))
    }

    fn salt(&self, part: usize) -> Option<Salt> {
        match &self.0 {
            Stored::Parts(parts) => parts.get(part).copied(),
            Stored::Seed(seed) => {
                let mut input = seed.to_vec();
                input.push(u8::try_from(part).ok()?);
                let hash = Digest::of_bytes(&input).0;
                Some(Salt::Kept(*hash.first_chunk()?))
            }
        }
    }

    fn hash(&self, part: usize, content: &Canonical) -> Option<Digest> {
        match self.salt(part)? {
            Salt::Kept(salt) => Some(Digest::of_bytes(&[&salt[..], content.as_bytes()].concat())),
            Salt::Erased(hash) => Some(Digest(hash)),
        }
    }

    /// The commitment to a version with these parts. An erased part's content is not looked at. `None` if the salts are
    /// of another number of parts.
    #[must_use]
    pub fn commit(&self, parts: &[Canonical]) -> Option<Digest> {
        if let Stored::Parts(salts) = &self.0
            && salts.len() != parts.len()
        {
            return None;
        }
        let mut hashes = Vec::with_capacity(parts.len() * 32);
        for (n, content) in parts.iter().enumerate() {
            hashes.extend_from_slice(&self.hash(n, content)?.0);
        }
        Some(Digest::of_bytes(&hashes))
    }

    /// The salts to keep once this part is erased; the commitment stays the same. Erasing it again changes nothing.
    /// The content itself is for the caller to take from the row, in the same statement.
    #[must_use]
    pub fn erase(&self, part: usize, parts: &[Canonical]) -> Option<Self> {
        let mut salts = Vec::with_capacity(parts.len());
        for (n, content) in parts.iter().enumerate() {
            salts.push(if n == part {
                Salt::Erased(self.hash(n, content)?.0)
            } else {
                self.salt(n)?
            });
        }
        Some(Self(Stored::Parts(salts)))
    }
}

/// The digest of an entry that made these versions: of each its id, its version and the commitment to it.
pub fn digest_of_versions(versions: impl IntoIterator<Item = (Uuid, i32, Digest)>) -> Digest {
    let mut bytes = Vec::new();
    for (id, version, commitment) in versions {
        bytes.extend_from_slice(id.as_bytes());
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(&commitment.0);
    }
    Digest::of_bytes(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Vec<Canonical> {
        vec![
            Canonical::default().field(&7_i32).field(&None::<i32>),
            Canonical::default().field(&Some(3_i16)),
            Canonical::default().field(&"a note".to_owned()),
        ]
    }

    #[test]
    fn a_commitment_outlives_the_erasing_of_its_parts_one_by_one() {
        let whole = Salts::random().unwrap();
        let commitment = whole.commit(&parts()).unwrap();
        let mut salts = whole;
        let mut left = parts();
        for part in 0..3 {
            salts = salts.erase(part, &left).unwrap();
            salts = Salts::from_bytes(&salts.to_bytes()).unwrap();
            left[part] = Canonical::default();
            assert!(salts.is_erased(part));
            assert_eq!(salts.commit(&left).unwrap(), commitment);
            assert_eq!(salts.erase(part, &left).unwrap(), salts);
        }
    }

    #[test]
    fn what_was_not_erased_is_still_bound() {
        let salts = Salts::random().unwrap();
        let commitment = salts.commit(&parts()).unwrap();
        let salts = salts.erase(1, &parts()).unwrap();
        let mut other = parts();
        other[2] = Canonical::default().field(&"another".to_owned());
        assert_ne!(salts.commit(&other).unwrap(), commitment);
        assert_eq!(salts.commit(&parts()[..2]), None);
    }

    #[test]
    fn an_erased_parts_salt_is_gone_with_the_seed() {
        let whole = Salts::random().unwrap();
        let salt = match whole.salt(1) {
            Some(Salt::Kept(salt)) => salt,
            other => panic!("{other:?}"),
        };
        let kept = whole.erase(1, &parts()).unwrap().to_bytes();
        assert!(!kept.windows(SALT).any(|bytes| bytes == salt));
        assert!(!kept.windows(SALT).any(|bytes| bytes == whole.to_bytes()));
    }

    #[test]
    fn the_same_content_is_committed_differently_each_time() {
        let commit = || Salts::random().unwrap().commit(&parts()).unwrap();
        assert_ne!(commit(), commit());
    }

    #[test]
    fn absent_empty_and_shifted_fields_are_told_apart() {
        let of = |fields: [Option<&str>; 2]| {
            let [a, b] = fields.map(|field| field.map(ToOwned::to_owned));
            Canonical::default().field(&a).field(&b)
        };
        assert_ne!(of([None, Some("")]), of([Some(""), None]));
        assert_ne!(of([Some("ab"), Some("c")]), of([Some("a"), Some("bc")]));
    }

    #[test]
    fn numbers_count_by_value_as_jsonb_keeps_them() {
        let of = |text: &str| Canonical::default().field(&serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(
            of(r#"{"b":600.0,"a":1e18}"#),
            of(r#"{"a":1000000000000000000,"b":600}"#)
        );
        assert_eq!(of("[-0.0]"), of("[0.0]"));
        assert_ne!(of("[0.1]"), of("[0.10000000000000002]"));
    }
}
