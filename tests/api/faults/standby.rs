//! A streaming standby that is read: every answer says as of when it is true, and none is older than it says.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sampark::platform::clock::Clock;
use sampark::platform::embedded_postgres::find_programs;
use serde_json::{Value, json};

use super::history::History;
use super::proxy::{Fate, Proxy, address_of, through};
use super::table::Row;
use super::{Field, connect, eventually};
use crate::support::program::send;
use crate::support::{Answer, Program, TestDatabase};

/// A PostgreSQL that follows another, stopped with the test.
struct Follower {
    server: Child,
    url: String,
}

impl Follower {
    /// Copies the primary through a proxy, and follows it through the same.
    async fn of(url: &str, through_proxy: &str, data: &Path, owner: (u32, u32)) -> Self {
        let bin = programs().await;
        let config: tokio_postgres::Config = through_proxy.parse().unwrap();
        let copied = Command::new(bin.join("pg_basebackup"))
            .args(["-R", "-X", "stream", "-c", "fast", "-w", "-h", "127.0.0.1", "-U"])
            .arg(config.get_user().unwrap())
            .arg("-p")
            .arg(config.get_ports()[0].to_string())
            .arg("-D")
            .arg(data)
            .env(
                "PGPASSWORD",
                String::from_utf8_lossy(config.get_password().unwrap()).as_ref(),
            )
            .output()
            .unwrap();
        assert!(
            copied.status.success(),
            "{}",
            String::from_utf8_lossy(&copied.stderr)
        );
        let given = Command::new("chown")
            .arg("-R")
            .arg(format!("{}:{}", owner.0, owner.1))
            .arg(data)
            .status();
        assert!(given.unwrap().success());
        let address = super::disks::free_address();
        let mut server = Command::new(bin.join("postgres"));
        server.uid(owner.0).gid(owner.1).current_dir("/");
        let log = data.with_extension("log");
        let said = std::fs::File::create(&log).unwrap();
        server.arg("-D").arg(data).stdout(Stdio::null()).stderr(said);
        for setting in [
            format!("port={}", address.port()),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "archive_mode=off".to_owned(),
            // No fewer than the primary has.
            "max_connections=220".to_owned(),
            // A quiet primary is asked for a sign of life every second.
            "wal_receiver_timeout=2s".to_owned(),
        ] {
            server.arg("-c").arg(setting);
        }
        let follower = Self {
            server: server.spawn().unwrap(),
            url: through(url, address),
        };
        let what = format!("the standby answers; it says: {}", log.display());
        eventually(Duration::from_secs(60), &what, async || {
            tokio_postgres::connect(&follower.url, tokio_postgres::NoTls)
                .await
                .is_ok()
        })
        .await;
        follower
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        send("QUIT", &[self.server.id()]);
        let _ = self.server.wait();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "where the programs of PostgreSQL are is the machine's to say"
)]
async fn programs() -> PathBuf {
    let path = std::env::var_os("PATH");
    find_programs(None, path.as_deref(), None).await.unwrap()
}

/// All keys of a server, for another that reads the same database.
fn copy_keys(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("postgres") && !path.ends_with("database.url") {
            let copied = Command::new("cp").arg("-R").arg(&path).arg(to).status();
            assert!(copied.unwrap().success());
        }
    }
}

fn now() -> DateTime<Utc> {
    Clock::system(chrono_tz::Asia::Kolkata).now()
}

/// As of when an answer is true.
fn as_of(answer: &Answer) -> DateTime<Utc> {
    answer.header("sampark-as-of").unwrap().parse().unwrap()
}

/// What was acknowledged so far: when, and how many visits that were in all.
#[derive(Default)]
struct Acknowledged(Vec<(DateTime<Utc>, i64)>);

impl Acknowledged {
    async fn upload(&mut self, field: &Field, program: &Program) {
        let visits: Vec<Value> = field.batch(20);
        field.history.sent(&visits);
        let body = json!({ "visits": visits });
        let phone = field.phone(program, 0);
        let answer = phone.post("/v1/visits/batch", body).await.expect(200);
        field.history.answered(&answer.json["results"]);
        let before = self.0.last().map_or(0, |(_, count)| *count);
        self.0.push((now(), before + 20));
    }

    fn latest(&self) -> (DateTime<Utc>, i64) {
        *self.0.last().unwrap()
    }

    /// Holds totals that were answered against what had been acknowledged by the instant that they claim.
    fn assert_not_older_than_it_says(&self, answer: &Answer) {
        let as_of = as_of(answer);
        let owed = self
            .0
            .iter()
            .filter(|(at, _)| *at <= as_of)
            .map(|(_, count)| *count);
        let visits = answer.json["totals"]["visits"].as_i64().unwrap();
        assert!(
            visits >= owed.max().unwrap_or(0),
            "{visits} as of {as_of}: {:?}",
            self.0
        );
    }
}

#[actix_web::test]
async fn a_standby_answers_as_of_when_it_says_refuses_writes_and_says_nothing_that_is_too_old() {
    let row = Row::begin("R");
    let scratch = TestDatabase::create_empty().await;
    let (data_dir, other_dir) = (scratch.scratch_file("data"), scratch.scratch_file("other"));
    let copy = scratch.scratch_file("standby");
    std::fs::create_dir_all(&data_dir).unwrap();
    let primary = Program::serve_with(&data_dir, None, &[super::table::database_wait()]);
    let url = std::fs::read_to_string(data_dir.join("database.url")).unwrap();
    let proxy = Proxy::start(address_of(&url));
    let field = Field::build_at(scratch, &data_dir, url.clone(), 1, History::default()).await;
    let mut acknowledged = Acknowledged::default();
    acknowledged.upload(&field, &primary).await;

    let made = std::fs::metadata(data_dir.join("postgres/data")).unwrap();
    let owner = (made.uid(), made.gid());
    let follower = Follower::of(&url, &proxy.url(&url), &copy, owner).await;
    copy_keys(&data_dir, &other_dir);
    let wait = super::table::database_wait();
    let settings = [wait, ("SAMPARK_STANDBY_LAG_SECONDS", "6")];
    let standby = Program::serve_with(&other_dir, Some(&follower.url), &settings);
    let reader = field.admin(&standby);
    let path = format!("/v1/units/{}/totals", field.world.unit("S1"));

    // It follows: each upload is read there before long, and no answer is older than it says.
    let rounds = row.rounds(3, 20);
    let mut longest = Duration::ZERO;
    for _ in 0..rounds {
        acknowledged.upload(&field, &primary).await;
        let began = Instant::now();
        let (at, count) = acknowledged.latest();
        eventually(
            row.within(Duration::from_secs(10)),
            "it is read there",
            async || {
                let answer = reader.get(&path).await;
                if answer.status == 503 {
                    // Further back than it may be, as it says: not there yet.
                    return false;
                }
                let answer = answer.expect(200);
                acknowledged.assert_not_older_than_it_says(&answer);
                as_of(&answer) >= at && answer.json["totals"]["visits"] == count
            },
        )
        .await;
        longest = longest.max(began.elapsed());
    }

    // It writes nothing, and says so.
    let body = json!({ "visits": field.batch(2) });
    let refused = field
        .phone(&standby, 0)
        .post("/v1/visits/batch", body)
        .await
        .expect(503);
    assert!(refused.header("retry-after").is_some());
    let ready = crate::support::Client::new(standby.address, None)
        .get("/readyz")
        .await
        .expect(200);
    assert_eq!(
        (&ready.json["status"], &ready.json["writable"]),
        (&json!("read_only"), &json!(false))
    );

    // The line is dead: answers go on, each as of before, until that is too long ago.
    proxy.set(Fate::Stall);
    acknowledged.upload(&field, &primary).await;
    let dead = Instant::now();
    eventually(
        Duration::from_secs(60),
        "what is too old is not told",
        async || {
            let answer = reader.get(&path).await;
            if answer.status == 200 {
                acknowledged.assert_not_older_than_it_says(&answer);
                assert!(
                    now() - as_of(&answer) < chrono::TimeDelta::seconds(8),
                    "{:?}",
                    answer.header("sampark-as-of")
                );
            }
            answer.status == 503
        },
    )
    .await;
    let silent = dead.elapsed();
    proxy.set(Fate::Pass);
    let (at, count) = acknowledged.latest();
    eventually(Duration::from_secs(60), "it has caught up", async || {
        let answer = reader.get(&path).await;
        answer.status == 200 && as_of(&answer) >= at && answer.json["totals"]["visits"] == count
    })
    .await;

    // The primary is lost for good; the standby is promoted, and a server started on it takes writes.
    standby.assert_no_panic();
    drop((standby, primary));
    connect(&follower.url)
        .await
        .execute("SELECT pg_promote()", &[])
        .await
        .unwrap();
    let promoted = Program::serve_with(&other_dir, Some(&follower.url), &[wait]);
    let field = Field {
        url: follower.url.clone(),
        data_dir: other_dir,
        ..field
    };
    acknowledged.upload(&field, &promoted).await;
    let stored = field.check(&promoted).await;
    row.held(
        rounds,
        format!(
            "{} visits; read on the standby within {:.1} s, as of then; a dead line told as 503 after {:.1} s with 6 s allowed; promoted, nothing lost",
            stored.visits.len(),
            longest.as_secs_f64(),
            silent.as_secs_f64()
        ),
    );
}
