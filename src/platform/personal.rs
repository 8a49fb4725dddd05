//! What must not be kept of citizens, wherever text is typed in freely.

/// Whether a text holds ten digits or more in a row, in any script (spaces, dashes and dots between them not counted):
/// a phone number or a 12-digit identity number.
#[must_use]
pub fn holds_personal_number(text: &str) -> bool {
    let mut run = 0_usize;
    for c in text.chars() {
        if c.is_numeric() {
            run = run.saturating_add(1);
            if run >= 10 {
                return true;
            }
        } else if !(c.is_whitespace() || matches!(c, '-' | '.' | '\u{2010}'..='\u{2015}')) {
            run = 0;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phone_and_identity_numbers_are_noticed_and_house_numbers_are_not() {
        for text in [
            "9812345678",
            "call 98123-45678 now",
            "1234 5678 9012",
            "९८१२३४५६७८",
        ] {
            assert!(holds_personal_number(text), "{text}");
        }
        for text in [
            "",
            "12-A",
            "house 12, 3 votes, block 4",
            "123456789",
            "12345/67890",
        ] {
            assert!(!holds_personal_number(text), "{text}");
        }
    }
}
