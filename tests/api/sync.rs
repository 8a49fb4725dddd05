//! What a phone is given by `/v1/sync`. That it always comes to hold what the server holds is in model_phone.rs.

use flate2::Compression;
use flate2::write::GzEncoder;
use sampark::access::Role;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Instant;
use uuid::Uuid;

use crate::support::{Actor, Phone, Settings, TestApp, World, count, noon};
use crate::visits::visit;

struct Scene {
    app: TestApp,
    world: World,
    campaign: i32,
    admin: Actor,
}

async fn scene() -> Scene {
    let app = TestApp::start_with(Settings {
        poster: false,
        ..Settings::default()
    })
    .await;
    let world = World::build(&app).await;
    let campaign = world.campaign("S1").await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await;
    Scene {
        app,
        world,
        campaign,
        admin,
    }
}

impl Scene {
    async fn actor(&self, role: Role, unit: &str) -> Actor {
        self.world.actor(&self.app, role, unit).await
    }

    async fn put_household(&self, id: Uuid, booth: &str, label: &str) {
        let body = json!({"booth_id": self.world.unit(booth), "label": label});
        let answer = self.admin.client.put(&format!("/v1/households/{id}"), body).await;
        assert!(answer.status < 300, "{}", answer.text());
    }

    async fn household(&self, booth: &str) -> Uuid {
        let id = Uuid::now_v7();
        self.put_household(id, booth, "12-A").await;
        id
    }

    async fn move_to(&self, unit: &str, parent: &str, from: &str) {
        let body = json!({"tree": "organisation", "parent_id": self.world.unit(parent), "valid_from": from});
        let path = format!("/v1/units/{}/placements", self.world.unit(unit));
        let answer = self.admin.client.post(&path, body).await;
        assert!(answer.status < 300, "{}", answer.text());
    }

    async fn post_journal(&self) {
        self.app.posted().await;
    }
}

/// The last page alone: what one more sync brings.
async fn next(phone: &mut Phone, actor: &Actor) -> Value {
    let mut pages = phone.sync(&actor.client, 2_000).await;
    assert_eq!(pages.len(), 1);
    pages.remove(0)
}

fn ids(items: &Value) -> Vec<String> {
    let items = items.as_array().unwrap().iter();
    items
        .map(|item| item["id"].to_string().replace('"', ""))
        .collect()
}

#[actix_web::test]
async fn a_booth_workers_first_sync_holds_all_that_he_needs_and_nothing_else() {
    let s = scene().await;
    let own = s.household("S1-B1").await;
    s.household("S1-B2").await;
    s.world.campaign("S1-AC2").await;
    let in_seat = s.world.campaign("S1-AC1").await;
    let worker = s.actor(Role::BoothWorker, "S1-B1").await;
    let other = s.actor(Role::BoothWorker, "S1-B1").await;
    let made = visit(&s.world, s.campaign, "S1-B1");
    worker.client.post("/v1/visits", made.clone()).await.expect(201);
    other
        .client
        .post("/v1/visits", visit(&s.world, s.campaign, "S1-B1"))
        .await
        .expect(201);
    let page = worker.client.post("/v1/sync", json!({})).await.expect(200).json;
    assert_eq!((&page["fresh"], &page["has_more"]), (&json!(true), &json!(false)));
    assert_eq!(page["grants"].as_array().unwrap().len(), 1);
    assert_eq!(page["grants"][0]["role"], "booth_worker");
    assert_eq!(page["booths"]["gained"], json!([s.world.unit("S1-B1")]));
    let lineage: Vec<i32> = ["IN", "S1", "S1-D1", "S1-M1", "S1-PC1", "S1-AC1", "S1-B1"]
        .map(|code| s.world.unit(code))
        .to_vec();
    assert_eq!(
        ids(&page["units"]),
        lineage.iter().map(i32::to_string).collect::<Vec<_>>()
    );
    let units = page["units"].as_array().unwrap();
    let booth = units.last().unwrap();
    assert_eq!(
        (&booth["within"], &booth["lineage"]),
        (&json!(true), &json!(lineage))
    );
    assert_eq!(booth["parents"]["organisation"], s.world.unit("S1-M1"));
    // Of what lies above him a worker is told names, not figures.
    assert!(
        units[..6]
            .iter()
            .all(|unit| unit["within"] == false && unit["electors"].is_null())
    );
    assert_eq!(
        ids(&page["campaigns"]),
        [s.campaign.to_string(), in_seat.to_string()]
    );
    assert_eq!(page["campaigns"][0]["questions"].as_array().unwrap().len(), 2);
    assert_eq!(ids(&page["households"]), [own.to_string()]);
    assert_eq!(ids(&page["visits"]), [made["id"].as_str().unwrap()]);
    assert_eq!(page["visits"][0]["review"], "unreviewed");
}

#[actix_web::test]
async fn what_changed_comes_and_nothing_else() {
    let s = scene().await;
    let (first, second) = (s.household("S1-B1").await, s.household("S1-B1").await);
    s.post_journal().await;
    let worker = s.actor(Role::MandalWorker, "S1-M1").await;
    let mut phone = Phone::fresh(&worker.client).await;
    assert_eq!(phone.of("households").len(), 2);
    assert_eq!(count(&next(&mut phone, &worker).await), 0);
    // Posted or not: a change is given at once, and given alone.
    for post in [false, true] {
        s.put_household(second, "S1-B1", if post { "14" } else { "13" })
            .await;
        if post {
            s.post_journal().await;
        }
        let page = next(&mut phone, &worker).await;
        assert_eq!(
            (ids(&page["households"]), count(&page)),
            (vec![second.to_string()], 1)
        );
        s.post_journal().await;
        assert_eq!(
            count(&next(&mut phone, &worker).await),
            0,
            "posting alone changes nothing"
        );
    }
    assert_eq!(phone.of("households")[&first.to_string()]["label"], "12-A");
    let path = format!("/v1/campaigns/{}", s.campaign);
    let patch = json!({"name": "Another name"});
    s.admin
        .client
        .header("If-Match", "\"1\"")
        .patch(&path, patch)
        .await
        .expect(200);
    let page = next(&mut phone, &worker).await;
    assert_eq!(
        (ids(&page["campaigns"]), count(&page)),
        (vec![s.campaign.to_string()], 1)
    );
    let path = format!("/v1/units/{}", s.world.unit("S1-B2"));
    s.admin
        .client
        .header("If-Match", "\"1\"")
        .patch(&path, json!({"doors": 7}))
        .await
        .expect(200);
    let page = next(&mut phone, &worker).await;
    assert_eq!(
        (ids(&page["units"]), count(&page)),
        (vec![s.world.unit("S1-B2").to_string()], 1)
    );
}

#[actix_web::test]
async fn a_workers_own_visits_tell_what_others_did_to_them() {
    let s = scene().await;
    let worker = s.actor(Role::BoothWorker, "S1-B1").await;
    let mut phone = Phone::fresh(&worker.client).await;
    let mut skewed = visit(&s.world, s.campaign, "S1-B1");
    skewed["visited_at"] = json!("2026-11-24T11:00:00+05:30");
    let plain = visit(&s.world, s.campaign, "S1-B1");
    let body = json!({"visits": [skewed, plain]});
    worker.client.post("/v1/visits/batch", body).await.expect(200);
    next(&mut phone, &worker).await;
    let held = |phone: &Phone, visit: &Value| phone.of("visits")[visit["id"].as_str().unwrap()].clone();
    assert_eq!(held(&phone, &skewed)["flags"][0]["code"], "clock_skew");
    let path = format!("/v1/visits/{}/void", plain["id"].as_str().unwrap());
    s.admin
        .client
        .post(&path, json!({"reason": "Never made"}))
        .await
        .expect(200);
    next(&mut phone, &worker).await;
    let voided = held(&phone, &plain);
    assert_eq!(
        (&voided["voided"], &voided["void_reason"]),
        (&json!(true), &json!("Never made"))
    );
    assert_eq!(voided["version"], 2);
    let path = format!("/v1/visits/{}/review", skewed["id"].as_str().unwrap());
    let coordinator = s.actor(Role::MandalCoordinator, "S1-M1").await;
    for reason in ["Nobody lives there", "The door is bricked up"] {
        let verdict = json!({"verdict": "rejected", "reason": reason});
        let answer = coordinator.client.post(&path, verdict).await;
        assert!(answer.status < 300, "{}", answer.text());
        next(&mut phone, &worker).await;
        let rejected = held(&phone, &skewed);
        assert_eq!(
            (&rejected["review"], &rejected["review_reason"]),
            (&json!("rejected"), &json!(reason))
        );
        assert_eq!(rejected["version"], 1, "a verdict makes no version");
    }
}

#[actix_web::test]
async fn a_move_takes_booths_with_their_households_and_brings_others() {
    let s = scene().await;
    for booth in ["S1-B1", "S1-B3", "S1-B4"] {
        s.household(booth).await;
    }
    let worker = s.actor(Role::MandalWorker, "S1-M1").await;
    let mut phone = Phone::fresh(&worker.client).await;
    s.move_to("S1-B3", "S1-M2", "2026-11-23").await;
    s.move_to("S1-B4", "S1-M1", "2026-11-23").await;
    let page = next(&mut phone, &worker).await;
    let (b3, b4) = (s.world.unit("S1-B3"), s.world.unit("S1-B4"));
    assert_eq!(page["booths"], json!({"gained": [b4], "lost": [b3]}));
    assert_eq!(page["gone"]["units"], json!([b3]));
    assert_eq!(ids(&page["units"]), [b4.to_string()]);
    assert_eq!(page["households"].as_array().unwrap().len(), 1);
    phone.assert_holds_the_same(&Phone::fresh(&worker.client).await, "the moves");
}

#[actix_web::test]
async fn a_move_that_was_planned_is_felt_on_its_day_though_nothing_is_written_then() {
    let s = scene().await;
    let worker = s.actor(Role::MandalWorker, "S1-M1").await;
    let mut phone = Phone::fresh(&worker.client).await;
    s.move_to("S1-B3", "S1-M2", "2026-11-24").await;
    assert_eq!(next(&mut phone, &worker).await["booths"]["lost"], json!([]));
    s.app.clock.advance(chrono::TimeDelta::days(1));
    let worker = s.world.sign_in(&s.app, worker.worker_id).await;
    let page = next(&mut phone, &worker).await;
    assert_eq!(page["booths"]["lost"], json!([s.world.unit("S1-B3")]));
}

#[actix_web::test]
async fn grants_come_and_go_with_what_they_open() {
    let s = scene().await;
    s.household("S1-B5").await;
    let worker = s.actor(Role::BoothWorker, "S1-B1").await;
    let mut phone = Phone::fresh(&worker.client).await;
    let path = format!("/v1/workers/{}/grants", worker.worker_id);
    let grant = json!({"role": "booth_worker", "unit_id": s.world.unit("S1-B5"), "valid_from": "2026-11-23"});
    let grant = s.admin.client.post(&path, grant).await.expect(201).json["id"].clone();
    let page = next(&mut phone, &worker).await;
    assert_eq!(page["booths"]["gained"], json!([s.world.unit("S1-B5")]));
    assert_eq!(phone.of("households").len(), 1);
    s.admin
        .client
        .delete(&format!("{path}/{grant}"))
        .await
        .expect(204);
    let page = next(&mut phone, &worker).await;
    assert_eq!(page["gone"]["grants"], json!([grant]));
    assert_eq!(page["booths"]["lost"], json!([s.world.unit("S1-B5")]));
    assert!(phone.of("households").is_empty());
}

#[actix_web::test]
async fn pages_are_bounded_and_writing_goes_on_between_them() {
    let s = scene().await;
    for n in 0..25 {
        s.household(["S1-B1", "S1-B2"][n % 2]).await;
    }
    let worker = s.actor(Role::MandalWorker, "S1-M1").await;
    for _ in 0..9 {
        let made = visit(&s.world, s.campaign, "S1-B1");
        worker.client.post("/v1/visits", made).await.expect(201);
    }
    let mut phone = Phone::default();
    let mut pages = 0;
    loop {
        let page = worker
            .client
            .post("/v1/sync", phone.request(4))
            .await
            .expect(200)
            .json;
        assert!(count(&page) <= 4);
        assert_eq!(page["hashes"].is_null(), page["has_more"] == true);
        phone.apply(&page);
        pages += 1;
        if phone.complete {
            break;
        }
        // Something that was sent already changes, and something new comes before what is being sent.
        if pages < 12 {
            if let Some((sent, item)) = phone.of("households").iter().next() {
                let booth = if item["booth_id"] == s.world.unit("S1-B1") {
                    "S1-B1"
                } else {
                    "S1-B2"
                };
                s.put_household(sent.parse().unwrap(), booth, &format!("changed {pages}"))
                    .await;
            }
            let id = Uuid::from_u128(u128::from(u32::try_from(pages).unwrap()));
            s.put_household(id, "S1-B2", "new").await;
            let made = visit(&s.world, s.campaign, "S1-B2");
            worker.client.post("/v1/visits", made).await.expect(201);
            s.post_journal().await;
        }
        assert!(pages < 200);
    }
    assert!(pages > 12);
    phone.assert_holds_the_same(&Phone::fresh(&worker.client).await, "writing between the pages");
}

#[actix_web::test]
async fn a_reply_that_got_lost_is_asked_for_again() {
    let s = scene().await;
    let door = s.household("S1-B1").await;
    let worker = s.actor(Role::BoothWorker, "S1-B1").await;
    let phone = Phone::fresh(&worker.client).await;
    s.put_household(door, "S1-B1", "13").await;
    let first = worker
        .client
        .post("/v1/sync", phone.request(100))
        .await
        .expect(200)
        .json;
    let again = worker
        .client
        .post("/v1/sync", phone.request(100))
        .await
        .expect(200)
        .json;
    assert_eq!(first, again);
}

#[actix_web::test]
async fn a_phone_that_lost_something_gets_that_kind_anew() {
    let s = scene().await;
    let door = s.household("S1-B1").await;
    s.household("S1-B2").await;
    let task = crate::tasks::task(s.world.unit("S1"), "booth");
    s.admin.client.post("/v1/tasks", task).await.expect(201);
    let worker = s.actor(Role::MandalWorker, "S1-M1").await;
    let made = visit(&s.world, s.campaign, "S1-B1");
    worker.client.post("/v1/visits", made).await.expect(201);
    let sound = Phone::fresh(&worker.client).await;
    for kind in crate::support::KINDS {
        let mut phone = sound.clone();
        let lost = phone.of(kind).keys().next().unwrap().clone();
        phone.items.get_mut(kind).unwrap().remove(&lost);
        let page = next(&mut phone, &worker).await;
        assert_eq!((&page["reset"], &page["fresh"]), (&json!([kind]), &json!(false)));
        assert_eq!(count(&page), sound.of(kind).len());
        phone.assert_holds_the_same(&sound, "mending");
    }
    // An older item in place of a newer one is noticed as well.
    let mut phone = sound.clone();
    s.put_household(door, "S1-B1", "13").await;
    let old = phone.of("households")[&door.to_string()].clone();
    next(&mut phone, &worker).await;
    phone
        .items
        .get_mut("households")
        .unwrap()
        .insert(door.to_string(), old);
    assert_eq!(next(&mut phone, &worker).await["reset"], json!(["households"]));
    phone.assert_holds_the_same(&Phone::fresh(&worker.client).await, "mending");
}

#[actix_web::test]
async fn what_the_journal_does_not_tell_of_sends_the_booth_whole() {
    let s = scene().await;
    for _ in 0..3 {
        s.household("S1-B1").await;
    }
    s.household("S1-B2").await;
    s.post_journal().await;
    let worker = s.actor(Role::MandalWorker, "S1-M1").await;
    let mut phone = Phone::fresh(&worker.client).await;
    let sql =
        "DELETE FROM households WHERE id = (SELECT min(id::text)::uuid FROM households WHERE booth_id = $1)";
    s.world.db.execute(sql, &[&s.world.unit("S1-B1")]).await.unwrap();
    let page = next(&mut phone, &worker).await;
    assert_eq!(page["replaced"]["booths"], json!([s.world.unit("S1-B1")]));
    assert_eq!(page["households"].as_array().unwrap().len(), 2);
    phone.assert_holds_the_same(&Phone::fresh(&worker.client).await, "a change by hand");
}

#[actix_web::test]
async fn a_cursor_works_for_ninety_days_and_for_its_worker_alone() {
    let s = scene().await;
    let worker = s.actor(Role::BoothWorker, "S1-B1").await;
    let mut phone = Phone::fresh(&worker.client).await;
    let other = s.actor(Role::BoothWorker, "S1-B1").await;
    let answer = other
        .client
        .post("/v1/sync", phone.request(100))
        .await
        .expect(400);
    assert_eq!(answer.json["code"], "bad_cursor");
    s.app.clock.advance(chrono::TimeDelta::days(90));
    let worker = s.world.sign_in(&s.app, worker.worker_id).await;
    let old = phone.clone();
    next(&mut phone, &worker).await;
    s.app.clock.advance(chrono::TimeDelta::seconds(1));
    let answer = worker.client.post("/v1/sync", old.request(100)).await.expect(410);
    assert_eq!(answer.json["code"], "cursor_too_old");
    next(&mut phone, &worker).await;
}

#[actix_web::test]
async fn bad_requests_are_named_and_too_many_booths_refused() {
    let s = scene().await;
    let admin = &s.admin.client;
    let body = json!({"limit": 0, "held": {"visits": "12"}});
    let answer = admin.post("/v1/sync", body).await.expect(422);
    let pointers: Vec<_> = answer.json["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].clone())
        .collect();
    assert_eq!(pointers, ["/limit", "/held/visits"]);
    admin
        .post("/v1/sync", json!({"held": {"booths": "0000000000000000"}}))
        .await
        .expect(422);
    admin.post("/v1/sync", json!({"cursor": "x"})).await.expect(400);
    admin.post("/v1/sync", json!({})).await.expect(200);
    let many = format!(
        "INSERT INTO units (id, code, level, name, state_id, created_at, updated_at)
             SELECT n, 'S2-X' || n, 'booth', 'Booth', {s2}, now(), now() FROM generate_series(5000, 5499) n;
         INSERT INTO lineages (unit_id, valid_from, state_id, unit_ids)
             SELECT n, '0001-01-01', {s2}, ARRAY[{nation}, {s2}, n] FROM generate_series(5000, 5499) n",
        s2 = s.world.unit("S2"),
        nation = s.world.unit("IN"),
    );
    s.world.db.batch_execute(&many).await.unwrap();
    let answer = admin.post("/v1/sync", json!({})).await.expect(422);
    assert_eq!(answer.json["code"], "scope_too_wide");
    let auditor = s.actor(Role::Auditor, "S1-M1").await;
    auditor.client.post("/v1/sync", json!({})).await.expect(403);
}

#[actix_web::test]
async fn from_above_the_mandal_doors_are_blurred_and_sharp_again_once_one_works_there() {
    let s = scene().await;
    let door = Uuid::now_v7();
    let body = json!({"booth_id": s.world.unit("S1-B1"), "label": "7", "location": {"lat": 26.846_712, "lon": 80.946_212}});
    s.admin
        .client
        .put(&format!("/v1/households/{door}"), body)
        .await
        .expect(201);
    let leader = s.actor(Role::DistrictCoordinator, "S1-D1").await;
    let mut phone = Phone::fresh(&leader.client).await;
    let lat = |phone: &Phone| phone.of("households")[&door.to_string()]["location"]["lat"].clone();
    assert_eq!(lat(&phone), 26.847);
    s.world
        .grant(leader.worker_id, Role::MandalWorker, "S1-M1", "2026-11-01", None)
        .await;
    s.app.state.access.forget();
    next(&mut phone, &leader).await;
    assert_eq!(lat(&phone), 26.846_712);
}

/// The size of an answer as gzip makes it.
fn compressed(answer: &crate::support::Answer) -> usize {
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    answer.body.len()
}

#[actix_web::test]
async fn a_booth_of_three_hundred_doors_fits_in_a_hundred_kilobytes_and_an_idle_sync_in_one() {
    let s = scene().await;
    let booth = s.world.unit("S1-B1");
    s.world
        .db
        .execute(
            "INSERT INTO households (id, state_id, booth_id, label, electors, lat, lon, created_at, updated_at)
             SELECT gen_random_uuid(), $1, $2, n || '-' || chr(65 + n % 26), n % 7, 26.8 + random() / 50, 80.9 + random() / 50, $3, $3
             FROM generate_series(1, 300) n",
            &[&s.world.unit("S1"), &booth, &noon()],
        )
        .await
        .unwrap();
    let worker = s.actor(Role::BoothWorker, "S1-B1").await;
    for day in 1..=20 {
        let visits: Vec<Value> = (0..15)
            .map(|_| {
                let mut made = visit(&s.world, s.campaign, "S1-B1");
                made["visited_at"] = json!(format!("2026-11-{day:02}T11:00:00+05:30"));
                made
            })
            .collect();
        worker
            .client
            .post("/v1/visits/batch", json!({"visits": visits}))
            .await
            .expect(200);
    }
    let client = worker.client.header("accept-encoding", "gzip");
    let first = client.post("/v1/sync", json!({})).await.expect(200);
    let size = compressed(&first);
    assert!(size < 100_000, "the first sync takes {size} bytes");
    let mut times = Vec::new();
    for _ in 0..21 {
        let begun = Instant::now();
        client.post("/v1/sync", json!({})).await.expect(200);
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let median = times[10].as_millis();
    let mut phone = Phone::default();
    phone.sync(&worker.client, 1_000).await;
    assert_eq!(
        (phone.of("households").len(), phone.of("visits").len()),
        (300, 300)
    );
    let idle = worker
        .client
        .post("/v1/sync", phone.request(1_000))
        .await
        .expect(200);
    assert_eq!(count(&idle.json), 0);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&idle.body).unwrap();
    let (plain, packed) = (idle.body.len(), gzip.finish().unwrap().len());
    assert!(packed < 1_000, "an idle sync takes {packed} bytes");
    let sent = phone.request(1_000).to_string().len();
    assert!(plain + sent < 2_048, "{plain} bytes answer {sent}");
    eprintln!(
        "first {size} bytes (gzip) in {median} ms, idle {plain} bytes ({packed} gzip), asked for with {sent}"
    );
}
