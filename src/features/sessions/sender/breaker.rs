//! A circuit breaker: a gateway that fails again and again is left alone for a while.

use chrono::{DateTime, TimeDelta, Utc};

/// Failures in a row that open it.
const FAILURES: u32 = 5;
/// How long it stays open before one message tries again.
const OPEN: TimeDelta = TimeDelta::seconds(30);

/// Closed: everything goes. Open: nothing. Afterwards one message at a time, until one succeeds.
#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    opened_at: Option<DateTime<Utc>>,
}

impl Breaker {
    /// How many messages may be sent now, of this many.
    pub fn admits(&self, wanted: i64, now: DateTime<Utc>) -> i64 {
        match self.opened_at {
            None => wanted,
            Some(at) if now.signed_duration_since(at) >= OPEN => wanted.min(1),
            Some(_) => 0,
        }
    }

    /// A message went through.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// One did not; true if that has opened the breaker.
    pub fn failed(&mut self, now: DateTime<Utc>) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES {
            return false;
        }
        self.opened_at.replace(now).is_none()
    }

    /// Whether it is open.
    pub const fn is_open(&self) -> bool {
        self.opened_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_open_it_and_one_success_after_the_pause_closes_it() {
        let now: DateTime<Utc> = "2026-11-24T06:30:00Z".parse().unwrap();
        let later = |seconds| now + TimeDelta::seconds(seconds);
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            assert!(!breaker.failed(now));
        }
        breaker.succeeded();
        for _ in 0..4 {
            assert!(!breaker.failed(now));
        }
        assert_eq!(breaker.admits(20, now), 20);
        assert!(breaker.failed(now));
        assert_eq!((breaker.admits(20, later(29)), breaker.is_open()), (0, true));
        assert_eq!(breaker.admits(20, later(30)), 1);
        assert!(!breaker.failed(later(30)), "it was open already");
        assert_eq!(breaker.admits(20, later(59)), 0);
        assert_eq!(breaker.admits(20, later(60)), 1);
        breaker.succeeded();
        assert_eq!((breaker.admits(20, later(60)), breaker.is_open()), (20, false));
    }
}
