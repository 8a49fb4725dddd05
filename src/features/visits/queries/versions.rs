//! Versions for whoever checks them against the journal: the program's own, so they ask for no permit.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{VisitRow, bare_columns, note_place};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::Tx;
use crate::platform::ids::{UnitId, VisitId, WorkerId};
use crate::platform::statement::statement;

/// A version with the name under which it is kept.
#[derive(Clone, Debug, QueryableByName)]
pub struct VersionRow {
    #[diesel(embed)]
    pub visit: VisitRow,
    #[diesel(sql_type = SqlUuid)]
    pub kept_id: VisitId,
    #[diesel(sql_type = Integer)]
    pub kept_version: i32,
    #[diesel(sql_type = Integer)]
    pub kept_by: WorkerId,
    #[diesel(sql_type = Timestamptz)]
    pub kept_at: DateTime<Utc>,
}

impl VersionRow {
    /// Whether what is kept says of itself what it is kept as.
    pub fn is_in_its_place(&self) -> bool {
        let visit = &self.visit;
        (visit.id, visit.version, visit.changed_by, visit.changed_at)
            == (self.kept_id, self.kept_version, self.kept_by, self.kept_at)
    }
}

/// The same as it lies there.
#[derive(QueryableByName)]
struct SealedVersion {
    #[diesel(embed)]
    version: VersionRow,
    #[diesel(sql_type = Nullable<Binary>)]
    note_sealed: Option<Vec<u8>>,
}

/// Every version of these visits of a state. A note that cannot be opened (its bytes were altered, or its key is gone)
/// is left out: the version then does not fit what was committed to, which says so where it is known which one it is.
pub async fn versions_of(
    tx: &mut Tx,
    keys: &DataKeys,
    state_id: UnitId,
    ids: &[Uuid],
) -> QueryResult<Vec<VersionRow>> {
    let mut rows: Vec<SealedVersion> = statement(concat!(
        "SELECT v.*, ",
        bare_columns!(),
        ", v.id AS kept_id, v.version AS kept_version, v.changed_by AS kept_by,
                v.changed_at AS kept_at
         FROM visits v WHERE v.state_id = $1 AND v.id = ANY ($2)"
    ))
    .bind::<Integer, _>(state_id)
    .bind::<Array<SqlUuid>, _>(ids)
    .load(tx)
    .await?;
    let older: Vec<SealedVersion> = statement(concat!(
        "SELECT v.*, ",
        bare_columns!(),
        ", k.visit_id AS kept_id, k.version AS kept_version, k.changed_by AS kept_by,
                k.changed_at AS kept_at
         FROM visit_versions k CROSS JOIN LATERAL jsonb_populate_record(NULL::visits, k.content) v
         WHERE k.state_id = $1 AND k.visit_id = ANY ($2)"
    ))
    .bind::<Integer, _>(state_id)
    .bind::<Array<SqlUuid>, _>(ids)
    .load(tx)
    .await?;
    rows.extend(older);
    let opened = rows.into_iter().map(
        |SealedVersion {
             version: mut row,
             note_sealed,
         }| {
            let place = note_place((state_id, row.kept_id));
            row.visit.note = keys.open_text(&place, note_sealed.as_deref()).ok().flatten();
            row
        },
    );
    Ok(opened.collect())
}

/// The name of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct VersionName {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    /// Whether it was committed to.
    #[diesel(sql_type = Bool)]
    pub salted: bool,
}

/// The names of a state's versions in the order of the visits' ids, those after a visit; all of a visit's together.
pub async fn version_names(
    tx: &mut Tx,
    state_id: UnitId,
    after: Option<Uuid>,
    visits: i64,
) -> QueryResult<Vec<VersionName>> {
    statement(
        "WITH page AS MATERIALIZED (
             SELECT v.state_id, v.id, v.version, v.salts IS NOT NULL AS salted FROM visits v
             WHERE v.state_id = $1 AND ($2::uuid IS NULL OR v.id > $3) ORDER BY v.id LIMIT $4
         )
         SELECT id, version, salted FROM page
         UNION ALL
         SELECT k.visit_id, k.version, k.content ->> 'salts' IS NOT NULL FROM page
         JOIN visit_versions k ON k.state_id = page.state_id AND k.visit_id = page.id
         ORDER BY id, version",
    )
    .bind::<Integer, _>(state_id)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<Nullable<SqlUuid>, _>(after)
    .bind::<BigInt, _>(visits)
    .load(tx)
    .await
}
