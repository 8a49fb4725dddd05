//! Clocks that are wrong: the phones', and the server's own.

use std::path::Path;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sampark::access::{KeyRing, Role};
use sampark::platform::clock::Clock;
use sampark::platform::ids::{SessionId, WorkerId};
use serde_json::{Value, json};
use uuid::Uuid;

use super::table::Row;
use super::{Field, eventually};
use crate::exactness::assert_exact;
use crate::support::{Client, Program, TestApp, World, noon};

#[actix_web::test]
async fn f16_visits_of_phones_whose_clocks_are_wrong_are_stored_flagged_and_bounded() {
    let row = Row::begin("F16");
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let actor = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let steps = i64::try_from(row.rounds(40, 2_000)).unwrap();
    let mut flags = std::collections::BTreeMap::<String, usize>::new();
    for n in 0..=steps {
        let offset = TimeDelta::days(-3_650 + 7_300 * n / steps);
        let mut visit = crate::visits::visit(&world, campaign, "S1-B1");
        visit["visited_at"] = json!(noon() + offset);
        let stored = actor.client.post("/v1/visits", visit).await.expect(201).json;
        let names: Vec<&str> = stored["flags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|flag| {
                flag["code"]
                    .as_str()
                    .or(flag["flag"].as_str())
                    .unwrap_or_default()
            })
            .collect();
        for name in &names {
            *flags.entry((*name).to_owned()).or_default() += 1;
        }
        let wanted = match offset.num_days() {
            ..=-8 => Some("backdated"),
            1.. => Some("clock_skew"),
            _ => None,
        };
        assert!(
            wanted.is_none_or(|wanted| names.contains(&wanted)),
            "{offset}: {stored}"
        );
        let day: NaiveDate = stored["visited_on"].as_str().unwrap().parse().unwrap();
        let first: NaiveDate = "2026-11-01".parse().unwrap();
        assert!((first..=app.clock.today()).contains(&day), "{offset}: {day}");
    }
    assert_exact(&world.db, "all clocks").await;
    row.held(usize::try_from(steps).unwrap() + 1, format!("flags: {flags:?}"));
}

/// A server whose clock is a file's to say.
struct Jumping<'a> {
    field: &'a Field,
    program: Program,
    file: std::path::PathBuf,
    worker: (i32, Uuid),
}

impl Jumping<'_> {
    fn set(&self, offset: i64) {
        std::fs::write(&self.file, format!("{offset:+}\n")).unwrap();
    }

    /// A phone whose token was signed by that clock.
    fn phone(&self, offset: i64) -> Client {
        let keys = KeyRing::load_or_make(&self.field.data_dir).unwrap();
        let now = Clock::system(chrono_tz::Asia::Kolkata).now() + TimeDelta::seconds(offset);
        let (worker, session) = self.worker;
        let token = keys.sign(WorkerId(worker), SessionId(session), now).unwrap();
        Client::new(self.program.address, Some(token))
    }
}

#[actix_web::test]
async fn f17_a_server_whose_clock_jumps_an_hour_goes_on() {
    let row = Row::begin("F17");
    let library = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    ];
    let Some(library) = library.into_iter().find(|library| Path::new(library).exists()) else {
        return row.skip("there is no libfaketime (Debian: apt-get install libfaketime)");
    };
    let field = Field::build(1).await;
    let worker = field.world.new_worker("S1-B1").await;
    field
        .world
        .grant(worker, Role::BoothWorker, "S1-B1", "2020-01-01", None)
        .await;
    let (_, session) = field.world.session(worker).await;
    let file = field.data_dir.join("clock");
    std::fs::write(&file, "+0\n").unwrap();
    let settings = [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    let program = Program::serve_with(&field.data_dir, Some(&field.url), &settings);
    let jumping = Jumping {
        field: &field,
        program,
        file: file.clone(),
        worker: (worker, session),
    };
    let rounds = row.rounds(1, 10);
    let mut received = Vec::new();
    for offset in [0, 3_600, 0, -3_600, 0].into_iter().cycle().take(5 * rounds) {
        jumping.set(offset);
        let phone = jumping.phone(offset);
        let visits: Vec<Value> = field.batch(10);
        field.history.sent(&visits);
        let body = json!({ "visits": visits });
        let answer = phone.post("/v1/visits/batch", body).await.expect(200);
        field.history.answered(&answer.json["results"]);
        let ready = Client::new(jumping.program.address, None)
            .get("/readyz")
            .await
            .expect(200);
        let lag = ready.json["poster_lag_s"].as_f64().unwrap();
        assert!((0.0..=7_300.0).contains(&lag), "{lag}");
        assert_eq!(ready.json["writable"], true);
        let at = "SELECT received_at FROM visits WHERE id = $1";
        let id: Uuid = visits[0]["id"].as_str().unwrap().parse().unwrap();
        let at: DateTime<Utc> = field.world.db.query_one(at, &[&id]).await.unwrap().get(0);
        let ahead = (at - Clock::system(chrono_tz::Asia::Kolkata).now()).num_seconds();
        assert!(
            (ahead - offset).abs() < 120,
            "the clock did not jump: {ahead} s ahead, not {offset}"
        );
        received.push(ahead);
        // What is written while the clock is elsewhere is posted all the same.
        eventually(std::time::Duration::from_secs(60), "it is posted", async || {
            let left = "SELECT count(*) FROM journal_inbox";
            field
                .world
                .db
                .query_one(left, &[])
                .await
                .unwrap()
                .get::<_, i64>(0)
                == 0
        })
        .await;
    }
    jumping.program.assert_no_panic();
    field.check(&field.serve()).await;
    row.held(
        received.len(),
        "an hour ahead, back, an hour behind, back, while visits were recorded and posted",
    );
}
