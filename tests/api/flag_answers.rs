//! What the author of a visit says to its flags: who may, who reads it where, in which words flags are explained, and how
//! it is kept.

use std::sync::Arc;

use chrono::TimeDelta;
use sampark::access::{KeyRing, Role};
use sampark::features::privacy::{drop_unused, reseal_all, retain};
use sampark::platform::clock::Clock;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Actor, Answer, DATA_KEYS, Phone, Settings, TestApp, TestDatabase, World, noon};
use crate::visits::visit;

const TEXT: &str = "Five families live around one courtyard";

struct Scene {
    app: TestApp,
    world: World,
    campaign: i32,
    author: Actor,
    coordinator: Actor,
    /// Of a visit with two flags: `too_short` (9 s for 15) and `mock_location`.
    visit: String,
}

async fn scene() -> Scene {
    // What is journalled is posted when a test says so.
    let settings = Settings {
        poster: false,
        ..Settings::default()
    };
    scene_on(TestApp::start_with(settings).await).await
}

async fn scene_on(app: TestApp) -> Scene {
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let author = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let mut sent = visit(&world, campaign, "S1-B1");
    sent["duration_s"] = json!(9);
    sent["location"] = json!({"lat": 26.8, "lon": 80.9, "mock": true});
    author.client.post("/v1/visits", sent.clone()).await.expect(201);
    Scene {
        coordinator: world.actor(&app, Role::MandalCoordinator, "S1-M1").await,
        author,
        app,
        world,
        campaign,
        visit: sent["id"].as_str().unwrap().to_owned(),
    }
}

impl Scene {
    fn path(&self, code: &str) -> String {
        format!("/v1/visits/{}/flags/{code}/answer", self.visit)
    }

    async fn answer(&self, code: &str, text: &str) -> Answer {
        let body = json!({ "text": text });
        self.author.client.post(&self.path(code), body).await
    }

    async fn read(&self, by: &Actor) -> Answer {
        by.client
            .get(&format!("/v1/visits/{}", self.visit))
            .await
            .expect(200)
    }

    async fn entries(&self) -> i64 {
        self.app.posted().await;
        let sql = "SELECT count(*) FROM journal WHERE action = 'visit.answer_flag'";
        self.world.db.query_one(sql, &[]).await.unwrap().get(0)
    }
}

/// The flag of a visit as it is shown.
#[track_caller]
fn flag(visit: &Value, code: &str) -> Value {
    let flags = visit["flags"].as_array().unwrap();
    let found = flags.iter().find(|flag| flag["code"] == code);
    found.unwrap_or_else(|| panic!("{visit} has no {code}")).clone()
}

#[track_caller]
fn text_of(visit: &Value, code: &str) -> Value {
    flag(visit, code)["answer"]["text"].clone()
}

#[actix_web::test]
async fn an_answer_stands_beside_its_flag_wherever_the_visit_is_shown() {
    let s = scene().await;
    let before = s.read(&s.coordinator).await;
    assert_eq!(flag(&before.json, "too_short")["answer"], json!(null));
    let mut phone = Phone::fresh(&s.author.client).await;
    let given = s.answer("too_short", TEXT).await.expect(200);
    assert_eq!(text_of(&given.json, "too_short"), TEXT);
    assert_eq!(flag(&given.json, "mock_location")["answer"], json!(null));
    // It is no version, and yet another answer to whoever asks whether anything changed.
    let tag = before.header("etag").unwrap();
    let asked = s.coordinator.client.header("If-None-Match", tag);
    let after = asked.get(&format!("/v1/visits/{}", s.visit)).await.expect(200);
    assert_eq!(
        (&after.json["version"], text_of(&after.json, "too_short")),
        (&json!(1), json!(TEXT))
    );
    assert_eq!(after.header("etag"), given.header("etag"));
    // The queue, the list and the export.
    let queue = format!("/v1/units/{}/review-queue", s.world.unit("S1-M1"));
    let queue = s.coordinator.client.get(&queue).await.expect(200).json;
    assert_eq!(text_of(&queue["items"][0]["visit"], "too_short"), TEXT);
    let list = s
        .coordinator
        .client
        .get("/v1/visits?flag=too_short")
        .await
        .expect(200)
        .json;
    assert_eq!(text_of(&list["items"][0], "too_short"), TEXT);
    let csv = s
        .coordinator
        .client
        .get("/v1/visits/export?format=csv")
        .await
        .expect(200);
    assert!(
        csv.text().contains(&format!("too_short: {TEXT}")),
        "{}",
        csv.text()
    );
    // The author's phone.
    let pages = phone.sync(&s.author.client, 100).await;
    assert_eq!(text_of(&pages[0]["visits"][0], "too_short"), TEXT);
    assert_eq!(phone.sync(&s.author.client, 100).await[0]["visits"], json!([]));
    // The feed tells the visit.
    s.app.posted().await;
    let feed = s
        .coordinator
        .client
        .get("/v1/feed?limit=500")
        .await
        .expect(200)
        .json;
    let mut items = feed["items"].as_array().unwrap().iter();
    let item = items.find(|item| item["action"] == "visit.answer_flag").unwrap();
    assert_eq!(item["kind"], "flag_answer");
    let subject = &item["subjects"][0];
    assert_eq!(
        (&subject["id"], &subject["standing"]),
        (&json!(s.visit), &json!("current"))
    );
    assert_eq!(text_of(&subject["value"], "too_short"), TEXT);
}

#[actix_web::test]
async fn only_the_author_answers_and_only_flags_that_were_raised() {
    let s = scene().await;
    let body = json!({ "text": TEXT });
    let sees = s
        .coordinator
        .client
        .post(&s.path("too_short"), body.clone())
        .await
        .expect(403);
    assert_eq!(sees.json["code"], "forbidden");
    let neighbour = s.world.actor(&s.app, Role::BoothWorker, "S1-B2").await.client;
    neighbour
        .post(&s.path("too_short"), body.clone())
        .await
        .expect(404);
    s.answer("daily_bound", TEXT).await.expect(404);
    s.answer("no_such_flag", TEXT).await.expect(404);
    let unknown = format!("/v1/visits/{}/flags/too_short/answer", Uuid::now_v7());
    s.author.client.post(&unknown, body.clone()).await.expect(404);
    // Who works in the field no more answers nothing; who works elsewhere now still does.
    s.world
        .db
        .batch_execute(&format!(
            "UPDATE grants SET ended_at = '2026-11-23', unit_id = {} WHERE worker_id = {}",
            s.world.unit("S1-B1"),
            s.author.worker_id
        ))
        .await
        .unwrap();
    let moved = s.world.sign_in(&s.app, s.author.worker_id).await.client;
    moved.post(&s.path("too_short"), body.clone()).await.expect(404);
    s.world
        .grant(s.author.worker_id, Role::BoothWorker, "S1-B5", "2026-11-23", None)
        .await;
    let moved = s.world.sign_in(&s.app, s.author.worker_id).await.client;
    moved.post(&s.path("too_short"), body).await.expect(200);
    assert_eq!(s.entries().await, 1);
}

#[actix_web::test]
async fn a_later_answer_takes_the_place_of_the_one_before_and_the_same_again_changes_nothing() {
    let s = scene().await;
    s.answer("too_short", TEXT).await.expect(200);
    let again = s.answer("too_short", TEXT).await.expect(200);
    assert_eq!(s.entries().await, 1);
    s.answer("mock_location", "Bought second-hand").await.expect(200);
    let later = s.answer("too_short", "They were in a hurry").await.expect(200);
    assert_ne!(later.header("etag"), None);
    assert_eq!(text_of(&again.json, "too_short"), TEXT);
    let read = s.read(&s.coordinator).await.json;
    assert_eq!(text_of(&read, "too_short"), "They were in a hurry");
    assert_eq!(text_of(&read, "mock_location"), "Bought second-hand");
    assert_eq!(s.entries().await, 3);
    let kept = "SELECT count(*) FROM flag_answers";
    assert_eq!(s.world.db.query_one(kept, &[]).await.unwrap().get::<_, i64>(0), 3);
    // A lost reply: the same key, the same answer, nothing twice.
    let keyed = s.author.client.header("Idempotency-Key", "answer-1");
    let body = json!({"text": "Once more"});
    let first = keyed.post(&s.path("too_short"), body.clone()).await.expect(200);
    let second = keyed.post(&s.path("too_short"), body).await.expect(200);
    assert_eq!(first.body, second.body);
    assert_eq!(s.entries().await, 4);
}

#[actix_web::test]
async fn what_is_no_sentence_or_tells_a_number_is_refused_and_fifty_answers_are_enough() {
    let s = scene().await;
    for (text, code) in [
        (String::new(), "bad_length"),
        ("x".repeat(501), "bad_length"),
        ("Ask her on 98765 43210".to_owned(), "personal_number"),
    ] {
        let refused = s.answer("too_short", &text).await.expect(422);
        assert_eq!(refused.json["errors"][0]["pointer"], "/text", "{text}");
        assert_eq!(refused.json["errors"][0]["code"], code, "{text}");
    }
    let more = json!({"text": TEXT, "by": 1});
    s.author.client.post(&s.path("too_short"), more).await.expect(422);
    for n in 0..50 {
        s.answer("too_short", &format!("Reason {n}")).await.expect(200);
    }
    let refused = s.answer("mock_location", TEXT).await.expect(422);
    assert_eq!(refused.json["errors"][0]["code"], "too_many");
    assert_eq!(s.entries().await, 50);
}

#[actix_web::test]
async fn flags_are_explained_in_the_language_of_their_reader() {
    let s = scene().await;
    let hindi = "भेंट 9 सेकंड की थी। अपेक्षित: कम से कम 15।";
    assert_eq!(flag(&s.read(&s.author).await.json, "too_short")["reason"], hindi);
    let mut phone = Phone::fresh(&s.author.client).await;
    let mine = s.author.client.get("/v1/me/data").await.expect(200);
    let client = s.author.client.header("If-Match", mine.header("etag").unwrap());
    client
        .patch("/v1/me/data", json!({"language": "ta-IN"}))
        .await
        .expect(200);
    let tamil = "சந்திப்பு 9 நொடி நீடித்தது. எதிர்பார்ப்பு: குறைந்தது 15.";
    assert_eq!(flag(&s.read(&s.author).await.json, "too_short")["reason"], tamil);
    assert_eq!(
        flag(&s.read(&s.coordinator).await.json, "too_short")["reason"],
        hindi
    );
    // The phone is sent what reads otherwise now.
    let pages = phone.sync(&s.author.client, 100).await;
    assert_eq!(flag(&pages[0]["visits"][0], "too_short")["reason"], tamil);
    // And a batch is answered so at once.
    let mut sent = visit(&s.world, s.campaign, "S1-B1");
    sent["duration_s"] = json!(3);
    let batch = json!({ "visits": [sent] });
    let answered = s
        .author
        .client
        .post("/v1/visits/batch", batch)
        .await
        .expect(200)
        .json;
    let reason = flag(&answered["results"][0], "too_short")["reason"].clone();
    assert!(reason.as_str().unwrap().starts_with("சந்திப்பு 3 "), "{reason}");
}

#[actix_web::test]
async fn an_answer_lies_sealed_and_goes_when_the_notes_of_its_campaign_go() {
    let s = scene().await;
    s.world
        .db
        .batch_execute("UPDATE campaigns SET retention_days = 365")
        .await
        .unwrap();
    s.answer("too_short", TEXT).await.expect(200);
    let sql = "SELECT text_sealed FROM flag_answers";
    let sealed: Vec<u8> = s.world.db.query_one(sql, &[]).await.unwrap().get(0);
    assert!(!sealed.windows(7).any(|part| part == &TEXT.as_bytes()[..7]));
    s.app.clock.advance(TimeDelta::days(364));
    retain(&s.app.state.db, &s.app.clock).await.unwrap();
    let coordinator = s.world.sign_in(&s.app, s.coordinator.worker_id).await;
    assert_eq!(text_of(&s.read(&coordinator).await.json, "too_short"), TEXT);
    s.app.clock.advance(TimeDelta::days(1));
    retain(&s.app.state.db, &s.app.clock).await.unwrap();
    let coordinator = s.world.sign_in(&s.app, s.coordinator.worker_id).await;
    let left = flag(&s.read(&coordinator).await.json, "too_short")["answer"].clone();
    assert_eq!(left["text"], json!(null));
    assert_eq!(left["answered_at"], json!(noon()));
    let sql = "SELECT text_sealed IS NULL FROM flag_answers";
    assert!(s.world.db.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));
    // What was done is journalled, and what is done is done.
    s.app.posted().await;
    let sql = "SELECT count(*) FROM journal WHERE $1 = ANY (subject_uuids) AND actor_id IS NULL";
    let id: Uuid = s.visit.parse().unwrap();
    let entries = async || -> i64 { s.world.db.query_one(sql, &[&id]).await.unwrap().get(0) };
    let before = entries().await;
    assert!(before > 0);
    retain(&s.app.state.db, &s.app.clock).await.unwrap();
    s.app.posted().await;
    assert_eq!(entries().await, before);
}

#[actix_web::test]
async fn a_new_data_key_seals_answers_anew_before_the_old_one_goes() {
    let database = Arc::new(TestDatabase::create().await);
    let file = database.scratch_file("data.keys");
    std::fs::write(&file, DATA_KEYS).unwrap();
    let clock = Clock::manual(chrono_tz::Asia::Kolkata, noon());
    let app = TestApp::start_with_config(
        database.clone(),
        clock,
        KeyRing::ephemeral().unwrap(),
        Settings::default(),
        move |config| config.data_keys_file = Some(file),
    );
    let s = scene_on(app).await;
    s.answer("too_short", TEXT).await.expect(200);
    // Nothing but the answer needs the first key.
    s.world
        .db
        .batch_execute(
            "UPDATE workers SET phone_sealed = NULL, phone_index = NULL; DELETE FROM idempotency_keys",
        )
        .await
        .unwrap();
    let db = &s.app.state.db;
    assert_eq!(db.keys().add_version().unwrap(), 2);
    assert_eq!(drop_unused(db).await.unwrap(), Vec::<u16>::new());
    reseal_all(db, &s.app.clock).await.unwrap();
    assert_eq!(drop_unused(db).await.unwrap(), [1]);
    assert_eq!(text_of(&s.read(&s.coordinator).await.json, "too_short"), TEXT);
}
