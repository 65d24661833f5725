//! One unit of work in progress: its sums, and its statements as far as there is room for them.

use super::Step;
use crate::labels::ServiceId;
use crate::marks::MarkId;
use crate::record::{BindCell, Micros, SessionId};
use crate::snapshot::{RouteRow, UnitStatement};
use crate::text::{Class, StableHash};
use std::sync::Arc;

/// Statements of one unit that are told apart; further ones are in its sums only, and it says that it was cut.
pub(super) const UNIT_STATEMENTS_MAX: usize = 1_024;
/// What ids of units are hashed for.
const ID_DOMAIN: u64 = 0x756e_6974_0000;

/// One statement of a unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) begin_us: Micros,
    pub(super) shown: UnitStatement,
    /// Hash of all its values: parameters and literals.
    pub(super) values: u64,
    pub(super) class: Class,
}

impl Entry {
    pub(super) fn of(step: &Step<'_>) -> Self {
        let record = step.record;
        Self {
            begin_us: record.begin_us,
            shown: UnitStatement {
                offset_us: 0,
                queue_us: record.queue_us,
                first_row_us: record.first_row_us,
                transfer_us: record.transfer_us,
                client_stall_us: record.client_stall_us,
                digest: step.statement.digest,
                rows: record.rows,
            },
            values: values_of(record.binds_hash, step.literals),
            class: step.statement.class,
        }
    }
}

/// Hash of all values: parameters and literals.
pub(crate) fn values_of(binds_hash: u64, literals: &[BindCell]) -> u64 {
    literals.iter().fold(binds_hash, |hash, literal| {
        (hash.rotate_left(5) ^ u64::from(literal.hash)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    })
}

/// What holds the statements of a unit together, and what it has come to so far.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) id: u64,
    pub(super) traced: bool,
    pub(super) service: ServiceId,
    pub(super) route: Option<Arc<str>>,
    /// The mark of its first statement.
    pub(super) mark: Option<MarkId>,
    pub(super) sums: RouteRow,
    pub(super) first_us: Micros,
    pub(super) last_us: Micros,
    pub(super) entries: Vec<Entry>,
    /// Statements were left out of the entries.
    pub(super) cut: bool,
}

impl Unit {
    pub(super) fn new(step: &Step<'_>, trace: Option<u64>, entries: Vec<Entry>) -> Self {
        let record = step.record;
        Self {
            id: trace.unwrap_or_else(|| id_of(record.session, record.begin_us)),
            traced: trace.is_some(),
            service: step.service,
            route: None,
            mark: step.mark,
            sums: RouteRow::default(),
            first_us: record.begin_us,
            last_us: 0,
            entries,
            cut: false,
        }
    }

    /// Adds a statement to the sums; its entry is the caller's matter.
    pub(super) fn add(&mut self, step: &Step<'_>, new_round_trip: bool) {
        self.sums.statements += 1;
        self.sums.round_trips += u64::from(new_round_trip);
        self.sums.rows += step.record.rows;
        self.sums.sent_bytes += step.record.sent_bytes;
        self.sums.first_row_us += step.phases.first_row_us;
        self.sums.transfer_us += step.phases.transfer_us;
        self.sums.think_in_transaction_us += step.phases.think_in_transaction_us;
        self.first_us = self.first_us.min(step.record.begin_us);
        self.last_us = self.last_us.max(step.record.end_us());
        if self.route.is_none() {
            self.route = step.route.cloned();
        }
    }

    /// Takes in what turned out to belong to it.
    pub(super) fn join(&mut self, other: &Self) {
        self.sums.add(&other.sums);
        self.first_us = self.first_us.min(other.first_us);
        self.last_us = self.last_us.max(other.last_us);
        self.cut |= other.cut;
    }

    /// Time in the database, in microseconds.
    pub(super) fn database_us(&self) -> u64 {
        self.sums.first_row_us + self.sums.transfer_us
    }
}

fn id_of(session: SessionId, begin_us: Micros) -> u64 {
    let mut hash = StableHash::new(ID_DOMAIN);
    hash.word(session.0);
    hash.word(begin_us);
    hash.finish()
}

/// Statements that repeat a digest of their unit, and reads that repeat both digest and values. The first of its kind
/// is no repetition.
pub(super) fn repetitions(entries: &[Entry], scratch: &mut Vec<(u64, u64)>) -> (u64, u64) {
    scratch.clear();
    let own = |entry: &&Entry| !matches!(entry.class, Class::Control | Class::Catalogue);
    scratch.extend(entries.iter().filter(own).map(|entry| {
        let is_read = entry.class == Class::Read;
        // A write is never the same as another one: give each its own values.
        let values = if is_read { entry.values } else { entry.begin_us ^ entry.values };
        (entry.shown.digest, values)
    }));
    scratch.sort_unstable();
    let repeats = |same: fn(&(u64, u64), &(u64, u64)) -> bool| {
        scratch.windows(2).filter(|pair| same(&pair[0], &pair[1])).count() as u64
    };
    (repeats(|a, b| a.0 == b.0), repeats(|a, b| a == b))
}

/// Calls `each` with every digest that is repeated and how often it is there; `scratch` is as [`repetitions`] left it.
pub(super) fn repeated(scratch: &[(u64, u64)], mut each: impl FnMut(u64, u64)) {
    for group in scratch.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1) {
        each(group[0].0, group.len() as u64);
    }
}
