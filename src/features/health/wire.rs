use serde::Serialize;

/// Alive.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct HealthView {
    #[schema(example = "alive")]
    pub status: &'static str,
    #[schema(example = "0.1.0")]
    pub version: &'static str,
}

/// Whether requests can be served.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ReadinessView {
    /// `ready`, or `read_only` when nothing can be stored just now: reads are served, writes are answered 503.
    #[schema(example = "ready")]
    pub status: &'static str,
    /// Whether the database answers and its schema is this program's.
    #[schema(example = true)]
    pub migrated: bool,
    /// The newest migration that the database has had.
    #[schema(example = "20261125080100")]
    pub schema_version: Option<String>,
    /// Whether a commit reached the disk of the database when it was tried a moment ago.
    #[schema(example = true)]
    pub writable: bool,
    /// Journal entries that the poster has not yet numbered.
    #[schema(example = 0)]
    pub unposted_entries: i64,
    /// Age of the oldest of them, in seconds.
    #[schema(example = 0.0)]
    pub poster_lag_s: f64,
}
