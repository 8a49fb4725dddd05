//! Reading the posted journal by number.
//!
//! A number, once seen, is final and none below it appears later, so a reader who goes on after the last number that he
//! was given misses nothing. There is one journal a state and one of the nation; a [`Cursor`] holds a number for each.
//!
//! What a reader may see is decided anew at each reading, by the lineages of the day. A page is bounded in entries *and* in
//! rows looked at: the cursor advances over what is not the reader's, so that one with a small scope in a busy state asks
//! several times rather than once for long.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::platform::db::Tx;
use crate::platform::error::{ApiError, Code};
use crate::platform::ids::{DeviceId, UnitId, WorkerId};
use crate::platform::page;
use crate::platform::statement::statement;

/// Rows looked at for one page, over all states.
const SCAN: usize = 4_000;
/// Of these, at least so many in each state, however many states there are.
const SCAN_AT_LEAST: usize = 100;
/// Units looked up for them, since an import's entry names thousands.
const UNITS: usize = 50_000;
/// Subjects that the entries of one page name together, unless a single one names more.
const SUBJECTS: i64 = 2_000;
/// Journals that a cursor may name; there are some 37.
const MOST_JOURNALS: usize = 1_000;

/// How far somebody has read in each journal. It carries no authority: what it leads to is filtered by the reader's scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(BTreeMap<UnitId, i64>);

impl Cursor {
    /// Before the first entry of every journal.
    #[must_use]
    pub fn beginning() -> Self {
        Self::default()
    }

    /// The last number read in a state's journal; 0 if none was.
    #[must_use]
    pub fn position(&self, state_id: UnitId) -> i64 {
        self.0.get(&state_id).copied().unwrap_or(0)
    }

    /// Goes on to this number, never back.
    pub fn advance(&mut self, state_id: UnitId, number: i64) {
        if number > self.position(state_id) {
            self.0.insert(state_id, number);
        }
    }

    /// Whether it has not yet come to the end of one of these journals.
    #[must_use]
    pub fn is_behind(&self, heads: &[Head]) -> bool {
        heads.iter().any(|head| head.size > self.position(head.state_id))
    }

    /// As it is given out. `list` says what it was made for: it is refused for anything else.
    #[must_use]
    pub fn encode(&self, list: &str) -> String {
        let numbers: Vec<(UnitId, i64)> = self.0.iter().map(|(state, number)| (*state, *number)).collect();
        page::encode(list, &numbers)
    }

    /// The cursor that was given out for this list.
    ///
    /// # Errors
    /// 400 if it was not.
    pub fn decode(list: &str, text: &str) -> Result<Self, ApiError> {
        let numbers: Vec<(UnitId, i64)> = page::decode(list, text)?;
        let sane = numbers.len() <= MOST_JOURNALS && numbers.iter().all(|(_, number)| *number >= 0);
        let cursor = Self(numbers.iter().copied().collect());
        if sane && cursor.0.len() == numbers.len() {
            Ok(cursor)
        } else {
            Err(page::bad_cursor())
        }
    }
}

/// Whose entries are looked for.
///
/// An entry is seen if one of its units has one of the roots in its lineage today. What was done to a unit itself (moved,
/// above all) is seen by whoever has, had or will have it below him, so that who loses a booth learns of it. What was done
/// to a campaign is seen wherever it runs, and so is what was done to a task.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The units at the top of a `Scope`.
    pub roots: &'a [UnitId],
    pub today: NaiveDate,
    /// Kinds of subject (`visit`, `unit`); empty: all.
    pub subjects: &'a [String],
    /// Actions (`visit.record`); empty: all.
    pub actions: &'a [String],
}

impl<'a> Wanted<'a> {
    /// All entries under these units today.
    #[must_use]
    pub const fn all(roots: &'a [UnitId], today: NaiveDate) -> Self {
        Self {
            roots,
            today,
            subjects: &[],
            actions: &[],
        }
    }
}

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct PostedEntry {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = BigInt)]
    pub number: i64,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Array<Integer>)]
    pub unit_ids: Vec<UnitId>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub actor_id: Option<WorkerId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub device_id: Option<DeviceId>,
    #[diesel(sql_type = Text)]
    pub action: String,
    #[diesel(sql_type = Text)]
    pub subject: String,
    #[diesel(sql_type = Array<Integer>)]
    pub subject_ids: Vec<i32>,
    #[diesel(sql_type = Array<SqlUuid>)]
    pub subject_uuids: Vec<Uuid>,
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
}

/// A journal and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct Head {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = BigInt)]
    pub size: i64,
    /// Whether all of it lies under the roots.
    #[diesel(sql_type = Bool)]
    whole: bool,
}

/// What comes after a cursor.
#[derive(Clone, Debug)]
pub struct Entries {
    /// In each state by number; the states take turns.
    pub entries: Vec<PostedEntry>,
    /// Where to go on.
    pub next: Cursor,
    /// Whether the journals, as they were then, go on after `next`.
    pub more: bool,
    /// The journals in which something of the reader's may appear.
    pub heads: Vec<Head>,
}

#[derive(Clone, Debug, diesel::QueryableByName)]
struct Scanned {
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = BigInt)]
    first: i64,
    #[diesel(sql_type = BigInt)]
    last: i64,
    /// Numbers of the entries that the reader may see, and how many subjects each names.
    #[diesel(sql_type = Array<BigInt>)]
    seen: Vec<i64>,
    #[diesel(sql_type = Array<BigInt>)]
    weights: Vec<i64>,
}

/// The journals in which something under the roots may appear: those of their states, and the nation's.
///
/// # Errors
/// What the database says.
pub async fn heads(tx: &mut Tx, roots: &[UnitId]) -> QueryResult<Vec<Head>> {
    statement(
        "WITH roots AS (SELECT id, level, state_id FROM units WHERE id = ANY ($1))
         SELECT u.id AS state_id, coalesce(h.size, 0) AS size,
                EXISTS (SELECT 1 FROM roots r WHERE r.level = 'nation' OR r.id = u.id) AS whole
         FROM units u LEFT JOIN journal_heads h ON h.state_id = u.id
         WHERE u.level = 'nation' OR (u.level = 'state' AND EXISTS (
             SELECT 1 FROM roots r WHERE r.level = 'nation' OR r.state_id = u.id))
         ORDER BY u.id",
    )
    .bind::<Array<Integer>, _>(roots)
    .load(tx)
    .await
}

/// The cursor behind everything that is posted now, for who wants only what comes.
///
/// # Errors
/// What the database says.
pub async fn cursor_at_end(tx: &mut Tx, roots: &[UnitId]) -> QueryResult<Cursor> {
    let heads = heads(tx, roots).await?;
    Ok(Cursor(
        heads.iter().map(|head| (head.state_id, head.size)).collect(),
    ))
}

const SCAN_JOURNALS: &str = "
    WITH f AS (
        SELECT $1::int[] AS roots, $2::date AS today, $3::text[] AS subjects, $4::text[] AS actions
    ), above AS (
        SELECT coalesce(array_agg(DISTINCT u.id), '{}') AS ids FROM f, lineages l, unnest(l.unit_ids) AS u (id)
        WHERE l.unit_id = ANY (f.roots) AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)
    ), scanned AS (
        SELECT s.state_id, s.whole, j.*
        FROM unnest($5::int[], $6::bigint[], $7::bool[]) AS s (state_id, after, whole)
        CROSS JOIN LATERAL (
            SELECT n.number, n.unit_ids, n.subject, n.action,
                   cardinality(n.subject_ids) + cardinality(n.subject_uuids) AS weight,
                   sum(cardinality(n.unit_ids)) OVER (ORDER BY n.number) - cardinality(n.unit_ids) AS units_before
            FROM (SELECT * FROM journal j WHERE j.state_id = s.state_id AND j.number > s.after
                  ORDER BY j.number LIMIT $8) n
        ) j
        WHERE j.units_before < $9
    ), judged AS (
        SELECT s.*, (cardinality(f.subjects) = 0 OR s.subject = ANY (f.subjects))
               AND (cardinality(f.actions) = 0 OR s.action = ANY (f.actions))
               AND (s.whole OR EXISTS (
                   SELECT 1 FROM lineages l WHERE l.unit_id = ANY (s.unit_ids) AND l.unit_ids && f.roots
                     AND (s.subject = 'unit' OR (l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today))))
               OR (s.subject IN ('campaign', 'task') AND (s.unit_ids && above.ids OR EXISTS (
                   SELECT 1 FROM lineages l WHERE l.unit_ids && s.unit_ids AND l.unit_ids && f.roots
                     AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today))))) AS seen
        FROM scanned s, f, above
    )
    SELECT state_id, min(number) AS first, max(number) AS last,
           coalesce(array_agg(number ORDER BY number) FILTER (WHERE seen), '{}') AS seen,
           coalesce(array_agg(weight::bigint ORDER BY number) FILTER (WHERE seen), '{}') AS weights
    FROM judged GROUP BY state_id ORDER BY state_id";

/// At most `limit` entries after the cursor. Fewer, even none, do not mean that there are no more: see [`Entries::more`].
///
/// # Errors
/// 410 if the cursor is of another past than this journal's: it was pruned, or the database was put back to an earlier day.
pub async fn entries_after(
    tx: &mut Tx,
    wanted: &Wanted<'_>,
    after: &Cursor,
    limit: usize,
) -> Result<Entries, ApiError> {
    let heads = heads(tx, wanted.roots).await?;
    if heads.iter().any(|head| after.position(head.state_id) > head.size) {
        return Err(too_old());
    }
    let behind: Vec<&Head> = heads
        .iter()
        .filter(|head| head.size > after.position(head.state_id))
        .collect();
    let share = |whole: usize| whole / behind.len().max(1);
    let bound = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let scanned: Vec<Scanned> = statement(SCAN_JOURNALS)
        .bind::<Array<Integer>, _>(wanted.roots)
        .bind::<Date, _>(wanted.today)
        .bind::<Array<Text>, _>(wanted.subjects)
        .bind::<Array<Text>, _>(wanted.actions)
        .bind::<Array<Integer>, _>(behind.iter().map(|head| head.state_id).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(
            behind
                .iter()
                .map(|head| after.position(head.state_id))
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Bool>, _>(behind.iter().map(|head| head.whole).collect::<Vec<_>>())
        .bind::<BigInt, _>(bound(share(SCAN).max(SCAN_AT_LEAST)))
        .bind::<BigInt, _>(bound(share(UNITS)))
        .load(tx)
        .await?;
    // Numbers have no holes, so the one after the cursor's is there unless the journal was pruned.
    if scanned
        .iter()
        .any(|journal| journal.first > after.position(journal.state_id).saturating_add(1))
    {
        return Err(too_old());
    }
    let (taken, next) = take(&scanned, after, limit);
    Ok(Entries {
        entries: load(tx, &taken).await?,
        more: next.is_behind(&heads),
        next,
        heads,
    })
}

fn too_old() -> ApiError {
    ApiError::new(
        Code::CursorTooOld,
        "the journal no longer goes on from this cursor: read everything anew, then follow from there",
    )
}

/// Takes at most `limit` numbers, the first of each journal, then the second of each, so that a busy state does not hold up
/// the others; and says where to go on: before the first that was left, or behind all that was looked at.
fn take(scanned: &[Scanned], after: &Cursor, limit: usize) -> (Vec<(UnitId, i64)>, Cursor) {
    let mut turns: Vec<(usize, UnitId, i64, i64)> = scanned
        .iter()
        .flat_map(|journal| {
            let numbers = journal.seen.iter().zip(&journal.weights).enumerate();
            numbers.map(|(turn, (number, weight))| (turn, journal.state_id, *number, *weight))
        })
        .collect();
    turns.sort_unstable();
    let mut weight = 0_i64;
    let fit = turns
        .iter()
        .enumerate()
        .take_while(|(n, turn)| {
            weight = weight.saturating_add(turn.3);
            *n < limit && (*n == 0 || weight <= SUBJECTS)
        })
        .count();
    let left = turns.split_off(fit);
    let mut next = after.clone();
    for journal in scanned {
        let first_left = left.iter().find(|(_, state, ..)| *state == journal.state_id);
        next.advance(
            journal.state_id,
            first_left.map_or(journal.last, |(_, _, number, _)| number.saturating_sub(1)),
        );
    }
    let taken = turns
        .into_iter()
        .map(|(_, state, number, _)| (state, number))
        .collect();
    (taken, next)
}

async fn load(tx: &mut Tx, numbers: &[(UnitId, i64)]) -> QueryResult<Vec<PostedEntry>> {
    statement(
        "SELECT j.state_id, j.number, j.unit_id, j.unit_ids, j.actor_id, j.device_id, j.action, j.subject, j.subject_ids,
                j.subject_uuids, j.at
         FROM unnest($1::int[], $2::bigint[]) WITH ORDINALITY AS t (state_id, number, n)
         JOIN journal j ON j.state_id = t.state_id AND j.number = t.number
         ORDER BY t.n",
    )
    .bind::<Array<Integer>, _>(numbers.iter().map(|(state, _)| *state).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(numbers.iter().map(|(_, number)| *number).collect::<Vec<_>>())
    .load(tx)
    .await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_comes_back_whole_and_only_for_what_it_was_made() {
        let cursor = Cursor([(UnitId(2), 7), (UnitId(9), 1_000_000)].into());
        let text = cursor.encode("feed");
        assert_eq!(Cursor::decode("feed", &text).unwrap(), cursor);
        let refused = Cursor::decode("feed/14", &text).unwrap_err();
        assert_eq!(refused.code(), Code::BadCursor);
        assert_eq!(cursor.position(UnitId(2)), 7);
        assert_eq!(cursor.position(UnitId(3)), 0);
    }

    #[test]
    fn a_cursor_that_we_never_make_is_refused() {
        for numbers in [vec![(UnitId(2), -1)], vec![(UnitId(2), 1), (UnitId(2), 2)]] {
            let text = page::encode("feed", &numbers);
            assert_eq!(Cursor::decode("feed", &text).unwrap_err().code(), Code::BadCursor);
        }
    }

    /// Which numbers of each journal the reader may see.
    type Journals = BTreeMap<i32, Vec<bool>>;

    /// What the statement finds.
    fn scan(journals: &Journals, after: &Cursor, most: usize) -> Vec<Scanned> {
        let scanned = journals.iter().filter_map(|(state, visible)| {
            let state_id = UnitId(*state);
            let start = usize::try_from(after.position(state_id)).unwrap();
            let looked_at: Vec<(i64, bool)> = (1..)
                .zip(visible.iter().copied())
                .skip(start)
                .take(most)
                .collect();
            let seen: Vec<i64> = looked_at
                .iter()
                .filter(|(_, visible)| *visible)
                .map(|(number, _)| *number)
                .collect();
            Some(Scanned {
                state_id,
                first: looked_at.as_slice().first()?.0,
                last: looked_at.as_slice().last()?.0,
                // Some entries name more subjects than fit a page.
                weights: seen.iter().map(|number| number % 7 * (SUBJECTS / 5)).collect(),
                seen,
            })
        });
        scanned.collect()
    }

    proptest! {
        #[test]
        fn every_entry_is_read_once_in_order_whatever_the_bounds(
            journals in prop::collection::btree_map(1..6_i32, prop::collection::vec(any::<bool>(), 0..40), 0..5),
            limit in 1..9_usize,
            most in 1..9_usize,
        ) {
            let mut read: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
            let mut cursor = Cursor::beginning();
            loop {
                let scanned = scan(&journals, &cursor, most);
                if scanned.is_empty() {
                    break;
                }
                let (taken, next) = take(&scanned, &cursor, limit);
                prop_assert!(taken.len() <= limit);
                prop_assert_ne!(&next, &cursor, "a page that leads nowhere");
                for (state, number) in taken {
                    read.entry(state.0).or_default().push(number);
                }
                cursor = next;
            }
            for (state, visible) in &journals {
                let all: Vec<i64> = (1..).zip(visible).filter(|(_, seen)| **seen).map(|(number, _)| number).collect();
                prop_assert_eq!(read.remove(state).unwrap_or_default(), all);
            }
        }
    }
}
