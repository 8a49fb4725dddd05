//! Where log lines go: through a bounded queue to a thread of its own. A pipe that nobody reads, or a disk without room,
//! costs lines, which are counted, and never a request.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait: a second or two of a busy server.
const QUEUE: usize = 8_192;

static QUEUE_IN: OnceLock<SyncSender<Message>> = OnceLock::new();
static LOST: AtomicU64 = AtomicU64::new(0);

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Makes writers into the queue.
#[derive(Clone, Copy, Debug)]
pub struct LogWriter;

impl LogWriter {
    /// The queue, whose thread writes to standard error.
    #[must_use]
    pub fn to_stderr() -> Self {
        QUEUE_IN.get_or_init(|| {
            let (queue, lines) = sync_channel(QUEUE);
            let started = std::thread::Builder::new()
                .name("log".to_owned())
                .spawn(move || write_all(&lines, std::io::stderr(), &LOST));
            // Without a thread the receiver is gone, and every line counts as lost.
            drop(started);
            queue
        });
        Self
    }
}

/// Lines that could not be written since the start.
#[must_use]
pub fn lost_lines() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Waits until what was logged is written, or for so long.
pub fn flush(wait: Duration) {
    let (done, written) = sync_channel(1);
    if let Some(queue) = QUEUE_IN.get()
        && queue.try_send(Message::Flush(done)).is_ok()
    {
        let _ = written.recv_timeout(wait);
    }
}

fn write_all(lines: &Receiver<Message>, mut out: impl Write, lost: &AtomicU64) {
    while let Ok(message) = lines.recv() {
        match message {
            Message::Line(line) => {
                if out.write_all(&line).is_err() {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Message::Flush(done) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

impl Write for LogWriter {
    /// Takes a whole line, as the formatter hands it over.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let queued = QUEUE_IN
            .get()
            .is_some_and(|queue| queue.try_send(Message::Line(line.to_vec())).is_ok());
        if !queued {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that has no room for its second line.
    struct Full(Vec<u8>, u8);

    impl Write for &mut Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1 += 1;
            if self.1 == 2 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted_and_the_next_one_is_written() {
        let (queue, lines) = sync_channel(8);
        for line in ["one\n", "two\n", "three\n"] {
            queue.send(Message::Line(line.into())).unwrap();
        }
        drop(queue);
        let (mut disk, lost) = (Full(Vec::new(), 0), AtomicU64::new(0));
        write_all(&lines, &mut disk, &lost);
        assert_eq!((disk.0.as_slice(), lost.into_inner()), (&b"one\nthree\n"[..], 1));
    }
}
