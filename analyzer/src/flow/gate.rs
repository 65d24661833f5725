//! Gates: the circumstances under which data flow proves something. One file per gate, one line here.

use super::chain::Chain;
use super::held::Held;
use super::scope::Scope;
use crate::limits::FlowLimits;
use crate::seen::Seen;

/// What a candidate has to show.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Evidence {
    /// Rows of the parent.
    pub(crate) rows: u64,
    /// Distinct values kept of the parent column.
    pub(crate) kept: usize,
    /// Distinct values of them that the child used.
    pub(crate) used: usize,
    /// Explained executions.
    pub(crate) hits: u64,
    /// Executions of the child from the parent's end to the last explained one.
    pub(crate) executions: u64,
    /// Longest increasing run of row positions / hits.
    pub(crate) order: f64,
    /// Correlation of arrival and row position; only the burst gate fills it.
    pub(crate) rank: f64,
}

impl Evidence {
    /// Distinct values used / kept.
    pub(crate) fn coverage(&self) -> f64 {
        self.used as f64 / self.kept.max(1) as f64
    }

    /// Explained executions / all of the child's.
    pub(crate) fn explained(&self) -> f64 {
        self.hits as f64 / self.executions.max(self.hits).max(1) as f64
    }

    /// Explained executions / distinct values used.
    pub(crate) fn repeats(&self) -> f64 {
        self.hits as f64 / self.used.max(1) as f64
    }
}

/// One way to tell that parent and child belong together.
pub(crate) trait Gate: Sync {
    /// Name in findings.
    fn name(&self) -> &'static str;
    /// Whether the gate pairs that result with this execution.
    fn applies(&self, held: &Held, seen: &Seen<'_>) -> bool;
    /// Whether the evidence suffices; [`common`] holds already.
    fn proves(&self, evidence: &Evidence, limits: &FlowLimits) -> bool;
}

/// The gates that pair a held result with a later execution, strongest first. The burst gate looks back
/// from its own memory ([`super::burst`]).
pub(crate) static GATES: [&dyn Gate; 2] = [&Scope, &Chain];
/// Positions in [`GATES`].
pub(crate) const SCOPE: usize = 0;
pub(crate) const CHAIN: usize = 1;

/// The conditions that every gate shares.
pub(crate) fn common(evidence: &Evidence, limits: &FlowLimits) -> bool {
    evidence.rows >= limits.parent_rows_min
        && evidence.used >= limits.distinct_values_min
        && evidence.hits >= limits.executions_min as u64
        && (evidence.used as u64) < limits.batch_values_min as u64 * evidence.hits
}

/// Whether both sides carry trace ids, and different ones: then no gate pairs them.
pub(crate) fn traces_conflict(held: &Held, seen: &Seen<'_>) -> bool {
    matches!((held.trace, seen.trace()), (Some(a), Some(b)) if a != b)
}

/// Whether the result was complete before the statement was sent.
pub(crate) fn ended_before(held: &Held, seen: &Seen<'_>) -> bool {
    if held.session == seen.record.session {
        // Within one round trip the client could not have read the result yet.
        held.round_trip < seen.record.round_trip
    } else {
        held.first_end_us <= seen.record.begin_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_conditions_at_their_limits() {
        let limits = FlowLimits::default();
        let good =
            Evidence { rows: 2, kept: 5, used: 5, hits: 5, executions: 5, order: 1.0, rank: 0.0 };
        for (name, evidence, holds) in [
            ("at the limits", good, true),
            ("one row", Evidence { rows: 1, ..good }, false),
            ("four values", Evidence { used: 4, ..good }, false),
            ("four executions", Evidence { hits: 4, ..good }, false),
            ("49 values in 5 executions", Evidence { used: 49, kept: 49, ..good }, true),
            ("50 values in 5 executions: a batched loader", Evidence { used: 50, ..good }, false),
        ] {
            assert_eq!(common(&evidence, &limits), holds, "{name}");
        }
    }

    #[test]
    fn ratios_without_a_denominator_are_defined() {
        assert_eq!(Evidence::default().coverage(), 0.0);
        assert_eq!(Evidence::default().explained(), 0.0);
        assert_eq!(Evidence { hits: 3, executions: 1, ..Evidence::default() }.explained(), 1.0);
    }
}
