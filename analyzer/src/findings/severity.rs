//! How much a finding matters (findings, section 1.4).

use crate::finding::Severity;
use crate::limits::SeverityLimits;

/// What severity depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight {
    /// Share of all database wait in the window, if the window is long enough.
    pub(crate) share: Option<f64>,
    /// Upper bound of the saving per occurrence, in microseconds.
    pub(crate) saved_high_us: u64,
    /// Executions per occurrence.
    pub(crate) n: Option<u64>,
    /// n grows with the parent's rows.
    pub(crate) unbounded: bool,
    /// Seen often enough, and nearly always after its parent.
    pub(crate) consistent: bool,
    /// Never above this.
    pub(crate) max: Severity,
}

impl Weight {
    pub(crate) fn severity(&self, limits: &SeverityLimits) -> Severity {
        if !self.consistent {
            return Severity::Info;
        }
        let n = self.n.unwrap_or(0);
        let error = self.share.is_some_and(|share| share >= limits.error_share_min_ratio)
            || self.saved_high_us >= limits.error_saved_min_us
            || n >= limits.error_n_min;
        let warning =
            self.saved_high_us >= limits.warning_saved_min_us || n >= limits.warning_n_min;
        let level = match (error, warning, self.unbounded) {
            (true, ..) | (false, true, true) => Severity::Error,
            (false, true, false) | (false, false, true) => Severity::Warning,
            (false, false, false) => Severity::Info,
        };
        level.min(self.max)
    }
}

/// Largest deviation of n / rows at which n still counts as proportional to the rows.
const PROPORTIONAL_MAX_RATIO: f64 = 1.1;
/// Different row counts that it must have been seen with.
const PROPORTIONAL_SIGHTINGS_MIN: usize = 3;

/// Whether n grows with the parent's rows: their ratio is constant over different row counts.
pub(crate) fn grows_with_rows(sightings: &[(u64, u64)]) -> bool {
    let mut rows: Vec<u64> = sightings.iter().map(|(_, rows)| *rows).collect();
    rows.sort_unstable();
    rows.dedup();
    let ratios = || sightings.iter().map(|(n, rows)| *n as f64 / (*rows).max(1) as f64);
    let (low, high) = (ratios().fold(f64::INFINITY, f64::min), ratios().fold(0.0, f64::max));
    rows.len() >= PROPORTIONAL_SIGHTINGS_MIN && high <= low * PROPORTIONAL_MAX_RATIO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_at_their_limits() {
        let base = Weight { consistent: true, max: Severity::Error, ..Weight::default() };
        for (name, weight, severity) in [
            ("nothing", base, Severity::Info),
            ("n 9", Weight { n: Some(9), ..base }, Severity::Info),
            ("n 10", Weight { n: Some(10), ..base }, Severity::Warning),
            ("n 49", Weight { n: Some(49), ..base }, Severity::Warning),
            ("n 50", Weight { n: Some(50), ..base }, Severity::Error),
            ("19.999 ms", Weight { saved_high_us: 19_999, ..base }, Severity::Info),
            ("20 ms", Weight { saved_high_us: 20_000, ..base }, Severity::Warning),
            ("100 ms", Weight { saved_high_us: 100_000, ..base }, Severity::Error),
            ("share 0.99 %", Weight { share: Some(0.0099), ..base }, Severity::Info),
            ("share 1 %", Weight { share: Some(0.01), ..base }, Severity::Error),
            ("info, unbounded", Weight { unbounded: true, ..base }, Severity::Warning),
            (
                "warning, unbounded",
                Weight { unbounded: true, n: Some(10), ..base },
                Severity::Error,
            ),
            ("not consistent", Weight { consistent: false, n: Some(500), ..base }, Severity::Info),
            ("capped", Weight { max: Severity::Warning, n: Some(500), ..base }, Severity::Warning),
        ] {
            assert_eq!(weight.severity(&SeverityLimits::default()), severity, "{name}");
        }
    }

    #[test]
    fn growth_needs_three_row_counts_and_a_constant_ratio() {
        for (sightings, grows) in [
            (&[(10, 10), (20, 20)][..], false),
            (&[(10, 10), (20, 20), (20, 20)][..], false),
            (&[(10, 10), (20, 20), (30, 30)][..], true),
            (&[(10, 10), (20, 20), (33, 30)][..], true),
            (&[(10, 10), (20, 20), (34, 30)][..], false),
        ] {
            assert_eq!(grows_with_rows(sightings), grows, "{sightings:?}");
        }
    }
}
