//! Signing in: one-time codes, access tokens, rotating refresh tokens, devices.
//!
//! Codes leave through an outbox (`sender`), so that no request waits for a gateway. Who coordinates needs a second
//! factor besides: without one a session gives what field workers may do, no more. The first password app is set up in a
//! session that began with a code which somebody above read out, so that a stolen number is never enough.
//!
//! Invariants: only an active worker on the roster is sent a code, and everyone is answered the same; a try at a code is
//! committed before the code is compared; a code works once; a refresh token is used once and taken again only while its
//! successor was never used, since replies get lost; an older one ends the whole session; what is taken away is felt
//! by every process within seconds. No code, token or phone number is ever in a log or in the journal (the `console`
//! sender apart, which is for trying things out and says so).
//!
//! Who may do what: everyone may ask for a code and sign in; who is signed in sees and ends his own sessions; who may
//! change a worker (`worker.write` and power over all his roles) helps him: reads out a code, unlocks him, takes away a
//! lost second factor, ends his sessions.

use utoipa_actix_web::service_config::ServiceConfig;

mod admin;
mod api;
mod queries;
mod rules;
mod sender;
mod wire;

pub use admin::{Resealed, create_admin, issue_token, read_out_code, reseal_factors};
pub use sender::{Outbox, Sender, warn};

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::codes::request_code)
        .service(api::issue_token)
        .service(api::log_out)
        .service(api::list_devices)
        .service(api::revoke_device)
        .service(api::log_out_everywhere)
        .service(api::second_factor::create_second_factor)
        .service(api::second_factor::confirm_second_factor)
        .service(api::help::read_out_code)
        .service(api::help::unlock_worker)
        .service(api::help::reset_second_factor)
        .service(api::help::end_worker_sessions)
        .service(api::get_me)
        .service(api::get_keys);
}
