//! What a phone waits for: the first sync of a booth of 300 doors with 300 visits of 20 days, and one that brings nothing,
//! compressed as phones ask for it, one at a time.

use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use crate::Stand;
use crate::http::Connection;
use crate::{median, world};

const SYNCS: usize = 300;

const BOOTH: &str = "
    UPDATE grants SET role = 'booth_worker', unit_id = 1000 WHERE worker_id = 1;
    INSERT INTO households (id, state_id, booth_id, label, electors, lat, lon, created_at, updated_at)
    SELECT gen_random_uuid(), 2, 1000, n || '-' || chr(65 + n % 26), n % 7, 26.8 + random() / 50, 80.9 + random() / 50, now(), now()
    FROM generate_series(1, 300) n";

fn visits_of(day: usize) -> String {
    let visits = (0..15).map(|n| {
        format!(
            r#"{{"id":"{}","campaign_id":1,"booth_id":1000,"visited_at":"2026-11-{day:02}T{:02}:05:00+05:30","outcome":"met","people_met":2,"answers":{{"heard":true,"need":"road"}},"note":"The hand pump by the school is broken since June"}}"#,
            Uuid::new_v4(),
            8 + n % 12
        )
    });
    format!("{{\"visits\":[{}]}}", visits.collect::<Vec<_>>().join(","))
}

/// Prints the table.
pub async fn ask(stand: &Stand) {
    world::execute(&stand.url, BOOTH).await;
    let address = stand.program.address;
    let mut client = Connection::open(address, &stand.world.tokens[0]).await;
    world::known(address, &stand.world.tokens[0], "booth_worker").await;
    let until = Instant::now() + Duration::from_secs(30);
    while client.post("/v1/sync", "{}").await.0 != 200 {
        assert!(Instant::now() < until, "it never let the worker sync");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for day in 1..=20 {
        let (status, body) = client.post("/v1/visits/batch", &visits_of(day)).await;
        let text = String::from_utf8_lossy(&body);
        assert!(status == 200 && !text.contains("\"rejected\""), "{text}");
    }
    let (status, page) = client.post("/v1/sync", "{}").await;
    let page: Value = serde_json::from_slice(&page).unwrap();
    assert!(status == 200 && page["has_more"] == false, "{page}");
    let idle = serde_json::json!({"cursor": page["cursor"], "held": page["hashes"]}).to_string();
    println!(
        "\n| a booth worker's sync | gzip, bytes | median ms | 99th of a hundred | wanted |\n|---|---:|---:|---:|---|"
    );
    for (name, body, wanted) in [("first", "{}", "100 kB, 50 ms"), ("idle", idle.as_str(), "1 kB")] {
        let (mut times, mut size) = (Vec::new(), 0);
        for _ in 0..SYNCS {
            let started = Instant::now();
            let (status, bytes) = client.post_compressed("/v1/sync", body).await;
            times.push(started.elapsed().as_secs_f64() * 1000.0);
            assert_eq!(status, 200);
            size = bytes;
        }
        times.sort_by(f64::total_cmp);
        let late = times[times.len() * 99 / 100];
        println!(
            "| {name} | {size} | {:.1} | {late:.1} | {wanted} |",
            median(times)
        );
    }
}
