use std::sync::LazyLock;
use std::time::Duration;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use rand::TryRng;
use rand::rngs::SysRng;
use tokio::sync::Semaphore;

use crate::access::actions::ActionName;
use crate::platform::error::{ApiError, Code};

/// Secrets that may be live at once.
pub const LIVE_SECRETS: usize = 2;
/// Wrong secrets in a row that lock a service, and for how long.
pub const FAILURES: i32 = 20;
pub const LOCK: TimeDelta = TimeDelta::minutes(15);
/// Hashes computed at once: each takes 19 MiB and a core for some 20 ms.
static HASHING: Semaphore = Semaphore::const_new(2);
/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(2);
/// Compared with when there is nothing else, so that the time does not tell which clients exist.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash("nobody's secret").unwrap_or_default());

/// 256 random bits.
pub fn new_secret() -> Result<String, ApiError> {
    let mut bytes = [0; 32];
    SysRng.try_fill_bytes(&mut bytes).map_err(ApiError::internal)?;
    Ok(format!("sampark_{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// OWASP's Password Storage Cheat Sheet: Argon2id with 19 MiB, two passes, one lane.
fn argon2() -> Result<Argon2<'static>, ApiError> {
    let params = Params::new(19_456, 2, 1, None).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(secret: &str) -> Result<String, ApiError> {
    let mut bytes = [0; 16];
    SysRng.try_fill_bytes(&mut bytes).map_err(ApiError::internal)?;
    let bad = |error: argon2::password_hash::Error| ApiError::internal(error.to_string());
    let salt = SaltString::encode_b64(&bytes).map_err(bad)?;
    let hash = argon2()?.hash_password(secret.as_bytes(), &salt).map_err(bad)?;
    Ok(hash.to_string())
}

fn verify(secret: &str, hash: &str) -> bool {
    let (Ok(argon2), Ok(hash)) = (argon2(), PasswordHash::new(hash)) else {
        return false;
    };
    argon2.verify_password(secret.as_bytes(), &hash).is_ok()
}

/// Hashes off the request's thread, a few at a time.
pub async fn hash_secret(secret: String) -> Result<String, ApiError> {
    in_turn(move || hash(&secret)).await?
}

/// Which of the hashes the secret has. Always compares with two, so that the time tells nothing.
pub async fn find_match(secret: String, hashes: Vec<String>) -> Result<Option<usize>, ApiError> {
    in_turn(move || {
        let mut found = None;
        for n in 0..LIVE_SECRETS {
            let known = hashes.get(n);
            if verify(&secret, known.unwrap_or(&NOBODY)) && known.is_some() {
                found = Some(n);
            }
        }
        found
    })
    .await
}

async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    let busy = |error: String| ApiError::unavailable("too many services sign in at once", error);
    let turn = tokio::time::timeout(TURN, HASHING.acquire())
        .await
        .map_err(|error| busy(error.to_string()))?
        .map_err(|error| busy(error.to_string()))?;
    let done = tokio::task::spawn_blocking(work)
        .await
        .map_err(ApiError::internal);
    drop(turn);
    done
}

/// The actions of these names.
pub fn actions_of(names: &[String]) -> Result<Vec<ActionName>, ApiError> {
    let mut actions = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let action = ActionName::ALL.iter().find(|action| action.as_str() == name);
        match action.filter(|action| action.is_for_services()) {
            Some(action) => actions.push(*action),
            None => {
                let known = ActionName::ALL.iter().filter(|action| action.is_for_services());
                let known: Vec<_> = known.map(|action| action.as_str()).collect();
                let detail = format!("a service may be given: {}", known.join(", "));
                return Err(ApiError::field(
                    &format!("/actions/{n}"),
                    "not_for_services",
                    detail,
                ));
            }
        }
    }
    actions.sort_unstable();
    actions.dedup();
    Ok(actions)
}

/// 401 that says no more than it must.
pub fn invalid_client() -> ApiError {
    ApiError::new(
        Code::InvalidClient,
        "client_id and client_secret do not belong together",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_hash_alone_and_hashes_differ() {
        let (one, two) = (hash("one").unwrap(), hash("one").unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert!(verify("one", &one) && verify("one", &two));
        assert!(!verify("two", &one) && !verify("", &one) && !verify("one", "nonsense"));
        assert_eq!(new_secret().unwrap().len(), 51);
    }

    #[test]
    fn services_read_and_never_write() {
        for action in ActionName::ALL.iter().filter(|action| action.is_for_services()) {
            assert!(action.as_str().ends_with(".read"), "{}", action.as_str());
        }
        for name in ["visit.record", "worker.write", "service.write", "nonsense", ""] {
            assert!(actions_of(&[name.to_owned()]).is_err(), "{name}");
        }
        let names = ["totals.read", "unit.read", "totals.read"].map(str::to_owned);
        assert_eq!(
            actions_of(&names).unwrap(),
            [ActionName::UnitRead, ActionName::TotalsRead]
        );
    }
}
