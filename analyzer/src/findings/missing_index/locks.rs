//! Which tables are being written, changed or temporary: reasons to leave a slow statement alone.

use crate::Map;
use crate::labels::DatabaseId;
use crate::record::{Micros, SessionId};
use crate::seen::Seen;
use crate::snapshot::Operation;
use crate::text::Class;
use std::sync::Arc;

/// Tables remembered per list, and tables of one transaction.
const TABLES_MAX: usize = 1_024;
const TRANSACTION_TABLES_MAX: usize = 16;

type Table = (DatabaseId, Arc<str>);

/// What is known about tables.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    /// Tables written by the open transaction of each session.
    written: Map<SessionId, Vec<Table>>,
    /// Open transactions that wrote, by table.
    writers: Map<Table, u32>,
    changed: Map<Table, Micros>,
    /// Latest DDL whose tables aren't known, by database.
    changed_any: Map<DatabaseId, Micros>,
    temporary: Map<Table, ()>,
}

impl Locks {
    /// Takes in one successful execution.
    pub(crate) fn statement(&mut self, seen: &Seen<'_>) {
        if seen.statement.operation == Operation::Ddl {
            self.ddl(seen);
        }
        if seen.statement.class == Class::Write && seen.record.transaction != 0 {
            // The written table is the first that the text names.
            if let Some(table) = seen.statement.tables.first() {
                self.write(seen.record.session, (seen.database, table.clone()));
            }
        }
    }

    fn write(&mut self, session: SessionId, table: Table) {
        if self.written.len() >= TABLES_MAX && !self.written.contains_key(&session) {
            return;
        }
        let written = self.written.entry(session).or_default();
        if written.len() < TRANSACTION_TABLES_MAX && !written.contains(&table) {
            written.push(table.clone());
            *self.writers.entry(table).or_insert(0) += 1;
        }
    }

    /// The session's transaction is over.
    pub(crate) fn release(&mut self, session: SessionId) {
        for table in self.written.remove(&session).unwrap_or_default() {
            if let Some(count) = self.writers.get_mut(&table) {
                *count -= 1;
                if *count == 0 {
                    self.writers.remove(&table);
                }
            }
        }
    }

    /// Whether another transaction that wrote to the table is open.
    pub(crate) fn contended(&self, seen: &Seen<'_>, table: &Arc<str>) -> bool {
        if self.writers.is_empty() {
            return false;
        }
        let key = (seen.database, table.clone());
        let all = self.writers.get(&key).copied().unwrap_or(0);
        let own = self.written.get(&seen.record.session).is_some_and(|own| own.contains(&key));
        all > u32::from(own)
    }

    fn ddl(&mut self, seen: &Seen<'_>) {
        let at_us = seen.record.end_us();
        if seen.statement.tables.is_empty() {
            self.changed_any.insert(seen.database, at_us);
        }
        let temporary = ["CREATE TEMP", "CREATE LOCAL TEMP", "CREATE GLOBAL TEMP"];
        let temporary = temporary.iter().any(|words| seen.statement.starts_with(words));
        for table in &seen.statement.tables {
            let key = (seen.database, table.clone());
            if temporary && (self.temporary.len() < TABLES_MAX) {
                self.temporary.insert(key.clone(), ());
            }
            if self.changed.len() < TABLES_MAX || self.changed.contains_key(&key) {
                self.changed.insert(key, at_us);
            } else {
                self.changed_any.insert(seen.database, at_us);
            }
        }
    }

    /// Whether the table was changed at or after `since_us`.
    pub(crate) fn ddl_since(
        &self,
        database: DatabaseId,
        table: &Arc<str>,
        since_us: Micros,
    ) -> bool {
        let table = self.changed.get(&(database, table.clone()));
        let any = self.changed_any.get(&database);
        table.into_iter().chain(any).any(|at_us| *at_us >= since_us)
    }

    /// Whether the table was created as a temporary one.
    pub(crate) fn is_temporary(&self, database: DatabaseId, table: &Arc<str>) -> bool {
        self.temporary.contains_key(&(database, table.clone()))
    }
}
