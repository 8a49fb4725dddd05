//! Every write is journalled, and so is every reading of what is sensitive: found from the OpenAPI document, so that a new
//! operation is held to it without anybody's thinking of it.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use sampark::access::Role;
use sampark::features::seals::verify::{Ask, verify};
use sampark::journal::Actor as Writer;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::openapi::{Operation, Scene, document, in_order, operations, scene};

/// Operations by POST, PUT, PATCH or DELETE that leave no entry, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "sync",
        "it reads, and nothing of it is kept; what a phone holds is its own to see",
    ),
    (
        "request_code",
        "whoever knows a number can ask; what comes of a code is journalled when it is used",
    ),
];

/// Operations by GET that are journalled all the same: they give citizens' or workers' whole numbers, or visits in bulk.
const SENSITIVE: &[&str] = &[
    "export_visits",
    "get_contact",
    "get_worker",
    "list_contacts",
    "list_workers",
];

/// An entry, posted or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    leaf: Vec<u8>,
    action: String,
    subject: String,
    actor: Option<i32>,
    /// Whether each of its units exists, and it has one.
    placed: bool,
}

async fn told(s: &Scene) -> BTreeSet<Told> {
    let columns = "leaf_hash, action, subject, actor_id,
                   cardinality(unit_ids) > 0 AND unit_ids || unit_id <@ (SELECT array_agg(id) FROM units)";
    let sql = format!("SELECT {columns} FROM journal UNION ALL SELECT {columns} FROM journal_inbox");
    let rows = s.world.db.query(&sql, &[]).await.unwrap();
    let entries = rows.iter().map(|row| Told {
        leaf: row.get(0),
        action: row.get(1),
        subject: row.get(2),
        actor: row.get(3),
        placed: row.get(4),
    });
    entries.collect()
}

/// Whether an action reads as one: `visit.record`.
fn is_named(action: &str) -> bool {
    let words: Vec<&str> = action.split('.').collect();
    words.len() == 2
        && words
            .iter()
            .all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
}

/// A draw of the only visit of a booth, since that of the examples is drawn and given out; returns its path.
async fn another_draw(s: &Scene, booth: &str) -> String {
    let worker = s.world.actor(&s.app, Role::BoothWorker, booth).await.client;
    let sent = crate::visits::visit(&s.world, 1, booth);
    worker.post("/v1/visits", sent).await.expect(201);
    let draw = json!({"unit_id": s.world.unit(booth), "campaign_id": 1, "from": "2026-11-21", "to": "2026-11-23",
                      "plan": {"size": 1, "decision_number": 1}});
    let made = s.admin.post("/v1/draws", draw).await.expect(201).json;
    format!("/v1/draws/{}", made["id"])
}

/// Makes something for an operation to do whose example would change nothing.
async fn arrange(s: &mut Scene, operation: &str) -> Option<String> {
    let mut path = None;
    match operation {
        "end_worker_sessions" => {
            s.world.session(s.worker_id).await;
        }
        "end_grant" => {
            // The one of the examples was handed over.
            let grant = s
                .world
                .grant(s.worker_id, Role::BoothWorker, "S1-B5", "2026-11-01", None);
            s.grant_id = grant.await;
        }
        "unlock_worker" => {
            let lock = "INSERT INTO sign_in_guards (worker_id, failures, locked_until)
                        VALUES ($1, 20, '2100-01-01') ON CONFLICT DO NOTHING";
            s.world.db.execute(lock, &[&s.worker_id]).await.unwrap();
        }
        "seed_draw" => path = Some(format!("{}/seed", another_draw(s, "S1-B4").await)),
        "assign_draw" => {
            let draw = another_draw(s, "S1-B5").await;
            s.world.actor(&s.app, Role::MandalWorker, "S1-M2").await;
            s.admin.post(&format!("{draw}/seed"), json!({})).await.expect(200);
            path = Some(format!("{draw}/assignments"));
        }
        _ => {}
    }
    // No two entries are alike, be it that the same is done again.
    s.app.clock.advance(TimeDelta::milliseconds(10));
    path
}

/// Takes for granted what was written by SQL until now: it hangs on an entry that holds no rows.
async fn adopt(s: &Scene) {
    let sql = "INSERT INTO row_writes (write_id, leaf)
               SELECT DISTINCT v.write_id, (SELECT leaf_hash FROM journal WHERE form = 2 ORDER BY number LIMIT 1) FROM row_versions v
               WHERE v.version > 0 AND NOT EXISTS (SELECT 1 FROM row_writes w WHERE w.write_id = v.write_id)";
    s.world.db.batch_execute(sql).await.unwrap();
}

/// What verification finds wrong.
async fn unfit(s: &Scene) -> Vec<String> {
    let now = s.app.clock.now();
    let ask = Ask {
        keys: s.app.state.seals.loaded(now).unwrap().public.clone(),
        kept: Vec::new(),
        since_kept: false,
        state: None,
        actor: Writer::program(now),
        today: s.app.clock.today(),
    };
    let report = verify(&s.app.state.db, &ask, |_| {}).await.unwrap();
    report.problems.iter().map(ToString::to_string).collect()
}

/// What is wrong with what an operation left in the journal.
async fn misfit(s: &mut Scene, document: &Value, operation: &Operation) -> Option<String> {
    let id = &operation.id;
    let path = arrange(s, id).await;
    let mut ask = s.ask(document, operation).await;
    if let Some(path) = path {
        ask.path = path;
    }
    if id == "record_visits" {
        // The example is the visit that is stored by now.
        ask.body.as_mut().unwrap().1["visits"][0]["id"] = json!(Uuid::new_v4());
    }
    adopt(s).await;
    let me = ask.client.get("/v1/me").await.json["worker"]["id"].as_i64();
    let before = told(s).await;
    let answer = ask.send(&operation.method).await;
    if !(200..300).contains(&answer.status) {
        return Some(format!("{id}: {} {}", answer.status, answer.text()));
    }
    let after = told(s).await;
    let new: Vec<&Told> = after.difference(&before).collect();
    if let Some((_, why)) = EXCEPTIONS.iter().find(|(known, _)| known == id) {
        return (!new.is_empty()).then(|| format!("{id} is journalled ({new:?}), but was excused: {why}"));
    }
    // Who has not signed in yet is named by what he did: a session that begins.
    let is_open = operation.value["security"] == json!([{}]);
    let fits = new.iter().any(|entry| {
        let by = entry.actor.map(i64::from);
        is_named(&entry.action) && !entry.subject.is_empty() && entry.placed && (by == me || is_open)
    });
    (!fits).then(|| format!("{id} left no entry with its action, by worker {me:?}, at a unit: {new:?}"))
}

#[actix_web::test]
async fn every_operation_that_writes_leaves_an_entry_that_names_action_actor_and_unit_and_fits_the_rows() {
    let document = document();
    let mut s = scene().await;
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for operation in in_order(&document) {
        if operation.method != "GET" || SENSITIVE.contains(&operation.id.as_str()) {
            wrong.extend(misfit(&mut s, &document, &operation).await);
            seen.insert(operation.id);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen.len() > 50, "{seen:?}");
    // Whatever was written, its entries hold it.
    assert_eq!(unfit(&s).await, Vec::<String>::new());
}

#[test]
fn what_is_excused_or_sensitive_is_there() {
    let known: BTreeSet<String> = operations(&document())
        .into_iter()
        .map(|operation| operation.id)
        .collect();
    for name in EXCEPTIONS.iter().map(|(name, _)| name).chain(SENSITIVE) {
        assert!(known.contains(*name), "{name}");
    }
}
