use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::features::workers::{GrantView, WorkerView, is_phone};
use crate::platform::ids::DeviceId;
use crate::platform::validate::{FieldErrors, Validate};

/// Who wants to sign in.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeRequest {
    /// E.164, as on the roster.
    #[schema(example = "+919812345678")]
    pub phone: String,
}

impl Validate for CodeRequest {
    fn validate(&self, errors: &mut FieldErrors) {
        check_phone(&self.phone, errors);
    }
}

fn check_phone(phone: &str, errors: &mut FieldErrors) {
    if !is_phone(phone) {
        errors.add(
            "/phone",
            "not_a_phone",
            "must be an E.164 number such as +919812345678",
        );
    }
}

/// The same for every number, on the roster or not.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CodeSentView {
    /// Seconds for which a code works.
    #[schema(example = 300)]
    pub expires_in: i64,
    /// Seconds after which another may be asked for.
    #[schema(example = 30)]
    pub retry_after: i64,
}

/// The phone that signs in.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceSent {
    /// Made once by the app at its installation.
    #[schema(value_type = uuid::Uuid, example = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff")]
    pub id: DeviceId,
    #[serde(default)]
    #[schema(example = "Redmi 9A")]
    pub name: Option<String>,
    #[serde(default)]
    #[schema(example = "android")]
    pub platform: Option<String>,
    #[serde(default)]
    #[schema(example = "1.0.0")]
    pub app_version: Option<String>,
}

/// A request for tokens. `otp` wants `phone`, `code` and `device`; `refresh_token` wants `refresh_token`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    #[schema(example = "otp")]
    pub grant_type: String,
    #[serde(default)]
    #[schema(example = "+919812345678")]
    pub phone: Option<String>,
    #[serde(default)]
    #[schema(example = "123456")]
    pub code: Option<String>,
    #[serde(default)]
    pub device: Option<DeviceSent>,
    #[serde(default)]
    #[schema(example = json!(null))]
    pub refresh_token: Option<String>,
    #[serde(default)]
    #[schema(example = json!(null))]
    #[expect(
        dead_code,
        reason = "understood, so that a service is told that its grant type is not offered yet"
    )]
    pub client_id: Option<String>,
    #[serde(default)]
    #[schema(example = json!(null))]
    #[expect(
        dead_code,
        reason = "understood, so that a service is told that its grant type is not offered yet"
    )]
    pub client_secret: Option<String>,
}

/// A sign-in with a one-time code, as understood.
#[derive(Clone, Debug)]
pub struct OtpGrant {
    pub phone: String,
    pub code: String,
    pub device: DeviceSent,
}

impl TokenRequest {
    /// The fields of a sign-in with a code.
    pub fn otp(self) -> Result<OtpGrant, FieldErrors> {
        let mut errors = FieldErrors::default();
        for (pointer, missing) in [
            ("/phone", self.phone.is_none()),
            ("/code", self.code.is_none()),
            ("/device", self.device.is_none()),
        ] {
            if missing {
                errors.add(pointer, "missing_field", "is needed for grant_type otp");
            }
        }
        match (self.phone, self.code, self.device) {
            (Some(phone), Some(code), Some(device)) if errors.0.is_empty() => {
                check_phone(&phone, &mut errors);
                if code.len() != 6 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
                    errors.add("/code", "not_a_code", "must be the six digits of the message");
                }
                errors.optional_text("/device/name", device.name.as_deref(), 0, 200);
                errors.optional_text("/device/platform", device.platform.as_deref(), 0, 50);
                errors.optional_text("/device/app_version", device.app_version.as_deref(), 0, 50);
                if errors.0.is_empty() {
                    Ok(OtpGrant { phone, code, device })
                } else {
                    Err(errors)
                }
            }
            _ => Err(errors),
        }
    }
}

impl Validate for TokenRequest {
    /// Left to the grant type, which knows what it needs.
    fn validate(&self, _errors: &mut FieldErrors) {}
}

/// Tokens for a session.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TokenView {
    /// ES256 JWT (RFC 9068); says who, not what he may do.
    pub access_token: String,
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Seconds for which the access token works.
    #[schema(example = 900)]
    pub expires_in: i64,
    /// Opaque; used once, then replaced. Keep the newest.
    pub refresh_token: String,
    pub worker: WorkerView,
}

/// A phone on which the worker is signed in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DeviceView {
    #[schema(value_type = uuid::Uuid)]
    pub id: DeviceId,
    pub name: Option<String>,
    pub platform: Option<String>,
    pub app_version: Option<String>,
    pub created_at: DateTime<Utc>,
    /// Last sign-in or refresh.
    pub last_seen_at: DateTime<Utc>,
    /// Whether this request came from it.
    pub current: bool,
}

/// The phones, the last seen first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DevicesView {
    pub items: Vec<DeviceView>,
}

/// Who is signed in and what he may do.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MeView {
    pub worker: WorkerView,
    /// Those that hold today.
    pub grants: Vec<GrantView>,
    /// What one of them or more allows somewhere.
    #[schema(example = json!(["visit.record", "visit.read_own"]))]
    pub actions: Vec<&'static str>,
}
