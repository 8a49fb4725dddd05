//! The way to PostgreSQL: a bounded pool, read-only reads, and the transaction beneath `journal::write`.
//!
//! Connections live on a runtime of their own (one thread), so that they outlive the HTTP worker that happened to open
//! them and so that the recorder, which runs there too, talks to them without waking another thread. A request that is
//! dropped leaves its transaction open; the connection then counts as broken and the pool throws it away.

use std::ops::AsyncFnOnce;
use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, TransactionManager};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot, watch};
use tokio::time::Instant;

pub(super) mod connect;

use super::data_keys::DataKeys;
use super::dial::{DialError, dial};
use super::error::{ApiError, Code, Transient};
use super::reach::Reach;
use super::shares::Shares;
use super::wall::{self, Program, Scope};

/// A connection inside a transaction. Queries take it first; they cannot open a transaction of their own.
pub type Tx = AsyncPgConnection;

/// How long a request waits for a connection to become free.
pub const POOL_WAIT: Duration = Duration::from_millis(500);
/// How long a transaction may take to begin, all waits together, where no request waits for it: at start and in commands,
/// failing costs more than patience. Requests have the configuration's wait.
pub const BEGIN_WAIT: Duration = Duration::from_secs(10);
/// How long a rollback is waited for before its connection is thrown away.
const ROLLBACK_WAIT: Duration = Duration::from_secs(1);
/// How long a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// What a connection is set to where files are copied in, which takes as long as they do; see `connect`.
const STAGING_SESSION: &str = "SET ROLE sampark_server; SET statement_timeout = '3600s'; SET lock_timeout = '1s'; \
    SET idle_in_transaction_session_timeout = '60s'; SET timezone = 'UTC'; SET jit = off";

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: Pool<AsyncPgConnection>,
    runtime: Arc<DbRuntime>,
    written: Arc<Notify>,
    posted: watch::Sender<u64>,
    url: Arc<str>,
    keys: DataKeys,
    standing: Standing,
    reach: Reach,
    shares: Shares,
    begin_wait: Duration,
}

/// In whose name transactions are begun: what the second wall lets them see.
#[derive(Clone, Debug)]
struct Standing {
    caller: CallerOf,
    program: Option<&'static Program>,
}

#[derive(Clone, Debug)]
enum CallerOf {
    /// That of the request at hand, when the transaction begins.
    Request,
    /// This one.
    Fixed(Option<Arc<Scope>>),
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db")
            .field("pool", &self.pool.status())
            .finish_non_exhaustive()
    }
}

/// How a transaction is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Read-only, one snapshot for all its statements.
    Read,
    /// The same, allowed a minute: recounts and exports.
    LongRead,
    /// Read and write.
    Write,
    /// The same for statements that find all their rows by keys: each is planned once on a connection, whatever is bound to
    /// it. PostgreSQL would otherwise plan the larger of them anew at each run, since few keys look cheaper than the many
    /// that it assumes where it does not know, and the planning costs more than the running. A plan made while there were no
    /// statistics is kept too, so no statement may be left a way but the indexes.
    KeyedWrite,
    /// The same, allowed ten minutes: imports.
    LongWrite,
}

impl Mode {
    const fn begin(self) -> &'static str {
        match self {
            Self::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Self::LongRead => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '60s'; SET LOCAL idle_in_transaction_session_timeout = '60s'"
            }
            Self::Write => "BEGIN",
            Self::KeyedWrite => {
                "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
            }
            Self::LongWrite => {
                "BEGIN; SET LOCAL statement_timeout = '600s'; SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '60s'"
            }
        }
    }
}

/// The thread on which connections (and what must outlive HTTP workers) run.
#[derive(Debug)]
struct DbRuntime {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
}

impl DbRuntime {
    fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("database".to_owned())
            .spawn(move || {
                // Ends when the last `Db` is dropped; dropping the runtime then closes what connections are left.
                let _ = runtime.block_on(stopped);
            })?;
        Ok(Self {
            handle,
            stop: Some(stop),
        })
    }
}

impl Drop for DbRuntime {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

impl Db {
    /// A pool of at most `size` connections to `url`, with the keys under which phones and notes are kept there. Connects
    /// when first used.
    ///
    /// # Errors
    /// If no thread can be started, or the pool cannot be built.
    pub fn new(url: &str, size: usize, keys: DataKeys) -> Result<Self, ApiError> {
        let runtime = Arc::new(DbRuntime::start().map_err(ApiError::internal)?);
        let pool = connect::pool(url, size, runtime.handle.clone())?;
        let url: Arc<str> = url.into();
        Ok(Self {
            pool,
            written: Arc::new(Notify::new()),
            posted: watch::Sender::new(0),
            reach: Reach::new(url.clone(), runtime.handle.clone()),
            shares: Shares::of(size),
            begin_wait: BEGIN_WAIT,
            runtime,
            url,
            keys,
            standing: Standing {
                caller: CallerOf::Request,
                program: None,
            },
        })
    }

    /// The same database for a task of the program itself, whoever's request it may be done for.
    #[must_use]
    pub fn as_program(&self, program: &'static Program) -> Self {
        let standing = Standing {
            caller: CallerOf::Fixed(None),
            program: Some(program),
        };
        Self {
            standing,
            ..self.clone()
        }
    }

    /// The same for the caller at hand, who sees beside his own what a task of the program reads: for what is compared or
    /// counted for him, and not shown.
    #[must_use]
    pub fn reaching(&self, program: &'static Program) -> Self {
        let mut db = self.clone();
        db.standing.program = Some(program);
        db
    }

    /// The same for the caller at hand even where the request is no longer at hand: in a task of its own, in a stream.
    #[must_use]
    pub fn for_caller(&self) -> Self {
        let mut db = self.clone();
        db.standing.caller = CallerOf::Fixed(self.caller());
        db
    }

    /// The same for a caller by name, whose scope may change while he is served: a stream asks for it at each look.
    #[must_use]
    pub fn within(&self, scope: Scope) -> Self {
        let mut db = self.clone();
        db.standing.caller = CallerOf::Fixed(Some(Arc::new(scope)));
        db
    }

    fn caller(&self) -> Option<Arc<Scope>> {
        match &self.standing.caller {
            CallerOf::Request => wall::noted(),
            CallerOf::Fixed(scope) => scope.clone(),
        }
    }

    /// Begins on a connection, with the scope laid down.
    async fn begin_on(&self, conn: &mut AsyncPgConnection, mode: Mode) -> QueryResult<()> {
        match self.standing.program {
            None => AnsiTransactionManager::begin_transaction_sql(conn, mode.begin()).await?,
            Some(program) => {
                let begin = [mode.begin(), program.enter].concat();
                AnsiTransactionManager::begin_transaction_sql(conn, &begin).await?;
            }
        }
        match self.caller() {
            Some(scope) => wall::lay(conn, &scope).await,
            None => Ok(()),
        }
    }

    /// The same with another bound on how long a transaction may take to begin.
    #[must_use]
    pub const fn with_begin_wait(mut self, wait: Duration) -> Self {
        self.begin_wait = wait;
        self
    }

    /// The runtime on which connections live, for background tasks that use them much.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        &self.runtime.handle
    }

    /// The keys under which phones and notes are kept.
    #[must_use]
    pub const fn keys(&self) -> &DataKeys {
        &self.keys
    }

    /// Where the database is; holds a password, never to be shown.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connections open, and how many are free.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size, status.available)
    }

    /// Runs `work` in a read-only transaction: a GET cannot write, and all it reads is one snapshot.
    ///
    /// # Errors
    /// What `work` answers, or 503 when the database cannot be had.
    pub async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.read_in(Mode::Read, work).await
    }

    /// The same for recounts, which may take a minute.
    ///
    /// # Errors
    /// As [`Db::read`].
    pub async fn read_long<T>(
        &self,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.read_in(Mode::LongRead, work).await
    }

    async fn read_in<T>(
        &self,
        mode: Mode,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut transaction = self.begin(mode).await?;
        match transaction.run(work).await {
            Ok(value) => {
                transaction.commit().await?;
                Ok(value)
            }
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }

    /// Begins a transaction. Only `journal::write` and this floor use it: features go through `read` and `write`.
    ///
    /// A connection that died while it lay in the pool shows here, where nothing has been done yet, so that another
    /// can be tried safely.
    ///
    /// # Errors
    /// 503 when no connection can be had.
    pub async fn begin(&self, mode: Mode) -> Result<Transaction, ApiError> {
        self.reach.check()?;
        let mut deadline = Instant::now() + self.begin_wait;
        let share = self.shares.take(mode).await?;
        if mode == Mode::LongRead {
            deadline = Instant::now() + self.begin_wait;
        }
        self.reach.check()?;
        let begun = match tokio::time::timeout_at(deadline, self.begin_pooled(mode)).await {
            Ok(begun) => begun,
            Err(late) => Err(ApiError::unavailable("the database cannot be reached", late)
                .with_transient(Transient::Disconnected)),
        };
        match begun {
            Ok(conn) => Ok(Transaction {
                conn: Some(Conn::Pooled(conn)),
                reach: self.reach.clone(),
                _share: share,
            }),
            Err(error) => {
                if error.transient() == Some(Transient::Disconnected) {
                    self.reach.set_lost();
                }
                Err(error)
            }
        }
    }

    async fn begin_pooled(&self, mode: Mode) -> Result<Object<AsyncPgConnection>, ApiError> {
        let mut tries = self.pool.status().max_size.saturating_add(1);
        loop {
            let mut conn = Fresh(Some(self.pool.get().await.map_err(connect::pool_error)?));
            match self.begin_on(conn.get()?, mode).await {
                Ok(()) => return conn.keep(),
                Err(error) => {
                    drop(conn);
                    let error = ApiError::from(error);
                    tries = tries.saturating_sub(1);
                    if tries == 0 || error.transient() != Some(Transient::Disconnected) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Connects outside the pool, lets `stage` fill temporary tables there (COPY, which diesel has not), and begins a
    /// transaction that sees them. The connection ends with the transaction, and the tables with it.
    ///
    /// # Errors
    /// What `stage` answers, or 503 when the database cannot be had.
    pub async fn begin_staged<T>(
        &self,
        mode: Mode,
        stage: impl AsyncFnOnce(&tokio_postgres::Client) -> Result<T, ApiError>,
    ) -> Result<(T, Transaction), ApiError> {
        self.reach.check()?;
        let url = self.url.clone();
        let runtime = self.runtime.handle.clone();
        let connecting = self.runtime.handle.spawn(async move {
            let (client, wire) = dial(&url).await?;
            runtime.spawn(wire);
            client.batch_execute(STAGING_SESSION).await?;
            Ok::<_, DialError>(client)
        });
        let client = tokio::time::timeout(CONNECT_WAIT, connecting)
            .await
            .map_err(|error| ApiError::unavailable("the database cannot be reached", error))?
            .map_err(ApiError::internal)?
            .map_err(|error| match error {
                DialError::Postgres(error) => staging_error(error),
                other => ApiError::unavailable("the database cannot be reached", other),
            })?;
        let staged = self.reach.attend(stage(&client)).await?;
        let mut conn = AsyncPgConnection::try_from(client)
            .await
            .map_err(|error| ApiError::unavailable("the database cannot be reached", error))?;
        self.begin_on(&mut conn, mode).await?;
        let transaction = Transaction {
            conn: Some(Conn::Own(conn)),
            reach: self.reach.clone(),
            _share: None,
        };
        Ok((staged, transaction))
    }

    /// Whether a transaction could be begun at all, as far as is known.
    ///
    /// # Errors
    /// 503 while the database is out of reach.
    pub fn check_reach(&self) -> Result<(), ApiError> {
        self.reach.check()
    }

    /// Tells whoever waits that something was committed.
    pub fn tell_write(&self) {
        self.written.notify_one();
    }

    /// Waits until something is committed by this process.
    pub async fn wait_for_write(&self) {
        self.written.notified().await;
    }

    /// Tells whoever waits that the journal has grown.
    pub fn tell_posting(&self) {
        self.posted
            .send_modify(|postings| *postings = postings.wrapping_add(1));
    }

    /// Counts the postings of this process.
    #[must_use]
    pub fn postings(&self) -> watch::Receiver<u64> {
        self.posted.subscribe()
    }

    /// Whether a statement runs.
    ///
    /// # Errors
    /// 503 when it does not.
    pub async fn ping(&self) -> Result<(), ApiError> {
        let transaction = self.begin(Mode::Read).await?;
        transaction.commit().await
    }
}

/// An open transaction. Dropped without [`Transaction::commit`], it is rolled back and its connection thrown away.
pub struct Transaction {
    conn: Option<Conn>,
    reach: Reach,
    _share: Option<OwnedSemaphorePermit>,
}

/// A connection that is thrown away unless it is kept: one on which a BEGIN was given up must not be used again.
struct Fresh(Option<Object<AsyncPgConnection>>);

impl Fresh {
    fn get(&mut self) -> Result<&mut AsyncPgConnection, ApiError> {
        let conn = self.0.as_deref_mut();
        conn.ok_or_else(|| ApiError::internal("a connection was used after it was given back"))
    }

    fn keep(mut self) -> Result<Object<AsyncPgConnection>, ApiError> {
        let conn = self.0.take();
        conn.ok_or_else(|| ApiError::internal("a connection was used after it was given back"))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            drop(Object::take(conn));
        }
    }
}

enum Conn {
    Pooled(Object<AsyncPgConnection>),
    Own(AsyncPgConnection),
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

impl Transaction {
    /// The connection, for queries.
    #[expect(
        clippy::expect_used,
        reason = "the connection leaves only in commit, rollback and drop, which end self"
    )]
    pub fn tx(&mut self) -> &mut Tx {
        match self
            .conn
            .as_mut()
            .expect("an open transaction has its connection")
        {
            Conn::Pooled(conn) => conn,
            Conn::Own(conn) => conn,
        }
    }

    /// Runs work in it for as long as the database answers at all.
    ///
    /// # Errors
    /// What the work answers; 503 when the database does not any more.
    pub async fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let reach = self.reach.clone();
        reach.attend(work(self.tx())).await
    }

    /// Commits. When the connection is lost meanwhile nobody knows whether it was committed: 503, and the client's
    /// resend settles it.
    ///
    /// # Errors
    /// 503, or what the database says.
    pub async fn commit(mut self) -> Result<(), ApiError> {
        self.run(async |tx| Ok(AnsiTransactionManager::commit_transaction(tx).await?))
            .await?;
        // Back to the pool.
        drop(self.conn.take());
        Ok(())
    }

    /// Rolls back and keeps the connection, if it still works.
    pub async fn rollback(mut self) {
        if self.reach.is_lost() {
            return;
        }
        let rollback = AnsiTransactionManager::rollback_transaction(self.tx());
        if let Ok(Ok(())) = tokio::time::timeout(ROLLBACK_WAIT, rollback).await {
            drop(self.conn.take());
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // Closing the connection makes the server roll back.
        if let Some(Conn::Pooled(conn)) = self.conn.take() {
            drop(Object::take(conn));
        }
    }
}

/// What the database says while a file is copied in.
pub fn staging_error(error: tokio_postgres::Error) -> ApiError {
    match error.as_db_error().map(tokio_postgres::error::DbError::code) {
        Some(&tokio_postgres::error::SqlState::DISK_FULL) => {
            ApiError::new(Code::StorageFull, "the database has no room left").with_retry_after(60)
        }
        Some(_) if !error.is_closed() => ApiError::internal(error),
        _ => ApiError::unavailable("the database cannot be reached", error),
    }
}
