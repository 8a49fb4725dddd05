//! The program killed while phones upload: every acknowledged visit is there once, and the totals are exact.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sampark::access::KeyRing;
use sampark::access::Role;
use sampark::journal::poster::post_all;
use sampark::platform::db::Db;
use sampark::platform::ids::{SessionId, WorkerId};
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::exactness::assert_exact;
use crate::support::{Client, TestDatabase, World};

/// The program as a process of its own.
pub struct Program {
    child: Child,
    pub address: SocketAddr,
    /// Reads what it writes to standard error.
    log: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl Program {
    /// Starts `sampark serve` and waits until it says where.
    pub fn serve(data_dir: &Path, database_url: Option<&str>) -> Self {
        Self::serve_with(data_dir, database_url, &[])
    }

    /// The same with more settings.
    pub fn serve_with(data_dir: &Path, database_url: Option<&str>, settings: &[(&str, &str)]) -> Self {
        // The world's phones are sealed under the keys of the tests.
        let data_keys = data_dir.join("keys/data.keys");
        if !data_keys.exists() {
            std::fs::create_dir_all(data_dir.join("keys")).unwrap();
            std::fs::write(&data_keys, crate::support::DATA_KEYS).unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_sampark"));
        command
            .arg("serve")
            .env_remove("DATABASE_URL")
            .env("SAMPARK_DATA_DIR", data_dir)
            .env("SAMPARK_LISTEN", "127.0.0.1:0")
            .env("SAMPARK_LOG_FORMAT", "pretty")
            .env("RUST_LOG", "info")
            .env("SAMPARK_RATE_ACCOUNT", "100000")
            .env("SAMPARK_RATE_DEVICE", "100000")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        command.envs(settings.iter().copied());
        if let Some(url) = database_url {
            command.env("DATABASE_URL", url);
        }
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let address = loop {
            let line = log
                .next()
                .unwrap_or_else(|| panic!("it ended: {said:?}"))
                .unwrap();
            let line = line.replace("serving on https://", "serving on http://");
            if let Some((_, address)) = line.split_once("serving on http://") {
                break address.trim().parse().unwrap();
            }
            said.push(line);
        };
        // Whoever writes into a closed pipe dies: the rest of the log is read to its end.
        let log = std::thread::spawn(move || {
            said.extend(log.map_while(Result::ok));
            said
        });
        Self {
            child,
            address,
            log: Some(log),
        }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; whether it ended well.
    pub fn stop(&mut self) -> bool {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        self.child.wait().unwrap().success()
    }

    /// Stops it; every line that it wrote.
    pub fn stop_and_tell(mut self) -> String {
        assert!(self.stop());
        self.log.take().unwrap().join().unwrap().join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Phones that upload until the program is killed, and what they have heard.
#[derive(Clone)]
struct Phones {
    tokens: Vec<String>,
    enough: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    heard: Arc<Notify>,
}

/// What a phone has sent and, for each visit, whether it was told that it is stored.
type Memory = BTreeMap<String, (Value, bool)>;

impl Phones {
    /// Uploads a batch a phone again and again until an upload fails.
    fn start(
        &self,
        address: SocketAddr,
        world: &World,
        campaign: i32,
    ) -> Vec<tokio::task::JoinHandle<Memory>> {
        let booth = world.unit("S1-B1");
        self.tokens
            .iter()
            .map(|token| {
                let (token, acknowledged, heard) =
                    (token.clone(), self.acknowledged.clone(), self.heard.clone());
                actix_web::rt::spawn(async move {
                    let client = Client::new(address, Some(token));
                    let mut memory = Memory::new();
                    loop {
                        let batch: Vec<Value> = (0..20).map(|_| visit(campaign, booth)).collect();
                        for visit in &batch {
                            memory.insert(visit["id"].as_str().unwrap().to_owned(), (visit.clone(), false));
                        }
                        let Ok(answer) = client
                            .try_post("/v1/visits/batch", &json!({ "visits": batch }))
                            .await
                        else {
                            return memory;
                        };
                        if answer.status == 503 {
                            return memory;
                        }
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        for item in answer.json["results"].as_array().unwrap() {
                            assert_eq!(item["status"], "created", "{item}");
                            memory.get_mut(item["id"].as_str().unwrap()).unwrap().1 = true;
                        }
                        acknowledged.fetch_add(1, Ordering::SeqCst);
                        heard.notify_one();
                    }
                })
            })
            .collect()
    }

    /// Waits until so many more batches were acknowledged.
    async fn wait_for(&self, batches: usize) {
        let until = self.acknowledged.load(Ordering::SeqCst) + batches;
        while self.acknowledged.load(Ordering::SeqCst) < until {
            self.heard.notified().await;
        }
    }
}

fn visit(campaign: i32, booth: i32) -> Value {
    json!({
        "id": Uuid::new_v4(), "campaign_id": campaign, "booth_id": booth,
        "visited_at": "2026-11-23T11:00:00+05:30", "outcome": "met", "people_met": 1,
    })
}

async fn phones(world: &World, keys: &KeyRing, count: usize) -> Phones {
    let mut tokens = Vec::new();
    for _ in 0..count {
        let worker_id = world.new_worker("S1-B1").await;
        world
            .grant(worker_id, Role::BoothWorker, "S1-B1", "2020-01-01", None)
            .await;
        let (_, session_id) = world.session(worker_id).await;
        let now = sampark::platform::clock::Clock::system(chrono_tz::Asia::Kolkata).now();
        tokens.push(
            keys.sign(WorkerId(worker_id), SessionId(session_id), now)
                .unwrap(),
        );
    }
    Phones {
        tokens,
        enough: Arc::default(),
        acknowledged: Arc::default(),
        heard: Arc::default(),
    }
}

/// Everything that a phone ever sent is sent again; what it was told is stored must be there.
async fn settle(address: SocketAddr, token: &str, memory: &Memory) {
    let client = Client::new(address, Some(token.to_owned()));
    let visits: Vec<&(Value, bool)> = memory.values().collect();
    for chunk in visits.chunks(400) {
        let batch: Vec<&Value> = chunk.iter().map(|(visit, _)| visit).collect();
        let answer = client
            .post("/v1/visits/batch", json!({ "visits": batch }))
            .await
            .expect(200);
        for (item, (visit, acknowledged)) in answer.json["results"].as_array().unwrap().iter().zip(chunk) {
            assert_eq!(item["id"], visit["id"]);
            let status = item["status"].as_str().unwrap();
            assert!(
                status == "duplicate" || (status == "created" && !acknowledged),
                "{acknowledged} {item}"
            );
        }
    }
}

async fn check_whole(world: &World, sent: usize, url: &str) {
    let stored: i64 = world
        .db
        .query_one("SELECT count(*) FROM visits", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(usize::try_from(stored).unwrap(), sent);
    assert_exact(&world.db, "the kills").await;
    let db = Db::new(url, 2, crate::support::data_keys()).unwrap();
    post_all(&db).await.unwrap();
    assert_exact(&world.db, "the posting").await;
    let holes = "SELECT count(*) FROM (SELECT number, row_number() OVER (PARTITION BY state_id ORDER BY number) AS n FROM journal) j
                 WHERE number <> n";
    assert_eq!(world.db.query_one(holes, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[actix_web::test]
async fn a_server_killed_mid_batch_loses_nothing_that_it_acknowledged() {
    let database = TestDatabase::create().await;
    let data_dir: PathBuf = database.scratch_file("data");
    std::fs::create_dir_all(&data_dir).unwrap();
    let keys = KeyRing::load_or_make(&data_dir).unwrap();
    let world = World::build_in(database.connect().await).await;
    let campaign = world.campaign("IN").await;
    let phones = phones(&world, &keys, 8).await;
    let mut sent = 0;
    for round in 0..12 {
        let mut program = Program::serve(&data_dir, Some(&database.url));
        let running = phones.start(program.address, &world, campaign);
        phones.wait_for(1 + (round * 7) % 23).await;
        program.kill();
        let mut memories = Vec::new();
        for phone in running {
            memories.push(phone.await.unwrap());
        }
        let program = Program::serve(&data_dir, Some(&database.url));
        for (token, memory) in phones.tokens.iter().zip(&memories) {
            settle(program.address, token, memory).await;
            sent += memory.len();
        }
    }
    check_whole(&world, sent, &database.url).await;
}

#[actix_web::test]
async fn a_server_told_to_stop_finishes_the_requests_in_flight() {
    let database = TestDatabase::create().await;
    let data_dir: PathBuf = database.scratch_file("data");
    std::fs::create_dir_all(&data_dir).unwrap();
    let keys = KeyRing::load_or_make(&data_dir).unwrap();
    let world = World::build_in(database.connect().await).await;
    let campaign = world.campaign("IN").await;
    let phones = phones(&world, &keys, 4).await;
    let mut program = Program::serve(&data_dir, Some(&database.url));
    let running = phones.start(program.address, &world, campaign);
    phones.wait_for(10).await;
    let ended = actix_web::rt::task::spawn_blocking(move || program.stop());
    let mut acknowledged = 0;
    for phone in running {
        let memory = phone.await.unwrap();
        acknowledged += memory.values().filter(|(_, acknowledged)| *acknowledged).count();
    }
    assert!(ended.await.unwrap(), "it did not end with status 0");
    let stored: i64 = world
        .db
        .query_one("SELECT count(*) FROM visits", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(
        usize::try_from(stored).unwrap(),
        acknowledged,
        "what was stored was answered"
    );
    let unposted: i64 = world
        .db
        .query_one("SELECT count(*) FROM journal_inbox", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(unposted, 0, "it posts what is left before it ends");
}

/// Sends batch after batch until told to stop; what fails is sent again. Returns the ids that were acknowledged.
async fn stubborn_phone(
    address: SocketAddr,
    token: String,
    visit: impl Fn() -> Value,
    phones: Phones,
) -> Vec<String> {
    let client = Client::new(address, Some(token));
    let mut stored = Vec::new();
    while !phones.enough.load(Ordering::SeqCst) {
        let batch: Vec<Value> = (0..20).map(|_| visit()).collect();
        let body = json!({ "visits": batch });
        loop {
            let answer = client
                .try_post("/v1/visits/batch", &body)
                .await
                .expect("the server itself stays up");
            if answer.status == 503 {
                assert!(answer.header("retry-after").is_some());
                tokio::task::yield_now().await;
                continue;
            }
            assert_eq!(answer.status, 200, "{}", answer.text());
            for item in answer.json["results"].as_array().unwrap() {
                assert!(
                    item["status"] == "created" || item["status"] == "duplicate",
                    "{item}"
                );
                stored.push(item["id"].as_str().unwrap().to_owned());
            }
            break;
        }
        phones.acknowledged.fetch_add(1, Ordering::SeqCst);
        phones.heard.notify_one();
    }
    stored
}

#[actix_web::test]
async fn a_postgresql_killed_under_load_is_back_without_a_restart_and_nothing_is_lost() {
    let scratch = TestDatabase::create_empty().await;
    let data_dir = scratch.scratch_file("data");
    std::fs::create_dir_all(&data_dir).unwrap();
    let keys = KeyRing::load_or_make(&data_dir).unwrap();
    let mut program = Program::serve(&data_dir, None);
    let url = std::fs::read_to_string(data_dir.join("database.url")).unwrap();
    let (db, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    actix_web::rt::spawn(connection);
    let world = World::build_in(db).await;
    let (campaign, booth) = (world.campaign("IN").await, world.unit("S1-B1"));
    let phones = phones(&world, &keys, 6).await;
    let running = phones.tokens.iter().map(|token| {
        let phone = stubborn_phone(
            program.address,
            token.clone(),
            move || visit(campaign, booth),
            phones.clone(),
        );
        actix_web::rt::spawn(phone)
    });
    let running: Vec<_> = running.collect();
    let pid_file = data_dir.join("postgres/data/postmaster.pid");
    for round in 0..6 {
        phones.wait_for(3 + round * 5 % 11).await;
        let pid = std::fs::read_to_string(&pid_file)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .to_owned();
        assert!(
            Command::new("kill")
                .args(["-9", &pid])
                .status()
                .unwrap()
                .success()
        );
    }
    phones.wait_for(12).await;
    phones.enough.store(true, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    for phone in running {
        acknowledged.extend(phone.await.unwrap());
    }
    // The world's own connection died with the first kill.
    let (db, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    actix_web::rt::spawn(connection);
    let world = World { db, ..world };
    check_whole(&world, acknowledged.len(), &url).await;
    acknowledged.sort();
    acknowledged.dedup();
    let stored: i64 = world
        .db
        .query_one("SELECT count(*) FROM visits", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(usize::try_from(stored).unwrap(), acknowledged.len());
    assert!(program.stop());
}
