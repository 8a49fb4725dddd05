//! Cadre: who holds which post, what a booth's committee must have and has, and what has become of entrants.
//!
//! A post is a grant: its named office (`president`), or the role itself where none is named. A rule of the state (or the
//! nation, or a campaign there) says which posts a booth's committee has and how many of each. A post is *held* when an
//! active worker's grant holds that day, and *confirmed* when he said so himself, in a session that began with a code sent
//! to his own number after the post began: a committee all of whose posts are held is `named`, and `complete` only when
//! all are confirmed. So committees that stand on paper alone can be told.
//!
//! Invariants: a post's days are never rewritten, so its history and its holders' can be told; a rule is never changed, a
//! newer version follows it; what a unit has = `cadre_tallies` + what changed since, counted anew in the same snapshot,
//! and equals a recount of the grants. Triggers note what changed (`recount` counts it); no write waits for a count.
//!
//! Who may do what: `post.read` at a unit reads its posts and counts and those below; everyone reads and confirms his own
//! posts; `committee.write` at a state or the nation makes rules. Every write is journalled: `post.confirm`,
//! `committee.rule`.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod queries;
mod recount;
mod rules;
mod wire;

pub use queries::counts::{CadreAsk, CadreCounts, cadre_counts};
pub use recount::{recount_all, start_recounting};

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::posts::list_worker_posts)
        .service(api::posts::list_unit_posts)
        .service(api::posts::list_my_posts)
        .service(api::posts::confirm_post)
        .service(api::committees::get_committees)
        .service(api::committees::list_committees)
        .service(api::committees::list_vacancies)
        .service(api::rules::list_committee_rules)
        .service(api::rules::make_committee_rule)
        .service(api::entrants::count_entrants)
        .service(api::entrants::list_entrants);
}
