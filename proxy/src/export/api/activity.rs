//! Tables, errors, open sessions and the recent past.

use super::{Page, View, digest_text, float, ms, ratio};
use crate::export::shapes::{
    ColumnShare, Connection, ErrorDigest, ErrorGroup, Hygiene, List, Series, SeriesPoint,
    TableSums, TableUse,
};
use crate::export::sqlstate;
use pgsonde_analyzer::record::Driver;
use pgsonde_analyzer::snapshot::{
    DigestRow, HistoryStep, Operation, Point, SessionRow, SessionState,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Routes named with a table.
const TABLE_ROUTES_MAX: usize = 20;
/// Digests named with a table.
const TABLE_DIGESTS_MAX: usize = 50;
/// Digests named with an error.
const ERROR_DIGESTS_MAX: usize = 20;
/// Steps in the trend of a list's item.
const TREND_STEPS: usize = 30;

/// A digest, and how often it failed in one way.
type Failed<'a> = (&'a DigestRow, u64);

#[derive(Default)]
struct Table<'a> {
    reads: TableSums,
    writes: TableSums,
    routes: BTreeSet<&'a str>,
    digests: Vec<String>,
}

impl<'a> Table<'a> {
    /// Rows come costliest first.
    fn add(&mut self, row: &'a DigestRow) {
        let totals = &row.totals;
        let writes = match row.operation {
            Operation::Select => false,
            // Which way it went, the bytes say.
            Operation::Copy => totals.received_bytes > totals.sent_bytes,
            _ => true,
        };
        let sums = if writes { &mut self.writes } else { &mut self.reads };
        sums.calls += totals.calls;
        sums.total_ms += ms(totals.phases.statement_us());
        sums.rows += totals.rows;
        sums.bytes += if writes { totals.received_bytes } else { totals.sent_bytes };
        let routes = row.sources.iter().map(|source| &*source.route);
        self.routes.extend(routes.filter(|route| !route.is_empty()));
        if self.digests.len() < TABLE_DIGESTS_MAX {
            self.digests.push(digest_text(row.digest));
        }
    }

    fn total_ms(&self) -> f64 {
        self.reads.total_ms + self.writes.total_ms
    }
}

impl View<'_> {
    /// Tables, costliest first.
    pub(crate) fn tables(&self, page: Page) -> List<TableUse> {
        let mut tables: BTreeMap<(&str, &str), Table<'_>> = BTreeMap::new();
        for row in &self.snapshot.digests {
            for table in &row.tables {
                tables.entry((&row.database, table)).or_default().add(row);
            }
        }
        let mut rows: Vec<_> = tables.into_iter().collect();
        rows.sort_by(|(_, a), (_, b)| b.total_ms().total_cmp(&a.total_ms()));
        let shown = |((database, table), sums): ((&str, &str), Table<'_>)| TableUse {
            table: table.to_owned(),
            database: database.to_owned(),
            reads: sums.reads,
            writes: sums.writes,
            routes: sums.routes.iter().take(TABLE_ROUTES_MAX).map(ToString::to_string).collect(),
            digests: sums.digests,
        };
        self.paged(rows, page, shown)
    }

    /// Errors by SQLSTATE, most frequent first.
    pub(crate) fn errors(&self, page: Page) -> List<ErrorGroup> {
        let mut groups: BTreeMap<(&str, [u8; 5]), Vec<Failed<'_>>> = BTreeMap::new();
        for row in &self.snapshot.digests {
            for (sqlstate, count) in &row.sqlstates {
                groups.entry((&row.database, *sqlstate)).or_default().push((row, *count));
            }
        }
        let mut rows: Vec<_> = groups.into_iter().collect();
        let count = |digests: &[Failed<'_>]| digests.iter().map(|(_, n)| n).sum::<u64>();
        rows.sort_by_key(|(_, digests)| Reverse(count(digests)));
        self.paged(rows, page, |((database, sqlstate), digests)| {
            error_group(database, sqlstate, digests)
        })
    }

    /// Open sessions: those at work and those inside transactions first.
    pub(crate) fn connections(&self, page: Page) -> List<Connection> {
        let rows: Vec<&SessionRow> = self.snapshot.sessions.iter().collect();
        let mut list = self.paged(rows, page, |row| self.connection(row));
        list.total = self.snapshot.sessions_open as u64;
        list
    }

    fn connection(&self, row: &SessionRow) -> Connection {
        let last = row.last.as_ref();
        Connection {
            session: row.id.to_string(),
            state: state_name(row.state).to_owned(),
            database: row.database.to_string(),
            service: row.service.to_string(),
            user: row.user.to_string(),
            application_name: row.application_name.to_string(),
            client: row.client.to_string(),
            driver: driver_name(row.driver).map(str::to_owned),
            opened: self.clock.rfc3339(row.opened_us),
            state_since: self.clock.rfc3339(row.state_since_us),
            state_ms: ms(self.snapshot.at_us.saturating_sub(row.state_since_us)),
            statements: row.statements,
            last_digest: last.map(|(digest, _)| digest_text(*digest)),
            last_summary: last.map(|(_, summary)| summary.to_string()),
            route: row.route.as_deref().map(str::to_owned),
        }
    }

    /// The recent past of everything, or of one digest.
    pub(crate) fn series(&self, digest: Option<&DigestRow>) -> Series {
        let steps = &self.snapshot.history;
        let point = |step: &HistoryStep| match digest {
            Some(row) => step.point(row.digest, &row.database),
            None => Some(step.all),
        };
        let edge = |step: Option<_>| step.unwrap_or(self.snapshot.at_us);
        Series {
            from: self.clock.rfc3339(edge(steps.first().map(|step| step.begin_us))),
            to: self.clock.rfc3339(edge(steps.last().map(|step| step.end_us))),
            step_s: ms(self.snapshot.history_step_us) / 1e3,
            points: steps.iter().map(|step| self.series_point(step, point(step))).collect(),
        }
    }

    fn series_point(&self, step: &HistoryStep, point: Option<Point>) -> SeriesPoint {
        SeriesPoint {
            ts: self.clock.rfc3339(step.begin_us),
            calls: point.map(|point| point.calls),
            errors: point.map(|point| point.errors),
            rows: point.map(|point| point.rows),
            total_ms: point.map(|point| ms(point.total_us)),
            p95_ms: point.and_then(|point| point.p95_us).map(ms),
        }
    }

    /// Statement time in each of the latest steps, oldest first; what isn't known counts as none.
    pub(super) fn trend(&self, row: &DigestRow) -> Vec<f64> {
        let steps = &self.snapshot.history;
        let latest = &steps[steps.len().saturating_sub(TREND_STEPS)..];
        let time = |step: &HistoryStep| step.point(row.digest, &row.database);
        latest.iter().map(|step| time(step).map_or(0.0, |point| ms(point.total_us))).collect()
    }
}

fn error_group(database: &str, code: [u8; 5], mut digests: Vec<Failed<'_>>) -> ErrorGroup {
    digests.sort_by_key(|(_, count)| Reverse(*count));
    let shown = |(row, count): &Failed<'_>| ErrorDigest {
        digest: digest_text(row.digest),
        summary: row.summary.to_string(),
        count: *count,
    };
    let sqlstate = code.escape_ascii().to_string();
    ErrorGroup {
        name: sqlstate::condition(&sqlstate).map(str::to_owned),
        class_name: sqlstate::class(&sqlstate).map(str::to_owned),
        sqlstate,
        count: digests.iter().map(|(_, count)| count).sum(),
        database: database.to_owned(),
        digests: digests.iter().take(ERROR_DIGESTS_MAX).map(shown).collect(),
    }
}

fn state_name(state: SessionState) -> &'static str {
    match state {
        SessionState::Active => "active",
        SessionState::IdleInTransaction => "idle_in_transaction",
        SessionState::Idle => "idle",
    }
}

fn driver_name(driver: Driver) -> Option<&'static str> {
    Some(match driver {
        Driver::Unknown => return None,
        Driver::Psycopg3 => "psycopg 3",
        Driver::Asyncpg => "asyncpg",
        Driver::PgJdbc => "pgJDBC",
        Driver::ActiveRecord => "pg (Ruby)",
        Driver::Pgx => "pgx",
        Driver::Npgsql => "Npgsql",
        Driver::TokioPostgres => "tokio-postgres",
    })
}

pub(super) fn columns(row: &DigestRow) -> Vec<ColumnShare> {
    let all: u64 = row.columns.iter().map(|column| column.bytes).sum();
    let share = |bytes: u64| ratio(float(bytes), float(all)).unwrap_or(0.0);
    let mut columns: Vec<ColumnShare> = row
        .columns
        .iter()
        .map(|column| {
            let (table, name) = match column.name.split_once('.') {
                Some((table, name)) => (Some(table.to_owned()), name),
                None => (None, &*column.name),
            };
            let (bytes, column) = (column.bytes, name.to_owned());
            ColumnShare { table, column, bytes, share: share(bytes) }
        })
        .collect();
    columns.sort_by_key(|column| Reverse(column.bytes));
    columns
}

pub(super) fn hygiene_of(row: &DigestRow) -> Option<Hygiene> {
    let calls = float(row.totals.calls);
    let share = |count: u64| ratio(float(count), calls);
    Some(Hygiene {
        parses_per_call: share(row.hygiene.parsed)?,
        simple_share: share(row.hygiene.simple)?,
        literal_share: share(row.hygiene.literal)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture::{self, HOSTILE, clock};
    use pgsonde_analyzer::snapshot::{ColumnBytes, DigestPoint, Snapshot};
    use serde_json::{Value, json, to_value};
    use std::sync::Arc;

    fn shown<T: serde::Serialize>(
        snapshot: &Snapshot,
        render: impl FnOnce(&View<'_>) -> T,
    ) -> Value {
        let view = View { snapshot, proxy: &fixture::counters(), clock: clock() };
        to_value(render(&view)).expect("plain data")
    }

    #[test]
    fn a_table_has_its_reads_and_writes() {
        let mut snapshot = fixture::snapshot();
        snapshot.digests[1].tables = vec!["items".into(), "logs".into()];
        let list = shown(&snapshot, |view| view.tables(Page::first(2)));
        let items = &list["items"][0];
        assert_eq!((&items["table"], &items["database"]), (&json!("items"), &json!("shop")));
        let reads = json!({"calls": 100, "total_ms": 600.0, "rows": 400, "bytes": 20_480});
        assert_eq!(items["reads"], reads);
        let writes = json!({"calls": 50, "total_ms": 200.0, "rows": 50, "bytes": 0});
        assert_eq!(items["writes"], writes);
        assert_eq!(items["routes"], json!(["/orders"]));
        assert_eq!(items["digests"], json!(["9f2c000000000001", "0000000000000002"]));
        assert_eq!(list["items"][1]["table"], "logs");
        assert_eq!((&list["total"], &list["next_cursor"]), (&json!(3), &json!("2")));
        let rest = shown(&snapshot, |view| view.tables(Page { offset: 2, limit: 2 }));
        assert_eq!(
            (&rest["items"][0]["table"], &rest["next_cursor"]),
            (&json!(HOSTILE), &Value::Null)
        );
    }

    #[test]
    fn errors_are_grouped_and_named() {
        let mut snapshot = fixture::snapshot();
        snapshot.digests[1].sqlstates = vec![(*b"40001", 5), (*b"ZZ999", 1)];
        let list = shown(&snapshot, |view| view.errors(Page::first(9)));
        assert_eq!(
            list["items"][0],
            json!({
                "sqlstate": "40001", "name": "serialization failure", "class_name": "transaction rollback",
                "count": 7, "database": "shop",
                "digests": [
                    {"digest": "0000000000000002", "summary": "INSERT logs", "count": 5},
                    {"digest": "9f2c000000000001", "summary": "SELECT items", "count": 2},
                ],
            })
        );
        assert_eq!(list["items"][1]["name"], Value::Null);
    }

    #[test]
    fn open_sessions_say_since_when() {
        let mut snapshot = fixture::snapshot();
        snapshot.sessions_open = 12;
        snapshot.sessions = vec![SessionRow {
            id: 42,
            state: SessionState::IdleInTransaction,
            state_since_us: 7_500_000,
            opened_us: 1_000_000,
            driver: Driver::Pgx,
            last: Some((2, "INSERT logs".into())),
            ..SessionRow::default()
        }];
        let list = shown(&snapshot, |view| view.connections(Page::first(9)));
        let item = &list["items"][0];
        assert_eq!(
            (&item["state"], &item["state_ms"]),
            (&json!("idle_in_transaction"), &json!(2_500.0))
        );
        assert_eq!(item["opened"], "2025-06-01T12:00:01.000Z");
        assert_eq!(
            (&item["driver"], &item["last_digest"]),
            (&json!("pgx"), &json!("0000000000000002"))
        );
        assert_eq!(list["total"], 12);
    }

    fn step(
        begin_us: u64,
        all_calls: u64,
        digests: Vec<DigestPoint>,
        cut: bool,
    ) -> Arc<HistoryStep> {
        let all = Point { calls: all_calls, ..Point::default() };
        Arc::new(HistoryStep { begin_us, end_us: begin_us + 5_000_000, all, digests, cut })
    }

    #[test]
    fn a_series_tells_nothing_from_not_known() {
        let point = Point { calls: 3, total_us: 4_000, p95_us: Some(1_500), ..Point::default() };
        let items = DigestPoint { digest: 0x9f2c_0000_0000_0001, database: "shop".into(), point };
        let mut snapshot = fixture::snapshot();
        snapshot.history_step_us = 5_000_000;
        snapshot.history = [
            step(0, 3, vec![items], false),
            step(5_000_000, 0, vec![], false),
            step(10_000_000, 9, vec![], true),
        ]
        .into();
        let one = shown(&snapshot, |view| view.series(view.digest(0x9f2c_0000_0000_0001, None)));
        let points = one["points"].as_array().expect("points");
        let column =
            |name: &str| points.iter().map(|point| point[name].clone()).collect::<Vec<_>>();
        assert_eq!(column("calls"), [json!(3), json!(0), Value::Null]);
        assert_eq!(column("p95_ms"), [json!(1.5), Value::Null, Value::Null]);
        assert_eq!(one["step_s"], 5.0);
        let all = shown(&snapshot, |view| view.series(None));
        assert_eq!(all["points"][2]["calls"], 9);
        assert_eq!(all["to"], "2025-06-01T12:00:15.000Z");
        let trend = shown(&snapshot, |view| view.trend(&view.snapshot.digests[0]));
        assert_eq!(trend, json!([4.0, 0.0, 0.0]));
    }

    #[test]
    fn columns_are_shares_of_the_samples() {
        let mut row = fixture::items();
        row.hygiene = pgsonde_analyzer::snapshot::Hygiene { parsed: 50, simple: 25, literal: 100 };
        row.columns = vec![
            ColumnBytes { name: "items.id".into(), bytes: 100 },
            ColumnBytes { name: "column 2".into(), bytes: 300 },
        ];
        let hygiene = json!({"parses_per_call": 0.5, "simple_share": 0.25, "literal_share": 1.0});
        assert_eq!(to_value(hygiene_of(&row)).expect("plain data"), hygiene);
        assert_eq!(
            to_value(columns(&row)).expect("plain data"),
            json!([
                {"table": null, "column": "column 2", "bytes": 300, "share": 0.75},
                {"table": "items", "column": "id", "bytes": 100, "share": 0.25},
            ])
        );
    }
}
