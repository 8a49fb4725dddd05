//! The bounds of a campaign's flags. Each flag has its own; what is left out has its default, null turns it off.

use serde::{Deserialize, Serialize};

use crate::platform::validate::FieldErrors;

/// At most so many visits in so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaceBound {
    #[schema(example = 20, minimum = 1, maximum = 300)]
    pub visits: i32,
    #[schema(example = 600, minimum = 1, maximum = 86_400)]
    pub seconds: i32,
}

/// At most this speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpeedBound {
    #[schema(example = 150, minimum = 1, maximum = 2000)]
    pub km_h: i32,
}

/// At most so far from the door, where it is known where the door is, else from the booth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DistanceBound {
    #[schema(example = 3000, minimum = 10, maximum = 100_000)]
    pub booth_m: i32,
    #[schema(example = 300, minimum = 10, maximum = 100_000)]
    pub door_m: i32,
}

/// At most so many doors from within so many metres of a point on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpotBound {
    #[schema(example = 15, minimum = 1, maximum = 300)]
    pub doors: i32,
    #[schema(example = 10, minimum = 1, maximum = 1000)]
    pub metres: i32,
}

/// So many days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DaysBound {
    #[schema(example = 7, minimum = 1, maximum = 366)]
    pub days: i32,
}

/// From the one hour of the day to the other, in the operating time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoursBound {
    #[schema(example = 7, minimum = 0, maximum = 23)]
    pub from: i32,
    #[schema(example = 21, minimum = 1, maximum = 24)]
    pub to: i32,
}

/// So many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecondsBound {
    #[schema(example = 600, minimum = 1, maximum = 86_400)]
    pub seconds: i32,
}

/// So many visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitsBound {
    #[schema(example = 120, minimum = 1, maximum = 300)]
    pub visits: i32,
}

/// Past which bounds a visit is flagged. What is left out has its default; null (or false) turns that flag off. A visit is
/// judged by the bounds that hold when it is stored, and its flags keep the bound with what was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlagBounds {
    /// Visits at doors by one worker within a time: 20 in 600 s.
    pub too_fast: Option<PaceBound>,
    /// Between one position of a worker and the next: 150 km/h.
    pub impossible_travel: Option<SpeedBound>,
    /// From the door 300 m, from the booth 3,000 m, beyond the accuracy of the position.
    pub far_from_booth: Option<DistanceBound>,
    /// Whether a position that the phone calls made up is flagged.
    #[schema(example = true)]
    pub mock_location: bool,
    /// Doors from one point on one day: 15 within 10 m.
    pub same_spot: Option<SpotBound>,
    /// Days before which a door that was met is not met again: 3.
    pub repeat_door: Option<DaysBound>,
    /// 7 to 21 o'clock.
    pub outside_hours: Option<HoursBound>,
    /// How far the phone's clock may be ahead of ours: 600 s.
    pub clock_skew: Option<SecondsBound>,
    /// How long a visit may wait on the phone: 7 days.
    pub backdated: Option<DaysBound>,
    /// How long a contact takes at least, where the phone tells: 15 s.
    pub too_short: Option<SecondsBound>,
    /// Visits of a worker on a day: 120.
    pub daily_bound: Option<VisitsBound>,
    /// Whether a visit is flagged on whose day no grant of the worker held in the booth.
    #[schema(example = true)]
    pub no_grant_on_day: bool,
    /// Whether a visit is flagged whose day by the phone is not one of the campaign's.
    #[schema(example = true)]
    pub outside_campaign: bool,
}

impl Default for FlagBounds {
    fn default() -> Self {
        Self {
            too_fast: Some(PaceBound {
                visits: 20,
                seconds: 600,
            }),
            impossible_travel: Some(SpeedBound { km_h: 150 }),
            far_from_booth: Some(DistanceBound {
                booth_m: 3000,
                door_m: 300,
            }),
            mock_location: true,
            same_spot: Some(SpotBound {
                doors: 15,
                metres: 10,
            }),
            repeat_door: Some(DaysBound { days: 3 }),
            outside_hours: Some(HoursBound { from: 7, to: 21 }),
            clock_skew: Some(SecondsBound { seconds: 600 }),
            backdated: Some(DaysBound { days: 7 }),
            too_short: Some(SecondsBound { seconds: 15 }),
            daily_bound: Some(VisitsBound { visits: 120 }),
            no_grant_on_day: true,
            outside_campaign: true,
        }
    }
}

impl FlagBounds {
    /// Whether a visit is judged by the worker's others of the day.
    #[must_use]
    pub const fn follow_trails(&self) -> bool {
        self.too_fast.is_some()
            || self.impossible_travel.is_some()
            || self.same_spot.is_some()
            || self.daily_bound.is_some()
    }

    /// Adds what is out of range.
    pub fn check(&self, errors: &mut FieldErrors) {
        let ranges = [
            ("too_fast/visits", self.too_fast.map(|b| (b.visits, 1, 300))),
            ("too_fast/seconds", self.too_fast.map(|b| (b.seconds, 1, 86_400))),
            (
                "impossible_travel/km_h",
                self.impossible_travel.map(|b| (b.km_h, 1, 2000)),
            ),
            (
                "far_from_booth/booth_m",
                self.far_from_booth.map(|b| (b.booth_m, 10, 100_000)),
            ),
            (
                "far_from_booth/door_m",
                self.far_from_booth.map(|b| (b.door_m, 10, 100_000)),
            ),
            ("same_spot/doors", self.same_spot.map(|b| (b.doors, 1, 300))),
            ("same_spot/metres", self.same_spot.map(|b| (b.metres, 1, 1000))),
            ("repeat_door/days", self.repeat_door.map(|b| (b.days, 1, 366))),
            ("outside_hours/from", self.outside_hours.map(|b| (b.from, 0, 23))),
            ("outside_hours/to", self.outside_hours.map(|b| (b.to, 1, 24))),
            (
                "clock_skew/seconds",
                self.clock_skew.map(|b| (b.seconds, 1, 86_400)),
            ),
            ("backdated/days", self.backdated.map(|b| (b.days, 1, 366))),
            (
                "too_short/seconds",
                self.too_short.map(|b| (b.seconds, 1, 86_400)),
            ),
            ("daily_bound/visits", self.daily_bound.map(|b| (b.visits, 1, 300))),
        ];
        for (name, bound) in ranges {
            if let Some((value, least, most)) = bound {
                errors.range(&format!("/bounds/{name}"), value, least, most);
            }
        }
        if self.outside_hours.is_some_and(|hours| hours.from >= hours.to) {
            errors.add(
                "/bounds/outside_hours/to",
                "before_from",
                "must be later than `from`",
            );
        }
    }
}
