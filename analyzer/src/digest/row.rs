//! One digest in one database: its sums, and its row of the snapshot.

use super::statement::Statement;
use crate::events::{Examples, StatementEvent};
use crate::history::Sums;
use crate::labels::DatabaseId;
use crate::latency::{Durations, Quantiles};
use crate::merge::DigestSketch;
use crate::record::Micros;
use crate::snapshot::{ColumnBytes, DigestRow, DigestTotals, Hygiene, Phases, Point, SourceRow};
use std::sync::Arc;

/// SQLSTATEs told apart per digest.
const SQLSTATES_MAX: usize = 8;

/// Where one execution came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) user: &'a Arc<str>,
    pub(crate) application_name: &'a Arc<str>,
    pub(crate) route: Option<&'a Arc<str>>,
}

/// One execution as a row counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Execution<'a> {
    /// What it adds to the sums; calls = 1.
    pub(crate) sums: &'a DigestTotals,
    /// Its duration, if it enters the histogram.
    pub(crate) timed_us: Option<u64>,
    /// SQLSTATE of its error.
    pub(crate) sqlstate: Option<[u8; 5]>,
    /// Where it came from.
    pub(crate) source: Source<'a>,
    /// How it came; each count is 0 or 1.
    pub(crate) hygiene: Hygiene,
    /// When it began and ended.
    pub(crate) begin_us: Micros,
    pub(crate) end_us: Micros,
}

/// Bytes of the examples of one digest.
const EXAMPLES_BYTES: usize = 1_536;

/// One digest in one database.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) database: DatabaseId,
    pub(crate) statement: Arc<Statement>,
    pub(crate) totals: DigestTotals,
    pub(crate) last_us: Micros,
    first_us: Micros,
    durations: Durations,
    first_row: Quantiles,
    transfer: Quantiles,
    sqlstates: Vec<([u8; 5], u64)>,
    sources: Vec<SourceRow>,
    hygiene: Hygiene,
    columns: Vec<ColumnBytes>,
    /// Sums at the begin of the present step of the history.
    before: Sums,
    rendered: Option<DigestRow>,
    examples: Option<Arc<Examples>>,
}

/// Which example an execution would make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Longer than all before it.
    pub(crate) slowest: bool,
    /// The first one since the row was rendered.
    pub(crate) fresh: bool,
}

impl Wanted {
    pub(crate) fn any(self) -> bool {
        self.slowest || self.fresh
    }
}

impl Row {
    pub(crate) fn new(database: DatabaseId, statement: Arc<Statement>, now: Micros) -> Self {
        Self {
            database,
            statement,
            totals: DigestTotals::default(),
            last_us: now,
            first_us: now,
            durations: Durations::default(),
            first_row: Quantiles::coarse(),
            transfer: Quantiles::coarse(),
            sqlstates: Vec::new(),
            sources: Vec::new(),
            hygiene: Hygiene::default(),
            columns: Vec::new(),
            before: Sums::default(),
            rendered: None,
            examples: None,
        }
    }

    /// Counts one execution; says which example it would make.
    pub(crate) fn add(&mut self, execution: &Execution<'_>, sources_max: usize) -> Wanted {
        let fresh = self.rendered.take().is_some() || self.totals.calls == 0;
        let longest_us = self.durations.max_us();
        let slowest = execution.timed_us.is_some_and(|us| us > longest_us);
        self.totals.add(execution.sums);
        self.hygiene.add(&execution.hygiene);
        self.first_us = self.first_us.min(execution.begin_us);
        self.last_us = self.last_us.max(execution.end_us);
        if let Some(us) = execution.timed_us {
            self.durations.record(us);
            self.first_row.record(execution.sums.phases.first_row_us);
            self.transfer.record(execution.sums.phases.transfer_us);
        }
        if let Some(sqlstate) = execution.sqlstate {
            self.add_sqlstate(sqlstate);
        }
        let total_us = execution.sums.phases.statement_us();
        self.add_source(&execution.source, total_us, sources_max);
        Wanted { slowest, fresh }
    }

    /// Keeps an execution as an example.
    pub(crate) fn keep_example(&mut self, event: &Arc<StatementEvent>, wanted: Wanted) {
        let mut examples = self.examples.as_deref().cloned().unwrap_or_default();
        if wanted.slowest {
            examples.slowest = Some(Arc::clone(event));
        }
        if wanted.fresh {
            examples.latest = Some(Arc::clone(event));
            let median_us = self.durations.at(0.5);
            let distance =
                |event: &Arc<StatementEvent>| event.record.duration_us().abs_diff(median_us);
            let nearer = |known: &Arc<StatementEvent>| distance(event) <= distance(known);
            if examples.typical.as_ref().is_none_or(nearer) {
                examples.typical = Some(Arc::clone(event));
            }
        }
        self.examples = Some(Arc::new(examples));
    }

    pub(crate) fn has_examples(&self) -> bool {
        self.examples.is_some()
    }

    /// Bytes that it keeps alive, roughly: with the rendered row, which snapshots hold a copy of.
    pub(crate) fn bytes(&self) -> usize {
        let sketches = self.durations.bytes() + self.first_row.bytes() + self.transfer.bytes();
        let lists = self.sources.len() * size_of::<SourceRow>() + self.columns.len() * 64;
        let rendered = 2 * (size_of::<DigestRow>() + lists);
        let examples = if self.has_examples() { EXAMPLES_BYTES } else { 0 };
        size_of::<Self>() + sketches + lists + rendered + examples + self.statement.bytes()
    }

    /// Gives the examples up; whether there were any.
    pub(crate) fn forget_examples(&mut self) -> bool {
        self.rendered = self.rendered.take().map(|row| DigestRow { examples: None, ..row });
        self.examples.take().is_some()
    }

    /// Adds the time of a batch of this digest alone.
    pub(crate) fn add_batch_time(&mut self, phases: &Phases) {
        self.rendered = None;
        self.totals.phases.add(phases);
    }

    /// Adds the bytes by column of a large result. Names are asked for where the columns are new.
    pub(crate) fn add_widths(&mut self, widths: &[u64], name: impl Fn(u16) -> Arc<str>) {
        self.rendered = None;
        if self.columns.len() != widths.len() {
            let column = |(field, _)| ColumnBytes { name: name(field), bytes: 0 };
            self.columns = (0_u16..).zip(widths).map(column).collect();
        }
        self.columns.iter_mut().zip(widths).for_each(|(column, bytes)| column.bytes += bytes);
    }

    /// Ends a step of the history: what the digest did in it.
    pub(crate) fn end_step(&mut self) -> Point {
        let now = Sums {
            calls: self.totals.calls,
            errors: self.totals.errors,
            rows: self.totals.rows,
            total_us: self.totals.phases.statement_us(),
            received_bytes: self.totals.received_bytes,
            sent_bytes: self.totals.sent_bytes,
            buckets: self.durations.buckets(),
        };
        let point = now.since(&self.before);
        self.before = now;
        point
    }

    /// Its distributions, for adding up with those of other proxies.
    pub(crate) fn sketch(&self) -> DigestSketch {
        DigestSketch {
            durations: self.durations.sketch(),
            first_row: self.first_row.sketch(),
            transfer: self.transfer.sketch(),
        }
    }

    /// Its digest.
    pub(crate) fn digest(&self) -> u64 {
        self.statement.digest
    }

    /// Median duration in microseconds, 0 without samples.
    pub(crate) fn p50_us(&self) -> u64 {
        self.durations.at(0.5)
    }

    fn add_sqlstate(&mut self, sqlstate: [u8; 5]) {
        if let Some((_, count)) = self.sqlstates.iter_mut().find(|(known, _)| *known == sqlstate) {
            *count += 1;
        } else if self.sqlstates.len() < SQLSTATES_MAX {
            self.sqlstates.push((sqlstate, 1));
        }
    }

    fn add_source(&mut self, source: &Source<'_>, total_us: u64, sources_max: usize) {
        let route = source.route.map_or("", |route| route);
        let same = |row: &SourceRow| {
            row.user == *source.user
                && row.application_name == *source.application_name
                && &*row.route == route
        };
        if let Some(row) = self.sources.iter_mut().find(|row| same(row)) {
            row.calls += 1;
            row.total_us += total_us;
        } else if self.sources.len() < sources_max {
            self.sources.push(SourceRow {
                user: source.user.clone(),
                application_name: source.application_name.clone(),
                route: source.route.cloned().unwrap_or_else(|| Arc::from("")),
                calls: 1,
                total_us,
            });
        }
    }

    /// The row for the snapshot; recomputed only if something was counted since the last time.
    pub(crate) fn render(&mut self, database: &Arc<str>) -> DigestRow {
        if let Some(row) = &self.rendered {
            return row.clone();
        }
        let row = self.rendering(database);
        self.rendered = Some(row.clone());
        row
    }

    fn rendering(&self, database: &Arc<str>) -> DigestRow {
        let mut sqlstates = self.sqlstates.clone();
        sqlstates.sort_by_key(|(sqlstate, count)| (std::cmp::Reverse(*count), *sqlstate));
        let mut sources = self.sources.clone();
        sources.sort_by_key(|source| std::cmp::Reverse(source.calls));
        DigestRow {
            digest: self.statement.digest,
            database: database.clone(),
            query_id: None,
            summary: self.statement.summary.clone(),
            operation: self.statement.operation,
            query_text: self.statement.text.clone(),
            cut: self.statement.cut,
            parsed: self.statement.parsed,
            tables: self.statement.tables.clone(),
            totals: self.totals,
            latency: self.durations.summary(),
            first_row_p50_us: self.first_row.at(0.5),
            transfer_p50_us: self.transfer.at(0.5),
            buckets: self.durations.buckets(),
            sqlstates,
            sources,
            hygiene: self.hygiene,
            columns: self.columns.clone(),
            findings: Vec::new(),
            examples: self.examples.clone(),
            calls_per_unit_max: 1,
            first_seen_us: self.first_us,
            last_seen_us: self.last_us,
        }
    }
}
