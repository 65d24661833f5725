//! What the server still owes, oldest first.

use super::{Observer, Protocol};
use crate::frame::Frame;
use crate::limits::{REPLY_QUEUE_ENTRIES_IDLE_MAX, REPLY_QUEUE_ENTRIES_MAX};
use crate::tracker::names::Undo;
use crate::{Error, Micros};
use std::collections::VecDeque;

/// One client frame that will be answered (or that marks a place).
pub(super) struct Entry<O: Observer> {
    pub(super) ordinal: u64,
    pub(super) kind: Kind<O>,
}

/// What kind of answer is owed.
pub(super) enum Kind<O: Observer> {
    Query(Run<O::Request>, Undo<O::Statement>),
    Parse(Early<O::Statement>, Undo<O::Statement>),
    /// With the ordinal of the portal that it replaces, 0 for none.
    Bind(Early<O::Statement>, u64),
    DescribeStatement(Early<O::Statement>),
    DescribePortal(Early<O::Statement>),
    Execute(Run<O::Request>, Option<O::Statement>),
    Close(Undo<O::Statement>, Option<u64>),
    FunctionCall(Run<O::Request>),
    Sync,
    /// Marker: no answer is owed.
    Flush,
    /// Marker: CopyDone or CopyFail.
    CopyEnd,
}

/// A frame before the execution; it becomes a failed statement if it fails.
#[derive(Clone, Copy)]
pub(super) struct Early<S> {
    pub(super) statement: Option<S>,
    pub(super) received_us: Micros,
}

/// An execution on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run<R> {
    pub(super) request: R,
    pub(super) protocol: Protocol,
    /// Read that held the last byte of the request (c1).
    pub(super) received_us: Micros,
    /// Stall sum at that moment.
    pub(super) received_stall_us: u64,
    /// Accepted by the server's socket (u1 of a Query); 0 = not yet.
    pub(super) forwarded_us: Micros,
    pub(super) forwarded_stall_us: u64,
    pub(super) think_us: u64,
    pub(super) in_transaction: bool,
    pub(super) received_bytes: u64,
    /// Flush group; 0 for a simple query or function call.
    pub(super) group: u64,
    /// Ordinal of the portal's Bind; 0 for none.
    pub(super) portal: u64,
    /// Execute asked for a limited number of rows.
    pub(super) row_limited: bool,
}

impl<O: Observer> Entry<O> {
    pub(super) fn run(&self) -> Option<&Run<O::Request>> {
        match &self.kind {
            Kind::Query(run, _) | Kind::Execute(run, _) | Kind::FunctionCall(run) => Some(run),
            _ => None,
        }
    }

    fn run_mut(&mut self) -> Option<&mut Run<O::Request>> {
        match &mut self.kind {
            Kind::Query(run, _) | Kind::Execute(run, _) | Kind::FunctionCall(run) => Some(run),
            _ => None,
        }
    }

    pub(super) fn into_run(self) -> Option<Run<O::Request>> {
        match self.kind {
            Kind::Query(run, _) | Kind::Execute(run, _) | Kind::FunctionCall(run) => Some(run),
            _ => None,
        }
    }

    pub(super) fn undo_mut(&mut self) -> Option<&mut Undo<O::Statement>> {
        match &mut self.kind {
            Kind::Query(_, undo) | Kind::Parse(_, undo) | Kind::Close(undo, _) => Some(undo),
            _ => None,
        }
    }
}

/// The reply queue.
pub(super) struct Queue<O: Observer> {
    entries: VecDeque<Entry<O>>,
    next_ordinal: u64,
}

impl<O: Observer> Default for Queue<O> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), next_ordinal: 1 }
    }
}

impl<O: Observer> Queue<O> {
    /// Ordinal of the next entry.
    pub(super) fn next_ordinal(&self) -> u64 {
        self.next_ordinal
    }

    pub(super) fn push(&mut self, kind: Kind<O>) -> Result<(), Error> {
        if self.entries.len() >= REPLY_QUEUE_ENTRIES_MAX {
            return Err(Error::QueueFull);
        }
        self.entries.push_back(Entry { ordinal: self.next_ordinal, kind });
        self.next_ordinal += 1;
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<Entry<O>> {
        let popped = self.entries.pop_front();
        self.shrink();
        popped
    }

    pub(super) fn head(&self) -> Option<&Entry<O>> {
        self.entries.front()
    }

    /// The run at the head, if the head is one.
    pub(super) fn head_run(&self) -> Option<&Run<O::Request>> {
        self.entries.front().and_then(Entry::run)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Runs of the entries from `ordinal` on.
    pub(super) fn runs_since(
        &mut self,
        ordinal: u64,
    ) -> impl Iterator<Item = &mut Run<O::Request>> {
        let newest = self.entries.iter_mut().rev();
        newest.take_while(move |entry| entry.ordinal >= ordinal).filter_map(Entry::run_mut)
    }

    /// The run at the head, to be changed.
    pub(super) fn head_run_mut(&mut self) -> Option<&mut Run<O::Request>> {
        self.entries.front_mut().and_then(Entry::run_mut)
    }

    /// Takes back the think time from Executes up to the first Sync: they will be skipped.
    pub(super) fn take_think_before_sync(&mut self) -> u64 {
        self.entries
            .iter_mut()
            .take_while(|entry| !matches!(entry.kind, Kind::Sync))
            .filter_map(Entry::run_mut)
            .map(|run| std::mem::take(&mut run.think_us))
            .sum()
    }

    /// Whether nothing is to be executed in the round trip that begins with the head.
    pub(super) fn only_prepares(&self) -> bool {
        let describes =
            |entry: &&Entry<O>| matches!(entry.kind, Kind::DescribeStatement(_) | Kind::Close(..));
        let after = self.entries.iter().skip(1).find(|entry| !describes(entry));
        after.is_some_and(|entry| matches!(entry.kind, Kind::Sync | Kind::Flush))
    }

    /// Drops markers that have reached the head.
    pub(super) fn drop_markers(&mut self) {
        while matches!(self.head().map(|entry| &entry.kind), Some(Kind::Flush | Kind::CopyEnd)) {
            self.entries.pop_front();
        }
    }

    /// Position of the first Sync.
    pub(super) fn first_sync(&self) -> Option<usize> {
        self.entries.iter().position(|entry| matches!(entry.kind, Kind::Sync))
    }

    /// Bytes of the entries, used or not; the names in them are counted with the names.
    pub(super) fn held_bytes(&self) -> usize {
        self.entries.capacity() * std::mem::size_of::<Entry<O>>()
    }

    /// Gives back the room of a long pipeline, once it was answered.
    fn shrink(&mut self) {
        if self.entries.is_empty() && self.entries.capacity() > REPLY_QUEUE_ENTRIES_IDLE_MAX {
            self.entries = VecDeque::new();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn at(&self, index: usize) -> Option<&Entry<O>> {
        self.entries.get(index)
    }

    pub(super) fn remove(&mut self, index: usize) -> Option<Entry<O>> {
        self.entries.remove(index)
    }

    /// The first `index` entries, and those behind them.
    pub(super) fn split_at_mut(&mut self, index: usize) -> (&mut [Entry<O>], &mut [Entry<O>]) {
        let index = index.min(self.entries.len());
        self.entries.make_contiguous().split_at_mut(index)
    }
}

/// Sub-state of a COPY that the head entry owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Copying {
    #[default]
    No,
    /// The server reads CopyData and swallows Sync and Flush.
    In,
    /// CopyDone or CopyFail was sent, or a foreign frame broke the copy.
    InEnded,
    Out,
}

/// The answer that is coming in for the head entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Open {
    /// Read that held the first row (or copy response); 0 = none yet.
    pub(super) first_row_us: Micros,
    /// Stall sum at that moment.
    pub(super) first_row_stall_us: u64,
    /// DataRows of the current result.
    pub(super) rows: u64,
    /// Bytes of the answer so far.
    pub(super) bytes: u64,
    /// Results of the current multi-statement query that ended.
    pub(super) members: u32,
    pub(super) copying: Copying,
}

impl Open {
    /// Notes the first row.
    pub(super) fn first_row(&mut self, frame: &Frame<'_>, stall_us: u64) {
        if self.first_row_us == 0 {
            self.first_row_us = frame.first_us.max(1);
            self.first_row_stall_us = stall_us;
        }
    }

    /// Clears what belongs to one result.
    pub(super) fn next_result(&mut self) {
        *self = Self { members: self.members, ..Self::default() };
    }

    /// Clears everything: ReadyForQuery.
    pub(super) fn end_round_trip(&mut self) {
        *self = Self::default();
    }
}
