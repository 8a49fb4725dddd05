use actix_web::{HttpRequest, post, web};

use super::super::import::import_results as run;
use super::super::wire::{ImportQuery, ResultImportView};
use crate::access::Caller;
use crate::access::actions::ElectionImport;
use crate::access::policy::scope;
use crate::journal::Record;
use crate::platform::body::Query;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Problem};
use crate::platform::reply::Reply;
use crate::platform::upload::{key_for, read_csv};

/// The bound on a file, in bytes after inflation.
const MAX_FILE: usize = 16 * 1024 * 1024;

/// Import results
///
/// UTF-8 CSV with a header row: `election,constituency,candidate,party,votes`, a line a candidate, NOTA as a candidate; at
/// most 16 MiB and 200,000 rows. `constituency` is a unit's code: a constituency, or a booth where results are published by
/// booth. All or nothing; what a file says of a seat replaces what was stored of it, the same file twice changes nothing.
#[utoipa::path(
    operation_id = "import_results", tag = "elections", security(("bearer" = ["election.import"])),
    params(
        ImportQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body(content = String, content_type = "text/csv",
        example = "election,constituency,candidate,party,votes\nLS2014,S1-PC1,A. Kumar,Example Party,410846\nLS2014,S1-PC1,B. Devi,Other Party,412345\nLS2014,S1-PC1,NOTA,NOTA,1000\n"),
    responses(
        (status = 200, description = "Imported (or, with dry_run, checked).", body = ResultImportView),
        (status = 403, description = "None of your grants imports results.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The file is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not text/csv.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A request with this Idempotency-Key is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Nothing was imported; `errors` names line, column and reason of every bad row (the first 1,000), `error_count` how many there are.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/imports/results")]
pub async fn import_results(
    caller: Caller,
    query: Query<ImportQuery>,
    request: HttpRequest,
    payload: web::Payload,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let dry_run = query.0.dry_run;
    let (actor, today) = (*caller.actor(), caller.today());
    let scope = scope::<ElectionImport>(&caller)?;
    let file = read_csv(&request, payload, MAX_FILE).await?;
    let key = key_for(&request, &file)?;
    let work = async move |tx: &mut Tx| -> Result<(Reply, Record), ApiError> {
        let (view, record) = run(tx, &scope, today, &file, dry_run).await?;
        Ok((Reply::ok(&view)?, record))
    };
    if key.is_some() {
        db.write_once(&actor, key, work).await
    } else {
        db.write_long(&actor, work).await
    }
}
