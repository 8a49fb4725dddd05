use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use crate::features::workers::{WorkerView, is_language};
use crate::platform::validate::{FieldErrors, Validate};

/// What is held of you.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MyDataView {
    /// Your row on the roster, with every role that you hold or held.
    pub worker: WorkerView,
    /// Visits that you recorded.
    #[schema(example = 120)]
    pub visits: i64,
    /// Contacts of citizens that you recorded.
    #[schema(example = 3)]
    pub contacts: i64,
    /// Entries of the journal that name you as who acted.
    #[schema(example = 240)]
    pub journal_entries: i64,
    /// Phones that you signed in with; `/v1/auth/devices` shows those in use.
    #[schema(example = 1)]
    pub devices: i64,
    /// Sessions that are open.
    #[schema(example = 1)]
    pub sessions: i64,
    /// Whether the secret of a one-time password app is kept, sealed.
    #[schema(example = true)]
    pub second_factor: bool,
    pub as_of: DateTime<Utc>,
}

/// A correction of what is held of you. Your number is changed by whoever manages you, since you sign in with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MyDataPatch {
    #[serde(deserialize_with = "given")]
    #[schema(example = "Asha Devi", min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// BCP 47 tag of the language for messages.
    #[serde(deserialize_with = "given")]
    #[schema(example = "hi")]
    pub language: Option<String>,
}

/// Tells "null", which is refused, from "not there".
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Validate for MyDataPatch {
    fn validate(&self, errors: &mut FieldErrors) {
        errors.optional_text("/name", self.name.as_deref(), 1, 200);
        if self.language.as_deref().is_some_and(|tag| !is_language(tag)) {
            errors.add(
                "/language",
                "bad_language",
                "must be a BCP 47 tag such as hi or en-IN",
            );
        }
    }
}

/// That you want to be erased.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErasureSent {
    /// Your own number, so that nobody does this by mistake.
    #[schema(example = "+919812345678")]
    pub phone: String,
}

impl Validate for ErasureSent {
    fn validate(&self, _errors: &mut FieldErrors) {}
}
