//! The CSV export: columns and lines (RFC 4180).

use super::wire::{FlagView, VisitView};
use crate::platform::csv::text_cell;

/// The columns of the CSV export.
const CSV_COLUMNS: &str = "id,campaign_id,booth_id,household_id,worker_id,device_id,visited_at,visited_on,received_at,\
    outcome,channel,people_met,support,issues,answers,question_version,note,lat,lon,accuracy_m,mock,duration_s,flags,\
    review,voided,void_reason,version,late,flag_answers";

/// The first line of the CSV export.
pub fn csv_header() -> String {
    format!("{CSV_COLUMNS}\r\n")
}

/// A visit as a line of CSV (RFC 4180). Lists are joined by `;`, answers are JSON.
pub fn csv_line(view: &VisitView) -> String {
    let plain = |value: Option<String>| value.unwrap_or_default();
    let flags: Vec<&str> = view.flags.iter().map(|flag| flag.code.as_str()).collect();
    let answers: Vec<String> = view.flags.iter().filter_map(answer_of).collect();
    let place = view.location;
    let cells = [
        view.id.to_string(),
        view.campaign_id.to_string(),
        view.booth_id.to_string(),
        plain(view.household_id.map(|id| id.to_string())),
        view.worker_id.to_string(),
        plain(view.device_id.map(|id| id.to_string())),
        view.visited_at.to_rfc3339(),
        view.visited_on.to_string(),
        view.received_at.to_rfc3339(),
        view.outcome.as_str().to_owned(),
        view.channel.as_str().to_owned(),
        view.people_met.to_string(),
        plain(view.support.map(|support| support.to_string())),
        text_cell(&view.issues.join(";")),
        text_cell(&view.answers.to_string()),
        view.question_version.to_string(),
        text_cell(view.note.as_deref().unwrap_or("")),
        plain(place.map(|place| place.lat.to_string())),
        plain(place.map(|place| place.lon.to_string())),
        plain(
            place
                .and_then(|place| place.accuracy_m)
                .map(|accuracy| accuracy.to_string()),
        ),
        plain(place.and_then(|place| place.mock).map(|mock| mock.to_string())),
        plain(view.duration_s.map(|seconds| seconds.to_string())),
        text_cell(&flags.join(";")),
        view.review.as_str().to_owned(),
        view.voided.to_string(),
        text_cell(view.void_reason.as_deref().unwrap_or("")),
        view.version.to_string(),
        plain(view.late.map(|late| late.to_string())),
        text_cell(&answers.join("; ")),
    ];
    let mut line = cells.join(",");
    line.push_str("\r\n");
    line
}

/// What was said to a flag: `too_short: they were in a hurry`.
fn answer_of(flag: &FlagView) -> Option<String> {
    let text = flag.answer.as_ref()?.text.as_ref()?;
    Some(format!("{}: {text}", flag.code))
}
