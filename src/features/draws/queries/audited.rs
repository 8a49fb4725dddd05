use std::collections::BTreeMap;

use chrono::NaiveDate;
use diesel::sql_types::{Array, BigInt, Date, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use crate::access::Permit;
use crate::features::draws::rules::rate::Group;
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, UnitId, WorkerId};
use crate::platform::statement::statement;

/// Which visits, and which draws: those whose days all lie in the span.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    pub campaign_id: Option<CampaignId>,
    pub from: Option<NaiveDate>,
    pub to: Option<NaiveDate>,
}

/// A unit.
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

/// What a draw found in a unit.
#[derive(Clone, Debug, QueryableByName)]
pub struct GroupRow {
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub frame: i32,
    #[diesel(sql_type = Integer)]
    pub drawn: i32,
    #[diesel(sql_type = Integer)]
    pub matched: i32,
    #[diesel(sql_type = Integer)]
    pub mismatched: i32,
    #[diesel(sql_type = Integer)]
    pub unconfirmed: i32,
}

impl GroupRow {
    /// The same for the error rate.
    #[must_use]
    pub const fn group(&self) -> Group {
        Group {
            frame: self.frame,
            checked: self.matched + self.mismatched,
            mismatched: self.mismatched,
        }
    }
}

/// What a unit reported, and what each draw found there.
#[derive(Clone, Debug)]
pub struct AuditedRow {
    pub unit: UnitRow,
    pub reported: i64,
    pub groups: Vec<GroupRow>,
}

#[derive(QueryableByName)]
struct ReportedRow {
    #[diesel(sql_type = Integer)]
    unit_id: UnitId,
    #[diesel(sql_type = BigInt)]
    visits: i64,
}

/// How much of somebody's work in a booth was confirmed or refuted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct Checks {
    #[diesel(sql_type = Integer)]
    pub worker_id: WorkerId,
    #[diesel(sql_type = Integer)]
    pub booth_id: UnitId,
    #[diesel(sql_type = BigInt)]
    pub checked: i64,
    #[diesel(sql_type = BigInt)]
    pub mismatched: i64,
}

/// The permit's unit.
pub async fn unit_of<A>(tx: &mut Tx, permit: &Permit<A>) -> QueryResult<UnitRow> {
    statement("SELECT id, code, level, name FROM units WHERE id = $1")
        .bind::<Integer, _>(permit.unit_id())
        .get_result(tx)
        .await
}

/// The units of a level under the permit's unit today, or those straight under it; by id.
pub async fn children<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    level: Option<&str>,
    today: NaiveDate,
    after: Option<UnitId>,
    limit: i64,
) -> QueryResult<Vec<UnitRow>> {
    statement(
        "WITH f AS NOT MATERIALIZED (SELECT $1::int AS unit_id, $2::text AS level, $3::date AS today)
         SELECT x.id, x.code, x.level, x.name FROM (
             SELECT u.* FROM f, lineages l JOIN units u ON u.id = l.unit_id
             WHERE f.level IS NOT NULL AND l.unit_ids @> ARRAY[f.unit_id] AND u.level = f.level AND u.id <> f.unit_id
               AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
             UNION
             SELECT u.* FROM f, placements p JOIN units u ON u.id = p.unit_id
             WHERE f.level IS NULL AND p.parent_id = f.unit_id
               AND p.valid_from <= f.today AND (p.valid_to IS NULL OR p.valid_to > f.today)) AS x
         WHERE x.id > coalesce($4::int, 0) ORDER BY x.id LIMIT $5",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Nullable<Text>, _>(level)
    .bind::<Date, _>(today)
    .bind::<Nullable<Integer>, _>(after)
    .bind::<BigInt, _>(limit)
    .planned_anew()
    .load(tx)
    .await
}

// As the totals are read: what is posted and what is not, and for the nation its states.
const REPORTED: &str = "
    WITH f AS NOT MATERIALIZED (SELECT $1::int AS campaign_id, $2::date AS first, $3::date AS last),
    r AS MATERIALIZED (
        SELECT a.id AS unit_id, s.state_id, s.id AS root FROM units a
        JOIN units s ON s.id = a.id AND a.level <> 'nation' OR s.level = 'state' AND a.level = 'nation'
        WHERE a.id = ANY ($4)
    )
    SELECT x.unit_id, sum(x.visits)::bigint AS visits FROM f, (
        SELECT r.unit_id, t.campaign_id, t.day, t.visits
        FROM r JOIN totals t ON t.state_id = r.state_id AND t.unit_id = r.root
        UNION ALL
        SELECT r.unit_id, i.campaign_id, i.day, i.visits
        FROM r JOIN tally_inbox i ON i.state_id = r.state_id AND r.root = ANY (i.unit_ids)
    ) AS x
    WHERE (f.campaign_id IS NULL OR x.campaign_id = f.campaign_id)
      AND (f.first IS NULL OR x.day >= f.first) AND (f.last IS NULL OR x.day <= f.last)
    GROUP BY x.unit_id";

const GROUPS: &str = "
    WITH f AS NOT MATERIALIZED (SELECT $1::int AS campaign_id, $2::date AS first, $3::date AS last),
    asked AS MATERIALIZED (SELECT id FROM unnest($4::int[]) AS a (id)),
    framed AS MATERIALIZED (
        SELECT a.id AS unit_id, b.draw_id, sum(b.visits)::int AS frame
        FROM f, asked a JOIN draw_booths b ON b.unit_ids @> ARRAY[a.id] JOIN draws d ON d.id = b.draw_id
        WHERE d.drawn_at IS NOT NULL AND d.campaign_id = coalesce(f.campaign_id, d.campaign_id)
          AND d.from_on >= coalesce(f.first, d.from_on) AND d.to_on <= coalesce(f.last, d.to_on)
        GROUP BY a.id, b.draw_id
    )
    SELECT framed.unit_id, framed.frame, count(i.number)::int AS drawn,
           (count(*) FILTER (WHERE c.finding = 'match'))::int AS matched,
           (count(*) FILTER (WHERE c.finding = 'mismatch'))::int AS mismatched,
           (count(*) FILTER (WHERE c.finding = 'unconfirmed'))::int AS unconfirmed
    FROM framed
    LEFT JOIN draw_items i ON i.draw_id = framed.draw_id AND i.unit_ids @> ARRAY[framed.unit_id]
    LEFT JOIN back_checks c ON c.draw_id = i.draw_id AND c.number = i.number AND NOT c.late
    GROUP BY framed.unit_id, framed.draw_id, framed.frame ORDER BY framed.unit_id, framed.draw_id";

/// What draws found in these units. The units are ones that the caller may see.
pub async fn groups_of(tx: &mut Tx, units: &[UnitId], span: Span) -> QueryResult<Vec<GroupRow>> {
    statement(GROUPS)
        .planned_anew()
        .bind::<Nullable<Integer>, _>(span.campaign_id)
        .bind::<Nullable<Date>, _>(span.from)
        .bind::<Nullable<Date>, _>(span.to)
        .bind::<Array<Integer>, _>(units)
        .load(tx)
        .await
}

/// What these units reported, and what draws found there. The units are ones that the caller may see.
pub async fn audited(tx: &mut Tx, units: Vec<UnitRow>, span: Span) -> QueryResult<Vec<AuditedRow>> {
    let ids: Vec<UnitId> = units.iter().map(|unit| unit.id).collect();
    let reported: Vec<ReportedRow> = statement(REPORTED)
        .planned_anew()
        .bind::<Nullable<Integer>, _>(span.campaign_id)
        .bind::<Nullable<Date>, _>(span.from)
        .bind::<Nullable<Date>, _>(span.to)
        .bind::<Array<Integer>, _>(&ids)
        .load(tx)
        .await?;
    let reported: BTreeMap<UnitId, i64> = reported
        .into_iter()
        .map(|row| (row.unit_id, row.visits))
        .collect();
    let groups = groups_of(tx, &ids, span).await?;
    let mut by_unit: BTreeMap<UnitId, Vec<GroupRow>> = BTreeMap::new();
    for group in groups {
        by_unit.entry(group.unit_id).or_default().push(group);
    }
    let rows = units.into_iter().map(|unit| AuditedRow {
        reported: reported.get(&unit.id).copied().unwrap_or(0),
        groups: by_unit.remove(&unit.id).unwrap_or_default(),
        unit,
    });
    Ok(rows.collect())
}

/// How much of each worker's visits in each booth under the permit's unit was confirmed or refuted, by draws whose days
/// lie in the span; who or where nothing was is left out.
///
/// # Errors
/// What the database says.
pub async fn checks_of<A>(tx: &mut Tx, permit: &Permit<A>, span: Span) -> QueryResult<Vec<Checks>> {
    statement(
        "SELECT m.worker_id, m.booth_id, count(*) AS checked, count(*) FILTER (WHERE c.finding = 'mismatch') AS mismatched
         FROM draw_items i JOIN draws d ON d.id = i.draw_id
         JOIN draw_frames m ON m.draw_id = i.draw_id AND m.place = i.place
         JOIN back_checks c ON c.draw_id = i.draw_id AND c.number = i.number AND NOT c.late AND c.finding <> 'unconfirmed'
         WHERE i.unit_ids @> ARRAY[$1::int] AND d.campaign_id = coalesce($2::int, d.campaign_id)
           AND d.from_on >= coalesce($3::date, d.from_on) AND d.to_on <= coalesce($4::date, d.to_on)
         GROUP BY m.worker_id, m.booth_id ORDER BY m.worker_id, m.booth_id",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Nullable<Integer>, _>(span.campaign_id)
    .bind::<Nullable<Date>, _>(span.from)
    .bind::<Nullable<Date>, _>(span.to)
    .load(tx)
    .await
}
