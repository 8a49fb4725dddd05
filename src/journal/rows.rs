//! Rows that the journal seals beside visits: units, placements, grants and posts, campaigns and their questions,
//! households, sign-offs, draws and what was drawn, tasks with their reports and verdicts, rules of committees, exports.
//!
//! A trigger keeps the hash of every version of such a row (`row_versions`), under the name of the write that made it. The
//! first entry of the write then has, as its digest, the SHA-256 over lines of `kind id version hash`, and form 3 says so.
//! What was written can so be held against the journal, and a row changed behind the program's back shows.

use diesel::sql_types::{Binary, Nullable, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::entry::{Actor, Digest, Entry};
use crate::platform::db::Tx;
use crate::platform::statement::statement;

#[derive(QueryableByName)]
struct WriteRow {
    #[diesel(sql_type = SqlUuid)]
    write_id: Uuid,
    #[diesel(sql_type = Nullable<Binary>)]
    digest: Option<Vec<u8>>,
}

/// The digest over the versions of a write, as SQL text over `row_versions` as `v`.
#[macro_export]
macro_rules! row_digest {
    () => {
        "sha256(convert_to(string_agg(v.kind || ' ' || v.id || ' ' || v.version || ' ' || coalesce(encode(v.hash, 'hex'), '-'),
             E'\\n' ORDER BY v.kind COLLATE \"C\", v.id COLLATE \"C\", v.version), 'UTF8'))"
    };
}

/// Whether the entry holds what was written by a digest of its own: commitments that can be erased, or what is frozen by
/// the request of a draw.
fn is_bound_itself(entry: &Entry) -> bool {
    matches!(entry.subject, "visit" | "review" | "flag_answer" | "back_check")
        || entry.action == "draw.request"
}

/// Binds what the transaction wrote to such rows to its first entry that is not bound itself.
///
/// # Errors
/// What the database says.
pub async fn bind(tx: &mut Tx, actor: &Actor, entries: &mut [Entry]) -> QueryResult<()> {
    let Some(entry) = entries.iter_mut().find(|entry| !is_bound_itself(entry)) else {
        return Ok(());
    };
    let write: Option<WriteRow> = statement(concat!(
        "SELECT w.id AS write_id, ",
        row_digest!(),
        " AS digest
         FROM (SELECT nullif(current_setting('sampark.row_write', true), '')::uuid AS id) AS w
         JOIN row_versions v ON v.write_id = w.id GROUP BY w.id"
    ))
    .get_result(tx)
    .await
    .optional()?;
    let Some(write) = write else { return Ok(()) };
    let Some(digest) = write.digest.and_then(|digest| digest.try_into().ok()) else {
        return Ok(());
    };
    entry.digest = Digest(digest);
    entry.over_rows = true;
    statement("INSERT INTO row_writes (write_id, leaf) VALUES ($1, $2)")
        .bind::<SqlUuid, _>(write.write_id)
        .bind::<Binary, _>(entry.leaf_hash(actor).0.to_vec())
        .execute(tx)
        .await
        .map(|_| ())
}
