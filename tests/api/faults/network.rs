//! Networks that break: between the server and its database, between phones and the server.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::history::History;
use super::kills::{postmaster, private_waiting};
use super::phones::Crew;
use super::proxy::{Fate, Proxy, address_of};
use super::table::{Row, database_wait_of_a_stall};
use super::{Field, assert_settled, connect, eventually};
use crate::support::program::send;
use crate::support::{Client, Program};

/// What a client sees while the database is gone: every request is answered 503 within the bound.
async fn refused_until(program: &Program, field: &Field, end: Instant, bound: Duration) -> (usize, Duration) {
    let mut slowest = Duration::ZERO;
    let mut asked = 0;
    let batch = json!({ "visits": field.batch(1) });
    while Instant::now() < end {
        let phone = field.phone(program, 0);
        for answer in [
            timed(phone.try_post("/v1/visits/batch", &batch)).await,
            timed(phone.try_send("GET", "/v1/campaigns", None)).await,
            timed(Client::new(program.address, None).try_send("GET", "/readyz", None)).await,
        ] {
            let (answer, took) = answer;
            let answer = answer.unwrap();
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(answer.header("retry-after").is_some());
            assert!(took < bound, "{took:?}");
            slowest = slowest.max(took);
            asked += 1;
        }
        let alive = Client::new(program.address, None).get("/healthz").await;
        assert_eq!(alive.status, 200);
    }
    (asked, slowest)
}

async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let done = work.await;
    (done, began.elapsed())
}

#[actix_web::test]
async fn f06_a_database_out_of_reach_is_told_within_a_second_and_served_again_at_once() {
    let row = Row::begin("F6");
    let mut field = Field::build(4).await;
    field.history = History::of_failing_database();
    let proxy = Proxy::start(address_of(&field.url));
    let program = field.serve_impatiently_on(&proxy.url(&field.url));
    let before = program.usage();
    let crew = Crew::start(&field, program.address, 10);
    // A slow way to the database is no fault.
    proxy.set(Fate::Delay(Duration::from_millis(5)));
    crew.phones.wait_for(4).await;
    proxy.set(Fate::Pass);
    assert_eq!(crew.phones.answers().refused(), 0);
    let mut figures = Vec::new();
    for fate in [Fate::Cut, Fate::Stall] {
        crew.phones.wait_for(4).await;
        proxy.set(fate);
        // What was under way when it went is answered within F7's bound; what comes after it, within a second.
        eventually(row.within(Duration::from_secs(3)), "it is told", async || {
            Client::new(program.address, None).get("/readyz").await.status == 503
        })
        .await;
        let end = Instant::now() + row.seconds(2, 30);
        let (asked, slowest) = refused_until(&program, &field, end, row.within(Duration::from_secs(1))).await;
        proxy.set(Fate::Pass);
        let back = Instant::now();
        let ready = async || {
            let phone = field.phone(&program, 1);
            let ready = Client::new(program.address, None).get("/readyz").await;
            ready.status == 200 && phone.get("/v1/campaigns").await.status == 200
        };
        eventually(row.within(Duration::from_secs(2)), "served again", ready).await;
        figures.push(format!(
            "{fate:?}: {asked} requests refused, the slowest in {:.2} s, served again after {:.2} s",
            slowest.as_secs_f64(),
            back.elapsed().as_secs_f64()
        ));
    }
    crew.phones.wait_for(4).await;
    let answers = crew.stop().await;
    assert_eq!(answers.broken(), 0);
    assert!(
        answers.slowest_refusal < row.within(Duration::from_secs(3)),
        "{answers:?}"
    );
    field.check(&program).await;
    figures.push(assert_settled(&program, before, &row).await);
    row.held(2, figures.join("; "));
}

/// The postmaster and all its children.
fn processes(postmaster: u32) -> Vec<u32> {
    let children = Command::new("pgrep")
        .args(["-P", &postmaster.to_string()])
        .output()
        .unwrap();
    let children = String::from_utf8_lossy(&children.stdout).into_owned();
    let mut all = vec![postmaster];
    all.extend(children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
    all
}

#[actix_web::test]
async fn f07_a_database_that_stands_still_is_not_waited_for() {
    let row = Row::begin("F7");
    let (field, program) = private_waiting(8, database_wait_of_a_stall()).await;
    let before = program.usage();
    let crew = Crew::start(&field, program.address, 10);
    crew.phones.wait_for(8).await;
    let stopped = processes(postmaster(&field));
    send("STOP", &stopped);
    let began = Instant::now();
    let bound = row.within(Duration::from_secs(3));
    let mut most = 0;
    let end = began + row.seconds(4, 20);
    // A phone that asks fifty times a second, however fast it is refused.
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while Instant::now() < end {
        let phone = field.phone(&program, 0);
        let (answer, took) = timed(phone.try_send("GET", "/v1/campaigns", None)).await;
        let answer = answer.unwrap();
        assert!(
            answer.status == 503 || began.elapsed() < Duration::from_secs(1),
            "{}",
            answer.status
        );
        assert!(took < bound, "{took:?}");
        most = most.max(program.usage().map_or(0, |usage| usage.descriptors));
        pace.tick().await;
    }
    send("CONT", &stopped);
    let back = Instant::now();
    crew.phones.wait_for(8).await;
    let back = back.elapsed();
    let answers = crew.stop().await;
    assert_eq!(answers.broken(), 0);
    assert!(answers.refused() > 8, "{answers:?}");
    assert!(answers.slowest_refusal < bound, "{answers:?}");
    assert!(back < row.within(Duration::from_secs(5)), "{back:?}");
    field.check(&program).await;
    let usage = assert_settled(&program, before, &row).await;
    row.held(
        1,
        format!(
            "{} uploads refused, the slowest in {:.2} s; {most} descriptors at most; uploads again after {:.2} s; {usage}",
            answers.refused(),
            answers.slowest_refusal.as_secs_f64(),
            back.as_secs_f64()
        ),
    );
}

#[actix_web::test]
async fn f10_a_resend_after_a_lost_reply_gets_the_same_answer_and_counts_once() {
    let row = Row::begin("F10");
    let field = Field::build(1).await;
    let program = field.serve();
    let proxy = Proxy::start(program.address);
    let lossy =
        |token: &str| Client::new(proxy.address, Some(token.to_owned())).patience(Duration::from_secs(20));
    let rounds = row.rounds(6, 100);
    let db = connect(&field.url).await;
    for round in 0..rounds {
        let visits: Vec<Value> = field.batch(7);
        let body = json!({ "visits": visits });
        let key = Uuid::new_v4().to_string();
        let admin = lossy(&field.admin).header("Idempotency-Key", &key);
        let campaign = json!({"unit_id": field.world.unit("S1"), "name": format!("Drive {key}"), "starts_on": "2026-11-01"});
        // The reply is lost whole, or breaks off within its headers or its body.
        proxy.set(Fate::LoseReplies([0, 40, 600][round % 3]));
        field.history.sent(&visits);
        let heard = lossy(&field.tokens[0]).try_post("/v1/visits/batch", &body).await;
        if let Ok(answer) = heard {
            panic!("round {round}: {} {}", answer.status, answer.text());
        }
        field.history.unanswered();
        assert!(admin.try_post("/v1/campaigns", &campaign).await.is_err());
        proxy.set(Fate::Pass);
        let mut answers = Vec::new();
        for _ in 0..2 {
            field.history.sent(&visits);
            let answer = lossy(&field.tokens[0])
                .post("/v1/visits/batch", body.clone())
                .await
                .expect(200);
            field.history.answered(&answer.json["results"]);
            for item in answer.json["results"].as_array().unwrap() {
                assert_eq!(
                    (&item["status"], &item["version"]),
                    (&json!("duplicate"), &json!(1))
                );
            }
            let made = admin.post("/v1/campaigns", campaign.clone()).await.expect(201);
            answers.push((answer.body, made.body));
        }
        assert_eq!(answers[0], answers[1], "the same answer");
        let made = "SELECT count(*) FROM campaigns WHERE name = $1";
        let made = db.query_one(made, &[&format!("Drive {key}")]).await.unwrap();
        assert_eq!(made.get::<_, i64>(0), 1);
    }
    assert!(proxy.lost() >= 2 * rounds);
    let stored = field.check(&program).await;
    row.held(
        rounds,
        format!("{} visits, {} replies lost", stored.visits.len(), proxy.lost()),
    );
}
