use actix_web::{get, post, web};

use super::super::queries::{insert_rule, rules_of};
use super::super::wire::{GradeRule, GradeRuleView, GradeRulesView, NewGradeRule};
use crate::access::Caller;
use crate::access::actions::{StrengthRead, StrengthRule};
use crate::access::policy::permit;
use crate::journal::{Digest, Entry};
use crate::platform::body::{Json, Path};
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::UnitId;
use crate::platform::reply::Reply;

/// Rules of grading
///
/// Those of the unit's state and of the nation; `counts` marks the one by which booths here are graded.
#[utoipa::path(
    operation_id = "list_strength_rules", tag = "strength", security(("bearer" = ["strength.read"])),
    params(("id" = i32, Path, example = 2)),
    responses(
        (status = 200, description = "The state's first, the newest first; last the one that the program comes with, version 0.", body = GradeRulesView),
        (status = 403, description = "You may see the unit, but not its strength.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/strength/rules")]
pub async fn list_strength_rules(
    caller: Caller,
    id: Path<UnitId>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let rows = db
        .read(async |tx| {
            let permit = permit::<StrengthRead>(tx, &caller, *id).await?;
            Ok(rules_of(tx, permit.state_id()).await?)
        })
        .await?;
    let own = GradeRuleView {
        unit_id: None,
        version: 0,
        rule: GradeRule::default(),
        reason: "The rule that the program comes with".to_owned(),
        made_by: None,
        made_at: None,
        counts: rows.is_empty(),
    };
    let items = rows.into_iter().map(GradeRuleView::from).chain([own]).collect();
    Ok(Reply::ok(&GradeRulesView { items })?.with_content_tag())
}

/// Make the next version of a rule of grading
///
/// At a state, or at the nation for the states that have none of their own. It counts from the next grading on; grades
/// that were made stay as they are, with the rule by which they were made.
#[utoipa::path(
    operation_id = "make_strength_rule", tag = "strength", security(("bearer" = ["strength.rule"])),
    params(
        ("id" = i32, Path, description = "A state, or the nation.", example = 2),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = NewGradeRule,
    responses(
        (status = 201, description = "Made.", body = GradeRuleView),
        (status = 403, description = "You may see the unit, but not say how it is graded.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or the unit is no state.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/units/{id}/strength/rules")]
pub async fn make_strength_rule(
    caller: Caller,
    id: Path<UnitId>,
    body: Json<NewGradeRule>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, new) = (*id, body.value);
    let actor = *caller.actor();
    db.write_once(&actor, body.idempotency, async move |tx| {
        let permit = permit::<StrengthRule>(tx, &caller, id).await?;
        if !["state", "nation"].contains(&permit.level()) {
            let detail = "a rule is made by a state or the nation";
            return Err(ApiError::field("/id", "wrong_level", detail));
        }
        let view = GradeRuleView::from(insert_rule(tx, &permit, &new).await?);
        let (state_id, unit_id) = (permit.state_id(), permit.unit_id());
        let entry = Entry::new(state_id, unit_id, "strength.rule", "unit", Digest::of(&view)).of_ids([id.0]);
        let reply = Reply::created(&view, format!("/v1/units/{id}/strength/rules"))?;
        Ok((reply, entry.into()))
    })
    .await
}
