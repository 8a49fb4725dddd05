use actix_web::http::StatusCode;
use actix_web::{delete, get, post, web};

use super::super::queries::parties::{join_name, list_parties as load, lock_names, part_name, read_party};
use super::super::rules::party_key;
use super::super::wire::{NewPartyName, PartyFilter, PartyView};
use super::{permit_nation, record};
use crate::access::actions::ElectionRead;
use crate::access::policy::scope;
use crate::access::{Caller, Reader};
use crate::journal::Digest;
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;
use crate::platform::validate::{FieldErrors, Validate};

const LIST: &str = "parties";

/// Parties and how their names are written
#[utoipa::path(
    operation_id = "list_parties", tag = "elections", security(("bearer" = ["election.read"]), ("service" = ["election.read"])),
    params(PartyFilter),
    responses(
        (status = 200, description = "By id.", body = Page<PartyView>),
        (status = 403, description = "None of your grants reads elections.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/parties")]
pub async fn list_parties(
    Reader(caller): Reader,
    filter: Query<PartyFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let mut errors = FieldErrors::default();
    filter.validate(&mut errors);
    if !errors.0.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let paging = Paging {
        limit: filter.limit,
        cursor: filter.cursor,
    };
    let limit = paging.limit()?;
    let after = paging.after(LIST)?;
    let text = filter.q.as_deref().map(party_key);
    let scope = scope::<ElectionRead>(&caller)?;
    let rows = db
        .read(async |tx| Ok(load(tx, &scope, text.as_deref(), after, limit).await?))
        .await?;
    Reply::ok(&Page::new(LIST, rows, limit, |row| row.id, PartyView::from))
}

/// Add a name to a party
///
/// "BJP" in one file, the full name in another: joined here, results of both are the same party's at once, in every election.
#[utoipa::path(
    operation_id = "add_party_name", tag = "elections", security(("bearer" = ["election.write"])),
    params(
        ("id" = i32, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = NewPartyName,
    responses(
        (status = 201, description = "The party with all its names.", body = PartyView),
        (status = 403, description = "Only the nation's administrators join names: all states share them.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such party.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/parties/{id}/names")]
pub async fn add_party_name(
    caller: Caller,
    id: Path<i32>,
    body: Json<NewPartyName>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, name) = (*id, body.value.name.trim().to_owned());
    let actor = *caller.actor();
    db.write_once(&actor, body.idempotency, async move |tx| {
        let permit = permit_nation(tx, &caller).await?;
        lock_names(tx, &permit).await?;
        read_party(tx, &permit, id)
            .await?
            .ok_or_else(ApiError::not_found)?;
        join_name(tx, &permit, id, &party_key(&name), &name).await?;
        let row = read_party(tx, &permit, id)
            .await?
            .ok_or_else(ApiError::not_found)?;
        let view = PartyView::from(row);
        let digest = Digest::of(&(view.id, &name));
        let reply = Reply::with_status(StatusCode::CREATED, &view)?;
        Ok((reply, record(&permit, "party.join", "party", id, digest)))
    })
    .await
}

/// Take a name from a party
///
/// The name becomes a party of its own again, and so do the results under it.
#[utoipa::path(
    operation_id = "part_party_name", tag = "elections", security(("bearer" = ["election.write"])),
    params(("id" = i32, Path, example = 1), ("name_id" = i32, Path, example = 2)),
    responses(
        (status = 200, description = "The party that the name is now.", body = PartyView),
        (status = 403, description = "Only the nation's administrators part names.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The party has no such name.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is the party's only name.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[delete("/v1/parties/{id}/names/{name_id}")]
pub async fn part_party_name(
    caller: Caller,
    path: Path<(i32, i32)>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, name_id) = path.0;
    let actor = *caller.actor();
    let view = db
        .write(&actor, async move |tx| {
            let permit = permit_nation(tx, &caller).await?;
            lock_names(tx, &permit).await?;
            let party = read_party(tx, &permit, id)
                .await?
                .ok_or_else(ApiError::not_found)?;
            let names = party.names.0;
            if names.iter().all(|name| name.id != name_id) {
                return Err(ApiError::not_found());
            }
            if names.len() == 1 {
                return Err(ApiError::new(Code::Conflict, "it is the party's only name"));
            }
            let own = part_name(tx, &permit, id, name_id)
                .await?
                .ok_or_else(ApiError::not_found)?;
            let row = read_party(tx, &permit, own)
                .await?
                .ok_or_else(ApiError::not_found)?;
            let view = PartyView::from(row);
            let digest = Digest::of(&(id, &view));
            Ok((view, record(&permit, "party.part", "party", id, digest)))
        })
        .await?;
    Reply::ok(&view)
}
