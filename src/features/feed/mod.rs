//! The feed: every change in the caller's scope, in order, at least once, none missed. For services and desks that follow
//! what happens; docs/feed.md is their guide.
//!
//! Who may: `feed.read` follows what happens at its units and all below them; a service gets ids, units and counts of what
//! concerns visits, households, units and campaigns, and no people's data. Of what it tells, an entry shows only what the
//! caller could read with the operation of that kind.
//!
//! Invariants: within a state, entries come in the order of their numbers and none is left out, since a number is final
//! once posted (`journal::read`); a cursor carries no authority; whoever waits holds no connection and no place among
//! the requests under way ([`Followers`]); whoever follows is asked for again at least every `follow::CHECK`.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod follow;
mod items;
mod places;
mod queries;
mod stream;
mod wire;

pub use items::{KINDS_FOR_SERVICES, items_for_programs};
pub use places::Followers;

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(stream::stream_feed).service(api::get_feed);
}
