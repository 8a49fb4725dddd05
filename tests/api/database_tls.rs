//! TLS to PostgreSQL: spoken where the URL asks for it, and only with the server that the certificate names.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sampark::platform::dial::dial;
use sampark::platform::embedded_postgres::{EmbeddedPostgres, Options};
use sampark::platform::migrations;
use tokio_postgres::{Client, NoTls};

use crate::faults::eventually;
use crate::support::program::command;
use crate::support::{Program, TestDatabase};

/// An authority, and a certificate of a server that it signed for these names; false where there is no openssl.
fn certify(dir: &Path, names: &str) -> bool {
    let script = format!(
        "set -e; cd '{}'
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=Ours' -keyout ca.key -out ca.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=db' -keyout server.key -out server.csr
        printf 'subjectAltName={names}' > names
        openssl x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out server.pem
        chmod 600 server.key",
        dir.display()
    );
    let made = Command::new("sh").arg("-c").arg(script).output();
    made.is_ok_and(|made| made.status.success())
}

/// A private server of one's own.
async fn postgres(dir: &Path) -> EmbeddedPostgres {
    #[expect(
        clippy::disallowed_methods,
        reason = "the programs of PostgreSQL are looked for in PATH"
    )]
    let path = std::env::var_os("PATH");
    let options = Options {
        dir: dir.join("postgres"),
        bin: None,
        path,
        durable: true,
        archive: None,
        remove_on_exit: true,
        settings: vec![("shared_buffers".to_owned(), "16MB".to_owned())],
    };
    EmbeddedPostgres::start(options).await.unwrap()
}

async fn connect(url: &str) -> Client {
    let (client, wire) = tokio_postgres::connect(url, NoTls).await.unwrap();
    actix_web::rt::spawn(wire);
    client
}

/// Has the server put on its certificate. It writes the files itself: it may run as another user than the tests.
async fn put_on(client: &Client, dir: &Path) {
    for name in ["server.pem", "server.key"] {
        let content = std::fs::read_to_string(dir.join(name)).unwrap();
        let program = format!("cat >/dev/null; umask 077; cat >{name} <<'END'\n{content}END\n");
        let sql = format!("COPY (SELECT 1) TO PROGRAM $program${program}$program$");
        client.batch_execute(&sql).await.unwrap();
    }
    for (name, value) in [
        ("ssl_cert_file", "server.pem"),
        ("ssl_key_file", "server.key"),
        ("ssl", "on"),
    ] {
        let sql = format!("ALTER SYSTEM SET {name} = '{value}'");
        client.batch_execute(&sql).await.unwrap();
    }
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    eventually(Duration::from_secs(10), "the server speaks TLS", async || {
        let asked = client
            .query_one("SELECT current_setting('ssl') = 'on'", &[])
            .await;
        asked.unwrap().get(0)
    })
    .await;
}

fn said(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[actix_web::test]
async fn the_database_is_spoken_to_by_tls_and_only_if_it_is_who_the_url_names() {
    let scratch = TestDatabase::create_empty().await;
    let dir = scratch.scratch_file("tls");
    std::fs::create_dir_all(&dir).unwrap();
    if !certify(&dir, "IP:127.0.0.1") {
        eprintln!("SKIPPED: there is no openssl to make a certificate with");
        return;
    }
    let server = postgres(&dir).await;
    let client = connect(&server.url("sampark")).await;
    put_on(&client, &dir).await;
    let tls = |url: &str, roots: &str| {
        let roots = dir.join(roots);
        format!("{url}?sslmode=verify-full&sslrootcert={}", roots.display())
    };
    let url = tls(&server.url("sampark"), "ca.pem");
    migrations::run(&url).await.unwrap();

    // The program's own connections, all of them.
    let program = Program::serve(&dir.join("data"), Some(&url));
    let seen = "SELECT count(*), count(*) FILTER (WHERE s.ssl) FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid)
        WHERE a.client_port IS NOT NULL AND a.pid <> pg_backend_pid()";
    let row = client.query_one(seen, &[]).await.unwrap();
    let (all, by_tls): (i64, i64) = (row.get(0), row.get(1));
    assert!(all > 0 && by_tls == all, "{by_tls} of {all}");
    drop(program);
    let backup = command(&dir.join("data"), Some(&url))
        .arg("backup")
        .arg(dir.join("backups"))
        .output()
        .unwrap();
    assert!(
        backup.status.success(),
        "{}",
        String::from_utf8_lossy(&backup.stderr)
    );

    // Another authority, another name, the public authorities, no authority at all.
    let other = dir.join("other");
    std::fs::create_dir_all(&other).unwrap();
    assert!(certify(&other, "IP:127.0.0.1"));
    let by_name = url.replace("127.0.0.1", "localhost");
    let public = format!("{}?sslmode=require", server.url("sampark"));
    let wrong = [
        (
            tls(&server.url("sampark"), "other/ca.pem"),
            "invalid peer certificate",
        ),
        (by_name, "not valid for name"),
        (public, "invalid peer certificate"),
        (tls(&server.url("sampark"), "names"), "it holds no certificate"),
    ];
    for (url, why) in wrong {
        let Err(refused) = dial(&url).await else {
            panic!("{why}: it was trusted");
        };
        let told = said(&refused);
        assert!(told.contains(why), "{why}: {told}");
    }
}
