//! Reading the journal. Every statement that a request reaches takes the scope of `journal.read`.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::wire::{JournalFilter, SubjectId};
use crate::access::Scope;
use crate::access::actions::JournalRead;
use crate::journal::StoredEntry;
use crate::platform::db::Tx;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;

pub mod rows;

/// Entries that one page looks at, at most: a list of rare entries is then many short pages, never a long wait.
pub const WINDOW: i64 = 10_000;
/// How long before its number an entry may have been begun: longer than any transaction may take.
const LONGEST_WRITE: chrono::TimeDelta = chrono::TimeDelta::minutes(30);

/// An entry with the name of its unit.
#[derive(Clone, Debug, QueryableByName)]
pub struct EntryRow {
    #[diesel(embed)]
    pub leaf: StoredEntry,
    #[diesel(sql_type = Nullable<Text>)]
    pub unit_code: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub unit_name: Option<String>,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
}

#[derive(QueryableByName)]
struct YesRow {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// The states in which something of the scope lies; the nation stands for all of them and for itself.
pub async fn states(tx: &mut Tx, scope: &Scope<JournalRead>) -> QueryResult<Vec<UnitId>> {
    let rows: Vec<IdRow> = statement(
        "SELECT s.id FROM units s WHERE s.level IN ('state', 'nation') AND EXISTS (
             SELECT 1 FROM units r WHERE r.id = ANY ($1) AND (r.level = 'nation' OR r.state_id = s.id))
         ORDER BY s.id",
    )
    .bind::<Array<Integer>, _>(scope.roots())
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Whether the scope holds all of a state's journal.
async fn holds_all(tx: &mut Tx, scope: &Scope<JournalRead>, state_id: UnitId) -> QueryResult<bool> {
    let row: YesRow = statement(
        "SELECT EXISTS (SELECT 1 FROM units r WHERE r.id = ANY ($1) AND (r.level = 'nation' OR r.id = $2)) AS yes",
    )
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Integer, _>(state_id)
    .get_result(tx)
    .await?;
    Ok(row.yes)
}

/// How long a state's journal is.
pub async fn size_of(tx: &mut Tx, state_id: UnitId) -> QueryResult<i64> {
    let row: Option<NumberRow> = statement("SELECT tree_size AS n FROM journal_heads WHERE state_id = $1")
        .bind::<Integer, _>(state_id)
        .get_result(tx)
        .await
        .optional()?;
    Ok(row.map_or(0, |row| row.n))
}

/// The first number from which on no entry is older than this, give or take a write's longest time: numbers follow
/// the clock but for that.
async fn number_since(tx: &mut Tx, state_id: UnitId, at: DateTime<Utc>, size: i64) -> QueryResult<i64> {
    let (mut low, mut high) = (1, size.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        let row: Option<YesRow> =
            statement("SELECT at < $1 AS yes FROM journal WHERE state_id = $2 AND number = $3")
                .bind::<Timestamptz, _>(at)
                .bind::<Integer, _>(state_id)
                .bind::<BigInt, _>(middle)
                .get_result(tx)
                .await
                .optional()?;
        if row.is_some_and(|row| row.yes) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

const LIST: &str = "
    WITH f AS NOT MATERIALIZED (SELECT $1::int[] AS roots, $2::date AS today)
    SELECT j.*, u.code AS unit_code, u.name AS unit_name
    FROM f, journal j LEFT JOIN units u ON u.id = j.unit_id
    WHERE j.state_id = $3 AND j.number >= $4 AND j.number < $5
      AND (f.roots IS NULL OR EXISTS (
              SELECT 1 FROM lineages l WHERE l.unit_id = ANY (j.unit_ids) AND l.unit_ids && f.roots
                AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)))
      AND j.action = coalesce($6::text, j.action)
      AND ($7::int IS NULL OR j.actor_id = $8::int)
      AND j.subject = coalesce($9::text, j.subject)
      AND ($10::int IS NULL OR $11::int = ANY (j.subject_ids))
      AND ($12::uuid IS NULL OR $13::uuid = ANY (j.subject_uuids))
      AND j.at >= coalesce($14::timestamptz, j.at)
      AND ($15::timestamptz IS NULL OR j.at < $16::timestamptz)
    ORDER BY j.number DESC
    LIMIT $17";

/// A page of entries, and the number below which the next one looks; `None` at the end.
pub async fn list_entries(
    tx: &mut Tx,
    scope: &Scope<JournalRead>,
    state_id: UnitId,
    filter: &JournalFilter,
    today: NaiveDate,
    below: Option<i64>,
    limit: i64,
) -> QueryResult<(Vec<EntryRow>, Option<i64>)> {
    let size = size_of(tx, state_id).await?;
    let roots = (!holds_all(tx, scope, state_id).await?).then(|| scope.roots());
    let first = match filter.from {
        Some(from) => number_since(tx, state_id, from - LONGEST_WRITE, size).await?,
        None => 1,
    };
    let end = match (below, filter.to) {
        (Some(below), _) => below.min(size.saturating_add(1)),
        (None, Some(to)) => number_since(tx, state_id, to + LONGEST_WRITE, size).await?,
        (None, None) => size.saturating_add(1),
    };
    let start = first.max(end.saturating_sub(WINDOW));
    let subject = filter.subject_id.as_deref().and_then(SubjectId::parse);
    let (id, uuid): (Option<i32>, Option<Uuid>) = match subject {
        Some(SubjectId::Number(id)) => (Some(id), None),
        Some(SubjectId::Uuid(uuid)) => (None, Some(uuid)),
        None => (None, None),
    };
    let rows: Vec<EntryRow> = statement(LIST)
        .planned_anew()
        .bind::<Nullable<Array<Integer>>, _>(roots)
        .bind::<Date, _>(today)
        .bind::<Integer, _>(state_id)
        .bind::<BigInt, _>(start)
        .bind::<BigInt, _>(end)
        .bind::<Nullable<Text>, _>(filter.action.as_ref())
        .bind::<Nullable<Integer>, _>(filter.actor_id)
        .bind::<Nullable<Integer>, _>(filter.actor_id)
        .bind::<Nullable<Text>, _>(filter.subject.as_ref())
        .bind::<Nullable<Integer>, _>(id)
        .bind::<Nullable<Integer>, _>(id)
        .bind::<Nullable<SqlUuid>, _>(uuid)
        .bind::<Nullable<SqlUuid>, _>(uuid)
        .bind::<Nullable<Timestamptz>, _>(filter.from)
        .bind::<Nullable<Timestamptz>, _>(filter.to)
        .bind::<Nullable<Timestamptz>, _>(filter.to)
        .bind::<BigInt, _>(limit)
        .load(tx)
        .await?;
    let full = i64::try_from(rows.len()).is_ok_and(|found| found >= limit);
    let next = match rows.last() {
        Some(last) if full => last.leaf.number,
        _ => start,
    };
    Ok((rows, (next > first).then_some(next)))
}

/// An entry if it is in scope.
pub async fn find_entry(
    tx: &mut Tx,
    scope: &Scope<JournalRead>,
    (state_id, number): (UnitId, i64),
    today: NaiveDate,
) -> QueryResult<Option<StoredEntry>> {
    let roots = (!holds_all(tx, scope, state_id).await?).then(|| scope.roots());
    statement(
        "WITH f AS NOT MATERIALIZED (SELECT $1::int[] AS roots, $2::date AS today)
         SELECT j.* FROM f, journal j WHERE j.state_id = $3 AND j.number = $4
           AND (f.roots IS NULL OR EXISTS (
                SELECT 1 FROM lineages l WHERE l.unit_id = ANY (j.unit_ids) AND l.unit_ids && f.roots
                  AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)))",
    )
    .bind::<Nullable<Array<Integer>>, _>(roots)
    .bind::<Date, _>(today)
    .bind::<Integer, _>(state_id)
    .bind::<BigInt, _>(number)
    .get_result(tx)
    .await
    .optional()
}

/// A state as the verifier sees it.
#[derive(Clone, Debug, QueryableByName)]
pub struct StateRow {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = BigInt)]
    pub size: i64,
    #[diesel(sql_type = BigInt)]
    pub tree_size: i64,
    #[diesel(sql_type = diesel::sql_types::Binary)]
    pub frontier: Vec<u8>,
}

/// The journals there are, for the program's own verification.
pub async fn journals(tx: &mut Tx) -> QueryResult<Vec<StateRow>> {
    statement(
        "SELECT u.id AS state_id, u.code, coalesce(h.size, 0) AS size, coalesce(h.tree_size, 0) AS tree_size,
                coalesce(h.frontier, '') AS frontier
         FROM units u LEFT JOIN journal_heads h ON h.state_id = u.id
         WHERE u.level IN ('state', 'nation') ORDER BY u.id",
    )
    .load(tx)
    .await
}

/// Entries that are not numbered yet: what they made must be known too.
pub async fn waiting_versions(tx: &mut Tx, state_id: UnitId) -> QueryResult<Vec<StoredEntry>> {
    statement(
        "SELECT state_id, 0::bigint AS number, unit_id, unit_ids, actor_id, device_id, action, subject, subject_ids,
                subject_uuids, subject_versions, digest, at, leaf_hash, form
         FROM journal_inbox WHERE state_id = $1 AND subject IN ('visit', 'review', 'flag_answer', 'back_check')",
    )
    .bind::<Integer, _>(state_id)
    .load(tx)
    .await
}

/// Units of a state that have figures or should have, and the state itself.
pub async fn counted_units(tx: &mut Tx, state_id: UnitId) -> QueryResult<Vec<UnitId>> {
    let rows: Vec<IdRow> = statement(
        "SELECT $1::int AS id UNION SELECT DISTINCT unit_id FROM totals WHERE state_id = $2
         UNION SELECT unit_id FROM totals_to_date WHERE state_id = $1
         UNION SELECT unnest(l.unit_ids) FROM lineages l
               WHERE l.unit_id IN (SELECT booth_id FROM visits WHERE state_id = $3)
         ORDER BY id",
    )
    .bind::<Integer, _>(state_id)
    .bind::<Integer, _>(state_id)
    .bind::<Integer, _>(state_id)
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
