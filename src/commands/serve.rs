//! Serving, and asking a server whether it is well.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use sampark::access::KeyRing;
use sampark::app::{self, State};
use sampark::demo;
use sampark::platform::clock::Clock;
use sampark::platform::config::Config;
use sampark::platform::data_keys::DataKeys;
use sampark::platform::{migrations, wall};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::backup::keep_erasures;
use super::database::Database;
use super::{Failure, say};

/// Serves until it is told to stop.
pub async fn serve(config: Config) -> Result<(), Failure> {
    let listener = TcpListener::bind(config.listen)?;
    let database = Database::open(&config).await?;
    let served = serve_on(config, &database, listener, None).await;
    database.close().await?;
    served
}

/// Makes the demo's state if the database is empty, then serves it.
pub async fn demo(config: Config) -> Result<(), Failure> {
    let listener = TcpListener::bind(config.listen)?;
    let database = Database::open(&config).await?;
    let served = async {
        migrations::ensure(&database.owner_url).await?;
        let clock = Clock::system(config.time_zone);
        let keys = DataKeys::open(&config)?;
        let made = demo::make(&database.owner_url, &clock, &keys).await?;
        let text = demo::introduction(&made, listener.local_addr()?, &config);
        serve_on(config, &database, listener, Some(text)).await
    };
    let served = served.await;
    database.close().await?;
    served
}

async fn serve_on(
    config: Config,
    database: &Database,
    listener: TcpListener,
    greeting: Option<String>,
) -> Result<(), Failure> {
    let clock = Clock::system(config.time_zone);
    let keys = KeyRing::open(&config)?;
    let address = listener.local_addr()?;
    let data_keys = DataKeys::open(&config)?;
    migrations::ensure(&database.owner_url).await?;
    let state = State::new(config, &database.url, clock, keys, data_keys)?;
    if !wall::is_closed(&state.db).await? {
        tracing::warn!(
            "DATABASE_URL is not a login of the role sampark_server alone: the second wall stands, but whoever could run SQL \
             of his own through this server could step over it; see docs/operating.md"
        );
    }
    let running = app::start(&state, listener).await?;
    // Heard from before it says that it serves: whoever reads that may tell it to stop at once.
    let mut stops = Stops::listen()?;
    let scheme = if state.config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    tracing::info!("serving on {scheme}://{address}");
    if let Some(dir) = &state.config.archive_dir {
        actix_web::rt::spawn(keep_erasures(state.db.as_program(&wall::RETENTION), dir.clone()));
    }
    if let Some(greeting) = greeting {
        say(&greeting)?;
    }
    running.until(stops.heard()).await?;
    Ok(())
}

/// Ctrl-C and SIGTERM, which no longer end the program by themselves once this is there.
struct Stops {
    interrupt: Signal,
    terminate: Signal,
}

impl Stops {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn heard(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Whether the server at this address says that it is ready.
pub async fn check_health(listen: SocketAddr) -> Result<(), Failure> {
    let ip = if listen.ip().is_unspecified() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        listen.ip()
    };
    let asking = async {
        let mut stream = tokio::net::TcpStream::connect((ip, listen.port())).await?;
        stream
            .write_all(b"GET /readyz HTTP/1.0\r\nhost: localhost\r\n\r\n")
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), asking).await??;
    let status = answer.split(' ').nth(1).unwrap_or("nothing");
    if status == "200" {
        Ok(())
    } else {
        Err(format!("not ready: the server answered {status}").into())
    }
}
