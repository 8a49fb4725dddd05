//! The import of units, set by set: staged, resolved against what is stored, checked, stored.
//!
//! All tables named `unit_import…` are temporary: they end with the connection.

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Date, Integer, Text, Timestamptz};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use super::super::rules::{Level, Tree, allowed_places, expected_parents};
use super::lineages::{Move, derive_lineages, move_units};
use crate::access::Scope;
use crate::access::actions::UnitImport;
use crate::journal::Actor;
use crate::platform::csv::CellError;
use crate::platform::db::Tx;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;

/// Class of the advisory lock under which one file at a time is stored.
const IMPORT_LOCK: i32 = 0x5341_0003;
/// Units after which statistics are renewed at once.
const MANY: i64 = 5_000;

/// Where a file is copied to, and how: the columns in the order in which rows are staged.
pub const STAGE: &str = "
    CREATE TEMP TABLE unit_import (line bigint, code text, level text, name text, name_local text,
        organisation_parent text, electorate_parent text, electors integer, doors integer,
        lat double precision, lon double precision, valid_from date)";
pub const COPY: &str = "COPY unit_import FROM STDIN";

/// Lets one file at a time be stored, so that no two wait for each other's states.
pub async fn wait_for_turn(tx: &mut Tx) -> QueryResult<()> {
    statement("SELECT pg_advisory_xact_lock($1, 0)")
        .bind::<Integer, _>(IMPORT_LOCK)
        .execute(tx)
        .await
        .map(|_| ())
}

// Of each code the first row counts; the others are errors. `level` becomes the stored one where there is one.
const RESOLVE: &str = "
    CREATE TEMP TABLE unit_import_errors (line bigint, column_name text, code text, reason text);
    INSERT INTO unit_import_errors
        SELECT i.line, 'code', 'duplicate', format('stands in line %s already', d.first)
        FROM unit_import i
        JOIN (SELECT code, min(line) AS first FROM unit_import GROUP BY code HAVING count(*) > 1) d ON d.code = i.code
        WHERE i.line > d.first;
    DELETE FROM unit_import i USING unit_import_errors e WHERE e.line = i.line;
    ANALYZE unit_import;

    CREATE TEMP TABLE unit_import_rows AS
        SELECT i.*, u.id AS unit_id, u.state_id, coalesce(u.level, i.level) AS real_level,
               u.id IS NOT NULL AND (coalesce(i.name, u.name) <> u.name
                   OR coalesce(i.name_local, u.name_local) IS DISTINCT FROM u.name_local
                   OR coalesce(i.electors, u.electors) IS DISTINCT FROM u.electors
                   OR coalesce(i.doors, u.doors) IS DISTINCT FROM u.doors
                   OR coalesce(i.lat, u.lat) IS DISTINCT FROM u.lat
                   OR coalesce(i.lon, u.lon) IS DISTINCT FROM u.lon) AS changed
        FROM unit_import i LEFT JOIN units u ON u.code = i.code;
    ANALYZE unit_import_rows;

    CREATE TEMP TABLE unit_import_parents AS
        SELECT r.line, r.code, r.unit_id, r.real_level AS level, r.valid_from, t.tree, t.parent_code,
               u.id AS parent_id, u.state_id AS parent_state, coalesce(u.level, f.level) AS parent_level,
               f.code IS NOT NULL AS in_file
        FROM unit_import_rows r
        CROSS JOIN LATERAL (VALUES ('organisation', r.organisation_parent), ('electorate', r.electorate_parent))
            AS t (tree, parent_code)
        LEFT JOIN unit_import f ON f.code = t.parent_code
        LEFT JOIN units u ON u.code = t.parent_code
        WHERE t.parent_code <> '?';
    ANALYZE unit_import_parents;

    CREATE TEMP TABLE unit_import_states AS
        WITH RECURSIVE known (code, state) AS (
            (
                SELECT r.code, coalesce(s.code, r.code)
                FROM unit_import_rows r LEFT JOIN units s ON s.id = r.state_id
                WHERE r.unit_id IS NOT NULL OR r.real_level IN ('nation', 'state')
                UNION ALL
                SELECT DISTINCT p.parent_code, s.code
                FROM unit_import_parents p JOIN units s ON s.id = p.parent_state WHERE NOT p.in_file
            )
            UNION ALL
            SELECT r.code, k.state
            FROM known k JOIN unit_import_rows r ON coalesce(r.organisation_parent, r.electorate_parent) = k.code
            WHERE r.unit_id IS NULL AND r.real_level NOT IN ('nation', 'state')
        )
        SELECT code, state FROM known;
    ANALYZE unit_import_states;

    CREATE TEMP TABLE unit_import_rules (tree text, level text, rank integer, parent_levels text[], reason text)";

/// Finds what each row is about: its unit if it is stored, its parents, its state, whether it changes anything.
pub async fn resolve(tx: &mut Tx) -> QueryResult<()> {
    tx.batch_execute("SET LOCAL work_mem = '32MB'").await?;
    tx.batch_execute(RESOLVE).await?;
    let (mut trees, mut levels, mut ranks) = (Vec::new(), Vec::new(), Vec::new());
    let (mut parents, mut reasons) = (Vec::new(), Vec::new());
    for tree in Tree::ALL {
        for (rank, level) in (0_i32..).zip(Level::ALL) {
            let above: Vec<&str> = allowed_places()
                .iter()
                .filter(|(of, stands, _)| of == tree && stands == level)
                .map(|(_, _, parent)| parent.as_str())
                .collect();
            trees.push(tree.as_str());
            levels.push(level.as_str());
            ranks.push(rank);
            parents.push(above.join(","));
            reasons.push(expected_parents(*tree, *level));
        }
    }
    statement(
        "INSERT INTO unit_import_rules SELECT tree, level, rank, string_to_array(parents, ','), reason
         FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[]) AS t (tree, level, rank, parents, reason)",
    )
    .bind::<Array<Text>, _>(trees)
    .bind::<Array<Text>, _>(levels)
    .bind::<Array<Integer>, _>(ranks)
    .bind::<Array<Text>, _>(parents)
    .bind::<Array<Text>, _>(reasons)
    .execute(tx)
    .await
    .map(|_| ())
}

// Where a row's parent is not where its unit stands. A row without a day says nothing of days: see `units::import`.
const FIND_MOVES: &str = "
    CREATE TEMP TABLE unit_import_moves AS
        SELECT p.line, p.unit_id, p.tree, p.parent_id, p.parent_code, p.valid_from
        FROM unit_import_parents p
        WHERE p.unit_id IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM placements h
            WHERE h.unit_id = p.unit_id AND h.tree = p.tree AND h.parent_id = p.parent_id
              AND CASE WHEN p.valid_from IS NULL THEN h.valid_to IS NULL OR h.valid_from = '0001-01-01'
                       ELSE h.valid_from <= p.valid_from AND (h.valid_to IS NULL OR h.valid_to > p.valid_from) END);
    ANALYZE unit_import_moves";

/// Finds which units the file moves. The file's states must be held, or the answer not be relied on.
pub async fn find_moves(tx: &mut Tx) -> QueryResult<()> {
    tx.batch_execute(FIND_MOVES).await
}

// A cell that was found wrong by itself is staged as '?'; nothing more is said about it. A row's state is that of its
// first parent, so that one wrong parent is one error, not one for each unit below.
const CHECK: &str = "
    INSERT INTO unit_import_errors
        SELECT line, 'level', 'level_fixed', format('the unit is stored as a %s; a level is fixed', real_level)
        FROM unit_import_rows WHERE unit_id IS NOT NULL AND level <> '?' AND level <> real_level
        UNION ALL
        SELECT line, 'level', 'missing', 'a new unit needs a level'
        FROM unit_import_rows WHERE unit_id IS NULL AND level IS NULL
        UNION ALL
        SELECT line, 'name', 'missing', 'a new unit needs a name'
        FROM unit_import_rows WHERE unit_id IS NULL AND name IS NULL
        UNION ALL
        SELECT line, CASE WHEN real_level IN ('parliamentary_constituency', 'assembly_constituency')
                          THEN 'electorate_parent' ELSE 'organisation_parent' END,
               'missing', 'a new unit needs a parent'
        FROM unit_import_rows
        WHERE unit_id IS NULL AND real_level NOT IN ('nation', '?')
          AND organisation_parent IS NULL AND electorate_parent IS NULL
        UNION ALL
        SELECT line, 'level', 'one_nation', 'there is one nation, and it is another unit'
        FROM unit_import_rows r
        WHERE unit_id IS NULL AND real_level = 'nation'
          AND (EXISTS (SELECT 1 FROM units WHERE level = 'nation')
               OR EXISTS (SELECT 1 FROM unit_import_rows o WHERE o.real_level = 'nation' AND o.line < r.line))
        UNION ALL
        SELECT line, tree || '_parent', 'unknown_parent',
               format('there is no unit %s, neither in the file nor among your units', parent_code)
        FROM unit_import_parents WHERE parent_id IS NULL AND NOT in_file
        UNION ALL
        SELECT p.line, p.tree || '_parent', 'wrong_level', r.reason || format(', not under a %s', p.parent_level)
        FROM unit_import_parents p JOIN unit_import_rules r ON r.tree = p.tree AND r.level = p.level
        WHERE p.parent_level <> '?' AND p.parent_level <> ALL (r.parent_levels)
        UNION ALL
        SELECT p.line, p.tree || '_parent', 'other_state',
               CASE WHEN p.unit_id IS NULL
                    THEN format('lies in the state %s, the other parent in %s', above.state, own.state)
                    ELSE format('lies in the state %s; the unit stays in %s', above.state, own.state) END
        FROM unit_import_parents p
        JOIN unit_import_states own ON own.code = p.code
        JOIN unit_import_states above ON above.code = p.parent_code
        WHERE above.state <> own.state AND p.level <> 'state' AND p.parent_level <> 'nation'";

/// Finds what is wrong with the file as a whole.
pub async fn check(tx: &mut Tx, scope: &Scope<UnitImport>, today: NaiveDate) -> QueryResult<()> {
    tx.batch_execute(CHECK).await?;
    let everywhere: Count =
        statement("SELECT count(*) AS n FROM units WHERE level = 'nation' AND id = ANY ($1)")
            .bind::<Array<Integer>, _>(scope.roots())
            .get_result(tx)
            .await?;
    // The program itself before there is a nation has no roots, and nobody else is without.
    if everywhere.n > 0 || scope.roots().is_empty() {
        return Ok(());
    }
    check_scope(tx, scope, today).await
}

// Who reads `unknown_parent` here and above cannot tell a unit of others from none. That a code is taken cannot be hidden.
async fn check_scope(tx: &mut Tx, scope: &Scope<UnitImport>, today: NaiveDate) -> QueryResult<()> {
    statement(
        "INSERT INTO unit_import_errors
             SELECT r.line, 'code', 'taken', 'the code is taken by a unit that is not yours'
             FROM unit_import_rows r JOIN lineages l ON l.unit_id = r.unit_id
             WHERE l.valid_from <= $1 AND (l.valid_to IS NULL OR l.valid_to > $2) AND NOT l.unit_ids && $3
             UNION ALL
             SELECT p.line, p.tree || '_parent', 'unknown_parent',
                    format('there is no unit %s, neither in the file nor among your units', p.parent_code)
             FROM unit_import_parents p JOIN lineages l ON l.unit_id = p.parent_id
             WHERE l.valid_from <= $4 AND (l.valid_to IS NULL OR l.valid_to > $5) AND NOT l.unit_ids && $6
               AND (p.unit_id IS NULL OR EXISTS (
                    SELECT 1 FROM unit_import_moves m WHERE m.unit_id = p.unit_id AND m.tree = p.tree))",
    )
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(scope.roots())
    .execute(tx)
    .await
    .map(|_| ())
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(diesel::QueryableByName)]
struct ErrorRow {
    #[diesel(sql_type = BigInt)]
    line: i64,
    #[diesel(sql_type = Text)]
    column_name: String,
    #[diesel(sql_type = Text)]
    code: String,
    #[diesel(sql_type = Text)]
    reason: String,
}

/// Codes of errors that the statements above find.
const CODES: [&str; 9] = [
    "duplicate",
    "level_fixed",
    "missing",
    "one_nation",
    "unknown_parent",
    "wrong_level",
    "other_state",
    "taken",
    "not_valid",
];

/// What is wrong, by line, and how much there is of it.
pub async fn read_errors(tx: &mut Tx, most: i64) -> QueryResult<(Vec<CellError>, i64)> {
    let count: Count = statement("SELECT count(*) AS n FROM unit_import_errors")
        .get_result(tx)
        .await?;
    if count.n == 0 {
        return Ok((Vec::new(), 0));
    }
    let rows: Vec<ErrorRow> = statement(
        "SELECT line, column_name, code, reason FROM unit_import_errors ORDER BY line, column_name, code LIMIT $1",
    )
    .bind::<BigInt, _>(most)
    .load(tx)
    .await?;
    let errors = rows.into_iter().map(|row| CellError {
        line: u64::try_from(row.line).unwrap_or(0),
        column: row.column_name,
        code: CODES
            .into_iter()
            .find(|code| *code == row.code)
            .unwrap_or("not_valid"),
        reason: row.reason,
    });
    Ok((errors.collect(), count.n))
}

#[derive(diesel::QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
}

/// The nation, once it was imported.
pub async fn find_nation(tx: &mut Tx) -> QueryResult<Option<UnitId>> {
    let rows: Vec<IdRow> = statement("SELECT id FROM units WHERE level = 'nation'")
        .load(tx)
        .await?;
    Ok(rows.into_iter().map(|row| row.id).next())
}

/// The stored states that the file touches.
pub async fn states_of_file(tx: &mut Tx) -> QueryResult<Vec<UnitId>> {
    let rows: Vec<IdRow> = statement(
        "SELECT state_id AS id FROM unit_import_rows WHERE state_id IS NOT NULL
         UNION SELECT parent_state FROM unit_import_parents WHERE parent_state IS NOT NULL",
    )
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// The states in which the file moves units.
pub async fn states_of_moves(tx: &mut Tx) -> QueryResult<Vec<UnitId>> {
    let rows: Vec<IdRow> = statement(
        "SELECT DISTINCT u.state_id AS id FROM unit_import_moves m JOIN units u ON u.id = m.unit_id",
    )
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

#[derive(Clone, Copy, Debug, diesel::QueryableByName)]
pub struct Counts {
    #[diesel(sql_type = BigInt)]
    pub rows: i64,
    #[diesel(sql_type = BigInt)]
    pub created: i64,
    #[diesel(sql_type = BigInt)]
    pub updated: i64,
    #[diesel(sql_type = BigInt)]
    pub moved: i64,
    #[diesel(sql_type = BigInt)]
    pub unchanged: i64,
}

/// What the file does.
pub async fn count_changes(tx: &mut Tx) -> QueryResult<Counts> {
    statement(
        "SELECT count(*) AS rows, count(*) FILTER (WHERE r.unit_id IS NULL) AS created,
                count(*) FILTER (WHERE r.changed) AS updated, count(m.unit_id) AS moved,
                count(*) FILTER (WHERE r.unit_id IS NOT NULL AND NOT r.changed AND m.unit_id IS NULL) AS unchanged
         FROM unit_import_rows r
         LEFT JOIN (SELECT DISTINCT unit_id FROM unit_import_moves) m ON m.unit_id = r.unit_id",
    )
    .get_result(tx)
    .await
}

// Numbered from the top down: whoever stands above has the smaller number, and the file's order is kept within a level.
const NUMBER: &str = "
    CREATE TEMP TABLE unit_import_new AS
        SELECT nextval(pg_get_serial_sequence('units', 'id'))::int AS id, n.*
        FROM (SELECT r.line, r.code, r.real_level AS level, r.name, r.name_local, r.electors, r.doors, r.lat, r.lon, s.state
              FROM unit_import_rows r JOIN unit_import_states s ON s.code = r.code
              JOIN unit_import_rules o ON o.level = r.real_level AND o.tree = 'organisation'
              WHERE r.unit_id IS NULL
              ORDER BY o.rank, r.line) n;
    ANALYZE unit_import_new";

#[derive(diesel::QueryableByName)]
struct NewRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
    #[diesel(sql_type = Text)]
    level: String,
}

/// Stores the units that are new, with their placements (since ever) and lineages.
pub async fn store_new(tx: &mut Tx, actor: &Actor) -> QueryResult<()> {
    tx.batch_execute(NUMBER).await?;
    statement(
        "INSERT INTO units (id, code, level, name, name_local, state_id, electors, doors, lat, lon, created_at, updated_at)
         SELECT n.id, n.code, n.level, n.name, n.name_local, coalesce(s.id, u.id), n.electors, n.doors, n.lat, n.lon, $1, $2
         FROM unit_import_new n
         LEFT JOIN unit_import_new s ON s.code = n.state
         LEFT JOIN units u ON u.code = n.state
         ORDER BY n.id",
    )
    .bind::<Timestamptz, _>(actor.at)
    .bind::<Timestamptz, _>(actor.at)
    .execute(tx)
    .await?;
    statement(
        "INSERT INTO placements (unit_id, tree, parent_id, valid_from)
         SELECT n.id, p.tree, coalesce(p.parent_id, a.id), '0001-01-01'
         FROM unit_import_parents p JOIN unit_import_new n ON n.code = p.code
         LEFT JOIN unit_import_new a ON a.code = p.parent_code
         ORDER BY n.id",
    )
    .execute(tx)
    .await?;
    let rows: Vec<NewRow> = statement("SELECT id, level FROM unit_import_new ORDER BY id")
        .load(tx)
        .await?;
    let units: Vec<(UnitId, Level)> = rows
        .into_iter()
        .filter_map(|row| Some((row.id, Level::find(&row.level)?)))
        .collect();
    derive_lineages(tx, &units).await
}

/// Stores what the file changes of units that were stored before; what it leaves empty stays as it is.
pub async fn store_changes(tx: &mut Tx, actor: &Actor) -> QueryResult<()> {
    statement(
        "UPDATE units u SET name = coalesce(r.name, u.name), name_local = coalesce(r.name_local, u.name_local),
             electors = coalesce(r.electors, u.electors), doors = coalesce(r.doors, u.doors),
             lat = coalesce(r.lat, u.lat), lon = coalesce(r.lon, u.lon), version = u.version + 1, updated_at = $1
         FROM unit_import_rows r
         WHERE u.id = r.unit_id AND (r.changed OR r.unit_id IN (SELECT unit_id FROM unit_import_moves))",
    )
    .bind::<Timestamptz, _>(actor.at)
    .execute(tx)
    .await
    .map(|_| ())
}

#[derive(diesel::QueryableByName)]
struct MoveRow {
    #[diesel(sql_type = Integer)]
    unit_id: UnitId,
    #[diesel(sql_type = Text)]
    tree: String,
    #[diesel(sql_type = Integer)]
    parent_id: UnitId,
    #[diesel(sql_type = Date)]
    valid_from: NaiveDate,
}

/// Moves the units that the file moves.
pub async fn store_moves(tx: &mut Tx) -> QueryResult<()> {
    let rows: Vec<MoveRow> = statement(
        "SELECT m.unit_id, m.tree, p.id AS parent_id, coalesce(m.valid_from, '0001-01-01') AS valid_from
         FROM unit_import_moves m JOIN units p ON p.code = m.parent_code ORDER BY m.unit_id, m.tree",
    )
    .load(tx)
    .await?;
    let moves: Vec<Move> = rows
        .into_iter()
        .filter_map(|row| {
            Some(Move {
                unit_id: row.unit_id,
                tree: Tree::find(&row.tree)?,
                parent_id: row.parent_id,
                from: row.valid_from,
            })
        })
        .collect();
    move_units(tx, &moves).await
}

/// Whom a journal entry is to name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct Touched {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
}

/// Units that were made or changed, by state.
pub async fn imported_units(tx: &mut Tx) -> QueryResult<Vec<Touched>> {
    statement(
        "SELECT u.state_id, u.id AS unit_id FROM units u
         WHERE u.id IN (SELECT id FROM unit_import_new UNION ALL SELECT unit_id FROM unit_import_rows WHERE changed)
         ORDER BY u.state_id, u.id",
    )
    .load(tx)
    .await
}

/// Units that were moved, by state.
pub async fn moved_units(tx: &mut Tx) -> QueryResult<Vec<Touched>> {
    statement(
        "SELECT u.state_id, u.id AS unit_id FROM units u
         WHERE u.id IN (SELECT unit_id FROM unit_import_moves) ORDER BY u.state_id, u.id",
    )
    .load(tx)
    .await
}

/// Renews the statistics after many units were stored: without, the next queries are planned for the tables of before.
pub async fn renew_statistics(tx: &mut Tx, changed: i64) -> QueryResult<()> {
    if changed < MANY {
        return Ok(());
    }
    tx.batch_execute("SELECT analyze_units()").await
}
