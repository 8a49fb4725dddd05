//! The Merkle tree of RFC 6962 (section 2.1; the same in RFC 9162), as pure functions: extending it a leaf at a time, and
//! which subtrees a proof is made of. Where the hashes lie is the affair of [`super::tree`].
//!
//! Written here rather than taken from a crate: those that there are keep every leaf in memory.

use std::collections::HashMap;
use std::ops::Range;

use super::entry::Digest;

/// A full subtree: `2^level` leaves, the `place`-th of its level from the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    pub level: u8,
    pub place: u64,
}

/// The hash of an inner node.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [1; 65];
    for (to, from) in bytes.iter_mut().skip(1).zip(left.0.iter().chain(&right.0)) {
        *to = *from;
    }
    Digest::of_bytes(&bytes)
}

/// What of a tree must be kept to extend it: its largest full subtrees from left to right, one for each bit of its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Digest>,
}

impl Frontier {
    /// As kept; `None` if the bytes are not of this size.
    #[must_use]
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (peaks, rest) = bytes.as_chunks::<32>();
        let fits = rest.is_empty() && u64::from(size.count_ones()) == u64::try_from(peaks.len()).ok()?;
        fits.then(|| Self {
            size,
            peaks: peaks.iter().map(|peak| Digest(*peak)).collect(),
        })
    }

    /// To be kept.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.peaks.iter().flat_map(|peak| peak.0).collect()
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; tells `made` of every full subtree that it completes, the leaf apart.
    pub fn push(&mut self, leaf: Digest, mut made: impl FnMut(Node, Digest)) {
        let (mut hash, mut level) = (leaf, 0_u8);
        while self.size >> level & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            level += 1;
            let place = self.size >> level;
            made(Node { level, place }, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root. An empty tree's is the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Digest {
        let folded = self
            .peaks
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right));
        folded.unwrap_or_else(|| Digest::of_bytes(&[]))
    }
}

/// The largest power of two below `n`, for `n` above 1.
const fn split(n: u64) -> u64 {
    1 << (u64::BITS - 1 - (n - 1).leading_zeros())
}

/// The subtrees whose hashes prove that leaf `index` (from 0) is in the tree of `size` leaves, lowest first:
/// `PATH(index, D[size])`. `None` unless `index < size`.
#[must_use]
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let mut path = Vec::new();
    let mut tree = 0..size;
    while tree.end - tree.start > 1 {
        let middle = tree.start + split(tree.end - tree.start);
        let (inside, beside) = if index < middle {
            (tree.start..middle, middle..tree.end)
        } else {
            (middle..tree.end, tree.start..middle)
        };
        path.push(beside);
        tree = inside;
    }
    path.reverse();
    Some(path)
}

/// The subtrees whose hashes prove that the tree of `second` leaves begins with that of `first`, lowest first:
/// `PROOF(first, D[second])`. `None` unless `0 < first <= second`.
#[must_use]
pub fn consistency(first: u64, second: u64) -> Option<Vec<Range<u64>>> {
    if first == 0 || first > second {
        return None;
    }
    let mut path = Vec::new();
    let mut tree = 0..second;
    while tree.end > first {
        let middle = tree.start + split(tree.end - tree.start);
        if first <= middle {
            path.push(middle..tree.end);
            tree = tree.start..middle;
        } else {
            path.push(tree.start..middle);
            tree = middle..tree.end;
        }
    }
    // The whole first tree is what the verifier has; a part of it he must be told.
    if tree.start > 0 {
        path.push(tree);
    }
    path.reverse();
    Some(path)
}

/// The full subtrees that a subtree of a proof is made of, left to right.
#[must_use]
pub fn full_subtrees(range: &Range<u64>) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut start = range.start;
    while start < range.end {
        let length = range.end - start;
        let level = length.ilog2();
        nodes.push(Node {
            level: u8::try_from(level).unwrap_or(u8::MAX),
            place: start >> level,
        });
        start += 1 << level;
    }
    nodes
}

/// The hash of a subtree from those of its full subtrees; `None` if one is missing.
#[must_use]
pub fn hash_of(range: &Range<u64>, hashes: &HashMap<Node, Digest>) -> Option<Digest> {
    let parts: Option<Vec<Digest>> = full_subtrees(range)
        .iter()
        .map(|node| hashes.get(node).copied())
        .collect();
    parts?
        .into_iter()
        .rev()
        .reduce(|right, left| node_hash(&left, &right))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `MTH(D[n])` as section 2.1 defines it.
    fn mth(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest::of_bytes(&[]),
            [leaf] => *leaf,
            _ => {
                let mut k = 1;
                while k * 2 < leaves.len() {
                    k *= 2;
                }
                node_hash(&mth(&leaves[..k]), &mth(&leaves[k..]))
            }
        }
    }

    /// `PATH(m, D[n])` as section 2.1.1 defines it.
    fn path(m: usize, leaves: &[Digest]) -> Vec<Digest> {
        if leaves.len() == 1 {
            return vec![];
        }
        let mut k = 1;
        while k * 2 < leaves.len() {
            k *= 2;
        }
        let (left, right) = leaves.split_at(k);
        if m < k {
            [path(m, left), vec![mth(right)]].concat()
        } else {
            [path(m - k, right), vec![mth(left)]].concat()
        }
    }

    /// `SUBPROOF(m, D[n], b)` as section 2.1.2 defines it.
    fn subproof(m: usize, leaves: &[Digest], whole: bool) -> Vec<Digest> {
        if m == leaves.len() {
            return if whole { vec![] } else { vec![mth(leaves)] };
        }
        let mut k = 1;
        while k * 2 < leaves.len() {
            k *= 2;
        }
        let (left, right) = leaves.split_at(k);
        if m <= k {
            [subproof(m, left, whole), vec![mth(right)]].concat()
        } else {
            [subproof(m - k, right, false), vec![mth(left)]].concat()
        }
    }

    fn leaf(data: &[u8]) -> Digest {
        Digest::of_bytes(&[&[0], data].concat())
    }

    fn leaves(count: usize) -> Vec<Digest> {
        (0..count).map(|n| leaf(&n.to_be_bytes())).collect()
    }

    fn grown(leaves: &[Digest]) -> (Frontier, HashMap<Node, Digest>) {
        let mut frontier = Frontier::default();
        let mut hashes = HashMap::new();
        for (place, leaf) in leaves.iter().enumerate() {
            let place = u64::try_from(place).unwrap();
            hashes.insert(Node { level: 0, place }, *leaf);
            frontier.push(*leaf, |node, hash| {
                hashes.insert(node, hash);
            });
            frontier = Frontier::from_bytes(frontier.size(), &frontier.to_bytes()).unwrap();
        }
        (frontier, hashes)
    }

    fn hex(digest: Digest) -> String {
        digest.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The vectors of the Certificate Transparency project's own tests (merkletree/merkle_tree_test.cc).
    #[test]
    fn the_reference_trees_have_the_reference_roots() {
        let data: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut frontier = Frontier::default();
        assert_eq!(hex(frontier.root()), roots[0]);
        for (data, root) in data.iter().zip(&roots[1..]) {
            frontier.push(leaf(data), |_, _| {});
            assert_eq!(hex(frontier.root()), *root);
        }
    }

    #[test]
    fn every_proof_of_a_small_tree_is_the_one_that_is_defined() {
        let all = leaves(70);
        for n in 1..=all.len() {
            let (frontier, hashes) = grown(&all[..n]);
            assert_eq!(frontier.root(), mth(&all[..n]));
            let size = u64::try_from(n).unwrap();
            let hashed = |ranges: Vec<Range<u64>>| -> Vec<Digest> {
                ranges
                    .iter()
                    .map(|range| hash_of(range, &hashes).unwrap())
                    .collect()
            };
            for m in 0..n {
                let index = u64::try_from(m).unwrap();
                assert_eq!(hashed(inclusion(index, size).unwrap()), path(m, &all[..n]));
                let proof = hashed(consistency(index + 1, size).unwrap());
                assert_eq!(proof, subproof(m + 1, &all[..n], true));
            }
        }
    }

    #[test]
    fn what_is_not_in_the_tree_has_no_proof() {
        assert_eq!(inclusion(5, 5), None);
        assert_eq!(inclusion(0, 0), None);
        assert_eq!(consistency(0, 5), None);
        assert_eq!(consistency(6, 5), None);
        assert_eq!(Frontier::from_bytes(3, &[0; 32]), None);
        assert_eq!(Frontier::from_bytes(3, &[0; 65]), None);
    }

    proptest::proptest! {
        #[test]
        fn a_proof_in_a_great_tree_is_short(size in 1u64..1 << 40, at in 0u64..1 << 40) {
            let index = at % size;
            let proof = inclusion(index, size).unwrap();
            proptest::prop_assert!(proof.len() <= 40);
            let consistent = consistency(index + 1, size).unwrap();
            proptest::prop_assert!(consistent.len() <= 41);
            for range in proof.iter().chain(&consistent) {
                proptest::prop_assert!(full_subtrees(range).len() <= 40);
            }
        }
    }
}
