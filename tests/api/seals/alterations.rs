//! What is altered behind the program's back is found, and the first entry that does not fit is named.

use sampark::features::seals::verify::Report;
use sampark::journal::SealKeys;
use sampark::journal::poster::post_all;
use sampark::journal::seal::sign_heads;
use uuid::Uuid;

use super::{Scene, sha, told};

#[actix_web::test]
async fn an_alteration_of_any_kind_of_row_is_found_and_the_first_entry_named() {
    let mut missed = Vec::new();
    // What is done by SQL behind the program's back, where verification begins to disagree, and in which words.
    let alterations: &[(&str, Option<i64>, &str)] = &[
        (
            "UPDATE journal SET state_id = state_id + 100 WHERE number = 2",
            Some(2),
            "missing",
        ),
        (
            "UPDATE journal SET unit_id = unit_id + 1 WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET unit_ids = unit_ids || 3 WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET actor_id = actor_id + 1 WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET actor_id = NULL WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET device_id = NULL WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET action = 'visit.void' WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET subject = 'unit' WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET subject_ids = '{1}' WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET subject_uuids = ARRAY[gen_random_uuid()] WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET subject_versions = '{1}' WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET digest = sha256('x') WHERE number = 2",
            Some(2),
            "leaf",
        ),
        (
            "UPDATE journal SET at = at - interval '1 microsecond' WHERE number = 2",
            Some(2),
            "leaf",
        ),
        ("UPDATE journal SET form = 1 WHERE number = 2", Some(2), "leaf"),
        (
            "UPDATE journal SET leaf_hash = sha256('x') WHERE number = 2",
            Some(2),
            "leaf",
        ),
        // With its leaf made to fit: the tree no longer does.
        (
            "UPDATE journal SET actor_id = 99, leaf_hash = REHASHED WHERE number = 5",
            Some(4),
            "entries 4 to 6",
        ),
        ("DELETE FROM journal WHERE number = 2", Some(2), "missing"),
        (
            "UPDATE journal SET number = 99 WHERE number = 4; UPDATE journal SET number = 4 WHERE number = 5;
          UPDATE journal SET number = 5 WHERE number = 99",
            Some(4),
            "entries 4 to 6",
        ),
        (
            "DELETE FROM journal WHERE number > 4; UPDATE journal_heads SET size = 4",
            Some(5),
            "missing",
        ),
        ("UPDATE journal_heads SET size = 9", Some(7), "ends at 6"),
        (
            "UPDATE journal_heads SET frontier = sha256('x') || sha256('y')",
            None,
            "frontier",
        ),
        (
            "UPDATE signed_heads SET root = sha256('x') WHERE size = 6",
            Some(4),
            "entries 4 to 6",
        ),
        (
            "UPDATE signed_heads SET signed_at = signed_at - interval '1 s' WHERE size = 3",
            Some(3),
            "signature",
        ),
        (
            "UPDATE signed_heads SET signature = sha256('x') WHERE size = 3",
            Some(3),
            "signature",
        ),
        (
            "UPDATE signed_heads SET kid = 'other' WHERE size = 3",
            Some(3),
            "signature",
        ),
        (
            "UPDATE visits SET outcome = 'refused' WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET people_met = 9 WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET note_sealed = '\\x00' WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET lat = lat + 0.0001 WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET answers = '{}' WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET flags = '[{\"code\": \"x\"}]' WHERE version = 1",
            Some(3),
            "not what was written",
        ),
        (
            "UPDATE visits SET support = 5 WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET worker_id = worker_id + 1 WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET visited_at = visited_at + interval '1 microsecond' WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET visited_on = visited_on - 1 WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET booth_id = booth_id + 1 WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET voided_at = now() WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET salts = decode(repeat('00', 16), 'hex') WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        (
            "UPDATE visits SET salts = NULL WHERE version = 2",
            Some(2),
            "not what was written",
        ),
        ("DELETE FROM visits WHERE version = 2", Some(2), "gone"),
        (
            "UPDATE visit_versions SET content = jsonb_set(content, '{people_met}', '7')",
            Some(1),
            "not what was written",
        ),
        (
            "UPDATE visit_versions SET changed_by = changed_by + 1",
            Some(1),
            "wrong name",
        ),
        (
            "UPDATE visit_versions SET changed_at = changed_at - interval '1 s'",
            Some(1),
            "wrong name",
        ),
        ("DELETE FROM visit_versions", Some(1), "gone"),
        (
            "INSERT INTO visits SELECT (jsonb_populate_record(v, jsonb_build_object('id', gen_random_uuid()))).* FROM visits v WHERE version = 1 LIMIT 1",
            None,
            "no entry made",
        ),
        (
            "UPDATE totals SET visits = visits + 1 WHERE unit_id = (SELECT id FROM units WHERE code = 'S1-B1')",
            None,
            "the ledger says",
        ),
        (
            "UPDATE totals SET people_met = people_met + 1 WHERE unit_id = (SELECT id FROM units WHERE code = 'S1')",
            None,
            "the ledger says",
        ),
        (
            "DELETE FROM totals WHERE unit_id = (SELECT id FROM units WHERE code = 'S1-AC1')",
            None,
            "the ledger says",
        ),
        (
            "UPDATE totals_to_date SET met = met + 1 WHERE unit_id = (SELECT id FROM units WHERE code = 'S1')",
            None,
            "more than its sum to date",
        ),
        (
            "DELETE FROM totals_to_date WHERE unit_id = (SELECT id FROM units WHERE code = 'S1-B1')",
            None,
            "more than its sum to date",
        ),
        (
            "INSERT INTO totals_to_date (state_id, unit_id, campaign_id, visits)
             SELECT u.state_id, u.id, t.campaign_id, 9 FROM units u, (SELECT campaign_id FROM totals LIMIT 1) t
             WHERE u.code = 'S1-B5'",
            None,
            "more than its sum to date",
        ),
    ];
    let s = Scene::build().await;
    s.sealed().await;
    for (sql, number, words) in alterations {
        let sql = sql.replace("REHASHED", &rehashed(&s).await);
        let report = altered(&s, &sql).await;
        let first = report.problems.first();
        let found = first.is_some_and(|problem| {
            problem.number == *number
                && report
                    .problems
                    .iter()
                    .any(|problem| problem.to_string().contains(words))
        });
        if !found {
            missed.push(format!("{sql}: {:?}", told(&report)));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert_eq!(told(&s.verify().await), Vec::<String>::new());
}

/// What verification says of the database with an alteration, which is then taken back.
async fn altered(s: &Scene, sql: &str) -> Report {
    const TABLES: [&str; 8] = [
        "journal",
        "journal_heads",
        "signed_heads",
        "tree_nodes",
        "visits",
        "visit_versions",
        "totals",
        "totals_to_date",
    ];
    let copies = TABLES.map(|table| format!("CREATE TABLE kept_{table} AS TABLE {table};"));
    s.sql(&format!("{} {sql}", copies.concat())).await;
    let report = s.verify().await;
    let back = TABLES.map(|table| {
        format!("TRUNCATE {table} CASCADE; INSERT INTO {table} SELECT * FROM kept_{table}; DROP TABLE kept_{table};")
    });
    s.sql(&back.concat()).await;
    report
}

/// The leaf hash of entry 5 as if worker 99 had written it: what a forger who knows the form would store.
async fn rehashed(s: &Scene) -> String {
    let sql =
        "SELECT state_id, unit_id, device_id, action, subject, subject_uuids[1], subject_versions[1], digest,
                      (extract(epoch FROM at) * 1000000)::bigint FROM journal WHERE number = 5";
    let row = s.world.db.query_one(sql, &[]).await.unwrap();
    let (state, unit): (i32, i32) = (row.get(0), row.get(1));
    let (device, subject): (Uuid, Uuid) = (row.get(2), row.get(5));
    let (action, kind): (String, String) = (row.get(3), row.get(4));
    let version: i32 = row.get(6);
    let (content, at): (Vec<u8>, i64) = (row.get(7), row.get(8));
    let mut leaf = vec![0, 2];
    let fields: [&[u8]; 12] = [
        &state.to_be_bytes(),
        &unit.to_be_bytes(),
        &unit.to_be_bytes(),
        &99_i32.to_be_bytes(),
        device.as_bytes(),
        action.as_bytes(),
        kind.as_bytes(),
        &[],
        subject.as_bytes(),
        &version.to_be_bytes(),
        &content,
        &at.to_be_bytes(),
    ];
    for field in fields {
        leaf.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
        leaf.extend(field);
    }
    let hex: String = sha(&[&leaf]).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("decode('{hex}', 'hex')")
}

#[actix_web::test]
async fn whoever_rewrites_and_signs_everything_anew_is_found_by_a_head_kept_elsewhere() {
    let s = Scene::build().await;
    s.sealed().await;
    let kept = s.kept().await;
    assert_eq!(kept.len(), 1);
    // The end goes, with its head, its count and its tree.
    s.sql("DELETE FROM journal WHERE number > 3; DELETE FROM signed_heads WHERE size > 3; DELETE FROM visit_versions v WHERE changed_at > (SELECT max(at) FROM journal);
           DELETE FROM visits WHERE changed_at > (SELECT max(at) FROM journal)").await;
    let sql =
        "UPDATE journal_heads SET size = 0, tree_size = 0, frontier = ''; UPDATE journal_heads SET size = 3";
    s.sql(sql).await;
    post_all(&s.app.state.db).await.unwrap();
    let blind = s.verify().await;
    let sealed: Vec<_> = blind
        .problems
        .iter()
        .filter(|problem| problem.number.is_some())
        .collect();
    assert!(sealed.is_empty(), "{sealed:?}");
    for since_kept in [true, false] {
        let report = s.verify_with(kept.clone(), since_kept).await;
        let first = report.problems.first().unwrap();
        assert_eq!(first.number, Some(4), "{:?}", told(&report));
        assert!(first.detail.contains("a head was signed over 6 entries"));
    }
    // Three other entries take their place and are signed, by our own key even.
    s.three_entries().await;
    s.seal().await;
    let report = s.verify_with(kept.clone(), true).await;
    let first = report.problems.first().unwrap();
    assert!(
        first.number.is_some_and(|number| (4..=6).contains(&number)),
        "{:?}",
        told(&report)
    );
}

#[actix_web::test]
async fn heads_that_another_key_signed_are_found() {
    let s = Scene::build().await;
    s.sealed().await;
    let forger = SealKeys::new(&s.app.database.scratch_file("forger"), &[]);
    s.sql("DELETE FROM signed_heads").await;
    sign_heads(&s.app.state.db, &forger, s.app.clock.now(), true)
        .await
        .unwrap();
    let report = s.verify().await;
    assert_eq!(report.problems[0].number, Some(6));
    assert!(
        report.problems[0]
            .detail
            .contains("no valid signature of a known key"),
        "{:?}",
        told(&report)
    );
}
