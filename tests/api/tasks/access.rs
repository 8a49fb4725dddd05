//! What is refused, and who sees what.

use sampark::access::Role;
use serde_json::{Value, json};

use super::{report, scene, task};

#[actix_web::test]
async fn what_cannot_be_a_task_or_a_report_is_refused_field_by_field() {
    let s = scene().await;
    let unit = s.world.unit("S1");
    let state = s.actor(Role::StateAdmin, "S1").await;
    let with = |name: &str, value: Value| {
        let mut new = task(unit, "booth");
        new[name] = value;
        new
    };
    let foreign = s.world.worker(&s.app, "S2").await.worker_id;
    let one = |owner: i32, level: &str| {
        let mut new = task(unit, level);
        new["owner_id"] = json!(owner);
        new
    };
    let measured = |measure: Value| {
        let mut new = with("by", json!("measure"));
        new["measure"] = measure;
        new
    };
    for (body, pointer) in [
        (with("unit_id", json!(s.world.unit("S2"))), "/unit_id"),
        (with("level", json!("nation")), "/level"),
        (with("due_on", json!("2026-11-22")), "/due_on"),
        (with("title", json!(" ")), "/title"),
        (with("instructions", json!("Call 98123 45678")), "/instructions"),
        (with("target_set", json!(99)), "/target_set"),
        (with("part_of", json!(99)), "/part_of"),
        (with("by", json!("measure")), "/measure"),
        (
            with("measure", json!({"indicator": "visits_per_booth", "value": 10})),
            "/measure",
        ),
        (measured(json!({"indicator": "nothing"})), "/measure/indicator"),
        (measured(json!({"indicator": "sign_offs_share"})), "/level"),
        (
            measured(json!({"indicator": "contact_rate", "value": 101})),
            "/measure/value",
        ),
        (
            measured(json!({"indicator": "contact_rate", "campaign_id": 99})),
            "/measure/campaign_id",
        ),
        (one(foreign, "state"), "/owner_id"),
        (one(s.world.new_worker("S1").await, "booth"), "/owner_id"),
    ] {
        let answer = state.post("/v1/tasks", body).await.expect(422);
        assert_eq!(answer.json["errors"][0]["pointer"], pointer);
    }
    state
        .post("/v1/tasks", one(s.world.new_worker("S1").await, "state"))
        .await
        .expect(201);
    let booth = s.world.unit("S1-B1");
    for (evidence, name, value) in [
        ("note", "note", json!("Minutes signed")),
        ("count", "count", json!(11)),
        ("photo", "photo", json!("album/17")),
    ] {
        let id = s.set(with("evidence", json!(evidence))).await;
        let mut sent = report(&id, booth, "done");
        let missing = s.admin.post("/v1/task-reports", sent.clone()).await.expect(422);
        assert_eq!(missing.json["errors"][0]["pointer"], format!("/{name}"));
        sent[name] = value.clone();
        let kept = s.admin.post("/v1/task-reports", sent).await.expect(201).json;
        assert_eq!(kept["report"][name], value);
    }
    let id = s.set(task(unit, "booth")).await;
    for (name, value) in [
        ("progress", json!(101)),
        ("count", json!(-1)),
        ("note", json!("98123 45678")),
        ("task_id", json!(9999)),
        ("unit_id", json!(s.world.unit("S1-M1"))),
        ("status", json!("verified")),
    ] {
        let mut sent = report(&id, booth, "accepted");
        sent[name] = value;
        s.admin.post("/v1/task-reports", sent).await.expect(422);
    }
}

#[actix_web::test]
async fn each_sees_the_tasks_and_units_in_his_scope() {
    let s = scene().await;
    let id = s.set(task(s.world.unit("S1"), "booth")).await;
    let own = s.set(task(s.world.unit("S1-M2"), "booth")).await;
    let worker = s.actor(Role::BoothWorker, "S1-B1").await;
    let listed = worker.get("/v1/tasks").await.expect(200).json;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    worker.get(&format!("/v1/tasks/{own}")).await.expect(404);
    let units = worker
        .get(&format!("/v1/tasks/{id}/units"))
        .await
        .expect(200)
        .json;
    assert_eq!(units["items"].as_array().unwrap().len(), 1);
    assert_eq!(units["items"][0]["code"], "S1-B1");
    let neighbour = s.world.unit("S1-B2");
    worker
        .get(&format!("/v1/tasks/{id}/units/{neighbour}"))
        .await
        .expect(404);
    worker
        .post("/v1/task-reports", report(&id, neighbour, "done"))
        .await
        .expect(422);
    worker
        .post("/v1/tasks", task(s.world.unit("S1-B1"), "booth"))
        .await
        .expect(403);
    worker
        .header("If-Match", "\"1\"")
        .patch(&format!("/v1/tasks/{id}"), json!({"title": "X", "reason": "Y"}))
        .await
        .expect(403);
    let other = s.actor(Role::StateAdmin, "S2").await;
    other.get(&format!("/v1/tasks/{id}")).await.expect(404);
    let auditor = s.actor(Role::Auditor, "S1-M1").await;
    auditor
        .post("/v1/task-reports", report(&id, s.world.unit("S1-B1"), "done"))
        .await
        .expect(403);
    // The nation's task is for every state.
    let national = s.set(task(s.world.unit("IN"), "state")).await;
    assert_eq!(
        other
            .get(&format!("/v1/tasks/{national}/units"))
            .await
            .expect(200)
            .json["items"][0]["code"],
        "S2"
    );
    // Who has handed over his booth still uploads what he did while it was his.
    s.world
        .db
        .execute(
            "UPDATE grants SET valid_to = '2026-11-22' WHERE role = 'booth_worker'",
            &[],
        )
        .await
        .unwrap();
    let past = s.world.worker(&s.app, "S1-B3").await;
    s.world
        .grant(
            past.worker_id,
            Role::BoothWorker,
            "S1-B3",
            "2026-11-01",
            Some("2026-11-22"),
        )
        .await;
    let mut sent = report(&id, s.world.unit("S1-B3"), "done");
    past.client
        .post("/v1/task-reports", sent.clone())
        .await
        .expect(422);
    sent["reported_at"] = json!("2026-11-22T10:00:00+05:30");
    past.client.post("/v1/task-reports", sent).await.expect(201);
}

#[actix_web::test]
async fn those_below_hear_of_a_task_in_the_feed() {
    let s = scene().await;
    let id = s.set(task(s.world.unit("S1"), "booth")).await;
    s.app.posted().await;
    let coordinator = s.actor(Role::MandalCoordinator, "S1-M1").await;
    let feed = coordinator.get("/v1/feed").await.expect(200).json;
    let told = feed["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["kind"] == "task")
        .unwrap();
    assert_eq!(told["subjects"][0]["id"], id);
    assert_eq!(told["subjects"][0]["value"]["title"], "Form a committee");
    let other = s.actor(Role::MandalCoordinator, "S2-M1").await;
    let feed = other.get("/v1/feed").await.expect(200).json;
    assert!(
        feed["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["kind"] != "task")
    );
}
