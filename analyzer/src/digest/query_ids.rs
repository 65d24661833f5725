//! The server's own names for digests: `pg_stat_statements.queryid`.
//!
//! The server hashes its parse tree after the names are resolved to OIDs, so its ids can't be computed here; but it shows a
//! text beside each, with constants as `$n`, and that text has a digest.

use super::grammar::Grammar;
use super::statement::Statement;
use crate::disguise::Disguise;
use crate::snapshot::DigestRow;
use crate::value::Salt;
use crate::{Map, Redaction};
use std::sync::Arc;

/// What the server calls a digest of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryId {
    /// Database.
    pub database: Arc<str>,
    /// Digest.
    pub digest: u64,
    /// `queryid`.
    pub query_id: i64,
}

/// The digest that executions of this text are counted under; `None` where it is not one statement.
pub fn digest_of(text: &str, grammar: &Grammar) -> Option<u64> {
    // Values and names don't matter here, so neither does the key.
    let key = Salt::new(0, 0);
    let info = crate::text::read(text.as_bytes(), &key);
    let [part] = &info.parts[..] else { return None };
    let open = Disguise::new(Redaction::Literals, &key);
    Some(Statement::of(part, grammar, &open, false, 0).digest)
}

/// Ids by digest.
#[derive(Debug, Default)]
pub(crate) struct QueryIds(Map<(Arc<str>, u64), i64>);

impl QueryIds {
    /// Takes these in place of all before; of several for one digest the first.
    pub(crate) fn replace(&mut self, ids: Vec<QueryId>) {
        self.0.clear();
        for id in ids {
            self.0.entry((id.database, id.digest)).or_insert(id.query_id);
        }
    }

    pub(crate) fn of(&self, database: &Arc<str>, digest: u64) -> Option<i64> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&(database.clone(), digest)).copied()
    }

    pub(crate) fn fill(&self, rows: &mut [DigestRow]) {
        for row in rows {
            row.query_id = self.of(&row.database, row.digest);
        }
    }
}
