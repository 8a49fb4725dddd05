mod audited;
mod back_checks;
mod request;
mod view;

pub use audited::{AuditedChildrenQuery, AuditedQuery, AuditedView};
pub use back_checks::{
    AssignSent, AssignedItemView, AssignedView, BackCheckSent, BackCheckView, Evidence, ReceiptView, TaskView,
};
pub use request::{
    AnswerRule, CheckOutcome, CloseSent, Compare, DrawFilter, Finding, NewDraw, Observed, OutcomeRule,
    RuleKind, ShownAs, Strata, Unconfirmed,
};
pub use view::{DrawView, FrameItemView};
