//! What stands at the edge: the headers of every answer, who is believed about addresses, HTTP that is none, clients that
//! are slow on purpose.

use std::collections::BTreeSet;

use sampark::access::Role;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::kills::Program;
use crate::limits::{app_with, body_of, open_request};
use crate::openapi::{document, operations};
use crate::support::{Answer, Client, TestApp, TestDatabase, times};

/// The headers that every answer of ours carries.
#[track_caller]
pub fn assert_guarded(answer: &Answer, what: &str) {
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
    let (app, world) = app_with(|_| {}).await;
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
    for page in [
        "/docs",
        "/docs/docs.js",
        "/docs/docs.css",
        "/openapi.json",
        "/nothing",
    ] {
        for method in ["GET", "POST"] {
            let answer = anyone.send(method, page, None).await;
            assert_guarded(&answer, &format!("{method} {page}"));
            statuses.insert(answer.status);
        }
    }
    for status in [200, 401, 404, 405] {
        assert!(statuses.contains(&status), "{status}: {statuses:?}");
    }
}

/// A request as bytes, and everything that comes back until the server closes.
async fn raw(app: &TestApp, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    // It may close before all is sent.
    let _ = stream.write_all(request).await;
    heard(stream).await
}

/// Everything that comes until the server closes.
async fn heard(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// An answer that was read as bytes.
fn answer_of(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let status = lines
        .next()
        .unwrap_or_default()
        .split(' ')
        .nth(1)
        .unwrap_or_default();
    Answer {
        status: status.parse().unwrap_or(0),
        headers: lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect(),
        json: serde_json::from_str(body).unwrap_or_default(),
        body: body.as_bytes().to_vec(),
    }
}

#[actix_web::test]
async fn an_answer_of_any_status_carries_them() {
    let (app, world) = app_with(|config| {
        config.body_wait = Duration::from_secs(1);
        config.rates.account = 3;
    })
    .await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let anyone = app.anonymous();
    let me = format!("/v1/workers/{}", admin.worker_id);
    let household = format!("/v1/households/{}", Uuid::new_v4());
    let door = json!({"booth_id": world.unit("S1-B1"), "label": "7"});
    let token = "/v1/auth/token";
    let off = json!({"active": false});
    let json_of = |size| Some(("application/json", body_of(size)));
    let mut answers = vec![
        anyone.get("/healthz").await.expect(200),
        worker.client.put(&household, door).await.expect(201),
        anyone
            .post("/v1/auth/otp", json!({"phone": "+919999999999"}))
            .await
            .expect(202),
        anyone
            .send("POST", token, Some(("application/json", b"{".to_vec())))
            .await
            .expect(400),
        anyone.get("/v1/me").await.expect(401),
        worker.client.get("/v1/services").await.expect(403),
        anyone.get("/nothing").await.expect(404),
        anyone.delete("/v1/me").await.expect(405),
        anyone.delete("/openapi.json").await.expect(405),
        answer_of(&heard(open_request(&app).await).await).expect(408),
        admin
            .client
            .header("if-match", "\"1\"")
            .patch(&me, off.clone())
            .await
            .expect(409),
        admin
            .client
            .header("if-match", "\"9\"")
            .patch(&me, off.clone())
            .await
            .expect(412),
        anyone.send("POST", token, json_of(300_000)).await.expect(413),
        anyone
            .get(&format!("/healthz?{}", "q".repeat(9000)))
            .await
            .expect(414),
        anyone
            .send("POST", token, Some(("text/plain", b"{}".to_vec())))
            .await
            .expect(415),
        anyone.post("/v1/auth/otp", json!({})).await.expect(422),
        admin.client.patch(&me, off).await.expect(428),
        anyone
            .header("x-long", &"h".repeat(33 * 1024))
            .get("/healthz")
            .await
            .expect(431),
        worker.client.post("/v1/auth/logout", json!({})).await.expect(204),
    ];
    let totals = format!("/v1/units/{}/totals", world.unit("IN"));
    let fresh = admin.client.get(&totals).await.expect(200);
    let tag = fresh.header("etag").unwrap();
    answers.push(
        admin
            .client
            .header("if-none-match", tag)
            .get(&totals)
            .await
            .expect(304),
    );
    // What was sealed for another row is a fault of ours.
    let other = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let swap =
        "UPDATE workers SET phone_sealed = (SELECT phone_sealed FROM workers WHERE id = $1) WHERE id = $2";
    world
        .db
        .execute(swap, &[&admin.worker_id, &other.worker_id])
        .await
        .unwrap();
    answers.push(other.client.get("/v1/me").await.expect(500));
    let mut last = other.client.get("/v1/auth/devices").await;
    while last.status == 200 {
        last = other.client.get("/v1/auth/devices").await;
    }
    answers.push(last.expect(429));
    for answer in &answers {
        assert_guarded(answer, &answer.status.to_string());
        assert_eq!(
            answer.header("cache-control"),
            Some("no-store"),
            "{}",
            answer.status
        );
        if answer.status >= 400 {
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json"),
                "{}",
                answer.status
            );
            assert_eq!(answer.json["status"], answer.status);
        }
    }
    let seen: BTreeSet<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(seen.len(), 21, "{seen:?}");
}

#[actix_web::test]
async fn what_is_no_http_is_refused_at_once_by_an_empty_answer() {
    let (app, _world) = app_with(|_| {}).await;
    let many = "x: 1\r\n".repeat(97);
    let broken = [
        ("no request at all", "hello\r\n\r\n".to_owned(), 400),
        ("no version", "GET /healthz\r\n\r\n".to_owned(), 400),
        (
            "a name with a space",
            "GET /healthz HTTP/1.1\r\nhost: x\r\na b: 1\r\n\r\n".to_owned(),
            400,
        ),
        (
            "a control character",
            "GET /healthz HTTP/1.1\r\nhost: x\r\na: \u{1}\r\n\r\n".to_owned(),
            400,
        ),
        (
            "more headers than are counted",
            format!("GET /healthz HTTP/1.1\r\n{many}\r\n"),
            431,
        ),
        (
            "a head without an end",
            format!("GET /healthz HTTP/1.1\r\na: {}", "x".repeat(140_000)),
            431,
        ),
    ];
    for (what, request, status) in broken {
        let text = raw(&app, request.as_bytes()).await;
        let answer = answer_of(&text);
        // These never reach our house: actix writes them itself, with nothing in them to guard.
        assert_eq!(answer.status, status, "{what}: {text}");
        assert!(
            answer.body.is_empty() && answer.header("server").is_none(),
            "{what}: {text}"
        );
        assert_eq!(answer.header("connection"), Some("close"), "{what}: {text}");
    }
    app.anonymous().get("/healthz").await.expect(200);
}

#[actix_web::test]
async fn whatever_a_client_expects_it_is_answered() {
    let (app, _world) = app_with(|_| {}).await;
    let body = r#"{"grant_type": "password"}"#;
    for (expected, first) in [
        ("100-continue", 100),
        ("100-Continue", 100),
        ("200-ok", 400),
        ("", 400),
        ("100-continue, 100-continue", 100),
    ] {
        let head = format!(
            "POST /v1/auth/token HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: {expected}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let text = raw(&app, format!("{head}{body}").as_bytes()).await;
        assert_eq!(answer_of(&text).status, first, "{expected}: {text}");
        assert!(text.contains("unsupported_grant_type"), "{expected}: {text}");
    }
}

#[actix_web::test]
async fn a_body_whose_length_is_told_in_two_ways_hides_no_second_request() {
    let (app, _world) = app_with(|_| {}).await;
    let hidden = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let framings = [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "content-length: 5\r\ncontent-length: 0",
        "content-length: 0\r\ncontent-length: 5",
        "content-length: +5",
        "content-length: 5, 5",
        "content-length: 0x5",
        "content-length: -1",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: xchunked",
        "transfer-encoding: identity\r\ncontent-length: 5",
        "transfer-encoding : chunked",
        " content-length: 5",
        "content-length\r\n : 5",
    ];
    for framing in framings {
        let head = format!("POST /v1/auth/token HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n");
        let text = raw(&app, format!("{head}0\r\n\r\n{hidden}").as_bytes()).await;
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{framing}: {text}");
        assert!(!text.contains("alive"), "{framing}: {text}");
        assert!((400..500).contains(&answer_of(&text).status), "{framing}: {text}");
    }
    for chunk in [
        "G\r\n",
        "-1\r\n",
        "5;\u{1}=\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n",
    ] {
        let head = "POST /v1/auth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        let text = raw(&app, format!("{head}{chunk}{hidden}").as_bytes()).await;
        assert!(!text.contains("alive"), "{chunk:?}: {text}");
        assert!((400..500).contains(&answer_of(&text).status), "{chunk:?}: {text}");
    }
}

#[actix_web::test]
async fn an_address_is_bounded_where_nobody_has_signed_in_and_forged_addresses_change_nothing() {
    let (app, _world) = app_with(|config| config.rates.address = 1).await;
    let body = json!({"grant_type": "password"});
    let send = async |forwarded: &str| {
        let client = app
            .anonymous()
            .header("X-Forwarded-For", forwarded)
            .header("X-Real-IP", forwarded)
            .header("CF-Connecting-IP", forwarded)
            .header("Forwarded", &format!("for={forwarded}"));
        client.post("/v1/auth/token", body.clone()).await
    };
    for left in (0..10).rev() {
        let answer = send(&format!("9.9.9.{left}")).await.expect(400);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"address\";q=10;w=10"));
        let limit = format!("\"address\";r={left};t={}", 10 - left);
        assert_eq!(answer.header("ratelimit"), Some(limit.as_str()));
    }
    let refused = send("8.8.8.8").await.expect(429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("ratelimit"), Some("\"address\";r=0;t=10"));
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

/// Begins a request and goes no further.
async fn stall(program: &Program, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(program.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[actix_web::test]
async fn slow_clients_are_cut_while_others_are_served() {
    let database = TestDatabase::create().await;
    let data_dir = database.scratch_file("data");
    let program = Program::serve_with(&data_dir, Some(&database.url), &[("SAMPARK_BODY_SECONDS", "5")]);
    let mut slow = Vec::new();
    // The suite has two hundred; the whole run is asked for by `SAMPARK_SLOW_CLIENTS=1000`.
    for _ in 0..times("SAMPARK_SLOW_CLIENTS", 200) / 2 {
        slow.push(stall(&program, "GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").await);
        let body = "POST /v1/auth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
        slow.push(stall(&program, body).await);
    }
    let cut = actix_web::rt::spawn(async move {
        let mut answers = Vec::new();
        for stream in slow {
            answers.push(answer_of(&heard(stream).await).status);
        }
        answers
    });
    // Others ask, the database too, for as long as one of the slow is there.
    let client = Client::new(program.address, None);
    let mut served = 0;
    while !cut.is_finished() {
        client.get("/readyz").await.expect(200);
        client.get("/.well-known/jwks.json").await.expect(200);
        served += 1;
    }
    assert!(served > 10, "{served}");
    let answers = cut.await.unwrap();
    assert!(answers.iter().all(|status| *status == 408), "{answers:?}");
}
