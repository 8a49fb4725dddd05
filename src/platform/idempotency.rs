//! The `Idempotency-Key` of a POST, bound to the request that it came with.

use actix_web::HttpRequest;

use super::error::{ApiError, Code};

/// A key, and the SHA-256 of the request it came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    pub key: String,
    pub request_digest: [u8; 32],
}

/// The key as sent.
///
/// # Errors
/// 400 if it is not 1 to 255 visible ASCII characters.
pub fn key_of(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let Some(value) = request.headers().get("Idempotency-Key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=255).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(ApiError::new(
            Code::BadHeader,
            "Idempotency-Key must be 1 to 255 visible ASCII characters",
        )),
    }
}
