use std::time::Duration;

use actix_web::{post, web};

use super::request::unchanged;
use super::{entry, pending, view_of, visible};
use crate::access::actions::DrawWrite;
use crate::access::{Caller, Permit};
use crate::features::draws::queries::{
    DrawRow, FrameRow, entry_number, insert_items, list_frame, lock_draw, set_seed,
};
use crate::features::draws::rules::select::{Member, seed, select};
use crate::features::draws::wire::DrawView;
use crate::journal::seal::{SignedHead, head_covering, sign_heads};
use crate::journal::{Digest, Record, SealKeys, poster};
use crate::platform::body::Path;
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::reply::Reply;

/// How often a head that covers the request is looked for.
const TRIES: u32 = 20;
/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Draw
///
/// Seeds the draw from the first signed head that covers its request. If there is none yet, the journal is posted and
/// its heads are signed now; whoever asks for that cannot choose, since nobody can foresee the signature. A draw that is
/// drawn stays as it is.
#[utoipa::path(
    operation_id = "seed_draw", tag = "draws", security(("bearer" = ["draw.write"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 200, description = "Drawn, now or before.", body = DrawView),
        (status = 403, description = "You may see the unit, but not draw there.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such draw, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "No head covers the request yet: ask again.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/draws/{id}/seed")]
pub async fn seed_draw(
    caller: Caller,
    id: Path<i32>,
    db: web::Data<Db>,
    clock: web::Data<Clock>,
    seals: web::Data<SealKeys>,
) -> Result<Reply, ApiError> {
    let (id, actor) = (*id, *caller.actor());
    let (draw, sealed) = db
        .read(async |tx| {
            let (draw, _) = visible::<DrawWrite>(tx, &caller, id).await?;
            let sealed = draw.seed.is_some() || covering(tx, &draw).await?.is_some();
            Ok((draw, sealed))
        })
        .await?;
    if !sealed {
        provoke(&db, &seals, &clock, &draw).await?;
    }
    db.write(&actor, async move |tx| {
        let (_, permit) = visible::<DrawWrite>(tx, &caller, id).await?;
        let draw = lock_draw(tx, id).await?;
        if draw.seed.is_some() {
            return Ok(unchanged(Reply::ok(&view_of(tx, &draw).await?)?));
        }
        let draw = make(tx, &permit, draw).await?;
        let view = view_of(tx, &draw).await?;
        let record: Record = entry(&permit, &draw, "draw.seed", Digest::of(&view)).into();
        Ok((Reply::ok(&view)?, record))
    })
    .await
}

/// Posts and signs until a head covers the request, for a second at most: another process may be posting just then.
async fn provoke(db: &Db, seals: &SealKeys, clock: &Clock, draw: &DrawRow) -> Result<(), ApiError> {
    for _ in 0..TRIES {
        poster::post_state(db, draw.state_id).await?;
        sign_heads(db, seals, clock.now(), true).await?;
        if db
            .read(async |tx| Ok(covering(tx, draw).await?.is_some()))
            .await?
        {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(pending())
}

/// The request's number, and the first signed head that covers it.
async fn covering(tx: &mut Tx, draw: &DrawRow) -> Result<Option<(i64, SignedHead)>, ApiError> {
    let Some(number) = entry_number(tx, draw).await? else {
        return Ok(None);
    };
    let head = head_covering(tx, draw.state_id, number).await?;
    Ok(head.map(|head| (number, head)))
}

/// Draws from a locked draw's frame.
async fn make(tx: &mut Tx, permit: &Permit<DrawWrite>, draw: DrawRow) -> Result<DrawRow, ApiError> {
    let (number, head) = covering(tx, &draw).await?.ok_or_else(pending)?;
    let seed = seed(&head.root, &head.signature, draw.id, &draw.frame_digest);
    let frame = list_frame(tx, draw.id, 0, i64::from(draw.frame_size)).await?;
    let members: Vec<Member> = frame.iter().map(FrameRow::member).collect();
    let size = usize::try_from(draw.size).map_err(ApiError::internal)?;
    let drawn = select(&seed, &members, draw.by(), size);
    let places: Vec<i32> = drawn
        .iter()
        .filter_map(|place| frame.get(*place))
        .map(|row| row.place)
        .collect();
    insert_items(tx, permit, draw.id, &places).await?;
    Ok(set_seed(tx, permit, draw.id, (number, head.size), &seed).await?)
}
