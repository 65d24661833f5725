//! The lines of a snapshot file (`/api/v1/snapshot`): what a proxy knows, in a form that adds up with that of others.
//!
//! zstd'd NDJSON: `{"snapshot":{…}}` as the head, one line per row named by its table, and `{"end":{"lines":n}}`. Distributions are lists of pairs, each value
//! as the distance to the one before: `[40, 2, 3, 1]` is twice 40 and once 43. Durations are microseconds, moments
//! microseconds on the proxy's own clock, whose 0 is `started_us` of the head.

mod through;

use super::lines::FindingLine;
use pgsonde_analyzer::merge::{DigestSketch, RouteSketch};
use pgsonde_analyzer::snapshot::{
    Books, Buckets, ColumnBytes, DigestRow, DigestTotals, ErrorRow, Hygiene, LargestUnit, MarkRow,
    NPlusOneRow, Operation, PairRow, Phases, RouteRow, SetRow, SourceRow, TrafficRow,
    TransactionRow, UnitRow, UnitStatement,
};
use pgsonde_analyzer::{DurationSketch, Sketch};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use through::*;

/// Version of these lines.
pub(crate) const SNAPSHOT_SCHEMA: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SnapshotLine {
    /// First line.
    Snapshot(Box<HeadLine>),
    /// One digest in one database.
    DigestRow(Box<DigestLine>),
    /// One service of a database.
    Pair {
        #[serde(with = "PairShape")]
        row: PairRow,
    },
    /// One operation of a service of a database.
    Set {
        #[serde(with = "SetShape")]
        row: SetRow,
    },
    Error {
        #[serde(with = "ErrorShape")]
        row: ErrorRow,
    },
    Traffic {
        #[serde(with = "TrafficShape")]
        row: TrafficRow,
    },
    Route(Box<RouteLine>),
    /// A unit that is kept as an example.
    Unit {
        #[serde(with = "UnitShape")]
        row: UnitRow,
    },
    Transaction {
        #[serde(with = "TransactionShape")]
        row: TransactionRow,
    },
    /// Transactions whose shape found no place.
    TransactionsOther {
        #[serde(with = "TransactionShape")]
        row: TransactionRow,
    },
    Mark {
        #[serde(with = "MarkShape")]
        row: MarkRow,
        #[serde(with = "SketchShape")]
        durations: Sketch,
    },
    UnitStatements {
        #[serde(with = "shared")]
        service: Arc<str>,
        #[serde(with = "Buckets10")]
        buckets: Buckets<10>,
    },
    NPlusOne {
        #[serde(with = "NPlusOneShape")]
        row: NPlusOneRow,
    },
    /// As in a capture.
    Finding {
        line: Box<FindingLine>,
    },
    /// Last line.
    End {
        lines: u64,
    },
}

/// The first line of a snapshot of any version.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AnyHead {
    pub(crate) snapshot: Versions,
}

/// What identifies a snapshot; of all versions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Versions {
    pub(crate) schema: u32,
    pub(crate) hash_version: u64,
    pub(crate) version: String,
}

/// What all rows have in common, and sums without rows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct HeadLine {
    pub(crate) schema: u32,
    pub(crate) hash_version: u64,
    pub(crate) version: String,
    pub(crate) redact: String,
    /// 12 hexadecimal digits, new with every start.
    pub(crate) proxy_id: String,
    pub(crate) started_us: u64,
    pub(crate) at_us: u64,
    pub(crate) proxy: ProxyFields,
    #[serde(with = "BooksShape")]
    pub(crate) books: Books,
    #[serde(with = "DurationShape")]
    pub(crate) durations: DurationSketch,
    #[serde(with = "PhasesShape")]
    pub(crate) phases: Phases,
    #[serde(with = "TotalsShape")]
    pub(crate) other: DigestTotals,
    #[serde(with = "TotalsShape")]
    pub(crate) indivisible_batches: DigestTotals,
    pub(crate) idle_in_transaction_max_us: u64,
    /// By kind.
    pub(crate) findings_opened: BTreeMap<String, u64>,
    /// By table.
    pub(crate) overflow: BTreeMap<String, u64>,
    pub(crate) sessions_open: u64,
    pub(crate) sessions_seen: u64,
    pub(crate) sessions_opaque: u64,
}

/// The proxy's own counters, as far as they add up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ProxyFields {
    pub(crate) upstream_host: String,
    pub(crate) upstream_port: u16,
    pub(crate) upstream_tls: String,
    pub(crate) uptime_s: u64,
    pub(crate) events: u64,
    pub(crate) dropped_queue_full: u64,
    pub(crate) dropped_memory_limit: u64,
    pub(crate) dropped_sampled: u64,
    pub(crate) dropped_analyzer_restart: u64,
    pub(crate) opaque: u64,
    pub(crate) active: u64,
    pub(crate) idle: u64,
    pub(crate) idle_in_transaction: u64,
    #[serde(with = "Buckets10")]
    pub(crate) overhead_to_server: Buckets<10>,
    #[serde(with = "Buckets10")]
    pub(crate) overhead_to_client: Buckets<10>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DigestLine {
    #[serde(with = "DigestShape")]
    pub(crate) row: DigestRow,
    #[serde(with = "DigestSketchShape")]
    pub(crate) sketch: DigestSketch,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RouteLine {
    #[serde(with = "RouteShape")]
    pub(crate) row: RouteRow,
    #[serde(with = "RouteSketchShape")]
    pub(crate) sketch: RouteSketch,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Sketch")]
struct SketchShape {
    #[serde(default, skip_serializing_if = "is_false")]
    coarse: bool,
    #[serde(rename = "v", with = "pairs")]
    values: Vec<(u64, u64)>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "DurationSketch")]
struct DurationShape {
    #[serde(with = "SketchShape")]
    sketch: Sketch,
    count: u64,
    min_us: u64,
    max_us: u64,
    #[serde(with = "wide")]
    sum_us: u128,
    #[serde(with = "wide")]
    squares: u128,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "DigestSketch")]
struct DigestSketchShape {
    #[serde(with = "DurationShape")]
    durations: DurationSketch,
    #[serde(with = "SketchShape")]
    first_row: Sketch,
    #[serde(with = "SketchShape")]
    transfer: Sketch,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RouteSketch")]
struct RouteSketchShape {
    #[serde(with = "SketchShape")]
    statements: Sketch,
    #[serde(with = "SketchShape")]
    database_us: Sketch,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Books")]
struct BooksShape {
    statements: u64,
    exact: u64,
    bound: u64,
    batch_members: u64,
    empty: u64,
    aborted: u64,
    untracked: u64,
    other: u64,
    skipped: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Phases")]
struct PhasesShape {
    queue_us: u64,
    first_row_us: u64,
    transfer_us: u64,
    client_stall_us: u64,
    think_in_transaction_us: u64,
    think_idle_us: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "DigestTotals")]
struct TotalsShape {
    calls: u64,
    errors: u64,
    rows: u64,
    received_bytes: u64,
    sent_bytes: u64,
    #[serde(with = "PhasesShape")]
    phases: Phases,
    batch_members: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "DigestRow")]
struct DigestShape {
    #[serde(with = "hex")]
    digest: u64,
    #[serde(with = "shared")]
    database: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query_id: Option<i64>,
    #[serde(with = "shared")]
    summary: Arc<str>,
    #[serde(with = "operation")]
    operation: Operation,
    #[serde(with = "shared")]
    query_text: Arc<str>,
    cut: bool,
    parsed: bool,
    #[serde(with = "names")]
    tables: Vec<Arc<str>>,
    #[serde(with = "TotalsShape")]
    totals: DigestTotals,
    // Made of the sketches.
    #[serde(skip)]
    latency: pgsonde_analyzer::snapshot::Latency,
    #[serde(skip)]
    first_row_p50_us: u64,
    #[serde(skip)]
    transfer_p50_us: u64,
    buckets: [u64; 25],
    #[serde(with = "states")]
    sqlstates: Vec<([u8; 5], u64)>,
    #[serde(with = "sources")]
    sources: Vec<SourceRow>,
    #[serde(with = "HygieneShape")]
    hygiene: Hygiene,
    #[serde(with = "columns")]
    columns: Vec<ColumnBytes>,
    // Named anew by the findings.
    #[serde(skip)]
    findings: Vec<u64>,
    calls_per_unit_max: u64,
    #[serde(skip)]
    examples: Option<Arc<pgsonde_analyzer::events::Examples>>,
    first_seen_us: u64,
    last_seen_us: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Hygiene")]
struct HygieneShape {
    parsed: u64,
    simple: u64,
    literal: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PairRow")]
struct PairShape {
    #[serde(with = "shared")]
    database: Arc<str>,
    #[serde(with = "shared")]
    service: Arc<str>,
    #[serde(with = "PhasesShape")]
    phases: Phases,
    transactions: [u64; 3],
    #[serde(with = "Buckets10")]
    transaction_duration: Buckets<10>,
    prepares: [u64; 3],
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SetRow")]
struct SetShape {
    #[serde(with = "shared")]
    database: Arc<str>,
    #[serde(with = "shared")]
    service: Arc<str>,
    #[serde(with = "operation")]
    operation: Operation,
    outcomes: [u64; 3],
    rows: u64,
    #[serde(with = "Buckets16")]
    duration: Buckets<16>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ErrorRow")]
struct ErrorShape {
    #[serde(with = "shared")]
    database: Arc<str>,
    #[serde(with = "shared")]
    service: Arc<str>,
    #[serde(with = "shared")]
    class: Arc<str>,
    count: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "TrafficRow")]
struct TrafficShape {
    #[serde(with = "shared")]
    database: Arc<str>,
    client_received: u64,
    client_sent: u64,
    server_received: u64,
    server_sent: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RouteRow")]
struct RouteShape {
    #[serde(with = "shared")]
    service: Arc<str>,
    #[serde(with = "shared")]
    route: Arc<str>,
    units: u64,
    statements: u64,
    first_row_us: u64,
    transfer_us: u64,
    think_in_transaction_us: u64,
    round_trips: u64,
    similar: u64,
    duplicate: u64,
    rows: u64,
    sent_bytes: u64,
    #[serde(with = "LargestShape")]
    largest: LargestUnit,
    // Made of the sketches.
    #[serde(skip)]
    statements_p50: u64,
    #[serde(skip)]
    statements_p95: u64,
    #[serde(skip)]
    database_p50_us: u64,
    #[serde(skip)]
    database_p95_us: u64,
    typical_unit: Option<u64>,
    worst_unit: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LargestUnit")]
struct LargestShape {
    statements: u64,
    duplicate: u64,
    rows: u64,
    sent_bytes: u64,
    database_us: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "UnitRow")]
struct UnitShape {
    id: u64,
    traced: bool,
    #[serde(with = "shared")]
    service: Arc<str>,
    #[serde(with = "shared")]
    route: Arc<str>,
    begin_us: u64,
    duration_us: u64,
    database_us: u64,
    statements: u64,
    round_trips: u64,
    similar: u64,
    duplicate: u64,
    #[serde(with = "waterfall")]
    waterfall: Vec<UnitStatement>,
    cut: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "TransactionRow")]
struct TransactionShape {
    #[serde(with = "hex")]
    shape: u64,
    #[serde(with = "shared")]
    database: Arc<str>,
    #[serde(with = "shared")]
    service: Arc<str>,
    #[serde(with = "hexes")]
    digests: Vec<u64>,
    count: u64,
    statements: u64,
    total_us: u64,
    busy_us: u64,
    think_us: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "MarkRow")]
struct MarkShape {
    #[serde(with = "shared")]
    mark: Arc<str>,
    units: u64,
    statements: u64,
    errors: u64,
    duplicates: u64,
    n_plus_one: u64,
    rows: u64,
    sent_bytes: u64,
    database_us: u64,
    // Made of the sketch.
    #[serde(skip)]
    p95_us: u64,
    timed: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "NPlusOneRow")]
struct NPlusOneShape {
    #[serde(with = "shared")]
    service: Arc<str>,
    bursts: u64,
    statements: u64,
    busy_us: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Buckets<10>")]
struct Buckets10 {
    counts: [u64; 10],
    above: u64,
    sum: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Buckets<16>")]
struct Buckets16 {
    counts: [u64; 16],
    above: u64,
    sum: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !*value
}
