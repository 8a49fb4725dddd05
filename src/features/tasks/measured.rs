//! Tasks that an indicator meets: which units met them is said by `measures`, and counted here as reports are.

use super::queries::measured::{ChargedRow, begin_met, end_met};
use super::rules::counters_of;
use super::wire::standing::Status;
use crate::access::Permit;
use crate::access::actions::TaskWrite;
use crate::journal::work::append;
use crate::journal::{WorkCounters, WorkTally};
use crate::platform::db::Tx;
use crate::platform::error::ApiError;
use crate::platform::ids::{TaskId, UnitId};

/// Which units came to meet a task and which to meet it no longer, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    pub met: Vec<UnitId>,
    pub unmet: Vec<UnitId>,
}

/// Lets some units meet a task and others no longer, and counts it; what it did, which may be less: another may have found
/// the same. The lineages of their states must be held.
///
/// # Errors
/// What the database says.
pub async fn settle_met(
    tx: &mut Tx,
    permit: &Permit<TaskWrite>,
    id: TaskId,
    met: &[UnitId],
    unmet: &[UnitId],
) -> Result<Settled, ApiError> {
    let one = counters_of(Some(Status::Verified.as_str()));
    let begun = begin_met(tx, permit, id, met).await?;
    let ended = end_met(tx, permit, id, unmet).await?;
    let none = WorkCounters::default();
    let ids = |rows: &[ChargedRow]| rows.iter().map(|row| row.unit_id).collect();
    let settled = Settled {
        met: ids(&begun),
        unmet: ids(&ended),
    };
    let tallies: Vec<WorkTally> = begun
        .into_iter()
        .map(|row| tally(id, row, one))
        .chain(ended.into_iter().map(|row| tally(id, row, none - one)))
        .collect();
    append(tx, &tallies).await?;
    Ok(settled)
}

fn tally(task_id: TaskId, row: ChargedRow, counters: WorkCounters) -> WorkTally {
    WorkTally {
        state_id: row.state_id,
        task_id,
        unit_id: row.unit_id,
        unit_ids: row.unit_ids,
        counters,
    }
}
