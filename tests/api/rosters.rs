//! Rosters imported whole or not at all; the examples of workers' operations.

use sampark::access::Role;
use serde_json::{Value, json};

use crate::support::{Answer, Client, TestApp, World};
use crate::workers::{journalled, listed, phone_of};

pub async fn import(client: &Client, file: &str) -> Answer {
    import_to(client, "/v1/imports/workers", file).await
}

async fn import_to(client: &Client, path: &str, file: &str) -> Answer {
    client
        .send("POST", path, Some(("text/csv", file.as_bytes().to_vec())))
        .await
}

#[actix_web::test]
async fn a_roster_is_imported_once_however_often_it_is_sent() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    let file = "phone,name,unit_code,role,language,valid_from\n\
        +919812345671,Asha Devi,S1-B1,booth_worker,hi,2026-11-01\n\
        +919812345671,Asha Devi,S1-B2,booth_worker,hi,2026-11-01\n\
        +919812345672,\"Ravi, जी\",S1-M2,mandal_coordinator,,\n\
        +919812345673,Meena,S1-M1,,en,\n";
    let counts = |json: &Value| {
        ["rows", "workers_created", "workers_updated", "grants_created"]
            .map(|name| json[name].as_i64().unwrap())
    };
    let checked = import_to(&admin, "/v1/imports/workers?dry_run=true", file)
        .await
        .expect(200);
    assert_eq!(
        (counts(&checked.json), &checked.json["dry_run"]),
        ([4, 3, 0, 3], &json!(true))
    );
    assert_eq!(listed(&admin, "/v1/workers").await.len(), 1);
    assert_eq!(counts(&import(&admin, file).await.expect(200).json), [4, 3, 0, 3]);
    let before = admin.get("/v1/workers").await.expect(200);
    let asha = &before.json["items"][1];
    assert_eq!(
        (&asha["phone"], &asha["unit_id"]),
        (&json!("+919812345671"), &json!(world.unit("S1-B1")))
    );
    assert_eq!(asha["grants"][1]["unit_id"], world.unit("S1-B2"));
    assert_eq!(asha["grants"][1]["valid_from"], "2026-11-01");
    assert_eq!(before.json["items"][2]["name"], "Ravi, जी");
    assert_eq!(before.json["items"][2]["grants"][0]["valid_from"], "2026-11-23");
    assert_eq!(counts(&import(&admin, file).await.expect(200).json), [4, 0, 0, 0]);
    assert_eq!(admin.get("/v1/workers").await.body, before.body);
    assert_eq!(journalled(&world, "worker.import").await, 1);
    let changed = file.replace("Meena", "Meena Kumari");
    assert_eq!(
        counts(&import(&admin, &changed).await.expect(200).json),
        [4, 0, 1, 0]
    );
}

#[actix_web::test]
async fn a_roster_with_errors_changes_nothing_and_names_them_all() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let stranger = world.worker(&app, "S2-B1").await;
    let taken = phone_of(&world, stranger.worker_id).await;
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    let file = format!(
        "phone,name,unit_code,role,language,valid_from\n\
        +919812345671,Asha,S1-B1,booth_worker,hi,\n\
        9812345672,Ravi,S1-B1,,,\n\
        +14155552671,Joe,S1-B1,,,\n\
        +919812345673,,S1-B1,king,x,yesterday\n\
        +919812345674,Meena,S1-B4,,,\n\
        +919812345675,Sita,S1-B9,,,\n\
        +919812345676,Gita,S1-B1,mandal_worker,,\n\
        {taken},Hari,S1-B1,,,\n\
        +919812345671,Usha,S1-B2,,hi,\n"
    );
    let answer = import(&coordinator, &file).await.expect(422);
    assert_eq!(answer.json["code"], "import_rejected");
    let errors = answer.json["errors"].as_array().unwrap();
    let found: Vec<_> = errors
        .iter()
        .map(|error| {
            assert!(!error["reason"].as_str().unwrap().is_empty());
            (
                error["line"].as_i64().unwrap(),
                error["column"].as_str().unwrap(),
                error["code"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (3, "phone", "bad_phone"),
            (4, "phone", "prefix_not_allowed"),
            (5, "name", "bad_text"),
            (5, "role", "unknown_role"),
            (5, "language", "bad_language"),
            (5, "valid_from", "bad_day"),
            (6, "unit_code", "unknown_unit"),
            (7, "unit_code", "unknown_unit"),
            (8, "role", "wrong_level"),
            (9, "phone", "phone_taken"),
            (10, "name", "contradiction"),
        ]
    );
    assert_eq!(listed(&coordinator, "/v1/workers").await.len(), 1);
    assert_eq!(journalled(&world, "worker.import").await, 0);
    // Of the same bytes: what lies outside his grants and what does not exist.
    assert_eq!(errors[6]["reason"], errors[7]["reason"]);
}

#[actix_web::test]
async fn an_import_takes_the_right_and_a_file_that_can_be_read() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let file = "phone,name,unit_code\n+919812345671,Asha,S1-B1\n";
    let booth = world.actor(&app, Role::BoothWorker, "S1-B1").await.client;
    assert_eq!(import(&booth, file).await.status, 403);
    assert_eq!(import(&app.anonymous(), file).await.status, 401);
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    assert_eq!(admin.post("/v1/imports/workers", json!({})).await.status, 415);
    assert_eq!(import(&admin, "phone,name\n").await.status, 422);
    assert_eq!(
        import(&admin, &"x".repeat(16 * 1024 * 1024 + 1)).await.status,
        413
    );
    assert_eq!(
        import_to(&admin, "/v1/imports/workers?dry=1", file).await.status,
        422
    );
    // A role that he may not give there.
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await;
    world
        .grant(coordinator.worker_id, Role::Auditor, "S1", "2026-01-01", None)
        .await;
    app.state.access.forget();
    let file = "phone,name,unit_code,role\n+919812345671,Asha,S1-D1,district_coordinator\n";
    let answer = import(&coordinator.client, file).await.expect(422);
    assert_eq!(answer.json["errors"][0]["code"], "unknown_unit");
}

#[actix_web::test]
async fn a_large_roster_is_imported_in_one_go() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    let mut file = "phone,name,unit_code,role\n".to_owned();
    for n in 0..20_000 {
        file.push_str(&format!(
            "+9170000{n:05},Worker {n},S1-B{},booth_worker\n",
            n % 5 + 1
        ));
    }
    let answer = import(&admin, &file).await.expect(200);
    assert_eq!(
        (&answer.json["workers_created"], &answer.json["grants_created"]),
        (&json!(20_000), &json!(20_000))
    );
    assert_eq!(import(&admin, &file).await.expect(200).json["grants_created"], 0);
}

#[actix_web::test]
async fn the_examples_of_the_document_are_true() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    let document = app.anonymous().get("/openapi.json").await.expect(200).json;
    let schemas = &document["components"]["schemas"];
    let example = |name: &str| -> Value {
        let properties = schemas[name]["properties"].as_object().unwrap();
        let examples = properties.iter().map(|(field, schema)| {
            let named = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next());
            let schema = named.map_or(schema, |name| &schemas[name]);
            (field.clone(), schema["example"].clone())
        });
        // A field without an example is left out.
        Value::Object(examples.filter(|(_, example)| !example.is_null()).collect())
    };
    let with_unit = |mut body: Value, field: &str, unit: &str| {
        body[field] = json!(world.unit(unit));
        body
    };
    let worker = admin
        .post("/v1/workers", with_unit(example("NewWorker"), "unit_id", "S1-M1"))
        .await
        .expect(201);
    let path = worker.header("location").unwrap().to_owned();
    let grant = with_unit(example("NewGrant"), "unit_id", "S1-B1");
    let grant =
        json!({"role": "booth_worker", "unit_id": grant["unit_id"], "valid_from": grant["valid_from"]});
    admin.post(&format!("{path}/grants"), grant).await.expect(201);
    let patch = with_unit(example("WorkerPatch"), "unit_id", "S1-M1");
    admin
        .header("if-match", "\"2\"")
        .patch(&path, patch)
        .await
        .expect(200);
    let mut campaign = with_unit(example("NewCampaign"), "unit_id", "S1");
    campaign["questions"] = json!([example("Question")]);
    campaign["issues"] = json!([example("Issue")]);
    let campaign = admin.post("/v1/campaigns", campaign).await.expect(201);
    let path = campaign.header("location").unwrap().to_owned();
    admin
        .header("if-match", "\"1\"")
        .patch(&path, example("CampaignPatch"))
        .await
        .expect(200);
    let mut household = with_unit(example("HouseholdSent"), "booth_id", "S1-B1");
    household["location"] = example("Location");
    let put = &document["paths"]["/v1/households/{id}"]["put"];
    let id = put["parameters"][0]["example"].as_str().unwrap();
    admin
        .put(&format!("/v1/households/{id}"), household)
        .await
        .expect(201);
    let file =
        document["paths"]["/v1/imports/workers"]["post"]["requestBody"]["content"]["text/csv"]["example"]
            .as_str()
            .unwrap();
    // The number of the example is in use by now, under another name; the rows themselves are good.
    import(&admin, &file.replace("5678,", "5670,")).await.expect(200);
}
