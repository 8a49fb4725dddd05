//! Health: whether the program lives, whether it can serve, what it has counted; and what each problem code means.
//!
//! Open to all; tells nothing about people. `/healthz` never touches the database; `/readyz` does.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod queries;
mod wire;

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::get_health)
        .service(api::get_readiness)
        .service(api::get_metrics)
        .service(api::get_problem);
}
