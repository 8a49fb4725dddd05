//! Codes and tokens: made, hashed, compared; how long they live.

use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use rand::TryRng;
use rand::rngs::SysRng;
use uuid::Uuid;

use crate::access::Role;
use crate::journal::Digest;
use crate::platform::error::ApiError;

/// How long a code works.
pub const CODE_LIFE: TimeDelta = TimeDelta::seconds(300);
/// The least time between two codes for a number.
pub const CODE_GAP: TimeDelta = TimeDelta::seconds(30);
/// Tries that are judged a code.
pub const TRIES: i16 = 5;
/// Codes a number is sent in 15 minutes and in a day at most.
const CODES: [(TimeDelta, usize); 2] = [(TimeDelta::minutes(15), 3), (TimeDelta::days(1), 10)];
/// The least time that an answer takes which could tell whether a number is on the roster. Longer than the writes that
/// only a known number causes; when the database is slower than this, the time tells again.
pub const EVEN_TIME: Duration = Duration::from_millis(100);
/// How long a session lasts at most, however often it is refreshed.
pub const SESSION_LIFE: TimeDelta = TimeDelta::days(180);

/// Bytes from the system's random source.
fn random_bytes<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(ApiError::internal)?;
    Ok(bytes)
}

/// Six random digits. Of 2^64 numbers each code has the same share, but for one part in 10^13.
pub fn new_code() -> Result<String, ApiError> {
    let number = u64::from_be_bytes(random_bytes()?);
    Ok(format!("{:06}", number % 1_000_000))
}

/// 256 random bits.
pub fn new_refresh_token() -> Result<String, ApiError> {
    Ok(URL_SAFE_NO_PAD.encode(random_bytes::<32>()?))
}

/// What is kept of a refresh token. It has 256 random bits, so a plain hash will do.
pub fn token_hash(token: &str) -> Digest {
    Digest::of_bytes(token.as_bytes())
}

/// What is kept of a code: bound to its challenge, under a key that is not in the database.
pub fn code_hash(key: &[u8; 32], challenge: Uuid, code: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut message = challenge.as_bytes().to_vec();
    message.extend_from_slice(code.as_bytes());
    hmac::sign(&key, &message).as_ref().to_vec()
}

/// Compares in a time that tells nothing.
pub fn same(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// Whether another code may be sent to a number that was sent codes at these times.
pub fn may_send(sent_at: &[DateTime<Utc>], now: DateTime<Utc>) -> bool {
    let since = |span: TimeDelta| {
        sent_at
            .iter()
            .filter(|at| now.signed_duration_since(**at) < span)
            .count()
    };
    since(CODE_GAP) == 0 && CODES.iter().all(|(span, most)| since(*span) < *most)
}

/// How long a refresh token of somebody with these roles works unused: who may do more comes back sooner.
pub fn idle_life(roles: &[Role]) -> TimeDelta {
    let spans = roles.iter().map(|role| match role {
        Role::StateAdmin | Role::NationalAdmin => TimeDelta::hours(12),
        Role::BoothWorker | Role::MandalWorker => TimeDelta::days(60),
        _ => TimeDelta::days(7),
    });
    spans.min().unwrap_or(TimeDelta::days(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_six_digits_and_their_hash_depends_on_all() {
        let code = new_code().unwrap();
        assert!(
            code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()),
            "{code}"
        );
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let hash = code_hash(&[1; 32], one, "123456");
        assert!(same(&hash, &code_hash(&[1; 32], one, "123456")));
        for other in [
            code_hash(&[2; 32], one, "123456"),
            code_hash(&[1; 32], two, "123456"),
            code_hash(&[1; 32], one, "123457"),
        ] {
            assert!(!same(&hash, &other));
        }
    }

    #[test]
    fn codes_are_few() {
        let now: DateTime<Utc> = "2026-11-23T06:30:00Z".parse().unwrap();
        let ago = |minutes: i64| now - TimeDelta::minutes(minutes);
        assert!(may_send(&[], now));
        assert!(!may_send(&[now - TimeDelta::seconds(29)], now));
        assert!(may_send(&[ago(1), ago(2)], now));
        assert!(!may_send(&[ago(1), ago(2), ago(3)], now));
        assert!(may_send(&[ago(16), ago(17), ago(18)], now));
        assert!(!may_send(
            &(2..12).map(|hours| ago(hours * 60)).collect::<Vec<_>>(),
            now
        ));
    }

    #[test]
    fn who_may_do_more_comes_back_sooner() {
        assert_eq!(idle_life(&[Role::BoothWorker]), TimeDelta::days(60));
        assert_eq!(
            idle_life(&[Role::BoothWorker, Role::MandalCoordinator]),
            TimeDelta::days(7)
        );
        assert_eq!(idle_life(&[Role::NationalAdmin]), TimeDelta::hours(12));
    }
}
