//! Totals: exact at once at every level.

use utoipa_actix_web::service_config::ServiceConfig;

/// The routes.
pub fn routes(_config: &mut ServiceConfig<'_>) {}
