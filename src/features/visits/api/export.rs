//! The export: streamed page by page, each page read in a short transaction, so that a slow reader holds nothing open.

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, get, web};
use chrono::{DateTime, Utc};
use futures_util::stream;
use serde_json::{Value, json};

use super::check_units;
use crate::access::Caller;
use crate::access::actions::VisitExport;
use crate::access::policy::scope;
use crate::features::visits::csv::{csv_header, csv_line};
use crate::features::visits::queries::exports::{ExportRow, begin_export, end_export};
use crate::features::visits::queries::{Visible, VisitCursor, list_visits};
use crate::features::visits::sight::show_all;
use crate::features::visits::wire::{VisitFilter, VisitView};
use crate::journal::{Actor, Digest, Entry};
use crate::platform::body::Query;
use crate::platform::clock::Clock;
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::validate::{FieldErrors, Validate};

/// Visits read at a time.
const PAGE: i64 = 1000;

#[derive(Clone, Copy)]
enum Format {
    Csv,
    Ndjson,
}

struct Export {
    db: Db,
    clock: Clock,
    caller: Caller,
    visible: Visible,
    filter: VisitFilter,
    format: Format,
    started: DateTime<Utc>,
    after: Option<VisitCursor>,
    /// Visits given so far.
    given: usize,
    ended: bool,
    begun: ExportRow,
}

/// Export visits
///
/// All visits received until now that the filters let through, newest day first. If the stream breaks off before its end,
/// it is incomplete: ask again. That you exported, with which filters and how many visits, is journalled.
#[utoipa::path(
    operation_id = "export_visits", tag = "visits", security(("bearer" = ["visit.export"])),
    params(VisitFilter),
    responses(
        (status = 200, description = "`format=csv`: a header line, then a line for each visit; texts that a spreadsheet would take for a formula begin with an apostrophe. `format=ndjson`: a VisitView a line.", body = String, content_type = "text/csv"),
        (status = 403, description = "None of your grants exports visits.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "A unit in the filter does not exist or lies outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/visits/export")]
pub async fn export_visits(
    caller: Caller,
    filter: Query<VisitFilter>,
    db: web::Data<Db>,
    clock: web::Data<Clock>,
) -> Result<HttpResponse, ApiError> {
    let filter = filter.0;
    let format = check(&filter)?;
    let scope = scope::<VisitExport>(&caller)?;
    let (roots, asked, asker) = (scope.roots().to_vec(), filter.clone(), caller.clone());
    let begun = db
        .write(caller.actor(), async move |tx| {
            check_units(tx, &asker, [asked.under, asked.booth_id]).await?;
            let units = match asked.booth_id.or(asked.under) {
                Some(unit_id) => vec![unit_id],
                None => roots.clone(),
            };
            let export = begin_export(tx, asker.actor(), units, told(&asked)).await?;
            let record = record(&export, "visit.export").into();
            Ok((export, record))
        })
        .await?;
    let mut export = Export {
        db: db.for_caller(),
        clock: clock.as_ref().clone(),
        visible: Visible {
            roots: scope.roots().to_vec(),
            own: None,
            today: caller.today(),
        },
        filter,
        format,
        started: caller.actor().at,
        caller,
        after: None,
        given: 0,
        ended: false,
        begun,
    };
    // The first page is read before the answer begins, so that what fails early is a proper problem.
    let first = export.page().await?;
    let head = match format {
        Format::Csv => csv_header(),
        Format::Ndjson => String::new(),
    };
    let beginning = Bytes::from([head.into_bytes(), first].concat());
    let rest = stream::try_unfold(export, async |mut export: Export| {
        if export.ended {
            export.end().await.inspect_err(ApiError::log)?;
            return Ok::<_, ApiError>(None);
        }
        let page = export.page().await.inspect_err(ApiError::log)?;
        Ok(Some((Bytes::from(page), export)))
    });
    let (kind, name) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "visits.csv"),
        Format::Ndjson => ("application/x-ndjson", "visits.ndjson"),
    };
    let body = futures_util::StreamExt::chain(stream::once(async { Ok::<_, ApiError>(beginning) }), rest);
    Ok(HttpResponse::Ok()
        .content_type(kind)
        .insert_header((
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ))
        .streaming(body))
}

/// What was asked for, as it is kept: none of it is anybody's data.
fn told(filter: &VisitFilter) -> Value {
    let mut told = json!({
        "under": filter.under, "booth_id": filter.booth_id, "campaign_id": filter.campaign_id,
        "worker_id": filter.worker_id, "from": filter.from, "to": filter.to, "outcome": filter.outcome,
        "review": filter.review, "flag": filter.flag, "format": filter.format.as_deref().unwrap_or("csv"),
    });
    if let Value::Object(fields) = &mut told {
        fields.retain(|_, value| !value.is_null());
    }
    told
}

fn record(export: &ExportRow, action: &'static str) -> Entry {
    let digest = Digest::of(&(export.id, &export.unit_ids, &export.filter, export.visits));
    Entry::new(export.state_id, export.state_id, action, "visit_export", digest)
        .at_units(export.unit_ids.iter().copied())
        .of_ids([export.id.0])
}

fn check(filter: &VisitFilter) -> Result<Format, ApiError> {
    let mut errors = FieldErrors::default();
    filter.validate(&mut errors);
    for (pointer, given) in [("/limit", &filter.limit), ("/cursor", &filter.cursor)] {
        if given.is_some() {
            errors.add(
                pointer,
                "unknown_field",
                "an export gives everything; leave it out",
            );
        }
    }
    let format = match filter.format.as_deref() {
        None | Some("csv") => Format::Csv,
        Some("ndjson") => Format::Ndjson,
        Some(_) => {
            errors.add("/format", "unknown_value", "must be csv or ndjson");
            Format::Csv
        }
    };
    if errors.0.is_empty() {
        Ok(format)
    } else {
        Err(ApiError::fields(errors))
    }
}

impl Export {
    /// Notes that everything was given, and how much that was.
    async fn end(&self) -> Result<(), ApiError> {
        let (id, given) = (self.begun.id, self.given);
        let at = self.clock.now();
        let actor = Actor {
            at,
            ..*self.caller.actor()
        };
        self.db
            .write(&actor, async move |tx| {
                let export = end_export(tx, id, i64::try_from(given).unwrap_or(i64::MAX), at).await?;
                let record = record(&export, "visit.export_end").into();
                Ok(((), record))
            })
            .await
    }

    async fn page(&mut self) -> Result<Vec<u8>, ApiError> {
        let (visible, filter) = (&self.visible, &self.filter);
        let (keys, started, after) = (self.db.keys(), self.started, self.after);
        let views = self
            .db
            .read_long(async |tx| {
                let rows = list_visits(tx, keys, visible, filter, Some(started), after, PAGE).await?;
                Ok(show_all(tx, &self.caller, rows).await?)
            })
            .await?;
        self.given = self.given.saturating_add(views.len());
        self.ended = i64::try_from(views.len()).is_ok_and(|n| n < PAGE);
        self.after = views.last().map(|view| (view.visited_on, view.id)).or(self.after);
        let mut out = Vec::new();
        for view in &views {
            write_row(&mut out, self.format, view)?;
        }
        Ok(out)
    }
}

fn write_row(out: &mut Vec<u8>, format: Format, view: &VisitView) -> Result<(), ApiError> {
    match format {
        Format::Csv => out.extend_from_slice(csv_line(view).as_bytes()),
        Format::Ndjson => {
            serde_json::to_writer(&mut *out, view)
                .map_err(|error| ApiError::new(Code::Internal, error.to_string()))?;
            out.push(b'\n');
        }
    }
    Ok(())
}
