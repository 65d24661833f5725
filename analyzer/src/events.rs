//! What a listener hears: each statement, transaction and connection as the analyzer understood it.
//!
//! Nobody listens by default, and then nothing in here is made: the analyzer asks one question per event. Whoever
//! listens takes the events after every batch ([`crate::Analyzer::take_heard`]); what is not taken in time is left out
//! and counted. The events are plain data that may go to another thread.

use crate::as_sent::AsSent;
use crate::digest::Statement;
use crate::labels::Labels;
use crate::record::{
    Auth, Driver, End, Micros, Opaque, SessionId, Setup, StatementRecord, TrafficRecord,
    TransactionOutcome, TransactionRecord,
};
use crate::sessions::Session;
use crate::snapshot::Operation;
use crate::text::{Class, TraceContext};
use std::sync::Arc;

/// Events that are held until they are taken; further ones are counted only.
const HELD_MAX: usize = 4_096;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A session may send statements.
    Opened(Opened),
    /// A statement was executed.
    Statement(Arc<StatementEvent>),
    /// A transaction block ended.
    Transaction(Box<TransactionEvent>),
    /// Bytes and prepares of a session since its last such event.
    Traffic(TrafficRecord),
    /// A session ended.
    Closed(Closed),
}

/// What one session is known by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Database, `other` beyond the ceiling.
    pub database: Arc<str>,
    /// Database user.
    pub user: Arc<str>,
    /// Raw `application_name`.
    pub application_name: Arc<str>,
    /// Address without port.
    pub client: Arc<str>,
    /// Service after the application name, `other` beyond the ceiling.
    pub service: Arc<str>,
    /// Process of the server that serves it; 0 if it was not told.
    pub server_pid: u32,
}

/// A session may send statements.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Which.
    pub session: SessionId,
    /// First ReadyForQuery.
    pub at_us: Micros,
    /// Start-up packet to first ReadyForQuery.
    pub setup_us: u64,
    /// Version of the server, as it says it; empty if it didn't.
    pub server_version: Arc<str>,
    /// What start-up came to.
    pub setup: Setup,
    /// What the server asked the client for.
    pub auth: Auth,
    /// Who it is.
    pub who: Arc<Who>,
}

/// A session ended.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Which.
    pub session: SessionId,
    /// When.
    pub at_us: Micros,
    /// Why it was forwarded unseen at its end, if it was.
    pub opaque: Option<Opaque>,
    /// Who ended it, and how.
    pub end: End,
    /// The client's pauses outside of transactions.
    pub think_idle_us: u64,
    /// The client's pauses inside of transactions.
    pub think_in_transaction_us: u64,
    /// Requests on the client leg.
    pub received_bytes: u64,
    /// Answers on the client leg.
    pub sent_bytes: u64,
    /// First ReadyForQuery to its end.
    pub duration_us: u64,
    /// Time of its statements.
    pub busy_us: u64,
    /// Statements since it opened.
    pub statements: u64,
    /// Transaction blocks that ended.
    pub transactions: u64,
    /// Driver, if a name gave it away.
    pub driver: Driver,
    /// Who it was.
    pub who: Arc<Who>,
}

/// What was executed: what all executions of a digest share.
#[derive(Clone, Debug)]
pub struct Executed(Arc<Statement>);

impl Executed {
    pub(crate) fn new(statement: Arc<Statement>) -> Self {
        Self(statement)
    }

    /// Identity.
    pub fn digest(&self) -> u64 {
        self.0.digest
    }

    /// What it does.
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// How it is treated.
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// Text without literals and comments.
    pub fn query_text(&self) -> &str {
        &self.0.text
    }

    /// Whether the text was cut.
    pub fn is_cut(&self) -> bool {
        self.0.cut
    }

    /// Whether the parser grouped it (else the lexer's shape did).
    pub fn is_parsed(&self) -> bool {
        self.0.parsed
    }

    /// "SELECT orders customers".
    pub fn summary(&self) -> &str {
        &self.0.summary
    }

    /// Tables that it names.
    pub fn tables(&self) -> &[Arc<str>] {
        &self.0.tables
    }
}

/// One execution.
#[derive(Clone, Debug)]
pub struct StatementEvent {
    /// The record; its spans mean nothing any more.
    pub record: StatementRecord,
    /// What was executed.
    pub executed: Executed,
    /// The server's own name for its digest, `pg_stat_statements.queryid`, if it is known.
    pub query_id: Option<i64>,
    /// Whether its text was not known.
    pub untracked: bool,
    /// Whether its text held literals.
    pub literals: bool,
    /// Hash of all its values, parameters and literals; equal values have equal hashes within one process.
    pub values_hash: u64,
    /// Ordinal in the session, from 1.
    pub seq: u64,
    /// Unit of work that it was counted in.
    pub unit_id: Option<u64>,
    /// Whether its own text carries a trace: the unit's id is the hash of it then.
    pub traced: bool,
    /// Place in a trace that its own text names.
    pub context: Option<TraceContext>,
    /// Where in the application its text was made, `file:line`.
    pub code: Option<Arc<str>>,
    /// As it was sent (`profile.redact = "off"`).
    pub as_sent: Option<Box<AsSent>>,
    /// Other tags of its text (`profile.tags`).
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// Service, after the text's tags.
    pub service: Arc<str>,
    /// Route tag.
    pub route: Option<Arc<str>>,
    /// Whether it sets or resets the mark of its session.
    pub changes_mark: bool,
    /// Mark that it ran under.
    pub mark: Option<Arc<str>>,
    /// Who sent it.
    pub who: Arc<Who>,
}

/// Executions of one digest that are worth looking at.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    /// The one that took longest.
    pub slowest: Option<Arc<StatementEvent>>,
    /// One near the median; of each half second at most one execution is considered.
    pub typical: Option<Arc<StatementEvent>>,
    /// The first one of the latest half second with any.
    pub latest: Option<Arc<StatementEvent>>,
}

/// What the statements of a transaction came to, BEGIN, COMMIT and ROLLBACK among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionSums {
    /// Round trips.
    pub round_trips: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of the requests, on the client's leg.
    pub received_bytes: u64,
    /// Bytes of the answers, on the client's leg.
    pub sent_bytes: u64,
    /// A statement of it writes.
    pub writes: bool,
    /// Savepoints that were set.
    pub savepoints: u64,
    /// SQLSTATE of its first error; zeros without.
    pub sqlstate: [u8; 5],
}

/// One transaction block that ended.
#[derive(Clone, Debug)]
pub struct TransactionEvent {
    /// Whose.
    pub session: SessionId,
    /// Its ordinal on the session.
    pub transaction: u32,
    /// Begin of the statement that opened it.
    pub begin_us: Micros,
    /// ReadyForQuery that ended it.
    pub end_us: Micros,
    /// Client think time inside.
    pub think_us: u64,
    /// Time of its statements.
    pub busy_us: u64,
    /// Statements, without BEGIN, COMMIT and ROLLBACK.
    pub statements: u64,
    /// What they came to.
    pub sums: TransactionSums,
    /// How it ended.
    pub outcome: TransactionOutcome,
    /// Hash of the sequence of digests.
    pub shape: u64,
    /// The sequence, first 32.
    pub digests: Vec<u64>,
    /// Unit of work that it belongs to.
    pub unit_id: Option<u64>,
    /// What its statements said of themselves.
    pub labels: BlockLabels,
    /// Who did it.
    pub who: Arc<Who>,
}

/// What the statements of a transaction said of themselves: the first of each.
#[derive(Clone, Debug, Default)]
pub struct BlockLabels {
    transaction: u32,
    /// Trace.
    pub trace_id: Option<u128>,
    /// Route.
    pub route: Option<Arc<str>>,
    /// Mark.
    pub mark: Option<Arc<str>>,
}

impl BlockLabels {
    /// Adds what an execution in a transaction says.
    pub(crate) fn note(&mut self, event: &StatementEvent) {
        if self.transaction != event.record.transaction {
            *self = Self { transaction: event.record.transaction, ..Self::default() };
        }
        self.trace_id = self.trace_id.or(event.context.map(|context| context.trace_id));
        self.route = self.route.take().or_else(|| event.route.clone());
        self.mark = self.mark.take().or_else(|| event.mark.clone());
    }
}

impl TransactionEvent {
    pub(crate) fn of(record: &TransactionRecord, session: &mut Session, labels: &Labels) -> Self {
        let shape = session.shape.so_far(record.transaction);
        let labels_of_block =
            session.block.take().filter(|block| block.transaction == record.transaction);
        Self {
            labels: labels_of_block.map(|block| *block).unwrap_or_default(),
            session: record.session,
            transaction: record.transaction,
            begin_us: record.begin_us,
            end_us: record.end_us,
            think_us: record.think_us,
            busy_us: shape.busy_us,
            statements: shape.statements,
            sums: shape.sums,
            outcome: record.outcome,
            shape: shape.hash,
            digests: shape.digests,
            unit_id: session.unit.as_ref().map(crate::units::SessionUnit::id),
            who: session.who(labels),
        }
    }
}

/// What was heard and not taken yet; `None` inside while nobody listens.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    events: Option<Vec<Heard>>,
    lost: u64,
}

impl Listening {
    /// Begins or ends; what was not taken is forgotten at the end.
    pub(crate) fn switch(&mut self, on: bool) {
        match (on, &self.events) {
            (true, None) => self.events = Some(Vec::new()),
            (false, Some(_)) => *self = Self::default(),
            _ => {}
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.events.is_some()
    }

    /// Keeps what `event` makes, if somebody listens.
    #[inline]
    pub(crate) fn hear(&mut self, event: impl FnOnce() -> Heard) {
        if let Some(events) = &mut self.events {
            if events.len() < HELD_MAX {
                events.push(event());
            } else {
                self.lost += 1;
            }
        }
    }

    /// What was heard since the last time, and how many events found no room.
    pub(crate) fn take(&mut self) -> (Vec<Heard>, u64) {
        let events = self.events.as_mut().map(std::mem::take).unwrap_or_default();
        (events, std::mem::take(&mut self.lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::testing::{Exec, Stream};

    fn run(stream: &mut Stream, sql: &str, us: u64) {
        stream.exec(Exec { sql, us, transaction: 0, rows: Some(1), ..Exec::default() });
    }

    fn statements(heard: &[Heard]) -> Vec<&StatementEvent> {
        fn statement(heard: &Heard) -> Option<&StatementEvent> {
            match heard {
                Heard::Statement(event) => Some(event),
                _ => None,
            }
        }
        heard.iter().filter_map(statement).collect()
    }

    #[test]
    fn nothing_is_heard_while_nobody_listens() {
        let mut stream = Stream::new(Limits::default());
        run(&mut stream, "SELECT 1 FROM t", 10);
        assert!(stream.analyzer.take_heard().0.is_empty());
        stream.analyzer.listen(true);
        run(&mut stream, "SELECT 2 FROM t /*route='/r',application='shop'*/", 20);
        let (heard, lost) = stream.analyzer.take_heard();
        let events = statements(&heard);
        assert_eq!((events.len(), lost), (1, 0));
        let event = events[0];
        assert_eq!((&*event.service, event.route.as_deref()), ("shop", Some("/r")));
        assert_eq!((event.seq, event.record.duration_us(), event.literals), (2, 20, true));
        assert_eq!((&*event.who.database, &*event.who.service), ("shop", "web"));
        assert_eq!(event.executed.query_text(), "SELECT ? FROM t");
        assert!(event.unit_id.is_some() && !event.untracked);
        stream.analyzer.listen(false);
        run(&mut stream, "SELECT 3 FROM t", 10);
        assert!(stream.analyzer.take_heard().0.is_empty());
    }

    #[test]
    fn what_is_not_taken_is_bounded_and_counted() {
        let mut stream = Stream::new(Limits::default());
        stream.analyzer.listen(true);
        for _ in 0..HELD_MAX + 7 {
            run(&mut stream, "SELECT 1 FROM t", 10);
        }
        let (heard, lost) = stream.analyzer.take_heard();
        assert_eq!((heard.len() as u64 + lost, heard.len()), (HELD_MAX as u64 + 7, HELD_MAX));
    }

    #[test]
    fn equal_values_have_equal_hashes() {
        let mut stream = Stream::new(Limits::default());
        stream.analyzer.listen(true);
        for value in [5, 6, 5] {
            run(&mut stream, &format!("SELECT a FROM t WHERE id = {value}"), 10);
        }
        let (heard, _) = stream.analyzer.take_heard();
        let hashes: Vec<u64> = statements(&heard).iter().map(|event| event.values_hash).collect();
        assert!(hashes[0] == hashes[2] && hashes[0] != hashes[1], "{hashes:?}");
    }

    #[test]
    fn examples_are_the_slowest_a_typical_and_a_late_one() {
        let mut stream = Stream::new(Limits::default());
        for us in [100, 900, 110, 500] {
            run(&mut stream, "SELECT a FROM t", us);
            stream.analyzer.snapshot(stream.now);
        }
        let snapshot = stream.analyzer.snapshot(stream.now);
        let examples = snapshot.digests[0].examples.clone().unwrap_or_default();
        let us = |event: &Option<Arc<StatementEvent>>| {
            event.as_ref().map(|event| event.record.duration_us())
        };
        assert_eq!(us(&examples.slowest), Some(900));
        assert_eq!(us(&examples.latest), Some(500));
        assert_eq!(us(&examples.typical), Some(110));
    }
}
