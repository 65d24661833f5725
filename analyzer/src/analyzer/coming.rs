//! What comes with an execution for events alone (`profile.redact = "off"`).

use super::Analyzer;
use crate::Redaction;
use crate::labels::label;
use crate::record::{RecordBatch, SessionId, ValuesRecord};

impl Analyzer {
    /// Parameters; without `off` they were for a planner, not for this.
    pub(super) fn values_come(&mut self, of: &ValuesRecord, batch: &RecordBatch) {
        if self.limits.redaction == Redaction::Off
            && let Some(session) = self.sessions.known(of.session)
        {
            session.coming.get_or_insert_default().values(of, batch.values.of(of.values));
        }
    }

    /// The message of an error.
    pub(super) fn message_comes(&mut self, id: SessionId, message: &[u8]) {
        if self.limits.redaction == Redaction::Off
            && let Some(session) = self.sessions.known(id)
        {
            session.coming.get_or_insert_default().message(label(message, message.len()));
        }
    }
}
