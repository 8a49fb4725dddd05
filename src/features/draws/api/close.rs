use actix_web::{post, web};

use super::{check_open, entry, view_of, visible};
use crate::access::Caller;
use crate::access::actions::DrawWrite;
use crate::features::draws::queries::{Closing, close_draw as store_close, figures_of, lock_draw};
use crate::features::draws::rules::plan::{Found, verdict};
use crate::features::draws::wire::{CloseSent, DrawView, Unconfirmed};
use crate::journal::Digest;
use crate::platform::body::{Json, Path};
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::reply::Reply;

/// Close a draw
///
/// It ends in `accepted` or `rejected` and does not change any more. What was not checked, or could not be found out,
/// counts as the request says. Leaving visits unchecked needs a reason.
#[utoipa::path(
    operation_id = "close_draw", tag = "draws", security(("bearer" = ["draw.write"])),
    params(
        ("id" = i32, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = CloseSent,
    responses(
        (status = 200, description = "Closed, with its verdict.", body = DrawView),
        (status = 403, description = "You may see the unit, but not close its draws.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such draw, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The draw is pending, or was closed before.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Visits are left unchecked and there is no reason, or it is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/draws/{id}/close")]
pub async fn close_draw(
    caller: Caller,
    id: Path<i32>,
    body: Json<CloseSent>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, actor, sent) = (*id, *caller.actor(), body.value);
    db.write_once(&actor, body.idempotency, async move |tx| {
        let (_, permit) = visible::<DrawWrite>(tx, &caller, id).await?;
        let draw = lock_draw(tx, id).await?;
        check_open(&draw)?;
        let figures = figures_of(tx, id).await?;
        if figures.unfinished > 0 && sent.reason.is_none() {
            let detail = format!(
                "{} visits are not checked: say why it is closed all the same",
                figures.unfinished
            );
            return Err(ApiError::field("/reason", "missing_field", detail));
        }
        let found = Found {
            matched: figures.matched,
            mismatched: figures.mismatched,
            unclear: figures.unconfirmed + figures.unfinished,
            unclear_is_mismatch: draw.unconfirmed() == Unconfirmed::Mismatch,
        };
        let (accepted, decision) = verdict(&draw.basis(), draw.drawn(), draw.all_drawn(), found);
        let closing = Closing {
            accepted,
            decision,
            figures,
            reason: sent.reason.as_deref(),
            closed_by: caller.worker_id(),
        };
        let draw = store_close(tx, &permit, id, &closing).await?;
        let view = view_of(tx, &draw).await?;
        let entry = entry(&permit, &draw, "draw.close", Digest::of(&view));
        Ok((Reply::ok(&view)?, entry.into()))
    })
    .await
}
