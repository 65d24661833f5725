//! Fault by counting: the Nth socket operation of a session fails, for N = 1, 2, … until a run is clean. Whatever
//! fails, the relay ends, and each side has received a beginning of what the other said, unchanged.

use pgsonde::counters::Gauges;
use pgsonde::hot::outbox::{Outbox, OutboxCounters};
use pgsonde::hot::relay::{Cause, Relay};
use pgsonde_analyzer::record::SessionId;
use pgsonde_tests::raw;
use pgsonde_tests::transcript::open;
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const LIMIT: Duration = Duration::from_secs(5);
/// More operations than a run needs.
const OPERATIONS_MAX: usize = 2_000;

/// Counts the operations of both sockets.
#[derive(Clone)]
struct Fate {
    done: Rc<Cell<usize>>,
    fails_at: usize,
    kind: io::ErrorKind,
}

impl Fate {
    /// Whether this operation fails; every third one is not ready at its first try.
    fn strike(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let number = self.done.get() + 1;
        self.done.set(number);
        if number == self.fails_at {
            return Poll::Ready(Err(self.kind.into()));
        }
        if number.is_multiple_of(3) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

/// A socket that says `says` in pieces of `piece` bytes and keeps what it is told.
struct Socket {
    fate: Fate,
    says: Vec<u8>,
    said: usize,
    piece: usize,
    told: Rc<RefCell<Vec<u8>>>,
    is_broken: bool,
}

impl Socket {
    fn touch(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self.is_broken {
            return Poll::Ready(Err(self.fate.kind.into()));
        }
        let struck = self.fate.strike(cx);
        self.is_broken = matches!(struck, Poll::Ready(Err(_)));
        struck
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.touch(cx))?;
        let end = (self.said + self.piece.min(buf.remaining())).min(self.says.len());
        buf.put_slice(&self.says[self.said..end]);
        self.said = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.touch(cx))?;
        let take = bytes.len().min(self.piece);
        self.told.borrow_mut().extend(&bytes[..take]);
        Poll::Ready(Ok(take))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.touch(cx)
    }
}

struct Outcome {
    cause: Cause,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    operations: usize,
}

fn run(client_says: &[u8], server_says: &[u8], piece: usize, fails_at: usize) -> Outcome {
    let fate = Fate { done: Rc::default(), fails_at, kind: io::ErrorKind::ConnectionReset };
    let socket = |says: &[u8]| {
        let told = Rc::new(RefCell::new(Vec::new()));
        let says = says.to_vec();
        let socket = Socket {
            fate: fate.clone(),
            says,
            said: 0,
            piece,
            told: Rc::clone(&told),
            is_broken: false,
        };
        (socket, told)
    };
    let ((client, to_client), (server, to_server)) = (socket(client_says), socket(server_says));
    let (full, _batches) = sync_channel(64);
    let (_give, spare) = sync_channel(1);
    let outbox = Outbox::new(0, full, spare, Arc::new(OutboxCounters::default()));
    let watch = open(SessionId(1), &Rc::new(RefCell::new(outbox)), 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let cause = runtime.expect("a runtime").block_on(async {
        let mut relay = Relay::new(client, server, watch, Arc::<Gauges>::default(), b"");
        let ended = tokio::time::timeout(LIMIT, relay.until_end(|_| false)).await;
        ended.unwrap_or_else(|_| panic!("operation {fails_at} failed and the relay hangs"))
    });
    let operations = fate.done.get();
    Outcome { cause, to_server: to_server.take(), to_client: to_client.take(), operations }
}

/// The conversations: what the client says and what the server says.
fn conversations() -> Vec<(Vec<u8>, Vec<u8>)> {
    let done = [raw::frame(b'C', b"SELECT 1\0"), raw::frame(b'Z', b"I")].concat();
    let row = raw::frame(b'D', &[&[0, 1, 0, 0, 1, 0][..], &[b'x'; 256]].concat());
    vec![
        (raw::query("select 1"), [row.clone(), done.clone()].concat()),
        (raw::query("select 1").repeat(3), [row, done].concat().repeat(3)),
        (raw::query("never answered"), vec![]),
        (vec![], raw::frame(b'E', b"SFATAL\0VFATAL\0C57P01\0Mbye\0\0")),
        (vec![0xFF; 700], vec![0xFF; 700]),
    ]
}

#[test]
fn every_nth_operation_may_fail() {
    for (client, server) in conversations() {
        for piece in [1_000, 100, 7] {
            let clean = run(&client, &server, piece, 0);
            assert_eq!(clean.to_server, client, "without a fault all of it arrives");
            assert!(clean.to_client.starts_with(&server), "and of the answer");
            let mut fails_at = 1;
            loop {
                let outcome = run(&client, &server, piece, fails_at);
                let what = format!("operation {fails_at}, pieces of {piece}: {:?}", outcome.cause);
                assert!(client.starts_with(&outcome.to_server), "{what}: the server's side");
                let told = &outcome.to_client;
                let own =
                    told.strip_prefix(&server[..]).is_some_and(|words| words.starts_with(b"E"));
                assert!(
                    server.starts_with(told) || own || is_own_error(told, &server),
                    "{what}: {told:?}"
                );
                if outcome.operations < fails_at {
                    break;
                }
                fails_at += 1;
                assert!(fails_at < OPERATIONS_MAX, "{what}: it never ends");
            }
        }
    }
}

/// A beginning of the server's stream, up to a frame's end, and then an ErrorResponse of our own (in part, if the
/// client failed).
fn is_own_error(told: &[u8], server: &[u8]) -> bool {
    let common = told.iter().zip(server).take_while(|(a, b)| a == b).count();
    (0..=common).rev().any(|end| {
        let words = &told[end..];
        is_boundary(server, end) && words.first() == Some(&b'E')
    })
}

fn is_boundary(stream: &[u8], end: usize) -> bool {
    let mut at = 0;
    while at < end {
        let Some([_, a, b, c, d]) = stream.get(at..).and_then(|rest| rest.first_chunk()) else {
            return false;
        };
        at += 1 + u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    }
    at == end
}
