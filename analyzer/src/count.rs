//! The books: each statement enters exactly one term, and its time exactly one place.

use crate::digest::{DigestTable, Execution, Source, Statement, Wanted};
use crate::history::Sums;
use crate::labels::{Labels, ServiceId, StatementSums};
use crate::latency::Durations;
use crate::record::Protocol;
use crate::record::{Outcome, StatementRecord, Timing};
use crate::sessions::{OpenBatch, Session};
use crate::snapshot::{Books, DigestTotals, Hygiene, Phases};
use crate::text::Class;
use std::sync::Arc;

/// Sums over everything.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) books: Books,
    pub(crate) latency: Durations,
    pub(crate) phases: Phases,
    pub(crate) indivisible: DigestTotals,
    errors: u64,
    rows: u64,
    received_bytes: u64,
    sent_bytes: u64,
}

/// One counted execution and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted<'a> {
    pub(crate) record: &'a StatementRecord,
    pub(crate) statement: &'a Arc<Statement>,
    pub(crate) service: ServiceId,
    pub(crate) route: Option<&'a Arc<str>>,
    /// Its text held literals.
    pub(crate) literal: bool,
    /// All phases, with the think time in its right place.
    pub(crate) phases: Phases,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(
        record: &'a StatementRecord,
        statement: &'a Arc<Statement>,
        service: ServiceId,
        route: Option<&'a Arc<str>>,
        literal: bool,
    ) -> Self {
        let (inside, outside) =
            if record.in_transaction { (record.think_us, 0) } else { (0, record.think_us) };
        let phases = Phases {
            queue_us: record.queue_us,
            first_row_us: record.first_row_us,
            transfer_us: record.transfer_us,
            client_stall_us: record.client_stall_us,
            think_in_transaction_us: inside,
            think_idle_us: outside,
        };
        Self { record, statement, service, route, literal, phases }
    }

    /// Duration of an execution that was timed by itself and ended.
    pub(crate) fn timed_us(&self) -> Option<u64> {
        let timed = matches!(self.record.timing, Timing::Exact | Timing::Bound);
        (timed && self.record.outcome != Outcome::Aborted).then(|| self.record.duration_us())
    }

    /// What the digest's row gets: the time of a batch isn't part of it.
    fn row_sums(&self) -> DigestTotals {
        let record = self.record;
        let member = matches!(record.timing, Timing::Batch | Timing::BatchLast);
        let phases = if member {
            Phases {
                think_in_transaction_us: self.phases.think_in_transaction_us,
                think_idle_us: self.phases.think_idle_us,
                ..Phases::default()
            }
        } else {
            self.phases
        };
        DigestTotals {
            calls: 1,
            errors: u64::from(record.outcome != Outcome::Ok),
            rows: record.rows,
            received_bytes: record.received_bytes,
            sent_bytes: record.sent_bytes,
            phases,
            batch_members: u64::from(member),
        }
    }

    fn hygiene(&self) -> Hygiene {
        Hygiene {
            parsed: u64::from(self.record.parsed),
            simple: u64::from(self.record.protocol == Protocol::Simple),
            literal: u64::from(self.literal),
        }
    }

    fn sums(&self) -> StatementSums {
        let failed = self.record.outcome != Outcome::Ok && self.record.sqlstate != [0; 5];
        StatementSums {
            operation: self.statement.operation,
            outcome: match self.record.outcome {
                Outcome::Ok => 0,
                Outcome::Error | Outcome::Aborted => 1,
                Outcome::Cancelled => 2,
            },
            rows: self.record.rows,
            timed_us: self.timed_us(),
            class: failed.then(|| [self.record.sqlstate[0], self.record.sqlstate[1]]),
        }
    }
}

impl Counters {
    /// Counts one execution everywhere but in its unit of work.
    ///
    /// Returns the service time in microseconds: its own, or that of a whole batch of its digest on the last
    /// member; `None` for the other members. And which example of its digest it would make.
    pub(crate) fn add(
        &mut self,
        counted: &Counted<'_>,
        session: &mut Session,
        digests: &mut DigestTable,
        labels: &mut Labels,
        untracked: bool,
    ) -> (Option<u64>, Wanted) {
        let record = counted.record;
        self.enter(record);
        self.books.untracked += u64::from(untracked);
        self.phases.add(&counted.phases);
        self.errors += u64::from(record.outcome != Outcome::Ok);
        self.rows += record.rows;
        self.received_bytes += record.received_bytes;
        self.sent_bytes += record.sent_bytes;
        if let Some(us) = counted.timed_us() {
            self.latency.record(us);
        }
        let execution = Execution {
            sums: &counted.row_sums(),
            timed_us: counted.timed_us(),
            sqlstate: (record.sqlstate != [0; 5]).then_some(record.sqlstate),
            source: Source {
                user: &session.user,
                application_name: &session.application_name,
                route: counted.route,
            },
            hygiene: counted.hygiene(),
            begin_us: record.begin_us,
            end_us: record.end_us(),
        };
        let wanted = digests.add(session.database, counted.statement, &execution);
        self.books.other += u64::from(wanted.is_none());
        let (database, service) = (session.database, counted.service);
        labels.add_statement(database, service, &counted.phases, counted.sums());
        let batch_us = self.batch(counted, session, digests);
        follow(counted, session);
        (counted.timed_us().or(batch_us), wanted.unwrap_or_default())
    }

    /// Everything since the start, for the history.
    pub(crate) fn all(&self) -> Sums {
        Sums {
            calls: self.books.statements,
            errors: self.errors,
            rows: self.rows,
            total_us: self.phases.statement_us(),
            received_bytes: self.received_bytes,
            sent_bytes: self.sent_bytes,
            buckets: self.latency.buckets(),
        }
    }

    /// The equation of the books: every statement in exactly one term.
    fn enter(&mut self, record: &StatementRecord) {
        self.books.statements += 1;
        let term = match (record.outcome, record.timing) {
            (Outcome::Aborted, _) => &mut self.books.aborted,
            (_, Timing::Exact) => &mut self.books.exact,
            (_, Timing::Bound) => &mut self.books.bound,
            (_, Timing::Batch | Timing::BatchLast) => &mut self.books.batch_members,
            (_, Timing::Empty | Timing::Part) => &mut self.books.empty,
        };
        *term += 1;
    }

    /// A batch has one time, and it is given to a digest only if the whole batch was that digest.
    fn batch(
        &mut self,
        counted: &Counted<'_>,
        session: &mut Session,
        digests: &mut DigestTable,
    ) -> Option<u64> {
        let record = counted.record;
        if !matches!(record.timing, Timing::Batch | Timing::BatchLast) {
            session.batch = None;
            return None;
        }
        let digest = counted.statement.digest;
        let mut batch =
            session.batch.take().unwrap_or(OpenBatch { digest, same: true, members: 0 });
        batch.same &= batch.digest == digest;
        batch.members += 1;
        if record.timing == Timing::Batch {
            session.batch = Some(batch);
            return None;
        }
        let phases = Phases { think_in_transaction_us: 0, think_idle_us: 0, ..counted.phases };
        // A member that got lost on the way may have had another digest.
        if batch.same && batch.members == u64::from(record.batch_statements) {
            digests.add_batch_time((session.database, digest), &phases);
            Some(record.duration_us())
        } else {
            self.indivisible.phases.add(&phases);
            self.indivisible.batch_members += u64::from(record.batch_statements);
            None
        }
    }
}

/// Keeps what later records of the session are judged by.
fn follow(counted: &Counted<'_>, session: &mut Session) {
    let record = counted.record;
    session.last_us = session.last_us.max(record.end_us());
    let trivial = counted.statement.class == Class::Control
        && record.timing == Timing::Exact
        && record.outcome == Outcome::Ok;
    if trivial {
        session.baseline.record(record.first_row_us);
        session.round_trip.record(record.end_us(), record.duration_us());
    }
}
