//! For which units a task can be, and how many of a unit's it is for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use crate::features::units::{Level, may_lie_under};
use crate::journal::WorkCounters;
use crate::platform::ids::UnitId;

/// Whether a unit can set a task for units of a level: those under it, or itself alone; but nothing is above the nation to
/// verify what it reports.
pub fn may_be_for(level: Level, setter: Level) -> bool {
    level != Level::Nation && (level == setter || may_lie_under(level, setter))
}

/// The counters of a unit that stands so.
pub fn counters_of(status: Option<&str>) -> WorkCounters {
    let one = |is: bool| i64::from(is);
    let status = status.unwrap_or_default();
    WorkCounters {
        accepted: one(matches!(status, "accepted" | "in_progress")),
        done: one(matches!(status, "done" | "verified")),
        verified: one(status == "verified"),
        returned: one(status == "returned"),
    }
}

/// How many units have a task, how they stand, and how many are late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub assigned: i64,
    pub work: WorkCounters,
    pub overdue: i64,
}

impl Figures {
    /// Of one task.
    #[must_use]
    pub fn new(assigned: i64, work: WorkCounters, is_past: bool) -> Self {
        Self {
            assigned,
            work,
            overdue: if is_past { assigned - work.done } else { 0 },
        }
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.assigned += other.assigned;
        self.work += other.work;
        self.overdue += other.overdue;
    }
}

/// A unit at which tasks are counted: never the nation, which is the sum over its states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub id: UnitId,
    pub state_id: UnitId,
    pub level: Level,
    pub lineage: BTreeSet<UnitId>,
}

/// For whom a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    pub setter: UnitId,
    pub setter_level: Level,
    pub setter_lineage: BTreeSet<UnitId>,
    /// The seats to which it is narrowed.
    pub seats: Option<BTreeSet<UnitId>>,
}

/// How many units a task is for under a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// None.
    Nothing,
    /// All of the level under these units, which do not overlap.
    Under(Vec<UnitId>),
    /// Those that lie under the root and under units of the other tree: they have to be counted one by one.
    Crossing,
}

/// Where the units lie that a task is for, as seen from a root. `seat_lineages` holds those of every seat today.
pub fn reach(root: &Root, audience: &Audience, seat_lineages: &BTreeMap<UnitId, BTreeSet<UnitId>>) -> Reach {
    let within = root.lineage.contains(&audience.setter);
    let holds = audience.setter_lineage.contains(&root.id);
    let Some(seats) = &audience.seats else {
        return match (within, holds) {
            (true, _) => Reach::Under(vec![root.id]),
            (false, true) => Reach::Under(vec![audience.setter]),
            (false, false) => apart(root.level, audience.setter_level),
        };
    };
    if within && !root.lineage.is_disjoint(seats) {
        return Reach::Under(vec![root.id]);
    }
    if !within && !holds && apart(root.level, audience.setter_level) == Reach::Nothing {
        return Reach::Nothing;
    }
    // From the organisation below the state, seats are seen through their booths alone.
    if matches!(root.level, Level::District | Level::Mandal | Level::ShaktiKendra) {
        return Reach::Crossing;
    }
    let held = seats.iter().filter(|seat| {
        seat_lineages
            .get(seat)
            .is_some_and(|lineage| lineage.contains(&root.id) && lineage.contains(&audience.setter))
    });
    match held.copied().collect::<Vec<_>>() {
        held if held.is_empty() => Reach::Nothing,
        held => Reach::Under(held),
    }
}

/// Two units neither of which lies under the other share units only if one is of each tree.
fn apart(a: Level, b: Level) -> Reach {
    let organisation = |level| matches!(level, Level::District | Level::Mandal | Level::ShaktiKendra);
    let electorate = |level| {
        matches!(
            level,
            Level::ParliamentaryConstituency | Level::AssemblyConstituency
        )
    };
    if (organisation(a) && electorate(b)) || (electorate(a) && organisation(b)) {
        Reach::Crossing
    } else {
        Reach::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[i32]) -> BTreeSet<UnitId> {
        ids.iter().map(|id| UnitId(*id)).collect()
    }

    /// 1 nation, 2 state, 4 district, 6 mandal, 9 PC, 11 AC, 12 another AC, 14 booth.
    fn root(id: i32, level: Level, lineage: &[i32]) -> Root {
        Root {
            id: UnitId(id),
            state_id: UnitId(2),
            level,
            lineage: ids(lineage),
        }
    }

    fn audience(setter: i32, level: Level, lineage: &[i32], seats: Option<&[i32]>) -> Audience {
        Audience {
            setter: UnitId(setter),
            setter_level: level,
            setter_lineage: ids(lineage),
            seats: seats.map(ids),
        }
    }

    fn under(units: &[i32]) -> Reach {
        Reach::Under(units.iter().map(|id| UnitId(*id)).collect())
    }

    #[test]
    fn a_task_is_for_what_lies_under_its_unit_or_for_the_unit_itself() {
        assert!(may_be_for(Level::Booth, Level::Nation));
        assert!(may_be_for(Level::AssemblyConstituency, Level::State));
        assert!(may_be_for(Level::Booth, Level::AssemblyConstituency));
        assert!(may_be_for(Level::Mandal, Level::Mandal));
        assert!(!may_be_for(Level::Mandal, Level::AssemblyConstituency));
        assert!(!may_be_for(Level::Mandal, Level::Booth));
        assert!(!may_be_for(Level::Nation, Level::Nation));
    }

    #[test]
    fn seen_from_below_a_task_reaches_the_root_and_from_above_the_unit_that_set_it() {
        let seats = BTreeMap::new();
        let by_state = audience(2, Level::State, &[1, 2], None);
        let mandal = root(6, Level::Mandal, &[1, 2, 4, 6]);
        assert_eq!(reach(&mandal, &by_state, &seats), under(&[6]));
        let by_mandal = audience(6, Level::Mandal, &[1, 2, 4, 6], None);
        assert_eq!(
            reach(&root(2, Level::State, &[1, 2]), &by_mandal, &seats),
            under(&[6])
        );
        let other = root(7, Level::Mandal, &[1, 2, 4, 7]);
        assert_eq!(reach(&other, &by_mandal, &seats), Reach::Nothing);
        let seat = root(11, Level::AssemblyConstituency, &[1, 2, 9, 11]);
        assert_eq!(reach(&seat, &by_mandal, &seats), Reach::Crossing);
    }

    #[test]
    fn a_narrowed_task_reaches_its_seats_alone() {
        let seats = BTreeMap::from([(UnitId(11), ids(&[1, 2, 9, 11]))]);
        let task = audience(2, Level::State, &[1, 2], Some(&[11]));
        let reached = |id, level, lineage: &[i32]| reach(&root(id, level, lineage), &task, &seats);
        assert_eq!(reached(2, Level::State, &[1, 2]), under(&[11]));
        assert_eq!(
            reached(9, Level::ParliamentaryConstituency, &[1, 2, 9]),
            under(&[11])
        );
        assert_eq!(
            reached(11, Level::AssemblyConstituency, &[1, 2, 9, 11]),
            under(&[11])
        );
        assert_eq!(
            reached(12, Level::AssemblyConstituency, &[1, 2, 9, 12]),
            Reach::Nothing
        );
        assert_eq!(reached(14, Level::Booth, &[1, 2, 4, 6, 9, 11, 14]), under(&[14]));
        assert_eq!(
            reached(15, Level::Booth, &[1, 2, 4, 6, 9, 12, 15]),
            Reach::Nothing
        );
        assert_eq!(reached(6, Level::Mandal, &[1, 2, 4, 6]), Reach::Crossing);
        assert_eq!(reached(3, Level::State, &[1, 3]), Reach::Nothing);
    }

    #[test]
    fn what_a_status_counts_is_what_another_does_not() {
        let sum = |status| {
            let c = counters_of(Some(status));
            c.accepted + c.done + c.returned
        };
        for status in ["accepted", "in_progress", "done", "verified", "returned"] {
            assert_eq!(sum(status), 1, "{status}");
        }
        assert_eq!(counters_of(None), WorkCounters::default());
        assert_eq!(counters_of(Some("verified")).verified, 1);
    }
}
