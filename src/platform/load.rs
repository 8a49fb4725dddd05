//! How long what arrives now would wait to be recorded, so that what would wait too long is refused early and cheaply.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The longest that a request shall wait behind others; more is refused, and comes again.
const MOST_WAIT: Duration = Duration::from_millis(600);
/// What waits is always admitted up to here: a phone's largest batch, so that the lanes never run dry.
const ALWAYS: usize = 500;
/// A smaller group tells nothing of the rate: what each costs alone, a commit or a lock, is nearly all of what it took.
const TELLING: usize = 50;
/// A measured group counts an eighth, so that one slow commit closes no door.
const WEIGHT: u64 = 8;

/// The queue before something that works off items at a rate that is measured. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Load(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: AtomicUsize,
    /// Nanoseconds an item, all lanes together, smoothed.
    each: AtomicU64,
}

/// Items that wait, for as long as this lives.
#[derive(Debug)]
pub struct Waiting {
    load: Load,
    items: usize,
}

impl Load {
    /// Whether more would wait too long.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let waiting = self.0.waiting.load(Ordering::Relaxed);
        let each = Duration::from_nanos(self.0.each.load(Ordering::Relaxed));
        let expected = each.saturating_mul(u32::try_from(waiting).unwrap_or(u32::MAX));
        waiting > ALWAYS && expected > MOST_WAIT
    }

    /// Puts items into the queue; `None` if they would wait too long.
    #[must_use]
    pub fn enter(&self, items: usize) -> Option<Waiting> {
        if self.is_over() {
            return None;
        }
        self.0.waiting.fetch_add(items, Ordering::Relaxed);
        Some(Waiting {
            load: self.clone(),
            items,
        })
    }

    /// Notes that so many items took so long while so many lanes were at work.
    pub fn measured(&self, items: usize, took: Duration, lanes: u32) {
        if items < TELLING {
            return;
        }
        let Ok(items) = u64::try_from(items) else { return };
        let nanos = u64::try_from((took / lanes.max(1)).as_nanos()).unwrap_or(u64::MAX);
        let Some(now) = nanos.checked_div(items) else {
            return;
        };
        let before = self.0.each.load(Ordering::Relaxed);
        let smoothed = if before == 0 {
            now
        } else {
            before
                .saturating_mul(WEIGHT.saturating_sub(1))
                .saturating_add(now)
                / WEIGHT
        };
        self.0.each.store(smoothed, Ordering::Relaxed);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.load.0.waiting.fetch_sub(self.items, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_wait_too_long_is_refused_and_room_is_made_by_what_leaves() {
        let load = Load::default();
        load.measured(1_000, Duration::from_secs(2), 2);
        let first = load.enter(500).unwrap();
        let second = load.enter(200).unwrap();
        assert!(load.is_over() && load.enter(1).is_none(), "700 at 1 ms each");
        drop(second);
        assert!(load.enter(1).is_some(), "what always has room");
        drop(first);
        assert!(!load.is_over());
    }

    #[test]
    fn visits_that_come_one_by_one_do_not_count_as_slow() {
        let load = Load::default();
        load.measured(1_000, Duration::from_millis(100), 2);
        for _ in 0..100 {
            load.measured(1, Duration::from_millis(5), 2);
        }
        let _waiting = load.enter(2_000).unwrap();
        assert!(!load.is_over());
    }

    #[test]
    fn one_slow_group_does_not_close_the_door() {
        let load = Load::default();
        for _ in 0..50 {
            load.measured(1_000, Duration::from_millis(60), 2);
        }
        load.measured(100, Duration::from_millis(60), 2);
        let _waiting = load.enter(5_000).unwrap();
        assert!(!load.is_over());
    }
}
