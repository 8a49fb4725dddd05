//! Whether the database can be reached at all, so that nobody waits for one that cannot.
//!
//! Two questions, two answers. *Before a transaction*: once it could not be begun, everybody is refused at once, and one
//! at a time tries again every `RETRY`. *Inside a transaction*: work that takes longer than `PATIENCE` goes on only
//! while the database answers a new connection within `ANSWER`; a statement may be slow, a database that is stopped or
//! behind a dead network is not waited for. (The server's own timeouts cannot be heard from there.)

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::dial::dial;
use super::error::ApiError;

/// How long after a failure the next one tries.
const RETRY: Duration = Duration::from_millis(250);
/// How long work is waited for before it is asked whether the database still answers.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(1);

/// What is known. Cheap to clone.
#[derive(Clone)]
pub struct Reach {
    state: Arc<Mutex<State>>,
    url: Arc<str>,
    runtime: Handle,
}

#[derive(Debug, Default)]
struct State {
    /// When the next one may try; `None` while it is within reach.
    lost_until: Option<Instant>,
    /// Somebody is trying.
    trying: bool,
}

impl State {
    /// Whether this would be the one that tries; an error if it is not its turn.
    fn may_try(&self) -> Result<bool, ApiError> {
        match self.lost_until {
            None => Ok(false),
            Some(until) if until <= Instant::now() && !self.trying => Ok(true),
            Some(_) => Err(ApiError::unavailable(
                "the database cannot be reached",
                "it could not be reached a moment ago",
            )),
        }
    }
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reach").finish_non_exhaustive()
    }
}

/// Leave to begin a transaction. What came of it is told by [`Attempt::reached`] or [`Attempt::lost`]; dropped, nothing
/// is known.
#[derive(Debug)]
pub struct Attempt {
    reach: Reach,
    /// The one that tries while it is out of reach.
    first: bool,
}

impl Reach {
    /// Within reach until something else is heard.
    #[must_use]
    pub fn new(url: Arc<str>, runtime: Handle) -> Self {
        Self {
            state: Arc::default(),
            url,
            runtime,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it makes sense to wait for a turn: nobody queues for what is out of reach.
    ///
    /// # Errors
    /// As [`Reach::enter`]. It takes no leave: whoever waits meanwhile is not the one that tries.
    pub fn check(&self) -> Result<(), ApiError> {
        self.state().may_try().map(|_| ())
    }

    /// Leave to begin.
    ///
    /// # Errors
    /// 503 at once while it is out of reach and somebody else is trying, or has tried a moment ago.
    pub fn enter(&self) -> Result<Attempt, ApiError> {
        let mut state = self.state();
        let first = state.may_try()?;
        state.trying |= first;
        Ok(Attempt {
            reach: self.clone(),
            first,
        })
    }

    /// Waits for work inside a transaction for as long as the database answers at all.
    ///
    /// # Errors
    /// What the work answers; 503 when the database no longer does.
    pub async fn attend<T>(&self, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        let mut work = pin!(work);
        loop {
            if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
                return done;
            }
            tokio::select! {
                biased;
                done = &mut work => return done,
                answers = self.answers() => if !answers {
                    self.set_lost();
                    let late = "no new connection was answered within a second";
                    return Err(ApiError::unavailable("the database does not answer", late));
                }
            }
        }
    }

    /// Whether it answers a new connection, be it with a refusal.
    async fn answers(&self) -> bool {
        let (url, runtime) = (self.url.clone(), self.runtime.clone());
        let asking = self.runtime.spawn(async move {
            match dial(&url).await {
                Ok((client, wire)) => {
                    runtime.spawn(wire);
                    client.batch_execute("").await.is_ok()
                }
                Err(error) => error.is_refusal(),
            }
        });
        let stop = asking.abort_handle();
        let answer = tokio::time::timeout(ANSWER, asking).await;
        stop.abort();
        matches!(answer, Ok(Ok(true)))
    }

    /// Whether it is known to be out of reach.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.state().lost_until.is_some()
    }

    fn set_lost(&self) {
        let mut state = self.state();
        if state.lost_until.is_none() {
            tracing::error!("the database is out of reach");
        }
        state.lost_until = Some(Instant::now() + RETRY);
    }
}

impl Attempt {
    /// It was reached.
    pub fn reached(self) {
        if self.first {
            self.reach.state().lost_until = None;
            tracing::info!("the database is within reach again");
        }
    }

    /// It was not.
    pub fn lost(self) {
        self.reach.set_lost();
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.first {
            self.reach.state().trying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_tries_a_database_that_is_out_of_reach() {
        let reach = Reach::new("postgres://127.0.0.1:1/none".into(), Handle::current());
        let (one, two) = (reach.enter().unwrap(), reach.enter().unwrap());
        one.lost();
        two.reached();
        assert!(reach.enter().is_err(), "a moment ago it was lost");
        tokio::time::sleep(RETRY).await;
        reach.check().unwrap();
        let first = reach.enter().unwrap();
        assert!(reach.check().is_err(), "nobody waits for it");
        assert!(reach.enter().is_err(), "somebody is trying");
        drop(first);
        reach.enter().unwrap().reached();
        assert!(reach.enter().is_ok() && reach.enter().is_ok());
    }

    #[tokio::test]
    async fn work_is_given_up_when_the_database_no_longer_answers() {
        let reach = Reach::new("postgres://127.0.0.1:1/none".into(), Handle::current());
        let began = Instant::now();
        let done = reach.attend(std::future::pending::<Result<(), ApiError>>()).await;
        assert_eq!(done.unwrap_err().code().status(), 503);
        assert!(began.elapsed() < PATIENCE + ANSWER + ANSWER);
        assert!(reach.enter().is_err());
    }
}
