//! What is kept of the units of a route: their distribution, a typical one, and the worst one.

use super::unit::{Entry, Unit};
use crate::labels::Labels;
use crate::latency::Quantiles;
use crate::merge::RouteSketch;
use crate::snapshot::{RouteRow, UnitRow, UnitStatement};
use std::sync::Arc;

/// Statements of a unit that is kept.
pub(super) const WATERFALL_STATEMENTS_MAX: usize = 200;
/// The median that a typical unit is chosen by is computed anew after this many units.
const MEDIAN_UNITS: u64 = 32;

/// A unit that is kept, and its copy in the latest snapshot.
#[derive(Debug, Default)]
struct Kept {
    row: UnitRow,
    shared: Option<Arc<UnitRow>>,
    filled: bool,
}

impl Kept {
    fn take(&mut self, unit: &Unit) {
        self.filled = true;
        self.shared = None;
        let row = &mut self.row;
        row.id = unit.id;
        row.traced = unit.traced;
        row.begin_us = unit.first_us;
        row.duration_us = unit.last_us.saturating_sub(unit.first_us);
        row.database_us = unit.database_us();
        row.statements = unit.sums.statements;
        row.round_trips = unit.sums.round_trips;
        row.similar = unit.sums.similar;
        row.duplicate = unit.sums.duplicate;
        row.cut = unit.cut || unit.entries.len() > WATERFALL_STATEMENTS_MAX;
        row.waterfall.clear();
        let shown = |entry: &Entry| UnitStatement {
            offset_us: entry.begin_us.saturating_sub(unit.first_us),
            ..entry.shown
        };
        row.waterfall.extend(unit.entries.iter().take(WATERFALL_STATEMENTS_MAX).map(shown));
        // Statements of a trace may come over several sessions.
        row.waterfall.sort_by_key(|statement| statement.offset_us);
    }

    fn share(&mut self, route: &RouteRow) -> Option<Arc<UnitRow>> {
        if !self.filled {
            return None;
        }
        let row = &mut self.row;
        let shared = self.shared.get_or_insert_with(|| {
            row.service.clone_from(&route.service);
            row.route.clone_from(&route.route);
            Arc::new(row.clone())
        });
        Some(shared.clone())
    }
}

/// The units of one route.
#[derive(Debug)]
struct RouteUnits {
    units: u64,
    statements: Quantiles,
    database_us: Quantiles,
    median_us: u64,
    typical: Kept,
    worst: Kept,
}

impl RouteUnits {
    fn new() -> Self {
        Self {
            units: 0,
            statements: Quantiles::coarse(),
            database_us: Quantiles::coarse(),
            median_us: 0,
            typical: Kept::default(),
            worst: Kept::default(),
        }
    }

    fn add(&mut self, unit: &Unit) {
        let us = unit.database_us();
        self.units += 1;
        self.statements.record(unit.sums.statements);
        self.database_us.record(us);
        if self.units < MEDIAN_UNITS || self.units.is_multiple_of(MEDIAN_UNITS) {
            self.median_us = self.database_us.at(0.5);
        }
        let distance = |us: u64| us.abs_diff(self.median_us);
        if !self.typical.filled || distance(us) <= distance(self.typical.row.database_us) {
            self.typical.take(unit);
        }
        if !self.worst.filled || us > self.worst.row.database_us {
            self.worst.take(unit);
        }
    }
}

/// All routes, in the order of their rows.
#[derive(Debug, Default)]
pub(super) struct Routes {
    routes: Vec<RouteUnits>,
}

impl Routes {
    /// Adds a unit that ended to its route.
    pub(super) fn add(&mut self, unit: &Unit, labels: &mut Labels) {
        let at = labels.add_unit(unit.service, unit.route.as_ref(), &unit.sums);
        while self.routes.len() <= at {
            self.routes.push(RouteUnits::new());
        }
        self.routes[at].add(unit);
    }

    /// The distributions behind the rows, in their order.
    pub(super) fn sketches(&self) -> Vec<RouteSketch> {
        let sketch = |route: &RouteUnits| RouteSketch {
            statements: route.statements.sketch(),
            database_us: route.database_us.sketch(),
        };
        self.routes.iter().map(sketch).collect()
    }

    /// Fills in what the rows of the labels don't know.
    pub(super) fn fill(&mut self, rows: &mut [RouteRow], units: &mut Vec<Arc<UnitRow>>) {
        for (row, route) in rows.iter_mut().zip(&mut self.routes) {
            row.statements_p50 = route.statements.at(0.5);
            row.statements_p95 = route.statements.at(0.95);
            row.database_p50_us = route.database_us.at(0.5);
            row.database_p95_us = route.database_us.at(0.95);
            row.typical_unit = route.typical.filled.then_some(route.typical.row.id);
            row.worst_unit = route.worst.filled.then_some(route.worst.row.id);
            units.extend(route.typical.share(row));
            units.extend(route.worst.share(row));
        }
        units.sort_by_key(|unit| unit.id);
        units.dedup_by_key(|unit| unit.id);
    }
}
