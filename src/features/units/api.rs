use actix_web::{get, patch, post, web};

use super::queries::lineages::{Hold, Move, derive_lineages, hold_lineages, move_units, settled_placement};
use super::queries::{
    Wanted, count_move, find_units, insert_unit, list_units as load_units, lock_unit, read_lineage,
    read_unit, update_unit as store_unit,
};
use super::rules::{Level, Tree, expected_parents, may_stand_under};
use super::wire::{
    LineageQuery, LineageView, NewPlacement, NewUnit, PlacementView, UnitFilter, UnitPatch, UnitView,
    UpperView,
};
use crate::access::actions::{UnitRead, UnitWrite};
use crate::access::policy::{permit, permit_field, scope_within};
use crate::access::{Caller, Permit, Reader, Scope};
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, OnConstraint, Problem};
use crate::platform::ids::UnitId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::{IfMatch, Reply};
use crate::platform::validate::FieldErrors;

pub mod import;

const LIST: &str = "units";

/// Your units
#[utoipa::path(
    operation_id = "list_units", tag = "units", security(("bearer" = ["unit.read"]), ("service" = ["unit.read"])),
    params(UnitFilter, Paging),
    responses(
        (status = 200, description = "By id: the units of your grants and all that lie under them today.", body = Page<UnitView>),
        (status = 403, description = "None of your grants reads units.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`under` is no unit of yours.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units")]
pub async fn list_units(
    Reader(caller): Reader,
    filter: Query<UnitFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let Query(filter) = filter;
    let mut errors = FieldErrors::default();
    let under = filter.read(&mut errors);
    if !errors.0.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let limit = filter.paging.limit()?;
    let wanted = Wanted {
        level: filter.level,
        code: filter.code,
        text: filter.q,
        after: filter.paging.after(LIST)?,
    };
    let rows = db
        .read(async |tx| {
            let scope = scope_within::<UnitRead>(tx, &caller, under).await?;
            Ok(load_units(tx, &scope, caller.today(), &wanted, limit).await?)
        })
        .await?;
    Reply::ok(&Page::new(LIST, rows, limit, |row| row.id, UnitView::from))
}

/// Make a unit
#[utoipa::path(
    operation_id = "create_unit", tag = "units", security(("bearer" = ["unit.write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer.")),
    request_body = NewUnit,
    responses(
        (status = 201, description = "Made, and placed under its parents since ever; `Location` and `ETag` are set.", body = UnitView),
        (status = 403, description = "You may read a parent, but not make units under it.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The code is taken.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, a parent is not yours to see, or the level cannot stand there.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/units")]
pub async fn create_unit(caller: Caller, body: Json<NewUnit>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let new = body.value;
    let actor = *caller.actor();
    db.write_once(&actor, body.idempotency, async move |tx| {
        let parents = permit_parents(tx, &caller, &new).await?;
        let states: Vec<UnitId> = parents.iter().map(|(_, parent)| parent.state_id()).collect();
        hold_lineages(tx, &states, Hold::Shared).await?;
        let id = insert_unit(tx, &parents, &new, actor.at)
            .await
            .on_constraint("units_code_key", || code_taken(&new.code))?;
        derive_lineages(tx, &[(id, new.level)]).await?;
        let permit = permit::<UnitWrite>(tx, &caller, id).await?;
        let view = UnitView::from(read_unit(tx, &permit, caller.today()).await?);
        let reply = Reply::created(&view, format!("/v1/units/{id}"))?.with_version(view.version);
        Ok((reply, record(&permit, "unit.create", &view)))
    })
    .await
}

fn code_taken(code: &str) -> ApiError {
    ApiError::new(Code::Conflict, format!("the code {code} is taken")).with_field(
        "/code",
        "taken",
        "another unit has this code",
    )
}

/// Leave to hang the new unit under each of its parents, all that is wrong with them at once.
async fn permit_parents(
    tx: &mut Tx,
    caller: &Caller,
    new: &NewUnit,
) -> Result<Vec<(Tree, Permit<UnitWrite>)>, ApiError> {
    let mut parents: Vec<(Tree, Permit<UnitWrite>)> = Vec::new();
    let mut errors = FieldErrors::default();
    for tree in Tree::ALL {
        let Some(parent_id) = new.parents.of(*tree) else {
            continue;
        };
        let pointer = format!("/parents/{}", tree.as_str());
        let parent = permit_field::<UnitWrite>(tx, caller, parent_id, &pointer).await?;
        check_place(*tree, new.level, &parent, &pointer, &mut errors);
        if parents
            .first()
            .is_some_and(|(_, other)| other.state_id() != parent.state_id())
        {
            errors.add(pointer, "other_state", "both parents must lie in the same state");
        }
        parents.push((*tree, parent));
    }
    if errors.0.is_empty() {
        Ok(parents)
    } else {
        Err(ApiError::fields(errors))
    }
}

fn check_place<A>(tree: Tree, level: Level, parent: &Permit<A>, pointer: &str, errors: &mut FieldErrors) {
    let may = Level::find(parent.level()).is_some_and(|above| may_stand_under(tree, level, above));
    if !may {
        errors.add(pointer, "wrong_level", expected_parents(tree, level));
    }
}

/// One unit
///
/// Of the units above yours you see the names, in the lineage of your own.
#[utoipa::path(
    operation_id = "get_unit", tag = "units", security(("bearer" = ["unit.read"]), ("service" = ["unit.read"])),
    params(("id" = i32, Path, example = 14)),
    responses(
        (status = 200, description = "The unit. `ETag` is the version.", body = UnitView),
        (status = 304, description = "Unchanged since the version in If-None-Match."),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}")]
pub async fn get_unit(
    Reader(caller): Reader,
    id: Path<UnitId>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let row = db
        .read(async |tx| {
            let permit = permit::<UnitRead>(tx, &caller, *id).await?;
            Ok(read_unit(tx, &permit, caller.today()).await?)
        })
        .await?;
    let view = UnitView::from(row);
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// Change a unit
#[utoipa::path(
    operation_id = "update_unit", tag = "units", security(("bearer" = ["unit.write"])),
    params(
        ("id" = i32, Path, example = 14),
        ("If-Match" = String, Header, description = "The ETag of what you read.", example = "\"1\""),
    ),
    request_body = UnitPatch,
    responses(
        (status = 200, description = "As it is now. A change that changes nothing makes no new version.", body = UnitView),
        (status = 403, description = "You may read the unit, but not change it.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed in the meantime.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[patch("/v1/units/{id}")]
pub async fn update_unit(
    caller: Caller,
    id: Path<UnitId>,
    if_match: IfMatch,
    body: Json<UnitPatch>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, patch) = (*id, body.value);
    let actor = *caller.actor();
    let view = db
        .write(&actor, async move |tx| {
            let permit = permit::<UnitWrite>(tx, &caller, id).await?;
            lock_unit(tx, &permit).await?;
            let current = read_unit(tx, &permit, caller.today()).await?;
            if_match.check(current.version)?;
            let changed = patch.clone().apply(current.clone());
            if changed == current {
                return Ok((UnitView::from(current), Record::nothing()));
            }
            store_unit(tx, &permit, &changed).await?;
            let view = UnitView::from(read_unit(tx, &permit, caller.today()).await?);
            let record = record(&permit, "unit.update", &view);
            Ok((view, record))
        })
        .await?;
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// Place a unit
///
/// From the day on, the unit and all under it count for the new parent; what was counted before the day stays where it
/// is. A day in the past takes with it what was counted since.
#[utoipa::path(
    operation_id = "place_unit", tag = "units", security(("bearer" = ["unit.write"])),
    params(
        ("id" = i32, Path, example = 14),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = NewPlacement,
    responses(
        (status = 200, description = "It stood there already; nothing was changed.", body = PlacementView),
        (status = 201, description = "Placed. `Location` is its lineage on the day.", body = PlacementView),
        (status = 403, description = "You may read the unit or its new parent, but not place units there.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, the parent is not yours to see, in another state, or of a level that cannot hold this one.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/units/{id}/placements")]
pub async fn place_unit(
    caller: Caller,
    id: Path<UnitId>,
    body: Json<NewPlacement>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, place) = (*id, body.value);
    let actor = *caller.actor();
    db.write_once(&actor, body.idempotency, async move |tx| {
        let state_id = permit::<UnitWrite>(tx, &caller, id).await?.state_id();
        hold_lineages(tx, &[state_id], Hold::Alone).await?;
        // Asked again: it may have been moved out of the caller's units while the others were waited for.
        let permit = permit::<UnitWrite>(tx, &caller, id).await?;
        check_new_parent(tx, &caller, &permit, &place).await?;
        if let Some(held) = settled_placement(tx, id, place.tree, place.valid_from).await?
            && held.parent_id == place.parent_id
        {
            let view = placement(id, &place, held.valid_from);
            return Ok((Reply::ok(&view)?, Record::nothing()));
        }
        let moved = Move {
            unit_id: id,
            tree: place.tree,
            parent_id: place.parent_id,
            from: place.valid_from,
        };
        move_units(tx, &[moved]).await?;
        count_move(tx, &permit).await?;
        let from = settled_placement(tx, id, place.tree, place.valid_from)
            .await?
            .map_or(place.valid_from, |held| held.valid_from);
        let view = placement(id, &place, from);
        let reply = Reply::created(&view, format!("/v1/units/{id}/lineage?on={}", place.valid_from))?;
        Ok((reply, record(&permit, "unit.place", &view)))
    })
    .await
}

fn placement(unit_id: UnitId, place: &NewPlacement, valid_from: chrono::NaiveDate) -> PlacementView {
    PlacementView {
        unit_id,
        tree: place.tree,
        parent_id: place.parent_id,
        valid_from,
    }
}

async fn check_new_parent(
    tx: &mut Tx,
    caller: &Caller,
    unit: &Permit<UnitWrite>,
    place: &NewPlacement,
) -> Result<(), ApiError> {
    let pointer = "/parent_id";
    let parent = permit_field::<UnitWrite>(tx, caller, place.parent_id, pointer).await?;
    let mut errors = FieldErrors::default();
    match Level::find(unit.level()) {
        Some(level) => check_place(place.tree, level, &parent, pointer, &mut errors),
        None => return Err(ApiError::internal("a unit of no known level")),
    }
    // A state hangs under the nation, which is in no state.
    if parent.level() != Level::Nation.as_str() && parent.state_id() != unit.state_id() {
        errors.add(
            pointer,
            "other_state",
            "a unit stays in its state; the parent lies in another",
        );
    }
    if errors.0.is_empty() {
        Ok(())
    } else {
        Err(ApiError::fields(errors))
    }
}

/// What lies above a unit
///
/// The unit and all above it in both trees, from the nation down, by name.
#[utoipa::path(
    operation_id = "get_unit_lineage", tag = "units", security(("bearer" = ["unit.read"]), ("service" = ["unit.read"])),
    params(("id" = i32, Path, example = 14), LineageQuery),
    responses(
        (status = 200, description = "As it is on the day. `ETag` is of the content.", body = LineageView),
        (status = 304, description = "The same as in If-None-Match."),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/lineage")]
pub async fn get_unit_lineage(
    Reader(caller): Reader,
    id: Path<UnitId>,
    query: Query<LineageQuery>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let on = query.0.on.unwrap_or(caller.today());
    let mut errors = FieldErrors::default();
    errors.day("/on", on);
    if !errors.0.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let rows = db
        .read(async |tx| {
            let permit = permit::<UnitRead>(tx, &caller, *id).await?;
            Ok(read_lineage(tx, &permit, on).await?)
        })
        .await?;
    let view = LineageView {
        unit_id: *id,
        on,
        units: rows.into_iter().map(UpperView::from).collect(),
    };
    Ok(Reply::ok(&view)?.with_content_tag())
}

/// Those of these units that are in scope today, as they are read.
///
/// # Errors
/// What the database says.
pub async fn read_units(
    tx: &mut Tx,
    scope: &Scope<UnitRead>,
    today: chrono::NaiveDate,
    ids: &[UnitId],
) -> Result<Vec<UnitView>, ApiError> {
    let rows = find_units(tx, scope, today, ids).await?;
    Ok(rows.into_iter().map(UnitView::from).collect())
}

/// What was done to the permit's unit.
fn record<T: serde::Serialize>(permit: &Permit<UnitWrite>, action: &'static str, written: &T) -> Record {
    let (state_id, unit_id) = (permit.state_id(), permit.unit_id());
    Entry::new(state_id, unit_id, action, "unit", Digest::of(written))
        .of_ids([unit_id.0])
        .into()
}
