//! Elections: results as published, seat by seat, and what they say of a party: where it won, where it lost and by how
//! much.
//!
//! Invariants: the results of a seat are those of the last file that named it, whole; places follow from the votes, NOTA
//! has none. A party is what its names point to, so that "BJP" and "Bharatiya Janata Party" are joined (and parted
//! again) without touching a result. *Deficit* is what a party lacked to the winner of a seat that it lost; *margin* is
//! what the winner had over the runner-up, whoever they were. The two are never called by one name.
//!
//! Who may: `election.read` sees the seats under his units; `election.import` imports results of seats in scope;
//! `election.write` at the nation names elections and joins the names of parties, which all states share.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod import;
mod queries;
mod rules;
mod wire;

pub use queries::{SeatFilter, find_election_id, find_party_id, matching_seats};

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::import::import_results)
        .service(api::list_elections)
        .service(api::get_election)
        .service(api::update_election)
        .service(api::seats::list_seats)
        .service(api::seats::get_seat)
        .service(api::parties::list_parties)
        .service(api::parties::add_party_name)
        .service(api::parties::part_party_name);
}
