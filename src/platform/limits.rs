//! Token buckets: how often one account, device, service or address may ask. Held in memory by each process (what must
//! survive restarts, the limits on codes, is in PostgreSQL).

use std::fmt::Write;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use governor::clock::Clock as _;
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use uuid::Uuid;

use super::clock::Clock;
use super::error::{ApiError, Code};

/// A bucket holds this many seconds' worth of requests: a phone that was offline all day uploads at once.
const BURST_SECONDS: u32 = 10;
/// Buckets that are full again are dropped each time this many requests were counted.
const SWEEP: u32 = 1 << 16;

/// Requests a second, on average, for each kind of bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    pub account: u32,
    pub device: u32,
    pub service: u32,
    /// Loose: thousands of phones share a carrier's address.
    pub address: u32,
}

/// Whose bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Account(i32),
    /// A worker's phone; one that two workers share is two.
    Device(i32, Uuid),
    Service(Uuid),
    Address(IpAddr),
}

/// What is left in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    policy: &'static str,
    burst: u32,
    remaining: u32,
    /// Seconds until the bucket is full again.
    full_in: u32,
}

/// What a request was counted against, kept with it for the headers of its answer.
#[derive(Clone, Debug, Default)]
pub struct Allowances(pub Vec<Allowance>);

impl Allowances {
    /// The values of `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): quota and window in
    /// seconds; remaining and seconds until it is whole again.
    #[must_use]
    pub fn headers(&self) -> (String, String) {
        let (mut policy, mut limit) = (String::new(), String::new());
        for (n, one) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            let _ = write!(
                policy,
                "{comma}\"{}\";q={};w={BURST_SECONDS}",
                one.policy, one.burst
            );
            let _ = write!(
                limit,
                "{comma}\"{}\";r={};t={}",
                one.policy, one.remaining, one.full_in
            );
        }
        (policy, limit)
    }
}

/// The time that has passed by the clock that was handed in. A clock that is set back costs nobody his bucket: only what
/// passes is counted.
#[derive(Clone, Debug)]
struct ByClock {
    clock: Clock,
    passed: Arc<Mutex<Passed>>,
}

#[derive(Debug)]
struct Passed {
    until: DateTime<Utc>,
    time: Duration,
}

impl ByClock {
    fn new(clock: &Clock) -> Self {
        let passed = Passed {
            until: clock.now(),
            time: Duration::ZERO,
        };
        Self {
            clock: clock.clone(),
            passed: Arc::new(Mutex::new(passed)),
        }
    }
}

impl governor::clock::Clock for ByClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let more = now.signed_duration_since(passed.until).to_std();
        passed.until = now;
        passed.time = passed.time.saturating_add(more.unwrap_or_default());
        passed.time
    }
}

type Limiter = RateLimiter<Key, DashMapStateStore<Key>, ByClock, StateInformationMiddleware>;

struct Bucket {
    policy: &'static str,
    rate: NonZeroU32,
    burst: NonZeroU32,
    limiter: Limiter,
}

impl Bucket {
    fn new(policy: &'static str, rate: u32, clock: &ByClock) -> Self {
        let rate = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
        let burst = rate.saturating_mul(NonZeroU32::new(BURST_SECONDS).unwrap_or(NonZeroU32::MIN));
        let quota = Quota::per_second(rate).allow_burst(burst);
        Self {
            policy,
            rate,
            burst,
            limiter: RateLimiter::dashmap_with_clock(quota, clock.clone()).with_middleware(),
        }
    }

    fn allowance(&self, remaining: u32) -> Allowance {
        let missing = self.burst.get().saturating_sub(remaining);
        Allowance {
            policy: self.policy,
            burst: self.burst.get(),
            remaining,
            full_in: missing.div_ceil(self.rate.get()),
        }
    }
}

/// All the buckets. Cheap to clone.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    account: Bucket,
    device: Bucket,
    service: Bucket,
    address: Bucket,
    counted: AtomicU32,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

impl Limits {
    /// Full buckets.
    #[must_use]
    pub fn new(rates: Rates, clock: &Clock) -> Self {
        let clock = &ByClock::new(clock);
        Self(Arc::new(Inner {
            account: Bucket::new("account", rates.account, clock),
            device: Bucket::new("device", rates.device, clock),
            service: Bucket::new("service", rates.service, clock),
            address: Bucket::new("address", rates.address, clock),
            counted: AtomicU32::new(0),
        }))
    }

    /// Takes one request out of each of these buckets, and notes what is left.
    ///
    /// # Errors
    /// 429 with the wait after which the next one is there.
    pub fn take(&self, keys: &[Key], noted: &mut Allowances) -> Result<(), ApiError> {
        if self
            .0
            .counted
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(SWEEP)
        {
            self.sweep();
        }
        for key in keys {
            let bucket = match key {
                Key::Account(_) => &self.0.account,
                Key::Device(..) => &self.0.device,
                Key::Service(_) => &self.0.service,
                Key::Address(_) => &self.0.address,
            };
            match bucket.limiter.check_key(key) {
                Ok(state) => noted.0.push(bucket.allowance(state.remaining_burst_capacity())),
                Err(not_until) => {
                    noted.0.push(bucket.allowance(0));
                    let wait = not_until.wait_time_from(bucket.limiter.clock().now());
                    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
                    let seconds = seconds.saturating_add(u32::from(wait.subsec_nanos() > 0)).max(1);
                    let detail = format!("this {} asks too often; wait {seconds} s", bucket.policy);
                    return Err(ApiError::new(Code::TooManyRequests, detail).with_retry_after(seconds));
                }
            }
        }
        Ok(())
    }

    fn sweep(&self) {
        for bucket in [&self.0.account, &self.0.device, &self.0.service, &self.0.address] {
            bucket.limiter.retain_recent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn a_bucket_holds_ten_seconds_and_fills_again_by_the_clock() {
        let clock = Clock::manual(chrono_tz::Asia::Kolkata, "2026-11-24T06:30:00Z".parse().unwrap());
        let rates = Rates {
            account: 2,
            device: 100,
            service: 1,
            address: 1,
        };
        let limits = Limits::new(rates, &clock);
        let keys = [Key::Account(1), Key::Device(1, Uuid::nil())];
        let take = |keys: &[Key]| {
            let mut noted = Allowances::default();
            let done = limits.take(keys, &mut noted);
            (done.map_err(|error| error.code()), noted.headers())
        };
        for n in 0..20 {
            let (done, (policy, limit)) = take(&keys);
            assert_eq!(done, Ok(()), "{n}");
            assert_eq!(policy, "\"account\";q=20;w=10, \"device\";q=1000;w=10");
            let left = 19 - n;
            assert_eq!(
                limit.split(", ").next().unwrap(),
                format!(
                    "\"account\";r={left};t={}",
                    (20_i32 - left).div_euclid(2) + (20 - left) % 2
                )
            );
        }
        let (refused, (_, limit)) = take(&keys);
        assert_eq!(refused, Err(Code::TooManyRequests));
        assert_eq!(limit, "\"account\";r=0;t=10");
        assert_eq!(take(&[Key::Account(2)]).0, Ok(()), "another's bucket is another");
        clock.advance(TimeDelta::milliseconds(499));
        assert_eq!(take(&keys).0, Err(Code::TooManyRequests));
        clock.advance(TimeDelta::milliseconds(1));
        assert_eq!(take(&keys).0, Ok(()));
        assert_eq!(take(&keys).0, Err(Code::TooManyRequests));
        clock.advance(TimeDelta::hours(-1));
        assert_eq!(take(&keys).0, Err(Code::TooManyRequests));
        clock.advance(TimeDelta::milliseconds(500));
        assert_eq!(
            take(&keys).0,
            Ok(()),
            "a clock that was set back fills it all the same"
        );
    }
}
