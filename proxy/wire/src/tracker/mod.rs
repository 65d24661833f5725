//! Pairs what a client asked with what the server answered, and times it.
//!
//! The tracker sees the frames of both directions in the order in which they were read. It keeps a queue of
//! what the server still owes ([`queue`]), the names that later frames refer to ([`names`]), and the stamps
//! from which times are made once they are certain ([`clock`]). It tells an [`Observer`] what happened.
//! Any chunking of either stream gives the same facts, but for the stamps.

mod client;
mod clock;
mod names;
mod queue;
mod server;
mod transaction;

use crate::backend::{DataRow, RowDescription, Status};
use crate::frontend::{Bind, Parse, Text};
use crate::{Error, Micros};
use clock::Clock;
use names::Names;
use queue::{Copying, Open, Queue};
use transaction::Transactions;

/// Learns what happened on a session. Statically dispatched; nothing here may block or fail.
pub trait Observer {
    /// What a statement name stands for.
    type Statement: Copy;
    /// What a portal holds.
    type Portal: Default;
    /// One execution on its way.
    type Request: Copy;

    /// A statement text was prepared.
    fn parsed(&mut self, parse: &Parse<'_>) -> Self::Statement;

    /// A Parse was answered by itself: the client waited for nothing else. `took_us` is an upper bound of what
    /// parsing took, the way to the server and back included.
    fn prepared(&mut self, statement: Self::Statement, took_us: u64);

    /// A portal was bound; `portal` may hold an earlier portal's content.
    ///
    /// # Errors
    /// The values reach beyond the frame.
    fn bound(
        &mut self,
        portal: &mut Self::Portal,
        statement: Option<Self::Statement>,
        bind: &Bind<'_>,
    ) -> Result<(), Error>;

    /// A portal is to be executed; `None` where its name is not known.
    fn executed(&mut self, portal: Option<&Self::Portal>) -> Self::Request;

    /// A statement that fails before its execution, or a portal that ends undrained: no binds.
    fn unbound(&mut self, statement: Option<Self::Statement>) -> Self::Request;

    /// A simple query is to be executed.
    fn queried(&mut self, text: Text<'_>) -> Self::Request;

    /// A function is to be called by the function-call sub-protocol.
    fn called(&mut self) -> Self::Request;

    /// A request will not be executed: the server skips it after an error. Those of one error are told newest
    /// first.
    fn skipped(&mut self, request: Self::Request);

    /// The parameter types of a statement.
    fn parameters(&mut self, statement: Self::Statement, types: &mut dyn Iterator<Item = u32>);

    /// The columns of a prepared statement.
    fn described(&mut self, statement: Self::Statement, columns: &RowDescription<'_>);

    /// The columns of the running simple query.
    fn columns(&mut self, request: Self::Request, columns: &RowDescription<'_>);

    /// Whether the next row of the running statement is of interest.
    fn wants_rows(&self, request: Self::Request) -> bool;

    /// A row of the running statement.
    fn row(&mut self, request: Self::Request, row: &DataRow<'_>);

    /// The server says why the next request to end failed.
    fn failing(&mut self, _message: &[u8]) {}

    /// The oldest request (or one member of a multi-statement query) ended. Its times follow with
    /// [`Self::settled`], before the next `ended`.
    fn ended(&mut self, request: Self::Request, ended: &Ended<'_>);

    /// The times of the latest ended statement are certain.
    fn settled(&mut self, settled: &Settled);

    /// A transaction block ended.
    fn transaction(&mut self, transaction: &Transaction);

    /// The server reported a parameter.
    fn parameter_status(&mut self, name: &[u8], value: &[u8]);

    /// The server asks for authentication: the request's code, and the first bytes of what follows it.
    fn authentication(&mut self, code: u32, rest: &[u8]);

    /// The server told which of its processes serves the session.
    fn server_process(&mut self, pid: u32);

    /// First ReadyForQuery: start-up is complete.
    fn opened(&mut self, now: Micros);
}

/// How a statement ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Completed.
    #[default]
    Ok,
    /// ErrorResponse with its SQLSTATE.
    Error([u8; 5]),
    /// The connection ended first.
    Aborted,
}

/// Which sub-protocol carried a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Protocol {
    #[default]
    Simple,
    Extended,
    FunctionCall,
}

/// A statement that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended<'a> {
    /// Completion tag, empty without one.
    pub tag: &'a [u8],
    /// Rows: of the tag, over all parts of a suspended portal.
    pub rows: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Sub-protocol.
    pub protocol: Protocol,
    /// Bytes of the answer.
    pub sent_bytes: u64,
    /// Bytes of the request.
    pub received_bytes: u64,
    /// Position in its text, from 0.
    pub member: u16,
    /// Ordinal of the round trip.
    pub round_trip: u32,
    /// Ordinal of the transaction block, 0 in autocommit.
    pub transaction: u32,
    /// Whether the session was inside a transaction block before the request; says what `think_us` is.
    pub in_transaction: bool,
    /// Client think time before the request, in microseconds.
    pub think_us: u64,
    /// The portal was suspended: more parts follow, and the counted end.
    pub part: bool,
    /// The client asked for a limited number of rows at a time.
    pub row_limited: bool,
}

/// What the times of a statement mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Timing {
    /// Its own time.
    #[default]
    Exact,
    /// Upper bound: the client released the reply late.
    Bound,
    /// Member of a batch, not the last: no time.
    Batch,
    /// Last member: the time of the batch.
    BatchLast,
    /// Empty query.
    Empty,
    /// Part of a suspended portal.
    Part,
}

/// The times of a statement; the four phases add up to its duration exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// What they mean.
    pub timing: Timing,
    /// Request complete, or the previous answer complete if later.
    pub begin_us: Micros,
    /// Read to forwarded.
    pub queue_us: u64,
    /// Forwarded to first row or completion.
    pub first_row_us: u64,
    /// First row to completion.
    pub transfer_us: u64,
    /// The client took nothing.
    pub client_stall_us: u64,
    /// Behind own earlier statements.
    pub wait_us: u64,
    /// Statements in the batch ([`Timing::BatchLast`]).
    pub batch_statements: u32,
}

/// A transaction block that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Ordinal on the session, from 1.
    pub ordinal: u32,
    /// Begin of its first statement.
    pub begin_us: Micros,
    /// ReadyForQuery that ended it.
    pub end_us: Micros,
    /// Client think time inside.
    pub think_us: u64,
    /// How it ended.
    pub outcome: TransactionOutcome,
}

/// How a transaction block ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum TransactionOutcome {
    #[default]
    Commit,
    Rollback,
    Error,
    Abandoned,
}

/// Counters of a session that belong to no statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that the server skipped after an error.
    pub skipped: u32,
    /// Named Parses.
    pub prepares_named: u32,
    /// Unnamed Parses.
    pub prepares_unnamed: u32,
}

/// Follows one session. Create it when the StartupMessage has been forwarded.
pub struct ExchangeTracker<O: Observer> {
    queue: Queue<O>,
    names: Names<O>,
    clock: Clock,
    transactions: Transactions,
    open: Open,
    suspended: Vec<Suspended<O::Statement>>,
    tally: Tally,
    starting: bool,
    skipping: bool,
    round_trip: u32,
    /// Think time that no statement has taken yet.
    open_think_us: u64,
    /// When the latest ReadyForQuery was read.
    ready_us: Micros,
    /// Portal of the suspended statement whose last part is about to be settled.
    draining: Option<u64>,
    /// Ordinal of the first entry of the latest client chunk.
    chunk_ordinal: u64,
    /// SQLSTATE of the error that ended start-up.
    startup_error: Option<[u8; 5]>,
    /// Bytes of client frames that belong to no request yet.
    request_bytes: u64,
    status: Status,
    last_error_fatal: bool,
    terminated: bool,
}

/// A statement whose portal was suspended.
struct Suspended<S> {
    portal: u64,
    statement: Option<S>,
    rows: u64,
    sent_bytes: u64,
    received_bytes: u64,
    think_us: u64,
    in_transaction: bool,
    times: Settled,
}

impl<O: Observer> Default for ExchangeTracker<O> {
    fn default() -> Self {
        Self::seeded(0)
    }
}

impl<O: Observer> ExchangeTracker<O> {
    /// Follows a session whose names are hashed with `seed`, which should be random.
    pub fn seeded(seed: u64) -> Self {
        Self {
            queue: Queue::default(),
            names: Names::seeded(seed),
            clock: Clock::default(),
            transactions: Transactions::default(),
            open: Open::default(),
            suspended: Vec::new(),
            tally: Tally::default(),
            starting: true,
            skipping: false,
            round_trip: 0,
            open_think_us: 0,
            ready_us: 0,
            draining: None,
            chunk_ordinal: 0,
            startup_error: None,
            request_bytes: 0,
            status: Status::Idle,
            last_error_fatal: false,
            terminated: false,
        }
    }
}

impl<O: Observer> ExchangeTracker<O> {
    /// Announces the client frames of one chunk: the server's socket had taken all of it at `written`
    /// (`None`: not yet, [`Self::forwarded`] follows).
    pub fn client_chunk(&mut self, written: Option<Micros>) {
        self.clock.client_written(written);
        self.chunk_ordinal = self.queue.next_ordinal();
    }

    /// The server's socket took the rest of the latest client chunk.
    pub fn forwarded(&mut self, now: Micros) {
        self.clock.forwarded(now);
        for run in self.queue.runs_since(self.chunk_ordinal) {
            run.forwarded_us = now;
            run.forwarded_stall_us = self.clock.stall_us(now);
        }
    }

    /// Announces the server frames of one chunk: the client's socket had taken all of it at `written`
    /// (`None`: not yet, [`Self::delivered`] follows).
    pub fn server_chunk(&mut self, written: Option<Micros>) {
        self.clock.server_written(written);
    }

    /// From `now` on the server is not read, because the client's socket takes nothing.
    pub fn stalled(&mut self, now: Micros) {
        self.clock.stalled(now);
    }

    /// The client's socket took the rest of the latest server chunk.
    pub fn delivered(&mut self, now: Micros) {
        self.clock.delivered(now);
    }

    /// Whether the client waits for an answer.
    pub fn is_waiting(&self) -> bool {
        self.starting || !self.queue.is_empty()
    }

    /// About the bytes that the session's requests and names take in memory.
    pub fn held_bytes(&self) -> usize {
        self.queue.held_bytes() + self.names.held_bytes()
    }

    /// Whether start-up is over.
    pub fn is_open(&self) -> bool {
        !self.starting
    }

    /// Transaction status of the latest ReadyForQuery.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Whether the server's last error was FATAL or PANIC.
    pub fn died(&self) -> bool {
        self.last_error_fatal
    }

    /// Whether the client took its leave: what closes first after that says nothing.
    pub fn terminated(&self) -> bool {
        self.terminated
    }

    /// SQLSTATE of the error that ended start-up, if one did.
    pub fn startup_error(&self) -> Option<[u8; 5]> {
        self.startup_error
    }

    /// The session can't be followed any more: what is known of it is told, the rest forgotten.
    pub fn lose_sight(&mut self, observer: &mut O) {
        self.settle_now(observer);
        *self = Self { tally: self.tally, ..Self::default() };
    }

    /// Takes the counters since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Whether DataRow bodies are wanted now.
    pub fn wants_rows(&self, observer: &O) -> bool {
        self.queue.head_run().is_some_and(|run| observer.wants_rows(run.request))
    }

    /// The session ended: what is open ends as aborted.
    pub fn close(&mut self, observer: &mut O, now: Micros) {
        self.settle_now(observer);
        while let Some(entry) = self.queue.pop() {
            let was_answered = std::mem::take(&mut self.open.members) > 0;
            if let Some(run) = entry.into_run().filter(|_| !was_answered) {
                self.end_alone(observer, run, Outcome::Aborted, now);
            }
        }
        self.end_suspended(observer, u64::MAX);
        if let Some(transaction) = self.transactions.abandon(now) {
            observer.transaction(&transaction);
        }
    }

    fn desync(tag: u8) -> Error {
        Error::Desync { tag: tag as char }
    }

    fn is_copy_in(&self) -> bool {
        self.open.copying == Copying::In
    }
}
