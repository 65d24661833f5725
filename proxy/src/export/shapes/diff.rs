//! `diff --format json`, as types.

use serde::{Deserialize, Serialize};

/// Two reports against each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DiffDocument {
    pub(crate) base: Side,
    pub(crate) head: Side,
    /// What decides "slower" and "faster".
    pub(crate) test: TestUsed,
    pub(crate) statements: Vec<StatementDiff>,
    pub(crate) findings: FindingsDiff,
    /// Reasons of exit code 99, empty without `--fail-on`.
    pub(crate) failures: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// One of the two reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Side {
    pub(crate) source: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) statements: u64,
}

/// How times are compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TestUsed {
    pub(crate) name: String,
    pub(crate) alpha: f64,
    pub(crate) samples_min: u64,
    /// Statements that it was asked about.
    pub(crate) comparisons: u64,
}

/// One statement in both reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatementDiff {
    pub(crate) digest: String,
    pub(crate) summary: String,
    /// `new`, `gone`, `slower`, `faster`, `more_calls`, `more_rows`; none of them = unchanged.
    pub(crate) verdicts: Vec<String>,
    /// Why the times aren't judged, if they aren't.
    pub(crate) not_judged: Option<String>,
    pub(crate) base: Option<StatementSide>,
    pub(crate) head: Option<StatementSide>,
    /// Median of head by median of base.
    pub(crate) time_ratio: Option<f64>,
    /// Two-sided, before the correction for many statements.
    pub(crate) p_value: Option<f64>,
}

/// One statement in one report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatementSide {
    pub(crate) calls: u64,
    pub(crate) total_ms: f64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p95_ms: Option<f64>,
    pub(crate) rows_per_call: Option<f64>,
    pub(crate) calls_per_unit_max: u64,
}

/// Findings that are open in one report only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FindingsDiff {
    pub(crate) new: Vec<FindingName>,
    pub(crate) gone: Vec<FindingName>,
}

/// A finding in a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FindingName {
    pub(crate) finding: String,
    pub(crate) kind: String,
    pub(crate) severity: String,
    pub(crate) sentence: String,
}
