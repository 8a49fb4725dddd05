//! Units: the nodes of the organisation, their dated places in the two trees that share the booth, their lineages.
//!
//! Invariants:
//! * The order of levels is never broken and no unit leaves its state (`rules`), so no cycle can be made.
//! * A unit has at most one parent a tree and day. Its first placement holds since ever: every day has one lineage.
//! * `lineages` is derived from the placements in the transaction that changes them, the units of a subtree level by level.
//! * What was counted stays equal to a recount along the dated lineages: a move whose day has counted visits behind it
//!   charges the units that its booths join and leave in the same transaction. Movers hold the state's lineages alone,
//!   whoever counts visits (or hangs new units) holds them shared ([`LINEAGE_LOCK`]).
//!
//! Who may: `unit.read` opens the units of one's grants and all under them; what lies above is told by name in the lineage
//! of one's own units, and is 404 otherwise. `unit.write` at the unit and at the parent changes and places; `unit.import`
//! imports within one's grants. Every change is journalled: `unit.create`, `unit.update`, `unit.place`, `unit.import`.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
pub mod import;
mod queries;
mod rules;
mod wire;

pub use api::read_units;
pub use queries::lineages::{Hold, LINEAGE_LOCK, hold_lineages};
pub use queries::states_of;
pub use rules::{Level, Tree, may_lie_under};
pub use wire::{UnitImportView, UnitView};

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::list_units)
        .service(api::create_unit)
        .service(api::get_unit)
        .service(api::update_unit)
        .service(api::place_unit)
        .service(api::get_unit_lineage)
        .service(api::import::import_units);
}
