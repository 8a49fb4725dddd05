use actix_web::{HttpRequest, HttpResponse, get, web};

use super::super::report::build;
use super::super::wire::Asked;
use super::super::wire::report::ShortfallReport;
use super::answer;
use crate::access::Caller;
use crate::access::actions::ShortfallRead;
use crate::access::policy::permit;
use crate::platform::body::{Path, Query};
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::UnitId;
use crate::platform::reply::Reply;
use crate::platform::validate::{FieldErrors, Validate};

/// Who falls short
///
/// For every indicator that has a target: the units of a level at or under the unit, the worst first, with target, actual,
/// shortfall, trend and the three parts that weigh most, and to each number where the rows behind it are read. Figures of
/// visits count as the trees were on the day of each visit, those of the cadre as they are today. CSV with
/// `Accept: text/csv`.
#[utoipa::path(
    operation_id = "list_shortfalls", tag = "measures", security(("bearer" = ["shortfall.read"])),
    params(("id" = i32, Path, example = 2), Asked),
    responses(
        (status = 200, description = "The report; `ETag` names its content.", body = ShortfallReport),
        (status = 304, description = "The same as in If-None-Match."),
        (status = 403, description = "You may see the unit, but not its shortfalls.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not valid, or a campaign or target set is not yours to see.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/shortfalls")]
pub async fn list_shortfalls(
    caller: Caller,
    id: Path<UnitId>,
    asked: Query<Asked>,
    request: HttpRequest,
    db: web::Data<Db>,
) -> Result<HttpResponse, ApiError> {
    let asked = asked.0;
    let mut errors = FieldErrors::default();
    asked.validate(&mut errors);
    if !errors.0.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let report = db
        .read_long(async |tx| {
            let permit = permit::<ShortfallRead>(tx, &caller, *id).await?;
            build(tx, &caller, &permit, &asked).await
        })
        .await?;
    let json = Reply::ok(&report)?.with_content_tag();
    answer(&request, &report, json, "shortfalls")
}
