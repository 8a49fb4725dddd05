//! What a phone learns at its sync of the journal's word for its visits, and of their being late.

use chrono::TimeDelta;
use sampark::access::Role;
use sampark::journal::seal::sign_heads;
use serde_json::{Value, json};

use crate::support::{Actor, Phone, Settings, TestApp, World};
use crate::visits::visit;

struct Scene {
    app: TestApp,
    world: World,
    campaign: i32,
    worker: Actor,
}

async fn scene() -> Scene {
    let app = TestApp::start_with(Settings {
        poster: false,
        ..Settings::default()
    })
    .await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    Scene {
        app,
        world,
        campaign,
        worker,
    }
}

impl Scene {
    async fn record(&self, by: &Actor, booth: &str) -> Value {
        let sent = visit(&self.world, self.campaign, booth);
        by.client.post("/v1/visits", sent.clone()).await.expect(201);
        sent["id"].clone()
    }

    async fn receipts(&self, visits: &[&Value]) -> Vec<Value> {
        let sent = json!({"receipts": visits});
        let page = self.worker.client.post("/v1/sync", sent).await.expect(200).json;
        page["receipts"].as_array().unwrap().clone()
    }
}

#[actix_web::test]
async fn a_phone_that_asks_is_given_the_receipts_of_its_own_visits() {
    let s = scene().await;
    let own = s.record(&s.worker, "S1-B1").await;
    let other = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await;
    let foreign = s.record(&other, "S1-B1").await;
    let waiting = s.receipts(&[&own, &foreign]).await;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert_eq!(
        (&waiting[0]["visit_id"], &waiting[0]["number"]),
        (&own, &Value::Null)
    );
    s.app.posted().await;
    s.app.clock.advance(TimeDelta::seconds(61));
    sign_heads(&s.app.state.db, &s.app.state.seals, s.app.clock.now(), true)
        .await
        .unwrap();
    let sealed = s.receipts(&[&own]).await;
    assert_eq!(sealed[0]["number"], 1);
    let path = format!("/v1/visits/{}/receipt", own.as_str().unwrap());
    let mut alone = s.worker.client.get(&path).await.expect(200).json;
    // Those of the visits beside it are had one by one.
    alone.as_object_mut().unwrap().remove("commitments");
    assert_eq!(sealed[0], alone);
    assert_eq!(sealed[0]["head"]["size"], 2);
    let many: Vec<Value> = (0..101).map(|_| own.clone()).collect();
    let sent = json!({"receipts": many});
    let refused = s.worker.client.post("/v1/sync", sent).await.expect(422);
    assert_eq!(refused.json["errors"][0]["pointer"], "/receipts");
}

#[actix_web::test]
async fn a_phone_is_told_which_of_its_visits_came_late() {
    let s = scene().await;
    let coordinator = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M1")
        .await
        .client;
    let path = format!("/v1/units/{}/sign-offs", s.world.unit("S1-M1"));
    coordinator
        .post(&path, json!({"week": "2026-W47"}))
        .await
        .expect(201);
    s.app.clock.advance(TimeDelta::minutes(1));
    let mut late = visit(&s.world, s.campaign, "S1-B1");
    late["visited_at"] = json!("2026-11-20T11:00:00+05:30");
    s.worker.client.post("/v1/visits", late.clone()).await.expect(201);
    let punctual = s.record(&s.worker, "S1-B1").await;
    let phone = Phone::fresh(&s.worker.client).await;
    let shown = |id: &Value| phone.of("visits")[id.as_str().unwrap()]["late"].clone();
    assert_eq!(
        (shown(&late["id"]), shown(&punctual)),
        (json!(true), json!(false))
    );
}
