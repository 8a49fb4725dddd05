//! Who checks what, knowing nothing of it, and what is stored of it.

use chrono::TimeDelta;
use futures_util::future::join_all;
use sampark::access::Role;
use sampark::features::privacy::retain;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scene, confirms, only, refutes, scene, send};
use crate::support::{Actor, Client};

const ALL: &str = "{\"size\": 50, \"decision_number\": 2}";

fn all() -> Value {
    json!({"plan": serde_json::from_str::<Value>(ALL).unwrap()})
}

async fn tasks(client: &Client) -> Vec<Value> {
    let list = client.get("/v1/me/back-checks?limit=500").await.expect(200).json;
    list["items"].as_array().unwrap().clone()
}

/// The code of the only thing that is wrong with giving visit 1 to somebody; none if he has it.
async fn refusal(s: &Scene, path: &str, verifier: &Actor) -> Option<String> {
    let named = json!({"assignments": [{"number": 1, "verifier_id": verifier.worker_id}]});
    let answer = s.assign(path, named).await;
    if answer.status == 200 {
        return None;
    }
    let errors = answer.expect(422).json["errors"].clone();
    assert_eq!(errors.as_array().unwrap().len(), 1, "{errors}");
    Some(format!(
        "{} {}",
        errors[0]["pointer"].as_str().unwrap(),
        errors[0]["code"].as_str().unwrap()
    ))
}

#[actix_web::test]
async fn no_visit_is_checked_by_its_author_nor_by_anybody_of_its_booth_or_phone() {
    let s = scene().await;
    s.record(0, 1).await;
    let path = s.request(all()).await;
    s.seed(&path).await;
    let author = &s.authors[0];
    // Even where another grant would let him check.
    s.world
        .grant(author.worker_id, Role::MandalWorker, "S1-M1", "2020-01-01", None)
        .await;
    let colleague = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await;
    let was_there = s.world.actor(&s.app, Role::MandalWorker, "S1-M1").await;
    s.world
        .grant(
            was_there.worker_id,
            Role::BoothWorker,
            "S1-B1",
            "2026-11-01",
            Some("2026-11-23"),
        )
        .await;
    let of_the_roster = s.world.worker(&s.app, "S1-B1").await;
    s.world
        .grant(
            of_the_roster.worker_id,
            Role::MandalWorker,
            "S1-M1",
            "2020-01-01",
            None,
        )
        .await;
    let uploader = s.world.actor(&s.app, Role::MandalWorker, "S1-M1").await;
    s.world
        .db
        .execute(
            "INSERT INTO devices (id, worker_id, created_at, last_seen_at) SELECT id, $1, created_at, created_at
             FROM devices WHERE worker_id = $2",
            &[&uploader.worker_id, &author.worker_id],
        )
        .await
        .unwrap();
    let neighbour = &s.authors[1];
    let other_mandal = s.world.actor(&s.app, Role::MandalWorker, "S1-M2").await;
    let seat = s
        .world
        .actor(&s.app, Role::ConstituencyCoordinator, "S1-AC1")
        .await;
    let inactive = s.world.actor(&s.app, Role::MandalWorker, "S1-M1").await;
    s.world
        .db
        .execute(
            "UPDATE workers SET active = false WHERE id = $1",
            &[&inactive.worker_id],
        )
        .await
        .unwrap();
    let refused = Some("/assignments/0/verifier_id not_eligible".to_owned());
    let unfit = [
        author,
        &colleague,
        &was_there,
        &of_the_roster,
        &uploader,
        neighbour,
        &other_mandal,
        &seat,
        &inactive,
    ];
    for (n, worker) in unfit.into_iter().enumerate() {
        assert_eq!(refusal(&s, &path, worker).await, refused, "{n}");
    }
    // Spreading by rule leaves them out as well.
    let among: Vec<i32> = unfit.iter().map(|worker| worker.worker_id).collect();
    let spread = s
        .assign(&path, json!({"spread_among": among}))
        .await
        .expect(200)
        .json;
    assert_eq!(spread, json!({"assigned": [], "unassigned": [1]}));
    for fit in [&s.verifier, &s.coordinator, &s.district] {
        assert_eq!(refusal(&s, &path, fit).await, None);
    }
    let unknown = json!({"assignments": [{"number": 2, "verifier_id": s.verifier.worker_id}]});
    let refused = s.assign(&path, unknown).await.expect(422);
    assert_eq!(refused.json["errors"][0]["code"], "not_open");
}

#[actix_web::test]
async fn what_nobody_has_is_spread_evenly_among_those_who_may() {
    let s = scene().await;
    for booth in 0..3 {
        s.record(booth, 4).await;
    }
    let path = s.request(all()).await;
    s.seed(&path).await;
    let second = s.world.actor(&s.app, Role::MandalWorker, "S1-M1").await;
    // Nobody is named: all with a grant at the unit or its mandals; who answers for the district is not called upon.
    let given = s
        .assign(&path, json!({"spread_among": []}))
        .await
        .expect(200)
        .json;
    let count = |id: i32| {
        let list = given["assigned"].as_array().unwrap();
        list.iter().filter(|one| one["verifier_id"] == id).count()
    };
    let shares = [s.coordinator.worker_id, s.verifier.worker_id, second.worker_id].map(count);
    assert_eq!(shares, [4, 4, 4]);
    assert_eq!(given["unassigned"], json!([]));
    assert_eq!(tasks(&second.client).await.len(), 4);
    // What is given stays given; a page at a time.
    let again = s
        .assign(&path, json!({"spread_among": []}))
        .await
        .expect(200)
        .json;
    assert_eq!(again, json!({"assigned": [], "unassigned": []}));
    let page = second
        .client
        .get("/v1/me/back-checks?limit=3")
        .await
        .expect(200)
        .json;
    let next = page["next_cursor"].as_str().unwrap();
    let rest = second
        .client
        .get(&format!("/v1/me/back-checks?limit=3&cursor={next}"))
        .await
        .expect(200)
        .json;
    assert_eq!(
        (
            page["items"].as_array().unwrap().len(),
            rest["items"].as_array().unwrap().len()
        ),
        (3, 1)
    );
}

#[actix_web::test]
async fn a_verifier_is_told_where_to_go_and_what_to_ask_and_nothing_of_the_visit() {
    let s = scene().await;
    let door = s.world.household("S1-B1").await;
    let mut at_door = crate::visits::visit(&s.world, s.campaign, "S1-B1");
    at_door["household_id"] = json!(door);
    at_door["answers"] = json!({"heard": true, "need": "water"});
    at_door["note"] = json!("Hand pump broken");
    at_door["location"] = json!({"lat": 26.846_78, "lon": 80.946_23});
    let mut elsewhere = at_door.clone();
    elsewhere["id"] = json!(Uuid::now_v7());
    elsewhere["household_id"] = Value::Null;
    for visit in [&at_door, &elsewhere] {
        s.authors[0]
            .client
            .post("/v1/visits", visit.clone())
            .await
            .expect(201);
    }
    let path = s.drawn(all()).await;
    let mut told = tasks(&s.verifier.client).await;
    told.sort_by_key(|task| task["household"].is_null());
    let keys: Vec<&String> = told[0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "ask",
            "assigned_at",
            "booth_id",
            "booth_name",
            "campaign_id",
            "draw_id",
            "household",
            "near",
            "number"
        ]
    );
    assert_eq!(
        (&told[0]["household"]["id"], &told[0]["near"]),
        (&json!(door), &Value::Null)
    );
    assert_eq!(
        told[1]["near"]["lat"], 26.846_78,
        "without a door its place is all that leads there"
    );
    assert_eq!(
        told[0]["ask"],
        json!({"outcome": true, "visited_on": true, "people_met": false, "answers": ["heard", "need"], "question_version": 1})
    );
    let all = json!(told).to_string();
    for secret in [
        at_door["id"].as_str().unwrap(),
        elsewhere["id"].as_str().unwrap(),
        "water",
        "pump",
        "2026-11-23T05:30",
    ] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    // Nor by what he sends, nor elsewhere.
    let receipt = s
        .verifier
        .client
        .post("/v1/back-checks", refutes(&path, 1))
        .await
        .expect(201);
    let keys: Vec<&String> = receipt.json.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["draw_id", "id", "late", "number", "outcome", "received_at"]
    );
    for hidden in [
        path.clone(),
        format!("{path}/frame"),
        format!("{path}/back-checks"),
    ] {
        s.verifier.client.get(&hidden).await.expect(403);
    }
    s.verifier
        .client
        .get(&format!("/v1/visits/{}", at_door["id"].as_str().unwrap()))
        .await
        .expect(404);
    assert_eq!(
        tasks(&s.verifier.client).await.len(),
        1,
        "what is checked is off his list"
    );
}

#[actix_web::test]
async fn a_back_check_is_stored_once_however_often_it_is_sent() {
    let s = scene().await;
    s.record(0, 3).await;
    let path = s.drawn(all()).await;
    let check = confirms(&path, 1);
    // Replies get lost: the same is sent until one arrives.
    for _ in 0..3 {
        s.verifier.client.send_and_reset("/v1/back-checks", &check).await;
    }
    let sends = (0..4).map(|_| send(&s.verifier.client, &check));
    let answers = join_all(sends).await;
    let first = &answers[0].json;
    for answer in &answers {
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
        assert_eq!(&answer.json, first);
    }
    assert_eq!(crate::workers::journalled(&s.world, "back_check.record").await, 1);
    // Another content under the id, the id for another visit, another back-check of the visit.
    let mut other = check.clone();
    other["outcome"] = json!("refused");
    other["observed"] = Value::Null;
    let mut moved = check.clone();
    moved["number"] = json!(2);
    for (sent, code) in [
        (other, "back_check_conflict"),
        (moved, "back_check_conflict"),
        (confirms(&path, 1), "already_checked"),
    ] {
        let refused = s.verifier.client.post("/v1/back-checks", sent).await.expect(409);
        assert_eq!(refused.json["code"], code);
    }
    let list = s.read(&format!("{path}/back-checks")).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    // What was never his is as if it did not exist.
    let stranger = s.world.actor(&s.app, Role::MandalWorker, "S1-M1").await.client;
    let mut nowhere = confirms(&path, 2);
    let not_his = stranger
        .post("/v1/back-checks", nowhere.clone())
        .await
        .expect(422);
    nowhere["draw_id"] = json!(999);
    let absent = stranger.post("/v1/back-checks", nowhere).await.expect(422);
    assert_eq!(not_his.json["errors"], absent.json["errors"]);
}

#[actix_web::test]
async fn of_two_verifiers_at_once_the_first_counts() {
    let s = scene().await;
    s.record(0, 1).await;
    let path = s.drawn(all()).await;
    // It was given to another while the first one was on his way without a network.
    let second = s.world.actor(&s.app, Role::MandalWorker, "S1-M1").await;
    let named = json!({"assignments": [{"number": 1, "verifier_id": second.worker_id}]});
    s.assign(&path, named).await.expect(200);
    assert_eq!(tasks(&s.verifier.client).await.len(), 0);
    let checks: Vec<(&Actor, Value)> = (0..8)
        .map(|n| match n % 2 {
            0 => (&s.verifier, confirms(&path, 1)),
            _ => (&second, refutes(&path, 1)),
        })
        .collect();
    let sends = checks.iter().map(|(by, check)| send(&by.client, check));
    let mut statuses: Vec<u16> = join_all(sends).await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    let figures = &s.read(&path).await["figures"];
    assert_eq!(
        figures["matched"].as_i64().unwrap() + figures["mismatched"].as_i64().unwrap(),
        1
    );
    assert_eq!(crate::workers::journalled(&s.world, "back_check.record").await, 1);
}

#[actix_web::test]
async fn a_visit_is_compared_as_it_stood_when_the_draw_was_requested() {
    let s = scene().await;
    let ids = s.record(0, 1).await;
    let path = s.drawn(all()).await;
    // Its author mends it once he hears of the audit.
    s.authors[0]
        .client
        .header("If-Match", "\"1\"")
        .patch(
            &format!("/v1/visits/{}", ids[0]),
            json!({"outcome": "not_home", "people_met": 0, "answers": {}}),
        )
        .await
        .expect(200);
    let void = json!({"reason": "Mistake"});
    s.coordinator
        .client
        .post(&format!("/v1/visits/{}/void", ids[0]), void)
        .await
        .expect(200);
    let mut check = refutes(&path, 1);
    check["observed"]["answers"] = json!({"heard": false});
    check["location"] = json!({"lat": 26.846_78, "lon": 80.946_23});
    s.verifier.client.post("/v1/back-checks", check).await.expect(201);
    let stored = s.read(&format!("{path}/back-checks")).await["items"][0].clone();
    assert_eq!(stored["finding"], "mismatch");
    assert_eq!(
        stored["evidence"],
        json!([
            {"field": "outcome", "rule": "contact", "result": "mismatch"},
            {"field": "visited_on", "rule": "within 7", "result": "not_asked"},
            {"field": "answers/heard", "rule": "exact", "result": "mismatch"},
            {"field": "answers/need", "rule": "exact", "result": "not_asked"},
        ])
    );
    assert_eq!(stored["location"], json!({"lat": 26.847, "lon": 80.946}));
    assert_eq!(s.read(&path).await["items"][0]["finding"], "mismatch");
}

#[actix_web::test]
async fn what_cannot_be_an_answer_is_refused_and_named() {
    let s = scene().await;
    s.record(0, 1).await;
    let path = s.drawn(all()).await;
    let with = |key: &str, value: Value| {
        let mut check = confirms(&path, 1);
        check[key] = value;
        check
    };
    for (sent, pointer) in [
        (
            with("observed", json!({"answers": {"heard": "yes"}})),
            "/observed/answers/heard",
        ),
        (
            with("observed", json!({"answers": {"x": 1}})),
            "/observed/answers/x",
        ),
        (
            with("observed", json!({"people_met": 1001})),
            "/observed/people_met",
        ),
        (with("observed", Value::Null), "/observed"),
        (with("outcome", json!("refused")), "/observed"),
        (with("outcome", json!("met")), "/outcome"),
        (
            with("location", json!({"lat": 91.0, "lon": 0.0})),
            "/location/lat",
        ),
        (with("note", json!("x")), "/note"),
    ] {
        let refused = s.verifier.client.post("/v1/back-checks", sent).await.expect(422);
        assert_eq!(refused.json["errors"][0]["pointer"], pointer);
    }
}

#[actix_web::test]
async fn what_a_household_said_leaves_with_the_campaigns_content_and_the_finding_stays() {
    let s = scene().await;
    s.world
        .db
        .execute("UPDATE campaigns SET retention_days = 365", &[])
        .await
        .unwrap();
    s.record(0, 2).await;
    let path = s.drawn(all()).await;
    let mut check = confirms(&path, 1);
    check["location"] = json!({"lat": 26.8, "lon": 80.9});
    s.verifier
        .client
        .post("/v1/back-checks", check.clone())
        .await
        .expect(201);
    s.verifier
        .client
        .post("/v1/back-checks", only(&path, 2, "refused"))
        .await
        .expect(201);
    s.app.clock.advance(TimeDelta::days(364));
    assert_eq!(
        retain(&s.app.state.db, &s.app.clock).await.unwrap().back_checks,
        0
    );
    s.app.clock.advance(TimeDelta::days(1));
    assert_eq!(
        retain(&s.app.state.db, &s.app.clock).await.unwrap().back_checks,
        1
    );
    assert_eq!(
        retain(&s.app.state.db, &s.app.clock).await.unwrap().back_checks,
        0
    );
    let district = s.world.sign_in(&s.app, s.district.worker_id).await.client;
    let stored = district
        .get(&format!("{path}/back-checks"))
        .await
        .expect(200)
        .json["items"][0]
        .clone();
    assert_eq!(
        (&stored["observed"], &stored["location"]),
        (&json!({}), &Value::Null)
    );
    assert_eq!(
        (&stored["finding"], stored["evidence"].as_array().unwrap().len()),
        (&json!("match"), 4)
    );
    // And a resend is still known.
    let verifier = s.world.sign_in(&s.app, s.verifier.worker_id).await.client;
    verifier.post("/v1/back-checks", check).await.expect(200);
}
