//! Reviews: what coordinators say of visits, and the queue of those that wait for a word.
//!
//! Invariants: verdicts are appended and say who judged which version of the visit, and when; the one that counts stands
//! in `visits.review`, and the totals move in the same write. A rejected visit leaves every figure but `rejected`, its
//! door with it. A verdict makes no version of the visit, so that a correction under way is not in vain; a correction
//! lets the verdict fall and the visit waits again. A rejected visit is not its author's to correct. Undoing is a verdict
//! too: `unreviewed`. A voided visit is not judged.
//!
//! The queue goes by doubt (the weights of the flags, see `visit_doubt` in the migration), then by day and id. A page
//! begins after the last visit of the page before, so verdicts given meanwhile neither skip a visit nor repeat one.
//!
//! Who may do what: `review.write` in the booth judges and takes back; nobody his own visits, nor those that were
//! uploaded from a phone on which he signs in. `visit.read` sees the queue. The author sees the verdicts on his own.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod judge;
mod queries;
mod wire;

pub use judge::digest_of_reviews;
pub use queries::{ReviewRow, list_verdicts, present_verdicts, reviews_of};

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::list_review_queue)
        .service(api::review_visit)
        .service(api::undo_review)
        .service(api::list_visit_reviews)
        .service(api::review_visits);
}
