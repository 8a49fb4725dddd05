//! The change to the counts of a task, beside that of visits (`tally`): posted by the same poster, added by the same kind
//! of readers.

use std::ops::{AddAssign, Sub};

use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Integer, Text};
use diesel_async::RunQueryDsl;

use super::tally::array_text;
use crate::platform::db::Tx;
use crate::platform::ids::{TaskId, UnitId};
use crate::platform::statement::statement;

/// How many units stand how to a task, or a change to that. Units that have not answered are in none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, diesel::QueryableByName)]
pub struct WorkCounters {
    /// Accepted it or are at it.
    #[diesel(sql_type = BigInt)]
    pub accepted: i64,
    /// Reported it done and were not sent back, verified ones included.
    #[diesel(sql_type = BigInt)]
    pub done: i64,
    #[diesel(sql_type = BigInt)]
    pub verified: i64,
    #[diesel(sql_type = BigInt)]
    pub returned: i64,
}

impl AddAssign for WorkCounters {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.done += other.done;
        self.verified += other.verified;
        self.returned += other.returned;
    }
}

impl Sub for WorkCounters {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            accepted: self.accepted - other.accepted,
            done: self.done - other.done,
            verified: self.verified - other.verified,
            returned: self.returned - other.returned,
        }
    }
}

/// A change to how one unit stands to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkTally {
    pub state_id: UnitId,
    pub task_id: TaskId,
    pub unit_id: UnitId,
    /// The units to be charged: the unit's lineage on the day on which the task was set, without the nation.
    pub unit_ids: Vec<UnitId>,
    pub counters: WorkCounters,
}

const APPEND: &str = "
    INSERT INTO task_tally_inbox (state_id, task_id, unit_id, unit_ids, accepted, done, verified, returned)
    SELECT state_id, task_id, unit_id, unit_ids::int[], accepted, done, verified, returned
    FROM unnest($1::int[], $2::int[], $3::int[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
         AS t (state_id, task_id, unit_id, unit_ids, accepted, done, verified, returned)";

/// Appends tallies to the inbox, in one statement, in the transaction of what they tell of; those that change nothing, or
/// charge nobody, are left out.
///
/// # Errors
/// What the database says.
pub async fn append(tx: &mut Tx, tallies: &[WorkTally]) -> QueryResult<()> {
    let tallies: Vec<&WorkTally> = tallies
        .iter()
        .filter(|tally| tally.counters != WorkCounters::default() && !tally.unit_ids.is_empty())
        .collect();
    if tallies.is_empty() {
        return Ok(());
    }
    let counter = |f: fn(&WorkCounters) -> i64| {
        tallies
            .iter()
            .map(|tally| f(&tally.counters))
            .collect::<Vec<i64>>()
    };
    statement(APPEND)
        .bind::<Array<Integer>, _>(tallies.iter().map(|tally| tally.state_id).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(tallies.iter().map(|tally| tally.task_id).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(tallies.iter().map(|tally| tally.unit_id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(
            tallies
                .iter()
                .map(|tally| array_text(&tally.unit_ids))
                .collect::<Vec<_>>(),
        )
        .bind::<Array<BigInt>, _>(counter(|c| c.accepted))
        .bind::<Array<BigInt>, _>(counter(|c| c.done))
        .bind::<Array<BigInt>, _>(counter(|c| c.verified))
        .bind::<Array<BigInt>, _>(counter(|c| c.returned))
        .execute(tx)
        .await
        .map(|_| ())
}
