//! The exchange that docs/feed.md shows is one that happened.

use std::fmt::Write;

use sampark::access::Role;
use serde_json::{Value, json};

use crate::openapi::compare;
use crate::support::{Client, Settings, TestApp, World};

/// The part of a page between its marks, replaced.
pub fn with_section(path: &str, name: &str, section: &str) -> String {
    let file = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    let page = std::fs::read_to_string(file).unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = page
        .split_once(&begin)
        .unwrap_or_else(|| panic!("{path} has no mark {begin}"));
    let (_, after) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("{path} has no mark {end}"));
    format!("{before}{begin}{section}{end}{after}")
}

async fn ask(client: &Client, path: &str, out: &mut String) -> Value {
    let answer = client.get(path).await.expect(200).json;
    let shown = serde_json::to_string_pretty(&answer).unwrap();
    let _ = write!(out, "```http\nGET {path}\n```\n```json\n{shown}\n```\n");
    answer
}

#[actix_web::test]
async fn written_exchange_of_the_feed_is_one_that_happened() {
    let app = TestApp::start_with(Settings {
        poster: false,
        ..Settings::default()
    })
    .await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await.client;
    let service = json!({"name": "Dashboard", "contact": "IT cell", "unit_id": world.unit("S1"), "actions": ["feed.read", "unit.read"], "unit_ids": [world.unit("S1-M1")]});
    let secret = admin.post("/v1/services", service).await.expect(201).json["secret"].clone();
    let asked = json!({"grant_type": "client_credentials", "client_id": secret["client_id"], "client_secret": secret["client_secret"]});
    let token = app
        .anonymous()
        .post("/v1/auth/token", asked)
        .await
        .expect(200)
        .json;
    let service = app.with_token(token["access_token"].as_str().unwrap());
    app.posted().await;

    let mut out = String::from("The service starts from now, and keeps the cursor:\n\n");
    let start = ask(&service, "/v1/feed?from=now", &mut out).await;
    out.push_str("\nA worker records a visit in booth 14. The service asks again, ready to wait:\n\n");
    let id = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33";
    let sent = json!({"id": id, "campaign_id": campaign, "booth_id": world.unit("S1-B1"), "visited_at": "2026-11-23T11:00:00+05:30", "outcome": "met", "people_met": 2});
    worker.post("/v1/visits", sent).await.expect(201);
    app.posted().await;
    let cursor = |page: &Value| page["next_cursor"].as_str().unwrap().to_owned();
    let seen = ask(
        &service,
        &format!("/v1/feed?wait=30&cursor={}", cursor(&start)),
        &mut out,
    )
    .await;
    out.push_str("\nThe booth is moved to another mandal, and the visit is taken back. Of the visit, which lies outside the service's units now, nothing more is told:\n\n");
    let path = format!("/v1/units/{}/placements", world.unit("S1-B1"));
    let place = json!({"tree": "organisation", "parent_id": world.unit("S1-M2"), "valid_from": "2026-11-23"});
    admin.post(&path, place).await.expect(201);
    admin
        .post(&format!("/v1/visits/{id}/void"), json!({"reason": "twice"}))
        .await
        .expect(200);
    app.posted().await;
    let last = ask(
        &service,
        &format!("/v1/feed?wait=30&cursor={}", cursor(&seen)),
        &mut out,
    )
    .await;
    assert_eq!(last["items"][0]["subjects"][0]["standing"], "out_of_scope");
    out.push_str("\nIt is interrupted before it kept that cursor, and asks with the one before once more: it gets the same again.\n\n");
    let mut again = String::new();
    let repeated = ask(
        &service,
        &format!("/v1/feed?wait=30&cursor={}", cursor(&seen)),
        &mut again,
    )
    .await;
    assert_eq!(repeated, last);
    compare("docs/feed.md", &with_section("docs/feed.md", "exchange", &out));
}
