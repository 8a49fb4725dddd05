//! The keys that sign tree heads (Ed25519), apart from those that sign tokens: where they lie and how they are replaced.
//!
//! * In the data directory (the default): `seal-keys/seal-<unix time>.p8`, made at the first start, the private key that
//!   signs; and `seal-keys/seal-<unix time>.pub` of every key that ever signed. `sampark rotate-seal-key` makes a new
//!   pair and destroys the older private keys; their heads stay verifiable.
//! * Named by `SAMPARK_SEAL_KEY_FILES`: PEM files; the first that holds a private key signs, all verify.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::entry::Digest;
use super::seal::SignedHead;
use crate::platform::ids::UnitId;
use crate::platform::private_files::{dated, make_new};

/// How often the files are looked at again.
const RELOAD: TimeDelta = TimeDelta::seconds(5);
/// What stands before the 32 bytes of an Ed25519 key in SubjectPublicKeyInfo (RFC 8410).
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealKey {
    /// RFC 7638: the thumbprint.
    pub kid: String,
    public: [u8; 32],
}

impl SealKey {
    fn new(public: [u8; 32]) -> Self {
        let x = URL_SAFE_NO_PAD.encode(public);
        let thumbprint = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Self {
            kid: URL_SAFE_NO_PAD.encode(Digest::of_bytes(thumbprint.as_bytes()).0),
            public,
        }
    }

    /// Whether this key signed the message.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public)
            .verify(message, signature)
            .is_ok()
    }

    /// As a JWK (RFC 8037).
    #[must_use]
    pub fn jwk(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.kid,
               "x": URL_SAFE_NO_PAD.encode(self.public)})
    }

    /// From a JWK that [`SealKey::jwk`] made.
    #[must_use]
    pub fn of_jwk(jwk: &Value) -> Option<Self> {
        let x = URL_SAFE_NO_PAD.decode(jwk.get("x")?.as_str()?).ok()?;
        (jwk.get("crv")? == "Ed25519").then_some(Self::new(x.try_into().ok()?))
    }
}

/// Keys as loaded.
pub struct Loaded {
    signer: Ed25519KeyPair,
    /// Every key that verifies, the one that signs first.
    pub public: Vec<SealKey>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl Loaded {
    /// A head, signed.
    #[must_use]
    pub fn sign(&self, state_id: UnitId, size: i64, root: Digest, now: DateTime<Utc>) -> SignedHead {
        let mut head = SignedHead {
            state_id,
            size,
            root: root.0.to_vec(),
            signed_at: now,
            kid: self.public.first().map(|key| key.kid.clone()).unwrap_or_default(),
            signature: Vec::new(),
        };
        head.signature = self.signer.sign(head.text().as_bytes()).as_ref().to_vec();
        head
    }

    /// The public keys as a JWK set (RFC 7517).
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({"keys": self.public.iter().map(SealKey::jwk).collect::<Vec<_>>()})
    }
}

#[derive(Clone, Debug)]
enum Source {
    Directory(PathBuf),
    Files(Vec<PathBuf>),
}

/// What was read last, and when.
type Held = (DateTime<Utc>, Arc<Loaded>);

/// Where the keys lie, and what was read there last. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SealKeys {
    source: Source,
    held: Arc<Mutex<Option<Held>>>,
}

impl SealKeys {
    /// Those of these files, or, if none are named, of the data directory. Reads nothing yet.
    #[must_use]
    pub fn new(data_dir: &Path, files: &[PathBuf]) -> Self {
        let source = if files.is_empty() {
            Source::Directory(data_dir.join("seal-keys"))
        } else {
            Source::Files(files.to_vec())
        };
        Self {
            source,
            held: Arc::default(),
        }
    }

    /// The keys, read again every few seconds; the first one is made if the data directory has none.
    ///
    /// # Errors
    /// If they cannot be read or made and never were.
    pub fn loaded(&self, now: DateTime<Utc>) -> Result<Arc<Loaded>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, loaded)) = &*held
            && (now - *at).abs() < RELOAD
        {
            return Ok(loaded.clone());
        }
        let read = match &self.source {
            Source::Directory(directory) => load_directory(directory, now),
            Source::Files(files) => load_files(files),
        };
        match (read, &*held) {
            (Ok(loaded), _) => {
                let loaded = Arc::new(loaded);
                *held = Some((now, loaded.clone()));
                Ok(loaded)
            }
            (Err(error), Some((_, loaded))) => {
                tracing::warn!(%error, "the seal keys cannot be read again; going on with those that were");
                Ok(loaded.clone())
            }
            (Err(error), None) => Err(error),
        }
    }
}

/// Makes a new key in the data directory and destroys the older private ones. Returns the new key's name.
///
/// # Errors
/// If the directory cannot be written.
pub fn rotate(data_dir: &Path, now: DateTime<Utc>) -> Result<String> {
    let directory = data_dir.join("seal-keys");
    let old = dated(&directory, "seal", ".p8")?;
    let mut made_at = now.timestamp();
    while old.iter().any(|(known, _)| *known >= made_at) {
        made_at = made_at.saturating_add(1);
    }
    let kid = make(&directory, made_at)?;
    for (_, file) in old {
        fs::remove_file(file)?;
    }
    Ok(kid)
}

fn make(directory: &Path, made_at: i64) -> Result<String> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let failed = |_| Error::other("no seal key could be made");
    let pair = Ed25519KeyPair::generate().map_err(failed)?;
    let private = pair.to_pkcs8().map_err(failed)?;
    let key = key_of(&pair)?;
    let spki = [&SPKI[..], &key.public].concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(spki)
    );
    // The public half first: a head that was signed can then be verified, whenever the program ends.
    make_new(&directory.join(format!("seal-{made_at}.pub")), pem.as_bytes())?;
    make_new(&directory.join(format!("seal-{made_at}.p8")), private.as_ref())?;
    Ok(key.kid)
}

fn key_of(pair: &Ed25519KeyPair) -> Result<SealKey> {
    let public = pair.public_key().as_ref();
    let public = public
        .try_into()
        .map_err(|_| Error::other("not an Ed25519 key"))?;
    Ok(SealKey::new(public))
}

fn load_directory(directory: &Path, now: DateTime<Utc>) -> Result<Loaded> {
    if dated(directory, "seal", ".p8")?.is_empty() {
        match make(directory, now.timestamp()) {
            // Another process made one at the same moment: its key is as good.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => {
                made?;
            }
        }
    }
    let files = |ending| {
        Ok::<_, Error>(
            dated(directory, "seal", ending)?
                .into_iter()
                .map(|(_, file)| file),
        )
    };
    let newest_first = files(".p8")?.rev().chain(files(".pub")?.rev());
    load_files(&newest_first.collect::<Vec<_>>())
}

fn load_files(files: &[PathBuf]) -> Result<Loaded> {
    let (mut signer, mut public) = (None, Vec::new());
    for file in files {
        let named = |error: Error| Error::new(error.kind(), format!("{}: {error}", file.display()));
        let bytes = fs::read(file).map_err(named)?;
        let key = match parse(&bytes).map_err(named)? {
            Parsed::Public(key) => key,
            Parsed::Private(pair) => {
                let key = key_of(&pair)?;
                if signer.is_none() {
                    signer = Some(pair);
                    // Its public half may have been named before it.
                    public.retain(|known| *known != key);
                    public.insert(0, key.clone());
                }
                key
            }
        };
        if !public.contains(&key) {
            public.push(key);
        }
    }
    let signer = signer.ok_or_else(|| Error::other("there is no private key to sign heads with"))?;
    Ok(Loaded { signer, public })
}

enum Parsed {
    Private(Ed25519KeyPair),
    Public(SealKey),
}

/// PKCS#8 or SubjectPublicKeyInfo, as it is or out of PEM (RFC 7468).
fn parse(bytes: &[u8]) -> Result<Parsed> {
    let bad = |_| Error::other("not an Ed25519 key (openssl genpkey -algorithm ed25519 makes one)");
    let der = match std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.contains("-----BEGIN"))
    {
        Some(text) => {
            let body: String = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.starts_with("-----"))
                .collect();
            STANDARD.decode(body).map_err(|error| bad(error.to_string()))?
        }
        None => bytes.to_vec(),
    };
    if let Some(public) = der.strip_prefix(&SPKI) {
        let public = public.try_into().map_err(|_| bad(String::new()))?;
        return Ok(Parsed::Public(SealKey::new(public)));
    }
    let pair = Ed25519KeyPair::from_pkcs8(&der).or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der));
    Ok(Parsed::Private(pair.map_err(|error| bad(error.to_string()))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
    }

    fn scratch() -> PathBuf {
        std::env::temp_dir().join(format!("sampark-seals-{}", uuid::Uuid::new_v4()))
    }

    fn head(keys: &SealKeys, seconds: i64) -> SignedHead {
        let keys = keys.loaded(at(seconds)).unwrap();
        keys.sign(UnitId(2), 9, Digest::of_bytes(b"root"), at(seconds))
    }

    #[test]
    fn a_rotation_keeps_old_heads_verifiable_and_destroys_the_old_private_key() {
        let directory = scratch();
        let keys = SealKeys::new(&directory, &[]);
        let old = head(&keys, 0);
        let kid = rotate(&directory, at(1)).unwrap();
        let new = head(&keys, 10);
        assert_eq!(new.kid, kid);
        assert_ne!(old.kid, kid);
        let public = SealKeys::new(&directory, &[])
            .loaded(at(20))
            .unwrap()
            .public
            .clone();
        assert!(old.is_signed_by(&public) && new.is_signed_by(&public));
        assert_eq!(
            dated(&directory.join("seal-keys"), "seal", ".p8").unwrap().len(),
            1
        );
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn another_key_or_text_does_not_verify() {
        let (one, other) = (scratch(), scratch());
        let (ours, theirs) = (SealKeys::new(&one, &[]), SealKeys::new(&other, &[]));
        let public = ours.loaded(at(0)).unwrap().public.clone();
        assert!(head(&ours, 0).is_signed_by(&public));
        assert!(!head(&theirs, 0).is_signed_by(&public));
        let mut changed = head(&ours, 0);
        changed.size += 1;
        assert!(!changed.is_signed_by(&public));
        let key = SealKey::of_jwk(&public[0].jwk()).unwrap();
        assert_eq!(key, public[0]);
        fs::remove_dir_all(one).unwrap();
        fs::remove_dir_all(other).unwrap();
    }

    #[test]
    fn keys_are_taken_from_named_files_private_and_public() {
        let directory = scratch();
        head(&SealKeys::new(&directory, &[]), 0);
        rotate(&directory, at(1)).unwrap();
        let folder = directory.join("seal-keys");
        let files: Vec<PathBuf> = [
            dated(&folder, "seal", ".pub").unwrap(),
            dated(&folder, "seal", ".p8").unwrap(),
        ]
        .concat()
        .into_iter()
        .map(|(_, file)| file)
        .collect();
        let loaded = SealKeys::new(Path::new("/nowhere"), &files)
            .loaded(at(2))
            .unwrap();
        assert_eq!(loaded.public.len(), 2);
        let public_alone = SealKeys::new(Path::new("/nowhere"), &files[..2]);
        assert!(
            public_alone
                .loaded(at(2))
                .unwrap_err()
                .to_string()
                .contains("no private key")
        );
        fs::remove_dir_all(directory).unwrap();
    }
}
