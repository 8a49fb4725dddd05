//! Codes and tokens: made, hashed, compared; how long they live.

use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use rand::TryRng;
use rand::rngs::SysRng;
use uuid::Uuid;

use crate::access::Role;
use crate::access::code_keys::CodeKeys;
use crate::journal::Digest;
use crate::platform::error::ApiError;
use crate::platform::ids::{DeviceId, WorkerId};

/// How long a code works.
pub const CODE_LIFE: TimeDelta = TimeDelta::seconds(300);
/// How long a code works that is read out to somebody: he may have to be called back.
pub const READ_OUT_LIFE: TimeDelta = TimeDelta::seconds(900);
/// The least time between two codes for a number.
pub const CODE_GAP: TimeDelta = TimeDelta::seconds(60);
/// Tries that are judged a code.
pub const TRIES: i16 = 5;
/// Failed sign-ins in a row that lock an account, and for how long unless a coordinator unlocks it.
pub const FAILURES: i32 = 20;
pub const LOCK: TimeDelta = TimeDelta::days(1);
/// Wrong codes a day over everyone that stop sign-in by message for the day: at six digits this many guesses mean a
/// hundredth of a takeover.
pub const WRONG_A_DAY: i64 = 10_000;
/// Codes a number is sent in 15 minutes and in a day at most.
const CODES: [(TimeDelta, usize); 2] = [(TimeDelta::minutes(15), 3), (TimeDelta::days(1), 10)];
/// The least time that an answer takes which could tell whether a number is on the roster. Longer than the writes that
/// only a known number causes; when the database is slower than this, the time tells again.
pub const EVEN_TIME: Duration = Duration::from_millis(100);
/// For how long a refresh token that is sent again gets the successor that it got. Longer than any request is on its way;
/// later it gets another, and the first dies, so that two who hold one token do not go on side by side unnoticed.
pub const SAME_USE: TimeDelta = TimeDelta::seconds(60);
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

/// Eight random digits, for a code that is read out: it may be tried when codes by message no longer are.
pub fn new_read_out_code() -> Result<String, ApiError> {
    let number = u64::from_be_bytes(random_bytes()?);
    Ok(format!("{:08}", number % 100_000_000))
}

/// How a code came to him who tries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeKind {
    Sent,
    ReadOut,
}

impl CodeKind {
    /// By the number of its digits.
    pub fn of(code: &str) -> Option<Self> {
        if !code.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        match code.len() {
            6 => Some(Self::Sent),
            8 => Some(Self::ReadOut),
            _ => None,
        }
    }

    /// As in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::ReadOut => "read_out",
        }
    }
}

/// 256 random bits.
pub fn new_refresh_token() -> Result<String, ApiError> {
    Ok(URL_SAFE_NO_PAD.encode(random_bytes::<32>()?))
}

/// The successor of a refresh token that was used at this instant: the same for the same use, so that a resend which
/// overtakes the request it repeats, or is overtaken, gets the token that the other got. Nobody without the key can tell it.
pub fn successor_of(key: &[u8; 32], parent: Digest, used_at: DateTime<Utc>) -> String {
    let root = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut message = b"sampark refresh\x01".to_vec();
    message.extend_from_slice(&parent.0);
    message.extend_from_slice(&used_at.timestamp_micros().to_be_bytes());
    URL_SAFE_NO_PAD.encode(hmac::sign(&root, &message))
}

/// What is kept of a refresh token. It has 256 random bits, so a plain hash will do.
pub fn token_hash(token: &str) -> Digest {
    Digest::of_bytes(token.as_bytes())
}

/// What is kept of a code: bound to its challenge and, where it is known, to the device, under a key that is not in the
/// database.
pub fn code_hash(key: &[u8; 32], challenge: Uuid, device: Option<DeviceId>, code: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut message = challenge.as_bytes().to_vec();
    message.extend_from_slice(device.map_or(Uuid::nil(), |device| device.0).as_bytes());
    message.extend_from_slice(code.as_bytes());
    hmac::sign(&key, &message).as_ref().to_vec()
}

/// Whether this is the code that is kept, under whichever key, in a time that does not tell under which.
pub fn code_fits(
    keys: &CodeKeys,
    challenge: Uuid,
    device: Option<DeviceId>,
    code: &str,
    kept: &[u8],
) -> bool {
    keys.all()
        .map(|key| same(&code_hash(key, challenge, device, code), kept))
        .fold(false, |fits, one| fits | one)
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

/// How long to wait before a message is tried again.
pub fn retry_pause(attempts: i16) -> TimeDelta {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(5);
    TimeDelta::seconds(1_i64 << doublings)
}

/// What is sealed of a message on its way.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Sealed {
    pub phone: String,
    pub code: String,
    pub language: String,
}

/// Seals a message for its challenge.
pub fn seal_message(keys: &CodeKeys, challenge: Uuid, message: &Sealed) -> Result<Vec<u8>, ApiError> {
    let plain = serde_json::to_vec(message).map_err(ApiError::internal)?;
    seal(
        keys.writes(),
        &[b"message\0", challenge.as_bytes().as_slice()].concat(),
        plain,
    )
}

/// Opens one; `None` if it was sealed under a key that is gone or for another challenge.
pub fn open_message(keys: &CodeKeys, challenge: Uuid, sealed: &[u8]) -> Option<Sealed> {
    let bound_to = [b"message\0", challenge.as_bytes().as_slice()].concat();
    let plain = keys.all().find_map(|key| open(key, &bound_to, sealed))?;
    serde_json::from_slice(&plain).ok()
}

/// The key that seals, derived (RFC 5869 with an empty salt is an HMAC), so that no key serves two purposes.
fn sealing_key(key: &[u8; 32]) -> Result<RandomizedNonceKey, ApiError> {
    let root = hmac::Key::new(hmac::HMAC_SHA256, key);
    let derived = hmac::sign(&root, b"sampark sealing\x01");
    RandomizedNonceKey::new(&AES_256_GCM, derived.as_ref()).map_err(ApiError::internal)
}

/// AES-256-GCM under a random nonce, which stands in front.
fn seal(key: &[u8; 32], bound_to: &[u8], mut plain: Vec<u8>) -> Result<Vec<u8>, ApiError> {
    let nonce = sealing_key(key)?
        .seal_in_place_append_tag(Aad::from(bound_to), &mut plain)
        .map_err(ApiError::internal)?;
    Ok([nonce.as_ref().as_slice(), plain.as_slice()].concat())
}

fn open(key: &[u8; 32], bound_to: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut rest = rest.to_vec();
    let plain = sealing_key(key)
        .ok()?
        .open_in_place(nonce, Aad::from(bound_to), &mut rest)
        .ok()?;
    Some(plain.to_vec())
}

/// 160 random bits for a one-time password app (RFC 4226, section 4, requirement 6).
pub fn new_factor_secret() -> Result<[u8; 20], ApiError> {
    random_bytes()
}

/// Seals the secret of a second factor for its worker.
pub fn seal_factor(keys: &CodeKeys, worker: WorkerId, secret: &[u8; 20]) -> Result<Vec<u8>, ApiError> {
    seal(
        keys.writes(),
        format!("factor {worker}").as_bytes(),
        secret.to_vec(),
    )
}

/// The secret of a second factor, and whether it was sealed under another key than the one that writes now.
fn open_factor(keys: &CodeKeys, worker: WorkerId, sealed: &[u8]) -> Result<([u8; 20], bool), ApiError> {
    let bound_to = format!("factor {worker}");
    let found = keys.all().find_map(|key| {
        let secret = open(key, bound_to.as_bytes(), sealed)?.try_into().ok()?;
        Some((secret, key != keys.writes()))
    });
    found.ok_or_else(|| {
        ApiError::internal(
            "a second factor was sealed under another key: is SAMPARK_CODE_KEY_FILE the right one?",
        )
    })
}

/// Whether any of the keys opens a second factor.
pub fn opens_factor(keys: &CodeKeys, worker: WorkerId, sealed: &[u8]) -> bool {
    open_factor(keys, worker, sealed).is_ok()
}

/// Whether both hold one secret, whichever keys sealed them.
pub fn same_factor(keys: &CodeKeys, worker: WorkerId, one: &[u8], other: &[u8]) -> Result<bool, ApiError> {
    let (one, other) = (
        open_factor(keys, worker, one)?.0,
        open_factor(keys, worker, other)?.0,
    );
    Ok(same(&one, &other))
}

/// A second factor that an older key sealed, sealed anew; `None` if the one that writes now did.
pub fn reseal_factor(keys: &CodeKeys, worker: WorkerId, sealed: &[u8]) -> Result<Option<Vec<u8>>, ApiError> {
    match open_factor(keys, worker, sealed)? {
        (secret, true) => seal_factor(keys, worker, &secret).map(Some),
        (_, false) => Ok(None),
    }
}

fn factor_of(secret: [u8; 20]) -> Result<totp_rs::Totp, ApiError> {
    totp_rs::Builder::new()
        .with_algorithm(totp_rs::Algorithm::SHA1)
        .with_digits(6)
        .with_skew(1)
        .with_step_duration(30)
        .with_secret(secret)
        .build()
        .map_err(|error| ApiError::internal(error.to_string()))
}

/// The time step of which this is the one-time password, if it is one of now, the step before or the one after, and no
/// earlier than those used up.
pub fn check_factor(
    keys: &CodeKeys,
    worker: WorkerId,
    sealed: &[u8],
    last_step: i64,
    password: &str,
    now: DateTime<Utc>,
) -> Result<Option<i64>, ApiError> {
    let (secret, _) = open_factor(keys, worker, sealed)?;
    let time = u64::try_from(now.timestamp()).unwrap_or(0);
    let step = factor_of(secret)?.check(password, time);
    Ok(step
        .and_then(|step| i64::try_from(step).ok())
        .filter(|step| *step > last_step))
}

/// The secret in base32, and the URI that apps read from a QR code. Neither name nor number of the worker is in it.
pub fn factor_uri(worker: WorkerId, secret: &[u8; 20]) -> (String, String) {
    let text = totp_rs::Secret::from(*secret).to_base32();
    let uri = format!(
        "otpauth://totp/Sampark:worker%20{worker}?secret={text}&issuer=Sampark&algorithm=SHA1&digits=6&period=30"
    );
    (text, uri)
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
        let hash = code_hash(&[1; 32], one, None, "123456");
        assert!(same(&hash, &code_hash(&[1; 32], one, None, "123456")));
        for other in [
            code_hash(&[2; 32], one, None, "123456"),
            code_hash(&[1; 32], two, None, "123456"),
            code_hash(&[1; 32], one, Some(DeviceId(two)), "123456"),
            code_hash(&[1; 32], one, None, "123457"),
        ] {
            assert!(!same(&hash, &other));
        }
    }

    #[test]
    fn a_code_fits_under_whichever_key_it_is_kept() {
        let (keys, id) = (CodeKeys::of(&[[2; 32], [1; 32]]), Uuid::from_u128(1));
        for key in [[1; 32], [2; 32]] {
            let kept = code_hash(&key, id, None, "123456");
            assert!(code_fits(&keys, id, None, "123456", &kept));
            assert!(!code_fits(&keys, id, None, "123457", &kept));
        }
        let foreign = code_hash(&[3; 32], id, None, "123456");
        assert!(!code_fits(&keys, id, None, "123456", &foreign));
    }

    #[test]
    fn codes_are_few() {
        let now: DateTime<Utc> = "2026-11-23T06:30:00Z".parse().unwrap();
        let ago = |minutes: i64| now - TimeDelta::minutes(minutes);
        assert!(may_send(&[], now));
        assert!(!may_send(&[now - TimeDelta::seconds(59)], now));
        assert!(may_send(&[ago(1), ago(2)], now));
        assert!(!may_send(&[ago(1), ago(2), ago(3)], now));
        assert!(may_send(&[ago(16), ago(17), ago(18)], now));
        assert!(!may_send(
            &(2..12).map(|hours| ago(hours * 60)).collect::<Vec<_>>(),
            now
        ));
    }

    #[test]
    fn what_is_sealed_opens_under_its_key_and_for_its_challenge_alone() {
        let (key, id) = (CodeKeys::of(&[[7; 32]]), Uuid::from_u128(1));
        let message = Sealed {
            phone: "+919812345678".to_owned(),
            code: "123456".to_owned(),
            language: "hi".to_owned(),
        };
        let sealed = seal_message(&key, id, &message).unwrap();
        assert_eq!(open_message(&key, id, &sealed).unwrap().code, "123456");
        assert_ne!(
            sealed,
            seal_message(&key, id, &message).unwrap(),
            "another nonce each time"
        );
        assert!(open_message(&CodeKeys::of(&[[8; 32]]), id, &sealed).is_none());
        let later = CodeKeys::of(&[[8; 32], [7; 32]]);
        assert_eq!(open_message(&later, id, &sealed).unwrap().code, "123456");
        assert!(open_message(&key, Uuid::from_u128(2), &sealed).is_none());
        for n in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[n] ^= 1;
            assert!(open_message(&key, id, &changed).is_none());
            assert!(open_message(&key, id, &sealed[..n]).is_none());
        }
    }

    #[test]
    fn a_one_time_password_works_a_step_early_and_late_and_once() {
        // RFC 6238, appendix B: this secret at 59 s gives 94287082, of which we use six digits.
        let secret = *b"12345678901234567890";
        let (key, worker) = (CodeKeys::of(&[[7; 32]]), WorkerId(3));
        let sealed = seal_factor(&key, worker, &secret).unwrap();
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let check = |last, seconds| check_factor(&key, worker, &sealed, last, "287082", at(seconds)).unwrap();
        assert_eq!(check(0, 59), Some(1));
        assert_eq!((check(0, 29), check(0, 89)), (Some(1), Some(1)));
        assert_eq!(check(0, 90), None);
        assert_eq!(check(1, 59), None, "it was used");
        assert!(check_factor(&key, WorkerId(4), &sealed, 0, "287082", at(59)).is_err());
        for wrong in ["", "287083", "2870820", "28708", "abcdef", "२८७०८२"] {
            assert_eq!(
                check_factor(&key, worker, &sealed, 0, wrong, at(59)).unwrap(),
                None,
                "{wrong}"
            );
        }
        let later = CodeKeys::of(&[[8; 32], [7; 32]]);
        let anew = reseal_factor(&later, worker, &sealed).unwrap().unwrap();
        assert!(
            reseal_factor(&later, worker, &anew).unwrap().is_none(),
            "once is enough"
        );
        let alone = CodeKeys::of(&[[8; 32]]);
        let checked = check_factor(&alone, worker, &anew, 0, "287082", at(59));
        assert_eq!(checked.unwrap(), Some(1), "the old key is not needed any more");
        assert!(check_factor(&alone, worker, &sealed, 0, "287082", at(59)).is_err());
        let (text, uri) = factor_uri(worker, &secret);
        assert_eq!(text, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(uri.starts_with("otpauth://totp/Sampark:worker%203?secret=GEZDG"));
    }

    #[test]
    fn retries_come_later_and_later() {
        let pauses: Vec<i64> = (1..9).map(|n| retry_pause(n).num_seconds()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 32, 32]);
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
