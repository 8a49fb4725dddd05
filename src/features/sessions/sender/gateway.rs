//! A message gateway over HTTPS. docs/gateway.md tells its side.

use std::time::Duration;

use awc::http::StatusCode;
use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::Message;

/// How long a message may take, from connecting to the status of the answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where messages go, and the key that signs them.
pub struct Gateway {
    url: String,
    key: hmac::Key,
    client: awc::Client,
}

/// How a try ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Sent,
    /// It may work later.
    Failed(String),
    /// It will not work, however often it is tried.
    Refused(String),
    /// No key that this process holds opens it: a new one has not reached it yet, or it was taken away. Another process may
    /// send it, or this one later.
    Unreadable,
}

impl Gateway {
    /// Lives on one thread, like its client.
    pub fn new(url: &str, key: &SecretString) -> Self {
        let connector = awc::Connector::new().timeout(CONNECT_TIMEOUT).limit(16);
        Self {
            url: url.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret().as_bytes()),
            client: awc::Client::builder()
                .connector(connector)
                .timeout(TIMEOUT)
                .disable_redirects()
                .finish(),
        }
    }

    /// Tries once.
    pub async fn send(&self, message: &Message, now: DateTime<Utc>) -> Outcome {
        let body = json!({
            "id": message.id, "to": message.phone, "language": message.language, "template": "sign_in_code",
            "code": message.code, "text": message.text, "expires_at": message.expires_at,
        })
        .to_string();
        let timestamp = now.timestamp().to_string();
        let signature = hmac::sign(&self.key, format!("{timestamp}.{body}").as_bytes());
        let hex: String = signature
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let sending = self
            .client
            .post(&self.url)
            .insert_header(("content-type", "application/json"))
            .insert_header(("idempotency-key", message.id.to_string()))
            .insert_header(("x-sampark-timestamp", timestamp))
            .insert_header(("x-sampark-signature", format!("v1={hex}")))
            .send_body(body);
        // Not an error's text of the client's: it may hold the URL, and that a key.
        match tokio::time::timeout(TIMEOUT, sending).await {
            Err(_) => Outcome::Failed("no answer in time".to_owned()),
            Ok(Err(_)) => Outcome::Failed("it cannot be reached".to_owned()),
            Ok(Ok(answer)) => outcome_of(answer.status()),
        }
    }
}

fn outcome_of(status: StatusCode) -> Outcome {
    let said = format!("it answered {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Outcome::Sent,
        408 | 425 | 429 | 500..=599 => Outcome::Failed(said),
        _ => Outcome::Refused(said),
    }
}
