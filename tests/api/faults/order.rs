//! Operations that arrive in any order, a month late: the same state as in order.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use sampark::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use super::table::Row;
use crate::exactness::{Figures, assert_exact, live};
use crate::support::{Client, Settings, TestApp, World, noon};

/// What a phone did while it was offline.
#[derive(Clone, Debug)]
enum Operation {
    Record(Value),
    /// What to change, and the version that the phone had in hand.
    Correct(Uuid, Value, i32),
    /// The phone voids what it knows, so after its own corrections.
    Void(Uuid, i32),
}

/// The log of a month in the field, in the order in which it was done: visits at a few doors, some corrected once or
/// twice, some voided.
fn log(campaign: i32, booth: i32, doors: &[Uuid], size: usize) -> Vec<Operation> {
    let mut random = rand::rngs::StdRng::seed_from_u64(12);
    let mut log = Vec::new();
    let mut open: Vec<(Uuid, i32)> = Vec::new();
    while log.len() < size {
        match random.random_range(0..10) {
            0..=6 => {
                let id = Uuid::from_u128(random.random());
                let day = random.random_range(0..30);
                let outcome = ["met", "met", "not_home"][random.random_range(0..3)];
                let door = doors[random.random_range(0..doors.len())];
                log.push(Operation::Record(json!({
                    "id": id, "campaign_id": campaign, "booth_id": booth,
                    "visited_at": noon() - TimeDelta::days(day) - TimeDelta::seconds(random.random_range(0..3000)),
                    "outcome": outcome, "people_met": random.random_range(0..4), "household_id": door,
                })));
                open.push((id, 1));
            }
            7..=8 if !open.is_empty() => {
                let at = random.random_range(0..open.len());
                let (id, version) = open[at];
                let outcome = ["met", "refused"][random.random_range(0..2)];
                // Each is a change: one that changes nothing makes no version.
                let patch = json!({"outcome": outcome, "people_met": 4 + version});
                log.push(Operation::Correct(id, patch, version));
                open[at].1 += 1;
            }
            _ if open.len() > 20 => {
                let at = random.random_range(0..open.len());
                let (id, version) = open.swap_remove(at);
                log.push(Operation::Void(id, version));
            }
            _ => {}
        }
    }
    log
}

/// Sends one; whether it was taken. What comes before what it stands on is kept and sent again later.
async fn send(client: &Client, operation: &Operation) -> bool {
    match operation {
        Operation::Record(visit) => {
            client.post("/v1/visits", visit.clone()).await.expect(201);
            true
        }
        Operation::Correct(id, patch, version) => {
            let path = format!("/v1/visits/{id}");
            let tag = format!("\"{version}\"");
            let answer = client.header("If-Match", &tag).patch(&path, patch.clone()).await;
            // Not there yet, or still an older version than the phone's.
            assert!([200, 404, 412].contains(&answer.status), "{}", answer.text());
            answer.status == 200
        }
        Operation::Void(id, version) => {
            let path = format!("/v1/visits/{id}");
            let stored = client.get(&path).await;
            if stored.json["version"] != *version {
                return false;
            }
            let reason = json!({"reason": "Mistake"});
            client.post(&format!("{path}/void"), reason).await.expect(200);
            true
        }
    }
}

/// The figures, and the content of every visit with its version.
type State = (Figures, BTreeMap<Uuid, (i32, String, i32, bool)>);

async fn state(app: &TestApp, world: &World) -> State {
    assert_exact(&world.db, "all operations").await;
    app.posted().await;
    let sql = "SELECT id, version, outcome, people_met, voided_at IS NOT NULL FROM visits";
    let rows = world.db.query(sql, &[]).await.unwrap();
    let visits = rows
        .iter()
        .map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3), row.get(4))));
    (live(&world.db).await, visits.collect())
}

/// One phone after the other does its share of the operations until all are taken.
async fn run(shuffled: bool, size: usize) -> State {
    let app = TestApp::start_with(Settings {
        poster: true,
        pool_size: 4,
    })
    .await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    // Doubts depend on what was stored before, by design: a visit is judged once. The rest must not.
    let none = r#"UPDATE campaigns SET starts_on = '2026-10-01', bounds =
        '{"too_fast": null, "daily_bound": null, "impossible_travel": null, "same_spot": null, "repeat_door": null}'"#;
    world.db.execute(none, &[]).await.unwrap();
    let booth = world.unit("S1-B1");
    let doors: Vec<Uuid> = (0..12).map(|n| Uuid::from_u128(1_000 + n)).collect();
    for door in &doors {
        let household = "INSERT INTO households (id, state_id, booth_id, label, created_at, updated_at)
            SELECT $1, state_id, id, '12-A', $3, $3 FROM units WHERE id = $2";
        world
            .db
            .execute(household, &[door, &booth, &noon()])
            .await
            .unwrap();
    }
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await;
    let mut left = log(campaign, booth, &doors, size);
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    while !left.is_empty() {
        if shuffled {
            left.shuffle(&mut random);
        }
        let shares = left.chunks(left.len().div_ceil(if shuffled { 8 } else { 1 }));
        let phones = shares.map(|share| {
            let (client, share) = (admin.client.clone(), share.to_vec());
            actix_web::rt::spawn(async move {
                let mut kept = Vec::new();
                for operation in share {
                    if !send(&client, &operation).await {
                        kept.push(operation);
                    }
                }
                kept
            })
        });
        let mut kept = Vec::new();
        for phone in phones.collect::<Vec<_>>() {
            kept.extend(phone.await.unwrap());
        }
        assert!(kept.len() < left.len(), "nothing is taken any more");
        left = kept;
    }
    state(&app, &world).await
}

#[actix_web::test]
async fn f12_operations_in_any_order_end_as_they_would_have_in_order() {
    let row = Row::begin("F12");
    let size = row.rounds(300, 10_000);
    let (in_order, shuffled) = (run(false, size).await, run(true, size).await);
    assert_eq!(in_order.1.len(), shuffled.1.len());
    for (id, visit) in &in_order.1 {
        assert_eq!(shuffled.1.get(id), Some(visit), "{id}");
    }
    assert_eq!(in_order.0, shuffled.0);
    row.held(
        1,
        format!("{size} operations on {} visits by 8 phones", in_order.1.len()),
    );
}
