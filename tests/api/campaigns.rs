use sampark::access::Role;
use sampark::features::campaigns::{load_facts, versions};
use sampark::platform::ids::CampaignId;
use serde_json::{Value, json};

use crate::support::{Client, TestApp, World};

fn new_campaign(unit_id: i32) -> Value {
    json!({
        "name": "Sampark Abhiyan", "unit_id": unit_id, "starts_on": "2026-11-01", "ends_on": "2026-12-31",
        "questions": [
            {"key": "heard", "type": "bool", "required": true, "labels": {"en": "Heard of us?", "hi": "सुना है?"}},
            {"key": "need", "type": "choice", "options": ["road", "water"], "labels": {"en": "Need?"},
             "option_labels": {"road": {"hi": "सड़क"}}},
            {"key": "trust", "type": "scale", "min": 0, "max": 10, "labels": {"en": "Trust?"}}
        ],
        "issues": [{"code": "water", "labels": {"en": "Water", "hi": "पानी"}}],
        "collect_support": true,
        "targets": {"doors_reached": 50000}
    })
}

async fn journalled(world: &World, action: &str) -> i64 {
    world
        .db
        .query_one(
            "SELECT (SELECT count(*) FROM journal WHERE action = $1) + (SELECT count(*) FROM journal_inbox WHERE action = $1)",
            &[&action],
        )
        .await
        .unwrap()
        .get(0)
}

async fn listed(client: &Client, path: &str) -> Vec<i64> {
    let answer = client.get(path).await.expect(200);
    let items = answer.json["items"].as_array().unwrap();
    items.iter().map(|item| item["id"].as_i64().unwrap()).collect()
}

#[actix_web::test]
async fn a_campaign_is_made_read_back_and_journalled() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    let sent = new_campaign(world.unit("S1"));
    let made = admin.post("/v1/campaigns", sent.clone()).await.expect(201);
    let path = made.header("location").unwrap().to_owned();
    assert_eq!(path, format!("/v1/campaigns/{}", made.json["id"]));
    assert_eq!(made.header("etag"), Some("\"1\""));
    for field in [
        "name",
        "unit_id",
        "starts_on",
        "ends_on",
        "issues",
        "collect_support",
        "targets",
    ] {
        assert_eq!(made.json[field], sent[field], "{field}");
    }
    assert_eq!(made.json["questions"][2]["max"], 10);
    assert_eq!(made.json["questions"][1]["option_labels"]["road"]["hi"], "सड़क");
    let read = admin.get(&path).await.expect(200);
    assert_eq!((&read.body, read.header("etag")), (&made.body, Some("\"1\"")));
    let unchanged = admin.header("if-none-match", "\"1\"").get(&path).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(journalled(&world, "campaign.write").await, 1);
}

#[actix_web::test]
async fn a_campaign_is_seen_above_below_and_across_its_unit_and_nowhere_else() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let mut ids = std::collections::BTreeMap::new();
    for unit in ["IN", "S1", "S1-AC1", "S1-AC2", "S1-M1", "S2"] {
        ids.insert(unit, world.campaign(unit).await);
    }
    let cases = [
        (Role::BoothWorker, "S1-B1", vec!["IN", "S1", "S1-AC1", "S1-M1"]),
        (Role::BoothWorker, "S1-B5", vec!["IN", "S1", "S1-AC2"]),
        (Role::MandalWorker, "S1-M1", vec!["IN", "S1", "S1-AC1", "S1-M1"]),
        (
            Role::MandalCoordinator,
            "S1-M2",
            vec!["IN", "S1", "S1-AC1", "S1-AC2"],
        ),
        (
            Role::ConstituencyCoordinator,
            "S1-AC1",
            vec!["IN", "S1", "S1-AC1", "S1-M1"],
        ),
        (
            Role::ConstituencyCoordinator,
            "S1-AC2",
            vec!["IN", "S1", "S1-AC2"],
        ),
        (
            Role::StateAdmin,
            "S1",
            vec!["IN", "S1", "S1-AC1", "S1-AC2", "S1-M1"],
        ),
        (Role::BoothWorker, "S2-B1", vec!["IN", "S2"]),
        (
            Role::NationalAdmin,
            "IN",
            vec!["IN", "S1", "S1-AC1", "S1-AC2", "S1-M1", "S2"],
        ),
    ];
    for (role, unit, seen) in cases {
        let client = world
            .actor(&app, role, unit)
            .await
            .client
            .header("x-request-id", "same");
        let absent = client.get("/v1/campaigns/999999").await.expect(404);
        let list = listed(&client, "/v1/campaigns").await;
        for (at, id) in &ids {
            let answer = client.get(&format!("/v1/campaigns/{id}")).await;
            let visible = seen.contains(at);
            assert_eq!(
                answer.status,
                if visible { 200 } else { 404 },
                "{role:?} at {unit}: {at}"
            );
            assert_eq!(
                list.contains(&i64::from(*id)),
                visible,
                "{role:?} at {unit}: {at}"
            );
            if !visible {
                assert_eq!(answer.body, absent.body);
            }
        }
    }
    let nobody = world.worker(&app, "S1-B1").await.client;
    assert_eq!(nobody.get("/v1/campaigns").await.status, 403);
    assert_eq!(app.anonymous().get("/v1/campaigns").await.status, 401);
}

#[actix_web::test]
async fn campaigns_are_listed_by_pages_and_by_day() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    for n in 0..5 {
        let mut campaign = new_campaign(world.unit("S1"));
        campaign["starts_on"] = json!(format!("2026-11-{:02}", 10 + n));
        campaign["ends_on"] = json!(format!("2026-11-{:02}", 10 + n));
        if n == 4 {
            campaign["ends_on"] = Value::Null;
        }
        admin.post("/v1/campaigns", campaign).await.expect(201);
    }
    let all = listed(&admin, "/v1/campaigns").await;
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin
            .get(&format!("/v1/campaigns?limit=2{cursor}"))
            .await
            .expect(200);
        paged.extend(
            page.json["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["id"].as_i64().unwrap()),
        );
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((paged.len(), &paged), (5, &all));
    assert_eq!(listed(&admin, "/v1/campaigns?on=2026-11-12").await, all[2..3]);
    assert_eq!(listed(&admin, "/v1/campaigns?on=2027-11-12").await, all[4..5]);
    assert_eq!(admin.get("/v1/campaigns?cursor=xxxx").await.status, 400);
    assert_eq!(admin.get("/v1/campaigns?limit=501").await.status, 422);
    assert_eq!(admin.get("/v1/campaigns?on=tomorrow").await.status, 422);
}

#[actix_web::test]
async fn writing_takes_campaign_write_at_the_unit() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let id = world.campaign("S1").await;
    let path = format!("/v1/campaigns/{id}");
    let patch = json!({"name": "Renamed"});
    for (role, unit, posts, patches) in [
        (Role::BoothWorker, "S1-B1", 422, 403),
        (Role::MandalCoordinator, "S1-M1", 422, 403),
        (Role::Auditor, "S1", 403, 403),
        (Role::StateAdmin, "S2", 422, 404),
        (Role::StateAdmin, "S1", 201, 200),
    ] {
        let client = world.actor(&app, role, unit).await.client;
        let answer = client.post("/v1/campaigns", new_campaign(world.unit("S1"))).await;
        assert_eq!(answer.status, posts, "{role:?} at {unit}");
        let answer = client
            .header("if-match", "\"1\"")
            .patch(&path, patch.clone())
            .await;
        assert_eq!(answer.status, patches, "{role:?} at {unit}");
    }
}

#[actix_web::test]
async fn other_questions_are_a_new_version_and_the_old_one_is_kept() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    let made = admin
        .post("/v1/campaigns", new_campaign(world.unit("S1")))
        .await
        .expect(201);
    let path = made.header("location").unwrap().to_owned();
    let questions = json!([{"key": "name_of_road", "type": "text", "labels": {"en": "Which road?"}}]);
    let patched = admin
        .header("if-match", "\"1\"")
        .patch(&path, json!({"questions": questions}))
        .await
        .expect(200);
    assert_eq!(
        (&patched.json["version"], &patched.json["question_version"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(patched.json["questions"][0]["key"], "name_of_road");
    let old = admin.get(&format!("{path}?question_version=1")).await.expect(200);
    assert_eq!(old.json["questions"], made.json["questions"]);
    assert_eq!(old.json["question_version"], 1);
    assert_eq!(admin.get(&format!("{path}?question_version=3")).await.status, 404);
    // Dates and support change the campaign, not its questions.
    let patched = admin
        .header("if-match", "\"2\"")
        .patch(
            &path,
            json!({"ends_on": null, "collect_support": false, "questions": questions}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&patched.json["version"], &patched.json["question_version"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(patched.json["ends_on"], Value::Null);

    let id = CampaignId(i32::try_from(made.json["id"].as_i64().unwrap()).unwrap());
    let (facts, known) = app
        .state
        .db
        .read(async |tx| {
            let ids = [id, CampaignId(999_999)];
            Ok((load_facts(tx, &ids).await?, versions(tx, &ids).await?))
        })
        .await
        .unwrap();
    assert_eq!(known, [(id, 3)]);
    let [facts] = facts.as_slice() else {
        panic!("{facts:?}")
    };
    assert_eq!(
        (facts.version, facts.question_version, facts.collect_support),
        (3, 2, false)
    );
    assert_eq!(facts.questions[&1].len(), 3);
    assert_eq!(facts.questions[&2][0].key, "name_of_road");
    assert_eq!(facts.issue_codes.iter().collect::<Vec<_>>(), ["water"]);
    assert_eq!(facts.ends_on, None);
}

#[actix_web::test]
async fn a_change_names_the_version_that_it_changes() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    let path = format!("/v1/campaigns/{}", world.campaign("S1").await);
    let patch = json!({"name": "Renamed"});
    assert_eq!(admin.patch(&path, patch.clone()).await.status, 428);
    assert_eq!(
        admin
            .header("if-match", "\"2\"")
            .patch(&path, patch.clone())
            .await
            .status,
        412
    );
    let changed = admin
        .header("if-match", "\"1\"")
        .patch(&path, patch.clone())
        .await
        .expect(200);
    assert_eq!(changed.header("etag"), Some("\"2\""));
    assert_eq!(
        admin
            .header("if-match", "\"1\"")
            .patch(&path, patch.clone())
            .await
            .status,
        412
    );
    // What changes nothing is no new version and no entry.
    let same = admin
        .header("if-match", "\"2\"")
        .patch(&path, patch)
        .await
        .expect(200);
    assert_eq!(same.header("etag"), Some("\"2\""));
    assert_eq!(journalled(&world, "campaign.write").await, 1);
}

#[actix_web::test]
async fn every_field_that_is_wrong_is_named_at_once() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    let mut wrong = new_campaign(world.unit("S1"));
    wrong["name"] = json!("");
    wrong["ends_on"] = json!("2026-10-31");
    wrong["questions"][1]["options"] = json!([]);
    wrong["issues"] = json!([{"code": "Water", "labels": {"en": "Water"}}]);
    wrong["targets"] = json!({"doors_reached": -1});
    let answer = admin.post("/v1/campaigns", wrong).await.expect(422);
    let pointers: Vec<_> = answer.json["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["pointer"])
        .collect();
    assert_eq!(
        pointers,
        [
            "/name",
            "/ends_on",
            "/questions/1/options",
            "/questions/1/option_labels/road",
            "/issues/0/code",
            "/targets/doors_reached"
        ]
    );
    let path = format!("/v1/campaigns/{}", world.campaign("S1").await);
    for (patch, pointer) in [
        (json!({"unit_id": 1}), "/unit_id"),
        (json!({"name": null}), "/name"),
        (json!({"ends_on": "2026-10-31"}), "/ends_on"),
    ] {
        let answer = admin
            .header("if-match", "\"1\"")
            .patch(&path, patch)
            .await
            .expect(422);
        assert_eq!(answer.json["errors"][0]["pointer"], pointer);
    }
}

#[actix_web::test]
async fn a_resent_post_gets_the_first_answer() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    let keyed = admin.header("idempotency-key", "k-1");
    let sent = new_campaign(world.unit("S1"));
    let first = keyed.post("/v1/campaigns", sent.clone()).await.expect(201);
    let again = keyed.post("/v1/campaigns", sent.clone()).await.expect(201);
    assert_eq!(
        (&again.body, again.header("location")),
        (&first.body, first.header("location"))
    );
    let mut other = sent;
    other["name"] = json!("Another");
    assert_eq!(keyed.post("/v1/campaigns", other).await.status, 422);
    assert_eq!(listed(&admin, "/v1/campaigns").await.len(), 1);
}
