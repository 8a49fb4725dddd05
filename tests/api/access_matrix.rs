//! Who may do what: every operation of the document, by every role, at his own units and elsewhere.
//!
//! An operation without a row here fails the test. What must come out is computed from the roles' actions and the actions
//! that the document names; the table that people read is written to docs/access-matrix.md.

mod direction_rows;
mod draws;
mod measure_rows;
mod rows;

use std::collections::BTreeMap;

use sampark::access::Role;
use sampark::access::actions::ActionName;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::openapi::{Operation, compare, document, operations};
use crate::support::{Answer, Client, TestApp, World};

/// (role, a unit whose grant reaches booth S1-B1, units whose grants do not: a neighbour's and another state's)
const PLACES: [(Role, &str, &[&str]); 8] = [
    (Role::BoothWorker, "S1-B1", &["S1-B2", "S2-B1"]),
    (Role::MandalWorker, "S1-M1", &["S1-M2", "S2-M1"]),
    (Role::MandalCoordinator, "S1-M1", &["S1-M2", "S2-M1"]),
    (Role::DistrictCoordinator, "S1-D1", &["S2-D1"]),
    (Role::ConstituencyCoordinator, "S1-AC1", &["S1-AC2", "S2-PC1"]),
    (Role::StateAdmin, "S1", &["S2"]),
    (Role::NationalAdmin, "IN", &[]),
    (Role::Auditor, "S1-M1", &["S1-M2", "S2"]),
];

/// What is asked for: always about booth S1-B1 or what belongs to it.
struct Ask {
    method: &'static str,
    path: String,
    body: Option<(&'static str, String)>,
    tag: Option<String>,
}

/// What an operation needs beyond its actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// For everyone, signed in or not.
    Open,
    /// For whoever is signed in.
    SignedIn,
    /// The same, but refused in the state that the row finds.
    Refused,
    /// At one unit: elsewhere it is as if it did not exist.
    At,
    /// A list: elsewhere it holds other things.
    List,
    /// Of a whole state's journal: for whoever may do it anywhere in the state.
    State,
    /// The same for whoever holds the action anywhere.
    Public,
    /// At the nation, of whose units everyone knows.
    Nation,
    /// For whoever holds the action anywhere in S1; in another state it is as if it did not exist.
    Shared,
}

struct Scene {
    app: TestApp,
    world: World,
    admin: Client,
    campaign: i32,
    /// A worker on the roster of S1-B1.
    worker_id: i32,
    visit: String,
    household: Uuid,
    contact: Uuid,
    /// Of the state S1.
    target_set: i64,
    /// Set by booth S1-B1 for itself.
    task: i64,
    /// Of booth S1-B1, drawn and open.
    draw: String,
    /// Planned by booth S1-B1, with a stop there.
    pravas: Value,
    counter: std::cell::Cell<u32>,
}

/// A request to draw from the visits of booth S1-B1.
fn draw_of(world: &World, campaign: i32, from: &str) -> Value {
    json!({"unit_id": world.unit("S1-B1"), "campaign_id": campaign, "from": from, "to": "2026-11-23",
           "plan": {"size": 1, "decision_number": 1}})
}

impl Scene {
    async fn build() -> Self {
        let app = TestApp::start().await;
        let world = World::build(&app).await;
        let campaign = world.campaign("S1-B1").await;
        let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
        let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await;
        let household = world.household("S1-B1").await;
        let sent = crate::visits::visit(&world, campaign, "S1-B1");
        worker.client.post("/v1/visits", sent.clone()).await.expect(201);
        let booth = world.unit("S1-B1");
        let contact = Uuid::new_v4();
        let consented = crate::contacts::contact(&world, campaign, household);
        admin
            .put(&format!("/v1/contacts/{contact}"), consented)
            .await
            .expect(201);
        admin.get(&format!("/v1/contacts/{contact}")).await.expect(200);
        let service = json!({"name": "Screen", "contact": "IT cell", "unit_id": booth, "actions": ["totals.read"], "unit_ids": [booth]});
        admin.post("/v1/services", service).await.expect(201);
        let export = format!("/v1/visits/export?booth_id={booth}");
        admin.get(&export).await.expect(200);
        let webhook = json!({"unit_id": booth, "url": "https://hooks.example/sampark"});
        admin.post("/v1/webhooks", webhook).await.expect(201);
        let results = "election,constituency,candidate,party,votes\nLS2014,S1-B1,A,Example Party,9\n";
        let results = Some(("text/csv", results.as_bytes().to_vec()));
        admin
            .send("POST", "/v1/imports/results", results)
            .await
            .expect(200);
        let set = json!({"name": "Seats", "unit_id": world.unit("S1"), "level": "assembly_constituency",
            "version": {"valid_from": "2026-11-01", "reason": "Why", "members": [{"unit_id": world.unit("S1-AC1")}]}});
        let set = admin.post("/v1/target-sets", set).await.expect(201).json;
        let task = admin
            .post("/v1/tasks", crate::tasks::task(booth, "booth"))
            .await
            .expect(201)
            .json;
        let draw = draw_of(&world, campaign, "2026-11-01");
        let draw = admin.post("/v1/draws", draw).await.expect(201);
        let draw = draw.header("location").unwrap().to_owned();
        admin.post(&format!("{draw}/seed"), json!({})).await.expect(200);
        worker.client.get("/v1/workers").await.expect(403);
        sampark::features::refusals::write_waiting(&app.state.db, &app.clock, &app.state.refusals)
            .await
            .unwrap();
        let mut tour = crate::pravas::tour(booth, worker.worker_id);
        tour["stops"] = json!([crate::pravas::stop(booth)]);
        let pravas = admin.post("/v1/pravas", tour).await.expect(201).json;
        // What the feed tells is posted.
        app.posted().await;
        Self {
            app,
            world,
            draw,
            target_set: set["id"].as_i64().unwrap(),
            task: task["id"].as_i64().unwrap(),
            pravas,
            admin,
            campaign,
            worker_id: worker.worker_id,
            visit: sent["id"].as_str().unwrap().to_owned(),
            household,
            contact,
            counter: std::cell::Cell::new(0),
        }
    }

    fn fresh(&self) -> u32 {
        self.counter.set(self.counter.get() + 1);
        self.counter.get()
    }

    async fn tag(&self, path: &str) -> Option<String> {
        self.admin
            .get(path)
            .await
            .expect(200)
            .header("etag")
            .map(str::to_owned)
    }

    /// A service that booth S1-B1 answers for.
    fn new_service(&self) -> Value {
        let booth = self.world.unit("S1-B1");
        json!({"name": "Screen", "contact": "IT cell", "unit_id": booth, "actions": ["totals.read"], "unit_ids": [booth]})
    }

    /// A target set of the constituency of booth S1-B1.
    fn new_target_set(&self) -> Value {
        let seat = self.world.unit("S1-AC1");
        json!({"name": "Seats", "unit_id": seat, "level": "assembly_constituency",
               "version": {"valid_from": "2026-11-01", "reason": "Why", "members": [{"unit_id": seat}]}})
    }

    async fn send(&self, client: &Client, ask: &Ask) -> Answer {
        let client = match &ask.tag {
            Some(tag) => client.header("If-Match", tag),
            None => client.clone(),
        };
        let body = ask
            .body
            .as_ref()
            .map(|(kind, text)| (*kind, text.clone().into_bytes()));
        client.send(ask.method, &ask.path, body).await
    }

    /// Whether an answer to a list holds what belongs to booth S1-B1.
    fn holds_ours(&self, operation: &str, answer: &Answer) -> bool {
        let wanted = match operation {
            "list_seats" | "list_units" | "sync" => format!("\"id\":{},", self.world.unit("S1-B1")),
            "list_refusals" => format!("\"worker_id\":{},", self.worker_id),
            "list_workers" => format!("\"id\":{},", self.worker_id),
            "list_campaigns" => format!("\"id\":{},", self.campaign),
            "list_contacts" | "find_contacts" | "list_contact_reads" => self.contact.to_string(),
            "list_pravas" => format!("\"id\":{},\"unit_id\"", self.pravas["pravas"]["id"]),
            "list_tasks" => format!("\"id\":{},\"unit_id\"", self.task),
            "list_services" | "list_webhooks" | "list_draws" => {
                format!("\"unit_id\":{},", self.world.unit("S1-B1"))
            }
            "list_visit_exports" => format!("\"unit_ids\":[{}]", self.world.unit("S1-B1")),
            "record_visits" => "\"created\"".to_owned(),
            // Whoever judges second finds it judged; what matters is that the visit was his to judge.
            "review_visits" => return !answer.text().contains("refused"),
            _ => self.visit.clone(),
        };
        answer.text().contains(&wanted)
    }
}

/// The same about what does not exist.
fn absent(ask: &Ask) -> Ask {
    let parts = ask.path.split('/').map(|part| {
        if part.parse::<i32>().is_ok() {
            "999999".to_owned()
        } else if part.parse::<Uuid>().is_ok() {
            Uuid::new_v4().to_string()
        } else {
            part.to_owned()
        }
    });
    Ask {
        method: ask.method,
        path: parts.collect::<Vec<_>>().join("/"),
        body: ask.body.clone(),
        tag: ask.tag.clone(),
    }
}

/// An answer without what differs each time.
fn said(answer: &Answer) -> (u16, String) {
    let id = answer.json["request_id"].as_str().unwrap_or_default();
    (answer.status, answer.text().replace(id, ""))
}

/// The actions, one of which an operation needs where the visit, if it speaks of one, is somebody else's.
fn needed(operation: &Operation) -> Vec<ActionName> {
    let named = operation.value["security"][0]["bearer"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let actions = ActionName::ALL
        .iter()
        .copied()
        .filter(|action| named.contains(&json!(action.as_str())));
    actions
        .filter(|action| !action.as_str().ends_with("_own"))
        .collect()
}

/// Lists of one's own are for everyone who may have something of his own.
fn has_own(operation: &Operation, role: Role) -> bool {
    (operation.id == "list_visits" && role.may(ActionName::VisitReadOwn))
        || (operation.id == "list_contacts" && role.may(ActionName::ContactReadOwn))
}

#[actix_web::test]
async fn written_matrix_is_what_the_program_does() {
    let s = Scene::build().await;
    let mut actors = BTreeMap::new();
    for (role, own, others) in PLACES {
        for unit in others.iter().chain([&own]) {
            actors.insert((role.as_str(), *unit), s.world.actor(&s.app, role, unit).await);
        }
    }
    let ended = s.world.worker(&s.app, "S1-B1").await;
    s.world
        .grant(
            ended.worker_id,
            Role::StateAdmin,
            "S1",
            "2020-01-01",
            Some("2026-10-31"),
        )
        .await;
    let none = s.world.worker(&s.app, "S1-B1").await;
    let coming = s.world.worker(&s.app, "S1-B1").await;
    s.world
        .grant(coming.worker_id, Role::StateAdmin, "S1", "2026-11-24", None)
        .await;
    let revoked = s.world.actor(&s.app, Role::NationalAdmin, "IN").await;
    s.world
        .db
        .execute(
            "UPDATE sessions SET revoked_at = created_at, revoked_why = 'device_revoked' WHERE id = $1",
            &[&revoked.session_id],
        )
        .await
        .unwrap();
    let inactive = s.world.actor(&s.app, Role::NationalAdmin, "IN").await;
    s.world
        .db
        .execute(
            "UPDATE workers SET active = false WHERE id = $1",
            &[&inactive.worker_id],
        )
        .await
        .unwrap();
    let mut table = String::from(
        "# Who may do what\n\nStatus of the answer for each role at a unit of its own, and, after the stroke, at a neighbour's and in\n\
         another state (once where both fare alike): 2xx done, `empty` a list without what lies outside, 403 may see but not do, 404 and 422 as if it did not exist. Visits here are somebody else's.\n\
         Ids in bodies and filters: `a_foreign_id_in_any_body_or_filter_of_the_contract_is_answered_like_an_absent_one`.\n\n| operation | needs |",
    );
    for (role, ..) in PLACES {
        table.push_str(&format!(" {} |", role.as_str()));
    }
    table.push_str(&format!(
        " no grant today |\n|---|---|{}:-:|\n",
        ":-:|".repeat(PLACES.len())
    ));
    let mut wrong = Vec::new();
    for operation in operations(&document()) {
        let actions = needed(&operation);
        let names: Vec<&str> = actions.iter().map(|action| action.as_str()).collect();
        table.push_str(&format!(
            "| `{} {}` | {} |",
            operation.method,
            operation.path,
            names.join(", ")
        ));
        for (role, own, others) in PLACES {
            let mut cells = Vec::new();
            for unit in [own].iter().chain(others) {
                let place = if *unit == own { "own" } else { "other" };
                let actor = &actors[&(role.as_str(), *unit)];
                // Signing out ends the session: each time another one.
                let actor = s.world.sign_in(&s.app, actor.worker_id).await;
                let (kind, ask) = s.row(&operation.id, Some(&actor)).await;
                let answer = s.send(&actor.client, &ask).await;
                let may = actions.iter().any(|action| role.may(*action));
                let done = (200..300).contains(&answer.status);
                let (right, cell) = match kind {
                    Kind::Open => (
                        answer.status < 400 || operation.id == "issue_token",
                        answer.status.to_string(),
                    ),
                    Kind::SignedIn => (done, answer.status.to_string()),
                    Kind::Refused => (
                        answer.status == 401 || answer.status == 409,
                        answer.status.to_string(),
                    ),
                    Kind::At if may && place == "own" => (done, answer.status.to_string()),
                    // Who may see the booth but not record there is told so.
                    Kind::At if place == "own" && operation.id == "record_visit" => {
                        (answer.status == 403, answer.status.to_string())
                    }
                    Kind::At => (
                        [403, 404, 422].contains(&answer.status),
                        answer.status.to_string(),
                    ),
                    Kind::List if may || has_own(&operation, role) || operation.id == "record_visits" => {
                        let ours = s.holds_ours(&operation.id, &answer);
                        let cell = if ours {
                            answer.status.to_string()
                        } else {
                            "empty".to_owned()
                        };
                        (answer.status == 200 && ours == (may && place == "own"), cell)
                    }
                    Kind::List => (answer.status == 403, answer.status.to_string()),
                    Kind::State if may => {
                        let wanted = if unit.starts_with("S2") { 404 } else { 200 };
                        (answer.status == wanted, answer.status.to_string())
                    }
                    Kind::State => (answer.status == 403, answer.status.to_string()),
                    Kind::Public => (
                        done == may && (done || answer.status == 403),
                        answer.status.to_string(),
                    ),
                    Kind::Nation => {
                        let may = may && *unit == "IN";
                        (
                            done == may && (done || answer.status == 403),
                            answer.status.to_string(),
                        )
                    }
                    Kind::Shared => {
                        let may = may && !unit.starts_with("S2");
                        (
                            done == may && (done || answer.status == 404),
                            answer.status.to_string(),
                        )
                    }
                };
                if !right {
                    wrong.push(format!(
                        "{} by {} of {unit}: {} {}",
                        operation.id,
                        role.as_str(),
                        answer.status,
                        answer.text()
                    ));
                }
                if answer.status == 404 {
                    let absent = s.send(&actor.client, &absent(&ask)).await;
                    if said(&answer) != said(&absent) {
                        wrong.push(format!(
                            "{} tells {} of {unit} what exists: {} {}",
                            operation.id,
                            role.as_str(),
                            answer.text(),
                            absent.text()
                        ));
                    }
                }
                // Two others that fare alike are written once.
                if place == "own" || cells.len() < 2 || cells.last() != Some(&cell) {
                    cells.push(cell);
                }
            }
            table.push_str(&format!(" {} |", cells.join(" / ")));
        }
        let mut cells = Vec::new();
        for actor in [&ended, &none, &coming] {
            let actor = s.world.sign_in(&s.app, actor.worker_id).await;
            let (kind, ask) = s.row(&operation.id, Some(&actor)).await;
            let answer = s.send(&actor.client, &ask).await;
            let right = match kind {
                Kind::Open | Kind::SignedIn => answer.status < 401,
                Kind::Refused => answer.status == 401 || answer.status == 409,
                Kind::At => [403, 404, 422].contains(&answer.status),
                Kind::List => answer.status == 403 || !s.holds_ours(&operation.id, &answer),
                Kind::Public | Kind::Nation | Kind::State => answer.status == 403,
                Kind::Shared => answer.status == 404,
            };
            if !right {
                wrong.push(format!(
                    "{} without a grant: {} {}",
                    operation.id,
                    answer.status,
                    answer.text()
                ));
            }
            cells.push(answer.status.to_string());
        }
        cells.dedup();
        table.push_str(&format!(" {} |\n", cells.join(" / ")));
        for (who, client) in [
            ("somebody inactive", &inactive.client),
            ("a revoked phone", &revoked.client),
            ("nobody", &s.app.anonymous()),
        ] {
            let (kind, ask) = s.row(&operation.id, None).await;
            let answer = s.send(client, &ask).await;
            if kind != Kind::Open && answer.status != 401 {
                wrong.push(format!(
                    "{} by {who}: {} {}",
                    operation.id,
                    answer.status,
                    answer.text()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    compare("docs/access-matrix.md", &table);
}
