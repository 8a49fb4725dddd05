//! Backups: a restore to a moment, with the same checks after it as after any fault; and what is no backup of ours.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use sampark::access::{KeyRing, Role};
use serde_json::{Value, json};
use uuid::Uuid;

use super::history::History;
use super::table::Row;
use super::{Field, connect, eventually};
use crate::support::program::command;
use crate::support::{Client, Program, TestDatabase};

fn sampark(data_dir: &Path, arguments: &[&str]) -> Output {
    command(data_dir, None).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn assert_done(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

fn assert_refused(output: &Output, why: &str) {
    assert!(!output.status.success(), "it was taken: {}", said(output));
    assert!(said(output).contains(why), "{why}: {}", said(output));
}

/// A copy of a directory that goes with the test's.
fn copy(from: &Path, to: &Path) {
    let done = std::process::Command::new("cp")
        .arg("-R")
        .arg(from)
        .arg(to)
        .status();
    assert!(done.unwrap().success());
}

/// The one base backup of a directory.
fn base(dir: &Path) -> PathBuf {
    let mut found = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    found.find(|path| path.join("sampark.json").exists()).unwrap()
}

/// A machine that has the keys and no data.
fn new_machine(old: &Path, dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    for keys in ["keys", "seal-keys"] {
        copy(&old.join(keys), &dir.join(keys));
    }
}

async fn upload(field: &Field, program: &Program, history: &History) {
    let visits: Vec<Value> = field.batch(20);
    history.sent(&visits);
    let body = json!({ "visits": visits });
    let answer = field
        .phone(program, 0)
        .post("/v1/visits/batch", body)
        .await
        .expect(200);
    history.answered(&answer.json["results"]);
}

async fn count_visits(url: &str) -> i64 {
    let counted = connect(url)
        .await
        .query_one("SELECT count(*) FROM visits", &[])
        .await;
    counted.unwrap().get(0)
}

/// All that was written until now.
async fn archived(url: &str, dir: &Path) {
    let segment: String = connect(url)
        .await
        .query_one("SELECT pg_walfile_name(pg_switch_wal())", &[])
        .await
        .unwrap()
        .get(0);
    eventually(Duration::from_secs(60), "the log is archived", async || {
        dir.join("wal").join(&segment).exists()
    })
    .await;
}

/// Whoever is on the roster with such a name, and whether he may still sign in.
async fn erasure_of(url: &str, worker: i32) -> bool {
    let sql = "SELECT erasure_requested_at IS NOT NULL AND NOT active FROM workers WHERE id = $1";
    connect(url)
        .await
        .query_one(sql, &[&worker])
        .await
        .unwrap()
        .get(0)
}

#[actix_web::test]
async fn a_restore_to_a_moment_is_exact_erases_again_and_takes_no_other_backup() {
    let row = Row::begin("B");
    let scratch = TestDatabase::create_empty().await;
    let data_dir = scratch.scratch_file("data");
    let dir = scratch.scratch_file("backups");
    let (second, third) = (scratch.scratch_file("second"), scratch.scratch_file("third"));
    let fourth = scratch.scratch_file("fourth");
    std::fs::create_dir_all(&data_dir).unwrap();
    let archive = dir.to_str().unwrap().to_owned();
    let settings = [("SAMPARK_ARCHIVE_DIR", archive.as_str())];
    let mut program = Program::serve_with(&data_dir, None, &settings);
    let url = std::fs::read_to_string(data_dir.join("database.url")).unwrap();
    let field = Field::build_at(scratch, &data_dir, url, 1, History::default()).await;
    let keys = KeyRing::load_or_make(&data_dir).unwrap();
    let leaver = field.world.new_worker("S1-B1").await;
    field
        .world
        .grant(leaver, Role::BoothWorker, "S1-B1", "2020-01-01", None)
        .await;
    let token = {
        let (_, session) = field.world.session(leaver).await;
        let now = sampark::platform::clock::Clock::system(chrono_tz::Asia::Kolkata).now();
        keys.sign(
            sampark::platform::ids::WorkerId(leaver),
            sampark::platform::ids::SessionId(session),
            now,
        )
        .unwrap()
    };
    let contact = Uuid::new_v4();
    let consent = crate::contacts::contact(&field.world, field.campaign, field.household);
    let path = format!("/v1/contacts/{contact}");
    field.admin(&program).put(&path, consent).await.expect(201);

    upload(&field, &program, &field.history).await;
    // What the world wrote by SQL counts as older than what is held against the journal.
    let older = "UPDATE row_versions v SET version = 0, write_id = '00000000-0000-0000-0000-000000000000'
        WHERE version = 1 AND NOT EXISTS (SELECT 1 FROM row_writes w WHERE w.write_id = v.write_id)";
    connect(&field.url).await.execute(older, &[]).await.unwrap();
    assert_done(&sampark(&data_dir, &["backup", &archive]));
    // What came after the backup is in the archive.
    upload(&field, &program, &field.history).await;
    let moment = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let moment: String = connect(&field.url)
        .await
        .query_one(moment, &[])
        .await
        .unwrap()
        .get(0);

    // After the moment: a worker and a citizen have themselves erased, and visits go on.
    let leaver_phone = field.world.phone_of(leaver).await;
    let leaver_client = Client::new(program.address, Some(token));
    leaver_client
        .post("/v1/me/erasure", json!({"phone": leaver_phone}))
        .await
        .expect(204);
    field.admin(&program).delete(&path).await.expect(204);
    let later = History::default();
    upload(&field, &program, &later).await;
    assert_done(&sampark(&data_dir, &["backup", &archive, "--erasures-only"]));
    archived(&field.url, &dir).await;
    program.kill();

    // To the moment, on another machine.
    new_machine(&data_dir, &second);
    let restored = assert_done(&sampark(&second, &["restore", &archive, "--to", &moment]));
    assert!(
        restored.contains("erased again: 1 workers, 1 contacts"),
        "{restored}"
    );
    assert_refused(&sampark(&second, &["restore", &archive]), "there is a database");
    let program = Program::serve(&second, None);
    let url = std::fs::read_to_string(second.join("database.url")).unwrap();
    let field = Field {
        url,
        data_dir: second.clone(),
        ..field
    };
    let stored = field.check(&program).await;
    assert_eq!(
        stored.visits.len(),
        40,
        "the visits before the moment, and no other"
    );
    assert!(
        erasure_of(&field.url, leaver).await,
        "who was erased stays erased"
    );
    let seen = field.admin(&program).get(&path).await.expect(200);
    assert_eq!(seen.json["phone"], Value::Null, "{}", seen.json);
    // It goes on from there: the journal of a restored state is one journal.
    upload(&field, &program, &field.history).await;
    field.check(&program).await;
    let verified = command(&second, Some(&field.url)).arg("verify").output().unwrap();
    assert!(assert_done(&verified).contains("everything fits"));
    drop(program);

    // As far as the archive goes.
    new_machine(&data_dir, &third);
    assert_done(&sampark(&third, &["restore", &archive]));
    let mut program = Program::serve_with(&third, None, &settings);
    let url = std::fs::read_to_string(third.join("database.url")).unwrap();
    assert_eq!(count_visits(&url).await, 60);
    // It goes on there with the same archive, and is lost in its turn.
    let field = Field {
        url,
        data_dir: third.clone(),
        ..field
    };
    upload(&field, &program, &later).await;
    archived(&field.url, &dir).await;
    program.kill();

    // What was written after the restore is followed, too.
    new_machine(&data_dir, &fourth);
    assert_done(&sampark(&fourth, &["restore", &archive]));
    let program = Program::serve(&fourth, None);
    let url = std::fs::read_to_string(fourth.join("database.url")).unwrap();
    assert_eq!(count_visits(&url).await, 80);
    drop(program);

    let refusals = refuse_what_is_not_ours(&data_dir, &dir);
    row.held(
        2,
        format!(
            "restored to a moment, to the end, and once more after that; {refusals} damaged, altered or foreign backups refused"
        ),
    );
}

fn refuse_what_is_not_ours(data_dir: &Path, dir: &Path) -> usize {
    type Harm = (&'static str, fn(&Path));
    let harms: [Harm; 7] = [
        ("cut short or altered", |dir| {
            let file = base(dir).join("data/global/pg_control");
            let bytes = std::fs::read(&file).unwrap();
            std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("cut short or altered", |dir| {
            // One bit of the largest table.
            let mut largest = (0, PathBuf::new());
            for database in std::fs::read_dir(base(dir).join("data/base")).unwrap() {
                for file in std::fs::read_dir(database.unwrap().path())
                    .unwrap()
                    .map(Result::unwrap)
                {
                    largest = largest.max((file.metadata().unwrap().len(), file.path()));
                }
            }
            let mut bytes = std::fs::read(&largest.1).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(largest.1, bytes).unwrap();
        }),
        ("cut short or altered", |dir| {
            std::fs::remove_file(base(dir).join("data/PG_VERSION")).unwrap();
        }),
        ("its manifest is not the one that was sealed", |dir| {
            let file = base(dir).join("data/backup_manifest");
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::write(file, text + "\n").unwrap();
        }),
        ("it was altered, or made by another installation", |dir| {
            let file = base(dir).join("sampark.json");
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::write(
                file,
                text.replace("\"database\": \"sampark\"", "\"database\": \"other\""),
            )
            .unwrap();
        }),
        ("it was altered, or made by another installation", |dir| {
            let file = dir.join("erasures.json");
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::write(
                file,
                text.replace("\"why\": \"erasure_requested\"", "\"why\": \"withdrawn\""),
            )
            .unwrap();
        }),
        ("erasures.json cannot be used", |dir| {
            std::fs::remove_file(dir.join("erasures.json")).unwrap();
        }),
    ];
    let mut refused = 0;
    for (n, (why, harm)) in harms.into_iter().enumerate() {
        let (bad, machine) = (
            dir.with_extension(format!("bad{n}")),
            dir.with_extension(format!("machine{n}")),
        );
        copy(dir, &bad);
        harm(&bad);
        new_machine(data_dir, &machine);
        assert_refused(&sampark(&machine, &["restore", bad.to_str().unwrap()]), why);
        assert!(
            !machine.join("postgres/data").exists(),
            "nothing is left in place of the data"
        );
        std::fs::remove_dir_all(bad).unwrap();
        refused += 1;
    }
    // Another installation's keys.
    let other = dir.with_extension("other");
    std::fs::create_dir_all(other.join("keys")).unwrap();
    let keys = "index BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n1 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";
    std::fs::write(other.join("keys/data.keys"), keys).unwrap();
    assert_refused(
        &sampark(&other, &["restore", dir.to_str().unwrap()]),
        "made by another installation",
    );
    // A moment before any backup.
    let early = dir.with_extension("early");
    new_machine(data_dir, &early);
    let too_early = sampark(
        &early,
        &["restore", dir.to_str().unwrap(), "--to", "2020-01-01T00:00:00Z"],
    );
    assert_refused(&too_early, "no backup taken before that moment");
    refused + 2
}
