//! How one-time codes leave: from the outbox, in the background, so that no request waits for a gateway and a kill loses
//! no code. Any number of processes may run a sender; each message is claimed by one at a time.

mod breaker;
mod gateway;
mod messages;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::queries::outbox::{self, OutboxRow};
use super::rules::{self, Sealed};
use crate::access::Access;
use crate::journal::{Actor, Record};
use crate::platform::clock::Clock;
use crate::platform::config::{Config, OtpSender};
use crate::platform::db::Db;
use crate::platform::error::ApiError;
use crate::platform::telemetry::Metrics;
use crate::platform::wall::SIGN_IN;
use breaker::Breaker;
use gateway::{Gateway, Outcome};

/// Messages sent at once.
const BATCH: i64 = 16;
/// How long a claimed message belongs to the process that claimed it; longer than a try takes.
const LEASE: TimeDelta = TimeDelta::seconds(15);
/// How often the outbox is looked at for what other processes left and for what is to be tried again.
const SWEEP: Duration = Duration::from_secs(1);

/// A code on its way.
pub struct Message {
    pub id: Uuid,
    pub phone: String,
    pub code: String,
    pub language: &'static str,
    pub text: String,
    pub expires_at: DateTime<Utc>,
}

/// Wakes the sender of this process.
#[derive(Clone, Debug, Default)]
pub struct Outbox(Arc<Notify>);

impl Outbox {
    /// Something was put into it.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Says at start what is not fit for real use.
pub fn warn(way: &OtpSender) {
    if matches!(way, OtpSender::Console) {
        tracing::warn!(
            "one-time codes are written to this log: set SAMPARK_OTP_SENDER before anyone relies on it"
        );
    }
}

/// The background task, on a thread of its own: the HTTP client stays on one.
#[derive(Debug)]
pub struct Sender {
    stop: Option<oneshot::Sender<()>>,
    done: oneshot::Receiver<()>,
}

struct Parts {
    db: Db,
    clock: Clock,
    access: Access,
    metrics: Metrics,
    outbox: Outbox,
    way: OtpSender,
    key: Option<SecretString>,
}

impl Sender {
    /// Starts sending.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(
        config: &Config,
        db: &Db,
        access: &Access,
        metrics: &Metrics,
        outbox: &Outbox,
    ) -> std::io::Result<Self> {
        let parts = Parts {
            db: db.as_program(&SIGN_IN),
            clock: access.clock().clone(),
            access: access.clone(),
            metrics: metrics.clone(),
            outbox: outbox.clone(),
            way: config.otp_sender.clone(),
            key: config.otp_gateway_key.clone(),
        };
        let (stop, stopped) = oneshot::channel();
        let (ended, done) = oneshot::channel();
        std::thread::Builder::new()
            .name("codes".to_owned())
            .spawn(move || {
                actix_web::rt::System::new().block_on(parts.run(stopped));
                let _ = ended.send(());
            })?;
        Ok(Self {
            stop: Some(stop),
            done,
        })
    }

    /// Ends it; what was not sent stays in the outbox.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = self.done.await;
    }
}

impl Parts {
    async fn run(self, mut stopped: oneshot::Receiver<()>) {
        let gateway = match (&self.way, &self.key) {
            (OtpSender::Gateway(url), Some(key)) => Some(Gateway::new(url, key)),
            _ => None,
        };
        let mut breaker = Breaker::default();
        loop {
            let more = match self.send_some(gateway.as_ref(), &mut breaker).await {
                Ok(sent) => sent >= BATCH,
                Err(error) => {
                    tracing::warn!(%error, "the outbox of codes cannot be read; trying again");
                    false
                }
            };
            if more {
                continue;
            }
            tokio::select! {
                _ = &mut stopped => break,
                () = tokio::time::sleep(SWEEP) => {}
                () = self.outbox.0.notified() => {}
            }
        }
    }

    /// Sends what is due; returns how much was claimed.
    async fn send_some(&self, gateway: Option<&Gateway>, breaker: &mut Breaker) -> Result<i64, ApiError> {
        let now = self.clock.now();
        let most = breaker.admits(BATCH, now);
        if most == 0 {
            return Ok(0);
        }
        let rows = self
            .db
            .write(&Actor::program(now), async move |tx| {
                outbox::drop_expired(tx, now).await?;
                let rows = outbox::claim(tx, now, now + LEASE, most).await?;
                Ok((rows, Record::nothing()))
            })
            .await?;
        let claimed = i64::try_from(rows.len()).unwrap_or(BATCH);
        let outcomes = join_all(rows.iter().map(|row| self.send_one(gateway, row, now))).await;
        for (row, outcome) in rows.iter().zip(&outcomes) {
            self.settle(breaker, row, outcome).await?;
        }
        Ok(claimed)
    }

    async fn send_one(&self, gateway: Option<&Gateway>, row: &OutboxRow, now: DateTime<Utc>) -> Outcome {
        let Some(Sealed {
            phone,
            code,
            language,
        }) = rules::open_message(&self.access.keys().code_keys(now), row.challenge_id, &row.sealed)
        else {
            return Outcome::Unreadable;
        };
        let minutes = (row.expires_at - row.created_at).num_minutes();
        let message = Message {
            id: row.challenge_id,
            text: messages::text_of(&language, &code, minutes),
            language: messages::language_for(&language),
            phone,
            code,
            expires_at: row.expires_at,
        };
        match (&self.way, gateway) {
            (OtpSender::Console, _) => {
                let (phone, code) = (&message.phone, &message.code);
                tracing::info!(target: "sampark::otp", "the code for {phone} is {code}");
                Outcome::Sent
            }
            (OtpSender::File(path), _) => {
                let (path, at) = (path.clone(), row.created_at);
                match tokio::task::spawn_blocking(move || append(&path, &message, at)).await {
                    Ok(Ok(())) => Outcome::Sent,
                    Ok(Err(error)) => Outcome::Failed(error.to_string()),
                    Err(error) => Outcome::Failed(error.to_string()),
                }
            }
            (OtpSender::Gateway(_), Some(gateway)) => gateway.send(&message, now).await,
            (OtpSender::Gateway(_), None) => Outcome::Refused("the gateway has no key".to_owned()),
        }
    }

    /// Takes a message out, or says when it is tried next.
    async fn settle(
        &self,
        breaker: &mut Breaker,
        row: &OutboxRow,
        outcome: &Outcome,
    ) -> Result<(), ApiError> {
        let now = self.clock.now();
        let (id, attempts) = (row.challenge_id, row.attempts);
        let result = match outcome {
            Outcome::Sent => {
                breaker.succeeded();
                "sent"
            }
            Outcome::Refused(why) => {
                tracing::error!(code = %id, why, "a one-time code cannot be sent");
                "refused"
            }
            Outcome::Failed(why) => {
                tracing::warn!(code = %id, attempts, why, "a one-time code could not be sent; trying again");
                if breaker.failed(now) {
                    tracing::error!("one-time codes cannot be sent: the gateway fails again and again");
                }
                "failed"
            }
            Outcome::Unreadable => {
                tracing::error!(code = %id, attempts, "a one-time code is sealed under a key that this process does not hold; trying again");
                "unreadable"
            }
        };
        self.metrics.codes.with_label_values(&[result]).inc();
        self.metrics.code_breaker_open.set(i64::from(breaker.is_open()));
        let again = matches!(outcome, Outcome::Failed(_) | Outcome::Unreadable)
            .then(|| now + rules::retry_pause(attempts));
        self.db
            .write(&Actor::program(now), async move |tx| {
                match again {
                    Some(at) => outbox::postpone(tx, id, at).await?,
                    None => outbox::remove(tx, id).await?,
                }
                Ok(((), Record::nothing()))
            })
            .await
    }
}

/// One JSON object a line, written in one call so that lines never mix.
fn append(path: &Path, message: &Message, at: DateTime<Utc>) -> std::io::Result<()> {
    let line = json!({"phone": message.phone, "code": message.code, "at": at, "language": message.language, "text": message.text});
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}
