//! "Who read whom between then and then", over a million readings in a journal of five million entries.

use std::time::Instant;

use crate::{Stand, http, world};

/// Readings by 64 workers, four at each booth a day apart or so, over 300 days; among them four times as many other entries.
const FILL: &str = "
    INSERT INTO journal (state_id, number, unit_id, unit_ids, actor_id, device_id, action, subject, subject_ids,
                         subject_uuids, digest, at, leaf_hash)
    SELECT 2, 1000000 + n, 1000 + n % 2000, ARRAY[1000 + n % 2000], 1 + n / 5 % 64, NULL,
           CASE WHEN n % 5 = 0 THEN 'contact.read' ELSE 'visit.record' END, 'contact', '{}',
           ARRAY[md5((n / 5 % 100000)::text)::uuid], decode(repeat('00', 32), 'hex'),
           now() - interval '301 days' + n * (interval '300 days' / (READS * 5.0)), decode(repeat('00', 32), 'hex')
    FROM generate_series(1, READS * 5) n;
    ANALYZE journal";

pub async fn ask(stand: &Stand, reads: i64) {
    eprintln!(
        "filling the journal with {reads} readings among {} entries",
        reads * 5
    );
    world::execute(&stand.url, &FILL.replace("READS", &reads.to_string())).await;
    let stored = world::count(
        &stand.url,
        "SELECT count(*) FROM journal WHERE action = 'contact.read'",
    )
    .await;
    let mut client = http::Connection::open(stand.program.address, &stand.world.tokens[0]).await;
    println!("\n| who read whom, {stored} readings | found | s | wanted |\n|---|---:|---:|---:|");
    let now = chrono::Utc::now();
    let day = |days: i64| {
        (now - chrono::TimeDelta::days(days))
            .format("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
    };
    let contact = "md5('7')::uuid::text";
    let contact = world::text(&stand.url, &format!("SELECT {contact}")).await;
    for (what, query) in [
        ("in a day, by all", format!("from={}&to={}", day(150), day(149))),
        (
            "in all of the time, by one worker",
            format!("from={}&to={}&worker_id=7", day(310), day(0)),
        ),
        (
            "in all of the time, of one citizen",
            format!("from={}&to={}&contact_id={contact}", day(310), day(0)),
        ),
        (
            "in all of the time, by all",
            format!("from={}&to={}", day(310), day(0)),
        ),
    ] {
        let started = Instant::now();
        let found = count(&mut client, &query).await;
        println!(
            "| {what} | {found} | {:.2} | 60 |",
            started.elapsed().as_secs_f64()
        );
    }
}

/// All that is found, page by page.
async fn count(client: &mut http::Connection, query: &str) -> usize {
    let (mut found, mut cursor) = (0, String::new());
    loop {
        let (status, body) = client
            .get(&format!("/v1/contact-reads?{query}&limit=500{cursor}"))
            .await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let page: serde_json::Value = serde_json::from_slice(&body).unwrap();
        found += page["items"].as_array().unwrap().len();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}
