//! The feed as server-sent events (WHATWG HTML, section 9.2).

use std::time::{Duration, Instant};

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, get, web};
use futures_util::stream;
use tokio::sync::mpsc;

use super::follow::{CHECK, Found, Reading};
use super::places::{Followers, Place};
use super::wire::StreamQuery;
use crate::access::{Follower, Ticket};
use crate::journal::tail::Woken;
use crate::platform::body::Query;
use crate::platform::db::Db;
use crate::platform::error::{ApiError, Code, Problem};

/// Entries in one piece at most.
const PIECE: usize = 100;
/// How long nothing is sent at most.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long the client may leave a piece untaken.
const PATIENCE: Duration = Duration::from_secs(30);
/// How soon a client may come again, in milliseconds.
const RETRY: &str = "retry: 3000\n\n";
/// Said when all that was posted has been told.
const CAUGHT_UP: &str = ": caught up\n\n";

/// What happened, as it happens
///
/// The feed as server-sent events: `id` is the cursor behind the entry, `data` a `FeedItem`. A client that comes again with
/// `Last-Event-ID` goes on behind it. The stream ends when the token does; come again with a new one.
#[utoipa::path(
    operation_id = "stream_feed", tag = "feed", security(("bearer" = ["feed.read"]), ("service" = ["feed.read"])),
    params(
        StreamQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was dealt with."),
    ),
    responses(
        (status = 200, description = "Events named `entry`; a comment when all is told and every 15 s; an event `problem` before it ends for a reason.", body = String, content_type = "text/event-stream"),
        (status = 400, description = "Not a cursor of this feed.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "None of your grants follows what happens.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`under` does not exist or lies outside your grants.", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "The journal no longer goes on from this cursor: read everything anew, then start from now.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "This account follows four times already, or asks too often.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/v1/feed/stream")]
pub async fn stream_feed(
    follower: Follower,
    query: Query<StreamQuery>,
    request: HttpRequest,
    db: web::Data<Db>,
    followers: web::Data<Followers>,
) -> Result<HttpResponse, ApiError> {
    let StreamQuery { cursor, from, under } = query.0;
    let cursor = last_event_id(&request)?.or(cursor);
    let caller = &follower.caller;
    let place = followers.enter(caller)?;
    let tail = &followers.tail;
    let mut reading = Reading::begin(&db, tail, caller, under, cursor.as_deref(), from, PIECE).await?;
    // The first look is before the answer begins, so that what fails early is a proper problem.
    let first = reading.look(caller).await?;
    let (pieces, taken) = mpsc::channel(1);
    let writer = Writer {
        reading,
        ticket: follower.ticket,
        pieces,
        _place: place,
    };
    actix_web::rt::spawn(writer.run(first));
    let body = stream::unfold(taken, async |mut taken: mpsc::Receiver<Bytes>| {
        let piece = taken.recv().await?;
        Some((Ok::<_, ApiError>(piece), taken))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        // Compressing would hold events back; proxies are asked not to.
        .insert_header((header::CONTENT_ENCODING, "identity"))
        .insert_header((header::CACHE_CONTROL, "no-store, no-transform"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body))
}

fn last_event_id(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let Some(value) = request.headers().get("Last-Event-ID") else {
        return Ok(None);
    };
    let id = value.to_str().map_err(|_| {
        ApiError::new(
            Code::BadHeader,
            "Last-Event-ID must be the `id` of an event of this feed",
        )
    })?;
    Ok((!id.is_empty()).then(|| id.to_owned()))
}

/// Writes one stream. Ends, and gives its place back, when the client is gone or takes nothing for a while.
struct Writer {
    reading: Reading,
    ticket: Ticket,
    pieces: mpsc::Sender<Bytes>,
    _place: Place,
}

/// Nobody takes what is written.
struct Gone;

impl Writer {
    async fn run(mut self, first: Found) {
        if let Err(Some(error)) = self.tell(first).await {
            error.log();
            let problem = serde_json::to_string(&error.problem()).unwrap_or_default();
            // He may be gone as well.
            let _ = self.send(format!("event: problem\ndata: {problem}\n\n")).await;
        }
    }

    /// Tells what happens until it must end; `Err(None)` when nobody is there any more.
    async fn tell(&mut self, first: Found) -> Result<(), Option<ApiError>> {
        let mut text = RETRY.to_owned();
        let mut found = first;
        loop {
            self.add_events(&mut text, &found).map_err(Some)?;
            if !found.more {
                text.push_str(CAUGHT_UP);
            }
            if !text.is_empty() {
                self.send(std::mem::take(&mut text)).await.map_err(|Gone| None)?;
            }
            found = if found.more {
                let caller = self.ticket.caller().await.map_err(Some)?;
                self.reading.look(&caller).await.map_err(Some)?
            } else {
                match self.wait(&found).await? {
                    Some(found) => found,
                    None => return Ok(()),
                }
            };
        }
    }

    fn add_events(&self, text: &mut String, found: &Found) -> Result<(), ApiError> {
        for (item, cursor) in &found.items {
            let data = serde_json::to_string(item).map_err(ApiError::internal)?;
            let id = self.reading.encode(cursor);
            text.push_str(&format!("id: {id}\nevent: entry\ndata: {data}\n\n"));
        }
        Ok(())
    }

    /// Waits for something of his, with heartbeats; `None` when the process is about to end.
    async fn wait(&mut self, found: &Found) -> Result<Option<Found>, Option<ApiError>> {
        let mut lengths = found.lengths.clone();
        let mut sent = Instant::now();
        let mut first = true;
        loop {
            let late = Instant::now() + CHECK;
            let woken = tokio::select! {
                () = self.pieces.closed() => return Err(None),
                woken = self.reading.wait(&lengths, late, first) => woken.map_err(Some)?,
            };
            let caller = self.ticket.caller().await.map_err(Some)?;
            match woken {
                Woken::Closing => return Ok(None),
                Woken::Late => {}
                Woken::Grown => {
                    let found = self.reading.look(&caller).await.map_err(Some)?;
                    if !found.items.is_empty() || found.more {
                        return Ok(Some(found));
                    }
                    first = false;
                    lengths = found.lengths;
                }
            }
            if sent.elapsed() + CHECK > HEARTBEAT {
                // An id without data tells the client how far he is, and nothing more.
                let beat = format!(": still here\nid: {}\n\n", self.reading.cursor());
                self.send(beat).await.map_err(|Gone| None)?;
                sent = Instant::now();
            }
        }
    }

    async fn send(&self, text: String) -> Result<(), Gone> {
        match tokio::time::timeout(PATIENCE, self.pieces.send(Bytes::from(text))).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }
}
