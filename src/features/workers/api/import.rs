use actix_web::dev::Decompress;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{HttpRequest, post, web};
use aws_lc_rs::digest;
use futures_util::StreamExt;

use super::super::import::{Importer, import_roster};
use super::super::wire::{ImportQuery, ImportView};
use crate::access::{Access, Caller};
use crate::journal::Record;
use crate::platform::body::{Query, encoding_of};
use crate::platform::config::Config;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::idempotency::{IdempotencyKey, key_of};
use crate::platform::reply::Reply;

/// The bound on a file, in bytes after inflation.
const MAX_FILE: usize = 4 * 1024 * 1024;

/// Import a roster
///
/// UTF-8 CSV with a header row: `phone,name,unit_code` and, if you like, `role,language,valid_from`; at most 4 MiB and
/// 50,000 rows. All or nothing; the same file twice changes nothing. A number that is new is put on the roster at the
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
    let file = read_file(&request, payload).await?;
    let key = key_for(&request, &file)?;
    let work = async move |tx: &mut Tx| -> Result<(Reply, Record), ApiError> {
        let (view, record) =
            import_roster(tx, &keys, &importer, &config.phone_prefixes, &file, dry_run).await?;
        Ok((Reply::ok(&view)?, record))
    };
    let reply = if key.is_some() {
        db.write_once(&actor, key, work).await?
    } else {
        db.write_long(&actor, work).await?
    };
    access.forget();
    Ok(reply)
}

async fn read_file(request: &HttpRequest, payload: web::Payload) -> Result<Bytes, ApiError> {
    let is_csv = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/csv"));
    if !is_csv {
        return Err(ApiError::new(
            Code::UnsupportedMediaType,
            "the body must be text/csv",
        ));
    }
    encoding_of(request)?;
    let mut body = Decompress::from_headers(payload.into_inner(), request.headers());
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| {
            ApiError::new(Code::UnreadableBody, format!("the body cannot be read: {error}"))
        })?;
        if bytes.len().saturating_add(chunk.len()) > MAX_FILE {
            return Err(ApiError::new(
                Code::PayloadTooLarge,
                format!("the file is larger than {MAX_FILE} bytes after decompression; send it in parts"),
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// The Idempotency-Key, bound to the file and to how it is imported.
fn key_for(request: &HttpRequest, file: &[u8]) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(key) = key_of(request)? else {
        return Ok(None);
    };
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [request.method().as_str(), request.path(), request.query_string()] {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    context.update(file);
    let mut request_digest = [0; 32];
    request_digest.copy_from_slice(context.finish().as_ref());
    Ok(Some(IdempotencyKey { key, request_digest }))
}
