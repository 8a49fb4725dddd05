//! Units: who sees which, making, changing and moving them, and that totals stay exact when units move.

use sampark::access::Role;
use serde_json::{Value, json};

use crate::exactness::assert_exact;
use crate::support::{Actor, Answer, Settings, TestApp, World};

pub struct Setting {
    pub app: TestApp,
    pub world: World,
    pub admin: Actor,
}

impl Setting {
    pub async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let app = TestApp::start_with(settings).await;
        let world = World::build(&app).await;
        let admin = world.actor(&app, Role::NationalAdmin, "IN").await;
        Self { app, world, admin }
    }

    pub fn path(&self, unit: &str, rest: &str) -> String {
        format!("/v1/units/{}{rest}", self.world.unit(unit))
    }

    pub async fn place(&self, actor: &Actor, unit: &str, tree: &str, parent: &str, from: &str) -> Answer {
        let body = json!({"tree": tree, "parent_id": self.world.unit(parent), "valid_from": from});
        actor.client.post(&self.path(unit, "/placements"), body).await
    }

    /// Codes of the units in the lineage on a day, from the top down.
    async fn lineage(&self, unit: &str, on: &str) -> Vec<String> {
        let answer = self
            .admin
            .client
            .get(&self.path(unit, &format!("/lineage?on={on}")))
            .await
            .expect(200);
        codes(&answer.json["units"])
    }

    async fn visit(&self, campaign: i32, booth: &str, visited_at: &str) {
        let visit = json!({
            "id": uuid::Uuid::new_v4(), "campaign_id": campaign, "booth_id": self.world.unit(booth),
            "visited_at": visited_at, "outcome": "met", "people_met": 2,
        });
        self.admin.client.post("/v1/visits", visit).await.expect(201);
    }

    /// Visits of a unit on a day, posted or not.
    async fn visits(&self, unit: &str, day: &str) -> i64 {
        let path = self.path(unit, &format!("/totals?from={day}&to={day}"));
        let answer = self.admin.client.get(&path).await.expect(200);
        answer.json["totals"]["visits"].as_i64().unwrap()
    }

    async fn entries(&self, action: &str) -> i64 {
        let sql = "SELECT (SELECT count(*) FROM journal WHERE action = $1) + (SELECT count(*) FROM journal_inbox WHERE action = $1)";
        self.world.db.query_one(sql, &[&action]).await.unwrap().get(0)
    }
}

fn codes(items: &Value) -> Vec<String> {
    let items = items.as_array().unwrap();
    items
        .iter()
        .map(|unit| unit["code"].as_str().unwrap().to_owned())
        .collect()
}

fn new_booth(s: &Setting) -> Value {
    json!({
        "code": "S1-B9", "level": "booth", "name": "Primary School, Rampur", "name_local": "प्राथमिक विद्यालय",
        "parents": {"organisation": s.world.unit("S1-M1"), "electorate": s.world.unit("S1-AC1")},
        "electors": 912, "doors": 230, "location": {"lat": 26.8467, "lon": 80.9462},
    })
}

#[actix_web::test]
async fn a_list_shows_the_units_of_ones_grants_and_all_below_and_nothing_else() {
    let s = Setting::new().await;
    let coordinator = s.world.actor(&s.app, Role::MandalCoordinator, "S1-M2").await;
    let list = coordinator.client.get("/v1/units").await.expect(200).json;
    assert_eq!(codes(&list["items"]), ["S1-M2", "S1-B4", "S1-B5"]);
    assert_eq!(list["next_cursor"], Value::Null);
    let seat = s
        .world
        .actor(&s.app, Role::ConstituencyCoordinator, "S1-AC2")
        .await;
    let list = seat.client.get("/v1/units").await.expect(200).json;
    assert_eq!(codes(&list["items"]), ["S1-AC2", "S1-B5"]);
    let nobody = s.world.worker(&s.app, "S1-B1").await;
    nobody.client.get("/v1/units").await.expect(403);
    s.app.anonymous().get("/v1/units").await.expect(401);
}

#[actix_web::test]
async fn a_list_is_filtered_by_level_unit_code_and_text() {
    let s = Setting::new().await;
    let client = &s.admin.client;
    let get =
        async |query: &str| codes(&client.get(&format!("/v1/units?{query}")).await.expect(200).json["items"]);
    assert_eq!(get("level=state").await, ["S1", "S2"]);
    let under = format!("under={}&level=booth", s.world.unit("S1-AC1"));
    assert_eq!(get(&under).await, ["S1-B1", "S1-B2", "S1-B3", "S1-B4"]);
    assert_eq!(get("code=S1-B3").await, ["S1-B3"]);
    assert_eq!(get("code=s1-b3").await, [""; 0]);
    assert_eq!(get("q=unit%20s2-b").await, ["S2-B1"]);
    assert_eq!(get("q=m2").await, ["S1-M2"]);
    // What a pattern would take for a wildcard is text.
    assert_eq!(get("q=S1_B1").await, [""; 0]);
    assert_eq!(get("q=%25").await, [""; 0]);
    client.get("/v1/units?level=village").await.expect(422);
    client.get("/v1/units?under=x").await.expect(422);
    client.get("/v1/units?q=").await.expect(422);
    client.get("/v1/units?under=424242").await.expect(404);
}

#[actix_web::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let s = Setting::new().await;
    let mut seen = Vec::new();
    let mut path = "/v1/units?limit=4".to_owned();
    loop {
        let page = s.admin.client.get(&path).await.expect(200).json;
        assert!(page["items"].as_array().unwrap().len() <= 4);
        seen.extend(codes(&page["items"]));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/units?limit=4&cursor={cursor}"),
            None => break,
        }
    }
    let mut all: Vec<_> = s
        .world
        .units
        .iter()
        .map(|(code, id)| (*id, code.clone()))
        .collect();
    all.sort();
    assert_eq!(seen, all.into_iter().map(|(_, code)| code).collect::<Vec<_>>());
    s.admin.client.get("/v1/units?cursor=x").await.expect(400);
    s.admin.client.get("/v1/units?limit=0").await.expect(422);
}

#[actix_web::test]
async fn what_lies_outside_is_answered_with_the_bytes_of_what_does_not_exist() {
    let s = Setting::new().await;
    let worker = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await;
    let client = worker.client.header("x-request-id", "same");
    let absent = client.get("/v1/units/424242").await.expect(404);
    // The mandal above him, the booth beside, another state.
    for unit in ["S1-M1", "S1", "IN", "S1-B2", "S2-B1"] {
        for rest in ["", "/lineage"] {
            let answer = client.get(&s.path(unit, rest)).await.expect(404);
            assert_eq!(answer.body, absent.body, "{unit}{rest}");
        }
        let patch = client.header("If-Match", "\"1\"");
        let answer = patch
            .patch(&s.path(unit, ""), json!({"name": "Mine"}))
            .await
            .expect(404);
        assert_eq!(answer.body, absent.body, "{unit}");
    }
    let answer = s
        .place(&worker, "S1-B2", "organisation", "S1-M2", "2026-11-23")
        .await;
    assert_eq!(answer.status, 404);
    client.get(&s.path("S1-B1", "")).await.expect(200);
}

#[actix_web::test]
async fn a_worker_learns_the_names_of_the_units_above_his_own() {
    let s = Setting::new().await;
    let worker = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await;
    let answer = worker.client.get(&s.path("S1-B1", "/lineage")).await.expect(200);
    assert_eq!(
        codes(&answer.json["units"]),
        ["IN", "S1", "S1-D1", "S1-PC1", "S1-M1", "S1-AC1", "S1-B1"]
    );
    assert_eq!(answer.json["on"], "2026-11-23");
    assert_eq!(
        answer.json["units"][4],
        json!({"id": s.world.unit("S1-M1"), "code": "S1-M1", "level": "mandal", "name": "Unit S1-M1", "name_local": null})
    );
    let tag = answer.header("etag").unwrap();
    let again = worker.client.header("If-None-Match", tag);
    again.get(&s.path("S1-B1", "/lineage")).await.expect(304);
    worker
        .client
        .get(&s.path("S1-B1", "/lineage?on=0001-01-01"))
        .await
        .expect(422);
}

#[actix_web::test]
async fn who_may_read_but_not_change_is_told_so() {
    let s = Setting::new().await;
    let coordinator = s.world.actor(&s.app, Role::DistrictCoordinator, "S1-D1").await;
    let patch = coordinator.client.header("If-Match", "\"1\"");
    patch
        .patch(&s.path("S1-B1", ""), json!({"name": "Mine"}))
        .await
        .expect(403);
    let answer = s
        .place(&coordinator, "S1-B1", "organisation", "S1-M2", "2026-11-23")
        .await;
    assert_eq!(answer.status, 403);
    coordinator
        .client
        .post("/v1/units", new_booth(&s))
        .await
        .expect(403);
}

#[actix_web::test]
async fn a_unit_is_made_in_both_trees_and_read_back() {
    let s = Setting::new().await;
    let client = s.admin.client.header("Idempotency-Key", "one");
    let made = client.post("/v1/units", new_booth(&s)).await.expect(201);
    let path = made.header("location").unwrap().to_owned();
    let mut expected = new_booth(&s);
    expected["id"] = made.json["id"].clone();
    expected["state_id"] = s.world.unit("S1").into();
    expected["version"] = 1.into();
    assert_eq!(made.json, expected);
    let again = client.post("/v1/units", new_booth(&s)).await.expect(201);
    assert_eq!(again.body, made.body);
    let read = s.admin.client.get(&path).await.expect(200);
    assert_eq!((&read.json, read.header("etag")), (&expected, Some("\"1\"")));
    let tagged = s.admin.client.header("If-None-Match", "\"1\"");
    tagged.get(&path).await.expect(304);
    let lineage = s
        .admin
        .client
        .get(&format!("{path}/lineage?on=1950-01-26"))
        .await
        .expect(200);
    assert_eq!(
        codes(&lineage.json["units"]),
        ["IN", "S1", "S1-D1", "S1-PC1", "S1-M1", "S1-AC1", "S1-B9"]
    );
    assert_eq!(s.entries("unit.create").await, 1);
}

#[actix_web::test]
async fn a_state_is_its_own_state_and_its_admin_makes_units_in_it_alone() {
    let s = Setting::new().await;
    let nation = s.world.unit("IN");
    let state = json!({"code": "S3", "level": "state", "name": "Third", "parents": {"organisation": nation, "electorate": nation}});
    let state = s.admin.client.post("/v1/units", state).await.expect(201).json;
    assert_eq!(state["state_id"], state["id"]);
    let admin = s.world.actor(&s.app, Role::StateAdmin, "S1").await;
    let mut booth = new_booth(&s);
    booth["parents"] = json!({"organisation": state["id"]});
    let refused = admin.client.post("/v1/units", booth.clone()).await.expect(422);
    assert_eq!(refused.json["errors"][0]["pointer"], "/parents/organisation");
    booth["parents"] = json!({"organisation": s.world.unit("S1-M2")});
    admin.client.post("/v1/units", booth).await.expect(201);
}

#[actix_web::test]
async fn a_unit_that_cannot_be_is_refused_with_every_reason() {
    let s = Setting::new().await;
    let refused = async |body: Value| {
        let answer = s.admin.client.post("/v1/units", body).await.expect(422).json;
        let errors = answer["errors"].as_array().unwrap().clone();
        errors
            .iter()
            .map(|error| {
                let text = |key: &str| error[key].as_str().unwrap().to_owned();
                (text("pointer"), text("code"))
            })
            .collect::<Vec<_>>()
    };
    let is = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
    let body = json!({
        "code": "=x", "level": "nation", "name": "two\nlines", "parents": {}, "electors": -1, "doors": -2,
        "location": {"lat": 91, "lon": 0},
    });
    assert_eq!(
        refused(body).await,
        [
            is("/code", "bad_code"),
            is("/name", "control_character"),
            is("/electors", "out_of_range"),
            is("/doors", "out_of_range"),
            is("/location/lat", "out_of_range"),
            is("/level", "one_nation"),
        ]
    );
    let mut body = new_booth(&s);
    body["parents"] = json!({});
    assert_eq!(refused(body).await, [is("/parents", "missing_field")]);
    let mut body = new_booth(&s);
    body["parents"] = json!({"organisation": s.world.unit("S1-AC1"), "electorate": s.world.unit("S2-AC1")});
    assert_eq!(
        refused(body).await,
        [
            is("/parents/organisation", "wrong_level"),
            is("/parents/electorate", "other_state")
        ]
    );
    let mut body = new_booth(&s);
    body["state_id"] = 1.into();
    assert_eq!(refused(body).await, [is("/state_id", "unknown_field")]);
    let mut body = new_booth(&s);
    body["code"] = "S1-B1".into();
    let taken = s.admin.client.post("/v1/units", body).await.expect(409).json;
    assert_eq!(taken["errors"][0]["pointer"], "/code");
}

#[actix_web::test]
async fn a_change_wants_the_version_that_was_read_and_null_empties() {
    let s = Setting::new().await;
    let path = s.path("S1-B1", "");
    s.admin
        .client
        .patch(&path, json!({"name": "X"}))
        .await
        .expect(428);
    let first = s.admin.client.header("If-Match", "\"1\"");
    let patch =
        json!({"name": "New", "name_local": "नया", "electors": null, "location": {"lat": 1.5, "lon": 2.5}});
    let changed = first.patch(&path, patch.clone()).await.expect(200);
    assert_eq!(changed.header("etag"), Some("\"2\""));
    assert_eq!(changed.json["name"], "New");
    assert_eq!(changed.json["electors"], Value::Null);
    assert_eq!(changed.json["doors"], 100);
    assert_eq!(changed.json["location"], json!({"lat": 1.5, "lon": 2.5}));
    first.patch(&path, patch.clone()).await.expect(412);
    // The same again changes nothing: no version, no entry.
    let second = s.admin.client.header("If-Match", "\"2\"");
    let same = second.patch(&path, patch).await.expect(200);
    assert_eq!(same.header("etag"), Some("\"2\""));
    assert_eq!(s.entries("unit.update").await, 1);
    for wrong in [
        json!({"name": null}),
        json!({"level": "mandal"}),
        json!({"location": {"lat": 1}}),
    ] {
        second.patch(&path, wrong).await.expect(422);
    }
    let emptied = second
        .patch(&path, json!({"location": null, "name_local": null}))
        .await
        .expect(200);
    assert_eq!(
        (&emptied.json["location"], &emptied.json["name_local"]),
        (&Value::Null, &Value::Null)
    );
}

#[actix_web::test]
async fn a_move_takes_effect_from_its_day_and_the_past_stays() {
    let s = Setting::new().await;
    let campaign = s.world.campaign("IN").await;
    s.visit(campaign, "S1-B1", "2026-11-20T10:00:00+05:30").await;
    s.visit(campaign, "S1-B1", "2026-11-22T10:00:00+05:30").await;
    let moved = s
        .place(&s.admin, "S1-B1", "organisation", "S1-M2", "2026-11-22")
        .await
        .expect(201);
    assert_eq!(
        moved.json,
        json!({"unit_id": s.world.unit("S1-B1"), "tree": "organisation", "parent_id": s.world.unit("S1-M2"), "valid_from": "2026-11-22"})
    );
    s.visit(campaign, "S1-B1", "2026-11-23T10:00:00+05:30").await;
    assert!(
        s.lineage("S1-B1", "2026-11-21")
            .await
            .contains(&"S1-M1".to_owned())
    );
    let after = s.lineage("S1-B1", "2026-11-22").await;
    assert!(after.contains(&"S1-M2".to_owned()) && !after.contains(&"S1-M1".to_owned()));
    for (unit, counted) in [
        ("S1-M1", [1, 0, 0]),
        ("S1-M2", [0, 1, 1]),
        ("S1-D1", [1, 1, 1]),
        ("S1-AC1", [1, 1, 1]),
        ("S1", [1, 1, 1]),
    ] {
        for (day, visits) in ["2026-11-20", "2026-11-22", "2026-11-23"].iter().zip(counted) {
            assert_eq!(s.visits(unit, day).await, visits, "{unit} on {day}");
        }
    }
    assert_exact(&s.world.db, "a move").await;
    let unit = s.admin.client.get(&s.path("S1-B1", "")).await.expect(200);
    assert_eq!(unit.json["parents"]["organisation"], s.world.unit("S1-M2"));
    assert_eq!(unit.header("etag"), Some("\"2\""));
    assert_eq!(s.entries("unit.place").await, 1);
}

#[actix_web::test]
async fn a_whole_subtree_moves_with_what_was_counted_since_the_day() {
    for poster in [true, false] {
        let s = Setting::with(Settings { poster, pool_size: 4 }).await;
        let campaign = s.world.campaign("IN").await;
        let district = json!({"code": "S1-D2", "level": "district", "name": "Second", "parents": {"organisation": s.world.unit("S1")}});
        let district = s.admin.client.post("/v1/units", district).await.expect(201).json["id"].clone();
        for booth in ["S1-B1", "S1-B2", "S1-B4"] {
            for day in ["2026-11-18", "2026-11-20", "2026-11-23"] {
                s.visit(campaign, booth, &format!("{day}T09:00:00+05:30")).await;
            }
        }
        let body = json!({"tree": "organisation", "parent_id": district, "valid_from": "2026-11-20"});
        s.admin
            .client
            .post(&s.path("S1-M1", "/placements"), body)
            .await
            .expect(201);
        assert_exact(&s.world.db, "the move of a mandal").await;
        let under = format!("/v1/units?level=booth&under={district}");
        let list = s.admin.client.get(&under).await.expect(200).json;
        assert_eq!(codes(&list["items"]), ["S1-B1", "S1-B2", "S1-B3"]);
        assert_eq!(s.visits("S1-D1", "2026-11-18").await, 3);
        assert_eq!(s.visits("S1-D1", "2026-11-20").await, 1);
        // And back again, as if it had never been.
        s.place(&s.admin, "S1-M1", "organisation", "S1-D1", "2026-11-20")
            .await
            .expect(201);
        assert_exact(&s.world.db, "the move back").await;
        let rows = "SELECT count(*) FROM placements WHERE unit_id = $1";
        let placements: i64 = s
            .world
            .db
            .query_one(rows, &[&s.world.unit("S1-M1")])
            .await
            .unwrap()
            .get(0);
        assert_eq!(placements, 1);
        assert_eq!(s.visits("S1-D1", "2026-11-20").await, 3);
    }
}

#[actix_web::test]
async fn a_move_to_come_waits_for_its_day() {
    let s = Setting::new().await;
    s.place(&s.admin, "S1-B1", "organisation", "S1-M2", "2026-12-01")
        .await
        .expect(201);
    assert!(
        s.lineage("S1-B1", "2026-11-30")
            .await
            .contains(&"S1-M1".to_owned())
    );
    assert!(
        s.lineage("S1-B1", "2026-12-01")
            .await
            .contains(&"S1-M2".to_owned())
    );
    let unit = s.admin.client.get(&s.path("S1-B1", "")).await.expect(200).json;
    assert_eq!(unit["parents"]["organisation"], s.world.unit("S1-M1"));
    let coordinator = s.world.actor(&s.app, Role::MandalCoordinator, "S1-M2").await;
    coordinator.client.get(&s.path("S1-B1", "")).await.expect(404);
    s.app.clock.advance(chrono::TimeDelta::days(8));
    let coordinator = s.world.sign_in(&s.app, coordinator.worker_id).await;
    coordinator.client.get(&s.path("S1-B1", "")).await.expect(200);
}

#[actix_web::test]
async fn placing_a_unit_where_it_stands_changes_nothing() {
    let s = Setting::new().await;
    let answer = s
        .place(&s.admin, "S1-B1", "organisation", "S1-M1", "2026-11-23")
        .await
        .expect(200);
    assert_eq!(answer.json["valid_from"], "0001-01-01");
    assert_eq!(s.entries("unit.place").await, 0);
    let unit = s.admin.client.get(&s.path("S1-B1", "")).await.expect(200);
    assert_eq!(unit.header("etag"), Some("\"1\""));
}

#[actix_web::test]
async fn a_move_out_of_the_state_or_out_of_order_is_refused() {
    let s = Setting::new().await;
    for (unit, tree, parent, code) in [
        ("S1-B1", "organisation", "S2-M1", "other_state"),
        ("S1-B1", "organisation", "S1-B2", "wrong_level"),
        ("S1-M1", "organisation", "S1-B1", "wrong_level"),
        ("S1-B1", "organisation", "S1-AC2", "wrong_level"),
        ("S1-B1", "electorate", "S1-M2", "wrong_level"),
        ("S1-D1", "organisation", "IN", "wrong_level"),
        ("S1-D1", "organisation", "S2", "other_state"),
        ("IN", "organisation", "S1", "wrong_level"),
    ] {
        let answer = s
            .place(&s.admin, unit, tree, parent, "2026-11-23")
            .await
            .expect(422);
        assert_eq!(answer.json["errors"][0]["code"], code, "{unit} under {parent}");
        assert_eq!(answer.json["errors"][0]["pointer"], "/parent_id");
    }
    let body = json!({"tree": "organisation", "parent_id": 424_242, "valid_from": "2026-11-23"});
    let unknown = s
        .admin
        .client
        .post(&s.path("S1-B1", "/placements"), body)
        .await
        .expect(422);
    assert_eq!(unknown.json["errors"][0]["code"], "unknown_unit");
    let answer = s
        .place(&s.admin, "S1-B1", "organisation", "S1-M2", "1899-12-31")
        .await;
    assert_eq!(answer.status, 422);
    assert_eq!(s.entries("unit.place").await, 0);
}
