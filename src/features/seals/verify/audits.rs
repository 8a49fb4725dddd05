//! Answers to flags, draws and back-checks, held against the journal.

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::{NAMES, Walk};
use crate::features::draws::{
    BackCheckRow, back_check_ids, back_checks_of, digest_of_back_check, misfits_of_request,
};
use crate::features::visits::{AnswerRow, answer_names, answers_as_stored, digest_of_answer};
use crate::journal::{Digest, StoredEntry};
use crate::platform::db::Tx;
use crate::platform::error::ApiError;
use crate::platform::ids::VisitId;

/// What entries say of answers and back-checks.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Each answer that an entry gave: its visit and its number.
    answers: HashSet<(Uuid, i32)>,
    back_checks: HashSet<Uuid>,
}

impl Said {
    fn hear(&mut self, entry: &StoredEntry) {
        match entry.action.as_str() {
            ANSWERED => self.answers.extend(entry.named_versions()),
            CHECKED => self.back_checks.extend(&entry.subject_uuids),
            _ => {}
        }
    }
}

const ANSWERED: &str = "visit.answer_flag";
const CHECKED: &str = "back_check.record";
const REQUESTED: &str = "draw.request";

impl Walk<'_> {
    /// Holds what these entries say of audits against what is stored.
    pub(super) async fn check_audits(
        &mut self,
        tx: &mut Tx,
        entries: &[StoredEntry],
    ) -> Result<(), ApiError> {
        for entry in entries {
            self.audited.hear(entry);
        }
        self.check_answers(tx, entries).await?;
        self.check_back_checks(tx, entries).await?;
        for entry in entries.iter().filter(|entry| entry.action == REQUESTED) {
            self.report.draws += 1;
            for detail in misfits_of_request(tx, entry).await? {
                self.problem(Some(entry.number), detail);
            }
        }
        Ok(())
    }

    async fn check_answers(&mut self, tx: &mut Tx, entries: &[StoredEntry]) -> Result<(), ApiError> {
        let given: Vec<&StoredEntry> = entries.iter().filter(|entry| entry.action == ANSWERED).collect();
        let visits: BTreeSet<Uuid> = given
            .iter()
            .flat_map(|entry| entry.subject_uuids.iter().copied())
            .collect();
        if visits.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = visits
            .into_iter()
            .map(|id| (self.state.state_id, VisitId(id)))
            .collect();
        let mut rows: HashMap<(Uuid, i32), AnswerRow> = HashMap::new();
        for row in answers_as_stored(tx, self.keys, &keys).await? {
            rows.insert((row.visit_id.0, row.number), row);
        }
        for entry in given {
            for name in entry.named_versions() {
                let computed = rows.get(&name).map(digest_of_answer);
                self.check_audit(entry, "an answer to a flag that it gave", computed);
            }
        }
        Ok(())
    }

    async fn check_back_checks(&mut self, tx: &mut Tx, entries: &[StoredEntry]) -> Result<(), ApiError> {
        let made: Vec<&StoredEntry> = entries.iter().filter(|entry| entry.action == CHECKED).collect();
        let ids: Vec<Uuid> = made
            .iter()
            .flat_map(|entry| entry.subject_uuids.iter().copied())
            .collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut rows: HashMap<Uuid, BackCheckRow> = HashMap::new();
        for row in back_checks_of(tx, self.state.state_id, &ids).await? {
            rows.insert(row.id, row);
        }
        for entry in made {
            for id in &entry.subject_uuids {
                let computed = rows.get(id).map(digest_of_back_check);
                self.check_audit(entry, "a back-check that it stored", computed);
            }
        }
        Ok(())
    }

    /// One of them: `None` if it is gone, else the digest that it has now.
    fn check_audit(&mut self, entry: &StoredEntry, what: &str, computed: Option<Option<Digest>>) {
        self.report.audits += 1;
        match computed {
            None => self.problem(Some(entry.number), format!("{what} is gone")),
            Some(digest) if digest.map(|digest| digest.0.to_vec()).as_ref() != Some(&entry.digest) => {
                let detail = format!("{what} is not what was written: it does not fit the entry's digest");
                self.problem(Some(entry.number), detail);
            }
            Some(_) => {}
        }
    }

    /// Every answer and every back-check was stored by an entry.
    pub(super) async fn check_audit_names(
        &mut self,
        tx: &mut Tx,
        waiting: &[StoredEntry],
    ) -> Result<(), ApiError> {
        for entry in waiting {
            self.audited.hear(entry);
        }
        let mut after = (VisitId(Uuid::nil()), 0);
        loop {
            let names = answer_names(tx, self.state.state_id, after, NAMES).await?;
            let Some(last) = names.last() else { break };
            after = *last;
            for (visit_id, number) in &names {
                if !self.audited.answers.contains(&(visit_id.0, *number)) {
                    let detail = format!("no entry gave answer {number} to the flags of visit {visit_id}");
                    self.problem(None, detail);
                }
            }
        }
        let mut after = Uuid::nil();
        loop {
            let ids = back_check_ids(tx, self.state.state_id, after, NAMES).await?;
            let Some(last) = ids.last() else { break };
            after = *last;
            for id in &ids {
                if !self.audited.back_checks.contains(id) {
                    self.problem(None, format!("no entry stored back-check {id}"));
                }
            }
        }
        Ok(())
    }
}
