//! How far an order has come, and what can still be done about it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::platform::error::{ApiError, Code};

/// Visits that a step deals with at most.
pub const STEP: i64 = 200;
/// Visits on a list at most.
pub const MOST: i64 = 100_000;

/// How an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = BulkVoidStatus)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its visits are being voided.
    Running,
    /// All have been dealt with.
    Done,
    /// It was stopped; what it had voided stays so.
    Cancelled,
    /// Its visits are being brought back.
    TakingBack,
    /// All that could be brought back have been.
    TakenBack,
}

impl Status {
    const ALL: [Self; 5] = [
        Self::Running,
        Self::Done,
        Self::Cancelled,
        Self::TakingBack,
        Self::TakenBack,
    ];

    /// The name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::TakingBack => "taking_back",
            Self::TakenBack => "taken_back",
        }
    }

    /// The status with this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// What it is once its list is gone through.
    #[must_use]
    pub const fn at_the_end(self) -> Self {
        match self {
            Self::Running => Self::Done,
            Self::TakingBack => Self::TakenBack,
            ended => ended,
        }
    }
}

/// Until when an order that ended can be taken back.
#[must_use]
pub fn take_back_until(ended_at: DateTime<Utc>) -> DateTime<Utc> {
    ended_at + TimeDelta::days(30)
}

/// Whether an order can be cancelled.
pub fn check_cancel(status: Status) -> Result<(), ApiError> {
    match status {
        Status::Running => Ok(()),
        _ => Err(ApiError::new(
            Code::Conflict,
            "it is not running any more; take it back instead",
        )),
    }
}

/// Whether an order can be taken back.
pub fn check_take_back(
    status: Status,
    ended_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), ApiError> {
    let conflict = |detail: &str| Err(ApiError::new(Code::Conflict, detail));
    match (status, ended_at) {
        (Status::Done | Status::Cancelled, Some(ended_at)) if now <= take_back_until(ended_at) => Ok(()),
        (Status::Done | Status::Cancelled, _) => {
            conflict("it ended more than 30 days ago: its visits stay voided")
        }
        (Status::Running, _) => conflict("it is still running; cancel it first"),
        (Status::TakingBack | Status::TakenBack, _) => conflict("it was taken back before"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_found_by_its_name() {
        for status in Status::ALL {
            assert_eq!(Status::find(status.as_str()), Some(status));
            assert_eq!(
                serde_json::to_value(status).unwrap(),
                serde_json::json!(status.as_str())
            );
        }
    }

    #[test]
    fn an_order_is_taken_back_once_it_ended_and_for_thirty_days() {
        let ended: DateTime<Utc> = "2026-11-01T00:00:00Z".parse().unwrap();
        let may = |status, days| check_take_back(status, Some(ended), ended + TimeDelta::days(days)).is_ok();
        assert!(may(Status::Done, 0) && may(Status::Cancelled, 30));
        assert!(!may(Status::Done, 31));
        assert!(check_take_back(Status::Running, None, ended).is_err());
        assert!(!may(Status::TakingBack, 0) && !may(Status::TakenBack, 0));
    }
}
