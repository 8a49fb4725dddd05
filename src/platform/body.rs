//! Reading requests: JSON bodies bounded after inflation, queries and paths, each refused with a problem that says
//! which field and how to mend it. These take the place of actix's own extractors in every handler.

use std::future::Future;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use aws_lc_rs::digest;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::config::Config;
use super::error::{ApiError, Code};
use super::idempotency::{IdempotencyKey, key_of};
use super::inflate::inflated;
use super::objects::Objects;
use super::validate::{FieldErrors, Validate};

/// The bound on a body, in bytes after inflation.
pub const MAX_BODY: usize = 256 * 1024;
/// The bound on a batch, in bytes after inflation.
pub const MAX_BATCH: usize = 1024 * 1024;

/// How long a body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(20);

/// Tells the edge that the body of a request has arrived, from when on its time is ours.
#[derive(Clone, Debug, Default)]
pub struct Arrival(Arc<Notify>);

impl Arrival {
    /// Waits until the body is there.
    pub async fn wait(&self) {
        self.0.notified().await;
    }
}

type Extracted<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;

/// A JSON body of at most `MAX` bytes, understood and valid.
#[derive(Debug)]
pub struct Json<T, const MAX: usize = MAX_BODY> {
    pub value: T,
    /// The Idempotency-Key, bound to method, path and body.
    pub idempotency: Option<IdempotencyKey>,
}

impl<T, const MAX: usize> FromRequest for Json<T, MAX>
where
    T: DeserializeOwned + Validate + 'static,
{
    type Error = ApiError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read_body(request, payload.take(), MAX);
        let key = key_of(request);
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(request.method().as_str().as_bytes());
        context.update(&[0]);
        context.update(request.path().as_bytes());
        context.update(&[0]);
        Box::pin(async move {
            let body = body.await?;
            let key = key?;
            let value: T = parse(&body)?;
            let mut errors = FieldErrors::default();
            value.validate(&mut errors);
            if !errors.0.is_empty() {
                return Err(ApiError::fields(errors));
            }
            context.update(&body);
            let mut request_digest = [0; 32];
            request_digest.copy_from_slice(context.finish().as_ref());
            Ok(Self {
                value,
                idempotency: key.map(|key| IdempotencyKey { key, request_digest }),
            })
        })
    }
}

fn read_body(
    request: &HttpRequest,
    payload: Payload,
    max: usize,
) -> impl Future<Output = Result<Bytes, ApiError>> + 'static {
    let is_json = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or("").trim().to_ascii_lowercase())
        .is_some_and(|kind| kind == "application/json");
    let body = inflated(request, payload);
    let wait = request
        .app_data::<actix_web::web::Data<Config>>()
        .map_or(BODY_WAIT, |config| config.body_wait);
    let arrival = request.extensions().get::<Arrival>().cloned();
    async move {
        if !is_json {
            return Err(ApiError::new(
                Code::UnsupportedMediaType,
                "the body must be application/json",
            ));
        }
        let mut body = pin!(body?);
        let reading = async {
            let mut bytes = BytesMut::new();
            while let Some(chunk) = body.next().await {
                let chunk = chunk?;
                if bytes.len().saturating_add(chunk.len()) > max {
                    return Err(ApiError::new(
                        Code::PayloadTooLarge,
                        format!("the body is larger than {max} bytes after decompression"),
                    ));
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(bytes.freeze())
        };
        let bytes = tokio::time::timeout(wait, reading).await.unwrap_or_else(|_| {
            let detail = format!("the body took longer than {} s to arrive", wait.as_secs());
            Err(ApiError::new(Code::RequestTimeout, detail))
        });
        if let Some(arrival) = arrival {
            arrival.0.notify_one();
        }
        bytes
    }
}

fn unreadable(detail: &str) -> ApiError {
    ApiError::new(Code::UnreadableBody, format!("the body cannot be read: {detail}"))
}

/// Parses JSON: 400 for what is not JSON, 422 with a pointer for JSON of the wrong shape.
///
/// # Errors
/// As said.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(Objects(&mut reader)).map_err(|error| {
        let pointer = pointer_of(error.path());
        let error = error.into_inner();
        if error.is_data() {
            wrong_shape(pointer, &error.to_string())
        } else {
            unreadable(&error.to_string())
        }
    })?;
    reader.end().map_err(|error| unreadable(&error.to_string()))?;
    Ok(value)
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escape(key))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// RFC 6901 escaping of one segment.
fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

/// serde names an unknown or missing field in its message alone; the pointer should lead to the field itself.
fn wrong_shape(mut pointer: String, message: &str) -> ApiError {
    let detail = message
        .rsplit_once(" at line ")
        .map_or(message, |(before, _)| before);
    let named = |prefix: &str| {
        detail
            .strip_prefix(prefix)
            .and_then(|rest| rest.split('`').next())
    };
    let (code, field) = if let Some(field) = named("unknown field `") {
        ("unknown_field", Some(field))
    } else if let Some(field) = named("missing field `") {
        ("missing_field", Some(field))
    } else {
        ("wrong_type", None)
    };
    if let Some(field) = field {
        let segment = format!("/{}", escape(field));
        if !pointer.ends_with(&segment) {
            pointer.push_str(&segment);
        }
    }
    ApiError::field(&pointer, code, detail)
}

/// The query string, understood; its own checks are the handler's.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Query<T> {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let reader =
            serde_urlencoded::Deserializer::new(form_urlencoded::parse(request.query_string().as_bytes()));
        std::future::ready(
            serde_path_to_error::deserialize(reader)
                .map(Query)
                .map_err(|error| {
                    let pointer = pointer_of(error.path());
                    wrong_shape(pointer, &error.into_inner().to_string())
                }),
        )
    }
}

/// Parts of the path. One that is no id of the right kind names nothing: 404.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Path<T> {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let path = actix_web::web::Path::<T>::from_request(request, payload).into_inner();
        std::future::ready(
            path.map(|path| Self(path.into_inner()))
                .map_err(|_| ApiError::not_found()),
        )
    }
}

impl<T> Deref for Path<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "read by serde alone")]
        inner: Vec<Inner>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "read by serde alone")]
        n: i32,
    }

    fn field_of(body: &str) -> (String, String) {
        let problem = parse::<Sample>(body.as_bytes()).unwrap_err().problem();
        (problem.errors[0].pointer.clone(), problem.errors[0].code.clone())
    }

    #[test]
    fn a_wrong_shape_is_pointed_at() {
        let expect = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
        assert_eq!(
            field_of(r#"{"inner":[{"n":1},{"n":"x"}]}"#),
            expect("/inner/1/n", "wrong_type")
        );
        assert_eq!(
            field_of(r#"{"inner":[{}]}"#),
            expect("/inner/0/n", "missing_field")
        );
        assert_eq!(
            field_of(r#"{"inner":[],"a/b":1}"#),
            expect("/a~1b", "unknown_field")
        );
    }

    #[test]
    fn a_list_is_no_object() {
        assert_eq!(field_of(" [[]]"), (String::new(), "wrong_type".to_owned()));
        // Nor deep within, where it holds what the fields want.
        assert_eq!(
            field_of(r#"{"inner":[{"n":1},[2]]}"#),
            ("/inner/1".to_owned(), "wrong_type".to_owned())
        );
    }

    #[test]
    fn what_is_not_json_is_unreadable() {
        for body in ["", "{", "{\"inner\":[]} x", "\u{feff}{}", "{\"inner\": NaN}"] {
            assert_eq!(
                parse::<Sample>(body.as_bytes()).unwrap_err().code(),
                Code::UnreadableBody,
                "{body}"
            );
        }
    }
}
