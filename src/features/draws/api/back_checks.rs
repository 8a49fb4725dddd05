use actix_web::http::StatusCode;
use actix_web::{get, post, web};
use serde_json::{Map, Value, json};

use super::visible;
use crate::access::Caller;
use crate::access::actions::DrawRead;
use crate::features::campaigns::{check_answers, load_facts};
use crate::features::draws::commitment::digest_of;
use crate::features::draws::queries::{
    BackCheckRow, DrawRow, ItemRow, find_back_check, find_of_item, find_own_item, insert_back_check,
    list_back_checks as load_back_checks, list_tasks, share_draw,
};
use crate::features::draws::rules::compare::{Recorded, judge};
use crate::features::draws::wire::{BackCheckSent, BackCheckView, Compare, ReceiptView, TaskView};
use crate::features::visits::{Outcome, VisitRow, versions_of};
use crate::journal::commitment::Salts;
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Json, Path, Query};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::location::coarse;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;
use crate::platform::validate::FieldErrors;
use crate::platform::wall::AUDIT;

const TASKS: &str = "my back-checks";

/// What you are to check
///
/// Visits of open draws that were given to you and that nobody has checked, without who made them, when, and what they
/// say: ask the household as if you knew nothing.
#[utoipa::path(
    operation_id = "list_my_back_checks", tag = "draws", security(("bearer" = [])),
    params(Paging),
    responses(
        (status = 200, description = "By draw and number.", body = Page<TaskView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not signed in.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/me/back-checks")]
pub async fn list_my_back_checks(
    caller: Caller,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let limit = paging.0.limit()?;
    let after: Option<(i32, i32)> = paging.0.after(TASKS)?;
    let rows = db
        .read(async |tx| Ok(list_tasks(tx, caller.worker_id(), after.unwrap_or_default(), limit + 1).await?))
        .await?;
    Reply::ok(&Page::new(
        TASKS,
        rows,
        limit,
        |row| (row.draw_id, row.number),
        TaskView::from,
    ))
}

/// Record a back-check
///
/// Of a visit that was given to you, now or earlier. The phone makes the id; sending the same again is safe. The first
/// back-check of a visit counts. One that comes after the draw was closed is kept, and counts nowhere.
#[utoipa::path(
    operation_id = "record_back_check", tag = "draws", security(("bearer" = [])),
    request_body = BackCheckSent,
    responses(
        (status = 201, description = "Stored.", body = ReceiptView),
        (status = 200, description = "The same was stored before.", body = ReceiptView),
        (status = 409, description = "The id is taken by another, or the visit was checked.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or you were never given this visit.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/back-checks")]
pub async fn record_back_check(
    caller: Caller,
    body: Json<BackCheckSent>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (actor, sent, keys) = (*caller.actor(), body.value, db.keys().clone());
    // Who was moved since still says what he found: the visit is compared, not shown.
    db.reaching(&AUDIT)
        .write(&actor, async move |tx| record(tx, &keys, &caller, &sent).await)
        .await
}

async fn record(
    tx: &mut Tx,
    keys: &DataKeys,
    caller: &Caller,
    sent: &BackCheckSent,
) -> Result<(Reply, Record), ApiError> {
    let name = (sent.draw_id, sent.number);
    let never_given = || ApiError::field("/number", "not_given", "you were given no such visit to check");
    let item = find_own_item(tx, caller.worker_id(), name)
        .await?
        .ok_or_else(never_given)?;
    // From here on nobody closes the draw, so that what is counted at its close is what was in time.
    let draw = share_draw(tx, sent.draw_id).await?.ok_or_else(never_given)?;
    let digest = Digest::of(sent);
    if let Some(stored) = find_back_check(tx, draw.state_id, sent.id).await? {
        return again(&stored, caller, digest);
    }
    let row = check(tx, keys, caller, (&draw, &item), sent, digest).await?;
    if !insert_back_check(tx, &row).await? {
        return match find_back_check(tx, draw.state_id, sent.id).await? {
            Some(stored) => again(&stored, caller, digest),
            None => Err(taken(find_of_item(tx, name).await?.as_ref())),
        };
    }
    let digest = digest_of(&row).ok_or_else(|| ApiError::internal("a new back-check has no salts"))?;
    let entry = Entry::new(
        row.state_id,
        row.booth_id,
        "back_check.record",
        "back_check",
        digest,
    )
    .of_uuids([row.id]);
    let reply = Reply::with_status(StatusCode::CREATED, &ReceiptView::from(&row))?;
    Ok((reply, entry.into()))
}

/// The answer to an id that is known.
fn again(stored: &BackCheckRow, caller: &Caller, digest: Digest) -> Result<(Reply, Record), ApiError> {
    if stored.verifier_id == caller.worker_id() && stored.sent_digest == digest.0 {
        Ok((Reply::ok(&ReceiptView::from(stored))?, Record::nothing()))
    } else {
        Err(ApiError::new(
            Code::BackCheckConflict,
            Code::BackCheckConflict.help(),
        ))
    }
}

fn taken(stored: Option<&BackCheckRow>) -> ApiError {
    let error = ApiError::new(Code::AlreadyChecked, Code::AlreadyChecked.help());
    match stored {
        Some(stored) => error.with_member("received_at", json!(stored.received_at)),
        None => error,
    }
}

/// The back-check as it is stored: compared with the version of the visit that stood when the draw was requested.
async fn check(
    tx: &mut Tx,
    keys: &DataKeys,
    caller: &Caller,
    (draw, item): (&DrawRow, &ItemRow),
    sent: &BackCheckSent,
    digest: Digest,
) -> Result<BackCheckRow, ApiError> {
    let versions = versions_of(tx, keys, draw.state_id, &[item.visit_id.0]).await?;
    let visit = versions
        .into_iter()
        .map(|row| row.visit)
        .find(|row| row.version == item.version);
    let visit = visit.ok_or_else(|| ApiError::internal("a drawn visit has lost its version"))?;
    let observed = match &sent.observed {
        Some(observed) => {
            check_told(tx, &visit, &observed.answers).await?;
            serde_json::to_value(observed).map_err(ApiError::internal)?
        }
        None => json!({}),
    };
    let rules: Compare = serde_json::from_value(draw.compare.clone()).map_err(ApiError::internal)?;
    let (finding, evidence) = judge(&rules, &recorded(&visit)?, sent.outcome, sent.observed.as_ref());
    Ok(BackCheckRow {
        state_id: draw.state_id,
        id: sent.id,
        draw_id: draw.id,
        number: item.number,
        booth_id: item.booth_id,
        verifier_id: caller.worker_id(),
        device_id: caller.actor().device_id,
        checked_at: sent.checked_at,
        received_at: caller.actor().at,
        outcome: sent.outcome.as_str().to_owned(),
        observed,
        lat: sent.location.map(|at| coarse(at.lat)),
        lon: sent.location.map(|at| coarse(at.lon)),
        finding: finding.as_str().to_owned(),
        evidence: serde_json::to_value(&evidence).map_err(ApiError::internal)?,
        late: draw.closed_at.is_some(),
        sent_digest: digest.0.to_vec(),
        salts: Salts::random()?.to_bytes(),
    })
}

/// What the household answered has to be answers to the questions that the visit was asked.
async fn check_told(tx: &mut Tx, visit: &VisitRow, answers: &Map<String, Value>) -> Result<(), ApiError> {
    let facts = load_facts(tx, &[visit.campaign_id]).await?.pop();
    let questions = facts.and_then(|facts| facts.questions.get(&visit.question_version).cloned());
    let mut errors = FieldErrors::default();
    check_answers(&questions.unwrap_or_default(), answers, false, &mut errors);
    for error in &mut errors.0 {
        error.pointer = format!("/observed{}", error.pointer);
    }
    if errors.0.is_empty() {
        Ok(())
    } else {
        Err(ApiError::fields(errors))
    }
}

fn recorded(visit: &VisitRow) -> Result<Recorded, ApiError> {
    let outcome =
        Outcome::find(&visit.outcome).ok_or_else(|| ApiError::internal("a visit has no outcome"))?;
    Ok(Recorded {
        outcome,
        visited_on: visit.visited_on,
        people_met: visit.people_met,
        answers: visit.answers.as_object().cloned().unwrap_or_default(),
    })
}

/// The back-checks of a draw
///
/// With what follows from each, field by field.
#[utoipa::path(
    operation_id = "list_back_checks", tag = "draws", security(("bearer" = ["draw.read"])),
    params(("id" = i32, Path, example = 1), Paging),
    responses(
        (status = 200, description = "By the number of the drawn visit.", body = Page<BackCheckView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but not its draws.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such draw, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/draws/{id}/back-checks")]
pub async fn list_back_checks(
    caller: Caller,
    id: Path<i32>,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let list = format!("back-checks of {}", *id);
    let limit = paging.0.limit()?;
    let after: Option<i32> = paging.0.after(&list)?;
    let rows = db
        .read(async |tx| {
            let (draw, _) = visible::<DrawRead>(tx, &caller, *id).await?;
            Ok(load_back_checks(tx, draw.id, after.unwrap_or(0), limit + 1).await?)
        })
        .await?;
    Reply::ok(&Page::new(
        &list,
        rows,
        limit,
        |row| row.number,
        BackCheckView::from,
    ))
}
