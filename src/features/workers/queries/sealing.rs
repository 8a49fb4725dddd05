//! Sealing what is stored already: phones of before they were sealed, and, when the key changes, all of them anew.

use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Text};
use diesel_async::RunQueryDsl;

use super::{phone_index, phone_place};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::ids::WorkerId;
use crate::platform::statement::statement;

#[derive(diesel::QueryableByName)]
struct WaitingRow {
    #[diesel(sql_type = Integer)]
    worker_id: WorkerId,
    #[diesel(sql_type = Text)]
    phone: String,
}

#[derive(diesel::QueryableByName)]
struct PhoneRow {
    #[diesel(sql_type = Integer)]
    id: WorkerId,
    #[diesel(sql_type = Binary)]
    phone_sealed: Vec<u8>,
}

/// Seals the next phones that wait for it; returns whose they were, none at the end.
///
/// # Errors
/// What the database says, or that nothing can be sealed.
pub async fn seal_waiting(tx: &mut Tx, keys: &DataKeys, limit: i64) -> QueryResult<Vec<WorkerId>> {
    let rows: Vec<WaitingRow> = statement(
        "DELETE FROM unsealed_phones WHERE worker_id IN (
             SELECT worker_id FROM unsealed_phones ORDER BY worker_id LIMIT $1 FOR UPDATE)
         RETURNING worker_id, phone",
    )
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await?;
    let mut sealed = Vec::with_capacity(rows.len());
    for row in &rows {
        sealed.push(keys.seal(&phone_place(row.worker_id), row.phone.as_bytes())?);
    }
    statement(
        "UPDATE workers w SET phone_sealed = n.phone_sealed, phone_index = n.phone_index
         FROM unnest($1::int[], $2::bytea[], $3::bytea[]) AS n (id, phone_sealed, phone_index)
         WHERE w.id = n.id AND w.phone_sealed IS NULL",
    )
    .bind::<Array<Integer>, _>(rows.iter().map(|row| row.worker_id).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(&sealed)
    .bind::<Array<Binary>, _>(
        rows.iter()
            .map(|row| phone_index(keys, &row.phone))
            .collect::<Vec<_>>(),
    )
    .execute(tx)
    .await?;
    Ok(rows.into_iter().map(|row| row.worker_id).collect())
}

/// Seals anew, under the active key, what of the next phones an older key sealed. Returns the last worker who was looked
/// at; `None` at the end.
///
/// # Errors
/// What the database says, or a phone that cannot be opened.
pub async fn reseal_phones(
    tx: &mut Tx,
    keys: &DataKeys,
    after: Option<WorkerId>,
    limit: i64,
) -> QueryResult<Option<WorkerId>> {
    let rows: Vec<PhoneRow> = statement(
        "SELECT id, phone_sealed FROM workers WHERE id > $1 AND phone_sealed IS NOT NULL
         ORDER BY id LIMIT $2 FOR NO KEY UPDATE",
    )
    .bind::<Integer, _>(after.unwrap_or(WorkerId(0)))
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await?;
    let mut changed = Vec::new();
    for row in &rows {
        let sealed = keys.reseal(&phone_place(row.id), &row.phone_sealed)?;
        changed.extend(sealed.map(|sealed| (row.id, sealed)));
    }
    statement(
        "UPDATE workers w SET phone_sealed = n.phone_sealed
         FROM unnest($1::int[], $2::bytea[]) AS n (id, phone_sealed) WHERE w.id = n.id",
    )
    .bind::<Array<Integer>, _>(changed.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(changed.iter().map(|(_, sealed)| sealed).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(rows.last().map(|row| row.id))
}
