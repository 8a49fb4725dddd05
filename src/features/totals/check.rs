//! Counting anew and comparing, for requests and for the program's own verification.

use super::queries::{self, DayRow, Period};
use super::rules;
use crate::access::actions::TotalsCheck;
use crate::access::policy::Permit;
use crate::platform::db::Tx;
use crate::platform::error::ApiError;

/// Where a unit's figures differ from a recount of all its visits, or its sums to date from its days, in words; empty if
/// nowhere.
///
/// # Errors
/// What the database says.
pub async fn differences_of(tx: &mut Tx, permit: &Permit<TotalsCheck>) -> Result<Vec<String>, ApiError> {
    let period = Period {
        campaign_id: None,
        from: None,
        to: None,
    };
    let (live, recount) = both(tx, permit, period).await?;
    let differences = rules::differences(&live, &recount).into_iter().map(|difference| {
        format!(
            "{} of campaign {} on {}: the ledger says {}, the visits {}",
            difference.figure, difference.campaign_id, difference.day, difference.live, difference.recount
        )
    });
    let mut told: Vec<String> = differences.collect();
    let roots = queries::roots(tx, permit).await?;
    for row in queries::days_less_to_date(tx, permit, &roots).await? {
        let differing = row.counters.named().into_iter().filter(|(_, more)| *more != 0);
        told.extend(differing.map(|(figure, more)| {
            format!(
                "{figure} of campaign {}: the days of the ledger have {more} more than its sum to date",
                row.campaign_id
            )
        }));
    }
    Ok(told)
}

/// The figures as the ledgers have them and as counted anew, in the transaction's snapshot.
pub async fn both(
    tx: &mut Tx,
    permit: &Permit<TotalsCheck>,
    period: Period,
) -> Result<(Vec<DayRow>, Vec<DayRow>), ApiError> {
    let roots = queries::roots(tx, permit).await?;
    let live = queries::figures(tx, permit, &roots, period).await?;
    let recount = queries::recount(tx, permit, &roots, period).await?;
    Ok((live, recount))
}
