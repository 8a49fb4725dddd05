//! Whether a post may be confirmed, and how long ago somebody came.

use chrono::NaiveDate;

use super::queries::OwnPost;
use crate::access::Strength;
use crate::platform::error::{ApiError, Code};

/// Whether the holder's word counts: the post holds today, and his session began with a code sent to his own number since
/// the post began. A code that somebody read out to him, or a session from the command line, proves nothing.
///
/// # Errors
/// 409 if the post does not hold today; 403 if the session proves nothing for it.
pub fn check_confirmation(
    post: &OwnPost,
    strength: Strength,
    began_on: NaiveDate,
    today: NaiveDate,
) -> Result<(), ApiError> {
    let holds =
        post.ended_at.is_none() && post.valid_from <= today && post.valid_to.is_none_or(|last| today <= last);
    if !holds {
        return Err(ApiError::new(Code::Conflict, "you do not hold this post today"));
    }
    let by_own_phone = matches!(strength, Strength::Code | Strength::Totp);
    if !by_own_phone || began_on < post.valid_from {
        return Err(ApiError::new(
            Code::Forbidden,
            "sign in with a code sent to your own number, on or after the first day of the post, and confirm it then",
        ));
    }
    Ok(())
}

/// Since when entrants are told apart: names and the least days since the day of joining.
pub const SINCE: [(&str, i32); 4] = [
    ("under_6_months", 0),
    ("6_to_12_months", 183),
    ("1_to_2_years", 365),
    ("over_2_years", 730),
];

/// The name of the span that so many days since joining fall in.
#[must_use]
pub fn span_of(days: Option<i32>) -> &'static str {
    let Some(days) = days else { return "unknown" };
    SINCE
        .iter()
        .rev()
        .find(|(_, least)| days >= *least)
        .map_or("under_6_months", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn post(from: &str, to: Option<&str>) -> OwnPost {
        OwnPost {
            id: crate::platform::ids::GrantId(1),
            unit_id: crate::platform::ids::UnitId(1),
            state_id: crate::platform::ids::UnitId(1),
            valid_from: day(from),
            valid_to: to.map(day),
            ended_at: None,
            confirmed_at: None,
        }
    }

    #[test]
    fn a_post_is_confirmed_on_its_days_in_a_session_by_a_code_sent_since_it_began() {
        let today = day("2026-11-23");
        let check = |post: &OwnPost, strength, began: &str| {
            check_confirmation(post, strength, day(began), today).map_err(|error| error.code())
        };
        let held = post("2026-11-01", Some("2026-11-23"));
        assert_eq!(check(&held, Strength::Code, "2026-11-01"), Ok(()));
        assert_eq!(check(&held, Strength::Totp, "2026-11-23"), Ok(()));
        assert_eq!(check(&held, Strength::Code, "2026-10-31"), Err(Code::Forbidden));
        assert_eq!(
            check(&held, Strength::ReadOut, "2026-11-23"),
            Err(Code::Forbidden)
        );
        assert_eq!(
            check(&held, Strength::Program, "2026-11-23"),
            Err(Code::Forbidden)
        );
        for other in [post("2026-11-24", None), post("2026-01-01", Some("2026-11-22"))] {
            assert_eq!(check(&other, Strength::Code, "2026-11-23"), Err(Code::Conflict));
        }
        let ended = OwnPost {
            ended_at: Some("2026-11-23T01:00:00Z".parse().unwrap()),
            ..held
        };
        assert_eq!(check(&ended, Strength::Code, "2026-11-23"), Err(Code::Conflict));
    }

    #[test]
    fn every_day_since_joining_falls_in_one_span() {
        let names: Vec<&str> = [0, 182, 183, 364, 365, 729, 730, 9000]
            .map(|days| span_of(Some(days)))
            .to_vec();
        assert_eq!(
            names,
            [
                "under_6_months",
                "under_6_months",
                "6_to_12_months",
                "6_to_12_months",
                "1_to_2_years",
                "1_to_2_years",
                "over_2_years",
                "over_2_years"
            ]
        );
        assert_eq!((span_of(None), span_of(Some(-3))), ("unknown", "under_6_months"));
    }
}
