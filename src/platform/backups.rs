//! Backups: a base backup by PostgreSQL's own `pg_basebackup`, checked by its own `pg_verifybackup`, with a note beside it
//! that says what it is, sealed by the index key of the data keys. So a backup that was cut short, altered or made by
//! another installation is refused with the reason, before anything is restored from it.
//!
//! ```text
//! DIR/20261125T101500Z/data/          the base backup, with its manifest of checksums
//! DIR/20261125T101500Z/sampark.json   the note
//! DIR/wal/                            the archive of the write-ahead log
//! DIR/erasures.json                   who asked to be erased, up to the last look
//! ```

use std::path::{Path, PathBuf};
use std::process::Stdio;

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio_postgres::config::Host;

use super::data_keys::DataKeys;
use super::dial::{DialError, Target, dial};
use super::embedded_postgres::find_programs;

/// What a backup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Of the PostgreSQL that it was taken of.
    pub system_identifier: String,
    pub server_version: u32,
    pub schema_version: String,
    pub superuser: String,
    pub database: String,
    /// What is restored is at least as late as this.
    pub taken_at: DateTime<Utc>,
    /// SHA-256 of the manifest, which holds those of all files.
    pub manifest: String,
}

/// Why a backup cannot be taken or used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{what}: {detail}")]
    Failed { what: String, detail: String },
    #[error("{} cannot be used: {why}", .path.display())]
    Refused { path: PathBuf, why: String },
    #[error("{what}")]
    Io {
        what: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the database")]
    Database(#[from] tokio_postgres::Error),
    #[error("the database")]
    Unreachable(#[from] DialError),
    #[error(transparent)]
    Programs(#[from] super::embedded_postgres::PostgresError),
}

type Result<T> = std::result::Result<T, BackupError>;

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> BackupError {
    let what = what.into();
    move |source| BackupError::Io { what, source }
}

fn refuse(path: &Path, why: impl Into<String>) -> BackupError {
    BackupError::Refused {
        path: path.to_owned(),
        why: why.into(),
    }
}

/// Content and what proves that this installation wrote it.
#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    content: T,
    seal: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn seal_of<T: Serialize>(kind: &str, content: &T, keys: &DataKeys) -> Result<String> {
    let bytes = serde_json::to_vec(content).map_err(|error| BackupError::Failed {
        what: kind.to_owned(),
        detail: error.to_string(),
    })?;
    Ok(hex(&keys.index(kind, &bytes)))
}

/// Writes a sealed file, whole or not at all.
///
/// # Errors
/// If it cannot be written.
pub fn write_sealed<T: Serialize>(path: &Path, kind: &str, content: T, keys: &DataKeys) -> Result<()> {
    let seal = seal_of(kind, &content, keys)?;
    let text = serde_json::to_vec_pretty(&Sealed { content, seal }).map_err(|error| BackupError::Failed {
        what: path.display().to_string(),
        detail: error.to_string(),
    })?;
    // The timer's command and the server may write at once.
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let what = || format!("{} cannot be written", path.display());
    let file = std::fs::File::create(&draft).map_err(io(what()))?;
    std::io::Write::write_all(&mut &file, &text).map_err(io(what()))?;
    file.sync_all().map_err(io(what()))?;
    std::fs::rename(&draft, path).map_err(io(what()))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io(what()))
}

/// Reads a sealed file.
///
/// # Errors
/// If it is not there, not whole, or was not written by this installation.
pub fn read_sealed<T: Serialize + DeserializeOwned>(path: &Path, kind: &str, keys: &DataKeys) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|error| refuse(path, error.to_string()))?;
    let sealed: Sealed<T> =
        serde_json::from_slice(&bytes).map_err(|error| refuse(path, format!("it is damaged: {error}")))?;
    if seal_of(kind, &sealed.content, keys)? != sealed.seal {
        return Err(refuse(
            path,
            "it was altered, or made by another installation: its seal does not fit the data keys at hand",
        ));
    }
    Ok(sealed.content)
}

/// Where the segments of the write-ahead log are kept.
#[must_use]
pub fn wal_of(dir: &Path) -> PathBuf {
    dir.join("wal")
}

async fn run(mut command: Command, what: &str) -> Result<()> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(io(format!("{what} cannot be run")))?;
    if done.status.success() {
        return Ok(());
    }
    Err(BackupError::Failed {
        what: what.to_owned(),
        detail: String::from_utf8_lossy(&done.stderr).trim().to_owned(),
    })
}

/// Where the programs of PostgreSQL are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Programs<'a> {
    pub bin: Option<&'a Path>,
    pub path: Option<&'a std::ffi::OsStr>,
}

/// What a backup must be known by.
const ABOUT: &str = "SELECT (SELECT system_identifier::text FROM pg_control_system()),
            current_setting('server_version_num')::int, (SELECT max(version) FROM __diesel_schema_migrations),
            (SELECT rolname::text FROM pg_roles WHERE oid = 10), current_database()::text";

/// The database's own time.
const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 1";

/// Takes a backup of a running database and checks it. Returns where it is.
///
/// # Errors
/// If it cannot be taken or does not pass its check; nothing is left then.
pub async fn take(
    url: &str,
    programs: Programs<'_>,
    dir: &Path,
    keys: &DataKeys,
    now: DateTime<Utc>,
) -> Result<(PathBuf, Note)> {
    let (client, wire) = dial(url).await?;
    tokio::spawn(wire);
    let about = client.query_one(ABOUT, &[]).await?;
    let number: i32 = about.try_get(1)?;
    let server_version = u32::try_from(number / 10_000).unwrap_or_default();
    let bin = find_programs(programs.bin, programs.path, Some(server_version)).await?;
    let place = dir.join(now.format("%Y%m%dT%H%M%SZ").to_string());
    let draft = place.with_extension("new");
    std::fs::create_dir_all(&draft).map_err(io(format!("{} cannot be made", draft.display())))?;
    let taken = async {
        let data = draft.join("data");
        run(base_backup(url, &bin, &data)?, "pg_basebackup").await?;
        verify_files(&bin, &data).await?;
        Ok(Note {
            system_identifier: about.try_get(0)?,
            server_version,
            schema_version: about.try_get(2)?,
            superuser: about.try_get(3)?,
            database: about.try_get(4)?,
            taken_at: instant_of(&client).await?,
            manifest: manifest_of(&data)?,
        })
    };
    let note = taken.await.inspect_err(|_: &BackupError| {
        let _ = std::fs::remove_dir_all(&draft);
    })?;
    write_sealed(&draft.join("sampark.json"), "backup", &note, keys)?;
    std::fs::rename(&draft, &place).map_err(io(format!("{} cannot be moved", draft.display())))?;
    Ok((place, note))
}

/// The database's own time: what is reached by its log is told by that clock.
async fn instant_of(client: &tokio_postgres::Client) -> Result<DateTime<Utc>> {
    let millis: i64 = client.query_one(NOW, &[]).await?.try_get(0)?;
    Ok(DateTime::from_timestamp_millis(millis).unwrap_or_default())
}

/// The command, with the password where other users do not see it.
fn base_backup(url: &str, bin: &Path, data: &Path) -> Result<Command> {
    let target = Target::parse(url)?;
    let config = target.config();
    let mut command = Command::new(bin.join("pg_basebackup"));
    command.arg("-D").arg(data).envs(target.libpq()).args([
        "-X",
        "stream",
        "-c",
        "fast",
        "--manifest-checksums=SHA256",
        "-w",
    ]);
    match config.get_hosts().first() {
        Some(Host::Tcp(host)) => {
            command.args(["-h", host]);
        }
        #[cfg(unix)]
        Some(Host::Unix(path)) => {
            command.arg("-h").arg(path);
        }
        None => {}
    }
    if let Some(port) = config.get_ports().first() {
        command.args(["-p", &port.to_string()]);
    }
    if let Some(user) = config.get_user() {
        command.args(["-U", user]);
    }
    if let Some(password) = config.get_password() {
        command.env("PGPASSWORD", String::from_utf8_lossy(password).as_ref());
    }
    Ok(command)
}

fn manifest_of(data: &Path) -> Result<String> {
    let file = data.join("backup_manifest");
    let bytes = std::fs::read(&file).map_err(|error| refuse(&file, error.to_string()))?;
    Ok(hex(digest::digest(&digest::SHA256, &bytes).as_ref()))
}

async fn verify_files(bin: &Path, data: &Path) -> Result<()> {
    let mut command = Command::new(bin.join("pg_verifybackup"));
    command.arg("-q").arg(data);
    run(command, "pg_verifybackup").await
}

/// The newest backup of a directory from which a moment can be reached, read and checked as far as its note.
///
/// # Errors
/// If there is none, or its note does not fit.
pub fn choose(dir: &Path, to: Option<DateTime<Utc>>, keys: &DataKeys) -> Result<(PathBuf, Note)> {
    let entries = std::fs::read_dir(dir).map_err(|error| refuse(dir, error.to_string()))?;
    let mut places: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("sampark.json").exists() && path.extension().is_none())
        .collect();
    places.sort();
    while let Some(place) = places.pop() {
        let note: Note = read_sealed(&place.join("sampark.json"), "backup", keys)?;
        if to.is_none_or(|to| note.taken_at <= to) {
            return Ok((place, note));
        }
    }
    Err(refuse(dir, "it holds no backup taken before that moment"))
}

/// Checks every file of a backup against its manifest, and the manifest against the note.
///
/// # Errors
/// What does not fit.
pub async fn verify(place: &Path, note: &Note, programs: Programs<'_>) -> Result<()> {
    let data = place.join("data");
    if manifest_of(&data)? != note.manifest {
        return Err(refuse(place, "its manifest is not the one that was sealed"));
    }
    let bin = find_programs(programs.bin, programs.path, Some(note.server_version)).await?;
    verify_files(&bin, &data).await.map_err(|error| match error {
        BackupError::Failed { detail, .. } => refuse(place, format!("it was cut short or altered: {detail}")),
        other => other,
    })
}
