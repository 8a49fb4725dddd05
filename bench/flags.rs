//! What flags cost: the same visits recorded in a campaign that judges them by every flag, and in one that has turned all of
//! them off by its bounds (as any campaign may), in turns on one server. Without flags nothing holds or reads a trail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::http::Connection;
use crate::world::{self, World};
use crate::{line, median};

/// Visits of a worker on a day.
const DAY: usize = 40;
/// The campaign without flags.
const PLAIN: i32 = 2;

const CAMPAIGNS: &str = r#"
    UPDATE units SET lat = 26 + (id % 50) * 0.02, lon = 80 + (id / 50) * 0.02 WHERE level = 'booth';
    INSERT INTO campaigns (id, unit_id, name, starts_on, bounds, created_at, updated_at)
    VALUES (2, 2, 'Without flags', '2026-10-01', '{"too_fast": null, "impossible_travel": null, "far_from_booth": null,
        "mock_location": false, "same_spot": null, "repeat_door": null, "outside_hours": null, "clock_skew": null,
        "backdated": null, "too_short": null, "daily_bound": null, "no_grant_on_day": false, "outside_campaign": false}',
        now(), now());
    INSERT INTO campaign_questions (campaign_id, version, questions, created_at)
    SELECT 2, version, questions, created_at FROM campaign_questions WHERE campaign_id = 1"#;

/// Deals out days of workers: each is worked once, whether with flags or without.
struct Days(AtomicUsize);

impl Days {
    /// A worker and a day of November.
    fn next(&self, world: &World) -> (usize, usize) {
        let n = self.0.fetch_add(1, Ordering::Relaxed);
        (n % world.tokens.len(), 1 + n / world.tokens.len() % 24)
    }
}

/// A worker's visits of a day in one booth: every eight minutes, some 60 m from each other.
fn day_of(world: &World, campaign: i32, day: usize) -> Vec<String> {
    let booth = world.booths[rand::random::<u32>() as usize % world.booths.len()];
    let (lat, lon) = (
        26.0 + f64::from(booth % 50) * 0.02,
        80.0 + f64::from(booth / 50) * 0.02,
    );
    let visits = (0..DAY).map(|n| {
        let minute = 8 * 60 + n * 8;
        format!(
            r#"{{"id":"{}","campaign_id":{campaign},"booth_id":{booth},"visited_at":"2026-11-{day:02}T{:02}:{:02}:00+05:30","outcome":"met","people_met":2,"answers":{{"heard":true,"need":"road"}},"note":"The hand pump by the school is broken since June","duration_s":240,"location":{{"lat":{:.5},"lon":{:.5},"accuracy_m":12}}}}"#,
            Uuid::new_v4(),
            minute / 60,
            minute % 60,
            lat + n as f64 * 0.0005,
            lon + (n % 7) as f64 * 0.0005,
        )
    });
    visits.collect()
}

/// Visits stored a second over so many connections, each request with so many of a worker's day.
async fn record(
    address: SocketAddr,
    world: &World,
    days: &Arc<Days>,
    campaign: i32,
    (connections, size): (usize, usize),
    time: Duration,
) -> f64 {
    let stored = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let work = (0..connections).map(|_| {
        let (world, stored, days) = (world.clone(), stored.clone(), days.clone());
        tokio::spawn(async move {
            let mut client = Connection::open(address, "").await;
            while started.elapsed() < time {
                let (worker, day) = days.next(&world);
                client.sign_in(&world.tokens[worker]);
                let visits = day_of(&world, campaign, day);
                for part in visits.chunks(size) {
                    if started.elapsed() >= time {
                        break;
                    }
                    let (path, body) = match part {
                        [one] => ("/v1/visits", one.clone()),
                        many => ("/v1/visits/batch", format!("{{\"visits\":[{}]}}", many.join(","))),
                    };
                    let (status, body) = client.post(path, &body).await;
                    let text = String::from_utf8_lossy(&body);
                    assert!(status == 201 || status == 200, "{text}");
                    assert!(!text.contains("\"rejected\""), "{text}");
                    stored.fetch_add(part.len() as u64, Ordering::Relaxed);
                }
            }
        })
    });
    for task in work.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    stored.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

/// Prints the tables.
pub async fn run(address: SocketAddr, world: &World, url: &str, rounds: usize, time: Duration) {
    world::execute(url, CAMPAIGNS).await;
    let days = Arc::new(Days(AtomicUsize::new(0)));
    let shapes = [
        ("single visits, 64 connections", (64, 1)),
        ("batches of 20, 8 connections", (8, 20)),
    ];
    for (name, shape) in shapes {
        let (mut with, mut without, mut ratios) = (vec![], vec![], vec![]);
        for round in 0..rounds {
            eprintln!("{name}: round {} of {rounds}", round + 1);
            let mut both = [0.0; 2];
            // Whichever comes first has the emptier tables: they take turns.
            for turn in 0..2 {
                let flags = (round + turn) % 2 == 0;
                let campaign = if flags { world.campaign_id } else { PLAIN };
                both[usize::from(flags)] = record(address, world, &days, campaign, shape, time).await;
            }
            without.push(both[0]);
            with.push(both[1]);
            ratios.push(both[1] / both[0]);
        }
        println!("\n| {name}: visits a second | median of {rounds} | spread |\n|---|---:|---:|");
        line("without flags", &without);
        line("with flags", &with);
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        println!(
            "| with / without, by round (wanted: 0.85) | {:.2} | {least:.2} to {most:.2} |",
            median(ratios)
        );
    }
    let judged = world::count(url, "SELECT count(*) FROM visits WHERE campaign_id = 1").await;
    let flagged = world::count(
        url,
        "SELECT count(*) FROM visits WHERE campaign_id = 1 AND flags <> '[]'",
    )
    .await;
    let none = world::count(
        url,
        "SELECT count(*) FROM visits WHERE campaign_id = 2 AND flags <> '[]'",
    )
    .await;
    println!("\n{flagged} of {judged} judged visits were flagged, {none} of the others.");
}
