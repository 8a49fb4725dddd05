//! What indicators are made of: where the booths are, and one statement over their visits.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Bool, Date, Double, Integer, Nullable, Text};
use diesel_async::RunQueryDsl;

use super::wire::By;
use crate::access::Permit;
use crate::access::actions::AuditIndicatorRead;
use crate::features::draws::{Span, checks_of};
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, UnitId};
use crate::platform::statement::statement;

/// A booth and the mandal whose booths and workers are its peers.
#[derive(Clone, Copy, Debug, diesel::QueryableByName)]
pub struct PlaceRow {
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = Integer)]
    booth_id: UnitId,
    #[diesel(sql_type = Integer)]
    mandal_id: UnitId,
}

/// The booths under the unit today with their mandals; `None` if there are more than `most`. A booth that lies in no mandal
/// has the unit next above in the organisation.
pub async fn places(
    tx: &mut Tx,
    permit: &Permit<AuditIndicatorRead>,
    today: NaiveDate,
    most: usize,
) -> QueryResult<Option<Vec<PlaceRow>>> {
    let rows: Vec<PlaceRow> = statement(
        "SELECT b.state_id, b.id AS booth_id, m.id AS mandal_id
         FROM lineages l JOIN units b ON b.id = l.unit_id AND b.level = 'booth'
         CROSS JOIN LATERAL (
             SELECT u.id FROM units u WHERE u.id = ANY (l.unit_ids) AND u.level IN ('mandal', 'district', 'state')
             ORDER BY CASE u.level WHEN 'mandal' THEN 1 WHEN 'district' THEN 2 ELSE 3 END LIMIT 1) AS m
         WHERE l.unit_ids @> ARRAY[$1::int] AND l.valid_from <= $2 AND (l.valid_to IS NULL OR l.valid_to > $3)
         LIMIT $4",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<BigInt, _>(i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1))
    .load(tx)
    .await?;
    Ok((rows.len() <= most).then_some(rows))
}

/// The counts of a worker or booth within a mandal.
#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct CountsRow {
    #[diesel(sql_type = Integer)]
    pub mandal_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub subject_id: i32,
    #[diesel(sql_type = BigInt)]
    pub visits: i64,
    #[diesel(sql_type = BigInt)]
    pub contacts: i64,
    /// Contacts that tell how long they took.
    #[diesel(sql_type = BigInt)]
    pub timed: i64,
    #[diesel(sql_type = Nullable<Double>)]
    pub median_duration_s: Option<f64>,
    #[diesel(sql_type = BigInt)]
    pub outside_hours: i64,
    #[diesel(sql_type = BigInt)]
    pub at_door: i64,
    /// Of those at doors, without a position or with one that was made up.
    #[diesel(sql_type = BigInt)]
    pub no_gps: i64,
    #[diesel(sql_type = BigInt)]
    pub flagged: i64,
    /// Contacts with answers.
    #[diesel(sql_type = BigInt)]
    pub answered: i64,
    /// Of those, with the set of answers that occurs most often.
    #[diesel(sql_type = BigInt)]
    pub commonest: i64,
}

/// Back-checks of somebody's visits: how many were compared, and how many did not match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub compared: i64,
    pub mismatched: i64,
}

/// By mandal and worker or booth.
pub type BackChecks = BTreeMap<(UnitId, i32), Checked>;

/// Which visits.
#[derive(Clone, Debug)]
pub struct Ask {
    pub by: By,
    pub campaign_id: CampaignId,
    pub from: NaiveDate,
    pub to: NaiveDate,
    /// The time zone in which hours are counted.
    pub zone: &'static str,
    /// Usual hours: from the first, until the second.
    pub hours: (i32, i32),
}

const COUNTS: &str = "
    WITH f AS NOT MATERIALIZED (
             SELECT $1::bool AS by_booth, $2::int AS campaign_id, $3::date AS first, $4::date AS last, $5::text AS zone,
                    $6::int AS hour_from, $7::int AS hour_to),
         v AS MATERIALIZED (
             SELECT p.mandal_id, CASE WHEN f.by_booth THEN v.booth_id ELSE v.worker_id END AS subject_id,
                    v.outcome = 'met' AS met, v.duration_s, v.channel = 'door' AS at_door,
                    v.lat IS NULL OR coalesce(v.mock, false) AS no_gps, v.flags <> '[]' AS flagged,
                    v.question_version, v.answers,
                    extract(hour FROM v.visited_at AT TIME ZONE f.zone)
                        NOT BETWEEN f.hour_from AND f.hour_to - 1 AS outside_hours
             FROM f, unnest($8::int[], $9::int[], $10::int[]) AS p (state_id, booth_id, mandal_id)
             JOIN visits v ON v.state_id = p.state_id AND v.booth_id = p.booth_id
             WHERE v.campaign_id = f.campaign_id AND v.visited_on BETWEEN f.first AND f.last AND v.voided_at IS NULL
         ),
         answered AS (
             SELECT mandal_id, subject_id, sum(n)::bigint AS answered, max(n)::bigint AS commonest
             FROM (SELECT mandal_id, subject_id, count(*) AS n FROM v WHERE met AND answers <> '{}'
                   GROUP BY mandal_id, subject_id, question_version, answers) AS sets
             GROUP BY mandal_id, subject_id
         )
    SELECT v.mandal_id, v.subject_id, count(*) AS visits, count(*) FILTER (WHERE met) AS contacts,
           count(duration_s) FILTER (WHERE met) AS timed,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_s) FILTER (WHERE met) AS median_duration_s,
           count(*) FILTER (WHERE outside_hours) AS outside_hours, count(*) FILTER (WHERE at_door) AS at_door,
           count(*) FILTER (WHERE at_door AND no_gps) AS no_gps, count(*) FILTER (WHERE flagged) AS flagged,
           coalesce(min(a.answered), 0) AS answered, coalesce(min(a.commonest), 0) AS commonest
    FROM v LEFT JOIN answered a ON a.mandal_id = v.mandal_id AND a.subject_id = v.subject_id
    GROUP BY v.mandal_id, v.subject_id";

/// The counts of every worker or booth with a visit at these places, which a permit gave.
pub async fn counts(tx: &mut Tx, places: &[PlaceRow], ask: &Ask) -> QueryResult<Vec<CountsRow>> {
    statement(COUNTS)
        .bind::<Bool, _>(ask.by == By::Booth)
        .bind::<Integer, _>(ask.campaign_id)
        .bind::<Date, _>(ask.from)
        .bind::<Date, _>(ask.to)
        .bind::<Text, _>(ask.zone)
        .bind::<Integer, _>(ask.hours.0)
        .bind::<Integer, _>(ask.hours.1)
        .bind::<Array<Integer>, _>(places.iter().map(|place| place.state_id).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(places.iter().map(|place| place.booth_id).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(places.iter().map(|place| place.mandal_id).collect::<Vec<_>>())
        .load(tx)
        .await
}

/// What back-checks found of visits at these places, which the permit gave, in draws whose days lie in the period.
pub async fn back_checks(
    tx: &mut Tx,
    permit: &Permit<AuditIndicatorRead>,
    places: &[PlaceRow],
    ask: &Ask,
) -> QueryResult<BackChecks> {
    let span = Span {
        campaign_id: Some(ask.campaign_id),
        from: Some(ask.from),
        to: Some(ask.to),
    };
    let mandals: BTreeMap<UnitId, UnitId> = places
        .iter()
        .map(|place| (place.booth_id, place.mandal_id))
        .collect();
    let mut found = BackChecks::new();
    for checks in checks_of(tx, permit, span).await? {
        let subject = match ask.by {
            By::Worker => checks.worker_id.0,
            By::Booth => checks.booth_id.0,
        };
        // A booth that has been moved away since is no place of the unit's any more.
        if let Some(mandal) = mandals.get(&checks.booth_id) {
            let sum = found.entry((*mandal, subject)).or_default();
            sum.compared = sum.compared.saturating_add(checks.checked);
            sum.mismatched = sum.mismatched.saturating_add(checks.mismatched);
        }
    }
    Ok(found)
}
