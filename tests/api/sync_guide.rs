//! The exchange that docs/sync.md shows is one that happened, and a phone that does as the guide says holds what it must.

use std::fmt::Write;

use chrono::TimeDelta;
use sampark::access::Role;
use sampark::journal::seal::sign_heads;
use serde_json::{Value, json};

use crate::feed_guide::with_section;
use crate::openapi::compare;
use crate::support::{Actor, Phone, Settings, TestApp, World};

const DOOR: &str = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33";
const VISIT: &str = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd34";

/// A value over several lines where it is too long for one.
fn shown(value: &Value, depth: usize, out: &mut String) {
    let short = value.to_string();
    let pad = " ".repeat(depth);
    let is_short = short.len() + depth <= 280;
    match value {
        Value::Array(items) if !is_short => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                let _ = write!(out, "{}\n{pad} ", if n == 0 { "" } else { "," });
                shown(item, depth + 1, out);
            }
            out.push(']');
        }
        Value::Object(members) if !is_short => {
            out.push('{');
            for (n, (name, member)) in members.iter().enumerate() {
                let _ = write!(out, "{}\n{pad} \"{name}\": ", if n == 0 { "" } else { "," });
                shown(member, depth + 1, out);
            }
            out.push('}');
        }
        _ => out.push_str(&short),
    }
}

/// What nobody can foresee (keys, salts) or read (cursors), left out.
fn masked(mut value: Value, cursors: &mut Vec<String>) -> Value {
    mask(&mut value, cursors);
    value
}

fn mask(value: &mut Value, cursors: &mut Vec<String>) {
    const SECRET: [&str; 6] = ["leaf", "root", "kid", "signature", "text", "digest"];
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                match (name.as_str(), &member) {
                    ("cursor", Value::String(cursor)) => {
                        let known = cursors.iter().position(|known| known == cursor);
                        let n = known.unwrap_or_else(|| {
                            cursors.push(cursor.clone());
                            cursors.len() - 1
                        });
                        *member = json!(format!("(cursor {})", n + 1));
                    }
                    (secret, Value::String(_)) if SECRET.contains(&secret) => *member = json!("…"),
                    ("hashes", Value::Array(_)) => *member = json!(["…"]),
                    _ => mask(member, cursors),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, cursors)),
        _ => {}
    }
}

struct Exchange {
    worker: Actor,
    phone: Phone,
    cursors: Vec<String>,
    out: String,
}

impl Exchange {
    fn say(&mut self, text: &str) {
        let _ = write!(self.out, "{text}\n\n");
    }

    fn show(&mut self, method: &str, path: &str, asked: &Value, answered: &Value) {
        for (lead, value) in [(format!("{method} {path}\n"), asked), (String::new(), answered)] {
            let masked = masked(value.clone(), &mut self.cursors);
            let kind = if lead.is_empty() { "json" } else { "http" };
            let _ = write!(self.out, "```{kind}\n{lead}");
            shown(&masked, 0, &mut self.out);
            self.out.push_str("\n```\n");
        }
        self.out.push('\n');
    }

    /// One sync, asked for as the guide says and taken in; the phone's hashes are then those of the answer.
    async fn sync(&mut self, more: Value) -> Value {
        let mut asked = match &self.phone.cursor {
            Some(cursor) => json!({"cursor": cursor, "held": self.phone.hashes()}),
            None => json!({}),
        };
        for (name, value) in more.as_object().unwrap() {
            asked[name] = value.clone();
        }
        let client = &self.worker.client;
        let page = client.post("/v1/sync", asked.clone()).await.expect(200).json;
        let again = client.post("/v1/sync", asked.clone()).await.expect(200).json;
        assert_eq!(page, again, "who did not get the answer gets it again");
        self.phone.apply(&page);
        assert_eq!(page["hashes"], self.phone.hashes());
        assert_eq!(page["has_more"], false);
        self.show("POST", "/v1/sync", &asked, &page);
        page
    }
}

#[actix_web::test]
async fn written_exchange_of_sync_is_one_that_happened() {
    let app = TestApp::start_with(Settings {
        poster: false,
        ..Settings::default()
    })
    .await;
    let world = World::build(&app).await;
    let campaign = world.campaign("S1").await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    let label = async |label: &str| {
        let door = json!({"booth_id": world.unit("S1-B1"), "label": label});
        let answer = admin.put(&format!("/v1/households/{DOOR}"), door).await;
        assert!(answer.status < 300, "{}", answer.text());
    };
    label("7").await;
    let mut exchange = Exchange {
        worker: world.actor(&app, Role::BoothWorker, "S1-B1").await,
        phone: Phone::default(),
        cursors: Vec::new(),
        out: String::new(),
    };
    app.posted().await;

    exchange.say("A booth worker's phone, new. It asks without a cursor, and is given all:");
    let first = exchange.sync(json!({})).await;
    assert_eq!(first["fresh"], true);
    assert_eq!(first["booths"], json!({"gained": [14], "lost": []}));

    exchange.say(
        "He goes from door to door without a network. Once there is one, the phone sends its outbox first:",
    );
    let visit = json!({"id": VISIT, "campaign_id": campaign, "booth_id": world.unit("S1-B1"), "household_id": DOOR,
                       "visited_at": "2026-11-23T11:00:00+05:30", "outcome": "met", "people_met": 2, "duration_s": 9});
    let batch = json!({"visits": [visit]});
    let client = exchange.worker.client.clone();
    let path = "/v1/visits/batch";
    let sent = client.post(path, batch.clone()).await.expect(200).json;
    assert_eq!(sent["results"][0]["status"], "created");
    exchange.show("POST", path, &batch, &sent);
    exchange
        .say("No answer came: the network was gone again. It sends the same, and may now empty its outbox:");
    let sent = client.post(path, batch.clone()).await.expect(200).json;
    assert_eq!(sent["results"][0]["status"], "duplicate");
    exchange.show("POST", path, &batch, &sent);

    label("7-A").await;
    exchange.say(
        "Somebody corrected the door's label meanwhile. The phone syncs from its cursor and says what it holds. Its visit comes with the flag, \
         and so does the door; the rest is as it was:",
    );
    let second = exchange.sync(json!({})).await;
    assert_eq!(second["households"][0]["label"], "7-A");
    assert_eq!(second["visits"][0]["flags"][0]["code"], "too_short");
    assert_eq!(second["units"], json!([]));

    let verdict = json!({"verdict": "correction_wanted", "reason": "Nine seconds?"});
    coordinator
        .post(&format!("/v1/visits/{VISIT}/review"), verdict)
        .await
        .expect(200);
    app.posted().await;
    app.clock.advance(TimeDelta::seconds(61));
    let now = app.clock.now();
    sign_heads(&app.state.db, &app.state.seals, now, true)
        .await
        .unwrap();
    exchange.say(
        "His coordinator looks at it and wants a correction. The next sync tells him why, and brings the receipt for which the phone asks: the visit's \
         entry in the journal and the way to a signed head (docs/seals.md tells how to check it):",
    );
    let third = exchange.sync(json!({"receipts": [VISIT]})).await;
    assert_eq!(third["visits"][0]["review_reason"], "Nine seconds?");
    assert_eq!(third["receipts"][0]["visit_id"], VISIT);
    assert!(third["receipts"][0]["head"].is_object());

    let place = json!({"tree": "organisation", "parent_id": world.unit("S1-M2"), "valid_from": "2026-11-23"});
    let path = format!("/v1/units/{}/placements", world.unit("S1-B1"));
    admin.post(&path, place).await.expect(201);
    let grants = format!("/v1/workers/{}/grants", exchange.worker.worker_id);
    let held = admin
        .get(&format!("/v1/workers/{}", exchange.worker.worker_id))
        .await;
    let old = held.expect(200).json["grants"][0]["id"].clone();
    let grant = json!({"role": "booth_worker", "unit_id": world.unit("S1-B2"), "valid_from": "2026-11-23"});
    admin.post(&grants, grant).await.expect(201);
    admin.delete(&format!("{grants}/{old}")).await.expect(204);
    exchange.say(
        "His booth is given to another mandal, and he is granted booth 15 instead of it. He loses booth 14, whose households the phone forgets, and \
         keeps his visit:",
    );
    let fourth = exchange.sync(json!({})).await;
    assert_eq!(fourth["booths"], json!({"gained": [15], "lost": [14]}));
    assert_eq!(fourth["gone"]["grants"], json!([old]));
    assert_eq!(exchange.phone.of("visits").len(), 1);

    exchange.say("Nothing happened since:");
    let idle = exchange.sync(json!({})).await;
    assert_eq!(idle["visits"], json!([]));
    let out = exchange.out;
    compare("docs/sync.md", &with_section("docs/sync.md", "exchange", &out));
}
