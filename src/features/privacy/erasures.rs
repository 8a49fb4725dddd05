//! The list of erasures that is kept beside backups: whoever was erased stays erased after a restore to a moment before.
//! It holds ids and times, nobody's number or name, and is sealed by the data keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::queries::erasures::{
    ContactErasure, WorkerErasure, end_again, erased_contacts, erased_workers, shut_out_again,
};
use super::queries::nation;
use crate::features::contacts;
use crate::journal::{Actor, Digest, Entry, Record};
use crate::platform::backups::{BackupError, read_sealed, write_sealed};
use crate::platform::clock::Clock;
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Db;
use crate::platform::error::ApiError;

const KIND: &str = "erasures";

/// Who asked to be erased.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasures {
    workers: Vec<WorkerErasure>,
    contacts: Vec<ContactErasure>,
}

/// The file in a directory of backups.
#[must_use]
pub fn erasures_file(dir: &Path) -> PathBuf {
    dir.join("erasures.json")
}

/// Why the list cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error(transparent)]
    Database(#[from] ApiError),
    #[error(transparent)]
    File(#[from] BackupError),
}

/// Brings the list in a directory up to date: what it held stays, since the database may have been restored since.
///
/// # Errors
/// If the database or the file cannot be read, or the file was altered.
pub async fn keep_erasures(db: &Db, dir: &Path) -> Result<(), KeepError> {
    let file = erasures_file(dir);
    let held = if file.exists() {
        read_erasures(dir, db.keys())?
    } else {
        Erasures::default()
    };
    let (workers, contacts) = db
        .read_long(async |tx| Ok((erased_workers(tx).await?, erased_contacts(tx).await?)))
        .await?;
    let list = Erasures {
        workers: merge(&held.workers, &workers, |worker| worker.id),
        contacts: merge(&held.contacts, &contacts, |contact| {
            (contact.state_id, contact.id)
        }),
    };
    if list != held || !file.exists() {
        write_sealed(&file, KIND, &list, db.keys())?;
    }
    Ok(())
}

/// What is held and what is new, each once; the new says it better.
fn merge<T: Clone + Ord, K: Ord>(held: &[T], new: &[T], key: impl Fn(&T) -> K) -> Vec<T> {
    let all: BTreeMap<K, &T> = held.iter().chain(new).map(|item| (key(item), item)).collect();
    all.into_values()
        .cloned()
        .collect::<BTreeSet<T>>()
        .into_iter()
        .collect()
}

/// Reads the list.
///
/// # Errors
/// If it is not there or was altered.
pub fn read_erasures(dir: &Path, keys: &DataKeys) -> Result<Erasures, BackupError> {
    read_sealed(&erasures_file(dir), KIND, keys)
}

/// Erases again, in a restored database, who was erased after the moment to which it was restored. Returns how many
/// workers and contacts.
///
/// # Errors
/// What the database says; nothing is done then.
pub async fn replay_erasures(db: &Db, clock: &Clock, list: Erasures) -> Result<(usize, usize), ApiError> {
    let now = clock.now();
    db.write_long(&Actor::program(now), async move |tx| {
        let contacts = end_again(tx, &list.contacts, now).await?;
        let workers = shut_out_again(tx, &list.workers, now).await?;
        let mut record: Record = contacts::program_record("contact.erase", &contacts);
        if let (false, Some(nation_id)) = (workers.is_empty(), nation(tx).await?) {
            let digest = Digest::of(&workers);
            let entry = Entry::new(nation_id, nation_id, "worker.request_erasure", "worker", digest);
            record.entries.push(entry.of_ids(workers.iter().copied()));
        }
        Ok(((workers.len(), contacts.len()), record))
    })
    .await
}
