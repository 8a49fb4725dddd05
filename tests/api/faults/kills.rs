//! Processes that die: the server, its database, one connection of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::history::{History, id_of};
use super::phones::Crew;
use super::proxy::address_of;
use super::table::Row;
use super::wire::{At, Harm, WireProxy};
use super::{Field, assert_settled, connect, eventually};
use crate::support::program::send;
use crate::support::{Program, TestDatabase};

#[actix_web::test]
async fn f01_a_server_killed_mid_batch_loses_nothing_that_it_acknowledged() {
    let row = Row::begin("F1");
    let field = Field::build(8).await;
    let mut program = field.serve();
    let crew = Crew::start(&field, program.address, 20);
    let rounds = row.rounds(8, 200);
    for round in 0..rounds {
        crew.phones.wait_for(1 + (round * 7) % 23).await;
        program.kill();
        program = field.serve();
        crew.phones.turn_to(program.address);
    }
    let answers = crew.stop().await;
    let stored = field.check(&program).await;
    assert!(answers.broken() > 0, "no kill met a request");
    let figures = format!(
        "{} visits, {} requests cut off",
        stored.visits.len(),
        answers.broken()
    );
    row.held(rounds, figures);
}

#[actix_web::test]
async fn f02_a_server_killed_between_commit_and_reply_gives_the_first_answer_to_the_resend() {
    let row = Row::begin("F2");
    let field = Field::build(1).await;
    let proxy = WireProxy::start(address_of(&field.url));
    let rounds = row.rounds(3, 25);
    for _ in 0..rounds {
        let mut program = field.serve_on(&super::proxy::through(&field.url, proxy.address));
        let visits = field.batch(20);
        let body = json!({ "visits": visits });
        let phone = field.phone(&program, 0);
        phone.get("/v1/me").await.expect(200);
        field.history.sent(&visits);
        proxy.arm(At::CommitOf("INSERT INTO visits"), Harm::Hold);
        let mut lost = {
            let (phone, body) = (phone.clone(), body.clone());
            actix_web::rt::spawn(async move { phone.try_post("/v1/visits/batch", &body).await })
        };
        held(&proxy, &mut lost).await;
        program.kill();
        assert!(lost.await.unwrap().is_err());
        assert_eq!(proxy.disarm().as_deref(), Some("COMMIT"));
        field.history.unanswered();
        // A request with a key, whose answer is lost in the same way.
        program = field.serve_on(&super::proxy::through(&field.url, proxy.address));
        let key = Uuid::new_v4().to_string();
        let campaign = json!({"unit_id": field.world.unit("S1"), "name": format!("Drive {key}"), "starts_on": "2026-11-01"});
        let admin = field.admin(&program).header("Idempotency-Key", &key);
        admin.get("/v1/me").await.expect(200);
        proxy.arm(At::CommitOf("INSERT INTO campaigns"), Harm::Hold);
        let mut lost = {
            let campaign = campaign.clone();
            actix_web::rt::spawn(async move { admin.try_post("/v1/campaigns", &campaign).await })
        };
        held(&proxy, &mut lost).await;
        program.kill();
        assert!(lost.await.unwrap().is_err());
        proxy.disarm();

        let program = field.serve();
        field.history.sent(&visits);
        let answer = field
            .phone(&program, 0)
            .post("/v1/visits/batch", body)
            .await
            .expect(200);
        field.history.answered(&answer.json["results"]);
        for item in answer.json["results"].as_array().unwrap() {
            assert_eq!(
                (&item["status"], &item["version"]),
                (&json!("duplicate"), &json!(1))
            );
        }
        let admin = field.admin(&program).header("Idempotency-Key", &key);
        let first = admin.post("/v1/campaigns", campaign.clone()).await.expect(201);
        let again = admin.post("/v1/campaigns", campaign).await.expect(201);
        assert_eq!(first.body, again.body, "the first answer, byte by byte");
        let made = "SELECT count(*) FROM campaigns WHERE name = $1";
        let made = field
            .world
            .db
            .query_one(made, &[&format!("Drive {key}")])
            .await
            .unwrap();
        assert_eq!(made.get::<_, i64>(0), 1);
        field.check(&program).await;
    }
    row.held(rounds, "batches and requests with an Idempotency-Key");
}

/// Waits until the COMMIT of a request is held; fails if it is answered all the same.
async fn held<T: std::fmt::Debug>(proxy: &WireProxy, request: &mut tokio::task::JoinHandle<T>) {
    tokio::select! {
        () = proxy.hit() => {}
        answer = request => panic!("it was answered: {answer:?}"),
    }
}

#[actix_web::test]
async fn f03_a_server_told_to_stop_finishes_the_requests_in_flight() {
    let row = Row::begin("F3");
    let rounds = row.rounds(1, 10);
    let (mut longest, mut refused) = (Duration::ZERO, 0);
    for _ in 0..rounds {
        let field = Field::build(4).await;
        let mut program = field.serve();
        let crew = Crew::start(&field, program.address, 20);
        crew.phones.wait_for(10).await;
        let told = Instant::now();
        program.tell_to_stop();
        let ended = actix_web::rt::task::spawn_blocking(move || (program.wait(), told.elapsed(), program));
        let (status, took, stopped) = ended.await.unwrap();
        assert!(status.success(), "{status}");
        assert!(took < row.within(Duration::from_secs(10)), "{took:?}");
        stopped.assert_no_panic();
        longest = longest.max(took);
        let unposted = "SELECT count(*) FROM journal_inbox";
        let unposted: i64 = field.world.db.query_one(unposted, &[]).await.unwrap().get(0);
        assert_eq!(unposted, 0, "it posts what is left before it ends");
        // Whatever was stored before the end was answered: nothing that is there is unknown to its phone.
        let stored: i64 = field
            .world
            .db
            .query_one("SELECT count(*) FROM visits", &[])
            .await
            .unwrap()
            .get(0);
        let stored = usize::try_from(stored).unwrap();
        eventually(Duration::from_secs(5), "every answer is heard", async || {
            field.history.counts().0 == stored
        })
        .await;
        refused += crew.phones.answers().broken();
        let program = field.serve();
        crew.phones.turn_to(program.address);
        crew.stop().await;
        field.check(&program).await;
    }
    let figures = format!(
        "ended within {:.1} s, {refused} later requests refused",
        longest.as_secs_f64()
    );
    row.held(rounds, figures);
}

/// A server with a private PostgreSQL, and the phones of its field.
pub async fn private(phones: usize) -> (Field, Program) {
    private_waiting(phones, super::table::database_wait()).await
}

/// The same with another bound on how long a transaction may take to begin.
pub async fn private_waiting(phones: usize, wait: (&'static str, &'static str)) -> (Field, Program) {
    let scratch = TestDatabase::create_empty().await;
    let data_dir = scratch.scratch_file("data");
    std::fs::create_dir_all(&data_dir).unwrap();
    let program = Program::serve_with(&data_dir, None, &[wait]);
    let url = std::fs::read_to_string(data_dir.join("database.url")).unwrap();
    let field = Field::build_at(scratch, &data_dir, url, phones, History::of_failing_database()).await;
    (field, program)
}

/// The postmaster of a field's private PostgreSQL.
pub fn postmaster(field: &Field) -> u32 {
    let file = field.data_dir.join("postgres/data/postmaster.pid");
    std::fs::read_to_string(file)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

#[actix_web::test]
async fn f04_a_postgresql_killed_under_load_is_back_without_a_restart_and_nothing_is_lost() {
    let row = Row::begin("F4");
    let (mut field, mut program) = private(6).await;
    let before = program.usage();
    let crew = Crew::start(&field, program.address, 20);
    let rounds = row.rounds(4, 50);
    for round in 0..rounds {
        crew.phones.wait_for(3 + round * 5 % 11).await;
        send("KILL", &[postmaster(&field)]);
    }
    crew.phones.wait_for(12).await;
    let answers = crew.stop().await;
    assert_eq!(answers.broken(), 0, "the server itself stays up");
    assert!(answers.refused() > 0, "no kill met a request");
    // The world's own connection died with the first kill.
    field.world.db = connect(&field.url).await;
    let stored = field.check(&program).await;
    let usage = assert_settled(&program, before, &row).await;
    assert!(program.stop());
    row.held(
        rounds,
        format!(
            "{} visits, {} answers 503, none 500; {usage}",
            stored.visits.len(),
            answers.refused()
        ),
    );
}

#[actix_web::test]
async fn f05_one_terminated_backend_costs_one_request_at_most() {
    let row = Row::begin("F5");
    let mut field = Field::build(4).await;
    field.history = History::of_failing_database();
    let program = field.serve();
    let crew = Crew::start(&field, program.address, 10);
    let rounds = row.rounds(10, 100);
    let mut ended = 0;
    for _ in 0..rounds {
        crew.phones.wait_for(2).await;
        // One that is at work, else any.
        let one = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
            ORDER BY state = 'idle', random() LIMIT 1";
        let db = connect(&field.url).await;
        ended += db.query(one, &[]).await.unwrap().len();
    }
    crew.phones.wait_for(4).await;
    let answers = crew.stop().await;
    field.world.db = connect(&field.url).await;
    let stored = field.check(&program).await;
    assert_eq!(answers.broken(), 0);
    assert!(answers.refused() <= ended, "{answers:?} for {ended} backends");
    // A connection that died while it lay in the pool costs nobody anything.
    let idle = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle'";
    connect(&field.url).await.query(idle, &[]).await.unwrap();
    let visits: Vec<Value> = field.batch(3);
    field.history.sent(&visits);
    let answer = field
        .phone(&program, 0)
        .post("/v1/visits/batch", json!({ "visits": visits }))
        .await
        .expect(200);
    field.history.answered(&answer.json["results"]);
    assert_eq!(id_of(&answer.json["results"][0]), id_of(&visits[0]));
    row.held(
        rounds,
        format!(
            "{} visits, {ended} backends ended, {} answers 503",
            stored.visits.len(),
            answers.refused()
        ),
    );
}
