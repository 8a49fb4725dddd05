//! What an entry tells, in words; what a kept head file holds.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::journal::head::HeadView;
use crate::journal::keys::SealKey;
use crate::journal::seal::SignedHead;

/// What an action's entry says was done; `{}` stands for how many of what.
const PHRASES: &[(&str, &str)] = &[
    ("visit.record", "recorded {}"),
    ("visit.correct", "corrected {}"),
    ("visit.void", "voided {}"),
    ("visit.restore", "brought back {}"),
    ("bulk_void.start", "ordered visits to be voided"),
    ("bulk_void.cancel", "stopped an order to void visits"),
    ("bulk_void.take_back", "took back an order to void visits"),
    ("visit.export", "exported visits"),
    ("visit.export_end", "finished an export of visits"),
    ("worker.read", "read the number of {}"),
    ("household.write", "wrote {}"),
    ("unit.create", "made {}"),
    ("unit.update", "changed {}"),
    ("unit.place", "moved {}"),
    ("unit.import", "imported {}"),
    ("worker.create", "put {} on the roster"),
    ("worker.update", "changed {}"),
    ("worker.import", "imported {}"),
    ("worker.create_admin", "made {} national administrator"),
    ("grant.write", "gave or ended a grant"),
    ("campaign.write", "wrote {}"),
    ("draw.request", "requested {}"),
    ("draw.freeze", "froze what {} is drawn from"),
    ("draw.seed", "drew {} from a signed head"),
    ("draw.assign", "gave visits of {} to verifiers"),
    ("draw.close", "closed {}"),
    ("back_check.record", "recorded {}"),
    ("visit.answer_flag", "answered {}"),
    ("task.write", "wrote {}"),
    ("task.report", "sent {}"),
    ("task.verify", "judged {}"),
    ("post.confirm", "confirmed a post"),
    ("committee.rule", "said what committees must have"),
    ("service.create", "registered {}"),
    ("service.update", "changed {}"),
    ("service.make_secret", "made a secret for {}"),
    ("service.end_secret", "ended a secret of {}"),
    ("service.sign_in", "signed in {}"),
    ("session.begin", "signed in"),
    ("session.end", "signed out"),
    ("session.refresh", "renewed a session"),
    ("session.end_for_worker", "signed out {} on every device"),
    ("session.unlock", "unlocked {}"),
];

/// One line that tells what an entry is about: "Worker 17 recorded 3 visits at School East (S1-B1)."
pub fn sentence(
    action: &str,
    (subject, count): (&str, usize),
    actor: Option<i32>,
    unit: Option<(&str, &str)>,
    units: usize,
) -> String {
    let who = actor.map_or_else(|| "The program".to_owned(), |id| format!("Worker {id}"));
    let what = if count == 1 {
        format!("a {subject}")
    } else {
        format!("{count} {subject}s")
    };
    let done = match PHRASES.iter().find(|(known, _)| *known == action) {
        Some((_, phrase)) => phrase.replace("{}", &what.replace('_', "-")),
        // Actions read as what they are: `session.end_for_reuse` is "session: end for reuse".
        None => format!("did “{}”", action.replace('.', ": ").replace('_', " ")),
    };
    let place = match (unit, units) {
        (_, many) if many > 1 => format!(" at {many} units"),
        (Some((code, name)), _) => format!(" at {name} ({code})"),
        (None, _) => String::new(),
    };
    format!("{who} {done}{place}.")
}

/// Heads kept elsewhere, with the keys that signed them: what `sampark verify --since` starts from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HeadFile {
    #[serde(alias = "items")]
    pub heads: Vec<HeadView>,
    /// JWKs; those that are no seal keys are left out.
    #[serde(default)]
    pub keys: Vec<Value>,
}

impl HeadFile {
    /// The heads and the keys.
    #[must_use]
    pub fn into_parts(self) -> (Vec<SignedHead>, Vec<SealKey>) {
        (
            self.heads.into_iter().filter_map(HeadView::into_head).collect(),
            self.keys.iter().filter_map(SealKey::of_jwk).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_who_did_what_where() {
        let unit = Some(("S1-B1", "School East"));
        assert_eq!(
            sentence("visit.record", ("visit", 3), Some(17), unit, 1),
            "Worker 17 recorded 3 visits at School East (S1-B1)."
        );
        assert_eq!(
            sentence("unit.import", ("unit", 40), None, unit, 40),
            "The program imported 40 units at 40 units."
        );
        assert_eq!(
            sentence("session.end_for_reuse", ("session", 1), Some(2), None, 1),
            "Worker 2 did “session: end for reuse”."
        );
    }
}
