//! Visits: one attempt at one door each, recorded by phones that lose their network.
//!
//! Invariants: a visit answered 2xx is committed; the phone's id and the digest of what it sent tell a resend from a
//! conflict; a bad item of a batch is answered by itself; a wrong clock is flagged and never refused; what the author says
//! to a flag is sealed like a note and changes nothing else; a correction adds a version, moves the totals and lets a verdict fall, a void takes the visit out of every figure but `voided`, a
//! rejection out of every figure but `rejected`; once its week is signed its author changes it no more, and what comes
//! then is stored all the same and shown as `late`; a door counts once a campaign, on the day of its earliest live contact.
//!
//! Who may do what: `visit.record` in the booth as it lay on the day of the visit, by a grant that held on that day or
//! holds today; everyone sees his own; `visit.read` sees all under the unit; the author corrects his own where he still
//! could record it, `visit.correct` anyone's; `visit.answer_own` answers the flags of one's own; `visit.void` voids;
//! `visit.export` exports, which is journalled before the first visit is given, and `journal.read` sees who exported what.
//! Notes and answers to flags are for the author and the mandal, and coordinates are coarse above it (`sight`).
//!
//! The recorder (`recorder`) is the hot path: it writes the visits of all requests that wait at the same moment in one
//! transaction.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod commitment;
mod csv;
mod doors;
mod queries;
mod recorder;
mod retention;
mod rules;
mod sight;
mod voids;
mod wire;

pub use api::change::reply;
pub use api::read::find as find_visit;
pub use api::read::read_visits;
pub use api::readable;
pub use commitment::{VisitPart, commitment, digest_of, digest_of_answer, erase_part, erased_parts};
pub use doors::{Change, move_counts};
pub use queries::answers::{
    AnswerRow, FlagAnswer, SealedAnswers, answer_names, answers_as_stored, open_answers, reseal_flag_answers,
};
pub use queries::changes::{find_many_visible, lock_visits, set_reviews};
pub use queries::sealing::{VersionKey, reseal_notes, reseal_old_notes, seal_waiting};
pub use queries::versions::{VersionRow, version_names, versions_of};
pub use queries::{SealedRow, Visible, VisitKey, VisitRow, few_booths, open_note};
pub(crate) use queries::{flag_answers, visit_columns, visit_late};
pub use recorder::Recorder;
pub use retention::fade_next;
pub use rules::Fading;
pub use sight::{Sight, show_all};
pub use voids::{restore_visits, void_visits};
pub use wire::{FlagView, Outcome, Review, VisitSent, VisitView, flag_views};

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::record::record_visit)
        .service(api::record::record_batch)
        .service(api::export::export_visits)
        .service(api::exports::list_exports)
        .service(api::read::list_visits)
        .service(api::read::get_visit)
        .service(api::read::list_versions)
        .service(api::change::correct_visit)
        .service(api::change::void_visit)
        .service(api::answer::answer_flag);
}
