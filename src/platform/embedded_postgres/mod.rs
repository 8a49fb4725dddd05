//! The program's private PostgreSQL: a server of its own from the machine's installed binaries, in a directory of its
//! own, for whoever has set no `DATABASE_URL`, and for the tests.
//!
//! * Loopback only, on a free port, with a random password (0600) and SCRAM; never as root.
//! * One program a directory: a file lock says so to the second.
//! * Stopped with the program, however it ends: a tiny shell watches a pipe that the program holds, and stops the server
//!   when the pipe closes. What a crash leaves running all the same is stopped by the next start.
//! * Killed itself, it is started again at once on the same port, and recovers from its log.

mod archive;
mod binaries;
mod memory;
mod place;
mod restore;

use std::ffi::OsString;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rand::RngExt as _;
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use archive::archiving;
use binaries::find_binaries;
use place::Place;
pub use restore::{Source, restore};

/// How long a start may take in all: recovery after a crash replays the log first.
const START_WAIT: Duration = Duration::from_secs(120);
/// How long an orderly stop may take before it becomes an abrupt one.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// The superuser of the private server.
const USER: &str = "sampark";
/// The role as which the program serves: it owns nothing, so that the policies of the tables hold for it.
const SERVER: &str = "sampark_server";
/// The database that is there from the start.
const DATABASE: &str = "sampark";
/// Which a name cannot be bound to.
const CREATE_DATABASE: &str = "CREATE DATABASE sampark";

/// How it is run.
#[derive(Debug)]
pub struct Options {
    /// Where data, password and log are kept.
    pub dir: PathBuf,
    /// The folder of `initdb` and `postgres`; looked for if not given.
    pub bin: Option<PathBuf>,
    /// The `PATH` in which they are looked for first.
    pub path: Option<OsString>,
    /// False for tests alone: nothing then survives a crash of the machine.
    pub durable: bool,
    /// Removes the directory when the program ends.
    pub remove_on_exit: bool,
    /// Further settings of the server.
    pub settings: Vec<(String, String)>,
    /// Where it archives its write-ahead log, segment by segment.
    pub archive: Option<PathBuf>,
}

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error(
        "no PostgreSQL (14 or newer) is installed here. Install it with `{0}`, or name a server in DATABASE_URL, or the \
         folder of its programs in SAMPARK_PG_BIN"
    )]
    NotInstalled(&'static str),
    #[error(
        "the data was made by PostgreSQL {0}, which is not installed here: install that version, or dump the data with it and \
         start afresh"
    )]
    OtherVersion(u32),
    #[error("another program is using the database in {}; stop it first", .0.display())]
    InUse(PathBuf),
    #[error("{what} failed: {detail}")]
    Failed { what: String, detail: String },
    #[error("{what}")]
    Io {
        what: String,
        #[source]
        source: std::io::Error,
    },
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> PostgresError {
    let what = what.into();
    move |source| PostgresError::Io { what, source }
}

/// The running server. [`EmbeddedPostgres::stop`] ends it in order; dropped, it is stopped by its watcher.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    port: u16,
    password: String,
    server_password: String,
    pid: watch::Receiver<u32>,
    stop: Option<oneshot::Sender<()>>,
    supervisor: JoinHandle<()>,
    watcher: Child,
    _place: Place,
}

/// What is needed to start the server, the first time and again.
#[derive(Clone, Debug)]
struct Launch {
    bin: PathBuf,
    data: PathBuf,
    log: PathBuf,
    port: u16,
    owner: Option<(u32, u32)>,
    settings: Vec<(String, String)>,
}

impl EmbeddedPostgres {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// Why it cannot be started, and what to do about it.
    pub async fn start(options: Options) -> Result<Self, PostgresError> {
        let place = Place::take(&options.dir)?;
        let made_by = std::fs::read_to_string(place.data().join("PG_VERSION"));
        let made_by = made_by.ok().and_then(|version| version.trim().parse().ok());
        let bin = find_binaries(options.bin.as_deref(), options.path.as_deref(), made_by).await?;
        let password = password(&place, made_by.is_some())?;
        let mut settings = options.settings;
        if !options.durable {
            for name in ["fsync", "synchronous_commit", "full_page_writes"] {
                settings.push((name.to_owned(), "off".to_owned()));
            }
        }
        if let Some(archive) = &options.archive {
            settings.extend(archiving(&place, archive)?);
        }
        if made_by.is_none() {
            initialise(&bin, &place, options.durable).await?;
        }
        end_leftover(&place.data()).await?;
        let launch = Launch {
            bin,
            data: place.data(),
            log: place.log(),
            port: free_port()?,
            owner: place.owner(),
            settings,
        };
        let watcher = watch_over(&place, options.remove_on_exit)?;
        let child = launch.run(&password).await?;
        let server_password = new_password();
        create_database(launch.port, &password, &server_password).await?;
        let (pid_is, pid) = watch::channel(child.id().unwrap_or_default());
        let (stop, stopped) = oneshot::channel();
        let port = launch.port;
        let supervisor = tokio::spawn(supervise(launch, password.clone(), child, pid_is, stopped));
        Ok(Self {
            port,
            password,
            server_password,
            pid,
            stop: Some(stop),
            supervisor,
            watcher,
            _place: place,
        })
    }

    /// Where a database of it is; holds the password.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{USER}:{}@127.0.0.1:{}/{database}",
            self.password, self.port
        )
    }

    /// The same for the role as which the program serves.
    #[must_use]
    pub fn server_url(&self, database: &str) -> String {
        format!(
            "postgres://{SERVER}:{}@127.0.0.1:{}/{database}",
            self.server_password, self.port
        )
    }

    /// The process that runs now.
    #[must_use]
    pub fn postmaster_pid(&self) -> u32 {
        *self.pid.borrow()
    }

    /// Stops it in order: open transactions are rolled back, everything is written.
    ///
    /// # Errors
    /// If its processes cannot be waited for.
    pub async fn stop(mut self) -> std::io::Result<()> {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.supervisor.await.map_err(std::io::Error::other)?;
        drop(self.watcher.stdin.take());
        self.watcher.wait().await?;
        Ok(())
    }
}

/// The folder of the programs of PostgreSQL, of one version if it is told.
///
/// # Errors
/// If they are not installed.
pub async fn find_programs(
    bin: Option<&Path>,
    path: Option<&std::ffi::OsStr>,
    version: Option<u32>,
) -> Result<PathBuf, PostgresError> {
    find_binaries(bin, path, version).await
}

/// The password that the data was made with, or a new one for new data.
fn password(place: &Place, made: bool) -> Result<String, PostgresError> {
    let path = place.password();
    if made {
        return std::fs::read_to_string(&path).map_err(io(format!("{} cannot be read", path.display())));
    }
    let password = new_password();
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .map_err(io(format!("{} cannot be written", path.display())))?;
    file.write_all(password.as_bytes())
        .map_err(io(format!("{} cannot be written", path.display())))?;
    place.give(&path)?;
    Ok(password)
}

fn new_password() -> String {
    let bytes: [u8; 16] = rand::rng().random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A free port below those that outgoing connections are given, so that it is still free after a restart.
fn free_port() -> Result<u16, PostgresError> {
    let mut tries = 100;
    loop {
        let port = rand::rng().random_range(20_000..32_000);
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) if tries == 0 => return Err(io("no free port")(error)),
            Err(_) => tries -= 1,
        }
    }
}

/// A command of PostgreSQL, as the user that may run it.
fn command(program: &Path, owner: Option<(u32, u32)>) -> Command {
    let mut command = std::process::Command::new(program);
    // Ctrl-C in the terminal is for the program, which then stops the server in order.
    command.process_group(0).current_dir("/").stdin(Stdio::null());
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
    Command::from(command)
}

/// Makes the data directory beside its place and moves it there when it is whole, so that a start that is killed leaves
/// nothing half-made.
async fn initialise(bin: &Path, place: &Place, durable: bool) -> Result<(), PostgresError> {
    let draft = place.draft();
    if draft.exists() {
        std::fs::remove_dir_all(&draft).map_err(io(format!("{} cannot be removed", draft.display())))?;
    }
    let mut initdb = command(&bin.join("initdb"), place.owner());
    initdb
        .args([
            "-U",
            USER,
            "-E",
            "UTF8",
            "--locale=C",
            "--auth=scram-sha-256",
            "--data-checksums",
        ])
        .arg("--pwfile")
        .arg(place.password())
        .arg("-D")
        .arg(&draft);
    if !durable {
        initdb.arg("--no-sync");
    }
    let done = initdb.output().await.map_err(io("initdb cannot be run"))?;
    if !done.status.success() {
        return Err(PostgresError::Failed {
            what: "initdb".to_owned(),
            detail: String::from_utf8_lossy(&done.stderr).trim().to_owned(),
        });
    }
    std::fs::rename(&draft, place.data()).map_err(io(format!("{} cannot be moved", draft.display())))
}

/// Stops a server that a killed program left running in this directory. The lock is ours, so it belongs to nobody.
async fn end_leftover(data: &Path) -> Result<(), PostgresError> {
    let file = data.join("postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&file) else {
        return Ok(());
    };
    let Some((pid, rest)) = text.split_once('\n') else {
        return Ok(());
    };
    let Ok(pid) = pid.trim().parse::<u32>() else {
        return Ok(());
    };
    if runs_in(pid, data).await {
        signal(pid, "INT").await;
        let waited = tokio::time::timeout(STOP_WAIT, async {
            while runs_in(pid, data).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        if waited.await.is_err() {
            signal(pid, "QUIT").await;
        }
    } else {
        // The number may be another process's by now, which PostgreSQL would take for a running server. It passes over
        // its parent's number, and still looks whether old backends hold the shared memory named further down.
        let renamed = format!("{}\n{rest}", std::process::id());
        std::fs::write(&file, renamed).map_err(io(format!("{} cannot be written", file.display())))?;
    }
    Ok(())
}

/// Whether a process is a PostgreSQL on this directory.
async fn runs_in(pid: u32, data: &Path) -> bool {
    let data = data.to_string_lossy();
    let proc_file = format!("/proc/{pid}/cmdline");
    if Path::new("/proc/self/cmdline").exists() {
        return std::fs::read(proc_file)
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(data.as_ref()));
    }
    let listed = Command::new("ps")
        .args(["-p", &pid.to_string(), "-o", "args="])
        .output()
        .await;
    listed.is_ok_and(|listed| String::from_utf8_lossy(&listed.stdout).contains(data.as_ref()))
}

async fn signal(pid: u32, name: &str) {
    let _ = Command::new("/bin/sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .await;
}

/// Reads a pipe until the program that holds it is gone, however it went, then stops the server. It is a shell and not a
/// thread because a thread dies with the program.
const WATCHER: &str = r#"
trap '' HUP INT TERM
while read -r line; do :; done
# Read once: a program that starts at once after this one has a server of its own there soon.
{ read -r pid < "$1/postmaster.pid"; } 2>/dev/null || pid=
ours() {
    [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || return 1
    [ ! -r /proc/self/cmdline ] || { tr '\0' ' ' < "/proc/$pid/cmdline"; } 2>/dev/null | grep -qF -- "$1"
}
tries=0
while ours "$1" && [ "$tries" -lt 150 ]; do
    case $tries in 0) kill -s INT "$pid" 2>/dev/null ;; 100) kill -s QUIT "$pid" 2>/dev/null ;; esac
    sleep 0.1
    tries=$((tries + 1))
done
if [ "$2" = remove ]; then rm -rf "$3"; fi
"#;

fn watch_over(place: &Place, remove: bool) -> Result<Child, PostgresError> {
    let mut shell = std::process::Command::new("/bin/sh");
    shell
        .args(["-c", WATCHER, "sampark-postgres-watcher"])
        .arg(place.data())
        .arg(if remove { "remove" } else { "keep" })
        .arg(place.root())
        .process_group(0)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Command::from(shell).spawn().map_err(io("/bin/sh cannot be run"))
}

impl Launch {
    /// Starts the server and waits until it answers.
    async fn run(&self, password: &str) -> Result<Child, PostgresError> {
        let deadline = tokio::time::Instant::now() + START_WAIT;
        loop {
            let mut child = self.spawn()?;
            let refused = loop {
                let tried = tokio_postgres::connect(&self.url(password), NoTls).await;
                let Err(error) = tried else { return Ok(child) };
                let ended = child.try_wait().map_err(io("the server cannot be waited for"))?;
                if ended.is_some() {
                    break None;
                }
                // While it recovers it says so, for as long as that takes.
                let recovering = error.code() == Some(&SqlState::CANNOT_CONNECT_NOW);
                let refused = error.code().is_some() && !recovering;
                if refused || (!recovering && tokio::time::Instant::now() > deadline) {
                    stop(&mut child).await;
                    break Some(error);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            };
            if let Some(error) = refused {
                return Err(PostgresError::Failed {
                    what: "reaching the private PostgreSQL".to_owned(),
                    detail: error.to_string(),
                });
            }
            let log = self.last_lines();
            // Backends of a server that was killed take a moment to let go of its shared memory.
            let passing = [
                "shared memory block",
                "is another postmaster",
                "Address already in use",
            ];
            let passing = passing.iter().any(|reason| log.contains(reason));
            if !passing || tokio::time::Instant::now() > deadline {
                return Err(PostgresError::Failed {
                    what: "starting PostgreSQL".to_owned(),
                    detail: format!("its log ({}) ends with: {log}", self.log.display()),
                });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn url(&self, password: &str) -> String {
        format!(
            "postgres://{USER}:{password}@127.0.0.1:{}/postgres?connect_timeout=5",
            self.port
        )
    }

    fn spawn(&self) -> Result<Child, PostgresError> {
        let log = || {
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(&self.log)
                .map_err(io(format!("{} cannot be written", self.log.display())))
        };
        let mut server = command(&self.bin.join("postgres"), self.owner);
        server.arg("-D").arg(&self.data).stdout(log()?).stderr(log()?);
        let port = self.port.to_string();
        let fixed = [
            ("listen_addresses", "127.0.0.1"),
            ("port", port.as_str()),
            ("unix_socket_directories", ""),
            ("logging_collector", "off"),
            // What fails is told to the program; the server's own log would repeat it with statements and rows, that is
            // with phone numbers.
            ("log_min_error_statement", "panic"),
            ("log_error_verbosity", "terse"),
            ("log_min_messages", "log"),
            ("max_connections", "220"),
            ("timezone", "UTC"),
        ];
        let memory = memory::shared_buffers();
        let memory = memory.iter().map(|share| ("shared_buffers", share.as_str()));
        let given = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in fixed.into_iter().chain(memory).chain(given) {
            server.arg("-c").arg(format!("{name}={value}"));
        }
        server.spawn().map_err(io("postgres cannot be run"))
    }

    /// The end of the log, for an error message.
    fn last_lines(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

/// Makes the database and the server's role if they are missing. That role's password is good for this start alone.
async fn create_database(port: u16, password: &str, server_password: &str) -> Result<(), PostgresError> {
    let failed = |error: tokio_postgres::Error| PostgresError::Failed {
        what: "creating the database".to_owned(),
        detail: error.to_string(),
    };
    let url = format!("postgres://{USER}:{password}@127.0.0.1:{port}/postgres");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let known = client
        .query("SELECT 1 FROM pg_database WHERE datname = $1", &[&DATABASE])
        .await
        .map_err(failed)?;
    if known.is_empty() {
        client.batch_execute(CREATE_DATABASE).await.map_err(failed)?;
    }
    let known = client
        .query("SELECT 1 FROM pg_roles WHERE rolname = $1", &[&SERVER])
        .await
        .map_err(failed)?;
    if known.is_empty() {
        let role = format!("CREATE ROLE {SERVER} NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOINHERIT");
        client.batch_execute(&role).await.map_err(failed)?;
    }
    let login = format!("ALTER ROLE {SERVER} LOGIN PASSWORD '{server_password}'");
    client.batch_execute(&login).await.map_err(failed)?;
    drop(client);
    let _ = connection.await;
    Ok(())
}

/// Starts the server again whenever it dies, until it is told to stop.
async fn supervise(
    launch: Launch,
    password: String,
    mut child: Child,
    pid: watch::Sender<u32>,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        tokio::select! {
            told = &mut stopped => {
                // A dropped handle closes the watcher's pipe: the server is stopped from there.
                if told.is_err() {
                    let _ = child.wait().await;
                } else {
                    stop(&mut child).await;
                }
                return;
            }
            ended = child.wait() => {
                tracing::warn!(?ended, "the private PostgreSQL died; starting it again");
            }
        }
        match launch.run(&password).await {
            Ok(again) => {
                child = again;
                let _ = pid.send(child.id().unwrap_or_default());
                tracing::info!("the private PostgreSQL is back");
            }
            Err(error) => {
                tracing::error!(%error, "the private PostgreSQL cannot be started again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn stop(child: &mut Child) {
    let Some(pid) = child.id() else { return };
    // SIGINT is PostgreSQL's fast shutdown: sessions are ended, everything is written.
    signal(pid, "INT").await;
    if tokio::time::timeout(STOP_WAIT, child.wait()).await.is_err() {
        signal(pid, "QUIT").await;
        let _ = child.wait().await;
    }
}
