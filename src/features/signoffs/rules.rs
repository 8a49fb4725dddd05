//! ISO weeks.

use chrono::{Datelike, NaiveDate, TimeDelta, Weekday};

/// The Monday of a week written `2026-W47`.
pub fn monday_of(week: &str) -> Option<NaiveDate> {
    let (year, number) = week.split_once("-W")?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if year.len() != 4 || number.len() != 2 || !digits(year) || !digits(number) {
        return None;
    }
    let monday = NaiveDate::from_isoywd_opt(year.parse().ok()?, number.parse().ok()?, Weekday::Mon)?;
    (1900..=2200).contains(&monday.year()).then_some(monday)
}

/// The last day of the week that begins on this Monday.
pub fn sunday_after(monday: NaiveDate) -> NaiveDate {
    monday
        .checked_add_signed(TimeDelta::days(6))
        .unwrap_or(NaiveDate::MAX)
}

/// The week of a day, written `2026-W47`.
pub fn week_of(day: NaiveDate) -> String {
    day.format("%G-W%V").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_is_read_as_it_is_written() {
        for week in ["2026-W47", "2026-W53", "2027-W01", "1900-W02"] {
            let monday = monday_of(week).unwrap();
            assert_eq!(monday.weekday(), Weekday::Mon);
            assert_eq!(week_of(monday), week);
            assert_eq!(week_of(sunday_after(monday)), week);
        }
        assert_eq!(monday_of("2026-W47").unwrap().to_string(), "2026-11-16");
    }

    #[test]
    fn what_is_no_week_is_refused() {
        for week in [
            "2026-47", "2026-W54", "2027-W53", "2026-W00", "2026-W4", "26-W47", "+026-W47", "2026-W+7",
            "1899-W50",
        ] {
            assert_eq!(monday_of(week), None, "{week}");
        }
    }
}
