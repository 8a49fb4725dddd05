//! Whether the time of an answer tells who is on the roster: numbers that are on it and numbers that nobody has, asked for in
//! pairs, each pair in an order drawn by chance.

use std::time::Instant;

use crate::statistics::{difference_of_medians, quantile, rank_test};
use crate::{Stand, http, roster};

/// Pairs asked for side by side; each lane waits for its own answers.
const LANES: usize = 4;

#[derive(Default)]
struct Times {
    known: Vec<f64>,
    unknown: Vec<f64>,
}

pub async fn compare(stand: &Stand, pairs: usize) {
    let mut client = http::Connection::open(stand.program.address, &stand.world.tokens[0]).await;
    let file = roster::file(stand, pairs);
    let (status, body) = client.post_as("text/csv", "/v1/imports/workers", &file).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    // Every number once: a second code within a minute would not be sent.
    let ask = |phone: &str| ("/v1/auth/otp", format!(r#"{{"phone":"{phone}"}}"#), 202);
    report("a code is asked for", &in_lanes(stand, pairs, ask).await);
    // Those who are known have a code now, which the try is judged by.
    let device = uuid::Uuid::new_v4();
    let guess = |phone: &str| {
        let body = format!(
            r#"{{"grant_type":"otp","phone":"{phone}","code":"000000","device":{{"id":"{device}"}}}}"#
        );
        ("/v1/auth/token", body, 401)
    };
    report("a code is guessed at", &in_lanes(stand, pairs, guess).await);
}

async fn in_lanes(
    stand: &Stand,
    pairs: usize,
    request: impl Fn(&str) -> (&'static str, String, u16) + Copy,
) -> Times {
    let lanes = (0..LANES).map(|lane| async move {
        let mut client = http::Connection::open(stand.program.address, "").await;
        let mut times = Times::default();
        for n in (lane..pairs).step_by(LANES) {
            let known_first = rand::random::<bool>();
            for known in [known_first, !known_first] {
                let phone = if known {
                    roster::phone(n)
                } else {
                    format!("+916{n:09}")
                };
                let (path, body, wanted) = request(&phone);
                let started = Instant::now();
                let (status, _) = client.post(path, &body).await;
                let time = started.elapsed().as_secs_f64() * 1000.0;
                // One guess in a million is right.
                assert!(status == wanted || status == 200, "{status}");
                let sample = if known {
                    &mut times.known
                } else {
                    &mut times.unknown
                };
                sample.push(time);
            }
        }
        times
    });
    let mut all = Times::default();
    for times in futures_util::future::join_all(lanes).await {
        all.known.extend(times.known);
        all.unknown.extend(times.unknown);
    }
    all
}

fn report(what: &str, times: &Times) {
    let Times { known, unknown } = times;
    println!(
        "\n| {what}, {} pairs, ms | median | 95th of a hundred |\n|---|---:|---:|",
        known.len()
    );
    for (who, sample) in [("on the roster", known), ("nobody's number", unknown)] {
        println!(
            "| {who} | {:.3} | {:.3} |",
            quantile(sample, 0.5),
            quantile(sample, 0.95)
        );
    }
    let (from, to) = difference_of_medians(known, unknown);
    let (larger, deviations) = rank_test(known, unknown);
    println!("\n| what an onlooker learns | |\n|---|---:|");
    println!("| difference of the medians, ms, with 95 in 100 | {from:.3} to {to:.3} |");
    println!("| share of pairs in which the known takes longer (one half: nothing) | {larger:.3} |");
    println!("| the same in standard deviations of chance (under 2: nothing) | {deviations:.2} |");
}
