//! The whole report of one moment, and the flame tree in it.

use super::{FindingQuery, Page, StatementQuery, View, float, ms};
use crate::export::api::{RouteSort, TransactionSort};
use crate::export::shapes::{
    Extremes, Flame, List, Mark, Report, Route, RouteDetail, Statement, StatementDetail,
};
use pgsonde_analyzer::service_of;
use pgsonde_analyzer::snapshot::{DigestRow, MarkRow, Phases, SourceRow};
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
/// What the flame calls time that belongs to no kept source of a digest.
const ELSEWHERE: &str = "other";
/// What the flame calls statements without a route.
const NO_ROUTE: &str = "none";

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
            flame: Some(view.flame()),
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
    let mut notes = Vec::new();
    let loss = view.loss();
    if loss.dropped > 0 {
        notes.push(format!("{} of {} events were dropped.", loss.dropped, loss.events));
    }
    if loss.opaque_sessions > 0 {
        notes.push(format!("{} sessions were forwarded unread.", loss.opaque_sessions));
    }
    if total > shown as u64 {
        let folded = total - shown as u64;
        notes.push(format!("{folded} cheaper statements are summed under `other`."));
    }
    let overflow = view.snapshot.overflow.iter().filter(|(_, count)| *count > 0);
    for (table, count) in overflow {
        notes.push(format!("The table of {} had no room {count} times.", table.replace('_', " ")));
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

    /// Statement time by service, route, statement and phase.
    ///
    /// Phases are known per digest, not per source of a digest: each source gets its share of them. What the kept
    /// sources of a digest don't explain, and what no digest explains, is `other`.
    pub(crate) fn flame(&self) -> Flame {
        let mut tree: BTreeMap<String, BTreeMap<String, BTreeMap<String, Phases>>> =
            BTreeMap::new();
        let mut add = |service: &str, route: &str, statement: &str, phases: &Phases| {
            if phases.statement_us() > 0 {
                let routes = tree.entry(service.to_owned()).or_default();
                let statements = routes.entry(route.to_owned()).or_default();
                statements.entry(statement.to_owned()).or_default().add(phases);
            }
        };
        for row in &self.snapshot.digests {
            let mut left = row.totals.phases;
            let whole = left;
            for source in &row.sources {
                let part = part_of(&whole, source.total_us, &mut left);
                add(&service_of(&source.application_name), route_of(source), &row.summary, &part);
            }
            add(ELSEWHERE, NO_ROUTE, &row.summary, &left);
        }
        add(ELSEWHERE, NO_ROUTE, "everything else", &self.snapshot.other.phases);
        let batches = &self.snapshot.indivisible_batches.phases;
        add(ELSEWHERE, NO_ROUTE, "batches of different statements", batches);
        let services = tree.into_iter().map(|(service, routes)| {
            branch(
                service,
                routes
                    .into_iter()
                    .map(|(route, statements)| {
                        branch(
                            route,
                            statements
                                .into_iter()
                                .map(|(name, phases)| leaves(name, &phases))
                                .collect(),
                        )
                    })
                    .collect(),
            )
        });
        branch("all".to_owned(), services.collect())
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

fn route_of(source: &SourceRow) -> &str {
    if source.route.is_empty() { NO_ROUTE } else { &source.route }
}

/// The part of `whole` that belongs to `us` of it, taken out of `left`.
fn part_of(whole: &Phases, us: u64, left: &mut Phases) -> Phases {
    let all_us = whole.statement_us().max(1);
    let share = |phase: u64, left: &mut u64| {
        let scaled = u128::from(phase) * u128::from(us.min(all_us)) / u128::from(all_us);
        let part = u64::try_from(scaled).unwrap_or(u64::MAX).min(*left);
        *left -= part;
        part
    };
    Phases {
        queue_us: share(whole.queue_us, &mut left.queue_us),
        first_row_us: share(whole.first_row_us, &mut left.first_row_us),
        transfer_us: share(whole.transfer_us, &mut left.transfer_us),
        client_stall_us: share(whole.client_stall_us, &mut left.client_stall_us),
        ..Phases::default()
    }
}

/// A node with the time of its children, the largest of them first.
fn branch(name: String, mut children: Vec<Flame>) -> Flame {
    children.sort_by(|a, b| b.value_ms.total_cmp(&a.value_ms).then_with(|| a.name.cmp(&b.name)));
    let us: f64 = children.iter().map(|child| child.value_ms * 1e3).sum();
    Flame { name, value_ms: us.round() / 1e3, children }
}

fn leaves(name: String, phases: &Phases) -> Flame {
    let phases_us = [
        ("queue", phases.queue_us),
        ("first_row", phases.first_row_us),
        ("transfer", phases.transfer_us),
        ("client_stall", phases.client_stall_us),
    ];
    let leaf = |(name, us): (&str, u64)| Flame {
        name: name.to_owned(),
        value_ms: float(us) / 1e3,
        children: Vec::new(),
    };
    branch(name, phases_us.into_iter().filter(|(_, us)| *us > 0).map(leaf).collect())
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
    fn the_flame_has_exactly_the_time_of_the_statements() {
        view_of(|view| {
            let flame = view.flame();
            assert_eq!(flame.value_ms, float(view.total_us()) / 1e3);
            fn check(node: &Flame) {
                let sum: f64 = node.children.iter().map(|child| child.value_ms).sum();
                assert!(node.children.is_empty() || (sum - node.value_ms).abs() < 1e-6, "{node:?}");
                node.children.iter().for_each(check);
            }
            check(&flame);
            let depth = flame.children[0].children[0].children[0].children.len();
            assert!(depth > 0, "service, route, statement, phase: {flame:?}");
        });
    }

    #[test]
    fn phases_of_sources_never_exceed_those_of_the_digest() {
        let whole = Phases { queue_us: 1, first_row_us: 10, transfer_us: 2, ..Phases::default() };
        let mut left = whole;
        let mut sum = Phases::default();
        for us in [6, 6, 900] {
            sum.add(&part_of(&whole, us, &mut left));
        }
        sum.add(&left);
        assert_eq!(sum, whole);
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
