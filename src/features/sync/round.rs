//! Making a page: what the phone holds is carried towards what it should hold, as far as the page reaches.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use uuid::Uuid;

use super::cursor::{Containers, Known, Partial};
use super::now::{Now, day_number};
use super::queries;
use super::rules::{CAMPAIGN_WEIGHT, Hash, Kind, difference, item_value, short};
use super::wire::{Held, SyncCampaign, SyncHousehold, SyncView, SyncVisit};
use crate::access::Scope;
use crate::access::actions::SyncRead;
use crate::features::campaigns::list_current;
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::error::ApiError;
use crate::platform::ids::{CampaignId, UnitId};

/// A page in the making.
#[derive(Debug)]
pub struct Round {
    now: Now,
    /// What the phone holds once it has applied the page so far.
    pub known: Known,
    pub page: SyncView,
    /// For how many more items there is room.
    room: usize,
    limit: usize,
    /// In which flags are explained.
    language: String,
}

impl Round {
    /// An empty page for a phone that holds this, or nothing.
    pub fn new(known: Option<Known>, now: Now, limit: usize, language: &str) -> Self {
        let page = SyncView {
            fresh: known.is_none(),
            ..SyncView::default()
        };
        Self {
            now,
            known: known.unwrap_or_default(),
            page,
            room: limit,
            limit,
            language: language.to_owned(),
        }
    }

    /// What the phone says that it holds, against what the last answer said it must: kinds that differ start anew.
    pub fn compare(&mut self, held: &Held) {
        let Some(hashes) = self.known.hashes else { return };
        for ((kind, _, text), hash) in held.by_kind().into_iter().zip(hashes) {
            if text.is_some_and(|text| Hash::parse(text) != Some(hash)) {
                self.page.reset.push(kind);
                match kind {
                    Kind::Grants => self.known.grants.clear(),
                    Kind::Units => self.known.units.clear(),
                    Kind::Campaigns => self.known.campaigns.clear(),
                    Kind::Households => self.known.booths.values_mut().for_each(|held| *held = None),
                    Kind::Visits => self.known.days.clear(),
                    Kind::Tasks => self.known.tasks.clear(),
                }
            }
        }
    }

    /// Fills the page.
    ///
    /// # Errors
    /// What the database says.
    pub async fn fill(
        &mut self,
        tx: &mut Tx,
        keys: &DataKeys,
        scope: &Scope<SyncRead>,
    ) -> Result<(), ApiError> {
        self.known.hashes = None;
        self.note_booths();
        self.add_grants_and_units();
        self.add_campaigns(tx).await?;
        self.add_tasks();
        self.add_changed_households(tx).await?;
        self.add_whole_booths(tx).await?;
        self.add_days(tx, keys, scope).await?;
        self.page.has_more = !self.is_complete();
        if !self.page.has_more {
            self.known.positions.clone_from(&self.now.heads);
            self.known.hashes = Some(self.now.hashes);
            self.page.hashes = Some(self.now.hashes.into());
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.known.partial.is_none()
            && self.known.grants == shorts(self.now.grants.iter().map(|(id, grant)| (*id, &grant.rev)))
            && self.known.units == shorts(self.now.units.iter().map(|(id, unit)| (*id, &unit.rev)))
            && self.known.campaigns == shorts(self.now.campaigns.iter().map(|(id, rev)| (*id, rev)))
            && self.known.tasks == shorts(self.now.tasks.iter().map(|(id, task)| (*id, &task.rev)))
            && self.known.booths == self.now.booths
            && self.known.days == self.now.days
    }

    fn note_booths(&mut self) {
        let (known, now) = (&mut self.known, &self.now);
        let found = difference(
            &known.booths.keys().map(|id| (*id, ())).collect(),
            &now.booths.keys().map(|id| (*id, ())).collect(),
        );
        for booth in &found.gone {
            known.booths.remove(booth);
        }
        known
            .booths
            .extend(found.changed.iter().map(|booth| (*booth, None)));
        if matches!(known.partial, Some(Partial::Booth(booth, _)) if known.booths.get(&booth).is_none_or(Option::is_none))
        {
            known.partial = None;
        }
        known.positions.retain(|state, _| now.heads.contains_key(state));
        for (state, head) in &now.heads {
            known.positions.entry(*state).or_insert(*head);
        }
        self.page.booths.gained = found.changed;
        self.page.booths.lost = found.gone;
    }

    fn add_grants_and_units(&mut self) {
        let wanted = shorts(self.now.grants.iter().map(|(id, grant)| (*id, &grant.rev)));
        let (gone, changed) = step(&mut self.known.grants, &wanted, &mut self.room, 1);
        self.page.gone.grants = gone;
        self.page.grants = pick(&self.now.grants, &changed);
        let wanted = shorts(self.now.units.iter().map(|(id, unit)| (*id, &unit.rev)));
        let (gone, changed) = step(&mut self.known.units, &wanted, &mut self.room, 1);
        self.page.gone.units = gone;
        self.page.units = pick(&self.now.units, &changed);
    }

    fn add_tasks(&mut self) {
        let wanted = shorts(self.now.tasks.iter().map(|(id, task)| (*id, &task.rev)));
        let (gone, changed) = step(&mut self.known.tasks, &wanted, &mut self.room, CAMPAIGN_WEIGHT);
        self.page.gone.tasks = gone;
        self.page.tasks = pick(&self.now.tasks, &changed);
    }

    async fn add_campaigns(&mut self, tx: &mut Tx) -> Result<(), ApiError> {
        let wanted = shorts(self.now.campaigns.iter().map(|(id, rev)| (*id, rev)));
        let (gone, changed) = step(
            &mut self.known.campaigns,
            &wanted,
            &mut self.room,
            CAMPAIGN_WEIGHT,
        );
        self.page.gone.campaigns = gone;
        if !changed.is_empty() {
            let ids: Vec<CampaignId> = changed.into_iter().map(CampaignId).collect();
            let views = list_current(tx, &ids).await?;
            self.page.campaigns = views.into_iter().map(SyncCampaign::from).collect();
        }
        Ok(())
    }

    /// Booths of which the phone holds an older state: what the journal names of them, else the whole booth.
    async fn add_changed_households(&mut self, tx: &mut Tx) -> Result<(), ApiError> {
        let partial = match self.known.partial {
            Some(Partial::Booth(booth, _)) => Some(booth),
            _ => None,
        };
        let held = self.known.booths.iter();
        let older: Vec<i32> = held
            .filter(|(booth, held)| {
                held.is_some() && partial != Some(**booth) && self.now.booths.get(booth) != Some(held)
            })
            .map(|(booth, _)| *booth)
            .collect();
        if older.is_empty() || self.room == 0 {
            return Ok(());
        }
        let since: Vec<(UnitId, i64)> = older
            .iter()
            .map(|booth| (UnitId(*booth), self.position(*booth)))
            .collect();
        let rows = queries::changed_households(tx, &since, self.room.saturating_add(1)).await?;
        // A booth whose rows may go on beyond the page is left to the next one.
        let cut = (rows.len() > self.room)
            .then(|| rows.last().map(|row| row.booth_id.0))
            .flatten();
        let whole_page = self.room == self.limit;
        let mut named: BTreeMap<i32, Vec<SyncHousehold>> = BTreeMap::new();
        for row in rows {
            let from_afar = self.now.from_afar.contains(&row.booth_id.0);
            let booth = row.booth_id.0;
            named
                .entry(booth)
                .or_default()
                .push(SyncHousehold::new(row, from_afar));
        }
        for (n, booth) in older.into_iter().enumerate() {
            match cut {
                Some(cut) if booth > cut || (booth == cut && !(n == 0 && whole_page)) => break,
                _ => {}
            }
            match named.remove(&booth) {
                Some(items) if cut != Some(booth) => {
                    self.room = self.room.saturating_sub(items.len());
                    self.page.households.extend(items);
                    self.known
                        .booths
                        .insert(booth, self.now.booths.get(&booth).copied().flatten());
                }
                // Nothing named explains the difference, or more is named than a page holds.
                _ => {
                    self.page.replaced.booths.push(booth);
                    self.known.booths.insert(booth, None);
                }
            }
        }
        Ok(())
    }

    /// The journal's number up to which changes in a booth were given.
    fn position(&self, booth: i32) -> i64 {
        let state = self.now.states.get(&booth);
        state
            .and_then(|state| self.known.positions.get(state))
            .copied()
            .unwrap_or_default()
    }

    /// Booths of which the phone holds nothing or, from the page before, the first part.
    async fn add_whole_booths(&mut self, tx: &mut Tx) -> Result<(), ApiError> {
        let mut wanted = Vec::new();
        if let Some(Partial::Booth(booth, after)) = self.known.partial {
            wanted.push((UnitId(booth), after));
        }
        for (booth, held) in &self.known.booths {
            let missing = held.is_none() && self.now.booths.get(booth).is_some_and(Option::is_some);
            if missing {
                wanted.push((UnitId(*booth), Uuid::nil()));
            }
        }
        if wanted.is_empty() || self.room == 0 {
            return Ok(());
        }
        let mut rows = queries::households(tx, &wanted, self.room.saturating_add(1)).await?;
        let more = rows.len() > self.room;
        rows.truncate(self.room);
        self.known.partial = rows
            .last()
            .filter(|_| more)
            .map(|row| Partial::Booth(row.booth_id.0, row.id.0));
        self.room = self.room.saturating_sub(rows.len());
        for row in rows {
            let from_afar = self.now.from_afar.contains(&row.booth_id.0);
            let item = SyncHousehold::new(row, from_afar);
            let value = item_value(item.id, &item.rev);
            add(&mut self.known.booths, item.booth_id.0, value);
            self.page.households.push(item);
        }
        Ok(())
    }

    /// Days whose visits differ, and the rest of one from the page before.
    async fn add_days(
        &mut self,
        tx: &mut Tx,
        keys: &DataKeys,
        scope: &Scope<SyncRead>,
    ) -> Result<(), ApiError> {
        let found = difference(&self.known.days, &self.now.days);
        for day in found.gone {
            self.known.days.remove(&day);
            self.page.replaced.days.extend(date(day));
            if matches!(self.known.partial, Some(Partial::Day(partial, _)) if partial == day) {
                self.known.partial = None;
            }
        }
        let mut wanted = Vec::new();
        let partial = match self.known.partial {
            Some(Partial::Day(day, after)) => {
                wanted.extend(date(day).map(|date| (date, after)));
                Some(day)
            }
            Some(Partial::Booth(..)) => return Ok(()),
            None => None,
        };
        let others = found.changed.into_iter().filter(|day| Some(*day) != partial);
        wanted.extend(others.filter_map(date).map(|day| (day, Uuid::nil())));
        if wanted.is_empty() || self.room == 0 {
            return Ok(());
        }
        let mut rows = queries::visits(
            tx,
            keys,
            scope,
            &self.language,
            &wanted,
            self.room.saturating_add(1),
        )
        .await?;
        let more = rows.len() > self.room;
        rows.truncate(self.room);
        self.known.partial = rows
            .last()
            .filter(|_| more)
            .map(|(row, _)| Partial::Day(day_number(row.visited_on), row.id.0));
        self.room = self.room.saturating_sub(rows.len());
        let mut begun = partial;
        for (row, answers) in rows {
            let day = day_number(row.visited_on);
            if begun != Some(day) {
                begun = Some(day);
                self.known.days.remove(&day);
                self.page.replaced.days.push(row.visited_on);
            }
            let item = SyncVisit::new(row, &answers, &self.language);
            add(&mut self.known.days, day, item_value(item.id, &item.rev));
            self.page.visits.push(item);
        }
        Ok(())
    }
}

/// Puts an item into a container.
fn add(containers: &mut Containers, key: i32, value: u64) {
    let held = containers.entry(key).or_default();
    *held = Some(held.unwrap_or_default() ^ short(value));
}

fn date(day: i32) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(day)
}

/// What a cursor keeps of each item.
fn shorts<'a>(items: impl Iterator<Item = (i32, &'a String)>) -> BTreeMap<i32, u32> {
    items.map(|(id, rev)| (id, short(item_value(id, rev)))).collect()
}

/// Carries what is held towards what is wanted, as far as there is room: what is gone, and what comes.
fn step(
    held: &mut BTreeMap<i32, u32>,
    wanted: &BTreeMap<i32, u32>,
    room: &mut usize,
    weight: usize,
) -> (Vec<i32>, Vec<i32>) {
    let mut found = difference(held, wanted);
    // At least one, however heavy, so that a small page comes forward too.
    found.changed.truncate(room.div_ceil(weight));
    *room = room.saturating_sub(found.changed.len().saturating_mul(weight));
    for key in &found.gone {
        held.remove(key);
    }
    for key in &found.changed {
        if let Some(value) = wanted.get(key) {
            held.insert(*key, *value);
        }
    }
    (found.gone, found.changed)
}

/// The items with these ids.
fn pick<T: Clone>(items: &BTreeMap<i32, T>, ids: &[i32]) -> Vec<T> {
    ids.iter().filter_map(|id| items.get(id)).cloned().collect()
}
