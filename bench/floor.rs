//! What this PostgreSQL can store at most of a row like a visit: uuid key, ids, timestamp, jsonb of 150 bytes, two
//! secondary indexes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_postgres::NoTls;
use uuid::Uuid;

pub async fn prepare(url: &str) {
    crate::world::execute(
        url,
        "CREATE TABLE bare (id uuid PRIMARY KEY, state_id int NOT NULL, booth_id int NOT NULL, worker_id int NOT NULL,
             at timestamptz NOT NULL, content jsonb NOT NULL);
         CREATE INDEX ON bare (booth_id, at); CREATE INDEX ON bare (worker_id, at)",
    )
    .await;
}

fn content() -> Value {
    json!({"outcome": "met", "people_met": 2, "answers": {"heard": true, "need": "road"}, "note": "x".repeat(70)})
}

async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Rows a second, one an autocommitted statement.
pub async fn single_rows(url: &str, clients: usize, time: Duration) -> f64 {
    let sql = "INSERT INTO bare VALUES ($1, $2, $3, $4, now(), $5)";
    run(url, clients, time, 1, sql, async |client, statement| {
        let n = i32::from(rand::random::<u16>() % 2000);
        client
            .execute(statement, &[&Uuid::new_v4(), &1i32, &n, &n, &content()])
            .await
            .unwrap();
    })
    .await
}

/// Rows a second, so many a statement.
pub async fn batches(url: &str, clients: usize, size: usize, time: Duration) -> f64 {
    let sql = "INSERT INTO bare SELECT id, 1, booth, booth, now(), content
               FROM unnest($1::uuid[], $2::int[], $3::jsonb[]) AS t (id, booth, content)";
    run(url, clients, time, size, sql, async |client, statement| {
        let ids: Vec<Uuid> = (0..100).map(|_| Uuid::new_v4()).collect();
        let booths: Vec<i32> = ids
            .iter()
            .map(|_| i32::from(rand::random::<u16>() % 2000))
            .collect();
        let contents: Vec<Value> = ids.iter().map(|_| content()).collect();
        client
            .execute(statement, &[&ids, &booths, &contents])
            .await
            .unwrap();
    })
    .await
}

async fn run<F>(url: &str, clients: usize, time: Duration, size: usize, sql: &'static str, one: F) -> f64
where
    F: AsyncFn(&tokio_postgres::Client, &tokio_postgres::Statement) + Copy,
{
    let stored = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let work = (0..clients).map(|_| {
        let stored = stored.clone();
        async move {
            let client = client(url).await;
            let statement = client.prepare(sql).await.unwrap();
            while started.elapsed() < time {
                one(&client, &statement).await;
                stored.fetch_add(size as u64, Ordering::Relaxed);
            }
        }
    });
    futures_util::future::join_all(work).await;
    stored.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}
