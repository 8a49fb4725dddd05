//! The handlers, a room for each kind.

use crate::platform::error::ApiError;
use crate::platform::validate::{FieldErrors, Validate};

pub mod committees;
pub mod entrants;
pub mod posts;
pub mod rules;

/// A query whose own checks hold.
fn valid<T: Validate>(query: T) -> Result<T, ApiError> {
    let mut errors = FieldErrors::default();
    query.validate(&mut errors);
    if errors.0.is_empty() {
        Ok(query)
    } else {
        Err(ApiError::fields(errors))
    }
}
