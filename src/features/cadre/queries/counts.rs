//! How much of the cadre there is: what was counted, and what changed since, in one snapshot.

use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Date, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use crate::access::Permit;
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, UnitId};
use crate::platform::statement::statement;
use crate::platform::turns::take_turn;

/// The turn in which changes are counted.
const RECOUNT_TURN: i64 = 0x5341_0007;

/// What a unit has, itself and all below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, QueryableByName)]
pub struct CadreCounts {
    #[diesel(sql_type = BigInt)]
    pub booths: i64,
    /// Doors of the booths, as far as they are known.
    #[diesel(sql_type = BigInt)]
    pub doors: i64,
    /// Active workers on the rosters.
    #[diesel(sql_type = BigInt)]
    pub workers: i64,
    /// Posts that the rules of the committees want.
    #[diesel(sql_type = BigInt)]
    pub posts: i64,
    #[diesel(sql_type = BigInt)]
    pub held: i64,
    #[diesel(sql_type = BigInt)]
    pub confirmed: i64,
    /// Booths for which a committee is wanted.
    #[diesel(sql_type = BigInt)]
    pub committees: i64,
    /// Those all of whose posts are held.
    #[diesel(sql_type = BigInt)]
    pub named: i64,
    /// Those all of whose posts are held and confirmed.
    #[diesel(sql_type = BigInt)]
    pub complete: i64,
}

/// The counts of one unit.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct UnitCountsRow {
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(embed)]
    pub counts: CadreCounts,
}

/// Of which units the counts are asked.
#[derive(Clone, Copy, Debug)]
pub struct CadreAsk<'a> {
    /// Units of one level, all under the permit's unit or that unit itself.
    pub units: &'a [UnitId],
    /// Their level.
    pub level: &'a str,
    /// Whose committee rule; where the campaign has none, the one that stands.
    pub campaign_id: Option<CampaignId>,
    pub today: NaiveDate,
    /// As it was counted on that day, today or before; of booths, today alone is known.
    pub on: NaiveDate,
}

// Counts the units in `dirty` anew, each under the rule that stands and under those of campaigns. A worker counts once a
// post, however many grants give it to him.
macro_rules! fresh {
    () => {
        "fresh AS MATERIALIZED (
             SELECT u.id AS unit_id, k.campaign_id, u.state_id,
                    CASE WHEN u.level = 'booth' THEN coalesce(o.parent_id, u.id) ELSE u.id END AS place_id,
                    CASE WHEN u.level = 'booth' THEN coalesce(e.parent_id, 0) ELSE 0 END AS seat_id,
                    (k.campaign_id = 0 AND u.level = 'booth')::int AS booths,
                    CASE WHEN k.campaign_id = 0 AND u.level = 'booth' THEN coalesce(u.doors, 0) ELSE 0 END AS doors,
                    CASE WHEN k.campaign_id = 0 THEN (
                        SELECT count(*) FROM workers w WHERE w.unit_id = u.id AND w.active)::int ELSE 0 END AS workers,
                    coalesce(c.posts, 0) AS posts, coalesce(c.held, 0) AS held, coalesce(c.confirmed, 0) AS confirmed,
                    (c.posts > 0) IS TRUE AS wanted, coalesce(c.named, false) AS named,
                    coalesce(c.complete, false) AS complete, n.next_change_on
             FROM asked a, dirty d JOIN units u ON u.id = d.unit_id
             LEFT JOIN LATERAL (
                 SELECT p.parent_id FROM placements p WHERE p.unit_id = u.id AND p.tree = 'organisation'
                    AND p.valid_from <= a.today AND (p.valid_to IS NULL OR p.valid_to > a.today)) o ON true
             LEFT JOIN LATERAL (
                 SELECT p.parent_id FROM placements p WHERE p.unit_id = u.id AND p.tree = 'electorate'
                    AND p.valid_from <= a.today AND (p.valid_to IS NULL OR p.valid_to > a.today)) e ON true
             CROSS JOIN LATERAL (
                 SELECT 0 AS campaign_id
                 UNION SELECT r.campaign_id FROM committee_rules r
                 WHERE u.level = 'booth' AND r.unit_id IN (u.state_id, (SELECT id FROM units WHERE level = 'nation'))) k
             LEFT JOIN LATERAL (
                 SELECT r.posts FROM committee_rules r
                 WHERE u.level = 'booth' AND r.campaign_id = k.campaign_id
                   AND r.unit_id IN (u.state_id, (SELECT id FROM units WHERE level = 'nation'))
                 ORDER BY r.unit_id = u.state_id DESC, r.version DESC LIMIT 1) r ON true
             LEFT JOIN LATERAL (
                 SELECT sum(p.count)::int AS posts, sum(least(p.count, h.held))::int AS held,
                        sum(least(p.count, h.confirmed))::int AS confirmed,
                        bool_and(h.held >= p.count) AS named, bool_and(h.confirmed >= p.count) AS complete
                 FROM jsonb_to_recordset(r.posts) AS p (post text, count int)
                 CROSS JOIN LATERAL (
                     SELECT count(DISTINCT g.worker_id)::int AS held,
                            (count(DISTINCT g.worker_id) FILTER (WHERE f.grant_id IS NOT NULL))::int AS confirmed
                     FROM grants g JOIN workers w ON w.id = g.worker_id AND w.active
                     LEFT JOIN post_confirmations f ON f.grant_id = g.id
                     WHERE g.unit_id = u.id AND coalesce(g.post, g.role) = p.post AND g.ended_at IS NULL
                       AND g.valid_from <= a.today AND (g.valid_to IS NULL OR g.valid_to >= a.today)) h) c ON true
             CROSS JOIN LATERAL (
                 SELECT min(day) AS next_change_on FROM (
                     SELECT g.valid_from AS day FROM grants g WHERE g.unit_id = u.id AND g.ended_at IS NULL
                     UNION ALL SELECT g.valid_to + 1 FROM grants g WHERE g.unit_id = u.id AND g.ended_at IS NULL
                     UNION ALL SELECT p.valid_from FROM placements p WHERE p.unit_id = u.id
                     UNION ALL SELECT p.valid_to FROM placements p WHERE p.unit_id = u.id) x
                 WHERE x.day > a.today) n
         )"
    };
}

macro_rules! figures {
    ($alias:literal, $sign:literal) => {
        concat!(
            $sign,
            $alias,
            "booths AS booths, ",
            $sign,
            $alias,
            "doors AS doors, ",
            $sign,
            $alias,
            "workers AS workers, ",
            $sign,
            $alias,
            "posts AS posts, ",
            $sign,
            $alias,
            "held AS held, ",
            $sign,
            $alias,
            "confirmed AS confirmed, "
        )
    };
}

macro_rules! fresh_figures {
    () => {
        concat!(
            figures!("f.", ""),
            "f.wanted::int AS committees, f.named::int AS named, f.complete::int AS complete"
        )
    };
}

macro_rules! stored_figures {
    ($sign:literal) => {
        concat!(
            figures!("s.", $sign),
            $sign,
            "s.committees AS committees, ",
            $sign,
            "s.named AS named, ",
            $sign,
            "s.complete AS complete"
        )
    };
}

// Of the booths, doors and workers the rows of the standing rule tell; of the committees, those of the rule asked for.
macro_rules! sums {
    () => {
        "coalesce(sum(c.booths) FILTER (WHERE c.campaign_id = 0), 0)::bigint AS booths,
         coalesce(sum(c.doors) FILTER (WHERE c.campaign_id = 0), 0)::bigint AS doors,
         coalesce(sum(c.workers) FILTER (WHERE c.campaign_id = 0), 0)::bigint AS workers,
         coalesce(sum(c.posts) FILTER (WHERE c.campaign_id = k.campaign_id), 0)::bigint AS posts,
         coalesce(sum(c.held) FILTER (WHERE c.campaign_id = k.campaign_id), 0)::bigint AS held,
         coalesce(sum(c.confirmed) FILTER (WHERE c.campaign_id = k.campaign_id), 0)::bigint AS confirmed,
         coalesce(sum(c.committees) FILTER (WHERE c.campaign_id = k.campaign_id), 0)::bigint AS committees,
         coalesce(sum(c.named) FILTER (WHERE c.campaign_id = k.campaign_id), 0)::bigint AS named,
         coalesce(sum(c.complete) FILTER (WHERE c.campaign_id = k.campaign_id), 0)::bigint AS complete"
    };
}

// Which rule counts in each state: the campaign's, if it has one there or in the nation.
macro_rules! keys {
    () => {
        "keys AS MATERIALIZED (
             SELECT s.id AS state_id, CASE WHEN EXISTS (
                        SELECT 1 FROM committee_rules r WHERE r.campaign_id = a.campaign_id
                           AND r.unit_id IN (s.id, (SELECT id FROM units WHERE level = 'nation')))
                    THEN a.campaign_id ELSE 0 END AS campaign_id
             FROM asked a, unnest(a.states) AS s (id))"
    };
}

// Sums the changes by place and seat, and those by the units asked for.
macro_rules! spread {
    () => {
        concat!(
            "cells AS MATERIALIZED (
         SELECT c.place_id, c.seat_id, ",
            sums!(),
            " FROM changes c JOIN keys k ON k.state_id = c.state_id GROUP BY c.place_id, c.seat_id)
     SELECT x.id AS unit_id, sum(booths)::bigint AS booths, sum(doors)::bigint AS doors, sum(workers)::bigint AS workers,
            sum(posts)::bigint AS posts, sum(held)::bigint AS held, sum(confirmed)::bigint AS confirmed,
            sum(committees)::bigint AS committees, sum(named)::bigint AS named, sum(complete)::bigint AS complete
     FROM asked a, cells c CROSS JOIN LATERAL (
         SELECT DISTINCT unnest(l.unit_ids) AS id FROM lineages l WHERE l.unit_id IN (c.place_id, c.seat_id)
            AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)) x
     WHERE x.id = ANY ($5)
     GROUP BY x.id"
        )
    };
}

/// Units above the booth: the sums of their places and seats.
const COUNTS: &str = concat!(
    "WITH asked AS NOT MATERIALIZED (
         SELECT $1::date AS today, $2::date AS day, $3::int[] AS states, $4::int AS campaign_id),
     dirty AS MATERIALIZED (
         SELECT c.unit_id FROM asked a JOIN cadre_changes c ON c.state_id = ANY (a.states)
         UNION
         SELECT s.unit_id FROM asked a JOIN cadre_units s ON s.state_id = ANY (a.states) AND s.next_change_on <= a.today),
     ",
    fresh!(),
    ", ",
    keys!(),
    ",
     changes AS NOT MATERIALIZED (
         SELECT s.state_id, s.campaign_id, s.place_id, s.seat_id, ",
    stored_figures!(""),
    " FROM asked a JOIN cadre_tallies s ON s.state_id = ANY (a.states) AND s.day <= a.day
         UNION ALL
         SELECT s.state_id, s.campaign_id, s.place_id, s.seat_id, ",
    stored_figures!("-"),
    " FROM dirty d JOIN cadre_units s ON s.unit_id = d.unit_id
         UNION ALL
         SELECT f.state_id, f.campaign_id, f.place_id, f.seat_id, ",
    fresh_figures!(),
    " FROM fresh f),
     ",
    spread!(),
);

/// The same as on a day before: what has changed since is no part of it, so nothing is counted anew.
const COUNTS_BEFORE: &str = concat!(
    "WITH asked AS NOT MATERIALIZED (
         SELECT $1::date AS today, $2::date AS day, $3::int[] AS states, $4::int AS campaign_id),
     ",
    keys!(),
    ",
     changes AS NOT MATERIALIZED (
         SELECT s.state_id, s.campaign_id, s.place_id, s.seat_id, ",
    stored_figures!(""),
    " FROM asked a JOIN cadre_tallies s ON s.state_id = ANY (a.states) AND s.day <= a.day),
     ",
    spread!(),
);

/// Booths: as they were last counted, those at which something changed since counted anew.
const BOOTHS: &str = concat!(
    "WITH asked AS NOT MATERIALIZED (SELECT $1::date AS today, $2::int[] AS states, $3::int AS campaign_id),
     booths AS MATERIALIZED (SELECT unnest($4::int[]) AS unit_id),
     dirty AS MATERIALIZED (
         SELECT b.unit_id FROM asked a, booths b LEFT JOIN cadre_units s ON s.unit_id = b.unit_id AND s.campaign_id = 0
         WHERE s.unit_id IS NULL OR s.next_change_on <= a.today
            OR b.unit_id IN (SELECT c.unit_id FROM asked a JOIN cadre_changes c ON c.state_id = ANY (a.states))),
     ",
    fresh!(),
    ", ",
    keys!(),
    ",
     changes AS NOT MATERIALIZED (
         SELECT s.unit_id, s.state_id, s.campaign_id, ",
    stored_figures!(""),
    " FROM booths b JOIN cadre_units s ON s.unit_id = b.unit_id WHERE b.unit_id NOT IN (SELECT unit_id FROM dirty)
         UNION ALL
         SELECT f.unit_id, f.state_id, f.campaign_id, ",
    fresh_figures!(),
    " FROM fresh f)
     SELECT c.unit_id, ",
    sums!(),
    " FROM changes c JOIN keys k ON k.state_id = c.state_id GROUP BY c.unit_id"
);

/// What these units have. Units without anything are left out.
///
/// # Errors
/// What the database says.
pub async fn cadre_counts<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    ask: &CadreAsk<'_>,
) -> QueryResult<Vec<UnitCountsRow>> {
    let states = states_of(tx, permit).await?;
    let campaign_id = ask.campaign_id.unwrap_or(CampaignId(0));
    if ask.level == "booth" {
        if ask.on != ask.today {
            return Ok(Vec::new());
        }
        return statement(BOOTHS)
            .planned_anew()
            .bind::<Date, _>(ask.today)
            .bind::<Array<Integer>, _>(&states)
            .bind::<Integer, _>(campaign_id)
            .bind::<Array<Integer>, _>(ask.units)
            .load(tx)
            .await;
    }
    let counts = if ask.on == ask.today {
        COUNTS
    } else {
        COUNTS_BEFORE
    };
    statement(counts)
        .planned_anew()
        .bind::<Date, _>(ask.today)
        .bind::<Date, _>(ask.on)
        .bind::<Array<Integer>, _>(&states)
        .bind::<Integer, _>(campaign_id)
        .bind::<Array<Integer>, _>(ask.units)
        .load(tx)
        .await
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
}

/// The states whose rows are read: the unit's own, or every one and the nation itself.
pub async fn states_of<A>(tx: &mut Tx, permit: &Permit<A>) -> QueryResult<Vec<UnitId>> {
    if permit.level() != "nation" {
        return Ok(vec![permit.state_id()]);
    }
    let rows: Vec<IdRow> = statement("SELECT id FROM units WHERE level IN ('state', 'nation') ORDER BY id")
        .load(tx)
        .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// A unit as the counts show it.
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
}

/// The permit's unit.
pub async fn find_unit<A>(tx: &mut Tx, permit: &Permit<A>) -> QueryResult<UnitRow> {
    statement("SELECT id, code, level, name FROM units WHERE id = $1")
        .bind::<Integer, _>(permit.unit_id())
        .get_result(tx)
        .await
}

/// Units of a level under the permit's unit today, by id.
pub async fn units_at<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    level: &str,
    today: NaiveDate,
    after: Option<UnitId>,
    limit: i64,
) -> QueryResult<Vec<UnitRow>> {
    statement(
        "SELECT u.id, u.code, u.level, u.name FROM (SELECT $1::date AS today) a, lineages l JOIN units u ON u.id = l.unit_id
         WHERE l.unit_ids @> ARRAY[$2::int] AND u.level = $3 AND u.id > coalesce($4, 0)
           AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
         ORDER BY u.id LIMIT $5",
    )
    .bind::<Date, _>(today)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Text, _>(level)
    .bind::<Nullable<Integer>, _>(after)
    .bind::<BigInt, _>(limit + 1)
    .planned_anew()
    .load(tx)
    .await
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Counts at most so many units anew at which something changed, and carries the differences into the sums. How many
/// were counted; none while another process does it. What the marks that are taken stand for was committed before them,
/// so that it is seen by the statement after; a mark written meanwhile stays for the next time.
pub async fn recount_step(tx: &mut Tx, today: NaiveDate, limit: i64) -> QueryResult<i64> {
    if !take_turn(tx, RECOUNT_TURN).await? {
        return Ok(0);
    }
    let taken: Vec<IdRow> = statement(
        "WITH marked AS (
             DELETE FROM cadre_changes WHERE ctid = ANY (ARRAY(SELECT ctid FROM cadre_changes LIMIT $1)) RETURNING unit_id),
         due AS (SELECT unit_id FROM cadre_units WHERE next_change_on <= $2 LIMIT $3)
         SELECT unit_id AS id FROM marked UNION SELECT unit_id FROM due",
    )
    .bind::<BigInt, _>(limit)
    .bind::<Date, _>(today)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await?;
    if taken.is_empty() {
        return Ok(0);
    }
    let counted = i64::try_from(taken.len()).unwrap_or(i64::MAX);
    statement(concat!(
        "WITH asked AS NOT MATERIALIZED (SELECT $1::date AS today),
         dirty AS MATERIALIZED (SELECT unnest($2::int[]) AS unit_id),
         ",
        fresh!(),
        ",
         before AS MATERIALIZED (SELECT s.* FROM dirty d JOIN cadre_units s ON s.unit_id = d.unit_id),
         sums AS (
             INSERT INTO cadre_tallies
             SELECT x.state_id, x.campaign_id, x.place_id, x.seat_id, a.today, sum(x.booths), sum(x.doors), sum(x.workers),
                    sum(x.posts), sum(x.held), sum(x.confirmed), sum(x.committees), sum(x.named), sum(x.complete)
             FROM asked a, (
                 SELECT s.state_id, s.campaign_id, s.place_id, s.seat_id, ",
        stored_figures!("-"),
        " FROM before s
                 UNION ALL
                 SELECT f.state_id, f.campaign_id, f.place_id, f.seat_id, ",
        fresh_figures!(),
        " FROM fresh f) x
             GROUP BY x.state_id, x.campaign_id, x.place_id, x.seat_id, a.today
             HAVING sum(x.booths) <> 0 OR sum(x.doors) <> 0 OR sum(x.workers) <> 0 OR sum(x.posts) <> 0
                 OR sum(x.held) <> 0 OR sum(x.confirmed) <> 0 OR sum(x.committees) <> 0 OR sum(x.named) <> 0
                 OR sum(x.complete) <> 0)
         INSERT INTO cadre_units AS s (unit_id, campaign_id, state_id, place_id, seat_id, booths, doors, workers, posts,
             held, confirmed, committees, named, complete, next_change_on)
         SELECT f.unit_id, f.campaign_id, f.state_id, f.place_id, f.seat_id, ",
        fresh_figures!(),
        ", f.next_change_on FROM fresh f
         ON CONFLICT (unit_id, campaign_id) DO UPDATE SET
             state_id = excluded.state_id, place_id = excluded.place_id, seat_id = excluded.seat_id,
             booths = excluded.booths, doors = excluded.doors, workers = excluded.workers, posts = excluded.posts,
             held = excluded.held, confirmed = excluded.confirmed, committees = excluded.committees,
             named = excluded.named, complete = excluded.complete, next_change_on = excluded.next_change_on"
    ))
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(taken.iter().map(|row| row.id).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(counted)
}

/// Sums up the changes of a state: one row a place, seat, rule and day, and none told apart from before `since`.
pub async fn fold_tallies(tx: &mut Tx, since: NaiveDate) -> QueryResult<i64> {
    let row: CountRow = statement(
        "WITH crowded AS (
             SELECT state_id FROM cadre_tallies GROUP BY state_id
             HAVING count(*) > 2 * count(DISTINCT (campaign_id, place_id, seat_id, greatest(day, $1))) LIMIT 1),
         taken AS (DELETE FROM cadre_tallies WHERE state_id IN (SELECT state_id FROM crowded) RETURNING *),
         summed AS (
             INSERT INTO cadre_tallies
             SELECT state_id, campaign_id, place_id, seat_id, greatest(day, $2), sum(booths), sum(doors), sum(workers),
                    sum(posts), sum(held), sum(confirmed), sum(committees), sum(named), sum(complete)
             FROM taken GROUP BY 1, 2, 3, 4, 5)
         SELECT count(*) AS n FROM taken",
    )
    .bind::<Date, _>(since)
    .bind::<Date, _>(since)
    .get_result(tx)
    .await?;
    Ok(row.n)
}
