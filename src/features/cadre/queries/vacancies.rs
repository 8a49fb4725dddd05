//! Booths whose committees want something, and what.

use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::counts::states_of;
use crate::access::Permit;
use crate::access::actions::PostRead;
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, UnitId};
use crate::platform::statement::statement;

/// A post of a booth's committee.
#[derive(Clone, Debug, QueryableByName)]
pub struct VacancyRow {
    #[diesel(sql_type = Integer)]
    pub booth_id: UnitId,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    /// Null where no rule wants a committee any more.
    #[diesel(sql_type = Nullable<Text>)]
    pub post: Option<String>,
    #[diesel(sql_type = Integer)]
    pub wanted: i32,
    #[diesel(sql_type = Integer)]
    pub held: i32,
    #[diesel(sql_type = Integer)]
    pub confirmed: i32,
}

/// Which booths.
#[derive(Clone, Copy, Debug)]
pub struct VacancyAsk {
    pub campaign_id: Option<CampaignId>,
    /// Also those that only want confirming.
    pub unconfirmed: bool,
    pub today: NaiveDate,
    pub after: Option<UnitId>,
    pub limit: i64,
}

// The stored counts only tell where to look: what is shown is counted anew, and where something changed since they were
// counted is looked at as well.
const VACANCIES: &str = "
    WITH asked AS NOT MATERIALIZED (
        SELECT $1::date AS today, $2::int AS unit_id, $3::int[] AS states, $4::int AS campaign_id, $5::bool AS unconfirmed,
               $6::int AS after),
    nation AS MATERIALIZED (SELECT id FROM units WHERE level = 'nation'),
    keys AS MATERIALIZED (
        SELECT s.id AS state_id, CASE WHEN EXISTS (
                   SELECT 1 FROM committee_rules r
                   WHERE r.campaign_id = a.campaign_id AND (r.unit_id = s.id OR r.unit_id IN (SELECT id FROM nation)))
               THEN a.campaign_id ELSE 0 END AS campaign_id
        FROM asked a, unnest(a.states) AS s (id)),
    dirty AS MATERIALIZED (
        SELECT c.unit_id FROM asked a JOIN cadre_changes c ON c.state_id = ANY (a.states)
        UNION SELECT s.unit_id FROM asked a JOIN cadre_units s ON s.state_id = ANY (a.states) AND s.next_change_on <= a.today),
    booths AS MATERIALIZED (
        SELECT u.id, u.code, u.name, u.state_id, k.campaign_id
        FROM asked a JOIN units u ON u.level = 'booth' AND u.state_id = ANY (a.states) AND u.id > a.after
        JOIN keys k ON k.state_id = u.state_id
        JOIN lineages l ON l.unit_id = u.id AND l.unit_ids @> ARRAY[a.unit_id]
            AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
        LEFT JOIN cadre_units s ON s.unit_id = u.id AND s.campaign_id = k.campaign_id
        WHERE s.unit_id IS NULL OR s.held < s.posts OR (a.unconfirmed AND s.confirmed < s.posts)
           OR u.id IN (SELECT unit_id FROM dirty)
        ORDER BY u.id LIMIT $7)
    SELECT b.id AS booth_id, b.code, b.name, p.post, coalesce(p.count, 0) AS wanted, coalesce(h.held, 0) AS held,
           coalesce(h.confirmed, 0) AS confirmed
    FROM asked a, booths b
    LEFT JOIN LATERAL (
        SELECT r.posts FROM committee_rules r
        WHERE r.campaign_id = b.campaign_id AND (r.unit_id = b.state_id OR r.unit_id IN (SELECT id FROM nation))
        ORDER BY r.unit_id = b.state_id DESC, r.version DESC LIMIT 1) r ON true
    LEFT JOIN LATERAL jsonb_to_recordset(r.posts) AS p (post text, count int) ON true
    LEFT JOIN LATERAL (
        SELECT count(DISTINCT g.worker_id)::int AS held,
               (count(DISTINCT g.worker_id) FILTER (WHERE f.grant_id IS NOT NULL))::int AS confirmed
        FROM grants g JOIN workers w ON w.id = g.worker_id AND w.active
        LEFT JOIN post_confirmations f ON f.grant_id = g.id
        WHERE g.unit_id = b.id AND coalesce(g.post, g.role) = p.post AND g.ended_at IS NULL
          AND g.valid_from <= a.today AND (g.valid_to IS NULL OR g.valid_to >= a.today)) h ON true
    ORDER BY b.id, p.post";

/// The posts of booths under the unit whose committees may want something, by booth; one booth more than `limit` shows
/// that there are others.
pub async fn vacancies(
    tx: &mut Tx,
    permit: &Permit<PostRead>,
    ask: &VacancyAsk,
) -> QueryResult<Vec<VacancyRow>> {
    let states = states_of(tx, permit).await?;
    statement(VACANCIES)
        .bind::<Date, _>(ask.today)
        .bind::<Integer, _>(permit.unit_id())
        .bind::<Array<Integer>, _>(&states)
        .bind::<Integer, _>(ask.campaign_id.unwrap_or(CampaignId(0)))
        .bind::<Bool, _>(ask.unconfirmed)
        .bind::<Integer, _>(ask.after.unwrap_or(UnitId(0)))
        .bind::<BigInt, _>(ask.limit.saturating_add(1))
        .load(tx)
        .await
}
