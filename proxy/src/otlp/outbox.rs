//! What waits for the receiver: requests up to a number of bytes, and the latest sums.

use crate::exports::{Counts, Loss};
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use std::io::Write as _;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Most bytes of spans and logs, compressed, that wait; what comes beyond is dropped and counted.
const WAITING_BYTES_MAX: u64 = 16 << 20;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Metrics,
    Traces,
    Logs,
}

impl Signal {
    /// Below the base of the receiver.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Metrics => "v1/metrics",
            Self::Traces => "v1/traces",
            Self::Logs => "v1/logs",
        }
    }
}

/// A request as it is sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) signal: Signal,
    /// Points, spans or records.
    pub(super) rows: u64,
    /// Compressed with gzip.
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn of(signal: Signal, message: &impl Message, rows: u64) -> std::io::Result<Self> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&message.encode_to_vec())?;
        Ok(Self { signal, rows, body: gzip.finish()? })
    }

    fn bytes(&self) -> u64 {
        self.body.len() as u64
    }
}

type Latest = Arc<Mutex<Option<Request>>>;

/// The end that fills.
pub(super) struct Outbox {
    queue: Sender<Option<Request>>,
    latest: Latest,
    counts: Arc<Counts>,
}

/// The end that sends.
pub(super) struct Inbox {
    queue: Receiver<Option<Request>>,
    latest: Latest,
    counts: Arc<Counts>,
}

pub(super) fn line(counts: &Arc<Counts>) -> (Outbox, Inbox) {
    let (sender, receiver) = channel();
    let latest = Latest::default();
    let outbox = Outbox { queue: sender, latest: Arc::clone(&latest), counts: Arc::clone(counts) };
    (outbox, Inbox { queue: receiver, latest, counts: Arc::clone(counts) })
}

impl Outbox {
    /// Queues spans or logs; sums take the place of older ones, which they contain.
    pub(super) fn put(&self, request: Request) {
        if request.signal == Signal::Metrics {
            *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
            // The poster ends after this thread.
            let _ = self.queue.send(None);
            return;
        }
        if self.counts.waiting_bytes.load(Relaxed) + request.bytes() > WAITING_BYTES_MAX {
            self.counts.lose(request.rows, Loss::QueueFull);
            self.counts.fail("the queue is full; spans and logs are dropped", "the queue is full");
            return;
        }
        self.counts.waiting_bytes.fetch_add(request.bytes(), Relaxed);
        let _ = self.queue.send(Some(request));
    }
}

impl Inbox {
    /// The latest sums, unless they were taken.
    pub(super) fn sums(&self) -> Option<Request> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The next spans or logs; nothing where there are only sums. It waits as long as the counts stay: [`Self::done`].
    pub(super) fn next(&self, time: Duration) -> Result<Option<Request>, RecvTimeoutError> {
        self.queue.recv_timeout(time)
    }

    /// A request is where it belongs, or given up.
    pub(super) fn done(&self, request: &Request) {
        self.counts.waiting_bytes.fetch_sub(request.bytes(), Relaxed);
    }

    /// Spans and records that wait and never will be sent now.
    pub(super) fn left(&self) -> u64 {
        self.queue.try_iter().flatten().map(|request| request.rows).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(signal: Signal, bytes: usize) -> Request {
        Request { signal, rows: 3, body: vec![0; bytes] }
    }

    #[test]
    fn the_queue_is_bounded_and_counts_and_sums_replace_sums() {
        let counts = Arc::new(Counts::of("test", &[Loss::QueueFull]));
        let (outbox, inbox) = line(&counts);
        outbox.put(request(Signal::Traces, WAITING_BYTES_MAX as usize));
        outbox.put(request(Signal::Logs, 1));
        assert_eq!(counts.lost(Loss::QueueFull), 3);
        for bytes in [5, 6] {
            outbox.put(request(Signal::Metrics, bytes));
        }
        assert_eq!(inbox.sums().map(|sums| sums.body.len()), Some(6));
        assert!(inbox.sums().is_none());
        let first = inbox.next(Duration::ZERO).unwrap().unwrap();
        inbox.done(&first);
        outbox.put(request(Signal::Logs, 1));
        assert_eq!((inbox.left(), counts.lost(Loss::QueueFull)), (3, 3));
    }
}
