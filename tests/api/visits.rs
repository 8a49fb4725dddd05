//! Recording, reading, correcting, voiding and exporting visits.

use sampark::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Client, TestApp, World};

/// A visit as a phone would send it.
pub fn visit(world: &World, campaign: i32, booth: &str) -> Value {
    json!({
        "id": Uuid::now_v7(), "campaign_id": campaign, "booth_id": world.unit(booth),
        "visited_at": "2026-11-23T11:00:00+05:30", "outcome": "met", "people_met": 2,
    })
}

fn with(mut visit: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        visit[key] = value.clone();
    }
    visit
}

struct Scene {
    app: TestApp,
    world: World,
    campaign: i32,
    worker: Client,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await.client;
    Scene {
        app,
        world,
        campaign,
        worker,
    }
}

async fn totals(client: &Client, unit: i32) -> Value {
    client
        .get(&format!("/v1/units/{unit}/totals"))
        .await
        .expect(200)
        .json["totals"]
        .clone()
}

#[actix_web::test]
async fn a_visit_is_counted_at_every_level_at_once() {
    let s = scene().await;
    let admin = s.world.actor(&s.app, Role::NationalAdmin, "IN").await.client;
    let sent = visit(&s.world, s.campaign, "S1-B1");
    let answer = s.worker.post("/v1/visits", sent.clone()).await.expect(201);
    assert_eq!(answer.json["id"], sent["id"]);
    assert_eq!(answer.json["visited_on"], "2026-11-23");
    assert_eq!(answer.header("etag"), Some("\"1\""));
    for code in ["S1-B1", "S1-M1", "S1-D1", "S1", "S1-AC1", "S1-PC1", "IN"] {
        let totals = totals(&admin, s.world.unit(code)).await;
        assert_eq!(
            (&totals["visits"], &totals["people_met"]),
            (&json!(1), &json!(2)),
            "{code}"
        );
    }
    for code in ["S1-B2", "S1-M2", "S1-AC2", "S2"] {
        assert_eq!(totals(&admin, s.world.unit(code)).await["visits"], 0, "{code}");
    }
}

#[actix_web::test]
async fn the_same_visit_again_is_the_same_answer_and_counts_once() {
    let s = scene().await;
    let sent = visit(&s.world, s.campaign, "S1-B1");
    let first = s.worker.post("/v1/visits", sent.clone()).await.expect(201);
    let again = s.worker.post("/v1/visits", sent.clone()).await.expect(200);
    assert_eq!(first.json, again.json);
    // The same instant written in another way is the same visit.
    let other_zone = with(sent.clone(), json!({"visited_at": "2026-11-23T05:30:00Z"}));
    s.worker.post("/v1/visits", other_zone).await.expect(200);
    let other = with(sent, json!({"people_met": 3}));
    let conflict = s.worker.post("/v1/visits", other).await.expect(409);
    assert_eq!(conflict.json["code"], "visit_conflict");
    assert_eq!(conflict.json["stored"]["people_met"], 2);
    assert_eq!(totals(&s.worker, s.world.unit("S1-B1")).await["visits"], 1);
}

#[actix_web::test]
async fn another_workers_id_is_a_conflict_that_shows_nothing() {
    let s = scene().await;
    let sent = visit(&s.world, s.campaign, "S1-B1");
    s.worker.post("/v1/visits", sent.clone()).await.expect(201);
    let other = s.world.actor(&s.app, Role::BoothWorker, "S1-B2").await.client;
    let taken = with(sent, json!({"booth_id": s.world.unit("S1-B2")}));
    let conflict = other.post("/v1/visits", taken).await.expect(409);
    assert_eq!(conflict.json.get("stored"), None);
}

#[actix_web::test]
async fn a_bad_item_is_answered_by_itself_and_its_neighbours_are_stored() {
    let s = scene().await;
    let good = visit(&s.world, s.campaign, "S1-B1");
    let items = [
        good.clone(),
        with(visit(&s.world, s.campaign, "S1-B1"), json!({"campaign_id": 999})),
        with(
            visit(&s.world, s.campaign, "S1-B1"),
            json!({"booth_id": s.world.unit("S2-B1")}),
        ),
        with(visit(&s.world, s.campaign, "S1-B1"), json!({"people_met": "two"})),
        with(
            visit(&s.world, s.campaign, "S1-B1"),
            json!({"note": "x".repeat(100_000)}),
        ),
        with(visit(&s.world, s.campaign, "S1-B1"), json!({"note": "LONE"})),
        with(visit(&s.world, s.campaign, "S1-B1"), json!({"id": "not-a-uuid"})),
        with(
            visit(&s.world, s.campaign, "S1-B1"),
            json!({"household_id": Uuid::new_v4()}),
        ),
        with(
            visit(&s.world, s.campaign, "S1-B1"),
            json!({"answers": {"nonsense": 1}}),
        ),
        with(visit(&s.world, s.campaign, "S1-B1"), json!({"note": "a\u{0}b"})),
        json!(7),
        visit(&s.world, s.campaign, "S1-B1"),
    ];
    let body = json!({ "visits": items }).to_string().replace("LONE", "\\ud800");
    let answer = s
        .worker
        .send(
            "POST",
            "/v1/visits/batch",
            Some(("application/json", body.into_bytes())),
        )
        .await;
    let answer = answer.expect(200);
    let results = answer.json["results"].as_array().unwrap();
    let summary: Vec<(&str, &str)> = results
        .iter()
        .map(|item| {
            (
                item["status"].as_str().unwrap(),
                item["problem"]["code"].as_str().unwrap_or(""),
            )
        })
        .collect();
    assert_eq!(
        summary,
        [
            ("created", ""),
            ("rejected", "unknown_campaign"),
            ("rejected", "outside_scope"),
            ("rejected", "invalid"),
            ("rejected", "invalid"),
            ("rejected", "unreadable_body"),
            ("rejected", "invalid"),
            ("rejected", "unknown_household"),
            ("rejected", "invalid"),
            ("rejected", "invalid"),
            ("rejected", "invalid"),
            ("created", ""),
        ]
    );
    assert_eq!(results[3]["problem"]["errors"][0]["pointer"], "/people_met");
    assert_eq!(results[6]["id"], Value::Null);
    assert_eq!(results[5]["id"], items[5]["id"]);
    assert_eq!(totals(&s.worker, s.world.unit("S1-B1")).await["visits"], 2);
}

#[actix_web::test]
async fn the_same_visit_twice_in_a_batch_is_created_and_duplicate() {
    let s = scene().await;
    let sent = visit(&s.world, s.campaign, "S1-B1");
    let other = with(sent.clone(), json!({"people_met": 9}));
    let body = json!({"visits": [sent, sent, other]});
    let answer = s.worker.post("/v1/visits/batch", body).await.expect(200);
    let statuses: Vec<&str> = (0..3)
        .map(|n| answer.json["results"][n]["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["created", "duplicate", "conflict"]);
}

#[actix_web::test]
async fn a_batch_of_none_or_too_many_is_refused_whole() {
    let s = scene().await;
    s.worker
        .post("/v1/visits/batch", json!({"visits": []}))
        .await
        .expect(422);
    let many = vec![json!(1); 501];
    s.worker
        .post("/v1/visits/batch", json!({"visits": many}))
        .await
        .expect(422);
}

#[actix_web::test]
async fn a_visit_of_1970_or_2090_is_stored_and_flagged() {
    let s = scene().await;
    let old = with(
        visit(&s.world, s.campaign, "S1-B1"),
        json!({"visited_at": "1970-01-01T00:00:00Z"}),
    );
    let answer = s.worker.post("/v1/visits", old).await.expect(201);
    assert_eq!(answer.json["visited_on"], "2026-11-01");
    assert_eq!(answer.json["flags"][0]["code"], "backdated");
    let future = with(
        visit(&s.world, s.campaign, "S1-B1"),
        json!({"visited_at": "2090-01-01T00:00:00Z"}),
    );
    let answer = s.worker.post("/v1/visits", future).await.expect(201);
    assert_eq!(answer.json["visited_on"], "2026-11-23");
    assert_eq!(answer.json["flags"][0]["code"], "clock_skew");
    let totals = totals(&s.worker, s.world.unit("S1-B1")).await;
    assert_eq!((&totals["visits"], &totals["flagged"]), (&json!(2), &json!(2)));
}

#[actix_web::test]
async fn support_is_refused_where_the_campaign_does_not_ask() {
    let s = scene().await;
    let sent = with(
        visit(&s.world, s.campaign, "S1-B1"),
        json!({"support": 4, "issues": ["sky"]}),
    );
    let answer = s.worker.post("/v1/visits", sent).await.expect(422);
    let pointers: Vec<&str> = answer.json["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/support", "/issues/0"]);
}

#[actix_web::test]
async fn a_worker_moved_since_may_still_upload_yesterdays_visit() {
    let s = scene().await;
    let moved = s.world.worker(&s.app, "S1-B1").await;
    s.world
        .grant(
            moved.worker_id,
            Role::BoothWorker,
            "S1-B2",
            "2026-11-01",
            Some("2026-11-22"),
        )
        .await;
    s.world
        .grant(moved.worker_id, Role::BoothWorker, "S1-B3", "2026-11-23", None)
        .await;
    let yesterday = json!({"visited_at": "2026-11-22T11:00:00+05:30"});
    let there = with(visit(&s.world, s.campaign, "S1-B2"), yesterday.clone());
    let answer = moved.client.post("/v1/visits", there).await.expect(201);
    assert_eq!(answer.json["flags"], json!([]));
    // Today he may not record there any more.
    let today = visit(&s.world, s.campaign, "S1-B2");
    let refused = moved.client.post("/v1/visits", today).await.expect(422);
    assert_eq!(refused.json["code"], "outside_scope");
    // Where he is now, yesterday's visit is taken with a doubt.
    let early = with(visit(&s.world, s.campaign, "S1-B3"), yesterday);
    let answer = moved.client.post("/v1/visits", early).await.expect(201);
    assert_eq!(answer.json["flags"][0]["code"], "no_grant_on_day");
}

#[actix_web::test]
async fn a_door_counts_once_on_the_day_of_its_earliest_live_contact() {
    let s = scene().await;
    let coordinator = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M1")
        .await
        .client;
    let door = s.world.household("S1-B1").await;
    let on = |day: &str| {
        with(
            visit(&s.world, s.campaign, "S1-B1"),
            json!({"household_id": door, "visited_at": format!("2026-11-{day}T11:00:00+05:30")}),
        )
    };
    let reached = async |client: &Client| {
        let path = format!("/v1/units/{}/totals?interval=day", s.world.unit("S1-M1"));
        let answer = client.get(&path).await.expect(200).json;
        let days: Vec<(String, i64)> = answer["series"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|day| day["doors_reached"] != 0)
            .map(|day| {
                (
                    day["from"].as_str().unwrap()[8..].to_owned(),
                    day["doors_reached"].as_i64().unwrap(),
                )
            })
            .collect();
        days
    };
    let day = |day: &str| vec![(day.to_owned(), 1)];
    s.worker.post("/v1/visits", on("22")).await.expect(201);
    assert_eq!(reached(&coordinator).await, day("22"));
    s.worker.post("/v1/visits", on("23")).await.expect(201);
    assert_eq!(reached(&coordinator).await, day("22"));
    let earliest = on("20");
    s.worker.post("/v1/visits", earliest.clone()).await.expect(201);
    assert_eq!(reached(&coordinator).await, day("20"));
    let path = format!("/v1/visits/{}/void", earliest["id"].as_str().unwrap());
    coordinator
        .post(&path, json!({"reason": "Wrong door"}))
        .await
        .expect(200);
    assert_eq!(reached(&coordinator).await, day("22"));
}

#[actix_web::test]
async fn a_correction_is_a_new_version_and_moves_the_totals() {
    let s = scene().await;
    let sent = visit(&s.world, s.campaign, "S1-B1");
    let path = format!("/v1/visits/{}", sent["id"].as_str().unwrap());
    s.worker.post("/v1/visits", sent.clone()).await.expect(201);
    let patch = json!({"outcome": "not_home", "people_met": 0});
    s.worker.patch(&path, patch.clone()).await.expect(428);
    s.worker
        .header("If-Match", "\"7\"")
        .patch(&path, patch.clone())
        .await
        .expect(412);
    let answer = s
        .worker
        .header("If-Match", "\"1\"")
        .patch(&path, patch)
        .await
        .expect(200);
    assert_eq!(
        (&answer.json["version"], &answer.json["outcome"]),
        (&json!(2), &json!("not_home"))
    );
    let booth = totals(&s.worker, s.world.unit("S1-B1")).await;
    assert_eq!(
        (
            &booth["visits"],
            &booth["met"],
            &booth["not_home"],
            &booth["people_met"]
        ),
        (&json!(1), &json!(0), &json!(1), &json!(0))
    );
    let versions = s.worker.get(&format!("{path}/versions")).await.expect(200).json;
    assert_eq!(versions["items"][0]["visit"]["outcome"], "met");
    assert_eq!(versions["items"][1]["visit"]["outcome"], "not_home");
    // A resend of what was first sent is still the same visit, and shows how it stands.
    let again = s.worker.post("/v1/visits", sent).await.expect(200);
    assert_eq!(again.json["version"], 2);
}

#[actix_web::test]
async fn a_void_takes_the_visit_out_of_every_figure() {
    let s = scene().await;
    let coordinator = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M1")
        .await
        .client;
    let sent = visit(&s.world, s.campaign, "S1-B1");
    s.worker.post("/v1/visits", sent.clone()).await.expect(201);
    let path = format!("/v1/visits/{}/void", sent["id"].as_str().unwrap());
    s.worker
        .post(&path, json!({"reason": "Mistake"}))
        .await
        .expect(403);
    let answer = coordinator
        .post(&path, json!({"reason": "Invented"}))
        .await
        .expect(200);
    assert_eq!(answer.json["voided"], true);
    coordinator
        .post(&path, json!({"reason": "Invented"}))
        .await
        .expect(200);
    let totals = totals(&coordinator, s.world.unit("S1-M1")).await;
    assert_eq!((&totals["visits"], &totals["voided"]), (&json!(0), &json!(1)));
    let patch = json!({"outcome": "refused"});
    let visit_path = path.trim_end_matches("/void");
    let refused = coordinator
        .header("If-Match", "\"2\"")
        .patch(visit_path, patch)
        .await
        .expect(409);
    assert_eq!(refused.json["code"], "already_voided");
}

#[actix_web::test]
async fn nobody_sees_what_lies_outside_his_grants() {
    let s = scene().await;
    let sent = visit(&s.world, s.campaign, "S1-B1");
    s.worker.post("/v1/visits", sent.clone()).await.expect(201);
    let path = format!("/v1/visits/{}", sent["id"].as_str().unwrap());
    let neighbour = s.world.actor(&s.app, Role::BoothWorker, "S1-B2").await.client;
    let other_mandal = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M2")
        .await
        .client;
    for stranger in [&neighbour, &other_mandal] {
        let hidden = stranger
            .header("X-Request-Id", "same")
            .get(&path)
            .await
            .expect(404);
        let absent = stranger
            .header("X-Request-Id", "same")
            .get(&format!("/v1/visits/{}", Uuid::new_v4()))
            .await
            .expect(404);
        assert_eq!(hidden.body, absent.body);
        assert_eq!(
            stranger.get("/v1/visits").await.expect(200).json["items"],
            json!([])
        );
        let filter = format!("/v1/visits?booth_id={}", s.world.unit("S1-B1"));
        stranger.get(&filter).await.expect(404);
    }
    let own = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M1")
        .await
        .client;
    own.get(&path).await.expect(200);
    neighbour.get("/v1/visits/export").await.expect(403);
}

#[actix_web::test]
async fn lists_are_paged_without_gap_or_repetition() {
    let s = scene().await;
    let state = s.world.actor(&s.app, Role::StateAdmin, "S1").await.client;
    let visits: Vec<Value> = (0..25)
        .map(|n| {
            let day = format!("2026-11-{:02}T11:00:00+05:30", 10 + n % 7);
            with(visit(&s.world, s.campaign, "S1-B1"), json!({"visited_at": day}))
        })
        .collect();
    s.worker
        .post("/v1/visits/batch", json!({"visits": visits}))
        .await
        .expect(200);
    for client in [&s.worker, &state] {
        let mut seen = Vec::new();
        let mut path = "/v1/visits?limit=7".to_owned();
        loop {
            let page = client.get(&path).await.expect(200).json;
            for item in page["items"].as_array().unwrap() {
                seen.push((
                    item["visited_on"].as_str().unwrap().to_owned(),
                    item["id"].to_string(),
                ));
            }
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("/v1/visits?limit=7&cursor={cursor}"),
                None => break,
            }
        }
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        sorted.reverse();
        assert_eq!(seen, sorted);
        assert_eq!(seen.len(), 25);
    }
    let some = state
        .get("/v1/visits?from=2026-11-12&to=2026-11-13&outcome=met")
        .await
        .expect(200);
    assert_eq!(some.json["items"].as_array().unwrap().len(), 8);
    state.get("/v1/visits?cursor=abc").await.expect(400);
    state.get("/v1/visits?nonsense=1").await.expect(422);
}

#[actix_web::test]
async fn an_export_is_safe_for_spreadsheets_and_whole() {
    let s = scene().await;
    let coordinator = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M1")
        .await
        .client;
    let visits: Vec<Value> = (0..3)
        .map(|n| {
            with(
                visit(&s.world, s.campaign, "S1-B1"),
                json!({"note": format!("=1+{n}, \"x\"")}),
            )
        })
        .collect();
    s.worker
        .post("/v1/visits/batch", json!({"visits": visits}))
        .await
        .expect(200);
    let csv = coordinator.get("/v1/visits/export?format=csv").await.expect(200);
    assert_eq!(csv.text().lines().count(), 4);
    assert!(csv.text().contains("\"'=1+0, \"\"x\"\"\""), "{}", csv.text());
    let ndjson = coordinator
        .get("/v1/visits/export?format=ndjson")
        .await
        .expect(200);
    let rows: Vec<Value> = ndjson
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 3);
    coordinator.get("/v1/visits/export?format=xml").await.expect(422);
}

#[actix_web::test]
async fn visits_are_recorded_in_booths_and_nowhere_else() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    for unit in ["IN", "S1", "S1-D1", "S1-M1", "S1-PC1", "S1-AC1"] {
        for outcome in ["met", "locked"] {
            let mut sent = visit(&world, campaign, unit);
            sent["outcome"] = json!(outcome);
            let refused = admin.post("/v1/visits", sent).await.expect(422);
            assert_eq!(refused.json["code"], "outside_scope", "{unit}");
        }
    }
    let stored: i64 = world
        .db
        .query_one("SELECT count(*) FROM visits", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(stored, 0);
}
