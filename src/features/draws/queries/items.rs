use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::draws::DrawRow;
use crate::access::actions::{Action, BackCheckWrite, DrawAssign, DrawWrite};
use crate::access::{Permit, Role};
use crate::features::draws::wire::AssignedItemView;
use crate::platform::db::Tx;
use crate::platform::ids::{UnitId, VisitId, WorkerId};
use crate::platform::statement::statement;

/// A drawn visit.
#[derive(Clone, Debug, QueryableByName)]
pub struct ItemRow {
    #[diesel(sql_type = Integer)]
    pub number: i32,
    #[diesel(sql_type = Integer)]
    pub place: i32,
    #[diesel(sql_type = SqlUuid)]
    pub visit_id: VisitId,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Integer)]
    pub booth_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub worker_id: WorkerId,
    #[diesel(sql_type = Nullable<Integer>)]
    pub verifier_id: Option<WorkerId>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub assigned_at: Option<DateTime<Utc>>,
    /// Of a back-check that came in time.
    #[diesel(sql_type = Nullable<Text>)]
    pub finding: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub back_check_id: Option<Uuid>,
}

#[derive(QueryableByName)]
struct PairRow {
    #[diesel(sql_type = Integer)]
    number: i32,
    #[diesel(sql_type = Integer)]
    verifier_id: WorkerId,
}

#[derive(QueryableByName)]
struct WorkerRow {
    #[diesel(sql_type = Integer)]
    worker_id: WorkerId,
}

/// Stores what was drawn: places from 1, in the order of chance.
pub async fn insert_items(
    tx: &mut Tx,
    _permit: &Permit<DrawWrite>,
    draw_id: i32,
    places: &[i32],
) -> QueryResult<()> {
    statement(
        "INSERT INTO draw_items (draw_id, number, place, unit_ids)
         SELECT f.draw_id, k.n::int, f.place, l.unit_ids
         FROM unnest($1::int[]) WITH ORDINALITY AS k (place, n)
         JOIN draw_frames f ON f.draw_id = $2 AND f.place = k.place
         JOIN lineages l ON l.unit_id = f.booth_id AND f.visited_on >= l.valid_from
             AND (l.valid_to IS NULL OR f.visited_on < l.valid_to)",
    )
    .bind::<Array<Integer>, _>(places)
    .bind::<Integer, _>(draw_id)
    .execute(tx)
    .await
    .map(|_| ())
}

/// What was drawn in a draw that the caller may see.
pub async fn list_items(tx: &mut Tx, draw_id: i32) -> QueryResult<Vec<ItemRow>> {
    statement(
        "SELECT i.number, i.place, f.visit_id, f.version, f.booth_id, f.worker_id, i.verifier_id, i.assigned_at,
                c.finding, c.id AS back_check_id
         FROM draw_items i JOIN draw_frames f ON f.draw_id = i.draw_id AND f.place = i.place
         LEFT JOIN back_checks c ON c.draw_id = i.draw_id AND c.number = i.number AND NOT c.late
         WHERE i.draw_id = $1 ORDER BY i.number",
    )
    .bind::<Integer, _>(draw_id)
    .load(tx)
    .await
}

/// The drawn visit if this worker was ever given it.
pub async fn find_own_item(
    tx: &mut Tx,
    verifier_id: WorkerId,
    (draw_id, number): (i32, i32),
) -> QueryResult<Option<ItemRow>> {
    statement(
        "SELECT i.number, i.place, f.visit_id, f.version, f.booth_id, f.worker_id, i.verifier_id, i.assigned_at,
                NULL::text AS finding, NULL::uuid AS back_check_id
         FROM draw_items i JOIN draw_frames f ON f.draw_id = i.draw_id AND f.place = i.place
         WHERE i.draw_id = $1 AND i.number = $2 AND $3::int = ANY (i.verifier_ids)",
    )
    .bind::<Integer, _>(draw_id)
    .bind::<Integer, _>(number)
    .bind::<Integer, _>(verifier_id)
    .get_result(tx)
    .await
    .optional()
}

/// Which of these workers may check which of a draw's visits: active, not the author, not of the booth (by his roster, or
/// by a grant at the booth or its shakti kendra that held on the day of the visit or holds today), not somebody who
/// signs in on the phone from which it came; and with a grant that reaches the booth from above and lets him check.
pub async fn eligible(
    tx: &mut Tx,
    draw: &DrawRow,
    verifiers: &[WorkerId],
    today: NaiveDate,
) -> QueryResult<Vec<(i32, WorkerId)>> {
    let rows: Vec<PairRow> = statement(
        "WITH f AS NOT MATERIALIZED (SELECT $1::int AS draw_id, $2::int AS state_id, $3::date AS today, $4::text[] AS roles),
         one AS MATERIALIZED (
             SELECT i.number, m.booth_id, m.worker_id, m.visited_on, v.device_id, t.unit_ids, i.unit_ids || t.unit_ids AS ever
             FROM f JOIN draw_items i ON i.draw_id = f.draw_id
             JOIN draw_frames m ON m.draw_id = i.draw_id AND m.place = i.place
             JOIN visits v ON v.state_id = f.state_id AND v.id = m.visit_id
             JOIN lineages t ON t.unit_id = m.booth_id AND t.valid_from <= f.today
                 AND (t.valid_to IS NULL OR t.valid_to > f.today)
         )
         SELECT one.number, w.id AS verifier_id
         FROM f, one, workers w
         WHERE w.id = ANY ($5) AND w.active AND w.id <> one.worker_id AND w.unit_id <> one.booth_id
           AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.worker_id = w.id AND d.id = one.device_id)
           AND NOT EXISTS (
               SELECT 1 FROM grants g JOIN units u ON u.id = g.unit_id
               WHERE g.worker_id = w.id AND u.level IN ('booth', 'shakti_kendra') AND g.unit_id = ANY (one.ever)
                 AND ((g.valid_from <= one.visited_on AND (g.valid_to IS NULL OR g.valid_to >= one.visited_on))
                   OR (g.valid_from <= f.today AND (g.valid_to IS NULL OR g.valid_to >= f.today) AND g.ended_at IS NULL)))
           AND EXISTS (
               SELECT 1 FROM grants g JOIN units u ON u.id = g.unit_id
               WHERE g.worker_id = w.id AND g.role = ANY (f.roles) AND g.unit_id = ANY (one.unit_ids)
                 AND u.level NOT IN ('booth', 'shakti_kendra')
                 AND g.valid_from <= f.today AND (g.valid_to IS NULL OR g.valid_to >= f.today) AND g.ended_at IS NULL)
         ORDER BY one.number, w.id",
    )
    .bind::<Integer, _>(draw.id)
    .bind::<Integer, _>(draw.state_id)
    .bind::<Date, _>(today)
    .bind::<Array<Text>, _>(Role::names_that_may(BackCheckWrite::ACTION))
    .bind::<Array<Integer>, _>(verifiers)
    .load(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.number, row.verifier_id))
        .collect())
}

/// Workers with a grant at the permit's unit, or at the mandal of one of the visits, that lets them check.
pub async fn candidates(
    tx: &mut Tx,
    permit: &Permit<DrawAssign>,
    draw_id: i32,
    today: NaiveDate,
    limit: i64,
) -> QueryResult<Vec<WorkerId>> {
    let rows: Vec<WorkerRow> = statement(
        "SELECT DISTINCT g.worker_id FROM grants g
         WHERE g.role = ANY ($1) AND g.valid_from <= $2 AND (g.valid_to IS NULL OR g.valid_to >= $3) AND g.ended_at IS NULL
           AND (g.unit_id = $4 OR g.unit_id IN (
               SELECT u.id FROM draw_items i CROSS JOIN unnest(i.unit_ids) AS k (id)
               JOIN units u ON u.id = k.id AND u.level = 'mandal' WHERE i.draw_id = $5))
         ORDER BY g.worker_id LIMIT $6",
    )
    .bind::<Array<Text>, _>(Role::names_that_may(BackCheckWrite::ACTION))
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(draw_id)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| row.worker_id).collect())
}

/// Gives visits of a locked draw to verifiers.
pub async fn assign(
    tx: &mut Tx,
    permit: &Permit<DrawAssign>,
    draw_id: i32,
    assigned_by: WorkerId,
    list: &[AssignedItemView],
) -> QueryResult<()> {
    statement(
        "UPDATE draw_items i SET verifier_id = k.verifier_id, assigned_by = $1, assigned_at = $2,
             verifier_ids = CASE WHEN k.verifier_id = ANY (i.verifier_ids) THEN i.verifier_ids
                                 ELSE i.verifier_ids || k.verifier_id END
         FROM unnest($3::int[], $4::int[]) AS k (number, verifier_id)
         WHERE i.draw_id = $5 AND i.number = k.number",
    )
    .bind::<Integer, _>(assigned_by)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Array<Integer>, _>(list.iter().map(|one| one.number).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(list.iter().map(|one| one.verifier_id).collect::<Vec<_>>())
    .bind::<Integer, _>(draw_id)
    .execute(tx)
    .await
    .map(|_| ())
}
