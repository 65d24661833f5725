//! What audits judge besides sums: the largest units of a route, and what ran under one mark.

use super::RouteRow;
use std::sync::Arc;

/// The largest value of each kind among the units of a route; they may come from different units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LargestUnit {
    /// Statements.
    pub statements: u64,
    /// Reads that repeat both digest and values of an earlier one of the unit.
    pub duplicate: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of answers.
    pub sent_bytes: u64,
    /// Time to first rows and transfer, in microseconds.
    pub database_us: u64,
}

impl LargestUnit {
    /// Takes in the sums of one unit.
    pub fn take(&mut self, unit: &RouteRow) {
        self.statements = self.statements.max(unit.statements);
        self.duplicate = self.duplicate.max(unit.duplicate);
        self.rows = self.rows.max(unit.rows);
        self.sent_bytes = self.sent_bytes.max(unit.sent_bytes);
        self.database_us = self.database_us.max(unit.first_row_us + unit.transfer_us);
    }
}

/// What ran under one mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkRow {
    /// The mark; `other` for those that found no room.
    pub mark: Arc<str>,
    /// Units of work that began under it and ended.
    pub units: u64,
    /// Statements.
    pub statements: u64,
    /// Those that failed.
    pub errors: u64,
    /// Reads that repeat both digest and values of an earlier one of their unit.
    pub duplicates: u64,
    /// Occurrences of N+1 that were proved by data flow.
    pub n_plus_one: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of answers.
    pub sent_bytes: u64,
    /// Time of its statements, in microseconds.
    pub database_us: u64,
    /// Time of one statement: 95 %, in microseconds (one significant digit from the 33rd on).
    pub p95_us: u64,
    /// Exactly timed statements.
    pub timed: u64,
}
