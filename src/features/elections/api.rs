use actix_web::{get, patch, web};

use super::queries::parties::find_nation;
use super::queries::{
    ElectionRow, find_election, list_elections as load_elections, lock_election, update_election as store,
};
use super::wire::{ElectionPatch, ElectionView};
use crate::access::actions::{ElectionRead, ElectionWrite};
use crate::access::policy::{permit, scope};
use crate::access::{Caller, Permit, Reader};
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::page::{Page, Paging};
use crate::platform::reply::{IfMatch, Reply};

pub mod import;
pub mod parties;
pub mod seats;

const LIST: &str = "elections";

/// Elections
#[utoipa::path(
    operation_id = "list_elections", tag = "elections", security(("bearer" = ["election.read"]), ("service" = ["election.read"])),
    params(Paging),
    responses(
        (status = 200, description = "By code.", body = Page<ElectionView>),
        (status = 403, description = "None of your grants reads elections.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/elections")]
pub async fn list_elections(
    Reader(caller): Reader,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let limit = paging.0.limit()?;
    let after: Option<String> = paging.0.after(LIST)?;
    let scope = scope::<ElectionRead>(&caller)?;
    let rows = db
        .read(async |tx| Ok(load_elections(tx, &scope, after.clone(), limit).await?))
        .await?;
    Reply::ok(&Page::new(
        LIST,
        rows,
        limit,
        |row| row.code.clone(),
        ElectionView::from,
    ))
}

/// One election
#[utoipa::path(
    operation_id = "get_election", tag = "elections", security(("bearer" = ["election.read"]), ("service" = ["election.read"])),
    params(("code" = String, Path, example = "LS2014")),
    responses(
        (status = 200, description = "The election; `ETag` is its version.", body = ElectionView),
        (status = 304, description = "Unchanged since the version in If-None-Match."),
        (status = 403, description = "None of your grants reads elections.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such election.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/elections/{code}")]
pub async fn get_election(
    Reader(caller): Reader,
    code: Path<String>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let row = db.read(async |tx| election(tx, &caller, &code).await).await?;
    let view = ElectionView::from(row);
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// Name an election
#[utoipa::path(
    operation_id = "update_election", tag = "elections", security(("bearer" = ["election.write"])),
    params(
        ("code" = String, Path, example = "LS2014"),
        ("If-Match" = String, Header, description = "The ETag of what you read.", example = "\"1\""),
    ),
    request_body = ElectionPatch,
    responses(
        (status = 200, description = "As it is now. A change that changes nothing makes no new version.", body = ElectionView),
        (status = 403, description = "Only the nation's administrators name elections: all states share them.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such election.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[patch("/v1/elections/{code}")]
pub async fn update_election(
    caller: Caller,
    code: Path<String>,
    if_match: IfMatch,
    body: Json<ElectionPatch>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let patch = body.value;
    let code = code.0;
    let actor = *caller.actor();
    let view = db
        .write(&actor, async move |tx| {
            let permit = permit_nation(tx, &caller).await?;
            lock_election(tx, &code).await?;
            let row = election(tx, &caller, &code).await?;
            let id = row.id;
            let current = ElectionView::from(row);
            if_match.check(current.version)?;
            let mut changed = current.clone();
            if let Some(name) = &patch.name {
                changed.name.clone_from(name);
            }
            if let Some(day) = patch.held_on {
                changed.held_on = day;
            }
            if changed == current {
                return Ok((current, Record::nothing()));
            }
            changed.version = changed.version.saturating_add(1);
            let view = ElectionView::from(store(tx, &permit, id, &changed).await?);
            let record = record(&permit, "election.write", "election", id, Digest::of(&view));
            Ok((view, record))
        })
        .await?;
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// The election with this code. Elections are no secret from who may read them at all.
async fn election(tx: &mut Tx, caller: &Caller, code: &str) -> Result<ElectionRow, ApiError> {
    let scope = scope::<ElectionRead>(caller)?;
    find_election(tx, &scope, code)
        .await?
        .ok_or_else(ApiError::not_found)
}

/// Leave to change what all states share. That there is a nation is no secret, so who may not is told so.
async fn permit_nation(tx: &mut Tx, caller: &Caller) -> Result<Permit<ElectionWrite>, ApiError> {
    let forbidden = || {
        ApiError::new(
            Code::Forbidden,
            "only the nation's administrators change what all states share",
        )
    };
    let nation = find_nation(tx).await?.ok_or_else(forbidden)?;
    permit(tx, caller, nation)
        .await
        .map_err(|error| match error.code() {
            Code::NotFound => forbidden(),
            _ => error,
        })
}

fn record(
    permit: &Permit<ElectionWrite>,
    action: &'static str,
    subject: &'static str,
    id: i32,
    digest: Digest,
) -> Record {
    Entry::new(permit.state_id(), permit.unit_id(), action, subject, digest)
        .of_ids([id])
        .into()
}
