//! Totals at every level, and that they are exact.

use sampark::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Client, Settings, TestApp, World};
use crate::visits::visit;

struct Scene {
    app: TestApp,
    world: World,
    campaign: i32,
    admin: Client,
}

/// A world with three visits in S1-B1, two in S1-B5 and one in S2-B1.
async fn scene(settings: Settings) -> Scene {
    let app = TestApp::start_with(settings).await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    let door = world.household("S1-B1").await;
    let mut visits = Vec::new();
    for (booth, day, household) in [
        ("S1-B1", "2026-11-21", Some(door)),
        ("S1-B1", "2026-11-22", Some(door)),
        ("S1-B1", "2026-11-23", None),
        ("S1-B5", "2026-11-22", None),
        ("S1-B5", "2026-11-23", None),
        ("S2-B1", "2026-11-23", None),
    ] {
        let mut visit = visit(&world, campaign, booth);
        visit["visited_at"] = json!(format!("{day}T11:00:00+05:30"));
        visit["household_id"] = json!(household);
        visits.push(visit);
    }
    let answer = admin
        .post("/v1/visits/batch", json!({"visits": visits}))
        .await
        .expect(200);
    assert!(
        answer.json["results"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["status"] == "created")
    );
    Scene {
        app,
        world,
        campaign,
        admin,
    }
}

impl Scene {
    async fn get(&self, unit: &str, rest: &str) -> Value {
        let path = format!("/v1/units/{}/totals{rest}", self.world.unit(unit));
        self.admin.get(&path).await.expect(200).json
    }
}

const UNPOSTED: Settings = Settings {
    poster: false,
    pool_size: 4,
};

#[actix_web::test]
async fn what_is_not_posted_counts_all_the_same() {
    let s = scene(UNPOSTED).await;
    let before = s.get("S1", "").await;
    assert_eq!(before["totals"]["visits"], 5);
    assert_eq!(before["totals"]["doors_reached"], 1);
    assert_eq!(before["posted"]["unposted_entries"], 1);
    s.app.posted().await;
    let after = s.get("S1", "").await;
    assert_eq!(after["totals"], before["totals"]);
    assert_eq!(after["posted"]["unposted_entries"], 0);
    assert_eq!(s.get("IN", "").await["totals"]["visits"], 6);
}

#[actix_web::test]
async fn a_period_and_a_campaign_narrow_the_figures_and_an_interval_cuts_them() {
    let s = scene(UNPOSTED).await;
    let some = s.get("S1", "?from=2026-11-22&to=2026-11-23&interval=day").await;
    assert_eq!(some["totals"]["visits"], 4);
    let series: Vec<(&str, i64)> = some["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| (day["from"].as_str().unwrap(), day["visits"].as_i64().unwrap()))
        .collect();
    assert_eq!(series, [("2026-11-22", 2), ("2026-11-23", 2)]);
    let weeks = s.get("S1", "?interval=week").await;
    assert_eq!(weeks["series"][0]["from"], "2026-11-16");
    assert_eq!(
        s.get("S1", &format!("?campaign_id={}", s.campaign + 1)).await["totals"]["visits"],
        0
    );
    assert_eq!(
        s.get("S1", &format!("?campaign_id={}", s.campaign)).await["totals"]["visits"],
        5
    );
    let path = format!("/v1/units/{}/totals", s.world.unit("S1"));
    s.admin
        .get(&format!("{path}?from=2026-11-23&to=2026-11-22"))
        .await
        .expect(422);
    s.admin.get(&format!("{path}?interval=year")).await.expect(422);
}

#[actix_web::test]
async fn totals_have_an_etag_that_changes_with_them() {
    let s = scene(UNPOSTED).await;
    let path = format!("/v1/units/{}/totals", s.world.unit("S1"));
    let first = s.admin.get(&path).await.expect(200);
    let tag = first.header("etag").unwrap().to_owned();
    s.admin.header("If-None-Match", &tag).get(&path).await.expect(304);
    s.admin
        .post("/v1/visits", visit(&s.world, s.campaign, "S1-B2"))
        .await
        .expect(201);
    s.admin.header("If-None-Match", &tag).get(&path).await.expect(200);
}

#[actix_web::test]
async fn children_show_their_figures_and_coverage_in_the_order_asked() {
    let s = scene(UNPOSTED).await;
    let codes = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["unit"]["code"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(codes(&s.get("S1", "/children").await), ["S1-D1", "S1-PC1"]);
    assert_eq!(codes(&s.get("IN", "/children?sort=-visits").await), ["S1", "S2"]);
    let booths = s
        .get("S1", "/children?level=booth&sort=-doors_reached&limit=2")
        .await;
    assert_eq!(codes(&booths), ["S1-B1", "S1-B2"]);
    assert_eq!(booths["items"][0]["coverage"], 0.01);
    assert_eq!(booths["items"][0]["totals"]["visits"], 3);
    let mut seen = codes(&booths);
    let mut cursor = booths["next_cursor"].as_str().map(str::to_owned);
    while let Some(at) = cursor {
        let page = s
            .get(
                "S1",
                &format!("/children?level=booth&sort=-doors_reached&limit=2&cursor={at}"),
            )
            .await;
        seen.extend(codes(&page));
        cursor = page["next_cursor"].as_str().map(str::to_owned);
    }
    assert_eq!(seen, ["S1-B1", "S1-B2", "S1-B3", "S1-B4", "S1-B5"]);
    let path = format!("/v1/units/{}/totals/children", s.world.unit("S1"));
    s.admin.get(&format!("{path}?level=street")).await.expect(422);
    s.admin.get(&format!("{path}?sort=-code")).await.expect(422);
}

#[actix_web::test]
async fn a_check_recounts_and_names_what_was_tampered_with() {
    let s = scene(UNPOSTED).await;
    s.app.posted().await;
    for unit in ["IN", "S1", "S1-M1", "S1-AC1", "S1-B1", "S2"] {
        assert_eq!(s.get(unit, "/check").await["equal"], true, "{unit}");
    }
    let state = s.world.unit("S1");
    s.world
        .db
        .execute(
            "UPDATE totals SET visits = visits + 1 WHERE unit_id = $1 AND day = '2026-11-22'",
            &[&state],
        )
        .await
        .unwrap();
    let check = s.get("S1", "/check").await;
    assert_eq!(check["equal"], false);
    assert_eq!(
        check["differences"],
        json!([{"campaign_id": s.campaign, "day": "2026-11-22", "figure": "visits", "live": 3, "recount": 2}])
    );
}

#[actix_web::test]
async fn totals_are_for_those_whose_grants_say_so() {
    let s = scene(UNPOSTED).await;
    let worker = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await.client;
    let unit = |code: &str| format!("/v1/units/{}/totals", s.world.unit(code));
    worker.get(&unit("S1-B1")).await.expect(200);
    worker.get(&format!("{}/check", unit("S1-B1"))).await.expect(403);
    let hidden = worker
        .header("X-Request-Id", "r")
        .get(&unit("S1-M2"))
        .await
        .expect(404);
    let absent = worker
        .header("X-Request-Id", "r")
        .get("/v1/units/99999/totals")
        .await
        .expect(404);
    assert_eq!(hidden.body, absent.body);
}

#[actix_web::test]
async fn the_current_hierarchy_sums_the_booths_that_lie_there_today() {
    let s = scene(UNPOSTED).await;
    // S1-B1 moves from S1-M1 to S1-M2 today.
    let (booth, old, new) = (
        s.world.unit("S1-B1"),
        s.world.unit("S1-M1"),
        s.world.unit("S1-M2"),
    );
    let moving = format!(
        "UPDATE lineages SET valid_to = '2026-11-23' WHERE unit_id = {booth};
         INSERT INTO lineages (unit_id, valid_from, state_id, unit_ids)
         SELECT unit_id, '2026-11-23', state_id, array_replace(unit_ids, {old}, {new}) FROM lineages WHERE unit_id = {booth}"
    );
    s.world.db.batch_execute(&moving).await.unwrap();
    let visits = async |unit: &str, hierarchy: &str| {
        s.get(unit, &format!("?hierarchy={hierarchy}&to=2026-11-22"))
            .await["totals"]["visits"]
            .clone()
    };
    assert_eq!(
        (visits("S1-M1", "dated").await, visits("S1-M1", "current").await),
        (json!(2), json!(0))
    );
    assert_eq!(
        (visits("S1-M2", "dated").await, visits("S1-M2", "current").await),
        (json!(1), json!(3))
    );
    assert_eq!(
        (visits("S1", "dated").await, visits("S1", "current").await),
        (json!(3), json!(3))
    );
}

#[actix_web::test]
async fn journal_entries_are_numbered_without_a_hole() {
    let s = scene(UNPOSTED).await;
    for _ in 0..5 {
        s.admin
            .post("/v1/visits", visit(&s.world, s.campaign, "S1-B2"))
            .await
            .expect(201);
        s.app.posted().await;
    }
    let unknown = Uuid::new_v4();
    s.admin.get(&format!("/v1/visits/{unknown}")).await.expect(404);
    let rows = s
        .world
        .db
        .query(
            "SELECT number, action, leaf_hash FROM journal WHERE state_id = $1 ORDER BY number",
            &[&s.world.unit("S1")],
        )
        .await
        .unwrap();
    let numbers: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert!(rows.iter().all(|row| row.get::<_, Vec<u8>>(2).len() == 32));
}
