use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, Responder};

use super::csv::csv_of;
use super::wire::report::ShortfallReport;
use crate::platform::error::ApiError;
use crate::platform::reply::Reply;

pub mod shortfalls;
pub mod snapshots;
pub mod targets;

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
