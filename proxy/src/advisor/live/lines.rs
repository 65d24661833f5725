//! The traffic as lines of a workload: real texts with real values, as far as there are samples.

use super::decode;
use super::samples::{Origin, Samples};
use crate::advisor::values;
use crate::advisor::workload_file::Line;
use pgsonde_advisor::catalog::Catalog;
use pgsonde_analyzer::snapshot::{DigestRow, Operation, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Statements of one run: those under suspicion, then those with most time.
const STATEMENTS_MAX: usize = 100;

/// What one run looks at.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) origin: Origin,
    /// Executions seen by digest.
    seen: BTreeMap<u64, u64>,
    /// Executions of all origins of the database, by digest.
    all: BTreeMap<u64, u64>,
    /// Whether statements without samples count here.
    main: bool,
}

impl Target {
    /// Whether the statement belongs here.
    pub(super) fn serves(&self, digest: u64) -> bool {
        self.seen.contains_key(&digest) || self.main && !self.all.contains_key(&digest)
    }

    /// Of its executions in the database.
    fn share(&self, digest: u64) -> f64 {
        match (self.seen.get(&digest), self.all.get(&digest)) {
            (Some(seen), Some(all)) => *seen as f64 / (*all).max(1) as f64,
            _ => 1.0,
        }
    }
}

/// Databases, users and search paths with traffic, the busiest first.
pub(super) fn targets(samples: &Samples, snapshot: &Snapshot) -> Vec<Target> {
    let seen = samples.seen();
    let mut found: Vec<(u64, Target)> = Vec::new();
    let databases: BTreeSet<&Arc<str>> =
        snapshot.digests.iter().map(|row| &row.database).filter(|name| !name.is_empty()).collect();
    for database in databases {
        let mut own: Vec<(u64, Origin, BTreeMap<u64, u64>)> = seen
            .iter()
            .filter(|(origin, _)| origin.database == *database)
            .map(|(origin, counts)| (counts.values().sum(), origin.clone(), counts.clone()))
            .collect();
        own.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        if own.is_empty() {
            let (database, user) = (database.clone(), Arc::from(""));
            own.push((0, Origin { database, user, search_path: None }, BTreeMap::new()));
        }
        let mut all: BTreeMap<u64, u64> = BTreeMap::new();
        for (digest, count) in own.iter().flat_map(|(_, _, counts)| counts) {
            *all.entry(*digest).or_insert(0) += count;
        }
        for (at, (count, origin, seen)) in own.into_iter().enumerate() {
            found.push((count, Target { origin, seen, all: all.clone(), main: at == 0 }));
        }
    }
    found.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.origin.cmp(&other.1.origin)));
    found.into_iter().map(|(_, target)| target).collect()
}

/// The statements of a run, those under suspicion first.
pub(super) fn rows<'a>(
    target: &Target,
    snapshot: &'a Snapshot,
    suspected: &BTreeSet<u64>,
) -> Vec<&'a DigestRow> {
    let reads_or_writes = |row: &&DigestRow| {
        matches!(
            row.operation,
            Operation::Select | Operation::Insert | Operation::Update | Operation::Delete
        )
    };
    let mut rows: Vec<&DigestRow> = snapshot
        .digests
        .iter()
        .filter(|row| row.database == target.origin.database && target.serves(row.digest))
        .filter(reads_or_writes)
        .collect();
    rows.sort_by_key(|row| {
        let suspected = suspected.contains(&row.digest);
        (!suspected, std::cmp::Reverse(row.totals.phases.statement_us()), row.digest)
    });
    rows.truncate(STATEMENTS_MAX);
    rows
}

/// Their lines; a statement without samples as its redacted text with parameters.
pub(super) fn lines(
    target: &Target,
    rows: &[&DigestRow],
    samples: &Samples,
    catalog: &Catalog,
) -> Vec<Line> {
    let mut found = Vec::new();
    for row in rows {
        let calls = row.totals.calls as f64 * target.share(row.digest);
        let taken = samples.of(&target.origin, row.digest).unwrap_or_default();
        let mut real: Vec<(String, f64)> = Vec::new();
        for (sample, share) in taken.weighted() {
            let text = match sample.count {
                0 => Some(sample.text.to_string()),
                count => decode::literals(catalog, &sample.values, count)
                    .and_then(|values| values::replaced(&sample.text, &values)),
            };
            real.extend(text.map(|text| (text, share)));
        }
        if real.is_empty() && !row.cut {
            real.push((values::numbered(&row.query_text), 1.0));
        }
        let sum: f64 = real.iter().map(|(_, share)| share).sum();
        found.extend(
            real.into_iter().map(|(text, share)| Line {
                text,
                calls: calls * share / sum.max(f64::MIN_POSITIVE),
            }),
        );
    }
    found
}
