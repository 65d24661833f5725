//! A transaction in progress, as far as its findings need it.

use super::super::register::Sighting;
use crate::digest::Statement;
use crate::finding::Child;
use crate::flow::Sender;
use crate::labels::DatabaseId;
use crate::record::{Micros, Tag};
use crate::seen::Seen;
use crate::snapshot::Operation;
use crate::text::Class;
use std::sync::Arc;

/// Tables named as written or locked.
const TABLES_MAX: usize = 8;

/// What others have to wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holds {
    /// Only read.
    #[default]
    Nothing,
    /// FOR UPDATE, FOR SHARE or LOCK.
    Locks,
    /// INSERT, UPDATE, DELETE, MERGE or DDL.
    Writes,
}

/// One open transaction.
#[derive(Debug)]
pub(super) struct Open {
    /// Ordinal; 0 while only BEGIN was seen.
    pub(super) transaction: u32,
    pub(super) begin_us: Micros,
    pub(super) database: DatabaseId,
    pub(super) sender: Sender,
    /// Statements that are neither control nor catalogue.
    pub(super) statements: u64,
    pub(super) copies: bool,
    pub(super) busy_us: u64,
    pub(super) holds: Holds,
    pub(super) tables: Vec<Arc<str>>,
    /// The first statement that works.
    pub(super) first: Option<Arc<Statement>>,
    pub(super) last: Arc<Statement>,
    pub(super) last_end_us: Micros,
    /// The idle time in progress as it was told last.
    pub(super) idle_told: Option<Sighting>,
    /// This transaction as it was told last for its length.
    pub(super) long_told: Option<Sighting>,
}

impl Open {
    pub(super) fn new(seen: &Seen<'_>) -> Self {
        Self {
            transaction: seen.record.transaction,
            begin_us: seen.record.begin_us,
            database: seen.database,
            sender: Sender::of(seen),
            statements: 0,
            copies: false,
            busy_us: 0,
            holds: Holds::Nothing,
            tables: Vec::new(),
            first: None,
            last: seen.statement.clone(),
            last_end_us: 0,
            idle_told: None,
            long_told: None,
        }
    }

    /// Whether the record belongs to this transaction.
    pub(super) fn owns(&self, seen: &Seen<'_>) -> bool {
        let record = seen.record;
        let named = record.transaction != 0;
        let only_begun = self.transaction == 0 && record.tag != Tag::Begin;
        named && (record.transaction == self.transaction || only_begun)
    }

    pub(super) fn add(&mut self, seen: &Seen<'_>) {
        let record = seen.record;
        self.transaction = record.transaction;
        self.busy_us += record.duration_us();
        self.last_end_us = record.end_us();
        if !Arc::ptr_eq(&self.last, seen.statement) {
            self.last = seen.statement.clone();
        }
        if matches!(seen.statement.class, Class::Control | Class::Catalogue) {
            return;
        }
        self.statements += 1;
        self.copies |= record.tag == Tag::Copy;
        if self.first.is_none() {
            self.first = Some(seen.statement.clone());
            self.sender = Sender::of(seen);
        } else if self.sender.route.is_none() && seen.route.is_some() {
            self.sender.route = seen.route.cloned();
        }
        self.hold(seen.statement);
    }

    /// A failed write holds its locks as well: the row was locked before it failed.
    fn hold(&mut self, statement: &Statement) {
        let locking = statement.facts.as_ref().is_some_and(|facts| facts.locking);
        let holds = match statement.class {
            Class::Write => Holds::Writes,
            Class::Other if statement.operation == Operation::Ddl => Holds::Writes,
            Class::Read if locking => Holds::Locks,
            Class::Other if statement.starts_with("LOCK") => Holds::Locks,
            _ => return,
        };
        self.holds = self.holds.max(holds);
        for table in &statement.tables {
            if self.tables.len() < TABLES_MAX && !self.tables.contains(table) {
                self.tables.push(table.clone());
            }
        }
    }
}

/// A statement as the child of a finding.
pub(super) fn child_of(statement: &Statement) -> Child {
    Child {
        table: statement.tables.first().cloned(),
        digest: statement.digest,
        query_text: statement.text.clone(),
        ..Child::default()
    }
}
