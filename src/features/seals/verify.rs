//! Verification: the journal against itself, against its signed heads and against the rows that it speaks of.
//!
//! Everything is computed anew in one snapshot: each entry's leaf from its fields, the tree from the leaves, each signed
//! head from the tree, each commitment from the version that it is of. What is kept beside the journal (nodes of the tree,
//! its frontier) is compared too. Every version of a visit must have been made by exactly one entry, every verdict given
//! by one, and so every answer to a flag and every back-check; a draw must follow from its request and the head that
//! seeded it; every unit's figures must be those of a recount. All other sealed rows are held against the versions that
//! their writes made (`journal::rows`).
//!
//! With kept heads it can begin at them: the kept root vouches for all that lies before it.

mod audits;
mod reviews;
mod rows;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::NaiveDate;
use uuid::Uuid;

use super::queries::{self, StateRow};
use crate::access::actions::TotalsCheck;
use crate::access::policy::program_permit;
use crate::features::totals::differences_of;
use crate::features::visits::{VersionRow, VisitRow, digest_of, erased_parts, version_names, versions_of};
use crate::journal::keys::SealKey;
use crate::journal::merkle::{Frontier, Node};
use crate::journal::seal::{self, SignedHead};
use crate::journal::stored::entries_after;
use crate::journal::{Actor, Digest, StoredEntry, tree};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{Db, Tx};
use crate::platform::error::ApiError;
use crate::platform::wall::VERIFY;

/// Entries looked at at a time.
const STEP: i64 = 200;
/// Visits whose versions are listed at a time.
const NAMES: i64 = 10_000;
/// Problems told of a state, at most: past these one need not read on.
const MANY: usize = 20;

/// What to verify, and what to hold it against.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Keys that are trusted.
    pub keys: Vec<SealKey>,
    /// Heads that were kept elsewhere.
    pub kept: Vec<SignedHead>,
    /// Begin at the kept heads rather than at the first entry.
    pub since_kept: bool,
    /// Only this state, by its code.
    pub state: Option<String>,
    pub actor: Actor,
    pub today: NaiveDate,
}

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The state's code.
    pub state: String,
    /// The first entry that does not fit, where one can be named.
    pub number: Option<i64>,
    pub detail: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.number {
            Some(number) => write!(f, "{}, entry {number}: {}", self.state, self.detail),
            None => write!(f, "{}: {}", self.state, self.detail),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of states and entries; empty: everything fits.
    pub problems: Vec<Problem>,
    pub entries: i64,
    pub heads: i64,
    /// Versions of visits whose content was held against its commitment.
    pub versions: i64,
    /// Parts of them that were erased: bound to the journal, but no longer to be read.
    pub erased: i64,
    /// Versions written before there were commitments.
    pub unbound: i64,
    /// Verdicts on visits that were held against their entries.
    pub verdicts: i64,
    /// Answers to flags and back-checks that were held against theirs.
    pub audits: i64,
    /// Draws that were made anew.
    pub draws: i64,
    /// Versions of other rows that were held against their entries.
    pub rows: i64,
    /// Rows that were there before their versions were kept, and not written since.
    pub older_rows: i64,
}

/// How far it is, for a progress bar.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub entries: i64,
    pub of: i64,
}

/// Verifies.
///
/// # Errors
/// If there is no such state, or what the database says. What does not fit is in the report.
pub async fn verify(db: &Db, ask: &Ask, progress: impl Fn(Progress)) -> Result<Report, ApiError> {
    db.as_program(&VERIFY)
        .read_long(async |tx| {
            let mut states = queries::journals(tx).await?;
            if let Some(code) = &ask.state {
                states.retain(|state| state.code == *code);
                if states.is_empty() {
                    return Err(ApiError::field(
                        "/state",
                        "unknown_state",
                        "there is no such state",
                    ));
                }
            }
            let of = states.iter().map(|state| state.size).sum();
            let done = Cell::new(0);
            let step = |entries: i64| {
                done.set(done.get() + entries);
                progress(Progress {
                    entries: done.get(),
                    of,
                });
            };
            let mut report = Report::default();
            let codes = states.iter().map(|state| (state.state_id.0, state.code.clone()));
            let codes: HashMap<i32, String> = codes.collect();
            for state in &states {
                let mut walk = Walk::new(ask, db.keys(), state);
                walk.run(tx, &step).await?;
                if !ask.since_kept {
                    walk.check_names(tx).await?;
                    walk.check_totals(tx).await?;
                }
                walk.add_to(&mut report);
            }
            if !ask.since_kept && ask.state.is_none() {
                rows::check_stored(tx, &codes, &mut report).await?;
            }
            Ok(report)
        })
        .await
}

/// The way through one state's journal.
struct Walk<'a> {
    ask: &'a Ask,
    /// Under which notes are sealed: what was committed to is what they say.
    keys: &'a DataKeys,
    state: &'a StateRow,
    kept: Vec<&'a SignedHead>,
    frontier: Frontier,
    /// Size of the newest tree that a head vouched for.
    vouched: i64,
    /// The last entry whose fields did not hash to its leaf: it explains a root that is not as signed.
    misfit: i64,
    root_failed: bool,
    node_failed: bool,
    /// Sum over the versions that entries made, against which the rows are held.
    made: NameSum,
    said: reviews::Said,
    audited: audits::Said,
    report: Report,
}

impl<'a> Walk<'a> {
    fn new(ask: &'a Ask, keys: &'a DataKeys, state: &'a StateRow) -> Self {
        let mut kept: Vec<&SignedHead> = ask
            .kept
            .iter()
            .filter(|head| head.state_id == state.state_id)
            .collect();
        kept.sort_by_key(|head| head.size);
        Self {
            ask,
            keys,
            state,
            kept,
            frontier: Frontier::default(),
            vouched: 0,
            misfit: 0,
            root_failed: false,
            node_failed: false,
            made: NameSum::new(),
            said: reviews::Said::default(),
            audited: audits::Said::default(),
            report: Report::default(),
        }
    }

    fn problem(&mut self, number: Option<i64>, detail: impl Into<String>) {
        if self.report.problems.len() < MANY {
            self.report.problems.push(Problem {
                state: self.state.code.clone(),
                number,
                detail: detail.into(),
            });
        }
    }

    fn at(&self) -> i64 {
        i64::try_from(self.frontier.size()).unwrap_or(i64::MAX)
    }

    async fn run(&mut self, tx: &mut Tx, step: &impl Fn(i64)) -> Result<(), ApiError> {
        self.begin(tx).await?;
        step(self.at());
        let mut whole = true;
        while whole {
            let entries = entries_after(tx, self.state.state_id, self.at(), STEP).await?;
            if entries.is_empty() {
                break;
            }
            let looked_at = i64::try_from(entries.len()).unwrap_or(0);
            whole = self.take(tx, &entries).await?;
            step(looked_at);
        }
        if whole {
            self.check_end(tx).await?;
        }
        Ok(())
    }

    /// Begins at the newest kept head, if it is asked for and the tree still has its root.
    async fn begin(&mut self, tx: &mut Tx) -> Result<(), ApiError> {
        for head in self.kept.clone() {
            if !head.is_signed_by(&self.ask.keys) {
                let detail = format!(
                    "the kept head of size {} has no valid signature of a known key",
                    head.size
                );
                self.problem(None, detail);
            }
        }
        let Some(head) = self.kept.last().copied().filter(|_| self.ask.since_kept) else {
            return Ok(());
        };
        let size = u64::try_from(head.size).unwrap_or(0);
        match tree::frontier_at(tx, self.state.state_id, size).await? {
            Some(frontier) if Some(frontier.root()) == seal::root_of(head) => {
                self.frontier = frontier;
                self.vouched = head.size;
            }
            // From the beginning, then: that finds where.
            _ => {}
        }
        Ok(())
    }

    /// Goes on by these entries; false once it cannot go on.
    async fn take(&mut self, tx: &mut Tx, entries: &[StoredEntry]) -> Result<bool, ApiError> {
        let start = self.at();
        let last = entries.last().map_or(start, |entry| entry.number);
        let heads = self.heads_between(tx, start, last).await?;
        let mut nodes: BTreeMap<Node, Digest> = BTreeMap::new();
        for entry in entries {
            let expected = self.at().saturating_add(1);
            if entry.number != expected {
                self.problem(Some(expected), "it is missing: the numbers have a hole");
                return Ok(false);
            }
            let computed = entry.computed_hash();
            if computed != entry.stored_hash() {
                self.misfit = expected;
                self.problem(
                    Some(expected),
                    "its fields do not hash to the leaf that is stored with it",
                );
            }
            let Some(leaf) = entry.stored_hash().or(computed) else {
                self.problem(Some(expected), "it has no leaf and no known form");
                return Ok(false);
            };
            self.frontier.push(leaf, |node, hash| {
                if node.level % tree::STRIDE == 0 {
                    nodes.insert(node, hash);
                }
            });
            self.report.entries += 1;
            for head in heads.get(&entry.number).into_iter().flatten() {
                self.check_head(head);
            }
        }
        self.check_nodes(tx, &nodes).await?;
        self.check_content(tx, entries).await?;
        self.check_reviews(tx, entries).await?;
        self.check_audits(tx, entries).await?;
        self.check_rows(tx, entries).await?;
        Ok(true)
    }

    /// The signed heads of sizes in this span, and the kept ones.
    async fn heads_between(
        &self,
        tx: &mut Tx,
        after: i64,
        to: i64,
    ) -> Result<HashMap<i64, Vec<SignedHead>>, ApiError> {
        let mut heads: HashMap<i64, Vec<SignedHead>> = HashMap::new();
        let stored = seal::heads_between(tx, self.state.state_id, after, to).await?;
        let kept = self
            .kept
            .iter()
            .filter(|head| head.size > after && head.size <= to);
        // The kept ones first: they are believed rather than what is stored.
        for head in kept.map(|head| (*head).clone()).chain(stored) {
            heads.entry(head.size).or_default().push(head);
        }
        Ok(heads)
    }

    fn check_head(&mut self, head: &SignedHead) {
        self.report.heads += 1;
        if !head.is_signed_by(&self.ask.keys) {
            let detail = format!(
                "the head of size {} has no valid signature of a known key",
                head.size
            );
            self.problem(Some(head.size), detail);
        }
        if Some(self.frontier.root()) == seal::root_of(head) {
            if !self.root_failed {
                self.vouched = head.size;
            }
        } else if !self.root_failed {
            self.root_failed = true;
            if self.misfit > self.vouched {
                return;
            }
            let first = self.vouched.saturating_add(1);
            let detail = format!(
                "the tree does not have the root that was signed for {} entries, but had the one signed before: \
                 what does not fit lies in the entries {first} to {}",
                head.size, head.size
            );
            self.problem(Some(first), detail);
        }
    }

    async fn check_nodes(&mut self, tx: &mut Tx, nodes: &BTreeMap<Node, Digest>) -> Result<(), ApiError> {
        if self.node_failed || nodes.is_empty() {
            return Ok(());
        }
        let names: BTreeSet<Node> = nodes.keys().copied().collect();
        let kept = tree::kept_nodes(tx, self.state.state_id, &names).await?;
        if let Some((node, _)) = nodes.iter().find(|(node, hash)| kept.get(node) != Some(hash)) {
            self.node_failed = true;
            let first = i64::try_from((node.place << node.level) + 1).unwrap_or(i64::MAX);
            let last = i64::try_from((node.place + 1) << node.level).unwrap_or(i64::MAX);
            let detail =
                format!("the entries {first} to {last} do not hash to the subtree that is kept of them");
            self.problem(Some(first), detail);
        }
        Ok(())
    }

    /// Holds the versions that these entries made against their commitments.
    async fn check_content(&mut self, tx: &mut Tx, entries: &[StoredEntry]) -> Result<(), ApiError> {
        let ids: BTreeSet<Uuid> = entries
            .iter()
            .flat_map(StoredEntry::made_versions)
            .map(|(id, _)| id)
            .collect();
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let mut versions: HashMap<(Uuid, i32), VersionRow> = HashMap::new();
        if !ids.is_empty() {
            for row in versions_of(tx, self.keys, self.state.state_id, &ids).await? {
                versions.insert((row.kept_id.0, row.kept_version), row);
            }
        }
        for entry in entries {
            if entry.form < 2 && entry.subject == "visit" {
                self.report.unbound += i64::try_from(entry.subject_uuids.len()).unwrap_or(0);
            }
            let made = entry.made_versions();
            if made.is_empty() {
                continue;
            }
            for (id, version) in &made {
                self.made.add(*id, *version);
            }
            match rows_of(&made, &versions) {
                Ok(rows) => self.check_digest(entry, &rows),
                Err(detail) => self.problem(Some(entry.number), detail),
            }
        }
        Ok(())
    }

    fn check_digest(&mut self, entry: &StoredEntry, rows: &[&VisitRow]) {
        self.report.versions += i64::try_from(rows.len()).unwrap_or(0);
        let erased: usize = rows.iter().map(|row| erased_parts(row).len()).sum();
        self.report.erased += i64::try_from(erased).unwrap_or(0);
        let computed = digest_of(rows.iter().copied());
        if computed.map(|digest| digest.0.to_vec()).as_ref() != Some(&entry.digest) {
            let what = match rows {
                [one] => format!("visit {}, version {},", one.id, one.version),
                many => format!("one of its {} visits", many.len()),
            };
            let detail = format!("{what} is not what was written: it does not fit the entry's digest");
            self.problem(Some(entry.number), detail);
        }
    }

    /// What must be at the end: nothing beyond, nothing less.
    async fn check_end(&mut self, tx: &mut Tx) -> Result<(), ApiError> {
        let end = self.at();
        if end != self.state.size {
            let detail = format!(
                "the journal ends at {end}, but {} entries were numbered",
                self.state.size
            );
            self.problem(Some(end.min(self.state.size).saturating_add(1)), detail);
        }
        let mut beyond = seal::heads_between(tx, self.state.state_id, end, i64::MAX).await?;
        beyond.extend(
            self.kept
                .iter()
                .filter(|head| head.size > end)
                .map(|head| (*head).clone()),
        );
        if let Some(head) = beyond.first() {
            let detail = format!(
                "it is missing: a head was signed over {} entries, the journal has {end}",
                head.size
            );
            self.problem(Some(end.saturating_add(1)), detail);
        }
        let covered = self.state.tree_size == end && self.state.frontier == self.frontier.to_bytes();
        if !covered && self.state.tree_size == self.state.size {
            self.problem(
                None,
                "the frontier from which the tree goes on is not that of the journal",
            );
        }
        Ok(())
    }

    /// Every version of a visit was made by one entry, and none without.
    async fn check_names(&mut self, tx: &mut Tx) -> Result<(), ApiError> {
        let waiting = queries::waiting_versions(tx, self.state.state_id).await?;
        self.check_verdicts(tx, &waiting).await?;
        self.check_audit_names(tx, &waiting).await?;
        for entry in waiting {
            for (id, version) in entry.made_versions() {
                self.made.add(id, version);
            }
        }
        let mut stored = self.made.empty();
        let (mut after, mut unbound) = (None, 0);
        loop {
            let names = version_names(tx, self.state.state_id, after, NAMES).await?;
            let Some(last) = names.last() else { break };
            after = Some(last.id);
            for name in &names {
                if name.salted {
                    stored.add(name.id, name.version);
                } else {
                    unbound += 1;
                }
            }
        }
        if unbound > self.report.unbound {
            let detail = format!(
                "{unbound} versions of visits have no commitment, but only {} were written before there were any",
                self.report.unbound
            );
            self.problem(None, detail);
        }
        if stored != self.made {
            self.name_stranger(tx).await?;
        }
        Ok(())
    }

    /// Finds a version that no entry made. (One that an entry made and that is gone was named with the entry.)
    async fn name_stranger(&mut self, tx: &mut Tx) -> Result<(), ApiError> {
        let mut known: HashSet<(Uuid, i32)> = HashSet::new();
        let mut number = 0;
        loop {
            let entries = entries_after(tx, self.state.state_id, number, STEP).await?;
            let Some(last) = entries.last() else { break };
            number = last.number;
            known.extend(entries.iter().flat_map(StoredEntry::made_versions));
        }
        let waiting = queries::waiting_versions(tx, self.state.state_id).await?;
        known.extend(waiting.iter().flat_map(StoredEntry::made_versions));
        let mut after = None;
        loop {
            let names = version_names(tx, self.state.state_id, after, NAMES).await?;
            let Some(last) = names.last() else { break };
            after = Some(last.id);
            for name in names.iter().filter(|name| name.salted) {
                if !known.contains(&(name.id, name.version)) {
                    let detail = format!("no entry made version {} of visit {}", name.version, name.id);
                    self.problem(None, detail);
                }
            }
        }
        Ok(())
    }

    async fn check_totals(&mut self, tx: &mut Tx) -> Result<(), ApiError> {
        for unit_id in queries::counted_units(tx, self.state.state_id).await? {
            let permit = program_permit::<TotalsCheck>(tx, self.ask.actor, unit_id, self.ask.today).await?;
            if permit.level() == "nation" {
                continue;
            }
            for difference in differences_of(tx, &permit).await? {
                self.problem(None, format!("unit {unit_id}: {difference}"));
            }
        }
        Ok(())
    }

    fn add_to(self, report: &mut Report) {
        let mut own = self.report;
        own.problems
            .sort_by_key(|problem| problem.number.unwrap_or(i64::MAX));
        report.problems.append(&mut own.problems);
        report.entries += own.entries;
        report.heads += own.heads;
        report.versions += own.versions;
        report.erased += own.erased;
        report.unbound += own.unbound;
        report.verdicts += own.verdicts;
        report.audits += own.audits;
        report.draws += own.draws;
        report.rows += own.rows;
    }
}

/// The rows of versions, or what is wrong with one.
fn rows_of<'a>(
    made: &[(Uuid, i32)],
    versions: &'a HashMap<(Uuid, i32), VersionRow>,
) -> Result<Vec<&'a VisitRow>, String> {
    let rows = made
        .iter()
        .map(|(id, version)| match versions.get(&(*id, *version)) {
            None => Err(format!("version {version} of visit {id}, which it made, is gone")),
            Some(row) if !row.is_in_its_place() => Err(format!(
                "version {version} of visit {id} is kept under a wrong name, author or time"
            )),
            Some(row) => Ok(&row.visit),
        });
    rows.collect()
}

/// A sum over names of versions that does not depend on their order: equal for equal collections, and, since each
/// run hashes with a secret of its own, different for others but by a chance of 2^-128.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NameSum {
    secret: [u8; 16],
    sum: u128,
}

impl NameSum {
    fn new() -> Self {
        Self {
            secret: Uuid::new_v4().into_bytes(),
            sum: 0,
        }
    }

    const fn empty(&self) -> Self {
        Self {
            secret: self.secret,
            sum: 0,
        }
    }

    fn add(&mut self, id: Uuid, version: i32) {
        let input = [&self.secret[..], id.as_bytes(), &version.to_be_bytes()].concat();
        let hash = Digest::of_bytes(&input).0;
        let half = hash.first_chunk().copied().unwrap_or_default();
        self.sum = self.sum.wrapping_add(u128::from_be_bytes(half));
    }
}
