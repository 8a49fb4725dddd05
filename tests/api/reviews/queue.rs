//! The queue of visits that wait for a verdict.

use std::collections::BTreeSet;

use sampark::access::Role;
use serde_json::json;

use super::{ids_of, review, scene};

#[actix_web::test]
async fn the_queue_begins_with_the_most_doubtful_then_the_oldest() {
    let s = scene().await;
    let mock = json!({"lat": 26.8, "lon": 80.9, "mock": true});
    let plain_late = s.recorded(json!({})).await;
    let plain_early = s
        .recorded(json!({"visited_at": "2026-11-18T11:00:00+05:30"}))
        .await;
    let backdated = s
        .recorded(json!({"visited_at": "2026-11-10T11:00:00+05:30"}))
        .await;
    let mocked = s.recorded(json!({"location": mock})).await;
    let both = s
        .recorded(json!({"location": mock, "visited_at": "2026-11-11T11:00:00+05:30"}))
        .await;
    let page = s.coordinator.client.get(&s.queue("")).await.expect(200).json;
    let order = [&both, &mocked, &backdated, &plain_early, &plain_late].map(Clone::clone);
    assert_eq!(ids_of(&page), order);
    let doubts: Vec<i64> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["doubt"].as_i64().unwrap())
        .collect();
    assert_eq!(doubts, [4, 3, 1, 0, 0]);
    for limit in 1..=4 {
        assert_eq!(s.whole_queue(limit, "").await, order, "pages of {limit}");
    }
    assert_eq!(s.whole_queue(1, "&flag=mock_location").await, [both, mocked]);
    assert_eq!(
        s.whole_queue(1, "&from=2026-11-18&to=2026-11-18").await,
        [plain_early]
    );
    assert_eq!(s.whole_queue(1, "&outcome=refused").await, Vec::<String>::new());
    let other = format!("&worker_id={}", s.coordinator.worker_id);
    assert_eq!(s.whole_queue(50, &other).await, Vec::<String>::new());
    s.coordinator
        .client
        .get(&s.queue("?from=2026-11-18&to=2026-11-17"))
        .await
        .expect(422);
    s.coordinator.client.get(&s.queue("?cursor=x")).await.expect(400);
}

#[actix_web::test]
async fn pages_of_the_queue_stay_whole_while_others_judge() {
    let s = scene().await;
    let other = s
        .world
        .actor(&s.app, Role::DistrictCoordinator, "S1-D1")
        .await
        .client;
    let mut all = BTreeSet::new();
    for n in 0..40 {
        let mock = json!({"lat": 26.8, "lon": 80.9, "mock": n % 2 == 0});
        let day = 1 + n % 20;
        let at = format!("2026-11-{day:02}T11:00:00+05:30");
        all.insert(s.recorded(json!({"location": mock, "visited_at": at})).await);
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = s
            .coordinator
            .client
            .get(&s.queue(&format!("?limit=7{cursor}")))
            .await
            .expect(200)
            .json;
        let ids = ids_of(&page);
        // Somebody else judges what was just shown, and something that was shown long ago.
        for id in ids.iter().step_by(2).chain(seen.first()) {
            other
                .post(&review(id), json!({"verdict": "verified"}))
                .await
                .expect(200);
        }
        seen.extend(ids);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 40, "none comes twice");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all, "none is skipped");
}
