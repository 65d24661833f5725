//! Transaction blocks: begun by the tag of BEGIN, confirmed and ended by ReadyForQuery.

use super::{Transaction, TransactionOutcome};
use crate::Micros;
use crate::backend::Status;

/// The block that the session is in, if any.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    seen: u32,
    current: u32,
    begin_us: Micros,
    think_us: u64,
    failed: bool,
    /// The latest statement was COMMIT (true) or ROLLBACK (false).
    closing: Option<bool>,
    /// End of the latest statement.
    last_end_us: Micros,
    /// Begin of the first statement of the round trip; 0 = none yet.
    round_trip_begin_us: Micros,
}

impl Transactions {
    /// Ordinal of the block, 0 outside.
    pub(super) fn current(&self) -> u32 {
        self.current
    }

    /// Client think time inside the block.
    pub(super) fn think(&mut self, think_us: u64) {
        self.think_us += think_us;
    }

    /// A statement ended. A COMMIT in the middle of a pipeline ends the block before the next statement.
    pub(super) fn statement(
        &mut self,
        tag: &[u8],
        begin: Micros,
        end: Micros,
    ) -> Option<Transaction> {
        let ended = if self.closing == Some(true) && self.current != 0 {
            Some(self.end(self.last_end_us))
        } else {
            None
        };
        if matches!(tag, b"BEGIN" | b"START TRANSACTION") && self.current == 0 {
            self.begin(begin);
        }
        if self.round_trip_begin_us == 0 {
            self.round_trip_begin_us = begin.max(1);
        }
        self.closing = match tag {
            b"COMMIT" | b"PREPARE TRANSACTION" => Some(true),
            b"ROLLBACK" => Some(false),
            _ => None,
        };
        self.last_end_us = end;
        ended
    }

    /// A statement of the block, or its commit, failed.
    pub(super) fn failed(&mut self) {
        self.failed = true;
    }

    /// ReadyForQuery.
    pub(super) fn ready(&mut self, status: Status, now: Micros) -> Option<Transaction> {
        let chained = self.closing == Some(true) && status != Status::Idle;
        let ended =
            ((status == Status::Idle || chained) && self.current != 0).then(|| self.end(now));
        if status != Status::Idle && self.current == 0 {
            let begin = if self.round_trip_begin_us == 0 { now } else { self.round_trip_begin_us };
            self.begin(begin);
        }
        // A failed block that goes on healthy was rolled back to a savepoint.
        self.failed = status == Status::Failed;
        self.closing = None;
        self.round_trip_begin_us = 0;
        ended
    }

    /// The session ended.
    pub(super) fn abandon(&mut self, now: Micros) -> Option<Transaction> {
        let ended = (self.current != 0).then(|| self.end(now));
        ended.map(|ended| Transaction { outcome: TransactionOutcome::Abandoned, ..ended })
    }

    fn begin(&mut self, begin: Micros) {
        self.seen += 1;
        self.current = self.seen;
        self.begin_us = begin;
        self.think_us = 0;
        self.failed = false;
    }

    fn end(&mut self, now: Micros) -> Transaction {
        let outcome = match (self.closing, self.failed) {
            (_, true) => TransactionOutcome::Error,
            (Some(true), false) => TransactionOutcome::Commit,
            (_, false) => TransactionOutcome::Rollback,
        };
        let ordinal = std::mem::take(&mut self.current);
        self.failed = false;
        self.closing = None;
        Transaction {
            ordinal,
            begin_us: self.begin_us,
            end_us: now,
            think_us: self.think_us,
            outcome,
        }
    }
}
