//! Field errors are collected, so that one answer names all of them.

use serde::Serialize;

/// One field that is wrong, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the body, or `/name` of a query parameter.
    #[schema(example = "/people_met")]
    pub pointer: String,
    /// Stable code of what is wrong.
    #[schema(example = "out_of_range")]
    pub code: String,
    /// What is wrong and how to mend it.
    #[schema(example = "must be from 0 to 1000")]
    pub detail: String,
}

/// Field errors found so far.
#[derive(Debug, Default)]
pub struct FieldErrors(pub Vec<FieldError>);

/// Checks of a request that serde cannot make.
pub trait Validate {
    /// Adds what is wrong.
    fn validate(&self, errors: &mut FieldErrors);
}

impl FieldErrors {
    /// Adds one.
    pub fn add(&mut self, pointer: impl Into<String>, code: &str, detail: impl Into<String>) {
        self.0.push(FieldError {
            pointer: pointer.into(),
            code: code.to_owned(),
            detail: detail.into(),
        });
    }

    /// A text of `least` to `most` characters without control characters (PostgreSQL cannot even store NUL).
    pub fn text(&mut self, pointer: &str, value: &str, least: usize, most: usize) {
        let length = value.chars().count();
        if length < least || length > most {
            self.add(
                pointer,
                "bad_length",
                format!("must have {least} to {most} characters, has {length}"),
            );
        } else if value.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            self.add(
                pointer,
                "control_character",
                "must not contain control characters",
            );
        } else if least > 0 && value.trim().is_empty() {
            self.add(pointer, "blank", "must not be blank");
        }
    }

    /// The same for a text that may be absent.
    pub fn optional_text(&mut self, pointer: &str, value: Option<&str>, least: usize, most: usize) {
        if let Some(value) = value {
            self.text(pointer, value, least, most);
        }
    }

    /// A number from `least` to `most`.
    pub fn range<T: PartialOrd + std::fmt::Display>(&mut self, pointer: &str, value: T, least: T, most: T) {
        if !(value >= least && value <= most) {
            self.add(pointer, "out_of_range", format!("must be from {least} to {most}"));
        }
    }

    /// A year that calendars and databases agree on.
    pub fn day(&mut self, pointer: &str, day: chrono::NaiveDate) {
        use chrono::Datelike;
        self.range(pointer, day.year(), 1900, 2200);
    }
}
