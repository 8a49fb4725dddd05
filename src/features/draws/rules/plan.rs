//! Lot quality assurance sampling: how many visits are looked at, and how many mismatches reject.
//!
//! The plan is the smallest sample for which some number `d` of mismatches parts good from bad: work whose error rate is
//! acceptable is rejected (`d` mismatches or more) with at most the producer's risk, and work whose error rate is
//! unacceptable is accepted (fewer than `d`) with at most the consumer's risk, mismatches taken as binomial. S. K. Lwanga
//! and S. Lemeshow, Sample Size Determination in Health Studies, WHO 1991, chapter on lot quality assurance sampling;
//! S. Lemeshow and S. Taber, Lot quality assurance sampling: single- and double-sampling plans, World Health Statistics
//! Quarterly 44 (1991) 115-132.

/// Most visits in a draw.
pub const MOST: i32 = 500;

/// The chance that at most `most` of `n` are bad where each is with the chance `p`, 0 < p < 1.
pub fn at_most(most: i32, n: i32, p: f64) -> f64 {
    let odds = p / (1.0 - p);
    let mut term = (1.0 - p).powi(n);
    let mut sum = 0.0;
    for k in 0..=most.min(n) {
        sum += term;
        term *= f64::from(n - k) / f64::from(k + 1) * odds;
    }
    sum.min(1.0)
}

/// What a plan has to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Risks {
    /// An error rate that should be accepted.
    pub acceptable: f64,
    /// An error rate that should be rejected; larger.
    pub unacceptable: f64,
    /// Bound on the chance of rejecting what is acceptable.
    pub producer: f64,
    /// Bound on the chance of accepting what is unacceptable.
    pub consumer: f64,
}

/// So many are looked at, and so many mismatches reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub size: i32,
    pub decision_number: i32,
}

impl Plan {
    /// The chance that it accepts work with this error rate: its operating characteristic.
    #[must_use]
    pub fn accepts(self, error_rate: f64) -> f64 {
        at_most(self.decision_number - 1, self.size, error_rate)
    }

    /// Whether both risks are kept.
    #[must_use]
    pub fn keeps(self, risks: &Risks) -> bool {
        1.0 - self.accepts(risks.acceptable) <= risks.producer
            && self.accepts(risks.unacceptable) <= risks.consumer
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Basis {
    /// A size and a decision number.
    Given(Plan),
    /// Rates and risks.
    Risks(Risks),
}

impl Basis {
    /// The plan for as many visits as it needs; `None`: more than `MOST`.
    #[must_use]
    pub fn plan(&self) -> Option<Plan> {
        match self {
            Self::Given(plan) => Some(*plan),
            Self::Risks(risks) => (1..=MOST).find_map(|size| {
                // The strictest number that the producer's risk allows is the one that may keep the consumer's.
                let plans = (1..=size).map(|decision_number| Plan {
                    size,
                    decision_number,
                });
                let mut fair = plans.skip_while(|plan| 1.0 - plan.accepts(risks.acceptable) > risks.producer);
                fair.next().filter(|plan| plan.keeps(risks))
            }),
        }
    }

    /// The same where there are only so many visits. If the plan wants as many or more, all are drawn.
    #[must_use]
    pub fn plan_for(&self, plan: Plan, frame: i32) -> Plan {
        if frame > plan.size {
            return plan;
        }
        let decision_number = match self {
            Self::Given(_) => share(plan, frame),
            Self::Risks(risks) => least_bad(risks.unacceptable, frame),
        };
        Plan {
            size: frame,
            decision_number,
        }
    }

    /// The decision number where only so many of those drawn could be confirmed or refuted and the others are left out: the
    /// consumer's risk is kept, the producer's grows. 0: too few to accept anything.
    #[must_use]
    pub fn decision_of(&self, drawn: Plan, all_drawn: bool, confirmed: i32) -> i32 {
        if confirmed <= 0 {
            return 0;
        }
        let decision = match self {
            Self::Given(_) => share(drawn, confirmed),
            Self::Risks(risks) if all_drawn => least_bad(risks.unacceptable, confirmed),
            Self::Risks(risks) => {
                let kept = (1..=confirmed)
                    .take_while(|d| at_most(d - 1, confirmed, risks.unacceptable) <= risks.consumer);
                kept.last().unwrap_or(0)
            }
        };
        decision.min(drawn.decision_number)
    }
}

/// What was found of the visits that were drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub matched: i32,
    pub mismatched: i32,
    /// Checked without being confirmed or refuted, or not checked.
    pub unclear: i32,
    /// Whether those count as refuted; else they are left out.
    pub unclear_is_mismatch: bool,
}

/// Whether the work is accepted, and the decision number that applied.
#[must_use]
pub fn verdict(basis: &Basis, drawn: Plan, all_drawn: bool, found: Found) -> (bool, i32) {
    let (bad, decision) = if found.unclear_is_mismatch {
        (found.mismatched + found.unclear, drawn.decision_number)
    } else {
        let confirmed = found.matched + found.mismatched;
        (found.mismatched, basis.decision_of(drawn, all_drawn, confirmed))
    };
    (bad < decision, decision)
}

/// A decision number in proportion, rounded up.
fn share(plan: Plan, of: i32) -> i32 {
    let (of, size) = (i64::from(of), i64::from(plan.size));
    let scaled = (i64::from(plan.decision_number) * of + size - 1) / size.max(1);
    i32::try_from(scaled).unwrap_or(plan.decision_number).max(1)
}

/// The least number of so many that makes up this rate: where all are looked at nothing is left to chance.
fn least_bad(rate: f64, of: i32) -> i32 {
    let bound = rate * f64::from(of) - 1e-9;
    (1..=of).find(|bad| f64::from(*bad) >= bound).unwrap_or(of)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USUAL: Risks = Risks {
        acceptable: 0.05,
        unacceptable: 0.20,
        producer: 0.10,
        consumer: 0.10,
    };

    fn plan(size: i32, decision_number: i32) -> Plan {
        Plan {
            size,
            decision_number,
        }
    }

    /// From the definition, with every coefficient as a product of its own.
    fn slowly_at_most(most: i32, n: i32, p: f64) -> f64 {
        let term = |k: i32| {
            let ways: f64 = (1..=k).map(|i| f64::from(n - k + i) / f64::from(i)).product();
            ways * p.powi(k) * (1.0 - p).powi(n - k)
        };
        (0..=most.min(n)).map(term).sum()
    }

    #[test]
    fn five_and_twenty_per_cent_at_ten_per_cent_risk_need_32_visits_and_4_mismatches_reject() {
        assert_eq!(Basis::Risks(USUAL).plan(), Some(plan(32, 4)));
    }

    #[test]
    fn other_plans_are_those_of_the_definition() {
        for (acceptable, unacceptable, producer, consumer) in [
            (0.05, 0.20, 0.05, 0.10),
            (0.10, 0.30, 0.10, 0.10),
            (0.02, 0.10, 0.05, 0.05),
            (0.20, 0.50, 0.10, 0.05),
        ] {
            let risks = Risks {
                acceptable,
                unacceptable,
                producer,
                consumer,
            };
            let found = Basis::Risks(risks).plan().unwrap();
            let keeps = |size: i32, d: i32| {
                1.0 - slowly_at_most(d - 1, size, acceptable) <= producer
                    && slowly_at_most(d - 1, size, unacceptable) <= consumer
            };
            let first = (1..).find_map(|size| (1..=size).find(|d| keeps(size, *d)).map(|d| plan(size, d)));
            assert_eq!(Some(found), first, "{risks:?}");
        }
    }

    #[test]
    fn rates_too_near_to_each_other_have_no_plan() {
        let near = Risks {
            acceptable: 0.05,
            unacceptable: 0.06,
            ..USUAL
        };
        assert_eq!(Basis::Risks(near).plan(), None);
    }

    #[test]
    fn where_all_are_drawn_the_rate_itself_decides() {
        let basis = Basis::Risks(USUAL);
        for (frame, rejects) in [(1, 1), (5, 1), (10, 2), (20, 4), (21, 5), (32, 7)] {
            assert_eq!(basis.plan_for(plan(32, 4), frame), plan(frame, rejects));
        }
        assert_eq!(basis.plan_for(plan(32, 4), 33), plan(32, 4));
        assert_eq!(Basis::Given(plan(20, 3)).plan_for(plan(20, 3), 10), plan(10, 2));
    }

    #[test]
    fn the_verdict_turns_at_the_decision_number() {
        let basis = Basis::Risks(USUAL);
        let of = |matched, mismatched, unclear, unclear_is_mismatch| {
            let found = Found {
                matched,
                mismatched,
                unclear,
                unclear_is_mismatch,
            };
            verdict(&basis, plan(32, 4), false, found)
        };
        assert_eq!(of(29, 3, 0, true), (true, 4));
        assert_eq!(of(28, 4, 0, true), (false, 4));
        assert_eq!(of(29, 0, 3, true), (true, 4));
        assert_eq!(
            of(28, 1, 3, true),
            (false, 4),
            "what was not confirmed is not accepted"
        );
        assert_eq!(of(23, 2, 7, false), (true, 3));
        assert_eq!(of(22, 3, 7, false), (false, 3));
        assert_eq!(of(0, 0, 32, false), (false, 0), "nothing was found out");
    }

    #[test]
    fn what_is_left_out_never_makes_it_easier_to_accept_what_is_bad() {
        let basis = Basis::Risks(USUAL);
        assert_eq!(basis.decision_of(plan(32, 4), false, 32), 4);
        assert_eq!(basis.decision_of(plan(32, 4), false, 25), 3);
        assert_eq!(basis.decision_of(plan(32, 4), false, 11), 1);
        assert_eq!(
            basis.decision_of(plan(32, 4), false, 10),
            0,
            "ten without a mismatch prove too little"
        );
        assert_eq!(basis.decision_of(plan(20, 4), true, 10), 2);
        assert_eq!(Basis::Given(plan(20, 3)).decision_of(plan(20, 3), false, 14), 3);
        assert_eq!(Basis::Given(plan(20, 3)).decision_of(plan(20, 3), false, 0), 0);
    }

    proptest! {
        /// The sample is the smallest that keeps both risks: no smaller one does with any decision number.
        #[test]
        fn the_plan_is_minimal_and_keeps_both_risks(
            acceptable in 1u8..15, gap in 8u8..40, producer in 2u8..20, consumer in 2u8..20,
        ) {
            let percent = |n: u8| f64::from(n) / 100.0;
            let risks = Risks {
                acceptable: percent(acceptable),
                unacceptable: percent(acceptable + gap),
                producer: percent(producer),
                consumer: percent(consumer),
            };
            if let Some(found) = Basis::Risks(risks).plan() {
                prop_assert!(found.keeps(&risks));
                prop_assert!(1.0 - slowly_at_most(found.decision_number - 1, found.size, risks.acceptable) <= risks.producer + 1e-9);
                prop_assert!(slowly_at_most(found.decision_number - 1, found.size, risks.unacceptable) <= risks.consumer + 1e-9);
                for size in 1..found.size {
                    for d in 1..=size {
                        prop_assert!(!plan(size, d).keeps(&risks), "{size}, {d}");
                    }
                }
            }
        }

        /// However few could be confirmed, bad work is accepted with no more than the consumer's risk.
        #[test]
        fn the_consumers_risk_is_kept_whatever_is_left_out(confirmed in 0i32..=32) {
            let decision = Basis::Risks(USUAL).decision_of(plan(32, 4), false, confirmed);
            prop_assert!(at_most(decision - 1, confirmed, USUAL.unacceptable) <= USUAL.consumer);
            prop_assert!(decision <= 4);
        }

        #[test]
        fn chances_are_those_of_the_definition(n in 1i32..120, most in 0i32..120, percent in 1u8..60) {
            let p = f64::from(percent) / 100.0;
            prop_assert!((at_most(most, n, p) - slowly_at_most(most, n, p)).abs() < 1e-9);
        }
    }
}
