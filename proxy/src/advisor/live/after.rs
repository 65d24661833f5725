//! What became of advice: an index that was advised and built, measured by the latency before and after.

use super::lines::Target;
use super::samples::Origin;
use pgsonde_analyzer::finding::{EvidenceValue, Fix, IndexVerdict, Proof, Severity, State};
use pgsonde_analyzer::snapshot::Snapshot;
use std::sync::Arc;

/// Executions that must be seen before and after.
const CALLS_MIN: u64 = 200;
/// Below this share of the time, nothing was gained.
const NO_EFFECT: f64 = 0.1;
/// It helped if it brought at least this share of what was predicted.
const KEPT_PROMISE: f64 = 0.5;

/// An index as the catalogue has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Built {
    /// Table, qualified.
    pub(super) table: String,
    pub(super) name: String,
    pub(super) method: String,
    pub(super) keys: Vec<String>,
    pub(super) valid: bool,
}

/// Executions and their time to the first row.
type Sums = Vec<(u64, u64, u64)>;

/// An index that was advised.
pub(super) struct Watched {
    pub(super) id: u64,
    pub(super) origin: Origin,
    pub(super) index: Built,
    /// Digests that it should help, and the share of their cost that it should save.
    pub(super) helps: Vec<(u64, f64)>,
    /// What was said when it was advised.
    pub(super) advised: IndexVerdict,
    /// Sums when the index was first seen.
    pub(super) before: Option<Sums>,
}

impl Watched {
    /// Whether it isn't built yet.
    pub(super) fn waits_in(&self, target: &Target) -> bool {
        self.before.is_none() && self.origin == target.origin
    }

    /// Notes whether the catalogue has the index now; true from then on.
    pub(super) fn look(&mut self, indexes: &[Built], snapshot: &Snapshot) -> bool {
        let is_it = |index: &&Built| {
            index.valid
                && index.table == self.index.table
                && (index.name == self.index.name
                    || index.method == self.index.method && index.keys == self.index.keys)
        };
        if self.before.is_none() && indexes.iter().any(|index| is_it(&index)) {
            self.before = Some(self.sums(snapshot));
        }
        self.before.is_some()
    }

    fn sums(&self, snapshot: &Snapshot) -> Sums {
        let of = |(digest, _): &(u64, f64)| {
            let row = snapshot
                .digests
                .iter()
                .find(|row| row.digest == *digest && row.database == self.advised.database)?;
            Some((*digest, row.totals.calls, row.totals.phases.first_row_us))
        };
        self.helps.iter().filter_map(of).collect()
    }

    /// What the measurement says; `None` before the index is there.
    pub(super) fn verdict(&self, snapshot: &Snapshot) -> Option<IndexVerdict> {
        let before = self.before.as_ref()?;
        let now = self.sums(snapshot);
        let sums = |sums: &Sums| {
            sums.iter().fold((0, 0), |sum, (_, calls, us)| (sum.0 + calls, sum.1 + us))
        };
        let ((calls, us), (all_calls, all_us)) = (sums(before), sums(&now));
        let measured = Measured {
            before: (calls, us),
            after: (all_calls.saturating_sub(calls), all_us.saturating_sub(us)),
            predicted: self.predicted(before),
        };
        Some(measured.verdict(&self.advised, &self.index.name))
    }

    /// The share of the time that should be saved, by the time that each statement took.
    fn predicted(&self, before: &Sums) -> f64 {
        let time = |digest: u64| before.iter().find(|sum| sum.0 == digest).map_or(0, |sum| sum.2);
        let weighted: f64 =
            self.helps.iter().map(|(digest, share)| time(*digest) as f64 * share).sum();
        let all: u64 = self.helps.iter().map(|(digest, _)| time(*digest)).sum();
        weighted / (all as f64).max(1.0)
    }
}

/// Executions and microseconds before and after, and the share that was promised.
struct Measured {
    before: (u64, u64),
    after: (u64, u64),
    predicted: f64,
}

impl Measured {
    fn verdict(&self, advised: &IndexVerdict, name: &str) -> IndexVerdict {
        let mean_ms = |(calls, us): (u64, u64)| us as f64 / calls.max(1) as f64 / 1_000.0;
        let (before, after) = (mean_ms(self.before), mean_ms(self.after));
        let gain = 1.0 - after / before.max(f64::MIN_POSITIVE);
        let enough = self.before.0 >= CALLS_MIN && self.after.0 >= CALLS_MIN;
        let (variant, state, severity, sentence) = if !enough {
            let sentence = format!(
                "The index {name} is there; its effect is being measured ({} of {CALLS_MIN} executions since, {} before).",
                self.after.0.min(CALLS_MIN),
                self.before.0
            );
            ("built", State::Open, Severity::Info, sentence)
        } else if gain >= self.predicted * KEPT_PROMISE && gain >= NO_EFFECT {
            let sentence = format!(
                "The index {name} helped: the statements took {before:.2} ms before and take {after:.2} ms now (mean to the first row)."
            );
            ("helped", State::Resolved, Severity::Info, sentence)
        } else if gain < NO_EFFECT {
            let sentence = format!(
                "The index {name} did not help: the statements took {before:.2} ms before and take {after:.2} ms now (mean to the first row)."
            );
            ("did_not_help", State::Open, Severity::Warning, sentence)
        } else {
            let sentence = format!(
                "The index {name} helped less than predicted: {before:.2} ms before, {after:.2} ms now (mean to the first row)."
            );
            ("unclear", State::Resolved, Severity::Info, sentence)
        };
        let fix = match variant {
            "did_not_help" => Fix {
                orm: None,
                text: "Look at the statement's plan. If it does not use the index, the index only costs writes.".to_owned(),
                sql: None,
            },
            _ => Fix { orm: None, text: "Nothing is left to do.".to_owned(), sql: None },
        };
        let mut evidence = advised.evidence.clone();
        evidence.extend([
            ("measured_before_ms", EvidenceValue::Number(before)),
            ("measured_after_ms", EvidenceValue::Number(after)),
            ("measured_before_calls", EvidenceValue::Count(self.before.0)),
            ("measured_after_calls", EvidenceValue::Count(self.after.0)),
            ("measured_gain_share", EvidenceValue::Number(gain)),
            ("predicted_gain_share", EvidenceValue::Number(self.predicted)),
            ("index", EvidenceValue::Text(Arc::from(name))),
        ]);
        let proof = if enough { Proof::Observed } else { advised.proof };
        let saved = None;
        IndexVerdict {
            variant,
            state,
            severity,
            sentence,
            fix,
            evidence,
            proof,
            saved_ms_per_hour: saved,
            ..advised.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advised() -> IndexVerdict {
        IndexVerdict {
            id: 1,
            variant: "verified",
            proof: Proof::Plan,
            severity: Severity::Warning,
            state: State::Open,
            database: Arc::from("shop"),
            service: Arc::from(""),
            table: Arc::from("orders"),
            columns: Arc::from("orders.customer_id"),
            digest: 7,
            query_text: Arc::from("select 1"),
            sentence: String::new(),
            fix: Fix::default(),
            evidence: Vec::new(),
            saved_ms_per_hour: Some(5.0),
        }
    }

    #[test]
    fn says_what_was_measured() {
        // 10 ms before; a promise of 90 %.
        let rows = [
            ((500, 5_000_000), (199, 1_000), "built", State::Open),
            ((199, 1_990_000), (500, 1_000), "built", State::Open),
            ((500, 5_000_000), (200, 200_000), "helped", State::Resolved),
            ((500, 5_000_000), (200, 1_090_000), "helped", State::Resolved),
            ((500, 5_000_000), (200, 1_200_000), "unclear", State::Resolved),
            ((500, 5_000_000), (200, 1_900_000), "did_not_help", State::Open),
            ((500, 5_000_000), (200, 9_000_000), "did_not_help", State::Open),
        ];
        for (before, after, variant, state) in rows {
            let found = Measured { before, after, predicted: 0.9 }.verdict(&advised(), "i");
            assert_eq!((found.variant, found.state), (variant, state), "{after:?}");
            assert_eq!(found.proof == Proof::Observed, variant != "built");
        }
    }
}
