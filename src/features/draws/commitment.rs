//! What of a back-check is committed to: the facts, what was told, and where.

use super::queries::BackCheckRow;
use crate::journal::Digest;
use crate::journal::commitment::{Canonical, Salts, digest_of_versions};

const OBSERVED: usize = 1;
const LOCATION: usize = 2;

fn parts(row: &BackCheckRow) -> [Canonical; 3] {
    let facts = Canonical::default()
        .field(&row.state_id.0)
        .field(&row.id)
        .field(&row.draw_id)
        .field(&row.number)
        .field(&row.booth_id.0)
        .field(&row.verifier_id.0)
        .field(&row.device_id.map(|id| id.0))
        .field(&row.checked_at)
        .field(&row.received_at)
        .field(&row.outcome)
        .field(&row.finding)
        .field(&row.evidence)
        .field(&row.late);
    let location = Canonical::default().field(&row.lat).field(&row.lon);
    [facts, Canonical::default().field(&row.observed), location]
}

/// The digest of the entry that stored a back-check; `None` if its salts are none.
#[must_use]
pub fn digest_of(row: &BackCheckRow) -> Option<Digest> {
    let commitment = Salts::from_bytes(&row.salts)?.commit(&parts(row))?;
    Some(digest_of_versions([(row.id, 1, commitment)]))
}

/// The salts to keep once what was told, and where, is erased; the digest stays the same.
#[must_use]
pub fn faded_salts(row: &BackCheckRow) -> Option<Vec<u8>> {
    let parts = parts(row);
    let salts = Salts::from_bytes(&row.salts)?.erase(OBSERVED, &parts)?;
    Some(salts.erase(LOCATION, &parts)?.to_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::platform::ids::{UnitId, WorkerId};

    #[test]
    fn what_was_told_can_go_and_the_entry_still_binds_the_finding() {
        let at = "2026-11-23T06:30:00Z".parse().unwrap();
        let row = BackCheckRow {
            state_id: UnitId(2),
            id: Uuid::nil(),
            draw_id: 1,
            number: 3,
            booth_id: UnitId(14),
            verifier_id: WorkerId(7),
            device_id: None,
            checked_at: at,
            received_at: at,
            outcome: "found".to_owned(),
            observed: json!({"answers": {"heard": true}}),
            lat: Some(26.847),
            lon: Some(80.946),
            finding: "match".to_owned(),
            evidence: json!([]),
            late: false,
            sent_digest: vec![0; 32],
            salts: Salts::random().unwrap().to_bytes(),
        };
        let digest = digest_of(&row).unwrap();
        let faded = BackCheckRow {
            salts: faded_salts(&row).unwrap(),
            observed: json!({}),
            lat: None,
            lon: None,
            ..row
        };
        assert_eq!(digest_of(&faded), Some(digest));
        let altered = BackCheckRow {
            finding: "mismatch".to_owned(),
            ..faded
        };
        assert_ne!(digest_of(&altered), Some(digest));
    }
}
