use std::collections::{BTreeMap, BTreeSet};

use actix_web::{post, web};

use super::request::unchanged;
use super::{check_open, entry, visible};
use crate::access::actions::DrawAssign;
use crate::access::{Caller, Permit};
use crate::features::draws::queries::{
    DrawRow, ItemRow, assign, candidates, eligible, list_items, lock_draw,
};
use crate::features::draws::rules::spread::{NotGiven, named, spread};
use crate::features::draws::wire::{AssignSent, AssignedItemView, AssignedView};
use crate::journal::Digest;
use crate::platform::body::{Json, Path};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::WorkerId;
use crate::platform::reply::Reply;
use crate::platform::validate::FieldErrors;
use crate::platform::wall::AUDIT;

/// Most workers among whom visits are spread when none are named.
const MOST_CANDIDATES: i64 = 200;

/// Give drawn visits to verifiers
///
/// A visit is checked by an active worker with a grant from above its booth who neither made it, nor is of its booth, nor
/// signs in on the phone from which it came. Best are those who cannot read visits: they are told nothing of what it says. A visit
/// that was not checked yet can be given to another.
#[utoipa::path(
    operation_id = "assign_draw", tag = "draws", security(("bearer" = ["draw.assign"])),
    params(
        ("id" = i32, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body(content = AssignSent, example = json!({"spread_among": []})),
    responses(
        (status = 200, description = "Who has what now.", body = AssignedView),
        (status = 403, description = "You may see the unit, but not give its drawn visits to anybody.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such draw, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The draw is pending or closed.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid; or somebody who is named may not check what he is given.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/draws/{id}/assignments")]
pub async fn assign_draw(
    caller: Caller,
    id: Path<i32>,
    body: Json<AssignSent>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, actor, sent) = (*id, *caller.actor(), body.value);
    // Whether somebody is the author, or signs in on the phone, is told of whoever it is: hidden rows would make him fit.
    db.reaching(&AUDIT)
        .write_once(&actor, body.idempotency, async move |tx| {
            let (_, permit) = visible::<DrawAssign>(tx, &caller, id).await?;
            let draw = lock_draw(tx, id).await?;
            check_open(&draw)?;
            let items = list_items(tx, id).await?;
            let view = decide(tx, &caller, &permit, &draw, &items, &sent).await?;
            let reply = Reply::ok(&view)?;
            if view.assigned.is_empty() {
                return Ok(unchanged(reply));
            }
            assign(tx, &permit, id, caller.worker_id(), &view.assigned).await?;
            let entry = entry(&permit, &draw, "draw.assign", Digest::of(&view.assigned));
            Ok((reply, entry.into()))
        })
        .await
}

async fn decide(
    tx: &mut Tx,
    caller: &Caller,
    permit: &Permit<DrawAssign>,
    draw: &DrawRow,
    items: &[ItemRow],
    sent: &AssignSent,
) -> Result<AssignedView, ApiError> {
    let today = caller.today();
    let mut verifiers: BTreeSet<WorkerId> = sent.assignments.iter().map(|one| one.verifier_id).collect();
    let spread_among: BTreeSet<WorkerId> = match &sent.spread_among {
        Some(list) if list.is_empty() => {
            let found = candidates(tx, permit, draw.id, today, MOST_CANDIDATES).await?;
            found.into_iter().collect()
        }
        list => list.iter().flatten().copied().collect(),
    };
    verifiers.extend(&spread_among);
    let verifiers: Vec<WorkerId> = verifiers.into_iter().collect();
    let pairs: BTreeSet<(i32, WorkerId)> = eligible(tx, draw, &verifiers, today).await?.into_iter().collect();
    let open: BTreeMap<i32, Option<WorkerId>> = items
        .iter()
        .filter(|item| item.back_check_id.is_none())
        .map(|item| (item.number, item.verifier_id))
        .collect();
    let mut assigned = named(&sent.assignments, &open, &pairs).map_err(refused)?;
    let mut unassigned = Vec::new();
    if sent.spread_among.is_some() {
        let more = spread(&open, &assigned, &pairs, &spread_among);
        assigned.extend(more.0);
        unassigned = more.1;
    }
    assigned.sort_unstable_by_key(|one: &AssignedItemView| one.number);
    Ok(AssignedView { assigned, unassigned })
}

/// What is wrong with visits that were named.
fn refused(wrong: Vec<(usize, NotGiven)>) -> ApiError {
    let mut errors = FieldErrors::default();
    for (n, why) in wrong {
        match why {
            NotGiven::NotOpen => errors.add(
                format!("/assignments/{n}/number"),
                "not_open",
                "no drawn visit has this number, or it was checked",
            ),
            NotGiven::NotEligible => errors.add(
                format!("/assignments/{n}/verifier_id"),
                "not_eligible",
                "must be an active worker with a grant from above the booth that lets him check, not the visit's author, \
                 not of its booth, and not on the phone from which it came",
            ),
        }
    }
    ApiError::fields(errors)
}
