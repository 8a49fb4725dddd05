//! Verdicts, held against the journal; and the present verdict of each visit, which no commitment holds, against them.

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::{NAMES, Walk};
use crate::features::reviews::{ReviewRow, digest_of_reviews, list_verdicts, present_verdicts, reviews_of};
use crate::journal::StoredEntry;
use crate::platform::db::Tx;
use crate::platform::error::ApiError;

const UNREVIEWED: &str = "unreviewed";

/// What entries say of verdicts.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Each verdict that an entry gave: its visit and its number.
    given: HashSet<(Uuid, i32)>,
    /// The newest version of each visit that a correction made: it lets the verdicts before it fall.
    corrected: HashMap<Uuid, i32>,
}

impl Said {
    pub(super) fn hear(&mut self, entry: &StoredEntry) {
        if entry.subject == "review" {
            self.given.extend(entry.named_versions());
        } else if entry.action == "visit.correct" {
            for (id, version) in entry.named_versions() {
                let newest = self.corrected.entry(id).or_insert(version);
                *newest = version.max(*newest);
            }
        }
    }
}

impl Walk<'_> {
    /// Holds the verdicts that these entries gave against their digests.
    pub(super) async fn check_reviews(
        &mut self,
        tx: &mut Tx,
        entries: &[StoredEntry],
    ) -> Result<(), ApiError> {
        for entry in entries {
            self.said.hear(entry);
        }
        let bound: Vec<&StoredEntry> = entries.iter().filter(|entry| entry.subject == "review").collect();
        let ids: BTreeSet<Uuid> = bound
            .iter()
            .flat_map(|entry| entry.subject_uuids.iter().copied())
            .collect();
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let mut rows: HashMap<(Uuid, i32), ReviewRow> = HashMap::new();
        for row in reviews_of(tx, self.state.state_id, &ids).await? {
            rows.insert((row.visit_id.0, row.number), row);
        }
        for entry in bound {
            let named = entry.named_versions();
            let given: Option<Vec<&ReviewRow>> = named.iter().map(|name| rows.get(name)).collect();
            match given {
                None => self.problem(Some(entry.number), "a verdict that it gave is gone"),
                Some(given) => {
                    self.report.verdicts += i64::try_from(given.len()).unwrap_or(0);
                    let computed = digest_of_reviews(given).map(|digest| digest.0.to_vec());
                    if computed.as_ref() != Some(&entry.digest) {
                        let detail = "a verdict that it gave is not what was written: it does not fit the entry's digest";
                        self.problem(Some(entry.number), detail);
                    }
                }
            }
        }
        Ok(())
    }

    /// Every verdict was given by an entry, and every visit shows the one that counts.
    pub(super) async fn check_verdicts(
        &mut self,
        tx: &mut Tx,
        waiting: &[StoredEntry],
    ) -> Result<(), ApiError> {
        for entry in waiting {
            self.said.hear(entry);
        }
        let mut after = None;
        loop {
            let names = list_verdicts(tx, self.state.state_id, after, NAMES).await?;
            let Some(last) = names.last() else { break };
            after = Some((last.visit_id, last.number));
            for name in &names {
                if !self.said.given.contains(&(name.visit_id, name.number)) {
                    let detail = format!("no entry gave verdict {} on visit {}", name.number, name.visit_id);
                    self.problem(None, detail);
                }
            }
        }
        let mut after = None;
        loop {
            let visits = present_verdicts(tx, self.state.state_id, after, NAMES).await?;
            let Some(last) = visits.last() else { break };
            after = Some(last.id);
            for visit in &visits {
                let fell = |version| {
                    self.said
                        .corrected
                        .get(&visit.id)
                        .is_some_and(|newest| *newest > version)
                };
                let counts = match (&visit.verdict, visit.visit_version) {
                    (Some(verdict), Some(version)) if !fell(version) => verdict.as_str(),
                    _ => UNREVIEWED,
                };
                if counts != visit.review {
                    let detail = format!(
                        "visit {} is shown as {}, but the verdict that counts is {counts}",
                        visit.id, visit.review
                    );
                    self.problem(None, detail);
                }
            }
        }
        Ok(())
    }
}
