//! Room for those who wait for news: bounded for each account and for the process, apart from the requests under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::access::Caller;
use crate::journal::tail::Tail;
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Code};
use crate::platform::ids::WorkerId;

/// Waits and streams of one account at once.
const PER_ACCOUNT: usize = 4;
/// The same of all in this process.
const PER_PROCESS: usize = 512;

/// What those who follow the journal share. One a process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Followers {
    pub tail: Tail,
    held: Arc<Mutex<HashMap<Account, usize>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Account {
    Worker(WorkerId),
    /// By the secret that it came with.
    Service(Uuid),
}

/// A place among those who wait, given back when dropped.
#[derive(Debug)]
pub struct Place {
    held: Arc<Mutex<HashMap<Account, usize>>>,
    account: Account,
}

impl Followers {
    /// Nobody follows yet.
    #[must_use]
    pub fn new(db: &Db) -> Self {
        Self {
            tail: Tail::new(db),
            held: Arc::default(),
        }
    }

    /// A place for this caller.
    ///
    /// # Errors
    /// 429 if he has as many as one may have, 503 if the process has.
    pub(super) fn enter(&self, caller: &Caller) -> Result<Place, ApiError> {
        let account = if caller.is_service() {
            Account::Service(caller.session_id().0)
        } else {
            Account::Worker(caller.worker_id())
        };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.values().sum::<usize>() >= PER_PROCESS {
            let full = ApiError::new(Code::Unavailable, "too many wait for news here already");
            return Err(full.with_retry_after(5));
        }
        let mine = held.entry(account).or_default();
        if *mine >= PER_ACCOUNT {
            let detail = format!("this account waits for news {PER_ACCOUNT} times already");
            return Err(ApiError::new(Code::TooManyRequests, detail).with_retry_after(5));
        }
        *mine += 1;
        drop(held);
        Ok(Place {
            held: self.held.clone(),
            account,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.account) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.account);
            }
        }
    }
}
