//! Input that nobody would send in good faith, made by chance: whatever comes, the answer is one that the contract states,
//! never a fault of ours, and what was stored can still be counted.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestCaseResult, TestRunner};
use sampark::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bounds::patiently;
use crate::exactness::assert_exact;
use crate::openapi::{Operation, Scene, document, misfits, operations, scene};
use crate::support::{Actor, Answer, Client, TestApp, World};

/// Holds a scene against what chance makes; a failure is shrunk as usual.
fn hold<S, T: std::fmt::Debug>(
    cases: u32,
    strategy: impl Strategy<Value = T>,
    scene: impl AsyncFnOnce() -> S,
    check: impl AsyncFn(&S, T) -> TestCaseResult,
    afterwards: impl AsyncFnOnce(&S),
) {
    let system = actix_web::rt::System::new();
    let scene = system.block_on(scene());
    let config = ProptestConfig {
        cases,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let done = TestRunner::new(config).run(&strategy, |value| system.block_on(check(&scene, value)));
    if let Err(found) = done {
        panic!("{found}");
    }
    system.block_on(afterwards(&scene));
}

/// Whether an answer is one that the operation's contract states, body included.
fn on_contract(document: &Value, operation: &Operation, answer: &Answer) -> TestCaseResult {
    let (id, status) = (&operation.id, answer.status);
    prop_assert!(status < 500, "{}: {} {}", id, status, answer.text());
    let stated = &operation.value["responses"][status.to_string()];
    prop_assert!(
        stated.is_object(),
        "{} does not state {}: {}",
        id,
        status,
        answer.text()
    );
    let schema = if status >= 400 {
        prop_assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        prop_assert_eq!(&answer.json["status"], &json!(status));
        prop_assert!(answer.json["code"].is_string() && answer.json["title"].is_string());
        None
    } else {
        stated.pointer("/content/application~1json/schema")
    };
    if let Some(schema) = schema {
        let mut found = Vec::new();
        misfits(document, schema, &answer.json, "", &mut found);
        prop_assert!(found.is_empty(), "{}: {:?}", id, found);
    }
    Ok(())
}

fn operation(document: &Value, id: &str) -> Operation {
    let mut all = operations(document).into_iter();
    all.find(|operation| operation.id == id).unwrap()
}

/// Any JSON, shallow.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[0-9T:.Z+-]{0,30}".prop_map(Value::from),
        Just(json!("\u{0}")),
        Just(json!("2026-11-23T12:00:00+99:99")),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z~/]{0,6}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// What is done to a visit before it is sent.
#[derive(Clone, Debug)]
enum Harm {
    None,
    Set(Index, Value),
    Remove(Index),
    Add(String, Value),
    Replace(Value),
    /// Another visit's id.
    SameId,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        2 => Just(Harm::None),
        6 => (any::<Index>(), any_json()).prop_map(|(at, value)| Harm::Set(at, value)),
        2 => any::<Index>().prop_map(Harm::Remove),
        1 => ("[a-z_]{1,8}", any_json()).prop_map(|(name, value)| Harm::Add(name, value)),
        1 => any_json().prop_map(Harm::Replace),
        1 => Just(Harm::SameId),
    ]
}

fn harmed(mut visit: Value, harm: &Harm) -> Value {
    let members = visit.as_object_mut().unwrap();
    let names: Vec<String> = members.keys().cloned().collect();
    match harm {
        Harm::None => {}
        Harm::Set(at, value) => {
            members.insert(at.get(&names).clone(), value.clone());
        }
        Harm::Remove(at) => {
            members.remove(at.get(&names));
        }
        Harm::Add(name, value) => {
            members.insert(name.clone(), value.clone());
        }
        Harm::Replace(value) => return value.clone(),
        Harm::SameId => {
            members.insert("id".to_owned(), json!(Uuid::max()));
        }
    }
    visit
}

/// Changes to a text or a file: at each place some bytes are put in the stead of others.
fn scratches() -> impl Strategy<Value = Vec<(Index, usize, Vec<u8>)>> {
    let bytes = proptest::sample::select(b"\",\n\r\0\xff\xc3{}[]:;'+-0198aZ \t".to_vec());
    let scratch = (any::<Index>(), 0..4usize, proptest::collection::vec(bytes, 0..4));
    proptest::collection::vec(scratch, 1..4)
}

fn scratched(text: &[u8], scratches: &[(Index, usize, Vec<u8>)]) -> Vec<u8> {
    let mut text = text.to_vec();
    for (at, gone, put) in scratches {
        let at = at.index(text.len() + 1);
        let end = (at + gone).min(text.len());
        text.splice(at..end, put.iter().copied());
    }
    text
}

struct Field {
    document: Value,
    app: TestApp,
    world: World,
    campaign: i32,
    household: Uuid,
    worker: Actor,
}

async fn field() -> Field {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    Field {
        document: document(),
        campaign: world.campaign("S1").await,
        household: world.household("S1-B1").await,
        worker: world.actor(&app, Role::BoothWorker, "S1-B1").await,
        app,
        world,
    }
}

impl Field {
    /// A visit with every field.
    fn visit(&self) -> Value {
        let mut visit = crate::visits::visit(&self.world, self.campaign, "S1-B1");
        let members = json!({
            "household_id": self.household, "people_met": 2, "channel": "door", "issues": ["water"], "support": null,
            "answers": {"heard": true, "need": "road"}, "question_version": 1, "note": "Hand pump broken",
            "location": {"lat": 26.8, "lon": 80.9, "accuracy_m": 5.0, "mock": false}, "duration_s": 60,
        });
        for (name, value) in members.as_object().unwrap() {
            visit[name] = value.clone();
        }
        visit
    }

    async fn batch(&self, body: Vec<u8>) -> Answer {
        let client = &self.worker.client;
        client
            .send("POST", "/v1/visits/batch", Some(("application/json", body)))
            .await
    }
}

#[test]
fn a_batch_of_whatever_is_answered_item_by_item() {
    hold(
        160,
        proptest::collection::vec(harm(), 1..5),
        field,
        async |f: &Field, harms| {
            let visits: Vec<Value> = harms.iter().map(|harm| harmed(f.visit(), harm)).collect();
            let body = serde_json::to_vec(&json!({ "visits": visits })).unwrap();
            let answer = patiently(async || f.batch(body.clone()).await).await;
            on_contract(&f.document, &operation(&f.document, "record_visits"), &answer)?;
            prop_assert_eq!(answer.status, 200);
            let results = answer.json["results"].as_array().unwrap();
            prop_assert_eq!(results.len(), visits.len());
            for (n, (result, harm)) in results.iter().zip(&harms).enumerate() {
                prop_assert_eq!(&result["index"], &json!(n));
                let refused = ["rejected", "conflict"].contains(&result["status"].as_str().unwrap());
                prop_assert_eq!(result["problem"].is_object(), refused);
                if matches!(harm, Harm::None) {
                    prop_assert_eq!(&result["status"], "created");
                }
                if matches!(harm, Harm::Add(..)) {
                    prop_assert_eq!(&result["status"], "rejected");
                }
            }
            Ok(())
        },
        async |f| assert_exact(&f.world.db, "whatever was sent").await,
    );
}

#[test]
fn a_batch_whose_bytes_were_damaged_is_refused_or_read_and_never_half() {
    hold(
        160,
        scratches(),
        field,
        async |f: &Field, scratches| {
            let whole = serde_json::to_vec(&json!({"visits": [f.visit(), f.visit()]})).unwrap();
            let body = scratched(&whole, &scratches);
            let answer = patiently(async || f.batch(body.clone()).await).await;
            on_contract(&f.document, &operation(&f.document, "record_visits"), &answer)
        },
        async |f| {
            assert_exact(&f.world.db, "whatever was sent").await;
            // And it is still the same server.
            let body = serde_json::to_vec(&json!({"visits": [f.visit()]})).unwrap();
            let answer = f.batch(body).await.expect(200);
            assert_eq!(answer.json["results"][0]["status"], "created");
            f.app.anonymous().get("/readyz").await.expect(200);
        },
    );
}

struct Lists {
    document: Value,
    scene: Scene,
    /// Every list: its operation, its address, and a cursor of its own where it has a second page.
    lists: Vec<(Operation, String, Option<String>)>,
}

async fn lists() -> Lists {
    let document = document();
    let scene = scene().await;
    let mut lists = Vec::new();
    for operation in operations(&document) {
        let parameters = operation.value["parameters"].as_array().into_iter().flatten();
        let takes_cursor = parameters
            .into_iter()
            .any(|parameter| parameter["name"] == "cursor");
        if operation.method != "GET"
            || !takes_cursor
            || ["stream_feed", "export_visits"].contains(&operation.id.as_str())
        {
            continue;
        }
        let path = scene.ask(&document, &operation).await.path;
        let sign = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{sign}limit=1");
        let page = scene.admin.get(&path).await.expect(200);
        let cursor = page.json["next_cursor"].as_str().map(str::to_owned);
        lists.push((operation, format!("{path}&cursor="), cursor));
    }
    assert!(lists.len() > 15 && lists.iter().filter(|list| list.2.is_some()).count() > 3);
    Lists {
        document,
        scene,
        lists,
    }
}

#[test]
fn a_cursor_that_is_none_of_the_lists_is_refused_by_every_list() {
    let made_up = prop_oneof!["[A-Za-z0-9_-]{0,80}", "\\PC{0,20}", Just(String::new())];
    hold(
        300,
        (
            any::<Index>(),
            any::<Index>(),
            made_up,
            proptest::option::of(scratches()),
        ),
        lists,
        async |l: &Lists, (list, other, made_up, scratches)| {
            let (operation, path, own) = list.get(&l.lists);
            // One that was made up, a damaged one of its own, or another list's.
            let cursor = match (&scratches, own, &other.get(&l.lists).2) {
                (Some(scratches), Some(own), _) => {
                    String::from_utf8_lossy(&scratched(own.as_bytes(), scratches)).into_owned()
                }
                (Some(_), None, Some(others)) => others.clone(),
                _ => made_up,
            };
            let encoded: String = form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
            let answer = patiently(async || l.scene.admin.get(&format!("{path}{encoded}")).await).await;
            on_contract(&l.document, operation, &answer)?;
            if own.as_ref() != Some(&cursor) {
                prop_assert!(
                    [400, 422].contains(&answer.status),
                    "{}: {}",
                    operation.id,
                    cursor
                );
            }
            Ok(())
        },
        async |_| {},
    );
}

#[test]
fn a_cursor_of_a_sync_that_is_none_is_refused() {
    let made_up = prop_oneof!["[A-Za-z0-9_-]{0,80}", "\\PC{0,20}"];
    hold(
        120,
        (made_up, proptest::option::of(scratches())),
        async || {
            let field = field().await;
            let first = field.worker.client.post("/v1/sync", json!({})).await.expect(200);
            let cursor = first.json["cursor"].as_str().unwrap().to_owned();
            (field, cursor)
        },
        async |(f, own): &(Field, String), (made_up, scratches)| {
            let cursor = match &scratches {
                Some(scratches) => {
                    String::from_utf8_lossy(&scratched(own.as_bytes(), scratches)).into_owned()
                }
                None => made_up,
            };
            let body = json!({ "cursor": cursor });
            let answer = patiently(async || f.worker.client.post("/v1/sync", body.clone()).await).await;
            on_contract(&f.document, &operation(&f.document, "sync"), &answer)?;
            if cursor != *own {
                prop_assert!(answer.status >= 400, "{}", cursor);
            }
            Ok(())
        },
        async |_| {},
    );
}

#[test]
fn a_token_that_was_changed_or_made_up_is_nobodys() {
    let made_up = prop_oneof![
        "[A-Za-z0-9_.-]{0,200}",
        "([A-Za-z0-9_-]{1,60}[.]){2}[A-Za-z0-9_-]{1,60}",
        "[ -~]{0,60}",
    ];
    hold(
        300,
        (
            made_up,
            proptest::option::of(scratches()),
            proptest::sample::select(vec!["Bearer ", "bearer ", "Basic ", ""]),
        ),
        field,
        async |f: &Field, (made_up, scratches, scheme)| {
            let token = match &scratches {
                Some(scratches) => {
                    let text = scratched(f.worker.token.as_bytes(), scratches);
                    text.into_iter()
                        .filter(|byte| (b' '..=b'~').contains(byte))
                        .map(char::from)
                        .collect()
                }
                None => made_up,
            };
            prop_assume!(token.trim() != f.worker.token);
            let client = f
                .app
                .anonymous()
                .header("authorization", &format!("{scheme}{token}"));
            for id in ["get_me", "list_visits"] {
                let operation = operation(&f.document, id);
                let answer = patiently(async || client.get(&operation.path).await).await;
                on_contract(&f.document, &operation, &answer)?;
                prop_assert_eq!(answer.status, 401);
            }
            Ok(())
        },
        async |f| {
            f.worker.client.get("/v1/me").await.expect(200);
        },
    );
}

/// A good file of each import.
const FILES: [(&str, &str); 3] = [
    (
        "import_workers",
        "phone,name,unit_code,role,language,valid_from\n+919812345678,Asha Devi,S1-B1,booth_worker,hi,2026-11-23\n",
    ),
    (
        "import_units",
        "code,level,name,name_local,organisation_parent,electorate_parent,electors,doors,lat,lon,valid_from\n\
      S1-B9,booth,\"School, Rampur\",,S1-M1,S1-AC1,912,230,26.8467,80.9462,2026-01-01\n",
    ),
    (
        "import_results",
        "election,constituency,candidate,party,votes\nLS2014,S1-PC1,A. Kumar,Example Party,410846\nLS2014,S1-PC1,NOTA,NOTA,1000\n",
    ),
];

#[test]
fn a_file_that_was_damaged_is_imported_or_refused_with_its_lines() {
    hold(
        240,
        (
            proptest::sample::select(FILES.to_vec()),
            scratches(),
            any::<bool>(),
        ),
        async || {
            let field = field().await;
            let admin = field
                .world
                .actor(&field.app, Role::NationalAdmin, "IN")
                .await
                .client;
            (field, admin)
        },
        async |(f, admin): &(Field, Client), ((id, file), scratches, dry_run)| {
            let operation = operation(&f.document, id);
            let damaged = scratched(file.as_bytes(), &scratches);
            let path = format!("{}?dry_run={dry_run}", operation.path);
            let sent = Some(("text/csv", damaged));
            let answer = patiently(async || admin.send("POST", &path, sent.clone()).await).await;
            on_contract(&f.document, &operation, &answer)?;
            if answer.status == 422 {
                let errors = answer.json["errors"].as_array().unwrap();
                prop_assert!(!errors.is_empty());
                for error in errors {
                    prop_assert!(error["line"].as_u64().is_some_and(|line| line >= 1), "{}", error);
                    prop_assert!(error["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
                }
            }
            Ok(())
        },
        async |(f, admin)| {
            f.app.anonymous().get("/readyz").await.expect(200);
            let files = FILES.map(|(id, file)| (operation(&f.document, id).path, file));
            for (path, file) in files {
                let whole = Some(("text/csv", file.as_bytes().to_vec()));
                admin
                    .send("POST", &format!("{path}?dry_run=true"), whole)
                    .await
                    .expect(200);
            }
        },
    );
}

#[test]
fn headers_of_whatever_content_are_read_or_refused() {
    hold(
        200,
        (
            proptest::sample::select(vec![
                "idempotency-key",
                "if-match",
                "if-none-match",
                "content-type",
                "content-encoding",
                "accept",
                "accept-encoding",
                "last-event-id",
                "x-forwarded-for",
                "x-request-id",
                "range",
            ]),
            "[ -~\t]{0,60}",
        ),
        async || {
            let field = field().await;
            let admin = field.world.actor(&field.app, Role::NationalAdmin, "IN").await;
            (field, admin)
        },
        async |(f, admin): &(Field, Actor), (name, value)| {
            let client = admin.client.header(name, value.trim());
            let own = format!("/v1/workers/{}", admin.worker_id);
            for (id, path, body) in [
                (
                    "create_worker",
                    "/v1/workers",
                    json!({"name": "Asha", "phone": "12", "unit_id": 1}),
                ),
                ("update_worker", own.as_str(), json!({"language": "hi"})),
                ("get_totals", "/v1/units/1/totals", Value::Null),
            ] {
                let operation = operation(&f.document, id);
                let body = (!body.is_null()).then(|| body.to_string().into_bytes());
                let body = body.map(|body| ("application/json", body));
                // What is no header at all actix itself refuses, which says nothing. (`Expect` makes this client wait.)
                let answer =
                    patiently(async || client.send(&operation.method, path, body.clone()).await).await;
                if !(answer.body.is_empty() && answer.status == 400) {
                    on_contract(&f.document, &operation, &answer)?;
                }
            }
            Ok(())
        },
        async |_| {},
    );
}
