//! Strength: every booth graded A to D by a rule over indicators, every mandal by its booths, and which states have risen.
//!
//! The rule is data: indicators of the catalogue with a weight and the value that earns it in full, over the visits of so
//! many days back. A booth's score is the share of the weights that it earns; what cannot be told (no doors known, no
//! committee wanted) is left out on both sides. A mandal's score is the mean of its booths'. The grade follows from the
//! score by the rule's bounds.
//!
//! Invariants: a rule is never changed, a newer version follows it; a grading is made every night and when asked, in steps of
//! bounded size, by the rule with which it began, and goes on where it stopped; what it finds waits beside what is shown and
//! takes its place as a whole, in one write; every change of a grade is kept, the loss of one among them; what a report
//! counts equals a count of the grades and their changes.
//!
//! Who may do what: `strength.read` at a unit reads the grades at and under it; `strength.rule` at a state or the nation
//! makes rules; `strength.grade` there has it graded now. Journalled: `strength.rule`, `strength.request`, and
//! `strength.grade` for every grading of a state that was done.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod grader;
mod queries;
mod rules;
mod wire;

pub use grader::{grade_all, start_grading};

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::get_strength)
        .service(api::list_grade_changes)
        .service(api::get_grade_history)
        .service(api::request_grading)
        .service(api::rules::list_strength_rules)
        .service(api::rules::make_strength_rule);
}
