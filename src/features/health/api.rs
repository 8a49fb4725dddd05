use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, web};

use super::queries::{read_readiness, write_nothing};
use super::wire::{HealthView, ReadinessView};
use crate::platform::body::Path;
use crate::platform::clock::Clock;
use crate::platform::db::{Db, Mode};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::migrations;
use crate::platform::reply::Reply;
use crate::platform::telemetry::Metrics;

/// Whether the program lives
#[utoipa::path(
    operation_id = "get_health", tag = "health", security(()),
    responses((status = 200, description = "It lives; the database is not asked.", body = HealthView)),
)]
#[get("/healthz")]
pub async fn get_health() -> Result<Reply, ApiError> {
    Reply::ok(&HealthView {
        status: "alive",
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Whether requests can be served
#[utoipa::path(
    operation_id = "get_readiness", tag = "health", security(()),
    responses(
        (status = 200, description = "The database answers with the schema of this program; `writable` says whether it can be written to.", body = ReadinessView),
        (status = 503, description = "It does not.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/readyz")]
pub async fn get_readiness(db: web::Data<Db>, clock: web::Data<Clock>) -> Result<Reply, ApiError> {
    let newest = migrations::newest();
    let now = clock.now();
    let readiness = db
        .read(async |tx| Ok(read_readiness(tx, &newest, now).await?))
        .await?;
    if !readiness.migrated {
        return Err(ApiError::new(
            Code::Unavailable,
            "the database has not been migrated to this version",
        ));
    }
    let writable = !readiness.read_only && can_write(&db).await;
    Reply::with_status(
        StatusCode::OK,
        &ReadinessView {
            status: if writable { "ready" } else { "read_only" },
            migrated: readiness.migrated,
            schema_version: readiness.schema_version,
            writable,
            unposted_entries: readiness.unposted_entries,
            poster_lag_s: readiness.poster_lag_s,
        },
    )
}

/// Whether a commit reaches the disk. It leaves no row, so it leaves no entry in the journal either.
async fn can_write(db: &Db) -> bool {
    let written = async {
        let mut transaction = db.begin(Mode::Write).await?;
        transaction.run(async |tx| Ok(write_nothing(tx).await?)).await?;
        transaction.commit().await
    };
    written.await.inspect_err(ApiError::log).is_ok()
}

/// What has been counted
#[utoipa::path(
    operation_id = "get_metrics", tag = "health", security(()),
    responses((status = 200, description = "Prometheus text format.", body = String, content_type = "text/plain")),
)]
#[get("/metrics")]
pub async fn get_metrics(db: web::Data<Db>, metrics: web::Data<Metrics>) -> Result<HttpResponse, ApiError> {
    let (open, free) = db.connections();
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    metrics.connections.with_label_values(&["open"]).set(number(open));
    metrics.connections.with_label_values(&["free"]).set(number(free));
    let text = metrics.render().map_err(ApiError::internal)?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(text))
}

/// What a problem code means
#[utoipa::path(
    operation_id = "get_problem", tag = "health", security(()),
    params(("code" = String, Path, description = "As in `code` of a problem.", example = "visit_conflict")),
    responses(
        (status = 200, description = "A page for people.", body = String, content_type = "text/html"),
        (status = 404, description = "No such code.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/problems/{code}")]
pub async fn get_problem(code: Path<String>) -> Result<HttpResponse, ApiError> {
    let code = Code::find(&code).ok_or_else(ApiError::not_found)?;
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{name}</title>\
         <h1>{title}</h1><p>Status {status}, code <code>{name}</code></p><p>{help}</p>",
        name = code.as_str(),
        title = code.title(),
        status = code.status(),
        help = code.help(),
    );
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .body(page))
}
