use diesel::sql_types::Integer;
use diesel::{OptionalExtension, QueryResult};
use diesel_async::RunQueryDsl;

use crate::platform::db::Tx;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;

#[derive(diesel::QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
}

/// The nation, at which the program journals what it does for everyone.
pub async fn nation(tx: &mut Tx) -> QueryResult<Option<UnitId>> {
    let row: Option<IdRow> = statement("SELECT id FROM units WHERE level = 'nation'")
        .get_result(tx)
        .await
        .optional()?;
    Ok(row.map(|row| row.id))
}
