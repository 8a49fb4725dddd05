mod flags;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

pub use flags::{AnswerSent, FlagView, flag_views};

use super::queries::VisitRow;
use super::sight::Sight;
use crate::platform::error::Problem;
use crate::platform::ids::{CampaignId, DeviceId, HouseholdId, UnitId, VisitId, WorkerId};
use crate::platform::personal::holds_personal_number;
use crate::platform::validate::{FieldErrors, Validate};

/// Most visits in a batch.
pub const MAX_BATCH_ITEMS: usize = 500;
/// Most characters in a note.
const MAX_NOTE: usize = 500;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word, as in requests and in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $word),+ } }

            /// The one with this word.
            #[must_use]
            pub fn find(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word)
            }
        }
    };
}

words! {
    /// What came of the attempt. Only `met` is a contact.
    Outcome { Met "met", NotHome "not_home", Refused "refused", Moved "moved", Locked "locked", Inaccessible "inaccessible" }
}
words! {
    /// How the attempt was made.
    Channel { Door "door", Phone "phone", Street "street", Meeting "meeting" }
}
words! {
    /// A coordinator's verdict.
    Review { Unreviewed "unreviewed", Verified "verified", Rejected "rejected", CorrectionWanted "correction_wanted" }
}

/// Where the phone was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Degrees north (WGS 84).
    #[schema(example = 26.8467, minimum = -90, maximum = 90)]
    pub lat: f64,
    /// Degrees east (WGS 84).
    #[schema(example = 80.9462, minimum = -180, maximum = 180)]
    pub lon: f64,
    /// Accuracy in metres.
    #[serde(default)]
    #[schema(example = 12.5, minimum = 0, maximum = 100_000)]
    pub accuracy_m: Option<f32>,
    /// Whether the phone says that the position was made up.
    #[serde(default)]
    #[schema(example = false)]
    pub mock: Option<bool>,
}

/// A visit as the phone sends it. The phone makes the id; sending the same visit again is safe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitSent {
    /// Made by the phone (UUID; version 7 preferred).
    #[schema(value_type = uuid::Uuid, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33")]
    pub id: VisitId,
    #[schema(value_type = i32, example = 1)]
    pub campaign_id: CampaignId,
    #[schema(value_type = i32, example = 14)]
    pub booth_id: UnitId,
    /// The door, if it is a known one; it must belong to the booth.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>, example = json!(null))]
    pub household_id: Option<HouseholdId>,
    /// By the phone's clock, right or wrong.
    #[schema(example = "2026-11-23T11:05:00+05:30")]
    pub visited_at: DateTime<Utc>,
    #[schema(example = "met")]
    pub outcome: Outcome,
    #[serde(default = "door")]
    #[schema(example = "door")]
    pub channel: Channel,
    /// How many people were spoken to.
    #[serde(default)]
    #[schema(example = 2, minimum = 0, maximum = 1000)]
    pub people_met: i32,
    /// 1 (against) to 5 (for), only where the campaign collects it.
    #[serde(default)]
    #[schema(example = json!(null), minimum = 1, maximum = 5)]
    pub support: Option<i16>,
    /// Issue codes of the campaign.
    #[serde(default)]
    #[schema(example = json!(["water"]))]
    pub issues: Vec<String>,
    /// Answers by question key.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"heard": true, "need": "road"}))]
    pub answers: serde_json::Map<String, Value>,
    /// The version of the questions that was asked; the current one if not given.
    #[serde(default)]
    #[schema(example = 1)]
    pub question_version: Option<i32>,
    /// At most 500 characters; no names, no phone numbers.
    #[serde(default)]
    #[schema(example = "Hand pump broken", max_length = 500)]
    pub note: Option<String>,
    #[serde(default)]
    pub location: Option<Position>,
    /// How long it took, in seconds.
    #[serde(default)]
    #[schema(example = 240, minimum = 0, maximum = 86400)]
    pub duration_s: Option<i32>,
}

const fn door() -> Channel {
    Channel::Door
}

impl Validate for VisitSent {
    /// Left to `rules::check`, which knows the campaign: one answer then names all that is wrong.
    fn validate(&self, _errors: &mut FieldErrors) {}
}

impl VisitSent {
    /// What can be told without knowing the campaign.
    pub fn check_bounds(&self, errors: &mut FieldErrors) {
        use chrono::Datelike;
        errors.range("/visited_at", self.visited_at.year(), 1900, 2200);
        errors.range("/people_met", self.people_met, 0, 1000);
        if let Some(support) = self.support {
            errors.range("/support", support, 1, 5);
        }
        if self.issues.len() > 20 {
            errors.add("/issues", "too_many", "at most 20 issue codes");
        }
        errors.optional_text("/note", self.note.as_deref(), 0, MAX_NOTE);
        if self.note.as_deref().is_some_and(holds_personal_number) {
            errors.add(
                "/note",
                "personal_number",
                "a note must not hold a phone or identity number; leave it out",
            );
        }
        if let Some(duration) = self.duration_s {
            errors.range("/duration_s", duration, 0, 86_400);
        }
        if let Some(position) = &self.location {
            errors.range("/location/lat", position.lat, -90.0, 90.0);
            errors.range("/location/lon", position.lon, -180.0, 180.0);
            if let Some(accuracy) = position.accuracy_m {
                errors.range("/location/accuracy_m", accuracy, 0.0, 100_000.0);
            }
        }
        if self.answers.len() > 100 {
            errors.add("/answers", "too_many", "at most 100 answers");
        }
    }
}

/// Up to 500 visits. Each is answered by itself: a bad one never holds up the others.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchSent {
    /// 1 to 500 visits.
    #[schema(value_type = Vec<VisitSent>, min_items = 1, max_items = 500)]
    pub visits: Vec<Box<RawValue>>,
}

impl Validate for BatchSent {
    fn validate(&self, errors: &mut FieldErrors) {
        if self.visits.is_empty() || self.visits.len() > MAX_BATCH_ITEMS {
            errors.add(
                "/visits",
                "bad_length",
                format!("must hold 1 to {MAX_BATCH_ITEMS} visits"),
            );
        }
    }
}

/// What became of a visit in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// Stored now.
    Created,
    /// The same visit was stored before.
    Duplicate,
    /// Another visit has its id; the stored one is in `problem.stored`.
    Conflict,
    /// Not stored; `problem` says why.
    Rejected,
}

impl ItemStatus {
    /// The word, for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
        }
    }
}

/// The answer to one visit of a batch.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ItemView {
    /// Its place in the batch, from 0.
    #[schema(example = 0)]
    pub index: usize,
    /// Its id; null if it could not be read.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub id: Option<VisitId>,
    pub status: ItemStatus,
    /// The stored version, if any.
    #[schema(example = 1)]
    pub version: Option<i32>,
    pub flags: Vec<FlagView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// The answers to a batch, one for each item in the order sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BatchView {
    pub results: Vec<ItemView>,
}

/// A machine's doubt about a visit as it is stored; [`FlagView`] explains it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flag {
    pub code: String,
    /// What was measured; `None` if it is a plain yes.
    pub measured: Option<f64>,
    /// The bound that it passed.
    pub bound: Option<f64>,
}

/// What is kept from a reader above the mandal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Withheld {
    Note,
    FlagAnswers,
    Location,
}

/// A visit as stored.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VisitView {
    #[schema(value_type = uuid::Uuid, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33")]
    pub id: VisitId,
    #[schema(value_type = i32, example = 1)]
    pub campaign_id: CampaignId,
    #[schema(value_type = i32, example = 14)]
    pub booth_id: UnitId,
    #[schema(value_type = Option<uuid::Uuid>)]
    pub household_id: Option<HouseholdId>,
    #[schema(value_type = i32, example = 7)]
    pub worker_id: WorkerId,
    #[schema(value_type = Option<uuid::Uuid>)]
    pub device_id: Option<DeviceId>,
    /// By the phone's clock, as sent.
    pub visited_at: DateTime<Utc>,
    /// The day it counts on, in the operating time zone, bounded by the campaign and by receipt.
    #[schema(example = "2026-11-23")]
    pub visited_on: NaiveDate,
    /// By the server's clock.
    pub received_at: DateTime<Utc>,
    pub outcome: Outcome,
    pub channel: Channel,
    #[schema(example = 2)]
    pub people_met: i32,
    pub support: Option<i16>,
    pub issues: Vec<String>,
    #[schema(value_type = Object)]
    pub answers: Value,
    #[schema(example = 1)]
    pub question_version: i32,
    pub note: Option<String>,
    pub location: Option<Position>,
    /// What of it is kept from you: `note` (there is one), `flag_answers` (what the author said to its flags),
    /// `location` (it is given to three decimals, about 100 m).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
    pub duration_s: Option<i32>,
    pub flags: Vec<FlagView>,
    pub review: Review,
    /// Whether it was taken back; it is then in no figure.
    pub voided: bool,
    pub void_reason: Option<String>,
    /// Whether it came when its week was signed already. Not told in the answer to its recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = false)]
    pub late: Option<bool>,
    #[schema(example = 1)]
    pub version: i32,
}

impl From<&VisitRow> for VisitSent {
    /// The visit as it would have been sent to be stored like this.
    fn from(row: &VisitRow) -> Self {
        let view = VisitView::whole(row.clone(), "");
        let answers = match view.answers {
            Value::Object(answers) => answers,
            _ => serde_json::Map::new(),
        };
        Self {
            id: view.id,
            campaign_id: view.campaign_id,
            booth_id: view.booth_id,
            household_id: view.household_id,
            visited_at: view.visited_at,
            outcome: view.outcome,
            channel: view.channel,
            people_met: view.people_met,
            support: view.support,
            issues: view.issues,
            answers,
            question_version: Some(view.question_version),
            note: view.note,
            location: view.location,
            duration_s: view.duration_s,
        }
    }
}

impl VisitView {
    /// Its ETag: the version, the verdict if there is one, and when a flag was last answered.
    pub fn tag(&self) -> String {
        let mut tag = self.version.to_string();
        if self.review != Review::Unreviewed {
            tag = format!("{tag}-{}", self.review.as_str());
        }
        let answers = self.flags.iter().filter_map(|flag| flag.answer.as_ref());
        match answers.map(|answer| answer.answered_at).max() {
            Some(at) => format!("{tag}-answered-{}", at.timestamp_micros()),
            None => tag,
        }
    }

    /// With all that is stored, its flags explained in this language. For an answer, ask [`Sight`] for what its reader sees.
    pub(super) fn whole(row: VisitRow, language: &str) -> Self {
        let answers = row.flag_answers.map(|answers| answers.0).unwrap_or_default();
        let location = row.lat.zip(row.lon).map(|(lat, lon)| Position {
            lat,
            lon,
            accuracy_m: row.accuracy_m,
            mock: row.mock,
        });
        Self {
            id: row.id,
            campaign_id: row.campaign_id,
            booth_id: row.booth_id,
            household_id: row.household_id,
            worker_id: row.worker_id,
            device_id: row.device_id,
            visited_at: row.visited_at,
            visited_on: row.visited_on,
            received_at: row.received_at,
            outcome: Outcome::find(&row.outcome).unwrap_or(Outcome::Inaccessible),
            channel: Channel::find(&row.channel).unwrap_or(Channel::Door),
            people_met: row.people_met,
            support: row.support,
            issues: serde_json::from_value(row.issues).unwrap_or_default(),
            answers: row.answers,
            question_version: row.question_version,
            note: row.note,
            location,
            withheld: Vec::new(),
            duration_s: row.duration_s,
            flags: flag_views(&row.flags, &answers, language),
            review: Review::find(&row.review).unwrap_or(Review::Unreviewed),
            voided: row.voided_at.is_some(),
            void_reason: row.void_reason,
            late: row.late,
            version: row.version,
        }
    }
}

/// One version of a visit.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct VersionView {
    #[schema(example = 1)]
    pub version: i32,
    /// Who wrote it.
    #[schema(value_type = i32, example = 7)]
    pub changed_by: WorkerId,
    pub changed_at: DateTime<Utc>,
    /// The visit as it stood.
    pub visit: VisitView,
}

impl VersionView {
    /// As the reader sees it.
    pub fn shown(row: VisitRow, sight: &Sight) -> Self {
        Self {
            version: row.version,
            changed_by: row.changed_by,
            changed_at: row.changed_at,
            visit: sight.show(row),
        }
    }
}

/// Every version, oldest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct VersionsView {
    pub items: Vec<VersionView>,
}

/// A correction: the fields that change; null empties a field that may be empty. Booth, campaign, author and time
/// stay: void the visit and record it anew instead.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VisitPatch {
    #[schema(example = "not_home")]
    pub outcome: Option<Outcome>,
    pub channel: Option<Channel>,
    #[schema(example = 0)]
    pub people_met: Option<i32>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<i16>)]
    pub support: Option<Option<i16>>,
    pub issues: Option<Vec<String>>,
    #[schema(value_type = Option<Object>)]
    pub answers: Option<serde_json::Map<String, Value>>,
    pub question_version: Option<i32>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub note: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub household_id: Option<Option<HouseholdId>>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Position>)]
    pub location: Option<Option<Position>>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<i32>)]
    pub duration_s: Option<Option<i32>>,
}

/// Tells "null" from "not there".
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Validate for VisitPatch {
    fn validate(&self, errors: &mut FieldErrors) {
        if serde_json::to_value(self).is_ok_and(|value| value == serde_json::json!(Self::default())) {
            errors.add("", "empty", "name at least one field to change");
        }
    }
}

/// Why a visit is taken back.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoidSent {
    /// 1 to 500 characters.
    #[schema(example = "Entered for the wrong door", min_length = 1, max_length = 500)]
    pub reason: String,
}

impl Validate for VoidSent {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.text("/reason", &self.reason, 1, 500);
        if holds_personal_number(&self.reason) {
            errors.add(
                "/reason",
                "personal_number",
                "a reason must not hold a phone or identity number",
            );
        }
    }
}

/// Which visits.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct VisitFilter {
    /// A unit: visits of booths that lie under it today.
    #[param(value_type = Option<i32>)]
    pub under: Option<UnitId>,
    #[param(value_type = Option<i32>)]
    pub booth_id: Option<UnitId>,
    #[param(value_type = Option<i32>)]
    pub campaign_id: Option<CampaignId>,
    #[param(value_type = Option<i32>)]
    pub worker_id: Option<WorkerId>,
    /// First day.
    pub from: Option<NaiveDate>,
    /// Last day.
    pub to: Option<NaiveDate>,
    pub outcome: Option<Outcome>,
    pub review: Option<Review>,
    /// Code of a flag.
    pub flag: Option<String>,
    /// 1 to 500, 50 if not given. Not for exports.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before. Not for exports.
    pub cursor: Option<String>,
    /// Exports alone: `csv` or `ndjson`.
    pub format: Option<String>,
}

impl Validate for VisitFilter {
    fn validate(&self, errors: &mut FieldErrors) {
        for (pointer, day) in [("/from", self.from), ("/to", self.to)] {
            if let Some(day) = day {
                errors.day(pointer, day);
            }
        }
        if self.from.zip(self.to).is_some_and(|(from, to)| from > to) {
            errors.add("/to", "before_from", "must not be before `from`");
        }
        errors.optional_text("/flag", self.flag.as_deref(), 1, 40);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_absent_are_told_apart() {
        let patch: VisitPatch = serde_json::from_str(r#"{"note": null}"#).unwrap();
        assert_eq!((patch.note, patch.support), (Some(None), None));
    }
}
