//! Who asked to be erased: listed for keeping beside a backup, done again after a restore.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::QueryResult;
use diesel::sql_types::{Array, Date, Integer, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::features::contacts::TouchedRow;
use crate::platform::db::Tx;
use crate::platform::ids::WorkerId;
use crate::platform::statement::statement;

/// A worker who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, diesel::QueryableByName)]
pub struct WorkerErasure {
    #[diesel(sql_type = Integer)]
    pub id: i32,
    #[diesel(sql_type = Timestamptz)]
    pub requested_at: DateTime<Utc>,
}

/// A contact whose person asked for it, or took the consent back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, diesel::QueryableByName)]
pub struct ContactErasure {
    #[diesel(sql_type = Integer)]
    pub state_id: i32,
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub why: String,
    #[diesel(sql_type = Timestamptz)]
    pub ended_at: DateTime<Utc>,
    #[diesel(sql_type = Date)]
    pub destroy_on: NaiveDate,
}

#[derive(diesel::QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: WorkerId,
}

/// Workers who have asked.
pub async fn erased_workers(tx: &mut Tx) -> QueryResult<Vec<WorkerErasure>> {
    statement(
        "SELECT id, erasure_requested_at AS requested_at FROM workers
         WHERE erasure_requested_at IS NOT NULL ORDER BY id",
    )
    .load(tx)
    .await
}

/// Contacts whose people have.
pub async fn erased_contacts(tx: &mut Tx) -> QueryResult<Vec<ContactErasure>> {
    statement(
        "SELECT state_id, id, ended_why AS why, ended_at, destroy_on FROM contacts
         WHERE ended_why IN ('withdrawn', 'erasure_requested') AND destroy_on IS NOT NULL ORDER BY state_id, id",
    )
    .load(tx)
    .await
}

/// Shuts the workers out again who are not; returns which.
pub async fn shut_out_again(
    tx: &mut Tx,
    list: &[WorkerErasure],
    now: DateTime<Utc>,
) -> QueryResult<Vec<i32>> {
    let ids: Vec<i32> = list.iter().map(|worker| worker.id).collect();
    let times: Vec<DateTime<Utc>> = list.iter().map(|worker| worker.requested_at).collect();
    let rows: Vec<IdRow> = statement(
        "UPDATE workers w SET active = false, erasure_requested_at = e.requested_at, version = w.version + 1, updated_at = $1
         FROM unnest($2, $3) AS e (id, requested_at)
         WHERE w.id = e.id AND w.erasure_requested_at IS NULL AND w.created_at <= e.requested_at
         RETURNING w.id",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Array<Integer>, _>(ids)
    .bind::<Array<Timestamptz>, _>(times)
    .load(tx)
    .await?;
    let done: Vec<i32> = rows.into_iter().map(|row| row.id.0).collect();
    statement(
        "UPDATE sessions SET revoked_at = $1, revoked_why = 'erasure' WHERE worker_id = ANY ($2) AND revoked_at IS NULL",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Array<Integer>, _>(&done)
    .execute(tx)
    .await?;
    Ok(done)
}

/// Ends the contacts again that are not; returns which.
pub async fn end_again(
    tx: &mut Tx,
    list: &[ContactErasure],
    now: DateTime<Utc>,
) -> QueryResult<Vec<TouchedRow>> {
    let states: Vec<i32> = list.iter().map(|contact| contact.state_id).collect();
    let ids: Vec<Uuid> = list.iter().map(|contact| contact.id).collect();
    let whys: Vec<&str> = list.iter().map(|contact| contact.why.as_str()).collect();
    let times: Vec<DateTime<Utc>> = list.iter().map(|contact| contact.ended_at).collect();
    let days: Vec<NaiveDate> = list.iter().map(|contact| contact.destroy_on).collect();
    statement(
        "UPDATE contacts c SET ended_at = coalesce(c.ended_at, e.ended_at), ended_why = e.why, destroy_on = e.destroy_on,
             version = c.version + 1, updated_at = $1
         FROM unnest($2, $3, $4, $5, $6) AS e (state_id, id, why, ended_at, destroy_on)
         WHERE c.state_id = e.state_id AND c.id = e.id AND c.ended_why IS DISTINCT FROM e.why
         RETURNING c.state_id, c.id, c.booth_id",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Array<Integer>, _>(states)
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<Text>, _>(whys)
    .bind::<Array<Timestamptz>, _>(times)
    .bind::<Array<Date>, _>(days)
    .load(tx)
    .await
}
