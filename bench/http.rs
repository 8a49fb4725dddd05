//! A lean HTTP/1.1 client with one kept-alive connection each, so that the load costs little beside what it measures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::world::World;

pub struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    head: String,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr, token: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut connection = Self {
            stream,
            address,
            head: String::new(),
            buffer: Vec::with_capacity(64 * 1024),
        };
        connection.sign_in(token);
        connection
    }

    /// Goes on as somebody else.
    pub fn sign_in(&mut self, token: &str) {
        self.head = format!("host: {}\r\nauthorization: Bearer {token}\r\n", self.address);
    }

    pub async fn get(&mut self, path: &str) -> (u16, Vec<u8>) {
        let request = format!("GET {path} HTTP/1.1\r\n{}\r\n", self.head);
        self.send(request.into_bytes()).await
    }

    pub async fn post(&mut self, path: &str, body: &str) -> (u16, Vec<u8>) {
        self.post_as("application/json", path, body).await
    }

    pub async fn post_as(&mut self, kind: &str, path: &str, body: &str) -> (u16, Vec<u8>) {
        let request = format!(
            "POST {path} HTTP/1.1\r\n{}content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            self.head,
            body.len()
        );
        self.send(request.into_bytes()).await
    }

    /// The status of a compressed answer, and how many bytes its body has on the wire.
    pub async fn post_compressed(&mut self, path: &str, body: &str) -> (u16, usize) {
        let request = format!(
            "POST {path} HTTP/1.1\r\n{}accept-encoding: gzip\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.head,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = 0;
        let status = self.chunks(|chunk| bytes += chunk.len()).await;
        (status, bytes)
    }

    /// The status of a streamed answer, and how many lines its body has.
    pub async fn count_lines(&mut self, path: &str) -> (u16, usize) {
        let request = format!("GET {path} HTTP/1.1\r\n{}\r\n", self.head);
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut lines = 0;
        let status = self
            .chunks(|chunk| lines += chunk.iter().filter(|byte| **byte == b'\n').count())
            .await;
        (status, lines)
    }

    /// Reads a streamed answer to its end, chunk by chunk.
    async fn chunks(&mut self, mut take: impl FnMut(&[u8])) -> u16 {
        self.buffer.clear();
        let head = self.line().await;
        let status = head[9..12].parse().unwrap();
        let mut streamed = false;
        loop {
            let line = self.line().await;
            streamed |= line.eq_ignore_ascii_case("transfer-encoding: chunked");
            if line.is_empty() {
                break;
            }
        }
        assert!(streamed, "{status}: not a stream");
        loop {
            let length = usize::from_str_radix(&self.line().await, 16).unwrap();
            self.fill(length + 2).await;
            take(&self.buffer[..length]);
            self.buffer.drain(..length + 2);
            if length == 0 {
                return status;
            }
        }
    }

    /// The next line, taken out of the buffer.
    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return line;
            }
            self.fill(self.buffer.len() + 1).await;
        }
    }

    async fn fill(&mut self, length: usize) {
        while self.buffer.len() < length {
            let more = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(more > 0, "cut off");
        }
    }

    /// A connection that the server ends without an answer is opened anew and told as 503, as a phone would take it.
    async fn send(&mut self, request: Vec<u8>) -> (u16, Vec<u8>) {
        if let Some(answer) = self.try_send(request).await {
            return answer;
        }
        self.stream = TcpStream::connect(self.address).await.unwrap();
        self.stream.set_nodelay(true).unwrap();
        (503, Vec::new())
    }

    async fn try_send(&mut self, request: Vec<u8>) -> Option<(u16, Vec<u8>)> {
        self.stream.write_all(&request).await.ok()?;
        self.buffer.clear();
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
                let status = head[9..12].parse().unwrap();
                let length: usize = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .map_or(0, |length| length.trim().parse().unwrap());
                while self.buffer.len() < end + 4 + length {
                    self.more().await?;
                }
                return Some((status, self.buffer[end + 4..].to_vec()));
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.buffer).await.ok()?;
        (read > 0).then_some(())
    }
}

/// Every session is read once before anything is measured.
pub async fn warm(address: SocketAddr, world: &World) {
    let mut client = Connection::open(address, "").await;
    for token in &world.tokens {
        client.sign_in(token);
        assert_eq!(client.get("/v1/me").await.0, 200);
    }
}

/// The token of one of the workers.
fn anybody(world: &World) -> &str {
    &world.tokens[rand::random::<u32>() as usize % world.tokens.len()]
}

/// A booth and a day of the campaign.
fn place(world: &World) -> (i32, u8) {
    let booth = world.booths[rand::random::<u32>() as usize % world.booths.len()];
    (booth, 1 + rand::random::<u8>() % 24)
}

/// A single visit with everything that visits usually have.
pub fn any_visit(world: &World) -> String {
    visit(world, place(world))
}

fn visit(world: &World, (booth, day): (i32, u8)) -> String {
    format!(
        r#"{{"id":"{}","campaign_id":{},"booth_id":{booth},"visited_at":"2026-11-{day:02}T{:02}:{:02}:00+05:30","outcome":"met","people_met":2,"answers":{{"heard":true,"need":"road"}},"note":"The hand pump by the school is broken since June"}}"#,
        Uuid::new_v4(),
        world.campaign_id,
        8 + rand::random::<u8>() % 12,
        rand::random::<u8>() % 60,
    )
}

/// A phone's batch: one booth, one day. Scattered, each visit has its own: the worst that can be sent.
pub fn batch(world: &World, size: usize, scattered: bool) -> String {
    let here = place(world);
    let visits = (0..size).map(|_| visit(world, if scattered { place(world) } else { here }));
    format!("{{\"visits\":[{}]}}", visits.collect::<Vec<_>>().join(","))
}

/// Visits stored a second over so many connections, each request with so many.
pub async fn visits(
    address: SocketAddr,
    world: &World,
    connections: usize,
    size: usize,
    scattered: bool,
    time: Duration,
) -> f64 {
    let stored = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let work = (0..connections).map(|_| {
        let (world, stored) = (world.clone(), stored.clone());
        tokio::spawn(async move {
            let mut client = Connection::open(address, "").await;
            while started.elapsed() < time {
                client.sign_in(anybody(&world));
                if size == 1 {
                    let (status, body) = client.post("/v1/visits", &visit(&world, place(&world))).await;
                    if refused(status).await {
                        continue;
                    }
                    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
                } else {
                    let (status, body) = client
                        .post("/v1/visits/batch", &batch(&world, size, scattered))
                        .await;
                    if refused(status).await {
                        continue;
                    }
                    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
                    let text = String::from_utf8_lossy(&body);
                    assert_eq!(text.matches("\"created\"").count(), size, "{text}");
                }
                stored.fetch_add(size as u64, Ordering::Relaxed);
            }
        })
    });
    for task in work.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    stored.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

/// Whether too much was asked at once; then a while has passed. What is refused is not counted as stored.
async fn refused(status: u16) -> bool {
    if status == 503 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    status == 503
}

/// Stores so many visits.
pub async fn store(address: SocketAddr, world: &World, visits: i64) {
    let left = Arc::new(AtomicI64::new(visits));
    let work = (0..8).map(|_| {
        let (world, left) = (world.clone(), left.clone());
        tokio::spawn(async move {
            let mut client = Connection::open(address, "").await;
            while left.fetch_sub(500, Ordering::Relaxed) > 0 {
                client.sign_in(anybody(&world));
                let batch = batch(&world, 500, true);
                loop {
                    // On a slow machine it may be asked to come again.
                    let (status, body) = client.post("/v1/visits/batch", &batch).await;
                    if status == 200 {
                        break;
                    }
                    assert_eq!(status, 503, "{}", String::from_utf8_lossy(&body));
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        })
    });
    for task in work.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// Goes on storing batches of 20 over 4 connections until told to stop, one every 20 ms each; how many visits a second that were.
pub async fn trickle(address: SocketAddr, world: World, mut stop: oneshot::Receiver<()>) -> f64 {
    let started = Instant::now();
    let mut stored = 0u64;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Connection::open(address, anybody(&world)).await);
    }
    let mut beat = tokio::time::interval(Duration::from_millis(5));
    for n in 0.. {
        beat.tick().await;
        if stop.try_recv() != Err(oneshot::error::TryRecvError::Empty) {
            break;
        }
        let (status, _) = clients[n % 4]
            .post("/v1/visits/batch", &batch(&world, 20, false))
            .await;
        assert_eq!(status, 200);
        stored += 20;
    }
    stored as f64 / started.elapsed().as_secs_f64()
}
