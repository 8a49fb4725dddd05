//! Token > live worker: the first argument of every handler that is not open to all.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use chrono::NaiveDate;
use quick_cache::sync::Cache;
use secrecy::{ExposeSecret, SecretString};

use super::actions::ActionName;
use super::keyring::KeyRing;
use super::live::{LiveSession, Strength, live_service, live_session};
use super::policy::Grant;
use super::roles::Role;
use super::tokens::{Audience, Claims, check_times};
use crate::journal::{Actor, Digest};
use crate::platform::clock::Clock;
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Code};
use crate::platform::ids::{SessionId, UnitId, WorkerId};
use crate::platform::limits::{Allowances, Key, Limits};
use crate::platform::wall;

/// For how long what was read is believed without hearing that nothing changed. With the watch at work that is heard
/// every second; without it, sessions are read again this often. Either way it bounds how late a revocation is felt.
pub(super) const BELIEVED: Duration = Duration::from_secs(3);
/// Tokens and sessions remembered at most; about 300 bytes each.
const REMEMBERED: usize = 50_000;

/// What is needed to recognise a caller. One a process, shared.
#[derive(Clone)]
pub struct Access {
    db: Db,
    clock: Clock,
    keys: Arc<KeyRing>,
    /// Signatures checked before, by the SHA-256 of the token: verifying one costs as much as storing a visit.
    verified: Arc<Cache<[u8; 32], Arc<Claims>>>,
    sessions: Arc<Cache<SessionId, Remembered>>,
    /// Counts what was forgotten: a session that was being read meanwhile is not remembered.
    changes: Arc<AtomicU64>,
    /// Up to when the watch has heard of every change.
    confirmed: Arc<Mutex<Option<Instant>>>,
}

#[derive(Clone)]
struct Remembered {
    session: Arc<LiveSession>,
    read_at: Instant,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Recognises callers by tokens signed with these keys.
    #[must_use]
    pub fn new(db: Db, clock: Clock, keys: Arc<KeyRing>) -> Self {
        Self {
            db: db.as_program(&wall::ACCESS),
            clock,
            keys,
            verified: Arc::new(Cache::new(REMEMBERED)),
            sessions: Arc::new(Cache::new(REMEMBERED)),
            changes: Arc::new(AtomicU64::new(0)),
            confirmed: Arc::new(Mutex::new(None)),
        }
    }

    /// The signing keys.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// The clock.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The database.
    pub(super) const fn db(&self) -> &Db {
        &self.db
    }

    /// Call after a change to grants, workers or sessions is committed: this process then believes nothing that it
    /// read before. Other processes feel it when their watch next looks.
    pub fn forget(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.sessions.clear();
    }

    /// The same for what concerns these workers alone.
    pub fn forget_workers(&self, workers: &[WorkerId]) {
        if workers.is_empty() {
            return;
        }
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.sessions
            .retain(|_, held| !workers.contains(&held.session.worker_id));
    }

    /// The watch has heard of every change up to this instant.
    pub(super) fn confirm(&self, at: Instant) {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// Looks at the signing keys again. Tokens of a key that is gone are no longer believed.
    pub(super) async fn reload_keys(&self) -> std::io::Result<()> {
        let keys = self.keys.clone();
        let before: Vec<String> = keys.keys().iter().map(|key| key.kid.clone()).collect();
        tokio::task::spawn_blocking(move || keys.reload())
            .await
            .map_err(std::io::Error::other)??;
        if before.iter().any(|kid| self.keys.find(kid).is_none()) {
            self.verified.clear();
        }
        Ok(())
    }

    /// Who holds this token, if it is valid, for one of these audiences, and his session live.
    ///
    /// # Errors
    /// 401, or 503 when the database cannot be had.
    pub async fn recognise(&self, token: &str, accepted: &[Audience]) -> Result<Caller, ApiError> {
        let now = self.clock.now();
        let key = Digest::of_bytes(token.as_bytes()).0;
        let claims = match self.verified.get(&key) {
            Some(claims) => {
                check_times(&claims, now)?;
                claims
            }
            None => {
                let claims = Arc::new(self.keys.verify(token, now)?);
                self.verified.insert(key, claims.clone());
                claims
            }
        };
        if !accepted.contains(&claims.audience()) {
            return Err(ApiError::new(
                Code::Unauthenticated,
                "the access token is not for this route",
            ));
        }
        let session = self.session(&claims).await?;
        let is_worker = claims.audience() == Audience::People;
        let actor = Actor {
            worker_id: is_worker.then_some(session.worker_id),
            device_id: is_worker.then_some(session.device_id),
            at: now,
        };
        Ok(Caller {
            actor,
            worker_id: session.worker_id,
            session_id: claims.sid,
            session,
            today: self.clock.day_of(now),
        })
    }

    async fn session(&self, claims: &Claims) -> Result<Arc<LiveSession>, ApiError> {
        let ended = || ApiError::new(Code::Unauthenticated, "the session has ended; sign in again");
        let now = self.clock.now();
        let worker_id = match claims.audience() {
            Audience::People => claims.worker_id().ok_or_else(ended)?,
            Audience::Services => WorkerId(0),
        };
        if let Some(held) = self.sessions.get(&claims.sid)
            && is_believed(held.read_at, self.confirmed_at(), Instant::now())
        {
            return if held.session.worker_id == worker_id && held.session.expires_at > now {
                Ok(held.session)
            } else {
                Err(ended())
            };
        }
        let change = self.changes.load(Ordering::SeqCst);
        let read_at = Instant::now();
        let session = self
            .db
            .read(async |tx| {
                Ok(match claims.audience() {
                    Audience::People => live_session(tx, claims.sid, worker_id, now).await?,
                    Audience::Services => {
                        let client_id = claims.sub.parse().map_err(|_| ended())?;
                        live_service(tx, claims.sid, client_id).await?
                    }
                })
            })
            .await?
            .ok_or_else(ended)?;
        let session = Arc::new(session);
        let held = Remembered {
            session: session.clone(),
            read_at,
        };
        self.sessions.insert(claims.sid, held);
        // Whoever forgets counts first and removes then: what was inserted in between is removed here or there.
        if self.changes.load(Ordering::SeqCst) != change {
            self.sessions.remove(&claims.sid);
        }
        Ok(session)
    }

    fn confirmed_at(&self) -> Option<Instant> {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what was read at this instant is believed without being read again: it is young, or the watch has heard lately
/// that nothing changed.
fn is_believed(read_at: Instant, confirmed_at: Option<Instant>, now: Instant) -> bool {
    let is_young = |at: Instant| now.saturating_duration_since(at) < BELIEVED;
    is_young(read_at) || confirmed_at.is_some_and(is_young)
}

/// A worker who has signed in, with his grants, at the moment of his request.
#[derive(Clone, Debug)]
pub struct Caller {
    actor: Actor,
    worker_id: WorkerId,
    session_id: SessionId,
    session: Arc<LiveSession>,
    today: NaiveDate,
}

impl Caller {
    /// Who acts, for the journal.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The worker.
    #[must_use]
    pub const fn worker_id(&self) -> WorkerId {
        self.worker_id
    }

    /// His session.
    #[must_use]
    pub const fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// The day of the request in the operating time zone.
    #[must_use]
    pub const fn today(&self) -> NaiveDate {
        self.today
    }

    /// The language in which he reads, a BCP 47 tag.
    #[must_use]
    pub fn language(&self) -> &str {
        &self.session.language
    }

    /// How he proved himself in this session.
    #[must_use]
    pub fn strength(&self) -> Strength {
        self.session.strength
    }

    /// His grants that hold today and in this session: without a second factor, those of field workers alone.
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        let strong = self.strength().is_strong();
        self.held()
            .filter(move |grant| strong || !grant.role.needs_second_factor())
    }

    /// His grants that hold today, whether this session is strong enough for them or not.
    pub fn held(&self) -> impl Iterator<Item = &Grant> {
        self.session.grants.iter().filter(|grant| grant.holds(self.today))
    }

    /// Whether all that this session lacks to do it at a unit with this lineage is a second factor.
    #[must_use]
    pub fn lacks_factor_at(&self, action: ActionName, lineage: &[UnitId]) -> bool {
        self.held()
            .any(|grant| grant.role.may(action) && lineage.contains(&grant.unit_id))
    }

    /// The same for doing it anywhere.
    #[must_use]
    pub fn lacks_factor(&self, action: ActionName) -> bool {
        self.held().any(|grant| grant.role.may(action))
    }

    /// Whether a grant allows the action at a unit with this lineage.
    #[must_use]
    pub fn may_at(&self, action: ActionName, lineage: &[UnitId]) -> bool {
        self.grants()
            .any(|grant| self.allows(grant, action) && lineage.contains(&grant.unit_id))
    }

    /// Whether a grant allows the action anywhere.
    #[must_use]
    pub fn may(&self, action: ActionName) -> bool {
        self.grants().any(|grant| self.allows(grant, action))
    }

    /// A role says what it allows; of a service, its registration does.
    fn allows(&self, grant: &Grant, action: ActionName) -> bool {
        grant.role.may(action) || (grant.role == Role::Service && self.session.actions.contains(&action))
    }

    /// The token buckets that his requests come out of.
    fn buckets(&self) -> Vec<Key> {
        let device = self.session.device_id.0;
        if self.is_service() {
            vec![Key::Service(device)]
        } else {
            vec![
                Key::Account(self.worker_id.0),
                Key::Device(self.worker_id.0, device),
            ]
        }
    }

    /// What the second wall lets his request see: his own, and what lies under the units of his grants.
    #[must_use]
    pub fn wall(&self) -> wall::Scope {
        let mut roots: Vec<UnitId> = self.grants().map(|grant| grant.unit_id).collect();
        roots.sort_unstable();
        roots.dedup();
        wall::Scope {
            worker_id: self.actor.worker_id,
            roots,
            today: self.today,
        }
    }

    /// Whether it is another program, not a person.
    #[must_use]
    pub const fn is_service(&self) -> bool {
        self.actor.worker_id.is_none()
    }

    /// The units at which grants allow the action.
    #[must_use]
    pub fn roots(&self, action: ActionName) -> Vec<UnitId> {
        let mut roots: Vec<UnitId> = self
            .grants()
            .filter(|grant| self.allows(grant, action))
            .map(|grant| grant.unit_id)
            .collect();
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        Box::pin(caller_of(request, &[Audience::People]))
    }
}

/// A worker or a service: the first argument of the handlers that other programs may call.
#[derive(Clone, Debug)]
pub struct Reader(pub Caller);

impl FromRequest for Reader {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let caller = caller_of(request, &[Audience::People, Audience::Services]);
        Box::pin(async move { caller.await.map(Self) })
    }
}

/// A worker or a service who follows what happens for a while.
#[derive(Debug)]
pub struct Follower {
    pub caller: Caller,
    pub ticket: Ticket,
}

/// What a follower came with: his token, to be looked at again while he follows.
pub struct Ticket {
    access: web::Data<Access>,
    token: SecretString,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

impl Ticket {
    /// The follower as he is now.
    ///
    /// # Errors
    /// 401 once his token has run out or his session ended.
    pub async fn caller(&self) -> Result<Caller, ApiError> {
        let accepted = [Audience::People, Audience::Services];
        self.access.recognise(self.token.expose_secret(), &accepted).await
    }
}

impl FromRequest for Follower {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let caller = caller_of(request, &[Audience::People, Audience::Services]);
        let access = request.app_data::<web::Data<Access>>().cloned();
        let token = bearer_token(request);
        Box::pin(async move {
            let caller = caller.await?;
            let access = access.ok_or_else(|| ApiError::internal("the application has no Access"))?;
            let token = SecretString::from(token?);
            Ok(Self {
                caller,
                ticket: Ticket { access, token },
            })
        })
    }
}

fn caller_of(
    request: &HttpRequest,
    accepted: &'static [Audience],
) -> impl Future<Output = Result<Caller, ApiError>> + use<> {
    let access = request.app_data::<web::Data<Access>>().cloned();
    let limits = request.app_data::<web::Data<Limits>>().cloned();
    let token = bearer_token(request);
    let request = request.clone();
    async move {
        let access = access.ok_or_else(|| ApiError::internal("the application has no Access"))?;
        let limits = limits.ok_or_else(|| ApiError::internal("the application has no Limits"))?;
        let caller = access.recognise(&token?, accepted).await?;
        wall::note(caller.wall());
        request.extensions_mut().insert(*caller.actor());
        let mut noted = Allowances::default();
        let taken = limits.take(&caller.buckets(), &mut noted);
        request.extensions_mut().insert(noted);
        taken.map(|()| caller)
    }
}

fn bearer_token(request: &HttpRequest) -> Result<String, ApiError> {
    let missing = || ApiError::new(Code::Unauthenticated, "send Authorization: Bearer <access token>");
    let value = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let (scheme, token) = value
        .and_then(|value| value.split_once(' '))
        .ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(token.trim().to_owned())
    } else {
        Err(missing())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_believed_for_three_seconds_and_for_three_after_each_word_of_the_watch() {
        let read_at = Instant::now();
        let believed = |seconds: f64, confirmed: Option<f64>| {
            let after = |seconds| read_at + Duration::from_secs_f64(seconds);
            is_believed(read_at, confirmed.map(after), after(seconds))
        };
        assert!(believed(0.0, None) && believed(2.999, None));
        assert!(!believed(3.0, None) && !believed(3600.0, None));
        // A word that is older than what was read takes nothing away.
        assert!(believed(2.0, Some(0.0)));
        assert!(believed(10.0, Some(7.001)) && believed(10.0, Some(10.0)));
        assert!(!believed(10.0, Some(7.0)) && !believed(3600.0, Some(0.0)));
    }
}
