//! Posts, confirmations and the rules of committees; counts and entrants have rooms of their own.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{
    Array, BigInt, Bool, Date, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::wire::{NewCommitteeRule, PostCount, PostFilter};
use crate::access::actions::{CommitteeWrite, PostRead};
use crate::access::{Caller, Permit, Scope};
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, GrantId, UnitId, WorkerId};
use crate::platform::statement::statement;
use crate::platform::stored::Stored;

pub mod counts;
pub mod entrants;
pub mod vacancies;

/// A post with its holder.
#[derive(Clone, Debug, QueryableByName)]
pub struct PostRow {
    #[diesel(sql_type = Integer)]
    pub id: GrantId,
    #[diesel(sql_type = Text)]
    pub post: String,
    #[diesel(sql_type = Text)]
    pub role: String,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub worker_id: WorkerId,
    /// Null where he is out of sight by now.
    #[diesel(sql_type = Nullable<Text>)]
    pub worker_name: Option<String>,
    #[diesel(sql_type = Date)]
    pub valid_from: NaiveDate,
    #[diesel(sql_type = Nullable<Date>)]
    pub valid_to: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub ended_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub confirmed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Bool)]
    pub holds: bool,
}

// Who held a post here and has gone elsewhere since is behind the second wall: of him the post is told, not the name.
macro_rules! post_columns {
    () => {
        "g.id, coalesce(g.post, g.role) AS post, g.role, g.unit_id, g.worker_id,
         CASE WHEN w.erasure_requested_at IS NULL THEN w.name ELSE '(erased)' END AS worker_name,
         g.valid_from, g.valid_to, g.ended_at, c.confirmed_at,
         (coalesce(w.active, false) AND g.ended_at IS NULL AND g.valid_from <= a.today
              AND (g.valid_to IS NULL OR g.valid_to >= a.today)) AS holds"
    };
}

/// Posts at a unit itself, the newest first.
pub async fn list_unit_posts(
    tx: &mut Tx,
    permit: &Permit<PostRead>,
    today: NaiveDate,
    filter: &PostFilter,
    // The end of the day that the filter asks for.
    day_ends: Option<DateTime<Utc>>,
    before: Option<GrantId>,
    limit: i64,
) -> QueryResult<Vec<PostRow>> {
    statement(concat!(
        "WITH asked AS NOT MATERIALIZED (SELECT $1::date AS today, $2::text AS post, $3::date AS day, $4::timestamptz AS day_ends,
             $5::bool AS held)
         SELECT ",
        post_columns!(),
        " FROM asked a, grants g LEFT JOIN workers w ON w.id = g.worker_id LEFT JOIN post_confirmations c ON c.grant_id = g.id
          WHERE g.unit_id = $6 AND g.id < coalesce($7, 2147483647)
            AND coalesce(g.post, g.role) = coalesce(a.post, coalesce(g.post, g.role))
            AND (a.day IS NULL OR (g.valid_from <= a.day AND (g.valid_to IS NULL OR g.valid_to >= a.day)
                                   AND (g.ended_at IS NULL OR g.ended_at >= a.day_ends)))
            AND (a.held IS NULL OR a.held = (coalesce(w.active, false) AND g.ended_at IS NULL AND g.valid_from <= a.today
                                             AND (g.valid_to IS NULL OR g.valid_to >= a.today)))
          ORDER BY g.id DESC LIMIT $8"
    ))
    .bind::<Date, _>(today)
    .bind::<Nullable<Text>, _>(filter.post.as_deref())
    .bind::<Nullable<Date>, _>(filter.on)
    .bind::<Nullable<Timestamptz>, _>(day_ends)
    .bind::<Nullable<Bool>, _>(filter.held)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Nullable<Integer>, _>(before)
    .bind::<BigInt, _>(limit + 1)
    .load(tx)
    .await
}

/// Posts of a worker, the newest first: all of them for himself, else those at units in scope.
pub async fn list_worker_posts(
    tx: &mut Tx,
    caller: &Caller,
    scope: Option<&Scope<PostRead>>,
    worker_id: WorkerId,
    before: Option<GrantId>,
    limit: i64,
) -> QueryResult<Vec<PostRow>> {
    statement(concat!(
        "WITH asked AS NOT MATERIALIZED (SELECT $1::date AS today, $2::int AS self, $3::int[] AS roots)
         SELECT ",
        post_columns!(),
        " FROM asked a, grants g LEFT JOIN workers w ON w.id = g.worker_id LEFT JOIN post_confirmations c ON c.grant_id = g.id
          WHERE g.worker_id = $4 AND g.id < coalesce($5, 2147483647)
            AND (g.worker_id = a.self OR EXISTS (
                    SELECT 1 FROM lineages l WHERE l.unit_id = g.unit_id AND l.valid_from <= a.today
                       AND (l.valid_to IS NULL OR l.valid_to > a.today) AND l.unit_ids && a.roots))
          ORDER BY g.id DESC LIMIT $6"
    ))
    .bind::<Date, _>(caller.today())
    .bind::<Integer, _>(caller.worker_id())
    .bind::<Array<Integer>, _>(scope.map_or(&[][..], Scope::roots))
    .bind::<Integer, _>(worker_id)
    .bind::<Nullable<Integer>, _>(before)
    .bind::<BigInt, _>(limit + 1)
    .load(tx)
    .await
}

#[derive(QueryableByName)]
struct SeenRow {
    #[diesel(sql_type = Bool)]
    seen: bool,
}

/// Whether a worker is seen by who reads posts: his home, or a post of his, lies in scope.
pub async fn is_seen(
    tx: &mut Tx,
    scope: &Scope<PostRead>,
    today: NaiveDate,
    worker_id: WorkerId,
) -> QueryResult<bool> {
    let row: SeenRow = statement(
        "WITH asked AS NOT MATERIALIZED (SELECT $1::date AS today, $2::int[] AS roots, $3::int AS worker_id)
         SELECT EXISTS (
             SELECT 1 FROM asked a, (
                 SELECT w.unit_id FROM asked a JOIN workers w ON w.id = a.worker_id
                 UNION ALL SELECT g.unit_id FROM asked a JOIN grants g ON g.worker_id = a.worker_id) p
             JOIN lineages l ON l.unit_id = p.unit_id
             WHERE l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today) AND l.unit_ids && a.roots
         ) AS seen",
    )
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Integer, _>(worker_id)
    .get_result(tx)
    .await?;
    Ok(row.seen)
}

/// A post of the caller's own.
#[derive(Clone, Debug, QueryableByName)]
pub struct OwnPost {
    #[diesel(sql_type = Integer)]
    pub id: GrantId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = Date)]
    pub valid_from: NaiveDate,
    #[diesel(sql_type = Nullable<Date>)]
    pub valid_to: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub ended_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub confirmed_at: Option<DateTime<Utc>>,
}

/// A post of the caller's own, held so that it is not taken from him meanwhile.
pub async fn lock_own_post(tx: &mut Tx, caller: &Caller, id: GrantId) -> QueryResult<Option<OwnPost>> {
    statement(
        "SELECT g.id, g.unit_id, u.state_id, g.valid_from, g.valid_to, g.ended_at, c.confirmed_at
         FROM grants g JOIN units u ON u.id = g.unit_id LEFT JOIN post_confirmations c ON c.grant_id = g.id
         WHERE g.id = $1 AND g.worker_id = $2 FOR UPDATE OF g",
    )
    .bind::<Integer, _>(id)
    .bind::<Integer, _>(caller.worker_id())
    .get_result(tx)
    .await
    .optional()
}

#[derive(QueryableByName)]
struct BeganRow {
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

/// When the caller signed in to this session.
pub async fn session_began(tx: &mut Tx, caller: &Caller) -> QueryResult<DateTime<Utc>> {
    let row: BeganRow = statement("SELECT created_at FROM sessions WHERE id = $1")
        .bind::<SqlUuid, _>(caller.session_id())
        .get_result(tx)
        .await?;
    Ok(row.created_at)
}

/// Confirms a post of the caller's own; the first time counts.
pub async fn confirm(tx: &mut Tx, caller: &Caller, post: &OwnPost) -> QueryResult<()> {
    statement(
        "INSERT INTO post_confirmations (grant_id, confirmed_at) VALUES ($1, $2) ON CONFLICT (grant_id) DO NOTHING",
    )
    .bind::<Integer, _>(post.id)
    .bind::<Timestamptz, _>(caller.actor().at)
    .execute(tx)
    .await
    .map(|_| ())
}

/// A version of a rule.
#[derive(Clone, Debug, QueryableByName)]
pub struct RuleRow {
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub campaign_id: CampaignId,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Jsonb)]
    pub posts: Stored<Vec<PostCount>>,
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = Nullable<Integer>)]
    pub made_by: Option<WorkerId>,
    #[diesel(sql_type = Timestamptz)]
    pub made_at: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    pub counts: bool,
}

/// Where a list of rules goes on from.
pub type RuleCursor = (CampaignId, UnitId, i32);

/// Every version of the rules of the unit's state and of the nation; which of them count for the state.
pub async fn list_rules(
    tx: &mut Tx,
    permit: &Permit<PostRead>,
    after: Option<RuleCursor>,
    limit: i64,
) -> QueryResult<Vec<RuleRow>> {
    statement(
        "WITH asked AS NOT MATERIALIZED (SELECT $1::int AS state_id),
              ours AS MATERIALIZED (
                  SELECT r.*, r.unit_id = a.state_id AS own,
                         row_number() OVER (PARTITION BY r.campaign_id ORDER BY r.unit_id = a.state_id DESC, r.version DESC) AS place
                  FROM asked a JOIN committee_rules r
                       ON r.unit_id IN (a.state_id, (SELECT id FROM units WHERE level = 'nation')))
         SELECT unit_id, campaign_id, version, posts, reason, made_by, made_at, place = 1 AS counts FROM ours
         WHERE $2::int IS NULL OR (campaign_id, unit_id, -version) > ($3::int, $4::int, -$5::int)
         ORDER BY campaign_id, unit_id, version DESC LIMIT $6",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<Nullable<Integer>, _>(after.map(|after| after.0))
    .bind::<Nullable<Integer>, _>(after.map(|after| after.0))
    .bind::<Nullable<Integer>, _>(after.map(|after| after.1))
    .bind::<Nullable<Integer>, _>(after.map(|after| after.2))
    .bind::<BigInt, _>(limit + 1)
    .load(tx)
    .await
}

/// Stores the next version of a unit's rule. The unit is held, so that two are numbered one after the other.
pub async fn insert_rule(
    tx: &mut Tx,
    permit: &Permit<CommitteeWrite>,
    new: &NewCommitteeRule,
) -> QueryResult<RuleRow> {
    statement("SELECT id FROM units WHERE id = $1 FOR NO KEY UPDATE")
        .bind::<Integer, _>(permit.unit_id())
        .execute(tx)
        .await?;
    statement(
        "WITH new AS NOT MATERIALIZED (SELECT $1::int AS unit_id, $2::int AS campaign_id)
         INSERT INTO committee_rules (unit_id, campaign_id, version, posts, reason, made_by, made_at)
         SELECT n.unit_id, n.campaign_id,
                1 + coalesce((SELECT max(version) FROM committee_rules r
                              WHERE r.unit_id = n.unit_id AND r.campaign_id = n.campaign_id), 0), $3, $4, $5, $6
         FROM new n
         RETURNING unit_id, campaign_id, version, posts, reason, made_by, made_at, true AS counts",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(new.campaign_id.unwrap_or(CampaignId(0)))
    .bind::<Jsonb, _>(serde_json::to_value(&new.posts).unwrap_or_default())
    .bind::<Text, _>(&new.reason)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .get_result(tx)
    .await
}

/// Whether there is such a campaign that runs where the unit is: at it, above it or below it.
pub async fn runs_here<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    today: NaiveDate,
    campaign_id: CampaignId,
) -> QueryResult<bool> {
    let row: SeenRow = statement(
        "WITH asked AS NOT MATERIALIZED (SELECT $1::int AS unit_id, $2::int[] AS lineage, $3::date AS today)
         SELECT EXISTS (SELECT 1 FROM asked a, campaigns c JOIN lineages l ON l.unit_id = c.unit_id
                        WHERE c.id = $4 AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
                          AND (c.unit_id = ANY (a.lineage) OR a.unit_id = ANY (l.unit_ids))) AS seen",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Array<Integer>, _>(permit.lineage())
    .bind::<Date, _>(today)
    .bind::<Integer, _>(campaign_id)
    .get_result(tx)
    .await?;
    Ok(row.seen)
}
