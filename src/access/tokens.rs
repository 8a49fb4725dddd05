//! Access tokens: ES256 JWTs after RFC 9068, 15 minutes, holding who and never what he may do.

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keyring::KeyRing;
use crate::platform::error::{ApiError, Code};
use crate::platform::ids::{SessionId, WorkerId};

/// How long an access token works.
pub const LIFE: TimeDelta = TimeDelta::minutes(15);
/// How far two servers' clocks may differ.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);
const ISSUER: &str = "sampark";
const AUDIENCE: &str = "sampark-api";
const CLIENT: &str = "sampark-phone";
/// How long a service's token works.
pub const SERVICE_LIFE: TimeDelta = TimeDelta::minutes(60);
const SERVICE_AUDIENCE: &str = "sampark-services";

/// Whom a token is for: a worker's is taken where people belong, a service's where services do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    People,
    Services,
}

impl Audience {
    const fn name(self) -> &'static str {
        match self {
            Self::People => AUDIENCE,
            Self::Services => SERVICE_AUDIENCE,
        }
    }

    const fn life(self) -> TimeDelta {
        match self {
            Self::People => LIFE,
            Self::Services => SERVICE_LIFE,
        }
    }
}
const TYPE: &str = "at+jwt";

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    /// The worker's id, or the service's client id.
    pub sub: String,
    pub sid: SessionId,
    pub client_id: String,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    pub jti: Uuid,
}

impl Claims {
    /// Whom it is for, as verified.
    #[must_use]
    pub fn audience(&self) -> Audience {
        if self.aud == SERVICE_AUDIENCE {
            Audience::Services
        } else {
            Audience::People
        }
    }

    /// The worker.
    #[must_use]
    pub fn worker_id(&self) -> Option<WorkerId> {
        self.sub.parse().ok()
    }
}

impl KeyRing {
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
        self.sign_for(
            Audience::People,
            worker_id.to_string(),
            CLIENT.to_owned(),
            session_id,
            now,
        )
    }

    /// Signs a token for a service, whose session is the secret by which it proved itself.
    ///
    /// # Errors
    /// 500 if it cannot be signed.
    pub fn sign_service(
        &self,
        client_id: Uuid,
        secret_id: SessionId,
        now: DateTime<Utc>,
    ) -> Result<String, ApiError> {
        let name = client_id.to_string();
        self.sign_for(Audience::Services, name.clone(), name, secret_id, now)
    }

    fn sign_for(
        &self,
        audience: Audience,
        sub: String,
        client_id: String,
        sid: SessionId,
        now: DateTime<Utc>,
    ) -> Result<String, ApiError> {
        let key = self
            .signer(now)
            .ok_or_else(|| ApiError::internal("there is no signing key"))?;
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.kid.clone());
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: audience.name().to_owned(),
            sub,
            sid,
            client_id,
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: (now + audience.life()).timestamp(),
            jti: Uuid::new_v4(),
        };
        jsonwebtoken::encode(&header, &claims, &key.encoding).map_err(ApiError::internal)
    }

    /// Verifies signature, type, issuer, audience and times. A key that is not ours is not looked for.
    ///
    /// # Errors
    /// 401, saying no more than "invalid" or "expired".
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, ApiError> {
        let invalid = || ApiError::new(Code::Unauthenticated, "the access token is not valid");
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
        if header.typ.as_deref() != Some(TYPE) {
            return Err(invalid());
        }
        let key = header
            .kid
            .as_deref()
            .and_then(|kid| self.find(kid))
            .ok_or_else(invalid)?;
        // Every field by hand: the defaults leave nbf, iss and a missing aud unchecked. The times are checked below,
        // by the clock that was handed in.
        let mut validation = Validation::new(Algorithm::ES256);
        validation.algorithms = vec![Algorithm::ES256];
        validation.leeway = 0;
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = true;
        validation.set_audience(&[AUDIENCE, SERVICE_AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation)
            .map_err(|_| invalid())?
            .claims;
        check_times(&claims, now)?;
        let client = match claims.audience() {
            Audience::People => CLIENT,
            Audience::Services => claims.sub.as_str(),
        };
        if claims.client_id == client {
            Ok(claims)
        } else {
            Err(invalid())
        }
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
    let too_long = claims.exp.saturating_sub(claims.iat) > claims.audience().life().num_seconds();
    if claims.nbf.saturating_sub(leeway) > now || claims.iat.saturating_sub(leeway) > now || too_long {
        return Err(ApiError::new(
            Code::Unauthenticated,
            "the access token is not valid",
        ));
    }
    Ok(())
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
        assert!(keys.verify(&token, at(-30)).is_ok());
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
}
