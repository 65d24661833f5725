//! The chain gate: one session, without a common scope.
//!
//! Statements follow their parent with next to nothing in between and without a pause, nearly all of them are
//! explained, hardly any value comes twice, and the values come in the order of the parent's rows. Few values must
//! show more: hot keys of a short list are asked for in its order by chance, but not all of them and nothing else.

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
            && (evidence.used >= limits.small_domain_values_min || is_whole(evidence, limits))
    }
}

/// What few values must show: all in order, nothing else asked, nearly the whole column.
fn is_whole(evidence: &Evidence, limits: &FlowLimits) -> bool {
    evidence.order >= 1.0
        && evidence.explained() >= 1.0
        && evidence.coverage() >= limits.chain_few_coverage_min_ratio
}

/// What a part of a chain must show, because it was chosen among many: a loop that reads most of the column in its
/// order, with next to nothing else.
pub(super) fn is_strong(evidence: &Evidence, limits: &FlowLimits) -> bool {
    evidence.coverage() >= limits.chain_part_coverage_min_ratio
        && evidence.explained() >= limits.chain_part_explained_min_ratio
        && evidence.order >= limits.chain_part_order_min_ratio
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
        let few = Evidence { used: 7, kept: 8, hits: 7, executions: 7, order: 1.0, ..good };
        for (name, evidence, proves) in [
            ("at the limits", good, true),
            ("a quarter isn't covered", Evidence { kept: 41, ..good }, false),
            ("four fifths aren't explained", Evidence { executions: 19, ..good }, false),
            ("repeated too often", Evidence { hits: 16, executions: 16, ..good }, false),
            ("out of order", Evidence { order: 0.59, ..good }, false),
            (
                "eight values, one out of order",
                Evidence { used: 8, kept: 8, hits: 8, executions: 8, order: 0.9, ..good },
                true,
            ),
            (
                "seven values, one out of order",
                Evidence { used: 7, kept: 8, hits: 7, executions: 7, order: 0.9, ..good },
                false,
            ),
            ("seven values in order", few, true),
            ("seven values, one thing else asked", Evidence { executions: 8, ..few }, false),
            ("seven values of nine", Evidence { kept: 9, ..few }, false),
        ] {
            assert_eq!(Chain.proves(&evidence, &limits), proves, "{name}");
        }
    }
}
