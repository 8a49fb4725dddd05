use diesel::QueryResult;
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text, Timestamptz};
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
    #[diesel(sql_type = Nullable<Text>)]
    pub schema_version: Option<String>,
    /// A standby, or set to read only.
    #[diesel(sql_type = Bool)]
    pub read_only: bool,
}

pub async fn read_readiness(
    tx: &mut Tx,
    newest_migration: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> QueryResult<Readiness> {
    statement(
        "SELECT EXISTS (SELECT 1 FROM __diesel_schema_migrations WHERE version = $1) AS migrated,
                (SELECT max(version) FROM __diesel_schema_migrations) AS schema_version,
                pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only,
                count(*) AS unposted_entries,
                coalesce(greatest(extract(epoch FROM $2 - min(at)), 0), 0)::float8 AS poster_lag_s
         FROM journal_inbox",
    )
    .bind::<Text, _>(newest_migration)
    .bind::<Timestamptz, _>(now)
    .get_result(tx)
    .await
}

#[derive(diesel::QueryableByName)]
struct PlaceRow {
    #[diesel(sql_type = Text)]
    #[expect(dead_code, reason = "that it was given is enough")]
    place: String,
}

/// Writes a message to the log of the database that says nothing and changes nothing; its commit waits for the disk.
pub async fn write_nothing(tx: &mut Tx) -> QueryResult<()> {
    let _: PlaceRow = statement("SELECT pg_logical_emit_message(true, 'sampark', '')::text AS place")
        .get_result(tx)
        .await?;
    Ok(())
}
