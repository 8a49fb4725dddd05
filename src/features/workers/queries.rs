use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Date, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::RunQueryDsl;

use super::rules::origin_columns;
use super::wire::{GrantView, NewGrant, NewWorker, WorkerView};
use crate::access::actions::{Action, GrantWrite, WorkerRead, WorkerWrite};
use crate::access::{Caller, Permit, Role, Scope};
use crate::platform::data_keys::{DataKeys, Place};
use crate::platform::db::Tx;
use crate::platform::ids::{GrantId, UnitId, WorkerId};
use crate::platform::statement::statement;
use crate::platform::stored::Stored;

pub mod import;
pub mod notices;
pub mod sealing;

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct WorkerRow {
    #[diesel(sql_type = Integer)]
    pub id: WorkerId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Nullable<Binary>)]
    pub phone_sealed: Option<Vec<u8>>,
    #[diesel(sql_type = Bool)]
    pub phone_shown: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub erasure_requested_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Text)]
    pub language: String,
    #[diesel(sql_type = Bool)]
    pub active: bool,
    #[diesel(sql_type = Nullable<Text>)]
    pub origin_party: Option<String>,
    #[diesel(sql_type = Nullable<Date>)]
    pub origin_joined_on: Option<NaiveDate>,
    #[diesel(sql_type = Jsonb)]
    pub grants: Stored<Vec<GrantView>>,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}

/// Where a worker's number is sealed.
fn phone_place(id: WorkerId) -> Place {
    Place::new("workers", "phone_sealed", id)
}

/// What a worker is found by.
#[must_use]
pub fn phone_index(keys: &DataKeys, phone: &str) -> Vec<u8> {
    keys.index("workers.phone", phone.as_bytes()).to_vec()
}

fn opened(keys: &DataKeys, row: WorkerRow) -> QueryResult<WorkerView> {
    let phone = keys.open_text(&phone_place(row.id), row.phone_sealed.as_deref())?;
    Ok(WorkerView::of(row, phone.as_deref()))
}

/// A grant as JSON, in the shape of [`GrantView`].
macro_rules! grant_object {
    () => {
        "jsonb_build_object('id', g.id, 'role', g.role, 'unit_id', g.unit_id, 'valid_from', g.valid_from,
                            'valid_to', g.valid_to, 'ended_at', g.ended_at, 'post', g.post)"
    };
}

// Seen: himself, who has his home in scope, who holds a live grant in scope. His number is shown to himself and to
// those who manage his home unit; of his grants, a reader sees those in scope.
macro_rules! select_visible {
    ($rest:literal) => {
        concat!(
            "WITH asked AS MATERIALIZED (SELECT $1::int AS self, $2::bool AS himself, $3::date AS today,
                                                $4::int[] AS roots, $5::int[] AS managed)
             SELECT w.*,
                 (w.id = a.self OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = w.unit_id
                     AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
                     AND l.unit_ids && a.managed)) AS phone_shown,
                 coalesce((SELECT jsonb_agg(",
            grant_object!(),
            " ORDER BY g.id) FROM grants g WHERE g.worker_id = w.id
                     AND (w.id = a.self OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = g.unit_id
                         AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
                         AND l.unit_ids && a.roots))), '[]') AS grants
             FROM workers w, asked a
             WHERE ((a.himself AND w.id = a.self)
                 OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = w.unit_id
                     AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
                     AND l.unit_ids && a.roots)
                 OR EXISTS (SELECT 1 FROM grants g JOIN lineages l ON l.unit_id = g.unit_id
                     WHERE g.worker_id = w.id AND g.ended_at IS NULL AND (g.valid_to IS NULL OR g.valid_to >= a.today)
                     AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
                     AND l.unit_ids && a.roots)) ",
            $rest
        )
    };
}

/// Which of the workers in scope.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Whether the caller himself belongs in the list wherever his home is.
    pub himself: bool,
    pub role: Option<Role>,
    pub active: Option<bool>,
    pub name: Option<String>,
    pub after: Option<WorkerId>,
}

/// A page of the workers in scope, by id; one more than `limit` shows that there is a next page.
pub async fn list_workers(
    tx: &mut Tx,
    keys: &DataKeys,
    caller: &Caller,
    scope: &Scope<WorkerRead>,
    wanted: &Wanted,
    limit: i64,
) -> QueryResult<Vec<WorkerView>> {
    let role = wanted.role.map(Role::as_str);
    let rows: Vec<WorkerRow> = statement(select_visible!(
        "AND ($6::text IS NULL OR EXISTS (SELECT 1 FROM grants g WHERE g.worker_id = w.id AND g.role = $7
             AND g.ended_at IS NULL AND g.valid_from <= a.today AND (g.valid_to IS NULL OR g.valid_to >= a.today)))
         AND ($8::bool IS NULL OR w.active = $9)
         AND ($10::text IS NULL OR strpos(lower(w.name), lower($11)) > 0)
         AND w.id > $12 ORDER BY w.id LIMIT $13"
    ))
    .planned_anew()
    .bind::<Integer, _>(caller.worker_id())
    .bind::<Bool, _>(wanted.himself)
    .bind::<Date, _>(caller.today())
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Array<Integer>, _>(caller.roots(WorkerWrite::ACTION))
    .bind::<Nullable<Text>, _>(role)
    .bind::<Nullable<Text>, _>(role)
    .bind::<Nullable<Bool>, _>(wanted.active)
    .bind::<Nullable<Bool>, _>(wanted.active)
    .bind::<Nullable<Text>, _>(wanted.name.as_deref())
    .bind::<Nullable<Text>, _>(wanted.name.as_deref())
    .bind::<Integer, _>(wanted.after.unwrap_or(WorkerId(0)))
    .bind::<BigInt, _>(limit.saturating_add(1))
    .load(tx)
    .await?;
    rows.into_iter().map(|row| opened(keys, row)).collect()
}

/// The worker, if he is in scope or the caller himself. Without a scope, only the caller himself.
pub async fn find_worker(
    tx: &mut Tx,
    keys: &DataKeys,
    caller: &Caller,
    scope: Option<&Scope<WorkerRead>>,
    id: WorkerId,
) -> QueryResult<Option<WorkerView>> {
    let row: Option<WorkerRow> = statement(select_visible!("AND w.id = $6"))
        .bind::<Integer, _>(caller.worker_id())
        .bind::<Bool, _>(true)
        .bind::<Date, _>(caller.today())
        .bind::<Array<Integer>, _>(scope.map_or(&[][..], Scope::roots))
        .bind::<Array<Integer>, _>(caller.roots(WorkerWrite::ACTION))
        .bind::<Integer, _>(id)
        .get_result(tx)
        .await
        .optional()?;
    row.map(|row| opened(keys, row)).transpose()
}

/// A worker as he sees himself, for whoever has just proved to be him (signing in).
///
/// # Errors
/// What the database says.
pub async fn load_own(
    tx: &mut Tx,
    keys: &DataKeys,
    id: WorkerId,
    today: NaiveDate,
) -> QueryResult<Option<WorkerView>> {
    let row: Option<WorkerRow> = statement(select_visible!("AND w.id = $6"))
        .bind::<Integer, _>(id)
        .bind::<Bool, _>(true)
        .bind::<Date, _>(today)
        .bind::<Array<Integer>, _>(Vec::<UnitId>::new())
        .bind::<Array<Integer>, _>(Vec::<UnitId>::new())
        .bind::<Integer, _>(id)
        .get_result(tx)
        .await
        .optional()?;
    row.map(|row| opened(keys, row)).transpose()
}

/// Holds the worker for a change, so that two changes wait for each other. Tells nothing about him.
pub async fn lock_worker(tx: &mut Tx, id: WorkerId) -> QueryResult<()> {
    statement("SELECT id FROM workers WHERE id = $1 FOR UPDATE")
        .bind::<Integer, _>(id)
        .execute(tx)
        .await
        .map(|_| ())
}

#[derive(diesel::QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: WorkerId,
}

/// Whose number this is; for a conflict, of which the caller is told only what he may see.
pub async fn find_by_phone(tx: &mut Tx, keys: &DataKeys, phone: &str) -> QueryResult<Option<WorkerId>> {
    let row: Option<IdRow> = statement("SELECT id FROM workers WHERE phone_index = $1")
        .bind::<Binary, _>(phone_index(keys, phone))
        .get_result(tx)
        .await
        .optional()?;
    Ok(row.map(|row| row.id))
}

/// Puts a worker on the roster of the permit's unit.
pub async fn insert_worker(
    tx: &mut Tx,
    keys: &DataKeys,
    permit: &Permit<WorkerWrite>,
    new: &NewWorker,
) -> QueryResult<WorkerId> {
    let at = permit.actor().at;
    let (party, joined_on) = origin_columns(new.origin.as_ref());
    let phone = new_phones(tx, keys, &[&new.phone]).await?;
    let Some((id, sealed, index)) = phone.into_iter().next() else {
        return Err(diesel::result::Error::NotFound);
    };
    statement(
        "INSERT INTO workers (id, unit_id, name, phone_sealed, phone_index, language, active, origin_party,
                              origin_joined_on, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind::<Integer, _>(id)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Text, _>(&new.name)
    .bind::<Binary, _>(sealed)
    .bind::<Binary, _>(index)
    .bind::<Text, _>(&new.language)
    .bind::<Bool, _>(new.active)
    .bind::<Nullable<Text>, _>(party)
    .bind::<Nullable<Date>, _>(joined_on)
    .bind::<Timestamptz, _>(at)
    .bind::<Timestamptz, _>(at)
    .execute(tx)
    .await?;
    Ok(id)
}

/// Numbers for new workers, with their phones sealed for them, and what they are found by.
pub async fn new_phones(
    tx: &mut Tx,
    keys: &DataKeys,
    phones: &[&str],
) -> QueryResult<Vec<(WorkerId, Vec<u8>, Vec<u8>)>> {
    let ids: Vec<IdRow> =
        statement("SELECT nextval('workers_id_seq')::int AS id FROM generate_series(1, $1::bigint)")
            .bind::<BigInt, _>(i64::try_from(phones.len()).unwrap_or(i64::MAX))
            .load(tx)
            .await?;
    let made = ids.iter().zip(phones).map(|(row, phone)| {
        let sealed = keys.seal(&phone_place(row.id), phone.as_bytes())?;
        Ok((row.id, sealed, phone_index(keys, phone)))
    });
    made.collect()
}

/// Stores a changed worker under the next version. The permit is for his home unit as it was.
///
/// `phone`: the new one, if it is to change.
pub async fn update_worker(
    tx: &mut Tx,
    keys: &DataKeys,
    permit: &Permit<WorkerWrite>,
    changed: &WorkerView,
    phone: Option<&str>,
) -> QueryResult<usize> {
    let sealed = keys.seal_text(&phone_place(changed.id), phone)?;
    let index = phone.map(|phone| phone_index(keys, phone));
    let (party, joined_on) = origin_columns(changed.origin.as_ref());
    statement(
        "UPDATE workers SET unit_id = $1, name = $2, phone_sealed = coalesce($3, phone_sealed),
             phone_index = coalesce($4, phone_index), language = $5, active = $6, origin_party = $7,
             origin_joined_on = $8, version = version + 1, updated_at = $9
         WHERE id = $10 AND unit_id = $11",
    )
    .bind::<Integer, _>(changed.unit_id)
    .bind::<Text, _>(&changed.name)
    .bind::<Nullable<Binary>, _>(sealed)
    .bind::<Nullable<Binary>, _>(index)
    .bind::<Text, _>(&changed.language)
    .bind::<Bool, _>(changed.active)
    .bind::<Nullable<Text>, _>(party)
    .bind::<Nullable<Date>, _>(joined_on)
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Integer, _>(changed.id)
    .bind::<Integer, _>(permit.unit_id())
    .execute(tx)
    .await
}

#[derive(diesel::QueryableByName)]
struct GrantRow {
    #[diesel(sql_type = Jsonb)]
    grant_view: Stored<GrantView>,
}

/// Every grant of a worker, whoever may see it: for deciding whether he may be changed. The worker is one that was
/// found in scope; what this finds is not shown.
pub async fn all_grants(tx: &mut Tx, worker: &WorkerView) -> QueryResult<Vec<GrantView>> {
    let rows: Vec<GrantRow> = statement(concat!(
        "SELECT ",
        grant_object!(),
        " AS grant_view FROM grants g WHERE g.worker_id = $1 ORDER BY g.id"
    ))
    .bind::<Integer, _>(worker.id)
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| row.grant_view.0).collect())
}

/// Gives a role at the permit's unit.
pub async fn insert_grant(
    tx: &mut Tx,
    permit: &Permit<GrantWrite>,
    worker_id: WorkerId,
    new: &NewGrant,
) -> QueryResult<GrantView> {
    let at = permit.actor().at;
    let row: GrantRow = statement(concat!(
        "INSERT INTO grants AS g (worker_id, role, unit_id, valid_from, valid_to, given_by, created_at, post)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING ",
        grant_object!(),
        " AS grant_view"
    ))
    .bind::<Integer, _>(worker_id)
    .bind::<Text, _>(new.role.as_str())
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Date, _>(new.valid_from)
    .bind::<Nullable<Date>, _>(new.valid_to)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(at)
    .bind::<Nullable<Text>, _>(new.post.as_deref())
    .get_result(tx)
    .await?;
    count_change(tx, permit, worker_id).await?;
    Ok(row.grant_view.0)
}

/// Ends a grant at the permit's unit; the row stays.
pub async fn end_grant(
    tx: &mut Tx,
    permit: &Permit<GrantWrite>,
    worker_id: WorkerId,
    grant_id: GrantId,
) -> QueryResult<usize> {
    let ended = statement(
        "UPDATE grants SET ended_at = $1, ended_by = $2
         WHERE id = $3 AND worker_id = $4 AND unit_id = $5 AND ended_at IS NULL",
    )
    .bind::<Timestamptz, _>(permit.actor().at)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Integer, _>(grant_id)
    .bind::<Integer, _>(worker_id)
    .bind::<Integer, _>(permit.unit_id())
    .execute(tx)
    .await?;
    count_change(tx, permit, worker_id).await?;
    Ok(ended)
}

/// Stores how a grant at the permit's unit ends when its post is handed over.
pub async fn store_handed_over(
    tx: &mut Tx,
    permit: &Permit<GrantWrite>,
    worker_id: WorkerId,
    ended: &GrantView,
) -> QueryResult<usize> {
    let done = statement(
        "UPDATE grants SET valid_to = $1, ended_at = $2, ended_by = $3
         WHERE id = $4 AND worker_id = $5 AND unit_id = $6 AND ended_at IS NULL",
    )
    .bind::<Nullable<Date>, _>(ended.valid_to)
    .bind::<Nullable<Timestamptz>, _>(ended.ended_at)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Integer, _>(ended.id)
    .bind::<Integer, _>(worker_id)
    .bind::<Integer, _>(permit.unit_id())
    .execute(tx)
    .await?;
    count_change(tx, permit, worker_id).await?;
    Ok(done)
}

/// A change of a worker's grants is a change of the worker.
async fn count_change(tx: &mut Tx, permit: &Permit<GrantWrite>, worker_id: WorkerId) -> QueryResult<()> {
    statement("UPDATE workers SET version = version + 1, updated_at = $1 WHERE id = $2")
        .bind::<Timestamptz, _>(permit.actor().at)
        .bind::<Integer, _>(worker_id)
        .execute(tx)
        .await
        .map(|_| ())
}

/// Grants that make national administrators.
#[derive(Clone, Copy, Debug, diesel::QueryableByName)]
pub struct AdminsLeft {
    /// Those that hold today.
    #[diesel(sql_type = BigInt)]
    pub today: i64,
    /// Those that hold without an end, from today or from a day to come.
    #[diesel(sql_type = BigInt)]
    pub lasting: i64,
}

/// The grants that would still make national administrators if this worker, or this grant, were gone. Holds all such
/// grants until the end of the transaction, so that two administrators cannot remove each other at once.
pub async fn national_admins_without(
    tx: &mut Tx,
    worker_id: Option<WorkerId>,
    grant_id: Option<GrantId>,
    today: NaiveDate,
) -> QueryResult<AdminsLeft> {
    statement(
        "SELECT id FROM grants WHERE role = 'national_admin' AND ended_at IS NULL ORDER BY id FOR UPDATE",
    )
    .execute(tx)
    .await?;
    statement(
        "SELECT count(*) FILTER (WHERE g.valid_from <= $1 AND (g.valid_to IS NULL OR g.valid_to >= $2)) AS today,
                count(*) FILTER (WHERE g.valid_to IS NULL) AS lasting
         FROM grants g JOIN workers w ON w.id = g.worker_id
         WHERE g.role = 'national_admin' AND g.ended_at IS NULL AND w.active
           AND w.id IS DISTINCT FROM $3 AND g.id IS DISTINCT FROM $4",
    )
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Nullable<Integer>, _>(worker_id)
    .bind::<Nullable<Integer>, _>(grant_id)
    .get_result(tx)
    .await
}
