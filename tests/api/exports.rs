//! Exports of visits leave a trace: who took what away, when, and how much of it.

use sampark::access::Role;
use serde_json::{Value, json};

use crate::support::{Actor, Settings, TestApp, World};
use crate::visits::visit;

struct Scene {
    app: TestApp,
    world: World,
    coordinator: Actor,
}

/// Three visits in two booths of a mandal, one in another mandal.
async fn scene() -> Scene {
    let app = TestApp::start_with(Settings {
        poster: false,
        ..Settings::default()
    })
    .await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    for booth in ["S1-B1", "S1-B1", "S1-B2", "S1-B4"] {
        let worker = world.actor(&app, Role::BoothWorker, booth).await;
        let sent = visit(&world, campaign, booth);
        worker.client.post("/v1/visits", sent).await.expect(201);
    }
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await;
    Scene {
        app,
        world,
        coordinator,
    }
}

impl Scene {
    async fn export(&self, query: &str) {
        let path = format!("/v1/visits/export{query}");
        self.coordinator.client.get(&path).await.expect(200);
    }

    async fn exports(&self, by: &Actor, query: &str) -> Vec<Value> {
        let path = format!("/v1/visit-exports{query}");
        let list = by.client.get(&path).await.expect(200).json;
        list["items"].as_array().unwrap().clone()
    }
}

#[actix_web::test]
async fn an_export_tells_who_took_what_and_how_much() {
    let s = scene().await;
    s.export("").await;
    let booth = s.world.unit("S1-B1");
    s.export(&format!("?booth_id={booth}&outcome=met&format=ndjson"))
        .await;
    let found = s.exports(&s.coordinator, "").await;
    assert_eq!(found.len(), 2);
    let (of_booth, of_mandal) = (&found[0], &found[1]);
    assert_eq!(of_booth["exported_by"], s.coordinator.worker_id);
    assert_eq!(of_booth["unit_ids"], json!([booth]));
    assert_eq!(
        of_booth["filter"],
        json!({"booth_id": booth, "outcome": "met", "format": "ndjson"})
    );
    assert_eq!(of_booth["visits"], 2);
    assert_eq!(of_mandal["unit_ids"], json!([s.world.unit("S1-M1")]));
    assert_eq!(of_mandal["filter"], json!({"format": "csv"}));
    assert_eq!(of_mandal["visits"], 3);
    assert!(of_mandal["ended_at"].is_string());
    // The journal tells it as well: that it began, and that it was given whole.
    s.app.posted().await;
    let path = format!("/v1/journal?under={booth}&subject=visit_export");
    let told = s.coordinator.client.get(&path).await.expect(200).json;
    let told: Vec<&str> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(told, ["visit.export_end", "visit.export"]);
}

#[actix_web::test]
async fn an_export_is_written_down_before_anything_is_given_and_what_is_refused_is_none() {
    let s = scene().await;
    let path = format!("/v1/visits/export?under={}", s.world.unit("S1-M2"));
    s.coordinator.client.get(&path).await.expect(404);
    let worker = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await;
    worker.client.get("/v1/visits/export").await.expect(403);
    assert!(s.exports(&s.coordinator, "").await.is_empty());
    // Where its beginning cannot be written down, nothing is given.
    s.world
        .db
        .batch_execute("ALTER TABLE visit_exports ADD CONSTRAINT full_up CHECK (false)")
        .await
        .unwrap();
    let answer = s.coordinator.client.get("/v1/visits/export").await;
    assert_eq!(answer.status, 500);
    assert!(!answer.text().contains("S1-B1"), "{}", answer.text());
}

#[actix_web::test]
async fn exports_are_seen_by_whoever_reads_the_journal_there_and_by_nobody_else() {
    let s = scene().await;
    s.export("").await;
    s.export(&format!("?booth_id={}", s.world.unit("S1-B2"))).await;
    let neighbour = s.world.actor(&s.app, Role::MandalCoordinator, "S1-M2").await;
    assert!(s.exports(&neighbour, "").await.is_empty());
    let above = s.world.actor(&s.app, Role::DistrictCoordinator, "S1-D1").await;
    assert_eq!(s.exports(&above, "").await.len(), 2);
    let under = format!("?under={}", s.world.unit("S1-B2"));
    assert_eq!(s.exports(&above, &under).await.len(), 1);
    let path = format!("/v1/visit-exports?under={}", s.world.unit("S1-M1"));
    neighbour.client.get(&path).await.expect(404);
    let worker = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await;
    worker.client.get("/v1/visit-exports").await.expect(403);
    let first = above
        .client
        .get("/v1/visit-exports?limit=1")
        .await
        .expect(200)
        .json;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = s.exports(&above, &format!("?limit=1&cursor={cursor}")).await;
    assert_eq!(rest.len(), 1);
    assert_ne!(first["items"][0]["id"], rest[0]["id"]);
}
