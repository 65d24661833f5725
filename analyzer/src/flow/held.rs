//! A result that later statements may be fed from.

use super::candidate::Candidate;
use super::column::Column;
use super::slots::Slots;
use crate::digest::Statement;
use crate::labels::DatabaseId;
use crate::limits::FlowLimits;
use crate::record::{Micros, ResultColumn, SessionId, TextKey};
use crate::seen::Seen;
use crate::text::Class;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

/// Ordinal of a held result; later ones are greater.
pub(crate) type HeldId = u64;

/// Bytes of a held result without columns and candidates, roughly.
const HELD_BYTES: usize = 512;
/// Values of one list that are looked up.
const LIST_VALUES_MAX: usize = 64;

/// The run of statements of one session that a result is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChainState {
    /// Statements since the last fed one.
    pub(crate) unrelated: u32,
    /// End of the latest statement.
    pub(crate) last_end_us: Micros,
}

/// One leaf of a level: the result of one child.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf {
    /// When it ended.
    end_us: Micros,
    pub(crate) rows: u64,
}

/// A held result: one result with all its parts; or a *level*, the results of one child of one root, leaf by
/// leaf.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) statement: Arc<Statement>,
    pub(crate) database: DatabaseId,
    pub(crate) session: SessionId,
    pub(crate) transaction: u32,
    pub(crate) transaction_open: bool,
    pub(crate) trace: Option<u64>,
    pub(crate) trace_open: bool,
    /// `None`: the chain is closed.
    pub(crate) chain: Option<ChainState>,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) text: TextKey,
    pub(crate) round_trip: u32,
    /// End of its first part.
    pub(crate) first_end_us: Micros,
    /// End of its latest part.
    pub(crate) end_us: Micros,
    pub(crate) rows: u64,
    pub(crate) truncated: bool,
    /// More parts will follow.
    pub(crate) suspended: bool,
    /// It came from a write.
    pub(crate) returned: bool,
    /// The result whose values led to it, directly or by other levels.
    pub(crate) root: Option<HeldId>,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) last_fed_us: Option<Micros>,
    pub(crate) columns: Vec<Column>,
    pub(crate) candidates: Vec<Candidate>,
    /// It was counted as a parent that ended.
    pub(crate) counted: bool,
    /// Bytes, roughly, when they were last counted.
    pub(crate) bytes: usize,
    /// By column: the leaf that each of a level's values belongs to begins here.
    starts: Vec<Vec<u16>>,
    part_rows: u64,
    executions: Vec<(u64, u64)>,
}

/// Whether the result of an execution may become a parent: reads with several rows (or parts of them),
/// writes that return rows, and what was fed itself. Other one-row reads never do: that is a queue worker.
pub(crate) fn may_be_held(seen: &Seen<'_>, fed: bool) -> bool {
    let columns = seen.columns();
    if columns.is_empty() {
        return false;
    }
    let rows = seen.record.rows;
    match seen.statement.class {
        Class::Read => seen.is_part() || rows >= 2 || (fed && rows >= 1) || super::is_fetch(seen),
        Class::Write => rows >= 1,
        _ => false,
    }
}

impl Held {
    pub(crate) fn new(seen: &Seen<'_>, statement: Arc<Statement>, root: Option<HeldId>) -> Self {
        let record = seen.record;
        let end_us = record.end_us();
        Self {
            statement,
            database: seen.database,
            session: record.session,
            transaction: record.transaction,
            transaction_open: record.transaction != 0,
            trace: seen.trace(),
            trace_open: seen.trace().is_some(),
            chain: Some(ChainState { unrelated: 0, last_end_us: end_us }),
            route: seen.route.cloned(),
            text: record.text,
            round_trip: record.round_trip,
            first_end_us: end_us,
            end_us,
            rows: 0,
            truncated: false,
            suspended: false,
            returned: seen.statement.class == Class::Write,
            root,
            leaves: Vec::new(),
            last_fed_us: None,
            columns: Vec::new(),
            candidates: Vec::new(),
            counted: false,
            bytes: 0,
            starts: Vec::new(),
            part_rows: 0,
            executions: Vec::new(),
        }
    }

    /// Whether no gate can feed from it any more.
    pub(crate) fn is_over(&self) -> bool {
        !self.transaction_open && !self.trace_open && self.chain.is_none()
    }

    /// Adds the rows of an execution, or of a part of one; `asked` are its own binds.
    pub(crate) fn append(&mut self, seen: &Seen<'_>, asked: &Slots, limits: &FlowLimits) {
        let record = seen.record;
        for column in seen.columns().iter().take(limits.value_columns_max) {
            self.append_column(column, seen, asked, limits);
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
        if self.root.is_some() {
            self.append_leaf(seen);
        }
        self.suspended = seen.is_part();
        self.truncated |= record.truncated;
        self.round_trip = self.round_trip.max(record.round_trip);
        self.end_us = self.end_us.max(record.end_us());
    }

    /// A further part of a leaf is no further leaf.
    fn append_leaf(&mut self, seen: &Seen<'_>) {
        let (end_us, rows) = (seen.record.end_us(), seen.record.rows);
        match self.leaves.last_mut().filter(|_| self.suspended) {
            Some(leaf) => *leaf = Leaf { end_us, rows: leaf.rows.max(rows) },
            None => self.leaves.push(Leaf { end_us, rows }),
        }
    }

    fn append_column(
        &mut self,
        column: &ResultColumn,
        seen: &Seen<'_>,
        asked: &Slots,
        limits: &FlowLimits,
    ) {
        let known = self.columns.iter().position(|known| known.field == column.field);
        let index = known.unwrap_or_else(|| {
            self.columns.push(Column::new(column));
            self.columns.len() - 1
        });
        let rows_max =
            limits.value_rows_max.min(limits.value_cells_max / self.columns.len().max(1));
        let level = self.root.is_some();
        let kept = &mut self.columns[index];
        let from = if level { kept.len() } else { 0 };
        let cells = column.cells.of(&seen.batch.cells);
        // A column of nothing but what the child was asked for comes from its root, not from its own result. In any
        // other column the same number is a value like the rest.
        let asked_for = level
            && cells.first().is_some_and(|first| asked.is_asked_for(*first))
            && cells.iter().all(|cell| *cell == cells[0]);
        for hash in cells.iter().filter(|_| !asked_for) {
            self.truncated |= !kept.push(*hash, from, rows_max);
        }
        if level {
            self.starts.resize(self.columns.len(), Vec::new());
            // Leaves that came before this column did are empty in it.
            let leaves = self.leaves.len() + usize::from(!self.suspended);
            self.starts[index].resize(leaves, from as u16);
        }
    }

    /// The leaf that a position of a column lies in.
    fn leaf_of(&self, column: usize, position: u16) -> Option<usize> {
        let starts = self.starts.get(column)?;
        starts.partition_point(|start| *start <= position).checked_sub(1)
    }

    /// The leaves that a candidate looked at.
    pub(crate) fn leaves_used(&self, candidate: &Candidate) -> Vec<usize> {
        let mut leaves: Vec<usize> = candidate
            .used_positions()
            .filter_map(|position| self.leaf_of(candidate.column, position))
            .collect();
        leaves.dedup();
        leaves
    }

    /// Positions in a column that these leaves have, first to last.
    pub(crate) fn leaf_positions(
        &self,
        column: usize,
        leaves: RangeInclusive<usize>,
    ) -> Range<usize> {
        let Some(starts) = self.starts.get(column) else { return 0..0 };
        let len = self.columns[column].len();
        let at = |leaf: usize| starts.get(leaf).map_or(len, |start| usize::from(*start));
        at(*leaves.start())..at(*leaves.end() + 1)
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
        let executions = executions.filter(|_| seen.statement.may_be_child());
        let mut fed = false;
        for index in 0..slots.len() {
            for column in 0..self.columns.len() {
                let mut positions = [0u16; LIST_VALUES_MAX];
                let found = self.find(column, slots.at(index).1, seen, &mut positions);
                fed |= found > 0;
                let Some(executions) = executions else { continue };
                let (slot, hashes) = slots.at(index);
                if found == 0 {
                    if hashes.len() == 1 {
                        self.feed_beyond(seen, (column, slot, hashes[0]), gate, executions);
                    }
                    continue;
                }
                let source = (self.statement.digest, self.columns[column].field, slot);
                // Of a list, all values: any one of several is found too easily.
                let whole = found == hashes.len().min(LIST_VALUES_MAX);
                let few = found < limits.batch_values_min;
                if whole && few && !slots.explained.contains(&source) {
                    slots.explained.push(source);
                    let execution = slots.execution;
                    self.candidate(column, slot, gate, seen, limits.candidates_max).hit(
                        seen,
                        execution,
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

    /// Positions of the values of one slot in one column.
    fn find(
        &self,
        column: usize,
        hashes: &[u32],
        seen: &Seen<'_>,
        positions: &mut [u16; LIST_VALUES_MAX],
    ) -> usize {
        let mut found = 0;
        for hash in hashes.iter().take(LIST_VALUES_MAX) {
            let Some(position) = self.columns[column].find(*hash) else { continue };
            // Of a level, each leaf must have ended before; within a session they have.
            let ended = self.session == seen.record.session
                || self.leaf_of(column, position).is_none_or(|leaf| {
                    self.leaves.get(leaf).is_none_or(|leaf| leaf.end_us <= seen.record.begin_us)
                });
            if ended {
                positions[found] = position;
                found += 1;
            }
        }
        found
    }

    /// A parent that was cut: once every kept value was used, new values of the same child go on.
    fn feed_beyond(
        &mut self,
        seen: &Seen<'_>,
        (column, slot, hash): (usize, u16, u32),
        gate: usize,
        executions: u64,
    ) {
        if !self.truncated {
            return;
        }
        let kept = self.columns[column].len();
        let rows_beyond = self.rows.saturating_sub(kept as u64);
        let same = |candidate: &&mut Candidate| {
            candidate.column == column
                && candidate.slot == slot
                && candidate.gate == gate
                && candidate.child.reads_like(seen.statement)
                && candidate.used() == kept
        };
        if let Some(candidate) = self.candidates.iter_mut().find(same) {
            candidate.hit_beyond(seen, hash, rows_beyond, executions);
        }
    }

    /// Counts an execution of a later digest; `None` where the table of digests is full.
    fn count_execution(&mut self, digest: u64, digests_max: usize) -> Option<u64> {
        if let Some((_, count)) = self.executions.iter_mut().find(|(known, _)| *known == digest) {
            *count += 1;
            return Some(*count);
        }
        if self.executions.len() >= digests_max {
            self.forget_a_digest()?;
        }
        self.executions.push((digest, 1));
        Some(1)
    }

    /// A digest that this result never fed makes room for another.
    ///
    /// Only where the scope binds them: it asks for no share of a digest's executions.
    fn forget_a_digest(&mut self) -> Option<()> {
        let candidates = &self.candidates;
        let unfed =
            |(digest, _): &(u64, u64)| !candidates.iter().any(|c| c.child.digest == *digest);
        let open = self.transaction_open || self.trace_open;
        let at = self.executions.iter().position(unfed).filter(|_| open)?;
        self.executions.remove(at);
        Some(())
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
                && candidate.gate == gate
                && candidate.child.reads_like(seen.statement)
        };
        if let Some(index) = self.candidates.iter().position(same) {
            return &mut self.candidates[index];
        }
        if self.candidates.len() >= candidates_max.max(1) {
            let fewest = |(_, candidate): &(usize, &Candidate)| candidate.hits();
            let victim =
                self.candidates.iter().enumerate().min_by_key(fewest).map_or(0, |(at, _)| at);
            self.candidates.remove(victim);
        }
        self.candidates.push(Candidate::new(column, slot, gate, seen));
        let last = self.candidates.len() - 1;
        &mut self.candidates[last]
    }

    /// A scope closed: what it proved is judged apart, and what a chain still gathers starts to count anew.
    pub(crate) fn leave_scope(&mut self) {
        self.executions.clear();
    }

    /// Counts the bytes again, roughly; returns them as before and as now.
    pub(crate) fn recount(&mut self) -> (usize, usize) {
        let before = self.bytes;
        let starts: usize = self.starts.iter().map(|starts| starts.capacity() * 2).sum();
        self.bytes = HELD_BYTES
            + self.columns.iter().map(Column::bytes).sum::<usize>()
            + self.candidates.iter().map(Candidate::bytes).sum::<usize>()
            + self.leaves.capacity() * size_of::<Leaf>()
            + starts;
        (before, self.bytes)
    }
}
