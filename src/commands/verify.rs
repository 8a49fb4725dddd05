//! `sampark verify`: whether the journal, its seals and the rows still fit together.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use sampark::features::seals::HeadFile;
use sampark::features::seals::verify::{Ask, Report, verify};
use sampark::journal::{Actor, SealKeys, seal};
use sampark::platform::clock::Clock;
use sampark::platform::config::Config;
use sampark::platform::db::Db;

use super::{Failure, say};

/// What the command was asked.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Begin at the heads of this file, kept from an earlier run or from GET /v1/journal/heads/latest.
    #[arg(long, value_name = "HEADFILE")]
    since: Option<PathBuf>,
    /// With --since: from the first entry all the same, and hold it against the kept heads too.
    #[arg(long, requires = "since")]
    whole: bool,
    /// Only the journal of this state (or the nation), by its code.
    #[arg(long, value_name = "CODE")]
    state: Option<String>,
    /// If everything fits, write the newest heads and the keys to this file, to be kept elsewhere.
    #[arg(long, value_name = "HEADFILE")]
    keep: Option<PathBuf>,
}

/// Verifies; fails if anything does not fit.
pub async fn run(db: &Db, clock: &Clock, config: &Config, options: Options) -> Result<(), Failure> {
    let seals = SealKeys::new(&config.data_dir, &config.seal_key_files).loaded(clock.now())?;
    let mut keys = seals.public.clone();
    let mut kept = Vec::new();
    if let Some(file) = &options.since {
        let (heads, kept_keys) = read(file)?.into_parts();
        kept = heads;
        keys.extend(kept_keys);
    }
    let ask = Ask {
        keys,
        kept,
        since_kept: options.since.is_some() && !options.whole,
        state: options.state,
        actor: Actor::program(clock.now()),
        today: clock.today(),
    };
    let bar = bar();
    let report = verify(db, &ask, |progress| {
        bar.set_length(u64::try_from(progress.of).unwrap_or(0));
        bar.set_position(u64::try_from(progress.entries).unwrap_or(0));
    })
    .await;
    bar.finish_and_clear();
    let report = report?;
    tell(&report)?;
    if !report.problems.is_empty() {
        return Err(format!(
            "{} problems: the first is the one to look into",
            report.problems.len()
        )
        .into());
    }
    if let Some(file) = &options.keep {
        let heads = db.read(async |tx| Ok(seal::latest_heads(tx).await?)).await?;
        let kept = HeadFile {
            heads: heads.into_iter().map(Into::into).collect(),
            keys: seals
                .public
                .iter()
                .map(sampark::journal::keys::SealKey::jwk)
                .collect(),
        };
        std::fs::write(file, serde_json::to_vec_pretty(&kept)?)?;
        say(&format!("{} heads kept in {}", kept.heads.len(), file.display()))?;
    }
    Ok(())
}

fn read(file: &Path) -> Result<HeadFile, Failure> {
    let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let kept: HeadFile =
        serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", file.display()))?;
    if kept.heads.is_empty() {
        return Err(format!("{}: it holds no heads", file.display()).into());
    }
    Ok(kept)
}

fn tell(report: &Report) -> Result<(), Failure> {
    for problem in &report.problems {
        say(&problem.to_string())?;
    }
    say(&format!(
        "{} entries, {} signed heads, {} versions of visits, {} verdicts, {} answers to flags and back-checks, {} draws and {} versions of other rows looked at",
        report.entries,
        report.heads,
        report.versions,
        report.verdicts,
        report.audits,
        report.draws,
        report.rows
    ))?;
    say(&format!(
        "{} parts of visits were erased; {} versions of visits and {} other rows are older than what is sealed of them",
        report.erased, report.unbound, report.older_rows
    ))?;
    if report.problems.is_empty() {
        say("everything fits")?;
    }
    Ok(())
}

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} entries, {eta} left");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
