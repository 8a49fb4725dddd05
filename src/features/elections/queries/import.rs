use std::collections::HashMap;

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::sql_types::{Array, Binary, Date, Integer, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::RunQueryDsl;

use crate::access::Scope;
use crate::access::actions::ElectionImport;
use crate::platform::db::Tx;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct UnitRow {
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Integer)]
    pub id: UnitId,
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
}

/// The constituencies and booths with these codes that lie in scope.
pub async fn find_seat_units(
    tx: &mut Tx,
    scope: &Scope<ElectionImport>,
    today: NaiveDate,
    codes: &[&str],
    levels: &[&str],
) -> QueryResult<HashMap<String, UnitRow>> {
    let rows: Vec<UnitRow> = statement(
        "SELECT u.code, u.id, u.state_id FROM units u
         JOIN lineages l ON l.unit_id = u.id
         JOIN (SELECT $1::date AS today, $2::int[] AS roots) a
              ON l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today) AND l.unit_ids && a.roots
         WHERE u.code = ANY ($3) AND u.level = ANY ($4)",
    )
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Array<Text>, _>(codes)
    .bind::<Array<Text>, _>(levels)
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.code.clone(), row)).collect())
}

#[derive(diesel::QueryableByName)]
struct NamedRow {
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = Integer)]
    id: i32,
}

fn by_key(rows: Vec<NamedRow>) -> HashMap<String, i32> {
    rows.into_iter().map(|row| (row.key, row.id)).collect()
}

/// Lets imports of results follow each other: what one finds missing, no other makes meanwhile.
pub async fn hold_imports(tx: &mut Tx, _scope: &Scope<ElectionImport>) -> QueryResult<()> {
    statement("LOCK TABLE party_names, elections IN SHARE ROW EXCLUSIVE MODE")
        .execute(tx)
        .await
        .map(|_| ())
}

/// Makes the elections that are not known, each called by its code.
pub async fn add_elections(tx: &mut Tx, scope: &Scope<ElectionImport>, codes: &[&str]) -> QueryResult<()> {
    statement(
        "INSERT INTO elections (code, name, created_at, updated_at)
         SELECT c.code, c.code, now.at, now.at FROM unnest($1::text[]) AS c (code), (SELECT $2::timestamptz AS at) AS now
         ORDER BY c.code
         ON CONFLICT (code) DO NOTHING",
    )
    .bind::<Array<Text>, _>(codes)
    .bind::<Timestamptz, _>(scope.actor().at)
    .execute(tx)
    .await
    .map(|_| ())
}

/// The elections with these codes.
pub async fn find_elections(
    tx: &mut Tx,
    _scope: &Scope<ElectionImport>,
    codes: &[&str],
) -> QueryResult<HashMap<String, i32>> {
    let rows: Vec<NamedRow> = statement("SELECT code AS key, id FROM elections WHERE code = ANY ($1)")
        .bind::<Array<Text>, _>(codes)
        .load(tx)
        .await?;
    Ok(by_key(rows))
}

/// Makes each name that is not known a party of its own.
pub async fn add_party_names(
    tx: &mut Tx,
    scope: &Scope<ElectionImport>,
    keys: &[&str],
    names: &[&str],
) -> QueryResult<()> {
    statement(
        "WITH fresh AS MATERIALIZED (
             SELECT n.key, n.name, row_number() OVER (ORDER BY n.key) AS place
             FROM unnest($1::text[], $2::text[]) AS n (key, name)
             WHERE NOT EXISTS (SELECT 1 FROM party_names o WHERE o.key = n.key)
         ), made AS (
             INSERT INTO parties (created_at) SELECT $3::timestamptz FROM fresh RETURNING id, created_at
         ), numbered AS (
             SELECT id, created_at, row_number() OVER (ORDER BY id) AS place FROM made
         )
         INSERT INTO party_names (key, name, party_id, created_at)
         SELECT f.key, f.name, m.id, m.created_at FROM fresh f JOIN numbered m USING (place) ORDER BY f.place",
    )
    .bind::<Array<Text>, _>(keys)
    .bind::<Array<Text>, _>(names)
    .bind::<Timestamptz, _>(scope.actor().at)
    .execute(tx)
    .await
    .map(|_| ())
}

/// The names of parties by key.
pub async fn find_party_names(
    tx: &mut Tx,
    _scope: &Scope<ElectionImport>,
    keys: &[&str],
) -> QueryResult<HashMap<String, i32>> {
    let rows: Vec<NamedRow> = statement("SELECT key, id FROM party_names WHERE key = ANY ($1)")
        .bind::<Array<Text>, _>(keys)
        .load(tx)
        .await?;
    Ok(by_key(rows))
}

#[derive(diesel::QueryableByName)]
struct SeatDigestRow {
    #[diesel(sql_type = Integer)]
    election_id: i32,
    #[diesel(sql_type = Integer)]
    unit_id: UnitId,
    #[diesel(sql_type = Binary)]
    digest: Vec<u8>,
}

/// What is stored of these elections' seats, by its digest.
pub async fn seat_digests(
    tx: &mut Tx,
    _scope: &Scope<ElectionImport>,
    elections: &[i32],
    units: &[UnitId],
) -> QueryResult<HashMap<(i32, UnitId), Vec<u8>>> {
    let rows: Vec<SeatDigestRow> = statement(
        "SELECT election_id, unit_id, digest FROM election_seats
         WHERE election_id = ANY ($1) AND unit_id = ANY ($2)",
    )
    .bind::<Array<Integer>, _>(elections)
    .bind::<Array<Integer>, _>(units)
    .load(tx)
    .await?;
    let digests = rows
        .into_iter()
        .map(|row| ((row.election_id, row.unit_id), row.digest));
    Ok(digests.collect())
}

/// A seat to store.
#[derive(Clone, Debug)]
pub struct NewSeat {
    pub state_id: UnitId,
    pub election_id: i32,
    pub unit_id: UnitId,
    pub votes: i32,
    pub digest: Vec<u8>,
}

/// Stores the heads of seats; those stored before lose their lines, which [`add_results`] writes anew.
pub async fn replace_seats(tx: &mut Tx, scope: &Scope<ElectionImport>, seats: &[NewSeat]) -> QueryResult<()> {
    let elections: Vec<i32> = seats.iter().map(|seat| seat.election_id).collect();
    let units: Vec<UnitId> = seats.iter().map(|seat| seat.unit_id).collect();
    statement(
        "DELETE FROM election_results r USING unnest($1::int[], $2::int[]) AS s (election_id, unit_id)
         WHERE r.election_id = s.election_id AND r.unit_id = s.unit_id",
    )
    .bind::<Array<Integer>, _>(&elections)
    .bind::<Array<Integer>, _>(&units)
    .execute(tx)
    .await?;
    statement(
        "INSERT INTO election_seats (state_id, election_id, unit_id, votes, digest, imported_by, imported_at)
         SELECT s.state_id, s.election_id, s.unit_id, s.votes, s.digest, by.actor, by.at
         FROM unnest($1::int[], $2::int[], $3::int[], $4::int[], $5::bytea[])
                  AS s (state_id, election_id, unit_id, votes, digest),
              (SELECT $6::int AS actor, $7::timestamptz AS at) AS by
         ON CONFLICT (state_id, election_id, unit_id) DO UPDATE
         SET votes = excluded.votes, digest = excluded.digest, imported_by = excluded.imported_by,
             imported_at = excluded.imported_at",
    )
    .bind::<Array<Integer>, _>(seats.iter().map(|seat| seat.state_id).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(elections)
    .bind::<Array<Integer>, _>(units)
    .bind::<Array<Integer>, _>(seats.iter().map(|seat| seat.votes).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(
        seats
            .iter()
            .map(|seat| seat.digest.as_slice())
            .collect::<Vec<_>>(),
    )
    .bind::<Nullable<Integer>, _>(scope.actor().worker_id)
    .bind::<Timestamptz, _>(scope.actor().at)
    .execute(tx)
    .await
    .map(|_| ())
}

/// A candidate's line to store.
#[derive(Clone, Debug)]
pub struct NewResult<'a> {
    pub state_id: UnitId,
    pub election_id: i32,
    pub unit_id: UnitId,
    pub line: i16,
    pub candidate: &'a str,
    pub party_name_id: i32,
    pub votes: i32,
    pub place: Option<i16>,
}

/// Stores candidates' lines.
pub async fn add_results(
    tx: &mut Tx,
    _scope: &Scope<ElectionImport>,
    results: &[NewResult<'_>],
) -> QueryResult<()> {
    statement(
        "INSERT INTO election_results (state_id, election_id, unit_id, line, candidate, party_name_id, votes, place)
         SELECT * FROM unnest($1::int[], $2::int[], $3::int[], $4::smallint[], $5::text[], $6::int[], $7::int[],
                              $8::smallint[])",
    )
    .bind::<Array<Integer>, _>(results.iter().map(|row| row.state_id).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(results.iter().map(|row| row.election_id).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(results.iter().map(|row| row.unit_id).collect::<Vec<_>>())
    .bind::<Array<SmallInt>, _>(results.iter().map(|row| row.line).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(results.iter().map(|row| row.candidate).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(results.iter().map(|row| row.party_name_id).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(results.iter().map(|row| row.votes).collect::<Vec<_>>())
    .bind::<Array<Nullable<SmallInt>>, _>(results.iter().map(|row| row.place).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(|_| ())
}
