//! Who read whom is found by an index that holds readings alone, whatever else the journal holds: the plan of the program's
//! own statement over two hundred thousand entries. How long it takes over a million: `./dev bench breach`.

use crate::flag_plans::{constant, plan};
use crate::support::{TestApp, World};

/// Two hundred thousand entries over a hundred days, one in ten a reading.
async fn fill(world: &World) {
    let booths = ["S1-B1", "S1-B2", "S1-B3", "S1-B4", "S1-B5"].map(|code| world.unit(code));
    let sql = format!(
        "INSERT INTO journal (state_id, number, unit_id, unit_ids, actor_id, device_id, action, subject, subject_ids,
                              subject_uuids, digest, at, leaf_hash)
         SELECT {state}, n, (ARRAY{booths:?})[1 + n % 5], ARRAY[(ARRAY{booths:?})[1 + n % 5]], 1 + n % 250, NULL,
                CASE WHEN n % 10 = 0 THEN 'contact.read' ELSE 'visit.record' END, 'contact', '{{}}', ARRAY[gen_random_uuid()],
                decode(repeat('00', 32), 'hex'), '2026-08-01'::timestamptz + n * interval '43 seconds',
                decode(repeat('00', 32), 'hex')
         FROM generate_series(1, 200000) n",
        state = world.unit("S1"),
    );
    assert_eq!(world.db.execute(&sql, &[]).await.unwrap(), 200_000);
    world.db.batch_execute("VACUUM ANALYZE journal").await.unwrap();
}

#[actix_web::test]
async fn who_read_whom_is_found_by_index_among_two_hundred_thousand_entries() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    fill(&world).await;
    let reads = constant(include_str!("../../src/features/contacts/queries.rs"), "READS");
    let types =
        "int[], date, timestamptz, timestamptz, timestamptz, int, bigint, int, int, uuid, uuid, bigint";
    let root = world.unit("S1");
    let span = "'2026-09-01', '2026-09-02'";
    let questions = [
        format!("ARRAY[{root}], '2026-11-23', {span}, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 501"),
        format!(
            "ARRAY[{root}], '2026-11-23', {span}, '2026-09-01 12:00Z', {root}, 70000, NULL, NULL, NULL, NULL, 501"
        ),
        format!("ARRAY[{root}], '2026-11-23', {span}, NULL, NULL, NULL, 7, 7, NULL, NULL, 501"),
    ];
    for mode in ["generic", "custom"] {
        for values in &questions {
            let plan = plan(&world.db, mode, &reads, types, values).await;
            assert!(plan.contains("journal_contact_reads_idx"), "{mode}: {plan}");
            assert!(!plan.contains("Seq Scan on journal"), "{mode}: {plan}");
        }
    }
}

/// A nation's million booths cannot be had in a test, nor the sample that takes them for few: `./dev bench growth` shows it.
#[actix_web::test]
async fn the_planner_is_told_how_many_visits_a_booth_has() {
    let app = TestApp::start().await;
    let db = app.database.connect().await;
    let sql = "SELECT coalesce('n_distinct=-0.02' = ANY (attoptions), false) FROM pg_attribute
        WHERE attrelid = 'visits'::regclass AND attname = 'booth_id'";
    assert!(db.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));
}
