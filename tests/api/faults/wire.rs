//! A proxy that speaks PostgreSQL's protocol: it knows the statements of each writing transaction, and harms the n-th.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, watch};

use super::proxy::listen;

/// What is done to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// The database refuses it, and with it the transaction.
    Refuse,
    /// The connection is cut before it arrives.
    CutBefore,
    /// It is carried out, and the connection is cut before the answer.
    CutAfter,
    /// It is carried out, and its answer never comes.
    Hold,
}

/// Which statement of a writing transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// The n-th after BEGIN, from 0; COMMIT is the last.
    Nth(usize),
    /// The n-th of all writing transactions together.
    Total(usize),
    /// That of the transaction with such a statement in it.
    CommitOf(&'static str),
}

#[derive(Default)]
struct Plan {
    armed: Option<(At, Harm)>,
    /// The text of the harmed statement.
    fired: Option<String>,
    /// Statements of writing transactions since it was armed.
    seen: usize,
}

/// The proxy; it lives as long as the tests.
pub struct WireProxy {
    pub address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    hit: Arc<Notify>,
}

impl WireProxy {
    pub fn start(to: SocketAddr) -> Self {
        let (plan, hit) = (Arc::<Mutex<Plan>>::default(), Arc::<Notify>::default());
        let (planned, hitting) = (plan.clone(), hit.clone());
        let address = listen(move |client| carry(client, to, planned.clone(), hitting.clone()));
        Self { address, plan, hit }
    }

    /// The next writing transaction that gets so far is harmed, once.
    pub fn arm(&self, at: At, harm: Harm) {
        *self.plan.lock().unwrap() = Plan {
            armed: Some((at, harm)),
            ..Plan::default()
        };
    }

    /// Lets everything pass; the statement that was harmed, if one was.
    pub fn disarm(&self) -> Option<String> {
        std::mem::take(&mut *self.plan.lock().unwrap()).fired
    }

    /// Waits until a statement was harmed.
    pub async fn hit(&self) {
        self.hit.notified().await;
    }
}

/// A message of the protocol: its kind and its whole bytes.
struct Message {
    kind: u8,
    bytes: Vec<u8>,
}

impl Message {
    async fn read(from: &mut OwnedReadHalf) -> Option<Self> {
        let kind = from.read_u8().await.ok()?;
        let length = from.read_u32().await.ok()?;
        let mut bytes = vec![0; length as usize + 1];
        bytes[0] = kind;
        bytes[1..5].copy_from_slice(&length.to_be_bytes());
        from.read_exact(&mut bytes[5..]).await.ok()?;
        Some(Self { kind, bytes })
    }

    fn new(kind: u8, body: &[u8]) -> Self {
        let length = u32::try_from(body.len() + 4).unwrap();
        let bytes = [&[kind], &length.to_be_bytes()[..], body].concat();
        Self { kind, bytes }
    }

    /// The n-th text of those that the body begins with.
    fn text(&self, n: usize) -> String {
        let mut texts = self.bytes[5..].split(|byte| *byte == 0);
        String::from_utf8_lossy(texts.nth(n).unwrap_or_default()).into_owned()
    }
}

/// What the proxy knows of a connection.
#[derive(Default)]
struct Session {
    prepared: HashMap<String, String>,
    portals: HashMap<String, String>,
    /// Statements since the BEGIN of a writing transaction.
    depth: Option<usize>,
    texts: Vec<String>,
}

impl Session {
    /// The statement that a message carries out, if it does.
    fn statement(&mut self, message: &Message) -> Option<String> {
        match message.kind {
            b'P' => {
                self.prepared.insert(message.text(0), message.text(1));
                None
            }
            b'B' => {
                let text = self.prepared.get(&message.text(1)).cloned().unwrap_or_default();
                self.portals.insert(message.text(0), text);
                None
            }
            b'E' => self.portals.get(&message.text(0)).cloned(),
            b'Q' => Some(message.text(0)),
            _ => None,
        }
    }

    /// Whether a statement is to be harmed, and how.
    fn harm(&mut self, text: &str, plan: &Mutex<Plan>) -> Option<Harm> {
        if text.starts_with("BEGIN") {
            self.depth = (!text.contains("READ ONLY")).then_some(0);
            self.texts.clear();
            return None;
        }
        let n = self.depth?;
        if n == 0 && text.contains("'sampark.worker'") {
            // Part of how a transaction begins: a connection that fails there is replaced by another.
            return None;
        }
        if text.contains("otp_outbox") && n == 0 {
            // The sender of codes looks for work by itself, whatever is being tried.
            self.depth = None;
            return None;
        }
        let ends = text.starts_with("COMMIT") || text.starts_with("ROLLBACK");
        self.depth = (!ends).then_some(n + 1);
        if text.starts_with("ROLLBACK") {
            return None;
        }
        self.texts.push(text.to_owned());
        let mut plan = plan.lock().unwrap();
        plan.seen += 1;
        let (at, harm) = plan.armed.clone()?;
        let met = match at {
            At::Nth(wanted) => wanted == n,
            At::Total(wanted) => wanted + 1 == plan.seen,
            At::CommitOf(part) => {
                text.starts_with("COMMIT") && self.texts.iter().any(|text| text.contains(part))
            }
        };
        if !met {
            return None;
        }
        plan.armed = None;
        plan.fired = Some(text.to_owned());
        Some(harm)
    }
}

async fn carry(client: TcpStream, to: SocketAddr, plan: Arc<Mutex<Plan>>, hit: Arc<Notify>) {
    let Ok(server) = TcpStream::connect(to).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    // The first message has no kind.
    let Ok(length) = from_client.read_u32().await else {
        return;
    };
    let mut first = vec![0; length as usize - 4];
    if from_client.read_exact(&mut first).await.is_err() {
        return;
    }
    let start = [&length.to_be_bytes()[..], &first].concat();
    if to_server.write_all(&start).await.is_err() {
        return;
    }
    // What becomes of the answers from now on.
    let (mute, muted) = watch::channel(None);
    let down = tokio::spawn(answers(from_server, to_client, muted, hit.clone()));
    let mut session = Session::default();
    while let Some(mut message) = Message::read(&mut from_client).await {
        let harm = session
            .statement(&message)
            .and_then(|text| session.harm(&text, &plan));
        match harm {
            None => {}
            Some(Harm::Refuse) => {
                message = match message.kind {
                    b'E' => Message::new(b'E', b"no such portal\0\0\0\0\0"),
                    kind => Message::new(kind, b"SELECT 1/0\0"),
                };
                hit.notify_one();
            }
            Some(Harm::CutBefore) => {
                down.abort();
                hit.notify_one();
                return;
            }
            Some(harm @ (Harm::CutAfter | Harm::Hold)) => {
                mute.send_replace(Some(harm));
            }
        }
        if to_server.write_all(&message.bytes).await.is_err() {
            break;
        }
    }
    let _ = to_server.shutdown().await;
    if mute.borrow().is_none() {
        let _ = down.await;
    }
}

/// Carries answers; once muted, swallows what comes up to the end of the harmed statement.
async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    muted: watch::Receiver<Option<Harm>>,
    hit: Arc<Notify>,
) {
    while let Some(message) = Message::read(&mut from).await {
        let harm = *muted.borrow();
        let Some(harm) = harm else {
            if to.write_all(&message.bytes).await.is_err() {
                break;
            }
            continue;
        };
        if message.kind == b'Z' {
            hit.notify_one();
            if harm == Harm::Hold {
                std::future::pending::<()>().await;
            }
            return;
        }
    }
}
