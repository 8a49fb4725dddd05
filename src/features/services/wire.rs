use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::queries::{SecretRow, ServiceRow};
use crate::platform::ids::{ServiceId, UnitId};
use crate::platform::validate::{FieldErrors, Validate};

/// A service to register.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewService {
    #[schema(example = "Dashboard of the state office")]
    pub name: String,
    /// Who answers for it: a team or a post.
    #[schema(example = "IT cell, state office")]
    pub contact: String,
    /// The unit that answers for it.
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    /// What it may do: `unit.read`, `campaign.read`, `totals.read`, `feed.read`, `election.read`.
    #[schema(example = json!(["unit.read", "totals.read"]))]
    pub actions: Vec<String>,
    /// Where: these units and all below them.
    #[schema(value_type = Vec<i32>, example = json!([2]))]
    pub unit_ids: Vec<UnitId>,
}

impl Validate for NewService {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.text("/name", &self.name, 1, 200);
        errors.text("/contact", &self.contact, 1, 200);
        check_lists(Some(&self.actions), Some(&self.unit_ids), errors);
    }
}

/// What changes; what is left out stays.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServicePatch {
    #[serde(default)]
    #[schema(example = "Dashboard of the state office")]
    pub name: Option<String>,
    #[serde(default)]
    #[schema(example = "IT cell, state office")]
    pub contact: Option<String>,
    #[serde(default)]
    #[schema(example = json!(["totals.read"]))]
    pub actions: Option<Vec<String>>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<i32>>, example = json!([2]))]
    pub unit_ids: Option<Vec<UnitId>>,
    /// False: it gets no token, and those that it has are void.
    #[serde(default)]
    #[schema(example = true)]
    pub active: Option<bool>,
}

impl Validate for ServicePatch {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.optional_text("/name", self.name.as_deref(), 1, 200);
        errors.optional_text("/contact", self.contact.as_deref(), 1, 200);
        check_lists(self.actions.as_deref(), self.unit_ids.as_deref(), errors);
    }
}

fn check_lists(actions: Option<&[String]>, unit_ids: Option<&[UnitId]>, errors: &mut FieldErrors) {
    for (pointer, length) in [
        ("/actions", actions.map(<[String]>::len)),
        ("/unit_ids", unit_ids.map(<[UnitId]>::len)),
    ] {
        if let Some(length) = length
            && !(1..=50).contains(&length)
        {
            errors.add(
                pointer,
                "bad_length",
                format!("must have 1 to 50 items, has {length}"),
            );
        }
    }
}

/// A secret, without itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SecretView {
    pub id: Uuid,
    /// When it was last used to get a token; null: never.
    pub last_used_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

impl From<SecretRow> for SecretView {
    fn from(row: SecretRow) -> Self {
        Self {
            id: row.id,
            last_used_at: row.last_used_at,
            created_at: row.created_at,
        }
    }
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ServiceView {
    #[schema(value_type = i32, example = 1)]
    pub id: ServiceId,
    #[schema(example = "Dashboard of the state office")]
    pub name: String,
    #[schema(example = "IT cell, state office")]
    pub contact: String,
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    /// The name under which it asks for tokens.
    pub client_id: Uuid,
    #[schema(example = json!(["totals.read"]))]
    pub actions: Vec<String>,
    #[schema(value_type = Vec<i32>, example = json!([2]))]
    pub unit_ids: Vec<UnitId>,
    pub active: bool,
    /// When it last got a token; one works for an hour.
    pub last_used_at: Option<DateTime<Utc>>,
    /// The live secrets, the oldest first; themselves they are shown once, when they are made.
    pub secrets: Vec<SecretView>,
    #[schema(example = 1)]
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl ServiceView {
    /// With its live secrets.
    pub fn new(row: ServiceRow, secrets: Vec<SecretRow>) -> Self {
        Self {
            id: row.id,
            name: row.name,
            contact: row.contact,
            unit_id: row.unit_id,
            client_id: row.client_id,
            actions: row.actions,
            unit_ids: row.unit_ids,
            active: row.active,
            last_used_at: row.last_used_at,
            secrets: secrets.into_iter().map(SecretView::from).collect(),
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A new secret, shown this once.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct NewSecretView {
    pub id: Uuid,
    pub client_id: Uuid,
    #[schema(example = "sampark_T2hlIHNlY3JldCBvZiBhIHNlcnZpY2Ugb2Ygb3Vycy4")]
    pub client_secret: String,
}

/// A registered service with its first secret.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RegisteredView {
    pub service: ServiceView,
    pub secret: NewSecretView,
}
