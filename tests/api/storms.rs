//! No visit is lost or counted twice, whatever the network does: lost replies, resends, resets, all at once.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use sampark::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::exactness::assert_exact;
use crate::support::{TestApp, World, noon};

/// What a phone does: sends batches, loses some replies, sends again until it has heard.
async fn phone(
    base: std::net::SocketAddr,
    token: String,
    visits: Vec<Value>,
    seed: u64,
) -> Vec<(String, Vec<String>)> {
    let client = crate::support::Client::new(base, Some(token));
    let mut heard: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut random = seed;
    let mut next = move || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    for chunk in visits.chunks(7) {
        let body = json!({ "visits": chunk });
        loop {
            let fate = next() % 4;
            if fate == 0 {
                // The connection is reset while the request is under way.
                client.send_and_reset("/v1/visits/batch", &body).await;
                continue;
            }
            let answer = client.post("/v1/visits/batch", body.clone()).await;
            if answer.status == 503 {
                continue;
            }
            let answer = answer.expect(200);
            for item in answer.json["results"].as_array().unwrap() {
                let id = item["id"].as_str().unwrap().to_owned();
                heard
                    .entry(id)
                    .or_default()
                    .push(item["status"].as_str().unwrap().to_owned());
            }
            // The reply arrives, or is lost and all is sent again.
            if fate != 1 {
                break;
            }
        }
    }
    heard.into_iter().collect()
}

#[actix_web::test]
async fn thirty_two_phones_on_a_lossy_network_lose_nothing_and_count_nothing_twice() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let doors = [world.household("S1-B1").await, world.household("S1-B1").await];
    let mut phones = Vec::new();
    for n in 0..32u64 {
        let actor = world.actor(&app, Role::BoothWorker, "S1-B1").await;
        let visits: Vec<Value> = (0..21)
            .map(|k| {
                json!({
                    "id": Uuid::new_v4(), "campaign_id": campaign, "booth_id": world.unit("S1-B1"),
                    "visited_at": noon() - TimeDelta::days(k % 5), "outcome": "met", "people_met": 1,
                    "household_id": doors[usize::try_from((n + u64::try_from(k).unwrap()) % 2).unwrap()],
                })
            })
            .collect();
        phones.push(actix_web::rt::spawn(phone(app.address, actor.token, visits, n)));
    }
    let mut acknowledged = 0;
    for phone in phones {
        for (id, statuses) in phone.await.unwrap() {
            assert!(
                statuses
                    .iter()
                    .all(|status| status == "created" || status == "duplicate"),
                "{id}: {statuses:?}"
            );
            assert!(
                statuses.iter().filter(|status| *status == "created").count() <= 1,
                "{id}: {statuses:?}"
            );
            acknowledged += 1;
        }
    }
    assert_eq!(acknowledged, 32 * 21);
    let stored: i64 = world
        .db
        .query_one("SELECT count(*) FROM visits", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(stored, 32 * 21);
    assert_exact(&world.db, "the storm").await;
    app.posted().await;
    assert_exact(&world.db, "the posting").await;
}
