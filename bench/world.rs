//! A state with 2,000 booths and 2,048 signed-in workers, written straight into the database.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use sampark::access::KeyRing;
use sampark::platform::clock::Clock;
use sampark::platform::ids::{SessionId, WorkerId};
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::http::Connection;

/// Workers: so many that none makes more visits on a day than people do.
pub const WORKERS: i32 = 2048;

#[derive(Clone)]
pub struct World {
    pub state_id: i32,
    pub booths: Vec<i32>,
    pub campaign_id: i32,
    pub tokens: Vec<String>,
}

const UNITS: &str = "
    INSERT INTO units (id, code, level, name, state_id, doors, created_at, updated_at)
    SELECT id, 'U' || id, level, 'Unit ' || id, CASE WHEN id = 1 THEN 1 ELSE 2 END, 250, now(), now() FROM (
        SELECT 1 AS id, 'nation' AS level UNION ALL SELECT 2, 'state'
        UNION ALL SELECT 10 + n, 'district' FROM generate_series(0, 4) n
        UNION ALL SELECT 20 + n, 'parliamentary_constituency' FROM generate_series(0, 3) n
        UNION ALL SELECT 30 + n, 'assembly_constituency' FROM generate_series(0, 23) n
        UNION ALL SELECT 100 + n, 'mandal' FROM generate_series(0, 99) n
        UNION ALL SELECT 1000 + n, 'booth' FROM generate_series(0, 1999) n) u;
    INSERT INTO lineages (unit_id, valid_from, state_id, unit_ids)
    SELECT id, '0001-01-01', state_id, CASE level
        WHEN 'nation' THEN ARRAY[1] WHEN 'state' THEN ARRAY[1, 2]
        WHEN 'district' THEN ARRAY[1, 2, id] WHEN 'parliamentary_constituency' THEN ARRAY[1, 2, id]
        WHEN 'assembly_constituency' THEN ARRAY[1, 2, 20 + (id - 30) / 6, id]
        WHEN 'mandal' THEN ARRAY[1, 2, 10 + (id - 100) / 20, id]
        ELSE ARRAY[1, 2, 10 + (id - 1000) / 400, 20 + (id - 1000) / 500, 30 + (id - 1000) / 84, 100 + (id - 1000) / 20, id] END
    FROM units;
    -- Phones that wait for a network are not what is measured.
    INSERT INTO campaigns (id, unit_id, name, starts_on, bounds, created_at, updated_at)
    VALUES (1, 2, 'Bench', '2026-10-01', '{\"backdated\": {\"days\": 90}}', now(), now());
    INSERT INTO campaign_questions (campaign_id, version, questions, created_at) VALUES (1, 1, '[
        {\"key\": \"heard\", \"type\": \"bool\", \"labels\": {}},
        {\"key\": \"need\", \"type\": \"choice\", \"options\": [\"road\", \"water\"], \"labels\": {}}]', now());
    ANALYZE";

impl World {
    pub async fn build(url: &str, dir: &Path) -> Self {
        execute(url, UNITS).await;
        let tokens = people(url, dir, "state_admin", 2).await;
        Self {
            state_id: 2,
            booths: (1000..3000).collect(),
            campaign_id: 1,
            tokens,
        }
    }
}

/// Workers with a role at a unit, signed in; their tokens.
pub async fn people(url: &str, dir: &Path, role: &str, unit_id: i32) -> Vec<String> {
    let workers = format!(
        "INSERT INTO workers (id, unit_id, name, created_at, updated_at)
         SELECT n, {unit_id}, 'Worker', now(), now() FROM generate_series(1, {WORKERS}) n;
         INSERT INTO grants (worker_id, role, unit_id, valid_from, created_at)
         SELECT n, '{role}', {unit_id}, '2020-01-01', now() FROM generate_series(1, {WORKERS}) n;
         SELECT setval('workers_id_seq', {WORKERS})"
    );
    execute(url, &workers).await;
    sign_in(url, dir).await
}

/// Tokens of sessions that begin now; a token lives for a quarter of an hour.
pub async fn sign_in(url: &str, dir: &Path) -> Vec<String> {
    let keys = KeyRing::load_or_make(dir).unwrap();
    let now = Clock::system(chrono_tz::Asia::Kolkata).now();
    let (mut tokens, mut sql) = (Vec::new(), String::new());
    for worker in 1..=WORKERS {
        let (device, session) = (Uuid::new_v4(), Uuid::new_v4());
        sql.push_str(&format!(
            "INSERT INTO devices (id, worker_id, created_at, last_seen_at) VALUES ('{device}', {worker}, now(), now());
             INSERT INTO sessions (id, worker_id, device_id, strength, created_at, expires_at)
             VALUES ('{session}', {worker}, '{device}', 'totp', now(), '2100-01-01');"
        ));
        tokens.push(keys.sign(WorkerId(worker), SessionId(session), now).unwrap());
    }
    execute(url, &sql).await;
    tokens
}

pub async fn execute(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}

pub async fn count(url: &str, sql: &str) -> i64 {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.query_one(sql, &[]).await.unwrap().get(0)
}

pub async fn text(url: &str, sql: &str) -> String {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Until the program knows of the roles that were changed behind its back.
pub async fn known(address: SocketAddr, token: &str, role: &str) {
    let mut client = Connection::open(address, token).await;
    let until = Instant::now() + Duration::from_secs(30);
    while !String::from_utf8_lossy(&client.get("/v1/me").await.1).contains(role) {
        assert!(Instant::now() < until, "it never heard that one is a {role}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
