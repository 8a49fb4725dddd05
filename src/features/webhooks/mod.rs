//! Webhooks: what happens under a unit, sent to another program's address, signed; docs/feed.md tells the receiver's side.
//!
//! Who may: `webhook.write` at the unit that answers for it registers, changes and deletes; `webhook.read` looks. Whoever
//! registers must hold `feed.read` there. It is told what the feed tells services: ids, units and counts, no people's data.
//!
//! Invariants: one process at a time delivers to a webhook (a lease), batches in order and each at least once under one
//! `webhook-id`; a batch is stored with the cursor behind it, so that none is lost; a connection is made only to an
//! address that was checked (`address`), never to whatever a name resolves to a moment later, and no redirect is
//! followed; secrets are kept sealed; no URL and no secret comes into a log or the journal.

use utoipa_actix_web::service_config::ServiceConfig;

mod address;
mod api;
mod deliverer;
mod outgoing;
mod queries;
mod rules;
mod wire;

pub use deliverer::{Deliverer, warn};
pub use queries::reseal_secrets;

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::list_webhooks)
        .service(api::create_webhook)
        .service(api::get_webhook)
        .service(api::update_webhook)
        .service(api::delete_webhook)
        .service(api::create_secret)
        .service(api::list_dead_letters)
        .service(api::replay_dead_letters);
}
