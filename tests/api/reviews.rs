//! Verdicts: what they do to the figures, who may give them, and the queue of visits that wait for one.

mod queue;

use sampark::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::exactness::assert_exact;
use crate::support::{Actor, Client, TestApp, World};
use crate::visits::visit;

struct Scene {
    app: TestApp,
    world: World,
    campaign: i32,
    worker: Actor,
    coordinator: Actor,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await;
    Scene {
        app,
        world,
        campaign,
        worker,
        coordinator,
    }
}

impl Scene {
    /// A stored visit of the worker, changed as told.
    async fn recorded(&self, changes: Value) -> String {
        let mut sent = visit(&self.world, self.campaign, "S1-B1");
        for (key, value) in changes.as_object().unwrap() {
            sent[key] = value.clone();
        }
        let made = self.worker.client.post("/v1/visits", sent).await.expect(201);
        made.json["id"].as_str().unwrap().to_owned()
    }

    async fn totals(&self, unit: &str) -> Value {
        let path = format!("/v1/units/{}/totals", self.world.unit(unit));
        self.coordinator.client.get(&path).await.expect(200).json["totals"].clone()
    }

    async fn exact(&self, after: &str) {
        assert_exact(&self.world.db, after).await;
        let path = format!("/v1/units/{}/totals/check", self.world.unit("S1-M1"));
        let check = self.coordinator.client.get(&path).await.expect(200).json;
        assert_eq!(check["equal"], true, "{check}");
    }

    async fn journalled(&self, action: &str) -> i64 {
        crate::workers::journalled(&self.world, action).await
    }

    fn queue(&self, query: &str) -> String {
        format!("/v1/units/{}/review-queue{query}", self.world.unit("S1-M1"))
    }

    /// The ids of the whole queue, page by page of this many.
    async fn whole_queue(&self, limit: usize, query: &str) -> Vec<String> {
        let mut ids = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = self.queue(&format!("?limit={limit}{query}{cursor}"));
            let page = self.coordinator.client.get(&path).await.expect(200).json;
            ids.extend(ids_of(&page));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return ids,
            }
        }
    }
}

fn ids_of(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item["visit"]["id"].as_str().unwrap().to_owned())
        .collect()
}

fn review(id: &str) -> String {
    format!("/v1/visits/{id}/review")
}

fn rejected() -> Value {
    json!({"verdict": "rejected", "reason": "Nobody there"})
}

#[actix_web::test]
async fn a_rejected_visit_leaves_every_figure_but_rejected_and_comes_back_when_undone() {
    let s = scene().await;
    let door = s.world.household("S1-B1").await;
    let id = s
        .recorded(json!({"household_id": door, "location": {"lat": 26.8, "lon": 80.9, "mock": true}}))
        .await;
    let before = s.totals("S1-M1").await;
    assert_eq!(
        (&before["doors_reached"], &before["flagged"]),
        (&json!(1), &json!(1))
    );
    let answer = s
        .coordinator
        .client
        .post(&review(&id), rejected())
        .await
        .expect(200);
    assert_eq!(
        (&answer.json["review"], &answer.json["version"]),
        (&json!("rejected"), &json!(1))
    );
    assert_eq!(answer.header("etag"), Some("\"1-rejected\""));
    let after = s.totals("S1-M1").await;
    for (name, count) in after.as_object().unwrap() {
        if name == "support" {
            continue;
        }
        let expected = i32::from(name == "rejected");
        assert_eq!(count, &json!(expected), "{name}");
    }
    s.exact("the rejection").await;
    s.coordinator.client.delete(&review(&id)).await.expect(200);
    assert_eq!(s.totals("S1-M1").await, before);
    s.exact("the undoing").await;
    assert_eq!(
        (
            s.journalled("review.write").await,
            s.journalled("review.undo").await
        ),
        (1, 1)
    );
    // Undoing what is undone changes nothing.
    s.coordinator.client.delete(&review(&id)).await.expect(200);
    assert_eq!(s.journalled("review.undo").await, 1);
}

#[actix_web::test]
async fn a_door_counts_on_the_day_of_its_next_live_contact_when_the_first_is_rejected() {
    let s = scene().await;
    let door = s.world.household("S1-B1").await;
    let first = s
        .recorded(json!({"household_id": door, "visited_at": "2026-11-20T11:00:00+05:30"}))
        .await;
    s.recorded(json!({"household_id": door, "visited_at": "2026-11-22T11:00:00+05:30"}))
        .await;
    s.coordinator
        .client
        .post(&review(&first), rejected())
        .await
        .expect(200);
    let path = format!(
        "/v1/units/{}/totals?interval=day&from=2026-11-20&to=2026-11-22",
        s.world.unit("S1-B1")
    );
    let totals = s.coordinator.client.get(&path).await.expect(200).json;
    assert_eq!(totals["totals"]["doors_reached"], 1);
    let on_last_day = totals["series"]
        .as_array()
        .unwrap()
        .iter()
        .find(|day| day["from"] == "2026-11-22");
    assert_eq!(on_last_day.unwrap()["doors_reached"], 1, "{totals}");
    s.exact("the door moved").await;
}

#[actix_web::test]
async fn a_verified_visit_is_counted_as_such_until_it_is_voided() {
    let s = scene().await;
    let id = s.recorded(json!({})).await;
    let said = json!({"verdict": "verified"});
    s.coordinator
        .client
        .post(&review(&id), said.clone())
        .await
        .expect(200);
    assert_eq!(s.totals("S1-M1").await["verified"], 1);
    let void = format!("/v1/visits/{id}/void");
    s.coordinator
        .client
        .post(&void, json!({"reason": "Mistake"}))
        .await
        .expect(200);
    let totals = s.totals("S1-M1").await;
    assert_eq!((&totals["verified"], &totals["visits"]), (&json!(0), &json!(0)));
    s.exact("the void").await;
    let refused = s.coordinator.client.post(&review(&id), said).await.expect(409);
    assert_eq!(refused.json["code"], "already_voided");
}

#[actix_web::test]
async fn a_voided_rejected_visit_is_no_longer_rejected() {
    let s = scene().await;
    let id = s.recorded(json!({})).await;
    s.coordinator
        .client
        .post(&review(&id), rejected())
        .await
        .expect(200);
    let void = format!("/v1/visits/{id}/void");
    s.coordinator
        .client
        .post(&void, json!({"reason": "Mistake"}))
        .await
        .expect(200);
    assert_eq!(s.totals("S1-M1").await["rejected"], 0);
    s.exact("the void of a rejected visit").await;
}

#[actix_web::test]
async fn a_correction_lets_the_verdict_fall_and_the_visit_waits_again() {
    let s = scene().await;
    let id = s.recorded(json!({})).await;
    let wanted = json!({"verdict": "correction_wanted", "reason": "How many were there?"});
    s.coordinator.client.post(&review(&id), wanted).await.expect(200);
    assert_eq!(s.whole_queue(50, "").await, Vec::<String>::new());
    // The verdict made no version: the correction that the phone had prepared is not in vain.
    let corrected = s
        .worker
        .client
        .header("If-Match", "\"1\"")
        .patch(&format!("/v1/visits/{id}"), json!({"people_met": 5}))
        .await
        .expect(200);
    assert_eq!(
        (&corrected.json["review"], &corrected.json["version"]),
        (&json!("unreviewed"), &json!(2))
    );
    assert_eq!(s.whole_queue(50, "").await, std::slice::from_ref(&id));
    s.exact("the correction").await;
    let history = s
        .worker
        .client
        .get(&format!("/v1/visits/{id}/reviews"))
        .await
        .expect(200)
        .json;
    assert_eq!(history["review"], "unreviewed");
    assert_eq!(history["items"][0]["reason"], "How many were there?");
    assert_eq!(history["items"][0]["visit_version"], 1);
}

#[actix_web::test]
async fn a_rejected_visit_is_not_brought_back_by_its_author() {
    let s = scene().await;
    let id = s.recorded(json!({})).await;
    s.coordinator
        .client
        .post(&review(&id), rejected())
        .await
        .expect(200);
    let (path, patch) = (format!("/v1/visits/{id}"), json!({"people_met": 5}));
    let refused = s
        .worker
        .client
        .header("If-Match", "\"1\"")
        .patch(&path, patch.clone())
        .await
        .expect(409);
    assert_eq!(refused.json["code"], "visit_rejected");
    let by_another = s
        .coordinator
        .client
        .header("If-Match", "\"1-rejected\"")
        .patch(&path, patch)
        .await
        .expect(200);
    assert_eq!(by_another.json["review"], "unreviewed");
    s.exact("the correction by another").await;
}

#[actix_web::test]
async fn every_verdict_is_kept_with_who_when_and_on_which_version() {
    let s = scene().await;
    let id = s.recorded(json!({})).await;
    s.coordinator
        .client
        .post(&review(&id), rejected())
        .await
        .expect(200);
    let other = s.world.actor(&s.app, Role::DistrictCoordinator, "S1-D1").await;
    other
        .client
        .post(&review(&id), json!({"verdict": "verified"}))
        .await
        .expect(200);
    // A resend changes nothing.
    other
        .client
        .post(&review(&id), json!({"verdict": "verified"}))
        .await
        .expect(200);
    let history = s
        .coordinator
        .client
        .get(&format!("/v1/visits/{id}/reviews"))
        .await
        .expect(200)
        .json;
    let told: Vec<(i64, &str, i64)> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (
                item["number"].as_i64().unwrap(),
                item["verdict"].as_str().unwrap(),
                item["reviewer_id"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (1, "rejected", i64::from(s.coordinator.worker_id)),
            (2, "verified", i64::from(other.worker_id))
        ]
    );
    s.exact("two verdicts").await;
}

#[actix_web::test]
async fn a_reason_is_needed_unless_the_visit_is_verified() {
    let s = scene().await;
    let id = s.recorded(json!({})).await;
    for verdict in ["rejected", "correction_wanted"] {
        let answer = s
            .coordinator
            .client
            .post(&review(&id), json!({"verdict": verdict}))
            .await
            .expect(422);
        assert_eq!(answer.json["errors"][0]["pointer"], "/reason");
    }
    let personal = json!({"verdict": "rejected", "reason": "Call +919812345678"});
    s.coordinator
        .client
        .post(&review(&id), personal)
        .await
        .expect(422);
    assert_eq!(s.totals("S1-M1").await["rejected"], 0);
}

#[actix_web::test]
async fn a_verdict_on_a_version_that_no_longer_counts_is_refused() {
    let s = scene().await;
    let id = s.recorded(json!({})).await;
    s.worker
        .client
        .header("If-Match", "\"1\"")
        .patch(&format!("/v1/visits/{id}"), json!({"people_met": 5}))
        .await
        .expect(200);
    let said = |version: i32| json!({"verdict": "verified", "version": version});
    let refused = s.coordinator.client.post(&review(&id), said(1)).await.expect(409);
    assert_eq!(refused.json["code"], "visit_changed");
    s.coordinator.client.post(&review(&id), said(2)).await.expect(200);
}

#[actix_web::test]
async fn nobody_reviews_his_own_visits_nor_those_from_his_phone() {
    let s = scene().await;
    let own = visit(&s.world, s.campaign, "S1-B1");
    s.coordinator
        .client
        .post("/v1/visits", own.clone())
        .await
        .expect(201);
    let own = own["id"].as_str().unwrap().to_owned();
    let verified = json!({"verdict": "verified"});
    let refused = s
        .coordinator
        .client
        .post(&review(&own), verified.clone())
        .await
        .expect(403);
    assert_eq!(refused.json["code"], "own_visit");
    s.coordinator.client.delete(&review(&own)).await.expect(403);
    // The worker's visit is the coordinator's to judge, until he turns out to sign in on the same phone.
    let lent = s.recorded(json!({})).await;
    s.world
        .db
        .execute(
            "INSERT INTO devices (id, worker_id, created_at, last_seen_at) VALUES ($1, $2, now(), now())",
            &[&s.worker.device_id, &s.coordinator.worker_id],
        )
        .await
        .unwrap();
    let refused = s
        .coordinator
        .client
        .post(&review(&lent), verified.clone())
        .await
        .expect(403);
    assert_eq!(refused.json["code"], "own_visit");
    assert_eq!(s.whole_queue(50, "").await, Vec::<String>::new());
    let above = s.world.actor(&s.app, Role::DistrictCoordinator, "S1-D1").await;
    for id in [own, lent] {
        above
            .client
            .post(&review(&id), verified.clone())
            .await
            .expect(200);
    }
    assert_eq!(s.totals("S1-M1").await["verified"], 2);
}

#[actix_web::test]
async fn who_only_reads_may_see_the_queue_but_judge_nothing() {
    let s = scene().await;
    let id = s.recorded(json!({})).await;
    for (role, unit) in [
        (Role::Auditor, "S1-M1"),
        (Role::ConstituencyCoordinator, "S1-AC1"),
    ] {
        let reader = s.world.actor(&s.app, role, unit).await.client;
        let path = format!("/v1/units/{}/review-queue", s.world.unit("S1-B1"));
        assert_eq!(
            ids_of(&reader.get(&path).await.expect(200).json),
            std::slice::from_ref(&id)
        );
        reader.post(&review(&id), rejected()).await.expect(403);
        reader.delete(&review(&id)).await.expect(403);
        reader
            .post(
                "/v1/reviews",
                json!({"reviews": [{"visit_id": id, "verdict": "verified"}]}),
            )
            .await
            .expect(403);
    }
    s.worker.client.post(&review(&id), rejected()).await.expect(403);
    let elsewhere = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M2")
        .await
        .client;
    elsewhere.post(&review(&id), rejected()).await.expect(404);
}

#[actix_web::test]
async fn many_verdicts_are_answered_item_by_item() {
    let s = scene().await;
    let (first, second) = (s.recorded(json!({})).await, s.recorded(json!({})).await);
    let voided = s.recorded(json!({})).await;
    s.coordinator
        .client
        .post(&format!("/v1/visits/{voided}/void"), json!({"reason": "Mistake"}))
        .await
        .expect(200);
    let foreign = visit(&s.world, s.campaign, "S2-B1");
    let other = s.world.actor(&s.app, Role::BoothWorker, "S2-B1").await;
    other.client.post("/v1/visits", foreign.clone()).await.expect(201);
    let body = json!({"reviews": [
        {"visit_id": first, "verdict": "verified"},
        {"visit_id": second, "verdict": "rejected", "reason": "Nobody there"},
        {"visit_id": voided, "verdict": "verified"},
        {"visit_id": foreign["id"], "verdict": "verified"},
        {"visit_id": Uuid::new_v4(), "verdict": "verified"},
        {"visit_id": first, "verdict": "rejected", "reason": "On second thoughts"},
        {"visit_id": second, "verdict": "rejected"},
        {"visit_id": second, "verdict": "doubtful"},
        {"verdict": "verified"},
        7,
    ]});
    let summary = |answer: &Value| -> Vec<(String, String)> {
        let results = answer["results"].as_array().unwrap().iter();
        results
            .map(|item| {
                (
                    item["status"].as_str().unwrap().to_owned(),
                    item["problem"]["code"].as_str().unwrap_or_default().to_owned(),
                )
            })
            .collect()
    };
    let expected = |status: &str| {
        [
            (status, ""),
            (status, ""),
            ("refused", "already_voided"),
            ("refused", "not_found"),
            ("refused", "not_found"),
            ("refused", "invalid"),
            ("refused", "invalid"),
            ("refused", "invalid"),
            ("refused", "invalid"),
            ("refused", "invalid"),
        ]
        .map(|(status, code)| (status.to_owned(), code.to_owned()))
    };
    let answer = s
        .coordinator
        .client
        .post("/v1/reviews", body.clone())
        .await
        .expect(200);
    assert_eq!(summary(&answer.json), expected("stored"));
    assert_eq!(answer.json["results"][8]["visit_id"], Value::Null);
    let again = s.coordinator.client.post("/v1/reviews", body).await.expect(200);
    assert_eq!(summary(&again.json), expected("unchanged"));
    let totals = s.totals("S1-M1").await;
    assert_eq!((&totals["verified"], &totals["rejected"]), (&json!(1), &json!(1)));
    assert_eq!(s.journalled("review.write").await, 1, "one entry for the request");
    s.exact("many verdicts").await;
    let many = vec![json!({"visit_id": first, "verdict": "verified"}); 501];
    for reviews in [vec![], many] {
        let body = json!({ "reviews": reviews });
        s.coordinator.client.post("/v1/reviews", body).await.expect(422);
    }
}

/// Sends these at the same moment.
async fn at_once(requests: Vec<(Client, &'static str, String, Value)>) -> Vec<u16> {
    let sent = requests.into_iter().map(|(client, method, path, body)| {
        actix_web::rt::spawn(async move {
            let client = if method == "PATCH" {
                client.header("If-Match", "*")
            } else {
                client
            };
            // 503 asks to send again.
            loop {
                let answer = client.send_json(method, &path, &body).await;
                if answer.status != 503 {
                    return answer.status;
                }
            }
        })
    });
    let mut statuses = Vec::new();
    for request in sent.collect::<Vec<_>>() {
        statuses.push(request.await.unwrap());
    }
    statuses
}

#[actix_web::test]
async fn a_verdict_a_void_and_a_correction_at_once_leave_exact_totals() {
    let s = scene().await;
    let door = s.world.household("S1-B1").await;
    let above = s
        .world
        .actor(&s.app, Role::DistrictCoordinator, "S1-D1")
        .await
        .client;
    for round in 0..15 {
        let ids = [
            s.recorded(json!({"household_id": door})).await,
            s.recorded(json!({"household_id": door})).await,
        ];
        let mut requests = Vec::new();
        for id in &ids {
            let path = format!("/v1/visits/{id}");
            requests.push((above.clone(), "POST", review(id), rejected()));
            let void = json!({"reason": "Mistake"});
            requests.push((s.coordinator.client.clone(), "POST", format!("{path}/void"), void));
            let patch = json!({"outcome": "not_home"});
            requests.push((s.worker.client.clone(), "PATCH", path, patch));
        }
        let both = json!({"reviews": [
            {"visit_id": ids[1], "verdict": "verified"}, {"visit_id": ids[0], "verdict": "verified"},
        ]});
        requests.push((above.clone(), "POST", "/v1/reviews".to_owned(), both));
        for status in at_once(requests).await {
            assert!([200, 409].contains(&status), "round {round}: {status}");
        }
        s.exact(&format!("round {round}")).await;
    }
    assert_eq!(
        s.totals("S1-M1").await["visits"],
        0,
        "every visit was voided in the end"
    );
}
