//! A gateway of one-time codes that is slow, fails, and is asked twice.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use chrono::TimeDelta;
use sampark::access::{KeyRing, Role};
use sampark::platform::clock::Clock;
use sampark::platform::config::OtpSender;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::eventually;
use super::table::Row;
use crate::support::{Settings, TestApp, TestDatabase, World, noon};

/// How the gateway takes the next message.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// It takes the message and answers when nobody waits any more.
    TakeAndStall,
    /// It takes the message, and its answer is an error.
    TakeAndFail,
    Fail,
    Take,
}

#[derive(Clone, Default)]
struct Gateway {
    manners: Arc<Mutex<Vec<Manner>>>,
    /// How often each message came, by its key.
    came: Arc<Mutex<BTreeMap<String, usize>>>,
    /// Messages that went out to phones: each key once, whatever comes again.
    sent: Arc<Mutex<Vec<(String, String)>>>,
}

async fn receive(gateway: web::Data<Gateway>, request: HttpRequest, body: String) -> HttpResponse {
    let message: Value = serde_json::from_str(&body).unwrap();
    let key = request
        .headers()
        .get("idempotency-key")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let manner = gateway.manners.lock().unwrap().pop().unwrap_or(Manner::Take);
    let first = {
        let mut came = gateway.came.lock().unwrap();
        let times = came.entry(key.clone()).or_default();
        *times += 1;
        !gateway
            .sent
            .lock()
            .unwrap()
            .iter()
            .any(|(known, _)| *known == key)
    };
    if first && !matches!(manner, Manner::Fail) {
        let code = message["code"].as_str().unwrap().to_owned();
        gateway.sent.lock().unwrap().push((key, code));
    }
    match manner {
        Manner::Take => HttpResponse::Ok().finish(),
        Manner::Fail | Manner::TakeAndFail => HttpResponse::ServiceUnavailable().finish(),
        Manner::TakeAndStall => {
            // Until whoever waits gives up, which drops this.
            std::future::pending::<HttpResponse>().await
        }
    }
}

#[actix_web::test]
async fn f19_a_gateway_that_is_slow_and_fails_slows_nobody_and_sends_one_message_a_challenge() {
    let row = Row::begin("F19");
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
    let database = Arc::new(TestDatabase::create().await);
    let clock = Clock::manual(chrono_tz::Asia::Kolkata, noon());
    let app = TestApp::start_with_config(
        database,
        clock,
        KeyRing::ephemeral().unwrap(),
        Settings::default(),
        |config| {
            config.otp_sender = OtpSender::Gateway(format!("http://{address}/send"));
            config.otp_gateway_key = Some(SecretString::from("a key for the tests, long enough for anyone"));
        },
    );
    let world = World::build(&app).await;
    let rounds = row.rounds(1, 8);
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        // The last is taken first. Four failures in a row leave the breaker closed.
        *gateway.manners.lock().unwrap() = vec![
            Manner::Take,
            Manner::Fail,
            Manner::TakeAndFail,
            Manner::TakeAndStall,
        ];
        let before = gateway.sent.lock().unwrap().len();
        for _ in 0..4 {
            let id = world.new_worker("S1-B1").await;
            world
                .grant(id, Role::BoothWorker, "S1-B1", "2020-01-01", None)
                .await;
            let phone = world.phone_of(id).await;
            let began = Instant::now();
            app.anonymous()
                .post("/v1/auth/otp", json!({"phone": phone}))
                .await
                .expect(202);
            slowest = slowest.max(began.elapsed());
        }
        // Each is tried again once its pause is over, until the gateway takes it.
        let outbox = "SELECT count(*) FROM otp_outbox";
        let looked = Cell::new(Instant::now());
        eventually(Duration::from_secs(90), "every message is taken", async || {
            // Time goes by four times as fast as it does here.
            let passed = looked.replace(Instant::now()).elapsed();
            app.clock.advance(TimeDelta::from_std(passed * 4).unwrap());
            world.db.query_one(outbox, &[]).await.unwrap().get::<_, i64>(0) == 0
        })
        .await;
        assert_eq!(gateway.sent.lock().unwrap().len(), before + 4);
        app.clock.advance(TimeDelta::seconds(40));
    }
    let sent = gateway.sent.lock().unwrap().clone();
    let keys: BTreeSet<&String> = sent.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), sent.len(), "one message a challenge");
    let again = gateway
        .came
        .lock()
        .unwrap()
        .values()
        .filter(|times| **times > 1)
        .count();
    assert!(again >= 2 * rounds, "{again} were sent again under the same key");
    assert!(slowest < row.within(Duration::from_millis(300)), "{slowest:?}");
    row.held(
        rounds,
        format!(
            "{} codes, {again} of them tried again under the same key; the slowest request for one took {:.0} ms",
            sent.len(),
            slowest.as_secs_f64() * 1_000.0
        ),
    );
}
