//! A post handed over in one call: no day without a holder, none with two.

use std::time::Duration;

use sampark::access::Role;
use serde_json::{Value, json};

use crate::support::{Actor, Client, TestApp, World};
use crate::workers::{journalled, path_of};

struct Scene {
    app: TestApp,
    world: World,
    coordinator: Client,
    campaign: i32,
    /// Holds booth S1-B1, from 2020.
    holder: Actor,
    grant: i32,
    next: Actor,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let coordinator = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    let campaign = world.campaign("S1").await;
    let holder = world.worker(&app, "S1-B1").await;
    let grant = world
        .grant(holder.worker_id, Role::BoothWorker, "S1-B1", "2020-01-01", None)
        .await;
    let next = world.worker(&app, "S1-B2").await;
    Scene {
        app,
        world,
        coordinator,
        campaign,
        holder,
        grant,
        next,
    }
}

impl Scene {
    fn path(&self) -> String {
        format!("{}/grants/{}/handover", path_of(&self.holder), self.grant)
    }

    fn to_next(&self, from: &str) -> Value {
        json!({"to_worker_id": self.next.worker_id, "from": from})
    }

    /// What became of a visit made at this instant.
    async fn record(&self, actor: &Actor, at: &str) -> u16 {
        let mut visit = crate::visits::visit(&self.world, self.campaign, "S1-B1");
        visit["visited_at"] = json!(at);
        actor.client.post("/v1/visits", visit).await.status
    }

    async fn grants(&self, actor: &Actor) -> Value {
        self.coordinator.get(&path_of(actor)).await.expect(200).json["grants"].clone()
    }
}

#[actix_web::test]
async fn a_post_handed_over_today_is_the_others_at_once_and_this_morning_stays_the_firsts() {
    let s = scene().await;
    assert_eq!(s.record(&s.next, "2026-11-23T06:00:00Z").await, 422);
    let done = s
        .coordinator
        .post(&s.path(), s.to_next("2026-11-23"))
        .await
        .expect(201);
    assert_eq!(
        done.header("location"),
        Some(format!("/v1/workers/{}", s.next.worker_id).as_str())
    );
    assert_eq!(s.grants(&s.holder).await[0], done.json["ended"]);
    assert_eq!(s.grants(&s.next).await[0], done.json["given"]);
    assert!(done.json["ended"]["ended_at"].is_string());
    assert_eq!(
        (&done.json["given"]["role"], &done.json["given"]["valid_from"]),
        (&json!("booth_worker"), &json!("2026-11-23"))
    );
    // His visit of this morning is stored, one of now no more; the other's is.
    s.app.clock.advance(chrono::TimeDelta::minutes(10));
    assert_eq!(s.record(&s.holder, "2026-11-23T06:00:00Z").await, 201);
    assert_eq!(s.record(&s.holder, "2026-11-23T06:40:00Z").await, 422);
    let ended_at = done.json["ended"]["ended_at"].as_str().unwrap();
    assert_eq!(s.record(&s.holder, ended_at).await, 422);
    assert_eq!(s.record(&s.next, "2026-11-23T06:40:00Z").await, 201);
    assert_eq!(journalled(&s.world, "grant.hand_over").await, 2);
    // What has ended cannot be handed on.
    s.coordinator
        .post(&s.path(), s.to_next("2026-11-23"))
        .await
        .expect(409);
}

#[actix_web::test]
async fn a_post_handed_over_from_a_day_to_come_changes_hands_on_that_day() {
    let s = scene().await;
    let done = s
        .coordinator
        .post(&s.path(), s.to_next("2026-12-01"))
        .await
        .expect(201);
    assert_eq!(
        (&done.json["ended"]["valid_to"], &done.json["ended"]["ended_at"]),
        (&json!("2026-11-30"), &Value::Null)
    );
    let may = async |actor: &Actor| actor.client.get("/v1/campaigns").await.status == 200;
    for (days, holder, next) in [(0, true, false), (7, true, false), (1, false, true)] {
        s.app.clock.advance(chrono::TimeDelta::days(days));
        // A day is longer than a token lives.
        let again = async |actor: &Actor| s.world.sign_in(&s.app, actor.worker_id).await;
        assert_eq!(may(&again(&s.holder).await).await, holder, "+{days}");
        assert_eq!(may(&again(&s.next).await).await, next, "+{days}");
    }
}

#[actix_web::test]
async fn a_handover_takes_what_giving_takes_and_names_what_is_wrong() {
    let s = scene().await;
    let stranger = s.world.worker(&s.app, "S2-B1").await;
    let retired = s.world.worker(&s.app, "S1-B1").await;
    s.world
        .db
        .execute(
            "UPDATE workers SET active = false WHERE id = $1",
            &[&retired.worker_id],
        )
        .await
        .unwrap();
    for (to, from, code) in [
        (stranger.worker_id, "2026-11-23", "unknown_worker"),
        (999_999, "2026-11-23", "unknown_worker"),
        (retired.worker_id, "2026-11-23", "inactive"),
        (s.holder.worker_id, "2026-11-23", "same_worker"),
        (s.next.worker_id, "2026-11-22", "bad_day"),
    ] {
        let body = json!({"to_worker_id": to, "from": from});
        let refused = s.coordinator.post(&s.path(), body).await.expect(422);
        assert_eq!(refused.json["errors"][0]["code"], code);
    }
    for (role, unit, status) in [
        (Role::Auditor, "S1", 403),
        (Role::MandalCoordinator, "S1-M2", 404),
        (Role::StateAdmin, "S2", 404),
        (Role::BoothWorker, "S1-B1", 404),
    ] {
        let client = s.world.actor(&s.app, role, unit).await.client;
        let answer = client.post(&s.path(), s.to_next("2026-11-23")).await;
        assert_eq!(answer.status, status, "{role:?} at {unit}");
    }
    // He who holds the role there already, later on, cannot be given it besides.
    s.world
        .grant(s.next.worker_id, Role::BoothWorker, "S1-B1", "2027-01-01", None)
        .await;
    s.coordinator
        .post(&s.path(), s.to_next("2026-11-23"))
        .await
        .expect(409);
    // Nothing of all that changed anything.
    let grants = s.grants(&s.holder).await;
    assert_eq!(
        (&grants[0]["ended_at"], &grants[0]["valid_to"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(journalled(&s.world, "grant.hand_over").await, 0);
}

#[actix_web::test]
async fn of_twenty_handovers_of_one_post_at_once_one_is_done() {
    let s = scene().await;
    let mut others = Vec::new();
    for _ in 0..20 {
        others.push(s.world.new_worker("S1-B2").await);
    }
    let path = s.path();
    let asked = others.iter().map(|other| {
        let body = json!({"to_worker_id": other, "from": "2026-11-23"});
        s.coordinator.post(&path, body)
    });
    let all = futures_util::future::join_all(asked);
    let answers = tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
    let of = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((of(201), of(201) + of(409) + of(503)), (1, 20));
    let held: i64 = s
        .world
        .db
        .query_one(
            "SELECT count(*) FROM grants WHERE unit_id = $1 AND ended_at IS NULL",
            &[&s.world.unit("S1-B1")],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(held, 1);
}

#[actix_web::test]
async fn the_only_national_administrator_may_hand_over_to_another() {
    let s = scene().await;
    let first = s.world.worker(&s.app, "S1-B1").await;
    let grant = s
        .world
        .grant(first.worker_id, Role::NationalAdmin, "IN", "2020-01-01", None)
        .await;
    let path = format!("{}/grants/{grant}/handover", path_of(&first));
    let body = s.to_next("2026-11-23");
    let keyed = first.client.header("idempotency-key", "once");
    let done = keyed.post(&path, body.clone()).await.expect(201);
    first.client.get("/v1/workers").await.expect(403);
    s.next.client.get("/v1/workers").await.expect(200);
    // A resend whose first reply was lost gets that reply, though he may do nothing more.
    assert_eq!(keyed.post(&path, body).await.expect(201).body, done.body);
}

#[actix_web::test]
async fn a_national_administrator_whose_grant_will_end_is_not_the_one_who_stays() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let lasting = world.actor(&app, Role::NationalAdmin, "IN").await;
    let dated = world.worker(&app, "IN").await;
    let until = Some("2026-11-30");
    let grant = world
        .grant(dated.worker_id, Role::NationalAdmin, "IN", "2020-01-01", until)
        .await;
    let off = json!({"active": false});
    let shut = async |actor: &Actor, status: u16| {
        dated
            .client
            .header("if-match", "\"1\"")
            .patch(&path_of(actor), off.clone())
            .await
            .expect(status);
    };
    // In a week nobody would be left, and nobody to make another.
    shut(&lasting, 409).await;
    // One who begins tomorrow and has no end lasts too; but today there must be somebody as well.
    let next = world.worker(&app, "IN").await;
    world
        .grant(next.worker_id, Role::NationalAdmin, "IN", "2026-11-24", None)
        .await;
    shut(&lasting, 200).await;
    let path = format!("{}/grants/{grant}", path_of(&dated));
    dated.client.delete(&path).await.expect(409);
    shut(&next, 409).await;
}
