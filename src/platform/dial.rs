//! Reaching PostgreSQL, one way for the pool and for all that asks beside it: in the open, or by TLS as the URL says.
//!
//! The words are libpq's, so that `psql` and `pg_basebackup` take the same URL: `sslmode` and `sslrootcert`. Whoever asks
//! for TLS gets it with the server's certificate and name checked, whether he wrote `require`, `verify-ca` or `verify-full`:
//! an unchecked certificate keeps out nobody who sits on the line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What carries a client's questions; to be spawned where it shall live.
pub type Wire = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Why a connection cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("the URL of the database: {0}")]
    Url(String),
    #[error("the certificates that the database's is checked against, {}: {why}", .path.display())]
    Roots { path: PathBuf, why: String },
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
}

impl DialError {
    /// The server's own refusal, if it was reached and refused.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.as_db_error().is_some())
    }

    /// Whether it was reached and is only just starting, recovering or shutting down.
    #[must_use]
    pub fn is_not_yet(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        error.code() == Some(&tokio_postgres::error::SqlState::CANNOT_CONNECT_NOW)
    }
}

/// Where a database is, and how it is reached.
#[derive(Clone, Debug)]
pub struct Target {
    config: Config,
    /// The file of certificates that the server's is checked against; `None`: those of the public authorities.
    roots: Option<PathBuf>,
}

impl Target {
    /// From a libpq URL.
    ///
    /// # Errors
    /// If it is none, or asks for what there is not.
    pub fn parse(url: &str) -> Result<Self, DialError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut kept) = ("disable", None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = value,
                Some(("sslrootcert", "system")) => {}
                Some(("sslrootcert", value)) => roots = Some(PathBuf::from(unescaped(value)?)),
                _ => kept.push(pair),
            }
        }
        let rest = if kept.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{}", kept.join("&"))
        };
        let mut config: Config = rest.parse()?;
        config.ssl_mode(match mode {
            // The server is not asked: what it would offer unchecked is no better.
            "disable" | "allow" | "prefer" => SslMode::Disable,
            "require" | "verify-ca" | "verify-full" => SslMode::Require,
            other => {
                return Err(DialError::Url(format!(
                    "sslmode {other} is not known: disable or verify-full"
                )));
            }
        });
        Ok(Self { config, roots })
    }

    /// What else the URL says.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// As libpq is told of the TLS, in its environment.
    #[must_use]
    pub fn libpq(&self) -> [(&'static str, PathBuf); 2] {
        let (mode, unnamed) = if self.is_tls() {
            ("verify-full", "system")
        } else {
            ("disable", "")
        };
        let roots = self.roots.clone().unwrap_or_else(|| unnamed.into());
        [("PGSSLMODE", mode.into()), ("PGSSLROOTCERT", roots)]
    }

    fn is_tls(&self) -> bool {
        self.config.get_ssl_mode() == SslMode::Require
    }

    /// Whether what is said can be read on the way: no TLS, to another machine.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let near = |host: &Host| match host {
            Host::Tcp(name) => {
                name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
            }
            #[cfg(unix)]
            Host::Unix(_) => true,
        };
        !self.is_tls() && !self.config.get_hosts().iter().all(near)
    }

    /// Connects.
    ///
    /// # Errors
    /// If the server cannot be reached, refuses, or is not the one that its certificate must name.
    pub async fn dial(&self) -> Result<(Client, Wire), DialError> {
        let roots = if self.is_tls() {
            self.trusted()?
        } else {
            RootCertStore::empty()
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| DialError::Url(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(self.config.connect(MakeRustlsConnect::new(config)).await?)
    }

    fn trusted(&self) -> Result<RootCertStore, DialError> {
        let Some(path) = &self.roots else {
            return Ok(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
        };
        read_roots(path).map_err(|why| DialError::Roots {
            path: path.clone(),
            why,
        })
    }
}

fn read_roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    Ok(roots)
}

/// Connects to the database of a URL.
///
/// # Errors
/// As [`Target::parse`] and [`Target::dial`].
pub async fn dial(url: &str) -> Result<(Client, Wire), DialError> {
    Target::parse(url)?.dial().await
}

/// `%2F` and the like.
fn unescaped(value: &str) -> Result<String, DialError> {
    let wrong = || DialError::Url(format!("sslrootcert: {value} is not escaped rightly"));
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
            bytes.push(
                hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())
                    .ok_or_else(wrong)?,
            );
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(url: &str) -> [String; 2] {
        let told = Target::parse(url).unwrap().libpq();
        told.map(|(_, value)| value.to_string_lossy().into_owned())
    }

    #[test]
    fn tls_is_checked_or_not_spoken() {
        let at = "postgres://user:p%40ss@db.example:5432/sampark";
        assert_eq!(said(at), ["disable", ""]);
        assert_eq!(said(&format!("{at}?sslmode=prefer")), ["disable", ""]);
        for mode in ["require", "verify-ca", "verify-full"] {
            assert_eq!(said(&format!("{at}?sslmode={mode}")), ["verify-full", "system"]);
        }
        let named = format!("{at}?application_name=x&sslmode=verify-full&sslrootcert=%2Fetc/our%20ca.pem");
        assert_eq!(said(&named), ["verify-full", "/etc/our ca.pem"]);
        let target = Target::parse(&named).unwrap();
        assert_eq!(target.config().get_application_name(), Some("x"));
        assert_eq!(target.config().get_password(), Some(&b"p@ss"[..]));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for tail in [
            "?sslmode=on",
            "?sslrootcert=%2",
            "?sslrootcert=%zz",
            "?sslrootcert=%ff",
            "?ssl=1",
        ] {
            assert!(
                Target::parse(&format!("postgres://db/sampark{tail}")).is_err(),
                "{tail}"
            );
        }
    }

    #[test]
    fn only_what_leaves_the_machine_in_the_open_is_exposed() {
        let exposed = |url: &str| Target::parse(url).unwrap().is_exposed();
        assert!(exposed("postgres://10.0.0.7/sampark"));
        assert!(!exposed("postgres://10.0.0.7/sampark?sslmode=verify-full"));
        for near in ["127.0.0.1", "localhost", "[::1]", "%2Frun%2Fpostgresql"] {
            assert!(!exposed(&format!("postgres://{near}/sampark")), "{near}");
        }
    }
}
