use actix_web::{get, post, web};

use super::super::queries::{RuleCursor, insert_rule, list_rules, runs_here};
use super::super::wire::{CommitteeRuleView, NewCommitteeRule};
use crate::access::Caller;
use crate::access::actions::{CommitteeWrite, PostRead};
use crate::access::policy::permit;
use crate::journal::{Digest, Entry};
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::{CampaignId, UnitId};
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;

const LIST: &str = "committee rules";

/// Rules of committees
///
/// Every version of the rules of the unit's state and of the nation, by campaign and unit, the newest first. `counts`
/// marks those by which committees here are counted.
#[utoipa::path(
    operation_id = "list_committee_rules", tag = "cadre", security(("bearer" = ["post.read"])),
    params(("id" = i32, Path, example = 2), Paging),
    responses(
        (status = 200, description = "The rules.", body = Page<CommitteeRuleView>),
        (status = 403, description = "You may see the unit, but not its posts.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/committee-rules")]
pub async fn list_committee_rules(
    caller: Caller,
    id: Path<UnitId>,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let limit = paging.0.limit()?;
    let after: Option<RuleCursor> = paging.0.after(LIST)?;
    let rows = db
        .read(async |tx| {
            let permit = permit::<PostRead>(tx, &caller, *id).await?;
            Ok(list_rules(tx, &permit, after, limit).await?)
        })
        .await?;
    let key = |row: &super::super::queries::RuleRow| (row.campaign_id, row.unit_id, row.version);
    Reply::ok(&Page::new(LIST, rows, limit, key, CommitteeRuleView::from))
}

/// Make the next version of a rule
///
/// At a state, or at the nation for the states that have none of their own. It counts at once.
#[utoipa::path(
    operation_id = "make_committee_rule", tag = "cadre", security(("bearer" = ["committee.write"])),
    params(
        ("id" = i32, Path, description = "A state, or the nation.", example = 2),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = NewCommitteeRule,
    responses(
        (status = 201, description = "Made.", body = CommitteeRuleView),
        (status = 403, description = "You may see the unit, but not say what its committees must have.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, no state, or the campaign does not run there.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/units/{id}/committee-rules")]
pub async fn make_committee_rule(
    caller: Caller,
    id: Path<UnitId>,
    body: Json<NewCommitteeRule>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, new) = (*id, body.value);
    let actor = *caller.actor();
    db.write_once(&actor, body.idempotency, async move |tx| {
        let permit = permit::<CommitteeWrite>(tx, &caller, id).await?;
        if !["state", "nation"].contains(&permit.level()) {
            return Err(ApiError::field(
                "/id",
                "wrong_level",
                "a rule is made by a state or the nation",
            ));
        }
        if let Some(campaign_id) = new.campaign_id
            && (campaign_id == CampaignId(0) || !runs_here(tx, &permit, caller.today(), campaign_id).await?)
        {
            return Err(ApiError::field(
                "/campaign_id",
                "unknown_campaign",
                "there is no such campaign here",
            ));
        }
        let view = CommitteeRuleView::from(insert_rule(tx, &permit, &new).await?);
        let (state_id, unit_id) = (permit.state_id(), permit.unit_id());
        let entry = Entry::new(state_id, unit_id, "committee.rule", "unit", Digest::of(&view)).of_ids([id.0]);
        let reply = Reply::created(&view, format!("/v1/units/{id}/committee-rules"))?;
        Ok((reply, entry.into()))
    })
    .await
}
