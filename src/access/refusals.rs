//! Refusals: who asked for what he may not do, or not see. They are counted apart from the journal, because a refusal rolls
//! back what it refuses, and by the hour, because whoever is refused can ask as often as he likes.
//!
//! The edge counts each answer 403 or 404 to a recognised caller, and each that was refused for a unit named in a body; the
//! handlers of batches count their items. What is counted holds no content: the operation, the problem's code, the
//! units that were asked about. Whether a thing that is answered 404 exists elsewhere is not looked up. Counts wait in memory
//! for a second (`features::refusals` writes them), and there are never more than [`MOST`] of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use crate::journal::Actor;
use crate::platform::error::ApiError;
use crate::platform::ids::{DeviceId, UnitId, WorkerId};

/// Most counts that wait at the same time; what is refused beyond them is counted in the log alone.
pub const MOST: usize = 10_000;
/// Most units kept for one count.
pub const MOST_UNITS: usize = 10;

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RefusedKey {
    /// The beginning of the hour.
    pub hour: DateTime<Utc>,
    pub worker_id: Option<WorkerId>,
    /// The service that asked, if it was no worker.
    pub client_id: Option<DeviceId>,
    /// Method and path as the contract writes them.
    pub operation: String,
    /// The problem's code.
    pub code: &'static str,
}

/// How often, and about what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCount {
    pub count: i64,
    pub unit_ids: Vec<UnitId>,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// What was refused and is not written yet. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Mutex<HashMap<RefusedKey, RefusedCount>>>);

/// Whether an answer is one that is counted.
#[must_use]
pub fn is_refusal(error: &ApiError) -> bool {
    matches!(error.code().status(), 403 | 404) || error.refused_at().is_some()
}

impl Refusals {
    /// Counts an answer to this caller, if it is a refusal.
    pub fn note(&self, actor: &Actor, operation: &str, error: &ApiError) {
        let Ok(hour) = actor.at.duration_trunc(TimeDelta::hours(1)) else {
            return;
        };
        if !is_refusal(error) {
            return;
        }
        let key = RefusedKey {
            hour,
            worker_id: actor.worker_id,
            client_id: actor.device_id.filter(|_| actor.worker_id.is_none()),
            operation: operation.to_owned(),
            code: error.code().as_str(),
        };
        let new = RefusedCount {
            count: 1,
            unit_ids: error.refused_at().into_iter().collect(),
            first_at: actor.at,
            last_at: actor.at,
        };
        self.add(key, new);
    }

    fn add(&self, key: RefusedKey, new: RefusedCount) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = waiting.get_mut(&key) {
            known.add(new);
        } else if waiting.len() < MOST {
            waiting.insert(key, new);
        } else {
            tracing::warn!(
                operation = key.operation,
                code = key.code,
                "too many refusals to count this one"
            );
        }
    }

    /// Takes out what waits.
    #[must_use]
    pub fn take(&self) -> Vec<(RefusedKey, RefusedCount)> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting).into_iter().collect()
    }

    /// Puts back what could not be written.
    pub fn put_back(&self, counts: Vec<(RefusedKey, RefusedCount)>) {
        for (key, count) in counts {
            self.add(key, count);
        }
    }
}

impl RefusedCount {
    fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        for unit_id in other.unit_ids {
            if self.unit_ids.len() < MOST_UNITS && !self.unit_ids.contains(&unit_id) {
                self.unit_ids.push(unit_id);
            }
        }
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::error::Code;

    fn actor(worker: i32, minute: u32) -> Actor {
        let at = chrono::NaiveDate::from_ymd_opt(2026, 11, 23).and_then(|day| day.and_hms_opt(6, minute, 0));
        Actor {
            worker_id: Some(WorkerId(worker)),
            device_id: None,
            at: at.unwrap().and_utc(),
        }
    }

    #[test]
    fn refusals_of_an_hour_are_one_count_and_others_are_none() {
        let refusals = Refusals::default();
        for minute in 0..30 {
            let asked = UnitId(i32::try_from(minute).unwrap());
            refusals.note(
                &actor(1, minute),
                "GET /v1/units/{id}",
                &ApiError::not_found().for_unit(asked),
            );
        }
        refusals.note(
            &actor(1, 5),
            "GET /v1/units/{id}",
            &ApiError::new(Code::Conflict, "no refusal"),
        );
        refusals.note(
            &actor(2, 5),
            "GET /v1/units/{id}",
            &ApiError::new(Code::Forbidden, "another's"),
        );
        let mut counts = refusals.take();
        counts.sort_by_key(|(key, _)| key.worker_id);
        assert_eq!(counts.len(), 2);
        assert_eq!(counts[0].1.count, 30);
        assert_eq!(counts[0].1.unit_ids, (0..10).map(UnitId).collect::<Vec<_>>());
        assert_eq!(counts[0].1.last_at - counts[0].1.first_at, TimeDelta::minutes(29));
        assert_eq!((counts[1].0.code, counts[1].1.count), ("forbidden", 1));
        assert!(refusals.take().is_empty());
        refusals.put_back(counts);
        assert_eq!(refusals.take().len(), 2);
    }

    #[test]
    fn a_flood_of_refusals_fills_nothing() {
        let refusals = Refusals::default();
        for worker in 0..i32::try_from(MOST).unwrap() + 500 {
            refusals.note(
                &actor(worker, 0),
                "GET /v1/visits",
                &ApiError::new(Code::Forbidden, "no"),
            );
        }
        assert_eq!(refusals.take().len(), MOST);
    }
}
