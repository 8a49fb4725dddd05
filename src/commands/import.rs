//! Reading files of units and of workers into the database, each all or nothing.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::stream;
use indicatif::{ProgressBar, ProgressStyle};
use sampark::features::units::UnitImportView;
use sampark::features::units::import::{Import, Progress, import_units};
use sampark::features::workers::{ImportError, Importer, import_roster};
use sampark::journal::Actor;
use sampark::platform::clock::Clock;
use sampark::platform::db::Db;
use sampark::platform::error::{ApiError, Code};

use super::Failure;

/// `sampark import units FILE…`.
pub async fn units(db: &Db, clock: &Clock, files: &[PathBuf], dry_run: bool) -> Result<(), Failure> {
    for file in files {
        let import = Import::by_program(db, clock, dry_run).await?;
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
        let done = import_units(db, import, source, move |step| steps.show(step)).await;
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

/// `sampark import workers FILE…`.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line speaks to its user"
)]
pub async fn workers(
    db: &Db,
    clock: &Clock,
    prefixes: &[String],
    files: &[PathBuf],
    dry_run: bool,
) -> Result<(), Failure> {
    let actor = Actor::program(clock.now());
    let nation = Import::by_program(db, clock, dry_run)
        .await?
        .scope
        .roots()
        .first()
        .copied();
    let nation = nation
        .ok_or_else(|| ApiError::new(Code::Conflict, "there is no nation yet: import the units first"))?;
    for file in files {
        let bytes = std::fs::read(file)?;
        let name = file.display().to_string();
        let importer = Importer::program(actor, nation, clock.today());
        let (prefixes, shown, keys) = (prefixes.to_vec(), name.clone(), db.keys().clone());
        let view = db
            .write_long(&actor, async move |tx| {
                let done = import_roster(tx, &keys, &importer, &prefixes, &bytes, dry_run).await;
                done.map_err(|error| match error {
                    ImportError::Rows(rows) => {
                        for row in &rows {
                            eprintln!("{shown}:{}: {}: {}", row.line, row.column, row.reason);
                        }
                        ApiError::new(Code::ImportRejected, "the file has errors; nothing was imported")
                    }
                    ImportError::Other(error) => error,
                })
            })
            .await?;
        println!("{name}: {}", serde_json::to_string(&view)?);
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
