//! The edge: what every request passes before a handler sees it, and every answer on its way out.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix_web::HttpMessage;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use uuid::Uuid;

use crate::platform::config::Config;
use crate::platform::error::{ApiError, Code, REQUEST_ID};
use crate::platform::limits::{Allowances, Key, Limits};
use crate::platform::telemetry::Metrics;
use crate::platform::wall;

/// The longest path with its query, in bytes.
const MAX_URI: usize = 8 * 1024;
/// All headers together, in bytes; and how many.
const MAX_HEADERS: usize = 32 * 1024;
const MAX_HEADER_COUNT: usize = 64;
/// The longest that a request may take, its body's arrival included. Exports and imports take as long as they do.
const DEADLINE: Duration = Duration::from_secs(30);

static REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The longest that a request may take that waits for news.
const WAITING_DEADLINE: Duration = Duration::from_secs(45);

/// Requests under way in this process. Those that wait for news are counted apart, so that they take no place from the
/// others, nor the others from them.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    requests: Arc<AtomicUsize>,
    waiting: Arc<AtomicUsize>,
}

/// Counts a request for as long as it lives.
struct Place(Arc<AtomicUsize>);

impl InFlight {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    fn enter(&self, waits: bool, most: usize) -> Option<Place> {
        let counter = if waits { &self.waiting } else { &self.requests };
        let place = Place(counter.clone());
        (counter.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Around every request: its id, its log line, its metric, the headers that every answer carries.
pub async fn observe(
    metrics: Metrics,
    config: Arc<Config>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let started = Instant::now();
    let request_id = request_id_of(&request);
    let method = request.method().clone();
    let secure = is_secure(&request, &config);
    let echoed = HeaderValue::from_str(&request_id).unwrap_or(HeaderValue::from_static("-"));
    let answering = wall::around(next.call(request));
    let mut response = REQUEST_ID.scope(request_id.clone(), answering).await?;
    let route = response
        .request()
        .match_pattern()
        .unwrap_or_else(|| "-".to_owned());
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    metrics
        .requests
        .with_label_values(&[method.as_str(), &route, &status.to_string()])
        .observe(elapsed.as_secs_f64());
    tracing::debug!(request_id, %method, route, status, micros = elapsed.as_micros(), "answered");
    let allowances = response.request().extensions().get::<Allowances>().cloned();
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID_HEADER.clone(), echoed);
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
    Ok(response)
}

/// What a request must pass: its size, the cap of requests under way, the limit of its address where nobody has signed in
/// yet, and a deadline. Health and metrics always pass, so that an overloaded server can still be looked at.
pub async fn admit(
    in_flight: InFlight,
    config: Arc<Config>,
    limits: Limits,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    check_size(&request)?;
    let path = request.path();
    if ["/healthz", "/readyz", "/metrics"].contains(&path) {
        return next.call(request).await;
    }
    let waits = path.starts_with("/v1/feed");
    let Some(_place) = in_flight.enter(waits, config.max_in_flight) else {
        return Err(
            ApiError::new(Code::Unavailable, "too many requests are under way")
                .with_retry_after(1)
                .into(),
        );
    };
    if path.starts_with("/v1/auth/")
        && let Some(address) = client_address(&request, &config)
    {
        let mut noted = Allowances::default();
        let taken = limits.take(&[Key::Address(address)], &mut noted);
        request.extensions_mut().insert(noted);
        taken?;
    }
    let unbounded =
        path.starts_with("/v1/imports/") || path.ends_with("/export") || path.contains("/totals/");
    if unbounded {
        return next.call(request).await;
    }
    let deadline = if waits { WAITING_DEADLINE } else { DEADLINE };
    match tokio::time::timeout(deadline, next.call(request)).await {
        Ok(answer) => answer,
        // A write goes on as a task of its own; its resend is answered as any resend.
        Err(late) => Err(ApiError::unavailable("the request took too long", late).into()),
    }
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
