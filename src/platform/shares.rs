//! How many of the connections to the database each kind of work may hold.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::db::{Mode, POOL_WAIT};
use super::error::ApiError;

/// How long a long read waits for its turn: an export reads page by page, and breaks off if one cannot be had.
const LONG_READ_WAIT: Duration = Duration::from_secs(5);

/// How many of the connections each kind of work may hold, so that what is recorded never waits for what is read.
#[derive(Clone, Debug)]
pub struct Shares {
    reads: Arc<Semaphore>,
    /// Recounts, exports and reports.
    long_reads: Arc<Semaphore>,
}

impl Shares {
    /// A quarter of all is for long reads, up to three are left to writes, and the rest is for reads.
    #[must_use]
    pub fn of(size: usize) -> Self {
        let (kept, long) = ((size / 4).min(3), (size / 4).max(1));
        let reads = size.saturating_sub(kept).saturating_sub(long);
        Self {
            reads: Arc::new(Semaphore::new(reads.max(1))),
            long_reads: Arc::new(Semaphore::new(long)),
        }
    }

    /// A share for such a transaction; a write needs none.
    ///
    /// # Errors
    /// 503 when none becomes free in time.
    pub async fn take(&self, mode: Mode) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        let share = match mode {
            Mode::Read => &self.reads,
            Mode::LongRead => &self.long_reads,
            Mode::Write | Mode::KeyedWrite | Mode::LongWrite => return Ok(None),
        };
        let wait = if mode == Mode::LongRead {
            LONG_READ_WAIT
        } else {
            POOL_WAIT
        };
        let permit = tokio::time::timeout(wait, share.clone().acquire_owned());
        match permit.await {
            Ok(permit) => permit.map(Some).map_err(ApiError::internal),
            Err(late) => Err(ApiError::unavailable("too many readers at once", late)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_of_all_kinds_together_leave_some_to_writes() {
        for size in 4..200 {
            let shares = Shares::of(size);
            let readers = shares.reads.available_permits() + shares.long_reads.available_permits();
            assert!(readers < size, "{readers} of {size}");
        }
    }
}
