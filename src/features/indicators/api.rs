use actix_web::get;

use super::catalogue::CATALOGUE;
use super::wire::{CatalogueView, IndicatorView};
use crate::access::Caller;
use crate::access::actions::ShortfallRead;
use crate::access::policy::scope;
use crate::platform::error::{ApiError, Problem};
use crate::platform::reply::Reply;

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
