//! Many callers at once on few connections, and writes that race a move: nobody is served what is not his.
//!
//! The suite asks a few hundred times; the whole run is asked for by `SAMPARK_SCOPE_REQUESTS=10000 SAMPARK_SCOPE_RACES=1000`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sampark::access::Role;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Settings, TestApp, World, times};
use crate::visits::visit;

/// (role, where, booths whose visits it reads)
const USERS: [(Role, &str, &[&str]); 8] = [
    (Role::BoothWorker, "S1-B1", &["S1-B1"]),
    (Role::BoothWorker, "S2-B1", &["S2-B1"]),
    (Role::MandalCoordinator, "S1-M1", &["S1-B1", "S1-B2"]),
    (Role::MandalCoordinator, "S1-M2", &["S1-B4", "S1-B5"]),
    (
        Role::ConstituencyCoordinator,
        "S1-AC1",
        &["S1-B1", "S1-B2", "S1-B4"],
    ),
    (
        Role::DistrictCoordinator,
        "S1-D1",
        &["S1-B1", "S1-B2", "S1-B4", "S1-B5"],
    ),
    (Role::Auditor, "S2", &["S2-B1"]),
    (Role::StateAdmin, "S1", &["S1-B1", "S1-B2", "S1-B4", "S1-B5"]),
];
const BOOTHS: [&str; 5] = ["S1-B1", "S1-B2", "S1-B4", "S1-B5", "S2-B1"];

/// Until the server has time: two connections are few.
async fn ask(client: &Client, path: &str) -> Answer {
    loop {
        let answer = client.get(path).await;
        if answer.status != 503 {
            return answer;
        }
    }
}

#[actix_web::test]
async fn eight_users_on_two_connections_are_never_shown_a_foreign_row() {
    let app = TestApp::start_with(Settings {
        pool_size: 2,
        ..Settings::default()
    })
    .await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let mut visits: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for booth in BOOTHS {
        let author = world
            .actor(
                &app,
                Role::MandalWorker,
                if booth.starts_with("S2") {
                    "S2-M1"
                } else if booth < "S1-B4" {
                    "S1-M1"
                } else {
                    "S1-M2"
                },
            )
            .await;
        for _ in 0..3 {
            let made = author
                .client
                .post_until_served("/v1/visits", visit(&world, campaign, booth))
                .await;
            visits
                .entry(booth)
                .or_default()
                .push(made.expect(201).json["id"].as_str().unwrap().to_owned());
        }
    }
    let visits = Arc::new(visits);
    let ids: BTreeMap<&str, i64> = BOOTHS
        .iter()
        .map(|booth| (*booth, i64::from(world.unit(booth))))
        .collect();
    let mut running = Vec::new();
    for (role, unit, booths) in USERS {
        let client = world.actor(&app, role, unit).await.client;
        if role == Role::BoothWorker {
            let own = client
                .post_until_served("/v1/visits", visit(&world, campaign, unit))
                .await;
            own.expect(201);
        }
        let seen: BTreeSet<i64> = booths.iter().map(|booth| ids[booth]).collect();
        let (visits, n) = (visits.clone(), times("SAMPARK_SCOPE_REQUESTS", 120));
        running.push(actix_web::rt::spawn(async move {
            let all: Vec<(&str, &String)> = visits
                .iter()
                .flat_map(|(booth, ids)| ids.iter().map(|id| (*booth, id)))
                .collect();
            for k in 0..n {
                let (booth, id) = all[k % all.len()];
                let one = ask(&client, &format!("/v1/visits/{id}")).await;
                let may = role != Role::BoothWorker && booths.contains(&booth);
                assert_eq!(
                    one.status,
                    if may { 200 } else { 404 },
                    "{} {booth}",
                    role.as_str()
                );
                let list = ask(&client, "/v1/visits?limit=50").await.expect(200).json;
                let items = list["items"].as_array().unwrap();
                let found: BTreeSet<i64> = items
                    .iter()
                    .map(|item| item["booth_id"].as_i64().unwrap())
                    .collect();
                assert_eq!(found, seen, "{} at {unit}", role.as_str());
            }
        }));
    }
    for user in running {
        user.await.unwrap();
    }
}

#[actix_web::test]
async fn a_write_that_races_the_move_of_its_booth_is_before_it_or_refused() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    let worker = world.actor(&app, Role::MandalWorker, "S1-M1").await.client;
    let races = times("SAMPARK_SCOPE_RACES", 40);
    let mut file = String::from("code,level,name,organisation_parent,electorate_parent\n");
    for n in 0..races {
        file.push_str(&format!("S1-R{n},booth,Booth {n},S1-M1,S1-AC1\n"));
    }
    let file = Some(("text/csv", file.into_bytes()));
    admin.send("POST", "/v1/imports/units", file).await.expect(200);
    let rows = world
        .db
        .query("SELECT id FROM units WHERE code LIKE 'S1-R%' ORDER BY id", &[])
        .await
        .unwrap();
    let booths: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(booths.len(), races);
    let (mut recorded, mut refused) = (BTreeSet::new(), 0);
    for (n, booth) in booths.iter().enumerate() {
        let mut sent = visit(&world, campaign, "S1-B1");
        sent["booth_id"] = json!(booth);
        let path = format!("/v1/units/{booth}/placements");
        let place =
            json!({"tree": "organisation", "parent_id": world.unit("S1-M2"), "valid_from": "2026-11-23"});
        let (moving, writing) = (
            admin.post_until_served(&path, place),
            worker.post_until_served("/v1/visits", sent),
        );
        // Each begins first every other time.
        let (moved, written) = if n % 2 == 0 {
            tokio::join!(moving, writing)
        } else {
            let (written, moved) = tokio::join!(writing, moving);
            (moved, written)
        };
        assert!((200..300).contains(&moved.status), "{}", moved.text());
        match written.status {
            201 => {
                recorded.insert(*booth);
            }
            403 | 422 => refused += 1,
            _ => panic!("{}", written.text()),
        }
    }
    assert_eq!(recorded.len() + refused, races);
    app.posted().await;
    // Both held the lineages of the state, so the journal tells which was first.
    let sql = "SELECT w.unit_id, w.number < m.number FROM journal w
               JOIN journal m ON m.state_id = w.state_id AND m.unit_id = w.unit_id AND m.action = 'unit.place'
               WHERE w.action = 'visit.record'";
    let order = world.db.query(sql, &[]).await.unwrap();
    assert_eq!(
        order.len(),
        recorded.len(),
        "every recorded visit has its entry beside that of the move"
    );
    for row in order {
        let (booth, before): (i32, bool) = (row.get(0), row.get(1));
        assert!(
            before && recorded.contains(&booth),
            "booth {booth} was left when the visit was recorded"
        );
    }
    let stored: i64 = world
        .db
        .query_one("SELECT count(*) FROM visits", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(usize::try_from(stored).unwrap(), recorded.len());
}

/// A body that asks about a unit.
type BodyAbout<'a> = Box<dyn Fn(i32) -> Value + 'a>;

#[actix_web::test]
async fn a_foreign_id_in_a_body_an_item_a_filter_or_a_cursor_is_answered_like_an_absent_one() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let here = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    let there = world.actor(&app, Role::MandalCoordinator, "S2-M1").await.client;
    let author = world.actor(&app, Role::BoothWorker, "S2-B1").await.client;
    let foreign_visit = author
        .post("/v1/visits", visit(&world, campaign, "S2-B1"))
        .await
        .expect(201)
        .json["id"]
        .clone();
    let (foreign, absent) = (world.unit("S2-B1"), 999_999);
    let home = world.household("S2-B1").await;
    let said = |answer: &Answer| {
        let id = answer.json["request_id"].as_str().unwrap_or_default();
        (answer.status, answer.text().replace(id, ""))
    };
    // Filters.
    for path in [
        "/v1/visits?under=",
        "/v1/visits?booth_id=",
        "/v1/workers?under=",
        "/v1/feed?under=",
        "/v1/visits/export?format=csv&under=",
        "/v1/refusals?under=",
        "/v1/units?under=",
    ] {
        let (one, other) = (
            here.get(&format!("{path}{foreign}")).await,
            here.get(&format!("{path}{absent}")).await,
        );
        assert!([404, 422].contains(&one.status), "{path}: {}", one.text());
        assert_eq!(said(&one), said(&other), "{path}");
    }
    // Bodies.
    let bodies: [(&str, BodyAbout<'_>); 3] = [
        (
            "/v1/workers",
            Box::new(|unit| json!({"unit_id": unit, "name": "Asha Devi", "phone": "+919811111111"})),
        ),
        (
            "/v1/visits",
            Box::new(|unit| {
                let mut sent = visit(&world, campaign, "S1-B1");
                sent["booth_id"] = json!(unit);
                sent
            }),
        ),
        (
            "/v1/target-sets",
            Box::new(|unit| {
                json!({"name": "Seats", "unit_id": unit, "level": "assembly_constituency",
            "version": {"valid_from": "2026-11-01", "reason": "Why", "members": []}})
            }),
        ),
    ];
    for (path, body) in &bodies {
        let (one, other) = (
            here.post(path, body(foreign)).await,
            here.post(path, body(absent)).await,
        );
        assert!((400..500).contains(&one.status), "{path}: {}", one.text());
        assert_eq!(said(&one), said(&other), "{path}");
    }
    // A household of another's booth, in a visit to one's own.
    let with_door = |door: Value| {
        let mut sent = visit(&world, campaign, "S1-B1");
        sent["household_id"] = door;
        here.post("/v1/visits", sent)
    };
    let (one, other) = (
        with_door(json!(home)).await,
        with_door(json!(uuid::Uuid::new_v4())).await,
    );
    assert_eq!(one.status, 422);
    assert_eq!(said(&one), said(&other));
    // Items of batches.
    let items = |unit: i32, door: Value| {
        let mut sent = visit(&world, campaign, "S1-B1");
        sent["booth_id"] = json!(unit);
        sent["id"] = json!("01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33");
        sent["household_id"] = door;
        here.post("/v1/visits/batch", json!({"visits": [sent]}))
    };
    let without_id = |answer: &Answer| {
        let id = answer.json["results"][0]["problem"]["request_id"]
            .as_str()
            .unwrap()
            .to_owned();
        answer.text().replace(&id, "")
    };
    let (one, other) = (
        items(foreign, Value::Null).await,
        items(absent, Value::Null).await,
    );
    assert_eq!(one.json["results"][0]["status"], "rejected");
    assert_eq!(without_id(&one), without_id(&other));
    let judge = |id: Value| {
        here.post(
            "/v1/reviews",
            json!({"reviews": [{"visit_id": id, "verdict": "verified"}]}),
        )
    };
    let (one, other) = (
        judge(foreign_visit.clone()).await,
        judge(json!(uuid::Uuid::new_v4())).await,
    );
    assert_eq!(one.json["results"][0]["status"], "refused");
    assert_eq!(
        one.json["results"][0]["problem"]["status"],
        other.json["results"][0]["problem"]["status"]
    );
    assert_eq!(
        one.json["results"][0]["problem"]["detail"],
        other.json["results"][0]["problem"]["detail"]
    );
    // A cursor leads on in one's own rows, whoever it was made for.
    author
        .post("/v1/visits", visit(&world, campaign, "S2-B1"))
        .await
        .expect(201);
    let page = there.get("/v1/visits?limit=1").await.expect(200).json;
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = here
        .get(&format!("/v1/visits?limit=50&cursor={cursor}"))
        .await
        .expect(200)
        .json;
    assert_eq!(next["items"], json!([]));
}
