//! Entrants: workers who came from another party.

use chrono::NaiveDate;
use diesel::sql_types::{BigInt, Bool, Date, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use crate::access::Permit;
use crate::access::actions::PostRead;
use crate::platform::db::Tx;
use crate::platform::ids::{UnitId, WorkerId};
use crate::platform::statement::statement;

/// An entrant.
#[derive(Clone, Debug, QueryableByName)]
pub struct EntrantRow {
    #[diesel(sql_type = Integer)]
    pub worker_id: WorkerId,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Text)]
    pub party: String,
    #[diesel(sql_type = Nullable<Date>)]
    pub joined_on: Option<NaiveDate>,
    #[diesel(sql_type = BigInt)]
    pub posts: i64,
    #[diesel(sql_type = BigInt)]
    pub confirmed: i64,
}

/// How many entrants came from one party so long ago, and how many of them hold a post.
#[derive(Clone, Debug, QueryableByName)]
pub struct EntrantCountRow {
    /// The unit straight below the one asked about; null: on its own roster.
    #[diesel(sql_type = Nullable<Integer>)]
    pub unit_id: Option<UnitId>,
    #[diesel(sql_type = Nullable<Text>)]
    pub unit_name: Option<String>,
    #[diesel(sql_type = Text)]
    pub party: String,
    #[diesel(sql_type = Nullable<Integer>)]
    pub days: Option<i32>,
    #[diesel(sql_type = BigInt)]
    pub entrants: i64,
    #[diesel(sql_type = BigInt)]
    pub holding: i64,
    #[diesel(sql_type = BigInt)]
    pub confirmed: i64,
}

/// Which entrants.
#[derive(Clone, Debug, Default)]
pub struct EntrantAsk {
    pub party: Option<String>,
    pub with_post: Option<bool>,
    pub joined_from: Option<NaiveDate>,
    pub joined_to: Option<NaiveDate>,
    pub after: Option<WorkerId>,
    pub limit: i64,
}

// Active entrants on the rosters at and under the unit, with the posts that they hold anywhere today. A party goes by its
// main name, if its names have been joined (see elections).
macro_rules! entrants {
    () => {
        "entrants AS MATERIALIZED (
             SELECT w.id, w.name, w.unit_id, l.unit_ids, coalesce(m.name, w.origin_party) AS party, w.origin_joined_on,
                    p.posts, p.confirmed
             FROM asked a JOIN lineages l ON l.unit_ids @> ARRAY[a.unit_id]
                 AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
             JOIN workers w ON w.unit_id = l.unit_id AND w.origin_party IS NOT NULL AND w.active
             LEFT JOIN party_names n
                 ON n.key = lower(regexp_replace(btrim(w.origin_party), '\\s+', ' ', 'g'))
             LEFT JOIN party_names m ON m.party_id = n.party_id AND m.is_main
             CROSS JOIN LATERAL (
                 SELECT count(*) AS posts, count(c.grant_id) AS confirmed
                 FROM grants g LEFT JOIN post_confirmations c ON c.grant_id = g.id
                 WHERE g.worker_id = w.id AND g.ended_at IS NULL AND g.valid_from <= a.today
                   AND (g.valid_to IS NULL OR g.valid_to >= a.today)) p)"
    };
}

/// Entrants one by one, by worker.
pub async fn list_entrants(
    tx: &mut Tx,
    permit: &Permit<PostRead>,
    today: NaiveDate,
    ask: &EntrantAsk,
) -> QueryResult<Vec<EntrantRow>> {
    statement(concat!(
        "WITH asked AS NOT MATERIALIZED (
             SELECT $1::date AS today, $2::int AS unit_id, $3::text AS party, $4::bool AS with_post,
                    $5::date AS joined_from, $6::date AS joined_to, $7::int AS after), ",
        entrants!(),
        " SELECT e.id AS worker_id, e.name, e.unit_id, e.party, e.origin_joined_on AS joined_on, e.posts, e.confirmed
          FROM asked a, entrants e
          WHERE e.id > a.after AND (a.party IS NULL OR lower(e.party) = lower(a.party))
            AND (a.with_post IS NULL OR a.with_post = (e.posts > 0))
            AND (a.joined_from IS NULL OR e.origin_joined_on >= a.joined_from)
            AND (a.joined_to IS NULL OR e.origin_joined_on <= a.joined_to)
          ORDER BY e.id LIMIT $8"
    ))
    .bind::<Date, _>(today)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Nullable<Text>, _>(ask.party.as_deref())
    .bind::<Nullable<Bool>, _>(ask.with_post)
    .bind::<Nullable<Date>, _>(ask.joined_from)
    .bind::<Nullable<Date>, _>(ask.joined_to)
    .bind::<Integer, _>(ask.after.unwrap_or(WorkerId(0)))
    .bind::<BigInt, _>(ask.limit.saturating_add(1))
    .load(tx)
    .await
}

/// Entrants counted by the unit straight below in the organisation, by party and by days since joining.
pub async fn count_entrants(
    tx: &mut Tx,
    permit: &Permit<PostRead>,
    today: NaiveDate,
) -> QueryResult<Vec<EntrantCountRow>> {
    statement(concat!(
        "WITH asked AS NOT MATERIALIZED (SELECT $1::date AS today, $2::int AS unit_id), ",
        entrants!(),
        " SELECT u.id AS unit_id, u.name AS unit_name, e.party, a.today - e.origin_joined_on AS days,
                 count(*) AS entrants, count(*) FILTER (WHERE e.posts > 0) AS holding,
                 count(*) FILTER (WHERE e.confirmed > 0) AS confirmed
          FROM asked a, entrants e
          LEFT JOIN LATERAL (
              SELECT c.id, c.name FROM asked a JOIN placements p ON p.parent_id = a.unit_id AND p.tree = 'organisation'
                  AND p.valid_from <= a.today AND (p.valid_to IS NULL OR p.valid_to > a.today)
              JOIN units c ON c.id = p.unit_id
              WHERE c.id = ANY (e.unit_ids)) u ON true
          GROUP BY u.id, u.name, e.party, a.today - e.origin_joined_on
          ORDER BY u.id, e.party"
    ))
    .bind::<Date, _>(today)
    .bind::<Integer, _>(permit.unit_id())
    .load(tx)
    .await
}
