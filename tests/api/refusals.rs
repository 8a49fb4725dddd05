//! Refusals: counted by who, what, why and hour, read by those who answer for who was refused.

use sampark::access::Role;
use sampark::features::refusals::write_waiting;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Actor, TestApp, World};
use crate::visits::visit;

struct Scene {
    app: TestApp,
    world: World,
    worker: Actor,
    coordinator: Actor,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await;
    Scene {
        app,
        world,
        worker,
        coordinator,
    }
}

impl Scene {
    async fn written(&self) {
        write_waiting(&self.app.state.db, &self.app.clock, &self.app.state.refusals)
            .await
            .unwrap();
    }

    async fn listed(&self, reader: &Actor, query: &str) -> Vec<Value> {
        let path = format!("/v1/refusals{query}");
        let page = reader.client.get(&path).await.expect(200).json;
        page["items"].as_array().unwrap().clone()
    }
}

#[actix_web::test]
async fn what_was_refused_is_told_to_who_answers_for_the_worker_and_to_nobody_else() {
    let s = scene().await;
    let foreign = s.world.unit("S2-B1");
    for _ in 0..3 {
        s.worker
            .client
            .get(&format!("/v1/units/{foreign}"))
            .await
            .expect(404);
    }
    s.worker.client.get("/v1/units/999999").await.expect(404);
    s.worker.client.get("/v1/workers").await.expect(403);
    s.worker
        .client
        .get(&format!("/v1/visits/{}", Uuid::new_v4()))
        .await
        .expect(404);
    // Neither what is done nor what is not understood is a refusal.
    s.worker.client.get("/v1/visits").await.expect(200);
    s.worker.client.get("/v1/visits?limit=0").await.expect(422);
    s.written().await;
    s.worker
        .client
        .get(&format!("/v1/units/{foreign}"))
        .await
        .expect(404);
    s.written().await;

    let told = s.listed(&s.coordinator, "").await;
    let seen: std::collections::BTreeMap<(&str, &str), i64> = told
        .iter()
        .map(|item| {
            assert_eq!(item["worker_id"], s.worker.worker_id);
            assert_eq!(item["unit_id"], s.world.unit("S1-B1"));
            let (operation, code) = (
                item["operation"].as_str().unwrap(),
                item["code"].as_str().unwrap(),
            );
            ((operation, code), item["count"].as_i64().unwrap())
        })
        .collect();
    let wanted = [
        (("GET /v1/units/{id}", "not_found"), 5),
        (("GET /v1/visits/{id}", "not_found"), 1),
        (("GET /v1/workers", "forbidden"), 1),
    ];
    assert_eq!(seen, wanted.into());
    let units = told
        .iter()
        .find(|item| item["operation"] == "GET /v1/units/{id}")
        .unwrap();
    assert_eq!(units["asked_unit_ids"], json!([foreign, 999_999]));

    let above = s.world.actor(&s.app, Role::StateAdmin, "S1").await;
    assert_eq!(s.listed(&above, "").await.len(), 3);
    assert_eq!(
        s.listed(&above, &format!("?worker_id={}", s.worker.worker_id))
            .await
            .len(),
        3
    );
    assert_eq!(s.listed(&above, "?worker_id=1000000").await.len(), 0);
    assert_eq!(s.listed(&above, "?to=2026-11-23T00:00:00Z").await.len(), 0);
    assert_eq!(
        s.listed(&above, "?from=2026-11-23T00:00:00Z&limit=2").await.len(),
        2
    );
    for (role, unit) in [(Role::MandalCoordinator, "S1-M2"), (Role::StateAdmin, "S2")] {
        let elsewhere = s.world.actor(&s.app, role, unit).await;
        assert_eq!(s.listed(&elsewhere, "").await, Vec::<Value>::new(), "{unit}");
        let under = format!("/v1/refusals?under={}", s.world.unit("S1-B1"));
        elsewhere.client.get(&under).await.expect(404);
    }
    s.worker.client.get("/v1/refusals").await.expect(403);
}

#[actix_web::test]
async fn pages_of_refusals_go_on_where_the_last_one_ended() {
    let s = scene().await;
    for path in [
        "/v1/workers",
        "/v1/feed",
        "/v1/webhooks",
        "/v1/services",
        "/v1/refusals",
    ] {
        s.worker.client.get(path).await.expect(403);
    }
    s.written().await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/refusals?limit=2{cursor}");
        let page = s.coordinator.client.get(&path).await.expect(200).json;
        let items = page["items"].as_array().unwrap();
        seen.extend(
            items
                .iter()
                .map(|item| item["operation"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    seen.sort();
    let wanted = [
        "GET /v1/feed",
        "GET /v1/refusals",
        "GET /v1/services",
        "GET /v1/webhooks",
        "GET /v1/workers",
    ];
    assert_eq!(seen, wanted);
}

#[actix_web::test]
async fn what_a_body_and_the_items_of_a_batch_ask_for_is_counted_too() {
    let s = scene().await;
    let campaign = s.world.campaign("IN").await;
    let foreign = s.world.unit("S2-B1");
    let sent = [
        visit(&s.world, campaign, "S2-B1"),
        visit(&s.world, campaign, "S1-B1"),
    ];
    let batch = json!({"visits": sent});
    s.worker.client.post("/v1/visits/batch", batch).await.expect(200);
    let one = visit(&s.world, campaign, "S2-B1");
    assert_eq!(s.worker.client.post("/v1/visits", one).await.status, 422);
    let verdicts = json!({"reviews": [{"visit_id": Uuid::new_v4(), "verdict": "verified"}]});
    s.coordinator
        .client
        .post("/v1/reviews", verdicts)
        .await
        .expect(200);
    s.written().await;
    let admin = s.world.actor(&s.app, Role::StateAdmin, "S1").await;
    let mut told: Vec<(String, i64, Value)> = s
        .listed(&admin, "")
        .await
        .into_iter()
        .map(|item| {
            let operation = item["operation"].as_str().unwrap().to_owned();
            (
                operation,
                item["count"].as_i64().unwrap(),
                item["asked_unit_ids"].clone(),
            )
        })
        .collect();
    told.sort_by(|one, other| one.0.cmp(&other.0));
    let wanted = [
        ("POST /v1/reviews".to_owned(), 1, json!([])),
        ("POST /v1/visits".to_owned(), 1, json!([foreign])),
        ("POST /v1/visits/batch".to_owned(), 1, json!([foreign])),
    ];
    assert_eq!(told, wanted);
}

#[actix_web::test]
async fn refusals_are_let_go_after_four_hundred_days() {
    let s = scene().await;
    s.worker.client.get("/v1/workers").await.expect(403);
    s.written().await;
    let rows = "SELECT count(*) FROM refusals WHERE operation = 'GET /v1/workers'";
    let count = async || -> i64 { s.world.db.query_one(rows, &[]).await.unwrap().get(0) };
    assert_eq!(count().await, 1);
    s.app.clock.advance(chrono::TimeDelta::days(401));
    let again = s.world.sign_in(&s.app, s.worker.worker_id).await;
    again.client.get("/v1/feed").await.expect(403);
    s.written().await;
    assert_eq!(count().await, 0);
}
