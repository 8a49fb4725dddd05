//! `sampark backup` and `sampark restore`.

use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use sampark::features::privacy;
use sampark::features::seals::verify::{Ask, verify};
use sampark::journal::{Actor, SealKeys};
use sampark::platform::backups::{self, Programs};
use sampark::platform::clock::Clock;
use sampark::platform::config::Config;
use sampark::platform::data_keys::DataKeys;
use sampark::platform::db::Db;
use sampark::platform::embedded_postgres::{self, Source};
use sampark::platform::migrations;
use sampark::platform::wall::COMMAND;

use super::database::Database;
use super::{Failure, say};

/// What `backup` was asked.
#[derive(Debug, clap::Args)]
pub struct BackupOptions {
    /// Where backups are kept: on another disk, better on another machine.
    dir: PathBuf,
    /// Only bring the list of erasures up to date; cheap, for a timer.
    #[arg(long)]
    erasures_only: bool,
}

/// What `restore` was asked.
#[derive(Debug, clap::Args)]
pub struct RestoreOptions {
    /// Where backups are kept.
    dir: PathBuf,
    /// The moment to restore to (RFC 3339); without it, as far as the archive goes.
    #[arg(long, value_name = "TIME")]
    to: Option<DateTime<Utc>>,
}

fn programs(config: &Config) -> Programs<'_> {
    Programs {
        bin: config.pg_bin.as_deref(),
        path: config.path.as_deref(),
    }
}

/// Takes a backup and checks it.
pub async fn backup(db: &Db, clock: &Clock, config: &Config, options: &BackupOptions) -> Result<(), Failure> {
    std::fs::create_dir_all(&options.dir)?;
    if !options.erasures_only {
        let (place, note) =
            backups::take(db.url(), programs(config), &options.dir, db.keys(), clock.now()).await?;
        say(&format!(
            "{} holds the database as of {}; every file was checked",
            place.display(),
            note.taken_at.to_rfc3339_opts(SecondsFormat::Secs, true)
        ))?;
    }
    privacy::keep_erasures(db, &options.dir).await?;
    Ok(())
}

/// Restores into the data directory, erases again, and verifies.
pub async fn restore(config: &Config, options: &RestoreOptions) -> Result<(), Failure> {
    if config.database_url.is_some() {
        return Err("restore makes a private PostgreSQL in SAMPARK_DATA_DIR: unset DATABASE_URL. docs/operations.md tells how another server is restored".into());
    }
    let keys = DataKeys::open(config)?;
    let (place, note) = backups::choose(&options.dir, options.to, &keys)?;
    let newest = migrations::newest();
    if note.schema_version > newest {
        return Err(format!(
            "{} was made by a newer version of the program (schema {}; this one knows {newest})",
            place.display(),
            note.schema_version
        )
        .into());
    }
    let erasures = privacy::read_erasures(&options.dir, &keys)?;
    backups::verify(&place, &note, programs(config)).await?;
    say(&format!("{} is whole and ours; recovering", place.display()))?;
    let source = Source {
        data: place.join("data"),
        wal: std::path::absolute(backups::wal_of(&options.dir))?,
        server_version: note.server_version,
        superuser: note.superuser,
        database: note.database,
        to: options
            .to
            .map(|to| to.to_rfc3339_opts(SecondsFormat::Micros, false)),
    };
    let dir = config.data_dir.join("postgres");
    embedded_postgres::restore(&dir, config.pg_bin.as_deref(), config.path.as_deref(), &source).await?;
    let database = Database::share(config).await?;
    let done = finish(config, &database.owner_url, keys, erasures).await;
    database.close().await?;
    done
}

/// What a restored database needs before anybody is served from it.
async fn finish(
    config: &Config,
    url: &str,
    keys: DataKeys,
    erasures: privacy::Erasures,
) -> Result<(), Failure> {
    migrations::ensure(url).await?;
    let clock = Clock::system(config.time_zone);
    let db = Db::new(url, 4, keys)?.as_program(&COMMAND);
    privacy::seal_waiting(&db, &clock).await?;
    let (workers, contacts) = privacy::replay_erasures(&db, &clock, erasures).await?;
    privacy::retain(&db, &clock).await?;
    say(&format!("erased again: {workers} workers, {contacts} contacts"))?;
    let seals = SealKeys::new(&config.data_dir, &config.seal_key_files).loaded(clock.now())?;
    let ask = Ask {
        keys: seals.public.clone(),
        kept: Vec::new(),
        since_kept: false,
        state: None,
        actor: Actor::program(clock.now()),
        today: clock.today(),
    };
    let report = verify(&db, &ask, |_| {}).await?;
    for problem in &report.problems {
        say(&problem.to_string())?;
    }
    if !report.problems.is_empty() {
        return Err("the restored journal does not verify".into());
    }
    say(&format!(
        "restored: {} entries, {} signed heads and {} versions of visits fit together",
        report.entries, report.heads, report.versions
    ))
}

/// Keeps the list of erasures in the archive up to date while a server runs.
pub async fn keep_erasures(db: Db, dir: PathBuf) {
    loop {
        if let Err(error) = privacy::keep_erasures(&db, Path::new(&dir)).await {
            tracing::error!(%error, "the list of erasures beside the backups could not be kept; trying again in a minute");
        }
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    }
}
