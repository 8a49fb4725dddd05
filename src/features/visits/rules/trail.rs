//! A worker's trail: his visits of one day, against which each further one is judged.
//!
//! A visit is judged once, when it is stored, against those that were stored before it and, in its own request, those
//! that stand before it. So the same visits in the same order get the same flags, one by one or in batches, and a resend
//! changes nothing. Where a visit arrives late it is judged against its neighbours on both sides in time; the doubt falls
//! on the one that came later, and those stored before keep what they have.

use chrono::{DateTime, TimeDelta, Utc};

use super::flags::measured;
use crate::features::campaigns::FlagBounds;
use crate::features::visits::wire::{Channel, Flag, VisitSent};
use crate::platform::ids::HouseholdId;
use crate::platform::location::Location;

/// Visits of a trail that are read. A longer day is past any bound of `daily_bound`, and judged by that alone.
pub const LONGEST: usize = 300;
/// How far off a position may be that does not say.
const UNTOLD_ACCURACY_M: f64 = 50.0;
const METRES_A_DEGREE: f64 = 111_195.0;

/// A visit as the trail sees it.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    pub at: DateTime<Utc>,
    pub place: Option<Location>,
    pub accuracy_m: Option<f32>,
    pub household_id: Option<HouseholdId>,
    /// Whether it was made at a door, not by phone, in the street or at a meeting.
    pub at_door: bool,
}

impl Stop {
    /// The stop of a visit that is to be stored.
    pub fn of(sent: &VisitSent) -> Self {
        Self {
            at: sent.visited_at,
            place: sent.location.map(|position| Location {
                lat: position.lat,
                lon: position.lon,
            }),
            accuracy_m: sent.location.and_then(|position| position.accuracy_m),
            household_id: sent.household_id,
            at_door: sent.channel == Channel::Door,
        }
    }

    fn slack(&self) -> f64 {
        self.accuracy_m.map_or(UNTOLD_ACCURACY_M, f64::from)
    }
}

/// What a worker did on one day, in any order.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    pub stops: Vec<Stop>,
}

impl Trail {
    /// The doubts about one more stop.
    pub fn judge(&self, stop: &Stop, bounds: &FlagBounds) -> Vec<Flag> {
        let daily = self.daily(bounds);
        if self.stops.len() >= LONGEST {
            return daily.into_iter().collect();
        }
        [
            self.pace(stop, bounds),
            self.speed(stop, bounds),
            self.spot(stop, bounds),
            daily,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn daily(&self, bounds: &FlagBounds) -> Option<Flag> {
        let most = bounds.daily_bound?.visits;
        let count = with_this(self.stops.len());
        (count > most).then(|| measured("daily_bound", count, most))
    }

    /// The fuller of two windows: the one that ends with this stop and the one that begins with it.
    fn pace(&self, stop: &Stop, bounds: &FlagBounds) -> Option<Flag> {
        let most = bounds.too_fast.filter(|_| stop.at_door)?;
        let window = TimeDelta::seconds(i64::from(most.seconds));
        let (mut before, mut after) = (0, 0);
        for other in self.stops.iter().filter(|other| other.at_door) {
            let gap = stop.at.signed_duration_since(other.at);
            before += usize::from(gap >= TimeDelta::zero() && gap < window);
            after += usize::from(gap <= TimeDelta::zero() && -gap < window);
        }
        let count = with_this(before.max(after));
        (count > most.visits).then(|| measured("too_fast", count, most.visits))
    }

    /// The higher of the speeds from the position before and to the position after, over the distance that lies beyond
    /// what the positions may be off.
    fn speed(&self, stop: &Stop, bounds: &FlagBounds) -> Option<Flag> {
        let most = f64::from(bounds.impossible_travel?.km_h);
        let here = stop.place?;
        let placed = || self.stops.iter().filter(|other| other.place.is_some());
        let before = placed().map(|other| other.at).filter(|at| *at <= stop.at).max();
        let after = placed().map(|other| other.at).filter(|at| *at > stop.at).min();
        let neighbours = placed().filter(|other| Some(other.at) == before || Some(other.at) == after);
        let speeds = neighbours.filter_map(|other| {
            let metres = (here.metres_to(other.place?) - stop.slack() - other.slack()).max(0.0);
            let seconds = stop.at.signed_duration_since(other.at).as_seconds_f64().abs();
            Some(metres / seconds.max(1.0) * 3.6)
        });
        let fastest = speeds.fold(0.0, f64::max).round();
        (fastest > most).then(|| Flag {
            code: "impossible_travel".to_owned(),
            measured: Some(fastest),
            bound: Some(most),
        })
    }

    /// Doors from around this point, this one included. Visits that name no door are taken for a door each.
    fn spot(&self, stop: &Stop, bounds: &FlagBounds) -> Option<Flag> {
        let most = bounds.same_spot.filter(|_| stop.at_door)?;
        let here = stop.place?;
        let metres = f64::from(most.metres);
        let mut named = Vec::new();
        let mut unnamed = 0;
        for other in self.stops.iter().filter(|other| other.at_door) {
            if !other.place.is_some_and(|there| is_near(here, there, metres)) {
                continue;
            }
            match other.household_id {
                None => unnamed += 1,
                door if door == stop.household_id => {}
                Some(door) => named.push(door),
            }
        }
        named.sort_unstable();
        named.dedup();
        let count = with_this(named.len() + unnamed);
        (count > most.doors).then(|| measured("same_spot", count, most.doors))
    }
}

/// Within so many metres, of which a thousand are the most: there the Earth is flat.
fn is_near(a: Location, b: Location, metres: f64) -> bool {
    let north = (a.lat - b.lat).abs() * METRES_A_DEGREE;
    if north > metres {
        return false;
    }
    let turn = (a.lon - b.lon).abs();
    let east = turn.min(360.0 - turn) * METRES_A_DEGREE * a.lat.to_radians().cos();
    north.mul_add(north, east * east) <= metres * metres
}

/// A count and one more.
fn with_this(others: usize) -> i32 {
    i32::try_from(others).map_or(i32::MAX, |n| n.saturating_add(1))
}
