//! What the program does to contacts by itself: ends those whose deadline has passed, destroys numbers whose day has
//! come, seals them anew when the key changes. A step at a time.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::QueryResult;
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Binary, Date, Integer, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::phone_place;
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::ids::{ContactId, UnitId};
use crate::platform::statement::statement;

/// A contact that a step touched.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct TouchedRow {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    pub id: ContactId,
    #[diesel(sql_type = Integer)]
    pub booth_id: UnitId,
}

#[derive(QueryableByName)]
struct PhoneRow {
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    id: ContactId,
    #[diesel(sql_type = Nullable<Binary>)]
    phone_sealed: Option<Vec<u8>>,
}

/// Ends the next contacts whose deadline has passed. Their numbers are destroyed at once, or when a year has passed since
/// they were last written.
///
/// # Errors
/// What the database says.
pub async fn end_overdue(
    tx: &mut Tx,
    today: NaiveDate,
    now: DateTime<Utc>,
    limit: i64,
) -> QueryResult<Vec<TouchedRow>> {
    statement(
        "UPDATE contacts c SET ended_at = $1, ended_why = 'deadline', version = c.version + 1, updated_at = $2,
             destroy_on = greatest(c.keep_until + 1, (c.updated_at AT TIME ZONE 'UTC')::date + 366)
         FROM (SELECT state_id, id FROM contacts WHERE ended_at IS NULL AND keep_until < $3
               ORDER BY keep_until LIMIT $4 FOR UPDATE) AS n
         WHERE c.state_id = n.state_id AND c.id = n.id
         RETURNING c.state_id, c.id, c.booth_id",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(now)
    .bind::<Date, _>(today)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// Destroys the next numbers whose day has come.
///
/// # Errors
/// What the database says.
pub async fn destroy_due(
    tx: &mut Tx,
    today: NaiveDate,
    now: DateTime<Utc>,
    limit: i64,
) -> QueryResult<Vec<TouchedRow>> {
    statement(
        "UPDATE contacts c SET phone_sealed = NULL, phone_index = NULL, version = c.version + 1, updated_at = $1
         FROM (SELECT state_id, id FROM contacts
               WHERE phone_sealed IS NOT NULL AND destroy_on IS NOT NULL AND destroy_on <= $2
               ORDER BY destroy_on LIMIT $3 FOR UPDATE) AS n
         WHERE c.state_id = n.state_id AND c.id = n.id
         RETURNING c.state_id, c.id, c.booth_id",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Date, _>(today)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// Seals anew, under the active key, what of the next numbers an older key sealed. Returns the last contact that was
/// looked at; `None` at the end.
///
/// # Errors
/// What the database says, or a number that cannot be opened.
pub async fn reseal_phones(
    tx: &mut Tx,
    keys: &DataKeys,
    after: Option<(UnitId, ContactId)>,
    limit: i64,
) -> QueryResult<Option<(UnitId, ContactId)>> {
    let rows: Vec<PhoneRow> = statement(
        "SELECT state_id, id, phone_sealed FROM contacts
         WHERE (state_id, id) > ($1, coalesce($2, '00000000-0000-0000-0000-000000000000'::uuid))
         ORDER BY state_id, id LIMIT $3 FOR UPDATE",
    )
    .bind::<Integer, _>(after.map_or(UnitId(0), |key| key.0))
    .bind::<Nullable<SqlUuid>, _>(after.map(|key| key.1))
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await?;
    let mut changed = Vec::new();
    for row in &rows {
        if let Some(phone) = &row.phone_sealed
            && let Some(sealed) = keys.reseal(&phone_place(row.state_id, row.id), phone)?
        {
            changed.push((row.state_id, row.id, sealed));
        }
    }
    statement(
        "UPDATE contacts c SET phone_sealed = n.phone_sealed
         FROM unnest($1::int[], $2::uuid[], $3::bytea[]) AS n (state_id, id, phone_sealed)
         WHERE c.state_id = n.state_id AND c.id = n.id",
    )
    .bind::<Array<Integer>, _>(changed.iter().map(|(state, _, _)| *state).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(changed.iter().map(|(_, id, _)| *id).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(changed.iter().map(|(_, _, sealed)| sealed).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(rows.last().map(|row| (row.state_id, row.id)))
}
