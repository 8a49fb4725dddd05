use diesel::QueryResult;
use diesel::sql_types::{BigInt, Bool, Double, Text, Timestamptz};
use diesel_async::RunQueryDsl;

use crate::platform::db::Tx;
use crate::platform::statement::statement;

#[derive(Debug, diesel::QueryableByName)]
pub struct Readiness {
    #[diesel(sql_type = Bool)]
    pub migrated: bool,
    #[diesel(sql_type = BigInt)]
    pub unposted_entries: i64,
    #[diesel(sql_type = Double)]
    pub poster_lag_s: f64,
}

pub async fn read_readiness(
    tx: &mut Tx,
    newest_migration: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> QueryResult<Readiness> {
    statement(
        "SELECT EXISTS (SELECT 1 FROM __diesel_schema_migrations WHERE version = $1) AS migrated,
                count(*) AS unposted_entries,
                coalesce(greatest(extract(epoch FROM $2 - min(at)), 0), 0)::float8 AS poster_lag_s
         FROM journal_inbox",
    )
    .bind::<Text, _>(newest_migration)
    .bind::<Timestamptz, _>(now)
    .get_result(tx)
    .await
}
