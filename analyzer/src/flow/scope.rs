//! The scope gate: parent and child are in one transaction of one session, or carry one trace id.
//!
//! It needs no order and no time window: the application itself says that they belong together.

use super::gate::{Evidence, Gate, ended_before, traces_conflict};
use super::held::Held;
use crate::limits::FlowLimits;
use crate::seen::Seen;

/// The gate.
#[derive(Debug)]
pub(crate) struct Scope;

impl Gate for Scope {
    fn name(&self) -> &'static str {
        "scope"
    }

    fn applies(&self, held: &Held, seen: &Seen<'_>) -> bool {
        let same_trace = held.trace_open && held.trace == seen.trace();
        let same_transaction = held.transaction_open
            && held.session == seen.record.session
            && held.transaction == seen.record.transaction;
        held.database == seen.database
            && !traces_conflict(held, seen)
            && (same_trace || same_transaction)
            && ended_before(held, seen)
    }

    fn proves(&self, evidence: &Evidence, limits: &FlowLimits) -> bool {
        evidence.coverage() >= limits.scope_coverage_min_ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_at_its_limit() {
        let limits = FlowLimits::default();
        for (kept, proves) in [(5, true), (20, true), (21, false)] {
            let evidence = Evidence { kept, used: 5, hits: 5, rows: 30, ..Evidence::default() };
            assert_eq!(Scope.proves(&evidence, &limits), proves, "{kept}");
        }
    }
}
