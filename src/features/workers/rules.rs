use chrono::{DateTime, NaiveDate, Utc};

use super::wire::{GrantView, NewGrant, Origin, WorkerPatch, WorkerView};
use crate::access::Role;
use crate::platform::error::{ApiError, Code};
use crate::platform::ids::UnitId;

pub mod import;

/// Whether a text is an E.164 number: a plus and 8 to 15 digits, the first not 0. Indian numbers have ten after +91.
#[must_use]
pub fn is_phone(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else {
        return false;
    };
    (8..=15).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0')
        && digits.strip_prefix("91").is_none_or(|rest| rest.len() == 10)
}

/// Whether a text can name a post: small letters, digits and `_`, a letter first, at most 40.
#[must_use]
pub fn is_post(text: &str) -> bool {
    text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Whether numbers of this country may be on the roster.
pub fn has_prefix(phone: &str, prefixes: &[String]) -> bool {
    prefixes.iter().any(|prefix| phone.starts_with(prefix.as_str()))
}

/// 422 for a number whose country is not allowed.
pub fn check_prefix(phone: &str, prefixes: &[String]) -> Result<(), ApiError> {
    if has_prefix(phone, prefixes) {
        Ok(())
    } else {
        Err(ApiError::field(
            "/phone",
            "prefix_not_allowed",
            format!("must begin with {}", prefixes.join(" or ")),
        ))
    }
}

/// The last four digits, the rest as six stars whatever its length.
pub fn mask_phone(phone: &str) -> String {
    let shown: String = phone
        .chars()
        .skip(phone.chars().count().saturating_sub(4))
        .collect();
    format!("******{shown}")
}

/// The worker as a change would leave him. The version is left alone.
pub fn apply(worker: &WorkerView, patch: WorkerPatch) -> WorkerView {
    let mut changed = worker.clone();
    if let Some(name) = patch.name {
        changed.name = name;
    }
    if let Some(phone) = patch.phone {
        changed.phone = phone;
    }
    if let Some(unit_id) = patch.unit_id {
        changed.unit_id = unit_id;
    }
    if let Some(language) = patch.language {
        changed.language = language;
    }
    if let Some(active) = patch.active {
        changed.active = active;
    }
    if let Some(origin) = patch.origin {
        changed.origin = origin;
    }
    changed
}

/// The columns of an origin.
pub fn origin_columns(origin: Option<&Origin>) -> (Option<&str>, Option<NaiveDate>) {
    (
        origin.map(|origin| origin.party.as_str()),
        origin.and_then(|origin| origin.joined_on),
    )
}

/// Whether a role can be held at a unit of this level.
pub fn fits_level(role: Role, level: &str) -> bool {
    role.levels().is_empty() || role.levels().contains(&level)
}

/// 422 if a role cannot be held at a unit of this level.
pub fn check_level(role: Role, level: &str) -> Result<(), ApiError> {
    if fits_level(role, level) {
        return Ok(());
    }
    Err(ApiError::field(
        "/unit_id",
        "wrong_level",
        format!("{} is held at: {}", role.as_str(), role.levels().join(", ")),
    ))
}

/// Whether two periods share a day; `None` is without end.
pub fn overlap(a: (NaiveDate, Option<NaiveDate>), b: (NaiveDate, Option<NaiveDate>)) -> bool {
    a.1.is_none_or(|last| b.0 <= last) && b.1.is_none_or(|last| a.0 <= last)
}

/// 409 if the worker already holds the role at the unit on one of these days.
pub fn check_overlap(
    held: &[GrantView],
    role: Role,
    unit_id: UnitId,
    period: (NaiveDate, Option<NaiveDate>),
) -> Result<(), ApiError> {
    match find_overlap(held, role, unit_id, period) {
        None => Ok(()),
        Some(grant) => Err(ApiError::new(
            Code::Conflict,
            format!(
                "grant {} gives this role at this unit on some of these days already",
                grant.id
            ),
        )),
    }
}

/// The grant that gives the role at the unit on one of these days.
pub fn find_overlap(
    held: &[GrantView],
    role: Role,
    unit_id: UnitId,
    period: (NaiveDate, Option<NaiveDate>),
) -> Option<&GrantView> {
    held.iter().find(|grant| {
        grant.ended_at.is_none()
            && grant.role == role
            && grant.unit_id == unit_id
            && overlap((grant.valid_from, grant.valid_to), period)
    })
}

/// The grants that a handover on a day makes of one: how the old one ends, and what is given to the new holder.
///
/// On its own first day, or today, the old grant ends at this moment: what its holder did this morning stays his. Later,
/// it ends with the day before.
pub fn hand_over(
    grant: &GrantView,
    from: NaiveDate,
    now: DateTime<Utc>,
    today: NaiveDate,
) -> Result<(GrantView, NewGrant), ApiError> {
    if grant.ended_at.is_some() {
        return Err(ApiError::new(Code::Conflict, "the grant has ended already"));
    }
    let outside = from < grant.valid_from || grant.valid_to.is_some_and(|last| last < from);
    if from < today || outside {
        let detail = "must be today or later, and a day on which the grant holds";
        return Err(ApiError::field("/from", "bad_day", detail));
    }
    let mut ended = grant.clone();
    if from > today && from > grant.valid_from {
        ended.valid_to = from.pred_opt();
    } else {
        ended.ended_at = Some(now);
    }
    let given = NewGrant {
        role: grant.role,
        unit_id: grant.unit_id,
        valid_from: from,
        valid_to: grant.valid_to,
        post: grant.post.clone(),
    };
    Ok((ended, given))
}

/// Whether a grant can still be used, today or later.
pub fn is_live(grant: &GrantView, today: NaiveDate) -> bool {
    grant.ended_at.is_none() && grant.valid_to.is_none_or(|last| today <= last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_are_e164() {
        for phone in ["+919812345678", "+14155552671", "+4915112345678"] {
            assert!(is_phone(phone), "{phone}");
        }
        for phone in [
            "",
            "+",
            "919812345678",
            "+91981234567",
            "+9198123456789",
            "+0123456789",
            "+91 9812345678",
            "+1234567",
            "+1234567890123456",
            "+९१९८१२३४५६७८",
        ] {
            assert!(!is_phone(phone), "{phone}");
        }
    }

    #[test]
    fn a_masked_phone_shows_four_digits() {
        assert_eq!(mask_phone("+919812345678"), "******5678");
        assert_eq!(mask_phone("12"), "******12");
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_post_is_handed_over_without_a_day_that_both_or_neither_hold() {
        let now: DateTime<Utc> = "2026-11-23T06:30:00Z".parse().unwrap();
        let today = day("2026-11-23");
        let grant = GrantView {
            id: crate::platform::ids::GrantId(3),
            role: Role::BoothWorker,
            unit_id: UnitId(14),
            valid_from: day("2026-11-01"),
            valid_to: Some(day("2026-12-31")),
            ended_at: None,
            post: None,
        };
        let at = |grant: &GrantView, from: &str| hand_over(grant, day(from), now, today);
        let (ended, given) = at(&grant, "2026-12-10").unwrap();
        assert_eq!((ended.valid_to, ended.ended_at), (Some(day("2026-12-09")), None));
        assert_eq!(
            (given.valid_from, given.valid_to),
            (day("2026-12-10"), grant.valid_to)
        );
        let (ended, _) = at(&grant, "2026-11-23").unwrap();
        assert_eq!((ended.valid_to, ended.ended_at), (grant.valid_to, Some(now)));
        let to_come = GrantView {
            valid_from: day("2026-12-01"),
            ..grant.clone()
        };
        let (ended, _) = at(&to_come, "2026-12-01").unwrap();
        assert_eq!(ended.ended_at, Some(now), "it never holds a day");
        for (grant, from) in [
            (&grant, "2026-11-22"),
            (&grant, "2027-01-01"),
            (&to_come, "2026-11-30"),
        ] {
            assert!(at(grant, from).is_err(), "{from}");
        }
        assert!(at(&grant, "2026-12-31").is_ok());
        let over = GrantView {
            ended_at: Some(now),
            ..grant
        };
        assert_eq!(at(&over, "2026-12-10").unwrap_err().code(), Code::Conflict);
    }

    fn any_day() -> impl proptest::strategy::Strategy<Value = NaiveDate> {
        use proptest::strategy::Strategy;
        (1..28_u32).prop_map(|day| NaiveDate::from_ymd_opt(2026, 11, day).unwrap())
    }

    fn any_period() -> impl proptest::strategy::Strategy<Value = (NaiveDate, Option<NaiveDate>)> {
        use proptest::strategy::Strategy;
        (any_day(), proptest::option::of(any_day())).prop_map(|(from, to)| (from, to.map(|to| to.max(from))))
    }

    proptest::proptest! {
        /// Two periods overlap just when there is a day in both.
        #[test]
        fn overlapping_is_sharing_a_day(a in any_period(), b in any_period()) {
            let holds = |p: (NaiveDate, Option<NaiveDate>), day: NaiveDate| p.0 <= day && p.1.is_none_or(|last| day <= last);
            let shared = (1..=30).any(|day| {
                let day = NaiveDate::from_ymd_opt(2026, 11, day).unwrap();
                holds(a, day) && holds(b, day)
            });
            proptest::prop_assert_eq!(overlap(a, b), shared);
            proptest::prop_assert_eq!(overlap(b, a), shared);
        }

        #[test]
        fn a_mask_never_shows_more_than_four_digits(phone in "\\+[1-9][0-9]{7,14}") {
            let shown = mask_phone(&phone).chars().filter(char::is_ascii_digit).count();
            proptest::prop_assert_eq!(shown, 4);
        }
    }
}
