//! Sign-off: who answers for a mandal signs its weeks, once they are over.
//!
//! Invariants: at most one signature holds for a mandal and week; reopening closes it with a reason, signing again adds
//! another, none is ever taken away. A visit belongs to the week of the day it counts on and to the mandal in which its
//! booth lay on that day. While the week is signed its author neither corrects nor voids it; what is received then is
//! stored and counted all the same, and shown as `late` (`visits`).
//!
//! Who may do what: `signoff.read` sees who has signed under a unit, `signoff.write` signs for a mandal,
//! `signoff.reopen`, which no mandal's own coordinator has, reopens.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod queries;
mod rules;
mod wire;

pub use queries::{is_signed, signed_places};

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::list_sign_offs)
        .service(api::sign_off_week)
        .service(api::get_sign_off)
        .service(api::reopen_sign_off);
}
