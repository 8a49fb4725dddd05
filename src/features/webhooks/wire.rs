use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::queries::{BatchRow, WebhookRow};
use super::rules;
use crate::platform::ids::{UnitId, WebhookId};
use crate::platform::validate::{FieldErrors, Validate};

/// A webhook to register.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// The unit that answers for it: it is told of this unit and all below it.
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    /// Where to send, over https, to a public address.
    #[schema(example = "https://hooks.example/sampark")]
    pub url: String,
    /// Only these kinds: `campaign`, `household`, `unit`, `visit`; empty: all of them.
    #[serde(default)]
    #[schema(example = json!(["visit"]))]
    pub kinds: Vec<String>,
    /// Only these actions; empty: all.
    #[serde(default)]
    #[schema(example = json!(["visit.record", "visit.void"]))]
    pub actions: Vec<String>,
}

impl Validate for NewWebhook {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.text("/url", &self.url, 1, 2000);
        rules::check_filter(Some(&self.kinds), Some(&self.actions), errors);
    }
}

/// What changes; what is left out stays.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookPatch {
    #[serde(default)]
    #[schema(example = "https://hooks.example/sampark")]
    pub url: Option<String>,
    #[serde(default)]
    #[schema(example = json!(["visit", "unit"]))]
    pub kinds: Option<Vec<String>>,
    #[serde(default)]
    #[schema(example = json!([]))]
    pub actions: Option<Vec<String>>,
    /// True: nothing is sent until it is false again; then all that happened meanwhile is.
    #[serde(default)]
    #[schema(example = false)]
    pub paused: Option<bool>,
}

impl Validate for WebhookPatch {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.optional_text("/url", self.url.as_deref(), 1, 2000);
        rules::check_filter(self.kinds.as_deref(), self.actions.as_deref(), errors);
    }
}

/// A webhook.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct WebhookView {
    #[schema(value_type = i32, example = 1)]
    pub id: WebhookId,
    #[schema(value_type = i32, example = 2)]
    pub unit_id: UnitId,
    #[schema(example = "https://hooks.example/sampark")]
    pub url: String,
    #[schema(example = json!(["visit"]))]
    pub kinds: Vec<String>,
    #[schema(example = json!([]))]
    pub actions: Vec<String>,
    pub paused: bool,
    /// Why the program paused it.
    pub note: Option<String>,
    /// When the first of the tries that failed in a row was; null: the last one succeeded.
    pub failing_since: Option<DateTime<Utc>>,
    #[schema(example = 1)]
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl From<WebhookRow> for WebhookView {
    fn from(row: WebhookRow) -> Self {
        Self {
            id: row.id,
            unit_id: row.unit_id,
            url: row.url,
            kinds: row.kinds,
            actions: row.actions,
            paused: row.paused,
            note: row.note,
            failing_since: row.failing_since,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A registered webhook with its first secret.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct NewWebhookView {
    pub webhook: WebhookView,
    /// Signs what is sent; shown this once.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    pub secret: String,
}

/// A new secret.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct WebhookSecretView {
    /// Signs beside the one before; shown this once.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    pub secret: String,
}

/// A batch that could not be delivered.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct DeadLetterView {
    #[schema(example = 7)]
    pub id: i64,
    /// The `webhook-id` under which it was and will be sent.
    pub message_id: Uuid,
    #[schema(example = 3)]
    pub entry_count: i32,
    #[schema(example = 12)]
    pub attempts: i32,
    #[schema(example = "it answered 500")]
    pub reason: Option<String>,
    pub created_at: DateTime<Utc>,
    pub died_at: Option<DateTime<Utc>>,
}

impl From<BatchRow> for DeadLetterView {
    fn from(row: BatchRow) -> Self {
        Self {
            id: row.id,
            message_id: row.message_id,
            entry_count: row.entry_count,
            attempts: row.attempts,
            reason: row.reason,
            created_at: row.created_at,
            died_at: row.died_at,
        }
    }
}

/// How many dead letters are on their way again.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct ReplayView {
    #[schema(example = 1)]
    pub replayed: usize,
}
