//! Where one unit of work ends on a session: another trace, a transaction's begin or end, a pause in
//! autocommit, another application name. A pool's RESET ALL or DISCARD ALL is no border.

use crate::record::Micros;
use crate::seen::Seen;
use std::sync::Arc;

/// What holds the statements of a unit together, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bond {
    /// Autocommit with short pauses: several requests may share it.
    #[default]
    Run,
    /// One trace id.
    Trace,
    /// One transaction block.
    Transaction,
}

/// The unit that a session is in.
#[derive(Clone, Debug, Default)]
pub(super) struct Unit {
    /// Ordinal on the session.
    pub(super) ordinal: u64,
    /// Transaction block of the latest statement; 0 outside.
    pub(super) transaction: u32,
    /// Trace of the latest traced statement of the unit.
    pub(super) trace: Option<u64>,
    application_name: Option<Arc<str>>,
    last_us: Micros,
    /// Its transaction block ended.
    over: bool,
}

impl Unit {
    /// Goes on to the next statement; true if it begins another unit.
    pub(super) fn step(&mut self, seen: &Seen<'_>, gap_us: u64) -> bool {
        let border = self.is_border(seen, gap_us);
        if border {
            self.ordinal += 1;
            self.trace = None;
            self.application_name = Some(seen.application_name.clone());
        }
        self.over = false;
        self.transaction = seen.record.transaction;
        self.trace = seen.trace().or(self.trace);
        self.last_us = self.last_us.max(seen.record.end_us());
        border
    }

    fn is_border(&self, seen: &Seen<'_>, gap_us: u64) -> bool {
        let same_name = |name: &Arc<str>| {
            Arc::ptr_eq(name, seen.application_name) || name == seen.application_name
        };
        if !self.application_name.as_ref().is_some_and(same_name) {
            return true;
        }
        let transaction = seen.record.transaction;
        match (self.trace, seen.trace()) {
            (Some(one), Some(other)) => return one != other,
            (None, Some(_)) => return transaction == 0 || transaction != self.transaction,
            (_, None) => {}
        }
        let idle = seen.record.begin_us.saturating_sub(self.last_us) >= gap_us;
        self.over || transaction != self.transaction || (transaction == 0 && idle)
    }

    /// Its transaction block ended.
    pub(super) fn end_transaction(&mut self) {
        self.over = true;
        self.transaction = 0;
    }

    /// Whether nothing has come for longer than its pauses may be.
    pub(super) fn is_quiet(&self, now: Micros, gap_us: u64) -> bool {
        self.transaction == 0 && now.saturating_sub(self.last_us) >= gap_us
    }

    /// What holds it together.
    pub(super) fn bond(&self) -> Bond {
        match (self.transaction, self.trace) {
            (_, Some(_)) => Bond::Trace,
            (0, None) => Bond::Run,
            _ => Bond::Transaction,
        }
    }
}

impl Bond {
    /// The word in evidence.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Trace => "trace",
            Self::Transaction => "transaction",
        }
    }
}
