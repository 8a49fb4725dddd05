//! The review that docs/direction.md walks through is one that can be held: every request in it is sent as it stands there,
//! and every answer holds what is shown.

use std::collections::BTreeMap;

use sampark::access::Role;
use serde_json::{Value, json};

use crate::support::{Client, TestApp, World};
use crate::visits::visit;

/// A request of the document and what it shows of the answer.
struct Step {
    method: String,
    path: String,
    who: String,
    body: Option<Value>,
    shown: Value,
}

/// The steps between the marks of the walk.
fn steps() -> Vec<Step> {
    let file = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/direction.md");
    let page = std::fs::read_to_string(file).unwrap();
    let (_, walk) = page.split_once("<!-- walk -->").unwrap();
    let (walk, _) = walk.split_once("<!-- /walk -->").unwrap();
    let mut blocks = walk.split("```").skip(1).step_by(2);
    let mut steps = Vec::new();
    while let Some(request) = blocks.next() {
        let request = request.strip_prefix("http\n").expect("a request");
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let mut lines = head.lines();
        let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
        let who = lines
            .next()
            .unwrap()
            .strip_prefix("Authorization: Bearer $")
            .unwrap();
        let shown = blocks.next().unwrap().strip_prefix("json\n").expect("an answer");
        steps.push(Step {
            method: method.to_owned(),
            path: path.to_owned(),
            who: who.trim().to_owned(),
            body: (!body.trim().is_empty()).then(|| serde_json::from_str(body).unwrap()),
            shown: serde_json::from_str(shown).unwrap_or_else(|error| panic!("{error}: {shown}")),
        });
    }
    steps
}

/// Whether an answer holds all that is shown of it. A list has just the items that are shown, unless it ends with "…".
fn holds(answer: &Value, shown: &Value) -> Result<(), String> {
    match (answer, shown) {
        (Value::Object(answer), Value::Object(shown)) => shown.iter().try_for_each(|(name, shown)| {
            let answer = answer.get(name).ok_or_else(|| format!("there is no {name}"))?;
            holds(answer, shown).map_err(|error| format!("{name}: {error}"))
        }),
        (Value::Array(answer), Value::Array(shown)) => {
            let open = shown.last().is_some_and(|last| last == "…");
            let shown = &shown[..shown.len() - usize::from(open)];
            if answer.len() < shown.len() || (!open && answer.len() > shown.len()) {
                return Err(format!("{} items, not {}", answer.len(), shown.len()));
            }
            let mut pairs = answer.iter().zip(shown).enumerate();
            pairs.try_for_each(|(n, (answer, shown))| {
                holds(answer, shown).map_err(|error| format!("{n}: {error}"))
            })
        }
        _ if answer == shown => Ok(()),
        _ => Err(format!("{answer}, not {shown}")),
    }
}

/// The world of the walk: what it says at its beginning, and who is who.
async fn scene() -> (TestApp, World, BTreeMap<&'static str, Client>) {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let mut people = BTreeMap::new();
    for (name, role, unit) in [
        ("LEADERSHIP", Role::NationalAdmin, "IN"),
        ("LEADER", Role::ConstituencyCoordinator, "S1-PC1"),
        ("MANDAL", Role::MandalCoordinator, "S1-M2"),
        ("WORKER", Role::BoothWorker, "S1-B4"),
    ] {
        people.insert(name, world.actor(&app, role, unit).await.client);
    }
    assert_eq!(world.campaign("IN").await, 1);
    let results = "election,constituency,candidate,party,votes\n\
        LS2014,S1-PC1,A,Example Party,90\nLS2014,S1-PC1,B,Other Party,100\n\
        LS2014,S2-PC1,D,Example Party,10\nLS2014,S2-PC1,E,Other Party,100\n";
    let admin = &people["LEADERSHIP"];
    let results = Some(("text/csv", results.as_bytes().to_vec()));
    admin
        .send("POST", "/v1/imports/results", results)
        .await
        .expect(200);
    for (booth, outcome) in [
        ("S1-B1", "met"),
        ("S1-B1", "not_home"),
        ("S1-B4", "refused"),
        ("S1-B4", "refused"),
        ("S2-B1", "met"),
    ] {
        let mut sent = visit(&world, 1, booth);
        sent["visited_at"] = json!("2026-11-20T10:00:00+05:30");
        sent["outcome"] = json!(outcome);
        sent["people_met"] = json!(i32::from(outcome == "met"));
        admin.post("/v1/visits", sent).await.expect(201);
    }
    (app, world, people)
}

#[actix_web::test]
async fn the_review_of_the_document_is_held_as_it_is_written() {
    let (_app, _world, people) = scene().await;
    let steps = steps();
    assert!(steps.len() >= 15, "{}", steps.len());
    for Step {
        method,
        path,
        who,
        body,
        shown,
    } in steps
    {
        let client = &people[who.as_str()];
        let sent = body
            .as_ref()
            .map(|body| ("application/json", body.to_string().into_bytes()));
        let answer = client.send(&method, &path, sent).await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.text());
        if let Err(error) = holds(&answer.json, &shown) {
            panic!("{method} {path}: {error}\n{:#}", answer.json);
        }
    }
}

#[test]
fn what_is_shown_of_an_answer_must_be_there() {
    let answer = json!({"a": 1, "list": [{"b": 2}, {"b": 3}]});
    for (shown, is_held) in [
        (json!({"a": 1}), true),
        (json!({"a": 2}), false),
        (json!({"c": null}), false),
        (json!({"list": [{"b": 2}]}), false),
        (json!({"list": [{"b": 2}, "…"]}), true),
        (json!({"list": [{"b": 2}, {"b": 3}]}), true),
        (json!({"list": [{"b": 3}, "…"]}), false),
        (json!({"list": []}), false),
    ] {
        assert_eq!(holds(&answer, &shown).is_ok(), is_held, "{shown}");
    }
}
