//! Files that come as the body of a request: bounded after inflation, and bound to their Idempotency-Key by content.

use std::pin::pin;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};
use aws_lc_rs::digest;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use super::error::{ApiError, Code};
use super::idempotency::{IdempotencyKey, key_of};
use super::inflate::inflated;

/// How long a client may send nothing.
const SILENCE: Duration = Duration::from_secs(20);

/// A CSV file of at most `most` bytes, inflated, piece by piece.
///
/// # Errors
/// 415; in the stream 413, 408 when nothing comes, or 400 when it breaks off.
pub fn stream_csv(
    request: &HttpRequest,
    payload: Payload,
    most: usize,
) -> Result<impl Stream<Item = Result<Bytes, ApiError>> + use<>, ApiError> {
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
    let body = Box::pin(inflated(request, payload.into_inner())?);
    Ok(stream::try_unfold(
        (body, 0_usize),
        move |(mut body, read)| async move {
            let next = tokio::time::timeout(SILENCE, body.next())
                .await
                .map_err(|_| ApiError::new(Code::RequestTimeout, "nothing of the file came for too long"))?;
            let Some(bytes) = next else { return Ok(None) };
            let bytes = bytes?;
            let read = read.saturating_add(bytes.len());
            if read > most {
                return Err(ApiError::new(
                    Code::PayloadTooLarge,
                    format!("the file is larger than {most} bytes after decompression; send it in parts"),
                ));
            }
            Ok(Some((bytes, (body, read))))
        },
    ))
}

/// The same, held in memory.
///
/// # Errors
/// As [`stream_csv`].
pub async fn read_csv(request: &HttpRequest, payload: Payload, most: usize) -> Result<Bytes, ApiError> {
    let mut file = pin!(stream_csv(request, payload, most)?);
    let mut bytes = BytesMut::new();
    while let Some(piece) = file.try_next().await? {
        bytes.extend_from_slice(&piece);
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
