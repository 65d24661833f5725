//! What a request wants of a list: which items, in which order.

use super::{float, mean_ms};
use pgsonde_analyzer::snapshot::DigestRow;

/// Which items of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// Items left out before it.
    pub(crate) offset: usize,
    /// Items at most.
    pub(crate) limit: usize,
}

impl Page {
    /// The first items.
    pub(crate) fn first(limit: usize) -> Self {
        Self { offset: 0, limit }
    }

    /// Positions of its items in a list of `total`.
    pub(super) fn range(self, total: usize) -> std::ops::Range<usize> {
        let begin = self.offset.min(total);
        begin..begin.saturating_add(self.limit).min(total)
    }

    /// Where the next page begins, if there is one.
    pub(super) fn next(self, total: usize) -> Option<String> {
        let end = self.range(total).end;
        (end < total).then(|| end.to_string())
    }
}

/// Which statements, in which order.
pub(crate) struct StatementQuery {
    pub(crate) sort: Sort,
    pub(crate) database: Option<String>,
    pub(crate) page: Page,
}

/// Which findings.
#[derive(Default)]
pub(crate) struct FindingQuery {
    pub(crate) kind: Option<String>,
    pub(crate) severity: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) page: Page,
}

/// Order of statements, largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    #[default]
    Time,
    Calls,
    Mean,
    P99,
    Rows,
    Bytes,
    Errors,
}

impl Sort {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "time" => Self::Time,
            "calls" => Self::Calls,
            "mean" => Self::Mean,
            "p99" => Self::P99,
            "rows" => Self::Rows,
            "bytes" => Self::Bytes,
            "errors" => Self::Errors,
            _ => return None,
        })
    }

    pub(super) fn key(self, row: &DigestRow) -> f64 {
        match self {
            Self::Time => float(row.totals.phases.statement_us()),
            Self::Calls => float(row.totals.calls),
            Self::Mean => mean_ms(row).unwrap_or(-1.0),
            Self::P99 => float(row.latency.p99_us),
            Self::Rows => float(row.totals.rows),
            Self::Bytes => float(row.totals.sent_bytes),
            Self::Errors => float(row.totals.errors),
        }
    }
}
