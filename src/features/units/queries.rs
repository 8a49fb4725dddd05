use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Date, Double, Integer, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;

use super::rules::{Level, Tree};
use super::wire::NewUnit;
use crate::access::actions::{UnitRead, UnitWrite};
use crate::access::{Permit, Scope};
use crate::platform::db::Tx;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;

pub mod import;
pub mod lineages;

#[derive(Clone, Debug, PartialEq, diesel::QueryableByName)]
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
}

/// The units that a query picks, with their parents on the day $1 (given four times).
macro_rules! select_units {
    ($picked:literal) => {
        concat!(
            "SELECT u.id, u.code, u.level, u.name, u.name_local, u.state_id, u.electors, u.doors, u.lat, u.lon, u.version,
                    (SELECT p.parent_id FROM placements p WHERE p.unit_id = u.id AND p.tree = 'organisation'
                         AND p.valid_from <= $1 AND (p.valid_to IS NULL OR p.valid_to > $2)) AS organisation,
                    (SELECT p.parent_id FROM placements p WHERE p.unit_id = u.id AND p.tree = 'electorate'
                         AND p.valid_from <= $3 AND (p.valid_to IS NULL OR p.valid_to > $4)) AS electorate
             FROM (SELECT u.* FROM units u ", $picked, ") u ORDER BY u.id"
        )
    };
}

/// Which of the units in scope.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub level: Option<Level>,
    pub code: Option<String>,
    pub text: Option<String>,
    pub after: Option<UnitId>,
}

/// A page of the units in scope today, by id; one more than `limit` shows that there is a next page.
pub async fn list_units(
    tx: &mut Tx,
    scope: &Scope<UnitRead>,
    today: NaiveDate,
    wanted: &Wanted,
    limit: i64,
) -> QueryResult<Vec<UnitRow>> {
    let level = wanted.level.map(Level::as_str);
    let pattern = wanted.text.as_deref().map(contains_pattern);
    statement(select_units!(
        "JOIN lineages l ON l.unit_id = u.id AND l.valid_from <= $5 AND (l.valid_to IS NULL OR l.valid_to > $6)
         WHERE l.unit_ids && $7 AND u.id > $8 AND ($9::text IS NULL OR u.level = $10)
           AND ($11::text IS NULL OR u.code = $12)
           AND ($13::text IS NULL OR u.name ILIKE $14 OR u.name_local ILIKE $15 OR u.code ILIKE $16)
         ORDER BY u.id LIMIT $17"
    ))
    // A booth's worker and the nation's administrator need different plans.
    .planned_anew()
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Integer, _>(wanted.after.unwrap_or(UnitId(0)))
    .bind::<Nullable<Text>, _>(level)
    .bind::<Nullable<Text>, _>(level)
    .bind::<Nullable<Text>, _>(wanted.code.as_deref())
    .bind::<Nullable<Text>, _>(wanted.code.as_deref())
    .bind::<Nullable<Text>, _>(pattern.as_deref())
    .bind::<Nullable<Text>, _>(pattern.as_deref())
    .bind::<Nullable<Text>, _>(pattern.as_deref())
    .bind::<Nullable<Text>, _>(pattern.as_deref())
    .bind::<BigInt, _>(limit.saturating_add(1))
    .load(tx)
    .await
}

/// Finds the text itself anywhere, whatever it holds.
fn contains_pattern(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{text}%")
}

/// Those of these units that are in scope today, by id.
pub async fn find_units(
    tx: &mut Tx,
    scope: &Scope<UnitRead>,
    today: NaiveDate,
    ids: &[UnitId],
) -> QueryResult<Vec<UnitRow>> {
    statement(select_units!(
        "JOIN lineages l ON l.unit_id = u.id AND l.valid_from <= $5 AND (l.valid_to IS NULL OR l.valid_to > $6)
         WHERE l.unit_ids && $7 AND u.id = ANY ($8)"
    ))
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Array<Integer>, _>(ids)
    .load(tx)
    .await
}

/// The permit's unit.
pub async fn read_unit<A>(tx: &mut Tx, permit: &Permit<A>, today: NaiveDate) -> QueryResult<UnitRow> {
    statement(select_units!("WHERE u.id = $5"))
        .bind::<Date, _>(today)
        .bind::<Date, _>(today)
        .bind::<Date, _>(today)
        .bind::<Date, _>(today)
        .bind::<Integer, _>(permit.unit_id())
        .get_result(tx)
        .await
}

/// Keeps others from changing the permit's unit until the transaction ends.
pub async fn lock_unit(tx: &mut Tx, permit: &Permit<UnitWrite>) -> QueryResult<()> {
    statement("SELECT 1 FROM units WHERE id = $1 FOR NO KEY UPDATE")
        .bind::<Integer, _>(permit.unit_id())
        .execute(tx)
        .await
        .map(|_| ())
}

/// Stores what can be changed of the permit's unit, as a new version.
pub async fn update_unit(tx: &mut Tx, permit: &Permit<UnitWrite>, row: &UnitRow) -> QueryResult<()> {
    statement(
        "UPDATE units SET name = $1, name_local = $2, electors = $3, doors = $4, lat = $5, lon = $6, updated_at = $7,
             version = version + 1
         WHERE id = $8",
    )
    .bind::<Text, _>(&row.name)
    .bind::<Nullable<Text>, _>(row.name_local.as_deref())
    .bind::<Nullable<Integer>, _>(row.electors)
    .bind::<Nullable<Integer>, _>(row.doors)
    .bind::<Nullable<Double>, _>(row.lat)
    .bind::<Nullable<Double>, _>(row.lon)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Integer, _>(permit.unit_id())
    .execute(tx)
    .await
    .map(|_| ())
}

#[derive(diesel::QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
}

/// Stores a new unit under the permits' units, since ever. A state is its own state.
pub async fn insert_unit(
    tx: &mut Tx,
    parents: &[(Tree, Permit<UnitWrite>)],
    new: &NewUnit,
    at: DateTime<Utc>,
) -> QueryResult<UnitId> {
    let state = parents
        .first()
        .map(|(_, parent)| parent.state_id())
        .filter(|_| new.level != Level::State);
    let row: IdRow = statement(
        "INSERT INTO units (id, code, level, name, name_local, state_id, electors, doors, lat, lon, created_at, updated_at)
         SELECT n.id, $1, $2, $3, $4, coalesce($5, n.id), $6, $7, $8, $9, $10, $11
         FROM (SELECT nextval(pg_get_serial_sequence('units', 'id'))::int AS id) n
         RETURNING id",
    )
    .bind::<Text, _>(&new.code)
    .bind::<Text, _>(new.level.as_str())
    .bind::<Text, _>(&new.name)
    .bind::<Nullable<Text>, _>(new.name_local.as_deref())
    .bind::<Nullable<Integer>, _>(state)
    .bind::<Nullable<Integer>, _>(new.electors)
    .bind::<Nullable<Integer>, _>(new.doors)
    .bind::<Nullable<Double>, _>(new.location.map(|location| location.lat))
    .bind::<Nullable<Double>, _>(new.location.map(|location| location.lon))
    .bind::<Timestamptz, _>(at)
    .bind::<Timestamptz, _>(at)
    .get_result(tx)
    .await?;
    statement(
        "INSERT INTO placements (unit_id, tree, parent_id, valid_from)
         SELECT $1, tree, parent_id, '0001-01-01' FROM unnest($2::text[], $3::int[]) AS t (tree, parent_id)",
    )
    .bind::<Integer, _>(row.id)
    .bind::<Array<Text>, _>(parents.iter().map(|(tree, _)| tree.as_str()).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(
        parents
            .iter()
            .map(|(_, parent)| parent.unit_id())
            .collect::<Vec<_>>(),
    )
    .execute(tx)
    .await?;
    Ok(row.id)
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
}

/// The permit's unit and all above it in both trees on a day.
pub async fn read_lineage(
    tx: &mut Tx,
    permit: &Permit<UnitRead>,
    on: NaiveDate,
) -> QueryResult<Vec<UpperRow>> {
    statement(
        "SELECT u.id, u.code, u.level, u.name, u.name_local
         FROM lineages l JOIN units u ON u.id = ANY (l.unit_ids)
         WHERE l.unit_id = $1 AND l.valid_from <= $2 AND (l.valid_to IS NULL OR l.valid_to > $3)
         ORDER BY array_position($4::text[], u.level), u.id",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Date, _>(on)
    .bind::<Date, _>(on)
    .bind::<Array<Text>, _>(Level::ALL.iter().map(|level| level.as_str()).collect::<Vec<_>>())
    .load(tx)
    .await
}

/// Moves are a change of the unit as it is shown: a new version.
pub async fn count_move(tx: &mut Tx, permit: &Permit<UnitWrite>) -> QueryResult<()> {
    statement("UPDATE units SET version = version + 1, updated_at = $1 WHERE id = $2")
        .bind::<Timestamptz, _>(permit.actor().at)
        .bind::<Integer, _>(permit.unit_id())
        .execute(tx)
        .await
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::contains_pattern;

    #[test]
    fn wildcards_in_a_search_stand_for_themselves() {
        assert_eq!(contains_pattern(r"50%_\"), r"%50\%\_\\%");
    }
}

#[derive(diesel::QueryableByName)]
struct StateOfRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
}

/// The states of these units, for the journal: it tells of what the caller has been shown already.
///
/// # Errors
/// What the database says.
pub async fn states_of(tx: &mut Tx, units: &[UnitId]) -> QueryResult<BTreeMap<UnitId, UnitId>> {
    let rows: Vec<StateOfRow> = statement("SELECT id, state_id FROM units WHERE id = ANY ($1)")
        .bind::<Array<Integer>, _>(units)
        .load(tx)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.state_id)).collect())
}
