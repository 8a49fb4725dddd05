//! Token buckets with their headers, the cap of requests under way, waits; bounds on what is sent are in bounds.rs, what
//! stands at the edge in edge.rs.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use sampark::access::{KeyRing, Role};
use sampark::platform::clock::Clock;
use sampark::platform::config::Config;
use sampark::platform::db::{Db, Mode};
use sampark::platform::error::Code;
use sampark::platform::statement::statement;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::edge::assert_guarded;
use crate::support::{Answer, Program, Settings, TestApp, TestDatabase, World, data_keys, noon};

pub async fn app_with(change: impl FnOnce(&mut Config)) -> (TestApp, World) {
    let database = Arc::new(TestDatabase::create().await);
    let clock = Clock::manual(chrono_tz::Asia::Kolkata, noon());
    let keys = KeyRing::ephemeral().unwrap();
    let app = TestApp::start_with_config(database, clock, keys, Settings::default(), change);
    let world = World::build(&app).await;
    (app, world)
}

#[actix_web::test]
async fn an_account_has_ten_seconds_worth_of_requests_and_is_told_how_many_are_left() {
    let (app, world) = app_with(|config| config.rates.account = 3).await;
    let actor = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    for left in (0..30).rev() {
        let answer = actor.client.get("/v1/me").await.expect(200);
        assert_eq!(
            answer.header("ratelimit-policy").unwrap(),
            "\"account\";q=30;w=10, \"device\";q=1000000;w=10"
        );
        let full_in = (30_i32 - left + 2) / 3;
        let limit = answer.header("ratelimit").unwrap();
        assert!(
            limit.starts_with(&format!("\"account\";r={left};t={full_in}, ")),
            "{limit}"
        );
    }
    let refused = actor.client.get("/v1/me").await.expect(429);
    assert_eq!(refused.json["code"], "too_many_requests");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("ratelimit").unwrap(), "\"account\";r=0;t=10");
    // Another phone of his does not help; another worker is not touched; health answers.
    let other_phone = world.sign_in(&app, actor.worker_id).await;
    other_phone.client.get("/v1/me").await.expect(429);
    world
        .actor(&app, Role::BoothWorker, "S1-B1")
        .await
        .client
        .get("/v1/me")
        .await
        .expect(200);
    app.anonymous().get("/healthz").await.expect(200);
    // After the wait that was named, the next one is there.
    app.clock.advance(TimeDelta::seconds(1));
    actor.client.get("/v1/me").await.expect(200);
}

#[actix_web::test]
async fn a_phone_has_a_bucket_of_its_own() {
    let (app, world) = app_with(|config| config.rates.device = 1).await;
    let first = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    for left in (0..10).rev() {
        let answer = first.client.get("/v1/me").await.expect(200);
        let policy = answer.header("ratelimit-policy").unwrap();
        assert_eq!(policy, "\"account\";q=1000000;w=10, \"device\";q=10;w=10");
        let limit = answer.header("ratelimit").unwrap();
        assert!(
            limit.ends_with(&format!(", \"device\";r={left};t={}", 10 - left)),
            "{limit}"
        );
    }
    let refused = first.client.get("/v1/me").await.expect(429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(
        refused
            .header("ratelimit")
            .unwrap()
            .ends_with(", \"device\";r=0;t=10")
    );
    world
        .sign_in(&app, first.worker_id)
        .await
        .client
        .get("/v1/me")
        .await
        .expect(200);
}

#[actix_web::test]
async fn a_service_has_a_bucket_of_its_own() {
    let (app, world) = app_with(|config| config.rates.service = 1).await;
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    let unit = world.unit("S1");
    let wanted = json!({"name": "Screen", "contact": "IT cell", "unit_id": unit, "actions": ["totals.read"], "unit_ids": [unit]});
    let made = admin.post("/v1/services", wanted).await.expect(201).json;
    let body = json!({"grant_type": "client_credentials", "client_id": made["secret"]["client_id"], "client_secret": made["secret"]["client_secret"]});
    let token = app
        .anonymous()
        .post("/v1/auth/token", body)
        .await
        .expect(200)
        .json;
    let service = app.with_token(token["access_token"].as_str().unwrap());
    for left in (0..10).rev() {
        let answer = service.get(&format!("/v1/units/{unit}/totals")).await.expect(200);
        assert!(
            answer
                .header("ratelimit")
                .unwrap()
                .starts_with(&format!("\"service\";r={left};"))
        );
    }
    service.get(&format!("/v1/units/{unit}/totals")).await.expect(429);
}

/// A request whose body does not come.
pub async fn open_request(app: &TestApp) -> TcpStream {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = "POST /v1/auth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[actix_web::test]
async fn past_the_cap_of_requests_under_way_503_comes_at_once_and_health_still_answers() {
    let (app, _world) = app_with(|config| config.max_in_flight = 3).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        app.anonymous().get("/.well-known/jwks.json").await.expect(200);
        open.push(open_request(&app).await);
        // Until it has arrived.
        let wanted = open.len();
        while app.state.in_flight.count() < wanted {
            tokio::task::yield_now().await;
        }
    }
    let refused = app.anonymous().get("/.well-known/jwks.json").await.expect(503);
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=4).contains(&seconds), "{seconds}: not all come back at once");
    assert_guarded(&refused, "503");
    for path in ["/healthz", "/readyz", "/metrics"] {
        app.anonymous().get(path).await.expect(200);
    }
    open.pop();
    while app.anonymous().get("/.well-known/jwks.json").await.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[actix_web::test]
async fn a_request_has_its_time_from_when_its_body_is_there() {
    let (app, world) = app_with(|config| config.request_wait = Duration::ZERO).await;
    let client = world.actor(&app, Role::BoothWorker, "S1-B1").await.client;
    let mut slow = open_request(&app).await;
    while app.state.in_flight.count() == 0 {
        tokio::task::yield_now().await;
    }
    // What asks the database has no time at all here; what is answered from memory needs none.
    for _ in 0..5 {
        let late = client.get("/v1/me").await.expect(503);
        assert_eq!(late.json["detail"], "the request took too long");
        assert!(late.header("retry-after").is_some());
        app.anonymous().get("/.well-known/jwks.json").await.expect(200);
    }
    // Meanwhile the body that was on its way has cost its request nothing.
    assert_eq!(app.state.in_flight.count(), 1);
    let rest = r#""grant_type": "refresh_token", "refresh_token": "none"}"#;
    slow.write_all(format!("{rest:<99}").as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = slow.read(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer[..read]);
    assert!(text.contains("the request took too long"), "{text}");
}

#[derive(diesel::QueryableByName)]
struct SettingRow {
    #[diesel(sql_type = diesel::sql_types::Text)]
    value: String,
}

#[actix_web::test]
async fn every_wait_on_the_database_has_its_bound() {
    use diesel_async::RunQueryDsl;
    let (app, _world) = app_with(|_| {}).await;
    let bounds = [
        ("statement_timeout", "2s"),
        ("lock_timeout", "1s"),
        ("idle_in_transaction_session_timeout", "5s"),
    ];
    for (name, wanted) in bounds {
        let found = app.state.db.read(async |tx| {
            let asked =
                statement("SELECT current_setting($1) AS value").bind::<diesel::sql_types::Text, _>(name);
            let row: SettingRow = asked.get_result(tx).await?;
            Ok(row.value)
        });
        assert_eq!(found.await.unwrap(), wanted, "{name}");
    }
    // With every connection taken, a request is not left waiting.
    let mut held = Vec::new();
    while held.len() < app.state.config.pool_size {
        // Writes may take all of them; the poster uses one now and then.
        held.extend(app.state.db.begin(Mode::Write).await);
    }
    app.anonymous().get("/readyz").await.expect(503);
    while let Some(transaction) = held.pop() {
        transaction.rollback().await;
    }
    app.anonymous().get("/readyz").await.expect(200);
}

#[actix_web::test]
async fn a_connection_that_nobody_waits_for_any_more_is_given_up() {
    // A server that accepts and says nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://nobody:none@{}/none", listener.local_addr().unwrap());
    let db = Db::new(&url, 1, data_keys()).unwrap();
    let closed = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut greeting = Vec::new();
        let until_closed = stream.read_to_end(&mut greeting);
        tokio::time::timeout(Duration::from_secs(60), until_closed).await
    };
    let (asked, closed) = tokio::join!(db.ping(), closed);
    assert_eq!(asked.unwrap_err().code(), Code::Unavailable);
    assert!(closed.is_ok(), "the attempt goes on for nobody");
}

#[actix_web::test]
async fn a_body_that_does_not_come_is_given_up() {
    let (app, _world) = app_with(|config| config.body_wait = Duration::from_secs(1)).await;
    let mut stream = open_request(&app).await;
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
    assert!(text.contains("request_timeout"), "{text}");
}

/// A body of exactly this many bytes, in which one field is too long.
pub fn body_of(size: usize) -> Vec<u8> {
    let frame = r#"{"grant_type": ""}"#.len();
    format!(r#"{{"grant_type": "{}"}}"#, "x".repeat(size - frame)).into_bytes()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[actix_web::test]
async fn browsers_of_other_origins_read_nothing_unless_they_are_listed() {
    let (app, _world) =
        app_with(|config| config.cors_origins = vec!["https://desk.example".to_owned()]).await;
    let allowed = |answer: &Answer| answer.header("access-control-allow-origin").map(str::to_owned);
    let from = |origin: &str| app.anonymous().header("Origin", origin);
    let listed = from("https://desk.example").get("/healthz").await.expect(200);
    assert_eq!(allowed(&listed).as_deref(), Some("https://desk.example"));
    for other in [
        "https://evil.example",
        "https://desk.example.evil.example",
        "http://desk.example",
        "null",
    ] {
        assert_eq!(allowed(&from(other).get("/healthz").await), None, "{other}");
    }
    let preflight = from("https://desk.example")
        .header("Access-Control-Request-Method", "PATCH")
        .header("Access-Control-Request-Headers", "if-match")
        .send("OPTIONS", "/v1/visits/x", None)
        .await
        .expect(200);
    assert!(
        preflight
            .header("access-control-allow-methods")
            .unwrap()
            .contains("PATCH")
    );
    let (closed, _world) = app_with(|_| {}).await;
    let answer = closed
        .anonymous()
        .header("Origin", "https://desk.example")
        .get("/healthz")
        .await;
    assert_eq!(allowed(&answer), None);
}

#[actix_web::test]
async fn it_speaks_tls_where_a_certificate_is_named() {
    let database = TestDatabase::create().await;
    let (cert, key) = (
        database.scratch_file("cert.pem"),
        database.scratch_file("key.pem"),
    );
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
        ])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        eprintln!("SKIPPED: there is no openssl to make a certificate with");
        return;
    }
    let settings = [
        ("SAMPARK_TLS_CERT_FILE", cert.to_str().unwrap()),
        ("SAMPARK_TLS_KEY_FILE", key.to_str().unwrap()),
    ];
    let program = Program::serve_with(&database.scratch_file("data"), Some(&database.url), &settings);
    let ask = std::process::Command::new("curl")
        .args(["-s", "-i", "--cacert", cert.to_str().unwrap()])
        .arg(format!("https://{}/healthz", program.address))
        .output();
    let Ok(answer) = ask else {
        eprintln!("SKIPPED: there is no curl");
        return;
    };
    let text = String::from_utf8_lossy(&answer.stdout).to_lowercase();
    assert!(text.contains(" 200"), "{text}");
    assert!(
        text.contains("strict-transport-security: max-age=31536000"),
        "{text}"
    );
}
