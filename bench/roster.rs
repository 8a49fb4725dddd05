//! A roster with roles by HTTP, as large as one may be.

use std::fmt::Write;
use std::time::Instant;

use crate::{Stand, http, world};

/// The number of the n-th worker.
pub fn phone(n: usize) -> String {
    format!("+917{n:09}")
}

/// A roster of so many, each with a role at a booth.
pub fn file(stand: &Stand, rows: usize) -> String {
    file_from(stand, 0, rows)
}

/// The same from the n-th worker on.
pub fn file_from(stand: &Stand, first: usize, rows: usize) -> String {
    let mut file = String::from("phone,name,unit_code,role,language,valid_from\n");
    for n in first..first + rows {
        let booth = stand.world.booths[n % stand.world.booths.len()];
        let _ = writeln!(
            file,
            "{},Worker {n},U{booth},booth_worker,hi,2026-11-01",
            phone(n)
        );
    }
    file
}

pub async fn import(stand: &Stand, rows: usize) {
    let file = file(stand, rows);
    let mut client = http::Connection::open(stand.program.address, &stand.world.tokens[0]).await;
    println!(
        "\n| roster of {rows} rows, {:.1} MB, with a role each | s | wanted |\n|---|---:|---:|",
        file.len() as f64 / 1e6
    );
    for (what, query) in [
        ("checked alone", "?dry_run=true"),
        ("imported", ""),
        ("the same again", ""),
    ] {
        let started = Instant::now();
        let (status, body) = client
            .post_as("text/csv", &format!("/v1/imports/workers{query}"), &file)
            .await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        println!("| {what} | {:.1} | 30 |", started.elapsed().as_secs_f64());
    }
    let grants = world::count(
        &stand.url,
        "SELECT count(*) FROM grants WHERE role = 'booth_worker'",
    )
    .await;
    println!("| roles given | {grants} | {rows} |");
}
