//! The keys under which phones and notes are kept, outside the database: whoever has a copy of the database alone reads
//! none of them.
//!
//! A *data key* seals (AES-256-GCM under a random nonce). Keys have versions; the highest seals, all open. What is sealed
//! is bound to its table, column and row, so that it cannot be moved to another row and read there, and carries the
//! version of its key. The *index key* makes keyed digests (HMAC-SHA256), by which a phone is found without being read;
//! it never changes, since every index would have to be made anew.
//!
//! The file holds a line for each key, in base64: `index KEY`, `1 KEY`, `2 KEY`, … Lines that begin with `#` are comments.
//! It is read again when something turns up that was sealed by a newer key, so that servers follow a rotation at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::config::Config;
use super::private_files;

/// How often servers look at the file again.
pub const RELOAD: Duration = Duration::from_secs(5);
/// The first byte of what is sealed: how the rest is to be read.
const FORM: u8 = 1;
/// The name of the file in the data directory.
const FILE: &str = "keys/data.keys";

/// Why something could not be sealed or opened. Tells nothing of what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error(
        "it was sealed by data key {0}, which is not in the file: is SAMPARK_DATA_KEYS_FILE the right one?"
    )]
    UnknownKey(u16),
    #[error("it was not sealed for this row by the data key that it names, or was changed since")]
    Broken,
    #[error("it could not be sealed")]
    Failed,
}

impl From<SealError> for diesel::result::Error {
    fn from(error: SealError) -> Self {
        Self::DeserializationError(Box::new(error))
    }
}

/// The place of a sealed value: what is sealed for one opens in no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    table: &'static str,
    column: &'static str,
    row: String,
}

impl Place {
    /// A column of the row with this key.
    pub fn new(table: &'static str, column: &'static str, row: impl std::fmt::Display) -> Self {
        Self {
            table,
            column,
            row: row.to_string(),
        }
    }

    /// No name holds a zero byte, so no two places have the same bytes.
    fn bound(&self, version: u16) -> Vec<u8> {
        let mut out = format!("{}\0{}\0{}\0", self.table, self.column, self.row).into_bytes();
        out.extend_from_slice(&version.to_be_bytes());
        out
    }
}

struct Ring {
    index: hmac::Key,
    index_bytes: [u8; 32],
    keys: BTreeMap<u16, (RandomizedNonceKey, [u8; 32])>,
}

/// The data keys. Cheap to clone; all clones see the same keys.
#[derive(Clone)]
pub struct DataKeys {
    /// `None`: kept nowhere, for tests.
    file: Option<Arc<Path>>,
    ring: Arc<RwLock<Arc<Ring>>>,
}

impl std::fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataKeys")
            .field("file", &self.file)
            .field("versions", &self.versions())
            .finish_non_exhaustive()
    }
}

impl DataKeys {
    /// The keys of the file that the configuration names, or of the data directory, where they are made if there are none.
    ///
    /// # Errors
    /// Names the file that cannot be read, or does not hold data keys.
    pub fn open(config: &Config) -> Result<Self> {
        match &config.data_keys_file {
            Some(file) => Self::load(file),
            None => Self::load_or_make(&config.data_dir),
        }
    }

    /// The keys of a data directory.
    ///
    /// # Errors
    /// As [`DataKeys::open`].
    pub fn load_or_make(data_dir: &Path) -> Result<Self> {
        let file = data_dir.join(FILE);
        private_files::make_once(&file, || Ok(text_of(&random()?, &[(1, random()?)]).into_bytes()))?;
        Self::load(&file)
    }

    /// The keys of a file.
    ///
    /// # Errors
    /// As [`DataKeys::open`].
    pub fn load(file: &Path) -> Result<Self> {
        Ok(Self {
            file: Some(file.into()),
            ring: Arc::new(RwLock::new(Arc::new(read(file)?))),
        })
    }

    /// Keys of their own, kept nowhere; for tests.
    ///
    /// # Errors
    /// If the text does not hold data keys.
    pub fn of_text(text: &str) -> Result<Self> {
        Ok(Self {
            file: None,
            ring: Arc::new(RwLock::new(Arc::new(parse(text)?))),
        })
    }

    /// Looks at the file again. What was loaded stays if it cannot be read.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn reload(&self) -> Result<()> {
        if let Some(file) = &self.file {
            let ring = Arc::new(read(file)?);
            *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        }
        Ok(())
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every version, ascending.
    #[must_use]
    pub fn versions(&self) -> Vec<u16> {
        self.ring().keys.keys().copied().collect()
    }

    /// The version that seals.
    #[must_use]
    pub fn active(&self) -> u16 {
        self.versions().last().copied().unwrap_or_default()
    }

    /// Seals for a place.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn seal(&self, place: &Place, plain: &[u8]) -> std::result::Result<Vec<u8>, SealError> {
        let ring = self.ring();
        let (version, (key, _)) = ring.keys.last_key_value().ok_or(SealError::Failed)?;
        let mut sealed = plain.to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(place.bound(*version)), &mut sealed)
            .map_err(|_| SealError::Failed)?;
        let mut out = vec![FORM];
        out.extend_from_slice(&version.to_be_bytes());
        out.extend_from_slice(nonce.as_ref());
        out.append(&mut sealed);
        Ok(out)
    }

    /// Opens what was sealed for a place.
    ///
    /// # Errors
    /// If it was sealed for another, by a key that is not here, or was changed.
    pub fn open_sealed(&self, place: &Place, sealed: &[u8]) -> std::result::Result<Vec<u8>, SealError> {
        let version = version_of(sealed).ok_or(SealError::Broken)?;
        let mut ring = self.ring();
        if !ring.keys.contains_key(&version) {
            // Another process rotated the keys just now.
            if let Err(error) = self.reload() {
                tracing::error!(%error, "the data keys could not be read again; those at hand stay");
            }
            ring = self.ring();
        }
        let (key, _) = ring.keys.get(&version).ok_or(SealError::UnknownKey(version))?;
        let (nonce, rest) = sealed
            .get(3..)
            .and_then(|rest| rest.split_at_checked(NONCE_LEN))
            .ok_or(SealError::Broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Broken)?;
        let mut rest = rest.to_vec();
        let plain = key
            .open_in_place(nonce, Aad::from(place.bound(version)), &mut rest)
            .map_err(|_| SealError::Broken)?;
        Ok(plain.to_vec())
    }

    /// Seals a text, if there is one.
    ///
    /// # Errors
    /// As [`DataKeys::seal`].
    pub fn seal_text(
        &self,
        place: &Place,
        text: Option<&str>,
    ) -> std::result::Result<Option<Vec<u8>>, SealError> {
        text.map(|text| self.seal(place, text.as_bytes())).transpose()
    }

    /// Opens a text, if there is one.
    ///
    /// # Errors
    /// As [`DataKeys::open_sealed`].
    pub fn open_text(
        &self,
        place: &Place,
        sealed: Option<&[u8]>,
    ) -> std::result::Result<Option<String>, SealError> {
        let Some(sealed) = sealed else { return Ok(None) };
        let plain = self.open_sealed(place, sealed)?;
        String::from_utf8(plain).map(Some).map_err(|_| SealError::Broken)
    }

    /// Seals anew, under the active key, what an older one sealed; `None` if the active one did.
    ///
    /// # Errors
    /// As [`DataKeys::open_sealed`].
    pub fn reseal(&self, place: &Place, sealed: &[u8]) -> std::result::Result<Option<Vec<u8>>, SealError> {
        if version_of(sealed) == Some(self.active()) {
            return Ok(None);
        }
        let plain = self.open_sealed(place, sealed)?;
        self.seal(place, &plain).map(Some)
    }

    /// The keyed digest of a value, of one kind: equal values of a kind have equal digests, and without the key nobody
    /// can try values against one.
    #[must_use]
    pub fn index(&self, kind: &str, value: &[u8]) -> [u8; 32] {
        let ring = self.ring();
        let mut context = hmac::Context::with_key(&ring.index);
        context.update(kind.as_bytes());
        context.update(&[0]);
        context.update(value);
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        out
    }

    /// Adds a new key to the file; it seals from now on. Returns its version.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add_version(&self) -> Result<u16> {
        self.reload()?;
        let ring = self.ring();
        let next = self
            .active()
            .checked_add(1)
            .ok_or_else(|| Error::other("there have been 65,535 data keys"))?;
        let mut keys = bytes_of(&ring);
        keys.push((next, random()?));
        self.store(&text_of(&ring.index_bytes, &keys))?;
        Ok(next)
    }

    /// Takes keys out of the file, all but the active one and those that are still in use. Returns which went.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn drop_unused(&self, used: &[u16]) -> Result<Vec<u16>> {
        self.reload()?;
        let (ring, active) = (self.ring(), self.active());
        let (kept, gone): (Vec<_>, Vec<_>) = bytes_of(&ring)
            .into_iter()
            .partition(|(version, _)| *version == active || used.contains(version));
        if !gone.is_empty() {
            self.store(&text_of(&ring.index_bytes, &kept))?;
        }
        Ok(gone.into_iter().map(|(version, _)| version).collect())
    }

    fn store(&self, text: &str) -> Result<()> {
        match &self.file {
            Some(file) => {
                private_files::replace(file, text.as_bytes())
                    .map_err(|error| Error::new(error.kind(), format!("{}: {error}", file.display())))?;
                self.reload()
            }
            None => {
                let ring = Arc::new(parse(text)?);
                *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
                Ok(())
            }
        }
    }

    /// The file, if the keys are kept in one.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.file.as_deref().map(Path::to_path_buf)
    }
}

/// The version of the key that sealed this; `None` if it is not sealed.
#[must_use]
pub fn version_of(sealed: &[u8]) -> Option<u16> {
    match sealed.split_first_chunk::<3>()? {
        ([FORM, high, low], _) => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

fn bytes_of(ring: &Ring) -> Vec<(u16, [u8; 32])> {
    ring.keys
        .iter()
        .map(|(version, (_, bytes))| (*version, *bytes))
        .collect()
}

fn text_of(index: &[u8; 32], keys: &[(u16, [u8; 32])]) -> String {
    let mut text = String::from(
        "# Data keys of Sampark. Without them phones and notes cannot be read any more: keep a copy, apart from the database.\n",
    );
    let _ = writeln!(text, "index {}", STANDARD.encode(index));
    for (version, key) in keys {
        let _ = writeln!(text, "{version} {}", STANDARD.encode(key));
    }
    text
}

fn read(file: &Path) -> Result<Ring> {
    let named =
        |error: &dyn std::fmt::Display| Error::other(format!("data keys in {}: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| named(&error))?;
    parse(&text).map_err(|error| named(&error))
}

/// Errors name the line, never what stands in it.
fn parse(text: &str) -> Result<Ring> {
    let mut index = None;
    let mut keys = BTreeMap::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let bad = || Error::other(format!("line {} is no data key", n.saturating_add(1)));
        let (name, key) = line.split_once(' ').ok_or_else(bad)?;
        let key = STANDARD.decode(key.trim()).map_err(|_| bad())?;
        let key: [u8; 32] = key.try_into().map_err(|_| bad())?;
        let again = if name == "index" {
            index.replace(key).is_some()
        } else {
            let version: u16 = name.parse().map_err(|_| bad())?;
            let sealing = RandomizedNonceKey::new(&AES_256_GCM, &key).map_err(|_| bad())?;
            keys.insert(version, (sealing, key)).is_some()
        };
        if again {
            return Err(Error::other(format!("two keys are called {name}")));
        }
    }
    let index_bytes = index.ok_or_else(|| Error::other("there is no index key"))?;
    if keys.is_empty() {
        return Err(Error::other("there is no data key"));
    }
    Ok(Ring {
        index: hmac::Key::new(hmac::HMAC_SHA256, &index_bytes),
        index_bytes,
        keys,
    })
}

fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| Error::other("the system gives no random bytes"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> DataKeys {
        DataKeys::of_text(&text_of(&[9; 32], &[(1, [1; 32])])).unwrap()
    }

    fn scratch() -> PathBuf {
        std::env::temp_dir().join(format!("sampark-data-keys-{}", uuid::Uuid::new_v4()))
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_alone_and_only_unchanged() {
        let (keys, place) = (keys(), Place::new("workers", "phone", 7));
        let sealed = keys.seal(&place, b"+919812345678").unwrap();
        assert_eq!(keys.open_sealed(&place, &sealed).unwrap(), b"+919812345678");
        assert_ne!(
            keys.seal(&place, b"+919812345678").unwrap(),
            sealed,
            "no two are alike"
        );
        for other in [
            Place::new("workers", "phone", 8),
            Place::new("workers", "name", 7),
            Place::new("contacts", "phone", 7),
        ] {
            assert_eq!(keys.open_sealed(&other, &sealed), Err(SealError::Broken));
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys.open_sealed(&place, &changed).is_err(), "byte {at}");
        }
        for length in 0..sealed.len() {
            assert!(keys.open_sealed(&place, &sealed[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn an_index_depends_on_key_kind_and_value() {
        let other = DataKeys::of_text(&text_of(&[8; 32], &[(1, [1; 32])])).unwrap();
        let index = keys().index("phone", b"1");
        assert_eq!(index, keys().index("phone", b"1"));
        assert_ne!(index, keys().index("phone", b"2"));
        assert_ne!(index, keys().index("contact", b"1"));
        assert_ne!(index, other.index("phone", b"1"));
    }

    #[test]
    fn a_new_key_seals_old_ones_open_and_go_when_nothing_needs_them() {
        let directory = scratch();
        let keys = DataKeys::load_or_make(&directory).unwrap();
        let beside = DataKeys::load_or_make(&directory).unwrap();
        let place = Place::new("visits", "note", "x");
        let old = keys.seal(&place, b"note").unwrap();
        assert_eq!(keys.add_version().unwrap(), 2);
        let new = keys.reseal(&place, &old).unwrap().unwrap();
        assert_eq!((version_of(&old), version_of(&new)), (Some(1), Some(2)));
        assert_eq!(keys.reseal(&place, &new).unwrap(), None);
        // Another process meets what the new key sealed before it has looked at the file again.
        assert_eq!(beside.versions(), [1]);
        assert_eq!(beside.open_sealed(&place, &new).unwrap(), b"note");
        assert_eq!(beside.active(), 2);
        assert_eq!(keys.drop_unused(&[1]).unwrap(), Vec::<u16>::new());
        assert_eq!(keys.drop_unused(&[2]).unwrap(), [1]);
        assert_eq!(keys.open_sealed(&place, &old), Err(SealError::UnknownKey(1)));
        assert_eq!(
            keys.index("a", b"b"),
            beside.index("a", b"b"),
            "the index key stays"
        );
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(keys.file().unwrap())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_file_that_holds_no_data_keys_is_refused_without_being_quoted() {
        let key = STANDARD.encode([1; 32]);
        for text in [
            String::new(),
            format!("index {key}"),
            format!("1 {key}"),
            format!("index {key}\n1 {key}\n1 {key}"),
            format!("index {key}\n1 hush"),
            format!("index {key}\nsecond {key}"),
            format!("index {key}\n70000 {key}"),
            format!("index {key}\n1 {}", STANDARD.encode([1; 31])),
        ] {
            let error = DataKeys::of_text(&text).unwrap_err().to_string();
            assert!(!error.contains("hush") && !error.contains(&key), "{error}");
        }
        let text = format!("# keys\nindex {key}\n\n 3 {key} \n");
        assert_eq!(DataKeys::of_text(&text).unwrap().versions(), [3]);
    }
}
