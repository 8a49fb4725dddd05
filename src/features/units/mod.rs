//! Units: both trees, dated placements, lineage on a day, import.

use utoipa_actix_web::service_config::ServiceConfig;

/// The routes.
pub fn routes(_config: &mut ServiceConfig<'_>) {}
