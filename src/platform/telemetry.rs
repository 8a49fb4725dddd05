//! Logs and metrics. Neither ever holds a phone number, a code, a token, a note, coordinates or answers.

use std::io::IsTerminal;

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};
use tracing::Level;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use super::config::{Config, LogFormat};
use super::log_writer::{LogWriter, lost_lines};

/// Starts logging to standard error. A second call changes nothing.
///
/// Whatever the filter asks for, other crates say nothing below `info`: they would log the values that they are handed
/// (tokio-postgres every parameter of every statement), and those are what must not be logged.
pub fn init_logging(config: &Config) {
    let filter = EnvFilter::try_new(&config.log_filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let format = config.log_format.unwrap_or(if terminal {
        LogFormat::Pretty
    } else {
        LogFormat::Json
    });
    let ours = filter_fn(|said| said.target().starts_with("sampark") || *said.level() <= Level::INFO);
    let lines = fmt::layer().with_writer(LogWriter::to_stderr());
    let lines = match format {
        LogFormat::Pretty => lines.with_target(false).with_ansi(terminal).compact().boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(ours)
        .with(lines)
        .try_init();
}

/// What is counted, for `/metrics`.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// Seconds a request took, by method, route and status.
    pub requests: HistogramVec,
    /// Visits by what became of them: created, duplicate, conflict, rejected.
    pub visits: IntCounterVec,
    /// One-time codes by what became of them: sent, failed and unreadable (tried again), refused.
    pub codes: IntCounterVec,
    /// Whether the gateway of codes is left alone because it fails.
    pub code_breaker_open: IntGauge,
    /// Codes and one-time passwords that were wrong.
    pub wrong_codes: prometheus::IntCounter,
    /// Batches sent to webhooks by what became of them: delivered, failed (tried again), dead.
    pub webhooks: IntCounterVec,
    /// Journal entries not yet numbered, as last seen by the poster.
    pub unposted: IntGauge,
    /// Unix time of the poster's last success.
    pub posted_at: IntGauge,
    /// Connections to the database, open and free.
    pub connections: prometheus::IntGaugeVec,
    /// Requests refused because too much was under way, by kind.
    pub shed: IntCounterVec,
    lost_lines: IntGauge,
}

impl Metrics {
    /// A registry of our own, so that two applications in one process (tests) do not mix.
    ///
    /// # Errors
    /// If a metric is defined twice.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let buckets = vec![
            0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
        ];
        let requests = HistogramVec::new(
            HistogramOpts::new("sampark_http_request_seconds", "Time to answer a request.").buckets(buckets),
            &["method", "route", "status"],
        )?;
        let visits = IntCounterVec::new(
            Opts::new("sampark_visits_total", "Visits received, by what became of them."),
            &["status"],
        )?;
        let codes = IntCounterVec::new(
            Opts::new("sampark_codes_total", "One-time codes, by what became of them."),
            &["result"],
        )?;
        let code_breaker_open = IntGauge::new(
            "sampark_code_breaker_open",
            "Whether the gateway of one-time codes is left alone because it fails (1) or not (0).",
        )?;
        let wrong_codes = prometheus::IntCounter::new(
            "sampark_wrong_codes_total",
            "One-time codes and passwords that were wrong.",
        )?;
        let webhooks = IntCounterVec::new(
            Opts::new(
                "sampark_webhook_deliveries_total",
                "Tries to deliver a batch to a webhook, by what became of them: delivered, failed (tried again), dead (a dead letter).",
            ),
            &["result"],
        )?;
        registry.register(Box::new(webhooks.clone()))?;
        registry.register(Box::new(codes.clone()))?;
        registry.register(Box::new(code_breaker_open.clone()))?;
        registry.register(Box::new(wrong_codes.clone()))?;
        let unposted = IntGauge::new(
            "sampark_journal_unposted_entries",
            "Journal entries not yet numbered.",
        )?;
        let posted_at = IntGauge::new(
            "sampark_journal_posted_timestamp_seconds",
            "When the poster last succeeded.",
        )?;
        let connections = prometheus::IntGaugeVec::new(
            Opts::new("sampark_database_connections", "Connections to the database."),
            &["state"],
        )?;
        let shed = IntCounterVec::new(
            Opts::new(
                "sampark_http_shed_total",
                "Requests refused because too much was under way, by kind.",
            ),
            &["kind"],
        )?;
        let lost_lines = IntGauge::new(
            "sampark_log_lines_lost",
            "Log lines since the start that could not be written.",
        )?;
        registry.register(Box::new(shed.clone()))?;
        registry.register(Box::new(lost_lines.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(visits.clone()))?;
        registry.register(Box::new(unposted.clone()))?;
        registry.register(Box::new(posted_at.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        Ok(Self {
            registry,
            requests,
            visits,
            codes,
            code_breaker_open,
            wrong_codes,
            webhooks,
            unposted,
            posted_at,
            connections,
            shed,
            lost_lines,
        })
    }

    /// The Prometheus text format.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        self.lost_lines
            .set(i64::try_from(lost_lines()).unwrap_or(i64::MAX));
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }
}
