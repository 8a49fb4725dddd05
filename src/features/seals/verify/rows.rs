//! The rows that the journal seals beside visits, held against it.

use std::collections::HashMap;

use super::{MANY, Problem, Report, Walk};
use crate::features::seals::queries::rows::{misfits, older_rows, strangers, writes_of};
use crate::journal::StoredEntry;
use crate::platform::db::Tx;
use crate::platform::error::ApiError;

/// The form of entries whose digest is over rows.
const OVER_ROWS: i16 = 3;

impl Walk<'_> {
    /// Holds the versions that these entries wrote against their digests.
    pub(super) async fn check_rows(&mut self, tx: &mut Tx, entries: &[StoredEntry]) -> Result<(), ApiError> {
        let bound: Vec<&StoredEntry> = entries.iter().filter(|entry| entry.form == OVER_ROWS).collect();
        if bound.is_empty() {
            return Ok(());
        }
        let leaves: Vec<&[u8]> = bound.iter().map(|entry| entry.leaf_hash.as_slice()).collect();
        let mut writes: HashMap<Vec<u8>, (Vec<u8>, i64)> = HashMap::new();
        for row in writes_of(tx, &leaves).await? {
            writes.insert(row.leaf, (row.digest, row.versions));
        }
        for entry in bound {
            match writes.get(&entry.leaf_hash) {
                Some((digest, versions)) if *digest == entry.digest => self.report.rows += versions,
                Some(_) => self.problem(
                    Some(entry.number),
                    "the versions of rows that it made are not those of its digest",
                ),
                None => self.problem(Some(entry.number), "the versions of rows that it made are gone"),
            }
        }
        Ok(())
    }
}

/// Holds the rows themselves against the versions that were kept of them. Names the entry that wrote a row last.
pub(super) async fn check_stored(
    tx: &mut Tx,
    codes: &HashMap<i32, String>,
    report: &mut Report,
) -> Result<(), ApiError> {
    let most = i64::try_from(MANY).unwrap_or(i64::MAX);
    report.older_rows = older_rows(tx).await?;
    let mut found = misfits(tx, most).await?;
    found.extend(strangers(tx, most).await?);
    found.sort_by_key(|misfit| {
        (
            misfit.number.unwrap_or(i64::MAX),
            misfit.kind.clone(),
            misfit.id.clone(),
        )
    });
    for misfit in found.into_iter().take(MANY) {
        let code = misfit.state_id.and_then(|id| codes.get(&id.0));
        report.problems.push(Problem {
            state: code.cloned().unwrap_or_else(|| "rows".to_owned()),
            number: misfit.number,
            detail: format!("{} {} {}", misfit.kind, misfit.id, misfit.what),
        });
    }
    Ok(())
}
