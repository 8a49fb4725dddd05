//! A TCP proxy between a phone and the server, or the server and its database, that does what networks do.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Proxies run on a thread of their own: tests block theirs while they wait for a program to start.
static APART: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
});

/// Listens somewhere, and carries each connection by itself.
pub fn listen<C: Future<Output = ()> + Send + 'static>(
    carry: impl Fn(TcpStream) -> C + Send + 'static,
) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    APART.spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(carry(client));
        }
    });
    address
}

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    Pass,
    /// Each piece is held up for so long.
    Delay(Duration),
    /// Connections stay open, and nothing moves.
    Stall,
    /// Every connection is reset, the new ones too.
    Cut,
    /// What is asked arrives; of the answer only so many bytes do, then the connection is reset.
    LoseReplies(usize),
}

/// The proxy; it lives as long as the tests.
pub struct Proxy {
    pub address: SocketAddr,
    fate: watch::Sender<Fate>,
    lost: Arc<AtomicUsize>,
}

impl Proxy {
    pub fn start(to: SocketAddr) -> Self {
        let fate = watch::Sender::new(Fate::Pass);
        let lost = Arc::new(AtomicUsize::new(0));
        let (fates, losing) = (fate.subscribe(), lost.clone());
        let address = listen(move |client| carry(client, to, fates.clone(), losing.clone()));
        Self { address, fate, lost }
    }

    pub fn set(&self, fate: Fate) {
        self.fate.send_replace(fate);
    }

    /// Replies that were lost so far.
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }

    /// The address of a database behind it.
    pub fn url(&self, url: &str) -> String {
        through(url, self.address)
    }
}

/// A database's URL with another address.
pub fn through(url: &str, address: SocketAddr) -> String {
    let (before, rest) = url.split_once('@').unwrap();
    let (_, database) = rest.split_once('/').unwrap();
    format!("{before}@{address}/{database}")
}

/// Where a database is.
pub fn address_of(url: &str) -> SocketAddr {
    let (_, rest) = url.split_once('@').unwrap();
    rest.split_once('/').unwrap().0.parse().unwrap()
}

async fn carry(client: TcpStream, to: SocketAddr, fates: watch::Receiver<Fate>, lost: Arc<AtomicUsize>) {
    if *fates.borrow() == Fate::Cut {
        return reset(&client);
    }
    let Ok(server) = TcpStream::connect(to).await else {
        return reset(&client);
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = pump(from_client, to_server, fates.clone(), None);
    let down = pump(from_server, to_client, fates, Some(lost));
    // One direction that is reset ends both at once.
    tokio::select! {
        true = up => {}
        true = down => {}
        else => {}
    }
}

fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Carries one direction; whether it was reset.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut fates: watch::Receiver<Fate>,
    replies: Option<Arc<AtomicUsize>>,
) -> bool {
    let mut buffer = vec![0; 64 * 1024];
    let mut passed = 0;
    loop {
        let fate = *fates.borrow_and_update();
        if fate == Fate::Cut {
            break;
        }
        if fate == Fate::Stall {
            if fates.changed().await.is_err() {
                return false;
            }
            continue;
        }
        let read = tokio::select! {
            changed = fates.changed() => if changed.is_ok() { continue } else { return false },
            read = from.read(&mut buffer) => read,
        };
        let Ok(count @ 1..) = read else {
            let _ = to.shutdown().await;
            return false;
        };
        let fate = *fates.borrow();
        match (fate, &replies) {
            // What was under way when the network died is dead.
            (Fate::Cut, _) => break,
            // The delay is the fault itself; another fate ends it.
            (Fate::Delay(time), _) => {
                let _ = tokio::time::timeout(time, fates.changed()).await;
            }
            (Fate::LoseReplies(bytes), Some(lost)) if passed + count > bytes => {
                let _ = to.write_all(&buffer[..bytes.saturating_sub(passed)]).await;
                lost.fetch_add(1, Ordering::SeqCst);
                break;
            }
            _ => {}
        }
        while *fates.borrow_and_update() == Fate::Stall {
            if fates.changed().await.is_err() {
                return false;
            }
        }
        passed += count;
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    reset(from.as_ref());
    reset(to.as_ref());
    // Dropped, it would say goodbye first.
    to.forget();
    true
}
