//! A machine's doubts about one visit, each with what was measured and the bound that it passed. Doubts that come from
//! the worker's other visits of the day are the [`super::trail`]'s.

use chrono::{NaiveDate, Timelike};

use super::Times;
use crate::features::campaigns::{CampaignFacts, FlagBounds};
use crate::features::visits::wire::{Channel, Flag, Outcome, VisitSent};
use crate::platform::location::Location;

/// What is known of a visit beside its content.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub times: &'a Times,
    pub campaign: &'a CampaignFacts,
    /// Whether a grant held in the booth on the day of the visit.
    pub held_on_day: bool,
    /// Where the booth is.
    pub booth: Option<Location>,
    /// Where the door is.
    pub door: Option<Location>,
}

/// The doubts that time, grants and content give.
pub fn of_visit(sent: &VisitSent, facts: &Facts<'_>) -> Vec<Flag> {
    let (times, campaign) = (facts.times, facts.campaign);
    let bounds = &campaign.bounds;
    let mut flags = Vec::new();
    let ahead = whole(
        times
            .visited_at
            .signed_duration_since(times.received_at)
            .num_seconds(),
    );
    if let Some(most) = bounds.clock_skew.filter(|most| ahead > most.seconds) {
        flags.push(measured("clock_skew", ahead, most.seconds));
    }
    let behind = whole(
        times
            .received_day
            .signed_duration_since(times.visited_day)
            .num_days(),
    );
    if let Some(most) = bounds.backdated.filter(|most| behind > most.days) {
        flags.push(measured("backdated", behind, most.days));
    }
    let before = times.visited_day < campaign.starts_on;
    let after = campaign
        .ends_on
        .is_some_and(|ends_on| times.visited_day > ends_on);
    if bounds.outside_campaign && (before || after) {
        flags.push(plain("outside_campaign"));
    }
    if bounds.no_grant_on_day && !facts.held_on_day {
        flags.push(plain("no_grant_on_day"));
    }
    flags.extend(of_hour(times, bounds));
    flags.extend(of_content(sent, bounds, facts.booth, facts.door));
    flags
}

fn of_hour(times: &Times, bounds: &FlagBounds) -> Option<Flag> {
    let hours = bounds.outside_hours?;
    let minutes = |hour: i32| hour.saturating_mul(60);
    let minute = whole(i64::from(
        times.visited_time.hour() * 60 + times.visited_time.minute(),
    ));
    let bound = if minute < minutes(hours.from) {
        hours.from
    } else if minute >= minutes(hours.to) {
        hours.to
    } else {
        return None;
    };
    Some(Flag {
        code: "outside_hours".to_owned(),
        measured: Some((f64::from(minute) / 60.0 * 100.0).round() / 100.0),
        bound: Some(f64::from(bound)),
    })
}

/// The doubts that a correction can bring as well: they come from the content alone.
pub fn of_content(
    sent: &VisitSent,
    bounds: &FlagBounds,
    booth: Option<Location>,
    door: Option<Location>,
) -> Vec<Flag> {
    let mut flags = Vec::new();
    if bounds.mock_location && sent.location.and_then(|position| position.mock) == Some(true) {
        flags.push(plain("mock_location"));
    }
    if let (Some(least), Some(took)) = (bounds.too_short, sent.duration_s)
        && sent.outcome == Outcome::Met
        && took < least.seconds
    {
        flags.push(measured("too_short", took, least.seconds));
    }
    flags.extend(of_distance(sent, bounds, booth, door));
    flags
}

fn of_distance(
    sent: &VisitSent,
    bounds: &FlagBounds,
    booth: Option<Location>,
    door: Option<Location>,
) -> Option<Flag> {
    let most = bounds.far_from_booth?;
    let position = sent.location.filter(|_| sent.channel == Channel::Door)?;
    let here = Location {
        lat: position.lat,
        lon: position.lon,
    };
    let (there, bound) = door
        .map(|door| (door, most.door_m))
        .or(booth.map(|booth| (booth, most.booth_m)))?;
    let distance = (here.metres_to(there) - f64::from(position.accuracy_m.unwrap_or(0.0))).round();
    (distance > f64::from(bound)).then(|| Flag {
        code: "far_from_booth".to_owned(),
        measured: Some(distance),
        bound: Some(f64::from(bound)),
    })
}

/// A contact at a door whose contacts until now lie from the one day to the other: measured to the nearer of the two.
pub fn of_repeat(on: NaiveDate, (first, last): (NaiveDate, NaiveDate), bounds: &FlagBounds) -> Option<Flag> {
    let least = bounds.repeat_door?;
    let since = |day: NaiveDate| on.signed_duration_since(day).num_days().abs();
    let days = whole(since(first).min(since(last)));
    (days < least.days).then(|| measured("repeat_door", days, least.days))
}

/// What a correction leaves: a flag once raised stays, with its first evidence, since what was doubted was what was
/// recorded; new content may raise others.
pub fn with_added(mut flags: Vec<Flag>, new: Vec<Flag>) -> Vec<Flag> {
    for flag in new {
        if flags.iter().all(|held| held.code != flag.code) {
            flags.push(flag);
        }
    }
    flags
}

pub fn plain(code: &str) -> Flag {
    Flag {
        code: code.to_owned(),
        measured: None,
        bound: None,
    }
}

pub fn measured(code: &str, measured: i32, bound: i32) -> Flag {
    Flag {
        code: code.to_owned(),
        measured: Some(f64::from(measured)),
        bound: Some(f64::from(bound)),
    }
}

/// A number that stays at the ends of `i32` where it lies beyond them: a phone's clock may be centuries wrong.
fn whole(n: i64) -> i32 {
    i32::try_from(n).unwrap_or(if n < 0 { i32::MIN } else { i32::MAX })
}
