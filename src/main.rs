//! The command line; thin: every command is a few calls into the library.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::task::Poll;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use futures_util::stream;
use indicatif::{ProgressBar, ProgressStyle};
use sampark::access::tokens::KeyRing;
use sampark::app::{self, State};
use sampark::features::units::import::{Import, Progress};
use sampark::features::units::{self, UnitImportView};
use sampark::platform::clock::Clock;
use sampark::platform::config::Config;
use sampark::platform::db::Db;
use sampark::platform::embedded_postgres::{EmbeddedPostgres, Options};
use sampark::platform::error::ApiError;
use sampark::platform::{migrations, telemetry};
use secrecy::ExposeSecret;

/// The mobile backend on which a cadre organisation runs its polling booths.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API.
    Serve,
    /// Bring the database to the schema of this version.
    Migrate,
    /// Read files of units or people into the database, each all or nothing.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Print the OpenAPI document.
    Openapi,
}

#[derive(Debug, Subcommand)]
enum ImportCommand {
    /// Units and their places in both trees (CSV; see docs/api.md). The nation and its states come first.
    Units {
        /// The files, imported one after the other.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Only check the files and say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match actix_web::rt::System::new().block_on(run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

/// Prints an error with its causes.
#[expect(clippy::print_stderr, reason = "a command line speaks to its user")]
fn report(error: &(dyn std::error::Error + 'static)) {
    eprint!("sampark: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprint!(": {error}");
        cause = error.source();
    }
    eprintln!();
}

async fn run(command: Command) -> Result<(), Failure> {
    if matches!(command, Command::Openapi) {
        print_openapi();
        return Ok(());
    }
    let config = Config::from_env()?;
    telemetry::init_logging(&config);
    let database = Database::open(&config).await?;
    let done = match command {
        Command::Serve => serve(config, &database.url).await,
        Command::Migrate => migrate(&database.url).await,
        Command::Import(ImportCommand::Units { files, dry_run }) => {
            import_units(&config, &database.url, &files, dry_run).await
        }
        Command::Openapi => Ok(()),
    };
    database.close().await?;
    done
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
fn print_openapi() {
    print!("{}", app::openapi_json());
}

/// The database named by `DATABASE_URL`, or a private one for as long as the program runs.
struct Database {
    url: String,
    private: Option<EmbeddedPostgres>,
}

impl Database {
    async fn open(config: &Config) -> Result<Self, Failure> {
        if let Some(url) = &config.database_url {
            return Ok(Self {
                url: url.expose_secret().to_owned(),
                private: None,
            });
        }
        let private = EmbeddedPostgres::start(Options {
            dir: config.data_dir.join("postgres"),
            bin: config.pg_bin.clone(),
            path: config.path.clone(),
            durable: true,
            remove_on_exit: false,
            settings: Vec::new(),
        })
        .await?;
        Ok(Self {
            url: private.url("sampark"),
            private: Some(private),
        })
    }

    async fn close(self) -> Result<(), Failure> {
        match self.private {
            Some(private) => Ok(private.stop().await?),
            None => Ok(()),
        }
    }
}

async fn migrate(url: &str) -> Result<(), Failure> {
    let done = migrations::run(url).await?;
    tracing::info!(applied = ?done.applied, "migrated");
    Ok(())
}

async fn serve(config: Config, url: &str) -> Result<(), Failure> {
    let clock = Clock::system(config.time_zone);
    let keys = KeyRing::load_or_make(&config.data_dir)?;
    let listener = TcpListener::bind(config.listen)?;
    let address = listener.local_addr()?;
    let state = State::new(config, url, clock, keys)?;
    let running = app::start(&state, listener).await?;
    tracing::info!("serving on http://{address}");
    running.until(asked_to_stop()).await?;
    Ok(())
}

async fn import_units(config: &Config, url: &str, files: &[PathBuf], dry_run: bool) -> Result<(), Failure> {
    migrations::run(url).await?;
    let db = Db::new(url, 2)?;
    let clock = Clock::system(config.time_zone);
    for file in files {
        let import = Import::by_program(&db, &clock, dry_run).await?;
        let size = std::fs::metadata(file)?.len();
        let mut reader = File::open(file)?;
        // Reading blocks, but nothing else is waiting.
        let source = stream::poll_fn(move |_| {
            let mut piece = vec![0; 256 * 1024];
            Poll::Ready(match reader.read(&mut piece) {
                Ok(0) => None,
                Ok(read) => {
                    piece.truncate(read);
                    Some(Ok(piece.into()))
                }
                Err(error) => Some(Err(ApiError::internal(error))),
            })
        });
        let name = file.display().to_string();
        let shown = Shown::new(name.clone(), size);
        let started = Instant::now();
        let steps = shown.clone();
        let done = units::import::import_units(&db, import, source, move |step| steps.show(step)).await;
        shown.clear();
        match done {
            Ok(reply) => {
                let view: UnitImportView = serde_json::from_slice(&reply.body)?;
                tell_imported(&name, view, started.elapsed());
            }
            Err(error) => {
                tell_rejected(&name, &error);
                return Err(error.into());
            }
        }
    }
    Ok(())
}

/// How far an import is: a bar on a terminal, else nothing until it is done.
#[derive(Clone)]
struct Shown(Option<ProgressBar>);

impl Shown {
    fn new(name: String, size: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(size).with_prefix(name);
        if let Ok(style) =
            ProgressStyle::with_template("{prefix} [{bar:30}] {bytes}/{total_bytes} {msg} {elapsed}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(Some(bar))
    }

    fn show(&self, step: Progress) {
        let Some(bar) = &self.0 else { return };
        match step {
            Progress::Read(bytes) => bar.set_position(bytes),
            Progress::Checking => bar.set_message("checking"),
            Progress::Storing { created, changed } => {
                bar.set_message(format!("storing {created} new, {changed} changed"));
            }
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
fn tell_imported(name: &str, view: UnitImportView, took: Duration) {
    println!(
        "{name}: {} rows: {} created, {} updated, {} moved, {} unchanged{} ({:.1} s)",
        view.rows,
        view.created,
        view.updated,
        view.moved,
        view.unchanged,
        if view.dry_run {
            "; dry run, nothing stored"
        } else {
            ""
        },
        took.as_secs_f64(),
    );
}

/// Every bad row on a line of its own: `FILE:LINE: COLUMN: REASON`.
#[expect(clippy::print_stderr, reason = "a command line speaks to its user")]
fn tell_rejected(name: &str, error: &ApiError) {
    let problem = error.problem();
    let errors = problem.extra.get("errors").and_then(|errors| errors.as_array());
    for error in errors.into_iter().flatten() {
        let text = |key: &str| {
            error
                .get(key)
                .and_then(|value| value.as_str())
                .unwrap_or_default()
        };
        let line = error
            .get("line")
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_default();
        eprintln!("{name}:{line}: {}: {}", text("column"), text("reason"));
    }
}

/// Ctrl-C or SIGTERM.
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
