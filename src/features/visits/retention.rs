//! One step of letting go: which parts of which visits leave, and what is kept of them in the counts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::commitment::{VisitPart, erase_answer, erase_part};
use super::queries::retention::{
    Support, keep_support, next_visits, note_progress, old_versions, progress, store_faded,
};
use super::queries::{AnswerRow, VisitKey, VisitRow, answers_of, erase_texts};
use super::rules::{Fading, counters};
use crate::journal::{Digest, Entry, Record};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::error::ApiError;
use crate::platform::ids::{CampaignId, UnitId};
use crate::platform::location::coarse;

/// Lets go of what is over for the next visits of a campaign received by an instant; returns how many were looked at,
/// less than `limit` at the end, and what is to be journalled.
///
/// # Errors
/// What the database says.
pub async fn fade_next(
    tx: &mut Tx,
    keys: &DataKeys,
    task: Fading,
    campaign_id: CampaignId,
    received_by: DateTime<Utc>,
    limit: i64,
) -> Result<(usize, Record), ApiError> {
    let after = progress(tx, task, campaign_id).await?;
    let rows = next_visits(tx, keys, campaign_id, after, received_by, limit).await?;
    let Some(last) = rows.last() else {
        return Ok((0, Record::nothing()));
    };
    let through = (last.received_at, last.id.0);
    let names: Vec<_> = rows.iter().map(|row| (row.state_id, row.id)).collect();
    let looked_at = rows.len();
    let old = old_versions(tx, keys, &names).await?;
    if task == Fading::Support {
        keep_support(tx, &support_of(&rows)).await?;
    }
    let booths: BTreeMap<VisitKey, UnitId> = rows
        .iter()
        .map(|row| ((row.state_id, row.id), row.booth_id))
        .collect();
    let answers = match task {
        Fading::Content => fade_answers(tx, keys, &names).await?,
        Fading::Support | Fading::Coordinates => Vec::new(),
    };
    let rows: Vec<VisitRow> = rows.iter().filter_map(|row| faded(row, task)).collect();
    let old: Vec<VisitRow> = old.iter().filter_map(|row| faded(row, task)).collect();
    store_faded(tx, &rows, &old).await?;
    note_progress(tx, task, campaign_id, through).await?;
    let visits = rows.iter().chain(&old).map(|row| (row.state_id, row.id));
    let touched = visits.chain(answers.iter().map(AnswerRow::visit));
    let record = Record {
        entries: entries(task, touched, &booths),
        tallies: Vec::new(),
    };
    Ok((looked_at, record))
}

/// Takes away what authors said to the flags of these visits; returns which answers lost their text.
async fn fade_answers(tx: &mut Tx, keys: &DataKeys, visits: &[VisitKey]) -> Result<Vec<AnswerRow>, ApiError> {
    let mut answers = answers_of(tx, keys, visits).await?;
    answers.retain(|answer| answer.text.is_some());
    for answer in &mut answers {
        // The text's hash takes the place of its salt while the text is still at hand.
        if let Some(salts) = erase_answer(answer) {
            answer.salts = salts;
        }
    }
    if !answers.is_empty() {
        erase_texts(tx, &answers).await?;
    }
    Ok(answers)
}

/// What is left of a version; `None` if it has nothing that leaves.
fn faded(row: &VisitRow, task: Fading) -> Option<VisitRow> {
    let mut left = row.clone();
    let parts: &[VisitPart] = match task {
        Fading::Support => {
            left.support = None;
            &[VisitPart::Support]
        }
        Fading::Coordinates => {
            left.lat = left.lat.map(coarse);
            left.lon = left.lon.map(coarse);
            &[VisitPart::Location]
        }
        Fading::Content => {
            left.note = None;
            (left.lat, left.lon, left.accuracy_m, left.mock) = (None, None, None, None);
            left.issues = serde_json::json!([]);
            left.answers = serde_json::json!({});
            &[VisitPart::Note, VisitPart::Location, VisitPart::Answers]
        }
    };
    let same = (
        left.support,
        &left.note,
        left.lat,
        left.lon,
        &left.issues,
        &left.answers,
    ) == (
        row.support,
        &row.note,
        row.lat,
        row.lon,
        &row.issues,
        &row.answers,
    );
    if same {
        return None;
    }
    // Each part's hash takes the place of its salt while its content is still at hand.
    let mut whole = row.clone();
    for part in parts {
        if let Some(salts) = erase_part(&whole, *part) {
            whole.salts = Some(salts);
        }
    }
    left.salts = whole.salts;
    Some(left)
}

/// What those of these visits that count had, by booth, day and score.
fn support_of(rows: &[VisitRow]) -> Vec<(Support, i32)> {
    let mut sums: BTreeMap<Support, i32> = BTreeMap::new();
    for row in rows.iter().filter(|row| counters(row).visits == 1) {
        if let Some(support) = row.support {
            let key = Support {
                state_id: row.state_id,
                booth_id: row.booth_id,
                campaign_id: row.campaign_id,
                day: row.visited_on,
                support,
            };
            let sum = sums.entry(key).or_default();
            *sum = sum.saturating_add(1);
        }
    }
    sums.into_iter().collect()
}

/// An entry a state, at the booths of what was changed.
fn entries(
    task: Fading,
    touched: impl Iterator<Item = VisitKey>,
    booths: &BTreeMap<VisitKey, UnitId>,
) -> Vec<Entry> {
    let mut states: BTreeMap<UnitId, BTreeMap<uuid::Uuid, UnitId>> = BTreeMap::new();
    for visit in touched {
        let booth_id = booths.get(&visit).copied().unwrap_or(visit.0);
        states.entry(visit.0).or_default().insert(visit.1.0, booth_id);
    }
    let entries = states.into_iter().map(|(state_id, visits)| {
        let ids: Vec<_> = visits.keys().copied().collect();
        Entry::new(state_id, state_id, task.action(), "visit", Digest::of(&ids))
            .at_units(visits.into_values())
            .of_uuids(ids)
    });
    entries.collect()
}
