//! Growth: what recording, totals, lists, exports and imports cost among 100 thousand, 1, 3 and 10 million visits.

use std::time::{Duration, Instant};

use crate::http::{Connection, visits};
use crate::statistics::quantile;
use crate::{Stand, nation, roster, world};

const STEPS: [i64; 4] = [100_000, 1_000_000, 3_000_000, 10_000_000];
/// Answers timed of each kind.
const ASKED: usize = 300;
/// Rows of the roster that is imported.
const ROSTER: usize = 10_000;

/// The path of the n-th request.
type PathOf = Box<dyn Fn(usize) -> String>;

/// What was measured at a step, and its figure.
type Column = Vec<(String, String)>;

/// Fills step by step up to `most` visits, measures at each, and prints one table.
pub async fn measure(stand: &Stand, most: i64, time: Duration) {
    let steps: Vec<i64> = STEPS.into_iter().filter(|step| *step <= most).collect();
    let mut columns: Vec<Column> = Vec::new();
    let (mut from, mut p99) = (0, Vec::new());
    for (n, step) in steps.iter().enumerate() {
        eprintln!("filling up to {step} visits");
        let mut column = Column::new();
        posted(stand).await;
        let began = Instant::now();
        nation::fill(&stand.url, from, *step).await;
        from = *step;
        let minutes = began.elapsed().as_secs_f64() / 60.0;
        posted(stand).await;
        column.push((
            "filled and totals rebuilt, minutes".to_owned(),
            format!("{minutes:.1}"),
        ));
        column.push(("the database on disk, GB".to_owned(), size(stand).await));
        p99.push(totals(stand, &mut column).await);
        lists(stand, &mut column).await;
        export(stand, &mut column).await;
        import(stand, n, &mut column).await;
        for (what, connections, batch, scattered) in [
            ("recorded a second, singly, 64 phones", 64, 1, true),
            ("recorded a second, batches of 100, 8 phones", 8, 100, false),
        ] {
            let rate = visits(
                stand.program.address,
                &stand.world,
                connections,
                batch,
                scattered,
                time,
            )
            .await;
            column.push((what.to_owned(), format!("{rate:.0}")));
        }
        // What took long to fill is not to be lost with what comes after.
        for (what, figure) in &column {
            eprintln!("{step} visits: {what}: {figure}");
        }
        columns.push(column);
    }
    print(&steps, &columns);
    if let [_, million, .., last] = p99.as_slice() {
        println!(
            "\nState totals, p99: {:.2} times that at a million (wanted: 1.5 at most at ten million).",
            last / million
        );
    }
}

fn print(steps: &[i64], columns: &[Column]) {
    let heads: Vec<String> = steps.iter().map(|step| format!("{step} visits")).collect();
    println!("\n| {} booths | {} |", nation::BOOTHS, heads.join(" | "));
    println!("|---|{}", "---:|".repeat(steps.len()));
    for (n, (what, _)) in columns[0].iter().enumerate() {
        let figures: Vec<&str> = columns.iter().map(|column| column[n].1.as_str()).collect();
        println!("| {what} | {} |", figures.join(" | "));
    }
}

/// Waits until everything is posted and the trees cover it.
async fn posted(stand: &Stand) {
    let left = "SELECT (SELECT count(*) FROM journal_inbox) + (SELECT count(*) FROM tally_inbox)
        + (SELECT count(*) FROM journal_heads WHERE tree_size < size)";
    while world::count(&stand.url, left).await > 0 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn size(stand: &Stand) -> String {
    let bytes = world::count(&stand.url, "SELECT pg_database_size(current_database())").await;
    format!("{:.2}", bytes as f64 / 1e9)
}

/// Times of so many answers to a request, in milliseconds, and how many were none in time.
struct Times {
    all: Vec<f64>,
    refused: usize,
}

async fn times(stand: &Stand, path: impl Fn(usize) -> String) -> Times {
    let mut client = Connection::open(stand.program.address, &stand.world.tokens[0]).await;
    let (mut all, mut refused) = (Vec::with_capacity(ASKED), 0);
    for n in 0..ASKED {
        let path = path(n);
        let began = Instant::now();
        let (status, body) = client.get(&path).await;
        assert!(
            matches!(status, 200 | 503),
            "{path}: {status} {}",
            String::from_utf8_lossy(&body)
        );
        refused += usize::from(status == 503);
        all.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Times { all, refused }
}

fn both(times: &Times) -> String {
    let figures = format!(
        "{:.1} / {:.1}",
        quantile(&times.all, 0.5),
        quantile(&times.all, 0.99)
    );
    match times.refused {
        0 => figures,
        refused => format!("{figures}, {refused} of {ASKED} refused"),
    }
}

/// Totals of thirty days at every level; the p99 of states.
async fn totals(stand: &Stand, column: &mut Column) -> f64 {
    let mut of_states = f64::NAN;
    for level in ["nation", "state", "seat", "mandal", "booth"] {
        let times = times(stand, |n| {
            let n = n as i64;
            let unit = match level {
                "nation" => 1,
                "state" => 2 + n % 36,
                "seat" => nation::assembly(n % 36, n % 115),
                "mandal" => nation::mandal(n % 36, n % 180),
                _ => nation::booth(n * 3_491 % nation::BOOTHS),
            };
            format!("/v1/units/{unit}/totals?from=2026-10-01&to=2026-10-30&interval=day")
        })
        .await;
        if level == "state" {
            of_states = quantile(&times.all, 0.99);
        }
        column.push((
            format!("totals of a {level}, 30 days, p50 / p99, ms"),
            both(&times),
        ));
    }
    of_states
}

async fn lists(stand: &Stand, column: &mut Column) {
    let seat = |n: usize| nation::assembly(n as i64 % 36, n as i64 % 115);
    let asked: [(&str, PathOf); 3] = [
        (
            "the constituencies of a state by visits",
            Box::new(|n| {
                format!(
                    "/v1/units/{}/totals/children?level=assembly_constituency&sort=-visits&limit=50",
                    2 + n % 36
                )
            }),
        ),
        (
            "100 visits of a constituency",
            Box::new(move |n| format!("/v1/visits?under={}&limit=100", seat(n))),
        ),
        (
            "100 visits of a worker",
            Box::new(|n| format!("/v1/visits?worker_id={}&limit=100", 1 + n)),
        ),
    ];
    for (what, path) in asked {
        column.push((format!("{what}, p50 / p99, ms"), both(&times(stand, path).await)));
    }
}

/// The visits of a state, as lines.
async fn export(stand: &Stand, column: &mut Column) {
    let mut client = Connection::open(stand.program.address, &stand.world.tokens[0]).await;
    let began = Instant::now();
    let (status, rows) = client.count_lines("/v1/visits/export?under=2").await;
    assert_eq!(status, 200);
    let seconds = began.elapsed().as_secs_f64();
    column.push((
        "export of a state, visits a second".to_owned(),
        format!("{:.0}", rows as f64 / seconds),
    ));
}

/// A roster of new workers with a role each.
async fn import(stand: &Stand, step: usize, column: &mut Column) {
    let file = roster::file_from(stand, step * ROSTER, ROSTER);
    let mut client = Connection::open(stand.program.address, &stand.world.tokens[0]).await;
    let began = Instant::now();
    let (status, body) = client.post_as("text/csv", "/v1/imports/workers", &file).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    column.push((
        format!("import of {ROSTER} workers, s"),
        format!("{:.1}", began.elapsed().as_secs_f64()),
    ));
}
