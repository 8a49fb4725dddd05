//! Overload: what is served, and how fast, as more is offered than can be carried.
//!
//! The load is open: batches are due at a steady rate whatever becomes of those before, and the time of each is counted
//! from when it was due, so that a slow server cannot hide behind a client that waits for it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::http::{Connection, batch, visits};
use crate::world::World;

/// Enough that the server sheds before the phones run out.
const CONNECTIONS: usize = 640;
pub const BATCH: usize = 50;
/// Times the best rate.
const STEPS: [f64; 8] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0];

/// From here on more is offered than is carried, and what is served is held against the best.
const OVER: f64 = 1.5;

/// One step.
pub struct Point {
    pub offered: f64,
    pub served: f64,
    pub refused: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// What the clients took of the machine, which the server then had not: they run on it as well.
    pub clients: f64,
}

/// The best rate, in batches a second, and the clients' share of the machine meanwhile.
async fn best_rate(address: SocketAddr, world: &World, time: Duration) -> (f64, f64) {
    let (began, before) = (Instant::now(), own_cpu());
    let rate = visits(address, world, 16, BATCH, false, time).await / BATCH as f64;
    (rate, share(before, began))
}

/// Seconds of processor time that this process took.
fn own_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which may hold blanks: state is the third field, user and system time the 14th and 15th, in hundredths.
    let ticks = stat.rsplit_once(')').map(|(_, rest)| {
        let fields = rest.split_whitespace().skip(11).take(2);
        fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>()
    });
    ticks.unwrap_or(f64::NAN) / 100.0
}

/// The share of all processors that this process had since then.
fn share(before: f64, began: Instant) -> f64 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (own_cpu() - before) / (began.elapsed().as_secs_f64() * processors as f64)
}

/// Measures every step, prints the table and draws it.
pub async fn measure(address: SocketAddr, world: &World, time: Duration, picture: &Path) {
    let (best, clients) = best_rate(address, world, time).await;
    println!(
        "\nBest rate with 16 connections: {:.0} visits/s in batches of {BATCH}; the clients take {:.0} % of the machine.\n",
        best * BATCH as f64,
        clients * 100.0
    );
    println!(
        "| offered, visits/s | served | of the best right before and after | refused (503) | p50 of the served, ms | p99, ms | of the machine, clients |\n|---:|---:|---:|---:|---:|---:|---:|"
    );
    let mut points = Vec::new();
    // The table of visits grows by hundreds of thousands a step, and the best rate with it: a step is held against its own.
    let mut before = f64::NAN;
    for step in STEPS {
        if step >= OVER && before.is_nan() {
            (before, _) = best_rate(address, world, time).await;
        }
        let point = offer(address, world, best * step, time).await;
        let mut held = "-".to_owned();
        if step >= OVER {
            let (after, _) = best_rate(address, world, time).await;
            let own = f64::midpoint(before, after) * BATCH as f64;
            held = format!("{:.0} %, of {own:.0}", 100.0 * point.served / own);
            before = after;
        }
        println!(
            "| {:.0} | {:.0} | {held} | {:.0} | {:.0} | {:.0} | {:.0} % |",
            point.offered,
            point.served,
            point.refused,
            point.p50_ms,
            point.p99_ms,
            point.clients * 100.0
        );
        points.push(point);
    }
    let began = Instant::now();
    let calm = offer(address, world, best / 4.0, Duration::from_secs(3)).await;
    println!(
        "\nA quarter of the best rate right after it: p99 {:.0} ms, {:.0} refused, {:.1} s later.",
        calm.p99_ms,
        calm.refused,
        began.elapsed().as_secs_f64()
    );
    std::fs::create_dir_all(picture.parent().unwrap()).unwrap();
    std::fs::write(picture, draw(&points)).unwrap();
    println!("Drawn in {}.", picture.display());
}

/// Offers so many batches a second.
pub async fn offer(address: SocketAddr, world: &World, rate: f64, time: Duration) -> Point {
    let (began, cpu) = (Instant::now(), own_cpu());
    let next = Arc::new(AtomicU64::new(0));
    let running = (0..CONNECTIONS).map(|n| {
        let (world, next) = (world.clone(), next.clone());
        tokio::spawn(async move {
            let mut client = Connection::open(address, &world.tokens[n % world.tokens.len()]).await;
            let (mut times, mut refused) = (Vec::new(), 0u64);
            let mut held: Option<String> = None;
            loop {
                let due = Duration::from_secs_f64(next.fetch_add(1, Ordering::Relaxed) as f64 / rate);
                if due > time || began.elapsed() > time + Duration::from_secs(2) {
                    return (times, refused);
                }
                tokio::time::sleep_until((began + due).into()).await;
                // A phone sends again what was refused; making new ones would take from the server's share of the machine.
                let sent = held.take().unwrap_or_else(|| batch(&world, BATCH, false));
                let (status, _) = client.post("/v1/visits/batch", &sent).await;
                match status {
                    200 => times.push((began.elapsed() - due).as_secs_f64() * 1000.0),
                    503 => {
                        refused += 1;
                        held = Some(sent);
                    }
                    other => panic!("{other}"),
                }
            }
        })
    });
    let (mut times, mut refused) = (Vec::new(), 0);
    for task in running.collect::<Vec<_>>() {
        let (more, some) = task.await.unwrap();
        times.extend(more);
        refused += some;
    }
    let (seconds, clients) = (began.elapsed().as_secs_f64(), share(cpu, began));
    times.sort_by(f64::total_cmp);
    let quantile = |q: f64| {
        times
            .get((times.len() as f64 * q) as usize)
            .copied()
            .unwrap_or(f64::NAN)
    };
    Point {
        offered: rate * BATCH as f64,
        served: times.len() as f64 * BATCH as f64 / seconds,
        refused: refused as f64 * BATCH as f64 / seconds,
        p50_ms: quantile(0.5),
        p99_ms: quantile(0.99),
        clients,
    }
}

/// Two graphs, one above the other: served by offered, p99 by offered.
fn draw(points: &[Point]) -> String {
    let most = points.iter().map(|point| point.offered).fold(1.0, f64::max);
    let top = points.iter().map(|point| point.served).fold(1.0, f64::max) * 1.25;
    let slowest = points.iter().map(|point| point.p99_ms).fold(1000.0, f64::max) * 1.1;
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 520\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>Visits served, and the 99th percentile of their time, by visits offered</title>\n\
         <rect width=\"720\" height=\"520\" fill=\"#fff\"/>\n",
    );
    let graph = |svg: &mut String,
                 y: f64,
                 name: &str,
                 top: f64,
                 mark: Option<f64>,
                 value: &dyn Fn(&Point) -> f64| {
        let at = |point: &Point| {
            (
                80.0 + 600.0 * point.offered / most,
                y + 190.0 - 180.0 * value(point) / top,
            )
        };
        let _ = writeln!(
            svg,
            "<text x=\"80\" y=\"{}\" font-weight=\"bold\">{name}</text>",
            y - 8.0
        );
        for part in 0..=4 {
            let level = top * f64::from(part) / 4.0;
            let line = y + 190.0 - 45.0 * f64::from(part);
            let _ = writeln!(
                svg,
                "<path d=\"M80 {line}H680\" stroke=\"#ddd\"/><text x=\"72\" y=\"{}\" text-anchor=\"end\">{level:.0}</text>",
                line + 4.0
            );
        }
        if let Some(mark) = mark {
            let line = y + 190.0 - 180.0 * mark / top;
            let _ = writeln!(
                svg,
                "<path d=\"M80 {line:.1}H680\" stroke=\"#b00\" stroke-dasharray=\"6 4\"/>"
            );
        }
        let path: Vec<String> = points
            .iter()
            .map(|point| format!("{:.1} {:.1}", at(point).0, at(point).1))
            .collect();
        let _ = writeln!(
            svg,
            "<path d=\"M{}\" fill=\"none\" stroke=\"#06c\" stroke-width=\"2\"/>",
            path.join("L")
        );
        for point in points {
            let (x, y) = at(point);
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"#06c\"/>"
            );
        }
    };
    let best = points.iter().map(|point| point.served).fold(0.0, f64::max);
    graph(
        &mut svg,
        30.0,
        "served, visits/s (dashed: four fifths of the best)",
        top,
        Some(0.8 * best),
        &|point| point.served,
    );
    graph(
        &mut svg,
        275.0,
        "p99 of the served, ms (dashed: one second)",
        slowest,
        Some(1000.0),
        &|point| point.p99_ms,
    );
    for part in 0..=5 {
        let x = 80.0 + 120.0 * f64::from(part);
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"485\" text-anchor=\"middle\">{:.0}</text>",
            most * f64::from(part) / 5.0
        );
    }
    svg.push_str("<text x=\"380\" y=\"508\" text-anchor=\"middle\">offered, visits/s</text>\n</svg>\n");
    svg
}
