//! Answering: JSON with an ETag, 304 for who has it already, and the first answer again for a resent POST.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, Responder};
use aws_lc_rs::digest;
use serde::Serialize;

use super::error::{ApiError, Code};

/// A whole answer, as bytes, so that it can be kept and given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    pub etag: Option<String>,
    pub location: Option<String>,
    /// Whether this is an answer given before.
    pub replayed: bool,
}

impl Reply {
    /// 200 with a value.
    ///
    /// # Errors
    /// 500 if it cannot be written as JSON.
    pub fn ok<T: Serialize>(value: &T) -> Result<Self, ApiError> {
        Self::with_status(StatusCode::OK, value)
    }

    /// 201 with a value and where to find it.
    ///
    /// # Errors
    /// 500 if it cannot be written as JSON.
    pub fn created<T: Serialize>(value: &T, location: String) -> Result<Self, ApiError> {
        let mut reply = Self::with_status(StatusCode::CREATED, value)?;
        reply.location = Some(location);
        Ok(reply)
    }

    /// Any status with a value.
    ///
    /// # Errors
    /// 500 if it cannot be written as JSON.
    pub fn with_status<T: Serialize>(status: StatusCode, value: &T) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(value).map_err(ApiError::internal)?;
        Ok(Self {
            status: status.as_u16(),
            body,
            etag: None,
            location: None,
            replayed: false,
        })
    }

    /// Names the version that the body shows.
    #[must_use]
    pub fn with_version(mut self, version: i32) -> Self {
        self.etag = Some(version_tag(version));
        self
    }

    /// Names what the body shows by a version with more behind it (`3-verified`): for `If-Match`, what comes after the
    /// hyphen does not matter.
    #[must_use]
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.etag = Some(format!("\"{tag}\""));
        self
    }

    /// Names the content itself, for what has no version (totals).
    #[must_use]
    pub fn with_content_tag(mut self) -> Self {
        let sum = digest::digest(&digest::SHA256, &self.body);
        let mut tag = String::from("\"");
        for byte in sum.as_ref().iter().take(12) {
            tag.push_str(&format!("{byte:02x}"));
        }
        tag.push('"');
        self.etag = Some(tag);
        self
    }
}

impl Responder for Reply {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let held = request
            .headers()
            .get(header::IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok());
        let unchanged = request.method().is_safe()
            && matches!((held, &self.etag), (Some(held), Some(etag)) if lists(held, etag));
        let mut response = HttpResponse::build(if unchanged {
            StatusCode::NOT_MODIFIED
        } else {
            status
        });
        if let Some(etag) = self.etag {
            response.insert_header((header::ETAG, etag));
        }
        if let Some(location) = self.location {
            response.insert_header((header::LOCATION, location));
        }
        if self.replayed {
            response.insert_header(("Idempotency-Replayed", "true"));
        }
        if unchanged {
            response.finish()
        } else {
            response.content_type("application/json").body(self.body)
        }
    }
}

/// The ETag of a resource that counts its changes.
#[must_use]
pub fn version_tag(version: i32) -> String {
    format!("\"{version}\"")
}

/// Whether an `If-Match` or `If-None-Match` header names the tag. Weak tags (a proxy may weaken ours when it
/// compresses) match as well: ours are made from versions and content, so nothing is lost.
fn lists(header: &str, etag: &str) -> bool {
    header
        .split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// Whether an `If-Match` header names this version, be it with more behind it or without.
fn names_version(header: &str, version: i32) -> bool {
    header.split(',').map(str::trim).any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
        let named = tag.split_once('-').map_or(tag, |(named, _)| named);
        tag == "*" || named == version.to_string()
    })
}

/// The `If-Match` header of a request that changes a resource.
#[derive(Clone, Debug)]
pub struct IfMatch(Option<String>);

impl IfMatch {
    /// Checks that the client changes the version that it has read.
    ///
    /// # Errors
    /// 428 if the header is missing, 412 if it names another version.
    pub fn check(&self, version: i32) -> Result<(), ApiError> {
        match &self.0 {
            None => Err(ApiError::new(
                Code::PreconditionRequired,
                "the header If-Match is missing",
            )),
            Some(held) if names_version(held, version) => Ok(()),
            Some(_) => Err(ApiError::new(
                Code::PreconditionFailed,
                format!("the current version is {version}"),
            )),
        }
    }
}

impl actix_web::FromRequest for IfMatch {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut actix_web::dev::Payload) -> Self::Future {
        let value = request
            .headers()
            .get(header::IF_MATCH)
            .and_then(|value| value.to_str().ok());
        std::future::ready(Ok(Self(value.map(str::to_owned))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_wants_the_current_version() {
        let held = |value: &str| IfMatch(Some(value.to_owned()));
        assert!(held("\"3\"").check(3).is_ok());
        assert!(held("W/\"3\"").check(3).is_ok());
        assert!(held("\"1\", \"3\"").check(3).is_ok());
        assert!(held("\"3-verified\"").check(3).is_ok());
        assert_eq!(
            held("\"3-verified\"").check(4).unwrap_err().code(),
            Code::PreconditionFailed
        );
        assert_eq!(
            held("\"2\"").check(3).unwrap_err().code(),
            Code::PreconditionFailed
        );
        assert_eq!(
            IfMatch(None).check(3).unwrap_err().code(),
            Code::PreconditionRequired
        );
    }
}
