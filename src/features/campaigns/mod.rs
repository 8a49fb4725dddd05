//! Campaigns and their versioned questions.

use utoipa_actix_web::service_config::ServiceConfig;

/// The routes.
pub fn routes(_config: &mut ServiceConfig<'_>) {}
