//! What checking a token costs, beside a single visit's whole request.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sampark::access::tokens::Audience;
use sampark::access::{Access, KeyRing, Watch};
use sampark::platform::clock::Clock;
use sampark::platform::data_keys::DataKeys;
use sampark::platform::db::Db;

use crate::{Stand, http};

pub async fn weigh(stand: &Stand, time: Duration) {
    let clock = Clock::system(chrono_tz::Asia::Kolkata);
    let keys = Arc::new(KeyRing::load_or_make(&stand.dir).unwrap());
    let data_keys = DataKeys::load(&stand.dir.join("keys/data.keys")).unwrap();
    let db = Db::new(&stand.url, 2, data_keys).unwrap();
    let access = Access::new(db, clock.clone(), keys.clone());
    let watch = Watch::start(&access);
    let tokens = &stand.world.tokens;
    // Seen for the first time: the signature is verified and the session read.
    let mut first = Vec::new();
    for token in tokens {
        let started = Instant::now();
        access.recognise(token, &[Audience::People]).await.unwrap();
        first.push(started.elapsed().as_secs_f64() * 1e6);
    }
    let first = crate::median(first);
    let started = Instant::now();
    let (mut checked, mut longest) = (0_u64, 0.0_f64);
    while started.elapsed() < time {
        let one = Instant::now();
        for token in tokens {
            black_box(access.recognise(token, &[Audience::People]).await.unwrap());
        }
        longest = longest.max(one.elapsed().as_secs_f64() * 1e6);
        checked += tokens.len() as u64;
    }
    let again = started.elapsed().as_secs_f64() * 1e6 / checked as f64;
    watch.stop().await;
    let mut signature = Vec::new();
    for token in tokens {
        let started = Instant::now();
        black_box(keys.verify(token, clock.now()).unwrap());
        signature.push(started.elapsed().as_secs_f64() * 1e6);
    }
    // A visit at a time over one connection: the whole request as its sender waits for it, and the program's own work.
    let mut client = http::Connection::open(stand.program.address, &tokens[0]).await;
    let (began, cpu) = (Instant::now(), stand.program.cpu_seconds());
    let mut visits = 0_u64;
    while began.elapsed() < time {
        let (status, body) = client.post("/v1/visits", &http::any_visit(&stand.world)).await;
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
        visits += 1;
    }
    let whole = began.elapsed().as_secs_f64() * 1e6 / visits as f64;
    let work = (stand.program.cpu_seconds() - cpu) * 1e6 / visits as f64;
    println!(
        "\n| a token is checked | microseconds | share of a visit's request | share of its processor time | wanted |"
    );
    println!("|---|---:|---:|---:|---:|");
    let row = |what: &str, cost: f64, wanted: &str| {
        println!(
            "| {what} | {cost:.2} | {:.2} % | {:.2} % | {wanted} |",
            cost / whole * 100.0,
            cost / work * 100.0
        );
    };
    row(
        "seen before (all but the first of its 15 minutes)",
        again,
        "under 5 %",
    );
    row("seen for the first time: signature and session", first, "");
    row("its signature alone", crate::median(signature), "");
    println!(
        "\nA visit's request took {whole:.0} microseconds, {work:.0} of the program's processor time; {checked} checks, {visits} visits."
    );
    println!(
        "The slowest round of {} checks took {longest:.0} microseconds.",
        tokens.len()
    );
}
