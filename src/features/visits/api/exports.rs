//! Who exported what.

use actix_web::{get, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::Caller;
use crate::access::actions::JournalRead;
use crate::access::policy::scope_within;
use crate::features::visits::queries::exports::{ExportRow, list_exports as load_exports};
use crate::platform::body::Query;
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::{ExportId, UnitId, WorkerId};
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;

const LIST: &str = "visit exports";

/// Which exports.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ExportFilter {
    /// A unit: exports of what lies under it.
    #[param(value_type = Option<i32>)]
    pub under: Option<UnitId>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

/// An export of visits that somebody made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct VisitExportView {
    #[schema(value_type = i32, example = 1)]
    pub id: ExportId,
    #[schema(value_type = Option<i32>, example = 7)]
    pub exported_by: Option<WorkerId>,
    /// The units whose visits it gave.
    #[schema(value_type = Vec<i32>)]
    pub unit_ids: Vec<UnitId>,
    /// What was asked for, by the names of the query.
    #[schema(value_type = Object)]
    pub filter: Value,
    pub started_at: DateTime<Utc>,
    /// Null: it broke off, or is still under way.
    pub ended_at: Option<DateTime<Utc>>,
    /// Visits that it gave; null as `ended_at`.
    #[schema(example = 412)]
    pub visits: Option<i64>,
}

impl From<ExportRow> for VisitExportView {
    fn from(row: ExportRow) -> Self {
        Self {
            id: row.id,
            exported_by: row.exported_by,
            unit_ids: row.unit_ids,
            filter: row.filter,
            started_at: row.started_at,
            ended_at: row.ended_at,
            visits: row.visits,
        }
    }
}

/// Exports of visits that were made
#[utoipa::path(
    operation_id = "list_visit_exports", tag = "visits", security(("bearer" = ["journal.read"])),
    params(ExportFilter),
    responses(
        (status = 200, description = "Newest first: who, of what, how many; never what they held.", body = Page<VisitExportView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "None of your grants reads the journal.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`under` is no unit of yours.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/visit-exports")]
pub async fn list_exports(
    caller: Caller,
    filter: Query<ExportFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let paging = Paging {
        limit: filter.limit.clone(),
        cursor: filter.cursor.clone(),
    };
    let limit = paging.limit()?;
    let before: Option<ExportId> = paging.after(LIST)?;
    let rows = db
        .read(async |tx| {
            let scope = scope_within::<JournalRead>(tx, &caller, filter.under).await?;
            Ok(load_exports(tx, &scope, caller.today(), before, limit).await?)
        })
        .await?;
    Reply::ok(&Page::new(LIST, rows, limit, |row| row.id, VisitExportView::from))
}
