//! The tree of each state's journal in the database: the poster extends it, proofs read it.
//!
//! Kept are the frontier, from which the next leaf goes on, and the full subtrees of every 16, 256, 4096 … entries; what
//! lies between is hashed when asked for, of at most 16 hashes. A proof in a tree of a million entries reads some two
//! hundred rows by their keys, and none of them is found by walking over leaves.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use diesel::sql_types::{Array, BigInt, Binary, Integer, SmallInt};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::RunQueryDsl;

use super::entry::Digest;
use super::merkle::{self, Frontier, Node, node_hash};
use crate::platform::db::Tx;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;

/// Only subtrees whose level is a multiple of this are kept.
pub const STRIDE: u8 = 4;

#[derive(diesel::QueryableByName)]
struct HeadRow {
    #[diesel(sql_type = BigInt)]
    size: i64,
    #[diesel(sql_type = BigInt)]
    tree_size: i64,
    #[diesel(sql_type = Binary)]
    frontier: Vec<u8>,
}

#[derive(diesel::QueryableByName)]
struct LeafRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Binary)]
    leaf_hash: Vec<u8>,
}

#[derive(diesel::QueryableByName)]
struct NodeRow {
    #[diesel(sql_type = SmallInt)]
    level: i16,
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = Binary)]
    hash: Vec<u8>,
}

fn digest_of(bytes: &[u8]) -> Option<Digest> {
    bytes.try_into().ok().map(Digest)
}

fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Extends a state's tree by at most `step` entries; under the poster's lock. A tree that does not fit its journal
/// stands still and is told of in the log: posting and totals go on, and `sampark verify` names what is wrong.
///
/// # Errors
/// What the database says.
pub async fn extend(tx: &mut Tx, state_id: UnitId, step: i64) -> QueryResult<()> {
    let head: Option<HeadRow> = statement(
        "SELECT size, tree_size, frontier FROM journal_heads WHERE state_id = $1 AND tree_size < size",
    )
    .bind::<Integer, _>(state_id)
    .get_result(tx)
    .await
    .optional()?;
    let Some(head) = head else { return Ok(()) };
    let to = head.size.min(head.tree_size.saturating_add(step));
    let leaves: Vec<LeafRow> = statement(
        "SELECT number, leaf_hash FROM journal WHERE state_id = $1 AND number > $2 AND number <= $3 ORDER BY number",
    )
    .bind::<Integer, _>(state_id)
    .bind::<BigInt, _>(head.tree_size)
    .bind::<BigInt, _>(to)
    .load(tx)
    .await?;
    let Some((frontier, nodes)) = grow(&head, &leaves, to) else {
        tracing::error!(%state_id, tree_size = head.tree_size, "the tree does not fit the journal: run sampark verify");
        return Ok(());
    };
    store(tx, state_id, &frontier, &nodes).await
}

fn grow(head: &HeadRow, leaves: &[LeafRow], to: i64) -> Option<(Frontier, Vec<(Node, Digest)>)> {
    let mut frontier = Frontier::from_bytes(u64::try_from(head.tree_size).ok()?, &head.frontier)?;
    let mut nodes = Vec::new();
    for leaf in leaves {
        if leaf.number != number(frontier.size()).saturating_add(1) {
            return None;
        }
        frontier.push(digest_of(&leaf.leaf_hash)?, |node, hash| {
            if node.level % STRIDE == 0 {
                nodes.push((node, hash));
            }
        });
    }
    (number(frontier.size()) == to).then_some((frontier, nodes))
}

async fn store(
    tx: &mut Tx,
    state_id: UnitId,
    frontier: &Frontier,
    nodes: &[(Node, Digest)],
) -> QueryResult<()> {
    if !nodes.is_empty() {
        statement(
            "INSERT INTO tree_nodes (state_id, level, place, hash)
             SELECT $1, level, place, hash FROM unnest($2::smallint[], $3::bigint[], $4::bytea[]) AS t (level, place, hash)
             ON CONFLICT (state_id, level, place) DO UPDATE SET hash = excluded.hash",
        )
        .bind::<Integer, _>(state_id)
        .bind::<Array<SmallInt>, _>(nodes.iter().map(|(node, _)| i16::from(node.level)).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(nodes.iter().map(|(node, _)| number(node.place)).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(nodes.iter().map(|(_, hash)| hash.0.to_vec()).collect::<Vec<_>>())
        .execute(tx)
        .await?;
    }
    statement("UPDATE journal_heads SET tree_size = $1, frontier = $2 WHERE state_id = $3")
        .bind::<BigInt, _>(number(frontier.size()))
        .bind::<Binary, _>(frontier.to_bytes())
        .bind::<Integer, _>(state_id)
        .execute(tx)
        .await
        .map(|_| ())
}

/// The hashes that prove that entry `number` (from 1) is in the tree of the first `size`, lowest first. `None` if it is
/// not, or the tree is not that long.
///
/// # Errors
/// What the database says.
pub async fn inclusion_proof(
    tx: &mut Tx,
    state_id: UnitId,
    number: u64,
    size: u64,
) -> QueryResult<Option<Vec<Digest>>> {
    match number
        .checked_sub(1)
        .and_then(|index| merkle::inclusion(index, size))
    {
        Some(ranges) => hashes_of(tx, state_id, &ranges).await,
        None => Ok(None),
    }
}

/// The same for several entries (number, size of the tree) of a state, read at once.
///
/// # Errors
/// What the database says.
pub async fn inclusion_proofs(
    tx: &mut Tx,
    state_id: UnitId,
    entries: &[(u64, u64)],
) -> QueryResult<Vec<Option<Vec<Digest>>>> {
    let lists = entries.iter().map(|(number, size)| {
        let index = number.checked_sub(1)?;
        merkle::inclusion(index, *size)
    });
    let lists: Vec<Option<Vec<Range<u64>>>> = lists.collect();
    let asked: Vec<&[Range<u64>]> = lists
        .iter()
        .map(|list| list.as_deref().unwrap_or_default())
        .collect();
    let proofs = hashes_of_each(tx, state_id, &asked).await?;
    let proved = lists.iter().zip(proofs);
    Ok(proved
        .map(|(list, proof)| proof.filter(|_| list.is_some()))
        .collect())
}

/// The hashes that prove that the tree of the first `second` entries begins with that of the first `first`. `None`
/// unless `0 < first <= second`, or if the tree is not that long.
///
/// # Errors
/// What the database says.
pub async fn consistency_proof(
    tx: &mut Tx,
    state_id: UnitId,
    first: u64,
    second: u64,
) -> QueryResult<Option<Vec<Digest>>> {
    match merkle::consistency(first, second) {
        Some(ranges) => hashes_of(tx, state_id, &ranges).await,
        None => Ok(None),
    }
}

/// The tree of the first `size` entries, from which its root follows; `None` if it is not that long.
///
/// # Errors
/// What the database says.
pub async fn frontier_at(tx: &mut Tx, state_id: UnitId, size: u64) -> QueryResult<Option<Frontier>> {
    let peaks: Vec<Range<u64>> = merkle::full_subtrees(&(0..size))
        .iter()
        .map(|node| node.place << node.level..(node.place + 1) << node.level)
        .collect();
    let hashes = hashes_of(tx, state_id, &peaks).await?;
    Ok(hashes.and_then(|hashes| {
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        Frontier::from_bytes(size, &bytes)
    }))
}

/// The kept subtrees among these, which a verifier has made anew.
///
/// # Errors
/// What the database says.
pub async fn kept_nodes(
    tx: &mut Tx,
    state_id: UnitId,
    nodes: &BTreeSet<Node>,
) -> QueryResult<HashMap<Node, Digest>> {
    load(tx, state_id, nodes).await
}

async fn hashes_of(tx: &mut Tx, state_id: UnitId, ranges: &[Range<u64>]) -> QueryResult<Option<Vec<Digest>>> {
    let mut each = hashes_of_each(tx, state_id, std::slice::from_ref(&ranges)).await?;
    Ok(each.pop().flatten())
}

/// The hashes of several lists of ranges, read at once: `None` where one is not in the tree.
async fn hashes_of_each(
    tx: &mut Tx,
    state_id: UnitId,
    lists: &[impl AsRef<[Range<u64>]>],
) -> QueryResult<Vec<Option<Vec<Digest>>>> {
    let ranges = lists.iter().flat_map(AsRef::as_ref);
    let wanted: BTreeSet<Node> = ranges.flat_map(merkle::full_subtrees).collect();
    let kept: BTreeSet<Node> = wanted.iter().flat_map(kept_under).collect();
    let kept = load(tx, state_id, &kept).await?;
    let hashes: HashMap<Node, Digest> = wanted
        .into_iter()
        .filter_map(|node| combine(&node, &kept).map(|hash| (node, hash)))
        .collect();
    let hashed = |ranges: &[Range<u64>]| {
        let hashes = ranges.iter().map(|range| merkle::hash_of(range, &hashes));
        hashes.collect()
    };
    Ok(lists.iter().map(|ranges| hashed(ranges.as_ref())).collect())
}

/// The kept subtrees (or leaves) that a subtree is made of, left to right: 1, 2, 4 or 8.
fn kept_under(node: &Node) -> Vec<Node> {
    let above = node.level % STRIDE;
    let first = node.place << above;
    let places = first..first + (1 << above);
    places
        .map(|place| Node {
            level: node.level - above,
            place,
        })
        .collect()
}

fn combine(node: &Node, kept: &HashMap<Node, Digest>) -> Option<Digest> {
    let mut row: Vec<Digest> = kept_under(node)
        .iter()
        .map(|node| kept.get(node).copied())
        .collect::<Option<_>>()?;
    while row.len() > 1 {
        let (pairs, _) = row.as_chunks::<2>();
        row = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.into_iter().next()
}

async fn load(tx: &mut Tx, state_id: UnitId, nodes: &BTreeSet<Node>) -> QueryResult<HashMap<Node, Digest>> {
    let (leaves, inner): (Vec<&Node>, Vec<&Node>) = nodes.iter().partition(|node| node.level == 0);
    let mut found = HashMap::with_capacity(nodes.len());
    let rows: Vec<NodeRow> = statement(
        "SELECT n.level, n.place, n.hash FROM unnest($1::smallint[], $2::bigint[]) AS k (level, place)
         JOIN tree_nodes n ON n.state_id = $3 AND n.level = k.level AND n.place = k.place
         UNION ALL
         SELECT 0::smallint, k.place, j.leaf_hash FROM unnest($4::bigint[]) AS k (place)
         JOIN journal j ON j.state_id = $5 AND j.number = k.place + 1",
    )
    .bind::<Array<SmallInt>, _>(inner.iter().map(|node| i16::from(node.level)).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(inner.iter().map(|node| number(node.place)).collect::<Vec<_>>())
    .bind::<Integer, _>(state_id)
    .bind::<Array<BigInt>, _>(leaves.iter().map(|node| number(node.place)).collect::<Vec<_>>())
    .bind::<Integer, _>(state_id)
    .load(tx)
    .await?;
    for row in rows {
        if let (Ok(level), Ok(place), Some(hash)) = (
            u8::try_from(row.level),
            u64::try_from(row.place),
            digest_of(&row.hash),
        ) {
            found.insert(Node { level, place }, hash);
        }
    }
    Ok(found)
}
