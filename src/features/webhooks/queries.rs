use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::access::actions::{WebhookRead, WebhookWrite};
use crate::access::{Permit, Scope};
use crate::platform::data_keys::{DataKeys, Place};
use crate::platform::db::Tx;
use crate::platform::ids::{UnitId, WebhookId};
use crate::platform::statement::statement;

/// A webhook.
#[derive(Clone, Debug, QueryableByName)]
pub struct WebhookRow {
    #[diesel(sql_type = Integer)]
    pub id: WebhookId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Text)]
    pub url: String,
    #[diesel(sql_type = Array<Text>)]
    pub kinds: Vec<String>,
    #[diesel(sql_type = Array<Text>)]
    pub actions: Vec<String>,
    #[diesel(sql_type = Bool)]
    pub paused: bool,
    #[diesel(sql_type = Nullable<Text>)]
    pub note: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub failing_since: Option<DateTime<Utc>>,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}

/// A webhook in hand.
#[derive(Clone, Debug, QueryableByName)]
pub struct ClaimedRow {
    #[diesel(sql_type = Integer)]
    pub id: WebhookId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = Text)]
    pub url: String,
    #[diesel(sql_type = Array<Text>)]
    pub kinds: Vec<String>,
    #[diesel(sql_type = Array<Text>)]
    pub actions: Vec<String>,
    #[diesel(sql_type = Text)]
    pub cursor: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub failing_since: Option<DateTime<Utc>>,
    #[diesel(sql_type = SqlUuid)]
    pub lease: Uuid,
    /// Entries of all journals when it was claimed.
    #[diesel(sql_type = BigInt)]
    pub total: i64,
}

/// What is on its way, or could not be delivered.
#[derive(Clone, Debug, QueryableByName)]
pub struct BatchRow {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = SqlUuid)]
    pub message_id: Uuid,
    #[diesel(sql_type = Text)]
    pub body: String,
    #[diesel(sql_type = Integer)]
    pub entry_count: i32,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub died_at: Option<DateTime<Utc>>,
}

/// A sealed secret.
#[derive(Clone, Debug, QueryableByName)]
pub struct SecretRow {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Binary)]
    pub sealed: Vec<u8>,
}

/// The webhooks in scope, by id; one more than `limit` shows that there is a next page.
pub async fn list_webhooks(
    tx: &mut Tx,
    scope: &Scope<WebhookRead>,
    today: NaiveDate,
    after: Option<WebhookId>,
    limit: i64,
) -> QueryResult<Vec<WebhookRow>> {
    statement(
        "SELECT w.* FROM webhooks w WHERE w.id > $1 AND EXISTS (
             SELECT 1 FROM lineages l WHERE l.unit_id = w.unit_id AND l.valid_from <= $2
                AND (l.valid_to IS NULL OR l.valid_to > $3) AND l.unit_ids && $4)
         ORDER BY w.id LIMIT $5",
    )
    .bind::<Integer, _>(after.unwrap_or(WebhookId(0)))
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<BigInt, _>(limit.saturating_add(1))
    .load(tx)
    .await
}

/// The unit that answers for a webhook, to ask for leave there; locked if it is to be changed.
pub async fn home_of(tx: &mut Tx, id: WebhookId, lock: bool) -> QueryResult<Option<UnitId>> {
    #[derive(QueryableByName)]
    struct HomeRow {
        #[diesel(sql_type = Integer)]
        unit_id: UnitId,
    }
    let row: Option<HomeRow> = if lock {
        statement("SELECT unit_id FROM webhooks WHERE id = $1 FOR NO KEY UPDATE")
    } else {
        statement("SELECT unit_id FROM webhooks WHERE id = $1")
    }
    .bind::<Integer, _>(id)
    .get_result(tx)
    .await
    .optional()?;
    Ok(row.map(|row| row.unit_id))
}

/// A webhook of the permit's unit.
pub async fn find_webhook<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    id: WebhookId,
) -> QueryResult<Option<WebhookRow>> {
    statement("SELECT * FROM webhooks WHERE id = $1 AND unit_id = $2")
        .bind::<Integer, _>(id)
        .bind::<Integer, _>(permit.unit_id())
        .get_result(tx)
        .await
        .optional()
}

/// What of a webhook is set by people.
#[derive(Clone, Debug)]
pub struct WebhookToStore {
    pub url: String,
    pub kinds: Vec<String>,
    pub actions: Vec<String>,
    pub paused: bool,
}

/// Registers a webhook at the permit's unit, to be told what comes after the cursor.
pub async fn insert_webhook(
    tx: &mut Tx,
    permit: &Permit<WebhookWrite>,
    new: &WebhookToStore,
    cursor: &str,
) -> QueryResult<WebhookRow> {
    let at = permit.actor().at;
    statement(
        "INSERT INTO webhooks (unit_id, url, kinds, actions, paused, cursor, next_at, created_by, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING *",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Text, _>(&new.url)
    .bind::<Array<Text>, _>(&new.kinds)
    .bind::<Array<Text>, _>(&new.actions)
    .bind::<Bool, _>(new.paused)
    .bind::<Text, _>(cursor)
    .bind::<Timestamptz, _>(at)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(at)
    .bind::<Timestamptz, _>(at)
    .get_result(tx)
    .await
}

/// Stores a changed webhook; what waits is tried at once, and its failures are forgotten.
pub async fn update_webhook(
    tx: &mut Tx,
    permit: &Permit<WebhookWrite>,
    id: WebhookId,
    changed: &WebhookToStore,
) -> QueryResult<WebhookRow> {
    let at = permit.actor().at;
    statement(
        "UPDATE webhooks SET url = $1, kinds = $2, actions = $3, paused = $4, note = NULL, failing_since = NULL,
             next_at = $5, version = version + 1, updated_at = $6
         WHERE id = $7 AND unit_id = $8 RETURNING *",
    )
    .bind::<Text, _>(&changed.url)
    .bind::<Array<Text>, _>(&changed.kinds)
    .bind::<Array<Text>, _>(&changed.actions)
    .bind::<Bool, _>(changed.paused)
    .bind::<Timestamptz, _>(at)
    .bind::<Timestamptz, _>(at)
    .bind::<Integer, _>(id)
    .bind::<Integer, _>(permit.unit_id())
    .get_result(tx)
    .await
}

/// Deletes a webhook of the permit's unit with all that waits for it.
pub async fn delete_webhook(tx: &mut Tx, permit: &Permit<WebhookWrite>, id: WebhookId) -> QueryResult<usize> {
    statement("DELETE FROM webhooks WHERE id = $1 AND unit_id = $2")
        .bind::<Integer, _>(id)
        .bind::<Integer, _>(permit.unit_id())
        .execute(tx)
        .await
}

/// Keeps a new secret, and of the older ones only as many as may be live beside it.
pub async fn insert_secret(
    tx: &mut Tx,
    permit: &Permit<WebhookWrite>,
    webhook_id: WebhookId,
    secret: &SecretRow,
    others: i64,
) -> QueryResult<()> {
    statement(
        "DELETE FROM webhook_secrets WHERE id IN (
             SELECT id FROM webhook_secrets WHERE webhook_id = $1 ORDER BY created_at DESC, id OFFSET $2)",
    )
    .bind::<Integer, _>(webhook_id)
    .bind::<BigInt, _>(others)
    .execute(tx)
    .await?;
    statement("INSERT INTO webhook_secrets (id, webhook_id, sealed, created_at) VALUES ($1, $2, $3, $4)")
        .bind::<SqlUuid, _>(secret.id)
        .bind::<Integer, _>(webhook_id)
        .bind::<Binary, _>(&secret.sealed)
        .bind::<Timestamptz, _>(permit.actor().at)
        .execute(tx)
        .await
        .map(|_| ())
}

/// The live secrets, the newest first.
pub async fn secrets(tx: &mut Tx, id: WebhookId) -> QueryResult<Vec<SecretRow>> {
    statement("SELECT id, sealed FROM webhook_secrets WHERE webhook_id = $1 ORDER BY created_at DESC, id")
        .bind::<Integer, _>(id)
        .load(tx)
        .await
}

/// Dead letters, by number; one more than `limit` shows that there is a next page.
pub async fn list_dead<A>(
    tx: &mut Tx,
    permit: &Permit<A>,
    id: WebhookId,
    after: i64,
    limit: i64,
) -> QueryResult<Vec<BatchRow>> {
    statement(
        "SELECT b.* FROM webhook_batches b JOIN webhooks w ON w.id = b.webhook_id
         WHERE b.webhook_id = $1 AND w.unit_id = $2 AND b.died_at IS NOT NULL AND b.id > $3 ORDER BY b.id LIMIT $4",
    )
    .bind::<Integer, _>(id)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(limit.saturating_add(1))
    .load(tx)
    .await
}

/// Puts all dead letters on their way again, in their order.
pub async fn replay(tx: &mut Tx, permit: &Permit<WebhookWrite>, id: WebhookId) -> QueryResult<usize> {
    statement("UPDATE webhooks SET next_at = $1 WHERE id = $2 AND unit_id = $3")
        .bind::<Timestamptz, _>(permit.actor().at)
        .bind::<Integer, _>(id)
        .bind::<Integer, _>(permit.unit_id())
        .execute(tx)
        .await?;
    statement("UPDATE webhook_batches SET died_at = NULL, attempts = 0 WHERE webhook_id = $1 AND died_at IS NOT NULL")
        .bind::<Integer, _>(id)
        .execute(tx)
        .await
}

/// Takes at most `most` webhooks in hand that have something to do, until the lease ends.
pub async fn claim(
    tx: &mut Tx,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    most: i64,
    lease: Uuid,
) -> QueryResult<Vec<ClaimedRow>> {
    statement(
        "WITH total AS (SELECT coalesce(sum(size), 0)::bigint AS size FROM journal_heads),
         due AS (
             SELECT w.id FROM webhooks w, total t
             WHERE NOT w.paused AND (w.leased_until IS NULL OR w.leased_until <= $1)
               AND CASE WHEN EXISTS (SELECT 1 FROM webhook_batches b WHERE b.webhook_id = w.id AND b.died_at IS NULL)
                        THEN w.next_at <= $2 ELSE w.looked_at < t.size END
             ORDER BY w.next_at, w.id LIMIT $3 FOR UPDATE OF w SKIP LOCKED)
         UPDATE webhooks w SET leased_until = $4, lease = $5
         FROM due, total, units u WHERE w.id = due.id AND u.id = w.unit_id
         RETURNING w.id, w.unit_id, u.state_id, w.url, w.kinds, w.actions, w.cursor, w.failing_since, w.lease,
                   total.size AS total",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(now)
    .bind::<BigInt, _>(most)
    .bind::<Timestamptz, _>(until)
    .bind::<SqlUuid, _>(lease)
    .load(tx)
    .await
}

/// The batch that is next.
pub async fn first_batch(tx: &mut Tx, id: WebhookId) -> QueryResult<Option<BatchRow>> {
    statement("SELECT * FROM webhook_batches WHERE webhook_id = $1 AND died_at IS NULL ORDER BY id LIMIT 1")
        .bind::<Integer, _>(id)
        .get_result(tx)
        .await
        .optional()
}

/// Goes on to a cursor; false if the lease is another's meanwhile.
pub async fn advance(
    tx: &mut Tx,
    claimed: &ClaimedRow,
    cursor: &str,
    looked_at: i64,
    paused_why: Option<&str>,
) -> QueryResult<bool> {
    statement(
        "UPDATE webhooks SET cursor = $1, looked_at = $2, note = coalesce($3, note), paused = paused OR $4,
             version = version + $5
         WHERE id = $6 AND lease = $7",
    )
    .bind::<Text, _>(cursor)
    .bind::<BigInt, _>(looked_at)
    .bind::<Nullable<Text>, _>(paused_why)
    .bind::<Bool, _>(paused_why.is_some())
    .bind::<Integer, _>(i32::from(paused_why.is_some()))
    .bind::<Integer, _>(claimed.id)
    .bind::<SqlUuid, _>(claimed.lease)
    .execute(tx)
    .await
    .map(|rows| rows == 1)
}

/// Stores a batch.
pub async fn insert_batch(
    tx: &mut Tx,
    id: WebhookId,
    body: &str,
    entry_count: i32,
    now: DateTime<Utc>,
) -> QueryResult<BatchRow> {
    statement(
        "INSERT INTO webhook_batches (webhook_id, message_id, body, entry_count, created_at)
         VALUES ($1, $2, $3, $4, $5) RETURNING *",
    )
    .bind::<Integer, _>(id)
    .bind::<SqlUuid, _>(Uuid::new_v4())
    .bind::<Text, _>(body)
    .bind::<Integer, _>(entry_count)
    .bind::<Timestamptz, _>(now)
    .get_result(tx)
    .await
}

/// Takes out what was delivered.
pub async fn remove_batch(tx: &mut Tx, batch_id: i64) -> QueryResult<()> {
    statement("DELETE FROM webhook_batches WHERE id = $1")
        .bind::<BigInt, _>(batch_id)
        .execute(tx)
        .await
        .map(|_| ())
}

/// Notes a failed try; `died_at` if it was the last.
pub async fn note_failure(
    tx: &mut Tx,
    batch_id: i64,
    reason: &str,
    died_at: Option<DateTime<Utc>>,
) -> QueryResult<()> {
    statement("UPDATE webhook_batches SET attempts = attempts + 1, reason = $1, died_at = $2 WHERE id = $3")
        .bind::<Text, _>(reason)
        .bind::<Nullable<Timestamptz>, _>(died_at)
        .bind::<BigInt, _>(batch_id)
        .execute(tx)
        .await
        .map(|_| ())
}

/// Lets a webhook go; the version is that of what is shown.
pub async fn release(
    tx: &mut Tx,
    claimed: &ClaimedRow,
    next_at: DateTime<Utc>,
    failing_since: Option<DateTime<Utc>>,
    paused_why: Option<&str>,
) -> QueryResult<()> {
    let shown = claimed.failing_since != failing_since || paused_why.is_some();
    statement(
        "UPDATE webhooks SET lease = NULL, leased_until = NULL, next_at = $1, failing_since = $2,
             note = coalesce($3, note), paused = paused OR $4, version = version + $5
         WHERE id = $6 AND lease = $7",
    )
    .bind::<Timestamptz, _>(next_at)
    .bind::<Nullable<Timestamptz>, _>(failing_since)
    .bind::<Nullable<Text>, _>(paused_why)
    .bind::<Bool, _>(paused_why.is_some())
    .bind::<Integer, _>(i32::from(shown))
    .bind::<Integer, _>(claimed.id)
    .bind::<SqlUuid, _>(claimed.lease)
    .execute(tx)
    .await
    .map(|_| ())
}

/// Where a secret lies, to which it is bound.
pub fn secret_place(id: Uuid) -> Place {
    Place::new("webhook_secrets", "sealed", id)
}

/// Seals anew, under the active key, what of the next secrets an older key sealed. Returns the last that was looked at;
/// `None` at the end.
///
/// # Errors
/// What the database says, or a secret that cannot be opened.
pub async fn reseal_secrets(
    tx: &mut Tx,
    keys: &DataKeys,
    after: Option<Uuid>,
    limit: i64,
) -> QueryResult<Option<Uuid>> {
    let rows: Vec<SecretRow> = statement(
        "SELECT id, sealed FROM webhook_secrets
         WHERE id > coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid) ORDER BY id LIMIT $2 FOR NO KEY UPDATE",
    )
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await?;
    let mut changed = Vec::new();
    for row in &rows {
        let sealed = keys.reseal(&secret_place(row.id), &row.sealed)?;
        changed.extend(sealed.map(|sealed| (row.id, sealed)));
    }
    statement(
        "UPDATE webhook_secrets s SET sealed = n.sealed
         FROM unnest($1::uuid[], $2::bytea[]) AS n (id, sealed) WHERE s.id = n.id",
    )
    .bind::<Array<SqlUuid>, _>(changed.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(changed.iter().map(|(_, sealed)| sealed).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(rows.last().map(|row| row.id))
}
