//! Every statement about draws. What a caller names is reached through the permit for the draw's unit; a verifier's own
//! tasks through his own id.

mod audited;
mod back_checks;
mod draws;
mod items;

pub use audited::{AuditedRow, Checks, GroupRow, Span, audited, checks_of, children, groups_of, unit_of};
pub use back_checks::{
    BackCheckRow, TaskRow, back_check_ids, back_checks_of, fade, fading, find_back_check, find_of_item,
    insert_back_check, list_back_checks, list_tasks,
};
pub use draws::{
    Closing, DrawRow, FiguresRow, FrameRow, NewDrawRow, close_draw, entry_number, figures_of, find_draw,
    frame_of, insert_draw, insert_frame, list_draws, list_frame, lock_draw, moved_in_frame, set_seed,
    share_draw,
};
pub use items::{ItemRow, assign, candidates, eligible, find_own_item, insert_items, list_items};
