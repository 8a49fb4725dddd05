//! What tells two samples apart, and how surely.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The value below which a share of a sample lies.
pub fn quantile(sample: &[f64], share: f64) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// How likely it is that one drawn from `a` is larger than one drawn from `b` (one half: nothing tells them apart), and in
/// how many standard deviations of chance it differs from one half: the rank test of Mann and Whitney, without ties.
pub fn rank_test(a: &[f64], b: &[f64]) -> (f64, f64) {
    let mut all: Vec<(f64, bool)> = a
        .iter()
        .map(|x| (*x, true))
        .chain(b.iter().map(|x| (*x, false)))
        .collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let ranks: f64 = all
        .iter()
        .enumerate()
        .filter(|(_, x)| x.1)
        .map(|(n, _)| (n + 1) as f64)
        .sum();
    let (n, m) = (a.len() as f64, b.len() as f64);
    let u = ranks - n * (n + 1.0) / 2.0;
    let z = (u - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt();
    (u / (n * m), z)
}

/// The span that holds the difference of the medians with 95 in 100, by drawing again a thousand times.
pub fn difference_of_medians(a: &[f64], b: &[f64]) -> (f64, f64) {
    let mut random = StdRng::seed_from_u64(1);
    let mut draw = |sample: &[f64]| -> Vec<f64> {
        (0..sample.len())
            .map(|_| sample[random.random_range(0..sample.len())])
            .collect()
    };
    let differences: Vec<f64> = (0..1000)
        .map(|_| quantile(&draw(a), 0.5) - quantile(&draw(b), 0.5))
        .collect();
    (quantile(&differences, 0.025), quantile(&differences, 0.975))
}
