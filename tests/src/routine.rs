//! Routine exchanges, again and again, through the pieces of the hot path: what the counting suites and the benches run.

use crate::transcript::{Chunk, Side, Transcript};
use pgsonde::counters::Gauges;
use pgsonde::hot::observe::SessionObserver;
use pgsonde::hot::outbox::{Outbox, OutboxCounters, Parcel};
use pgsonde::hot::relay::Relay;
use pgsonde::hot::watch::Watch;
use pgsonde_analyzer::Analyzer;
use pgsonde_analyzer::limits::Limits;
use pgsonde_analyzer::record::{RecordBatch, SessionId};
use pgsonde_analyzer::value::Salt;
use pgsonde_wire::foreign::StartupParameters;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const SIMPLE: &str = r#"
> 100 Query "select id, name from t where id = 7"
< 150 RowDescription id:16384:1:23 name:16384:2:25
< 150 DataRow "7" "seven"
< 150 DataRow "8" "eight"
< 150 CommandComplete "SELECT 2"
< 150 ReadyForQuery I
"#;

const UNNAMED: &str = r#"
> 100 Parse - "select id from t where id = $1 and name = $2" 23 25
> 100 Bind - - "5" "five"
> 100 Describe P -
> 100 Execute -
> 100 Sync
< 150 ParseComplete
< 150 BindComplete
< 150 RowDescription id:16384:1:23
< 150 DataRow "5"
< 150 DataRow "6"
< 150 CommandComplete "SELECT 2"
< 150 ReadyForQuery I
"#;

/// Runs behind a Parse of `s1` that happened once.
const PREPARED: &str = r#"
> 100 Bind - s1 "5"
> 100 Execute -
> 100 Bind - s1 "6"
> 100 Execute -
> 100 Sync
< 150 BindComplete
< 150 DataRow "5"
< 150 CommandComplete "SELECT 1"
< 150 BindComplete
< 150 DataRow "6"
< 150 CommandComplete "SELECT 1"
< 150 ReadyForQuery I
"#;

const PARSE_ONCE: &str = r#"
> 50 Parse s1 "select id from t where id = $1" 23
> 50 Describe S s1
> 50 Sync
< 60 ParseComplete
< 60 ParameterDescription 23
< 60 RowDescription id:16384:1:23
< 60 ReadyForQuery I
"#;

/// A kind of exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    before: &'static str,
    exchange: &'static str,
}

/// Every kind.
pub const KINDS: [Kind; 3] = [
    Kind { name: "simple", before: "", exchange: SIMPLE },
    Kind { name: "unnamed", before: "", exchange: UNNAMED },
    Kind { name: "prepared", before: PARSE_ONCE, exchange: PREPARED },
];

impl Kind {
    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.name == name)
    }

    fn chunks(self) -> [Vec<Chunk>; 2] {
        [self.before, self.exchange].map(|text| Transcript::parse(text).chunks)
    }
}

/// A watch that looks at one session.
pub struct Watched {
    watch: Option<Watch>,
    full: Receiver<Parcel>,
    give: SyncSender<RecordBatch>,
    chunks: Vec<Chunk>,
}

impl Watched {
    /// A session that stands before its first routine exchange.
    pub fn new(kind: Kind) -> Self {
        let (full, batches) = sync_channel(64);
        let (give, spare) = sync_channel(8);
        let outbox = Outbox::new(0, full, spare, Arc::new(OutboxCounters::default()));
        let outbox = Rc::new(RefCell::new(outbox));
        let labels = StartupParameters { user: "ann".into(), ..StartupParameters::default() };
        let observer = SessionObserver::new(SessionId(1), labels, Rc::new(salt()), outbox);
        let mut watch = Watch::new(observer, Arc::new(Gauges::default()), None);
        watch.server_bytes(b"Z\0\0\0\x05I", 1, Some(1));
        let [before, chunks] = kind.chunks();
        let mut new = Self { watch: Some(watch), full: batches, give, chunks: before };
        new.exchange(clear);
        new.chunks = chunks;
        new
    }

    /// One exchange; full batches go through `analyze`, and come back empty.
    pub fn exchange(&mut self, mut analyze: impl FnMut(&mut RecordBatch)) {
        let Some(watch) = &mut self.watch else { return };
        for Chunk { side, bytes, read_us, .. } in &self.chunks {
            match side {
                Side::Client => watch.client_bytes(bytes, *read_us, Some(*read_us)),
                Side::Server => watch.server_bytes(bytes, *read_us, Some(*read_us)),
            }
        }
        while let Ok(Parcel { mut batch, .. }) = self.full.try_recv() {
            analyze(&mut batch);
            // Without a place for it, the next one is made anew.
            let _ = self.give.try_send(batch);
        }
    }

    /// Whether the session is still followed.
    pub fn is_followed(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.opaque().is_none())
    }
}

/// What the analyzer's thread does with a batch that it is done with.
pub fn clear(batch: &mut RecordBatch) {
    pgsonde::analysis::clear(batch);
}

fn salt() -> Salt {
    Salt::new(1, 2)
}

/// Watches `exchanges` exchanges.
pub fn watch(kind: Kind, exchanges: u64) {
    let mut watched = Watched::new(kind);
    (0..exchanges).for_each(|_| watched.exchange(clear));
}

/// Lets the analyzer take in the records of `exchanges` exchanges.
pub fn analyze(kind: Kind, exchanges: u64) {
    let mut analyzer = Analyzer::new(Limits::default(), salt());
    let mut watched = Watched::new(kind);
    (0..exchanges).for_each(|_| {
        watched.exchange(|batch| {
            analyzer.ingest(batch);
            clear(batch);
        });
    });
}

/// An analyzer that has seen that many kinds of statements, and the time of its clock after them.
pub fn knowing(digests: usize) -> (Analyzer, u64) {
    let mut analyzer = Analyzer::new(Limits::default(), salt());
    let mut watched = Watched::new(KINDS[0]);
    for digest in 0..digests {
        let text = SIMPLE.replace(" t where", &format!(" t{digest} where"));
        watched.chunks = Transcript::parse(&text).chunks;
        watched.exchange(|batch| {
            analyzer.ingest(batch);
            clear(batch);
        });
    }
    let now_us = 60_000_000;
    analyzer.tick(now_us);
    (analyzer, now_us)
}

/// A socket of a session: what it will be read, and nothing kept of what is written.
#[derive(Clone, Default)]
struct Socket {
    incoming: Rc<RefCell<VecDeque<Vec<u8>>>>,
    reader: Rc<RefCell<Option<Waker>>>,
}

impl Socket {
    fn arrive(&self, bytes: &[u8]) {
        self.incoming.borrow_mut().push_back(bytes.to_vec());
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.incoming.borrow_mut().pop_front() {
            Some(bytes) => {
                buf.put_slice(&bytes);
                Poll::Ready(Ok(()))
            }
            None => {
                *self.reader.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Relays `exchanges` exchanges between two sockets that are always ready, and watches them.
pub fn relay(kind: Kind, exchanges: u64) {
    let mut watched = Watched::new(kind);
    let (client, server) = (Socket::default(), Socket::default());
    let chunks = std::mem::take(&mut watched.chunks);
    let Some(watch) = watched.watch.take() else { return };
    let gauges = Arc::new(Gauges::default());
    let relay = Relay::new(client.clone(), server.clone(), watch, gauges, &[]);
    let mut relay = relay.with_directions_apart();
    let mut session = pin!(relay.until_end(|_| false));
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..exchanges {
        for Chunk { side, bytes, .. } in &chunks {
            let socket = if *side == Side::Client { &client } else { &server };
            socket.arrive(bytes);
            let _over = session.as_mut().poll(&mut cx);
        }
        while let Ok(Parcel { mut batch, .. }) = watched.full.try_recv() {
            clear(&mut batch);
            let _ = watched.give.try_send(batch);
        }
    }
}
