use actix_web::{get, post, web};

use super::{entry, view_of, visible};
use crate::access::actions::{CampaignRead, DrawRead, DrawWrite};
use crate::access::policy::{permit_field, scope, scope_within};
use crate::access::{Caller, Permit};
use crate::features::campaigns::{CampaignFacts, load_facts, read_campaigns};
use crate::features::draws::queries::{
    DrawRow, FrameRow, NewDrawRow, frame_of, insert_draw, insert_frame, list_draws as load_draws, list_frame,
};
use crate::features::draws::rules::compare::resolved;
use crate::features::draws::rules::plan::MOST;
use crate::features::draws::rules::select::{Member, Terms, frame_digest};
use crate::features::draws::wire::{DrawFilter, DrawView, FrameItemView, NewDraw};
use crate::journal::{Digest, Record};
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, OnConstraint, Problem};
use crate::platform::ids::CampaignId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;

const LIST: &str = "draws";
/// Most visits that can be drawn from at once: what is frozen in one statement and kept for ever.
const MOST_IN_FRAME: usize = 50_000;

/// Request a draw
///
/// Freezes what can be drawn: the visits of the campaign and days under the unit that count now. Nobody knows yet which
/// will be drawn: that follows from the first head of the state's journal that is signed after this request. A request
/// cannot be taken back.
#[utoipa::path(
    operation_id = "create_draw", tag = "draws", security(("bearer" = ["draw.write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer.")),
    request_body(content = NewDraw, example = json!({"unit_id": 6, "campaign_id": 1, "from": "2026-11-22", "to": "2026-11-23",
        "strata": "booth", "plan": {"acceptable": 0.05, "unacceptable": 0.2, "producer_risk": 0.1, "consumer_risk": 0.1},
        "compare": {"day_within": 7, "answers": {"need": {"rule": "ignored"}}}})),
    responses(
        (status = 201, description = "Requested, and pending.", body = DrawView),
        (status = 403, description = "You may see the unit, but not draw there.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The unit has a draw of this campaign and these days that is not closed.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, no visit can be drawn, or too many.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/draws")]
pub async fn create_draw(caller: Caller, body: Json<NewDraw>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let (actor, new) = (*caller.actor(), body.value);
    db.write_once(&actor, body.idempotency, async move |tx| {
        let permit = permit_field::<DrawWrite>(tx, &caller, new.unit_id, "/unit_id").await?;
        if permit.level() == "nation" {
            let detail = "each state seals its own journal: draw state by state";
            return Err(ApiError::field("/unit_id", "several_states", detail));
        }
        if new.to > caller.today() {
            return Err(ApiError::field("/to", "in_the_future", "must not be after today"));
        }
        let draw = request(tx, &caller, &permit, &new).await?;
        let view = view_of(tx, &draw).await?;
        let digest = draw.frame_digest.as_slice().try_into().map(Digest);
        let digest = digest.map_err(ApiError::internal)?;
        // The request's digest is the frame's, for whoever makes the draw anew; the other entry holds the rows themselves.
        let record = Record {
            entries: vec![
                entry(&permit, &draw, "draw.request", digest),
                entry(&permit, &draw, "draw.freeze", Digest::of(&view)),
            ],
            tallies: Vec::new(),
        };
        let reply = Reply::created(&view, format!("/v1/draws/{}", draw.id))?;
        Ok((reply, record))
    })
    .await
}

/// Freezes the frame and stores the request.
async fn request(
    tx: &mut Tx,
    caller: &Caller,
    permit: &Permit<DrawWrite>,
    new: &NewDraw,
) -> Result<DrawRow, ApiError> {
    let campaign = campaign_of(tx, caller, new.campaign_id).await?;
    let compare = resolved(new.compare.clone(), &campaign.questions).map_err(ApiError::fields)?;
    let compare = serde_json::to_value(&compare).map_err(ApiError::internal)?;
    let basis = new
        .plan
        .basis()
        .ok_or_else(|| ApiError::internal("a plan of neither kind"))?;
    let planned = basis.plan().ok_or_else(|| {
        let detail = format!("no {MOST} visits keep these risks: take rates further apart");
        ApiError::field("/plan", "too_large", detail)
    })?;
    let limit = i64::try_from(MOST_IN_FRAME).unwrap_or(i64::MAX).saturating_add(1);
    let frame = frame_of(tx, permit, new, limit).await?;
    if frame.len() > MOST_IN_FRAME {
        let detail = format!("more than {MOST_IN_FRAME} visits: take a smaller unit or fewer days");
        return Err(ApiError::field("/unit_id", "too_many_visits", detail));
    }
    let frame_size = i32::try_from(frame.len()).map_err(ApiError::internal)?;
    if frame_size == 0 {
        return Err(ApiError::field(
            "/unit_id",
            "nothing_to_draw",
            "no visit fits the request",
        ));
    }
    let drawn = basis.plan_for(planned, frame_size);
    let members: Vec<Member> = frame.iter().map(FrameRow::member).collect();
    let outcomes: Vec<&str> = new.outcomes.iter().map(|outcome| outcome.as_str()).collect();
    let terms = Terms {
        unit_id: new.unit_id,
        campaign_id: new.campaign_id,
        days: (new.from, new.to),
        outcomes: &outcomes,
        strata: new.strata.as_str(),
        drawn,
        unconfirmed: new.unconfirmed.as_str(),
        compare: &compare,
        frame_size,
    };
    let digest = frame_digest(&terms.lines(), &members);
    let row = NewDrawRow {
        new,
        planned,
        drawn,
        compare: &compare,
        frame_size,
        frame_digest: &digest.0,
        requested_by: caller.worker_id(),
    };
    let draw = insert_draw(tx, permit, &row)
        .await
        .on_constraint("draws_one_open", || {
            ApiError::new(Code::DrawOpen, Code::DrawOpen.help())
        })?;
    insert_frame(tx, draw.id, &frame).await?;
    Ok(draw)
}

async fn campaign_of(tx: &mut Tx, caller: &Caller, id: CampaignId) -> Result<CampaignFacts, ApiError> {
    let unknown = || {
        ApiError::field(
            "/campaign_id",
            "unknown_campaign",
            "there is no such campaign of yours",
        )
    };
    let scope = scope::<CampaignRead>(caller).map_err(|_| unknown())?;
    if read_campaigns(tx, &scope, caller.today(), &[id])
        .await?
        .is_empty()
    {
        return Err(unknown());
    }
    load_facts(tx, &[id]).await?.pop().ok_or_else(unknown)
}

/// Draws
#[utoipa::path(
    operation_id = "list_draws", tag = "draws", security(("bearer" = ["draw.read"])),
    params(DrawFilter),
    responses(
        (status = 200, description = "Newest first.", body = Page<DrawView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "None of your grants sees draws.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`under` is no unit of yours.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/draws")]
pub async fn list_draws(
    caller: Caller,
    filter: Query<DrawFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let limit = filter.paging().limit()?;
    let below: Option<i32> = filter.paging().after(LIST)?;
    let rows = db
        .read(async |tx| {
            let scope = scope_within::<DrawRead>(tx, &caller, filter.under).await?;
            Ok(load_draws(tx, &scope, &filter, caller.today(), below, limit + 1).await?)
        })
        .await?;
    Reply::ok(&Page::new(
        LIST,
        rows,
        limit,
        |row| row.id,
        |row| DrawView::from(&row),
    ))
}

/// One draw
///
/// With the head that seeded it, what was drawn and what was found. What could be drawn is a list of its own.
#[utoipa::path(
    operation_id = "get_draw", tag = "draws", security(("bearer" = ["draw.read"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 200, description = "How to make it anew: docs/auditing.md.", body = DrawView),
        (status = 304, description = "The same as in If-None-Match."),
        (status = 403, description = "You may see the unit, but not its draws.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such draw, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/draws/{id}")]
pub async fn get_draw(caller: Caller, id: Path<i32>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let view = db
        .read(async |tx| {
            let (draw, _) = visible::<DrawRead>(tx, &caller, *id).await?;
            view_of(tx, &draw).await
        })
        .await?;
    Ok(Reply::ok(&view)?.with_content_tag())
}

/// What could be drawn
#[utoipa::path(
    operation_id = "list_draw_frame", tag = "draws", security(("bearer" = ["draw.read"])),
    params(("id" = i32, Path, example = 1), Paging),
    responses(
        (status = 200, description = "The frame as it was frozen, in the order of the ids.", body = Page<FrameItemView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but not its draws.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such draw, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/draws/{id}/frame")]
pub async fn list_draw_frame(
    caller: Caller,
    id: Path<i32>,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let list = format!("frame of {}", *id);
    let limit = paging.0.limit()?;
    let after: Option<i32> = paging.0.after(&list)?;
    let rows = db
        .read(async |tx| {
            let (draw, _) = visible::<DrawRead>(tx, &caller, *id).await?;
            Ok(list_frame(tx, draw.id, after.unwrap_or(0), limit + 1).await?)
        })
        .await?;
    Reply::ok(&Page::new(
        &list,
        rows,
        limit,
        |row| row.place,
        FrameItemView::from,
    ))
}

/// For work that changes nothing.
pub(super) fn unchanged(reply: Reply) -> (Reply, Record) {
    (reply, Record::nothing())
}
