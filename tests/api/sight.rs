//! Who sees what of a visit: notes are for the author and the mandal, coordinates are coarse above it, on every route.

use sampark::access::Role;
use serde_json::{Value, json};

use crate::support::{Actor, Answer, TestApp, World};
use crate::visits::visit;

const NOTE: &str = "asks for a hand pump";
/// To the flag that every visit here has: it took nine seconds.
const SAID: &str = "one courtyard, five families";
const LAT: f64 = 26.846_712;

struct Scene {
    app: TestApp,
    world: World,
    campaign: i32,
    author: Actor,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let author = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    // Every booth lies a good four kilometres from where the visits are made.
    let placed = "UPDATE units SET lat = $1, lon = 80.946 WHERE level = 'booth'";
    world.db.execute(placed, &[&(LAT + 0.04)]).await.unwrap();
    Scene {
        app,
        world,
        campaign,
        author,
    }
}

impl Scene {
    async fn record(&self, author: &Actor, booth: &str) -> String {
        let mut sent = visit(&self.world, self.campaign, booth);
        sent["note"] = json!(NOTE);
        sent["duration_s"] = json!(9);
        sent["location"] = json!({"lat": LAT, "lon": 80.946_234, "accuracy_m": 12.5});
        let made = author.client.post("/v1/visits", sent).await.expect(201).json;
        assert_eq!((&made["note"], &made["withheld"]), (&json!(NOTE), &Value::Null));
        let id = made["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/visits/{id}/flags/too_short/answer");
        author
            .client
            .post(&path, json!({ "text": SAID }))
            .await
            .expect(200);
        id
    }
}

/// Every visit in an answer, however deep.
fn visits_in<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields)
            if fields.contains_key("question_version") && fields.contains_key("visited_on") =>
        {
            found.push(value);
        }
        Value::Object(fields) => fields.values().for_each(|value| visits_in(value, found)),
        Value::Array(items) => items.iter().for_each(|value| visits_in(value, found)),
        _ => {}
    }
}

fn assert_shown(answer: &Answer, whole: bool, who: &str) {
    let mut found = Vec::new();
    visits_in(&answer.json, &mut found);
    assert!(!found.is_empty(), "{who}: {}", answer.text());
    for visit in found {
        if whole {
            assert_eq!(visit["note"], NOTE, "{who}");
            assert_eq!(visit["location"]["lat"], LAT, "{who}");
            assert!((4_400.0..4_500.0).contains(&distance(visit)) && distance(visit) % 100.0 != 0.0);
            assert!(visit.get("withheld").is_none(), "{who}");
        } else {
            assert_eq!(visit["note"], Value::Null, "{who}");
            assert_eq!(visit["location"]["lat"], 26.847, "{who}");
            assert_eq!(visit["location"]["lon"], 80.946, "{who}");
            assert_eq!(distance(visit), 4_500.0, "{who}: no finer than the place");
            let withheld = visit["withheld"].as_array().unwrap();
            assert!(
                withheld.contains(&json!("note")) && withheld.contains(&json!("location")),
                "{who}"
            );
            for flag in visit["flags"].as_array().unwrap() {
                let answer = &flag["answer"];
                assert_eq!(answer["text"], Value::Null, "{who}");
                assert!(
                    answer.is_null() || withheld.contains(&json!("flag_answers")),
                    "{who}"
                );
            }
        }
    }
    assert_text(answer, whole, who);
}

/// How far from the booth a visit was made, as the answer tells it.
fn distance(visit: &Value) -> f64 {
    let flags = visit["flags"].as_array().unwrap();
    let far = flags
        .iter()
        .find(|flag| flag["code"] == "far_from_booth")
        .unwrap();
    let metres = far["measured"].as_f64().unwrap();
    let reason = far["reason"].as_str().unwrap();
    assert!(reason.contains(&metres.to_string()), "{far}");
    metres
}

fn assert_text(answer: &Answer, whole: bool, who: &str) {
    let text = answer.text();
    assert_eq!(text.contains(NOTE), whole, "{who}: {text}");
    assert!(whole || !text.contains(SAID), "{who}: {text}");
    assert_eq!(text.contains("26.846712"), whole, "{who}: {text}");
}

/// (role, where, whether it sees visits of S1-B1 whole)
const READERS: &[(Role, &str, bool)] = &[
    (Role::MandalCoordinator, "S1-M1", true),
    (Role::DistrictCoordinator, "S1-D1", false),
    (Role::ConstituencyCoordinator, "S1-AC1", false),
    (Role::StateAdmin, "S1", false),
    (Role::NationalAdmin, "IN", false),
    (Role::Auditor, "S1-M1", false),
];

#[actix_web::test]
async fn notes_and_places_are_whole_for_the_author_and_the_mandal_on_every_route_that_reads() {
    let s = scene().await;
    let id = s.record(&s.author, "S1-B1").await;
    let keyed = s.author.client.header("if-match", "\"1\"");
    keyed
        .patch(&format!("/v1/visits/{id}"), json!({"people_met": 3}))
        .await
        .expect(200);
    s.app.posted().await;
    let mine = [
        "/v1/visits".to_owned(),
        format!("/v1/visits/{id}"),
        format!("/v1/visits/{id}/versions"),
    ];
    for path in &mine {
        let answer = s.author.client.get(path).await.expect(200);
        assert_shown(&answer, true, path);
    }
    for (role, unit, whole) in READERS {
        let reader = s.world.actor(&s.app, *role, unit).await.client;
        let queue = format!("/v1/units/{}/review-queue", s.world.unit("S1-B1"));
        for path in mine.iter().chain([&queue, &"/v1/feed?limit=500".to_owned()]) {
            let answer = reader.get(path).await.expect(200);
            assert_shown(&answer, *whole, &format!("{} {path}", role.as_str()));
        }
        for format in ["csv", "ndjson"] {
            let answer = reader
                .get(&format!("/v1/visits/export?format={format}"))
                .await
                .expect(200);
            assert_text(&answer, *whole, &format!("{} {format}", role.as_str()));
            assert!(answer.text().contains(&id));
            assert_eq!(answer.text().contains(SAID), *whole, "{} {format}", role.as_str());
        }
        let one = reader.get(&format!("/v1/visits/{id}")).await.expect(200).json;
        let said = &one["flags"][0]["answer"]["text"];
        let wanted = if *whole { json!(SAID) } else { Value::Null };
        assert_eq!(said, &wanted, "{}", role.as_str());
    }
}

#[actix_web::test]
async fn what_a_write_answers_shows_no_more_than_what_its_writer_may_read() {
    let s = scene().await;
    for (role, unit, whole) in [
        (Role::MandalCoordinator, "S1-M1", true),
        (Role::DistrictCoordinator, "S1-D1", false),
        (Role::StateAdmin, "S1", false),
    ] {
        let writer = s.world.actor(&s.app, role, unit).await.client;
        let id = s.record(&s.author, "S1-B1").await;
        let (path, who) = (format!("/v1/visits/{id}"), role.as_str());
        let verdict = json!({"verdict": "verified"});
        let judged = writer.post(&format!("{path}/review"), verdict).await.expect(200);
        assert_shown(&judged, whole, who);
        let undone = writer.delete(&format!("{path}/review")).await.expect(200);
        assert_shown(&undone, whole, who);
        let matching = writer.header("if-match", "\"1\"");
        let corrected = matching.patch(&path, json!({"people_met": 4})).await.expect(200);
        assert_shown(&corrected, whole, who);
        let mut other = visit(&s.world, s.campaign, "S1-B1");
        other["id"] = json!(id);
        let conflict = writer.post("/v1/visits", other).await.expect(409);
        assert_shown(&conflict, whole, who);
        for _ in 0..2 {
            let reason = json!({"reason": "made up"});
            let voided = writer.post(&format!("{path}/void"), reason).await.expect(200);
            assert_shown(&voided, whole, who);
        }
        // What was hidden from who changed it is still there.
        let own = s.author.client.get(&path).await.expect(200);
        assert_eq!(
            (&own.json["note"], &own.json["people_met"]),
            (&json!(NOTE), &json!(4))
        );
    }
}

#[actix_web::test]
async fn who_holds_both_a_mandal_and_its_district_sees_each_visit_as_from_where_it_lies() {
    let s = scene().await;
    let other = s.world.actor(&s.app, Role::BoothWorker, "S1-B4").await;
    let near = s.record(&s.author, "S1-B1").await;
    let far = s.record(&other, "S1-B4").await;
    let both = s.world.actor(&s.app, Role::DistrictCoordinator, "S1-D1").await;
    s.world
        .grant(
            both.worker_id,
            Role::MandalCoordinator,
            "S1-M1",
            "2020-01-01",
            None,
        )
        .await;
    let both = s.world.sign_in(&s.app, both.worker_id).await.client;
    let list = both.get("/v1/visits").await.expect(200).json;
    let note = |id: &str| {
        let items = list["items"].as_array().unwrap();
        items.iter().find(|item| item["id"] == id).unwrap()["note"].clone()
    };
    assert_eq!((note(&near), note(&far)), (json!(NOTE), Value::Null));
}
