//! A result that later statements may be fed from.

use super::candidate::{CANDIDATE_BYTES, Candidate};
use super::slots::Slots;
use crate::digest::Statement;
use crate::labels::DatabaseId;
use crate::limits::FlowLimits;
use crate::record::{Micros, ResultColumn, SessionId, TextKey};
use crate::seen::Seen;
use crate::text::Class;
use std::sync::Arc;

/// Ordinal of a held result; later ones are greater.
pub(crate) type HeldId = u64;

/// Entries from which a column gets a table instead of being scanned.
const TABLE_ENTRIES_MIN: usize = 256;
/// Bytes of a held result without columns and candidates, roughly.
const HELD_BYTES: usize = 512;

/// The distinct values of one column, in order of first occurrence.
#[derive(Debug, Default)]
pub(crate) struct Column {
    pub(crate) field: u16,
    pub(crate) attnum: i16,
    pub(crate) table_oid: u32,
    distinct: Vec<u32>,
    /// Open addressing: position + 1 by hash, 0 = free; a power of two, at most half full.
    table: Vec<u16>,
}

impl Column {
    fn new(column: &ResultColumn) -> Self {
        Self {
            field: column.field,
            attnum: column.attnum,
            table_oid: column.table_oid,
            ..Self::default()
        }
    }

    /// Distinct values kept.
    pub(crate) fn len(&self) -> usize {
        self.distinct.len()
    }

    /// Position of a value in the order of first occurrence.
    pub(crate) fn find(&self, hash: u32) -> Option<u16> {
        if self.table.is_empty() {
            return self.distinct.iter().position(|known| *known == hash).map(|at| at as u16);
        }
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.table[at] {
                0 => return None,
                entry if self.distinct[usize::from(entry) - 1] == hash => return Some(entry - 1),
                _ => at = (at + 1) & mask,
            }
        }
    }

    fn push(&mut self, hash: u32, rows_max: usize) {
        // Positions are u16, and one value is needed for "free".
        let rows_max = rows_max.min(usize::from(u16::MAX) - 1);
        if hash == 0 || self.distinct.len() >= rows_max || self.find(hash).is_some() {
            return;
        }
        self.distinct.push(hash);
        if self.distinct.len() * 2 > self.table.len() && self.distinct.len() > TABLE_ENTRIES_MIN {
            self.rebuild();
        } else if !self.table.is_empty() {
            self.enter(self.distinct.len() - 1);
        }
    }

    fn rebuild(&mut self) {
        self.table = vec![0; (self.distinct.len() * 4).next_power_of_two()];
        for position in 0..self.distinct.len() {
            self.enter(position);
        }
    }

    fn enter(&mut self, position: usize) {
        let mask = self.table.len() - 1;
        let mut at = self.distinct[position] as usize & mask;
        while self.table[at] != 0 {
            at = (at + 1) & mask;
        }
        self.table[at] = position as u16 + 1;
    }

    fn bytes(&self) -> usize {
        self.distinct.capacity() * 4 + self.table.capacity() * 2 + size_of::<Self>()
    }
}

/// A held result.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) statement: Arc<Statement>,
    pub(crate) database: DatabaseId,
    pub(crate) session: SessionId,
    pub(crate) transaction: u32,
    pub(crate) transaction_open: bool,
    pub(crate) trace: Option<u64>,
    pub(crate) trace_open: bool,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) text: TextKey,
    pub(crate) round_trip: u32,
    pub(crate) end_us: Micros,
    pub(crate) rows: u64,
    pub(crate) truncated: bool,
    /// More parts will follow.
    pub(crate) suspended: bool,
    /// It is the result of a statement that was itself fed.
    pub(crate) leaf: bool,
    pub(crate) last_fed_us: Option<Micros>,
    pub(crate) columns: Vec<Column>,
    pub(crate) candidates: Vec<Candidate>,
    /// Bytes of the candidates, roughly.
    pub(crate) candidate_bytes: usize,
    part_rows: u64,
    executions: Vec<(u64, u64)>,
}

/// Whether the result of an execution may become a parent: reads with several rows (or parts of them),
/// writes that return rows. One-row reads never do: that is a queue worker.
pub(crate) fn may_be_held(seen: &Seen<'_>) -> bool {
    let columns = seen.columns();
    if columns.is_empty() {
        return false;
    }
    match seen.statement.class {
        Class::Read => seen.is_part() || seen.record.rows >= 2 || super::is_fetch(seen),
        Class::Write => seen.record.rows >= 1,
        _ => false,
    }
}

impl Held {
    pub(crate) fn new(seen: &Seen<'_>, statement: Arc<Statement>, leaf: bool) -> Self {
        let record = seen.record;
        Self {
            statement,
            database: seen.database,
            session: record.session,
            transaction: record.transaction,
            transaction_open: record.transaction != 0,
            trace: seen.trace(),
            trace_open: seen.trace().is_some(),
            route: seen.route.cloned(),
            text: record.text,
            round_trip: record.round_trip,
            end_us: record.end_us(),
            rows: 0,
            truncated: false,
            suspended: false,
            leaf,
            last_fed_us: None,
            columns: Vec::new(),
            candidates: Vec::new(),
            candidate_bytes: 0,
            part_rows: 0,
            executions: Vec::new(),
        }
    }

    /// Adds the rows of an execution, or of a part of one.
    pub(crate) fn append(&mut self, seen: &Seen<'_>, limits: &FlowLimits) {
        let record = seen.record;
        for column in seen.columns().iter().take(limits.value_columns_max) {
            self.append_column(column, seen, limits);
        }
        let cells = seen.columns().iter().map(|column| u64::from(column.cells.len)).max();
        if seen.is_part() {
            self.part_rows += record.rows.max(cells.unwrap_or(0));
            self.rows = self.rows.max(self.part_rows);
        } else if self.suspended {
            // The record of the whole execution may count all rows, or only those of its last part.
            self.rows = record.rows.max(self.part_rows + cells.unwrap_or(0));
        } else {
            self.rows += record.rows;
        }
        self.suspended = seen.is_part();
        self.truncated |= record.truncated;
        self.round_trip = self.round_trip.max(record.round_trip);
        self.end_us = self.end_us.max(record.end_us());
    }

    fn append_column(&mut self, column: &ResultColumn, seen: &Seen<'_>, limits: &FlowLimits) {
        let known = self.columns.iter().position(|known| known.field == column.field);
        let index = known.unwrap_or_else(|| {
            self.columns.push(Column::new(column));
            self.columns.len() - 1
        });
        let rows_max =
            limits.value_rows_max.min(limits.value_cells_max / self.columns.len().max(1));
        let kept = &mut self.columns[index];
        for hash in column.cells.of(&seen.batch.cells) {
            kept.push(*hash, rows_max);
        }
    }

    /// Drops columns that say nothing: one value in several rows (tenant ids).
    pub(crate) fn drop_constant_columns(&mut self) {
        if self.rows >= 2 && self.candidates.is_empty() {
            self.columns.retain(|column| column.len() > 1);
        }
    }

    /// Most distinct values of any column.
    pub(crate) fn widest(&self) -> usize {
        self.columns.iter().map(Column::len).max().unwrap_or(0)
    }

    /// Looks up the binds of a later execution; true if any is a value of this result.
    pub(crate) fn feed(
        &mut self,
        seen: &Seen<'_>,
        slots: &mut Slots,
        gate: usize,
        limits: &FlowLimits,
    ) -> bool {
        let executions = self.count_execution(seen.statement.digest, limits.child_digests_max);
        let child = seen.statement.may_be_child();
        let mut fed = false;
        for index in 0..slots.len() {
            for column in 0..self.columns.len() {
                let mut positions = [0u16; 64];
                let mut found = 0;
                let (slot, hashes) = slots.at(index);
                for hash in hashes.iter().take(positions.len()) {
                    if let Some(position) = self.columns[column].find(*hash) {
                        positions[found] = position;
                        found += 1;
                    }
                }
                fed |= found > 0;
                let Some(executions) = executions.filter(|_| child) else { continue };
                if found == 0 {
                    let hash = hashes[0];
                    self.feed_beyond(seen, (column, slot, hash), hashes.len(), executions);
                    continue;
                }
                let source = (self.statement.digest, self.columns[column].field, slot);
                if found < limits.batch_values_min && !slots.explained.contains(&source) {
                    slots.explained.push(source);
                    self.candidate(column, slot, gate, seen, limits.candidates_max).hit(
                        seen,
                        &positions[..found],
                        executions,
                    );
                }
            }
        }
        if fed {
            self.last_fed_us = Some(seen.record.begin_us);
        }
        fed
    }

    /// A parent that was cut: once every kept value was used, new values of the same child go on.
    fn feed_beyond(
        &mut self,
        seen: &Seen<'_>,
        (column, slot, hash): (usize, u16, u32),
        values: usize,
        executions: u64,
    ) {
        let kept = self.columns[column].len();
        if !self.truncated || values != 1 {
            return;
        }
        let rows_beyond = self.rows.saturating_sub(kept as u64);
        let same = |candidate: &&mut Candidate| {
            candidate.column == column
                && candidate.slot == slot
                && candidate.child.digest == seen.statement.digest
                && candidate.used() == kept
        };
        if let Some(candidate) = self.candidates.iter_mut().find(same) {
            self.candidate_bytes += candidate.hit_beyond(seen, hash, rows_beyond, executions);
        }
    }

    /// Counts an execution of a later digest; `None` where the table of digests is full.
    fn count_execution(&mut self, digest: u64, digests_max: usize) -> Option<u64> {
        if let Some((_, count)) = self.executions.iter_mut().find(|(known, _)| *known == digest) {
            *count += 1;
            return Some(*count);
        }
        if self.executions.len() >= digests_max {
            return None;
        }
        self.executions.push((digest, 1));
        Some(1)
    }

    fn candidate(
        &mut self,
        column: usize,
        slot: u16,
        gate: usize,
        seen: &Seen<'_>,
        candidates_max: usize,
    ) -> &mut Candidate {
        let same = |candidate: &Candidate| {
            candidate.column == column
                && candidate.slot == slot
                && candidate.child.digest == seen.statement.digest
        };
        if let Some(index) = self.candidates.iter().position(same) {
            return &mut self.candidates[index];
        }
        if self.candidates.len() >= candidates_max.max(1) {
            let fewest = |(_, candidate): &(usize, &Candidate)| candidate.hits();
            let victim =
                self.candidates.iter().enumerate().min_by_key(fewest).map_or(0, |(at, _)| at);
            let gone = self.candidates.remove(victim);
            self.candidate_bytes = self.candidate_bytes.saturating_sub(gone.bytes());
        }
        self.candidate_bytes += CANDIDATE_BYTES;
        self.candidates.push(Candidate::new(column, slot, gate, seen));
        let last = self.candidates.len() - 1;
        &mut self.candidates[last]
    }

    /// Bytes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        HELD_BYTES + self.columns.iter().map(Column::bytes).sum::<usize>() + self.candidate_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_finds_every_value_below_and_above_the_table_limit() {
        for count in [1u32, 255, 256, 257, 1_000, 1_024, 1_100] {
            let mut column = Column::default();
            let hash = |n: u32| n.wrapping_mul(0x9e37_79b1) | 1;
            for n in (0..count).chain(0..count) {
                column.push(hash(n), 1_024);
            }
            let kept = count.min(1_024);
            assert_eq!(column.len(), kept as usize);
            for n in 0..kept {
                assert_eq!(column.find(hash(n)), Some(n as u16), "{n} of {count}");
            }
            assert_eq!(column.find(2), None);
        }
    }

    #[test]
    fn colliding_buckets_are_told_apart() {
        let mut column = Column::default();
        (1..=600u32).for_each(|n| column.push(n << 16, 1_024));
        assert_eq!(column.find(600 << 16), Some(599));
        assert_eq!(column.find(601 << 16), None);
    }

    #[test]
    fn null_is_no_value() {
        let mut column = Column::default();
        column.push(0, 1_024);
        assert_eq!(column.len(), 0);
    }
}
