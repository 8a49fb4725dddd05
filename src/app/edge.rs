//! The edge: what every request passes before a handler sees it, and every answer on its way out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, ResponseError};
use uuid::Uuid;

use super::places::{InFlight, Kind, Place, is_recording, takes_its_time};
use crate::access::refusals::Refusals;
use crate::journal::Actor;
use crate::platform::body::Arrival;
use crate::platform::config::Config;
use crate::platform::error::{ApiError, Code, REQUEST_ID};
use crate::platform::limits::{Allowances, Key, Limits};
use crate::platform::load::Load;
use crate::platform::standby::Standby;
use crate::platform::telemetry::Metrics;
use crate::platform::wall;

/// The longest path with its query, in bytes.
const MAX_URI: usize = 8 * 1024;
/// All headers together, in bytes; and how many.
const MAX_HEADERS: usize = 32 * 1024;
const MAX_HEADER_COUNT: usize = 64;
static REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
pub static AS_OF: HeaderName = HeaderName::from_static("sampark-as-of");
static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The longest that a request may take that waits for news.
const WAITING_DEADLINE: Duration = Duration::from_secs(45);

/// Up to when everything is in the standby that is read.
struct AsOf(HeaderValue);

/// What decides whether a request is let in.
#[derive(Clone, Debug)]
pub struct Gate {
    pub in_flight: InFlight,
    pub recording: Load,
    /// What is read, if it is a standby.
    pub standby: Option<Standby>,
    pub config: Arc<Config>,
    pub limits: Limits,
    pub metrics: Metrics,
}

/// Around every request: its id, its log line, its metric, the headers that every answer carries; and, where they can be
/// kept, a note of what was refused.
pub async fn observe(
    metrics: Metrics,
    config: Arc<Config>,
    refusals: Option<Refusals>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let started = Instant::now();
    let request_id = request_id_of(&request);
    let method = request.method().clone();
    let secure = is_secure(&request, &config);
    let echoed = HeaderValue::from_str(&request_id).unwrap_or(HeaderValue::from_static("-"));
    let answered = |route: &str, status: u16| {
        let elapsed = started.elapsed();
        metrics
            .requests
            .with_label_values(&[method.as_str(), route, &status.to_string()])
            .observe(elapsed.as_secs_f64());
        tracing::debug!(request_id, %method, route, status, micros = elapsed.as_micros(), "answered");
    };
    let answering = wall::around(next.call(request));
    match REQUEST_ID.scope(request_id.clone(), answering).await {
        Ok(mut response) => {
            let route = response.request().match_pattern();
            let route = route.as_deref().unwrap_or("-");
            answered(route, response.status().as_u16());
            if let Some(refusals) = &refusals {
                note_refusal(refusals, &response, method.as_str(), route);
            }
            let allowances = response.request().extensions().get::<Allowances>().cloned();
            let as_of = response.request().extensions_mut().remove::<AsOf>();
            if let Some(AsOf(as_of)) = as_of {
                response.headers_mut().insert(AS_OF.clone(), as_of);
            }
            guard(response.headers_mut(), echoed, secure, allowances);
            Ok(response)
        }
        // What no handler answered (it took too long) is answered here, where the request is gone.
        Err(error) => {
            let mut response = REQUEST_ID.sync_scope(request_id.clone(), || error.error_response());
            answered("-", response.status().as_u16());
            guard(response.headers_mut(), echoed, secure, None);
            Err(InternalError::from_response(error, response).into())
        }
    }
}

/// The headers that every answer carries.
fn guard(headers: &mut HeaderMap, request_id: HeaderValue, secure: bool, allowances: Option<Allowances>) {
    headers.insert(REQUEST_ID_HEADER.clone(), request_id);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if secure {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000; includeSubDomains"),
        );
    }
    if let Some(allowances) = allowances {
        let (policy, limit) = allowances.headers();
        for (name, value) in [(&RATE_LIMIT_POLICY, policy), (&RATE_LIMIT, limit)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name.clone(), value);
            }
        }
    }
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// Counts the answer if it refuses something to a caller who was recognised.
fn note_refusal(
    refusals: &Refusals,
    response: &ServiceResponse<impl MessageBody>,
    method: &str,
    route: &str,
) {
    let error = response.response().error();
    let Some(error) = error.and_then(|error| error.as_error::<ApiError>()) else {
        return;
    };
    let actor = response.request().extensions().get::<Actor>().copied();
    if let Some(actor) = actor {
        refusals.note(&actor, &format!("{method} {route}"), error);
    }
}

/// What a request must pass: its size, the cap of requests under way, the limit of its address where nobody has signed in
/// yet, and a deadline. Health and metrics always pass, so that an overloaded server can still be looked at.
pub async fn admit(
    gate: Gate,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, actix_web::Error> {
    let _place = match screen(&gate, &request) {
        Ok(place) => place,
        Err(refused) => {
            let refused = refused.error_response();
            return Ok(request.into_response(refused).map_into_right_body());
        }
    };
    let path = request.path();
    let answer = if is_health(path) || takes_its_time(path) {
        next.call(request).await
    } else {
        call_in_time(&gate.config, request, next).await
    };
    answer.map(ServiceResponse::map_into_left_body)
}

/// A place among the requests under way; none is needed where the server's health is asked for. What is refused is refused
/// before its body is read and its token verified: that is what keeps a flood cheap.
fn screen(gate: &Gate, request: &ServiceRequest) -> Result<Option<Place>, ApiError> {
    check_size(request)?;
    let path = request.path();
    if is_health(path) {
        return Ok(None);
    }
    let kind = Kind::of(request.method(), path);
    let shed = |what: &str| {
        gate.metrics.shed.with_label_values(&[kind.name()]).inc();
        ApiError::new(Code::Unavailable, what)
    };
    if is_recording(request.method(), path) && gate.recording.is_over() {
        return Err(shed("too many uploads at once"));
    }
    if let Some(standby) = &gate.standby {
        if !request.method().is_safe() {
            return Err(Standby::refusal());
        }
        let as_of = HeaderValue::try_from(standby.as_of()?).map_err(ApiError::internal)?;
        request.extensions_mut().insert(AsOf(as_of));
    }
    let place = gate
        .in_flight
        .enter(kind, gate.config.max_in_flight)
        .ok_or_else(|| shed("too many requests are under way"))?;
    if path.starts_with("/v1/auth/")
        && let Some(address) = client_address(request, &gate.config)
    {
        let mut noted = Allowances::default();
        let taken = gate.limits.take(&[Key::Address(address)], &mut noted);
        request.extensions_mut().insert(noted);
        taken?;
    }
    Ok(Some(place))
}

fn is_health(path: &str) -> bool {
    ["/healthz", "/readyz", "/metrics"].contains(&path)
}

/// The answer, or 503 when it takes too long, counted from when the body is there.
async fn call_in_time<B: MessageBody + 'static>(
    config: &Config,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let wait = if Kind::of(request.method(), request.path()) == Kind::Waiting {
        WAITING_DEADLINE
    } else {
        config.request_wait
    };
    let arrival = has_body(&request).then(Arrival::default);
    if let Some(arrival) = &arrival {
        request.extensions_mut().insert(arrival.clone());
    }
    let overdue = async {
        if let Some(arrival) = arrival {
            // Who reads no body has answered long before.
            let _ = tokio::time::timeout(config.body_wait, arrival.wait()).await;
        }
        tokio::time::sleep(wait).await;
    };
    tokio::select! {
        biased;
        answer = next.call(request) => answer,
        // A write goes on as a task of its own; its resend is answered as any resend.
        () = overdue => Err(ApiError::new(Code::Unavailable, "the request took too long").into()),
    }
}

fn has_body(request: &ServiceRequest) -> bool {
    let headers = request.headers();
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get(header::CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() != b"0")
}

fn check_size(request: &ServiceRequest) -> Result<(), ApiError> {
    let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if uri > MAX_URI {
        let detail = format!("path and query hold at most {MAX_URI} bytes");
        return Err(ApiError::new(Code::UriTooLong, detail));
    }
    let headers = request.headers();
    let size: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len().saturating_add(value.len()))
        .sum();
    if size > MAX_HEADERS || headers.iter().count() > MAX_HEADER_COUNT {
        let detail = format!("at most {MAX_HEADER_COUNT} headers of {MAX_HEADERS} bytes together are read");
        return Err(ApiError::new(Code::HeadersTooLarge, detail));
    }
    Ok(())
}

/// Whether what asked was one of our own proxies.
fn from_proxy(request: &ServiceRequest, config: &Config) -> bool {
    request
        .peer_addr()
        .is_some_and(|peer| is_trusted(peer.ip(), config))
}

fn is_trusted(address: IpAddr, config: &Config) -> bool {
    config
        .trusted_proxies
        .iter()
        .any(|net| net.contains(&address.to_canonical()))
}

/// Whether the client speaks TLS, to us or to a proxy of ours.
fn is_secure(request: &ServiceRequest, config: &Config) -> bool {
    let forwarded = || {
        request
            .headers()
            .get("x-forwarded-proto")
            .is_some_and(|proto| proto.as_bytes() == b"https")
    };
    config.tls.is_some() || (from_proxy(request, config) && forwarded())
}

/// The client's address: the peer's, or, if the peer is a proxy of ours, the last in `X-Forwarded-For` that is not one.
/// What strangers write there is ignored.
fn client_address(request: &ServiceRequest, config: &Config) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    if !is_trusted(peer, config) {
        return Some(peer);
    }
    let lines: Vec<&str> = request
        .headers()
        .get_all("x-forwarded-for")
        .filter_map(|value| value.to_str().ok())
        .collect();
    let hops = lines.iter().flat_map(|line| line.split(','));
    let hops: Vec<IpAddr> = hops.map_while(|hop| hop.trim().parse().ok()).collect();
    let stranger = hops.iter().rev().find(|hop| !is_trusted(**hop, config));
    Some(stranger.or(hops.first()).map_or(peer, IpAddr::to_canonical))
}

/// The client's id for the request if it is a sane one, else one of ours.
fn request_id_of(request: &ServiceRequest) -> String {
    let sent = request
        .headers()
        .get(&REQUEST_ID_HEADER)
        .and_then(|value| value.to_str().ok());
    match sent {
        Some(id)
            if (1..=128).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)) =>
        {
            id.to_owned()
        }
        _ => Uuid::new_v4().to_string(),
    }
}
