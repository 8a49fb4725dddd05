//! Rows beside visits: units, placements, grants, campaigns, households, sign-offs and verdicts, held against the journal.

use sampark::access::Role;
use sampark::features::seals::verify::Report;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scene, told};
use crate::support::Client;
use crate::visits::visit;

/// What is copied before an alteration and put back after it.
const TABLES: [&str; 25] = [
    "units",
    "placements",
    "grants",
    "campaigns",
    "campaign_questions",
    "households",
    "sign_offs",
    "reviews",
    "visits",
    "flag_answers",
    "draws",
    "draw_frames",
    "draw_booths",
    "draw_items",
    "back_checks",
    "tasks",
    "task_versions",
    "task_reports",
    "task_units",
    "task_verdicts",
    "committee_rules",
    "post_confirmations",
    "visit_exports",
    "row_versions",
    "row_writes",
];

/// One of each kind, written over HTTP by an administrator, posted and sealed.
async fn written(s: &Scene) {
    let admin = s.world.actor(&s.app, Role::NationalAdmin, "IN").await.client;
    s.settle().await;
    let path = format!("/v1/units/{}", s.world.unit("S1-B1"));
    change(&admin, &path, json!({"doors": 140})).await;
    let path = format!("/v1/units/{}/placements", s.world.unit("S1-B3"));
    let moved =
        json!({"tree": "organisation", "parent_id": s.world.unit("S1-M2"), "valid_from": "2026-11-20"});
    admin.post(&path, moved).await.expect(201);
    let new = json!({"name": "Asha", "phone": "+919812345678", "unit_id": s.world.unit("S1-B2")});
    let worker = admin.post("/v1/workers", new).await.expect(201).json["id"].clone();
    let grant = json!({"role": "booth_worker", "unit_id": s.world.unit("S1-B2"), "valid_from": "2026-11-01"});
    admin
        .post(&format!("/v1/workers/{worker}/grants"), grant)
        .await
        .expect(201);
    let campaign = json!({"name": "Abhiyan", "unit_id": s.world.unit("S1"), "starts_on": "2026-11-01"});
    let made = admin.post("/v1/campaigns", campaign).await.expect(201).json;
    let path = format!("/v1/campaigns/{}", made["id"]);
    change(&admin, &path, json!({"ends_on": "2026-12-31"})).await;
    for label in ["12-A", "12-B"] {
        let door = json!({"booth_id": s.world.unit("S1-B1"), "label": label});
        admin
            .put(&format!("/v1/households/{}", Uuid::now_v7()), door)
            .await
            .expect(201);
    }
    let path = format!("/v1/units/{}/sign-offs", s.world.unit("S1-M1"));
    let signed = admin
        .post(&path, json!({"week": "2026-W46"}))
        .await
        .expect(201)
        .json;
    admin
        .post(
            &format!("/v1/sign-offs/{}/reopen", signed["id"]),
            json!({"reason": "Too early"}),
        )
        .await
        .expect(200);
    admin.post(&path, json!({"week": "2026-W46"})).await.expect(201);
    // Three visits: one verified, one verified and then corrected, one rejected and then voided.
    for (n, verdict) in ["verified", "verified", "rejected"].into_iter().enumerate() {
        let sent = visit(&s.world, s.campaign, "S1-B1");
        let path = format!("/v1/visits/{}", sent["id"].as_str().unwrap());
        s.worker.post("/v1/visits", sent).await.expect(201);
        let review = json!({"verdict": verdict, "reason": "As seen"});
        s.coordinator
            .post(&format!("{path}/review"), review)
            .await
            .expect(200);
        if n == 1 {
            change(&s.coordinator, &path, json!({"people_met": 4})).await;
        } else if n == 2 {
            let void = json!({"reason": "Wrong door"});
            s.coordinator
                .post(&format!("{path}/void"), void)
                .await
                .expect(200);
        }
    }
    s.seal().await;
}

async fn change(client: &Client, path: &str, body: Value) {
    let tag = client
        .get(path)
        .await
        .expect(200)
        .header("etag")
        .unwrap()
        .to_owned();
    client
        .header("If-Match", &tag)
        .patch(path, body)
        .await
        .expect(200);
}

/// The number of the last entry of an action in a state's journal.
async fn last(s: &Scene, action: &str) -> i64 {
    let sql = "SELECT max(number) FROM journal WHERE action = $1";
    let number: Option<i64> = s.world.db.query_one(sql, &[&action]).await.unwrap().get(0);
    number.unwrap_or_else(|| panic!("no entry of {action}"))
}

/// What verification says of the database with an alteration, which is then taken back.
async fn altered(s: &Scene, sql: &str) -> Report {
    // Whoever alters by SQL can turn triggers and keys off.
    let alone = "SET session_replication_role = replica;";
    let copies = TABLES.map(|table| format!("CREATE TABLE kept_{table} AS TABLE {table};"));
    s.sql(&format!("{alone} {} {sql}", copies.concat())).await;
    let report = s.verify_as_it_is(Vec::new(), false).await;
    let back = TABLES.map(|table| {
        format!(
            "DELETE FROM {table}; INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM kept_{table}; DROP TABLE kept_{table};"
        )
    });
    s.sql(&format!(
        "{alone} {} RESET session_replication_role",
        back.concat()
    ))
    .await;
    report
}

/// What is done by SQL, the action whose last entry is named (none: it cannot be), and in which words.
pub type Alteration = (&'static str, &'static str, &'static str);

/// Asserts that each alteration is found, named and put into words, and that all fits once they are taken back.
pub async fn assert_found(s: &Scene, alterations: &[Alteration]) {
    let mut missed = Vec::new();
    for (sql, action, words) in alterations {
        let report = altered(s, sql).await;
        let found = report
            .problems
            .iter()
            .any(|problem| problem.to_string().contains(words));
        let wanted = if action.is_empty() {
            None
        } else {
            Some(last(s, action).await)
        };
        let named = wanted.is_none_or(|number| {
            report
                .problems
                .iter()
                .any(|problem| problem.number == Some(number))
        });
        if !found || !named {
            missed.push(format!("{sql} (entry {wanted:?}): {:?}", told(&report)));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    let whole = s.verify_as_it_is(Vec::new(), false).await;
    assert_eq!(told(&whole), Vec::<String>::new());
}

#[actix_web::test]
async fn an_alteration_of_a_unit_grant_campaign_household_verdict_or_signature_is_found() {
    let s = Scene::build().await;
    written(&s).await;
    let whole = s.verify_as_it_is(Vec::new(), false).await;
    assert_eq!(told(&whole), Vec::<String>::new());
    assert_eq!(whole.verdicts, 3);
    assert!(whole.rows >= 10, "{whole:?}");
    let alterations: &[Alteration] = &[
        (
            "UPDATE units SET doors = 900 WHERE code = 'S1-B1'",
            "unit.update",
            "unit 14 is not what was written",
        ),
        (
            "UPDATE units SET lat = 26, lon = 80 WHERE code = 'S1-B1'",
            "unit.update",
            "is not what was written",
        ),
        (
            "UPDATE units SET name = 'Another' WHERE code = 'S1-B2'",
            "",
            "unit 15 is not what was written",
        ),
        (
            "UPDATE placements SET parent_id = parent_id - 1 WHERE valid_from > '2026-01-01'",
            "unit.place",
            "placement",
        ),
        (
            "DELETE FROM placements WHERE valid_from > '2026-01-01'",
            "unit.place",
            "is gone",
        ),
        (
            "UPDATE grants SET role = 'state_admin' WHERE given_by IS NOT NULL",
            "grant.write",
            "grant",
        ),
        (
            "UPDATE grants SET ended_at = now() WHERE given_by IS NOT NULL",
            "grant.write",
            "grant",
        ),
        (
            "DELETE FROM grants WHERE given_by IS NOT NULL",
            "grant.write",
            "is gone",
        ),
        (
            "INSERT INTO grants (worker_id, role, unit_id, valid_from, created_at) SELECT 1, 'state_admin', 2, '2026-01-01', now()",
            "",
            "is there, but no entry made it",
        ),
        (
            "UPDATE campaigns SET ends_on = NULL WHERE name = 'Abhiyan'",
            "campaign.write",
            "campaign",
        ),
        (
            "UPDATE campaigns SET bounds = '{\"too_fast\": null}' WHERE name = 'Abhiyan'",
            "campaign.write",
            "campaign",
        ),
        (
            "UPDATE campaign_questions SET questions = '[{}]' WHERE campaign_id = (SELECT id FROM campaigns WHERE name = 'Abhiyan')",
            "",
            "questions",
        ),
        (
            "UPDATE households SET label = '12-C' WHERE label = '12-B'",
            "household.write",
            "household",
        ),
        (
            "UPDATE households SET label = CASE label WHEN '12-A' THEN '12-B' ELSE '12-A' END",
            "",
            "household",
        ),
        (
            "DELETE FROM households WHERE label = '12-B'",
            "household.write",
            "is gone",
        ),
        (
            "UPDATE sign_offs SET signed_by = signed_by + 1 WHERE reopened_at IS NULL",
            "signoff.write",
            "sign_off",
        ),
        (
            "UPDATE sign_offs SET reopen_reason = 'Another' WHERE reopened_at IS NOT NULL",
            "signoff.reopen",
            "sign_off",
        ),
        (
            "DELETE FROM sign_offs WHERE reopened_at IS NULL",
            "signoff.write",
            "is gone",
        ),
        (
            "UPDATE reviews SET verdict = 'verified' WHERE verdict = 'rejected'",
            "review.write",
            "a verdict that it gave is not what was written",
        ),
        (
            "UPDATE reviews SET reason = 'Another' WHERE verdict = 'rejected'",
            "review.write",
            "a verdict that it gave is not what was written",
        ),
        (
            "UPDATE reviews SET reviewer_id = 1 WHERE verdict = 'rejected'",
            "review.write",
            "a verdict that it gave is not what was written",
        ),
        (
            "DELETE FROM reviews WHERE verdict = 'rejected'",
            "review.write",
            "a verdict that it gave is gone",
        ),
        (
            "INSERT INTO reviews SELECT (jsonb_populate_record(r, '{\"number\": 2}')).* FROM reviews r WHERE verdict = 'rejected'",
            "",
            "no entry gave verdict 2",
        ),
        (
            "UPDATE visits SET review = 'unreviewed' WHERE review = 'verified'",
            "",
            "is shown as unreviewed, but the verdict that counts is verified",
        ),
        (
            "UPDATE visits SET review = 'rejected' WHERE review = 'verified'",
            "",
            "is shown as rejected",
        ),
        (
            "UPDATE visits SET review = 'verified' WHERE people_met = 4",
            "",
            "the verdict that counts is unreviewed",
        ),
        (
            "UPDATE row_versions SET hash = sha256('x') WHERE kind = 'sign_off' AND id = '2'",
            "signoff.write",
            "not those of its digest",
        ),
        (
            "DELETE FROM row_versions WHERE kind = 'sign_off' AND id = '2'",
            "signoff.write",
            "are gone",
        ),
        (
            "DELETE FROM row_writes WHERE leaf = (SELECT leaf_hash FROM journal WHERE action = 'signoff.reopen')",
            "signoff.reopen",
            "are gone",
        ),
        (
            "INSERT INTO row_versions SELECT kind, id, 9, hash, write_id FROM row_versions WHERE kind = 'sign_off' AND id = '2'",
            "signoff.write",
            "not those of its digest",
        ),
    ];
    assert_found(&s, alterations).await;
}

#[actix_web::test]
async fn a_row_changed_by_sql_with_all_triggers_at_work_is_found_too() {
    let s = Scene::build().await;
    written(&s).await;
    s.sql("UPDATE households SET label = '99' WHERE label = '12-B'")
        .await;
    let report = s.verify_as_it_is(Vec::new(), false).await;
    assert_eq!(report.problems.len(), 1, "{:?}", told(&report));
    assert!(
        told(&report)[0].contains("has a version 2 that no entry made"),
        "{:?}",
        told(&report)
    );
}

#[actix_web::test]
async fn every_column_of_a_sealed_row_is_in_its_hash() {
    let s = Scene::build().await;
    let sql = "SELECT t.tgrelid::regclass::text || '.' || c.attname
               FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_attribute c ON c.attrelid = t.tgrelid
               WHERE t.tgname = 'keep_versions_insert' AND c.attnum > 0 AND NOT c.attisdropped
                 AND p.prosrc !~ ('c\\.' || c.attname || '[,)]')";
    let left_out = s.world.db.query(sql, &[]).await.unwrap();
    let left_out: Vec<String> = left_out.iter().map(|row| row.get(0)).collect();
    assert_eq!(left_out, Vec::<String>::new());
    let sql = "SELECT count(*) FROM pg_trigger WHERE tgname = 'keep_versions_insert'";
    let sealed: i64 = s.world.db.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(sealed, 18);
}
