//! What visits are judged by, listed by and compared by is found by index, however many visits there are: the plan of the program's own statement
//! over a hundred thousand visits, asked as the server asks it: by the role that owns nothing, in a scope, behind the second wall.

use diesel::sql_types::{BigInt, Integer, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use sampark::access::Role;
use sampark::platform::statement::statement;
use tokio_postgres::Client;

use crate::support::{Settings, TestApp, World};
use crate::visits::visit;
use crate::wall::{connect, enter};

/// The text of a constant in a source file, so that what is planned here is what is sent.
pub fn constant(source: &str, name: &str) -> String {
    let begin = format!("const {name}: &str = \"");
    let text = source
        .split_once(&begin)
        .unwrap_or_else(|| panic!("there is no {name}"));
    text.1.split_once("\";").unwrap().0.to_owned()
}

/// A hundred thousand visits: 250 workers, 20 days, 20 visits a day; one in 20 flagged.
async fn fill(world: &World, campaign: i32) {
    let booths = ["S1-B1", "S1-B2", "S1-B3", "S1-B4", "S1-B5"].map(|code| world.unit(code));
    let sql = format!(
        "INSERT INTO visits (state_id, id, booth_id, campaign_id, worker_id, visited_at, visited_on, received_at, outcome,
                             channel, people_met, issues, answers, question_version, lat, lon, flags, sent_digest,
                             changed_by, changed_at)
         SELECT {state}, gen_random_uuid(), (ARRAY{booths:?})[1 + w % 5], {campaign}, w,
                day + interval '4 hours' + k * interval '20 minutes', day, day + interval '1 day', 'met', 'door', 1, '[]',
                '{{}}', 1, 26.8, 80.9, CASE WHEN (w + k) % 20 = 0 THEN '[{{\"code\": \"too_fast\"}}]'::jsonb ELSE '[]' END,
                '', w, day
         FROM generate_series(1, 250) w, generate_series(0, 19) k,
              generate_series('2026-11-01'::timestamptz, '2026-11-20', '1 day') AS day",
        state = world.unit("S1"),
    );
    assert_eq!(world.db.execute(&sql, &[]).await.unwrap(), 100_000);
    world.db.batch_execute("VACUUM ANALYZE visits").await.unwrap();
}

pub async fn plan(db: &Client, mode: &str, statement: &str, types: &str, values: &str) -> String {
    db.batch_execute(&format!(
        "SET plan_cache_mode = force_{mode}_plan; DEALLOCATE ALL; PREPARE asked ({types}) AS {statement}"
    ))
    .await
    .unwrap();
    let rows = db
        .query(&format!("EXPLAIN EXECUTE asked ({values})"), &[])
        .await
        .unwrap();
    let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    lines.join("\n")
}

#[actix_web::test]
async fn trails_are_found_by_index_among_a_hundred_thousand_visits() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    fill(&world, campaign).await;
    let trails = constant(
        include_str!("../../src/features/visits/queries/trails.rs"),
        "TRAILS",
    );
    let state = world.unit("S1");
    // The recorder's scope.
    let db = connect(&app.database).await;
    db.batch_execute("SET sampark.reads = '{visits}'").await.unwrap();
    for mode in ["generic", "custom"] {
        let values =
            format!("ARRAY[{state}, {state}], ARRAY[7, 9], ARRAY['2026-11-05', '2026-11-06']::date[], 300");
        let plan = plan(&db, mode, &trails, "int[], int[], date[], bigint", &values).await;
        assert!(plan.contains("visits_trail_idx"), "{plan}");
        assert!(!plan.contains("Seq Scan on visits"), "{plan}");
        // What no index can answer, none is asked for: without statistics a state looked like few visits.
        assert!(!plan.contains("(state_id = k.state_id)"), "{plan}");
        assert!(!plan.contains("visits_pkey"), "{plan}");
    }
}

/// The text that a macro without arguments stands for.
pub fn macro_text(source: &str, name: &str) -> String {
    let (_, rest) = source
        .split_once(&format!("macro_rules! {name} {{"))
        .unwrap_or_else(|| panic!("there is no {name}"));
    rest.split('"').nth(1).unwrap().to_owned()
}

/// The text of a constant that is written as `concat!` of texts and macros of texts.
pub fn concatenated(source: &str, name: &str, macros: &[(&str, &str)]) -> String {
    let begin = format!("const {name}: &str = concat!(");
    let rest = source
        .split_once(&begin)
        .unwrap_or_else(|| panic!("there is no {name}"))
        .1;
    let (parts, _) = rest.split_once("\n);").unwrap();
    let mut text = String::new();
    for (n, part) in parts.split('"').enumerate() {
        if n % 2 == 1 {
            text.push_str(part);
        } else if let Some(call) = part.split(',').map(str::trim).find(|part| part.ends_with("!()")) {
            let known = macros.iter().find(|(name, _)| *name == call);
            text.push_str(known.unwrap_or_else(|| panic!("{call} is not known")).1);
        }
    }
    text
}

/// The list of visits and the types of what is bound to it.
fn list() -> (String, &'static str) {
    let list = concatenated(
        include_str!("../../src/features/visits/queries.rs"),
        "LIST",
        // What is shown of a visit beside its row does not decide how it is found.
        &[("visit_columns!()", "v.*")],
    );
    let types = "int[], int[], int, date, int, int, int, int, date, date, text, text, jsonb, timestamptz, date, uuid, bigint";
    (list, types)
}

#[actix_web::test]
async fn visits_with_a_flag_are_found_by_the_index_of_flagged_visits() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    fill(&world, campaign).await;
    let (list, types) = list();
    let booths = format!("ARRAY[{}, {}]", world.unit("S1-B1"), world.unit("S1-B2"));
    let code = r#"'[{"code": "too_fast"}]'"#;
    let values = format!(
        "{booths}, NULL, NULL, '2026-11-23', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, {code}, NULL, NULL, NULL, 51"
    );
    // A coordinator's scope: a mandal.
    let db = connect(&app.database).await;
    enter(&db, 1, &[world.unit("S1-M1")], &[]).await;
    let found = plan(&db, "custom", &list, types, &values).await;
    assert!(found.contains("visits_flagged_"), "{found}");
    // The statement names its booths: only the wall asks for lineages.
    assert!(found.contains("lineages"), "{found}");
    assert!(!found.contains("Seq Scan on visits"), "{found}");
    // Without the filter the indexes of flagged visits are of no use, so that the first half of this test can fail.
    let plain = values.replace(code, "NULL");
    let found = plan(&db, "custom", &list, types, &plain).await;
    assert!(!found.contains("visits_flagged_"), "{found}");
}

#[actix_web::test]
async fn a_page_of_a_whole_state_reads_its_newest_visits_and_no_others() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    fill(&world, campaign).await;
    let (list, types) = list();
    let state = world.unit("S1");
    let db = connect(&app.database).await;
    enter(&db, 1, &[state], &[state]).await;
    let booths = ["S1-B1", "S1-B2", "S1-B3", "S1-B4", "S1-B5"].map(|code| world.unit(code));
    let whose = [
        // Its booths, and its root where they are too many to be listed.
        format!("ARRAY{booths:?}, NULL, NULL, '2026-11-23', NULL"),
        format!("NULL, ARRAY[{state}], NULL, '2026-11-23', {state}"),
    ];
    for whose in whose {
        for (filter, index) in [
            ("NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL", "visits_day_idx"),
            (
                "NULL, NULL, NULL, NULL, NULL, NULL, 'rejected', NULL",
                "visits_reviewed_idx",
            ),
            (
                r#"NULL, NULL, NULL, NULL, NULL, NULL, NULL, '[{"code": "too_fast"}]'"#,
                "visits_flagged_day_idx",
            ),
        ] {
            let values = format!("{whose}, {filter}, NULL, NULL, NULL, 51");
            let found = plan(&db, "custom", &list, types, &values).await;
            assert!(found.contains(&format!("Scan Backward using {index}")), "{found}");
            assert!(!found.contains("Seq Scan on visits"), "{found}");
            assert!(!found.contains("Seq Scan on lineages l\n"), "{found}");
        }
    }
}

#[actix_web::test]
async fn what_is_planned_anew_is_not_kept_prepared() {
    use diesel_async::RunQueryDsl;

    let app = TestApp::start().await;
    let mut db = AsyncPgConnection::establish(&app.database.url).await.unwrap();
    for n in 0..8 {
        let kept = statement("SELECT $1::int AS kept").bind::<Integer, _>(n);
        kept.execute(&mut db).await.unwrap();
        let anew = statement("SELECT $1::int AS anew").bind::<Integer, _>(n);
        anew.planned_anew().execute(&mut db).await.unwrap();
    }
    let kept: Vec<Prepared> = diesel::sql_query("SELECT statement FROM pg_prepared_statements")
        .load(&mut db)
        .await
        .unwrap();
    let holds = |what: &str| kept.iter().filter(|row| row.statement.ends_with(what)).count();
    assert_eq!((holds("AS kept"), holds("AS anew")), (1, 0));
}

#[derive(diesel::QueryableByName)]
struct Prepared {
    #[diesel(sql_type = Text)]
    statement: String,
}

#[actix_web::test]
async fn indicators_read_the_visits_of_their_booths_and_days_and_no_others() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    fill(&world, campaign).await;
    // 500 booths, as a district has them.
    world
        .db
        .batch_execute(
            "UPDATE visits SET booth_id = 1000 + worker_id * 2 + extract(hour FROM visited_at)::int % 2",
        )
        .await
        .unwrap();
    world.db.batch_execute("VACUUM ANALYZE visits").await.unwrap();
    let counts = constant(
        include_str!("../../src/features/audit_indicators/queries.rs"),
        "COUNTS",
    );
    let state = world.unit("S1");
    let types = "bool, int, date, date, text, int, int, int[], int[], int[]";
    let values = format!(
        "false, {campaign}, '2026-11-05', '2026-11-11', 'Asia/Kolkata', 7, 21, ARRAY[{state}, {state}, {state}], \
         ARRAY[1002, 1010, 1011], ARRAY[6, 6, 6]"
    );
    let db = connect(&app.database).await;
    enter(&db, 1, &[world.unit("S1-M1")], &[]).await;
    for mode in ["generic", "custom"] {
        let plan = plan(&db, mode, &counts, types, &values).await;
        assert!(plan.contains("visits_booth_idx"), "{plan}");
        assert!(!plan.contains("Seq Scan on visits"), "{plan}");
    }
}

#[derive(diesel::QueryableByName)]
struct Planned {
    #[diesel(sql_type = Text)]
    statement: String,
    #[diesel(sql_type = BigInt)]
    anew: i64,
}

#[actix_web::test]
async fn statements_that_record_visits_are_planned_once_a_connection() {
    use diesel_async::RunQueryDsl;

    // One connection, so that the one that is asked is the one that recorded.
    let app = TestApp::start_with(Settings {
        poster: false,
        pool_size: 1,
    })
    .await;
    let world = World::build(&app).await;
    let campaign = world.campaign("IN").await;
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    for _ in 0..8 {
        let visit = visit(&world, campaign, "S1-B1");
        worker.client.post("/v1/visits", visit).await.expect(201);
    }
    let planned: Vec<Planned> = app
        .state
        .db
        .read(async |tx| {
            let rows = diesel::sql_query(
                "SELECT statement, custom_plans AS anew FROM pg_prepared_statements WHERE generic_plans + custom_plans >= 8",
            );
            Ok(rows.load(tx).await?)
        })
        .await
        .unwrap();
    let trails = constant(
        include_str!("../../src/features/visits/queries/trails.rs"),
        "TRAILS",
    );
    let of_recording = |row: &&Planned| row.statement == trails || row.statement.contains("INTO visits");
    let seen: Vec<&Planned> = planned.iter().filter(of_recording).collect();
    assert_eq!(seen.len(), 2, "the trails and the visits");
    for row in seen {
        assert_eq!(row.anew, 0, "{}", row.statement);
    }
}
