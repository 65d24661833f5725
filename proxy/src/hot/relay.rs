//! Moves bytes between a client and its server, both directions in one task.
//!
//! Each direction reads into a buffer that the worker thread lends for one read, writes at once what it read, and
//! keeps only what the other side did not take; while something is kept, that direction is not read
//! (backpressure), and the other one goes on. Watching happens after the write.

use super::wakeups::Wakeups;
use super::watch::Watch;
use crate::clock;
use crate::counters::{Gauges, SessionState};
use pgsonde_analyzer::record::End;
use pgsonde_wire::sasl::{Authentication, AuthenticationWatch, Offer, PlusRemoval};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of the buffer that a thread lends for one read, unless [`size_lent_buffer`] said otherwise.
const LENT_BUFFER_BYTES: usize = 64 * 1024;

/// A session that is forwarded unseen has to be silent for this long before it counts as idle, in microseconds.
const QUIET_US: u64 = 500_000;

/// Chunks moved in one go before other sessions of the worker get their turn.
const CHUNKS_PER_TURN: usize = 16;

thread_local! {
    static LENT: RefCell<Box<[u8]>> = RefCell::new(vec![0; LENT_BUFFER_BYTES].into_boxed_slice());
}

/// Sets the size of this thread's buffer (`proxy.buffer`), in bytes.
pub fn size_lent_buffer(bytes: usize) {
    LENT.set(vec![0; bytes.max(1)].into_boxed_slice());
}

/// Which socket failed, doing what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The client ended its stream.
    ClientClosed,
    /// The server ended its stream.
    ServerClosed,
    /// Reading from the client failed.
    ClientRead(io::ErrorKind),
    /// Writing to the client failed.
    ClientWrite(io::ErrorKind),
    /// Reading from the server failed.
    ServerRead(io::ErrorKind),
    /// Writing to the server failed.
    ServerWrite(io::ErrorKind),
    /// pgsonde is going down.
    Drained,
    /// pgsonde ends now.
    Ended,
    /// Nothing moved for too long.
    Idle,
}

impl From<Cause> for End {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::ClientClosed => Self::ClientClosed,
            Cause::ClientRead(_) | Cause::ClientWrite(_) => Self::ClientReset,
            Cause::ServerClosed => Self::ServerClosed,
            Cause::ServerRead(_) | Cause::ServerWrite(_) => Self::ServerReset,
            Cause::Drained | Cause::Ended => Self::Drain,
            Cause::Idle => Self::IdleTimeout,
        }
    }
}

/// Whether a session is asked to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leave {
    /// It isn't.
    #[default]
    Stay,
    /// At its next idle moment.
    WhenIdle,
    /// Whatever it is doing.
    Now,
}

impl From<bool> for Leave {
    fn from(draining: bool) -> Self {
        if draining { Self::WhenIdle } else { Self::Stay }
    }
}

/// What one direction has read and the other side has not taken yet.
#[derive(Debug, Default)]
struct Flow {
    kept: Vec<u8>,
    sent: usize,
    /// All of it was taken, but a part still waits inside the sink (TLS) for its socket.
    unflushed: bool,
    /// The source ended; the end still has to be passed on.
    source_ended: bool,
    /// The sink takes nothing any more: what comes is read and dropped, so that the source isn't blocked.
    discarding: bool,
    /// Nothing more will be moved.
    done: bool,
}

/// What is only there until the session is authenticated.
#[derive(Debug, Default)]
pub struct Start {
    /// The one edit of a passing frame; `None` = the offer passes as it is.
    removal: Option<PlusRemoval>,
    watch: AuthenticationWatch,
}

impl Start {
    /// `hide_binding` takes `SCRAM-SHA-256-PLUS` out of the server's offer.
    pub fn new(hide_binding: bool) -> Self {
        let removal = hide_binding.then(PlusRemoval::default);
        Self { removal, ..Self::default() }
    }
}

/// A session in its main phase.
pub struct Relay<C, S> {
    client: C,
    server: S,
    to_server: Flow,
    to_client: Flow,
    /// The observing side.
    pub watch: Watch,
    cause: Option<Cause>,
    gauges: Arc<Gauges>,
    state: SessionState,
    start: Option<Box<Start>>,
    authentication: Authentication,
    offer: Option<Offer>,
    moved_us: u64,
    wakeups: Wakeups,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer = 0,
    ToClient = 1,
}

impl<C, S> Relay<C, S>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Relays between two connected sockets. The client's bytes in `early` are moved first.
    pub fn new(client: C, server: S, watch: Watch, gauges: Arc<Gauges>, early: &[u8]) -> Self {
        let mut relay = Self {
            client,
            server,
            to_server: Flow::default(),
            to_client: Flow::default(),
            watch,
            cause: None,
            state: SessionState::Active,
            gauges,
            start: None,
            authentication: Authentication::default(),
            offer: None,
            moved_us: clock::now_us(),
            wakeups: Wakeups::default(),
        };
        relay.gauges.enter(SessionState::Active);
        if !early.is_empty() {
            relay.to_server.kept.extend_from_slice(early);
            relay.watch.client_bytes(early, clock::now_us(), None);
        }
        relay
    }

    /// Follows the authentication of a session that speaks frames.
    #[must_use]
    pub fn with_start(mut self, start: Start) -> Self {
        self.start = Some(Box::new(start));
        self
    }

    /// Polls each direction only where it was woken itself. Not for TLS, whose directions wait for one another.
    #[must_use]
    pub fn with_directions_apart(mut self) -> Self {
        self.wakeups = Wakeups::apart();
        self
    }

    /// What was seen of the authentication, and what became of the offer of mechanisms if that was to be edited.
    pub fn authentication(&self) -> (Authentication, Option<Offer>) {
        match &self.start {
            Some(start) => {
                (start.watch.seen(), start.removal.as_ref().and_then(PlusRemoval::offer))
            }
            None => (self.authentication, self.offer),
        }
    }

    /// Why the session ended, if it did.
    pub fn cause(&self) -> Option<Cause> {
        self.cause
    }

    /// For how long the session has been idle outside a transaction, in microseconds.
    pub fn idle_us(&self) -> Option<u64> {
        let idle = self.holds_nothing() && self.watch.is_idle();
        idle.then(|| clock::now_us().saturating_sub(self.moved_us))
    }

    fn is_open(&self) -> bool {
        self.start.is_none() && self.watch.is_open()
    }

    /// Runs until start-up is over or the session ended; tells which.
    pub async fn until_open(&mut self) -> bool {
        poll_fn(|cx| match self.turn(cx) {
            Poll::Ready(()) => Poll::Ready(self.is_open()),
            Poll::Pending if self.is_open() => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Runs until the session ended, or is asked to.
    pub async fn until_end<L: Into<Leave>>(&mut self, leave: impl Fn(&Context<'_>) -> L) -> Cause {
        poll_fn(|cx| {
            if self.turn(cx).is_pending() {
                match leave(cx).into() {
                    Leave::Stay => {}
                    Leave::WhenIdle if self.may_part() => {
                        return Poll::Ready(Cause::Drained);
                    }
                    Leave::WhenIdle => {}
                    Leave::Now => return Poll::Ready(Cause::Ended),
                }
                self.enter(self.present_state());
                return Poll::Pending;
            }
            Poll::Ready(self.cause.unwrap_or(Cause::ClientClosed))
        })
        .await
    }

    /// Nothing is going on. Of a session that is forwarded unseen only its silence tells.
    fn may_part(&self) -> bool {
        let is_quiet = || clock::now_us().saturating_sub(self.moved_us) >= QUIET_US;
        self.holds_nothing() && (self.watch.is_idle() || (self.watch.seems_idle() && is_quiet()))
    }

    /// Gives the sockets back for the last words.
    pub fn sockets(&mut self) -> (&mut C, &mut S) {
        (&mut self.client, &mut self.server)
    }

    /// Whether an error message of our own may be written to the client.
    pub fn may_speak(&self) -> bool {
        self.to_client.kept.is_empty() && !self.to_client.unflushed && self.watch.may_speak()
    }

    fn holds_nothing(&self) -> bool {
        [&self.to_server, &self.to_client]
            .iter()
            .all(|flow| flow.kept.is_empty() && !flow.unflushed)
    }

    fn present_state(&self) -> SessionState {
        match (self.watch.is_waiting(), self.watch.in_transaction()) {
            (true, _) => SessionState::Active,
            (false, true) => SessionState::IdleInTransaction,
            (false, false) => SessionState::Idle,
        }
    }

    fn enter(&mut self, state: SessionState) {
        if state != self.state {
            self.gauges.leave(self.state);
            self.gauges.enter(state);
            self.state = state;
        }
    }

    /// Moves what can be moved. Ready when the session is over.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wakeups.polled_by(cx.waker());
        for _ in 0..CHUNKS_PER_TURN {
            let up = self.step_if_woken(Way::ToServer);
            let down = self.step_if_woken(Way::ToClient);
            // The server's stream ended, and its end was passed on.
            if self.to_client.done {
                return Poll::Ready(());
            }
            if up.is_pending() && down.is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn step_if_woken(&mut self, way: Way) -> Poll<()> {
        let Some(waker) = self.wakeups.take(way as usize) else { return Poll::Pending };
        let moved = self.step(&mut Context::from_waker(&waker), way);
        if moved.is_ready() {
            self.wakeups.keep(way as usize);
        }
        moved
    }

    /// One read and the write of it, or the rest of an earlier write, in one direction.
    fn step(&mut self, cx: &mut Context<'_>, way: Way) -> Poll<()> {
        let flow = self.flow(way);
        if flow.done {
            return Poll::Pending;
        }
        if flow.sent < flow.kept.len() {
            return self.write_kept(cx, way);
        }
        if flow.unflushed {
            return self.flush(cx, way);
        }
        if flow.source_ended {
            return self.pass_end_on(cx, way);
        }
        LENT.with_borrow_mut(|lent| self.move_chunk(cx, way, lent))
    }

    fn flow(&mut self, way: Way) -> &mut Flow {
        match way {
            Way::ToServer => &mut self.to_server,
            Way::ToClient => &mut self.to_client,
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        way: Way,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match way {
            Way::ToServer => Pin::new(&mut self.client).poll_read(cx, buf),
            Way::ToClient => Pin::new(&mut self.server).poll_read(cx, buf),
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        way: Way,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match way {
            Way::ToServer => Pin::new(&mut self.server).poll_write(cx, bytes),
            Way::ToClient => Pin::new(&mut self.client).poll_write(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, way: Way) -> Poll<io::Result<()>> {
        match way {
            Way::ToServer => Pin::new(&mut self.server).poll_flush(cx),
            Way::ToClient => Pin::new(&mut self.client).poll_flush(cx),
        }
    }

    /// Writes and flushes; notes where the sink has taken more than its socket.
    fn write(&mut self, cx: &mut Context<'_>, way: Way, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.flow(way).discarding {
            return Poll::Ready(Ok(bytes.len()));
        }
        let taken = ready!(self.poll_write(cx, way, bytes))?;
        match self.poll_flush(cx, way) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => self.flow(way).unflushed = true,
        }
        Poll::Ready(Ok(taken))
    }

    fn move_chunk(&mut self, cx: &mut Context<'_>, way: Way, lent: &mut [u8]) -> Poll<()> {
        let mut buf = ReadBuf::new(lent);
        match ready!(self.poll_read(cx, way, &mut buf)) {
            Ok(()) if buf.filled().is_empty() => self.source_ended(way, None),
            Ok(()) => self.forward(cx, way, buf.filled()),
            Err(error) => self.source_ended(way, Some(error.kind())),
        }
        Poll::Ready(())
    }

    fn forward(&mut self, cx: &mut Context<'_>, way: Way, bytes: &[u8]) {
        match self.start.take() {
            None => self.send(cx, way, bytes),
            Some(start) => self.forward_start(cx, way, bytes, start),
        }
    }

    /// As long as authentication goes on: the offer of mechanisms may have to be edited.
    #[cold]
    fn forward_start(
        &mut self,
        cx: &mut Context<'_>,
        way: Way,
        bytes: &[u8],
        mut start: Box<Start>,
    ) {
        if way == Way::ToServer {
            start.watch.client_spoke();
            self.send(cx, way, bytes);
            self.start = Some(start);
            return;
        }
        start.watch.server_bytes(bytes, clock::now_us());
        let over = start.watch.seen().over;
        match &mut start.removal {
            None => self.send(cx, way, bytes),
            Some(removal) => {
                let mut edited = removal.pass(bytes);
                if over {
                    edited.append(&mut removal.take_held());
                }
                if !edited.is_empty() {
                    self.send(cx, way, &edited);
                }
            }
        }
        self.authentication = start.watch.seen();
        self.offer = start.removal.as_ref().and_then(PlusRemoval::offer);
        self.start = Some(start).filter(|_| !over);
    }

    /// Forward first, then look.
    fn send(&mut self, cx: &mut Context<'_>, way: Way, bytes: &[u8]) {
        let read_ns = clock::now_ns();
        let taken = match self.write(cx, way, bytes) {
            Poll::Ready(Ok(taken)) => taken,
            Poll::Ready(Err(error)) => return self.sink_failed(way, error.kind()),
            Poll::Pending => 0,
        };
        let written_ns = clock::now_ns();
        let read = read_ns / 1_000;
        self.moved_us = read;
        let flow = self.flow(way);
        let all = taken == bytes.len() && !flow.unflushed;
        let written = all.then_some(written_ns / 1_000);
        if taken < bytes.len() {
            flow.kept.extend_from_slice(&bytes[taken..]);
        }
        match way {
            Way::ToServer => self.watch.client_bytes(bytes, read, written),
            Way::ToClient => self.watch.server_bytes(bytes, read, written),
        }
        if written.is_some() {
            self.gauges.overhead(way == Way::ToServer, written_ns - read_ns);
        }
    }

    fn write_kept(&mut self, cx: &mut Context<'_>, way: Way) -> Poll<()> {
        let kept = std::mem::take(&mut self.flow(way).kept);
        let sent = self.flow(way).sent;
        let result = self.write(cx, way, &kept[sent..]);
        self.flow(way).kept = kept;
        match ready!(result) {
            Ok(taken) => self.taken(way, taken),
            Err(error) => self.sink_failed(way, error.kind()),
        }
        Poll::Ready(())
    }

    fn flush(&mut self, cx: &mut Context<'_>, way: Way) -> Poll<()> {
        let flushed = ready!(self.poll_flush(cx, way));
        self.flow(way).unflushed = false;
        match flushed {
            Ok(()) => self.taken(way, 0),
            Err(error) => self.sink_failed(way, error.kind()),
        }
        Poll::Ready(())
    }

    fn taken(&mut self, way: Way, taken: usize) {
        let flow = self.flow(way);
        flow.sent += taken;
        if flow.sent < flow.kept.len() {
            return;
        }
        // An idle session keeps no buffer.
        (flow.kept, flow.sent) = (Vec::new(), 0);
        if flow.unflushed {
            return;
        }
        let now = clock::now_us();
        match way {
            Way::ToServer => self.watch.client_forwarded(now),
            Way::ToClient => self.watch.server_forwarded(now),
        }
    }

    fn source_ended(&mut self, way: Way, error: Option<io::ErrorKind>) {
        let cause = match (way, error) {
            (Way::ToServer, None) => Cause::ClientClosed,
            (Way::ToServer, Some(kind)) => Cause::ClientRead(kind),
            (Way::ToClient, None) => Cause::ServerClosed,
            (Way::ToClient, Some(kind)) => Cause::ServerRead(kind),
        };
        self.flow(way).source_ended = true;
        self.cause.get_or_insert(cause);
        if error.is_some() && way == Way::ToServer {
            // A reset client takes nothing any more, but what it said before still reaches the server.
            self.discard_answers();
        }
        if let (Way::ToClient, Some(start)) = (way, &mut self.start) {
            let held = start.removal.as_mut().map(PlusRemoval::take_held).unwrap_or_default();
            self.to_client.kept.extend_from_slice(&held);
        }
        if way == Way::ToClient && self.watch.is_waiting() && self.watch.may_speak() {
            let words = crate::own_error::server_connection_lost();
            self.to_client.kept.extend_from_slice(&words);
        }
    }

    /// Half-close: the other direction goes on.
    fn pass_end_on(&mut self, cx: &mut Context<'_>, way: Way) -> Poll<()> {
        let closed = match way {
            Way::ToServer => Pin::new(&mut self.server).poll_shutdown(cx),
            Way::ToClient => Pin::new(&mut self.client).poll_shutdown(cx),
        };
        // A socket that is gone already needs no goodbye.
        let _ = ready!(closed);
        self.flow(way).done = true;
        Poll::Ready(())
    }

    /// A side takes nothing any more: what is on its way to it is lost, but what it said before still flows.
    fn sink_failed(&mut self, way: Way, kind: io::ErrorKind) {
        match way {
            Way::ToServer => {
                self.cause.get_or_insert(Cause::ServerWrite(kind));
                (self.to_server.kept, self.to_server.sent) = (Vec::new(), 0);
                self.to_server.unflushed = false;
                self.to_server.done = true;
            }
            Way::ToClient => {
                self.cause.get_or_insert(Cause::ClientWrite(kind));
                self.discard_answers();
            }
        }
    }

    /// The client is gone: the server's bytes are still read, or it would never get to read its end.
    fn discard_answers(&mut self) {
        (self.to_client.kept, self.to_client.sent) = (Vec::new(), 0);
        self.to_client.unflushed = false;
        self.to_client.discarding = true;
        // Whatever it waited for.
        self.wakeups.wake_both();
    }
}

impl<C, S> Drop for Relay<C, S> {
    fn drop(&mut self) {
        // Whatever made the thread panic may have been the tracker.
        if !std::thread::panicking() {
            self.watch.close();
        }
        self.gauges.leave(self.state);
    }
}
