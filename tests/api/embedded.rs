//! The private PostgreSQL: kept from two, killed and back, stopped and back.

use std::path::PathBuf;
use std::process::Command;

use sampark::platform::embedded_postgres::{EmbeddedPostgres, Options, PostgresError};
use tokio_postgres::NoTls;
use uuid::Uuid;

fn options(dir: &std::path::Path) -> Options {
    #[expect(
        clippy::disallowed_methods,
        reason = "the programs of PostgreSQL are looked for in PATH"
    )]
    let path = std::env::var_os("PATH");
    Options {
        dir: dir.to_owned(),
        bin: None,
        path,
        durable: true,
        archive: None,
        remove_on_exit: false,
        settings: vec![("shared_buffers".to_owned(), "16MB".to_owned())],
    }
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("sampark-embedded-{}", Uuid::new_v4().simple())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn count(server: &EmbeddedPostgres, sql: &str) -> i64 {
    // It may be on its way back: until it is, connecting is refused.
    loop {
        let Ok((client, connection)) = tokio_postgres::connect(&server.url("sampark"), NoTls).await else {
            tokio::task::yield_now().await;
            continue;
        };
        actix_web::rt::spawn(connection);
        return client.query_one(sql, &[]).await.unwrap().get(0);
    }
}

#[actix_web::test]
async fn a_private_server_is_for_one_program_and_survives_kill_and_stop() {
    let scratch = Scratch::new();
    let server = EmbeddedPostgres::start(options(&scratch.0)).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&server.url("sampark"), NoTls)
        .await
        .unwrap();
    actix_web::rt::spawn(connection);
    client
        .batch_execute("CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 1000)")
        .await
        .unwrap();
    let durable: String = client.query_one("SHOW fsync", &[]).await.unwrap().get(0);
    assert_eq!(durable, "on");

    let second = EmbeddedPostgres::start(options(&scratch.0)).await;
    assert!(matches!(second, Err(PostgresError::InUse(_))));

    let killed = server.postmaster_pid();
    assert!(
        Command::new("kill")
            .args(["-9", &killed.to_string()])
            .status()
            .unwrap()
            .success()
    );
    drop(client);
    while server.postmaster_pid() == killed {
        tokio::task::yield_now().await;
    }
    assert_eq!(count(&server, "SELECT count(*) FROM t").await, 1000);

    server.stop().await.unwrap();
    let again = EmbeddedPostgres::start(options(&scratch.0)).await.unwrap();
    assert_eq!(count(&again, "SELECT count(*) FROM t").await, 1000);
    again.stop().await.unwrap();
}

#[actix_web::test]
async fn a_directory_without_programs_is_no_postgresql() {
    let scratch = Scratch::new();
    let mut options = options(&scratch.0);
    options.bin = Some(std::env::temp_dir());
    let message = EmbeddedPostgres::start(options).await.unwrap_err().to_string();
    assert!(message.contains("install"), "{message}");
}
