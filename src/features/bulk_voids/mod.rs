//! Undo in bulk: all visits of a worker, a phone, an upload or a period under a unit are voided by one order, and brought
//! back if the order was wrong.
//!
//! Invariants: the list is fixed when the order is given; it is gone through in steps of at most 200 visits, each one
//! transaction by the rules of a single void, so that totals, doors and journal are exact after each; a visit that
//! somebody voided meanwhile is passed over; taking back touches just those visits that the order voided and nobody has
//! changed since, and is open for 30 days. A step is taken by one process at a time, and what was interrupted goes on
//! from where it stood.
//!
//! Who may do what: `visit.void` at the unit orders, cancels and takes back; `visit.read` there looks. As with one visit,
//! nobody voids his own in a week that is signed: such visits are not on the list. An order stands once it is given, like
//! a single void, whatever becomes of the orderer's grants; whoever may void there can stop it.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod queries;
mod rules;
mod steps;
mod wire;

pub use steps::{start_undoing, take_step};

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::list_bulk_voids)
        .service(api::start_bulk_void)
        .service(api::get_bulk_void)
        .service(api::cancel_bulk_void)
        .service(api::take_back_bulk_void);
}
