//! What the stream shows of tables: how large they are at least, who uses them, which are new.

use crate::Map;
use crate::facts::StatementFacts;
use crate::labels::DatabaseId;
use crate::record::{Micros, SessionId, Tag};
use crate::seen::Seen;
use crate::snapshot::Operation;
use std::sync::Arc;

/// Tables remembered; at the limit the one that was not used for longest goes.
const TABLES_MAX: usize = 1_024;

/// A table as texts name it.
pub(super) type Table = (DatabaseId, Arc<str>);

/// What is known of one table.
#[derive(Clone, Debug, Default)]
pub(super) struct Use {
    /// Rows that it has at least: the most that one statement read, changed or wrote.
    pub(super) rows_min: u64,
    /// It was made on this stream, and these rows were written since.
    pub(super) made: Option<Made>,
    /// It is temporary.
    pub(super) temporary: bool,
    /// A constraint of it was validated on this stream.
    pub(super) validated: bool,
    /// Two sessions that used it last, the latest first.
    users: [Option<(SessionId, Micros)>; 2],
    last_us: Micros,
}

/// A table that was made on this stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made {
    session: SessionId,
    transaction: u32,
    rows: u64,
}

impl Use {
    /// Made in the same transaction: nobody else sees it.
    pub(super) fn is_own(&self, seen: &Seen<'_>) -> bool {
        let record = seen.record;
        self.made.is_some_and(|made| {
            made.session == record.session
                && made.transaction == record.transaction
                && record.transaction != 0
        })
    }

    /// Made on this stream, with fewer rows since.
    pub(super) fn is_smaller(&self, rows: u64) -> bool {
        self.made.is_some_and(|made| made.rows < rows) && self.rows_min < rows
    }

    /// Whether it is known to have that many rows.
    pub(super) fn is_large(&self, rows: u64) -> bool {
        self.rows_min >= rows
    }

    /// Made on this stream and never written to.
    pub(super) fn is_empty(&self) -> bool {
        self.made.is_some_and(|made| made.rows == 0) && self.rows_min == 0
    }

    /// Whether another session used it since.
    pub(super) fn other_user(&self, own: SessionId, since_us: Micros) -> bool {
        self.users.iter().flatten().any(|(session, at)| *session != own && *at >= since_us)
    }
}

/// All tables.
#[derive(Debug, Default)]
pub(super) struct Tables {
    tables: Map<Table, Use>,
}

impl Tables {
    /// What is known of a table.
    pub(super) fn find(&self, table: &Table) -> Option<&Use> {
        self.tables.get(table)
    }

    fn entry(&mut self, table: Table) -> &mut Use {
        if self.tables.len() >= TABLES_MAX && !self.tables.contains_key(&table) {
            let oldest = self.tables.iter().map(|(table, of)| (of.last_us, table)).min();
            if let Some(oldest) = oldest.map(|(_, table)| table.clone()) {
                self.tables.remove(&oldest);
            }
        }
        self.tables.entry(table).or_default()
    }

    /// Takes in one successful execution that is no change of a table.
    pub(super) fn statement(&mut self, seen: &Seen<'_>) {
        let record = seen.record;
        let rows = rows_of_one_table(seen);
        let writes = matches!(record.tag, Tag::Insert | Tag::Copy);
        for table in &seen.statement.tables {
            let of = self.entry((seen.database, table.clone()));
            of.last_us = record.end_us();
            let latest = Some((record.session, record.end_us()));
            if of.users[0].is_none_or(|(session, _)| session != record.session) {
                of.users[1] = of.users[0];
            }
            of.users[0] = latest;
            of.rows_min = of.rows_min.max(rows);
            if let Some(made) = of.made.as_mut().filter(|_| writes) {
                made.rows += record.rows;
            }
        }
    }

    /// A table was made.
    pub(super) fn made(&mut self, seen: &Seen<'_>, table: Table, temporary: bool) {
        let (session, transaction) = (seen.record.session, seen.record.transaction);
        let of = self.entry(table);
        *of = Use {
            made: Some(Made { session, transaction, rows: seen.record.rows }),
            last_us: seen.record.end_us(),
            temporary,
            ..Use::default()
        };
    }

    /// A constraint of the table was validated.
    pub(super) fn validated(&mut self, table: Table) {
        self.entry(table).validated = true;
    }
}

/// Rows that the only table of a statement has at least.
fn rows_of_one_table(seen: &Seen<'_>) -> u64 {
    let plain = |facts: &StatementFacts| facts.relations.len() == 1 && !facts.grouped;
    let one = seen.statement.facts.as_ref().is_some_and(plain);
    let counts = matches!(
        seen.statement.operation,
        Operation::Select
            | Operation::Update
            | Operation::Delete
            | Operation::Insert
            | Operation::Copy
    );
    let set = seen.statement.facts.as_ref().is_some_and(|facts| facts.functions.is_empty());
    if one && counts && set { seen.record.rows } else { 0 }
}
