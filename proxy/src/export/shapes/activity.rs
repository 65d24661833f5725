//! What is open, what failed, which tables are used, and the recent past.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One table of one database. A statement over several tables counts in each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct TableUse {
    pub(crate) table: String,
    pub(crate) database: String,
    pub(crate) reads: TableSums,
    pub(crate) writes: TableSums,
    /// At most 20, in the order of their names.
    pub(crate) routes: Vec<String>,
    /// At most 50, costliest first.
    pub(crate) digests: Vec<String>,
}

/// Sums of the statements that read, or write, a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct TableSums {
    pub(crate) calls: u64,
    pub(crate) total_ms: f64,
    pub(crate) rows: u64,
    /// Sent to the client by reads, received from it by writes.
    pub(crate) bytes: u64,
}

/// One SQLSTATE in one database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ErrorGroup {
    pub(crate) sqlstate: String,
    /// The condition's name; `null` where this version doesn't know it.
    pub(crate) name: Option<String>,
    pub(crate) class_name: Option<String>,
    pub(crate) count: u64,
    pub(crate) database: String,
    /// At most 20, most frequent first.
    pub(crate) digests: Vec<ErrorDigest>,
}

/// A statement that failed so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ErrorDigest {
    pub(crate) digest: String,
    pub(crate) summary: String,
    pub(crate) count: u64,
}

/// One open session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Connection {
    pub(crate) session: String,
    /// `active`, `idle_in_transaction`, `idle`.
    pub(crate) state: String,
    pub(crate) database: String,
    pub(crate) service: String,
    pub(crate) user: String,
    pub(crate) application_name: String,
    pub(crate) client: String,
    pub(crate) driver: Option<String>,
    pub(crate) opened: String,
    pub(crate) state_since: String,
    pub(crate) state_ms: f64,
    pub(crate) statements: u64,
    pub(crate) last_digest: Option<String>,
    pub(crate) last_summary: Option<String>,
    pub(crate) route: Option<String>,
}

/// The recent past in steps of equal length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Series {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) step_s: f64,
    pub(crate) points: Vec<SeriesPoint>,
}

/// One step; all `null` where only the costliest statements of the step are known and this one is none of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SeriesPoint {
    /// Begin of the step.
    pub(crate) ts: String,
    pub(crate) calls: Option<u64>,
    pub(crate) errors: Option<u64>,
    pub(crate) rows: Option<u64>,
    pub(crate) total_ms: Option<f64>,
    #[serde(default)]
    pub(crate) sent_bytes: Option<u64>,
    /// Interpolated within a bucket.
    pub(crate) p95_ms: Option<f64>,
}

/// Bytes of one column in the samples of a digest's large results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ColumnShare {
    pub(crate) table: Option<String>,
    pub(crate) column: String,
    pub(crate) bytes: u64,
    pub(crate) share: f64,
}

/// How the executions of a digest came; shares of all its calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Hygiene {
    pub(crate) parses_per_call: f64,
    pub(crate) simple_share: f64,
    pub(crate) literal_share: f64,
}
