use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::wire::RefusalFilter;
use crate::access::Scope;
use crate::access::actions::JournalRead;
use crate::access::refusals::{RefusedCount, RefusedKey};
use crate::platform::db::Tx;
use crate::platform::ids::{DeviceId, UnitId, WorkerId};
use crate::platform::statement::statement;

/// Where a list goes on: behind this hour and number.
pub type RefusalCursor = (DateTime<Utc>, i64);

/// A count with the unit that answers for who was refused.
#[derive(Debug, QueryableByName)]
pub struct RefusalRow {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Timestamptz)]
    pub hour: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub worker_id: Option<WorkerId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub client_id: Option<DeviceId>,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Text)]
    pub operation: String,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = BigInt)]
    pub count: i64,
    #[diesel(sql_type = Array<Integer>)]
    pub unit_ids: Vec<UnitId>,
    #[diesel(sql_type = Timestamptz)]
    pub first_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub last_at: DateTime<Utc>,
}

/// Adds counts to those of their hour.
pub async fn add(tx: &mut Tx, counts: &[(RefusedKey, RefusedCount)]) -> QueryResult<()> {
    let units = |count: &RefusedCount| {
        let ids: Vec<String> = count.unit_ids.iter().map(ToString::to_string).collect();
        format!("{{{}}}", ids.join(","))
    };
    statement(
        "INSERT INTO refusals AS r (hour, worker_id, client_id, operation, code, count, unit_ids, first_at, last_at)
         SELECT hour, worker_id, client_id, operation, code, count, unit_ids::int[], first_at, last_at
         FROM unnest($1::timestamptz[], $2::int[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[],
                     $8::timestamptz[], $9::timestamptz[])
              AS n (hour, worker_id, client_id, operation, code, count, unit_ids, first_at, last_at)
         ORDER BY hour, worker_id, client_id, operation, code
         ON CONFLICT (hour, (coalesce(worker_id, 0)), (coalesce(client_id, '00000000-0000-0000-0000-000000000000')),
                      operation, code)
         DO UPDATE SET count = r.count + excluded.count, first_at = least(r.first_at, excluded.first_at),
             last_at = greatest(r.last_at, excluded.last_at),
             unit_ids = (r.unit_ids || ARRAY(SELECT u FROM unnest(excluded.unit_ids) AS u WHERE u <> ALL (r.unit_ids)))[1:10]",
    )
    .bind::<Array<Timestamptz>, _>(counts.iter().map(|(key, _)| key.hour).collect::<Vec<_>>())
    .bind::<Array<Nullable<Integer>>, _>(counts.iter().map(|(key, _)| key.worker_id).collect::<Vec<_>>())
    .bind::<Array<Nullable<SqlUuid>>, _>(counts.iter().map(|(key, _)| key.client_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(counts.iter().map(|(key, _)| &key.operation).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(counts.iter().map(|(key, _)| key.code).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(counts.iter().map(|(_, count)| count.count).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(counts.iter().map(|(_, count)| units(count)).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(counts.iter().map(|(_, count)| count.first_at).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(counts.iter().map(|(_, count)| count.last_at).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(|_| ())
}

/// Lets go of counts of hours before this.
pub async fn let_go(tx: &mut Tx, before: DateTime<Utc>, most: i64) -> QueryResult<()> {
    statement(
        "DELETE FROM refusals WHERE id IN (SELECT id FROM refusals WHERE hour < $1 ORDER BY hour LIMIT $2)",
    )
    .bind::<Timestamptz, _>(before)
    .bind::<BigInt, _>(most)
    .execute(tx)
    .await
    .map(|_| ())
}

/// What was refused to workers at home under the scope, and to services for which units there answer; newest hour first.
/// One more than `limit` shows that there is a next page.
pub async fn list_refusals(
    tx: &mut Tx,
    scope: &Scope<JournalRead>,
    filter: &RefusalFilter,
    today: NaiveDate,
    after: Option<RefusalCursor>,
    limit: i64,
) -> QueryResult<Vec<RefusalRow>> {
    statement(
        "WITH f AS NOT MATERIALIZED (SELECT $1::int[] AS roots, $2::date AS today, $3::int AS worker_id,
             $4::timestamptz AS since, $5::timestamptz AS until, $6::timestamptz AS hour, $7::bigint AS id)
         SELECT r.id, r.hour, r.worker_id, r.client_id, home.unit_id, r.operation, r.code, r.count, r.unit_ids,
                r.first_at, r.last_at
         FROM f, refusals r
         CROSS JOIN LATERAL (
             SELECT w.unit_id FROM workers w WHERE w.id = r.worker_id
             UNION ALL SELECT s.unit_id FROM services s WHERE s.client_id = r.client_id) AS home
         WHERE EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = home.unit_id AND l.unit_ids && f.roots
                         AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today))
           AND (f.worker_id IS NULL OR r.worker_id = f.worker_id)
           AND (f.since IS NULL OR r.hour >= f.since) AND (f.until IS NULL OR r.hour < f.until)
           AND (f.hour IS NULL OR (r.hour, r.id) < (f.hour, f.id))
         ORDER BY r.hour DESC, r.id DESC LIMIT $8",
    )
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Date, _>(today)
    .bind::<Nullable<Integer>, _>(filter.worker_id)
    .bind::<Nullable<Timestamptz>, _>(filter.from)
    .bind::<Nullable<Timestamptz>, _>(filter.to)
    .bind::<Nullable<Timestamptz>, _>(after.map(|after| after.0))
    .bind::<Nullable<BigInt>, _>(after.map(|after| after.1))
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}
