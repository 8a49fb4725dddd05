//! A new data key, while the server serves: everything is sealed anew under it, a step at a time, and the old key goes
//! when nothing needs it any more.
//!
//! Whoever reads meets what the new key sealed at any time and looks at the file again; whoever writes may use the old
//! one until he does. So the caller waits between [`crate::platform::data_keys::DataKeys::add_version`] and this until
//! every server has looked at the file.

use crate::features::contacts;
use crate::features::visits;
use crate::features::webhooks;
use crate::features::workers;
use crate::journal::answers::reseal_answers;
use crate::journal::{Actor, Digest, Entry, Record};
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Tx};
use crate::platform::error::ApiError;
use crate::platform::ids::{ContactId, UnitId, WorkerId};
use crate::platform::wall::SEALING;

use super::queries::{nation, versions_in_use};

/// Rows that a step looks at.
const STEP: i64 = 500;

/// Where a walk over everything that is sealed has come.
#[derive(Clone, Debug)]
enum Place {
    Workers(Option<WorkerId>),
    Contacts(Option<(UnitId, ContactId)>),
    Visits(Option<visits::VisitKey>),
    OldVisits(Option<visits::VersionKey>),
    FlagAnswers(Option<visits::VersionKey>),
    Webhooks(Option<uuid::Uuid>),
    Answers(Option<(WorkerId, String)>),
    End,
}

/// Seals everything anew that an older key sealed.
///
/// # Errors
/// What the database says, or something that no key opens; what was done before stays done.
pub async fn reseal_all(db: &Db, clock: &Clock) -> Result<(), ApiError> {
    let db = db.as_program(&SEALING);
    let mut place = Place::Workers(None);
    while !matches!(place, Place::End) {
        let (keys, from) = (db.keys().clone(), place.clone());
        let step = async move |tx: &mut Tx| {
            let next = match from.clone() {
                Place::Workers(after) => match workers::reseal_phones(tx, &keys, after, STEP).await? {
                    None => Place::Contacts(None),
                    last => Place::Workers(last),
                },
                Place::Contacts(after) => match contacts::reseal_phones(tx, &keys, after, STEP).await? {
                    None => Place::Visits(None),
                    last => Place::Contacts(last),
                },
                Place::Visits(after) => match visits::reseal_notes(tx, &keys, after, STEP).await? {
                    None => Place::OldVisits(None),
                    last => Place::Visits(last),
                },
                Place::OldVisits(after) => match visits::reseal_old_notes(tx, &keys, after, STEP).await? {
                    None => Place::FlagAnswers(None),
                    last => Place::OldVisits(last),
                },
                Place::FlagAnswers(after) => {
                    match visits::reseal_flag_answers(tx, &keys, after, STEP).await? {
                        None => Place::Webhooks(None),
                        last => Place::FlagAnswers(last),
                    }
                }
                Place::Webhooks(after) => match webhooks::reseal_secrets(tx, &keys, after, STEP).await? {
                    None => Place::Answers(None),
                    last => Place::Webhooks(last),
                },
                Place::Answers(after) => match reseal_answers(tx, &keys, after, STEP).await? {
                    None => Place::End,
                    last => Place::Answers(last),
                },
                Place::End => Place::End,
            };
            // What anything says is the same as before: the walk is journalled once, at its end.
            let record = match (&next, nation(tx).await?) {
                (Place::End, Some(nation_id)) => {
                    let digest = Digest::of(&keys.active());
                    Entry::new(nation_id, nation_id, "data.reseal", "data_key", digest)
                        .of_ids([i32::from(keys.active())])
                        .into()
                }
                _ => Record::nothing(),
            };
            Ok((next, record))
        };
        place = db.write_long(&Actor::program(clock.now()), step).await?;
    }
    Ok(())
}

/// Drops the keys that nothing needs any more; returns which. Call after [`reseal_all`].
///
/// # Errors
/// What the database says, or if the file cannot be written.
pub async fn drop_unused(db: &Db) -> Result<Vec<u16>, ApiError> {
    let db = db.as_program(&SEALING);
    let used = db.read_long(async |tx| Ok(versions_in_use(tx).await?)).await?;
    db.keys().drop_unused(&used).map_err(ApiError::internal)
}
