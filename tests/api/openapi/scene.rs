//! What the examples of the document speak of, and what they ask for.

use sampark::access::Role;
use serde_json::{Value, json};

use super::{Operation, example, operations};
use crate::support::{Answer, Client, Settings, TestApp, World};

/// What the examples of the document speak of.
pub struct Scene {
    pub app: TestApp,
    pub world: World,
    pub admin: Client,
    pub worker_id: i32,
    pub grant_id: i32,
    /// Of service 1.
    secret_id: String,
    /// Of party 1.
    party_name_id: String,
    /// The administrator's; he is who signs in.
    phone: String,
}

/// A request made of an operation's examples.
pub struct Ask {
    pub client: Client,
    pub path: String,
    /// Its media type and content; a file is a string.
    pub body: Option<(String, Value)>,
}

impl Ask {
    /// A body as it is sent.
    pub fn bytes(body: &Value) -> Vec<u8> {
        match body {
            Value::String(text) => text.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        }
    }

    pub async fn send(&self, method: &str) -> Answer {
        let body = self
            .body
            .as_ref()
            .map(|(kind, body)| (kind.as_str(), Self::bytes(body)));
        self.client.send(method, &self.path, body).await
    }
}

/// The id that examples give to visits and households.
const EXAMPLE_ID: &str = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33";

/// The id that examples give to contacts.
const CONTACT_ID: &str = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd44";

/// What the examples speak of: campaign 1, booth 14, a household, a visit, a worker with a grant.
pub async fn scene() -> Scene {
    let settings = Settings {
        pool_size: 16,
        ..Settings::default()
    };
    scene_of(TestApp::start_with(settings).await).await
}

/// The same on a server of one's own.
pub async fn scene_of(app: TestApp) -> Scene {
    let world = World::build(&app).await;
    assert_eq!(world.campaign("S1").await, 1);
    // The visit of the examples took 240 s: it has a flag to be answered.
    world
        .db
        .batch_execute(r#"UPDATE campaigns SET bounds = '{"too_short": {"seconds": 300}}'"#)
        .await
        .unwrap();
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    let phone = admin.get("/v1/me").await.expect(200).json["worker"]["phone"].clone();
    let worker = world.actor(&app, Role::BoothWorker, "S1-B2").await;
    let grant_id = world
        .grant(worker.worker_id, Role::BoothWorker, "S1-B3", "2026-11-01", None)
        .await;
    let household = json!({"booth_id": world.unit("S1-B1"), "label": "7"});
    admin
        .put(&format!("/v1/households/{EXAMPLE_ID}"), household)
        .await
        .expect(201);
    let contact = crate::contacts::contact(&world, 1, EXAMPLE_ID.parse().unwrap());
    admin
        .put(&format!("/v1/contacts/{CONTACT_ID}"), contact)
        .await
        .expect(201);
    // Proofs speak of the first entry of state 2.
    let posted = "SELECT count(*) FROM journal_heads WHERE state_id = 2 AND tree_size > 0";
    while world.db.query_one(posted, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
    let service = json!({"name": "Screen", "contact": "IT cell", "unit_id": 2, "actions": ["totals.read"], "unit_ids": [2]});
    let service = admin.post("/v1/services", service).await.expect(201).json;
    let results = "election,constituency,candidate,party,votes\nLS2014,S1-PC1,A,Example Party,9\nLS2014,S1-PC1,B,Other Party,8\n";
    let results = Some(("text/csv", results.as_bytes().to_vec()));
    admin
        .send("POST", "/v1/imports/results", results)
        .await
        .expect(200);
    let party = json!({"name": "Example P."});
    let party = admin.post("/v1/parties/1/names", party).await.expect(201).json;
    let set = json!({"name": "Seats to win", "unit_id": 2, "level": "parliamentary_constituency",
        "version": {"valid_from": "2026-11-01", "reason": "Lost narrowly", "members": [{"unit_id": world.unit("S1-PC1")}]}});
    admin.post("/v1/target-sets", set).await.expect(201);
    let path = format!("/v1/units/{}/sign-offs", world.unit("S1-M1"));
    admin.post(&path, json!({"week": "2026-W46"})).await.expect(201);
    let review = json!({"name": "Review", "asked": {"level": "mandal"}});
    let review = admin.post("/v1/units/2/shortfalls/snapshots", review).await;
    review.expect(201);
    let webhook = json!({"unit_id": 2, "url": "https://hooks.example/sampark"});
    admin.post("/v1/webhooks", webhook).await.expect(201);
    // Before there is another visit that could be drawn.
    draw(&world, &worker.client, &admin).await;
    let sent = crate::visits::visit(&world, 1, "S1-B2");
    let made = admin.post("/v1/visits", sent).await.expect(201).json;
    let order = json!({"worker_id": made["worker_id"], "reason": "Entered at home"});
    admin.post("/v1/units/2/bulk-voids", order).await.expect(201);
    crate::tasks::for_examples(&app, &world, &admin).await;
    crate::pravas::for_examples(&world, &admin).await;
    Scene {
        app,
        world,
        party_name_id: party["names"][1]["id"].to_string(),
        admin,
        worker_id: worker.worker_id,
        grant_id,
        secret_id: service["secret"]["id"].as_str().unwrap().to_owned(),
        phone: phone.as_str().unwrap().to_owned(),
    }
}

/// Draw 1, of the only visit of booth S1-B2, which the administrator is to check.
async fn draw(world: &World, worker: &Client, admin: &Client) {
    worker
        .post("/v1/visits", crate::visits::visit(world, 1, "S1-B2"))
        .await
        .expect(201);
    let draw = json!({"unit_id": world.unit("S1-B2"), "campaign_id": 1, "from": "2026-11-22", "to": "2026-11-23",
                      "plan": {"size": 1, "decision_number": 1}});
    admin.post("/v1/draws", draw).await.expect(201);
    admin.post("/v1/draws/1/seed", json!({})).await.expect(200);
    let me = admin.get("/v1/me").await.expect(200).json["worker"]["id"].clone();
    let given = json!({"assignments": [{"number": 1, "verifier_id": me}]});
    admin.post("/v1/draws/1/assignments", given).await.expect(200);
}

impl Scene {
    /// Values of path parameters that depend on what was made.
    fn parameter(&self, operation: &Operation, name: &str, example: Option<Value>) -> String {
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match (operation.path.as_str(), name) {
            (path, "id") if path.starts_with("/v1/workers") => self.worker_id.to_string(),
            (_, "grant_id") => self.grant_id.to_string(),
            (_, "name_id") => self.party_name_id.clone(),
            (_, "secret_id") => self.secret_id.clone(),
            _ => text(example.unwrap_or_else(|| panic!("{} has no example of {name}", operation.id))),
        }
    }

    /// A code to sign in with, as the sender wrote it.
    async fn code(&self) -> String {
        let anyone = self.app.anonymous();
        anyone
            .post("/v1/auth/otp", json!({"phone": self.phone}))
            .await
            .expect(202);
        loop {
            let text = std::fs::read_to_string(self.app.database.scratch_file("otp.jsonl"));
            if let Some(sent) = text
                .unwrap_or_default()
                .lines()
                .find_map(|line| serde_json::from_str::<Value>(line).ok())
            {
                return sent["code"].as_str().unwrap().to_owned();
            }
            tokio::task::yield_now().await;
        }
    }

    /// Records the visit of the examples, of which others speak.
    pub async fn record_visit(&self, document: &Value) {
        let operations = operations(document);
        let record = operations.iter().find(|operation| operation.id == "record_visit");
        let answer = self.send(document, record.unwrap()).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    pub async fn send(&self, document: &Value, operation: &Operation) -> Answer {
        self.ask(document, operation).await.send(&operation.method).await
    }

    /// What the examples of an operation ask for, with the ids of what was made.
    pub async fn ask(&self, document: &Value, operation: &Operation) -> Ask {
        let mut path = operation.path.clone();
        for parameter in operation.value["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] == "path" {
                let name = parameter["name"].as_str().unwrap();
                let known = parameter
                    .get("example")
                    .cloned()
                    .or_else(|| example(document, &parameter["schema"]));
                path = path.replace(&format!("{{{name}}}"), &self.parameter(operation, name, known));
            }
        }
        let required = operation.value["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "query" && parameter["required"] == true);
        for (n, parameter) in required.enumerate() {
            let sign = if n == 0 { '?' } else { '&' };
            path.push_str(&format!(
                "{sign}{}={}",
                parameter["name"].as_str().unwrap(),
                parameter["example"]
                    .as_str()
                    .map_or_else(|| parameter["example"].to_string(), str::to_owned)
            ));
        }
        let mut client = self.admin.clone();
        if operation.id == "put_contact" {
            // The one that is there was given another number.
            path = format!("/v1/contacts/{}", uuid::Uuid::new_v4());
        }
        let mut own_phone = None;
        if operation.id == "erase_me" {
            let actor = self.world.actor(&self.app, Role::BoothWorker, "S1-B1").await;
            own_phone = Some(self.world.phone_of(actor.worker_id).await);
            client = actor.client;
        }
        if operation.id == "log_out_everywhere" {
            client = self
                .world
                .actor(&self.app, Role::NationalAdmin, "IN")
                .await
                .client;
        }
        if ["review_visit", "review_visits", "undo_review"].contains(&operation.id.as_str()) {
            // Nobody reviews his own visits.
            client = self
                .world
                .actor(&self.app, Role::NationalAdmin, "IN")
                .await
                .client;
        }
        if operation.method == "PATCH" {
            let found = crate::bounds::patiently(async || client.get(&path).await).await;
            assert_eq!(found.status, 200, "{path}: {}", found.text());
            let tag = found.header("etag").unwrap().to_owned();
            client = client.header("If-Match", &tag);
        }
        let content = operation
            .value
            .pointer("/requestBody/content")
            .and_then(Value::as_object);
        let Some((kind, media)) = content.and_then(|content| content.iter().next()) else {
            return Ask {
                client,
                path,
                body: None,
            };
        };
        let body = media
            .get("example")
            .cloned()
            .or_else(|| example(document, &media["schema"]));
        let mut body = body.unwrap_or_else(|| panic!("{} has no example of its body", operation.id));
        if let Some(phone) = own_phone {
            body["phone"] = json!(phone);
        }
        if operation.id == "issue_token" {
            // Nobody knows a code beforehand.
            body["phone"] = json!(self.phone);
            body["code"] = json!(self.code().await);
        }
        if operation.id == "hand_over_grant" {
            body["to_worker_id"] = json!(self.world.new_worker("S1-B2").await);
        }
        if operation.id == "confirm_second_factor" {
            let made = client
                .post("/v1/auth/second-factor", json!({}))
                .await
                .expect(200)
                .json;
            let now = self.app.clock.now();
            body["totp"] = json!(crate::sign_in::password(made["secret"].as_str().unwrap(), now));
        }
        Ask {
            client,
            path,
            body: Some((kind.clone(), body)),
        }
    }
}
