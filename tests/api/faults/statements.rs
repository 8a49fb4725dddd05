//! Every statement can fail: each operation that writes is sent with the n-th statement of its transaction refused, or the
//! connection cut before or after it, for every n. No partial state, no wrong answer, and the next request is served.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sampark::access::{KeyRing, Role};
use sampark::journal::poster::post_all;
use sampark::platform::clock::Clock;
use serde_json::json;

use super::history::{History, Stored};
use super::proxy::{address_of, through};
use super::table::{Extent, Row};
use super::wire::{At, Harm, WireProxy};
use crate::exactness::assert_exact;
use crate::openapi::{Operation, document, in_order, scene_of};
use crate::support::{Settings, TestApp, TestDatabase, World, noon};

const HARMS: [Harm; 3] = [Harm::Refuse, Harm::CutBefore, Harm::CutAfter];

/// Requests that are several transactions by design: a try is counted even when what follows fails.
const SEVERAL: [&str; 5] = [
    "request_otp",
    "issue_token",
    "confirm_second_factor",
    "start_second_factor",
    "log_out",
];

/// A server whose statements pass a proxy, and the real address of its database.
async fn harmed(poster: bool) -> (TestApp, WireProxy, String) {
    let mut database = TestDatabase::create().await;
    let url = database.url.clone();
    let proxy = WireProxy::start(address_of(&url));
    database.server_url = through(&database.server_url, proxy.address);
    let clock = Clock::manual(chrono_tz::Asia::Kolkata, noon());
    let settings = Settings { poster, pool_size: 4 };
    let app = TestApp::start_on(Arc::new(database), clock, KeyRing::ephemeral().unwrap(), settings);
    (app, proxy, url)
}

/// A digest of every table. What the preparation of an example writes beside the request is left out, and what triggers
/// keep of such rows.
async fn dump(db: &tokio_postgres::Client) -> BTreeMap<String, String> {
    let tables = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        AND relname NOT IN ('access_changes', 'otp_outbox', 'otp_challenges', 'workers', 'grants', 'devices', 'sessions',
                            'cadre_changes', 'row_versions', '__diesel_schema_migrations')";
    let rows = db.query(tables, &[]).await.unwrap();
    let parts = rows.iter().map(|row| {
        let table: String = row.get(0);
        format!(
            "SELECT '{table}', coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {table} t"
        )
    });
    let all = parts.collect::<Vec<_>>().join(" UNION ALL ");
    let rows = db.query(&all, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn writes(operation: &Operation) -> bool {
    operation.method != "GET"
        && !SEVERAL.contains(&operation.id.as_str())
        // Recorded in groups, by the recorder, which writes again what was lost.
        && !operation.id.starts_with("record_visit")
}

#[actix_web::test]
async fn every_statement_of_every_write_may_fail_and_nothing_is_left_half_done() {
    let row = Row::begin("S");
    let (app, proxy, url) = harmed(true).await;
    let mut s = scene_of(app).await;
    if let Some(poster) = s.app.poster.take() {
        poster.stop().await;
    }
    let db = super::connect(&url).await;
    let document = document();
    let (mut operations, mut harmed, mut wrong) = (0, 0, Vec::new());
    for operation in in_order(&document) {
        if !writes(&operation) {
            s.send(&document, &operation).await;
            continue;
        }
        // Among all other tests every sixteenth operation is tried, quickly every eighth.
        operations += 1;
        let each = match row.extent() {
            Extent::Test => 16,
            Extent::Quick => 8,
            Extent::All => 1,
        };
        if operations % each != 0 {
            s.send(&document, &operation).await;
            continue;
        }
        'statements: for n in 0..200 {
            for harm in HARMS {
                // What it takes to ask (the version in hand, say) is not what is harmed.
                let ask = s.ask(&document, &operation).await;
                let before = dump(&db).await;
                proxy.arm(At::Nth(n), harm);
                let answer = ask.send(&operation.method).await;
                let fired = proxy.disarm();
                let (id, status) = (&operation.id, answer.status);
                let Some(text) = fired else {
                    if !(200..300).contains(&status) {
                        wrong.push(format!("{id}: {status} without a fault: {}", answer.text()));
                    }
                    break 'statements;
                };
                harmed += 1;
                let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
                let text: String = text.chars().take(80).collect();
                let allowed = if harm == Harm::Refuse {
                    [500, 503]
                } else {
                    [503, 503]
                };
                if text == "COMMIT" && harm == Harm::CutAfter {
                    // Done, though nobody could say so.
                    if status != 503 {
                        wrong.push(format!("{id}: {status} for a lost COMMIT"));
                    }
                    break 'statements;
                }
                if (200..300).contains(&status) {
                    // Written again by itself: then it is whole, and there is nothing more to try.
                    break 'statements;
                }
                if !allowed.contains(&status) {
                    wrong.push(format!(
                        "{id}, {harm:?} at {n} ({text}): {status} {}",
                        answer.text()
                    ));
                }
                if status == 503 && answer.header("retry-after").is_none() {
                    wrong.push(format!("{id}: no Retry-After"));
                }
                let after = dump(&db).await;
                let changed: Vec<&String> = after
                    .iter()
                    .filter(|(table, sum)| before.get(*table) != Some(sum))
                    .map(|(table, _)| table)
                    .collect();
                if !changed.is_empty() {
                    wrong.push(format!("{id}, {harm:?} at {n} ({text}): {changed:?} changed"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} things:\n{}", wrong.len(), wrong.join("\n"));
    assert_exact(&db, "all faults").await;
    post_all(&s.app.state.db).await.unwrap();
    let (recordings, postings) = recordings_and_postings().await;
    assert!(
        harmed >= operations / 16 * 3,
        "the proxy harmed {harmed} statements"
    );
    assert!(recordings > 3 && postings > 3, "{recordings}, {postings}");
    row.held(
        harmed + recordings + postings,
        format!("{operations} operations, {harmed} faults in them, {recordings} in recordings, {postings} in postings"),
    );
}

/// The recorder and the poster, which have transactions of their own.
async fn recordings_and_postings() -> (usize, usize) {
    let (app, proxy, url) = harmed(false).await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let household = world.household("S1-B1").await;
    let actor = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let db = super::connect(&url).await;
    let history = History::of_failing_database();
    let (mut recordings, mut postings) = (0, 0);
    for (n, harm) in (0..200).flat_map(|n| HARMS.map(|harm| (n, harm))) {
        let booth = world.unit("S1-B1");
        let visits: Vec<_> = (0..3).map(|_| super::visit(campaign, booth, household)).collect();
        let body = json!({ "visits": visits });
        proxy.arm(At::Nth(n), harm);
        history.sent(&visits);
        let answer = actor.client.post("/v1/visits/batch", body.clone()).await;
        let fired = proxy.disarm();
        if answer.status == 200 {
            history.answered(&answer.json["results"]);
        } else {
            assert_eq!(
                answer.status,
                503,
                "{harm:?} at {n} ({fired:?}): {}",
                answer.text()
            );
            history.unanswered();
            super::eventually(Duration::from_secs(20), "it goes on", async || {
                history.sent(&visits);
                let answer = actor.client.post("/v1/visits/batch", body.clone()).await;
                if answer.status == 200 {
                    history.answered(&answer.json["results"]);
                }
                answer.status == 200
            })
            .await;
        }
        history.assert_fits(&Stored::read(&db).await);
        if fired.is_none() {
            break;
        }
        recordings += 1;
    }
    for (n, harm) in (0..200).flat_map(|n| HARMS.map(|harm| (n, harm))) {
        let visits = [super::visit(campaign, world.unit("S1-B1"), household)];
        history.sent(&visits);
        let answer = actor
            .client
            .post("/v1/visits/batch", json!({ "visits": visits }))
            .await
            .expect(200);
        history.answered(&answer.json["results"]);
        proxy.arm(At::Nth(n), harm);
        let posted = post_all(&app.state.db).await;
        let fired = proxy.disarm();
        history.assert_fits(&Stored::read(&db).await);
        if fired.is_none() {
            posted.unwrap();
            break;
        }
        assert!(posted.is_err(), "{harm:?} at {n} ({fired:?})");
        postings += 1;
        super::eventually(Duration::from_secs(20), "it is posted", async || {
            post_all(&app.state.db).await.is_ok()
        })
        .await;
    }
    history.assert_fits(&Stored::read(&db).await);
    (recordings, postings)
}
