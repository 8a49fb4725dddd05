//! Sync: all that a phone needs to work a whole day without a network, and after that only what changed.
//!
//! A phone sends the cursor of its last answer and gets a page of what differs between what it then had and what it
//! should have now. The server keeps nothing about phones: the cursor holds, in a few bytes an item, what the phone has
//! (`cursor::Known`), so a request may be sent again, its reply may get lost, and any process can answer it.
//!
//! * Small kinds (grants, units, campaigns, tasks) are compared item by item with the cursor, whatever made them differ: a change, a
//!   move, a grant, or a day that came.
//! * Households are compared booth by booth; which of a booth changed is named by the journal, posted or not. A change that
//!   the journal does not name sends the booth whole.
//! * The worker's own visits of the last `rules::VISIT_DAYS` days are compared day by day; a day that differs is sent whole.
//!
//! Invariants: a page is one snapshot; when an answer says that nothing is left (`has_more` false), a phone that applied
//! all pages in order holds what a fresh phone would get, and `hashes` tells it so; a cursor carries no authority, every
//! page is cut to the caller's grants of today.
//!
//! A phone that names its visits is given their receipts with the page (`seals`).
//!
//! Who may do what: `sync.read`, which every role that records has; what is given is what these roles may read anyway.
//! More than `rules::MAX_BOOTHS` booths are not for a phone: 422 `scope_too_wide`.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod cursor;
mod now;
mod queries;
mod round;
mod rules;
mod wire;

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(api::sync);
}
