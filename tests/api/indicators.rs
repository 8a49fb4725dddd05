//! How workers and booths differ from their peers: figures against a naive recount of the rows, their order, their bounds.

mod picture;
mod recount;

use chrono::NaiveDate;
use sampark::access::Role;
use serde_json::{Value, json};

use crate::support::{Actor, TestApp, World};
use recount::{Row, insert};

/// A mandal's coordinator and a campaign of his state.
pub struct Scene {
    pub app: TestApp,
    pub world: World,
    pub coordinator: Actor,
    pub campaign: i32,
}

impl Scene {
    pub async fn build() -> Self {
        let app = TestApp::start().await;
        let world = World::build(&app).await;
        Self {
            coordinator: world.actor(&app, Role::MandalCoordinator, "S1-M1").await,
            campaign: world.campaign("S1").await,
            app,
            world,
        }
    }

    pub fn path(&self, unit: &str, by: &str, more: &str) -> String {
        format!(
            "/v1/units/{}/{by}-indicators?campaign_id={}&from=2026-11-01&to=2026-11-23{more}",
            self.world.unit(unit),
            self.campaign
        )
    }

    /// The whole list, in pages of so many.
    pub async fn list(&self, unit: &str, by: &str, limit: usize) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = self.path(unit, by, &format!("&limit={limit}{cursor}"));
            let page = self.coordinator.client.get(&path).await.expect(200).json;
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }
}

pub fn day(n: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, n).unwrap()
}

/// Six workers with 40 visits each, of whom the last meets somebody behind every door.
async fn fill(s: &Scene) {
    let mut rows = Vec::new();
    for worker in 1..=6 {
        for n in 0..40 {
            rows.push(Row {
                booth: s
                    .world
                    .unit(["S1-B1", "S1-B2"][usize::try_from(worker % 2).unwrap()]),
                worker,
                // Half and a little more or less, by worker.
                met: worker == 6 || n % 2 == 0 || n < worker,
                ..Row::plain()
            });
        }
    }
    insert(&s.world, s.campaign, &rows).await;
}

#[actix_web::test]
async fn who_is_unlike_his_peers_comes_first_and_pages_hold_everyone_once() {
    let s = Scene::build().await;
    fill(&s).await;
    let all = s.list("S1-M1", "worker", 500).await;
    assert_eq!(all.len(), 6);
    assert_eq!(all[0]["worker_id"], 6);
    let rate = &all[0]["indicators"]["contact_rate"];
    assert_eq!((&rate["value"], &rate["sample"]), (&json!(1.0), &json!(40)));
    assert!(rate["robust_z"].as_f64().unwrap() > 3.5, "{rate}");
    assert_eq!(all[0]["unlike"], rate["robust_z"]);
    assert_eq!(rate["spread"]["peers"], 6);
    for limit in 1..=5 {
        assert_eq!(s.list("S1-M1", "worker", limit).await, all, "pages of {limit}");
    }
    // Two booths are no peers enough for a spread, and nothing is said of back-checks that nobody made.
    let booths = s.list("S1-M1", "booth", 1).await;
    assert_eq!(booths.len(), 2);
    for booth in &booths {
        assert_eq!((&booth["unlike"], &booth["visits"]), (&json!(null), &json!(120)));
        let rate = &booth["indicators"]["contact_rate"];
        assert!(rate["value"].is_number() && rate["spread"].is_null() && rate["robust_z"].is_null());
        let mismatch = &booth["indicators"]["mismatch_rate"];
        assert_eq!(
            (&mismatch["value"], &mismatch["sample"]),
            (&json!(null), &json!(0))
        );
    }
}

#[actix_web::test]
async fn nineteen_visits_give_no_value_and_twenty_do() {
    let s = Scene::build().await;
    let of = |worker, n| Row {
        booth: s.world.unit("S1-B1"),
        worker,
        met: n % 2 == 0,
        ..Row::plain()
    };
    let mut rows: Vec<Row> = (0..19).map(|n| of(1, n)).collect();
    insert(&s.world, s.campaign, &rows).await;
    let figure = async || s.list("S1-M1", "worker", 50).await[0]["indicators"]["contact_rate"].clone();
    let few = figure().await;
    assert_eq!((&few["value"], &few["sample"]), (&json!(null), &json!(19)));
    rows = vec![of(1, 19)];
    insert(&s.world, s.campaign, &rows).await;
    let enough = figure().await;
    assert_eq!((&enough["value"], &enough["sample"]), (&json!(0.5), &json!(20)));
}

#[actix_web::test]
async fn peers_are_those_of_the_mandal_as_far_as_it_lies_under_the_unit() {
    let s = Scene::build().await;
    fill(&s).await;
    // Another mandal of the same district: its workers are each other's peers.
    let far: Vec<Row> = (0..40)
        .map(|_| Row {
            booth: s.world.unit("S1-B4"),
            worker: 6,
            ..Row::plain()
        })
        .collect();
    insert(&s.world, s.campaign, &far).await;
    let district = s
        .world
        .actor(&s.app, Role::DistrictCoordinator, "S1-D1")
        .await
        .client;
    let items = district
        .get(&s.path("S1-D1", "worker", ""))
        .await
        .expect(200)
        .json["items"]
        .clone();
    let items = items.as_array().unwrap();
    assert_eq!(items.len(), 7, "worker 6 stands in each of his mandals");
    let other = items
        .iter()
        .find(|item| item["mandal_id"] == s.world.unit("S1-M2"))
        .unwrap();
    assert_eq!((&other["worker_id"], &other["visits"]), (&json!(6), &json!(40)));
    assert_eq!(other["indicators"]["contact_rate"]["spread"], json!(null));
    // The same figures for whoever asks from above.
    let mine = s.list("S1-M1", "worker", 50).await;
    let ours: Vec<&Value> = items
        .iter()
        .filter(|item| item["mandal_id"] == s.world.unit("S1-M1"))
        .collect();
    assert_eq!(ours, mine.iter().collect::<Vec<_>>());
    // One booth of the mandal: who works elsewhere is no peer.
    let booth = s.list("S1-B2", "worker", 50).await;
    let workers: Vec<&Value> = booth.iter().map(|item| &item["worker_id"]).collect();
    assert_eq!(workers, [1, 3, 5]);
    assert_eq!(booth[0]["indicators"]["contact_rate"]["spread"], json!(null));
    s.coordinator
        .client
        .get(&s.path("S1-D1", "worker", ""))
        .await
        .expect(404);
    s.coordinator
        .client
        .get(&s.path("S1-M2", "worker", ""))
        .await
        .expect(404);
}

#[actix_web::test]
async fn a_period_has_bounds_and_a_cursor_belongs_to_its_list() {
    let s = Scene::build().await;
    fill(&s).await;
    let client = &s.coordinator.client;
    let base = format!("/v1/units/{}/worker-indicators", s.world.unit("S1-M1"));
    for (query, code) in [
        ("campaign_id=1&from=2026-11-02&to=2026-11-01", "before_from"),
        ("campaign_id=1&from=2026-08-01&to=2026-11-01", "too_long"),
        ("campaign_id=1&from=2025-11-22&to=2025-11-30", "too_old"),
    ] {
        let refused = client.get(&format!("{base}?{query}")).await.expect(422);
        assert_eq!(refused.json["errors"][0]["code"], code, "{query}");
    }
    for query in [
        "campaign_id=1&from=2026-08-01&to=2026-10-31",
        "campaign_id=1&from=2025-11-23&to=2025-11-30",
    ] {
        client.get(&format!("{base}?{query}")).await.expect(200);
    }
    let page = client
        .get(&s.path("S1-M1", "worker", "&limit=1"))
        .await
        .expect(200)
        .json;
    let cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap());
    client.get(&s.path("S1-M1", "booth", &cursor)).await.expect(400);
    // A campaign that is not there is one without visits.
    let none = client
        .get(&format!("{base}?campaign_id=999&from=2026-11-01&to=2026-11-30"))
        .await;
    assert_eq!(none.expect(200).json["items"], json!([]));
}

#[actix_web::test]
async fn more_than_two_thousand_booths_are_too_many_at_once() {
    let s = Scene::build().await;
    let sql = format!(
        "INSERT INTO units (id, code, level, name, state_id, created_at, updated_at)
         SELECT n, 'T' || n, 'booth', 'Booth', {state}, now(), now() FROM generate_series(5001, 6998) n;
         INSERT INTO lineages (unit_id, valid_from, state_id, unit_ids)
         SELECT n, '0001-01-01', {state}, ARRAY[{nation}, {state}, {district}, n] FROM generate_series(5001, 6998) n",
        nation = s.world.unit("IN"),
        state = s.world.unit("S1"),
        district = s.world.unit("S1-D1"),
    );
    s.world.db.batch_execute(&sql).await.unwrap();
    let client = s.world.actor(&s.app, Role::StateAdmin, "S1").await.client;
    let refused = client.get(&s.path("S1", "booth", "")).await.expect(422);
    assert_eq!(refused.json["errors"][0]["code"], "too_many_booths");
    s.world
        .db
        .batch_execute("DELETE FROM lineages WHERE unit_id > 6995")
        .await
        .unwrap();
    client.get(&s.path("S1", "booth", "")).await.expect(200);
}

#[actix_web::test]
async fn what_back_checks_refuted_is_the_mismatch_rate_of_who_made_the_visits() {
    let s = Scene::build().await;
    fill(&s).await;
    // A draw of 30 visits of worker 1 in S1-B2: 22 confirmed, 3 refuted, 3 that nobody could tell, 2 that came too late.
    let sql = format!(
        "INSERT INTO draws (id, state_id, unit_id, campaign_id, from_on, to_on, outcomes, strata, planned_size, planned_decision,
             size, decision_number, unconfirmed, compare, frame_size, frame_digest, requested_by, requested_at, entry_number,
             head_size, seed, drawn_at)
         VALUES (1, {state}, {mandal}, {campaign}, '2026-11-02', '2026-11-20', '{{}}', 'none', 30, 4, 30, 4, 'left_out', '{{}}', 30,
             sha256(''), {verifier}, now(), 1, 1, sha256(''), now());
         INSERT INTO draw_frames (draw_id, place, visit_id, version, booth_id, worker_id, visited_on)
         SELECT 1, n, gen_random_uuid(), 1, {booth}, 1, '2026-11-10' FROM generate_series(1, 30) n;
         INSERT INTO draw_items (draw_id, number, place, unit_ids)
         SELECT 1, n, n, ARRAY[{state}, {mandal}, {booth}] FROM generate_series(1, 30) n;
         INSERT INTO back_checks (state_id, id, draw_id, number, booth_id, verifier_id, checked_at, received_at, outcome, observed,
             finding, evidence, late, sent_digest, salts)
         SELECT {state}, gen_random_uuid(), 1, n, {booth}, {verifier}, now(), now(), 'found', '{{}}',
             CASE WHEN n <= 22 THEN 'match' WHEN n BETWEEN 26 AND 28 THEN 'unconfirmed' ELSE 'mismatch' END, '[]', n > 28,
             sha256(''), '' FROM generate_series(1, 30) n",
        state = s.world.unit("S1"),
        mandal = s.world.unit("S1-M1"),
        booth = s.world.unit("S1-B2"),
        campaign = s.campaign,
        verifier = s.coordinator.worker_id,
    );
    s.world.db.batch_execute(&sql).await.unwrap();
    let rate = async |by: &str, id: i32| {
        let items = s.list("S1-M1", by, 50).await;
        let item = items.iter().find(|item| item[format!("{by}_id")] == id);
        item.unwrap()["indicators"]["mismatch_rate"].clone()
    };
    for (by, id) in [("worker", 1), ("booth", s.world.unit("S1-B2"))] {
        let found = rate(by, id).await;
        assert_eq!(
            (&found["value"], &found["sample"]),
            (&json!(0.12), &json!(25)),
            "{by}"
        );
    }
    assert_eq!(rate("worker", 2).await["sample"], 0);
    // A draw that reaches beyond the period is not of it.
    let sql = "UPDATE draws SET from_on = '2026-10-31'";
    s.world.db.batch_execute(sql).await.unwrap();
    assert_eq!(rate("worker", 1).await["sample"], 0);
}
