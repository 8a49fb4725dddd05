//! Every bound, at what is just allowed and just beyond it; floods and slow clients while others are served.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use sampark::access::{KeyRing, Role};
use sampark::platform::clock::Clock;
use sampark::platform::config::Config;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::kills::Program;
use crate::openapi::{document, operations};
use crate::support::{Answer, Settings, TestApp, TestDatabase, World, noon};

async fn app_with(change: impl FnOnce(&mut Config)) -> (TestApp, World) {
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
    for _ in 0..10 {
        first.client.get("/v1/me").await.expect(200);
    }
    first.client.get("/v1/me").await.expect(429);
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

#[actix_web::test]
async fn an_address_is_bounded_where_nobody_has_signed_in_and_forged_addresses_change_nothing() {
    let (app, _world) = app_with(|config| config.rates.address = 1).await;
    let body = json!({"grant_type": "password"});
    let send = async |forwarded: &str| {
        let client = app
            .anonymous()
            .header("X-Forwarded-For", forwarded)
            .header("Forwarded", "for=9.9.9.9");
        client.post("/v1/auth/token", body.clone()).await.status
    };
    for n in 0..10 {
        assert_eq!(send(&format!("9.9.9.{n}")).await, 400);
    }
    assert_eq!(send("8.8.8.8").await, 429);
    app.anonymous().get("/.well-known/jwks.json").await.expect(200);
}

#[actix_web::test]
async fn a_proxy_of_ours_tells_who_asks_and_whether_by_tls() {
    let (app, _world) = app_with(|config| {
        config.rates.address = 1;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
    })
    .await;
    let body = json!({"grant_type": "password"});
    let send = async |forwarded: &str| {
        app.anonymous()
            .header("X-Forwarded-For", forwarded)
            .post("/v1/auth/token", body.clone())
            .await
            .status
    };
    // The last hop that is no proxy of ours is the client; what stands before it, he may have written himself.
    for n in 0..10 {
        assert_eq!(send(&format!("1.1.1.{n}, 5.5.5.5, 10.1.2.3")).await, 400);
    }
    assert_eq!(send("2.2.2.2, 5.5.5.5, 10.1.2.3").await, 429);
    assert_eq!(send("5.5.5.5, 6.6.6.6").await, 400);
    let secure = app
        .anonymous()
        .header("X-Forwarded-Proto", "https")
        .get("/healthz")
        .await;
    assert!(secure.header("strict-transport-security").is_some());
    assert!(
        app.anonymous()
            .get("/healthz")
            .await
            .header("strict-transport-security")
            .is_none()
    );
}

#[actix_web::test]
async fn hsts_is_not_sent_because_a_stranger_says_https() {
    let (app, _world) = app_with(|_| {}).await;
    let answer = app
        .anonymous()
        .header("X-Forwarded-Proto", "https")
        .get("/healthz")
        .await;
    assert!(answer.header("strict-transport-security").is_none());
}

/// A request whose body does not come.
async fn open_request(app: &TestApp) -> TcpStream {
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
    assert_eq!(refused.header("retry-after"), Some("1"));
    for path in ["/healthz", "/readyz", "/metrics"] {
        app.anonymous().get(path).await.expect(200);
    }
    open.pop();
    while app.anonymous().get("/.well-known/jwks.json").await.status != 200 {
        tokio::task::yield_now().await;
    }
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
fn body_of(size: usize) -> Vec<u8> {
    let frame = r#"{"grant_type": ""}"#.len();
    format!(r#"{{"grant_type": "{}"}}"#, "x".repeat(size - frame)).into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[actix_web::test]
async fn bodies_hold_so_much_after_inflation_and_no_more() {
    let (app, _world) = app_with(|_| {}).await;
    let anyone = app.anonymous();
    let send = async |body: Vec<u8>, encoding: Option<&str>| -> Answer {
        let client = match encoding {
            Some(encoding) => anyone.header("content-encoding", encoding),
            None => anyone.clone(),
        };
        client
            .send("POST", "/v1/auth/token", Some(("application/json", body)))
            .await
    };
    const MOST: usize = 256 * 1024;
    for (size, code) in [(MOST, "unsupported_grant_type"), (MOST + 1, "payload_too_large")] {
        assert_eq!(send(body_of(size), None).await.json["code"], code);
        assert_eq!(
            send(gzip(&body_of(size)), Some("gzip")).await.json["code"],
            code,
            "gzip"
        );
    }
    // Bombs: a hundred megabytes in a hundred kilobytes; a bomb in a bomb; an encoding that is none.
    let bomb = gzip(&vec![b' '; 100 << 20]);
    assert!(bomb.len() < 200_000);
    send(bomb.clone(), Some("gzip")).await.expect(413);
    for encoding in ["gzip, gzip", "br", "deflate", "x-gzip", "nonsense"] {
        send(gzip(&bomb), Some(encoding)).await.expect(415);
    }
    send(b"not gzip".to_vec(), Some("gzip")).await.expect(400);
    let mut cut = gzip(&body_of(1000));
    cut.truncate(20);
    send(cut, Some("gzip")).await.expect(400);
}

#[actix_web::test]
async fn json_is_nested_so_deep_and_no_deeper() {
    let (app, world) = app_with(|_| {}).await;
    let campaign = world.campaign("S1").await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await.client;
    let mut visit = crate::visits::visit(&world, campaign, "S1-B1");
    visit["answers"] = json!({"heard": true});
    let text = visit.to_string();
    let deep =
        |levels: usize| text.replace("true", &format!("{}1{}", "[".repeat(levels), "]".repeat(levels)));
    for levels in [3, 120, 128, 100_000] {
        let answer = worker
            .send(
                "POST",
                "/v1/visits",
                Some(("application/json", deep(levels).into_bytes())),
            )
            .await;
        assert!([400, 422].contains(&answer.status), "{levels}: {}", answer.status);
    }
    worker.get("/v1/me").await.expect(200);
}

#[actix_web::test]
async fn addresses_and_headers_are_bounded() {
    let (app, _world) = app_with(|_| {}).await;
    let anyone = app.anonymous();
    let path = |length: usize| format!("/healthz?{}", "q".repeat(length - "/healthz?".len()));
    anyone.get(&path(8 * 1024)).await.expect(200);
    let refused = anyone.get(&path(8 * 1024 + 1)).await.expect(414);
    assert_eq!(refused.json["code"], "uri_too_long");
    let many =
        |count: usize| (0..count).fold(anyone.clone(), |client, n| client.header(&format!("x-{n}"), "1"));
    many(60).get("/healthz").await.expect(200);
    assert_eq!(
        many(70).get("/healthz").await.expect(431).json["code"],
        "headers_too_large"
    );
    anyone
        .header("x-long", &"h".repeat(33 * 1024))
        .get("/healthz")
        .await
        .expect(431);
}

fn assert_guarded(answer: &Answer, what: &str) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{what}: {name}");
    }
    let policy = answer.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src 'none'"), "{what}: {policy}");
    assert!(answer.header("x-request-id").is_some(), "{what}");
    assert!(answer.header("server").is_none(), "{what}");
}

#[actix_web::test]
async fn every_answer_carries_the_headers_that_guard_it() {
    let (app, world) = app_with(|config| config.rates.account = 60).await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    let anyone = app.anonymous();
    let mut statuses = std::collections::BTreeSet::new();
    for operation in operations(&document()) {
        let path = operation.path.replace("{id}", "2").replace("{grant_id}", "1");
        let path = path
            .replace("{secret_id}", &Uuid::nil().to_string())
            .replace("{code}", "not_found");
        for client in [&anyone, &admin] {
            let answer = client
                .send(
                    &operation.method,
                    &path,
                    Some(("application/json", b"{}".to_vec())),
                )
                .await;
            assert_guarded(&answer, &format!("{} {}", operation.id, answer.status));
            let open = ["get_problem", "get_keys", "get_docs"].contains(&operation.id.as_str());
            assert!(
                open || answer
                    .header("cache-control")
                    .is_some_and(|value| value.contains("no-store") || value.contains("no-cache")),
                "{}",
                operation.id
            );
            statuses.insert(answer.status);
        }
    }
    for (path, method) in [
        ("/nothing", "GET"),
        ("/v1/me", "DELETE"),
        ("/healthz?%", "GET"),
        ("/docs", "GET"),
    ] {
        let answer = anyone.send(method, path, None).await;
        statuses.insert(answer.status);
        assert!(answer.header("x-content-type-options").is_some(), "{path}");
    }
    let large = anyone
        .send(
            "POST",
            "/v1/auth/token",
            Some(("application/json", body_of(300_000))),
        )
        .await;
    assert_guarded(&large.expect(413), "413");
    loop {
        let answer = admin.get("/v1/me").await;
        if answer.status != 200 {
            assert_guarded(&answer, "the last");
            statuses.insert(answer.status);
            break;
        }
    }
    for status in [200, 401, 404, 405] {
        assert!(statuses.contains(&status), "{status}: {statuses:?}");
    }
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
async fn two_hundred_slow_clients_are_cut_while_others_are_served() {
    let database = TestDatabase::create().await;
    let program = Program::serve(&database.scratch_file("data"), Some(&database.url));
    let began = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(program.address).await.unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ")
            .await
            .unwrap();
        slow.push(stream);
    }
    let client = crate::support::Client::new(program.address, None);
    let mut served = 0;
    let cut = actix_web::rt::spawn(async move {
        for mut stream in slow {
            // Until the server closes it, with or without a word.
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard).await;
        }
    });
    while !cut.is_finished() {
        let asked = Instant::now();
        client.get("/readyz").await.expect(200);
        assert!(asked.elapsed() < Duration::from_secs(3));
        served += 1;
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "slow clients are not cut"
        );
    }
    assert!(served > 10, "{served}");
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
