//! Migrations killed midway; transactions that meet deadlocks and serialization failures.

use sampark::access::Role;
use sampark::platform::migrations;
use serde_json::json;
use uuid::Uuid;

use super::proxy::{address_of, through};
use super::table::Row;
use super::wire::{At, Harm, WireProxy};
use crate::exactness::assert_exact;
use crate::support::program::command;
use crate::support::{Settings, TestApp, TestDatabase, World};

/// Kills `sampark migrate` once its n-th statement was carried out and before it hears so; how many had come.
async fn kill_at(database: &TestDatabase, n: usize) -> bool {
    let proxy = WireProxy::start(address_of(&database.url));
    proxy.arm(At::Total(n), Harm::Hold);
    let data_dir = database.scratch_file("data");
    std::fs::create_dir_all(&data_dir).unwrap();
    let url = through(&database.url, proxy.address);
    let mut migrating = tokio::process::Command::from(command(&data_dir, Some(&url)))
        .arg("migrate")
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    tokio::select! {
        () = proxy.hit() => {}
        ended = migrating.wait() => {
            let ended = ended.unwrap();
            assert!(ended.success(), "{ended}");
            return false;
        }
    }
    migrating.kill().await.unwrap();
    true
}

#[actix_web::test]
async fn f20_a_migration_killed_midway_is_finished_by_the_next_and_transactions_are_tried_three_times() {
    let row = Row::begin("F20");
    let whole = TestDatabase::create().await;
    let wanted = crate::migrations::schema(&whole.connect().await).await;
    // Three statements a migration: what it does, its name, COMMIT.
    let step = row.rounds(29, 1);
    let (mut n, mut kills) = (1, 0);
    loop {
        let database = TestDatabase::create_empty().await;
        if !kill_at(&database, n).await {
            break;
        }
        migrations::run(&database.url).await.unwrap();
        assert!(!migrations::pending(&database.url).await.unwrap());
        assert_eq!(
            crate::migrations::schema(&database.connect().await).await,
            wanted,
            "killed at {n}"
        );
        kills += 1;
        n += step;
    }
    assert!(kills > 1);
    let figures = format!("{kills} kills, each at another statement");
    transient_failures().await;
    row.held(
        kills,
        format!("{figures}; two failures are hidden, the third is 503"),
    );
}

/// Fails so many inserts into a table with such an error.
async fn fail_inserts(world: &World, table: &str, times: i32, error: &str, message: &str) {
    let sql = format!(
        "CREATE SEQUENCE IF NOT EXISTS failures;
         SELECT setval('failures', 1, false);
         CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
             IF nextval('failures') <= {times} THEN
                 RAISE EXCEPTION '{message}' USING ERRCODE = '{error}';
             END IF;
             RETURN NULL;
         END $$;
         DROP TRIGGER IF EXISTS fail ON {table};
         CREATE TRIGGER fail AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION fail()"
    );
    world.db.batch_execute(&sql).await.unwrap();
}

async fn transient_failures() {
    let app = TestApp::start_with(Settings {
        poster: false,
        pool_size: 4,
    })
    .await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let actor = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let count = async |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        world.db.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    let errors = [
        ("40001", "could not serialize access"),
        ("40P01", "deadlock detected"),
    ];
    for (error, message) in errors {
        for (times, status) in [(2, 201), (3, 503)] {
            let household = json!({"booth_id": world.unit("S1-B1"), "label": "12-A"});
            let before = (count("households").await, count("journal_inbox").await);
            fail_inserts(&world, "households", times, error, message).await;
            let path = format!("/v1/households/{}", Uuid::new_v4());
            actor.client.put(&path, household.clone()).await.expect(status);
            let stored = i64::from(status == 201);
            assert_eq!(count("households").await, before.0 + stored);
            assert_eq!(count("journal_inbox").await, before.1 + stored);

            let visit = crate::visits::visit(&world, campaign, "S1-B1");
            let before = (
                count("visits").await,
                count("journal_inbox").await,
                count("tally_inbox").await,
            );
            fail_inserts(&world, "visits", times, error, message).await;
            actor
                .client
                .post("/v1/visits", visit.clone())
                .await
                .expect(status);
            assert_eq!(count("visits").await, before.0 + stored);
            assert_eq!(count("journal_inbox").await, before.1 + stored);
            assert_eq!(count("tally_inbox").await, before.2 + stored);
            assert_exact(&world.db, "the failures").await;
            // The next one finds nothing in its way.
            let resent = if status == 201 { 200 } else { 201 };
            actor.client.post("/v1/visits", visit).await.expect(resent);
            assert!(actor.client.put(&path, household).await.status < 300);
        }
    }
}
