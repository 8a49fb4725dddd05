//! What is over leaves, totals and commitments stay right; and what is held of a worker is shown, corrected and erased.

use chrono::TimeDelta;
use sampark::access::Role;
use sampark::features::privacy::{Retained, retain};
use serde_json::{Value, json};

use crate::support::{Actor, TestApp, World};
use crate::visits::visit;

struct Scene {
    app: TestApp,
    world: World,
    campaign: i32,
    worker: Actor,
    admin: Actor,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("S1").await;
    world
        .db
        .execute(
            "UPDATE campaigns SET collect_support = true, retention_days = 365",
            &[],
        )
        .await
        .unwrap();
    Scene {
        worker: world.actor(&app, Role::BoothWorker, "S1-B1").await,
        admin: world.actor(&app, Role::StateAdmin, "S1").await,
        app,
        world,
        campaign,
    }
}

impl Scene {
    /// A visit with everything that leaves one day: its path.
    async fn record(&self, support: u8) -> String {
        let mut sent = visit(&self.world, self.campaign, "S1-B1");
        sent["visited_at"] = json!(self.app.clock.now());
        sent["support"] = json!(support);
        sent["note"] = json!("Hand pump broken");
        sent["issues"] = json!(["water"]);
        sent["answers"] = json!({"heard": true});
        sent["location"] = json!({"lat": 26.846_78, "lon": 80.946_23, "accuracy_m": 9.5, "mock": false});
        self.worker
            .client
            .post("/v1/visits", sent.clone())
            .await
            .expect(201);
        format!("/v1/visits/{}", sent["id"].as_str().unwrap())
    }

    async fn pass(&self, days: i64) -> Retained {
        self.app.clock.advance(TimeDelta::days(days));
        retain(&self.app.state.db, &self.app.clock).await.unwrap()
    }

    /// Everybody's session outlives a token; a new one is signed. A visit is read by its author, who sees all of it.
    async fn read(&self, path: &str) -> Value {
        let visit = path.starts_with("/v1/visits/");
        let reader = if visit { &self.worker } else { &self.admin };
        let reader = self.world.sign_in(&self.app, reader.worker_id).await;
        reader.client.get(path).await.expect(200).json
    }

    /// The support in the totals of the state, which equal a recount.
    async fn support(&self) -> Value {
        for unit in ["S1", "S1-M1", "S1-M2", "S1-B1"] {
            let path = format!("/v1/units/{}/totals/check", self.world.unit(unit));
            let check = self.read(&path).await;
            assert_eq!(check["equal"], true, "{unit}: {check}");
        }
        let path = format!("/v1/units/{}/totals", self.world.unit("S1"));
        self.read(&path).await["totals"]["support"].clone()
    }
}

#[actix_web::test]
async fn support_leaves_the_rows_after_thirty_days_and_stays_in_the_totals() {
    let s = scene().await;
    let first = s.record(4).await;
    let voided = s.record(2).await;
    s.record(4).await;
    // An earlier version has a score of its own.
    s.worker
        .client
        .header("If-Match", "\"1\"")
        .patch(&first, json!({"support": 5}))
        .await
        .expect(200);
    let reason = json!({"reason": "Entered for the wrong door"});
    s.admin
        .client
        .post(&format!("{voided}/void"), reason.clone())
        .await
        .expect(200);
    let before = s.support().await;
    assert_eq!(before, json!({"1": 0, "2": 0, "3": 0, "4": 1, "5": 1}));
    assert_eq!(s.pass(29).await, Retained::default());
    assert_eq!(s.read(&first).await["support"], 5);
    assert_eq!(s.pass(1).await.visits, 3);
    assert_eq!(s.pass(0).await, Retained::default(), "what is done is done");
    let kept: i64 = s
        .world
        .db
        .query_one(
            "SELECT (SELECT count(*) FROM visits WHERE support IS NOT NULL)
                  + (SELECT count(*) FROM visit_versions WHERE content ->> 'support' IS NOT NULL)",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(kept, 0);
    assert_eq!(s.support().await, before);
    // It cannot be brought back, and other corrections, a void and a move of the mandal leave it where it is.
    let worker = s.world.sign_in(&s.app, s.worker.worker_id).await.client;
    let late = worker
        .header("If-Match", "\"2\"")
        .patch(&first, json!({"support": 1}))
        .await
        .expect(422);
    assert_eq!(late.json["errors"][0]["code"], "too_late");
    worker
        .header("If-Match", "\"2\"")
        .patch(&first, json!({"people_met": 7}))
        .await
        .expect(200);
    let admin = s.world.sign_in(&s.app, s.admin.worker_id).await.client;
    admin.post(&format!("{first}/void"), reason).await.expect(200);
    assert_eq!(s.support().await, before);
    let placement =
        json!({"tree": "organisation", "parent_id": s.world.unit("S1-M2"), "valid_from": "2026-11-20"});
    admin
        .post(
            &format!("/v1/units/{}/placements", s.world.unit("S1-B1")),
            placement,
        )
        .await;
    assert_eq!(s.support().await, before);
}

#[actix_web::test]
async fn coordinates_lose_their_precision_after_ninety_days() {
    let s = scene().await;
    let path = s.record(3).await;
    s.pass(89).await;
    assert_eq!(s.read(&path).await["location"]["lat"], 26.846_78);
    s.pass(1).await;
    let visit = s.read(&path).await;
    assert_eq!(
        (&visit["location"]["lat"], &visit["location"]["lon"]),
        (&json!(26.847), &json!(80.946))
    );
    assert_eq!(visit["note"], "Hand pump broken");
    // A late correction brings no finer place back.
    let worker = s.world.sign_in(&s.app, s.worker.worker_id).await.client;
    let fine = json!({"location": {"lat": 26.123_456, "lon": 80.123_456}});
    let corrected = worker
        .header("If-Match", "\"1\"")
        .patch(&path, fine)
        .await
        .expect(200);
    assert_eq!(corrected.json["location"]["lat"], 26.123);
}

#[actix_web::test]
async fn a_campaigns_days_end_note_answers_and_place_and_leave_totals_and_commitments_whole() {
    let s = scene().await;
    let path = s.record(3).await;
    s.worker
        .client
        .header("If-Match", "\"1\"")
        .patch(&path, json!({"note": "Canal is dry"}))
        .await
        .expect(200);
    let totals = format!("/v1/units/{}/totals", s.world.unit("S1"));
    let before = s.read(&totals).await["totals"].clone();
    let seals = "SELECT encode(digest, 'hex') FROM journal WHERE subject = 'visit' AND action IN ('visit.record', 'visit.correct')
                 UNION ALL SELECT encode(digest, 'hex') FROM journal_inbox WHERE action IN ('visit.record', 'visit.correct') ORDER BY 1";
    let seals = async |s: &Scene| {
        let rows = s.world.db.query(seals, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    let sealed = seals(&s).await;
    s.pass(364).await;
    assert_eq!(s.read(&path).await["note"], "Canal is dry");
    s.pass(1).await;
    let visit = s.read(&path).await;
    assert_eq!(
        (
            &visit["note"],
            &visit["location"],
            &visit["answers"],
            &visit["issues"]
        ),
        (&Value::Null, &Value::Null, &json!({}), &json!([]))
    );
    assert_eq!(visit["people_met"], 2);
    let left: i64 = s
        .world
        .db
        .query_one(
            "SELECT count(*) FROM visit_versions WHERE content ->> 'note_sealed' IS NOT NULL
                OR content ->> 'lat' IS NOT NULL OR content -> 'answers' <> '{}'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 0);
    assert_eq!(s.read(&totals).await["totals"], before);
    s.support().await;
    assert_eq!(seals(&s).await, sealed);
    let worker = s.world.sign_in(&s.app, s.worker.worker_id).await.client;
    worker
        .header("If-Match", "\"2\"")
        .patch(&path, json!({"note": "New"}))
        .await
        .expect(409);
}

#[actix_web::test]
async fn the_job_goes_on_where_it_stopped_and_only_one_runs_at_a_time() {
    let s = scene().await;
    let visits: Vec<Value> = (0..500)
        .map(|_| {
            let mut sent = visit(&s.world, s.campaign, "S1-B1");
            sent["support"] = json!(1);
            sent
        })
        .collect();
    for _ in 0..2 {
        let batch: Vec<Value> = visits
            .iter()
            .map(|visit| {
                let mut visit = visit.clone();
                visit["id"] = json!(uuid::Uuid::now_v7());
                visit
            })
            .collect();
        s.worker
            .client
            .post("/v1/visits/batch", json!({ "visits": batch }))
            .await
            .expect(200);
    }
    s.app.clock.advance(TimeDelta::days(30));
    // Another program holds the turn: nothing is done, and nothing waits.
    let mut other = s.app.database.connect().await;
    let turn = other.transaction().await.unwrap();
    turn.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('sampark retention', 0))",
        &[],
    )
    .await
    .unwrap();
    let (db, clock) = (&s.app.state.db, &s.app.clock);
    assert_eq!(retain(db, clock).await.unwrap(), Retained::default());
    turn.rollback().await.unwrap();
    let (one, two) = tokio::join!(retain(db, clock), retain(db, clock));
    let done = one.unwrap().visits + two.unwrap().visits;
    assert!(done <= 1000);
    retain(db, clock).await.unwrap();
    assert_eq!(s.support().await["1"], 1000);
    let entries = "SELECT cardinality(subject_uuids) FROM journal WHERE action = 'visit.drop_support'
                   UNION ALL SELECT cardinality(subject_uuids) FROM journal_inbox WHERE action = 'visit.drop_support'";
    let rows = s.world.db.query(entries, &[]).await.unwrap();
    let sizes: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(sizes.iter().sum::<i32>(), 1000);
    assert!(sizes.iter().all(|size| *size <= 500), "{sizes:?}");
}

#[actix_web::test]
async fn what_is_held_of_a_worker_is_shown_corrected_and_erased() {
    let s = scene().await;
    s.record(3).await;
    let mine = s.worker.client.get("/v1/me/data").await.expect(200);
    let phone = s.world.phone_of(s.worker.worker_id).await;
    assert_eq!(mine.json["worker"]["phone"], json!(phone));
    assert_eq!(
        (&mine.json["visits"], &mine.json["devices"]),
        (&json!(1), &json!(1))
    );
    let tag = mine.header("etag").unwrap();
    let client = s.worker.client.header("If-Match", tag);
    client
        .patch("/v1/me/data", json!({"phone": "+919812345678"}))
        .await
        .expect(422);
    let corrected = client
        .patch("/v1/me/data", json!({"name": "Asha Devi"}))
        .await
        .expect(200);
    assert_eq!(corrected.json["name"], "Asha Devi");
    client
        .patch("/v1/me/data", json!({"name": "Other"}))
        .await
        .expect(412);

    let wrong = json!({"phone": "+919999999999"});
    s.worker.client.post("/v1/me/erasure", wrong).await.expect(409);
    let path = format!("/v1/workers/{}", s.worker.worker_id);
    s.worker
        .client
        .post("/v1/me/erasure", json!({ "phone": phone }))
        .await
        .expect(204);
    // At once: no session, no sign-in, no name and no number for whoever managed him.
    s.worker.client.get("/v1/me").await.expect(401);
    let shown = s.read(&path).await;
    assert_eq!(
        (
            &shown["name"],
            &shown["phone"],
            &shown["active"],
            &shown["erasure_requested"]
        ),
        (&json!("(erased)"), &json!("******"), &json!(false), &json!(true))
    );
    let admin = s.world.sign_in(&s.app, s.admin.worker_id).await.client;
    let tag = admin.get(&path).await.header("etag").unwrap().to_owned();
    admin
        .header("If-Match", &tag)
        .patch(&path, json!({"active": true}))
        .await
        .expect(409);
    let before = s.support().await;
    assert_eq!(s.pass(364).await.workers, 0);
    assert_eq!(s.world.phone_of(s.worker.worker_id).await, phone);
    assert_eq!(s.pass(1).await.workers, 1);
    let sql = "SELECT phone_sealed IS NULL AND phone_index IS NULL AND name = '(erased)' FROM workers WHERE id = $1";
    let gone = s.world.db.query_one(sql, &[&s.worker.worker_id]).await.unwrap();
    assert!(gone.get::<_, bool>(0));
    assert_eq!(s.support().await, before);
    // The number is free again.
    let new = json!({"name": "Ravi", "phone": phone, "unit_id": s.world.unit("S1-B1")});
    let admin = s.world.sign_in(&s.app, s.admin.worker_id).await.client;
    admin.post("/v1/workers", new).await.expect(201);
}
