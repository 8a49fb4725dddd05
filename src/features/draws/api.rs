pub mod assign;
pub mod audited;
pub mod back_checks;
pub mod close;
pub mod request;
pub mod seed;

use super::queries::{DrawRow, figures_of, find_draw, list_items};
use super::wire::DrawView;
use crate::access::actions::Action;
use crate::access::policy::permit;
use crate::access::{Caller, Permit};
use crate::journal::seal::head_covering;
use crate::journal::{Digest, Entry};
use crate::platform::db::Tx;
use crate::platform::error::{ApiError, Code};

/// The draw, with leave to do `A` at its unit.
async fn visible<A: Action>(tx: &mut Tx, caller: &Caller, id: i32) -> Result<(DrawRow, Permit<A>), ApiError> {
    let draw = find_draw(tx, id).await?.ok_or_else(ApiError::not_found)?;
    let permit = permit::<A>(tx, caller, draw.unit_id).await?;
    Ok((draw, permit))
}

/// The draw as it is read.
async fn view_of(tx: &mut Tx, draw: &DrawRow) -> Result<DrawView, ApiError> {
    let head = match draw.head_size {
        Some(size) => head_covering(tx, draw.state_id, size).await?,
        None => None,
    };
    let figures = match draw.final_figures() {
        Some(figures) => figures,
        None => figures_of(tx, draw.id).await?,
    };
    let items = list_items(tx, draw.id).await?;
    Ok(DrawView::new(draw, figures, head, items))
}

/// What was done to a draw, told at its unit.
fn entry<A>(permit: &Permit<A>, draw: &DrawRow, action: &'static str, digest: Digest) -> Entry {
    Entry::new(permit.state_id(), permit.unit_id(), action, "draw", digest).of_ids([draw.id])
}

/// Only a draw that is drawn and not closed is worked on.
fn check_open(draw: &DrawRow) -> Result<(), ApiError> {
    if draw.drawn_at.is_none() {
        return Err(pending());
    }
    if draw.closed_at.is_some() {
        return Err(ApiError::new(Code::DrawClosed, Code::DrawClosed.help()));
    }
    Ok(())
}

fn pending() -> ApiError {
    ApiError::new(Code::DrawPending, Code::DrawPending.help()).with_retry_after(1)
}
