//! Every bound on what is sent, at what is just allowed and just beyond it.

use std::collections::BTreeMap;

use sampark::access::Role;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::limits::{app_with, body_of, gzip};
use crate::openapi::{Operation, document, operations, scene};
use crate::support::{Answer, Client, TestApp};

const KB: usize = 1024;

type Compressor = fn(&[u8]) -> Vec<u8>;

/// The encodings that bodies may have, each with its compressor.
const ENCODINGS: [(&str, Compressor); 2] = [("gzip", gzip), ("zstd", zstd)];

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// Sends bytes, plain and by every encoding; all must come out alike.
async fn send_encoded(client: &Client, path: &str, kind: &str, body: &[u8]) -> Answer {
    let plain = client.send("POST", path, Some((kind, body.to_vec()))).await;
    for (encoding, compress) in ENCODINGS {
        let encoded = client.header("content-encoding", encoding);
        let answer = encoded.send("POST", path, Some((kind, compress(body)))).await;
        assert_eq!(
            (answer.status, &answer.json["code"]),
            (plain.status, &plain.json["code"]),
            "{encoding}"
        );
    }
    plain
}

#[actix_web::test]
async fn bodies_hold_so_much_after_inflation_and_no_more() {
    let (app, world) = app_with(|_| {}).await;
    let anyone = app.anonymous();
    let path = "/v1/auth/token";
    for (size, code) in [
        (256 * KB, "unsupported_grant_type"),
        (256 * KB + 1, "payload_too_large"),
    ] {
        let answer = send_encoded(&anyone, path, "application/json", &body_of(size)).await;
        assert_eq!(answer.json["code"], code, "{size}");
    }
    // In pieces without a length told beforehand it is the same.
    for (size, status) in [(256 * KB, 400), (256 * KB + 1, 413)] {
        assert_eq!(in_pieces(&app, path, &body_of(size)).await, status, "{size}");
    }
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await.client;
    for (size, status) in [(1024 * KB, 200), (1024 * KB + 1, 413)] {
        let batch = r#"{"visits": [""]}"#;
        let body = batch.replacen("\"\"", &format!("\"{}\"", "x".repeat(size - batch.len())), 1);
        assert_eq!(body.len(), size);
        send_encoded(&worker, "/v1/visits/batch", "application/json", body.as_bytes())
            .await
            .expect(status);
    }
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    for (size, status) in [(16 * KB * KB, 422), (16 * KB * KB + 1, 413)] {
        let file = format!("phone,name,unit_code\n{}", " ".repeat(size - 21));
        assert_eq!(file.len(), size);
        for import in ["workers", "results"] {
            let path = format!("/v1/imports/{import}");
            send_encoded(&admin, &path, "text/csv", file.as_bytes())
                .await
                .expect(status);
        }
    }
}

/// The status of a request whose body comes in chunks.
async fn in_pieces(app: &TestApp, path: &str, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for piece in body.chunks(10_000) {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        stream.write_all(&chunk).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
}

#[actix_web::test]
async fn bombs_burst_at_the_bound_and_other_encodings_are_not_read() {
    let (app, world) = app_with(|_| {}).await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    let blanks = vec![b' '; 100 << 20];
    let targets = [
        ("/v1/auth/token", "application/json"),
        ("/v1/visits/batch", "application/json"),
        ("/v1/imports/workers", "text/csv"),
    ];
    for (encoding, compress) in ENCODINGS {
        let bomb = compress(&blanks);
        assert!(bomb.len() < 200_000);
        for (path, kind) in targets {
            let client = admin.header("content-encoding", encoding);
            client
                .send("POST", path, Some((kind, bomb.clone())))
                .await
                .expect(413);
            // Cut short, or not what it says.
            let mut cut = compress(b"{}");
            cut.truncate(cut.len() - 3);
            client.send("POST", path, Some((kind, cut))).await.expect(400);
            client
                .send("POST", path, Some((kind, b"{}{}{}{}".to_vec())))
                .await
                .expect(400);
        }
    }
    let inner = gzip(&blanks);
    for encoding in [
        "br",
        "deflate",
        "compress",
        "x-gzip",
        "gzip, gzip",
        "gzip,zstd",
        "nonsense",
        "GZIP;q=1",
    ] {
        for (path, kind) in targets {
            let client = admin.header("content-encoding", encoding);
            client
                .send("POST", path, Some((kind, gzip(&inner))))
                .await
                .expect(415);
        }
    }
    admin.get("/v1/me").await.expect(200);
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
    let send = async |path: &str, body: String| {
        worker
            .send("POST", path, Some(("application/json", body.into_bytes())))
            .await
    };
    // Two levels stand around the answer itself: 127 can be read, and then it is the wrong kind of answer.
    for (levels, status, code) in [
        (1, 422, "invalid"),
        (125, 422, "invalid"),
        (126, 400, "unreadable_body"),
        (100_000, 400, "unreadable_body"),
    ] {
        let answer = send("/v1/visits", deep(levels)).await.expect(status);
        assert_eq!(answer.json["code"], code, "{levels}");
    }
    // In a batch it is the item that is refused, and the next one is stored.
    let good = crate::visits::visit(&world, campaign, "S1-B1");
    let batch = format!("{{\"visits\": [{}, {good}]}}", deep(100_000));
    let answer = send("/v1/visits/batch", batch).await.expect(200);
    let statuses: Vec<_> = answer.json["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["status"].clone())
        .collect();
    assert_eq!(statuses, ["rejected", "created"]);
    // A list is no object, however it goes on.
    send("/v1/visits", "[".repeat(200_000)).await.expect(422);
}

#[actix_web::test]
async fn addresses_and_headers_are_bounded() {
    let (app, _world) = app_with(|_| {}).await;
    let send = async |path: &str, headers: &[(String, String)]| -> String {
        let mut request = format!("GET {path} HTTP/1.1\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream
            .write_all(format!("{request}\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        while !answer.ends_with('}') {
            let mut some = [0; 2048];
            let read = stream.read(&mut some).await.unwrap();
            assert!(read > 0, "{answer}");
            answer.push_str(std::str::from_utf8(&some[..read]).unwrap());
        }
        answer[9..12].to_owned()
            + answer
                .split("\"code\":\"")
                .nth(1)
                .map_or("", |rest| rest.split('"').next().unwrap())
    };
    let path = |length: usize| format!("/healthz?{}", "q".repeat(length - "/healthz?".len()));
    let host = ("host".to_owned(), "x".to_owned());
    assert_eq!(send(&path(8 * KB), std::slice::from_ref(&host)).await, "200");
    assert_eq!(
        send(&path(8 * KB + 1), std::slice::from_ref(&host)).await,
        "414uri_too_long"
    );
    let many = |count: usize| -> Vec<_> {
        let others = (1..count).map(|n| (format!("x-{n}"), "1".to_owned()));
        others.chain([host.clone()]).collect()
    };
    assert_eq!(send("/healthz", &many(64)).await, "200");
    assert_eq!(send("/healthz", &many(65)).await, "431headers_too_large");
    let long = |size: usize| {
        [
            host.clone(),
            ("x-long".to_owned(), "h".repeat(size - "hostxx-long".len())),
        ]
    };
    assert_eq!(send("/healthz", &long(32 * KB)).await, "200");
    assert_eq!(send("/healthz", &long(32 * KB + 1)).await, "431headers_too_large");
}

#[actix_web::test]
async fn headers_that_are_read_are_bounded() {
    let (app, world) = app_with(|_| {}).await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    let worker = |n: u32| json!({"name": "Asha Devi", "phone": format!("+9198123456{n:02}"), "unit_id": world.unit("S1-B1")});
    for (length, status) in [(0, 400), (1, 201), (255, 201), (256, 400)] {
        let client = admin.header("idempotency-key", &"k".repeat(length));
        client
            .post("/v1/workers", worker(u32::try_from(length % 97).unwrap()))
            .await
            .expect(status);
    }
    for (length, echoed) in [(128, true), (129, false)] {
        let id = "r".repeat(length);
        let answer = app
            .anonymous()
            .header("x-request-id", &id)
            .get("/healthz")
            .await
            .expect(200);
        assert_eq!(answer.header("x-request-id") == Some(&id), echoed, "{length}");
    }
    let list = async |limit: &str| admin.get(&format!("/v1/units?limit={limit}")).await.status;
    for (limit, status) in [
        ("0", 422),
        ("1", 200),
        ("500", 200),
        ("501", 422),
        ("-1", 422),
        ("many", 422),
    ] {
        assert_eq!(list(limit).await, status, "{limit}");
    }
}

#[actix_web::test]
async fn a_batch_holds_five_hundred_items_and_no_more() {
    let (app, world) = app_with(|_| {}).await;
    let campaign = world.campaign("S1").await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await.client;
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    for (count, status) in [(0, 422), (1, 200), (500, 200), (501, 422)] {
        let visits: Vec<Value> = (0..count)
            .map(|_| crate::visits::visit(&world, campaign, "S1-B1"))
            .collect();
        let answer = worker
            .post("/v1/visits/batch", json!({ "visits": visits }))
            .await
            .expect(status);
        if status == 200 {
            assert_eq!(answer.json["results"].as_array().unwrap().len(), count);
        }
        let verdict = |_| json!({"visit_id": Uuid::new_v4(), "verdict": "verified", "reason": "Seen"});
        let reviews: Vec<Value> = (0..count).map(verdict).collect();
        coordinator
            .post("/v1/reviews", json!({ "reviews": reviews }))
            .await
            .expect(status);
    }
    let note = |length: usize| {
        let mut visit = crate::visits::visit(&world, campaign, "S1-B1");
        // Characters, not bytes.
        visit["note"] = json!("पानी".chars().cycle().take(length).collect::<String>());
        visit
    };
    worker.post("/v1/visits", note(500)).await.expect(201);
    worker.post("/v1/visits", note(501)).await.expect(422);
}

/// Every place of a value that holds no others, as pointers; and every list.
fn places(value: &Value, at: &str, out: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                places(
                    member,
                    &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")),
                    out,
                );
            }
        }
        Value::Array(items) => {
            if let Some(first) = items.first() {
                out.push((at.to_owned(), value.clone()));
                places(first, &format!("{at}/0"), out);
            }
        }
        _ => out.push((at.to_owned(), value.clone())),
    }
}

/// Values beyond any bound, of the kind of one that is right.
fn beyond(value: &Value) -> Vec<Value> {
    match value {
        // An empty text is no such value: where a text may be left out it may be empty as well.
        Value::String(_) => vec![json!("x".repeat(100_000))],
        Value::Number(number) if number.is_f64() => vec![json!(1e300), json!(-1e300)],
        Value::Number(_) => vec![
            json!(i64::MAX),
            json!(i64::MIN),
            json!(u64::MAX),
            json!(1e300),
            json!(0.5),
        ],
        Value::Array(items) => vec![items.iter().cycle().take(5_000).cloned().collect()],
        _ => Vec::new(),
    }
}

/// A busy server asks for a second try, and gets a few.
pub async fn patiently(send: impl AsyncFn() -> Answer) -> Answer {
    for _ in 0..20 {
        let answer = send().await;
        if answer.json["code"] != "unavailable" {
            return answer;
        }
    }
    send().await
}

/// What an operation says to a body in which one place is changed.
async fn answer_to(
    client: &Client,
    operation: &Operation,
    path: &str,
    mut body: Value,
    at: &str,
    value: Value,
) -> Answer {
    *body.pointer_mut(at).unwrap() = value;
    patiently(async || client.send_json(&operation.method, path, &body).await).await
}

#[actix_web::test]
async fn no_text_list_or_number_of_any_body_is_without_a_bound() {
    let document = document();
    let s = scene().await;
    s.record_visit(&document).await;
    let mut wrong = Vec::new();
    let mut tried = BTreeMap::<String, usize>::new();
    for operation in operations(&document) {
        if operation
            .value
            .pointer("/requestBody/content/application~1json")
            .is_none()
        {
            continue;
        }
        let ask = s.ask(&document, &operation).await;
        let (_, body) = ask.body.unwrap();
        let mut found = Vec::new();
        places(&body, "", &mut found);
        for (at, value) in found {
            for value in beyond(&value) {
                let shown: String = value.to_string().chars().take(20).collect();
                let size = value.to_string().len();
                if size > 200_000 && !operation.id.ends_with("visits") {
                    continue;
                }
                let answer = answer_to(&ask.client, &operation, &ask.path, body.clone(), &at, value).await;
                *tried.entry(operation.id.clone()).or_default() += 1;
                // Visits of a batch are refused one by one, and so are verdicts.
                let refused = (400..500).contains(&answer.status)
                    || (answer.status == 200
                        && answer.json["results"][0]["status"]
                            .as_str()
                            .is_some_and(|status| status != "created" && status != "done"));
                if !refused {
                    wrong.push(format!(
                        "{} {at} = {shown}… ({size}): {} {}",
                        operation.id,
                        answer.status,
                        answer.text()
                    ));
                }
            }
        }
    }
    assert!(
        tried.len() > 25 && tried.values().sum::<usize>() > 200,
        "{tried:?}"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The bounds that a schema states for what stands at a pointer of a body: name, value.
fn stated<'a>(document: &'a Value, schema: &'a Value, at: &str, out: &mut Vec<(String, &'a str, i64)>) {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        return stated(
            document,
            document.pointer(target.trim_start_matches('#')).unwrap(),
            at,
            out,
        );
    }
    for part in ["oneOf", "allOf"] {
        for part in schema.get(part).and_then(Value::as_array).into_iter().flatten() {
            stated(document, part, at, out);
        }
    }
    for bound in [
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
    ] {
        if let Some(value) = schema.get(bound).and_then(Value::as_i64) {
            out.push((at.to_owned(), bound, value));
        }
    }
    for (name, property) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        stated(document, property, &format!("{at}/{name}"), out);
    }
    if let Some(items) = schema.get("items") {
        stated(document, items, &format!("{at}/0"), out);
    }
}

/// A value just beyond a bound, like one that is right; none where the schema's kind says the same.
fn just_beyond(value: &Value, bound: &str, n: i64) -> Option<Value> {
    let text = |length: i64| json!("x".repeat(usize::try_from(length).unwrap()));
    let list = |length: i64| -> Value {
        let items = value.as_array().unwrap();
        items
            .iter()
            .cycle()
            .take(usize::try_from(length).unwrap())
            .cloned()
            .collect()
    };
    match (bound, value) {
        ("minLength", Value::String(_)) if n > 0 => Some(text(n - 1)),
        ("maxLength", Value::String(_)) => Some(text(n + 1)),
        ("minItems", Value::Array(_)) if n > 0 => Some(list(n - 1)),
        ("maxItems", Value::Array(items)) if !items.is_empty() => Some(list(n + 1)),
        ("minimum", Value::Number(_)) => Some(json!(n - 1)),
        ("maximum", Value::Number(_)) => Some(json!(n + 1)),
        _ => None,
    }
}

#[actix_web::test]
async fn every_bound_that_the_contract_states_is_kept() {
    let document = document();
    let s = scene().await;
    s.record_visit(&document).await;
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for operation in operations(&document) {
        let Some(schema) = operation
            .value
            .pointer("/requestBody/content/application~1json/schema")
        else {
            continue;
        };
        let ask = s.ask(&document, &operation).await;
        let (_, body) = ask.body.unwrap();
        let mut bounds = Vec::new();
        stated(&document, schema, "", &mut bounds);
        for (at, bound, n) in bounds {
            let Some(beyond) = body.pointer(&at).and_then(|value| just_beyond(value, bound, n)) else {
                continue;
            };
            tried += 1;
            let answer = answer_to(&ask.client, &operation, &ask.path, body.clone(), &at, beyond).await;
            // A batch answers for each of its items.
            let problem = if answer.status == 200 {
                &answer.json["results"][0]["problem"]
            } else {
                &answer.json
            };
            let pointer = at
                .trim_start_matches("/visits/0")
                .trim_start_matches("/reviews/0");
            let named = problem["errors"].as_array().into_iter().flatten().any(|error| {
                let named = error["pointer"].as_str().unwrap_or_default();
                named == at || named == pointer
            });
            if problem["status"] != 422 || !named {
                wrong.push(format!(
                    "{} {at} {bound} {n}: {} {}",
                    operation.id,
                    answer.status,
                    answer.text()
                ));
            }
        }
    }
    assert!(tried > 40, "{tried}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[actix_web::test]
async fn no_parameter_of_any_query_upsets_it() {
    let document = document();
    let s = scene().await;
    let mut wrong = Vec::new();
    for operation in operations(&document) {
        let (base, client) = if operation.method == "GET" {
            let ask = s.ask(&document, &operation).await;
            (ask.path, ask.client)
        } else {
            continue;
        };
        for parameter in operation.value["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            if parameter["in"] != "query" || base.contains(&format!("{name}=")) {
                continue;
            }
            let sign = if base.contains('?') { '&' } else { '?' };
            let long = "x".repeat(7_000);
            let hostile = [
                long.as_str(),
                "",
                "%00",
                "-1",
                "99999999999999999999",
                "1e400",
                "%FF",
                "%27%20OR%201=1--",
                "NaN",
                "0001-01-01",
            ];
            for value in hostile {
                let hostile = format!("{base}{sign}{name}={value}");
                let answer = patiently(async || client.get(&hostile).await).await;
                let stated = operation.value["responses"]
                    .get(answer.status.to_string())
                    .is_some();
                if answer.status >= 500 || !stated {
                    let value: String = value.chars().take(12).collect();
                    wrong.push(format!(
                        "{} {name}={value}: {} {}",
                        operation.id,
                        answer.status,
                        answer.text()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
