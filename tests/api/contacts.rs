//! Contacts: a citizen's phone, with his consent, until he withdraws it or its time is over; and who read it.

use chrono::TimeDelta;
use sampark::access::Role;
use sampark::features::privacy::retain;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Actor, Answer, Client, TestApp, World};

/// The number in [`contact`].
pub const PHONE: &str = "+919812345670";

/// A contact at a household of S1-B1.
pub fn contact(world: &World, campaign: i32, household: Uuid) -> Value {
    json!({
        "booth_id": world.unit("S1-B1"), "household_id": household, "campaign_id": campaign, "phone": PHONE,
        "consent": {"purpose": "follow_up", "notice": "contact-2026-11.2", "language": "hi",
                    "given_at": "2026-11-23T05:35:00Z"},
    })
}

struct Scene {
    app: TestApp,
    world: World,
    campaign: i32,
    household: Uuid,
    worker: Actor,
    coordinator: Actor,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    Scene {
        campaign: world.campaign("S1-B1").await,
        household: world.household("S1-B1").await,
        worker: world.actor(&app, Role::BoothWorker, "S1-B1").await,
        coordinator: world.actor(&app, Role::MandalCoordinator, "S1-M1").await,
        app,
        world,
    }
}

impl Scene {
    fn sent(&self) -> Value {
        contact(&self.world, self.campaign, self.household)
    }

    /// A contact that the worker recorded: its path.
    async fn recorded(&self) -> String {
        let path = format!("/v1/contacts/{}", Uuid::new_v4());
        self.worker.client.put(&path, self.sent()).await.expect(201);
        path
    }

    async fn numbers_kept(&self) -> i64 {
        let sql = "SELECT count(*) FROM contacts WHERE phone_sealed IS NOT NULL";
        self.world.db.query_one(sql, &[]).await.unwrap().get(0)
    }
}

/// Readings, once as many are numbered.
async fn reads(client: &Client, query: &str, wanted: usize) -> Answer {
    loop {
        let answer = client
            .get(&format!("/v1/contact-reads?{query}"))
            .await
            .expect(200);
        if answer.json["items"].as_array().unwrap().len() >= wanted {
            return answer;
        }
        tokio::task::yield_now().await;
    }
}

#[actix_web::test]
async fn a_contact_is_recorded_once_however_often_it_is_sent() {
    let s = scene().await;
    let path = s.recorded().await;
    let again = s.worker.client.put(&path, s.sent()).await.expect(200);
    assert_eq!(again.json["phone"], PHONE);
    assert_eq!(again.json["keep_until"], "2029-11-22");
    assert_eq!(again.json["recorded_by"], s.worker.worker_id);
    assert_eq!(again.json["status"], "live");
    let mut other = s.sent();
    other["phone"] = json!("+919812345699");
    let refused = s.worker.client.put(&path, other).await.expect(409);
    assert!(!refused.text().contains("98123"));
    // Another worker of the booth who makes the same id learns nothing.
    let neighbour = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await;
    neighbour.client.put(&path, s.sent()).await.expect(409);
    assert_eq!(s.numbers_kept().await, 1);
}

#[actix_web::test]
async fn without_consent_household_or_campaign_nothing_is_kept() {
    let s = scene().await;
    let path = format!("/v1/contacts/{}", Uuid::new_v4());
    let far = s.world.household("S1-B2").await;
    let cases = [
        ("/consent", None),
        ("/consent/purpose", Some(json!("marketing"))),
        ("/consent/notice", Some(json!(""))),
        ("/consent/language", Some(json!("हिन्दी"))),
        ("/consent/given_at", Some(json!("9812-01-01T00:00:00Z"))),
        ("/phone", Some(json!("9812345670"))),
        ("/household_id", Some(json!(far))),
        ("/campaign_id", Some(json!(999_999))),
        ("/keep_until", Some(json!("2026-11-22"))),
        ("/keep_until", Some(json!("2029-11-23"))),
        ("/booth_id", Some(json!(s.world.unit("S1-M1")))),
        ("/booth_id", Some(json!(s.world.unit("S2-B1")))),
    ];
    for (pointer, value) in cases {
        let mut sent = s.sent();
        match value {
            Some(value) if pointer == "/keep_until" => sent["keep_until"] = value,
            Some(value) => *sent.pointer_mut(pointer).unwrap() = value,
            None => {
                sent.as_object_mut().unwrap().remove(&pointer[1..]);
            }
        }
        let answer = s.worker.client.put(&path, sent).await;
        assert!(
            [403, 422].contains(&answer.status),
            "{pointer}: {}",
            answer.text()
        );
        assert!(
            !answer.text().contains("9812345670"),
            "{pointer}: {}",
            answer.text()
        );
    }
    assert_eq!(s.numbers_kept().await, 0);
}

#[actix_web::test]
async fn field_workers_see_their_own_coordinators_all_and_others_none() {
    let s = scene().await;
    let path = s.recorded().await;
    let neighbour = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await;
    let auditor = s.world.actor(&s.app, Role::Auditor, "S1").await;
    let stranger = s.world.actor(&s.app, Role::MandalCoordinator, "S1-M2").await;
    for reader in [&s.worker, &s.coordinator] {
        assert_eq!(reader.client.get(&path).await.expect(200).json["phone"], PHONE);
        let list = reader.client.get("/v1/contacts").await.expect(200);
        assert_eq!(list.json["items"].as_array().unwrap().len(), 1);
    }
    for other in [&neighbour, &auditor, &stranger] {
        let unseen = other.client.get(&path).await.expect(404);
        let absent = other
            .client
            .get(&format!("/v1/contacts/{}", Uuid::new_v4()))
            .await
            .expect(404);
        assert_eq!(unseen.json["detail"], absent.json["detail"]);
    }
    auditor.client.get("/v1/contacts").await.expect(403);
    assert_eq!(
        neighbour.client.get("/v1/contacts").await.expect(200).json["items"],
        json!([])
    );
    let find = json!({ "phone": PHONE });
    let found = s
        .coordinator
        .client
        .post("/v1/contacts/find", find.clone())
        .await
        .expect(200);
    assert_eq!(found.json["items"][0]["phone"], PHONE);
    let none = stranger
        .client
        .post("/v1/contacts/find", find.clone())
        .await
        .expect(200);
    assert_eq!(none.json["items"], json!([]));
    s.worker.client.post("/v1/contacts/find", find).await.expect(403);
}

#[actix_web::test]
async fn each_reading_is_journalled_and_found_again_by_time_reader_and_contact() {
    let s = scene().await;
    let path = s.recorded().await;
    let id = path.rsplit('/').next().unwrap();
    s.worker.client.get(&path).await.expect(200);
    s.app.clock.advance(TimeDelta::minutes(10));
    s.coordinator.client.get("/v1/contacts").await.expect(200);
    s.coordinator
        .client
        .post("/v1/contacts/find", json!({ "phone": PHONE }))
        .await
        .expect(200);
    let auditor = s.world.actor(&s.app, Role::Auditor, "S1").await;
    let day = "from=2026-11-23T00:00:00Z&to=2026-11-24T00:00:00Z";
    let all = reads(&auditor.client, day, 3).await;
    let readers: Vec<_> = all.json["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|read| {
            assert_eq!(read["contact_ids"], json!([id]));
            read["worker_id"].as_i64().unwrap()
        })
        .collect();
    let (worker, coordinator) = (i64::from(s.worker.worker_id), i64::from(s.coordinator.worker_id));
    assert_eq!(readers, [worker, coordinator, coordinator]);
    assert!(!all.text().contains("98123"));
    let count = async |query: &str| {
        let answer = auditor
            .client
            .get(&format!("/v1/contact-reads?{query}"))
            .await
            .expect(200);
        answer.json["items"].as_array().unwrap().len()
    };
    let before = "from=2026-11-23T06:00:00Z&to=2026-11-23T06:35:00Z";
    assert_eq!(count(before).await, 1);
    assert_eq!(count(&format!("{day}&worker_id={coordinator}")).await, 2);
    assert_eq!(count(&format!("{day}&contact_id={id}")).await, 3);
    assert_eq!(count(&format!("{day}&contact_id={}", Uuid::new_v4())).await, 0);
    // Page by page, nothing twice and nothing left out.
    let first = auditor
        .client
        .get(&format!("/v1/contact-reads?{day}&limit=2"))
        .await
        .expect(200);
    let cursor = first.json["next_cursor"].as_str().unwrap();
    assert_eq!(count(&format!("{day}&limit=2&cursor={cursor}")).await, 1);
    let elsewhere = s.world.actor(&s.app, Role::Auditor, "S2").await;
    let none = elsewhere
        .client
        .get(&format!("/v1/contact-reads?{day}"))
        .await
        .expect(200);
    assert_eq!(none.json["items"], json!([]));
    s.coordinator
        .client
        .get(&format!("/v1/contact-reads?{day}"))
        .await
        .expect(403);
}

#[actix_web::test]
async fn a_correction_wants_the_version_that_was_read() {
    let s = scene().await;
    let path = s.recorded().await;
    let new = json!({"phone": "+919812345671"});
    s.worker.client.patch(&path, new.clone()).await.expect(428);
    let stale = s.worker.client.header("If-Match", "\"7\"");
    stale.patch(&path, new.clone()).await.expect(412);
    let neighbour = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await;
    neighbour
        .client
        .header("If-Match", "\"1\"")
        .patch(&path, new.clone())
        .await
        .expect(404);
    let changed = s
        .worker
        .client
        .header("If-Match", "\"1\"")
        .patch(&path, new)
        .await
        .expect(200);
    assert_eq!(
        (&changed.json["phone"], &changed.json["version"]),
        (&json!("+919812345671"), &json!(2))
    );
    let find = json!({ "phone": PHONE });
    let old = s
        .coordinator
        .client
        .post("/v1/contacts/find", find)
        .await
        .expect(200);
    assert_eq!(old.json["items"], json!([]));
}

#[actix_web::test]
async fn a_withdrawn_consent_hides_the_number_at_once_and_destroys_it_after_a_year() {
    let s = scene().await;
    let path = s.recorded().await;
    let (withdrawal, erasure) = (format!("{path}/withdrawal"), s.recorded().await);
    let ended = s.worker.client.post(&withdrawal, json!({})).await.expect(200);
    assert_eq!(ended.json["status"], "withdrawn");
    assert_eq!(ended.json["phone"], Value::Null);
    assert_eq!(ended.json["destroy_on"], "2027-11-23");
    let again = s.worker.client.post(&withdrawal, json!({})).await.expect(200);
    assert_eq!(again.json["version"], ended.json["version"]);
    s.coordinator.client.delete(&erasure).await.expect(204);
    assert_eq!(
        s.coordinator.client.get(&erasure).await.expect(200).json["status"],
        "erasure_requested"
    );
    let list = s.coordinator.client.get("/v1/contacts").await.expect(200);
    assert_eq!(list.json["items"], json!([]));
    // A phone that was offline sends it again: it does not come back.
    s.worker.client.put(&path, s.sent()).await.expect(409);
    s.worker
        .client
        .header("If-Match", "\"2\"")
        .patch(&path, json!({ "phone": PHONE }))
        .await
        .expect(409);
    for (days, kept) in [(364, 2), (1, 0)] {
        s.app.clock.advance(TimeDelta::days(days));
        retain(&s.app.state.db, &s.app.clock).await.unwrap();
        assert_eq!(s.numbers_kept().await, kept, "{days}");
    }
    let sql = "SELECT count(*) FROM contacts WHERE phone_index IS NOT NULL";
    assert_eq!(s.world.db.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0);
    let worker = s.world.sign_in(&s.app, s.worker.worker_id).await;
    assert_eq!(
        worker.client.get(&path).await.expect(200).json["status"],
        "destroyed"
    );
    worker.client.put(&path, s.sent()).await.expect(409);
}

#[actix_web::test]
async fn a_contact_ends_with_its_deadline() {
    let s = scene().await;
    let path = format!("/v1/contacts/{}", Uuid::new_v4());
    let mut sent = s.sent();
    sent["keep_until"] = json!("2028-11-22");
    s.worker.client.put(&path, sent).await.expect(201);
    s.app.clock.advance(TimeDelta::days(730));
    retain(&s.app.state.db, &s.app.clock).await.unwrap();
    assert_eq!(s.numbers_kept().await, 1, "its last day is today");
    s.app.clock.advance(TimeDelta::days(1));
    retain(&s.app.state.db, &s.app.clock).await.unwrap();
    assert_eq!(s.numbers_kept().await, 0, "the year is over too");
    let journalled =
        "SELECT count(*) FROM (SELECT action FROM journal UNION ALL SELECT action FROM journal_inbox) j
                      WHERE action IN ('contact.expire', 'contact.destroy')";
    assert_eq!(
        s.world
            .db
            .query_one(journalled, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        2
    );
}
