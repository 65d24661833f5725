//! Sums per label set, each table with its ceiling and its overflow rows.

use super::{DatabaseId, NO_ROUTE, OTHER, ServiceId};
use crate::Map;
use crate::limits::Limits;
use crate::record::{TrafficRecord, TransactionOutcome, TransactionRecord};
use crate::snapshot::{
    Buckets, ErrorRow, Operation, PairRow, Phases, RouteRow, STATEMENT_BUCKETS_US, SetRow,
    Snapshot, TRANSACTION_BUCKETS_US, TrafficRow, UNIT_BUCKETS,
};
use std::hash::Hash;
use std::sync::Arc;

/// Rows in order of arrival, found by key, at most `max` besides the overflow rows.
#[derive(Debug)]
struct Table<K, R> {
    rows: Vec<R>,
    index: Map<K, usize>,
    max: usize,
    admitted: usize,
    overflowed: u64,
}

impl<K: Hash + Eq + Copy, R> Table<K, R> {
    fn new(max: usize) -> Self {
        Self { rows: Vec::new(), index: Map::default(), max, admitted: 0, overflowed: 0 }
    }

    /// The row of `key`, or that of `overflow` once the ceiling is reached.
    fn row(&mut self, key: K, overflow: K, make: impl FnOnce(bool) -> R) -> &mut R {
        let at = self.index_of(key, overflow, make);
        &mut self.rows[at]
    }

    fn index_of(&mut self, key: K, overflow: K, make: impl FnOnce(bool) -> R) -> usize {
        if let Some(index) = self.index.get(&key) {
            return *index;
        }
        let full = self.admitted >= self.max && key != overflow;
        if full {
            self.overflowed += 1;
        }
        let admitted_key = if full { overflow } else { key };
        if let Some(index) = self.index.get(&admitted_key) {
            return *index;
        }
        self.admitted += usize::from(admitted_key != overflow);
        self.rows.push(make(full));
        self.index.insert(admitted_key, self.rows.len() - 1);
        self.rows.len() - 1
    }
}

/// Names admitted first come; number 0 is `other`.
#[derive(Debug)]
struct Names {
    names: Vec<Arc<str>>,
    index: Map<Arc<str>, u16>,
    max: usize,
}

impl Names {
    fn new(max: usize) -> Self {
        let max = max.min(usize::from(u16::MAX) - 1);
        Self { names: vec![Arc::from(OTHER)], index: Map::default(), max }
    }

    fn admit(&mut self, name: &Arc<str>) -> u16 {
        if let Some(id) = self.index.get(name) {
            return *id;
        }
        if &**name == OTHER || self.names.len() > self.max {
            return 0;
        }
        let id = self.names.len() as u16;
        self.names.push(name.clone());
        self.index.insert(name.clone(), id);
        id
    }
}

/// A (database, service) pair as it was admitted: both `other` beyond the ceiling.
type Pair = (DatabaseId, ServiceId);

/// What one statement adds to its (database, service, operation) set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatementSums {
    /// Operation.
    pub(crate) operation: Operation,
    /// 0 ok, 1 error, 2 cancelled.
    pub(crate) outcome: usize,
    /// Rows.
    pub(crate) rows: u64,
    /// Duration, if it was timed by itself.
    pub(crate) timed_us: Option<u64>,
    /// First two characters of the SQLSTATE, of failed statements.
    pub(crate) class: Option<[u8; 2]>,
}

/// All label sets.
#[derive(Debug)]
pub(crate) struct Labels {
    databases: Names,
    services: Names,
    pairs: Table<Pair, PairRow>,
    sets: Table<(usize, Operation), SetRow>,
    errors: Table<(usize, [u8; 2]), ErrorRow>,
    routes: Table<(ServiceId, u32), RouteRow>,
    route_names: Map<Arc<str>, u32>,
    traffic: Table<DatabaseId, TrafficRow>,
    units: Table<ServiceId, (Arc<str>, Buckets<10>)>,
}

/// Route numbers of `other` and of `none`.
const ROUTE_OTHER: u32 = 0;
const ROUTE_NONE: u32 = 1;
const CLASS_OTHER: [u8; 2] = [0, 0];

impl Labels {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            databases: Names::new(limits.pairs_max),
            services: Names::new(limits.pairs_max),
            pairs: Table::new(limits.pairs_max),
            sets: Table::new(limits.statement_sets_max),
            errors: Table::new(limits.error_sets_max),
            routes: Table::new(limits.routes_max),
            route_names: Map::default(),
            traffic: Table::new(limits.pairs_max),
            units: Table::new(limits.pairs_max),
        }
    }

    pub(crate) fn database(&mut self, name: &Arc<str>) -> DatabaseId {
        DatabaseId(self.databases.admit(name))
    }

    pub(crate) fn service(&mut self, name: &Arc<str>) -> ServiceId {
        ServiceId(self.services.admit(name))
    }

    pub(crate) fn database_name(&self, id: DatabaseId) -> Arc<str> {
        self.databases.names[usize::from(id.0)].clone()
    }

    pub(crate) fn service_name(&self, id: ServiceId) -> Arc<str> {
        self.services.names[usize::from(id.0)].clone()
    }

    /// The row of a pair.
    fn pair(&mut self, database: DatabaseId, service: ServiceId) -> &mut PairRow {
        let at = self.pair_at(database, service);
        &mut self.pairs.rows[at]
    }

    fn pair_at(&mut self, database: DatabaseId, service: ServiceId) -> usize {
        let names = (&self.databases.names, &self.services.names);
        self.pairs.index_of((database, service), Pair::default(), |full| {
            let (database, service) = if full { Pair::default() } else { (database, service) };
            PairRow {
                database: names.0[usize::from(database.0)].clone(),
                service: names.1[usize::from(service.0)].clone(),
                ..PairRow::default()
            }
        })
    }

    /// Adds one statement to its pair and its set, and its error to the error set.
    pub(crate) fn add_statement(
        &mut self,
        database: DatabaseId,
        service: ServiceId,
        phases: &Phases,
        sums: StatementSums,
    ) {
        let at = self.pair_at(database, service);
        let pair = &mut self.pairs.rows[at];
        pair.phases.add(phases);
        // Rows of both tables are known by the place of their pair, so they share its overflow.
        let (key, overflow) = ((at, sums.operation), (at, Operation::Other));
        let set = self.sets.row(key, overflow, |full| SetRow {
            database: pair.database.clone(),
            service: pair.service.clone(),
            operation: if full { Operation::Other } else { sums.operation },
            ..SetRow::default()
        });
        set.outcomes[sums.outcome] += 1;
        set.rows += sums.rows;
        if let Some(us) = sums.timed_us {
            set.duration.observe(&STATEMENT_BUCKETS_US, us);
        }
        if let Some(class) = sums.class {
            let error = self.errors.row((at, class), (at, CLASS_OTHER), |full| ErrorRow {
                database: pair.database.clone(),
                service: pair.service.clone(),
                class: class_name(if full { CLASS_OTHER } else { class }),
                count: 0,
            });
            error.count += 1;
        }
    }

    /// Adds one transaction to its pair.
    pub(crate) fn add_transaction(
        &mut self,
        database: DatabaseId,
        service: ServiceId,
        transaction: &TransactionRecord,
    ) {
        let row = self.pair(database, service);
        let outcome = match transaction.outcome {
            TransactionOutcome::Commit => 0,
            TransactionOutcome::Rollback => 1,
            TransactionOutcome::Error | TransactionOutcome::Abandoned => 2,
        };
        row.transactions[outcome] += 1;
        let duration_us = transaction.end_us.saturating_sub(transaction.begin_us);
        row.transaction_duration.observe(&TRANSACTION_BUCKETS_US, duration_us);
    }

    /// Adds bytes to the database and prepares to the pair.
    pub(crate) fn add_traffic(
        &mut self,
        database: DatabaseId,
        service: ServiceId,
        traffic: &TrafficRecord,
    ) {
        let row = self.pair(database, service);
        let prepares = [traffic.prepares_named, traffic.prepares_unnamed, traffic.prepares_again]
            .map(u64::from);
        for (sum, more) in row.prepares.iter_mut().zip(prepares) {
            *sum += more;
        }
        let name = self.database_name(database);
        let bytes = self.traffic.row(database, DatabaseId(0), |_| TrafficRow {
            database: name,
            ..TrafficRow::default()
        });
        bytes.client_received += traffic.client_received;
        bytes.client_sent += traffic.client_sent;
        bytes.server_received += traffic.server_received;
        bytes.server_sent += traffic.server_sent;
    }

    /// Adds one ended unit of work to its service and its route; `sums` carries the sums of the unit. Tells the place
    /// of the route's row.
    pub(crate) fn add_unit(
        &mut self,
        service: ServiceId,
        route: Option<&Arc<str>>,
        sums: &RouteRow,
    ) -> usize {
        let name = self.service_name(service);
        let units = self.units.row(service, ServiceId(0), |_| (name.clone(), Buckets::default()));
        units.1.observe(&UNIT_BUCKETS, sums.statements);
        let number = self.route_number(route);
        let at = self.routes.index_of((service, number), (service, ROUTE_OTHER), |full| RouteRow {
            service: name,
            route: if full || number == ROUTE_OTHER {
                Arc::from(OTHER)
            } else {
                route.cloned().unwrap_or_else(|| Arc::from(NO_ROUTE))
            },
            ..RouteRow::default()
        });
        let row = &mut self.routes.rows[at];
        row.units += 1;
        row.add(sums);
        row.largest.take(sums);
        at
    }

    fn route_number(&mut self, route: Option<&Arc<str>>) -> u32 {
        let Some(route) = route else { return ROUTE_NONE };
        if let Some(number) = self.route_names.get(route) {
            return *number;
        }
        if self.route_names.len() >= self.routes.max {
            self.routes.overflowed += 1;
            return ROUTE_OTHER;
        }
        let number = ROUTE_NONE + 1 + self.route_names.len() as u32;
        self.route_names.insert(route.clone(), number);
        number
    }

    /// Copies every table into the snapshot.
    pub(crate) fn fill(&self, snapshot: &mut Snapshot) {
        snapshot.pairs.clone_from(&self.pairs.rows);
        snapshot.sets.clone_from(&self.sets.rows);
        snapshot.errors.clone_from(&self.errors.rows);
        snapshot.traffic.clone_from(&self.traffic.rows);
        snapshot.routes.clone_from(&self.routes.rows);
        snapshot.unit_statements.clone_from(&self.units.rows);
        snapshot.overflow = vec![
            ("pairs", self.pairs.overflowed),
            ("statement_sets", self.sets.overflowed),
            ("error_sets", self.errors.overflowed),
            ("routes", self.routes.overflowed),
        ];
    }
}

fn class_name(class: [u8; 2]) -> Arc<str> {
    if class.iter().all(u8::is_ascii_alphanumeric) {
        Arc::from(String::from_utf8_lossy(&class))
    } else {
        Arc::from(OTHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: usize, sets: usize, errors: usize, routes: usize) -> Labels {
        Labels::new(&Limits {
            pairs_max: pairs,
            statement_sets_max: sets,
            error_sets_max: errors,
            routes_max: routes,
            ..Limits::default()
        })
    }

    fn sums(operation: Operation, class: Option<[u8; 2]>) -> StatementSums {
        StatementSums {
            operation,
            outcome: usize::from(class.is_some()),
            rows: 2,
            timed_us: Some(300),
            class,
        }
    }

    fn filled(labels: &Labels) -> Snapshot {
        let mut snapshot = Snapshot::default();
        labels.fill(&mut snapshot);
        snapshot
    }

    #[test]
    fn pairs_beyond_the_ceiling_are_summed_under_other() {
        for (pairs, rows, overflowed) in [(1, 2, 2), (2, 3, 1), (3, 3, 0), (4, 3, 0)] {
            let mut labels = labels(pairs, 96, 64, 128);
            for name in ["a", "b", "c"] {
                let database = labels.database(&Arc::from(name));
                let service = labels.service(&Arc::from("web"));
                labels.add_statement(
                    database,
                    service,
                    &Phases::default(),
                    sums(Operation::Select, None),
                );
            }
            let snapshot = filled(&labels);
            assert_eq!(snapshot.pairs.len(), rows, "{pairs}");
            assert_eq!(snapshot.sets.iter().map(|set| set.outcomes[0]).sum::<u64>(), 3);
            assert_eq!(snapshot.overflow[0], ("pairs", overflowed));
            let others = snapshot.pairs.iter().filter(|row| &*row.service == OTHER).count();
            assert_eq!(others, usize::from(overflowed > 0));
        }
    }

    #[test]
    fn sets_and_errors_keep_their_pair_when_they_overflow() {
        let mut labels = labels(24, 1, 1, 128);
        let phases = Phases::default();
        let database = labels.database(&Arc::from("shop"));
        let service = labels.service(&Arc::from("web"));
        for operation in
            [Operation::Select, Operation::Insert, Operation::Select, Operation::Update]
        {
            labels.add_statement(database, service, &phases, sums(operation, Some(*b"23")));
        }
        labels.add_statement(database, service, &phases, sums(Operation::Ddl, Some(*b"40")));
        let snapshot = filled(&labels);
        let sets: Vec<_> =
            snapshot.sets.iter().map(|set| (set.operation, set.outcomes[1])).collect();
        assert_eq!(sets, [(Operation::Select, 2), (Operation::Other, 3)]);
        let errors: Vec<_> = snapshot.errors.iter().map(|row| (&*row.class, row.count)).collect();
        assert_eq!(errors, [("23", 4), ("other", 1)]);
        assert_eq!(&*snapshot.errors[1].service, "web");
    }

    #[test]
    fn routes_without_a_tag_are_none_and_beyond_the_ceiling_other() {
        let mut labels = labels(24, 96, 64, 2);
        let service = labels.service(&Arc::from("web"));
        let unit = RouteRow { statements: 3, ..RouteRow::default() };
        for route in [None, Some("/a"), Some("/b"), Some("/c"), None] {
            labels.add_unit(service, route.map(Arc::from).as_ref(), &unit);
        }
        let rows: Vec<_> =
            filled(&labels).routes.iter().map(|row| (row.route.to_string(), row.units)).collect();
        assert_eq!(rows, [("none".into(), 2), ("/a".into(), 1), ("other".into(), 2)]);
        assert_eq!(filled(&labels).unit_statements[0].1.count(), 5);
    }
}
