//! Faults: what breaks in the field, done on purpose, and what must hold after each (docs/reliability.md).
//!
//! `./dev test` runs every row with few rounds; `./dev faults quick` does so one after the other and with the bounds on
//! time that are promised; `./dev faults all` runs the rounds and durations of the table and writes docs/reliability.md.

mod backups;
mod clocks;
mod crowds;
mod disks;
mod history;
mod kills;
mod messages;
mod network;
mod order;
mod phones;
mod proxy;
mod schema;
mod standby;
mod statements;
mod table;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sampark::access::{KeyRing, Role};
use sampark::journal::poster::post_all;
use sampark::platform::clock::Clock;
use sampark::platform::db::Db;
use sampark::platform::ids::{SessionId, WorkerId};
use serde_json::{Value, json};
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::support::program::Usage;
use crate::support::{Client, Program, TestDatabase, World, data_keys};
use history::{History, Stored};
use table::Row;

/// A world whose phones talk to real server processes.
struct Field {
    data_dir: PathBuf,
    /// Where the checks look, past every proxy.
    url: String,
    world: World,
    campaign: i32,
    household: Uuid,
    tokens: Vec<String>,
    admin: String,
    history: History,
    _database: TestDatabase,
}

impl Field {
    /// On a database of the tests' server, with so many phones.
    async fn build(phones: usize) -> Self {
        let database = TestDatabase::create().await;
        let url = database.url.clone();
        let data_dir = database.scratch_file("data");
        std::fs::create_dir_all(&data_dir).unwrap();
        Self::build_at(database, &data_dir, url, phones, History::default()).await
    }

    /// On any migrated, empty database; the keys are in the data directory.
    async fn build_at(
        scratch: TestDatabase,
        data_dir: &Path,
        url: String,
        phones: usize,
        history: History,
    ) -> Self {
        let keys = KeyRing::load_or_make(data_dir).unwrap();
        let world = World::build_in(connect(&url).await).await;
        let campaign = world.campaign("IN").await;
        let household = world.household("S1-B1").await;
        let mut tokens = Vec::new();
        for _ in 0..phones {
            tokens.push(sign_in(&world, &keys, Role::BoothWorker, "S1-B1").await);
        }
        let admin = sign_in(&world, &keys, Role::NationalAdmin, "IN").await;
        Self {
            data_dir: data_dir.to_owned(),
            url,
            campaign,
            household,
            world,
            tokens,
            admin,
            history,
            _database: scratch,
        }
    }

    /// A server straight on the database.
    fn serve(&self) -> Program {
        self.serve_on(&self.url.clone())
    }

    /// A server on the database at another address, as patient with it as a busy machine may need: the wait itself is
    /// tried by the rows that ask for the program's own.
    fn serve_on(&self, url: &str) -> Program {
        Program::serve_with(&self.data_dir, Some(url), &[])
    }

    /// The same with the wait that is the program's own.
    fn serve_impatiently_on(&self, url: &str) -> Program {
        Program::serve_with(&self.data_dir, Some(url), &[table::database_wait()])
    }

    fn phone(&self, program: &Program, n: usize) -> Client {
        Client::new(program.address, Some(self.tokens[n].clone()))
    }

    fn admin(&self, program: &Program) -> Client {
        Client::new(program.address, Some(self.admin.clone()))
    }

    /// A visit of today; every third at the same door.
    fn visit(&self) -> Value {
        visit(self.campaign, self.world.unit("S1-B1"), self.household)
    }

    fn batch(&self, size: usize) -> Vec<Value> {
        (0..size).map(|_| self.visit()).collect()
    }

    /// Holds the history against what is stored, before and after the last posting, and asks the server itself.
    async fn check(&self, program: &Program) -> Stored {
        program.assert_no_panic();
        let db = connect(&self.url).await;
        // What was given up rolls back within moments.
        while Stored::read(&db).await.idle > 0 {
            tokio::task::yield_now().await;
        }
        let poster = Db::new(&self.url, 2, data_keys()).unwrap();
        post_all(&poster).await.unwrap();
        let stored = Stored::read(&db).await;
        self.history.assert_fits(&stored);
        for unit in ["IN", "S1", "S1-B1"] {
            let path = format!("/v1/units/{}/totals/check", self.world.unit(unit));
            let check = self.admin(program).get(&path).await.expect(200);
            assert_eq!(check.json["equal"], true, "{unit}: {}", check.json);
        }
        stored
    }
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (db, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    db
}

async fn sign_in(world: &World, keys: &KeyRing, role: Role, unit: &str) -> String {
    let worker_id = world.new_worker(unit).await;
    world.grant(worker_id, role, unit, "2020-01-01", None).await;
    let (_, session_id) = world.session(worker_id).await;
    let now = Clock::system(chrono_tz::Asia::Kolkata).now();
    keys.sign(WorkerId(worker_id), SessionId(session_id), now)
        .unwrap()
}

fn visit(campaign: i32, booth: i32, household: Uuid) -> Value {
    let id = Uuid::new_v4();
    json!({
        "id": id, "campaign_id": campaign, "booth_id": booth, "visited_at": "2026-11-23T11:00:00+05:30",
        "outcome": "met", "people_met": 1 + id.as_bytes()[0] % 5,
        "household_id": id.as_bytes()[1].is_multiple_of(3).then_some(household),
    })
}

/// Descriptors and memory are back where they were, or nearly.
async fn assert_settled(program: &Program, before: Option<Usage>, row: &Row) -> String {
    let (Some(before), Some(mut now)) = (before, program.usage()) else {
        return "not measured here".to_owned();
    };
    // Connections of the pool that it had not needed yet stay open, thirty at most.
    let most = before.descriptors + 32;
    let deadline = std::time::Instant::now() + row.within(Duration::from_secs(20));
    while now.descriptors > most {
        assert!(std::time::Instant::now() < deadline, "{before:?} became {now:?}");
        tokio::task::yield_now().await;
        now = program.usage().unwrap();
    }
    assert!(
        now.memory_mb < before.memory_mb + 96.0,
        "{before:?} became {now:?}"
    );
    format!(
        "{} descriptors and {:.0} MB before, {} and {:.0} MB after",
        before.descriptors, before.memory_mb, now.descriptors, now.memory_mb
    )
}

/// Waits until something is so, for so long at most.
pub(crate) async fn eventually(bound: Duration, what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = std::time::Instant::now() + bound;
    while !is_so().await {
        assert!(
            std::time::Instant::now() < deadline,
            "not within {bound:?}: {what}"
        );
        tokio::task::yield_now().await;
    }
}
