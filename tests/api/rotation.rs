//! A new data key while phones read and write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use sampark::access::{KeyRing, Role, code_keys};
use sampark::features::privacy::{drop_unused, reseal_all};
use sampark::features::sessions::{Resealed, reseal_factors};
use sampark::platform::clock::Clock;
use sampark::platform::data_keys::{DataKeys, Place};
use sampark::platform::db::Db;
use serde_json::json;
use uuid::Uuid;

use crate::sign_in::Scene;
use crate::support::{Answer, DATA_KEYS, Settings, TestApp, TestDatabase, World, noon};
use crate::visits::visit;

#[actix_web::test]
async fn a_data_key_is_replaced_while_requests_read_and_write() {
    let database = Arc::new(TestDatabase::create().await);
    let file = database.scratch_file("data.keys");
    std::fs::write(&file, DATA_KEYS).unwrap();
    let clock = Clock::manual(chrono_tz::Asia::Kolkata, noon());
    let keys = KeyRing::ephemeral().unwrap();
    let named = file.clone();
    // The server sees a new key when it looks at the file again, or meets what it sealed.
    let app = TestApp::start_with_config(
        database.clone(),
        clock.clone(),
        keys,
        Settings {
            pool_size: 16,
            ..Settings::default()
        },
        move |config| config.data_keys_file = Some(named),
    );
    let world = World::build(&app).await;
    let campaign = world.campaign("S1-B1").await;
    let household = world.household("S1-B1").await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let stop = Arc::new(AtomicBool::new(false));
    let rounds = Arc::new(AtomicUsize::new(0));
    let mut phones = Vec::new();
    for n in 0..3 {
        let (client, stop, rounds) = (worker.client.clone(), stop.clone(), rounds.clone());
        let template = visit(&world, campaign, "S1-B1");
        let contact = crate::contacts::contact(&world, campaign, household);
        phones.push(actix_web::rt::spawn(async move {
            let mut round = 0;
            while !stop.load(Ordering::SeqCst) {
                let note = format!("phone {n} round {round}");
                let mut sent = template.clone();
                sent["id"] = json!(Uuid::now_v7());
                sent["note"] = json!(note);
                client.post("/v1/visits", sent.clone()).await.expect(201);
                let path = format!("/v1/visits/{}", sent["id"].as_str().unwrap());
                let changed = client
                    .header("If-Match", "\"1\"")
                    .patch(&path, json!({"note": format!("{note} again")}))
                    .await
                    .expect(200);
                assert_eq!(changed.json["note"], format!("{note} again"));
                let versions = client.get(&format!("{path}/versions")).await.expect(200);
                assert_eq!(versions.json["items"][0]["visit"]["note"], json!(note));
                let path = format!("/v1/contacts/{}", Uuid::now_v7());
                client.put(&path, contact.clone()).await.expect(201);
                assert_eq!(
                    client.get(&path).await.expect(200).json["phone"],
                    crate::contacts::PHONE
                );
                client.get("/v1/me").await.expect(200);
                round += 1;
                rounds.fetch_add(1, Ordering::SeqCst);
            }
            round
        }));
    }
    let more = async |by: usize| {
        let until = rounds.load(Ordering::SeqCst) + by;
        while rounds.load(Ordering::SeqCst) < until {
            tokio::task::yield_now().await;
        }
    };
    more(8).await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await;
    let hook = json!({"unit_id": world.unit("S1"), "url": "https://hooks.example/sampark"});
    let hook = admin.client.post("/v1/webhooks", hook).await.expect(201).json;
    let hook_secret = async || {
        let sql = "SELECT id, sealed FROM webhook_secrets";
        let row = world.db.query_one(sql, &[]).await.unwrap();
        let place = Place::new("webhook_secrets", "sealed", row.get::<_, Uuid>(0));
        let secret = app.state.db.keys().open_sealed(&place, row.get(1)).unwrap();
        json!(format!("whsec_{}", STANDARD.encode(secret)))
    };
    assert_eq!(hook_secret().await, hook["secret"]);
    // The command, with a pool and keys of its own.
    let db = Db::new(&database.url, 2, DataKeys::load(&file).unwrap()).unwrap();
    for (new, old) in [(2, 1), (3, 2)] {
        assert_eq!(db.keys().add_version().unwrap(), new);
        // Dropping at once is refused while something needs the old key.
        assert_eq!(drop_unused(&db).await.unwrap(), Vec::<u16>::new());
        more(4).await;
        // What the watch does every five seconds.
        app.state.db.keys().reload().unwrap();
        more(8).await;
        reseal_all(&db, &clock).await.unwrap();
        assert_eq!(drop_unused(&db).await.unwrap(), [old]);
        app.state.db.keys().reload().unwrap();
        more(4).await;
    }
    stop.store(true, Ordering::SeqCst);
    for phone in phones {
        assert!(phone.await.unwrap() > 0);
    }
    assert_eq!(app.state.db.keys().versions(), [3]);
    assert_eq!(
        hook_secret().await,
        hook["secret"],
        "the secret is the same under the new key"
    );
    let export = world
        .actor(&app, Role::MandalCoordinator, "S1-M1")
        .await
        .client
        .get("/v1/visits/export?format=ndjson")
        .await
        .expect(200);
    let notes = export
        .text()
        .lines()
        .filter(|line| line.contains(" again\""))
        .count();
    assert_eq!(notes, rounds.load(Ordering::SeqCst));
}

/// A sign-in with the app alone, on a phone that was signed in before.
async fn with_app(s: &Scene, (phone, secret): (&str, &str), device: Uuid) -> Answer {
    let sent = json!({
        "grant_type": "totp", "phone": phone, "totp": s.password(secret), "device": {"id": device},
    });
    s.token(sent).await
}

#[actix_web::test]
async fn the_key_of_codes_is_replaced_and_no_code_refresh_or_second_factor_is_lost() {
    let database = Arc::new(TestDatabase::create().await);
    let data_dir = database.scratch_file("data");
    let clock = Clock::manual(chrono_tz::Asia::Kolkata, noon());
    let keys = KeyRing::load_or_make(&data_dir).unwrap();
    let app = TestApp::start_on(database, clock.clone(), keys, Settings::default());
    let world = World::build(&app).await;
    let anyone = app.anonymous();
    let s = Scene { app, world, anyone };
    let (phones, worker) = ([Uuid::new_v4(), Uuid::new_v4()], Uuid::new_v4());
    let (first, number, secret) = s.coordinator(phones[0]).await;
    let (second, other_number, other_secret) = s.coordinator(phones[1]).await;
    let sealed = async |id: i32| -> Vec<u8> {
        let sql = "SELECT sealed FROM second_factors WHERE worker_id = $1";
        s.world.db.query_one(sql, &[&id]).await.unwrap().get(0)
    };
    let before = [sealed(first).await, sealed(second).await];
    // A third has not confirmed his yet.
    let (third, third_number) = s.worker(Role::MandalCoordinator, "S1-M2").await;
    let above = s.world.actor(&s.app, Role::DistrictCoordinator, "S1-D1").await;
    let read_out = format!("/v1/workers/{third}/sign-in-code");
    let read_out = above.client.post(&read_out, json!({})).await.expect(201).json;
    let third_phone = Uuid::new_v4();
    let code = read_out["code"].as_str().unwrap();
    let begun = s.with_code(&third_number, code, third_phone).await.expect(200);
    let pending = s
        .client(&begun)
        .post("/v1/auth/second-factor", json!({}))
        .await
        .expect(200);
    let third_secret = pending.json["secret"].as_str().unwrap();
    let (_, phone) = s.worker(Role::BoothWorker, "S1-B1").await;
    let code = s.code(&phone).await;
    // A refresh whose reply is lost while the key changes.
    let (_, lossy) = s.worker(Role::BoothWorker, "S1-B2").await;
    let signed_in = s
        .with_code(&lossy, &s.code(&lossy).await, Uuid::new_v4())
        .await
        .expect(200);
    let refresh = json!({"grant_type": "refresh_token", "refresh_token": signed_in.json["refresh_token"]});

    code_keys::add(&data_dir, clock.now()).unwrap();
    // What every server does every five seconds.
    s.app.state.access.keys().reload().unwrap();
    clock.advance(TimeDelta::seconds(30));
    let lost = s.token(refresh.clone()).await.expect(200);
    // Now the new key writes.
    clock.advance(TimeDelta::seconds(31));
    let old = s.token(refresh).await.expect(200);
    assert_eq!(old.json["refresh_token"], lost.json["refresh_token"]);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    s.with_code(&phone, wrong, worker).await.expect(401);
    s.with_code(&phone, &code, worker).await.expect(200);
    s.with_code(&phone, &code, worker).await.expect(401);
    with_app(&s, (&number, &secret), phones[0]).await.expect(200);
    assert_ne!(sealed(first).await, before[0], "sealed anew when it was used");
    assert_eq!(sealed(second).await, before[1]);
    let totp = json!({"totp": s.password(third_secret)});
    s.client(&begun)
        .post("/v1/auth/second-factor/confirm", totp)
        .await
        .expect(204);
    // The command, with keys and a pool of its own.
    let keys = KeyRing::load_or_make(&data_dir).unwrap();
    let db = s.app.state.db.clone();
    // What no key opens any more, from one that was replaced by hand, holds nobody up.
    let (lost, _) = s.worker(Role::MandalCoordinator, "S1-M2").await;
    let sql = "INSERT INTO second_factors (worker_id, pending, created_at) VALUES ($1, '\\x00112233', now())";
    s.world.db.execute(sql, &[&lost]).await.unwrap();
    let done = |anew| Resealed { anew, lost: 1 };
    assert_eq!(reseal_factors(&db, &clock, &keys).await.unwrap(), done(1));
    assert_ne!(sealed(second).await, before[1]);
    assert_eq!(reseal_factors(&db, &clock, &keys).await.unwrap(), done(0));
    assert_eq!(
        code_keys::drop_retired(&data_dir, clock.now()).unwrap(),
        0,
        "codes are under way"
    );
    clock.advance(TimeDelta::hours(2));
    assert_eq!(code_keys::drop_retired(&data_dir, clock.now()).unwrap(), 1);
    s.app.state.access.keys().reload().unwrap();
    with_app(&s, (&number, &secret), phones[0]).await.expect(200);
    with_app(&s, (&third_number, third_secret), third_phone)
        .await
        .expect(200);
    with_app(&s, (&other_number, &other_secret), phones[1])
        .await
        .expect(200);
    let told = "SELECT count(*) FROM journal WHERE action = 'data.reseal' AND subject = 'second_factor'";
    s.app.posted().await;
    assert_eq!(s.count(told).await, 2);
}
