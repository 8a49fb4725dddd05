//! Waiting for the feed, and following it as a stream.

use std::time::{Duration, Instant};

use sampark::access::{KeyRing, Role};
use serde_json::json;

use crate::feed::scene;
use crate::support::{Client, Settings, TestApp, World};
use crate::visits::visit;

#[actix_web::test]
async fn whoever_waits_is_answered_as_soon_as_any_process_posts() {
    let s = scene().await;
    // Another process that posts nothing itself.
    let other = TestApp::start_on(
        s.app.database.clone(),
        s.app.clock.clone(),
        KeyRing::ephemeral().unwrap(),
        Settings {
            poster: false,
            ..Settings::default()
        },
    );
    let there = s
        .world
        .actor(&other, Role::MandalCoordinator, "S1-M1")
        .await
        .client;
    for desk in [s.desk.clone(), there] {
        let start = desk.get("/v1/feed?from=now&wait=30").await.expect(200).json;
        assert_eq!(start["items"], json!([]), "from now, at once");
        let cursor = start["next_cursor"].as_str().unwrap().to_owned();
        let begun = Instant::now();
        let waiting = actix_web::rt::spawn(async move {
            desk.get(&format!("/v1/feed?wait=30&cursor={cursor}"))
                .await
                .expect(200)
                .json
        });
        let sent = visit(&s.world, s.campaign, "S1-B1");
        s.worker.post("/v1/visits", sent.clone()).await.expect(201);
        let page = waiting.await.unwrap();
        assert_eq!(page["items"][0]["subjects"][0]["id"], sent["id"]);
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    }
}

#[actix_web::test]
async fn a_wait_in_vain_ends_in_time_with_a_cursor_to_go_on_from() {
    let s = scene().await;
    let start = s.desk.get("/v1/feed?from=now").await.expect(200).json;
    let cursor = start["next_cursor"].as_str().unwrap();
    let elsewhere = s.world.actor(&s.app, Role::BoothWorker, "S1-B5").await.client;
    let begun = Instant::now();
    let path = format!("/v1/feed?wait=1&cursor={cursor}");
    let waiting = s.desk.get(&path);
    let foreign = elsewhere.post("/v1/visits", visit(&s.world, s.campaign, "S1-B5"));
    let (page, written) = futures_util::future::join(waiting, foreign).await;
    written.expect(201);
    let page = page.expect(200).json;
    assert_eq!(page["items"], json!([]));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(page["next_cursor"].is_string());
}

#[actix_web::test]
async fn those_who_wait_hold_no_connection_and_no_place_among_the_requests_under_way() {
    let database = std::sync::Arc::new(crate::support::TestDatabase::create().await);
    let clock = sampark::platform::clock::Clock::manual(chrono_tz::Asia::Kolkata, crate::support::noon());
    let settings = Settings {
        pool_size: 2,
        poster: true,
    };
    let keys = KeyRing::ephemeral().unwrap();
    let app = TestApp::start_with_config(database, clock, keys, settings, |config| config.max_in_flight = 9);
    let world = World::build(&app).await;
    let desk = world.actor(&app, Role::MandalCoordinator, "S1-M1").await.client;
    let other = world.actor(&app, Role::StateAdmin, "S1").await.client;
    let now = |client: Client| async move {
        let start = client.get("/v1/feed?from=now").await.expect(200).json;
        start["next_cursor"].as_str().unwrap().to_owned()
    };
    let mut waiting = Vec::new();
    for client in [&desk, &other] {
        let cursor = now(client.clone()).await;
        for _ in 0..4 {
            let (client, path) = (client.clone(), format!("/v1/feed?wait=30&cursor={cursor}"));
            // A busy database may refuse one before it waits; it asks again, else four would never wait.
            waiting.push(actix_web::rt::spawn(async move {
                loop {
                    let answer = client.get(&path).await;
                    if answer.status != 503 {
                        break answer;
                    }
                }
            }));
        }
    }
    // Four are as many as one account may have.
    let cursor = now(desk.clone()).await;
    let refused = loop {
        let answer = desk.get(&format!("/v1/feed?wait=1&cursor={cursor}")).await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(refused.expect(429).header("retry-after"), Some("5"));
    // The eight that wait fill neither the pool of two nor the nine places.
    for _ in 0..20 {
        desk.get("/v1/units").await.expect(200);
    }
    assert_eq!(app.state.in_flight.count(), 0);
    // A process that is about to end answers them.
    let begun = Instant::now();
    app.state.followers.tail.close();
    for answer in waiting {
        assert_eq!(answer.await.unwrap().expect(200).json["items"], json!([]));
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[actix_web::test]
async fn a_stream_tells_what_happens_and_goes_on_after_the_last_event_that_was_dealt_with() {
    let s = scene().await;
    let before = [s.record().await, s.record().await];
    let mut events = s
        .desk
        .header("Accept-Encoding", "gzip, br, zstd")
        .follow("/v1/feed/stream")
        .await;
    assert_eq!(events.headers.get("content-encoding").unwrap(), "identity");
    assert_eq!(events.headers.get("content-type").unwrap(), "text/event-stream");
    let mut ids = Vec::new();
    for wanted in &before {
        let event = events.next_event().await.unwrap();
        assert_eq!(event.name, "entry");
        assert_eq!(event.data["subjects"][0]["id"], *wanted);
        ids.push(event.id.unwrap());
    }
    assert_eq!(events.next_block().await.unwrap().comment, "caught up");
    let live = s.record().await;
    let event = events.next_event().await.unwrap();
    assert_eq!(event.data["subjects"][0]["id"], live);
    drop(events);
    let mut events = s
        .desk
        .header("Last-Event-ID", &ids[0])
        .follow("/v1/feed/stream")
        .await;
    for wanted in [&before[1], &live] {
        assert_eq!(
            events.next_event().await.unwrap().data["subjects"][0]["id"],
            **wanted
        );
    }
    // The same cursor serves the feed.
    let page = s
        .desk
        .get(&format!("/v1/feed?cursor={}", ids[1]))
        .await
        .expect(200)
        .json;
    assert_eq!(page["items"][0]["subjects"][0]["id"], live);
    let now = s.desk.get("/v1/feed?from=now").await.expect(200).json;
    let mut events = s.desk.follow("/v1/feed/stream?from=now").await;
    while events.next_block().await.unwrap().comment != "caught up" {}
    let last = s.record().await;
    let event = events.next_event().await.unwrap();
    assert_eq!(event.data["subjects"][0]["id"], last);
    assert_ne!(event.id.as_deref(), now["next_cursor"].as_str());
}

#[actix_web::test]
async fn a_stream_ends_when_its_session_does_and_when_the_process_does() {
    let s = scene().await;
    let actor = s.world.actor(&s.app, Role::MandalCoordinator, "S1-M1").await;
    let mut ending = actor.client.follow("/v1/feed/stream").await;
    let mut open = s.desk.follow("/v1/feed/stream").await;
    while ending.next_block().await.unwrap().comment != "caught up" {}
    let begun = Instant::now();
    s.world
        .db
        .execute(
            "UPDATE sessions SET revoked_at = created_at, revoked_why = 'device_revoked' WHERE id = $1",
            &[&actor.session_id],
        )
        .await
        .unwrap();
    let last = ending.next_event().await.unwrap();
    assert_eq!(last.name, "problem");
    assert_eq!(last.data["code"], "unauthenticated");
    assert!(ending.next_block().await.is_none());
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    while open.next_block().await.unwrap().comment != "caught up" {}
    s.app.state.followers.tail.close();
    assert!(open.next_event().await.is_none(), "it ends without a problem");
}

#[actix_web::test]
async fn a_stream_ends_when_its_token_runs_out() {
    let s = scene().await;
    let actor = s.world.actor(&s.app, Role::MandalCoordinator, "S1-M1").await;
    let mut ending = actor.client.follow("/v1/feed/stream").await;
    while ending.next_block().await.unwrap().comment != "caught up" {}
    s.app.clock.advance(chrono::TimeDelta::minutes(16));
    let last = ending.next_event().await.unwrap();
    assert_eq!(last.name, "problem");
    assert_eq!(last.data["code"], "unauthenticated");
    assert!(ending.next_block().await.is_none());
    actor.client.get("/v1/feed").await.expect(401);
}

#[actix_web::test]
async fn an_account_follows_at_most_four_times_at_once() {
    let s = scene().await;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(s.desk.follow("/v1/feed/stream").await);
    }
    s.desk.get("/v1/feed/stream").await.expect(429);
    s.desk.get("/v1/feed").await.expect(200);
    s.world
        .actor(&s.app, Role::MandalCoordinator, "S1-M1")
        .await
        .client
        .get("/v1/feed/stream")
        .await
        .expect(200);
    open.pop();
    while s.desk.get("/v1/feed/stream").await.status != 200 {
        tokio::task::yield_now().await;
    }
}
