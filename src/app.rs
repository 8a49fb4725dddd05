//! The one builder of the application: state, routes, middleware. `main` and the tests both use it.

use std::net::TcpListener;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ResourceDef, Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, header};
use actix_web::middleware::{Compress, Next, from_fn};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use utoipa::openapi::OpenApi;
use utoipa_actix_web::AppExt;
use uuid::Uuid;

use crate::access::{Access, KeyRing, Watch};
use crate::docs;
use crate::features;
use crate::features::sessions::{self, Outbox, Sender};
use crate::features::visits::Recorder;
use crate::journal::Poster;
use crate::platform::clock::Clock;
use crate::platform::config::Config;
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Code, REQUEST_ID};
use crate::platform::migrations;
use crate::platform::telemetry::Metrics;

/// What the handlers share. One a process.
#[derive(Clone, Debug)]
pub struct State {
    pub config: Arc<Config>,
    pub db: Db,
    pub clock: Clock,
    pub access: Access,
    pub metrics: Metrics,
    pub recorder: Recorder,
    pub outbox: Outbox,
}

impl State {
    /// Connects the parts; starts nothing.
    ///
    /// # Errors
    /// If a part cannot be made.
    pub fn new(config: Config, database_url: &str, clock: Clock, keys: KeyRing) -> Result<Self, ApiError> {
        let db = Db::new(database_url, config.pool_size)?;
        let metrics = Metrics::new().map_err(ApiError::internal)?;
        let access = Access::new(db.clone(), clock.clone(), Arc::new(keys));
        let recorder = Recorder::start(&db, &clock);
        Ok(Self {
            config: Arc::new(config),
            db,
            clock,
            access,
            metrics,
            recorder,
            outbox: Outbox::default(),
        })
    }
}

impl State {
    /// Starts what sends one-time codes.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start_sender(&self) -> Result<Sender, ApiError> {
        Sender::start(&self.config, &self.db, &self.access, &self.metrics, &self.outbox)
            .map_err(ApiError::internal)
    }
}

/// The OpenAPI document, collected from the handlers that are served.
#[must_use]
pub fn openapi() -> OpenApi {
    let (_, document) = App::new()
        .into_utoipa_app()
        .openapi(features::document())
        .configure(features::routes)
        .split_for_parts();
    document
}

/// The document as served and as checked in.
#[must_use]
pub fn openapi_json() -> String {
    let mut text = serde_json::to_string_pretty(&openapi()).unwrap_or_default();
    text.push('\n');
    text
}

static DOCUMENT: LazyLock<String> = LazyLock::new(openapi_json);

/// Which methods each path serves, for 405 and its `Allow`.
static METHODS: LazyLock<Vec<(ResourceDef, String)>> = LazyLock::new(|| {
    let document = openapi();
    let methods = document.paths.paths.iter().map(|(path, item)| {
        let served = [
            ("GET", item.get.is_some()),
            ("POST", item.post.is_some()),
            ("PUT", item.put.is_some()),
            ("PATCH", item.patch.is_some()),
            ("DELETE", item.delete.is_some()),
        ];
        let served: Vec<&str> = served
            .iter()
            .filter(|(_, is)| *is)
            .map(|(method, _)| *method)
            .collect();
        (ResourceDef::new(path.as_str()), served.join(", "))
    });
    methods.collect()
});

/// Builds the application.
pub fn build(
    state: State,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let metrics = state.metrics.clone();
    App::new()
        .wrap(Compress::default())
        .wrap(from_fn(move |request, next| {
            observe(metrics.clone(), request, next)
        }))
        .app_data(web::Data::new(state.outbox))
        .app_data(web::Data::from(state.config))
        .app_data(web::Data::new(state.db))
        .app_data(web::Data::new(state.clock))
        .app_data(web::Data::new(state.access))
        .app_data(web::Data::new(state.metrics))
        .app_data(web::Data::new(state.recorder))
        .into_utoipa_app()
        .configure(features::routes)
        .into_app()
        .route("/openapi.json", web::get().to(serve_document))
        .configure(docs::routes)
        .default_service(web::to(nothing_here))
}

/// A server at work, with its background tasks.
#[expect(missing_debug_implementations, reason = "the server has none")]
pub struct Running {
    pub server: Server,
    pub poster: Poster,
    pub watch: Watch,
    pub sender: Sender,
}

/// Migrates, starts the background tasks and serves on a listener.
///
/// # Errors
/// If the database cannot be migrated or the listener not used.
pub async fn start(state: &State, listener: TcpListener) -> Result<Running, ApiError> {
    migrations::run(state.db.url()).await?;
    sessions::warn(&state.config.otp_sender);
    let sender = state.start_sender()?;
    let poster = Poster::start(&state.db, &state.clock, &state.metrics);
    let watch = Watch::start(&state.access);
    let shared = state.clone();
    let mut server = HttpServer::new(move || build(shared.clone()))
        .shutdown_timeout(8)
        .client_request_timeout(Duration::from_secs(5))
        .keep_alive(Duration::from_secs(75))
        .disable_signals();
    if let Some(workers) = state.config.workers {
        server = server.workers(workers);
    }
    let server = server.listen(listener).map_err(ApiError::internal)?.run();
    Ok(Running {
        server,
        poster,
        watch,
        sender,
    })
}

impl Running {
    /// Serves until `stop` is done, then finishes the requests in flight, posts what they left and returns.
    ///
    /// # Errors
    /// If the server fails.
    pub async fn until(self, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let handle = self.server.handle();
        let server = actix_web::rt::spawn(self.server);
        stop.await;
        tracing::info!("stopping: requests in flight are finished, new ones refused");
        handle.stop(true).await;
        let done = server.await.map_err(std::io::Error::other)?;
        self.sender.stop().await;
        self.watch.stop().await;
        self.poster.stop().await;
        done
    }
}

async fn serve_document(request: HttpRequest) -> HttpResponse {
    if request.method() == Method::GET || request.method() == Method::HEAD {
        HttpResponse::Ok()
            .content_type("application/json")
            .body(DOCUMENT.as_str())
    } else {
        HttpResponse::MethodNotAllowed().finish()
    }
}

async fn nothing_here(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    match METHODS
        .iter()
        .find(|(pattern, _)| pattern.is_match(request.path()))
    {
        Some((_, methods)) => {
            let detail = format!("{} is not served here", request.method());
            Err(ApiError::new(Code::MethodNotAllowed, detail).with_allow(methods.clone()))
        }
        None => Err(ApiError::not_found()),
    }
}

static REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Around every request: its id, its log line, its metric, the headers that every answer carries.
async fn observe(
    metrics: Metrics,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let started = Instant::now();
    let request_id = request_id_of(&request);
    let method = request.method().clone();
    let echoed = HeaderValue::from_str(&request_id).unwrap_or(HeaderValue::from_static("-"));
    let mut response = REQUEST_ID.scope(request_id.clone(), next.call(request)).await?;
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
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID_HEADER.clone(), echoed);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
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
