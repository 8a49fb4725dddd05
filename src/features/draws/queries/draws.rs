use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{
    Array, BigInt, Binary, Date, Double, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use crate::access::actions::{DrawRead, DrawWrite};
use crate::access::{Permit, Scope};
use crate::features::draws::rules::plan::{Basis, Plan, Risks};
use crate::features::draws::rules::select::{By, Member};
use crate::features::draws::wire::{DrawFilter, NewDraw, Strata, Unconfirmed};
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, HouseholdId, UnitId, VisitId, WorkerId};
use crate::platform::statement::statement;

/// A row of `draws`.
#[derive(Clone, Debug, QueryableByName)]
pub struct DrawRow {
    #[diesel(sql_type = Integer)]
    pub id: i32,
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub campaign_id: CampaignId,
    #[diesel(sql_type = Date)]
    pub from_on: NaiveDate,
    #[diesel(sql_type = Date)]
    pub to_on: NaiveDate,
    #[diesel(sql_type = Array<Text>)]
    pub outcomes: Vec<String>,
    #[diesel(sql_type = Text)]
    pub strata: String,
    #[diesel(sql_type = Nullable<Double>)]
    pub acceptable: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub unacceptable: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub producer_risk: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub consumer_risk: Option<f64>,
    #[diesel(sql_type = Integer)]
    pub planned_size: i32,
    #[diesel(sql_type = Integer)]
    pub planned_decision: i32,
    #[diesel(sql_type = Integer)]
    pub size: i32,
    #[diesel(sql_type = Integer)]
    pub decision_number: i32,
    #[diesel(sql_type = Text)]
    pub unconfirmed: String,
    #[diesel(sql_type = Jsonb)]
    pub compare: Value,
    #[diesel(sql_type = Integer)]
    pub frame_size: i32,
    #[diesel(sql_type = Binary)]
    pub frame_digest: Vec<u8>,
    #[diesel(sql_type = Integer)]
    pub requested_by: WorkerId,
    #[diesel(sql_type = Timestamptz)]
    pub requested_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub entry_number: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub head_size: Option<i64>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub seed: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub drawn_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub closed_by: Option<WorkerId>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub closed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub close_reason: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub verdict: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub final_decision: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    final_matched: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    final_mismatched: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    final_unconfirmed: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    final_unfinished: Option<i32>,
}

impl DrawRow {
    /// What gets its share.
    #[must_use]
    pub fn strata(&self) -> Strata {
        Strata::find(&self.strata).unwrap_or(Strata::None)
    }

    /// The same for the selection.
    #[must_use]
    pub fn by(&self) -> By {
        match self.strata() {
            Strata::None => By::All,
            Strata::Booth => By::Booth,
            Strata::Worker => By::Worker,
        }
    }

    /// How what was not confirmed counts.
    #[must_use]
    pub fn unconfirmed(&self) -> Unconfirmed {
        Unconfirmed::find(&self.unconfirmed).unwrap_or(Unconfirmed::Mismatch)
    }

    /// Whether there were no more visits than the plan wants.
    #[must_use]
    pub const fn all_drawn(&self) -> bool {
        self.frame_size <= self.planned_size
    }

    /// How many are drawn, and how many mismatches reject.
    #[must_use]
    pub const fn drawn(&self) -> Plan {
        Plan {
            size: self.size,
            decision_number: self.decision_number,
        }
    }

    /// What the plan was made from.
    #[must_use]
    pub fn basis(&self) -> Basis {
        let rates = self.acceptable.zip(self.unacceptable);
        match rates.zip(self.producer_risk.zip(self.consumer_risk)) {
            Some(((acceptable, unacceptable), (producer, consumer))) => Basis::Risks(Risks {
                acceptable,
                unacceptable,
                producer,
                consumer,
            }),
            None => Basis::Given(Plan {
                size: self.planned_size,
                decision_number: self.planned_decision,
            }),
        }
    }

    /// The figures at the close.
    #[must_use]
    pub fn final_figures(&self) -> Option<FiguresRow> {
        Some(FiguresRow {
            matched: self.final_matched?,
            mismatched: self.final_mismatched?,
            unconfirmed: self.final_unconfirmed?,
            unfinished: self.final_unfinished?,
        })
    }
}

/// What was found of the visits of a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct FiguresRow {
    #[diesel(sql_type = Integer)]
    pub matched: i32,
    #[diesel(sql_type = Integer)]
    pub mismatched: i32,
    #[diesel(sql_type = Integer)]
    pub unconfirmed: i32,
    #[diesel(sql_type = Integer)]
    pub unfinished: i32,
}

/// A row of `draw_frames`.
#[derive(Clone, Debug, QueryableByName)]
pub struct FrameRow {
    #[diesel(sql_type = Integer)]
    pub place: i32,
    #[diesel(sql_type = SqlUuid)]
    pub visit_id: VisitId,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Integer)]
    pub booth_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub worker_id: WorkerId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub household_id: Option<HouseholdId>,
    #[diesel(sql_type = Date)]
    pub visited_on: NaiveDate,
}

impl FrameRow {
    /// The same for the selection.
    #[must_use]
    pub const fn member(&self) -> Member {
        Member {
            visit_id: self.visit_id.0,
            version: self.version,
            booth_id: self.booth_id.0,
            worker_id: self.worker_id.0,
        }
    }
}

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// The visits under the permit's unit that can be drawn: they count, for the campaign and days asked for, and have one of
/// the outcomes. By id.
pub async fn frame_of(
    tx: &mut Tx,
    permit: &Permit<DrawWrite>,
    new: &NewDraw,
    limit: i64,
) -> QueryResult<Vec<FrameRow>> {
    let outcomes: Vec<&str> = new.outcomes.iter().map(|outcome| outcome.as_str()).collect();
    statement(
        "WITH f AS NOT MATERIALIZED (SELECT $1::int AS unit_id, $2::int AS state_id, $3::int AS campaign_id, $4::date AS first,
                                            $5::date AS last, $6::text[] AS outcomes)
         SELECT (row_number() OVER (ORDER BY v.id))::int AS place, v.id AS visit_id, v.version, v.booth_id, v.worker_id,
                v.household_id, v.visited_on
         FROM f JOIN lineages l ON l.unit_ids @> ARRAY[f.unit_id]
         JOIN visits v ON v.booth_id = l.unit_id AND v.campaign_id = f.campaign_id AND v.state_id = f.state_id
             AND v.visited_on BETWEEN f.first AND f.last AND v.visited_on >= l.valid_from
             AND (l.valid_to IS NULL OR v.visited_on < l.valid_to)
         WHERE v.voided_at IS NULL AND v.review <> 'rejected'
           AND (f.outcomes = '{}' OR v.outcome = ANY (f.outcomes))
         ORDER BY v.id LIMIT $7",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(new.campaign_id)
    .bind::<Date, _>(new.from)
    .bind::<Date, _>(new.to)
    .bind::<Array<Text>, _>(outcomes)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// What is stored of a request beside what was sent.
#[derive(Clone, Debug)]
pub struct NewDrawRow<'a> {
    pub new: &'a NewDraw,
    pub planned: Plan,
    pub drawn: Plan,
    pub compare: &'a Value,
    pub frame_size: i32,
    pub frame_digest: &'a [u8],
    pub requested_by: WorkerId,
}

/// Stores a request.
pub async fn insert_draw(
    tx: &mut Tx,
    permit: &Permit<DrawWrite>,
    row: &NewDrawRow<'_>,
) -> QueryResult<DrawRow> {
    let outcomes: Vec<&str> = row.new.outcomes.iter().map(|outcome| outcome.as_str()).collect();
    statement(
        "INSERT INTO draws (state_id, unit_id, campaign_id, from_on, to_on, outcomes, strata, acceptable, unacceptable,
                            producer_risk, consumer_risk, planned_size, planned_decision, size, decision_number,
                            unconfirmed, compare, frame_size, frame_digest, requested_by, requested_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
         RETURNING *",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(row.new.campaign_id)
    .bind::<Date, _>(row.new.from)
    .bind::<Date, _>(row.new.to)
    .bind::<Array<Text>, _>(outcomes)
    .bind::<Text, _>(row.new.strata.as_str())
    .bind::<Nullable<Double>, _>(row.new.plan.acceptable)
    .bind::<Nullable<Double>, _>(row.new.plan.unacceptable)
    .bind::<Nullable<Double>, _>(row.new.plan.producer_risk)
    .bind::<Nullable<Double>, _>(row.new.plan.consumer_risk)
    .bind::<Integer, _>(row.planned.size)
    .bind::<Integer, _>(row.planned.decision_number)
    .bind::<Integer, _>(row.drawn.size)
    .bind::<Integer, _>(row.drawn.decision_number)
    .bind::<Text, _>(row.new.unconfirmed.as_str())
    .bind::<Jsonb, _>(row.compare)
    .bind::<Integer, _>(row.frame_size)
    .bind::<Binary, _>(row.frame_digest)
    .bind::<Integer, _>(row.requested_by)
    .bind::<Timestamptz, _>(permit.actor().at)
    .get_result(tx)
    .await
}

/// Stores the frame of a draw, and how much of it lies in each booth.
pub async fn insert_frame(tx: &mut Tx, draw_id: i32, frame: &[FrameRow]) -> QueryResult<()> {
    macro_rules! column {
        ($field:ident) => {
            frame.iter().map(|row| row.$field).collect::<Vec<_>>()
        };
    }
    statement(
        "INSERT INTO draw_frames (draw_id, place, visit_id, version, booth_id, worker_id, household_id, visited_on)
         SELECT $1, * FROM unnest($2::int[], $3::uuid[], $4::int[], $5::int[], $6::int[], $7::uuid[], $8::date[])",
    )
    .bind::<Integer, _>(draw_id)
    .bind::<Array<Integer>, _>(column!(place))
    .bind::<Array<SqlUuid>, _>(column!(visit_id))
    .bind::<Array<Integer>, _>(column!(version))
    .bind::<Array<Integer>, _>(column!(booth_id))
    .bind::<Array<Integer>, _>(column!(worker_id))
    .bind::<Array<Nullable<SqlUuid>>, _>(column!(household_id))
    .bind::<Array<Date>, _>(column!(visited_on))
    .execute(tx)
    .await?;
    statement(
        "INSERT INTO draw_booths (draw_id, booth_id, lineage_from, unit_ids, visits)
         SELECT f.draw_id, f.booth_id, l.valid_from, l.unit_ids, count(*)
         FROM draw_frames f JOIN lineages l ON l.unit_id = f.booth_id AND f.visited_on >= l.valid_from
             AND (l.valid_to IS NULL OR f.visited_on < l.valid_to)
         WHERE f.draw_id = $1 GROUP BY f.draw_id, f.booth_id, l.valid_from, l.unit_ids",
    )
    .bind::<Integer, _>(draw_id)
    .execute(tx)
    .await
    .map(|_| ())
}

/// A draw; whether the caller may see it, its unit decides.
pub async fn find_draw(tx: &mut Tx, id: i32) -> QueryResult<Option<DrawRow>> {
    statement("SELECT * FROM draws WHERE id = $1")
        .bind::<Integer, _>(id)
        .get_result(tx)
        .await
        .optional()
}

/// A draw that nobody else can change until this transaction ends.
pub async fn lock_draw(tx: &mut Tx, id: i32) -> QueryResult<DrawRow> {
    statement("SELECT * FROM draws WHERE id = $1 FOR UPDATE")
        .bind::<Integer, _>(id)
        .get_result(tx)
        .await
}

/// A draw that nobody can close until this transaction ends, while others can check visits of it.
pub async fn share_draw(tx: &mut Tx, id: i32) -> QueryResult<Option<DrawRow>> {
    statement("SELECT * FROM draws WHERE id = $1 FOR SHARE")
        .bind::<Integer, _>(id)
        .get_result(tx)
        .await
        .optional()
}

/// Draws in scope, newest first.
pub async fn list_draws(
    tx: &mut Tx,
    scope: &Scope<DrawRead>,
    filter: &DrawFilter,
    today: NaiveDate,
    below: Option<i32>,
    limit: i64,
) -> QueryResult<Vec<DrawRow>> {
    statement(
        "SELECT d.* FROM draws d
         WHERE EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = d.unit_id AND l.unit_ids && $1::int[]
                         AND l.valid_from <= $2 AND (l.valid_to IS NULL OR l.valid_to > $3))
           AND ($4::int IS NULL OR d.campaign_id = $5::int)
           AND ($6::text IS NULL OR $7::text = CASE WHEN d.drawn_at IS NULL THEN 'pending'
                                                    WHEN d.closed_at IS NULL THEN 'open' ELSE 'closed' END)
           AND ($8::int IS NULL OR d.id < $9::int)
         ORDER BY d.id DESC LIMIT $10",
    )
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Nullable<Integer>, _>(filter.campaign_id)
    .bind::<Nullable<Integer>, _>(filter.campaign_id)
    .bind::<Nullable<Text>, _>(filter.status.map(|status| status.as_str()))
    .bind::<Nullable<Text>, _>(filter.status.map(|status| status.as_str()))
    .bind::<Nullable<Integer>, _>(below)
    .bind::<Nullable<Integer>, _>(below)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// The frame of a draw that the caller may see, after a place.
pub async fn list_frame(tx: &mut Tx, draw_id: i32, after: i32, limit: i64) -> QueryResult<Vec<FrameRow>> {
    statement(
        "SELECT place, visit_id, version, booth_id, worker_id, household_id, visited_on FROM draw_frames
         WHERE draw_id = $1 AND place > $2 ORDER BY place LIMIT $3",
    )
    .bind::<Integer, _>(draw_id)
    .bind::<Integer, _>(after)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await
}

/// How many visits of a frame have another door or day there than in the version that was frozen.
pub async fn moved_in_frame(tx: &mut Tx, draw: &DrawRow) -> QueryResult<i64> {
    let row: NumberRow = statement(
        "SELECT count(*) AS n FROM draw_frames f
         LEFT JOIN visits v ON v.state_id = $1 AND v.id = f.visit_id AND v.version = f.version
         LEFT JOIN visit_versions o ON o.state_id = $2 AND o.visit_id = f.visit_id AND o.version = f.version
         WHERE f.draw_id = $3
           AND (f.household_id IS DISTINCT FROM coalesce(v.household_id, (o.content ->> 'household_id')::uuid)
             OR f.visited_on IS DISTINCT FROM coalesce(v.visited_on, (o.content ->> 'visited_on')::date))",
    )
    .bind::<Integer, _>(draw.state_id)
    .bind::<Integer, _>(draw.state_id)
    .bind::<Integer, _>(draw.id)
    .get_result(tx)
    .await?;
    Ok(row.n)
}

/// The number of the request's entry in the journal, once it is posted.
pub async fn entry_number(tx: &mut Tx, draw: &DrawRow) -> QueryResult<Option<i64>> {
    let row: Option<NumberRow> = statement(
        "SELECT number AS n FROM journal WHERE state_id = $1 AND actor_id = $2 AND at = $3 AND action = 'draw.request'
           AND subject_ids = ARRAY[$4::int]",
    )
    .bind::<Integer, _>(draw.state_id)
    .bind::<Integer, _>(draw.requested_by)
    .bind::<Timestamptz, _>(draw.requested_at)
    .bind::<Integer, _>(draw.id)
    .get_result(tx)
    .await
    .optional()?;
    Ok(row.map(|row| row.n))
}

/// Notes by which head a locked draw was seeded.
pub async fn set_seed(
    tx: &mut Tx,
    permit: &Permit<DrawWrite>,
    draw_id: i32,
    (entry_number, head_size): (i64, i64),
    seed: &[u8],
) -> QueryResult<DrawRow> {
    statement(
        "UPDATE draws SET entry_number = $1, head_size = $2, seed = $3, drawn_at = $4
         WHERE id = $5 AND unit_id = $6 RETURNING *",
    )
    .bind::<BigInt, _>(entry_number)
    .bind::<BigInt, _>(head_size)
    .bind::<Binary, _>(seed)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Integer, _>(draw_id)
    .bind::<Integer, _>(permit.unit_id())
    .get_result(tx)
    .await
}

/// What was found in time of the visits of a draw.
pub async fn figures_of(tx: &mut Tx, draw_id: i32) -> QueryResult<FiguresRow> {
    statement(
        "SELECT (count(*) FILTER (WHERE c.finding = 'match'))::int AS matched,
                (count(*) FILTER (WHERE c.finding = 'mismatch'))::int AS mismatched,
                (count(*) FILTER (WHERE c.finding = 'unconfirmed'))::int AS unconfirmed,
                (count(*) FILTER (WHERE c.finding IS NULL))::int AS unfinished
         FROM draw_items i LEFT JOIN back_checks c ON c.draw_id = i.draw_id AND c.number = i.number AND NOT c.late
         WHERE i.draw_id = $1",
    )
    .bind::<Integer, _>(draw_id)
    .get_result(tx)
    .await
}

/// How a draw ends.
#[derive(Clone, Debug)]
pub struct Closing<'a> {
    pub accepted: bool,
    pub decision: i32,
    pub figures: FiguresRow,
    pub reason: Option<&'a str>,
    pub closed_by: WorkerId,
}

/// Closes a locked draw.
pub async fn close_draw(
    tx: &mut Tx,
    permit: &Permit<DrawWrite>,
    draw_id: i32,
    closing: &Closing<'_>,
) -> QueryResult<DrawRow> {
    let verdict = if closing.accepted { "accepted" } else { "rejected" };
    statement(
        "UPDATE draws SET verdict = $1, final_decision = $2, final_matched = $3, final_mismatched = $4,
                          final_unconfirmed = $5, final_unfinished = $6, close_reason = $7, closed_by = $8, closed_at = $9
         WHERE id = $10 AND unit_id = $11 AND closed_at IS NULL RETURNING *",
    )
    .bind::<Text, _>(verdict)
    .bind::<Integer, _>(closing.decision)
    .bind::<Integer, _>(closing.figures.matched)
    .bind::<Integer, _>(closing.figures.mismatched)
    .bind::<Integer, _>(closing.figures.unconfirmed)
    .bind::<Integer, _>(closing.figures.unfinished)
    .bind::<Nullable<Text>, _>(closing.reason)
    .bind::<Integer, _>(closing.closed_by)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Integer, _>(draw_id)
    .bind::<Integer, _>(permit.unit_id())
    .get_result(tx)
    .await
}
