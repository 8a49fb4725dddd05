//! Looks for values in whatever form programs turn them into: as they are, in hexadecimal, in base64, as a list of bytes.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// What is looked for: what it is, and its forms.
#[derive(Clone, Debug, Default)]
pub struct Searcher(Vec<(String, Vec<String>)>);

impl Searcher {
    /// Also looks for this value.
    pub fn look_for(&mut self, what: &str, value: &str) {
        assert!(value.len() >= 6, "{what} is too short to be looked for");
        self.look_for_forms(what, value.as_bytes(), vec![value.to_owned()]);
    }

    /// The same for a value that is no text.
    pub fn look_for_bytes(&mut self, what: &str, value: &[u8]) {
        self.look_for_forms(what, value, Vec::new());
    }

    fn look_for_forms(&mut self, what: &str, value: &[u8], mut forms: Vec<String>) {
        forms.push(value.iter().map(|byte| format!("{byte:02x}")).collect());
        forms.push(value.iter().map(|byte| format!("{byte:02X}")).collect());
        for comma in [", ", ","] {
            let bytes: Vec<String> = value.iter().map(u8::to_string).collect();
            forms.push(bytes.join(comma));
        }
        // Three bytes make four characters: a value within another begins at any of them.
        for before in 0..3 {
            let padded = [&vec![0; before], value].concat();
            let whole = padded.len() * 8 / 6;
            for alphabet in [&STANDARD, &URL_SAFE] {
                let text = alphabet.encode(&padded);
                forms.push(text[(before * 8).div_ceil(6)..whole].to_owned());
            }
        }
        self.0.push((what.to_owned(), forms));
    }

    /// What is found in a text, each with a little of what stands around it.
    pub fn found_in(&self, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (what, forms) in &self.0 {
            for form in forms {
                if let Some(at) = place_of(text, form) {
                    let around: String = text[..at].chars().rev().take(200).collect();
                    let around: String = around.chars().rev().collect();
                    let after: String = text[at..].chars().take(80).collect();
                    found.push(format!("{what} in {around}>>>{after}"));
                    break;
                }
            }
        }
        found
    }
}

/// Where a form stands. A code of a few digits is found only as a word of its own that is no part of a second: any
/// number holds any other, if it is only long enough.
fn place_of(text: &str, form: &str) -> Option<usize> {
    if form.len() > 8 || !form.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.find(form);
    }
    let bytes = text.as_bytes();
    let joins =
        |at: Option<&u8>| at.is_some_and(|byte| byte.is_ascii_alphanumeric() || b".-=".contains(byte));
    text.match_indices(form).map(|(at, _)| at).find(|at| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        !joins(before) && !joins(bytes.get(at + form.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_leaked_is_found_in_any_form() {
        let mut searcher = Searcher::default();
        searcher.look_for("a phone", "7731904401");
        searcher.look_for_bytes("a coordinate", &26.731_904_41_f64.to_be_bytes());
        searcher.look_for("a code", "482913");
        let found = |text: &str| searcher.found_in(text).len();
        for leak in [
            "the code for +917731904401 is sent".to_owned(),
            format!("{:02x?}", b"7731904401")
                .replace(", ", "")
                .replace(['[', ']'], ""),
            format!("executing with parameters {:?}", b"+917731904401"),
            format!("{:?}", b"+917731904401").replace(' ', ""),
            STANDARD.encode(b"{\"phone\": \"+917731904401\"}"),
            URL_SAFE.encode(b"x7731904401y"),
            URL_SAFE.encode(b"xy7731904401"),
            format!("lat = {:?}", 26.731_904_41_f64.to_be_bytes()),
            "code 482913 is wrong".to_owned(),
            "{\"code\":\"482913\"}".to_owned(),
        ] {
            assert_eq!(found(&leak), 1, "{leak}");
        }
        for other in [
            "",
            "7731904402",
            "micros=482913",
            "at 11:05:00.482913+00",
            "1482913",
            "26.7",
        ] {
            assert_eq!(found(other), 0, "{other}");
        }
    }
}
