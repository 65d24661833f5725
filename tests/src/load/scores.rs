//! What was found against what was planted.

use super::{Outcome, Truth};
use pgsonde_analyzer::finding::Kind;
use pgsonde_analyzer::snapshot::Snapshot;
use std::collections::BTreeMap;

/// One occurrence that a finding showed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Observed {
    /// What it says.
    pub says: Truth,
    /// Its n is known; of several between two snapshots only the latest one's is.
    pub n_known: bool,
    /// The gate that passed it.
    pub gate: &'static str,
}

/// Collects occurrences from snapshot to snapshot.
#[derive(Default)]
pub(super) struct Watch {
    sightings: BTreeMap<u64, u64>,
    pub(super) observed: Vec<Observed>,
}

impl Watch {
    pub(super) fn look(&mut self, snapshot: &Snapshot) {
        for finding in snapshot.findings.iter().filter(|f| f.kind == Kind::NPlusOne) {
            let before = self.sightings.insert(finding.id, finding.sightings).unwrap_or(0);
            let (Some(parent), Some(child)) = (&finding.parent, &finding.child) else { continue };
            let says = Truth {
                parent: parent.query_text.to_string(),
                field: parent.field,
                child: child.query_text.to_string(),
                n: finding.n.unwrap_or(0),
            };
            let new = finding.sightings - before;
            for nth in 1..=new {
                let n_known = nth == new;
                let gate = finding.gate.unwrap_or("");
                self.observed.push(Observed { says: says.clone(), n_known, gate });
            }
        }
    }
}

/// Whether a claim fits a planted loop, and what that says: the column is right, n is exact.
type Rule<'a> = (&'a dyn Fn(&Truth, &Observed) -> bool, bool, bool);

/// How well a stream was understood.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    /// Planted loops.
    pub planted: usize,
    /// Planted loops that were found.
    pub found: usize,
    /// Occurrences that were claimed.
    pub claimed: usize,
    /// Of the found ones: the column is right.
    pub column: usize,
    /// Found ones whose n is known.
    pub n_known: usize,
    /// Of these: n is exact.
    pub n_exact: usize,
}

impl Scores {
    /// Matches claims with planted loops by parent and child, then by column, then by n.
    pub fn of(outcome: &Outcome) -> Self {
        let mut planted: BTreeMap<(&str, &str), Vec<&Truth>> = BTreeMap::new();
        for truth in &outcome.truths {
            planted.entry((&truth.parent, &truth.child)).or_default().push(truth);
        }
        let mut scores = Self {
            planted: outcome.truths.len(),
            claimed: outcome.observed.len(),
            ..Self::default()
        };
        // Exact ones first, so that one with the wrong n doesn't take their place.
        let exact =
            |truth: &Truth, observed: &Observed| observed.n_known && *truth == observed.says;
        let column = |truth: &Truth, observed: &Observed| truth.field == observed.says.field;
        let any = |_: &Truth, _: &Observed| true;
        let mut left: Vec<&Observed> = outcome.observed.iter().collect();
        let rules: [Rule<'_>; 3] =
            [(&exact, true, true), (&column, true, false), (&any, false, false)];
        for (fits, column, exact) in rules {
            left.retain(|observed| {
                let key = (&*observed.says.parent, &*observed.says.child);
                let Some(truths) = planted.get_mut(&key) else { return true };
                let Some(at) = truths.iter().position(|truth| fits(truth, observed)) else {
                    return true;
                };
                truths.swap_remove(at);
                scores.found += 1;
                scores.column += usize::from(column);
                scores.n_known += usize::from(observed.n_known);
                scores.n_exact += usize::from(exact);
                false
            });
        }
        scores
    }

    /// The sums of both.
    pub fn and(self, other: Self) -> Self {
        Self {
            planted: self.planted + other.planted,
            found: self.found + other.found,
            claimed: self.claimed + other.claimed,
            column: self.column + other.column,
            n_known: self.n_known + other.n_known,
            n_exact: self.n_exact + other.n_exact,
        }
    }

    /// Found / planted.
    pub fn recall(&self) -> f64 {
        ratio(self.found, self.planted)
    }

    /// Found / claimed.
    pub fn precision(&self) -> f64 {
        ratio(self.found, self.claimed)
    }

    /// Right columns / found.
    pub fn columns_right(&self) -> f64 {
        ratio(self.column, self.found)
    }

    /// Exact n / known n.
    pub fn n_exact(&self) -> f64 {
        ratio(self.n_exact, self.n_known)
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
