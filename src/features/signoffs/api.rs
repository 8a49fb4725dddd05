use actix_web::{get, post, web};
use chrono::{NaiveDate, TimeDelta, Weekday};

use super::queries::{
    Asked, SignoffRow, count_signed, find_signoff, insert_signoff, list_mandals, list_signoffs, reopen,
};
use super::rules::{monday_of, sunday_after, week_of};
use super::wire::{MandalView, ReopenSent, SignoffView, WeekFilter, WeekSent, WeekView, counts};
use crate::access::actions::{SignoffRead, SignoffReopen, SignoffWrite};
use crate::access::policy::permit;
use crate::access::{Caller, Permit};
use crate::journal::{Digest, Entry, Record};
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::{SignoffId, UnitId};
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;
use crate::platform::validate::{FieldErrors, Validate};

const LIST: &str = "sign-offs";

/// Who has signed a week, and who has not
///
/// The mandals under the unit today, each with its signatures under the week, and how many have signed under each unit
/// straight below. Mandals lie in the organisation: under a constituency there are none.
#[utoipa::path(
    operation_id = "list_sign_offs", tag = "sign-offs", security(("bearer" = ["signoff.read"])),
    params(("id" = i32, Path, example = 2), WeekFilter),
    responses(
        (status = 200, description = "By the mandals' ids.", body = WeekView),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "You may see the unit, but not its sign-offs.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/units/{id}/sign-offs")]
pub async fn list_sign_offs(
    caller: Caller,
    id: Path<UnitId>,
    filter: Query<WeekFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let mut errors = FieldErrors::default();
    filter.validate(&mut errors);
    if !errors.0.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let paging = Paging {
        limit: filter.limit.clone(),
        cursor: filter.cursor.clone(),
    };
    let limit = paging.limit()?;
    let after: Option<UnitId> = paging.after(LIST)?;
    let asked = Asked {
        week_start: filter
            .week
            .as_deref()
            .and_then(monday_of)
            .unwrap_or_else(|| last_week(caller.today())),
        today: caller.today(),
        signed: filter.signed,
    };
    let (counted, rows, signoffs) = db
        .read(async |tx| {
            let permit = permit::<SignoffRead>(tx, &caller, *id).await?;
            let counted = count_signed(tx, &permit, asked).await?;
            let rows = list_mandals(tx, &permit, asked, after, limit + 1).await?;
            let mandals: Vec<UnitId> = rows.iter().map(|row| row.mandal_id).collect();
            let signoffs = list_signoffs(tx, &mandals, asked.week_start).await?;
            Ok((counted, rows, signoffs))
        })
        .await?;
    let (mandals, signed, children) = counts(counted);
    let view = |row| MandalView::new(row, &signoffs);
    let page = Page::new(LIST, rows, limit, |row| row.mandal_id, view);
    Reply::ok(&WeekView {
        week: week_of(asked.week_start),
        mandals,
        signed,
        children,
        items: page.items,
        next_cursor: page.next_cursor,
    })
}

/// Sign a week
///
/// The week must be over. While it is signed, authors can neither correct nor void their visits of that week in the
/// mandal; whoever may change other people's visits still can. Visits that come later are stored and counted, and marked
/// `late`.
#[utoipa::path(
    operation_id = "sign_off_week", tag = "sign-offs", security(("bearer" = ["signoff.write"])),
    params(
        ("id" = i32, Path, description = "A mandal.", example = 7),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = WeekSent,
    responses(
        (status = 201, description = "Signed.", body = SignoffView),
        (status = 403, description = "You may see the mandal, but not sign for it.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such unit, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The week is signed.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not a week that is over, or the unit is no mandal.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/units/{id}/sign-offs")]
pub async fn sign_off_week(
    caller: Caller,
    id: Path<UnitId>,
    body: Json<WeekSent>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, actor) = (*id, *caller.actor());
    let monday = monday_of(&body.value.week).ok_or_else(ApiError::not_found)?;
    db.write_once(&actor, body.idempotency, async move |tx| {
        let permit = permit::<SignoffWrite>(tx, &caller, id).await?;
        if permit.level() != "mandal" {
            return Err(ApiError::field("/id", "not_a_mandal", "only mandals sign weeks"));
        }
        if sunday_after(monday) >= caller.today() {
            return Err(ApiError::field("/week", "not_over", "the week is not over yet"));
        }
        let row = insert_signoff(tx, &permit, monday, caller.worker_id())
            .await?
            .ok_or_else(|| ApiError::new(Code::WeekSigned, "the mandal has signed this week"))?;
        let path = format!("/v1/sign-offs/{}", row.id);
        let (view, entry) = written(&permit, row, "signoff.write");
        Ok((Reply::created(&view, path)?, entry))
    })
    .await
}

/// One sign-off
#[utoipa::path(
    operation_id = "get_sign_off", tag = "sign-offs", security(("bearer" = ["signoff.read"])),
    params(("id" = i32, Path, example = 1)),
    responses(
        (status = 200, description = "As it stands, reopened or not.", body = SignoffView),
        (status = 403, description = "You may see the mandal, but not its sign-offs.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such sign-off, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/sign-offs/{id}")]
pub async fn get_sign_off(caller: Caller, id: Path<SignoffId>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let row = db
        .read(async |tx| {
            let row = find(tx, *id).await?;
            let _: Permit<SignoffRead> = permit(tx, &caller, row.mandal_id).await?;
            Ok(row)
        })
        .await?;
    Ok(Reply::ok(&SignoffView::from(row))?.with_content_tag())
}

/// Reopen a signed week
///
/// Authors can change their visits again, and what comes from now on is not late. The signature stays on record with the
/// reason; the mandal can sign again.
#[utoipa::path(
    operation_id = "reopen_sign_off", tag = "sign-offs", security(("bearer" = ["signoff.reopen"])),
    params(
        ("id" = i32, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "A resend under the same key gets the first answer."),
    ),
    request_body = ReopenSent,
    responses(
        (status = 200, description = "Reopened.", body = SignoffView),
        (status = 403, description = "You may see the mandal, but not reopen its weeks.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such sign-off, or outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was reopened before.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The reason is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/sign-offs/{id}/reopen")]
pub async fn reopen_sign_off(
    caller: Caller,
    id: Path<SignoffId>,
    body: Json<ReopenSent>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let (id, actor, reason) = (*id, *caller.actor(), body.value.reason);
    db.write_once(&actor, body.idempotency, async move |tx| {
        let found = find(tx, id).await?;
        let permit = permit::<SignoffReopen>(tx, &caller, found.mandal_id).await?;
        let row = reopen(tx, &permit, id, caller.worker_id(), &reason)
            .await?
            .ok_or_else(|| ApiError::new(Code::Conflict, "the week was reopened before"))?;
        let (view, entry) = written(&permit, row, "signoff.reopen");
        Ok((Reply::ok(&view)?, entry))
    })
    .await
}

async fn find(tx: &mut Tx, id: SignoffId) -> Result<SignoffRow, ApiError> {
    find_signoff(tx, id).await?.ok_or_else(ApiError::not_found)
}

fn written<A>(permit: &Permit<A>, row: SignoffRow, action: &'static str) -> (SignoffView, Record) {
    let view = SignoffView::from(row);
    let (state_id, mandal_id) = (permit.state_id(), permit.unit_id());
    let entry = Entry::new(state_id, mandal_id, action, "sign_off", Digest::of(&view)).of_ids([view.id.0]);
    (view, entry.into())
}

/// The Monday of the last week that is over.
fn last_week(today: NaiveDate) -> NaiveDate {
    today
        .week(Weekday::Mon)
        .first_day()
        .checked_sub_signed(TimeDelta::days(7))
        .unwrap_or(today)
}
