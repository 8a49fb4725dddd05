//! Migrations: compiled in, run at start and by `sampark migrate`, safe when several start at once.

use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::db::BEGIN_WAIT;
use super::db::connect::establish;
use super::dial::{DialError, dial};
use super::error::ApiError;
use super::wall;

/// The migrations of this version of the program.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");
/// The advisory lock under which one program migrates while the others wait.
const LOCK: &str = "SET lock_timeout = '60s'; SELECT pg_advisory_lock(1396788545, 0)";

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Versions that were applied now.
    pub applied: Vec<String>,
}

/// Applies what is missing, each migration in a transaction of its own.
///
/// # Errors
/// If the database cannot be reached or a migration fails; the failed one is rolled back.
pub async fn run(url: &str) -> Result<Migrated, ApiError> {
    on_own_thread(url, |harness| {
        let applied = harness
            .run_pending_migrations(MIGRATIONS)
            .map_err(ApiError::internal)?;
        Ok(Migrated {
            applied: applied.iter().map(ToString::to_string).collect(),
        })
    })
    .await
}

/// The same at the start of a server, which may have been given the server's login alone, or a standby: then it asks whether
/// somebody else has applied them.
///
/// # Errors
/// As [`run`]; or if one is missing and this login may not apply it.
pub async fn ensure(url: &str) -> Result<(), ApiError> {
    if may_migrate(url).await? {
        return run(url).await.map(|_| ());
    }
    let (client, connection) = dial(url)
        .await
        .map_err(|error| ApiError::unavailable("the database cannot be reached", error))?;
    let connection = tokio::spawn(connection);
    let newest = newest();
    let applied = client
        .query_opt(
            "SELECT 1 FROM __diesel_schema_migrations WHERE version = $1",
            &[&newest],
        )
        .await;
    drop(client);
    let _ = connection.await;
    match applied {
        Ok(Some(_)) => Ok(()),
        _ => Err(ApiError::internal(format!(
            "the database lacks migration {newest} and this login may not apply it here: run `sampark migrate` with \
             SAMPARK_OWNER_DATABASE_URL"
        ))),
    }
}

async fn may_migrate(url: &str) -> Result<bool, ApiError> {
    let unreachable = |error: DialError| ApiError::unavailable("the database cannot be reached", error);
    let (client, connection) = tokio::time::timeout(BEGIN_WAIT, dial(url))
        .await
        .map_err(|late| ApiError::unavailable("the database does not answer", late))?
        .map_err(unreachable)?;
    let connection = tokio::spawn(connection);
    let asked = client
        .query_one(
            "SELECT has_schema_privilege('public', 'CREATE') AND NOT pg_is_in_recovery()",
            &[],
        )
        .await;
    drop(client);
    let _ = connection.await;
    Ok(asked.map_err(DialError::from).map_err(unreachable)?.get(0))
}

/// Takes every migration back; for tests.
///
/// # Errors
/// If one cannot be taken back.
pub async fn revert_all(url: &str) -> Result<(), ApiError> {
    on_own_thread(url, |harness| {
        harness
            .revert_all_migrations(MIGRATIONS)
            .map_err(ApiError::internal)?;
        Ok(())
    })
    .await
}

/// Whether migrations are missing.
///
/// # Errors
/// If the database cannot be reached.
pub async fn pending(url: &str) -> Result<bool, ApiError> {
    on_own_thread(url, |harness| {
        harness
            .has_pending_migration(MIGRATIONS)
            .map_err(ApiError::internal)
    })
    .await
}

type Harness = AsyncMigrationHarness<AsyncPgConnection>;

/// diesel's migrations block, so they get a thread and a small runtime of their own.
async fn on_own_thread<T: Send + 'static>(
    url: &str,
    work: impl FnOnce(&mut Harness) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let url = url.to_owned();
    let task = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(ApiError::internal)?;
        runtime.block_on(async move {
            let mut conn = establish(&url)
                .await
                .map_err(|error| ApiError::unavailable("the database cannot be reached", error))?;
            conn.batch_execute(wall::MIGRATION).await?;
            conn.batch_execute(LOCK).await?;
            tokio::task::block_in_place(|| work(&mut AsyncMigrationHarness::new(conn)))
        })
    });
    task.await.map_err(ApiError::internal)?
}

/// The version of the newest migration that the program knows, as the database keeps it.
#[must_use]
pub fn newest() -> String {
    use diesel::migration::{Migration, MigrationSource};
    let all: Vec<Box<dyn Migration<diesel::pg::Pg>>> = MIGRATIONS.migrations().unwrap_or_default();
    all.iter()
        .map(|migration| migration.name().version().to_string())
        .max()
        .unwrap_or_default()
}
