//! What is handed over of an execution as it was sent: values for a planner, and values and messages of errors where
//! the operator wants to see them (`profile.redact = "off"`).

use super::{RowsMax, SessionObserver};
use pgsonde_analyzer::record::{Event, Outcome, Span, StatementRecord, ValuesRecord};

/// Bytes of an error's message that are kept.
const MESSAGE_BYTES_MAX: usize = 1_024;

impl SessionObserver {
    /// Hashes the cells of so many rows of a result at most.
    #[must_use]
    pub fn with_result_rows(mut self, rows_max: usize) -> Self {
        self.current.rows_max = RowsMax(rows_max);
        self.held.rows_max = RowsMax(rows_max);
        self
    }

    /// Hands the values of the execution over, if somebody can use them.
    pub(super) fn hand_over_values(&mut self, first_row_us: u64) {
        let (kept, plan) = std::mem::take(&mut self.held_values);
        let Some(values) = self.ring.read(kept) else { return };
        let Some(plan) = self.plans.find_mut(plan) else { return };
        let mut outbox = self.outbox.borrow_mut();
        let count = usize::from(self.held_record.bind_count);
        let is_whole = self.held_record.outcome == Outcome::Ok;
        let planner = is_whole && outbox.has_planner() && plan.wants_values(first_row_us);
        let wanted = planner || outbox.wants_as_sent();
        if let Some(types) = plan.types.get(..count).filter(|_| wanted) {
            let StatementRecord { session, text, binds_hash, bind_count: count, .. } =
                self.held_record;
            let values_span = Span::default();
            let of = ValuesRecord {
                session,
                text,
                first_row_us,
                binds_hash,
                count,
                values: values_span,
                planner,
            };
            outbox.values(of, types, values);
        }
    }

    /// Keeps what the server says of an error, if somebody wants to see it.
    pub(super) fn keep_message(&mut self, message: &[u8]) {
        self.message.clear();
        if self.outbox.borrow().wants_as_sent() {
            self.message.extend_from_slice(&message[..message.len().min(MESSAGE_BYTES_MAX)]);
        }
    }

    /// Hands it over before the execution that failed.
    pub(super) fn hand_over_message(&mut self) {
        let failed = matches!(self.held_record.outcome, Outcome::Error | Outcome::Cancelled);
        if failed && !self.message.is_empty() {
            let mut outbox = self.outbox.borrow_mut();
            let message = outbox.bytes(&self.message);
            outbox.push(Event::Message { session: self.session, message });
            drop(outbox);
            self.message.clear();
        }
    }
}
