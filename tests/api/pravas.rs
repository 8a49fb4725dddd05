//! Leaders' tours: planned, reported stop by stop, covered seat by seat, reviewed.

mod changes;

use chrono::TimeDelta;
use sampark::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Client, TestApp, World, noon};

/// A tour of these days without seats or stops.
pub fn tour(unit: i32, leader: i32) -> Value {
    json!({"unit_id": unit, "leader_id": leader, "title": "Pravas", "starts_on": "2026-11-20", "ends_on": "2026-11-30"})
}

/// A stop on the day of every test.
pub fn stop(unit: i32) -> Value {
    json!({"unit_id": unit, "day": "2026-11-23", "purpose": "Meet the committee"})
}

/// A report that a stop was held.
pub fn report() -> Value {
    json!({"id": Uuid::new_v4(), "reported_at": noon(), "held": true, "attendance": 45})
}

/// What the examples speak of: tour 1 of state 2 by worker 1, with stop 1 at booth 14.
pub async fn for_examples(world: &World, admin: &Client) {
    let mut new = tour(world.unit("S1"), 1);
    new["seats"] = json!([world.unit("S1-PC1")]);
    new["stops"] = json!([stop(world.unit("S1-B1"))]);
    assert_eq!(
        admin.post("/v1/pravas", new).await.expect(201).json["pravas"]["id"],
        1
    );
}

struct Scene {
    app: TestApp,
    world: World,
    admin: Client,
    leader: i32,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    let leader = world.new_worker("S1").await;
    Scene {
        app,
        world,
        admin,
        leader,
    }
}

impl Scene {
    async fn actor(&self, role: Role, unit: &str) -> Client {
        self.world.actor(&self.app, role, unit).await.client
    }

    /// A tour through two seats with a stop in each of three booths.
    async fn plan(&self) -> Value {
        let mut new = tour(self.world.unit("S1"), self.leader);
        new["seats"] = json!([self.world.unit("S1-AC1"), self.world.unit("S1-AC2")]);
        new["stops"] = ["S1-B1", "S1-B2"].map(|code| stop(self.world.unit(code))).into();
        self.admin.post("/v1/pravas", new).await.expect(201).json
    }

    async fn get(&self, path: &str) -> Value {
        self.admin.get(path).await.expect(200).json
    }

    async fn items(&self, unit: &str, what: &str) -> Vec<Value> {
        let path = format!("/v1/units/{}/pravas/{what}", self.world.unit(unit));
        self.get(&path).await["items"].as_array().unwrap().clone()
    }
}

fn reports_of(plan: &Value, stop: usize) -> String {
    format!(
        "/v1/pravas/{}/stops/{}/reports",
        plan["pravas"]["id"], plan["stops"][stop]["id"]
    )
}

#[actix_web::test]
async fn a_tour_is_planned_reported_and_covered_by_leader_and_seat() {
    let s = scene().await;
    let plan = s.plan().await;
    assert_eq!(plan["stops"].as_array().unwrap().len(), 2);
    let seats = s.items("S1", "seats").await;
    assert_eq!(seats.len(), 2);
    assert_eq!(
        (
            &seats[0]["code"],
            &seats[0]["stops_planned"],
            &seats[0]["visited"]
        ),
        (&json!("S1-AC1"), &json!(2), &json!(false))
    );
    let due = s.items("S1", "missing-reports").await;
    assert_eq!(due.len(), 2);
    assert!(due.iter().all(|stop| stop["missing"] == false), "due today");
    let path = reports_of(&plan, 0);
    let answer = s.admin.post(&path, report()).await.expect(201).json;
    assert_eq!(
        (&answer["stop"]["held"], &answer["reports"][0]["attendance"]),
        (&json!(true), &json!(45))
    );
    let mut not_held = report();
    not_held["held"] = json!(false);
    s.admin.post(&reports_of(&plan, 1), not_held).await.expect(201);
    assert!(s.items("S1", "missing-reports").await.is_empty());
    let visited = s.items("S1", "seats?visited=true").await;
    assert_eq!(visited.len(), 1);
    assert_eq!(
        (&visited[0]["stops_made"], &visited[0]["last_made_on"]),
        (&json!(1), &json!("2026-11-23"))
    );
    let never = s.items("S1", "seats?visited=false").await;
    assert_eq!(never.len(), 1);
    assert_eq!(never[0]["code"], "S1-AC2", "given to him and never visited");
    let leaders = s.items("S1", "leaders").await;
    let wanted = json!({"leader_id": s.leader, "seats": 2, "seats_visited": 1, "stops_planned": 2, "stops_made": 1, "reports_missing": 0,
        "trace": format!("/v1/units/{}/pravas/stops?leader_id={}", s.world.unit("S1"), s.leader)});
    assert_eq!(
        s.get(wanted["trace"].as_str().unwrap()).await["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(leaders, [wanted]);
    assert!(s.items("S2", "leaders").await.is_empty());
    // From another leader's point of view there is nothing.
    assert!(s.items("S1", "seats?leader_id=9999").await.is_empty());
    assert!(s.items("S1", "leaders?from=2026-12-01").await.is_empty());
}

#[actix_web::test]
async fn a_stop_without_a_report_is_missing_from_the_next_day_on() {
    let s = scene().await;
    let plan = s.plan().await;
    let (tour, stop) = (&plan["pravas"]["id"], &plan["stops"][1]);
    let path = format!("/v1/pravas/{tour}/stops/{}", stop["id"]);
    let later = json!({"day": "2026-11-25"});
    s.admin.patch(&path, later.clone()).await.expect(428);
    let held = s.admin.header("If-Match", "\"1\"");
    assert_eq!(
        held.patch(&path, later.clone()).await.expect(200).json["version"],
        2
    );
    held.patch(&path, later).await.expect(412);
    let newest = s.admin.header("If-Match", "\"2\"");
    let outside = newest
        .patch(&path, json!({"day": "2026-12-01"}))
        .await
        .expect(422);
    assert_eq!(outside.json["errors"][0]["pointer"], "/day");
    s.admin
        .post(&format!("{path}/reports"), report())
        .await
        .expect(409);
    s.app.clock.advance(TimeDelta::days(1));
    let admin = s.actor(Role::NationalAdmin, "IN").await;
    let s = Scene { admin, ..s };
    let missing = s.items("S1-M1", "missing-reports").await;
    assert_eq!(missing.len(), 1);
    assert_eq!(
        (&missing[0]["missing"], &missing[0]["leader_id"]),
        (&json!(true), &json!(s.leader))
    );
    assert_eq!(s.items("S1", "leaders").await[0]["reports_missing"], 1);
    // Cancelled, a stop is in no figure; put back, it is.
    let first = format!("/v1/pravas/{tour}/stops/{}", plan["stops"][0]["id"]);
    let cancel = json!({"cancelled": true});
    s.admin
        .header("If-Match", "\"1\"")
        .patch(&first, cancel)
        .await
        .expect(200);
    assert!(s.items("S1", "missing-reports").await.is_empty());
    assert_eq!(s.items("S1", "leaders").await[0]["stops_planned"], 1);
    s.admin
        .header("If-Match", "\"2\"")
        .patch(&first, json!({"cancelled": false}))
        .await
        .expect(200);
    assert_eq!(s.items("S1", "leaders").await[0]["stops_planned"], 2);
    let path = format!("/v1/pravas/{tour}");
    let short = s
        .admin
        .header("If-Match", "*")
        .patch(&path, json!({"ends_on": "2026-11-24"}))
        .await
        .expect(422);
    assert_eq!(short.json["errors"][0]["code"], "stop_outside");
    let ended = json!({"cancel_reason": "Parliament sits"});
    s.admin
        .header("If-Match", "*")
        .patch(&path, ended.clone())
        .await
        .expect(200);
    s.admin
        .header("If-Match", "*")
        .patch(&path, ended)
        .await
        .expect(409);
    assert!(s.items("S1", "leaders").await.is_empty());
    assert!(s.items("S1", "missing-reports").await.is_empty());
}

#[actix_web::test]
async fn a_report_is_stored_once_and_the_latest_holds() {
    let s = scene().await;
    let plan = s.plan().await;
    let path = reports_of(&plan, 0);
    let sent = report();
    let sends = (0..8).map(|_| crate::tasks::send(&s.admin, &path, &sent));
    let mut statuses: Vec<u16> = futures_util::future::join_all(sends)
        .await
        .iter()
        .map(|a| a.status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 201]);
    let mut other = sent.clone();
    other["attendance"] = json!(46);
    s.admin.post(&path, other.clone()).await.expect(409);
    s.admin.post(&reports_of(&plan, 1), sent).await.expect(409);
    other["id"] = json!(Uuid::new_v4());
    other["held"] = json!(false);
    other["reported_at"] = json!(noon() - TimeDelta::hours(3));
    let answer = s.admin.post(&path, other).await.expect(201).json;
    assert_eq!(answer["stop"]["held"], true, "the later one holds");
    assert_eq!(answer["reports"].as_array().unwrap().len(), 2);
    let mut phone = report();
    phone["observations"] = json!("Call 98123 45678");
    let refused = s.admin.post(&path, phone).await.expect(422);
    assert_eq!(refused.json["errors"][0]["pointer"], "/observations");
}

#[actix_web::test]
async fn what_a_stop_raises_and_a_review_finds_become_tasks() {
    let s = scene().await;
    let plan = s.plan().await;
    let booth = s.world.unit("S1-B1");
    let mut sent = report();
    sent["tasks"] = json!([{"unit_id": booth, "title": "Mend the list", "due_on": "2026-12-31"}]);
    let reporter = s.actor(Role::ConstituencyCoordinator, "S1-AC1").await;
    let answer = reporter
        .post(&reports_of(&plan, 0), sent.clone())
        .await
        .expect(201)
        .json;
    reporter.post(&reports_of(&plan, 0), sent).await.expect(200);
    let task = &answer["tasks"][0];
    assert_eq!(answer["tasks"].as_array().unwrap().len(), 1);
    let worker = s.actor(Role::BoothWorker, "S1-B1").await;
    let tasks = worker
        .get(&format!("/v1/units/{booth}/tasks"))
        .await
        .expect(200)
        .json;
    assert_eq!(tasks["items"][0]["task"]["title"], "Mend the list");
    assert_eq!(&tasks["items"][0]["task"]["id"], task);
    // A task that he may not set undoes the whole.
    let mut beyond = report();
    beyond["tasks"] = json!([{"unit_id": s.world.unit("S1-B5"), "title": "Beyond", "due_on": "2026-12-31"}]);
    let refused = reporter.post(&reports_of(&plan, 0), beyond).await.expect(422);
    assert_eq!(refused.json["errors"][0]["pointer"], "/tasks/0/unit_id");
    let stop = s
        .get(&format!(
            "/v1/pravas/{}/stops/{}",
            plan["pravas"]["id"], plan["stops"][0]["id"]
        ))
        .await;
    assert_eq!(stop["reports"].as_array().unwrap().len(), 1);
    let path = format!("/v1/pravas/{}/reviews", plan["pravas"]["id"]);
    let finding = |owner: Value| {
        json!({"held_on": "2026-11-23", "summary": "Two of two", "findings": [{"finding": "On paper only",
               "task": {"unit_id": s.world.unit("S1-M1"), "title": "Confirm the committees", "due_on": "2026-12-15", "owner_id": owner}}]})
    };
    let unowned = s.admin.post(&path, finding(json!(null))).await.expect(422);
    assert_eq!(unowned.json["errors"][0]["pointer"], "/findings/0/task/owner_id");
    let review = s
        .admin
        .post(&path, finding(json!(s.leader)))
        .await
        .expect(201)
        .json;
    assert_eq!(review["findings"][0]["owner_id"], s.leader);
    let made = s
        .get(&format!("/v1/tasks/{}", review["findings"][0]["task_id"]))
        .await;
    assert_eq!(
        (&made["level"], &made["owner_id"]),
        (&json!("mandal"), &json!(s.leader))
    );
    let listed = s.get(&path).await;
    assert_eq!(listed["items"][0]["findings"][0]["finding"], "On paper only");
    let counts = s
        .get(&format!("/v1/units/{}/task-counts", s.world.unit("S1")))
        .await;
    assert_eq!(
        (&counts["tasks"], &counts["figures"]["assigned"]),
        (&json!(2), &json!(2))
    );
    let kept = "SELECT subject, count(*) FROM (SELECT subject FROM journal UNION ALL SELECT subject FROM journal_inbox) j WHERE subject LIKE 'pravas%' OR subject = 'task' GROUP BY 1 ORDER BY 1";
    let kept = s.world.db.query(kept, &[]).await.unwrap();
    let kept: Vec<(String, i64)> = kept.iter().map(|row| (row.get(0), row.get(1))).collect();
    let wanted = [
        ("pravas", 1),
        ("pravas_report", 1),
        ("pravas_review", 1),
        ("task", 2),
    ];
    assert_eq!(kept, wanted.map(|(name, n)| (name.to_owned(), n)));
}

#[actix_web::test]
async fn a_tour_takes_its_seats_from_a_target_set() {
    let s = scene().await;
    let set = json!({"name": "Seats", "unit_id": s.world.unit("IN"), "level": "assembly_constituency",
        "version": {"valid_from": "2026-11-01", "reason": "Why",
                    "members": [{"unit_id": s.world.unit("S1-AC2")}, {"unit_id": s.world.unit("S2-AC1")}]}});
    let set = s.admin.post("/v1/target-sets", set).await.expect(201).json["id"].clone();
    let mut new = tour(s.world.unit("S1"), s.leader);
    new["target_set"] = set.clone();
    let made = s.admin.post("/v1/pravas", new.clone()).await.expect(201).json;
    assert_eq!(made["pravas"]["seats"], json!([s.world.unit("S1-AC2")]));
    s.plan().await;
    assert_eq!(s.items("S1", "seats").await.len(), 2);
    let narrowed = s.items("S1", &format!("seats?target_set={set}")).await;
    assert_eq!(narrowed.len(), 1);
    assert_eq!(
        (&narrowed[0]["code"], &narrowed[0]["leaders"]),
        (&json!("S1-AC2"), &json!(1))
    );
    new["unit_id"] = json!(s.world.unit("S1-AC1"));
    let refused = s.admin.post("/v1/pravas", new).await.expect(422);
    assert_eq!(refused.json["errors"][0]["pointer"], "/target_set");
}

#[actix_web::test]
async fn what_cannot_be_a_tour_is_refused_field_by_field() {
    let s = scene().await;
    let state = s.actor(Role::StateAdmin, "S1").await;
    let unit = s.world.unit("S1");
    let with = |name: &str, value: Value| {
        let mut new = tour(unit, s.leader);
        new[name] = value;
        new
    };
    let foreign = s.world.new_worker("S2").await;
    let mut late = stop(s.world.unit("S1-B1"));
    late["day"] = json!("2026-12-01");
    for (body, pointer) in [
        (with("unit_id", json!(s.world.unit("S2"))), "/unit_id"),
        (with("leader_id", json!(foreign)), "/leader_id"),
        (with("ends_on", json!("2026-11-19")), "/ends_on"),
        (with("seats", json!([s.world.unit("S1-M1")])), "/seats/0"),
        (with("seats", json!([s.world.unit("S2-AC1")])), "/seats/0"),
        (
            with("stops", json!([stop(s.world.unit("S2-B1"))])),
            "/stops/0/unit_id",
        ),
        (with("stops", json!([late])), "/stops/0/day"),
        (with("title", json!("")), "/title"),
    ] {
        let answer = state.post("/v1/pravas", body).await.expect(422);
        assert_eq!(answer.json["errors"][0]["pointer"], pointer);
    }
}

#[actix_web::test]
async fn each_sees_of_a_tour_what_lies_in_his_scope() {
    let s = scene().await;
    let plan = s.plan().await;
    let path = format!("/v1/pravas/{}", plan["pravas"]["id"]);
    let seat = s.actor(Role::ConstituencyCoordinator, "S1-AC1").await;
    let seen = seat.get(&path).await.expect(200).json;
    assert_eq!(seen["pravas"]["seats"], json!([s.world.unit("S1-AC1")]));
    assert_eq!(seen["stops"].as_array().unwrap().len(), 2);
    let other = s.actor(Role::ConstituencyCoordinator, "S1-AC2").await;
    let seen = other.get(&path).await.expect(200).json;
    assert_eq!(
        (&seen["pravas"]["seats"], &seen["stops"]),
        (&json!([s.world.unit("S1-AC2")]), &json!([]))
    );
    other.post(&reports_of(&plan, 0), report()).await.expect(404);
    other
        .post(&format!("{path}/stops"), stop(s.world.unit("S1-B5")))
        .await
        .expect(403);
    other.get(&format!("{path}/reviews")).await.expect(404);
    let stranger = s.actor(Role::StateAdmin, "S2").await;
    stranger.get(&path).await.expect(404);
    assert!(
        stranger.get("/v1/pravas").await.expect(200).json["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let worker = s.actor(Role::BoothWorker, "S1-B1").await;
    worker.get(&path).await.expect(404);
    worker.get("/v1/pravas").await.expect(403);
    let auditor = s.actor(Role::Auditor, "S1").await;
    auditor.get(&path).await.expect(200);
    auditor.post(&reports_of(&plan, 0), report()).await.expect(403);
    let mandal = s.actor(Role::MandalCoordinator, "S1-M1").await;
    mandal.post(&reports_of(&plan, 0), report()).await.expect(201);
    let under = format!("/v1/pravas?under={}", s.world.unit("S1-M2"));
    assert!(s.get(&under).await["items"].as_array().unwrap().is_empty());
    let made = s
        .admin
        .post(&format!("{path}/stops"), stop(s.world.unit("S1-B4")))
        .await
        .expect(201);
    assert_eq!(made.json["version"], 1);
    assert_eq!(s.get(&under).await["items"].as_array().unwrap().len(), 1);
}
