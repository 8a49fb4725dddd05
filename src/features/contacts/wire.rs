use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::queries::{ContactRow, ReadRow};
use crate::features::workers::{is_language, is_phone};
use crate::platform::ids::{CampaignId, ContactId, DeviceId, HouseholdId, UnitId, WorkerId};
use crate::platform::validate::{FieldErrors, Validate};

/// What a consent is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    FollowUp,
    News,
    Events,
    Volunteering,
}

impl Purpose {
    const ALL: [Self; 4] = [Self::FollowUp, Self::News, Self::Events, Self::Volunteering];

    /// The word, as in requests and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FollowUp => "follow_up",
            Self::News => "news",
            Self::Events => "events",
            Self::Volunteering => "volunteering",
        }
    }

    fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == word)
    }
}

/// A consent, as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// What the number may be used for.
    #[schema(example = "follow_up")]
    pub purpose: Purpose,
    /// Code and version of the notice that was read out or shown: letters, digits, dots and dashes.
    #[schema(example = "contact-2026-11.2", min_length = 1, max_length = 64)]
    pub notice: String,
    /// The language in which it was (BCP 47).
    #[schema(example = "hi")]
    pub language: String,
    /// By the phone's clock.
    #[schema(example = "2026-11-23T11:05:00+05:30")]
    pub given_at: DateTime<Utc>,
}

impl Consent {
    fn validate(&self, errors: &mut FieldErrors) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !(1..=64).contains(&self.notice.len()) || !self.notice.chars().all(plain) {
            errors.add(
                "/consent/notice",
                "bad_notice",
                "must be 1 to 64 letters, digits, dots, dashes",
            );
        }
        if !is_language(&self.language) {
            errors.add(
                "/consent/language",
                "bad_language",
                "must be a BCP 47 tag such as hi or en-IN",
            );
        }
        errors.range("/consent/given_at", self.given_at.year(), 1900, 2200);
    }
}

/// A contact as the phone sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactSent {
    #[schema(value_type = i32, example = 14)]
    pub booth_id: UnitId,
    /// A household of that booth.
    #[schema(value_type = uuid::Uuid, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd33")]
    pub household_id: HouseholdId,
    /// The campaign in which it was given.
    #[schema(value_type = i32, example = 1)]
    pub campaign_id: CampaignId,
    /// E.164.
    #[schema(example = "+919812345670")]
    pub phone: String,
    pub consent: Consent,
    /// Last day on which it may be used; the longest that the campaign allows if left out.
    #[serde(default)]
    #[schema(example = json!(null))]
    pub keep_until: Option<NaiveDate>,
}

impl Validate for ContactSent {
    fn validate(&self, errors: &mut FieldErrors) {
        check_phone(&self.phone, errors);
        self.consent.validate(errors);
        if let Some(day) = self.keep_until {
            errors.day("/keep_until", day);
        }
    }
}

fn check_phone(phone: &str, errors: &mut FieldErrors) {
    if !is_phone(phone) {
        errors.add(
            "/phone",
            "bad_phone",
            "must be an E.164 number such as +919812345678",
        );
    }
}

/// A correction of what is held of a citizen.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactPatch {
    /// E.164.
    #[schema(example = "+919812345671")]
    pub phone: String,
}

impl Validate for ContactPatch {
    fn validate(&self, errors: &mut FieldErrors) {
        check_phone(&self.phone, errors);
    }
}

/// Whose contacts are looked for. In a body, since addresses are logged on their way.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactSearch {
    /// E.164.
    #[schema(example = "+919812345670")]
    pub phone: String,
}

impl Validate for ContactSearch {
    fn validate(&self, errors: &mut FieldErrors) {
        check_phone(&self.phone, errors);
    }
}

/// How a contact stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContactStatus {
    Live,
    /// The consent was withdrawn.
    Withdrawn,
    ErasureRequested,
    /// Its deadline passed.
    Expired,
    /// The number is gone.
    Destroyed,
}

/// A contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ContactView {
    #[schema(value_type = uuid::Uuid, example = "01998f7e-58f5-7b21-a6a9-9c0ce5d5fd44")]
    pub id: ContactId,
    #[schema(value_type = i32, example = 14)]
    pub booth_id: UnitId,
    #[schema(value_type = uuid::Uuid)]
    pub household_id: HouseholdId,
    #[schema(value_type = i32, example = 1)]
    pub campaign_id: CampaignId,
    pub status: ContactStatus,
    /// Null unless the contact is live.
    #[schema(example = "+919812345670")]
    pub phone: Option<String>,
    pub consent: Consent,
    /// Who recorded it.
    #[schema(value_type = i32, example = 7)]
    pub recorded_by: WorkerId,
    /// Last day on which it may be used.
    #[schema(example = "2029-11-22")]
    pub keep_until: NaiveDate,
    /// Since when the number is shown to nobody.
    pub ended_at: Option<DateTime<Utc>>,
    /// The day on which the number is destroyed.
    pub destroy_on: Option<NaiveDate>,
    /// Counts the changes; the ETag.
    #[schema(example = 1)]
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl ContactView {
    /// The row with its number, opened.
    #[must_use]
    pub fn of(row: ContactRow, phone: Option<String>) -> Self {
        let status = match (row.ended_why.as_deref(), &phone) {
            (None, _) => ContactStatus::Live,
            (_, None) => ContactStatus::Destroyed,
            (Some("withdrawn"), _) => ContactStatus::Withdrawn,
            (Some("deadline"), _) => ContactStatus::Expired,
            _ => ContactStatus::ErasureRequested,
        };
        Self {
            id: row.id,
            booth_id: row.booth_id,
            household_id: row.household_id,
            campaign_id: row.campaign_id,
            status,
            phone: phone.filter(|_| status == ContactStatus::Live),
            consent: Consent {
                purpose: Purpose::find(&row.purpose).unwrap_or(Purpose::FollowUp),
                notice: row.notice,
                language: row.language,
                given_at: row.given_at,
            },
            recorded_by: row.recorded_by,
            keep_until: row.keep_until,
            ended_at: row.ended_at,
            destroy_on: row.destroy_on,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Which contacts.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ContactFilter {
    /// A unit: contacts in booths that lie under it today.
    #[param(value_type = Option<i32>)]
    pub under: Option<UnitId>,
    #[param(value_type = Option<uuid::Uuid>)]
    pub household_id: Option<HouseholdId>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

/// Which readings.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReadFilter {
    /// From this instant on.
    pub from: Option<DateTime<Utc>>,
    /// Before this one.
    pub to: Option<DateTime<Utc>>,
    /// Who read.
    #[param(value_type = Option<i32>)]
    pub worker_id: Option<WorkerId>,
    /// Whom.
    #[param(value_type = Option<uuid::Uuid>)]
    pub contact_id: Option<ContactId>,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl Validate for ReadFilter {
    fn validate(&self, errors: &mut FieldErrors) {
        if self.from.zip(self.to).is_some_and(|(from, to)| to <= from) {
            errors.add("/to", "before_from", "must be after `from`");
        }
    }
}

/// One reading: who saw the numbers of which contacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ContactReadView {
    pub at: DateTime<Utc>,
    /// Who read.
    #[schema(value_type = Option<i32>, example = 7)]
    pub worker_id: Option<WorkerId>,
    /// On which phone.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub device_id: Option<DeviceId>,
    #[schema(value_type = Vec<uuid::Uuid>)]
    pub contact_ids: Vec<ContactId>,
    /// The booths of those contacts.
    #[schema(value_type = Vec<i32>)]
    pub booth_ids: Vec<UnitId>,
    /// The state in whose journal it stands, and its number there.
    #[schema(value_type = i32, example = 2)]
    pub state_id: UnitId,
    #[schema(example = 4711)]
    pub number: i64,
}

impl From<ReadRow> for ContactReadView {
    fn from(row: ReadRow) -> Self {
        Self {
            at: row.at,
            worker_id: row.actor_id,
            device_id: row.device_id,
            contact_ids: row.subject_uuids,
            booth_ids: row.unit_ids,
            state_id: row.state_id,
            number: row.number,
        }
    }
}
