//! A hand-made snapshot with round numbers, and names that try to break out of every output.

use super::clock::Clock;
use super::status::{
    AdvisorStatus, ClientConnections, ConnectionResults, EventDrops, ExporterCounts, Lifecycle,
    OVERHEAD_BUCKETS_NS, OpaqueReasons, Overhead, ProxyCounters, ProxyStatus, SnapshotSource,
    UpstreamState,
};
use pgsonde_analyzer::finding::{
    Child, Cost, EvidenceValue, Example, Finding, Fix, Kind, Parent, Proof, Severity, State,
};
use pgsonde_analyzer::snapshot::{
    Books, Buckets, DigestRow, DigestTotals, ErrorRow, LargestUnit, Latency, MarkRow, MemoryUse,
    NPlusOneRow, Operation, PairRow, Phases, RouteRow, STATEMENT_BUCKETS_US, SetRow, Snapshot,
    SourceRow, TRANSACTION_BUCKETS_US, TrafficRow, TransactionRow, UNIT_BUCKETS, UnitRow,
    UnitStatement,
};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

/// A name as an attacker would choose it.
pub(super) const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\"'&\n\u{1b}[2J{x=\"y\"}";

/// 2025-06-01T12:00:00Z
pub(super) fn clock() -> Clock {
    Clock::new(UNIX_EPOCH + Duration::from_secs(1_748_779_200))
}

fn phases(first_row_us: u64, transfer_us: u64) -> Phases {
    Phases { first_row_us, transfer_us, ..Phases::default() }
}

/// 600 ms of 1 s, all in buckets of 2 to 10 ms.
pub(super) fn items() -> DigestRow {
    let mut buckets = [0; 25];
    buckets[10] = 60; // (1 ms, 2 ms]
    buckets[12] = 40; // (5 ms, 10 ms]
    DigestRow {
        digest: 0x9f2c_0000_0000_0001,
        database: "shop".into(),
        summary: "SELECT items".into(),
        operation: Operation::Select,
        query_text: "SELECT id, name FROM items WHERE order_id = $1".into(),
        parsed: true,
        tables: vec!["items".into()],
        totals: DigestTotals {
            calls: 100,
            errors: 2,
            rows: 400,
            received_bytes: 5_000,
            sent_bytes: 20_480,
            phases: phases(500_000, 100_000),
            batch_members: 0,
        },
        latency: Latency {
            count: 100,
            min_us: 1_000,
            p50_us: 2_000,
            p95_us: 9_000,
            p99_us: 9_500,
            max_us: 10_000,
            mean_us: 6_000.0,
            stddev_us: 3_000.0,
        },
        first_row_p50_us: 1_800,
        transfer_p50_us: 200,
        buckets,
        sqlstates: vec![(*b"40001", 2)],
        sources: vec![SourceRow {
            user: "app".into(),
            application_name: "web".into(),
            route: "/orders".into(),
            calls: 100,
            total_us: 600_000,
        }],
        findings: vec![0x3f2a_0000_0001],
        calls_per_unit_max: 17,
        first_seen_us: 1_000_000,
        last_seen_us: 9_000_000,
        ..DigestRow::default()
    }
}

/// 200 ms, only in batches: no time of its own per execution.
fn logs() -> DigestRow {
    DigestRow {
        digest: 2,
        database: "shop".into(),
        summary: "INSERT logs".into(),
        operation: Operation::Insert,
        query_text: "INSERT INTO logs VALUES (?)".into(),
        totals: DigestTotals {
            calls: 50,
            rows: 50,
            phases: phases(200_000, 0),
            batch_members: 50,
            ..DigestTotals::default()
        },
        ..DigestRow::default()
    }
}

/// 100 ms, with the hostile name wherever a client can put one.
fn hostile() -> DigestRow {
    DigestRow {
        digest: 3,
        database: HOSTILE.into(),
        summary: HOSTILE.into(),
        query_text: HOSTILE.into(),
        tables: vec![HOSTILE.into()],
        totals: DigestTotals { calls: 1, phases: phases(100_000, 0), ..DigestTotals::default() },
        sources: vec![SourceRow {
            user: HOSTILE.into(),
            application_name: HOSTILE.into(),
            route: HOSTILE.into(),
            calls: 1,
            total_us: 100_000,
        }],
        ..DigestRow::default()
    }
}

fn orders() -> Parent {
    Parent {
        table: Some("orders".into()),
        column: Some("id".into()),
        digest: 0xabc,
        query_text: "SELECT id, total FROM orders LIMIT ?".into(),
        table_oid: 16_384,
        attnum: 1,
        field: 0,
        alternatives: Vec::new(),
    }
}

pub(crate) fn n_plus_one() -> Finding {
    Finding {
        id: 0x3f2a_0000_0001,
        kind: Kind::NPlusOne,
        variant: Some("plain"),
        severity: Severity::Error,
        proof: Proof::Dataflow,
        gate: Some("scope"),
        state: State::Open,
        reopened: 0,
        mute: None,
        superseded_by: None,
        rule: None,
        database: "shop".into(),
        parent: Some(orders()),
        child: Some(Child {
            table: Some("items".into()),
            column: Some("order_id".into()),
            digest: 0x9f2c_0000_0000_0001,
            query_text: "SELECT id, name FROM items WHERE order_id = $1".into(),
            slot: 1,
        }),
        n: Some(17),
        n_median: Some(16),
        n_max: Some(20),
        rows_median: Some(17),
        sightings: 6,
        ratio: Some(1.0),
        coverage: Some(1.0),
        explained: Some(0.95),
        order: None,
        cost: Cost {
            saved_low_ms: 20.0,
            saved_high_ms: 38.0,
            round_trips: 16,
            saved_low_ms_per_hour: Some(1_000.0),
            saved_high_ms_per_hour: Some(1_900.0),
            occurrences_per_hour: Some(50.0),
            rtt_ms: None,
            service_p50_ms: 2.0,
            busy_ms: 40.0,
            busy_total_ms: 240.0,
            bytes: None,
        },
        route: Some("/orders".into()),
        routes: vec![("/orders".into(), 6)],
        marks: vec![("test_orders".into(), 4), ("test_list".into(), 2)],
        service: "web".into(),
        column: None,
        sentence:
            "For every row of orders, items is read once more: 17 times in the latest request."
                .into(),
        fix: Fix {
            orm: Some("SQLAlchemy"),
            text: "Load the relation with the parent: selectinload(Order.items).".into(),
            sql: Some("SELECT order_id, id, name FROM items WHERE order_id = ANY($1)".into()),
        },
        evidence: Vec::new(),
        first_seen_us: 1_000_000,
        last_seen_us: 9_000_000,
        examples: vec![Example { at_us: 9_000_000, session: 7, n: 17, rows: 17, wall_us: 41_500 }],
    }
}

fn missing_index() -> Finding {
    Finding {
        id: 2,
        kind: Kind::MissingIndex,
        variant: None,
        severity: Severity::Warning,
        proof: Proof::Text,
        gate: None,
        parent: None,
        child: None,
        n: None,
        n_median: None,
        n_max: None,
        rows_median: None,
        sightings: 1,
        ratio: None,
        coverage: None,
        explained: None,
        order: None,
        cost: Cost { service_p50_ms: 12.0, ..Cost::default() },
        route: None,
        routes: Vec::new(),
        marks: Vec::new(),
        service: HOSTILE.into(),
        column: Some("customers.email".into()),
        sentence: format!("A candidate: customers.email looks unindexed. {HOSTILE}"),
        fix: Fix::default(),
        evidence: vec![
            ("calls", EvidenceValue::Count(1_200)),
            ("p50_ms", EvidenceValue::Number(12.5)),
            ("operators", EvidenceValue::List(vec!["=".into(), "~~".into()])),
        ],
        examples: Vec::new(),
        ..n_plus_one()
    }
}

fn histogram<const N: usize>(bounds: &[u64; N], values: &[u64]) -> Buckets<N> {
    let mut buckets = Buckets::default();
    values.iter().for_each(|value| buckets.observe(bounds, *value));
    buckets
}

fn pair() -> PairRow {
    PairRow {
        database: "shop".into(),
        service: "web".into(),
        phases: Phases {
            first_row_us: 800_000,
            transfer_us: 100_000,
            think_in_transaction_us: 500_000,
            think_idle_us: 4_000_000,
            ..Phases::default()
        },
        transactions: [3, 1, 0],
        transaction_duration: histogram(&TRANSACTION_BUCKETS_US, &[900, 40_000, 90_000_000]),
        prepares: [4, 5, 6],
    }
}

fn set() -> SetRow {
    SetRow {
        database: "shop".into(),
        service: "web".into(),
        operation: Operation::Select,
        outcomes: [150, 2, 0],
        rows: 450,
        duration: histogram(&STATEMENT_BUCKETS_US, &[250, 251, 31_000_000]),
    }
}

fn route() -> RouteRow {
    RouteRow {
        service: "web".into(),
        route: "/orders".into(),
        units: 6,
        statements: 108,
        first_row_us: 500_000,
        transfer_us: 100_000,
        think_in_transaction_us: 30_000,
        round_trips: 108,
        similar: 96,
        duplicate: 6,
        rows: 600,
        sent_bytes: 12_000,
        largest: LargestUnit {
            statements: 19,
            duplicate: 2,
            rows: 120,
            sent_bytes: 3_000,
            database_us: 250_000,
        },
        statements_p50: 18,
        statements_p95: 19,
        database_p50_us: 90_000,
        database_p95_us: 250_000,
        typical_unit: Some(0xa1),
        worst_unit: Some(0xa2),
    }
}

/// A unit of two statements, 20 ms apart.
fn unit(id: u64, first_row_us: u64) -> Arc<UnitRow> {
    let statement = |offset_us, digest, rows| UnitStatement {
        offset_us,
        queue_us: 100,
        first_row_us,
        transfer_us: 400,
        client_stall_us: 0,
        digest,
        rows,
    };
    Arc::new(UnitRow {
        id,
        traced: false,
        service: "web".into(),
        route: "/orders".into(),
        begin_us: 2_000_000,
        duration_us: 20_500 + first_row_us,
        database_us: 2 * (first_row_us + 400),
        statements: 18,
        round_trips: 18,
        similar: 16,
        duplicate: 1,
        waterfall: vec![statement(0, 0x9f2c_0000_0000_0001, 17), statement(20_000, 0x1111, 0)],
        cut: true,
    })
}

fn transaction(shape: u64, count: u64) -> TransactionRow {
    TransactionRow {
        shape,
        database: "shop".into(),
        service: "web".into(),
        digests: vec![0x9f2c_0000_0000_0001],
        count,
        statements: 2 * count,
        total_us: 3_000 * count,
        busy_us: 1_000 * count,
        think_us: 500 * count,
    }
}

fn books() -> Books {
    Books { statements: 152, exact: 100, bound: 1, batch_members: 50, empty: 1, ..Books::default() }
}

fn latency() -> Latency {
    Latency { count: 101, p50_us: 2_000, p95_us: 9_000, p99_us: 9_500, ..Latency::default() }
}

const MEMORY: MemoryUse = MemoryUse {
    held_bytes: 9_000_000,
    max_bytes: 134_217_728,
    is_short: false,
    sheds: 2,
    digests_shed: 0,
};

/// Ten seconds; statement time 1 s: 60 % items, 20 % logs, 10 % hostile, 5 % other, 5 % mixed batches.
pub(super) fn snapshot() -> Snapshot {
    Snapshot {
        at_us: 10_000_000,
        sessions: Vec::new(),
        sessions_open: 0,
        history: Arc::default(),
        history_step_us: 10_000_000,
        books: books(),
        latency: latency(),
        phases: Phases {
            first_row_us: 900_000,
            transfer_us: 100_000,
            think_in_transaction_us: 500_000,
            think_idle_us: 4_000_000,
            ..Phases::default()
        },
        digests: vec![items(), logs(), hostile()],
        other: DigestTotals { calls: 1, phases: phases(50_000, 0), ..DigestTotals::default() },
        indivisible_batches: DigestTotals { phases: phases(50_000, 0), ..DigestTotals::default() },
        pairs: vec![
            pair(),
            PairRow { database: HOSTILE.into(), service: HOSTILE.into(), ..PairRow::default() },
        ],
        sets: vec![set()],
        errors: vec![ErrorRow {
            database: "shop".into(),
            service: "web".into(),
            class: "40".into(),
            count: 2,
        }],
        traffic: vec![TrafficRow {
            database: "shop".into(),
            client_received: 1,
            client_sent: 2,
            server_received: 3,
            server_sent: 4,
        }],
        routes: vec![route()],
        units: vec![unit(0xa1, 3_000), unit(0xa2, 9_000)],
        transactions: vec![transaction(0xb1, 4), transaction(0xb2, 1)],
        transactions_other: TransactionRow { digests: Vec::new(), ..transaction(0, 2) },
        unit_statements: vec![("web".into(), histogram(&UNIT_BUCKETS, &[18, 18, 1]))],
        findings: vec![n_plus_one(), missing_index()],
        findings_opened: vec![(Kind::NPlusOne, 1), (Kind::MissingIndex, 1)],
        n_plus_one: vec![NPlusOneRow {
            service: "web".into(),
            bursts: 6,
            statements: 96,
            busy_us: 240_000,
        }],
        overflow: vec![("pairs", 0), ("digests", 1)],
        sessions_seen: 4,
        sessions_opaque: 1,
        digests_tracked: 3,
        digests_max: 5_000,
        memory: MEMORY,
        marks: vec![MarkRow {
            mark: HOSTILE.into(),
            statements: 7,
            timed: 7,
            p95_us: 4_000,
            ..MarkRow::default()
        }],
        idle_in_transaction_max_us: 750_000,
    }
}

/// A proxy that is ready and lost three events.
pub(super) fn counters() -> ProxyCounters {
    ProxyCounters {
        advisor: AdvisorStatus { skipped: vec![("budget", 1)], ..AdvisorStatus::default() },
        exports: vec![ExporterCounts {
            exporter: "clickhouse",
            rows: 120,
            bytes: 4_000,
            failures: 2,
            dropped: vec![("spool_full", 3)],
            spool_bytes: 0,
            last_error: None,
        }],
        uptime_s: 10,
        lifecycle: Lifecycle::Ready,
        upstream: UpstreamState {
            host: "db.internal".to_owned(),
            port: 5432,
            ok: true,
            last_error: None,
            connect_us: Some(400),
            tls: "off".to_owned(),
        },
        client_connections: ClientConnections { active: 1, idle: 2, idle_in_transaction: 0 },
        connections_max: 1_000,
        connections: ConnectionResults {
            ok: 4,
            upstream_refused: 1,
            ..ConnectionResults::default()
        },
        cancel_requests: 1,
        opaque: OpaqueReasons { framing: 1, ..OpaqueReasons::default() },
        events: 200,
        dropped: EventDrops { queue_full: 3, ..EventDrops::default() },
        queue_batches_max: 1_024,
        overhead: Overhead {
            to_server: histogram(&OVERHEAD_BUCKETS_NS, &[900, 2_000]),
            to_client: histogram(&OVERHEAD_BUCKETS_NS, &[2_000, 20_000]),
        },
        limits: vec![("digests_max", 5_000)],
        ..ProxyCounters::default()
    }
}

/// Both sources in one, changeable.
#[derive(Clone)]
pub(super) struct Fixed {
    pub(super) snapshot: Arc<Mutex<Arc<Snapshot>>>,
    pub(super) proxy: Arc<Mutex<ProxyCounters>>,
}

impl Fixed {
    pub(super) fn new(snapshot: Snapshot, proxy: ProxyCounters) -> Self {
        Self {
            snapshot: Arc::new(Mutex::new(Arc::new(snapshot))),
            proxy: Arc::new(Mutex::new(proxy)),
        }
    }
}

impl SnapshotSource for Fixed {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl ProxyStatus for Fixed {
    fn proxy(&self) -> ProxyCounters {
        self.proxy.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}
