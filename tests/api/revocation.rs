//! What is taken away is felt by every process.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sampark::access::{KeyRing, Role, Watch};
use sampark::platform::clock::Clock;
use sampark::platform::ids::{SessionId, WorkerId};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Client, Program, TestApp, TestDatabase, World};

/// Two processes of the program on one database.
struct Processes {
    database: TestDatabase,
    world: World,
    programs: Vec<Program>,
    keys: KeyRing,
    data_dir: PathBuf,
}

impl Processes {
    async fn start() -> Self {
        let database = TestDatabase::create().await;
        let world = World::build_in(database.connect().await).await;
        let data_dir = database.scratch_file("data");
        let keys = KeyRing::load_or_make(&data_dir).unwrap();
        let programs = (0..2).map(|_| Program::serve(&data_dir, Some(&database.url)));
        Self {
            programs: programs.collect(),
            database,
            world,
            keys,
            data_dir,
        }
    }

    /// A worker with a role, signed in: his id, session and token.
    async fn actor(&self, role: Role, unit: &str) -> (i32, Uuid, String) {
        let worker_id = self.world.new_worker(unit).await;
        self.world.grant(worker_id, role, unit, "2020-01-01", None).await;
        let (_, session_id) = self.world.session(worker_id).await;
        let now = Clock::system(chrono_tz::Asia::Kolkata).now();
        let token = self
            .keys
            .sign(WorkerId(worker_id), SessionId(session_id), now)
            .unwrap();
        (worker_id, session_id, token)
    }

    fn client(&self, n: usize, token: &str) -> Client {
        Client::new(self.programs[n].address, Some(token.to_owned()))
    }

    /// How long both processes take to answer so after `change`.
    async fn felt(&self, token: &str, path: &str, status: u16, change: impl AsyncFnOnce()) -> Duration {
        for n in [0, 1] {
            assert_ne!(self.client(n, token).get(path).await.status, status);
        }
        change().await;
        let began = Instant::now();
        for n in [0, 1] {
            while self.client(n, token).get(path).await.status != status {
                assert!(
                    began.elapsed() < Duration::from_secs(5),
                    "process {n} has not felt it"
                );
                tokio::task::yield_now().await;
            }
        }
        began.elapsed()
    }
}

#[actix_web::test]
async fn what_is_taken_away_is_felt_by_both_of_two_processes_within_five_seconds() {
    let p = Processes::start().await;
    let unit = format!("/v1/units/{}", p.world.unit("S1-B1"));
    let (admin_id, _, admin) = p.actor(Role::NationalAdmin, "IN").await;
    let admin = p.client(0, &admin);

    // Signed out on one of them.
    let (_, _, token) = p.actor(Role::BoothWorker, "S1-B1").await;
    let first = p.client(0, &token);
    p.felt(&token, "/v1/me", 401, async || {
        first.post("/v1/auth/logout", json!({})).await.expect(204);
    })
    .await;

    // Deactivated.
    let (worker_id, _, token) = p.actor(Role::BoothWorker, "S1-B1").await;
    p.felt(&token, "/v1/me", 401, async || {
        let path = format!("/v1/workers/{worker_id}");
        let tag = admin
            .get(&path)
            .await
            .expect(200)
            .header("etag")
            .unwrap()
            .to_owned();
        admin
            .header("If-Match", &tag)
            .patch(&path, json!({"active": false}))
            .await
            .expect(200);
    })
    .await;

    // A grant ended.
    let (worker_id, _, token) = p.actor(Role::MandalWorker, "S1-M1").await;
    p.felt(&token, &unit, 404, async || {
        let worker = admin
            .get(&format!("/v1/workers/{worker_id}"))
            .await
            .expect(200)
            .json;
        let grant = worker["grants"][0]["id"].as_i64().unwrap();
        admin
            .delete(&format!("/v1/workers/{worker_id}/grants/{grant}"))
            .await
            .expect(204);
    })
    .await;

    // The unit moved away from under a grant.
    let (_, _, token) = p.actor(Role::MandalWorker, "S1-M1").await;
    p.felt(&token, &unit, 404, async || {
        let today = Clock::system(chrono_tz::Asia::Kolkata).today();
        let body = json!({"tree": "organisation", "parent_id": p.world.unit("S1-M2"), "valid_from": today});
        admin.post(&format!("{unit}/placements"), body).await.expect(201);
    })
    .await;

    // Behind the program's back, where nobody could have sent a notification.
    let (_, session_id, token) = p.actor(Role::BoothWorker, "S1-B1").await;
    p.felt(&token, "/v1/me", 401, async || {
        let sql = "UPDATE sessions SET revoked_at = now(), revoked_why = 'device_revoked' WHERE id = $1";
        p.database
            .connect()
            .await
            .execute(sql, &[&session_id])
            .await
            .unwrap();
    })
    .await;
    assert!(admin_id > 0 && p.data_dir.exists());
}

#[actix_web::test]
async fn a_change_that_began_early_and_was_committed_late_is_felt_too() {
    let p = Processes::start().await;
    let (worker_id, session_id, token) = p.actor(Role::BoothWorker, "S1-B1").await;
    let (other_id, _, _) = p.actor(Role::BoothWorker, "S1-B2").await;
    let late = p.database.connect().await;
    late.batch_execute(&format!(
        "BEGIN; UPDATE sessions SET revoked_at = now(), revoked_why = 'logout' WHERE id = '{session_id}'"
    ))
    .await
    .unwrap();
    // Others change meanwhile and both processes hear of it.
    for _ in 0..3 {
        let sql = format!("UPDATE workers SET active = NOT active WHERE id = {other_id}");
        p.database.connect().await.batch_execute(&sql).await.unwrap();
        for n in [0, 1] {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(1200) {
                p.client(n, &token).get("/v1/me").await.expect(200);
            }
        }
    }
    p.felt(&token, "/v1/me", 401, async || {
        late.batch_execute("COMMIT").await.unwrap();
    })
    .await;
    assert!(worker_id > 0);
}

#[actix_web::test]
async fn a_process_whose_watch_has_stopped_reads_sessions_again_before_long() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    // It looks once at least, and confirms what is remembered until then.
    let watch = Watch::start(&app.state.access);
    watch.stop().await;
    worker.client.get("/v1/me").await.expect(200);
    let sql = "UPDATE sessions SET expires_at = $1 WHERE id = $2";
    let now = app.clock.now();
    let ended = world.db.execute(sql, &[&now, &worker.session_id]).await;
    assert_eq!(ended.unwrap(), 1);
    let began = Instant::now();
    while worker.client.get("/v1/me").await.status != 401 {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "it believes what it read"
        );
        tokio::task::yield_now().await;
    }
}

#[actix_web::test]
async fn changes_of_access_are_kept_for_an_hour() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let rows =
        "INSERT INTO access_changes (at) VALUES (now() - interval '61 min'), (now() - interval '59 min')";
    assert_eq!(world.db.execute(rows, &[]).await.unwrap(), 2);
    let count = async || -> i64 {
        let sql = "SELECT count(*) FROM access_changes";
        world.db.query_one(sql, &[]).await.unwrap().get(0)
    };
    let before = count().await;
    Watch::start(&app.state.access).stop().await;
    assert_eq!(count().await, before - 1);
}
