//! One POST to a webhook: resolved, every address judged, connected to a judged one, no redirects.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::address::may_reach;
use super::queries::BatchRow;
use super::rules;

/// How long a try may take, from resolving the name to the status of the answer.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a try failed, without the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub why: String,
    /// The receiver says that there is nobody any more: 410.
    pub gone: bool,
}

impl From<&str> for Failure {
    fn from(why: &str) -> Self {
        Self {
            why: why.to_owned(),
            gone: false,
        }
    }
}

/// Sends. Lives on one thread, like its client.
pub struct Outgoing {
    client: awc::Client,
    allow_loopback: bool,
}

impl Outgoing {
    pub fn new(allow_loopback: bool) -> Self {
        // No connection is kept: each is made to an address that was judged for it.
        let connector = awc::Connector::new()
            .timeout(TIMEOUT)
            .conn_keep_alive(Duration::ZERO)
            .conn_lifetime(Duration::ZERO);
        let client = awc::Client::builder()
            .connector(connector)
            .timeout(TIMEOUT)
            .disable_redirects()
            .finish();
        Self {
            client,
            allow_loopback,
        }
    }

    /// Tries once.
    pub async fn send(
        &self,
        url: &str,
        secrets: &[Vec<u8>],
        batch: &BatchRow,
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        match tokio::time::timeout(TIMEOUT, self.try_send(url, secrets, batch, now)).await {
            Ok(done) => done,
            Err(_) => Err("no answer in time".into()),
        }
    }

    async fn try_send(
        &self,
        url: &str,
        secrets: &[Vec<u8>],
        batch: &BatchRow,
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        rules::check_url(url, self.allow_loopback).map_err(|_| "its URL is not allowed any more")?;
        let (uri, host, port) = rules::target_of(url).ok_or("its URL cannot be read")?;
        let found = tokio::net::lookup_host((host.as_str(), port))
            .await
            .map_err(|_| "its name cannot be resolved")?;
        let addresses: Vec<_> = found.collect();
        // One that is not public spoils all: such a name is made to deceive.
        if !addresses
            .iter()
            .all(|address| may_reach(address.ip(), self.allow_loopback))
        {
            return Err("its name leads to a private address".into());
        }
        let address = addresses.first().ok_or("its name has no address")?;
        let (id, timestamp) = (batch.message_id.to_string(), now.timestamp());
        let answer = self
            .client
            .post(uri)
            .address(*address)
            .insert_header(("content-type", "application/json"))
            .insert_header(("webhook-id", id.as_str()))
            .insert_header(("webhook-timestamp", timestamp.to_string()))
            .insert_header((
                "webhook-signature",
                rules::signatures(secrets, &id, timestamp, &batch.body),
            ))
            .send_body(batch.body.clone())
            .await
            .map_err(|_| "it cannot be reached")?;
        if answer.status().is_success() {
            Ok(())
        } else {
            let status = answer.status().as_u16();
            Err(Failure {
                why: format!("it answered {status}"),
                gone: status == 410,
            })
        }
    }
}
