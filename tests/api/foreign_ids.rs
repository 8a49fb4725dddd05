//! Ids that somebody sends, in whatever body or filter: one of a thing that lies elsewhere is answered like one of a thing that
//! does not exist. The contract names the places, so that a new one cannot be forgotten; ids in paths are in the access matrix.

use std::collections::{BTreeMap, BTreeSet};

use sampark::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bounds::patiently;
use crate::openapi::{Ask, Operation, Scene, document, operations, resolve, scene};
use crate::support::{Answer, Client};

/// Names of ids that say nothing about what lies where, and why.
const OF_NOTHING: [(&str, &str); 3] = [
    ("id", "made by the phone for what it sends"),
    ("client_id", "of the service that signs in"),
    ("device_id", "of a phone, which is at no unit"),
];

/// Things of state S2, where the caller, who administers S1, has nothing to see.
struct Foreign {
    worker: i32,
    campaign: i32,
    household: Uuid,
    visit: Value,
    contact: Uuid,
    task: Value,
    report: Value,
    draw: Value,
    target_set: Value,
}

impl Foreign {
    async fn make(s: &Scene) -> Self {
        // Numbers that are found nowhere else in an answer.
        let apart = "SELECT setval(pg_get_serial_sequence(name, 'id'), 7000)
                     FROM unnest(ARRAY['workers', 'campaigns', 'tasks', 'draws', 'target_sets']) AS name";
        s.world.db.batch_execute(apart).await.unwrap();
        let author = s.world.actor(&s.app, Role::BoothWorker, "S2-B1").await;
        let campaign = s.world.campaign("S2").await;
        let household = s.world.household("S2-B1").await;
        let sent = crate::visits::visit(&s.world, campaign, "S2-B1");
        let visit = author.client.post("/v1/visits", sent).await.expect(201).json["id"].clone();
        let contact = Uuid::new_v4();
        let mut consented = crate::contacts::contact(&s.world, campaign, household);
        consented["booth_id"] = json!(s.world.unit("S2-B1"));
        let path = format!("/v1/contacts/{contact}");
        s.admin.put(&path, consented).await.expect(201);
        let task = crate::tasks::task(s.world.unit("S2"), "booth");
        let task = s.admin.post("/v1/tasks", task).await.expect(201).json["id"].clone();
        let report = crate::tasks::report(&task, s.world.unit("S2-B1"), "done");
        author
            .client
            .post("/v1/task-reports", report.clone())
            .await
            .expect(201);
        let draw = json!({"unit_id": s.world.unit("S2-B1"), "campaign_id": campaign, "from": "2026-11-22",
                          "to": "2026-11-23", "plan": {"size": 1, "decision_number": 1}});
        let draw = s.admin.post("/v1/draws", draw).await.expect(201).json["id"].clone();
        let set = json!({"name": "Seats there", "unit_id": s.world.unit("S2"), "level": "assembly_constituency",
            "version": {"valid_from": "2026-11-01", "reason": "Why", "members": [{"unit_id": s.world.unit("S2-AC1")}]}});
        let target_set = s.admin.post("/v1/target-sets", set).await.expect(201).json["id"].clone();
        Self {
            worker: author.worker_id,
            campaign,
            household,
            visit,
            contact,
            task,
            report: report["id"].clone(),
            draw,
            target_set,
        }
    }

    /// A thing of this kind that lies in S2, and one that is nowhere. A unit is of the level that the example is of.
    fn ids(&self, s: &Scene, name: &str, example: Option<&Value>) -> Option<(Value, Value)> {
        let (number, uuid) = (json!(999_999), json!(Uuid::new_v4()));
        Some(match name {
            "unit_id" | "unit_ids" | "booth_id" | "parent_id" | "under" | "state_id" => {
                let units = &s.world.units;
                let code = units.iter().find(|(_, id)| example == Some(&json!(**id)));
                let there = code.map(|(code, _)| format!("S2{}", code.get(2..).unwrap_or_default()));
                let same = there.and_then(|code| units.get(&code).copied());
                (json!(same.unwrap_or(s.world.unit("S2"))), number)
            }
            "worker_id" | "to_worker_id" | "verifier_id" | "owner_id" | "actor_id" | "subject_id"
            | "leader_id" => (json!(self.worker), number),
            "campaign_id" => (json!(self.campaign), number),
            "task_id" | "part_of" => (self.task.clone(), number),
            "draw_id" => (self.draw.clone(), number),
            "target_set" => (self.target_set.clone(), number),
            "household_id" => (json!(self.household), uuid),
            "visit_id" => (self.visit.clone(), uuid),
            "contact_id" => (json!(self.contact), uuid),
            "report_id" => (self.report.clone(), uuid),
            _ => return None,
        })
    }
}

fn is_id(name: &str) -> bool {
    let words = ["under", "part_of", "target_set"];
    let named = name.ends_with("_id") || name.ends_with("_ids") || words.contains(&name);
    named && OF_NOTHING.iter().all(|(known, _)| *known != name)
}

/// The places of ids in what a schema describes, as paths of names; a list has one place, 0.
fn places(document: &Value, schema: &Value, at: &[String], found: &mut BTreeSet<Vec<String>>) {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        return places(document, resolve(document, target), at, found);
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        for option in schema.get(word).and_then(Value::as_array).into_iter().flatten() {
            places(document, option, at, found);
        }
    }
    for (name, property) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let at = [at, std::slice::from_ref(name)].concat();
        if is_id(name) {
            found.insert(at);
        } else {
            places(document, property, &at, found);
        }
    }
    if let Some(items) = schema.get("items") {
        places(document, items, &[at, &["0".to_owned()][..]].concat(), found);
    }
}

/// Puts a value at a place, making what leads to it.
fn put(body: &mut Value, at: &[String], value: Value) {
    let Some((first, rest)) = at.split_first() else {
        *body = value;
        return;
    };
    if first == "0" {
        if body.get(0).is_none() {
            *body = json!([{}]);
        }
        put(&mut body[0], rest, value);
    } else {
        if !body.is_object() {
            *body = json!({});
        }
        put(&mut body[first.as_str()], rest, value);
    }
}

/// What was said, without what differs each time and with the id that was asked about under another name.
fn said(answer: &Answer, id: &Value) -> (u16, String) {
    fn strip(value: &mut Value, id: &Value) {
        match value {
            found if found == id => *found = json!("the id"),
            Value::Object(members) => {
                members.remove("request_id");
                // What is not posted yet says nothing of what was asked.
                members.remove("posted");
                members.values_mut().for_each(|member| strip(member, id));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| strip(item, id)),
            // A link says again what was asked.
            Value::String(link) => {
                let asked = format!(
                    "_id={}",
                    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
                );
                if let Some(rest) = link.strip_suffix(&asked) {
                    *link = format!("{rest}_id=the id");
                }
            }
            _ => {}
        }
    }
    let mut json = answer.json.clone();
    strip(&mut json, id);
    let text = if json.is_null() {
        answer.text().to_owned()
    } else {
        json.to_string()
    };
    (answer.status, text)
}

/// A request of the caller's, beyond what its examples are made for.
struct Try<'a> {
    s: &'a Scene,
    document: &'a Value,
    operation: &'a Operation,
    caller: &'a Client,
}

impl Try<'_> {
    async fn ask(&self) -> Ask {
        let mut ask = self.s.ask(self.document, self.operation).await;
        ask.client = ask.client.signed_in_as(self.caller);
        ask
    }

    async fn in_body(&self, at: &[String], value: &Value) -> Answer {
        let ask = self.ask().await;
        let (_, mut body) = ask.body.unwrap();
        if self.operation.id == "assign_draw" {
            body = json!({"assignments": [{"number": 1}]});
        }
        if self.operation.id == "create_task" && at == ["owner_id"] {
            // Only a task of one unit has an owner.
            body["level"] = json!("state");
        }
        let value = if at.last().is_some_and(|name| name.ends_with("_ids")) {
            json!([value])
        } else {
            value.clone()
        };
        put(&mut body, at, value);
        let method = &self.operation.method;
        patiently(async || ask.client.send_json(method, &ask.path, &body).await).await
    }

    async fn in_query(&self, name: &str, value: &Value) -> Answer {
        let ask = self.ask().await;
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (path, query) = ask.path.split_once('?').unwrap_or((&ask.path, ""));
        let given = format!("{name}=");
        let others = query
            .split('&')
            .filter(|part| !part.is_empty() && !part.starts_with(&given));
        let asked = [format!("{name}={value}")];
        let query: Vec<&str> = others.chain(asked.iter().map(String::as_str)).collect();
        let path = format!("{path}?{}", query.join("&"));
        patiently(async || ask.client.get(&path).await).await
    }
}

#[actix_web::test]
async fn a_foreign_id_in_any_body_or_filter_of_the_contract_is_answered_like_an_absent_one() {
    let document = document();
    let s = scene().await;
    s.record_visit(&document).await;
    let foreign = Foreign::make(&s).await;
    s.app.posted().await;
    let caller = s.world.actor(&s.app, Role::StateAdmin, "S1").await.client;
    let (mut wrong, mut tried) = (Vec::new(), BTreeMap::new());
    for operation in operations(&document) {
        let attempt = Try {
            s: &s,
            document: &document,
            operation: &operation,
            caller: &caller,
        };
        let mut found = BTreeSet::new();
        if let Some(schema) = operation
            .value
            .pointer("/requestBody/content/application~1json/schema")
        {
            places(&document, schema, &[], &mut found);
        }
        for at in found {
            let name = at.iter().rev().find(|name| *name != "0").unwrap();
            let ask = attempt.ask().await;
            let example = ask
                .body
                .as_ref()
                .and_then(|(_, body)| body.pointer(&format!("/{}", at.join("/"))));
            let example = example.map(|example| example.get(0).unwrap_or(example));
            let Some((there, nowhere)) = foreign.ids(&s, name, example) else {
                wrong.push(format!(
                    "{}: this test does not know what a {name} is of",
                    operation.id
                ));
                continue;
            };
            let one = attempt.in_body(&at, &there).await;
            let other = attempt.in_body(&at, &nowhere).await;
            let place = format!("{} /{}", operation.id, at.join("/"));
            if said(&one, &there) != said(&other, &nowhere) {
                wrong.push(format!(
                    "{place}:\n  foreign {}\n  absent {}",
                    one.text(),
                    other.text()
                ));
            }
            let refused =
                one.status >= 400 || one.text().contains("rejected") || one.text().contains("refused");
            if !refused {
                wrong.push(format!("{place} is taken: {} {}", one.status, one.text()));
            }
            tried.insert(place, one.status);
        }
        let parameters = operation.value["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            if !is_id(name) {
                continue;
            }
            let Some((there, nowhere)) = foreign.ids(&s, name, parameter.get("example")) else {
                wrong.push(format!(
                    "{}: this test does not know what a {name} is of",
                    operation.id
                ));
                continue;
            };
            let one = attempt.in_query(name, &there).await;
            let other = attempt.in_query(name, &nowhere).await;
            let place = format!("{} ?{name}", operation.id);
            if said(&one, &there) != said(&other, &nowhere) {
                wrong.push(format!(
                    "{place}:\n  foreign {}\n  absent {}",
                    one.text(),
                    other.text()
                ));
            }
            tried.insert(place, one.status);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried.len() > 70, "{tried:#?}");
    // It is the ids that were refused, not the requests: somebody who may see the things is answered otherwise.
    assert!(tried.values().any(|status| *status == 422) && tried.values().any(|status| *status == 404));
}

#[actix_web::test]
async fn a_cursor_that_was_given_to_somebody_else_leads_on_in_ones_own_rows() {
    let document = document();
    let s = scene().await;
    s.record_visit(&document).await;
    let foreign = Foreign::make(&s).await;
    s.app.posted().await;
    let there = s.world.actor(&s.app, Role::StateAdmin, "S2").await.client;
    let (mut wrong, mut led) = (Vec::new(), BTreeSet::new());
    for operation in operations(&document) {
        let parameters = operation.value["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let paged = parameters.iter().any(|parameter| parameter["name"] == "cursor");
        if operation.method != "GET"
            || !paged
            || ["stream_feed", "export_visits"].contains(&operation.id.as_str())
        {
            continue;
        }
        let path = s.ask(&document, &operation).await.path;
        let sign = if path.contains('?') { '&' } else { '?' };
        let page = s
            .admin
            .get(&format!("{path}{sign}limit=1"))
            .await
            .expect(200)
            .json;
        let Some(cursor) = page["next_cursor"].as_str() else {
            continue;
        };
        let led_on = there.get(&format!("{path}{sign}limit=500&cursor={cursor}")).await;
        // Afterwards, so that what was posted in between is among it.
        let own = there.get(&format!("{path}{sign}limit=500")).await;
        if own.status != 200 {
            // Where he sees nothing a cursor changes nothing.
            if led_on.status != own.status {
                wrong.push(format!("{}: {} {}", operation.id, led_on.status, led_on.text()));
            }
            continue;
        }
        led_on.clone().expect(200);
        let items = |answer: &Answer| answer.json["items"].as_array().cloned().unwrap_or_default();
        let known = items(&own);
        let strange = items(&led_on).into_iter().filter(|item| !known.contains(item));
        wrong.extend(strange.map(|item| format!("{}: {item}", operation.id)));
        led.insert(operation.id);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        led.contains("list_visits") && led.contains("list_workers") && led.len() > 4,
        "{led:?}"
    );
    assert!(foreign.worker > 0);
}
