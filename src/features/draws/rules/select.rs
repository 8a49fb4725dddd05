//! Which visits are drawn: a function of the frame and the seed alone, frozen as form 1, written down byte by byte in
//! docs/auditing.md. Whoever changes it makes a form 2 beside it.
//!
//! Every visit of the frame has the same chance, size / frame, in whatever stratum. A stratum of `m` of `N` visits gets the
//! whole part of its share `n m / N` for certain, and one more with the chance of the fraction, by systematic selection (W. G.
//! Madow, On the theory of systematic sampling II, Annals of Mathematical Statistics 20 (1949) 333-354). Rounding to
//! the largest remainders instead would never look at the smaller strata: of 60 booths and 32 visits, the 28 smallest
//! booths would be safe, and would know it.

use std::collections::BTreeMap;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use chrono::NaiveDate;
use serde_json::Value;
use uuid::Uuid;

use super::plan::Plan;
use crate::journal::Digest;
use crate::journal::commitment::Canonical;
use crate::platform::ids::{CampaignId, UnitId};

/// A visit that can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub visit_id: Uuid,
    pub version: i32,
    pub booth_id: i32,
    pub worker_id: i32,
}

/// Within what each gets its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    All,
    Booth,
    Worker,
}

/// What a request says, beside what can be drawn.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    pub unit_id: UnitId,
    pub campaign_id: CampaignId,
    pub days: (NaiveDate, NaiveDate),
    /// In the order asked; every outcome if empty.
    pub outcomes: &'a [&'a str],
    pub strata: &'a str,
    pub drawn: Plan,
    pub unconfirmed: &'a str,
    pub compare: &'a Value,
    pub frame_size: i32,
}

impl Terms<'_> {
    /// The lines that the digest is over.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let outcomes = if self.outcomes.is_empty() {
            "every".to_owned()
        } else {
            self.outcomes.join(",")
        };
        // JSON without spaces, keys in byte order; before it stands its length.
        let canonical = Canonical::default().field(self.compare);
        let compare = canonical.as_bytes().get(4..).unwrap_or_default();
        vec![
            format!("unit {}", self.unit_id),
            format!("campaign {}", self.campaign_id),
            format!("days {} {}", self.days.0, self.days.1),
            format!("outcomes {outcomes}"),
            format!("strata {}", self.strata),
            format!("size {}", self.drawn.size),
            format!("decision_number {}", self.drawn.decision_number),
            format!("unconfirmed {}", self.unconfirmed),
            format!("compare {}", String::from_utf8_lossy(compare)),
            format!("visits {}", self.frame_size),
        ]
    }
}

/// The digest of a request: of these lines, each ended by a newline, and one line a member, in the order of the ids.
#[must_use]
pub fn frame_digest(terms: &[String], members: &[Member]) -> Digest {
    let mut text = String::from("sampark draw 1\n");
    for term in terms {
        text.push_str(term);
        text.push('\n');
    }
    for member in members {
        text.push_str(&format!(
            "{} {} {} {}\n",
            member.visit_id, member.version, member.booth_id, member.worker_id
        ));
    }
    Digest::of_bytes(text.as_bytes())
}

/// SHA-256 over the head's root and signature, the draw's number (32 bits, big-endian) and the frame's digest. Nobody
/// knows the root before the request is in the tree, and nobody without the seal key the signature before it is made.
#[must_use]
pub fn seed(root: &[u8], signature: &[u8], draw_id: i32, frame_digest: &[u8]) -> [u8; 32] {
    Digest::of_bytes(&[root, signature, &draw_id.to_be_bytes(), frame_digest].concat()).0
}

/// HMAC-SHA-256 under the seed.
fn chance(key: &Key, what: &str, of: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let tag = sign(key, &[what.as_bytes(), of].concat());
    for (to, from) in out.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    out
}

/// The places (from 0) of the members that are drawn, in the order of chance.
#[must_use]
pub fn select(seed: &[u8; 32], members: &[Member], by: By, size: usize) -> Vec<usize> {
    let key = Key::new(HMAC_SHA256, seed);
    let mut strata: BTreeMap<i32, Vec<([u8; 32], usize)>> = BTreeMap::new();
    for (place, member) in members.iter().enumerate() {
        let stratum = match by {
            By::All => 0,
            By::Booth => member.booth_id,
            By::Worker => member.worker_id,
        };
        let lot = chance(&key, "visit", member.visit_id.as_bytes());
        strata.entry(stratum).or_default().push((lot, place));
    }
    let sizes: BTreeMap<i32, u64> = strata.iter().map(|(id, lots)| (*id, count(lots.len()))).collect();
    let seats = seats(&key, &sizes, count(size.min(members.len())));
    let mut drawn = Vec::with_capacity(size);
    for (id, mut lots) in strata {
        lots.sort_unstable();
        let seats = seats.get(&id).copied().unwrap_or(0);
        drawn.extend(
            lots.into_iter()
                .take(usize::try_from(seats).unwrap_or(usize::MAX)),
        );
    }
    drawn.sort_unstable();
    drawn.into_iter().map(|(_, place)| place).collect()
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// How many each stratum gives.
fn seats(key: &Key, sizes: &BTreeMap<i32, u64>, size: u64) -> BTreeMap<i32, u64> {
    let all: u64 = sizes.values().sum();
    if all == 0 {
        return BTreeMap::new();
    }
    let first = chance(key, "start", &[]);
    let start = first
        .first_chunk()
        .map_or(0, |bytes: &[u8; 8]| u64::from_be_bytes(*bytes))
        % all;
    let mut order: Vec<([u8; 32], i32)> = sizes
        .keys()
        .map(|id| (chance(key, "stratum", &id.to_be_bytes()), *id))
        .collect();
    order.sort_unstable();
    // Fractions lie end to end, in parts of `all`; every point start, start + all, … that falls into one gives a seat.
    let points_before = |end: u64| {
        if end > start {
            (end - start).div_ceil(all)
        } else {
            0
        }
    };
    let mut end = 0;
    let mut seats = BTreeMap::new();
    for (_, id) in order {
        let share = size * sizes.get(&id).copied().unwrap_or(0);
        let begin = end;
        end += share % all;
        seats.insert(id, share / all + points_before(end) - points_before(begin));
    }
    seats
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Members of strata of these sizes, with ids that tell nothing.
    fn members(sizes: &[usize]) -> Vec<Member> {
        let mut members = Vec::new();
        for (booth, size) in sizes.iter().enumerate() {
            for n in 0..*size {
                let name = format!("{booth}/{n}");
                let digest = Digest::of_bytes(name.as_bytes()).0;
                members.push(Member {
                    visit_id: Uuid::from_slice(&digest[..16]).unwrap(),
                    version: 1,
                    booth_id: i32::try_from(booth).unwrap() + 1,
                    worker_id: 7,
                });
            }
        }
        members.sort_unstable_by_key(|member| member.visit_id);
        members
    }

    fn seed_of(n: u32) -> [u8; 32] {
        Digest::of_bytes(&n.to_be_bytes()).0
    }

    fn by_booth(members: &[Member], drawn: &[usize]) -> BTreeMap<i32, usize> {
        let mut counts = BTreeMap::new();
        for place in drawn {
            *counts.entry(members[*place].booth_id).or_default() += 1;
        }
        counts
    }

    #[test]
    fn form_1_never_changes() {
        let members = members(&[3, 5, 2]);
        let drawn = select(&seed_of(1), &members, By::Booth, 4);
        let terms = ["unit 7".to_owned(), "visits 10".to_owned()];
        let digest = frame_digest(&terms, &members);
        let hex: String = digest.0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((drawn, hex.as_str()), (FORM_1_DRAWN.to_vec(), FORM_1_DIGEST));
    }

    /// Computed by another program, from docs/auditing.md.
    const FORM_1_DRAWN: [usize; 4] = [1, 7, 5, 9];
    const FORM_1_DIGEST: &str = "94c424791caaa0add4beab4f1e70bc8bd2abe16654b1e75e516518cdf2fb41c4";

    #[test]
    fn every_visit_has_the_same_chance_in_small_and_in_large_strata() {
        let members = members(&[1, 2, 3, 14, 30]);
        let mut times = vec![0_u32; members.len()];
        let rounds = 4_000;
        for n in 0..rounds {
            for place in select(&seed_of(n), &members, By::Booth, 5) {
                times[place] += 1;
            }
        }
        // 5 of 50: 400 each, with a standard deviation of 19.
        for (place, times) in times.iter().enumerate() {
            assert!((305..=495).contains(times), "{place}: {times}");
        }
    }

    proptest! {
        /// Whatever the strata: as many as asked for, each once, and every stratum its share to within one.
        #[test]
        fn strata_have_their_share(sizes in proptest::collection::vec(1usize..40, 1..12), n in any::<u32>(), size in 1usize..60) {
            let members = members(&sizes);
            let size = size.min(members.len());
            let drawn = select(&seed_of(n), &members, By::Booth, size);
            prop_assert_eq!(drawn.len(), size);
            prop_assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), size);
            let counts = by_booth(&members, &drawn);
            for (booth, held) in sizes.iter().enumerate() {
                let got = counts.get(&(i32::try_from(booth).unwrap() + 1)).copied().unwrap_or(0);
                let share = size * held / members.len();
                prop_assert!(got == share || got == share + 1, "booth {} has {} of {}", booth, got, share);
            }
        }

        /// Without strata, and where all are drawn.
        #[test]
        fn all_are_drawn_where_there_are_no_more(held in 1usize..60, n in any::<u32>()) {
            let members = members(&[held]);
            for by in [By::All, By::Booth, By::Worker] {
                let drawn: BTreeSet<usize> = select(&seed_of(n), &members, by, held + 5).into_iter().collect();
                prop_assert_eq!(drawn, (0..held).collect::<BTreeSet<_>>());
            }
        }

        /// One bit of the head, the draw's number or the frame moves the seed.
        #[test]
        fn all_that_goes_into_a_seed_moves_it(root: [u8; 32], signature: [u8; 32], id: i32, frame: [u8; 32], bit in 0usize..256) {
            let flipped = |bytes: &[u8; 32]| {
                let mut other = *bytes;
                other[bit / 8] ^= 1 << (bit % 8);
                other
            };
            let whole = seed(&root, &signature, id, &frame);
            prop_assert_ne!(whole, seed(&flipped(&root), &signature, id, &frame));
            prop_assert_ne!(whole, seed(&root, &flipped(&signature), id, &frame));
            prop_assert_ne!(whole, seed(&root, &signature, id.wrapping_add(1), &frame));
            prop_assert_ne!(whole, seed(&root, &signature, id, &flipped(&frame)));
        }
    }
}
