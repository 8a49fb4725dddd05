use actix_web::{HttpRequest, post, web};
use tokio::sync::Semaphore;

use super::super::import::{Importer, import_roster};
use super::super::wire::{ImportQuery, ImportView};
use crate::access::{Access, Caller};
use crate::journal::Record;
use crate::platform::body::Query;
use crate::platform::config::Config;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::reply::Reply;
use crate::platform::upload::{key_for, read_csv};
use crate::platform::wall::ROSTER;

/// The bound on a file, in bytes after inflation.
const MAX_FILE: usize = 16 * 1024 * 1024;
/// Files taken at once: each is held in memory.
static AT_ONCE: Semaphore = Semaphore::const_new(4);

/// Import a roster
///
/// UTF-8 CSV with a header row: `phone,name,unit_code` and, if you like, `role,language,valid_from`; at most 16 MiB and
/// 100,000 rows. All or nothing; the same file twice changes nothing. A number that is new is put on the roster at the
/// unit; one that is known gets the row's name and language. An empty role gives none, an empty `valid_from` is today.
#[utoipa::path(
    operation_id = "import_workers", tag = "workers", security(("bearer" = ["worker.write"])),
    params(
        ImportQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body(content = String, content_type = "text/csv",
        example = "phone,name,unit_code,role,language,valid_from\n+919812345678,Asha Devi,S1-B1,booth_worker,hi,2026-11-23\n"),
    responses(
        (status = 200, description = "Imported (or, with dry_run, checked).", body = ImportView),
        (status = 403, description = "You may manage no workers.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The file is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not text/csv.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Nothing was imported; `errors` names line, column and reason of every bad row.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/imports/workers")]
pub async fn import_workers(
    caller: Caller,
    query: Query<ImportQuery>,
    request: HttpRequest,
    payload: web::Payload,
    db: web::Data<Db>,
    config: web::Data<Config>,
    access: web::Data<Access>,
) -> Result<Reply, ApiError> {
    let dry_run = query.0.dry_run;
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    let importer = Importer::caller(caller)?;
    let _place = AT_ONCE.try_acquire().map_err(|error| {
        ApiError::unavailable("other files are being imported", error).with_retry_after(5)
    })?;
    let file = read_csv(&request, payload, MAX_FILE).await?;
    let key = key_for(&request, &file)?;
    let work = async move |tx: &mut Tx| -> Result<(Reply, Record), ApiError> {
        let (view, record) =
            import_roster(tx, &keys, &importer, &config.phone_prefixes, &file, dry_run).await?;
        Ok((Reply::ok(&view)?, record))
    };
    // A number that is on the roster elsewhere is a bad row, not an unknown one.
    let db = db.reaching(&ROSTER);
    let reply = if key.is_some() {
        db.write_once(&actor, key, work).await?
    } else {
        db.write_long(&actor, work).await?
    };
    access.forget();
    Ok(reply)
}
