//! Letting go of what back-checks were told, when the campaign's content goes. Findings and evidence stay.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::commitment::faded_salts;
use super::queries::{fade, fading};
use crate::journal::{Digest, Entry, Record};
use crate::platform::db::Tx;
use crate::platform::error::ApiError;
use crate::platform::ids::{CampaignId, UnitId};

/// Lets go of the next back-checks of a campaign received by an instant; returns how many were touched, less than `limit`
/// at the end, and what is to be journalled.
///
/// # Errors
/// What the database says.
pub async fn fade_next(
    tx: &mut Tx,
    campaign_id: CampaignId,
    received_by: DateTime<Utc>,
    limit: i64,
) -> Result<(usize, Record), ApiError> {
    let mut rows = fading(tx, campaign_id, received_by, limit).await?;
    if rows.is_empty() {
        return Ok((0, Record::nothing()));
    }
    let mut states: BTreeMap<UnitId, Vec<(Uuid, UnitId)>> = BTreeMap::new();
    for row in &mut rows {
        row.salts = faded_salts(row).ok_or_else(|| ApiError::internal("a back-check has no salts"))?;
        states
            .entry(row.state_id)
            .or_default()
            .push((row.id, row.booth_id));
    }
    fade(tx, &rows).await?;
    let entries = states.into_iter().map(|(state_id, checks)| {
        let ids: Vec<Uuid> = checks.iter().map(|(id, _)| *id).collect();
        Entry::new(
            state_id,
            state_id,
            "back_check.fade",
            "back_check",
            Digest::of(&ids),
        )
        .at_units(checks.into_iter().map(|(_, booth_id)| booth_id))
        .of_uuids(ids)
    });
    let record = Record {
        entries: entries.collect(),
        tallies: Vec::new(),
    };
    Ok((rows.len(), record))
}
