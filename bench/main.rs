//! The benchmark: what a visit costs over HTTP beside what the same PostgreSQL can do at most, in one run on one server.
//!
//! `cargo bench --bench load -- [--seconds N] [--rounds N] [--visits N] [--data DIR]`. Prints a table of medians of alternating
//! rounds and the ratios. Or one question by itself:
//!
//! - `sign-in [--pairs N]`: whether the time of an answer tells who is on the roster (2,000 pairs);
//! - `token [--seconds N]`: what checking a token costs beside a single visit;
//! - `roster [--rows N]`: how long a roster of 100,000 rows takes;
//! - `breach [--reads N]`: how long "who read whom" takes over a million readings;
//! - `flags`: what the flags of visits cost;
//! - `reports`: what reports of a state cost, by its size;
//! - `sync`: what a booth worker's first and idle sync take;
//! - `wall`: what row-level security costs, writing and reading;
//! - `indexes`: what each index of visits costs;
//! - `overload`: what is served, and how fast, as more and more is offered; drawn in docs/pictures;
//! - `growth [--visits N]`: recording, totals, lists, exports and imports among 100 thousand to 10 million visits (N at most)
//!   of a nation with 1,048,202 booths;
//! - `soak [--minutes N]`: half of what it carries for 30 minutes: memory and times.
//!
//! Nothing here is asserted: a slow machine is no broken build.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_debug_implementations,
    reason = "a measuring tool, not the program: it stops at the first surprise and prints what it finds"
)]

mod breach;
mod flags;
mod floor;
mod growth;
mod http;
mod indexes;
mod nation;
mod overload;
mod program;
mod reports;
mod roster;
mod sign_in;
mod soak;
mod statistics;
mod sync;
mod token;
mod wall;
mod world;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sampark::platform::embedded_postgres::{EmbeddedPostgres, Options};
use sampark::platform::migrations;

use program::Program;
use world::World;

const ROUNDS: usize = 3;

struct Arguments {
    /// What is asked; empty: everything about visits.
    mode: String,
    seconds: u64,
    visits: Option<i64>,
    pairs: usize,
    rows: usize,
    reads: i64,
    minutes: u64,
    data: Option<PathBuf>,
    rounds: usize,
}

fn arguments() -> Arguments {
    let mut arguments = Arguments {
        mode: String::new(),
        seconds: 8,
        visits: None,
        pairs: 2_000,
        rows: 100_000,
        reads: 1_000_000,
        minutes: 30,
        data: std::env::var_os("SAMPARK_REFERENCE_DATA").map(PathBuf::from),
        rounds: ROUNDS,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => arguments.seconds = words.next().unwrap().parse().unwrap(),
            "--rounds" => arguments.rounds = words.next().unwrap().parse().unwrap(),
            "--visits" => arguments.visits = Some(words.next().unwrap().parse().unwrap()),
            "--pairs" => arguments.pairs = words.next().unwrap().parse().unwrap(),
            "--rows" => arguments.rows = words.next().unwrap().parse().unwrap(),
            "--minutes" => arguments.minutes = words.next().unwrap().parse().unwrap(),
            "--reads" => arguments.reads = words.next().unwrap().parse().unwrap(),
            "--data" => arguments.data = words.next().map(PathBuf::from),
            // What cargo itself adds.
            "--bench" => {}
            mode => mode.clone_into(&mut arguments.mode),
        }
    }
    arguments
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Median, least and most of a figure over the rounds.
fn line(what: &str, values: &[f64]) -> f64 {
    let middle = median(values.to_vec());
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    println!("| {what} | {middle:.0} | {least:.0} to {most:.0} |");
    middle
}

/// A PostgreSQL of its own, the world in it, and the program that serves it.
struct Stand {
    dir: PathBuf,
    postgres: EmbeddedPostgres,
    url: String,
    world: World,
    program: Program,
}

impl Stand {
    /// With a state, or with a nation as large as the real one.
    async fn put_up(nation: bool) -> Self {
        let (dir, postgres) = postgres().await;
        let url = postgres.url("sampark");
        migrations::run(&url).await.unwrap();
        let world = if nation {
            nation::build(&url, &dir).await
        } else {
            World::build(&url, &dir).await
        };
        let program = Program::serve(&dir, &url);
        http::warm(program.address, &world).await;
        Self {
            dir,
            postgres,
            url,
            world,
            program,
        }
    }
}

/// A PostgreSQL of its own, empty, and where it lies.
async fn postgres() -> (PathBuf, EmbeddedPostgres) {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("target/bench-{}", std::process::id()));
    let postgres = EmbeddedPostgres::start(Options {
        dir: dir.join("postgres"),
        bin: None,
        path: std::env::var_os("PATH"),
        durable: true,
        archive: None,
        remove_on_exit: true,
        // As `sampark serve` starts its own, and as docs/operating.md asks of others.
        settings: vec![
            ("max_connections".to_owned(), "200".to_owned()),
            ("autovacuum_naptime".to_owned(), "5s".to_owned()),
        ],
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    (dir, postgres)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments = arguments();
    let time = Duration::from_secs(arguments.seconds);
    if arguments.mode == "reports" {
        let (dir, postgres) = postgres().await;
        reports::measure(&postgres, &dir).await;
        postgres.stop().await.unwrap();
        let _ = std::fs::remove_dir_all(&dir);
        return;
    }
    let stand = Stand::put_up(arguments.mode == "growth").await;
    match arguments.mode.as_str() {
        "" => {}
        "sign-in" => sign_in::compare(&stand, arguments.pairs).await,
        "token" => token::weigh(&stand, time).await,
        "roster" => roster::import(&stand, arguments.rows).await,
        "breach" => breach::ask(&stand, arguments.reads).await,
        "flags" => {
            flags::run(
                stand.program.address,
                &stand.world,
                &stand.url,
                arguments.rounds,
                time,
            )
            .await
        }
        "indexes" => {
            indexes::run(
                stand.program.address,
                &stand.world,
                &stand.url,
                arguments.rounds,
                time,
            )
            .await
        }
        "sync" => sync::ask(&stand).await,
        "wall" => {
            wall::run(
                stand.program.address,
                &stand.world,
                &stand.url,
                arguments.rounds,
                time,
            )
            .await
        }
        "overload" => {
            let picture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/pictures/overload.svg");
            overload::measure(stand.program.address, &stand.world, time, &picture).await;
        }
        "growth" => growth::measure(&stand, arguments.visits.unwrap_or(10_000_000), time).await,
        "soak" => soak::measure(&stand, arguments.minutes).await,
        mode => {
            panic!(
                "{mode}: sign-in, token, roster, breach, flags, sync, wall, indexes, reports, overload, growth and soak can be asked for"
            )
        }
    }
    let Stand {
        dir,
        postgres,
        url,
        world,
        program,
    } = stand;
    if arguments.mode.is_empty() {
        visits(&arguments, &program, &world, &url).await;
        totals(&arguments, &program, &world, &url).await;
        footprint(program, &dir, &url).await;
        if let Some(data) = &arguments.data {
            import(data, &dir, &postgres).await;
        }
    } else {
        drop(program);
    }
    postgres.stop().await.unwrap();
    let _ = std::fs::remove_dir_all(&dir);
}

/// Visits stored a second, beside what PostgreSQL can do at most.
async fn visits(arguments: &Arguments, program: &Program, world: &World, url: &str) {
    let time = Duration::from_secs(arguments.seconds);
    floor::prepare(url).await;
    let (mut single_floor, mut single, mut batch_floor, mut batch, mut scattered) =
        (vec![], vec![], vec![], vec![], vec![]);
    let rounds = arguments.rounds;
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        single_floor.push(floor::single_rows(url, 32, time).await);
        single.push(http::visits(program.address, world, 64, 1, true, time).await);
        batch_floor.push(floor::batches(url, 8, 100, time).await);
        batch.push(http::visits(program.address, world, 8, 100, false, time).await);
        scattered.push(http::visits(program.address, world, 8, 100, true, time).await);
    }
    println!("\n| visits a second | median of {rounds} | spread |\n|---|---:|---:|");
    let a = line(
        "PostgreSQL alone, single rows, 32 clients, autocommit",
        &single_floor,
    );
    let b = line("HTTP, single visits, 64 connections", &single);
    let c = line("PostgreSQL alone, rows by 100, 8 clients", &batch_floor);
    let d = line("HTTP, batches of 100 from one booth, 8 connections", &batch);
    let e = line(
        "HTTP, batches of 100 from 100 booths and 24 days, 8 connections",
        &scattered,
    );
    println!("\n| ratio | reached | wanted |\n|---|---:|---:|");
    println!("| single visits / single rows | {:.2} | 0.80 |", b / a);
    println!("| batches / rows by 100 | {:.2} | 0.50 |", d / c);
    println!("| scattered batches / rows by 100 | {:.2} | |", e / c);
}

/// Totals of the state for 30 days while visits are stored.
async fn totals(arguments: &Arguments, program: &Program, world: &World, url: &str) {
    let stored = world::count(url, "SELECT count(*) FROM visits").await;
    let wanted = arguments.visits.unwrap_or(1_000_000);
    if stored < wanted {
        eprintln!("storing {} more visits", wanted - stored);
        http::store(program.address, world, wanted - stored).await;
    }
    let stored = world::count(url, "SELECT count(*) FROM visits").await;
    let path = format!(
        "/v1/units/{}/totals?from=2026-10-26&to=2026-11-24&interval=day",
        world.state_id
    );
    let stop = oneshot_pair();
    let writing = tokio::spawn(http::trickle(program.address, world.clone(), stop.1));
    let mut client = http::Connection::open(program.address, &world.tokens[0]).await;
    let mut times = Vec::new();
    for _ in 0..3000 {
        let started = Instant::now();
        let (status, _) = client.get(&path).await;
        assert_eq!(status, 200);
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    let _ = stop.0.send(());
    let written = writing.await.unwrap();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "\n| state totals, 30 days, {stored} visits stored, {written:.0} more a second meanwhile | ms | wanted |\n|---|---:|---:|"
    );
    println!("| median, as a client sees it | {:.2} | 2 |", at(0.5));
    println!("| 99th of a hundred | {:.2} | 15 |", at(0.99));
    let (status, body) = client
        .get(&format!("/v1/units/{}/totals/check", world.state_id))
        .await;
    let equal = String::from_utf8_lossy(&body).contains("\"equal\":true");
    println!(
        "| equal to the recount | {} | yes |",
        if status == 200 && equal { "yes" } else { "NO" }
    );
}

fn oneshot_pair() -> (
    tokio::sync::oneshot::Sender<()>,
    tokio::sync::oneshot::Receiver<()>,
) {
    tokio::sync::oneshot::channel()
}

/// Memory with 200 connections open, and how long a start on a full database takes.
async fn footprint(program: Program, dir: &std::path::Path, url: &str) {
    let mut open = Vec::new();
    for _ in 0..200 {
        let mut client = http::Connection::open(program.address, "").await;
        assert_eq!(client.get("/healthz").await.0, 200);
        open.push(client);
    }
    let memory = program.memory_mb();
    drop(open);
    drop(program);
    let started = Instant::now();
    let program = Program::serve(dir, url);
    let mut client = http::Connection::open(program.address, "").await;
    while client.get("/readyz").await.0 != 200 {}
    println!("\n| the server | | wanted |\n|---|---:|---:|");
    println!("| resident memory at 200 connections, after the load, MB | {memory:.0} | 100 |");
    println!(
        "| ready on an existing database, s | {:.2} | 1 |",
        started.elapsed().as_secs_f64()
    );
}

/// All the real units, each file by the command line as an operator would.
async fn import(data: &std::path::Path, dir: &std::path::Path, postgres: &EmbeddedPostgres) {
    world::execute(&postgres.url("postgres"), "CREATE DATABASE imported").await;
    let url = postgres.url("imported");
    let mut files: Vec<PathBuf> = std::fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("units_"))
        .collect();
    // The nation's file first: the others hang under it.
    files.sort_by_key(|path| (!path.to_string_lossy().contains("india"), path.clone()));
    let started = Instant::now();
    program::import_units(dir, &url, &files);
    let seconds = started.elapsed().as_secs_f64();
    let units = world::count(&url, "SELECT count(*) FROM units").await;
    println!("| import of {units} units, s | {seconds:.1} | 30 |");
}
