//! Visits: recorded once, corrected by versions, voided, exported.

use utoipa_actix_web::service_config::ServiceConfig;

/// The routes.
pub fn routes(_config: &mut ServiceConfig<'_>) {}
