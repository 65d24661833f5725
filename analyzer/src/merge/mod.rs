//! Many proxies as one: snapshots with their distributions, added up one after another.
//!
//! Sums, buckets and distributions add exactly: a quantile of the sum is the quantile that one analyzer would have given
//! that had seen everything. What is no sum (the typical unit of a route, the median n of a finding) is taken from the
//! proxy that saw most of it. Memory is
//! bounded by the tables' limits; below them the result doesn't depend on the order.

mod findings;
mod rows;

use crate::latency::{DurationSketch, Sketch};
use crate::snapshot::{
    Books, DigestRow, DigestTotals, ErrorRow, Operation, PairRow, Phases, RouteRow, SetRow,
    Snapshot, TrafficRow, TransactionRow, UnitRow,
};
use findings::Findings;
use rows::{Digest, Mark, Route};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Digests that a merge tells apart; the cheapest beyond go to `other`.
pub const MERGED_DIGESTS_MAX: usize = 50_000;
/// Rows of each other table; what comes beyond is counted as overflow.
pub const MERGED_ROWS_MAX: usize = 20_000;

/// The distributions behind a digest's row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DigestSketch {
    /// Durations of exactly timed executions.
    pub durations: DurationSketch,
    /// Times to the first row.
    pub first_row: Sketch,
    /// Transfer times.
    pub transfer: Sketch,
}

impl DigestSketch {
    fn add(&mut self, more: &Self) {
        self.durations.add(&more.durations);
        self.first_row.add(&more.first_row);
        self.transfer.add(&more.transfer);
    }
}

/// The distributions behind a route's row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteSketch {
    /// Statements of a unit.
    pub statements: Sketch,
    /// Time of a unit in the database, in microseconds.
    pub database_us: Sketch,
}

/// A snapshot and the distributions behind it, each list in the order of the rows.
#[derive(Clone, Debug, Default)]
pub struct Sketched {
    /// The frozen image.
    pub snapshot: Snapshot,
    /// Of all exactly timed statements.
    pub all: DurationSketch,
    /// Of the digests.
    pub digests: Vec<DigestSketch>,
    /// Of the routes.
    pub routes: Vec<RouteSketch>,
    /// Of the marks: durations of statements.
    pub marks: Vec<Sketch>,
}

/// A name that several tables use.
type Name = Arc<str>;

/// The sum so far; moments are in microseconds since 1970.
#[derive(Debug, Default)]
pub struct Merge {
    proxies: u64,
    origin_us: Option<u64>,
    end_us: u64,
    books: Books,
    all: DurationSketch,
    phases: Phases,
    digests: BTreeMap<(u64, Name), Digest>,
    other: DigestTotals,
    indivisible: DigestTotals,
    pairs: BTreeMap<(Name, Name), PairRow>,
    sets: BTreeMap<(Name, Name, Operation), SetRow>,
    errors: BTreeMap<(Name, Name, Name), ErrorRow>,
    traffic: BTreeMap<Name, TrafficRow>,
    routes: BTreeMap<(Name, Name), Route>,
    transactions: BTreeMap<(u64, Name, Name), TransactionRow>,
    transactions_other: TransactionRow,
    marks: BTreeMap<Name, Mark>,
    unit_statements: BTreeMap<Name, crate::snapshot::Buckets<10>>,
    n_plus_one: BTreeMap<Name, crate::snapshot::NPlusOneRow>,
    findings: Findings,
    findings_opened: BTreeMap<crate::finding::Kind, u64>,
    overflow: BTreeMap<&'static str, u64>,
    overflowed: u64,
    idle_in_transaction_max_us: u64,
    sessions_open: usize,
    sessions_seen: u64,
    sessions_opaque: u64,
}

impl Merge {
    /// Adds what one proxy knows that started at `started_us`, in microseconds since 1970.
    pub fn add(&mut self, one: Sketched, started_us: u64) {
        let Sketched { mut snapshot, all, digests, routes, marks } = one;
        self.proxies += 1;
        self.origin_us = Some(self.origin_us.map_or(started_us, |origin| origin.min(started_us)));
        self.end_us = self.end_us.max(started_us.saturating_add(snapshot.at_us));
        self.all.add(&all);
        rows::add_books(&mut self.books, &snapshot.books);
        self.phases.add(&snapshot.phases);
        self.other.add(&snapshot.other);
        self.indivisible.add(&snapshot.indivisible_batches);
        let rows = std::mem::take(&mut snapshot.digests).into_iter();
        for (row, sketch) in rows.zip(digests) {
            self.digest(row, &sketch, started_us);
        }
        self.thin();
        let units: BTreeMap<u64, Arc<UnitRow>> =
            snapshot.units.iter().map(|unit| (unit.id, unit.clone())).collect();
        for (row, sketch) in snapshot.routes.iter().zip(routes) {
            self.route(row, &sketch, &units, started_us);
        }
        for (row, sketch) in snapshot.marks.iter().zip(marks) {
            if let Some(mark) = room(&mut self.marks, row.mark.clone(), &mut self.overflowed) {
                mark.add(row, &sketch);
            }
        }
        self.labels(&snapshot);
        self.scalars(&snapshot);
        for finding in snapshot.findings {
            self.findings.add(finding, started_us, &mut self.overflowed);
        }
    }

    fn digest(&mut self, row: DigestRow, sketch: &DigestSketch, started_us: u64) {
        let key = (row.digest, row.database.clone());
        self.digests.entry(key).or_default().add(row, sketch, started_us);
    }

    /// The cheapest digests go to `other` where there are too many.
    fn thin(&mut self) {
        let excess = self.digests.len().saturating_sub(MERGED_DIGESTS_MAX);
        if excess == 0 {
            return;
        }
        let cost = |digest: &Digest| digest.row.totals.phases.statement_us();
        let mut costs: Vec<_> =
            self.digests.iter().map(|(key, digest)| (cost(digest), key.clone())).collect();
        costs.sort_unstable();
        for (_, key) in costs.into_iter().take(excess) {
            if let Some(gone) = self.digests.remove(&key) {
                self.books.other += gone.row.totals.calls;
                self.other.add(&gone.row.totals);
                *self.overflow.entry("digests").or_default() += gone.row.totals.calls;
            }
        }
    }

    fn route(
        &mut self,
        row: &RouteRow,
        sketch: &RouteSketch,
        units: &BTreeMap<u64, Arc<UnitRow>>,
        started_us: u64,
    ) {
        let key = (row.service.clone(), row.route.clone());
        if let Some(route) = room(&mut self.routes, key, &mut self.overflowed) {
            let unit = |id: Option<u64>| id.and_then(|id| units.get(&id)).map(|unit| &**unit);
            route.add(row, sketch, [unit(row.typical_unit), unit(row.worst_unit)], started_us);
        }
    }

    fn labels(&mut self, snapshot: &Snapshot) {
        let lost = &mut self.overflowed;
        for row in &snapshot.pairs {
            let key = (row.database.clone(), row.service.clone());
            room(&mut self.pairs, key, lost).into_iter().for_each(|sum| rows::add_pair(sum, row));
        }
        for row in &snapshot.sets {
            let key = (row.database.clone(), row.service.clone(), row.operation);
            room(&mut self.sets, key, lost).into_iter().for_each(|sum| rows::add_set(sum, row));
        }
        for row in &snapshot.errors {
            let key = (row.database.clone(), row.service.clone(), row.class.clone());
            room(&mut self.errors, key, lost).into_iter().for_each(|sum| sum.count += row.count);
        }
        for row in &snapshot.traffic {
            let key = row.database.clone();
            room(&mut self.traffic, key, lost)
                .into_iter()
                .for_each(|sum| rows::add_traffic(sum, row));
        }
        for row in &snapshot.transactions {
            let key = (row.shape, row.database.clone(), row.service.clone());
            let sum = room(&mut self.transactions, key, lost);
            rows::add_transaction(sum.unwrap_or(&mut self.transactions_other), row);
        }
        rows::add_transaction(&mut self.transactions_other, &snapshot.transactions_other);
        for (service, buckets) in &snapshot.unit_statements {
            room(&mut self.unit_statements, service.clone(), lost)
                .into_iter()
                .for_each(|sum| sum.add(buckets));
        }
        for row in &snapshot.n_plus_one {
            room(&mut self.n_plus_one, row.service.clone(), lost)
                .into_iter()
                .for_each(|sum| rows::add_n_plus_one(sum, row));
        }
    }

    fn scalars(&mut self, snapshot: &Snapshot) {
        for (kind, opened) in &snapshot.findings_opened {
            *self.findings_opened.entry(*kind).or_default() += opened;
        }
        for (table, count) in &snapshot.overflow {
            *self.overflow.entry(table).or_default() += count;
        }
        self.idle_in_transaction_max_us =
            self.idle_in_transaction_max_us.max(snapshot.idle_in_transaction_max_us);
        self.sessions_open += snapshot.sessions_open;
        self.sessions_seen += snapshot.sessions_seen;
        self.sessions_opaque += snapshot.sessions_opaque;
    }

    /// Proxies added so far.
    pub fn proxies(&self) -> u64 {
        self.proxies
    }

    /// The sum as one snapshot, and its microsecond 0 in microseconds since 1970. It has no history and no sessions.
    pub fn finish(mut self) -> (Snapshot, u64) {
        let origin_us = self.origin_us.unwrap_or(0);
        *self.overflow.entry("merged_rows").or_default() += self.overflowed;
        let (routes, units) = rows::finish_routes(self.routes, origin_us);
        let digests = rows::finish_digests(self.digests, origin_us);
        let mut snapshot = Snapshot {
            at_us: self.end_us.saturating_sub(origin_us),
            books: self.books,
            latency: self.all.summary(),
            phases: self.phases,
            digests_tracked: digests.len(),
            digests_max: MERGED_DIGESTS_MAX,
            digests,
            other: self.other,
            indivisible_batches: self.indivisible,
            pairs: rows::named_pairs(self.pairs),
            sets: rows::named_sets(self.sets),
            errors: rows::named_errors(self.errors),
            traffic: rows::named_traffic(self.traffic),
            routes,
            units,
            transactions: rows::finish_transactions(self.transactions),
            transactions_other: self.transactions_other,
            marks: self.marks.into_iter().map(|(name, mark)| mark.finish(name)).collect(),
            idle_in_transaction_max_us: self.idle_in_transaction_max_us,
            unit_statements: self.unit_statements.into_iter().collect(),
            findings_opened: self.findings_opened.into_iter().collect(),
            n_plus_one: rows::named_n_plus_one(self.n_plus_one),
            overflow: self.overflow.into_iter().filter(|(_, count)| *count > 0).collect(),
            sessions_open: self.sessions_open,
            sessions_seen: self.sessions_seen,
            sessions_opaque: self.sessions_opaque,
            ..Snapshot::default()
        };
        snapshot.adopt_findings(self.findings.finish(origin_us, self.proxies));
        (snapshot, origin_us)
    }
}

/// The row of a key; nothing where the table is full.
fn room<'a, K: Ord, R: Default>(
    table: &'a mut BTreeMap<K, R>,
    key: K,
    overflowed: &mut u64,
) -> Option<&'a mut R> {
    if table.len() >= MERGED_ROWS_MAX && !table.contains_key(&key) {
        *overflowed += 1;
        return None;
    }
    Some(table.entry(key).or_default())
}

#[cfg(test)]
mod tests;
