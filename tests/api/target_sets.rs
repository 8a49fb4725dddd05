//! Target seats, by hand and by rule, on any day.

use sampark::access::Role;
use serde_json::{Value, json};

use crate::support::{Client, TestApp, World};

struct Scene {
    app: TestApp,
    world: World,
    admin: Client,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    let file = "election,constituency,candidate,party,votes\n\
        LS2014,S1-PC1,A,Example Party,90\nLS2014,S1-PC1,B,Other Party,100\n\
        LS2014,S2-PC1,D,Example Party,10\nLS2014,S2-PC1,E,Other Party,100\n";
    admin
        .send(
            "POST",
            "/v1/imports/results",
            Some(("text/csv", file.as_bytes().to_vec())),
        )
        .await
        .expect(200);
    Scene { app, world, admin }
}

fn by_rule(unit: i32, deficit_below: Value) -> Value {
    json!({"name": "Seats to win", "unit_id": unit, "level": "parliamentary_constituency",
           "version": {"valid_from": "2026-11-20", "reason": "Lost narrowly", "clusters": [],
                       "rule": {"election": "LS2014", "party": "example party", "won": false, "deficit_below": deficit_below}}})
}

async fn members(client: &Client, id: &Value, query: &str) -> Vec<String> {
    let page = client
        .get(&format!("/v1/target-sets/{id}/members?{query}"))
        .await
        .expect(200)
        .json;
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["code"].as_str().unwrap().to_owned())
        .collect()
}

#[actix_web::test]
async fn a_set_is_what_it_was_on_any_day() {
    let s = scene().await;
    let made = s
        .admin
        .post("/v1/target-sets", by_rule(s.world.unit("IN"), json!(50)))
        .await
        .expect(201);
    let id = &made.json["id"];
    assert_eq!(made.json["current"]["member_count"], 1);
    assert_eq!(made.json["current"]["rule"]["deficit_below"], 50);
    let leader = s.world.worker(&s.app, "S2").await.worker_id;
    let path = format!("/v1/target-sets/{id}/versions");
    let next = json!({"valid_from": "2026-11-22", "reason": "All that were lost",
        "members": [{"unit_id": s.world.unit("S1-PC1")}, {"unit_id": s.world.unit("S2-PC1"), "cluster": "East"}],
        "clusters": [{"name": "East", "in_charge": leader}]});
    let changed = s.admin.post(&path, next.clone()).await.expect(201).json;
    assert_eq!(
        (&changed["version"], &changed["current"]["version"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(members(&s.admin, id, "on=2026-11-19").await, Vec::<String>::new());
    assert_eq!(members(&s.admin, id, "on=2026-11-21").await, ["S1-PC1"]);
    assert_eq!(members(&s.admin, id, "").await, ["S1-PC1", "S2-PC1"]);
    assert_eq!(members(&s.admin, id, "version=1").await, ["S1-PC1"]);
    let mut early = next.clone();
    early["valid_from"] = json!("2026-11-21");
    let refused = s.admin.post(&path, early).await.expect(422);
    assert_eq!(refused.json["errors"][0]["pointer"], "/valid_from");
    // One that begins tomorrow is not the set of today.
    let mut later = next;
    later["valid_from"] = json!("2026-11-24");
    later["members"] = json!([{"unit_id": s.world.unit("S2-PC1")}]);
    let planned = s.admin.post(&path, later).await.expect(201).json;
    assert_eq!(
        (&planned["version"], &planned["current"]["version"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(members(&s.admin, id, "").await, ["S1-PC1", "S2-PC1"]);
    let changes = s
        .admin
        .get(&format!("/v1/target-sets/{id}/changes?from=1&to=2"))
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&changes["added"][0]["code"], &changes["reason"]),
        (&json!("S2-PC1"), &json!("All that were lost"))
    );
    assert_eq!(changes["added"][0]["in_charge"], leader);
    let newest = s
        .admin
        .get(&format!("/v1/target-sets/{id}/changes"))
        .await
        .expect(200)
        .json;
    assert_eq!(newest["removed"][0]["code"], "S1-PC1");
    assert_eq!(newest["regrouped"][0]["code"], "S2-PC1");
    s.admin
        .get(&format!("/v1/target-sets/{id}/changes?to=4"))
        .await
        .expect(404);
    let versions = s.admin.get(&path).await.expect(200).json;
    let reasons: Vec<&str> = versions["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["reason"].as_str().unwrap())
        .collect();
    assert_eq!(
        reasons,
        ["All that were lost", "All that were lost", "Lost narrowly"]
    );
}

#[actix_web::test]
async fn a_correction_of_the_results_makes_no_other_set_by_itself() {
    let s = scene().await;
    let set = by_rule(s.world.unit("IN"), json!(50));
    let made = s.admin.post("/v1/target-sets", set).await.expect(201).json;
    let file = "election,constituency,candidate,party,votes\n\
        LS2014,S1-PC1,A,Example Party,900\nLS2014,S1-PC1,B,Other Party,100\n";
    s.admin
        .send(
            "POST",
            "/v1/imports/results",
            Some(("text/csv", file.as_bytes().to_vec())),
        )
        .await
        .expect(200);
    assert_eq!(members(&s.admin, &made["id"], "").await, ["S1-PC1"]);
}

#[actix_web::test]
async fn each_sees_the_members_in_his_scope() {
    let s = scene().await;
    let national = s
        .admin
        .post("/v1/target-sets", by_rule(s.world.unit("IN"), json!(null)))
        .await
        .expect(201)
        .json;
    let state = s.world.actor(&s.app, Role::StateAdmin, "S1").await.client;
    assert_eq!(members(&state, &national["id"], "").await, ["S1-PC1"]);
    let own = state
        .post("/v1/target-sets", by_rule(s.world.unit("S1"), json!(null)))
        .await
        .expect(201)
        .json;
    assert_eq!(own["current"]["member_count"], 1);
    let path = format!("/v1/target-sets/{}/versions", national["id"]);
    let version = by_rule(1, json!(null))["version"].clone();
    state.post(&path, version.clone()).await.expect(403);
    let other = s.world.actor(&s.app, Role::StateAdmin, "S2").await.client;
    other
        .get(&format!("/v1/target-sets/{}", own["id"]))
        .await
        .expect(404);
    other
        .post(&format!("/v1/target-sets/{}/versions", own["id"]), version)
        .await
        .expect(404);
    let listed = other.get("/v1/target-sets").await.expect(200).json;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let under = s.world.unit("S1");
    let listed = s
        .admin
        .get(&format!("/v1/target-sets?under={under}"))
        .await
        .expect(200)
        .json;
    assert_eq!(listed["items"][0]["id"], own["id"]);
    let worker = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await.client;
    worker.get("/v1/target-sets").await.expect(403);
}

#[actix_web::test]
async fn what_cannot_be_a_set_is_refused_field_by_field() {
    let s = scene().await;
    let unit = s.world.unit("S1");
    let foreign = s.world.worker(&s.app, "S2").await.worker_id;
    let state = s.world.actor(&s.app, Role::StateAdmin, "S1").await.client;
    let version = |members: Value, clusters: Value| {
        json!({"name": "Seats", "unit_id": unit, "level": "parliamentary_constituency",
               "version": {"valid_from": "2026-11-20", "reason": "Why", "members": members, "clusters": clusters}})
    };
    let seat = s.world.unit("S1-PC1");
    for (body, pointer) in [
        (version(json!([]), json!([])), "/version/members"),
        (
            version(json!([{"unit_id": s.world.unit("S2-PC1")}]), json!([])),
            "/version/members/0/unit_id",
        ),
        (
            version(json!([{"unit_id": s.world.unit("S1-AC1")}]), json!([])),
            "/version/members/0/unit_id",
        ),
        (
            version(json!([{"unit_id": seat}, {"unit_id": seat}]), json!([])),
            "/version/members/1/unit_id",
        ),
        (
            version(json!([{"unit_id": seat, "cluster": "X"}]), json!([])),
            "/version/members/0/cluster",
        ),
        (
            version(
                json!([{"unit_id": seat}]),
                json!([{"name": "X", "in_charge": foreign}]),
            ),
            "/version/clusters/0/in_charge",
        ),
    ] {
        let answer = state.post("/v1/target-sets", body).await.expect(422);
        assert_eq!(answer.json["errors"][0]["pointer"], pointer);
    }
    let mut rule = by_rule(unit, json!(null));
    rule["version"]["rule"]["party"] = json!("Nobody");
    let answer = state.post("/v1/target-sets", rule).await.expect(422);
    assert_eq!(answer.json["errors"][0]["pointer"], "/version/rule/party");
    let mut rule = by_rule(unit, json!(20));
    rule["version"]["members"] = json!([{"unit_id": s.world.unit("S1-AC1")}]);
    let answer = state.post("/v1/target-sets", rule).await.expect(422);
    assert_eq!(answer.json["errors"][0]["pointer"], "/version/members/0/unit_id");
}

#[actix_web::test]
async fn totals_are_narrowed_to_the_seats_of_a_set() {
    let s = scene().await;
    let campaign = s.world.campaign("IN").await;
    for booth in ["S1-B1", "S1-B5", "S2-B1"] {
        let visit = crate::visits::visit(&s.world, campaign, booth);
        s.admin.post("/v1/visits", visit).await.expect(201);
    }
    let set = json!({"name": "Seats", "unit_id": s.world.unit("IN"), "level": "assembly_constituency",
        "version": {"valid_from": "2026-11-01", "reason": "Why",
                    "members": [{"unit_id": s.world.unit("S1-AC2")}, {"unit_id": s.world.unit("S2-AC1")}]}});
    let set = s.admin.post("/v1/target-sets", set).await.expect(201).json["id"].clone();
    let visits = async |client: &Client, unit: &str, rest: &str| {
        let path = format!("/v1/units/{}/totals{rest}", s.world.unit(unit));
        client.get(&path).await.expect(200).json
    };
    let narrowed = format!("?target_set={set}");
    for (unit, wanted) in [("IN", 2), ("S1", 1), ("S2", 1), ("S1-M1", 0)] {
        assert_eq!(
            visits(&s.admin, unit, &narrowed).await["totals"]["visits"],
            wanted,
            "{unit}"
        );
    }
    let children = visits(
        &s.admin,
        "IN",
        &format!("/children?level=booth&target_set={set}&sort=code"),
    )
    .await;
    let codes: Vec<&str> = children["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["unit"]["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["S1-B5", "S2-B1"]);
    let current = format!(
        "/v1/units/{}/totals{narrowed}&hierarchy=current",
        s.world.unit("S1")
    );
    assert_eq!(
        s.admin.get(&current).await.expect(422).json["errors"][0]["pointer"],
        "/target_set"
    );
    // A set that is not to be seen is told like one that is not there.
    let own = json!({"name": "Seats", "unit_id": s.world.unit("S1"), "level": "assembly_constituency",
        "version": {"valid_from": "2026-11-01", "reason": "Why", "members": [{"unit_id": s.world.unit("S1-AC2")}]}});
    let own = s.admin.post("/v1/target-sets", own).await.expect(201).json["id"].clone();
    let other = s.world.actor(&s.app, Role::StateAdmin, "S2").await.client;
    let path = |id: &Value| format!("/v1/units/{}/totals?target_set={id}", s.world.unit("S2"));
    let foreign = other.get(&path(&own)).await.expect(422).json["errors"].clone();
    assert_eq!(
        foreign,
        other.get(&path(&json!(9999))).await.expect(422).json["errors"]
    );
}
