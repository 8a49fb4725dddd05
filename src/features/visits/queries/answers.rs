//! What authors say to the flags of their visits. The text lies sealed, like a note.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use serde::Deserialize;

use super::VisitKey;
use super::sealing::VersionKey;
use crate::platform::data_keys::{DataKeys, Place};
use crate::platform::db::Tx;
use crate::platform::ids::{UnitId, VisitId, WorkerId};
use crate::platform::statement::statement;
use crate::platform::stored::Stored;

/// What every statement that reads visits as `v` selects for [`SealedAnswers`]: the latest answer to each flag. Nothing is
/// looked for where there is no flag.
macro_rules! flag_answers {
    () => {
        "CASE WHEN v.flags <> '[]' THEN (
             SELECT jsonb_agg(jsonb_build_object('number', a.number, 'code', a.code, 'answered_at', a.answered_at,
                        'text_sealed', translate(encode(a.text_sealed, 'base64'), E'\\n', '')))
             FROM (SELECT DISTINCT ON (fa.code) fa.* FROM flag_answers fa
                   WHERE fa.state_id = v.state_id AND fa.visit_id = v.id
                   ORDER BY fa.code, fa.number DESC) AS a) END AS flag_answers_sealed"
    };
}
pub(crate) use flag_answers;

/// The answers of a visit as `flag_answers` selects them.
pub type SealedAnswers = Option<Stored<Vec<SealedAnswer>>>;

/// The latest answer to a flag, as it is selected beside its visit.
#[derive(Clone, Debug, Deserialize)]
pub struct SealedAnswer {
    number: i32,
    code: String,
    answered_at: DateTime<Utc>,
    /// In base64; null once it was erased.
    text_sealed: Option<String>,
}

/// The same with its text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FlagAnswer {
    pub number: i32,
    pub code: String,
    pub answered_at: DateTime<Utc>,
    /// `None`: it was erased.
    pub text: Option<String>,
}

fn place(key: VisitKey, number: i32) -> Place {
    Place::new(
        "flag_answers",
        "text_sealed",
        format!("{}/{}/{number}", key.0, key.1),
    )
}

/// The answers beside a visit, opened.
///
/// # Errors
/// If one cannot be opened.
pub fn open_answers(keys: &DataKeys, key: VisitKey, sealed: SealedAnswers) -> QueryResult<Vec<FlagAnswer>> {
    let sealed = sealed.map(|sealed| sealed.0).unwrap_or_default();
    let opened = sealed.into_iter().map(|answer| {
        let bytes = answer.text_sealed.map(|text| STANDARD.decode(text));
        let bytes = bytes
            .transpose()
            .map_err(|error| diesel::result::Error::DeserializationError(error.into()))?;
        Ok(FlagAnswer {
            text: keys.open_text(&place(key, answer.number), bytes.as_deref())?,
            number: answer.number,
            code: answer.code,
            answered_at: answer.answered_at,
        })
    });
    opened.collect()
}

/// A row of `flag_answers`.
#[derive(Clone, Debug, QueryableByName)]
pub struct AnswerRow {
    #[diesel(sql_type = Integer)]
    pub state_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    pub visit_id: VisitId,
    #[diesel(sql_type = Integer)]
    pub number: i32,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub text: Option<String>,
    #[diesel(sql_type = Integer)]
    pub answered_by: WorkerId,
    #[diesel(sql_type = Timestamptz)]
    pub answered_at: DateTime<Utc>,
    #[diesel(sql_type = Binary)]
    pub salts: Vec<u8>,
}

impl AnswerRow {
    /// The visit.
    pub const fn visit(&self) -> VisitKey {
        (self.state_id, self.visit_id)
    }
}

#[derive(QueryableByName)]
struct SealedAnswerRow {
    #[diesel(embed)]
    answer: AnswerRow,
    #[diesel(sql_type = Nullable<Binary>)]
    text_sealed: Option<Vec<u8>>,
}

async fn load_answers(tx: &mut Tx, visits: &[VisitKey]) -> QueryResult<Vec<SealedAnswerRow>> {
    statement(
        "SELECT a.*, NULL::text AS text FROM unnest($1::int[], $2::uuid[]) AS k (state_id, visit_id)
         JOIN flag_answers a ON a.state_id = k.state_id AND a.visit_id = k.visit_id
         ORDER BY a.state_id, a.visit_id, a.number",
    )
    .bind::<Array<Integer>, _>(visits.iter().map(|key| key.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(visits.iter().map(|key| key.1).collect::<Vec<_>>())
    .load(tx)
    .await
}

/// Every answer to the flags of these visits, which are locked or only read; by visit, oldest first.
pub async fn answers_of(tx: &mut Tx, keys: &DataKeys, visits: &[VisitKey]) -> QueryResult<Vec<AnswerRow>> {
    let opened = load_answers(tx, visits).await?.into_iter().map(|row| {
        let mut answer = row.answer;
        answer.text = keys.open_text(&place(answer.visit(), answer.number), row.text_sealed.as_deref())?;
        Ok(answer)
    });
    opened.collect()
}

/// The same for the program's own verification: a text that cannot be opened (it was altered, or its key is gone) is left
/// out, and the answer then does not fit its entry.
pub async fn answers_as_stored(
    tx: &mut Tx,
    keys: &DataKeys,
    visits: &[VisitKey],
) -> QueryResult<Vec<AnswerRow>> {
    let opened = load_answers(tx, visits).await?.into_iter().map(|row| {
        let mut answer = row.answer;
        let place = place(answer.visit(), answer.number);
        answer.text = keys.open_text(&place, row.text_sealed.as_deref()).ok().flatten();
        answer
    });
    Ok(opened.collect())
}

#[derive(QueryableByName)]
struct NameRow {
    #[diesel(sql_type = SqlUuid)]
    visit_id: VisitId,
    #[diesel(sql_type = Integer)]
    number: i32,
}

/// The answers of a state by visit and number, after one, for the program's own verification.
///
/// # Errors
/// What the database says.
pub async fn answer_names(
    tx: &mut Tx,
    state_id: UnitId,
    after: (VisitId, i32),
    limit: i64,
) -> QueryResult<Vec<(VisitId, i32)>> {
    let rows: Vec<NameRow> = statement(
        "SELECT visit_id, number FROM flag_answers WHERE state_id = $1 AND (visit_id, number) > ($2, $3)
         ORDER BY visit_id, number LIMIT $4",
    )
    .bind::<Integer, _>(state_id)
    .bind::<SqlUuid, _>(after.0)
    .bind::<Integer, _>(after.1)
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.visit_id, row.number)).collect())
}

/// Appends the author's answer to a flag of a visit that is locked.
pub async fn add_answer(tx: &mut Tx, keys: &DataKeys, row: &AnswerRow) -> QueryResult<()> {
    let sealed = keys.seal_text(&place(row.visit(), row.number), row.text.as_deref())?;
    statement(
        "INSERT INTO flag_answers (state_id, visit_id, number, code, text_sealed, answered_by, answered_at, salts)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind::<Integer, _>(row.state_id)
    .bind::<SqlUuid, _>(row.visit_id)
    .bind::<Integer, _>(row.number)
    .bind::<Text, _>(&row.code)
    .bind::<Nullable<Binary>, _>(sealed)
    .bind::<Integer, _>(row.answered_by)
    .bind::<Timestamptz, _>(row.answered_at)
    .bind::<Binary, _>(&row.salts)
    .execute(tx)
    .await
    .map(|_| ())
}

/// Takes the texts of answers away; their salts are those that are left.
pub async fn erase_texts(tx: &mut Tx, rows: &[AnswerRow]) -> QueryResult<()> {
    statement(
        "UPDATE flag_answers a SET text_sealed = NULL, salts = n.salts
         FROM unnest($1::int[], $2::uuid[], $3::int[], $4::bytea[]) AS n (state_id, visit_id, number, salts)
         WHERE a.state_id = n.state_id AND a.visit_id = n.visit_id AND a.number = n.number",
    )
    .bind::<Array<Integer>, _>(rows.iter().map(|row| row.state_id).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(rows.iter().map(|row| row.visit_id).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(rows.iter().map(|row| row.number).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(rows.iter().map(|row| &row.salts).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(|_| ())
}

#[derive(QueryableByName)]
struct TextRow {
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = SqlUuid)]
    visit_id: VisitId,
    #[diesel(sql_type = Integer)]
    number: i32,
    #[diesel(sql_type = Nullable<Binary>)]
    text_sealed: Option<Vec<u8>>,
}

/// Seals anew, under the active key, what of the next answers an older key sealed. Returns the last that was looked at;
/// `None` at the end.
///
/// # Errors
/// What the database says, or an answer that cannot be opened.
pub async fn reseal_flag_answers(
    tx: &mut Tx,
    keys: &DataKeys,
    after: Option<VersionKey>,
    limit: i64,
) -> QueryResult<Option<VersionKey>> {
    let rows: Vec<TextRow> = statement(
        "SELECT state_id, visit_id, number, text_sealed FROM flag_answers
         WHERE (state_id, visit_id, number)
               > ($1, coalesce($2, '00000000-0000-0000-0000-000000000000'::uuid), $3)
         ORDER BY state_id, visit_id, number LIMIT $4 FOR UPDATE",
    )
    .bind::<Integer, _>(after.map_or(UnitId(0), |(key, _)| key.0))
    .bind::<Nullable<SqlUuid>, _>(after.map(|(key, _)| key.1))
    .bind::<Integer, _>(after.map_or(0, |(_, number)| number))
    .bind::<BigInt, _>(limit)
    .load(tx)
    .await?;
    let mut changed = Vec::new();
    for row in &rows {
        if let Some(text) = &row.text_sealed
            && let Some(sealed) = keys.reseal(&place((row.state_id, row.visit_id), row.number), text)?
        {
            changed.push((row, sealed));
        }
    }
    if !changed.is_empty() {
        statement(
            "UPDATE flag_answers a SET text_sealed = n.text_sealed
             FROM unnest($1::int[], $2::uuid[], $3::int[], $4::bytea[]) AS n (state_id, visit_id, number, text_sealed)
             WHERE a.state_id = n.state_id AND a.visit_id = n.visit_id AND a.number = n.number",
        )
        .bind::<Array<Integer>, _>(changed.iter().map(|(row, _)| row.state_id).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(changed.iter().map(|(row, _)| row.visit_id).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(changed.iter().map(|(row, _)| row.number).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(changed.iter().map(|(_, sealed)| sealed).collect::<Vec<_>>())
        .execute(tx)
        .await?;
    }
    Ok(rows.last().map(|row| ((row.state_id, row.visit_id), row.number)))
}
