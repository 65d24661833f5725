//! What the answers of a planner are worth, when all was asked.

use crate::export::advice as output;
use pgsonde_advisor::workload::Workload;
use std::time::Duration;

/// Largest difference between live cost and planned cost that counts as none.
const EXACT: f64 = 0.001;

/// How one statement's cost on the target compares with the cost that a planner of candidates finds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fidelity {
    /// Cost on the target.
    pub(super) live: f64,
    /// Cost with the planner, if it could be planned there.
    pub(super) planned: Option<f64>,
    /// Why the planner proves nothing about it.
    pub(super) doubt: Option<String>,
}

impl Fidelity {
    /// Within 0.1 %.
    fn is_exact(&self) -> bool {
        self.doubt.is_none() && self.error() <= EXACT
    }

    /// Relative difference of the costs.
    pub(super) fn error(&self) -> f64 {
        let live = self.live.max(f64::MIN_POSITIVE);
        self.planned.map_or(f64::INFINITY, |planned| (planned / live - 1.0).abs())
    }
}

/// Why nobody plans candidates, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unavailable {
    pub(super) why: String,
    pub(super) remedy: String,
}

impl Unavailable {
    pub(super) fn new(why: String, remedy: String) -> Self {
        Self { why, remedy }
    }
}

/// What a planner of candidates leaves behind.
pub(super) struct Proof {
    pub(super) by: output::PlannedBy,
    /// By sample; empty where it planned nothing.
    pub(super) fidelity: Vec<Fidelity>,
    /// EXPLAINs with candidates.
    pub(super) explained: u64,
    /// Time until candidates could be planned.
    pub(super) built_in: Duration,
    /// Why it was given up, if so.
    pub(super) lost: Option<Unavailable>,
}

impl Proof {
    /// For the reader; `None` where nothing was planned.
    pub(super) fn verification(
        &self,
        workload: &Workload,
        effort: output::Effort,
    ) -> Option<output::Verification> {
        if self.fidelity.is_empty() {
            return None;
        }
        let digest = |at: usize| &workload.digests[workload.samples[at].digest];
        let mut doubts: Vec<(String, String)> = Vec::new();
        for (at, found) in self.fidelity.iter().enumerate() {
            let doubt = found.doubt.clone().map(|doubt| (digest(at).text.clone(), doubt));
            doubts.extend(doubt.filter(|doubt| !doubts.contains(doubt)));
        }
        Some(output::Verification {
            by: self.by,
            statements: self.fidelity.len(),
            exact: self.fidelity.iter().filter(|found| found.is_exact()).count(),
            costs: self.fidelity.iter().map(|found| (found.live, found.planned)).collect(),
            doubts,
            effort,
        })
    }
}
