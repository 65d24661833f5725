//! Counters of the forwarding side. Each worker writes its own; a scrape adds them up.

use crate::export::Mode;
use pgsonde_analyzer::record::Opaque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

/// Upper bounds in nanoseconds of the time that a chunk spends inside.
pub use crate::export::OVERHEAD_BUCKETS_NS;
pub use crate::export::SETUP_BUCKETS_US;

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// A request is being answered (or start-up is going on).
    Active,
    /// Waiting for the client, outside a transaction.
    Idle,
    /// Waiting for the client, inside a transaction.
    IdleInTransaction,
}

/// What is inspected, as the forwarding path asks for it.
#[derive(Debug)]
pub struct ModeCell(AtomicU8);

impl ModeCell {
    /// Starts with this mode.
    pub fn new(mode: Mode) -> Self {
        Self(AtomicU8::new(mode as u8))
    }

    /// The mode now.
    pub fn mode(&self) -> Mode {
        let number = self.0.load(Relaxed);
        Mode::ALL.into_iter().find(|mode| *mode as u8 == number).unwrap_or_default()
    }

    /// Changes it.
    pub fn set(&self, mode: Mode) {
        self.0.store(mode as u8, Relaxed);
    }

    /// Whether bytes are forwarded unseen.
    pub fn is_bypass(&self) -> bool {
        self.0.load(Relaxed) == Mode::Bypass as u8
    }
}

impl Default for ModeCell {
    fn default() -> Self {
        Self::new(Mode::Full)
    }
}

/// Why a session is not followed after this error.
pub fn opaque_after(error: pgsonde_wire::Error) -> Opaque {
    use pgsonde_wire::Error;
    match error {
        Error::Length { .. } | Error::Malformed { .. } | Error::Desync { .. } => Opaque::Framing,
        Error::Replication => Opaque::Replication,
        Error::QueueFull => Opaque::Memory,
    }
}

/// A histogram with one writer or many, over ten bounds and one bucket above.
#[derive(Debug, Default)]
pub struct AtomicBuckets {
    counts: [AtomicU64; 11],
    sum: AtomicU64,
}

impl AtomicBuckets {
    /// Counts one observation.
    pub fn observe(&self, bounds: &[u64; 10], value: u64) {
        let at = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
        self.counts[at].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// The same without a locked instruction: only for a single writer.
    fn observe_alone(&self, bounds: &[u64; 10], value: u64) {
        let at = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
        add_alone(&self.counts[at], 1);
        add_alone(&self.sum, value);
    }

    /// Adds what was counted to a plain histogram.
    pub fn add_to(&self, buckets: &mut pgsonde_analyzer::snapshot::Buckets<10>) {
        for (count, atomic) in buckets.counts.iter_mut().zip(&self.counts) {
            *count += atomic.load(Relaxed);
        }
        buckets.above += self.counts[10].load(Relaxed);
        buckets.sum += self.sum.load(Relaxed);
    }
}

/// A load and a store: enough where one thread writes.
fn add_alone(counter: &AtomicU64, value: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(value), Relaxed);
}

/// Gauges and histograms of one worker thread; only that thread writes them.
#[derive(Debug, Default)]
pub struct Gauges {
    states: [AtomicU64; 3],
    to_server_ns: AtomicBuckets,
    to_client_ns: AtomicBuckets,
    opaque: [AtomicU64; 6],
}

impl Gauges {
    /// A session is not followed any more.
    pub fn lost_sight(&self, reason: Opaque) {
        add_alone(&self.opaque[reason as usize], 1);
    }

    /// Sessions that are or were not followed.
    pub fn opaque_sessions(&self, reason: Opaque) -> u64 {
        self.opaque[reason as usize].load(Relaxed)
    }

    /// A session entered this state.
    pub fn enter(&self, state: SessionState) {
        add_alone(&self.states[state as usize], 1);
    }

    /// A session left this state.
    pub fn leave(&self, state: SessionState) {
        add_alone(&self.states[state as usize], u64::MAX);
    }

    /// Sessions in this state.
    pub fn sessions(&self, state: SessionState) -> u64 {
        self.states[state as usize].load(Relaxed)
    }

    /// A chunk spent this long inside, in nanoseconds.
    pub fn overhead(&self, to_server: bool, ns: u64) {
        let buckets = if to_server { &self.to_server_ns } else { &self.to_client_ns };
        buckets.observe_alone(&OVERHEAD_BUCKETS_NS, ns);
    }

    /// Overhead histograms: to the server, to the client.
    pub fn overheads(&self) -> [&AtomicBuckets; 2] {
        [&self.to_server_ns, &self.to_client_ns]
    }
}

macro_rules! counters {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub struct $name { $($(#[$doc])* pub $field: AtomicU64,)* }
    };
}

counters!(
    /// Events of the whole process that are too rare to be counted per worker.
    Connections {
        /// Sessions that reached their first ReadyForQuery.
        ok,
        /// Sessions whose authentication failed.
        auth_failed,
        /// The server refused, or its name was not found.
        upstream_refused,
        /// The server did not answer in time.
        upstream_timeout,
        /// TLS failed, on either leg.
        tls_error,
        /// Clients that left after TLS was declined.
        tls_declined,
        /// Authentications that failed, or were given up, for want of channel binding.
        binding_failed,
        /// Offers of SASL mechanisms that were too long to be edited.
        sasl_list_too_long,
        /// Turned away at the limit.
        limit,
        /// CancelRequests relayed.
        cancel_requests,
    }
);
