//! Services: other programs that read, registered with fixed actions at fixed units (OAuth 2.0 client credentials).
//!
//! Invariants: a service reads and never writes; it may do no more than whoever registered it could, and nobody makes a secret of one that
//! may do more than he; its secret is shown
//! once and kept as Argon2id; two secrets may be live, so that one is replaced without a gap; a token ends with the
//! secret that got it. Its tokens have an audience of their own and are taken on the routes that say so (`service` under
//! `security`), never on a person's, nor a person's where only a service belongs.
//!
//! Who may do what: `service.read` and `service.write` at the unit that answers for it.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod queries;
mod rules;
mod wire;

pub use api::sign_in;

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::list_services)
        .service(api::create_service)
        .service(api::get_service)
        .service(api::update_service)
        .service(api::create_secret)
        .service(api::revoke_secret);
}
