//! What is kept of people: sealed, refused where it does not belong, and nowhere in the plain.

use sampark::access::Role;
use sampark::features::privacy::seal_waiting;
use sampark::platform::clock::Clock;
use sampark::platform::db::Db;
use serde_json::json;
use uuid::Uuid;

use crate::support::{TestApp, TestDatabase, World, data_keys, noon, phone_of};
use crate::visits::visit;

/// The whole database as text.
async fn dump(db: &tokio_postgres::Client) -> String {
    let sql =
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1";
    let mut text = String::new();
    for row in db.query(sql, &[]).await.unwrap() {
        let table: String = row.get(0);
        let rows = db
            .query(&format!("SELECT t::text FROM \"{table}\" t"), &[])
            .await
            .unwrap();
        for row in rows {
            text.push_str(row.get(0));
            text.push('\n');
        }
    }
    text
}

#[actix_web::test]
async fn phones_and_notes_lie_sealed_in_every_version_and_read_back_whole() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("S1-B1").await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await;
    let mut sent = visit(&world, campaign, "S1-B1");
    sent["note"] = json!("Hand pump broken");
    worker.client.post("/v1/visits", sent.clone()).await.expect(201);
    let path = format!("/v1/visits/{}", sent["id"].as_str().unwrap());
    let corrected = worker
        .client
        .header("If-Match", "\"1\"")
        .patch(&path, json!({"note": "Canal is dry"}))
        .await
        .expect(200);
    assert_eq!(corrected.json["note"], "Canal is dry");
    let versions = coordinator
        .client
        .get(&format!("{path}/versions"))
        .await
        .expect(200);
    let notes: Vec<_> = versions.json["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["visit"]["note"].clone())
        .collect();
    assert_eq!(notes, ["Hand pump broken", "Canal is dry"]);
    // A void under an Idempotency-Key: the answer that is kept holds the note too.
    let key = coordinator.client.header("Idempotency-Key", "void-1");
    let void = json!({"reason": "Entered for the wrong door"});
    let first = key.post(&format!("{path}/void"), void.clone()).await.expect(200);
    let again = key.post(&format!("{path}/void"), void).await.expect(200);
    assert_eq!(first.body, again.body);
    assert_eq!(again.json["note"], "Canal is dry");
    for format in ["csv", "ndjson"] {
        let export = coordinator
            .client
            .get(&format!("/v1/visits/export?format={format}"))
            .await
            .expect(200);
        assert!(export.text().contains("Canal is dry"), "{format}");
    }
    let new = json!({"name": "Asha Devi", "phone": "+919812345678", "unit_id": world.unit("S1-B1")});
    let key = admin.client.header("Idempotency-Key", "new-1");
    let made = key.post("/v1/workers", new.clone()).await.expect(201);
    assert_eq!(made.json["phone"], "+919812345678");
    assert_eq!(key.post("/v1/workers", new).await.expect(201).body, made.body);

    let text = dump(&world.db).await;
    for told in ["Hand pump", "Canal", "9812345678"] {
        assert!(!text.contains(told), "{told}");
        assert!(!text.contains(&hex(told)), "{told} as bytes");
    }
    assert!(
        text.contains("Entered for the wrong door"),
        "the dump does hold what is not sealed"
    );
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[actix_web::test]
async fn what_is_sealed_for_one_row_is_not_read_in_another() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let one = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let other = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let sql =
        "UPDATE workers SET phone_sealed = (SELECT phone_sealed FROM workers WHERE id = $1) WHERE id = $2";
    world
        .db
        .execute(sql, &[&one.worker_id, &other.worker_id])
        .await
        .unwrap();
    let answer = other.client.get("/v1/me").await.expect(500);
    assert!(!answer.text().contains(&world.phone_of(one.worker_id).await));
    one.client.get("/v1/me").await.expect(200);
}

/// The schema as it was before phones and notes were sealed; then what came after.
fn migrations() -> (Vec<String>, Vec<String>) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let at = names
        .iter()
        .position(|path| path.ends_with("2026-11-25-010000-0000_seal_personal_data"))
        .unwrap();
    let text = |path: &std::path::PathBuf| std::fs::read_to_string(path.join("up.sql")).unwrap();
    (
        names[..at].iter().map(text).collect(),
        names[at..].iter().map(text).collect(),
    )
}

#[actix_web::test]
async fn phones_and_notes_of_before_are_sealed_when_the_program_starts() {
    let database = TestDatabase::create_empty().await;
    let sql = database.connect().await;
    let (before, after) = migrations();
    for migration in before {
        sql.batch_execute(&migration).await.unwrap();
    }
    let visit = Uuid::new_v4();
    sql.batch_execute(&format!(
        "INSERT INTO units (id, code, level, name, state_id, created_at, updated_at)
         VALUES (1, 'IN', 'nation', 'India', 1, now(), now());
         INSERT INTO workers (id, unit_id, name, phone, created_at, updated_at)
         SELECT n, 1, 'Worker', '+919800' || lpad(n::text, 6, '0'), now(), now() FROM generate_series(1, 2500) n;
         INSERT INTO visits (state_id, id, booth_id, campaign_id, worker_id, visited_at, visited_on, received_at, outcome,
             channel, people_met, issues, answers, question_version, note, flags, sent_digest, changed_by, changed_at, version)
         VALUES (2, '{visit}', 3, 1, 1, now(), now(), now(), 'met', 'door', 1, '[]', '{{}}', 1, 'second note', '[]', '', 1, now(), 2);
         INSERT INTO visit_versions (state_id, visit_id, version, content, changed_by, changed_at)
         SELECT state_id, id, 1, to_jsonb(v) || '{{\"note\": \"first note\", \"version\": 1}}', 1, now() FROM visits v"
    ))
    .await
    .unwrap();
    for migration in after {
        sql.batch_execute(&migration).await.unwrap();
    }
    assert!(dump(&sql).await.contains("+919800000001"));
    let db = Db::new(&database.url, 4, data_keys()).unwrap();
    let clock = Clock::manual(chrono_tz::Asia::Kolkata, noon());
    // Two programs may start at once.
    let (one, other) = tokio::join!(seal_waiting(&db, &clock), seal_waiting(&db, &clock));
    one.unwrap();
    other.unwrap();
    let text = dump(&sql).await;
    for told in ["+919800", "first note", "second note"] {
        assert!(!text.contains(told), "{told}");
    }
    for id in [1, 1000, 2500] {
        assert_eq!(phone_of(&sql, id).await, format!("+919800{id:06}"));
    }
    let notes = sql
        .query(
            "SELECT note_sealed FROM visits UNION ALL SELECT (content ->> 'note_sealed')::bytea FROM visit_versions",
            &[],
        )
        .await
        .unwrap();
    let place = sampark::platform::data_keys::Place::new("visits", "note_sealed", format!("2/{visit}"));
    let opened: Vec<_> = notes
        .iter()
        .map(|row| data_keys().open_sealed(&place, row.get(0)).unwrap())
        .collect();
    assert_eq!(opened, [b"second note".to_vec(), b"first note".to_vec()]);
    let journalled = "SELECT cardinality(subject_ids) + cardinality(subject_uuids) FROM journal_inbox WHERE action = 'data.seal'";
    let counts: Vec<i32> = sql
        .query(journalled, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(counts.iter().sum::<i32>(), 2502);
    assert!(counts.iter().all(|count| *count <= 1000), "{counts:?}");
}

#[actix_web::test]
async fn a_note_with_a_phone_or_identity_number_is_refused_by_itself_with_the_reason() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("S1-B1").await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let notes = [
        "call 98123 45678",
        "98123-45678",
        "+91 (98123) 45678",
        "Aadhaar 1234 5678 9012",
        "९८१२३४५६७८",
        "१२३४-५६७८-९०१२",
        "9812\u{200b}345678",
        "ring 98123_45678",
    ];
    let mut visits: Vec<_> = notes
        .iter()
        .map(|note| {
            let mut sent = visit(&world, campaign, "S1-B1");
            sent["note"] = json!(note);
            sent
        })
        .collect();
    for sent in &visits {
        let answer = worker.client.post("/v1/visits", sent.clone()).await.expect(422);
        assert_eq!(answer.json["errors"][0]["pointer"], "/note");
        assert_eq!(answer.json["errors"][0]["code"], "personal_number");
        assert!(!answer.text().contains("5678"), "{}", answer.text());
    }
    let mut good = visit(&world, campaign, "S1-B1");
    good["note"] = json!("House 12, 3 voters, block 4, since 2019");
    visits.push(good);
    let answer = worker
        .client
        .post("/v1/visits/batch", json!({ "visits": visits }))
        .await
        .expect(200);
    let results = answer.json["results"].as_array().unwrap();
    for result in &results[..notes.len()] {
        assert_eq!(result["status"], "rejected");
        assert_eq!(result["problem"]["errors"][0]["code"], "personal_number");
    }
    assert_eq!(results[notes.len()]["status"], "created");
}
