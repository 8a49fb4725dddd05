//! Holding the rows that the journal seals against the versions that were kept of them. The lists of columns are those of
//! the migration that keeps them.

use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

use crate::platform::db::Tx;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;
use crate::row_digest;

/// The digest of the versions that are kept under an entry's leaf.
#[derive(Clone, Debug, QueryableByName)]
pub struct WriteRow {
    #[diesel(sql_type = Binary)]
    pub leaf: Vec<u8>,
    #[diesel(sql_type = Binary)]
    pub digest: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    pub versions: i64,
}

/// What was written under these leaves.
pub async fn writes_of(tx: &mut Tx, leaves: &[&[u8]]) -> QueryResult<Vec<WriteRow>> {
    statement(concat!(
        "SELECT w.leaf, ",
        row_digest!(),
        " AS digest, count(*) AS versions
         FROM row_writes w JOIN row_versions v ON v.write_id = w.write_id
         WHERE w.leaf = ANY ($1) GROUP BY w.leaf, w.write_id"
    ))
    .bind::<Array<Binary>, _>(leaves)
    .load(tx)
    .await
}

/// A row that does not fit, or a version of one.
#[derive(Clone, Debug, QueryableByName)]
pub struct MisfitRow {
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = Text)]
    pub id: String,
    #[diesel(sql_type = Text)]
    pub what: String,
    /// The entry that wrote it last, if there is one.
    #[diesel(sql_type = Nullable<Integer>)]
    pub state_id: Option<UnitId>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub number: Option<i64>,
}

macro_rules! stored {
    ($kind:literal, $table:literal, $key:literal, $columns:literal) => {
        concat!(
            "SELECT '",
            $kind,
            "' AS kind, ",
            $key,
            " AS id, sha256(convert_to(jsonb_build_array(",
            $columns,
            ")::text, 'UTF8')) AS hash FROM ",
            $table,
            " c"
        )
    };
}

const MISFITS: &str = concat!(
    "WITH stored AS (",
    stored!("unit", "units", "c.id::text",
        "c.id, c.code, c.level, c.name, c.name_local, c.state_id, c.electors, c.doors, c.lat, c.lon, c.version, c.created_at, c.updated_at"),
    " UNION ALL ",
    stored!("placement", "placements", "c.unit_id || '/' || c.tree || '/' || c.valid_from",
        "c.unit_id, c.tree, c.parent_id, c.valid_from, c.valid_to"),
    " UNION ALL ",
    stored!("grant", "grants", "c.id::text",
        "c.id, c.worker_id, c.role, c.unit_id, c.valid_from, c.valid_to, c.given_by, c.created_at, c.ended_at, c.ended_by, c.post"),
    " UNION ALL ",
    stored!("campaign", "campaigns", "c.id::text",
        "c.id, c.unit_id, c.name, c.starts_on, c.ends_on, c.collect_support, c.issues, c.targets, c.question_version, c.version, c.created_by, c.created_at, c.updated_at, c.retention_days, c.bounds"),
    " UNION ALL ",
    stored!("questions", "campaign_questions", "c.campaign_id || '/' || c.version",
        "c.campaign_id, c.version, c.questions, c.created_at"),
    " UNION ALL ",
    stored!("household", "households", "c.state_id || '/' || c.id",
        "c.id, c.state_id, c.booth_id, c.label, c.electors, c.lat, c.lon, c.version, c.created_by, c.created_at, c.updated_at"),
    " UNION ALL ",
    stored!("sign_off", "sign_offs", "c.id::text",
        "c.id, c.state_id, c.mandal_id, c.week_start, c.signed_by, c.signed_at, c.reopened_by, c.reopened_at, c.reopen_reason"),
    " UNION ALL ",
    stored!("draw", "draws", "c.id::text",
        "c.id, c.state_id, c.unit_id, c.campaign_id, c.from_on, c.to_on, c.outcomes, c.strata, c.acceptable, c.unacceptable, c.producer_risk, c.consumer_risk, c.planned_size, c.planned_decision, c.size, c.decision_number, c.unconfirmed, c.compare, c.frame_size, c.frame_digest, c.requested_by, c.requested_at, c.entry_number, c.head_size, c.seed, c.drawn_at, c.closed_by, c.closed_at, c.close_reason, c.verdict, c.final_decision, c.final_matched, c.final_mismatched, c.final_unconfirmed, c.final_unfinished"),
    " UNION ALL ",
    stored!("draw_booth", "draw_booths", "c.draw_id || '/' || c.booth_id || '/' || c.lineage_from",
        "c.draw_id, c.booth_id, c.lineage_from, c.unit_ids, c.visits"),
    " UNION ALL ",
    stored!("draw_item", "draw_items", "c.draw_id || '/' || c.number",
        "c.draw_id, c.number, c.place, c.unit_ids, c.verifier_id, c.verifier_ids, c.assigned_by, c.assigned_at"),
    " UNION ALL ",
    stored!("task", "tasks", "c.id::text",
        "c.id, c.state_id, c.unit_id, c.level, c.target_set_id, c.seats, c.title, c.instructions, c.evidence, c.set_on, c.due_on, c.part_of, c.owner_id, c.version, c.created_by, c.created_at, c.changed_by, c.changed_at, c.change_reason, c.cancelled_at"),
    " UNION ALL ",
    stored!("task_version", "task_versions", "c.task_id || '/' || c.version",
        "c.task_id, c.version, c.title, c.instructions, c.due_on, c.changed_by, c.changed_at, c.change_reason"),
    " UNION ALL ",
    stored!("task_report", "task_reports", "c.state_id || '/' || c.id",
        "c.state_id, c.id, c.task_id, c.unit_id, c.worker_id, c.reported_at, c.received_at, c.counted_at, c.status, c.progress, c.count, c.note, c.photo, c.sent_digest"),
    " UNION ALL ",
    stored!("task_unit", "task_units", "c.state_id || '/' || c.unit_id || '/' || c.task_id",
        "c.state_id, c.unit_id, c.task_id, c.status, c.report_id, c.reported_by, c.counted_at, c.progress, c.reason, c.judged_by, c.judged_at"),
    " UNION ALL ",
    stored!("task_verdict", "task_verdicts", "c.id::text",
        "c.id, c.state_id, c.task_id, c.unit_id, c.report_id, c.verdict, c.reason, c.judged_by, c.judged_at"),
    " UNION ALL ",
    stored!("committee_rule", "committee_rules", "c.unit_id || '/' || c.campaign_id || '/' || c.version",
        "c.unit_id, c.campaign_id, c.version, c.posts, c.reason, c.made_by, c.made_at"),
    " UNION ALL ",
    stored!("post_confirmation", "post_confirmations", "c.grant_id::text",
        "c.grant_id, c.confirmed_at"),
    " UNION ALL ",
    stored!("visit_export", "visit_exports", "c.id::text",
        "c.id, c.state_id, c.unit_ids, c.filter, c.exported_by, c.started_at, c.ended_at, c.visits"),
    "), newest AS (
         SELECT DISTINCT ON (kind, id) kind, id, version, hash, write_id FROM row_versions ORDER BY kind, id, version DESC
     ), misfits AS MATERIALIZED (
         SELECT coalesce(s.kind, n.kind) AS kind, coalesce(s.id, n.id) AS id, n.write_id,
                CASE WHEN n.version IS NULL THEN 'is there, but no entry made it' WHEN s.id IS NULL THEN 'is gone'
                     WHEN n.hash IS NULL THEN 'is there, but was deleted' ELSE 'is not what was written' END AS what
         FROM stored s FULL JOIN newest n ON n.kind = s.kind AND n.id = s.id
         WHERE s.hash IS DISTINCT FROM n.hash ORDER BY 1, 2 LIMIT $1
     )
     SELECT m.kind, m.id, m.what, j.state_id, j.number
     FROM misfits m LEFT JOIN row_writes w ON w.write_id = m.write_id LEFT JOIN journal j ON j.leaf_hash = w.leaf
     ORDER BY m.kind, m.id"
);

/// Rows that are not what was last written of them, the first few.
pub async fn misfits(tx: &mut Tx, most: i64) -> QueryResult<Vec<MisfitRow>> {
    statement(MISFITS).bind::<BigInt, _>(most).load(tx).await
}

// Version 0 is what was there before; from 1 on each was made by a write of which an entry tells, without a hole.
/// Versions that no entry tells of, or that are missing between others, the first few.
pub async fn strangers(tx: &mut Tx, most: i64) -> QueryResult<Vec<MisfitRow>> {
    statement(
        "WITH told AS MATERIALIZED (
             SELECT w.write_id FROM row_writes w JOIN (
                 SELECT leaf_hash FROM journal UNION ALL SELECT leaf_hash FROM journal_inbox
             ) e ON e.leaf_hash = w.leaf
         )
         (SELECT v.kind, v.id, 'has a version ' || v.version || ' that no entry made' AS what,
                 NULL::int AS state_id, NULL::bigint AS number
          FROM row_versions v LEFT JOIN told t ON t.write_id = v.write_id
          WHERE CASE WHEN v.version = 0 THEN v.write_id <> '00000000-0000-0000-0000-000000000000'
                     ELSE t.write_id IS NULL END
          ORDER BY v.kind, v.id LIMIT $1)
         UNION ALL
         (SELECT v.kind, v.id, 'lacks one of its versions', NULL, NULL
          FROM row_versions v GROUP BY v.kind, v.id
          HAVING min(v.version) > 1 OR max(v.version) - min(v.version) + 1 <> count(*)
          ORDER BY v.kind, v.id LIMIT $2)",
    )
    .bind::<BigInt, _>(most)
    .bind::<BigInt, _>(most)
    .load(tx)
    .await
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Rows that were there before versions were kept, and have not been written since.
pub async fn older_rows(tx: &mut Tx) -> QueryResult<i64> {
    let row: CountRow = statement(
        "SELECT count(*) AS n FROM row_versions v WHERE v.version = 0
         AND NOT EXISTS (SELECT 1 FROM row_versions n WHERE n.kind = v.kind AND n.id = v.id AND n.version > 0)",
    )
    .get_result(tx)
    .await?;
    Ok(row.n)
}
