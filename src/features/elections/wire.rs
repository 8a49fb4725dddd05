use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use super::queries::{CandidateRow, ElectionRow, PartyRow, SeatRow};
use crate::platform::ids::UnitId;
use crate::platform::validate::{FieldErrors, Validate};

/// How a file is imported.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ImportQuery {
    /// Check the file and say what would change, but change nothing.
    #[serde(default)]
    #[param(example = false)]
    pub dry_run: bool,
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ResultImportView {
    /// Lines of candidates in the file.
    #[schema(example = 3)]
    pub rows: usize,
    /// Seats in the file.
    #[schema(example = 1)]
    pub seats: usize,
    /// Seats that had no results before.
    #[schema(example = 1)]
    pub seats_created: usize,
    /// Seats whose results were others before.
    #[schema(example = 0)]
    pub seats_replaced: usize,
    /// Elections that were not known.
    #[schema(example = 1)]
    pub elections_created: usize,
    /// Names of parties that were not known, each a party of its own until somebody joins it to another.
    #[schema(example = 3)]
    pub party_names_created: usize,
    #[schema(example = false)]
    pub dry_run: bool,
}

/// An election.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ElectionView {
    /// As in the imported files.
    #[schema(example = "LS2014")]
    pub code: String,
    #[schema(example = "Lok Sabha 2014")]
    pub name: String,
    /// The day of the count, if it has been told.
    #[schema(example = "2014-05-16")]
    pub held_on: Option<NaiveDate>,
    #[schema(example = 1)]
    pub version: i32,
    #[schema(example = "2026-11-23T12:00:00Z")]
    pub created_at: DateTime<Utc>,
    #[schema(example = "2026-11-23T12:00:00Z")]
    pub updated_at: DateTime<Utc>,
}

impl From<ElectionRow> for ElectionView {
    fn from(row: ElectionRow) -> Self {
        Self {
            code: row.code,
            name: row.name,
            held_on: row.held_on,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A change: the fields named are replaced.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ElectionPatch {
    #[serde(deserialize_with = "given")]
    #[schema(example = "Lok Sabha 2014", min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// Null: not known.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<NaiveDate>, example = "2014-05-16")]
    pub held_on: Option<Option<NaiveDate>>,
}

/// Tells "null" from "not there": what may not be null is then refused, what may be is emptied.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Validate for ElectionPatch {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.optional_text("/name", self.name.as_deref(), 1, 200);
        if let Some(Some(day)) = self.held_on {
            errors.day("/held_on", day);
        }
    }
}

/// Which seats.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SeatQuery {
    /// A party by any of its names: only seats where it stood, and in each how it fared.
    #[param(example = "Example Party")]
    pub party: Option<String>,
    /// Only seats that the party won (true) or lost (false); wants `party`.
    #[param(example = false)]
    pub won: Option<bool>,
    /// Only seats that the party lost by fewer votes than this: the winner's less its own. Wants `party`.
    #[param(example = 5000)]
    pub deficit_below: Option<i32>,
    /// Only seats where the winner had fewer votes than this more than the runner-up, whoever they were.
    #[param(example = 5000)]
    pub margin_below: Option<i32>,
    /// Only seats under this unit.
    #[param(value_type = Option<i32>, example = 2)]
    pub under: Option<UnitId>,
    /// `parliamentary_constituency`, `assembly_constituency` or `booth`; constituencies of both kinds if not given.
    #[param(example = "parliamentary_constituency")]
    pub level: Option<String>,
    /// `code` (the default), `margin` or `deficit` (wants `party`); with `-` before it the largest first.
    #[param(example = "margin")]
    pub sort: Option<String>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

/// Levels of which results are imported.
pub const LEVELS: [&str; 3] = ["parliamentary_constituency", "assembly_constituency", "booth"];

impl Validate for SeatQuery {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.optional_text("/party", self.party.as_deref(), 1, 200);
        if self.party.is_none() {
            for (pointer, asked) in [
                ("/won", self.won.is_some()),
                ("/deficit_below", self.deficit_below.is_some()),
            ] {
                if asked {
                    errors.add(pointer, "needs_party", "say of which `party`");
                }
            }
        }
        for (pointer, votes) in [
            ("/deficit_below", self.deficit_below),
            ("/margin_below", self.margin_below),
        ] {
            if let Some(votes) = votes {
                errors.range(pointer, votes, 1, i32::MAX);
            }
        }
        if self.won == Some(true) && self.deficit_below.is_some() {
            errors.add(
                "/deficit_below",
                "contradiction",
                "a seat that was won has no deficit",
            );
        }
        if let Some(level) = &self.level
            && !LEVELS.contains(&level.as_str())
        {
            errors.add(
                "/level",
                "unknown_value",
                format!("must be one of {}", LEVELS.join(", ")),
            );
        }
    }
}

/// A candidate in a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CandidateView {
    #[schema(example = "A. Kumar")]
    pub candidate: String,
    /// The party, as it was written.
    #[schema(example = "Example Party")]
    pub party: String,
    #[schema(example = 1)]
    pub party_id: i32,
    #[schema(example = 412_345)]
    pub votes: i32,
    /// 1 for the winner; null for NOTA, which cannot win.
    #[schema(example = 1)]
    pub place: Option<i16>,
}

impl From<CandidateRow> for CandidateView {
    fn from(row: CandidateRow) -> Self {
        Self {
            candidate: row.candidate,
            party: row.party,
            party_id: row.party_id,
            votes: row.votes,
            place: row.place,
        }
    }
}

/// How a party fared in a seat: its best placed candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PartyInSeatView {
    #[schema(example = "B. Devi")]
    pub candidate: String,
    #[schema(example = 410_846)]
    pub votes: i32,
    #[schema(example = 2)]
    pub place: i16,
    #[schema(example = false)]
    pub won: bool,
    /// The winner's votes less its own; null where it won.
    #[schema(example = 1499)]
    pub deficit: Option<i32>,
}

/// The unit that a result is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SeatUnitView {
    #[schema(value_type = i32, example = 9)]
    pub id: UnitId,
    #[schema(example = "S1-PC1")]
    pub code: String,
    #[schema(example = "parliamentary_constituency")]
    pub level: String,
    #[schema(example = "Unit S1-PC1")]
    pub name: String,
    #[schema(value_type = i32, example = 2)]
    pub state_id: UnitId,
}

/// A seat in an election.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SeatView {
    pub unit: SeatUnitView,
    /// All votes, NOTA among them.
    #[schema(example = 980_000)]
    pub votes: i32,
    /// Null only where nobody stood.
    pub winner: Option<CandidateView>,
    /// Null where nobody stood against the winner.
    pub runner_up: Option<CandidateView>,
    /// The winner's votes less the runner-up's; null without a runner-up.
    #[schema(example = 1499)]
    pub margin: Option<i32>,
    /// How the party that was asked about fared; null if none was.
    pub party: Option<PartyInSeatView>,
    /// Every candidate's line, from which these figures follow.
    #[schema(example = "/v1/elections/LS2014/seats/9")]
    pub trace: String,
}

impl SeatView {
    /// From a row of this election.
    pub fn new(code: &str, row: SeatRow) -> Self {
        let winner = row.winner.map(|row| row.0);
        let runner_up = row.runner_up.map(|row| row.0);
        let most = winner.as_ref().map_or(0, |winner| winner.votes);
        let party = row.party.map(|row| row.0).and_then(|row| {
            let place = row.place?;
            Some(PartyInSeatView {
                won: place == 1,
                deficit: (place > 1).then(|| most.saturating_sub(row.votes)),
                candidate: row.candidate,
                votes: row.votes,
                place,
            })
        });
        Self {
            trace: format!("/v1/elections/{code}/seats/{}", row.unit_id),
            unit: SeatUnitView {
                id: row.unit_id,
                code: row.code,
                level: row.level,
                name: row.name,
                state_id: row.state_id,
            },
            votes: row.votes,
            margin: runner_up.as_ref().map(|second| most.saturating_sub(second.votes)),
            winner: winner.map(CandidateView::from),
            runner_up: runner_up.map(CandidateView::from),
            party,
        }
    }
}

/// A page of seats.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct SeatPage {
    pub items: Vec<SeatView>,
    /// Null on the last page.
    #[schema(example = json!(null))]
    pub next_cursor: Option<String>,
    /// How many seats match, on all pages together.
    #[schema(example = 1)]
    pub count: i64,
}

/// A seat with every candidate.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct SeatDetailView {
    pub unit: SeatUnitView,
    #[schema(example = 980_000)]
    pub votes: i32,
    /// In order of place; NOTA last.
    pub candidates: Vec<CandidateView>,
    /// When these results were imported.
    #[schema(example = "2026-11-23T12:00:00Z")]
    pub imported_at: DateTime<Utc>,
}

/// Which parties.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PartyFilter {
    /// Part of a name.
    #[param(example = "Example")]
    pub q: Option<String>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl Validate for PartyFilter {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.optional_text("/q", self.q.as_deref(), 1, 200);
    }
}

/// One way to write a party's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PartyNameView {
    #[schema(example = 1)]
    pub id: i32,
    #[schema(example = "Example Party")]
    pub name: String,
}

/// A party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PartyView {
    #[schema(example = 1)]
    pub id: i32,
    /// The one of its names that it is shown by.
    #[schema(example = "Example Party")]
    pub name: String,
    /// All its names, that one first.
    pub names: Vec<PartyNameView>,
}

impl From<PartyRow> for PartyView {
    fn from(row: PartyRow) -> Self {
        let names = row.names.0;
        Self {
            id: row.id,
            name: names.first().map(|first| first.name.clone()).unwrap_or_default(),
            names,
        }
    }
}

/// Another name of a party.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPartyName {
    /// As another source writes it. If it names a party of its own so far, the two become one.
    #[schema(example = "EP", min_length = 1, max_length = 200)]
    pub name: String,
}

impl Validate for NewPartyName {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.text("/name", &self.name, 1, 200);
    }
}
