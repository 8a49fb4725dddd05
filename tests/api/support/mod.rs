//! What every test stands on: [`TestApp`] (a server with a database of its own), [`Client`] (an actor over HTTP).
#![allow(dead_code, reason = "each test module uses its part")]

mod client;
mod database;
mod phone;
pub mod program;
mod world;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use chrono::{DateTime, Utc};
use sampark::access::KeyRing;
use sampark::app::{self, State};
use sampark::platform::clock::Clock;
use sampark::platform::config::Config;
use sampark::platform::data_keys::DataKeys;
use sampark::platform::limits::Rates;

/// The data keys of every test: the world is written by SQL, with phones sealed under them.
pub const DATA_KEYS: &str = "index CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=
1 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
";

pub fn data_keys() -> DataKeys {
    DataKeys::of_text(DATA_KEYS).unwrap()
}

pub use client::{Answer, Client};
pub use database::TestDatabase;
pub use phone::{Fault, KINDS, Phone, count};
pub use program::Program;
pub use world::{Actor, World, phone_of};

/// How often a test does what it does: as often as a variable says, for a whole run, else as often as a suite has time for.
#[expect(
    clippy::disallowed_methods,
    reason = "how long a test runs is no setting of the program"
)]
pub fn times(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |value| value.parse().unwrap())
}

/// The instant at which every test begins, unless it moves its clock: 2026-11-23, 12:00 in India.
pub fn noon() -> DateTime<Utc> {
    "2026-11-23T06:30:00Z".parse().unwrap()
}

/// A server at work on a database of its own; both end with the test.
pub struct TestApp {
    pub address: SocketAddr,
    pub state: State,
    pub clock: Clock,
    pub database: Arc<TestDatabase>,
    server: ServerHandle,
    pub poster: Option<sampark::journal::Poster>,
    sender: Option<sampark::features::sessions::Sender>,
    /// Only where webhooks may reach the test.
    deliverer: Option<sampark::features::webhooks::Deliverer>,
}

/// How a [`TestApp`] differs from the usual one.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub poster: bool,
    pub pool_size: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            poster: true,
            pool_size: 4,
        }
    }
}

impl TestApp {
    /// Posts all that was written until now. The app's own poster may be at it just then: it is waited for.
    pub async fn posted(&self) {
        const WORK: &str = "SELECT EXISTS (SELECT FROM journal_inbox) OR EXISTS (SELECT FROM tally_inbox)
            OR EXISTS (SELECT FROM task_tally_inbox)";
        let db = self.database.connect().await;
        loop {
            sampark::journal::poster::post_all(&self.state.db).await.unwrap();
            if !db.query_one(WORK, &[]).await.unwrap().get::<_, bool>(0) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    pub async fn start() -> Self {
        Self::start_with(Settings::default()).await
    }

    pub async fn start_with(settings: Settings) -> Self {
        let database = Arc::new(TestDatabase::create().await);
        let clock = Clock::manual(chrono_tz::Asia::Kolkata, noon());
        Self::start_on(database, clock, KeyRing::ephemeral().unwrap(), settings)
    }

    /// Another server beside one that runs, on the same database and by the same clock.
    pub fn start_on(database: Arc<TestDatabase>, clock: Clock, keys: KeyRing, settings: Settings) -> Self {
        Self::start_with_config(database, clock, keys, settings, |_| {})
    }

    /// The same with a configuration changed at will.
    pub fn start_with_config(
        database: Arc<TestDatabase>,
        clock: Clock,
        keys: KeyRing,
        settings: Settings,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::from_values(&Default::default(), None).unwrap();
        config.pool_size = settings.pool_size;
        config.workers = Some(1);
        // A machine that builds and tests at once is slow to connect, which is not what most tests are about.
        config.database_wait = std::time::Duration::from_secs(10);
        // The clock stands still, so that no bucket fills again; limits.rs has narrow ones.
        config.rates = Rates {
            account: 100_000,
            device: 100_000,
            service: 100_000,
            address: 100_000,
        };
        // Builds without optimisation on a busy machine take longer than a server may; limits.rs has narrow ones.
        config.request_wait = std::time::Duration::from_secs(60);
        config.otp_sender = sampark::platform::config::OtpSender::File(database.scratch_file("otp.jsonl"));
        config.data_dir = database.scratch_file("data");
        change(&mut config);
        let data_keys = match &config.data_keys_file {
            Some(file) => DataKeys::load(file).unwrap(),
            None => data_keys(),
        };
        let state = State::new(config, &database.server_url, clock.clone(), keys, data_keys).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = state.clone();
        let server = actix_web::HttpServer::new(move || app::build(shared.clone()))
            .workers(1)
            .disable_signals()
            .shutdown_timeout(1)
            .listen(listener)
            .unwrap()
            .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        let poster = settings
            .poster
            .then(|| sampark::journal::Poster::start(&state.db, &state.clock, &state.metrics, &state.seals));
        let sender = state.start_sender().unwrap();
        let deliverer = state
            .config
            .webhooks_allow_loopback
            .then(|| state.start_deliverer().unwrap());
        Self {
            address,
            state,
            clock,
            database,
            server: handle,
            poster,
            sender: Some(sender),
            deliverer,
        }
    }

    /// Sends no more codes: another process does.
    pub async fn stop_sender(&mut self) {
        if let Some(sender) = self.sender.take() {
            sender.stop().await;
        }
    }

    /// A client without a token.
    pub fn anonymous(&self) -> Client {
        Client::new(self.address, None)
    }

    /// A client with this token.
    pub fn with_token(&self, token: &str) -> Client {
        Client::new(self.address, Some(token.to_owned()))
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // The future is not awaited: the server's threads end on their own once told.
        drop(self.server.stop(false));
    }
}
