//! Changes to many visits at once, for verdicts and for undoing in bulk.

use diesel::QueryResult;
use diesel::sql_types::{Array, Binary, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::{SealedRow, Visible, VisitKey, VisitRow, open_all, visit_columns};
use crate::access::Permit;
use crate::access::actions::VisitVoid;
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::ids::VisitId;
use crate::platform::statement::statement;

/// Those of these visits that are to be seen, each once; as `find_visible` does for one.
pub async fn find_many_visible(
    tx: &mut Tx,
    keys: &DataKeys,
    ids: &[VisitId],
    visible: &Visible,
) -> QueryResult<Vec<VisitRow>> {
    let rows: Vec<SealedRow> = statement(concat!(
        "SELECT DISTINCT ON (v.id) ",
        visit_columns!(),
        " FROM unnest($1::uuid[]) AS k (id) CROSS JOIN units s JOIN visits v ON v.state_id = s.id AND v.id = k.id
         WHERE s.level = 'state' AND (v.worker_id = $2 OR EXISTS (
             SELECT 1 FROM lineages l WHERE l.unit_id = v.booth_id AND l.unit_ids && $3::int[]
               AND l.valid_from <= $4 AND (l.valid_to IS NULL OR l.valid_to > $5)))
         ORDER BY v.id, v.worker_id = $6 DESC, v.state_id"
    ))
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Nullable<Integer>, _>(visible.own)
    .bind::<Array<Integer>, _>(&visible.roots)
    .bind::<Date, _>(visible.today)
    .bind::<Date, _>(visible.today)
    .bind::<Nullable<Integer>, _>(visible.own)
    .load(tx)
    .await?;
    open_all(keys, rows)
}

/// Locks visits in the order of their keys, and reads them.
pub async fn lock_visits(tx: &mut Tx, keys: &DataKeys, names: &[VisitKey]) -> QueryResult<Vec<VisitRow>> {
    let rows: Vec<SealedRow> = statement(concat!(
        "SELECT ",
        visit_columns!(),
        " FROM unnest($1::int[], $2::uuid[]) AS k (state_id, id)
         JOIN visits v ON v.state_id = k.state_id AND v.id = k.id
         ORDER BY v.state_id, v.id FOR UPDATE OF v"
    ))
    .bind::<Array<Integer>, _>(names.iter().map(|key| key.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(names.iter().map(|key| key.1).collect::<Vec<_>>())
    .load(tx)
    .await?;
    open_all(keys, rows)
}

/// Writes the verdicts on locked visits. They make no version: the content stays as it was judged.
pub async fn set_reviews(tx: &mut Tx, rows: &[&VisitRow]) -> QueryResult<()> {
    statement(
        "UPDATE visits v SET review = k.review FROM unnest($1::int[], $2::uuid[], $3::text[]) AS k (state_id, id, review)
         WHERE v.state_id = k.state_id AND v.id = k.id",
    )
    .bind::<Array<Integer>, _>(rows.iter().map(|row| row.state_id).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(rows.iter().map(|row| row.id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(rows.iter().map(|row| &row.review).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(|_| ())
}

/// Writes new versions of locked visits that were voided or brought back over the old ones, which are kept. The permit is
/// for a unit above their booths. Content stays as it lies there, a sealed note among it.
pub async fn set_voided(tx: &mut Tx, _permit: &Permit<VisitVoid>, rows: &[VisitRow]) -> QueryResult<()> {
    macro_rules! column {
        ($field:ident) => {
            rows.iter().map(|row| &row.$field).collect::<Vec<_>>()
        };
    }
    statement(
        "INSERT INTO visit_versions (state_id, visit_id, version, content, changed_by, changed_at)
         SELECT v.state_id, v.id, v.version, to_jsonb(v), v.changed_by, v.changed_at
         FROM unnest($1::int[], $2::uuid[]) AS k (state_id, id)
         JOIN visits v ON v.state_id = k.state_id AND v.id = k.id",
    )
    .bind::<Array<Integer>, _>(column!(state_id))
    .bind::<Array<SqlUuid>, _>(column!(id))
    .execute(tx)
    .await?;
    statement(
        "UPDATE visits v SET version = k.version, changed_by = k.changed_by, changed_at = k.changed_at,
             voided_at = k.voided_at, void_reason = k.void_reason, salts = k.salts
         FROM unnest($1::int[], $2::uuid[], $3::int[], $4::int[], $5::timestamptz[], $6::timestamptz[], $7::text[],
                     $8::bytea[]) AS k (state_id, id, version, changed_by, changed_at, voided_at, void_reason, salts)
         WHERE v.state_id = k.state_id AND v.id = k.id",
    )
    .bind::<Array<Integer>, _>(column!(state_id))
    .bind::<Array<SqlUuid>, _>(column!(id))
    .bind::<Array<Integer>, _>(column!(version))
    .bind::<Array<Integer>, _>(column!(changed_by))
    .bind::<Array<Timestamptz>, _>(column!(changed_at))
    .bind::<Array<Nullable<Timestamptz>>, _>(column!(voided_at))
    .bind::<Array<Nullable<Text>>, _>(column!(void_reason))
    .bind::<Array<Nullable<Binary>>, _>(column!(salts))
    .execute(tx)
    .await
    .map(|_| ())
}
