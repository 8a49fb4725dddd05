use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Date, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use super::wire::{Cluster, Member, NewTargetSet, NewVersion, Rule};
use crate::access::actions::{TargetSetRead, TargetSetWrite, WorkerRead};
use crate::access::{Permit, Scope};
use crate::platform::db::Tx;
use crate::platform::ids::{UnitId, WorkerId};
use crate::platform::statement::statement;
use crate::platform::stored::Stored;

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct SetRow {
    #[diesel(sql_type = Integer)]
    pub id: i32,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub level: String,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
}

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct VersionRow {
    #[diesel(sql_type = Integer)]
    pub target_set_id: i32,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Date)]
    pub valid_from: NaiveDate,
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub rule: Option<Stored<Rule>>,
    #[diesel(sql_type = Integer)]
    pub member_count: i32,
    #[diesel(sql_type = Nullable<Integer>)]
    pub made_by: Option<WorkerId>,
    #[diesel(sql_type = Timestamptz)]
    pub made_at: DateTime<Utc>,
}

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct MemberRow {
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = Nullable<Text>)]
    pub cluster: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub in_charge: Option<WorkerId>,
}

// A set is seen by whoever reads at its unit, above it, or below it.
macro_rules! visible {
    () => {
        "WITH asked AS MATERIALIZED (SELECT $1::int[] AS roots, $2::date AS today),
              above AS MATERIALIZED (
                  SELECT unnest(l.unit_ids) AS id FROM asked a JOIN lineages l ON l.unit_id = ANY (a.roots)
                      AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)),
              visible AS NOT MATERIALIZED (
                  SELECT s.id, s.unit_id, s.name, s.level, s.version, s.created_at
                  FROM asked a, target_sets s JOIN lineages l ON l.unit_id = s.unit_id
                  WHERE l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
                    AND (l.unit_ids && a.roots OR s.unit_id IN (SELECT id FROM above)))"
    };
}

/// Visible sets by id; with `under`, those of the unit and of those below it.
pub async fn list_sets(
    tx: &mut Tx,
    scope: &Scope<TargetSetRead>,
    today: NaiveDate,
    under: Option<UnitId>,
    after: Option<i32>,
    limit: i64,
) -> QueryResult<Vec<SetRow>> {
    statement(concat!(
        visible!(),
        " SELECT v.id, v.unit_id, v.name, v.level, v.version, v.created_at
          FROM visible v, asked a, (SELECT $3::int AS under, $4::int AS after) p
          WHERE v.id > coalesce(p.after, 0)
            AND (p.under IS NULL OR EXISTS (
                    SELECT 1 FROM lineages l WHERE l.unit_id = v.unit_id AND l.valid_from <= a.today
                       AND (l.valid_to IS NULL OR l.valid_to > a.today) AND p.under = ANY (l.unit_ids)))
          ORDER BY v.id LIMIT $5"
    ))
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Date, _>(today)
    .bind::<Nullable<Integer>, _>(under)
    .bind::<Nullable<Integer>, _>(after)
    .bind::<BigInt, _>(limit + 1)
    .load(tx)
    .await
}

/// One visible set.
pub async fn find_set(
    tx: &mut Tx,
    scope: &Scope<TargetSetRead>,
    today: NaiveDate,
    id: i32,
) -> QueryResult<Option<SetRow>> {
    statement(concat!(
        visible!(),
        " SELECT id, unit_id, name, level, version, created_at FROM visible WHERE id = $3"
    ))
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Date, _>(today)
    .bind::<Integer, _>(id)
    .get_result(tx)
    .await
    .optional()
}

/// Holds a set until the transaction ends, so that two versions are made one after the other.
pub async fn lock_set(tx: &mut Tx, id: i32) -> QueryResult<()> {
    statement("SELECT id FROM target_sets WHERE id = $1 FOR UPDATE")
        .bind::<Integer, _>(id)
        .execute(tx)
        .await
        .map(|_| ())
}

/// The version of each of these sets that holds on a day.
pub async fn versions_on(
    tx: &mut Tx,
    _scope: &Scope<TargetSetRead>,
    ids: &[i32],
    day: NaiveDate,
) -> QueryResult<Vec<VersionRow>> {
    statement(
        "SELECT DISTINCT ON (target_set_id) target_set_id, version, valid_from, reason, rule, member_count, made_by, made_at
         FROM target_set_versions WHERE target_set_id = ANY ($1) AND valid_from <= $2
         ORDER BY target_set_id, version DESC",
    )
    .bind::<Array<Integer>, _>(ids)
    .bind::<Date, _>(day)
    .load(tx)
    .await
}

/// Versions of a set, the newest first.
pub async fn list_versions(
    tx: &mut Tx,
    _scope: &Scope<TargetSetRead>,
    id: i32,
    before: Option<i32>,
    limit: i64,
) -> QueryResult<Vec<VersionRow>> {
    statement(
        "SELECT target_set_id, version, valid_from, reason, rule, member_count, made_by, made_at
         FROM target_set_versions WHERE target_set_id = $1 AND version < coalesce($2, 2147483647)
         ORDER BY version DESC LIMIT $3",
    )
    .bind::<Integer, _>(id)
    .bind::<Nullable<Integer>, _>(before)
    .bind::<BigInt, _>(limit + 1)
    .load(tx)
    .await
}

/// Members of a version that lie under the roots of the scope, by unit.
pub async fn list_members(
    tx: &mut Tx,
    scope: &Scope<TargetSetRead>,
    today: NaiveDate,
    (id, version): (i32, i32),
    after: Option<UnitId>,
    limit: i64,
) -> QueryResult<Vec<MemberRow>> {
    statement(
        "SELECT m.unit_id, u.code, u.name, u.state_id, m.cluster, c.in_charge
         FROM (SELECT $1::int[] AS roots, $2::date AS today) a,
              target_set_members m JOIN units u ON u.id = m.unit_id JOIN lineages l ON l.unit_id = m.unit_id
              LEFT JOIN target_set_clusters c ON c.target_set_id = m.target_set_id AND c.version = m.version
                                             AND c.name = m.cluster
         WHERE m.target_set_id = $3 AND m.version = $4 AND m.unit_id > coalesce($5, 0)
           AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today) AND l.unit_ids && a.roots
         ORDER BY m.unit_id LIMIT $6",
    )
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Date, _>(today)
    .bind::<Integer, _>(id)
    .bind::<Integer, _>(version)
    .bind::<Nullable<Integer>, _>(after)
    .bind::<BigInt, _>(limit + 1)
    .load(tx)
    .await
}

#[derive(diesel::QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: i32,
}

/// Which of these units are constituencies of the level under the permit's unit.
pub async fn seats_under(
    tx: &mut Tx,
    permit: &Permit<TargetSetWrite>,
    today: NaiveDate,
    level: &str,
    ids: &[UnitId],
) -> QueryResult<Vec<UnitId>> {
    let rows: Vec<IdRow> = statement(
        "SELECT u.id FROM units u JOIN lineages l ON l.unit_id = u.id
         JOIN (SELECT $1::date AS today, $2::int AS unit_id) a
              ON l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today) AND a.unit_id = ANY (l.unit_ids)
         WHERE u.level = $3 AND u.id = ANY ($4)",
    )
    .bind::<Date, _>(today)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Text, _>(level)
    .bind::<Array<Integer>, _>(ids)
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| UnitId(row.id)).collect())
}

/// Which of these are active workers in the scope.
pub async fn workers_in(
    tx: &mut Tx,
    scope: &Scope<WorkerRead>,
    today: NaiveDate,
    ids: &[WorkerId],
) -> QueryResult<Vec<WorkerId>> {
    let rows: Vec<IdRow> = statement(
        "SELECT w.id FROM workers w JOIN lineages l ON l.unit_id = w.unit_id
         JOIN (SELECT $1::date AS today, $2::int[] AS roots) a
              ON l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today) AND l.unit_ids && a.roots
         WHERE w.active AND w.id = ANY ($3)",
    )
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Array<Integer>, _>(ids)
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| WorkerId(row.id)).collect())
}

/// Stores a set, without its first version.
pub async fn insert_set(
    tx: &mut Tx,
    permit: &Permit<TargetSetWrite>,
    new: &NewTargetSet,
) -> QueryResult<SetRow> {
    statement(
        "INSERT INTO target_sets (state_id, unit_id, name, level, version, created_by, created_at)
         VALUES ($1, $2, $3, $4, 1, $5, $6) RETURNING id, unit_id, name, level, version, created_at",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Text, _>(&new.name)
    .bind::<Text, _>(new.level.as_str())
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .get_result(tx)
    .await
}

/// Stores a version with its clusters and members, and makes it the set's newest.
pub async fn insert_version(
    tx: &mut Tx,
    permit: &Permit<TargetSetWrite>,
    (id, version): (i32, i32),
    new: &NewVersion,
    members: &[Member],
) -> QueryResult<()> {
    let rule: Option<Value> = new.rule.as_ref().and_then(|rule| serde_json::to_value(rule).ok());
    statement(
        "WITH newest AS (UPDATE target_sets SET version = $1 WHERE id = $2)
         INSERT INTO target_set_versions (target_set_id, version, valid_from, reason, rule, member_count, made_by, made_at)
         VALUES ($3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind::<Integer, _>(version)
    .bind::<Integer, _>(id)
    .bind::<Integer, _>(id)
    .bind::<Integer, _>(version)
    .bind::<Date, _>(new.valid_from)
    .bind::<Text, _>(&new.reason)
    .bind::<Nullable<Jsonb>, _>(rule)
    .bind::<Integer, _>(i32::try_from(members.len()).unwrap_or(i32::MAX))
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .execute(tx)
    .await?;
    insert_clusters(tx, (id, version), &new.clusters).await?;
    statement(
        "INSERT INTO target_set_members (target_set_id, version, unit_id, cluster)
         SELECT v.id, v.version, m.unit_id, m.cluster FROM (SELECT $1::int AS id, $2::int AS version) v,
                unnest($3::int[], $4::text[]) AS m (unit_id, cluster)",
    )
    .bind::<Integer, _>(id)
    .bind::<Integer, _>(version)
    .bind::<Array<Integer>, _>(members.iter().map(|member| member.unit_id).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(
        members
            .iter()
            .map(|member| member.cluster.as_deref())
            .collect::<Vec<_>>(),
    )
    .execute(tx)
    .await
    .map(|_| ())
}

async fn insert_clusters(tx: &mut Tx, (id, version): (i32, i32), clusters: &[Cluster]) -> QueryResult<()> {
    statement(
        "INSERT INTO target_set_clusters (target_set_id, version, name, in_charge)
         SELECT v.id, v.version, c.name, c.in_charge FROM (SELECT $1::int AS id, $2::int AS version) v,
                unnest($3::text[], $4::int[]) AS c (name, in_charge)",
    )
    .bind::<Integer, _>(id)
    .bind::<Integer, _>(version)
    .bind::<Array<Text>, _>(
        clusters
            .iter()
            .map(|cluster| cluster.name.as_str())
            .collect::<Vec<_>>(),
    )
    .bind::<Array<Nullable<Integer>>, _>(
        clusters
            .iter()
            .map(|cluster| cluster.in_charge)
            .collect::<Vec<_>>(),
    )
    .execute(tx)
    .await
    .map(|_| ())
}

/// The members of a set on a day, for whatever `target_set=` narrows; `None` if the caller may see no such set. Those
/// outside his scope are not left out here: the narrowed list is scoped itself.
///
/// # Errors
/// What the database says.
pub async fn members_on(
    tx: &mut Tx,
    scope: &Scope<TargetSetRead>,
    day: NaiveDate,
    id: i32,
) -> QueryResult<Option<Vec<UnitId>>> {
    if find_set(tx, scope, day, id).await?.is_none() {
        return Ok(None);
    }
    let rows: Vec<IdRow> = statement(
        "SELECT m.unit_id AS id FROM target_set_members m
         WHERE m.target_set_id = $1
           AND m.version = (SELECT max(v.version) FROM target_set_versions v
                            WHERE v.target_set_id = $2 AND v.valid_from <= $3)
         ORDER BY m.unit_id",
    )
    .bind::<Integer, _>(id)
    .bind::<Integer, _>(id)
    .bind::<Date, _>(day)
    .load(tx)
    .await?;
    Ok(Some(rows.into_iter().map(|row| UnitId(row.id)).collect()))
}
