//! Sealing what is stored already: notes of before they were sealed, and, when the key changes, all of them anew.

use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::{VisitKey, note_place};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::ids::{UnitId, VisitId};
use crate::platform::statement::statement;

#[derive(diesel::QueryableByName)]
struct WaitingRow {
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    visit_id: VisitId,
    /// 0: the row of `visits`.
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Text)]
    note: String,
}

#[derive(diesel::QueryableByName)]
struct NoteRow {
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    visit_id: VisitId,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Nullable<Binary>)]
    note_sealed: Option<Vec<u8>>,
}

/// The name of a version in the database.
pub type VersionKey = (VisitKey, i32);

/// Seals the next notes that wait for it; returns whose they were, none at the end.
///
/// # Errors
/// What the database says, or that nothing can be sealed.
pub async fn seal_waiting(tx: &mut Tx, keys: &DataKeys, limit: i64) -> QueryResult<Vec<VisitKey>> {
    let rows: Vec<WaitingRow> = statement(
        "DELETE FROM unsealed_notes WHERE (state_id, visit_id, version) IN (
             SELECT state_id, visit_id, version FROM unsealed_notes ORDER BY state_id, visit_id, version LIMIT $1 FOR UPDATE)
         RETURNING state_id, visit_id, version, note",
    )
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await?;
    let mut sealed = Vec::with_capacity(rows.len());
    for row in &rows {
        let key = (row.state_id, row.visit_id);
        let note = keys.seal(&note_place(key), row.note.as_bytes())?;
        sealed.push(((key, row.version), note));
    }
    let (current, old): (Vec<_>, Vec<_>) = sealed.into_iter().partition(|((_, version), _)| *version == 0);
    store_current(tx, &current).await?;
    store_old(tx, &old).await?;
    Ok(rows.iter().map(|row| (row.state_id, row.visit_id)).collect())
}

/// Seals anew, under the active key, what of the next notes an older key sealed. Returns the last visit that was looked
/// at; `None` at the end.
///
/// # Errors
/// What the database says, or a note that cannot be opened.
pub async fn reseal_notes(
    tx: &mut Tx,
    keys: &DataKeys,
    after: Option<VisitKey>,
    limit: i64,
) -> QueryResult<Option<VisitKey>> {
    // Only their keys and notes are read, in the order of the primary key; a row is held while it is sealed anew.
    let rows: Vec<NoteRow> = statement(
        "SELECT state_id, id AS visit_id, 0 AS version, note_sealed FROM visits
         WHERE (state_id, id) > ($1, coalesce($2, '00000000-0000-0000-0000-000000000000'::uuid))
         ORDER BY state_id, id LIMIT $3 FOR UPDATE",
    )
    .bind::<Integer, _>(after.map_or(UnitId(0), |key| key.0))
    .bind::<Nullable<SqlUuid>, _>(after.map(|key| key.1))
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await?;
    store_current(tx, &anew(keys, &rows)?).await?;
    Ok(rows.last().map(|row| (row.state_id, row.visit_id)))
}

/// The same of versions that a later one replaced.
///
/// # Errors
/// As [`reseal_notes`].
pub async fn reseal_old_notes(
    tx: &mut Tx,
    keys: &DataKeys,
    after: Option<VersionKey>,
    limit: i64,
) -> QueryResult<Option<VersionKey>> {
    let rows: Vec<NoteRow> = statement(
        "SELECT state_id, visit_id, version, (content ->> 'note_sealed')::bytea AS note_sealed FROM visit_versions
         WHERE (state_id, visit_id, version)
               > ($1, coalesce($2, '00000000-0000-0000-0000-000000000000'::uuid), $3)
         ORDER BY state_id, visit_id, version LIMIT $4 FOR UPDATE",
    )
    .bind::<Integer, _>(after.map_or(UnitId(0), |(key, _)| key.0))
    .bind::<Nullable<SqlUuid>, _>(after.map(|(key, _)| key.1))
    .bind::<Integer, _>(after.map_or(0, |(_, version)| version))
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await?;
    store_old(tx, &anew(keys, &rows)?).await?;
    Ok(rows.last().map(|row| ((row.state_id, row.visit_id), row.version)))
}

fn anew(keys: &DataKeys, rows: &[NoteRow]) -> QueryResult<Vec<(VersionKey, Vec<u8>)>> {
    let mut changed = Vec::new();
    for row in rows {
        let key = (row.state_id, row.visit_id);
        if let Some(note) = &row.note_sealed
            && let Some(sealed) = keys.reseal(&note_place(key), note)?
        {
            changed.push(((key, row.version), sealed));
        }
    }
    Ok(changed)
}

async fn store_current(tx: &mut Tx, notes: &[(VersionKey, Vec<u8>)]) -> QueryResult<()> {
    if notes.is_empty() {
        return Ok(());
    }
    statement(
        "UPDATE visits v SET note_sealed = n.note_sealed
         FROM unnest($1::int[], $2::uuid[], $3::bytea[]) AS n (state_id, id, note_sealed)
         WHERE v.state_id = n.state_id AND v.id = n.id",
    )
    .bind::<Array<Integer>, _>(notes.iter().map(|((key, _), _)| key.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(notes.iter().map(|((key, _), _)| key.1).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(notes.iter().map(|(_, note)| note).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(|_| ())
}

async fn store_old(tx: &mut Tx, notes: &[(VersionKey, Vec<u8>)]) -> QueryResult<()> {
    if notes.is_empty() {
        return Ok(());
    }
    statement(
        "UPDATE visit_versions v SET content = v.content || jsonb_build_object('note_sealed', n.note_sealed)
         FROM unnest($1::int[], $2::uuid[], $3::int[], $4::bytea[]) AS n (state_id, visit_id, version, note_sealed)
         WHERE v.state_id = n.state_id AND v.visit_id = n.visit_id AND v.version = n.version",
    )
    .bind::<Array<Integer>, _>(notes.iter().map(|((key, _), _)| key.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(notes.iter().map(|((key, _), _)| key.1).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(notes.iter().map(|((_, version), _)| *version).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(notes.iter().map(|(_, note)| note).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(|_| ())
}
