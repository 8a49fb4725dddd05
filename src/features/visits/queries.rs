//! Every statement about visits. Rows of other people are read with a `Scope` or a `Permit`; the recorder's rows
//! carry the permit's place in themselves.

pub mod answers;
pub mod changes;
pub mod exports;
mod trails;
pub mod versions;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Date, Double, Float, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz,
    Uuid as SqlUuid,
};
use diesel::{OptionalExtension, QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use serde_json::Value;

pub use answers::{AnswerRow, FlagAnswer, add_answer, answers_of, erase_texts};
pub use trails::{
    DoorAsk, DoorstepRow, TrailKey, TrailRow, booth_location, doorsteps, hold_trails, set_flags, trails,
};

use answers::{SealedAnswers, open_answers};

use super::wire::VisitFilter;
use crate::access::policy::Permit;
use crate::platform::data_keys::{DataKeys, Place};
use crate::platform::db::Tx;
use crate::platform::ids::{CampaignId, DeviceId, HouseholdId, UnitId, VisitId, WorkerId};
use crate::platform::statement::statement;
use crate::platform::stored::Stored;

pub mod retention;
pub mod sealing;

// `late` asks whether the week of its day was signed, when the visit came, for a mandal in which its booth lay on that
// day. It is looked up by key, and only for rows that are read.
/// Whether the visit `v` came when its week was signed.
macro_rules! visit_late {
    () => {
        "EXISTS (
             SELECT 1 FROM lineages vl JOIN sign_offs vs ON vs.mandal_id = ANY (vl.unit_ids)
             WHERE vl.unit_id = v.booth_id AND vl.valid_from <= v.visited_on
               AND (vl.valid_to IS NULL OR vl.valid_to > v.visited_on)
               AND vs.week_start = v.visited_on - (extract(isodow FROM v.visited_on)::integer - 1)
               AND vs.signed_at < v.received_at
               AND (vs.reopened_at IS NULL OR vs.reopened_at > v.received_at))"
    };
}
pub(crate) use visit_late;

/// What every statement that reads visits as `v` selects for [`SealedRow`].
macro_rules! visit_columns {
    () => {
        concat!(
            "v.*, NULL::text AS note, NULL::jsonb AS flag_answers, ",
            $crate::features::visits::flag_answers!(),
            ", ",
            $crate::features::visits::visit_late!(),
            " AS late"
        )
    };
}
pub(crate) use answers::flag_answers;
pub(crate) use visit_columns;

/// What the others select beside the columns: they do not look for answers to flags, nor whether it was late.
macro_rules! bare_columns {
    () => {
        "NULL::text AS note, NULL::jsonb AS flag_answers, NULL::jsonb AS flag_answers_sealed, NULL::boolean AS late"
    };
}
use bare_columns;

/// A row of `visits`.
#[derive(Clone, Debug, QueryableByName)]
pub struct VisitRow {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    pub id: VisitId,
    #[diesel(sql_type = Integer)]
    pub booth_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub campaign_id: CampaignId,
    #[diesel(sql_type = Integer)]
    pub worker_id: WorkerId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub device_id: Option<DeviceId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub household_id: Option<HouseholdId>,
    #[diesel(sql_type = Timestamptz)]
    pub visited_at: DateTime<Utc>,
    #[diesel(sql_type = Date)]
    pub visited_on: NaiveDate,
    #[diesel(sql_type = Timestamptz)]
    pub received_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub outcome: String,
    #[diesel(sql_type = Text)]
    pub channel: String,
    #[diesel(sql_type = Integer)]
    pub people_met: i32,
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub support: Option<i16>,
    #[diesel(sql_type = Jsonb)]
    pub issues: Value,
    #[diesel(sql_type = Jsonb)]
    pub answers: Value,
    #[diesel(sql_type = Integer)]
    pub question_version: i32,
    #[diesel(sql_type = Nullable<Text>)]
    pub note: Option<String>,
    #[diesel(sql_type = Nullable<Double>)]
    pub lat: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub lon: Option<f64>,
    #[diesel(sql_type = Nullable<Float>)]
    pub accuracy_m: Option<f32>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub mock: Option<bool>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub duration_s: Option<i32>,
    #[diesel(sql_type = Jsonb)]
    pub flags: Value,
    #[diesel(sql_type = Text)]
    pub review: String,
    #[diesel(sql_type = Integer)]
    pub version: i32,
    #[diesel(sql_type = Binary)]
    pub sent_digest: Vec<u8>,
    #[diesel(sql_type = Integer)]
    pub changed_by: WorkerId,
    #[diesel(sql_type = Timestamptz)]
    pub changed_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub voided_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub void_reason: Option<String>,
    /// What the version's commitment is salted with; see `commitment`.
    #[diesel(sql_type = Nullable<Binary>)]
    pub salts: Option<Vec<u8>>,
    /// Whether it came when its week was signed; `None` in the answer to its recording, which does not look.
    #[diesel(sql_type = Nullable<Bool>)]
    pub late: Option<bool>,
    /// What the author says to its flags; `None` where it was not looked for, as in the answer to its recording.
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub flag_answers: Option<Stored<Vec<FlagAnswer>>>,
}

/// A row of `visits` as it lies there: its note is sealed, and so are the answers to its flags. Statements that read one select
/// `visit_columns`; [`open_note`] fills the note.
#[derive(Debug, QueryableByName)]
pub struct SealedRow {
    #[diesel(embed)]
    visit: VisitRow,
    #[diesel(sql_type = Nullable<Binary>)]
    note_sealed: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    flag_answers_sealed: SealedAnswers,
}

/// Where a visit's note is sealed, in each of its versions.
fn note_place(key: VisitKey) -> Place {
    Place::new("visits", "note_sealed", format!("{}/{}", key.0, key.1))
}

fn seal_note(keys: &DataKeys, row: &VisitRow) -> QueryResult<Option<Vec<u8>>> {
    Ok(keys.seal_text(&note_place((row.state_id, row.id)), row.note.as_deref())?)
}

/// A visit with its note opened, and the answers to its flags.
///
/// # Errors
/// If one cannot be opened.
pub fn open_note(keys: &DataKeys, sealed: SealedRow) -> QueryResult<VisitRow> {
    let mut row = sealed.visit;
    let place = note_place((row.state_id, row.id));
    row.note = keys.open_text(&place, sealed.note_sealed.as_deref())?;
    let answers = open_answers(keys, (row.state_id, row.id), sealed.flag_answers_sealed)?;
    row.flag_answers = Some(Stored(answers));
    Ok(row)
}

fn open_all(keys: &DataKeys, rows: Vec<SealedRow>) -> QueryResult<Vec<VisitRow>> {
    rows.into_iter().map(|row| open_note(keys, row)).collect()
}

/// A visit's name in the database: its id is unique within its state.
pub type VisitKey = (UnitId, VisitId);

#[derive(QueryableByName)]
struct KeyRow {
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    id: VisitId,
}

/// Where a booth lies for ever.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct BoothRow {
    #[diesel(sql_type = Integer)]
    pub id: UnitId,
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = Integer)]
    pub nation_id: UnitId,
}

/// The states of these units, if they are booths.
pub async fn booths(tx: &mut Tx, ids: &[UnitId]) -> QueryResult<Vec<BoothRow>> {
    statement(
        "SELECT b.id, b.state_id, n.id AS nation_id FROM units b, units n
         WHERE b.id = ANY ($1) AND b.level = 'booth' AND n.level = 'nation'",
    )
    .bind::<Array<Integer>, _>(ids)
    .load(tx)
    .await
}

// Rows are inserted in the order of their keys, so that two recorders that are sent the same visits wait for each other
// instead of deadlocking.
const INSERT: &str = "
    INSERT INTO visits (state_id, id, booth_id, campaign_id, worker_id, device_id, household_id, visited_at, visited_on,
                        received_at, outcome, channel, people_met, support, issues, answers, question_version, note_sealed, lat,
                        lon, accuracy_m, mock, duration_s, flags, sent_digest, salts, changed_by, changed_at)
    SELECT state_id, id, booth_id, campaign_id, worker_id, device_id, household_id, visited_at, visited_on,
           received_at, outcome, channel, people_met, support, issues, answers, question_version, note_sealed, lat,
           lon, accuracy_m, mock, duration_s, flags, sent_digest, salts, worker_id, received_at
    FROM unnest($1::int[], $2::uuid[], $3::int[], $4::int[], $5::int[], $6::uuid[], $7::uuid[], $8::timestamptz[],
                $9::date[], $10::timestamptz[], $11::text[], $12::text[], $13::int[], $14::smallint[], $15::jsonb[],
                $16::jsonb[], $17::int[], $18::bytea[], $19::float8[], $20::float8[], $21::real[], $22::bool[], $23::int[],
                $24::jsonb[], $25::bytea[], $26::bytea[])
         AS t (state_id, id, booth_id, campaign_id, worker_id, device_id, household_id, visited_at, visited_on,
               received_at, outcome, channel, people_met, support, issues, answers, question_version, note_sealed, lat,
               lon, accuracy_m, mock, duration_s, flags, sent_digest, salts)
    ORDER BY state_id, id
    ON CONFLICT (state_id, id) DO NOTHING
    RETURNING state_id, id";

/// Stores the visits whose ids are free; returns which those were.
pub async fn insert_visits(tx: &mut Tx, keys: &DataKeys, rows: &[&VisitRow]) -> QueryResult<Vec<VisitKey>> {
    let notes = rows
        .iter()
        .map(|row| seal_note(keys, row))
        .collect::<QueryResult<Vec<_>>>()?;
    macro_rules! column {
        ($field:ident) => {
            rows.iter().map(|row| &row.$field).collect::<Vec<_>>()
        };
    }
    let stored: Vec<KeyRow> = statement(INSERT)
        .bind::<Array<Integer>, _>(column!(state_id))
        .bind::<Array<SqlUuid>, _>(column!(id))
        .bind::<Array<Integer>, _>(column!(booth_id))
        .bind::<Array<Integer>, _>(column!(campaign_id))
        .bind::<Array<Integer>, _>(column!(worker_id))
        .bind::<Array<Nullable<SqlUuid>>, _>(column!(device_id))
        .bind::<Array<Nullable<SqlUuid>>, _>(column!(household_id))
        .bind::<Array<Timestamptz>, _>(column!(visited_at))
        .bind::<Array<Date>, _>(column!(visited_on))
        .bind::<Array<Timestamptz>, _>(column!(received_at))
        .bind::<Array<Text>, _>(column!(outcome))
        .bind::<Array<Text>, _>(column!(channel))
        .bind::<Array<Integer>, _>(column!(people_met))
        .bind::<Array<Nullable<SmallInt>>, _>(column!(support))
        .bind::<Array<Jsonb>, _>(column!(issues))
        .bind::<Array<Jsonb>, _>(column!(answers))
        .bind::<Array<Integer>, _>(column!(question_version))
        .bind::<Array<Nullable<Binary>>, _>(notes)
        .bind::<Array<Nullable<Double>>, _>(column!(lat))
        .bind::<Array<Nullable<Double>>, _>(column!(lon))
        .bind::<Array<Nullable<Float>>, _>(column!(accuracy_m))
        .bind::<Array<Nullable<Bool>>, _>(column!(mock))
        .bind::<Array<Nullable<Integer>>, _>(column!(duration_s))
        .bind::<Array<Jsonb>, _>(column!(flags))
        .bind::<Array<Binary>, _>(column!(sent_digest))
        .bind::<Array<Nullable<Binary>>, _>(column!(salts))
        .load(tx)
        .await?;
    Ok(stored.into_iter().map(|row| (row.state_id, row.id)).collect())
}

/// The stored visits of these names, for the program's own comparison; what of them is shown is the caller's affair.
pub async fn find_visits(tx: &mut Tx, keys: &DataKeys, names: &[VisitKey]) -> QueryResult<Vec<VisitRow>> {
    let rows = statement(concat!(
        "SELECT ",
        visit_columns!(),
        " FROM unnest($1::int[], $2::uuid[]) AS k (state_id, id)
         JOIN visits v ON v.state_id = k.state_id AND v.id = k.id"
    ))
    .bind::<Array<Integer>, _>(names.iter().map(|name| name.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(names.iter().map(|name| name.1).collect::<Vec<_>>())
    .load(tx)
    .await?;
    open_all(keys, rows)
}

/// Whose visits are looked for.
#[derive(Clone, Debug)]
pub struct Visible {
    /// Everything under these units today, by leave of `visit.read` or `visit.export`.
    pub roots: Vec<UnitId>,
    /// What this worker made himself.
    pub own: Option<WorkerId>,
    pub today: NaiveDate,
}

/// Booths up to which a list looks by booth rather than by day.
const FEW_BOOTHS: i64 = 2_000;

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
}

/// The booths under these units today, if they are few.
pub async fn few_booths(tx: &mut Tx, roots: &[UnitId], today: NaiveDate) -> QueryResult<Option<Vec<UnitId>>> {
    few_booths_of(tx, roots, None, today).await
}

/// The booths under these units and, if it is given, under that one too, if they are few.
async fn few_booths_of(
    tx: &mut Tx,
    roots: &[UnitId],
    under: Option<UnitId>,
    today: NaiveDate,
) -> QueryResult<Option<Vec<UnitId>>> {
    let rows: Vec<IdRow> = statement(
        "WITH f AS NOT MATERIALIZED (SELECT $1::int[] AS roots, $2::int AS under, $3::date AS today)
         SELECT u.id FROM f, lineages l JOIN units u ON u.id = l.unit_id AND u.level = 'booth'
         WHERE l.unit_ids && f.roots AND (f.under IS NULL OR l.unit_ids @> ARRAY[f.under])
           AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today) LIMIT $4",
    )
    .bind::<Array<Integer>, _>(roots)
    .bind::<Nullable<Integer>, _>(under)
    .bind::<Date, _>(today)
    .bind::<BigInt, _>(FEW_BOOTHS + 1)
    .planned_anew()
    .load(tx)
    .await?;
    let few = i64::try_from(rows.len()).is_ok_and(|n| n <= FEW_BOOTHS);
    Ok(few.then(|| rows.into_iter().map(|row| row.id).collect()))
}

// What is not asked for is null and folds away, since the statement is planned for what is bound. So the planner sees how
// much of the table a few booths have: it looks them up by their index or, where they have most of it, walks the days as it
// does for a state's thousands, which are not listed but tested on the way. OFFSET 0 keeps the test one of a single row: it
// would otherwise read the lineages of a whole nation first, to have them at hand.
const LIST: &str = concat!(
    "WITH f AS NOT MATERIALIZED (
         SELECT $1::int[] AS booths, $2::int[] AS roots, $3::int AS own, $4::date AS today, $5::int AS under,
                $6::int AS booth_id, $7::int AS campaign_id, $8::int AS worker_id, $9::date AS first, $10::date AS last,
                $11::text AS outcome, $12::text AS review, $13::jsonb AS flag, $14::timestamptz AS received_by,
                $15::date AS after_day, $16::uuid AS after_id)
    SELECT ",
    visit_columns!(),
    " FROM f, visits v
    WHERE (v.booth_id = ANY (f.booths)
           OR (v.worker_id = f.own AND (f.under IS NULL OR EXISTS (
                  SELECT 1 FROM lineages l WHERE l.unit_id = v.booth_id AND f.under = ANY (l.unit_ids)
                    AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today) OFFSET 0)))
           OR (f.roots IS NOT NULL AND EXISTS (
                  SELECT 1 FROM lineages l WHERE l.unit_id = v.booth_id AND l.unit_ids && f.roots
                    AND (f.under IS NULL OR f.under = ANY (l.unit_ids))
                    AND l.valid_from <= f.today AND (l.valid_to IS NULL OR l.valid_to > f.today) OFFSET 0)))
      AND (f.booth_id IS NULL OR v.booth_id = f.booth_id)
      AND (f.campaign_id IS NULL OR v.campaign_id = f.campaign_id)
      AND (f.worker_id IS NULL OR v.worker_id = f.worker_id)
      AND (f.first IS NULL OR v.visited_on >= f.first)
      AND (f.last IS NULL OR v.visited_on <= f.last)
      AND (f.outcome IS NULL OR v.outcome = f.outcome)
      AND (f.review IS NULL OR v.review = f.review)
      AND (f.flag IS NULL OR (v.flags <> '[]' AND v.flags @> f.flag))
      AND (f.received_by IS NULL OR v.received_at <= f.received_by)
      AND (f.after_day IS NULL OR (v.visited_on, v.id) < (f.after_day, f.after_id))
    ORDER BY v.visited_on DESC, v.id DESC
    LIMIT $17"
);

/// Where a list goes on from: the last visit of the page before.
pub type VisitCursor = (NaiveDate, VisitId);

/// Visits, newest day first.
pub async fn list_visits(
    tx: &mut Tx,
    keys: &DataKeys,
    visible: &Visible,
    filter: &VisitFilter,
    received_by: Option<DateTime<Utc>>,
    after: Option<VisitCursor>,
    limit: i64,
) -> QueryResult<Vec<VisitRow>> {
    let booths = if visible.roots.is_empty() {
        Some(Vec::new())
    } else {
        few_booths_of(tx, &visible.roots, filter.under, visible.today).await?
    };
    let roots = booths.is_none().then_some(&visible.roots);
    let flag = filter
        .flag
        .as_ref()
        .map(|code| serde_json::json!([{ "code": code }]));
    let rows = statement(LIST)
        .bind::<Nullable<Array<Integer>>, _>(booths.as_ref())
        .bind::<Nullable<Array<Integer>>, _>(roots)
        .bind::<Nullable<Integer>, _>(visible.own)
        .bind::<Date, _>(visible.today)
        .bind::<Nullable<Integer>, _>(filter.under)
        .bind::<Nullable<Integer>, _>(filter.booth_id)
        .bind::<Nullable<Integer>, _>(filter.campaign_id)
        .bind::<Nullable<Integer>, _>(filter.worker_id)
        .bind::<Nullable<Date>, _>(filter.from)
        .bind::<Nullable<Date>, _>(filter.to)
        .bind::<Nullable<Text>, _>(filter.outcome.map(|outcome| outcome.as_str()))
        .bind::<Nullable<Text>, _>(filter.review.map(|review| review.as_str()))
        .bind::<Nullable<Jsonb>, _>(flag.as_ref())
        .bind::<Nullable<Timestamptz>, _>(received_by)
        .bind::<Nullable<Date>, _>(after.map(|(day, _)| day))
        .bind::<Nullable<SqlUuid>, _>(after.map(|(_, id)| id))
        .bind::<BigInt, _>(limit)
        .planned_anew()
        .load(tx)
        .await?;
    open_all(keys, rows)
}

/// A visit if it is to be seen.
pub async fn find_visible(
    tx: &mut Tx,
    keys: &DataKeys,
    id: VisitId,
    visible: &Visible,
) -> QueryResult<Option<VisitRow>> {
    // The id alone is not a key: two states' phones may have made the same one. The caller's own comes first.
    let row: Option<SealedRow> = statement(concat!(
        "SELECT ",
        visit_columns!(),
        " FROM units s JOIN visits v ON v.state_id = s.id AND v.id = $1
         WHERE s.level = 'state' AND (v.worker_id = $2 OR EXISTS (
             SELECT 1 FROM lineages l WHERE l.unit_id = v.booth_id AND l.unit_ids && $3::int[]
               AND l.valid_from <= $4 AND (l.valid_to IS NULL OR l.valid_to > $5)))
         ORDER BY v.worker_id = $6 DESC, v.state_id LIMIT 1"
    ))
    .bind::<SqlUuid, _>(id)
    .bind::<Nullable<Integer>, _>(visible.own)
    .bind::<Array<Integer>, _>(&visible.roots)
    .bind::<Date, _>(visible.today)
    .bind::<Date, _>(visible.today)
    .bind::<Nullable<Integer>, _>(visible.own)
    .get_result(tx)
    .await
    .optional()?;
    row.map(|row| open_note(keys, row)).transpose()
}

/// Those of these stored visits that are to be seen.
pub async fn visible_visits(
    tx: &mut Tx,
    visible: &Visible,
    mut rows: Vec<VisitRow>,
) -> QueryResult<Vec<VisitRow>> {
    let booths: Vec<UnitId> = rows.iter().map(|row| row.booth_id).collect();
    let booths = booths_under(tx, &booths, &visible.roots, visible.today).await?;
    rows.retain(|row| Some(row.worker_id) == visible.own || booths.contains(&row.booth_id));
    Ok(rows)
}

/// Those of these booths that lie under one of the units on a day.
pub async fn booths_under(
    tx: &mut Tx,
    booths: &[UnitId],
    roots: &[UnitId],
    today: NaiveDate,
) -> QueryResult<Vec<UnitId>> {
    let rows: Vec<IdRow> = statement(
        "SELECT DISTINCT l.unit_id AS id FROM lineages l WHERE l.unit_id = ANY ($1) AND l.unit_ids && $2::int[]
           AND l.valid_from <= $3 AND (l.valid_to IS NULL OR l.valid_to > $4)",
    )
    .bind::<Array<Integer>, _>(booths)
    .bind::<Array<Integer>, _>(roots)
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Locks a visit that was found before, and reads it again.
pub async fn lock_visit(tx: &mut Tx, keys: &DataKeys, key: VisitKey) -> QueryResult<VisitRow> {
    let row = statement(concat!(
        "SELECT ",
        visit_columns!(),
        " FROM visits v WHERE v.state_id = $1 AND v.id = $2 FOR UPDATE OF v"
    ))
    .bind::<Integer, _>(key.0)
    .bind::<SqlUuid, _>(key.1)
    .get_result(tx)
    .await?;
    open_note(keys, row)
}

/// Keeps the version that is about to be replaced.
pub async fn keep_version(tx: &mut Tx, key: VisitKey) -> QueryResult<()> {
    statement(
        "INSERT INTO visit_versions (state_id, visit_id, version, content, changed_by, changed_at)
         SELECT state_id, id, version, to_jsonb(v), changed_by, changed_at FROM visits v WHERE state_id = $1 AND id = $2",
    )
    .bind::<Integer, _>(key.0)
    .bind::<SqlUuid, _>(key.1)
    .execute(tx)
    .await
    .map(|_| ())
}

/// Writes a locked visit's new version over the old one, which [`keep_version`] has kept. The permit is for its booth.
pub async fn replace_visit<A>(
    tx: &mut Tx,
    keys: &DataKeys,
    _permit: &Permit<A>,
    row: &VisitRow,
) -> QueryResult<()> {
    keep_version(tx, (row.state_id, row.id)).await?;
    statement(
        "UPDATE visits SET household_id = $1, outcome = $2, channel = $3, people_met = $4, support = $5, issues = $6,
             answers = $7, question_version = $8, note_sealed = $9, lat = $10, lon = $11, accuracy_m = $12, mock = $13,
             duration_s = $14, flags = $15, review = $16, version = $17, changed_by = $18, changed_at = $19,
             voided_at = $20, void_reason = $21, salts = $22
         WHERE state_id = $23 AND id = $24",
    )
    .bind::<Nullable<SqlUuid>, _>(row.household_id)
    .bind::<Text, _>(&row.outcome)
    .bind::<Text, _>(&row.channel)
    .bind::<Integer, _>(row.people_met)
    .bind::<Nullable<SmallInt>, _>(row.support)
    .bind::<Jsonb, _>(&row.issues)
    .bind::<Jsonb, _>(&row.answers)
    .bind::<Integer, _>(row.question_version)
    .bind::<Nullable<Binary>, _>(seal_note(keys, row)?)
    .bind::<Nullable<Double>, _>(row.lat)
    .bind::<Nullable<Double>, _>(row.lon)
    .bind::<Nullable<Float>, _>(row.accuracy_m)
    .bind::<Nullable<Bool>, _>(row.mock)
    .bind::<Nullable<Integer>, _>(row.duration_s)
    .bind::<Jsonb, _>(&row.flags)
    .bind::<Text, _>(&row.review)
    .bind::<Integer, _>(row.version)
    .bind::<Integer, _>(row.changed_by)
    .bind::<Timestamptz, _>(row.changed_at)
    .bind::<Nullable<Timestamptz>, _>(row.voided_at)
    .bind::<Nullable<Text>, _>(row.void_reason.as_ref())
    .bind::<Nullable<Binary>, _>(row.salts.as_ref())
    .bind::<Integer, _>(row.state_id)
    .bind::<SqlUuid, _>(row.id)
    .execute(tx)
    .await
    .map(|_| ())
}

/// Versions of a visible visit, oldest first.
pub async fn list_versions(tx: &mut Tx, keys: &DataKeys, visit: &VisitRow) -> QueryResult<Vec<VisitRow>> {
    let rows = statement(concat!(
        "SELECT (jsonb_populate_record(NULL::visits, content)).*, ",
        bare_columns!(),
        " FROM visit_versions WHERE state_id = $1 AND visit_id = $2 ORDER BY version"
    ))
    .bind::<Integer, _>(visit.state_id)
    .bind::<SqlUuid, _>(visit.id)
    .load(tx)
    .await?;
    let mut rows = open_all(keys, rows)?;
    for row in &mut rows {
        row.late = visit.late;
    }
    rows.push(visit.clone());
    Ok(rows)
}
