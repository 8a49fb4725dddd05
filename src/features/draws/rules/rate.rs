//! The error rate, and how far it may be off.
//!
//! The interval is Wilson's score interval at 95 % (E. B. Wilson, Probable inference, the law of succession, and statistical
//! inference, Journal of the American Statistical Association 22 (1927) 209-212): it stays between 0 and 1 and says something
//! even where nothing was found.
//!
//! Draws of the same unit look at different shares of the work, so each counts by the visits that it could have drawn:
//! the rate is the weighted mean of theirs. The interval then stands on the *effective* number of checks,
//! 1 / sum(w^2 / n) over the draws' weights w and checks n (L. Kish, Survey Sampling, 1965, 11.7), which is the number of checks
//! itself where weights go by checks. Within a draw, strata have the share of the draw that they have of the work, and
//! its checks are taken as a plain sample, which if anything makes the interval too wide.

/// The 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// What one draw found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Visits that it could have drawn.
    pub frame: i32,
    /// Visits confirmed or refuted.
    pub checked: i32,
    /// Visits refuted.
    pub mismatched: i32,
}

/// A share of mismatches with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub rate: f64,
    pub low: f64,
    pub high: f64,
    /// On how many checks of a plain sample the interval stands.
    pub effective: f64,
}

/// The interval around a share that `n` checks found.
#[must_use]
pub fn wilson(rate: f64, n: f64) -> (f64, f64) {
    let square = Z * Z;
    let middle = (rate + square / (2.0 * n)) / (1.0 + square / n);
    let half = Z * (rate * (1.0 - rate) / n + square / (4.0 * n * n)).sqrt() / (1.0 + square / n);
    ((middle - half).clamp(0.0, rate), (middle + half).clamp(rate, 1.0))
}

/// The rate of several draws together; `None` where nothing was confirmed or refuted.
#[must_use]
pub fn combined(groups: &[Group]) -> Option<Rate> {
    let groups = || groups.iter().filter(|group| group.checked > 0 && group.frame > 0);
    let all: f64 = groups().map(|group| f64::from(group.frame)).sum();
    if all <= 0.0 {
        return None;
    }
    let (mut rate, mut spread) = (0.0, 0.0);
    for group in groups() {
        let (weight, n) = (f64::from(group.frame) / all, f64::from(group.checked));
        rate += weight * f64::from(group.mismatched) / n;
        spread += weight * weight / n;
    }
    let rate = rate.clamp(0.0, 1.0);
    let effective = 1.0 / spread;
    let (low, high) = wilson(rate, effective);
    Some(Rate {
        rate,
        low,
        high,
        effective,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 5e-5
    }

    fn group(frame: i32, checked: i32, mismatched: i32) -> Group {
        Group {
            frame,
            checked,
            mismatched,
        }
    }

    /// R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
    #[test]
    fn wilsons_interval_is_the_published_one() {
        for (bad, n, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let found = wilson(f64::from(bad) / f64::from(n), f64::from(n));
            assert!(
                near(found.0, low) && near(found.1, high),
                "{bad} of {n}: {found:?}"
            );
        }
    }

    #[test]
    fn draws_count_by_what_they_could_have_drawn() {
        let both = combined(&[group(900, 10, 1), group(100, 10, 5)]).unwrap();
        assert!(near(both.rate, 0.9 * 0.1 + 0.1 * 0.5));
        assert!(near(both.effective, 1.0 / (0.81 / 10.0 + 0.01 / 10.0)));
        assert_eq!(combined(&[group(900, 0, 0)]), None);
        // A draw in which nothing was found out takes no part.
        assert_eq!(
            combined(&[group(900, 10, 1), group(100, 0, 0)]),
            combined(&[group(900, 10, 1)])
        );
    }

    proptest! {
        #[test]
        fn one_draw_is_a_plain_sample(frame in 1i32..9000, checked in 1i32..500, bad in 0i32..500) {
            let bad = bad.min(checked);
            let found = combined(&[group(frame.max(checked), checked, bad)]).unwrap();
            prop_assert!((found.rate - f64::from(bad) / f64::from(checked)).abs() < 1e-12);
            prop_assert!((found.effective - f64::from(checked)).abs() < 1e-6);
        }

        #[test]
        fn an_interval_holds_its_rate_and_stays_between_0_and_1(
            groups in proptest::collection::vec((1i32..9000, 0i32..500, 0i32..500), 1..6),
        ) {
            let groups: Vec<Group> =
                groups.into_iter().map(|(frame, checked, bad)| group(frame, checked, bad.min(checked))).collect();
            if let Some(found) = combined(&groups) {
                prop_assert!(0.0 <= found.low && found.low <= found.rate, "{found:?}");
                prop_assert!(found.rate <= found.high && found.high <= 1.0, "{found:?}");
                let checks: i32 = groups.iter().map(|group| group.checked).sum();
                prop_assert!(found.effective <= f64::from(checks) + 1e-6, "{found:?}");
            }
        }
    }
}
