use actix_web::{HttpRequest, post, web};
use tokio::sync::Semaphore;

use super::super::import::{Import, import_units as run};
use super::super::wire::{UnitImportQuery, UnitImportView};
use crate::access::Caller;
use crate::access::actions::UnitImport;
use crate::access::policy::scope;
use crate::platform::body::Query;
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::idempotency::key_of;
use crate::platform::reply::Reply;
use crate::platform::upload::stream_csv;

/// The bound on a file, in bytes after inflation.
const MAX_FILE: usize = 256 * 1024 * 1024;
/// Files taken at once: each holds a connection to the database beside the pool's.
static AT_ONCE: Semaphore = Semaphore::const_new(4);

/// Import units
///
/// UTF-8 CSV with a header row, columns in any order, streamed: at most 256 MiB. Parents are given by their codes; they may
/// stand anywhere in the file. All or nothing; the same file twice changes nothing. An empty cell leaves what is stored,
/// an empty `valid_from` means since ever. A row under another parent than before moves the unit from its `valid_from` on.
#[utoipa::path(
    operation_id = "import_units", tag = "units", security(("bearer" = ["unit.import"])),
    params(
        UnitImportQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body(content = String, content_type = "text/csv",
        example = "code,level,name,name_local,organisation_parent,electorate_parent,electors,doors,lat,lon,valid_from\nS1-B9,booth,Primary School Rampur,,S1-M1,S1-AC1,912,230,26.8467,80.9462,\n"),
    responses(
        (status = 200, description = "Imported (or, with dry_run, checked).", body = UnitImportView),
        (status = 403, description = "None of your grants imports units.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A unit of the file was made by someone else meanwhile.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The file is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not text/csv.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Nothing was imported; `errors` names line, column and reason of every bad row (the first 1,000), `error_count` how many there are.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/imports/units")]
pub async fn import_units(
    caller: Caller,
    query: Query<UnitImportQuery>,
    request: HttpRequest,
    payload: web::Payload,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let import = Import {
        scope: scope::<UnitImport>(&caller)?,
        today: caller.today(),
        dry_run: query.0.dry_run,
        key: key_of(&request)?.map(|key| (key, format!("{} {}", request.method(), request.uri()))),
    };
    let _place = AT_ONCE.try_acquire().map_err(|error| {
        ApiError::unavailable("other files are being imported", error).with_retry_after(5)
    })?;
    let source = stream_csv(&request, payload, MAX_FILE)?;
    run(&db, import, source, |_| {}).await
}
