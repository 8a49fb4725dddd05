use std::collections::BTreeMap;

use actix_web::{get, web};

use super::super::queries::entrants::{self, EntrantAsk, EntrantCountRow};
use super::super::rules::{SINCE, span_of};
use super::super::wire::{
    EntrantCounts, EntrantFilter, EntrantGroup, EntrantUnit, EntrantView, EntrantsView,
};
use super::valid;
use crate::access::Caller;
use crate::access::actions::PostRead;
use crate::access::policy::permit;
use crate::platform::body::{Path, Query};
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::UnitId;
use crate::platform::page::Page;
use crate::platform::reply::Reply;

const LIST: &str = "entrants";

/// What has become of entrants
///
/// Active workers who came from another party: how many hold a post today, by party, by time since they joined, and by the
/// units straight below.
#[utoipa::path(
    operation_id = "count_entrants", tag = "cadre", security(("bearer" = ["post.read"])),
    params(("id" = i32, Path, example = 2)),
    responses(
        (status = 200, description = "The counts; `ETag` names their content.", body = EntrantsView),
        (status = 304, description = "The same as in If-None-Match."),
        (status = 403, description = "You may see the unit, but not its posts.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/entrants")]
pub async fn count_entrants(caller: Caller, id: Path<UnitId>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let rows = db
        .read(async |tx| {
            let permit = permit::<PostRead>(tx, &caller, *id).await?;
            Ok(entrants::count_entrants(tx, &permit, caller.today()).await?)
        })
        .await?;
    Ok(Reply::ok(&view_of(&rows))?.with_content_tag())
}

fn view_of(rows: &[EntrantCountRow]) -> EntrantsView {
    let mut total = EntrantCounts::default();
    let mut parties: BTreeMap<&str, EntrantCounts> = BTreeMap::new();
    let mut spans: BTreeMap<&str, EntrantCounts> = BTreeMap::new();
    let mut units: BTreeMap<Option<UnitId>, (Option<&str>, EntrantCounts)> = BTreeMap::new();
    for row in rows {
        total.add(row);
        parties.entry(&row.party).or_default().add(row);
        spans.entry(span_of(row.days)).or_default().add(row);
        let unit = units.entry(row.unit_id).or_default();
        unit.0 = row.unit_name.as_deref();
        unit.1.add(row);
    }
    let group = |name: &str, counts: EntrantCounts| EntrantGroup {
        name: name.to_owned(),
        counts,
    };
    let mut by_party: Vec<EntrantGroup> = parties
        .into_iter()
        .map(|(name, counts)| group(name, counts))
        .collect();
    by_party.sort_by_key(|group| std::cmp::Reverse(group.counts.entrants));
    let named = SINCE.iter().map(|(name, _)| *name).chain(["unknown"]);
    let by_time = named.filter_map(|name| spans.remove(name).map(|counts| group(name, counts)));
    EntrantsView {
        by_time: by_time.collect(),
        total,
        by_party,
        children: units
            .into_iter()
            .map(|(unit_id, (name, counts))| EntrantUnit {
                unit_id,
                name: name.map(str::to_owned),
                counts,
            })
            .collect(),
    }
}

impl EntrantCounts {
    fn add(&mut self, row: &EntrantCountRow) {
        self.entrants = self.entrants.saturating_add(row.entrants);
        self.holding = self.holding.saturating_add(row.holding);
        self.confirmed = self.confirmed.saturating_add(row.confirmed);
        self.without_post = self.entrants.saturating_sub(self.holding);
        let of = |n: i64| i32::try_from(n).ok().map(f64::from);
        self.share_holding = of(self.holding)
            .zip(of(self.entrants))
            .filter(|(_, all)| *all > 0.0)
            .map(|(holding, all)| holding / all);
    }
}

/// Entrants one by one
#[utoipa::path(
    operation_id = "list_entrants", tag = "cadre", security(("bearer" = ["post.read"])),
    params(("id" = i32, Path, example = 2), EntrantFilter),
    responses(
        (status = 200, description = "Active entrants on the rosters at and under the unit, by worker.", body = Page<EntrantView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but not its posts.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/entrants/list")]
pub async fn list_entrants(
    caller: Caller,
    id: Path<UnitId>,
    filter: Query<EntrantFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = valid(filter.0)?;
    let limit = filter.paging().limit()?;
    let ask = EntrantAsk {
        after: filter.paging().after(LIST)?,
        party: filter.party,
        with_post: filter.with_post,
        joined_from: filter.joined_from,
        joined_to: filter.joined_to,
        limit,
    };
    let rows = db
        .read(async |tx| {
            let permit = permit::<PostRead>(tx, &caller, *id).await?;
            Ok(entrants::list_entrants(tx, &permit, caller.today(), &ask).await?)
        })
        .await?;
    Reply::ok(&Page::new(
        LIST,
        rows,
        limit,
        |row| row.worker_id,
        EntrantView::from,
    ))
}
