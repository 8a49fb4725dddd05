//! Audits, tasks and tours as they are measured: the figures are those that their own reports tell, and lead there.

use sampark::access::Role;
use serde_json::{Value, json};

use super::{Scene, scene};
use crate::visits::visit;

impl Scene {
    async fn get(&self, link: &Value) -> Value {
        self.admin.get(link.as_str().unwrap()).await.expect(200).json
    }

    /// A mandal's item of an indicator.
    async fn mandal(&self, indicator: &str, code: &str) -> Value {
        let query = format!("level=mandal&indicator={indicator}");
        let items = self.items("S1", &query).await;
        let found = items.into_iter().find(|item| item["unit"]["code"] == code);
        found.unwrap_or_else(|| panic!("{indicator} tells nothing of {code}"))
    }
}

fn told(item: &Value) -> Value {
    json!([
        item["actual"],
        item["numerator"],
        item["denominator"],
        item["shortfall"]
    ])
}

#[actix_web::test]
async fn tasks_are_measured_as_they_are_counted() {
    let s = scene().await;
    let new = crate::tasks::task(s.world.unit("S1"), "booth");
    let id = s.admin.post("/v1/tasks", new).await.expect(201).json["id"].clone();
    for (booth, status) in [("S1-B1", "done"), ("S1-B2", "accepted"), ("S1-B4", "done")] {
        let sent = crate::tasks::report(&id, s.world.unit(booth), status);
        s.admin.post("/v1/task-reports", sent).await.expect(201);
    }
    s.target("S1", "tasks_done_share", "mandal", json!(80), None)
        .await;
    s.target("S1", "tasks_overdue", "mandal", json!(0), None).await;
    let item = s.mandal("tasks_done_share", "S1-M1").await;
    assert_eq!(told(&item), json!([33.3333, 1, 3, 46.6667]));
    assert_eq!(item["trend"], Value::Null, "no day was closed yet");
    let heaviest: Vec<&Value> = item["heaviest"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| &part["unit"]["code"])
        .collect();
    assert_eq!(heaviest, ["S1-B2", "S1-B3"]);
    // From the share to the tasks, from a task to its units.
    let counts = s.get(&item["trace"]["numerator"]).await;
    assert_eq!(
        (&counts["figures"]["done"], &counts["figures"]["assigned"]),
        (&item["numerator"], &item["denominator"])
    );
    let units = s.get(&counts["items"][0]["trace"]).await;
    assert_eq!(units["items"].as_array().unwrap().len(), 3);
    assert_eq!(
        told(&s.mandal("tasks_overdue", "S1-M2").await),
        json!([0.0, 0, null, 0.0])
    );
    s.app.clock.advance(chrono::TimeDelta::days(10));
    let admin = s.world.actor(&s.app, Role::NationalAdmin, "IN").await.client;
    let s = Scene { admin, ..s };
    let late = s.mandal("tasks_overdue", "S1-M1").await;
    assert_eq!(told(&late), json!([2.0, 2, null, 2.0]));
    let rows = s.get(&late["trace"]["numerator"]).await;
    assert_eq!(rows["items"].as_array().unwrap().len(), 2);
}

/// Of a unit's parts only what is shown is read; what is shown is whole for all that.
#[actix_web::test]
async fn what_weighs_most_is_told_of_each_unit_by_the_indicator_that_shows_it() {
    let s = scene().await;
    s.visits_of_two_mandals().await;
    let new = crate::tasks::task(s.world.unit("S1"), "booth");
    let id = s.admin.post("/v1/tasks", new).await.expect(201).json["id"].clone();
    for booth in ["S1-B2", "S1-B4", "S1-B5"] {
        let sent = crate::tasks::report(&id, s.world.unit(booth), "done");
        s.admin.post("/v1/task-reports", sent).await.expect(201);
    }
    for indicator in ["contact_rate", "tasks_done_share"] {
        s.target("IN", indicator, "mandal", json!(60), None).await;
    }
    // Of three mandals each indicator shows another one, the worst by it alone.
    let report = s.report("IN", "level=mandal&limit=1").await.expect(200).json;
    let shown: Vec<Value> = report["indicators"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let item = &group["items"][0];
            let heaviest = item["heaviest"].as_array().unwrap().iter();
            let heaviest: Vec<Value> = heaviest
                .map(|part| json!([part["unit"]["code"], part["missing"]]))
                .collect();
            json!([
                group["indicator"]["id"],
                group["units"],
                item["unit"]["code"],
                heaviest
            ])
        })
        .collect();
    assert_eq!(
        json!(shown),
        json!([
            ["contact_rate", 3, "S1-M2", [["S1-B4", 1.2]]],
            ["tasks_done_share", 3, "S1-M1", [["S1-B1", 0.6], ["S1-B3", 0.6]]]
        ])
    );
}

#[actix_web::test]
async fn the_trend_of_tasks_is_told_from_closed_days_which_never_move() {
    let s = scene().await;
    let close = async || {
        sampark::features::tasks::close_days(&s.app.state.db, &s.app.clock)
            .await
            .unwrap()
    };
    let mut new = crate::tasks::task(s.world.unit("S1"), "booth");
    new["due_on"] = json!("2026-11-23");
    let id = s.admin.post("/v1/tasks", new).await.expect(201).json["id"].clone();
    let done = async |admin: &crate::support::Client, booth| {
        let sent = crate::tasks::report(&id, s.world.unit(booth), "done");
        admin.post("/v1/task-reports", sent.clone()).await.expect(201);
        sent["id"].clone()
    };
    let report = done(&s.admin, "S1-B1").await;
    s.target("S1", "tasks_done_share", "mandal", json!(80), None)
        .await;
    s.target("S1", "tasks_overdue", "mandal", json!(0), None).await;
    s.target("IN", "tasks_done_share", "state", json!(80), None).await;
    s.app.clock.advance(chrono::TimeDelta::days(1));
    // Set after midnight: it stood on no day before.
    let admin = s.world.actor(&s.app, Role::NationalAdmin, "IN").await.client;
    let later = crate::tasks::task(s.world.unit("S1"), "booth");
    let later = admin.post("/v1/tasks", later).await.expect(201);
    let states = s.world.db.query("SELECT FROM units WHERE level = 'state'", &[]);
    let states = states.await.unwrap().len();
    assert_eq!(close().await, states);
    assert_eq!(close().await, 0, "once a day");
    let etag = later.header("etag").unwrap().to_owned();
    let path = format!("/v1/tasks/{}", later.json["id"]);
    let cancelled = json!({"cancelled": true, "reason": "Set by mistake"});
    admin
        .header("If-Match", &etag)
        .patch(&path, cancelled)
        .await
        .expect(200);
    // Sent after midnight: it counts on the day on which it came.
    done(&admin, "S1-B2").await;
    s.app.clock.advance(chrono::TimeDelta::days(6));
    let admin = s.world.actor(&s.app, Role::NationalAdmin, "IN").await.client;
    let s = Scene { admin, ..s };
    let trend = async |unit: &str, query: &str, code: &str| {
        let items = s.items(unit, query).await;
        let item = items.into_iter().find(|item| item["unit"]["code"] == code);
        item.unwrap()["trend"].clone()
    };
    let share = "level=mandal&indicator=tasks_done_share";
    assert_eq!(trend("S1", share, "S1-M1").await, 33.3333);
    assert_eq!(trend("S1", share, "S1-M2").await, 0.0);
    let late = "level=mandal&indicator=tasks_overdue";
    assert_eq!(
        trend("S1", late, "S1-M1").await,
        1.0,
        "one of three is not done; none was overdue while its day lasted"
    );
    assert_eq!(
        trend("S1", &format!("{share}&days=6"), "S1-M1").await,
        Value::Null,
        "that day was not closed"
    );
    let state = trend("IN", "level=state&indicator=tasks_done_share", "S1").await;
    assert!(state.as_f64().unwrap() > 0.0, "{state}");
    // What is corrected afterwards is not corrected then.
    let path = format!("/v1/tasks/{id}/units/{}/verdict", s.world.unit("S1-B1"));
    let verdict = json!({"report_id": report, "verdict": "returned", "reason": "No list"});
    let above = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M1")
        .await
        .client;
    above.post(&path, verdict).await.expect(200);
    assert_eq!(trend("S1", share, "S1-M1").await, 0.0, "one is lost, one is won");
    // A booth is not closed by itself.
    s.target("S1-M1", "tasks_done_share", "booth", json!(80), None)
        .await;
    let booth = "level=booth&indicator=tasks_done_share";
    assert_eq!(trend("S1-M1", booth, "S1-B2").await, Value::Null);
}

#[actix_web::test]
async fn tours_are_measured_by_the_stops_that_were_held() {
    let s = scene().await;
    let leader = s.world.new_worker("S1").await;
    let mut new = crate::pravas::tour(s.world.unit("S1"), leader);
    let mut early = crate::pravas::stop(s.world.unit("S1-B1"));
    early["day"] = json!("2026-11-20");
    let mut coming = crate::pravas::stop(s.world.unit("S1-B1"));
    coming["day"] = json!("2026-11-25");
    new["stops"] = json!([
        early,
        crate::pravas::stop(s.world.unit("S1-B2")),
        crate::pravas::stop(s.world.unit("S1-B2")),
        coming
    ]);
    new["starts_on"] = json!("2026-11-01");
    let plan = s.admin.post("/v1/pravas", new).await.expect(201).json;
    for (n, held) in [(0, true), (1, true), (2, false)] {
        let mut report = crate::pravas::report();
        report["held"] = json!(held);
        let path = format!(
            "/v1/pravas/{}/stops/{}/reports",
            plan["pravas"]["id"], plan["stops"][n]["id"]
        );
        s.admin.post(&path, report).await.expect(201);
    }
    s.target("S1", "stops_made", "mandal", json!(5), None).await;
    s.target("S1", "stops_made_share", "mandal", json!(100), None)
        .await;
    let made = s.mandal("stops_made", "S1-M1").await;
    assert_eq!(told(&made), json!([2.0, 2, null, 3.0]));
    assert_eq!(made["trend"], 2.0, "none a week ago");
    let share = s.mandal("stops_made_share", "S1-M1").await;
    assert_eq!(
        told(&share),
        json!([66.6667, 2, 3, 33.3333]),
        "what lies ahead is not wanted yet"
    );
    assert_eq!(s.mandal("stops_made_share", "S1-M2").await["actual"], Value::Null);
    for side in ["numerator", "denominator"] {
        let rows = s.get(&share["trace"][side]).await;
        assert_eq!(json!(rows["items"].as_array().unwrap().len()), share[side]);
    }
    // In the seats of a set alone.
    let set = json!({"name": "Seats", "unit_id": s.world.unit("IN"), "level": "assembly_constituency",
        "version": {"valid_from": "2026-11-01", "reason": "Why", "members": [{"unit_id": s.world.unit("S1-AC2")}]}});
    let set = s.admin.post("/v1/target-sets", set).await.expect(201).json["id"].clone();
    s.target("IN", "stops_made", "state", json!(1), None).await;
    let states = s
        .items(
            "IN",
            &format!("level=state&indicator=stops_made&target_set={set}"),
        )
        .await;
    assert_eq!(states[0]["numerator"], 0);
    let rows = s.get(&states[0]["trace"]["numerator"]).await;
    assert_eq!(rows["items"], json!([]));
    let path = format!("/v1/units/{}/pravas/stops?target_set={set}", s.world.unit("S1"));
    assert_eq!(s.get(&json!(path)).await["items"], json!([]));
}

#[actix_web::test]
async fn stops_of_before_a_move_are_measured_as_their_trace_lists_them() {
    let s = scene().await;
    let leader = s.world.new_worker("S1").await;
    let mut new = crate::pravas::tour(s.world.unit("S1"), leader);
    let mut early = crate::pravas::stop(s.world.unit("S1-B4"));
    early["day"] = json!("2026-11-20");
    new["stops"] = json!([
        early,
        crate::pravas::stop(s.world.unit("S1-B5")),
        crate::pravas::stop(s.world.unit("S1-B1"))
    ]);
    let plan = s.admin.post("/v1/pravas", new).await.expect(201).json;
    for n in 0..3 {
        let stop = &plan["stops"][n]["id"];
        let path = format!("/v1/pravas/{}/stops/{stop}/reports", plan["pravas"]["id"]);
        s.admin.post(&path, crate::pravas::report()).await.expect(201);
    }
    let district = json!({"code": "S1-D2", "level": "district", "name": "Another", "parents": {"organisation": s.world.unit("S1")}});
    let district = s.admin.post("/v1/units", district).await.expect(201).json["id"].clone();
    let place = json!({"tree": "organisation", "parent_id": district, "valid_from": "2026-11-22"});
    let path = format!("/v1/units/{}/placements", s.world.unit("S1-M2"));
    s.admin.post(&path, place).await.expect(201);
    s.target("S1", "stops_made", "mandal", json!(5), None).await;
    // From the state and from the mandal's new district the mandal is told the same, and what its trace lists.
    for under in [json!(s.world.unit("S1")), district] {
        let path = format!("/v1/units/{under}/shortfalls?level=mandal&indicator=stops_made");
        let report = s.get(&json!(path)).await;
        let items = report["indicators"][0]["items"].as_array().unwrap().clone();
        let item = items.iter().find(|item| item["unit"]["code"] == "S1-M2").unwrap();
        assert_eq!(item["numerator"], 2, "{under}");
        let rows = s.get(&item["trace"]["numerator"]).await;
        assert_eq!(rows["items"].as_array().unwrap().len(), 2, "{under}");
    }
}

#[actix_web::test]
async fn audits_are_measured_as_draws_tell_them() {
    let s = scene().await;
    let worker = s.world.actor(&s.app, Role::BoothWorker, "S1-B2").await.client;
    for _ in 0..2 {
        let mut sent = visit(&s.world, s.campaign, "S1-B2");
        sent["visited_at"] = json!("2026-11-22T11:00:00+05:30");
        worker.post("/v1/visits", sent).await.expect(201);
    }
    let draw = json!({"unit_id": s.world.unit("S1-M1"), "campaign_id": s.campaign, "from": "2026-11-20", "to": "2026-11-22",
                      "plan": {"size": 2, "decision_number": 1}});
    let made = s.admin.post("/v1/draws", draw).await.expect(201);
    let path = made.header("location").unwrap().to_owned();
    s.admin.post(&format!("{path}/seed"), json!({})).await.expect(200);
    let me = s.admin.get("/v1/me").await.expect(200).json["worker"]["id"].clone();
    let given = json!({"assignments": [{"number": 1, "verifier_id": me}, {"number": 2, "verifier_id": me}]});
    s.admin
        .post(&format!("{path}/assignments"), given)
        .await
        .expect(200);
    s.target("S1", "audited_error_rate", "mandal", json!(10), None)
        .await;
    assert_eq!(
        told(&s.mandal("audited_error_rate", "S1-M1").await),
        json!([null, 0, 0, null])
    );
    for check in [crate::draws::refutes(&path, 1), crate::draws::confirms(&path, 2)] {
        crate::draws::send(&s.admin, &check).await.expect(201);
    }
    let item = s.mandal("audited_error_rate", "S1-M1").await;
    assert_eq!(told(&item), json!([50.0, 1, 2, 40.0]));
    assert_eq!(
        item["missing"], 0.8,
        "visits too many, of those that could be drawn"
    );
    assert_eq!(item["heaviest"][0]["unit"]["code"], "S1-B2");
    let audited = s.get(&item["trace"]["numerator"]).await;
    assert_eq!(
        (&audited["mismatched"], &audited["checked"]),
        (&item["numerator"], &item["denominator"])
    );
    assert_eq!(audited["error_rate"]["rate"], 0.5);
    assert_eq!(
        s.mandal("audited_error_rate", "S1-M2").await["actual"],
        Value::Null
    );
}
