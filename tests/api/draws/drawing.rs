//! From the request to what is drawn.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{confirms, scene};

#[actix_web::test]
async fn a_draw_is_seeded_by_the_first_head_that_is_signed_after_its_request() {
    let s = scene().await;
    s.record(0, 20).await;
    s.seal().await;
    let before = s.head().await;
    let path = s.request(json!({})).await;
    let pending = s.read(&path).await;
    assert_eq!((&pending["seed"], &pending["items"]), (&Value::Null, &json!([])));
    // Without a head nothing is given, checked or closed.
    let spread = json!({"spread_among": [s.verifier.worker_id]});
    assert_eq!(
        s.assign(&path, spread).await.expect(409).json["code"],
        "draw_pending"
    );
    let close = s
        .district
        .client
        .post(&format!("{path}/close"), json!({"reason": "Why"}))
        .await;
    assert_eq!(close.expect(409).json["code"], "draw_pending");
    s.verifier
        .client
        .post("/v1/back-checks", confirms(&path, 1))
        .await
        .expect(422);
    // Two heads are signed before anybody asks for the seed: the first of them counts.
    s.record(1, 1).await;
    s.seal().await;
    let first = s.head().await;
    s.record(1, 1).await;
    s.seal().await;
    let second = s.head().await;
    let drawn = s.seed(&path).await;
    let seed = &drawn["seed"];
    assert_eq!(seed["head"], first);
    assert_ne!(seed["head"], second);
    let (number, size) = (seed["entry_number"].as_i64().unwrap(), |head: &Value| {
        head["size"].as_i64().unwrap()
    });
    assert!(size(&before) < number && number <= size(&first), "{number}");
    assert!(crate::seals::is_signed(&s.app.anonymous(), &seed["head"]).await);
    assert_eq!(drawn["items"].as_array().unwrap().len(), 6);
    // What is drawn stays drawn.
    assert_eq!(s.seed(&path).await, drawn);
    assert_eq!(s.read(&path).await, drawn);
    assert_eq!(crate::workers::journalled(&s.world, "draw.seed").await, 1);
}

#[actix_web::test]
async fn who_asks_for_the_seed_gets_a_head_made_now_if_there_is_none() {
    let s = scene().await;
    s.record(0, 5).await;
    s.seal().await;
    let before = s.head().await;
    let path = s.request(json!({})).await;
    let asks = (0..4).map(|_| s.seed(&path));
    let drawn = futures_util::future::join_all(asks).await;
    assert!(drawn.iter().all(|one| one == &drawn[0]), "all get the same");
    let head = &drawn[0]["seed"]["head"];
    assert!(head["size"].as_i64() > before["size"].as_i64());
    assert!(crate::seals::is_signed(&s.app.anonymous(), head).await);
    // Whoever of the four came last may have signed another one meanwhile; the first that covers the request counts.
    let next = "SELECT min(size) FROM signed_heads WHERE state_id = $1 AND size > $2";
    let size = before["size"].as_i64().unwrap();
    let asked = s.world.db.query_one(next, &[&s.world.unit("S1"), &size]).await;
    assert_eq!(head["size"], asked.unwrap().get::<_, i64>(0));
}

#[actix_web::test]
async fn what_can_be_drawn_is_frozen_with_the_request() {
    let s = scene().await;
    let mut ids = s.record(0, 6).await;
    let taken_back = ids.remove(0);
    let rejected = ids.remove(0);
    let void = json!({"reason": "Mistake"});
    s.coordinator
        .client
        .post(&format!("/v1/visits/{taken_back}/void"), void.clone())
        .await
        .expect(200);
    let verdict = json!({"verdict": "rejected", "reason": "Nobody remembers"});
    s.coordinator
        .client
        .post(&format!("/v1/visits/{rejected}/review"), verdict)
        .await
        .expect(200);
    let path = s
        .request(json!({"plan": {"size": 32, "decision_number": 4}}))
        .await;
    // What happens now changes nothing of the draw.
    s.record(0, 2).await;
    s.coordinator
        .client
        .post(&format!("/v1/visits/{}/void", ids[0]), void)
        .await
        .expect(200);
    s.authors[0]
        .client
        .header("If-Match", "\"1\"")
        .patch(&format!("/v1/visits/{}", ids[1]), json!({"people_met": 9}))
        .await
        .expect(200);
    let drawn = s.seed(&path).await;
    let frame = s.pages(&format!("{path}/frame")).await;
    ids.sort();
    let framed: Vec<&str> = frame
        .iter()
        .map(|item| item["visit_id"].as_str().unwrap())
        .collect();
    assert_eq!(framed, ids);
    assert!(frame.iter().all(|item| item["version"] == 1));
    assert_eq!(frame[0]["place"], 1);
    // Fewer than the plan wants: all are drawn, and it says so.
    assert_eq!(
        (&drawn["all_drawn"], &drawn["size"], &drawn["planned_size"]),
        (&json!(true), &json!(4), &json!(32))
    );
    let mut items: Vec<&str> = drawn["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["visit_id"].as_str().unwrap())
        .collect();
    items.sort_unstable();
    assert_eq!(items, ids);
}

#[actix_web::test]
async fn a_plan_of_rates_and_risks_tells_size_and_decision_number() {
    let s = scene().await;
    for booth in 0..3 {
        s.record(booth, 30).await;
    }
    let risks = json!({"acceptable": 0.05, "unacceptable": 0.2, "producer_risk": 0.1, "consumer_risk": 0.1});
    let path = s.request(json!({"plan": risks})).await;
    let draw = s.seed(&path).await;
    assert_eq!(
        (
            &draw["size"],
            &draw["decision_number"],
            &draw["all_drawn"],
            &draw["frame_size"]
        ),
        (&json!(32), &json!(4), &json!(false), &json!(90))
    );
    assert_eq!(draw["items"].as_array().unwrap().len(), 32);
}

#[actix_web::test]
async fn booths_and_workers_get_their_share() {
    let s = scene().await;
    for (booth, count) in [(0, 30), (1, 15), (2, 3)] {
        s.record(booth, count).await;
    }
    for (strata, field) in [("booth", "booth_id"), ("worker", "worker_id")] {
        let path = s
            .request(json!({"strata": strata, "plan": {"size": 16, "decision_number": 2}}))
            .await;
        let draw = s.seed(&path).await;
        let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
        for item in draw["items"].as_array().unwrap() {
            *counts.entry(item[field].as_i64().unwrap()).or_default() += 1;
        }
        let counts: Vec<usize> = counts.into_values().collect();
        assert_eq!(counts, [10, 5, 1], "{strata}");
        s.close(&path).await;
    }
}

#[actix_web::test]
async fn a_unit_has_one_draw_at_a_time_and_a_resend_makes_none() {
    let s = scene().await;
    s.record(0, 5).await;
    let keyed = s.district.client.header("Idempotency-Key", "draw-1");
    let first = keyed.post("/v1/draws", s.wanted(json!({}))).await.expect(201);
    let again = keyed.post("/v1/draws", s.wanted(json!({}))).await.expect(201);
    assert_eq!(first.json, again.json);
    let second = s
        .district
        .client
        .post("/v1/draws", s.wanted(json!({"strata": "none"})))
        .await
        .expect(409);
    assert_eq!(second.json["code"], "draw_open");
    let path = first.header("location").unwrap().to_owned();
    s.seed(&path).await;
    s.close(&path).await;
    let next = s.request(json!({})).await;
    // Each draw is on record, newest first.
    let list = s
        .read(&format!("/v1/draws?under={}", s.world.unit("S1-M1")))
        .await;
    let states: Vec<(&Value, &Value)> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|draw| (&draw["id"], &draw["status"]))
        .collect();
    let id = |path: &str| json!(path.rsplit('/').next().unwrap().parse::<i32>().unwrap());
    assert_eq!(
        states,
        [(&id(&next), &json!("pending")), (&id(&path), &json!("closed"))]
    );
    let closed = s.read("/v1/draws?status=closed&limit=1").await;
    assert_eq!(closed["items"].as_array().unwrap().len(), 1);
    assert_eq!(closed["next_cursor"], Value::Null);
}

#[actix_web::test]
async fn one_head_seeds_two_draws_differently() {
    let s = scene().await;
    s.record(0, 40).await;
    let a = s.request(json!({})).await;
    let b = s.request(json!({"from": "2026-11-02"})).await;
    s.seal().await;
    let (a, b) = (s.seed(&a).await, s.seed(&b).await);
    assert_eq!(a["seed"]["head"], b["seed"]["head"]);
    assert_ne!(a["seed"]["seed"], b["seed"]["seed"]);
    assert_eq!(
        STANDARD
            .decode(a["seed"]["seed"].as_str().unwrap())
            .unwrap()
            .len(),
        32
    );
}
