use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::RunQueryDsl;

use super::PartyRow;
use crate::access::actions::{ElectionRead, ElectionWrite};
use crate::access::{Permit, Scope};
use crate::platform::db::Tx;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;

#[derive(diesel::QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: i32,
}

#[derive(diesel::QueryableByName)]
struct UnitRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
}

/// The nation, at which is written what all states share.
pub async fn find_nation(tx: &mut Tx) -> QueryResult<Option<UnitId>> {
    let row: Option<UnitRow> = statement("SELECT id FROM units WHERE level = 'nation' ORDER BY id LIMIT 1")
        .get_result(tx)
        .await
        .optional()?;
    Ok(row.map(|row| row.id))
}

/// The party that a name (by its key) means.
///
/// # Errors
/// What the database says.
pub async fn find_party_by_name(
    tx: &mut Tx,
    _scope: &Scope<ElectionRead>,
    key: &str,
) -> QueryResult<Option<i32>> {
    let row: Option<IdRow> = statement("SELECT party_id AS id FROM party_names WHERE key = $1")
        .bind::<Text, _>(key)
        .get_result(tx)
        .await
        .optional()?;
    Ok(row.map(|row| row.id))
}

/// Parties by id, of those with a name that holds the text.
pub async fn list_parties(
    tx: &mut Tx,
    _scope: &Scope<ElectionRead>,
    text: Option<&str>,
    after: Option<i32>,
    limit: i64,
) -> QueryResult<Vec<PartyRow>> {
    statement(
        "SELECT p.id, (SELECT jsonb_agg(jsonb_build_object('id', n.id, 'name', n.name) ORDER BY n.is_main DESC, n.id)
                       FROM party_names n WHERE n.party_id = p.id) AS names
         FROM parties p, (SELECT $1::text AS part, $2::int AS after) a
         WHERE p.id > coalesce(a.after, 0)
           AND EXISTS (SELECT 1 FROM party_names n WHERE n.party_id = p.id
                       AND (a.part IS NULL OR strpos(n.key, a.part) > 0))
         ORDER BY p.id LIMIT $3",
    )
    .bind::<Nullable<Text>, _>(text)
    .bind::<Nullable<Integer>, _>(after)
    .bind::<BigInt, _>(limit + 1)
    .load(tx)
    .await
}

/// One party, with all its names.
pub async fn read_party(
    tx: &mut Tx,
    _permit: &Permit<ElectionWrite>,
    id: i32,
) -> QueryResult<Option<PartyRow>> {
    statement(
        "SELECT p.id, jsonb_agg(jsonb_build_object('id', n.id, 'name', n.name) ORDER BY n.is_main DESC, n.id) AS names
         FROM parties p JOIN party_names n ON n.party_id = p.id WHERE p.id = $1 GROUP BY p.id",
    )
    .bind::<Integer, _>(id)
    .get_result(tx)
    .await
    .optional()
}

/// Holds all names of parties, so that two who join and part them do so one after the other.
pub async fn lock_names(tx: &mut Tx, _permit: &Permit<ElectionWrite>) -> QueryResult<()> {
    statement("LOCK TABLE party_names IN SHARE ROW EXCLUSIVE MODE")
        .execute(tx)
        .await
        .map(|_| ())
}

/// Lets the name, and every other name of the party that it meant before, mean this party.
pub async fn join_name(
    tx: &mut Tx,
    permit: &Permit<ElectionWrite>,
    party_id: i32,
    key: &str,
    name: &str,
) -> QueryResult<()> {
    statement(
        "WITH asked AS (SELECT $1::int AS party_id, $2::text AS key, $3::text AS name, $4::timestamptz AS at),
              joined AS (
                  UPDATE party_names n SET party_id = a.party_id, is_main = false FROM asked a
                  WHERE n.party_id = (SELECT o.party_id FROM party_names o WHERE o.key = a.key)
                    AND n.party_id <> a.party_id RETURNING n.id)
         INSERT INTO party_names (key, name, party_id, is_main, created_at)
         SELECT a.key, a.name, a.party_id, false, a.at FROM asked a
         WHERE NOT EXISTS (SELECT 1 FROM party_names o WHERE o.key = a.key)",
    )
    .bind::<Integer, _>(party_id)
    .bind::<Text, _>(key)
    .bind::<Text, _>(name)
    .bind::<Timestamptz, _>(permit.actor().at)
    .execute(tx)
    .await
    .map(|_| ())
}

/// Makes the name a party of its own; its number. What is left is shown by its smallest name if it was shown by this.
pub async fn part_name(
    tx: &mut Tx,
    permit: &Permit<ElectionWrite>,
    party_id: i32,
    name_id: i32,
) -> QueryResult<Option<i32>> {
    let own: Option<IdRow> = statement(
        "WITH asked AS (SELECT $1::int AS party_id, $2::int AS name_id, $3::timestamptz AS at),
              own AS (INSERT INTO parties (created_at)
                      SELECT a.at FROM asked a
                      WHERE EXISTS (SELECT 1 FROM party_names n WHERE n.id = a.name_id AND n.party_id = a.party_id)
                      RETURNING id)
         UPDATE party_names n SET party_id = own.id, is_main = true FROM own, asked a WHERE n.id = a.name_id RETURNING own.id",
    )
    .bind::<Integer, _>(party_id)
    .bind::<Integer, _>(name_id)
    .bind::<Timestamptz, _>(permit.actor().at)
    .get_result(tx)
    .await
    .optional()?;
    statement(
        "UPDATE party_names n SET is_main = true
         FROM (SELECT min(id) AS id, party_id FROM party_names WHERE party_id = $1
               GROUP BY party_id HAVING NOT bool_or(is_main)) left_over
         WHERE n.id = left_over.id",
    )
    .bind::<Integer, _>(party_id)
    .execute(tx)
    .await?;
    Ok(own.map(|row| row.id))
}
