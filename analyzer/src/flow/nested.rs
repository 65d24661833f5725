//! M x N + 1: the rows of many results, each itself the answer to one value of a root, are looked up one by one.

use super::candidate::Candidate;
use super::gate::{CHAIN, Evidence};
use super::held::{Held, HeldId};
use crate::limits::FlowLimits;

/// The measures of a level.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Nesting {
    /// The result that the level hangs under.
    pub(crate) root: Option<HeldId>,
    /// Digest of that result, where it is still held.
    pub(crate) root_digest: Option<u64>,
    /// Results whose rows were looked up.
    pub(crate) leaves: usize,
    /// (result, row) pairs looked up.
    pub(crate) pairs: usize,
    /// Distinct values among them.
    values: usize,
    /// Rows of the largest of these results.
    leaf_rows_max: u64,
}

impl Nesting {
    /// Measures a level; its coverage is that of distinct values, because a value may stand in many leaves.
    pub(super) fn of(
        held: &Held,
        candidate: &Candidate,
        leaves: &[usize],
        evidence: &mut Evidence,
    ) -> Self {
        let column = held.columns[candidate.column].values();
        let used = candidate.used_positions().filter_map(|at| column.get(usize::from(at)));
        let values = distinct(used.copied());
        let of_leaf = |leaf: &usize| held.leaves.get(*leaf).map(|leaf| leaf.rows);
        let nesting = Self {
            root: held.root,
            root_digest: None,
            leaves: leaves.len(),
            pairs: candidate.used(),
            values,
            leaf_rows_max: leaves.iter().filter_map(of_leaf).max().unwrap_or(0),
        };
        // Leaves before the first and after the last that was looked at belong to other requests.
        let (first, last) = (leaves.first().copied(), leaves.last().copied());
        let span = first.unwrap_or(0)..=last.unwrap_or(0);
        let kept = &column[held.leaf_positions(candidate.column, span)];
        let kept = distinct(kept.iter().copied());
        evidence.kept = evidence.used + kept.saturating_sub(values);
        nesting
    }

    /// (result, row) pairs per result.
    pub(crate) fn pairs_per_leaf(&self) -> f64 {
        self.pairs as f64 / self.leaves.max(1) as f64
    }
}

fn distinct(values: impl Iterator<Item = u32>) -> usize {
    let mut values: Vec<u32> = values.collect();
    values.sort_unstable();
    values.dedup();
    values.len()
}

/// What a level has to show besides the conditions of its gate.
pub(super) fn proves_nested(
    nesting: &Nesting,
    evidence: &Evidence,
    gate: usize,
    limits: &FlowLimits,
) -> bool {
    let (values_min, executions_min) =
        (2 * limits.distinct_values_min, 2 * limits.executions_min as u64);
    let chain = gate != CHAIN
        || (nesting.leaves >= limits.nested_leaves_min
            && nesting.leaf_rows_max <= limits.nested_leaf_rows_max);
    let values = if gate == CHAIN { nesting.pairs } else { nesting.values };
    values >= values_min
        && evidence.hits >= executions_min
        && nesting.pairs_per_leaf() > limits.nested_pairs_per_leaf_min_ratio
        && chain
}

#[cfg(test)]
mod tests {
    use super::super::gate::SCOPE;
    use super::*;

    #[test]
    fn every_condition_at_its_limit() {
        let limits = FlowLimits::default();
        let good = Nesting {
            root: Some(1),
            root_digest: None,
            leaves: 3,
            pairs: 10,
            values: 10,
            leaf_rows_max: 50,
        };
        let ten = Evidence { hits: 10, used: 10, ..Evidence::default() };
        for (name, nesting, hits, chain, scope) in [
            ("at the limits", good.clone(), 10, true, true),
            ("nine executions", good.clone(), 9, false, false),
            ("nine pairs", Nesting { pairs: 9, values: 9, ..good.clone() }, 10, false, false),
            ("ten pairs, nine values", Nesting { values: 9, ..good.clone() }, 10, true, false),
            ("two leaves", Nesting { leaves: 2, ..good.clone() }, 10, false, true),
            ("a leaf of 51 rows", Nesting { leaf_rows_max: 51, ..good.clone() }, 10, false, true),
            (
                "1.2 pairs per leaf",
                Nesting { leaves: 10, pairs: 12, ..good.clone() },
                12,
                false,
                false,
            ),
            (
                "1.3 pairs per leaf",
                Nesting { leaves: 10, pairs: 13, ..good.clone() },
                13,
                true,
                true,
            ),
        ] {
            let evidence = Evidence { hits, ..ten };
            assert_eq!(proves_nested(&nesting, &evidence, CHAIN, &limits), chain, "{name}");
            assert_eq!(proves_nested(&nesting, &evidence, SCOPE, &limits), scope, "{name}");
        }
    }
}
