//! The command line; thin: every command is a few calls into the library.

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The mobile backend on which a cadre organisation runs its polling booths.
///
/// Configured by the environment: docs/configuration.md.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the API.
    Serve,
    /// Serve a made-up state with workers and visits, to try things out.
    Demo,
    /// Bring the database to the schema of this version.
    Migrate,
    /// Import units or workers from CSV files.
    Import {
        #[command(subcommand)]
        what: Import,
    },
    /// Make a worker national administrator; how a new installation gets its first person.
    CreateAdmin {
        /// E.164 number, such as +919812345678.
        #[arg(long)]
        phone: String,
        /// Name, if he is not on the roster yet.
        #[arg(long)]
        name: String,
    },
    /// Print an access token for a worker.
    Token {
        /// His number, as on the roster.
        #[arg(long)]
        phone: String,
    },
    /// Print a code that is read out to a worker: how the first administrator signs in to set up his second factor.
    SignInCode {
        /// His number, as on the roster.
        #[arg(long)]
        phone: String,
    },
    /// Make a new key that signs access tokens; it signs a minute later, and no valid token is refused meanwhile.
    RotateSigningKey {
        /// A key has leaked: remove every other key now, which makes every access token void (phones refresh theirs).
        #[arg(long)]
        at_once: bool,
    },
    /// Let go of what is over: support, coordinates, content, contacts, erased workers. The server does it every hour.
    Retain,
    /// Make a new data key, seal everything anew under it while servers run, and drop the old one.
    RotateDataKey {
        /// How long every server may take to look at the key file again.
        #[arg(long, default_value_t = 15)]
        settle_seconds: u64,
        /// The new key stands in the file already: only seal anew.
        #[arg(long)]
        reseal_only: bool,
    },
    /// Make a new key under which one-time codes and second factors are kept, seal every second factor anew under it while
    /// servers run, and drop the old ones once the codes under them are over.
    RotateCodeKey {
        /// How long every server may take to load the key and to begin to write with it.
        #[arg(long, default_value_t = 75)]
        settle_seconds: u64,
        /// Make no key: only seal anew and drop what nothing needs any more.
        #[arg(long)]
        reseal_only: bool,
    },
    /// Make a new key that seals the journal and destroy the older private ones; what they signed stays verifiable.
    RotateSealKey,
    /// Verify the journal, its seals and what they speak of; fails and names the first entry that does not fit.
    Verify(commands::verify::Options),
    /// Take a backup into a directory and check it (docs/operations.md).
    Backup(commands::backup::BackupOptions),
    /// Restore a backup into the data directory, to a moment; erase again who was erased since; verify.
    Restore(commands::backup::RestoreOptions),
    /// Ask the server at SAMPARK_LISTEN whether it is ready; for containers.
    Healthcheck,
    /// Print the OpenAPI document.
    Openapi,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// Units: all or nothing a file, in the order given.
    Units {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Check only.
        #[arg(long)]
        dry_run: bool,
    },
    /// Workers with their grants: all or nothing a file.
    Workers {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Check only.
        #[arg(long)]
        dry_run: bool,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match actix_web::rt::System::new().block_on(commands::run(cli.command)) {
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
