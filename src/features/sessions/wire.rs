use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::rules::CodeKind;
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
    /// The phone that asks; the code then works on no other.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>, example = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff")]
    pub device_id: Option<DeviceId>,
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
    #[schema(example = 60)]
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

/// A request for tokens. `otp` wants `phone`, `code` and `device`, and of who coordinates `totp` as well; `totp` wants
/// `phone`, `totp` and a `device` that was signed in before; `refresh_token` wants `refresh_token`;
/// `client_credentials`, of a service, wants `client_id` and `client_secret`.
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
    /// The six digits that the app shows.
    #[serde(default)]
    #[schema(example = json!(null))]
    pub totp: Option<String>,
    #[serde(default)]
    pub device: Option<DeviceSent>,
    #[serde(default)]
    #[schema(example = json!(null))]
    pub refresh_token: Option<String>,
    #[serde(default)]
    #[schema(example = json!(null))]
    pub client_id: Option<String>,
    #[serde(default)]
    #[schema(example = json!(null))]
    pub client_secret: Option<String>,
}

/// A sign-in, as understood.
#[derive(Clone, Debug)]
pub struct SignIn {
    pub phone: String,
    pub device: DeviceSent,
    pub proof: Proof,
}

/// By what he proves himself.
#[derive(Clone, Debug)]
pub enum Proof {
    Code {
        code: String,
        kind: CodeKind,
        totp: Option<String>,
    },
    Totp(String),
}

impl TokenRequest {
    /// The fields of a sign-in with a code.
    pub fn otp(mut self) -> Result<SignIn, FieldErrors> {
        let mut errors = FieldErrors::default();
        let code = self.code.take();
        if code.is_none() {
            errors.add("/code", "missing_field", "is needed for grant_type otp");
        }
        let kind = code.as_deref().and_then(CodeKind::of);
        if code.is_some() && kind.is_none() {
            errors.add(
                "/code",
                "not_a_code",
                "must be the six digits of the message, or the eight that were read out",
            );
        }
        let totp = self.totp.take();
        check_totp(totp.as_deref(), &mut errors);
        let (phone, device) = self.who("otp", &mut errors);
        match (phone, device, code, kind) {
            (Some(phone), Some(device), Some(code), Some(kind)) if errors.0.is_empty() => Ok(SignIn {
                phone,
                device,
                proof: Proof::Code { code, kind, totp },
            }),
            _ => Err(errors),
        }
    }

    /// The fields of a sign-in with a one-time password alone.
    pub fn totp(mut self) -> Result<SignIn, FieldErrors> {
        let mut errors = FieldErrors::default();
        let totp = self.totp.take();
        if totp.is_none() {
            errors.add("/totp", "missing_field", "is needed for grant_type totp");
        }
        check_totp(totp.as_deref(), &mut errors);
        let (phone, device) = self.who("totp", &mut errors);
        match (phone, device, totp) {
            (Some(phone), Some(device), Some(totp)) if errors.0.is_empty() => Ok(SignIn {
                phone,
                device,
                proof: Proof::Totp(totp),
            }),
            _ => Err(errors),
        }
    }

    /// The fields of a service's request.
    pub fn client(self) -> Result<(String, String), FieldErrors> {
        let mut errors = FieldErrors::default();
        for (pointer, value) in [
            ("/client_id", &self.client_id),
            ("/client_secret", &self.client_secret),
        ] {
            match value {
                None => errors.add(
                    pointer,
                    "missing_field",
                    "is needed for grant_type client_credentials",
                ),
                Some(value) => errors.text(pointer, value, 1, 200),
            }
        }
        match (self.client_id, self.client_secret) {
            (Some(id), Some(secret)) if errors.0.is_empty() => Ok((id, secret)),
            _ => Err(errors),
        }
    }

    /// What every sign-in needs.
    fn who(self, grant_type: &str, errors: &mut FieldErrors) -> (Option<String>, Option<DeviceSent>) {
        match &self.phone {
            None => errors.add(
                "/phone",
                "missing_field",
                format!("is needed for grant_type {grant_type}"),
            ),
            Some(phone) => check_phone(phone, errors),
        }
        match &self.device {
            None => errors.add(
                "/device",
                "missing_field",
                format!("is needed for grant_type {grant_type}"),
            ),
            Some(device) => {
                errors.optional_text("/device/name", device.name.as_deref(), 0, 200);
                errors.optional_text("/device/platform", device.platform.as_deref(), 0, 50);
                errors.optional_text("/device/app_version", device.app_version.as_deref(), 0, 50);
            }
        }
        (self.phone, self.device)
    }
}

fn check_totp(totp: Option<&str>, errors: &mut FieldErrors) {
    if let Some(totp) = totp
        && (totp.len() != 6 || !totp.bytes().all(|byte| byte.is_ascii_digit()))
    {
        errors.add("/totp", "not_a_code", "must be the six digits that the app shows");
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

/// A token for a service.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ServiceTokenView {
    /// ES256 JWT (RFC 9068) for reading alone.
    pub access_token: String,
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Seconds for which it works; there is no refresh token, ask for another.
    #[schema(example = 3600)]
    pub expires_in: i64,
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

/// What happened to your account since this phone was signed in, and was not done on it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct NoticeView {
    /// `new_device`: a phone that was never used for it was signed in; `phone_changed`: the number was changed. If it was
    /// not you, sign that phone out, or everywhere, and tell whoever manages you.
    #[schema(example = "new_device")]
    pub kind: String,
    /// The phone that it came from; null: it was not one of yours.
    #[schema(value_type = Option<uuid::Uuid>, example = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff")]
    pub device_id: Option<DeviceId>,
    #[schema(example = "Redmi 9A")]
    pub device_name: Option<String>,
    pub at: DateTime<Utc>,
}

/// Who is signed in and what he may do.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MeView {
    pub worker: WorkerView,
    /// Those that hold today and in this session.
    pub grants: Vec<GrantView>,
    /// Whether roles of his need a second factor: `not_needed`, `needed` (they do not hold in this session) or `done`.
    #[schema(example = "not_needed")]
    pub second_factor: &'static str,
    /// What one of them or more allows somewhere.
    #[schema(example = json!(["visit.record", "visit.read_own"]))]
    pub actions: Vec<&'static str>,
    /// Show them until they are dismissed; the newest first, 30 days back, at most 20.
    pub notices: Vec<NoticeView>,
}

/// The secret of a second factor, shown once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct FactorView {
    /// For typing into the app: base32.
    #[schema(example = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")]
    pub secret: String,
    /// For a QR code.
    #[schema(
        example = "otpauth://totp/Sampark:worker%2012?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Sampark&algorithm=SHA1&digits=6&period=30"
    )]
    pub uri: String,
}

/// The first password of a new second factor.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FactorConfirmation {
    /// The six digits that the app shows.
    #[schema(example = "123456")]
    pub totp: String,
}

impl Validate for FactorConfirmation {
    fn validate(&self, errors: &mut FieldErrors) {
        check_totp(Some(&self.totp), errors);
    }
}

/// A code to read out.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ReadOutCodeView {
    /// Eight digits; they work once, on any phone.
    #[schema(example = "12345678")]
    pub code: String,
    /// Seconds for which they work.
    #[schema(example = 900)]
    pub expires_in: i64,
}
