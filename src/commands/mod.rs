//! What each command does.

pub mod backup;
mod database;
mod import;
mod serve;
pub mod verify;

use std::time::Duration;

use sampark::access::{KeyRing, code_keys, keyring};
use sampark::app;
use sampark::features::privacy;
use sampark::features::sessions::{create_admin, issue_token, read_out_code, reseal_factors};
use sampark::journal::keys as seal_keys;
use sampark::platform::clock::Clock;
use sampark::platform::config::Config;
use sampark::platform::data_keys::DataKeys;
use sampark::platform::db::Db;
use sampark::platform::wall::COMMAND;
use sampark::platform::{log_writer, migrations, telemetry};

use crate::{Command, Import};
use database::Database;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs a command to its end.
pub async fn run(command: Command) -> Result<(), Failure> {
    if matches!(command, Command::Openapi) {
        return say_raw(&app::openapi_json());
    }
    let config = Config::from_env()?;
    telemetry::init_logging(&config);
    let done = match command {
        Command::Serve => serve::serve(config).await,
        Command::Demo => serve::demo(config).await,
        Command::Healthcheck => serve::check_health(config.listen).await,
        Command::RotateSigningKey { at_once } => rotate_signing_key(&config, at_once),
        Command::RotateSealKey => rotate_seal_key(&config),
        Command::Restore(options) => backup::restore(&config, &options).await,
        other => with_database(config, other).await,
    };
    log_writer::flush(Duration::from_secs(1));
    done
}

/// Commands that need the database for a moment: the one of a server that runs, or their own.
async fn with_database(config: Config, command: Command) -> Result<(), Failure> {
    let database = Database::share(&config).await?;
    let migrated = migrations::run(&database.owner_url).await?;
    let clock = Clock::system(config.time_zone);
    let db = Db::new(&database.owner_url, 2, DataKeys::open(&config)?)?.as_program(&COMMAND);
    privacy::seal_waiting(&db, &clock).await?;
    let done = match command {
        Command::Migrate => {
            tracing::info!(applied = ?migrated.applied, "migrated");
            Ok(())
        }
        Command::Import {
            what: Import::Units { files, dry_run },
        } => import::units(&db, &clock, &files, dry_run).await,
        Command::Import {
            what: Import::Workers { files, dry_run },
        } => import::workers(&db, &clock, &config.phone_prefixes, &files, dry_run).await,
        Command::CreateAdmin { phone, name } => match create_admin(&db, &clock, &phone, &name).await {
            Ok(id) => say(&format!(
                "worker {id} is national administrator and can sign in with {phone}"
            )),
            Err(error) => Err(error.into()),
        },
        Command::Token { phone } => {
            let keys = KeyRing::open(&config)?;
            match issue_token(&db, &clock, &keys, &phone).await {
                Ok(token) => say(&token),
                Err(error) => Err(error.into()),
            }
        }
        Command::SignInCode { phone } => {
            let keys = KeyRing::open(&config)?;
            match read_out_code(&db, &clock, &keys, &phone).await {
                Ok(code) => say(&code),
                Err(error) => Err(error.into()),
            }
        }
        Command::Retain => match privacy::retain(&db, &clock).await {
            Ok(done) => say(&format!("looked at: {done:?}")),
            Err(error) => Err(error.into()),
        },
        Command::RotateDataKey {
            settle_seconds,
            reseal_only,
        } => rotate_data_key(&db, &clock, settle_seconds, reseal_only).await,
        Command::RotateCodeKey {
            settle_seconds,
            reseal_only,
        } => rotate_code_key(&db, &clock, &config, settle_seconds, reseal_only).await,
        Command::Backup(options) => backup::backup(&db, &clock, &config, &options).await,
        Command::Verify(options) => verify::run(&db, &clock, &config, options).await,
        Command::Restore(_)
        | Command::Serve
        | Command::Demo
        | Command::Healthcheck
        | Command::RotateSigningKey { .. }
        | Command::RotateSealKey
        | Command::Openapi => Ok(()),
    };
    drop(db);
    database.close().await?;
    done
}

async fn rotate_data_key(
    db: &Db,
    clock: &Clock,
    settle_seconds: u64,
    reseal_only: bool,
) -> Result<(), Failure> {
    if !reseal_only {
        let version = db.keys().add_version()?;
        say(&format!(
            "data key {version} is in the file; waiting {settle_seconds} s until every server has it"
        ))?;
    }
    tokio::time::sleep(Duration::from_secs(settle_seconds)).await;
    privacy::reseal_all(db, clock).await?;
    let gone = privacy::drop_unused(db).await?;
    say(&format!(
        "everything is sealed by data key {}; keys dropped: {gone:?}",
        db.keys().active()
    ))
}

async fn rotate_code_key(
    db: &Db,
    clock: &Clock,
    config: &Config,
    settle_seconds: u64,
    reseal_only: bool,
) -> Result<(), Failure> {
    let own = config.code_key_files.is_empty();
    if !reseal_only {
        if !own {
            return Err(
                "SAMPARK_CODE_KEY_FILE names the keys: put the new one first there, as docs/operating.md says, and seal anew \
                 with --reseal-only"
                    .into(),
            );
        }
        code_keys::add(&config.data_dir, clock.now())?;
        say(&format!(
            "the new key is there; waiting {settle_seconds} s until every server writes with it"
        ))?;
        tokio::time::sleep(Duration::from_secs(settle_seconds)).await;
    }
    let factors = reseal_factors(db, clock, &KeyRing::open(config)?).await?;
    let gone = if own {
        code_keys::drop_retired(&config.data_dir, clock.now())?
    } else {
        0
    };
    say(&format!(
        "second factors sealed anew: {}; that no key opens, to be set up again: {}; keys dropped: {gone}. The codes of the key before are over in an hour: \
         --reseal-only drops it then",
        factors.anew, factors.lost
    ))
}

fn rotate_seal_key(config: &Config) -> Result<(), Failure> {
    if !config.seal_key_files.is_empty() {
        return Err(
            "SAMPARK_SEAL_KEY_FILES names the keys: replace them there, as docs/seals.md says".into(),
        );
    }
    let now = Clock::system(config.time_zone).now();
    let kid = seal_keys::rotate(&config.data_dir, now)?;
    say(&format!(
        "the new key is {kid}; servers sign with it within seconds"
    ))
}

fn rotate_signing_key(config: &Config, at_once: bool) -> Result<(), Failure> {
    if !config.signing_key_files.is_empty() {
        return Err(
            "SAMPARK_SIGNING_KEY_FILES names the keys: replace them there, as docs/operating.md says".into(),
        );
    }
    let now = Clock::system(config.time_zone).now();
    let (kid, removed) = keyring::rotate(&config.data_dir, now, at_once)?;
    say(&format!(
        "the new key is {kid}; {removed} old ones were removed. Servers load it within {} s and sign with it after {} s",
        keyring::RELOAD.as_secs(),
        if at_once { 0 } else { keyring::SETTLE.num_seconds() },
    ))
}

/// A line on standard output.
pub fn say(line: &str) -> Result<(), Failure> {
    say_raw(&format!("{line}\n"))
}

fn say_raw(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    // A reader that has seen enough (head) is no failure.
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
