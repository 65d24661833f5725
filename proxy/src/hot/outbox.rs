//! What one worker thread hands to the analyzer: one batch at a time, over one bounded channel.
//!
//! All sessions of a worker share the batch. Their records stay in order, batches fill sooner than one per
//! session would, an idle session owns none, and one clock per worker sends off what has become old.

use pgsonde_analyzer::record::{
    BindCell, Event, Field, NewText, RecordBatch, ResultColumn, Span, TextKey, Timing,
    ValuesRecord, WidthSample,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};

/// Events that fill a batch.
pub const BATCH_EVENTS_MAX: usize = 64;

/// Text bytes that fill a batch.
pub const BATCH_TEXT_BYTES_MAX: usize = 32 * 1024;

/// Result cells that fill a batch.
pub const BATCH_CELLS_MAX: usize = 16 * 1024;

/// Bytes of bind values that fill a batch.
pub const BATCH_VALUE_BYTES_MAX: usize = 16 * 1024;

/// Bytes of texts that are carried over from batches that found no room.
const KEPT_TEXT_BYTES_MAX: usize = 256 * 1024;

/// Places of the cache of texts known to the analyzer; 8 bytes each. A text that lost its place is sent again.
const KNOWN_TEXTS: usize = 4_096;

/// What worker and analyzer share: the text generation in force, and what was lost.
#[derive(Debug, Default)]
pub struct OutboxCounters {
    /// Generation of texts that the analyzer remembers.
    pub epoch: AtomicU32,
    /// Statements seen, those that were lost included.
    pub statements: AtomicU64,
    /// Statements lost because the queue was full: a term of the books.
    pub dropped_statements: AtomicU64,
    /// Batches waiting.
    pub queued_batches: AtomicU64,
    /// Whether bind values are kept for a planner.
    pub values_wanted: AtomicBool,
    /// Whether events hold everything as it was sent.
    pub as_sent: bool,
}

/// A batch and where it comes from, so that it can go back empty.
#[derive(Debug)]
pub struct Parcel {
    /// Index of the worker.
    pub worker: usize,
    /// Its batch.
    pub batch: RecordBatch,
}

/// The worker's end of the channel.
pub struct Outbox {
    batch: RecordBatch,
    epoch: u32,
    known_texts: Box<[u64]>,
    known_descriptions: Box<[u64]>,
    known_parameters: Box<[u64]>,
    worker: usize,
    full: SyncSender<Parcel>,
    /// Batches that the analyzer is done with, empty but with their capacity.
    spare: Receiver<RecordBatch>,
    counters: Arc<OutboxCounters>,
}

impl Outbox {
    /// Sends over `full`; takes back empty batches from `spare`.
    pub fn new(
        worker: usize,
        full: SyncSender<Parcel>,
        spare: Receiver<RecordBatch>,
        counters: Arc<OutboxCounters>,
    ) -> Self {
        Self {
            batch: RecordBatch::default(),
            epoch: 0,
            known_texts: vec![0; KNOWN_TEXTS].into_boxed_slice(),
            known_descriptions: vec![0; KNOWN_TEXTS].into_boxed_slice(),
            known_parameters: vec![0; KNOWN_TEXTS].into_boxed_slice(),
            worker,
            full,
            spare,
            counters,
        }
    }

    /// Adds an event, and sends the batch off when it is full.
    pub fn push(&mut self, event: Event) {
        self.batch.events.push(event);
        if self.is_full() {
            self.send();
        }
    }

    fn is_full(&self) -> bool {
        self.batch.events.len() >= BATCH_EVENTS_MAX
            || self.batch.bytes.len() >= BATCH_TEXT_BYTES_MAX
            || self.batch.cells.len() >= BATCH_CELLS_MAX
            || self.batch.values.len() >= BATCH_VALUE_BYTES_MAX
    }

    /// Hands over a text unless this worker did so before in the present epoch.
    pub fn text(&mut self, key: TextKey, bytes: &[u8], cut: bool) {
        self.follow_epoch();
        if remember(&mut self.known_texts, key) {
            let bytes = append(&mut self.batch.bytes, bytes);
            self.batch.texts.push(NewText { key, bytes, cut });
            if self.is_full() {
                self.send();
            }
        }
    }

    /// Whether the columns of a text still have to be described; the key stands for the text in one database.
    pub fn wants_description(&mut self, key: TextKey) -> bool {
        remember(&mut self.known_descriptions, key)
    }

    /// Whether the parameters of a text still have to be told.
    pub fn wants_parameters(&mut self, key: TextKey) -> bool {
        remember(&mut self.known_parameters, key)
    }

    /// Places bytes in the batch of the next event.
    pub fn bytes(&mut self, bytes: &[u8]) -> Span {
        append(&mut self.batch.bytes, bytes)
    }

    /// Places bind cells in the batch of the next event.
    pub fn binds(&mut self, cells: &[BindCell]) -> Span {
        append(&mut self.batch.binds, cells)
    }

    /// Places column descriptions in the batch of the next event.
    pub fn fields(&mut self, fields: impl Iterator<Item = Field>) -> Span {
        extend(&mut self.batch.fields, fields)
    }

    /// Places result columns in the batch of the next event.
    pub fn columns(&mut self, columns: impl Iterator<Item = ResultColumn>) -> Span {
        extend(&mut self.batch.columns, columns)
    }

    /// Places cells of one column in the batch of the next event.
    pub fn cells(&mut self, cells: impl Iterator<Item = u32>) -> Span {
        extend(&mut self.batch.cells, cells)
    }

    /// Places a width sample in the batch of the next event; returns its place, from 1.
    pub fn sample(&mut self, rows: u32, bytes: u64, columns: &[u64]) -> u32 {
        let columns = append(&mut self.batch.widths, columns);
        self.batch.samples.push(WidthSample { rows, bytes, columns });
        self.batch.samples.len() as u32
    }

    /// Whether bind values are kept.
    pub fn wants_values(&self) -> bool {
        self.has_planner() || self.wants_as_sent()
    }

    /// Whether a planner can be asked with them.
    pub fn has_planner(&self) -> bool {
        self.counters.values_wanted.load(Relaxed)
    }

    /// Whether events hold values and messages of errors.
    pub fn wants_as_sent(&self) -> bool {
        self.counters.as_sent
    }

    /// Adds an event with the values of an execution.
    pub fn values(&mut self, record: ValuesRecord, types: &[u32], values: [&[u8]; 2]) {
        let values = self.batch.values.add(types, values);
        self.push(Event::Values(ValuesRecord { values, ..record }));
    }

    /// Sends off everything.
    pub fn send(&mut self) {
        if self.batch.events.is_empty() && self.batch.texts.is_empty() {
            return;
        }
        let mut empty = self.spare.try_recv().unwrap_or_default();
        if self.wants_values() {
            // Once per batch that goes round.
            empty.values.make_room(2 * BATCH_VALUE_BYTES_MAX);
        }
        let mut batch = std::mem::replace(&mut self.batch, empty);
        batch.epoch = self.epoch;
        let statements = counted_statements(&batch);
        self.counters.statements.fetch_add(statements, Relaxed);
        self.counters.queued_batches.fetch_add(1, Relaxed);
        let parcel = Parcel { worker: self.worker, batch };
        if let Err(TrySendError::Full(parcel) | TrySendError::Disconnected(parcel)) =
            self.full.try_send(parcel)
        {
            self.counters.queued_batches.fetch_sub(1, Relaxed);
            self.counters.dropped_statements.fetch_add(statements, Relaxed);
            self.keep_texts(&parcel.batch);
        }
    }

    /// The records of a batch are lost, but its texts go into the next one: prepared statements refer to texts
    /// that their sessions send only once.
    fn keep_texts(&mut self, lost: &RecordBatch) {
        for text in &lost.texts {
            if self.batch.bytes.len() >= KEPT_TEXT_BYTES_MAX {
                return self.forget_texts();
            }
            let bytes = append(&mut self.batch.bytes, text.bytes.of(&lost.bytes));
            self.batch.texts.push(NewText { bytes, ..*text });
        }
    }

    /// The analyzer forgot an older generation of texts: they have to be sent again. A batch never mixes
    /// epochs, so that the analyzer can tell which texts its sender relied on.
    fn follow_epoch(&mut self) {
        let epoch = self.counters.epoch.load(Relaxed);
        if epoch != self.epoch {
            self.send();
            self.epoch = epoch;
            self.forget_texts();
        }
    }

    fn forget_texts(&mut self) {
        self.known_texts.fill(0);
        self.known_descriptions.fill(0);
        self.known_parameters.fill(0);
    }
}

/// What the books count: one per statement, none for a part of a portal.
pub fn counted_statements(batch: &RecordBatch) -> u64 {
    let is_counted =
        |event: &&Event| matches!(event, Event::Statement(of) if of.timing != Timing::Part);
    batch.events.iter().filter(is_counted).count() as u64
}

/// Puts the key in its place; true where it wasn't there.
fn remember(known: &mut [u64], key: TextKey) -> bool {
    let place = &mut known[key.0 as usize % KNOWN_TEXTS];
    std::mem::replace(place, key.0) != key.0
}

fn append<T: Copy>(arena: &mut Vec<T>, items: &[T]) -> Span {
    let start = arena.len();
    arena.extend_from_slice(items);
    span(start, items.len())
}

fn extend<T>(arena: &mut Vec<T>, items: impl Iterator<Item = T>) -> Span {
    let start = arena.len();
    arena.extend(items);
    span(start, arena.len() - start)
}

/// The arenas are far smaller than 4 Gi elements: a batch is sent off long before.
fn span(start: usize, len: usize) -> Span {
    Span { start: start as u32, len: len as u32 }
}
