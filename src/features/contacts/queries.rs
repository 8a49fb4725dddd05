use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use super::wire::{ContactSent, ContactView, ReadFilter};
use crate::access::actions::{ContactAudit, ContactWrite};
use crate::access::{Permit, Scope};
use crate::platform::data_keys::{DataKeys, Place};
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, ContactId, DeviceId, HouseholdId, UnitId, WorkerId};
use crate::platform::statement::statement;

pub mod retention;

/// A row of `contacts`; the number is sealed.
#[derive(Clone, Debug, QueryableByName)]
pub struct ContactRow {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    pub id: ContactId,
    #[diesel(sql_type = Integer)]
    pub booth_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    pub household_id: HouseholdId,
    #[diesel(sql_type = Integer)]
    pub campaign_id: CampaignId,
    #[diesel(sql_type = Nullable<Binary>)]
    pub phone_sealed: Option<Vec<u8>>,
    #[diesel(sql_type = Text)]
    pub purpose: String,
    #[diesel(sql_type = Text)]
    pub notice: String,
    #[diesel(sql_type = Text)]
    pub language: String,
    #[diesel(sql_type = Timestamptz)]
    pub given_at: DateTime<Utc>,
    #[diesel(sql_type = Integer)]
    pub recorded_by: WorkerId,
    #[diesel(sql_type = Date)]
    pub keep_until: NaiveDate,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub ended_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub ended_why: Option<String>,
    #[diesel(sql_type = Nullable<Date>)]
    pub destroy_on: Option<NaiveDate>,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}

/// A contact with the state it lies in.
pub type Contact = (UnitId, ContactView);

fn phone_place(state_id: UnitId, id: ContactId) -> Place {
    Place::new("contacts", "phone_sealed", format!("{state_id}/{id}"))
}

fn phone_index(keys: &DataKeys, phone: &str) -> Vec<u8> {
    keys.index("contacts.phone", phone.as_bytes()).to_vec()
}

fn opened(keys: &DataKeys, row: ContactRow) -> QueryResult<Contact> {
    let phone = keys.open_text(&phone_place(row.state_id, row.id), row.phone_sealed.as_deref())?;
    Ok((row.state_id, ContactView::of(row, phone)))
}

/// Whose contacts are looked for.
#[derive(Clone, Debug)]
pub struct Visible {
    /// Everything under these units today, by leave of `contact.read`.
    pub roots: Vec<UnitId>,
    /// What this worker recorded himself.
    pub own: Option<WorkerId>,
    pub today: NaiveDate,
}

/// What is asked for within that.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    pub under: Option<UnitId>,
    pub household_id: Option<HouseholdId>,
    pub phone: Option<&'a str>,
    pub after: Option<ContactId>,
}

/// Stores a new contact in the permit's booth; false if the id is taken in its state.
pub async fn insert_contact(
    tx: &mut Tx,
    keys: &DataKeys,
    permit: &Permit<ContactWrite>,
    id: ContactId,
    sent: &ContactSent,
    keep_until: NaiveDate,
) -> QueryResult<bool> {
    let at = permit.actor().at;
    let sealed = keys.seal(&phone_place(permit.state_id(), id), sent.phone.as_bytes())?;
    statement(
        "INSERT INTO contacts (state_id, id, booth_id, household_id, campaign_id, phone_sealed, phone_index, purpose,
                               notice, language, given_at, recorded_by, keep_until, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         ON CONFLICT (state_id, id) DO NOTHING",
    )
    .bind::<Integer, _>(permit.state_id())
    .bind::<SqlUuid, _>(id)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<SqlUuid, _>(sent.household_id)
    .bind::<Integer, _>(sent.campaign_id)
    .bind::<Binary, _>(sealed)
    .bind::<Binary, _>(phone_index(keys, &sent.phone))
    .bind::<Text, _>(sent.consent.purpose.as_str())
    .bind::<Text, _>(&sent.consent.notice)
    .bind::<Text, _>(&sent.consent.language)
    .bind::<Timestamptz, _>(sent.consent.given_at)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Date, _>(keep_until)
    .bind::<Timestamptz, _>(at)
    .bind::<Timestamptz, _>(at)
    .execute(tx)
    .await
    .map(|rows| rows == 1)
}

/// The contact with this id in the permit's state, held for a change. The caller need not be one who may see it: compare
/// before showing anything.
pub async fn lock_contact(
    tx: &mut Tx,
    keys: &DataKeys,
    state_id: UnitId,
    id: ContactId,
) -> QueryResult<Option<Contact>> {
    let row: Option<ContactRow> =
        statement("SELECT * FROM contacts WHERE state_id = $1 AND id = $2 FOR UPDATE")
            .bind::<Integer, _>(state_id)
            .bind::<SqlUuid, _>(id)
            .get_result(tx)
            .await
            .optional()?;
    row.map(|row| opened(keys, row)).transpose()
}

/// A contact if it is to be seen.
pub async fn find_contact(
    tx: &mut Tx,
    keys: &DataKeys,
    id: ContactId,
    visible: &Visible,
) -> QueryResult<Option<Contact>> {
    // The id alone is not a key: two states' phones may have made the same one. The caller's own comes first.
    let row: Option<ContactRow> = statement(
        "SELECT c.* FROM units s JOIN contacts c ON c.state_id = s.id AND c.id = $1
         WHERE s.level = 'state' AND (c.recorded_by = $2 OR EXISTS (
             SELECT 1 FROM lineages l WHERE l.unit_id = c.booth_id AND l.unit_ids && $3::int[]
               AND l.valid_from <= $4 AND (l.valid_to IS NULL OR l.valid_to > $5)))
         ORDER BY c.recorded_by = $6 DESC, c.state_id LIMIT 1",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Nullable<Integer>, _>(visible.own)
    .bind::<Array<Integer>, _>(&visible.roots)
    .bind::<Date, _>(visible.today)
    .bind::<Date, _>(visible.today)
    .bind::<Nullable<Integer>, _>(visible.own)
    .get_result(tx)
    .await
    .optional()?;
    row.map(|row| opened(keys, row)).transpose()
}

/// Live contacts that are to be seen, by id; one more than `limit` shows that there is a next page.
pub async fn list_contacts(
    tx: &mut Tx,
    keys: &DataKeys,
    visible: &Visible,
    wanted: &Wanted<'_>,
    limit: i64,
) -> QueryResult<Vec<Contact>> {
    let index = wanted.phone.map(|phone| phone_index(keys, phone));
    let rows: Vec<ContactRow> = statement(
        "WITH f AS MATERIALIZED (SELECT $1::int[] AS roots, $2::int AS own, $3::date AS today, $4::int AS under)
         SELECT c.* FROM f, contacts c
         WHERE c.ended_at IS NULL
           AND (c.recorded_by = f.own OR EXISTS (
               SELECT 1 FROM lineages l WHERE l.unit_id = c.booth_id AND l.unit_ids && f.roots
                 AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)))
           AND (f.under IS NULL OR EXISTS (
               SELECT 1 FROM lineages l WHERE l.unit_id = c.booth_id AND f.under = ANY (l.unit_ids)
                 AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today)))
           AND ($5::uuid IS NULL OR c.household_id = $6)
           AND ($7::bytea IS NULL OR c.phone_index = $8)
           AND ($9::uuid IS NULL OR c.id > $10)
         ORDER BY c.id LIMIT $11",
    )
    .bind::<Array<Integer>, _>(&visible.roots)
    .bind::<Nullable<Integer>, _>(visible.own)
    .bind::<Date, _>(visible.today)
    .bind::<Nullable<Integer>, _>(wanted.under)
    .bind::<Nullable<SqlUuid>, _>(wanted.household_id)
    .bind::<Nullable<SqlUuid>, _>(wanted.household_id)
    .bind::<Nullable<Binary>, _>(index.as_ref())
    .bind::<Nullable<Binary>, _>(index.as_ref())
    .bind::<Nullable<SqlUuid>, _>(wanted.after)
    .bind::<Nullable<SqlUuid>, _>(wanted.after)
    .bind::<BigInt, _>(limit.saturating_add(1))
    .load(tx)
    .await?;
    rows.into_iter().map(|row| opened(keys, row)).collect()
}

/// Stores another number under the next version. The permit is for the contact's booth.
pub async fn correct_phone<A>(
    tx: &mut Tx,
    keys: &DataKeys,
    permit: &Permit<A>,
    id: ContactId,
    phone: &str,
) -> QueryResult<()> {
    let sealed = keys.seal(&phone_place(permit.state_id(), id), phone.as_bytes())?;
    statement(
        "UPDATE contacts SET phone_sealed = $1, phone_index = $2, version = version + 1, updated_at = $3
         WHERE state_id = $4 AND id = $5 AND booth_id = $6 AND ended_at IS NULL",
    )
    .bind::<Binary, _>(sealed)
    .bind::<Binary, _>(phone_index(keys, phone))
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Integer, _>(permit.state_id())
    .bind::<SqlUuid, _>(id)
    .bind::<Integer, _>(permit.unit_id())
    .execute(tx)
    .await
    .map(|_| ())
}

/// Ends a contact: the number is shown to nobody any more, and destroyed on a day. The permit is for its booth.
pub async fn end_contact<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    id: ContactId,
    why: &str,
    destroy_on: NaiveDate,
) -> QueryResult<()> {
    let at = permit.actor().at;
    statement(
        "UPDATE contacts SET ended_at = coalesce(ended_at, $1), ended_why = $2, destroy_on = coalesce(destroy_on, $3),
             version = version + 1, updated_at = $4
         WHERE state_id = $5 AND id = $6 AND booth_id = $7",
    )
    .bind::<Timestamptz, _>(at)
    .bind::<Text, _>(why)
    .bind::<Date, _>(destroy_on)
    .bind::<Timestamptz, _>(at)
    .bind::<Integer, _>(permit.state_id())
    .bind::<SqlUuid, _>(id)
    .bind::<Integer, _>(permit.unit_id())
    .execute(tx)
    .await
    .map(|_| ())
}

/// A reading, as the journal has it.
#[derive(Clone, Debug, QueryableByName)]
pub struct ReadRow {
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub actor_id: Option<WorkerId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub device_id: Option<DeviceId>,
    #[diesel(sql_type = Array<SqlUuid>)]
    pub subject_uuids: Vec<ContactId>,
    #[diesel(sql_type = Array<Integer>)]
    pub unit_ids: Vec<UnitId>,
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = BigInt)]
    pub number: i64,
}

/// Where a list of readings goes on from.
pub type ReadCursor = (DateTime<Utc>, UnitId, i64);

const READS: &str = "
    WITH f AS MATERIALIZED (SELECT $1::int[] AS roots, $2::date AS today)
    SELECT j.at, j.actor_id, j.device_id, j.subject_uuids, j.unit_ids, j.state_id, j.number FROM f, journal j
    WHERE j.action = 'contact.read' AND j.at >= coalesce($3, '-infinity'::timestamptz) AND j.at < coalesce($4, 'infinity'::timestamptz)
      AND (j.at, j.state_id, j.number) > (coalesce($5, '-infinity'::timestamptz), coalesce($6, 0), coalesce($7, 0))
      AND ($8::int IS NULL OR j.actor_id = $9)
      AND ($10::uuid IS NULL OR $11::uuid = ANY (j.subject_uuids))
      AND EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = ANY (j.unit_ids) AND l.unit_ids && f.roots
                    AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today))
    ORDER BY j.at, j.state_id, j.number LIMIT $12";

/// Readings in scope, oldest first, by an index that holds nothing else.
pub async fn list_reads(
    tx: &mut Tx,
    scope: &Scope<ContactAudit>,
    filter: &ReadFilter,
    today: NaiveDate,
    after: Option<ReadCursor>,
    limit: i64,
) -> QueryResult<Vec<ReadRow>> {
    statement(READS)
        .bind::<Array<Integer>, _>(scope.roots())
        .bind::<Date, _>(today)
        .bind::<Nullable<Timestamptz>, _>(filter.from)
        .bind::<Nullable<Timestamptz>, _>(filter.to)
        .bind::<Nullable<Timestamptz>, _>(after.map(|after| after.0))
        .bind::<Nullable<Integer>, _>(after.map(|after| after.1))
        .bind::<Nullable<BigInt>, _>(after.map(|after| after.2))
        .bind::<Nullable<Integer>, _>(filter.worker_id)
        .bind::<Nullable<Integer>, _>(filter.worker_id)
        .bind::<Nullable<SqlUuid>, _>(filter.contact_id)
        .bind::<Nullable<SqlUuid>, _>(filter.contact_id)
        .bind::<BigInt, _>(limit.saturating_add(1))
        .load(tx)
        .await
}
