use actix_web::{get, patch, post, web};

use super::queries::{
    CampaignRow, find_campaign, find_campaigns, find_questions, insert_campaign,
    list_campaigns as load_campaigns, lock_campaign, update_campaign as store_campaign,
};
use super::rules::apply;
use super::wire::{
    CampaignFilter, CampaignPatch, CampaignQuery, CampaignView, NewCampaign, Question, check_period,
};
use crate::access::actions::{CampaignRead, CampaignWrite};
use crate::access::policy::{permit, permit_field, scope};
use crate::access::{Caller, Permit, Reader, Scope};
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::CampaignId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::{IfMatch, Reply};
use crate::platform::validate::FieldErrors;

const LIST: &str = "campaigns";

/// Campaigns that run where you may read
#[utoipa::path(
    operation_id = "list_campaigns", tag = "campaigns", security(("bearer" = ["campaign.read"]), ("service" = ["campaign.read"])),
    params(CampaignFilter, Paging),
    responses(
        (status = 200, description = "By id, each with its current questions.", body = Page<CampaignView>),
        (status = 403, description = "None of your grants reads campaigns.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/campaigns")]
pub async fn list_campaigns(
    Reader(caller): Reader,
    filter: Query<CampaignFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let Query(filter) = filter;
    let limit = filter.paging.limit()?;
    let after: Option<CampaignId> = filter.paging.after(LIST)?;
    if let Some(on) = filter.on {
        let mut errors = FieldErrors::default();
        errors.day("/on", on);
        if !errors.0.is_empty() {
            return Err(ApiError::fields(errors));
        }
    }
    let scope = scope::<CampaignRead>(&caller)?;
    let rows = db
        .read(async |tx| Ok(load_campaigns(tx, &scope, caller.today(), filter.on, after, limit).await?))
        .await?;
    Reply::ok(&Page::new(LIST, rows, limit, |row| row.id, CampaignView::from))
}

/// Make a campaign
#[utoipa::path(
    operation_id = "create_campaign", tag = "campaigns", security(("bearer" = ["campaign.write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer.")),
    request_body = NewCampaign,
    responses(
        (status = 201, description = "Made; `Location` and `ETag` are set.", body = CampaignView),
        (status = 403, description = "You may read the unit, but not make campaigns there.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or the unit is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/campaigns")]
pub async fn create_campaign(
    caller: Caller,
    body: Json<NewCampaign>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let new = body.value;
    let actor = *caller.actor();
    db.write_once(&actor, body.idempotency, async move |tx| {
        let permit = permit_field::<CampaignWrite>(tx, &caller, new.unit_id, "/unit_id").await?;
        let view = CampaignView::from(insert_campaign(tx, &permit, &new).await?);
        let reply = Reply::created(&view, format!("/v1/campaigns/{}", view.id))?.with_version(view.version);
        Ok((reply, record(&permit, &view)))
    })
    .await
}

/// One campaign
#[utoipa::path(
    operation_id = "get_campaign", tag = "campaigns", security(("bearer" = ["campaign.read"]), ("service" = ["campaign.read"])),
    params(("id" = i32, Path, example = 1), CampaignQuery),
    responses(
        (status = 200, description = "The campaign; `ETag` is its version.", body = CampaignView),
        (status = 304, description = "Unchanged since the version in If-None-Match."),
        (status = 404, description = "No such campaign or question version, or it runs outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/campaigns/{id}")]
pub async fn get_campaign(
    Reader(caller): Reader,
    id: Path<CampaignId>,
    query: Query<CampaignQuery>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let view = db
        .read(async |tx| {
            let row = find_visible(tx, &caller, *id).await?;
            let asked = query.0.question_version.unwrap_or(row.question_version);
            if asked == row.question_version {
                return Ok(CampaignView::from(row));
            }
            let questions: Vec<Question> = find_questions(tx, &row, asked)
                .await?
                .ok_or_else(ApiError::not_found)?;
            Ok(CampaignView {
                questions,
                question_version: asked,
                ..row.into()
            })
        })
        .await?;
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// Change a campaign
#[utoipa::path(
    operation_id = "update_campaign", tag = "campaigns", security(("bearer" = ["campaign.write"])),
    params(
        ("id" = i32, Path, example = 1),
        ("If-Match" = String, Header, description = "The ETag of what you read.", example = "\"1\""),
    ),
    request_body = CampaignPatch,
    responses(
        (status = 200, description = "As it is now. A change that changes nothing makes no new version.", body = CampaignView),
        (status = 403, description = "You may read it, but not change it.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such campaign, or it runs outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[patch("/v1/campaigns/{id}")]
pub async fn update_campaign(
    caller: Caller,
    id: Path<CampaignId>,
    if_match: IfMatch,
    body: Json<CampaignPatch>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, patch) = (*id, body.value);
    let actor = *caller.actor();
    let view = db
        .write(&actor, async move |tx| {
            lock_campaign(tx, id).await?;
            let current = CampaignView::from(find_visible(tx, &caller, id).await?);
            let permit = permit_change(tx, &caller, &current).await?;
            if_match.check(current.version)?;
            let (mut changed, other_questions) = apply(&current, patch.clone());
            if changed == current {
                return Ok((current, Record::nothing()));
            }
            let mut errors = FieldErrors::default();
            check_period(changed.starts_on, changed.ends_on, &mut errors);
            if !errors.0.is_empty() {
                return Err(ApiError::fields(errors));
            }
            changed.version = changed.version.saturating_add(1);
            changed.question_version = changed
                .question_version
                .saturating_add(i32::from(other_questions));
            let view = CampaignView::from(store_campaign(tx, &permit, &changed).await?);
            let record = record(&permit, &view);
            Ok((view, record))
        })
        .await?;
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// Those of these campaigns that are in scope today, as they are read.
///
/// # Errors
/// What the database says.
pub async fn read_campaigns(
    tx: &mut Tx,
    scope: &Scope<CampaignRead>,
    today: chrono::NaiveDate,
    ids: &[CampaignId],
) -> Result<Vec<CampaignView>, ApiError> {
    let rows = find_campaigns(tx, scope, today, ids).await?;
    Ok(rows.into_iter().map(CampaignView::from).collect())
}

/// The campaign if the caller may see it; who may read no campaign at all sees none.
async fn find_visible(tx: &mut Tx, caller: &Caller, id: CampaignId) -> Result<CampaignRow, ApiError> {
    let scope = scope::<CampaignRead>(caller).map_err(|_| ApiError::not_found())?;
    find_campaign(tx, &scope, caller.today(), id)
        .await?
        .ok_or_else(ApiError::not_found)
}

/// Leave to change a campaign that the caller has been shown: its unit may lie above all that he can read, and is
/// then no secret any more.
async fn permit_change(
    tx: &mut Tx,
    caller: &Caller,
    campaign: &CampaignView,
) -> Result<Permit<CampaignWrite>, ApiError> {
    permit(tx, caller, campaign.unit_id).await.map_err(|error| {
        if error.code() == Code::NotFound {
            ApiError::new(Code::Forbidden, "none of your grants allows campaign.write here")
        } else {
            error
        }
    })
}

/// Makes a campaign in the program's own name.
///
/// # Errors
/// What the database says.
pub async fn add_campaign(
    tx: &mut Tx,
    permit: &Permit<CampaignWrite>,
    new: &NewCampaign,
) -> Result<(CampaignId, Record), ApiError> {
    let view = CampaignView::from(insert_campaign(tx, permit, new).await?);
    Ok((view.id, record(permit, &view)))
}

fn record(permit: &Permit<CampaignWrite>, view: &CampaignView) -> Record {
    let (state_id, unit_id) = (permit.state_id(), permit.unit_id());
    Entry::new(state_id, unit_id, "campaign.write", "campaign", Digest::of(view))
        .of_ids([view.id.0])
        .into()
}
