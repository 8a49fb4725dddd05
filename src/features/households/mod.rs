//! Households: the doors of a booth that can be visited. A label such as a house number, never a name.
//!
//! Who may do what: read with `household.read` at the booth, written with `household.write` there. The phone makes the id,
//! so a PUT can be sent again.
//!
//! Invariants: a household stays in its booth for ever, since visits and the doors reached are counted there; an id is
//! unique within its state; an id that is taken where the caller cannot see tells him only that it cannot be used;
//! no label holds a phone or identity number; whoever looks from above the mandal sees where a door is to three
//! decimals (about 100 m).

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod queries;
mod rules;
mod wire;

pub use api::add_household;
pub use queries::find_booths;
pub use rules::blur;
pub use wire::HouseholdSent;

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(api::list_households).service(api::put_household);
}
