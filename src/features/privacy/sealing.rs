//! Sealing what was stored before phones and notes were sealed. The migration leaves it in two tables of its own, since
//! the database has no key; the program empties them when it starts, step by step, before it serves.

use diesel::QueryResult;

use super::queries::nation;
use crate::features::visits;
use crate::features::workers;
use crate::journal::{Actor, Digest, Entry, Record};
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Tx};
use crate::platform::error::ApiError;
use crate::platform::wall::SEALING;

/// Rows sealed in one transaction.
const STEP: i64 = 1000;

/// Seals everything that waits; nothing if nothing does. Interrupted, it goes on where it stopped.
///
/// # Errors
/// What the database says.
pub async fn seal_waiting(db: &Db, clock: &Clock) -> Result<(), ApiError> {
    let db = db.as_program(&SEALING);
    let mut sealed = 0_usize;
    loop {
        let keys = db.keys().clone();
        let step = async move |tx: &mut Tx| {
            let workers = workers::seal_waiting(tx, &keys, STEP).await?;
            let visits = visits::seal_waiting(tx, &keys, STEP).await?;
            let done = workers.len().saturating_add(visits.len());
            let mut record = Record::nothing();
            if !workers.is_empty() {
                let ids = workers.iter().map(|id| id.0).collect();
                record.entries.push(entry(tx, "worker", ids, Vec::new()).await?);
            }
            if !visits.is_empty() {
                let ids = visits.iter().map(|(_, id)| id.0).collect();
                record.entries.push(entry(tx, "visit", Vec::new(), ids).await?);
            }
            Ok((done, record))
        };
        match db.write_long(&Actor::program(clock.now()), step).await? {
            0 => break,
            done => sealed = sealed.saturating_add(done),
        }
    }
    if sealed > 0 {
        tracing::info!(sealed, "phones and notes of before were sealed");
    }
    Ok(())
}

async fn entry(
    tx: &mut Tx,
    subject: &'static str,
    subject_ids: Vec<i32>,
    subject_uuids: Vec<uuid::Uuid>,
) -> QueryResult<Entry> {
    // Whoever stands on a roster stands under a nation.
    let nation_id = nation(tx).await?.ok_or(diesel::result::Error::NotFound)?;
    let digest = Digest::of(&(&subject_ids, &subject_uuids));
    Ok(Entry::new(nation_id, nation_id, "data.seal", subject, digest)
        .of_ids(subject_ids)
        .of_uuids(subject_uuids))
}
