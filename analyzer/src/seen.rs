//! One execution as the detectors see it: the record, what it executed, and who sent it.

use crate::digest::{Described, Statement, TextEntry};
use crate::findings::Orm;
use crate::labels::{DatabaseId, ServiceId};
use crate::record::{
    BindCell, Driver, Outcome, RecordBatch, ResultColumn, StatementRecord, Timing,
};
use crate::text::{Class, SharedSlot, Tags};
use std::sync::Arc;

/// One execution (or one part of one).
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) record: &'a StatementRecord,
    pub(crate) batch: &'a RecordBatch,
    pub(crate) statement: &'a Arc<Statement>,
    /// Literals of the text, as bind cells.
    pub(crate) literals: &'a [BindCell],
    /// Parameters that count under another slot: elements of lists.
    pub(crate) shared_slots: &'a [SharedSlot],
    pub(crate) tags: Option<&'a Tags>,
    /// What its text means: literals, shared slots and tags are taken from it.
    pub(crate) entry: Option<&'a Arc<TextEntry>>,
    pub(crate) database: DatabaseId,
    pub(crate) service: ServiceId,
    pub(crate) route: Option<&'a Arc<str>>,
    pub(crate) driver: Driver,
    pub(crate) application_name: &'a Arc<str>,
    /// The ORM that asked the service's connections about themselves.
    pub(crate) introspected: Option<Orm>,
    /// Whose sessions are those of one client process, as far as that is known.
    pub(crate) client: u64,
    /// Median first-row time of the session's trivial exchanges.
    pub(crate) baseline_us: Option<u64>,
    /// Smallest service time of the session's trivial exchanges.
    pub(crate) rtt_us: Option<u64>,
    /// Its own time, or that of a whole batch of its digest on the last member; `None` inside batches.
    pub(crate) service_us: Option<u64>,
    /// Elements of the longest list of the text.
    pub(crate) list_elements: u32,
    /// Identity of the text without white space and comments.
    pub(crate) code: u64,
    /// What was said of the columns of its result.
    pub(crate) described: Option<&'a Described>,
    /// It was said since the text's last execution.
    pub(crate) described_anew: bool,
    /// Bit n-1: parameter n was declared with a type wider than integers.
    pub(crate) wide_parameters: u32,
}

/// A Parse that was answered by itself.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) database: DatabaseId,
    pub(crate) statement: Arc<Statement>,
    /// Upper bound of what parsing took.
    pub(crate) took_us: u64,
}

impl Seen<'_> {
    /// Trace id of the text's tag.
    pub(crate) fn trace(&self) -> Option<u64> {
        self.tags.and_then(|tags| tags.trace)
    }

    /// Whether data may flow out of it or into it: it succeeded and is neither control nor catalogue.
    pub(crate) fn takes_part(&self) -> bool {
        self.record.outcome == Outcome::Ok
            && !matches!(self.statement.class, Class::Control | Class::Catalogue)
    }

    /// Whether it is only a part of an execution.
    pub(crate) fn is_part(&self) -> bool {
        self.record.timing == Timing::Part
    }

    /// Bind cells, then literals.
    pub(crate) fn binds(&self) -> impl Iterator<Item = &BindCell> {
        self.record.binds.of(&self.batch.binds).iter().chain(self.literals)
    }

    /// The slot that a parameter counts under: its own, or that of the list it is in.
    pub(crate) fn slot_of(&self, parameter: u16) -> u16 {
        let shared = self.shared_slots.iter().find(|s| (s.first..=s.last).contains(&parameter));
        shared.map_or(parameter, |shared| shared.slot)
    }

    /// Hashed columns of the result.
    pub(crate) fn columns(&self) -> &[ResultColumn] {
        self.record.columns.of(&self.batch.columns)
    }

    /// `table.column` as far as text and description tell; else the label.
    pub(crate) fn column_name(&self, field: u16) -> Option<Arc<str>> {
        let position = usize::from(field);
        let statement = self.statement;
        let label = self.described.and_then(|described| described.fields.get(position));
        let facts = statement.facts.as_ref();
        let relation = |at: usize| facts?.relations.get(at).map(|relation| relation.name.as_str());
        let plain = facts.and_then(|facts| {
            let target = facts.target_columns.iter().find(|target| target.position == position)?;
            Some((relation(target.relation)?, target.column.as_str()))
        });
        let star = || {
            let table = relation(facts?.star_of?)?;
            Some((table, &*label?.2))
        };
        if let Some((table, column)) = plain.or_else(star) {
            return Some(Arc::from(format!("{table}.{column}")));
        }
        label.map(|(.., label)| label.clone())
    }
}
