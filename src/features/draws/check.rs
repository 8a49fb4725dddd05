//! A draw held against the entry of its request, for the program's own verification: whether what could be drawn is what
//! was frozen, whether the seed follows from the first head that covers the request, and what was drawn from the seed.

use super::queries::{DrawRow, FrameRow, find_draw, list_frame, list_items, moved_in_frame};
use super::rules::select::{Member, Terms, frame_digest, seed, select};
use crate::journal::seal::head_covering;
use crate::journal::{Digest, StoredEntry};
use crate::platform::db::Tx;
use crate::platform::error::ApiError;

/// What of the draws that an entry requested does not fit, in words.
///
/// # Errors
/// What the database says.
pub async fn misfits_of_request(tx: &mut Tx, entry: &StoredEntry) -> Result<Vec<String>, ApiError> {
    let mut found = Vec::new();
    for id in &entry.subject_ids {
        let Some(draw) = find_draw(tx, *id).await? else {
            found.push(format!("draw {id}, which it requested, is gone"));
            continue;
        };
        if let Some(detail) = misfit(tx, entry, &draw).await? {
            found.push(format!("draw {id}: {detail}"));
        }
    }
    Ok(found)
}

/// The first thing that does not fit: what follows from it cannot fit either.
async fn misfit(tx: &mut Tx, entry: &StoredEntry, draw: &DrawRow) -> Result<Option<&'static str>, ApiError> {
    let frame = list_frame(tx, draw.id, 0, i64::MAX).await?;
    let members: Vec<Member> = frame.iter().map(FrameRow::member).collect();
    let in_order = (1..).zip(&frame).all(|(place, row)| row.place == place);
    if !in_order || digest(draw, &members).0.to_vec() != entry.digest || draw.frame_digest != entry.digest {
        return Ok(Some(
            "what could be drawn is not what was frozen: it does not fit the entry's digest",
        ));
    }
    if moved_in_frame(tx, draw).await? > 0 {
        return Ok(Some(
            "doors or days of what could be drawn are not those of the visits",
        ));
    }
    let Some(stored) = &draw.seed else {
        return Ok(None);
    };
    let head = head_covering(tx, draw.state_id, entry.number).await?;
    let head =
        head.filter(|head| Some(head.size) == draw.head_size && Some(entry.number) == draw.entry_number);
    let sown = head.map(|head| seed(&head.root, &head.signature, draw.id, &draw.frame_digest));
    let Some(sown) = sown.filter(|sown| sown.as_slice() == stored.as_slice()) else {
        return Ok(Some(
            "its seed does not follow from the first head that covers the entry",
        ));
    };
    let size = usize::try_from(draw.size).map_err(ApiError::internal)?;
    let places = select(&sown, &members, draw.by(), size)
        .into_iter()
        .filter_map(|at| frame.get(at))
        .map(|row| row.place);
    let items = list_items(tx, draw.id).await?;
    let stored = items.iter().map(|item| item.place);
    Ok((!places.eq(stored)).then_some("what was drawn does not follow from the seed"))
}

fn digest(draw: &DrawRow, members: &[Member]) -> Digest {
    let outcomes: Vec<&str> = draw.outcomes.iter().map(String::as_str).collect();
    let terms = Terms {
        unit_id: draw.unit_id,
        campaign_id: draw.campaign_id,
        days: (draw.from_on, draw.to_on),
        outcomes: &outcomes,
        strata: &draw.strata,
        drawn: draw.drawn(),
        unconfirmed: &draw.unconfirmed,
        compare: &draw.compare,
        frame_size: draw.frame_size,
    };
    frame_digest(&terms.lines(), members)
}
