//! The keys that sign access tokens: where they lie, which one signs, which verify, how they are replaced.
//!
//! Every key that lies there verifies and is published; one signs. A new key signs only once every process has had time
//! to load it ([`SETTLE`] against [`RELOAD`]), an old one goes once the last token that it signed has expired
//! ([`RETIRE`]): so no valid token is ever refused while keys change.
//!
//! * In the data directory (the default): `keys/signing.p8`, made at the first start, and `keys/signing-<unix time>.p8`,
//!   made by `sampark rotate-signing-key`. The newest that has settled signs.
//! * Named by `SAMPARK_SIGNING_KEY_FILES`: the first that is there signs. They are read again while the program runs, so
//!   that a mounted secret can be changed: docs/operating.md says in which order.

use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{DecodingKey, EncodingKey};

use super::code_keys::{CodeKeys, CodeRing};
use crate::journal::Digest;
use crate::platform::config::Config;
use crate::platform::private_files::{dated, make_new, make_once, read_if_there};

/// How often the files are looked at again.
pub const RELOAD: Duration = Duration::from_secs(5);
/// How old a key of the data directory is before it signs: every process has loaded it by then.
pub const SETTLE: TimeDelta = TimeDelta::seconds(60);
/// How long after its successor signs a key is kept: longer than any token lives.
pub const RETIRE: TimeDelta = TimeDelta::hours(2);

/// One key pair.
pub struct SigningKey {
    /// RFC 7638: the thumbprint of the public key.
    pub kid: String,
    pub(super) encoding: EncodingKey,
    pub(super) decoding: DecodingKey,
    /// The public point: x and y, base64url.
    point: (String, String),
    /// Unix time in its file's name; 0 for the first key.
    made_at: i64,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// Where the keys lie.
#[derive(Clone, Debug)]
enum Source {
    /// `<data directory>/keys`.
    Directory(PathBuf),
    /// These files, the first of which signs.
    Files(Vec<PathBuf>),
    /// Nowhere: handed in.
    Memory,
}

/// All the keys. One a process, shared.
pub struct KeyRing {
    source: Source,
    /// Oldest first in a directory, as named otherwise.
    keys: RwLock<Arc<Vec<Arc<SigningKey>>>>,
    /// Under which one-time codes are kept; no signing keys, so that codes outlive a rotation of those.
    codes: CodeRing,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing")
            .field("keys", &self.keys())
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    /// The keys that the configuration names, or those of the data directory, made there if it is the first start.
    ///
    /// # Errors
    /// If a file cannot be read or made, or holds no P-256 key in PKCS#8.
    pub fn open(config: &Config) -> Result<Self> {
        let codes = if config.code_key_files.is_empty() {
            CodeRing::of_directory(&config.data_dir.join("keys"))?
        } else {
            CodeRing::of_files(&config.code_key_files)?
        };
        let source = if config.signing_key_files.is_empty() {
            Source::Directory(config.data_dir.join("keys"))
        } else {
            Source::Files(config.signing_key_files.clone())
        };
        Self::from_source(source, codes)
    }

    /// The keys of a data directory.
    ///
    /// # Errors
    /// As [`KeyRing::open`].
    pub fn load_or_make(data_dir: &Path) -> Result<Self> {
        let directory = data_dir.join("keys");
        let codes = CodeRing::of_directory(&directory)?;
        Self::from_source(Source::Directory(directory), codes)
    }

    /// A key of its own, kept nowhere; for tests.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn ephemeral() -> Result<Self> {
        Self::of_pkcs8(&generate()?)
    }

    /// This one key (PKCS#8), kept nowhere; for tests that forge tokens.
    ///
    /// # Errors
    /// If it is no P-256 key.
    pub fn of_pkcs8(bytes: &[u8]) -> Result<Self> {
        Ok(Self {
            source: Source::Memory,
            keys: RwLock::new(Arc::new(vec![Arc::new(SigningKey::from_pkcs8(bytes, 0)?)])),
            codes: CodeRing::ephemeral()?,
        })
    }

    fn from_source(source: Source, codes: CodeRing) -> Result<Self> {
        if let Source::Directory(directory) = &source {
            make_if_absent(directory, "signing.p8", generate)?;
        }
        let keys = load(&source)?;
        Ok(Self {
            source,
            keys: RwLock::new(Arc::new(keys)),
            codes,
        })
    }

    /// Looks at the files again. What was loaded stays if they cannot be read.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn reload(&self) -> Result<()> {
        // Neither keeps the other from being read.
        let codes = self.codes.reload();
        if matches!(self.source, Source::Memory) {
            return codes;
        }
        let keys = load(&self.source)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        codes
    }

    /// Every key.
    #[must_use]
    pub fn keys(&self) -> Arc<Vec<Arc<SigningKey>>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key with this name.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<Arc<SigningKey>> {
        self.keys().iter().find(|key| key.kid == kid).cloned()
    }

    /// The key that signs now.
    #[must_use]
    pub fn signer(&self, now: DateTime<Utc>) -> Option<Arc<SigningKey>> {
        let keys = self.keys();
        match self.source {
            Source::Directory(_) => {
                let settled = (now - SETTLE).timestamp();
                keys.iter()
                    .rev()
                    .find(|key| key.made_at <= settled)
                    .or(keys.first())
                    .cloned()
            }
            Source::Files(_) | Source::Memory => keys.first().cloned(),
        }
    }

    /// The keys under which one-time codes and second factors are kept.
    #[must_use]
    pub fn code_keys(&self, now: DateTime<Utc>) -> CodeKeys {
        self.codes.at(now)
    }

    /// The public keys as a JWK set (RFC 7517).
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        let keys = self.keys();
        let keys = keys.iter().map(|key| {
            serde_json::json!({
                "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
                "kid": key.kid, "x": key.point.0, "y": key.point.1,
            })
        });
        serde_json::json!({ "keys": keys.collect::<Vec<_>>() })
    }
}

impl SigningKey {
    fn from_pkcs8(bytes: &[u8], made_at: i64) -> Result<Self> {
        let bad = |error: &dyn std::fmt::Display| Error::other(format!("not a signing key: {error}"));
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
        let thumbprint = format!(
            r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
            point.0, point.1
        );
        Ok(Self {
            kid: URL_SAFE_NO_PAD.encode(Digest::of_bytes(thumbprint.as_bytes()).0),
            encoding: EncodingKey::from_ec_der(bytes),
            decoding,
            point,
            made_at,
        })
    }
}

/// Makes a new key in the data directory and removes those whose tokens have all expired. The new one signs after
/// [`SETTLE`]. `at_once`: a key has leaked; every other key goes now, and every access token with it.
/// Returns the new key's name and how many were removed.
///
/// # Errors
/// If the directory cannot be written.
pub fn rotate(data_dir: &Path, now: DateTime<Utc>, at_once: bool) -> Result<(String, usize)> {
    let directory = data_dir.join("keys");
    make_if_absent(&directory, "signing.p8", generate)?;
    let old = dated(&directory, "signing", ".p8")?;
    let bytes = generate()?;
    let mut made_at = now.timestamp();
    while old.iter().any(|(known, _)| *known >= made_at) {
        made_at = made_at.saturating_add(1);
    }
    make_new(&directory.join(format!("signing-{made_at}.p8")), &bytes)?;
    let mut removed = 0;
    for (n, (_, path)) in old.iter().enumerate() {
        let successor = old.get(n.saturating_add(1)).map(|(made_at, _)| *made_at);
        let gone = successor.is_some_and(|since| since < (now - SETTLE - RETIRE).timestamp());
        if at_once || gone {
            fs::remove_file(path)?;
            removed += 1;
        }
    }
    Ok((SigningKey::from_pkcs8(&bytes, made_at)?.kid, removed))
}

fn load(source: &Source) -> Result<Vec<Arc<SigningKey>>> {
    let files = match source {
        Source::Directory(directory) => dated(directory, "signing", ".p8")?,
        Source::Files(files) => files.iter().map(|file| (0, file.clone())).collect(),
        Source::Memory => Vec::new(),
    };
    let mut keys: Vec<Arc<SigningKey>> = Vec::new();
    for (made_at, file) in &files {
        let Some(bytes) = read_if_there(file)? else {
            continue;
        };
        let key = SigningKey::from_pkcs8(&der_of(&bytes)?, *made_at).map_err(|error| named(file, &error))?;
        if !keys.iter().any(|known| known.kid == key.kid) {
            keys.push(Arc::new(key));
        }
    }
    if keys.is_empty() {
        return Err(Error::other("there is no signing key"));
    }
    Ok(keys)
}

fn named(file: &Path, error: &Error) -> Error {
    Error::new(error.kind(), format!("{}: {error}", file.display()))
}

/// PKCS#8 as it is, or out of PEM (RFC 7468).
fn der_of(bytes: &[u8]) -> Result<Vec<u8>> {
    let Some(text) = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.contains("-----BEGIN"))
    else {
        return Ok(bytes.to_vec());
    };
    let body: String = text
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "-----BEGIN PRIVATE KEY-----")
        .skip(1)
        .take_while(|line| !line.starts_with("-----"))
        .collect();
    STANDARD
        .decode(body)
        .map_err(|_| Error::other("not a PKCS#8 private key (openssl pkcs8 -topk8 -nocrypt makes one)"))
}

fn generate() -> Result<Vec<u8>> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map_err(|_| Error::other("no signing key could be made"))?;
    Ok(document.as_ref().to_vec())
}

fn make_if_absent(directory: &Path, name: &str, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<()> {
    // Keys that were rotated stand for the first one, which is gone.
    if name == "signing.p8" && directory.try_exists()? && !dated(directory, "signing", ".p8")?.is_empty() {
        return Ok(());
    }
    make_once(&directory.join(name), make)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
    }

    fn scratch() -> PathBuf {
        std::env::temp_dir().join(format!("sampark-keys-{}", Uuid::new_v4()))
    }

    #[test]
    fn the_keys_survive_a_restart() {
        let directory = scratch();
        let (first, second) = (
            KeyRing::load_or_make(&directory).unwrap(),
            KeyRing::load_or_make(&directory).unwrap(),
        );
        assert_eq!(first.jwks(), second.jwks());
        let writes = |ring: &KeyRing| *ring.code_keys(at(0)).writes();
        assert_eq!(writes(&first), writes(&second));
        use std::os::unix::fs::PermissionsExt;
        for name in ["signing.p8", "codes.key"] {
            let mode = fs::metadata(directory.join("keys").join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_new_key_signs_once_it_has_settled_and_an_old_one_goes_when_its_tokens_have() {
        let directory = scratch();
        let ring = KeyRing::load_or_make(&directory).unwrap();
        let signer = |seconds| ring.signer(at(seconds)).unwrap().kid.clone();
        let first = signer(0);
        let (second, removed) = rotate(&directory, at(0), false).unwrap();
        ring.reload().unwrap();
        assert_eq!((removed, ring.keys().len()), (0, 2));
        assert_eq!((signer(59), signer(60)), (first.clone(), second.clone()));
        // Two hours after the second began to sign, no token of the first is left.
        let (third, removed) = rotate(&directory, at(7260), false).unwrap();
        assert_eq!(removed, 0);
        let (fourth, removed) = rotate(&directory, at(7261), false).unwrap();
        ring.reload().unwrap();
        assert_eq!(removed, 1);
        assert!(ring.find(&first).is_none() && ring.find(&second).is_some() && ring.find(&third).is_some());
        assert_eq!(signer(7261 + 60), fourth);
        let (fifth, removed) = rotate(&directory, at(7300), true).unwrap();
        ring.reload().unwrap();
        assert_eq!((removed, ring.keys().len(), signer(7300)), (3, 1, fifth));
        // A restart does not bring the first one back.
        assert_eq!(KeyRing::load_or_make(&directory).unwrap().keys().len(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn keys_may_be_pem_and_what_is_none_is_named() {
        let directory = scratch();
        fs::create_dir_all(&directory).unwrap();
        let (der, pem, bad) = (directory.join("a"), directory.join("b"), directory.join("c"));
        let bytes = generate().unwrap();
        fs::write(&der, &bytes).unwrap();
        let text = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(&bytes)
        );
        fs::write(&pem, text).unwrap();
        fs::write(&bad, "hush").unwrap();
        let ring = |files: &[&PathBuf]| {
            KeyRing::from_source(
                Source::Files(files.iter().map(|file| (*file).clone()).collect()),
                CodeRing::ephemeral().unwrap(),
            )
        };
        // The same key twice is one key; a file that is not there yet is passed over.
        let ring_of_two = ring(&[&pem, &der, &directory.join("next")]).unwrap();
        assert_eq!(ring_of_two.keys().len(), 1);
        let error = ring(&[&der, &bad]).unwrap_err().to_string();
        assert!(
            error.contains(bad.to_str().unwrap()) && !error.contains("hush"),
            "{error}"
        );
        assert!(ring(&[&directory.join("next")]).is_err());
        // What is loaded stays when the files break.
        fs::write(&der, "").unwrap();
        fs::write(&pem, "").unwrap();
        assert!(ring_of_two.reload().is_err());
        assert_eq!(ring_of_two.keys().len(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_published_keys_have_no_private_part() {
        let jwks = KeyRing::ephemeral().unwrap().jwks();
        assert!(jwks["keys"][0].get("d").is_none());
    }
}
