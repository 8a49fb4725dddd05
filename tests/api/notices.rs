//! What happens to an account is told to the phones that were signed in before.

use chrono::TimeDelta;
use sampark::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Client, TestApp, World};
use crate::workers::{journalled, path_of};

struct Scene {
    app: TestApp,
    world: World,
    phone: String,
    worker_id: i32,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let worker_id = world.new_worker("S1-B1").await;
    world
        .grant(worker_id, Role::BoothWorker, "S1-B1", "2020-01-01", None)
        .await;
    let phone = crate::workers::phone_of(&world, worker_id).await;
    Scene {
        app,
        world,
        phone,
        worker_id,
    }
}

impl Scene {
    /// The newest code for a number, once the sender has written it.
    async fn code(&self, phone: &str) -> String {
        let file = self.app.database.scratch_file("otp.jsonl");
        let read = || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let sent = text
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let codes = sent.filter(|sent| sent["phone"] == phone);
            codes
                .map(|sent| sent["code"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let before = read().len();
        let body = json!({"phone": phone});
        self.app.anonymous().post("/v1/auth/otp", body).await.expect(202);
        loop {
            if let Some(code) = read().get(before) {
                return code.clone();
            }
            tokio::task::yield_now().await;
        }
    }

    async fn try_sign_in(&self, phone: &str, code: &str, device: Uuid) -> crate::support::Answer {
        let body = json!({"grant_type": "otp", "phone": phone, "code": code, "device": {"id": device, "name": "Redmi"}});
        self.app.anonymous().post("/v1/auth/token", body).await
    }

    async fn sign_in(&self, phone: &str, device: Uuid) -> Client {
        // Codes are sent a minute apart.
        self.app.clock.advance(TimeDelta::minutes(6));
        let code = self.code(phone).await;
        let tokens = self.try_sign_in(phone, &code, device).await.expect(200).json;
        self.app.with_token(tokens["access_token"].as_str().unwrap())
    }
}

async fn told(client: &Client) -> Vec<(String, Value)> {
    let me = client.get("/v1/me").await.expect(200).json;
    let notices = me["notices"].as_array().unwrap().iter();
    notices
        .map(|notice| {
            (
                notice["kind"].as_str().unwrap().to_owned(),
                notice["device_id"].clone(),
            )
        })
        .collect()
}

#[actix_web::test]
async fn a_new_phone_is_told_to_the_old_one_and_an_old_one_again_is_not() {
    let s = scene().await;
    let (first_id, second_id) = (Uuid::new_v4(), Uuid::new_v4());
    let first = s.sign_in(&s.phone, first_id).await;
    assert_eq!(told(&first).await, [], "the first phone of all is news to nobody");
    let second = s.sign_in(&s.phone, second_id).await;
    assert_eq!(told(&first).await, [("new_device".to_owned(), json!(second_id))]);
    assert_eq!(told(&second).await, [], "nor is a phone told about itself");
    s.sign_in(&s.phone, second_id).await;
    assert_eq!(told(&first).await.len(), 1);
    // A third is told to both, the newest first.
    let third = Uuid::new_v4();
    s.app.clock.advance(TimeDelta::minutes(10));
    s.sign_in(&s.phone, third).await;
    let kinds = |ids: &[Uuid]| {
        ids.iter()
            .map(|id| ("new_device".to_owned(), json!(id)))
            .collect::<Vec<_>>()
    };
    let again = s.app.clock.now();
    let first = s.app.with_token(&s.token_of(first_id, again).await);
    assert_eq!(told(&first).await, kinds(&[third, second_id]));
}

impl Scene {
    /// A fresh access token for what is open on a phone.
    async fn token_of(&self, device: Uuid, now: chrono::DateTime<chrono::Utc>) -> String {
        let session: Uuid = self
            .world
            .db
            .query_one(
                "SELECT id FROM sessions WHERE device_id = $1 AND revoked_at IS NULL",
                &[&device],
            )
            .await
            .unwrap()
            .get(0);
        let keys = self.app.state.access.keys();
        keys.sign(
            sampark::platform::ids::WorkerId(self.worker_id),
            sampark::platform::ids::SessionId(session),
            now,
        )
        .unwrap()
    }
}

#[actix_web::test]
async fn a_changed_number_is_told_to_the_old_phone_and_codes_for_the_old_number_end() {
    let s = scene().await;
    let phone = s.sign_in(&s.phone, Uuid::new_v4()).await;
    s.app.clock.advance(TimeDelta::minutes(2));
    let code = s.code(&s.phone).await;
    let coordinator = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M1")
        .await
        .client;
    let new = "+919812345678";
    let path = format!("/v1/workers/{}", s.worker_id);
    let tag = coordinator
        .get(&path)
        .await
        .expect(200)
        .header("etag")
        .unwrap()
        .to_owned();
    let changing = coordinator.header("if-match", &tag);
    changing.patch(&path, json!({"phone": new})).await.expect(200);
    assert_eq!(journalled(&s.world, "worker.change_phone").await, 1);
    // The phone that was signed in stays so, and is told.
    assert_eq!(told(&phone).await, [("phone_changed".to_owned(), Value::Null)]);
    // The code that went to the old number works with neither.
    for number in [s.phone.as_str(), new] {
        let answer = s.try_sign_in(number, &code, Uuid::new_v4()).await;
        assert_eq!(answer.status, 401, "{number}");
    }
    // The new number gets its own, and the session that it begins is not told what came before it.
    assert_eq!(told(&s.sign_in(new, Uuid::new_v4()).await).await, []);
    // Another change of his makes no notice.
    let tag = coordinator
        .get(&path)
        .await
        .expect(200)
        .header("etag")
        .unwrap()
        .to_owned();
    let renamed = coordinator.header("if-match", &tag);
    renamed.patch(&path, json!({"name": "Asha"})).await.expect(200);
    assert_eq!(journalled(&s.world, "worker.change_phone").await, 1);
}

#[actix_web::test]
async fn who_changes_his_own_number_is_told_on_his_other_phones_alone() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let here = world.actor(&app, Role::MandalCoordinator, "S1-M1").await;
    let there = world.sign_in(&app, here.worker_id).await;
    let tag = here
        .client
        .get(&path_of(&here))
        .await
        .expect(200)
        .header("etag")
        .unwrap()
        .to_owned();
    let changing = here.client.header("if-match", &tag);
    changing
        .patch(&path_of(&here), json!({"phone": "+919812345678"}))
        .await
        .expect(200);
    assert_eq!(told(&here.client).await, []);
    assert_eq!(
        told(&there.client).await,
        [("phone_changed".to_owned(), json!(here.device_id))]
    );
    // After a month it is no news.
    app.clock.advance(TimeDelta::days(31));
    let keys = app.state.access.keys();
    let token = keys
        .sign(
            sampark::platform::ids::WorkerId(there.worker_id),
            sampark::platform::ids::SessionId(there.session_id),
            app.clock.now(),
        )
        .unwrap();
    assert_eq!(told(&app.with_token(&token)).await, []);
}
