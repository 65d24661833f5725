//! The whole report of one moment.

use super::{FindingQuery, FlameLevel, Page, StatementQuery, View, ms};
use crate::export::api::{RouteSort, TransactionSort};
use crate::export::shapes::{
    Extremes, List, Mark, Report, Route, RouteDetail, Statement, StatementDetail,
};
use crate::export::text::counted;
use crate::export::words;
use pgsonde_analyzer::snapshot::{DigestRow, MarkRow};
use std::collections::BTreeMap;

/// Findings in a report.
const FINDINGS_MAX: usize = 500;
/// Routes in a report.
const ROUTES_MAX: usize = 500;
/// Routes whose typical and worst unit are in a report, costliest first.
const WATERFALL_ROUTES_MAX: usize = 20;
/// Statements of such a unit.
const WATERFALL_STATEMENTS_MAX: usize = 60;
/// Shapes of transactions in a report.
const TRANSACTIONS_MAX: usize = 200;
/// Tables in a report.
const TABLES_MAX: usize = 500;
/// Groups of errors in a report.
const ERRORS_MAX: usize = 200;
impl Report {
    /// Everything that a report shows of one moment, with the costliest `top` statements by themselves.
    pub(crate) fn of(view: &View<'_>, top: usize) -> Self {
        let statements = view.statements(&StatementQuery::costliest(Page::first(top)));
        let findings = view
            .findings(&FindingQuery { page: Page::first(FINDINGS_MAX), ..FindingQuery::default() });
        let snapshot = view.snapshot;
        let notes = notes(view, statements.total, statements.items.len());
        Self {
            info: view.info(),
            summary: view.summary(),
            statements: view.details(statements),
            findings: whole(findings),
            routes: Some(view.route_details()),
            transactions: Some(whole(
                view.transactions(TransactionSort::Time, Page::first(TRANSACTIONS_MAX)),
            )),
            tables: Some(whole(view.tables(Page::first(TABLES_MAX)))),
            errors: Some(whole(view.errors(Page::first(ERRORS_MAX)))),
            marks: Some(view.marks()),
            series: Some(view.series(None, None)).filter(|series| !series.points.is_empty()),
            flame: Some(view.flame(&FlameLevel::ALL)),
            extremes: Extremes {
                idle_in_transaction_ms: ms(snapshot.idle_in_transaction_max_us),
                unit_statements: largest_unit(view),
            },
            notes,
        }
    }
}

/// A report has no next page.
fn whole<T>(list: List<T>) -> List<T> {
    List { next_cursor: None, ..list }
}

fn largest_unit(view: &View<'_>) -> u64 {
    view.snapshot.routes.iter().map(|row| row.largest.statements).max().unwrap_or(0)
}

/// What a reader must know that the numbers don't say.
fn notes(view: &View<'_>, total: u64, shown: usize) -> Vec<String> {
    let mut notes = words::losses(&view.loss());
    if total > shown as u64 {
        let folded = total - shown as u64;
        notes.push(format!("{folded} cheaper statements are summed under `other`."));
    }
    let overflow = view.snapshot.overflow.iter().filter(|(_, count)| *count > 0);
    for (table, count) in overflow {
        let times = counted(*count, "time");
        notes.push(format!("The table of {} had no room {times}.", table.replace('_', " ")));
    }
    notes
}

impl View<'_> {
    fn details(&self, list: List<Statement>) -> List<StatementDetail> {
        let by_key: BTreeMap<(u64, &str), &DigestRow> =
            self.snapshot.digests.iter().map(|row| ((row.digest, &*row.database), row)).collect();
        let detail = |item: Statement| {
            let digest = u64::from_str_radix(&item.digest, 16).ok()?;
            let row = by_key.get(&(digest, item.database.as_str()))?;
            Some(self.detail(row, item))
        };
        List {
            items: list.items.into_iter().filter_map(detail).collect(),
            from: list.from,
            to: list.to,
            other: list.other,
            total: list.total,
            next_cursor: None,
            loss: list.loss,
        }
    }

    fn route_details(&self) -> List<RouteDetail> {
        let list = self.routes(RouteSort::Time, Page::first(ROUTES_MAX));
        let detail = |(index, item): (usize, Route)| {
            let known = (index < WATERFALL_ROUTES_MAX)
                .then(|| self.route_detail(&item.service, &item.route))
                .flatten();
            let mut detail = known.unwrap_or(RouteDetail { item, typical: None, worst: None });
            for unit in detail.typical.iter_mut().chain(&mut detail.worst) {
                unit.cut |= unit.statements.len() > WATERFALL_STATEMENTS_MAX;
                unit.statements.truncate(WATERFALL_STATEMENTS_MAX);
            }
            detail
        };
        List {
            items: list.items.into_iter().enumerate().map(detail).collect(),
            from: list.from,
            to: list.to,
            other: list.other,
            total: list.total,
            next_cursor: None,
            loss: list.loss,
        }
    }

    /// What ran under each mark, by name.
    pub(crate) fn marks(&self) -> List<Mark> {
        let items: Vec<Mark> = self.snapshot.marks.iter().map(mark).collect();
        let total = items.len();
        self.list(items, None, total)
    }
}

fn mark(row: &MarkRow) -> Mark {
    Mark {
        mark: row.mark.to_string(),
        units: row.units,
        statements: row.statements,
        errors: row.errors,
        duplicates: row.duplicates,
        n_plus_one: row.n_plus_one,
        rows: row.rows,
        sent_bytes: row.sent_bytes,
        db_ms: ms(row.database_us),
        p95_ms: (row.timed > 0).then(|| ms(row.p95_us)),
        timed: row.timed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture;

    fn view_of<T>(check: impl FnOnce(&View<'_>) -> T) -> T {
        let (snapshot, proxy) = (fixture::snapshot(), fixture::counters());
        check(&View { snapshot: &snapshot, proxy: &proxy, clock: fixture::clock() })
    }

    #[test]
    fn a_report_is_read_back_as_it_was_written() {
        view_of(|view| {
            let report = Report::of(view, 1);
            assert_eq!(report.statements.items.len(), 1);
            assert!(report.notes.iter().any(|note| note.contains("summed under `other`")));
            let text = serde_json::to_string(&report).unwrap();
            let again: Report = serde_json::from_str(&text).unwrap();
            assert_eq!(
                serde_json::to_value(&again).unwrap(),
                serde_json::to_value(&report).unwrap()
            );
            assert_eq!(report.findings.items[0].mark.as_deref(), Some("test_orders"));
        });
    }
}
