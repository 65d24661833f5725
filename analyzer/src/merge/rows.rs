//! How each kind of row adds up.

use super::{DigestSketch, Name, RouteSketch};
use crate::latency::Sketch;
use crate::snapshot::{
    Books, Buckets, ColumnBytes, DigestRow, ErrorRow, MarkRow, NPlusOneRow, Operation, PairRow,
    RouteRow, SetRow, SourceRow, TrafficRow, TransactionRow, UnitRow,
};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// SQLSTATEs told apart per digest.
const SQLSTATES_MAX: usize = 32;
/// Sources told apart per digest.
const SOURCES_MAX: usize = 64;
/// Columns told apart per digest.
const COLUMNS_MAX: usize = 256;

impl<const N: usize> Buckets<N> {
    /// Adds every bucket of `more`.
    pub fn add(&mut self, more: &Self) {
        self.counts.iter_mut().zip(more.counts).for_each(|(sum, count)| *sum += count);
        self.above += more.above;
        self.sum += more.sum;
    }
}

/// One digest in one database.
#[derive(Debug, Default)]
pub(super) struct Digest {
    pub(super) row: DigestRow,
    sketch: DigestSketch,
    known: bool,
}

impl Digest {
    pub(super) fn add(&mut self, mut more: DigestRow, sketch: &DigestSketch, started_us: u64) {
        more.first_seen_us = more.first_seen_us.saturating_add(started_us);
        more.last_seen_us = more.last_seen_us.saturating_add(started_us);
        self.sketch.add(sketch);
        if !std::mem::replace(&mut self.known, true) {
            self.row = DigestRow { findings: Vec::new(), examples: None, ..more };
            return;
        }
        let row = &mut self.row;
        // The texts of one digest may differ in what doesn't matter; which one is shown may not depend on the order.
        let rank = |row: &DigestRow| (Reverse(row.parsed), row.cut, row.query_text.clone());
        if rank(&more) < rank(row) {
            row.parsed = more.parsed;
            row.cut = more.cut;
            row.query_text = more.query_text.clone();
            row.summary = more.summary.clone();
            row.operation = more.operation;
            row.tables.clone_from(&more.tables);
        }
        // Servers number their statements each for itself.
        row.query_id = row.query_id.filter(|id| more.query_id == Some(*id));
        row.totals.add(&more.totals);
        row.buckets.iter_mut().zip(more.buckets).for_each(|(sum, count)| *sum += count);
        row.hygiene.add(&more.hygiene);
        row.calls_per_unit_max = row.calls_per_unit_max.max(more.calls_per_unit_max);
        row.first_seen_us = row.first_seen_us.min(more.first_seen_us);
        row.last_seen_us = row.last_seen_us.max(more.last_seen_us);
        add_sqlstates(&mut row.sqlstates, &more.sqlstates);
        add_sources(&mut row.sources, more.sources);
        add_columns(&mut row.columns, more.columns);
    }

    fn finish(mut self, origin_us: u64) -> DigestRow {
        let row = &mut self.row;
        row.latency = self.sketch.durations.summary();
        row.first_row_p50_us = self.sketch.first_row.at(0.5);
        row.transfer_p50_us = self.sketch.transfer.at(0.5);
        row.first_seen_us = row.first_seen_us.saturating_sub(origin_us);
        row.last_seen_us = row.last_seen_us.saturating_sub(origin_us);
        row.sqlstates.sort_by_key(|(state, count)| (Reverse(*count), *state));
        row.sources.sort_by(|a, b| {
            let key = |row: &SourceRow| (Reverse(row.calls), Reverse(row.total_us));
            let name = |row: &SourceRow| {
                (row.user.clone(), row.application_name.clone(), row.route.clone())
            };
            key(a).cmp(&key(b)).then_with(|| name(a).cmp(&name(b)))
        });
        row.columns.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        self.row
    }
}

fn add_sqlstates(sum: &mut Vec<([u8; 5], u64)>, more: &[([u8; 5], u64)]) {
    for state in more {
        fold(sum, *state, SQLSTATES_MAX, |a, b| a.0 == b.0, |known, more| known.1 += more.1);
    }
}

fn add_sources(sum: &mut Vec<SourceRow>, more: Vec<SourceRow>) {
    let same = |a: &SourceRow, b: &SourceRow| {
        (&a.user, &a.application_name, &a.route) == (&b.user, &b.application_name, &b.route)
    };
    for row in more {
        fold(sum, row, SOURCES_MAX, same, |known, more| {
            known.calls += more.calls;
            known.total_us += more.total_us;
        });
    }
}

fn add_columns(sum: &mut Vec<ColumnBytes>, more: Vec<ColumnBytes>) {
    for column in more {
        fold(
            sum,
            column,
            COLUMNS_MAX,
            |a, b| a.name == b.name,
            |known, more| {
                known.bytes += more.bytes;
            },
        );
    }
}

/// Adds to the element that is the same, or as a new one if there is room.
pub(super) fn fold<T>(
    sum: &mut Vec<T>,
    more: T,
    max: usize,
    same: impl Fn(&T, &T) -> bool,
    add: impl Fn(&mut T, T),
) {
    match sum.iter().position(|known| same(known, &more)) {
        Some(at) => add(&mut sum[at], more),
        None if sum.len() < max => sum.push(more),
        None => {}
    }
}

/// All digests, costliest first.
pub(super) fn finish_digests(
    digests: BTreeMap<(u64, Name), Digest>,
    origin_us: u64,
) -> Vec<DigestRow> {
    let mut rows: Vec<DigestRow> =
        digests.into_values().map(|digest| digest.finish(origin_us)).collect();
    rows.sort_by(|a, b| {
        let cost = |row: &DigestRow| (row.totals.phases.statement_us(), row.totals.calls);
        cost(b).cmp(&cost(a)).then_with(|| (&a.database, a.digest).cmp(&(&b.database, b.digest)))
    });
    rows
}

/// One route.
#[derive(Debug, Default)]
pub(super) struct Route {
    row: RouteRow,
    sketch: RouteSketch,
    /// Units of the proxy that the typical one comes from.
    typical_of: u64,
    typical: Option<UnitRow>,
    worst: Option<UnitRow>,
}

impl Route {
    pub(super) fn add(
        &mut self,
        more: &RouteRow,
        sketch: &RouteSketch,
        [typical, worst]: [Option<&UnitRow>; 2],
        started_us: u64,
    ) {
        self.row.service = more.service.clone();
        self.row.route = more.route.clone();
        self.row.add(more);
        self.sketch.statements.add(&sketch.statements);
        self.sketch.database_us.add(&sketch.database_us);
        let (largest, other) = (&mut self.row.largest, &more.largest);
        largest.statements = largest.statements.max(other.statements);
        largest.duplicate = largest.duplicate.max(other.duplicate);
        largest.rows = largest.rows.max(other.rows);
        largest.sent_bytes = largest.sent_bytes.max(other.sent_bytes);
        largest.database_us = largest.database_us.max(other.database_us);
        let rank = |unit: &UnitRow| (unit.database_us, unit.begin_us, unit.id);
        if let Some(unit) = typical.map(|unit| moved(unit, started_us)) {
            let known = self.typical.as_ref().map(|known| (self.typical_of, rank(known)));
            if known.is_none_or(|known| known < (more.units, rank(&unit))) {
                self.typical_of = more.units;
                self.typical = Some(unit);
            }
        }
        if let Some(unit) = worst.map(|unit| moved(unit, started_us))
            && self.worst.as_ref().is_none_or(|known| rank(known) < rank(&unit))
        {
            self.worst = Some(unit);
        }
    }

    fn finish(mut self, origin_us: u64, units: &mut Vec<Arc<UnitRow>>) -> RouteRow {
        let row = &mut self.row;
        row.statements_p50 = self.sketch.statements.at(0.5);
        row.statements_p95 = self.sketch.statements.at(0.95);
        row.database_p50_us = self.sketch.database_us.at(0.5);
        row.database_p95_us = self.sketch.database_us.at(0.95);
        row.typical_unit = self.typical.as_ref().map(|unit| unit.id);
        row.worst_unit = self.worst.as_ref().map(|unit| unit.id);
        for mut unit in self.typical.into_iter().chain(self.worst) {
            unit.begin_us = unit.begin_us.saturating_sub(origin_us);
            units.push(Arc::new(unit));
        }
        self.row
    }
}

/// A unit on the clock of the world. Proxies number their units by themselves, so the number takes in the start.
fn moved(unit: &UnitRow, started_us: u64) -> UnitRow {
    UnitRow {
        id: unit.id ^ started_us.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        begin_us: unit.begin_us.saturating_add(started_us),
        ..unit.clone()
    }
}

/// All routes and the units that are kept.
pub(super) fn finish_routes(
    routes: BTreeMap<(Name, Name), Route>,
    origin_us: u64,
) -> (Vec<RouteRow>, Vec<Arc<UnitRow>>) {
    let mut units = Vec::new();
    let rows = routes.into_values().map(|route| route.finish(origin_us, &mut units)).collect();
    units.sort_by_key(|unit| unit.id);
    units.dedup_by_key(|unit| unit.id);
    (rows, units)
}

/// What ran under one mark.
#[derive(Debug, Default)]
pub(super) struct Mark {
    row: MarkRow,
    sketch: Sketch,
}

impl Mark {
    pub(super) fn add(&mut self, more: &MarkRow, sketch: &Sketch) {
        let row = &mut self.row;
        row.units += more.units;
        row.statements += more.statements;
        row.errors += more.errors;
        row.duplicates += more.duplicates;
        row.n_plus_one += more.n_plus_one;
        row.rows += more.rows;
        row.sent_bytes += more.sent_bytes;
        row.database_us += more.database_us;
        row.timed += more.timed;
        self.sketch.add(sketch);
    }

    pub(super) fn finish(self, name: Name) -> MarkRow {
        MarkRow { mark: name, p95_us: self.sketch.at(0.95), ..self.row }
    }
}

pub(super) fn add_books(sum: &mut Books, more: &Books) {
    sum.statements += more.statements;
    sum.exact += more.exact;
    sum.bound += more.bound;
    sum.batch_members += more.batch_members;
    sum.empty += more.empty;
    sum.aborted += more.aborted;
    sum.untracked += more.untracked;
    sum.other += more.other;
    sum.skipped += more.skipped;
}

fn add_all<const N: usize>(sum: &mut [u64; N], more: &[u64; N]) {
    sum.iter_mut().zip(more).for_each(|(sum, count)| *sum += count);
}

pub(super) fn add_pair(sum: &mut PairRow, more: &PairRow) {
    sum.phases.add(&more.phases);
    add_all(&mut sum.transactions, &more.transactions);
    sum.transaction_duration.add(&more.transaction_duration);
    add_all(&mut sum.prepares, &more.prepares);
}

pub(super) fn add_set(sum: &mut SetRow, more: &SetRow) {
    add_all(&mut sum.outcomes, &more.outcomes);
    sum.rows += more.rows;
    sum.duration.add(&more.duration);
}

pub(super) fn add_traffic(sum: &mut TrafficRow, more: &TrafficRow) {
    sum.client_received += more.client_received;
    sum.client_sent += more.client_sent;
    sum.server_received += more.server_received;
    sum.server_sent += more.server_sent;
}

pub(super) fn add_transaction(sum: &mut TransactionRow, more: &TransactionRow) {
    if sum.digests.is_empty() {
        sum.digests.clone_from(&more.digests);
    }
    sum.count += more.count;
    sum.statements += more.statements;
    sum.total_us += more.total_us;
    sum.busy_us += more.busy_us;
    sum.think_us += more.think_us;
}

pub(super) fn add_n_plus_one(sum: &mut NPlusOneRow, more: &NPlusOneRow) {
    sum.bursts += more.bursts;
    sum.statements += more.statements;
    sum.busy_us += more.busy_us;
}

pub(super) fn finish_transactions(
    rows: BTreeMap<(u64, Name, Name), TransactionRow>,
) -> Vec<TransactionRow> {
    let named = rows.into_iter().map(|((shape, database, service), row)| TransactionRow {
        shape,
        database,
        service,
        ..row
    });
    let mut rows: Vec<TransactionRow> = named.collect();
    // Stable: equal sums stay in the order of shape, database and service.
    rows.sort_by_key(|row| Reverse(row.total_us));
    rows
}

pub(super) fn named_pairs(rows: BTreeMap<(Name, Name), PairRow>) -> Vec<PairRow> {
    let named = |((database, service), row)| PairRow { database, service, ..row };
    rows.into_iter().map(named).collect()
}

pub(super) fn named_sets(rows: BTreeMap<(Name, Name, Operation), SetRow>) -> Vec<SetRow> {
    let named =
        |((database, service, operation), row)| SetRow { database, service, operation, ..row };
    rows.into_iter().map(named).collect()
}

pub(super) fn named_errors(rows: BTreeMap<(Name, Name, Name), ErrorRow>) -> Vec<ErrorRow> {
    let named = |((database, service, class), row)| ErrorRow { database, service, class, ..row };
    rows.into_iter().map(named).collect()
}

pub(super) fn named_traffic(rows: BTreeMap<Name, TrafficRow>) -> Vec<TrafficRow> {
    rows.into_iter().map(|(database, row)| TrafficRow { database, ..row }).collect()
}

pub(super) fn named_n_plus_one(rows: BTreeMap<Name, NPlusOneRow>) -> Vec<NPlusOneRow> {
    rows.into_iter().map(|(service, row)| NPlusOneRow { service, ..row }).collect()
}
