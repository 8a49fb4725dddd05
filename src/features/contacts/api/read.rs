//! Reading: each answer that holds a contact is journalled before it is given.

use actix_web::{get, post, web};

use super::{read_record, readable};
use crate::access::Caller;
use crate::access::actions::{Action, ContactAudit, ContactRead, UnitRead};
use crate::access::policy::{permit, refusal, scope};
use crate::features::contacts::queries::{
    ReadCursor, Visible, Wanted, find_contact, list_contacts as load_contacts, list_reads,
};
use crate::features::contacts::wire::{
    ContactFilter, ContactReadView, ContactSearch, ContactView, ReadFilter,
};
use crate::journal::Record;
use crate::platform::body::{Json, Path, Query};
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Problem};
use crate::platform::ids::ContactId;
use crate::platform::page::{Page, Paging};
use crate::platform::reply::Reply;
use crate::platform::validate::{FieldErrors, Validate};

const LIST: &str = "contacts";
const READS: &str = "contact reads";
/// Most contacts that a search gives: one number stands at few doors.
const FOUND: i64 = 100;

/// Contacts that you may see
#[utoipa::path(
    operation_id = "list_contacts", tag = "contacts", security(("bearer" = ["contact.read", "contact.read_own"])),
    params(ContactFilter),
    responses(
        (status = 200, description = "Those whose consent still holds, by id. That you read them is journalled.", body = Page<ContactView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "None of your grants reads contacts.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`under` is no unit of yours.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/contacts")]
pub async fn list_contacts(
    caller: Caller,
    filter: Query<ContactFilter>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let filter = filter.0;
    let paging = Paging {
        limit: filter.limit.clone(),
        cursor: filter.cursor.clone(),
    };
    let limit = paging.limit()?;
    let wanted = Wanted {
        under: filter.under,
        household_id: filter.household_id,
        phone: None,
        after: paging.after(LIST)?,
    };
    let visible = readable(&caller).ok_or_else(|| refusal(&caller, ContactRead::ACTION))?;
    let (actor, keys) = (*caller.actor(), db.keys().clone());
    let page = db
        .write(&actor, async move |tx| {
            if let Some(under) = wanted.under {
                permit::<UnitRead>(tx, &caller, under).await?;
            }
            let contacts = load_contacts(tx, &keys, &visible, &wanted, limit).await?;
            let shown = usize::try_from(limit).unwrap_or(usize::MAX).min(contacts.len());
            let record = read_record(contacts.get(..shown).unwrap_or_default());
            let page = Page::new(LIST, contacts, limit, |(_, view)| view.id, |(_, view)| view);
            Ok((page, record))
        })
        .await?;
    Reply::ok(&page)
}

/// Contacts with this number
///
/// For a citizen who asks what is held of him. The number goes in the body, since addresses are logged on their way.
#[utoipa::path(
    operation_id = "find_contacts", tag = "contacts", security(("bearer" = ["contact.read"])),
    request_body = ContactSearch,
    responses(
        (status = 200, description = "Up to 100 whose consent still holds, by id. That you read them is journalled.", body = Page<ContactView>),
        (status = 403, description = "None of your grants reads contacts.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not a phone number.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/contacts/find")]
pub async fn find_contacts(
    caller: Caller,
    body: Json<ContactSearch>,
    db: web::Data<Db>,
) -> Result<Reply, ApiError> {
    let scope = scope::<ContactRead>(&caller)?;
    let visible = Visible {
        roots: scope.roots().to_vec(),
        own: None,
        today: caller.today(),
    };
    let (actor, keys, phone) = (*caller.actor(), db.keys().clone(), body.value.phone);
    let page = db
        .write(&actor, async move |tx| {
            let wanted = Wanted {
                phone: Some(&phone),
                ..Wanted::default()
            };
            let mut contacts = load_contacts(tx, &keys, &visible, &wanted, FOUND).await?;
            contacts.truncate(usize::try_from(FOUND).unwrap_or(usize::MAX));
            let record = read_record(&contacts);
            Ok((
                Page {
                    items: contacts.into_iter().map(|(_, view)| view).collect(),
                    next_cursor: None,
                },
                record,
            ))
        })
        .await?;
    Reply::ok(&page)
}

/// One contact
#[utoipa::path(
    operation_id = "get_contact", tag = "contacts", security(("bearer" = ["contact.read", "contact.read_own"])),
    params(("id" = uuid::Uuid, Path, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd44")),
    responses(
        (status = 200, description = "What is held; the number only while the consent holds. That you read it is journalled. `ETag` is the version.", body = ContactView),
        (status = 304, description = "Unchanged since the version in If-None-Match."),
        (status = 404, description = "No such contact, or outside your grants.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/contacts/{id}")]
pub async fn get_contact(caller: Caller, id: Path<ContactId>, db: web::Data<Db>) -> Result<Reply, ApiError> {
    let visible = readable(&caller).ok_or_else(ApiError::not_found)?;
    let (actor, keys, id) = (*caller.actor(), db.keys().clone(), *id);
    let view = db
        .write(&actor, async move |tx| {
            let contact = find_contact(tx, &keys, id, &visible)
                .await?
                .ok_or_else(ApiError::not_found)?;
            // Without the number there is nothing of him to read.
            let record = match contact.1.phone {
                Some(_) => read_record(std::slice::from_ref(&contact)),
                None => Record::nothing(),
            };
            Ok((contact.1, record))
        })
        .await?;
    Ok(Reply::ok(&view)?.with_version(view.version))
}

/// Who read which contacts
///
/// For a breach notice: who saw whose number between two instants. Without the numbers.
#[utoipa::path(
    operation_id = "list_contact_reads", tag = "contacts", security(("bearer" = ["contact.audit"])),
    params(ReadFilter),
    responses(
        (status = 200, description = "Oldest first, as the journal has them: a reading shows once its entry is numbered, within a second.", body = Page<ContactReadView>),
        (status = 400, description = "Not a cursor of this list.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "None of your grants sees who read contacts.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A filter is not valid.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/contact-reads")]
pub async fn list_contact_reads(
    caller: Caller,
    filter: Query<ReadFilter>,
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
    let after: Option<ReadCursor> = paging.after(READS)?;
    let scope = scope::<ContactAudit>(&caller)?;
    let rows = db
        .read_long(async |tx| Ok(list_reads(tx, &scope, &filter, caller.today(), after, limit).await?))
        .await?;
    Reply::ok(&Page::new(
        READS,
        rows,
        limit,
        |row| (row.at, row.state_id, row.number),
        ContactReadView::from,
    ))
}
