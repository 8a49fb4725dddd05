//! Every statement about verdicts and the queue.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{
    Array, BigInt, Binary, Date, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::wire::QueueFilter;
use crate::access::Permit;
use crate::access::actions::VisitRead;
use crate::features::visits::{SealedRow, VisitKey, VisitRow, few_booths, open_note, visit_columns};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::ids::{DeviceId, UnitId, VisitId, WorkerId};
use crate::platform::statement::statement;

/// A row of `reviews`.
#[derive(Clone, Debug, QueryableByName)]
pub struct ReviewRow {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    pub visit_id: VisitId,
    /// 0 until it is stored.
    #[diesel(sql_type = Integer)]
    pub number: i32,
    #[diesel(sql_type = Integer)]
    pub visit_version: i32,
    #[diesel(sql_type = Text)]
    pub verdict: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    #[diesel(sql_type = Integer)]
    pub reviewer_id: WorkerId,
    #[diesel(sql_type = Timestamptz)]
    pub reviewed_at: DateTime<Utc>,
    #[diesel(sql_type = Binary)]
    pub salts: Vec<u8>,
}

/// Appends verdicts on visits that are locked, and returns them with their numbers, in the order of their keys.
pub async fn insert_reviews(tx: &mut Tx, rows: &[ReviewRow]) -> QueryResult<Vec<ReviewRow>> {
    let mut stored: Vec<ReviewRow> = statement(
        "INSERT INTO reviews (state_id, visit_id, number, visit_version, verdict, reason, reviewer_id, reviewed_at, salts)
         SELECT k.state_id, k.visit_id,
                (SELECT count(*) + 1 FROM reviews r WHERE r.state_id = k.state_id AND r.visit_id = k.visit_id),
                k.visit_version, k.verdict, k.reason, k.reviewer_id, k.reviewed_at, k.salts
         FROM unnest($1::int[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::int[], $7::timestamptz[], $8::bytea[])
              AS k (state_id, visit_id, visit_version, verdict, reason, reviewer_id, reviewed_at, salts)
         RETURNING *",
    )
    .bind::<Array<Integer>, _>(rows.iter().map(|row| row.state_id).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(rows.iter().map(|row| row.visit_id).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(rows.iter().map(|row| row.visit_version).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(rows.iter().map(|row| &row.verdict).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(rows.iter().map(|row| row.reason.as_ref()).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(rows.iter().map(|row| row.reviewer_id).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(rows.iter().map(|row| row.reviewed_at).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(rows.iter().map(|row| &row.salts).collect::<Vec<_>>())
    .load(tx)
    .await?;
    stored.sort_by_key(|row| (row.state_id, row.visit_id));
    Ok(stored)
}

/// The latest verdict on each of these visits, if there is one.
pub async fn latest_reviews(tx: &mut Tx, keys: &[VisitKey]) -> QueryResult<Vec<ReviewRow>> {
    statement(
        "SELECT r.* FROM unnest($1::int[], $2::uuid[]) AS k (state_id, visit_id)
         CROSS JOIN LATERAL (
             SELECT * FROM reviews r WHERE r.state_id = k.state_id AND r.visit_id = k.visit_id
             ORDER BY r.number DESC LIMIT 1) AS r",
    )
    .bind::<Array<Integer>, _>(keys.iter().map(|key| key.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.1).collect::<Vec<_>>())
    .load(tx)
    .await
}

/// Every verdict on a visit that the caller may see, oldest first.
pub async fn list_reviews(tx: &mut Tx, visit: &VisitRow) -> QueryResult<Vec<ReviewRow>> {
    statement("SELECT * FROM reviews WHERE state_id = $1 AND visit_id = $2 ORDER BY number")
        .bind::<Integer, _>(visit.state_id)
        .bind::<SqlUuid, _>(visit.id)
        .load(tx)
        .await
}

#[derive(QueryableByName)]
struct DeviceRow {
    #[diesel(sql_type = SqlUuid)]
    id: DeviceId,
}

/// The phones on which a worker signs in.
pub async fn devices_of(tx: &mut Tx, worker_id: WorkerId) -> QueryResult<Vec<DeviceId>> {
    let rows: Vec<DeviceRow> = statement("SELECT id FROM devices WHERE worker_id = $1")
        .bind::<Integer, _>(worker_id)
        .load(tx)
        .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// A visit that waits for a verdict.
#[derive(Debug)]
pub struct QueueRow {
    pub visit: VisitRow,
    pub doubt: i32,
}

#[derive(QueryableByName)]
struct SealedQueueRow {
    #[diesel(embed)]
    visit: SealedRow,
    #[diesel(sql_type = Integer)]
    doubt: i32,
}

/// Where the queue goes on from: the doubt, below zero so that everything ascends, the day and the id.
pub type QueueCursor = (i32, NaiveDate, VisitId);

// OFFSET 0 as in the list of visits.
macro_rules! waiting {
    () => {
        "v.review = 'unreviewed' AND v.voided_at IS NULL
           AND (v.booth_id = ANY (f.booths) OR (f.under IS NOT NULL AND EXISTS (
                   SELECT 1 FROM lineages l WHERE l.unit_id = v.booth_id AND f.under = ANY (l.unit_ids)
                     AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today) OFFSET 0)))
           AND v.worker_id <> f.own AND (v.device_id IS NULL OR v.device_id <> ALL (f.devices))
           AND (f.campaign_id IS NULL OR v.campaign_id = f.campaign_id)
           AND (f.worker_id IS NULL OR v.worker_id = f.worker_id)
           AND (f.outcome IS NULL OR v.outcome = f.outcome)
           AND (f.first IS NULL OR v.visited_on >= f.first)
           AND (f.last IS NULL OR v.visited_on <= f.last)"
    };
}

macro_rules! filter {
    () => {
        "WITH f AS NOT MATERIALIZED (
             SELECT $1::int[] AS booths, $2::int AS under, $3::date AS today, $4::int AS own, $5::uuid[] AS devices,
                    $6::int AS campaign_id, $7::int AS worker_id, $8::text AS outcome, $9::date AS first, $10::date AS last)"
    };
}

const FLAGGED: &str = concat!(
    filter!(),
    " SELECT ",
    visit_columns!(),
    ", visit_doubt(v.flags) AS doubt FROM f, visits v
     WHERE v.flags <> '[]' AND ",
    waiting!(),
    " AND ($11::jsonb IS NULL OR v.flags @> $12::jsonb)
       AND ($13::int IS NULL OR (-visit_doubt(v.flags), v.visited_on, v.id) > ($14::int, $15::date, $16::uuid))
     ORDER BY -visit_doubt(v.flags), v.visited_on, v.id LIMIT $17"
);

const PLAIN: &str = concat!(
    filter!(),
    " SELECT ",
    visit_columns!(),
    ", 0 AS doubt FROM f, visits v
     WHERE v.flags = '[]' AND ",
    waiting!(),
    " AND ($11::date IS NULL OR (v.visited_on, v.id) > ($12::date, $13::uuid))
     ORDER BY v.visited_on, v.id LIMIT $14"
);

/// What waits under a unit today, without what the caller may not judge; most doubtful first, then oldest. Flagged visits
/// come from an index of their own; the others are read only when those are through.
#[expect(
    clippy::too_many_arguments,
    reason = "each is another thing: whose, where, when, which, from where, how many"
)]
pub async fn list_queue(
    tx: &mut Tx,
    keys: &DataKeys,
    permit: &Permit<VisitRead>,
    today: NaiveDate,
    own: WorkerId,
    filter: &QueueFilter,
    after: Option<QueueCursor>,
    limit: i64,
) -> QueryResult<Vec<QueueRow>> {
    let booths = few_booths(tx, &[permit.unit_id()], today).await?;
    let under = booths.is_none().then_some(permit.unit_id());
    let devices = devices_of(tx, own).await?;
    let flag = filter
        .flag
        .as_ref()
        .map(|code| serde_json::json!([{ "code": code }]));
    macro_rules! filtered {
        ($text:expr) => {
            statement($text)
                .planned_anew()
                .bind::<Nullable<Array<Integer>>, _>(booths.as_ref())
                .bind::<Nullable<Integer>, _>(under)
                .bind::<Date, _>(today)
                .bind::<Integer, _>(own)
                .bind::<Array<SqlUuid>, _>(&devices)
                .bind::<Nullable<Integer>, _>(filter.campaign_id)
                .bind::<Nullable<Integer>, _>(filter.worker_id)
                .bind::<Nullable<Text>, _>(filter.outcome.map(|outcome| outcome.as_str()))
                .bind::<Nullable<Date>, _>(filter.from)
                .bind::<Nullable<Date>, _>(filter.to)
        };
    }
    let mut rows: Vec<SealedQueueRow> = Vec::new();
    if after.is_none_or(|(doubt, ..)| doubt < 0) {
        rows = filtered!(FLAGGED)
            .bind::<Nullable<Jsonb>, _>(flag.as_ref())
            .bind::<Nullable<Jsonb>, _>(flag.as_ref())
            .bind::<Nullable<Integer>, _>(after.map(|after| after.0))
            .bind::<Nullable<Integer>, _>(after.map(|after| after.0))
            .bind::<Nullable<Date>, _>(after.map(|after| after.1))
            .bind::<Nullable<SqlUuid>, _>(after.map(|after| after.2))
            .bind::<BigInt, _>(limit)
            .load(tx)
            .await?;
    }
    let left = limit.saturating_sub(i64::try_from(rows.len()).unwrap_or(limit));
    if left > 0 && flag.is_none() {
        let after = after.filter(|(doubt, ..)| *doubt == 0);
        let plain: Vec<SealedQueueRow> = filtered!(PLAIN)
            .bind::<Nullable<Date>, _>(after.map(|after| after.1))
            .bind::<Nullable<Date>, _>(after.map(|after| after.1))
            .bind::<Nullable<SqlUuid>, _>(after.map(|after| after.2))
            .bind::<BigInt, _>(left)
            .load(tx)
            .await?;
        rows.extend(plain);
    }
    let opened = rows.into_iter().map(|row| {
        Ok(QueueRow {
            visit: open_note(keys, row.visit)?,
            doubt: row.doubt,
        })
    });
    opened.collect()
}

/// Every verdict on these visits, for the program's own verification.
///
/// # Errors
/// What the database says.
pub async fn reviews_of(tx: &mut Tx, state_id: UnitId, visits: &[Uuid]) -> QueryResult<Vec<ReviewRow>> {
    statement("SELECT * FROM reviews WHERE state_id = $1 AND visit_id = ANY ($2)")
        .bind::<Integer, _>(state_id)
        .bind::<Array<SqlUuid>, _>(visits)
        .load(tx)
        .await
}

/// A verdict by its name.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct VerdictName {
    #[diesel(sql_type = SqlUuid)]
    pub visit_id: Uuid,
    #[diesel(sql_type = Integer)]
    pub number: i32,
}

/// The verdicts given in a state, by name, after one.
///
/// # Errors
/// What the database says.
pub async fn list_verdicts(
    tx: &mut Tx,
    state_id: UnitId,
    after: Option<(Uuid, i32)>,
    limit: i64,
) -> QueryResult<Vec<VerdictName>> {
    let (id, number) = after.unwrap_or((Uuid::nil(), 0));
    statement(
        "SELECT visit_id, number FROM reviews WHERE state_id = $1 AND (visit_id, number) > ($2, $3)
         ORDER BY visit_id, number LIMIT $4",
    )
    .bind::<Integer, _>(state_id)
    .bind::<SqlUuid, _>(id)
    .bind::<Integer, _>(number)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// What a visit shows, and the last verdict on it.
#[derive(Clone, Debug, QueryableByName)]
pub struct PresentRow {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub review: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub verdict: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub visit_version: Option<i32>,
}

/// The visits of a state that were judged, or look as if they had been, after one.
///
/// # Errors
/// What the database says.
pub async fn present_verdicts(
    tx: &mut Tx,
    state_id: UnitId,
    after: Option<Uuid>,
    limit: i64,
) -> QueryResult<Vec<PresentRow>> {
    statement(
        "SELECT v.id, v.review, r.verdict, r.visit_version
         FROM visits v LEFT JOIN (
             SELECT DISTINCT ON (visit_id) visit_id, verdict, visit_version FROM reviews WHERE state_id = $1
             ORDER BY visit_id, number DESC) AS r ON r.visit_id = v.id
         WHERE v.state_id = $2 AND v.id > $3 AND (v.review <> 'unreviewed' OR r.visit_id IS NOT NULL)
         ORDER BY v.id LIMIT $4",
    )
    .bind::<Integer, _>(state_id)
    .bind::<Integer, _>(state_id)
    .bind::<SqlUuid, _>(after.unwrap_or(Uuid::nil()))
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}
