//! What visits are judged by is found by index, however many visits there are: the plan of the program's own statement
//! over a hundred thousand visits.

use tokio_postgres::Client;

use crate::support::{TestApp, World};

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
    for mode in ["generic", "custom"] {
        let values =
            format!("ARRAY[{state}, {state}], ARRAY[7, 9], ARRAY['2026-11-05', '2026-11-06']::date[], 300");
        let plan = plan(&world.db, mode, &trails, "int[], int[], date[], bigint", &values).await;
        assert!(plan.contains("visits_trail_idx"), "{plan}");
        assert!(!plan.contains("Seq Scan on visits"), "{plan}");
    }
}
