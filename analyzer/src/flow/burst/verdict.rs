//! Whether the executions after a parent are its burst.

use super::super::gate::{Evidence, common};
use super::super::judge::{Court, Occurrence, Source};
use super::super::order::{increasing_run, rank_correlation};
use super::entries::Entry;
use super::{Bursts, Parent};
use crate::digest::Statement;
use crate::limits::FlowLimits;
use crate::record::Micros;
use std::sync::Arc;

/// Values of a column that are tried before all of them are.
const TRIED_MAX: usize = 16;

/// One value of the parent in one execution.
struct Hit<'a> {
    digest: u64,
    slot: u16,
    begin_us: Micros,
    ordinal: u64,
    position: u16,
    entry: &'a Entry,
}

/// A burst that was proved.
pub(super) struct Verdict {
    pub(super) child: Arc<Statement>,
    pub(super) executions: Vec<u32>,
    slot: u16,
    column: usize,
    evidence: Evidence,
    values: Vec<u32>,
    first_us: Micros,
    last_us: Micros,
    busy_us: u64,
    service_p50_us: u64,
}

/// The conditions of the gate beyond the common ones.
pub(super) fn proves(evidence: &Evidence, limits: &FlowLimits) -> bool {
    evidence.used >= limits.burst_values_min
        && evidence.coverage() >= limits.burst_coverage_min_ratio
        && evidence.explained() >= limits.explained_min_ratio
        && evidence.repeats() <= limits.burst_repeat_max_ratio
        && (evidence.order >= limits.order_min_ratio || evidence.rank >= limits.burst_rank_min)
}

impl Parent {
    /// Whether no scope and no other trace binds the execution, and it lies in the window.
    fn may_lead_to(&self, entry: &Entry, window_us: u64) -> bool {
        let same_client = entry.client == self.client && entry.database == self.database;
        let same_transaction = self.transaction != 0
            && entry.session == self.session
            && entry.transaction == self.transaction;
        let traced = self.trace.is_some() && entry.trace.is_some();
        let window = self.end_us..=self.end_us.saturating_add(window_us);
        same_client
            && !same_transaction
            && !traced
            && entry.statement.digest != self.statement.digest
            && window.contains(&entry.begin_us)
    }
}

impl Bursts {
    /// What the executions after a parent prove, the best column for each child first.
    pub(super) fn verdicts(&self, parent: &Parent, court: Court<'_>) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for column in 0..parent.columns.len() {
            let mut hits = self.hits(parent, column);
            hits.sort_unstable_by_key(|h| (h.digest, h.slot, h.begin_us, h.ordinal, h.position));
            let groups = hits.chunk_by(|a, b| (a.digest, a.slot) == (b.digest, b.slot));
            verdicts.extend(groups.filter_map(|hits| self.verdict(parent, column, hits, court)));
        }
        let rank = |v: &Verdict| (v.evidence.hits as f64, v.evidence.order, v.evidence.coverage());
        verdicts.sort_by(|a, b| {
            let (a, b) = (rank(a), rank(b));
            b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)).then(b.2.total_cmp(&a.2))
        });
        verdicts
    }

    fn hits<'a>(&'a self, parent: &Parent, column: usize) -> Vec<Hit<'a>> {
        let values = parent.columns[column].values();
        let window_us = self.limits.burst_window_us;
        let follows = |hash: &u32| {
            self.entries.with_value(*hash).any(|(.., entry)| parent.may_lead_to(entry, window_us))
        };
        let tried = &values[..values.len().min(TRIED_MAX)];
        if tried.iter().filter(|hash| follows(hash)).count() * 2 < tried.len() {
            return Vec::new();
        }
        let mut hits = Vec::new();
        for (position, hash) in values.iter().enumerate() {
            let with = self.entries.with_value(*hash);
            let with = with.filter(|(.., entry)| parent.may_lead_to(entry, window_us));
            hits.extend(with.map(|(ordinal, slot, entry)| Hit {
                digest: entry.statement.digest,
                slot,
                begin_us: entry.begin_us,
                ordinal,
                position: position as u16,
                entry,
            }));
        }
        hits
    }

    fn verdict(
        &self,
        parent: &Parent,
        column: usize,
        hits: &[Hit<'_>],
        court: Court<'_>,
    ) -> Option<Verdict> {
        let mut positions: Vec<u16> = hits.iter().map(|hit| hit.position).collect();
        positions.sort_unstable();
        positions.dedup();
        let values = parent.columns[column].values();
        let limits = court.limits;
        if (positions.len() as f64) < limits.burst_coverage_min_ratio * values.len() as f64 {
            return None;
        }
        let mut firsts: Vec<&Hit<'_>> = hits.iter().collect();
        firsts.dedup_by_key(|hit| hit.ordinal);
        let (first, last) = (firsts.first()?, firsts.last()?);
        let order = || firsts.iter().map(|hit| hit.position);
        let hits_count = firsts.len() as u64;
        let evidence = Evidence {
            rows: parent.rows,
            kept: values.len(),
            used: positions.len(),
            hits: hits_count,
            executions: self.executions(parent, first.digest, last.begin_us),
            order: increasing_run(order()) as f64 / hits_count as f64,
            rank: rank_correlation(order()),
        };
        let kept = evidence.kept;
        let guard = court.domains.values_min(parent.database, first.digest, first.slot, kept);
        let proved = common(&evidence, limits)
            && proves(&evidence, limits)
            && guard.is_none_or(|min| evidence.used >= min);
        let used = positions.iter().filter_map(|at| values.get(usize::from(*at)));
        proved.then(|| Verdict {
            child: first.entry.statement.clone(),
            executions: firsts.iter().map(|hit| hit.entry.execution).collect(),
            slot: first.slot,
            column,
            evidence,
            values: used.copied().collect(),
            first_us: first.begin_us,
            last_us: firsts.iter().map(|hit| hit.entry.end_us).max().unwrap_or(0),
            busy_us: busy_us(&firsts),
            service_p50_us: service_p50_us(&firsts),
        })
    }

    /// All executions of a digest by the client, from the parent's end to the last explained one.
    fn executions(&self, parent: &Parent, digest: u64, last_us: Micros) -> u64 {
        let of_client = |entry: &&Entry| {
            entry.client == parent.client
                && entry.database == parent.database
                && (parent.end_us..=last_us).contains(&entry.begin_us)
        };
        self.entries.of_digest(digest).filter(of_client).count() as u64
    }

    /// Whether another result, nearer to the children, holds their values too.
    pub(super) fn a_later_parent_explains(&self, parent: &Parent, verdict: &Verdict) -> bool {
        let nearer = |other: &&Parent| {
            other.client == parent.client
                && other.database == parent.database
                && (parent.end_us..=verdict.first_us).contains(&other.end_us)
                && other.statement.digest != verdict.child.digest
        };
        self.parents.iter().filter(nearer).any(|other| {
            other.columns.iter().any(|column| {
                let held = verdict.values.iter().filter(|hash| column.find(**hash).is_some());
                held.count() as f64
                    >= self.limits.burst_coverage_min_ratio * verdict.values.len() as f64
            })
        })
    }
}

/// Union of the times that the children took.
fn busy_us(hits: &[&Hit<'_>]) -> u64 {
    let mut until_us = 0;
    let mut busy_us = 0;
    for hit in hits {
        let entry = hit.entry;
        if let Some(us) = entry.service_us {
            busy_us += us.min(entry.end_us.saturating_sub(until_us.max(entry.begin_us)));
        }
        until_us = until_us.max(entry.end_us);
    }
    busy_us
}

fn service_p50_us(hits: &[&Hit<'_>]) -> u64 {
    let services: Vec<u64> = hits.iter().filter_map(|hit| hit.entry.service_us).collect();
    if services.is_empty() { 0 } else { crate::latency::median(&services) }
}

impl Verdict {
    pub(super) fn occurrence(self, parent: &Parent) -> Occurrence {
        let column = &parent.columns[self.column];
        Occurrence {
            database: parent.database,
            gate: "burst",
            parent: Source {
                statement: parent.statement.clone(),
                field: column.field,
                table_oid: column.table_oid,
                attnum: column.attnum,
            },
            child: self.child,
            slot: self.slot,
            sender: parent.sender.clone(),
            evidence: self.evidence,
            rtt_us: parent.rtt_us,
            service_p50_us: self.service_p50_us,
            busy_us: self.busy_us,
            session: parent.session,
            at_us: parent.end_us,
            last_us: self.last_us,
            wall_us: self.last_us.saturating_sub(self.first_us),
            alternatives: Vec::new(),
            nesting: None,
            returned: false,
            commit_between: false,
            in_progress: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_at_its_limit() {
        let limits = FlowLimits::default();
        let good = Evidence {
            rows: 10,
            kept: 10,
            used: 10,
            hits: 11,
            executions: 13,
            order: 0.6,
            rank: 0.0,
        };
        let unordered = Evidence { order: 0.5, ..good };
        for (name, evidence, holds) in [
            ("at the limits", good, true),
            ("seven values", Evidence { kept: 8, used: 7, hits: 7, executions: 7, ..good }, false),
            ("not covered", Evidence { kept: 13, ..good }, false),
            ("not explained", Evidence { executions: 14, ..good }, false),
            ("repeated", Evidence { hits: 12, ..good }, false),
            ("out of order", unordered, false),
            ("out of order, but of the same tendency", Evidence { rank: 0.8, ..unordered }, true),
            ("hardly of the same tendency", Evidence { rank: 0.79, ..unordered }, false),
        ] {
            assert_eq!(proves(&evidence, &limits), holds, "{name}");
        }
    }
}
