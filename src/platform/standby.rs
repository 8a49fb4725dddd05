//! A server on a standby of PostgreSQL: it reads, and every answer says as of when it is true.
//!
//! A standby follows its primary at some distance, and totals that are silently old would be taken for today's. So a look
//! every `LOOK` learns up to when everything that was committed on the primary is here: the time of the last commit that
//! was replayed, or, on a quiet primary, the time of its last message, if all that it told of was here and nothing more came
//! by the next look. Answers carry that instant; when it lies too far back there are none.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use diesel::QueryResult;
use diesel::sql_types::{Bool, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use tokio::sync::watch;

use super::clock::Clock;
use super::db::{Db, Tx};
use super::error::{ApiError, Code};
use super::statement::statement;

/// How often it is looked how far the standby is.
const LOOK: Duration = Duration::from_millis(500);

const POSITION: &str = "
    SELECT pg_is_in_recovery() AS follows, clock_timestamp() AS now, pg_last_xact_replay_timestamp() AS replayed_at,
           w.latest_end_lsn::text AS told, w.last_msg_send_time AS told_at,
           coalesce(w.status = 'streaming' AND pg_last_wal_replay_lsn() >= w.latest_end_lsn, false) AS has_all
    FROM (SELECT) one LEFT JOIN pg_stat_wal_receiver w ON true";

#[derive(Clone, Debug, diesel::QueryableByName)]
struct Position {
    #[diesel(sql_type = Bool)]
    follows: bool,
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    replayed_at: Option<DateTime<Utc>>,
    /// How far the primary's log went when it last said so.
    #[diesel(sql_type = Nullable<Text>)]
    told: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    told_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Bool)]
    has_all: bool,
}

impl Position {
    /// Up to when everything is here, by this look and the one before.
    fn as_of(&self, before: Option<&Self>) -> Option<DateTime<Utc>> {
        if !self.follows {
            return Some(self.now);
        }
        // A message may have been sent before what it was too early to tell of; that would have followed at once.
        let quiet = before.filter(|before| before.has_all && self.has_all && before.told == self.told);
        self.replayed_at.max(quiet.and_then(|before| before.told_at))
    }
}

async fn position(tx: &mut Tx) -> QueryResult<Position> {
    statement(POSITION).get_result(tx).await
}

/// What is known of the standby that is read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Standby {
    as_of: watch::Receiver<Option<DateTime<Utc>>>,
    clock: Clock,
    most: Duration,
}

impl Standby {
    /// Follows it, if the database is a standby; answers may lag behind for so long at most.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn find(db: &Db, clock: &Clock, most: Duration) -> Result<Option<Self>, ApiError> {
        let first = look(db).await?;
        if !first.follows {
            return Ok(None);
        }
        let (told, as_of) = watch::channel(first.as_of(None));
        let db = db.clone();
        let runtime = db.runtime().clone();
        runtime.spawn(async move {
            let mut before = Some(first);
            // Ends with the last server that asks.
            while !told.is_closed() {
                tokio::time::sleep(LOOK).await;
                match look(&db).await {
                    Ok(now) => {
                        let as_of = now.as_of(before.as_ref());
                        told.send_modify(|known| *known = as_of.max(*known));
                        before = Some(now);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the standby cannot be asked how far it is; asking again");
                        before = None;
                    }
                }
            }
        });
        let clock = clock.clone();
        Ok(Some(Self { as_of, clock, most }))
    }

    /// Up to when everything is here, as an answer carries it.
    ///
    /// # Errors
    /// 503 if that lies too far back.
    pub fn as_of(&self) -> Result<String, ApiError> {
        let known = *self.as_of.borrow();
        let lag = known.map(|known| self.clock.now().signed_duration_since(known));
        match (known, lag) {
            (Some(known), Some(lag)) if lag.to_std().unwrap_or_default() <= self.most => {
                Ok(known.to_rfc3339_opts(SecondsFormat::Millis, true))
            }
            (_, lag) => {
                let behind = lag.map_or_else(
                    || "an unknown time".to_owned(),
                    |lag| format!("{} s", lag.num_seconds()),
                );
                let detail =
                    format!("this server reads a standby that is {behind} behind: ask the one that writes");
                Err(ApiError::new(Code::Unavailable, detail))
            }
        }
    }

    /// What is said to whoever wants to write.
    #[must_use]
    pub fn refusal() -> ApiError {
        let detail = "this server reads a standby: send what is to be written to the one that writes";
        ApiError::new(Code::Unavailable, detail)
    }
}

async fn look(db: &Db) -> Result<Position, ApiError> {
    db.read(async |tx| Ok(position(tx).await?)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn position(told: &str, told_at: i64, has_all: bool) -> Position {
        Position {
            follows: true,
            now: at(100),
            replayed_at: Some(at(10)),
            told: Some(told.to_owned()),
            told_at: Some(at(told_at)),
            has_all,
        }
    }

    #[test]
    fn a_quiet_primary_is_believed_only_if_nothing_more_came_by_the_next_look() {
        let before = position("0/A", 50, true);
        assert_eq!(position("0/A", 60, true).as_of(Some(&before)), Some(at(50)));
        for now in [position("0/B", 60, true), position("0/A", 60, false)] {
            assert_eq!(now.as_of(Some(&before)), Some(at(10)));
        }
        assert_eq!(before.as_of(None), Some(at(10)));
        let behind = position("0/A", 50, false);
        assert_eq!(before.as_of(Some(&behind)), Some(at(10)));
    }

    #[test]
    fn one_that_was_promoted_is_as_of_now() {
        let promoted = Position {
            follows: false,
            ..position("0/A", 50, true)
        };
        assert_eq!(promoted.as_of(None), Some(at(100)));
    }

    #[test]
    fn what_is_too_old_is_not_answered() {
        let clock = Clock::manual(chrono_tz::Asia::Kolkata, at(100));
        let (told, as_of) = watch::channel(Some(at(70)));
        let standby = Standby {
            as_of,
            clock,
            most: Duration::from_secs(30),
        };
        assert_eq!(standby.as_of().unwrap(), "1970-01-01T00:01:10.000Z");
        for known in [Some(at(69)), None] {
            told.send_replace(known);
            assert_eq!(standby.as_of().unwrap_err().code(), Code::Unavailable);
        }
    }
}
