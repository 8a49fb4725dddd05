use std::collections::HashMap;

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::sql_types::{Array, Binary, Bool, Date, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;

use super::super::rules::import::{
    HeldGrant, KnownWorker, PlannedChange, PlannedGrant, PlannedWorker, UnitFact,
};
use super::{new_phones, phone_index};
use crate::access::Scope;
use crate::access::actions::WorkerWrite;
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::ids::{UnitId, WorkerId};
use crate::platform::statement::statement;
use crate::platform::stored::Stored;

#[derive(diesel::QueryableByName)]
struct UnitRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
    #[diesel(sql_type = Text)]
    code: String,
    #[diesel(sql_type = Text)]
    level: String,
    #[diesel(sql_type = Array<Integer>)]
    unit_ids: Vec<UnitId>,
}

/// The units with these codes that lie in scope, by code.
pub async fn find_units(
    tx: &mut Tx,
    scope: &Scope<WorkerWrite>,
    codes: &[&str],
    today: NaiveDate,
) -> QueryResult<HashMap<String, UnitFact>> {
    let rows: Vec<UnitRow> = statement(
        "SELECT u.id, u.code, u.level, l.unit_ids
         FROM (SELECT DISTINCT unnest($1::text[]) AS code) AS asked
         JOIN units u ON u.code = asked.code
         JOIN lineages l ON l.unit_id = u.id AND l.valid_from <= $2 AND (l.valid_to IS NULL OR l.valid_to > $3)
         WHERE l.unit_ids && $4",
    )
    .bind::<Array<Text>, _>(codes)
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(scope.roots())
    .load(tx)
    .await?;
    let units = rows.into_iter().map(|row| {
        let fact = UnitFact {
            id: row.id,
            level: row.level,
            lineage: row.unit_ids,
        };
        (row.code, fact)
    });
    Ok(units.collect())
}

fn indexes<'a>(keys: &DataKeys, phones: impl Iterator<Item = &'a str>) -> Vec<Vec<u8>> {
    phones.map(|phone| phone_index(keys, phone)).collect()
}

/// Holds the workers with these numbers, in order of id, so that two imports of one file wait for each other.
pub async fn lock_phones(
    tx: &mut Tx,
    keys: &DataKeys,
    _scope: &Scope<WorkerWrite>,
    phones: &[&str],
) -> QueryResult<()> {
    statement("SELECT id FROM workers WHERE phone_index = ANY ($1) ORDER BY id FOR UPDATE")
        .bind::<Array<Binary>, _>(indexes(keys, phones.iter().copied()))
        .execute(tx)
        .await
        .map(|_| ())
}

#[derive(diesel::QueryableByName)]
struct KnownRow {
    #[diesel(sql_type = Integer)]
    id: WorkerId,
    #[diesel(sql_type = Integer)]
    unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Binary)]
    phone_index: Vec<u8>,
    #[diesel(sql_type = Text)]
    language: String,
    #[diesel(sql_type = Bool)]
    managed: bool,
    #[diesel(sql_type = Jsonb)]
    grants: Stored<Vec<HeldGrant>>,
}

/// The workers with these numbers, wherever they are, by number: whether each is managed in scope decides what may be
/// done and said.
pub async fn find_workers(
    tx: &mut Tx,
    keys: &DataKeys,
    scope: &Scope<WorkerWrite>,
    phones: &[&str],
    today: NaiveDate,
) -> QueryResult<HashMap<String, KnownWorker>> {
    let indexes = indexes(keys, phones.iter().copied());
    let asked: HashMap<&[u8], &str> = indexes
        .iter()
        .map(Vec::as_slice)
        .zip(phones.iter().copied())
        .collect();
    let rows: Vec<KnownRow> = statement(
        "WITH asked AS MATERIALIZED (SELECT $1::date AS today, $2::int[] AS roots)
         SELECT w.id, w.unit_id, u.state_id, w.name, w.phone_index, w.language,
             EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = w.unit_id
                 AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
                 AND l.unit_ids && a.roots) AND w.erasure_requested_at IS NULL AS managed,
             coalesce((SELECT jsonb_agg(jsonb_build_object('role', g.role, 'unit_id', g.unit_id, 'valid_from', g.valid_from,
                                                           'valid_to', g.valid_to, 'lineage', l.unit_ids))
                 FROM grants g JOIN lineages l ON l.unit_id = g.unit_id
                 AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
                 WHERE g.worker_id = w.id AND g.ended_at IS NULL), '[]') AS grants
         FROM asked a, workers w JOIN units u ON u.id = w.unit_id
         WHERE w.phone_index = ANY ($3)",
    )
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Array<Binary>, _>(&indexes)
    .load(tx)
    .await?;
    let workers = rows.into_iter().filter_map(|row| {
        let phone = asked.get(row.phone_index.as_slice())?;
        let known = KnownWorker {
            id: row.id,
            unit_id: row.unit_id,
            state_id: row.state_id,
            name: row.name,
            language: row.language,
            managed: row.managed,
            grants: row.grants.0,
        };
        Some(((*phone).to_owned(), known))
    });
    Ok(workers.collect())
}

/// Whom a statement touched, and where.
#[derive(Clone, Copy, Debug, diesel::QueryableByName)]
pub struct TouchedRow {
    #[diesel(sql_type = Integer)]
    pub worker_id: WorkerId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
}

/// Puts workers on the roster of units in scope.
pub async fn add_workers(
    tx: &mut Tx,
    keys: &DataKeys,
    scope: &Scope<WorkerWrite>,
    new: &[PlannedWorker],
) -> QueryResult<Vec<TouchedRow>> {
    let phones: Vec<&str> = new.iter().map(|worker| worker.phone.as_str()).collect();
    let phones = new_phones(tx, keys, &phones).await?;
    statement(
        "WITH added AS (
             INSERT INTO workers (id, unit_id, name, phone_sealed, phone_index, language, created_at, updated_at)
             SELECT n.id, n.unit_id, n.name, n.phone_sealed, n.phone_index, n.language, now.at, now.at
             FROM unnest($1::int[], $2::int[], $3::text[], $4::bytea[], $5::bytea[], $6::text[]) WITH ORDINALITY
                      AS n (id, unit_id, name, phone_sealed, phone_index, language, place),
                  (SELECT $7::timestamptz AS at) AS now
             ORDER BY n.place
             RETURNING id, unit_id
         )
         SELECT a.id AS worker_id, a.unit_id, u.state_id FROM added a JOIN units u ON u.id = a.unit_id",
    )
    .bind::<Array<Integer>, _>(phones.iter().map(|(id, _, _)| *id).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(new.iter().map(|worker| worker.unit_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(new.iter().map(|worker| worker.name.as_str()).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(phones.iter().map(|(_, sealed, _)| sealed).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(phones.iter().map(|(_, _, index)| index).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(
        new.iter()
            .map(|worker| worker.language.as_str())
            .collect::<Vec<_>>(),
    )
    .bind::<Timestamptz, _>(scope.actor().at)
    .load(tx)
    .await
}

/// Renames workers, or changes their language.
pub async fn change_workers(
    tx: &mut Tx,
    scope: &Scope<WorkerWrite>,
    changes: &[PlannedChange],
) -> QueryResult<()> {
    statement(
        "UPDATE workers w SET name = c.name, language = c.language, version = w.version + 1, updated_at = $1
         FROM (SELECT unnest($2::int[]) AS id, unnest($3::text[]) AS name, unnest($4::text[]) AS language) AS c
         WHERE w.id = c.id",
    )
    .bind::<Timestamptz, _>(scope.actor().at)
    .bind::<Array<Integer>, _>(changes.iter().map(|change| change.id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(changes.iter().map(|change| change.name.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(changes.iter().map(|change| change.language.as_str()).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(|_| ())
}

/// Gives roles at units in scope to workers by their numbers.
pub async fn add_grants(
    tx: &mut Tx,
    keys: &DataKeys,
    scope: &Scope<WorkerWrite>,
    grants: &[PlannedGrant],
) -> QueryResult<Vec<TouchedRow>> {
    statement(
        "WITH added AS (
             INSERT INTO grants (worker_id, role, unit_id, valid_from, given_by, created_at)
             SELECT w.id, n.role, n.unit_id, n.valid_from, actor.given_by, actor.at
             FROM unnest($1::bytea[], $2::text[], $3::int[], $4::date[]) WITH ORDINALITY
                      AS n (phone_index, role, unit_id, valid_from, place)
             JOIN workers w ON w.phone_index = n.phone_index,
                  (SELECT $5::int AS given_by, $6::timestamptz AS at) AS actor
             ORDER BY n.place
             RETURNING worker_id, unit_id
         )
         SELECT a.worker_id, a.unit_id, u.state_id FROM added a JOIN units u ON u.id = a.unit_id",
    )
    .bind::<Array<Binary>, _>(indexes(keys, grants.iter().map(|grant| grant.phone.as_str())))
    .bind::<Array<Text>, _>(grants.iter().map(|grant| grant.role.as_str()).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(grants.iter().map(|grant| grant.unit_id).collect::<Vec<_>>())
    .bind::<Array<Date>, _>(grants.iter().map(|grant| grant.valid_from).collect::<Vec<_>>())
    .bind::<Nullable<Integer>, _>(scope.actor().worker_id)
    .bind::<Timestamptz, _>(scope.actor().at)
    .load(tx)
    .await
}

/// A change of a worker's grants is a change of the worker.
pub async fn count_grant_changes(
    tx: &mut Tx,
    scope: &Scope<WorkerWrite>,
    ids: &[WorkerId],
) -> QueryResult<()> {
    statement("UPDATE workers SET version = version + 1, updated_at = $1 WHERE id = ANY ($2)")
        .bind::<Timestamptz, _>(scope.actor().at)
        .bind::<Array<Integer>, _>(ids)
        .execute(tx)
        .await
        .map(|_| ())
}
