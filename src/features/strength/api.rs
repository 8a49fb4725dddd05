use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{get, post, web};
use chrono::{NaiveDate, TimeDelta};

use super::queries::{self, StrengthAsk, StrengthRow};
use super::rules::{holds_mandals, ranked_at};
use super::wire::{
    ChangeFilter, GradeChangeView, GradeCounts, GradeView, GradingView, StrengthItem, StrengthQuery,
    StrengthView,
};
use crate::access::Caller;
use crate::access::actions::{StrengthGrade, StrengthRead};
use crate::access::policy::permit;
use crate::features::target_sets::members_today;
use crate::features::units::Level;
use crate::journal::{Digest, Entry};
use crate::platform::body::{Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::UnitId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;
use crate::platform::validate::{FieldErrors, Validate};

pub mod rules;

fn valid<T: Validate>(query: T) -> Result<T, ApiError> {
    let mut errors = FieldErrors::default();
    query.validate(&mut errors);
    if errors.0.is_empty() {
        Ok(query)
    } else {
        Err(ApiError::fields(errors))
    }
}

fn since_or_month_ago(since: Option<NaiveDate>, caller: &Caller) -> NaiveDate {
    let today = caller.today();
    since.unwrap_or_else(|| today.checked_sub_signed(TimeDelta::days(30)).unwrap_or(today))
}

async fn seats_of(
    tx: &mut Tx,
    caller: &Caller,
    target_set: Option<i32>,
) -> Result<Option<Vec<UnitId>>, ApiError> {
    match target_set {
        None => Ok(None),
        Some(id) => members_today(tx, caller, id).await.map(Some),
    }
}

/// Who has grown stronger
///
/// How many booths and mandals under the unit have which grade, and how many rose and fell since a day, by states (or
/// another level at or wholly under the unit), those first that gained most. Only gradings that were done are shown.
#[utoipa::path(
    operation_id = "get_strength", tag = "strength", security(("bearer" = ["strength.read"])),
    params(("id" = i32, Path, example = 2), StrengthQuery),
    responses(
        (status = 200, description = "The report; `ETag` names its content.", body = StrengthView),
        (status = 304, description = "The same as in If-None-Match."),
        (status = 403, description = "You may see the unit, but not its strength.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid; units of the level lie above the unit or cross it; or the target set is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/strength")]
pub async fn get_strength(
    caller: Caller,
    id: Path<UnitId>,
    query: Query<StrengthQuery>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let query = valid(query.0)?;
    let since = since_or_month_ago(query.since, &caller);
    let (level, rows) = db
        .read_long(async |tx| {
            let permit = permit::<StrengthRead>(tx, &caller, *id).await?;
            let level = level_at(permit.level(), query.level)?;
            let seats = seats_of(tx, &caller, query.target_set).await?;
            let ask = StrengthAsk {
                level: level.as_str(),
                seats: seats.as_deref(),
                since,
            };
            Ok((level, queries::strength(tx, &permit, ask).await?))
        })
        .await?;
    let graded_on = rows.iter().map(|row| row.finished_day).min();
    let view = StrengthView {
        unit_id: *id,
        since,
        graded_on,
        items: items_of(rows, level, since, query.target_set),
    };
    Ok(Reply::ok(&view)?.with_content_tag())
}

/// The level by which a unit's strength is told.
fn level_at(unit: &str, asked: Option<Level>) -> Result<Level, ApiError> {
    let unit = Level::find(unit).ok_or_else(|| ApiError::internal("a unit of no level"))?;
    let ranked = ranked_at(unit);
    let level = match asked {
        None if unit == Level::Nation => Level::State,
        None => unit,
        Some(level) => level,
    };
    if ranked.contains(&level) {
        return Ok(level);
    }
    let names: Vec<&str> = ranked.iter().map(|level| level.as_str()).collect();
    let detail = if names.is_empty() {
        format!("a {} has no grades of its own: ask for its mandal", unit.as_str())
    } else {
        format!("of a {}, must be one of {}", unit.as_str(), names.join(", "))
    };
    Err(ApiError::field("/level", "wrong_level", detail))
}

fn items_of(
    rows: Vec<StrengthRow>,
    level: Level,
    since: NaiveDate,
    target_set: Option<i32>,
) -> Vec<StrengthItem> {
    let mut items: BTreeMap<UnitId, StrengthItem> = BTreeMap::new();
    for row in rows {
        let item = items.entry(row.unit_id).or_insert_with(|| StrengthItem {
            rank: 0,
            unit_id: row.unit_id,
            code: row.code.clone(),
            name: row.name.clone(),
            booths: GradeCounts::default(),
            mandals: holds_mandals(level).then(GradeCounts::default),
            gain: 0.0,
            trace: trace_of(row.unit_id, since, target_set),
        });
        let counts = GradeCounts {
            graded: row.a + row.b + row.c + row.d,
            a: row.a,
            b: row.b,
            c: row.c,
            d: row.d,
            rose: row.rose,
            fell: row.fell,
        };
        if row.kind == "booth" {
            item.gain = gain_of(&counts);
            item.booths = counts;
        } else {
            item.mandals = Some(counts);
        }
    }
    let mut items: Vec<StrengthItem> = items.into_values().collect();
    items.sort_by(|a, b| b.gain.total_cmp(&a.gain).then(a.unit_id.cmp(&b.unit_id)));
    for (n, item) in items.iter_mut().enumerate() {
        item.rank = n.saturating_add(1);
    }
    items
}

fn trace_of(unit_id: UnitId, since: NaiveDate, target_set: Option<i32>) -> String {
    let set = target_set
        .map(|id| format!("&target_set={id}"))
        .unwrap_or_default();
    format!("/v1/units/{unit_id}/strength/changes?since={since}{set}")
}

/// Booths that rose less those that fell, of a hundred.
fn gain_of(counts: &GradeCounts) -> f64 {
    let number = |n: i64| i32::try_from(n).map_or(f64::MAX, f64::from);
    if counts.graded == 0 {
        return 0.0;
    }
    let share = 100.0 * number(counts.rose.saturating_sub(counts.fell)) / number(counts.graded);
    (share * 10_000.0).round() / 10_000.0
}

/// Booths and mandals that rose or fell
///
/// Those under the unit whose grade is another than on a day, by id.
#[utoipa::path(
    operation_id = "list_grade_changes", tag = "strength", security(("bearer" = ["strength.read"])),
    params(("id" = i32, Path, example = 2), ChangeFilter),
    responses(
        (status = 200, description = "The changes.", body = Page<GradeChangeView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but not its strength.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or the target set is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/strength/changes")]
pub async fn list_grade_changes(
    caller: Caller,
    id: Path<UnitId>,
    filter: Query<ChangeFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = valid(filter.0)?;
    let list = format!("grade changes under {}", *id);
    let since = since_or_month_ago(filter.since, &caller);
    let paging = Paging {
        limit: filter.limit,
        cursor: filter.cursor,
    };
    let limit = paging.limit()?;
    let after = paging.after(&list)?;
    let rows = db
        .read_long(async |tx| {
            let permit = permit::<StrengthRead>(tx, &caller, *id).await?;
            let seats = seats_of(tx, &caller, filter.target_set).await?;
            let ask = StrengthAsk {
                level: "",
                seats: seats.as_deref(),
                since,
            };
            Ok(queries::changes(tx, &permit, ask, filter.rose, after, limit).await?)
        })
        .await?;
    Reply::ok(&Page::new(
        &list,
        rows,
        limit,
        |row| row.unit_id,
        GradeChangeView::from,
    ))
}

/// Grades of a booth or mandal
///
/// Every change of its grade, the newest first, with the rule by which it was graded.
#[utoipa::path(
    operation_id = "get_grade_history", tag = "strength", security(("bearer" = ["strength.read"])),
    params(("id" = i32, Path, description = "A booth or mandal.", example = 14), Paging),
    responses(
        (status = 200, description = "The newest first; none for other units.", body = Page<GradeView>),
        (status = 403, description = "You may see the unit, but not its strength.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/strength/history")]
pub async fn get_grade_history(
    caller: Caller,
    id: Path<UnitId>,
    paging: Query<Paging>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let list = format!("grades of {}", *id);
    let limit = paging.0.limit()?;
    let before = paging.0.after(&list)?;
    let rows = db
        .read(async |tx| {
            let permit = permit::<StrengthRead>(tx, &caller, *id).await?;
            Ok(queries::history(tx, &permit, before, limit).await?)
        })
        .await?;
    Reply::ok(&Page::new(
        &list,
        rows,
        limit,
        |row| row.graded_on,
        GradeView::from,
    ))
}

/// Have it graded now
///
/// A state, or every state from the nation: its booths and mandals are graded anew, soon, without waiting for the night.
#[utoipa::path(
    operation_id = "request_grading", tag = "strength", security(("bearer" = ["strength.grade"])),
    params(("id" = i32, Path, description = "A state, or the nation.", example = 2)),
    responses(
        (status = 202, description = "It begins within the minute. Reports change when a state is done.", body = GradingView),
        (status = 403, description = "You may see the unit, but not have it graded.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The unit is no state.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/units/{id}/strength/grading")]
pub async fn request_grading(caller: Caller, id: Path<UnitId>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let (id, actor) = (*id, *caller.actor());
    let states = db
        .write(&actor, async move |tx| {
            let permit = permit::<StrengthGrade>(tx, &caller, id).await?;
            if !["state", "nation"].contains(&permit.level()) {
                let detail = "a state is graded, or all of them from the nation";
                return Err(ApiError::field("/id", "wrong_level", detail));
            }
            let states = queries::request(tx, &permit, caller.today()).await?;
            let (state_id, unit_id) = (permit.state_id(), permit.unit_id());
            let ids: Vec<i32> = states.iter().map(|state| state.0).collect();
            let digest = Digest::of(&ids);
            let entry = Entry::new(state_id, unit_id, "strength.request", "unit", digest).of_ids(ids);
            Ok((states, entry.into()))
        })
        .await?;
    Reply::with_status(StatusCode::ACCEPTED, &GradingView { states })
}
