//! Indicators of how workers, and booths, differ from their peers in the same mandal.
//!
//! Invariants: counted anew each time from the visits of booths that lie under the unit today; nothing is kept. Voided
//! visits are left out; rejected ones are not: an indicator tells what was recorded, not what counts. Under the least
//! sample there is no value, under the least number of peers no spread. What lies outside the unit that is asked about is
//! no peer, so that nothing outside the caller's grants shows. The cost is bounded: booths, days and age of what is asked
//! for are, and visits are found by booth, campaign and day. What each indicator is stands in `rules::INDICATORS` and, for
//! people, in docs/auditing.md.
//!
//! Who may do what: `audit_indicator.read` at the unit. An indicator accuses nobody: it tells where to look first.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod queries;
mod rules;
mod wire;

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::list_worker_indicators)
        .service(api::list_booth_indicators);
}
