use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::rules::{MOST, STEP, Status};
use super::wire::BulkVoidSent;
use crate::access::Permit;
use crate::access::actions::{VisitRead, VisitVoid};
use crate::features::visits::{VisitKey, few_booths};
use crate::journal::Actor;
use crate::platform::db::Tx;
use crate::platform::error::ApiError;
use crate::platform::ids::{BulkVoidId, CampaignId, DeviceId, UnitId, VisitId, WorkerId};
use crate::platform::statement::statement;

/// A row of `bulk_voids`.
#[derive(Clone, Debug, QueryableByName)]
pub struct BulkVoidRow {
    #[diesel(sql_type = Integer)]
    pub id: BulkVoidId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Nullable<Integer>)]
    pub worker_id: Option<WorkerId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub device_id: Option<DeviceId>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub received_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Date>)]
    pub first_day: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    pub last_day: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub campaign_id: Option<CampaignId>,
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Integer)]
    pub visits: i32,
    #[diesel(sql_type = Integer)]
    pub doors: i32,
    #[diesel(sql_type = Integer)]
    pub voided: i32,
    #[diesel(sql_type = Integer)]
    pub passed_over: i32,
    #[diesel(sql_type = Integer)]
    pub brought_back: i32,
    #[diesel(sql_type = Integer)]
    pub left_voided: i32,
    #[diesel(sql_type = Integer)]
    pub through_state: UnitId,
    #[diesel(sql_type = SqlUuid)]
    pub through_id: VisitId,
    #[diesel(sql_type = Integer)]
    pub ordered_by: WorkerId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    ordered_from: Option<DeviceId>,
    #[diesel(sql_type = Timestamptz)]
    pub ordered_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub ended_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub cancelled_by: Option<WorkerId>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub taken_back_by: Option<WorkerId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    taken_back_from: Option<DeviceId>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub taken_back_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub take_back_reason: Option<String>,
    #[diesel(sql_type = Integer)]
    pub version: i32,
}

impl BulkVoidRow {
    /// How it stands.
    ///
    /// # Errors
    /// If the database holds none of the words.
    pub fn status(&self) -> Result<Status, ApiError> {
        Status::find(&self.status).ok_or_else(|| ApiError::internal("a bulk void has no status"))
    }

    /// Who the next step is done for: who ordered what is under way.
    #[must_use]
    pub fn actor(&self, at: DateTime<Utc>) -> Actor {
        let back = self.status == Status::TakingBack.as_str();
        let (worker_id, device_id) = match self.taken_back_by.filter(|_| back) {
            Some(worker_id) => (worker_id, self.taken_back_from),
            None => (self.ordered_by, self.ordered_from),
        };
        Actor {
            worker_id: Some(worker_id),
            device_id,
            at,
        }
    }
}

/// What an order would do.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct PlanRow {
    #[diesel(sql_type = BigInt)]
    pub visits: i64,
    #[diesel(sql_type = BigInt)]
    pub doors: i64,
    #[diesel(sql_type = BigInt)]
    pub closed: i64,
}

// What is not asked for is null and folds away when the statement is planned, as in the list of visits. A visit is closed
// to its own author while its week is signed.
macro_rules! found {
    () => {
        "WITH f AS NOT MATERIALIZED (
             SELECT $1::int[] AS booths, $2::int AS under, $3::date AS today, $4::int AS worker_id, $5::uuid AS device_id,
                    $6::timestamptz AS received_at, $7::date AS first, $8::date AS last, $9::int AS campaign_id, $10::int AS own
         ), found AS MATERIALIZED (
             SELECT v.state_id, v.id, v.campaign_id, v.household_id,
                    v.outcome = 'met' AND v.review <> 'rejected' AND v.household_id IS NOT NULL AS contact,
                    v.worker_id = f.own AND EXISTS (
                        SELECT 1 FROM lineages l
                        JOIN sign_offs s ON s.mandal_id = ANY (l.unit_ids)
                            AND s.week_start = v.visited_on - (extract(isodow FROM v.visited_on)::integer - 1)
                        WHERE l.unit_id = v.booth_id AND l.valid_from <= v.visited_on
                          AND (l.valid_to IS NULL OR l.valid_to > v.visited_on) AND s.reopened_at IS NULL) AS closed
             FROM f, visits v
             WHERE v.voided_at IS NULL
               AND (v.booth_id = ANY (f.booths) OR (f.under IS NOT NULL AND EXISTS (
                       SELECT 1 FROM lineages l WHERE l.unit_id = v.booth_id AND f.under = ANY (l.unit_ids)
                         AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today))))
               AND (f.worker_id IS NULL OR v.worker_id = f.worker_id)
               AND (f.device_id IS NULL OR v.device_id = f.device_id)
               AND (f.received_at IS NULL OR v.received_at = f.received_at)
               AND (f.first IS NULL OR v.visited_on >= f.first)
               AND (f.last IS NULL OR v.visited_on <= f.last)
               AND (f.campaign_id IS NULL OR v.campaign_id = f.campaign_id)
             LIMIT $11)"
    };
}

// A door leaves when all of its contacts that count are found.
const PLAN: &str = concat!(
    found!(),
    " SELECT (SELECT count(*) FROM found WHERE NOT closed) AS visits,
             (SELECT count(*) FROM found WHERE closed) AS closed,
             (SELECT count(*) FROM (
                  SELECT state_id, campaign_id, household_id, count(*) AS contacts
                  FROM found WHERE contact AND NOT closed GROUP BY state_id, campaign_id, household_id) AS c
              JOIN doors d USING (state_id, campaign_id, household_id)
              WHERE d.contacts = c.contacts) AS doors"
);

const FILL: &str = concat!(
    found!(),
    " INSERT INTO bulk_void_items (bulk_void_id, state_id, visit_id)
      SELECT $12, state_id, id FROM found WHERE NOT closed"
);

macro_rules! bind_filter {
    ($text:expr, $permit:ident, $sent:ident, $today:ident, $booths:ident) => {
        statement($text)
            .planned_anew()
            .bind::<Nullable<Array<Integer>>, _>($booths.as_ref())
            .bind::<Nullable<Integer>, _>($booths.is_none().then_some($permit.unit_id()))
            .bind::<Date, _>($today)
            .bind::<Nullable<Integer>, _>($sent.worker_id)
            .bind::<Nullable<SqlUuid>, _>($sent.device_id)
            .bind::<Nullable<Timestamptz>, _>($sent.received_at)
            .bind::<Nullable<Date>, _>($sent.from)
            .bind::<Nullable<Date>, _>($sent.to)
            .bind::<Nullable<Integer>, _>($sent.campaign_id)
            .bind::<Nullable<Integer>, _>($permit.actor().worker_id)
            .bind::<BigInt, _>(MOST + 1)
    };
}

/// What an order would do: visits of booths that lie under the permit's unit today and count.
pub async fn plan(
    tx: &mut Tx,
    permit: &Permit<VisitVoid>,
    sent: &BulkVoidSent,
    today: NaiveDate,
) -> QueryResult<PlanRow> {
    let booths = few_booths(tx, &[permit.unit_id()], today).await?;
    bind_filter!(PLAN, permit, sent, today, booths)
        .get_result(tx)
        .await
}

/// Stores an order with its list.
pub async fn insert_order(
    tx: &mut Tx,
    permit: &Permit<VisitVoid>,
    sent: &BulkVoidSent,
    plan: PlanRow,
    (ordered_by, today): (WorkerId, NaiveDate),
) -> Result<BulkVoidRow, ApiError> {
    let actor = permit.actor();
    let count = |n: i64| i32::try_from(n).map_err(ApiError::internal);
    let row: BulkVoidRow = statement(
        "INSERT INTO bulk_voids (state_id, unit_id, worker_id, device_id, received_at, first_day, last_day, campaign_id,
                                 reason, visits, doors, due_at, ordered_by, ordered_from, ordered_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) RETURNING *",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Nullable<Integer>, _>(sent.worker_id)
    .bind::<Nullable<SqlUuid>, _>(sent.device_id)
    .bind::<Nullable<Timestamptz>, _>(sent.received_at)
    .bind::<Nullable<Date>, _>(sent.from)
    .bind::<Nullable<Date>, _>(sent.to)
    .bind::<Nullable<Integer>, _>(sent.campaign_id)
    .bind::<Text, _>(&sent.reason)
    .bind::<Integer, _>(count(plan.visits)?)
    .bind::<Integer, _>(count(plan.doors)?)
    .bind::<Timestamptz, _>(actor.at)
    .bind::<Integer, _>(ordered_by)
    .bind::<Nullable<SqlUuid>, _>(actor.device_id)
    .bind::<Timestamptz, _>(actor.at)
    .get_result(tx)
    .await?;
    let booths = few_booths(tx, &[permit.unit_id()], today).await?;
    let listed = bind_filter!(FILL, permit, sent, today, booths)
        .bind::<Integer, _>(row.id)
        .execute(tx)
        .await?;
    // Another snapshot than the plan's: an upload may have come between.
    statement("UPDATE bulk_voids SET visits = $1 WHERE id = $2 RETURNING *")
        .bind::<Integer, _>(i32::try_from(listed).map_err(ApiError::internal)?)
        .bind::<Integer, _>(row.id)
        .get_result(tx)
        .await
        .map_err(ApiError::from)
}

/// An order; whether the caller may see it, its unit decides.
pub async fn find_order(tx: &mut Tx, id: BulkVoidId) -> QueryResult<Option<BulkVoidRow>> {
    statement("SELECT * FROM bulk_voids WHERE id = $1")
        .bind::<Integer, _>(id)
        .get_result(tx)
        .await
        .optional()
}

/// An order of the permit's unit, held against its next step.
pub async fn lock_order(
    tx: &mut Tx,
    permit: &Permit<VisitVoid>,
    id: BulkVoidId,
) -> QueryResult<Option<BulkVoidRow>> {
    statement("SELECT * FROM bulk_voids WHERE id = $1 AND unit_id = $2 FOR NO KEY UPDATE")
        .bind::<Integer, _>(id)
        .bind::<Integer, _>(permit.unit_id())
        .get_result(tx)
        .await
        .optional()
}

/// Orders at units that lie under the permit's today, newest first; one more than `limit` shows that there is a next page.
pub async fn list_orders(
    tx: &mut Tx,
    permit: &Permit<VisitRead>,
    today: NaiveDate,
    before: Option<BulkVoidId>,
    limit: i64,
) -> QueryResult<Vec<BulkVoidRow>> {
    statement(
        "SELECT b.* FROM bulk_voids b WHERE b.id < coalesce($1, 2147483647) AND EXISTS (
             SELECT 1 FROM lineages l WHERE l.unit_id = b.unit_id AND $2 = ANY (l.unit_ids)
               AND l.valid_from <= $3 AND (l.valid_to IS NULL OR l.valid_to > $4))
         ORDER BY b.id DESC LIMIT $5",
    )
    .bind::<Nullable<Integer>, _>(before)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<BigInt, _>(limit.saturating_add(1))
    .load(tx)
    .await
}

/// Stops a locked order.
pub async fn cancel(
    tx: &mut Tx,
    permit: &Permit<VisitVoid>,
    id: BulkVoidId,
    by: WorkerId,
) -> QueryResult<BulkVoidRow> {
    statement(
        "UPDATE bulk_voids SET status = 'cancelled', ended_at = $1, cancelled_by = $2, version = version + 1
         WHERE id = $3 RETURNING *",
    )
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Integer, _>(by)
    .bind::<Integer, _>(id)
    .get_result(tx)
    .await
}

/// Has a locked order taken back, from the beginning of its list.
pub async fn take_back(
    tx: &mut Tx,
    permit: &Permit<VisitVoid>,
    id: BulkVoidId,
    by: WorkerId,
    reason: &str,
) -> QueryResult<BulkVoidRow> {
    let actor = permit.actor();
    statement(
        "UPDATE bulk_voids SET status = 'taking_back', taken_back_by = $1, taken_back_from = $2, take_back_reason = $3,
             taken_back_at = $4, due_at = $5, through_state = 0, through_id = '00000000-0000-0000-0000-000000000000',
             version = version + 1
         WHERE id = $6 RETURNING *",
    )
    .bind::<Integer, _>(by)
    .bind::<Nullable<SqlUuid>, _>(actor.device_id)
    .bind::<Text, _>(reason)
    .bind::<Timestamptz, _>(actor.at)
    .bind::<Timestamptz, _>(actor.at)
    .bind::<Integer, _>(id)
    .get_result(tx)
    .await
}

/// The orders that have waited longest for their next step, for the program's own work.
pub async fn due(tx: &mut Tx, now: DateTime<Utc>) -> QueryResult<Vec<BulkVoidRow>> {
    statement(
        "SELECT * FROM bulk_voids WHERE status IN ('running', 'taking_back') AND due_at <= $1
         ORDER BY due_at, id LIMIT 16",
    )
    .bind::<Timestamptz, _>(now)
    .load(tx)
    .await
}

/// Holds an order for a step; `None` if another process does, or it stands otherwise by now.
pub async fn claim(tx: &mut Tx, known: &BulkVoidRow) -> QueryResult<Option<BulkVoidRow>> {
    statement("SELECT * FROM bulk_voids WHERE id = $1 AND version = $2 FOR NO KEY UPDATE SKIP LOCKED")
        .bind::<Integer, _>(known.id)
        .bind::<Integer, _>(known.version)
        .get_result(tx)
        .await
        .optional()
}

/// A visit on a list.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct ItemRow {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    pub visit_id: VisitId,
    #[diesel(sql_type = Nullable<Integer>)]
    pub voided_version: Option<i32>,
}

/// The next visits of a claimed order's list.
pub async fn next_items(tx: &mut Tx, order: &BulkVoidRow) -> QueryResult<Vec<ItemRow>> {
    statement(
        "SELECT state_id, visit_id, voided_version FROM bulk_void_items
         WHERE bulk_void_id = $1 AND (state_id, visit_id) > ($2, $3) ORDER BY state_id, visit_id LIMIT $4",
    )
    .bind::<Integer, _>(order.id)
    .bind::<Integer, _>(order.through_state)
    .bind::<SqlUuid, _>(order.through_id)
    .bind::<BigInt, _>(STEP)
    .load(tx)
    .await
}

/// What a step came to.
#[derive(Debug)]
pub struct Came {
    /// The last visit that was dealt with; none: the list is at its end.
    pub through: Option<VisitKey>,
    /// The versions that were made.
    pub made: Vec<(VisitKey, i32)>,
    /// How many were left as they are.
    pub left: usize,
}

/// Notes what a step of a claimed order came to, and that it has ended if it has.
pub async fn note_step(
    tx: &mut Tx,
    order: &BulkVoidRow,
    status: Status,
    came: &Came,
    now: DateTime<Utc>,
) -> Result<(), ApiError> {
    let count = |n: usize| i32::try_from(n).map_err(ApiError::internal);
    let note = if status == Status::Running {
        "UPDATE bulk_void_items i SET voided_version = k.version
         FROM unnest($1::int[], $2::uuid[], $3::int[]) AS k (state_id, id, version)
         WHERE i.bulk_void_id = $4 AND i.state_id = k.state_id AND i.visit_id = k.id"
    } else {
        "UPDATE bulk_void_items i SET restored_version = k.version
         FROM unnest($1::int[], $2::uuid[], $3::int[]) AS k (state_id, id, version)
         WHERE i.bulk_void_id = $4 AND i.state_id = k.state_id AND i.visit_id = k.id"
    };
    statement(note)
        .bind::<Array<Integer>, _>(came.made.iter().map(|(key, _)| key.0).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(came.made.iter().map(|(key, _)| key.1).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(came.made.iter().map(|(_, version)| *version).collect::<Vec<_>>())
        .bind::<Integer, _>(order.id)
        .execute(tx)
        .await?;
    let (made, left) = (count(came.made.len())?, count(came.left)?);
    let back = status == Status::TakingBack;
    let through = came.through.unwrap_or((order.through_state, order.through_id));
    let next = if came.through.is_some() {
        status
    } else {
        status.at_the_end()
    };
    let ended_at = (next == Status::Done).then_some(now);
    statement(
        "UPDATE bulk_voids SET voided = voided + $1, passed_over = passed_over + $2, brought_back = brought_back + $3,
             left_voided = left_voided + $4, through_state = $5, through_id = $6, due_at = $7, status = $8,
             ended_at = coalesce($9, ended_at), version = version + 1
         WHERE id = $10",
    )
    .bind::<Integer, _>(if back { 0 } else { made })
    .bind::<Integer, _>(if back { 0 } else { left })
    .bind::<Integer, _>(if back { made } else { 0 })
    .bind::<Integer, _>(if back { left } else { 0 })
    .bind::<Integer, _>(through.0)
    .bind::<SqlUuid, _>(through.1)
    .bind::<Timestamptz, _>(now)
    .bind::<Text, _>(next.as_str())
    .bind::<Nullable<Timestamptz>, _>(ended_at)
    .bind::<Integer, _>(order.id)
    .execute(tx)
    .await?;
    Ok(())
}

/// Puts an order off whose step failed, so that it does not hold up the others.
pub async fn put_off(tx: &mut Tx, id: BulkVoidId, until: DateTime<Utc>) -> QueryResult<()> {
    statement("UPDATE bulk_voids SET due_at = $1 WHERE id = $2")
        .bind::<Timestamptz, _>(until)
        .bind::<Integer, _>(id)
        .execute(tx)
        .await
        .map(|_| ())
}
