//! What differs between two versions.

use std::collections::BTreeMap;

use super::queries::MemberRow;
use crate::platform::ids::UnitId;

/// What differs.
#[derive(Debug, Default)]
pub struct Changes {
    pub added: Vec<MemberRow>,
    pub removed: Vec<MemberRow>,
    pub regrouped: Vec<MemberRow>,
}

/// Compares the members of two versions.
#[must_use]
pub fn compare(before: Vec<MemberRow>, after: Vec<MemberRow>) -> Changes {
    let mut left: BTreeMap<UnitId, MemberRow> = before.into_iter().map(|row| (row.unit_id, row)).collect();
    let mut changes = Changes::default();
    for row in after {
        match left.remove(&row.unit_id) {
            None => changes.added.push(row),
            Some(old) if old.cluster != row.cluster || old.in_charge != row.in_charge => {
                changes.regrouped.push(row);
            }
            Some(_) => {}
        }
    }
    changes.removed = left.into_values().collect();
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i32, cluster: Option<&str>) -> MemberRow {
        MemberRow {
            unit_id: UnitId(id),
            code: String::new(),
            name: String::new(),
            state_id: UnitId(1),
            cluster: cluster.map(str::to_owned),
            in_charge: None,
        }
    }

    #[test]
    fn who_came_who_went_and_who_changed_his_cluster() {
        let before = vec![row(1, None), row(2, Some("North")), row(3, None)];
        let after = vec![row(2, Some("South")), row(3, None), row(4, None)];
        let changes = compare(before, after);
        let ids = |rows: &[MemberRow]| rows.iter().map(|row| row.unit_id.0).collect::<Vec<_>>();
        assert_eq!(ids(&changes.added), [4]);
        assert_eq!(ids(&changes.removed), [1]);
        assert_eq!(ids(&changes.regrouped), [2]);
    }
}
