//! Turns: what one of all processes does at a time.

use diesel::QueryResult;
use diesel::sql_types::{BigInt, Bool};
use diesel_async::RunQueryDsl;

use super::db::Tx;
use super::statement::statement;

#[derive(diesel::QueryableByName)]
struct TurnRow {
    #[diesel(sql_type = Bool)]
    taken: bool,
}

/// Whether this transaction has the turn of that number until it ends; false while another has it.
///
/// # Errors
/// What the database says.
pub async fn take_turn(tx: &mut Tx, number: i64) -> QueryResult<bool> {
    let row: TurnRow = statement("SELECT pg_try_advisory_xact_lock($1) AS taken")
        .bind::<BigInt, _>(number)
        .get_result(tx)
        .await?;
    Ok(row.taken)
}
