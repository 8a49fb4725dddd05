//! The schema: up and down again, by several at once, commented.

use sampark::platform::migrations;
use tokio_postgres::Client;

use crate::support::TestDatabase;

/// Everything that a migration makes, as text: columns, constraints, indexes, comments.
pub async fn schema(db: &Client) -> Vec<String> {
    let sql = "
        SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' '
               || coalesce(column_default, '') FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT 'comment ' || c.relname || ' ' || d.objsubid || ' ' || d.description
            FROM pg_description d JOIN pg_class c ON c.oid = d.objoid WHERE c.relnamespace = 'public'::regnamespace
        ORDER BY 1";
    let rows = db.query(sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| row.get(0))
        .filter(|line: &String| !line.contains("__diesel_schema_migrations"))
        .collect()
}

#[actix_web::test]
async fn every_migration_can_be_taken_back_and_run_again() {
    let database = TestDatabase::create_empty().await;
    migrations::run(&database.url).await.unwrap();
    let db = database.connect().await;
    let first = schema(&db).await;
    assert!(first.len() > 200, "{}", first.len());
    migrations::revert_all(&database.url).await.unwrap();
    assert_eq!(schema(&db).await, Vec::<String>::new());
    migrations::run(&database.url).await.unwrap();
    assert_eq!(schema(&db).await, first);
    assert!(!migrations::pending(&database.url).await.unwrap());
}

#[actix_web::test]
async fn several_programs_may_migrate_at_once() {
    let database = TestDatabase::create_empty().await;
    let runs = (0..4).map(|_| {
        let url = database.url.clone();
        actix_web::rt::spawn(async move { migrations::run(&url).await.unwrap().applied.len() })
    });
    let mut applied = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        applied.push(run.await.unwrap());
    }
    applied.sort_unstable();
    assert_eq!(applied[..3], [0, 0, 0], "one does it all while the others wait");
    assert!(applied[3] > 0);
}

#[actix_web::test]
async fn every_table_and_column_says_what_it_is() {
    let database = TestDatabase::create().await;
    let sql = "
        SELECT c.relname || coalesce('.' || a.attname, '') FROM pg_class c
        CROSS JOIN LATERAL (SELECT 0 AS attnum, NULL::name AS attname UNION ALL
             SELECT attnum, attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) a
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname NOT LIKE '\\_\\_diesel%'
          AND col_description(c.oid, a.attnum) IS NULL AND (a.attnum > 0 OR obj_description(c.oid, 'pg_class') IS NULL)
        ORDER BY 1";
    let rows = database.connect().await.query(sql, &[]).await.unwrap();
    let silent: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(silent, Vec::<String>::new());
}
