//! Random audit draws: which visits are looked at a second time is left to chance that nobody chooses, and what is found
//! there accepts or rejects the work.
//!
//! Invariants: a request freezes what can be drawn and by which rules, and its digest stands in the journal before
//! anybody can know the seed, which is made from the first signed head that covers it; what is drawn follows from frame and
//! seed alone (`rules/select.rs`), so whoever has the record can make the draw anew; nothing of a request is ever
//! taken back, and a unit has one draw at a time for a campaign and period. A drawn visit is checked by somebody who neither
//! made it, nor is of its booth, nor signs in on the phone from which it came, and who is not told what it says. Of a drawn
//! visit one back-check counts, the first; what comes after the close is kept as `late` and counts nowhere. A closed draw
//! does not change. A back-check is no visit: it counts no door and no visit in any total.
//!
//! Who may do what: `draw.write` at the unit requests, seeds and closes; `draw.assign` gives visits to verifiers, who
//! need `back_check.write` from above the booth; `draw.read` sees draws and the audited totals; a verifier sees and
//! checks what he was given, whatever else he may do.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod check;
mod commitment;
mod fading;
mod queries;
mod rules;
mod wire;

pub use check::misfits_of_request;
pub use commitment::digest_of as digest_of_back_check;
pub use fading::fade_next;
pub use queries::{BackCheckRow, back_check_ids, back_checks_of};
pub use queries::{Checks, Span, checks_of};
pub use rules::plan::{Basis, Plan, Risks};
pub use rules::rate::Rate;

use std::collections::BTreeMap;

use diesel::QueryResult;

use crate::access::Permit;
use crate::platform::db::Tx;
use crate::platform::ids::UnitId;

/// The audited error rate of the permit's unit, by draws whose days lie in the span; `None` where nothing was
/// confirmed or refuted.
///
/// # Errors
/// What the database says.
pub async fn error_rate<A>(tx: &mut Tx, permit: &Permit<A>, span: Span) -> QueryResult<Option<Rate>> {
    let unit = queries::unit_of(tx, permit).await?;
    let rows = queries::audited(tx, vec![unit], span).await?;
    let groups: Vec<_> = rows
        .iter()
        .flat_map(|row| &row.groups)
        .map(queries::GroupRow::group)
        .collect();
    Ok(rules::rate::combined(&groups))
}

/// What draws found of a unit, for adding up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Audited {
    /// Back-checks that found something out.
    pub checked: i64,
    /// Those of them that refuted the visit.
    pub mismatched: i64,
    /// Visits that the draws with such checks could have drawn there.
    pub frame: f64,
    /// How many of these they would refute: each draw's share of mismatches, of what it could have drawn.
    pub refuted: f64,
}

/// What draws whose days lie in the span found in each of these units; units without a check are left out.
/// `refuted / frame` is the [`error_rate`].
///
/// # Errors
/// What the database says.
pub async fn audited_of_units<A>(
    tx: &mut Tx,
    _permit: &Permit<A>,
    units: &[UnitId],
    span: Span,
) -> QueryResult<BTreeMap<UnitId, Audited>> {
    let mut found: BTreeMap<UnitId, Audited> = BTreeMap::new();
    for row in queries::groups_of(tx, units, span).await? {
        let group = row.group();
        if group.checked > 0 && group.frame > 0 {
            let audited = found.entry(row.unit_id).or_default();
            audited.checked += i64::from(group.checked);
            audited.mismatched += i64::from(group.mismatched);
            audited.frame += f64::from(group.frame);
            audited.refuted +=
                f64::from(group.frame) * f64::from(group.mismatched) / f64::from(group.checked);
        }
    }
    Ok(found)
}

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::request::create_draw)
        .service(api::request::list_draws)
        .service(api::request::get_draw)
        .service(api::request::list_draw_frame)
        .service(api::seed::seed_draw)
        .service(api::assign::assign_draw)
        .service(api::close::close_draw)
        .service(api::back_checks::list_my_back_checks)
        .service(api::back_checks::record_back_check)
        .service(api::back_checks::list_back_checks)
        .service(api::audited::get_audited_totals)
        .service(api::audited::list_audited_children);
}
