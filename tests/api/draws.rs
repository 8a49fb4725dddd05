//! Random audit draws: nobody chooses what is drawn, anybody can make a draw anew, and what is found accepts or rejects.

use chrono::TimeDelta;
use sampark::access::Role;
use sampark::journal::seal::sign_heads;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Actor, Answer, Client, Settings, TestApp, World};
use crate::visits::visit;
use crate::workers::journalled;

mod audited;
mod back_checks;
mod curve;
mod drawing;
mod remade;
mod verdicts;

/// Mandal S1-M1 with an author in each booth, who answers for it, who draws in its district, and who can check.
pub struct Scene {
    pub app: TestApp,
    pub world: World,
    pub campaign: i32,
    pub authors: Vec<Actor>,
    pub coordinator: Actor,
    pub district: Actor,
    /// Works across the mandal; may read nobody's visits.
    pub verifier: Actor,
}

const BOOTHS: [&str; 3] = ["S1-B1", "S1-B2", "S1-B3"];

/// Nothing is posted or signed but by hand.
pub async fn scene() -> Scene {
    let app = TestApp::start_with(Settings {
        poster: false,
        pool_size: 12,
    })
    .await;
    let world = World::build(&app).await;
    let mut authors = Vec::new();
    for booth in BOOTHS {
        authors.push(world.actor(&app, Role::BoothWorker, booth).await);
    }
    Scene {
        campaign: world.campaign("IN").await,
        authors,
        coordinator: world.actor(&app, Role::MandalCoordinator, "S1-M1").await,
        district: world.actor(&app, Role::DistrictCoordinator, "S1-D1").await,
        verifier: world.actor(&app, Role::MandalWorker, "S1-M1").await,
        app,
        world,
    }
}

impl Scene {
    /// Records visits in a booth by its author; their ids.
    pub async fn record(&self, booth: usize, count: usize) -> Vec<String> {
        let one = |_| {
            let mut sent = visit(&self.world, self.campaign, BOOTHS[booth]);
            sent["answers"] = json!({"heard": true, "need": "water"});
            sent["visited_at"] = json!(self.app.clock.now() - TimeDelta::hours(1));
            sent
        };
        let sent: Vec<Value> = (0..count).map(one).collect();
        let ids = sent
            .iter()
            .map(|visit| visit["id"].as_str().unwrap().to_owned())
            .collect();
        let body = json!({"visits": sent});
        let answer = self.authors[booth]
            .client
            .post("/v1/visits/batch", body)
            .await
            .expect(200);
        for result in answer.json["results"].as_array().unwrap() {
            assert_eq!(result["status"], "created", "{result}");
        }
        ids
    }

    /// What is asked for unless a test says otherwise.
    pub fn wanted(&self, changes: Value) -> Value {
        let mut wanted = json!({
            "unit_id": self.world.unit("S1-M1"), "campaign_id": self.campaign, "from": "2026-11-01", "to": "2026-11-23",
            "strata": "booth", "plan": {"size": 6, "decision_number": 2},
        });
        for (key, value) in changes.as_object().unwrap() {
            wanted[key] = value.clone();
        }
        wanted
    }

    /// Requests a draw; its path.
    pub async fn request(&self, changes: Value) -> String {
        let made = self
            .district
            .client
            .post("/v1/draws", self.wanted(changes))
            .await
            .expect(201);
        assert_eq!(made.json["status"], "pending");
        made.header("location").unwrap().to_owned()
    }

    pub async fn seed(&self, path: &str) -> Value {
        self.district
            .client
            .post(&format!("{path}/seed"), json!({}))
            .await
            .expect(200)
            .json
    }

    /// Requests and seeds a draw, and gives all of it to the verifier; its path.
    pub async fn drawn(&self, changes: Value) -> String {
        let path = self.request(changes).await;
        self.seed(&path).await;
        let spread = json!({"spread_among": [self.verifier.worker_id]});
        let given = self.assign(&path, spread).await.expect(200).json;
        assert_eq!(given["unassigned"], json!([]));
        path
    }

    pub async fn assign(&self, path: &str, body: Value) -> Answer {
        self.coordinator
            .client
            .post(&format!("{path}/assignments"), body)
            .await
    }

    pub async fn read(&self, path: &str) -> Value {
        self.district.client.get(path).await.expect(200).json
    }

    /// Every page of a list.
    pub async fn pages(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.read(&format!("{path}?limit=7{cursor}")).await;
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// Signs a head over all that was done, a minute later.
    pub async fn seal(&self) {
        self.app.posted().await;
        self.app.clock.advance(TimeDelta::seconds(61));
        let now = self.app.clock.now();
        let signed = sign_heads(&self.app.state.db, &self.app.state.seals, now, false)
            .await
            .unwrap();
        assert!(signed > 0);
    }

    /// The newest signed head of the state.
    pub async fn head(&self) -> Value {
        let path = format!("/v1/journal/heads?state_id={}&limit=1", self.world.unit("S1"));
        self.read(&path).await["items"][0].clone()
    }

    /// Closes a draw, whatever is left unchecked.
    pub async fn close(&self, path: &str) -> Value {
        let why = json!({"reason": "The verifier fell ill"});
        self.district
            .client
            .post(&format!("{path}/close"), why)
            .await
            .expect(200)
            .json["closed"]
            .clone()
    }
}

/// What a verifier would send of a drawn visit that was made as told.
pub fn confirms(path: &str, number: i64) -> Value {
    let draw_id: i64 = path.rsplit('/').next().unwrap().parse().unwrap();
    json!({
        "id": Uuid::now_v7(), "draw_id": draw_id, "number": number, "checked_at": "2026-11-23T11:45:00+05:30",
        "outcome": "found", "observed": {"outcome": "met", "visited_on": "2026-11-22", "answers": {"heard": true}},
    })
}

/// The same of one where nobody came.
pub fn refutes(path: &str, number: i64) -> Value {
    let mut check = confirms(path, number);
    check["observed"] = json!({"outcome": "not_home"});
    check
}

/// What came of the door alone.
pub fn only(path: &str, number: i64, outcome: &str) -> Value {
    let mut check = confirms(path, number);
    check["outcome"] = json!(outcome);
    check["observed"] = Value::Null;
    check
}

/// Sends a back-check as a phone does: again while the server is busy.
pub async fn send(client: &Client, check: &Value) -> Answer {
    loop {
        let answer = client.post("/v1/back-checks", check.clone()).await;
        if answer.status != 503 {
            return answer;
        }
    }
}

#[actix_web::test]
async fn every_step_of_a_draw_is_journalled_where_it_belongs() {
    let s = scene().await;
    s.record(0, 4).await;
    let path = s.drawn(json!({"plan": {"size": 2, "decision_number": 1}})).await;
    s.verifier
        .client
        .post("/v1/back-checks", confirms(&path, 1))
        .await
        .expect(201);
    s.close(&path).await;
    for action in [
        "draw.request",
        "draw.freeze",
        "draw.seed",
        "draw.assign",
        "draw.close",
        "back_check.record",
    ] {
        assert_eq!(journalled(&s.world, action).await, 1, "{action}");
    }
    s.app.posted().await;
    let mandal = s.world.unit("S1-M1");
    let entries = s.read(&format!("/v1/journal?under={mandal}&subject=draw")).await;
    let told: Vec<&str> = entries["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["sentence"].as_str().unwrap())
        .collect();
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(told[4].contains("requested a draw at Unit S1-M1"), "{told:?}");
    // The digest of the request's entry is that of the frame.
    let draw = s.read(&path).await;
    let request = entries["items"].as_array().unwrap().last().unwrap();
    assert_eq!(request["digest"], draw["frame_digest"]);
    assert_eq!(request["number"], draw["seed"]["entry_number"]);
}

#[actix_web::test]
async fn a_request_that_makes_no_sense_is_told_why() {
    let s = scene().await;
    s.record(0, 3).await;
    let plan = |plan: Value| json!({"plan": plan});
    let risks = json!({"acceptable": 0.05, "unacceptable": 0.2, "producer_risk": 0.1, "consumer_risk": 0.1});
    let mut both = risks.clone();
    both["size"] = json!(5);
    let mut near = risks.clone();
    near["unacceptable"] = json!(0.06);
    let mut reversed = risks;
    reversed["unacceptable"] = json!(0.04);
    for (changes, pointer, code) in [
        (json!({"unit_id": 999_999}), "/unit_id", "unknown_unit"),
        (
            json!({"unit_id": s.world.unit("S2-M1")}),
            "/unit_id",
            "unknown_unit",
        ),
        (
            json!({"unit_id": s.world.unit("S1-M2")}),
            "/unit_id",
            "nothing_to_draw",
        ),
        (json!({"campaign_id": 999}), "/campaign_id", "unknown_campaign"),
        (json!({"to": "2026-11-24"}), "/to", "in_the_future"),
        (
            json!({"from": "2026-11-23", "to": "2026-11-22"}),
            "/to",
            "before_from",
        ),
        (json!({"outcomes": ["refused"]}), "/unit_id", "nothing_to_draw"),
        (plan(json!({"size": 6})), "/plan", "contradiction"),
        (plan(both), "/plan", "contradiction"),
        (
            plan(json!({"size": 501, "decision_number": 2})),
            "/plan/size",
            "out_of_range",
        ),
        (
            plan(json!({"size": 5, "decision_number": 6})),
            "/plan/decision_number",
            "out_of_range",
        ),
        (plan(near), "/plan", "too_large"),
        (plan(reversed), "/plan/unacceptable", "out_of_range"),
        (
            json!({"compare": {"answers": {"x": {"rule": "exact"}}}}),
            "/compare/answers/x",
            "unknown_question",
        ),
        (
            json!({"compare": {"answers": {"need": {"rule": "tolerance"}}}}),
            "/compare/answers/need/within",
            "missing_field",
        ),
        (json!({"strata": "mandal"}), "/strata", "wrong_type"),
        (json!({"seed": 7}), "/seed", "unknown_field"),
    ] {
        let refused = s
            .district
            .client
            .post("/v1/draws", s.wanted(changes.clone()))
            .await
            .expect(422);
        let error = &refused.json["errors"][0];
        assert_eq!(
            (&error["pointer"], &error["code"]),
            (&json!(pointer), &json!(code)),
            "{changes}"
        );
    }
    let nation = s.world.actor(&s.app, Role::NationalAdmin, "IN").await.client;
    let refused = nation
        .post("/v1/draws", s.wanted(json!({"unit_id": s.world.unit("IN")})))
        .await
        .expect(422);
    assert_eq!(refused.json["errors"][0]["code"], "several_states");
    // Who answers for the mandal itself gives what is drawn to verifiers; he does not draw.
    s.coordinator
        .client
        .post("/v1/draws", s.wanted(json!({})))
        .await
        .expect(403);
    assert_eq!(journalled(&s.world, "draw.request").await, 0);
}
