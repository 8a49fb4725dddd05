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
    #[schema(example = "ready")]
    pub status: &'static str,
    /// Whether the database answers and its schema is this program's.
    #[schema(example = true)]
    pub migrated: bool,
    /// Journal entries that the poster has not yet numbered.
    #[schema(example = 0)]
    pub unposted_entries: i64,
    /// Age of the oldest of them, in seconds.
    #[schema(example = 0.0)]
    pub poster_lag_s: f64,
}
