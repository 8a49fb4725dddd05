//! Reading totals: what is posted and what is not, in one snapshot. Every statement takes the permit for the unit.

use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Date, Double, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::rules::SortBy;
use crate::access::actions::{TotalsCheck, TotalsRead};
use crate::access::policy::Permit;
use crate::journal::Counters;
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, UnitId};
use crate::platform::statement::statement;
use crate::{counter_columns, counter_sums};

/// A unit as totals show it.
#[derive(Clone, Debug, QueryableByName)]
pub struct UnitRow {
    #[diesel(sql_type = Integer)]
    pub id: UnitId,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub level: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub name_local: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub electors: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub doors: Option<i32>,
}

/// The figures of a campaign and day.
#[derive(Clone, Debug, QueryableByName)]
pub struct DayRow {
    #[diesel(sql_type = Integer)]
    pub campaign_id: CampaignId,
    #[diesel(sql_type = Date)]
    pub day: NaiveDate,
    #[diesel(embed)]
    pub counters: Counters,
}

/// A unit under another with its figures.
#[derive(Clone, Debug, QueryableByName)]
pub struct ChildRow {
    #[diesel(embed)]
    pub unit: UnitRow,
    #[diesel(embed)]
    pub counters: Counters,
    #[diesel(sql_type = Double)]
    pub sort_number: f64,
    #[diesel(sql_type = Text)]
    pub sort_text: String,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
}

#[derive(QueryableByName)]
struct SeatRow {
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = Integer)]
    unit_id: UnitId,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Which visits are counted.
#[derive(Clone, Copy, Debug)]
pub struct Period {
    pub campaign_id: Option<CampaignId>,
    pub from: Option<NaiveDate>,
    pub to: Option<NaiveDate>,
}

/// Where a unit's figures stand: its own rows, or, for the nation, those of every state.
#[derive(Clone, Debug)]
pub struct Roots {
    pub states: Vec<UnitId>,
    pub units: Vec<UnitId>,
}

/// The unit itself.
pub async fn find_unit<A>(tx: &mut Tx, permit: &Permit<A>) -> QueryResult<UnitRow> {
    statement("SELECT id, code, level, name, name_local, electors, doors FROM units WHERE id = $1")
        .bind::<Integer, _>(permit.unit_id())
        .get_result(tx)
        .await
}

/// Where the unit's figures stand.
pub async fn roots<A>(tx: &mut Tx, permit: &Permit<A>) -> QueryResult<Roots> {
    if permit.level() != "nation" {
        return Ok(Roots {
            states: vec![permit.state_id()],
            units: vec![permit.unit_id()],
        });
    }
    let states: Vec<IdRow> = statement("SELECT id FROM units WHERE level = 'state' ORDER BY id")
        .load(tx)
        .await?;
    let states: Vec<UnitId> = states.into_iter().map(|row| row.id).collect();
    Ok(Roots {
        units: states.clone(),
        states,
    })
}

/// Where the figures of these constituencies stand, of those that lie under the unit.
pub async fn roots_of_seats<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    today: NaiveDate,
    seats: &[UnitId],
) -> QueryResult<Roots> {
    let rows: Vec<SeatRow> = statement(
        "SELECT l.state_id, l.unit_id FROM (SELECT $1::date AS today, $2::int AS unit_id) a
         JOIN lineages l ON l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
                        AND a.unit_id = ANY (l.unit_ids)
         WHERE l.unit_id = ANY ($3) ORDER BY l.unit_id",
    )
    .bind::<Date, _>(today)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Array<Integer>, _>(seats)
    .load(tx)
    .await?;
    Ok(Roots {
        states: rows.iter().map(|row| row.state_id).collect(),
        units: rows.iter().map(|row| row.unit_id).collect(),
    })
}

// What is posted and what is not yet, row by row; `r` names whose.
macro_rules! live_rows {
    () => {
        concat!(
            "SELECT r.unit_id, t.campaign_id, t.day, ",
            counter_columns!(),
            " FROM r JOIN totals t ON t.state_id = r.state_id AND t.unit_id = r.unit_id
              UNION ALL
              SELECT r.unit_id, i.campaign_id, i.day, ",
            counter_columns!(),
            " FROM r JOIN tally_inbox i ON i.state_id = r.state_id AND r.unit_id = ANY (i.unit_ids)"
        )
    };
}

// Each counter with the sign of its span.
macro_rules! signed_columns {
    () => {
        "s.sign * visits AS visits, s.sign * met AS met, s.sign * not_home AS not_home, s.sign * refused \
             AS refused, s.sign * moved AS moved, s.sign * locked AS locked, s.sign * inaccessible AS \
             inaccessible, s.sign * people_met AS people_met, s.sign * doors_reached AS doors_reached, \
             s.sign * support_1 AS support_1, s.sign * support_2 AS support_2, s.sign * support_3 AS \
             support_3, s.sign * support_4 AS support_4, s.sign * support_5 AS support_5, s.sign * flagged \
             AS flagged, s.sign * verified AS verified, s.sign * rejected AS rejected, s.sign * voided AS \
             voided"
    };
}

// Each counter of a child, 0 where it has none.
macro_rules! child_columns {
    () => {
        "coalesce(s.visits, 0) AS visits, coalesce(s.met, 0) AS met, coalesce(s.not_home, 0) AS \
             not_home, coalesce(s.refused, 0) AS refused, coalesce(s.moved, 0) AS moved, coalesce(s.locked, \
             0) AS locked, coalesce(s.inaccessible, 0) AS inaccessible, coalesce(s.people_met, 0) AS \
             people_met, coalesce(s.doors_reached, 0) AS doors_reached, coalesce(s.support_1, 0) AS \
             support_1, coalesce(s.support_2, 0) AS support_2, coalesce(s.support_3, 0) AS support_3, \
             coalesce(s.support_4, 0) AS support_4, coalesce(s.support_5, 0) AS support_5, \
             coalesce(s.flagged, 0) AS flagged, coalesce(s.verified, 0) AS verified, coalesce(s.rejected, 0) \
             AS rejected, coalesce(s.voided, 0) AS voided"
    };
}

const BY_DAY: &str = concat!(
    "WITH r AS MATERIALIZED (SELECT * FROM unnest($1::int[], $2::int[]) AS r (state_id, unit_id)),
          f AS NOT MATERIALIZED (SELECT $3::int AS campaign_id, $4::date AS first, $5::date AS last)
     SELECT x.campaign_id, x.day, ",
    counter_sums!(),
    " FROM f, (",
    live_rows!(),
    ") x
     WHERE x.campaign_id = coalesce(f.campaign_id, x.campaign_id)
       AND x.day BETWEEN coalesce(f.first, x.day) AND coalesce(f.last, x.day)
     GROUP BY x.campaign_id, x.day ORDER BY x.day, x.campaign_id"
);

/// What the unit has, by campaign and day.
pub async fn figures<A>(
    tx: &mut Tx,
    _permit: &Permit<A>,
    roots: &Roots,
    period: Period,
) -> QueryResult<Vec<DayRow>> {
    statement(BY_DAY)
        .bind::<Array<Integer>, _>(&roots.states)
        .bind::<Array<Integer>, _>(&roots.units)
        .bind::<Nullable<Integer>, _>(period.campaign_id)
        .bind::<Nullable<Date>, _>(period.from)
        .bind::<Nullable<Date>, _>(period.to)
        .load(tx)
        .await
}

/// By how much the posted days of a campaign are more than their sum to date.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct ToDateRow {
    #[diesel(sql_type = Integer)]
    pub campaign_id: CampaignId,
    #[diesel(embed)]
    pub counters: Counters,
}

const DAYS_LESS_TO_DATE: &str = concat!(
    "WITH r AS MATERIALIZED (SELECT * FROM unnest($1::int[], $2::int[]) AS r (state_id, unit_id))
     SELECT campaign_id, ",
    counter_sums!(),
    " FROM (SELECT s.campaign_id, ",
    signed_columns!(),
    " FROM (SELECT t.campaign_id, 1 AS sign, ",
    counter_columns!(),
    " FROM r JOIN totals t ON t.state_id = r.state_id AND t.unit_id = r.unit_id
            UNION ALL
            SELECT t.campaign_id, -1, ",
    counter_columns!(),
    " FROM r JOIN totals_to_date t ON t.state_id = r.state_id AND t.unit_id = r.unit_id) s) x
     GROUP BY campaign_id ORDER BY campaign_id"
);

/// How the two ledgers of the unit compare, by campaign.
pub async fn days_less_to_date(
    tx: &mut Tx,
    _permit: &Permit<TotalsCheck>,
    roots: &Roots,
) -> QueryResult<Vec<ToDateRow>> {
    statement(DAYS_LESS_TO_DATE)
        .bind::<Array<Integer>, _>(&roots.states)
        .bind::<Array<Integer>, _>(&roots.units)
        .load(tx)
        .await
}

// Only booths whose lineage has ever changed can differ; for each span of days, +1 if the booth lies under the unit
// today but did not then, -1 if it did then but does not today.
const MOVED_BY_DAY: &str = concat!(
    "WITH f AS NOT MATERIALIZED (SELECT $1::int AS state_id, $2::int AS unit_id, $3::date AS today, $4::int AS campaign_id,
                       $5::date AS first, $6::date AS last),
          spans AS MATERIALIZED (
              SELECT l.unit_id AS booth_id, l.valid_from, l.valid_to,
                     (f.unit_id = ANY (c.unit_ids))::int - (f.unit_id = ANY (l.unit_ids))::int AS sign
              FROM f, lineages e
              JOIN units b ON b.id = e.unit_id AND b.level = 'booth'
              JOIN lineages l ON l.unit_id = e.unit_id
              JOIN lineages c ON c.unit_id = e.unit_id
              WHERE e.valid_to IS NOT NULL AND e.state_id = f.state_id
                AND e.valid_from = (SELECT min(m.valid_from) FROM lineages m WHERE m.unit_id = e.unit_id)
                AND c.valid_from <= f.today AND (c.valid_to IS NULL OR c.valid_to > f.today)
                AND (f.unit_id = ANY (c.unit_ids)) <> (f.unit_id = ANY (l.unit_ids))
          ),
          r AS MATERIALIZED (SELECT DISTINCT f.state_id, s.booth_id AS unit_id FROM f, spans s),
          x AS (",
    live_rows!(),
    "),
          signed AS (
              SELECT x.campaign_id, x.day, ",
    signed_columns!(),
    " FROM f, x JOIN spans s ON s.booth_id = x.unit_id AND s.valid_from <= x.day
                              AND (s.valid_to IS NULL OR s.valid_to > x.day)
              WHERE x.campaign_id = coalesce(f.campaign_id, x.campaign_id)
                AND x.day BETWEEN coalesce(f.first, x.day) AND coalesce(f.last, x.day)
          )
     SELECT campaign_id, day, ",
    counter_sums!(),
    " FROM signed GROUP BY campaign_id, day ORDER BY day, campaign_id"
);

/// What `hierarchy=current` adds to the dated figures and takes from them.
pub async fn moved_figures(
    tx: &mut Tx,
    permit: &Permit<TotalsRead>,
    today: NaiveDate,
    period: Period,
) -> QueryResult<Vec<DayRow>> {
    statement(MOVED_BY_DAY)
        .bind::<Integer, _>(permit.state_id())
        .bind::<Integer, _>(permit.unit_id())
        .bind::<Date, _>(today)
        .bind::<Nullable<Integer>, _>(period.campaign_id)
        .bind::<Nullable<Date>, _>(period.from)
        .bind::<Nullable<Date>, _>(period.to)
        .load(tx)
        .await
}

/// Journal entries of these states that are not yet numbered.
pub async fn unposted_entries(tx: &mut Tx, roots: &Roots) -> QueryResult<i64> {
    let row: CountRow = statement("SELECT count(*) AS n FROM journal_inbox WHERE state_id = ANY ($1)")
        .bind::<Array<Integer>, _>(&roots.states)
        .get_result(tx)
        .await?;
    Ok(row.n)
}

/// Where a list of children goes on from.
pub type ChildCursor = (f64, String, UnitId);

/// How a list of children is asked for.
#[derive(Clone, Debug)]
pub struct ChildrenAsk {
    pub level: Option<String>,
    /// Only these constituencies and what lies under them.
    pub seats: Option<Vec<UnitId>>,
    pub period: Period,
    pub sort: SortBy,
    pub today: NaiveDate,
    pub after: Option<ChildCursor>,
    pub limit: i64,
}

// A state's or district's own figures are rows of `totals`, so each child costs the days that it has.
const CHILDREN: &str = concat!(
    "WITH f AS NOT MATERIALIZED (SELECT $1::int AS unit_id, $2::text AS level, $3::date AS today, $4::int AS campaign_id,
                       $5::date AS first, $6::date AS last, $7::text AS sort, $8::int AS direction, $9::int[] AS seats),
          every AS NOT MATERIALIZED (
              SELECT u.* FROM f, lineages l JOIN units u ON u.id = l.unit_id
              WHERE f.level IS NOT NULL AND l.unit_ids @> ARRAY[f.unit_id] AND u.level = f.level AND u.id <> f.unit_id
                AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
              UNION
              SELECT u.* FROM f, placements p JOIN units u ON u.id = p.unit_id
              WHERE f.level IS NULL AND p.parent_id = f.unit_id
                AND p.valid_from <= f.today AND (p.valid_to IS NULL OR p.valid_to > f.today)
          ),
          children AS MATERIALIZED (
              SELECT e.* FROM f, every e
              WHERE f.seats IS NULL OR EXISTS (
                  SELECT 1 FROM lineages l WHERE l.unit_id = e.id AND l.unit_ids && f.seats
                     AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today))
          ),
          r AS MATERIALIZED (SELECT c.state_id, c.id AS unit_id FROM children c),
          sums AS (
              SELECT x.unit_id, ",
    counter_sums!(),
    " FROM f, (",
    live_rows!(),
    ") x
              WHERE x.campaign_id = coalesce(f.campaign_id, x.campaign_id)
                AND x.day BETWEEN coalesce(f.first, x.day) AND coalesce(f.last, x.day)
              GROUP BY x.unit_id
          ),
          rows AS (
              SELECT c.id, c.code, c.level, c.name, c.name_local, c.electors, c.doors, ",
    child_columns!(),
    ", f.direction * (CASE f.sort
                         WHEN 'visits' THEN coalesce(s.visits, 0)
                         WHEN 'met' THEN coalesce(s.met, 0)
                         WHEN 'people_met' THEN coalesce(s.people_met, 0)
                         WHEN 'doors_reached' THEN coalesce(s.doors_reached, 0)
                         WHEN 'coverage' THEN coalesce(coalesce(s.doors_reached, 0)::float8 / nullif(c.doors, 0), -1)
                         ELSE 0 END)::float8 AS sort_number,
                     CASE f.sort WHEN 'code' THEN c.code ELSE '' END AS sort_text
              FROM f, children c LEFT JOIN sums s ON s.unit_id = c.id
          )
     SELECT * FROM rows
     WHERE $10::float8 IS NULL OR (sort_number, sort_text, id) > ($11::float8, $12::text, $13::int)
     ORDER BY sort_number, sort_text, id
     LIMIT $14"
);

/// The units under one with their figures.
pub async fn children(
    tx: &mut Tx,
    permit: &Permit<TotalsRead>,
    ask: &ChildrenAsk,
) -> QueryResult<Vec<ChildRow>> {
    let after = ask.after.as_ref();
    statement(CHILDREN)
        .bind::<Integer, _>(permit.unit_id())
        .bind::<Nullable<Text>, _>(ask.level.as_ref())
        .bind::<Date, _>(ask.today)
        .bind::<Nullable<Integer>, _>(ask.period.campaign_id)
        .bind::<Nullable<Date>, _>(ask.period.from)
        .bind::<Nullable<Date>, _>(ask.period.to)
        .bind::<Text, _>(ask.sort.column)
        .bind::<Integer, _>(if ask.sort.descending { -1 } else { 1 })
        .bind::<Nullable<Array<Integer>>, _>(ask.seats.as_deref())
        .bind::<Nullable<Double>, _>(after.map(|after| after.0))
        .bind::<Nullable<Double>, _>(after.map(|after| after.0))
        .bind::<Nullable<Text>, _>(after.map(|after| &after.1))
        .bind::<Nullable<Integer>, _>(after.map(|after| after.2))
        .bind::<BigInt, _>(ask.limit)
        .load(tx)
        .await
}

// The recount knows nothing of totals, tallies or doors: it reads the visits alone, and of support what has left them. A booth counts for the unit on the
// days on which the unit was in its lineage; a door counts on the day of its earliest live contact.
const RECOUNT: &str = "WITH f AS NOT MATERIALIZED (SELECT $1::int[] AS units, $2::int AS campaign_id, $3::date AS first, $4::date AS last),
          spans AS MATERIALIZED (
              SELECT l.unit_id AS booth_id, l.valid_from, l.valid_to
              FROM f, lineages l JOIN units b ON b.id = l.unit_id AND b.level = 'booth'
              WHERE l.unit_ids && f.units
          ),
          v AS MATERIALIZED (
              SELECT v.* FROM f, visits v
              WHERE v.booth_id IN (SELECT booth_id FROM spans) AND v.campaign_id = coalesce(f.campaign_id, v.campaign_id)
          ),
          first_contacts AS (
              SELECT DISTINCT ON (state_id, campaign_id, household_id) booth_id, campaign_id, visited_on
              FROM v WHERE household_id IS NOT NULL AND outcome = 'met' AND voided_at IS NULL AND review <> 'rejected'
              ORDER BY state_id, campaign_id, household_id, visited_on, id
          ),
          counted AS (
              SELECT booth_id, campaign_id, visited_on AS day,
                     (voided_at IS NULL AND review <> 'rejected')::int AS live, outcome, people_met, support,
                     (flags <> '[]')::int AS has_flag, review, 0 AS doors_reached,
                     (voided_at IS NULL AND review = 'rejected')::int AS rejected, (voided_at IS NOT NULL)::int AS voided,
                     (voided_at IS NULL AND review <> 'rejected')::int AS supporters
              FROM v
              UNION ALL
              SELECT booth_id, campaign_id, visited_on, 0, '', 0, NULL, 0, '', 1, 0, 0, 0 FROM first_contacts
              UNION ALL
              SELECT g.booth_id, g.campaign_id, g.day, 0, '', 0, g.support, 0, '', 0, 0, 0, g.visits FROM f, support_ledger g
              WHERE g.booth_id IN (SELECT booth_id FROM spans) AND g.campaign_id = coalesce(f.campaign_id, g.campaign_id)
          )
     SELECT c.campaign_id, c.day,
            sum(c.live)::bigint AS visits,
            sum(c.live * (c.outcome = 'met')::int)::bigint AS met,
            sum(c.live * (c.outcome = 'not_home')::int)::bigint AS not_home,
            sum(c.live * (c.outcome = 'refused')::int)::bigint AS refused,
            sum(c.live * (c.outcome = 'moved')::int)::bigint AS moved,
            sum(c.live * (c.outcome = 'locked')::int)::bigint AS locked,
            sum(c.live * (c.outcome = 'inaccessible')::int)::bigint AS inaccessible,
            sum(c.live * c.people_met)::bigint AS people_met,
            sum(c.doors_reached)::bigint AS doors_reached,
            sum(c.supporters * coalesce(c.support = 1, false)::int)::bigint AS support_1,
            sum(c.supporters * coalesce(c.support = 2, false)::int)::bigint AS support_2,
            sum(c.supporters * coalesce(c.support = 3, false)::int)::bigint AS support_3,
            sum(c.supporters * coalesce(c.support = 4, false)::int)::bigint AS support_4,
            sum(c.supporters * coalesce(c.support = 5, false)::int)::bigint AS support_5,
            sum(c.live * c.has_flag)::bigint AS flagged,
            sum(c.live * (c.review = 'verified')::int)::bigint AS verified,
            sum(c.rejected)::bigint AS rejected,
            sum(c.voided)::bigint AS voided
     FROM f, counted c JOIN spans s ON s.booth_id = c.booth_id AND s.valid_from <= c.day
                                   AND (s.valid_to IS NULL OR s.valid_to > c.day)
     WHERE c.day BETWEEN coalesce(f.first, c.day) AND coalesce(f.last, c.day)
     GROUP BY c.campaign_id, c.day ORDER BY c.day, c.campaign_id";

/// The unit's figures counted anew from its visits.
pub async fn recount(
    tx: &mut Tx,
    _permit: &Permit<TotalsCheck>,
    roots: &Roots,
    period: Period,
) -> QueryResult<Vec<DayRow>> {
    statement(RECOUNT)
        .bind::<Array<Integer>, _>(&roots.units)
        .bind::<Nullable<Integer>, _>(period.campaign_id)
        .bind::<Nullable<Date>, _>(period.from)
        .bind::<Nullable<Date>, _>(period.to)
        .load(tx)
        .await
}
