//! Routes, units of work and shapes of transactions.

use super::{Page, View, digest_text, float, ms, ratio};
use crate::export::shapes::{
    LargestUnit, List, Route, RouteDetail, StatementPhasesMs, TransactionShape, Unit, UnitStatement,
};
use pgsonde_analyzer::snapshot::{self, RouteRow, TransactionRow, UnitRow};
use std::collections::BTreeMap;

/// Order of routes, largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RouteSort {
    #[default]
    Time,
    Units,
    Statements,
    P95,
}

impl RouteSort {
    /// The words that a request may use.
    pub(crate) const WORDS: &str = "time, units, statements, p95";

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "time" => Self::Time,
            "units" => Self::Units,
            "statements" => Self::Statements,
            "p95" => Self::P95,
            _ => return None,
        })
    }

    fn key(self, row: &RouteRow) -> u64 {
        match self {
            Self::Time => row.first_row_us + row.transfer_us,
            Self::Units => row.units,
            Self::Statements => row.statements,
            Self::P95 => row.database_p95_us,
        }
    }
}

/// Order of transactions, largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TransactionSort {
    #[default]
    Time,
    Count,
    Think,
}

impl TransactionSort {
    /// The words that a request may use.
    pub(crate) const WORDS: &str = "time, count, think";

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "time" => Self::Time,
            "count" => Self::Count,
            "think" => Self::Think,
            _ => return None,
        })
    }

    fn key(self, row: &TransactionRow) -> u64 {
        match self {
            Self::Time => row.total_us,
            Self::Count => row.count,
            Self::Think => row.think_us,
        }
    }
}

impl View<'_> {
    pub(crate) fn routes(&self, sort: RouteSort, page: Page) -> List<Route> {
        let mut rows: Vec<&RouteRow> = self.snapshot.routes.iter().collect();
        rows.sort_by_key(|row| (std::cmp::Reverse(sort.key(row)), &row.service, &row.route));
        self.paged(rows, page, |row| self.route(row))
    }

    pub(crate) fn route_detail(&self, service: &str, route: &str) -> Option<RouteDetail> {
        let rows = &self.snapshot.routes;
        let row = rows.iter().find(|row| *row.service == *service && *row.route == *route)?;
        Some(RouteDetail {
            item: self.route(row),
            typical: row.typical_unit.and_then(|id| self.unit(id)),
            worst: row.worst_unit.and_then(|id| self.unit(id)),
        })
    }

    pub(crate) fn unit(&self, id: u64) -> Option<Unit> {
        let unit = self.snapshot.units.iter().find(|unit| unit.id == id)?;
        Some(self.shown(unit))
    }

    pub(crate) fn transactions(&self, sort: TransactionSort, page: Page) -> List<TransactionShape> {
        let mut rows: Vec<&TransactionRow> = self.snapshot.transactions.iter().collect();
        // Stable: equal keys stay in the order of the snapshot.
        rows.sort_by_key(|row| std::cmp::Reverse(sort.key(row)));
        let mut list = self.paged(rows, page, transaction);
        let rest = &self.snapshot.transactions_other;
        if rest.count > 0 && list.next_cursor.is_none() {
            list.items.push(TransactionShape { shape: None, ..transaction(rest) });
        }
        list
    }

    pub(super) fn route(&self, row: &RouteRow) -> Route {
        let units = float(row.units);
        let per_unit = |value: f64| ratio(value, units);
        let known = |us: u64| (row.units > 0).then(|| ms(us));
        Route {
            service: row.service.to_string(),
            route: row.route.to_string(),
            units: row.units,
            units_per_s: ratio(units, float(self.snapshot.at_us) / 1e6).unwrap_or(0.0),
            statements_per_unit: per_unit(float(row.statements)),
            round_trips_per_unit: per_unit(float(row.round_trips)),
            similar: row.similar,
            duplicate: row.duplicate,
            db_ms_per_unit: per_unit(ms(row.first_row_us + row.transfer_us)),
            think_ms_per_unit: per_unit(ms(row.think_in_transaction_us)),
            p50_ms: known(row.database_p50_us),
            p95_ms: known(row.database_p95_us),
            statements_p50: (row.units > 0).then_some(row.statements_p50),
            statements_p95: (row.units > 0).then_some(row.statements_p95),
            largest: LargestUnit {
                statements: row.largest.statements,
                duplicates: row.largest.duplicate,
                rows: row.largest.rows,
                sent_bytes: row.largest.sent_bytes,
                db_ms: ms(row.largest.database_us),
            },
            typical_unit: row.typical_unit.map(digest_text),
            worst_unit: row.worst_unit.map(digest_text),
        }
    }

    fn shown(&self, unit: &UnitRow) -> Unit {
        let summaries: BTreeMap<u64, &str> =
            self.snapshot.digests.iter().map(|row| (row.digest, &*row.summary)).collect();
        let statement = |statement: &snapshot::UnitStatement| UnitStatement {
            summary: summaries.get(&statement.digest).map(|summary| (*summary).to_owned()),
            ..unit_statement(statement)
        };
        Unit {
            unit_id: digest_text(unit.id),
            trace_id: None,
            traced: unit.traced,
            service: unit.service.to_string(),
            route: unit.route.to_string(),
            at: self.clock.rfc3339(unit.begin_us),
            duration_ms: ms(unit.duration_us),
            db_ms: ms(unit.database_us),
            statement_count: unit.statements,
            round_trips: unit.round_trips,
            similar: unit.similar,
            duplicate: unit.duplicate,
            cut: unit.cut,
            statements: unit.waterfall.iter().map(statement).collect(),
        }
    }
}

fn unit_statement(statement: &snapshot::UnitStatement) -> UnitStatement {
    let phases_us = [
        statement.queue_us,
        statement.first_row_us,
        statement.transfer_us,
        statement.client_stall_us,
    ];
    let [queue, first_row, transfer, client_stall] = phases_us.map(ms);
    UnitStatement {
        offset_ms: ms(statement.offset_us),
        duration_ms: ms(phases_us.iter().sum()),
        phases_ms: StatementPhasesMs { queue, first_row, transfer, client_stall },
        digest: digest_text(statement.digest),
        summary: None,
        rows: statement.rows,
    }
}

fn transaction(row: &TransactionRow) -> TransactionShape {
    TransactionShape {
        shape: Some(digest_text(row.shape)),
        database: row.database.to_string(),
        service: row.service.to_string(),
        digests: row.digests.iter().map(|digest| digest_text(*digest)).collect(),
        count: row.count,
        statements: row.statements,
        total_ms: ms(row.total_us),
        busy_ms: ms(row.busy_us),
        think_ms: ms(row.think_us),
    }
}
