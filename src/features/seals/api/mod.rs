pub mod receipt;

use std::num::TryFromIntError;

use actix_web::{get, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::queries;
use super::wire::{
    ConsistencyQuery, ConsistencyView, EntryView, HeadFilter, InclusionQuery, InclusionView, JournalFilter,
    LatestHeadsView, encoded,
};
use crate::access::actions::{JournalRead, UnitRead};
use crate::access::policy::{permit, scope, scope_within};
use crate::access::{Caller, Permit, Scope};
use crate::journal::head::HeadView;
use crate::journal::{SealKeys, seal, tree};
use crate::platform::body::Query;
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::UnitId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;
use crate::platform::validate::{FieldErrors, Validate};

const ENTRIES: &str = "journal";
const HEADS: &str = "journal_heads";

/// The journal
///
/// What was done under the units whose journal you may read, newest first. A page looks at 10,000 entries at most, so it
/// may hold fewer than `limit`, even none, and still have a `next_cursor`.
#[utoipa::path(
    operation_id = "list_journal", tag = "journal", security(("bearer" = ["journal.read"])),
    params(JournalFilter),
    responses(
        (status = 200, description = "Newest first.", body = Page<EntryView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "None of your grants reads the journal.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "A unit in the filter does not exist or lies outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid, or your grants lie in several states and none is named.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/journal")]
pub async fn list_entries(
    caller: Caller,
    filter: Query<JournalFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let mut errors = FieldErrors::default();
    filter.validate(&mut errors);
    if !errors.0.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let paging = Paging {
        limit: filter.limit.clone(),
        cursor: filter.cursor.clone(),
    };
    let limit = paging.limit()?;
    let after: Option<(UnitId, i64)> = paging.after(ENTRIES)?;
    let (rows, state_id, next) = db
        .read(async |tx| {
            let scope = scope_within::<JournalRead>(tx, &caller, filter.under).await?;
            let state_id = journal_of(tx, &caller, &scope, filter.state_id, filter.under).await?;
            let below = after
                .filter(|(state, _)| *state == state_id)
                .map(|(_, number)| number);
            let today = caller.today();
            let page = queries::list_entries(tx, &scope, state_id, &filter, today, below, limit).await?;
            Ok((page.0, state_id, page.1))
        })
        .await?;
    let items = rows.into_iter().map(EntryView::from).collect();
    Reply::ok(&Page::with_next(
        ENTRIES,
        items,
        next.map(|number| (state_id, number)),
    ))
}

/// Whose journal is asked for: the state that is named, that of the unit, the only one there is in scope, or that of a
/// whole state (or the nation) in scope.
async fn journal_of(
    tx: &mut Tx,
    caller: &Caller,
    scope: &Scope<JournalRead>,
    state_id: Option<UnitId>,
    under: Option<UnitId>,
) -> Result<UnitId, ApiError> {
    let states = queries::states(tx, scope).await?;
    if let Some(state_id) = state_id {
        return if states.contains(&state_id) {
            Ok(state_id)
        } else {
            Err(ApiError::not_found())
        };
    }
    if let Some(under) = under {
        let place: Permit<UnitRead> = permit(tx, caller, under).await?;
        return Ok(place.state_id());
    }
    let nation = scope.roots().iter().find(|root| states.contains(root));
    match (states.as_slice(), nation) {
        ([only], _) => Ok(*only),
        // Whoever holds the nation holds every state: what belongs to none is what he can be given unasked.
        (_, Some(nation)) => Ok(*nation),
        _ => Err(ApiError::field(
            "/state_id",
            "required",
            "your grants lie in several states: name one",
        )),
    }
}

/// The state's journal if something in it is in the caller's scope.
async fn seen_state(tx: &mut Tx, scope: &Scope<JournalRead>, state_id: UnitId) -> Result<UnitId, ApiError> {
    let states = queries::states(tx, scope).await?;
    states
        .into_iter()
        .find(|seen| *seen == state_id)
        .ok_or_else(ApiError::not_found)
}

/// Signed heads of a journal
#[utoipa::path(
    operation_id = "list_heads", tag = "journal", security(("bearer" = ["journal.read"])),
    params(HeadFilter),
    responses(
        (status = 200, description = "Newest first.", body = Page<HeadView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "None of your grants reads the journal.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such state, or none of yours.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Your grants lie in several states and none is named.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/journal/heads")]
pub async fn list_heads(
    caller: Caller,
    filter: Query<HeadFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let paging = Paging {
        limit: filter.0.limit,
        cursor: filter.0.cursor,
    };
    let asked = filter.0.state_id;
    let limit = paging.limit()?;
    let after: Option<i64> = paging.after(HEADS)?;
    let scope = scope::<JournalRead>(&caller)?;
    let rows = db
        .read(async |tx| {
            let state_id = journal_of(tx, &caller, &scope, asked, None).await?;
            Ok(seal::list_heads(tx, state_id, after, limit + 1).await?)
        })
        .await?;
    Reply::ok(&Page::new(HEADS, rows, limit, |head| head.size, HeadView::from))
}

/// The newest head of each journal
///
/// Keep this answer somewhere else: `sampark verify --since` later shows whether anything before it was changed.
#[utoipa::path(
    operation_id = "list_latest_heads", tag = "journal", security(("bearer" = ["journal.read"])),
    responses(
        (status = 200, description = "Of each state of yours that has one.", body = LatestHeadsView),
        (status = 403, description = "None of your grants reads the journal.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/journal/heads/latest")]
pub async fn list_latest_heads(caller: Caller, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let scope = scope::<JournalRead>(&caller)?;
    let (heads, states) = db
        .read(async |tx| Ok((seal::latest_heads(tx).await?, queries::states(tx, &scope).await?)))
        .await?;
    let seen = heads.into_iter().filter(|head| states.contains(&head.state_id));
    let items = seen.map(HeadView::from).collect();
    Ok(Reply::ok(&LatestHeadsView { items })?.with_content_tag())
}

/// Prove that an entry is in the tree
#[utoipa::path(
    operation_id = "prove_inclusion", tag = "journal", security(("bearer" = ["journal.read"])),
    params(InclusionQuery),
    responses(
        (status = 200, description = "The path from the leaf to the root.", body = InclusionView),
        (status = 403, description = "None of your grants reads the journal.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such entry, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The tree is not that long, or the entry not in it.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/journal/proof/inclusion")]
pub async fn prove_inclusion(
    caller: Caller,
    query: Query<InclusionQuery>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let InclusionQuery {
        state_id,
        number,
        size,
    } = query.0;
    let scope = scope::<JournalRead>(&caller)?;
    let view = db
        .read(async |tx| {
            seen_state(tx, &scope, state_id).await?;
            let entry = queries::find_entry(tx, &scope, (state_id, number), caller.today()).await?;
            let entry = entry.ok_or_else(ApiError::not_found)?;
            check_size(tx, state_id, size, "/size").await?;
            let (at, of) = positive(number, size)?;
            let proof = tree::inclusion_proof(tx, state_id, at, of).await?;
            let proof = proof.ok_or_else(|| {
                ApiError::field("/size", "out_of_range", "the entry is not in a tree of this size")
            })?;
            Ok(InclusionView {
                state_id,
                number,
                size,
                leaf_hash: STANDARD.encode(&entry.leaf_hash),
                root: root_at(tx, state_id, of).await?,
                hashes: encoded(&proof),
            })
        })
        .await?;
    Reply::ok(&view)
}

/// Prove that a tree begins with an older one
#[utoipa::path(
    operation_id = "prove_consistency", tag = "journal", security(("bearer" = ["journal.read"])),
    params(ConsistencyQuery),
    responses(
        (status = 200, description = "The hashes from which both roots follow.", body = ConsistencyView),
        (status = 403, description = "None of your grants reads the journal.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such state, or none of yours.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The tree is not that long, or `first` is after `second`.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/journal/proof/consistency")]
pub async fn prove_consistency(
    caller: Caller,
    query: Query<ConsistencyQuery>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let ConsistencyQuery {
        state_id,
        first,
        second,
    } = query.0;
    let scope = scope::<JournalRead>(&caller)?;
    let view = db
        .read(async |tx| {
            seen_state(tx, &scope, state_id).await?;
            check_size(tx, state_id, second, "/second").await?;
            let (older, newer) = positive(first, second)?;
            let proof = tree::consistency_proof(tx, state_id, older, newer).await?;
            let proof = proof
                .ok_or_else(|| ApiError::field("/first", "out_of_range", "must be from 1 to `second`"))?;
            Ok(ConsistencyView {
                state_id,
                first,
                second,
                first_root: root_at(tx, state_id, older).await?,
                second_root: root_at(tx, state_id, newer).await?,
                hashes: encoded(&proof),
            })
        })
        .await?;
    Reply::ok(&view)
}

/// Keys that verify signed heads
#[utoipa::path(
    operation_id = "get_seal_keys", tag = "journal", security(()),
    responses((status = 200, description = "A JWK set (RFC 7517) of Ed25519 keys (RFC 8037), those that no longer sign too.", body = serde_json::Value)),
)]
#[get("/.well-known/seal-keys.json")]
pub async fn get_seal_keys(seals: web::Data<SealKeys>, clock: web::Data<Clock>) -> Result<Reply, ApiError> {
    let keys = seals.loaded(clock.now()).map_err(ApiError::internal)?;
    Ok(Reply::ok(&keys.jwks())?.with_content_tag())
}

async fn check_size(tx: &mut Tx, state_id: UnitId, size: i64, pointer: &str) -> Result<(), ApiError> {
    let longest = queries::size_of(tx, state_id).await?;
    if (1..=longest).contains(&size) {
        return Ok(());
    }
    Err(ApiError::field(
        pointer,
        "out_of_range",
        format!("the journal has {longest} entries: must be from 1 to that"),
    ))
}

fn positive(first: i64, second: i64) -> Result<(u64, u64), ApiError> {
    let number = |n: i64| u64::try_from(n.max(0));
    let both = || Ok::<_, TryFromIntError>((number(first)?, number(second)?));
    both().map_err(ApiError::internal)
}

async fn root_at(tx: &mut Tx, state_id: UnitId, size: u64) -> Result<String, ApiError> {
    let frontier = tree::frontier_at(tx, state_id, size).await?;
    let frontier = frontier.ok_or_else(|| ApiError::internal("the tree lacks what its size says it has"))?;
    Ok(STANDARD.encode(frontier.root().0))
}
