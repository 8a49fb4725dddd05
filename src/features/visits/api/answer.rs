//! POST: what the author of a visit says to one of its flags.

use actix_web::{post, web};
use serde_json::Value;

use super::change::reply;
use super::read::find;
use crate::access::Caller;
use crate::access::actions::VisitAnswerOwn;
use crate::access::policy::scope;
use crate::features::visits::commitment::digest_of_answer;
use crate::features::visits::queries::{AnswerRow, FlagAnswer, VisitRow, add_answer, answers_of, lock_visit};
use crate::features::visits::wire::{AnswerSent, VisitView};
use crate::journal::commitment::Salts;
use crate::journal::{Actor, Entry, Record};
use crate::platform::body::{Json, Path};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::VisitId;
use crate::platform::reply::Reply;
use crate::platform::stored::Stored;

/// Most answers to the flags of one visit, all codes together.
const MOST_ANSWERS: usize = 50;

/// Answer a flag of your own visit
///
/// For whoever reviews it to read, also after the week was signed. It changes neither the visit nor its flags and makes no
/// version. A later answer takes the place of the one before, which is kept; the same text again changes nothing.
#[utoipa::path(
    operation_id = "answer_visit_flag", tag = "visits", security(("bearer" = ["visit.answer_own"])),
    params(
        ("id" = uuid::Uuid, Path, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33"),
        ("code" = String, Path, description = "Of the flag.", example = "too_short"),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = AnswerSent,
    responses(
        (status = 200, description = "The visit with the answer beside its flag.", body = VisitView),
        (status = 403, description = "You may see the visit, but did not make it; or none of your grants works in the field.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such visit, outside your grants, or it has no such flag.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The text is not valid, or there are 50 answers already.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/visits/{id}/flags/{code}/answer")]
pub async fn answer_flag(
    caller: Caller,
    path: Path<(VisitId, String)>,
    body: Json<AnswerSent>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, code) = path.clone();
    let text = body.value.text;
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    db.write_once(&actor, body.idempotency, async move |tx| {
        let found = find(tx, &keys, &caller, id).await?;
        scope::<VisitAnswerOwn>(&caller)?;
        if found.worker_id != caller.worker_id() {
            let detail = "only who made a visit answers its flags";
            return Err(ApiError::new(Code::Forbidden, detail));
        }
        let visit = lock_visit(tx, &keys, (found.state_id, found.id)).await?;
        if !has_flag(&visit.flags, &code) {
            return Err(ApiError::not_found());
        }
        let (visit, record) = answer(tx, &keys, &actor, visit, &code, &text).await?;
        Ok((reply(tx, &caller, visit).await?, record))
    })
    .await
}

fn has_flag(flags: &Value, code: &str) -> bool {
    let mut flags = flags.as_array().into_iter().flatten();
    flags.any(|flag| flag.get("code").and_then(Value::as_str) == Some(code))
}

/// The visit with the answer, and what was done.
async fn answer(
    tx: &mut Tx,
    keys: &DataKeys,
    actor: &Actor,
    mut visit: VisitRow,
    code: &str,
    text: &str,
) -> Result<(VisitRow, Record), ApiError> {
    let before = answers_of(tx, keys, &[(visit.state_id, visit.id)]).await?;
    let latest = before.iter().rev().find(|row| row.code == code);
    if latest.is_some_and(|row| row.text.as_deref() == Some(text)) {
        return Ok((visit, Record::nothing()));
    }
    if before.len() >= MOST_ANSWERS {
        return Err(ApiError::field(
            "/text",
            "too_many",
            format!("the flags of a visit have at most {MOST_ANSWERS} answers"),
        ));
    }
    let row = AnswerRow {
        state_id: visit.state_id,
        visit_id: visit.id,
        number: before.last().map_or(1, |row| row.number.saturating_add(1)),
        code: code.to_owned(),
        text: Some(text.to_owned()),
        answered_by: visit.worker_id,
        answered_at: actor.at,
        salts: Salts::random()?.to_bytes(),
    };
    add_answer(tx, keys, &row).await?;
    let digest = digest_of_answer(&row).ok_or_else(|| ApiError::internal("an answer has no salts"))?;
    let entry = Entry::new(
        visit.state_id,
        visit.booth_id,
        "visit.answer_flag",
        "flag_answer",
        digest,
    )
    .of_uuids([visit.id.0])
    .made_versions([row.number]);
    let mut answers = visit.flag_answers.take().map(|held| held.0).unwrap_or_default();
    answers.retain(|held| held.code != code);
    answers.push(FlagAnswer {
        number: row.number,
        code: row.code,
        answered_at: row.answered_at,
        text: row.text,
    });
    visit.flag_answers = Some(Stored(answers));
    Ok((visit, Record::from(entry)))
}
