//! Privacy: what is kept of people is sealed, kept as long as it is needed, and shown, corrected and erased on request.
//!
//! Invariants: no phone and no note stands in the database in the plain once the program has started on it; what is over
//! is let go by a job whose every step is bounded, journalled and can be interrupted; totals and seals stay valid. A
//! worker who asks for erasure is shut out at once, his number and name are shown to nobody, and a year later destroyed.
//!
//! Who may do what: everyone sees, corrects and has erased what is held of himself; of citizens, see `contacts`.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod erasures;
mod queries;
mod retention;
mod rotation;
mod sealing;
mod wire;

pub use erasures::{Erasures, KeepError, keep_erasures, read_erasures, replay_erasures};
pub use retention::{Retained, retain, start_retaining};
pub use rotation::{drop_unused, reseal_all};
pub use sealing::seal_waiting;

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::get_my_data)
        .service(api::correct_my_data)
        .service(api::erase_me);
}
