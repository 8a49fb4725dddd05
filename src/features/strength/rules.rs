//! From figures to a score, from a score to a grade; and by which levels grades can be told.

use super::wire::GradeRule;
use crate::features::indicators::{Direction, Figures, find};
use crate::features::units::{Level, may_lie_under};

/// Levels whose units are ranked.
const RANKED: [Level; 5] = [
    Level::State,
    Level::District,
    Level::Mandal,
    Level::ParliamentaryConstituency,
    Level::AssemblyConstituency,
];

/// The levels by which a unit's strength can be told: those under it, and its own. Of what lies above it or across it, only
/// a part lies under it, and a part's grades would pass for the whole's.
#[must_use]
pub fn ranked_at(unit: Level) -> Vec<Level> {
    if unit == Level::Booth {
        return vec![unit];
    }
    let ranked = RANKED.into_iter();
    ranked
        .filter(|level| *level == unit || may_lie_under(*level, unit))
        .collect()
}

/// Whether mandals lie in units of a level: they cut across constituencies.
#[must_use]
pub fn holds_mandals(level: Level) -> bool {
    matches!(level, Level::State | Level::District | Level::Mandal)
}

/// The score that figures earn under a rule, from 0 to 100: the share of the weights of what can be told.
#[must_use]
pub fn score(rule: &GradeRule, figures: &Figures) -> f64 {
    let (mut earned, mut of) = (0.0, 0.0);
    for part in &rule.parts {
        let Some(indicator) = find(&part.indicator) else {
            continue;
        };
        let Some(value) = indicator.value(figures) else {
            continue;
        };
        let reached = match indicator.direction {
            Direction::HigherIsBetter => value / part.full,
            Direction::LowerIsBetter if value <= part.full => 1.0,
            Direction::LowerIsBetter => part.full / value,
        };
        earned += part.weight * reached.clamp(0.0, 1.0);
        of += part.weight;
    }
    if of > 0.0 { 100.0 * earned / of } else { 0.0 }
}

/// The grade of a score.
#[must_use]
pub fn grade(rule: &GradeRule, score: f64) -> &'static str {
    let bounds = [(rule.grades.a, "A"), (rule.grades.b, "B"), (rule.grades.c, "C")];
    // A score is a sum of fractions: the last places of one that just earns its grade are not to cost it.
    let score = score + 1e-9;
    bounds
        .iter()
        .find(|(least, _)| score >= *least)
        .map_or("D", |(_, grade)| grade)
}

/// The mean of scores; 0 without any.
#[must_use]
pub fn mean(scores: &[f64]) -> f64 {
    let count = u32::try_from(scores.len()).unwrap_or(u32::MAX);
    if count == 0 {
        return 0.0;
    }
    scores.iter().sum::<f64>() / f64::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        Figures {
            visits: 40,
            met: 20,
            doors: 100,
            doors_reached: 30,
            posts: 10,
            held: 10,
            confirmed: 5,
            booths: 1,
            ..Figures::default()
        }
    }

    #[test]
    fn strength_is_told_by_the_own_level_and_those_wholly_below() {
        use Level::{AssemblyConstituency, Booth, District, Mandal, ParliamentaryConstituency, ShaktiKendra};
        assert_eq!(ranked_at(Level::Nation), RANKED);
        assert_eq!(ranked_at(Level::State), RANKED);
        assert_eq!(ranked_at(District), [District, Mandal]);
        assert_eq!(ranked_at(Mandal), [Mandal]);
        let seats = [ParliamentaryConstituency, AssemblyConstituency];
        assert_eq!(ranked_at(ParliamentaryConstituency), seats);
        assert_eq!(ranked_at(AssemblyConstituency), [AssemblyConstituency]);
        assert_eq!(ranked_at(Booth), [Booth]);
        assert_eq!(ranked_at(ShaktiKendra), []);
    }

    #[test]
    fn a_score_is_the_share_of_the_weights_that_are_earned() {
        let rule = GradeRule::default();
        // Doors 30 of 60 earn half of 40, contacts all of 20, posts half of 40.
        assert!((score(&rule, &figures()) - 60.0).abs() < 1e-9);
        assert_eq!(grade(&rule, score(&rule, &figures())), "B");
    }

    #[test]
    fn what_cannot_be_told_is_left_out_on_both_sides() {
        let rule = GradeRule::default();
        let without_committee = Figures {
            posts: 0,
            held: 0,
            confirmed: 0,
            ..figures()
        };
        assert!((score(&rule, &without_committee) - 100.0 * 40.0 / 60.0).abs() < 1e-9);
        assert!(score(&rule, &Figures::default()).abs() < 1e-9);
    }

    #[test]
    fn bounds_belong_to_the_better_grade() {
        let rule = GradeRule::default();
        let grades = [100.0, 75.0, 74.9, 50.0, 49.9, 25.0, 24.9, 0.0].map(|score| grade(&rule, score));
        assert_eq!(grades, ["A", "A", "B", "B", "C", "C", "D", "D"]);
        let sum = [0.1; 10].iter().sum::<f64>() * 75.0;
        assert_eq!(grade(&rule, sum), "A", "{sum}");
    }

    proptest::proptest! {
        #[test]
        fn no_figures_leave_the_scale(visits in 0..10_000i64, met in 0..10_000i64, doors in 0..1000i64, reached in 0..2000i64) {
            let figures = Figures { visits, met, doors, doors_reached: reached, ..Figures::default() };
            let score = score(&GradeRule::default(), &figures);
            proptest::prop_assert!((0.0..=100.0).contains(&score));
        }
    }
}
