//! The table of faults: what each row is, what came of it, and the page that shows it.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Id, fault, what is expected.
const ROWS: &[(&str, &str, &str)] = &[
    (
        "F1",
        "server killed (-9) in the middle of batches, 8 phones",
        "the resend answers created or duplicate for each visit",
    ),
    (
        "F2",
        "server killed after COMMIT, before the reply",
        "the resend gets the first answer",
    ),
    (
        "F3",
        "SIGTERM under load",
        "requests in flight finish, new ones are refused, exit 0 within 10 s",
    ),
    (
        "F4",
        "postmaster killed (-9) under load",
        "503 with Retry-After, never 500; back without a restart",
    ),
    (
        "F5",
        "one backend terminated",
        "that request 503 or one safe retry, the next is served",
    ),
    (
        "F6",
        "database out of reach for 30 s, by resets and by silence",
        "503 within 1 s, /readyz 503, /healthz 200, served within 2 s of its return",
    ),
    (
        "F7",
        "database stopped (SIGSTOP) for 20 s",
        "503 within 3 s, no pile-up, recovers",
    ),
    ("F8", "pool exhausted", "503 at the bound, nobody waits longer"),
    (
        "F9",
        "clients reset (RST) in the middle, pool of 2",
        "whole or not at all; no connection poisoned",
    ),
    ("F10", "replies lost", "resend, same answer, counted once"),
    ("F11", "50 identical batches at once", "stored once"),
    (
        "F12",
        "operations shuffled, 30 days late, corrections before their visits",
        "the state that order would have given",
    ),
    (
        "F13",
        "data disk full",
        "503 storage_full, reads served, all acknowledged there after space is made",
    ),
    (
        "F14",
        "disk of the write-ahead log full",
        "503, recovers after restart, nothing acknowledged is lost",
    ),
    (
        "F15",
        "log pipe blocked, disk of the logs full",
        "requests served, lost lines counted",
    ),
    (
        "F16",
        "phones' clocks from -10 to +10 years",
        "stored and flagged, days bounded",
    ),
    (
        "F17",
        "the server's clock jumps an hour",
        "no panic, no negative age, bounds hold",
    ),
    (
        "F18",
        "five times the load that it carries",
        "503 with Retry-After, four fifths of the best rate still served, p99 of the served under 1 s, normal again within 10 s",
    ),
    (
        "F19",
        "SMS gateway slow, failing, asked twice",
        "the request for a code answers within 300 ms, one SMS a challenge at most",
    ),
    (
        "F20",
        "migration killed midway; deadlocks and serialization failures",
        "finishes or refuses to start; tried three times at most, never partial",
    ),
    (
        "S",
        "every statement of every write fails, and the connection before and after it",
        "no partial state, no wrong answer",
    ),
    (
        "R",
        "a streaming standby that is read; its line dead; its primary lost",
        "every answer says as of when it is true and none is older; 503 when that is too long ago; writes refused; promoted, nothing lost",
    ),
    (
        "B",
        "restore of a backup to a moment; truncated, altered and foreign backups",
        "the same checks hold, erasures are replayed; refused with the reason",
    ),
];

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Among all other tests: few rounds, and bounds on time that a busy machine keeps.
    Test,
    /// By itself: few rounds, the bounds that are promised.
    Quick,
    /// The rounds and durations of the table.
    All,
}

fn extent() -> Extent {
    #[expect(clippy::disallowed_methods, reason = "./dev faults says how much is done")]
    let said = std::env::var("SAMPARK_FAULTS");
    match said.as_deref() {
        Ok("all") => Extent::All,
        Ok("quick") => Extent::Quick,
        _ => Extent::Test,
    }
}

/// How long a transaction may take to begin, as a setting of the program: its own, or ten times that where hundreds of
/// tests share the machine and connecting alone may take a second.
pub fn database_wait() -> (&'static str, &'static str) {
    let wait = if extent() == Extent::Test { "8000" } else { "800" };
    ("SAMPARK_DATABASE_WAIT_MS", wait)
}

/// The same where what is waited for stands still on purpose, and everybody is to be told before that is over.
pub fn database_wait_of_a_stall() -> (&'static str, &'static str) {
    let wait = if extent() == Extent::Test { "2000" } else { "800" };
    ("SAMPARK_DATABASE_WAIT_MS", wait)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/faults")
}

/// A row while it is tried.
pub struct Row {
    id: &'static str,
    extent: Extent,
    began: Instant,
}

impl Row {
    pub fn begin(id: &'static str) -> Self {
        assert!(ROWS.iter().any(|(known, ..)| *known == id), "{id}");
        let row = Self {
            id,
            extent: extent(),
            began: Instant::now(),
        };
        let _ = std::fs::remove_file(row.file());
        row
    }

    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// So many rounds among the tests or quickly, so many for the table.
    pub fn rounds(&self, few: usize, all: usize) -> usize {
        if self.extent == Extent::All { all } else { few }
    }

    pub fn seconds(&self, few: u64, all: u64) -> Duration {
        Duration::from_secs(if self.extent == Extent::All { all } else { few })
    }

    /// A bound on time: what is promised, or ten times that where hundreds of tests share the machine.
    pub fn within(&self, promised: Duration) -> Duration {
        if self.extent == Extent::Test {
            promised * 10
        } else {
            promised
        }
    }

    fn file(&self) -> PathBuf {
        let name = match self
            .id
            .strip_prefix('F')
            .and_then(|number| number.parse::<u8>().ok())
        {
            Some(number) => format!("F{number:02}"),
            None => self.id.to_owned(),
        };
        folder().join(format!("{name}.json"))
    }

    fn write(&self, value: Value) {
        if self.extent == Extent::Test {
            return;
        }
        std::fs::create_dir_all(folder()).unwrap();
        std::fs::write(self.file(), value.to_string()).unwrap();
    }

    /// It held.
    pub fn held(&self, rounds: usize, figures: impl Into<String>) {
        let figures: String = figures.into();
        let seconds = self.began.elapsed().as_secs();
        eprintln!("{}: held, {rounds} rounds, {seconds} s; {figures}", self.id);
        self.write(
            json!({"rounds": rounds, "figures": figures, "seconds": seconds, "date": today(),
            "extent": format!("{:?}", self.extent).to_lowercase()}),
        );
    }

    /// It cannot be tried here.
    pub fn skip(&self, why: &str) {
        eprintln!("{}: SKIPPED: {why}", self.id);
        self.write(json!({"skipped": why, "date": today()}));
    }
}

fn today() -> String {
    let clock = sampark::platform::clock::Clock::system(chrono_tz::Asia::Kolkata);
    clock.today().to_string()
}

fn command(program: &str, arguments: &[&str]) -> String {
    let said = std::process::Command::new(program).args(arguments).output();
    said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
        .unwrap_or_default()
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kb = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kb = kb.and_then(|kb| kb.trim().trim_end_matches(" kB").parse::<f64>().ok());
    let build = if cfg!(debug_assertions) {
        "unoptimised build"
    } else {
        "release build"
    };
    format!(
        "{cores} cores, {:.0} GiB, {}, {}, {build}",
        kb.unwrap_or_default() / 1_048_576.0,
        command("uname", &["-sr"]),
        command("sh", &["-c", "pg_config --version || postgres --version"]),
    )
}

const BEFORE: &str = "# Reliability, tried

Field data cannot be collected twice. Each row is a fault that happens in the field, done on purpose to real processes, and what must hold then. After
every one of them a **history checker** holds what each phone sent and what it was answered against what is stored: nothing that was
acknowledged is lost, nothing is there twice, nothing is there that nobody sent; the totals of every unit equal a recount from the visits; the
journal has no hole; no connection lies in a transaction; nothing panicked. The checker has tests of its own, which feed it false histories.

`./dev faults all` runs it and writes this page; `./dev faults quick` does the same in fewer rounds, `./dev faults F6` one row; `./dev test` runs every row
among the other tests. How it is done: `tests/api/faults/`.

";

const AFTER: &str = "
## What does not hold

- **F18**, in this harness: unoptimised on both sides, on two cores that also carry the flood, it served a quarter of its best rate before and after (99th 2.2 s) on 2026-11-28. The optimised program serves more than four fifths at up to five
  times its best rate, held against that rate right before and after each step, with a 99th under 0.9 s throughout and normal right after (2026-11-28; docs/performance.md, Overload).

## What this cannot show

- **Loss of power.** Killing processes shows that what was acknowledged had been handed to the operating system, not that disk and controller keep it.
  The server refuses a database that runs with `fsync`, `full_page_writes` or `synchronous_commit` off; whether the disk tells the truth, `pg_test_fsync` and
  pulling a plug show.
- **Loss of the machine.** What a backup and the archive of the write-ahead log hold is back (docs/operations.md); what was acknowledged after the last
  archived segment is not, unless a replica confirms commits (`synchronous_standby_names`).
- **Two faults at once**, except those that come together by themselves.
";

fn page() -> String {
    let mut text = String::from(BEFORE);
    let _ = write!(
        text,
        "## The table\n\n{}.\n\n| | fault | expected | held | rounds | figures |\n|---|---|---|---|---:|---|\n",
        machine()
    );
    for (id, fault, expected) in ROWS {
        let row = Row {
            id,
            extent: Extent::All,
            began: Instant::now(),
        };
        let text_of = std::fs::read_to_string(row.file()).unwrap_or_default();
        let result: Value = serde_json::from_str(&text_of).unwrap_or_default();
        let word = |name: &str| result[name].as_str().unwrap_or_default().to_owned();
        let (held, rounds, figures) = if let Some(why) = result["skipped"].as_str() {
            ("skipped".to_owned(), String::new(), why.to_owned())
        } else if result.is_null() {
            (
                "no figures of a round that held".to_owned(),
                String::new(),
                String::new(),
            )
        } else {
            let quick = if word("extent") == "all" { "" } else { ", quick" };
            let held = format!("yes, {}{quick}", word("date"));
            (
                held,
                result["rounds"].to_string(),
                format!("{}; {} s in all", word("figures"), result["seconds"]),
            )
        };
        let _ = writeln!(
            text,
            "| {id} | {fault} | {expected} | {held} | {rounds} | {figures} |"
        );
    }
    text.push_str(AFTER);
    text
}

/// `./dev faults` asks for it once the rows have been tried.
#[test]
fn page_of_the_faults_is_written_where_it_is_asked_for() {
    #[expect(clippy::disallowed_methods, reason = "./dev faults asks for the page")]
    let asked = std::env::var("SAMPARK_WRITE_RELIABILITY");
    if let Ok(file) = asked {
        std::fs::write(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file), page()).unwrap();
    }
    let page = page();
    assert!(
        ROWS.iter()
            .all(|(id, fault, _)| page.contains(&format!("| {id} | {fault} |")))
    );
}
