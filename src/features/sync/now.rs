//! What a phone should hold now: everything that a page is compared with, in the page's snapshot.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Datelike;

use super::cursor::Containers;
use super::queries::{self, NumberRow};
use super::rules::{CAMPAIGN_DAYS, Hash, MAX_BOOTHS, MAX_UNITS, item_value, short};
use super::wire::{SyncGrant, SyncUnit, campaign_rev};
use crate::access::actions::{Action, HouseholdRead, SyncRead};
use crate::access::fields::PrivateField;
use crate::access::{Caller, Scope};
use crate::features::campaigns::versions_at;
use crate::platform::db::Tx;
use crate::platform::error::{ApiError, Code};
use crate::platform::ids::UnitId;

/// What should be held.
#[derive(Debug, Default)]
pub struct Now {
    pub grants: BTreeMap<i32, SyncGrant>,
    pub units: BTreeMap<i32, SyncUnit>,
    /// With each campaign's `rev`.
    pub campaigns: BTreeMap<i32, String>,
    /// The state of each booth in scope.
    pub states: BTreeMap<i32, i32>,
    /// Booths seen from above the mandal.
    pub from_afar: BTreeSet<i32>,
    pub booths: Containers,
    pub days: Containers,
    /// How long the journals of the booths' states are.
    pub heads: BTreeMap<i32, i64>,
    pub hashes: [Hash; 5],
}

impl Now {
    /// Reads it.
    ///
    /// # Errors
    /// 422 if there are too many booths for a phone; what the database says.
    pub async fn read(tx: &mut Tx, caller: &Caller, scope: &Scope<SyncRead>) -> Result<Self, ApiError> {
        let mut now = Self {
            grants: caller
                .held()
                .map(|grant| (grant.id.0, SyncGrant::from(grant)))
                .collect(),
            ..Self::default()
        };
        now.read_units(tx, caller, scope).await?;
        let booths: Vec<UnitId> = now.states.keys().map(|id| UnitId(*id)).collect();
        let afar: Vec<UnitId> = now.from_afar.iter().map(|id| UnitId(*id)).collect();
        let states: BTreeSet<i32> = now.states.values().copied().collect();
        let states: Vec<UnitId> = states.into_iter().map(UnitId).collect();
        let heads = queries::journal_heads(tx, &states).await?;
        now.heads = heads.into_iter().map(|row| (row.key, row.number)).collect();
        now.read_campaigns(tx, caller).await?;
        now.booths = now.states.keys().map(|id| (*id, None)).collect();
        let households = sum(
            &mut now.booths,
            queries::household_hashes(tx, &booths, &afar).await?,
        );
        let visits = sum(
            &mut now.days,
            queries::visit_hashes(tx, scope, caller.language(), caller.today()).await?,
        );
        now.hashes = [
            all(now.grants.values().map(|grant| item_value(grant.id, &grant.rev))),
            all(now.units.values().map(|unit| item_value(unit.id, &unit.rev))),
            all(now.campaigns.iter().map(|(id, rev)| item_value(id, rev))),
            households,
            visits,
        ];
        Ok(now)
    }

    async fn read_units(
        &mut self,
        tx: &mut Tx,
        caller: &Caller,
        scope: &Scope<SyncRead>,
    ) -> Result<(), ApiError> {
        let rows = queries::units(tx, scope, caller.today()).await?;
        let booths = rows.iter().filter(|row| row.level == "booth").count();
        if rows.len() > MAX_UNITS || booths > MAX_BOOTHS {
            return Err(ApiError::new(
                Code::ScopeTooWide,
                format!("your grants reach more than {MAX_BOOTHS} booths"),
            ));
        }
        let near: Vec<UnitId> = caller
            .grants()
            .filter(|grant| {
                grant.role.may(HouseholdRead::ACTION) && PrivateField::HouseholdPlace.is_shown_to(grant.role)
            })
            .map(|grant| grant.unit_id)
            .collect();
        let mut above = BTreeSet::new();
        for row in rows {
            above.extend(row.lineage.iter().map(|id| id.0));
            if row.level == "booth" {
                self.states.insert(row.id.0, row.state_id.0);
                if !row.lineage.iter().any(|id| near.contains(id)) {
                    self.from_afar.insert(row.id.0);
                }
            }
            self.units.insert(row.id.0, row.into());
        }
        above.retain(|id| !self.units.contains_key(id));
        let above: Vec<UnitId> = above.into_iter().map(UnitId).collect();
        for row in queries::uppers(tx, &above).await? {
            self.units.insert(row.id.0, row.into());
        }
        Ok(())
    }

    async fn read_campaigns(&mut self, tx: &mut Tx, caller: &Caller) -> Result<(), ApiError> {
        let over_booths: BTreeSet<UnitId> = self
            .states
            .keys()
            .filter_map(|booth| self.units.get(booth))
            .flat_map(|unit| unit.lineage.iter().copied())
            .collect();
        let over_booths: Vec<UnitId> = over_booths.into_iter().collect();
        let versions = versions_at(tx, &over_booths, caller.today() - CAMPAIGN_DAYS).await?;
        self.campaigns = versions
            .into_iter()
            .map(|(id, version)| (id.0, campaign_rev(version)))
            .collect();
        Ok(())
    }
}

/// The number of a day in a cursor.
pub fn day_number(day: chrono::NaiveDate) -> i32 {
    day.num_days_from_ce()
}

/// Fills in what each container holds; the hash of all.
fn sum(containers: &mut Containers, rows: Vec<NumberRow>) -> Hash {
    let mut hash = Hash::default();
    for row in rows {
        let value = row.number.cast_unsigned();
        hash.toggle(value);
        containers.insert(row.key, Some(short(value)));
    }
    hash
}

fn all(values: impl Iterator<Item = u64>) -> Hash {
    let mut hash = Hash::default();
    values.for_each(|value| hash.toggle(value));
    hash
}
