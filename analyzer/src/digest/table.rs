//! The table of digests: bounded, and what it has no room for is summed as `other`.

use super::row::{Execution, Row, Wanted};
use super::statement::Statement;
use crate::Map;
use crate::events::StatementEvent;
use crate::labels::{DatabaseId, Labels};
use crate::record::Micros;
use crate::snapshot::{
    DigestPoint, DigestRow, DigestTotals, HistoryStep, Phases, STEP_DIGESTS_MAX,
};
use hashbrown::hash_map::Entry;
use std::sync::Arc;

/// A digest without executions for this long may make room for a new one.
const IDLE_BEFORE_EVICTION_US: u64 = 600 * 1_000_000;
/// Share of the table that one clean-up frees at most: 1 / 16.
const EVICTION_PARTS: usize = 16;

/// Digests with examples; from here on the cheaper half loses them. An example is about 500 bytes, and there are three.
const EXAMPLE_DIGESTS_MAX: usize = 1_000;

/// A digest that was executed within this time is shed last, in microseconds.
const FRESH_US: u64 = 60_000_000;

/// What a row is found by.
pub(crate) type DigestKey = (DatabaseId, u64);

/// Rows by (database, digest).
#[derive(Debug)]
pub(crate) struct DigestTable {
    rows: Map<DigestKey, Row>,
    max: usize,
    sources_max: usize,
    /// Sums of what had no room, and of rows that had to go.
    pub(crate) other: DigestTotals,
    /// Executions of new digests that found the table full.
    pub(crate) overflowed: u64,
    /// Digests with examples, roughly.
    with_examples: usize,
}

impl DigestTable {
    pub(crate) fn new(max: usize, sources_max: usize) -> Self {
        Self {
            rows: Map::default(),
            max,
            sources_max,
            other: DigestTotals::default(),
            overflowed: 0,
            with_examples: 0,
        }
    }

    /// Digests tracked now.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Counts one execution; `None` if it went to `other`, else which example it would make.
    pub(crate) fn add(
        &mut self,
        database: DatabaseId,
        statement: &Arc<Statement>,
        execution: &Execution<'_>,
    ) -> Option<Wanted> {
        let key = (database, statement.digest);
        let full = self.rows.len() >= self.max;
        let row = match self.rows.entry(key) {
            Entry::Occupied(row) => row.into_mut(),
            Entry::Vacant(_) if full => {
                self.other.add(execution.sums);
                self.overflowed += 1;
                return None;
            }
            Entry::Vacant(free) => {
                free.insert(Row::new(database, statement.clone(), execution.begin_us))
            }
        };
        let wanted = row.add(execution, self.sources_max);
        let room = self.with_examples < EXAMPLE_DIGESTS_MAX || row.has_examples();
        Some(if room { wanted } else { Wanted::default() })
    }

    /// Keeps an execution as an example of its digest.
    pub(crate) fn keep_example(
        &mut self,
        database: DatabaseId,
        event: &Arc<StatementEvent>,
        wanted: Wanted,
    ) {
        if let Some(row) = self.rows.get_mut(&(database, event.executed.digest())) {
            self.with_examples += usize::from(!row.has_examples());
            row.keep_example(event, wanted);
        }
    }

    /// When many digests have examples, the cheaper ones lose them.
    fn thin_examples(&mut self) {
        if self.with_examples < EXAMPLE_DIGESTS_MAX {
            return;
        }
        let mut costs: Vec<(u64, DigestKey)> = self
            .rows
            .iter()
            .filter(|(_, row)| row.has_examples())
            .map(|(key, row)| (row.totals.phases.statement_us(), *key))
            .collect();
        costs.sort_unstable();
        self.with_examples = costs.len();
        for (_, key) in costs.iter().take(EXAMPLE_DIGESTS_MAX / 2) {
            let forgotten = self.rows.get_mut(key).is_some_and(Row::forget_examples);
            self.with_examples -= usize::from(forgotten);
        }
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.values().map(Row::bytes).sum()
    }

    /// Gives all examples up.
    pub(crate) fn forget_examples(&mut self) {
        self.with_examples = 0;
        for row in self.rows.values_mut() {
            let _had_some = row.forget_examples();
        }
    }

    /// Moves the cheapest rows to `other` until so many bytes are free; how many, and their calls. Those of the latest
    /// minute go last.
    pub(crate) fn shed(&mut self, bytes: usize, now: Micros) -> (u64, u64) {
        let fresh = |row: &Row| now.saturating_sub(row.last_us) < FRESH_US;
        let mut costs: Vec<(bool, u64, DigestKey)> = self
            .rows
            .iter()
            .map(|(key, row)| (fresh(row), row.totals.phases.statement_us(), *key))
            .collect();
        costs.sort_unstable();
        let (mut freed, mut digests, mut calls) = (0, 0, 0);
        for (.., key) in costs {
            if freed >= bytes {
                break;
            }
            if let Some(row) = self.rows.remove(&key) {
                freed += row.bytes();
                digests += 1;
                calls += row.totals.calls;
                self.other.add(&row.totals);
            }
        }
        (digests, calls)
    }

    /// Adds the time of a batch all of whose members had that digest.
    pub(crate) fn add_batch_time(&mut self, key: DigestKey, phases: &Phases) {
        match self.rows.get_mut(&key) {
            Some(row) => row.add_batch_time(phases),
            None => self.other.phases.add(phases),
        }
    }

    /// The row of a digest.
    pub(crate) fn row(&mut self, key: DigestKey) -> Option<&mut Row> {
        self.rows.get_mut(&key)
    }

    /// What each digest did since the last call.
    pub(crate) fn end_step(&mut self, labels: &Labels) -> HistoryStep {
        let mut digests: Vec<DigestPoint> = Vec::new();
        for ((database, digest), row) in &mut self.rows {
            let point = row.end_step();
            if point.calls > 0 || point.total_us > 0 {
                let database = labels.database_name(*database);
                digests.push(DigestPoint { digest: *digest, database, point });
            }
        }
        let key = |row: &DigestPoint| (row.digest, row.database.clone());
        digests.sort_by_cached_key(|row| (std::cmp::Reverse(row.point.total_us), key(row)));
        let cut = digests.len() > STEP_DIGESTS_MAX;
        digests.truncate(STEP_DIGESTS_MAX);
        digests.sort_by_cached_key(key);
        HistoryStep { digests, cut, ..HistoryStep::default() }
    }

    /// All rows; the order means nothing.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// When the table is full, the cheapest of the long idle rows go into `other`; returns their calls.
    pub(crate) fn tick(&mut self, now: Micros) -> u64 {
        self.thin_examples();
        if self.rows.len() < self.max {
            return 0;
        }
        let mut idle: Vec<(u64, DigestKey)> = self
            .rows
            .iter()
            .filter(|(_, row)| now.saturating_sub(row.last_us) >= IDLE_BEFORE_EVICTION_US)
            .map(|(key, row)| (row.totals.phases.statement_us(), *key))
            .collect();
        idle.sort_unstable();
        idle.truncate(self.max.div_ceil(EVICTION_PARTS));
        let mut calls = 0;
        for (_, key) in idle {
            if let Some(row) = self.rows.remove(&key) {
                calls += row.totals.calls;
                self.other.add(&row.totals);
            }
        }
        calls
    }

    /// Rows for the snapshot, costliest first.
    pub(crate) fn render(&mut self, labels: &Labels) -> Vec<DigestRow> {
        let mut rows: Vec<DigestRow> = self
            .rows
            .values_mut()
            .map(|row| {
                let database = labels.database_name(row.database);
                row.render(&database)
            })
            .collect();
        rows.sort_by(|a, b| {
            let cost = |row: &DigestRow| (row.totals.phases.statement_us(), row.totals.calls);
            cost(b)
                .cmp(&cost(a))
                .then_with(|| (&a.database, a.digest).cmp(&(&b.database, b.digest)))
        });
        rows
    }
}
