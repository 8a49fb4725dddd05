use sampark::access::Role;
use sampark::features::households::find_booths;
use sampark::platform::ids::{HouseholdId, UnitId};
use sampark::platform::wall::COMMAND;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{TestApp, World};

fn household(world: &World, booth: &str) -> Value {
    json!({"booth_id": world.unit(booth), "label": "12-A", "electors": 4,
           "location": {"lat": 26.846_712_3, "lon": 80.946_198_7}})
}

fn new_path() -> String {
    format!("/v1/households/{}", Uuid::new_v4())
}

async fn journalled(world: &World) -> i64 {
    world
        .db
        .query_one(
            "SELECT (SELECT count(*) FROM journal WHERE action = 'household.write')
                  + (SELECT count(*) FROM journal_inbox WHERE action = 'household.write')",
            &[],
        )
        .await
        .unwrap()
        .get(0)
}

#[actix_web::test]
async fn a_household_can_be_put_again_and_changed() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await.client;
    let (path, sent) = (new_path(), household(&world, "S1-B1"));
    let made = worker.put(&path, sent.clone()).await.expect(201);
    for field in ["booth_id", "label", "electors", "location"] {
        assert_eq!(made.json[field], sent[field], "{field}");
    }
    assert_eq!(made.header("etag"), Some("\"1\""));
    let again = worker.put(&path, sent.clone()).await.expect(200);
    assert_eq!((&again.body, again.header("etag")), (&made.body, Some("\"1\"")));
    assert_eq!(journalled(&world).await, 1);
    let changed = worker
        .put(&path, json!({"booth_id": world.unit("S1-B1"), "label": "12-B"}))
        .await
        .expect(200);
    assert_eq!(
        (&changed.json["version"], &changed.json["electors"]),
        (&json!(2), &Value::Null)
    );
    assert_eq!(changed.json["location"], Value::Null);
    assert_eq!(journalled(&world).await, 2);
    // Who says which version he replaces is held to it.
    worker
        .header("if-match", "\"1\"")
        .put(&path, sent.clone())
        .await
        .expect(412);
    worker
        .header("if-match", "\"2\"")
        .put(&path, sent.clone())
        .await
        .expect(200);
    worker
        .header("if-match", "\"1\"")
        .put(&new_path(), sent)
        .await
        .expect(412);
    let list = worker
        .get(&format!("/v1/booths/{}/households", world.unit("S1-B1")))
        .await
        .expect(200);
    assert_eq!(list.json["items"].as_array().unwrap().len(), 1);
    assert_eq!(list.json["items"][0]["version"], 3);
}

#[actix_web::test]
async fn households_are_listed_and_written_only_in_ones_booths() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    world.household("S1-B1").await;
    let list = format!("/v1/booths/{}/households", world.unit("S1-B1"));
    for (role, unit, reads, writes) in [
        (Role::BoothWorker, "S1-B1", 200, 201),
        (Role::BoothWorker, "S1-B2", 404, 422),
        (Role::MandalWorker, "S1-M1", 200, 201),
        (Role::MandalCoordinator, "S1-M2", 404, 422),
        (Role::ConstituencyCoordinator, "S1-AC1", 200, 403),
        (Role::Auditor, "IN", 200, 403),
        (Role::StateAdmin, "S2", 404, 422),
    ] {
        let client = world
            .actor(&app, role, unit)
            .await
            .client
            .header("x-request-id", "same");
        let answer = client.get(&list).await;
        assert_eq!(answer.status, reads, "{role:?} at {unit}");
        if reads == 404 {
            assert_eq!(answer.body, client.get("/v1/booths/999999/households").await.body);
        }
        let answer = client.put(&new_path(), household(&world, "S1-B1")).await;
        assert_eq!(answer.status, writes, "{role:?} at {unit}");
        if writes == 422 {
            assert_eq!(answer.json["errors"][0]["pointer"], "/booth_id");
            let mut absent = household(&world, "S1-B1");
            absent["booth_id"] = json!(999_999);
            assert_eq!(answer.body, client.put(&new_path(), absent).await.body);
        }
    }
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    // Only booths have households.
    assert_eq!(
        coordinator
            .get(&format!("/v1/booths/{}/households", world.unit("S1-M1")))
            .await
            .status,
        404
    );
    assert_eq!(
        coordinator
            .put(&new_path(), household(&world, "S1-M1"))
            .await
            .status,
        422
    );
    assert_eq!(app.anonymous().get(&list).await.status, 401);
    assert_eq!(
        coordinator
            .put("/v1/households/12", household(&world, "S1-B1"))
            .await
            .status,
        404
    );
}

#[actix_web::test]
async fn a_household_stays_in_its_booth_and_a_taken_id_tells_nothing() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let worker = world.actor(&app, Role::MandalWorker, "S1-M1").await.client;
    let mine = world.household("S1-B1").await;
    let theirs = world.household("S1-B4").await;
    let elsewhere = world.household("S2-B1").await;
    let put = async |id: Uuid| {
        worker
            .put(&format!("/v1/households/{id}"), household(&world, "S1-B2"))
            .await
    };
    let answer = put(mine).await.expect(409);
    assert!(
        answer.json["detail"]
            .as_str()
            .unwrap()
            .contains(&world.unit("S1-B1").to_string())
    );
    let answer = put(theirs).await.expect(409);
    assert!(!answer.text().contains("booth"), "{}", answer.text());
    // An id is unique within its state: another state's household is another household.
    put(elsewhere).await.expect(201);
    let (s1, s2) = (UnitId(world.unit("S1")), UnitId(world.unit("S2")));
    let id = HouseholdId(elsewhere);
    let booths = app
        .state
        .db
        .as_program(&COMMAND)
        .read(async |tx| Ok(find_booths(tx, &[(s1, id), (s2, id), (s2, HouseholdId(mine))]).await?))
        .await
        .unwrap();
    assert_eq!(booths.len(), 2);
    assert_eq!(booths[&(s1, id)], UnitId(world.unit("S1-B2")));
    assert_eq!(booths[&(s2, id)], UnitId(world.unit("S2-B1")));
}

#[actix_web::test]
async fn a_label_is_no_place_for_personal_numbers() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await.client;
    for (field, value, pointer) in [
        ("label", json!("98123 45678"), "/label"),
        ("label", json!("id 1234-5678-9012"), "/label"),
        ("label", json!(""), "/label"),
        ("label", json!("x".repeat(101)), "/label"),
        ("electors", json!(1001), "/electors"),
        ("location", json!({"lat": 91, "lon": 0}), "/location/lat"),
        ("location", json!({"lat": 1}), "/location/lon"),
        ("name", json!("Somebody"), "/name"),
    ] {
        let mut wrong = household(&world, "S1-B1");
        wrong[field] = value.clone();
        let answer = worker.put(&new_path(), wrong).await.expect(422);
        assert_eq!(answer.json["errors"][0]["pointer"], pointer, "{value}");
    }
    assert_eq!(journalled(&world).await, 0);
}

#[actix_web::test]
async fn from_above_the_mandal_a_door_is_known_to_a_hundred_metres() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await.client;
    worker
        .put(&new_path(), household(&world, "S1-B1"))
        .await
        .expect(201);
    for (role, unit, lat) in [
        (Role::BoothWorker, "S1-B1", 26.846_712_3),
        (Role::MandalCoordinator, "S1-M1", 26.846_712_3),
        (Role::DistrictCoordinator, "S1-D1", 26.847),
        (Role::StateAdmin, "S1", 26.847),
    ] {
        let client = world.actor(&app, role, unit).await.client;
        let list = client
            .get(&format!("/v1/booths/{}/households", world.unit("S1-B1")))
            .await
            .expect(200);
        assert_eq!(list.json["items"][0]["location"]["lat"], lat, "{role:?}");
    }
}

#[actix_web::test]
async fn pages_of_a_booth_hold_every_household_once() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await.client;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(world.household("S1-B1").await.to_string());
    }
    world.household("S1-B2").await;
    made.sort();
    let path = format!("/v1/booths/{}/households?limit=3", world.unit("S1-B1"));
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = worker.get(&format!("{path}{cursor}")).await.expect(200);
        seen.extend(
            page.json["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["id"].as_str().unwrap().to_owned()),
        );
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, made);
    // A cursor is good for its own booth alone.
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    let first = coordinator.get(&path).await.expect(200);
    let other = format!(
        "/v1/booths/{}/households?cursor={}",
        world.unit("S1-B2"),
        first.json["next_cursor"].as_str().unwrap()
    );
    assert_eq!(coordinator.get(&other).await.status, 400);
}

#[actix_web::test]
async fn twenty_phones_that_put_the_same_door_make_one() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await.client;
    let (path, sent) = (new_path(), household(&world, "S1-B1"));
    let puts = (0..20).map(|_| worker.put(&path, sent.clone()));
    let answers = futures_util::future::join_all(puts).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 1);
    assert!(answers.iter().all(|answer| answer.body == answers[0].body));
    assert_eq!(journalled(&world).await, 1);
}
