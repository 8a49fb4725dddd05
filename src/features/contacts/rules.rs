use chrono::{NaiveDate, TimeDelta};

use super::wire::{ContactSent, ContactView};
use crate::platform::error::ApiError;

/// How long what was processed must be kept (Rules of 2025, 8(3)).
pub const YEAR: TimeDelta = TimeDelta::days(365);

/// The day until which a contact is kept: as asked, within what the campaign allows.
pub fn keep_until(
    asked: Option<NaiveDate>,
    today: NaiveDate,
    retention_days: i32,
) -> Result<NaiveDate, ApiError> {
    let latest = today + TimeDelta::days(i64::from(retention_days));
    match asked {
        None => Ok(latest),
        Some(day) if (today..=latest).contains(&day) => Ok(day),
        Some(_) => Err(ApiError::field(
            "/keep_until",
            "out_of_range",
            format!("must be from today to {latest}: the campaign keeps contacts {retention_days} days"),
        )),
    }
}

/// Whether what is stored is what was sent. The deadline that was not asked for is not compared: it moves with the day.
pub fn is_same(stored: &ContactView, sent: &ContactSent) -> bool {
    stored.booth_id == sent.booth_id
        && stored.household_id == sent.household_id
        && stored.campaign_id == sent.campaign_id
        && stored.phone.as_ref() == Some(&sent.phone)
        && stored.consent == sent.consent
        && sent.keep_until.is_none_or(|day| day == stored.keep_until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_kept_no_longer_than_its_campaign_allows() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let today = day("2026-11-23");
        assert_eq!(keep_until(None, today, 365).unwrap(), day("2027-11-23"));
        assert_eq!(
            keep_until(Some(day("2027-11-23")), today, 365).unwrap(),
            day("2027-11-23")
        );
        assert_eq!(keep_until(Some(today), today, 365).unwrap(), today);
        for bad in ["2027-11-24", "2026-11-22"] {
            assert!(keep_until(Some(day(bad)), today, 365).is_err(), "{bad}");
        }
    }
}
