//! The command line; thin: every command is a few calls into the library.

use std::net::TcpListener;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sampark::access::tokens::KeyRing;
use sampark::app::{self, State};
use sampark::platform::clock::Clock;
use sampark::platform::config::Config;
use sampark::platform::embedded_postgres::{EmbeddedPostgres, Options};
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
    /// Print the OpenAPI document.
    Openapi,
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
