use std::collections::BTreeMap;

use actix_web::{get, post, web};
use chrono::NaiveDate;

use super::queries::{
    SetRow, find_set, insert_set, insert_version, list_sets, list_versions, lock_set, members_on,
    seats_under, versions_on, workers_in,
};
use super::wire::{Member, NewTargetSet, NewVersion, SetFilter, TargetSetView};
use crate::access::actions::{ElectionRead, TargetSetRead, TargetSetWrite, WorkerRead};
use crate::access::policy::{permit, permit_field, scope, scope_under};
use crate::access::{Caller, Permit};
use crate::features::elections::{SeatFilter, find_election_id, find_party_id, matching_seats};
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::{UnitId, WorkerId};
use crate::platform::page::Page;
use crate::platform::reply::Reply;
use crate::platform::validate::FieldErrors;

pub mod read;

const LIST: &str = "target_sets";

/// Target sets
#[utoipa::path(
    operation_id = "list_target_sets", tag = "target sets", security(("bearer" = ["target_set.read"])),
    params(SetFilter),
    responses(
        (status = 200, description = "By id: sets of your units, of those under them and of those above them.", body = Page<TargetSetView>),
        (status = 403, description = "None of your grants reads target sets.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`under` is no unit of yours.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/target-sets")]
pub async fn list_target_sets(
    caller: Caller,
    filter: Query<SetFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let limit = filter.paging().limit()?;
    let after = filter.paging().after(LIST)?;
    let scope = scope::<TargetSetRead>(&caller)?;
    let today = caller.today();
    let (rows, versions) = db
        .read(async |tx| {
            if let Some(under) = filter.under {
                permit::<TargetSetRead>(tx, &caller, under).await?;
            }
            let rows = list_sets(tx, &scope, today, filter.under, after, limit).await?;
            let ids: Vec<i32> = rows.iter().map(|row| row.id).collect();
            let versions = versions_on(tx, &scope, &ids, today).await?;
            Ok((rows, versions))
        })
        .await?;
    let mut versions: BTreeMap<i32, _> = versions.into_iter().map(|row| (row.target_set_id, row)).collect();
    Reply::ok(&Page::new(
        LIST,
        rows,
        limit,
        |row| row.id,
        |row| {
            let current = versions.remove(&row.id);
            TargetSetView::new(row, current)
        },
    ))
}

/// Make a target set
///
/// Its members are written by hand or chosen by a rule over an election's results.
#[utoipa::path(
    operation_id = "create_target_set", tag = "target sets", security(("bearer" = ["target_set.write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer.")),
    request_body(content = NewTargetSet, example = json!({"name": "Seats to win", "unit_id": 2, "level": "parliamentary_constituency",
        "version": {"valid_from": "2026-11-23", "reason": "Lost narrowly last time", "members": [{"unit_id": 9, "cluster": "North"}],
                    "clusters": [{"name": "North"}]}})),
    responses(
        (status = 201, description = "Made; `Location` and `ETag` are set.", body = TargetSetView),
        (status = 403, description = "You may see the unit, but not set targets there.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or a unit or worker is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/target-sets")]
pub async fn create_target_set(
    caller: Caller,
    body: Json<NewTargetSet>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let new = body.value;
    let actor = *caller.actor();
    db.write_once(&actor, body.idempotency, async move |tx| {
        let permit = permit_field::<TargetSetWrite>(tx, &caller, new.unit_id, "/unit_id").await?;
        let set = insert_set(tx, &permit, &new).await?;
        let view = add_version(tx, &caller, &permit, set, 1, &new.version, "/version").await?;
        let reply = Reply::created(&view, format!("/v1/target-sets/{}", view.id))?.with_version(view.version);
        Ok((reply, record(&permit, &view, &new.version)))
    })
    .await
}

/// One target set
#[utoipa::path(
    operation_id = "get_target_set", tag = "target sets", security(("bearer" = ["target_set.read"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 200, description = "The set as it is today; `ETag` names its content.", body = TargetSetView),
        (status = 304, description = "The same as in If-None-Match."),
        (status = 404, description = "No such set, or none of yours.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/target-sets/{id}")]
pub async fn get_target_set(caller: Caller, id: Path<i32>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let view = db
        .read(async |tx| {
            let set = visible(tx, &caller, *id).await?;
            let scope = scope::<TargetSetRead>(&caller)?;
            let current = versions_on(tx, &scope, &[set.id], caller.today()).await?;
            Ok(TargetSetView::new(set, current.into_iter().next()))
        })
        .await?;
    Ok(Reply::ok(&view)?.with_content_tag())
}

/// Make a new version of a target set
///
/// The versions before stay as they were. It begins on the same day as the one before, or later.
#[utoipa::path(
    operation_id = "create_target_set_version", tag = "target sets", security(("bearer" = ["target_set.write"])),
    params(
        ("id" = i32, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body(content = NewVersion, example = json!({"valid_from": "2026-11-24", "reason": "Lost narrowly last time", "members": [{"unit_id": 9}]})),
    responses(
        (status = 201, description = "The set with its new version.", body = TargetSetView),
        (status = 403, description = "You may see the set, but not change it.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such set, or none of yours.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or a unit or worker is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/target-sets/{id}/versions")]
pub async fn create_version(
    caller: Caller,
    id: Path<i32>,
    body: Json<NewVersion>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, new) = (*id, body.value);
    let actor = *caller.actor();
    db.write_once(&actor, body.idempotency, async move |tx| {
        lock_set(tx, id).await?;
        let set = visible(tx, &caller, id).await?;
        let permit = permit_change(tx, &caller, set.unit_id).await?;
        let scope = scope::<TargetSetRead>(&caller)?;
        let newest = list_versions(tx, &scope, id, None, 1).await?;
        if newest
            .first()
            .is_some_and(|newest| new.valid_from < newest.valid_from)
        {
            return Err(ApiError::field(
                "/valid_from",
                "before_newest",
                "must not be before the first day of the newest version",
            ));
        }
        let version = set.version.saturating_add(1);
        let view = add_version(tx, &caller, &permit, set, version, &new, "").await?;
        let reply = Reply::created(&view, format!("/v1/target-sets/{id}"))?.with_version(view.version);
        Ok((reply, record(&permit, &view, &new)))
    })
    .await
}

/// The members of a set today, for whatever `target_set=` narrows.
///
/// # Errors
/// 422 that names the parameter, if there is no such set or the caller may not see it.
pub async fn members_today(tx: &mut Tx, caller: &Caller, id: i32) -> Result<Vec<UnitId>, ApiError> {
    let unknown = || {
        ApiError::field(
            "/target_set",
            "unknown_target_set",
            "there is no such target set, or none of yours",
        )
    };
    let scope = scope::<TargetSetRead>(caller).map_err(|_| unknown())?;
    members_on(tx, &scope, caller.today(), id)
        .await?
        .ok_or_else(unknown)
}

/// The set if the caller may see it; who may read no target set at all sees none.
async fn visible(tx: &mut Tx, caller: &Caller, id: i32) -> Result<SetRow, ApiError> {
    let scope = scope::<TargetSetRead>(caller).map_err(|_| ApiError::not_found())?;
    find_set(tx, &scope, caller.today(), id)
        .await?
        .ok_or_else(ApiError::not_found)
}

/// Leave to change a set that the caller has been shown: its unit may lie above all that he can read, and is then no
/// secret any more.
async fn permit_change(
    tx: &mut Tx,
    caller: &Caller,
    unit_id: UnitId,
) -> Result<Permit<TargetSetWrite>, ApiError> {
    permit(tx, caller, unit_id).await.map_err(|error| {
        if error.code() == Code::NotFound {
            ApiError::new(
                Code::Forbidden,
                "none of your grants allows target_set.write here",
            )
        } else {
            error
        }
    })
}

async fn add_version(
    tx: &mut Tx,
    caller: &Caller,
    permit: &Permit<TargetSetWrite>,
    mut set: SetRow,
    version: i32,
    new: &NewVersion,
    at: &str,
) -> Result<TargetSetView, ApiError> {
    let today = caller.today();
    let members = match &new.rule {
        None => new.members.clone(),
        Some(_) => members_by_rule(tx, caller, permit, &set.level, new, at).await?,
    };
    check_members(tx, permit, today, &set.level, new, at).await?;
    check_in_charge(tx, caller, new, at).await?;
    insert_version(tx, permit, (set.id, version), new, &members).await?;
    set.version = version;
    let scope = scope::<TargetSetRead>(caller)?;
    let current = versions_on(tx, &scope, &[set.id], today).await?;
    Ok(TargetSetView::new(set, current.into_iter().next()))
}

/// The seats that the rule chooses, each in the cluster that the members written beside it name.
async fn members_by_rule(
    tx: &mut Tx,
    caller: &Caller,
    permit: &Permit<TargetSetWrite>,
    level: &str,
    new: &NewVersion,
    at: &str,
) -> Result<Vec<Member>, ApiError> {
    let Some(rule) = &new.rule else {
        return Ok(Vec::new());
    };
    let scope = scope_under::<ElectionRead>(tx, caller, permit.unit_id()).await?;
    let election_id = find_election_id(tx, &scope, &rule.election)
        .await?
        .ok_or_else(|| {
            ApiError::field(
                &format!("{at}/rule/election"),
                "unknown_election",
                "there is no such election",
            )
        })?;
    let party_id = find_party_id(tx, &scope, &rule.party).await?.ok_or_else(|| {
        ApiError::field(
            &format!("{at}/rule/party"),
            "unknown_party",
            "no party is called so",
        )
    })?;
    let filter = SeatFilter {
        election_id,
        party_id: Some(party_id),
        won: rule.won,
        deficit_below: rule.deficit_below,
        margin_below: rule.margin_below,
        level: Some(level.to_owned()),
    };
    let chosen = matching_seats(tx, &scope, caller.today(), &filter).await?;
    let clusters: BTreeMap<UnitId, &Member> = new
        .members
        .iter()
        .map(|member| (member.unit_id, member))
        .collect();
    if let Some(stray) = new
        .members
        .iter()
        .position(|member| !chosen.contains(&member.unit_id))
    {
        return Err(ApiError::field(
            &format!("{at}/members/{stray}/unit_id"),
            "not_chosen",
            "the rule does not choose this seat; leave it out, or write the set by hand",
        ));
    }
    let members = chosen.into_iter().map(|unit_id| Member {
        unit_id,
        cluster: clusters.get(&unit_id).and_then(|member| member.cluster.clone()),
    });
    Ok(members.collect())
}

async fn check_members(
    tx: &mut Tx,
    permit: &Permit<TargetSetWrite>,
    today: NaiveDate,
    level: &str,
    new: &NewVersion,
    at: &str,
) -> Result<(), ApiError> {
    let ids: Vec<UnitId> = new.members.iter().map(|member| member.unit_id).collect();
    let known = seats_under(tx, permit, today, level, &ids).await?;
    let mut errors = FieldErrors::default();
    for (n, id) in ids.iter().enumerate() {
        if !known.contains(id) {
            errors.add(
                format!("{at}/members/{n}/unit_id"),
                "unknown_unit",
                format!("there is no such {level} under the unit"),
            );
        }
    }
    if errors.0.is_empty() {
        Ok(())
    } else {
        Err(ApiError::fields(errors))
    }
}

async fn check_in_charge(tx: &mut Tx, caller: &Caller, new: &NewVersion, at: &str) -> Result<(), ApiError> {
    let ids: Vec<WorkerId> = new
        .clusters
        .iter()
        .filter_map(|cluster| cluster.in_charge)
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    let known = match scope::<WorkerRead>(caller) {
        Ok(scope) => workers_in(tx, &scope, caller.today(), &ids).await?,
        Err(_) => Vec::new(),
    };
    let mut errors = FieldErrors::default();
    for (n, cluster) in new.clusters.iter().enumerate() {
        if cluster.in_charge.is_some_and(|id| !known.contains(&id)) {
            errors.add(
                format!("{at}/clusters/{n}/in_charge"),
                "unknown_worker",
                "there is no such active worker, or he lies outside your grants",
            );
        }
    }
    if errors.0.is_empty() {
        Ok(())
    } else {
        Err(ApiError::fields(errors))
    }
}

fn record(permit: &Permit<TargetSetWrite>, view: &TargetSetView, version: &NewVersion) -> Record {
    let digest = Digest::of(&(view, version));
    Entry::new(
        permit.state_id(),
        permit.unit_id(),
        "target_set.write",
        "target_set",
        digest,
    )
    .of_ids([view.id])
    .into()
}
