//! Sign-off: what it closes and to whom, what comes late, reopening, and who has not signed.

use chrono::TimeDelta;
use sampark::access::Role;
use serde_json::{Value, json};

use crate::support::{Actor, Client, TestApp, World};
use crate::visits::visit;

struct Scene {
    app: TestApp,
    world: World,
    campaign: i32,
    worker: Actor,
    coordinator: Actor,
    district: Actor,
}

/// A day of the week that ended the day before the tests begin.
const IN_WEEK: &str = "2026-11-18T11:00:00+05:30";

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    Scene {
        campaign: world.campaign("IN").await,
        worker: world.actor(&app, Role::BoothWorker, "S1-B1").await,
        coordinator: world.actor(&app, Role::MandalCoordinator, "S1-M1").await,
        district: world.actor(&app, Role::DistrictCoordinator, "S1-D1").await,
        app,
        world,
    }
}

impl Scene {
    async fn recorded(&self, by: &Client, booth: &str, at: &str) -> String {
        let mut sent = visit(&self.world, self.campaign, booth);
        sent["visited_at"] = json!(at);
        let made = by.post("/v1/visits", sent).await.expect(201);
        made.json["id"].as_str().unwrap().to_owned()
    }

    fn path(&self, unit: &str) -> String {
        format!("/v1/units/{}/sign-offs", self.world.unit(unit))
    }

    /// Signs a week for the mandal, a moment later than whatever was before.
    async fn sign(&self, week: &str) -> i64 {
        self.app.clock.advance(TimeDelta::seconds(1));
        let signed = self
            .coordinator
            .client
            .post(&self.path("S1-M1"), json!({"week": week}))
            .await
            .expect(201);
        self.app.clock.advance(TimeDelta::seconds(1));
        signed.json["id"].as_i64().unwrap()
    }

    async fn reopen(&self, id: i64) {
        let path = format!("/v1/sign-offs/{id}/reopen");
        self.app.clock.advance(TimeDelta::seconds(1));
        self.district
            .client
            .post(&path, json!({"reason": "Two booths had not uploaded"}))
            .await
            .expect(200);
        self.app.clock.advance(TimeDelta::seconds(1));
    }

    async fn late(&self, id: &str) -> Value {
        let path = format!("/v1/visits/{id}");
        self.coordinator.client.get(&path).await.expect(200).json["late"].clone()
    }

    async fn correct(&self, by: &Client, id: &str, people_met: i32) -> (u16, Value) {
        let path = format!("/v1/visits/{id}");
        let tag = by.get(&path).await.expect(200).header("etag").unwrap().to_owned();
        let by = by.header("If-Match", &tag);
        let answer = by.patch(&path, json!({"people_met": people_met})).await;
        (answer.status, answer.json["code"].clone())
    }
}

#[actix_web::test]
async fn a_signed_week_is_closed_to_the_authors_of_its_visits_and_to_no_others() {
    let s = scene().await;
    let id = s.recorded(&s.worker.client, "S1-B1", IN_WEEK).await;
    let this_week = s
        .recorded(&s.worker.client, "S1-B1", "2026-11-23T09:00:00+05:30")
        .await;
    let sunday_before = s
        .recorded(&s.worker.client, "S1-B1", "2026-11-15T23:00:00+05:30")
        .await;
    let own = s.recorded(&s.coordinator.client, "S1-B1", IN_WEEK).await;
    let elsewhere = s.world.actor(&s.app, Role::BoothWorker, "S1-B4").await;
    let others = s.recorded(&elsewhere.client, "S1-B4", IN_WEEK).await;
    assert_eq!(s.correct(&s.worker.client, &id, 3).await.0, 200);
    s.sign("2026-W47").await;
    let closed = (409, json!("week_signed"));
    assert_eq!(s.correct(&s.worker.client, &id, 4).await, closed);
    // The coordinator is an author, too.
    assert_eq!(s.correct(&s.coordinator.client, &own, 4).await, closed);
    let void = format!("/v1/visits/{own}/void");
    let refused = s
        .coordinator
        .client
        .post(&void, json!({"reason": "Mistake"}))
        .await
        .expect(409);
    assert_eq!(refused.json["code"], "week_signed");
    for (by, visit) in [
        (&s.coordinator.client, &id),
        (&s.district.client, &own),
        (&s.worker.client, &this_week),
        (&s.worker.client, &sunday_before),
        (&elsewhere.client, &others),
    ] {
        assert_eq!(s.correct(by, visit, 5).await.0, 200);
    }
    s.district
        .client
        .post(&void, json!({"reason": "Mistake"}))
        .await
        .expect(200);
    crate::exactness::assert_exact(&s.world.db, "a signed week").await;
}

#[actix_web::test]
async fn what_comes_while_the_week_is_signed_is_counted_and_marked_late_for_ever() {
    let s = scene().await;
    let punctual = s.recorded(&s.worker.client, "S1-B1", IN_WEEK).await;
    let signoff = s.sign("2026-W47").await;
    let late = s.recorded(&s.worker.client, "S1-B1", IN_WEEK).await;
    let monday = s
        .recorded(&s.worker.client, "S1-B1", "2026-11-16T00:00:00+05:30")
        .await;
    let sunday = s
        .recorded(&s.worker.client, "S1-B1", "2026-11-22T23:59:59+05:30")
        .await;
    let this_week = s
        .recorded(&s.worker.client, "S1-B1", "2026-11-23T00:00:00+05:30")
        .await;
    let elsewhere = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M2")
        .await
        .client;
    let other_mandal = s.recorded(&elsewhere, "S1-B4", IN_WEEK).await;
    s.reopen(signoff).await;
    let reopened = s.recorded(&s.worker.client, "S1-B1", IN_WEEK).await;
    s.sign("2026-W47").await;
    let again = s.recorded(&s.worker.client, "S1-B1", IN_WEEK).await;
    for (id, expected) in [
        (&punctual, false),
        (&late, true),
        (&monday, true),
        (&sunday, true),
        (&this_week, false),
        (&reopened, false),
        (&again, true),
    ] {
        assert_eq!(s.late(id).await, json!(expected), "{id}");
    }
    let path = format!("/v1/visits/{other_mandal}");
    assert_eq!(elsewhere.get(&path).await.expect(200).json["late"], false);
    // Lists, the queue and every version tell the same as the visit itself.
    let list = s
        .coordinator
        .client
        .get("/v1/visits?limit=500")
        .await
        .expect(200)
        .json;
    let queue = format!("/v1/units/{}/review-queue", s.world.unit("S1-M1"));
    let queue = s.coordinator.client.get(&queue).await.expect(200).json;
    let (listed, queued) = (
        list["items"].as_array().unwrap(),
        queue["items"].as_array().unwrap(),
    );
    assert_eq!(listed.iter().filter(|visit| visit["late"] == true).count(), 4);
    assert_eq!(
        queued.iter().filter(|item| item["visit"]["late"] == true).count(),
        4
    );
    assert_eq!(s.correct(&s.coordinator.client, &late, 6).await.0, 200);
    let versions = format!("/v1/visits/{late}/versions");
    let versions = s.coordinator.client.get(&versions).await.expect(200).json;
    for version in versions["items"].as_array().unwrap() {
        assert_eq!(version["visit"]["late"], true, "{version}");
    }
    let totals = format!("/v1/units/{}/totals", s.world.unit("S1-M1"));
    let totals = s.coordinator.client.get(&totals).await.expect(200).json;
    assert_eq!(totals["totals"]["visits"], 7);
    crate::exactness::assert_exact(&s.world.db, "late uploads").await;
}

#[actix_web::test]
async fn a_visit_belongs_to_the_mandal_in_which_its_booth_lay_on_its_day() {
    let s = scene().await;
    let moved =
        json!({"tree": "organisation", "parent_id": s.world.unit("S1-M2"), "valid_from": "2026-11-23"});
    let path = format!("/v1/units/{}/placements", s.world.unit("S1-B1"));
    let admin = s.world.actor(&s.app, Role::StateAdmin, "S1").await;
    admin.client.post(&path, moved).await.expect(201);
    s.sign("2026-W47").await;
    let late = s.recorded(&admin.client, "S1-B1", IN_WEEK).await;
    let path = format!("/v1/visits/{late}");
    assert_eq!(admin.client.get(&path).await.expect(200).json["late"], true);
    assert_eq!(
        s.correct(&admin.client, &late, 5).await,
        (409, json!("week_signed"))
    );
}

#[actix_web::test]
async fn a_week_is_signed_once_by_a_mandal_after_it_is_over() {
    let s = scene().await;
    let by = &s.coordinator.client;
    let week = |week: &str| json!({"week": week});
    for bad in ["2026-W48", "2026-W54", "2026-47", "", "2999-W01"] {
        let refused = by.post(&s.path("S1-M1"), week(bad)).await.expect(422);
        assert_eq!(refused.json["errors"][0]["pointer"], "/week", "{bad}");
    }
    let refused = by.post(&s.path("S1-B1"), week("2026-W47")).await.expect(422);
    assert_eq!(refused.json["errors"][0]["code"], "not_a_mandal");
    // Of many who sign at once, one does.
    let path = s.path("S1-M1");
    let tries = (0..3).map(|_| by.post(&path, week("2026-W47")));
    let mut statuses: Vec<u16> = futures_util::future::join_all(tries)
        .await
        .iter()
        .map(|answer| answer.status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409]);
    let refused = s.district.client.post(&path, week("2026-W47")).await.expect(409);
    assert_eq!(refused.json["code"], "week_signed");
    by.post(&path, week("2026-W46")).await.expect(201);
    assert_eq!(crate::workers::journalled(&s.world, "signoff.write").await, 2);
    // A resend is answered as the first time.
    let keyed = by.header("Idempotency-Key", "sign-w45");
    let first = keyed.post(&path, week("2026-W45")).await.expect(201);
    assert_eq!(
        keyed.post(&path, week("2026-W45")).await.expect(201).json,
        first.json
    );
}

#[actix_web::test]
async fn only_the_level_above_reopens_with_a_reason_and_the_history_is_kept() {
    let s = scene().await;
    let id = s.recorded(&s.worker.client, "S1-B1", IN_WEEK).await;
    let first = s.sign("2026-W47").await;
    let path = format!("/v1/sign-offs/{first}/reopen");
    let why = json!({"reason": "Two booths had not uploaded"});
    s.coordinator.client.post(&path, why.clone()).await.expect(403);
    let neighbour = s
        .world
        .actor(&s.app, Role::DistrictCoordinator, "S2-D1")
        .await
        .client;
    neighbour.post(&path, why.clone()).await.expect(404);
    for bad in ["", "Call +919812345678"] {
        s.district
            .client
            .post(&path, json!({"reason": bad}))
            .await
            .expect(422);
    }
    s.reopen(first).await;
    assert_eq!(s.correct(&s.worker.client, &id, 4).await.0, 200);
    s.district.client.post(&path, why).await.expect(409);
    let second = s.sign("2026-W47").await;
    assert_eq!(
        s.correct(&s.worker.client, &id, 5).await,
        (409, json!("week_signed"))
    );
    let list = s.coordinator.client.get(&s.path("S1-M1")).await.expect(200).json;
    let history = list["items"][0]["sign_offs"].as_array().unwrap();
    let told: Vec<(i64, bool, &Value)> = history
        .iter()
        .map(|one| {
            (
                one["id"].as_i64().unwrap(),
                one["holds"].as_bool().unwrap(),
                &one["reopen_reason"],
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (first, false, &json!("Two booths had not uploaded")),
            (second, true, &Value::Null)
        ]
    );
    assert_eq!(history[0]["reopened_by"], s.district.worker_id);
    assert_eq!(crate::workers::journalled(&s.world, "signoff.reopen").await, 1);
}

#[actix_web::test]
async fn every_level_sees_who_has_not_signed() {
    let s = scene().await;
    s.sign("2026-W47").await;
    let nation = s.world.actor(&s.app, Role::NationalAdmin, "IN").await.client;
    let view = nation.get(&s.path("IN")).await.expect(200).json;
    let counts = |view: &Value| {
        let child = |child: &Value| {
            let number = |name: &str| child[name].as_i64().unwrap();
            (number("unit_id"), number("mandals"), number("signed"))
        };
        let children: Vec<_> = view["children"].as_array().unwrap().iter().map(child).collect();
        (
            view["mandals"].as_i64().unwrap(),
            view["signed"].as_i64().unwrap(),
            children,
        )
    };
    let unit = |code: &str| i64::from(s.world.unit(code));
    assert_eq!(
        counts(&view),
        (3, 1, vec![(unit("S1"), 2, 1), (unit("S2"), 1, 0)])
    );
    assert_eq!(view["week"], "2026-W47", "the last week that is over");
    let view = s.district.client.get(&s.path("S1-D1")).await.expect(200).json;
    assert_eq!(
        counts(&view),
        (2, 1, vec![(unit("S1-M1"), 1, 1), (unit("S1-M2"), 1, 0)])
    );
    let view = s.coordinator.client.get(&s.path("S1-M1")).await.expect(200).json;
    assert_eq!(counts(&view), (1, 1, vec![]));
    let mandals = |view: &Value| -> Vec<i64> {
        let items = view["items"].as_array().unwrap().iter();
        items.map(|item| item["mandal_id"].as_i64().unwrap()).collect()
    };
    let missing = nation
        .get(&format!("{}?signed=false", s.path("IN")))
        .await
        .expect(200)
        .json;
    assert_eq!(mandals(&missing), [unit("S1-M2"), unit("S2-M1")]);
    assert_eq!((&missing["mandals"], &missing["signed"]), (&json!(3), &json!(1)));
    let done = nation
        .get(&format!("{}?signed=true", s.path("IN")))
        .await
        .expect(200)
        .json;
    assert_eq!(mandals(&done), [unit("S1-M1")]);
    let before = nation
        .get(&format!("{}?week=2026-W46&signed=true", s.path("IN")))
        .await
        .expect(200)
        .json;
    assert_eq!(mandals(&before), Vec::<i64>::new());
    // Page by page.
    let first = nation
        .get(&format!("{}?limit=2", s.path("IN")))
        .await
        .expect(200)
        .json;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = nation
        .get(&format!("{}?limit=2&cursor={cursor}", s.path("IN")))
        .await
        .expect(200)
        .json;
    assert_eq!(
        [mandals(&first), mandals(&rest)].concat(),
        [unit("S1-M1"), unit("S1-M2"), unit("S2-M1")]
    );
    nation
        .get(&format!("{}?week=W47", s.path("IN")))
        .await
        .expect(422);
    s.worker.client.get(&s.path("S1-B1")).await.expect(403);
    s.coordinator.client.get(&s.path("S1-M2")).await.expect(404);
}
