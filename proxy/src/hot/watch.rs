//! Looks at the bytes of one session after they were forwarded: scanners, tracker, observer.

use super::afterglow::Afterglow;
use super::budget::{Share, TrackingBudget};
use super::observe::SessionObserver;
use super::standing::Standing;
use crate::clock;
use crate::counters::{Gauges, ModeCell, opaque_after};
use pgsonde_analyzer::record::{End, Opaque};
use pgsonde_wire::backend::{self, Status};
use pgsonde_wire::frame::{Frame, FrameScanner, FrameSink};
use pgsonde_wire::limits::STATEMENT_TEXT_BYTES_MAX;
use pgsonde_wire::tracker::ExchangeTracker;
use pgsonde_wire::{Error, Micros, frontend};
use std::rc::Rc;
use std::sync::Arc;

/// The observing side of a session. It learns; it never decides what is forwarded.
pub struct Watch {
    tracker: ExchangeTracker<SessionObserver>,
    observer: SessionObserver,
    gauges: Arc<Gauges>,
    text_bytes_max: usize,
    client: FrameScanner,
    server: FrameScanner,
    opaque: Option<Opaque>,
    standing: Rc<Standing>,
    share: Share,
    mode: Arc<ModeCell>,
    afterglow: Afterglow,
    end: End,
}

struct ClientSide<'a> {
    text_bytes_max: usize,
    tracker: &'a mut ExchangeTracker<SessionObserver>,
    observer: &'a mut SessionObserver,
}

impl FrameSink for ClientSide<'_> {
    fn wanted(&self, tag: u8) -> usize {
        frontend::wanted(tag, self.text_bytes_max)
    }

    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        self.tracker.client_frame(self.observer, &frame)
    }
}

struct ServerSide<'a> {
    tracker: &'a mut ExchangeTracker<SessionObserver>,
    observer: &'a mut SessionObserver,
}

impl FrameSink for ServerSide<'_> {
    fn wanted(&self, tag: u8) -> usize {
        let rows = tag == backend::tag::DATA_ROW && self.tracker.wants_rows(self.observer);
        backend::wanted(tag, rows)
    }

    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        self.tracker.server_frame(self.observer, &frame)
    }
}

impl Watch {
    /// Watches through `observer`. `opaque` gives the reason where the session can't be followed at all.
    pub fn new(observer: SessionObserver, gauges: Arc<Gauges>, opaque: Option<Opaque>) -> Self {
        if let Some(reason) = opaque {
            gauges.lost_sight(reason);
        }
        Self {
            tracker: ExchangeTracker::default(),
            observer,
            gauges,
            text_bytes_max: STATEMENT_TEXT_BYTES_MAX,
            client: FrameScanner::default(),
            server: FrameScanner::default(),
            opaque,
            standing: Rc::default(),
            share: Share::of(Arc::default()),
            mode: Arc::default(),
            afterglow: Afterglow::default(),
            end: End::default(),
        }
    }

    /// Says who ends the session, and how, before it is closed.
    pub fn ends(&mut self, end: End) {
        let by_server = matches!(end, End::ServerClosed | End::ServerReset);
        self.end = if by_server && self.tracker.terminated() { End::ClientClosed } else { end };
    }

    /// Notes in `standing` when the session works, and when it waits inside a transaction.
    #[must_use]
    pub fn with_standing(self, standing: Rc<Standing>) -> Self {
        standing.belong_to(self.observer.session());
        Self { standing, ..self }
    }

    /// Holds no more than `budget` has left; without this, it has a budget of its own.
    #[must_use]
    pub fn with_budget(self, budget: Arc<TrackingBudget>) -> Self {
        Self { share: Share::of(budget), ..self }
    }

    /// Looks away for good once this says `bypass`; without this, it never does.
    #[must_use]
    pub fn with_mode(self, mode: Arc<ModeCell>) -> Self {
        Self { mode, ..self }
    }

    /// Hashes statement and portal names with this seed, which should be random. Only before the first bytes.
    #[must_use]
    pub fn with_name_seed(self, seed: u64) -> Self {
        Self { tracker: ExchangeTracker::seeded(seed), ..self }
    }

    /// Keeps at most this many bytes of a statement text.
    #[must_use]
    pub fn with_text_limit(self, text_bytes_max: usize) -> Self {
        Self { text_bytes_max, ..self }
    }

    /// Bytes of the client, read at `read` and forwarded at `written` (`None`: not all of them yet).
    pub fn client_bytes(&mut self, bytes: &[u8], read: Micros, written: Option<Micros>) {
        self.observer.traffic.client_received += bytes.len() as u64;
        self.observer.traffic.server_sent += bytes.len() as u64;
        if self.opaque.is_some() {
            self.afterglow.asked();
            return;
        }
        self.standing.work(read);
        // Start-up is followed in any case: it has a deadline.
        if self.mode.is_bypass() && self.tracker.is_open() {
            return self.lose_sight(Opaque::Bypass, read);
        }
        self.tracker.client_chunk(written);
        let mut side = ClientSide {
            text_bytes_max: self.text_bytes_max,
            tracker: &mut self.tracker,
            observer: &mut self.observer,
        };
        let seen = self.client.feed(bytes, read, &mut side);
        self.note(seen, read);
        self.hold(read);
    }

    /// The rest of the latest client bytes was forwarded.
    pub fn client_forwarded(&mut self, now: Micros) {
        self.tracker.forwarded(now);
    }

    /// Bytes of the server, read at `read` and forwarded at `written` (`None`: not all of them yet).
    pub fn server_bytes(&mut self, bytes: &[u8], read: Micros, written: Option<Micros>) {
        self.observer.traffic.server_received += bytes.len() as u64;
        self.observer.traffic.client_sent += bytes.len() as u64;
        if self.opaque.is_some() {
            self.afterglow.answered(bytes);
            return;
        }
        self.tracker.server_chunk(written);
        let mut side = ServerSide { tracker: &mut self.tracker, observer: &mut self.observer };
        let seen = self.server.feed(bytes, read, &mut side);
        if written.is_none() {
            self.tracker.stalled(read);
        }
        let tally = self.tracker.take_tally();
        self.observer.note_tally(tally, read);
        self.note(seen, read);
        self.hold(read);
        self.note_standing(read);
    }

    /// Half a request of the client is one in flight, too.
    fn note_standing(&self, now: Micros) {
        if self.opaque.is_some() {
            self.standing.rest();
        } else if self.tracker.is_waiting() || !self.client.at_boundary() {
            self.standing.work(now);
        } else if self.tracker.status() == Status::Idle {
            self.standing.rest();
        } else {
            self.standing.wait(now);
        }
    }

    /// The rest of the latest server bytes was forwarded.
    pub fn server_forwarded(&mut self, now: Micros) {
        self.tracker.delivered(now);
    }

    /// A session that can't be followed is forwarded unseen from here on.
    fn note(&mut self, seen: Result<(), Error>, now: Micros) {
        if let Err(error) = seen {
            self.lose_sight(opaque_after(error), now);
        }
    }

    /// Tells what is held to follow the session, unless that would be too much for the process.
    fn hold(&mut self, now: Micros) {
        if self.opaque.is_none() && !self.share.hold(self.held_bytes()) {
            self.lose_sight(Opaque::Memory, now);
        }
    }

    fn held_bytes(&self) -> usize {
        let frames = self.client.held_bytes() + self.server.held_bytes();
        self.tracker.held_bytes() + self.observer.held_bytes() + frames
    }

    fn lose_sight(&mut self, reason: Opaque, now: Micros) {
        self.opaque = Some(reason);
        self.gauges.lost_sight(reason);
        self.tracker.lose_sight(&mut self.observer);
        self.observer.closed(self.tracker.take_tally(), now, Some(reason), End::Unknown);
        self.observer.forget();
        (self.client, self.server) = (FrameScanner::default(), FrameScanner::default());
        // Less than before is never too much.
        let _less = self.share.hold(0);
    }

    /// The session ended just now.
    pub fn close(&mut self) {
        self.close_at(clock::now_us());
    }

    /// The session ended at `now`.
    pub fn close_at(&mut self, now: Micros) {
        if self.opaque.is_none() {
            self.tracker.close(&mut self.observer, now);
            self.observer.closed(self.tracker.take_tally(), now, None, self.end);
        }
    }

    /// Why the session isn't followed, if it isn't.
    pub fn opaque(&self) -> Option<Opaque> {
        self.opaque
    }

    /// Whether start-up is over (or can't be told).
    pub fn is_open(&self) -> bool {
        self.opaque.is_some() || self.tracker.is_open()
    }

    /// Whether the client waits for an answer.
    pub fn is_waiting(&self) -> bool {
        self.tracker.is_waiting()
    }

    /// Whether an error message of our own may be written to the client: the stream stands between two
    /// frames, is understood, and the server hasn't said why it goes.
    pub fn may_speak(&self) -> bool {
        self.opaque.is_none() && self.server.at_boundary() && !self.tracker.died()
    }

    /// Whether the session stands at ReadyForQuery outside a transaction, between two frames on both sides.
    pub fn is_idle(&self) -> bool {
        self.may_speak()
            && self.client.at_boundary()
            && !self.tracker.is_waiting()
            && self.tracker.status() == Status::Idle
    }

    /// Whether a session that isn't looked at by choice seems to stand at ReadyForQuery outside a transaction.
    pub fn seems_idle(&self) -> bool {
        matches!(self.opaque, Some(Opaque::Bypass | Opaque::Memory)) && self.afterglow.is_ready()
    }

    /// Whether start-up was ended by an authentication error (SQLSTATE class 28).
    pub fn authentication_failed(&self) -> bool {
        self.tracker.startup_error().is_some_and(|sqlstate| sqlstate.starts_with(b"28"))
    }

    /// Whether the session is inside a transaction block.
    pub fn in_transaction(&self) -> bool {
        self.tracker.status() != Status::Idle
    }
}
