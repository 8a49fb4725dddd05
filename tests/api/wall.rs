//! The second wall: row-level security holds where a condition is forgotten, and every table says whether it stands behind it.

use std::collections::BTreeMap;

use sampark::access::Role;
use serde_json::json;
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::support::{Actor, TestApp, TestDatabase, World};
use crate::visits::visit;

/// Tables that stand open, each with its reason. A table that is neither here nor behind the wall fails the test.
const OPEN: &[(&str, &str)] = &[
    (
        "access_changes",
        "numbers of workers whose sessions are to be read again",
    ),
    ("cadre_changes", "numbers of units that are to be counted anew"),
    ("cadre_tallies", "counts of units"),
    ("cadre_units", "counts of units"),
    ("campaign_questions", "questions, no answers"),
    ("campaigns", "what is asked where, of nobody"),
    ("committee_rules", "which posts a committee has, of nobody"),
    (
        "election_results",
        "candidates and votes, as the Election Commission publishes them",
    ),
    ("election_seats", "votes in seats, published"),
    ("elections", "published"),
    ("grade_changes", "grades of booths and mandals"),
    ("grades_under_way", "grades of booths and mandals, not shown yet"),
    ("grading_runs", "how far the grading of states has come"),
    (
        "grants",
        "who holds which office: a decision without a hidden one would be a wrong one",
    ),
    ("journal", "ids and digests, never content; read by unit"),
    ("journal_heads", "lengths of journals"),
    ("journal_inbox", "as the journal"),
    ("lineages", "units; the wall itself is measured by them"),
    ("parties", "published"),
    ("party_names", "published"),
    ("placements", "units"),
    (
        "post_confirmations",
        "when a grant was confirmed; open as grants are",
    ),
    ("retention_progress", "how far the letting go has come"),
    ("row_versions", "hashes of rows, never what they say"),
    ("row_writes", "which entry tells of which hashes"),
    ("service_secrets", "hashes of programs' secrets, of no person"),
    ("services", "programs and the posts that answer for them"),
    ("shortfall_snapshots", "figures of units, frozen"),
    ("sign_in_days", "a count a day"),
    (
        "sign_offs",
        "which weeks were closed, by the office that closed them; asked at every recording",
    ),
    ("signed_heads", "digests and signatures, for anybody to check"),
    ("strength_rules", "how booths are graded"),
    ("strength_tallies", "counts of grades"),
    ("strengths", "grades of booths and mandals"),
    ("support_ledger", "counts of booths, as the totals"),
    ("tally_inbox", "counts of booths"),
    (
        "target_set_clusters",
        "groups of seats, and the number of who is in charge",
    ),
    ("target_set_members", "seats"),
    ("target_set_versions", "rules and reasons"),
    ("target_sets", "named lists of seats"),
    ("targets", "what units are to reach"),
    ("totals", "counts of units"),
    ("totals_to_date", "counts of units"),
    ("tree_nodes", "digests"),
    ("cadre_changes", "which units are to be counted anew"),
    ("cadre_tallies", "counts of posts by place"),
    ("cadre_units", "counts of posts by unit"),
    ("committee_rules", "which posts a committee has"),
    ("draw_booths", "counts of booths"),
    (
        "draws",
        "what is audited and how it ended, by which office; names nobody who visits or was visited",
    ),
    ("level_counts", "counts of units"),
    (
        "post_confirmations",
        "that an office was taken up; goes with grants",
    ),
    ("pravas", "tours as planned, and the number of who goes"),
    ("pravas_seats", "constituencies"),
    ("pravas_stop_tasks", "numbers of tasks and stops"),
    ("pravas_stops", "where a tour stops, and when"),
    ("task_closings", "counts of units"),
    ("task_measures", "which indicator meets which task"),
    ("task_tally_inbox", "counts of units"),
    ("task_totals", "counts of units"),
    ("task_units", "how units stand, and the number of who reported"),
    ("task_versions", "what is wanted of units"),
    ("tasks", "what is wanted of units"),
    ("units", "the organisation, no people"),
];

/// A connection as the server's own, outside the server: for SQL whose WHERE was forgotten.
pub async fn connect(database: &TestDatabase) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&database.server_url, NoTls)
        .await
        .unwrap();
    actix_web::rt::spawn(connection);
    client.batch_execute("SET ROLE sampark_server").await.unwrap();
    client
}

async fn number(db: &tokio_postgres::Client, sql: &str) -> i64 {
    db.query_one(sql, &[])
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
        .get(0)
}

/// Begins a transaction for a caller, as the program does.
pub async fn enter(db: &tokio_postgres::Client, worker: i32, roots: &[i32], states: &[i32]) {
    let list = |ids: &[i32]| {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        format!("{{{}}}", ids.join(","))
    };
    db.batch_execute(&format!(
        "BEGIN; SET LOCAL sampark.worker = '{worker}'; SET LOCAL sampark.today = '2026-11-23';
         SET LOCAL sampark.roots = '{}'; SET LOCAL sampark.states = '{}'",
        list(roots),
        list(states)
    ))
    .await
    .unwrap();
}

struct Scene {
    app: TestApp,
    world: World,
    /// A booth worker of S1-B1, S1-B4 and S2-B1 each, who recorded a visit at a door there and corrected it.
    authors: BTreeMap<&'static str, Actor>,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let mut authors = BTreeMap::new();
    for booth in ["S1-B1", "S1-B4", "S2-B1"] {
        let author = world.actor(&app, Role::BoothWorker, booth).await;
        let mut sent = visit(&world, campaign, booth);
        sent["household_id"] = json!(world.household(booth).await);
        let id = sent["id"].as_str().unwrap().to_owned();
        let keyed = author.client.header("idempotency-key", booth);
        author.client.post("/v1/visits", sent).await.expect(201);
        let change = json!({"people_met": 3});
        let matching = keyed.header("if-match", "\"1\"");
        matching
            .patch(&format!("/v1/visits/{id}"), change)
            .await
            .expect(200);
        authors.insert(booth, author);
    }
    Scene { app, world, authors }
}

#[actix_web::test]
async fn every_table_is_behind_the_wall_or_says_why_not() {
    let database = TestDatabase::create().await;
    let db = database.connect().await;
    let sql = "SELECT c.relname::text, c.relrowsecurity AND c.relforcerowsecurity, pg_get_userbyid(c.relowner)::text,
                   EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid)
               FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
                 AND c.relname NOT LIKE '\\_\\_diesel%' ORDER BY 1";
    let rows = db.query(sql, &[]).await.unwrap();
    assert!(rows.len() > 20, "{}", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let (table, forced, owner, policies): (String, bool, String, bool) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let open = OPEN.iter().any(|(name, _)| *name == table);
        if owner == "sampark_server" {
            wrong.push(format!("{table} is owned by the server's role"));
        }
        if open == (forced && policies) {
            wrong.push(format!(
                "{table}: either force row-level security on it with policies, or name it in OPEN with the reason, not both"
            ));
        }
    }
    for (name, _) in OPEN {
        if !rows.iter().any(|row| row.get::<_, String>(0) == *name) {
            wrong.push(format!("{name} is in OPEN and does not exist"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[actix_web::test]
async fn the_servers_role_owns_nothing_bypasses_nothing_and_cannot_leave_itself() {
    let database = TestDatabase::create().await;
    let db = connect(&database).await;
    let may = "SELECT count(*) FROM pg_roles WHERE rolname = 'sampark_server'
                 AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)";
    assert_eq!(number(&db, may).await, 0);
    let member = "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = 'sampark_server'";
    assert_eq!(number(&db, member).await, 0);
    db.batch_execute("RESET ROLE; RESET SESSION AUTHORIZATION")
        .await
        .unwrap();
    let user: String = db
        .query_one("SELECT current_user::text", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(user, "sampark_server", "there is nobody else to go back to");
    for forbidden in [
        "SET ROLE sampark",
        "SET SESSION AUTHORIZATION sampark",
        "ALTER TABLE visits DISABLE ROW LEVEL SECURITY",
        "DROP POLICY visits_seen ON visits",
        "TRUNCATE visits",
        "CREATE TABLE mine (n int)",
        "UPDATE __diesel_schema_migrations SET version = ''",
        "SET row_security = off; SELECT * FROM visits",
    ] {
        let refused = db.batch_execute(forbidden).await.unwrap_err();
        let refused = refused.as_db_error().unwrap().code().code().to_owned();
        assert_eq!(refused, "42501", "{forbidden}");
    }
}

#[actix_web::test]
async fn without_a_scope_there_are_no_rows() {
    let s = scene().await;
    let db = connect(&s.app.database).await;
    let owner = s.app.database.connect().await;
    let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relforcerowsecurity";
    let tables: Vec<String> = owner
        .query(sql, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(tables.len() >= 11, "{tables:?}");
    for table in tables {
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(number(&db, &count).await, 0, "{table}");
        if [
            "visits",
            "visit_versions",
            "households",
            "doors",
            "workers",
            "devices",
            "sessions",
        ]
        .contains(&table.as_str())
        {
            assert!(number(&owner, &count).await >= 3, "{table} is not empty");
        }
    }
    // A transaction that had one leaves nothing behind for the next on the same connection.
    enter(&db, 0, &[1], &[2, 3]).await;
    assert_eq!(number(&db, "SELECT count(*) FROM visits").await, 3);
    db.batch_execute("COMMIT").await.unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM visits").await, 0);
}

#[actix_web::test]
async fn a_forgotten_where_gives_no_foreign_row() {
    let s = scene().await;
    let db = connect(&s.app.database).await;
    let unit = |code: &str| s.world.unit(code);
    let own = s.authors["S1-B1"].worker_id;
    /// Who, his roots, the states that he sees whole, the booths whose rows he sees.
    type Scope<'a> = (&'a str, i32, Vec<i32>, Vec<i32>, &'a [&'a str]);
    let scopes: &[Scope] = &[
        ("mandal", 0, vec![unit("S1-M1")], vec![], &["S1-B1"]),
        ("other mandal", 0, vec![unit("S1-M2")], vec![], &["S1-B4"]),
        ("seat", 0, vec![unit("S1-AC1")], vec![], &["S1-B1", "S1-B4"]),
        ("district", 0, vec![unit("S1-D1")], vec![], &["S1-B1", "S1-B4"]),
        (
            "state",
            0,
            vec![unit("S1")],
            vec![unit("S1")],
            &["S1-B1", "S1-B4"],
        ),
        (
            "two",
            0,
            vec![unit("S1-B4"), unit("S2-D1")],
            vec![],
            &["S1-B4", "S2-B1"],
        ),
        ("author without a grant", own, vec![], vec![], &["S1-B1"]),
        ("nobody", 0, vec![], vec![], &[]),
    ];
    for (who, worker, roots, states, booths) in scopes {
        enter(&db, *worker, roots, states).await;
        let mut seen: Vec<String> = db
            .query(
                "SELECT u.code FROM visits v JOIN units u ON u.id = v.booth_id",
                &[],
            )
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        seen.sort();
        assert_eq!(seen, *booths, "{who}");
        let n = i64::try_from(booths.len()).unwrap();
        assert_eq!(
            number(&db, "SELECT count(*) FROM visit_versions").await,
            n,
            "{who}"
        );
        let doors = if *worker == own { 0 } else { n };
        for table in ["households", "doors"] {
            assert_eq!(
                number(&db, &format!("SELECT count(*) FROM {table}")).await,
                doors,
                "{who} {table}"
            );
        }
        for table in ["workers", "devices", "sessions"] {
            assert_eq!(
                number(&db, &format!("SELECT count(*) FROM {table}")).await,
                n,
                "{who} {table}"
            );
        }
        for table in ["refresh_tokens", "otp_outbox"] {
            assert_eq!(
                number(&db, &format!("SELECT count(*) FROM {table}")).await,
                0,
                "{who} {table}"
            );
        }
        db.batch_execute("COMMIT").await.unwrap();
    }
}

#[actix_web::test]
async fn a_forgotten_where_changes_no_foreign_row() {
    let s = scene().await;
    let db = connect(&s.app.database).await;
    let (m1, b4) = (s.world.unit("S1-M1"), s.world.unit("S1-B4"));
    for (sql, changed) in [
        ("UPDATE visits SET void_reason = 'x' WHERE people_met > 0", 1),
        ("UPDATE households SET label = label || 'x' WHERE label <> ''", 1),
        ("UPDATE workers SET name = name || 'x' WHERE active", 1),
        (
            "UPDATE sessions SET revoked_at = now() WHERE revoked_at IS NULL",
            1,
        ),
        ("DELETE FROM sessions", 1),
        ("DELETE FROM visits", 0),
        ("DELETE FROM workers", 0),
        ("DELETE FROM households", 0),
    ] {
        enter(&db, 0, &[m1], &[]).await;
        let done = db
            .execute(sql, &[])
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert_eq!(done, changed, "{sql}");
        db.batch_execute("ROLLBACK").await.unwrap();
    }
    for sql in [
        // Names no row, so that nothing is looked at: the check of what is written stops it.
        "UPDATE visits SET void_reason = 'x'".to_owned(),
        "UPDATE workers SET name = 'x'".to_owned(),
        format!("UPDATE visits SET booth_id = {b4} WHERE people_met > 0"),
        format!("UPDATE households SET booth_id = {b4} WHERE label <> ''"),
        "INSERT INTO visits SELECT (jsonb_populate_record(v, jsonb_build_object('id', gen_random_uuid()))).* FROM visits v".to_owned(),
        "INSERT INTO idempotency_keys VALUES (1, 'k', '', 200, NULL, NULL, '', now())".to_owned(),
    ] {
        enter(&db, 0, &[m1], &[]).await;
        let refused = db.execute(sql.as_str(), &[]).await.unwrap_err();
        let refused = refused.as_db_error().unwrap_or_else(|| panic!("{refused:?}")).code().code().to_owned();
        assert_eq!(refused, "42501", "{sql}");
        db.batch_execute("ROLLBACK").await.unwrap();
    }
}

#[actix_web::test]
async fn a_task_of_the_program_reaches_what_it_is_for_and_no_more() {
    use sampark::platform::wall::{
        ACCESS, COMMAND, DELIVERER, FEED, POSTER, Program, RECORDER, RECOUNT, RETENTION, ROSTER, SEALING,
        SIGN_IN, VERIFY,
    };
    let s = scene().await;
    let programs: [(&'static Program, bool, bool, bool); 12] = [
        (&RECORDER, true, false, false),
        (&RECOUNT, true, false, false),
        (&POSTER, false, false, false),
        (&ACCESS, false, true, true),
        (&SIGN_IN, false, true, true),
        (&ROSTER, false, true, false),
        (&COMMAND, true, true, true),
        (&DELIVERER, true, false, false),
        (&FEED, true, false, false),
        (&RETENTION, true, true, true),
        (&SEALING, true, true, false),
        (&VERIFY, true, false, false),
    ];
    for (program, visits, roster, sign_in) in programs {
        let db = s.app.state.db.as_program(program);
        for (table, reached) in [
            ("visits", visits),
            ("households", visits),
            ("workers", roster),
            ("sessions", sign_in || roster),
        ] {
            let n = count(&db, table).await;
            assert_eq!(n > 0, reached, "{} {table}: {n}", program.name);
        }
    }
    assert_eq!(count(&s.app.state.db, "visits").await, 0, "no request, no rows");
}

async fn count(db: &sampark::platform::db::Db, table: &str) -> i64 {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        n: i64,
    }
    use diesel_async::RunQueryDsl;
    let sql = format!("SELECT count(*) AS n FROM {table}");
    let row: Row = db
        .read(async |tx| Ok(diesel::sql_query(sql.as_str()).get_result(tx).await?))
        .await
        .unwrap();
    row.n
}

#[actix_web::test]
async fn the_recorder_stores_only_where_leave_was_given() {
    let s = scene().await;
    let db = connect(&s.app.database).await;
    let copy = "INSERT INTO visits SELECT (jsonb_populate_record(v, jsonb_build_object('id', gen_random_uuid()))).* FROM visits v
                WHERE v.booth_id = $1";
    let (b1, b4) = (s.world.unit("S1-B1"), s.world.unit("S1-B4"));
    for (booth, stored) in [(b1, true), (b4, false)] {
        db.batch_execute(&format!(
            "BEGIN; SET LOCAL sampark.reads = '{{visits}}'; SET LOCAL sampark.writes = '{{doors}}';
             SET LOCAL sampark.booths = '{{{b1}}}'"
        ))
        .await
        .unwrap();
        assert_eq!(db.execute(copy, &[&booth]).await.is_ok(), stored);
        db.batch_execute("ROLLBACK").await.unwrap();
    }
}

#[actix_web::test]
async fn a_state_is_walked_without_a_look_at_each_lineage() {
    let s = scene().await;
    let db = connect(&s.app.database).await;
    enter(&db, 0, &[s.world.unit("S1")], &[s.world.unit("S1")]).await;
    let rows = db
        .query(
            "EXPLAIN (ANALYZE, COSTS off, TIMING off) SELECT * FROM visits WHERE state_id = 2",
            &[],
        )
        .await
        .unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let lineages: Vec<&String> = plan.iter().filter(|line| line.contains("on lineages")).collect();
    assert!(!lineages.is_empty(), "{plan:#?}");
    for line in lineages {
        assert!(!line.contains("Seq Scan"), "by its index: {plan:#?}");
        assert!(line.contains("never executed"), "the state is enough: {plan:#?}");
    }
}

#[actix_web::test]
async fn a_household_hidden_by_the_wall_cannot_be_taken() {
    let s = scene().await;
    let foreign = s.world.household("S1-B4").await;
    let body = json!({"booth_id": s.world.unit("S1-B1"), "label": "9"});
    let worker = &s.authors["S1-B1"].client;
    let path = format!("/v1/households/{foreign}");
    let answer = worker.put(&path, body).await.expect(409);
    assert!(
        answer.json["detail"].as_str().unwrap().contains("cannot be used"),
        "{answer:?}"
    );
    assert!(!answer.text().contains(&s.world.unit("S1-B4").to_string()) || s.world.unit("S1-B4") < 100);
    let unknown = Uuid::new_v4();
    let body = json!({"booth_id": s.world.unit("S1-B1"), "label": "9"});
    worker
        .put(&format!("/v1/households/{unknown}"), body)
        .await
        .expect(201);
}
