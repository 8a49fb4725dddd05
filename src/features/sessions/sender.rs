//! How one-time codes leave.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::platform::config::OtpSender;

/// Sends codes as configured.
#[derive(Clone, Debug)]
pub struct Sender(OtpSender);

impl Sender {
    /// By this way.
    #[must_use]
    pub const fn new(way: OtpSender) -> Self {
        Self(way)
    }

    /// Says at start what is not fit for real use.
    pub fn warn(&self) {
        if matches!(self.0, OtpSender::Console) {
            tracing::warn!(
                "one-time codes are written to this log: set SAMPARK_OTP_SENDER before anyone relies on it"
            );
        }
    }

    /// Sends a code in the background, so that the answer takes the same time whether there is one to send or not.
    pub fn send(&self, phone: String, code: String, at: DateTime<Utc>) {
        match &self.0 {
            OtpSender::Console => tracing::info!(target: "sampark::otp", "the code for {phone} is {code}"),
            OtpSender::File(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = append(&path, &phone, &code, at) {
                        tracing::error!(%error, "a one-time code could not be written to its file");
                    }
                });
            }
        }
    }
}

/// One JSON object a line, written in one call so that lines never mix.
fn append(path: &Path, phone: &str, code: &str, at: DateTime<Utc>) -> std::io::Result<()> {
    let line = format!("{}\n", json!({"phone": phone, "code": code, "at": at}));
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(line.as_bytes())
}
