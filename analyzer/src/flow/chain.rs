//! The chain gate: one session, without a common scope.
//!
//! Statements follow their parent with next to nothing in between and without a pause, nearly all of them are
//! explained, hardly any value comes twice, and the values come in the order of the parent's rows.

use super::gate::{Evidence, Gate, ended_before, traces_conflict};
use super::held::Held;
use crate::limits::FlowLimits;
use crate::seen::Seen;

/// The gate.
#[derive(Debug)]
pub(crate) struct Chain;

impl Gate for Chain {
    fn name(&self) -> &'static str {
        "chain"
    }

    fn applies(&self, held: &Held, seen: &Seen<'_>) -> bool {
        held.chain.is_some()
            && held.session == seen.record.session
            && held.database == seen.database
            && !traces_conflict(held, seen)
            && ended_before(held, seen)
    }

    fn proves(&self, evidence: &Evidence, limits: &FlowLimits) -> bool {
        evidence.coverage() >= limits.chain_coverage_min_ratio
            && evidence.explained() >= limits.explained_min_ratio
            && evidence.repeats() <= limits.chain_repeat_max_ratio
            && evidence.order >= limits.order_min_ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_at_its_limit() {
        let limits = FlowLimits::default();
        let good = Evidence {
            rows: 40,
            kept: 40,
            used: 10,
            hits: 15,
            executions: 18,
            order: 0.6,
            ..Evidence::default()
        };
        for (name, evidence, proves) in [
            ("at the limits", good, true),
            ("a quarter isn't covered", Evidence { kept: 41, ..good }, false),
            ("four fifths aren't explained", Evidence { executions: 19, ..good }, false),
            ("repeated too often", Evidence { hits: 16, executions: 16, ..good }, false),
            ("out of order", Evidence { order: 0.59, ..good }, false),
        ] {
            assert_eq!(Chain.proves(&evidence, &limits), proves, "{name}");
        }
    }
}
