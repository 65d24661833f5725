//! What waits for the records of other sessions: events of the proof with all that they need.

use crate::digest::{Statement, TextEntry};
use crate::findings::Orm;
use crate::labels::{DatabaseId, ServiceId};
use crate::record::{Driver, Micros, RecordBatch, SessionId, Span, StatementRecord};
use crate::seen::Seen;
use std::sync::Arc;

/// Bytes of a waiting execution without its cells, roughly.
const EXECUTION_BYTES: usize = 640;

/// An event that waits.
#[derive(Debug)]
pub(super) enum Deferred {
    Statement(Box<Execution>, u32),
    TransactionEnded(SessionId, u32),
    SessionEnded(SessionId),
}

/// An execution on its own: its cells in a batch that holds nothing else.
#[derive(Debug)]
pub(super) struct Execution {
    record: StatementRecord,
    batch: RecordBatch,
    statement: Arc<Statement>,
    entry: Option<Arc<TextEntry>>,
    database: DatabaseId,
    service: ServiceId,
    driver: Driver,
    application_name: Arc<str>,
    introspected: Option<Orm>,
    client: u64,
    baseline_us: Option<u64>,
    rtt_us: Option<u64>,
    service_us: Option<u64>,
}

impl Execution {
    pub(super) fn of(seen: &Seen<'_>) -> Self {
        let mut record = *seen.record;
        let mut batch = RecordBatch::default();
        batch.binds.extend_from_slice(seen.record.binds.of(&seen.batch.binds));
        record.binds = Span { start: 0, len: batch.binds.len() as u32 };
        for column in seen.columns() {
            let start = batch.cells.len() as u32;
            batch.cells.extend_from_slice(column.cells.of(&seen.batch.cells));
            let mut column = *column;
            column.cells = Span { start, len: batch.cells.len() as u32 - start };
            batch.columns.push(column);
        }
        record.columns = Span { start: 0, len: batch.columns.len() as u32 };
        Self {
            record,
            batch,
            statement: seen.statement.clone(),
            entry: seen.entry.cloned(),
            database: seen.database,
            service: seen.service,
            driver: seen.driver,
            application_name: seen.application_name.clone(),
            introspected: seen.introspected,
            client: seen.client,
            baseline_us: seen.baseline_us,
            rtt_us: seen.rtt_us,
            service_us: seen.service_us,
        }
    }

    pub(super) fn seen(&self) -> Seen<'_> {
        let entry = self.entry.as_ref();
        let tags = entry.map(|entry| &entry.tags);
        let member = self.record.member;
        Seen {
            record: &self.record,
            batch: &self.batch,
            statement: &self.statement,
            literals: entry.map_or(&[], |entry| entry.literals(member)),
            shared_slots: entry.map_or(&[], |entry| entry.shared_slots(member)),
            tags,
            entry,
            database: self.database,
            service: self.service,
            route: tags.and_then(|tags| tags.route.as_ref()),
            driver: self.driver,
            application_name: &self.application_name,
            introspected: self.introspected,
            client: self.client,
            baseline_us: self.baseline_us,
            rtt_us: self.rtt_us,
            service_us: self.service_us,
            // What only detectors of texts ask for, and they don't wait.
            list_elements: 0,
            code: 0,
            described: None,
            described_anew: false,
            wide_parameters: 0,
        }
    }

    pub(super) fn at_us(&self) -> Micros {
        self.record.begin_us
    }

    pub(super) fn bytes(&self) -> usize {
        let cells = self.batch.cells.capacity() * size_of::<u32>();
        EXECUTION_BYTES + cells + self.batch.binds.capacity() * 8
    }
}
