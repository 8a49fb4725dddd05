//! Tasks from the top: set once, reported by each unit, verified by the level above, counted everywhere.

mod access;
mod measured;
mod phones;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use sampark::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Client, TestApp, World, noon};

/// A task of a unit, due at the end of the month.
pub fn task(unit: i32, level: &str) -> Value {
    json!({"unit_id": unit, "level": level, "title": "Form a committee", "due_on": "2026-11-30"})
}

/// A report made at noon.
pub fn report(task: &Value, unit: i32, status: &str) -> Value {
    json!({"id": Uuid::new_v4(), "task_id": task, "unit_id": unit, "reported_at": noon(), "status": status})
}

/// Sends until the server has a connection for it, as a phone does.
pub async fn send(client: &Client, path: &str, body: &Value) -> crate::support::Answer {
    loop {
        let answer = client.post(path, body.clone()).await;
        if answer.status != 503 {
            return answer;
        }
    }
}

/// What the examples speak of: task 1 for every booth of state 2, and a report of booth 14 to be judged.
pub async fn for_examples(app: &TestApp, world: &World, admin: &Client) {
    let mut new = task(world.unit("S1"), "booth");
    new["due_on"] = json!("2027-06-30");
    assert_eq!(admin.post("/v1/tasks", new).await.expect(201).json["id"], 1);
    let worker = world.actor(app, Role::BoothWorker, "S1-B1").await.client;
    let mut done = report(&json!(1), world.unit("S1-B1"), "done");
    done["id"] = json!("01998f7e-58f5-7b21-a6a9-9c0ce5d5fd56");
    worker.post("/v1/task-reports", done).await.expect(201);
}

struct Scene {
    app: TestApp,
    world: World,
    admin: Client,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    Scene { app, world, admin }
}

impl Scene {
    async fn set(&self, new: Value) -> Value {
        self.admin.post("/v1/tasks", new).await.expect(201).json["id"].clone()
    }

    async fn actor(&self, role: Role, unit: &str) -> Client {
        self.world.actor(&self.app, role, unit).await.client
    }

    /// What is counted at a unit.
    async fn counts(&self, unit: &str, query: &str) -> Value {
        let path = format!("/v1/units/{}/task-counts{query}", self.world.unit(unit));
        self.admin.get(&path).await.expect(200).json
    }

    /// (assigned, accepted, returned, done, verified, overdue) at a unit.
    async fn figures(&self, unit: &str) -> [i64; 6] {
        six(&self.counts(unit, "").await["figures"])
    }
}

fn six(figures: &Value) -> [i64; 6] {
    ["assigned", "accepted", "returned", "done", "verified", "overdue"]
        .map(|name| figures[name].as_i64().unwrap())
}

async fn verdict(
    client: &Client,
    report: &Value,
    verdict: &str,
    reason: Option<&str>,
) -> crate::support::Answer {
    let path = format!(
        "/v1/tasks/{}/units/{}/verdict",
        report["task_id"], report["unit_id"]
    );
    let body = json!({"report_id": report["id"], "verdict": verdict, "reason": reason});
    client.post(&path, body).await
}

#[actix_web::test]
async fn a_task_for_every_booth_is_one_row_and_is_counted_at_every_level() {
    let s = scene().await;
    let id = s.set(task(s.world.unit("S1"), "booth")).await;
    let rows = "SELECT (SELECT count(*) FROM tasks) + (SELECT count(*) FROM task_units) + (SELECT count(*) FROM task_totals)";
    assert_eq!(s.world.db.query_one(rows, &[]).await.unwrap().get::<_, i64>(0), 1);
    for (unit, assigned) in [
        ("IN", 5),
        ("S1", 5),
        ("S1-D1", 5),
        ("S1-M1", 3),
        ("S1-M2", 2),
        ("S1-PC1", 5),
        ("S1-AC1", 4),
        ("S1-AC2", 1),
        ("S1-B1", 1),
        ("S2", 0),
    ] {
        assert_eq!(s.figures(unit).await, [assigned, 0, 0, 0, 0, 0], "{unit}");
    }
    let booth = s.world.unit("S1-B1");
    let worker = s.actor(Role::BoothWorker, "S1-B1").await;
    let seen = worker
        .get(&format!("/v1/units/{booth}/tasks"))
        .await
        .expect(200)
        .json;
    assert_eq!(seen["items"][0]["task"]["id"], id);
    assert_eq!(seen["items"][0]["standing"]["status"], "open");
    let mut sent = report(&id, booth, "accepted");
    sent["reported_at"] = json!(noon() - TimeDelta::hours(2));
    worker.post("/v1/task-reports", sent).await.expect(201);
    assert_eq!(s.figures("S1-M1").await, [3, 1, 0, 0, 0, 0]);
    let done = report(&id, booth, "done");
    let answer = worker
        .post("/v1/task-reports", done.clone())
        .await
        .expect(201)
        .json;
    assert_eq!(answer["standing"]["status"], "done");
    let coordinator = s.actor(Role::MandalCoordinator, "S1-M1").await;
    let verified = verdict(&coordinator, &done, "verified", None)
        .await
        .expect(200)
        .json;
    assert_eq!(verified["status"], "verified");
    for (unit, wanted) in [
        ("IN", [5, 0, 0, 1, 1, 0]),
        ("S1", [5, 0, 0, 1, 1, 0]),
        ("S1-M1", [3, 0, 0, 1, 1, 0]),
        ("S1-M2", [2, 0, 0, 0, 0, 0]),
        ("S1-AC1", [4, 0, 0, 1, 1, 0]),
        ("S1-AC2", [1, 0, 0, 0, 0, 0]),
        ("S1-B1", [1, 0, 0, 1, 1, 0]),
    ] {
        assert_eq!(s.figures(unit).await, wanted, "{unit}");
    }
    let state = s.world.unit("S1");
    let path = format!("/v1/units/{state}/task-counts/children?level=mandal");
    let children = s.admin.get(&path).await.expect(200).json;
    let done: Vec<_> = children["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|child| six(&child["figures"]))
        .collect();
    assert_eq!(done, [[3, 0, 0, 1, 1, 0], [2, 0, 0, 0, 0, 0]]);
    let history = s
        .admin
        .get(&format!("/v1/tasks/{id}/units/{booth}"))
        .await
        .expect(200)
        .json;
    assert_eq!(history["reports"].as_array().unwrap().len(), 2);
    assert_eq!(history["verdicts"][0]["verdict"], "verified");
    let units = s
        .admin
        .get(&format!("/v1/tasks/{id}/units?status=verified"))
        .await
        .expect(200)
        .json;
    assert_eq!(units["items"].as_array().unwrap().len(), 1);
    s.app.posted().await;
    assert_eq!(s.figures("S1").await, [5, 0, 0, 1, 1, 0]);
    let kept = "SELECT action FROM journal WHERE subject IN ('task', 'task_report') ORDER BY number";
    let kept: Vec<String> = s
        .world
        .db
        .query(kept, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(kept, ["task.write", "task.report", "task.report", "task.verify"]);
}

#[actix_web::test]
async fn a_report_sent_again_is_answered_and_counted_once() {
    let s = scene().await;
    let id = s.set(task(s.world.unit("S1"), "booth")).await;
    let booth = s.world.unit("S1-B1");
    let worker = s.actor(Role::BoothWorker, "S1-B1").await;
    let sent = report(&id, booth, "done");
    let sends = (0..16).map(|_| send(&worker, "/v1/task-reports", &sent));
    let mut statuses: Vec<u16> = join_all(sends).await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses[..15], [200; 15]);
    assert_eq!(statuses[15], 201);
    assert_eq!(s.figures("S1").await, [5, 0, 0, 1, 0, 0]);
    let mut other = sent.clone();
    other["progress"] = json!(50);
    worker.post("/v1/task-reports", other).await.expect(409);
    // Whose it is matters as well.
    let colleague = s.actor(Role::BoothWorker, "S1-B1").await;
    colleague.post("/v1/task-reports", sent).await.expect(409);
}

#[actix_web::test]
async fn of_reports_made_offline_the_latest_holds_however_they_come() {
    let s = scene().await;
    let id = s.set(task(s.world.unit("S1"), "booth")).await;
    let booth = s.world.unit("S1-B1");
    let worker = s.actor(Role::BoothWorker, "S1-B1").await;
    let sent = |status: &str, at: DateTime<Utc>| {
        let mut sent = report(&id, booth, status);
        sent["reported_at"] = json!(at);
        sent
    };
    let done = sent("done", noon() - TimeDelta::hours(1));
    worker.post("/v1/task-reports", done.clone()).await.expect(201);
    let late = sent("accepted", noon() - TimeDelta::hours(5));
    let answer = worker.post("/v1/task-reports", late).await.expect(201).json;
    assert_eq!(answer["standing"]["status"], "done");
    assert_eq!(s.figures("S1-M1").await, [3, 0, 0, 1, 0, 0]);
    verdict(&s.admin, &done, "returned", Some("Only nine members"))
        .await
        .expect(200);
    assert_eq!(s.figures("S1-M1").await, [3, 0, 1, 0, 0, 0]);
    let before = sent("in_progress", noon() - TimeDelta::hours(2));
    let answer = worker.post("/v1/task-reports", before).await.expect(201).json;
    assert_eq!(answer["standing"]["status"], "returned");
    assert_eq!(answer["standing"]["reason"], "Only nine members");
    // A clock that runs ahead is believed up to now.
    let ahead = sent("done", noon() + TimeDelta::days(30));
    let answer = worker
        .post("/v1/task-reports", ahead.clone())
        .await
        .expect(201)
        .json;
    assert_eq!(answer["standing"]["status"], "done");
    verdict(&s.admin, &done, "verified", None).await.expect(409);
    verdict(&s.admin, &ahead, "verified", None).await.expect(200);
    s.app.clock.advance(TimeDelta::minutes(5));
    let after = sent("in_progress", noon() + TimeDelta::minutes(4));
    let answer = worker.post("/v1/task-reports", after).await.expect(201).json;
    assert_eq!(answer["standing"]["status"], "verified", "what is verified holds");
    // Cancelled meanwhile: it is kept, and in no count.
    let change = json!({"cancelled": true, "reason": "No longer needed"});
    s.admin
        .header("If-Match", "\"1\"")
        .patch(&format!("/v1/tasks/{id}"), change)
        .await
        .expect(200);
    let other = s.actor(Role::BoothWorker, "S1-B2").await;
    let sent = report(&id, s.world.unit("S1-B2"), "done");
    other.post("/v1/task-reports", sent).await.expect(201);
    assert_eq!(s.figures("S1").await, [0; 6]);
}

#[actix_web::test]
async fn the_level_above_verifies_and_nobody_his_own() {
    let s = scene().await;
    let id = s.set(task(s.world.unit("S1"), "mandal")).await;
    let mandal = s.world.unit("S1-M1");
    let coordinator = s.actor(Role::MandalCoordinator, "S1-M1").await;
    let path = format!("/v1/tasks/{id}/units/{mandal}/verdict");
    let nothing = json!({"report_id": Uuid::new_v4(), "verdict": "verified"});
    s.admin.post(&path, nothing).await.expect(409);
    let begun = report(&id, mandal, "in_progress");
    coordinator
        .post("/v1/task-reports", begun.clone())
        .await
        .expect(201);
    verdict(&s.admin, &begun, "verified", None).await.expect(409);
    s.app.clock.advance(TimeDelta::minutes(5));
    let mut done = report(&id, mandal, "done");
    done["reported_at"] = json!(noon() + TimeDelta::minutes(1));
    coordinator
        .post("/v1/task-reports", done.clone())
        .await
        .expect(201);
    let peer = s.actor(Role::MandalCoordinator, "S1-M1").await;
    verdict(&peer, &done, "verified", None).await.expect(403);
    let auditor = s.actor(Role::Auditor, "S1").await;
    verdict(&auditor, &done, "verified", None).await.expect(403);
    let neighbour = s.actor(Role::MandalCoordinator, "S1-M2").await;
    verdict(&neighbour, &done, "verified", None).await.expect(404);
    let district = s.actor(Role::DistrictCoordinator, "S1-D1").await;
    let missing = verdict(&district, &done, "returned", None).await.expect(422);
    assert_eq!(missing.json["errors"][0]["pointer"], "/reason");
    verdict(&district, &done, "verified", None).await.expect(200);
    verdict(&district, &done, "verified", None).await.expect(200);
    let verdicts = "SELECT count(*) FROM task_verdicts";
    assert_eq!(
        s.world
            .db
            .query_one(verdicts, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        1
    );
    let own = report(&id, s.world.unit("S1-M2"), "done");
    district.post("/v1/task-reports", own.clone()).await.expect(201);
    verdict(&district, &own, "verified", None).await.expect(403);
    assert_eq!(s.figures("S1").await, [2, 0, 0, 2, 1, 0]);
}

#[actix_web::test]
async fn a_unit_breaks_a_task_down_for_its_own_levels() {
    let s = scene().await;
    let whole = s.set(task(s.world.unit("S1"), "mandal")).await;
    let mandal = s.world.unit("S1-M1");
    let coordinator = s.actor(Role::MandalCoordinator, "S1-M1").await;
    let part = |due: &str, unit: i32| {
        let mut part = task(unit, "booth");
        part["part_of"] = whole.clone();
        part["due_on"] = json!(due);
        part
    };
    let late = coordinator
        .post("/v1/tasks", part("2026-12-01", mandal))
        .await
        .expect(422);
    assert_eq!(late.json["errors"][0]["pointer"], "/due_on");
    let made = coordinator
        .post("/v1/tasks", part("2026-11-28", mandal))
        .await
        .expect(201)
        .json;
    let standing = coordinator
        .get(&format!("/v1/tasks/{whole}/units/{mandal}"))
        .await
        .expect(200)
        .json;
    assert_eq!(standing["parts"], json!([made["id"]]));
    let parts = coordinator
        .get(&format!("/v1/tasks?part_of={whole}"))
        .await
        .expect(200)
        .json;
    assert_eq!(parts["items"].as_array().unwrap().len(), 1);
    // The district has no such task itself.
    let district = s.actor(Role::DistrictCoordinator, "S1-D1").await;
    let refused = district
        .post("/v1/tasks", part("2026-11-28", s.world.unit("S1-D1")))
        .await
        .expect(422);
    assert_eq!(refused.json["errors"][0]["pointer"], "/part_of");
    // Extended beyond the whole: refused; the whole first.
    let tag = coordinator.header("If-Match", "\"1\"");
    let path = format!("/v1/tasks/{}", made["id"]);
    let later = json!({"due_on": "2026-12-05", "reason": "Harvest"});
    tag.patch(&path, later.clone()).await.expect(422);
    s.admin
        .header("If-Match", "\"1\"")
        .patch(&format!("/v1/tasks/{whole}"), later.clone())
        .await
        .expect(200);
    tag.patch(&path, later).await.expect(200);
}

#[actix_web::test]
async fn a_task_is_narrowed_to_target_seats_and_so_are_its_counts() {
    let s = scene().await;
    let set = json!({"name": "Seats", "unit_id": s.world.unit("S1"), "level": "assembly_constituency",
        "version": {"valid_from": "2026-11-01", "reason": "Why", "members": [{"unit_id": s.world.unit("S1-AC1")}]}});
    let set = s.admin.post("/v1/target-sets", set).await.expect(201).json["id"].clone();
    let mut narrowed = task(s.world.unit("S1"), "booth");
    narrowed["target_set"] = set.clone();
    let id = s.set(narrowed.clone()).await;
    // Seen from the seats, from the other tree, and from a booth outside.
    for (unit, assigned) in [
        ("IN", 4),
        ("S1", 4),
        ("S1-PC1", 4),
        ("S1-AC1", 4),
        ("S1-AC2", 0),
        ("S1-D1", 4),
        ("S1-M1", 3),
        ("S1-M2", 1),
        ("S1-B4", 1),
        ("S1-B5", 0),
    ] {
        assert_eq!(s.figures(unit).await[0], assigned, "{unit}");
    }
    let outside = report(&id, s.world.unit("S1-B5"), "done");
    s.admin.post("/v1/task-reports", outside).await.expect(422);
    let inside = report(&id, s.world.unit("S1-B4"), "done");
    s.admin.post("/v1/task-reports", inside).await.expect(201);
    assert_eq!(s.figures("S1-M2").await, [1, 0, 0, 1, 0, 0]);
    // A later version of the set changes nothing of the task.
    let next = json!({"valid_from": "2026-11-23", "reason": "More", "members": [{"unit_id": s.world.unit("S1-AC2")}]});
    s.admin
        .post(&format!("/v1/target-sets/{set}/versions"), next)
        .await
        .expect(201);
    assert_eq!(s.figures("S1").await, [4, 0, 0, 1, 0, 0]);
    // A mandal's task crosses the seats.
    s.set(task(s.world.unit("S1-M2"), "booth")).await;
    assert_eq!(s.figures("S1-AC1").await[0], 5);
    assert_eq!(s.figures("S1-AC2").await[0], 1);
    // Counts narrowed by the set as it is today: AC2 has the one booth of the mandal's task.
    let counted = s.counts("S1", &format!("?target_set={set}")).await;
    assert_eq!(six(&counted["figures"]), [1, 0, 0, 0, 0, 0]);
    assert_eq!(
        six(&s.counts("S1-B5", &format!("?target_set={set}")).await["figures"])[0],
        1
    );
    narrowed["level"] = json!("mandal");
    let refused = s.admin.post("/v1/tasks", narrowed).await.expect(422);
    assert_eq!(refused.json["errors"][0]["pointer"], "/level");
}

#[actix_web::test]
async fn what_is_overdue_is_counted_and_listed_until_it_is_done_or_extended() {
    let s = scene().await;
    let first = s.set(task(s.world.unit("S1"), "booth")).await;
    let mut sooner = task(s.world.unit("S1"), "mandal");
    sooner["due_on"] = json!("2026-11-25");
    let second = s.set(sooner).await;
    let done = report(&first, s.world.unit("S1-B1"), "done");
    s.admin.post("/v1/task-reports", done).await.expect(201);
    assert_eq!(s.figures("S1").await[5], 0);
    s.app.clock.advance(TimeDelta::days(8));
    let admin = s.actor(Role::NationalAdmin, "IN").await;
    let s = Scene { admin, ..s };
    assert_eq!(s.figures("S1").await, [7, 0, 0, 1, 0, 6]);
    assert_eq!(s.figures("S1-M1").await[5], 3);
    let state = s.world.unit("S1");
    let mut seen = Vec::new();
    let mut path = format!("/v1/units/{state}/overdue-tasks?limit=2");
    loop {
        let page = s.admin.get(&path).await.expect(200).json;
        for item in page["items"].as_array().unwrap() {
            assert_eq!(item["overdue"], true);
            seen.push((item["task_id"].clone(), item["code"].as_str().unwrap().to_owned()));
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/units/{state}/overdue-tasks?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    let codes: Vec<&str> = seen.iter().map(|(_, code)| code.as_str()).collect();
    assert_eq!(codes, ["S1-M1", "S1-M2", "S1-B2", "S1-B3", "S1-B4", "S1-B5"]);
    assert_eq!(seen[0].0, second);
    let change = json!({"due_on": "2026-12-15", "reason": "Monsoon"});
    let path = format!("/v1/tasks/{first}");
    s.admin.patch(&path, change.clone()).await.expect(428);
    s.admin
        .header("If-Match", "\"7\"")
        .patch(&path, change.clone())
        .await
        .expect(412);
    let held = s.admin.header("If-Match", "\"1\"");
    assert_eq!(
        held.patch(&path, change.clone()).await.expect(200).json["version"],
        2
    );
    assert_eq!(s.figures("S1").await[5], 2);
    let versions = s.admin.get(&format!("{path}/versions")).await.expect(200).json;
    assert_eq!(versions["items"][0]["change_reason"], "Monsoon");
    assert_eq!(versions["items"][1]["due_on"], "2026-11-30");
    let again = s
        .admin
        .header("If-Match", "\"2\"")
        .patch(&path, change)
        .await
        .expect(200);
    assert_eq!(
        again.json["version"], 2,
        "a change that changes nothing makes no version"
    );
    let cancel = json!({"cancelled": true, "reason": "Held over"});
    s.admin
        .header("If-Match", "\"2\"")
        .patch(&path, cancel.clone())
        .await
        .expect(200);
    s.admin
        .header("If-Match", "\"3\"")
        .patch(&path, cancel)
        .await
        .expect(409);
    assert_eq!(s.figures("S1").await, [2, 0, 0, 0, 0, 2]);
    let listed = s.admin.get("/v1/tasks?cancelled=true").await.expect(200).json;
    assert_eq!(listed["items"][0]["id"], first);
}
