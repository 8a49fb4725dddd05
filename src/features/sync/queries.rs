//! What a phone should hold, in one snapshot. Hashes are made here as `rules::item_value` makes them.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::QueryResult;
use diesel::sql_types::{
    Array, BigInt, Bool, Date, Double, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::rules::{MAX_UNITS, VISIT_DAYS};
use crate::access::Scope;
use crate::access::actions::SyncRead;
use crate::features::visits::{FlagAnswer, SealedAnswers, flag_answers, open_answers, visit_late};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, HouseholdId, UnitId, VisitId};
use crate::platform::statement::statement;

#[derive(Clone, Debug, diesel::QueryableByName)]
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
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = Nullable<Integer>)]
    pub organisation: Option<UnitId>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub electorate: Option<UnitId>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub electors: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub doors: Option<i32>,
    #[diesel(sql_type = Nullable<Double>)]
    pub lat: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub lon: Option<f64>,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Array<Integer>)]
    pub lineage: Vec<UnitId>,
}

/// The units in scope today, one more than a phone may hold if there are so many. In no order, so that a scope that is far
/// too wide is known after its first rows.
pub async fn units(tx: &mut Tx, scope: &Scope<SyncRead>, today: NaiveDate) -> QueryResult<Vec<UnitRow>> {
    statement(
        "SELECT u.id, u.code, u.level, u.name, u.name_local, u.state_id, u.electors, u.doors, u.lat, u.lon, u.version,
                l.unit_ids AS lineage,
                (SELECT p.parent_id FROM placements p WHERE p.unit_id = u.id AND p.tree = 'organisation'
                     AND p.valid_from <= $1 AND (p.valid_to IS NULL OR p.valid_to > $2)) AS organisation,
                (SELECT p.parent_id FROM placements p WHERE p.unit_id = u.id AND p.tree = 'electorate'
                     AND p.valid_from <= $3 AND (p.valid_to IS NULL OR p.valid_to > $4)) AS electorate
         FROM lineages l JOIN units u ON u.id = l.unit_id
         WHERE l.unit_ids && $5 AND l.valid_from <= $6 AND (l.valid_to IS NULL OR l.valid_to > $7) LIMIT $8",
    )
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<BigInt, _>(bound(MAX_UNITS.saturating_add(1)))
    .load(tx)
    .await
}

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct UpperRow {
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
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
}

/// What may be told of units that lie above those in scope: their names. The ids are from lineages of units in scope.
pub async fn uppers(tx: &mut Tx, ids: &[UnitId]) -> QueryResult<Vec<UpperRow>> {
    statement("SELECT id, code, level, name, name_local, state_id FROM units WHERE id = ANY ($1)")
        .bind::<Array<Integer>, _>(ids)
        .load(tx)
        .await
}

#[derive(Clone, Copy, Debug, diesel::QueryableByName)]
pub struct NumberRow {
    #[diesel(sql_type = Integer)]
    pub key: i32,
    #[diesel(sql_type = BigInt)]
    pub number: i64,
}

/// How long the journals of these states are in this snapshot.
pub async fn journal_heads(tx: &mut Tx, states: &[UnitId]) -> QueryResult<Vec<NumberRow>> {
    statement(
        "SELECT s.key, coalesce(h.size, 0) AS number FROM unnest($1::int[]) AS s (key)
         LEFT JOIN journal_heads h ON h.state_id = s.key",
    )
    .bind::<Array<Integer>, _>(states)
    .load(tx)
    .await
}

/// The hash of the households of each of these booths that has any. Seen from afar their places are blurred, which is part
/// of their `rev`.
pub async fn household_hashes(
    tx: &mut Tx,
    booths: &[UnitId],
    from_afar: &[UnitId],
) -> QueryResult<Vec<NumberRow>> {
    statement(
        "SELECT h.booth_id AS key, bit_xor(('x' || left(encode(sha256(convert_to(h.id || ':' || h.version
                || CASE WHEN h.booth_id = ANY ($1) THEN '~' ELSE '' END, 'UTF8')), 'hex'), 16))::bit(64)::bigint) AS number
         FROM households h WHERE h.booth_id = ANY ($2) GROUP BY h.booth_id",
    )
    .bind::<Array<Integer>, _>(from_afar)
    .bind::<Array<Integer>, _>(booths)
    .load(tx)
    .await
}

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct HouseholdRow {
    #[diesel(sql_type = SqlUuid)]
    pub id: HouseholdId,
    #[diesel(sql_type = Integer)]
    pub booth_id: UnitId,
    #[diesel(sql_type = Text)]
    pub label: String,
    #[diesel(sql_type = Nullable<Integer>)]
    pub electors: Option<i32>,
    #[diesel(sql_type = Nullable<Double>)]
    pub lat: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub lon: Option<f64>,
    #[diesel(sql_type = Integer)]
    pub version: i32,
}

/// Households of booths in scope, booth by booth as they are named and by id, each booth's after the id named beside it.
pub async fn households(
    tx: &mut Tx,
    booths: &[(UnitId, Uuid)],
    limit: usize,
) -> QueryResult<Vec<HouseholdRow>> {
    statement(
        "SELECT h.id, h.booth_id, h.label, h.electors, h.lat, h.lon, h.version
         FROM unnest($1::int[], $2::uuid[]) WITH ORDINALITY AS b (booth_id, after, n)
         JOIN households h ON h.booth_id = b.booth_id AND h.id > b.after
         ORDER BY b.n, h.id LIMIT $3",
    )
    .bind::<Array<Integer>, _>(booths.iter().map(|(booth, _)| *booth).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(booths.iter().map(|(_, after)| *after).collect::<Vec<_>>())
    .bind::<BigInt, _>(bound(limit))
    .load(tx)
    .await
}

/// Households of booths in scope that the journal names, after the number given beside each booth or not yet posted; by
/// booth and id.
pub async fn changed_households(
    tx: &mut Tx,
    booths: &[(UnitId, i64)],
    limit: usize,
) -> QueryResult<Vec<HouseholdRow>> {
    statement(
        "WITH booths AS MATERIALIZED (
             SELECT * FROM unnest($1::int[], $2::bigint[]) AS b (booth_id, number)
         ), named AS (
             SELECT b.booth_id, s.id FROM booths b
             JOIN journal j ON j.unit_id = b.booth_id AND j.number > b.number AND j.subject = 'household',
                  unnest(j.subject_uuids) AS s (id)
             UNION
             SELECT b.booth_id, s.id FROM booths b
             JOIN journal_inbox i ON i.unit_id = b.booth_id AND i.subject = 'household',
                  unnest(i.subject_uuids) AS s (id)
         )
         SELECT h.id, h.booth_id, h.label, h.electors, h.lat, h.lon, h.version
         FROM named n JOIN households h ON h.booth_id = n.booth_id AND h.id = n.id
         ORDER BY h.booth_id, h.id LIMIT $3",
    )
    .bind::<Array<Integer>, _>(booths.iter().map(|(booth, _)| *booth).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(booths.iter().map(|(_, number)| *number).collect::<Vec<_>>())
    .bind::<BigInt, _>(bound(limit))
    .load(tx)
    .await
}

/// The number of the last verdict on a visit, 0 if there is none: verdicts make no version of it.
macro_rules! last_review {
    () => {
        "coalesce((SELECT max(r.number) FROM reviews r WHERE r.state_id = v.state_id AND r.visit_id = v.id), 0)"
    };
}

/// What of a visit is shown to its author, in 8 hexadecimal digits. All else of it is fixed or moves `version`. Where it
/// is flagged, the language of the reasons ($1) and the number of the last answer are part of it.
macro_rules! visit_rev {
    () => {
        concat!(
            "left(encode(sha256(convert_to(v.version || '|' || v.review || '|' || ",
            last_review!(),
            " || '|' || v.flags::text || CASE WHEN v.flags = '[]' THEN '' ELSE '|' || $1::text || '|' || coalesce((
                 SELECT max(a.number) FROM flag_answers a WHERE a.state_id = v.state_id AND a.visit_id = v.id), 0) END,
                 'UTF8')), 'hex'), 8)"
        )
    };
}

/// The hash of the caller's own visits of each day that has any.
pub async fn visit_hashes(
    tx: &mut Tx,
    scope: &Scope<SyncRead>,
    language: &str,
    today: NaiveDate,
) -> QueryResult<Vec<NumberRow>> {
    statement(concat!(
        "SELECT v.visited_on - date '0001-01-01' + 1 AS key,
                bit_xor(('x' || left(encode(sha256(convert_to(v.id || ':' || ",
        visit_rev!(),
        ", 'UTF8')), 'hex'), 16))::bit(64)::bigint) AS number
         FROM visits v WHERE v.worker_id = $2 AND v.visited_on >= $3 GROUP BY v.visited_on"
    ))
    .bind::<Text, _>(language)
    .bind::<Nullable<Integer>, _>(scope.actor().worker_id)
    .bind::<Date, _>(today - VISIT_DAYS)
    .load(tx)
    .await
}

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct VisitRow {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    pub id: VisitId,
    #[diesel(sql_type = Text)]
    pub rev: String,
    #[diesel(sql_type = Integer)]
    pub booth_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub campaign_id: CampaignId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub household_id: Option<HouseholdId>,
    #[diesel(sql_type = Timestamptz)]
    pub visited_at: DateTime<Utc>,
    #[diesel(sql_type = Date)]
    pub visited_on: NaiveDate,
    #[diesel(sql_type = Text)]
    pub outcome: String,
    #[diesel(sql_type = Jsonb)]
    pub flags: Value,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub flag_answers_sealed: SealedAnswers,
    #[diesel(sql_type = Text)]
    pub review: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub review_reason: Option<String>,
    #[diesel(sql_type = Bool)]
    pub voided: bool,
    #[diesel(sql_type = Nullable<Text>)]
    pub void_reason: Option<String>,
    #[diesel(sql_type = Bool)]
    pub late: bool,
    #[diesel(sql_type = Integer)]
    pub version: i32,
}

/// The caller's own visits of some days, day by day as they are named and by id, each day's after the id named beside it;
/// with what he says to their flags.
pub async fn visits(
    tx: &mut Tx,
    keys: &DataKeys,
    scope: &Scope<SyncRead>,
    language: &str,
    days: &[(NaiveDate, Uuid)],
    limit: usize,
) -> QueryResult<Vec<(VisitRow, Vec<FlagAnswer>)>> {
    let rows: Vec<VisitRow> = statement(concat!(
        "SELECT v.state_id, v.id, ",
        visit_rev!(),
        " AS rev, ",
        flag_answers!(),
        ", v.booth_id, v.campaign_id, v.household_id, v.visited_at, v.visited_on, v.outcome, v.flags, v.review,
                (SELECT r.reason FROM reviews r WHERE r.state_id = v.state_id AND r.visit_id = v.id
                 ORDER BY r.number DESC LIMIT 1) AS review_reason,
                v.voided_at IS NOT NULL AS voided, v.void_reason, v.version, ",
        visit_late!(),
        " AS late
         FROM unnest($2::date[], $3::uuid[]) WITH ORDINALITY AS d (day, after, n)
         JOIN visits v ON v.visited_on = d.day AND v.id > d.after AND v.worker_id = $4
         ORDER BY d.n, v.id LIMIT $5"
    ))
    .bind::<Text, _>(language)
    .bind::<Array<Date>, _>(days.iter().map(|(day, _)| *day).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(days.iter().map(|(_, after)| *after).collect::<Vec<_>>())
    .bind::<Nullable<Integer>, _>(scope.actor().worker_id)
    .bind::<BigInt, _>(bound(limit))
    .load(tx)
    .await?;
    let opened = rows.into_iter().map(|mut row| {
        let sealed = row.flag_answers_sealed.take();
        let answers = open_answers(keys, (row.state_id, row.id), sealed)?;
        Ok((row, answers))
    });
    opened.collect()
}

fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
