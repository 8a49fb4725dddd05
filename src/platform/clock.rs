//! The clock is handed in, so that tests move time by hand. This is the only room that reads the system's.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, DurationRound, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// Where "now" comes from, and the time zone in which days are counted.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    zone: Tz,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<Mutex<DateTime<Utc>>>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system(zone: Tz) -> Self {
        Self {
            source: Source::System,
            zone,
        }
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(zone: Tz, at: DateTime<Utc>) -> Self {
        Self {
            source: Source::Manual(Arc::new(Mutex::new(at))),
            zone,
        }
    }

    /// The instant, in whole microseconds as PostgreSQL keeps them.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        let now = match &self.source {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one room that reads the system's clock"
            )]
            Source::System => Utc::now(),
            Source::Manual(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        };
        now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
    }

    /// Moves a manual clock; the system's clock is left alone.
    pub fn advance(&self, by: TimeDelta) {
        if let Source::Manual(at) = &self.source {
            let mut at = at.lock().unwrap_or_else(PoisonError::into_inner);
            *at = at.checked_add_signed(by).unwrap_or(*at);
        }
    }

    /// The day that `at` falls on in the operating time zone.
    #[must_use]
    pub fn day_of(&self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.zone).date_naive()
    }

    /// The name of the operating time zone in the tz database, which PostgreSQL knows too.
    #[must_use]
    pub fn zone_name(&self) -> &'static str {
        self.zone.name()
    }

    /// The instant at which a day begins in the operating time zone.
    #[must_use]
    pub fn start_of(&self, day: NaiveDate) -> DateTime<Utc> {
        let midnight = day.and_time(NaiveTime::MIN);
        // Where clocks were put forward over midnight, the day begins with the first instant after it.
        let local = self.zone.from_local_datetime(&midnight).earliest();
        local.map_or_else(|| midnight.and_utc(), |local| local.with_timezone(&Utc))
    }

    /// The time of day at `at` in the operating time zone.
    #[must_use]
    pub fn time_of(&self, at: DateTime<Utc>) -> NaiveTime {
        at.with_timezone(&self.zone).time()
    }

    /// Today in the operating time zone.
    #[must_use]
    pub fn today(&self) -> NaiveDate {
        self.day_of(self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_counted_in_the_operating_time_zone() {
        let clock = Clock::system(chrono_tz::Asia::Kolkata);
        let late_evening_utc = "2026-11-22T18:30:00Z".parse().unwrap();
        assert_eq!(clock.day_of(late_evening_utc).to_string(), "2026-11-23");
        assert_eq!(clock.start_of("2026-11-23".parse().unwrap()), late_evening_utc);
    }
}
