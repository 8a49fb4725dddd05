//! One-time codes on their way: signed, sealed, tried again, dropped.

use std::sync::{Arc, Mutex};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use chrono::TimeDelta;
use sampark::access::{KeyRing, Role, code_keys};
use sampark::platform::clock::Clock;
use sampark::platform::config::OtpSender;
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::sign_in::Scene;
use crate::support::{Settings, TestApp, TestDatabase, World, noon};

/// A message: its JSON, its headers, its body.
type Heard = (Value, Vec<(String, String)>, String);

/// A gateway that answers as it is told and remembers what it was sent.
#[derive(Clone, Default)]
struct Gateway {
    /// Statuses to answer with, the first first; then 200.
    answers: Arc<Mutex<Vec<u16>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

async fn receive(gateway: web::Data<Gateway>, request: HttpRequest, body: String) -> HttpResponse {
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let heard = (serde_json::from_str(&body).unwrap(), headers.collect(), body);
    gateway.heard.lock().unwrap().push(heard);
    let mut answers = gateway.answers.lock().unwrap();
    let status = if answers.is_empty() {
        200
    } else {
        answers.remove(0)
    };
    HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap()).finish()
}

const GATEWAY_KEY: &str = "a key for the tests, long enough for anyone";

async fn scene_with_gateway() -> (Scene, Gateway) {
    let database = Arc::new(TestDatabase::create().await);
    let clock = Clock::manual(chrono_tz::Asia::Kolkata, noon());
    let (app, gateway) = app_with_gateway(database, clock, KeyRing::ephemeral().unwrap());
    let world = World::build(&app).await;
    let anyone = app.anonymous();
    (Scene { app, world, anyone }, gateway)
}

fn app_with_gateway(database: Arc<TestDatabase>, clock: Clock, keys: KeyRing) -> (TestApp, Gateway) {
    let gateway = Gateway::default();
    let shared = web::Data::new(gateway.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .route("/send", web::post().to(receive))
    })
    .workers(1)
    .disable_signals()
    .bind("127.0.0.1:0")
    .unwrap();
    let address = server.addrs()[0];
    actix_web::rt::spawn(server.run());
    let app = TestApp::start_with_config(database, clock, keys, Settings::default(), |config| {
        config.otp_sender = OtpSender::Gateway(format!("http://{address}/send"));
        config.otp_gateway_key = Some(SecretString::from(GATEWAY_KEY));
    });
    (app, gateway)
}

impl Gateway {
    /// Waits until this many messages have come.
    async fn hears(&self, count: usize) -> Vec<Heard> {
        loop {
            let heard = self.heard.lock().unwrap().clone();
            if heard.len() >= count {
                return heard;
            }
            tokio::task::yield_now().await;
        }
    }
}

#[actix_web::test]
async fn a_gateway_is_sent_signed_messages_and_tried_again_until_it_takes_them() {
    let (s, gateway) = scene_with_gateway().await;
    *gateway.answers.lock().unwrap() = vec![503, 500];
    let (_, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
    let began = std::time::Instant::now();
    s.ask(json!({"phone": phone})).await;
    assert!(began.elapsed().as_secs() < 4, "the request waits for no gateway");
    for tries in [1, 2] {
        gateway.hears(tries).await;
        let failed = format!("sampark_codes_total{{result=\"failed\"}} {tries}");
        while !s.anyone.get("/metrics").await.text().contains(&failed) {
            tokio::task::yield_now().await;
        }
        while s
            .count("SELECT count(*) FROM otp_outbox WHERE next_at > created_at + interval '10 s'")
            .await
            > 0
        {
            tokio::task::yield_now().await;
        }
        s.app.clock.advance(TimeDelta::seconds(2));
    }
    let heard = gateway.hears(3).await;
    let (message, headers, body) = &heard[2];
    let header = |name: &str| headers.iter().find(|(key, _)| key == name).unwrap().1.clone();
    // The same message each time, and told so.
    assert!(heard.iter().all(|(other, ..)| other["id"] == message["id"]));
    assert_eq!(header("idempotency-key"), message["id"].as_str().unwrap());
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, GATEWAY_KEY.as_bytes());
    let signed = format!("{}.{body}", header("x-sampark-timestamp"));
    let signature = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    let hex: String = signature
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(header("x-sampark-signature"), format!("v1={hex}"));
    assert_eq!(
        (message["to"].as_str(), message["language"].as_str()),
        (Some(phone.as_str()), Some("hi"))
    );
    let code = message["code"].as_str().unwrap();
    assert!(message["text"].as_str().unwrap().contains(code));
    s.with_code(&phone, code, Uuid::new_v4()).await.expect(200);
    while s.count("SELECT count(*) FROM otp_outbox").await > 0 {
        tokio::task::yield_now().await;
    }
    let metrics = s.anyone.get("/metrics").await.expect(200);
    assert!(metrics.text().contains("sampark_codes_total{result=\"sent\"} 1"));
    assert!(
        metrics
            .text()
            .contains("sampark_codes_total{result=\"failed\"} 2")
    );
}

#[actix_web::test]
async fn a_gateway_that_refuses_is_not_asked_again_and_one_that_fails_is_left_alone() {
    let (s, gateway) = scene_with_gateway().await;
    *gateway.answers.lock().unwrap() = vec![400];
    let (_, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
    s.ask(json!({"phone": phone})).await;
    while s.count("SELECT count(*) FROM otp_outbox").await > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gateway.hears(1).await.len(), 1);
    // Five failures in a row open the breaker.
    *gateway.answers.lock().unwrap() = vec![500; 5];
    for n in 0..5 {
        let (_, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
        s.ask(json!({"phone": phone})).await;
        gateway.hears(2 + n).await;
    }
    let opened = async || {
        s.anyone
            .get("/metrics")
            .await
            .text()
            .contains("\nsampark_code_breaker_open 1")
    };
    while !opened().await {
        tokio::task::yield_now().await;
    }
    // Half a minute later one message tries, and then all go.
    s.app.clock.advance(TimeDelta::seconds(31));
    gateway.hears(11).await;
    while opened().await {
        tokio::task::yield_now().await;
    }
    assert_eq!(gateway.hears(11).await.len(), 11);
}

#[actix_web::test]
async fn a_message_whose_code_is_too_old_is_dropped_and_what_waits_is_sealed() {
    let (s, gateway) = scene_with_gateway().await;
    *gateway.answers.lock().unwrap() = vec![500; 3];
    let (_, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
    s.ask(json!({"phone": phone})).await;
    let code = gateway.hears(1).await[0].0["code"].as_str().unwrap().to_owned();
    let rows = s
        .world
        .db
        .query("SELECT sealed FROM otp_outbox", &[])
        .await
        .unwrap();
    let sealed: Vec<u8> = rows[0].get(0);
    for plain in [code.as_bytes(), &phone.as_bytes()[3..]] {
        assert!(!sealed.windows(plain.len()).any(|window| window == plain));
    }
    s.app.clock.advance(TimeDelta::seconds(301));
    while s.count("SELECT count(*) FROM otp_outbox").await > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gateway.hears(1).await.len(), 1);
}

#[actix_web::test]
async fn a_code_under_a_key_that_a_process_lacks_waits_until_it_has_it_and_is_no_failure_of_the_gateway() {
    let database = Arc::new(TestDatabase::create().await);
    let data_dir = database.scratch_file("data");
    let clock = Clock::manual(chrono_tz::Asia::Kolkata, noon());
    let keys = || KeyRing::load_or_make(&data_dir).unwrap();
    // One process sends; another, which has the new key already, is asked for the code.
    let (sending, gateway) = app_with_gateway(database.clone(), clock.clone(), keys());
    code_keys::add(&data_dir, clock.now()).unwrap();
    clock.advance(TimeDelta::minutes(2));
    let mut app = TestApp::start_on(database, clock.clone(), keys(), Settings::default());
    app.stop_sender().await;
    let world = World::build(&app).await;
    let anyone = app.anonymous();
    let s = Scene { app, world, anyone };
    let (_, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
    s.ask(json!({"phone": phone})).await;
    let metrics = async || sending.anonymous().get("/metrics").await.text().to_owned();
    while !metrics()
        .await
        .contains("sampark_codes_total{result=\"unreadable\"} 1")
    {
        tokio::task::yield_now().await;
    }
    assert!(metrics().await.contains("sampark_code_breaker_open 0"));
    let leased = "SELECT count(*) FROM otp_outbox WHERE next_at > created_at + interval '10 s'";
    while s.count(leased).await > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(s.count("SELECT count(*) FROM otp_outbox").await, 1);
    sending.state.access.keys().reload().unwrap();
    clock.advance(TimeDelta::seconds(2));
    let (message, ..) = &gateway.hears(1).await[0];
    let code = message["code"].as_str().unwrap();
    s.with_code(&phone, code, Uuid::new_v4()).await.expect(200);
}
