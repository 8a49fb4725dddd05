//! Units that are ranked, their figures as the ledgers keep them, and targets. Snapshots have a room of their own.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Date, Double, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use super::wire::NewTarget;
use crate::access::Permit;
use crate::access::actions::{ShortfallRead, TargetWrite};
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, UnitId, WorkerId};
use crate::platform::statement::statement;
use crate::platform::stored::Stored;

pub mod meeting;
pub mod snapshots;

/// A unit under the one that is asked about.
#[derive(Clone, Debug, QueryableByName)]
pub struct ChildRow {
    #[diesel(sql_type = Integer)]
    pub id: UnitId,
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub level: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    /// What lies above it today, itself included.
    #[diesel(sql_type = Array<Integer>)]
    pub unit_ids: Vec<UnitId>,
}

/// To what the units are narrowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Narrowed<'a> {
    /// To these constituencies and what lies under them.
    pub seats: Option<&'a [UnitId]>,
    /// To what lies under one of these.
    pub under: Option<&'a [UnitId]>,
}

// Of all levels but the booth a state has so few units that each is asked where it lies; OFFSET 0 keeps it in that order.
const CHILDREN: &str = "
    SELECT u.id, u.state_id, u.code, u.level, u.name, l.unit_ids
    FROM (SELECT $1::date AS today, $2::int[] AS seats, $3::int[] AS under, $4::int AS unit_id, $5::text AS level,
                 $6::int[] AS states) a
    JOIN units u ON u.level = a.level AND (a.states IS NULL OR u.state_id = ANY (a.states))
    CROSS JOIN LATERAL (
        SELECT w.unit_ids FROM lineages w
        WHERE w.unit_id = u.id AND w.valid_from <= a.today AND (w.valid_to IS NULL OR w.valid_to > a.today) OFFSET 0) l
    WHERE a.unit_id = ANY (l.unit_ids)
      AND (a.seats IS NULL OR l.unit_ids && a.seats) AND (a.under IS NULL OR l.unit_ids && a.under)
    ORDER BY u.id";

// Booths are found by the nearest of the units in which they have to lie.
const BOOTHS: &str = "
    SELECT u.id, u.state_id, u.code, u.level, u.name, l.unit_ids
    FROM (SELECT $1::date AS today, $2::int[] AS seats, $3::int[] AS under, $4::int AS unit_id, $5::text AS level,
                 $6::int[] AS states) a
    JOIN lineages l ON l.unit_ids && coalesce(a.under, a.seats, ARRAY[a.unit_id])
         AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
    JOIN units u ON u.id = l.unit_id AND u.level = a.level
    WHERE a.unit_id = ANY (l.unit_ids) AND (a.seats IS NULL OR l.unit_ids && a.seats)
      AND (a.states IS NULL OR u.state_id = ANY (a.states))
    ORDER BY u.id";

/// Units of a level that lie under the permit's unit today.
///
/// # Errors
/// What the database says.
pub async fn children_of<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    level: &str,
    today: NaiveDate,
    narrowed: Narrowed<'_>,
) -> QueryResult<Vec<ChildRow>> {
    let own = [permit.state_id()];
    let states = (permit.level() != "nation").then_some(&own[..]);
    let children = if level == "booth" { BOOTHS } else { CHILDREN };
    statement(children)
        .bind::<Date, _>(today)
        .bind::<Nullable<Array<Integer>>, _>(narrowed.seats)
        .bind::<Nullable<Array<Integer>>, _>(narrowed.under)
        .bind::<Integer, _>(permit.unit_id())
        .bind::<Text, _>(level)
        .bind::<Nullable<Array<Integer>>, _>(states)
        .planned_anew()
        .load(tx)
        .await
}

/// Lets the statements that follow in this transaction look their rows up: a page anywhere is to cost little more than the next.
/// Of all units of a state a few in a hundred are read, from tables that lie in memory; as the planner counts otherwise it
/// reads the lineages and counts of every booth for those of the mandals, and sends for other processes, which take longer to
/// come than the rows to be read.
///
/// # Errors
/// What the database says.
pub async fn look_up(tx: &mut Tx) -> QueryResult<()> {
    tx.batch_execute("SET LOCAL random_page_cost = 1.1; SET LOCAL max_parallel_workers_per_gather = 0")
        .await
}

/// What the ledgers of visits have of a unit: now, and up to a day before if one was asked for.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct VisitFiguresRow {
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = BigInt)]
    pub visits: i64,
    #[diesel(sql_type = BigInt)]
    pub met: i64,
    #[diesel(sql_type = BigInt)]
    pub doors_reached: i64,
    #[diesel(sql_type = BigInt)]
    pub flagged: i64,
    #[diesel(sql_type = BigInt)]
    pub verified: i64,
    #[diesel(sql_type = BigInt)]
    pub rejected: i64,
    #[diesel(sql_type = BigInt)]
    pub visits_before: i64,
    #[diesel(sql_type = BigInt)]
    pub met_before: i64,
    #[diesel(sql_type = BigInt)]
    pub doors_reached_before: i64,
    #[diesel(sql_type = BigInt)]
    pub flagged_before: i64,
    #[diesel(sql_type = BigInt)]
    pub verified_before: i64,
    #[diesel(sql_type = BigInt)]
    pub rejected_before: i64,
}

/// Which visits count.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visited {
    pub campaign_id: Option<CampaignId>,
    pub from: Option<NaiveDate>,
    pub to: Option<NaiveDate>,
}

// What is posted and what is not, of each unit, in one pass over the rows of the units alone.
macro_rules! from_ledgers {
    () => {
        "
    FROM f, (
        SELECT t.unit_id, t.campaign_id, t.day, visits, met, doors_reached, flagged, verified, rejected
        FROM f JOIN totals t ON t.state_id = ANY (f.states) AND t.unit_id = ANY (f.units)
        UNION ALL
        SELECT u.id, i.campaign_id, i.day, visits, met, doors_reached, flagged, verified, rejected
        FROM f JOIN tally_inbox i ON i.state_id = ANY (f.states) AND i.unit_ids && f.units
        CROSS JOIN unnest(i.unit_ids) AS u (id) WHERE u.id = ANY (f.units)
    ) x
    WHERE (f.campaign_id IS NULL OR x.campaign_id = f.campaign_id)
      AND (f.first IS NULL OR x.day >= f.first) AND (f.last IS NULL OR x.day <= f.last)
    GROUP BY x.unit_id"
    };
}

const VISIT_FIGURES: &str = concat!(
    "WITH f AS NOT MATERIALIZED (
        SELECT $1::int AS campaign_id, $2::date AS first, $3::date AS last, $4::int[] AS states, $5::int[] AS units,
               $6::date AS before)
    SELECT x.unit_id,
        sum(visits)::bigint AS visits, sum(met)::bigint AS met, sum(doors_reached)::bigint AS doors_reached,
        sum(flagged)::bigint AS flagged, sum(verified)::bigint AS verified, sum(rejected)::bigint AS rejected,
        coalesce(sum(visits) FILTER (WHERE x.day <= f.before), 0)::bigint AS visits_before,
        coalesce(sum(met) FILTER (WHERE x.day <= f.before), 0)::bigint AS met_before,
        coalesce(sum(doors_reached) FILTER (WHERE x.day <= f.before), 0)::bigint AS doors_reached_before,
        coalesce(sum(flagged) FILTER (WHERE x.day <= f.before), 0)::bigint AS flagged_before,
        coalesce(sum(verified) FILTER (WHERE x.day <= f.before), 0)::bigint AS verified_before,
        coalesce(sum(rejected) FILTER (WHERE x.day <= f.before), 0)::bigint AS rejected_before",
    from_ledgers!(),
);

/// The same where nothing is compared with a day before: half as many sums.
const VISIT_FIGURES_NOW: &str = concat!(
    "WITH f AS NOT MATERIALIZED (
        SELECT $1::int AS campaign_id, $2::date AS first, $3::date AS last, $4::int[] AS states, $5::int[] AS units)
    SELECT x.unit_id,
        sum(visits)::bigint AS visits, sum(met)::bigint AS met, sum(doors_reached)::bigint AS doors_reached,
        sum(flagged)::bigint AS flagged, sum(verified)::bigint AS verified, sum(rejected)::bigint AS rejected,
        0::bigint AS visits_before, 0::bigint AS met_before, 0::bigint AS doors_reached_before, 0::bigint AS flagged_before,
        0::bigint AS verified_before, 0::bigint AS rejected_before",
    from_ledgers!(),
);

// Over all days: the ledger without days, less what came after the day that is compared with (a week of rows, not a year).
const VISIT_FIGURES_TO_DATE: &str = "
    WITH f AS NOT MATERIALIZED (
        SELECT $1::int AS campaign_id, $2::int[] AS states, $3::int[] AS units, $4::date AS before)
    SELECT x.unit_id,
        sum(now * visits)::bigint AS visits, sum(now * met)::bigint AS met, sum(now * doors_reached)::bigint AS doors_reached,
        sum(now * flagged)::bigint AS flagged, sum(now * verified)::bigint AS verified, sum(now * rejected)::bigint AS rejected,
        sum(past * visits)::bigint AS visits_before, sum(past * met)::bigint AS met_before,
        sum(past * doors_reached)::bigint AS doors_reached_before, sum(past * flagged)::bigint AS flagged_before,
        sum(past * verified)::bigint AS verified_before, sum(past * rejected)::bigint AS rejected_before
    FROM f, (
        SELECT t.unit_id, t.campaign_id, 1 AS now, (f.before IS NOT NULL)::int AS past, visits, met, doors_reached, flagged, verified, rejected
        FROM f JOIN totals_to_date t ON t.state_id = ANY (f.states) AND t.unit_id = ANY (f.units)
        UNION ALL
        SELECT t.unit_id, t.campaign_id, 0, -1, visits, met, doors_reached, flagged, verified, rejected
        FROM f JOIN totals t ON t.state_id = ANY (f.states) AND t.unit_id = ANY (f.units) AND t.day > f.before
        UNION ALL
        SELECT u.id, i.campaign_id, 1, ((i.day <= f.before) IS TRUE)::int, visits, met, doors_reached, flagged, verified, rejected
        FROM f JOIN tally_inbox i ON i.state_id = ANY (f.states) AND i.unit_ids && f.units
        CROSS JOIN unnest(i.unit_ids) AS u (id) WHERE u.id = ANY (f.units)
    ) x
    WHERE f.campaign_id IS NULL OR x.campaign_id = f.campaign_id
    GROUP BY x.unit_id";

/// What the ledgers have of these units; units without anything are left out.
pub async fn visit_figures<A>(
    tx: &mut Tx,
    _permit: &Permit<A>,
    units: &[&ChildRow],
    visited: Visited,
    before: Option<NaiveDate>,
) -> QueryResult<Vec<VisitFiguresRow>> {
    let mut states: Vec<UnitId> = units.iter().map(|unit| unit.state_id).collect();
    states.sort_unstable();
    states.dedup();
    let ids: Vec<UnitId> = units.iter().map(|unit| unit.id).collect();
    if visited.from.is_none() && visited.to.is_none() {
        return statement(VISIT_FIGURES_TO_DATE)
            .planned_anew()
            .bind::<Nullable<Integer>, _>(visited.campaign_id)
            .bind::<Array<Integer>, _>(&states)
            .bind::<Array<Integer>, _>(ids)
            .bind::<Nullable<Date>, _>(before)
            .load(tx)
            .await;
    }
    let text = if before.is_some() {
        VISIT_FIGURES
    } else {
        VISIT_FIGURES_NOW
    };
    let asked = statement(text)
        .planned_anew()
        .bind::<Nullable<Integer>, _>(visited.campaign_id)
        .bind::<Nullable<Date>, _>(visited.from)
        .bind::<Nullable<Date>, _>(visited.to)
        .bind::<Array<Integer>, _>(&states)
        .bind::<Array<Integer>, _>(ids);
    match before {
        Some(before) => asked.bind::<Date, _>(before).load(tx).await,
        None => asked.load(tx).await,
    }
}

/// Mandals under a unit, and how many of them signed two weeks.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct SignedRow {
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = BigInt)]
    pub mandals: i64,
    #[diesel(sql_type = BigInt)]
    pub signed: i64,
    #[diesel(sql_type = BigInt)]
    pub signed_before: i64,
}

/// Who signed the week, and who the week before it that is compared with, if any.
pub async fn signed_figures<A>(
    tx: &mut Tx,
    _permit: &Permit<A>,
    units: &[&ChildRow],
    today: NaiveDate,
    (week, before): (NaiveDate, Option<NaiveDate>),
) -> QueryResult<Vec<SignedRow>> {
    let mut states: Vec<UnitId> = units.iter().map(|unit| unit.state_id).collect();
    states.sort_unstable();
    states.dedup();
    statement(
        "WITH f AS NOT MATERIALIZED (
             SELECT $1::date AS today, $2::date AS week, $3::date AS before, $4::int[] AS states)
         SELECT w.id AS unit_id, count(*) AS mandals, count(s.id) AS signed, count(b.id) AS signed_before
         FROM f JOIN units m ON m.level = 'mandal' AND m.state_id = ANY (f.states)
         JOIN lineages l ON l.unit_id = m.id AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
         CROSS JOIN unnest(l.unit_ids) AS x (id)
         JOIN unnest($5::int[]) AS w (id) ON w.id = x.id
         LEFT JOIN sign_offs s ON s.mandal_id = m.id AND s.week_start = f.week AND s.reopened_at IS NULL
         LEFT JOIN sign_offs b ON b.mandal_id = m.id AND b.week_start = f.before AND b.reopened_at IS NULL
         GROUP BY w.id",
    )
    .planned_anew()
    .bind::<Date, _>(today)
    .bind::<Date, _>(week)
    .bind::<Nullable<Date>, _>(before)
    .bind::<Array<Integer>, _>(&states)
    .bind::<Array<Integer>, _>(units.iter().map(|unit| unit.id).collect::<Vec<_>>())
    .load(tx)
    .await
}

/// A target that was set.
#[derive(Clone, Debug, QueryableByName)]
pub struct TargetRow {
    #[diesel(sql_type = Integer)]
    pub id: i32,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Text)]
    pub unit_level: String,
    #[diesel(sql_type = Nullable<Integer>)]
    pub campaign_id: Option<CampaignId>,
    #[diesel(sql_type = Text)]
    pub level: String,
    #[diesel(sql_type = Text)]
    pub indicator: String,
    #[diesel(sql_type = Nullable<Double>)]
    pub value: Option<f64>,
    #[diesel(sql_type = Date)]
    pub valid_from: NaiveDate,
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = Nullable<Integer>)]
    pub set_by: Option<WorkerId>,
    #[diesel(sql_type = Timestamptz)]
    pub set_at: DateTime<Utc>,
}

/// Targets for a level that hold on a day, set at one of these units: those for all, and those for the campaign.
pub async fn targets_for<A>(
    tx: &mut Tx,
    _permit: &Permit<A>,
    units: &[UnitId],
    level: &str,
    day: NaiveDate,
    campaign_id: Option<CampaignId>,
) -> QueryResult<Vec<TargetRow>> {
    statement(
        "SELECT DISTINCT ON (t.unit_id, t.indicator, t.campaign_id)
                t.id, t.unit_id, u.level AS unit_level, t.campaign_id, t.level, t.indicator, t.value, t.valid_from, t.reason,
                t.set_by, t.set_at
         FROM targets t JOIN units u ON u.id = t.unit_id
         WHERE t.unit_id = ANY ($1) AND t.level = $2 AND t.valid_from <= $3
           AND (t.campaign_id IS NULL OR t.campaign_id = $4)
         ORDER BY t.unit_id, t.indicator, t.campaign_id, t.valid_from DESC, t.id DESC",
    )
    .bind::<Array<Integer>, _>(units)
    .bind::<Text, _>(level)
    .bind::<Date, _>(day)
    .bind::<Nullable<Integer>, _>(campaign_id)
    .load(tx)
    .await
}

/// Every target set at the permit's unit and above it, the newest first.
pub async fn list_targets(
    tx: &mut Tx,
    permit: &Permit<ShortfallRead>,
    before: Option<i32>,
    limit: i64,
) -> QueryResult<Vec<TargetRow>> {
    statement(
        "SELECT t.id, t.unit_id, u.level AS unit_level, t.campaign_id, t.level, t.indicator, t.value, t.valid_from, t.reason,
                t.set_by, t.set_at
         FROM targets t JOIN units u ON u.id = t.unit_id
         WHERE t.unit_id = ANY ($1) AND t.id < coalesce($2, 2147483647)
         ORDER BY t.id DESC LIMIT $3",
    )
    .bind::<Array<Integer>, _>(permit.lineage())
    .bind::<Nullable<Integer>, _>(before)
    .bind::<BigInt, _>(limit + 1)
    .load(tx)
    .await
}

/// Sets a target at the permit's unit.
pub async fn insert_target(
    tx: &mut Tx,
    permit: &Permit<TargetWrite>,
    new: &NewTarget,
) -> QueryResult<TargetRow> {
    statement(
        "INSERT INTO targets (state_id, unit_id, campaign_id, level, indicator, value, valid_from, reason, set_by, set_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         RETURNING id, unit_id, $11::text AS unit_level, campaign_id, level, indicator, value, valid_from, reason, set_by, set_at",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Nullable<Integer>, _>(new.campaign_id)
    .bind::<Text, _>(new.level.as_str())
    .bind::<Text, _>(&new.indicator)
    .bind::<Nullable<Double>, _>(new.value)
    .bind::<Date, _>(new.valid_from)
    .bind::<Text, _>(&new.reason)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Text, _>(permit.level())
    .get_result(tx)
    .await
}

#[derive(QueryableByName)]
struct CampaignRow {
    #[diesel(sql_type = Jsonb)]
    targets: Stored<BTreeMap<String, i64>>,
}

/// The targets of a campaign that runs at the permit's unit, above it or below it; `None` if none does.
pub async fn campaign_targets<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    today: NaiveDate,
    campaign_id: CampaignId,
) -> QueryResult<Option<BTreeMap<String, i64>>> {
    let row: Option<CampaignRow> = statement(
        "SELECT c.targets FROM (SELECT $1::int AS unit_id, $2::int[] AS lineage, $3::date AS today) a,
                campaigns c JOIN lineages l ON l.unit_id = c.unit_id
         WHERE c.id = $4 AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
           AND (c.unit_id = ANY (a.lineage) OR a.unit_id = ANY (l.unit_ids))",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Array<Integer>, _>(permit.lineage())
    .bind::<Date, _>(today)
    .bind::<Integer, _>(campaign_id)
    .get_result(tx)
    .await
    .optional()?;
    Ok(row.map(|row| row.targets.0))
}

/// The permit's unit.
pub async fn find_unit<A>(tx: &mut Tx, permit: &Permit<A>, today: NaiveDate) -> QueryResult<ChildRow> {
    statement(
        "SELECT u.id, u.state_id, u.code, u.level, u.name, l.unit_ids
         FROM (SELECT $1::date AS today) a, units u JOIN lineages l ON l.unit_id = u.id
         WHERE u.id = $2 AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)",
    )
    .bind::<Date, _>(today)
    .bind::<Integer, _>(permit.unit_id())
    .get_result(tx)
    .await
}
