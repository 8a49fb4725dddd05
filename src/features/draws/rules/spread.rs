//! Who checks what.

use std::collections::{BTreeMap, BTreeSet};

use crate::features::draws::wire::AssignedItemView;
use crate::platform::ids::WorkerId;

/// Why a visit cannot be given to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotGiven {
    /// It was not drawn, or it was checked.
    NotOpen,
    /// He may not check it.
    NotEligible,
}

/// What was asked for by name, if all of it can be done.
///
/// # Errors
/// Each that cannot, by its place in the list.
pub fn named(
    asked: &[AssignedItemView],
    open: &BTreeMap<i32, Option<WorkerId>>,
    eligible: &BTreeSet<(i32, WorkerId)>,
) -> Result<Vec<AssignedItemView>, Vec<(usize, NotGiven)>> {
    let wrong: Vec<_> = asked
        .iter()
        .enumerate()
        .filter_map(|(n, one)| {
            if !open.contains_key(&one.number) {
                Some((n, NotGiven::NotOpen))
            } else if !eligible.contains(&(one.number, one.verifier_id)) {
                Some((n, NotGiven::NotEligible))
            } else {
                None
            }
        })
        .collect();
    if wrong.is_empty() {
        Ok(asked.to_vec())
    } else {
        Err(wrong)
    }
}

/// Spreads what nobody has: each visit to who has fewest of those who may check it, the lower id among equals. Visits
/// that few may check go first, so that those few are not full by then. Also returns what nobody may check.
pub fn spread(
    open: &BTreeMap<i32, Option<WorkerId>>,
    given: &[AssignedItemView],
    eligible: &BTreeSet<(i32, WorkerId)>,
    among: &BTreeSet<WorkerId>,
) -> (Vec<AssignedItemView>, Vec<i32>) {
    let mut holders = open.clone();
    for one in given {
        holders.insert(one.number, Some(one.verifier_id));
    }
    let mut load: BTreeMap<WorkerId, usize> = among.iter().map(|id| (*id, 0)).collect();
    for holder in holders.values().flatten() {
        load.entry(*holder).and_modify(|n| *n = n.saturating_add(1));
    }
    let mut choices: Vec<(usize, i32, Vec<WorkerId>)> = holders
        .iter()
        .filter(|(_, holder)| holder.is_none())
        .map(|(number, _)| {
            let may = among.iter().filter(|id| eligible.contains(&(*number, **id)));
            let may: Vec<WorkerId> = may.copied().collect();
            (may.len(), *number, may)
        })
        .collect();
    choices.sort();
    let (mut assigned, mut unassigned) = (Vec::new(), Vec::new());
    for (_, number, may) in choices {
        let least = may
            .into_iter()
            .min_by_key(|id| (load.get(id).copied().unwrap_or(0), *id));
        match least {
            Some(verifier_id) => {
                load.entry(verifier_id).and_modify(|n| *n = n.saturating_add(1));
                assigned.push(AssignedItemView { number, verifier_id });
            }
            None => unassigned.push(number),
        }
    }
    unassigned.sort_unstable();
    (assigned, unassigned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn workers(ids: impl IntoIterator<Item = i32>) -> BTreeSet<WorkerId> {
        ids.into_iter().map(WorkerId).collect()
    }

    #[test]
    fn who_has_fewest_gets_the_next_and_what_nobody_may_check_is_told() {
        let open = BTreeMap::from([(1, None), (2, Some(WorkerId(7))), (3, None), (4, None)]);
        let eligible = BTreeSet::from([(1, WorkerId(7)), (1, WorkerId(8)), (3, WorkerId(8))]);
        let (assigned, unassigned) = spread(&open, &[], &eligible, &workers([7, 8]));
        let told: Vec<_> = assigned
            .iter()
            .map(|one| (one.number, one.verifier_id.0))
            .collect();
        assert_eq!((told, unassigned), (vec![(3, 8), (1, 7)], vec![4]));
    }

    proptest! {
        /// Only who may, each visit once, and nobody two more than another where all may check all.
        #[test]
        fn visits_are_spread_evenly(numbers in 1i32..60, verifiers in 1i32..9) {
            let open: BTreeMap<i32, Option<WorkerId>> = (1..=numbers).map(|n| (n, None)).collect();
            let among = workers(1..=verifiers);
            let eligible = (1..=numbers).flat_map(|n| among.iter().map(move |id| (n, *id))).collect();
            let (assigned, unassigned) = spread(&open, &[], &eligible, &among);
            prop_assert!(unassigned.is_empty());
            let each: BTreeSet<i32> = assigned.iter().map(|one| one.number).collect();
            prop_assert_eq!(each.len(), open.len());
            let load = |id: &WorkerId| assigned.iter().filter(|one| one.verifier_id == *id).count();
            let loads: Vec<usize> = among.iter().map(load).collect();
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);
        }

        #[test]
        fn nobody_is_given_what_he_may_not_check(
            pairs in proptest::collection::btree_set((1i32..30, 1i32..6), 0..80),
        ) {
            let open: BTreeMap<i32, Option<WorkerId>> = (1..30).map(|n| (n, None)).collect();
            let eligible: BTreeSet<_> = pairs.into_iter().map(|(n, id)| (n, WorkerId(id))).collect();
            let (assigned, unassigned) = spread(&open, &[], &eligible, &workers(1..6));
            prop_assert!(assigned.iter().all(|one| eligible.contains(&(one.number, one.verifier_id))));
            prop_assert_eq!(assigned.len() + unassigned.len(), open.len());
            prop_assert!(unassigned.iter().all(|n| eligible.iter().all(|(number, _)| number != n)));
        }
    }
}
