//! Signing in: one-time codes, access tokens, rotating refresh tokens, devices.
//!
//! Invariants: only an active worker on the roster is sent a code, and everyone is answered the same; a try at a code is
//! committed before the code is compared; a code works once; a refresh token is used once and taken again only while its
//! successor was never used, since replies get lost; an older one ends the whole session; what is taken away is felt
//! by every process within seconds. No code, token or phone number is ever in a log or in the journal (the `console`
//! sender apart, which is for trying things out and says so).
//!
//! Who may do what: everyone may ask for a code and sign in; who is signed in sees and ends his own sessions.

use utoipa_actix_web::service_config::ServiceConfig;

mod admin;
mod api;
mod queries;
mod rules;
mod sender;
mod wire;

pub use admin::{create_admin, issue_token};
pub use sender::Sender;

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::request_code)
        .service(api::issue_token)
        .service(api::log_out)
        .service(api::list_devices)
        .service(api::revoke_device)
        .service(api::get_me)
        .service(api::get_keys);
}
