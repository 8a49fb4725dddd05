//! The one builder of the application: state, routes, middleware. `main` and the tests both use it.

use std::net::TcpListener;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actix_cors::Cors;
use actix_web::body::MessageBody;
use actix_web::dev::{ResourceDef, Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Compress, Condition, from_fn};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use utoipa::openapi::OpenApi;
use utoipa_actix_web::AppExt;

use self::edge::Gate;
use self::places::InFlight;
use crate::access::refusals::Refusals;
use crate::access::{Access, KeyRing, Watch};
use crate::docs;
use crate::features;
use crate::features::bulk_voids::start_undoing;
use crate::features::cadre::start_recounting;
use crate::features::feed::Followers;
use crate::features::measures::start_measuring;
use crate::features::privacy::{self, start_retaining};
use crate::features::refusals::start_keeping;
use crate::features::sessions::{self, Outbox, Sender};
use crate::features::strength::start_grading;
use crate::features::tasks::start_closing;
use crate::features::visits::Recorder;
use crate::features::webhooks::{self, Deliverer};
use crate::journal::{Poster, SealKeys};
use crate::platform::background::Background;
use crate::platform::clock::Clock;
use crate::platform::config::{Config, TlsFiles};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{BEGIN_WAIT, Db};
use crate::platform::durability;
use crate::platform::error::{ApiError, Code};
use crate::platform::limits::Limits;
use crate::platform::standby::Standby;
use crate::platform::telemetry::Metrics;

mod contract;
pub mod edge;
pub mod places;

/// What the handlers share. One a process.
#[derive(Clone, Debug)]
pub struct State {
    pub config: Arc<Config>,
    pub db: Db,
    pub clock: Clock,
    pub access: Access,
    pub metrics: Metrics,
    pub recorder: Recorder,
    pub seals: SealKeys,
    pub outbox: Outbox,
    pub limits: Limits,
    pub in_flight: InFlight,
    /// Known once it is started; `None` on a database that takes writes.
    pub standby: Option<Standby>,
    pub followers: Followers,
    pub refusals: Refusals,
}

impl State {
    /// Connects the parts; starts nothing.
    ///
    /// # Errors
    /// If a part cannot be made.
    pub fn new(
        config: Config,
        database_url: &str,
        clock: Clock,
        keys: KeyRing,
        data_keys: DataKeys,
    ) -> Result<Self, ApiError> {
        let db = Db::new(database_url, config.pool_size, data_keys)?.with_begin_wait(config.database_wait);
        let metrics = Metrics::new().map_err(ApiError::internal)?;
        let access = Access::new(db.clone(), clock.clone(), Arc::new(keys));
        let recorder = Recorder::start(&db, &clock);
        let limits = Limits::new(config.rates, &clock);
        let followers = Followers::new(&db);
        let seals = SealKeys::new(&config.data_dir, &config.seal_key_files);
        Ok(Self {
            config: Arc::new(config),
            db,
            clock,
            access,
            metrics,
            recorder,
            seals,
            outbox: Outbox::default(),
            limits,
            in_flight: InFlight::default(),
            standby: None,
            followers,
            refusals: Refusals::default(),
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

    /// Starts what delivers to webhooks.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start_deliverer(&self) -> Result<Deliverer, ApiError> {
        Deliverer::start(&self.config, &self.db, &self.clock, &self.metrics).map_err(ApiError::internal)
    }
}

/// The OpenAPI document, collected from the handlers that are served.
#[must_use]
pub fn openapi() -> OpenApi {
    let (_, mut document) = App::new()
        .into_utoipa_app()
        .openapi(features::document())
        .configure(features::routes)
        .split_for_parts();
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            contract::add_common_problems(operation);
        }
    }
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
const DOCUMENT_PATH: &str = "/openapi.json";

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
    let pages = docs::PAGES.into_iter().chain([DOCUMENT_PATH]);
    let pages = pages.map(|path| (ResourceDef::new(path), "GET, HEAD".to_owned()));
    methods.chain(pages).collect()
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
    let (metrics, observing) = (state.metrics.clone(), state.config.clone());
    let gate = Gate {
        in_flight: state.in_flight.clone(),
        recording: state.recorder.load().clone(),
        standby: state.standby.clone(),
        config: state.config.clone(),
        limits: state.limits.clone(),
        metrics: state.metrics.clone(),
    };
    // On a standby nothing can be kept, so nothing may pile up.
    let refusals = state.standby.is_none().then(|| state.refusals.clone());
    App::new()
        .wrap(Compress::default())
        .wrap(from_fn(move |request, next| {
            edge::admit(gate.clone(), request, next)
        }))
        .wrap(Condition::new(
            !state.config.cors_origins.is_empty(),
            cors(&state.config),
        ))
        .wrap(from_fn(move |request, next| {
            edge::observe(
                metrics.clone(),
                observing.clone(),
                refusals.clone(),
                request,
                next,
            )
        }))
        .app_data(web::Data::new(state.limits.clone()))
        .app_data(web::Data::new(state.outbox))
        .app_data(web::Data::from(state.config))
        .app_data(web::Data::new(state.db))
        .app_data(web::Data::new(state.clock))
        .app_data(web::Data::new(state.access))
        .app_data(web::Data::new(state.metrics))
        .app_data(web::Data::new(state.recorder))
        .app_data(web::Data::new(state.followers))
        .app_data(web::Data::new(state.refusals))
        .app_data(web::Data::new(state.seals))
        .into_utoipa_app()
        .configure(features::routes)
        .into_app()
        .service(docs::page_at(DOCUMENT_PATH).to(serve_document))
        .configure(docs::routes)
        .default_service(web::to(nothing_here))
}

/// Only the listed origins may read answers in a browser; without a list this is not wrapped at all.
fn cors(config: &Config) -> Cors {
    let mut cors = Cors::default()
        .allowed_methods(["GET", "POST", "PUT", "PATCH", "DELETE"])
        .allowed_headers([
            "authorization",
            "content-type",
            "if-match",
            "if-none-match",
            "idempotency-key",
            "last-event-id",
            "x-request-id",
        ])
        .expose_headers([
            "etag",
            "location",
            "retry-after",
            "ratelimit",
            "ratelimit-policy",
            "sampark-as-of",
            "x-request-id",
        ])
        .max_age(600);
    for origin in &config.cors_origins {
        cors = cors.allowed_origin(origin);
    }
    cors
}

/// The certificate and its key, for whoever wants no proxy in front.
fn tls_of(files: &TlsFiles) -> Result<rustls::ServerConfig, ApiError> {
    let named = |file: &std::path::Path, error: &dyn std::fmt::Display| {
        ApiError::internal(format!("{}: {error}", file.display()))
    };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| named(&files.cert, &error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| named(&files.key, &error))?;
    rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| named(&files.cert, &error))
}

/// A server at work, with its background tasks.
#[expect(missing_debug_implementations, reason = "the server has none")]
pub struct Running {
    pub server: Server,
    pub watch: Watch,
    pub followers: Followers,
    /// `None` on a standby, where nothing can be written.
    tasks: Option<Tasks>,
}

/// What works by itself, beside the requests.
struct Tasks {
    poster: Poster,
    sender: Sender,
    deliverer: Deliverer,
    /// Those that need nothing but the database and the time.
    others: Vec<Background>,
}

/// Seals what is not sealed yet, starts the background tasks and serves on a listener. The database is migrated. On a
/// standby it serves reads alone.
///
/// # Errors
/// If the listener cannot be used.
pub async fn start(state: &State, listener: TcpListener) -> Result<Running, ApiError> {
    durability::check(state.db.url(), state.config.durability).await?;
    let patient = state.db.clone().with_begin_wait(BEGIN_WAIT);
    let mut shared = state.clone();
    shared.standby = Standby::find(&patient, &state.clock, state.config.standby_lag).await?;
    let watch = Watch::start(&state.access);
    let tasks = if shared.standby.is_some() {
        tracing::warn!(
            "the database is a standby: reads are answered, with the instant as of which they are true"
        );
        None
    } else {
        privacy::seal_waiting(&patient, &state.clock).await?;
        Some(Tasks::start(state)?)
    };
    let mut server = HttpServer::new(move || build(shared.clone()))
        .shutdown_timeout(8)
        .client_request_timeout(Duration::from_secs(5))
        .keep_alive(Duration::from_secs(75))
        // An answer that is compressed as it is written goes out in parts; the last would wait for a phone's delayed ACK.
        .tcp_nodelay(true)
        .disable_signals();
    if let Some(workers) = state.config.workers {
        server = server.workers(workers);
    }
    let server = match &state.config.tls {
        Some(files) => server.listen_rustls_0_23(listener, tls_of(files)?),
        None => server.listen(listener),
    };
    let server = server.map_err(ApiError::internal)?.run();
    Ok(Running {
        server,
        watch,
        followers: state.followers.clone(),
        tasks,
    })
}

impl Tasks {
    fn start(state: &State) -> Result<Self, ApiError> {
        // A server that could not seal what it records says so before it records anything.
        state
            .seals
            .loaded(state.clock.now())
            .map_err(ApiError::internal)?;
        sessions::warn(&state.config.otp_sender);
        webhooks::warn(&state.config);
        let (db, clock) = (&state.db, &state.clock);
        Ok(Self {
            sender: state.start_sender()?,
            poster: Poster::start(db, clock, &state.metrics, &state.seals),
            deliverer: state.start_deliverer()?,
            others: vec![
                start_undoing(db, clock),
                start_retaining(db, clock),
                start_keeping(db, clock, &state.refusals),
                start_recounting(db, clock),
                start_grading(db, clock),
                start_measuring(db, clock),
                start_closing(db, clock),
            ],
        })
    }

    /// Ends them; what the requests left is posted.
    async fn stop(self) {
        for task in self.others {
            task.stop().await;
        }
        self.sender.stop().await;
        self.deliverer.stop().await;
        self.poster.stop().await;
    }
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
        // Whoever waits for news is answered now.
        self.followers.tail.close();
        handle.stop(true).await;
        let done = server.await.map_err(std::io::Error::other)?;
        self.watch.stop().await;
        if let Some(tasks) = self.tasks {
            tasks.stop().await;
        }
        done
    }
}

async fn serve_document() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(DOCUMENT.as_str())
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
