//! Reading elections, seats and parties.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::RunQueryDsl;
use serde::Deserialize;

use super::rules::party_key;
use super::wire::{ElectionView, PartyNameView};
use crate::access::actions::{ElectionRead, ElectionWrite};
use crate::access::{Permit, Scope};
use crate::platform::db::Tx;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;
use crate::platform::stored::Stored;

pub mod import;
pub mod parties;

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct ElectionRow {
    #[diesel(sql_type = Integer)]
    pub id: i32,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Nullable<Date>)]
    pub held_on: Option<NaiveDate>,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}

/// A candidate's line.
#[derive(Clone, Debug, Deserialize, diesel::QueryableByName)]
pub struct CandidateRow {
    #[diesel(sql_type = Text)]
    pub candidate: String,
    #[diesel(sql_type = Text)]
    pub party: String,
    #[diesel(sql_type = Integer)]
    pub party_id: i32,
    #[diesel(sql_type = Integer)]
    pub votes: i32,
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub place: Option<i16>,
}

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct SeatRow {
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub level: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub votes: i32,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub winner: Option<Stored<CandidateRow>>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub runner_up: Option<Stored<CandidateRow>>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub party: Option<Stored<CandidateRow>>,
    #[diesel(sql_type = BigInt)]
    pub sort_number: i64,
    #[diesel(sql_type = Text)]
    pub sort_text: String,
    /// How many match, on all pages.
    #[diesel(sql_type = BigInt)]
    pub matching: i64,
}

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct PartyRow {
    #[diesel(sql_type = Integer)]
    pub id: i32,
    #[diesel(sql_type = Jsonb)]
    pub names: Stored<Vec<PartyNameView>>,
}

/// Every election, by code.
pub async fn list_elections(
    tx: &mut Tx,
    _scope: &Scope<ElectionRead>,
    after: Option<String>,
    limit: i64,
) -> QueryResult<Vec<ElectionRow>> {
    statement(
        "SELECT id, code, name, held_on, version, created_at, updated_at FROM elections
         WHERE code > coalesce($1, '') ORDER BY code LIMIT $2",
    )
    .bind::<Nullable<Text>, _>(after)
    .bind::<BigInt, _>(limit + 1)
    .load(tx)
    .await
}

/// The election with this code.
pub async fn find_election(
    tx: &mut Tx,
    _scope: &Scope<ElectionRead>,
    code: &str,
) -> QueryResult<Option<ElectionRow>> {
    statement(
        "SELECT id, code, name, held_on, version, created_at, updated_at FROM elections WHERE code = $1",
    )
    .bind::<Text, _>(code)
    .get_result(tx)
    .await
    .optional()
}

/// The number of the election with this code.
///
/// # Errors
/// What the database says.
pub async fn find_election_id(
    tx: &mut Tx,
    scope: &Scope<ElectionRead>,
    code: &str,
) -> QueryResult<Option<i32>> {
    Ok(find_election(tx, scope, code).await?.map(|row| row.id))
}

/// The number of the party with this name.
///
/// # Errors
/// What the database says.
pub async fn find_party_id(tx: &mut Tx, scope: &Scope<ElectionRead>, name: &str) -> QueryResult<Option<i32>> {
    parties::find_party_by_name(tx, scope, &party_key(name)).await
}

/// Holds an election until the transaction ends.
pub async fn lock_election(tx: &mut Tx, code: &str) -> QueryResult<()> {
    statement("SELECT id FROM elections WHERE code = $1 FOR UPDATE")
        .bind::<Text, _>(code)
        .execute(tx)
        .await
        .map(|_| ())
}

/// Writes an election as it shall be.
pub async fn update_election(
    tx: &mut Tx,
    permit: &Permit<ElectionWrite>,
    id: i32,
    view: &ElectionView,
) -> QueryResult<ElectionRow> {
    statement(
        "UPDATE elections SET name = $1, held_on = $2, version = $3, updated_at = $4 WHERE id = $5
         RETURNING id, code, name, held_on, version, created_at, updated_at",
    )
    .bind::<Text, _>(&view.name)
    .bind::<Nullable<Date>, _>(view.held_on)
    .bind::<Integer, _>(view.version)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Integer, _>(id)
    .get_result(tx)
    .await
}

/// How seats are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeatSort {
    #[default]
    Code,
    Margin,
    Deficit,
}

/// Which seats of an election.
#[derive(Clone, Debug, Default)]
pub struct SeatFilter {
    pub election_id: i32,
    pub party_id: Option<i32>,
    /// Won or lost by the party.
    pub won: Option<bool>,
    /// Lost by the party, by fewer votes than this.
    pub deficit_below: Option<i32>,
    /// Decided by fewer votes than this, whoever won.
    pub margin_below: Option<i32>,
    pub level: Option<String>,
}

/// A page of them.
#[derive(Clone, Debug, Default)]
pub struct SeatAsk {
    pub filter: SeatFilter,
    pub sort: SeatSort,
    pub descending: bool,
    pub after: Option<(i64, String)>,
    pub limit: i64,
}

// A party is asked for by its best placed candidate; a margin takes two who stood.
macro_rules! matched {
    () => {
        "WITH asked AS MATERIALIZED (
             SELECT $1::int AS election_id, $2::int[] AS roots, $3::date AS today, $4::int AS party_id, $5::bool AS won,
                    $6::int AS deficit_below, $7::int AS margin_below, $8::text AS level
         ), matched AS MATERIALIZED (
             SELECT s.state_id, s.unit_id, s.votes, u.code, u.level, u.name, w.line AS winner, r.line AS runner_up,
                    p.line AS party, w.votes - r.votes AS margin,
                    CASE WHEN p.place > 1 THEN w.votes - p.votes END AS deficit
             FROM asked a
             JOIN election_seats s ON s.election_id = a.election_id
             JOIN units u ON u.id = s.unit_id
             JOIN lineages l ON l.unit_id = s.unit_id AND l.valid_from <= a.today
                            AND (l.valid_to IS NULL OR l.valid_to > a.today) AND l.unit_ids && a.roots
             LEFT JOIN election_results w ON w.election_id = s.election_id AND w.unit_id = s.unit_id AND w.place = 1
             LEFT JOIN election_results r ON r.election_id = s.election_id AND r.unit_id = s.unit_id AND r.place = 2
             LEFT JOIN LATERAL (
                 SELECT x.line, x.votes, x.place FROM election_results x JOIN party_names n ON n.id = x.party_name_id
                 WHERE a.party_id IS NOT NULL AND x.election_id = s.election_id AND x.unit_id = s.unit_id
                   AND x.place IS NOT NULL AND n.party_id = a.party_id
                 ORDER BY x.place LIMIT 1
             ) p ON true
             WHERE (CASE WHEN a.level IS NULL THEN u.level <> 'booth' ELSE u.level = a.level END)
               AND (a.party_id IS NULL OR p.place IS NOT NULL)
               AND (a.won IS NULL OR (p.place = 1) = a.won)
               AND (a.deficit_below IS NULL OR (p.place > 1 AND w.votes - p.votes < a.deficit_below))
               AND (a.margin_below IS NULL OR w.votes - r.votes < a.margin_below)
         )"
    };
}

// A seat without a margin or a deficit comes after all that have one, whichever way they are ordered.
const SEATS: &str = concat!(
    matched!(),
    ", ordered AS (
         SELECT m.*, coalesce(CASE o.sort WHEN 'margin' THEN m.margin WHEN 'deficit' THEN m.deficit ELSE 0 END * o.sign,
                              2147483648)::bigint AS sort_number
         FROM matched m, (SELECT $9::text AS sort, $10::int AS sign) o
     ), line AS NOT MATERIALIZED (
         SELECT x.state_id, x.election_id, x.unit_id, x.line,
                jsonb_build_object('candidate', x.candidate, 'party', n.name, 'party_id', n.party_id, 'votes', x.votes,
                                   'place', x.place) AS said
         FROM election_results x JOIN party_names n ON n.id = x.party_name_id
     )
     SELECT o.unit_id, o.code, o.level, o.name, o.state_id, o.votes, w.said AS winner, r.said AS runner_up, p.said AS party,
            o.sort_number, o.code AS sort_text, (SELECT count(*) FROM matched) AS matching
     FROM ordered o
     LEFT JOIN line w ON w.state_id = o.state_id AND w.election_id = (SELECT election_id FROM asked) AND w.unit_id = o.unit_id
                     AND w.line = o.winner
     LEFT JOIN line r ON r.state_id = o.state_id AND r.election_id = (SELECT election_id FROM asked) AND r.unit_id = o.unit_id
                     AND r.line = o.runner_up
     LEFT JOIN line p ON p.state_id = o.state_id AND p.election_id = (SELECT election_id FROM asked) AND p.unit_id = o.unit_id
                     AND p.line = o.party
     WHERE (o.sort_number, o.code) > (coalesce($11::bigint, -9223372036854775807), coalesce($12, ''))
     ORDER BY o.sort_number, o.code LIMIT $13"
);

/// The seats of an election under the roots of the scope that match.
pub async fn list_seats(
    tx: &mut Tx,
    scope: &Scope<ElectionRead>,
    today: NaiveDate,
    ask: &SeatAsk,
) -> QueryResult<Vec<SeatRow>> {
    let (sort_number, sort_text) = ask.after.clone().unzip();
    let sort = match ask.sort {
        SeatSort::Code => "code",
        SeatSort::Margin => "margin",
        SeatSort::Deficit => "deficit",
    };
    statement(SEATS)
        .bind::<Integer, _>(ask.filter.election_id)
        .bind::<Array<Integer>, _>(scope.roots())
        .bind::<Date, _>(today)
        .bind::<Nullable<Integer>, _>(ask.filter.party_id)
        .bind::<Nullable<Bool>, _>(ask.filter.won)
        .bind::<Nullable<Integer>, _>(ask.filter.deficit_below)
        .bind::<Nullable<Integer>, _>(ask.filter.margin_below)
        .bind::<Nullable<Text>, _>(ask.filter.level.as_deref())
        .bind::<Text, _>(sort)
        .bind::<Integer, _>(if ask.descending { -1 } else { 1 })
        .bind::<Nullable<BigInt>, _>(sort_number)
        .bind::<Nullable<Text>, _>(sort_text)
        .bind::<BigInt, _>(ask.limit + 1)
        .load(tx)
        .await
}

#[derive(diesel::QueryableByName)]
struct UnitIdRow {
    #[diesel(sql_type = Integer)]
    unit_id: UnitId,
}

/// The ids of all seats under the roots that match, in order: for rules that make target seats.
///
/// # Errors
/// What the database says.
pub async fn matching_seats(
    tx: &mut Tx,
    scope: &Scope<ElectionRead>,
    today: NaiveDate,
    filter: &SeatFilter,
) -> QueryResult<Vec<UnitId>> {
    let rows: Vec<UnitIdRow> = statement(concat!(
        matched!(),
        " SELECT unit_id FROM matched ORDER BY unit_id"
    ))
    .bind::<Integer, _>(filter.election_id)
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Date, _>(today)
    .bind::<Nullable<Integer>, _>(filter.party_id)
    .bind::<Nullable<Bool>, _>(filter.won)
    .bind::<Nullable<Integer>, _>(filter.deficit_below)
    .bind::<Nullable<Integer>, _>(filter.margin_below)
    .bind::<Nullable<Text>, _>(filter.level.as_deref())
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| row.unit_id).collect())
}

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct SeatHeadRow {
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub level: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Integer)]
    pub votes: i32,
    #[diesel(sql_type = Timestamptz)]
    pub imported_at: DateTime<Utc>,
}

/// The seat of the permit in an election, if it has results.
pub async fn find_seat(
    tx: &mut Tx,
    permit: &Permit<ElectionRead>,
    election_id: i32,
) -> QueryResult<Option<SeatHeadRow>> {
    statement(
        "SELECT u.code, u.level, u.name, s.votes, s.imported_at
         FROM election_seats s JOIN units u ON u.id = s.unit_id
         WHERE s.state_id = $1 AND s.election_id = $2 AND s.unit_id = $3",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(election_id)
    .bind::<Integer, _>(permit.unit_id())
    .get_result(tx)
    .await
    .optional()
}

/// Every candidate's line in a seat.
pub async fn list_candidates(
    tx: &mut Tx,
    permit: &Permit<ElectionRead>,
    election_id: i32,
) -> QueryResult<Vec<CandidateRow>> {
    statement(
        "SELECT x.candidate, n.name AS party, n.party_id, x.votes, x.place
         FROM election_results x JOIN party_names n ON n.id = x.party_name_id
         WHERE x.state_id = $1 AND x.election_id = $2 AND x.unit_id = $3
         ORDER BY x.place NULLS LAST, x.line",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(election_id)
    .bind::<Integer, _>(permit.unit_id())
    .load(tx)
    .await
}
