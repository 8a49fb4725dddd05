//! What a visit is worth: its day, its flags, its counts, and whether its content fits the campaign.

pub mod flags;
pub mod reasons;
pub mod trail;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::queries::VisitRow;
use super::wire::{Outcome, Review, VisitPatch, VisitSent};
use crate::features::campaigns::{CampaignFacts, check_answers};
use crate::journal::{Counters, Digest};
use crate::platform::data_keys::DataKeys;
use crate::platform::error::{ApiError, Code};
use crate::platform::ids::WorkerId;
use crate::platform::location::coarse;
use crate::platform::validate::FieldErrors;

/// What leaves a visit when its time is over, counted from its receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fading {
    /// The support score, after 30 days; the counts keep it.
    Support,
    /// The coordinates, to about 100 m, after 90 days.
    Coordinates,
    /// Note, answers, issues, coordinates and what was said to flags, after the campaign's days.
    Content,
}

impl Fading {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Support, Self::Coordinates, Self::Content];

    /// The name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Support => "support",
            Self::Coordinates => "coordinates",
            Self::Content => "content",
        }
    }

    /// The name in the journal.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::Support => "visit.drop_support",
            Self::Coordinates => "visit.coarsen",
            Self::Content => "visit.drop_content",
        }
    }

    /// After how long.
    #[must_use]
    pub fn life(self, retention_days: i32) -> TimeDelta {
        match self {
            Self::Support => TimeDelta::days(30),
            Self::Coordinates => TimeDelta::days(90),
            Self::Content => TimeDelta::days(i64::from(retention_days)),
        }
    }
}

/// What a correction must not bring back: what has left a visit of this age, or is about to.
pub fn check_age(
    before: &VisitSent,
    sent: &mut VisitSent,
    age: TimeDelta,
    campaign: &CampaignFacts,
) -> Result<(), ApiError> {
    let over = |task: Fading| age >= task.life(campaign.retention_days);
    if over(Fading::Content) {
        let detail = "the visit is older than its campaign keeps visits; void it instead";
        return Err(ApiError::new(Code::Conflict, detail));
    }
    if over(Fading::Support) && sent.support != before.support {
        let detail = "support has left the visits of this age";
        return Err(ApiError::field("/support", "too_late", detail));
    }
    if over(Fading::Coordinates)
        && let Some(position) = &mut sent.location
    {
        position.lat = coarse(position.lat);
        position.lon = coarse(position.lon);
    }
    Ok(())
}

/// When a visit was made and received, as instants and as days in the operating time zone.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub visited_at: DateTime<Utc>,
    pub visited_day: NaiveDate,
    pub received_at: DateTime<Utc>,
    pub received_day: NaiveDate,
    /// The time of day of the visit in the operating time zone.
    pub visited_time: NaiveTime,
}

/// The digest by which a resend is known: over the visit as understood, so that another order of fields, other spaces
/// or another way to write the same instant make no other visit. Keyed, so that what has left the row since cannot be
/// found out by trying contents against it.
pub fn digest_of(keys: &DataKeys, sent: &VisitSent) -> Digest {
    Digest::keyed(keys, sent)
}

/// The same as it was before digests were keyed, for visits of then that are sent again.
pub fn plain_digest_of(sent: &VisitSent) -> Digest {
    Digest::of(sent)
}

/// The day a visit counts on: the phone's day, but not before the campaign, not after its end and not after receipt. A
/// campaign that has not begun yet counts it on the day of receipt.
pub fn day_of(times: &Times, campaign: &CampaignFacts) -> NaiveDate {
    let last = campaign
        .ends_on
        .map_or(times.received_day, |ends_on| ends_on.min(times.received_day));
    let first = campaign.starts_on.min(last);
    times.visited_day.clamp(first, last)
}

/// Checks the content against itself and the campaign; returns the question version that it was answered under.
pub fn check(sent: &VisitSent, campaign: &CampaignFacts) -> Result<i32, FieldErrors> {
    let mut errors = FieldErrors::default();
    sent.check_bounds(&mut errors);
    if sent.support.is_some() && !campaign.collect_support {
        errors.add(
            "/support",
            "not_collected",
            "this campaign does not ask for support; leave it out",
        );
    }
    for (n, issue) in sent.issues.iter().enumerate() {
        if !campaign.issue_codes.contains(issue) {
            errors.add(
                format!("/issues/{n}"),
                "unknown_issue",
                "the campaign has no such issue code",
            );
        } else if sent.issues.iter().take(n).any(|earlier| earlier == issue) {
            errors.add(
                format!("/issues/{n}"),
                "duplicate",
                "each issue code at most once",
            );
        }
    }
    let version = sent.question_version.unwrap_or(campaign.question_version);
    match campaign.questions.get(&version) {
        Some(questions) => {
            check_answers(
                questions,
                &sent.answers,
                sent.outcome == Outcome::Met,
                &mut errors,
            );
        }
        None if sent.question_version.is_none() && sent.answers.is_empty() => {}
        None => errors.add(
            "/question_version",
            "unknown_version",
            "the campaign has no such version of its questions",
        ),
    }
    if errors.0.is_empty() {
        Ok(version)
    } else {
        Err(errors)
    }
}

/// What a visit adds to the ledger, `doors_reached` apart: that is settled by the doors.
pub fn counters(row: &VisitRow) -> Counters {
    let mut counters = Counters::default();
    if row.voided_at.is_some() {
        counters.voided = 1;
        return counters;
    }
    if is_rejected(row) {
        counters.rejected = 1;
        return counters;
    }
    counters.visits = 1;
    match Outcome::find(&row.outcome) {
        Some(Outcome::Met) => counters.met = 1,
        Some(Outcome::NotHome) => counters.not_home = 1,
        Some(Outcome::Refused) => counters.refused = 1,
        Some(Outcome::Moved) => counters.moved = 1,
        Some(Outcome::Locked) => counters.locked = 1,
        Some(Outcome::Inaccessible) => counters.inaccessible = 1,
        None => {}
    }
    counters.people_met = i64::from(row.people_met);
    match row.support {
        Some(1) => counters.support_1 = 1,
        Some(2) => counters.support_2 = 1,
        Some(3) => counters.support_3 = 1,
        Some(4) => counters.support_4 = 1,
        Some(5) => counters.support_5 = 1,
        _ => {}
    }
    counters.flagged = i64::from(row.flags.as_array().is_some_and(|flags| !flags.is_empty()));
    counters.verified = i64::from(row.review == Review::Verified.as_str());
    counters
}

fn is_rejected(row: &VisitRow) -> bool {
    row.review == Review::Rejected.as_str()
}

/// Whether this worker may correct it, as far as verdicts go: a rejected visit is not brought back by its author's hand,
/// or a rejection would last until he changes a word.
pub fn may_correct(row: &VisitRow, worker_id: WorkerId) -> bool {
    !is_rejected(row) || row.worker_id != worker_id
}

/// Whether a visit makes its door reached.
pub fn is_live_contact(row: &VisitRow) -> bool {
    row.voided_at.is_none() && !is_rejected(row) && row.outcome == Outcome::Met.as_str()
}

/// The visit as it would have been sent, with a correction laid over it.
pub fn corrected(visit: &VisitSent, patch: VisitPatch) -> VisitSent {
    let mut sent = visit.clone();
    macro_rules! take {
        ($($field:ident),+) => { $( if let Some(value) = patch.$field { sent.$field = value; } )+ };
    }
    take!(
        outcome,
        channel,
        people_met,
        support,
        issues,
        answers,
        note,
        household_id,
        location,
        duration_s
    );
    if patch.question_version.is_some() {
        sent.question_version = patch.question_version;
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::visits::wire::Channel;
    use crate::platform::ids::{CampaignId, UnitId, VisitId};

    fn campaign() -> CampaignFacts {
        CampaignFacts {
            id: CampaignId(1),
            version: 1,
            unit_id: UnitId(1),
            starts_on: day("2026-11-01"),
            ends_on: Some(day("2026-11-30")),
            collect_support: false,
            retention_days: 1095,
            issue_codes: ["water".to_owned()].into(),
            question_version: 1,
            questions: [(1, vec![])].into(),
            bounds: crate::features::campaigns::FlagBounds::default(),
        }
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn times(visited: &str, received: &str) -> Times {
        let at = |text: &str| format!("{text}T06:00:00Z").parse::<DateTime<Utc>>().unwrap();
        Times {
            visited_at: at(visited),
            visited_day: day(visited),
            received_at: at(received),
            received_day: day(received),
            visited_time: NaiveTime::from_hms_opt(11, 30, 0).unwrap(),
        }
    }

    fn sent() -> VisitSent {
        VisitSent {
            id: VisitId(uuid::Uuid::nil()),
            campaign_id: CampaignId(1),
            booth_id: UnitId(2),
            household_id: None,
            visited_at: DateTime::UNIX_EPOCH,
            outcome: Outcome::Met,
            channel: Channel::Door,
            people_met: 1,
            support: None,
            issues: vec![],
            answers: serde_json::Map::new(),
            question_version: None,
            note: None,
            location: None,
            duration_s: None,
        }
    }

    fn codes(times: &Times, held_on_day: bool) -> Vec<String> {
        let campaign = campaign();
        let facts = flags::Facts {
            times,
            campaign: &campaign,
            held_on_day,
            booth: None,
            door: None,
        };
        let flags = flags::of_visit(&sent(), &facts);
        flags.into_iter().map(|flag| flag.code).collect()
    }

    #[test]
    fn a_wrong_clock_is_flagged_and_its_day_bounded() {
        let past = times("1970-01-01", "2026-11-23");
        assert_eq!(day_of(&past, &campaign()), day("2026-11-01"));
        assert_eq!(codes(&past, true), ["backdated", "outside_campaign"]);
        let future = times("2090-01-01", "2026-11-23");
        assert_eq!(day_of(&future, &campaign()), day("2026-11-23"));
        assert_eq!(codes(&future, true), ["clock_skew", "outside_campaign"]);
    }

    #[test]
    fn a_usual_visit_has_no_flag_and_its_own_day() {
        let usual = times("2026-11-22", "2026-11-23");
        assert_eq!(day_of(&usual, &campaign()), day("2026-11-22"));
        assert!(codes(&usual, true).is_empty());
        assert_eq!(codes(&usual, false), ["no_grant_on_day"]);
    }

    #[test]
    fn support_and_issues_are_checked_against_the_campaign() {
        let bad = VisitSent {
            support: Some(4),
            issues: vec!["water".into(), "sky".into(), "water".into()],
            question_version: Some(9),
            ..sent()
        };
        let errors = check(&bad, &campaign()).unwrap_err();
        let pointers: Vec<&str> = errors.0.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            ["/support", "/issues/1", "/issues/2", "/question_version"]
        );
        assert_eq!(check(&sent(), &campaign()).unwrap(), 1);
    }

    proptest::proptest! {
        #[test]
        fn the_day_is_never_after_receipt_nor_the_end(visited in 0i64..100_000, received in 0i64..100_000) {
            let at = |days: i64| DateTime::UNIX_EPOCH + TimeDelta::days(days);
            let times = Times {
                visited_at: at(visited), visited_day: at(visited).date_naive(),
                received_at: at(received), received_day: at(received).date_naive(), visited_time: NaiveTime::MIN,
            };
            let day = day_of(&times, &campaign());
            proptest::prop_assert!(day <= times.received_day && day <= campaign().ends_on.unwrap());
        }
    }
}
