//! Other programs that read: registered, signed in, bounded, stopped.

use chrono::TimeDelta;
use sampark::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::openapi::{document, operations};
use crate::support::{Answer, Client, TestApp, World};

struct Scene {
    app: TestApp,
    world: World,
    admin: Client,
    anyone: Client,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    let anyone = app.anonymous();
    Scene {
        app,
        world,
        admin,
        anyone,
    }
}

impl Scene {
    fn wanted(&self, actions: &[&str], units: &[&str]) -> Value {
        let units: Vec<i32> = units.iter().map(|unit| self.world.unit(unit)).collect();
        json!({"name": "Dashboard", "contact": "IT cell", "unit_id": self.world.unit("S1"), "actions": actions, "unit_ids": units})
    }

    async fn register(&self, actions: &[&str], units: &[&str]) -> Value {
        self.admin
            .post("/v1/services", self.wanted(actions, units))
            .await
            .expect(201)
            .json
    }

    async fn token(&self, secret: &Value) -> Answer {
        let body = json!({"grant_type": "client_credentials", "client_id": secret["client_id"], "client_secret": secret["client_secret"]});
        self.anyone.post("/v1/auth/token", body).await
    }

    async fn client(&self, registered: &Value) -> Client {
        let answer = self.token(&registered["secret"]).await.expect(200);
        assert_eq!(answer.json["expires_in"], 3600);
        assert!(answer.json.get("refresh_token").is_none());
        self.app.with_token(answer.json["access_token"].as_str().unwrap())
    }

    fn totals(&self, unit: &str) -> String {
        format!("/v1/units/{}/totals", self.world.unit(unit))
    }
}

#[actix_web::test]
async fn a_service_reads_what_it_was_registered_for_and_nothing_else() {
    let s = scene().await;
    let registered = s.register(&["totals.read"], &["S1-M1", "S1-AC2"]).await;
    let client = s.client(&registered).await;
    for unit in ["S1-M1", "S1-B1", "S1-AC2", "S1-B5"] {
        client.get(&s.totals(unit)).await.expect(200);
    }
    for unit in ["S1-M2", "S1-B4", "S1-D1", "S1", "S2-B1", "IN"] {
        client.get(&s.totals(unit)).await.expect(404);
    }
    // Another action at the same units: it was not given it.
    let refused = client.get(&format!("/v1/units/{}", s.world.unit("S1-M1"))).await;
    assert!([403, 404].contains(&refused.status));
    client.get("/v1/campaigns").await.expect(403);
}

#[actix_web::test]
async fn every_route_that_is_not_for_services_refuses_their_tokens() {
    let s = scene().await;
    let registered = s
        .register(&["unit.read", "campaign.read", "totals.read"], &["S1"])
        .await;
    let client = s.client(&registered).await;
    let (mut open, mut taken) = (0, 0);
    for operation in operations(&document()) {
        let security = operation.value["security"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        if security
            .iter()
            .any(|way| way.as_object().is_some_and(serde_json::Map::is_empty))
        {
            open += 1;
            continue;
        }
        let path = operation.path.replace("{id}", "2");
        let path = path
            .replace("{grant_id}", "1")
            .replace("{secret_id}", &Uuid::nil().to_string());
        let answer = client
            .send(
                &operation.method,
                &path,
                Some(("application/json", b"{}".to_vec())),
            )
            .await;
        if security.iter().any(|way| way.get("service").is_some()) {
            taken += 1;
            assert_eq!(operation.method, "GET", "{}", operation.id);
            assert_ne!(answer.status, 401, "{}", operation.id);
        } else {
            assert_eq!(answer.status, 401, "{}: {}", operation.id, answer.text());
        }
    }
    assert!(open > 3 && taken == 14, "{open} {taken}");
}

#[actix_web::test]
async fn secrets_are_replaced_without_a_gap_and_end_with_their_tokens() {
    let s = scene().await;
    let registered = s.register(&["totals.read"], &["S1"]).await;
    let old = s.client(&registered).await;
    let secrets = format!("/v1/services/{}/secrets", registered["service"]["id"]);
    let second = s.admin.post(&secrets, json!({})).await.expect(201).json;
    s.admin.post(&secrets, json!({})).await.expect(409);
    let new = s.client(&json!({ "secret": second })).await;
    for client in [&old, &new] {
        client.get(&s.totals("S1")).await.expect(200);
    }
    let first = format!("{secrets}/{}", registered["secret"]["id"].as_str().unwrap());
    s.admin.delete(&first).await.expect(204);
    s.admin.delete(&first).await.expect(404);
    old.get(&s.totals("S1")).await.expect(401);
    let refused = s.token(&registered["secret"]).await.expect(401);
    assert_eq!(refused.json["code"], "invalid_client");
    new.get(&s.totals("S1")).await.expect(200);
    s.admin.post(&secrets, json!({})).await.expect(201);
    // No secret is ever shown again, nor kept as it is.
    let path = format!("/v1/services/{}", registered["service"]["id"]);
    let shown = s.admin.get(&path).await.expect(200);
    assert_eq!(shown.json["secrets"].as_array().unwrap().len(), 2);
    assert!(shown.json["last_used_at"].is_string());
    let stored = s
        .world
        .db
        .query("SELECT hash FROM service_secrets", &[])
        .await
        .unwrap();
    for hash in stored.iter().map(|row| row.get::<_, String>(0)) {
        assert!(hash.starts_with("$argon2id$"));
        assert!(!shown.text().contains(&hash));
    }
}

#[actix_web::test]
async fn it_is_seen_when_a_service_and_each_of_its_secrets_were_last_used() {
    let s = scene().await;
    let registered = s.register(&["totals.read"], &["S1"]).await;
    let path = format!("/v1/services/{}", registered["service"]["id"]);
    let second = s
        .admin
        .post(&format!("{path}/secrets"), json!({}))
        .await
        .expect(201)
        .json;
    let used = async || {
        // He signs in anew, since the clock moves on.
        let admin = s.world.actor(&s.app, Role::StateAdmin, "S1").await.client;
        let shown = admin.get(&path).await.expect(200).json;
        let of_secret = |id: &Value| {
            let secrets = shown["secrets"].as_array().unwrap();
            secrets.iter().find(|secret| secret["id"] == *id).unwrap()["last_used_at"].clone()
        };
        [
            shown["last_used_at"].clone(),
            of_secret(&registered["secret"]["id"]),
            of_secret(&second["id"]),
        ]
    };
    let null = Value::Null;
    assert_eq!(used().await, [null.clone(), null.clone(), null.clone()]);
    let mut wrong = second.clone();
    wrong["client_secret"] = json!("sampark_none");
    s.token(&wrong).await.expect(401);
    assert_eq!(
        used().await,
        [null.clone(), null.clone(), null.clone()],
        "a wrong secret is no use"
    );
    s.client(&registered).await;
    let noon = json!("2026-11-23T06:30:00Z");
    assert_eq!(used().await, [noon.clone(), noon.clone(), null]);
    s.app.clock.advance(TimeDelta::minutes(90));
    s.token(&second).await.expect(200);
    let later = json!("2026-11-23T08:00:00Z");
    assert_eq!(used().await, [later.clone(), noon, later]);
}

#[actix_web::test]
async fn a_service_is_narrowed_and_stopped_at_once() {
    let s = scene().await;
    let registered = s.register(&["totals.read"], &["S1"]).await;
    let client = s.client(&registered).await;
    let path = format!("/v1/services/{}", registered["service"]["id"]);
    let change = async |body: Value| {
        let tag = s
            .admin
            .get(&path)
            .await
            .expect(200)
            .header("etag")
            .unwrap()
            .to_owned();
        s.admin.header("If-Match", &tag).patch(&path, body).await
    };
    client.get(&s.totals("S1-M2")).await.expect(200);
    change(json!({"unit_ids": [s.world.unit("S1-M1")]}))
        .await
        .expect(200);
    client.get(&s.totals("S1-M2")).await.expect(404);
    client.get(&s.totals("S1-M1")).await.expect(200);
    change(json!({"active": false})).await.expect(200);
    client.get(&s.totals("S1-M1")).await.expect(401);
    s.token(&registered["secret"]).await.expect(401);
    change(json!({"active": true})).await.expect(200);
    s.client(&registered)
        .await
        .get(&s.totals("S1-M1"))
        .await
        .expect(200);
    s.app.clock.advance(TimeDelta::minutes(61));
    client.get(&s.totals("S1-M1")).await.expect(401);
}

#[actix_web::test]
async fn one_gives_a_service_only_what_one_holds_where_one_holds_it() {
    let s = scene().await;
    for (body, status) in [
        (s.wanted(&["visit.read"], &["S1"]), 422),
        (s.wanted(&["worker.write"], &["S1"]), 422),
        (s.wanted(&[], &["S1"]), 422),
        (s.wanted(&["totals.read"], &[]), 422),
        (s.wanted(&["totals.read"], &["S2"]), 422),
        (s.wanted(&["totals.read"], &["S1", "IN"]), 422),
    ] {
        s.admin.post("/v1/services", body).await.expect(status);
    }
    let coordinator = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M1")
        .await
        .client;
    let mut own = s.wanted(&["totals.read"], &["S1-M1"]);
    own["unit_id"] = json!(s.world.unit("S1-M1"));
    coordinator.post("/v1/services", own).await.expect(403);
    // Another state's administrator does not learn that it exists.
    let registered = s.register(&["totals.read"], &["S1"]).await;
    let path = format!("/v1/services/{}", registered["service"]["id"]);
    let other = s.world.actor(&s.app, Role::StateAdmin, "S2").await.client;
    let foreign = other.get(&path).await.expect(404);
    let absent = other.get("/v1/services/999999").await.expect(404);
    let said = |answer: &Answer| {
        answer
            .text()
            .replace(answer.json["request_id"].as_str().unwrap(), "")
    };
    assert_eq!(said(&foreign), said(&absent));
    assert_eq!(
        other.get("/v1/services").await.expect(200).json["items"],
        json!([])
    );
    other
        .post(&format!("{path}/secrets"), json!({}))
        .await
        .expect(404);
    assert_eq!(
        s.admin.get("/v1/services").await.expect(200).json["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[actix_web::test]
async fn nobody_makes_a_secret_of_a_service_that_reads_where_he_may_not() {
    let s = scene().await;
    let nation = s.world.actor(&s.app, Role::NationalAdmin, "IN").await.client;
    // The state answers for it, but it reads another state too: its secret would give that to the state's administrator.
    let wanted = s.wanted(&["totals.read"], &["S1", "S2"]);
    let registered = nation.post("/v1/services", wanted).await.expect(201).json;
    let secrets = format!("/v1/services/{}/secrets", registered["service"]["id"]);
    s.admin.post(&secrets, json!({})).await.expect(403);
    nation.post(&secrets, json!({})).await.expect(201);
    // He may stop it all the same.
    let first = format!("{secrets}/{}", registered["secret"]["id"].as_str().unwrap());
    s.admin.delete(&first).await.expect(204);
}

#[actix_web::test]
async fn a_series_does_not_tell_a_hidden_cell_by_difference() {
    let s = scene().await;
    let campaign = s.world.campaign("S1").await;
    let sql = "UPDATE campaigns SET collect_support = true WHERE id = $1";
    s.world.db.execute(sql, &[&campaign]).await.unwrap();
    let worker = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await.client;
    for (support, first, second) in [(1, 5, 2), (2, 5, 6)] {
        for n in 0..first + second {
            let mut visit = crate::visits::visit(&s.world, campaign, "S1-B1");
            visit["support"] = json!(support);
            if n < first {
                let at = s.app.clock.now() - TimeDelta::days(1);
                visit["visited_at"] = json!(at.to_rfc3339());
            }
            worker.post("/v1/visits", visit).await.expect(201);
        }
    }
    let client = s.client(&s.register(&["totals.read"], &["S1"]).await).await;
    let path = format!("{}?interval=day", s.totals("S1-B1"));
    let seen = |view: &Value, score: &str| -> (Value, Vec<Value>) {
        let spans = view["series"].as_array().unwrap().iter();
        let spans = spans.map(|span| span["support"][score].clone()).collect();
        (view["totals"]["support"][score].clone(), spans)
    };
    let exact = s.admin.get(&path).await.expect(200).json;
    assert_eq!(seen(&exact, "1"), (json!(7), vec![json!(5), json!(2)]));
    // 7 less 5 would be the 2 that is hidden: of that score the series says nothing.
    let view = client.get(&path).await.expect(200).json;
    assert_eq!(seen(&view, "1"), (json!(7), vec![Value::Null, Value::Null]));
    assert_eq!(seen(&view, "2"), (json!(11), vec![json!(5), json!(6)]));
}

#[actix_web::test]
async fn wrong_secrets_lock_a_service_for_a_quarter_of_an_hour() {
    let s = scene().await;
    let registered = s.register(&["totals.read"], &["S1"]).await;
    let mut wrong = registered["secret"].clone();
    wrong["client_secret"] = json!("sampark_wrong");
    for _ in 0..20 {
        let refused = s.token(&wrong).await.expect(401);
        assert_eq!(refused.json["code"], "invalid_client");
    }
    s.token(&registered["secret"]).await.expect(401);
    s.app.clock.advance(TimeDelta::minutes(15));
    s.token(&registered["secret"]).await.expect(200);
    // Nobody's client id is answered alike.
    let nobody = json!({"client_id": Uuid::new_v4(), "client_secret": "x"});
    assert_eq!(s.token(&nobody).await.expect(401).json["code"], "invalid_client");
    s.token(&json!({"client_id": "' OR 1=1", "client_secret": "x"}))
        .await
        .expect(401);
    s.token(&json!({"client_id": null})).await.expect(422);
}

#[actix_web::test]
async fn a_service_does_not_see_cells_that_speak_of_single_people() {
    let s = scene().await;
    let campaign = s.world.campaign("S1").await;
    let sql = "UPDATE campaigns SET collect_support = true WHERE id = $1";
    s.world.db.execute(sql, &[&campaign]).await.unwrap();
    let worker = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await.client;
    for support in [1, 1, 2, 2, 2, 2, 2, 5, 5, 5, 5] {
        let mut visit = crate::visits::visit(&s.world, campaign, "S1-B1");
        visit["support"] = json!(support);
        worker.post("/v1/visits", visit).await.expect(201);
    }
    let client = s.client(&s.register(&["totals.read"], &["S1"]).await).await;
    let exact = json!({"1": 2, "2": 5, "3": 0, "4": 0, "5": 4});
    let hidden = json!({"1": null, "2": 5, "3": 0, "4": 0, "5": null});
    let path = format!("{}?interval=day", s.totals("S1-B1"));
    for (reader, seen) in [(&s.admin, &exact), (&client, &hidden)] {
        let view = reader.get(&path).await.expect(200).json;
        assert_eq!(view["totals"]["support"], *seen);
        assert_eq!(view["series"][0]["support"], *seen);
        let children = reader
            .get(&format!("{}/children?level=booth", s.totals("S1-M1")))
            .await
            .expect(200)
            .json;
        let booth = children["items"].as_array().unwrap().iter();
        let booth = booth
            .clone()
            .find(|item| item["unit"]["id"] == s.world.unit("S1-B1"))
            .unwrap();
        assert_eq!(booth["totals"]["support"], *seen);
    }
}

/// The lines of the worked example in docs/services.md.
fn example() -> Vec<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/services.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once("```sh example\n").unwrap();
    rest.split_once("```")
        .unwrap()
        .0
        .lines()
        .map(str::to_owned)
        .collect()
}

#[actix_web::test]
async fn the_worked_example_runs_line_by_line() {
    let s = scene().await;
    let mut registered = s.wanted(&["unit.read", "totals.read"], &["S1"]);
    registered["name"] = json!("Example");
    let registered = s.admin.post("/v1/services", registered).await.expect(201).json;
    assert_eq!(s.world.unit("S1"), 2, "the example speaks of unit 2");
    let mut token = String::new();
    let lines = example();
    assert!(lines.len() >= 4);
    for line in lines {
        let text = |name: &str| registered["secret"][name].as_str().unwrap().to_owned();
        let line = line
            .replace("$BASE", &format!("http://{}", s.app.address))
            .replace("$CLIENT_ID", &text("client_id"))
            .replace("$CLIENT_SECRET", &text("client_secret"))
            .replace("$TOKEN", &token);
        let command = format!("{line} -w '\\n%{{http_code}}'");
        let run = tokio::task::spawn_blocking(move || {
            std::process::Command::new("sh").args(["-c", &command]).output()
        });
        let Ok(output) = run.await.unwrap() else {
            eprintln!("SKIPPED: there is no sh");
            return;
        };
        let output = String::from_utf8(output.stdout).unwrap();
        let Some((body, status)) = output.trim().rsplit_once('\n') else {
            eprintln!("SKIPPED: there is no curl");
            return;
        };
        assert_eq!(status, "200", "{line}: {body}");
        let body: Value = serde_json::from_str(body).unwrap();
        if let Some(issued) = body["access_token"].as_str() {
            token = issued.to_owned();
        } else {
            assert!(
                body["totals"].is_object() || !body["items"].as_array().unwrap().is_empty(),
                "{line}: {body}"
            );
        }
    }
    assert!(!token.is_empty());
}
