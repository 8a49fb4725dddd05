//! Workers and their grants.

use utoipa_actix_web::service_config::ServiceConfig;

/// The routes.
pub fn routes(_config: &mut ServiceConfig<'_>) {}
