//! `/api/v1/report`: everything that a report shows, in one document.

use super::{
    ErrorGroup, Finding, Info, List, RouteDetail, Series, StatementDetail, Summary, TableUse,
    TransactionShape,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The document of `report --format json`: what every other format, `audit` and `diff` are made of.
///
/// Parts that an older proxy doesn't send are empty.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Report {
    pub(crate) info: Info,
    pub(crate) summary: Summary,
    pub(crate) statements: List<StatementDetail>,
    pub(crate) findings: List<Finding>,
    #[serde(default)]
    pub(crate) routes: Option<List<RouteDetail>>,
    #[serde(default)]
    pub(crate) transactions: Option<List<TransactionShape>>,
    #[serde(default)]
    pub(crate) tables: Option<List<TableUse>>,
    #[serde(default)]
    pub(crate) errors: Option<List<ErrorGroup>>,
    #[serde(default)]
    pub(crate) marks: Option<List<Mark>>,
    /// The recent past of everything; absent where a source has none.
    #[serde(default)]
    pub(crate) series: Option<Series>,
    #[serde(default)]
    pub(crate) flame: Option<Flame>,
    /// Longest waits and largest units since start.
    #[serde(default)]
    pub(crate) extremes: Extremes,
    /// Sentences about what is missing in it.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

/// `/api/v1/flame`: time by service, route, statement and phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Flame {
    pub(crate) name: String,
    pub(crate) value_ms: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub(crate) children: Vec<Flame>,
}

/// What ran under one mark (a test, as a rule).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Mark {
    pub(crate) mark: String,
    pub(crate) units: u64,
    pub(crate) statements: u64,
    pub(crate) errors: u64,
    /// Reads that repeat digest and values of an earlier one of their unit.
    pub(crate) duplicates: u64,
    /// Occurrences of N+1 that were proved by data flow.
    pub(crate) n_plus_one: u64,
    pub(crate) rows: u64,
    pub(crate) sent_bytes: u64,
    /// Time of all its statements.
    pub(crate) db_ms: f64,
    /// Of one statement.
    pub(crate) p95_ms: Option<f64>,
    /// Exactly timed statements, of which the quantile is.
    pub(crate) timed: u64,
}

/// The largest single values since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Extremes {
    /// Longest time that a client left one transaction waiting without a break.
    pub(crate) idle_in_transaction_ms: f64,
    /// Statements of the largest unit.
    pub(crate) unit_statements: u64,
}
