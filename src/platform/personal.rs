//! What must not be kept of citizens, wherever text is typed in freely.

/// Whether a text holds ten digits or more in a row, in any script (with spaces, dashes, dots, brackets and the like
/// between them): a phone number or a 12-digit identity number.
#[must_use]
pub fn holds_personal_number(text: &str) -> bool {
    let mut run = 0_usize;
    for c in text.chars() {
        if c.is_numeric() {
            run = run.saturating_add(1);
            if run >= 10 {
                return true;
            }
        } else if !is_between(c) {
            run = 0;
        }
    }
    false
}

/// What people write between the digits of one number: not a comma, a slash or a word, which stand between two.
fn is_between(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '-' | '.' | '_' | '(' | ')' | '+' | '\u{2010}'..='\u{2015}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phone_and_identity_numbers_are_noticed_and_house_numbers_are_not() {
        for text in [
            "9812345678",
            "call 98123-45678 now",
            "+91 (98123) 45678",
            "98123_45678",
            "9812\u{200b}345678",
            "1234 5678 9012",
            "९८१२३४५६७८",
            "१२३४-५६७८-९०१२",
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
