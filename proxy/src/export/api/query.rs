//! What a request wants of a list: which items, in which order.

use super::{float, mean_ms};
use crate::export::clock::TimeRange;
use crate::filter::{Filter, Subject};
use pgsonde_analyzer::service_of;
use pgsonde_analyzer::snapshot::{DigestRow, Point};

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
#[derive(Default)]
pub(crate) struct StatementQuery {
    pub(crate) sort: Sort,
    pub(crate) database: Option<String>,
    /// Executed by this service.
    pub(crate) service: Option<String>,
    /// Executed under this route.
    pub(crate) route: Option<String>,
    pub(crate) filter: Filter,
    /// What was executed then; since the start without one.
    pub(crate) range: Option<TimeRange>,
    pub(crate) page: Page,
}

impl StatementQuery {
    /// All of them, costliest first.
    pub(crate) fn costliest(page: Page) -> Self {
        Self { page, ..Self::default() }
    }

    /// Whether a row is wanted. Services and routes are asked of each source by itself.
    pub(super) fn wants(&self, row: &DigestRow) -> bool {
        let is =
            |wanted: &Option<String>, given: &str| wanted.as_deref().is_none_or(|w| w == given);
        let by = |service: Option<&str>, route: Option<&str>| {
            is(&self.service, service.unwrap_or_default())
                && is(&self.route, route.unwrap_or_default())
                && self.filter.holds(&Subject { service, route, ..subject(row) })
        };
        is(&self.database, &row.database)
            && (row.sources.is_empty() && by(None, None)
                || row.sources.iter().any(|source| {
                    let service = service_of(&source.application_name);
                    let route = Some(&*source.route).filter(|route| !route.is_empty());
                    by(Some(&service), route)
                }))
    }
}

/// What a group of executions offers to a filter: its durations, rows and bytes are means.
fn subject(row: &DigestRow) -> Subject<'_> {
    let totals = &row.totals;
    let mean = |sum: u64| Some(sum / totals.calls.max(1));
    Subject {
        duration_us: mean(totals.phases.statement_us()),
        rows: mean(totals.rows),
        sent_bytes: mean(totals.sent_bytes),
        failed: totals.errors > 0,
        sqlstate: row.sqlstates.first().and_then(|(state, _)| std::str::from_utf8(state).ok()),
        operation: Some(row.operation.name()),
        database: Some(&row.database),
        digest: Some(row.digest),
        summary: Some(&row.summary),
        text: Some(&row.query_text),
        ..Subject::default()
    }
}

/// Which findings.
#[derive(Default)]
pub(crate) struct FindingQuery {
    pub(crate) kind: Option<String>,
    pub(crate) severity: Option<String>,
    pub(crate) state: Option<String>,
    /// Seen then.
    pub(crate) range: Option<TimeRange>,
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

    /// Of the sums of a time range; `None` where those don't say.
    pub(super) fn key_within(self, sums: &Point) -> Option<f64> {
        Some(match self {
            Self::Time => float(sums.total_us),
            Self::Calls => float(sums.calls),
            Self::Mean => float(sums.total_us) / float(sums.calls.max(1)),
            Self::Rows => float(sums.rows),
            Self::Bytes => float(sums.sent_bytes),
            Self::Errors => float(sums.errors),
            Self::P99 => return None,
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
