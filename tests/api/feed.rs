//! The feed: every entry once, in order, to whom it is to be told.

use std::collections::{BTreeMap, BTreeSet};

use sampark::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Client, Settings, TestApp, World};
use crate::visits::visit;

pub struct Scene {
    pub app: TestApp,
    pub world: World,
    pub campaign: i32,
    pub worker: Client,
    /// Coordinates S1-M1, which holds S1-B1.
    pub desk: Client,
}

pub async fn scene() -> Scene {
    scene_with(Settings::default()).await
}

async fn scene_with(settings: Settings) -> Scene {
    let app = TestApp::start_with(settings).await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await.client;
    let desk = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    Scene {
        app,
        world,
        campaign,
        worker,
        desk,
    }
}

impl Scene {
    /// A visit in S1-B1, posted; its id.
    pub async fn record(&self) -> String {
        let sent = visit(&self.world, self.campaign, "S1-B1");
        self.worker.post("/v1/visits", sent.clone()).await.expect(201);
        self.post().await;
        sent["id"].as_str().unwrap().to_owned()
    }

    async fn post(&self) {
        // 0 may mean that the app's own poster is at it.
        let left = "SELECT count(*) FROM journal_inbox";
        while self.world.db.query_one(left, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            self.app.posted().await;
        }
    }
}

/// All that a reader is told from a cursor on, page by page.
async fn read_all(client: &Client, limit: usize, under: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client
            .get(&format!("/v1/feed?limit={limit}{under}{cursor}"))
            .await
            .expect(200)
            .json;
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap());
        if page["more"] == json!(false) {
            return items;
        }
    }
}

fn actions(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .map(|item| item["action"].as_str().unwrap())
        .collect()
}

#[actix_web::test]
async fn a_reader_beside_sixteen_writers_who_are_slow_to_commit_is_told_every_entry_once_in_order() {
    const WRITERS: usize = 16;
    const EACH: usize = 12;
    let s = scene_with(Settings {
        pool_size: 24,
        ..Settings::default()
    })
    .await;
    // At commit, when ids are long taken, each transaction dawdles for another while: later ones overtake it.
    s.world
        .db
        .batch_execute(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_sleep(random() * 0.08); RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON journal_inbox DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION dawdle()",
        )
        .await
        .unwrap();
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        let booth = ["S1-B1", "S1-B2", "S1-B3"][n % 3];
        let client = s.world.actor(&s.app, Role::BoothWorker, booth).await.client;
        let booth_id = s.world.unit(booth);
        writers.push(actix_web::rt::spawn(async move {
            let mut written = BTreeSet::new();
            for label in 0..EACH {
                let id = Uuid::now_v7();
                let household = json!({"booth_id": booth_id, "label": format!("{n}-{label}")});
                let path = format!("/v1/households/{id}");
                // A machine that is busy may say 503; the same is then sent again, as a phone would.
                loop {
                    let answer = client.put(&path, household.clone()).await;
                    match answer.status {
                        503 => tokio::task::yield_now().await,
                        200 | 201 => break,
                        _ => panic!("{}", answer.text()),
                    }
                }
                written.insert(id.to_string());
            }
            written
        }));
    }
    let (mut told, mut last) = (Vec::new(), BTreeMap::new());
    let mut cursor = String::new();
    loop {
        let done = writers.iter().all(|writer| writer.is_finished());
        if done {
            s.post().await;
        }
        let path = format!("/v1/feed?limit=7&wait=1{cursor}");
        let page = s.desk.get(&path).await.expect(200).json;
        cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap());
        let items = page["items"].as_array().unwrap();
        for item in items {
            let number = item["number"].as_i64().unwrap();
            let before = last.insert(item["state_id"].as_i64().unwrap(), number);
            assert!(
                before.is_none_or(|before| before < number),
                "{before:?} then {number}"
            );
            if item["action"] == "household.write" {
                told.push(item["subjects"][0]["id"].as_str().unwrap().to_owned());
            }
        }
        if done && items.is_empty() {
            break;
        }
    }
    let mut written = BTreeSet::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    assert_eq!(written.len(), WRITERS * EACH);
    assert_eq!(told.len(), written.len());
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), written);
    let page = s
        .desk
        .get(&format!("/v1/feed?{}", &cursor[1..]))
        .await
        .expect(200)
        .json;
    assert_eq!(page["items"], json!([]), "nothing comes twice");
}

#[actix_web::test]
async fn everyone_is_told_what_happened_at_his_units_and_nothing_else() {
    let s = scene().await;
    let neighbour = s.world.actor(&s.app, Role::BoothWorker, "S1-B4").await.client;
    let far = s.world.actor(&s.app, Role::BoothWorker, "S2-B1").await.client;
    let mine = s.record().await;
    for (client, booth) in [(&neighbour, "S1-B4"), (&far, "S2-B1")] {
        client
            .post("/v1/visits", visit(&s.world, s.campaign, booth))
            .await
            .expect(201);
    }
    s.post().await;
    for (role, unit, booths) in [
        (Role::MandalCoordinator, "S1-M1", &["S1-B1"][..]),
        (Role::MandalCoordinator, "S1-M2", &["S1-B4"]),
        (Role::DistrictCoordinator, "S1-D1", &["S1-B1", "S1-B4"]),
        (Role::ConstituencyCoordinator, "S1-AC1", &["S1-B1", "S1-B4"]),
        (Role::ConstituencyCoordinator, "S1-AC2", &[]),
        (Role::Auditor, "S1-B1", &["S1-B1"]),
        (Role::StateAdmin, "S2", &["S2-B1"]),
        (Role::NationalAdmin, "IN", &["S1-B1", "S1-B4", "S2-B1"]),
    ] {
        let client = s.world.actor(&s.app, role, unit).await.client;
        let items = read_all(&client, 2, "").await;
        let told: BTreeSet<i64> = items
            .iter()
            .map(|item| item["unit_ids"][0].as_i64().unwrap())
            .collect();
        let wanted: BTreeSet<i64> = booths
            .iter()
            .map(|booth| i64::from(s.world.unit(booth)))
            .collect();
        assert_eq!(told, wanted, "{} of {unit}", role.as_str());
    }
    s.worker.get("/v1/feed").await.expect(403);
    s.worker.get("/v1/feed/stream").await.expect(403);
    // As a visit is read, so it is told.
    let item = &read_all(&s.desk, 500, "").await[0];
    let read = s.desk.get(&format!("/v1/visits/{mine}")).await.expect(200).json;
    assert_eq!(item["subjects"][0]["value"], read);
    assert_eq!(item["actor"]["worker_id"], read["worker_id"]);
}

#[actix_web::test]
async fn a_foreign_cursor_opens_nothing_and_a_made_up_one_is_refused() {
    let s = scene().await;
    s.record().await;
    let start = s.desk.get("/v1/feed").await.expect(200).json;
    let cursor = start["next_cursor"].as_str().unwrap();
    s.record().await;
    let other = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M2")
        .await
        .client;
    let page = other
        .get(&format!("/v1/feed?cursor={cursor}"))
        .await
        .expect(200)
        .json;
    assert_eq!(page["items"], json!([]));
    let page = s
        .desk
        .get(&format!("/v1/feed?cursor={cursor}"))
        .await
        .expect(200)
        .json;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    let units = s.desk.get("/v1/units?limit=1").await.expect(200).json;
    let booth = s.world.unit("S1-B1");
    for path in [
        format!("/v1/feed?under={booth}&cursor={cursor}"),
        format!("/v1/feed?cursor={}", units["next_cursor"].as_str().unwrap()),
        format!("/v1/feed?cursor=A{cursor}"),
        "/v1/feed?cursor=".to_owned(),
        "/v1/feed/stream?cursor=nonsense".to_owned(),
    ] {
        assert_eq!(
            s.desk.get(&path).await.expect(400).json["code"],
            "bad_cursor",
            "{path}"
        );
    }
    let stream = s
        .desk
        .header("Last-Event-ID", "nonsense")
        .get("/v1/feed/stream")
        .await;
    assert_eq!(stream.expect(400).json["code"], "bad_cursor");
    for path in [
        "/v1/feed?wait=31",
        "/v1/feed?wait=x",
        "/v1/feed?limit=0",
        "/v1/feed?from=then",
        "/v1/feed?x=1",
    ] {
        s.desk.get(path).await.expect(422);
    }
    let foreign = s
        .desk
        .get(&format!("/v1/feed?under={}", s.world.unit("S1-B4")))
        .await
        .expect(404);
    let absent = s.desk.get("/v1/feed?under=999999").await.expect(404);
    assert_eq!(foreign.json["detail"], absent.json["detail"]);
}

#[actix_web::test]
async fn a_batch_over_several_booths_shows_each_reader_his_part() {
    let s = scene().await;
    let worker = s.world.actor(&s.app, Role::MandalWorker, "S1-M1").await;
    s.world
        .grant(worker.worker_id, Role::MandalWorker, "S1-M2", "2020-01-01", None)
        .await;
    let (here, there) = (
        visit(&s.world, s.campaign, "S1-B2"),
        visit(&s.world, s.campaign, "S1-B4"),
    );
    worker
        .client
        .post("/v1/visits/batch", json!({"visits": [here, there]}))
        .await
        .expect(200);
    s.post().await;
    let items = read_all(&s.desk, 50, "").await;
    assert_eq!(actions(&items), ["visit.record"]);
    assert_eq!(items[0]["count"], 1);
    assert_eq!(items[0]["subjects"][0]["id"], here["id"]);
    assert_eq!(items[0]["unit_ids"], json!([s.world.unit("S1-B2")]));
    assert!(!items[0].to_string().contains(there["id"].as_str().unwrap()));
}

#[actix_web::test]
async fn who_loses_a_booth_is_told_that_it_left_and_who_gains_it_that_it_came() {
    let s = scene().await;
    let admin = s.world.actor(&s.app, Role::StateAdmin, "S1").await.client;
    let gaining = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M2")
        .await
        .client;
    let mine = s.record().await;
    let booth = s.world.unit("S1-B1");
    let place =
        |from: &str| json!({"tree": "organisation", "parent_id": s.world.unit("S1-M2"), "valid_from": from});
    // Planned for a day to come, it is there still, and both are told when to look again.
    let path = format!("/v1/units/{booth}/placements");
    admin.post(&path, place("2026-12-01")).await.expect(201);
    s.post().await;
    let planned = read_all(&s.desk, 50, "").await;
    assert_eq!(actions(&planned), ["visit.record", "unit.place"]);
    let subject = &planned[1]["subjects"][0];
    assert_eq!(subject["standing"], "current");
    assert_eq!(subject["changes_on"], "2026-12-01");
    assert_eq!(subject["value"]["id"], booth);
    let coming = read_all(&gaining, 50, "").await;
    assert_eq!(actions(&coming), ["unit.place"]);
    assert_eq!(coming[0]["subjects"][0]["standing"], "out_of_scope");
    assert_eq!(coming[0]["subjects"][0]["changes_on"], "2026-12-01");
    assert_eq!(coming[0]["subjects"][0]["value"], json!(null));
    // On that day it is gone for one and there for the other.
    s.app.clock.advance(chrono::TimeDelta::days(8));
    let again = |unit: &'static str| s.world.actor(&s.app, Role::MandalCoordinator, unit);
    let (losing, gaining) = (again("S1-M1").await.client, again("S1-M2").await.client);
    let left = read_all(&losing, 50, "").await;
    assert_eq!(
        actions(&left),
        ["unit.place"],
        "what happened in it is no longer his"
    );
    assert_eq!(left[0]["subjects"][0]["standing"], "out_of_scope");
    let came = read_all(&gaining, 50, "").await;
    assert_eq!(actions(&came), ["visit.record", "unit.place"]);
    assert_eq!(
        came[1]["subjects"][0]["value"]["parents"]["organisation"],
        s.world.unit("S1-M2")
    );
    assert_eq!(came[0]["subjects"][0]["id"], mine);
    let other_mandal = again("S1-M2").await.client;
    let under = format!("&under={}", s.world.unit("S1-B5"));
    assert_eq!(read_all(&other_mandal, 50, &under).await, Vec::<Value>::new());
}

#[actix_web::test]
async fn a_visit_that_was_taken_back_is_a_tombstone_and_an_older_entry_shows_what_is_now() {
    let s = scene().await;
    let (kept, voided) = (s.record().await, s.record().await);
    let path = format!("/v1/visits/{kept}");
    let tag = s
        .desk
        .get(&path)
        .await
        .expect(200)
        .header("etag")
        .unwrap()
        .to_owned();
    let corrected = s
        .desk
        .header("If-Match", &tag)
        .patch(&path, json!({"people_met": 5}))
        .await;
    corrected.expect(200);
    s.desk
        .post(
            &format!("/v1/visits/{voided}/void"),
            json!({"reason": "never made"}),
        )
        .await
        .expect(200);
    s.post().await;
    let items = read_all(&s.desk, 50, "").await;
    assert_eq!(
        actions(&items),
        ["visit.record", "visit.record", "visit.correct", "visit.void"]
    );
    for (n, standing) in [(0, "current"), (1, "voided"), (2, "current"), (3, "voided")] {
        assert_eq!(items[n]["subjects"][0]["standing"], standing, "{n}");
    }
    assert_eq!(items[0]["subjects"][0]["value"]["people_met"], 5);
    assert_eq!(items[3]["subjects"][0]["value"], json!(null));
    assert!(!items[3].to_string().contains("never made"));
}

#[actix_web::test]
async fn a_campaign_is_told_wherever_it_runs() {
    let s = scene().await;
    let admin = s.world.actor(&s.app, Role::NationalAdmin, "IN").await.client;
    let new =
        |unit: &str| json!({"unit_id": s.world.unit(unit), "name": "Ghar ghar", "starts_on": "2026-11-20"});
    for unit in ["IN", "S1-AC1", "S1-M2", "S2"] {
        admin.post("/v1/campaigns", new(unit)).await.expect(201);
    }
    s.post().await;
    let items = read_all(&s.desk, 50, "").await;
    let mut units: Vec<i64> = items
        .iter()
        .map(|item| item["subjects"][0]["value"]["unit_id"].as_i64().unwrap())
        .collect();
    units.sort_unstable();
    assert_eq!(units, [s.world.unit("IN"), s.world.unit("S1-AC1")].map(i64::from));
}

#[actix_web::test]
async fn a_service_is_told_ids_units_and_counts_and_no_more() {
    let s = scene().await;
    let admin = s.world.actor(&s.app, Role::StateAdmin, "S1").await.client;
    let service = json!({"name": "Dashboard", "contact": "IT cell", "unit_id": s.world.unit("S1"), "actions": ["feed.read"], "unit_ids": [s.world.unit("S1-M1")]});
    let secret = admin.post("/v1/services", service).await.expect(201).json["secret"].clone();
    let asked = json!({"grant_type": "client_credentials", "client_id": secret["client_id"], "client_secret": secret["client_secret"]});
    let token = s
        .app
        .anonymous()
        .post("/v1/auth/token", asked)
        .await
        .expect(200)
        .json;
    let service = s.app.with_token(token["access_token"].as_str().unwrap());
    let mut sent = visit(&s.world, s.campaign, "S1-B1");
    sent["note"] = json!("wants a road");
    s.worker.post("/v1/visits", sent.clone()).await.expect(201);
    let new = json!({"unit_id": s.world.unit("S1-B1"), "name": "Asha Devi", "phone": "+919811111111"});
    s.desk.post("/v1/workers", new).await.expect(201);
    s.post().await;
    assert!(
        actions(&read_all(&s.desk, 50, "").await).len() > 1,
        "a coordinator is told of both"
    );
    let items = read_all(&service, 50, "").await;
    assert_eq!(actions(&items), ["visit.record"]);
    let booth = s.world.unit("S1-B1");
    assert_eq!(items[0]["actor"], json!(null));
    assert_eq!(items[0]["count"], 1);
    let subject =
        json!({"id": sent["id"], "standing": "current", "unit_id": booth, "changes_on": null, "value": null});
    assert_eq!(items[0]["subjects"], json!([subject]));
    let mut events = service.follow("/v1/feed/stream").await;
    assert_eq!(events.next_event().await.unwrap().data, items[0]);
}

#[actix_web::test]
async fn who_sees_little_of_a_busy_state_is_led_past_the_rest_in_bounded_steps() {
    let s = scene_with(Settings {
        poster: false,
        ..Settings::default()
    })
    .await;
    let mine = s.record().await;
    s.world
        .db
        .execute(
            "INSERT INTO journal (state_id, number, unit_id, unit_ids, action, subject, subject_ids, subject_uuids, digest, at, leaf_hash)
             SELECT $1::int, n, $2::int, ARRAY[$3::int], 'visit.record', 'visit', '{}', '{}', decode(repeat('00', 32), 'hex'), now(), decode(repeat('00', 32), 'hex')
             FROM generate_series(2, 10001) AS n",
            &[&s.world.unit("S1"), &s.world.unit("S1-B5"), &s.world.unit("S1-B5")],
        )
        .await
        .unwrap();
    s.world
        .db
        .execute("UPDATE journal_heads SET size = 10001", &[])
        .await
        .unwrap();
    let last = s.record().await;
    let mut told = Vec::new();
    let (mut cursor, mut pages) = (String::new(), 0);
    loop {
        let page = s
            .desk
            .get(&format!("/v1/feed?limit=50{cursor}"))
            .await
            .expect(200)
            .json;
        pages += 1;
        for item in page["items"].as_array().unwrap() {
            told.push(item["subjects"][0]["id"].as_str().unwrap().to_owned());
        }
        cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap());
        if page["more"] == json!(false) {
            break;
        }
    }
    assert_eq!(told, [mine, last]);
    assert!((3..=6).contains(&pages), "{pages} pages");
}

#[actix_web::test]
async fn a_cursor_of_another_past_is_gone() {
    let s = scene().await;
    for _ in 0..3 {
        s.record().await;
    }
    let first = s.desk.get("/v1/feed?limit=1").await.expect(200).json;
    let last = s.desk.get("/v1/feed?from=now").await.expect(200).json;
    let with = |page: &Value| format!("/v1/feed?cursor={}", page["next_cursor"].as_str().unwrap());
    s.world
        .db
        .execute("DELETE FROM journal WHERE number <= 2", &[])
        .await
        .unwrap();
    let gone = s.desk.get(&with(&first)).await.expect(410);
    assert_eq!(gone.json["code"], "cursor_too_old");
    s.desk.get(&with(&last)).await.expect(200);
    // The database was put back to an earlier day.
    s.world
        .db
        .execute("UPDATE journal_heads SET size = 1", &[])
        .await
        .unwrap();
    s.desk.get(&with(&last)).await.expect(410);
}
