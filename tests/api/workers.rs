use std::collections::BTreeSet;

use sampark::access::Role;
use serde_json::{Value, json};

use crate::rosters::import;
use crate::support::{Actor, Client, TestApp, World};

pub fn new_worker(world: &World, phone: &str, unit: &str) -> Value {
    json!({"name": "Asha Devi", "phone": phone, "unit_id": world.unit(unit), "language": "hi",
           "origin": {"party": "Example Party", "joined_on": "2024-03-01"}})
}

pub fn new_grant(world: &World, role: &str, unit: &str) -> Value {
    json!({"role": role, "unit_id": world.unit(unit), "valid_from": "2026-11-23"})
}

pub fn path_of(actor: &Actor) -> String {
    format!("/v1/workers/{}", actor.worker_id)
}

pub async fn listed(client: &Client, path: &str) -> BTreeSet<i32> {
    let answer = client.get(path).await.expect(200);
    let items = answer.json["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| i32::try_from(item["id"].as_i64().unwrap()).unwrap())
        .collect()
}

pub async fn journalled(world: &World, action: &str) -> i64 {
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

pub async fn phone_of(world: &World, id: i32) -> String {
    world.phone_of(id).await
}

#[actix_web::test]
async fn a_worker_is_put_on_the_roster_read_back_and_journalled() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    let sent = new_worker(&world, "+919812345678", "S1-B1");
    let made = coordinator.post("/v1/workers", sent.clone()).await.expect(201);
    let path = made.header("location").unwrap().to_owned();
    for field in ["name", "phone", "unit_id", "language", "origin"] {
        assert_eq!(made.json[field], sent[field], "{field}");
    }
    assert_eq!(
        (&made.json["active"], &made.json["grants"]),
        (&json!(true), &json!([]))
    );
    let read = coordinator.get(&path).await.expect(200);
    assert_eq!((&read.body, read.header("etag")), (&made.body, Some("\"1\"")));
    assert_eq!(
        coordinator
            .header("if-none-match", "\"1\"")
            .get(&path)
            .await
            .status,
        304
    );
    assert_eq!(journalled(&world, "worker.write").await, 1);
}

#[actix_web::test]
async fn a_worker_is_seen_by_himself_and_where_his_home_or_a_live_grant_lies() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let target = world.worker(&app, "S1-B1").await;
    world
        .grant(target.worker_id, Role::MandalWorker, "S1-M2", "2026-01-01", None)
        .await;
    world
        .grant(
            target.worker_id,
            Role::BoothWorker,
            "S2-B1",
            "2026-01-01",
            Some("2026-02-01"),
        )
        .await;
    let colleague = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let cases = [
        (Role::MandalCoordinator, "S1-M1", true),
        (Role::MandalCoordinator, "S1-M2", true),
        (Role::ConstituencyCoordinator, "S1-AC1", true),
        (Role::StateAdmin, "S1", true),
        // The grant there is over, and the mandal lies elsewhere.
        (Role::StateAdmin, "S2", false),
        (Role::ConstituencyCoordinator, "S2-AC1", false),
    ];
    for (role, unit, seen) in cases {
        let viewer = world
            .actor(&app, role, unit)
            .await
            .client
            .header("x-request-id", "same");
        let answer = viewer.get(&path_of(&target)).await;
        assert_eq!(answer.status, if seen { 200 } else { 404 }, "{role:?} at {unit}");
        assert_eq!(
            listed(&viewer, "/v1/workers?limit=500")
                .await
                .contains(&target.worker_id),
            seen
        );
        if !seen {
            assert_eq!(answer.body, viewer.get("/v1/workers/999999").await.body);
        }
    }
    let colleague_client = colleague.client.header("x-request-id", "same");
    assert_eq!(colleague_client.get(&path_of(&colleague)).await.status, 200);
    let hidden = colleague_client.get(&path_of(&target)).await.expect(404);
    assert_eq!(hidden.body, colleague_client.get("/v1/workers/999999").await.body);
    assert_eq!(colleague_client.get("/v1/workers").await.status, 403);
    assert_eq!(
        target.client.get(&path_of(&target)).await.expect(200).json["grants"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    // Of the grants, a reader sees those in his scope.
    let viewer = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    assert_eq!(viewer.get(&path_of(&target)).await.json["grants"], json!([]));
}

#[actix_web::test]
async fn a_phone_is_whole_only_for_its_owner_and_for_who_manages_him() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let target = world.worker(&app, "S1-B1").await;
    world
        .grant(target.worker_id, Role::MandalWorker, "S1-M2", "2026-01-01", None)
        .await;
    let phone = phone_of(&world, target.worker_id).await;
    let masked = format!("******{}", &phone[phone.len() - 4..]);
    let shown = async |client: Client| client.get(&path_of(&target)).await.expect(200).json["phone"].clone();
    assert_eq!(shown(target.client.clone()).await, phone);
    for (role, unit, whole) in [
        (Role::MandalCoordinator, "S1-M1", true),
        (Role::StateAdmin, "S1", true),
        // Sees him by his grant there, but his home is elsewhere.
        (Role::MandalCoordinator, "S1-M2", false),
        (Role::Auditor, "S1", false),
        (Role::ConstituencyCoordinator, "S1-AC1", false),
    ] {
        let client = world.actor(&app, role, unit).await.client;
        let listed = client.get("/v1/workers?limit=500").await.expect(200);
        assert_eq!(listed.text().contains(&phone), whole, "{role:?} at {unit}");
        assert_eq!(
            shown(client).await,
            if whole { &phone } else { &masked }.as_str(),
            "{role:?} at {unit}"
        );
    }
}

#[actix_web::test]
async fn writing_takes_worker_write_at_the_home_unit() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let target = world.worker(&app, "S1-B1").await;
    world
        .grant(target.worker_id, Role::BoothWorker, "S1-B4", "2026-01-01", None)
        .await;
    for (n, (role, unit, posts, patches)) in [
        (Role::BoothWorker, "S1-B1", 403, 404),
        (Role::Auditor, "S1", 403, 403),
        (Role::MandalCoordinator, "S1-M2", 422, 403),
        (Role::StateAdmin, "S2", 422, 404),
        (Role::DistrictCoordinator, "S1-D1", 201, 200),
    ]
    .into_iter()
    .enumerate()
    {
        let client = world.actor(&app, role, unit).await.client;
        let new = new_worker(&world, &format!("+91981234560{n}"), "S1-B1");
        assert_eq!(
            client.post("/v1/workers", new).await.status,
            posts,
            "{role:?} at {unit}"
        );
        let answer = client
            .header("if-match", "\"1\"")
            .patch(&path_of(&target), json!({"name": "X"}))
            .await;
        assert_eq!(answer.status, patches, "{role:?} at {unit}");
    }
    let answer = target
        .client
        .header("if-match", "\"2\"")
        .patch(&path_of(&target), json!({"name": "Y"}))
        .await;
    assert_eq!(answer.status, 403);
}

#[actix_web::test]
async fn nobody_changes_a_worker_who_holds_more_than_he_could_give() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await;
    let admin = world.worker(&app, "S1-B1").await;
    world
        .grant(admin.worker_id, Role::StateAdmin, "S1", "2026-01-01", None)
        .await;
    let patch = json!({"phone": "+919812345678"});
    let client = coordinator.client.header("if-match", "\"1\"");
    client.patch(&path_of(&admin), patch.clone()).await.expect(403);
    let file = format!(
        "phone,name,unit_code\n{},Renamed,S1-B1\n",
        phone_of(&world, admin.worker_id).await
    );
    import(&coordinator.client, &file).await.expect(422);
    // Himself he may change, whatever else he holds.
    world
        .grant(coordinator.worker_id, Role::Auditor, "S2", "2026-01-01", None)
        .await;
    let himself = client.patch(&path_of(&coordinator), patch).await.expect(200);
    assert_eq!(himself.json["phone"], "+919812345678");
}

#[actix_web::test]
async fn a_change_names_the_version_that_it_changes_and_is_checked() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    let target = world.worker(&app, "S1-B1").await;
    let path = path_of(&target);
    let patch = json!({"language": "en-IN", "origin": null, "unit_id": world.unit("S1-B4")});
    assert_eq!(admin.patch(&path, patch.clone()).await.status, 428);
    assert_eq!(
        admin
            .header("if-match", "\"7\"")
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
        (&changed.json["language"], &changed.json["unit_id"]),
        (&json!("en-IN"), &json!(world.unit("S1-B4")))
    );
    let same = admin
        .header("if-match", "\"2\"")
        .patch(&path, patch)
        .await
        .expect(200);
    assert_eq!(same.header("etag"), Some("\"2\""));
    assert_eq!(journalled(&world, "worker.write").await, 1);
    for (patch, pointer) in [
        (json!({"name": ""}), "/name"),
        (json!({"name": null}), "/name"),
        (json!({"phone": "9812345678"}), "/phone"),
        (json!({"phone": "+14155552671"}), "/phone"),
        (json!({"language": "h"}), "/language"),
        (json!({"origin": {"party": " "}}), "/origin/party"),
        (json!({"unit_id": world.unit("S2-B1")}), "/unit_id"),
        (json!({"role": "state_admin"}), "/role"),
    ] {
        let answer = admin
            .header("if-match", "\"2\"")
            .patch(&path, patch.clone())
            .await
            .expect(422);
        assert_eq!(answer.json["errors"][0]["pointer"], pointer, "{patch}");
    }
}

#[actix_web::test]
async fn a_phone_belongs_to_one_worker_and_tells_only_who_may_see_him() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let (mine, others) = (
        world.worker(&app, "S1-B1").await,
        world.worker(&app, "S2-B1").await,
    );
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    for (other, shown) in [(&mine, json!(mine.worker_id)), (&others, Value::Null)] {
        let phone = phone_of(&world, other.worker_id).await;
        let answer = admin
            .post("/v1/workers", new_worker(&world, &phone, "S1-B1"))
            .await
            .expect(409);
        assert_eq!(answer.json["worker_id"], shown);
        let target = world.worker(&app, "S1-B2").await;
        let patched = admin
            .header("if-match", "\"1\"")
            .patch(&path_of(&target), json!({"phone": phone}))
            .await;
        assert_eq!((patched.status, &patched.json["worker_id"]), (409, &shown));
    }
}

#[actix_web::test]
async fn a_deactivated_worker_is_signed_out_at_once() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    let target = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let path = path_of(&target);
    target.client.get(&path).await.expect(200);
    coordinator
        .header("if-match", "\"1\"")
        .patch(&path, json!({"active": false}))
        .await
        .expect(200);
    assert_eq!(target.client.get(&path).await.status, 401);
    coordinator
        .header("if-match", "\"2\"")
        .patch(&path, json!({"active": true}))
        .await
        .expect(200);
    assert_eq!(target.client.get(&path).await.status, 200);
}

#[actix_web::test]
async fn a_role_is_given_felt_and_ended_and_its_row_is_kept() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    let target = world.worker(&app, "S1-B1").await;
    let path = path_of(&target);
    assert_eq!(target.client.get("/v1/campaigns").await.status, 403);
    let given = coordinator
        .post(
            &format!("{path}/grants"),
            new_grant(&world, "booth_worker", "S1-B1"),
        )
        .await
        .expect(201);
    assert_eq!(given.header("location"), Some(path.as_str()));
    assert_eq!(target.client.get("/v1/campaigns").await.status, 200);
    let worker = coordinator.get(&path).await.expect(200);
    assert_eq!(
        (&worker.json["grants"][0], worker.header("etag")),
        (&given.json, Some("\"2\""))
    );

    let grant = format!("{path}/grants/{}", given.json["id"]);
    let ended = coordinator.delete(&grant).await.expect(204);
    assert!(ended.body.is_empty());
    assert_eq!(target.client.get("/v1/campaigns").await.status, 403);
    let worker = coordinator.get(&path).await.expect(200);
    assert!(worker.json["grants"][0]["ended_at"].is_string());
    assert_eq!(worker.header("etag"), Some("\"3\""));
    // Again: nothing more happens.
    coordinator.delete(&grant).await.expect(204);
    assert_eq!(coordinator.get(&path).await.header("etag"), Some("\"3\""));
    assert_eq!(journalled(&world, "grant.write").await, 2);
    // What was ended can be given anew.
    coordinator
        .post(
            &format!("{path}/grants"),
            new_grant(&world, "booth_worker", "S1-B1"),
        )
        .await
        .expect(201);
}

#[actix_web::test]
async fn one_gives_only_what_one_holds_where_one_holds_it() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let target = world.worker(&app, "S1-B1").await;
    let path = format!("{}/grants", path_of(&target));
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    let auditor = world.actor(&app, Role::Auditor, "S1").await.client;
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    for (client, role, unit, status, why) in [
        (&coordinator, "booth_worker", "S1-B2", 201, "his mandal"),
        (&coordinator, "mandal_coordinator", "S1-M1", 201, "his own role"),
        (&coordinator, "booth_worker", "S1-B4", 422, "another mandal"),
        (&coordinator, "booth_worker", "S1-M1", 422, "wrong level"),
        (&coordinator, "district_coordinator", "S1-D1", 422, "above him"),
        (&coordinator, "service", "S1-M1", 422, "not for people"),
        (&auditor, "booth_worker", "S1-B3", 403, "an auditor gives nothing"),
        (&admin, "state_admin", "S1", 201, "his own role"),
        (&admin, "national_admin", "IN", 422, "above him"),
        (&admin, "constituency_coordinator", "S1-AC1", 201, "below him"),
        (&admin, "constituency_coordinator", "S1-D1", 422, "wrong level"),
    ] {
        let answer = client.post(&path, new_grant(&world, role, unit)).await;
        assert_eq!(answer.status, status, "{why}: {}", answer.text());
    }
    // One reads the district and holds some of its actions, but not those of its coordinator.
    let mixed = world.actor(&app, Role::Auditor, "S1").await;
    world
        .grant(
            mixed.worker_id,
            Role::MandalCoordinator,
            "S1-M1",
            "2026-01-01",
            None,
        )
        .await;
    app.state.access.forget();
    mixed
        .client
        .post(&path, new_grant(&world, "district_coordinator", "S1-D1"))
        .await
        .expect(403);
    // Ending takes as much as giving.
    let grants = admin.get(&path_of(&target)).await.json["grants"].clone();
    let state_admin = grants
        .as_array()
        .unwrap()
        .iter()
        .find(|grant| grant["role"] == "state_admin")
        .unwrap();
    let grant = format!("{path}/{}", state_admin["id"]);
    assert_eq!(coordinator.delete(&grant).await.status, 404);
    assert_eq!(auditor.delete(&grant).await.status, 403);
    let stranger = world.actor(&app, Role::StateAdmin, "S2").await.client;
    assert_eq!(stranger.delete(&grant).await.status, 404);
    let other = world.worker(&app, "S1-B1").await;
    assert_eq!(
        admin
            .delete(&format!("{}/grants/{}", path_of(&other), state_admin["id"]))
            .await
            .status,
        404
    );
    admin.delete(&grant).await.expect(204);
}

#[actix_web::test]
async fn a_role_is_held_at_a_unit_once_a_day() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    let target = world.worker(&app, "S1-B1").await;
    let path = format!("{}/grants", path_of(&target));
    let grant = |from: &str, to: Value| json!({"role": "booth_worker", "unit_id": world.unit("S1-B1"), "valid_from": from, "valid_to": to});
    for (from, to, status) in [
        ("2026-11-10", json!("2026-11-20"), 201),
        ("2026-11-20", json!("2026-11-30"), 409),
        ("2026-11-01", Value::Null, 409),
        ("2026-11-21", json!("2026-11-30"), 201),
        ("2026-11-05", json!("2026-11-09"), 201),
        ("2026-11-05", json!("2026-11-04"), 422),
    ] {
        assert_eq!(
            coordinator.post(&path, grant(from, to.clone())).await.status,
            status,
            "{from} {to}"
        );
    }
}

#[actix_web::test]
async fn the_last_national_administrator_stays() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let first = world.actor(&app, Role::NationalAdmin, "IN").await;
    let grants =
        async |actor: &Actor| first.client.get(&path_of(actor)).await.json["grants"][0]["id"].clone();
    let grant = format!("{}/grants/{}", path_of(&first), grants(&first).await);
    first.client.delete(&grant).await.expect(409);
    let off = json!({"active": false});
    first
        .client
        .header("if-match", "\"1\"")
        .patch(&path_of(&first), off.clone())
        .await
        .expect(409);
    let second = world.actor(&app, Role::NationalAdmin, "IN").await;
    first.client.delete(&grant).await.expect(204);
    assert_eq!(first.client.get("/v1/workers").await.status, 403);
    second
        .client
        .header("if-match", "\"1\"")
        .patch(&path_of(&second), off)
        .await
        .expect(409);
}

#[actix_web::test]
async fn resent_posts_get_their_first_answers() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    let keyed = |key: &str| coordinator.header("idempotency-key", key);
    let worker = new_worker(&world, "+919812345678", "S1-B1");
    let first = keyed("a").post("/v1/workers", worker.clone()).await.expect(201);
    let again = keyed("a").post("/v1/workers", worker.clone()).await.expect(201);
    assert_eq!(
        (&again.body, again.header("idempotency-replayed")),
        (&first.body, Some("true"))
    );
    keyed("b").post("/v1/workers", worker).await.expect(409);
    let path = format!("{}/grants", first.header("location").unwrap());
    let grant = new_grant(&world, "booth_worker", "S1-B1");
    let first = keyed("c").post(&path, grant.clone()).await.expect(201);
    assert_eq!(
        keyed("c").post(&path, grant.clone()).await.expect(201).body,
        first.body
    );
    keyed("c")
        .post(&path, new_grant(&world, "booth_worker", "S1-B2"))
        .await
        .expect(422);
    let file = "phone,name,unit_code\n+919812345679,Ravi,S1-B1\n";
    let first = import(&keyed("d"), file).await.expect(200);
    assert_eq!(first.json["workers_created"], 1);
    assert_eq!(import(&keyed("d"), file).await.expect(200).body, first.body);
    assert_eq!(
        import(&coordinator, file).await.expect(200).json["workers_created"],
        0
    );
}

#[actix_web::test]
async fn workers_are_listed_by_pages_and_filters() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::StateAdmin, "S1").await;
    let booth = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let mandal = world.actor(&app, Role::MandalWorker, "S1-M2").await;
    world.actor(&app, Role::BoothWorker, "S2-B1").await;
    world
        .db
        .execute(
            "UPDATE workers SET name = 'Ravi Kumar' WHERE id = $1",
            &[&booth.worker_id],
        )
        .await
        .unwrap();
    let client = &admin.client;
    let all = BTreeSet::from([admin.worker_id, booth.worker_id, mandal.worker_id]);
    assert_eq!(listed(client, "/v1/workers").await, all);
    let page = client.get("/v1/workers?limit=2").await.expect(200);
    let next = format!(
        "/v1/workers?limit=2&cursor={}",
        page.json["next_cursor"].as_str().unwrap()
    );
    assert_eq!(listed(client, &next).await, BTreeSet::from([mandal.worker_id]));
    let only = |id: i32| BTreeSet::from([id]);
    let under = |unit: &str| format!("/v1/workers?under={}", world.unit(unit));
    assert_eq!(listed(client, &under("S1-M1")).await, only(booth.worker_id));
    assert_eq!(listed(client, &under("S1-M2")).await, only(mandal.worker_id));
    assert_eq!(client.get(&under("S2-M1")).await.status, 404);
    assert_eq!(
        listed(client, "/v1/workers?role=mandal_worker").await,
        only(mandal.worker_id)
    );
    assert_eq!(
        listed(client, "/v1/workers?q=ravi%20k").await,
        only(booth.worker_id)
    );
    assert_eq!(listed(client, "/v1/workers?active=false").await, BTreeSet::new());
    for bad in ["under=x", "active=2", "role=king", "limit=0", "q="] {
        assert_eq!(
            client.get(&format!("/v1/workers?{bad}")).await.status,
            422,
            "{bad}"
        );
    }
}
