//! What the second wall costs: the same work with the policies of all tables at work and with them turned off, in turns on
//! one server. Laying the scope down for a transaction is needed by the policies alone and stays in both: it is timed by
//! itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

use crate::http::{self, Connection};
use crate::world::{self, World};
use crate::{line, median};

/// Readings of a kind in a turn.
const READS: usize = 400;
/// Stored before anything is read.
const STORED: i64 = 100_000;

/// A coordinator of a mandal and a worker of one of its booths, among the 2,048.
const READERS: &str = "
    UPDATE grants SET role = 'mandal_coordinator', unit_id = 100 WHERE worker_id = 1;
    UPDATE grants SET role = 'booth_worker', unit_id = 1000 WHERE worker_id = 2";

/// As `platform::wall` lays it down for a coordinator.
const LAY: &str = "
    SELECT set_config('sampark.worker', '1', true), set_config('sampark.today', '2026-11-24', true),
           set_config('sampark.roots', '{100}'::int[]::text, true),
           set_config('sampark.states', (
               SELECT coalesce(array_agg(s.id), '{}')::text FROM units r
               JOIN units s ON s.level = 'state' AND (s.id = r.id OR r.level = 'nation')
               WHERE r.id = ANY ($1) AND r.level IN ('state', 'nation')), true)";

/// Turns the policies of every table that has some on or off.
async fn set(url: &str, tables: &[String], on: bool) {
    let turn = if on { "ENABLE" } else { "DISABLE" };
    let sql: Vec<String> = tables
        .iter()
        .map(|table| format!("ALTER TABLE {table} {turn} ROW LEVEL SECURITY"))
        .collect();
    world::execute(url, &sql.join("; ")).await;
}

/// Median time of a reading in milliseconds.
async fn read(address: SocketAddr, token: &str, path: &str) -> f64 {
    let mut client = Connection::open(address, token).await;
    let mut times = Vec::with_capacity(READS);
    for n in 0..READS + 20 {
        let started = Instant::now();
        let (status, body) = client.get(path).await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        // The first plan anew what the turn made stale.
        if n >= 20 {
            times.push(started.elapsed().as_secs_f64() * 1000.0);
        }
    }
    median(times)
}

/// Median time of the statement that lays a scope down, in microseconds.
async fn lay(url: &str) -> f64 {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let statement = client.prepare(LAY).await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    let mut times = Vec::new();
    for _ in 0..3000 {
        let started = Instant::now();
        client.query(&statement, &[&vec![100]]).await.unwrap();
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    median(times)
}

/// Figures of each round with the wall and without, in turns: whichever comes first has the smaller tables.
async fn compare(
    url: &str,
    tables: &[String],
    rounds: usize,
    name: &str,
    mut measure: impl AsyncFnMut() -> f64,
) -> [Vec<f64>; 2] {
    let mut figures = [vec![], vec![]];
    for round in 0..rounds {
        eprintln!("{name}: round {} of {rounds}", round + 1);
        for turn in 0..2 {
            let on = (round + turn) % 2 == 0;
            set(url, tables, on).await;
            figures[usize::from(on)].push(measure().await);
        }
    }
    set(url, tables, true).await;
    figures
}

fn ratio([without, with]: &[Vec<f64>; 2]) -> String {
    let ratios: Vec<f64> = with
        .iter()
        .zip(without)
        .map(|(with, without)| with / without)
        .collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    format!("{:.2} ({least:.2} to {most:.2})", median(ratios))
}

/// Prints the tables.
pub async fn run(address: SocketAddr, world: &World, url: &str, rounds: usize, time: Duration) {
    let listed = "SELECT string_agg(oid::regclass::text, ' ') FROM pg_class
        WHERE relkind IN ('r', 'p') AND relrowsecurity AND relnamespace = 'public'::regnamespace";
    let tables = world::text(url, listed).await;
    let tables: Vec<String> = tables.split(' ').map(str::to_owned).collect();
    world::execute(url, READERS).await;
    let (coordinator, worker) = (&world.tokens[0], &world.tokens[1]);
    world::known(address, coordinator, "mandal_coordinator").await;
    world::known(address, worker, "booth_worker").await;
    // What is cached of grants is told a moment after the roles: a unit beyond them is then not found.
    for (token, beyond) in [(coordinator, 101), (worker, 1001)] {
        let mut client = Connection::open(address, token).await;
        let until = Instant::now() + Duration::from_secs(30);
        while client.get(&format!("/v1/units/{beyond}")).await.0 != 404 {
            assert!(Instant::now() < until, "it never heard of the smaller scope");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let mut writers = world.clone();
    writers.tokens.drain(..2);
    http::store(address, &writers, STORED).await;
    world::execute(url, "ANALYZE").await;

    for (name, connections, size) in [
        ("single visits, 64 connections", 64, 1),
        ("batches of 100, 8 connections", 8, 100),
    ] {
        let figures = compare(url, &tables, rounds, name, async || {
            http::visits(address, &writers, connections, size, size == 1, time).await
        })
        .await;
        println!("\n| {name}: visits a second | median of {rounds} | spread |\n|---|---:|---:|");
        line("without the wall", &figures[0]);
        line("with it", &figures[1]);
        println!("\nWith / without, by round: {}.", ratio(&figures));
    }
    println!("\n| a reading, median ms | without | with | with / without, by round |\n|---|---:|---:|---:|");
    let state = &writers.tokens[0];
    for (name, token, path) in [
        (
            "100 visits of a booth, its worker",
            worker,
            "/v1/visits?under=1000&limit=100",
        ),
        (
            "100 visits of a mandal, its coordinator",
            coordinator,
            "/v1/visits?under=100&limit=100",
        ),
        (
            "100 visits of a state, its administrator",
            state,
            "/v1/visits?under=2&limit=100",
        ),
        (
            "totals of a mandal for 30 days, its coordinator",
            coordinator,
            "/v1/units/100/totals?from=2026-10-26&to=2026-11-24&interval=day",
        ),
        ("who I am, a booth worker", worker, "/v1/me"),
    ] {
        let figures = compare(url, &tables, rounds, name, async || {
            read(address, token, path).await
        })
        .await;
        println!(
            "| {name} | {:.2} | {:.2} | {} |",
            median(figures[0].clone()),
            median(figures[1].clone()),
            ratio(&figures)
        );
    }
    println!(
        "\nLaying a scope down, once a transaction: {:.0} microseconds.",
        lay(url).await
    );
}
