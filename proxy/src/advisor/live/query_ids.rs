//! Asks the server what it calls the digests, so that `pg_stat_statements` and the exporters that read it can be joined
//! with what was seen on the wire.

use super::lines::Target;
use super::runner::Runner;
use crate::advisor::side::SideError;
use pgsonde_analyzer::digest::grammar::Grammar;
use pgsonde_analyzer::digest::query_ids::{QueryId, digest_of};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The view is read as a whole, texts included: seldom.
const PERIOD: Duration = Duration::from_secs(600);
/// The first time, there shall be something to find.
const FIRST_AFTER: Duration = Duration::from_secs(10);

/// Of one database.
struct Course {
    first: Instant,
    asked: Option<Instant>,
    ids: Vec<QueryId>,
}

/// What is known of all databases.
#[derive(Default)]
pub(super) struct QueryIds {
    courses: BTreeMap<Arc<str>, Course>,
    grammar: Option<Grammar>,
}

impl QueryIds {
    /// Asks where it is due; all that is known, if something changed.
    pub(super) fn step(&mut self, runner: &mut Runner, targets: &[Target]) -> Option<Vec<QueryId>> {
        let due = targets.iter().find(|target| self.is_due(&target.origin.database))?;
        let database = due.origin.database.clone();
        let course = self.courses.get_mut(&database)?;
        course.asked = Some(Instant::now());
        let rows = match runner.query_texts(due) {
            Ok(rows) => rows,
            // Without the extension, or without the right to read it, there is nothing to join with.
            Err(SideError::Server { code, .. }) => {
                tracing::debug!(%database, %code, "pg_stat_statements can't be read");
                Vec::new()
            }
            Err(error) => {
                tracing::debug!(%database, %error, "the server was not asked for its query ids");
                runner.forget(due);
                return None;
            }
        };
        let grammar = self.grammar.get_or_insert_default();
        let named = rows.iter().filter_map(|(query_id, text)| {
            let digest = digest_of(text, grammar)?;
            Some(QueryId { database: database.clone(), digest, query_id: *query_id })
        });
        let ids: Vec<QueryId> = named.collect();
        tracing::debug!(%database, statements = rows.len(), named = ids.len(), "query ids");
        if std::mem::replace(&mut course.ids, ids) == course.ids {
            return None;
        }
        Some(self.courses.values().flat_map(|course| course.ids.iter().cloned()).collect())
    }

    fn is_due(&mut self, database: &Arc<str>) -> bool {
        let now = Instant::now();
        let fresh = || Course { first: now, asked: None, ids: Vec::new() };
        let course = self.courses.entry(database.clone()).or_insert_with(fresh);
        match course.asked {
            None => course.first.elapsed() >= FIRST_AFTER,
            Some(asked) => asked.elapsed() >= PERIOD,
        }
    }
}
