//! Signing in with a one-time code, refreshing, signing out.

use chrono::TimeDelta;
use sampark::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Client, TestApp, World};

struct Scene {
    app: TestApp,
    world: World,
    worker_id: i32,
    phone: String,
    anyone: Client,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let worker_id = world.new_worker("S1-B1").await;
    world
        .grant(worker_id, Role::BoothWorker, "S1-B1", "2020-01-01", None)
        .await;
    let phone = world.phone_of(worker_id).await;
    let anyone = app.anonymous();
    Scene {
        app,
        world,
        worker_id,
        phone,
        anyone,
    }
}

impl Scene {
    /// Asks for a code and reads it from the file that the sender writes.
    async fn code(&self) -> String {
        let before = self.codes().len();
        self.anyone
            .post("/v1/auth/otp", json!({"phone": self.phone}))
            .await
            .expect(202);
        loop {
            if let Some(code) = self.codes().get(before) {
                return code.clone();
            }
            tokio::task::yield_now().await;
        }
    }

    fn codes(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.app.database.scratch_file("otp.jsonl")).unwrap_or_default();
        let whole = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        whole
            .map(|line| line["code"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn sign_in(&self, code: &str, device: Uuid) -> Answer {
        let body = json!({"grant_type": "otp", "phone": self.phone, "code": code, "device": {"id": device, "name": "Redmi"}});
        self.anyone.post("/v1/auth/token", body).await
    }

    async fn signed_in(&self) -> Value {
        let code = self.code().await;
        self.sign_in(&code, Uuid::new_v4()).await.expect(200).json
    }

    async fn refresh(&self, token: &Value) -> Answer {
        self.anyone
            .post(
                "/v1/auth/token",
                json!({"grant_type": "refresh_token", "refresh_token": token}),
            )
            .await
    }

    fn client(&self, tokens: &Value) -> Client {
        self.app.with_token(tokens["access_token"].as_str().unwrap())
    }
}

#[actix_web::test]
async fn a_worker_signs_in_with_a_code_and_is_told_who_he_is() {
    let s = scene().await;
    let tokens = s.signed_in().await;
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 900);
    assert_eq!(tokens["worker"]["phone"], json!(s.phone));
    let me = s.client(&tokens).get("/v1/me").await.expect(200).json;
    assert_eq!(me["worker"]["id"], s.worker_id);
    assert_eq!(me["grants"][0]["role"], "booth_worker");
    assert!(me["actions"].as_array().unwrap().contains(&json!("visit.record")));
    let keys = s.anyone.get("/.well-known/jwks.json").await.expect(200).json;
    assert_eq!(keys["keys"][0]["alg"], "ES256");
}

#[actix_web::test]
async fn a_number_that_nobody_has_gets_the_same_answer_and_no_code() {
    let s = scene().await;
    let known = s
        .anyone
        .post("/v1/auth/otp", json!({"phone": s.phone}))
        .await
        .expect(202);
    let unknown = s
        .anyone
        .post("/v1/auth/otp", json!({"phone": "+919999999999"}))
        .await
        .expect(202);
    assert_eq!(known.body, unknown.body);
    s.anyone
        .post("/v1/auth/otp", json!({"phone": "12345"}))
        .await
        .expect(422);
    let stored: i64 = s
        .world
        .db
        .query_one("SELECT count(*) FROM otp_challenges", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(stored, 1);
}

#[actix_web::test]
async fn the_time_of_an_answer_does_not_tell_who_is_on_the_roster() {
    let s = scene().await;
    s.code().await;
    let nobody = "+919999999999";
    for phone in [s.phone.as_str(), nobody] {
        let wrong =
            json!({"grant_type": "otp", "phone": phone, "code": "000000", "device": {"id": Uuid::new_v4()}});
        for (path, body, status) in [
            ("/v1/auth/otp", json!({"phone": phone}), 202),
            ("/v1/auth/token", wrong, 401),
        ] {
            let began = std::time::Instant::now();
            s.anyone.post(path, body).await.expect(status);
            // What only a known number causes takes less than this.
            assert!(began.elapsed().as_millis() >= 100, "{path} {phone}");
        }
    }
}

#[actix_web::test]
async fn signing_in_again_on_a_phone_ends_what_was_open_on_it() {
    let s = scene().await;
    let phone = Uuid::new_v4();
    let first = s.sign_in(&s.code().await, phone).await.expect(200).json;
    s.client(&first).get("/v1/me").await.expect(200);
    s.app.clock.advance(TimeDelta::seconds(61));
    let second = s.sign_in(&s.code().await, phone).await.expect(200).json;
    s.client(&first).get("/v1/me").await.expect(401);
    s.refresh(&first["refresh_token"]).await.expect(401);
    s.client(&second).get("/v1/me").await.expect(200);
}

#[actix_web::test]
async fn of_fifty_wrong_tries_at_once_five_are_judged() {
    let s = scene().await;
    let code = s.code().await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let tries = (0..50).map(|_| {
        let (client, body) = (
            s.anyone.clone(),
            json!({"grant_type": "otp", "phone": s.phone, "code": wrong, "device": {"id": Uuid::new_v4()}}),
        );
        actix_web::rt::spawn(async move { client.post_until_served("/v1/auth/token", body).await.status })
    });
    for attempt in tries.collect::<Vec<_>>() {
        assert_eq!(attempt.await.unwrap(), 401);
    }
    let tried: i16 = s
        .world
        .db
        .query_one("SELECT tries FROM otp_challenges", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(tried, 5);
    // The right code comes too late.
    let late = s.sign_in(&code, Uuid::new_v4()).await.expect(401);
    assert_eq!(late.json["code"], "invalid_code");
}

#[actix_web::test]
async fn a_code_works_once_for_five_minutes_and_a_newer_one_ends_it() {
    let s = scene().await;
    let old = s.code().await;
    s.app.clock.advance(TimeDelta::seconds(61));
    let new = s.code().await;
    if old != new {
        s.sign_in(&old, Uuid::new_v4()).await.expect(401);
    }
    s.sign_in(&new, Uuid::new_v4()).await.expect(200);
    s.sign_in(&new, Uuid::new_v4()).await.expect(401);
    s.app.clock.advance(TimeDelta::seconds(61));
    let third = s.code().await;
    s.app.clock.advance(TimeDelta::seconds(301));
    s.sign_in(&third, Uuid::new_v4()).await.expect(401);
}

#[actix_web::test]
async fn codes_are_sent_at_intervals() {
    let s = scene().await;
    s.code().await;
    s.anyone
        .post("/v1/auth/otp", json!({"phone": s.phone}))
        .await
        .expect(202);
    let stored: i64 = s
        .world
        .db
        .query_one("SELECT count(*) FROM otp_challenges", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(stored, 1, "a second code within a minute");
}

#[actix_web::test]
async fn a_lost_reply_signs_nobody_out_and_a_stolen_token_ends_the_session() {
    let s = scene().await;
    let first = s.signed_in().await["refresh_token"].clone();
    let lost = s.refresh(&first).await.expect(200).json["refresh_token"].clone();
    // Sent again at once, it gets what the lost reply held: whichever of the two comes last, the phone's token lives.
    let again = s.refresh(&first).await.expect(200).json["refresh_token"].clone();
    assert_eq!(lost, again);
    // Sent again later, it gets another, and the lost one is dead, which ends nothing.
    s.app.clock.advance(TimeDelta::seconds(60));
    let second = s.refresh(&first).await.expect(200).json["refresh_token"].clone();
    s.refresh(&lost).await.expect(401);
    let third = s.refresh(&second).await.expect(200).json;
    s.client(&third).get("/v1/me").await.expect(200);
    // A copy that was long on its way gets nothing and ends nothing.
    s.refresh(&first).await.expect(401);
    s.client(&third).get("/v1/me").await.expect(200);
    // An older one is somebody else's.
    s.app.clock.advance(TimeDelta::seconds(60));
    s.refresh(&first).await.expect(401);
    s.refresh(&third["refresh_token"]).await.expect(401);
    s.client(&third).get("/v1/me").await.expect(401);
}

#[actix_web::test]
async fn twenty_refreshes_at_once_leave_one_live_successor_which_all_were_given() {
    let s = scene().await;
    let first = s.signed_in().await["refresh_token"].clone();
    let refreshes = (0..20).map(|_| {
        let (client, body) = (
            s.anyone.clone(),
            json!({"grant_type": "refresh_token", "refresh_token": first}),
        );
        actix_web::rt::spawn(async move { client.post("/v1/auth/token", body).await })
    });
    let mut tokens = std::collections::BTreeSet::new();
    for refresh in refreshes.collect::<Vec<_>>() {
        let answer = refresh.await.unwrap();
        if answer.status == 200 {
            tokens.insert(answer.json["refresh_token"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(tokens.len(), 1);
    let live: i64 = s
        .world
        .db
        .query_one("SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(live, 1);
    s.refresh(&json!(tokens.first().unwrap())).await.expect(200);
}

#[actix_web::test]
async fn a_token_unused_for_too_long_is_void() {
    let s = scene().await;
    let tokens = s.signed_in().await;
    s.app.clock.advance(TimeDelta::minutes(16));
    s.client(&tokens).get("/v1/me").await.expect(401);
    s.app.clock.advance(TimeDelta::days(59));
    let tokens = s.refresh(&tokens["refresh_token"]).await.expect(200).json;
    s.app.clock.advance(TimeDelta::days(61));
    s.refresh(&tokens["refresh_token"]).await.expect(401);
}

#[actix_web::test]
async fn signing_out_is_felt_at_once() {
    let s = scene().await;
    let tokens = s.signed_in().await;
    let client = s.client(&tokens);
    client.post("/v1/auth/logout", json!({})).await.expect(204);
    client.get("/v1/me").await.expect(401);
    s.refresh(&tokens["refresh_token"]).await.expect(401);
}

#[actix_web::test]
async fn a_lost_phone_is_signed_out_from_another() {
    let s = scene().await;
    let lost = s.signed_in().await;
    s.app.clock.advance(TimeDelta::seconds(61));
    let kept = s.client(&s.signed_in().await);
    let devices = kept.get("/v1/auth/devices").await.expect(200).json;
    let devices = devices["items"].as_array().unwrap();
    assert_eq!(devices.len(), 2);
    let other = devices.iter().find(|device| device["current"] == false).unwrap();
    let path = format!("/v1/auth/devices/{}", other["id"].as_str().unwrap());
    kept.delete(&path).await.expect(204);
    kept.delete(&path).await.expect(404);
    s.client(&lost).get("/v1/me").await.expect(401);
    kept.get("/v1/me").await.expect(200);
}

#[actix_web::test]
async fn who_was_deactivated_is_out_and_gets_no_code() {
    let s = scene().await;
    let tokens = s.signed_in().await;
    let admin = s.world.actor(&s.app, Role::NationalAdmin, "IN").await.client;
    let path = format!("/v1/workers/{}", s.worker_id);
    let tag = admin
        .get(&path)
        .await
        .expect(200)
        .header("etag")
        .unwrap()
        .to_owned();
    admin
        .header("If-Match", &tag)
        .patch(&path, json!({"active": false}))
        .await
        .expect(200);
    s.client(&tokens).get("/v1/me").await.expect(401);
    s.refresh(&tokens["refresh_token"]).await.expect(401);
    s.app.clock.advance(TimeDelta::seconds(61));
    s.anyone
        .post("/v1/auth/otp", json!({"phone": s.phone}))
        .await
        .expect(202);
    let stored: i64 = s
        .world
        .db
        .query_one("SELECT count(*) FROM otp_challenges", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(stored, 1);
}

#[actix_web::test]
async fn another_grant_type_is_refused_and_missing_fields_are_named() {
    let s = scene().await;
    let other = json!({"grant_type": "password", "phone": s.phone, "code": "123456"});
    let answer = s.anyone.post("/v1/auth/token", other).await.expect(400);
    assert_eq!(answer.json["code"], "unsupported_grant_type");
    let answer = s
        .anyone
        .post("/v1/auth/token", json!({"grant_type": "otp"}))
        .await
        .expect(422);
    assert_eq!(answer.json["errors"].as_array().unwrap().len(), 3);
}

#[actix_web::test]
async fn neither_phone_nor_code_nor_token_is_in_the_journal() {
    let s = scene().await;
    let tokens = s.signed_in().await;
    s.refresh(&tokens["refresh_token"]).await.expect(200);
    s.app.posted().await;
    let rows = s
        .world
        .db
        .query("SELECT action, journal::text FROM journal ORDER BY number", &[])
        .await
        .unwrap();
    let actions: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        actions,
        [
            "session.send_code",
            "session.try_code",
            "session.begin",
            "session.refresh"
        ]
    );
    assert!(
        rows.iter()
            .all(|row| !row.get::<_, String>(1).contains(&s.phone[3..]))
    );
}

#[actix_web::test]
async fn a_session_ends_at_its_instant_though_its_token_lives_longer() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let end = app.clock.now() + TimeDelta::minutes(5);
    let sql = "UPDATE sessions SET expires_at = $1 WHERE id = $2";
    assert_eq!(
        world.db.execute(sql, &[&end, &worker.session_id]).await.unwrap(),
        1
    );
    // It is remembered from here on.
    worker.client.get("/v1/me").await.expect(200);
    app.clock.advance(TimeDelta::seconds(299));
    worker.client.get("/v1/me").await.expect(200);
    app.clock.advance(TimeDelta::seconds(1));
    worker.client.get("/v1/me").await.expect(401);
    // Nor is it read again.
    app.state.access.forget();
    worker.client.get("/v1/me").await.expect(401);
}
