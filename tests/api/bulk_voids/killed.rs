//! An order whose program is killed.

use sampark::access::{KeyRing, Role};
use sampark::platform::clock::Clock;
use sampark::platform::ids::{SessionId, WorkerId};
use serde_json::{Value, json};

use super::path_of;
use crate::exactness::assert_exact;
use crate::support::{Client, Program, TestDatabase, World};
use crate::visits::visit;

/// Asks until an order has come so far.
async fn until(client: &Client, order: &Value, is: impl Fn(&Value) -> bool) -> Value {
    loop {
        let answer = client.get(&path_of(order)).await;
        // A busy machine may have no connection free for who asks so often.
        if answer.status != 503 {
            let now = answer.expect(200).json;
            if is(&now) {
                return now;
            }
        }
        tokio::task::yield_now().await;
    }
}

#[actix_web::test]
async fn an_order_goes_on_after_the_program_was_killed_in_the_middle_of_a_step() {
    let database = TestDatabase::create().await;
    let world = World::build_in(database.connect().await).await;
    let campaign = world.campaign("IN").await;
    let data_dir = database.scratch_file("program");
    std::fs::create_dir_all(&data_dir).unwrap();
    let keys = KeyRing::load_or_make(&data_dir).unwrap();
    let mut program = Program::serve(&data_dir, Some(&database.url));
    let token = async |role| {
        let worker_id = world.new_worker("S1-B1").await;
        let unit = if role == Role::BoothWorker {
            "S1-B1"
        } else {
            "S1-M1"
        };
        world.grant(worker_id, role, unit, "2020-01-01", None).await;
        let (_, session_id) = world.session(worker_id).await;
        let now = Clock::system(chrono_tz::Asia::Kolkata).now();
        (
            worker_id,
            keys.sign(WorkerId(worker_id), SessionId(session_id), now)
                .unwrap(),
        )
    };
    let (worker_id, worker) = token(Role::BoothWorker).await;
    let (_, coordinator) = token(Role::MandalCoordinator).await;
    let phone = Client::new(program.address, Some(worker));
    let door = world.household("S1-B1").await;
    for _ in 0..3 {
        let visits: Vec<Value> = (0..350)
            .map(|_| {
                let mut sent = visit(&world, campaign, "S1-B1");
                sent["household_id"] = json!(door);
                sent
            })
            .collect();
        phone
            .post("/v1/visits/batch", json!({ "visits": visits }))
            .await
            .expect(200);
    }
    // A visit of the fourth step is held by somebody else, so that the program waits in its middle.
    let held = database.connect().await;
    held.batch_execute(
        "BEGIN; SELECT 1 FROM visits WHERE id = (SELECT id FROM visits ORDER BY state_id, id OFFSET 700 LIMIT 1) FOR UPDATE",
    )
    .await
    .unwrap();
    let client = Client::new(program.address, Some(coordinator.clone()));
    let path = format!("/v1/units/{}/bulk-voids", world.unit("S1-M1"));
    let order = json!({"worker_id": worker_id, "reason": "Entered at home"});
    let order = client.post(&path, order).await.expect(201).json;
    until(&client, &order, |now| now["voided"] == 600).await;
    program.kill();
    assert_exact(&world.db, "the kill").await;
    let voided: i64 = world
        .db
        .query_one("SELECT count(*) FROM visits WHERE voided_at IS NOT NULL", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(voided, 600);
    held.batch_execute("ROLLBACK").await.unwrap();
    let again = Program::serve(&data_dir, Some(&database.url));
    let client = Client::new(again.address, Some(coordinator));
    let done = until(&client, &order, |now| now["status"] == "done").await;
    assert_eq!((&done["voided"], &done["passed_over"]), (&json!(1050), &json!(0)));
    let once: i64 = world
        .db
        .query_one(
            "SELECT count(*) FROM visits WHERE voided_at IS NOT NULL AND version = 2",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(once, 1050);
    assert_exact(&world.db, "the end").await;
}
