//! The sealed log: what was altered is found, what is proved can be checked by anyone, and only what one may see is shown.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use sampark::access::Role;
use sampark::features::seals::HeadFile;
use sampark::features::seals::verify::{Ask, Report, verify};
use sampark::journal::seal::{SignedHead, sign_heads};
use sampark::journal::{Actor as Writer, SealKeys, poster::post_all};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Client, Settings, TestApp, World};
use crate::visits::visit;

type Hash = [u8; 32];

fn sha(parts: &[&[u8]]) -> Hash {
    digest(&SHA256, &parts.concat()).as_ref().try_into().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

fn hash(value: &Value) -> Hash {
    bytes(value).try_into().unwrap()
}

fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().unwrap().iter().map(hash).collect()
}

/// RFC 9162, section 2.1.3.2, written from its text alone: the root that an inclusion proof leads to.
fn root_of_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    let (mut at, mut last, mut root) = (index, size.checked_sub(1)?, leaf);
    if index > last {
        return None;
    }
    for step in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            root = sha(&[&[1], step, &root]);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            root = sha(&[&[1], &root, step]);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

/// RFC 9162, section 2.1.4.2: the roots that a consistency proof leads to.
fn roots_of_consistency(first: u64, second: u64, first_root: Hash, path: &[Hash]) -> Option<(Hash, Hash)> {
    if first == second {
        return path.is_empty().then_some((first_root, first_root));
    }
    let mut path = path.to_vec();
    if first.is_power_of_two() {
        path.insert(0, first_root);
    }
    let (mut at, mut last) = (first - 1, second - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (seed, rest) = path.split_first()?;
    let (mut older, mut newer) = (*seed, *seed);
    for step in rest {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            older = sha(&[&[1], step, &older]);
            newer = sha(&[&[1], step, &newer]);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            newer = sha(&[&[1], &newer, step]);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some((older, newer))
}

/// Whether the server's published key signed the head over its text, made anew from its fields.
async fn is_signed(anyone: &Client, head: &Value) -> bool {
    let keys = anyone.get("/.well-known/seal-keys.json").await.expect(200).json;
    let key = keys["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["kid"] == head["kid"])
        .unwrap();
    let public = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
    let at: chrono::DateTime<chrono::Utc> = head["signed_at"].as_str().unwrap().parse().unwrap();
    let text = format!(
        "sampark/{}\n{}\n{}\n{}\n",
        head["state_id"],
        head["size"],
        head["root"].as_str().unwrap(),
        at.format("%Y-%m-%dT%H:%M:%S%.6fZ"),
    );
    assert_eq!(head["text"], text);
    UnparsedPublicKey::new(&ED25519, public)
        .verify(text.as_bytes(), &bytes(&head["signature"]))
        .is_ok()
}

struct Scene {
    app: TestApp,
    world: World,
    campaign: i32,
    worker: Client,
    coordinator: Client,
    state: i32,
}

impl Scene {
    /// Nothing is posted or signed but by hand.
    async fn build() -> Self {
        let app = TestApp::start_with(Settings {
            poster: false,
            ..Settings::default()
        })
        .await;
        let world = World::build(&app).await;
        let campaign = world.campaign("IN").await;
        let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await.client;
        let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
        let state = world.unit("S1");
        Self {
            app,
            world,
            campaign,
            worker,
            coordinator,
            state,
        }
    }

    /// Records a visit, corrects it and records another: three entries.
    async fn three_entries(&self) -> String {
        let sent = visit(&self.world, self.campaign, "S1-B1");
        let id = sent["id"].as_str().unwrap().to_owned();
        self.worker.post("/v1/visits", sent).await.expect(201);
        self.worker
            .header("If-Match", "\"1\"")
            .patch(
                &format!("/v1/visits/{id}"),
                json!({"people_met": 3, "note": "Pump", "location": {"lat": 26.8467, "lon": -0.0, "accuracy_m": 12.1},
                       "answers": {"heard": true}}),
            )
            .await
            .expect(200);
        self.worker
            .post("/v1/visits", visit(&self.world, self.campaign, "S1-B1"))
            .await
            .expect(201);
        id
    }

    async fn seal(&self) {
        post_all(&self.app.state.db).await.unwrap();
        self.app.clock.advance(TimeDelta::seconds(61));
        sign_heads(
            &self.app.state.db,
            &self.app.state.seals,
            self.app.clock.now(),
            false,
        )
        .await
        .unwrap();
    }

    /// Six entries under two heads, of sizes 3 and 6.
    async fn sealed(&self) -> String {
        let id = self.three_entries().await;
        self.seal().await;
        self.three_entries().await;
        self.seal().await;
        id
    }

    async fn verify_with(&self, kept: Vec<SignedHead>, since_kept: bool) -> Report {
        let keys = self.app.state.seals.loaded(self.app.clock.now()).unwrap();
        let ask = Ask {
            keys: keys.public.clone(),
            kept,
            since_kept,
            state: None,
            actor: Writer::program(self.app.clock.now()),
            today: self.app.clock.today(),
        };
        verify(&self.app.state.db, &ask, |_| {}).await.unwrap()
    }

    async fn verify(&self) -> Report {
        self.verify_with(Vec::new(), false).await
    }

    /// The heads that an auditor kept.
    async fn kept(&self) -> Vec<SignedHead> {
        let admin = self
            .world
            .actor(&self.app, Role::NationalAdmin, "IN")
            .await
            .client;
        let answer = admin.get("/v1/journal/heads/latest").await.expect(200);
        let file: HeadFile = serde_json::from_slice(&answer.body).unwrap();
        file.into_parts().0
    }

    async fn sql(&self, sql: &str) {
        self.world
            .db
            .batch_execute(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

fn told(report: &Report) -> Vec<String> {
    report.problems.iter().map(ToString::to_string).collect()
}

#[actix_web::test]
async fn an_untouched_journal_verifies_whole_and_since_a_kept_head() {
    let s = Scene::build().await;
    s.three_entries().await;
    s.seal().await;
    let kept = s.kept().await;
    let id = s.three_entries().await;
    let void = json!({"reason": "Mistake"});
    s.coordinator
        .post(&format!("/v1/visits/{id}/void"), void)
        .await
        .expect(200);
    s.seal().await;
    // What is not posted yet is part of it too.
    s.three_entries().await;
    let whole = s.verify().await;
    assert_eq!(told(&whole), Vec::<String>::new());
    assert_eq!(
        (whole.entries, whole.heads, whole.versions, whole.unbound),
        (7, 2, 7, 0)
    );
    let since = s.verify_with(kept, true).await;
    assert_eq!(told(&since), Vec::<String>::new());
    assert_eq!((since.entries, since.heads, since.versions), (4, 1, 4));
}

#[actix_web::test]
async fn an_alteration_of_any_kind_of_row_is_found_and_the_first_entry_named() {
    let mut missed = Vec::new();
    // What is done by SQL behind the program's back, where verification begins to disagree, and in which words.
    let alterations: &[(&str, Option<i64>, &str)] = &[
        (
            "UPDATE journal SET state_id = state_id + 100 WHERE number = 2",
            Some(2),
            "missing",
        ),
        (
            "UPDATE journal SET unit_id = unit_id + 1 WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET unit_ids = unit_ids || 3 WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET actor_id = actor_id + 1 WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET actor_id = NULL WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET device_id = NULL WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET action = 'visit.void' WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET subject = 'unit' WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET subject_ids = '{1}' WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET subject_uuids = ARRAY[gen_random_uuid()] WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET subject_versions = '{1}' WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET digest = sha256('x') WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET at = at - interval '1 microsecond' WHERE number = 2",
            Some(2),
            "leaf",
        ),
        ("UPDATE journal SET form = 1 WHERE number = 2", Some(2), "leaf"),
        (
            "UPDATE journal SET leaf_hash = sha256('x') WHERE number = 2",
            Some(2),
            "leaf",
        ),
        // With its leaf made to fit: the tree no longer does.
        (
            "UPDATE journal SET actor_id = 99, leaf_hash = REHASHED WHERE number = 5",
            Some(4),
            "entries 4 to 6",
        ),
        ("DELETE FROM journal WHERE number = 2", Some(2), "missing"),
        (
            "UPDATE journal SET number = 99 WHERE number = 4; UPDATE journal SET number = 4 WHERE number = 5;
          UPDATE journal SET number = 5 WHERE number = 99",
            Some(4),
            "entries 4 to 6",
        ),
        (
            "DELETE FROM journal WHERE number > 4; UPDATE journal_heads SET size = 4",
            Some(5),
            "missing",
        ),
        ("UPDATE journal_heads SET size = 9", Some(7), "ends at 6"),
        (
            "UPDATE journal_heads SET frontier = sha256('x') || sha256('y')",
            None,
            "frontier",
        ),
        (
            "UPDATE signed_heads SET root = sha256('x') WHERE size = 6",
            Some(4),
            "entries 4 to 6",
        ),
        (
            "UPDATE signed_heads SET signed_at = signed_at - interval '1 s' WHERE size = 3",
            Some(3),
            "signature",
        ),
        (
            "UPDATE signed_heads SET signature = sha256('x') WHERE size = 3",
            Some(3),
            "signature",
        ),
        (
            "UPDATE signed_heads SET kid = 'other' WHERE size = 3",
            Some(3),
            "signature",
        ),
        (
            "UPDATE visits SET outcome = 'refused' WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET people_met = 9 WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET note = 'Road' WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET lat = lat + 0.0001 WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET answers = '{}' WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET flags = '[{\"code\": \"x\"}]' WHERE version = 1",
            Some(3),
            "not what was written",
        ),
        (
            "UPDATE visits SET support = 5 WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET worker_id = worker_id + 1 WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET visited_at = visited_at + interval '1 microsecond' WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET visited_on = visited_on - 1 WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET booth_id = booth_id + 1 WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET voided_at = now() WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET salts = decode(repeat('00', 16), 'hex') WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET salts = NULL WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        ("DELETE FROM visits WHERE version = 2", Some(2), "gone"),
        (
            "UPDATE visit_versions SET content = jsonb_set(content, '{people_met}', '7')",
            Some(1),
            "not what was written",
        ),
        (
            "UPDATE visit_versions SET changed_by = changed_by + 1",
            Some(1),
            "wrong name",
        ),
        (
            "UPDATE visit_versions SET changed_at = changed_at - interval '1 s'",
            Some(1),
            "wrong name",
        ),
        ("DELETE FROM visit_versions", Some(1), "gone"),
        (
            "INSERT INTO visits SELECT (jsonb_populate_record(v, jsonb_build_object('id', gen_random_uuid()))).* FROM visits v WHERE version = 1 LIMIT 1",
            None,
            "no entry made",
        ),
        (
            "UPDATE totals SET visits = visits + 1 WHERE unit_id = (SELECT id FROM units WHERE code = 'S1-B1')",
            None,
            "the ledger says",
        ),
        (
            "UPDATE totals SET people_met = people_met + 1 WHERE unit_id = (SELECT id FROM units WHERE code = 'S1')",
            None,
            "the ledger says",
        ),
        (
            "DELETE FROM totals WHERE unit_id = (SELECT id FROM units WHERE code = 'S1-AC1')",
            None,
            "the ledger says",
        ),
    ];
    let s = Scene::build().await;
    s.sealed().await;
    for (sql, number, words) in alterations {
        let sql = sql.replace("REHASHED", &rehashed(&s).await);
        let report = altered(&s, &sql).await;
        let first = report.problems.first();
        let found = first.is_some_and(|problem| {
            problem.number == *number
                && report
                    .problems
                    .iter()
                    .any(|problem| problem.to_string().contains(words))
        });
        if !found {
            missed.push(format!("{sql}: {:?}", told(&report)));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert_eq!(told(&s.verify().await), Vec::<String>::new());
}

/// What verification says of the database with an alteration, which is then taken back.
async fn altered(s: &Scene, sql: &str) -> Report {
    const TABLES: [&str; 7] = [
        "journal",
        "journal_heads",
        "signed_heads",
        "tree_nodes",
        "visits",
        "visit_versions",
        "totals",
    ];
    let copies = TABLES.map(|table| format!("CREATE TABLE kept_{table} AS TABLE {table};"));
    s.sql(&format!("{} {sql}", copies.concat())).await;
    let report = s.verify().await;
    let back = TABLES.map(|table| {
        format!("TRUNCATE {table}; INSERT INTO {table} SELECT * FROM kept_{table}; DROP TABLE kept_{table};")
    });
    s.sql(&back.concat()).await;
    report
}

/// The leaf hash of entry 5 as if worker 99 had written it: what a forger who knows the form would store.
async fn rehashed(s: &Scene) -> String {
    let sql =
        "SELECT state_id, unit_id, device_id, action, subject, subject_uuids[1], subject_versions[1], digest,
                      (extract(epoch FROM at) * 1000000)::bigint FROM journal WHERE number = 5";
    let row = s.world.db.query_one(sql, &[]).await.unwrap();
    let (state, unit): (i32, i32) = (row.get(0), row.get(1));
    let (device, subject): (Uuid, Uuid) = (row.get(2), row.get(5));
    let (action, kind): (String, String) = (row.get(3), row.get(4));
    let version: i32 = row.get(6);
    let (content, at): (Vec<u8>, i64) = (row.get(7), row.get(8));
    let mut leaf = vec![0, 2];
    let fields: [&[u8]; 12] = [
        &state.to_be_bytes(),
        &unit.to_be_bytes(),
        &unit.to_be_bytes(),
        &99_i32.to_be_bytes(),
        device.as_bytes(),
        action.as_bytes(),
        kind.as_bytes(),
        &[],
        subject.as_bytes(),
        &version.to_be_bytes(),
        &content,
        &at.to_be_bytes(),
    ];
    for field in fields {
        leaf.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
        leaf.extend(field);
    }
    let hex: String = sha(&[&leaf]).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("decode('{hex}', 'hex')")
}

#[actix_web::test]
async fn whoever_rewrites_and_signs_everything_anew_is_found_by_a_head_kept_elsewhere() {
    let s = Scene::build().await;
    s.sealed().await;
    let kept = s.kept().await;
    assert_eq!(kept.len(), 1);
    // The end goes, with its head, its count and its tree.
    s.sql("DELETE FROM journal WHERE number > 3; DELETE FROM signed_heads WHERE size > 3; DELETE FROM visit_versions v WHERE changed_at > (SELECT max(at) FROM journal);
           DELETE FROM visits WHERE changed_at > (SELECT max(at) FROM journal)").await;
    let sql =
        "UPDATE journal_heads SET size = 0, tree_size = 0, frontier = ''; UPDATE journal_heads SET size = 3";
    s.sql(sql).await;
    post_all(&s.app.state.db).await.unwrap();
    let blind = s.verify().await;
    let sealed: Vec<_> = blind
        .problems
        .iter()
        .filter(|problem| problem.number.is_some())
        .collect();
    assert!(sealed.is_empty(), "{sealed:?}");
    for since_kept in [true, false] {
        let report = s.verify_with(kept.clone(), since_kept).await;
        let first = report.problems.first().unwrap();
        assert_eq!(first.number, Some(4), "{:?}", told(&report));
        assert!(first.detail.contains("a head was signed over 6 entries"));
    }
    // Three other entries take their place and are signed, by our own key even.
    s.three_entries().await;
    s.seal().await;
    let report = s.verify_with(kept.clone(), true).await;
    let first = report.problems.first().unwrap();
    assert!(
        first.number.is_some_and(|number| (4..=6).contains(&number)),
        "{:?}",
        told(&report)
    );
}

#[actix_web::test]
async fn heads_that_another_key_signed_are_found() {
    let s = Scene::build().await;
    s.sealed().await;
    let forger = SealKeys::new(&s.app.database.scratch_file("forger"), &[]);
    s.sql("DELETE FROM signed_heads").await;
    sign_heads(&s.app.state.db, &forger, s.app.clock.now(), true)
        .await
        .unwrap();
    let report = s.verify().await;
    assert_eq!(report.problems[0].number, Some(6));
    assert!(
        report.problems[0]
            .detail
            .contains("no valid signature of a known key"),
        "{:?}",
        told(&report)
    );
}

#[actix_web::test]
async fn every_proof_leads_to_the_signed_root_by_the_algorithm_of_the_rfc() {
    let s = Scene::build().await;
    for _ in 0..7 {
        s.three_entries().await;
        s.seal().await;
    }
    let state = s.state;
    let heads = s
        .coordinator
        .get(&format!("/v1/journal/heads?state_id={state}"))
        .await
        .expect(200)
        .json;
    let heads = heads["items"].as_array().unwrap();
    assert_eq!(heads.len(), 7);
    for head in heads {
        assert!(is_signed(&s.app.anonymous(), head).await);
        let size = head["size"].as_u64().unwrap();
        for number in 1..=size {
            let path = format!("/v1/journal/proof/inclusion?state_id={state}&number={number}&size={size}");
            let proof = s.coordinator.get(&path).await.expect(200).json;
            let root = root_of_inclusion(
                hash(&proof["leaf_hash"]),
                number - 1,
                size,
                &hashes(&proof["hashes"]),
            );
            assert_eq!(root, Some(hash(&head["root"])), "{number} of {size}");
            let wrong = root_of_inclusion([7; 32], number - 1, size, &hashes(&proof["hashes"]));
            assert_ne!(wrong, root);
        }
    }
    for older in heads {
        for newer in heads {
            let (first, second) = (older["size"].as_u64().unwrap(), newer["size"].as_u64().unwrap());
            let path =
                format!("/v1/journal/proof/consistency?state_id={state}&first={first}&second={second}");
            let answer = s.coordinator.get(&path).await;
            if first > second {
                answer.expect(422);
                continue;
            }
            let proof = answer.expect(200).json;
            let roots = roots_of_consistency(first, second, hash(&older["root"]), &hashes(&proof["hashes"]));
            assert_eq!(
                roots,
                Some((hash(&older["root"]), hash(&newer["root"]))),
                "{first} to {second}"
            );
        }
    }
}

#[actix_web::test]
async fn a_receipt_proves_that_the_visit_as_written_is_in_the_sealed_journal() {
    let s = Scene::build().await;
    let id = s.three_entries().await;
    let path = format!("/v1/visits/{id}/receipt");
    let early = s.worker.get(&path).await.expect(200).json;
    assert_eq!((&early["number"], &early["head"]), (&Value::Null, &Value::Null));
    s.seal().await;
    let receipt = s.worker.get(&path).await.expect(200).json;
    assert_eq!((&receipt["number"], &receipt["version"]), (&json!(2), &json!(2)));
    let head = &receipt["head"];
    assert!(is_signed(&s.app.anonymous(), head).await);
    let leaf = bytes(&receipt["leaf"]);
    let size = head["size"].as_u64().unwrap();
    let root = root_of_inclusion(sha(&[&[0], &leaf]), 1, size, &hashes(&receipt["hashes"]));
    assert_eq!(root, Some(hash(&head["root"])));
    // The leaf names the visit, and its digest is that of what the entry made.
    let made = receipt["commitments"].as_array().unwrap();
    assert_eq!(made.len(), 1);
    let uuid: Uuid = id.parse().unwrap();
    assert!(leaf.windows(16).any(|part| part == uuid.as_bytes()));
    let digest = sha(&[
        uuid.as_bytes(),
        &2_i32.to_be_bytes(),
        &bytes(&made[0]["commitment"]),
    ]);
    assert!(leaf.windows(32).any(|part| part == digest));
    let other = s.world.actor(&s.app, Role::BoothWorker, "S1-B2").await.client;
    other.get(&path).await.expect(404);
}

#[actix_web::test]
async fn what_was_erased_leaves_the_seals_valid_and_says_so() {
    use sampark::features::visits::{VisitPart, erase_part, versions_of};
    let s = Scene::build().await;
    let id: Uuid = s.sealed().await.parse().unwrap();
    let state = sampark::platform::ids::UnitId(s.state);
    let versions = s
        .app
        .state
        .db
        .read(async |tx| Ok(versions_of(tx, state, &[id]).await?))
        .await
        .unwrap();
    for row in &versions {
        let salts = erase_part(&row.visit, VisitPart::Note).unwrap();
        if row.kept_version == 2 {
            let sql = "UPDATE visits SET note = NULL, salts = $1 WHERE id = $2";
            s.world.db.execute(sql, &[&salts, &id]).await.unwrap();
        } else {
            let hex: String = salts.iter().map(|byte| format!("{byte:02x}")).collect();
            let sql = "UPDATE visit_versions SET content = content || jsonb_build_object('note', NULL, 'salts', $1::text)
                       WHERE visit_id = $2";
            s.world
                .db
                .execute(sql, &[&format!("\\x{hex}"), &id])
                .await
                .unwrap();
        }
    }
    let report = s.verify().await;
    assert_eq!(told(&report), Vec::<String>::new());
    assert_eq!(report.erased, 2);
    s.sql("UPDATE visits SET people_met = 8 WHERE note IS NULL AND version = 2")
        .await;
    assert_eq!(s.verify().await.problems[0].number, Some(2));
}

#[actix_web::test]
async fn the_journal_is_shown_by_scope_and_filtered() {
    let s = Scene::build().await;
    let id = s.three_entries().await;
    let elsewhere = s.world.actor(&s.app, Role::BoothWorker, "S1-B4").await.client;
    elsewhere
        .post("/v1/visits", visit(&s.world, s.campaign, "S1-B4"))
        .await
        .expect(201);
    // A batch over two mandals is seen in both.
    let both = s.world.actor(&s.app, Role::StateAdmin, "S1").await.client;
    let batch =
        json!({"visits": [visit(&s.world, s.campaign, "S1-B2"), visit(&s.world, s.campaign, "S1-B5")]});
    both.post("/v1/visits/batch", batch).await.expect(200);
    s.seal().await;
    let numbers = async |client: &Client, query: &str| -> BTreeSet<u64> {
        let list = client.get(&format!("/v1/journal{query}")).await.expect(200).json;
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["number"].as_u64().unwrap())
            .collect()
    };
    let other = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M2")
        .await
        .client;
    assert_eq!(numbers(&s.coordinator, "").await, [1, 2, 3, 5].into());
    assert_eq!(numbers(&other, "").await, [4, 5].into());
    assert_eq!(numbers(&both, "").await, [1, 2, 3, 4, 5].into());
    assert_eq!(
        numbers(&both, &format!("?under={}", s.world.unit("S1-B4"))).await,
        [4].into()
    );
    assert_eq!(numbers(&s.coordinator, "?action=visit.correct").await, [2].into());
    assert_eq!(
        numbers(&s.coordinator, &format!("?subject=visit&subject_id={id}")).await,
        [1, 2].into()
    );
    assert_eq!(
        numbers(
            &s.coordinator,
            "?from=2026-11-23T06:30:00Z&to=2026-11-23T06:31:00Z"
        )
        .await,
        [1, 2, 3, 5].into()
    );
    assert_eq!(
        numbers(&s.coordinator, "?to=2026-11-23T06:30:00Z").await,
        [].into()
    );
    let me = s.coordinator.get("/v1/journal?limit=1").await.expect(200).json;
    let next = me["next_cursor"].as_str().unwrap();
    assert_eq!(
        numbers(&s.coordinator, &format!("?limit=2&cursor={next}")).await,
        [2, 3].into()
    );
    let entry = &me["items"][0];
    assert_eq!(
        entry["unit_ids"],
        json!([s.world.unit("S1-B2"), s.world.unit("S1-B5")])
    );
    assert_eq!(
        entry["sentence"],
        format!("Worker {} recorded 2 visits at 2 units.", entry["actor_id"])
    );
    s.worker.get("/v1/journal").await.expect(403);
    let abroad = s.world.actor(&s.app, Role::Auditor, "S2").await.client;
    abroad
        .get(&format!("/v1/journal?state_id={}", s.state))
        .await
        .expect(404);
    let proof = format!("/v1/journal/proof/inclusion?state_id={}&number=4&size=5", s.state);
    s.coordinator.get(&proof).await.expect(404);
    other.get(&proof).await.expect(200);
}

#[actix_web::test]
async fn a_head_is_signed_when_a_state_moved_and_its_last_one_is_a_minute_old() {
    let s = Scene::build().await;
    let (db, seals, clock) = (&s.app.state.db, &s.app.state.seals, &s.app.clock);
    s.three_entries().await;
    post_all(db).await.unwrap();
    assert_eq!(sign_heads(db, seals, clock.now(), false).await.unwrap(), 1);
    s.three_entries().await;
    post_all(db).await.unwrap();
    clock.advance(TimeDelta::seconds(59));
    assert_eq!(sign_heads(db, seals, clock.now(), false).await.unwrap(), 0);
    clock.advance(TimeDelta::seconds(1));
    assert_eq!(sign_heads(db, seals, clock.now(), false).await.unwrap(), 1);
    clock.advance(TimeDelta::seconds(600));
    assert_eq!(sign_heads(db, seals, clock.now(), true).await.unwrap(), 0);
}
