//! A long soak at half of what it carries: memory and times, minute by minute. Flat is what they should be.

use std::time::Duration;

use crate::Stand;
use crate::http::visits;
use crate::overload::{BATCH, offer};
use crate::statistics::quantile;
use crate::world::sign_in;

/// What is left out of the comparison while caches fill.
const WARM: usize = 2;

pub async fn measure(stand: &Stand, minutes: u64) {
    let address = stand.program.address;
    let best = visits(address, &stand.world, 16, BATCH, false, Duration::from_secs(20)).await;
    let rate = best / 2.0;
    println!(
        "\nBest rate {best:.0} visits/s; for {minutes} minutes half of it, {rate:.0}, in batches of {BATCH}.\n"
    );
    println!(
        "| minute | served, visits/s | refused | p50, ms | p99, ms | memory, MB |\n|---:|---:|---:|---:|---:|---:|"
    );
    let (mut slow, mut memory) = (Vec::new(), Vec::new());
    let mut world = stand.world.clone();
    for minute in 1..=minutes {
        // A token lives for a quarter of an hour.
        if minute.is_multiple_of(10) {
            world.tokens = sign_in(&stand.url, &stand.dir).await;
        }
        let point = offer(address, &world, rate / BATCH as f64, Duration::from_secs(60)).await;
        let resident = stand.program.memory_mb();
        println!(
            "| {minute} | {:.0} | {:.0} | {:.1} | {:.1} | {resident:.0} |",
            point.served, point.refused, point.p50_ms, point.p99_ms
        );
        slow.push(point.p99_ms);
        memory.push(resident);
    }
    let (slow, memory) = (&slow[WARM.min(slow.len())..], &memory[WARM.min(memory.len())..]);
    let third = slow.len() / 3;
    if third == 0 {
        return;
    }
    let middle = |values: &[f64]| quantile(values, 0.5);
    println!(
        "\nThe last third beside the first (medians, without the first {WARM} minutes): p99 {:.1} ms beside {:.1}, memory {:.0} MB beside {:.0}.",
        middle(&slow[slow.len() - third..]),
        middle(&slow[..third]),
        middle(&memory[memory.len() - third..]),
        middle(&memory[..third]),
    );
}
