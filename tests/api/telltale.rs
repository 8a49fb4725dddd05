//! Tell-tale values: what no log, metric, journal entry or backup may show is sent through every route, rightly and
//! wrongly, and then looked for, in whatever form it may have been turned into.

mod searcher;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use chrono::TimeDelta;
use sampark::access::{KeyRing, Role};
use sampark::platform::clock::Clock;
use sampark::platform::ids::{SessionId, WorkerId};
use serde_json::{Value, json};
use uuid::Uuid;

use self::searcher::Searcher;
use crate::openapi::{Ask, Operation, Scene, document, operations, scene_of};
use crate::support::{Answer, Client, Program, Settings, TestApp, TestDatabase, noon};

/// Numbers that are sent as phones: a worker's, a citizen's, a stranger's.
const PHONES: [&str; 3] = ["7731904401", "7731904402", "7731904403"];
const NOTE: &str = "tellnote of the yellow door";
const ANSWER: &str = "tellanswer";
/// Degrees north and east.
const PLACE: [f64; 2] = [26.731_904_41, 80.731_904_42];
/// The beginning of every mark that is sent where it does not belong; a number and a z follow.
const MARK: &str = "telltale";

/// A server as a process, with everything that it ever says, on a database in which the examples are true.
struct Stage {
    scene: Scene,
    /// Until it is stopped.
    program: Option<Program>,
    address: SocketAddr,
    keys: KeyRing,
    admin_id: i32,
    /// What each mark was sent as, and whether that was taken.
    sent: BTreeMap<usize, (String, bool)>,
    /// What must be found nowhere: what it is, and itself.
    secrets: Vec<(&'static str, String)>,
}

impl Stage {
    async fn begin() -> Self {
        let database = Arc::new(TestDatabase::create().await);
        let data_dir = database.scratch_file("data");
        std::fs::create_dir_all(&data_dir).unwrap();
        let keys = || KeyRing::load_or_make(&data_dir).unwrap();
        let clock = Clock::manual(chrono_tz::Asia::Kolkata, noon());
        let app = TestApp::start_on(database.clone(), clock, keys(), Settings::default());
        let scene = scene_of(app).await;
        let asked = r#"UPDATE campaign_questions SET questions = questions
            || '[{"key": "said", "type": "text", "required": false, "labels": {"en": "Said?"}}]'"#;
        scene.world.db.execute(asked, &[]).await.unwrap();
        let admin_id = scene.world.new_worker("IN").await;
        scene
            .world
            .grant(admin_id, Role::NationalAdmin, "IN", "2020-01-01", None)
            .await;
        let codes = format!("file:{}", database.scratch_file("otp.jsonl").display());
        let settings = [
            ("RUST_LOG", "trace"),
            ("SAMPARK_OTP_SENDER", codes.as_str()),
            ("SAMPARK_RATE_ADDRESS", "100000"),
        ];
        let program = Program::serve_with(&data_dir, Some(&database.url), &settings);
        Self {
            keys: keys(),
            scene,
            address: program.address,
            program: Some(program),
            admin_id,
            sent: BTreeMap::new(),
            secrets: Vec::new(),
        }
    }

    /// A national administrator on a phone of his own.
    async fn admin(&self) -> Client {
        let (_, session_id) = self.scene.world.session(self.admin_id).await;
        let now = Clock::system(chrono_tz::Asia::Kolkata).now();
        let token = self
            .keys
            .sign(WorkerId(self.admin_id), SessionId(session_id), now)
            .unwrap();
        Client::new(self.address, Some(token))
    }

    fn anyone(&self) -> Client {
        Client::new(self.address, None)
    }

    /// A value that was never sent before.
    fn mark(&self) -> (usize, String) {
        let n = self.sent.len();
        (n, format!("{MARK}{n:06}z"))
    }

    /// Remembers what became of a mark.
    fn note(&mut self, n: usize, how: String, answer: &Answer) {
        self.sent.insert(n, (how, answer.status < 300));
    }

    fn secret(&mut self, what: &'static str, value: &Value) {
        self.secrets.push((what, value.as_str().unwrap().to_owned()));
    }
}

/// What is rightly sent: people's data where it belongs, and what is given out once.
async fn live_a_day(stage: &mut Stage) {
    let (admin, anyone) = (stage.admin().await, stage.anyone());
    let world = &stage.scene.world;
    let booth = world.unit("S1-B1");
    let phone = |n: usize| format!("+91{}", PHONES[n]);
    let worker = json!({"name": "Asha Devi", "phone": phone(0), "unit_id": booth});
    let keyed = admin.header("idempotency-key", "tellkey-of-the-worker");
    let worker = keyed.post("/v1/workers", worker).await.expect(201).json;
    let path = format!("/v1/workers/{}", worker["id"]);
    let grant = json!({"role": "booth_worker", "unit_id": booth, "valid_from": "2020-01-01"});
    admin.post(&format!("{path}/grants"), grant).await.expect(201);
    // A code by message, one that is read out, a wrong one; for a number that nobody has.
    for phone in [phone(0), phone(2)] {
        anyone
            .post("/v1/auth/otp", json!({ "phone": phone }))
            .await
            .expect(202);
    }
    let sent = stage.scene.app.database.scratch_file("otp.jsonl");
    let code = loop {
        let text = std::fs::read_to_string(&sent).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(line) = lines.into_iter().find(|line| line["phone"] == phone(0)) {
            break line["code"].clone();
        }
        tokio::task::yield_now().await;
    };
    let sign_in = |code: &Value| json!({"grant_type": "otp", "phone": phone(0), "code": code, "device": {"id": Uuid::new_v4()}});
    anyone.post("/v1/auth/token", sign_in(&json!("000000"))).await;
    let first = anyone
        .post("/v1/auth/token", sign_in(&code))
        .await
        .expect(200)
        .json;
    let refresh = json!({"grant_type": "refresh_token", "refresh_token": first["refresh_token"]});
    let second = anyone.post("/v1/auth/token", refresh).await.expect(200).json;
    let read_out = admin
        .post(&format!("{path}/sign-in-code"), json!({}))
        .await
        .expect(201)
        .json;
    let token = second["access_token"].as_str().unwrap();
    let mine = Client::new(stage.address, Some(token.to_owned()));
    // A visit with a note, answers and a place, corrected and voided; a door; a citizen's number.
    let mut visit = crate::visits::visit(world, 1, "S1-B1");
    visit["note"] = json!(NOTE);
    visit["answers"] = json!({"said": ANSWER});
    visit["location"] = json!({"lat": PLACE[0], "lon": PLACE[1], "accuracy_m": 5.0});
    mine.post("/v1/visits", visit.clone()).await.expect(201);
    mine.post("/v1/visits/batch", json!({"visits": [visit]}))
        .await
        .expect(200);
    let path = format!("/v1/visits/{}", visit["id"].as_str().unwrap());
    let again = json!({"note": format!("{NOTE} again")});
    mine.header("if-match", "\"1\"")
        .patch(&path, again)
        .await
        .expect(200);
    let contact = format!("/v1/contacts/{}", Uuid::new_v4());
    let mut consented =
        crate::contacts::contact(world, 1, "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33".parse().unwrap());
    consented["phone"] = json!(phone(1));
    consented["consent"]["given_at"] =
        json!(Clock::system(chrono_tz::Asia::Kolkata).now() - TimeDelta::hours(1));
    mine.put(&contact, consented).await.expect(201);
    admin.get(&contact).await.expect(200);
    admin
        .post("/v1/contacts/find", json!({"phone": phone(1)}))
        .await
        .expect(200);
    admin.get(&path).await.expect(200);
    admin.get("/v1/visits/export?format=csv").await.expect(200);
    mine.post("/v1/sync", json!({})).await;
    // What is shown once.
    let unit = world.unit("S1");
    let service = json!({"name": "Screen", "contact": "IT cell", "unit_id": unit, "actions": ["totals.read"], "unit_ids": [unit]});
    let service = admin.post("/v1/services", service).await.expect(201).json;
    let asked = json!({"grant_type": "client_credentials", "client_id": service["secret"]["client_id"],
        "client_secret": service["secret"]["client_secret"]});
    let issued = anyone.post("/v1/auth/token", asked).await.expect(200).json;
    let webhook = json!({"unit_id": unit, "url": "https://hooks.example/sampark?key=tellurlkey"});
    let webhook = admin.post("/v1/webhooks", webhook).await.expect(201).json;
    let factor = admin
        .post("/v1/auth/second-factor", json!({}))
        .await
        .expect(200)
        .json;
    for (what, value) in [
        ("the code", &code),
        ("the code that was read out", &read_out["code"]),
        ("an access token", &first["access_token"]),
        ("an access token", &second["access_token"]),
        ("a refresh token", &first["refresh_token"]),
        ("a refresh token", &second["refresh_token"]),
        ("a service's secret", &service["secret"]["client_secret"]),
        ("a service's token", &issued["access_token"]),
        ("a webhook's secret", &webhook["secret"]),
        ("the secret of an app", &factor["secret"]),
    ] {
        stage.secret(what, value);
    }
    for number in PHONES {
        stage.secrets.push(("a phone", number.to_owned()));
    }
    stage.secrets.push(("a note", NOTE.to_owned()));
}

/// Everything that can be wrong with a body, each with a mark in it: what is wrong, the body.
fn spoilt(body: &Value, mark: &str) -> Vec<(String, Value)> {
    let mut bodies = vec![
        ("instead of it".to_owned(), json!(mark)),
        ("in a list instead of it".to_owned(), json!([mark])),
    ];
    let mut places = Vec::new();
    walk(body, "", &mut places);
    for at in places {
        let long = format!("{mark}{}", "x".repeat(5_000));
        for (how, value) in [
            ("as text", json!(mark)),
            ("in a list", json!([mark])),
            ("in an object", json!({ mark: mark })),
            ("too long", json!(long)),
        ] {
            let mut body = body.clone();
            *body.pointer_mut(&at).unwrap() = value;
            bodies.push((format!("{how} at {at}"), body));
        }
    }
    if let Value::Object(members) = body {
        let mut members = members.clone();
        members.insert(mark.to_owned(), json!(mark));
        bodies.push(("as another field".to_owned(), Value::Object(members)));
    }
    bodies
}

fn walk(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                out.push(format!("{at}/{name}"));
                walk(member, &format!("{at}/{name}"), out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            out.push(format!("{at}/0"));
            walk(&items[0], &format!("{at}/0"), out);
        }
        _ => {}
    }
}

/// Sends marks through one operation, wherever one fits: in its body, path, query and headers.
async fn send_everywhere(stage: &mut Stage, operation: &Operation, ask: &Ask) {
    // Each operation has a session of its own: some of them end it.
    let client = stage.admin().await;
    let client = client.header("if-match", "\"1\"");
    let anyone = stage.anyone();
    let method = operation.method.as_str();
    if let Some((kind, body)) = &ask.body {
        let count = match body {
            Value::String(file) => 2 + file.lines().next().unwrap().split(',').count(),
            body => spoilt(body, "").len(),
        };
        for n in 0..count {
            let (number, mark) = stage.mark();
            let (how, body) = match body {
                Value::String(file) => spoilt_file(file, &mark, n),
                body => {
                    let (how, body) = spoilt(body, &mark).swap_remove(n);
                    (how, Ask::bytes(&body))
                }
            };
            let answer = client.send(method, &ask.path, Some((kind, body))).await;
            stage.note(number, format!("{} {how}", operation.id), &answer);
        }
        for (kind, cut) in [(kind.as_str(), true), ("text/plain", false)] {
            let (number, mark) = stage.mark();
            let text = if cut {
                format!("{{\"{mark}\": \"{mark}")
            } else {
                mark
            };
            let answer = client
                .send(method, &ask.path, Some((kind, text.into_bytes())))
                .await;
            stage.note(number, format!("{} as no body", operation.id), &answer);
        }
    }
    let body = || ask.body.as_ref().map(|(kind, _)| (kind.as_str(), b"{}".to_vec()));
    for name in operation
        .path
        .split('{')
        .skip(1)
        .map(|part| part.split('}').next().unwrap())
    {
        let (number, mark) = stage.mark();
        let parts = operation
            .path
            .split('/')
            .map(|part| match part.strip_prefix('{') {
                Some(rest) if rest.trim_end_matches('}') == name => mark.as_str(),
                Some(_) => "1",
                None => part,
            });
        let path = parts.collect::<Vec<_>>().join("/");
        let answer = client.send(method, &path, body()).await;
        stage.note(number, format!("{} in the path", operation.id), &answer);
    }
    let parameters = operation.value["parameters"].as_array().into_iter().flatten();
    let names: Vec<String> = parameters
        .filter(|parameter| parameter["in"] == "query")
        .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
        .chain(["another".to_owned()])
        .collect();
    for name in names {
        let (number, mark) = stage.mark();
        let sign = if ask.path.contains('?') { '&' } else { '?' };
        let answer = client
            .send(method, &format!("{}{sign}{name}={mark}", ask.path), body())
            .await;
        stage.note(
            number,
            format!("{} as {name} in the query", operation.id),
            &answer,
        );
    }
    for name in [
        "authorization",
        "idempotency-key",
        "if-match",
        "if-none-match",
        "content-encoding",
        "content-type",
        "accept",
        "accept-encoding",
        "accept-language",
        "x-forwarded-for",
        "forwarded",
        "user-agent",
        "cookie",
        "referer",
        "origin",
        "last-event-id",
    ] {
        let (number, mark) = stage.mark();
        let (client, value) = match name {
            "authorization" => (&anyone, format!("Bearer {mark}")),
            _ => (&client, mark),
        };
        let answer = client.header(name, &value).send(method, &ask.path, body()).await;
        stage.note(number, format!("{} in {name}", operation.id), &answer);
    }
}

/// A file in which one cell, one name of a column or everything is a mark.
fn spoilt_file(file: &str, mark: &str, n: usize) -> (String, Vec<u8>) {
    let mut lines: Vec<Vec<String>> = file
        .lines()
        .map(|line| line.split(',').map(str::to_owned).collect())
        .collect();
    match n {
        0 => ("instead of it".to_owned(), mark.as_bytes().to_vec()),
        1 => {
            lines[0][0] = mark.to_owned();
            ("as a column".to_owned(), join(&lines))
        }
        n => {
            let column = n - 2;
            lines[1][column] = mark.to_owned();
            (format!("in column {column}"), join(&lines))
        }
    }
}

fn join(lines: &[Vec<String>]) -> Vec<u8> {
    let lines: Vec<String> = lines.iter().map(|cells| cells.join(",")).collect();
    lines.join("\n").into_bytes()
}

/// The journal as it lies and as it is told, once all of it is posted.
async fn journal(stage: &Stage) -> String {
    let db = &stage.scene.world.db;
    let waiting = "SELECT count(*) FROM journal_inbox";
    while db.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::task::yield_now().await;
    }
    let mut text = String::new();
    for row in db.query("SELECT j::text FROM journal j", &[]).await.unwrap() {
        text.push_str(row.get(0));
        text.push('\n');
    }
    let admin = stage.admin().await;
    for state in ["IN", "S1", "S2"] {
        let mut path = format!("/v1/journal?state_id={}&limit=500", stage.scene.world.unit(state));
        loop {
            let page = admin.get(&path).await.expect(200);
            text.push_str(page.text());
            let Some(cursor) = page.json["next_cursor"].as_str() else {
                break;
            };
            path = format!(
                "/v1/journal?state_id={}&limit=500&cursor={cursor}",
                stage.scene.world.unit(state)
            );
        }
    }
    text
}

/// The whole database as a backup holds it.
fn dump(database: &TestDatabase) -> Option<String> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut programs: Vec<_> = installed
        .filter_map(|version| Some(version.ok()?.path().join("bin/pg_dump")))
        .filter(|program| program.exists())
        .collect();
    programs.sort();
    programs.push("pg_dump".into());
    programs.iter().rev().find_map(|program| {
        let dumped = Command::new(program)
            .args(["--no-owner", "--dbname", &database.url])
            .output()
            .ok()?;
        dumped
            .status
            .success()
            .then(|| String::from_utf8_lossy(&dumped.stdout).into_owned())
    })
}

/// The marks in a text, with what each was sent as.
fn marks_in<'a>(stage: &'a Stage, text: &str) -> Vec<&'a (String, bool)> {
    let numbers = text
        .split(MARK)
        .skip(1)
        .filter_map(|rest| rest.get(..6)?.parse::<usize>().ok());
    let numbers: std::collections::BTreeSet<usize> = numbers.collect();
    numbers.iter().filter_map(|n| stage.sent.get(n)).collect()
}

#[actix_web::test]
async fn tell_tale_values_sent_through_every_route_are_found_nowhere() {
    let document = document();
    let mut stage = Stage::begin().await;
    stage.scene.record_visit(&document).await;
    live_a_day(&mut stage).await;
    let operations = operations(&document);
    // All are asked for beforehand: some take away what others speak of.
    let mut asks = Vec::new();
    for operation in &operations {
        asks.push(stage.scene.ask(&document, operation).await);
    }
    for (operation, ask) in operations.iter().zip(&asks) {
        send_everywhere(&mut stage, operation, ask).await;
    }
    assert!(stage.sent.len() > 20 * operations.len(), "{}", stage.sent.len());
    let taken = stage.sent.values().filter(|(_, taken)| *taken).count();
    assert!(
        taken > 100 && taken < stage.sent.len() / 2,
        "{taken} of {}",
        stage.sent.len()
    );

    let journal = journal(&stage).await;
    assert!(journal.contains("contact.read") && journal.contains("visit.record"));
    let metrics = stage.anyone().get("/metrics").await.expect(200).text().to_owned();
    assert!(metrics.contains("/v1/contacts/{id}"));
    let dump = dump(&stage.scene.app.database);
    let output = stage.program.take().unwrap().stop_and_tell();
    assert!(output.contains("answered"), "it does speak at TRACE");

    let mut secret = Searcher::default();
    for (what, value) in &stage.secrets {
        secret.look_for(what, value);
    }
    let mut never = secret.clone();
    never.look_for("an answer", ANSWER);
    never.look_for("a mark", MARK);
    never.look_for("a key of idempotency", "tellkey");
    never.look_for("the address of a webhook", "tellurlkey");
    for degrees in PLACE {
        never.look_for("a coordinate", &degrees.to_string());
        never.look_for_bytes("a coordinate", &degrees.to_be_bytes());
    }
    // The journal's sentences call units by their names, which are no people's.
    let of_units = |how: &str| how.contains("_unit as text") || how.starts_with("import_units in column");
    let mut told = journal.clone();
    for (n, (how, taken)) in &stage.sent {
        if *taken && of_units(how) {
            told = told.replace(&format!("{MARK}{n:06}z"), "");
        }
    }
    for (place, text) in [
        ("the journal", &told),
        ("/metrics", &metrics),
        ("the output", &output),
    ] {
        assert_eq!(
            never.found_in(text),
            Vec::<String>::new(),
            "in {place}: {:?}",
            marks_in(&stage, text)
        );
    }
    let Some(dump) = dump else {
        eprintln!("SKIPPED: there is no pg_dump of this PostgreSQL; the backup is NOT looked through");
        return;
    };
    // Rows hold answers, places and names as they are; the rest is sealed, and what was refused left nothing.
    assert!(dump.contains(ANSWER), "the dump is one of this database");
    assert_eq!(secret.found_in(&dump), Vec::<String>::new(), "in the dump");
    // A note on a task tells of work, as reasons do; one that holds a number of a person is refused.
    let of_work = |how: &str| how.starts_with("record_task_report");
    let kept = marks_in(&stage, &dump);
    let wrong: Vec<_> = kept
        .iter()
        .filter(|(how, taken)| !taken || how.contains("/phone") || (how.contains("/note") && !of_work(how)))
        .collect();
    assert!(wrong.is_empty(), "in the dump: {wrong:?}");
}
