//! Signing in under attack and on bad networks: guesses, floods, second factors.

use std::sync::Arc;

use chrono::TimeDelta;
use sampark::access::{KeyRing, Role};
use sampark::platform::clock::Clock;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Actor, Answer, Client, Settings, TestApp, TestDatabase, World, noon};

pub struct Scene {
    pub app: TestApp,
    pub world: World,
    pub anyone: Client,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let anyone = app.anonymous();
    Scene { app, world, anyone }
}

impl Scene {
    /// A worker with a role: his id and number.
    pub async fn worker(&self, role: Role, unit: &str) -> (i32, String) {
        let id = self.world.new_worker(unit).await;
        self.world.grant(id, role, unit, "2020-01-01", None).await;
        (id, self.phone(id).await)
    }

    async fn phone(&self, id: i32) -> String {
        self.world.phone_of(id).await
    }

    pub async fn ask(&self, body: Value) {
        self.anyone.post("/v1/auth/otp", body).await.expect(202);
    }

    /// Asks for a code and waits until the file has it.
    pub async fn code(&self, phone: &str) -> String {
        let before = self.sent(phone).len();
        self.ask(json!({"phone": phone})).await;
        loop {
            if let Some(sent) = self.sent(phone).get(before) {
                return sent["code"].as_str().unwrap().to_owned();
            }
            tokio::task::yield_now().await;
        }
    }

    /// What was sent to a number.
    fn sent(&self, phone: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.app.database.scratch_file("otp.jsonl")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|sent| sent["phone"] == phone)
            .collect()
    }

    pub async fn token(&self, body: Value) -> Answer {
        self.anyone.post("/v1/auth/token", body).await
    }

    pub async fn with_code(&self, phone: &str, code: &str, device: Uuid) -> Answer {
        self.token(json!({"grant_type": "otp", "phone": phone, "code": code, "device": {"id": device}}))
            .await
    }

    pub fn client(&self, answer: &Answer) -> Client {
        self.app.with_token(answer.json["access_token"].as_str().unwrap())
    }

    pub async fn count(&self, sql: &str) -> i64 {
        self.world.db.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// A coordinator who has set up his second factor on this device: his number and secret.
    pub async fn coordinator(&self, device: Uuid) -> (i32, String, String) {
        let (id, phone) = self.worker(Role::MandalCoordinator, "S1-M1").await;
        let above = self
            .world
            .actor(&self.app, Role::DistrictCoordinator, "S1-D1")
            .await;
        let secret = self.set_up(&above, id, &phone, device).await;
        (id, phone, secret)
    }

    /// Somebody above reads out a code, with which he signs in and sets up his app.
    async fn set_up(&self, above: &Actor, id: i32, phone: &str, device: Uuid) -> String {
        let read_out = above
            .client
            .post(&format!("/v1/workers/{id}/sign-in-code"), json!({}))
            .await;
        let code = read_out.expect(201).json["code"].as_str().unwrap().to_owned();
        assert_eq!(code.len(), 8);
        let client = self.client(&self.with_code(phone, &code, device).await.expect(200));
        let made = client
            .post("/v1/auth/second-factor", json!({}))
            .await
            .expect(200)
            .json;
        let secret = made["secret"].as_str().unwrap().to_owned();
        assert!(made["uri"].as_str().unwrap().contains(&secret));
        let now = json!({"totp": self.password(&secret)});
        client
            .post("/v1/auth/second-factor/confirm", now)
            .await
            .expect(204);
        assert_eq!(
            client.get("/v1/me").await.expect(200).json["second_factor"],
            "done"
        );
        secret
    }

    /// What the app shows now.
    pub fn password(&self, secret: &str) -> String {
        password(secret, self.app.clock.now())
    }
}

/// What an app with this secret shows.
pub fn password(secret: &str, now: chrono::DateTime<chrono::Utc>) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let app = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    app.generate(now.timestamp().try_into().unwrap()).to_string()
}

#[actix_web::test]
async fn of_fifty_right_tries_at_once_one_gets_a_session() {
    let s = scene().await;
    let (_, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
    let code = s.code(&phone).await;
    let tries = (0..50).map(|_| {
        let (client, body) = (
            s.anyone.clone(),
            json!({"grant_type": "otp", "phone": phone, "code": code, "device": {"id": Uuid::new_v4()}}),
        );
        actix_web::rt::spawn(async move { client.post("/v1/auth/token", body).await.status })
    });
    let mut signed_in = 0;
    for attempt in tries.collect::<Vec<_>>() {
        let status = attempt.await.unwrap();
        // 503 is a try that waited too long for its turn and was not judged.
        assert!([200, 401, 503].contains(&status), "{status}");
        signed_in += i32::from(status == 200);
    }
    assert_eq!(signed_in, 1);
    assert_eq!(s.count("SELECT count(*) FROM sessions").await, 1);
}

#[actix_web::test]
async fn a_code_that_a_phone_asked_for_works_on_no_other() {
    let s = scene().await;
    let (_, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
    let own = Uuid::new_v4();
    s.ask(json!({"phone": phone, "device_id": own})).await;
    while s.sent(&phone).is_empty() {
        tokio::task::yield_now().await;
    }
    let code = s.sent(&phone)[0]["code"].as_str().unwrap().to_owned();
    s.with_code(&phone, &code, Uuid::new_v4()).await.expect(401);
    s.with_code(&phone, &code, own).await.expect(200);
}

#[actix_web::test]
async fn the_message_is_in_the_workers_language() {
    let s = scene().await;
    for (language, said) in [
        ("ta", "சம்பர்க்"),
        ("en-IN", "your code"),
        ("xx", "आपका कोड"),
        ("bn", "কোড"),
    ] {
        let (id, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
        let sql = "UPDATE workers SET language = $2 WHERE id = $1";
        s.world.db.execute(sql, &[&id, &language]).await.unwrap();
        let code = s.code(&phone).await;
        let text = s.sent(&phone)[0]["text"].as_str().unwrap().to_owned();
        assert!(text.contains(said) && text.contains(&code), "{language}: {text}");
    }
}

#[actix_web::test]
async fn twenty_failures_in_a_row_lock_an_account_until_a_coordinator_or_a_day_unlocks_it() {
    let s = scene().await;
    let (id, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
    let coordinator = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M1")
        .await
        .client;
    let fail = async || {
        // Four codes of five tries each: three in a quarter of an hour at most.
        for _ in 0..4 {
            let code = s.code(&phone).await;
            let wrong = if code == "000000" { "000001" } else { "000000" };
            for _ in 0..5 {
                s.with_code(&phone, wrong, Uuid::new_v4()).await.expect(401);
            }
            s.app.clock.advance(TimeDelta::minutes(16));
        }
    };
    fail().await;
    let code = s.code(&phone).await;
    s.with_code(&phone, &code, Uuid::new_v4()).await.expect(401);
    // Who may not manage him cannot unlock him; a sibling's coordinator does not even see him.
    let sibling = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M2")
        .await
        .client;
    sibling
        .post(&format!("/v1/workers/{id}/unlock"), json!({}))
        .await
        .expect(404);
    let coordinator = {
        drop(coordinator);
        s.world
            .actor(&s.app, Role::MandalCoordinator, "S1-M1")
            .await
            .client
    };
    coordinator
        .post(&format!("/v1/workers/{id}/unlock"), json!({}))
        .await
        .expect(204);
    s.with_code(&phone, &code, Uuid::new_v4()).await.expect(200);
    s.app.clock.advance(TimeDelta::days(1));
    fail().await;
    let code = s.code(&phone).await;
    s.with_code(&phone, &code, Uuid::new_v4()).await.expect(401);
    s.app.clock.advance(TimeDelta::days(1));
    let code = s.code(&phone).await;
    s.with_code(&phone, &code, Uuid::new_v4()).await.expect(200);
}

#[actix_web::test]
async fn a_success_forgets_the_failures_before_it() {
    let s = scene().await;
    let (_, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
    for _ in 0..6 {
        let code = s.code(&phone).await;
        let wrong = if code == "000000" { "000001" } else { "000000" };
        for _ in 0..4 {
            s.with_code(&phone, wrong, Uuid::new_v4()).await.expect(401);
        }
        s.with_code(&phone, &code, Uuid::new_v4()).await.expect(200);
        s.app.clock.advance(TimeDelta::minutes(16));
    }
    assert_eq!(s.count("SELECT count(*) FROM sign_in_guards").await, 0);
}

#[actix_web::test]
async fn tries_without_a_code_under_way_do_not_lock_anybody_out() {
    let s = scene().await;
    let (_, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
    for _ in 0..25 {
        s.with_code(&phone, "000000", Uuid::new_v4()).await.expect(401);
    }
    let code = s.code(&phone).await;
    s.with_code(&phone, &code, Uuid::new_v4()).await.expect(200);
}

#[actix_web::test]
async fn ten_thousand_wrong_codes_in_a_day_suspend_sign_in_by_message_and_nothing_else() {
    let s = scene().await;
    let device = Uuid::new_v4();
    let (_, coordinator, secret) = s.coordinator(device).await;
    let (id, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
    s.world
        .db
        .execute("INSERT INTO sign_in_days VALUES ('2026-11-23', 9999)", &[])
        .await
        .unwrap();
    let code = s.code(&phone).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    s.with_code(&phone, wrong, Uuid::new_v4()).await.expect(401);
    for phone in [phone.as_str(), "+919999999999"] {
        let answer = s.with_code(phone, &code, Uuid::new_v4()).await.expect(429);
        assert_eq!(answer.json["code"], "sign_in_suspended");
        assert!(answer.header("retry-after").is_some());
    }
    // The app and a code that is read out still work.
    s.app.clock.advance(TimeDelta::seconds(60));
    let totp = s.password(&secret);
    let signed_in = s
        .token(json!({"grant_type": "totp", "phone": coordinator, "totp": totp, "device": {"id": device}}))
        .await
        .expect(200);
    let read_out = s
        .client(&signed_in)
        .post(&format!("/v1/workers/{id}/sign-in-code"), json!({}))
        .await;
    let code = read_out.expect(201).json["code"].as_str().unwrap().to_owned();
    s.with_code(&phone, &code, Uuid::new_v4()).await.expect(200);
    // The next day everything does.
    s.app.clock.advance(TimeDelta::days(1));
    let code = s.code(&phone).await;
    s.with_code(&phone, &code, Uuid::new_v4()).await.expect(200);
}

#[actix_web::test]
async fn past_the_budget_no_message_leaves_and_the_answer_is_the_same() {
    let database = Arc::new(TestDatabase::create().await);
    let clock = Clock::manual(chrono_tz::Asia::Kolkata, noon());
    let keys = KeyRing::ephemeral().unwrap();
    let app = TestApp::start_with_config(database, clock, keys, Settings::default(), |config| {
        config.otp_per_hour = 2
    });
    let world = World::build(&app).await;
    let anyone = app.anonymous();
    let s = Scene { app, world, anyone };
    let mut answers = Vec::new();
    for _ in 0..4 {
        let (_, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
        answers.push(
            s.anyone
                .post("/v1/auth/otp", json!({"phone": phone}))
                .await
                .expect(202)
                .body,
        );
    }
    assert!(answers.iter().all(|body| *body == answers[0]));
    assert_eq!(s.count("SELECT count(*) FROM otp_challenges").await, 2);
    s.app.clock.advance(TimeDelta::hours(1));
    let (_, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
    s.code(&phone).await;
}

#[actix_web::test]
async fn a_code_by_message_alone_never_gives_what_a_coordinator_may_do() {
    let s = scene().await;
    let campaign = s.world.campaign("S1").await;
    let (id, phone) = s.worker(Role::MandalCoordinator, "S1-M1").await;
    let weak = s.client(
        &s.with_code(&phone, &s.code(&phone).await, Uuid::new_v4())
            .await
            .expect(200),
    );
    let me = weak.get("/v1/me").await.expect(200).json;
    assert_eq!(me["second_factor"], "needed");
    assert_eq!(
        (
            me["grants"].as_array().unwrap().len(),
            me["actions"].as_array().unwrap().len()
        ),
        (0, 0)
    );
    for path in [
        "/v1/workers",
        "/v1/visits",
        &format!("/v1/units/{}", s.world.unit("S1-M1")),
    ] {
        let answer = weak.get(path).await.expect(403);
        assert_eq!(answer.json["code"], "second_factor_required", "{path}");
    }
    // What lies outside his grants stays as if it did not exist.
    weak.get(&format!("/v1/units/{}", s.world.unit("S1-M2")))
        .await
        .expect(404);
    let visit = crate::visits::visit(&s.world, campaign, "S1-B1");
    let refused = weak.post("/v1/visits", visit).await.expect(403);
    assert_eq!(refused.json["code"], "second_factor_required");
    assert_eq!(s.count("SELECT count(*) FROM visits").await, 0);
    // Nor can he set up a second factor with it.
    let refused = weak.post("/v1/auth/second-factor", json!({})).await.expect(403);
    assert_eq!(refused.json["code"], "second_factor_required");
    // If he is a booth worker as well, that much he may do, and no more.
    s.world
        .grant(id, Role::BoothWorker, "S1-B1", "2020-01-01", None)
        .await;
    s.app.clock.advance(TimeDelta::minutes(2));
    let weak = s.client(
        &s.with_code(&phone, &s.code(&phone).await, Uuid::new_v4())
            .await
            .expect(200),
    );
    for (booth, status) in [("S1-B1", 201), ("S1-B2", 403)] {
        let visit = crate::visits::visit(&s.world, campaign, booth);
        weak.post("/v1/visits", visit).await.expect(status);
    }
    weak.get("/v1/workers").await.expect(403);
}

#[actix_web::test]
async fn a_coordinator_sets_up_his_app_with_a_code_that_was_read_out_and_signs_in_with_it() {
    let s = scene().await;
    let device = Uuid::new_v4();
    let (_, phone, secret) = s.coordinator(device).await;
    s.app.clock.advance(TimeDelta::minutes(2));
    // Beside a code by message, on any phone.
    let code = s.code(&phone).await;
    let strong = |code: String, totp: String| json!({"grant_type": "otp", "phone": phone, "code": code, "totp": totp, "device": {"id": Uuid::new_v4()}});
    let totp = s.password(&secret);
    let signed_in = s.token(strong(code, totp.clone())).await.expect(200);
    s.client(&signed_in).get("/v1/workers").await.expect(200);
    // A refresh keeps it.
    let refreshed = s
        .token(json!({"grant_type": "refresh_token", "refresh_token": signed_in.json["refresh_token"]}))
        .await
        .expect(200);
    s.client(&refreshed).get("/v1/workers").await.expect(200);
    // Its password works once, whatever the path.
    s.app.clock.advance(TimeDelta::seconds(61));
    let late = json!({"grant_type": "totp", "phone": phone, "totp": totp, "device": {"id": device}});
    s.token(late).await.expect(401);
    // Alone, on a phone that was signed in before.
    let alone = |device: Uuid| json!({"grant_type": "totp", "phone": phone, "totp": s.password(&secret), "device": {"id": device}});
    s.token(alone(Uuid::new_v4())).await.expect(401);
    let signed_in = s.token(alone(device)).await.expect(200);
    s.client(&signed_in).get("/v1/workers").await.expect(200);
    s.token(alone(device)).await.expect(401);
    // A wrong password beside a right code gives nothing and does not use the code up.
    s.app.clock.advance(TimeDelta::minutes(2));
    let code = s.code(&phone).await;
    s.token(strong(code.clone(), "000000".to_owned()))
        .await
        .expect(401);
    s.token(strong(code, s.password(&secret))).await.expect(200);
}

#[actix_web::test]
async fn of_fifty_tries_with_one_password_at_once_one_gets_a_session() {
    let s = scene().await;
    let device = Uuid::new_v4();
    let (_, phone, secret) = s.coordinator(device).await;
    s.app.clock.advance(TimeDelta::minutes(2));
    let body =
        json!({"grant_type": "totp", "phone": phone, "totp": s.password(&secret), "device": {"id": device}});
    let tries = (0..50).map(|_| {
        let (client, body) = (s.anyone.clone(), body.clone());
        actix_web::rt::spawn(async move { client.post("/v1/auth/token", body).await.status })
    });
    let mut signed_in = 0;
    for attempt in tries.collect::<Vec<_>>() {
        signed_in += i32::from(attempt.await.unwrap() == 200);
    }
    assert_eq!(signed_in, 1);
}

#[actix_web::test]
async fn a_lost_app_is_replaced_by_the_level_above_and_by_nobody_else() {
    let s = scene().await;
    let device = Uuid::new_v4();
    let (id, phone, secret) = s.coordinator(device).await;
    s.app.clock.advance(TimeDelta::minutes(2));
    let totp = s.password(&secret);
    let body = json!({"grant_type": "totp", "phone": phone, "totp": totp, "device": {"id": device}});
    let own = s.client(&s.token(body).await.expect(200));
    let factor = format!("/v1/workers/{id}/second-factor");
    let code = format!("/v1/workers/{id}/sign-in-code");
    // Not he himself, not a worker below him, not a neighbour.
    own.delete(&factor).await.expect(403);
    own.post(&code, json!({})).await.expect(403);
    let below = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await.client;
    below.delete(&factor).await.expect(404);
    let neighbour = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M2")
        .await
        .client;
    neighbour.delete(&factor).await.expect(404);
    // Nor may a coordinator sign in as somebody above him.
    let above = s.world.actor(&s.app, Role::DistrictCoordinator, "S1-D1").await;
    s.world
        .grant(id, Role::BoothWorker, "S1-B1", "2020-01-01", None)
        .await;
    assert!(
        [403, 404].contains(
            &own.post(
                &format!("/v1/workers/{}/sign-in-code", above.worker_id),
                json!({})
            )
            .await
            .status
        )
    );
    above.client.delete(&factor).await.expect(204);
    own.get("/v1/me").await.expect(401);
    s.app.clock.advance(TimeDelta::minutes(2));
    let body =
        json!({"grant_type": "totp", "phone": phone, "totp": s.password(&secret), "device": {"id": device}});
    s.token(body).await.expect(401);
    let above = s.world.sign_in(&s.app, above.worker_id).await;
    let fresh = s.set_up(&above, id, &phone, Uuid::new_v4()).await;
    assert_ne!(fresh, secret);
}

#[actix_web::test]
async fn a_new_app_replaces_the_old_one_only_once_it_is_confirmed() {
    let s = scene().await;
    let device = Uuid::new_v4();
    let (_, phone, secret) = s.coordinator(device).await;
    s.app.clock.advance(TimeDelta::minutes(2));
    let alone = |secret: &str| json!({"grant_type": "totp", "phone": phone, "totp": s.password(secret), "device": {"id": device}});
    let client = s.client(&s.token(alone(&secret)).await.expect(200));
    let made = client
        .post("/v1/auth/second-factor", json!({}))
        .await
        .expect(200)
        .json;
    let fresh = made["secret"].as_str().unwrap().to_owned();
    client
        .post("/v1/auth/second-factor/confirm", json!({"totp": "000000"}))
        .await
        .expect(401);
    s.app.clock.advance(TimeDelta::minutes(2));
    s.token(alone(&fresh)).await.expect(401);
    let client = s.client(&s.token(alone(&secret)).await.expect(200));
    s.app.clock.advance(TimeDelta::minutes(2));
    let password = json!({"totp": s.password(&fresh)});
    client
        .post("/v1/auth/second-factor/confirm", password.clone())
        .await
        .expect(204);
    client
        .post("/v1/auth/second-factor/confirm", password)
        .await
        .expect(409);
    s.app.clock.advance(TimeDelta::minutes(2));
    s.token(alone(&secret)).await.expect(401);
    s.token(alone(&fresh)).await.expect(200);
}

#[actix_web::test]
async fn a_worker_signs_out_everywhere_and_a_coordinator_does_it_for_him() {
    let s = scene().await;
    let (id, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
    let mut phones = Vec::new();
    for _ in 0..2 {
        phones.push(
            s.with_code(&phone, &s.code(&phone).await, Uuid::new_v4())
                .await
                .expect(200),
        );
        s.app.clock.advance(TimeDelta::seconds(61));
    }
    s.client(&phones[0]).delete("/v1/auth/devices").await.expect(204);
    for answer in &phones {
        s.client(answer).get("/v1/me").await.expect(401);
        let refresh = json!({"grant_type": "refresh_token", "refresh_token": answer.json["refresh_token"]});
        s.token(refresh).await.expect(401);
    }
    s.app.clock.advance(TimeDelta::minutes(16));
    let lost = s
        .with_code(&phone, &s.code(&phone).await, Uuid::new_v4())
        .await
        .expect(200);
    let coordinator = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M1")
        .await
        .client;
    coordinator
        .delete(&format!("/v1/workers/{id}/sessions"))
        .await
        .expect(204);
    s.client(&lost).get("/v1/me").await.expect(401);
}

#[actix_web::test]
async fn a_thousand_lost_replies_sign_nobody_out() {
    let s = scene().await;
    let (_, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
    let mut token = s
        .with_code(&phone, &s.code(&phone).await, Uuid::new_v4())
        .await
        .expect(200)
        .json["refresh_token"]
        .clone();
    for n in 0..1000 {
        let body = json!({"grant_type": "refresh_token", "refresh_token": token});
        // The reply is lost: either the connection is reset before it, or it is thrown away.
        if n % 2 == 0 {
            s.anyone.send_and_reset("/v1/auth/token", &body).await;
        } else {
            s.token(body.clone()).await.expect(200);
        }
        token = s.token(body).await.expect(200).json["refresh_token"].clone();
    }
    assert_eq!(
        s.count("SELECT count(*) FROM sessions WHERE revoked_at IS NULL")
            .await,
        1
    );
}
