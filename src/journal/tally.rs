//! The change that a write makes to the counts.

use std::ops::{AddAssign, Neg};

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Date, Integer, Text};
use diesel_async::RunQueryDsl;

use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, UnitId};
use crate::platform::statement::statement;

/// The counters of a ledger row, or a change to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, diesel::QueryableByName)]
pub struct Counters {
    #[diesel(sql_type = BigInt)]
    pub visits: i64,
    #[diesel(sql_type = BigInt)]
    pub met: i64,
    #[diesel(sql_type = BigInt)]
    pub not_home: i64,
    #[diesel(sql_type = BigInt)]
    pub refused: i64,
    #[diesel(sql_type = BigInt)]
    pub moved: i64,
    #[diesel(sql_type = BigInt)]
    pub locked: i64,
    #[diesel(sql_type = BigInt)]
    pub inaccessible: i64,
    #[diesel(sql_type = BigInt)]
    pub people_met: i64,
    #[diesel(sql_type = BigInt)]
    pub doors_reached: i64,
    #[diesel(sql_type = BigInt)]
    pub support_1: i64,
    #[diesel(sql_type = BigInt)]
    pub support_2: i64,
    #[diesel(sql_type = BigInt)]
    pub support_3: i64,
    #[diesel(sql_type = BigInt)]
    pub support_4: i64,
    #[diesel(sql_type = BigInt)]
    pub support_5: i64,
    #[diesel(sql_type = BigInt)]
    pub flagged: i64,
    #[diesel(sql_type = BigInt)]
    pub verified: i64,
    #[diesel(sql_type = BigInt)]
    pub rejected: i64,
    #[diesel(sql_type = BigInt)]
    pub voided: i64,
}

/// The columns of the counters, in order, as SQL text.
#[macro_export]
macro_rules! counter_columns {
    () => {
        "visits, met, not_home, refused, moved, locked, inaccessible, people_met, doors_reached, support_1, support_2, support_3, support_4, support_5, flagged, verified, rejected, voided"
    };
}

/// Adding what an INSERT that met its row brings to it, as SQL text; `t` is the row.
#[macro_export]
macro_rules! counter_additions {
    () => {
        "visits = t.visits + excluded.visits, met = t.met + excluded.met, not_home = t.not_home + excluded.not_home, refused = t.refused + excluded.refused, moved = t.moved + excluded.moved, locked = t.locked + excluded.locked, inaccessible = t.inaccessible + excluded.inaccessible, people_met = t.people_met + excluded.people_met, doors_reached = t.doors_reached + excluded.doors_reached, support_1 = t.support_1 + excluded.support_1, support_2 = t.support_2 + excluded.support_2, support_3 = t.support_3 + excluded.support_3, support_4 = t.support_4 + excluded.support_4, support_5 = t.support_5 + excluded.support_5, flagged = t.flagged + excluded.flagged, verified = t.verified + excluded.verified, rejected = t.rejected + excluded.rejected, voided = t.voided + excluded.voided"
    };
}

/// The sums of the counters as SQL text, each under its own name, for [`Counters`] to be read from.
#[macro_export]
macro_rules! counter_sums {
    () => {
        concat!(
            "coalesce(sum(visits), 0)::bigint AS visits, ",
            "coalesce(sum(met), 0)::bigint AS met, ",
            "coalesce(sum(not_home), 0)::bigint AS not_home, ",
            "coalesce(sum(refused), 0)::bigint AS refused, ",
            "coalesce(sum(moved), 0)::bigint AS moved, ",
            "coalesce(sum(locked), 0)::bigint AS locked, ",
            "coalesce(sum(inaccessible), 0)::bigint AS inaccessible, ",
            "coalesce(sum(people_met), 0)::bigint AS people_met, ",
            "coalesce(sum(doors_reached), 0)::bigint AS doors_reached, ",
            "coalesce(sum(support_1), 0)::bigint AS support_1, ",
            "coalesce(sum(support_2), 0)::bigint AS support_2, ",
            "coalesce(sum(support_3), 0)::bigint AS support_3, ",
            "coalesce(sum(support_4), 0)::bigint AS support_4, ",
            "coalesce(sum(support_5), 0)::bigint AS support_5, ",
            "coalesce(sum(flagged), 0)::bigint AS flagged, ",
            "coalesce(sum(verified), 0)::bigint AS verified, ",
            "coalesce(sum(rejected), 0)::bigint AS rejected, ",
            "coalesce(sum(voided), 0)::bigint AS voided ",
        )
    };
}

impl Counters {
    /// Every counter by name, in the order of the columns.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, i64); 18] {
        [
            ("visits", self.visits),
            ("met", self.met),
            ("not_home", self.not_home),
            ("refused", self.refused),
            ("moved", self.moved),
            ("locked", self.locked),
            ("inaccessible", self.inaccessible),
            ("people_met", self.people_met),
            ("doors_reached", self.doors_reached),
            ("support_1", self.support_1),
            ("support_2", self.support_2),
            ("support_3", self.support_3),
            ("support_4", self.support_4),
            ("support_5", self.support_5),
            ("flagged", self.flagged),
            ("verified", self.verified),
            ("rejected", self.rejected),
            ("voided", self.voided),
        ]
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.visits += other.visits;
        self.met += other.met;
        self.not_home += other.not_home;
        self.refused += other.refused;
        self.moved += other.moved;
        self.locked += other.locked;
        self.inaccessible += other.inaccessible;
        self.people_met += other.people_met;
        self.doors_reached += other.doors_reached;
        self.support_1 += other.support_1;
        self.support_2 += other.support_2;
        self.support_3 += other.support_3;
        self.support_4 += other.support_4;
        self.support_5 += other.support_5;
        self.flagged += other.flagged;
        self.verified += other.verified;
        self.rejected += other.rejected;
        self.voided += other.voided;
    }
}

impl Neg for Counters {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            visits: -self.visits,
            met: -self.met,
            not_home: -self.not_home,
            refused: -self.refused,
            moved: -self.moved,
            locked: -self.locked,
            inaccessible: -self.inaccessible,
            people_met: -self.people_met,
            doors_reached: -self.doors_reached,
            support_1: -self.support_1,
            support_2: -self.support_2,
            support_3: -self.support_3,
            support_4: -self.support_4,
            support_5: -self.support_5,
            flagged: -self.flagged,
            verified: -self.verified,
            rejected: -self.rejected,
            voided: -self.voided,
        }
    }
}

/// A change to the counts of one booth, campaign and day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    pub state_id: UnitId,
    pub booth_id: UnitId,
    pub campaign_id: CampaignId,
    pub day: NaiveDate,
    /// The units to be charged: the booth's lineage on that day without the nation.
    pub unit_ids: Vec<UnitId>,
    pub counters: Counters,
}

const APPEND: &str = "
    INSERT INTO tally_inbox (state_id, booth_id, campaign_id, day, unit_ids,
        visits, met, not_home, refused, moved, locked, inaccessible, people_met, doors_reached, support_1,
        support_2, support_3, support_4, support_5, flagged, verified, rejected, voided)
    SELECT state_id, booth_id, campaign_id, day, unit_ids::int[],
        visits, met, not_home, refused, moved, locked, inaccessible, people_met, doors_reached, support_1,
        support_2, support_3, support_4, support_5, flagged, verified, rejected, voided
    FROM unnest($1::int[], $2::int[], $3::int[], $4::date[], $5::text[],
              $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[],
              $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[],
              $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[])
         AS t (state_id, booth_id, campaign_id, day, unit_ids,
        visits, met, not_home, refused, moved, locked, inaccessible, people_met, doors_reached, support_1,
        support_2, support_3, support_4, support_5, flagged, verified, rejected, voided)";

/// Appends tallies to the inbox, in one statement; those that change nothing are left out.
///
/// # Errors
/// What the database says.
pub async fn append(tx: &mut Tx, tallies: &[Tally]) -> QueryResult<()> {
    let tallies: Vec<&Tally> = tallies.iter().filter(|tally| !tally.counters.is_zero()).collect();
    if tallies.is_empty() {
        return Ok(());
    }
    let counter = |f: fn(&Counters) -> i64| {
        tallies
            .iter()
            .map(|tally| f(&tally.counters))
            .collect::<Vec<i64>>()
    };
    statement(APPEND)
        .bind::<Array<Integer>, _>(tallies.iter().map(|tally| tally.state_id).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(tallies.iter().map(|tally| tally.booth_id).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(tallies.iter().map(|tally| tally.campaign_id).collect::<Vec<_>>())
        .bind::<Array<Date>, _>(tallies.iter().map(|tally| tally.day).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(
            tallies
                .iter()
                .map(|tally| array_text(&tally.unit_ids))
                .collect::<Vec<_>>(),
        )
        .bind::<Array<BigInt>, _>(counter(|c| c.visits))
        .bind::<Array<BigInt>, _>(counter(|c| c.met))
        .bind::<Array<BigInt>, _>(counter(|c| c.not_home))
        .bind::<Array<BigInt>, _>(counter(|c| c.refused))
        .bind::<Array<BigInt>, _>(counter(|c| c.moved))
        .bind::<Array<BigInt>, _>(counter(|c| c.locked))
        .bind::<Array<BigInt>, _>(counter(|c| c.inaccessible))
        .bind::<Array<BigInt>, _>(counter(|c| c.people_met))
        .bind::<Array<BigInt>, _>(counter(|c| c.doors_reached))
        .bind::<Array<BigInt>, _>(counter(|c| c.support_1))
        .bind::<Array<BigInt>, _>(counter(|c| c.support_2))
        .bind::<Array<BigInt>, _>(counter(|c| c.support_3))
        .bind::<Array<BigInt>, _>(counter(|c| c.support_4))
        .bind::<Array<BigInt>, _>(counter(|c| c.support_5))
        .bind::<Array<BigInt>, _>(counter(|c| c.flagged))
        .bind::<Array<BigInt>, _>(counter(|c| c.verified))
        .bind::<Array<BigInt>, _>(counter(|c| c.rejected))
        .bind::<Array<BigInt>, _>(counter(|c| c.voided))
        .execute(tx)
        .await
        .map(|_| ())
}

/// An array as PostgreSQL writes it: arrays of arrays cannot be unnested row by row, texts can.
pub(super) fn array_text(ids: &[UnitId]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    format!("{{{}}}", ids.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_named_are_the_columns_of_the_statement() {
        let names: Vec<&str> = Counters::default()
            .named()
            .iter()
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(names.join(", "), crate::counter_columns!());
        for name in names {
            assert!(crate::counter_sums!().contains(&format!("sum({name})")));
            assert!(crate::counter_additions!().contains(&format!("{name} = t.{name} + excluded.{name}")));
        }
    }

    #[test]
    fn a_change_and_its_negative_cancel_out() {
        let mut sum = Counters {
            visits: 2,
            doors_reached: 1,
            ..Counters::default()
        };
        sum += -sum;
        assert!(sum.is_zero());
    }
}
