use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use super::wire::{CampaignView, FlagBounds, Issue, NewCampaign, Question};
use crate::access::actions::{CampaignRead, CampaignWrite};
use crate::access::{Permit, Scope};
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, UnitId};
use crate::platform::statement::statement;
use crate::platform::stored::Stored;

#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct CampaignRow {
    #[diesel(sql_type = Integer)]
    pub id: CampaignId,
    #[diesel(sql_type = Integer)]
    pub unit_id: UnitId,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Date)]
    pub starts_on: NaiveDate,
    #[diesel(sql_type = Nullable<Date>)]
    pub ends_on: Option<NaiveDate>,
    #[diesel(sql_type = Bool)]
    pub collect_support: bool,
    #[diesel(sql_type = Integer)]
    pub retention_days: i32,
    #[diesel(sql_type = Jsonb)]
    pub issues: Stored<Vec<Issue>>,
    #[diesel(sql_type = Jsonb)]
    pub targets: Stored<BTreeMap<String, i64>>,
    #[diesel(sql_type = Jsonb)]
    pub bounds: Stored<FlagBounds>,
    #[diesel(sql_type = Integer)]
    pub question_version: i32,
    #[diesel(sql_type = Jsonb)]
    pub questions: Stored<Vec<Question>>,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}

/// What visits are checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignFacts {
    pub id: CampaignId,
    /// Counts the changes; see [`versions`].
    pub version: i32,
    /// It runs in this unit and all below it.
    pub unit_id: UnitId,
    pub starts_on: NaiveDate,
    /// Last day; `None`: open.
    pub ends_on: Option<NaiveDate>,
    pub collect_support: bool,
    /// After so many days what visits tell, and contacts, go.
    pub retention_days: i32,
    pub issue_codes: BTreeSet<String>,
    /// The version of the questions that is asked now.
    pub question_version: i32,
    /// Every version of the questions.
    pub questions: BTreeMap<i32, Vec<Question>>,
    /// Past which visits are flagged.
    pub bounds: FlagBounds,
}

#[derive(diesel::QueryableByName)]
struct FactsRow {
    #[diesel(sql_type = Integer)]
    id: CampaignId,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Integer)]
    unit_id: UnitId,
    #[diesel(sql_type = Date)]
    starts_on: NaiveDate,
    #[diesel(sql_type = Nullable<Date>)]
    ends_on: Option<NaiveDate>,
    #[diesel(sql_type = Bool)]
    collect_support: bool,
    #[diesel(sql_type = Integer)]
    retention_days: i32,
    #[diesel(sql_type = Jsonb)]
    issues: Stored<Vec<Issue>>,
    #[diesel(sql_type = Integer)]
    question_version: i32,
    #[diesel(sql_type = Jsonb)]
    questions: Stored<BTreeMap<i32, Vec<Question>>>,
    #[diesel(sql_type = Jsonb)]
    bounds: Stored<FlagBounds>,
}

/// The facts of these campaigns, for the program's own checks; those that do not exist are left out. Proves nothing
/// about the caller: whoever uses it decides by the booth whether he may record there.
///
/// # Errors
/// What the database says.
pub async fn load_facts(tx: &mut Tx, ids: &[CampaignId]) -> QueryResult<Vec<CampaignFacts>> {
    let rows: Vec<FactsRow> = statement(
        "SELECT c.id, c.version, c.unit_id, c.starts_on, c.ends_on, c.collect_support, c.retention_days, c.issues,
                c.question_version, c.bounds,
                coalesce((SELECT jsonb_object_agg(q.version, q.questions) FROM campaign_questions q
                          WHERE q.campaign_id = c.id), '{}') AS questions
         FROM campaigns c WHERE c.id = ANY ($1) ORDER BY c.id",
    )
    .bind::<Array<Integer>, _>(ids)
    .load(tx)
    .await?;
    let facts = rows.into_iter().map(|row| CampaignFacts {
        id: row.id,
        version: row.version,
        unit_id: row.unit_id,
        starts_on: row.starts_on,
        ends_on: row.ends_on,
        collect_support: row.collect_support,
        retention_days: row.retention_days,
        issue_codes: row.issues.0.into_iter().map(|issue| issue.code).collect(),
        question_version: row.question_version,
        questions: row.questions.0,
        bounds: row.bounds.0,
    });
    Ok(facts.collect())
}

#[derive(diesel::QueryableByName)]
struct VersionRow {
    #[diesel(sql_type = Integer)]
    id: CampaignId,
    #[diesel(sql_type = Integer)]
    version: i32,
}

/// The current versions of these campaigns: whether remembered [`CampaignFacts`] still stand.
///
/// # Errors
/// What the database says.
pub async fn versions(tx: &mut Tx, ids: &[CampaignId]) -> QueryResult<Vec<(CampaignId, i32)>> {
    let rows: Vec<VersionRow> = statement("SELECT id, version FROM campaigns WHERE id = ANY ($1)")
        .bind::<Array<Integer>, _>(ids)
        .load(tx)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.version)).collect())
}

/// The ids and versions of the campaigns of these units that end no sooner than a day, by id. Proves nothing about the
/// caller: whoever uses it has found these units above booths of his.
///
/// # Errors
/// What the database says.
pub async fn versions_at(
    tx: &mut Tx,
    units: &[UnitId],
    until: NaiveDate,
) -> QueryResult<Vec<(CampaignId, i32)>> {
    let rows: Vec<VersionRow> = statement(
        "SELECT id, version FROM campaigns WHERE unit_id = ANY ($1) AND (ends_on IS NULL OR ends_on >= $2) ORDER BY id",
    )
    .bind::<Array<Integer>, _>(units)
    .bind::<Date, _>(until)
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.version)).collect())
}

/// These campaigns with their current questions, by id. Ids that [`versions_at`] found.
///
/// # Errors
/// What the database says.
pub async fn list_current(tx: &mut Tx, ids: &[CampaignId]) -> QueryResult<Vec<CampaignView>> {
    let rows: Vec<CampaignRow> = statement(
        "SELECT c.*, q.questions FROM campaigns c
         JOIN campaign_questions q ON q.campaign_id = c.id AND q.version = c.question_version
         WHERE c.id = ANY ($1) ORDER BY c.id",
    )
    .bind::<Array<Integer>, _>(ids)
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(CampaignView::from).collect())
}

// Seen by whoever reads at a unit that shares a booth with the campaign's. Straight above or below shows in one
// lineage; across (a mandal and a constituency, say) takes a booth that lies under both, and is looked for only
// between the levels where it can be, since a state has a hundred thousand booths.
macro_rules! select_visible {
    ($rest:literal) => {
        concat!(
            "WITH asked AS MATERIALIZED (SELECT $1::int[] AS roots, $2::date AS today),
             above AS MATERIALIZED (
                 SELECT unnest(l.unit_ids) AS id FROM asked a JOIN lineages l ON l.unit_id = ANY (a.roots)
                     AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)),
             sides AS MATERIALIZED (
                 SELECT array(SELECT u.id FROM units u WHERE u.id = ANY (a.roots)
                              AND u.level IN ('district', 'mandal', 'shakti_kendra')) AS organisation,
                        array(SELECT u.id FROM units u WHERE u.id = ANY (a.roots)
                              AND u.level IN ('parliamentary_constituency', 'assembly_constituency')) AS electorate
                 FROM asked a)
             SELECT c.*, q.questions FROM campaigns c
             JOIN campaign_questions q ON q.campaign_id = c.id AND q.version = c.question_version
             WHERE (c.unit_id IN (SELECT id FROM above)
                 OR EXISTS (SELECT 1 FROM asked a JOIN lineages l ON l.unit_id = c.unit_id
                     AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today)
                     AND l.unit_ids && a.roots)
                 OR EXISTS (SELECT 1 FROM asked a, sides s, units u, lineages l
                     WHERE u.id = c.unit_id AND l.unit_ids @> ARRAY[c.unit_id]
                     AND l.unit_ids && CASE
                         WHEN u.level IN ('district', 'mandal', 'shakti_kendra') THEN s.electorate
                         WHEN u.level IN ('parliamentary_constituency', 'assembly_constituency') THEN s.organisation
                         ELSE '{}' END
                     AND l.valid_from <= a.today AND (l.valid_to IS NULL OR l.valid_to > a.today))) ",
            $rest
        )
    };
}

/// A page of the campaigns in scope, by id; one more than `limit` shows that there is a next page.
pub async fn list_campaigns(
    tx: &mut Tx,
    scope: &Scope<CampaignRead>,
    today: NaiveDate,
    on: Option<NaiveDate>,
    after: Option<CampaignId>,
    limit: i64,
) -> QueryResult<Vec<CampaignRow>> {
    statement(select_visible!(
        "AND ($3::date IS NULL OR c.starts_on <= $4) AND (c.ends_on IS NULL OR $5::date IS NULL OR c.ends_on >= $6)
         AND c.id > $7 ORDER BY c.id LIMIT $8"
    ))
    .bind::<Array<Integer>, _>(scope.roots())
    .bind::<Date, _>(today)
    .bind::<Nullable<Date>, _>(on)
    .bind::<Nullable<Date>, _>(on)
    .bind::<Nullable<Date>, _>(on)
    .bind::<Nullable<Date>, _>(on)
    .bind::<Integer, _>(after.unwrap_or(CampaignId(0)))
    .bind::<BigInt, _>(limit.saturating_add(1))
    .load(tx)
    .await
}

/// The campaign, if it is in scope.
pub async fn find_campaign(
    tx: &mut Tx,
    scope: &Scope<CampaignRead>,
    today: NaiveDate,
    id: CampaignId,
) -> QueryResult<Option<CampaignRow>> {
    statement(select_visible!("AND c.id = $3"))
        .bind::<Array<Integer>, _>(scope.roots())
        .bind::<Date, _>(today)
        .bind::<Integer, _>(id)
        .get_result(tx)
        .await
        .optional()
}

/// Those of these campaigns that are in scope.
pub async fn find_campaigns(
    tx: &mut Tx,
    scope: &Scope<CampaignRead>,
    today: NaiveDate,
    ids: &[CampaignId],
) -> QueryResult<Vec<CampaignRow>> {
    statement(select_visible!("AND c.id = ANY ($3) ORDER BY c.id"))
        .bind::<Array<Integer>, _>(scope.roots())
        .bind::<Date, _>(today)
        .bind::<Array<Integer>, _>(ids)
        .load(tx)
        .await
}

/// Holds the campaign for a change, so that two changes wait for each other. Tells nothing about it.
pub async fn lock_campaign(tx: &mut Tx, id: CampaignId) -> QueryResult<()> {
    statement("SELECT id FROM campaigns WHERE id = $1 FOR UPDATE")
        .bind::<Integer, _>(id)
        .execute(tx)
        .await
        .map(|_| ())
}

#[derive(diesel::QueryableByName)]
struct QuestionsRow {
    #[diesel(sql_type = Jsonb)]
    questions: Stored<Vec<Question>>,
}

/// The questions of a campaign in one of their versions. The campaign is one that was found in scope.
pub async fn find_questions(
    tx: &mut Tx,
    campaign: &CampaignRow,
    version: i32,
) -> QueryResult<Option<Vec<Question>>> {
    let row: Option<QuestionsRow> =
        statement("SELECT questions FROM campaign_questions WHERE campaign_id = $1 AND version = $2")
            .bind::<Integer, _>(campaign.id)
            .bind::<Integer, _>(version)
            .get_result(tx)
            .await
            .optional()?;
    Ok(row.map(|row| row.questions.0))
}

/// Stores a new campaign with its first questions.
pub async fn insert_campaign(
    tx: &mut Tx,
    permit: &Permit<CampaignWrite>,
    new: &NewCampaign,
) -> QueryResult<CampaignRow> {
    let at = permit.actor().at;
    statement(
        "WITH c AS (
             INSERT INTO campaigns (unit_id, name, starts_on, ends_on, collect_support, retention_days, issues, targets,
                                    bounds, created_by, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING *
         ), q AS (
             INSERT INTO campaign_questions (campaign_id, version, questions, created_at)
             SELECT c.id, c.question_version, $13, c.created_at FROM c RETURNING questions
         )
         SELECT c.*, q.questions FROM c, q",
    )
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Text, _>(&new.name)
    .bind::<Date, _>(new.starts_on)
    .bind::<Nullable<Date>, _>(new.ends_on)
    .bind::<Bool, _>(new.collect_support)
    .bind::<Integer, _>(new.retention_days)
    .bind::<Jsonb, _>(json(&new.issues)?)
    .bind::<Jsonb, _>(json(&new.targets)?)
    .bind::<Jsonb, _>(json(&new.bounds)?)
    .bind::<Nullable<Integer>, _>(permit.actor().worker_id)
    .bind::<Timestamptz, _>(at)
    .bind::<Timestamptz, _>(at)
    .bind::<Jsonb, _>(json(&new.questions)?)
    .get_result(tx)
    .await
}

/// Stores a changed campaign under the versions that it names; questions of a version that is new are added, those of
/// an old one never touched.
pub async fn update_campaign(
    tx: &mut Tx,
    permit: &Permit<CampaignWrite>,
    changed: &CampaignView,
) -> QueryResult<CampaignRow> {
    let at = permit.actor().at;
    statement(
        "INSERT INTO campaign_questions (campaign_id, version, questions, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (campaign_id, version) DO NOTHING",
    )
    .bind::<Integer, _>(changed.id)
    .bind::<Integer, _>(changed.question_version)
    .bind::<Jsonb, _>(json(&changed.questions)?)
    .bind::<Timestamptz, _>(at)
    .execute(tx)
    .await?;
    statement(
        "UPDATE campaigns c SET name = $1, starts_on = $2, ends_on = $3, collect_support = $4, retention_days = $5,
             issues = $6, targets = $7, bounds = $8, question_version = $9, version = $10, updated_at = $11
         FROM campaign_questions q
         WHERE c.id = $12 AND c.unit_id = $13 AND q.campaign_id = c.id AND q.version = $14
         RETURNING c.*, q.questions",
    )
    .bind::<Text, _>(&changed.name)
    .bind::<Date, _>(changed.starts_on)
    .bind::<Nullable<Date>, _>(changed.ends_on)
    .bind::<Bool, _>(changed.collect_support)
    .bind::<Integer, _>(changed.retention_days)
    .bind::<Jsonb, _>(json(&changed.issues)?)
    .bind::<Jsonb, _>(json(&changed.targets)?)
    .bind::<Jsonb, _>(json(&changed.bounds)?)
    .bind::<Integer, _>(changed.question_version)
    .bind::<Integer, _>(changed.version)
    .bind::<Timestamptz, _>(at)
    .bind::<Integer, _>(changed.id)
    .bind::<Integer, _>(permit.unit_id())
    .bind::<Integer, _>(changed.question_version)
    .get_result(tx)
    .await
}

fn json<T: serde::Serialize>(value: &T) -> QueryResult<Value> {
    serde_json::to_value(value).map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))
}
