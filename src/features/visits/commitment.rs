//! What of a visit is committed to, and in which parts it can be erased.
//!
//! `review` is no part: a verdict is an entry of its own, and so is an answer to a flag, which has two parts: the facts and
//! the text. `sent_digest` is none either: it only tells resends.

use super::queries::{AnswerRow, VisitRow};
use crate::journal::Digest;
use crate::journal::commitment::{Canonical, Salts, digest_of_versions};

/// A part of a visit that can be erased by itself, all but the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisitPart {
    /// Who, when, at which booth and door, with what outcome; and what became of it.
    Facts,
    /// Coordinates, their accuracy, and whether they were made up.
    Location,
    Support,
    Note,
    /// Answers and issue codes.
    Answers,
    /// The machine's doubts.
    Flags,
}

impl VisitPart {
    /// Every part, in the order in which they are committed to.
    pub const ALL: [Self; 6] = [
        Self::Facts,
        Self::Location,
        Self::Support,
        Self::Note,
        Self::Answers,
        Self::Flags,
    ];

    /// Its place among the parts.
    #[must_use]
    pub fn index(self) -> usize {
        Self::ALL
            .iter()
            .position(|part| *part == self)
            .unwrap_or_default()
    }

    fn of(self, row: &VisitRow) -> Canonical {
        let part = Canonical::default();
        match self {
            Self::Facts => part
                .field(&row.state_id.0)
                .field(&row.id.0)
                .field(&row.booth_id.0)
                .field(&row.campaign_id.0)
                .field(&row.worker_id.0)
                .field(&row.device_id.map(|id| id.0))
                .field(&row.household_id.map(|id| id.0))
                .field(&row.visited_at)
                .field(&row.visited_on)
                .field(&row.received_at)
                .field(&row.outcome)
                .field(&row.channel)
                .field(&row.people_met)
                .field(&row.question_version)
                .field(&row.duration_s)
                .field(&row.version)
                .field(&row.changed_by.0)
                .field(&row.changed_at)
                .field(&row.voided_at)
                .field(&row.void_reason),
            Self::Location => part
                .field(&row.lat)
                .field(&row.lon)
                .field(&row.accuracy_m)
                .field(&row.mock),
            Self::Support => part.field(&row.support),
            Self::Note => part.field(&row.note),
            Self::Answers => part.field(&row.issues).field(&row.answers),
            Self::Flags => part.field(&row.flags),
        }
    }
}

fn parts(row: &VisitRow) -> [Canonical; 6] {
    VisitPart::ALL.map(|part| part.of(row))
}

fn salts(row: &VisitRow) -> Option<Salts> {
    Salts::from_bytes(row.salts.as_deref()?)
}

/// The commitment to a version; `None` if it has no salts.
#[must_use]
pub fn commitment(row: &VisitRow) -> Option<Digest> {
    salts(row)?.commit(&parts(row))
}

/// The digest of an entry that made these versions. `None` if one of them has no salts.
pub fn digest_of<'a>(rows: impl IntoIterator<Item = &'a VisitRow>) -> Option<Digest> {
    let versions: Option<Vec<_>> = rows
        .into_iter()
        .map(|row| Some((row.id.0, row.version, commitment(row)?)))
        .collect();
    versions.map(digest_of_versions)
}

/// The salts to keep with a version (of `visits` or of `visit_versions`) once a part of it is erased; its commitment
/// stays the same. Whoever erases takes the content from the row and stores these in the same statement. `None` if the
/// version was never committed to: its content can simply go.
#[must_use]
pub fn erase_part(row: &VisitRow, part: VisitPart) -> Option<Vec<u8>> {
    let salts = salts(row)?.erase(part.index(), &parts(row))?;
    Some(salts.to_bytes())
}

/// Which parts of a version were erased.
#[must_use]
pub fn erased_parts(row: &VisitRow) -> Vec<VisitPart> {
    let Some(salts) = salts(row) else {
        return Vec::new();
    };
    let erased = VisitPart::ALL
        .into_iter()
        .filter(|part| salts.is_erased(part.index()));
    erased.collect()
}

/// The place of the text among the parts of an answer.
const TEXT: usize = 1;

fn parts_of_answer(row: &AnswerRow) -> [Canonical; 2] {
    let facts = Canonical::default()
        .field(&row.state_id.0)
        .field(&row.visit_id.0)
        .field(&row.number)
        .field(&row.code)
        .field(&row.answered_by.0)
        .field(&row.answered_at);
    [facts, Canonical::default().field(&row.text)]
}

/// The digest of the entry that made an answer. `None` if it has no salts.
#[must_use]
pub fn digest_of_answer(row: &AnswerRow) -> Option<Digest> {
    let commitment = Salts::from_bytes(&row.salts)?.commit(&parts_of_answer(row))?;
    Some(digest_of_versions([(row.visit_id.0, row.number, commitment)]))
}

/// The salts to keep with an answer once its text is erased.
#[must_use]
pub fn erase_answer(row: &AnswerRow) -> Option<Vec<u8>> {
    let salts = Salts::from_bytes(&row.salts)?.erase(TEXT, &parts_of_answer(row))?;
    Some(salts.to_bytes())
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use uuid::Uuid;

    use super::*;
    use crate::platform::ids::{UnitId, VisitId, WorkerId};

    #[test]
    fn an_answer_whose_text_is_erased_still_fits_its_entry_and_no_other_text_does() {
        let mut answer = AnswerRow {
            state_id: UnitId(2),
            visit_id: VisitId(Uuid::from_u128(7)),
            number: 1,
            code: "too_short".to_owned(),
            text: Some("They were in a hurry".to_owned()),
            answered_by: WorkerId(3),
            answered_at: DateTime::<Utc>::UNIX_EPOCH,
            salts: Salts::random().unwrap().to_bytes(),
        };
        let digest = digest_of_answer(&answer);
        assert!(digest.is_some());
        let mut other = answer.clone();
        other.text = Some("They were not".to_owned());
        assert_ne!(digest_of_answer(&other), digest);
        answer.salts = erase_answer(&answer).unwrap();
        answer.text = None;
        assert_eq!(digest_of_answer(&answer), digest);
        answer.answered_by = WorkerId(4);
        assert_ne!(digest_of_answer(&answer), digest);
    }
}
