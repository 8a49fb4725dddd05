//! Files that come as the body of a request: bounded after inflation, and bound to their Idempotency-Key by content.

use actix_web::HttpRequest;
use actix_web::dev::Decompress;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};
use aws_lc_rs::digest;
use futures_util::StreamExt;

use super::body::encoding_of;
use super::error::{ApiError, Code};
use super::idempotency::{IdempotencyKey, key_of};

/// Reads a CSV file of at most `most` bytes into memory.
///
/// # Errors
/// 413, 415, or 400 when it breaks off.
pub async fn read_csv(request: &HttpRequest, payload: Payload, most: usize) -> Result<Bytes, ApiError> {
    let is_csv = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/csv"));
    if !is_csv {
        return Err(ApiError::new(
            Code::UnsupportedMediaType,
            "the body must be text/csv",
        ));
    }
    encoding_of(request)?;
    let mut body = Decompress::from_headers(payload.into_inner(), request.headers());
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| {
            ApiError::new(Code::UnreadableBody, format!("the body cannot be read: {error}"))
        })?;
        if bytes.len().saturating_add(chunk.len()) > most {
            return Err(ApiError::new(
                Code::PayloadTooLarge,
                format!("the file is larger than {most} bytes after decompression; send it in parts"),
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// The Idempotency-Key of a request, bound to the file and to how it is imported.
///
/// # Errors
/// 400 if the header cannot be a key.
pub fn key_for(request: &HttpRequest, file: &[u8]) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(key) = key_of(request)? else {
        return Ok(None);
    };
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [request.method().as_str(), request.path(), request.query_string()] {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    context.update(file);
    let mut request_digest = [0; 32];
    request_digest.copy_from_slice(context.finish().as_ref());
    Ok(Some(IdempotencyKey { key, request_digest }))
}
