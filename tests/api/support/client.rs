use std::net::SocketAddr;

use futures_util::{Stream, StreamExt};
use serde_json::Value;

/// An actor over HTTP.
#[derive(Clone)]
pub struct Client {
    base: String,
    token: Option<String>,
    headers: Vec<(String, String)>,
}

/// Server-sent events as they arrive.
pub struct Events {
    pub headers: awc::http::header::HeaderMap,
    pieces: std::pin::Pin<Box<dyn Stream<Item = Result<actix_web::web::Bytes, String>>>>,
    text: String,
}

/// One block of a stream: an event, or a comment.
#[derive(Clone, Debug, Default)]
pub struct Event {
    pub id: Option<String>,
    pub name: String,
    pub data: Value,
    pub comment: String,
}

impl Events {
    /// The next block; `None` at the end of the stream.
    pub async fn next_block(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut event = Event::default();
                for line in block.lines() {
                    let (field, value) = line.split_once(": ").unwrap();
                    match field {
                        "" => event.comment = value.to_owned(),
                        "id" => event.id = Some(value.to_owned()),
                        "event" => event.name = value.to_owned(),
                        "data" => event.data = serde_json::from_str(value).unwrap(),
                        "retry" => {}
                        other => panic!("no field of events: {other}"),
                    }
                }
                self.text = rest.to_owned();
                return Some(event);
            }
            let piece = self.pieces.next().await?.ok()?;
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// The next event that is no comment.
    pub async fn next_event(&mut self) -> Option<Event> {
        loop {
            let event = self.next_block().await?;
            if !event.name.is_empty() {
                return Some(event);
            }
        }
    }
}

async fn read_until_caught_up(
    response: &mut (impl Stream<Item = Result<actix_web::web::Bytes, awc::error::PayloadError>> + Unpin),
) -> Vec<u8> {
    let mut text = Vec::new();
    while let Some(Ok(piece)) = response.next().await {
        text.extend_from_slice(&piece);
        if text.ends_with(b": caught up\n\n") {
            break;
        }
    }
    text
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body as JSON; null if it is none.
    pub json: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The answer itself if it has this status; else the test fails and shows the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

impl Client {
    pub fn new(address: SocketAddr, token: Option<String>) -> Self {
        Self {
            base: format!("http://{address}"),
            token,
            headers: Vec::new(),
        }
    }

    /// The same client sending one more header.
    pub fn header(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name.to_owned(), value.to_owned()));
        other
    }

    /// The same, headers and all, by whoever the other client is.
    pub fn signed_in_as(&self, other: &Self) -> Self {
        Self {
            token: other.token.clone(),
            ..self.clone()
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send_json("POST", path, &body).await
    }

    /// A POST of a client with patience: it is sent again for as long as the server is too busy to take it.
    pub async fn post_until_served(&self, path: &str, body: Value) -> Answer {
        loop {
            let answer = self.post(path, body.clone()).await;
            if answer.status != 503 {
                return answer;
            }
        }
    }

    /// A POST whose connection may break.
    pub async fn try_post(&self, path: &str, body: &Value) -> Result<Answer, String> {
        let body = serde_json::to_vec(body).unwrap();
        self.try_send("POST", path, Some(("application/json", body)))
            .await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send_json("PUT", path, &body).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send_json("PATCH", path, &body).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None).await
    }

    pub async fn send_json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(
            method,
            path,
            Some(("application/json", serde_json::to_vec(body).unwrap())),
        )
        .await
    }

    pub async fn send(&self, method: &str, path: &str, body: Option<(&str, Vec<u8>)>) -> Answer {
        self.try_send(method, path, body).await.unwrap()
    }

    async fn try_send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Answer, String> {
        let client = awc::Client::builder()
            .timeout(std::time::Duration::from_secs(120))
            .no_default_headers()
            .finish();
        let mut request = client
            .request(method.parse().unwrap(), format!("{}{path}", self.base))
            .no_decompress();
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.headers {
            request = request.insert_header((name.as_str(), value.as_str()));
        }
        let sent = match body {
            Some((kind, bytes)) => request.insert_header(("content-type", kind)).send_body(bytes),
            None => request.send(),
        };
        let mut response = sent.await.map_err(|error| error.to_string())?;
        let kind = response.headers().get("content-type").cloned();
        let body = if kind.is_some_and(|kind| kind == "text/event-stream") {
            // Which has no end of its own.
            read_until_caught_up(&mut response).await
        } else {
            let body = response.body().limit(64 << 20).await;
            body.map_err(|error| error.to_string())?.to_vec()
        };
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response
                .headers()
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or("").to_owned()))
                .collect(),
            json: serde_json::from_slice(&body).unwrap_or(Value::Null),
            body,
        })
    }

    /// Follows a stream of events.
    pub async fn follow(&self, path: &str) -> Events {
        let mut request = awc::Client::builder()
            .timeout(std::time::Duration::from_secs(30))
            .no_default_headers()
            .finish()
            .get(format!("{}{path}", self.base))
            .no_decompress();
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.headers {
            request = request.insert_header((name.as_str(), value.as_str()));
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Events {
            headers: response.headers().clone(),
            pieces: Box::pin(response.map(|piece| piece.map_err(|error| error.to_string()))),
            text: String::new(),
        }
    }

    /// Sends a POST and resets the connection (RST) without reading the answer.
    pub async fn send_and_reset(&self, path: &str, body: &Value) {
        self.send_and_reset_as("POST", path, body).await;
    }

    /// The same with any method.
    pub async fn send_and_reset_as(&self, method: &str, path: &str, body: &Value) {
        use tokio::io::AsyncWriteExt;
        let address = self.base.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let body = body.to_string();
        let token = self.token.as_deref().unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
        // Closing with zero linger sends RST instead of FIN.
        stream.set_zero_linger().unwrap();
    }
}
