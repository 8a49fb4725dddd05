//! What leaves the rows of visits when its time is over: a bounded step at a time, in the order of receipt. The row stays,
//! so that totals, doors and resends are as before; what was committed to stays provable as "erased".

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Date, Double, Float, Integer, Jsonb, Nullable, SmallInt, Timestamptz,
    Uuid as SqlUuid,
};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::super::rules::Fading;
use super::{SealedRow, VisitKey, VisitRow, bare_columns, open_all};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, UnitId};
use crate::platform::statement::statement;

/// Where the work on a campaign stands: visits received up to here are done.
pub type Through = (DateTime<Utc>, uuid::Uuid);

#[derive(QueryableByName)]
struct ThroughRow {
    #[diesel(sql_type = Timestamptz)]
    through_at: DateTime<Utc>,
    #[diesel(sql_type = SqlUuid)]
    through_id: uuid::Uuid,
}

/// Where a task stands in a campaign.
///
/// # Errors
/// What the database says.
pub async fn progress(tx: &mut Tx, task: Fading, campaign_id: CampaignId) -> QueryResult<Option<Through>> {
    let row: Option<ThroughRow> = statement(
        "SELECT through_at, through_id FROM retention_progress WHERE task = $1 AND campaign_id = $2",
    )
    .bind::<diesel::sql_types::Text, _>(task.as_str())
    .bind::<Integer, _>(campaign_id)
    .get_result(tx)
    .await
    .optional()?;
    Ok(row.map(|row| (row.through_at, row.through_id)))
}

/// Notes how far it has come.
///
/// # Errors
/// What the database says.
pub async fn note_progress(
    tx: &mut Tx,
    task: Fading,
    campaign_id: CampaignId,
    through: Through,
) -> QueryResult<()> {
    statement(
        "INSERT INTO retention_progress (task, campaign_id, through_at, through_id) VALUES ($1, $2, $3, $4)
         ON CONFLICT (task, campaign_id) DO UPDATE SET through_at = excluded.through_at, through_id = excluded.through_id",
    )
    .bind::<diesel::sql_types::Text, _>(task.as_str())
    .bind::<Integer, _>(campaign_id)
    .bind::<Timestamptz, _>(through.0)
    .bind::<SqlUuid, _>(through.1)
    .execute(tx)
    .await
    .map(|_| ())
}

/// The next visits of a campaign that were received by an instant, held for a change.
///
/// # Errors
/// What the database says.
pub async fn next_visits(
    tx: &mut Tx,
    keys: &DataKeys,
    campaign_id: CampaignId,
    after: Option<Through>,
    received_by: DateTime<Utc>,
    limit: i64,
) -> QueryResult<Vec<VisitRow>> {
    let rows = statement(concat!(
        "SELECT v.*, ",
        bare_columns!(),
        " FROM visits v
         WHERE v.campaign_id = $1 AND v.received_at <= $2
           AND (v.received_at, v.id) > (coalesce($3, '-infinity'::timestamptz),
                                        coalesce($4, '00000000-0000-0000-0000-000000000000'::uuid))
         ORDER BY v.campaign_id, v.received_at, v.id LIMIT $5 FOR NO KEY UPDATE"
    ))
    .bind::<Integer, _>(campaign_id)
    .bind::<Timestamptz, _>(received_by)
    .bind::<Nullable<Timestamptz>, _>(after.map(|after| after.0))
    .bind::<Nullable<SqlUuid>, _>(after.map(|after| after.1))
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await?;
    open_all(keys, rows)
}

/// Their earlier versions, held for a change.
///
/// # Errors
/// What the database says.
pub async fn old_versions(tx: &mut Tx, keys: &DataKeys, visits: &[VisitKey]) -> QueryResult<Vec<VisitRow>> {
    let rows: Vec<SealedRow> = statement(concat!(
        "SELECT (jsonb_populate_record(NULL::visits, o.content)).*, ",
        bare_columns!(),
        " FROM visit_versions o
         JOIN unnest($1::int[], $2::uuid[]) AS k (state_id, id) ON o.state_id = k.state_id AND o.visit_id = k.id
         FOR UPDATE OF o"
    ))
    .bind::<Array<Integer>, _>(visits.iter().map(|key| key.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(visits.iter().map(|key| key.1).collect::<Vec<_>>())
    .load(tx)
    .await?;
    open_all(keys, rows)
}

/// Writes what is left of visits and of their earlier versions. A note is left as it lies there or goes: it never changes.
///
/// # Errors
/// What the database says.
pub async fn store_faded(tx: &mut Tx, visits: &[VisitRow], versions: &[VisitRow]) -> QueryResult<()> {
    macro_rules! column {
        ($rows:ident, $field:ident) => {
            $rows.iter().map(|row| &row.$field).collect::<Vec<_>>()
        };
    }
    macro_rules! bind {
        ($text:literal, $rows:ident) => {
            statement($text)
                .bind::<Array<Integer>, _>(column!($rows, state_id))
                .bind::<Array<SqlUuid>, _>(column!($rows, id))
                .bind::<Array<Integer>, _>(column!($rows, version))
                .bind::<Array<Nullable<SmallInt>>, _>(column!($rows, support))
                .bind::<Array<Jsonb>, _>(column!($rows, issues))
                .bind::<Array<Jsonb>, _>(column!($rows, answers))
                .bind::<Array<Nullable<Double>>, _>(column!($rows, lat))
                .bind::<Array<Nullable<Double>>, _>(column!($rows, lon))
                .bind::<Array<Nullable<Float>>, _>(column!($rows, accuracy_m))
                .bind::<Array<Nullable<Bool>>, _>(column!($rows, mock))
                .bind::<Array<Nullable<Binary>>, _>(column!($rows, salts))
                .bind::<Array<Bool>, _>(
                    $rows
                        .iter()
                        .map(|row| row.note.is_some())
                        .collect::<Vec<_>>(),
                )
                .execute(tx)
                .await?;
        };
    }
    if !visits.is_empty() {
        bind!(
            "UPDATE visits v SET support = n.support, issues = n.issues, answers = n.answers, lat = n.lat, lon = n.lon,
                 accuracy_m = n.accuracy_m, mock = n.mock, salts = n.salts,
                 note_sealed = CASE WHEN n.has_note THEN v.note_sealed END
             FROM unnest($1::int[], $2::uuid[], $3::int[], $4::smallint[], $5::jsonb[], $6::jsonb[], $7::float8[],
                         $8::float8[], $9::real[], $10::bool[], $11::bytea[], $12::bool[])
                  AS n (state_id, id, version, support, issues, answers, lat, lon, accuracy_m, mock, salts, has_note)
             WHERE v.state_id = n.state_id AND v.id = n.id AND v.version = n.version",
            visits
        );
    }
    if !versions.is_empty() {
        bind!(
            "UPDATE visit_versions o SET content = o.content || jsonb_build_object('support', n.support,
                 'issues', n.issues, 'answers', n.answers, 'lat', n.lat, 'lon', n.lon, 'accuracy_m', n.accuracy_m,
                 'mock', n.mock, 'salts', n.salts,
                 'note_sealed', CASE WHEN n.has_note THEN o.content -> 'note_sealed' END)
             FROM unnest($1::int[], $2::uuid[], $3::int[], $4::smallint[], $5::jsonb[], $6::jsonb[], $7::float8[],
                         $8::float8[], $9::real[], $10::bool[], $11::bytea[], $12::bool[])
                  AS n (state_id, id, version, support, issues, answers, lat, lon, accuracy_m, mock, salts, has_note)
             WHERE o.state_id = n.state_id AND o.visit_id = n.id AND o.version = n.version",
            versions
        );
    }
    Ok(())
}

/// Support of visits of a booth and day that leaves their rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Support {
    pub state_id: UnitId,
    pub booth_id: UnitId,
    pub campaign_id: CampaignId,
    pub day: NaiveDate,
    pub support: i16,
}

/// Keeps in the ledger how much there was of it.
///
/// # Errors
/// What the database says.
pub async fn keep_support(tx: &mut Tx, sums: &[(Support, i32)]) -> QueryResult<()> {
    if sums.is_empty() {
        return Ok(());
    }
    statement(
        "INSERT INTO support_ledger (state_id, booth_id, campaign_id, day, support, visits)
         SELECT * FROM unnest($1::int[], $2::int[], $3::int[], $4::date[], $5::smallint[], $6::int[])
         ON CONFLICT (state_id, booth_id, campaign_id, day, support)
         DO UPDATE SET visits = support_ledger.visits + excluded.visits",
    )
    .bind::<Array<Integer>, _>(sums.iter().map(|(key, _)| key.state_id).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(sums.iter().map(|(key, _)| key.booth_id).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(sums.iter().map(|(key, _)| key.campaign_id).collect::<Vec<_>>())
    .bind::<Array<Date>, _>(sums.iter().map(|(key, _)| key.day).collect::<Vec<_>>())
    .bind::<Array<SmallInt>, _>(sums.iter().map(|(key, _)| key.support).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(sums.iter().map(|(_, visits)| *visits).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(|_| ())
}
