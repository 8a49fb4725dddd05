//! The recorder: requests that wait at the same moment share one transaction, as databases group their commits.
//!
//! Each request puts its visits into a bounded queue and waits for the answer. A few lanes take whatever lies in the
//! queue, at once and without a timer, so that a lone request is not slowed; while a lane writes, the next group gathers.
//! No answer is given before the commit. What a database refuses fails alone: a group that fails is written again
//! request by request, and a request that fails visit by visit. Since a resend is known by its id and digest, writing
//! again is always safe, after a lost connection too.

mod doubts;
mod group;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use diesel::QueryResult;
use quick_cache::sync::Cache;
use tokio::sync::{mpsc, oneshot};

use super::doors::{self, Lineages};
use super::queries::{self, BoothRow, VisitRow};
use super::rules::{self, Times};
use super::wire::VisitSent;
use crate::features::campaigns::{self, CampaignFacts};
use crate::features::units::{Hold, hold_lineages};
use crate::journal::{Actor, write};
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Mode, Tx};
use crate::platform::error::{ApiError, Code, Transient};
use crate::platform::ids::{CampaignId, UnitId};
use crate::platform::load::{Load, Waiting};
use crate::platform::wall::RECORDER;

use doubts::{Background, hold, raise_again, trails};
use group::{Item, Prospect, add_visits, doorsteps, entries, insert, judge, permits, settle};

/// Groups written at the same time. Two keep the database busy while one waits for its commit to reach the disk.
const LANES: u32 = 2;
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
    strong: bool,
    visits: Vec<VisitSent>,
    answer: oneshot::Sender<Result<Answers, ApiError>>,
    waiting: Waiting,
}

/// The way in. Cheap to clone; the lanes end with the last one.
#[derive(Clone, Debug)]
pub struct Recorder {
    db: Db,
    queue: mpsc::Sender<Job>,
    load: Load,
}

/// What the lanes share.
struct Desk {
    db: Db,
    clock: Clock,
    load: Load,
    booths: Cache<UnitId, BoothRow>,
    campaigns: Mutex<HashMap<CampaignId, Arc<CampaignFacts>>>,
}

impl Recorder {
    /// Starts the lanes.
    #[must_use]
    pub fn start(db: &Db, clock: &Clock) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
        let load = Load::default();
        let desk = Arc::new(Desk {
            db: db.as_program(&RECORDER),
            clock: clock.clone(),
            load: load.clone(),
            booths: Cache::new(BOOTHS),
            campaigns: Mutex::new(HashMap::new()),
        });
        for _ in 0..LANES {
            db.runtime().spawn(lane(desk.clone(), waiting.clone()));
        }
        Self {
            db: db.clone(),
            queue,
            load,
        }
    }

    /// How much waits.
    #[must_use]
    pub const fn load(&self) -> &Load {
        &self.load
    }

    /// Records visits for an actor, whose session has a second factor (`strong`) or not; returns when they are committed.
    ///
    /// # Errors
    /// 503 when the database cannot be had or too many requests wait; what is wrong with a visit is its own answer.
    pub async fn record(
        &self,
        actor: &Actor,
        strong: bool,
        visits: Vec<VisitSent>,
    ) -> Result<Answers, ApiError> {
        // The lanes may still wait for what was under way when it went; nobody queues behind that.
        self.db.check_reach()?;
        let (answer, answered) = oneshot::channel();
        let busy = |why: &str| ApiError::unavailable("too many uploads at once", why);
        let waiting = self.load.enter(visits.len());
        let job = Job {
            actor: *actor,
            strong,
            visits,
            answer,
            waiting: waiting.ok_or_else(|| busy("they would wait too long"))?,
        };
        self.queue
            .try_send(job)
            .map_err(|error| busy(&error.to_string()))?;
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
        let mut waiting = Vec::new();
        let began = Instant::now();
        for (
            job,
            Job {
                actor,
                strong,
                visits,
                answer,
                waiting: place,
            },
        ) in jobs.into_iter().enumerate()
        {
            callers.push(answer);
            waiting.push(place);
            items.extend(
                visits
                    .into_iter()
                    .map(|sent| self.item(job, (actor, strong), sent)),
            );
        }
        let mut answers: Vec<Result<Answers, ApiError>> = callers.iter().map(|_| Ok(Vec::new())).collect();
        match self.store(&items).await {
            Ok(all) => {
                self.load.measured(items.len(), began.elapsed(), LANES);
                distribute(&items, all, &mut answers);
            }
            Err(error) if error.code() != Code::Internal || items.len() == 1 => {
                fail_all(error, &mut answers);
            }
            Err(_) => self.serve_apart(items, &mut answers).await,
        }
        drop(waiting);
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

    fn item(&self, job: usize, (actor, strong): (Actor, bool), sent: VisitSent) -> Item {
        let times = Times {
            visited_at: sent.visited_at,
            visited_day: self.clock.day_of(sent.visited_at),
            received_at: actor.at,
            received_day: self.clock.day_of(actor.at),
            visited_time: self.clock.time_of(sent.visited_at),
        };
        let digest = rules::digest_of(self.db.keys(), &sent);
        Item {
            job,
            actor,
            strong,
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
        let mut transaction = self.db.begin(Mode::KeyedWrite).await?;
        match transaction.run(async |tx| self.write(tx, items).await).await {
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
        hold(tx, items, &campaigns).await?;
        // Everything that they hang on is held. They are sent at once, none waits for the answer to another.
        let together: &Tx = tx;
        let (mut permits, doors, trails) = tokio::try_join!(
            permits(together, items, &campaigns, self.clock.today()),
            doorsteps(together, items, &booths),
            trails(together, items, &campaigns, &booths),
        )?;
        let mut answers: Vec<Option<Result<Recorded, ApiError>>> = Vec::with_capacity(items.len());
        let mut prospects = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let permit = permits.get_mut(at).and_then(Option::take);
            let campaign = campaigns.get(&item.sent.campaign_id);
            match judge(at, item, permit, campaign, &doors) {
                Ok(prospect) => {
                    prospects.push(prospect);
                    answers.push(None);
                }
                Err(error) => answers.push(Some(Err(error))),
            }
        }
        let background = Background::of(trails, &prospects);
        background.clone().raise(items, &mut prospects, |_| true)?;
        let stored = insert(tx, self.db.keys(), &prospects).await?;
        if stored.contains(&false) {
            raise_again(tx, background, items, &mut prospects, &stored).await?;
        }
        self.post(tx, items, &prospects, &stored, &booths).await?;
        for (prospect, stored) in prospects.iter().zip(&stored) {
            if let Some(slot) = answers.get_mut(prospect.item)
                && *stored
            {
                *slot = Some(Ok(Recorded::Created(prospect.row.clone())));
            }
        }
        settle(tx, self.db.keys(), items, &booths, answers).await
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
