//! Tables, errors, open sessions and the recent past.

use super::{Page, View, digest_text, float, ms, ratio};
use crate::export::shapes::{
    ColumnShare, Connection, ErrorDigest, ErrorGroup, Hygiene, List, TableSums, TableUse,
};
use crate::export::sqlstate;
use pgsonde_analyzer::record::Driver;
use pgsonde_analyzer::snapshot::{DigestRow, Operation, SessionRow, SessionState};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Routes named with a table.
const TABLE_ROUTES_MAX: usize = 20;
/// Digests named with a table.
const TABLE_DIGESTS_MAX: usize = 50;
/// Digests named with an error.
const ERROR_DIGESTS_MAX: usize = 20;

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
    use pgsonde_analyzer::snapshot::{ColumnBytes, Snapshot};
    use serde_json::{Value, json, to_value};

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
