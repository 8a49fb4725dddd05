//! Configuration: read once from the environment, typed, refused at start when it makes no sense.
//! The table in docs/configuration.md is printed from [`VARIABLES`] by a test.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;
use ipnet::IpNet;
use secrecy::SecretString;

mod variables;

use super::limits::Rates;
pub use variables::{VARIABLES, Variable};

/// How one-time codes leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtpSender {
    /// A log line; for development.
    Console,
    /// One JSON object a line appended to a file; for tests and gateways that follow a file.
    File(PathBuf),
    /// A gateway over HTTPS, at this URL.
    Gateway(String),
}

/// What is done with a database that may lose what it has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    Refuse,
    Warn,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Pretty,
    Json,
}

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `None`: run the private PostgreSQL.
    pub database_url: Option<SecretString>,
    /// Of the tables' owner, if `database_url` is the server's alone.
    pub owner_database_url: Option<SecretString>,
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    /// Empty: those of the data directory.
    pub signing_key_files: Vec<PathBuf>,
    /// Empty: those of the data directory.
    pub seal_key_files: Vec<PathBuf>,
    /// Empty: those of the data directory.
    pub code_key_files: Vec<PathBuf>,
    /// `None`: the one of the data directory.
    pub data_keys_file: Option<PathBuf>,
    pub pg_bin: Option<PathBuf>,
    /// `PATH`, in which PostgreSQL's programs are looked for.
    pub path: Option<OsString>,
    pub archive_dir: Option<PathBuf>,
    pub pool_size: usize,
    /// How long a transaction may take to begin.
    pub database_wait: Duration,
    /// How far a standby that is read may be behind.
    pub standby_lag: Duration,
    pub durability: Durability,
    pub workers: Option<usize>,
    pub rates: Rates,
    pub max_in_flight: usize,
    pub body_wait: Duration,
    /// How long a request may take once its body has arrived.
    pub request_wait: Duration,
    pub cors_origins: Vec<String>,
    pub trusted_proxies: Vec<IpNet>,
    /// `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    pub otp_sender: OtpSender,
    /// Signs what is sent to the gateway.
    pub otp_gateway_key: Option<SecretString>,
    pub otp_per_hour: i64,
    pub otp_per_day: i64,
    /// For tests alone.
    pub webhooks_allow_loopback: bool,
    pub time_zone: Tz,
    pub phone_prefixes: Vec<String>,
    /// `None`: by whether standard error is a terminal.
    pub log_format: Option<LogFormat>,
    pub log_filter: String,
}

/// A variable whose value makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{name}={value:?}: {reason}")]
pub struct ConfigError {
    name: &'static str,
    value: String,
    reason: String,
}

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// Names the first variable whose value makes no sense.
    pub fn from_env() -> Result<Self, ConfigError> {
        let mut values = BTreeMap::new();
        for variable in VARIABLES {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one room that reads the environment"
            )]
            if let Ok(value) = std::env::var(variable.name) {
                values.insert(variable.name, value);
            }
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the one room that reads the environment"
        )]
        let path = std::env::var_os("PATH");
        // A secret may lie in a file instead, which other processes' environments do not show.
        let (name, file_name) = ("SAMPARK_OTP_GATEWAY_KEY", "SAMPARK_OTP_GATEWAY_KEY_FILE");
        if let Some(file) = values.get(file_name).filter(|file| !file.is_empty()) {
            let text =
                std::fs::read_to_string(file).map_err(|error| refuse(file_name, file, &error.to_string()))?;
            values.insert(name, text.trim().to_owned());
        }
        Self::from_values(&values, path)
    }

    /// The same from values at hand; an empty value counts as unset.
    ///
    /// # Errors
    /// Names the first variable whose value makes no sense.
    pub fn from_values(
        values: &BTreeMap<&'static str, String>,
        path: Option<OsString>,
    ) -> Result<Self, ConfigError> {
        let get = |name: &'static str| {
            values
                .get(name)
                .map(String::as_str)
                .filter(|value| !value.is_empty())
        };
        Ok(Self {
            database_url: get("DATABASE_URL").map(SecretString::from),
            owner_database_url: get("SAMPARK_OWNER_DATABASE_URL").map(SecretString::from),
            listen: parse(
                "SAMPARK_LISTEN",
                get("SAMPARK_LISTEN").unwrap_or("127.0.0.1:8080"),
                "not an address and port such as 127.0.0.1:8080",
            )?,
            data_dir: PathBuf::from(get("SAMPARK_DATA_DIR").unwrap_or(".sampark")),
            signing_key_files: paths(get("SAMPARK_SIGNING_KEY_FILES")),
            seal_key_files: paths(get("SAMPARK_SEAL_KEY_FILES")),
            code_key_files: paths(get("SAMPARK_CODE_KEY_FILE")),
            data_keys_file: get("SAMPARK_DATA_KEYS_FILE").map(PathBuf::from),
            pg_bin: get("SAMPARK_PG_BIN").map(PathBuf::from),
            path,
            archive_dir: get("SAMPARK_ARCHIVE_DIR").map(PathBuf::from),
            pool_size: bounded(
                "SAMPARK_DATABASE_POOL",
                get("SAMPARK_DATABASE_POOL").unwrap_or("16"),
                2,
                200,
            )?,
            database_wait: milliseconds(
                "SAMPARK_DATABASE_WAIT_MS",
                get("SAMPARK_DATABASE_WAIT_MS").unwrap_or("800"),
            )?,
            standby_lag: Duration::from_secs(
                rate_in(
                    "SAMPARK_STANDBY_LAG_SECONDS",
                    get("SAMPARK_STANDBY_LAG_SECONDS").unwrap_or("60"),
                    3600,
                )?
                .into(),
            ),
            durability: durability(get("SAMPARK_DURABILITY").unwrap_or("refuse"))?,
            workers: get("SAMPARK_WORKERS")
                .map(|value| bounded("SAMPARK_WORKERS", value, 1, 64))
                .transpose()?,
            rates: Rates {
                account: rate(
                    "SAMPARK_RATE_ACCOUNT",
                    get("SAMPARK_RATE_ACCOUNT").unwrap_or("20"),
                )?,
                device: rate("SAMPARK_RATE_DEVICE", get("SAMPARK_RATE_DEVICE").unwrap_or("10"))?,
                service: rate(
                    "SAMPARK_RATE_SERVICE",
                    get("SAMPARK_RATE_SERVICE").unwrap_or("50"),
                )?,
                address: rate(
                    "SAMPARK_RATE_ADDRESS",
                    get("SAMPARK_RATE_ADDRESS").unwrap_or("100"),
                )?,
            },
            max_in_flight: bounded(
                "SAMPARK_MAX_IN_FLIGHT",
                get("SAMPARK_MAX_IN_FLIGHT").unwrap_or("1024"),
                1,
                100_000,
            )?,
            body_wait: Duration::from_secs(
                rate_in(
                    "SAMPARK_BODY_SECONDS",
                    get("SAMPARK_BODY_SECONDS").unwrap_or("20"),
                    20,
                )?
                .into(),
            ),
            request_wait: Duration::from_secs(
                rate_in(
                    "SAMPARK_REQUEST_SECONDS",
                    get("SAMPARK_REQUEST_SECONDS").unwrap_or("5"),
                    60,
                )?
                .into(),
            ),
            cors_origins: origins(get("SAMPARK_CORS_ORIGINS"))?,
            trusted_proxies: networks(get("SAMPARK_TRUSTED_PROXIES"))?,
            tls: tls(get("SAMPARK_TLS_CERT_FILE"), get("SAMPARK_TLS_KEY_FILE"))?,
            otp_sender: otp_sender(
                get("SAMPARK_OTP_SENDER").unwrap_or("console"),
                get("SAMPARK_OTP_GATEWAY_KEY"),
            )?,
            otp_gateway_key: get("SAMPARK_OTP_GATEWAY_KEY").map(SecretString::from),
            otp_per_hour: budget(
                "SAMPARK_OTP_PER_HOUR",
                get("SAMPARK_OTP_PER_HOUR").unwrap_or("20000"),
            )?,
            otp_per_day: budget(
                "SAMPARK_OTP_PER_DAY",
                get("SAMPARK_OTP_PER_DAY").unwrap_or("100000"),
            )?,
            webhooks_allow_loopback: parse(
                "SAMPARK_WEBHOOKS_ALLOW_LOOPBACK",
                get("SAMPARK_WEBHOOKS_ALLOW_LOOPBACK").unwrap_or("false"),
                "neither `true` nor `false`",
            )?,
            time_zone: parse(
                "SAMPARK_TIME_ZONE",
                get("SAMPARK_TIME_ZONE").unwrap_or("Asia/Kolkata"),
                "not an IANA time zone such as Asia/Kolkata",
            )?,
            phone_prefixes: phone_prefixes(get("SAMPARK_PHONE_PREFIXES").unwrap_or("+91"))?,
            log_format: get("SAMPARK_LOG_FORMAT").map(log_format).transpose()?,
            log_filter: get("RUST_LOG").unwrap_or("info").to_owned(),
        })
    }
}

fn refuse(name: &'static str, value: &str, reason: &str) -> ConfigError {
    ConfigError {
        name,
        value: value.to_owned(),
        reason: reason.to_owned(),
    }
}

fn parse<T: std::str::FromStr>(name: &'static str, value: &str, reason: &str) -> Result<T, ConfigError> {
    value.parse().map_err(|_| refuse(name, value, reason))
}

/// A comma-separated list of files.
fn paths(value: Option<&str>) -> Vec<PathBuf> {
    value
        .map(|files| files.split(',').map(|file| PathBuf::from(file.trim())).collect())
        .unwrap_or_default()
}

fn bounded(name: &'static str, value: &str, least: usize, most: usize) -> Result<usize, ConfigError> {
    let reason = format!("not a whole number from {least} to {most}");
    let number: usize = parse(name, value, &reason)?;
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(refuse(name, value, &reason))
    }
}

fn rate(name: &'static str, value: &str) -> Result<u32, ConfigError> {
    rate_in(name, value, 1_000_000)
}

fn rate_in(name: &'static str, value: &str, most: usize) -> Result<u32, ConfigError> {
    let number = bounded(name, value, 1, most)?;
    u32::try_from(number).map_err(|_| refuse(name, value, "too large"))
}

fn milliseconds(name: &'static str, value: &str) -> Result<Duration, ConfigError> {
    let number = bounded(name, value, 100, 60_000)?;
    let number = u64::try_from(number).map_err(|_| refuse(name, value, "too large"))?;
    Ok(Duration::from_millis(number))
}

fn durability(value: &str) -> Result<Durability, ConfigError> {
    match value {
        "refuse" => Ok(Durability::Refuse),
        "warn" => Ok(Durability::Warn),
        _ => Err(refuse("SAMPARK_DURABILITY", value, "neither `refuse` nor `warn`")),
    }
}

fn origins(value: Option<&str>) -> Result<Vec<String>, ConfigError> {
    let origins: Vec<String> = value
        .into_iter()
        .flat_map(|value| value.split(','))
        .map(|origin| origin.trim().to_owned())
        .collect();
    let good = |origin: &String| {
        let host = origin.strip_prefix("https://").or(origin.strip_prefix("http://"));
        host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' ']))
    };
    if origins.iter().all(good) {
        Ok(origins)
    } else {
        let value = value.unwrap_or_default();
        Err(refuse(
            "SAMPARK_CORS_ORIGINS",
            value,
            "not origins such as https://desk.example",
        ))
    }
}

fn networks(value: Option<&str>) -> Result<Vec<IpNet>, ConfigError> {
    let networks = value.into_iter().flat_map(|value| value.split(','));
    networks
        .map(|network| {
            let network = network.trim();
            let one = network.parse::<IpAddr>().map(IpNet::from);
            network.parse().or(one).map_err(|_| {
                refuse(
                    "SAMPARK_TRUSTED_PROXIES",
                    network,
                    "not a network such as 10.0.0.0/8",
                )
            })
        })
        .collect()
}

fn tls(cert: Option<&str>, key: Option<&str>) -> Result<Option<TlsFiles>, ConfigError> {
    match (cert, key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => Ok(Some(TlsFiles {
            cert: PathBuf::from(cert),
            key: PathBuf::from(key),
        })),
        (Some(cert), None) => Err(refuse(
            "SAMPARK_TLS_CERT_FILE",
            cert,
            "needs SAMPARK_TLS_KEY_FILE",
        )),
        (None, Some(key)) => Err(refuse("SAMPARK_TLS_KEY_FILE", key, "needs SAMPARK_TLS_CERT_FILE")),
    }
}

fn budget(name: &'static str, value: &str) -> Result<i64, ConfigError> {
    let number = bounded(name, value, 1, 1_000_000)?;
    i64::try_from(number).map_err(|_| refuse(name, value, "too large"))
}

fn otp_sender(value: &str, key: Option<&str>) -> Result<OtpSender, ConfigError> {
    let refuse = |reason: &str| Err(refuse("SAMPARK_OTP_SENDER", value, reason));
    match value.split_once(':') {
        None if value == "console" => Ok(OtpSender::Console),
        Some(("file", path)) if !path.is_empty() => Ok(OtpSender::File(PathBuf::from(path))),
        Some(("https" | "http", rest)) if rest.len() > 2 && rest.starts_with("//") => {
            let host = rest.trim_start_matches('/');
            let here = ["127.0.0.1", "localhost", "[::1]"];
            let to_itself = here.iter().any(|name| {
                host.strip_prefix(name)
                    .is_some_and(|after| after.is_empty() || after.starts_with([':', '/']))
            });
            if value.starts_with("http:") && !to_itself {
                return refuse("codes leave this machine over https alone");
            }
            if key.is_none_or(|key| key.len() < 32) {
                return refuse("a gateway needs SAMPARK_OTP_GATEWAY_KEY of 32 characters or more");
            }
            Ok(OtpSender::Gateway(value.to_owned()))
        }
        _ => refuse("neither `console` nor `file:PATH` nor `https://…`"),
    }
}

fn phone_prefixes(value: &str) -> Result<Vec<String>, ConfigError> {
    let prefixes: Vec<String> = value.split(',').map(|prefix| prefix.trim().to_owned()).collect();
    let good = |prefix: &String| {
        prefix
            .strip_prefix('+')
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if prefixes.iter().all(good) {
        Ok(prefixes)
    } else {
        Err(refuse(
            "SAMPARK_PHONE_PREFIXES",
            value,
            "not prefixes such as +91,+977",
        ))
    }
}

fn log_format(value: &str) -> Result<LogFormat, ConfigError> {
    match value {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err(refuse("SAMPARK_LOG_FORMAT", value, "neither `pretty` nor `json`")),
    }
}

#[cfg(test)]
mod tests;
