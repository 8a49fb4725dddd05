//! One-time codes: asked for, tried.

use actix_web::http::StatusCode;
use actix_web::{post, web};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use uuid::Uuid;

use super::{Begun, entry, idle_until};
use crate::access::code_keys::CodeKeys;
use crate::access::{Access, Strength};
use crate::features::sessions::queries::{self, ChallengeRow, NewCode, RosterRow, guards, outbox};
use crate::features::sessions::rules::{self, CodeKind, Sealed};
use crate::features::sessions::sender::Outbox;
use crate::features::sessions::wire::{CodeRequest, CodeSentView, Proof, SignIn};
use crate::journal::{Actor, Record};
use crate::platform::body::Json;
use crate::platform::clock::Clock;
use crate::platform::config::Config;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code, Problem};
use crate::platform::ids::WorkerId;
use crate::platform::reply::Reply;
use crate::platform::telemetry::Metrics;
use crate::platform::wall::SIGN_IN;

/// Ask for a one-time code
///
/// The answer is the same for a number that nobody has, and for one that was sent too many.
#[utoipa::path(
    operation_id = "request_code", tag = "auth", security(()),
    request_body = CodeRequest,
    responses(
        (status = 202, description = "If the number is on the roster and was not sent too many, a code is on its way.", body = CodeSentView),
        (status = 422, description = "Not a phone number.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/auth/otp")]
pub async fn request_code(
    body: Json<CodeRequest>,
    db: web::Data<Db>,
    clock: web::Data<Clock>,
    access: web::Data<Access>,
    config: web::Data<Config>,
    outbox: web::Data<Outbox>,
) -> Result<Reply, ApiError> {
    let even = tokio::time::sleep(rules::EVEN_TIME);
    let CodeRequest { phone, device_id } = body.value;
    let now = clock.now();
    let code = rules::new_code()?;
    let new = new_code(&access, CodeKind::Sent, device_id, None, &code, now);
    let keys = access.keys().code_keys(now);
    let budgets = [
        (config.otp_per_hour, now - TimeDelta::hours(1)),
        (config.otp_per_day, now - TimeDelta::days(1)),
    ];
    let data_keys = db.keys().clone();
    let put = db
        .as_program(&SIGN_IN)
        .write(&Actor::program(now), async move |tx| {
            let Some(worker) = queries::lock_by_phone(tx, &data_keys, &phone).await? else {
                return Ok((false, Record::nothing()));
            };
            let sent = queries::codes_sent(tx, &worker, now - TimeDelta::days(1)).await?;
            if !rules::may_send(&sent, now) {
                return Ok((false, Record::nothing()));
            }
            for (most, since) in budgets {
                if guards::sent_as_many(tx, most, since).await? {
                    tracing::error!(most, "the budget of one-time codes is used up: none is sent");
                    return Ok((false, Record::nothing()));
                }
            }
            queries::replace_code(tx, worker.id, &new).await?;
            let message = Sealed {
                language: queries::language_of(tx, &worker).await?,
                phone: phone.clone(),
                code: code.clone(),
            };
            let sealed = rules::seal_message(&keys, new.id, &message)?;
            outbox::put(tx, new.id, &sealed, now, new.expires_at).await?;
            Ok((true, entry(&worker, "session.send_code", new.id).into()))
        })
        .await?;
    if put {
        outbox.wake();
    }
    // Only a known number is written about, which takes a while longer.
    even.await;
    let view = CodeSentView {
        expires_in: rules::CODE_LIFE.num_seconds(),
        retry_after: rules::CODE_GAP.num_seconds(),
    };
    Reply::with_status(StatusCode::ACCEPTED, &view)
}

/// What is kept of a new code.
pub(super) fn new_code(
    access: &Access,
    kind: CodeKind,
    device_id: Option<crate::platform::ids::DeviceId>,
    given_by: Option<WorkerId>,
    code: &str,
    now: DateTime<Utc>,
) -> NewCode {
    let id = Uuid::new_v4();
    let life = match kind {
        CodeKind::Sent => rules::CODE_LIFE,
        CodeKind::ReadOut => rules::READ_OUT_LIFE,
    };
    NewCode {
        id,
        hash: rules::code_hash(access.keys().code_keys(now).writes(), id, device_id, code),
        kind,
        device_id,
        given_by,
        created_at: now,
        expires_at: now + life,
    }
}

fn wrong() -> ApiError {
    ApiError::new(Code::InvalidCode, "the code is wrong, used up or too old")
}

/// Where tries are judged: every path that judges one goes through here.
pub(super) struct Desk<'a> {
    pub db: &'a Db,
    pub access: &'a Access,
    pub metrics: &'a Metrics,
}

impl Desk<'_> {
    /// Judges a sign-in and begins its session.
    pub async fn sign_in(&self, grant: SignIn, now: DateTime<Utc>) -> Result<Begun, ApiError> {
        let today = self.access.clock().day_of(now);
        let Some((worker, challenge)) = self.count(&grant, now, today).await? else {
            return Err(wrong());
        };
        if let (Proof::Code { code, .. }, Some(challenge)) = (&grant.proof, &challenge) {
            let bound = challenge.device_id.map(|_| grant.device.id);
            let keys = self.access.keys().code_keys(now);
            if !rules::code_fits(&keys, challenge.id, bound, code, &challenge.code_hash) {
                return Err(self.refuse(now, today).await?);
            }
        }
        match self.begin(&grant, worker, challenge.as_ref(), now).await {
            Err(error) if error.code() == Code::InvalidCode => Err(self.refuse(now, today).await?),
            done => done,
        }
    }

    /// Counts the try and commits that before anything is compared: fifty tries at once are five. `None` if there is
    /// nothing to compare with, or the account is locked.
    async fn count(
        &self,
        grant: &SignIn,
        now: DateTime<Utc>,
        today: NaiveDate,
    ) -> Result<Option<(RosterRow, Option<ChallengeRow>)>, ApiError> {
        let (grant, data_keys) = (grant.clone(), self.db.keys().clone());
        self.db
            .write(&Actor::program(now), async move |tx| {
                if matches!(
                    grant.proof,
                    Proof::Code {
                        kind: CodeKind::Sent,
                        ..
                    }
                ) && guards::wrong_today(tx, today).await? >= rules::WRONG_A_DAY
                {
                    return Err(suspended());
                }
                let Some(worker) = queries::lock_by_phone(tx, &data_keys, &grant.phone).await? else {
                    return Ok((None, Record::nothing()));
                };
                let challenge = match &grant.proof {
                    Proof::Code { kind, .. } => {
                        queries::count_try(tx, &worker, *kind, rules::TRIES, now).await?
                    }
                    Proof::Totp(_) => None,
                };
                let judged = match grant.proof {
                    Proof::Code { .. } => challenge.is_some(),
                    Proof::Totp(_) => {
                        guards::has_factor(tx, worker.id).await?
                            && guards::knows_device(tx, &worker, grant.device.id).await?
                    }
                };
                if !judged || !count_failure(tx, &worker, now).await? {
                    return Ok((None, Record::nothing()));
                }
                let subject = challenge
                    .as_ref()
                    .map_or(grant.device.id.0, |challenge| challenge.id);
                let record = entry(&worker, "session.try_code", subject).into();
                Ok((Some((worker, challenge)), record))
            })
            .await
    }

    /// Uses the code and the password up and begins the session, or does none of it.
    async fn begin(
        &self,
        grant: &SignIn,
        worker: RosterRow,
        challenge: Option<&ChallengeRow>,
        now: DateTime<Utc>,
    ) -> Result<Begun, ApiError> {
        let token = rules::new_refresh_token()?;
        let kept = rules::token_hash(&token);
        let actor = Actor {
            worker_id: Some(worker.id),
            device_id: Some(grant.device.id),
            at: now,
        };
        let (keys, challenge_id) = (
            self.access.keys().code_keys(now),
            challenge.map(|challenge| challenge.id),
        );
        let (password, kind) = match &grant.proof {
            Proof::Code { totp, kind, .. } => (totp.clone(), Some(*kind)),
            Proof::Totp(totp) => (Some(totp.clone()), None),
        };
        let strength = match (&password, kind) {
            (Some(_), _) => Strength::Totp,
            (None, Some(CodeKind::ReadOut)) => Strength::ReadOut,
            (None, _) => Strength::Code,
        };
        let device = grant.device.clone();
        let (session_id, ended) = self
            .db
            .write(&actor, async move |tx| {
                if let Some(id) = challenge_id
                    && !queries::use_code(tx, id, now).await?
                {
                    return Err(wrong());
                }
                if let Some(password) = &password
                    && !use_password(tx, &keys, worker.id, password, now).await?
                {
                    return Err(wrong());
                }
                guards::forget_failures(tx, worker.id).await?;
                let ends = now + rules::SESSION_LIFE;
                let (session_id, ended) =
                    queries::begin_session(tx, &worker, &device, strength, now, ends).await?;
                let expires_at = idle_until(tx, worker.id, now).await?;
                queries::keep_token(tx, session_id, kept, None, now, expires_at).await?;
                let record = entry(&worker, "session.begin", session_id.0).into();
                Ok(((session_id, ended), record))
            })
            .await?;
        if ended {
            self.access.forget_workers(&[worker.id]);
        }
        Ok((worker.id, session_id, token))
    }

    /// Counts a wrong code against the day of everyone, and says when the day has seen too many.
    pub async fn refuse(&self, now: DateTime<Utc>, today: NaiveDate) -> Result<ApiError, ApiError> {
        self.metrics.wrong_codes.inc();
        let seen = self
            .db
            .write(&Actor::program(now), async move |tx| {
                Ok((guards::count_wrong(tx, today).await?, Record::nothing()))
            })
            .await?;
        if seen == rules::WRONG_A_DAY {
            tracing::error!(
                seen,
                "so many wrong codes were tried today that sign-in by message is suspended"
            );
        }
        Ok(wrong())
    }
}

/// Counts a try against the account; false if it is locked.
pub(super) async fn count_failure(
    tx: &mut Tx,
    worker: &RosterRow,
    now: DateTime<Utc>,
) -> Result<bool, ApiError> {
    Ok(guards::count_failure(tx, worker, rules::FAILURES, now, now + rules::LOCK).await?)
}

/// Whether this is a one-time password of his that was not used before; it then is.
async fn use_password(
    tx: &mut Tx,
    keys: &CodeKeys,
    worker_id: WorkerId,
    password: &str,
    now: DateTime<Utc>,
) -> Result<bool, ApiError> {
    let Some(factor) = guards::lock_factor(tx, worker_id).await? else {
        return Ok(false);
    };
    let Some(sealed) = factor.sealed else {
        return Ok(false);
    };
    let step = rules::check_factor(keys, worker_id, &sealed, factor.last_step, password, now)?;
    let Some(step) = step else { return Ok(false) };
    if let Some(sealed) = rules::reseal_factor(keys, worker_id, &sealed)? {
        guards::keep_resealed(tx, worker_id, &sealed).await?;
    }
    Ok(guards::use_step(tx, worker_id, step).await?)
}

fn suspended() -> ApiError {
    ApiError::new(
        Code::SignInSuspended,
        "sign-in by message is suspended for today; sign in with grant_type totp or with a code that is read out",
    )
    .with_retry_after(3600)
}
