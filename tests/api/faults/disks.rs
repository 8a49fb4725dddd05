//! Disks without room, and logs that nobody takes away.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::history::History;
use super::phones::Crew;
use super::table::Row;
use super::{Field, assert_settled, connect, eventually};
use crate::support::{Client, Program, TestDatabase};

/// A small disk in memory, unmounted with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this program may not mount.
    fn mount(megabytes: u32) -> Option<Self> {
        let dir = std::env::temp_dir().join(format!("sampark-disk-{}", Uuid::new_v4().simple()));
        std::fs::create_dir_all(&dir).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(&dir)
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        let _ = std::fs::remove_dir(&dir);
        None
    }

    /// A directory on it that belongs to the user of a server's data.
    fn folder(&self, like: &Path) -> PathBuf {
        let folder = self.0.join("data");
        std::fs::create_dir_all(&folder).unwrap();
        for path in [&self.0, &folder] {
            let given = Command::new("chown")
                .arg("--reference")
                .arg(like)
                .arg(path)
                .status();
            assert!(given.unwrap().success());
        }
        folder
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Leaves no byte free.
    fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.filler()).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            let piece = vec![0; size];
            while file.write_all(&piece).is_ok() {}
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Where the tests' server keeps its data.
async fn data_directory(url: &str) -> PathBuf {
    let row = connect(url)
        .await
        .query_one("SHOW data_directory", &[])
        .await
        .unwrap();
    PathBuf::from(row.get::<_, String>(0))
}

#[actix_web::test]
async fn f13_a_full_data_disk_refuses_writes_serves_reads_and_loses_nothing() {
    let row = Row::begin("F13");
    let Some(disk) = SmallDisk::mount(48) else {
        return row.skip("this user may not mount a tmpfs");
    };
    let other = TestDatabase::create_empty().await;
    let folder = disk.folder(&data_directory(&other.url).await);
    let name = format!("small_{}", Uuid::new_v4().simple());
    TestDatabase::administer(&format!(
        "CREATE TABLESPACE {name} LOCATION '{}'",
        folder.display()
    ))
    .await;
    let database = TestDatabase::create_in(&name).await;
    let (url, data_dir) = (database.url.clone(), database.scratch_file("data"));
    std::fs::create_dir_all(&data_dir).unwrap();
    let field = Field::build_at(database, &data_dir, url, 4, History::of_failing_database()).await;
    let program = field.serve();
    let before = program.usage();
    let crew = Crew::start(&field, program.address, 40);
    let rounds = row.rounds(1, 5);
    for _ in 0..rounds {
        crew.phones.wait_for(4).await;
        disk.fill();
        let full = || {
            crew.phones
                .answers()
                .codes
                .get("storage_full")
                .copied()
                .unwrap_or_default()
        };
        let seen = full();
        eventually(Duration::from_secs(120), "the disk is full", async || {
            full() > seen + 8
        })
        .await;
        for path in [
            "/v1/visits?limit=5",
            "/v1/units/2/totals",
            "/v1/campaigns",
            "/readyz",
        ] {
            field.admin(&program).get(path).await.expect(200);
        }
        disk.make_room();
    }
    crew.phones.wait_for(8).await;
    let answers = crew.stop().await;
    assert_eq!((answers.broken(), answers.statuses.get(&500)), (0, None));
    let stored = field.check(&program).await;
    let usage = assert_settled(&program, before, &row).await;
    row.held(
        rounds,
        format!(
            "{} visits, {:?} refused; {usage}",
            stored.visits.len(),
            answers.codes
        ),
    );
    drop(program);
    drop(field);
    TestDatabase::administer(&format!("DROP TABLESPACE {name}")).await;
}

#[actix_web::test]
async fn f14_a_full_disk_of_the_write_ahead_log_stops_writes_and_recovers() {
    let row = Row::begin("F14");
    let Some(disk) = SmallDisk::mount(112) else {
        return row.skip("this user may not mount a tmpfs");
    };
    let scratch = TestDatabase::create_empty().await;
    let data_dir = scratch.scratch_file("data");
    std::fs::create_dir_all(&data_dir).unwrap();
    let settings = [super::table::database_wait()];
    assert!(Program::serve_with(&data_dir, None, &settings).stop());
    let wal = data_dir.join("postgres/data/pg_wal");
    let moved = disk.folder(&wal);
    let copied = Command::new("cp")
        .arg("-a")
        .arg(format!("{}/.", wal.display()))
        .arg(&moved)
        .status();
    assert!(copied.unwrap().success());
    std::fs::remove_dir_all(&wal).unwrap();
    std::os::unix::fs::symlink(&moved, &wal).unwrap();

    let mut program = Program::serve_with(&data_dir, None, &settings);
    let url = std::fs::read_to_string(data_dir.join("database.url")).unwrap();
    let mut field = Field::build_at(scratch, &data_dir, url, 4, History::of_failing_database()).await;
    let crew = Crew::start(&field, program.address, 20);
    let rounds = row.rounds(1, 5);
    let mut longest = Duration::ZERO;
    for _ in 0..rounds {
        crew.phones.wait_for(4).await;
        disk.fill();
        // New segments are asked for until there is no room for one.
        eventually(Duration::from_secs(120), "the log has no room", async || {
            if let Ok((db, connection)) = tokio_postgres::connect(&field.url, tokio_postgres::NoTls).await {
                tokio::spawn(connection);
                let _ = db.batch_execute("SELECT pg_switch_wal()").await;
            }
            let refused = crew.phones.answers().refused();
            let ready = Client::new(program.address, None).get("/readyz").await;
            let unable = ready.status == 503 || ready.json["writable"] == false;
            unable && refused > 0
        })
        .await;
        assert_eq!(
            Client::new(program.address, None).get("/healthz").await.status,
            200
        );
        disk.make_room();
        let began = Instant::now();
        crew.phones.wait_for(4).await;
        longest = longest.max(began.elapsed());
    }
    let answers = crew.stop().await;
    assert_eq!((answers.broken(), answers.statuses.get(&500)), (0, None));
    field.world.db = connect(&field.url).await;
    let stored = field.check(&program).await;
    assert!(program.stop());
    row.held(
        rounds,
        format!(
            "{} visits, {} uploads refused; uploads again within {:.1} s of room, without a restart of the server",
            stored.visits.len(),
            answers.refused(),
            longest.as_secs_f64()
        ),
    );
}

pub fn free_address() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Has so many lines logged, one a request, over one connection.
async fn chatter(program: &Program, lines: usize) {
    let stream = TcpStream::connect(program.address).await.unwrap();
    let (mut answers, mut requests) = stream.into_split();
    let asking = tokio::spawn(async move {
        let some = "GET /healthz HTTP/1.1\r\nhost: it\r\n\r\n".repeat(100);
        for _ in 0..lines / 100 {
            requests.write_all(some.as_bytes()).await.unwrap();
        }
        let last = "GET /healthz HTTP/1.1\r\nhost: it\r\nconnection: close\r\n\r\n";
        requests.write_all(last.as_bytes()).await.unwrap();
        requests
    });
    let mut all = Vec::new();
    answers.read_to_end(&mut all).await.unwrap();
    drop(asking.await.unwrap());
    let served = String::from_utf8_lossy(&all).matches("HTTP/1.1 200").count();
    assert_eq!(
        served,
        lines / 100 * 100 + 1,
        "each is answered, whatever becomes of its line"
    );
}

/// Uploads until lines have been lost; what `/metrics` says of them.
async fn upload_until_lines_are_lost(field: &Field, program: &Program) -> (u64, usize) {
    let anyone = Client::new(program.address, None);
    let ready = async || {
        let asked = anyone.try_send("GET", "/readyz", None).await;
        asked.is_ok_and(|answer| answer.status == 200)
    };
    eventually(Duration::from_secs(60), "it is ready", ready).await;
    // As many as the queue holds, and a pipe.
    chatter(program, 10_000).await;
    let mut uploads = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let visits: Vec<Value> = field.batch(5);
        field.history.sent(&visits);
        let body = json!({ "visits": visits });
        let answer = field
            .phone(program, 0)
            .post("/v1/visits/batch", body)
            .await
            .expect(200);
        field.history.answered(&answer.json["results"]);
        uploads += 1;
        let metrics = anyone.get("/metrics").await.expect(200);
        let lost = metrics
            .text()
            .lines()
            .find_map(|line| line.strip_prefix("sampark_log_lines_lost "))
            .map(|lost| lost.parse::<u64>().unwrap());
        if lost.unwrap() > 0 && uploads >= 10 {
            return (lost.unwrap(), uploads);
        }
        assert!(Instant::now() < deadline, "no line was lost");
    }
}

#[actix_web::test]
async fn f15_a_log_that_nobody_takes_away_costs_lines_and_no_request() {
    let row = Row::begin("F15");
    let field = Field::build(1).await;
    let mut figures = Vec::new();
    // A pipe that is never read.
    let mut program = Program::serve_unread(&field.data_dir, &field.url, free_address(), Stdio::piped());
    let pipe = program.log();
    let (lost, uploads) = upload_until_lines_are_lost(&field, &program).await;
    figures.push(format!(
        "pipe: {uploads} uploads served, {lost} lines lost and counted"
    ));
    drop(program);
    drop(pipe);
    // A disk without room.
    match std::fs::File::options().write(true).open("/dev/full") {
        Ok(full) => {
            let program = Program::serve_unread(&field.data_dir, &field.url, free_address(), full.into());
            let (lost, uploads) = upload_until_lines_are_lost(&field, &program).await;
            figures.push(format!(
                "full disk: {uploads} uploads served, {lost} lines lost and counted"
            ));
            drop(program);
        }
        Err(_) => figures.push("full disk: SKIPPED, there is no /dev/full".to_owned()),
    }
    field.check(&field.serve()).await;
    row.held(2, figures.join("; "));
}
