pub mod answer;
pub mod change;
pub mod export;
pub mod exports;
pub mod read;
pub mod record;

use super::queries::Visible;
use crate::access::actions::{UnitRead, VisitRead, VisitReadOwn};
use crate::access::policy::{permit, refusal, scope};
use crate::access::{Caller, Permit, Scope, actions::Action};
use crate::platform::db::Tx;
use crate::platform::error::ApiError;
use crate::platform::ids::UnitId;

/// What the caller may read: all visits in the scope of `visit.read`, and his own.
pub fn readable(caller: &Caller) -> Option<Visible> {
    let scope = scope::<VisitRead>(caller).ok();
    let own = caller.may(VisitReadOwn::ACTION).then(|| caller.worker_id());
    if scope.is_none() && own.is_none() {
        return None;
    }
    let roots = scope.as_ref().map_or(&[][..], Scope::roots).to_vec();
    Some(Visible {
        roots,
        own,
        today: caller.today(),
    })
}

fn may_read_none(caller: &Caller) -> ApiError {
    refusal(caller, VisitRead::ACTION)
}

/// Units named in a filter must be ones that the caller may see, like those in a path.
async fn check_units(tx: &mut Tx, caller: &Caller, units: [Option<UnitId>; 2]) -> Result<(), ApiError> {
    for unit_id in units.into_iter().flatten() {
        let _: Permit<UnitRead> = permit(tx, caller, unit_id).await?;
    }
    Ok(())
}
