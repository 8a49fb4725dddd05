//! What whoever holds the database's credentials may do from the command line: make the first administrator, and get an
//! access token for a worker.

use uuid::Uuid;

use super::queries::guards;
use super::queries::{NewCode, begin_session, lock_by_phone, make_admin, nation, replace_code};
use super::rules::{self, CodeKind};
use super::wire::DeviceSent;
use crate::access::tokens::LIFE;
use crate::access::{KeyRing, Strength};
use crate::features::workers::is_phone;
use crate::journal::{Actor, Digest, Entry, Record};
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code};
use crate::platform::ids::{DeviceId, SessionId, WorkerId};
use crate::platform::wall::SIGN_IN;

/// Makes a worker national administrator, putting him on the roster if he is not there. Doing it again changes nothing.
///
/// # Errors
/// 422 for a bad phone or name, 409 if no nation has been imported.
pub async fn create_admin(db: &Db, clock: &Clock, phone: &str, name: &str) -> Result<WorkerId, ApiError> {
    if !is_phone(phone) {
        return Err(ApiError::field(
            "/phone",
            "not_a_phone",
            "must be an E.164 number such as +919812345678",
        ));
    }
    let mut errors = crate::platform::validate::FieldErrors::default();
    errors.text("/name", name, 1, 200);
    if !errors.0.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let (now, today) = (clock.now(), clock.today());
    let (phone, name, data_keys) = (phone.to_owned(), name.to_owned(), db.keys().clone());
    db.write(&Actor::program(now), async move |tx| {
        let nation_id = nation(tx).await?.ok_or_else(|| {
            ApiError::new(
                Code::Conflict,
                "there is no nation yet: import the units first (sampark import units FILE…)",
            )
        })?;
        let (id, changed) = make_admin(tx, &data_keys, nation_id, &phone, &name, now, today).await?;
        let digest = Digest::of(&(id, "national_admin"));
        let entry = Entry::new(nation_id, nation_id, "worker.create_admin", "worker", digest).of_ids([id.0]);
        Ok((id, if changed { entry.into() } else { Record::nothing() }))
    })
    .await
}

/// An access token for an active worker, in a session of its own on the device "command line".
///
/// # Errors
/// 404 if nobody active has this number.
pub async fn issue_token(db: &Db, clock: &Clock, keys: &KeyRing, phone: &str) -> Result<String, ApiError> {
    let now = clock.now();
    let (phone, data_keys) = (phone.to_owned(), db.keys().clone());
    let (worker_id, session_id): (WorkerId, SessionId) = db
        .write(&Actor::program(now), async move |tx| {
            let worker = lock_by_phone(tx, &data_keys, &phone)
                .await?
                .ok_or_else(|| ApiError::new(Code::NotFound, "no active worker has this number"))?;
            let device = DeviceSent {
                id: DeviceId(Uuid::new_v4()),
                name: Some("command line".to_owned()),
                platform: None,
                app_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            };
            let (session_id, _) =
                begin_session(tx, &worker, &device, Strength::Program, now, now + LIFE).await?;
            let digest = Digest::of(&(worker.id, session_id));
            let entry = Entry::new(
                worker.state_id,
                worker.unit_id,
                "session.begin",
                "session",
                digest,
            )
            .of_ids([worker.id.0])
            .of_uuids([session_id.0]);
            Ok(((worker.id, session_id), entry.into()))
        })
        .await?;
    keys.sign(worker_id, session_id, now)
}

/// A code that whoever runs the server reads out to a worker: how the first administrator sets up his second factor.
///
/// # Errors
/// 404 if nobody active has this number.
pub async fn read_out_code(db: &Db, clock: &Clock, keys: &KeyRing, phone: &str) -> Result<String, ApiError> {
    let now = clock.now();
    let (phone, data_keys) = (phone.to_owned(), db.keys().clone());
    let code = rules::new_read_out_code()?;
    let id = Uuid::new_v4();
    let new = NewCode {
        id,
        hash: rules::code_hash(keys.code_keys(now).writes(), id, None, &code),
        kind: CodeKind::ReadOut,
        device_id: None,
        given_by: None,
        created_at: now,
        expires_at: now + rules::READ_OUT_LIFE,
    };
    db.write(&Actor::program(now), async move |tx| {
        let worker = lock_by_phone(tx, &data_keys, &phone)
            .await?
            .ok_or_else(|| ApiError::new(Code::NotFound, "no active worker has this number"))?;
        replace_code(tx, worker.id, &new).await?;
        let digest = Digest::of(&(worker.id, id));
        let entry = Entry::new(
            worker.state_id,
            worker.unit_id,
            "session.read_out_code",
            "session",
            digest,
        )
        .of_ids([worker.id.0])
        .of_uuids([id]);
        Ok(((), entry.into()))
    })
    .await?;
    Ok(code)
}

/// Second factors sealed anew in one transaction.
const STEP: i64 = 500;

/// What became of second factors that were to be sealed anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Workers whose second factor an older key had sealed.
    pub anew: usize,
    /// Workers whose second factor no key opens, from a key that was lost or replaced by hand: they must set it up again.
    pub lost: usize,
}

/// Seals every second factor anew that an older key sealed. What anybody knows stays the same, so the walk is journalled
/// once, at its end.
///
/// # Errors
/// What the database says; what was done before stays done.
pub async fn reseal_factors(db: &Db, clock: &Clock, keys: &KeyRing) -> Result<Resealed, ApiError> {
    let (db, mut done, mut after) = (db.as_program(&SIGN_IN), Resealed::default(), Some(WorkerId(0)));
    while let Some(from) = after {
        let (now, before) = (clock.now(), done);
        let keys = keys.code_keys(now);
        let step = async move |tx: &mut Tx| {
            let factors = guards::lock_factors(tx, from, STEP).await?;
            let last = factors.last().map(|factor| factor.worker_id);
            let (mut all, mut changed) = (before, Vec::new());
            for mut factor in factors {
                let (mut anew, mut lost) = (false, false);
                for kept in [&mut factor.sealed, &mut factor.pending].into_iter().flatten() {
                    if !rules::opens_factor(&keys, factor.worker_id, kept) {
                        lost = true;
                    } else if let Some(sealed) = rules::reseal_factor(&keys, factor.worker_id, kept)? {
                        (*kept, anew) = (sealed, true);
                    }
                }
                all.lost = all.lost.saturating_add(usize::from(lost));
                if anew {
                    changed.push(factor);
                }
            }
            guards::keep_factors(tx, &changed).await?;
            all.anew = all.anew.saturating_add(changed.len());
            let record = match (last, nation(tx).await?) {
                (None, Some(nation_id)) => {
                    let digest = Digest::of(&(all.anew, all.lost));
                    Entry::new(nation_id, nation_id, "data.reseal", "second_factor", digest).into()
                }
                _ => Record::nothing(),
            };
            Ok(((last, all), record))
        };
        (after, done) = db.write_long(&Actor::program(now), step).await?;
    }
    Ok(done)
}
