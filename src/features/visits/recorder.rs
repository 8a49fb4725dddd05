//! The recorder: requests that wait at the same moment share one transaction, as databases group their commits.
//!
//! Each request puts its visits into a bounded queue and waits for the answer. A few lanes take whatever lies in the
//! queue, at once and without a timer, so that a lone request is not slowed; while a lane writes, the next group gathers.
//! No answer is given before the commit. What a database refuses fails alone: a group that fails is written again
//! request by request, and a request that fails visit by visit. Since a resend is known by its id and digest, writing
//! again is always safe, after a lost connection too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::NaiveDate;
use diesel::QueryResult;
use quick_cache::sync::Cache;
use tokio::sync::{mpsc, oneshot};

use super::doors::{self, Lineages, charged};
use super::queries::{self, BoothRow, VisitKey, VisitRow};
use super::rules::{self, Times};
use super::wire::{Review, VisitSent};
use crate::access::actions::VisitRecord;
use crate::access::policy::{Ask, DatedPermit, permits_on_days};
use crate::features::campaigns::{self, CampaignFacts};
use crate::features::units::{Hold, hold_lineages};
use crate::journal::{Actor, Counters, Digest, Entry, Tally, write};
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Mode, Tx};
use crate::platform::error::{ApiError, Code, Transient};
use crate::platform::ids::{CampaignId, HouseholdId, UnitId};

/// Groups written at the same time. Two keep the database busy while one waits for its commit to reach the disk.
const LANES: usize = 2;
/// Requests that may wait; more get 503 and come again.
const QUEUE: usize = 4096;
/// Visits in a group, above which it takes no further request.
const GROUP: usize = 1000;
/// How often a group is written when it meets a deadlock or loses its connection.
const TRIES: u32 = 3;
/// Booths whose state is remembered; a booth never changes its state.
const BOOTHS: usize = 50_000;

/// What became of a visit.
#[derive(Clone, Debug)]
pub enum Recorded {
    /// Stored now.
    Created(VisitRow),
    /// The same was stored before.
    Duplicate(VisitRow),
    /// Another visit has its id. What of it may be shown is for the caller's grants to say.
    Conflict(VisitRow),
}

/// The answers, in the order of the visits sent.
pub type Answers = Vec<Result<Recorded, ApiError>>;

struct Job {
    actor: Actor,
    visits: Vec<VisitSent>,
    answer: oneshot::Sender<Result<Answers, ApiError>>,
}

/// One visit of a group with what can be told without the database.
struct Item {
    job: usize,
    actor: Actor,
    sent: VisitSent,
    digest: Digest,
    times: Times,
}

/// A visit that may be stored.
struct Prospect {
    item: usize,
    row: VisitRow,
    lineage: Vec<UnitId>,
}

/// The way in. Cheap to clone; the lanes end with the last one.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Job>,
}

/// What the lanes share.
struct Desk {
    db: Db,
    clock: Clock,
    booths: Cache<UnitId, BoothRow>,
    campaigns: Mutex<HashMap<CampaignId, Arc<CampaignFacts>>>,
}

impl Recorder {
    /// Starts the lanes.
    #[must_use]
    pub fn start(db: &Db, clock: &Clock) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
        let desk = Arc::new(Desk {
            db: db.clone(),
            clock: clock.clone(),
            booths: Cache::new(BOOTHS),
            campaigns: Mutex::new(HashMap::new()),
        });
        for _ in 0..LANES {
            db.runtime().spawn(lane(desk.clone(), waiting.clone()));
        }
        Self { queue }
    }

    /// Records visits for an actor; returns when they are committed.
    ///
    /// # Errors
    /// 503 when the database cannot be had or too many requests wait; what is wrong with a visit is its own answer.
    pub async fn record(&self, actor: &Actor, visits: Vec<VisitSent>) -> Result<Answers, ApiError> {
        let (answer, answered) = oneshot::channel();
        let job = Job {
            actor: *actor,
            visits,
            answer,
        };
        self.queue
            .try_send(job)
            .map_err(|error| ApiError::unavailable("too many uploads at once", error.to_string()))?;
        answered.await.map_err(ApiError::internal)?
    }
}

async fn lane(desk: Arc<Desk>, waiting: Arc<tokio::sync::Mutex<mpsc::Receiver<Job>>>) {
    loop {
        let mut jobs = Vec::new();
        {
            let mut waiting = waiting.lock().await;
            let Some(first) = waiting.recv().await else {
                return;
            };
            let mut visits = first.visits.len();
            jobs.push(first);
            while visits < GROUP
                && let Ok(job) = waiting.try_recv()
            {
                visits += job.visits.len();
                jobs.push(job);
            }
        }
        desk.serve(jobs).await;
    }
}

impl Desk {
    /// Writes a group and answers its requests.
    async fn serve(&self, jobs: Vec<Job>) {
        let mut items = Vec::new();
        let mut callers = Vec::new();
        for (
            job,
            Job {
                actor,
                visits,
                answer,
            },
        ) in jobs.into_iter().enumerate()
        {
            callers.push(answer);
            items.extend(visits.into_iter().map(|sent| self.item(job, actor, sent)));
        }
        let mut answers: Vec<Result<Answers, ApiError>> = callers.iter().map(|_| Ok(Vec::new())).collect();
        match self.store(&items).await {
            Ok(all) => distribute(&items, all, &mut answers),
            Err(error) if error.code() != Code::Internal || items.len() == 1 => {
                fail_all(error, &mut answers);
            }
            Err(_) => self.serve_apart(items, &mut answers).await,
        }
        for (caller, answer) in callers.into_iter().zip(answers) {
            // A caller that has gone away finds his visits stored when he asks again.
            let _ = caller.send(answer);
        }
    }

    /// Request by request, and visit by visit where a request fails as a whole: a fault of ours that one visit brings
    /// out is answered to it alone.
    async fn serve_apart(&self, items: Vec<Item>, answers: &mut [Result<Answers, ApiError>]) {
        let mut by_job: BTreeMap<usize, Vec<Item>> = BTreeMap::new();
        for item in items {
            by_job.entry(item.job).or_default().push(item);
        }
        for (job, items) in by_job {
            let answer = match self.store(&items).await {
                Err(error) if error.code() == Code::Internal && items.len() > 1 => {
                    self.store_singly(&items).await
                }
                done => done,
            };
            if let Some(slot) = answers.get_mut(job) {
                *slot = answer;
            }
        }
    }

    async fn store_singly(&self, items: &[Item]) -> Result<Answers, ApiError> {
        let mut answers = Vec::with_capacity(items.len());
        for item in items {
            match self.store(std::slice::from_ref(item)).await {
                Ok(mut one) => answers.extend(one.pop()),
                Err(error) if error.code() == Code::Internal => answers.push(Err(error)),
                Err(error) => return Err(error),
            }
        }
        Ok(answers)
    }

    fn item(&self, job: usize, actor: Actor, sent: VisitSent) -> Item {
        let times = Times {
            visited_at: sent.visited_at,
            visited_day: self.clock.day_of(sent.visited_at),
            received_at: actor.at,
            received_day: self.clock.day_of(actor.at),
        };
        let digest = rules::digest_of(&sent);
        Item {
            job,
            actor,
            sent,
            digest,
            times,
        }
    }

    async fn store(&self, items: &[Item]) -> Result<Answers, ApiError> {
        let mut tries = TRIES;
        loop {
            match self.attempt(items).await {
                Err(error) if error.transient().is_some() && tries > 1 => {
                    tries -= 1;
                    if error.transient() == Some(Transient::Disconnected) {
                        tracing::warn!(
                            "the connection was lost while visits were written; writing them again"
                        );
                    }
                }
                done => return done,
            }
        }
    }

    async fn attempt(&self, items: &[Item]) -> Result<Answers, ApiError> {
        let mut transaction = self.db.begin(Mode::Write).await?;
        match self.write(transaction.tx(), items).await {
            Ok(answers) => {
                transaction.commit().await?;
                self.db.tell_write();
                Ok(answers)
            }
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }

    async fn write(&self, tx: &mut Tx, items: &[Item]) -> Result<Answers, ApiError> {
        let booths = self.booths(tx, items).await?;
        let states: BTreeSet<UnitId> = booths.values().map(|booth| booth.state_id).collect();
        hold_lineages(tx, &states.into_iter().collect::<Vec<_>>(), Hold::Shared).await?;
        let campaigns = self.campaigns(tx, items).await?;
        let mut permits = permits(tx, items, &campaigns, self.clock.today()).await?;
        let households = households(tx, items, &booths).await?;
        let mut answers: Vec<Option<Result<Recorded, ApiError>>> = Vec::with_capacity(items.len());
        let mut prospects = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let permit = permits.get_mut(at).and_then(Option::take);
            let campaign = campaigns.get(&item.sent.campaign_id);
            match judge(at, item, permit, campaign, &households) {
                Ok(prospect) => {
                    prospects.push(prospect);
                    answers.push(None);
                }
                Err(error) => answers.push(Some(Err(error))),
            }
        }
        let stored = insert(tx, &prospects).await?;
        self.post(tx, items, &prospects, &stored, &booths).await?;
        for (prospect, stored) in prospects.iter().zip(&stored) {
            if let Some(slot) = answers.get_mut(prospect.item)
                && *stored
            {
                *slot = Some(Ok(Recorded::Created(prospect.row.clone())));
            }
        }
        settle(tx, items, &booths, answers).await
    }

    /// The places of the booths, remembered.
    async fn booths(&self, tx: &mut Tx, items: &[Item]) -> QueryResult<HashMap<UnitId, BoothRow>> {
        let mut found = HashMap::new();
        let mut unknown = BTreeSet::new();
        for item in items {
            let booth_id = item.sent.booth_id;
            match self.booths.get(&booth_id) {
                Some(booth) => {
                    found.insert(booth_id, booth);
                }
                None => {
                    unknown.insert(booth_id);
                }
            }
        }
        if !unknown.is_empty() {
            for booth in queries::booths(tx, &unknown.into_iter().collect::<Vec<_>>()).await? {
                self.booths.insert(booth.id, booth);
                found.insert(booth.id, booth);
            }
        }
        Ok(found)
    }

    /// The campaigns as they stand: remembered, and asked in this transaction whether they still stand so.
    async fn campaigns(
        &self,
        tx: &mut Tx,
        items: &[Item],
    ) -> QueryResult<HashMap<CampaignId, Arc<CampaignFacts>>> {
        let asked: BTreeSet<CampaignId> = items.iter().map(|item| item.sent.campaign_id).collect();
        let asked: Vec<CampaignId> = asked.into_iter().collect();
        let mut found = HashMap::new();
        let mut unknown = Vec::new();
        let versions = campaigns::versions(tx, &asked).await?;
        {
            let held = self.campaigns.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, version) in versions {
                match held.get(&id) {
                    Some(facts) if facts.version == version => {
                        found.insert(id, facts.clone());
                    }
                    _ => unknown.push(id),
                }
            }
        }
        if !unknown.is_empty() {
            let loaded = campaigns::load_facts(tx, &unknown).await?;
            let mut held = self.campaigns.lock().unwrap_or_else(PoisonError::into_inner);
            for facts in loaded {
                let facts = Arc::new(facts);
                held.insert(facts.id, facts.clone());
                found.insert(facts.id, facts);
            }
        }
        Ok(found)
    }

    /// Appends the journal entries (one a request and state) and tallies (one a booth, campaign and day) of what was
    /// stored, and settles the doors.
    async fn post(
        &self,
        tx: &mut Tx,
        items: &[Item],
        prospects: &[Prospect],
        stored: &[bool],
        booths: &HashMap<UnitId, BoothRow>,
    ) -> QueryResult<()> {
        let new: Vec<&Prospect> = prospects
            .iter()
            .zip(stored)
            .filter(|(_, stored)| **stored)
            .map(|(p, _)| p)
            .collect();
        let Some(nation_id) = booths.values().map(|booth| booth.nation_id).next() else {
            return Ok(());
        };
        let mut lineages = Lineages::new();
        for prospect in &new {
            let place = (prospect.row.booth_id, prospect.row.visited_on);
            lineages.entry(place).or_insert_with(|| prospect.lineage.clone());
        }
        let rows: Vec<&VisitRow> = new.iter().map(|prospect| &prospect.row).collect();
        let shifts = doors::add_contacts(tx, &rows).await?;
        let mut tallies = doors::tallies(tx, &shifts, &mut lineages, nation_id).await?;
        add_visits(&mut tallies, &rows, &lineages, nation_id);
        write::append(tx, &entries(items, &new), &tallies).await
    }
}

fn distribute(items: &[Item], all: Answers, answers: &mut [Result<Answers, ApiError>]) {
    for (item, answer) in items.iter().zip(all) {
        if let Some(Ok(list)) = answers.get_mut(item.job) {
            list.push(answer);
        }
    }
}

/// The same error for every request: it is copied by what a client sees of it, and logged once with its cause.
fn fail_all(error: ApiError, answers: &mut [Result<Answers, ApiError>]) {
    let code = error.code();
    let detail = error.problem().detail;
    let mut first = Some(error);
    for slot in answers {
        *slot = Err(first
            .take()
            .unwrap_or_else(|| ApiError::new(code, detail.clone())));
    }
}

async fn permits(
    tx: &mut Tx,
    items: &[Item],
    campaigns: &HashMap<CampaignId, Arc<CampaignFacts>>,
    today: NaiveDate,
) -> QueryResult<Vec<Option<DatedPermit<VisitRecord>>>> {
    let asks: Vec<Ask> = items
        .iter()
        .map(|item| Ask {
            actor: item.actor,
            booth_id: item.sent.booth_id,
            day: campaigns
                .get(&item.sent.campaign_id)
                .map_or(item.times.received_day, |campaign| {
                    rules::day_of(&item.times, campaign)
                }),
            at: item.times.visited_at,
        })
        .collect();
    permits_on_days(tx, &asks, today).await
}

async fn households(
    tx: &mut Tx,
    items: &[Item],
    booths: &HashMap<UnitId, BoothRow>,
) -> QueryResult<BTreeSet<(UnitId, HouseholdId)>> {
    let asked: BTreeSet<(UnitId, UnitId, HouseholdId)> = items
        .iter()
        .filter_map(|item| {
            let booth = booths.get(&item.sent.booth_id)?;
            Some((booth.state_id, booth.id, item.sent.household_id?))
        })
        .collect();
    if asked.is_empty() {
        return Ok(BTreeSet::new());
    }
    let found = queries::households(tx, &asked.into_iter().collect::<Vec<_>>()).await?;
    Ok(found.into_iter().collect())
}

/// Whether a visit may be stored, and as what.
fn judge(
    at: usize,
    item: &Item,
    permit: Option<DatedPermit<VisitRecord>>,
    campaign: Option<&Arc<CampaignFacts>>,
    households: &BTreeSet<(UnitId, HouseholdId)>,
) -> Result<Prospect, ApiError> {
    let sent = &item.sent;
    let permit = permit.ok_or_else(|| refuse(Code::OutsideScope, "/booth_id"))?;
    let place = &permit.permit;
    let campaign = campaign
        .filter(|campaign| place.lineage().contains(&campaign.unit_id))
        .ok_or_else(|| refuse(Code::UnknownCampaign, "/campaign_id"))?;
    let question_version = rules::check(sent, campaign).map_err(ApiError::fields)?;
    if let Some(household_id) = sent.household_id
        && !households.contains(&(sent.booth_id, household_id))
    {
        return Err(refuse(Code::UnknownHousehold, "/household_id"));
    }
    let Some(worker_id) = item.actor.worker_id else {
        return Err(refuse(Code::OutsideScope, "/booth_id"));
    };
    let flags = rules::flags_of(sent, &item.times, campaign, permit.held_on_day);
    let json = |value: serde_json::Result<serde_json::Value>| value.map_err(ApiError::internal);
    let row = VisitRow {
        state_id: place.state_id(),
        id: sent.id,
        booth_id: sent.booth_id,
        campaign_id: sent.campaign_id,
        worker_id,
        device_id: item.actor.device_id,
        household_id: sent.household_id,
        visited_at: sent.visited_at,
        visited_on: rules::day_of(&item.times, campaign),
        received_at: item.times.received_at,
        outcome: sent.outcome.as_str().to_owned(),
        channel: sent.channel.as_str().to_owned(),
        people_met: sent.people_met,
        support: sent.support,
        issues: json(serde_json::to_value(&sent.issues))?,
        answers: serde_json::Value::Object(sent.answers.clone()),
        question_version,
        note: sent.note.clone(),
        lat: sent.location.map(|position| position.lat),
        lon: sent.location.map(|position| position.lon),
        accuracy_m: sent.location.and_then(|position| position.accuracy_m),
        mock: sent.location.and_then(|position| position.mock),
        duration_s: sent.duration_s,
        flags: json(serde_json::to_value(&flags))?,
        review: Review::Unreviewed.as_str().to_owned(),
        version: 1,
        sent_digest: item.digest.0.to_vec(),
        changed_by: worker_id,
        changed_at: item.times.received_at,
        voided_at: None,
        void_reason: None,
    };
    Ok(Prospect {
        item: at,
        row,
        lineage: place.lineage().to_vec(),
    })
}

fn refuse(code: Code, pointer: &str) -> ApiError {
    ApiError::new(code, code.title()).with_field(pointer, code.as_str(), code.help())
}

/// Stores the prospects whose ids are free, the first of each id; tells for each whether it was stored.
async fn insert(tx: &mut Tx, prospects: &[Prospect]) -> QueryResult<Vec<bool>> {
    let mut first: BTreeMap<VisitKey, usize> = BTreeMap::new();
    for (at, prospect) in prospects.iter().enumerate() {
        first
            .entry((prospect.row.state_id, prospect.row.id))
            .or_insert(at);
    }
    let mut stored = vec![false; prospects.len()];
    if first.is_empty() {
        return Ok(stored);
    }
    let rows: Vec<&VisitRow> = first
        .values()
        .filter_map(|at| Some(&prospects.get(*at)?.row))
        .collect();
    for key in queries::insert_visits(tx, &rows).await? {
        if let Some(slot) = first.get(&key).and_then(|at| stored.get_mut(*at)) {
            *slot = true;
        }
    }
    Ok(stored)
}

/// Answers what was not stored: a resend of what is stored is told so even where it would be refused today, since the
/// phone only asks what became of it.
async fn settle(
    tx: &mut Tx,
    items: &[Item],
    booths: &HashMap<UnitId, BoothRow>,
    answers: Vec<Option<Result<Recorded, ApiError>>>,
) -> Result<Answers, ApiError> {
    let open = |answer: &Option<Result<Recorded, ApiError>>| !matches!(answer, Some(Ok(_)));
    let key_of = |item: &Item| Some((booths.get(&item.sent.booth_id)?.state_id, item.sent.id));
    let keys: BTreeSet<VisitKey> = items
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| open(answer))
        .filter_map(|(item, _)| key_of(item))
        .collect();
    let mut stored: HashMap<VisitKey, VisitRow> = HashMap::new();
    if !keys.is_empty() {
        for row in queries::find_visits(tx, &keys.into_iter().collect::<Vec<_>>()).await? {
            stored.insert((row.state_id, row.id), row);
        }
    }
    let settled = items.iter().zip(answers).map(|(item, answer)| {
        let known = key_of(item).and_then(|key| stored.get(&key));
        match (answer, known) {
            (Some(Ok(recorded)), _) => Ok(recorded),
            (_, Some(row)) if same(item, row) => Ok(Recorded::Duplicate(row.clone())),
            (Some(Err(error)), _) => Err(error),
            (None, Some(row)) => Ok(Recorded::Conflict(row.clone())),
            (None, None) => Err(ApiError::internal("a visit was neither stored nor found")),
        }
    });
    Ok(settled.collect())
}

fn same(item: &Item, row: &VisitRow) -> bool {
    row.sent_digest == item.digest.0 && Some(row.worker_id) == item.actor.worker_id
}

fn add_visits(tallies: &mut Vec<Tally>, rows: &[&VisitRow], lineages: &Lineages, nation_id: UnitId) {
    let mut sums: BTreeMap<(UnitId, CampaignId, NaiveDate), (UnitId, Counters)> = BTreeMap::new();
    for row in rows {
        let key = (row.booth_id, row.campaign_id, row.visited_on);
        sums.entry(key).or_insert((row.state_id, Counters::default())).1 += rules::counters(row);
    }
    for tally in &mut *tallies {
        let key = (tally.booth_id, tally.campaign_id, tally.day);
        if let Some((_, counters)) = sums.remove(&key) {
            tally.counters += counters;
        }
    }
    for ((booth_id, campaign_id, day), (state_id, counters)) in sums {
        let lineage = lineages.get(&(booth_id, day)).map_or(&[][..], Vec::as_slice);
        tallies.push(Tally {
            state_id,
            booth_id,
            campaign_id,
            day,
            unit_ids: charged(lineage, nation_id),
            counters,
        });
    }
}

/// One entry for what a request stored in a state, at its booth, or at the state if it spans several.
fn entries(items: &[Item], new: &[&Prospect]) -> Vec<(Actor, Entry)> {
    let mut groups: BTreeMap<(usize, UnitId), Vec<&Prospect>> = BTreeMap::new();
    for prospect in new {
        let job = items.get(prospect.item).map_or(0, |item| item.job);
        groups
            .entry((job, prospect.row.state_id))
            .or_default()
            .push(prospect);
    }
    let entries = groups.into_iter().filter_map(|((_, state_id), prospects)| {
        let first = prospects.first()?;
        let actor = items.get(first.item)?.actor;
        let one_booth = prospects.iter().all(|p| p.row.booth_id == first.row.booth_id);
        let mut content = Vec::with_capacity(prospects.len() * 48);
        for prospect in &prospects {
            content.extend_from_slice(prospect.row.id.0.as_bytes());
            content.extend_from_slice(&prospect.row.sent_digest);
        }
        let entry = Entry {
            state_id,
            unit_id: if one_booth { first.row.booth_id } else { state_id },
            action: "visit.record",
            subject: "visit",
            subject_ids: Vec::new(),
            subject_uuids: prospects.iter().map(|prospect| prospect.row.id.0).collect(),
            digest: Digest::of_bytes(&content),
        };
        Some((actor, entry))
    });
    entries.collect()
}
