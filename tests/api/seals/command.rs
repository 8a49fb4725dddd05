//! `sampark verify` as it is run: what it says, with which status it ends, and what a kept file is good for.

use std::path::Path;
use std::process::{Command, Output};

use super::Scene;

/// Runs the command on the scene's database, with the keys of its server.
fn verify(s: &Scene, options: &[&str]) -> Output {
    let data_dir = s.app.database.scratch_file("data");
    std::fs::create_dir_all(data_dir.join("keys")).unwrap();
    std::fs::write(data_dir.join("keys/data.keys"), crate::support::DATA_KEYS).unwrap();
    Command::new(env!("CARGO_BIN_EXE_sampark"))
        .arg("verify")
        .args(options)
        .env("DATABASE_URL", &s.app.database.url)
        .env("SAMPARK_DATA_DIR", data_dir)
        .env("RUST_LOG", "error")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn assert_fits(output: &Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {errors}", said(output));
    assert!(said(output).contains("everything fits"), "{}", said(output));
}

#[actix_web::test]
async fn the_command_keeps_heads_and_fails_with_the_first_entry_that_does_not_fit() {
    let s = Scene::build().await;
    s.sealed().await;
    s.settle().await;
    let kept = s.app.database.scratch_file("heads.json");
    let file = kept.to_str().unwrap();
    let whole = verify(&s, &["--keep", file]);
    assert_fits(&whole);
    assert!(
        said(&whole).contains("6 entries, 2 signed heads, 6 versions of visits"),
        "{}",
        said(&whole)
    );
    assert_fits(&verify(&s, &["--since", file]));
    assert_fits(&verify(&s, &["--since", file, "--whole"]));
    s.sql("UPDATE visits SET people_met = 99 WHERE version = 2").await;
    let other = s.app.database.scratch_file("others.json");
    let altered = verify(
        &s,
        &["--since", file, "--whole", "--keep", other.to_str().unwrap()],
    );
    assert!(!altered.status.success());
    let first = said(&altered).lines().next().unwrap().to_owned();
    assert!(first.starts_with("S1, entry 2: visit "), "{first}");
    assert!(!Path::new(&other).exists(), "heads are kept only of what fits");
    // The kept head vouches for what lies before it: that is not read again.
    assert_fits(&verify(&s, &["--since", file]));
    assert!(!verify(&s, &["--since", "there-is-no-such-file"]).status.success());
    assert!(!verify(&s, &["--state", "S99"]).status.success());
}
