//! Whether the database can be reached at all, so that nobody waits for one that cannot.
//!
//! Two questions, two answers. *Before a transaction*: once it could not be begun, everybody is refused at once, while a
//! task of its own asks again every `RETRY`; no request is made to find out, since it would wait for it. *Inside a
//! transaction*: work that takes longer than `PATIENCE` goes on only while the database answers a new connection within
//! `ANSWER`; a statement may be slow, a database that is stopped or behind a dead network is not waited for. (The server's own
//! timeouts cannot be heard from there.)

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use super::dial::dial;
use super::error::ApiError;

/// How long after it did not answer it is asked again.
const RETRY: Duration = Duration::from_millis(250);
/// How long work is waited for before it is asked whether the database still answers.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(1);

/// What is known. Cheap to clone.
#[derive(Clone)]
pub struct Reach {
    lost: Arc<AtomicBool>,
    url: Arc<str>,
    runtime: Handle,
}

/// What a new connection is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Serves,
    /// It is starting or shutting down.
    NotYet,
    None,
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reach").finish_non_exhaustive()
    }
}

impl Reach {
    /// Within reach until something else is heard.
    #[must_use]
    pub fn new(url: Arc<str>, runtime: Handle) -> Self {
        Self {
            lost: Arc::default(),
            url,
            runtime,
        }
    }

    /// Whether it makes sense to begin, or to wait for a turn: nobody queues for what is out of reach.
    ///
    /// # Errors
    /// 503 at once while it is out of reach.
    pub fn check(&self) -> Result<(), ApiError> {
        if self.is_lost() {
            return Err(ApiError::unavailable(
                "the database cannot be reached",
                "it could not be reached a moment ago",
            ));
        }
        Ok(())
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
        self.ask().await.is_some_and(|answer| answer != Answer::None)
    }

    /// What a new connection is answered, if anything is heard within the time it may take.
    async fn ask(&self) -> Option<Answer> {
        let (url, runtime) = (self.url.clone(), self.runtime.clone());
        let asking = self.runtime.spawn(async move {
            match dial(&url).await {
                Ok((client, wire)) => {
                    runtime.spawn(wire);
                    match client.batch_execute("").await {
                        Ok(()) => Answer::Serves,
                        Err(_) => Answer::None,
                    }
                }
                Err(error) if error.is_not_yet() => Answer::NotYet,
                // It has no place for one more, say, but goes on with those that it has.
                Err(error) if error.is_refusal() => Answer::Serves,
                Err(_) => Answer::None,
            }
        });
        let stop = asking.abort_handle();
        let answer = tokio::time::timeout(ANSWER, asking).await;
        stop.abort();
        answer.ok()?.ok()
    }

    /// Whether it is known to be out of reach.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    /// A transaction could not be begun, or its work was not answered: everybody is refused until it serves again.
    pub fn set_lost(&self) {
        if self.lost.swap(true, Ordering::SeqCst) {
            return;
        }
        tracing::error!("the database is out of reach");
        let reach = self.clone();
        // Ends with the runtime on which connections live.
        self.runtime.spawn(async move {
            loop {
                tokio::time::sleep(RETRY).await;
                if reach.ask().await == Some(Answer::Serves) {
                    reach.lost.store(false, Ordering::SeqCst);
                    tracing::info!("the database is within reach again");
                    return;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_a_database_that_is_out_of_reach() {
        let reach = Reach::new("postgres://127.0.0.1:1/none".into(), Handle::current());
        reach.check().unwrap();
        reach.set_lost();
        assert_eq!(reach.check().unwrap_err().code().status(), 503);
        assert_ne!(reach.ask().await, Some(Answer::Serves));
        assert!(reach.is_lost(), "it did not come back by being asked");
    }

    #[tokio::test]
    async fn work_is_given_up_when_the_database_no_longer_answers() {
        let reach = Reach::new("postgres://127.0.0.1:1/none".into(), Handle::current());
        let began = Instant::now();
        let done = reach.attend(std::future::pending::<Result<(), ApiError>>()).await;
        assert_eq!(done.unwrap_err().code().status(), 503);
        assert!(began.elapsed() < PATIENCE + ANSWER + ANSWER);
        assert!(reach.check().is_err());
    }
}
