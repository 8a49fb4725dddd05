//! Undo in bulk: exact at each step, once whatever is killed or doubled, and taken back without a trace in the figures.

mod killed;

use chrono::TimeDelta;
use sampark::access::{KeyRing, Role};
use sampark::features::bulk_voids::take_step;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::exactness::assert_exact;
use crate::support::{Actor, Phone, Settings, TestApp, World};
use crate::visits::visit;

struct Scene {
    app: TestApp,
    world: World,
    campaign: i32,
    worker: Actor,
    coordinator: Actor,
    doors: Vec<Uuid>,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await;
    let mut doors = Vec::new();
    for _ in 0..30 {
        doors.push(world.household("S1-B1").await);
    }
    Scene {
        app,
        world,
        campaign,
        worker,
        coordinator,
        doors,
    }
}

impl Scene {
    /// Visits of booth S1-B1 on four days, two of three at a door, uploaded at once: what was sent.
    async fn upload(&self, by: &Actor, count: usize) -> Vec<Value> {
        let visits: Vec<Value> = (0..count).map(|n| self.sent(n)).collect();
        let answer = by
            .client
            .post("/v1/visits/batch", json!({ "visits": visits }))
            .await
            .expect(200)
            .json;
        for result in answer["results"].as_array().unwrap() {
            assert_eq!(result["status"], "created", "{result}");
        }
        visits
    }

    fn sent(&self, n: usize) -> Value {
        let mut sent = visit(&self.world, self.campaign, "S1-B1");
        sent["visited_at"] = json!(format!("2026-11-{}T11:00:00+05:30", 20 + n % 4));
        if !n.is_multiple_of(3) {
            sent["household_id"] = json!(self.doors[n % self.doors.len()]);
        }
        sent
    }

    async fn order(&self, body: Value) -> Value {
        let path = self.orders("S1-M1");
        self.coordinator.client.post(&path, body).await.expect(201).json
    }

    async fn plan(&self, body: Value) -> Value {
        let path = format!("{}?dry_run=true", self.orders("S1-M1"));
        self.coordinator.client.post(&path, body).await.expect(200).json
    }

    fn orders(&self, unit: &str) -> String {
        format!("/v1/units/{}/bulk-voids", self.world.unit(unit))
    }

    fn by_worker(&self) -> Value {
        json!({"worker_id": self.worker.worker_id, "reason": "Entered at home"})
    }

    async fn get(&self, order: &Value) -> Value {
        let path = path_of(order);
        self.coordinator.client.get(&path).await.expect(200).json
    }

    async fn step(&self) -> bool {
        take_step(&self.app.state.db, &self.app.clock).await.unwrap()
    }

    async fn totals(&self) -> Value {
        let path = format!("/v1/units/{}/totals", self.world.unit("S1-M1"));
        self.coordinator.client.get(&path).await.expect(200).json["totals"].clone()
    }

    /// Live totals are those of a recount, by our own recount and by that of the program.
    async fn exact(&self, after: &str) {
        assert_exact(&self.world.db, after).await;
        let path = format!("/v1/units/{}/totals/check", self.world.unit("S1-M1"));
        let check = self.coordinator.client.get(&path).await.expect(200).json;
        assert_eq!(check["equal"], true, "{after}: {check}");
    }

    /// How many visits are voided, and the highest version that one has.
    async fn voided(&self) -> (i64, i32) {
        let sql = "SELECT count(*) FILTER (WHERE voided_at IS NOT NULL), max(version) FROM visits";
        let row = self.world.db.query_one(sql, &[]).await.unwrap();
        (row.get(0), row.get(1))
    }
}

fn path_of(order: &Value) -> String {
    format!("/v1/bulk-voids/{}", order["id"])
}

fn why() -> Value {
    json!({"reason": "It was the other phone"})
}

#[actix_web::test]
async fn a_workers_visits_leave_in_steps_and_the_totals_are_exact_after_each() {
    let s = scene().await;
    s.upload(&s.worker, 450).await;
    let other = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await;
    s.upload(&other, 10).await;
    let mut phone = Phone::fresh(&s.worker.client).await;
    let before = s.totals().await;
    let plan = s.plan(s.by_worker()).await;
    assert_eq!(plan["visits"], 450);
    assert_eq!(s.totals().await, before, "a dry run does nothing");
    assert_eq!(crate::workers::journalled(&s.world, "bulk_void.start").await, 0);

    let order = s.order(s.by_worker()).await;
    assert_eq!(
        (&order["status"], &order["visits"]),
        (&json!("running"), &json!(450))
    );
    assert_eq!(s.totals().await, before, "nothing is done yet");
    for (n, voided) in [200, 400, 450].into_iter().enumerate() {
        assert!(s.step().await);
        s.exact(&format!("step {n}")).await;
        let now = s.get(&order).await;
        assert_eq!((&now["voided"], &now["passed_over"]), (&json!(voided), &json!(0)));
        assert_eq!(s.totals().await["visits"], 460 - voided);
        assert_eq!(now["status"], if voided == 450 { "done" } else { "running" });
    }
    assert!(!s.step().await, "nothing is left to do");
    let after = s.totals().await;
    let left = before["doors_reached"].as_i64().unwrap() - after["doors_reached"].as_i64().unwrap();
    assert_eq!(plan["doors"], left, "the plan told the doors");
    assert!(left > 0 && after["doors_reached"].as_i64().unwrap() > 0);
    assert_eq!(s.voided().await, (450, 2));
    // Three steps, three entries; by whom and where.
    let journalled: Vec<(i32, i32)> = s
        .world
        .db
        .query(
            "SELECT actor_id, cardinality(subject_uuids) FROM journal WHERE action = 'visit.void'
             UNION ALL SELECT actor_id, cardinality(subject_uuids) FROM journal_inbox WHERE action = 'visit.void'",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let by = s.coordinator.worker_id;
    let mut sizes: Vec<i32> = journalled.iter().map(|(_, size)| *size).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 200, 200]);
    assert!(journalled.iter().all(|(actor, _)| *actor == by));
    // The phone learns of it, and so does whoever follows the feed.
    phone.sync(&s.worker.client, 2_000).await;
    phone.assert_holds_the_same(&Phone::fresh(&s.worker.client).await, "the bulk void");
    let shown = phone.of("visits");
    assert_eq!(shown.len(), 450);
    assert!(shown.values().all(|visit| visit["voided"] == true));
    s.app.posted().await;
    let feed = s
        .coordinator
        .client
        .get("/v1/feed?limit=500")
        .await
        .expect(200)
        .json;
    let told = feed["items"].as_array().unwrap().iter();
    assert_eq!(told.filter(|item| item["action"] == "visit.void").count(), 3);
}

#[actix_web::test]
async fn what_the_phone_sends_again_stays_voided() {
    let s = scene().await;
    let sent = s.upload(&s.worker, 20).await;
    s.order(s.by_worker()).await;
    assert!(s.step().await);
    let before = s.totals().await;
    let answer = s
        .worker
        .client
        .post("/v1/visits/batch", json!({ "visits": sent }))
        .await
        .expect(200)
        .json;
    for result in answer["results"].as_array().unwrap() {
        assert_eq!(
            (&result["status"], &result["version"]),
            (&json!("duplicate"), &json!(2))
        );
    }
    assert_eq!(s.voided().await, (20, 2));
    assert_eq!(s.totals().await, before);
    s.exact("a resend").await;
}

#[actix_web::test]
async fn an_order_taken_back_leaves_the_figures_as_they_were() {
    let s = scene().await;
    let sent = s.upload(&s.worker, 230).await;
    let path = |n: usize| format!("/v1/visits/{}", sent[n]["id"].as_str().unwrap());
    let judged = json!({"verdict": "rejected", "reason": "Nobody there"});
    s.coordinator
        .client
        .post(&format!("{}/review", path(0)), judged)
        .await
        .expect(200);
    let order = s.order(s.by_worker()).await;
    // Voided by hand before its turn: passed over, and not brought back either.
    s.coordinator
        .client
        .post(&format!("{}/void", path(1)), json!({"reason": "Wrong door"}))
        .await
        .expect(200);
    let before = s.totals().await;
    let early = s
        .coordinator
        .client
        .post(&format!("{}/take-back", path_of(&order)), why())
        .await;
    assert_eq!(early.expect(409).json["code"], "conflict");
    while s.step().await {}
    let done = s.get(&order).await;
    assert_eq!((&done["voided"], &done["passed_over"]), (&json!(229), &json!(1)));
    assert_eq!(s.totals().await["visits"], 0);
    // Somebody changes one since.
    let touched: Uuid = sent[2]["id"].as_str().unwrap().parse().unwrap();
    s.world
        .db
        .execute(
            "UPDATE visits SET version = version + 1 WHERE id = $1",
            &[&touched],
        )
        .await
        .unwrap();
    let taken = s
        .coordinator
        .client
        .post(&format!("{}/take-back", path_of(&order)), why())
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&taken["status"], &taken["take_back_until"]),
        (&json!("taking_back"), &Value::Null)
    );
    assert!(s.step().await);
    s.exact("the first step back").await;
    while s.step().await {}
    s.exact("all steps back").await;
    let back = s.get(&order).await;
    assert_eq!(back["status"], "taken_back");
    assert_eq!(
        (&back["brought_back"], &back["left_voided"]),
        (&json!(228), &json!(1))
    );
    let read = async |n: usize| s.coordinator.client.get(&path(n)).await.expect(200).json;
    assert_eq!(
        (&read(0).await["review"], &read(0).await["voided"]),
        (&json!("rejected"), &json!(false))
    );
    assert_eq!(read(1).await["void_reason"], "Wrong door");
    assert_eq!(read(2).await["voided"], true);
    let third = read(3).await;
    assert_eq!(
        (&third["voided"], &third["void_reason"], &third["version"]),
        (&json!(false), &Value::Null, &json!(3))
    );
    // All but the one that was changed count as they did.
    let after = s.totals().await;
    assert_eq!(
        after["visits"].as_i64().unwrap(),
        before["visits"].as_i64().unwrap() - 1
    );
    assert_eq!(after["rejected"], before["rejected"]);
    let again = s
        .coordinator
        .client
        .post(&format!("{}/take-back", path_of(&order)), why())
        .await;
    again.expect(409);
    assert_eq!(crate::workers::journalled(&s.world, "visit.restore").await, 2);
}

#[actix_web::test]
async fn a_cancelled_order_stops_where_it_is_and_can_be_taken_back() {
    let s = scene().await;
    s.upload(&s.worker, 300).await;
    let before = s.totals().await;
    let order = s.order(s.by_worker()).await;
    assert!(s.step().await);
    let path = format!("{}/cancel", path_of(&order));
    let cancelled = s.coordinator.client.post(&path, json!({})).await.expect(200).json;
    assert_eq!(
        (&cancelled["status"], &cancelled["voided"]),
        (&json!("cancelled"), &json!(200))
    );
    assert!(!s.step().await);
    s.exact("cancelled").await;
    assert_eq!(s.voided().await.0, 200);
    s.coordinator.client.post(&path, json!({})).await.expect(409);
    s.coordinator
        .client
        .post(&format!("{}/take-back", path_of(&order)), why())
        .await
        .expect(200);
    while s.step().await {}
    assert_eq!(s.totals().await, before);
    assert_eq!(s.get(&order).await["brought_back"], 200);
    s.exact("taken back").await;
}

#[actix_web::test]
async fn after_thirty_days_it_stays() {
    let s = scene().await;
    s.upload(&s.worker, 3).await;
    let order = s.order(s.by_worker()).await;
    while s.step().await {}
    let until = s.get(&order).await["take_back_until"].clone();
    assert_eq!(until, "2026-12-23T06:30:00Z");
    s.app.clock.advance(TimeDelta::days(30) + TimeDelta::seconds(1));
    let client = s.world.sign_in(&s.app, s.coordinator.worker_id).await.client;
    client
        .post(&format!("{}/take-back", path_of(&order)), why())
        .await
        .expect(409);
}

#[actix_web::test]
async fn two_orders_over_the_same_visits_at_once_void_each_once() {
    let s = scene().await;
    let beside = TestApp::start_on(
        s.app.database.clone(),
        s.app.clock.clone(),
        KeyRing::ephemeral().unwrap(),
        Settings {
            poster: false,
            ..Settings::default()
        },
    );
    s.upload(&s.worker, 500).await;
    s.upload(&s.worker, 500).await;
    let first = s.order(s.by_worker()).await;
    let period = json!({"from": "2026-11-20", "to": "2026-11-23", "reason": "All of it"});
    let second = s.order(period).await;
    let run = async |app: &TestApp| while take_step(&app.state.db, &app.clock).await.unwrap() {};
    tokio::join!(run(&s.app), run(&beside));
    while s.step().await {}
    let (first, second) = (s.get(&first).await, s.get(&second).await);
    let sum = |name: &str| first[name].as_i64().unwrap() + second[name].as_i64().unwrap();
    assert_eq!((sum("voided"), sum("passed_over")), (1000, 1000));
    assert_eq!(
        (&first["status"], &second["status"]),
        (&json!("done"), &json!("done"))
    );
    assert_eq!(s.voided().await, (1000, 2));
    s.exact("both").await;
    // Each brings back its own and nothing else.
    let own = first["voided"].as_i64().unwrap();
    s.coordinator
        .client
        .post(&format!("{}/take-back", path_of(&first)), why())
        .await
        .expect(200);
    while s.step().await {}
    assert_eq!(s.totals().await["visits"], own);
    s.exact("one taken back").await;
}

#[actix_web::test]
async fn an_upload_a_phone_and_a_period_are_told_apart() {
    let s = scene().await;
    let second_phone = s.world.sign_in(&s.app, s.worker.worker_id).await;
    s.upload(&s.worker, 4).await;
    s.app.clock.advance(TimeDelta::minutes(1));
    let last = s.upload(&s.worker, 8).await;
    s.upload(&second_phone, 16).await;
    let shown = s
        .coordinator
        .client
        .get(&format!("/v1/visits/{}", last[0]["id"].as_str().unwrap()))
        .await
        .expect(200)
        .json;
    let count = async |filter: Value| {
        let mut body = filter;
        body["reason"] = json!("Made up");
        s.plan(body).await["visits"].as_i64().unwrap()
    };
    let phone = s.worker.device_id;
    assert_eq!(count(json!({ "device_id": phone })).await, 12);
    let upload = json!({"device_id": phone, "received_at": shown["received_at"]});
    assert_eq!(count(upload.clone()).await, 8);
    assert_eq!(count(json!({"worker_id": s.worker.worker_id})).await, 28);
    assert_eq!(count(json!({"from": "2026-11-20", "to": "2026-11-21"})).await, 14);
    assert_eq!(
        count(json!({"worker_id": s.worker.worker_id, "campaign_id": 999})).await,
        0
    );
    let mut body = upload;
    body["reason"] = json!("The phone was set up wrongly");
    s.order(body).await;
    while s.step().await {}
    assert_eq!(s.voided().await.0, 8);
    s.exact("an upload").await;
}

#[actix_web::test]
async fn what_is_asked_for_too_widely_or_finds_nothing_is_refused() {
    let s = scene().await;
    let refused = async |body: Value| {
        let answer = s
            .coordinator
            .client
            .post(&s.orders("S1-M1"), body)
            .await
            .expect(422);
        answer.json["errors"][0]["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused(json!({"reason": "All"})).await, "too_wide");
    assert_eq!(
        refused(json!({"from": "2026-11-20", "reason": "All"})).await,
        "too_wide"
    );
    let at = json!({"worker_id": 1, "received_at": "2026-11-23T06:30:00Z", "reason": "All"});
    assert_eq!(refused(at).await, "missing_field");
    let backwards = json!({"from": "2026-11-21", "to": "2026-11-20", "reason": "All"});
    assert_eq!(refused(backwards).await, "before_from");
    assert_eq!(
        refused(json!({"worker_id": 1, "reason": "Call 9812345678"})).await,
        "personal_number"
    );
    assert_eq!(refused(s.by_worker()).await, "nothing_found");
}

#[actix_web::test]
async fn who_may_not_void_there_orders_nothing_and_a_resend_is_one_order() {
    let s = scene().await;
    s.upload(&s.worker, 2).await;
    let elsewhere = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M2")
        .await
        .client;
    let auditor = s.world.actor(&s.app, Role::Auditor, "S1-M1").await.client;
    let path = s.orders("S1-M1");
    s.worker
        .client
        .post(&s.orders("S1-B1"), s.by_worker())
        .await
        .expect(403);
    elsewhere.post(&path, s.by_worker()).await.expect(404);
    auditor.post(&path, s.by_worker()).await.expect(403);
    auditor
        .post(&format!("{path}?dry_run=true"), s.by_worker())
        .await
        .expect(403);
    let keyed = s.coordinator.client.header("Idempotency-Key", "once");
    let plan = keyed
        .post(&format!("{path}?dry_run=true"), s.by_worker())
        .await
        .expect(200);
    assert_eq!(plan.json["visits"], 2);
    let first = keyed.post(&path, s.by_worker()).await.expect(201);
    let again = keyed.post(&path, s.by_worker()).await.expect(201);
    assert_eq!(first.json, again.json);
    let order = first.json;
    let list = auditor.get(&path).await.expect(200).json;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let shown = auditor.get(&path_of(&order)).await.expect(200);
    let tag = shown.header("etag").unwrap().to_owned();
    auditor
        .header("If-None-Match", &tag)
        .get(&path_of(&order))
        .await
        .expect(304);
    assert!(s.step().await);
    auditor
        .header("If-None-Match", &tag)
        .get(&path_of(&order))
        .await
        .expect(200);
    s.worker.client.get(&path_of(&order)).await.expect(404);
    elsewhere.get(&path_of(&order)).await.expect(404);
    auditor
        .post(&format!("{}/take-back", path_of(&order)), why())
        .await
        .expect(403);
}

#[actix_web::test]
async fn ones_own_visits_of_a_signed_week_stay() {
    let s = scene().await;
    // The coordinator's own: of last week, which is over, and of this one.
    let mut last_week = s.sent(0);
    last_week["visited_at"] = json!("2026-11-20T11:00:00+05:30");
    let mut this_week = s.sent(0);
    this_week["visited_at"] = json!("2026-11-23T11:00:00+05:30");
    for sent in [last_week, this_week] {
        s.coordinator.client.post("/v1/visits", sent).await.expect(201);
    }
    s.upload(&s.worker, 4).await;
    let period = json!({"from": "2026-11-16", "to": "2026-11-23", "reason": "All made up"});
    let order = s.order(period.clone()).await;
    assert_eq!(order["visits"], 6, "no week is signed yet");
    let path = format!("/v1/units/{}/sign-offs", s.world.unit("S1-M1"));
    let week = json!({"week": "2026-W47"});
    s.coordinator.client.post(&path, week).await.expect(201);
    let plan = s.plan(period).await;
    assert_eq!((&plan["visits"], &plan["closed"]), (&json!(5), &json!(1)));
    while s.step().await {}
    let done = s.get(&order).await;
    assert_eq!((&done["voided"], &done["passed_over"]), (&json!(5), &json!(1)));
    assert_eq!(s.totals().await["visits"], 1);
    s.exact("a signed week").await;
}
