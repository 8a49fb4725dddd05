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
use sampark::journal::{Actor as Writer, poster::post_all};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Client, Settings, TestApp, World};
use crate::visits::visit;

mod alterations;
mod audits;
mod command;
mod guide;
mod rows;

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
pub async fn is_signed(anyone: &Client, head: &Value) -> bool {
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
        self.app.posted().await;
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

    /// What the world wrote by SQL counts as older than what is sealed of rows.
    async fn settle(&self) {
        self.sql("UPDATE row_versions v SET version = 0, write_id = '00000000-0000-0000-0000-000000000000'
                  WHERE version = 1 AND NOT EXISTS (SELECT 1 FROM row_writes w WHERE w.write_id = v.write_id)")
            .await;
    }

    async fn verify_with(&self, kept: Vec<SignedHead>, since_kept: bool) -> Report {
        self.settle().await;
        self.verify_as_it_is(kept, since_kept).await
    }

    async fn verify_as_it_is(&self, kept: Vec<SignedHead>, since_kept: bool) -> Report {
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
        .as_program(&sampark::platform::wall::VERIFY)
        .read(async |tx| Ok(versions_of(tx, s.app.state.db.keys(), state, &[id]).await?))
        .await
        .unwrap();
    for row in &versions {
        let salts = erase_part(&row.visit, VisitPart::Note).unwrap();
        if row.kept_version == 2 {
            let sql = "UPDATE visits SET note_sealed = NULL, salts = $1 WHERE id = $2";
            s.world.db.execute(sql, &[&salts, &id]).await.unwrap();
        } else {
            let hex: String = salts.iter().map(|byte| format!("{byte:02x}")).collect();
            let sql = "UPDATE visit_versions SET content = content || jsonb_build_object('note_sealed', NULL, 'salts', $1::text)
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
    s.sql("UPDATE visits SET people_met = 8 WHERE note_sealed IS NULL AND version = 2")
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
