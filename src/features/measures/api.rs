use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, Responder, get};

use super::catalogue::CATALOGUE;
use super::csv::csv_of;
use super::wire::report::ShortfallReport;
use super::wire::{CatalogueView, IndicatorView};
use crate::access::Caller;
use crate::access::actions::ShortfallRead;
use crate::access::policy::scope;
use crate::platform::error::{ApiError, Problem};
use crate::platform::reply::Reply;

pub mod shortfalls;
pub mod snapshots;
pub mod targets;

/// The catalogue of indicators
///
/// Each defined once: its formula, its unit, whether more of it is better, at which levels it is measured, and where its
/// figures come from.
#[utoipa::path(
    operation_id = "list_indicators", tag = "measures", security(("bearer" = ["shortfall.read"])),
    responses(
        (status = 200, description = "All of them; `ETag` names their content.", body = CatalogueView),
        (status = 304, description = "The same as in If-None-Match."),
        (status = 403, description = "None of your grants reads shortfalls.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/indicators")]
pub async fn list_indicators(caller: Caller) -> Result<Reply, ApiError> {
    scope::<ShortfallRead>(&caller)?;
    let items = CATALOGUE.iter().map(IndicatorView::from).collect();
    Ok(Reply::ok(&CatalogueView { items })?.with_content_tag())
}

/// A report as the client wants it: CSV where `Accept` names it, else JSON.
fn answer(
    request: &HttpRequest,
    report: &ShortfallReport,
    json: Reply,
    name: &str,
) -> Result<HttpResponse, ApiError> {
    let accept = request.headers().get(header::ACCEPT);
    let csv = accept
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|kind| kind.trim().starts_with("text/csv")));
    let mut response = if csv {
        HttpResponse::Ok()
            .content_type("text/csv; charset=utf-8")
            .insert_header((
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"{name}.csv\""),
            ))
            .body(csv_of(report))
    } else {
        json.respond_to(request)
    };
    response
        .headers_mut()
        .append(header::VARY, header::HeaderValue::from_static("Accept"));
    Ok(response)
}
