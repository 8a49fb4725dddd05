//! Access tokens: ES256 JWTs after RFC 9068, 15 minutes, holding who and never what he may do.

use std::fs;
use std::io::Write;
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::journal::Digest;
use crate::platform::error::{ApiError, Code};
use crate::platform::ids::{SessionId, WorkerId};

/// How long an access token works.
pub const LIFE: TimeDelta = TimeDelta::minutes(15);
/// How far two servers' clocks may differ.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);
const ISSUER: &str = "sampark";
const AUDIENCE: &str = "sampark-api";
const CLIENT: &str = "sampark-phone";
const TYPE: &str = "at+jwt";

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    /// The worker's id.
    pub sub: String,
    pub sid: SessionId,
    pub client_id: String,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    pub jti: Uuid,
}

impl Claims {
    /// The worker.
    #[must_use]
    pub fn worker_id(&self) -> Option<WorkerId> {
        self.sub.parse().ok()
    }
}

/// The key that signs and verifies.
pub struct KeyRing {
    kid: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    /// The public point: x and y, base64url.
    point: (String, String),
    /// Under which one-time codes are kept; derived, so that all processes with one signing key share it.
    code_key: [u8; 32],
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Loads the key from `<data_dir>/keys/signing.p8`, or makes one there (mode 0600).
    ///
    /// # Errors
    /// If the file cannot be read or made, or holds no P-256 key in PKCS#8.
    pub fn load_or_make(data_dir: &Path) -> std::io::Result<Self> {
        let directory = data_dir.join("keys");
        let file = directory.join("signing.p8");
        match fs::read(&file) {
            Ok(bytes) => Self::from_pkcs8(&bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                make_private_directory(&directory)?;
                let bytes = generate()?;
                // Written beside and linked, so that of two programs that start at once one makes the key for both.
                let fresh = directory.join(format!("signing.{}.new", Uuid::new_v4()));
                write_private(&fresh, &bytes)?;
                let linked = fs::hard_link(&fresh, &file);
                fs::remove_file(&fresh)?;
                match linked {
                    Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
                    _ => Self::from_pkcs8(&fs::read(&file)?),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// A key of its own, kept nowhere; for tests.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn ephemeral() -> std::io::Result<Self> {
        Self::from_pkcs8(&generate()?)
    }

    fn from_pkcs8(bytes: &[u8]) -> std::io::Result<Self> {
        let bad =
            |error: &dyn std::fmt::Display| std::io::Error::other(format!("not a signing key: {error}"));
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes).map_err(|error| bad(&error))?;
        let public = pair.public_key().as_ref();
        // SEC 1: an uncompressed point is 0x04, x, y.
        let (x, y) = public
            .get(1..33)
            .zip(public.get(33..65))
            .ok_or_else(|| bad(&"no uncompressed point"))?;
        let point = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let decoding = DecodingKey::from_ec_components(&point.0, &point.1).map_err(|error| bad(&error))?;
        // RFC 7638: the thumbprint of the public key names it.
        let thumbprint = format!(
            r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
            point.0, point.1
        );
        let kid = URL_SAFE_NO_PAD.encode(Digest::of_bytes(thumbprint.as_bytes()).0);
        Ok(Self {
            kid,
            encoding: EncodingKey::from_ec_der(bytes),
            decoding,
            point,
            code_key: Digest::of_bytes(&[b"sampark one-time codes\0", bytes].concat()).0,
        })
    }

    /// The key under which one-time codes are kept.
    #[must_use]
    pub const fn code_key(&self) -> &[u8; 32] {
        &self.code_key
    }

    /// Signs a token for a session.
    ///
    /// # Errors
    /// 500 if it cannot be signed.
    pub fn sign(
        &self,
        worker_id: WorkerId,
        session_id: SessionId,
        now: DateTime<Utc>,
    ) -> Result<String, ApiError> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(self.kid.clone());
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: worker_id.to_string(),
            sid: session_id,
            client_id: CLIENT.to_owned(),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: (now + LIFE).timestamp(),
            jti: Uuid::new_v4(),
        };
        jsonwebtoken::encode(&header, &claims, &self.encoding).map_err(ApiError::internal)
    }

    /// Verifies signature, type, issuer, audience and times.
    ///
    /// # Errors
    /// 401, saying no more than "invalid" or "expired".
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, ApiError> {
        let invalid = || ApiError::new(Code::Unauthenticated, "the access token is not valid");
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
        if header.typ.as_deref() != Some(TYPE) || header.kid.as_deref() != Some(self.kid.as_str()) {
            return Err(invalid());
        }
        // Every field by hand: the defaults leave nbf, iss and a missing aud unchecked. The times are checked below,
        // by the clock that was handed in.
        let mut validation = Validation::new(Algorithm::ES256);
        validation.algorithms = vec![Algorithm::ES256];
        validation.leeway = 0;
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = true;
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation)
            .map_err(|_| invalid())?
            .claims;
        check_times(&claims, now)?;
        if claims.client_id == CLIENT {
            Ok(claims)
        } else {
            Err(invalid())
        }
    }

    /// The public key as a JWK set (RFC 7517).
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        serde_json::json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
            "kid": self.kid, "x": self.point.0, "y": self.point.1,
        }] })
    }
}

/// Whether the token is of this moment; checked each time, also for a token whose signature was checked before.
///
/// # Errors
/// 401 if it has expired or is not yet valid.
pub fn check_times(claims: &Claims, now: DateTime<Utc>) -> Result<(), ApiError> {
    let now = now.timestamp();
    let leeway = LEEWAY.num_seconds();
    if now >= claims.exp.saturating_add(leeway) {
        return Err(ApiError::new(
            Code::Unauthenticated,
            "the access token has expired",
        ));
    }
    let too_long = claims.exp.saturating_sub(claims.iat) > LIFE.num_seconds();
    if claims.nbf.saturating_sub(leeway) > now || claims.iat.saturating_sub(leeway) > now || too_long {
        return Err(ApiError::new(
            Code::Unauthenticated,
            "the access token is not valid",
        ));
    }
    Ok(())
}

fn generate() -> std::io::Result<Vec<u8>> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map_err(|_| std::io::Error::other("no signing key could be made"))?;
    Ok(document.as_ref().to_vec())
}

fn make_private_directory(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_token_works_for_fifteen_minutes_and_the_leeway() {
        let keys = KeyRing::ephemeral().unwrap();
        let token = keys.sign(WorkerId(7), SessionId(Uuid::new_v4()), at(0)).unwrap();
        assert_eq!(
            keys.verify(&token, at(929)).unwrap().worker_id(),
            Some(WorkerId(7))
        );
        assert!(keys.verify(&token, at(930)).is_err());
        assert!(keys.verify(&token, at(-31)).is_err());
    }

    #[test]
    fn another_key_is_not_ours() {
        let token = KeyRing::ephemeral()
            .unwrap()
            .sign(WorkerId(7), SessionId(Uuid::new_v4()), at(0))
            .unwrap();
        assert!(KeyRing::ephemeral().unwrap().verify(&token, at(0)).is_err());
    }

    #[test]
    fn the_key_survives_a_restart() {
        let directory = std::env::temp_dir().join(format!("sampark-keys-{}", Uuid::new_v4()));
        let first = KeyRing::load_or_make(&directory).unwrap();
        let second = KeyRing::load_or_make(&directory).unwrap();
        assert_eq!(first.kid, second.kid);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_published_key_has_no_private_part() {
        let jwks = KeyRing::ephemeral().unwrap().jwks();
        assert!(jwks["keys"][0].get("d").is_none());
    }
}
