//! The keys of codes: under them one-time codes and the messages that carry them wait, and secrets of second factors are kept.
//!
//! One writes, every one reads, so that a key can be replaced while codes are under way and second factors are in use. A new
//! key writes once every process has had time to load it ([`SETTLE`] against [`RELOAD`](super::keyring::RELOAD)).
//!
//! * In the data directory (the default): `keys/codes.key`, made at the first start, and `keys/codes-<unix time>.key`, made
//!   by `sampark rotate-code-key`. The newest that has settled writes.
//! * Named by `SAMPARK_CODE_KEY_FILE`, several with commas between: the first that is there writes.

use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};

use super::keyring::SETTLE;
use crate::platform::private_files::{dated, make_new, make_once, read_if_there};

/// How long after its successor writes a key is kept for the codes and messages under way, which live minutes.
pub const RETIRE: TimeDelta = TimeDelta::hours(1);
/// The name of the first.
const FIRST: &str = "codes.key";

/// A key.
pub type Secret = [u8; 32];

/// The keys as they are at a moment. Cheap to clone.
#[derive(Clone)]
pub struct CodeKeys {
    writes: Secret,
    held: Arc<Held>,
}

/// What is held: one key at least. The newest first in a directory, as named otherwise; each with the time in its file's name.
struct Held {
    first: (i64, Secret),
    others: Vec<(i64, Secret)>,
}

impl Held {
    fn all(&self) -> impl Iterator<Item = &(i64, Secret)> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl std::fmt::Debug for CodeKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodeKeys")
            .field("keys", &self.held.all().count())
            .finish_non_exhaustive()
    }
}

impl CodeKeys {
    /// These, the newest first, which writes.
    #[cfg(test)]
    pub(crate) fn of(all: &[Secret]) -> Self {
        Self {
            writes: all[0],
            held: Arc::new(Held {
                first: (0, all[0]),
                others: all[1..].iter().map(|secret| (0, *secret)).collect(),
            }),
        }
    }

    /// The key under which something new is kept.
    #[must_use]
    pub const fn writes(&self) -> &Secret {
        &self.writes
    }

    /// Every key under which something may be kept, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &Secret> {
        self.held.all().map(|(_, secret)| secret)
    }
}

/// Where the keys lie.
#[derive(Clone, Debug)]
enum Source {
    /// `<data directory>/keys`.
    Directory(PathBuf),
    /// These files, the first of which writes.
    Files(Vec<PathBuf>),
    /// Nowhere: handed in.
    Memory,
}

/// The keys that a process holds, read again while it runs.
pub struct CodeRing {
    source: Source,
    held: RwLock<Arc<Held>>,
}

impl std::fmt::Debug for CodeRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodeRing")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl CodeRing {
    /// Those of a directory, in which the first is made if there is none.
    ///
    /// # Errors
    /// If a file cannot be read or made, or is no key.
    pub fn of_directory(directory: &Path) -> Result<Self> {
        if files_in(directory)?.is_empty() {
            make_once(&directory.join(FIRST), || random().map(|bytes| bytes.to_vec()))?;
        }
        Self::of(Source::Directory(directory.to_owned()))
    }

    /// Those of these files.
    ///
    /// # Errors
    /// If one cannot be read or is no key, or none is there.
    pub fn of_files(files: &[PathBuf]) -> Result<Self> {
        Self::of(Source::Files(files.to_vec()))
    }

    /// One of its own, kept nowhere; for tests.
    ///
    /// # Errors
    /// If none can be made.
    pub fn ephemeral() -> Result<Self> {
        Ok(Self {
            source: Source::Memory,
            held: RwLock::new(Arc::new(Held {
                first: (0, random()?),
                others: Vec::new(),
            })),
        })
    }

    fn of(source: Source) -> Result<Self> {
        let held = RwLock::new(Arc::new(load(&source)?));
        Ok(Self { source, held })
    }

    /// Looks at the files again. What was loaded stays if they cannot be read.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn reload(&self) -> Result<()> {
        if matches!(self.source, Source::Memory) {
            return Ok(());
        }
        let held = load(&self.source)?;
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(held);
        Ok(())
    }

    /// The keys at a moment.
    #[must_use]
    pub fn at(&self, now: DateTime<Utc>) -> CodeKeys {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner).clone();
        let settled = (now - SETTLE).timestamp();
        let (_, writes) = match self.source {
            // While none has settled, the oldest: every process has it.
            Source::Directory(_) => held
                .all()
                .find(|(made_at, _)| *made_at <= settled)
                .or(held.others.last())
                .unwrap_or(&held.first),
            Source::Files(_) | Source::Memory => &held.first,
        };
        CodeKeys {
            writes: *writes,
            held,
        }
    }
}

/// Makes a new key in the data directory, which writes after [`SETTLE`].
///
/// # Errors
/// If the directory cannot be written.
pub fn add(data_dir: &Path, now: DateTime<Utc>) -> Result<()> {
    let directory = data_dir.join("keys");
    let ring = CodeRing::of_directory(&directory)?;
    let (newest, _) = ring.at(now).held.first;
    let made_at = now.timestamp().max(newest.saturating_add(1));
    make_new(&directory.join(format!("codes-{made_at}.key")), &random()?)
}

/// Removes the keys of the data directory under which nothing waits any more: their successors have written for longer than
/// a code lives. Second factors must have been sealed anew before. How many went.
///
/// # Errors
/// If the directory cannot be read or written.
pub fn drop_retired(data_dir: &Path, now: DateTime<Utc>) -> Result<usize> {
    let files = files_in(&data_dir.join("keys"))?;
    let wrote_since = (now - SETTLE - RETIRE).timestamp();
    let mut gone = 0_usize;
    for ((successor, _), (_, file)) in files.iter().zip(files.iter().skip(1)) {
        if *successor < wrote_since {
            fs::remove_file(file)?;
            gone = gone.saturating_add(1);
        }
    }
    Ok(gone)
}

/// The key files of a directory, the newest first.
fn files_in(directory: &Path) -> Result<Vec<(i64, PathBuf)>> {
    let mut files = dated(directory, "codes", ".key")?;
    files.reverse();
    Ok(files)
}

fn load(source: &Source) -> Result<Held> {
    let files = match source {
        Source::Directory(directory) => files_in(directory)?,
        Source::Files(files) => files.iter().map(|file| (0, file.clone())).collect(),
        Source::Memory => Vec::new(),
    };
    let mut keys = Vec::new();
    for (made_at, file) in files {
        let Some(bytes) = read_if_there(&file)? else {
            continue;
        };
        let secret = secret_of(&bytes).ok_or_else(|| {
            Error::other(format!(
                "{}: not 32 random bytes, plain or in base64",
                file.display()
            ))
        })?;
        keys.push((made_at, secret));
    }
    let mut keys = keys.into_iter();
    let first = keys.next();
    let first = first.ok_or_else(|| Error::other("there is no key of codes"))?;
    Ok(Held {
        first,
        others: keys.collect(),
    })
}

fn random() -> Result<Secret> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::other("the system gives no random bytes"))?;
    Ok(bytes)
}

/// 32 bytes, plain or in base64.
fn secret_of(bytes: &[u8]) -> Option<Secret> {
    bytes.try_into().ok().or_else(|| {
        let text = std::str::from_utf8(bytes).ok()?;
        STANDARD.decode(text.trim()).ok()?.try_into().ok()
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
    }

    fn scratch() -> PathBuf {
        std::env::temp_dir().join(format!("sampark-codes-{}", Uuid::new_v4()))
    }

    #[test]
    fn a_new_key_writes_once_it_has_settled_and_an_old_one_goes_when_its_codes_have() {
        let data_dir = scratch();
        let directory = data_dir.join("keys");
        let ring = CodeRing::of_directory(&directory).unwrap();
        let first = *ring.at(at(0)).writes();
        add(&data_dir, at(0)).unwrap();
        add(&data_dir, at(0)).unwrap();
        assert_eq!(ring.at(at(0)).all().count(), 1, "not looked at yet");
        ring.reload().unwrap();
        let all: Vec<Secret> = ring.at(at(0)).all().copied().collect();
        assert_eq!((all.len(), all[2]), (3, first));
        assert_eq!(*ring.at(at(59)).writes(), first);
        assert_eq!(*ring.at(at(60)).writes(), all[1]);
        assert_eq!(*ring.at(at(61)).writes(), all[0]);
        assert_eq!(drop_retired(&data_dir, at(3660)).unwrap(), 0);
        assert_eq!(
            drop_retired(&data_dir, at(3661)).unwrap(),
            1,
            "the second is younger"
        );
        assert_eq!(drop_retired(&data_dir, at(9000)).unwrap(), 1);
        assert_eq!(drop_retired(&data_dir, at(9000)).unwrap(), 0, "the last stays");
        ring.reload().unwrap();
        assert_eq!(ring.at(at(9000)).all().copied().collect::<Vec<_>>(), [all[0]]);
        // A restart makes no new first one beside it.
        assert_eq!(
            CodeRing::of_directory(&directory)
                .unwrap()
                .at(at(0))
                .all()
                .count(),
            1
        );
        fs::remove_dir_all(data_dir).unwrap();
    }

    #[test]
    fn the_first_of_the_files_that_are_there_writes_and_what_is_no_key_is_named() {
        let directory = scratch();
        fs::create_dir_all(&directory).unwrap();
        let (plain, text, bad) = (directory.join("a"), directory.join("b"), directory.join("c"));
        fs::write(&plain, [7; 32]).unwrap();
        fs::write(&text, format!("{}\n", STANDARD.encode([8; 32]))).unwrap();
        fs::write(&bad, "hush").unwrap();
        let ring = CodeRing::of_files(&[directory.join("next"), text.clone(), plain.clone()]).unwrap();
        assert_eq!(*ring.at(at(0)).writes(), [8; 32]);
        assert_eq!(ring.at(at(0)).all().count(), 2);
        let error = CodeRing::of_files(&[plain, bad.clone()]).unwrap_err().to_string();
        assert!(
            error.contains(bad.to_str().unwrap()) && !error.contains("hush"),
            "{error}"
        );
        // What is loaded stays when a file breaks.
        fs::write(&text, "").unwrap();
        assert!(ring.reload().is_err());
        assert_eq!(ring.at(at(0)).all().count(), 2);
        fs::remove_dir_all(directory).unwrap();
    }
}
