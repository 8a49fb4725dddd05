//! One error for the whole API: what the client can do about it is its [`Code`]; what only we can do about it is its
//! source, which is logged once and never sent.

use std::error::Error as StdError;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use serde::Serialize;

use super::ids::UnitId;
pub use super::problems::Code;
use super::validate::{FieldError, FieldErrors};

tokio::task_local! {
    /// The id of the request being answered; set by the middleware in `app.rs`.
    pub static REQUEST_ID: String;
}

/// What every handler, rule and query answers with when it cannot do what was asked.
#[derive(Debug)]
pub struct ApiError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    /// Members of the problem document beyond the standard ones.
    extra: serde_json::Map<String, serde_json::Value>,
    retry_after: Option<u32>,
    allow: Option<String>,
    transient: Option<Transient>,
    refused_at: Option<UnitId>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Failures of the database after which the same work may succeed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transient {
    /// Deadlock or serialization failure: the transaction may be run again.
    Retry,
    /// The connection is gone; another may work.
    Disconnected,
}

/// The body of every error: RFC 9457 problem details.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// A page that explains it.
    #[serde(rename = "type")]
    #[schema(example = "/problems/invalid")]
    pub kind: String,
    /// The same for every occurrence of the code.
    #[schema(example = "The request is understood but not valid")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// What is wrong this time.
    #[schema(example = "1 field is not valid")]
    pub detail: String,
    /// Stable code of the problem.
    #[schema(example = "invalid")]
    pub code: String,
    /// The `X-Request-Id` of the answer; quote it when asking for help.
    #[schema(example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33")]
    pub request_id: String,
    /// Every field that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    #[serde(flatten)]
    #[schema(ignore)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl ApiError {
    /// An error with this code and what is wrong this time.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after = (code.status() == 503).then_some(1);
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            extra: serde_json::Map::new(),
            retry_after,
            allow: None,
            transient: None,
            refused_at: None,
            source: None,
        }))
    }

    /// 404, the same whether it does not exist or is not to be seen.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "not found")
    }

    /// 422 with one field.
    pub fn field(pointer: &str, code: &str, detail: impl Into<String>) -> Self {
        let mut errors = FieldErrors::default();
        errors.add(pointer, code, detail);
        Self::fields(errors)
    }

    /// 422 with all fields that are wrong.
    #[must_use]
    pub fn fields(errors: FieldErrors) -> Self {
        let detail = match errors.0.len() {
            1 => "1 field is not valid".to_owned(),
            n => format!("{n} fields are not valid"),
        };
        let mut error = Self::new(Code::Invalid, detail);
        error.0.errors = errors.0;
        error
    }

    /// 500 for what cannot happen unless we are wrong.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let mut error = Self::new(Code::Internal, "an unexpected error; it has been logged");
        error.0.source = Some(source.into());
        error
    }

    /// 503 because something that we need cannot be had just now.
    pub fn unavailable(detail: &str, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let mut error = Self::new(Code::Unavailable, detail);
        error.0.source = Some(source.into());
        error
    }

    /// The same with a `Retry-After` in seconds.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// The same with the methods that are served, for 405.
    #[must_use]
    pub fn with_allow(mut self, methods: String) -> Self {
        self.0.allow = Some(methods);
        self
    }

    /// The same naming a field that is wrong.
    #[must_use]
    pub fn with_field(mut self, pointer: &str, code: &str, detail: &str) -> Self {
        self.0.errors.push(FieldError {
            pointer: pointer.to_owned(),
            code: code.to_owned(),
            detail: detail.to_owned(),
        });
        self
    }

    /// The same with another member in the problem document.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: serde_json::Value) -> Self {
        self.0.extra.insert(name.to_owned(), value);
        self
    }

    /// The same as a refusal about this unit, for who counts refusals; the client is not told.
    #[must_use]
    pub fn for_unit(mut self, unit_id: UnitId) -> Self {
        self.0.refused_at = Some(unit_id);
        self
    }

    /// About which unit it refuses, if about one.
    #[must_use]
    pub fn refused_at(&self) -> Option<UnitId> {
        self.0.refused_at
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Whether the same work may succeed at once, and how.
    #[must_use]
    pub fn transient(&self) -> Option<Transient> {
        self.0.transient
    }

    /// The problem document, for an answer of its own or inside a batch.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let code = self.0.code;
        Problem {
            kind: format!("/problems/{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: self.0.detail.clone(),
            code: code.as_str().to_owned(),
            request_id: REQUEST_ID.try_with(Clone::clone).unwrap_or_default(),
            errors: self.0.errors.clone(),
            extra: self.0.extra.clone(),
        }
    }

    /// Logs a fault of ours, once, with all its causes. Faults of the client are left to the access log.
    pub fn log(&self) {
        if self.0.code.status() < 500 {
            return;
        }
        let mut chain = String::new();
        let mut cause: Option<&(dyn StdError + 'static)> = self.0.source.as_ref().map(|source| {
            let source: &(dyn StdError + 'static) = source.as_ref();
            source
        });
        while let Some(error) = cause {
            chain.push_str(": ");
            chain.push_str(&error.to_string());
            cause = error.source();
        }
        let code = self.0.code.as_str();
        if self.0.code == Code::Internal {
            tracing::error!(code, "{}{chain}", self.0.detail);
        } else {
            tracing::warn!(code, "{}{chain}", self.0.detail);
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.as_str(), self.0.detail)?;
        for error in &self.0.errors {
            write!(f, "; {}: {}", error.pointer, error.detail)?;
        }
        Ok(())
    }
}

impl StdError for ApiError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| {
            let source: &(dyn StdError + 'static) = source.as_ref();
            source
        })
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.log();
        let mut response = HttpResponse::build(self.status_code());
        if let Some(seconds) = self.0.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if let Some(allow) = &self.0.allow {
            response.insert_header((header::ALLOW, allow.clone()));
        }
        if self.status_code() == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        let body = serde_json::to_vec(&self.problem()).unwrap_or_default();
        response.content_type("application/problem+json").body(body)
    }
}

/// What the database says, in terms of what the client can do. A missing row is *not* turned into 404 here: the
/// caller of a query names what is missing.
impl From<DieselError> for ApiError {
    fn from(error: DieselError) -> Self {
        let DieselError::DatabaseError(kind, information) = &error else {
            return match error {
                DieselError::BrokenTransactionManager => disconnected(error),
                other => Self::internal(other),
            };
        };
        let message = information.message();
        match kind {
            DatabaseErrorKind::SerializationFailure => retry(error),
            DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection => {
                disconnected(error)
            }
            _ if message.starts_with("deadlock detected") => retry(error),
            _ if message.contains("due to lock timeout") || message.contains("due to statement timeout") => {
                Self::unavailable("the database is busy", error)
            }
            _ if is_shutdown(message) => disconnected(error),
            _ if message.contains("No space left on device") => {
                let mut full = Self::new(Code::StorageFull, "the database has no room left");
                full.0.source = Some(error.into());
                full.with_retry_after(60)
            }
            _ => Self::internal(error),
        }
    }
}

/// Messages of a PostgreSQL that goes away or has just come back.
fn is_shutdown(message: &str) -> bool {
    message.starts_with("terminating connection")
        || message.starts_with("the database system is")
        || message.starts_with("sorry, too many clients")
        || message.starts_with("remaining connection slots")
}

fn retry(source: DieselError) -> ApiError {
    let mut error = ApiError::unavailable("the database is busy", source);
    error.0.transient = Some(Transient::Retry);
    error
}

fn disconnected(source: DieselError) -> ApiError {
    let mut error = ApiError::unavailable("the database cannot be reached", source);
    error.0.transient = Some(Transient::Disconnected);
    error
}

/// Turns the violation of a named constraint into a named answer.
pub trait OnConstraint<T> {
    /// `answer()` if just this constraint was violated.
    ///
    /// # Errors
    /// The answer, or what the database said otherwise.
    fn on_constraint(self, name: &str, answer: impl FnOnce() -> ApiError) -> Result<T, ApiError>;
}

impl<T> OnConstraint<T> for Result<T, DieselError> {
    fn on_constraint(self, name: &str, answer: impl FnOnce() -> ApiError) -> Result<T, ApiError> {
        self.map_err(|error| match &error {
            DieselError::DatabaseError(_, information) if information.constraint_name() == Some(name) => {
                answer()
            }
            _ => error.into(),
        })
    }
}
