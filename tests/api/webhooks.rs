//! Webhooks: signed, in order, tried again, laid aside, sent again; by one process at a time.

use std::sync::{Arc, Mutex};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use sampark::access::{KeyRing, Role};
use sampark::platform::clock::Clock;
use serde_json::{Value, json};

use crate::support::{Client, Settings, TestApp, TestDatabase, World, noon};
use crate::visits::visit;

/// What was sent: id, timestamp, signatures, body.
type Heard = (String, String, String, String);

/// A receiver that answers as it is told and remembers what it was sent.
#[derive(Clone, Default)]
struct Receiver {
    /// The status of every answer; 0: 200.
    status: Arc<Mutex<u16>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

async fn receive(receiver: web::Data<Receiver>, request: HttpRequest, body: String) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap().to_owned();
    let heard = (
        header("webhook-id"),
        header("webhook-timestamp"),
        header("webhook-signature"),
        body,
    );
    receiver.heard.lock().unwrap().push(heard);
    let status = match *receiver.status.lock().unwrap() {
        0 => 200,
        status => status,
    };
    HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap())
        .insert_header(("location", "/elsewhere"))
        .finish()
}

struct Scene {
    app: TestApp,
    world: World,
    campaign: i32,
    receiver: Receiver,
    url: String,
}

fn start(database: Arc<TestDatabase>, clock: Clock) -> TestApp {
    let keys = KeyRing::ephemeral().unwrap();
    TestApp::start_with_config(database, clock, keys, Settings::default(), |config| {
        config.webhooks_allow_loopback = true;
    })
}

async fn scene() -> Scene {
    let receiver = Receiver::default();
    let shared = web::Data::new(receiver.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .default_service(web::to(receive))
    })
    .workers(1)
    .disable_signals()
    .bind("127.0.0.1:0")
    .unwrap();
    let url = format!("http://{}/hook", server.addrs()[0]);
    actix_web::rt::spawn(server.run());
    let clock = Clock::manual(chrono_tz::Asia::Kolkata, noon());
    let app = start(Arc::new(TestDatabase::create().await), clock);
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    Scene {
        app,
        world,
        campaign,
        receiver,
        url,
    }
}

impl Scene {
    async fn admin(&self) -> Client {
        self.world.actor(&self.app, Role::StateAdmin, "S1").await.client
    }

    fn wanted(&self, unit: &str) -> Value {
        json!({"unit_id": self.world.unit(unit), "url": self.url})
    }

    async fn register(&self, unit: &str) -> Value {
        let admin = self.admin().await;
        admin
            .post("/v1/webhooks", self.wanted(unit))
            .await
            .expect(201)
            .json
    }

    async fn record(&self, booth: &str) -> String {
        let worker = self.world.actor(&self.app, Role::BoothWorker, booth).await.client;
        let sent = visit(&self.world, self.campaign, booth);
        worker.post("/v1/visits", sent.clone()).await.expect(201);
        sent["id"].as_str().unwrap().to_owned()
    }

    async fn until(&self, sql: &str) {
        while !self.world.db.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until this many messages have come.
    async fn hears(&self, count: usize) -> Vec<Heard> {
        loop {
            let heard = self.receiver.heard.lock().unwrap().clone();
            if heard.len() >= count {
                return heard;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until all that was posted is delivered.
    async fn settled(&self) {
        self.until(
            "SELECT NOT EXISTS (SELECT 1 FROM journal_inbox) AND NOT EXISTS (SELECT 1 FROM webhook_batches WHERE died_at IS NULL)
                AND NOT EXISTS (SELECT 1 FROM webhooks WHERE lease IS NOT NULL
                    OR looked_at < (SELECT sum(size) FROM journal_heads))",
        )
        .await;
    }

    fn items(&self) -> Vec<Value> {
        let heard = self.receiver.heard.lock().unwrap().clone();
        let bodies = heard
            .iter()
            .map(|heard| serde_json::from_str::<Value>(&heard.3).unwrap());
        bodies
            .flat_map(|body| body["data"]["items"].as_array().unwrap().clone())
            .collect()
    }
}

fn signature(secret: &Value, heard: &Heard) -> String {
    let secret = secret.as_str().unwrap().strip_prefix("whsec_").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(secret).unwrap());
    let signed = format!("{}.{}.{}", heard.0, heard.1, heard.3);
    format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed.as_bytes())))
}

#[actix_web::test]
async fn what_happens_under_its_unit_alone_is_sent_signed_and_without_peoples_data() {
    let s = scene().await;
    let made = s.register("S1-M1").await;
    let visit = s.record("S1-B1").await;
    s.record("S1-B4").await;
    s.record("S2-B1").await;
    let heard = s.hears(1).await;
    s.settled().await;
    assert_eq!(heard[0].2, signature(&made["secret"], &heard[0]));
    assert_eq!(heard[0].1, noon().timestamp().to_string());
    let items = s.items();
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(items[0]["action"], "visit.record");
    assert_eq!(items[0]["unit_ids"], json!([s.world.unit("S1-B1")]));
    assert_eq!(items[0]["subjects"][0]["id"], json!(visit));
    assert_eq!(
        (&items[0]["actor"], &items[0]["subjects"][0]["value"]),
        (&Value::Null, &Value::Null)
    );
    let rows = s
        .world
        .db
        .query("SELECT sealed FROM webhook_secrets", &[])
        .await
        .unwrap();
    let secret = made["secret"].as_str().unwrap().trim_start_matches("whsec_");
    let (sealed, plain): (Vec<u8>, _) = (rows[0].get(0), STANDARD.decode(secret).unwrap());
    assert!(!sealed.windows(plain.len()).any(|window| window == plain));
}

#[actix_web::test]
async fn two_secrets_sign_while_one_is_replaced_and_the_oldest_ends() {
    let s = scene().await;
    let made = s.register("S1").await;
    s.app.clock.advance(TimeDelta::seconds(1));
    let admin = s.admin().await;
    let path = format!("/v1/webhooks/{}/secrets", made["webhook"]["id"]);
    let second = admin.post(&path, json!({})).await.expect(201).json;
    s.record("S1-B1").await;
    let heard = s.hears(1).await;
    let mut signed: Vec<&str> = heard[0].2.split(' ').collect();
    signed.sort_unstable();
    let mut wanted = [
        signature(&made["secret"], &heard[0]),
        signature(&second["secret"], &heard[0]),
    ];
    wanted.sort_unstable();
    assert_eq!(signed, wanted);
    s.settled().await;
    s.app.clock.advance(TimeDelta::seconds(1));
    admin.post(&path, json!({})).await.expect(201);
    s.record("S1-B1").await;
    let heard = s.hears(2).await;
    assert!(heard[1].2.contains(&signature(&second["secret"], &heard[1])));
    assert!(!heard[1].2.contains(&signature(&made["secret"], &heard[1])));
}

#[actix_web::test]
async fn what_fails_is_sent_again_under_the_same_id_and_a_redirect_is_not_followed() {
    let s = scene().await;
    s.register("S1").await;
    *s.receiver.status.lock().unwrap() = 307;
    s.record("S1-B1").await;
    s.hears(1).await;
    s.until(
        "SELECT EXISTS (SELECT 1 FROM webhook_batches WHERE attempts = 1 AND reason = 'it answered 307')",
    )
    .await;
    assert_eq!(s.hears(1).await.len(), 1);
    *s.receiver.status.lock().unwrap() = 0;
    s.app.clock.advance(TimeDelta::seconds(11));
    let heard = s.hears(2).await;
    s.settled().await;
    assert_eq!((&heard[0].0, &heard[0].3), (&heard[1].0, &heard[1].3));
    s.until("SELECT failing_since IS NULL FROM webhooks").await;
}

#[actix_web::test]
async fn what_fails_for_hours_is_laid_aside_and_sent_again_when_asked() {
    let s = scene().await;
    let made = s.register("S1").await;
    *s.receiver.status.lock().unwrap() = 500;
    s.record("S1-B1").await;
    for tries in 1..=12 {
        s.until(&format!(
            "SELECT EXISTS (SELECT 1 FROM webhook_batches WHERE attempts = {tries})"
        ))
        .await;
        s.app.clock.advance(TimeDelta::hours(1));
    }
    let admin = s.admin().await;
    let path = format!("/v1/webhooks/{}/dead-letters", made["webhook"]["id"]);
    let dead = admin.get(&path).await.expect(200).json;
    assert_eq!(dead["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&dead["items"][0]["attempts"], &dead["items"][0]["reason"]),
        (&json!(12), &json!("it answered 500"))
    );
    // It holds up nothing that comes later.
    *s.receiver.status.lock().unwrap() = 0;
    s.record("S1-B2").await;
    let heard = s.hears(13).await;
    assert_ne!(heard[12].0, heard[11].0);
    s.settled().await;
    let replayed = admin.post(&format!("{path}/replay"), json!({})).await.expect(200);
    assert_eq!(replayed.json, json!({"replayed": 1}));
    let heard = s.hears(14).await;
    assert_eq!((&heard[13].0, &heard[13].3), (&heard[0].0, &heard[0].3));
    s.settled().await;
    assert_eq!(admin.get(&path).await.expect(200).json["items"], json!([]));
    let metrics = s.app.anonymous().get("/metrics").await.expect(200);
    let dead = "sampark_webhook_deliveries_total{result=\"dead\"} 1";
    assert!(metrics.text().contains(dead), "{}", metrics.text());
}

#[actix_web::test]
async fn a_receiver_that_is_gone_is_left_alone_and_told_afterwards_if_it_comes_back() {
    let s = scene().await;
    let made = s.register("S1").await;
    *s.receiver.status.lock().unwrap() = 410;
    s.record("S1-B1").await;
    s.until("SELECT paused AND lease IS NULL FROM webhooks").await;
    let admin = s.admin().await;
    let path = format!("/v1/webhooks/{}", made["webhook"]["id"]);
    let shown = admin.get(&path).await.expect(200);
    assert_eq!(
        shown.json["note"],
        "it answered 410: whoever received there is gone"
    );
    assert_eq!(crate::workers::journalled(&s.world, "webhook.pause").await, 1);
    // Hours pass, more happens: nobody knocks again.
    s.app.clock.advance(TimeDelta::hours(9));
    s.record("S1-B2").await;
    s.until("SELECT NOT EXISTS (SELECT 1 FROM journal_inbox)").await;
    assert_eq!(s.receiver.heard.lock().unwrap().len(), 1);
    *s.receiver.status.lock().unwrap() = 0;
    let admin = s.admin().await.header("If-Match", shown.header("etag").unwrap());
    admin.patch(&path, json!({"paused": false})).await.expect(200);
    let heard = s.hears(3).await;
    assert_eq!(
        heard[0].0, heard[1].0,
        "what waited comes first, under its old id"
    );
    s.settled().await;
    let metrics = s.app.anonymous().get("/metrics").await.expect(200);
    for line in [
        "sampark_webhook_deliveries_total{result=\"delivered\"} 2",
        "sampark_webhook_deliveries_total{result=\"failed\"} 1",
    ] {
        assert!(metrics.text().contains(line), "{}", metrics.text());
    }
}

#[actix_web::test]
async fn two_processes_deliver_each_entry_once_in_order() {
    let s = scene().await;
    let _other = start(s.app.database.clone(), s.app.clock.clone());
    s.register("S1").await;
    for _ in 0..8 {
        s.record("S1-B1").await;
    }
    s.settled().await;
    let items = s.items();
    let numbers: Vec<i64> = items
        .iter()
        .map(|item| item["number"].as_i64().unwrap())
        .collect();
    assert_eq!(numbers.len(), 8, "{numbers:?}");
    assert!(numbers.is_sorted(), "{numbers:?}");
}

#[actix_web::test]
async fn a_paused_webhook_is_told_afterwards_and_a_private_address_is_refused() {
    let s = scene().await;
    let made = s.register("S1").await;
    let path = format!("/v1/webhooks/{}", made["webhook"]["id"]);
    let admin = s.admin().await;
    admin.patch(&path, json!({"paused": true})).await.expect(428);
    let first = admin.header("If-Match", "\"1\"");
    first.patch(&path, json!({"paused": true})).await.expect(200);
    first.patch(&path, json!({"paused": false})).await.expect(412);
    s.record("S1-B1").await;
    let second = admin.header("If-Match", "\"2\"");
    for url in [
        "https://10.0.0.1/x",
        "https://[::ffff:127.0.0.1]/x",
        "http://hooks.example/x",
    ] {
        let refused = second.patch(&path, json!({"url": url})).await.expect(422);
        assert_eq!(refused.json["errors"][0]["pointer"], "/url");
    }
    assert!(s.receiver.heard.lock().unwrap().is_empty());
    second.patch(&path, json!({"paused": false})).await.expect(200);
    s.hears(1).await;
    let unknown = json!({"unit_id": s.world.unit("S1"), "url": s.url, "kinds": ["worker"]});
    let refused = admin.post("/v1/webhooks", unknown).await.expect(422);
    assert_eq!(refused.json["errors"][0]["pointer"], "/kinds/0");
    // What was delivered may be noted down just now, and on a busy machine for longer than a request waits.
    let mut gone = admin.delete(&path).await;
    while gone.status == 503 {
        gone = admin.delete(&path).await;
    }
    gone.expect(204);
    admin.get(&path).await.expect(404);
}
