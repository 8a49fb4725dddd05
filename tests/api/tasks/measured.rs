//! Tasks that nobody reports: an indicator meets them.

use sampark::access::Role;
use sampark::features::measures::meet_all;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scene, report, scene, task};
use crate::support::Phone;
use crate::visits::visit;

impl Scene {
    async fn visited(&self, campaign: i32, booth: &str, outcome: &str) {
        let mut sent = visit(&self.world, campaign, booth);
        sent["outcome"] = json!(outcome);
        sent["people_met"] = json!(i32::from(outcome == "met"));
        self.admin.post("/v1/visits", sent).await.expect(201);
    }

    async fn measure(&self) -> usize {
        meet_all(&self.app.state.db, &self.app.clock).await.unwrap()
    }

    /// How a booth stands.
    async fn standing(&self, id: &Value, booth: &str) -> Value {
        let path = format!("/v1/tasks/{id}/units/{}", self.world.unit(booth));
        self.admin.get(&path).await.expect(200).json["standing"].clone()
    }
}

fn by_contact_rate(unit: i32, campaign: i32, value: Value) -> Value {
    let mut new = task(unit, "booth");
    new["by"] = json!("measure");
    new["measure"] = json!({"indicator": "contact_rate", "value": value, "campaign_id": campaign});
    new
}

#[actix_web::test]
async fn a_task_is_met_as_long_as_an_indicator_reaches_its_value() {
    let s = scene().await;
    let campaign = s.world.campaign("IN").await;
    let id = s
        .set(by_contact_rate(s.world.unit("IN"), campaign, json!(50)))
        .await;
    let path = format!("/v1/tasks/{id}");
    let set = s.admin.get(&path).await.expect(200).json;
    assert_eq!(
        (&set["by"], &set["measure"]["indicator"], &set["measured_at"]),
        (&json!("measure"), &json!("contact_rate"), &Value::Null)
    );
    s.visited(campaign, "S1-B1", "met").await;
    s.visited(campaign, "S1-B2", "not_home").await;
    s.visited(campaign, "S2-B1", "met").await;
    assert_eq!(
        s.figures("S1").await,
        [5, 0, 0, 0, 0, 0],
        "nothing was measured yet"
    );
    assert_eq!(s.measure().await, 2);
    assert_eq!(s.figures("S1").await, [5, 0, 0, 1, 1, 0]);
    assert_eq!(s.figures("S1-M1").await, [3, 0, 0, 1, 1, 0]);
    assert_eq!(s.figures("S1-M2").await, [2, 0, 0, 0, 0, 0]);
    assert_eq!(s.figures("IN").await, [6, 0, 0, 2, 2, 0]);
    assert!(s.admin.get(&path).await.expect(200).json["measured_at"].is_string());
    let standing = s.standing(&id, "S1-B1").await;
    assert_eq!(
        (
            &standing["status"],
            &standing["report_id"],
            &standing["judged_by"]
        ),
        (&json!("verified"), &Value::Null, &Value::Null)
    );
    // The booth's phone learns of it.
    let worker = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await;
    let phone = Phone::fresh(&worker.client).await;
    assert_eq!(
        phone.of("tasks")[&id.to_string()]["units"][0]["status"],
        "verified"
    );
    // Nobody reports it, and nobody judges it.
    let booth = s.world.unit("S1-B1");
    let by_hand = worker
        .client
        .post("/v1/task-reports", report(&id, booth, "done"))
        .await;
    assert_eq!(by_hand.expect(422).json["errors"][0]["pointer"], "/task_id");
    let judged = json!({"report_id": Uuid::new_v4(), "verdict": "verified"});
    let judged = s
        .admin
        .post(&format!("{path}/units/{booth}/verdict"), judged)
        .await;
    judged.expect(409);
    // Measured again, nothing changes; by two at once neither.
    assert_eq!(s.measure().await, 0);
    s.visited(campaign, "S1-B1", "not_home").await;
    assert_eq!(s.measure().await, 0, "half of the visits is enough");
    s.visited(campaign, "S1-B1", "not_home").await;
    s.visited(campaign, "S1-B3", "met").await;
    let (one, other) = futures_util::future::join(s.measure(), s.measure()).await;
    assert_eq!(one + other, 2, "one fell below, one reached it, each found once");
    assert_eq!(s.figures("S1").await, [5, 0, 0, 1, 1, 0]);
    assert_eq!(s.standing(&id, "S1-B1").await["status"], "open");
    assert_eq!(s.standing(&id, "S1-B3").await["status"], "verified");
    s.app.posted().await;
    assert_eq!(s.figures("S1").await, [5, 0, 0, 1, 1, 0]);
    let entries = "SELECT count(*) FROM (SELECT action, subject FROM journal UNION ALL SELECT action, subject FROM journal_inbox) j
                   WHERE action = 'task.measure' AND subject = 'task'";
    let entries: i64 = s.world.db.query_one(entries, &[]).await.unwrap().get(0);
    assert!(
        (3..=4).contains(&entries),
        "one for each state and round in which something changed: {entries}"
    );
    // Cancelled, it is measured no more.
    let cancel = json!({"cancelled": true, "reason": "Another way"});
    let tagged = s.admin.header("If-Match", "\"1\"");
    tagged.patch(&path, cancel).await.expect(200);
    s.visited(campaign, "S1-B2", "met").await;
    assert_eq!(s.measure().await, 0);
}

#[actix_web::test]
async fn without_a_value_each_unit_is_to_reach_its_own_target() {
    let s = scene().await;
    let campaign = s.world.campaign("IN").await;
    let id = s
        .set(by_contact_rate(s.world.unit("S1"), campaign, Value::Null))
        .await;
    s.visited(campaign, "S1-B1", "met").await;
    s.visited(campaign, "S1-B4", "met").await;
    s.visited(campaign, "S1-B4", "refused").await;
    assert_eq!(s.measure().await, 0, "nobody has a target");
    for (unit, value) in [("S1", 60), ("S1-M2", 50)] {
        let target = json!({"indicator": "contact_rate", "level": "booth", "value": value, "valid_from": "2026-11-01", "reason": "Why"});
        let path = format!("/v1/units/{}/targets", s.world.unit(unit));
        s.admin.post(&path, target).await.expect(201);
    }
    assert_eq!(s.measure().await, 2);
    for booth in ["S1-B1", "S1-B4"] {
        assert_eq!(s.standing(&id, booth).await["status"], "verified");
    }
    let target = json!({"indicator": "contact_rate", "level": "booth", "value": 80, "valid_from": "2026-11-02", "reason": "More"});
    let path = format!("/v1/units/{}/targets", s.world.unit("S1-M2"));
    s.admin.post(&path, target).await.expect(201);
    assert_eq!(s.measure().await, 1);
    assert_eq!(s.standing(&id, "S1-B4").await["status"], "open");
    // Done that way, it counts among the tasks done.
    let target = json!({"indicator": "tasks_done_share", "level": "mandal", "value": 100, "valid_from": "2026-11-01", "reason": "Why"});
    let path = format!("/v1/units/{}/targets", s.world.unit("S1"));
    s.admin.post(&path, target).await.expect(201);
    let path = format!("/v1/units/{}/shortfalls?level=mandal", s.world.unit("S1"));
    let told = s.admin.get(&path).await.expect(200).json["indicators"][0]["items"].clone();
    assert_eq!(
        (
            &told[1]["unit"]["code"],
            &told[1]["numerator"],
            &told[1]["denominator"]
        ),
        (&json!("S1-M1"), &json!(1), &json!(3))
    );
}

#[actix_web::test]
async fn the_journal_tells_what_was_found_met_and_not_what_another_had_found() {
    let s = scene().await;
    let campaign = s.world.campaign("IN").await;
    let id = s
        .set(by_contact_rate(s.world.unit("IN"), campaign, json!(50)))
        .await;
    for booth in ["S1-B1", "S1-B2"] {
        s.visited(campaign, booth, "met").await;
    }
    // Another finds the first booth, and has not ended when we look.
    let other = s.app.database.connect().await;
    let found = format!(
        "BEGIN; INSERT INTO task_units (state_id, unit_id, task_id, status, counted_at, judged_at)
         VALUES ({}, {}, {id}, 'verified', '2026-11-23Z', '2026-11-23Z')",
        s.world.unit("S1"),
        s.world.unit("S1-B1")
    );
    other.batch_execute(&found).await.unwrap();
    let ends = async {
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'";
        while s.world.db.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
        other.batch_execute("COMMIT").await.unwrap();
    };
    let (changed, ()) = futures_util::future::join(s.measure(), ends).await;
    assert_eq!(changed, 1);
    // The entry is bound to the row of the second booth alone.
    let entries = "SELECT v.id FROM (SELECT leaf_hash, action FROM journal UNION ALL SELECT leaf_hash, action FROM journal_inbox) j
                   LEFT JOIN row_writes w ON w.leaf = j.leaf_hash LEFT JOIN row_versions v ON v.write_id = w.write_id
                   WHERE j.action = 'task.measure'";
    let entries = s.world.db.query(entries, &[]).await.unwrap();
    let told: Vec<String> = entries.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        told,
        [format!("{}/{}/{id}", s.world.unit("S1"), s.world.unit("S1-B2"))]
    );
}
