//! Which database a command works on.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use sampark::platform::backups;
use sampark::platform::config::Config;
use sampark::platform::dial::dial;
use sampark::platform::embedded_postgres::{EmbeddedPostgres, Options};
use secrecy::{ExposeSecret, SecretString};

use super::Failure;

/// The database named by `DATABASE_URL`, the private one of a server that runs, or one's own.
pub struct Database {
    /// For the server's role.
    pub url: String,
    /// For the owner of the tables, who migrates.
    pub owner_url: String,
    private: Option<EmbeddedPostgres>,
    /// Tells other commands where it is while this program runs.
    note: Option<PathBuf>,
}

impl Database {
    /// For a server: its own private database is noted for other commands.
    pub async fn open(config: &Config) -> Result<Self, Failure> {
        if let Some(url) = &config.database_url {
            return Ok(Self::given(url, config.owner_database_url.as_ref()));
        }
        let mut database = Self::start(config).await?;
        let note = note_of(config);
        let _ = std::fs::remove_file(&note);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&note)?;
        file.write_all(database.owner_url.as_bytes())?;
        database.note = Some(note);
        Ok(database)
    }

    /// For a command that may run beside a server.
    pub async fn share(config: &Config) -> Result<Self, Failure> {
        if let Some(url) = &config.database_url {
            return Ok(Self::given(url, config.owner_database_url.as_ref()));
        }
        if let Ok(url) = std::fs::read_to_string(note_of(config))
            && answers(&url).await
        {
            return Ok(Self::given(&url.into(), None));
        }
        Self::start(config).await
    }

    fn given(url: &SecretString, owner: Option<&SecretString>) -> Self {
        Self {
            url: url.expose_secret().to_owned(),
            owner_url: owner.unwrap_or(url).expose_secret().to_owned(),
            private: None,
            note: None,
        }
    }

    async fn start(config: &Config) -> Result<Self, Failure> {
        let private = EmbeddedPostgres::start(Options {
            dir: config.data_dir.join("postgres"),
            bin: config.pg_bin.clone(),
            path: config.path.clone(),
            durable: true,
            remove_on_exit: false,
            // The inboxes are emptied several times a second, and only autovacuum clears up after that.
            settings: vec![("autovacuum_naptime".to_owned(), "5s".to_owned())],
            archive: config.archive_dir.as_deref().map(backups::wal_of),
        })
        .await?;
        Ok(Self {
            url: private.server_url("sampark"),
            owner_url: private.url("sampark"),
            private: Some(private),
            note: None,
        })
    }

    /// Stops what was started.
    pub async fn close(self) -> Result<(), Failure> {
        if let Some(note) = self.note {
            let _ = std::fs::remove_file(note);
        }
        match self.private {
            Some(private) => Ok(private.stop().await?),
            None => Ok(()),
        }
    }
}

fn note_of(config: &Config) -> PathBuf {
    config.data_dir.join("database.url")
}

async fn answers(url: &str) -> bool {
    matches!(
        tokio::time::timeout(Duration::from_secs(2), dial(url)).await,
        Ok(Ok(_))
    )
}
