use actix_web::{get, web};

use super::queries::{self, RefusalCursor};
use super::wire::{RefusalFilter, RefusalView};
use crate::access::Caller;
use crate::access::actions::JournalRead;
use crate::access::policy::scope_within;
use crate::platform::body::Query;
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;

const LIST: &str = "refusals";

/// What was refused to whom
///
/// Counted by the hour, worker (or service), operation and reason, a second or so after the answer: whoever tries doors
/// that are not his shows here. A 404 is counted whether the thing exists elsewhere or not.
#[utoipa::path(
    operation_id = "list_refusals", tag = "journal", security(("bearer" = ["journal.read"])),
    params(RefusalFilter),
    responses(
        (status = 200, description = "Newest hour first.", body = Page<RefusalView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "None of your grants reads the journal.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/refusals")]
pub async fn list_refusals(
    caller: Caller,
    filter: Query<RefusalFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let paging = Paging {
        limit: filter.limit.clone(),
        cursor: filter.cursor.clone(),
    };
    let limit = paging.limit()?;
    let after: Option<RefusalCursor> = paging.after(LIST)?;
    let rows = db
        .read(async |tx| {
            let scope = scope_within::<JournalRead>(tx, &caller, filter.under).await?;
            Ok(queries::list_refusals(tx, &scope, &filter, caller.today(), after, limit + 1).await?)
        })
        .await?;
    Reply::ok(&Page::new(
        LIST,
        rows,
        limit,
        |row| (row.hour, row.id),
        RefusalView::from,
    ))
}
